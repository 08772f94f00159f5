/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a baseline is the weighted mean and variance that its page says, stays exact beside a large mean, is silent
 *          when it knows too little, and survives being saved and merged.
 * Method:  as oracle, the weights of all values written out and summed in two passes of plain doubles.
 */
#include "ox/baseline.h"

#include <criterion/criterion.h>
#include <math.h>

#include "ox/random.h"

#define VALUES 500

static double
noise(struct ox_random *rnd)
{
    return ox_random_double(rnd) + ox_random_double(rnd) + ox_random_double(rnd) - 1.5; /* deviation 0.5 */
}

/* Mean and variance of x[0..n) with the weights that each has after n values. */
static void
oracle(const double *x, size_t n, double *mean, double *var)
{
    double w[VALUES], sum = 0;
    for (size_t i = 0; i < n; i++) {
        double alpha = fmax(OX_BASELINE_ALPHA, 1.0 / (double)(i + 1));
        for (size_t k = 0; k < i; k++)
            w[k] *= 1 - alpha;
        w[i] = alpha;
    }
    for (size_t i = 0; i < n; i++)
        sum += w[i] * x[i];
    *mean = sum;
    *var = 0;
    for (size_t i = 0; i < n; i++)
        *var += w[i] * (x[i] - sum) * (x[i] - sum);
}

static void
compare(double offset, double scale, double tolerance)
{
    struct ox_random rnd;
    struct ox_baseline b = {0};
    double x[VALUES], mean, var;
    ox_random_seed(&rnd, 7);
    for (size_t i = 0; i < VALUES; i++) {
        x[i] = offset + scale * noise(&rnd);
        ox_baseline_add(&b, x[i]);
        oracle(x, i + 1, &mean, &var);
        cr_assert_float_eq(b.mean, mean, tolerance * scale, "%zu: %g, want %g", i, b.mean, mean);
        cr_assert_float_eq(b.var, var, tolerance * scale * scale, "%zu: %g, want %g", i, b.var, var);
    }
}

Test(baseline, is_the_weighted_mean_and_variance)
{
    compare(0, 1, 1e-12);
    compare(3e9, 1e8, 1e-12);
}

/* A sum of squares would leave nothing of a deviation of 1 beside 1e12: 24 digits. */
Test(baseline, stays_exact_beside_a_large_mean)
{
    compare(1e12, 1, 1e-2);
}

Test(baseline, is_silent_until_it_knows_enough)
{
    struct ox_baseline b = {0};
    for (int i = 1; i < OX_BASELINE_SILENT; i++) {
        ox_baseline_add(&b, i % 2);
        cr_assert_eq(ox_baseline_z(&b, 1e6), 0, "%d", i);
    }
    ox_baseline_add(&b, 0);
    cr_assert(ox_baseline_z(&b, 1e6) > 1e5);
    cr_assert(ox_baseline_z(&b, -1e6) < -1e5);
}

Test(baseline, measures_nothing_without_variance)
{
    struct ox_baseline b = {0};
    for (int i = 0; i < 1000; i++) {
        ox_baseline_add(&b, 0.1 * 3);
        cr_assert_eq(ox_baseline_z(&b, 5), 0, "%d", i);
    }
    struct ox_baseline zero = {0};
    for (int i = 0; i < 100; i++)
        ox_baseline_add(&zero, 0);
    cr_assert_eq(ox_baseline_z(&zero, 5), 0);
    for (int i = 0; i < 100; i++)
        ox_baseline_add(&b, i % 2 != 0 ? INFINITY : NAN);
    cr_assert_eq(b.n, 1000, "what is not finite is no value");
    for (int i = 0; i < 100; i++)
        ox_baseline_add(&b, i % 2 != 0 ? 1e300 : -1e300); /* the variance overflows */
    cr_assert(isfinite(ox_baseline_z(&b, 1e308)));
    cr_assert(isfinite(ox_baseline_z(&b, NAN)));
}

Test(baseline, follows_a_shift_and_scores_like_a_normal_deviate)
{
    struct ox_random rnd;
    struct ox_baseline b = {0};
    double squares = 0;
    ox_random_seed(&rnd, 11);
    for (int i = 0; i < 2000; i++)
        ox_baseline_add(&b, 100 + noise(&rnd));
    for (int i = 0; i < 20000; i++) {
        double x = 100 + noise(&rnd), z = ox_baseline_z(&b, x);
        squares += z * z;
        ox_baseline_add(&b, x);
    }
    cr_assert_float_eq(squares / 20000, 1, 0.15, "%g", squares / 20000);
    for (int i = 0; i < 14; i++)
        ox_baseline_add(&b, 200);
    cr_assert_float_eq(b.mean, 150, 2, "half of a shift after 14 values: %g", b.mean);
}

Test(baseline, saved_and_read_again)
{
    struct ox_random rnd;
    struct ox_baseline b = {0}, again;
    uint8_t bytes[OX_BASELINE_BYTES];
    ox_random_seed(&rnd, 3);
    for (int i = 0; i < 77; i++)
        ox_baseline_add(&b, 1e6 * noise(&rnd));
    ox_baseline_save(&b, bytes);
    cr_assert_eq(bytes[0], 77);
    cr_assert_eq(ox_baseline_load(bytes, &again), OX_OK);
    cr_assert_eq(memcmp(&b, &again, sizeof(b)), 0);
    static const struct ox_baseline bad[] = {{5, NAN, 1}, {5, 1, -1}, {5, 1, INFINITY}, {0, 1, 0}};
    for (size_t i = 0; i < OX_COUNT(bad); i++) {
        ox_baseline_save(&bad[i], bytes);
        cr_assert_eq(ox_baseline_load(bytes, &again), OX_E_CORRUPT, "%zu", i);
    }
}

Test(baseline, merged)
{
    struct ox_random rnd;
    struct ox_baseline a = {0}, b = {0}, empty = {0}, both = {0};
    double x[20], mean = 0, var = 0;
    ox_random_seed(&rnd, 5);
    for (size_t i = 0; i < 20; i++) { /* few enough to count alike: merged as if all had gone to one */
        x[i] = 10 + noise(&rnd);
        ox_baseline_add(i < 13 ? &a : &b, x[i]);
        ox_baseline_add(&both, x[i]);
    }
    oracle(x, 20, &mean, &var);
    struct ox_baseline ab = a, ba = b;
    ox_baseline_merge(&ab, &b);
    ox_baseline_merge(&ba, &a);
    cr_assert_eq(ab.n, 20);
    cr_assert_float_eq(ab.mean, mean, 1e-12);
    cr_assert_float_eq(ab.var, var, 1e-12);
    cr_assert_float_eq(ba.mean, mean, 1e-12);
    cr_assert_float_eq(ba.var, var, 1e-12);
    cr_assert_float_eq(both.mean, mean, 1e-12);
    ox_baseline_merge(&ab, &empty);
    cr_assert_eq(ab.n, 20);
    ox_baseline_merge(&empty, &a);
    cr_assert_eq(memcmp(&empty, &a, sizeof(a)), 0, "merged into nothing it is the same");
    /* one that has seen very much has no more say than what it remembers */
    struct ox_baseline much = {1000000, 0, 1}, some = {39, 2, 1};
    ox_baseline_merge(&much, &some);
    cr_assert_float_eq(much.mean, 1, 1e-9);
    cr_assert_float_eq(much.var, 2, 1e-9);
}
