#include "key.h"

#include <stdio.h>
#include <string.h>

#include <mbedtls/base64.h>
#include <mbedtls/ecp.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_csr.h>

int key_make(char *pem, size_t size, mbedtls_ctr_drbg_context *random)
{
    mbedtls_pk_context key;
    mbedtls_pk_init(&key);
    int result = mbedtls_pk_setup(&key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (result == 0)
        result = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(key),
                                     mbedtls_ctr_drbg_random, random);
    if (result == 0)
        result = mbedtls_pk_write_key_pem(&key, (unsigned char *)pem, size);
    mbedtls_pk_free(&key);
    return result;
}

int key_parse(mbedtls_pk_context *key, const char *pem, size_t size,
              mbedtls_ctr_drbg_context *random)
{
#if MBEDTLS_VERSION_MAJOR >= 3
    return mbedtls_pk_parse_key(key, (const unsigned char *)pem, size, NULL, 0,
                                mbedtls_ctr_drbg_random, random);
#else
    (void)random;
    return mbedtls_pk_parse_key(key, (const unsigned char *)pem, size, NULL, 0);
#endif
}

int key_request(mbedtls_pk_context *key, char *csr, size_t size, mbedtls_ctr_drbg_context *random)
{
    unsigned char der[512], base64[sizeof der * 4 / 3 + 4];
    size_t written = 0;
    mbedtls_x509write_csr request;
    mbedtls_x509write_csr_init(&request);
    mbedtls_x509write_csr_set_key(&request, key);
    mbedtls_x509write_csr_set_md_alg(&request, MBEDTLS_MD_SHA256);
    int result =
        mbedtls_x509write_csr_der(&request, der, sizeof der, mbedtls_ctr_drbg_random, random);
    mbedtls_x509write_csr_free(&request);
    if (result < 0)
        return result;
    /* It stands at the end of the buffer. */
    size_t length = (size_t)result;
    const unsigned char *begin = der + sizeof der - length;
    result = mbedtls_base64_encode(base64, sizeof base64, &written, begin, length);
    if (result != 0)
        return result;
    int needed = snprintf(csr, size, "%s", "-----BEGIN CERTIFICATE REQUEST-----\\n");
    for (size_t at = 0; at < written && (size_t)needed < size; at += 64)
        needed += snprintf(csr + needed, size - (size_t)needed, "%.64s\\n", base64 + at);
    if ((size_t)needed < size)
        needed += snprintf(csr + needed, size - (size_t)needed, "%s",
                           "-----END CERTIFICATE REQUEST-----\\n");
    return (size_t)needed < size ? 0 : MBEDTLS_ERR_X509_BUFFER_TOO_SMALL;
}

bool key_is_of(mbedtls_pk_context *key, mbedtls_x509_crt *certificate)
{
    unsigned char theirs[256], ours[256];
    int length = mbedtls_pk_write_pubkey_der(&certificate->pk, theirs, sizeof theirs);
    if (length <= 0 || mbedtls_pk_write_pubkey_der(key, ours, sizeof ours) != length)
        return false;
    /* Both stand at the end of their buffers. */
    size_t size = (size_t)length;
    return memcmp(theirs + sizeof theirs - size, ours + sizeof ours - size, size) == 0;
}
