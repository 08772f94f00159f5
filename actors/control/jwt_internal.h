/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/jwt_internal.h - what the files about JSON Web Tokens share.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 */
#ifndef OX_JWT_INTERNAL_H
#define OX_JWT_INTERNAL_H

#include <jansson.h>
#include <openssl/evp.h>

#include "ox/jwt.h"

enum ox__jwt_alg { OX__JWT_RS256, OX__JWT_ES256, OX__JWT_EDDSA, OX__JWT_HS256, OX__JWT_ALG__COUNT };
#define OX__JWT_ASYMMETRIC OX__JWT_HS256 /* those before it have keys in a set */

/* False: none that is ever taken. "none" is one of those. */
bool ox__jwt_alg_of(const char *name, enum ox__jwt_alg *out);

/* ---- jwks.c ---- */

/* The one key that may verify this; NULL when there is none or more than one. kid NULL: the token names none. Lend. */
EVP_PKEY *ox__jwks_find(const struct ox_jwks *set, enum ox__jwt_alg alg, const char *kid);

/* ---- jwt_claims.c ---- */

/* Whether a genuine token is in time, from whom and for whom it has to be; *until_s. */
enum ox_jwt_result ox__jwt_check(const json_t *claims, const struct ox_jwt_rules *rules, int64_t now_s,
                                 int64_t *until_s);
/* Who it is, by its claims. FORBIDDEN. */
OX_MUST_USE ox_err ox__jwt_who(const json_t *claims, const struct ox_jwt_rules *rules, struct ox_jwt_who *out,
                               struct ox_diag *diag);

#endif
