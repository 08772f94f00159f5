/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/jwt_maker.c - see jwt_maker.h.
 *
 * Owns:    see there.
 * Threads: see there.
 */
#include "jwt_maker.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ox/jwt.h"

static void
must(bool ok)
{
    if (!ok)
        abort();
}

void
jwt_maker_init(struct jwt_maker *m, const char *alg, const char *kid)
{
    *m = (struct jwt_maker){.alg = alg, .kid = kid};
    if (strcmp(alg, "RS256") == 0)
        m->key = EVP_RSA_gen(2048);
    else if (strcmp(alg, "ES256") == 0)
        m->key = EVP_EC_gen("P-256");
    else
        m->key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    must(m->key != NULL);
}

void
jwt_maker_fini(struct jwt_maker *m)
{
    EVP_PKEY_free(m->key);
}

static char *
number(const struct jwt_maker *m, const char *param, size_t width)
{
    BIGNUM *bn = NULL;
    uint8_t bytes[1024];
    must(EVP_PKEY_get_bn_param(m->key, param, &bn) == 1);
    size_t n = width != 0 ? width : (size_t)BN_num_bytes(bn);
    must(BN_bn2binpad(bn, bytes, (int)n) == (int)n);
    BN_free(bn);
    char *text = malloc(OX_BASE64URL_LEN(n) + 1);
    must(text != NULL);
    ox_base64url_encode(bytes, n, text);
    return text;
}

char *
jwt_maker_jwk(const struct jwt_maker *m)
{
    char *text = NULL, kid[128] = "";
    int n = -1;
    if (m->kid != NULL)
        snprintf(kid, sizeof(kid), "\"kid\":\"%s\",", m->kid);
    if (strcmp(m->alg, "RS256") == 0) {
        char *mod = number(m, OSSL_PKEY_PARAM_RSA_N, 0), *e = number(m, OSSL_PKEY_PARAM_RSA_E, 0);
        n = asprintf(&text, "{%s\"kty\":\"RSA\",\"use\":\"sig\",\"alg\":\"RS256\",\"n\":\"%s\",\"e\":\"%s\"}",
                     kid, mod, e);
        free(mod);
        free(e);
    } else if (strcmp(m->alg, "ES256") == 0) {
        char *x = number(m, OSSL_PKEY_PARAM_EC_PUB_X, 32), *y = number(m, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
        n = asprintf(&text, "{%s\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}", kid, x, y);
        free(x);
        free(y);
    } else {
        uint8_t raw[32];
        size_t len = sizeof(raw);
        char x[OX_BASE64URL_LEN(sizeof(raw)) + 1];
        must(EVP_PKEY_get_raw_public_key(m->key, raw, &len) == 1);
        ox_base64url_encode(raw, len, x);
        n = asprintf(&text, "{%s\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"}", kid, x);
    }
    must(n > 0);
    return text;
}

/* "header.payload", both encoded. */
static char *
covered(const char *header, const char *payload)
{
    size_t h = OX_BASE64URL_LEN(strlen(header)), p = OX_BASE64URL_LEN(strlen(payload));
    char *text = malloc(h + p + 2);
    must(text != NULL);
    ox_base64url_encode(header, strlen(header), text);
    text[h] = '.';
    ox_base64url_encode(payload, strlen(payload), text + h + 1);
    return text;
}

static char *
with_signature(char *head, const uint8_t *sig, size_t n)
{
    size_t len = strlen(head);
    char *text = malloc(len + OX_BASE64URL_LEN(n) + 2);
    must(text != NULL);
    memcpy(text, head, len);
    text[len] = '.';
    ox_base64url_encode(sig, n, text + len + 1);
    free(head);
    return text;
}

/* From OpenSSL's DER to the two numbers of RFC 7518. */
static void
to_pair(uint8_t *sig, size_t *n)
{
    const uint8_t *p = sig;
    uint8_t pair[64];
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)*n);
    must(s != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(s), pair, 32) == 32 &&
         BN_bn2binpad(ECDSA_SIG_get0_s(s), pair + 32, 32) == 32);
    ECDSA_SIG_free(s);
    memcpy(sig, pair, sizeof(pair));
    *n = sizeof(pair);
}

char *
jwt_maker_sign_as(const struct jwt_maker *m, const char *header, const char *payload)
{
    uint8_t sig[1024];
    size_t n = sizeof(sig);
    char *head = covered(header, payload);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *md = strcmp(m->alg, "EdDSA") == 0 ? NULL : EVP_sha256();
    must(ctx != NULL && EVP_DigestSignInit(ctx, NULL, md, NULL, m->key) == 1 &&
         EVP_DigestSign(ctx, sig, &n, (const uint8_t *)head, strlen(head)) == 1);
    EVP_MD_CTX_free(ctx);
    if (strcmp(m->alg, "ES256") == 0)
        to_pair(sig, &n);
    return with_signature(head, sig, n);
}

char *
jwt_maker_sign(const struct jwt_maker *m, const char *payload)
{
    char header[256];
    if (m->kid != NULL)
        snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"%s\"}", m->alg, m->kid);
    else
        snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", m->alg);
    return jwt_maker_sign_as(m, header, payload);
}

char *
jwt_maker_hs256(const void *secret, size_t n, const char *header, const char *payload)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char *head = covered(header, payload);
    must(HMAC(EVP_sha256(), secret, (int)n, (const uint8_t *)head, strlen(head), mac, &len) != NULL);
    return with_signature(head, mac, len);
}
