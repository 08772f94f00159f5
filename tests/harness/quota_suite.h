/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/quota_suite.h - what every store of quotas must do, in whichever database.
 *
 * Owns:    nothing.
 * Threads: one.
 */
#ifndef OX_TESTS_QUOTA_SUITE_H
#define OX_TESTS_QUOTA_SUITE_H

#include "ox/quota_store.h"

/* Both on one database without tenants. Asserts. */
void quota_story(struct ox_control_store *control, struct ox_quota_store *quotas);

#endif
