/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the breaker opens when and only when it should, lets one probe at a time through, and closes again.
 * Method:  the pure state machine with time and chance in hand; a random walk holds its invariants.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "ox/backoff.h"
#include "ox/breaker.h"
#include "ox/random.h"

#define S  1000000000ull
#define MS 1000000ull

static struct ox_breaker b;
static uint64_t now;

static void
fresh(void)
{
    ox_breaker_init(&b, NULL);
    now = 1000 * S;
}

TestSuite(breaker, .init = fresh);

/* One call from begin to end; false when it was not let through. */
static bool
call(enum ox_breaker_result result)
{
    uint32_t ticket;
    if (!ox_breaker_allow(&b, now, &ticket))
        return false;
    ox_breaker_done(&b, ticket, result, now, 0);
    return true;
}

static void
open_it(void)
{
    for (uint32_t i = 0; i < b.config.failures; i++)
        cr_assert(call(OX_BREAKER_FAILED));
    cr_assert_eq(b.state, OX_BREAKER_OPEN);
}

Test(breaker, opens_on_failures_in_a_row_and_not_before)
{
    for (uint32_t i = 1; i < b.config.failures; i++)
        cr_assert(call(OX_BREAKER_FAILED));
    cr_assert(call(OX_BREAKER_ANSWERED)); /* ends the row */
    for (uint32_t i = 1; i < b.config.failures; i++)
        cr_assert(call(OX_BREAKER_FAILED));
    cr_assert_eq(b.state, OX_BREAKER_CLOSED);
    cr_assert(call(OX_BREAKER_FAILED));
    cr_assert_eq(b.state, OX_BREAKER_OPEN);
    cr_assert_not(call(OX_BREAKER_ANSWERED));
}

Test(breaker, trouble_and_unknown_ends_are_no_row)
{
    for (uint32_t i = 0; i < b.config.calls_min - 1; i++)
        cr_assert(call(OX_BREAKER_TROUBLED));
    cr_assert_eq(b.state, OX_BREAKER_CLOSED);
    for (uint32_t i = 0; i < 100; i++)
        cr_assert(call(OX_BREAKER_UNKNOWN));
    cr_assert_eq(b.state, OX_BREAKER_CLOSED);
}

Test(breaker, trouble_does_not_end_a_row)
{
    for (uint32_t i = 1; i < b.config.failures; i++) {
        cr_assert(call(OX_BREAKER_FAILED));
        cr_assert(call(OX_BREAKER_TROUBLED));
    }
    cr_assert(call(OX_BREAKER_FAILED));
    cr_assert_eq(b.state, OX_BREAKER_OPEN);
}

Test(breaker, opens_when_half_of_the_windows_calls_fail)
{
    for (uint32_t i = 0; i < b.config.calls_min / 2; i++) {
        cr_assert_eq(b.state, OX_BREAKER_CLOSED, "after %u of each", i);
        now += 500 * MS;
        cr_assert(call(OX_BREAKER_ANSWERED));
        cr_assert(call(OX_BREAKER_TROUBLED));
    }
    cr_assert_eq(b.state, OX_BREAKER_OPEN);
}

Test(breaker, less_than_half_is_borne)
{
    for (uint32_t i = 0; i < 1000; i++) {
        now += 20 * MS;
        cr_assert(call(OX_BREAKER_ANSWERED));
        cr_assert(call(i % 2 == 0 ? OX_BREAKER_ANSWERED : OX_BREAKER_FAILED));
        cr_assert(call(OX_BREAKER_ANSWERED));
    }
    cr_assert_eq(b.state, OX_BREAKER_CLOSED);
}

