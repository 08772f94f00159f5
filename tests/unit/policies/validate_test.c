/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    every reason for refusing a record holds at its exact edge, and what is told and kept of refused
 *          records (counts, bitmap, message) agrees with the marks.
 * Method:  batches of hand-made rows around an accepted one, changed in one field at a time; the defaults are
 *          compared with the numbers in policies/validate.yaml.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/validate.h"

#define NS_PER_S 1000000000ull
#define NOW      (1700000000ull * NS_PER_S)
#define ROWS     24

/* Rows of every signal; the batch shows those of its own. */
struct rows {
    struct ox_batch batch;
    struct ox_span spans[ROWS];
    struct ox_log logs[ROWS];
    struct ox_metric metrics[1];
    struct ox_point points[ROWS];
    struct ox_point_more mores[1]; /* of the first point */
    uint64_t u64s[8];
    double f64s[8];
};

static void
fill(struct rows *r, enum ox_signal signal, uint32_t n)
{
    memset(r, 0, sizeof(*r));
    r->batch.magic = OX_BATCH_MAGIC;
    r->batch.signal = signal;
    r->batch.spans = r->spans;
    r->batch.logs = r->logs;
    r->batch.metrics = r->metrics;
    r->batch.points = r->points;
    r->batch.mores = r->mores;
    r->batch.n_mores = 1;
    r->batch.u64s = r->u64s;
    r->batch.f64s = r->f64s;
    r->batch.n_records = n;
    r->batch.n_spans = signal == OX_SIGNAL_TRACES ? n : 0;
    r->batch.n_logs = signal == OX_SIGNAL_LOGS ? n : 0;
    r->batch.n_points = signal == OX_SIGNAL_METRICS ? n : 0;
    r->batch.n_metrics = 1;
    r->metrics[0].name = ox_str_of("requests");
    r->metrics[0].type = OX_METRIC_GAUGE;
    for (uint32_t i = 0; i < n; i++) {
        r->spans[i] = (struct ox_span){.ordinal = i,
                                       .trace_id = {1},
                                       .span_id = {2},
                                       .name = ox_str_of("op"),
                                       .start_ns = NOW,
                                       .end_ns = NOW};
        r->logs[i] = (struct ox_log){.ordinal = i, .time_ns = NOW};
        r->points[i] =
            (struct ox_point){.ordinal = i, .time_ns = NOW, .has = OX_POINT_HAS_VALUE, .more = i == 0};
    }
}

static enum ox_reject
judge_with(struct rows *r, const struct ox_validate_policy *policy)
{
    ox_validate_batch(&r->batch, policy, NOW, NULL);
    return ox_batch_row_reject(&r->batch, 0);
}

static enum ox_reject
judge(struct rows *r)
{
    struct ox_validate_policy policy;
    ox_validate_policy_default(&policy);
    return judge_with(r, &policy);
}

/* One accepted row of the signal, alone in its batch. */
static void
fill_one(struct rows *r, enum ox_signal signal)
{
    fill(r, signal, 1);
    cr_assert_eq(judge(r), OX_REJECT_NONE, "the row that the others differ from must be accepted");
}

static void
fill_metric(struct rows *r, enum ox_metric_type type)
{
    fill(r, OX_SIGNAL_METRICS, 1);
    r->metrics[0].type = (uint8_t)type;
    if (type != OX_METRIC_GAUGE && type != OX_METRIC_SUM)
        r->points[0].has = 0;
}

/* --- times ------------------------------------------------------------------------------------------------ */

/* Gives row 0 the time that is judged against the window. */
static void
set_time(struct rows *r, uint64_t time_ns)
{
    r->spans[0].start_ns = time_ns < NOW ? time_ns : NOW;
    r->spans[0].end_ns = time_ns;
    r->logs[0].time_ns = time_ns;
    r->points[0].time_ns = time_ns;
}

