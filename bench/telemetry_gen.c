/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/telemetry_gen.c - batches that look like the telemetry of a shop of 24 services.
 *
 * Owns:    see telemetry_gen.h. Runs out of memory by assertion: it is a tool of benchmarks.
 * Threads: one owner at a time.
 * Bounds:  ROW_TEXT_MAX bytes of text per row.
 */
#include "bench/telemetry_gen.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ROW_TEXT_MAX  1536u
#define BODY_TEXT_MIN 16384u

static const char *const services[GEN_SERVICES] = {
    "frontend",  "checkout",  "payment", "cart",    "catalog",  "currency", "shipping", "email",
    "inventory", "recommend", "ads",     "quote",   "accounts", "auth",     "search",   "reviews",
    "pricing",   "fraud",     "ledger",  "invoice", "loyalty",  "gateway",  "images",   "feature-flags"};
static const char *const routes[] = {
    "/api/cart/%llu",        "/api/products/%llu", "/api/checkout", "/api/orders/%llu",
    "/api/users/%llu/cards", "/healthz",           "/api/search",   "/api/quote"};
static const char *const methods[] = {"GET", "GET", "GET", "POST", "PUT", "DELETE"};

static uint64_t
rnd(struct telemetry_gen *g)
{
    uint64_t z = (g->rng += 0x9e3779b97f4a7c15ull);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static void
rnd_bytes(struct telemetry_gen *g, uint8_t *to, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        uint64_t r = rnd(g);
        memcpy(to + i, &r, 8);
    }
}

/* Durations are long-tailed: a power of a uniform number. */
static uint64_t
rnd_duration_ns(struct telemetry_gen *g)
{
    double u = (double)(rnd(g) >> 11) / 9007199254740992.0;
    return 20000 + (uint64_t)(400e6 * u * u * u * u);
}

OX_PRINTF(2, 3)
static struct ox_str
text(struct telemetry_gen *g, const char *fmt, ...)
{
    va_list ap;
    size_t left = (size_t)(g->batch->body->data + g->batch->body->cap - (uint8_t *)g->text);
    va_start(ap, fmt);
    int n = vsnprintf(g->text, left, fmt, ap);
    va_end(ap);
    OX_ASSERT(n >= 0 && (size_t)n < left);
    struct ox_str s = {g->text, (size_t)n};
    g->text += n;
    return s;
}

void
gen_init(struct telemetry_gen *g, uint64_t seed, uint64_t start_ns)
{
    memset(g, 0, sizeof(*g));
    g->rng = seed;
    g->now_ns = start_ns;
    for (size_t i = 0; i < GEN_SERIES; i++)
        g->values[i] = (double)(rnd(g) % 100000);
}

static void *
room(void *array, size_t size, uint32_t n)
{
    void *p = realloc(array, size * n);
    OX_ASSERT(p != NULL);
    return p;
}

static void
add_attr(struct telemetry_gen *g, const char *key, struct ox_any value)
{
    struct ox_batch *b = g->batch;
    OX_ASSERT(b->n_attrs < b->cap_attrs);
    b->attrs[b->n_attrs++] = ox_attr_of(ox_str_of(key), value);
}

static void
add_str(struct telemetry_gen *g, const char *key, struct ox_str s)
{
    add_attr(g, key, (struct ox_any){.type = OX_ANY_STRING, .str = s});
}

static void
add_int(struct telemetry_gen *g, const char *key, int64_t i)
{
    add_attr(g, key, (struct ox_any){.type = OX_ANY_INT, .i = i});
}

