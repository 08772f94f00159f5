/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/batch.c - life of a batch: new, reset for reuse, free.
 *
 * Owns:    the arrays of struct ox_batch.
 * Threads: one owner at a time.
 */
#include "ox/batch.h"

#include <stdlib.h>

struct ox_batch *
ox_batch_new(void)
{
    struct ox_batch *batch = calloc(1, sizeof(*batch));
    if (batch != NULL)
        batch->magic = OX_BATCH_MAGIC;
    return batch;
}

void
ox_batch_free(struct ox_batch *batch)
{
    if (batch == NULL)
        return;
    OX_CHECK_OBJ(batch, OX_BATCH_MAGIC);
    ox_body_drop(batch->body);
    free(batch->resources);
    free(batch->scopes);
    free(batch->attrs);
    free(batch->spans);
    free(batch->events);
    free(batch->links);
    free(batch->logs);
    free(batch->metrics);
    free(batch->points);
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
    batch->n_resources = 0;
    batch->n_scopes = 0;
    batch->n_attrs = 0;
    batch->n_spans = 0;
    batch->n_events = 0;
    batch->n_links = 0;
    batch->n_logs = 0;
    batch->n_metrics = 0;
    batch->n_points = 0;
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
           batch->cap_spans * sizeof(*batch->spans) + batch->cap_events * sizeof(*batch->events) +
           batch->cap_links * sizeof(*batch->links) + batch->cap_logs * sizeof(*batch->logs) +
           batch->cap_metrics * sizeof(*batch->metrics) + batch->cap_points * sizeof(*batch->points) +
           batch->cap_exemplars * sizeof(*batch->exemplars) + batch->cap_u64s * sizeof(*batch->u64s) +
           batch->cap_f64s * sizeof(*batch->f64s);
}
