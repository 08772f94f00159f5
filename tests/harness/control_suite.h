/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/control_suite.h - what every store of the control plane must do; run over each of them.
 *
 * Owns:    nothing. Each story is given an empty store.
 */
#ifndef CONTROL_SUITE_H
#define CONTROL_SUITE_H

#include "ox/control.h"

#define CONTROL_STORIES(S)                                                                                   \
    S(tenants)                                                                                               \
    S(tenant_pages)                                                                                          \
    S(keys)                                                                                                  \
    S(keys_of_others)                                                                                        \
    S(revocation)                                                                                            \
    S(rotation)                                                                                              \
    S(askers)                                                                                                \
    S(key_limit)                                                                                             \
    S(digests)                                                                                               \
    S(same_keys)                                                                                             \
    S(last_used)                                                                                             \
    S(change_log)                                                                                            \
    S(strange_names)

#define S(name) void control_story_##name(struct ox_control_store *st);
CONTROL_STORIES(S)
#undef S

/* A key of `tenant` with everything filled in; its digest is derived from the id. */
struct ox_control_key control_key_of(const char *tenant, const char *id);
/* Creates an active tenant. */
void control_add_tenant(struct ox_control_store *st, const char *id);

#endif