Test(breaker, what_is_older_than_the_window_does_not_count)
{
    for (uint32_t i = 0; i < b.config.calls_min - 1; i++)
        cr_assert(call(OX_BREAKER_TROUBLED));
    now += b.config.window_ns + S;
    cr_assert(call(OX_BREAKER_TROUBLED));
    cr_assert_eq(b.state, OX_BREAKER_CLOSED);
    for (uint32_t i = 0; i < b.config.calls_min - 1; i++)
        (void)call(OX_BREAKER_TROUBLED);
    cr_assert_eq(b.state, OX_BREAKER_OPEN);
}

Test(breaker, lets_one_probe_through_after_its_wait)
{
    uint32_t ticket, other;
    open_it();
    uint64_t wait = ox_breaker_wait_ns(&b, now);
    cr_assert(wait >= b.config.wait_min_ns / 2 && wait <= b.config.wait_min_ns);
    now += wait - 1;
    cr_assert_not(ox_breaker_allow(&b, now, &ticket));
    now++;
    cr_assert_eq(ox_breaker_wait_ns(&b, now), 0);
    cr_assert(ox_breaker_allow(&b, now, &ticket));
    cr_assert_eq(b.state, OX_BREAKER_HALF_OPEN);
    cr_assert_not(ox_breaker_allow(&b, now, &other), "a second probe beside the first");
    cr_assert_gt(ox_breaker_wait_ns(&b, now), 0);
    ox_breaker_done(&b, ticket, OX_BREAKER_ANSWERED, now, 0);
    cr_assert_eq(b.state, OX_BREAKER_CLOSED);
    for (uint32_t i = 1; i < b.config.failures; i++)
        cr_assert(call(OX_BREAKER_FAILED), "what was counted before counts again");
    cr_assert_eq(b.state, OX_BREAKER_CLOSED);
}

Test(breaker, waits_longer_after_each_failed_probe_up_to_the_bound)
{
    open_it();
    uint64_t want = b.config.wait_min_ns;
    for (int i = 0; i < 12; i++) {
        uint64_t wait = ox_breaker_wait_ns(&b, now);
        cr_assert_eq(wait, want - want / 2, "%d: %llu", i,
                     (unsigned long long)wait); /* no jitter: chance is 0 */
        now += wait;
        cr_assert(call(i % 2 == 0 ? OX_BREAKER_FAILED : OX_BREAKER_TROUBLED));
        cr_assert_eq(b.state, OX_BREAKER_OPEN);
        want = want * 2 < b.config.wait_max_ns ? want * 2 : b.config.wait_max_ns;
    }
    now += ox_breaker_wait_ns(&b, now);
    cr_assert(call(OX_BREAKER_ANSWERED));
    open_it();
    cr_assert_leq(ox_breaker_wait_ns(&b, now), b.config.wait_min_ns); /* begins anew */
}

Test(breaker, a_probe_that_hangs_gives_its_place_away)
{
    uint32_t hanging, next;
    open_it();
    now += ox_breaker_wait_ns(&b, now);
    cr_assert(ox_breaker_allow(&b, now, &hanging));
    now += ox_breaker_wait_ns(&b, now);
    cr_assert(ox_breaker_allow(&b, now, &next));
    ox_breaker_done(&b, hanging, OX_BREAKER_FAILED, now, 0);
    cr_assert_eq(b.state, OX_BREAKER_HALF_OPEN, "the old probe's end is not the new one's");
    ox_breaker_done(&b, next, OX_BREAKER_ANSWERED, now, 0);
    cr_assert_eq(b.state, OX_BREAKER_CLOSED);
}

Test(breaker, a_probe_without_a_result_leaves_room_for_the_next)
{
    open_it();
    now += ox_breaker_wait_ns(&b, now);
    cr_assert(call(OX_BREAKER_UNKNOWN));
    cr_assert_eq(b.state, OX_BREAKER_HALF_OPEN);
    cr_assert(call(OX_BREAKER_ANSWERED));
    cr_assert_eq(b.state, OX_BREAKER_CLOSED);
}

