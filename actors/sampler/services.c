/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/sampler/services.c - see services.h.
 *
 * Owns, Threads, Bounds, Fails, Flow: see there.
 */
#include "actors/sampler/services.h"

#include <stdlib.h>
#include <xxhash.h>

#include "ox/mix.h"

#define NS_PER_MS 1000000ull
/* 95 % of fewer spans says little; past the larger number all counts are halved, so that it follows the load. */
#define DELAYS_MIN 100u
#define DELAYS_MAX 4096u

static uint16_t *
slot_of(const struct ox__services *names, uint64_t hash, struct ox_str name)
{
    uint32_t at = (uint32_t)ox_mix64(hash ^ names->seed) & (names->n_slots - 1);
    while (names->slots[at] != 0) {
        const struct ox__service *n = &names->list[names->slots[at] - 1];
        if (n->hash == hash && ox_str_eq(n->text, name))
            break;
        at = (at + 1) & (names->n_slots - 1);
    }
    return &names->slots[at];
}

static uint16_t
add(struct ox__services *names, struct ox_str name, uint64_t hash, uint16_t *slot)
{
    char *copy = malloc(name.n + 1);
    if (copy == NULL)
        return OX__SERVICE_OTHER;
    if (name.n > 0)
        memcpy(copy, name.p, name.n);
    copy[name.n] = '\0';
    struct ox__service *s = &names->list[names->n];
    memset(s, 0, sizeof(*s));
    s->text.p = copy;
    s->text.n = name.n;
    s->hash = hash;
    *slot = (uint16_t)++names->n;
    return (uint16_t)(names->n - 1);
}

uint16_t
ox__services_get(struct ox__services *names, struct ox_str name)
{
    if (name.n > OX__SERVICE_BYTES_MAX)
        name.n = OX__SERVICE_BYTES_MAX;
    uint64_t hash = XXH3_64bits(name.n > 0 ? name.p : "", name.n);
    uint16_t *slot = slot_of(names, hash, name);
    if (*slot != 0)
        return (uint16_t)(*slot - 1);
    return names->n < names->max ? add(names, name, hash, slot) : OX__SERVICE_OTHER;
}

ox_err
ox__services_init(struct ox__services *names, uint32_t max, uint64_t seed)
{
    OX_ASSERT(max >= 2 && max <= OX__SERVICES_MAX);
    *names = (struct ox__services){.max = max, .n_slots = 4, .seed = seed};
    while (names->n_slots < 2 * max)
        names->n_slots *= 2;
    names->list = malloc(max * sizeof(*names->list));
    names->slots = calloc(names->n_slots, sizeof(*names->slots));
    if (names->list == NULL || names->slots == NULL ||
        ox__services_get(names, OX_STR("")) != OX__SERVICE_NONE || names->n != 1 ||
        ox__services_get(names, OX_STR("(other services)")) != OX__SERVICE_OTHER || names->n != 2) {
        ox__services_fini(names);
        return OX_E_NOMEM;
    }
    return OX_OK;
}

void
ox__services_fini(struct ox__services *names)
{
    for (uint32_t i = 0; i < names->n; i++)
        free((void *)(uintptr_t)names->list[i].text.p);
    free(names->list);
    free(names->slots);
    *names = (struct ox__services){0};
}

struct ox__service *
ox__services_at(const struct ox__services *names, uint16_t number)
{
    OX_ASSERT(number < names->n);
    return &names->list[number];
}

/* ---- delays ---- */

/* Bucket k: longer than 2^((k-1)/2) ms, up to 2^(k/2); the first takes all that is shorter, the last all that is
 * longer. */
static uint32_t
bucket_of(uint64_t delay_ns)
{
    uint64_t ms = delay_ns / NS_PER_MS;
    if (ms <= 1)
        return 0;
    uint32_t doublings = 63 - (uint32_t)__builtin_clzll(ms);
    uint64_t half = (uint64_t)((double)(1ull << doublings) * 1.41421356237);
    uint32_t k = 2 * doublings + (ms > half ? 2 : ms > 1ull << doublings ? 1 : 0);
    return k < OX__DELAY_BUCKETS ? k : OX__DELAY_BUCKETS - 1;
}

static void
halve(struct ox__delays *d)
{
    d->total = 0;
    for (uint32_t i = 0; i < OX__DELAY_BUCKETS; i++)
        d->total += d->counts[i] /= 2;
}

void
ox__delays_add(struct ox__delays *delays, uint64_t delay_ns)
{
    delays->counts[bucket_of(delay_ns)]++;
    if (++delays->total == DELAYS_MAX)
        halve(delays);
}

uint64_t
ox__delays_p95(const struct ox__delays *delays, uint64_t max_ns)
{
    uint32_t seen = 0, k = 0;
    if (delays->total < DELAYS_MIN)
        return max_ns;
    for (; k < OX__DELAY_BUCKETS - 1; k++) {
        seen += delays->counts[k];
        if (seen * 20ull >= delays->total * 19ull)
            break;
    }
    uint64_t ns = (NS_PER_MS << k / 2) * (k % 2 != 0 ? 1415 : 1000) / 1000;
    return k < OX__DELAY_BUCKETS - 1 && ns < max_ns ? ns : max_ns;
}
