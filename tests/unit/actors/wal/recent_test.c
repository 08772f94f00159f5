/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a key is known exactly while it is young and its tenant does not hold most; the bound holds; removal leaves
 *          no hole; one tenant's flood costs another nothing.
 * Method:  edges of window and capacity; floods; a seeded random run against a plain list as the model, with keys
 *          that collide in the index.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "ox/random.h"
#include "ox/recent.h"

static struct ox_recent_key
key(uint64_t n)
{
    return (struct ox_recent_key){.lo = n % 7, .hi = n}; /* seven homes: long runs */
}

static struct ox_recent_key
key_by(uint32_t tenant, uint64_t n)
{
    return (struct ox_recent_key){.lo = n * 31, .hi = (uint64_t)tenant << 32 | n, .tenant = tenant};
}

static uint32_t
known(struct ox_recent *r, uint32_t tenant, uint32_t from, uint32_t to)
{
    uint32_t n = 0;
    for (uint32_t i = from; i < to; i++)
        n += ox_recent_look(r, key_by(tenant, i), 1) == OX_RECENT_DURABLE;
    return n;
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

Test(recent, a_flood_takes_nothing_from_a_quiet_tenant)
{
    struct ox_recent *r = ox_recent_new(100, 1000);
    for (uint32_t i = 0; i < 20; i++)
        ox_recent_put(r, key_by(1, i), OX_RECENT_DURABLE, 0);
    for (uint32_t i = 0; i < 100000; i++)
        ox_recent_put(r, key_by(2, i), OX_RECENT_DURABLE, 0);
    cr_assert_eq(known(r, 1, 0, 20), 20);
    cr_assert_eq(known(r, 2, 100000 - 80, 100000), 80, "the rest is the other's");
    cr_assert_eq(known(r, 2, 0, 100000), 80);
    ox_recent_free(r);
}

Test(recent, tenants_that_all_flood_have_equal_parts)
{
    struct ox_recent *r = ox_recent_new(100, 1000);
    for (uint32_t i = 0; i < 1000; i++)
        ox_recent_put(r, key_by(1, i), OX_RECENT_DURABLE, 0);
    for (uint32_t i = 0; i < 1000; i++) {
        for (uint32_t tenant = 2; tenant < 6; tenant++)
            ox_recent_put(r, key_by(tenant, i), OX_RECENT_DURABLE, 0);
    }
    for (uint32_t tenant = 1; tenant < 6; tenant++)
        cr_assert_eq(known(r, tenant, 1000 - 20, 1000), 20, "the newest of tenant %u", tenant);
    ox_recent_free(r);
}

Test(recent, what_outlived_the_window_goes_first)
{
    struct ox_recent *r = ox_recent_new(10, 100);
    for (uint32_t i = 0; i < 4; i++)
        ox_recent_put(r, key_by(1, i), OX_RECENT_DURABLE, 0);
    for (uint32_t i = 0; i < 10; i++) /* four of them in place of the others' */
        ox_recent_put(r, key_by(2, i), OX_RECENT_DURABLE, 100);
    for (uint32_t i = 0; i < 10; i++)
        cr_assert_eq(ox_recent_look(r, key_by(2, i), 101), OX_RECENT_DURABLE, "%u", i);
    ox_recent_free(r);
}

#define CAP     64
#define KEYS    200
#define TENANTS 5
#define STEPS   200000

/* The model: keys in the order of their last put, and whose they are. */
struct model {
    uint64_t keys[CAP];
    int n;
};

static uint32_t
tenant_of(uint64_t k)
{
    return (uint32_t)(k % 16 < 12 ? 0 : k % TENANTS); /* one sends most */
}

static struct ox_recent_key
model_key(uint64_t k)
{
    struct ox_recent_key out = key(k);
    out.tenant = tenant_of(k);
    return out;
}

static int
model_find(const struct model *m, uint64_t k)
{
    for (int i = 0; i < m->n; i++) {
        if (m->keys[i] == k)
            return i;
    }
    return -1;
}

static void
model_remove(struct model *m, int at)
{
    memmove(&m->keys[at], &m->keys[at + 1], sizeof(m->keys[0]) * (size_t)(m->n - at - 1));
    m->n--;
}

static int
model_holds(const struct model *m, uint32_t tenant)
{
    int n = 0;
    for (int i = 0; i < m->n; i++)
        n += tenant_of(m->keys[i]) == tenant;
    return n;
}

/* Which key went, is the test's to find out: the oldest of one who held most. */
static void
check_evicted(struct model *m, struct ox_recent *r)
{
    int most = 0, gone = -1;
    for (uint32_t t = 0; t < TENANTS; t++)
        most = model_holds(m, t) > most ? model_holds(m, t) : most;
    for (int i = 0; i < m->n; i++) {
        if (ox_recent_look(r, model_key(m->keys[i]), 1) == OX_RECENT_DURABLE)
            continue;
        cr_assert_eq(gone, -1, "one goes, not two");
        gone = i;
    }
    cr_assert_neq(gone, -1, "one must go");
    uint32_t whose = tenant_of(m->keys[gone]);
    cr_assert_eq(model_holds(m, whose), most, "of one who holds most");
    for (int i = 0; i < gone; i++)
        cr_assert_neq(tenant_of(m->keys[i]), whose, "the oldest");
    model_remove(m, gone);
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
        cr_assert_eq(ox_recent_look(r, model_key(k), 1) == OX_RECENT_DURABLE, at >= 0, "step %d key %llu",
                     step, (unsigned long long)k);
        if (at >= 0)
            model_remove(&m, at);
        if (ox_random_below(&rnd, 4) == 0) {
            ox_recent_drop(r, model_key(k));
            continue;
        }
        ox_recent_put(r, model_key(k), OX_RECENT_DURABLE, 0);
        if (m.n == CAP)
            check_evicted(&m, r);
        m.keys[m.n++] = k;
    }
    ox_recent_free(r);
}
