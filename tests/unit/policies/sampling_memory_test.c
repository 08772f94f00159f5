/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    what is rare, slow or short of its minimum is found, and only that; memory stays within its bound however
 *          many names there are; what was learned can be saved.
 * Method:  traces of one or two operations on a clock that the test moves.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "ox/baseline.h"
#include "ox/random.h"
#include "ox/sampling.h"

#define HOUR 3600000000000ull
#define MS   1000000ull

static const struct ox_sampling_needs needs = {.window_ns = HOUR};
static struct ox_sampling_memory *m;
static struct ox_sampling_facts facts;

static struct ox_sampling_seen
one(struct ox_sampling_entry *e, uint64_t service, uint64_t operation, uint64_t duration_ns)
{
    *e = (struct ox_sampling_entry){service, operation, duration_ns};
    return (struct ox_sampling_seen){.entries = e, .n_entries = 1};
}

static void
learn(uint64_t operation, uint64_t duration_ns, uint64_t now_ns, bool kept)
{
    struct ox_sampling_entry e;
    struct ox_sampling_seen seen = one(&e, operation / 100, operation, duration_ns);
    ox_sampling_memory_learn(m, &needs, &seen, now_ns, kept);
}

static void
look(uint64_t operation, uint64_t duration_ns, uint64_t now_ns)
{
    struct ox_sampling_entry e;
    struct ox_sampling_seen seen = one(&e, operation / 100, operation, duration_ns);
    ox_sampling_memory_look(m, &needs, &seen, now_ns, &facts);
}

static void
begin(uint32_t max)
{
    m = ox_sampling_memory_new(max, 5);
    cr_assert_not_null(m);
}

Test(sampling_memory, counts_traces_of_late)
{
    begin(100);
    look(7, MS, 10 * HOUR);
    cr_assert(facts.ops_seen == 0 && facts.ops_kept == 0 && facts.slow == 1 && facts.z == 0);
    for (int i = 0; i < 10; i++)
        learn(7, MS, 10 * HOUR, i < 3);
    look(7, MS, 10 * HOUR + HOUR / 2);
    cr_assert(facts.ops_seen == 10 && facts.ops_kept == 3 && facts.services_kept == 3);
    look(7, MS, 11 * HOUR);
    cr_assert(facts.ops_seen == 10 && facts.ops_kept == 0, "a new window, and all of the one before");
    look(7, MS, 11 * HOUR + HOUR / 4);
    cr_assert_float_eq(facts.ops_seen, 7.5, 1e-9);
    learn(7, MS, 11 * HOUR + HOUR / 4, true);
    look(7, MS, 11 * HOUR + HOUR / 2);
    cr_assert_float_eq(facts.ops_seen, 6, 1e-9);
    cr_assert_eq(facts.ops_kept, 1);
    look(7, MS, 13 * HOUR);
    cr_assert_eq(facts.ops_seen, 0);
    look(7, MS, 9 * HOUR);
    cr_assert_geq(facts.ops_seen, 1, "a clock that jumps back forgets nothing");
    ox_sampling_memory_free(m);
}

Test(sampling_memory, counts_a_trace_once_and_takes_the_least_of_what_is_in_it)
{
    begin(100);
    struct ox_sampling_entry e[3] = {{1, 10, MS}, {1, 10, MS}, {2, 20, MS}};
    uint64_t edges[2] = {5, 6};
    struct ox_sampling_seen seen = {e, 3, edges, 2};
    ox_sampling_memory_learn(m, &needs, &seen, HOUR, true);
    learn(10, MS, HOUR, false);
    ox_sampling_memory_look(m, &needs, &seen, HOUR, &facts);
    cr_assert(facts.ops_seen == 1 && facts.ops_kept == 1 && facts.edges_seen == 1 &&
              facts.services_kept == 1);
    look(10, MS, HOUR);
    cr_assert_eq(facts.ops_seen, 2, "%g", facts.ops_seen);
    ox_sampling_memory_free(m);
}

Test(sampling_memory, slow_is_a_share_of_calls)
{
    struct ox_random rnd;
    enum { CALLS = 10000 };
    unsigned slow = 0, all = 0;
    begin(100);
    ox_random_seed(&rnd, 17);
    for (int i = 0; i < 2 * CALLS; i++) { /* log-normal, as latencies are */
        double g = 0;
        for (int k = 0; k < 12; k++)
            g += ox_random_double(&rnd);
        uint64_t d = (uint64_t)(10e6 * exp(0.5 * (g - 6)));
        look(1, d, HOUR);
        if (i >= CALLS) {
            all++;
            slow += facts.slow < 0.01;
        }
        learn(1, d, HOUR, false);
    }
    cr_assert(slow >= all / 100 && slow <= all / 50, "%u of %u beyond p99: it, and its bucket", slow, all);
    look(1, 10000 * MS, HOUR);
    cr_assert_lt(facts.slow, 0.001);
    look(1, 1, HOUR);
    cr_assert_gt(facts.slow, 0.15);
    look(1, 0, HOUR);
    cr_assert_gt(facts.slow, 0.15);
    ox_sampling_memory_free(m);
}

