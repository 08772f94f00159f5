/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/metric_tenants.c - which tenants the exposition names, and which it sums up as "other".
 *
 * All counting is by tenant (up to OX_METRIC_TENANTS_TRACKED of them); only what is shown is cut, to the
 * OX_METRIC_TENANTS_MAX largest by what their counters hold. Three rules keep the figures sound:
 *   - the shown series of a metric always add up to all that was counted;
 *   - no series goes backwards. When a tenant gets series of its own they begin at 0, and what he had counted until
 *     then stays in "other" for good (`base`). When one loses them, what they showed moves into "other", which jumps
 *     up once;
 *   - so that this is rare, a tenant takes the place of another only when he is larger by a quarter.
 * While there are no more tenants than may be shown nothing of this costs anything.
 *
 * Owns:    the list of tenants with their rank, and the bases.
 * Threads: any; under `ranks.lock`, which is taken before all other locks of the metrics.
 * Bounds:  one entry per tracked tenant; one base per series of a tenant who was "other" before.
 * Fails:   without memory a tenant stays where he is, or the exposition is marked as failed.
 */
#include <pthread.h>
#include <stdlib.h>

#include "ox/lock.h"
#include "runtime/core/metric_internal.h"

#define LARGER_BY 4 /* a quarter */

/* Words of a tenant's entry. */
enum { SIZE, STATE, RANK_WORDS };
enum { NEW, SHOWN, HIDDEN, RISING }; /* RISING: was hidden until this look */

static struct {
    pthread_mutex_t lock;
    struct ox__cells tenants; /* id: OX_M__COUNT */
    struct ox__cells bases;
    uint32_t shown;
    bool ranked; /* at least once */
    bool cut;    /* some are hidden */
} ranks = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t
get(const struct ox__cell *cell, uint32_t i)
{
    return atomic_load_explicit(&cell->words[i], memory_order_relaxed);
}

static void
put(struct ox__cell *cell, uint32_t i, uint64_t v)
{
    atomic_store_explicit(&cell->words[i], v, memory_order_relaxed);
}

/* The value of the label number `index`. */
static struct ox_str
label_at(const struct ox__cell *cell, int index)
{
    const char *p = cell->labels;
    for (; index > 0; index--)
        p += strlen(p) + 1;
    return ox_str_of(p);
}

static struct ox__cell *
rank_of(struct ox_str tenant)
{
    return ox__cells_find(&ranks.tenants, OX_M__COUNT, tenant.p, tenant.n);
}

static bool
counts_for_size(uint32_t id)
{
    return ox__metric_tenant_label(id) >= 0 &&
           ox_metric_info((enum ox_metric_id)id)->type == OX_METER_counter;
}

/* Calls fn for every series of every counter that is kept by tenant. */
static void
each_series(void (*fn)(const struct ox__cell *cell, struct ox_str tenant))
{
    for (uint32_t id = 0; id < OX_M__COUNT; id++) {
        struct ox__cells sums = {0};
        if (!counts_for_size(id))
            continue;
        (void)ox__metric_collect(id, &sums);
        for (uint32_t i = 0; i < sums.buckets_n; i++) {
            for (struct ox__cell *c = sums.buckets[i]; c != NULL; c = c->next)
                fn(c, label_at(c, ox__metric_tenant_label(id)));
        }
        ox__cells_fini(&sums);
    }
}

static void
add_size(const struct ox__cell *cell, struct ox_str tenant)
{
    struct ox__cell *rank = rank_of(tenant);
    if (ox_str_eq(tenant, OX_STR("other")))
        return;
    if (rank == NULL)
        rank = ox__cells_add(&ranks.tenants, OX_M__COUNT, tenant.p, tenant.n, RANK_WORDS);
    if (rank != NULL)
        put(rank, SIZE, get(rank, SIZE) + get(cell, 0));
}

/* What was shown as "other" until now stays there. */
static void
keep_base(const struct ox__cell *cell, struct ox_str tenant)
{
    struct ox__cell *rank = rank_of(tenant);
    if (rank == NULL || get(rank, STATE) != RISING)
        return;
    struct ox__cell *base = ox__cells_find(&ranks.bases, cell->id, cell->labels, cell->labels_n);
    if (base == NULL)
        base = ox__cells_add(&ranks.bases, cell->id, cell->labels, cell->labels_n, cell->words_n);
    if (base == NULL)
        put(rank, STATE, HIDDEN); /* without memory he stays */
    for (uint32_t i = 0; base != NULL && i < cell->words_n; i++)
        put(base, i, get(cell, i));
}

static int
by_size(const void *a, const void *b)
{
    uint64_t x = get(*(struct ox__cell *const *)a, SIZE), y = get(*(struct ox__cell *const *)b, SIZE);
    return (x < y) - (x > y);
}

static bool
is_shown(const struct ox__cell *rank)
{
    uint64_t state = get(rank, STATE);
    return state == SHOWN || state == RISING;
}

