/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/arena.h - memory that is freed all at once, within a budget.
 *
 * Owns:    everything allocated from it, until reset or free.
 * Threads: one at a time.
 * Bounds:  budget_bytes; an optional account that many arenas share.
 * Fails:   NULL and a sticky `overflowed`; never grows past the budget.
 */
#ifndef OX_ARENA_H
#define OX_ARENA_H

#include "ox/base.h"
#include "ox/buf.h"

struct ox_arena;

/* An empty arena that hands out at most `budget_bytes` (what callers asked for, rounded up to 16 each).
 * account: lend, must outlive the arena, may be NULL. NULL without memory. */
struct ox_arena *ox_arena_new(size_t budget_bytes, struct ox_account *account);
/* Frees everything; NULL is allowed. */
void ox_arena_free(struct ox_arena *arena);
/* Frees all allocations and clears `overflowed`; keeps one chunk for reuse. */
void ox_arena_reset(struct ox_arena *arena);

/* `n` bytes, aligned to 16, not cleared; NULL past the budget, the account or memory. n 0 gives a valid
 * pointer. */
void *ox_arena_alloc(struct ox_arena *arena, size_t n);
/* The same, cleared, for `count` elements of `size` bytes; NULL on overflow of the product too. */
void *ox_arena_calloc(struct ox_arena *arena, size_t count, size_t size);
/* The same as alloc, but panics instead of giving NULL: for actors whose budget is their fault line. */
void *ox_arena_must(struct ox_arena *arena, size_t n);
/* A zero-terminated copy, or NULL. */
char *ox_arena_strdup(struct ox_arena *arena, struct ox_str s);

/* Bytes handed out since the last reset. */
size_t ox_arena_used(const struct ox_arena *arena);
/* True when an allocation was refused since the last reset. */
bool ox_arena_overflowed(const struct ox_arena *arena);

#endif
