/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:   a duration falls into the bucket that OpenTelemetry's definition says, at every edge.
 * Method: long double arithmetic as the oracle beside the bounds, exact numbers at them, and a walk over random values.
 */
#include "ox/exphist.h"

#include <criterion/criterion.h>
#include <math.h>

Test(exphist, powers_of_two_are_upper_bounds)
{
    cr_assert_eq(ox_exphist_index(0), OX_EXPHIST_ZERO);
    cr_assert_eq(ox_exphist_index(1), -1, "(2^(-1/16), 1]");
    for (int e = 0; e < 64; e++)
        cr_assert_eq(ox_exphist_index(1ull << e), 16 * e - 1, "2^%d", e);
    cr_assert_eq(ox_exphist_index(UINT64_MAX), 1023);
}

/* The last value that is at most 2^(e + k/16), and the next: long double has 64 bits of mantissa, as much as the values. */
Test(exphist, values_beside_each_bound)
{
    for (int e = 6; e < 56;
         e++) { /* below there are bounds without an integer between them; above, the oracle rounds */
        for (int k = 1; k < 16; k++) {
            uint64_t last = (uint64_t)floorl(exp2l((long double)e + (long double)k / 16));
            cr_assert_eq(ox_exphist_index(last), 16 * e + k - 1, "%llu, below 2^(%d+%d/16)",
                         (unsigned long long)last, e, k);
            cr_assert_eq(ox_exphist_index(last + 1), 16 * e + k, "%llu, above 2^(%d+%d/16)",
                         (unsigned long long)last + 1, e, k);
        }
    }
}

Test(exphist, every_value_lies_within_the_bounds_of_its_bucket)
{
    uint64_t x = 88172645463325252ull;
    for (int i = 0; i < 200000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        uint64_t v = x >> (x & 63) | 1;
        int16_t index = ox_exphist_index(v);
        double slack = (double)v * 1e-12;
        cr_assert(ox_exphist_lower(index) <= (double)v + slack &&
                      (double)v <= ox_exphist_upper(index) + slack,
                  "%llu in bucket %d", (unsigned long long)v, index);
    }
    cr_assert_eq(ox_exphist_upper(OX_EXPHIST_ZERO), 0);
    cr_assert_float_eq(ox_exphist_upper(15), 2, 1e-12);
    cr_assert_float_eq(ox_exphist_lower(-1), exp2(-1.0 / 16), 1e-12);
}

Test(exphist, quantiles_are_within_a_bucket_of_the_values)
{
    enum { VALUES = 10000 };
    static struct ox_exphist_bucket buckets[2000];
    size_t n = 0;
    for (uint64_t v = 1; v <= VALUES; v++) { /* ascending, so their buckets are */
        int16_t index = ox_exphist_index(v * 1000);
        if (n == 0 || buckets[n - 1].index != index)
            buckets[n++] = (struct ox_exphist_bucket){.index = index};
        buckets[n - 1].count++;
    }
    static const double shares[] = {0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1};
    for (size_t i = 0; i < OX_COUNT(shares); i++) {
        double want = shares[i] * VALUES * 1000, got = ox_exphist_quantile(buckets, n, shares[i]);
        cr_assert(fabs(got - want) <= 0.0443 * want, "%g: %g, want %g", shares[i], got, want);
    }
    cr_assert(isnan(ox_exphist_quantile(buckets, 0, 0.5)));
    const struct ox_exphist_bucket zeroes[] = {{OX_EXPHIST_ZERO, 3}, {15, 1}};
    cr_assert_eq(ox_exphist_quantile(zeroes, 2, 0.5), 0);
    cr_assert_float_eq(ox_exphist_quantile(zeroes, 2, 1), 2, 1e-9);
}
