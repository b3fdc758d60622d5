#include "https.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <mbedtls/net_sockets.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/ssl.h>

#include "say.h"

#define SILENCE_MAX 30000 /* milliseconds */

void server_parse(struct server *server, const char *url)
{
    char end = '\0';
    strcpy(server->port, "443");
    int found = sscanf(url, "https://%255[^:/]%c%5[0-9]", server->host, &end, server->port);
    if (found < 1 || (end == ':' && found < 3))
        fail(USAGE, "SERVER is https://host:port");
    server->url = url;
}

static int write_all(mbedtls_ssl_context *ssl, const char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        int count = mbedtls_ssl_write(ssl, (const unsigned char *)text, left);
        if (count == MBEDTLS_ERR_SSL_WANT_READ || count == MBEDTLS_ERR_SSL_WANT_WRITE)
            continue;
        if (count <= 0)
            return -1;
        text += count;
        left -= (size_t)count;
    }
    return 0;
}

/* Reads until the server closes, and returns the length, or -1 where that is too much. */
static int read_all(mbedtls_ssl_context *ssl, char *buffer, size_t size)
{
    size_t length = 0;
    while (length + 1 < size) {
        int count = mbedtls_ssl_read(ssl, (unsigned char *)buffer + length, size - 1 - length);
        if (count == MBEDTLS_ERR_SSL_WANT_READ || count == MBEDTLS_ERR_SSL_WANT_WRITE)
            continue;
#ifdef MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET
        if (count == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
            continue;
#endif
        if (count <= 0) {
            /* However it ended: the length that the head tells says whether it is whole. */
            buffer[length] = '\0';
            return (int)length;
        }
        length += (size_t)count;
    }
    return -1;
}

/* The value of a field of the head, or NULL. */
static const char *field(const char *head, const char *end, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = head; (line = strstr(line, "\r\n")) != NULL && line < end;) {
        line += 2;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':')
            return line + length + 1;
    }
    return NULL;
}

/* What came, into status, time to wait, and body. */
static int parse(char *text, struct answer *answer)
{
    char *end = strstr(text, "\r\n\r\n");
    if (end == NULL || sscanf(text, "HTTP/1.%*1[01] %3d", &answer->status) != 1)
        return -1;
    const char *asked = field(text, end, "Retry-After");
    const char *told = field(text, end, "Content-Length");
    answer->retry_after = asked ? (unsigned)strtoul(asked, NULL, 10) : 0;
    char *body = end + 4;
    /* This API always tells the length, but where there is no body. A part is no answer. */
    if (strlen(body) != (told ? strtoul(told, NULL, 10) : 0))
        return -1;
    memmove(answer->body, body, strlen(body) + 1);
    return 0;
}

static enum outcome exchange(mbedtls_ssl_context *ssl, const struct trust *trust,
                             const char *request, const char *body, struct answer *answer)
{
    int result;
    do
        result = mbedtls_ssl_handshake(ssl);
    while (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE);
    if (result == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED)
        return DISTRUSTED;
    if (result != 0)
        return UNREACHABLE;
    if (trust->root != NULL && mbedtls_ssl_get_verify_result(ssl) != 0)
        return DISTRUSTED;
    static char text[ANSWER_MAX];
    int length = -1;
    if (write_all(ssl, request) == 0 && write_all(ssl, body) == 0)
        length = read_all(ssl, text, sizeof text);
    mbedtls_ssl_close_notify(ssl);
    return length > 0 && parse(text, answer) == 0 ? ANSWERED : UNREACHABLE;
}

enum outcome https_ask(const struct server *server, const struct trust *trust, const char *method,
                       const char *path, const char *body, struct answer *answer)
{
    char request[1024];
    int length = snprintf(request, sizeof request,
                          "%s %s HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\n"
                          "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                          method, path, server->host, server->port, strlen(body));
    if (length < 0 || (size_t)length >= sizeof request)
        fail(USAGE, "the server's address is too long");

    mbedtls_net_context net;
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config config;
    mbedtls_net_init(&net);
    mbedtls_ssl_init(&ssl);
    mbedtls_ssl_config_init(&config);
    enum outcome outcome = UNREACHABLE;
    if (mbedtls_net_connect(&net, server->host, server->port, MBEDTLS_NET_PROTO_TCP) != 0 ||
        mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        goto out;
    mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, server->random);
    mbedtls_ssl_conf_min_version(&config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_read_timeout(&config, SILENCE_MAX);
    mbedtls_ssl_conf_authmode(&config, trust->root ? MBEDTLS_SSL_VERIFY_REQUIRED
                                                   : MBEDTLS_SSL_VERIFY_NONE);
    if (trust->root != NULL)
        mbedtls_ssl_conf_ca_chain(&config, trust->root, NULL);
    if (trust->own != NULL && mbedtls_ssl_conf_own_cert(&config, trust->own, trust->key) != 0)
        goto out;
    if (mbedtls_ssl_setup(&ssl, &config) != 0 || mbedtls_ssl_set_hostname(&ssl, server->host) != 0)
        goto out;
    mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, NULL, mbedtls_net_recv_timeout);
    outcome = exchange(&ssl, trust, request, body, answer);
out:
    mbedtls_ssl_free(&ssl);
    mbedtls_ssl_config_free(&config);
    mbedtls_net_free(&net);
    return outcome;
}

void answer_text(const struct answer *answer, const char *name, char *text, size_t size)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    *text = '\0';
    /* The server writes no spaces; and within a text of JSON a quote stands behind a backslash, so
     * this finds names only. */
    const char *at = strstr(answer->body, quoted);
    if (at == NULL)
        return;
    at += strlen(quoted);
    if (*at++ != '"')
        return;
    for (; *at != '\0' && *at != '"' && size > 1; at++, size--) {
        if (*at != '\\') {
            *text++ = *at;
            continue;
        }
        at++;
        if (*at == '\0')
            break;
        if (*at == 'u') { /* PEM and times have none; in what people read it is left out */
            size_t digits = strspn(at + 1, "0123456789abcdefABCDEF");
            at += digits < 4 ? digits : 4;
            *text++ = '?';
            continue;
        }
        *text++ = *at == 'n' ? '\n' : strchr("rtbf", *at) ? ' ' : *at;
    }
    *text = '\0';
}

const char *answer_slug(const struct answer *answer)
{
    static char type[128];
    answer_text(answer, "type", type, sizeof type);
    char *slash = strrchr(type, '/');
    return slash ? slash + 1 : type;
}

const char *answer_line(const struct answer *answer)
{
    static char text[1024];
    char detail[512], attempt[32];
    answer_text(answer, "detail", detail, sizeof detail);
    answer_text(answer, "attempt", attempt, sizeof attempt);
    snprintf(text, sizeof text, "%d %s: %s [attempt %s]", answer->status, answer_slug(answer),
             detail, attempt);
    for (char *at = text; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = ' ';
    return text;
}
