/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/journal/spare.c - the file of a segment to come, written full of zeros ahead of time.
 *
 * Owns:    one file, SPARE.tmp, until the writer makes it a segment.
 * Threads: ox_journal_prepare on one thread at a time, beside the writer; the writer takes.
 * Bounds:  one spare of options.segment_bytes, which does not count as part of the journal.
 * Fails:   DISK_FULL, IO: there is no spare, and the writer makes its segment itself.
 * Flow:    actors/wal (a dirty thread) -> here -> runtime/journal/segment.c.
 *
 * Space that is only reserved is turned into written space by the first write, which is a change of the file system's own
 * books: an fdatasync behind it waits for the file system's commit, and that for other files' data. Blocks that were written
 * before are written over, and fdatasync waits for them and the disk alone. What a reader sees is the same: zeros.
 * The spare keeps its name until the writer has given it another, so nobody truncates what became a segment.
 */
#include <errno.h>

#include "ox/lock.h"
#include "runtime/journal/journal_internal.h"

#define SPARE_NUMBER ((uint64_t)INT64_MAX) /* never reached by counting; a start removes it like any .tmp */
/* Synced one by one: the disk is never asked for a whole segment at once while a commit waits for it. */
#define SLICE (1u << 20)

static const uint8_t zeros[SLICE];

static void
spare_path(const struct ox_journal *j, char *out, size_t cap)
{
    ox__segment_path(j, SPARE_NUMBER, "tmp", out, cap);
}

bool
ox_journal_wants_spare(struct ox_journal *j)
{
    ox_lock(&j->lock);
    bool wants = !j->options.read_only && j->spare_fd < 0;
    ox_unlock(&j->lock);
    return wants;
}

static ox_err
fill(struct ox_disk *disk, int fd, uint64_t bytes)
{
    ox_err err = ox_disk_fallocate(disk, fd, bytes);
    if (err == OX_E_UNIMPLEMENTED)
        err = OX_OK;
    for (uint64_t at = 0; at < bytes && err == OX_OK; at += SLICE) {
        err = ox_disk_write_all(disk, fd, zeros, bytes - at < SLICE ? bytes - at : SLICE, at);
        if (err == OX_OK)
            err = ox_disk_fdatasync(disk, fd);
    }
    return err;
}

ox_err
ox_journal_prepare(struct ox_journal *j)
{
    char path[OX_DISK_PATH_MAX];
    int fd;
    OX_CHECK_OBJ(j, OX__JOURNAL_MAGIC);
    if (!ox_journal_wants_spare(j))
        return OX_OK;
    spare_path(j, path, sizeof(path));
    ox_err err = ox_disk_open(j->disk, path, OX_DISK_READ | OX_DISK_WRITE | OX_DISK_CREATE | OX_DISK_TRUNCATE,
                              0600, &fd);
    if (err != OX_OK)
        return err;
    err = fill(j->disk, fd, j->options.segment_bytes);
    if (err != OX_OK) {
        int cause = errno;
        ox_disk_close(j->disk, fd);
        ox__ignore(ox_disk_unlink(j->disk, path));
        errno = cause;
        return err;
    }
    ox_lock(&j->lock);
    j->spare_fd = fd;
    ox_unlock(&j->lock);
    return OX_OK;
}

static int
spare_fd(struct ox_journal *j, int next)
{
    ox_lock(&j->lock);
    int fd = j->spare_fd;
    j->spare_fd = next;
    ox_unlock(&j->lock);
    return fd;
}

bool
ox__spare_take(struct ox_journal *j, uint64_t capacity, const char *tmp, int *fd)
{
    char path[OX_DISK_PATH_MAX];
    if (capacity != j->options.segment_bytes || ox_journal_wants_spare(j))
        return false;
    spare_path(j, path, sizeof(path));
    ox_err err = ox_disk_rename(j->disk, path, tmp);
    *fd = spare_fd(j, -1);
    if (err == OX_OK)
        return true;
    ox_disk_close(j->disk, *fd);
    return false;
}

void
ox__spare_close(struct ox_journal *j)
{
    char path[OX_DISK_PATH_MAX];
    int fd = spare_fd(j, -1);
    if (fd < 0)
        return;
    ox_disk_close(j->disk, fd);
    spare_path(j, path, sizeof(path));
    ox__ignore(ox_disk_unlink(j->disk, path));
}
