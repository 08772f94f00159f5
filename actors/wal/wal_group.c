/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/wal_group.c - which of the requests that wait go into the next group commit.
 *
 * Owns:    nothing; requests move from one list to another.
 * Threads: the wal actor's turns.
 * Bounds:  the bytes of a group (wal_pace.c); one request may overshoot.
 *
 * An acknowledgement waits for the whole of its group, and what came during it for the next. Were a group all that
 * waits, one tenant's megabytes would be in the way of everybody's answer. So a group is bounded, and each tenant that
 * waits has a part of it, by its weight, before the rest is filled up in order.
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

/* The weights of all tenants that wait; their accounts are set to zero, their parts to their weights. */
static uint64_t
weigh(const struct ox_append *list)
{
    uint64_t sum = 0;
    for (const struct ox_append *a = list; a != NULL; a = a->next)
        a->parcel->permit.tenant->grouped = UINT64_MAX;
    for (const struct ox_append *a = list; a != NULL; a = a->next) {
        struct ox_tenant *tenant = a->parcel->permit.tenant;
        if (tenant->grouped == 0)
            continue;
        tenant->grouped = 0;
        tenant->grouped_max = ox_tenant_weight(ox_tenant_index(&tenant->id));
        sum += tenant->grouped_max;
    }
    return sum;
}

/* Weights become bytes of the group. A tenant alone has all of it. */
static void
share_out(const struct ox_append *list, uint64_t room)
{
    uint64_t sum = weigh(list);
    for (const struct ox_append *a = list; a != NULL; a = a->next) {
        struct ox_tenant *tenant = a->parcel->permit.tenant;
        if (tenant->grouped != 0)
            continue;
        tenant->grouped = 1; /* done */
        tenant->grouped_max = room * tenant->grouped_max / sum;
    }
    for (const struct ox_append *a = list; a != NULL; a = a->next)
        a->parcel->permit.tenant->grouped = 0;
}

/* Moves requests in order from *list to *end while the group has room and, unless `all`, their tenant is below its part. */
static uint32_t
move(struct ox_append **list, struct ox_append ***end, uint64_t *room, bool all)
{
    uint32_t n = 0;
    while (*list != NULL && *room > 0) {
        struct ox_append *append = *list;
        struct ox_tenant *tenant = append->parcel->permit.tenant;
        uint64_t bytes = bytes_of(append);
        if (!all && tenant->grouped >= tenant->grouped_max) { /* and so are all that come after it */
            list = &append->next;
            continue;
        }
        *list = append->next;
        tenant->grouped += bytes;
        *room -= bytes < *room ? bytes : *room;
        append_to(end, append);
        n++;
    }
    return n;
}

uint64_t
ox__wal_group_bytes(const struct ox_append *group)
{
    uint64_t n = 0;
    for (; group != NULL; group = group->next)
        n += bytes_of(group);
    return n;
}

uint32_t
ox__wal_group_take(struct ox_append **waiting, uint64_t room, struct ox_append **group)
{
    struct ox_append **end = group;
    *group = NULL;
    share_out(*waiting, room);
    uint32_t n = move(waiting, &end, &room, false);
    return n + move(waiting, &end, &room, true);
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
