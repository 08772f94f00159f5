/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/encode_logs.c - log records as rows of otel_logs.
 *
 * Owns:    nothing; fills the columns of a builder.
 * Threads: the builder's.
 * Bounds:  the piece of rows given.
 * Flow:    encode_builder.c -> here -> encode_attrs.c, native.h.
 *
 * time is what rows are ordered and kept by, so a record without one gets its observed time, or the time of
 * arrival; likewise the observed time the arrival. time_flags remembers what was missing.
 */
#include "encode_rows.h"

enum { NO_TIME = 1, NO_OBSERVED_TIME = 2 };

static void
put_times(struct ox_col *c, const struct ox_batch *batch, const struct ox_log *l)
{
    uint8_t flags = (uint8_t)((l->time_ns == 0 ? NO_TIME : 0) | (l->observed_ns == 0 ? NO_OBSERVED_TIME : 0));
    uint64_t time_ns = ox__log_time(batch, l);
    uint64_t observed_ns = l->observed_ns != 0 ? l->observed_ns : batch->received_ns;
    OX__PUT(uint64_t, &c[L_TIME], time_ns);
    OX__PUT(uint64_t, &c[L_OBSERVED], observed_ns - time_ns);
    OX__PUT(uint8_t, &c[L_TIME_FLAGS], flags);
}

static void
put_log(struct ox_builder *b, struct ox_block *block, const struct ox_batch *batch, const struct ox_log *l)
{
    struct ox_col *c = block->cols;
    ox__put_origin(b, block, batch, l->scope, &c[L_TENANT], &c[L_SERVICE]);
    put_times(c, batch, l);
    OX__PUT(uint8_t, &c[L_SEVERITY], l->severity);
    ox__put_lc(&c[L_SEVERITY_TEXT], l->severity_text);
    ox__put_lc(&c[L_EVENT_NAME], l->event_name);
    OX__PUT(uint8_t, &c[L_BODY_TYPE], (uint8_t)ox__put_any(b, &c[L_BODY].data, &l->body));
    ox__put_bytes(&c[L_TRACE_ID], l->trace_id, sizeof(l->trace_id));
    ox__put_bytes(&c[L_SPAN_ID], l->span_id, sizeof(l->span_id));
    OX__PUT(uint32_t, &c[L_FLAGS], l->flags);
    ox__put_attrs(b, &c[L_ATTRS], &c[L_TYPES], batch->attrs + l->attrs.first, l->attrs.count);
    OX__PUT(uint32_t, &c[L_DROPPED_ATTRS], l->dropped_attrs);
    block->rows++;
}

void
ox__encode_logs(struct ox_builder *b, const struct ox_batch *batch, const struct ox_rows *rows)
{
    struct ox_block *block = &b->blocks[B_ROWS];
    if (!ox__block_reserve(block, rows->count)) {
        b->failed = true;
        return;
    }
    for (uint32_t row = rows->first; row < rows->first + rows->count; row++) {
        const struct ox_log *l = &batch->logs[row];
        if (l->reject != OX_REJECT_NONE || !ox__in_partition(b, ox__log_time(batch, l)) ||
            !ox__kept(rows, row))
            continue;
        put_log(b, block, batch, l);
    }
    b->rows = block->rows;
}
