/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/jwt.h - a JSON Web Token: whether it is genuine, and who its claims say somebody is.
 *
 * Owns:    struct ox_jwks: the issuer's public keys.
 * Threads: any; pure. A verification costs some 30 to 150 us: not on a scheduler.
 * Bounds:  OX_JWT_MAX bytes of a token, OX_JWKS_BYTES_MAX and OX_JWKS_KEYS_MAX of a set of keys.
 * Fails:   UNAUTHENTICATED with one fixed sentence whatever is wrong with a token; FORBIDDEN with a sentence about the claims
 *          of a genuine one that gives no access; CONFIG for a set of keys.
 * Flow:    actors/control/jwt_keys.c -> here.
 *
 * A token names its algorithm, and is not believed: the key that verifies it must be of the kind that the algorithm takes,
 * and HS256 takes the one secret of development alone, so that nobody signs with a public key. Nothing that a token
 * points at (jku, x5u, jwk, x5c) is looked at, and one with `crit` is refused.
 */
#ifndef OX_JWT_H
#define OX_JWT_H

#include "ox/permission.h"

#define OX_JWT_MAX         16384
#define OX_JWKS_BYTES_MAX  (256u * 1024)
#define OX_JWKS_KEYS_MAX   64
#define OX_JWT_SUBJECT_MAX 64

struct ox_jwks;
struct json_t;

/*
 * A JWK set (RFC 7517). What cannot verify our algorithms is passed over: keys for encryption, symmetric ones, other curves.
 * CONFIG: no JSON, a private key among them, RSA below 2048 bits, two keys with one `kid` for one algorithm. *out: free it.
 */
OX_MUST_USE ox_err ox_jwks_parse(struct ox_str json, struct ox_jwks **out, struct ox_diag *diag);
/* NULL is allowed. */
void ox_jwks_free(struct ox_jwks *set);
size_t ox_jwks_count(const struct ox_jwks *set);

/* What is believed. Lends. */
struct ox_jwt_rules {
    const char *issuer;       /* `iss` is this */
    const char *audience;     /* `aud` is this, or has it */
    const char *tenant_claim; /* "tenant"; of an object within: "a.b" */
    const char *role_claim;   /* a text, or a list of which the highest role counts */
    const char *scope_claim;  /* a text with blanks, or a list; "" = what the role usually has */
    const char *roles;        /* "sre=operator,devs=editor"; "" = the names are those of the roles */
    int64_t leeway_s;
    int64_t max_age_s;    /* since `iat`; 0 = `exp` alone counts */
    struct ox_str secret; /* of HS256, development only; empty = HS256 is refused */
};

struct ox_jwt_who {
    struct ox_tenant_id tenant;
    enum ox_role role;
    uint32_t scopes;
    char subject[OX_JWT_SUBJECT_MAX + 1]; /* `sub`, printable; "" = it has none */
    int64_t until_s;                      /* nobody may be let in by it later */
};

enum ox_jwt_result {
    OX_JWT_GOOD,
    OX_JWT_MALFORMED, /* no token of ours in form or algorithm */
    OX_JWT_NO_KEY,    /* no key of the set goes with it: a new one may */
    OX_JWT_FORGED,    /* the signature is another */
    OX_JWT_EXPIRED,   /* or too old, or not good yet */
    OX_JWT_FOREIGN,   /* of another issuer, or for another audience */
    OX_JWT_NO_ACCESS, /* genuine; its claims name no tenant or role */
};
/* "good", "malformed", ...: of the metric. */
const char *ox_jwt_result_name(enum ox_jwt_result result);

/* Whether it has the form of a token rather than that of an API key. */
bool ox_jwt_looks_like(struct ox_str text);

/* set: lend, may be NULL. *claims: the whole payload when the signature is right, json_decref it; may be NULL. diag may be
 * NULL. */
OX_MUST_USE ox_err ox_jwt_verify(struct ox_str token, const struct ox_jwt_rules *rules,
                                 const struct ox_jwks *set, int64_t now_s, struct ox_jwt_who *out,
                                 enum ox_jwt_result *result, struct json_t **claims, struct ox_diag *diag);

/* base64url without padding, each text in its one form only. INVALID. out: room for 3/4 of text.n. */
OX_MUST_USE ox_err ox_base64url_decode(struct ox_str text, uint8_t *out, size_t *n);
/* out: room for OX_BASE64URL_LEN(n) and a zero. */
#define OX_BASE64URL_LEN(n) (((n)*4 + 2) / 3)
void ox_base64url_encode(const void *bytes, size_t n, char *out);

#endif
