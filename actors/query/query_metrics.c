/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_metrics.c - GET /api/v1/metrics: the names of metrics, or one metric's series and
 * points.
 *
 * Owns:    the series of one answer.
 * Threads: one dirty thread.
 * Bounds:  limits.series_max series, limits.metric_points_max points; both say so in meta when they cut.
 * Fails:   INVALID, the errors of storage.
 * Flow:    query_handle.c -> query_series.c (which series) -> query_points.c, query_histograms.c (their
 *          points).
 */
#include "actors/query/query_metrics.h"

#include <stdio.h>

/* A step finer than this makes no sense for any exporter; coarser than a year neither. */
#define STEP_MIN_NS (OX__NS_PER_S / 1000)
#define STEP_MAX_NS (366 * 86400 * OX__NS_PER_S)
/* Without a step the range is cut into about that many. */
#define STEPS_DEFAULT 60

static const struct {
    const char *name;
    enum ox__agg agg;
} aggs[] = {
    {"avg", OX__AGG_AVG},     {"sum", OX__AGG_SUM},   {"min", OX__AGG_MIN},   {"max", OX__AGG_MAX},
    {"count", OX__AGG_COUNT}, {"rate", OX__AGG_RATE}, {"last", OX__AGG_LAST}, {"p50", OX__AGG_P50},
    {"p90", OX__AGG_P90},     {"p95", OX__AGG_P95},   {"p99", OX__AGG_P99},
};

static ox_err
parse_agg(struct ox__call *c, struct ox__metric_search *s)
{
    struct ox__param *p = ox__params_get(&c->params, "agg");
    if (p == NULL)
        return OX_OK;
    for (size_t i = 0; i < OX_COUNT(aggs); i++)
        if (ox_str_eq(p->value, ox_str_of(aggs[i].name))) {
            s->agg = aggs[i].agg;
            s->agg_name = aggs[i].name;
            return OX_OK;
        }
    return ox__param_bad(p, "avg, sum, min, max, count, rate, last, p50, p90, p95 or p99", &c->diag);
}

/* Whole seconds, so that points of different questions fall together. */
static uint64_t
default_step(const struct ox__range *range, uint64_t now_ns)
{
    uint64_t end_ns = range->end_ns < now_ns ? range->end_ns : now_ns;
    uint64_t length_ns = end_ns > range->start_ns ? end_ns - range->start_ns : 0;
    uint64_t step_s = length_ns / STEPS_DEFAULT / OX__NS_PER_S;
    return (step_s > 0 ? step_s : 1) * OX__NS_PER_S;
}

static ox_err
parse_step(struct ox__call *c, struct ox__metric_search *s)
{
    static const char *const names[] = {"step", NULL};
    struct ox__param *p = ox__params_get(&c->params, "step");
    bool set;
    ox_err err = ox__params_duration(&c->params, names, &set, &s->step_ns, &c->diag);
    if (err != OX_OK)
        return err;
    if (set && (s->step_ns < STEP_MIN_NS || s->step_ns > STEP_MAX_NS))
        return ox__param_bad(p, "a step between 1ms and 366d", &c->diag);
    if (set && s->agg == OX__AGG_NONE) {
        s->agg = OX__AGG_AVG;
        s->agg_name = "avg";
    }
    if (!set)
        s->step_ns = default_step(&c->range, c->now_ns);
    return OX_OK;
}

static ox_err
parse_by(struct ox__call *c, struct ox__metric_search *s)
{
    struct ox__param *p = ox__params_get(&c->params, "by");
    if (p == NULL || ox_str_eq(p->value, OX_STR("series")))
        return OX_OK;
    s->grouped = true;
    if (s->agg == OX__AGG_NONE)
        return ox__param_bad(p, "by together with agg", &c->diag);
    if (ox_str_eq(p->value, OX_STR("none")))
        return OX_OK;
    if (!ox__params_split(p->value, ',', s->by, OX_COUNT(s->by), &s->n_by))
        return ox__param_bad(p, "at most 32 label names", &c->diag);
    return OX_OK;
}

/* A list of names has no values that could be combined. */
static ox_err
check_named(struct ox__call *c, const struct ox__metric_search *s)
{
    struct ox__param *p = ox__params_get(&c->params, "agg");
    if (p == NULL)
        p = ox__params_get(&c->params, "step");
    return s->name.n > 0 || p == NULL ? OX_OK
                                      : ox__param_bad(p, "it together with a metric's name", &c->diag);
}

