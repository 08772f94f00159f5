/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/batch.c - life of a batch: new, reset for reuse, free.
 *
 * Owns:    the arrays of struct ox_batch; freed batches that wait to be used again.
 * Threads: one owner at a time; the spare ones are behind a lock.
 * Bounds:  SPARES_MAX batches of at most SPARE_BYTES_MAX are kept.
 *
 * Batches are made on one thread and freed on another, thousands a second, with arrays of a megabyte: given back to the
 * allocator they cost the decoder a third of its time in page faults and in growing anew.
 */
#include "ox/batch.h"
#include "ox/lock.h"

#include <pthread.h>
#include <stdlib.h>

/* A checker of memory wants to see each use after free. */
#if defined(__SANITIZE_ADDRESS__)
#define SPARES_MAX 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SPARES_MAX 0
#endif
#endif
#ifndef SPARES_MAX
#define SPARES_MAX 12 /* what is in flight while the writers keep up */
#endif
#define SPARE_BYTES_MAX (2u << 20) /* of one: a thousand spans with twelve attributes each take 1.2 MiB */

static pthread_mutex_t spares_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ox_batch *spares[SPARES_MAX + 1];
static unsigned n_spares;

static struct ox_batch *
take_spare(void)
{
    ox_lock(&spares_lock);
    struct ox_batch *batch = n_spares > 0 ? spares[--n_spares] : NULL;
    ox_unlock(&spares_lock);
    return batch;
}

/* True when the batch is kept. It must be empty. */
static bool
keep_spare(struct ox_batch *batch)
{
    if (ox_batch_memory(batch) > SPARE_BYTES_MAX)
        return false;
    ox_lock(&spares_lock);
    bool kept = n_spares < SPARES_MAX;
    if (kept)
        spares[n_spares++] = batch;
    ox_unlock(&spares_lock);
    return kept;
}

struct ox_batch *
ox_batch_new(void)
{
    struct ox_batch *batch = take_spare();
    if (batch != NULL)
        return batch;
    batch = calloc(1, sizeof(*batch));
    if (batch != NULL)
        batch->magic = OX_BATCH_MAGIC;
    return batch;
}

void
ox_batch_free(struct ox_batch *batch)
{
    if (batch == NULL)
        return;
    ox_batch_reset(batch);
    batch->signal = 0;
    if (keep_spare(batch))
        return;
    free(batch->resources);
    free(batch->scopes);
    free(batch->attrs);
    free(batch->entities);
    free(batch->spans);
    free(batch->events);
    free(batch->links);
    free(batch->logs);
    free(batch->metrics);
    free(batch->points);
    free(batch->mores);
    free(batch->exemplars);
    free(batch->u64s);
    free(batch->f64s);
    batch->magic = 0;
    free(batch);
}

void
ox_batch_reset(struct ox_batch *batch)
{
    OX_CHECK_OBJ(batch, OX_BATCH_MAGIC);
    ox_body_drop(batch->body);
    batch->body = NULL;
    memset(&batch->tenant, 0, sizeof(batch->tenant));
    batch->wal_seq = 0;
    batch->received_ns = 0;
    batch->n_records = 0;
    batch->n_rejected = 0;
    batch->n_unknown = 0;
    batch->n_resources = 0;
    batch->n_scopes = 0;
    batch->n_attrs = 0;
    batch->n_entities = 0;
    batch->n_spans = 0;
    batch->n_events = 0;
    batch->n_links = 0;
    batch->n_logs = 0;
    batch->n_metrics = 0;
    batch->n_points = 0;
    batch->n_mores = 0;
    batch->n_exemplars = 0;
    batch->n_u64s = 0;
    batch->n_f64s = 0;
}

size_t
ox_batch_memory(const struct ox_batch *batch)
{
    OX_CHECK_OBJ(batch, OX_BATCH_MAGIC);
    return sizeof(*batch) + batch->cap_resources * sizeof(*batch->resources) +
           batch->cap_scopes * sizeof(*batch->scopes) + batch->cap_attrs * sizeof(*batch->attrs) +
           batch->cap_entities * sizeof(*batch->entities) + batch->cap_spans * sizeof(*batch->spans) +
           batch->cap_events * sizeof(*batch->events) + batch->cap_links * sizeof(*batch->links) +
           batch->cap_logs * sizeof(*batch->logs) + batch->cap_metrics * sizeof(*batch->metrics) +
           batch->cap_points * sizeof(*batch->points) + batch->cap_mores * sizeof(*batch->mores) +
           batch->cap_exemplars * sizeof(*batch->exemplars) + batch->cap_u64s * sizeof(*batch->u64s) +
           batch->cap_f64s * sizeof(*batch->f64s);
}
