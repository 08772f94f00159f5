/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a set of ranges is a set of numbers.
 * Method:  seeded random additions against an array of flags; the ranges stay sorted, apart and non-empty.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "ox/ranges.h"

#define N 200u

static void
compare(const struct ox_ranges *r, const bool *flags)
{
    const struct ox_range *at = ox_ranges_at(r);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        cr_assert_lt(at[i].from, at[i].to);
        cr_assert(i == 0 || at[i - 1].to < at[i].from, "ranges touch");
        sum += at[i].to - at[i].from;
    }
    for (uint32_t i = 0; i < N; i++) {
        cr_assert_eq(ox_ranges_has(r, i), flags[i]);
        sum -= flags[i];
    }
    cr_assert_eq(sum, 0);
}

Test(ranges, agree_with_an_array_of_flags)
{
    for (unsigned seed = 1; seed <= 200; seed++) {
        unsigned rng = seed;
        struct ox_ranges r = {0}, rest = {0};
        bool flags[N] = {0};
        for (int step = 0; step < 30; step++) {
            uint32_t from = (uint32_t)rand_r(&rng) % N, to = from + 1 + (uint32_t)rand_r(&rng) % 20,
                     fresh = 0;
            uint32_t added, a = (uint32_t)rand_r(&rng) % N, b = a + (uint32_t)rand_r(&rng) % (N - a),
                            inside = 0;
            to = to < N ? to : N;
            for (uint32_t i = from; i < to; i++) {
                fresh += !flags[i];
                flags[i] = true;
            }
            cr_assert_eq(ox_ranges_add(&r, from, to, &added), OX_OK);
            cr_assert_eq(added, fresh);
            compare(&r, flags);
            for (uint32_t i = a; i < b; i++)
                inside += flags[i];
            cr_assert_eq(ox_ranges_count(&r, a, b), inside);
        }
        cr_assert_eq(ox_ranges_complement(&r, N, &rest), OX_OK);
        for (uint32_t i = 0; i < N; i++)
            cr_assert_neq(ox_ranges_has(&rest, i), flags[i]);
        ox_ranges_fini(&rest);
        ox_ranges_fini(&r);
    }
}

Test(ranges, handle_the_last_ordinal)
{
    struct ox_ranges r = {0};
    cr_assert_eq(ox_ranges_add(&r, UINT32_MAX - 1, UINT32_MAX, NULL), OX_OK);
    cr_assert_eq(ox_ranges_add(&r, 0, 1, NULL), OX_OK);
    cr_assert_eq(r.n, 2);
    cr_assert_eq(ox_ranges_count(&r, 0, UINT32_MAX), 2);
    ox_ranges_reset(&r);
    cr_assert_not(ox_ranges_has(&r, 0));
    ox_ranges_fini(&r);
}
