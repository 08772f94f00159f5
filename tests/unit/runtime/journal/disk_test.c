/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the real disk and the faulty one keep the same contract; the faulty one forgets what was not
 *          synced.
 * Method:  the same steps on both, the real one in a new directory under /tmp.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ox/disk.h"
#include "tests/harness/fault_disk.h"

static bool
count_name(void *arg, const char *name)
{
    int *n = arg;
    (*n)++;
    return strcmp(name, "stop") != 0;
}

static void
walk_through(struct ox_disk *disk, const char *root)
{
    char dir[256], a[300], b[300], got[16] = {0};
    int fd, n = 0;
    uint64_t size;
    size_t done;
    struct ox_disk_space space;
    snprintf(dir, sizeof(dir), "%s/d", root);
    snprintf(a, sizeof(a), "%s/a", dir);
    snprintf(b, sizeof(b), "%s/b", dir);
    cr_assert_eq(ox_disk_ensure_dir(disk, dir), OX_OK);
    cr_assert_eq(ox_disk_ensure_dir(disk, dir), OX_OK);
    cr_assert_eq(ox_disk_open(disk, a, OX_DISK_READ, 0, &fd), OX_E_NOT_FOUND);
    cr_assert_eq(errno, ENOENT);
    cr_assert_eq(
        ox_disk_open(disk, a, OX_DISK_READ | OX_DISK_WRITE | OX_DISK_CREATE | OX_DISK_EXCLUSIVE, 0600, &fd),
        OX_OK);
    int again;
    cr_assert_eq(ox_disk_open(disk, a, OX_DISK_WRITE | OX_DISK_CREATE | OX_DISK_EXCLUSIVE, 0600, &again),
                 OX_E_EXISTS);
    struct iovec iov[2] = {{(void *)(uintptr_t) "hello ", 6}, {(void *)(uintptr_t) "world", 5}};
    cr_assert_eq(ox_disk_pwritev(disk, fd, iov, 2, 3, &done), OX_OK);
    cr_assert_eq(done, 11);
    cr_assert_eq(ox_disk_read_all(disk, fd, got, 14, 0), OX_OK);
    cr_assert_eq(memcmp(got, "\0\0\0hello world", 14), 0);
    cr_assert_eq(ox_disk_read_all(disk, fd, got, 15, 0), OX_E_TRUNCATED);
    cr_assert_eq(ox_disk_fallocate(disk, fd, 5000), OX_OK);
    cr_assert_eq(ox_disk_size(disk, fd, &size), OX_OK);
    cr_assert_eq(size, 5000);
    cr_assert_eq(ox_disk_ftruncate(disk, fd, 14), OX_OK);
    cr_assert_eq(ox_disk_fdatasync(disk, fd), OX_OK);
    cr_assert_eq(ox_disk_rename(disk, a, b), OX_OK);
    cr_assert_eq(ox_disk_fsync_dir(disk, dir), OX_OK);
    cr_assert_eq(ox_disk_list(disk, dir, count_name, &n), OX_OK);
    cr_assert_eq(n, 1);
    cr_assert_eq(ox_disk_unlink(disk, a), OX_E_NOT_FOUND);
    cr_assert_eq(ox_disk_unlink(disk, b), OX_OK);
    cr_assert_eq(ox_disk_read_all(disk, fd, got, 14, 0), OX_OK, "an open handle keeps the bytes");
    ox_disk_close(disk, fd);
    cr_assert_eq(ox_disk_space(disk, root, &space), OX_OK);
    cr_assert_gt(space.total_bytes, 0);
}

Test(disk, the_real_one_keeps_the_contract)
{
    char root[] = "/tmp/ox-disk-test-XXXXXX", sub[64];
    cr_assert_not_null(mkdtemp(root));
    walk_through(ox_disk_real(), root);
    snprintf(sub, sizeof(sub), "%s/d", root);
    cr_assert_eq(rmdir(sub), 0);
    cr_assert_eq(rmdir(root), 0);
}

Test(disk, the_faulty_one_keeps_the_contract)
{
    struct fault_disk *f = fault_disk_new(1);
    walk_through(fault_disk_seam(f), "root");
    fault_disk_free(f);
}

Test(disk, a_full_disk_has_a_name_of_its_own)
{
    int fd;
    struct ox_disk *disk = ox_disk_real();
    cr_assert_eq(ox_disk_open(disk, "/dev/full", OX_DISK_WRITE, 0, &fd), OX_OK);
    cr_assert_eq(ox_disk_write_all(disk, fd, "x", 1, 0), OX_E_DISK_FULL);
    cr_assert_eq(errno, ENOSPC);
    ox_disk_close(disk, fd);
}

Test(disk, a_power_cut_takes_what_was_not_synced)
{
    struct fault_disk *f = fault_disk_new(1);
    struct ox_disk *disk = fault_disk_seam(f);
    bool exists;
    int fd;
    cr_assert_eq(ox_disk_open(disk, "d/a", OX_DISK_WRITE | OX_DISK_CREATE, 0600, &fd), OX_OK);
    cr_assert_eq(ox_disk_write_all(disk, fd, "safe", 4, 0), OX_OK);
    cr_assert_eq(ox_disk_fdatasync(disk, fd), OX_OK);
    cr_assert_eq(ox_disk_fsync_dir(disk, "d"), OX_OK);
    cr_assert_eq(ox_disk_write_all(disk, fd, "gone", 4, 4), OX_OK);
    ox_disk_close(disk, fd);
    cr_assert_eq(ox_disk_rename(disk, "d/a", "d/b"), OX_OK);
    cr_assert_eq(ox_disk_open(disk, "d/c", OX_DISK_WRITE | OX_DISK_CREATE, 0600, &fd), OX_OK);
    cr_assert_eq(ox_disk_fdatasync(disk, fd), OX_OK);
    fault_disk_cut(f, FAULT_CUT_CLEAN);
    cr_assert(ox_str_eq(fault_disk_peek(f, "d/a", &exists), OX_STR("safe")));
    (void)fault_disk_peek(f, "d/b", &exists);
    cr_assert_not(exists);
    (void)fault_disk_peek(f, "d/c", &exists);
    cr_assert_not(exists);
    fault_disk_free(f);
}

Test(disk, a_failed_sync_leaves_pages_that_never_arrive)
{
    struct fault_disk *f = fault_disk_new(1);
    struct ox_disk *disk = fault_disk_seam(f);
    bool exists;
    int fd;
    cr_assert_eq(ox_disk_open(disk, "d/a", OX_DISK_WRITE | OX_DISK_CREATE, 0600, &fd), OX_OK);
    cr_assert_eq(ox_disk_fsync_dir(disk, "d"), OX_OK);
    cr_assert_eq(ox_disk_write_all(disk, fd, "data", 4, 0), OX_OK);
    fault_disk_fail(f, 1, EIO, false);
    cr_assert_eq(ox_disk_fdatasync(disk, fd), OX_E_IO);
    cr_assert_eq(ox_disk_fdatasync(disk, fd), OX_OK, "the second one lies, as real ones do");
    fault_disk_cut(f, FAULT_CUT_CLEAN);
    struct ox_str left = fault_disk_peek(f, "d/a", &exists);
    cr_assert(exists);
    cr_assert_not(left.n == 4 && memcmp(left.p, "data", 4) == 0);
    fault_disk_free(f);
}