static void
add_resource(struct telemetry_gen *g)
{
    struct ox_batch *b = g->batch;
    struct ox_resource *r = &b->resources[0];
    uint32_t s = g->service;
    *r = (struct ox_resource){.service_name = ox_str_of(services[s])};
    add_str(g, "service.name", r->service_name);
    add_str(g, "service.version", text(g, "1.%u.%u", s % 7, s));
    add_str(g, "service.instance.id", text(g, "%08x-94d0-49bb-a331-11eb%08x", s * 2654435761u, s));
    add_str(g, "deployment.environment.name", OX_STR("production"));
    add_str(g, "k8s.namespace.name", OX_STR("shop"));
    add_str(g, "k8s.pod.name", text(g, "%s-7d9c5b8f4-%05x", services[s], s * 7919));
    add_str(g, "k8s.node.name", text(g, "node-%u", s % 6));
    add_str(g, "host.name", text(g, "ip-10-0-%u-%u", s % 6, s * 3 + 7));
    add_int(g, "process.pid", 1000 + s);
    add_str(g, "telemetry.sdk.name", OX_STR("opentelemetry"));
    add_str(g, "telemetry.sdk.language", s % 3 == 0 ? OX_STR("java") : OX_STR("go"));
    add_str(g, "telemetry.sdk.version", OX_STR("1.38.0"));
    r->attrs = (struct ox_slice){0, b->n_attrs};
    b->n_resources = 1;
    for (uint32_t i = 0; i < 2; i++)
        b->scopes[i] =
            (struct ox_scope){.name = i == 0 ? OX_STR("io.opentelemetry.http") : OX_STR("shop.business"),
                              .version = OX_STR("2.1.0")};
    b->n_scopes = 2;
}

static struct ox_batch *
batch_new(struct telemetry_gen *g, enum ox_signal signal, uint32_t n, uint32_t attrs_per_row)
{
    struct ox_batch *b = ox_batch_new();
    OX_ASSERT(b != NULL);
    g->batch = b;
    b->signal = signal;
    b->body = ox_body_new((size_t)n * ROW_TEXT_MAX + BODY_TEXT_MIN, NULL);
    OX_ASSERT(b->body != NULL);
    g->text = (char *)b->body->data;
    memcpy(b->tenant.name, "acme", 5);
    b->received_ns = g->now_ns;
    b->n_records = n;
    b->cap_attrs = n * attrs_per_row + 64;
    b->attrs = room(NULL, sizeof(*b->attrs), b->cap_attrs);
    b->resources = room(NULL, sizeof(*b->resources), 1);
    b->scopes = room(NULL, sizeof(*b->scopes), 2);
    b->cap_resources = 1;
    b->cap_scopes = 2;
    add_resource(g);
    return b;
}

/* A trace in progress; a new one when it has had its spans. */
static uint32_t
pick_trace(struct telemetry_gen *g)
{
    uint32_t t = (uint32_t)(rnd(g) % GEN_TRACES);
    if (g->traces[t].left == 0) {
        rnd_bytes(g, g->traces[t].id, 16);
        memset(g->traces[t].span, 0, 8);
        g->traces[t].left = 2 + (uint32_t)(rnd(g) % 13);
        g->traces[t].start_ns = g->now_ns + rnd(g) % 1000000000;
    }
    return t;
}

static void
span_attrs(struct telemetry_gen *g, struct ox_span *s, uint32_t route)
{
    struct ox_batch *b = g->batch;
    s->attrs.first = b->n_attrs;
    add_str(g, "http.request.method", ox_str_of(methods[rnd(g) % OX_COUNT(methods)]));
    add_str(g, "url.path", text(g, routes[route], (unsigned long long)(rnd(g) % 100000)));
    add_str(g, "url.scheme", OX_STR("https"));
    add_str(g, "http.route", ox_str_of(routes[route]));
    add_int(g, "http.response.status_code", s->status_code == 2 ? 500 : 200);
    add_str(g, "server.address",
            text(g, "%s.shop.svc.cluster.local", services[(g->service + route) % GEN_SERVICES]));
    add_int(g, "server.port", 8080);
    add_str(g, "client.address", text(g, "10.0.%u.%u", (unsigned)(rnd(g) % 6), (unsigned)(rnd(g) % 250)));
    add_str(g, "user_agent.original", OX_STR("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"));
    add_str(g, "network.protocol.version", OX_STR("1.1"));
    add_str(g, "enduser.id", text(g, "u-%06u", (unsigned)(rnd(g) % 50000)));
    add_int(g, "thread.id", (int64_t)(rnd(g) % 64));
    s->attrs.count = b->n_attrs - s->attrs.first;
}

