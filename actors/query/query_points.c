/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_points.c - the points of one metric as they were sent: every field, series by series.
 *
 * Owns:    result bytes of one answer.
 * Threads: one dirty thread.
 * Bounds:  the question's limit, over all series; limits.correlated_max exemplars.
 * Fails:   the errors of storage.
 * Flow:    query_metrics.c -> otel_metrics, otel_metric_histograms, otel_metric_exemplars -> JSON.
 *
 * The three results come ordered by series, as the series are: one walk writes all of them.
 */
#include "actors/query/query_metrics.h"
#include "actors/query/query_record.h"

enum { NUMBERS, HISTOGRAMS, EXEMPLARS, SOURCES };

struct source {
    struct ox_buf result;
    struct ox__rows rows;
};

static bool
any_series(const struct ox__series *series)
{
    return series != NULL;
}

static const struct {
    const char *select;
    const char *time_column;
    const char *order;
    bool (*pick)(const struct ox__series *);
} sources[SOURCES] = {
    {"SELECT series_id, toUnixTimestamp64Nano(time), toUnixTimestamp64Nano(start_time), value, value_type, "
     "int_value, "
     "flags FROM otel_metrics WHERE ",
     "otel_metrics.time", " ORDER BY series_id, otel_metrics.time LIMIT ", ox__series_is_number},
    {"SELECT " OX__HISTOGRAM_COLUMNS " FROM otel_metric_histograms WHERE ", "otel_metric_histograms.time",
     " ORDER BY series_id, otel_metric_histograms.time LIMIT ", ox__series_is_histogram},
    {"SELECT " OX__EXEMPLAR_COLUMNS " FROM otel_metric_exemplars WHERE ", "point_time",
     " ORDER BY series_id, point_time, otel_metric_exemplars.time LIMIT ", any_series},
};

static bool
wanted(const struct ox__series_set *set, int source)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (sources[source].pick(&set->list[i]))
            return true;
    return false;
}

static ox_err
load(struct ox__call *c, const struct ox__metric_search *s, const struct ox__series_set *set, int source,
     struct source *out)
{
    struct ox__sql sql;
    ox_err err = OX_OK;
    if (wanted(set, source)) {
        ox__sql_init(&sql);
        ox__sql_add(&sql, sources[source].select);
        ox__series_ids(c, &sql, s, set, sources[source].pick);
        ox__sql_range(&sql, sources[source].time_column, c->range.start_ns, c->range.end_ns);
        ox__sql_add(&sql, sources[source].order);
        ox__sql_u64(&sql, (source == EXEMPLARS ? c->limits.correlated_max : c->limit) + 1);
        err = ox__call_query(c, &sql, &out->result);
        ox__sql_fini(&sql);
    }
    ox__rows_init(&out->rows, &out->result);
    return err;
}

/* The next row belongs to this series. */
static bool
belongs(const struct ox__rows *rows, uint64_t series_id)
{
    struct ox__rows peek = *rows;
    return ox__rows_more(rows) && ox__rows_u64(&peek) == series_id;
}

static void
write_number(struct ox__json *j, struct ox__rows *r)
{
    (void)ox__rows_u64(r);
    ox__qjson_begin(j, '{');
    ox__qjson_ktime(j, "time", ox__rows_u64(r));
    ox__qjson_ktime(j, "start_time", ox__rows_u64(r));
    double value = ox__rows_f64(r);
    uint8_t type = ox__rows_u8(r);
    ox__record_number(j, "value", type, value, ox__rows_i64(r));
    ox__qjson_ku64(j, "flags", ox__rows_u32(r));
    ox__qjson_end(j, '}');
}

void
ox__histogram_read(struct ox__rows *r, struct ox__histogram *h)
{
    size_t n;
    h->series_id = ox__rows_u64(r);
    h->time_ns = ox__rows_u64(r);
    h->start_ns = ox__rows_u64(r);
    h->type = ox__rows_u8(r);
    h->flags = ox__rows_u32(r);
    h->has = ox__rows_u8(r);
    h->count = ox__rows_u64(r);
    h->sum = ox__rows_f64(r);
    h->min = ox__rows_f64(r);
    h->max = ox__rows_f64(r);
    h->bounds = ox__rows_array_fixed(r, 8, &h->n_bounds);
    h->counts = ox__rows_array_fixed(r, 8, &h->n_counts);
    h->scale = ox__rows_i32(r);
    h->zero_count = ox__rows_u64(r);
    h->zero_threshold = ox__rows_f64(r);
    h->positive_offset = ox__rows_i32(r);
    h->positive = ox__rows_array_fixed(r, 8, &h->n_positive);
    h->negative_offset = ox__rows_i32(r);
    h->negative = ox__rows_array_fixed(r, 8, &h->n_negative);
    h->quantiles = ox__rows_array_fixed(r, 8, &h->n_quantiles);
    h->quantile_values = ox__rows_array_fixed(r, 8, &n);
}

static void
write_u64s(struct ox__json *j, const char *key, struct ox__rows at, size_t n)
{
    ox__qjson_open(j, key, '[');
    for (size_t i = 0; i < n; i++)
        ox__qjson_u64(j, ox__rows_u64(&at));
    ox__qjson_end(j, ']');
}