static enum ox_reject
judge_at(enum ox_signal signal, uint64_t time_ns, const struct ox_validate_policy *policy)
{
    struct rows r;
    fill_one(&r, signal);
    set_time(&r, time_ns);
    return judge_with(&r, policy);
}

Test(validate, the_window_is_closed_at_both_ends)
{
    struct ox_validate_policy p;
    ox_validate_policy_default(&p);
    for (int s = 0; s < OX_SIGNAL__COUNT; s++) {
        enum ox_signal signal = (enum ox_signal)s;
        cr_expect_eq(judge_at(signal, NOW - p.past_max_ns, &p), OX_REJECT_NONE, "%d", s);
        cr_expect_eq(judge_at(signal, NOW - p.past_max_ns - 1, &p), OX_REJECT_TIME_TOO_OLD, "%d", s);
        cr_expect_eq(judge_at(signal, NOW + p.future_max_ns, &p), OX_REJECT_NONE, "%d", s);
        cr_expect_eq(judge_at(signal, NOW + p.future_max_ns + 1, &p), OX_REJECT_TIME_FUTURE, "%d", s);
    }
}

Test(validate, without_the_window_only_what_storage_cannot_hold_is_refused)
{
    struct ox_validate_policy p;
    ox_validate_policy_default(&p);
    p.check_window = false;
    for (int s = 0; s < OX_SIGNAL__COUNT; s++) {
        enum ox_signal signal = (enum ox_signal)s;
        cr_expect_eq(judge_at(signal, 1, &p), OX_REJECT_NONE, "%d", s);
        cr_expect_eq(judge_at(signal, INT64_MAX, &p), OX_REJECT_NONE, "%d", s);
        cr_expect_eq(judge_at(signal, (uint64_t)INT64_MAX + 1, &p), OX_REJECT_TIME_FUTURE, "%d", s);
        cr_expect_eq(judge_at(signal, UINT64_MAX, &p), OX_REJECT_TIME_FUTURE, "%d", s);
    }
}

Test(validate, a_window_wider_than_time_does_not_wrap)
{
    struct ox_validate_policy p = {
        .past_max_ns = UINT64_MAX, .future_max_ns = UINT64_MAX, .check_window = true};
    cr_expect_eq(judge_at(OX_SIGNAL_TRACES, 1, &p), OX_REJECT_NONE);
    cr_expect_eq(judge_at(OX_SIGNAL_TRACES, INT64_MAX, &p), OX_REJECT_NONE);
}

Test(validate, a_span_needs_both_times_in_order)
{
    struct rows r;
    fill_one(&r, OX_SIGNAL_TRACES);
    r.spans[0].start_ns = 0;
    cr_expect_eq(judge(&r), OX_REJECT_TIME_MISSING);
    fill_one(&r, OX_SIGNAL_TRACES);
    r.spans[0].end_ns = 0;
    cr_expect_eq(judge(&r), OX_REJECT_TIME_MISSING);
    fill_one(&r, OX_SIGNAL_TRACES);
    r.spans[0].start_ns = NOW + 1;
    cr_expect_eq(judge(&r), OX_REJECT_TIME_REVERSED);
    /* A long span is no late one: its end counts. */
    fill_one(&r, OX_SIGNAL_TRACES);
    r.spans[0].start_ns = 1;
    cr_expect_eq(judge(&r), OX_REJECT_NONE);
}