static void
span_event(struct telemetry_gen *g, struct ox_span *s)
{
    struct ox_batch *b = g->batch;
    struct ox_span_event *e = &b->events[b->n_events];
    *e = (struct ox_span_event){.time_ns = s->end_ns, .name = OX_STR("exception"), .attrs.first = b->n_attrs};
    add_str(g, "exception.type", OX_STR("java.net.SocketTimeoutException"));
    add_str(g, "exception.message", text(g, "read timed out after %u ms", (unsigned)(rnd(g) % 5000)));
    e->attrs.count = 2;
    s->events = (struct ox_slice){b->n_events++, 1};
}

struct ox_batch *
gen_spans(struct telemetry_gen *g, uint32_t n, uint64_t step_ns)
{
    struct ox_batch *b = batch_new(g, OX_SIGNAL_TRACES, n, 14);
    b->spans = room(NULL, sizeof(*b->spans), n);
    b->events = room(NULL, sizeof(*b->events), n);
    b->n_spans = b->cap_spans = b->cap_events = n;
    for (uint32_t i = 0; i < n; i++) {
        struct ox_span *s = &b->spans[i];
        uint32_t t = pick_trace(g), route = (uint32_t)(rnd(g) % OX_COUNT(routes));
        *s = (struct ox_span){.scope = i < n / 2 ? 0 : 1, .ordinal = i, .kind = (uint8_t)(1 + rnd(g) % 5)};
        s->status_code = rnd(g) % 40 == 0 ? 2 : 0;
        memcpy(s->trace_id, g->traces[t].id, 16);
        memcpy(s->parent_span_id, g->traces[t].span, 8);
        rnd_bytes(g, s->span_id, 8);
        memcpy(g->traces[t].span, s->span_id, 8);
        g->traces[t].left--;
        s->start_ns = g->traces[t].start_ns += rnd(g) % 3000000;
        s->end_ns = s->start_ns + rnd_duration_ns(g);
        s->flags = 0x101;
        s->name = text(g, "%s %s", methods[route % OX_COUNT(methods)], routes[route]);
        if (s->status_code == 2)
            s->status_message = text(g, "upstream %s failed", services[route]);
        span_attrs(g, s, route);
        if (rnd(g) % 10 == 0)
            span_event(g, s);
    }
    g->service = (g->service + 1) % GEN_SERVICES;
    g->now_ns += step_ns;
    return b;
}

static struct ox_str
log_text(struct telemetry_gen *g)
{
    unsigned a = (unsigned)(rnd(g) % 100000), c = (unsigned)(rnd(g) % 5000);
    switch (rnd(g) % 6) {
    case 0:
        return text(g, "Order %u placed by user u-%06u, total %u.%02u EUR", a, c * 10, c, a % 100);
    case 1:
        return text(g, "GET /api/products/%u 200 %u ms", a, c);
    case 2:
        return text(g, "Connection to payment-db-%u.shop.svc timed out after %u ms, retrying (attempt %u)",
                    a % 4, c, a % 3);
    case 3:
        return text(g, "cache miss for key cart:%u:%08x, loading from database", a, c * 2654435761u);
    case 4:
        return text(g, "Published message to topic orders partition=%u offset=%u", a % 12, a * 17);
    default:
        return text(g, "Session refreshed for user u-%06u from 10.0.%u.%u", a % 50000, c % 6, a % 250);
    }
}

