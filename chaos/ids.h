/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/ids.h - the account of every record that was ever sent: who, which, and what its client was told.
 *
 * Owns:    one byte per record.
 * Threads: a lane belongs to its sender while load runs, to the main thread while it is paused.
 * Bounds:  2^40 ids a lane; memory.
 *
 * A lane is one signal of one tenant. Its records are numbered 0, 1, 2, ...; the number together with tenant
 * and signal is the key that travels in the record, so a row in the wrong tenant or table gives itself away.
 */
#ifndef CHAOS_IDS_H
#define CHAOS_IDS_H

#include "ox/base.h"

#define CHAOS_TENANTS_MAX 8
#define CHAOS_LANES_MAX   (CHAOS_TENANTS_MAX * OX_SIGNAL__COUNT)

/* What the client knows of a record. */
enum chaos_fate {
    CHAOS_UNKNOWN = 1, /* sent, and no answer came: stored once or not at all */
    CHAOS_ACKED = 2,   /* 200: exactly once */
    CHAOS_REFUSED = 3, /* an answer that says no: at most once */
    CHAOS_LOST = 4,    /* was ACKED and was reported as lost */
    CHAOS_DOUBLED = 5, /* was reported as doubled */
    CHAOS_DAMAGED = 6, /* was ACKED; harm outside the promise hit its only copy: at most once */
    CHAOS_TORN = 7 /* was UNKNOWN, and rubbish was written over its entry: the node may say that it is lost */
};

struct chaos_lane {
    uint32_t tenant;
    enum ox_signal signal;
    uint8_t *fates; /* of n ids */
    uint64_t n, cap;
    uint64_t round_first; /* first id of the present round */
};

struct chaos_ids {
    uint32_t tenants;
    uint32_t n_lanes;
    struct chaos_lane lanes[CHAOS_LANES_MAX];
};

void chaos_ids_init(struct chaos_ids *ids, uint32_t tenants);
void chaos_ids_fini(struct chaos_ids *ids);
/* The lane of a tenant's signal. */
struct chaos_lane *chaos_ids_lane(struct chaos_ids *ids, uint32_t tenant, enum ox_signal signal);
/* The next n ids, fate UNKNOWN; returns the first. Ends the process without memory. */
uint64_t chaos_lane_take(struct chaos_lane *lane, uint32_t n);
void chaos_lane_set(struct chaos_lane *lane, uint64_t first, uint32_t n, enum chaos_fate fate);
/* What travels in a record. Below 2^52, so that a double holds it, and never 0. */
uint64_t chaos_key(const struct chaos_lane *lane, uint64_t id);
/* The lane and id of a key; NULL when it is none of ours. */
struct chaos_lane *chaos_ids_find(struct chaos_ids *ids, uint64_t key, uint64_t *id);
/* How many ids of the lane from `from` on have this fate. */
uint64_t chaos_lane_count(const struct chaos_lane *lane, uint64_t from, enum chaos_fate fate);
/* How many of them have no answer, torn ones included. */
uint64_t chaos_lane_unanswered(const struct chaos_lane *lane, uint64_t from);

/* To and from a file, for a run that goes on later. Replaces the file atomically. False with errno. */
OX_MUST_USE bool chaos_ids_save(const struct chaos_ids *ids, const char *path);
OX_MUST_USE bool chaos_ids_load(struct chaos_ids *ids, const char *path);

#endif
