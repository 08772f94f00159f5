/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/body.c - requests with keys.
 *
 * Owns:    see body.h.
 * Threads: any.
 * Flow:    chaos/load.c sends them; chaos/damage.c reads them back out of a log entry.
 */
#include "chaos/body.h"

#include "ox/batch.h"
#include "ox/otlp.h"
#include "ox/otlp_wire.h"

#define STEP_NS         1000u
#define ERROR_EVERY     10u
#define SEVERITY_INFO   9u
#define SEVERITY_ERROR  17u
#define SPANS_PER_TRACE 8u

static const struct {
    const char *table, *key, *time, *ours;
} signals[OX_SIGNAL__COUNT] = {
    [OX_SIGNAL_TRACES] = {"otel_traces", "reinterpretAsUInt64(reverse(span_id))", "start_time",
                          "service_name = 'chaos'"},
    [OX_SIGNAL_LOGS] = {"otel_logs", "reinterpretAsUInt64(reverse(span_id))", "time",
                        "service_name = 'chaos'"},
    [OX_SIGNAL_METRICS] = {"otel_metrics", "toUInt64(value)", "time", "metric_name = 'chaos.key'"},
};

const char *
chaos_key_sql(enum ox_signal signal)
{
    return signals[signal].key;
}

const char *
chaos_time_sql(enum ox_signal signal)
{
    return signals[signal].time;
}

const char *
chaos_ours_sql(enum ox_signal signal)
{
    return signals[signal].ours;
}

const char *
chaos_table(enum ox_signal signal)
{
    return signals[signal].table;
}

static void
big_endian(uint64_t v, uint8_t out[8])
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(v >> (56 - 8 * i));
}

static uint64_t
from_big_endian(const uint8_t in[8])
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | in[i];
    return v;
}

/* A trace has some spans, over the borders of requests. */
static void
put_ids(struct ox_buf *b, uint64_t key, uint32_t trace_field, uint32_t span_field)
{
    uint8_t trace[16], span[8];
    big_endian(UINT64_C(0x6f78636861f50000), trace);
    big_endian(key / SPANS_PER_TRACE, trace + 8);
    big_endian(key, span);
    ox_wire_put_bytes(b, trace_field, (struct ox_str){(const char *)trace, 16});
    ox_wire_put_bytes(b, span_field, (struct ox_str){(const char *)span, 8});
}

static void
put_span(struct ox_buf *b, uint64_t key, uint64_t time_ns)
{
    size_t mark = ox_wire_begin(b, 2);
    put_ids(b, key, 1, 2);
    ox_wire_put_bytes(b, 5, OX_STR("chaos"));
    ox_wire_put_varint(b, 6, 1);
    ox_wire_put_fixed64(b, 7, time_ns);
    ox_wire_put_fixed64(b, 8, time_ns + STEP_NS);
    ox_wire_put_attr_int(b, 9, OX_STR("chaos.key"), (int64_t)key);
    ox_wire_end(b, mark);
}

static void
put_log(struct ox_buf *b, uint64_t key, uint64_t id, uint64_t time_ns)
{
    size_t mark = ox_wire_begin(b, 2);
    ox_wire_put_fixed64(b, 1, time_ns);
    ox_wire_put_varint(b, 2, id % ERROR_EVERY == 0 ? SEVERITY_ERROR : SEVERITY_INFO);
    size_t text = ox_wire_begin(b, 5);
    ox_wire_put_bytes(b, 1, OX_STR("a record under chaos"));
    ox_wire_end(b, text);
    put_ids(b, key, 9, 10);
    ox_wire_put_fixed64(b, 11, time_ns);
    ox_wire_end(b, mark);
}

static void
put_point(struct ox_buf *b, uint64_t key, uint64_t time_ns)
{
    size_t mark = ox_wire_begin(b, 1);
    ox_wire_put_fixed64(b, 3, time_ns);
    ox_wire_put_fixed64(b, 6, key);
    ox_wire_end(b, mark);
}

static void
put_records(struct ox_buf *b, const struct chaos_lane *lane, uint64_t first, uint32_t n, uint64_t time_ns)
{
    for (uint32_t i = 0; i < n; i++, time_ns += STEP_NS) {
        uint64_t key = chaos_key(lane, first + i);
        if (lane->signal == OX_SIGNAL_TRACES)
            put_span(b, key, time_ns);
        else if (lane->signal == OX_SIGNAL_LOGS)
            put_log(b, key, first + i, time_ns);
        else
            put_point(b, key, time_ns);
    }
}

void
chaos_body(const struct chaos_lane *lane, uint64_t first, uint32_t n, uint64_t time_ns, struct ox_buf *out)
{
    ox_buf_reset(out);
    size_t resource = ox_wire_begin(out, 1);
    size_t mark = ox_wire_begin(out, 1);
    ox_wire_put_attr_str(out, 1, OX_STR("service.name"), OX_STR("chaos"));
    ox_wire_end(out, mark);
    size_t scope = ox_wire_begin(out, 2);
    if (lane->signal == OX_SIGNAL_METRICS) {
        size_t metric = ox_wire_begin(out, 2);
        ox_wire_put_bytes(out, 1, OX_STR("chaos.key"));
        size_t gauge = ox_wire_begin(out, 5);
        put_records(out, lane, first, n, time_ns);
        ox_wire_end(out, gauge);
        ox_wire_end(out, metric);
    } else {
        put_records(out, lane, first, n, time_ns);
    }
    ox_wire_end(out, scope);
    ox_wire_end(out, resource);
    OX_ASSERT(!out->failed);
}

static void
batch_keys(const struct ox_batch *batch, struct ox_buf *out)
{
    for (uint32_t i = 0; i < batch->n_spans; i++) {
        uint64_t key = from_big_endian(batch->spans[i].span_id);
        ox_buf_append(out, &key, sizeof(key));
    }
    for (uint32_t i = 0; i < batch->n_logs; i++) {
        uint64_t key = from_big_endian(batch->logs[i].span_id);
        ox_buf_append(out, &key, sizeof(key));
    }
    for (uint32_t i = 0; i < batch->n_points; i++) {
        uint64_t key = (uint64_t)batch->points[i].int_value;
        ox_buf_append(out, &key, sizeof(key));
    }
}

bool
chaos_body_keys(enum ox_signal signal, struct ox_str body, struct ox_buf *out)
{
    struct ox_decode_limits limits;
    struct ox_diag diag;
    struct ox_body *copy = ox_body_new(body.n, NULL);
    struct ox_batch *batch = ox_batch_new();
    OX_ASSERT(copy != NULL && batch != NULL);
    memcpy(copy->data, body.p, body.n);
    copy->len = body.n;
    ox_decode_limits_default(&limits);
    bool ok = ox_otlp_decode(signal, copy, &limits, batch, &diag) == OX_OK;
    if (ok)
        batch_keys(batch, out);
    ox_batch_free(batch);
    ox_body_drop(copy);
    return ok;
}
