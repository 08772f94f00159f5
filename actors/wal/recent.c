/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/recent.c - a bounded memory of request keys.
 *
 * Owns:    struct ox_recent.
 * Threads: one.
 * Bounds:  capacity entries in a ring; the index is at most half full.
 *
 * The ring gives the order of age, the index (open addressing, linear probing) finds a key in it. Removing from
 * the index shifts later entries of the run back, so there are no tombstones to collect.
 */
#include "ox/recent.h"

#include <stdlib.h>
#include <xxhash.h>

struct entry {
    struct ox_recent_key key;
    uint64_t at_ns;
    uint8_t state; /* UNKNOWN = this place of the ring is empty */
};

struct ox_recent {
    uint64_t window_ns;
    uint32_t cap;
    uint32_t next; /* place of the ring to be written next */
    struct entry *ring;
    uint32_t *index; /* ring place + 1; 0 = empty */
    uint32_t mask;
};

struct ox_recent_key
ox_recent_key_of(const struct ox_tenant_id *tenant, enum ox_signal signal, uint64_t hash_lo, uint64_t hash_hi)
{
    uint64_t who = XXH3_64bits_withSeed(tenant->name, strlen(tenant->name), (XXH64_hash_t)signal + 1);
    return (struct ox_recent_key){hash_lo ^ who, hash_hi + who};
}

struct ox_recent *
ox_recent_new(uint32_t capacity, uint64_t window_ns)
{
    struct ox_recent *r = calloc(1, sizeof(*r));
    uint32_t slots = 16;
    OX_ASSERT(capacity > 0 && capacity <= UINT32_MAX / 4);
    while (slots < capacity * 2)
        slots *= 2;
    if (r == NULL)
        return NULL;
    r->window_ns = window_ns;
    r->cap = capacity;
    r->mask = slots - 1;
    r->ring = calloc(capacity, sizeof(*r->ring));
    r->index = calloc(slots, sizeof(*r->index));
    if (r->ring == NULL || r->index == NULL) {
        ox_recent_free(r);
        return NULL;
    }
    return r;
}

void
ox_recent_window(struct ox_recent *r, uint64_t window_ns)
{
    r->window_ns = window_ns;
}

void
ox_recent_free(struct ox_recent *r)
{
    if (r == NULL)
        return;
    free(r->ring);
    free(r->index);
    free(r);
}

static bool
key_eq(struct ox_recent_key a, struct ox_recent_key b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

/* The index slot of the key, or the empty one where it belongs. */
static uint32_t
find(const struct ox_recent *r, struct ox_recent_key key)
{
    uint32_t slot = (uint32_t)key.lo & r->mask;
    while (r->index[slot] != 0 && !key_eq(r->ring[r->index[slot] - 1].key, key))
        slot = (slot + 1) & r->mask;
    return slot;
}

/* Takes a slot out of the index and closes the gap in its run. */
static void
unindex(struct ox_recent *r, uint32_t slot)
{
    uint32_t gap = slot;
    for (uint32_t i = (slot + 1) & r->mask; r->index[i] != 0; i = (i + 1) & r->mask) {
        uint32_t home = (uint32_t)r->ring[r->index[i] - 1].key.lo & r->mask;
        if (((i - home) & r->mask) < ((i - gap) & r->mask)) /* it would move in front of its home */
            continue;
        r->index[gap] = r->index[i];
        gap = i;
    }
    r->index[gap] = 0;
}

enum ox_recent_state
ox_recent_look(struct ox_recent *r, struct ox_recent_key key, uint64_t now_ns)
{
    uint32_t at = r->index[find(r, key)];
    if (at == 0)
        return OX_RECENT_UNKNOWN;
    const struct entry *e = &r->ring[at - 1];
    if (e->state == OX_RECENT_PENDING)
        return OX_RECENT_PENDING;
    return now_ns - e->at_ns < r->window_ns ? OX_RECENT_DURABLE : OX_RECENT_UNKNOWN;
}

void
ox_recent_put(struct ox_recent *r, struct ox_recent_key key, enum ox_recent_state state, uint64_t now_ns)
{
    uint32_t slot = find(r, key);
    if (r->index[slot] != 0) {
        struct entry *e = &r->ring[r->index[slot] - 1];
        e->state = (uint8_t)state;
        e->at_ns = now_ns;
        return;
    }
    if (r->window_ns == 0) /* what was noted before the window became 0 is still settled above */
        return;
    struct entry *e = &r->ring[r->next];
    if (e->state != OX_RECENT_UNKNOWN) {
        unindex(r, find(r, e->key));
        slot = find(r, key); /* the run may have moved */
    }
    *e = (struct entry){key, now_ns, (uint8_t)state};
    r->index[slot] = r->next + 1;
    r->next = (r->next + 1) % r->cap;
}

void
ox_recent_drop(struct ox_recent *r, struct ox_recent_key key)
{
    uint32_t slot = find(r, key);
    if (r->index[slot] == 0)
        return;
    r->ring[r->index[slot] - 1].state = OX_RECENT_UNKNOWN;
    unindex(r, slot);
}
