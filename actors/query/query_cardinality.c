/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_cardinality.c - GET /api/v1/cardinality: which metrics and labels make a tenant's series, and which grew.
 *
 * Owns:    nothing beyond the answer.
 * Threads: one dirty thread.
 * Bounds:  `limit` metrics, LABELS_MAX labels of them.
 * Fails:   the errors of storage.
 * Flow:    query_handle.c -> series of today and yesterday by metric, by label; volume by signal; the guard's own count.
 */
#include "actors/query/query_call.h"
#include "ox/clock.h"

#define LABELS_MAX  500
#define METRICS_MAX 1000
#define NS_PER_DAY  (86400 * OX__NS_PER_S)

/* "day = N": today, or yesterday. Date is a number of days. */
static void
add_day(struct ox__call *c, struct ox__sql *sql, uint64_t back)
{
    ox__sql_add(sql, "day = toDate(");
    ox__sql_u64(sql, c->now_ns / NS_PER_DAY - back);
    ox__sql_add(sql, ")");
}

/* The columns of both days, and whose rows. what: an expression that is counted. */
static void
add_counts(struct ox__call *c, struct ox__sql *sql, const char *what)
{
    for (uint64_t back = 0; back < 2; back++) {
        ox__sql_add(sql, ", uniqExactIf(");
        ox__sql_add(sql, what);
        ox__sql_add(sql, ", ");
        add_day(c, sql, back);
        ox__sql_add(sql, back == 0 ? ") AS today" : ") AS yesterday");
    }
}

static void
add_where(struct ox__call *c, struct ox__sql *sql, struct ox_str metric)
{
    ox__sql_add(sql, " WHERE ");
    ox__call_tenant(c, sql);
    ox__sql_add(sql, " AND day >= toDate(");
    ox__sql_u64(sql, c->now_ns / NS_PER_DAY - 1);
    ox__sql_add(sql, ")");
    if (metric.n > 0) {
        ox__sql_add(sql, " AND metric_name = ");
        ox__sql_str(sql, metric);
    }
}

/* One row of counts, read by both lists. */
static void
write_counts(struct ox__rows *r, struct ox__json *j, const char *today, const char *yesterday)
{
    uint64_t now = ox__rows_u64(r), then = ox__rows_u64(r);
    ox__qjson_ku64(j, today, now);
    ox__qjson_ku64(j, yesterday, then);
    ox__qjson_ki64(j, "growth", (int64_t)(now - then));
}

static ox_err
write_metrics(struct ox__call *c, struct ox__json *j, struct ox_str metric)
{
    struct ox__sql sql;
    struct ox_buf result = {0};
    struct ox__rows r;
    ox__sql_init(&sql);
    ox__sql_add(&sql, "SELECT metric_name");
    add_counts(c, &sql, "series_id");
    ox__sql_add(&sql, " FROM otel_metric_series");
    add_where(c, &sql, metric);
    ox__sql_add(&sql, " GROUP BY metric_name ORDER BY today DESC, metric_name LIMIT ");
    ox__sql_u64(&sql, c->limit + 1);
    ox_err err = ox__call_query(c, &sql, &result);
    ox__rows_init(&r, &result);
    ox__qjson_open(j, "metrics", '[');
    while (err == OX_OK && ox__rows_more(&r) && c->rows < c->limit) {
        ox__qjson_begin(j, '{');
        ox__qjson_kstr(j, "metric", ox__rows_str(&r));
        write_counts(&r, j, "series", "series_yesterday");
        ox__qjson_end(j, '}');
        c->rows++;
    }
    c->truncated = c->truncated || (err == OX_OK && ox__rows_more(&r));
    ox__qjson_end(j, ']');
    if (err == OX_OK && r.failed)
        err = ox__call_damaged(c);
    ox_buf_fini(&result);
    ox__sql_fini(&sql);
    return err;
}

