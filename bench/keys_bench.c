/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/keys_bench.c - what it costs to know who somebody is: key validations per second on one core.
 *
 * Owns:    a key cache with KEYS keys behind a store that is an array, so that only the cache is measured.
 * Threads: one, or two for the last line.
 *
 * The floor is the digest alone: nothing that finds a key by its digest can be faster. Compared are one key, which stays
 * in the processor's caches, KEYS keys in random order, keys that nobody knows, and the development validator.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ox/api_key.h"
#include "ox/key_cache.h"
#include "ox/random.h"

#define KEYS   100000u
#define CALLS  2000000u
#define ROUNDS 5

static char (*texts)[OX_API_KEY_LEN + 1];
static struct ox_control_key *stored;
static struct ox_keystore *cache;

/* ---- the store: an array in the order of digests ---- */

static int
by_digest(const void *a, const void *b)
{
    return memcmp(((const struct ox_control_key *)a)->digest, ((const struct ox_control_key *)b)->digest,
                  OX_KEY_DIGEST_BYTES);
}

static ox_err
find(struct ox_control_store *self, const uint8_t digest[OX_KEY_DIGEST_BYTES], struct ox_control_key *out,
     enum ox_tenant_state *state, struct ox_diag *diag)
{
    struct ox_control_key wanted = {{0}};
    memcpy(wanted.digest, digest, OX_KEY_DIGEST_BYTES);
    const struct ox_control_key *got = bsearch(&wanted, stored, KEYS, sizeof(*stored), by_digest);
    if (got == NULL)
        return OX_E_NOT_FOUND;
    *out = *got;
    *state = OX_TENANT_ACTIVE;
    return OX_OK;
}

static ox_err
no_changes(struct ox_control_store *self, uint64_t *cursor, struct ox_control_change *out, size_t *n,
           bool *lost, struct ox_diag *diag)
{
    *cursor = 0;
    *n = 0;
    *lost = false;
    return OX_OK;
}

static void
close_none(struct ox_control_store *self)
{
}

static struct ox_control_store store = {
    .kind = "array", .key_by_digest = find, .changes = no_changes, .close = close_none};

/* ---- measuring ---- */

static uint64_t
cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void
make_keys(void)
{
    texts = calloc(KEYS, sizeof(*texts));
    stored = calloc(KEYS, sizeof(*stored));
    OX_ASSERT(texts != NULL && stored != NULL);
    for (uint32_t i = 0; i < KEYS; i++) {
        OX_ASSERT(ox_api_key_generate(texts[i], &stored[i]) == OX_OK);
        snprintf(stored[i].tenant.name, sizeof(stored[i].tenant.name), "tenant-%u", i % 1000);
        stored[i].scopes = OX_SCOPE_INGEST;
        stored[i].role = OX_ROLE_EDITOR;
    }
    qsort(stored, KEYS, sizeof(*stored), by_digest);
}

static uint64_t
heap_bytes(void)
{
    return mallinfo2().uordblks + mallinfo2().hblkhd;
}

static void
fill_cache(void)
{
    struct ox_key_cache_options o = {.store = &store,
                                     .dev =
                                         ox_keystore_dev_new(OX_STR("0123456789abcdef"), (struct ox_str){0}),
                                     .clock = ox_clock_real(),
                                     .keys_max = KEYS,
                                     .unknown_max = 1000000};
    uint64_t before = heap_bytes(), t0;
    struct ox_identity who;
    cache = ox_key_cache_new(&o);
    OX_ASSERT(cache != NULL);
    t0 = cpu_ns();
    for (uint32_t i = 0; i < KEYS; i++) {
        struct ox_credential cred = {.key = {texts[i], OX_API_KEY_LEN}, .peer = "192.0.2.1"};
        OX_ASSERT(cache->look_up(cache, &cred, &who, NULL) == OX_OK);
    }
    printf("%u keys known after %.0f ms of look-ups in an array; %.0f bytes each\n", KEYS,
           (double)(cpu_ns() - t0) / 1e6, (double)(heap_bytes() - before) / KEYS);
}

