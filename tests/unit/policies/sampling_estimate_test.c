/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    counts estimated from kept traces are unbiased under every kind of rule, with the intervals that we state;
 *          the budget is kept; what must be kept is kept.
 * Method:  seeded days of a made-up shop with known truth. Per seed and cell (operation and outcome) the estimate, its
 *          error in deviations and whether the interval covers the truth; the seeds are printed by the failing
 *          assertion.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "ox/random.h"
#include "ox/sampling.h"
#include "ox/tracestate.h"

#define OPERATIONS 24
#define CELLS      (2 * OPERATIONS)
#define TRACES     60000u
#define PER_S      200u /* traces */
#define SEEDS      12

/* ERROR is clause 0 in every set of rules below. */
#define KEEP_ERRORS "{name: errors, if: {status: error}}"

struct cell {
    double truth, certain, weights, excess;
    double variance; /* of the estimate: the sum of (1 - p) / p over all, kept or not */
};

struct day {
    const struct ox_sampling *rules;
    struct ox_sampling_memory *memory;
    struct ox_budget budget;
    struct ox_random rnd;
    struct cell cells[CELLS];
    double spans, kept_spans; /* in the second half */
    unsigned outliers, outliers_kept, errors, errors_kept, rare, rare_kept;
    double spans_truth, spans_estimate, spans_variance;
    double top[2]; /* largest weight, of errors apart: a rule is about them */
};

static double
normal(struct ox_random *rnd)
{
    double g = 0;
    for (int k = 0; k < 12; k++)
        g += ox_random_double(rnd);
    return g - 6;
}

/* Zipf: operation k comes 1/(k+1) as often as the first; the last ones a few times in all. */
static unsigned
an_operation(struct ox_random *rnd)
{
    if (ox_random_below(rnd, 10000) == 0)
        return OPERATIONS - 1 - (unsigned)ox_random_below(rnd, 3);
    double x = ox_random_double(rnd) * 3.7; /* about the harmonic number of the others */
    for (unsigned k = 0; k < OPERATIONS - 4; k++) {
        if ((x -= 1.0 / (k + 1)) < 0)
            return k;
    }
    return OPERATIONS - 4;
}

static void
count(struct cell *c, const struct ox_sampling_verdict *v, double weight)
{
    c->truth++;
    c->variance += (1 - v->p) / v->p;
    if (!v->kept)
        return;
    if (weight == 1) {
        c->certain++;
    } else {
        c->weights += weight;
        c->excess += weight * (weight - 1);
    }
}

static void
one_trace(struct day *d, uint64_t i)
{
    struct ox_random *rnd = &d->rnd;
    unsigned op = an_operation(rnd);
    bool error = ox_random_below(rnd, 100) < 1 + op % 4, outlier = ox_random_below(rnd, 400) == 0;
    uint64_t now_ns = 1000 * 1000000000ull + i * (1000000000ull / PER_S);
    double ms = (5 + 3 * op) * exp(0.4 * normal(rnd)) * (outlier ? 15 : 1);
    struct ox_sampling_entry e = {op / 4, op, (uint64_t)(ms * 1e6)};
    uint64_t edge = op / 4;
    struct ox_sampling_seen seen = {&e, 1, &edge, 1};
    struct ox_sampling_needs needs = ox_sampling_needs(d->rules);
    struct ox_sampling_trace t = {.spans = 1 + (uint32_t)ox_random_below(rnd, 9),
                                  .any = error,
                                  .parent_sampled = ox_random_below(rnd, 8) == 0,
                                  .randomness = ox_random_u64(rnd) >> 8};
    struct ox_sampling_verdict v;
    ox_sampling_memory_look(d->memory, &needs, &seen, now_ns, &t.facts);
    ox_sampling_decide(d->rules, &t, ox_budget_factor(&d->budget), &v);
    ox_sampling_memory_learn(d->memory, &needs, &seen, now_ns, v.kept);
    if (needs.budget_per_s > 0)
        ox_budget_note(&d->budget, needs.budget_per_s, &t, &v, now_ns);

    double weight = v.kept ? ox_sampling_weight(v.threshold, 0) : 0;
    count(&d->cells[2 * op + error], &v, weight);
    d->top[error] = fmax(d->top[error], weight);
    d->spans_truth += t.spans;
    d->spans_variance += t.spans * t.spans * (1 - v.p) / v.p;
    d->spans_estimate += weight * t.spans;
    if (i >= TRACES / 2) {
        d->spans += t.spans;
        d->kept_spans += v.kept ? t.spans : 0;
        d->outliers += outlier;
        d->outliers_kept += outlier && v.kept;
    }
    d->errors += error;
    d->errors_kept += error && v.kept;
    d->rare += op >= OPERATIONS - 3;
    d->rare_kept += op >= OPERATIONS - 3 && v.kept;
}

static struct day
a_day(const struct ox_sampling_set *set, uint64_t seed)
{
    static const struct ox_tenant_id acme = {.name = "acme"};
    struct day d = {.rules = ox_sampling_of(set, &acme), .memory = ox_sampling_memory_new(1000, 5)};
    ox_random_seed(&d.rnd, seed);
    for (uint64_t i = 0; i < TRACES; i++)
        one_trace(&d, i);
    ox_sampling_memory_free(d.memory);
    return d;
}

struct outcome {
    unsigned cells, covered;
    double bias;   /* mean error in deviations */
    double square; /* mean square of it */
    double kept_per_s;
    struct day last;
};

