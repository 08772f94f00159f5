/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/batch_wire.c - from struct ox_batch back to protobuf wire.
 *
 * Owns:    nothing.
 * Threads: any.
 *
 * Covers what bench/telemetry_gen.c makes: spans with events, logs, gauge and sum points; scalar attributes.
 */
#include "bench/batch_wire.h"

#include "ox/otlp_wire.h"

static void
put_any(struct ox_buf *b, uint32_t field, const struct ox_any *any)
{
    size_t mark = ox_wire_begin(b, field);
    switch (any->type) {
    case OX_ANY_STRING:
        ox_wire_put_bytes(b, 1, any->str);
        break;
    case OX_ANY_BOOL:
        ox_wire_put_varint(b, 2, any->b);
        break;
    case OX_ANY_INT:
        ox_wire_put_varint(b, 3, (uint64_t)any->i);
        break;
    case OX_ANY_DOUBLE:
        ox_wire_put_double(b, 4, any->d);
        break;
    default:
        break;
    }
    ox_wire_end(b, mark);
}

static void
put_attrs(struct ox_buf *b, const struct ox_batch *batch, struct ox_slice attrs, uint32_t field)
{
    for (uint32_t i = attrs.first; i < attrs.first + attrs.count; i++) {
        size_t mark = ox_wire_begin(b, field);
        const struct ox_any value = ox_attr_value(&batch->attrs[i]);
        ox_wire_put_bytes(b, 1, ox_attr_key(&batch->attrs[i]));
        put_any(b, 2, &value);
        ox_wire_end(b, mark);
    }
}

static void
put_span(struct ox_buf *b, const struct ox_batch *batch, const struct ox_span *s)
{
    static const uint8_t none[8];
    size_t mark = ox_wire_begin(b, 2);
    ox_wire_put_bytes(b, 1, (struct ox_str){(const char *)s->trace_id, 16});
    ox_wire_put_bytes(b, 2, (struct ox_str){(const char *)s->span_id, 8});
    if (memcmp(s->parent_span_id, none, 8) != 0)
        ox_wire_put_bytes(b, 4, (struct ox_str){(const char *)s->parent_span_id, 8});
    ox_wire_put_bytes(b, 5, s->name);
    ox_wire_put_varint(b, 6, s->kind);
    ox_wire_put_fixed64(b, 7, s->start_ns);
    ox_wire_put_fixed64(b, 8, s->end_ns);
    put_attrs(b, batch, s->attrs, 9);
    for (uint32_t i = s->events.first; i < s->events.first + s->events.count; i++) {
        const struct ox_span_event *e = &batch->events[i];
        size_t event = ox_wire_begin(b, 11);
        ox_wire_put_fixed64(b, 1, e->time_ns);
        ox_wire_put_bytes(b, 2, e->name);
        put_attrs(b, batch, e->attrs, 3);
        ox_wire_end(b, event);
    }
    if (s->status_code != 0) {
        size_t status = ox_wire_begin(b, 15);
        ox_wire_put_bytes(b, 2, s->status_message);
        ox_wire_put_varint(b, 3, s->status_code);
        ox_wire_end(b, status);
    }
    ox_wire_put_fixed32(b, 16, s->flags);
    ox_wire_end(b, mark);
}

static void
put_log(struct ox_buf *b, const struct ox_batch *batch, const struct ox_log *l)
{
    static const uint8_t none[16];
    size_t mark = ox_wire_begin(b, 2);
    ox_wire_put_fixed64(b, 1, l->time_ns);
    ox_wire_put_varint(b, 2, l->severity);
    ox_wire_put_bytes(b, 3, l->severity_text);
    put_any(b, 5, &l->body);
    put_attrs(b, batch, l->attrs, 6);
    ox_wire_put_fixed32(b, 8, l->flags);
    if (memcmp(l->trace_id, none, 16) != 0) {
        ox_wire_put_bytes(b, 9, (struct ox_str){(const char *)l->trace_id, 16});
        ox_wire_put_bytes(b, 10, (struct ox_str){(const char *)l->span_id, 8});
    }
    ox_wire_put_fixed64(b, 11, l->observed_ns);
    ox_wire_end(b, mark);
}

static void
put_point(struct ox_buf *b, const struct ox_batch *batch, const struct ox_point *p)
{
    size_t mark = ox_wire_begin(b, 1);
    ox_wire_put_fixed64(b, 2, p->start_ns);
    ox_wire_put_fixed64(b, 3, p->time_ns);
    if ((p->has & OX_POINT_IS_INT) != 0)
        ox_wire_put_fixed64(b, 6, (uint64_t)p->int_value);
    else
        ox_wire_put_double(b, 4, p->value);
    put_attrs(b, batch, p->attrs, 7);
    ox_wire_end(b, mark);
}

static void
put_metric(struct ox_buf *b, const struct ox_batch *batch, uint32_t metric)
{
    const struct ox_metric *m = &batch->metrics[metric];
    size_t mark = ox_wire_begin(b, 2);
    ox_wire_put_bytes(b, 1, m->name);
    ox_wire_put_bytes(b, 2, m->description);
    ox_wire_put_bytes(b, 3, m->unit);
    size_t data = ox_wire_begin(b, m->type == OX_METRIC_SUM ? 7 : 5);
    for (uint32_t i = 0; i < batch->n_points; i++) {
        if (batch->points[i].metric == metric)
            put_point(b, batch, &batch->points[i]);
    }
    if (m->type == OX_METRIC_SUM) {
        ox_wire_put_varint(b, 2, m->temporality);
        ox_wire_put_varint(b, 3, m->monotonic);
    }
    ox_wire_end(b, data);
    ox_wire_end(b, mark);
}

static void
put_rows(struct ox_buf *b, const struct ox_batch *batch, uint32_t scope)
{
    for (uint32_t i = 0; i < batch->n_spans; i++) {
        if (batch->spans[i].scope == scope)
            put_span(b, batch, &batch->spans[i]);
    }
    for (uint32_t i = 0; i < batch->n_logs; i++) {
        if (batch->logs[i].scope == scope)
            put_log(b, batch, &batch->logs[i]);
    }
    for (uint32_t i = 0; i < batch->n_metrics; i++) {
        if (batch->metrics[i].scope == scope)
            put_metric(b, batch, i);
    }
}

void
batch_wire(const struct ox_batch *batch, struct ox_buf *out)
{
    ox_buf_reset(out);
    for (uint32_t r = 0; r < batch->n_resources; r++) {
        size_t resource = ox_wire_begin(out, 1);
        size_t mark = ox_wire_begin(out, 1);
        put_attrs(out, batch, batch->resources[r].attrs, 1);
        ox_wire_end(out, mark);
        for (uint32_t s = 0; s < batch->n_scopes; s++) {
            if (batch->scopes[s].resource != r)
                continue;
            size_t scope = ox_wire_begin(out, 2);
            mark = ox_wire_begin(out, 1);
            ox_wire_put_bytes(out, 1, batch->scopes[s].name);
            ox_wire_put_bytes(out, 2, batch->scopes[s].version);
            ox_wire_end(out, mark);
            put_rows(out, batch, s);
            ox_wire_end(out, scope);
        }
        ox_wire_end(out, resource);
    }
}
