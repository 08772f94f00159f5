/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/unit/actors/sampler/made_spans.h - batches of spans, made one by one.
 *
 * Owns:    the batch; names are lent.
 * Threads: one.
 */
#ifndef OX_TEST_MADE_SPANS_H
#define OX_TEST_MADE_SPANS_H

#include "ox/batch.h"

struct made_span {
    uint64_t trace, id, parent;
    const char *service, *name;
    uint8_t kind, status;
    uint64_t start_ns, duration_ns;
    const char *tracestate;
    uint32_t flags;
    uint64_t link_trace, link_id; /* 0 = none */
    /* pairs of keys and values; a value of digits becomes a number */
    const char *attrs[8];
};

struct ox_batch *made_batch(uint64_t wal_seq, uint64_t received_ns);
/* Its ordinal. A resource of its own each. */
uint32_t made_add(struct ox_batch *batch, const struct made_span *span);
/* Bytes 0 to 7 are the number mixed, so that R is random; 8 to 15 too. */
void made_trace_id(uint64_t trace, uint8_t id[16]);

#endif
