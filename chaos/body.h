/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/body.h - OTLP requests whose every record carries a key, and the keys of such a request.
 *
 * Owns:    nothing.
 * Threads: any.
 */
#ifndef CHAOS_BODY_H
#define CHAOS_BODY_H

#include "chaos/ids.h"
#include "ox/buf.h"
#include "ox/schema.h"

/*
 * Replaces `out` by the protobuf request of n records of the lane, ids first, first + 1, ...; time_ns: Unix time
 * of the first, the others follow at 1 us. Keys stand in the span id of spans and logs, in the value of numbers and
 * exemplars, and in the sum of histograms, exponential histograms and summaries: of eight ids of metrics four are such.
 * An exemplar hangs on its neighbour, so n is at least 2. Every tenth log record is an error, so that the view over
 * errors has work.
 */
void chaos_body(const struct chaos_lane *lane, uint64_t first, uint32_t n, uint64_t time_ns,
                struct ox_buf *out);

/* Appends the keys (u64 each) that stand in a request to `out`; false when it is no such request. */
bool chaos_body_keys(enum ox_signal signal, struct ox_str body, struct ox_buf *out);

/* Whether the node counts it as a record: exemplars are part of their points. */
bool chaos_is_record(enum ox_signal signal, uint64_t id);

/* A table with records of a signal: how it shows the key, its time column, what finds our rows in its sort key. */
struct chaos_source {
    const char *table, *key, *time, *ours;
};
#define CHAOS_SOURCES_MAX 3
/* n of them; the first holds most. */
const struct chaos_source *chaos_sources(enum ox_signal signal, size_t *n);
/* The key in a row of a block in the outbox: its column; NULL when the table holds no keys. hex: as a span id. */
const char *chaos_key_column(enum ox_table table, bool *hex);

#endif