Test(sampling_memory, few_calls_cannot_tell_a_percentile)
{
    begin(100);
    for (int i = 0; i < 98; i++)
        learn(1, 10 * MS, HOUR, false);
    look(1, 1000 * MS, HOUR);
    cr_assert_geq(facts.slow, 0.01);
    learn(1, 10 * MS, HOUR, false);
    learn(1, 10 * MS, HOUR, false);
    look(1, 1000 * MS, HOUR);
    cr_assert_lt(facts.slow, 0.01);
    ox_sampling_memory_free(m);
}

Test(sampling_memory, calls_that_all_take_equally_long_are_not_slow)
{
    begin(100);
    for (int i = 0; i < 100000; i++)
        learn(1, 10 * MS, HOUR, false);
    look(1, 10 * MS, HOUR);
    cr_assert_eq(facts.slow, 0.2);
    look(1, 11 * MS, HOUR);
    cr_assert_lt(facts.slow, 0.001);
    for (int i = 0; i < 300; i++)
        learn(1, UINT64_MAX, HOUR, false); /* the buckets move up */
    look(1, UINT64_MAX, HOUR);
    cr_assert(facts.slow < 0.05 && facts.slow > 0.001, "%g", facts.slow);
    look(1, 10 * MS, HOUR);
    cr_assert_gt(facts.slow, 0.1);
    ox_sampling_memory_free(m);
}

Test(sampling_memory, the_baseline_is_the_services)
{
    struct ox_baseline want = {0};
    struct ox_random rnd;
    begin(100);
    ox_random_seed(&rnd, 2);
    for (int i = 0; i < 500; i++) {
        uint64_t d = 10 * MS + ox_random_below(&rnd, MS);
        look(101, d, HOUR);
        cr_assert_float_eq(facts.z, fmax(0, ox_baseline_z(&want, (double)d)), 1e-9, "before it is learned");
        ox_baseline_add(&want, (double)d);
        learn(i % 2 != 0 ? 101 : 102, d, HOUR, false);
    }
    ox_sampling_memory_free(m);
}

Test(sampling_memory, names_without_end_are_not_rare_and_take_no_memory)
{
    begin(64);
    for (uint64_t op = 1000; op < 1064; op++)
        learn(op, MS, HOUR, false);
    size_t full = ox_sampling_memory_bytes(m);
    look(1063, MS, HOUR);
    cr_assert_eq(facts.ops_seen, 1);
    for (uint64_t op = 5000; op < 50000; op++) {
        look(op, MS, HOUR);
        cr_assert_gt(facts.ops_seen, 1e9, "%llu is unknown, not rare", (unsigned long long)op);
        cr_assert_eq(facts.ops_kept, UINT32_MAX);
        learn(op, MS, HOUR, false);
    }
    cr_assert_eq(ox_sampling_memory_bytes(m), full);
    look(1063, MS, HOUR);
    cr_assert_eq(facts.ops_seen, 1, "what was known stays known");
    /* two windows later there is room again */
    learn(1000, MS, 2 * HOUR, false);
    learn(777777, MS, 3 * HOUR, false);
    look(777777, MS, 3 * HOUR);
    cr_assert_eq(facts.ops_seen, 1);
    look(1000, MS, 3 * HOUR);
    cr_assert_eq(facts.ops_seen, 1, "seen in the window before, it was not let go");
    ox_sampling_memory_free(m);
}

Test(sampling_memory, saved_baselines_start_another)
{
    struct ox_buf saved = {0};
    struct ox_random rnd;
    begin(100);
    ox_random_seed(&rnd, 4);
    for (int i = 0; i < 1000; i++)
        learn(100 + 100 * (uint64_t)(i % 3), 10 * MS + ox_random_below(&rnd, MS), HOUR, false);
    look(100, 20 * MS, HOUR);
    double z = facts.z;
    cr_assert_gt(z, 5);
    ox_sampling_memory_save(m, &saved);
    ox_sampling_memory_free(m);
    begin(100);
    look(100, 20 * MS, HOUR);
    cr_assert_eq(facts.z, 0);
    for (size_t i = 0; i < saved.len; i++) {
        saved.data[i] ^= 1;
        cr_assert_eq(ox_sampling_memory_load(m, ox_buf_str(&saved)), OX_E_CORRUPT, "%zu", i);
        saved.data[i] ^= 1;
        cr_assert_eq(ox_sampling_memory_load(m, (struct ox_str){(const char *)saved.data, i}), OX_E_CORRUPT);
    }
    cr_assert_eq(ox_sampling_memory_load(m, ox_buf_str(&saved)), OX_OK);
    look(100, 20 * MS, HOUR);
    cr_assert_float_eq(facts.z, z, 1e-9);
    ox_buf_fini(&saved);
    ox_sampling_memory_free(m);
}
