/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_combine.c - combines the points of a metric by step: avg, sum, rate, p95 and so on.
 *
 * Owns:    the cells of one answer.
 * Threads: one dirty thread.
 * Bounds:  the question's limit of points.
 * Fails:   INVALID (an aggregate that the metric's type has no meaning for), the errors of storage.
 * Flow:    query_metrics.c -> here -> otel_metrics or its rollups; query_histograms.c -> JSON.
 *
 * Steps are aligned to the Unix epoch. `rate` is the increase per second: of a cumulative sum the difference
 * between neighbouring points of a series, where a smaller value is a restart of the counter; of a delta sum
 * its values. Rollups answer what they can (everything but quantiles) once the step is as long as theirs and
 * the range is long, or older than raw points are kept.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/query/query_metrics.h"

#define NS_PER_MINUTE (60 * OX__NS_PER_S)
#define NS_PER_HOUR   (60 * NS_PER_MINUTE)
#define NS_PER_DAY    (24 * NS_PER_HOUR)
/* Raw points are kept that long (schema/clickhouse). */
#define RAW_KEPT_NS (30 * NS_PER_DAY)

ox_err
ox__qcells_add(struct ox__cells *cells, uint32_t group, uint64_t time_ns, double value)
{
    if (cells->n == cells->cap) {
        uint32_t cap = cells->cap != 0 ? 2 * cells->cap : 256;
        struct ox__cell *grown = realloc(cells->list, cap * sizeof(*grown));
        if (grown == NULL)
            return OX_E_NOMEM;
        cells->list = grown;
        cells->cap = cap;
    }
    cells->list[cells->n++] = (struct ox__cell){.group = group, .time_ns = time_ns, .value = value};
    return OX_OK;
}

static double
quantile_of(enum ox__agg agg)
{
    return agg == OX__AGG_P50   ? 0.5
           : agg == OX__AGG_P90 ? 0.9
           : agg == OX__AGG_P95 ? 0.95
           : agg == OX__AGG_P99 ? 0.99
                                : 0;
}

/* Which table answers: its name, and how long its rows are. */
struct table {
    const char *name;
    uint64_t row_ns; /* 0 = raw points */
};

static struct table
choose_table(const struct ox__call *c, const struct ox__metric_search *s)
{
    uint64_t length_ns = c->range.end_ns - c->range.start_ns;
    bool expired = c->now_ns > RAW_KEPT_NS && c->range.start_ns < c->now_ns - RAW_KEPT_NS;
    if (quantile_of(s->agg) > 0)
        return (struct table){"otel_metrics", 0};
    if (s->step_ns % NS_PER_HOUR == 0 && (length_ns > 7 * NS_PER_DAY || expired))
        return (struct table){"otel_metrics_1h", NS_PER_HOUR};
    if (s->step_ns % (5 * NS_PER_MINUTE) == 0 && (length_ns > 6 * NS_PER_HOUR || expired))
        return (struct table){"otel_metrics_5m", 5 * NS_PER_MINUTE};
    return (struct table){"otel_metrics", 0};
}

/* What a group's rows of one step become. Inner columns: raw v; rollup n, s, lo, hi, v (its last). */
static void
add_aggregate(struct ox__sql *sql, const struct ox__metric_search *s, const struct table *t)
{
    static const char *const raw[] = {
        [OX__AGG_AVG] = "avg(v)",
        [OX__AGG_SUM] = "sum(v)",
        [OX__AGG_MIN] = "min(v)",
        [OX__AGG_MAX] = "max(v)",
        [OX__AGG_COUNT] = "toFloat64(count())",
        [OX__AGG_LAST] = "argMax(v, at)",
        [OX__AGG_P50] = "quantileExact(0.5)(v)",
        [OX__AGG_P90] = "quantileExact(0.9)(v)",
        [OX__AGG_P95] = "quantileExact(0.95)(v)",
        [OX__AGG_P99] = "quantileExact(0.99)(v)",
    };
    static const char *const rolled[] = {
        [OX__AGG_AVG] = "sum(s) / sum(n)",
        [OX__AGG_SUM] = "sum(s)",
        [OX__AGG_MIN] = "min(lo)",
        [OX__AGG_MAX] = "max(hi)",
        [OX__AGG_COUNT] = "toFloat64(sum(n))",
        [OX__AGG_LAST] = "argMax(v, at)",
    };
    if (s->agg == OX__AGG_RATE)
        ox_buf_printf(&sql->text, "sum(increase) / %.9f", (double)s->step_ns / 1e9);
    else
        ox__sql_add(sql, t->row_ns > 0 ? rolled[s->agg] : raw[s->agg]);
}

static void
add_group_of(struct ox__sql *sql, const struct ox__series_set *set)
{
    ox__sql_add(sql, "transform(series_id, [");
    for (uint32_t i = 0; i < set->n; i++)
        ox_buf_printf(&sql->text, "%s%llu", i > 0 ? "," : "", (unsigned long long)set->list[i].id);
    ox__sql_add(sql, "]::Array(UInt64), [");
    for (uint32_t i = 0; i < set->n; i++)
        ox_buf_printf(&sql->text, "%s%u", i > 0 ? "," : "", set->list[i].group);
    ox__sql_add(sql, "]::Array(UInt32), toUInt32(0))");
}

static bool
is_delta(const struct ox__series *series)
{
    return ox__series_is_number(series) && series->temporality == 1;
}

/* series_id, at, v (and n, s, lo, hi of a rollup), from a bit before the range so that rates have a
 * neighbour. */
static void
add_source(struct ox__call *c, struct ox__sql *sql, const struct ox__metric_search *s,
           const struct ox__series_set *set, const struct table *t)
{
    uint64_t before_ns =
        s->agg == OX__AGG_RATE ? (s->step_ns > 5 * NS_PER_MINUTE ? s->step_ns : 5 * NS_PER_MINUTE) : 0;
    uint64_t start_ns = c->range.start_ns > before_ns ? c->range.start_ns - before_ns : 0;
    char column[48];
    snprintf(column, sizeof(column), "%s.time", t->name);
    ox_buf_printf(&sql->text, "(SELECT series_id, toDateTime64(%s, 9, 'UTC') AS at, ", column);
    ox__sql_add(sql, t->row_ns == 0
                         ? "value AS v FROM "
                         : "argMaxMerge(last) AS v, sum(count) AS n, sum(sum) AS s, min(min) AS lo, "
                           "max(max) AS hi FROM ");
    ox__sql_add(sql, t->name);
    ox__sql_add(sql, " WHERE ");
    ox__series_ids(c, sql, s, set, ox__series_is_number);
    ox__sql_range(sql, column, start_ns, c->range.end_ns);
    ox__sql_add(sql, t->row_ns == 0 ? " AND value_type != 0)" : " GROUP BY series_id, at)");
}

static void
add_increase(struct ox__sql *sql, const struct ox__series_set *set, const struct table *t)
{
    const char *separator = "";
    ox__sql_add(sql, ", multiIf(has([");
    for (uint32_t i = 0; i < set->n; i++)
        if (is_delta(&set->list[i])) {
            ox_buf_printf(&sql->text, "%s%llu", separator, (unsigned long long)set->list[i].id);
            separator = ",";
        }
    ox__sql_add(sql, "]::Array(UInt64), series_id), ");
    ox__sql_add(sql, t->row_ns == 0 ? "v" : "s");
    ox__sql_add(
        sql,
        ", row_number() OVER w = 1, 0, v < lagInFrame(v) OVER w, v, v - lagInFrame(v) OVER w) AS increase");
}

static void
combine_sql(struct ox__call *c, struct ox__sql *sql, const struct ox__metric_search *s,
            const struct ox__series_set *set)
{
    struct table t = choose_table(c, s);
    ox__sql_add(sql, "SELECT toUInt32(g), toUInt64(bucket), toFloat64(");
    add_aggregate(sql, s, &t);
    ox__sql_add(sql, ") FROM (SELECT *, ");
    add_group_of(sql, set);
    ox_buf_printf(&sql->text, " AS g, intDiv(toUnixTimestamp64Nano(at), %llu) * %llu AS bucket",
                  (unsigned long long)s->step_ns, (unsigned long long)s->step_ns);
    if (s->agg == OX__AGG_RATE)
        add_increase(sql, set, &t);
    ox__sql_add(sql, " FROM ");
    add_source(c, sql, s, set, &t);
    if (s->agg == OX__AGG_RATE)
        ox__sql_add(
            sql,
            " WINDOW w AS (PARTITION BY series_id ORDER BY at ASC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)");
    ox__sql_add(sql, ") WHERE at >= ");
    ox__sql_time(sql, c->range.start_ns);
    ox__sql_add(sql, " GROUP BY g, bucket ORDER BY g, bucket LIMIT ");
    ox__sql_u64(sql, c->limit + 1);
}

static ox_err
add_numbers(struct ox__call *c, const struct ox__metric_search *s, const struct ox__series_set *set,
            struct ox__cells *cells)
{
    struct ox__sql sql;
    struct ox_buf result;
    struct ox__rows r;
    ox__sql_init(&sql);
    ox_buf_init(&result);
    combine_sql(c, &sql, s, set);
    ox_err err = ox__call_query(c, &sql, &result);
    ox__rows_init(&r, &result);
    while (err == OX_OK && ox__rows_more(&r)) {
        uint32_t group = ox__rows_u32(&r);
        uint64_t time_ns = ox__rows_u64(&r);
        err = ox__qcells_add(cells, group, time_ns, ox__rows_f64(&r));
    }
    if (err == OX_OK && r.failed)
        err = ox__call_damaged(c);
    ox__sql_fini(&sql);
    ox_buf_fini(&result);
    return err;
}

static ox_err
check_meaning(struct ox__call *c, const struct ox__metric_search *s, const struct ox__series_set *set,
              bool *numbers, bool *histograms)
{
    for (uint32_t i = 0; i < set->n; i++) {
        const struct ox__series *series = &set->list[i];
        *numbers |= ox__series_is_number(series);
        *histograms |= ox__series_is_histogram(series);
        if (s->agg == OX__AGG_RATE && series->type == OX_METRIC_GAUGE)
            return ox_diag_set(
                &c->diag, OX_E_INVALID, "agg", -1,
                "agg=rate is not valid: this metric is a gauge, which has no rate; give avg, min, max or "
                "last");
        if (quantile_of(s->agg) > 0 && series->type == OX_METRIC_SUMMARY)
            return ox_diag_set(
                &c->diag, OX_E_INVALID, "agg", -1,
                "agg=%s is not valid: a summary holds only the quantiles that its sender computed; ask "
                "without agg to see them",
                s->agg_name);
        if (s->agg == OX__AGG_LAST && ox__series_is_histogram(series))
            return ox_diag_set(
                &c->diag, OX_E_INVALID, "agg", -1,
                "agg=last is not valid: this metric is a histogram; give avg, sum, count, rate, min, max "
                "or p50 to p99, or ask without agg to see its points");
    }
    return OX_OK;
}

static int
compare(const void *a, const void *b)
{
    const struct ox__cell *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return x->time_ns < y->time_ns ? -1 : x->time_ns > y->time_ns;
}

static void
write_cells(struct ox__call *c, struct ox__json *j, const struct ox__metric_search *s,
            const struct ox__series_set *set, const struct ox__cells *cells)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        const struct ox__series *series = &set->list[i];
        /* Groups are numbered in the order of their first series. */
        if (at == cells->n || cells->list[at].group != series->group)
            continue;
        ox__qjson_begin(j, '{');
        ox__series_write(j, s, set, series);
        ox__qjson_open(j, "points", '[');
        for (; at < cells->n && cells->list[at].group == series->group; at++) {
            if (c->rows == c->limit) {
                c->truncated = true;
                continue;
            }
            ox__qjson_begin(j, '{');
            ox__qjson_ktime(j, "time", cells->list[at].time_ns);
            ox__qjson_kdouble(j, "value", cells->list[at].value);
            ox__qjson_end(j, '}');
            c->rows++;
        }
        ox__qjson_end(j, ']');
        ox__qjson_end(j, '}');
    }
}

ox_err
ox__metrics_combined(struct ox__call *c, struct ox__json *j, const struct ox__metric_search *s,
                     const struct ox__series_set *set)
{
    struct ox__cells cells = {0};
    bool numbers = false, histograms = false;
    ox_err err = check_meaning(c, s, set, &numbers, &histograms);
    if (err == OX_OK && numbers)
        err = add_numbers(c, s, set, &cells);
    if (err == OX_OK && histograms)
        err = ox__metrics_histograms(c, s, set, &cells);
    if (err == OX_OK && cells.n > 0) {
        qsort(cells.list, cells.n, sizeof(cells.list[0]), compare);
        write_cells(c, j, s, set, &cells);
    }
    free(cells.list);
    return err;
}
