/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/users_record.h - what both stores of users do with their rows: rules and sentences.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 */
#ifndef OX_USERS_RECORD_H
#define OX_USERS_RECORD_H

#include "actors/control/control_record.h"
#include "ox/user_store.h"

#define OX__USER_COLUMNS                                                                                     \
    "u.tenant_id, u.name, u.role, u.state, u.password, u.created_at, u.changed_at, u.password_at,"           \
    " u.login_at, u.login_peer"

/* Those of its columns that are texts, in their order. False: the row is damaged. */
bool ox__user_texts(struct ox_user *out, const char *tenant, const char *name, const char *role,
                    const char *state, const char *password, const char *peer);

const char *ox__user_state(bool active);
ox_err ox__user_none(struct ox_diag *diag);
ox_err ox__user_exists(const char *name, struct ox_diag *diag);
ox_err ox__session_none(struct ox_diag *diag);
/* UNAUTHENTICATED, with the one sentence that he who logs in hears. */
ox_err ox__login_refused(struct ox_diag *diag);
ox_err ox__user_another(struct ox_diag *diag);
/* state: of the tenant; have: users of it. STATE. */
OX_MUST_USE ox_err ox__user_may_be(const char *state, int64_t have, struct ox_diag *diag);

#endif
