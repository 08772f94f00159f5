/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/recent.h - which requests came lately, so that a repeated one is stored once.
 *
 * Owns:    the keys.
 * Threads: one owner (the wal actor); pure but for memory.
 * Bounds:  capacity keys of all tenants; window_ns of age. The oldest key of the tenant that holds most gives way, so
 *          each of n tenants has its last capacity / n at least.
 *
 * A client that missed our reply sends the same bytes again. The key is the hash of the bytes together with the
 * tenant and the signal; two requests of one tenant with the same 128-bit key are taken for the same request.
 */
#ifndef OX_RECENT_H
#define OX_RECENT_H

#include "ox/base.h"

struct ox_recent_key {
    uint64_t lo;
    uint64_t hi;
    uint32_t tenant; /* ox_tenant_index: who holds it */
};

/* The key of a request: hash as in its log entry. */
struct ox_recent_key ox_recent_key_of(const struct ox_tenant_id *tenant, enum ox_signal signal,
                                      uint64_t hash_lo, uint64_t hash_hi);

struct ox_recent;

enum ox_recent_state { OX_RECENT_UNKNOWN, OX_RECENT_PENDING, OX_RECENT_DURABLE };

/* NULL on lack of memory. window_ns 0: nothing is ever recognised. */
struct ox_recent *ox_recent_new(uint32_t capacity, uint64_t window_ns);
void ox_recent_free(struct ox_recent *r);
/* Another window from now on, for keys that are noted already too. */
void ox_recent_window(struct ox_recent *r, uint64_t window_ns);

/* What is known of the key at now_ns (any clock that only grows). */
enum ox_recent_state ox_recent_look(struct ox_recent *r, struct ox_recent_key key, uint64_t now_ns);
/* Notes a key as PENDING, or changes what is noted; either way it is the youngest. */
void ox_recent_put(struct ox_recent *r, struct ox_recent_key key, enum ox_recent_state state,
                   uint64_t now_ns);
/* Forgets it (its append failed, or it was set aside). */
void ox_recent_drop(struct ox_recent *r, struct ox_recent_key key);

#endif
