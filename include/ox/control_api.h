/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/control_api.h - tenants and keys over HTTP: who may, what is written to the audit log, what is answered.
 *
 * Owns:    nothing.
 * Threads: query threads, slow orders on the one for those; blocks on the store, on the audit log, and on Argon2 when a key is
 *          made or verified.
 * Bounds:  OX_CONTROL_PAGE_MAX rows of one answer.
 * Fails:   always answers; the errors of include/ox/control.h, FORBIDDEN, INVALID.
 * Flow:    actors/query/api_actor.c -> cmd/node_api.c -> here -> store. docs/api.md lists the routes.
 */
#ifndef OX_CONTROL_API_H
#define OX_CONTROL_API_H

#include "ox/api_key.h"
#include "ox/audit.h"
#include "ox/clock.h"
#include "ox/query.h"

struct ox_login_limit;
struct ox_oidc;
struct ox_quota_store;
struct ox_quotas;
struct ox_user;
struct ox_user_store;

/* Lends. */
struct ox_control_api {
    struct ox_control_store *store;
    struct ox_audit *audit;
    const struct ox_clock *clock;
    /* quotas; NULL = there are none here */
    struct ox_quota_store *quota_store;
    struct ox_quotas *quotas;
    void (*quotas_changed)(void *ctx); /* they should be read again soon; may be NULL */
    /* users; NULL = there are none here */
    struct ox_user_store *users;
    struct ox_login_limit *limits;
    /* Sessions of this tenant have ended: nobody should be let in by what is remembered of them. May be NULL. */
    void (*users_changed)(void *ctx, const struct ox_tenant_id *tenant);
    struct ox_oidc *oidc;  /* logins through a provider; NULL = there are none */
    const char *oidc_name; /* what the console calls it */
    int64_t session_idle_s, session_max_s;
    bool development;
    void *ctx;
};

/* Whether a request hashes a secret, which takes a tenth of a second and 64 MiB, and whether nobody may make it. Pure. */
enum ox_api_kind ox_control_kind(struct ox_str method, struct ox_str path);

/* False: the path is none of ours, and nothing was answered. */
bool ox_control_answer(const struct ox_control_api *api, const struct ox_query_request *req,
                       struct ox_query_response *res);

/*
 * Whether who asked may still give orders, for one that is carried out elsewhere: UNAUTHENTICATED. What he shows was good a moment
 * ago; a store that does not answer now keeps no operator from doing what is to be done, which is said in the log.
 */
OX_MUST_USE ox_err ox_control_may_still(struct ox_control_store *store, const struct ox_query_request *req,
                                        int64_t now_s, struct ox_diag *diag);

/*
 * The platform's tenant, and in it a key for the first operator, unless there is a good one already (*made tells);
 * another: also when there is. text: the key, to be shown once. For `observex control init`, whose caller owns the
 * database.
 */
OX_MUST_USE ox_err ox_control_first_operator(struct ox_control_store *store, int64_t now_s, bool another,
                                             char text[OX_API_KEY_LEN + 1], struct ox_control_key *key,
                                             bool *made, struct ox_diag *diag);

/*
 * The platform's tenant, and in it a user of this name, role operator, with a password that is made here (to be shown once).
 * EXISTS. As above. password: OX_PASSWORD_MADE characters and a zero.
 */
OX_MUST_USE ox_err ox_control_operator_user(struct ox_control_store *store, struct ox_user_store *users,
                                            const char *name, int64_t now_s, char *password,
                                            struct ox_diag *diag);

#endif
