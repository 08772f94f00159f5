/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    arenas keep their budget, clocks and random numbers do what their headers say.
 * Method:  exhaust and reset; known times; statistics with a fixed seed.
 */
#include <criterion/criterion.h>

#include "ox/arena.h"
#include "ox/clock.h"
#include "ox/random.h"

Test(arena, budget_account_and_reset)
{
    struct ox_account account = {.limit_bytes = 1 << 20};
    struct ox_arena *arena = ox_arena_new(10000, &account);
    size_t got = 0;
    while (ox_arena_alloc(arena, 100) != NULL)
        got++;
    cr_assert_eq(got, 10000 / 112);
    cr_assert(ox_arena_overflowed(arena));
    cr_assert_geq(atomic_load(&account.used_bytes), got * 100);
    ox_arena_reset(arena);
    cr_assert_not(ox_arena_overflowed(arena));
    cr_assert_eq(ox_arena_used(arena), 0);
    cr_assert_not_null(ox_arena_alloc(arena, 9000));
    cr_assert_null(ox_arena_alloc(arena, SIZE_MAX));
    cr_assert_null(ox_arena_calloc(arena, SIZE_MAX / 2, 3));
    ox_arena_free(arena);
    cr_assert_eq(atomic_load(&account.used_bytes), 0);
}

Test(arena, the_account_refuses_before_the_budget)
{
    struct ox_account account = {.limit_bytes = 20000};
    struct ox_arena *arena = ox_arena_new(1 << 20, &account);
    while (ox_arena_alloc(arena, 1000) != NULL) {
    }
    cr_assert(ox_arena_overflowed(arena));
    cr_assert_leq(atomic_load(&account.used_bytes), 20000);
    ox_arena_free(arena);
    cr_assert_eq(atomic_load(&account.used_bytes), 0);
}

Test(arena, allocations_are_aligned_distinct_and_keep_their_bytes)
{
    struct ox_arena *arena = ox_arena_new(1 << 20, NULL);
    uint8_t *parts[200];
    for (size_t i = 0; i < OX_COUNT(parts); i++) {
        size_t n = i * 7 % 600;
        parts[i] = ox_arena_alloc(arena, n);
        cr_assert_not_null(parts[i]);
        cr_assert_eq((uintptr_t)parts[i] % 16, 0);
        memset(parts[i], (int)i, n);
    }
    for (size_t i = 0; i < OX_COUNT(parts); i++) {
        for (size_t k = 0; k < i * 7 % 600; k++)
            cr_assert_eq(parts[i][k], (uint8_t)i);
    }
    cr_assert_str_eq(ox_arena_strdup(arena, (struct ox_str){"hello world", 5}), "hello");
    uint64_t *zeroes = ox_arena_calloc(arena, 10, 8);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(zeroes[i], 0);
    ox_arena_free(arena);
    ox_arena_free(NULL);
}

Test(clock, virtual_time_moves_only_when_told)
{
    struct ox_clock_virtual v;
    ox_clock_virtual_init(&v, 100, 1000);
    cr_assert_eq(ox_clock_monotonic_ns(&v.clock), 100);
    ox_clock_virtual_advance(&v, 50);
    cr_assert_eq(ox_clock_monotonic_ns(&v.clock), 150);
    cr_assert_eq(ox_clock_realtime_ns(&v.clock), 1050);
    ox_clock_virtual_jump(&v, -500);
    cr_assert_eq(ox_clock_monotonic_ns(&v.clock), 150);
    cr_assert_eq(ox_clock_realtime_ns(&v.clock), 550);
}

Test(clock, real_time_does_not_run_backwards)
{
    uint64_t a = ox_clock_monotonic_ns(ox_clock_real());
    uint64_t b = ox_clock_monotonic_ns(ox_clock_real());
    cr_assert_geq(b, a);
    cr_assert_gt(ox_clock_realtime_ns(ox_clock_real()), 1700000000ull * 1000000000ull);
}

Test(clock, rfc3339)
{
    char text[OX_RFC3339_LEN + 1];
    ox_clock_rfc3339(0, text);
    cr_assert_str_eq(text, "1970-01-01T00:00:00.000000000Z");
    ox_clock_rfc3339(951782400000000001ull, text);
    cr_assert_str_eq(text, "2000-02-29T00:00:00.000000001Z");
    ox_clock_rfc3339(UINT64_MAX, text);
    cr_assert_str_eq(text, "2554-07-21T23:34:33.709551615Z");
}

Test(random, a_seed_gives_one_sequence)
{
    struct ox_random a;
    struct ox_random b;
    struct ox_random c;
    ox_random_seed(&a, 7);
    ox_random_seed(&b, 7);
    ox_random_seed(&c, 8);
    uint32_t same = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t x = ox_random_u64(&a);
        cr_assert_eq(x, ox_random_u64(&b));
        same += x == ox_random_u64(&c);
    }
    cr_assert_eq(same, 0);
}

Test(random, below_is_even_and_doubles_are_in_range)
{
    struct ox_random rnd;
    uint32_t hits[6] = {0};
    ox_random_seed(&rnd, 1);
    for (int i = 0; i < 60000; i++)
        hits[ox_random_below(&rnd, 6)]++;
    for (int i = 0; i < 6; i++)
        cr_assert(hits[i] > 9600 && hits[i] < 10400, "%u", hits[i]);
    double sum = 0;
    for (int i = 0; i < 10000; i++) {
        double d = ox_random_double(&rnd);
        cr_assert(d >= 0 && d < 1);
        sum += d;
    }
    cr_assert(sum > 4800 && sum < 5200);
}

Test(random, bytes_fill_exactly)
{
    struct ox_random rnd;
    uint8_t bytes[21] = {0};
    uint8_t secret[64] = {0};
    uint32_t zeroes = 0;
    ox_random_seed(&rnd, 3);
    ox_random_bytes(&rnd, bytes, 19);
    cr_assert_eq(bytes[19], 0);
    cr_assert_eq(bytes[20], 0);
    cr_assert_eq(ox_random_os(secret, sizeof(secret)), OX_OK);
    for (size_t i = 0; i < sizeof(secret); i++)
        zeroes += secret[i] == 0;
    cr_assert_lt(zeroes, 16);
}
