/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/encode_spans.c - spans as rows of otel_traces.
 *
 * Owns:    nothing; fills the columns of a builder.
 * Threads: the builder's.
 * Bounds:  the piece of rows given.
 * Flow:    encode_builder.c -> here -> encode_attrs.c, span_stats.c, native.h.
 */
#include "encode_rows.h"

#define MINUTE_NS (60ull * 1000000000ull)

static void
put_events(struct ox_builder *b, struct ox_block *block, const struct ox_batch *batch, struct ox_slice events)
{
    struct ox_col *c = block->cols;
    for (uint32_t i = 0; i < events.count; i++) {
        const struct ox_span_event *e = &batch->events[events.first + i];
        OX__PUSH(uint64_t, &c[T_EV_TIME].data, e->time_ns);
        ox__push_lc(&c[T_EV_NAME], e->name);
        ox__put_attrs(b, &c[T_EV_ATTRS], &c[T_EV_TYPES], batch->attrs + e->attrs.first, e->attrs.count);
        OX__PUSH(uint32_t, &c[T_EV_DROPPED].data, e->dropped_attrs);
    }
    ox__end_array(block, 1, events.count);
}

static void
put_links(struct ox_builder *b, struct ox_block *block, const struct ox_batch *batch, struct ox_slice links)
{
    struct ox_col *c = block->cols;
    for (uint32_t i = 0; i < links.count; i++) {
        const struct ox_span_link *l = &batch->links[links.first + i];
        ox_buf_append(&c[T_LN_TRACE_ID].data, l->trace_id, sizeof(l->trace_id));
        ox_buf_append(&c[T_LN_SPAN_ID].data, l->span_id, sizeof(l->span_id));
        ox__put_text(&c[T_LN_STATE].data, l->trace_state);
        ox__put_attrs(b, &c[T_LN_ATTRS], &c[T_LN_TYPES], batch->attrs + l->attrs.first, l->attrs.count);
        OX__PUSH(uint32_t, &c[T_LN_DROPPED].data, l->dropped_attrs);
        OX__PUSH(uint32_t, &c[T_LN_FLAGS].data, l->flags);
    }
    ox__end_array(block, 2, links.count);
}

static void
put_span(struct ox_builder *b, struct ox_block *block, const struct ox_batch *batch, const struct ox_span *s)
{
    struct ox_col *c = block->cols;
    ox__put_origin(b, block, batch, s->scope, &c[T_TENANT], &c[T_SERVICE]);
    OX__PUT(uint64_t, &c[T_START], s->start_ns);
    OX__PUT(uint64_t, &c[T_DURATION], s->end_ns - s->start_ns);
    ox__put_bytes(&c[T_TRACE_ID], s->trace_id, sizeof(s->trace_id));
    ox__put_bytes(&c[T_SPAN_ID], s->span_id, sizeof(s->span_id));
    ox__put_bytes(&c[T_PARENT], s->parent_span_id, sizeof(s->parent_span_id));
    ox__put_text(&c[T_STATE].data, s->trace_state);
    OX__PUT(uint32_t, &c[T_FLAGS], s->flags);
    ox__put_lc(&c[T_NAME], s->name);
    OX__PUT(uint8_t, &c[T_KIND], s->kind);
    OX__PUT(uint8_t, &c[T_STATUS], s->status_code);
    ox__put_text(&c[T_STATUS_MESSAGE].data, s->status_message);
    ox__put_attrs(b, &c[T_ATTRS], &c[T_TYPES], batch->attrs + s->attrs.first, s->attrs.count);
    OX__PUT(uint32_t, &c[T_DROPPED_ATTRS], s->dropped_attrs);
    OX__PUT(uint32_t, &c[T_DROPPED_EVENTS], s->dropped_events);
    OX__PUT(uint32_t, &c[T_DROPPED_LINKS], s->dropped_links);
    put_events(b, block, batch, s->events);
    put_links(b, block, batch, s->links);
    OX__PUT(double, &c[T_WEIGHT], s->weight != 0 ? s->weight : 1.0);
    block->rows++;
}

void
ox__encode_spans(struct ox_builder *b, const struct ox_batch *batch, const struct ox_rows *rows)
{
    struct ox_block *block = &b->blocks[B_ROWS];
    if (!ox__block_reserve(block, rows->count)) {
        b->failed = true;
        return;
    }
    for (uint32_t row = rows->first; row < rows->first + rows->count; row++) {
        const struct ox_span *s = &batch->spans[row];
        if (s->reject != OX_REJECT_NONE || !ox__in_partition(b, s->start_ns) || !ox__kept(rows, row))
            continue;
        ox__span_stats_count(&b->stats, batch, s, (uint32_t)((s->start_ns - b->from_ns) / MINUTE_NS));
        if (!s->sampled_out)
            put_span(b, block, batch, s);
    }
    b->rows = block->rows;
}
