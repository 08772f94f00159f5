/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/arena.c - bump allocation in chunks, within a budget.
 *
 * Owns:    its chunks.
 * Threads: one at a time.
 * Bounds:  budget_bytes, the account's limit.
 * Fails:   NULL and `overflowed`.
 *
 * The budget counts what was asked for; the account counts what the chunks occupy, because that is what the
 * machine lost. Under AddressSanitizer every allocation is a chunk of its own, so that overruns and uses
 * after a reset are found.
 */
#include "ox/arena.h"

#include <stdlib.h>

#include "ox/actor.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_REAL_ALLOCATIONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_REAL_ALLOCATIONS 1
#endif
#endif
#ifndef ARENA_REAL_ALLOCATIONS
#define ARENA_REAL_ALLOCATIONS 0
#endif

#define ARENA_MAGIC 0x6f78617275u
#define ARENA_ALIGN 16u
#define CHUNK_MIN   4096u  /* a page: small actors stay small */
#define CHUNK_MAX   65536u /* past it growth by doubling would only waste the tail */

struct chunk {
    struct chunk *next;
    size_t cap;
    _Alignas(ARENA_ALIGN) uint8_t data[];
};

struct ox_arena {
    uint64_t magic;
    size_t budget;
    size_t used;
    struct ox_account *account;
    struct chunk *chunks; /* newest first; allocation happens in the first one only */
    size_t first_used;    /* bytes used in the newest chunk */
    size_t chunk_size;    /* of the next one */
    bool overflowed;
};

struct ox_arena *
ox_arena_new(size_t budget_bytes, struct ox_account *account)
{
    struct ox_arena *arena = calloc(1, sizeof(*arena));
    if (arena == NULL)
        return NULL;
    arena->magic = ARENA_MAGIC;
    arena->budget = budget_bytes;
    arena->account = account;
    arena->chunk_size = CHUNK_MIN;
    return arena;
}

static void
chunk_free(struct ox_arena *arena, struct chunk *chunk)
{
    if (arena->account != NULL)
        ox_account_give(arena->account, sizeof(*chunk) + chunk->cap);
    free(chunk);
}

static void
free_chunks(struct ox_arena *arena, bool keep_one)
{
    struct chunk *chunk = arena->chunks;
    arena->chunks = NULL;
    while (chunk != NULL) {
        struct chunk *next = chunk->next;
        if (keep_one && next == NULL && chunk->cap <= CHUNK_MAX) {
            arena->chunks = chunk;
            break;
        }
        chunk_free(arena, chunk);
        chunk = next;
    }
}

void
ox_arena_free(struct ox_arena *arena)
{
    if (arena == NULL)
        return;
    OX_CHECK_OBJ(arena, ARENA_MAGIC);
    free_chunks(arena, false);
    arena->magic = 0;
    free(arena);
}

void
ox_arena_reset(struct ox_arena *arena)
{
    OX_CHECK_OBJ(arena, ARENA_MAGIC);
    free_chunks(arena, !ARENA_REAL_ALLOCATIONS);
    arena->used = 0;
    arena->first_used = 0;
    arena->chunk_size = CHUNK_MIN;
    arena->overflowed = false;
}

static struct chunk *
chunk_new(struct ox_arena *arena, size_t cap)
{
    if (arena->account != NULL && ox_account_take(arena->account, sizeof(struct chunk) + cap) != OX_OK)
        return NULL;
    struct chunk *chunk = malloc(sizeof(*chunk) + cap);
    if (chunk == NULL) {
        if (arena->account != NULL)
            ox_account_give(arena->account, sizeof(*chunk) + cap);
        return NULL;
    }
    chunk->cap = cap;
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    arena->first_used = 0;
    return chunk;
}

static size_t
chunk_cap_for(struct ox_arena *arena, size_t n)
{
    if (ARENA_REAL_ALLOCATIONS)
        return n;
    size_t cap = arena->chunk_size;
    if (arena->chunk_size < CHUNK_MAX)
        arena->chunk_size *= 2;
    return n > cap ? n : cap;
}

static void *
overflow(struct ox_arena *arena)
{
    arena->overflowed = true;
    return NULL;
}

void *
ox_arena_alloc(struct ox_arena *arena, size_t n)
{
    OX_CHECK_OBJ(arena, ARENA_MAGIC);
    if (n > arena->budget)
        return overflow(arena);
    size_t rounded = n == 0 ? ARENA_ALIGN : (n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (rounded > arena->budget - arena->used)
        return overflow(arena);
    size_t want = ARENA_REAL_ALLOCATIONS ? n : rounded;
    struct chunk *chunk = arena->chunks;
    if (ARENA_REAL_ALLOCATIONS || chunk == NULL || want > chunk->cap - arena->first_used)
        chunk = chunk_new(arena, chunk_cap_for(arena, want));
    if (chunk == NULL)
        return overflow(arena);
    void *p = chunk->data + arena->first_used;
    arena->first_used += want;
    arena->used += rounded;
    return p;
}

void *
ox_arena_calloc(struct ox_arena *arena, size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n))
        return overflow(arena);
    void *p = ox_arena_alloc(arena, n);
    if (p != NULL)
        memset(p, 0, n);
    return p;
}

void *
ox_arena_must(struct ox_arena *arena, size_t n)
{
    void *p = ox_arena_alloc(arena, n);
    if (p == NULL)
        ox_panic("arena budget of %zu bytes exceeded: %zu in use, %zu more wanted", arena->budget,
                 arena->used, n);
    return p;
}

char *
ox_arena_strdup(struct ox_arena *arena, struct ox_str s)
{
    if (s.n == SIZE_MAX)
        return NULL;
    char *copy = ox_arena_alloc(arena, s.n + 1);
    if (copy == NULL)
        return NULL;
    if (s.n > 0)
        memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return copy;
}

size_t
ox_arena_used(const struct ox_arena *arena)
{
    return arena->used;
}

bool
ox_arena_overflowed(const struct ox_arena *arena)
{
    return arena->overflowed;
}
