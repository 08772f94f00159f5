/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_histograms.c - combines histogram points by step.
 *
 * Owns:    the buckets of one group and step at a time per cell, freed before it returns.
 * Threads: one dirty thread.
 * Bounds:  limits.metric_points_max points read; says so in meta when there are more.
 * Fails:   NOMEM, the errors of storage.
 * Flow:    query_combine.c -> otel_metric_histograms -> query_hist.c.
 *
 * A cumulative point counts what came since its series' previous point; when the count fell or the start time
 * moved, the series began anew and the point counts whole. The first point in the range has no neighbour and
 * only serves as one, for which the reading begins some time before the range.
 */
#include <math.h>
#include <stdlib.h>

#include "actors/query/query_hist.h"
#include "actors/query/query_metrics.h"

#define LOOKBACK_NS (300 * OX__NS_PER_S)

struct cell {
    uint32_t group;
    uint64_t time_ns;
    double count, sum, min, max;
    bool has_min, has_max;
    struct ox__hist hist;
};

struct cells {
    struct cell *list;
    uint32_t n, cap;
};

static struct cell *
find_cell(struct cells *cells, uint32_t group, uint64_t time_ns)
{
    for (uint32_t i = cells->n; i-- > 0;)
        if (cells->list[i].group == group && cells->list[i].time_ns == time_ns)
            return &cells->list[i];
    if (cells->n == cells->cap) {
        uint32_t cap = cells->cap != 0 ? 2 * cells->cap : 64;
        struct cell *grown = realloc(cells->list, cap * sizeof(*grown));
        if (grown == NULL)
            return NULL;
        cells->list = grown;
        cells->cap = cap;
    }
    struct cell *cell = &cells->list[cells->n++];
    memset(cell, 0, sizeof(*cell));
    cell->group = group;
    cell->time_ns = time_ns;
    return cell;
}

static double
difference(uint64_t now, uint64_t before)
{
    return now >= before ? (double)(now - before) : 0;
}

/* Count at `index` of a bucket list that starts at `offset`; 0 outside. */
static uint64_t
count_at(struct ox__rows at, size_t n, int64_t offset, int64_t index)
{
    if (index < offset || index - offset >= (int64_t)n)
        return 0;
    at.p += 8 * (index - offset);
    return ox__rows_u64(&at);
}

static double
bound_at(struct ox__rows at, size_t i)
{
    at.p += 8 * i;
    return ox__rows_f64(&at);
}

/* The outermost buckets have no bound of their own: the recorded extremes stand in, else the next bound. */
static void
add_explicit(struct ox__hist *hist, const struct ox__histogram *h, const struct ox__histogram *before)
{
    for (size_t i = 0; i < h->n_counts; i++) {
        double first = h->n_bounds > 0 ? bound_at(h->bounds, 0) : h->max;
        double last = h->n_bounds > 0 ? bound_at(h->bounds, h->n_bounds - 1) : h->min;
        bool has_min = (h->has & OX_POINT_HAS_MIN) != 0, has_max = (h->has & OX_POINT_HAS_MAX) != 0;
        double lo = i > 0                        ? bound_at(h->bounds, i - 1)
                    : has_min && h->min <= first ? h->min
                    : first > 0                  ? 0
                                                 : first;
        double hi = i < h->n_bounds ? bound_at(h->bounds, i) : has_max && h->max >= last ? h->max : last;
        if (has_max && h->max < hi && h->max > lo)
            hi = h->max; /* nothing lies above it */
        uint64_t old = before != NULL ? count_at(before->counts, before->n_counts, 0, (int64_t)i) : 0;
        ox__hist_add(hist, lo, hi, difference(count_at(h->counts, h->n_counts, 0, (int64_t)i), old));
    }
}

/* The same point at another scale has its neighbours merged in pairs; then it counts as a new beginning. */
static void
add_exponential(struct ox__hist *hist, const struct ox__histogram *h, const struct ox__histogram *before)
{
    if (before != NULL && before->scale != h->scale)
        before = NULL;
    ox__hist_add(hist, -h->zero_threshold, h->zero_threshold,
                 difference(h->zero_count, before != NULL ? before->zero_count : 0));
    for (size_t i = 0; i < h->n_positive; i++) {
        int64_t index = (int64_t)h->positive_offset + (int64_t)i;
        uint64_t old = before != NULL
                           ? count_at(before->positive, before->n_positive, before->positive_offset, index)
                           : 0;
        ox__hist_add(hist, ox__hist_exp_bound(h->scale, index - 1), ox__hist_exp_bound(h->scale, index),
                     difference(count_at(h->positive, h->n_positive, h->positive_offset, index), old));
    }
    for (size_t i = 0; i < h->n_negative; i++) {
        int64_t index = (int64_t)h->negative_offset + (int64_t)i;
        uint64_t old = before != NULL
                           ? count_at(before->negative, before->n_negative, before->negative_offset, index)
                           : 0;
        ox__hist_add(hist, -ox__hist_exp_bound(h->scale, index), -ox__hist_exp_bound(h->scale, index - 1),
                     difference(count_at(h->negative, h->n_negative, h->negative_offset, index), old));
    }
}

