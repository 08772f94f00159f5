/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/span_stats.c - see span_stats.h.
 *
 * Owns, Threads, Bounds, Fails, Flow: see there.
 */
#include "span_stats.h"

#include <stdlib.h>

#include "encode_rows.h"
#include "ox/exphist.h"

#define SLOTS_FIRST   256u
#define BUCKETS_FIRST 1024u

_Static_assert(sizeof(struct ox__span_stat_key) == 16, "keys are compared and hashed as two words");

void
ox__span_stats_init(struct ox__span_stats *stats, struct ox_block *block)
{
    *stats = (struct ox__span_stats){.block = block, .resource = OX__NONE};
}

void
ox__span_stats_fini(struct ox__span_stats *stats)
{
    free(stats->list);
    free(stats->slots);
    free(stats->buckets);
    free(stats->counts);
    *stats = (struct ox__span_stats){.resource = OX__NONE};
}

void
ox__span_stats_forget(struct ox__span_stats *stats)
{
    stats->resource = OX__NONE;
}

size_t
ox__span_stats_bytes(const struct ox__span_stats *stats)
{
    return stats->n * sizeof(*stats->list) +
           stats->n_buckets * (sizeof(*stats->buckets) + sizeof(*stats->counts));
}

/* A product spreads its input to its upper half: those bits decide. */
static uint32_t
hash(uint64_t a, uint64_t b)
{
    uint64_t h = (a ^ (b * 0x9e3779b97f4a7c15ull)) * 0xd6e8feb86659fd93ull;
    return (uint32_t)(h >> 32);
}

static uint32_t
key_hash(const struct ox__span_stat_key *key)
{
    uint64_t words[2];
    memcpy(words, key, sizeof(words));
    return hash(words[0], words[1]);
}

/* ---- operations ---- */

static uint32_t *
slot_of(uint32_t *slots, uint32_t n_slots, const struct ox__span_stat *list,
        const struct ox__span_stat_key *key)
{
    uint32_t at = key_hash(key) & (n_slots - 1);
    while (slots[at] != 0 && memcmp(&list[slots[at] - 1].key, key, sizeof(*key)) != 0)
        at = (at + 1) & (n_slots - 1);
    return &slots[at];
}

/* Twice the slots, and as many operations as half of them. */
static bool
grow(struct ox__span_stats *stats)
{
    uint32_t n_slots = stats->n_slots != 0 ? 2 * stats->n_slots : SLOTS_FIRST;
    uint32_t *slots = calloc(n_slots, sizeof(*slots));
    struct ox__span_stat *list = realloc(stats->list, n_slots / 2 * sizeof(*list));
    if (list != NULL)
        stats->list = list;
    if (slots == NULL || list == NULL) {
        free(slots);
        return false;
    }
    for (uint32_t i = 0; i < stats->n; i++)
        *slot_of(slots, n_slots, list, &list[i].key) = i + 1;
    free(stats->slots);
    stats->slots = slots;
    stats->n_slots = n_slots;
    stats->cap = n_slots / 2;
    return true;
}

/* The counts of `key`, made when it is new and `may_add`; NULL when not there, or without memory. */
static struct ox__span_stat *
find(struct ox__span_stats *stats, const struct ox__span_stat_key *key, bool may_add)
{
    if (stats->n == stats->cap && !grow(stats)) {
        stats->failed = true;
        return NULL;
    }
    uint32_t *slot = slot_of(stats->slots, stats->n_slots, stats->list, key);
    if (*slot == 0 && may_add) {
        stats->list[stats->n] = (struct ox__span_stat){.key = *key, .min_ns = UINT64_MAX};
        *slot = ++stats->n;
    }
    return *slot != 0 ? &stats->list[*slot - 1] : NULL;
}

static void
enter_resource(struct ox__span_stats *stats, const struct ox_batch *batch, uint32_t resource)
{
    struct ox_col *c = stats->block->cols;
    stats->resource = resource;
    stats->tenant = ox__dict_get(&c[R_TENANT].dict, ox_str_of(batch->tenant.name));
    stats->service = ox__dict_get(&c[R_SERVICE].dict, batch->resources[resource].service_name);
}

/* Names come from outside and may be without end, with an id in each: past the bound one that is not in the list already is
 * counted with all others. Its text is not kept either. */
static struct ox__span_stat *
stat_of(struct ox__span_stats *stats, const struct ox_span *span, uint32_t minute)
{
    struct ox_dict *names = &stats->block->cols[R_NAME].dict;
    bool room = stats->n < OX__SPAN_STATS_NAMED;
    struct ox__span_stat_key key = {.tenant = stats->tenant,
                                    .service = stats->service,
                                    .minute = (uint16_t)minute,
                                    .kind = span->kind,
                                    .status = span->status_code};
    uint32_t known = room ? ox__dict_get(names, span->name) : ox__dict_known(names, span->name);
    key.name = known;
    struct ox__span_stat *stat = known != OX__DICT_NONE ? find(stats, &key, room) : NULL;
    if (stat != NULL || room)
        return stat;
    key.name = ox__dict_get(names, OX_STR(OX__SPAN_STATS_OTHER));
    return find(stats, &key, true);
}

/* ---- buckets ---- */

