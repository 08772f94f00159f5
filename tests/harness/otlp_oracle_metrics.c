/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/otlp_oracle_metrics.c - metrics, their five kinds of points, and exemplars against protobuf-c.
 *
 * Owns:    nothing.
 * Threads: any.
 */
#include "tests/harness/otlp_same.h"

#define NO_TEMPORALITY 0

/* What the point messages have in common. */
#define SAME_HEAD(s, pt, t, metric_)                                                                         \
    do {                                                                                                     \
        OTLP_SAME(s, (pt)->metric == (metric_));                                                             \
        OTLP_SAME(s, (pt)->start_ns == (t)->start_time_unix_nano);                                           \
        OTLP_SAME(s, (pt)->time_ns == (t)->time_unix_nano);                                                  \
        OTLP_SAME(s, (pt)->flags == (t)->flags);                                                             \
        otlp_same_attrs(s, (pt)->attrs, (t)->n_attributes, (t)->attributes);                                 \
    } while (0)

static void
same_optional(struct otlp_same *s, const struct ox_point *pt, uint8_t which, double ours, bool has,
              double theirs)
{
    OTLP_SAME(s, ((pt->has & which) != 0) == has);
    otlp_same_double(s, ours, has ? theirs : 0);
}

static void
same_exemplars(struct otlp_same *s, struct ox_slice ours, size_t n, METRICS(Exemplar) * *theirs)
{
    n = otlp_same_count(s, ours.count, n, s->limits->exemplars_per_point_max);
    for (size_t i = 0; i < n; i++) {
        const struct ox_exemplar *x = &s->b->exemplars[ours.first + i];
        const METRICS(Exemplar) *t = theirs[i];
        const bool is_int = t->value_case == OPENTELEMETRY__PROTO__METRICS__V1__EXEMPLAR__VALUE_AS_INT;
        const bool is_double = t->value_case == OPENTELEMETRY__PROTO__METRICS__V1__EXEMPLAR__VALUE_AS_DOUBLE;
        OTLP_SAME(s, x->time_ns == t->time_unix_nano);
        OTLP_SAME(s, x->is_int == is_int);
        OTLP_SAME(s, x->int_value == (is_int ? t->as_int : 0));
        otlp_same_double(s, x->value, is_int ? (double)t->as_int : is_double ? t->as_double : 0);
        otlp_same_id(s, x->trace_id, t->trace_id, 16);
        otlp_same_id(s, x->span_id, t->span_id, 8);
        otlp_same_attrs(s, x->attrs, t->n_filtered_attributes, t->filtered_attributes);
    }
}

static void
same_u64s(struct otlp_same *s, struct ox_slice ours, size_t n, const uint64_t *theirs)
{
    n = otlp_same_count(s, ours.count, n, s->limits->buckets_per_point_max);
    OTLP_SAME(s, n == 0 || memcmp(&s->b->u64s[ours.first], theirs, n * sizeof(*theirs)) == 0);
}

static void
same_f64s(struct otlp_same *s, struct ox_slice ours, size_t n, const double *theirs)
{
    n = otlp_same_count(s, ours.count, n, s->limits->buckets_per_point_max);
    OTLP_SAME(s, n == 0 || memcmp(&s->b->f64s[ours.first], theirs, n * sizeof(*theirs)) == 0);
}

static void
same_number(struct otlp_same *s, const struct ox_point *pt, const METRICS(NumberDataPoint) * t,
            uint32_t metric)
{
    const bool is_int = t->value_case == OPENTELEMETRY__PROTO__METRICS__V1__NUMBER_DATA_POINT__VALUE_AS_INT;
    const bool has = t->value_case != OPENTELEMETRY__PROTO__METRICS__V1__NUMBER_DATA_POINT__VALUE__NOT_SET;
    SAME_HEAD(s, pt, t, metric);
    OTLP_SAME(s, pt->has == ((has ? OX_POINT_HAS_VALUE : 0) | (is_int ? OX_POINT_IS_INT : 0)));
    OTLP_SAME(s, !is_int || pt->int_value == t->as_int);
    otlp_same_double(s, ox_point_double(pt), is_int ? (double)t->as_int : has ? t->as_double : 0);
    same_exemplars(s, ox_point_more(s->b, pt)->exemplars, t->n_exemplars, t->exemplars);
}

