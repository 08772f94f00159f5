/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a thing comes off the wheel within a tick after it is due, once, and never before unless it waited a whole
 *          turn.
 * Method:  random sets and clears on a clock with jumps, beside a plain array of due times.
 */
#include "actors/sampler/wheel.h"

#include <criterion/criterion.h>

#include "ox/random.h"

#define THINGS 500

Test(wheel, takes_what_is_due)
{
    static struct ox__wheel w;
    static uint64_t due[THINGS]; /* 0 = not on it */
    struct ox_random rnd;
    uint64_t now = 123456789, turn = OX__WHEEL_TICKS * OX__WHEEL_TICK_NS;
    unsigned taken = 0, asked = 0;
    ox_random_seed(&rnd, 12);
    cr_assert_eq(ox__wheel_init(&w, THINGS, now), OX_OK);
    cr_assert_eq(ox__wheel_next_ns(&w), UINT64_MAX);
    for (int step = 0; step < 200000; step++) {
        uint32_t thing = (uint32_t)ox_random_below(&rnd, THINGS);
        if (ox_random_below(&rnd, 10) == 0) {
            ox__wheel_clear(&w, thing);
            due[thing] = 0;
        } else if (ox_random_below(&rnd, 3) == 0) {
            due[thing] = now + ox_random_below(&rnd, ox_random_below(&rnd, 5) == 0 ? 3 * turn : turn / 4);
            ox__wheel_set(&w, thing, due[thing]);
        }
        now += ox_random_below(&rnd, ox_random_below(&rnd, 1000) == 0 ? turn : OX__WHEEL_TICK_NS);
        for (uint32_t t; (t = ox__wheel_take(&w, now)) != OX__WHEEL_NONE;) {
            cr_assert_neq(due[t], 0, "%u was cleared, or taken before", t);
            if (due[t] <= now) {
                due[t] = 0;
                taken++;
            } else {
                ox__wheel_set(&w, t, due[t]);
                asked++;
            }
        }
        for (uint32_t t = 0; step % 100 == 0 && t < THINGS; t++)
            cr_assert(due[t] == 0 || due[t] + OX__WHEEL_TICK_NS > now, "%u is late", t);
        cr_assert(w.n == 0 || ox__wheel_next_ns(&w) > now);
    }
    cr_assert(taken > 10000 && asked > 100, "%u %u", taken, asked);
    ox__wheel_fini(&w);
}