static void
add_point(struct cell *cell, const struct ox__histogram *h, const struct ox__histogram *before)
{
    cell->count += difference(h->count, before != NULL ? before->count : 0);
    cell->sum += h->sum - (before != NULL ? before->sum : 0);
    if ((h->has & OX_POINT_HAS_MIN) != 0 && (!cell->has_min || h->min < cell->min)) {
        cell->min = h->min;
        cell->has_min = true;
    }
    if ((h->has & OX_POINT_HAS_MAX) != 0 && (!cell->has_max || h->max > cell->max)) {
        cell->max = h->max;
        cell->has_max = true;
    }
    if (h->type == OX_METRIC_HISTOGRAM)
        add_explicit(&cell->hist, h, before);
    else if (h->type == OX_METRIC_EXP_HISTOGRAM)
        add_exponential(&cell->hist, h, before);
}

static bool
continues(const struct ox__histogram *before, const struct ox__histogram *h)
{
    return before->series_id == h->series_id && before->start_ns == h->start_ns && before->count <= h->count;
}

/* Whether the point is counted, and against which neighbour. A series' very first point, whose start lies in
 * the range too, began inside it and counts whole. */
static bool
is_counted(const struct ox__call *c, const struct ox__series *series, const struct ox__histogram *h,
           const struct ox__histogram *before, const struct ox__histogram **against)
{
    *against = NULL;
    if (h->time_ns < c->range.start_ns || (h->flags & 1) != 0)
        return false;
    if (series->temporality == 1)
        return true;
    if (before->series_id == h->series_id) {
        *against = continues(before, h) ? before : NULL;
        return true;
    }
    return h->start_ns >= c->range.start_ns && h->start_ns != 0;
}

static ox_err
walk(struct ox__call *c, const struct ox__metric_search *s, const struct ox__series_set *set,
     struct ox__rows *r, struct cells *cells)
{
    struct ox__histogram h, before = {0};
    const struct ox__histogram *against;
    for (uint64_t n = 0; ox__rows_more(r); n++) {
        if (n == c->limits.metric_points_max) {
            c->truncated = true;
            return OX_OK;
        }
        ox__histogram_read(r, &h);
        if (r->failed)
            return ox__call_damaged(c);
        const struct ox__series *series = ox__series_find(set, h.series_id);
        if (series != NULL && is_counted(c, series, &h, &before, &against)) {
            struct cell *cell = find_cell(cells, series->group, h.time_ns / s->step_ns * s->step_ns);
            if (cell == NULL)
                return OX_E_NOMEM;
            add_point(cell, &h, against);
        }
        before = h;
    }
    return OX_OK;
}

static double
value_of(struct cell *cell, const struct ox__metric_search *s)
{
    switch (s->agg) {
    case OX__AGG_AVG:
        return cell->count > 0 ? cell->sum / cell->count : NAN;
    case OX__AGG_SUM:
        return cell->sum;
    case OX__AGG_MIN:
        return cell->has_min ? cell->min : NAN;
    case OX__AGG_MAX:
        return cell->has_max ? cell->max : NAN;
    case OX__AGG_COUNT:
        return cell->count;
    case OX__AGG_RATE:
        return cell->count / ((double)s->step_ns / 1e9);
    case OX__AGG_P50:
        return ox__hist_quantile(&cell->hist, 0.5);
    case OX__AGG_P90:
        return ox__hist_quantile(&cell->hist, 0.9);
    case OX__AGG_P95:
        return ox__hist_quantile(&cell->hist, 0.95);
    case OX__AGG_P99:
        return ox__hist_quantile(&cell->hist, 0.99);
    default:
        return NAN;
    }
}

/* Steps without a value (no observations, no recorded minimum) have no point. */
static ox_err
hand_over(const struct ox__metric_search *s, struct cells *from, struct ox__cells *to, ox_err err)
{
    for (uint32_t i = 0; i < from->n; i++) {
        struct cell *cell = &from->list[i];
        double value = value_of(cell, s);
        if (err == OX_OK && cell->hist.failed)
            err = OX_E_NOMEM;
        if (err == OX_OK && !isnan(value))
            err = ox__qcells_add(to, cell->group, cell->time_ns, value);
        ox__hist_fini(&cell->hist);
    }
    free(from->list);
    return err;
}

ox_err
ox__metrics_histograms(struct ox__call *c, const struct ox__metric_search *s,
                       const struct ox__series_set *set, struct ox__cells *out)
{
    struct cells cells = {0};
    struct ox__sql sql;
    struct ox_buf result;
    struct ox__rows r;
    uint64_t before_ns = s->step_ns > LOOKBACK_NS ? s->step_ns : LOOKBACK_NS;
    uint64_t start_ns = c->range.start_ns > before_ns ? c->range.start_ns - before_ns : 0;
    ox__sql_init(&sql);
    ox_buf_init(&result);
    ox__sql_add(&sql, "SELECT " OX__HISTOGRAM_COLUMNS " FROM otel_metric_histograms WHERE ");
    ox__series_ids(c, &sql, s, set, ox__series_is_histogram);
    ox__sql_range(&sql, "otel_metric_histograms.time", start_ns, c->range.end_ns);
    ox__sql_add(&sql, " ORDER BY series_id, otel_metric_histograms.time LIMIT ");
    ox__sql_u64(&sql, (uint64_t)c->limits.metric_points_max + 1);
    ox_err err = ox__call_query(c, &sql, &result);
    ox__rows_init(&r, &result);
    if (err == OX_OK)
        err = walk(c, s, set, &r, &cells);
    err = hand_over(s, &cells, out, err);
    ox__sql_fini(&sql);
    ox_buf_fini(&result);
    return err;
}
