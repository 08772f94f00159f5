/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_metrics.h - a metric question: its series, their groups, and how points are combined.
 *
 * Owns:    struct ox__series_set until _fini.
 * Threads: one dirty thread.
 */
#ifndef OX_QUERY_METRICS_H
#define OX_QUERY_METRICS_H

#include "actors/query/query_call.h"
#include "ox/batch.h"

enum ox__agg {
    OX__AGG_NONE, /* the points as they are */
    OX__AGG_AVG,
    OX__AGG_SUM,
    OX__AGG_MIN,
    OX__AGG_MAX,
    OX__AGG_COUNT,
    OX__AGG_RATE,
    OX__AGG_LAST,
    OX__AGG_P50,
    OX__AGG_P90,
    OX__AGG_P95,
    OX__AGG_P99
};

struct ox__metric_search {
    struct ox_str name;
    struct ox_str service;
    struct ox__label labels[OX__PARAM_LIST_MAX];
    size_t n_labels;
    struct ox_str by[OX__PARAM_LIST_MAX];
    size_t n_by;
    bool grouped; /* `by` was given; without labels all series are one */
    enum ox__agg agg;
    const char *agg_name;
    uint64_t step_ns;
};

struct ox__series {
    uint64_t id;
    uint8_t type; /* enum ox_metric_type */
    uint8_t temporality;
    bool monotonic;
    uint32_t group;
    const uint8_t *begin; /* of its row in the result */
};

struct ox__series_set {
    struct ox_buf result;
    const uint8_t *end;
    struct ox__series *list; /* by id */
    uint32_t n;
    uint32_t n_groups;
};

/* Reads the parameters. */
OX_MUST_USE ox_err ox__metrics_parse(struct ox__call *c, struct ox__metric_search *s);
/* " AND ..." on otel_metric_series: service and labels; days of the range. */
void ox__metrics_series_conditions(struct ox__call *c, struct ox__sql *sql,
                                   const struct ox__metric_search *s);
/* Loads the matching series, ordered by id, at most limits.series_max, and gives each its group. */
OX_MUST_USE ox_err ox__series_load(struct ox__call *c, const struct ox__metric_search *s,
                                   struct ox__series_set *set);
void ox__series_fini(struct ox__series_set *set);
/* The members that describe a series (its group's labels when grouped), without braces. */
void ox__series_write(struct ox__json *j, const struct ox__metric_search *s, const struct ox__series_set *set,
                      const struct ox__series *series);
/* Appends " AND metric_name = ... AND series_id IN (...)" for the series of which `pick` is true. */
void ox__series_ids(struct ox__call *c, struct ox__sql *sql, const struct ox__metric_search *s,
                    const struct ox__series_set *set, bool (*pick)(const struct ox__series *));
bool ox__series_is_number(const struct ox__series *series);
bool ox__series_is_histogram(const struct ox__series *series);
/* Series of that id, or NULL. */
const struct ox__series *ox__series_find(const struct ox__series_set *set, uint64_t id);

/* The answers: raw points; numbers and histograms combined by step. */
OX_MUST_USE ox_err ox__metrics_raw(struct ox__call *c, struct ox__json *j, const struct ox__metric_search *s,
                                   const struct ox__series_set *set);
OX_MUST_USE ox_err ox__metrics_combined(struct ox__call *c, struct ox__json *j,
                                        const struct ox__metric_search *s, const struct ox__series_set *set);

/* One point of a combined answer. */
struct ox__cell {
    uint32_t group;
    uint64_t time_ns;
    double value;
};
struct ox__cells {
    struct ox__cell *list; /* by group, then time */
    uint32_t n, cap;
};
OX_MUST_USE ox_err ox__qcells_add(struct ox__cells *cells, uint32_t group, uint64_t time_ns, double value);
/* Adds the combined points of the histogram series. */
OX_MUST_USE ox_err ox__metrics_histograms(struct ox__call *c, const struct ox__metric_search *s,
                                          const struct ox__series_set *set, struct ox__cells *cells);

/* One histogram point as stored: columns of OX__HISTOGRAM_COLUMNS. */
#define OX__HISTOGRAM_COLUMNS                                                                                \
    "series_id, toUnixTimestamp64Nano(time), toUnixTimestamp64Nano(start_time), type, flags, has, count, "   \
    "sum, min, "                                                                                             \
    "max, explicit_bounds, bucket_counts, scale, zero_count, zero_threshold, positive_offset, "              \
    "positive_counts, "                                                                                      \
    "negative_offset, negative_counts, quantiles, quantile_values"
struct ox__histogram {
    uint64_t series_id, time_ns, start_ns;
    uint8_t type;
    uint32_t flags;
    uint8_t has;
    uint64_t count;
    double sum, min, max;
    size_t n_bounds, n_counts, n_positive, n_negative, n_quantiles;
    struct ox__rows bounds, counts, positive, negative, quantiles, quantile_values;
    int32_t scale, positive_offset, negative_offset;
    uint64_t zero_count;
    double zero_threshold;
};
void ox__histogram_read(struct ox__rows *r, struct ox__histogram *h);

#endif
