/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/share.c - a queue that serves tenants in turns, see share.h.
 *
 * Owns:    flows and the heap that orders them.
 * Threads: one at a time.
 * Bounds:  flows that say nothing (empty, not in debt) are swept out when their number has doubled.
 * Fails:   NOMEM at init; later the tenant without a flow shares that of nobody.
 */
#include "ox/share.h"

#include <stdlib.h>

#include "ox/actor.h"

#define HEAP_MIN    16u
#define BUCKETS_MIN 16u /* a power of two */
#define SWEEP_MIN   64u
#define OUT         UINT32_MAX
/* Virtual time is cost * UNIT / weight: exact enough for every weight. */
#define UNIT 16u
/* How far ahead nobody or the tenants may be, in cost (ns): two slices. What lies further back is forgotten, so that
 * an idle hour is no credit. */
#define BALANCE_MAX 4000000
/* Of a flow against the one served last, in cost (ns): past it a tenant has been patient enough, whatever was done for
 * him elsewhere. */
#define DEBT_MAX 100000000ull

static void **
link_of(const struct ox_share *share, void *item)
{
    return (void **)((char *)item + share->link);
}

ox_err
ox_share_init(struct ox_share *share, size_t link)
{
    memset(share, 0, sizeof(*share));
    share->link = link;
    share->sweep_at = SWEEP_MIN;
    share->nobody.at = OUT;
    share->heap = calloc(HEAP_MIN, sizeof(*share->heap));
    share->buckets = calloc(BUCKETS_MIN, sizeof(*share->buckets));
    share->heap_cap = HEAP_MIN;
    share->buckets_n = BUCKETS_MIN;
    if (share->heap != NULL && share->buckets != NULL)
        return OX_OK;
    ox_share_fini(share);
    return OX_E_NOMEM;
}

void
ox_share_fini(struct ox_share *share)
{
    OX_ASSERT(share->n == 0);
    for (uint32_t i = 0; share->buckets != NULL && i < share->buckets_n; i++) {
        while (share->buckets[i] != NULL) {
            struct ox_flow *flow = share->buckets[i];
            share->buckets[i] = flow->next;
            free(flow);
        }
    }
    free(share->heap);
    free(share->buckets);
    share->heap = NULL;
    share->buckets = NULL;
    share->buckets_n = share->flows_n = 0;
}

/* ---- the heap ---- */

static bool
before(const struct ox_flow *a, const struct ox_flow *b)
{
    return a->used != b->used ? a->used < b->used : a->order < b->order;
}

static void
put(struct ox_share *share, uint32_t at, struct ox_flow *flow)
{
    share->heap[at] = flow;
    flow->at = at;
}

static void
rise(struct ox_share *share, struct ox_flow *flow)
{
    uint32_t at = flow->at;
    while (at > 0 && before(flow, share->heap[(at - 1) / 2])) {
        put(share, at, share->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(share, at, flow);
}

static void
sink(struct ox_share *share, struct ox_flow *flow)
{
    uint32_t at = flow->at;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= share->heap_n)
            break;
        if (child + 1 < share->heap_n && before(share->heap[child + 1], share->heap[child]))
            child++;
        if (!before(share->heap[child], flow))
            break;
        put(share, at, share->heap[child]);
        at = child;
    }
    put(share, at, flow);
}

static void
heap_add(struct ox_share *share, struct ox_flow *flow)
{
    flow->at = share->heap_n++;
    rise(share, flow);
}

static void
heap_remove(struct ox_share *share, struct ox_flow *flow)
{
    struct ox_flow *last = share->heap[--share->heap_n];
    if (last != flow) {
        last->at = flow->at;
        rise(share, last);
        sink(share, last);
    }
    flow->at = OUT;
}

/* ---- flows ---- */

static struct ox_flow **
bucket(const struct ox_share *share, uint32_t tenant)
{
    return &share->buckets[tenant & (share->buckets_n - 1)]; /* indices are dense: no need to mix them */
}

static struct ox_flow *
find(const struct ox_share *share, uint32_t tenant)
{
    struct ox_flow *flow = *bucket(share, tenant);
    while (flow != NULL && flow->tenant != tenant)
        flow = flow->next;
    return flow;
}

const struct ox_flow *
ox_share_flow(const struct ox_share *share, uint32_t tenant)
{
    return tenant == 0 ? &share->nobody : find(share, tenant);
}

/* Flows that are empty and owe nothing are as good as new ones. */
static void
sweep(struct ox_share *share)
{
    for (uint32_t i = 0; i < share->buckets_n; i++) {
        struct ox_flow **at = &share->buckets[i];
        while (*at != NULL) {
            struct ox_flow *flow = *at;
            if (flow->n > 0 || flow->used > share->clock) {
                at = &flow->next;
                continue;
            }
            *at = flow->next;
            free(flow);
            share->flows_n--;
        }
    }
    share->sweep_at = share->flows_n * 2 > SWEEP_MIN ? share->flows_n * 2 : SWEEP_MIN;
}

static bool
grow_heap(struct ox_share *share)
{
    if (share->flows_n < share->heap_cap)
        return true;
    struct ox_flow **heap = realloc(share->heap, (size_t)share->heap_cap * 2 * sizeof(struct ox_flow *));
    if (heap == NULL)
        return false;
    share->heap = heap;
    share->heap_cap *= 2;
    return true;
}

