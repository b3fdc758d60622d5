/* HTTP/1.1 over TLS, as much of it as a device needs: one request over each connection. */
#ifndef HTTPS_H
#define HTTPS_H

#include <stddef.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>

#define ANSWER_MAX 32768

struct server {
    const char *url;
    char host[256];
    char port[6];
    mbedtls_ctr_drbg_context *random;
};

/* Whom to believe, and what to show. */
struct trust {
    mbedtls_x509_crt *root; /* NULL: nobody is verified, so nothing may be sent */
    mbedtls_x509_crt *own;  /* NULL: no certificate is shown */
    mbedtls_pk_context *key;
};

struct answer {
    int status;
    unsigned retry_after; /* seconds, 0 where nothing is asked for */
    char body[ANSWER_MAX];
};

enum outcome { ANSWERED, DISTRUSTED, UNREACHABLE };

/* Takes https://host[:port] apart, or ends the run. */
void server_parse(struct server *server, const char *url);

enum outcome https_ask(const struct server *server, const struct trust *trust, const char *method,
                       const char *path, const char *body, struct answer *answer);

/* A text of a JSON object without its escapes; empty where there is none of that name. */
void answer_text(const struct answer *answer, const char *name, char *text, size_t size);

/* The last part of a problem's type, such as "access-denied"; good until the next call. */
const char *answer_slug(const struct answer *answer);

/* What the server said, in one line; good until the next call. */
const char *answer_line(const struct answer *answer);

#endif