Test(validate, the_times_of_events_and_exemplars_must_fit_into_storage_too)
{
    struct rows r;
    struct ox_span_event events[2] = {{.time_ns = 1}, {.time_ns = INT64_MAX}};
    struct ox_exemplar exemplars[2] = {{.time_ns = 1}, {.time_ns = INT64_MAX}};
    fill_one(&r, OX_SIGNAL_TRACES);
    r.batch.events = events;
    r.batch.n_events = 2;
    r.spans[0].events = (struct ox_slice){0, 2};
    cr_expect_eq(judge(&r), OX_REJECT_NONE, "an event may lie anywhere in time");
    events[1].time_ns++;
    cr_expect_eq(judge(&r), OX_REJECT_TIME_FUTURE, "that storage can hold");
    r.spans[0].events.count = 1;
    r.spans[0].reject = OX_REJECT_NONE;
    cr_expect_eq(judge(&r), OX_REJECT_NONE, "another span's events are not this one's");

    fill_one(&r, OX_SIGNAL_METRICS);
    r.batch.exemplars = exemplars;
    r.batch.n_exemplars = 2;
    r.mores[0].exemplars = (struct ox_slice){0, 2};
    cr_expect_eq(judge(&r), OX_REJECT_NONE);
    exemplars[1].time_ns = UINT64_MAX;
    cr_expect_eq(judge(&r), OX_REJECT_TIME_FUTURE);
}

Test(validate, a_log_may_lack_its_times)
{
    struct rows r;
    fill_one(&r, OX_SIGNAL_LOGS);
    r.logs[0].time_ns = 0;
    cr_expect_eq(judge(&r), OX_REJECT_NONE, "the time of arrival stands in");
    r.logs[0].observed_ns = NOW - 86400 * NS_PER_S;
    cr_expect_eq(judge(&r), OX_REJECT_NONE);
    r.logs[0].observed_ns--;
    cr_expect_eq(judge(&r), OX_REJECT_TIME_TOO_OLD, "the observed time stands in and is judged");
    fill_one(&r, OX_SIGNAL_LOGS);
    r.logs[0].observed_ns = 1;
    cr_expect_eq(judge(&r), OX_REJECT_NONE, "beside a time the observed one is not judged");
    r.logs[0].observed_ns = (uint64_t)INT64_MAX + 1;
    cr_expect_eq(judge(&r), OX_REJECT_TIME_FUTURE, "but storage must hold it");
}

Test(validate, a_point_needs_a_time_not_before_its_start)
{
    struct rows r;
    fill_one(&r, OX_SIGNAL_METRICS);
    r.points[0].time_ns = 0;
    cr_expect_eq(judge(&r), OX_REJECT_TIME_MISSING);
    fill_one(&r, OX_SIGNAL_METRICS);
    r.points[0].start_ns = NOW;
    cr_expect_eq(judge(&r), OX_REJECT_NONE);
    r.points[0].start_ns = NOW + 1;
    cr_expect_eq(judge(&r), OX_REJECT_TIME_REVERSED);
}

/* --- ids and names ---------------------------------------------------------------------------------------- */

Test(validate, an_id_is_refused_only_when_every_byte_is_zero)
{
    struct rows r;
    for (int at = -1; at < 16; at++) {
        fill_one(&r, OX_SIGNAL_TRACES);
        r.spans[0].trace_id[0] = 0;
        if (at >= 0)
            r.spans[0].trace_id[at] = 0x80;
        cr_expect_eq(judge(&r), at < 0 ? OX_REJECT_TRACE_ID : OX_REJECT_NONE, "byte %d", at);
    }
    for (int at = -1; at < 8; at++) {
        fill_one(&r, OX_SIGNAL_TRACES);
        r.spans[0].span_id[0] = 0;
        if (at >= 0)
            r.spans[0].span_id[at] = 1;
        cr_expect_eq(judge(&r), at < 0 ? OX_REJECT_SPAN_ID : OX_REJECT_NONE, "byte %d", at);
    }
    fill_one(&r, OX_SIGNAL_LOGS);
    cr_expect_eq(judge(&r), OX_REJECT_NONE, "a log needs no ids");
}

Test(validate, a_span_is_not_its_own_parent)
{
    struct rows r;
    fill_one(&r, OX_SIGNAL_TRACES);
    memcpy(r.spans[0].parent_span_id, r.spans[0].span_id, 8);
    cr_expect_eq(judge(&r), OX_REJECT_PARENT_ID);
    r.spans[0].reject = OX_REJECT_NONE;
    r.spans[0].parent_span_id[7] ^= 1;
    cr_expect_eq(judge(&r), OX_REJECT_NONE);
}