Test(breaker, calls_from_before_do_not_count)
{
    uint32_t early[20];
    for (size_t i = 0; i < OX_COUNT(early); i++)
        cr_assert(ox_breaker_allow(&b, now, &early[i]));
    open_it();
    uint64_t until = b.until_ns;
    ox_breaker_done(&b, early[0], OX_BREAKER_FAILED, now, 0);
    cr_assert_eq(b.until_ns, until);
    now += ox_breaker_wait_ns(&b, now);
    cr_assert(call(OX_BREAKER_ANSWERED));
    for (size_t i = 1; i < OX_COUNT(early); i++)
        ox_breaker_done(&b, early[i], OX_BREAKER_FAILED, now, 0);
    cr_assert_eq(b.state, OX_BREAKER_CLOSED);
}

Test(breaker, a_hint_lets_the_probe_go_at_once)
{
    open_it();
    cr_assert_gt(ox_breaker_wait_ns(&b, now), 0);
    ox_breaker_hint(&b, now);
    cr_assert(call(OX_BREAKER_FAILED));
    cr_assert_eq(b.state, OX_BREAKER_OPEN);
    ox_breaker_hint(&b, now);
    cr_assert(call(OX_BREAKER_ANSWERED));
    ox_breaker_hint(&b, now);
    cr_assert_eq(b.state, OX_BREAKER_CLOSED);
}

/* Whatever comes: never two probes at a time, OPEN never longer than its bound, and it always closes in the end. */
Test(breaker, a_random_walk_keeps_its_promises)
{
    uint64_t seed = 0;
    struct ox_random rnd;
    cr_assert_eq(ox_random_os(&seed, sizeof(seed)), OX_OK);
    printf("seed %llu\n", (unsigned long long)seed);
    ox_random_seed(&rnd, seed);
    uint32_t held[8];
    size_t n = 0;
    for (int step = 0; step < 200000; step++) {
        uint64_t what = ox_random_below(&rnd, 10);
        now += ox_random_below(&rnd, 400 * MS);
        if (what < 5 && n < OX_COUNT(held)) {
            enum ox_breaker_state before = b.state;
            bool probing = b.probing, hung = now >= b.until_ns;
            bool let = ox_breaker_allow(&b, now, &held[n]);
            cr_assert(let || before != OX_BREAKER_CLOSED);
            cr_assert(!let || before == OX_BREAKER_CLOSED || !probing || hung);
            n += let;
        } else if (n > 0) {
            size_t i = ox_random_below(&rnd, n);
            ox_breaker_done(&b, held[i], (enum ox_breaker_result)ox_random_below(&rnd, 4), now,
                            ox_random_u64(&rnd));
            held[i] = held[--n];
        }
        cr_assert_leq(ox_breaker_wait_ns(&b, now), b.config.wait_max_ns);
    }
    now += b.config.wait_max_ns;
    cr_assert(call(OX_BREAKER_ANSWERED));
    cr_assert_eq(b.state, OX_BREAKER_CLOSED);
}

Test(backoff, doubles_from_min_to_max_and_scatters_by_half)
{
    struct ox_random rnd;
    static const uint64_t want[] = {100, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
    ox_random_seed(&rnd, 7);
    for (uint32_t f = 0; f < OX_COUNT(want); f++) {
        uint64_t least = UINT64_MAX, most = 0;
        for (int i = 0; i < 2000; i++) {
            uint64_t ms = ox_backoff(100, 30000, f, ox_random_u64(&rnd));
            least = ms < least ? ms : least;
            most = ms > most ? ms : most;
        }
        cr_assert(least >= want[f] / 2 && most <= want[f], "%u: %llu..%llu", f, (unsigned long long)least,
                  (unsigned long long)most);
        cr_assert(least <= want[f] * 6 / 10 && most >= want[f] * 9 / 10, "%u: no jitter", f);
    }
    cr_assert_leq(ox_backoff(100, 30000, UINT32_MAX, UINT64_MAX), 30000);
    cr_assert_eq(ox_backoff(1, 1, 5, 99), 1);
}
