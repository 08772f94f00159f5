/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    obituaries come back newest first, also after a restart; file and ring keep their bounds; a disk that fails
 *          costs nothing that is in memory.
 * Method:  the faulty disk of tests/harness.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/crashes.h"
#include "tests/harness/fault_disk.h"

static struct ox_crash out[OX_CRASHES_MAX + 1];

static void
note(struct ox_crashes *c, uint64_t seq, const char *tenant)
{
    struct ox_crash crash = {.time_ns = seq * 10,
                             .scope = OX_CRASH_ACTOR,
                             .charge = OX_CHARGE_IN_HAND,
                             .kind = "tenant",
                             .reason = "panic",
                             .wal_seq = seq,
                             .restarts = 3,
                             .text = "line one\nline \"two\""};
    snprintf(crash.tenant, sizeof(crash.tenant), "%s", tenant);
    memset(crash.backtrace, 'b', sizeof(crash.backtrace) - 1);
    ox_crashes_note(c, &crash);
}

Test(crashes, newest_first_and_found_by_entry_and_tenant)
{
    struct fault_disk *fd = fault_disk_new(1);
    struct ox_crashes *c = ox_crashes_open(fault_disk_seam(fd), "d");
    uint64_t total = 9;
    cr_assert_eq(ox_crashes_list(c, out, 5, &total), 0);
    cr_assert_eq(total, 0);
    note(c, 1, "a");
    note(c, 2, "b");
    note(c, 3, "a");
    cr_assert_eq(ox_crashes_list(c, out, 2, &total), 2);
    cr_assert_eq(total, 3);
    cr_assert_eq(out[0].wal_seq, 3);
    cr_assert_eq(out[1].wal_seq, 2);
    cr_assert(ox_crashes_find(c, 2, NULL, &out[0]));
    cr_assert_str_eq(out[0].tenant, "b");
    cr_assert(ox_crashes_find(c, 0, "a", &out[0]));
    cr_assert_eq(out[0].wal_seq, 3);
    cr_assert_not(ox_crashes_find(c, 4, NULL, &out[0]));
    cr_assert_not(ox_crashes_find(c, 0, "z", &out[0]));
    ox_crashes_close(c);
    fault_disk_free(fd);
}

Test(crashes, a_restart_reads_them_back_and_counts_on)
{
    struct fault_disk *fd = fault_disk_new(1);
    struct ox_disk *disk = fault_disk_seam(fd);
    cr_assert_eq(ox_disk_ensure_dir(disk, "d"), OX_OK);
    struct ox_crashes *c = ox_crashes_open(disk, "d");
    for (uint64_t i = 1; i <= 1000; i++) { /* past the ring and past one file */
        note(c, i, "a");
        cr_assert_eq(ox_crashes_save(c), OX_OK);
    }
    ox_crashes_close(c);
    c = ox_crashes_open(disk, "d");
    cr_assert_eq(ox_crashes_list(c, out, OX_COUNT(out), NULL), OX_CRASHES_MAX);
    cr_assert_eq(out[0].wal_seq, 1000);
    cr_assert_eq(out[OX_CRASHES_MAX - 1].wal_seq, 1000 - OX_CRASHES_MAX + 1);
    cr_assert_str_eq(out[0].text, "line one\nline \"two\"");
    cr_assert_eq(strlen(out[0].backtrace), sizeof(out[0].backtrace) - 1);
    cr_assert_eq(out[0].charge, OX_CHARGE_IN_HAND);
    cr_assert_eq(out[0].restarts, 3);
    note(c, 1001, "a");
    cr_assert_eq(ox_crashes_list(c, out, 1, NULL), 1);
    cr_assert_eq(out[0].id, 1001);
    ox_crashes_close(c);
    fault_disk_free(fd);
}

Test(crashes, a_full_disk_costs_no_record_in_memory)
{
    struct fault_disk *fd = fault_disk_new(1);
    struct ox_disk *disk = fault_disk_seam(fd);
    cr_assert_eq(ox_disk_ensure_dir(disk, "d"), OX_OK);
    struct ox_crashes *c = ox_crashes_open(disk, "d");
    note(c, 1, "a");
    fault_disk_limit(fd, 10);
    cr_assert_neq(ox_crashes_save(c), OX_OK);
    cr_assert_eq(ox_crashes_list(c, out, 5, NULL), 1);
    fault_disk_limit(fd, 0);
    cr_assert_eq(ox_crashes_save(c), OX_OK, "tried again with the next");
    ox_crashes_close(c);
    c = ox_crashes_open(disk, "d");
    cr_assert_eq(ox_crashes_list(c, out, 5, NULL), 1);
    ox_crashes_close(c);
    fault_disk_free(fd);
}
