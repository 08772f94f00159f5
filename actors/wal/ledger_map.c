/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/ledger_map.c - a hash table with linear probing; removing moves followers back, so there are no graves.
 *
 * Owns:    its slots.
 * Threads: one owner.
 * Fails:   false when out of memory.
 */
#include "actors/wal/ledger_map.h"

#include <stdlib.h>

#define MAP_CAP_FIRST 64

static size_t
home(const struct ox__ledger_map *map, uint64_t key)
{
    key ^= key >> 32; /* sequences are far apart, block ids random: both spread after one multiplication */
    return (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (map->cap - 1);
}

void
ox__ledger_map_fini(struct ox__ledger_map *map)
{
    free(map->slots);
    memset(map, 0, sizeof(*map));
}

/* The slot of key, or the free one where it would go. */
static size_t
probe(const struct ox__ledger_map *map, uint64_t key)
{
    size_t i = home(map, key);
    while (map->slots[i].value != NULL && map->slots[i].key != key)
        i = (i + 1) & (map->cap - 1);
    return i;
}

void *
ox__ledger_map_get(const struct ox__ledger_map *map, uint64_t key)
{
    return map->cap != 0 ? map->slots[probe(map, key)].value : NULL;
}

static bool
grow(struct ox__ledger_map *map)
{
    struct ox__ledger_map bigger = {.cap = map->cap != 0 ? map->cap * 2 : MAP_CAP_FIRST, .n = map->n};
    bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
    if (bigger.slots == NULL)
        return false;
    for (size_t i = 0; i < map->cap; i++) {
        if (map->slots[i].value != NULL)
            bigger.slots[probe(&bigger, map->slots[i].key)] = map->slots[i];
    }
    free(map->slots);
    *map = bigger;
    return true;
}

bool
ox__ledger_map_put(struct ox__ledger_map *map, uint64_t key, void *value)
{
    if (map->n + 1 > map->cap / 4 * 3 && !grow(map))
        return false;
    size_t i = probe(map, key);
    OX_ASSERT(map->slots[i].value == NULL);
    map->slots[i] = (struct ox__ledger_slot){key, value};
    map->n++;
    return true;
}

void *
ox__ledger_map_take(struct ox__ledger_map *map, uint64_t key)
{
    if (map->cap == 0)
        return NULL;
    size_t mask = map->cap - 1, hole = probe(map, key);
    void *value = map->slots[hole].value;
    if (value == NULL)
        return NULL;
    for (size_t i = (hole + 1) & mask; map->slots[i].value != NULL; i = (i + 1) & mask) {
        /* Whoever would not be found past the hole moves into it. */
        if (((i - home(map, map->slots[i].key)) & mask) >= ((i - hole) & mask)) {
            map->slots[hole] = map->slots[i];
            hole = i;
        }
    }
    map->slots[hole].value = NULL;
    map->n--;
    return value;
}
