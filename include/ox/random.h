/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/random.h - the one way to random numbers: seeded for decisions, the kernel's for secrets.
 *
 * Owns:    the generator's state, in place.
 * Threads: a generator belongs to one thread at a time; ox_random_os from any.
 * Fails:   IO when the kernel gives no random bytes.
 */
#ifndef OX_RANDOM_H
#define OX_RANDOM_H

#include "ox/base.h"

struct ox_random {
    uint64_t s[4];
};

/* Same seed, same sequence, on every machine. Not for secrets. */
void ox_random_seed(struct ox_random *rnd, uint64_t seed);
uint64_t ox_random_u64(struct ox_random *rnd);
/* 0 .. n-1 without bias; n > 0. */
uint64_t ox_random_below(struct ox_random *rnd, uint64_t n);
/* [0, 1) */
double ox_random_double(struct ox_random *rnd);
void ox_random_bytes(struct ox_random *rnd, void *out, size_t n);

/* Bytes from the kernel, fit for secrets. */
OX_MUST_USE ox_err ox_random_os(void *out, size_t n);

#endif
