/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/jwt_maker.h - an issuer: keys, the set that shows them, and tokens signed with them.
 *
 * Owns:    struct jwt_maker; texts are the caller's to free.
 * Threads: one at a time.
 */
#ifndef OX_JWT_MAKER_H
#define OX_JWT_MAKER_H

#include <openssl/evp.h>

/* alg: "RS256", "ES256" or "EdDSA". */
struct jwt_maker {
    const char *alg;
    const char *kid; /* NULL = it has none */
    EVP_PKEY *key;
};

void jwt_maker_init(struct jwt_maker *m, const char *alg, const char *kid);
void jwt_maker_fini(struct jwt_maker *m);
/* The public key as a JWK. */
char *jwt_maker_jwk(const struct jwt_maker *m);
/* The header {"alg":...,"kid":...} and this payload, signed. */
char *jwt_maker_sign(const struct jwt_maker *m, const char *payload);
/* The same with any header. */
char *jwt_maker_sign_as(const struct jwt_maker *m, const char *header, const char *payload);
/* Header and payload with an HMAC-SHA-256 under `secret`. */
char *jwt_maker_hs256(const void *secret, size_t n, const char *header, const char *payload);

#endif
