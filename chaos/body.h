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

/*
 * Replaces `out` by the protobuf request of n records of the lane, ids first, first + 1, ...; time_ns: Unix time
 * of the first, the others follow at 1 us. Keys stand in the span id of spans and logs and in the value of points.
 * Every tenth log record is an error, so that the view over errors has work.
 */
void chaos_body(const struct chaos_lane *lane, uint64_t first, uint32_t n, uint64_t time_ns,
                struct ox_buf *out);

/* Appends the keys (u64 each) that stand in a request to `out`; false when it is no such request. */
bool chaos_body_keys(enum ox_signal signal, struct ox_str body, struct ox_buf *out);

/* How a table shows the key, its time column, what finds our rows in its sort key, and the table of a signal. */
const char *chaos_key_sql(enum ox_signal signal);
const char *chaos_time_sql(enum ox_signal signal);
const char *chaos_ours_sql(enum ox_signal signal);
const char *chaos_table(enum ox_signal signal);

#endif
