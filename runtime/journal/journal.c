/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/journal/journal.c - a journal as a whole: open, close, its table of segments, release.
 *
 * Owns:    the table of segments and its locks.
 * Threads: the writer (append, commit, rotate, skip_to, close), anybody beside it for the rest.
 *          Locks in order: release_lock, lock. No input or output under `lock`.
 * Bounds:  as many segments as the disk holds; callers bound their bytes.
 * Fails:   see include/ox/journal.h.
 * Flow:    actors/wal, actors/writer -> append.c, segment.c -> the disk; restart: recover.c -> scan.c.
 *
 * THE FORMAT. All integers are little endian.
 *
 * A journal is a directory of files <number as 16 hex digits>.seg with consecutive numbers from 1. A file
 * begins with a block of 4,096 bytes that holds the header twice, at 0 and at 2,048:
 *
 *      0  magic "OXJRNL\r\n"     8  version u32 = 1        12  kind u32 (enum ox_journal_kind)
 *     16  number u64            24  first sequence u64     32  salt u64, random
 *     40  capacity u64          48  prev_end u64           56  zero, 12 bytes
 *     68  CRC-32C u32 of bytes 0..67
 *
 * prev_end is the length that the segment number-1 has for good: entries at or behind it are aborted, bytes
 * missing before it are lost. Entries follow the header block without gaps, up to capacity:
 *
 *      0  magic u32 (derived from the salt)    4  length u32 of the payload    8  CRC-32C u32
 *     12  timestamp i64, Unix nanoseconds     20  payload
 *
 * The CRC covers salt, sequence, magic, length, timestamp and payload; the sequence is the segment's first
 * sequence plus the entry's offset in the file. Salt and magic never leave the machine, so nobody who sends
 * payloads can make bytes that pass for an entry, not even by sending back a copy of one: its place is under
 * the checksum. The first sequence of a segment is the one before it plus its capacity, so that no sequence
 * is used twice.
 *
 * A new segment is written under the name .tmp (full size, header synced), renamed and its directory synced
 * before anything is appended. From its header on the old segment is final.
 *
 * RECOVERY reads every entry of every segment. Where the next segment says where one ends, it ends there, and
 * everything that is not a valid entry before is damage. The last segment ends behind its last valid entry:
 * what follows is the write that a crash interrupted, unless it is an entry of full length without unwritten sectors: then
 * it was changed since, and is damage. Bad bytes between valid entries are reported there too,
 * and the valid entries behind them are kept: giving up an entry that may have been acknowledged is worse
 * than storing one whose client never learned about it. Then the last segment is synced, and never written
 * again.
 *
 * A FILLER is an entry with the timestamp INT64_MIN and a payload of zeros. `observex journal repair` writes it over
 * bytes that are no entry; whoever reads passes over it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/lock.h"
#include "runtime/journal/journal_internal.h"

#define TABLE_CAP_FIRST 16

struct ox__seg *
ox__table_newest(struct ox_journal *j)
{
    return j->n_segs > 0 ? &j->segs[j->n_segs - 1] : NULL;
}

ox_err
ox__table_add(struct ox_journal *j, const struct ox__seg *seg)
{
    if (j->n_segs == j->cap_segs) {
        size_t cap = j->cap_segs != 0 ? j->cap_segs * 2 : TABLE_CAP_FIRST;
        struct ox__seg *segs = realloc(j->segs, cap * sizeof(*segs));
        if (segs == NULL)
            return OX_E_NOMEM;
        j->segs = segs;
        j->cap_segs = cap;
    }
    OX_ASSERT(j->n_segs == 0 || j->segs[j->n_segs - 1].number < seg->number);
    j->segs[j->n_segs++] = *seg;
    return OX_OK;
}

struct ox__seg *
ox__table_find(struct ox_journal *j, uint64_t seq)
{
    size_t lo = 0, hi = j->n_segs;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (j->segs[mid].first_seq <= seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0 || seq - j->segs[lo - 1].first_seq >= j->segs[lo - 1].end ||
        seq - j->segs[lo - 1].first_seq < OX_JOURNAL_HEADER_BYTES)
        return NULL;
    return &j->segs[lo - 1];
}

