/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/gateway/cardinality.c - see include/ox/cardinality.h.
 *
 * Owns:    see there.
 * Threads: see there.
 * Bounds:  see there.
 * Fails:   see there.
 */
#include "ox/cardinality.h"

#define XXH_INLINE_ALL
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "ox/encode.h"
#include "ox/lock.h"

/* ---- a set of hashes ---- */

struct set {
    uint64_t *slots; /* 0 = free */
    size_t cap, n;   /* cap: a power of two */
};

static size_t
slot_of(const struct set *s, uint64_t hash)
{
    size_t i = (size_t)(hash * 0x9e3779b97f4a7c15ull >> 20) & (s->cap - 1);
    while (s->slots[i] != 0 && s->slots[i] != hash)
        i = (i + 1) & (s->cap - 1);
    return i;
}

static bool
set_has(const struct set *s, uint64_t hash)
{
    return s->cap != 0 && s->slots[slot_of(s, hash)] != 0;
}

static bool
set_grow(struct set *s)
{
    struct set bigger = {calloc(s->cap != 0 ? s->cap * 2 : 1024, sizeof(*s->slots)),
                         s->cap != 0 ? s->cap * 2 : 1024, s->n};
    if (bigger.slots == NULL)
        return false;
    for (size_t i = 0; i < s->cap; i++) {
        if (s->slots[i] != 0)
            bigger.slots[slot_of(&bigger, s->slots[i])] = s->slots[i];
    }
    free(s->slots);
    *s = bigger;
    return true;
}

/* Without memory it is not kept, and known to nobody. */
static void
set_add(struct set *s, uint64_t hash)
{
    if (s->n >= s->cap / 4 * 3 && !set_grow(s))
        return;
    size_t i = slot_of(s, hash);
    s->n += s->slots[i] == 0;
    s->slots[i] = hash;
}

/* ---- how many values each label has ---- */

struct label {
    uint64_t hash; /* of metric and label; 0 = free */
    uint32_t values;
};

struct labels {
    struct label *slots;
    size_t cap, n;
};

static struct label *
label_slot(struct label *slots, size_t cap, uint64_t hash)
{
    size_t i = (size_t)(hash >> 16) & (cap - 1);
    while (slots[i].hash != 0 && slots[i].hash != hash)
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

static bool
labels_grow(struct labels *l)
{
    size_t cap = l->cap != 0 ? l->cap * 2 : 256;
    struct label *slots = calloc(cap, sizeof(*slots));
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < l->cap; i++) {
        if (l->slots[i].hash != 0)
            *label_slot(slots, cap, l->slots[i].hash) = l->slots[i];
    }
    free(l->slots);
    l->slots = slots;
    l->cap = cap;
    return true;
}

/* Its entry, made when new; NULL when there is no room. */
static struct label *
label_of(struct labels *l, uint64_t hash)
{
    if (l->n >= l->cap / 4 * 3 && (l->n >= OX_CARDINALITY_LABELS_MAX || !labels_grow(l)))
        return l->cap != 0 && label_slot(l->slots, l->cap, hash)->hash == hash
                   ? label_slot(l->slots, l->cap, hash)
                   : NULL;
    struct label *found = label_slot(l->slots, l->cap, hash);
    l->n += found->hash == 0;
    found->hash = hash;
    return found;
}

/* ---- a tenant ---- */

/* One day. */
struct day {
    struct set series, values;
    struct labels labels;
};

struct guard {
    pthread_mutex_t lock;
    uint32_t number; /* of `today` */
    struct day today, before;
    struct ox_cardinality_status said; /* refused_*, metric and label */
};

struct ox_cardinality {
    uint32_t tenants_max;
    _Atomic(struct guard *) *guards; /* by index; acquire by who looks, release by who makes one */
};

static void
day_fini(struct day *d)
{
    free(d->series.slots);
    free(d->values.slots);
    free(d->labels.slots);
    memset(d, 0, sizeof(*d));
}

struct ox_cardinality *
ox_cardinality_new(uint32_t tenants_max)
{
    struct ox_cardinality *c = calloc(1, sizeof(*c));
    if (c != NULL)
        c->guards = calloc(tenants_max, sizeof(*c->guards));
    if (c == NULL || c->guards == NULL) {
        free(c);
        return NULL;
    }
    c->tenants_max = tenants_max;
    return c;
}

void
ox_cardinality_free(struct ox_cardinality *c)
{
    if (c == NULL)
        return;
    for (uint32_t i = 0; i < c->tenants_max; i++) {
        struct guard *g = atomic_load_explicit(&c->guards[i], memory_order_relaxed);
        if (g == NULL)
            continue;
        day_fini(&g->today);
        day_fini(&g->before);
        pthread_mutex_destroy(&g->lock);
        free(g);
    }
    free(c->guards);
    free(c);
}

static struct guard *
guard_of(struct ox_cardinality *c, uint32_t tenant, bool make)
{
    if (tenant >= c->tenants_max)
        return NULL;
    struct guard *g = atomic_load_explicit(&c->guards[tenant], memory_order_acquire), *none = NULL;
    if (g != NULL || !make)
        return g;
    g = calloc(1, sizeof(*g));
    if (g == NULL)
        return NULL;
    pthread_mutex_init(&g->lock, NULL);
    /* release: whoever sees it sees its lock */
    if (atomic_compare_exchange_strong_explicit(&c->guards[tenant], &none, g, memory_order_acq_rel,
                                                memory_order_acquire))
        return g;
    pthread_mutex_destroy(&g->lock);
    free(g);
    return none;
}