static void
same_histogram(struct otlp_same *s, const struct ox_point *pt, const METRICS(HistogramDataPoint) * t,
               uint32_t metric)
{
    SAME_HEAD(s, pt, t, metric);
    OTLP_SAME(s, ox_point_more(s->b, pt)->count == t->count);
    same_optional(s, pt, OX_POINT_HAS_SUM, ox_point_more(s->b, pt)->sum, t->_sum_case != 0, t->sum);
    same_optional(s, pt, OX_POINT_HAS_MIN, ox_point_more(s->b, pt)->min, t->_min_case != 0, t->min);
    same_optional(s, pt, OX_POINT_HAS_MAX, ox_point_more(s->b, pt)->max, t->_max_case != 0, t->max);
    same_u64s(s, ox_point_more(s->b, pt)->counts, t->n_bucket_counts, t->bucket_counts);
    same_f64s(s, ox_point_more(s->b, pt)->bounds, t->n_explicit_bounds, t->explicit_bounds);
    same_exemplars(s, ox_point_more(s->b, pt)->exemplars, t->n_exemplars, t->exemplars);
}

static void
same_exp_histogram(struct otlp_same *s, const struct ox_point *pt,
                   const METRICS(ExponentialHistogramDataPoint) * t, uint32_t metric)
{
    static const METRICS(ExponentialHistogramDataPoint__Buckets) none =
        OPENTELEMETRY__PROTO__METRICS__V1__EXPONENTIAL_HISTOGRAM_DATA_POINT__BUCKETS__INIT;
    const METRICS(ExponentialHistogramDataPoint__Buckets) *positive = t->positive, *negative = t->negative;
    positive = positive != NULL ? positive : &none;
    negative = negative != NULL ? negative : &none;
    SAME_HEAD(s, pt, t, metric);
    OTLP_SAME(s, ox_point_more(s->b, pt)->count == t->count);
    same_optional(s, pt, OX_POINT_HAS_SUM, ox_point_more(s->b, pt)->sum, t->_sum_case != 0, t->sum);
    same_optional(s, pt, OX_POINT_HAS_MIN, ox_point_more(s->b, pt)->min, t->_min_case != 0, t->min);
    same_optional(s, pt, OX_POINT_HAS_MAX, ox_point_more(s->b, pt)->max, t->_max_case != 0, t->max);
    OTLP_SAME(s, ox_point_more(s->b, pt)->scale == t->scale);
    OTLP_SAME(s, ox_point_more(s->b, pt)->zero_count == t->zero_count);
    otlp_same_double(s, ox_point_more(s->b, pt)->zero_threshold, t->zero_threshold);
    OTLP_SAME(s, ox_point_more(s->b, pt)->positive_offset == positive->offset);
    OTLP_SAME(s, ox_point_more(s->b, pt)->negative_offset == negative->offset);
    same_u64s(s, ox_point_more(s->b, pt)->counts, positive->n_bucket_counts, positive->bucket_counts);
    same_u64s(s, ox_point_more(s->b, pt)->negative, negative->n_bucket_counts, negative->bucket_counts);
    same_exemplars(s, ox_point_more(s->b, pt)->exemplars, t->n_exemplars, t->exemplars);
}

