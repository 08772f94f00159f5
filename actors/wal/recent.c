/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/recent.c - a bounded memory of request keys, of which each tenant has a fair part.
 *
 * Owns:    struct ox_recent.
 * Threads: one.
 * Bounds:  capacity entries of all tenants; the index is at most half full.
 * Fails:   without memory for a new tenant's account its keys are held by tenant 0, which all such share.
 *
 * Three orders over one pool of entries: the index (open addressing, linear probing) finds a key; `age` runs through all
 * entries, oldest first; each holder (a tenant) has a list of its own. When the pool is full, what has outlived the window
 * goes first, then the oldest entry of whoever holds most. So nobody loses a key to another tenant who holds more than he,
 * and n tenants remember capacity / n requests each, whatever one of them sends.
 *
 * Who holds most is known at any time: holders stand in lists by their number of entries, which changes by one, so the
 * longest list moves by one, too. Removing from the index shifts later entries of the run back: no tombstones to collect.
 */
#include "ox/recent.h"

#include <stdlib.h>
#include <xxhash.h>

#include "ox/actor.h"

#define NONE UINT32_MAX

struct link {
    uint32_t prev, next;
};

struct list {
    uint32_t head, tail;
};

struct entry {
    struct ox_recent_key key;
    uint32_t holder; /* key.tenant, or 0 */
    uint8_t state;
    uint64_t at_ns;
    struct link age; /* of the free ones: next only */
    struct link own;
};

struct holder {
    struct list own; /* oldest first */
    uint32_t n;
    struct link peers; /* who hold as many */
};

struct ox_recent {
    uint64_t window_ns;
    uint32_t cap;
    struct entry *pool;
    uint32_t free;
    struct list age;
    uint32_t *index; /* place in the pool + 1; 0 = empty */
    uint32_t mask;
    struct holder *holders; /* by tenant; those that hold nothing are zeros */
    uint32_t n_holders;
    uint32_t *by_n; /* first of the holders of n entries */
    uint32_t most;  /* the largest n that somebody holds */
};

struct ox_recent_key
ox_recent_key_of(const struct ox_tenant_id *tenant, enum ox_signal signal, uint64_t hash_lo, uint64_t hash_hi)
{
    uint64_t who = XXH3_64bits_withSeed(tenant->name, strlen(tenant->name), (XXH64_hash_t)signal + 1);
    return (struct ox_recent_key){hash_lo ^ who, hash_hi + who, ox_tenant_index(tenant)};
}

static bool
alloc(struct ox_recent *r, uint32_t slots)
{
    r->pool = calloc(r->cap, sizeof(*r->pool));
    r->index = calloc(slots, sizeof(*r->index));
    r->holders = calloc(1, sizeof(*r->holders));
    r->by_n = malloc(((size_t)r->cap + 1) * sizeof(*r->by_n));
    return r->pool != NULL && r->index != NULL && r->holders != NULL && r->by_n != NULL;
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
    if (!alloc(r, slots)) {
        ox_recent_free(r);
        return NULL;
    }
    r->n_holders = 1;
    r->age = (struct list){NONE, NONE};
    for (uint32_t i = 0; i <= capacity; i++)
        r->by_n[i] = NONE;
    for (uint32_t i = 0; i < capacity; i++)
        r->pool[i].age.next = i + 1 < capacity ? i + 1 : NONE;
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
    free(r->pool);
    free(r->index);
    free(r->holders);
    free(r->by_n);
    free(r);
}

/* ---- the index ---- */

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
    while (r->index[slot] != 0 && !key_eq(r->pool[r->index[slot] - 1].key, key))
        slot = (slot + 1) & r->mask;
    return slot;
}

/* Takes a slot out of the index and closes the gap in its run. */
static void
unindex(struct ox_recent *r, uint32_t slot)
{
    uint32_t gap = slot;
    for (uint32_t i = (slot + 1) & r->mask; r->index[i] != 0; i = (i + 1) & r->mask) {
        uint32_t home = (uint32_t)r->pool[r->index[i] - 1].key.lo & r->mask;
        if (((i - home) & r->mask) < ((i - gap) & r->mask)) /* it would move in front of its home */
            continue;
        r->index[gap] = r->index[i];
        gap = i;
    }
    r->index[gap] = 0;
}

/* ---- who holds how many ---- */

/* The holder stands among those with as many entries as it has, no longer or from now on. */
static void
leave_peers(struct ox_recent *r, uint32_t h)
{
    struct holder *me = &r->holders[h];
    if (me->n == 0)
        return;
    if (me->peers.prev != NONE)
        r->holders[me->peers.prev].peers.next = me->peers.next;
    else
        r->by_n[me->n] = me->peers.next;
    if (me->peers.next != NONE)
        r->holders[me->peers.next].peers.prev = me->peers.prev;
}

static void
join_peers(struct ox_recent *r, uint32_t h)
{
    struct holder *me = &r->holders[h];
    if (me->n == 0)
        return;
    me->peers = (struct link){NONE, r->by_n[me->n]};
    if (me->peers.next != NONE)
        r->holders[me->peers.next].peers.prev = h;
    r->by_n[me->n] = h;
}

