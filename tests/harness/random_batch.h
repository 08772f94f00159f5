/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/random_batch.h - batches with every field of OTLP set at random, from a seed.
 *
 * Owns:    nothing; the caller frees what it gets with ox_batch_free.
 * Threads: any.
 */
#ifndef HARNESS_RANDOM_BATCH_H
#define HARNESS_RANDOM_BATCH_H

#include "ox/batch.h"

struct random_batch {
    uint64_t seed;
    uint32_t rows;
    uint64_t from_ns; /* times lie in [from_ns, from_ns + span_ns) */
    uint64_t span_ns;
    bool plain;         /* no refused rows, no missing times */
    uint32_t words_max; /* how many different texts there are; few: repetition, many: growing dictionaries */
};

/* Deterministic; ends the test when memory runs out. */
struct ox_batch *random_batch_new(enum ox_signal signal, const struct random_batch *options);

#endif
