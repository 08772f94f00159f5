/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/key_table.c - a hash table in shards, each behind a lock of its own.
 *
 * Owns:    see key_table.h.
 * Threads: see there. `used_s` is written under the readers' lock, hence atomic.
 * Bounds:  see there.
 * Fails:   a lack of memory is a key that is not kept.
 *
 * A digest is uniform by itself, so its bytes are the hash. Nobody can fill a bucket on purpose: only keys that the
 * store knows come here.
 */
#include "actors/control/key_table.h"

#include "ox/lock.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SHARDS      64
#define USE_EVERY_S 60
#define DUE_SHARDS  4 /* of one call of ox__key_table_due */
#define VICTIMS     8 /* of so many the one not used for longest goes */
#define CACHE_LINE  64

struct entry {
    struct entry *next;
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    struct ox_identity who;
    int64_t expires_s;      /* 0 = never */
    _Atomic int64_t used_s; /* relaxed: coarse */
    int64_t told_s;         /* the use that was handed out last; writers' lock */
    int64_t asked_s;        /* when the store was asked for it last; writers' lock */
};

struct shard {
    _Alignas(CACHE_LINE) pthread_rwlock_t lock;
    struct entry **buckets;
    uint32_t n;
    uint32_t max;
    uint32_t hand; /* bucket where the search for a victim goes on */
};

struct ox__key_table {
    struct shard shards[SHARDS];
    uint32_t n_buckets;     /* of each */
    uint32_t turn;          /* shard where ox__key_table_uses goes on; its caller's only */
    uint32_t due_turn;      /* the same of ox__key_table_due */
    _Atomic uint64_t count; /* relaxed: for people */
};

static uint64_t
hash_of(const uint8_t digest[OX_KEY_DIGEST_BYTES])
{
    uint64_t h;
    memcpy(&h, digest, sizeof(h));
    return h;
}

static struct shard *
shard_of(struct ox__key_table *t, uint64_t hash)
{
    return &t->shards[hash % SHARDS];
}

static struct entry **
bucket_of(struct ox__key_table *t, struct shard *s, uint64_t hash)
{
    return &s->buckets[(hash / SHARDS) % t->n_buckets];
}

/* Under the writers' lock. */
static void
unlink_entry(struct ox__key_table *t, struct shard *s, struct entry **link)
{
    struct entry *e = *link;
    *link = e->next;
    free(e);
    s->n--;
    atomic_fetch_sub_explicit(&t->count, 1, memory_order_relaxed);
}

/* tenant NULL: all. Under the writers' lock. */
static void
remove_from(struct ox__key_table *t, struct shard *s, const struct ox_tenant_id *tenant)
{
    for (uint32_t b = 0; b < t->n_buckets; b++) {
        for (struct entry **link = &s->buckets[b]; *link != NULL;) {
            if (tenant == NULL || strcmp((*link)->who.tenant.name, tenant->name) == 0)
                unlink_entry(t, s, link);
            else
                link = &(*link)->next;
        }
    }
}

void
ox__key_table_free(struct ox__key_table *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *s = &t->shards[i];
        if (s->buckets != NULL)
            remove_from(t, s, NULL);
        free(s->buckets);
        pthread_rwlock_destroy(&s->lock);
    }
    free(t);
}

struct ox__key_table *
ox__key_table_new(uint32_t max)
{
    struct ox__key_table *t = aligned_alloc(CACHE_LINE, sizeof(*t));
    if (t == NULL)
        return NULL;
    memset(t, 0, sizeof(*t));
    t->n_buckets = max / SHARDS + 1;
    bool ok = true;
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *s = &t->shards[i];
        pthread_rwlock_init(&s->lock, NULL);
        s->max = max / SHARDS + max / SHARDS / 8 + 1;
        s->buckets = calloc(t->n_buckets, sizeof(struct entry *));
        ok = ok && s->buckets != NULL;
    }
    if (ok)
        return t;
    ox__key_table_free(t);
    return NULL;
}

/* The link that holds the entry, or the end of its chain. Under a lock. */
static struct entry **
find(struct ox__key_table *t, struct shard *s, const uint8_t digest[OX_KEY_DIGEST_BYTES], uint64_t hash)
{
    struct entry **link = bucket_of(t, s, hash);
    while (*link != NULL && CRYPTO_memcmp((*link)->digest, digest, OX_KEY_DIGEST_BYTES) != 0)
        link = &(*link)->next;
    return link;
}

bool
ox__key_table_find(struct ox__key_table *t, const uint8_t digest[OX_KEY_DIGEST_BYTES], int64_t now_s,
                   struct ox_identity *out)
{
    uint64_t hash = hash_of(digest);
    struct shard *s = shard_of(t, hash);
    ox_lock_read(&s->lock);
    struct entry *e = *find(t, s, digest, hash);
    bool good = e != NULL && (e->expires_s == 0 || now_s < e->expires_s);
    if (good) {
        *out = e->who;
        if (atomic_load_explicit(&e->used_s, memory_order_relaxed) != now_s) /* once a second is a write */
            atomic_store_explicit(&e->used_s, now_s, memory_order_relaxed);
    }
    ox_unlock_rw(&s->lock);
    return good;
}

bool
ox__key_table_has(struct ox__key_table *t, const uint8_t digest[OX_KEY_DIGEST_BYTES])
{
    uint64_t hash = hash_of(digest);
    struct shard *s = shard_of(t, hash);
    ox_lock_read(&s->lock);
    bool there = *find(t, s, digest, hash) != NULL;
    ox_unlock_rw(&s->lock);
    return there;
}

