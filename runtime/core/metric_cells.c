/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/metric_cells.c - a hash table from metric and label values to numbers.
 *
 * Owns:    its cells.
 * Threads: one at a time (metric.c holds the lock of the table's owner).
 * Bounds:  by its user.
 * Fails:   NULL without memory.
 */
#include <stdlib.h>
#include <xxhash.h>

#include "runtime/core/metric_internal.h"

#define BUCKETS_MIN 16u

static uint64_t
hash_of(uint32_t id, const char *labels, size_t labels_n)
{
    return XXH64(labels, labels_n, id);
}

struct ox__cell *
ox__cells_find(const struct ox__cells *cells, uint32_t id, const char *labels, size_t labels_n)
{
    if (cells->buckets_n == 0)
        return NULL;
    uint64_t hash = hash_of(id, labels, labels_n);
    struct ox__cell *cell = cells->buckets[hash & (cells->buckets_n - 1)];
    for (; cell != NULL; cell = cell->next) {
        if (cell->hash == hash && cell->id == id && cell->labels_n == labels_n &&
            memcmp(cell->labels, labels, labels_n) == 0)
            return cell;
    }
    return NULL;
}

static bool
grow(struct ox__cells *cells)
{
    uint32_t n = cells->buckets_n == 0 ? BUCKETS_MIN : cells->buckets_n * 2;
    struct ox__cell **buckets = calloc(n, sizeof(struct ox__cell *));
    if (buckets == NULL)
        return false;
    for (uint32_t i = 0; i < cells->buckets_n; i++) {
        struct ox__cell *cell = cells->buckets[i];
        while (cell != NULL) {
            struct ox__cell *next = cell->next;
            cell->next = buckets[cell->hash & (n - 1)];
            buckets[cell->hash & (n - 1)] = cell;
            cell = next;
        }
    }
    free(cells->buckets);
    cells->buckets = buckets;
    cells->buckets_n = n;
    return true;
}

struct ox__cell *
ox__cells_add(struct ox__cells *cells, uint32_t id, const char *labels, size_t labels_n, uint32_t words_n)
{
    if (cells->n >= cells->buckets_n && !grow(cells))
        return NULL;
    size_t words_bytes = words_n * sizeof(_Atomic uint64_t);
    struct ox__cell *cell = calloc(1, sizeof(*cell) + words_bytes + labels_n + 1);
    if (cell == NULL)
        return NULL;
    cell->hash = hash_of(id, labels, labels_n);
    cell->id = id;
    cell->words_n = words_n;
    cell->labels_n = (uint32_t)labels_n;
    cell->labels = (char *)cell + sizeof(*cell) + words_bytes;
    if (labels_n > 0)
        memcpy(cell->labels, labels, labels_n);
    struct ox__cell **bucket = &cells->buckets[cell->hash & (cells->buckets_n - 1)];
    cell->next = *bucket;
    *bucket = cell;
    cells->n++;
    return cell;
}

void
ox__cells_fini(struct ox__cells *cells)
{
    for (uint32_t i = 0; i < cells->buckets_n; i++) {
        struct ox__cell *cell = cells->buckets[i];
        while (cell != NULL) {
            struct ox__cell *next = cell->next;
            free(cell);
            cell = next;
        }
    }
    free(cells->buckets);
    memset(cells, 0, sizeof(*cells));
}
