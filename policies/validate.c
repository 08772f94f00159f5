/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/validate.c - which records of a decoded batch are accepted.
 *
 * Owns:    nothing; marks the rows it is given.
 * Threads: the batch's owner.
 * Fails:   never; a bad record is a mark.
 *
 * The time that is judged against the window is when the record came to be: a span's end, a log's time (or
 * observed time), a point's time. A span's start may be older: long spans are no error. A summary's quantile
 * values may be NaN: that is how exporters say that there were no observations. A point with the flag "no
 * recorded value" needs none.
 */
#include "ox/validate.h"

#include <math.h>

#define NS_PER_S                1000000000ull
#define POINT_NO_RECORDED_VALUE 1u

void
ox_validate_policy_default(struct ox_validate_policy *policy)
{
    *policy = (struct ox_validate_policy){
        .past_max_ns = 86400 * NS_PER_S,
        .future_max_ns = 3600 * NS_PER_S,
        .check_window = true,
    };
}

struct window {
    bool check;
    uint64_t from_ns;
    uint64_t to_ns;
};

static struct window
window_of(const struct ox_validate_policy *policy, uint64_t now_ns)
{
    return (struct window){
        .check = policy->check_window,
        .from_ns = now_ns > policy->past_max_ns ? now_ns - policy->past_max_ns : 0,
        .to_ns = now_ns > UINT64_MAX - policy->future_max_ns ? UINT64_MAX : now_ns + policy->future_max_ns,
    };
}

static enum ox_reject
judge_time(const struct window *w, uint64_t time_ns)
{
    /* ClickHouse's DateTime64(9) ends in 2262, like a signed count of nanoseconds. */
    if (time_ns > INT64_MAX)
        return OX_REJECT_TIME_FUTURE;
    if (!w->check)
        return OX_REJECT_NONE;
    if (time_ns < w->from_ns)
        return OX_REJECT_TIME_TOO_OLD;
    return time_ns > w->to_ns ? OX_REJECT_TIME_FUTURE : OX_REJECT_NONE;
}

static bool
all_zero(const uint8_t *id, size_t n)
{
    uint8_t or = 0;
    for (size_t i = 0; i < n; i++)
        or |= id[i];
    return or == 0;
}

/* Storage must be able to hold every time of a record; only the record's own is held against the window. */
static bool
event_times_fit(const struct ox_batch *b, const struct ox_span *span)
{
    for (uint32_t i = 0; i < span->events.count; i++) {
        if (b->events[span->events.first + i].time_ns > INT64_MAX)
            return false;
    }
    return true;
}

static bool
exemplar_times_fit(const struct ox_batch *b, const struct ox_point *pt)
{
    const struct ox_slice exemplars = ox_point_more(b, pt)->exemplars;
    for (uint32_t i = 0; i < exemplars.count; i++) {
        if (b->exemplars[exemplars.first + i].time_ns > INT64_MAX)
            return false;
    }
    return true;
}

static enum ox_reject
judge_span(const struct ox_batch *b, const struct ox_span *span, const struct window *w)
{
    if (all_zero(span->trace_id, 16))
        return OX_REJECT_TRACE_ID;
    if (all_zero(span->span_id, 8))
        return OX_REJECT_SPAN_ID;
    if (memcmp(span->span_id, span->parent_span_id, 8) == 0)
        return OX_REJECT_PARENT_ID;
    if (span->name.n == 0)
        return OX_REJECT_NAME;
    if (span->start_ns == 0 || span->end_ns == 0)
        return OX_REJECT_TIME_MISSING;
    if (span->end_ns < span->start_ns)
        return OX_REJECT_TIME_REVERSED;
    if (!event_times_fit(b, span))
        return OX_REJECT_TIME_FUTURE;
    return judge_time(w, span->end_ns);
}

static enum ox_reject
judge_log(const struct ox_log *log, const struct window *w)
{
    uint64_t time_ns = log->time_ns != 0 ? log->time_ns : log->observed_ns;
    if (log->observed_ns > INT64_MAX)
        return OX_REJECT_TIME_FUTURE;
    return time_ns == 0 ? OX_REJECT_NONE : judge_time(w, time_ns);
}

static bool
finite_if(bool present, double d)
{
    return !present || isfinite(d);
}

static bool
increasing(const double *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (isnan(v[i]) || (i > 0 && !(v[i - 1] < v[i])))
            return false;
    }
    return true;
}

/* Adds counts to *total; false when the sum does not fit. */
static bool
add_counts(const uint64_t *v, uint32_t n, uint64_t *total)
{
    for (uint32_t i = 0; i < n; i++) {
        if (__builtin_add_overflow(*total, v[i], total))
            return false;
    }
    return true;
}

static bool
histogram_fits(const struct ox_batch *b, const struct ox_point_more *more)
{
    uint64_t total = 0;
    if (more->counts.count == 0)
        return more->bounds.count == 0;
    if (more->counts.count != more->bounds.count + 1)
        return false;
    return increasing(b->f64s + more->bounds.first, more->bounds.count) &&
           add_counts(b->u64s + more->counts.first, more->counts.count, &total) && total == more->count;
}

static bool
exp_histogram_fits(const struct ox_batch *b, const struct ox_point_more *more)
{
    uint64_t total = more->zero_count;
    if (!isfinite(more->zero_threshold) || more->zero_threshold < 0)
        return false;
    if (more->counts.count != 0 && !add_counts(b->u64s + more->counts.first, more->counts.count, &total))
        return false;
    if (more->negative.count != 0 &&
        !add_counts(b->u64s + more->negative.first, more->negative.count, &total))
        return false;
    return total == more->count;
}