/* Makes room in a full shard. */
static void
evict(struct ox__key_table *t, struct shard *s)
{
    struct entry **victim = NULL;
    for (uint32_t seen = 0, tried = 0; seen < VICTIMS && tried < t->n_buckets; tried++) {
        for (struct entry **link = &s->buckets[s->hand++ % t->n_buckets]; *link != NULL;
             link = &(*link)->next) {
            seen++;
            if (victim == NULL || (*link)->used_s < (*victim)->used_s)
                victim = link;
        }
    }
    if (victim != NULL)
        unlink_entry(t, s, victim);
}

static void
fill(struct entry *e, const struct ox_control_key *key)
{
    e->who = (struct ox_identity){.tenant = key->tenant, .role = key->role, .scopes = key->scopes};
    memcpy(e->who.key_id, key->id, sizeof(e->who.key_id));
    e->expires_s = key->expires_s;
}

/* Under the writers' lock. */
static void
put(struct ox__key_table *t, struct shard *s, const struct ox_control_key *key, int64_t now_s, uint64_t hash)
{
    struct entry *e = *find(t, s, key->digest, hash);
    if (e != NULL) {
        fill(e, key);
        e->asked_s = now_s;
        return;
    }
    e = calloc(1, sizeof(*e));
    if (e == NULL)
        return;
    if (s->n >= s->max)
        evict(t, s);
    memcpy(e->digest, key->digest, OX_KEY_DIGEST_BYTES);
    fill(e, key);
    e->used_s = e->told_s = key->last_used_s;
    e->asked_s = now_s;
    struct entry **bucket = bucket_of(t, s, hash);
    e->next = *bucket;
    *bucket = e;
    s->n++;
    atomic_fetch_add_explicit(&t->count, 1, memory_order_relaxed);
}

bool
ox__key_table_put(struct ox__key_table *t, const struct ox_control_key *key, int64_t now_s,
                  const _Atomic uint64_t *generation, uint64_t expected)
{
    uint64_t hash = hash_of(key->digest);
    struct shard *s = shard_of(t, hash);
    ox_lock_write(&s->lock);
    /* seq_cst, see key_cache.c: whoever takes changes counts first and removes afterwards, under this lock. */
    bool same = atomic_load(generation) == expected;
    if (same)
        put(t, s, key, now_s, hash);
    ox_unlock_rw(&s->lock);
    return same;
}

void
ox__key_table_remove(struct ox__key_table *t, const uint8_t digest[OX_KEY_DIGEST_BYTES])
{
    uint64_t hash = hash_of(digest);
    struct shard *s = shard_of(t, hash);
    ox_lock_write(&s->lock);
    struct entry **link = find(t, s, digest, hash);
    if (*link != NULL)
        unlink_entry(t, s, link);
    ox_unlock_rw(&s->lock);
}

void
ox__key_table_remove_of(struct ox__key_table *t, const struct ox_tenant_id *tenant)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *s = &t->shards[i];
        ox_lock_write(&s->lock);
        remove_from(t, s, tenant);
        ox_unlock_rw(&s->lock);
    }
}

/* Under the writers' lock, because of told_s. */
static size_t
uses_of(const struct ox__key_table *t, struct shard *s, int64_t now_s, struct ox_control_use *out,
        size_t room)
{
    size_t n = 0;
    for (uint32_t b = 0; b < t->n_buckets; b++) {
        for (struct entry *e = s->buckets[b]; e != NULL && n < room; e = e->next) {
            int64_t used_s = atomic_load_explicit(&e->used_s, memory_order_relaxed);
            if (used_s <= e->told_s || now_s - e->told_s < USE_EVERY_S)
                continue;
            out[n].tenant = e->who.tenant;
            memcpy(out[n].key_id, e->who.key_id, sizeof(out[n].key_id));
            out[n++].used_s = used_s;
            e->told_s = used_s;
        }
    }
    return n;
}

static int
by_tenant(const void *a, const void *b)
{
    return strcmp(((const struct ox_control_use *)a)->tenant.name,
                  ((const struct ox_control_use *)b)->tenant.name);
}

size_t
ox__key_table_uses(struct ox__key_table *t, int64_t now_s, struct ox_control_use *out, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < SHARDS && n < room; i++) {
        struct shard *s = &t->shards[t->turn++ % SHARDS];
        ox_lock_write(&s->lock);
        n += uses_of(t, s, now_s, out + n, room - n);
        ox_unlock_rw(&s->lock);
    }
    qsort(out, n, sizeof(*out), by_tenant);
    return n;
}

/* Under the writers' lock, because of asked_s. */
static size_t
due_of(const struct ox__key_table *t, struct shard *s, int64_t before_s, int64_t now_s,
       struct ox_control_seen *out, size_t room)
{
    size_t n = 0;
    for (uint32_t b = 0; b < t->n_buckets; b++) {
        for (struct entry *e = s->buckets[b]; e != NULL && n < room; e = e->next) {
            if (e->asked_s > before_s && e->asked_s <= now_s) /* a clock that was put back: asked again */
                continue;
            memcpy(out[n].digest, e->digest, OX_KEY_DIGEST_BYTES);
            out[n++].expires_s = e->expires_s;
            e->asked_s = now_s;
        }
    }
    return n;
}

size_t
ox__key_table_due(struct ox__key_table *t, int64_t now_s, int64_t every_s, struct ox_control_seen *out,
                  size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < DUE_SHARDS && n < room; i++) {
        struct shard *s = &t->shards[t->due_turn % SHARDS];
        ox_lock_write(&s->lock);
        n += due_of(t, s, now_s - every_s, now_s, out + n, room - n);
        ox_unlock_rw(&s->lock);
        t->due_turn += n < room; /* a shard that gave all the room took may have more */
    }
    return n;
}

uint64_t
ox__key_table_count(struct ox__key_table *t)
{
    return atomic_load_explicit(&t->count, memory_order_relaxed);
}
