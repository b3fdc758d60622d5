/* The device's key, on P-256. What fails returns an error of mbedTLS. */
#ifndef KEY_H
#define KEY_H

#include <stdbool.h>
#include <stddef.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>

int key_make(char *pem, size_t size, mbedtls_ctr_drbg_context *random);

/* The first key of a text; size with its NUL. */
int key_parse(mbedtls_pk_context *key, const char *pem, size_t size,
              mbedtls_ctr_drbg_context *random);

/* A certificate request in PEM, with its line ends as JSON has them. Its subject is empty: the
 * server takes names from its registry. */
int key_request(mbedtls_pk_context *key, char *csr, size_t size, mbedtls_ctr_drbg_context *random);

/* Whether a certificate is for this key. */
bool key_is_of(mbedtls_pk_context *key, mbedtls_x509_crt *certificate);

#endif