Test(validate, spans_and_metrics_have_names)
{
    struct rows r;
    fill_one(&r, OX_SIGNAL_TRACES);
    r.spans[0].name.n = 0;
    cr_expect_eq(judge(&r), OX_REJECT_NAME);
    fill_one(&r, OX_SIGNAL_METRICS);
    r.metrics[0].name.n = 0;
    cr_expect_eq(judge(&r), OX_REJECT_NAME);
}

/* --- values ----------------------------------------------------------------------------------------------- */

static const double not_finite[] = {NAN, -NAN, INFINITY, -INFINITY};

Test(validate, a_number_point_has_a_finite_value)
{
    static const enum ox_metric_type types[] = {OX_METRIC_GAUGE, OX_METRIC_SUM};
    struct rows r;
    for (size_t t = 0; t < 2; t++) {
        for (size_t i = 0; i < 4; i++) {
            fill_metric(&r, types[t]);
            r.points[0].value = not_finite[i];
            cr_expect_eq(judge(&r), OX_REJECT_VALUE, "%zu %zu", t, i);
            r.points[0].reject = OX_REJECT_NONE;
            r.points[0].flags = 1;
            cr_expect_eq(judge(&r), OX_REJECT_NONE, "no recorded value: %zu %zu", t, i);
        }
        fill_metric(&r, types[t]);
        r.points[0].has = 0;
        cr_expect_eq(judge(&r), OX_REJECT_VALUE);
        r.points[0].reject = OX_REJECT_NONE;
        r.points[0].flags = 2;
        cr_expect_eq(judge(&r), OX_REJECT_VALUE, "only bit 0 says that there is no value");
        r.points[0].reject = OX_REJECT_NONE;
        r.points[0].flags = 3;
        cr_expect_eq(judge(&r), OX_REJECT_NONE);
        fill_metric(&r, types[t]);
        r.points[0].value = -1.7976931348623157e308;
        cr_expect_eq(judge(&r), OX_REJECT_NONE);
    }
}

Test(validate, sum_min_and_max_are_judged_when_they_are_there)
{
    static const uint8_t has[] = {OX_POINT_HAS_SUM, OX_POINT_HAS_MIN, OX_POINT_HAS_MAX};
    static const enum ox_metric_type types[] = {OX_METRIC_HISTOGRAM, OX_METRIC_EXP_HISTOGRAM,
                                                OX_METRIC_SUMMARY};
    struct rows r;
    for (size_t t = 0; t < 3; t++) {
        for (size_t h = 0; h < 3; h++) {
            for (size_t i = 0; i < 4; i++) {
                fill_metric(&r, types[t]);
                struct ox_point_more *more = &r.mores[0];
                *(h == 0 ? &more->sum : h == 1 ? &more->min : &more->max) = not_finite[i];
                cr_expect_eq(judge(&r), OX_REJECT_NONE, "absent: %zu %zu", t, h);
                r.points[0].has = has[h];
                cr_expect_eq(judge(&r), OX_REJECT_VALUE, "%zu %zu %zu", t, h, i);
            }
        }
    }
}

/* Three buckets with 1, 2 and 3 observations, parted at 10 and 20. */
static struct ox_point_more *
fill_histogram(struct rows *r)
{
    fill_metric(r, OX_METRIC_HISTOGRAM);
    memcpy(r->u64s, (uint64_t[]){99, 1, 2, 3}, 4 * sizeof(uint64_t));
    memcpy(r->f64s, (double[]){99, 10, 20}, 3 * sizeof(double));
    r->mores[0].counts = (struct ox_slice){1, 3};
    r->mores[0].bounds = (struct ox_slice){1, 2};
    r->mores[0].count = 6;
    return &r->mores[0];
}

