/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the last decisions are remembered, exactly and in order of age, within the memory promised, and survive
 *          saving.
 * Method:  random puts and gets beside a plain array that remembers everything.
 */
#include "ox/trace_decisions.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "ox/random.h"
#include "ox/sampling.h"
#include "ox/tracestate.h"

static void
id_of(uint64_t n, uint8_t id[16])
{
    memset(id, 0, 16); /* ids that differ in one byte only must not be taken for one another */
    memcpy(id, &n, sizeof(n));
}

static struct ox_trace_decision
a_decision(struct ox_random *rnd)
{
    uint64_t th = ox_random_u64(rnd) >> 8;
    if (ox_random_below(rnd, 2) == 0)
        th |= ~(uint64_t)0 >> 8 << ox_random_below(rnd, 57) & (OX_THRESHOLD_NEVER - 1);
    if (ox_random_below(rnd, 20) == 0)
        th = ox_random_below(rnd, 2) == 0 ? 0 : OX_THRESHOLD_NEVER - ox_random_below(rnd, 20);
    return (struct ox_trace_decision){.kept = ox_random_below(rnd, 2) == 0,
                                      .winner = (uint8_t)ox_random_below(rnd, OX_WON__COUNT),
                                      .rule = (uint8_t)ox_random_below(rnd, OX_SAMPLING_RULES_MAX),
                                      .threshold = ox_threshold_round(th, OX_THRESHOLD_DIGITS)};
}

static bool
same(const struct ox_trace_decision *a, const struct ox_trace_decision *b)
{
    return a->kept == b->kept && a->winner == b->winner && a->rule == b->rule && a->threshold == b->threshold;
}

Test(trace_decisions, the_last_ones_are_known_exactly)
{
    enum { CAPACITY = 1000, IDS = 3000, STEPS = 200000 };
    static struct ox_trace_decision last[IDS];
    static uint64_t put_at[IDS]; /* 0 = not in; else when it came in */
    struct ox_trace_decisions *d = ox_trace_decisions_new(CAPACITY, 5);
    struct ox_random rnd;
    uint64_t came = 0;
    uint32_t in = 0;
    ox_random_seed(&rnd, 6);
    for (int i = 0; i < STEPS; i++) {
        uint32_t n = (uint32_t)ox_random_below(&rnd, IDS);
        struct ox_trace_decision got;
        uint8_t id[16];
        id_of(n, id);
        bool known = put_at[n] != 0 && put_at[n] + CAPACITY > came;
        cr_assert_eq(ox_trace_decisions_get(d, id, &got), known, "step %d", i);
        cr_assert(!known || same(&got, &last[n]), "step %d", i);
        if (ox_random_below(&rnd, 2) == 0)
            continue;
        last[n] = a_decision(&rnd);
        ox_trace_decisions_put(d, id, &last[n]);
        if (!known) {
            put_at[n] = ++came;
            in += in < CAPACITY;
        }
        cr_assert_eq(ox_trace_decisions_count(d), in);
    }
    ox_trace_decisions_free(d);
}

Test(trace_decisions, eighteen_bytes_each)
{
    struct ox_trace_decisions *d = ox_trace_decisions_new(1u << 20, 5);
    cr_assert_leq(ox_trace_decisions_bytes(d), 18.001 * (1u << 20));
    ox_trace_decisions_free(d);
    d = ox_trace_decisions_new(1, 5);
    uint8_t id[16];
    struct ox_trace_decision x = {.kept = true}, got;
    for (uint64_t i = 0; i < 10; i++) {
        id_of(i, id);
        ox_trace_decisions_put(d, id, &x);
        cr_assert(ox_trace_decisions_get(d, id, &got));
    }
    cr_assert_eq(ox_trace_decisions_count(d), 1);
    ox_trace_decisions_free(d);
}

Test(trace_decisions, saved_and_loaded)
{
    struct ox_trace_decisions *d = ox_trace_decisions_new(100, 5), *again = ox_trace_decisions_new(60, 5);
    struct ox_random rnd;
    struct ox_buf saved = {0};
    struct ox_trace_decision x, y;
    uint8_t id[16];
    ox_random_seed(&rnd, 9);
    for (uint64_t i = 0; i < 250; i++) {
        id_of(i, id);
        x = a_decision(&rnd);
        ox_trace_decisions_put(d, id, &x);
    }
    ox_trace_decisions_save(d, &saved);
    cr_assert_eq(saved.len, 16 + 12 * 100);
    for (size_t i = 0; i < saved.len; i++) {
        saved.data[i] ^= 64;
        cr_assert_eq(ox_trace_decisions_load(again, ox_buf_str(&saved)), OX_E_CORRUPT);
        saved.data[i] ^= 64;
        cr_assert_eq(ox_trace_decisions_load(again, (struct ox_str){(const char *)saved.data, i}),
                     OX_E_CORRUPT);
    }
    cr_assert_eq(ox_trace_decisions_count(again), 0);
    cr_assert_eq(ox_trace_decisions_load(again, ox_buf_str(&saved)), OX_OK);
    for (uint64_t i = 0; i < 250; i++) {
        id_of(i, id);
        bool had = ox_trace_decisions_get(d, id, &x), has = ox_trace_decisions_get(again, id, &y);
        cr_assert_eq(had, i >= 150);
        cr_assert_eq(has, i >= 190, "the newest that fit");
        cr_assert(!has || same(&x, &y));
    }
    struct ox_trace_decisions *other = ox_trace_decisions_new(100, 6);
    cr_assert_eq(ox_trace_decisions_load(other, ox_buf_str(&saved)), OX_E_INVALID);
    ox_trace_decisions_free(other);
    ox_buf_fini(&saved);
    ox_trace_decisions_free(d);
    ox_trace_decisions_free(again);
}
