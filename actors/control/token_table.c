/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/token_table.c - see token_table.h.
 *
 * Owns:    see there.
 * Threads: see there. `era` is counted up before anything is removed and compared under the lock of the set into which is
 *          put: an entry is either put before the removal that concerns it, which then finds it, or not put.
 * Bounds:  see there.
 */
#include "actors/control/token_table.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "ox/lock.h"

#define WAYS  8
#define LOCKS 64

struct entry {
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    int64_t until_s;        /* 0 = free */
    _Atomic int64_t used_s; /* relaxed: which of eight goes first */
    struct ox_identity who;
};

struct ox__token_table {
    size_t sets;
    _Atomic uint64_t era; /* seq_cst, see above */
    pthread_rwlock_t locks[LOCKS];
    struct entry entries[]; /* sets * WAYS */
};

struct ox__token_table *
ox__token_table_new(uint32_t max)
{
    size_t sets = max / WAYS > 0 ? max / WAYS : 1;
    struct ox__token_table *t = calloc(1, sizeof(*t) + sets * WAYS * sizeof(t->entries[0]));
    if (t == NULL)
        return NULL;
    t->sets = sets;
    for (size_t i = 0; i < LOCKS; i++)
        pthread_rwlock_init(&t->locks[i], NULL);
    return t;
}

void
ox__token_table_free(struct ox__token_table *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < LOCKS; i++)
        pthread_rwlock_destroy(&t->locks[i]);
    free(t);
}

/* Digests are as good as random. */
static size_t
set_of(const struct ox__token_table *t, const uint8_t *digest)
{
    uint64_t bits;
    memcpy(&bits, digest, sizeof(bits));
    return (size_t)(bits % t->sets);
}

static struct entry *
find(struct ox__token_table *t, size_t set, const uint8_t *digest)
{
    struct entry *e = &t->entries[set * WAYS];
    for (size_t i = 0; i < WAYS; i++) {
        if (e[i].until_s != 0 && memcmp(e[i].digest, digest, OX_KEY_DIGEST_BYTES) == 0)
            return &e[i];
    }
    return NULL;
}

bool
ox__token_table_find(struct ox__token_table *t, const uint8_t digest[OX_KEY_DIGEST_BYTES], int64_t now_s,
                     struct ox_identity *out)
{
    size_t set = set_of(t, digest);
    ox_lock_read(&t->locks[set % LOCKS]);
    struct entry *e = find(t, set, digest);
    bool good = e != NULL && now_s < e->until_s;
    if (good) {
        *out = e->who;
        atomic_store_explicit(&e->used_s, now_s, memory_order_relaxed);
    }
    ox_unlock_rw(&t->locks[set % LOCKS]);
    return good;
}

/* Its own place, a free one, one whose time is over, or that of the one not used for longest. */
static struct entry *
place_for(struct ox__token_table *t, size_t set, const uint8_t *digest, int64_t now_s)
{
    struct entry *e = &t->entries[set * WAYS], *best = find(t, set, digest);
    for (size_t i = 0; best == NULL && i < WAYS; i++) {
        if (e[i].until_s <= now_s)
            best = &e[i];
    }
    if (best != NULL)
        return best;
    best = e;
    for (size_t i = 1; i < WAYS; i++) {
        if (atomic_load_explicit(&e[i].used_s, memory_order_relaxed) <
            atomic_load_explicit(&best->used_s, memory_order_relaxed))
            best = &e[i];
    }
    return best;
}

bool
ox__token_table_put(struct ox__token_table *t, const uint8_t digest[OX_KEY_DIGEST_BYTES],
                    const struct ox_identity *who, int64_t until_s, int64_t now_s, uint64_t era)
{
    size_t set = set_of(t, digest);
    ox_lock_write(&t->locks[set % LOCKS]);
    bool good = atomic_load(&t->era) == era;
    if (good) {
        struct entry *e = place_for(t, set, digest, now_s);
        memcpy(e->digest, digest, OX_KEY_DIGEST_BYTES);
        e->until_s = until_s;
        e->who = *who;
        atomic_store_explicit(&e->used_s, now_s, memory_order_relaxed);
    }
    ox_unlock_rw(&t->locks[set % LOCKS]);
    return good;
}

uint64_t
ox__token_table_era(struct ox__token_table *t)
{
    return atomic_load(&t->era);
}

void
ox__token_table_remove(struct ox__token_table *t, const uint8_t digest[OX_KEY_DIGEST_BYTES])
{
    size_t set = set_of(t, digest);
    atomic_fetch_add(&t->era, 1);
    ox_lock_write(&t->locks[set % LOCKS]);
    struct entry *e = find(t, set, digest);
    if (e != NULL)
        e->until_s = 0;
    ox_unlock_rw(&t->locks[set % LOCKS]);
}

void
ox__token_table_remove_of(struct ox__token_table *t, const struct ox_tenant_id *tenant)
{
    atomic_fetch_add(&t->era, 1);
    for (size_t set = 0; set < t->sets; set++) {
        ox_lock_write(&t->locks[set % LOCKS]);
        for (struct entry *e = &t->entries[set * WAYS]; e < &t->entries[(set + 1) * WAYS]; e++) {
            if (tenant == NULL || strcmp(e->who.tenant.name, tenant->name) == 0)
                e->until_s = 0;
        }
        ox_unlock_rw(&t->locks[set % LOCKS]);
    }
}

uint64_t
ox__token_table_count(struct ox__token_table *t)
{
    uint64_t n = 0;
    for (size_t set = 0; set < t->sets; set++) {
        ox_lock_read(&t->locks[set % LOCKS]);
        for (struct entry *e = &t->entries[set * WAYS]; e < &t->entries[(set + 1) * WAYS]; e++)
            n += e->until_s != 0;
        ox_unlock_rw(&t->locks[set % LOCKS]);
    }
    return n;
}
