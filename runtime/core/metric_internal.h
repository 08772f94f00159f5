/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/metric_internal.h - what counting (metric.c) and exposition (metric_text.c) share.
 *
 * Owns:    nothing.
 * Threads: see metric.c.
 */
#ifndef OX_CORE_METRIC_INTERNAL_H
#define OX_CORE_METRIC_INTERNAL_H

#include <stdatomic.h>

#include "ox/metric.h"

#define METRIC_BUCKETS_MAX      24
#define OX__METRIC_LABELS_BYTES 512u /* all values of one series; longer ones are cut, they are names */

/* One series: its metric, its label values ("a\0b\0") and its numbers. */
struct ox__cell {
    struct ox__cell *next; /* in its bucket of the table */
    uint64_t hash;
    uint32_t id;
    uint32_t labels_n; /* bytes of labels */
    uint32_t words_n;
    char *labels; /* behind the words, in the same allocation */
    /* counter: the sum. gauge: the bits of a double. histogram: a count per bucket (the last one without
     * upper bound), then the bits of the sum. relaxed: each is written by one thread and only ever read as a
     * number. */
    _Atomic uint64_t words[];
};

struct ox__cells {
    struct ox__cell **buckets;
    uint32_t buckets_n; /* a power of two, or 0 */
    uint32_t n;
};

/* The cell of (id, labels), or NULL. */
struct ox__cell *ox__cells_find(const struct ox__cells *cells, uint32_t id, const char *labels,
                                size_t labels_n);
/* A new cell of zeroes; it must not be there yet. NULL without memory. */
struct ox__cell *ox__cells_add(struct ox__cells *cells, uint32_t id, const char *labels, size_t labels_n,
                               uint32_t words_n);
void ox__cells_fini(struct ox__cells *cells);

/* How many numbers a cell of this metric has. */
uint32_t ox__metric_words(uint32_t id);
/* Upper bounds of the buckets, ascending, without the last (infinite) one. */
const double *ox__metric_bounds(uint32_t id, uint32_t *n);
/* Sums every thread's cells of `id` into `into`. False without memory (what was summed so far stays). */
bool ox__metric_collect(uint32_t id, struct ox__cells *into);

/* Adds the words of `from` to those of `into`, a cell of the same metric. */
void ox__metric_merge(struct ox__cell *into, const struct ox__cell *from);
/* Index of the label called tenant, or -1. */
int ox__metric_tenant_label(uint32_t id);
/* Tenants that are counted apart. */
uint32_t ox__metric_tenants(void);

/* metric_tenants.c. Looks who the largest tenants are; once before each exposition. */
void ox__metric_rank(void);
/* Folds the sums of a metric's hidden tenants into "other". False without memory. */
bool ox__metric_cut(uint32_t id, struct ox__cells *sums);

/* Lets gauges be set that are looked up, see ox_metric_before. */
void ox__metric_look(void);

static inline double
ox__double_of(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof(d));
    return d;
}

static inline uint64_t
ox__bits_of(double d)
{
    uint64_t bits;
    memcpy(&bits, &d, sizeof(bits));
    return bits;
}

#endif
