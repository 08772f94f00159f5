/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_services.c - GET /api/v1/services, /api/v1/services/stats and /api/v1/status.
 *
 * Owns:    the services of one answer.
 * Threads: one dirty thread.
 * Bounds:  SERVICES_MAX services; meta says when there are more.
 * Fails:   the errors of storage; status answers even when storage does not.
 * Flow:    query_handle.c -> one statement per signal -> merged by name; where spans were sampled, two more for stats.
 */
#include <math.h>
#include <stdlib.h>

#include "actors/query/query_call.h"
#include "ox/clock.h"

#define SERVICES_MAX 10000
#define PING_MS      1000

struct service {
    struct ox_str name;
    uint64_t spans, logs, points; /* stored */
    uint64_t span_errors, log_errors;
    double spans_all, errors_all; /* what the stored ones stand for */
    bool sampled;
    struct ox__sums span_sums, error_sums; /* where sampled */
    uint64_t last_ns;
    double rate_per_s;
    uint64_t p50_ns, p95_ns, p99_ns;
};

enum { SPANS, LOGS, POINTS, SIGNALS, SPAN_SUMS = SIGNALS, WEIGHTED, STATEMENTS };

struct services {
    struct ox_buf results[STATEMENTS]; /* names point in here */
    struct service *list;
    size_t n;
};

static struct service *
find(struct ox__call *c, struct services *s, struct ox_str name)
{
    size_t from = 0, to = s->n;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        struct ox_str other = s->list[mid].name;
        size_t n = name.n < other.n ? name.n : other.n;
        int order = n > 0 ? memcmp(name.p, other.p, n) : 0;
        if (order == 0)
            order = (name.n > other.n) - (name.n < other.n);
        if (order == 0)
            return &s->list[mid];
        if (order < 0)
            to = mid;
        else
            from = mid + 1;
    }
    if (s->n == SERVICES_MAX) {
        c->truncated = true;
        return NULL;
    }
    memmove(&s->list[from + 1], &s->list[from], (s->n - from) * sizeof(s->list[0]));
    memset(&s->list[from], 0, sizeof(s->list[0]));
    s->list[from].name = name;
    s->n++;
    return &s->list[from];
}

/* Latency is that of what others asked of the service; a service that only works by itself has its own. */
#define LATENCY(q)                                                                                           \
    "toUInt64(if(countIf(kind IN (2, 5)) > 0, quantileIf(" q ")(duration_ns, kind IN (2, 5)), quantile(" q   \
    ")(duration_ns)))"

static void
spans_sql(struct ox__call *c, struct ox__sql *sql)
{
    ox__sql_add(
        sql,
        "SELECT service_name, count(), countIf(status_code = 2), "
        "toUnixTimestamp64Nano(max(start_time)), " LATENCY("0.5") ", " LATENCY("0.95") ", " LATENCY(
            "0.99") ", toFloat64(sum(sample_weight)), toFloat64(sumIf(sample_weight, status_code = 2)) FROM "
                    "otel_traces WHERE ");
    ox__call_tenant(c, sql);
    ox__sql_range(sql, "start_time", c->range.start_ns, c->range.end_ns);
    ox__sql_add(sql, " GROUP BY service_name");
}

static void
logs_sql(struct ox__call *c, struct ox__sql *sql)
{
    ox__sql_add(sql, "SELECT service_name, count(), countIf(severity_number >= 17), "
                     "toUnixTimestamp64Nano(max(otel_logs.time)) FROM otel_logs WHERE ");
    ox__call_tenant(c, sql);
    ox__sql_range(sql, "otel_logs.time", c->range.start_ns, c->range.end_ns);
    ox__sql_add(sql, " GROUP BY service_name");
}

static void
add_points_of(struct ox__call *c, struct ox__sql *sql, const char *table, const char *time)
{
    ox_buf_printf(&sql->text, "SELECT series_id, count() AS n, max(%s) AS last FROM %s WHERE ", time, table);
    ox__call_tenant(c, sql);
    ox__sql_range(sql, time, c->range.start_ns, c->range.end_ns);
    ox__sql_add(sql, " GROUP BY series_id");
}

