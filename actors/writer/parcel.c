/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/parcel.c - life of the payloads between the actors of the ingest path.
 *
 * Owns:    nothing beyond what each function frees.
 * Threads: any; a payload has one owner.
 */
#include <stdlib.h>

#include "ox/arena.h"
#include "ox/spine.h"

const char *
ox_kind_name(uint32_t kind)
{
    static const char *const names[OX_K__COUNT] = {
        [OX_K__NONE] = "none",
#define OX_MESSAGE(symbol, payload, sender, receiver, refused) [OX_K_##symbol] = #symbol,
#include "ox/tbl/messages.h"
#undef OX_MESSAGE
    };
    return kind < OX_K__COUNT ? names[kind] : "runtime";
}

uint8_t *
ox_batch_row(struct ox_batch *batch, uint32_t row, uint32_t *ordinal)
{
    switch (batch->signal) {
    case OX_SIGNAL_TRACES:
        *ordinal = batch->spans[row].ordinal;
        return &batch->spans[row].reject;
    case OX_SIGNAL_LOGS:
        *ordinal = batch->logs[row].ordinal;
        return &batch->logs[row].reject;
    default:
        *ordinal = batch->points[row].ordinal;
        return &batch->points[row].reject;
    }
}

ox_err
ox_batch_owed(struct ox_batch *batch, struct ox_ranges *owed)
{
    uint32_t rows = ox_encode_rows(batch);
    ox_err err = OX_OK;
    for (uint32_t row = 0; row < rows && err == OX_OK; row++) {
        uint32_t ordinal;
        if (*ox_batch_row(batch, row, &ordinal) == OX_REJECT_NONE)
            err = ox_ranges_add(owed, ordinal, ordinal + 1, NULL);
    }
    return err;
}

static void
free_one(struct ox_parcel *parcel)
{
    ox_parcel_taken(parcel);
    free(parcel->decided.items);
    ox_batch_free(parcel->batch);
    ox_arena_free(parcel->texts);
    if (parcel->reserved > 0)
        ox_backlog_give(parcel->permit.dir, parcel->permit.tenant, parcel->reserved);
    ox_permit_give(&parcel->permit);
    free(parcel);
}

void
ox_parcel_free(void *arg)
{
    struct ox_parcel *parcel = arg;
    while (parcel != NULL) {
        struct ox_parcel *more = parcel->together;
        free_one(parcel);
        parcel = more;
    }
}

void
ox_parcel_taken(struct ox_parcel *parcel)
{
    if (parcel->queued) /* relaxed: a bound, nothing is ordered by it */
        atomic_fetch_sub_explicit(&parcel->permit.tenant->records_queued, parcel->permit.records,
                                  memory_order_relaxed);
    parcel->queued = false;
}

void
ox_append_free(void *arg)
{
    struct ox_append *append = arg;
    if (append == NULL)
        return;
    ox_parcel_free(append->parcel);
    free(append->ranges);
    free(append);
}

ox_err
ox_contributions_add(struct ox_contributions *list, struct ox_contribution item)
{
    if (list->n > 0) {
        struct ox_contribution *last = &list->items[list->n - 1];
        if (last->seq == item.seq && last->to == item.from && last->how == item.how) {
            last->to = item.to;
            return OX_OK;
        }
    }
    if (list->n == list->cap) {
        size_t cap = list->cap != 0 ? list->cap * 2 : 64;
        struct ox_contribution *items = realloc(list->items, cap * sizeof(*items));
        if (items == NULL)
            return OX_E_NOMEM;
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = item;
    return OX_OK;
}

ox_err
ox_decided_add(struct ox_decided_list *list, const struct ox_decided *item)
{
    if (list->n == list->cap) {
        size_t cap = list->cap != 0 ? list->cap * 2 : 16;
        struct ox_decided *items = realloc(list->items, cap * sizeof(*items));
        if (items == NULL)
            return OX_E_NOMEM;
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = *item;
    return OX_OK;
}

void
ox_pack_free(void *arg)
{
    struct ox_pack *pack = arg;
    if (pack == NULL)
        return;
    ox_builder_free(pack->builder);
    ox_encoded_fini(&pack->encoded);
    for (size_t i = 0; i < OX_ENCODED_BLOCKS_MAX; i++)
        ox_buf_fini(&pack->packed[i]);
    free(pack->rows.items);
    free(pack->decided.items);
    free(pack);
}
