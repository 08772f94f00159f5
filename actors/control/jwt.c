/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/jwt.c - the form and the signature of a JSON Web Token (RFC 7515, 7519, 8725).
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Bounds:  OX_JWT_MAX.
 * Fails:   UNAUTHENTICATED with one sentence: who forges must not learn what was wrong. *result tells it to the metric.
 * Flow:    jwt_keys.c -> here -> jwks.c, OpenSSL, jwt_claims.c.
 */
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "actors/control/jwt_internal.h"

#define ES256_BYTES   64
#define ED25519_BYTES 64
#define SIGNATURE_MAX 1024 /* RSA of 8192 bits */

const char *
ox_jwt_result_name(enum ox_jwt_result result)
{
    static const char *const names[] = {"good",    "malformed", "no_key",   "forged",
                                        "expired", "foreign",   "no_access"};
    return (size_t)result < OX_COUNT(names) ? names[result] : "malformed";
}

/* The header is an object, and {" begins with eyJ; blanks before it would be unheard of. */
bool
ox_jwt_looks_like(struct ox_str text)
{
    const char *dot = text.n > 3 && memcmp(text.p, "eyJ", 3) == 0 ? memchr(text.p, '.', text.n) : NULL;
    return dot != NULL && memchr(dot + 1, '.', text.n - (size_t)(dot + 1 - text.p)) != NULL;
}

struct parts {
    struct ox_str header, payload, signature; /* as they stand there */
    struct ox_str covered;                    /* what is signed */
};

static bool
split(struct ox_str t, struct parts *p)
{
    const char *a = t.n <= OX_JWT_MAX && ox_jwt_looks_like(t) ? memchr(t.p, '.', t.n) : NULL;
    const char *end = t.p + t.n;
    const char *b = a != NULL ? memchr(a + 1, '.', (size_t)(end - a - 1)) : NULL;
    if (b == NULL || memchr(b + 1, '.', (size_t)(end - b - 1)) != NULL)
        return false;
    p->header = (struct ox_str){t.p, (size_t)(a - t.p)};
    p->payload = (struct ox_str){a + 1, (size_t)(b - a - 1)};
    p->signature = (struct ox_str){b + 1, (size_t)(end - b - 1)};
    p->covered = (struct ox_str){t.p, (size_t)(b - t.p)};
    return true;
}

/* NULL unless it is an object in which no name stands twice. */
static json_t *
read_object(struct ox_str text)
{
    json_error_t error;
    size_t n = 0;
    uint8_t *bytes = malloc(text.n + 1);
    json_t *o = NULL;
    if (bytes != NULL && ox_base64url_decode(text, bytes, &n) == OX_OK)
        o = json_loadb((const char *)bytes, n, JSON_REJECT_DUPLICATES, &error);
    free(bytes);
    if (o != NULL && !json_is_object(o)) {
        json_decref(o);
        return NULL;
    }
    return o;
}

/* A text without zeroes, or NULL. */
static const char *
text_of(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    const char *text = json_string_value(v);
    return text != NULL && strlen(text) == json_string_length(v) ? text : NULL;
}

static bool
typ_is_ours(const json_t *header)
{
    const char *typ = text_of(header, "typ");
    if (json_object_get(header, "typ") == NULL)
        return true;
    return typ != NULL &&
           (ox_str_caseeq(ox_str_of(typ), OX_STR("JWT")) || ox_str_caseeq(ox_str_of(typ), OX_STR("at+jwt")) ||
            ox_str_caseeq(ox_str_of(typ), OX_STR("application/at+jwt")));
}

static bool
header_is_sound(const json_t *header, enum ox__jwt_alg *alg)
{
    const json_t *kid = json_object_get(header, "kid");
    return ox__jwt_alg_of(text_of(header, "alg"), alg) && json_object_get(header, "crit") == NULL &&
           json_object_get(header, "b64") == NULL && typ_is_ours(header) &&
           (kid == NULL || text_of(header, "kid") != NULL);
}

static bool
verify_with(EVP_PKEY *pkey, const EVP_MD *md, const uint8_t *sig, size_t n, struct ox_str covered)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, md, NULL, pkey) == 1 &&
              EVP_DigestVerify(ctx, sig, n, (const uint8_t *)covered.p, covered.n) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* r and s as two numbers of 32 bytes; OpenSSL takes them as DER. */
