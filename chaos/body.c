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

/* What an id of metrics is, by its remainder. */
enum kind { NUMBER, HISTOGRAM, EXPONENTIAL, SUMMARY, EXEMPLAR };
#define KINDS_PERIOD 8u

static enum kind
kind_of(uint64_t id)
{
    static const enum kind kinds[KINDS_PERIOD] = {NUMBER, NUMBER,      NUMBER,    SUMMARY,
                                                  NUMBER, EXPONENTIAL, HISTOGRAM, EXEMPLAR};
    return kinds[id % KINDS_PERIOD];
}

static const struct chaos_source span_source = {"otel_traces", "reinterpretAsUInt64(reverse(span_id))",
                                                "start_time", "service_name = 'chaos'"};
static const struct chaos_source log_source = {"otel_logs", "reinterpretAsUInt64(reverse(span_id))", "time",
                                               "service_name = 'chaos'"};
static const struct chaos_source metric_sources[CHAOS_SOURCES_MAX] = {
    {"otel_metrics", "toUInt64(value)", "time", "startsWith(metric_name, 'chaos.')"},
    {"otel_metric_histograms", "toUInt64(sum)", "time", "startsWith(metric_name, 'chaos.')"},
    {"otel_metric_exemplars", "toUInt64(value)", "point_time", "startsWith(metric_name, 'chaos.')"},
};

const struct chaos_source *
chaos_sources(enum ox_signal signal, size_t *n)
{
    *n = signal == OX_SIGNAL_METRICS ? CHAOS_SOURCES_MAX : 1;
    return signal == OX_SIGNAL_METRICS ? metric_sources
           : signal == OX_SIGNAL_LOGS  ? &log_source
                                       : &span_source;
}

const char *
chaos_key_column(enum ox_table table, bool *hex)
{
    *hex = table == OX_TABLE_TRACES || table == OX_TABLE_LOGS;
    if (*hex)
        return "span_id";
    if (table == OX_TABLE_HISTOGRAMS)
        return "sum";
    return table == OX_TABLE_POINTS || table == OX_TABLE_EXEMPLARS ? "value" : NULL;
}

bool
chaos_is_record(enum ox_signal signal, uint64_t id)
{
    return signal != OX_SIGNAL_METRICS || kind_of(id) != EXEMPLAR;
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

/* ---- metrics ---- */

struct metric {
    enum kind kind;
    const char *name;
    uint32_t field;     /* of Metric: gauge, histogram, ... */
    uint32_t exemplars; /* of its points; 0 = they have none */
    bool temporality;   /* field 2 says which */
};
static const struct metric metrics[] = {
    {NUMBER, "chaos.key", 5, 5, false},
    {HISTOGRAM, "chaos.histogram", 9, 8, true},
    {EXPONENTIAL, "chaos.exponential", 10, 11, true},
    {SUMMARY, "chaos.summary", 11, 0, false},
};

/* What is sent in one request. */
struct request {
    const struct chaos_lane *lane;
    uint64_t first, n, time_ns;
};

static void
put_exemplar(struct ox_buf *b, const struct request *r, uint64_t id, uint32_t field)
{
    size_t mark = ox_wire_begin(b, field);
    ox_wire_put_fixed64(b, 2, r->time_ns);
    ox_wire_put_fixed64(b, 6, chaos_key(r->lane, id));
    ox_wire_end(b, mark);
}

/* Exemplars hang on the record before them, a histogram; the first of a request on the one behind it, a number. */
static void
put_exemplars(struct ox_buf *b, const struct request *r, uint64_t id, uint32_t field)
{
    uint64_t end = r->first + r->n;
    if (id == r->first + 1 && kind_of(r->first) == EXEMPLAR)
        put_exemplar(b, r, r->first, field);
    if (id + 1 < end && kind_of(id + 1) == EXEMPLAR)
        put_exemplar(b, r, id + 1, field);
}

static void
put_distribution(struct ox_buf *b, enum kind kind, uint64_t key)
{
    size_t mark;
    ox_wire_put_fixed64(b, 4, 3);
    ox_wire_put_double(b, 5, (double)key);
    if (kind == HISTOGRAM) {
        mark = ox_wire_begin(b, 6);
        for (uint64_t i = 1; i <= 2; i++)
            ox_buf_append(b, &i, sizeof(i));
        ox_wire_end(b, mark);
        ox_wire_put_double(b, 7, 0.5);
    } else if (kind == EXPONENTIAL) {
        mark = ox_wire_begin(b, 8);
        ox_wire_put_varint(b, 2, 1);
        ox_wire_put_varint(b, 2, 2);
        ox_wire_end(b, mark);
    } else {
        mark = ox_wire_begin(b, 6);
        ox_wire_put_double(b, 1, 0.5);
        ox_wire_put_double(b, 2, 1.0);
        ox_wire_end(b, mark);
    }
}

static void
put_point(struct ox_buf *b, const struct request *r, const struct metric *m, uint64_t id)
{
    size_t mark = ox_wire_begin(b, 1);
    uint64_t key = chaos_key(r->lane, id);
    ox_wire_put_fixed64(b, 3, r->time_ns + (id - r->first) * STEP_NS);
    if (m->kind == NUMBER)
        ox_wire_put_fixed64(b, 6, key);
    else
        put_distribution(b, m->kind, key);
    if (m->exemplars != 0)
        put_exemplars(b, r, id, m->exemplars);
    ox_wire_end(b, mark);
}

static void
put_metric(struct ox_buf *b, const struct request *r, const struct metric *m)
{
    size_t metric = ox_wire_begin(b, 2);
    ox_wire_put_bytes(b, 1, ox_str_of(m->name));
    size_t data = ox_wire_begin(b, m->field);
    for (uint64_t id = r->first; id < r->first + r->n; id++) {
        if (kind_of(id) == m->kind)
            put_point(b, r, m, id);
    }
    if (m->temporality)
        ox_wire_put_varint(b, 2, 1);
    ox_wire_end(b, data);
    ox_wire_end(b, metric);
}

static void
put_records(struct ox_buf *b, const struct chaos_lane *lane, uint64_t first, uint32_t n, uint64_t time_ns)
{
    for (uint32_t i = 0; i < n; i++, time_ns += STEP_NS) {
        uint64_t key = chaos_key(lane, first + i);
        if (lane->signal == OX_SIGNAL_TRACES)
            put_span(b, key, time_ns);
        else
            put_log(b, key, first + i, time_ns);
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
    struct request request = {lane, first, n, time_ns};
    OX_ASSERT(n >= 2);
    if (lane->signal != OX_SIGNAL_METRICS)
        put_records(out, lane, first, n, time_ns);
    for (size_t i = 0; lane->signal == OX_SIGNAL_METRICS && i < OX_COUNT(metrics); i++)
        put_metric(out, &request, &metrics[i]);
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
        const struct ox_point *p = &batch->points[i];
        bool number = (p->has & OX_POINT_IS_INT) != 0;
        uint64_t key = number ? (uint64_t)p->int_value : (uint64_t)ox_point_more(batch, p)->sum;
        ox_buf_append(out, &key, sizeof(key));
    }
    for (uint32_t i = 0; i < batch->n_exemplars; i++) {
        uint64_t key = (uint64_t)batch->exemplars[i].int_value;
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
