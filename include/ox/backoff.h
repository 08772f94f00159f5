/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/backoff.h - how long to wait before something that failed is tried again.
 *
 * Owns:    nothing; pure.
 * Threads: any.
 */
#ifndef OX_BACKOFF_H
#define OX_BACKOFF_H

#include "ox/base.h"

/*
 * The wait before the next try after `failures` of them in a row: `min` for the first, doubling to `max` (both in
 * the same unit, 0 < min <= max). Half of it is certain and half is chance, taken from `random` (any 64 bits), so
 * that those who failed together do not come back as one: the result lies in [wait / 2, wait].
 */
uint64_t ox_backoff(uint64_t min, uint64_t max, uint32_t failures, uint64_t random);

#endif
