/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/oidc.h - logging in through an OpenID provider: authorization code with PKCE, state and nonce.
 *
 * Owns:    struct ox_oidc: what the provider says of itself, and its keys.
 * Threads: every call may block on the provider: the thread for logins.
 * Bounds:  one provider; its documents as in ox/jwt.h, each call of it OX_OIDC's time-outs (jwks_fetch.c). What it says of itself is
 *          read once an hour, its keys also when one is not known, once in OX_JWKS_AGAIN_S.
 * Fails:   UNAVAILABLE (it does not answer), UNAUTHENTICATED, FORBIDDEN (its claims give no access), with a sentence for the log.
 * Flow:    actors/control/control_oidc.c -> here -> the provider; jwt.c verifies what it says.
 *
 * Nothing is kept here between the two halves of a login: what belongs to it stands in a cookie of the browser that began it.
 */
#ifndef OX_OIDC_H
#define OX_OIDC_H

#include "ox/buf.h"
#include "ox/jwt.h"

struct ox_oidc;

/* Lends; copied. */
struct ox_oidc_options {
    const char *issuer;
    const char *client_id;
    const char *client_secret; /* "" = the client is public */
    const char *redirect_uri;  /* ".../api/v1/oidc/callback", as the provider knows it */
    const char *scopes;
    const char *ca_file;
    const char *user_claim;
    struct ox_jwt_rules rules; /* tenant, role and scope claims, roles, leeway; the rest is filled in here */
};

/* NULL on lack of memory. */
struct ox_oidc *ox_oidc_new(const struct ox_oidc_options *options);
/* NULL is allowed. */
void ox_oidc_free(struct ox_oidc *o);

/* A login that has begun: three random texts with dots between them. */
#define OX_OIDC_PENDING_LEN (3 * 43 + 2)
/* Where the browser goes, and what its cookie is to hold meanwhile. */
OX_MUST_USE ox_err ox_oidc_begin(struct ox_oidc *o, char pending[OX_OIDC_PENDING_LEN + 1], struct ox_buf *url,
                                 int64_t now_s, struct ox_diag *diag);

struct ox_oidc_who {
    struct ox_jwt_who who;
    char user[OX_JWT_SUBJECT_MAX + 1]; /* a name as of ox/user_store.h */
    char mark[128];                    /* that it is this one of this provider: what stands for a password */
};
/* pending: of the cookie; state, code: as the query string has them. */
OX_MUST_USE ox_err ox_oidc_finish(struct ox_oidc *o, struct ox_str pending, struct ox_str state,
                                  struct ox_str code, int64_t now_s, struct ox_oidc_who *out,
                                  struct ox_diag *diag);

/* POSTs a form, as the client when it has a secret. *status: of HTTP. IO, TOO_LARGE. jwks_fetch.c. */
OX_MUST_USE ox_err ox_oidc_post(const char *url, const char *ca_file, const char *client_id,
                                const char *client_secret, const char *form, long *status, struct ox_buf *out,
                                struct ox_diag *diag);

#endif