static void
same_summary(struct otlp_same *s, const struct ox_point *pt, const METRICS(SummaryDataPoint) * t,
             uint32_t metric)
{
    const uint32_t max = s->limits->buckets_per_point_max;
    SAME_HEAD(s, pt, t, metric);
    OTLP_SAME(s, ox_point_more(s->b, pt)->count == t->count);
    same_optional(s, pt, OX_POINT_HAS_SUM, ox_point_more(s->b, pt)->sum, true, t->sum);
    size_t n = otlp_same_count(s, ox_point_more(s->b, pt)->bounds.count, t->n_quantile_values, max);
    OTLP_SAME(s, ox_point_more(s->b, pt)->values.count == n);
    for (size_t i = 0; i < n && !s->differs; i++) {
        otlp_same_double(s, s->b->f64s[ox_point_more(s->b, pt)->bounds.first + i],
                         t->quantile_values[i]->quantile);
        otlp_same_double(s, s->b->f64s[ox_point_more(s->b, pt)->values.first + i],
                         t->quantile_values[i]->value);
    }
}

/* All points of one kind of data, each on top of what its metric says about `bad`. */
#define SAME_POINTS(s, data, same_one)                                                                       \
    for (size_t i_ = 0; i_ < (data)->n_data_points && !(s)->differs; i_++) {                                 \
        OTLP_SAME(s, (s)->records < (s)->b->n_points);                                                       \
        if ((s)->differs)                                                                                    \
            break;                                                                                           \
        const struct ox_point *pt_ = &(s)->b->points[(s)->records];                                          \
        (s)->bad = bad;                                                                                      \
        same_one(s, pt_, (data)->data_points[i_], index);                                                    \
        otlp_same_row(s, pt_->reject, pt_->ordinal, pt_->wire);                                              \
    }

static void
same_kind(struct otlp_same *s, const struct ox_metric *metric, uint8_t type, int temporality, bool monotonic)
{
    OTLP_SAME(s, metric->type == type);
    OTLP_SAME(s, metric->temporality == ((unsigned)temporality <= UINT8_MAX ? temporality : 0));
    OTLP_SAME(s, metric->monotonic == monotonic);
}

static void
same_data(struct otlp_same *s, const struct ox_metric *metric, const METRICS(Metric) * t, uint32_t index)
{
    const bool bad = s->bad;
    switch (t->data_case) {
    case OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_GAUGE:
        same_kind(s, metric, OX_METRIC_GAUGE, NO_TEMPORALITY, false);
        SAME_POINTS(s, t->gauge, same_number);
        break;
    case OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_SUM:
        same_kind(s, metric, OX_METRIC_SUM, (int)t->sum->aggregation_temporality, t->sum->is_monotonic != 0);
        SAME_POINTS(s, t->sum, same_number);
        break;
    case OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_HISTOGRAM:
        same_kind(s, metric, OX_METRIC_HISTOGRAM, (int)t->histogram->aggregation_temporality, false);
        SAME_POINTS(s, t->histogram, same_histogram);
        break;
    case OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_EXPONENTIAL_HISTOGRAM:
        same_kind(s, metric, OX_METRIC_EXP_HISTOGRAM, (int)t->exponential_histogram->aggregation_temporality,
                  false);
        SAME_POINTS(s, t->exponential_histogram, same_exp_histogram);
        break;
    case OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_SUMMARY:
        same_kind(s, metric, OX_METRIC_SUMMARY, NO_TEMPORALITY, false);
        SAME_POINTS(s, t->summary, same_summary);
        break;
    default:
        same_kind(s, metric, 0, NO_TEMPORALITY, false);
        break;
    }
}

void
otlp_same_metric(struct otlp_same *s, const METRICS(Metric) * t, uint32_t scope)
{
    const uint32_t index = s->metrics++;
    OTLP_SAME(s, index < s->b->n_metrics);
    if (s->differs)
        return;
    const struct ox_metric *metric = &s->b->metrics[index];
    OTLP_SAME(s, metric->scope == scope);
    otlp_same_text(s, metric->name, t->name);
    otlp_same_text(s, metric->description, t->description);
    otlp_same_text(s, metric->unit, t->unit);
    otlp_same_attrs(s, metric->metadata, t->n_metadata, t->metadata);
    same_data(s, metric, t, index);
}