static void
points_sql(struct ox__call *c, struct ox__sql *sql)
{
    ox__sql_add(sql, "SELECT service_name, sum(n), toUnixTimestamp64Nano(max(last)) FROM (");
    add_points_of(c, sql, "otel_metrics", "otel_metrics.time");
    ox__sql_add(sql, " UNION ALL ");
    add_points_of(c, sql, "otel_metric_histograms", "otel_metric_histograms.time");
    ox__sql_add(
        sql, ") AS p INNER JOIN (SELECT series_id, any(service_name) AS service_name FROM otel_metric_series "
             "WHERE ");
    ox__call_tenant(c, sql);
    ox__sql_add(sql, " AND day >= toDate(");
    ox__sql_time(sql, c->range.start_ns);
    ox__sql_add(sql, ") AND day <= toDate(");
    ox__sql_time(sql, c->range.end_ns);
    ox__sql_add(sql, ") GROUP BY series_id) AS m USING (series_id) GROUP BY service_name");
}

static void
newer(struct service *s, uint64_t last_ns)
{
    s->last_ns = last_ns > s->last_ns ? last_ns : s->last_ns;
}

static void
take_spans(struct ox__call *c, struct services *all, struct ox__rows *r)
{
    struct service ignored = {0}, *s = find(c, all, ox__rows_str(r));
    s = s != NULL ? s : &ignored;
    s->spans = ox__rows_u64(r);
    s->span_errors = ox__rows_u64(r);
    newer(s, ox__rows_u64(r));
    s->p50_ns = ox__rows_u64(r);
    s->p95_ns = ox__rows_u64(r);
    s->p99_ns = ox__rows_u64(r);
    s->spans_all = ox__rows_f64(r);
    s->errors_all = ox__rows_f64(r);
    s->sampled = s->spans_all > (double)s->spans;
    struct ox__sums sums = {.stored = s->spans, .stands_for = s->spans_all};
    ox__sums_add(&c->sums, &sums);
}

/* ---- where spans were sampled: bounds, and quantiles by weight ---- */

static void
sums_sql(struct ox__call *c, struct ox__sql *sql)
{
    ox__sql_add(sql, "SELECT service_name, " OX__SUMS_COLUMNS("n", "w") ", " OX__SUMS_COLUMNS("ne", "we"));
    ox__sql_add(
        sql, " FROM (SELECT service_name, trace_id, count() AS n, sum(sample_weight) AS w, "
             "countIf(status_code = 2) AS ne, sumIf(sample_weight, status_code = 2) AS we FROM otel_traces "
             "WHERE ");
    ox__call_tenant(c, sql);
    ox__sql_range(sql, "start_time", c->range.start_ns, c->range.end_ns);
    ox__sql_add(sql, " GROUP BY service_name, trace_id) GROUP BY service_name");
}

static void
take_sums(struct ox__call *c, struct services *all, struct ox__rows *r)
{
    struct service ignored = {0}, *s = find(c, all, ox__rows_str(r));
    s = s != NULL ? s : &ignored;
    ox__sums_read(r, &s->span_sums);
    ox__sums_read(r, &s->error_sums);
}

/* The digest takes whole numbers as weights: sixteenths. */
#define WEIGHT     "toUInt64(round(16 * sample_weight))"
#define QUANTILES  "quantilesTDigestWeighted"
#define OF(suffix) QUANTILES suffix "(0.5, 0.95, 0.99)"

static void
weighted_sql(struct ox__call *c, struct ox__sql *sql)
{
    ox__sql_add(sql,
                "SELECT service_name, arrayMap(x -> toUInt64(x), if(countIf(kind IN (2, 5)) > 0, " OF(
                    "If") "(duration_ns, " WEIGHT ", kind IN (2, 5)), " OF("") "(duration_ns, " WEIGHT
                                                                               "))) FROM otel_traces WHERE ");
    ox__call_tenant(c, sql);
    ox__sql_range(sql, "start_time", c->range.start_ns, c->range.end_ns);
    ox__sql_add(sql, " GROUP BY service_name");
}

