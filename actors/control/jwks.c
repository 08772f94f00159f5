/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/jwks.c - a JWK set (RFC 7517): the public keys with which an issuer's tokens are verified.
 *
 * Owns:    struct ox_jwks and OpenSSL's keys in it.
 * Threads: any; a set is not changed after it was parsed.
 * Bounds:  OX_JWKS_BYTES_MAX, OX_JWKS_KEYS_MAX, KID_MAX; RSA_BITS_MIN to RSA_BITS_MAX.
 * Fails:   CONFIG with the number of the key in the set.
 * Flow:    jwt_keys.c -> ox_jwks_parse; jwt.c -> ox__jwks_find.
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <stdlib.h>

#include "actors/control/jwt_internal.h"

#define KID_MAX       256
#define RSA_BITS_MIN  2048
#define RSA_BITS_MAX  8192 /* a verification beyond it costs milliseconds */
#define NUMBER_MAX    (RSA_BITS_MAX / 8)
#define P256_BYTES    32
#define ED25519_BYTES 32

struct key {
    char *kid; /* NULL = it has none */
    enum ox__jwt_alg alg;
    EVP_PKEY *pkey;
};

struct ox_jwks {
    size_t n;
    struct key keys[OX_JWKS_KEYS_MAX];
};

bool
ox__jwt_alg_of(const char *name, enum ox__jwt_alg *out)
{
    static const char *const names[OX__JWT_ALG__COUNT] = {"RS256", "ES256", "EdDSA", "HS256"};
    for (int i = 0; name != NULL && i < OX__JWT_ALG__COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = (enum ox__jwt_alg)i;
            return true;
        }
    }
    return false;
}

/* The bytes of a member; false when there is none, or more than `max`. */
static bool
bytes_of(const json_t *jwk, const char *name, uint8_t *out, size_t max, size_t *n)
{
    const json_t *v = json_object_get(jwk, name);
    struct ox_str text = {json_string_value(v), json_string_length(v)};
    return text.p != NULL && text.n <= OX_BASE64URL_LEN(max) && ox_base64url_decode(text, out, n) == OX_OK &&
           *n > 0;
}

static EVP_PKEY *
from_params(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = params != NULL ? EVP_PKEY_CTX_new_from_name(NULL, type, NULL) : NULL;
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return pkey;
}

static EVP_PKEY *
rsa_key(const json_t *jwk)
{
    uint8_t n[NUMBER_MAX + 2], e[8];
    size_t n_len, e_len;
    if (!bytes_of(jwk, "n", n, NUMBER_MAX, &n_len) || !bytes_of(jwk, "e", e, sizeof(e) - 2, &e_len))
        return NULL;
    BIGNUM *modulus = BN_bin2bn(n, (int)n_len, NULL), *exponent = BN_bin2bn(e, (int)e_len, NULL);
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey = NULL;
    bool sound = modulus != NULL && exponent != NULL && BN_num_bits(modulus) >= RSA_BITS_MIN &&
                 BN_num_bits(modulus) <= RSA_BITS_MAX && BN_is_odd(modulus) && BN_is_odd(exponent) &&
                 !BN_is_one(exponent);
    if (sound && b != NULL && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, modulus) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, exponent))
        pkey = from_params("RSA", OSSL_PARAM_BLD_to_param(b));
    OSSL_PARAM_BLD_free(b);
    BN_free(modulus);
    BN_free(exponent);
    return pkey;
}

/* Whether the point lies on the curve is checked; small subgroups there are none. */
static EVP_PKEY *
ec_key(const json_t *jwk)
{
    uint8_t point[1 + 2 * P256_BYTES + 4] = {4}; /* uncompressed */
    size_t x, y;
    if (!bytes_of(jwk, "x", point + 1, P256_BYTES, &x) || x != P256_BYTES ||
        !bytes_of(jwk, "y", point + 1 + P256_BYTES, P256_BYTES, &y) || y != P256_BYTES)
        return NULL;
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey = NULL;
    if (b != NULL && OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) &&
        OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * P256_BYTES))
        pkey = from_params("EC", OSSL_PARAM_BLD_to_param(b));
    OSSL_PARAM_BLD_free(b);
    EVP_PKEY_CTX *ctx = pkey != NULL ? EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL) : NULL;
    if (pkey != NULL && (ctx == NULL || EVP_PKEY_public_check(ctx) != 1)) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static EVP_PKEY *
ed_key(const json_t *jwk)
{
    uint8_t x[ED25519_BYTES + 2];
    size_t n;
    return bytes_of(jwk, "x", x, ED25519_BYTES, &n) && n == ED25519_BYTES
               ? EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, x, n)
               : NULL;
}

static bool
is(const json_t *jwk, const char *member, const char *value)
{
    const char *text = json_string_value(json_object_get(jwk, member));
    return text != NULL && strcmp(text, value) == 0;
}

/* Absent, or this value. */
static bool
may_be(const json_t *jwk, const char *member, const char *value)
{
    return json_object_get(jwk, member) == NULL || is(jwk, member, value);
}

static bool
is_for_verifying(const json_t *jwk)
{
    const json_t *ops = json_object_get(jwk, "key_ops"), *op;
    size_t i;
    if (!may_be(jwk, "use", "sig"))
        return false;
    if (ops == NULL)
        return true;
    json_array_foreach(ops, i, op)
    {
        if (json_is_string(op) && strcmp(json_string_value(op), "verify") == 0)
            return true;
    }
    return false;
}