static bool
quantiles_fit(const struct ox_batch *b, const struct ox_point_more *more)
{
    for (uint32_t i = 0; i < more->bounds.count; i++) {
        double q = b->f64s[more->bounds.first + i];
        if (!(q >= 0 && q <= 1))
            return false;
    }
    return true;
}

static enum ox_reject
judge_value(const struct ox_batch *b, const struct ox_point *pt, uint8_t type)
{
    if ((pt->flags & POINT_NO_RECORDED_VALUE) != 0)
        return OX_REJECT_NONE;
    if (type == OX_METRIC_GAUGE || type == OX_METRIC_SUM)
        return (pt->has & OX_POINT_HAS_VALUE) != 0 && isfinite(ox_point_double(pt)) ? OX_REJECT_NONE
                                                                                    : OX_REJECT_VALUE;
    const struct ox_point_more *more = ox_point_more(b, pt);
    if (!finite_if(pt->has & OX_POINT_HAS_SUM, more->sum) ||
        !finite_if(pt->has & OX_POINT_HAS_MIN, more->min) ||
        !finite_if(pt->has & OX_POINT_HAS_MAX, more->max))
        return OX_REJECT_VALUE;
    bool fits = type == OX_METRIC_HISTOGRAM       ? histogram_fits(b, more)
                : type == OX_METRIC_EXP_HISTOGRAM ? exp_histogram_fits(b, more)
                                                  : quantiles_fit(b, more);
    return fits ? OX_REJECT_NONE : OX_REJECT_HISTOGRAM;
}

static enum ox_reject
judge_point(const struct ox_batch *b, const struct ox_point *pt, const struct window *w)
{
    const struct ox_metric *metric = &b->metrics[pt->metric];
    if (metric->name.n == 0)
        return OX_REJECT_NAME;
    if (pt->time_ns == 0)
        return OX_REJECT_TIME_MISSING;
    if (pt->start_ns > pt->time_ns)
        return OX_REJECT_TIME_REVERSED;
    if (!exemplar_times_fit(b, pt))
        return OX_REJECT_TIME_FUTURE;
    enum ox_reject why = judge_time(w, pt->time_ns);
    return why != OX_REJECT_NONE ? why : judge_value(b, pt, metric->type);
}

/* The mark of a row, whatever its signal. */
static uint8_t *
row_mark(const struct ox_batch *b, uint32_t row)
{
    switch (b->signal) {
    case OX_SIGNAL_TRACES:
        return &b->spans[row].reject;
    case OX_SIGNAL_LOGS:
        return &b->logs[row].reject;
    default:
        return &b->points[row].reject;
    }
}

static enum ox_reject
judge_row(const struct ox_batch *b, uint32_t row, const struct window *w)
{
    switch (b->signal) {
    case OX_SIGNAL_TRACES:
        return judge_span(b, &b->spans[row], w);
    case OX_SIGNAL_LOGS:
        return judge_log(&b->logs[row], w);
    default:
        return judge_point(b, &b->points[row], w);
    }
}

void
ox_validate_batch(struct ox_batch *batch, const struct ox_validate_policy *policy, uint64_t now_ns,
                  struct ox_validate_counts *counts)
{
    struct ox_validate_counts own;
    const struct window w = window_of(policy, now_ns);
    const uint32_t n = ox_batch_rows(batch);
    counts = counts != NULL ? counts : &own;
    memset(counts, 0, sizeof(*counts));
    for (uint32_t row = 0; row < n; row++) {
        uint8_t *mark = row_mark(batch, row);
        if (*mark == OX_REJECT_NONE)
            *mark = (uint8_t)judge_row(batch, row, &w);
        counts->by_reject[*mark]++;
    }
    batch->n_rejected = n - counts->by_reject[OX_REJECT_NONE];
}

uint32_t
ox_batch_rows(const struct ox_batch *batch)
{
    switch (batch->signal) {
    case OX_SIGNAL_TRACES:
        return batch->n_spans;
    case OX_SIGNAL_LOGS:
        return batch->n_logs;
    default:
        return batch->n_points;
    }
}

enum ox_reject
ox_batch_row_reject(const struct ox_batch *batch, uint32_t row)
{
    return (enum ox_reject) * row_mark(batch, row);
}

uint32_t
ox_batch_row_ordinal(const struct ox_batch *batch, uint32_t row)
{
    switch (batch->signal) {
    case OX_SIGNAL_TRACES:
        return batch->spans[row].ordinal;
    case OX_SIGNAL_LOGS:
        return batch->logs[row].ordinal;
    default:
        return batch->points[row].ordinal;
    }
}

/* Moves row `from` to the earlier place `to`. */
static void
move_row(struct ox_batch *b, uint32_t to, uint32_t from)
{
    if (b->signal == OX_SIGNAL_TRACES)
        b->spans[to] = b->spans[from];
    else if (b->signal == OX_SIGNAL_LOGS)
        b->logs[to] = b->logs[from];
    else
        b->points[to] = b->points[from];
}

void
ox_batch_compact(struct ox_batch *batch)
{
    const uint32_t n = ox_batch_rows(batch);
    uint32_t kept = 0;
    for (uint32_t row = 0; row < n; row++) {
        if (*row_mark(batch, row) != OX_REJECT_NONE)
            continue;
        if (kept != row)
            move_row(batch, kept, row);
        kept++;
    }
    if (batch->signal == OX_SIGNAL_TRACES)
        batch->n_spans = kept;
    else if (batch->signal == OX_SIGNAL_LOGS)
        batch->n_logs = kept;
    else
        batch->n_points = kept;
}
