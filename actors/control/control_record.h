/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/control_record.h - what both control stores do with their rows: reading values, rules, sentences.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 */
#ifndef OX_CONTROL_RECORD_H
#define OX_CONTROL_RECORD_H

#include "ox/control.h"

/* Changes kept for nodes that look late; who misses more is told so. */
#define OX__CHANGES_KEPT 10000

/* Keys made within so long count, whether they have ended or not: what has ended stays, so its number grows no faster. */
#define OX__KEYS_RECENT_S 86400

/* Copies n bytes and a zero; false when they do not fit or hold a zero. from may be NULL: false. */
bool ox__control_copy(char *to, size_t size, const char *from, size_t n);
bool ox__control_state(struct ox_str text, enum ox_tenant_state *out);

/* The sentences. diag may be NULL. */
ox_err ox__control_damaged(const char *table, struct ox_diag *diag);
ox_err ox__control_no_tenant(const struct ox_tenant_id *id, struct ox_diag *diag);
ox_err ox__control_no_key(const char *key_id, struct ox_diag *diag);
ox_err ox__control_no_asker(struct ox_diag *diag);

/* The rules: STATE with a sentence. */
OX_MUST_USE ox_err ox__control_may_have_key(const struct ox_control_tenant *tenant, struct ox_diag *diag);
/* have: that count. */
OX_MUST_USE ox_err ox__control_room_for_key(const struct ox_control_store *st,
                                            const struct ox_tenant_id *tenant, uint64_t have,
                                            struct ox_diag *diag);
OX_MUST_USE ox_err ox__control_may_rotate(const struct ox_control_key *old, int64_t now_s,
                                          struct ox_diag *diag);

#endif
