/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/otlp_row.c - one row of a batch back to a complete request.
 *
 * Owns:    nothing.
 * Threads: the batch's owner.
 * Fails:   OX_E_NOMEM.
 * Flow:    actors/gateway/dead_letter.c, poison rows of the writer.
 *
 * Record, resource and scope are copied as the bytes that came, so unknown fields survive; a metric is written anew
 * because its message holds all its points.
 */
#include "ox/any.h"
#include "ox/otlp.h"
#include "ox/otlp_wire.h"

static void
put_attrs(const struct ox_batch *b, struct ox_slice attrs, uint32_t field, struct ox_buf *out)
{
    for (uint32_t i = 0; i < attrs.count; i++) {
        const struct ox_attr *attr = &b->attrs[attrs.first + i];
        size_t kv = ox_wire_begin(out, field);
        const struct ox_any value = ox_attr_value(attr);
        ox_wire_put_bytes(out, 1, ox_attr_key(attr));
        size_t any = ox_wire_begin(out, 2);
        ox_any_to_wire(&value, out);
        ox_wire_end(out, any);
        ox_wire_end(out, kv);
    }
}

static void
put_text(struct ox_buf *out, uint32_t field, struct ox_str text)
{
    if (text.n != 0)
        ox_wire_put_bytes(out, field, text);
}

static void
put_metric(const struct ox_batch *b, const struct ox_point *pt, struct ox_buf *out)
{
    static const uint8_t data_fields[] = {[OX_METRIC_GAUGE] = 5,
                                          [OX_METRIC_SUM] = 7,
                                          [OX_METRIC_HISTOGRAM] = 9,
                                          [OX_METRIC_EXP_HISTOGRAM] = 10,
                                          [OX_METRIC_SUMMARY] = 11};
    const struct ox_metric *m = &b->metrics[pt->metric];
    size_t metric = ox_wire_begin(out, 2);
    put_text(out, 1, m->name);
    put_text(out, 2, m->description);
    put_text(out, 3, m->unit);
    size_t data = ox_wire_begin(out, data_fields[m->type]);
    ox_wire_put_bytes(out, 1, ox_batch_piece(b, pt->wire));
    if (m->temporality != 0)
        ox_wire_put_varint(out, 2, m->temporality);
    if (m->monotonic)
        ox_wire_put_varint(out, 3, 1);
    ox_wire_end(out, data);
    put_attrs(b, m->metadata, 12, out);
    ox_wire_end(out, metric);
}

static uint32_t
row_scope(const struct ox_batch *b, uint32_t row)
{
    switch (b->signal) {
    case OX_SIGNAL_TRACES:
        return b->spans[row].scope;
    case OX_SIGNAL_LOGS:
        return b->logs[row].scope;
    default:
        return b->metrics[b->points[row].metric].scope;
    }
}

ox_err
ox_otlp_row_to_wire(const struct ox_batch *batch, uint32_t row, struct ox_buf *out)
{
    const struct ox_scope *scope = &batch->scopes[row_scope(batch, row)];
    const struct ox_resource *resource = &batch->resources[scope->resource];
    size_t resource_mark = ox_wire_begin(out, 1);
    if (resource->wire.p != NULL)
        ox_wire_put_bytes(out, 1, resource->wire);
    size_t scope_mark = ox_wire_begin(out, 2);
    if (scope->wire.p != NULL)
        ox_wire_put_bytes(out, 1, scope->wire);
    if (batch->signal == OX_SIGNAL_TRACES)
        ox_wire_put_bytes(out, 2, ox_batch_piece(batch, batch->spans[row].wire));
    else if (batch->signal == OX_SIGNAL_LOGS)
        ox_wire_put_bytes(out, 2, ox_batch_piece(batch, batch->logs[row].wire));
    else
        put_metric(batch, &batch->points[row], out);
    put_text(out, 3, scope->schema_url);
    ox_wire_end(out, scope_mark);
    put_text(out, 3, resource->schema_url);
    ox_wire_end(out, resource_mark);
    return out->failed ? OX_E_NOMEM : OX_OK;
}