static void
rise(struct ox__cell *rank)
{
    put(rank, STATE, ranks.ranked ? RISING : SHOWN); /* until the first look nobody was in "other" */
    ranks.shown++;
}

/* list: largest first. First who finds room, then who is clearly larger than the smallest that is shown. */
static void
choose(struct ox__cell **list, uint32_t n)
{
    for (uint32_t i = 0; i < n && ranks.shown < OX_METRIC_TENANTS_MAX; i++) {
        if (!is_shown(list[i]))
            rise(list[i]);
    }
    uint32_t last = n;
    for (uint32_t i = 0; i < n; i++) {
        if (is_shown(list[i]))
            continue;
        while (last > 0 && !is_shown(list[last - 1]))
            last--;
        if (last == 0 || last - 1 <= i)
            break;
        uint64_t small = get(list[last - 1], SIZE);
        if (get(list[i], SIZE) <= small + small / LARGER_BY)
            break;
        put(list[last - 1], STATE, HIDDEN);
        ranks.shown--;
        rise(list[i]);
    }
}

static void
settle(struct ox__cell **list, uint32_t n)
{
    each_series(keep_base);
    ranks.shown = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (is_shown(list[i])) {
            put(list[i], STATE, SHOWN);
            ranks.shown++;
        } else {
            put(list[i], STATE, HIDDEN);
        }
    }
    ranks.cut = ranks.shown < n;
    ranks.ranked = true;
}

/* Under ranks.lock. */
static void
rank_all(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < ranks.tenants.buckets_n; i++)
        for (struct ox__cell *c = ranks.tenants.buckets[i]; c != NULL; c = c->next)
            put(c, SIZE, 0);
    each_series(add_size);
    struct ox__cell **list = malloc((ranks.tenants.n + 1) * sizeof(struct ox__cell *));
    if (list == NULL)
        return;
    for (uint32_t i = 0; i < ranks.tenants.buckets_n; i++)
        for (struct ox__cell *c = ranks.tenants.buckets[i]; c != NULL; c = c->next)
            list[n++] = c;
    qsort(list, n, sizeof(struct ox__cell *), by_size);
    choose(list, n);
    settle(list, n);
    free(list);
}

void
ox__metric_rank(void)
{
    if (ox__metric_tenants() <= OX_METRIC_TENANTS_MAX)
        return;
    ox_lock(&ranks.lock);
    rank_all();
    ox_unlock(&ranks.lock);
}

/* The labels with "other" in place of the tenant. */
static size_t
other_labels(const struct ox__cell *cell, int tenant, char *out)
{
    const char *end = cell->labels + cell->labels_n;
    size_t n = 0;
    int i = 0;
    for (const char *p = cell->labels; p < end; p += strlen(p) + 1, i++) {
        const char *value = i == tenant ? "other" : p;
        memcpy(out + n, value, strlen(value) + 1);
        n += strlen(value) + 1;
    }
    return n;
}

static bool
add_to(struct ox__cells *out, const struct ox__cell *cell, const char *labels, size_t labels_n,
       const struct ox__cell *words)
{
    struct ox__cell *to = ox__cells_find(out, cell->id, labels, labels_n);
    if (to == NULL)
        to = ox__cells_add(out, cell->id, labels, labels_n, cell->words_n);
    if (to != NULL)
        ox__metric_merge(to, words);
    return to != NULL;
}

static bool
show(struct ox__cells *out, const struct ox__cell *cell, int tenant)
{
    char other[OX__METRIC_LABELS_BYTES + 8];
    const struct ox__cell *rank = rank_of(label_at(cell, tenant));
    const struct ox__cell *base = ox__cells_find(&ranks.bases, cell->id, cell->labels, cell->labels_n);
    size_t other_n = other_labels(cell, tenant, other);
    if (rank == NULL || get(rank, STATE) != SHOWN) /* also who came after the look */
        return add_to(out, cell, other, other_n, cell);
    bool ok = add_to(out, cell, cell->labels, cell->labels_n, cell);
    if (ok && base != NULL) {
        struct ox__cell *own = ox__cells_find(out, cell->id, cell->labels, cell->labels_n);
        for (uint32_t i = 0; i < own->words_n; i++)
            put(own, i, get(own, i) - get(base, i));
        ok = add_to(out, cell, other, other_n, base);
    }
    return ok;
}

bool
ox__metric_cut(uint32_t id, struct ox__cells *sums)
{
    struct ox__cells out = {0};
    bool ok = true;
    if (!counts_for_size(id))
        return true;
    ox_lock(&ranks.lock);
    bool cut = ranks.cut || ranks.bases.n > 0;
    for (uint32_t i = 0; cut && i < sums->buckets_n; i++) {
        for (struct ox__cell *c = sums->buckets[i]; c != NULL; c = c->next)
            ok = show(&out, c, ox__metric_tenant_label(id)) && ok;
    }
    ox_unlock(&ranks.lock);
    if (cut) {
        ox__cells_fini(sums);
        *sums = out;
    }
    return ok;
}
