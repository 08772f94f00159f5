/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/ledger_map.h - a hash table from 64-bit numbers to pointers, for the ledger.
 *
 * Owns:    its slots, not what they point to.
 * Threads: one owner.
 * Bounds:  the caller's; doubles when three quarters full.
 */
#ifndef OX_LEDGER_MAP_H
#define OX_LEDGER_MAP_H

#include "ox/base.h"

struct ox__ledger_slot {
    uint64_t key;
    void *value; /* NULL = free */
};

struct ox__ledger_map {
    struct ox__ledger_slot *slots;
    size_t cap; /* a power of two, or 0 */
    size_t n;
};

void ox__ledger_map_fini(struct ox__ledger_map *map);
/* The value of key, or NULL. */
void *ox__ledger_map_get(const struct ox__ledger_map *map, uint64_t key);
/* Adds a key that is not there; value is not NULL. False = no memory. */
bool ox__ledger_map_put(struct ox__ledger_map *map, uint64_t key, void *value);
/* Removes a key and returns its value, or NULL. */
void *ox__ledger_map_take(struct ox__ledger_map *map, uint64_t key);

#endif