static void
write_optional(struct ox__json *j, const char *key, bool present, double v)
{
    ox__qjson_key(j, key);
    if (present)
        ox__qjson_double(j, v);
    else
        ox__qjson_null(j);
}

static void
write_side(struct ox__json *j, const char *key, int32_t offset, struct ox__rows counts, size_t n)
{
    ox__qjson_open(j, key, '{');
    ox__qjson_ki64(j, "offset", offset);
    write_u64s(j, "bucket_counts", counts, n);
    ox__qjson_end(j, '}');
}

static void
write_explicit(struct ox__json *j, const struct ox__histogram *h)
{
    struct ox__rows bounds = h->bounds;
    ox__qjson_open(j, "explicit_bounds", '[');
    for (size_t i = 0; i < h->n_bounds; i++)
        ox__qjson_double(j, ox__rows_f64(&bounds));
    ox__qjson_end(j, ']');
    write_u64s(j, "bucket_counts", h->counts, h->n_counts);
}

static void
write_exponential(struct ox__json *j, const struct ox__histogram *h)
{
    ox__qjson_ki64(j, "scale", h->scale);
    ox__qjson_ku64(j, "zero_count", h->zero_count);
    ox__qjson_kdouble(j, "zero_threshold", h->zero_threshold);
    write_side(j, "positive", h->positive_offset, h->positive, h->n_positive);
    write_side(j, "negative", h->negative_offset, h->negative, h->n_negative);
}

static void
write_quantiles(struct ox__json *j, const struct ox__histogram *h)
{
    struct ox__rows q = h->quantiles, v = h->quantile_values;
    ox__qjson_open(j, "quantile_values", '[');
    for (size_t i = 0; i < h->n_quantiles; i++) {
        ox__qjson_begin(j, '{');
        ox__qjson_kdouble(j, "quantile", ox__rows_f64(&q));
        ox__qjson_kdouble(j, "value", ox__rows_f64(&v));
        ox__qjson_end(j, '}');
    }
    ox__qjson_end(j, ']');
}

static void
write_histogram(struct ox__json *j, struct ox__rows *r)
{
    struct ox__histogram h;
    ox__histogram_read(r, &h);
    ox__qjson_begin(j, '{');
    ox__qjson_ktime(j, "time", h.time_ns);
    ox__qjson_ktime(j, "start_time", h.start_ns);
    ox__qjson_ku64(j, "count", h.count);
    write_optional(j, "sum", (h.has & OX_POINT_HAS_SUM) != 0, h.sum);
    if (h.type != OX_METRIC_SUMMARY) {
        write_optional(j, "min", (h.has & OX_POINT_HAS_MIN) != 0, h.min);
        write_optional(j, "max", (h.has & OX_POINT_HAS_MAX) != 0, h.max);
    }
    if (h.type == OX_METRIC_HISTOGRAM)
        write_explicit(j, &h);
    else if (h.type == OX_METRIC_EXP_HISTOGRAM)
        write_exponential(j, &h);
    else
        write_quantiles(j, &h);
    ox__qjson_ku64(j, "flags", h.flags);
    ox__qjson_end(j, '}');
}

static void
write_series(struct ox__call *c, struct ox__json *j, const struct ox__metric_search *s,
             const struct ox__series_set *set, const struct ox__series *series, struct source *from)
{
    bool number = ox__series_is_number(series);
    struct ox__rows *rows = &from[number ? NUMBERS : HISTOGRAMS].rows;
    ox__qjson_begin(j, '{');
    ox__series_write(j, s, set, series);
    ox__qjson_open(j, "points", '[');
    for (; belongs(rows, series->id) && c->rows < c->limit; c->rows++) {
        if (number)
            write_number(j, rows);
        else
            write_histogram(j, rows);
    }
    ox__qjson_end(j, ']');
    ox__qjson_open(j, "exemplars", '[');
    while (belongs(&from[EXEMPLARS].rows, series->id))
        ox__record_exemplar(j, &from[EXEMPLARS].rows);
    ox__qjson_end(j, ']');
    ox__qjson_end(j, '}');
}

ox_err
ox__metrics_raw(struct ox__call *c, struct ox__json *j, const struct ox__metric_search *s,
                const struct ox__series_set *set)
{
    struct source from[SOURCES] = {0};
    ox_err err = OX_OK;
    for (int i = 0; i < SOURCES && err == OX_OK; i++)
        err = load(c, s, set, i, &from[i]);
    for (uint32_t i = 0; i < set->n && err == OX_OK; i++) {
        const struct ox__series *series = &set->list[i];
        if (belongs(&from[NUMBERS].rows, series->id) || belongs(&from[HISTOGRAMS].rows, series->id))
            write_series(c, j, s, set, series, from);
    }
    for (int i = 0; i < SOURCES; i++) {
        if (err == OX_OK && from[i].rows.failed)
            err = ox__call_damaged(c);
        /* Rows that are left over are beyond a limit. */
        c->truncated |= ox__rows_more(&from[i].rows);
        ox_buf_fini(&from[i].result);
    }
    return err;
}