static void
judge(const struct day *d, struct outcome *o)
{
    for (unsigned k = 0; k < CELLS; k++) {
        const struct cell *c = &d->cells[k];
        double low, high;
        if (c->truth == 0)
            continue;
        ox_sampling_interval(c->certain, c->weights, c->excess, d->top[k % 2] > 1 ? d->top[k % 2] : 0, &low,
                             &high);
        o->cells++;
        o->covered += low <= c->truth + 1e-6 && c->truth <= high + 1e-6;
        double error = c->certain + c->weights - c->truth;
        o->bias += c->variance > 0 ? error / sqrt(c->variance) : error;
        o->square += c->variance > 0 ? error * error / c->variance : error * error;
    }
}

static struct outcome
simulate(const char *rules)
{
    char text[1024];
    struct ox_config_report report;
    struct ox_sampling_set *set;
    struct outcome o = {0};
    snprintf(text, sizeof(text), "sampling: {default: {%s}}", rules);
    ox_config_report_init(&report);
    cr_assert_eq(ox_sampling_read(ox_str_of(text), "f", &set, &report), OX_OK, "%.*s", (int)report.text.len,
                 (const char *)report.text.data);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        o.last = a_day(set, seed);
        judge(&o.last, &o);
        o.kept_per_s += o.last.kept_spans / (TRACES / 2) * PER_S / SEEDS;
        cr_assert_eq(o.last.spans > 0, true);
    }
    o.bias /= o.cells;
    o.square /= o.cells;
    printf("%-72.72s cells %3u, covered %.1f %%, bias %+.3f, square %.2f, kept %.1f spans/s\n", rules,
           o.cells, 100.0 * o.covered / o.cells, o.bias, o.square, o.kept_per_s);
    ox_sampling_free(set);
    ox_config_report_fini(&report);
    return o;
}

static void
unbiased(const struct outcome *o)
{
    cr_assert_geq(o->cells, 200);
    cr_assert_geq(o->covered, 0.93 * o->cells, "%u of %u", o->covered, o->cells);
    cr_assert_lt(fabs(o->bias), 4 / sqrt(o->cells), "%g deviations", o->bias);
}

Test(sampling_estimate, of_a_rate)
{
    struct outcome tenth = simulate("rates: [{probability: 0.1}], keep: [" KEEP_ERRORS "]");
    unbiased(&tenth);
    cr_assert_eq(tenth.last.errors_kept, tenth.last.errors, "every error");
    struct outcome hundredth = simulate("rates: [{probability: 0.01}], keep: [" KEEP_ERRORS "]");
    unbiased(&hundredth);
    cr_assert_eq(hundredth.last.errors_kept, hundredth.last.errors);
}

Test(sampling_estimate, of_everything_at_once)
{
    static const char *const rates[] = {"0.1", "0.01"};
    for (size_t i = 0; i < OX_COUNT(rates); i++) {
        char rules[512];
        snprintf(rules, sizeof(rules),
                 "rates: [{probability: %s}], keep: [" KEEP_ERRORS ", {name: slow, if: {percentile: 99}}, "
                 "{name: rare, if: {rare_operation: 20}}], minimum: {per_operation: 3, per_service: 5}, "
                 "window: 1m",
                 rates[i]);
        struct outcome o = simulate(rules);
        unbiased(&o);
        cr_assert_eq(o.last.errors_kept, o.last.errors, "every error");
        cr_assert_eq(o.last.rare_kept, o.last.rare, "what is rarer than 20 a minute");
        cr_assert_geq(o.last.outliers_kept, 0.99 * o.last.outliers, "%u of %u outliers", o.last.outliers_kept,
                      o.last.outliers);
    }
}

Test(sampling_estimate, of_a_score)
{
    struct outcome o =
        simulate("rates: [{probability: 0.02}], keep: [" KEEP_ERRORS "], score: {of: log_duration}");
    unbiased(&o);
}

Test(sampling_estimate, of_a_budget)
{
    static const double budgets[] = {20, 100, 400, 2000};
    for (size_t i = 0; i < OX_COUNT(budgets); i++) {
        char rules[512];
        snprintf(rules, sizeof(rules),
                 "budget: {spans_per_s: %g}, keep: [{name: odd, if: {status: error}, probability: 0.5}, "
                 "{name: rare, "
                 "if: {rare_operation: 20}}], window: 1m, score: {of: log_duration}",
                 budgets[i]);
        struct outcome o = simulate(rules);
        unbiased(&o);
        double want = fmin(budgets[i], 5.0 * PER_S);
        cr_assert(o.kept_per_s <= 1.05 * want && o.kept_per_s >= 0.75 * want, "%g of %g", o.kept_per_s, want);
        cr_assert_eq(o.last.rare_kept, o.last.rare);
        double error = o.last.spans_estimate - o.last.spans_truth;
        cr_assert_leq(fabs(error), 4 * sqrt(o.last.spans_variance) + 1e-6, "%g spans", error);
    }
}

/* What the interval is worth when few were kept: a plain weights +- 1.96 deviations covers 88 % here. */
Test(sampling_estimate, interval_of_few)
{
    struct ox_random rnd;
    unsigned covered = 0, all = 20000;
    ox_random_seed(&rnd, 8);
    for (unsigned i = 0; i < all; i++) {
        double n = 0, low, high;
        for (unsigned k = 0; k < 300; k++)
            n += ox_random_below(&rnd, 50) == 0;
        ox_sampling_interval(10, 50 * n, 50 * n * 49, 50, &low, &high);
        covered += low <= 310 && 310 <= high;
    }
    cr_assert_geq(covered, 0.93 * all, "%u of %u", covered, all);
}
