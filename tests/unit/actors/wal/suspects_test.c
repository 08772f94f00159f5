/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    crashes add up per entry and survive a power cut; a damaged file costs nothing but memory of
 *          crashes.
 * Method:  the faulty disk, with every call failing once and the power cut after it.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "ox/suspects.h"
#include "tests/harness/fault_disk.h"

static void
make_dir(struct fault_disk *fd)
{
    cr_assert_eq(ox_disk_ensure_dir(fault_disk_seam(fd), "crash"), OX_OK);
}

Test(suspects, crashes_add_up_and_survive)
{
    struct fault_disk *fd = fault_disk_new(1);
    struct ox_disk *disk = fault_disk_seam(fd);
    struct ox_suspects s;
    make_dir(fd);
    cr_assert_eq(ox_suspects_load(disk, "crash/suspects", &s), OX_OK);
    cr_assert_eq(s.n, 0);
    ox_suspects_charge(&s, 0, "nobody");
    ox_suspects_charge(&s, 4711, "team-a");
    ox_suspects_charge(&s, 4711, "team-a");
    ox_suspects_charge(&s, 5000, "");
    cr_assert_eq(ox_suspects_save(disk, "crash/suspects", &s), OX_OK);
    fault_disk_cut(fd, FAULT_CUT_CLEAN);
    cr_assert_eq(ox_suspects_load(disk, "crash/suspects", &s), OX_OK);
    cr_assert_eq(s.n, 2);
    cr_assert_eq(ox_suspects_crashes(&s, 4711), 2);
    cr_assert_str_eq(s.list[0].tenant.name, "team-a");
    cr_assert_str_eq(s.list[1].tenant.name, "");
    cr_assert_eq(ox_suspects_crashes(&s, 1), 0);
    ox_suspects_forget_below(&s, 5000);
    cr_assert_eq(s.n, 1);
    cr_assert_eq(ox_suspects_crashes(&s, 5000), 1);
    fault_disk_free(fd);
}

Test(suspects, the_oldest_gives_way)
{
    struct ox_suspects s = {0};
    for (uint64_t i = 1; i <= OX_SUSPECTS_MAX + 1; i++)
        ox_suspects_charge(&s, i, "t");
    cr_assert_eq(s.n, OX_SUSPECTS_MAX);
    cr_assert_eq(ox_suspects_crashes(&s, 1), 0);
    cr_assert_eq(ox_suspects_crashes(&s, OX_SUSPECTS_MAX + 1), 1);
}

Test(suspects, a_damaged_file_is_read_as_far_as_it_makes_sense)
{
    struct fault_disk *fd = fault_disk_new(1);
    struct ox_suspects s;
    static const char text[] = "x\n\n7 0 a\n8 3 team-b\n18446744073709551616 1 c\n9 1";
    make_dir(fd);
    fault_disk_poke(fd, "crash/suspects", text, sizeof(text) - 1);
    cr_assert_eq(ox_suspects_load(fault_disk_seam(fd), "crash/suspects", &s), OX_OK);
    cr_assert_eq(ox_suspects_crashes(&s, 8), 3);
    cr_assert_eq(ox_suspects_crashes(&s, 9), 0, "a line without its end is half a line");
    fault_disk_free(fd);
}

/* Whatever fails: afterwards the file is the old one or the new one. */
Test(suspects, a_failed_save_leaves_the_old_or_the_new)
{
    bool fired = true;
    for (uint64_t n = 1; fired; n++) {
        struct fault_disk *fd = fault_disk_new(n);
        struct ox_disk *disk = fault_disk_seam(fd);
        struct ox_suspects s = {0}, back;
        make_dir(fd);
        ox_suspects_charge(&s, 1, "a");
        cr_assert_eq(ox_suspects_save(disk, "crash/suspects", &s), OX_OK);
        ox_suspects_charge(&s, 1, "a");
        fault_disk_fail(fd, n, EIO, true);
        ox_err err = ox_suspects_save(disk, "crash/suspects", &s);
        fired = fault_disk_fired(fd);
        fault_disk_fail(fd, 0, 0, false);
        fault_disk_cut(fd, FAULT_CUT_RANDOM);
        cr_assert_eq(ox_suspects_load(disk, "crash/suspects", &back), OX_OK);
        uint32_t crashes = ox_suspects_crashes(&back, 1);
        cr_assert(crashes == 2 || (err != OX_OK && crashes == 1), "call %llu: %u crashes",
                  (unsigned long long)n, crashes);
        fault_disk_free(fd);
    }
}
