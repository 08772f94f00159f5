/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/slot.c - the table from pid to actor.
 *
 * Owns:    the slots; they stay until the runtime stops, so a stale pid finds a slot of another generation.
 * Threads: any.
 * Bounds:  actors_max.
 * Fails:   OVERLOAD when all slots are taken, NOMEM.
 * Flow:    every operation on a pid starts with ox__actor_lock.
 */
#include <stdlib.h>

#include "runtime/core/internal.h"

#define CHUNK_SLOTS 256u

static struct ox__slot *
slot_at(uint32_t index)
{
    struct ox__runtime *rt = ox__rt;
    if (rt == NULL || index / CHUNK_SLOTS >= rt->chunks_n)
        return NULL;
    /* acquire: pairs with the release in chunk_add, the chunk's slots are initialised */
    struct ox__slot *chunk = atomic_load_explicit(&rt->chunks[index / CHUNK_SLOTS], memory_order_acquire);
    return chunk != NULL ? &chunk[index % CHUNK_SLOTS] : NULL;
}

struct ox_actor *
ox__actor_lock(ox_pid pid)
{
    struct ox__slot *slot = pid.gen != 0 ? slot_at(pid.slot) : NULL;
    if (slot == NULL)
        return NULL;
    ox__lock(&slot->lock);
    if (slot->gen == pid.gen && slot->actor != NULL)
        return slot->actor;
    ox__unlock(&slot->lock);
    return NULL;
}

void
ox__actor_unlock(struct ox_actor *actor)
{
    ox__unlock(&actor->slot->lock);
}

static bool
chunk_add(struct ox__runtime *rt, uint32_t n)
{
    struct ox__slot *chunk = calloc(CHUNK_SLOTS, sizeof(*chunk));
    if (chunk == NULL)
        return false;
    for (uint32_t i = 0; i < CHUNK_SLOTS; i++) {
        pthread_mutex_init(&chunk[i].lock, NULL);
        chunk[i].index = n * CHUNK_SLOTS + i;
        chunk[i].gen = 1;
    }
    atomic_store_explicit(&rt->chunks[n], chunk, memory_order_release);
    return true;
}

/* Under slots_lock. */
static struct ox__slot *
slot_free_one(struct ox__runtime *rt, ox_err *err)
{
    *err = OX_E_OVERLOAD;
    if (rt->slot_free != 0) {
        struct ox__slot *slot = slot_at(rt->slot_free - 1);
        rt->slot_free = slot->next_free;
        return slot;
    }
    if (rt->slots_used >= rt->opt.actors_max)
        return NULL;
    *err = OX_E_NOMEM;
    if (rt->slots_used % CHUNK_SLOTS == 0 && slot_at(rt->slots_used) == NULL &&
        !chunk_add(rt, rt->slots_used / CHUNK_SLOTS))
        return NULL;
    return slot_at(rt->slots_used++);
}

ox_err
ox__slot_take(struct ox_actor *actor)
{
    struct ox__runtime *rt = ox__rt;
    ox_err err;
    ox__lock(&rt->slots_lock);
    struct ox__slot *slot = slot_free_one(rt, &err);
    ox__unlock(&rt->slots_lock);
    if (slot == NULL)
        return err;
    ox__lock(&slot->lock);
    actor->slot = slot;
    actor->pid = (ox_pid){slot->index, slot->gen};
    slot->actor = actor;
    ox__unlock(&slot->lock);
    atomic_fetch_add_explicit(&rt->actors, 1, memory_order_relaxed);
    return OX_OK;
}

void
ox__slot_give(struct ox_actor *actor)
{
    struct ox__runtime *rt = ox__rt;
    struct ox__slot *slot = actor->slot;
    slot->actor = NULL;
    slot->gen = slot->gen == UINT32_MAX ? 1 : slot->gen + 1;
    ox__unlock(&slot->lock);
    ox__lock(&rt->slots_lock);
    slot->next_free = rt->slot_free;
    rt->slot_free = slot->index + 1;
    ox__unlock(&rt->slots_lock);
    atomic_fetch_sub_explicit(&rt->actors, 1, memory_order_relaxed);
    ox__lock(&rt->death_lock);
    pthread_cond_broadcast(&rt->death);
    ox__unlock(&rt->death_lock);
}

ox_pid
ox__slot_pid(uint32_t index)
{
    ox_pid pid = OX_PID_NONE;
    struct ox__slot *slot = slot_at(index);
    if (slot == NULL)
        return pid;
    ox__lock(&slot->lock);
    if (slot->actor != NULL && slot->actor->run != OX__RUN_EXTERNAL)
        pid = slot->actor->pid;
    ox__unlock(&slot->lock);
    return pid;
}

ox_err
ox__slots_init(struct ox__runtime *rt)
{
    pthread_mutex_init(&rt->slots_lock, NULL);
    rt->chunks_n = (rt->opt.actors_max + CHUNK_SLOTS - 1) / CHUNK_SLOTS;
    rt->chunks = calloc(rt->chunks_n, sizeof(*rt->chunks));
    return rt->chunks != NULL ? OX_OK : OX_E_NOMEM;
}

void
ox__slots_fini(struct ox__runtime *rt)
{
    for (uint32_t i = 0; rt->chunks != NULL && i < rt->chunks_n; i++) {
        struct ox__slot *chunk = atomic_load_explicit(&rt->chunks[i], memory_order_acquire);
        for (uint32_t k = 0; chunk != NULL && k < CHUNK_SLOTS; k++)
            pthread_mutex_destroy(&chunk[k].lock);
        free(chunk);
    }
    free(rt->chunks);
    pthread_mutex_destroy(&rt->slots_lock);
}