/* What was known yesterday is known for one day more; anything older is not. */
static void
turn_day(struct guard *g, uint32_t day)
{
    if (day <= g->number)
        return;
    day_fini(&g->before);
    if (day == g->number + 1)
        g->before = g->today;
    else
        day_fini(&g->today);
    memset(&g->today, 0, sizeof(g->today));
    memset(&g->said, 0, sizeof(g->said));
    g->number = day;
}

static uint64_t
nonzero(uint64_t hash)
{
    return hash != 0 ? hash : 1;
}

static uint64_t
hash_label(const struct ox_batch *batch, const struct ox_point *p, const struct ox_attr *a)
{
    struct ox_str metric = batch->metrics[p->metric].name, key = ox_attr_key(a);
    uint64_t seed = XXH3_64bits(metric.n > 0 ? metric.p : "", metric.n);
    return nonzero(XXH3_64bits_withSeed(key.n > 0 ? key.p : "", key.n, seed));
}

static uint64_t
hash_value(uint64_t label, const struct ox_attr *a)
{
    return nonzero(label * 0x9e3779b97f4a7c15ull ^ ox_encode_attr_hash(a));
}

static void
note_label(struct guard *g, const struct ox_batch *batch, const struct ox_point *p, const struct ox_attr *a)
{
    struct ox_str metric = batch->metrics[p->metric].name, key = ox_attr_key(a);
    g->said.refused_values++;
    snprintf(g->said.metric, sizeof(g->said.metric), "%.*s", (int)(metric.n < 95 ? metric.n : 95),
             metric.n > 0 ? metric.p : "");
    snprintf(g->said.label, sizeof(g->said.label), "%.*s", (int)(key.n < 95 ? key.n : 95),
             key.n > 0 ? key.p : "");
}

/* Whether each of the point's labels may have its value. */
static bool
values_fit(struct guard *g, const struct ox_batch *batch, const struct ox_point *p, uint64_t max)
{
    for (uint32_t i = 0; i < p->attrs.count; i++) {
        const struct ox_attr *a = &batch->attrs[p->attrs.first + i];
        uint64_t label = hash_label(batch, p, a), value = hash_value(label, a);
        if (set_has(&g->today.values, value) || set_has(&g->before.values, value))
            continue;
        const struct label *l = label_of(&g->today.labels, label);
        if ((l != NULL && l->values >= max) || g->today.values.n >= OX_CARDINALITY_VALUES_MAX) {
            note_label(g, batch, p, a);
            return false;
        }
    }
    return true;
}

static void
keep_values(struct guard *g, const struct ox_batch *batch, const struct ox_point *p)
{
    for (uint32_t i = 0; i < p->attrs.count; i++) {
        const struct ox_attr *a = &batch->attrs[p->attrs.first + i];
        uint64_t label = hash_label(batch, p, a), value = hash_value(label, a);
        if (set_has(&g->today.values, value))
            continue;
        struct label *l = label_of(&g->today.labels, label);
        if (l != NULL)
            l->values++;
        set_add(&g->today.values, value);
    }
}

static enum ox_reject
judge_point(struct guard *g, const struct ox_batch *batch, const struct ox_point *p, uint64_t id,
            const struct ox_cardinality_limits *limits)
{
    id = nonzero(id);
    if (set_has(&g->today.series, id))
        return OX_REJECT_NONE;
    bool known = set_has(&g->before.series, id);
    if (!known && limits->series > 0 && g->today.series.n >= limits->series) {
        g->said.refused_series++;
        return OX_REJECT_SERIES;
    }
    if (!known && limits->label_values > 0 && !values_fit(g, batch, p, limits->label_values))
        return OX_REJECT_LABEL_VALUES;
    if (limits->label_values > 0)
        keep_values(g, batch, p);
    set_add(&g->today.series, id);
    return OX_REJECT_NONE;
}

void
ox_cardinality_judge(struct ox_cardinality *c, uint32_t tenant, struct ox_batch *batch,
                     const struct ox_cardinality_limits *limits, uint32_t day,
                     struct ox_validate_counts *counts)
{
    if (batch->signal != OX_SIGNAL_METRICS || (limits->series == 0 && limits->label_values == 0))
        return;
    struct guard *g = guard_of(c, tenant, true);
    uint64_t *ids = g != NULL ? malloc((batch->n_points + 1) * sizeof(*ids)) : NULL;
    if (ids == NULL)
        return;
    ox_encode_series_ids(batch, ids);
    ox_lock(&g->lock);
    turn_day(g, day);
    for (uint32_t i = 0; i < batch->n_points; i++) {
        struct ox_point *p = &batch->points[i];
        if (p->reject != OX_REJECT_NONE)
            continue;
        p->reject = (uint8_t)judge_point(g, batch, p, ids[i], limits);
        if (p->reject == OX_REJECT_NONE)
            continue;
        counts->by_reject[OX_REJECT_NONE]--;
        counts->by_reject[p->reject]++;
        batch->n_rejected++;
    }
    ox_unlock(&g->lock);
    free(ids);
}

void
ox_cardinality_status(struct ox_cardinality *c, uint32_t tenant, struct ox_cardinality_status *out)
{
    struct guard *g = guard_of(c, tenant, false);
    memset(out, 0, sizeof(*out));
    if (g == NULL)
        return;
    ox_lock(&g->lock);
    *out = g->said;
    out->series = g->today.series.n;
    ox_unlock(&g->lock);
}
