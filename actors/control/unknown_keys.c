/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/unknown_keys.c - a slot per address, each with a ring of unknown digests and a count.
 *
 * Owns:    see unknown_keys.h.
 * Threads: a lock per group of slots.
 * Bounds:  see there; about 0.7 MiB, touched only as far as addresses use it.
 */
#include "actors/control/unknown_keys.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <xxhash.h>

#include "ox/key_cache.h"
#include "ox/lock.h"
#include "ox/random.h"

#define ADDRESSES    1024
#define UNKNOWN_EACH 16
#define LOCKS        64

struct noted {
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    int64_t at_s;
    uint32_t era; /* of the table when it was noted; 0 = none */
};

struct address {
    uint64_t hash;    /* 0 = nobody */
    int64_t window_s; /* when it began */
    uint32_t count;   /* in the window */
    uint32_t next;    /* place in the ring */
    struct noted ring[UNKNOWN_EACH];
};

struct ox__unknown_keys {
    uint32_t limit;
    uint64_t seed; /* nobody chooses whose slot he shares */
    /* seq_cst: who reads it before he asks the store notes nothing that a change behind it has made untrue. relaxed where
     * notes are read: one of the era before is believed for a moment longer at worst. */
    _Atomic uint32_t era;
    /* Of all addresses: relaxed, since a few more or less do no harm. */
    _Atomic int64_t window_s;
    _Atomic uint64_t count; /* in the window */
    pthread_mutex_t locks[LOCKS];
    struct address table[ADDRESSES];
};

struct ox__unknown_keys *
ox__unknown_keys_new(uint32_t limit)
{
    struct ox__unknown_keys *u = calloc(1, sizeof(*u));
    if (u == NULL || ox_random_os(&u->seed, sizeof(u->seed)) != OX_OK) {
        free(u);
        return NULL;
    }
    u->limit = limit;
    u->era = 1;
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_init(&u->locks[i], NULL);
    return u;
}

void
ox__unknown_keys_free(struct ox__unknown_keys *u)
{
    if (u == NULL)
        return;
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&u->locks[i]);
    free(u);
}

/* One who has an IPv6 address has a whole /64. */
static uint64_t
hash_of(const struct ox__unknown_keys *u, const char *peer)
{
    uint8_t v6[16];
    uint64_t hash;
    if (peer == NULL)
        peer = "";
    if (inet_pton(AF_INET6, peer, v6) == 1)
        hash = XXH3_64bits_withSeed(v6, 8, u->seed);
    else
        hash = XXH3_64bits_withSeed(peer, strlen(peer), u->seed);
    return hash | 1; /* 0 is nobody */
}

static struct address *
lock_slot(struct ox__unknown_keys *u, uint64_t hash)
{
    size_t slot = (size_t)(hash >> 32) % ADDRESSES;
    ox_lock(&u->locks[slot % LOCKS]);
    return &u->table[slot];
}

static void
unlock_slot(struct ox__unknown_keys *u, const struct address *a)
{
    ox_unlock(&u->locks[(size_t)(a - u->table) % LOCKS]);
}

/* Whether so many unknown keys were shown of late that the store has to be spared. */
static bool
is_flood(const struct ox__unknown_keys *u, int64_t now_s)
{
    int64_t window_s = atomic_load_explicit(&u->window_s, memory_order_relaxed);
    return now_s >= window_s && now_s - window_s < OX_KEY_UNKNOWN_S &&
           atomic_load_explicit(&u->count, memory_order_relaxed) >= (uint64_t)u->limit * OX__UNKNOWN_ALL;
}

static void
count_in_all(struct ox__unknown_keys *u, int64_t now_s)
{
    int64_t window_s = atomic_load_explicit(&u->window_s, memory_order_relaxed);
    if (now_s < window_s || now_s - window_s >= OX_KEY_UNKNOWN_S) {
        atomic_store_explicit(&u->window_s, now_s, memory_order_relaxed);
        atomic_store_explicit(&u->count, 0, memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&u->count, 1, memory_order_relaxed);
}

/* A clock that was put back begins a new window. */
static bool
is_recent(int64_t at_s, int64_t now_s)
{
    return now_s >= at_s && now_s - at_s < OX_KEY_UNKNOWN_S;
}

enum ox__unknown
ox__unknown_keys_look(struct ox__unknown_keys *u, const char *peer, const uint8_t digest[OX_KEY_DIGEST_BYTES],
                      int64_t now_s)
{
    enum ox__unknown answer = OX__UNKNOWN_NOT;
    uint64_t hash = hash_of(u, peer);
    uint32_t era = atomic_load_explicit(&u->era, memory_order_relaxed);
    struct address *a = lock_slot(u, hash);
    /* In a flood whoever shares a slot with a sender of unknown keys is taken for him: so there are as many questions as
     * slots and no more, however many addresses somebody has. */
    if (a->hash != 0 && a->count > 0 && is_recent(a->window_s, now_s) && is_flood(u, now_s))
        answer = OX__UNKNOWN_LIMITED;
    if (a->hash == hash) {
        if (a->count >= u->limit && is_recent(a->window_s, now_s))
            answer = OX__UNKNOWN_LIMITED;
        for (size_t i = 0; i < UNKNOWN_EACH; i++) {
            const struct noted *n = &a->ring[i];
            if (n->era == era && is_recent(n->at_s, now_s) &&
                memcmp(n->digest, digest, OX_KEY_DIGEST_BYTES) == 0)
                answer = OX__UNKNOWN_KEY;
        }
    }
    unlock_slot(u, a);
    return answer;
}

void
ox__unknown_keys_note(struct ox__unknown_keys *u, const char *peer, const uint8_t digest[OX_KEY_DIGEST_BYTES],
                      int64_t now_s, uint32_t era)
{
    uint64_t hash = hash_of(u, peer);
    count_in_all(u, now_s);
    struct address *a = lock_slot(u, hash);
    if (a->hash != hash)
        *a = (struct address){.hash = hash};
    if (!is_recent(a->window_s, now_s)) {
        a->window_s = now_s;
        a->count = 0;
    }
    a->count++;
    struct noted *n = &a->ring[a->next++ % UNKNOWN_EACH];
    memcpy(n->digest, digest, OX_KEY_DIGEST_BYTES);
    n->at_s = now_s;
    n->era = era;
    unlock_slot(u, a);
}

uint32_t
ox__unknown_keys_era(struct ox__unknown_keys *u)
{
    return atomic_load(&u->era);
}

void
ox__unknown_keys_forget(struct ox__unknown_keys *u)
{
    atomic_fetch_add(&u->era, 1);
}
