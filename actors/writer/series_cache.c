/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/series_cache.c - which series have their row of the day already.
 *
 * Owns:    the keys.
 * Threads: one owner at a time (the writer of metrics).
 * Bounds:  the capacity given; sets of WAYS keys, the least lately used of a set goes first.
 * Flow:    encode_points.c asks, writer actor commits.
 *
 * A key is "in the block with ticket N" until that block is durable, then "written". Asked with another
 * ticket, a key that is only in a block counts as new: that block might never become durable. So a crash, a
 * failed append and a freed builder need no clean-up, and the cost is at most a row written twice, which
 * ReplacingMergeTree folds.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "encode_rows.h"

#define WAYS    5
#define HUGE    (2u << 20) /* a huge page of x86-64, and of arm64 with pages of 4 KiB */
#define WRITTEN 0u

/* One cache line, since a lookup waits for memory. */
struct set {
    _Alignas(64) uint64_t key[WAYS]; /* 0 = free */
    uint32_t ticket[WAYS];
    uint8_t used; /* bit per way: asked for since the hand passed */
    uint8_t hand;
};
_Static_assert(sizeof(struct set) == 64, "a set is one cache line");

struct ox_series_cache {
    size_t n_sets; /* a power of two */
    uint32_t last_ticket;
    void *memory;
    struct set *sets; /* in it */
};

/* calloc, since what no series fell into yet then costs no memory; it does not align, so we do. Series fall anywhere, so a
 * table of small pages would cost a miss of the TLB each; that the kernel has no huge ones is no error. */
static bool
allocate(struct ox_series_cache *cache)
{
    size_t bytes = cache->n_sets * sizeof(*cache->sets);
    uintptr_t align = bytes >= HUGE ? HUGE : _Alignof(struct set);
    cache->memory = calloc(1, bytes + align);
    if (cache->memory == NULL)
        return false;
    cache->sets = (struct set *)(((uintptr_t)cache->memory + align - 1) / align * align);
    if (align == HUGE)
        (void)madvise(cache->sets, bytes, MADV_HUGEPAGE);
    return true;
}

struct ox_series_cache *
ox_series_cache_new(size_t capacity)
{
    struct ox_series_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL)
        return NULL;
    cache->n_sets = 1;
    while (cache->n_sets * WAYS < capacity && cache->n_sets < SIZE_MAX / 4 / sizeof(struct set))
        cache->n_sets *= 2;
    if (!allocate(cache)) {
        free(cache);
        return NULL;
    }
    return cache;
}

void
ox_series_cache_free(struct ox_series_cache *cache)
{
    if (cache == NULL)
        return;
    free(cache->memory);
    free(cache);
}

uint32_t
ox__series_cache_ticket(struct ox_series_cache *cache)
{
    if (++cache->last_ticket == WRITTEN)
        cache->last_ticket++;
    return cache->last_ticket;
}

static struct set *
set_of(struct ox_series_cache *cache, uint64_t key)
{
    return &cache->sets[(key >> 32) & (cache->n_sets - 1)];
}

void
ox__series_cache_soon(const struct ox_series_cache *cache, uint64_t key)
{
    __builtin_prefetch(&cache->sets[(key >> 32) & (cache->n_sets - 1)], 1);
}

/* The way that holds key, or WAYS. */
static unsigned
find(const struct set *set, uint64_t key)
{
    unsigned way = 0;
    while (way < WAYS && set->key[way] != key)
        way++;
    return way;
}

/* A clock: ways asked for lately get a second turn. Ends, since a full turn of the hand clears all bits. */
static unsigned
evict(struct set *set)
{
    while ((set->used >> set->hand & 1) != 0 && set->key[set->hand] != 0) {
        set->used &= (uint8_t) ~(1u << set->hand);
        set->hand = (uint8_t)((set->hand + 1) % WAYS);
    }
    unsigned way = set->hand;
    set->hand = (uint8_t)((set->hand + 1) % WAYS);
    return way;
}

static void
enter(struct set *set, unsigned way, uint64_t key, uint32_t ticket)
{
    if (way == WAYS)
        way = evict(set);
    set->key[way] = key;
    set->ticket[way] = ticket;
    set->used |= (uint8_t)(1u << way);
}

bool
ox__series_cache_seen(struct ox_series_cache *cache, uint64_t key, uint32_t ticket)
{
    struct set *set = set_of(cache, key);
    unsigned way = find(set, key);
    if (way < WAYS && (set->ticket[way] == WRITTEN || set->ticket[way] == ticket)) {
        set->used |= (uint8_t)(1u << way);
        return true;
    }
    enter(set, way, key, ticket);
    return false;
}

void
ox_series_cache_commit(struct ox_series_cache *cache, const struct ox_encoded *encoded)
{
    for (size_t i = 0; i < encoded->n_series_keys; i++) {
        struct set *set = set_of(cache, encoded->series_keys[i]);
        enter(set, find(set, encoded->series_keys[i]), encoded->series_keys[i], WRITTEN);
    }
}
