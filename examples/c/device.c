/* A device's certificate with mbedTLS: the first one, and the next one when it is time. Run it at
 * boot and every hour; it may be cut off anywhere, and goes on the next time.
 *
 *   device SERVER SERIAL FINGERPRINT TOKEN-FILE DIRECTORY
 *
 * Exit codes: 0 done, 1 refused, 2 usage, 75 try later, 76 not the pinned server, 77 local files.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mbedtls/entropy.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <mbedtls/version.h>

#include "https.h"
#include "key.h"
#include "say.h"
#include "store.h"

#if MBEDTLS_VERSION_MAJOR >= 3
#include <psa/crypto.h>
#else
#define mbedtls_sha256 mbedtls_sha256_ret
#endif

#define PEM_MAX 16384
#define TOKEN_MAX 256
#define CSR_MAX 2048
#define WAIT_MAX 300 /* seconds; who asks for more is not waited for */
#define PAUSE_MAX 60

struct device {
    struct server server;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    const char *serial;
    char fingerprint[65];
    const char *token_file;
    mbedtls_x509_crt root;
    int tries;
    unsigned pause;
    struct answer answer;
};

static _Noreturn void refused(struct device *device)
{
    const char *slug = answer_slug(&device->answer);
    if (strcmp(slug, "token-pending") == 0)
        fail(LATER, "%s; a certificate asked for with a new token goes first",
             answer_line(&device->answer));
    /* It never will be acceptable: the next run makes another. */
    if (strcmp(slug, "key-not-acceptable") == 0 || strcmp(slug, "weak-key") == 0)
        store_remove(KEY);
    char attempt[32];
    answer_text(&device->answer, "attempt", attempt, sizeof attempt);
    fail(REFUSED,
         "refused: %s\n"
         "your operator is told why, and what to do, by: cvm explain %s\n"
         "where that is a new token (cvm device new-token %s): put it into %s, remove " DEVICE,
         answer_line(&device->answer), attempt, device->serial, device->token_file);
}

/* --- asking --- */

/* Waits before the same is tried again, not sooner than asked and not with the whole fleet at once;
 * or ends. */
static void later(struct device *device, const char *why, unsigned asked)
{
    device->tries--;
    if (device->tries <= 0 || asked > WAIT_MAX)
        fail(LATER, "%s; nothing is lost, run the same again later", why);
    unsigned random = 0;
    mbedtls_ctr_drbg_random(&device->random, (unsigned char *)&random, sizeof random);
    unsigned milliseconds = device->pause * 500 + random % (device->pause * 500);
    if (asked > 0)
        milliseconds = (asked + 1) * 1000 + random % (asked * 250);
    else
        device->pause = device->pause * 2 < PAUSE_MAX ? device->pause * 2 : PAUSE_MAX;
    say("%s; trying again in %u.%u s", why, milliseconds / 1000, milliseconds % 1000 / 100);
    struct timespec wait = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};
    nanosleep(&wait, NULL);
}

static void later_unreachable(struct device *device)
{
    char why[512];
    snprintf(why, sizeof why, "%s has no answer", device->server.url);
    later(device, why, 0);
}

/* Whether the same is worth asking again. */
static bool is_not_now(const struct answer *answer)
{
    return answer->status == 202 || answer->status == 429 || answer->status >= 500;
}

/* Asks the verified server, as often as it takes; whether it says yes. With the name of a file, its
 * certificate is shown. */
static bool post(struct device *device, const char *path, const char *body, const char *identity)
{
    static char pem[PEM_MAX];
    struct trust trust = {&device->root, NULL, NULL};
    mbedtls_x509_crt own;
    mbedtls_pk_context key;
    mbedtls_x509_crt_init(&own);
    mbedtls_pk_init(&key);
    if (identity != NULL) {
        size_t size = store_read(identity, pem, sizeof pem);
        if (mbedtls_x509_crt_parse(&own, (unsigned char *)pem, size) != 0 ||
            key_parse(&key, pem, size, &device->random) != 0)
            fail(LOCAL, "%s holds no key and certificate", identity);
        mbedtls_platform_zeroize(pem, sizeof pem);
        trust.own = &own;
        trust.key = &key;
    }
    for (;;) {
        switch (https_ask(&device->server, &trust, "POST", path, body, &device->answer)) {
        case DISTRUSTED:
            fail(NOT_PINNED,
                 "%s is not the pinned server, or this clock is wrong; nothing was sent",
                 device->server.url);
        case UNREACHABLE:
            later_unreachable(device);
            continue;
        case ANSWERED:
            break;
        }
        if (!is_not_now(&device->answer))
            break;
        later(device, answer_line(&device->answer), device->answer.retry_after);
    }
    mbedtls_pk_free(&key);
    mbedtls_x509_crt_free(&own);
    return device->answer.status >= 200 && device->answer.status < 300;
}

/* --- the root --- */