static void
take_weighted(struct ox__call *c, struct services *all, struct ox__rows *r)
{
    struct service ignored = {0}, *s = find(c, all, ox__rows_str(r));
    s = s != NULL ? s : &ignored;
    size_t n;
    struct ox__rows at = ox__rows_array_fixed(r, 8, &n);
    s->p50_ns = ox__rows_u64(&at);
    s->p95_ns = ox__rows_u64(&at);
    s->p99_ns = ox__rows_u64(&at);
    r->failed |= at.failed;
}

static void
take_logs(struct ox__call *c, struct services *all, struct ox__rows *r)
{
    struct service ignored = {0}, *s = find(c, all, ox__rows_str(r));
    s = s != NULL ? s : &ignored;
    s->logs = ox__rows_u64(r);
    s->log_errors = ox__rows_u64(r);
    newer(s, ox__rows_u64(r));
}

static void
take_points(struct ox__call *c, struct services *all, struct ox__rows *r)
{
    struct service ignored = {0}, *s = find(c, all, ox__rows_str(r));
    s = s != NULL ? s : &ignored;
    s->points = ox__rows_u64(r);
    newer(s, ox__rows_u64(r));
}

static const struct {
    void (*sql)(struct ox__call *c, struct ox__sql *sql);
    void (*take)(struct ox__call *c, struct services *all, struct ox__rows *r);
} statements[STATEMENTS] = {
    [SPANS] = {spans_sql, take_spans},          [LOGS] = {logs_sql, take_logs},
    [POINTS] = {points_sql, take_points},       [SPAN_SUMS] = {sums_sql, take_sums},
    [WEIGHTED] = {weighted_sql, take_weighted},
};

static ox_err
load_rows(struct ox__call *c, struct services *all, int statement)
{
    struct ox__sql sql;
    struct ox__rows r;
    ox__sql_init(&sql);
    statements[statement].sql(c, &sql);
    ox_err err = ox__call_query(c, &sql, &all->results[statement]);
    ox__sql_fini(&sql);
    ox__rows_init(&r, &all->results[statement]);
    while (err == OX_OK && ox__rows_more(&r))
        statements[statement].take(c, all, &r);
    return err == OX_OK && r.failed ? ox__call_damaged(c) : err;
}

/* details: counts and latency will be told, not only names. */
static ox_err
load(struct ox__call *c, struct services *all, bool details)
{
    static const char *const names[] = {"start", "end", "time", "timerange", "since", NULL};
    ox_err err = ox__call_range(c);
    if (err == OX_OK)
        err = ox__call_done_params(c, names);
    if (err != OX_OK)
        return err;
    all->list = malloc((SERVICES_MAX + 1) * sizeof(all->list[0]));
    if (all->list == NULL)
        return OX_E_NOMEM;
    for (int i = 0; i < SIGNALS && err == OX_OK; i++)
        err = load_rows(c, all, i);
    if (details && ox__sums_sampled(&c->sums))
        for (int i = SIGNALS; i < STATEMENTS && err == OX_OK; i++)
            err = load_rows(c, all, i);
    c->rows = all->n;
    return err;
}

static void
services_fini(struct services *all)
{
    for (int i = 0; i < STATEMENTS; i++)
        ox_buf_fini(&all->results[i]);
    free(all->list);
}

ox_err
ox__handle_services(struct ox__call *c, struct ox__json *j)
{
    struct services all = {0};
    ox_err err = load(c, &all, false);
    ox__qjson_open(j, "services", '[');
    for (size_t i = 0; err == OX_OK && i < all.n; i++) {
        const struct service *s = &all.list[i];
        ox__qjson_begin(j, '{');
        ox__qjson_kstr(j, "name", s->name);
        ox__qjson_open(j, "signals", '[');
        if (s->spans > 0)
            ox__qjson_str(j, OX_STR("traces"));
        if (s->logs > 0)
            ox__qjson_str(j, OX_STR("logs"));
        if (s->points > 0)
            ox__qjson_str(j, OX_STR("metrics"));
        ox__qjson_end(j, ']');
        ox__qjson_ktime(j, "last_seen", s->last_ns);
        ox__qjson_end(j, '}');
    }
    ox__qjson_end(j, ']');
    services_fini(&all);
    return err;
}