static bool
grow_buckets(struct ox__span_stats *stats)
{
    uint32_t cap = stats->cap_buckets != 0 ? 2 * stats->cap_buckets : BUCKETS_FIRST;
    uint64_t *buckets = calloc(cap, sizeof(*buckets));
    uint32_t *counts = malloc(cap * sizeof(*counts));
    if (buckets == NULL || counts == NULL) {
        free(buckets);
        free(counts);
        return false;
    }
    for (uint32_t i = 0; i < stats->cap_buckets; i++) {
        if (stats->buckets[i] == 0)
            continue;
        uint32_t at = hash(stats->buckets[i], 0) & (cap - 1);
        while (buckets[at] != 0)
            at = (at + 1) & (cap - 1);
        buckets[at] = stats->buckets[i];
        counts[at] = stats->counts[i];
    }
    free(stats->buckets);
    free(stats->counts);
    stats->buckets = buckets;
    stats->counts = counts;
    stats->cap_buckets = cap;
    return true;
}

static void
count_bucket(struct ox__span_stats *stats, uint32_t position, int16_t index)
{
    if (2 * stats->n_buckets >= stats->cap_buckets && !grow_buckets(stats)) {
        stats->failed = true;
        return;
    }
    uint64_t key = (uint64_t)(position + 1) << 32 | (uint16_t)index;
    uint32_t at = hash(key, 0) & (stats->cap_buckets - 1);
    while (stats->buckets[at] != 0 && stats->buckets[at] != key)
        at = (at + 1) & (stats->cap_buckets - 1);
    if (stats->buckets[at] == 0) {
        stats->buckets[at] = key;
        stats->counts[at] = 0;
        stats->n_buckets++;
    }
    stats->counts[at]++;
}

void
ox__span_stats_count(struct ox__span_stats *stats, const struct ox_batch *batch, const struct ox_span *span,
                     uint32_t minute)
{
    uint32_t resource = batch->scopes[span->scope].resource;
    if (OX_UNLIKELY(stats->resource != resource))
        enter_resource(stats, batch, resource);
    struct ox__span_stat *stat = stat_of(stats, span, minute);
    if (OX_UNLIKELY(stat == NULL))
        return;
    uint64_t ns = span->end_ns - span->start_ns;
    stat->calls++;
    stat->sum_ns += ns;
    stat->min_ns = ns < stat->min_ns ? ns : stat->min_ns;
    if (ns >= stat->max_ns) {
        stat->max_ns = ns;
        memcpy(stat->slowest, span->trace_id, sizeof(stat->slowest));
    }
    count_bucket(stats, (uint32_t)(stat - stats->list), ox_exphist_index(ns));
}

/* ---- rows ---- */

struct bucket {
    uint32_t position;
    int16_t index;
    uint32_t count;
};

static int
by_position(const void *a, const void *b)
{
    const struct bucket *x = a, *y = b;
    if (x->position != y->position)
        return x->position < y->position ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* All buckets, those of one operation together and in order: NULL without memory. */
static struct bucket *
sorted_buckets(const struct ox__span_stats *stats)
{
    struct bucket *list = malloc((stats->n_buckets + 1) * sizeof(*list));
    uint32_t n = 0;
    for (uint32_t i = 0; list != NULL && i < stats->cap_buckets; i++) {
        if (stats->buckets[i] != 0)
            list[n++] = (struct bucket){(uint32_t)(stats->buckets[i] >> 32) - 1,
                                        (int16_t)(uint16_t)stats->buckets[i], stats->counts[i]};
    }
    if (list != NULL)
        qsort(list, n, sizeof(*list), by_position);
    return list;
}

static void
put_row(struct ox_block *block, const struct ox__span_stat *stat, uint32_t from_s)
{
    struct ox_col *c = block->cols;
    OX__PUT(uint32_t, &c[R_TENANT], stat->key.tenant);
    OX__PUT(uint32_t, &c[R_SERVICE], stat->key.service);
    OX__PUT(uint32_t, &c[R_NAME], stat->key.name);
    OX__PUT(uint8_t, &c[R_KIND], stat->key.kind);
    OX__PUT(uint8_t, &c[R_STATUS], stat->key.status);
    OX__PUT(uint32_t, &c[R_TIME], from_s + stat->key.minute * 60u);
    OX__PUT(uint64_t, &c[R_CALLS], stat->calls);
    OX__PUT(uint64_t, &c[R_SUM], stat->sum_ns);
    OX__PUT(uint64_t, &c[R_MIN], stat->min_ns);
    OX__PUT(uint64_t, &c[R_MAX], stat->max_ns);
    ox__put_bytes(&c[R_SLOWEST], stat->slowest, sizeof(stat->slowest));
    block->rows++;
}

static void
put_rows(struct ox__span_stats *stats, const struct bucket *buckets, uint32_t from_s)
{
    struct ox_col *c = stats->block->cols;
    const struct bucket *b = buckets, *end = buckets + stats->n_buckets;
    for (uint32_t i = 0; i < stats->n; i++) {
        uint32_t n = 0;
        put_row(stats->block, &stats->list[i], from_s);
        for (; b < end && b->position == i; b++, n++) {
            OX__PUSH(int16_t, &c[R_BUCKETS].data, b->index);
            OX__PUSH(uint64_t, &c[R_COUNTS].data, b->count);
        }
        ox__end_array(stats->block, stats->block->defs[R_BUCKETS].group, n);
    }
}

void
ox__span_stats_write(struct ox__span_stats *stats, uint32_t from_s)
{
    if (stats->n == 0)
        return;
    struct bucket *buckets = sorted_buckets(stats);
    if (buckets == NULL || !ox__block_reserve(stats->block, stats->n))
        stats->failed = true;
    else
        put_rows(stats, buckets, from_s);
    free(buckets);
    memset(stats->slots, 0, stats->n_slots * sizeof(*stats->slots));
    memset(stats->buckets, 0, stats->cap_buckets * sizeof(*stats->buckets));
    stats->n = stats->n_buckets = 0;
}
