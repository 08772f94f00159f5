/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/tenant/tenants.c - the directory of tenants and the permits of what is in flight.
 *
 * Owns:    struct ox_tenant entries (an array of pointers and a hash index over it).
 * Threads: any; `lock` guards array and index, counters are atomic.
 * Bounds:  struct ox_tenants_limits.
 * Fails:   OX_E_OVERLOAD, OX_E_QUOTA, OX_E_QUARANTINED, OX_E_MAILBOX_FULL, OX_E_NOMEM.
 */
#include "ox/tenants.h"
#include "ox/lock.h"
#include "ox/outbox_entry.h"
#include "ox/trace_decisions.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <xxhash.h>

struct ox_tenants {
    struct ox_tenants_limits limits;     /* as given to _new */
    _Atomic uint64_t node_records_max;   /* in force; relaxed: a number of its own */
    _Atomic uint64_t tenant_records_max; /* likewise */
    pthread_rwlock_t lock;
    struct ox_tenant **entries; /* tenants_max slots; filled from the front */
    uint32_t n;
    uint32_t *index; /* open addressing, index_cap a power of two; value = entry + 1, 0 = empty */
    uint32_t index_cap;
    _Atomic uint64_t records_in_flight;
    _Atomic uint64_t recent; /* of all tenants */
    _Atomic uint64_t backlog_bytes;
};

static uint32_t
index_capacity(uint32_t tenants_max)
{
    uint32_t cap = 16;
    while (cap < tenants_max * 2) /* at most half full: short probe runs */
        cap *= 2;
    return cap;
}

struct ox_tenants *
ox_tenants_new(const struct ox_tenants_limits *limits)
{
    struct ox_tenants *dir = calloc(1, sizeof(*dir));
    if (dir == NULL)
        return NULL;
    dir->limits = *limits;
    if (dir->limits.clock == NULL)
        dir->limits.clock = ox_clock_real();
    ox_tenants_limit(dir, limits);
    dir->index_cap = index_capacity(limits->tenants_max);
    dir->entries = calloc(limits->tenants_max, sizeof(*dir->entries));
    dir->index = calloc(dir->index_cap, sizeof(*dir->index));
    if (dir->entries == NULL || dir->index == NULL || pthread_rwlock_init(&dir->lock, NULL) != 0) {
        free(dir->entries);
        free(dir->index);
        free(dir);
        return NULL;
    }
    return dir;
}

void
ox_tenants_limit(struct ox_tenants *dir, const struct ox_tenants_limits *limits)
{
    atomic_store_explicit(&dir->node_records_max, limits->node_records_max, memory_order_relaxed);
    atomic_store_explicit(&dir->tenant_records_max, limits->tenant_records_max, memory_order_relaxed);
}

ox_err
ox_tenant_remember(struct ox_tenant *tenant, const struct ox_outbox_decision *decision, uint64_t seed)
{
    struct ox_trace_decision d = {.kept = decision->kept != 0,
                                  .winner = decision->winner,
                                  .rule = decision->rule,
                                  .threshold = decision->threshold};
    if (tenant->decisions == NULL)
        tenant->decisions = ox_trace_decisions_new(OX_TENANT_DECISIONS_MAX, seed);
    if (tenant->decisions == NULL)
        return OX_E_NOMEM;
    ox_trace_decisions_put(tenant->decisions, decision->trace_id, &d);
    return OX_OK;
}

void
ox_tenants_free(struct ox_tenants *dir)
{
    if (dir == NULL)
        return;
    for (uint32_t i = 0; i < dir->n; i++) {
        ox_trace_decisions_free(dir->entries[i]->decisions);
        free(dir->entries[i]);
    }
    pthread_rwlock_destroy(&dir->lock);
    free(dir->entries);
    free(dir->index);
    free(dir);
}

/* The slot of `id`: of its entry, or the empty one where it belongs. The index is never full. */
static uint32_t
find_slot(const struct ox_tenants *dir, const struct ox_tenant_id *id)
{
    uint32_t mask = dir->index_cap - 1;
    uint32_t slot = (uint32_t)XXH3_64bits(id->name, strlen(id->name)) & mask;
    while (dir->index[slot] != 0 && strcmp(dir->entries[dir->index[slot] - 1]->id.name, id->name) != 0)
        slot = (slot + 1) & mask;
    return slot;
}

static ox_err
insert(struct ox_tenants *dir, const struct ox_tenant_id *id, struct ox_tenant **out)
{
    uint32_t slot = find_slot(dir, id);
    if (dir->index[slot] != 0) {
        *out = dir->entries[dir->index[slot] - 1];
        return OX_OK;
    }
    if (dir->n == dir->limits.tenants_max)
        return OX_E_OVERLOAD;
    struct ox_tenant *tenant = calloc(1, sizeof(*tenant));
    if (tenant == NULL)
        return OX_E_NOMEM;
    tenant->id = *id;
    tenant->index = dir->n;
    tenant->bodies.whole = dir->limits.bodies;
    dir->entries[dir->n++] = tenant;
    dir->index[slot] = dir->n;
    *out = tenant;
    return OX_OK;
}