Test(validate, a_histogram_has_one_bucket_more_than_bounds)
{
    struct rows r;
    fill_histogram(&r);
    cr_expect_eq(judge(&r), OX_REJECT_NONE);
    fill_histogram(&r)->bounds.count = 1;
    cr_expect_eq(judge(&r), OX_REJECT_HISTOGRAM);
    fill_histogram(&r)->bounds = (struct ox_slice){0, 3};
    cr_expect_eq(judge(&r), OX_REJECT_HISTOGRAM);
    fill_histogram(&r)->counts.count = 0;
    cr_expect_eq(judge(&r), OX_REJECT_HISTOGRAM, "bounds without buckets");
    struct ox_point_more *p = fill_histogram(&r);
    p->counts.count = p->bounds.count = 0;
    cr_expect_eq(judge(&r), OX_REJECT_NONE, "count and sum alone are a histogram too");
    p = fill_histogram(&r);
    p->counts.count = 1;
    p->bounds.count = 0;
    p->count = 1;
    cr_expect_eq(judge(&r), OX_REJECT_NONE, "one bucket needs no bound");
}

Test(validate, bounds_increase)
{
    static const double bad[][2] = {{10, 10}, {20, 10}, {NAN, 10}, {10, NAN}, {INFINITY, INFINITY}};
    struct rows r;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        fill_histogram(&r);
        memcpy(&r.f64s[1], bad[i], sizeof(bad[i]));
        cr_expect_eq(judge(&r), OX_REJECT_HISTOGRAM, "%zu", i);
    }
    struct ox_point_more *p = fill_histogram(&r);
    p->bounds.count = 1;
    p->counts.count = 2;
    p->count = 3;
    cr_expect_eq(judge(&r), OX_REJECT_NONE);
    r.f64s[1] = NAN;
    cr_expect_eq(judge(&r), OX_REJECT_HISTOGRAM, "a single bound is a number too");
    fill_histogram(&r);
    r.f64s[2] = nextafter(10, 20);
    cr_expect_eq(judge(&r), OX_REJECT_NONE);
    r.f64s[2] = INFINITY;
    cr_expect_eq(judge(&r), OX_REJECT_NONE, "some exporters name the last bound");
}

Test(validate, buckets_add_up_to_the_count)
{
    struct rows r;
    fill_histogram(&r)->count = 5;
    cr_expect_eq(judge(&r), OX_REJECT_HISTOGRAM);
    fill_histogram(&r)->count = 7;
    cr_expect_eq(judge(&r), OX_REJECT_HISTOGRAM);
    fill_histogram(&r)->count = 4;
    memcpy(&r.u64s[1], (uint64_t[]){UINT64_MAX, 2, 3}, 3 * sizeof(uint64_t));
    cr_expect_eq(judge(&r), OX_REJECT_HISTOGRAM, "a sum that wraps is none");
}

Test(validate, exponential_buckets_add_up_with_the_zeros)
{
    struct rows r;
    fill_metric(&r, OX_METRIC_EXP_HISTOGRAM);
    memcpy(r.u64s, (uint64_t[]){1, 2, 4, 8}, 4 * sizeof(uint64_t));
    struct ox_point_more *p = &r.mores[0];
    p->counts = (struct ox_slice){0, 2};
    p->negative = (struct ox_slice){2, 2};
    p->zero_count = 16;
    p->count = 31;
    const struct ox_point_more good = *p;
    cr_expect_eq(judge(&r), OX_REJECT_NONE);
    for (int d = -1; d <= 1; d += 2) {
        *p = good;
        r.points[0].reject = OX_REJECT_NONE;
        p->count += (uint64_t)(int64_t)d;
        cr_expect_eq(judge(&r), OX_REJECT_HISTOGRAM, "%d", d);
    }
    *p = good;
    r.points[0].reject = OX_REJECT_NONE;
    p->zero_count = UINT64_MAX;
    p->count = 14;
    cr_expect_eq(judge(&r), OX_REJECT_HISTOGRAM, "a sum that wraps is none");
    const double thresholds[] = {NAN, INFINITY, -1e-9};
    for (size_t i = 0; i < 3; i++) {
        *p = good;
        r.points[0].reject = OX_REJECT_NONE;
        p->zero_threshold = thresholds[i];
        cr_expect_eq(judge(&r), OX_REJECT_HISTOGRAM, "%zu", i);
    }
}

