/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/otlp_random.h - random OTLP requests, packed by protobuf-c, and what may happen to them.
 *
 * Owns:    nothing.
 * Threads: any.
 * Bounds:  a few items per list, AnyValue at most 4 levels deep.
 */
#ifndef HARNESS_OTLP_RANDOM_H
#define HARNESS_OTLP_RANDOM_H

#include "ox/base.h"
#include "ox/buf.h"

struct otlp_random {
    uint64_t state; /* the seed to begin with */
};

uint64_t otlp_random_next(struct otlp_random *r);
uint32_t otlp_random_below(struct otlp_random *r, uint32_t n);
/* Appends a valid request: every field, sometimes unset; ids of the right length or empty. */
void otlp_random_request(struct otlp_random *r, enum ox_signal signal, struct ox_buf *out);
/* Appends the request in another, equally valid way of writing: lists unpacked, embedded messages in two pieces,
 * unknown fields between, values written twice, other members of a oneof before the one that counts. */
void otlp_random_rewrite(struct otlp_random *r, enum ox_signal signal, struct ox_str wire,
                         struct ox_buf *out);
/* Harms the bytes: bits, single bytes, cuts, a piece from elsewhere in them. */
void otlp_random_harm(struct otlp_random *r, struct ox_buf *wire);

#endif