struct ox_batch *
gen_logs(struct telemetry_gen *g, uint32_t n, uint64_t step_ns)
{
    struct ox_batch *b = batch_new(g, OX_SIGNAL_LOGS, n, 6);
    b->logs = room(NULL, sizeof(*b->logs), n);
    b->n_logs = b->cap_logs = n;
    for (uint32_t i = 0; i < n; i++) {
        struct ox_log *l = &b->logs[i];
        uint64_t severity = rnd(g) % 50;
        *l = (struct ox_log){.scope = 1, .ordinal = i, .attrs.first = b->n_attrs};
        l->time_ns = g->now_ns + rnd(g) % (step_ns + 1);
        l->observed_ns = l->time_ns + 1000 + rnd(g) % 400000;
        l->severity = severity == 0 ? 17 : severity < 5 ? 13 : 9;
        l->severity_text = severity == 0 ? OX_STR("ERROR") : severity < 5 ? OX_STR("WARN") : OX_STR("INFO");
        l->body = (struct ox_any){.type = OX_ANY_STRING, .str = log_text(g)};
        if (rnd(g) % 3 != 0) {
            uint32_t t = pick_trace(g);
            memcpy(l->trace_id, g->traces[t].id, 16);
            rnd_bytes(g, l->span_id, 8);
            l->flags = 1;
            if (rnd(g) % 4 == 0)
                g->traces[t].left--;
        }
        add_str(g, "code.function.name", text(g, "com.shop.Handler%u.handle", (unsigned)(rnd(g) % 40)));
        add_int(g, "code.line.number", (int64_t)(rnd(g) % 900));
        add_str(g, "thread.name", text(g, "worker-%u", (unsigned)(rnd(g) % 32)));
        add_str(g, "logger.name", OX_STR("com.shop.Handler"));
        l->attrs.count = 4;
    }
    g->service = (g->service + 1) % GEN_SERVICES;
    g->now_ns += step_ns;
    return b;
}

static void
gen_metric(struct telemetry_gen *g, uint32_t m)
{
    struct ox_batch *b = g->batch;
    bool counter = m % 2 == 0;
    b->metrics[m] = (struct ox_metric){.scope = m < GEN_METRICS / 2 ? 0 : 1,
                                       .name = text(g, "shop.%s.%u", counter ? "requests" : "usage", m),
                                       .description = OX_STR("What the metric says, in a sentence."),
                                       .unit = counter ? OX_STR("{request}") : OX_STR("By"),
                                       .type = counter ? OX_METRIC_SUM : OX_METRIC_GAUGE,
                                       .temporality = counter ? 2 : 0,
                                       .monotonic = counter};
    for (uint32_t i = 0; i < GEN_POINTS_EACH; i++) {
        double *v = &g->values[(g->service * GEN_METRICS + m) * GEN_POINTS_EACH + i];
        struct ox_point *p = &b->points[b->n_points];
        *p = (struct ox_point){.metric = m, .ordinal = b->n_points, .has = OX_POINT_HAS_VALUE};
        p->time_ns = b->received_ns;
        p->start_ns = counter ? 1790000000000000000ull + g->service * 1234567891ull : 0;
        *v = counter ? *v + (double)(rnd(g) % 40) : *v + ((double)(rnd(g) % 2001) - 1000) / 16;
        if (counter) {
            p->int_value = (int64_t)*v;
            p->has |= OX_POINT_IS_INT;
        } else {
            p->value = *v;
        }
        p->attrs.first = b->n_attrs;
        add_str(g, "http.route", ox_str_of(routes[i]));
        add_str(g, "http.request.method", OX_STR("GET"));
        add_int(g, "http.response.status_code", i % 4 == 3 ? 500 : 200);
        p->attrs.count = 3;
        b->n_points++;
    }
}

struct ox_batch *
gen_points(struct telemetry_gen *g, uint64_t step_ns)
{
    struct ox_batch *b = batch_new(g, OX_SIGNAL_METRICS, GEN_METRICS * GEN_POINTS_EACH, 4);
    b->metrics = room(NULL, sizeof(*b->metrics), GEN_METRICS);
    b->points = room(NULL, sizeof(*b->points), GEN_METRICS * GEN_POINTS_EACH);
    b->n_metrics = b->cap_metrics = GEN_METRICS;
    b->cap_points = GEN_METRICS * GEN_POINTS_EACH;
    b->received_ns = g->now_ns + g->service * 400000000ull + rnd(g) % 3000000;
    for (uint32_t m = 0; m < GEN_METRICS; m++)
        gen_metric(g, m);
    g->service = (g->service + 1) % GEN_SERVICES;
    if (g->service == 0)
        g->now_ns += step_ns;
    return b;
}