ox_err
ox_tenants_get(struct ox_tenants *dir, const struct ox_tenant_id *id, struct ox_tenant **out)
{
    ox_lock_read(&dir->lock);
    uint32_t found = dir->index[find_slot(dir, id)];
    *out = found != 0 ? dir->entries[found - 1] : NULL;
    ox_unlock_rw(&dir->lock);
    if (*out != NULL)
        return OX_OK;
    ox_lock_write(&dir->lock);
    ox_err err = insert(dir, id, out);
    ox_unlock_rw(&dir->lock);
    return err;
}

struct ox_tenant *
ox_tenants_at(struct ox_tenants *dir, uint32_t index)
{
    ox_lock_read(&dir->lock);
    struct ox_tenant *tenant = index < dir->n ? dir->entries[index] : NULL;
    ox_unlock_rw(&dir->lock);
    return tenant;
}

uint32_t
ox_tenants_count(struct ox_tenants *dir)
{
    ox_lock_read(&dir->lock);
    uint32_t n = dir->n;
    ox_unlock_rw(&dir->lock);
    return n;
}

/* ---- what was admitted of late ---- */

/* One word, so that it changes in one step: the count below, the period in which it was true above. */
#define PERIOD_NS   8000000000ull /* a count is halved as often as this: some seconds of the past matter */
#define COUNT_BITS  40
#define COUNT_MAX   ((1ull << COUNT_BITS) - 1)
#define PERIOD_MASK ((1ull << (64 - COUNT_BITS)) - 1)

static uint64_t
period_now(const struct ox_tenants *dir)
{
    return (ox_clock_monotonic_ns(dir->limits.clock) / PERIOD_NS) & PERIOD_MASK;
}

static uint64_t
count_at(uint64_t word, uint64_t period)
{
    uint64_t passed = (period - (word >> COUNT_BITS)) & PERIOD_MASK;
    return passed < COUNT_BITS ? (word & COUNT_MAX) >> passed : 0;
}

static void
recent_add(_Atomic uint64_t *recent, uint64_t period, uint64_t n)
{
    uint64_t old = atomic_load_explicit(recent, memory_order_relaxed), count;
    do {
        count = count_at(old, period) + n;
        count = count < COUNT_MAX ? count : COUNT_MAX;
    } while (!atomic_compare_exchange_weak_explicit(recent, &old, period << COUNT_BITS | count,
                                                    memory_order_relaxed, memory_order_relaxed));
}

bool
ox_tenants_may_fill(struct ox_tenants *dir, const struct ox_tenant *tenant, uint32_t fill, uint32_t full)
{
    if (fill + OX_FILL_SHARED <= full)
        return true;
    if (fill >= full)
        return false;
    uint64_t period = period_now(dir);
    uint64_t all = count_at(atomic_load_explicit(&dir->recent, memory_order_relaxed), period);
    uint64_t own = count_at(atomic_load_explicit(&tenant->recent, memory_order_relaxed), period);
    if (all <= own + 1) /* alone (halving rounds): nobody is there to keep the rest for */
        return true;
    /* own / all <= 1/2 where sharing begins, falling to 0 at the end */
    return own * 2 * OX_FILL_SHARED <= all * (full - fill);
}

/* ---- permits ---- */

/* The counters order nothing (relaxed): they are bounds, and a race lets one more request in at most. */
ox_err
ox_permit_look(struct ox_tenants *dir, const struct ox_tenant *tenant, struct ox_diag *diag)
{
    const struct ox_tenants_limits *lim = &dir->limits;
    uint64_t node = atomic_load_explicit(&dir->records_in_flight, memory_order_relaxed);
    uint64_t own = atomic_load_explicit(&tenant->records_in_flight, memory_order_relaxed);
    uint32_t requests = atomic_load_explicit(&tenant->requests_in_flight, memory_order_relaxed);
    uint64_t node_max = atomic_load_explicit(&dir->node_records_max, memory_order_relaxed);
    uint64_t own_max = atomic_load_explicit(&dir->tenant_records_max, memory_order_relaxed);
    if (node >= node_max)
        return ox_diag_set(diag, OX_E_OVERLOAD, "gateway.records_in_flight", -1,
                           "%llu records are in flight on this node, the bound is %llu; retry later",
                           (unsigned long long)node, (unsigned long long)node_max);
    if (own >= own_max)
        return ox_diag_set(diag, OX_E_QUOTA, "tenant.records_in_flight", -1,
                           "tenant %s has %llu records in flight, the bound is %llu; retry later",
                           tenant->id.name, (unsigned long long)own, (unsigned long long)own_max);
    if (requests >= lim->tenant_requests_max)
        return ox_diag_set(diag, OX_E_QUOTA, "tenant.requests_in_flight", -1,
                           "tenant %s has %u requests in flight, the bound is %u; retry later",
                           tenant->id.name, requests, lim->tenant_requests_max);
    return OX_OK;
}