struct ox__seg *
ox__table_at(struct ox_journal *j, uint64_t number)
{
    size_t lo = 0, hi = j->n_segs;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (j->segs[mid].number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < j->n_segs ? &j->segs[lo] : NULL;
}

static ox_err
prepare(struct ox_disk *disk, const char *dir, const struct ox_journal_options *options,
        struct ox_journal **out, struct ox_diag *diag)
{
    /* ".damaged" and its numbers are the longest suffix. */
    if (strlen(dir) == 0 || strlen(dir) + 64 > OX_DISK_PATH_MAX)
        return ox_diag_set(diag, OX_E_INVALID, "dir", -1, "a journal's directory has 1 to %d characters",
                           OX_DISK_PATH_MAX - 64);
    uint64_t bytes = options->segment_bytes != 0 ? options->segment_bytes : OX_JOURNAL_SEGMENT_BYTES_DEFAULT;
    if (bytes < OX_JOURNAL_SEGMENT_BYTES_MIN || bytes > OX_JOURNAL_ENTRY_BYTES_MAX)
        return ox_diag_set(diag, OX_E_INVALID, "segment_bytes", -1, "a segment has %u to %u bytes",
                           OX_JOURNAL_SEGMENT_BYTES_MIN, OX_JOURNAL_ENTRY_BYTES_MAX);
    struct ox_journal *j = calloc(1, sizeof(*j));
    if (j == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for a journal");
    j->magic = OX__JOURNAL_MAGIC;
    j->disk = disk;
    j->options = *options;
    j->options.segment_bytes = bytes;
    snprintf(j->dir, sizeof(j->dir), "%s", dir);
    j->fd = -1;
    pthread_mutex_init(&j->lock, NULL);
    pthread_mutex_init(&j->release_lock, NULL);
    *out = j;
    return OX_OK;
}

ox_err
ox_journal_open(struct ox_disk *disk, const char *dir, const struct ox_journal_options *options,
                struct ox_journal **out, struct ox_journal_report *report, struct ox_diag *diag)
{
    struct ox_journal *j = NULL;
    *out = NULL;
    ox_diag_clear(diag);
    if (report != NULL)
        memset(report, 0, sizeof(*report));
    ox_err err = prepare(disk, dir, options, &j, diag);
    if (err != OX_OK)
        return err;
    if (!options->read_only) {
        err = ox_disk_ensure_dir(disk, dir);
        if (err != OX_OK)
            ox_diag_set(diag, err, "dir", -1, "cannot make or sync the journal's directory %s: %s", dir,
                        strerror(errno));
    }
    if (err == OX_OK)
        err = ox__recover(j, report, diag);
    if (err != OX_OK) {
        ox_journal_close(j);
        return err;
    }
    *out = j;
    return OX_OK;
}

void
ox_journal_close(struct ox_journal *j)
{
    if (j == NULL)
        return;
    OX_CHECK_OBJ(j, OX__JOURNAL_MAGIC);
    if (j->fd >= 0)
        ox_disk_close(j->disk, j->fd);
    pthread_mutex_destroy(&j->lock);
    pthread_mutex_destroy(&j->release_lock);
    free(j->segs);
    j->magic = 0;
    free(j);
}

/* Whether the oldest segment may be removed. The newest never is: it carries the numbering on. */
static bool
oldest_removable(struct ox_journal *j, uint64_t *number)
{
    ox_lock(&j->lock);
    bool yes = j->n_segs > 1 && (j->segs[0].released || j->segs[0].entries == 0);
    *number = j->n_segs > 0 ? j->segs[0].number : 0;
    ox_unlock(&j->lock);
    return yes;
}

static void
forget_oldest(struct ox_journal *j)
{
    ox_lock(&j->lock);
    memmove(j->segs, j->segs + 1, (j->n_segs - 1) * sizeof(*j->segs));
    j->n_segs--;
    j->counts.segments_removed++;
    ox_unlock(&j->lock);
}

ox_err
ox_journal_release(struct ox_journal *j, uint64_t number, uint64_t *gone_below)
{
    OX_CHECK_OBJ(j, OX__JOURNAL_MAGIC);
    char path[OX_DISK_PATH_MAX];
    uint64_t oldest;
    ox_err err = OX_OK;
    if (j->options.read_only)
        return OX_E_STATE;
    ox_lock(&j->release_lock);
    ox_lock(&j->lock);
    struct ox__seg *seg = ox__table_at(j, number);
    if (seg != NULL && seg->number == number)
        seg->released = true;
    ox_unlock(&j->lock);
    while (err == OX_OK && oldest_removable(j, &oldest)) {
        ox__segment_path(j, oldest, "seg", path, sizeof(path));
        err = ox_disk_unlink(j->disk, path);
        if (err == OX_OK || err == OX_E_NOT_FOUND)
            err = ox_disk_fsync_dir(j->disk, j->dir);
        if (err == OX_OK)
            forget_oldest(j);
    }
    (void)oldest_removable(j, &oldest);
    if (gone_below != NULL)
        *gone_below = oldest;
    ox_unlock(&j->release_lock);
    return err == OX_E_NOT_FOUND ? OX_E_IO : err;
}

uint64_t
ox_journal_segment_of(struct ox_journal *j, uint64_t seq)
{
    ox_lock(&j->lock);
    const struct ox__seg *seg = ox__table_find(j, seq);
    uint64_t number = seg != NULL ? seg->number : 0;
    ox_unlock(&j->lock);
    return number;
}

uint64_t
ox_journal_first_seq(struct ox_journal *j)
{
    ox_lock(&j->lock);
    uint64_t seq = j->n_segs > 0 ? j->segs[0].first_seq : j->next_seq;
    ox_unlock(&j->lock);
    return seq;
}

uint64_t
ox_journal_next_seq(struct ox_journal *j)
{
    ox_lock(&j->lock);
    uint64_t seq = j->next_seq;
    ox_unlock(&j->lock);
    return seq;
}

size_t
ox_journal_segments(struct ox_journal *j, struct ox_journal_segment *out, size_t cap)
{
    ox_lock(&j->lock);
    size_t n = j->n_segs;
    for (size_t i = 0; i < n && i < cap; i++) {
        const struct ox__seg *s = &j->segs[i];
        out[i] = (struct ox_journal_segment){.number = s->number,
                                             .first_seq = s->first_seq,
                                             .end_seq = s->first_seq + s->end,
                                             .file_bytes = s->file_bytes,
                                             .entries = s->entries,
                                             .oldest_ns = s->oldest_ns,
                                             .newest_ns = s->newest_ns,
                                             .active = j->active && i + 1 == n,
                                             .released = s->released};
    }
    ox_unlock(&j->lock);
    return n;
}

void
ox_journal_stats(struct ox_journal *j, struct ox_journal_stats *out)
{
    ox_lock(&j->lock);
    *out = j->counts;
    out->segments = j->n_segs;
    for (size_t i = 0; i < j->n_segs; i++) {
        out->bytes += j->segs[i].file_bytes;
        out->entries += j->segs[i].entries;
        if (out->oldest_ns == 0)
            out->oldest_ns = j->segs[i].oldest_ns;
    }
    out->first_seq = j->n_segs > 0 ? j->segs[0].first_seq : j->next_seq;
    out->next_seq = j->next_seq;
    ox_unlock(&j->lock);
}