static const struct {
    const char *kty;
    const char *crv; /* NULL = it has none */
    const char *alg;
    enum ox__jwt_alg which;
    EVP_PKEY *(*make)(const json_t *jwk);
} kinds[] = {
    {"RSA", NULL, "RS256", OX__JWT_RS256, rsa_key},
    {"EC", "P-256", "ES256", OX__JWT_ES256, ec_key},
    {"OKP", "Ed25519", "EdDSA", OX__JWT_EDDSA, ed_key},
};

static ox_err
refuse(size_t i, const char *what, struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_CONFIG, "jwt.jwks", (int64_t)i, "key %zu of the set %s", i + 1, what);
}

/* With two of them a token could not say which one it means. */
static bool
is_there(const struct ox_jwks *set, const char *kid, enum ox__jwt_alg alg)
{
    for (size_t i = 0; i < set->n; i++) {
        const char *other = set->keys[i].kid;
        if (set->keys[i].alg == alg && kid != NULL && other != NULL && strcmp(kid, other) == 0)
            return true;
    }
    return false;
}

static ox_err
add(struct ox_jwks *set, size_t place, const json_t *jwk, size_t kind, struct ox_diag *diag)
{
    struct key *k = &set->keys[set->n];
    const json_t *kid = json_object_get(jwk, "kid");
    const char *name = json_string_value(kid);
    if (kid != NULL && (name == NULL || strlen(name) != json_string_length(kid) || strlen(name) > KID_MAX))
        return refuse(place, "has a kid that is no text of at most 256 bytes", diag);
    if (is_there(set, name, kinds[kind].which))
        return refuse(place, "has the kid of another one for the same algorithm", diag);
    k->alg = kinds[kind].which;
    k->pkey = kinds[kind].make(jwk);
    if (k->pkey == NULL)
        return refuse(place, "cannot be used: RSA has 2048 to 8192 bits, EC a point of P-256, OKP 32 bytes",
                      diag);
    k->kid = name != NULL ? strdup(name) : NULL;
    set->n++;
    return name == NULL || k->kid != NULL ? OX_OK : OX_E_NOMEM;
}

static ox_err
take(struct ox_jwks *set, size_t place, const json_t *jwk, struct ox_diag *diag)
{
    if (!json_is_object(jwk))
        return refuse(place, "is no object", diag);
    for (size_t i = 0; i < OX_COUNT(kinds); i++) {
        if (!is(jwk, "kty", kinds[i].kty) || (kinds[i].crv != NULL && !is(jwk, "crv", kinds[i].crv)))
            continue;
        if (json_object_get(jwk, "d") != NULL)
            return refuse(place, "is a private key: whoever made the file has to make new ones", diag);
        if (!may_be(jwk, "alg", kinds[i].alg) || !is_for_verifying(jwk))
            return OX_OK;
        if (set->n == OX_JWKS_KEYS_MAX)
            return refuse(place, "is one more than 64", diag);
        return add(set, place, jwk, i, diag);
    }
    return OX_OK;
}

ox_err
ox_jwks_parse(struct ox_str json, struct ox_jwks **out, struct ox_diag *diag)
{
    json_error_t error;
    const json_t *jwk;
    size_t i;
    *out = NULL;
    if (json.n > OX_JWKS_BYTES_MAX)
        return ox_diag_set(diag, OX_E_CONFIG, "jwt.jwks", -1, "the set of keys is larger than 256 KiB");
    json_t *root = json_loadb(json.p != NULL ? json.p : "", json.n, JSON_REJECT_DUPLICATES, &error);
    const json_t *keys = json_object_get(root, "keys");
    struct ox_jwks *set = calloc(1, sizeof(*set));
    ox_err err = set != NULL ? OX_OK : OX_E_NOMEM;
    if (err == OX_OK && !json_is_array(keys))
        err = ox_diag_set(diag, OX_E_CONFIG, "jwt.jwks", -1,
                          "is no JSON of the form {\"keys\":[...]} (RFC 7517)%s%.100s",
                          root == NULL ? ": " : "", root == NULL ? error.text : "");
    json_array_foreach(err == OX_OK ? keys : NULL, i, jwk)
    {
        err = take(set, i, jwk, diag);
        if (err != OX_OK)
            break;
    }
    json_decref(root);
    if (err == OX_OK)
        *out = set;
    else
        ox_jwks_free(set);
    return err;
}

void
ox_jwks_free(struct ox_jwks *set)
{
    for (size_t i = 0; set != NULL && i < set->n; i++) {
        EVP_PKEY_free(set->keys[i].pkey);
        free(set->keys[i].kid);
    }
    free(set);
}

size_t
ox_jwks_count(const struct ox_jwks *set)
{
    return set != NULL ? set->n : 0;
}

EVP_PKEY *
ox__jwks_find(const struct ox_jwks *set, enum ox__jwt_alg alg, const char *kid)
{
    EVP_PKEY *found = NULL;
    for (size_t i = 0; set != NULL && i < set->n; i++) {
        const struct key *k = &set->keys[i];
        if (k->alg != alg || (kid != NULL && (k->kid == NULL || strcmp(k->kid, kid) != 0)))
            continue;
        if (found != NULL)
            return NULL;
        found = k->pkey;
    }
    return found;
}
