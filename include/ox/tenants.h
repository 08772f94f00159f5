/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/tenants.h - the node's directory of tenants and what each has in flight.
 *
 * Owns:    one entry per tenant that sent anything since the start; entries live until the directory is freed,
 *          so a pointer to one may be kept.
 * Threads: any; look-ups take a read lock, counters are atomic.
 * Bounds:  tenants_max entries; per tenant and per node a number of records and requests in flight.
 *
 * In flight is what was admitted and is not yet encoded into a block: from before the log entry is written
 * until the writer has copied the rows. Bytes of request bodies are bounded apart from this, by the account
 * that every body is charged to.
 */
#ifndef OX_TENANTS_H
#define OX_TENANTS_H

#include <stdatomic.h>

#include "ox/base.h"
#include "ox/buf.h"
#include "ox/clock.h"

struct ox_trace_decisions;

struct ox_tenant {
    struct ox_tenant_id id;
    uint32_t index; /* position in the directory: small, dense, stable for the life of the process */
    _Atomic uint64_t records_in_flight;
    _Atomic uint32_t requests_in_flight;
    struct ox_account bodies; /* request bytes in memory: a part of the node's */
    /* bytes in the group that the wal actor is making, and how many it may have before others have theirs; its alone */
    uint64_t grouped, grouped_max;
    _Atomic uint64_t recent; /* admitted records, halved again and again: see ox_tenants_may_fill */
    uint32_t parked;         /* parcels that the tenant's actor could not take yet; the wal actor's alone */
    void *returns;          /* struct ox__case of actors/wal/wal_returned.c, or NULL; the wal actor's alone */
    _Atomic uint64_t actor; /* ox_pid of the tenant's actor, packed by its owner; 0 = none yet */
    /* Crashes of the tenant's actor when it was quarantined, 0 = it is not. Written by the node only, which then sends
     * `quarantine_changed`. Relaxed: a late reader admits or diverts one request more or less. */
    _Atomic uint32_t quarantined;
    /* Records handed to the tenant's actor that it has not taken from its mailbox yet: the wal actor adds, whoever takes
     * the parcel out subtracts. Relaxed: a bound, see actors/wal/wal_actor.c. */
    _Atomic uint64_t records_queued;
    /* Bytes that the tenant's backlog holds, or that were promised to it (ox_backlog_take). Relaxed, as above. */
    _Atomic uint64_t backlog_bytes;
    /* Unix time since which the tenant's entries go to its backlog, 0 = they do not. Written by the wal actor; relaxed:
     * a late reader admits one request more without a reservation. */
    _Atomic uint64_t spilling_since_ns;
    /* What became of its last traces, so that spans that come late go the same way whoever crashes meanwhile; NULL = nothing
     * was decided. Filled before the actors start, then the tenant's actor's alone. */
    struct ox_trace_decisions *decisions;
    struct ox__diverted *diverted; /* actors/spill/divert.c; the wal actor's alone */
};

/* Takes a decision into tenant->decisions. seed: the node's, always the same. NOMEM. */
struct ox_outbox_decision;
OX_MUST_USE ox_err ox_tenant_remember(struct ox_tenant *tenant, const struct ox_outbox_decision *decision,
                                      uint64_t seed);
/* Traces that are remembered per tenant, at some 18 bytes. */
#define OX_TENANT_DECISIONS_MAX 65536u

/* True while the tenant is quarantined. Any thread. */
static inline bool
ox_tenant_quarantined(struct ox_tenant *tenant)
{
    return atomic_load_explicit(&tenant->quarantined, memory_order_relaxed) != 0;
}

/* True while what arrives for the tenant needs room in its backlog. Any thread. */
static inline bool
ox_tenant_spilling(struct ox_tenant *tenant)
{
    return ox_tenant_quarantined(tenant) ||
           atomic_load_explicit(&tenant->spilling_since_ns, memory_order_relaxed) != 0;
}