/* More buckets are only faster: without memory it stays as it is. */
static void
grow_buckets(struct ox_share *share)
{
    uint32_t n = share->buckets_n * 2;
    struct ox_flow **buckets = share->flows_n < share->buckets_n ? NULL : calloc(n, sizeof(*buckets));
    if (buckets == NULL)
        return;
    for (uint32_t i = 0; i < share->buckets_n; i++) {
        while (share->buckets[i] != NULL) {
            struct ox_flow *flow = share->buckets[i];
            share->buckets[i] = flow->next;
            flow->next = buckets[flow->tenant & (n - 1)];
            buckets[flow->tenant & (n - 1)] = flow;
        }
    }
    free(share->buckets);
    share->buckets = buckets;
    share->buckets_n = n;
}

/* The tenant's flow, made when it is new; that of nobody when there is no memory. */
static struct ox_flow *
flow_of(struct ox_share *share, uint32_t tenant)
{
    struct ox_flow *flow = tenant == 0 ? &share->nobody : find(share, tenant);
    if (OX_LIKELY(flow != NULL))
        return flow;
    if (share->flows_n >= share->sweep_at)
        sweep(share);
    if (!grow_heap(share)) /* a place for each flow, so that pushing cannot fail */
        return &share->nobody;
    grow_buckets(share);
    flow = calloc(1, sizeof(*flow));
    if (flow == NULL)
        return &share->nobody;
    flow->tenant = tenant;
    flow->at = OUT;
    flow->next = *bucket(share, tenant);
    *bucket(share, tenant) = flow;
    share->flows_n++;
    return flow;
}

/* ---- items ---- */

void
ox_share_push(struct ox_share *share, uint32_t tenant, void *item, uint64_t bytes)
{
    struct ox_flow *flow = flow_of(share, tenant);
    *link_of(share, item) = NULL;
    if (flow->tail != NULL)
        *link_of(share, flow->tail) = item;
    else
        flow->head = item;
    flow->tail = item;
    flow->n++;
    flow->bytes += bytes;
    share->n++;
    share->bytes += bytes;
    if (flow == &share->nobody || flow->at != OUT)
        return;
    if (flow->used < share->clock)
        flow->used = share->clock;
    flow->order = ++share->order;
    heap_add(share, flow);
}

static void
taken(struct ox_share *share, struct ox_flow *flow, uint64_t bytes)
{
    flow->n--;
    flow->bytes -= bytes;
    share->n--;
    share->bytes -= bytes;
    if (flow->n == 0 && flow->at != OUT)
        heap_remove(share, flow);
}

static struct ox_flow *
next_flow(const struct ox_share *share)
{
    bool nobody = share->nobody.n > 0;
    if (share->heap_n == 0)
        return nobody ? (struct ox_flow *)&share->nobody : NULL;
    return nobody && share->balance <= 0 ? (struct ox_flow *)&share->nobody : share->heap[0];
}

void *
ox_share_pop(struct ox_share *share, uint32_t *tenant, uint64_t (*bytes_of)(const void *item))
{
    struct ox_flow *flow = next_flow(share);
    if (flow == NULL)
        return NULL;
    void *item = flow->head;
    flow->head = *link_of(share, item);
    if (flow->head == NULL)
        flow->tail = NULL;
    *link_of(share, item) = NULL;
    *tenant = flow->tenant;
    if (flow != &share->nobody && flow->used > share->clock)
        share->clock = flow->used;
    taken(share, flow, bytes_of != NULL ? bytes_of(item) : 0);
    return item;
}

void *
ox_share_pick(struct ox_share *share, uint32_t nth, uint32_t *tenant)
{
    struct ox_flow *flow = &share->nobody;
    if (nth >= share->n)
        return NULL;
    for (uint32_t i = 0; nth >= flow->n; i++) {
        nth -= flow->n;
        flow = share->heap[i];
    }
    void *last = NULL, *item = flow->head;
    for (; nth > 0; nth--) {
        last = item;
        item = *link_of(share, item);
    }
    if (last != NULL)
        *link_of(share, last) = *link_of(share, item);
    else
        flow->head = *link_of(share, item);
    if (flow->tail == item)
        flow->tail = last;
    *link_of(share, item) = NULL;
    *tenant = flow->tenant;
    taken(share, flow, 0);
    return item;
}

void
ox_share_charge(struct ox_share *share, uint32_t tenant, uint64_t cost)
{
    struct ox_flow *flow = tenant == 0 || cost == 0 ? &share->nobody : flow_of(share, tenant);
    if (flow == &share->nobody)
        return;
    if (flow->used < share->clock)
        flow->used = share->clock;
    flow->used += cost * UNIT / ox_tenant_weight(tenant);
    if (flow->used > share->clock + DEBT_MAX * UNIT)
        flow->used = share->clock + DEBT_MAX * UNIT;
    flow->order = ++share->order;
    if (flow->at != OUT)
        sink(share, flow);
    if (share->n == 0 && flow->used > share->clock) /* nobody waited for it: nothing is owed */
        share->clock = flow->used;
}

void
ox_share_spent(struct ox_share *share, bool nobody, uint64_t cost)
{
    int64_t step = cost < BALANCE_MAX ? (int64_t)cost : BALANCE_MAX;
    int64_t balance = share->balance + (nobody ? step : -step);
    share->balance = balance > BALANCE_MAX ? BALANCE_MAX : balance < -BALANCE_MAX ? -BALANCE_MAX : balance;
}
