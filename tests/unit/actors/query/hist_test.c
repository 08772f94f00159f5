/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    quantiles lie where the counted values lie.
 * Method:  known buckets; a uniform distribution in explicit and exponential buckets.
 */
#include <criterion/criterion.h>
#include <math.h>

#include "actors/query/query_hist.h"

TestSuite(hist, .timeout = 20);

Test(hist, interpolates_inside_the_bucket)
{
    struct ox__hist h = {0};
    ox__hist_add(&h, 100, 1000, 10);
    ox__hist_add(&h, 0, 100, 90);
    cr_assert_float_eq(ox__hist_quantile(&h, 0.45), 50, 1e-9);
    cr_assert_float_eq(ox__hist_quantile(&h, 0.9), 100, 1e-9);
    cr_assert_float_eq(ox__hist_quantile(&h, 0.95), 550, 1e-9);
    cr_assert_float_eq(ox__hist_quantile(&h, 1), 1000, 1e-9);
    ox__hist_fini(&h);
}

Test(hist, empty_has_none_and_empty_buckets_do_not_count)
{
    struct ox__hist h = {0};
    ox__hist_add(&h, 0, 1, 0);
    cr_assert(isnan(ox__hist_quantile(&h, 0.5)));
    ox__hist_fini(&h);
}

Test(hist, the_same_bucket_of_many_points_is_kept_once)
{
    struct ox__hist h = {0};
    for (int i = 0; i < 1000; i++)
        for (int b = 0; b < 15; b++)
            ox__hist_add(&h, b, b + 1, 1);
    cr_assert_eq(h.n, 15);
    cr_assert_float_eq(ox__hist_quantile(&h, 0.5), 7.5, 1e-9);
    ox__hist_fini(&h);
}

Test(hist, exponential_bounds_are_powers_of_the_base)
{
    cr_assert_float_eq(ox__hist_exp_bound(0, 0), 2, 1e-12);
    cr_assert_float_eq(ox__hist_exp_bound(0, -1), 1, 1e-12);
    cr_assert_float_eq(ox__hist_exp_bound(1, 1), 2, 1e-12);
    cr_assert_float_eq(ox__hist_exp_bound(-1, 1), 16, 1e-12);
    struct ox__hist h = {0};
    /* 1..1000 once each at scale 3: a quantile is off by half a bucket at most, 2^(1/8) wide. */
    for (int v = 1; v <= 1000; v++) {
        int64_t index = (int64_t)ceil(log2(v) * 8) - 1;
        ox__hist_add(&h, ox__hist_exp_bound(3, index - 1), ox__hist_exp_bound(3, index), 1);
    }
    cr_assert_float_eq(ox__hist_quantile(&h, 0.95), 950, 950 * 0.05);
    cr_assert_float_eq(ox__hist_quantile(&h, 0.5), 500, 500 * 0.05);
    ox__hist_fini(&h);
}