/* Those that grew most first. */
static ox_err
write_labels(struct ox__call *c, struct ox__json *j, struct ox_str metric)
{
    struct ox__sql sql;
    struct ox_buf result = {0};
    struct ox__rows r;
    size_t n = 0;
    ox__sql_init(&sql);
    ox__sql_add(&sql, "SELECT metric_name, label");
    add_counts(c, &sql, "value");
    ox__sql_add(&sql,
                " FROM (SELECT metric_name, day, pair.1 AS label, pair.2 AS value FROM otel_metric_series"
                " ARRAY JOIN CAST(attributes AS Array(Tuple(String, String))) AS pair");
    add_where(c, &sql, metric);
    ox__sql_add(&sql,
                ") GROUP BY metric_name, label ORDER BY toInt64(today) - toInt64(yesterday) DESC, today DESC,"
                " metric_name, label LIMIT ");
    ox__sql_u64(&sql, LABELS_MAX + 1);
    ox_err err = ox__call_query(c, &sql, &result);
    ox__rows_init(&r, &result);
    ox__qjson_open(j, "labels", '[');
    for (; err == OX_OK && ox__rows_more(&r) && n < LABELS_MAX; n++) {
        ox__qjson_begin(j, '{');
        ox__qjson_kstr(j, "metric", ox__rows_str(&r));
        ox__qjson_kstr(j, "label", ox__rows_str(&r));
        write_counts(&r, j, "values", "values_yesterday");
        ox__qjson_end(j, '}');
    }
    c->truncated = c->truncated || (err == OX_OK && ox__rows_more(&r));
    ox__qjson_end(j, ']');
    if (err == OX_OK && r.failed)
        err = ox__call_damaged(c);
    ox_buf_fini(&result);
    ox__sql_fini(&sql);
    return err;
}

static void
add_volume(struct ox__call *c, struct ox__sql *sql, const char *what, const char *table, const char *time)
{
    ox_buf_printf(&sql->text, "(SELECT %s FROM %s WHERE ", what, table);
    ox__call_tenant(c, sql);
    ox__sql_range(sql, time, c->now_ns / NS_PER_DAY * NS_PER_DAY, c->now_ns + OX__NS_PER_S);
    ox__sql_add(sql, ")");
}

/* Of today, by the records' own time. Spans: those that came, counted before sampling (whole hours of it), and those
 * stored. */
static ox_err
write_volume(struct ox__call *c, struct ox__json *j)
{
    struct ox__sql sql;
    struct ox_buf result = {0};
    struct ox__rows r;
    ox__sql_init(&sql);
    /* What stands in parentheses may be NULL to the engine, and would come with a byte that says so. */
    ox__sql_add(&sql, "SELECT assumeNotNull(");
    add_volume(c, &sql, "sum(calls)", "otel_span_stats_1h", "time");
    ox__sql_add(&sql, "), assumeNotNull(");
    add_volume(c, &sql, "count()", "otel_traces", "otel_traces.start_time");
    ox__sql_add(&sql, "), assumeNotNull(");
    add_volume(c, &sql, "count()", "otel_logs", "otel_logs.time");
    ox__sql_add(&sql, "), assumeNotNull(");
    add_volume(c, &sql, "count()", "otel_metrics", "otel_metrics.time");
    ox__sql_add(&sql, " + ");
    add_volume(c, &sql, "count()", "otel_metric_histograms", "otel_metric_histograms.time");
    ox__sql_add(&sql, ")");
    ox_err err = ox__call_query(c, &sql, &result);
    ox__rows_init(&r, &result);
    ox__qjson_open(j, "volume_today", '{');
    ox__qjson_ku64(j, "spans", ox__rows_u64(&r));
    ox__qjson_ku64(j, "spans_stored", ox__rows_u64(&r));
    ox__qjson_ku64(j, "logs", ox__rows_u64(&r));
    ox__qjson_ku64(j, "points", ox__rows_u64(&r));
    ox__qjson_end(j, '}');
    if (err == OX_OK && r.failed)
        err = ox__call_damaged(c);
    ox_buf_fini(&result);
    ox__sql_fini(&sql);
    return err;
}

ox_err
ox__handle_cardinality(struct ox__call *c, struct ox__json *j)
{
    static const char *const names[] = {"metric", "limit", NULL};
    struct ox_str metric = {NULL, 0};
    ox_err err = ox__call_limit(c, METRICS_MAX, c->limits.results_default);
    const struct ox__param *asked = ox__params_get(&c->params, "metric");
    if (asked != NULL)
        metric = asked->value;
    if (err == OX_OK)
        err = ox__call_done_params(c, names);
    if (err == OX_OK)
        err = write_metrics(c, j, metric);
    if (err == OX_OK)
        err = write_labels(c, j, metric);
    if (err == OX_OK)
        err = write_volume(c, j);
    if (err == OX_OK && c->q->guard != NULL) {
        struct ox_buf guard = {0};
        c->q->guard(c->q->status_ctx, &c->req->tenant, &guard);
        ox__qjson_key(j, "guard");
        ox__qjson_raw(j, ox_buf_str(&guard));
        ox_buf_fini(&guard);
    }
    return err;
}