Test(validate, quantiles_lie_between_0_and_1)
{
    const double bad[] = {-1e-9, nextafter(1, 2), NAN, INFINITY};
    struct rows r;
    fill_metric(&r, OX_METRIC_SUMMARY);
    r.mores[0].bounds = (struct ox_slice){0, 3};
    r.mores[0].values = (struct ox_slice){3, 3};
    memcpy(r.f64s, (double[]){0, 0.5, 1, NAN, NAN, NAN}, 6 * sizeof(double));
    cr_expect_eq(judge(&r), OX_REJECT_NONE, "values may be NaN: nothing was observed");
    for (size_t i = 0; i < 4; i++) {
        r.points[0].reject = OX_REJECT_NONE;
        r.f64s[i % 3] = bad[i];
        cr_expect_eq(judge(&r), OX_REJECT_HISTOGRAM, "%zu", i);
        r.f64s[i % 3] = 0.5;
    }
    r.points[0].reject = OX_REJECT_NONE;
    r.f64s[0] = 2;
    r.points[0].flags = 1;
    cr_expect_eq(judge(&r), OX_REJECT_NONE);
}

/* --- what is told of a batch ------------------------------------------------------------------------------ */

/* Some rows at the edges of bytes and in a run: marked by hand, as the decoder would. */
static bool
chosen(uint32_t i)
{
    return i % 3 == 1 || i == 5 || i == ROWS - 1;
}

static void
mark_chosen(struct rows *r)
{
    for (uint32_t i = 0; i < ROWS; i++) {
        if (!chosen(i))
            continue;
        r->spans[i].reject = r->logs[i].reject = r->points[i].reject = OX_REJECT_UTF8;
    }
}

static uint32_t
n_chosen(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < ROWS; i++)
        n += chosen(i);
    return n;
}

Test(validate, counts_hold_the_decoders_marks_and_ours)
{
    struct rows r;
    struct ox_validate_policy policy;
    struct ox_validate_counts c;
    memset(&c, 0xff, sizeof(c));
    ox_validate_policy_default(&policy);
    fill(&r, OX_SIGNAL_TRACES, 10);
    r.spans[0].reject = OX_REJECT_UTF8;
    r.spans[0].name.n = 0; /* the first reason stays */
    r.spans[3].name.n = 0;
    r.spans[4].name.n = 0;
    r.spans[9].trace_id[0] = 0;
    ox_validate_batch(&r.batch, &policy, NOW, &c);
    cr_expect_eq(r.batch.n_rejected, 4);
    for (int i = 0; i < OX_REJECT__COUNT; i++) {
        uint32_t want = i == OX_REJECT_NONE                                ? 6
                        : i == OX_REJECT_NAME                              ? 2
                        : (i == OX_REJECT_UTF8 || i == OX_REJECT_TRACE_ID) ? 1
                                                                           : 0;
        cr_expect_eq(c.by_reject[i], want, "%s", ox_reject_name((enum ox_reject)i));
    }
}

Test(validate, compacting_keeps_order_and_ordinals)
{
    for (int s = 0; s < OX_SIGNAL__COUNT; s++) {
        struct rows r;
        uint32_t at = 0;
        fill(&r, (enum ox_signal)s, ROWS);
        mark_chosen(&r);
        r.batch.n_rejected = n_chosen();
        ox_batch_compact(&r.batch);
        cr_assert_eq(ox_batch_rows(&r.batch), ROWS - n_chosen());
        for (uint32_t i = 0; i < ROWS; i++) {
            if (chosen(i))
                continue;
            cr_expect_eq(ox_batch_row_ordinal(&r.batch, at), i, "%d", s);
            cr_expect_eq(ox_batch_row_reject(&r.batch, at), OX_REJECT_NONE, "%d", s);
            at++;
        }
        cr_expect_eq(r.batch.n_records, ROWS);
        cr_expect_eq(r.batch.n_rejected, n_chosen());
    }
}