struct ox_tenants_limits {
    uint32_t tenants_max;
    uint64_t node_records_max;   /* a request that finds room may overshoot by its own size */
    uint64_t tenant_records_max; /* likewise */
    uint32_t tenant_requests_max;
    struct ox_account *bodies;    /* lend, for the life of the directory; NULL = none */
    const struct ox_clock *clock; /* lend; NULL = the real one */
    uint64_t node_backlog_bytes_max;
    uint64_t tenant_backlog_bytes_max;
};

struct ox_tenants;

/* An empty directory, or NULL. */
struct ox_tenants *ox_tenants_new(const struct ox_tenants_limits *limits);
void ox_tenants_free(struct ox_tenants *dir);
/* Other bounds of what may be in flight, from now on; what was admitted stays. tenants_max and
 * tenant_requests_max stay as they were. limits: lend. Any thread. */
void ox_tenants_limit(struct ox_tenants *dir, const struct ox_tenants_limits *limits);

/* The entry of `id`, created when new. OVERLOAD when the directory is full. */
OX_MUST_USE ox_err ox_tenants_get(struct ox_tenants *dir, const struct ox_tenant_id *id,
                                  struct ox_tenant **out);
/* Entry by index, or NULL. */
struct ox_tenant *ox_tenants_at(struct ox_tenants *dir, uint32_t index);
uint32_t ox_tenants_count(struct ox_tenants *dir);

/*
 * What one admitted request holds. Taken before anything is promised, given back exactly once.
 * A zeroed permit holds nothing; giving it back is allowed.
 */
struct ox_permit {
    struct ox_tenants *dir;
    struct ox_tenant *tenant;
    uint32_t records;
};

/*
 * Admits `records` records of one request, or refuses with OVERLOAD (node) or QUOTA (this tenant) and a
 * sentence that names the bound. `forced` admits in any case (replay of what was acknowledged before).
 */
OX_MUST_USE ox_err ox_permit_take(struct ox_tenants *dir, struct ox_tenant *tenant, uint32_t records,
                                  bool forced, struct ox_permit *out, struct ox_diag *diag);
/* What ox_permit_take would say now, for a record or two; takes nothing. */
OX_MUST_USE ox_err ox_permit_look(struct ox_tenants *dir, const struct ox_tenant *tenant,
                                  struct ox_diag *diag);
/*
 * Whether a tenant may send more while a journal is filled to `fill` permille and takes nothing past `full`. The last
 * OX_FILL_SHARED permille before that are for those who send little: the fuller, the smaller the part of what all
 * tenants sent of late that one may have. Sent of late is what was admitted, half of it forgotten every few seconds.
 * When nobody else sent anything of late, all of it is for the one.
 */
#define OX_FILL_SHARED 150
bool ox_tenants_may_fill(struct ox_tenants *dir, const struct ox_tenant *tenant, uint32_t fill,
                         uint32_t full);
/* Gives it back and zeroes it. */
void ox_permit_give(struct ox_permit *permit);
/*
 * Reserves bytes in the tenant's backlog, or refuses: with QUARANTINED or MAILBOX_FULL (this tenant's bound) or OVERLOAD
 * (the node's), and a sentence that says why the tenant has a backlog at all. `forced` takes in any case (what was
 * acknowledged before). Given back when the entry is in the log again, or did not need the room. Any thread.
 */
OX_MUST_USE ox_err ox_backlog_take(struct ox_tenants *dir, struct ox_tenant *tenant, uint64_t bytes,
                                   bool forced, struct ox_diag *diag);
void ox_backlog_give(struct ox_tenants *dir, struct ox_tenant *tenant, uint64_t bytes);
/* Bytes of all backlogs, reservations counted. */
uint64_t ox_tenants_backlog_bytes(struct ox_tenants *dir);

/* Records in flight on this node. */
uint64_t ox_tenants_in_flight(struct ox_tenants *dir);
/* True while nothing or little is in flight: replay feeds more only then. */
bool ox_tenants_has_room(struct ox_tenants *dir);

#endif
