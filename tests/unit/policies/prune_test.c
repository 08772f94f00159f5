/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    as much goes as is needed and no more, oldest first, nothing young, nothing while there is room.
 * Method:  edges of each decision.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "ox/prune.h"

#define NOW (UINT64_C(1795600800)) /* 2026-11-25 10:00 UTC */

static struct ox_prune_partition
part(const char *table, const char *name, uint64_t bytes)
{
    struct ox_prune_partition p = {.rows = 1, .bytes = bytes};
    snprintf(p.table, sizeof(p.table), "%s", table);
    cr_assert(ox_prune_partition_end(ox_str_of(name), &p.end_s), "%s", name);
    return p;
}

Test(prune, excess)
{
    cr_assert_eq(ox_prune_excess(200, 1000, 80), 0, "at the edge");
    cr_assert_eq(ox_prune_excess(199, 1000, 80), 51, "to five points below it");
    cr_assert_eq(ox_prune_excess(0, 1000, 80), 250);
    cr_assert_eq(ox_prune_excess(0, 1000, 0), 0, "never");
    cr_assert_eq(ox_prune_excess(2000, 1000, 80), 0);
    cr_assert_eq(ox_prune_excess(0, 1000, 3), 1000);
}

Test(prune, ends_of_partitions)
{
    uint64_t end;
    cr_assert(ox_prune_partition_end(OX_STR("2026-11-25 10:00:00"), &end) && end == NOW + 3600);
    cr_assert(ox_prune_partition_end(OX_STR("2026-11-24"), &end) && end == NOW - 10 * 3600);
    static const char *const others[] = {"",
                                         "tuple()",
                                         "202611",
                                         "2026-13-25",
                                         "1900-01-01",
                                         "2026-11-25 10:30:00",
                                         "2026-11-25 10:00:0",
                                         "abcd-ef-gh"};
    for (size_t i = 0; i < OX_COUNT(others); i++)
        cr_assert_not(ox_prune_partition_end(ox_str_of(others[i]), &end), "%s", others[i]);
}

Test(prune, oldest_first_and_as_few_as_needed)
{
    struct ox_prune_partition p[] = {
        part("logs", "2026-11-23", 100), part("traces", "2026-11-23 05:00:00", 10),
        part("logs", "2026-11-22", 100), part("traces", "2026-11-25 09:00:00", 1000),
        part("index", "2026-11-23", 1)};
    cr_assert_eq(ox_prune_choose(p, 5, NOW, 3600, 1), 1);
    cr_assert(strcmp(p[0].table, "logs") == 0 && p[0].end_s == NOW - 58 * 3600);
    cr_assert_eq(ox_prune_choose(p, 5, NOW, 3600, 100), 1);
    cr_assert_eq(ox_prune_choose(p, 5, NOW, 3600, 101), 2);
    cr_assert_str_eq(p[1].table, "traces");
    cr_assert_eq(ox_prune_choose(p, 5, NOW, 3600, 111), 3);
    cr_assert(strcmp(p[2].table, "logs") == 0 && strcmp(p[3].table, "index") == 0);
}

Test(prune, nothing_young)
{
    struct ox_prune_partition p[] = {part("traces", "2026-11-25 08:00:00", 10),
                                     part("logs", "2026-11-24", 10),
                                     part("traces", "2026-11-25 09:00:00", 10)};
    cr_assert_eq(ox_prune_choose(p, 3, NOW, 3600, 1000000), 2, "the hour that just ended is not an hour old");
    cr_assert_eq(ox_prune_choose(p, 3, NOW, 0, 1000000), 3);
    cr_assert_eq(ox_prune_choose(p, 3, NOW, 11 * 3600, 1000000), 0);
    cr_assert_eq(ox_prune_choose(p, 0, NOW, 0, 1), 0);
}
