/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    groups are as large as the disk takes in the time that they may cost, and not so small that a slow sync is all
 *          that it does.
 * Method:  disks that are a formula, with and without a sender who always has more; a disk that hiccups, from a seed.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "actors/wal/wal_internal.h"

#define MIB    1048576.0
#define GROUPS 500

struct disk {
    double sync_s, mib_s;
    uint32_t hiccup_every; /* 0 = never */
};

/* Groups as large as they may be; seconds of the last one that was no probe. */
static double
flood(struct ox__wal_pace *pace, struct disk disk)
{
    double last = 0, least = 1e9;
    for (int i = 0; i < GROUPS; i++) {
        uint64_t bytes = ox__wal_pace_bytes(pace);
        cr_assert(bytes >= OX_WAL_GROUP_MIN && bytes <= OX_WAL_GROUP_MAX);
        last = disk.sync_s + (double)bytes / MIB * disk.mib_s;
        if (i >= GROUPS - 8)
            least = last < least ? last : least;
        bool hiccup = disk.hiccup_every > 0 && (uint32_t)rand() % disk.hiccup_every == 0;
        ox__wal_pace_learn(pace, bytes, hiccup ? last + 0.5 : last);
    }
    return least;
}

Test(wal_pace, a_fast_disk_takes_the_most)
{
    struct ox__wal_pace pace = {0};
    flood(&pace, (struct disk){.sync_s = 0.0003, .mib_s = 0.0007});
    cr_assert_eq(ox__wal_pace_bytes(&pace), OX_WAL_GROUP_MAX);
}

Test(wal_pace, on_a_slower_one_a_group_costs_what_it_may)
{
    struct ox__wal_pace pace = {0};
    double seconds = flood(&pace, (struct disk){.sync_s = 0.001, .mib_s = 0.006});
    cr_assert_float_eq(seconds, 0.001 + OX_WAL_GROUP_SECONDS, 0.0005, "%g", seconds);
}

Test(wal_pace, a_disk_that_syncs_slowly_is_not_left_to_sync)
{
    struct ox__wal_pace pace = {0};
    double seconds = flood(&pace, (struct disk){.sync_s = 0.020, .mib_s = 0.010});
    cr_assert_float_eq(seconds, 0.040, 0.004, "half of it for bytes: %g", seconds);
}

Test(wal_pace, small_groups_say_what_a_sync_costs)
{
    struct ox__wal_pace pace = {0};
    for (int i = 0; i < GROUPS; i++) {
        double bytes = 1000.0 + 100.0 * (i % 10);
        ox__wal_pace_learn(&pace, (uint64_t)bytes, 0.002 + bytes / MIB * 0.004);
    }
    cr_assert_float_eq(pace.sync_s, 0.002, 0.0001, "%g", pace.sync_s);
}

Test(wal_pace, groups_of_one_size_are_enough)
{
    struct ox__wal_pace pace = {0};
    for (int i = 0; i < GROUPS; i++)
        ox__wal_pace_learn(&pace, 1000, 0.002);
    uint64_t bytes = ox__wal_pace_bytes(&pace);
    cr_assert(bytes >= OX_WAL_GROUP_MIN && bytes <= OX_WAL_GROUP_MAX);
}

Test(wal_pace, hiccups_do_not_make_groups_small)
{
    srand(7);
    struct ox__wal_pace pace = {0};
    struct disk disk = {.sync_s = 0.001, .mib_s = 0.003, .hiccup_every = 50};
    double seconds = flood(&pace, disk);
    cr_assert(seconds > 0.003 && seconds < 0.012, "%g", seconds);
}

Test(wal_pace, a_disk_that_changes_is_learnt_anew)
{
    struct ox__wal_pace pace = {0};
    flood(&pace, (struct disk){.sync_s = 0.0003, .mib_s = 0.0007});
    double seconds = flood(&pace, (struct disk){.sync_s = 0.001, .mib_s = 0.020});
    cr_assert_lt(seconds, 0.008, "%g", seconds);
    flood(&pace, (struct disk){.sync_s = 0.0003, .mib_s = 0.0007});
    cr_assert_eq(ox__wal_pace_bytes(&pace), OX_WAL_GROUP_MAX);
}

Test(wal_pace, no_time_at_all_is_taken_as_fast)
{
    struct ox__wal_pace pace = {0};
    flood(&pace, (struct disk){0}); /* simulated time stands still during a job */
    cr_assert_eq(ox__wal_pace_bytes(&pace), OX_WAL_GROUP_MAX);
}
