/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/runtime_check.h - whether the runtime's own structures agree with one another.
 *
 * Owns:    nothing.
 * Threads: single-thread mode, between two steps.
 */
#ifndef OX_TESTS_RUNTIME_CHECK_H
#define OX_TESTS_RUNTIME_CHECK_H

#include "ox/base.h"

/*
 * Walks all actors: mailboxes within their bounds and counted right, who has something to do stands in a ready queue
 * and once, nobody else does, no payload lies in two messages, every wait has what will end it. False, and `why` says
 * what is wrong with whom.
 */
bool runtime_check(char *why, size_t size);

#endif
