/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/user_suite.h - what every store of users must do, in whichever database.
 *
 * Owns:    nothing.
 * Threads: one.
 */
#ifndef OX_TESTS_USER_SUITE_H
#define OX_TESTS_USER_SUITE_H

#include "ox/user_store.h"

/* Both on one database without tenants. Assert. */
void user_story(struct ox_control_store *control, struct ox_user_store *users);
void session_story(struct ox_control_store *control, struct ox_user_store *users);
void user_asker_story(struct ox_control_store *control, struct ox_user_store *users);

#endif