Test(validate, compacting_can_leave_nothing_or_everything)
{
    struct rows r;
    fill(&r, OX_SIGNAL_LOGS, 3);
    ox_batch_compact(&r.batch);
    cr_expect_eq(r.batch.n_logs, 3);
    for (int i = 0; i < 3; i++)
        r.logs[i].reject = OX_REJECT_VALUE;
    ox_batch_compact(&r.batch);
    cr_expect_eq(r.batch.n_logs, 0);
}

Test(validate, the_bitmap_marks_the_same_rows_again)
{
    for (int s = 0; s < OX_SIGNAL__COUNT; s++) {
        struct rows r, again;
        uint8_t bits[ROWS / 8 + 1];
        memset(bits, 0xa5, sizeof(bits));
        fill(&r, (enum ox_signal)s, ROWS);
        mark_chosen(&r);
        ox_reject_bitmap_write(&r.batch, bits);
        cr_expect_eq(bits[ROWS / 8], 0xa5, "nothing behind (n_records + 7) / 8 bytes is touched");
        fill(&again, (enum ox_signal)s, ROWS);
        cr_expect_eq(ox_reject_bitmap_apply(&again.batch, bits, OX_REJECT_TIME_TOO_OLD), 0);
        cr_expect_eq(again.batch.n_rejected, n_chosen());
        for (uint32_t i = 0; i < ROWS; i++) {
            cr_expect_eq((bits[i / 8] >> (i % 8)) & 1, chosen(i), "%u", i);
            cr_expect_eq(ox_batch_row_reject(&again.batch, i),
                         chosen(i) ? OX_REJECT_TIME_TOO_OLD : OX_REJECT_NONE, "%u", i);
        }
    }
}

Test(validate, a_bitmap_that_disagrees_is_counted)
{
    struct rows r;
    const uint8_t bits[1] = {1u << 0 | 1u << 2};
    fill(&r, OX_SIGNAL_LOGS, 5);
    r.logs[0].reject = OX_REJECT_UTF8;
    r.logs[3].reject = OX_REJECT_ATTRIBUTES;
    cr_expect_eq(ox_reject_bitmap_apply(&r.batch, bits, OX_REJECT_VALUE), 1);
    cr_expect_eq(r.logs[0].reject, OX_REJECT_UTF8, "the decoder's reason stays");
    cr_expect_eq(r.logs[1].reject, OX_REJECT_NONE);
    cr_expect_eq(r.logs[2].reject, OX_REJECT_VALUE);
    cr_expect_eq(r.logs[3].reject, OX_REJECT_ATTRIBUTES);
    cr_expect_eq(r.batch.n_rejected, 3);
}