static bool
verify_es256(EVP_PKEY *pkey, const uint8_t *sig, size_t n, struct ox_str covered)
{
    uint8_t *der = NULL;
    if (n != ES256_BYTES)
        return false;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(sig, ES256_BYTES / 2, NULL),
           *s = BN_bin2bn(sig + ES256_BYTES / 2, ES256_BYTES / 2, NULL);
    if (pair == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(pair, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(pair);
        return false;
    }
    int len = i2d_ECDSA_SIG(pair, &der);
    bool ok = len > 0 && verify_with(pkey, EVP_sha256(), der, (size_t)len, covered);
    OPENSSL_free(der);
    ECDSA_SIG_free(pair);
    return ok;
}

static bool
verify_hs256(struct ox_str secret, const uint8_t *sig, size_t n, struct ox_str covered)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    return HMAC(EVP_sha256(), secret.p, (int)secret.n, (const uint8_t *)covered.p, covered.n, mac, &len) !=
               NULL &&
           len == n && CRYPTO_memcmp(mac, sig, n) == 0;
}

/* What verifies is chosen by the algorithm and must be of its kind: a public key is never a secret. */
static enum ox_jwt_result
check_signature(const struct parts *p, const json_t *header, enum ox__jwt_alg alg,
                const struct ox_jwt_rules *rules, const struct ox_jwks *set)
{
    uint8_t sig[SIGNATURE_MAX + 4];
    size_t n = 0;
    bool ok = false;
    if (p->signature.n > OX_BASE64URL_LEN(SIGNATURE_MAX) ||
        ox_base64url_decode(p->signature, sig, &n) != OX_OK)
        return OX_JWT_MALFORMED;
    if (alg == OX__JWT_HS256 && rules->secret.n == 0)
        return OX_JWT_MALFORMED;
    EVP_PKEY *pkey = alg == OX__JWT_HS256 ? NULL : ox__jwks_find(set, alg, text_of(header, "kid"));
    if (alg != OX__JWT_HS256 && pkey == NULL)
        return OX_JWT_NO_KEY;
    if (alg == OX__JWT_HS256)
        ok = verify_hs256(rules->secret, sig, n, p->covered);
    else if (alg == OX__JWT_ES256)
        ok = verify_es256(pkey, sig, n, p->covered);
    else if (alg == OX__JWT_RS256)
        ok = verify_with(pkey, EVP_sha256(), sig, n, p->covered);
    else
        ok = n == ED25519_BYTES && verify_with(pkey, NULL, sig, n, p->covered);
    return ok ? OX_JWT_GOOD : OX_JWT_FORGED;
}

static ox_err
refused(struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_UNAUTHENTICATED, "authorization", -1,
                       "this token is not accepted here: it has expired, is of another issuer or for another "
                       "audience, or its signature is not right; get a new one");
}

static enum ox_jwt_result
open_token(struct ox_str token, const struct ox_jwt_rules *rules, const struct ox_jwks *set, json_t **claims)
{
    struct parts p;
    enum ox__jwt_alg alg = OX__JWT_ALG__COUNT;
    *claims = NULL;
    if (!split(token, &p))
        return OX_JWT_MALFORMED;
    json_t *header = read_object(p.header);
    enum ox_jwt_result result =
        header_is_sound(header, &alg) ? check_signature(&p, header, alg, rules, set) : OX_JWT_MALFORMED;
    json_decref(header);
    if (result == OX_JWT_GOOD && (*claims = read_object(p.payload)) == NULL)
        result = OX_JWT_MALFORMED;
    return result;
}

ox_err
ox_jwt_verify(struct ox_str token, const struct ox_jwt_rules *rules, const struct ox_jwks *set, int64_t now_s,
              struct ox_jwt_who *out, enum ox_jwt_result *result, struct json_t **claims,
              struct ox_diag *diag)
{
    json_t *payload = NULL;
    *out = (struct ox_jwt_who){.role = OX_ROLE_NONE};
    *result = open_token(token, rules, set, &payload);
    if (*result == OX_JWT_GOOD)
        *result = ox__jwt_check(payload, rules, now_s, &out->until_s);
    ox_err err = *result == OX_JWT_GOOD ? ox__jwt_who(payload, rules, out, diag) : refused(diag);
    if (err == OX_E_FORBIDDEN)
        *result = OX_JWT_NO_ACCESS;
    if (claims != NULL)
        *claims = payload;
    else
        json_decref(payload);
    return err;
}