static bool is_pinned(const struct device *device, const mbedtls_x509_crt *certificate)
{
    unsigned char hash[32];
    char text[65];
    if (mbedtls_sha256(certificate->raw.p, certificate->raw.len, hash, 0) != 0)
        return false;
    for (size_t at = 0; at < sizeof hash; at++)
        snprintf(text + 2 * at, 3, "%02x", hash[at]);
    return strcmp(text, device->fingerprint) == 0;
}

/* Keeps the certificate of a text that is pinned, and nothing else of it; whether there is one. */
static bool keep_root(struct device *device, const char *text)
{
    static const char end_line[] = "-----END CERTIFICATE-----";
    for (const char *begin; (begin = strstr(text, "-----BEGIN CERTIFICATE-----")) != NULL;) {
        char pem[4096];
        const char *end = strstr(begin, end_line);
        if (end == NULL)
            return false;
        text = end + sizeof end_line - 1;
        int length = snprintf(pem, sizeof pem, "%.*s\n", (int)(text - begin), begin);
        mbedtls_x509_crt_free(&device->root);
        if (length > 0 && (size_t)length < sizeof pem &&
            mbedtls_x509_crt_parse(&device->root, (unsigned char *)pem, (size_t)length + 1) == 0 &&
            is_pinned(device, &device->root)) {
            store_keep(ROOT, pem);
            return true;
        }
    }
    return false;
}

/* The root with the pinned fingerprint. Until it is found nothing is verified, so nothing is sent
 * but this one question, and nothing is used but the certificate that matches. */
static void pin(struct device *device)
{
    static char pem[PEM_MAX];
    if (store_has(ROOT)) {
        size_t size = store_read(ROOT, pem, sizeof pem);
        if (mbedtls_x509_crt_parse(&device->root, (unsigned char *)pem, size) == 0 &&
            device->root.next == NULL && is_pinned(device, &device->root))
            return;
    }
    struct trust nobody = {NULL, NULL, NULL};
    while (https_ask(&device->server, &nobody, "GET", "/v1/trust-bundle", "",
                     &device->answer) != ANSWERED || is_not_now(&device->answer))
        later_unreachable(device);
    if (!keep_root(device, device->answer.body))
        fail(NOT_PINNED, "%s offers no root with the fingerprint %s: compare it, and the address",
             device->server.url, device->fingerprint);
}

/* --- the certificate --- */

/* A key is on the disk before anything is asked for it: the same key is answered the same
 * certificate. */
static void obtain_key(struct device *device, mbedtls_pk_context *key, char *pem, size_t size)
{
    if (!store_has(KEY)) {
        if (key_make(pem, size, &device->random) != 0)
            fail(LOCAL, "cannot make a key");
        store_keep(KEY, pem);
    }
    if (key_parse(key, pem, store_read(KEY, pem, size), &device->random) != 0)
        fail(LOCAL, KEY " holds no key: remove it, the next run makes another");
}

static void ask_with_token(struct device *device, const char *csr)
{
    char token[TOKEN_MAX + 64], escaped[2 * sizeof token], body[CSR_MAX + 1024];
    say("asking for a certificate with the token");
    read_line(device->token_file, token, sizeof token);
    size_t length = 0;
    for (const char *at = token; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\')
            escaped[length++] = '\\';
        escaped[length++] = *at;
    }
    escaped[length] = '\0';
    snprintf(body, sizeof body, "{\"serialNumber\": \"%s\", \"token\": \"%s\", \"csr\": \"%s\"}",
             device->serial, escaped, csr);
    bool is_granted = post(device, "/v1/certificates", body, NULL);
    mbedtls_platform_zeroize(token, sizeof token);
    mbedtls_platform_zeroize(escaped, sizeof escaped);
    mbedtls_platform_zeroize(body, sizeof body);
    if (!is_granted)
        refused(device);
}

/* Asks for a certificate: with the one that works, else with the token. */
static void ask(struct device *device, mbedtls_pk_context *key)
{
    char csr[CSR_MAX], body[CSR_MAX + 16];
    if (key_request(key, csr, sizeof csr, &device->random) != 0)
        fail(LOCAL, "cannot make a certificate request");
    if (store_has(DEVICE)) {
        say("asking for the next certificate");
        snprintf(body, sizeof body, "{\"csr\": \"%s\"}", csr);
        if (post(device, "/v1/certificates/renew", body, DEVICE))
            return;
        if (strcmp(answer_slug(&device->answer), "certificate-expired") != 0)
            refused(device);
    }
    ask_with_token(device, csr);
}

/* Keeps what was answered in one file: when to renew, key, certificate, chain. */
static void take(struct device *device, mbedtls_pk_context *key, const char *key_pem)
{
    static char leaf[PEM_MAX], chain[PEM_MAX], text[3 * PEM_MAX];
    char renew_after[32];
    uint32_t flags = 0;
    mbedtls_x509_crt all;
    mbedtls_x509_crt_init(&all);
    answer_text(&device->answer, "certificate", leaf, sizeof leaf);
    answer_text(&device->answer, "chain", chain, sizeof chain);
    answer_text(&device->answer, "renewAfter", renew_after, sizeof renew_after);
    snprintf(text, sizeof text, "%s%s", leaf, chain);
    if (mbedtls_x509_crt_parse(&all, (unsigned char *)text, strlen(text) + 1) != 0 ||
        !key_is_of(key, &all))
        fail(REFUSED, "the answer is not kept, the certificate is not for our key: %s",
             answer_line(&device->answer));
    if (mbedtls_x509_crt_verify(&all, &device->root, NULL, NULL, &flags, NULL, NULL) != 0)
        fail(REFUSED, "the answer is not kept, the certificate is not under the pinned root: %s",
             answer_line(&device->answer));
    mbedtls_x509_crt_free(&all);
    snprintf(text, sizeof text, "renew-after: %s\n%s%s%s", renew_after, key_pem, leaf, chain);
    store_keep(NEXT, text);
    mbedtls_platform_zeroize(text, sizeof text);
}

