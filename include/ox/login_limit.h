/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/login_limit.h - how often somebody may try a password.
 *
 * Owns:    a table of fixed size; what is noted displaces what was noted longest ago of the same few slots.
 * Threads: any; a mutex for the time of a few comparisons. The times are the caller's.
 * Bounds:  the constants below, on one node.
 * Fails:   OVERLOAD with how long to wait (diag's retry_ms).
 * Flow:    actors/control/control_login.c -> here, before a password is hashed.
 *
 * Three counts: of an address; of an account as one address tries it; and of an account as anybody does. The second is what
 * a guesser meets. It waits longer and longer, and never for longer than OX_LOGIN_WAIT_MAX_S, so whoever shares his address
 * is not shut out for ever; and an attempt that is refused counts as none. The third leaves addresses alone from which the
 * account has logged in: whoever guesses from everywhere does not shut its owner out. An account counts whether it exists or not.
 */
#ifndef OX_LOGIN_LIMIT_H
#define OX_LOGIN_LIMIT_H

#include "ox/base.h"

#define OX_LOGIN_ADDRESS_MAX 30 /* failures of one address (IPv6: a /64) within OX_LOGIN_WINDOW_S */
#define OX_LOGIN_WINDOW_S    60
#define OX_LOGIN_FREE                                                                                        \
    5 /* failures of an account from one address before it has to wait: 1 s, 2 s, 4 s, ... */
#define OX_LOGIN_WAIT_MAX_S 60
#define OX_LOGIN_FORGET_S   3600 /* after the last failure the count begins anew */
#define OX_LOGIN_ACCOUNT_MAX                                                                                 \
    100 /* failures of an account from everywhere within OX_LOGIN_FORGET_S; then one in ... */
#define OX_LOGIN_ACCOUNT_S 10 /* ... so long, from addresses that it has not logged in from */

struct ox_login_limit;

/* NULL on lack of memory. */
struct ox_login_limit *ox_login_limit_new(void);
/* NULL is allowed. */
void ox_login_limit_free(struct ox_login_limit *l);

/* Whether this attempt may be made; one that may counts as a failure until _right takes that back. peer, tenant, user: lend. */
OX_MUST_USE ox_err ox_login_limit_try(struct ox_login_limit *l, const char *peer, const char *tenant,
                                      const char *user, int64_t now_s, struct ox_diag *diag);
/* It was the right password. */
void ox_login_limit_right(struct ox_login_limit *l, const char *peer, const char *tenant, const char *user,
                          int64_t now_s);

#endif
