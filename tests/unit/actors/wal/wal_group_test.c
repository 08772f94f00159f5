/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a group commit is bounded, holds something of everybody who waits, and keeps each tenant's order.
 * Method:  requests that are nothing but a tenant, a size and a number.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "actors/wal/wal_internal.h"

#define MIB         (1u << 20)
#define ROOM        (4u << 20)
#define WAITING_MAX 512

static struct request {
    struct ox_append append;
    struct ox_parcel parcel;
    struct ox_batch batch;
    struct ox_body body;
} requests[WAITING_MAX];
static uint32_t requests_n;
static struct ox_tenant tenants[4];
static struct ox_append *waiting, **waiting_end = &waiting;

static void
wait_for(uint32_t tenant, size_t bytes)
{
    struct request *r = &requests[requests_n];
    r->body.len = bytes;
    r->batch.body = &r->body;
    r->parcel.batch = &r->batch;
    r->parcel.permit.tenant = &tenants[tenant];
    r->append.parcel = &r->parcel;
    r->append.seq = ++requests_n;
    *waiting_end = &r->append;
    waiting_end = &r->append.next;
}

static uint32_t
count(const struct ox_append *list, uint32_t tenant)
{
    uint32_t n = 0;
    for (; list != NULL; list = list->next)
        n += list->parcel->permit.tenant == &tenants[tenant];
    return n;
}

static uint64_t
bytes(const struct ox_append *list)
{
    uint64_t n = 0;
    for (; list != NULL; list = list->next)
        n += list->parcel->batch->body->len;
    return n;
}

Test(wal_group, what_fits_goes_at_once)
{
    struct ox_append *group;
    for (int i = 0; i < 7; i++)
        wait_for(i % 3, MIB / 2);
    cr_assert_eq(ox__wal_group_take(&waiting, ROOM, &group), 7);
    cr_assert_null(waiting);
    cr_assert_eq(bytes(group), 7 * MIB / 2);
}

Test(wal_group, a_tenant_alone_fills_the_group)
{
    struct ox_append *group;
    for (int i = 0; i < 20; i++)
        wait_for(0, MIB);
    cr_assert_eq(ox__wal_group_take(&waiting, ROOM, &group), ROOM / MIB);
    cr_assert_eq(group->seq, 1);
    cr_assert_eq(waiting->seq, ROOM / MIB + 1);
}

Test(wal_group, parts_follow_the_weights)
{
    struct ox_append *group;
    strcpy(tenants[0].id.name, "heavy");
    strcpy(tenants[1].id.name, "light");
    cr_assert_eq(ox_tenant_set_weight(ox_tenant_index(&tenants[0].id), 3), OX_OK);
    for (int i = 0; i < 16; i++)
        wait_for(1, MIB / 4);
    for (int i = 0; i < 16; i++)
        wait_for(0, MIB / 4);
    cr_assert_eq(ox__wal_group_take(&waiting, ROOM, &group), 16);
    cr_assert_eq(count(group, 0), 12);
    cr_assert_eq(count(group, 1), 4);
}

Test(wal_group, who_comes_behind_a_flood_is_in_the_next_group)
{
    struct ox_append *group;
    for (int i = 0; i < 100; i++)
        wait_for(0, MIB);
    wait_for(1, 1000);
    wait_for(2, 1000);
    ox__wal_group_take(&waiting, ROOM, &group);
    cr_assert_eq(count(group, 1), 1);
    cr_assert_eq(count(group, 2), 1);
    cr_assert_leq(bytes(group), ROOM + MIB, "one may overshoot");
    cr_assert_geq(bytes(group), ROOM, "room that the small ones leave is used");
}

Test(wal_group, floods_have_equal_parts)
{
    struct ox_append *group;
    for (int i = 0; i < 60; i++)
        wait_for(i < 40 ? 0 : 1, MIB / 4);
    ox__wal_group_take(&waiting, ROOM, &group);
    cr_assert_eq(count(group, 0), count(group, 1));
}

Test(wal_group, every_request_goes_once_in_the_order_of_its_tenant)
{
    struct ox_append *group;
    uint64_t last[4] = {0};
    uint32_t seen = 0, groups = 0;
    srand(11);
    for (int i = 0; i < WAITING_MAX; i++)
        wait_for((uint32_t)rand() % 4, (size_t)rand() % (MIB / 4));
    while (waiting != NULL) {
        uint32_t n = ox__wal_group_take(&waiting, ROOM, &group), in_list = 0;
        for (; group != NULL; group = group->next, in_list++) {
            size_t t = (size_t)(group->parcel->permit.tenant - tenants);
            cr_assert_gt(group->seq, last[t]);
            last[t] = group->seq;
        }
        cr_assert_eq(n, in_list);
        cr_assert_gt(n, 0);
        seen += n;
        groups++;
    }
    cr_assert_eq(seen, WAITING_MAX);
    cr_assert_gt(groups, 5);
}

/* None of what was read back may be logged when one before it was not. */
Test(wal_group, what_follows_a_failed_one_from_a_backlog_is_recalled)
{
    struct ox_append *group;
    for (int i = 0; i < 12; i++) {
        wait_for(1, MIB);
        requests[i].append.origin = i % 3 != 0 ? OX_WAL_ORIGIN_BACKLOG : OX_WAL_ORIGIN_NONE;
    }
    cr_assert_eq(ox__wal_group_take(&waiting, ROOM, &group), 4);
    cr_assert_null(ox__wal_group_recall(group, &waiting), "nothing failed");
    requests[3].append.err = OX_E_IO; /* a request as it came: its client hears, nothing else */
    cr_assert_null(ox__wal_group_recall(group, &waiting));
    requests[2].append.err = OX_E_DISK_FULL;
    uint64_t expected[] = {5, 6, 8, 9, 11, 12}; /* sequences count from 1 */
    struct ox_append *recalled = ox__wal_group_recall(group, &waiting);
    for (size_t i = 0; i < OX_COUNT(expected); i++, recalled = recalled->next) {
        cr_assert_not_null(recalled);
        cr_assert(recalled->seq == expected[i] && recalled->err == OX_E_DISK_FULL);
    }
    cr_assert_null(recalled);
    cr_assert(waiting->seq == 7 && waiting->next->seq == 10 && waiting->next->next == NULL, "the rest stays");
}