ox_err
ox__metrics_parse(struct ox__call *c, struct ox__metric_search *s)
{
    static const char *const legal[] = {"name",      "metric",       "service", "agg", "step",
                                        "by",        "label.<name>", "start",   "end", "time",
                                        "timerange", "since",        "limit",   NULL};
    static const char *const name[] = {"name", "metric", NULL}, *const service[] = {"service", "service_name",
                                                                                    NULL};
    struct ox__param *p = ox__params_any(&c->params, name);
    s->name = p != NULL ? p->value : (struct ox_str){NULL, 0};
    p = ox__params_any(&c->params, service);
    s->service = p != NULL ? p->value : (struct ox_str){NULL, 0};
    ox_err err = ox__params_labels(&c->params, s->labels, &s->n_labels, &c->diag);
    if (err == OX_OK)
        err = ox__call_range(c);
    if (err == OX_OK)
        err = parse_agg(c, s);
    if (err == OX_OK)
        err = parse_step(c, s);
    if (err == OX_OK)
        err = parse_by(c, s);
    if (err == OX_OK)
        err = check_named(c, s);
    if (err == OX_OK)
        err = ox__call_limit(c, c->limits.metric_points_max, c->limits.metric_points_max);
    return err == OX_OK ? ox__call_done_params(c, legal) : err;
}

static const char *
type_name(uint8_t type)
{
    static const char *const names[] = {"", "gauge", "sum", "histogram", "exponential_histogram", "summary"};
    return names[type < OX_COUNT(names) ? type : 0];
}

static void
write_name(struct ox__json *j, struct ox__rows *r)
{
    size_t n;
    ox__qjson_begin(j, '{');
    ox__qjson_kstr(j, "name", ox__rows_str(r));
    ox__qjson_kcstr(j, "type", type_name(ox__rows_u8(r)));
    ox__qjson_kstr(j, "unit", ox__rows_str(r));
    ox__qjson_kstr(j, "description", ox__rows_str(r));
    ox__qjson_ku64(j, "series_count", ox__rows_u64(r));
    struct ox__rows services = ox__rows_array_str(r, &n);
    ox__qjson_open(j, "services", '[');
    for (size_t i = 0; i < n; i++)
        ox__qjson_str(j, ox__rows_str(&services));
    ox__qjson_end(j, ']');
    ox__qjson_end(j, '}');
}

static ox_err
write_names(struct ox__call *c, struct ox__json *j, const struct ox__metric_search *s)
{
    struct ox__sql sql;
    struct ox_buf result;
    struct ox__rows r;
    ox__sql_init(&sql);
    ox_buf_init(&result);
    ox__sql_add(&sql, "SELECT metric_name, any(type), any(unit), any(description), uniqExact(series_id), "
                      "arraySort(groupUniqArray(service_name)) FROM otel_metric_series WHERE ");
    ox__metrics_series_conditions(c, &sql, s);
    ox__sql_add(&sql, " GROUP BY metric_name ORDER BY metric_name LIMIT ");
    ox__sql_u64(&sql, c->limit + 1);
    ox_err err = ox__call_query(c, &sql, &result);
    ox__rows_init(&r, &result);
    ox__qjson_open(j, "metrics", '[');
    for (; err == OX_OK && ox__rows_more(&r) && c->rows < c->limit; c->rows++)
        write_name(j, &r);
    ox__qjson_end(j, ']');
    if (err == OX_OK && r.failed)
        err = ox__call_damaged(c);
    c->truncated = err == OX_OK && ox__rows_more(&r);
    ox__sql_fini(&sql);
    ox_buf_fini(&result);
    return err;
}

static ox_err
write_metric(struct ox__call *c, struct ox__json *j, const struct ox__metric_search *s)
{
    struct ox__series_set set = {0};
    ox_err err = ox__series_load(c, s, &set);
    if (err == OX_OK) {
        ox__qjson_kstr(j, "name", s->name);
        if (s->agg != OX__AGG_NONE) {
            ox__qjson_kcstr(j, "agg", s->agg_name);
            ox__qjson_ku64(j, "step_ns", s->step_ns);
        }
        ox__qjson_open(j, "series", '[');
        if (set.n > 0)
            err =
                s->agg == OX__AGG_NONE ? ox__metrics_raw(c, j, s, &set) : ox__metrics_combined(c, j, s, &set);
        ox__qjson_end(j, ']');
    }
    ox__series_fini(&set);
    return err;
}

ox_err
ox__handle_metrics(struct ox__call *c, struct ox__json *j)
{
    struct ox__metric_search s = {0};
    ox_err err = ox__metrics_parse(c, &s);
    if (err != OX_OK)
        return err;
    return s.name.n > 0 ? write_metric(c, j, &s) : write_names(c, j, &s);
}
