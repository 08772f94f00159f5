/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_hist.c - quantiles from histogram buckets of any layout.
 *
 * Owns:    the buckets.
 * Threads: any; pure.
 * Bounds:  the points of one answer.
 * Fails:   `failed` sticks when there is no memory.
 * Flow:    query_histograms.c -> here.
 */
#include "actors/query/query_hist.h"

#include <math.h>
#include <stdlib.h>

/* Buckets of one layout repeat with each point: look that far back for the same one before growing. */
#define SAME_LAYOUT_MAX 512

static bool
merge(struct ox__hist *h, double lo, double hi, double count)
{
    uint32_t from = h->n > SAME_LAYOUT_MAX ? h->n - SAME_LAYOUT_MAX : 0;
    for (uint32_t i = from; i < h->n; i++)
        if (h->buckets[i].lo == lo && h->buckets[i].hi == hi) {
            h->buckets[i].count += count;
            return true;
        }
    return false;
}

void
ox__hist_add(struct ox__hist *h, double lo, double hi, double count)
{
    if (!(count > 0) || h->failed || merge(h, lo, hi, count))
        return;
    if (h->n == h->cap) {
        uint32_t cap = h->cap != 0 ? 2 * h->cap : 32;
        struct ox__hist_bucket *grown = realloc(h->buckets, cap * sizeof(*grown));
        if (grown == NULL) {
            h->failed = true;
            return;
        }
        h->buckets = grown;
        h->cap = cap;
    }
    h->buckets[h->n++] = (struct ox__hist_bucket){.lo = lo, .hi = hi, .count = count};
}

static int
compare(const void *a, const void *b)
{
    const struct ox__hist_bucket *x = a, *y = b;
    if (x->hi != y->hi)
        return x->hi < y->hi ? -1 : 1;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

double
ox__hist_quantile(struct ox__hist *h, double q)
{
    double total = 0, seen = 0;
    if (h->n == 0)
        return NAN;
    qsort(h->buckets, h->n, sizeof(h->buckets[0]), compare);
    for (uint32_t i = 0; i < h->n; i++)
        total += h->buckets[i].count;
    double rank = q * total;
    for (uint32_t i = 0; i < h->n; i++) {
        const struct ox__hist_bucket *b = &h->buckets[i];
        if (seen + b->count < rank && i + 1 < h->n) {
            seen += b->count;
            continue;
        }
        double share = (rank - seen) / b->count;
        share = share < 0 ? 0 : share > 1 ? 1 : share;
        return b->lo + (b->hi - b->lo) * share;
    }
    return NAN;
}

void
ox__hist_fini(struct ox__hist *h)
{
    free(h->buckets);
    memset(h, 0, sizeof(*h));
}

double
ox__hist_exp_bound(int32_t scale, int64_t index)
{
    return exp2(ldexp((double)(index + 1), -scale));
}