Test(validate, every_reject_has_a_name_a_text_and_a_drop_reason)
{
    for (int i = 0; i < OX_REJECT__COUNT; i++) {
        enum ox_reject why = (enum ox_reject)i;
        cr_assert_not_null(ox_reject_name(why), "%d", i);
        cr_assert_not_null(ox_reject_text(why), "%d", i);
        cr_expect(ox_reject_name(why)[0] != '\0' && ox_reject_text(why)[0] != '\0', "%d", i);
        cr_expect(strlen(ox_reject_remedy(why)) > 10, "%d", i);
        enum ox_reject back = OX_REJECT__COUNT;
        cr_expect(ox_reject_of_name(ox_reject_name(why), &back) && back == why, "%d", i);
        for (int j = 0; j < i; j++)
            cr_expect_str_neq(ox_reject_name(why), ox_reject_name((enum ox_reject)j));
        if (why == OX_REJECT_NONE)
            continue;
        bool quota = why == OX_REJECT_SERIES || why == OX_REJECT_LABEL_VALUES;
        enum ox_drop_reason want = why == OX_REJECT_UTF8           ? OX_DROP_DECODE
                                   : why == OX_REJECT_TIME_TOO_OLD ? OX_DROP_LATE
                                   : quota                         ? OX_DROP_QUOTA
                                                                   : OX_DROP_INVALID;
        cr_expect_eq(ox_reject_is_kept(why), !quota, "%s", ox_reject_name(why));
        cr_expect_eq(ox_reject_drop_reason(why), want, "%s", ox_reject_name(why));
    }
    cr_expect_str_eq(ox_drop_reason_name(OX_DROP_DECODE), "decode");
    cr_expect_str_eq(ox_drop_reason_name(OX_DROP_INVALID), "invalid");
    cr_expect_str_eq(ox_drop_reason_name(OX_DROP_LATE), "late");
}

Test(validate, the_message_counts_by_reason)
{
    struct rows r;
    char text[256];
    fill(&r, OX_SIGNAL_TRACES, 10);
    r.batch.n_rejected = 3;
    struct ox_validate_counts c = {
        .by_reject = {[OX_REJECT_NONE] = 7, [OX_REJECT_TRACE_ID] = 1, [OX_REJECT_NAME] = 2}};
    ox_validate_message(&r.batch, &c, text, sizeof(text));
    cr_expect_str_eq(text, "3 of 10 spans refused: 1 trace_id (a trace id is not 16 bytes, or is all zero), "
                           "2 name (a span or metric has no name)");
}

Test(validate, the_message_stays_in_its_room)
{
    struct rows r;
    struct ox_validate_counts c;
    char whole[4096], text[4096];
    fill(&r, OX_SIGNAL_METRICS, 1);
    for (int i = 0; i < OX_REJECT__COUNT; i++)
        c.by_reject[i] = UINT32_MAX;
    ox_validate_message(&r.batch, &c, whole, sizeof(whole));
    cr_assert_lt(strlen(whole), 2048);
    for (size_t n = 0; n <= strlen(whole) + 1; n++) {
        memset(text, 'x', sizeof(text));
        ox_validate_message(&r.batch, &c, text, n);
        for (size_t i = n; i < sizeof(text); i++)
            cr_assert_eq(text[i], 'x', "room of %zu: wrote at %zu", n, i);
        if (n == 0)
            continue;
        cr_assert_eq(strlen(text), n - 1, "room of %zu", n);
        cr_assert_eq(memcmp(text, whole, n - 1), 0, "room of %zu", n);
    }
}

/* --- defaults --------------------------------------------------------------------------------------------- */

/* The value behind "  key: " in the policy's file. */
static void
yaml_value(const char *key, char *value, size_t n)
{
    char line[256], name[64], word[64];
    FILE *f = fopen(VALIDATE_YAML, "r");
    cr_assert_not_null(f, "%s", VALIDATE_YAML);
    value[0] = '\0';
    while (fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, " %63[a-z_]: %63s", name, word) == 2 && strcmp(name, key) == 0)
            snprintf(value, n, "%s", word);
    }
    fclose(f);
    cr_assert_neq(value[0], '\0', "%s is missing", key);
}

Test(validate, defaults_are_those_of_the_policy_file)
{
    struct ox_validate_policy p;
    char value[64];
    ox_validate_policy_default(&p);
    yaml_value("past_max_s", value, sizeof(value));
    cr_expect_eq(p.past_max_ns, strtoull(value, NULL, 10) * NS_PER_S);
    yaml_value("future_max_s", value, sizeof(value));
    cr_expect_eq(p.future_max_ns, strtoull(value, NULL, 10) * NS_PER_S);
    yaml_value("check_window", value, sizeof(value));
    cr_expect_str_eq(value, p.check_window ? "true" : "false");
}