/* ns of each of CALLS validations among the first `keys`. */
static double
validate(uint32_t keys, uint64_t seed)
{
    struct ox_random rnd;
    struct ox_identity who;
    ox_random_seed(&rnd, seed);
    uint64_t t0 = cpu_ns();
    for (uint32_t i = 0; i < CALLS; i++) {
        uint32_t k = (uint32_t)ox_random_below(&rnd, keys);
        struct ox_credential cred = {.key = {texts[k], OX_API_KEY_LEN}, .peer = "192.0.2.1"};
        OX_ASSERT(cache->identify(cache, &cred, &who, NULL) == OX_OK);
    }
    return (double)(cpu_ns() - t0) / CALLS;
}

static double
one_key(void)
{
    return validate(1, 1);
}

static double
all_keys(void)
{
    return validate(KEYS, 2);
}

static double
digests(void)
{
    struct ox_random rnd;
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    unsigned sum = 0;
    ox_random_seed(&rnd, 2);
    uint64_t t0 = cpu_ns();
    for (uint32_t i = 0; i < CALLS; i++) {
        ox_api_key_digest((struct ox_str){texts[ox_random_below(&rnd, KEYS)], OX_API_KEY_LEN}, digest);
        sum += digest[0];
    }
    double ns = (double)(cpu_ns() - t0) / CALLS;
    OX_ASSERT(sum > 0);
    return ns;
}

/* One that was asked for and is known to be none. */
static double
unknown_key(void)
{
    char text[OX_API_KEY_LEN + 1];
    struct ox_control_key key;
    struct ox_identity who;
    struct ox_credential cred = {.key = {text, OX_API_KEY_LEN}, .peer = "192.0.2.1"};
    OX_ASSERT(ox_api_key_generate(text, &key) == OX_OK);
    OX_ASSERT(cache->look_up(cache, &cred, &who, NULL) == OX_E_UNAUTHENTICATED);
    uint64_t t0 = cpu_ns();
    for (uint32_t i = 0; i < CALLS / 10; i++)
        OX_ASSERT(cache->identify(cache, &cred, &who, NULL) != OX_OK);
    return (double)(cpu_ns() - t0) / (CALLS / 10);
}

static double
development_key(void)
{
    char text[OX_DEV_KEY_MAX];
    struct ox_tenant_id id = {"tenant-1"};
    struct ox_identity who;
    ox_keystore_dev_key(OX_STR("0123456789abcdef"), &id, text);
    struct ox_credential cred = {.key = ox_str_of(text), .peer = "192.0.2.1"};
    uint64_t t0 = cpu_ns();
    for (uint32_t i = 0; i < CALLS / 10; i++)
        OX_ASSERT(cache->identify(cache, &cred, &who, NULL) == OX_OK);
    return (double)(cpu_ns() - t0) / (CALLS / 10);
}

static int
by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double
median(double (*measure)(void))
{
    double ns[ROUNDS];
    measure(); /* warms up */
    for (int i = 0; i < ROUNDS; i++)
        ns[i] = measure();
    qsort(ns, ROUNDS, sizeof(ns[0]), by_size);
    return ns[ROUNDS / 2];
}

static void *
beside(void *result)
{
    *(double *)result = validate(KEYS, 3);
    return NULL;
}

/* Two threads on the same table: what the readers' locks cost each other. */
static double
two_threads(void)
{
    pthread_t other;
    double mine, its = 0;
    OX_ASSERT(pthread_create(&other, NULL, beside, &its) == 0);
    mine = validate(KEYS, 4);
    pthread_join(other, NULL);
    return (mine + its) / 2;
}

static void
print(const char *what, double ns, double floor_ns)
{
    printf("%-44s %7.0f ns   %9.0f per second and core   %5.1f x the digest\n", what, ns, 1e9 / ns,
           ns / floor_ns);
}

int
main(void)
{
    make_keys();
    fill_cache();
    double floor_ns = median(digests);
    print("the digest alone (floor)", floor_ns, floor_ns);
    print("a known key, always the same", median(one_key), floor_ns);
    print("known keys, 100,000 in random order", median(all_keys), floor_ns);
    print("the same, two threads at once", median(two_threads), floor_ns);
    print("an unknown key, asked for before", median(unknown_key), floor_ns);
    print("a development key (HMAC-SHA-256)", median(development_key), floor_ns);
    cache->free(cache);
    free(texts);
    free(stored);
    return 0;
}
