/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/wal_group.c - which of the requests that wait go into the next group commit.
 *
 * Owns:    nothing; requests move from one list to another.
 * Threads: the wal actor's turns.
 * Bounds:  OX_WAL_GROUP_BYTES of requests in a group; one request may overshoot.
 *
 * An acknowledgement waits for the whole of its group, and what came during it for the next. Were a group all that
 * waits, one tenant's megabytes would be in the way of everybody's answer. So a group is bounded, and each tenant that
 * waits has an equal part of it before the rest is filled up in order.
 *
 * What is read back from a backlog is logged strictly in order, so that one number says how far that is (ox/backlog.h).
 * Within a group the job sees to it; across groups, ox__wal_group_recall does, before the next one is taken.
 */
#include "actors/wal/wal_internal.h"

static size_t
bytes_of(const struct ox_append *append)
{
    return append->parcel->batch->body->len;
}

static void
append_to(struct ox_append ***end, struct ox_append *append)
{
    append->next = NULL;
    **end = append;
    *end = &append->next;
}

/* Tenants that wait; their accounts are set to zero. */
static uint32_t
tenants_of(const struct ox_append *list)
{
    uint32_t n = 0;
    for (const struct ox_append *a = list; a != NULL; a = a->next)
        a->parcel->permit.tenant->grouped = UINT64_MAX;
    for (const struct ox_append *a = list; a != NULL; a = a->next) {
        n += a->parcel->permit.tenant->grouped == UINT64_MAX;
        a->parcel->permit.tenant->grouped = 0;
    }
    return n;
}

/* Moves requests in order from *list to *end while the group has room and their tenant is below `part`. */
static uint32_t
move(struct ox_append **list, struct ox_append ***end, uint64_t *room, uint64_t part)
{
    uint32_t n = 0;
    while (*list != NULL && *room > 0) {
        struct ox_append *append = *list;
        uint64_t bytes = bytes_of(append), *grouped = &append->parcel->permit.tenant->grouped;
        if (*grouped >= part) { /* and so are all that come after it */
            list = &append->next;
            continue;
        }
        *list = append->next;
        *grouped += bytes;
        *room -= bytes < *room ? bytes : *room;
        append_to(end, append);
        n++;
    }
    return n;
}

uint32_t
ox__wal_group_take(struct ox_append **waiting, struct ox_append **group)
{
    uint64_t room = OX_WAL_GROUP_BYTES;
    struct ox_append **end = group;
    uint32_t tenants = tenants_of(*waiting);
    *group = NULL;
    uint32_t n = tenants > 1 ? move(waiting, &end, &room, OX_WAL_GROUP_BYTES / tenants) : 0;
    return n + move(waiting, &end, &room, UINT64_MAX);
}

struct ox_append *
ox__wal_group_recall(const struct ox_append *group, struct ox_append **waiting)
{
    struct ox_append *recalled = NULL, **end = &recalled;
    ox_err err = OX_OK;
    for (const struct ox_append *a = group; a != NULL && err == OX_OK; a = a->next)
        err = a->origin != OX_WAL_ORIGIN_NONE ? a->err : OX_OK;
    while (err != OX_OK && *waiting != NULL) {
        struct ox_append *append = *waiting;
        if (append->origin == OX_WAL_ORIGIN_NONE) {
            waiting = &append->next;
            continue;
        }
        *waiting = append->next;
        append->err = err;
        append_to(&end, append);
    }
    return recalled;
}