static void
count(struct ox_recent *r, uint32_t h, int by)
{
    struct holder *me = &r->holders[h];
    leave_peers(r, h);
    me->n = by > 0 ? me->n + 1 : me->n - 1;
    join_peers(r, h);
    if (me->n > r->most)
        r->most = me->n;
    else if (r->most > 0 && r->by_n[r->most] == NONE)
        r->most--;
}

/* The account of the key's tenant. */
static uint32_t
holder_of(struct ox_recent *r, uint32_t tenant)
{
    if (tenant < r->n_holders)
        return tenant;
    size_t n = (size_t)r->n_holders * 2 > tenant ? (size_t)r->n_holders * 2 : (size_t)tenant + 1;
    struct holder *holders = realloc(r->holders, n * sizeof(*holders));
    if (holders == NULL)
        return 0;
    memset(holders + r->n_holders, 0, (n - r->n_holders) * sizeof(*holders));
    r->holders = holders;
    r->n_holders = (uint32_t)n;
    return tenant;
}

/* ---- the two lists that an entry stands in ---- */

static void
push_age(struct ox_recent *r, uint32_t at)
{
    r->pool[at].age = (struct link){r->age.tail, NONE};
    if (r->age.tail != NONE)
        r->pool[r->age.tail].age.next = at;
    else
        r->age.head = at;
    r->age.tail = at;
}

static void
pull_age(struct ox_recent *r, uint32_t at)
{
    struct link l = r->pool[at].age;
    *(l.prev != NONE ? &r->pool[l.prev].age.next : &r->age.head) = l.next;
    *(l.next != NONE ? &r->pool[l.next].age.prev : &r->age.tail) = l.prev;
}

static void
push_own(struct ox_recent *r, uint32_t at)
{
    uint32_t h = r->pool[at].holder;
    struct holder *me = &r->holders[h];
    if (me->n == 0)
        me->own = (struct list){NONE, NONE};
    r->pool[at].own = (struct link){me->own.tail, NONE};
    if (me->own.tail != NONE)
        r->pool[me->own.tail].own.next = at;
    else
        me->own.head = at;
    me->own.tail = at;
    count(r, h, 1);
}

static void
pull_own(struct ox_recent *r, uint32_t at)
{
    struct link l = r->pool[at].own;
    struct holder *me = &r->holders[r->pool[at].holder];
    *(l.prev != NONE ? &r->pool[l.prev].own.next : &me->own.head) = l.next;
    *(l.next != NONE ? &r->pool[l.next].own.prev : &me->own.tail) = l.prev;
    count(r, r->pool[at].holder, -1);
}

/* ---- entries ---- */

static void
discard(struct ox_recent *r, uint32_t slot)
{
    uint32_t at = r->index[slot] - 1;
    unindex(r, slot);
    pull_age(r, at);
    pull_own(r, at);
    r->pool[at].age.next = r->free;
    r->free = at;
}

static bool
outlived(const struct ox_recent *r, const struct entry *e, uint64_t now_ns)
{
    return e->state != OX_RECENT_PENDING && now_ns - e->at_ns >= r->window_ns;
}

/* Of a full pool: what nobody misses, else the oldest of whoever holds most. */
static void
make_room(struct ox_recent *r, uint64_t now_ns)
{
    uint32_t at = r->age.head;
    if (!outlived(r, &r->pool[at], now_ns))
        at = r->holders[r->by_n[r->most]].own.head;
    discard(r, find(r, r->pool[at].key));
}

enum ox_recent_state
ox_recent_look(struct ox_recent *r, struct ox_recent_key key, uint64_t now_ns)
{
    uint32_t at = r->index[find(r, key)];
    if (at == 0 || outlived(r, &r->pool[at - 1], now_ns))
        return OX_RECENT_UNKNOWN;
    return (enum ox_recent_state)r->pool[at - 1].state;
}

void
ox_recent_put(struct ox_recent *r, struct ox_recent_key key, enum ox_recent_state state, uint64_t now_ns)
{
    uint32_t known = r->index[find(r, key)], at = known - 1;
    if (known == 0 &&
        r->window_ns == 0) /* what was noted before the window became 0 is still settled below */
        return;
    if (known != 0) {
        pull_age(r, at);
        pull_own(r, at);
    } else {
        if (r->free == NONE)
            make_room(r, now_ns);
        at = r->free;
        r->free = r->pool[at].age.next;
        r->index[find(r, key)] = at + 1; /* not earlier: making room moves runs */
    }
    r->pool[at] = (struct entry){
        .key = key, .holder = holder_of(r, key.tenant), .state = (uint8_t)state, .at_ns = now_ns};
    push_age(r, at);
    push_own(r, at);
}

void
ox_recent_drop(struct ox_recent *r, struct ox_recent_key key)
{
    uint32_t slot = find(r, key);
    if (r->index[slot] != 0)
        discard(r, slot);
}
