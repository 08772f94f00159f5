/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/random_otlp.h - AnyValues and whole OTLP requests as wire bytes, at random from a seed.
 *
 * Owns:    nothing; appends to the caller's buffer.
 * Threads: any; a generator belongs to one at a time.
 * Bounds:  RANDOM_ANY_DEPTH_MAX.
 *
 * The bytes are in the one form that the JSON mapping writes: fields in the order of their numbers, lists of
 * numbers packed and not empty, NaN with the one usual pattern. So what comes back can be compared byte by byte.
 */
#ifndef HARNESS_RANDOM_OTLP_H
#define HARNESS_RANDOM_OTLP_H

#include "ox/buf.h"
#include "ox/random.h"

#define RANDOM_ANY_DEPTH_MAX 8

/* Appends the content of one AnyValue (no tag, no length); a scalar has depth 1. depth: of this one. */
void random_any(struct ox_random *rnd, unsigned depth, struct ox_buf *wire);
/* Appends an Export...ServiceRequest that may have any field of its signal set, ids of the right length. */
void random_request(struct ox_random *rnd, enum ox_signal signal, struct ox_buf *wire);

#endif
