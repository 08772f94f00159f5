/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    however look-ups, revocations and changes taken meet, a key is never known after the change that revoked it was
 *          taken; and no access races (this is what ThreadSanitizer runs).
 * Method:  readers identify and look up random keys; one thread revokes them one by one in a store of memory, takes the
 *          change, and then looks whether any of them is still known. The table is smaller than the keys, so that entries
 *          also go for lack of room.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ox/api_key.h"
#include "ox/key_cache.h"
#include "ox/random.h"

#define KEYS    2000u
#define ROOM    1500u
#define READERS 3
#define ROUNDS  10 /* each revokes all keys, and gives them back */

static char texts[KEYS][OX_API_KEY_LEN + 1];
static struct ox_control_key keys[KEYS];
static struct ox_keystore *cache;
static _Atomic bool stop;
static _Atomic uint64_t known;

/* ---- the store ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool revoked[KEYS];
static uint32_t log_of_changes[2 * ROUNDS * KEYS];
static uint64_t n_changes;

static ox_err
find(struct ox_control_store *self, const uint8_t digest[OX_KEY_DIGEST_BYTES], struct ox_control_key *out,
     enum ox_tenant_state *state, struct ox_diag *diag)
{
    uint32_t i = 0;
    while (i < KEYS && memcmp(keys[i].digest, digest, OX_KEY_DIGEST_BYTES) != 0)
        i++;
    OX_ASSERT(i < KEYS);
    *state = OX_TENANT_ACTIVE;
    pthread_mutex_lock(&lock);
    *out = keys[i];
    out->revoked_s = revoked[i] ? 1 : 0;
    pthread_mutex_unlock(&lock);
    sched_yield(); /* what was read grows old */
    return OX_OK;
}

static ox_err
list_changes(struct ox_control_store *self, uint64_t *cursor, struct ox_control_change *out, size_t *n,
             bool *lost, struct ox_diag *diag)
{
    size_t room = *n;
    *n = 0;
    *lost = false;
    pthread_mutex_lock(&lock);
    if (*cursor == OX_CONTROL_FROM_NOW)
        *cursor = n_changes;
    while (*cursor < n_changes && *n < room) {
        struct ox_control_change *c = &out[(*n)++];
        c->whole_tenant = false;
        c->tenant = keys[0].tenant;
        memcpy(c->digest, keys[log_of_changes[(*cursor)++]].digest, OX_KEY_DIGEST_BYTES);
    }
    pthread_mutex_unlock(&lock);
    return OX_OK;
}

static ox_err
wait_none(struct ox_control_store *self, uint32_t timeout_ms, struct ox_diag *diag)
{
    return OX_OK;
}

static ox_err
used(struct ox_control_store *self, const struct ox_control_use *uses, size_t n, struct ox_diag *diag)
{
    return OX_OK;
}

static void
close_none(struct ox_control_store *self)
{
}

static struct ox_control_store store = {.kind = "memory",
                                        .key_by_digest = find,
                                        .changes = list_changes,
                                        .wait = wait_none,
                                        .keys_used = used,
                                        .close = close_none};

static void
set_revoked(uint32_t i, bool on)
{
    pthread_mutex_lock(&lock);
    revoked[i] = on;
    log_of_changes[n_changes++] = i;
    pthread_mutex_unlock(&lock);
}

/* ---- threads ---- */

static struct ox_credential
credential(uint32_t i, const char *peer)
{
    return (struct ox_credential){.key = {texts[i], OX_API_KEY_LEN}, .peer = peer};
}

static void *
read_keys(void *arg)
{
    struct ox_random rnd;
    struct ox_identity who;
    char peer[32];
    ox_random_seed(&rnd, (uintptr_t)arg);
    while (!stop) {
        uint32_t i = (uint32_t)ox_random_below(&rnd, KEYS);
        snprintf(peer, sizeof(peer), "10.0.%u.%u", (unsigned)ox_random_below(&rnd, 256),
                 (unsigned)ox_random_below(&rnd, 256));
        struct ox_credential cred = credential(i, peer);
        ox_err err = cache->identify(cache, &cred, &who, NULL);
        if (err == OX_E_AGAIN)
            err = cache->look_up(cache, &cred, &who, NULL);
        if (err == OX_OK) {
            OX_ASSERT(strcmp(who.key_id, keys[i].id) == 0);
            known++;
        }
    }
    return NULL;
}

static void
take(void)
{
    struct ox_diag diag;
    OX_ASSERT(ox_key_cache_watch(cache, 0, &diag) == OX_OK);
}

/* Once taken, nothing brings it back. */
static void
revoke_all(void)
{
    struct ox_diag diag;
    struct ox_identity who;
    for (uint32_t i = 0; i < KEYS; i++) {
        struct ox_credential cred = credential(i, "192.0.2.1");
        set_revoked(i, true);
        take();
        OX_ASSERT(cache->identify(cache, &cred, &who, NULL) != OX_OK);
        if (i % 100 == 0)
            OX_ASSERT(ox_key_cache_flush(cache, &diag) == OX_OK);
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        struct ox_credential cred = credential(i, "192.0.2.1");
        OX_ASSERT(cache->identify(cache, &cred, &who, NULL) != OX_OK);
    }
    for (uint32_t i = 0; i < KEYS; i++)
        set_revoked(i, false);
    take();
}

static void
make_keys(uint64_t seed)
{
    struct ox_random rnd;
    uint8_t random[OX_API_KEY_RANDOM_BYTES];
    ox_random_seed(&rnd, seed);
    for (uint32_t i = 0; i < KEYS; i++) {
        ox_random_bytes(&rnd, random, sizeof(random));
        ox_api_key_format(random, texts[i]);
        ox_api_key_digest((struct ox_str){texts[i], OX_API_KEY_LEN}, keys[i].digest);
        snprintf(keys[i].id, sizeof(keys[i].id), "k_%u", i);
        snprintf(keys[i].tenant.name, sizeof(keys[i].tenant.name), "t");
        keys[i].role = OX_ROLE_VIEWER;
        keys[i].scopes = OX_SCOPE_QUERY;
    }
}

int
main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    pthread_t readers[READERS];
    printf("seed %llu\n", (unsigned long long)seed);
    make_keys(seed);
    struct ox_key_cache_options o = {
        .store = &store, .clock = ox_clock_real(), .keys_max = ROOM, .unknown_max = 1000000};
    cache = ox_key_cache_new(&o);
    OX_ASSERT(cache != NULL);
    for (uintptr_t r = 0; r < READERS; r++)
        OX_ASSERT(pthread_create(&readers[r], NULL, read_keys, (void *)(seed + r)) == 0);
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        while (known < i * 2000) /* the table fills up again */
            sched_yield();
        revoke_all();
    }
    stop = true;
    for (uintptr_t r = 0; r < READERS; r++)
        pthread_join(readers[r], NULL);
    cache->free(cache);
    printf("%llu times known, %u revocations\n", (unsigned long long)known, ROUNDS * KEYS);
    return known > 0 ? 0 : 1;
}
