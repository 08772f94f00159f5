/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/demo_otlp.c - the shop's traces, logs and metrics as OTLP requests.
 *
 * Owns:    struct ox_demo: the generator's state and the cumulative counters.
 * Threads: one.
 * Bounds:  TRACES_MAX traces and LOGS_MAX log records per tick.
 * Fails:   OX_E_NOMEM.
 *
 * Field numbers are those of opentelemetry-proto 1.x (proto/opentelemetry).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/demo.h"
#include "ox/otlp_wire.h"

#define TRACES_MAX       4096
#define LOGS_MAX         32768
#define METRIC_PERIOD_NS 5000000000ull
#define POOL_SIZE        100

static const double bounds_s[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
#define BUCKETS (OX_COUNT(bounds_s) + 1)

/* Cumulative metrics of one service. */
struct totals {
    uint64_t requests, errors;
    uint64_t buckets[BUCKETS];
    double sum_s;
    /* exemplar: the slowest request since the last export */
    double slow_s;
    uint64_t slow_ns;
    uint8_t slow_trace[16], slow_span[8];
};

struct ox_demo {
    struct ox_demo_options options;
    struct ox_random rnd;
    struct totals totals[OX_DEMO_SERVICES];
    uint64_t metrics_due_ns;
    double owed; /* fraction of a trace carried to the next tick */
    struct ox_demo_trace *traces;
    struct ox_demo_log *logs;
};

struct ox_demo *
ox_demo_new(const struct ox_demo_options *options)
{
    struct ox_demo *demo = calloc(1, sizeof(*demo));
    if (demo == NULL)
        return NULL;
    demo->options = *options;
    demo->traces = malloc(TRACES_MAX * sizeof(*demo->traces));
    demo->logs = malloc(LOGS_MAX * sizeof(*demo->logs));
    if (demo->traces == NULL || demo->logs == NULL) {
        ox_demo_free(demo);
        return NULL;
    }
    ox_random_seed(&demo->rnd, options->seed);
    return demo;
}

void
ox_demo_free(struct ox_demo *demo)
{
    if (demo == NULL)
        return;
    free(demo->traces);
    free(demo->logs);
    free(demo);
}

void
ox_demo_output_fini(struct ox_demo_output *out)
{
    for (int s = 0; s < OX_SIGNAL__COUNT; s++)
        ox_buf_fini(&out->requests[s]);
}

/* ---- resource and scope ---- */

static void
put_resource(struct ox_buf *b, uint32_t service)
{
    char instance[64];
    size_t mark = ox_wire_begin(b, 1);
    snprintf(instance, sizeof(instance), "%s-7d4f9c-%u", ox_demo_services[service], service);
    ox_wire_put_attr_str(b, 1, OX_STR("service.name"), ox_str_of(ox_demo_services[service]));
    ox_wire_put_attr_str(b, 1, OX_STR("service.version"), OX_STR("2.14.1"));
    ox_wire_put_attr_str(b, 1, OX_STR("service.instance.id"), ox_str_of(instance));
    ox_wire_put_attr_str(b, 1, OX_STR("deployment.environment.name"), OX_STR("demo"));
    ox_wire_put_attr_str(b, 1, OX_STR("telemetry.sdk.language"), OX_STR("c"));
    ox_wire_end(b, mark);
}

static void
put_scope(struct ox_buf *b)
{
    size_t mark = ox_wire_begin(b, 1);
    ox_wire_put_bytes(b, 1, OX_STR("observex.demo"));
    ox_wire_put_bytes(b, 2, OX_STR("1.0.0"));
    ox_wire_end(b, mark);
}

/* Opens ResourceX and ScopeX of a service; closed by end_service. */
static void
begin_service(struct ox_buf *b, uint32_t service, size_t marks[2])
{
    marks[0] = ox_wire_begin(b, 1);
    put_resource(b, service);
    marks[1] = ox_wire_begin(b, 2);
    put_scope(b);
}

static void
end_service(struct ox_buf *b, const size_t marks[2])
{
    ox_wire_end(b, marks[1]);
    ox_wire_end(b, marks[0]);
}

/* ---- spans ---- */

static void
put_exception(struct ox_buf *b, const struct ox_demo_span *s)
{
    size_t mark = ox_wire_begin(b, 11);
    ox_wire_put_fixed64(b, 1, s->end_ns - 1000);
    ox_wire_put_bytes(b, 2, OX_STR("exception"));
    ox_wire_put_attr_str(b, 3, OX_STR("exception.type"), OX_STR("PoolExhausted"));
    ox_wire_put_attr_str(b, 3, OX_STR("exception.message"), ox_str_of(s->status_message));
    ox_wire_end(b, mark);
}

static void
put_span_attrs(struct ox_buf *b, const struct ox_demo_span *s)
{
    if (s->route != NULL) {
        ox_wire_put_attr_str(b, 9, OX_STR("http.route"), ox_str_of(s->route));
        ox_wire_put_attr_str(b, 9, OX_STR("url.scheme"), OX_STR("http"));
    }
    if (s->http_status != 0)
        ox_wire_put_attr_int(b, 9, OX_STR("http.response.status_code"), s->http_status);
    if (s->peer != NULL)
        ox_wire_put_attr_str(b, 9, OX_STR("peer.service"), ox_str_of(s->peer));
    if (s->db_statement != NULL) {
        ox_wire_put_attr_str(b, 9, OX_STR("db.system.name"), OX_STR("postgresql"));
        ox_wire_put_attr_str(b, 9, OX_STR("db.query.text"), ox_str_of(s->db_statement));
    }
}

static void
put_span(struct ox_buf *b, const struct ox_demo_trace *trace, const struct ox_demo_span *s)
{
    static const uint8_t none[8];
    size_t mark = ox_wire_begin(b, 2);
    ox_wire_put_bytes(b, 1, (struct ox_str){(const char *)trace->trace_id, 16});
    ox_wire_put_bytes(b, 2, (struct ox_str){(const char *)s->span_id, 8});
    if (memcmp(s->parent_id, none, 8) != 0)
        ox_wire_put_bytes(b, 4, (struct ox_str){(const char *)s->parent_id, 8});
    ox_wire_put_bytes(b, 5, ox_str_of(s->name));
    ox_wire_put_varint(b, 6, s->kind);
    ox_wire_put_fixed64(b, 7, s->start_ns);
    ox_wire_put_fixed64(b, 8, s->end_ns);
    put_span_attrs(b, s);
    if (s->status_message != NULL)
        put_exception(b, s);
    if (s->error) {
        size_t status = ox_wire_begin(b, 15);
        if (s->status_message != NULL)
            ox_wire_put_bytes(b, 2, ox_str_of(s->status_message));
        ox_wire_put_varint(b, 3, 2);
        ox_wire_end(b, status);
    }
    ox_wire_put_fixed32(b, 16, 0x101); /* sampled; the parent is known to be local or absent */
    ox_wire_end(b, mark);
}

static void
put_traces(struct ox_demo *demo, size_t n, struct ox_demo_output *out)
{
    struct ox_buf *b = &out->requests[OX_SIGNAL_TRACES];
    for (uint32_t service = 0; service < OX_DEMO_SERVICES; service++) {
        size_t marks[2];
        bool open = false;
        for (size_t t = 0; t < n; t++) {
            const struct ox_demo_trace *trace = &demo->traces[t];
            for (uint32_t i = 0; i < trace->n_spans; i++) {
                if (trace->spans[i].service != service)
                    continue;
                if (!open)
                    begin_service(b, service, marks);
                open = true;
                put_span(b, trace, &trace->spans[i]);
                out->records[OX_SIGNAL_TRACES]++;
            }
        }
        if (open)
            end_service(b, marks);
    }
}

/* ---- logs ---- */

static void
put_log(struct ox_buf *b, const struct ox_demo_log *log)
{
    static const char *const texts[] = {[9] = "INFO", [13] = "WARN", [17] = "ERROR"};
    size_t mark = ox_wire_begin(b, 2);
    ox_wire_put_fixed64(b, 1, log->time_ns);
    ox_wire_put_varint(b, 2, log->severity);
    ox_wire_put_bytes(b, 3, ox_str_of(texts[log->severity]));
    size_t body = ox_wire_begin(b, 5);
    ox_wire_put_bytes(b, 1, ox_str_of(log->body));
    ox_wire_end(b, body);
    ox_wire_put_fixed32(b, 8, 1);
    ox_wire_put_bytes(b, 9, (struct ox_str){(const char *)log->trace_id, 16});
    ox_wire_put_bytes(b, 10, (struct ox_str){(const char *)log->span_id, 8});
    ox_wire_put_fixed64(b, 11, log->time_ns);
    ox_wire_end(b, mark);
}

static void
put_logs(struct ox_demo *demo, size_t n, struct ox_demo_output *out)
{
    struct ox_buf *b = &out->requests[OX_SIGNAL_LOGS];
    for (uint32_t service = 0; service < OX_DEMO_SERVICES; service++) {
        size_t marks[2];
        bool open = false;
        for (size_t i = 0; i < n; i++) {
            if (demo->logs[i].service != service)
                continue;
            if (!open)
                begin_service(b, service, marks);
            open = true;
            put_log(b, &demo->logs[i]);
            out->records[OX_SIGNAL_LOGS]++;
        }
        if (open)
            end_service(b, marks);
    }
}

/* ---- metrics ---- */

static void
count_trace(struct ox_demo *demo, const struct ox_demo_trace *trace)
{
    for (uint32_t i = 0; i < trace->n_spans; i++) {
        const struct ox_demo_span *s = &trace->spans[i];
        if (s->kind != 2)
            continue;
        struct totals *t = &demo->totals[s->service];
        double seconds = (double)(s->end_ns - s->start_ns) / 1e9;
        size_t bucket = 0;
        while (bucket < OX_COUNT(bounds_s) && seconds > bounds_s[bucket])
            bucket++;
        t->buckets[bucket]++;
        t->requests++;
        t->errors += s->error;
        t->sum_s += seconds;
        if (seconds > t->slow_s) {
            t->slow_s = seconds;
            t->slow_ns = s->end_ns;
            memcpy(t->slow_trace, trace->trace_id, 16);
            memcpy(t->slow_span, s->span_id, 8);
        }
    }
}

static size_t
begin_metric(struct ox_buf *b, const char *name, const char *unit, const char *text)
{
    size_t mark = ox_wire_begin(b, 2);
    ox_wire_put_bytes(b, 1, ox_str_of(name));
    ox_wire_put_bytes(b, 2, ox_str_of(text));
    ox_wire_put_bytes(b, 3, ox_str_of(unit));
    return mark;
}

static void
put_sum(struct ox_buf *b, const char *name, const char *unit, const char *text, uint64_t begin_ns,
        uint64_t now_ns, uint64_t value)
{
    size_t metric = begin_metric(b, name, unit, text);
    size_t sum = ox_wire_begin(b, 7);
    size_t point = ox_wire_begin(b, 1);
    ox_wire_put_fixed64(b, 2, begin_ns);
    ox_wire_put_fixed64(b, 3, now_ns);
    ox_wire_put_fixed64(b, 6, value);
    ox_wire_end(b, point);
    ox_wire_put_varint(b, 2, 2);
    ox_wire_put_varint(b, 3, 1);
    ox_wire_end(b, sum);
    ox_wire_end(b, metric);
}

static void
put_gauge(struct ox_buf *b, const char *name, const char *unit, const char *text, uint64_t now_ns,
          double value, const char *key, const char *label)
{
    size_t metric = begin_metric(b, name, unit, text);
    size_t gauge = ox_wire_begin(b, 5);
    size_t point = ox_wire_begin(b, 1);
    ox_wire_put_fixed64(b, 3, now_ns);
    ox_wire_put_double(b, 4, value);
    if (key != NULL)
        ox_wire_put_attr_str(b, 7, ox_str_of(key), ox_str_of(label));
    ox_wire_end(b, point);
    ox_wire_end(b, gauge);
    ox_wire_end(b, metric);
}

static void
put_exemplar(struct ox_buf *b, const struct totals *t)
{
    size_t mark = ox_wire_begin(b, 8);
    ox_wire_put_fixed64(b, 2, t->slow_ns);
    ox_wire_put_double(b, 3, t->slow_s);
    ox_wire_put_bytes(b, 4, (struct ox_str){(const char *)t->slow_span, 8});
    ox_wire_put_bytes(b, 5, (struct ox_str){(const char *)t->slow_trace, 16});
    ox_wire_end(b, mark);
}

static void
put_duration(struct ox_buf *b, struct totals *t, uint64_t begin_ns, uint64_t now_ns)
{
    size_t metric = begin_metric(b, "http.server.request.duration", "s", "Duration of HTTP server requests");
    size_t histogram = ox_wire_begin(b, 9);
    size_t point = ox_wire_begin(b, 1);
    ox_wire_put_fixed64(b, 2, begin_ns);
    ox_wire_put_fixed64(b, 3, now_ns);
    ox_wire_put_fixed64(b, 4, t->requests);
    ox_wire_put_double(b, 5, t->sum_s);
    size_t counts = ox_wire_begin(b, 6);
    for (size_t i = 0; i < BUCKETS; i++)
        ox_buf_append(b, &t->buckets[i], 8);
    ox_wire_end(b, counts);
    size_t bounds = ox_wire_begin(b, 7);
    ox_buf_append(b, bounds_s, sizeof(bounds_s));
    ox_wire_end(b, bounds);
    if (t->slow_s > 0)
        put_exemplar(b, t);
    ox_wire_end(b, point);
    ox_wire_put_varint(b, 2, 2);
    ox_wire_end(b, histogram);
    ox_wire_end(b, metric);
    t->slow_s = 0;
}

static void
put_metrics(struct ox_demo *demo, struct ox_demo_state state, uint64_t begin_ns, uint64_t now_ns,
            struct ox_demo_output *out)
{
    struct ox_buf *b = &out->requests[OX_SIGNAL_METRICS];
    uint64_t *records = &out->records[OX_SIGNAL_METRICS];
    for (uint32_t service = 0; service < OX_DEMO_SERVICES; service++) {
        struct totals *t = &demo->totals[service];
        size_t marks[2];
        begin_service(b, service, marks);
        put_duration(b, t, begin_ns, now_ns);
        put_sum(b, "http.server.requests", "{request}", "Requests served", begin_ns, now_ns, t->requests);
        put_sum(b, "http.server.errors", "{request}", "Requests that failed", begin_ns, now_ns, t->errors);
        put_gauge(b, "process.memory.usage", "By", "Resident memory", now_ns,
                  (90 + 8 * service + 6 * ox_random_double(&demo->rnd)) * 1048576, NULL, NULL);
        *records += 4;
        if (strcmp(ox_demo_services[service], "payment") == 0) {
            double used = floor(state.pool * POOL_SIZE);
            put_gauge(b, "db.client.connection.count", "{connection}", "Connections of the pool", now_ns,
                      used, "db.client.connection.state", "used");
            put_gauge(b, "db.client.connection.count", "{connection}", "Connections of the pool", now_ns,
                      POOL_SIZE - used, "db.client.connection.state", "idle");
            put_gauge(b, "db.client.connection.max", "{connection}", "Size of the pool", now_ns, POOL_SIZE,
                      NULL, NULL);
            *records += 3;
        }
        end_service(b, marks);
    }
}

/* ---- a tick ---- */

/* Traces that begin in this tick: the rate with a slow swell, so that charts have a shape. */
static size_t
traces_due(struct ox_demo *demo, uint64_t at_ns, uint64_t span_ns)
{
    double swell = 1 + 0.25 * sin((double)at_ns / 1e9 / 90);
    double due = demo->owed + demo->options.traces_per_s * swell * (double)span_ns / 1e9;
    size_t n = (size_t)due;
    demo->owed = due - (double)n;
    return n < TRACES_MAX ? n : TRACES_MAX;
}

ox_err
ox_demo_tick(struct ox_demo *demo, uint64_t begin_ns, uint64_t from_ns, uint64_t to_ns,
             struct ox_demo_output *out)
{
    size_t n_logs = 0;
    struct ox_demo_state state = ox_demo_state_at(&demo->options, from_ns - begin_ns);
    size_t n = traces_due(demo, from_ns - begin_ns, to_ns - from_ns);
    for (int s = 0; s < OX_SIGNAL__COUNT; s++) {
        ox_buf_reset(&out->requests[s]);
        out->records[s] = 0;
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t start_ns = from_ns + ox_random_below(&demo->rnd, to_ns - from_ns);
        ox_demo_trace_make(&demo->rnd, state, start_ns, &demo->traces[i], demo->logs, LOGS_MAX, &n_logs);
        count_trace(demo, &demo->traces[i]);
    }
    put_traces(demo, n, out);
    put_logs(demo, n_logs, out);
    if (to_ns - begin_ns >= demo->metrics_due_ns) {
        put_metrics(demo, state, begin_ns, to_ns, out);
        demo->metrics_due_ns = to_ns - begin_ns + METRIC_PERIOD_NS;
    }
    bool failed = false;
    for (int s = 0; s < OX_SIGNAL__COUNT; s++)
        failed |= out->requests[s].failed;
    return failed ? OX_E_NOMEM : OX_OK;
}
