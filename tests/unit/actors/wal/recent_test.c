/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a key is known exactly while it is young and among the newest; the bound holds; removal leaves no
 *          hole.
 * Method:  edges of window and capacity; a seeded random run against a plain list as the model, with keys
 *          that collide in the index.
 */
#include <criterion/criterion.h>

#include "ox/random.h"
#include "ox/recent.h"

static struct ox_recent_key
key(uint64_t n)
{
    return (struct ox_recent_key){n % 7, n}; /* seven homes: long runs */
}

Test(recent, window_and_states)
{
    struct ox_recent *r = ox_recent_new(8, 100);
    cr_assert_eq(ox_recent_look(r, key(1), 0), OX_RECENT_UNKNOWN);
    ox_recent_put(r, key(1), OX_RECENT_PENDING, 0);
    cr_assert_eq(ox_recent_look(r, key(1), 1000), OX_RECENT_PENDING, "pending does not age");
    ox_recent_put(r, key(1), OX_RECENT_DURABLE, 1000);
    cr_assert_eq(ox_recent_look(r, key(1), 1099), OX_RECENT_DURABLE);
    cr_assert_eq(ox_recent_look(r, key(1), 1100), OX_RECENT_UNKNOWN);
    ox_recent_drop(r, key(1));
    cr_assert_eq(ox_recent_look(r, key(1), 1001), OX_RECENT_UNKNOWN);
    ox_recent_free(r);
}

Test(recent, window_zero_recognises_nothing)
{
    struct ox_recent *r = ox_recent_new(8, 0);
    ox_recent_put(r, key(1), OX_RECENT_DURABLE, 5);
    cr_assert_eq(ox_recent_look(r, key(1), 5), OX_RECENT_UNKNOWN);
    ox_recent_free(r);
}

Test(recent, tenants_and_signals_differ)
{
    struct ox_tenant_id a = {"a"}, b = {"b"};
    struct ox_recent_key ka = ox_recent_key_of(&a, OX_SIGNAL_LOGS, 1, 2),
                         kb = ox_recent_key_of(&b, OX_SIGNAL_LOGS, 1, 2),
                         kt = ox_recent_key_of(&a, OX_SIGNAL_TRACES, 1, 2);
    cr_assert(ka.lo != kb.lo && ka.hi != kb.hi && ka.lo != kt.lo);
}

#define CAP   64
#define KEYS  200
#define STEPS 200000

/* The model: order of first put among those alive, a dropped key leaves an empty place behind. */
struct model {
    uint64_t place[CAP]; /* key + 1, 0 = empty */
    uint32_t next;
};

static int
model_find(const struct model *m, uint64_t k)
{
    for (int i = 0; i < CAP; i++) {
        if (m->place[i] == k + 1)
            return i;
    }
    return -1;
}

Test(recent, agrees_with_a_list)
{
    struct ox_random rnd;
    struct model m = {0};
    struct ox_recent *r = ox_recent_new(CAP, UINT64_MAX);
    ox_random_seed(&rnd, 42);
    for (int step = 0; step < STEPS; step++) {
        uint64_t k = ox_random_below(&rnd, KEYS);
        int at = model_find(&m, k);
        cr_assert_eq(ox_recent_look(r, key(k), 1) == OX_RECENT_DURABLE, at >= 0, "step %d key %llu", step,
                     (unsigned long long)k);
        if (ox_random_below(&rnd, 4) == 0) {
            ox_recent_drop(r, key(k));
            if (at >= 0)
                m.place[at] = 0;
        } else {
            ox_recent_put(r, key(k), OX_RECENT_DURABLE, 0);
            if (at < 0) {
                m.place[m.next] = k + 1;
                m.next = (m.next + 1) % CAP;
            }
        }
    }
    ox_recent_free(r);
}