ox_err
ox_permit_take(struct ox_tenants *dir, struct ox_tenant *tenant, uint32_t records, bool forced,
               struct ox_permit *out, struct ox_diag *diag)
{
    if (!forced) {
        ox_err err = ox_permit_look(dir, tenant, diag);
        if (err != OX_OK)
            return err;
        uint64_t period = period_now(dir);
        recent_add(&tenant->recent, period,
                   records); /* first: who is alone shall not look for a moment as if not */
        recent_add(&dir->recent, period, records);
    }
    atomic_fetch_add_explicit(&dir->records_in_flight, records, memory_order_relaxed);
    atomic_fetch_add_explicit(&tenant->records_in_flight, records, memory_order_relaxed);
    atomic_fetch_add_explicit(&tenant->requests_in_flight, 1, memory_order_relaxed);
    *out = (struct ox_permit){dir, tenant, records};
    return OX_OK;
}

void
ox_permit_give(struct ox_permit *permit)
{
    if (permit->tenant == NULL)
        return;
    uint64_t node =
        atomic_fetch_sub_explicit(&permit->dir->records_in_flight, permit->records, memory_order_relaxed);
    OX_ASSERT(node >= permit->records);
    atomic_fetch_sub_explicit(&permit->tenant->records_in_flight, permit->records, memory_order_relaxed);
    atomic_fetch_sub_explicit(&permit->tenant->requests_in_flight, 1, memory_order_relaxed);
    *permit = (struct ox_permit){0};
}

/* Why the tenant has a backlog, and since when. */
static ox_err
refuse_backlog(struct ox_tenants *dir, struct ox_tenant *tenant, struct ox_diag *diag)
{
    uint32_t crashes = atomic_load_explicit(&tenant->quarantined, memory_order_relaxed);
    uint64_t since_ns = atomic_load_explicit(&tenant->spilling_since_ns, memory_order_relaxed);
    time_t since = (time_t)(since_ns / 1000000000);
    char when[32] = "a moment ago";
    struct tm tm;
    if (since_ns != 0 && gmtime_r(&since, &tm) != NULL)
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    unsigned long long limit = dir->limits.tenant_backlog_bytes_max;
    if (crashes != 0)
        return ox_diag_set(
            diag, OX_E_QUARANTINED, "tenant.backlog_bytes", -1,
            "tenant %s is quarantined after %u crashes; its data is held back since %s and has "
            "reached the bound of %llu bytes; an operator must end the quarantine",
            tenant->id.name, crashes, when, limit);
    return ox_diag_set(
        diag, OX_E_MAILBOX_FULL, "tenant.backlog_bytes", -1,
        "tenant %s is overloaded: its data is held back since %s and has reached the bound of %llu "
        "bytes; retry later",
        tenant->id.name, when, limit);
}

ox_err
ox_backlog_take(struct ox_tenants *dir, struct ox_tenant *tenant, uint64_t bytes, bool forced,
                struct ox_diag *diag)
{
    uint64_t own = atomic_fetch_add_explicit(&tenant->backlog_bytes, bytes, memory_order_relaxed);
    uint64_t node = atomic_fetch_add_explicit(&dir->backlog_bytes, bytes, memory_order_relaxed);
    bool own_full = own + bytes > dir->limits.tenant_backlog_bytes_max;
    bool node_full = node + bytes > dir->limits.node_backlog_bytes_max;
    if (forced || (!own_full && !node_full))
        return OX_OK;
    ox_backlog_give(dir, tenant, bytes);
    if (own_full)
        return refuse_backlog(dir, tenant, diag);
    return ox_diag_set(diag, OX_E_OVERLOAD, "spill.total_bytes", -1,
                       "the backlogs of all tenants have reached the node's bound of %llu bytes; retry later",
                       (unsigned long long)dir->limits.node_backlog_bytes_max);
}

void
ox_backlog_give(struct ox_tenants *dir, struct ox_tenant *tenant, uint64_t bytes)
{
    if (bytes == 0)
        return;
    uint64_t own = atomic_fetch_sub_explicit(&tenant->backlog_bytes, bytes, memory_order_relaxed);
    uint64_t node = atomic_fetch_sub_explicit(&dir->backlog_bytes, bytes, memory_order_relaxed);
    OX_ASSERT(own >= bytes && node >= bytes);
}

uint64_t
ox_tenants_backlog_bytes(struct ox_tenants *dir)
{
    return atomic_load_explicit(&dir->backlog_bytes, memory_order_relaxed);
}

uint64_t
ox_tenants_in_flight(struct ox_tenants *dir)
{
    return atomic_load_explicit(&dir->records_in_flight, memory_order_relaxed);
}

bool
ox_tenants_has_room(struct ox_tenants *dir)
{
    return ox_tenants_in_flight(dir) < atomic_load_explicit(&dir->node_records_max, memory_order_relaxed) / 2;
}