static void read_renew_after(char time[32])
{
    static char pem[PEM_MAX];
    store_read(DEVICE, pem, sizeof pem);
    if (sscanf(pem, "renew-after: %31s", time) != 1)
        *time = '\0';
    mbedtls_platform_zeroize(pem, sizeof pem);
}

/* Whether it is time; both are written so that the later is the greater. Damaged is due. */
static bool is_due(const char *renew_after)
{
    char text[32];
    time_t now = time(NULL);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    return strcmp(text, renew_after) >= 0;
}

/* Proves that the next certificate works; then it is the one that is used, by one rename. */
static bool prove(struct device *device)
{
    char renew_after[32];
    if (!post(device, "/v1/certificates/confirm", "", NEXT))
        return false;
    /* First: a key that stayed behind would be asked for again at the next renewal. */
    store_remove(KEY);
    store_rename(NEXT, DEVICE);
    read_renew_after(renew_after);
    say("in use: " DEVICE ", to be renewed after %s", renew_after);
    return true;
}

/* --- the run --- */

static void run(struct device *device)
{
    char renew_after[32];
    static char key_pem[PEM_MAX / 4];
    if (store_has(DEVICE) && !store_has(NEXT)) {
        read_renew_after(renew_after);
        if (!is_due(renew_after)) {
            say("nothing to do until %s", renew_after);
            return;
        }
    }
    pin(device);
    if (store_has(NEXT)) {
        if (prove(device))
            return;
        const char *why = answer_slug(&device->answer);
        bool is_revoked = strcmp(why, "certificate-revoked") == 0;
        /* Displaced meanwhile: its key may ask again. */
        bool is_over = strcmp(why, "certificate-superseded") == 0 ||
                       strcmp(why, "certificate-expired") == 0 ||
                       strcmp(why, "certificate-unknown") == 0;
        if (!is_revoked && !is_over)
            refused(device);
        store_remove(NEXT);
        if (is_revoked)
            store_remove(KEY);
    }
    mbedtls_pk_context key;
    mbedtls_pk_init(&key);
    obtain_key(device, &key, key_pem, sizeof key_pem);
    ask(device, &key);
    take(device, &key, key_pem);
    mbedtls_pk_free(&key);
    mbedtls_platform_zeroize(key_pem, sizeof key_pem);
    if (!prove(device))
        refused(device);
}

static void parse_arguments(struct device *device, int count, char **values)
{
    if (count != 6)
        fail(USAGE, "usage: device SERVER SERIAL FINGERPRINT TOKEN-FILE DIRECTORY");
    server_parse(&device->server, values[1]);
    device->serial = values[2];
    if (strlen(device->serial) > 64 || strpbrk(device->serial, "\"\\") != NULL)
        fail(USAGE, "SERIAL is 1 to 64 of A-Z a-z 0-9 : . _ / + -");
    size_t length = 0;
    for (const char *at = values[3]; *at != '\0' && length < 64; at++)
        if (*at != ':')
            device->fingerprint[length++] = (char)(*at >= 'A' && *at <= 'F' ? *at + 32 : *at);
    if (length != 64 || strspn(device->fingerprint, "0123456789abcdef") != 64)
        fail(USAGE, "FINGERPRINT is 64 hexadecimal digits");
    device->token_file = values[4];
    const char *tries = getenv("CVM_TRIES");
    device->tries = tries ? atoi(tries) : 6;
    device->pause = 1;
}

int main(int count, char **values)
{
    static struct device device;
    parse_arguments(&device, count, values);
    signal(SIGPIPE, SIG_IGN);
    store_open(values[5]);
    mbedtls_entropy_init(&device.entropy);
    mbedtls_ctr_drbg_init(&device.random);
    mbedtls_x509_crt_init(&device.root);
    device.server.random = &device.random;
    if (mbedtls_ctr_drbg_seed(&device.random, mbedtls_entropy_func, &device.entropy, NULL, 0) != 0)
        fail(LOCAL, "there is no randomness");
#if MBEDTLS_VERSION_MAJOR >= 3
    if (psa_crypto_init() != PSA_SUCCESS)
        fail(LOCAL, "there is no cryptography");
#endif
    run(&device);
    mbedtls_x509_crt_free(&device.root);
    mbedtls_ctr_drbg_free(&device.random);
    mbedtls_entropy_free(&device.entropy);
    return DONE;
}