/* That a rule keeps every error is not known here: there might have been more, up to the weight of the others. */
static void
write_sampling(struct ox__json *j, const struct service *s)
{
    ox__qjson_open(j, "sampling", '{');
    ox__qjson_kdouble(j, "rate", ox__sums_rate(&s->span_sums));
    ox__sums_write(j, "spans", &s->span_sums, true, s->span_sums.top);
    ox__sums_write(j, "errors", &s->error_sums, true, s->span_sums.top);
    ox__qjson_end(j, '}');
}

static void
write_stats(struct ox__json *j, const struct service *s, double seconds)
{
    ox__qjson_begin(j, '{');
    ox__qjson_kstr(j, "name", s->name);
    ox__qjson_ku64(j, "spans", (uint64_t)llround(s->spans_all));
    ox__qjson_ku64(j, "logs", s->logs);
    ox__qjson_ku64(j, "points", s->points);
    ox__qjson_ku64(j, "errors", (uint64_t)llround(s->errors_all));
    ox__qjson_ku64(j, "log_errors", s->log_errors);
    ox__qjson_kdouble(j, "error_rate", s->spans_all > 0 ? s->errors_all / s->spans_all : 0);
    ox__qjson_kdouble(j, "spans_per_second", seconds > 0 ? s->spans_all / seconds : 0);
    ox__qjson_ku64(j, "p50_ns", s->p50_ns);
    ox__qjson_ku64(j, "p95_ns", s->p95_ns);
    ox__qjson_ku64(j, "p99_ns", s->p99_ns);
    ox__qjson_kdouble(j, "p95_ms", (double)s->p95_ns / 1e6);
    ox__qjson_ktime(j, "last_seen", s->last_ns);
    if (s->sampled)
        write_sampling(j, s);
    ox__qjson_end(j, '}');
}

ox_err
ox__handle_service_stats(struct ox__call *c, struct ox__json *j)
{
    struct services all = {0};
    ox_err err = load(c, &all, true);
    uint64_t end_ns = c->range.end_ns < c->now_ns ? c->range.end_ns : c->now_ns;
    double seconds = end_ns > c->range.start_ns ? (double)(end_ns - c->range.start_ns) / 1e9 : 0;
    ox__qjson_open(j, "services", '[');
    for (size_t i = 0; err == OX_OK && i < all.n; i++)
        write_stats(j, &all.list[i], seconds);
    ox__qjson_end(j, ']');
    services_fini(&all);
    return err;
}

ox_err
ox__handle_status(struct ox__call *c, struct ox__json *j)
{
    static const char *const names[] = {NULL};
    struct ox_buf more;
    ox_err err = ox__call_done_params(c, names);
    if (err != OX_OK)
        return err;
    uint64_t before_ns = ox_clock_monotonic_ns(c->q->clock);
    ox_err ping = ox_storage_ping(c->q->storage, PING_MS, &c->diag);
    ox__qjson_kcstr(j, "status", ping == OX_OK ? "ok" : "degraded");
    ox__qjson_kcstr(j, "version", c->q->version != NULL ? c->q->version : "unknown");
    ox__qjson_kcstr(j, "tenant", c->req->tenant.name);
    ox__qjson_kcstr(j, "role", ox_role_name(c->req->role));
    ox__qjson_ktime(j, "now", c->now_ns);
    ox__qjson_open(j, "storage_ping", '{');
    ox__qjson_kbool(j, "reachable", ping == OX_OK);
    ox__qjson_ku64(j, "took_us", (ox_clock_monotonic_ns(c->q->clock) - before_ns) / 1000);
    if (ping != OX_OK)
        ox__qjson_kcstr(j, "error", c->diag.text[0] != 0 ? c->diag.text : ox_err_text(ping));
    ox__qjson_end(j, '}');
    if (ping != OX_OK)
        ox__call_partial(c, "storage does not answer", &c->diag);
    ox_buf_init(&more);
    if (c->q->status != NULL)
        c->q->status(c->q->status_ctx, c->req, &more);
    if (more.len > 0 && !more.failed)
        ox__qjson_raw(j, ox_buf_str(&more));
    ox_buf_fini(&more);
    return OX_OK;
}
