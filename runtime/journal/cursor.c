/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/journal/cursor.c - the readers' side: one entry by its sequence, or all in order.
 *
 * Owns:    a cursor owns one open segment file and the window it reads through.
 * Threads: a cursor belongs to one thread; the journal's table is looked at under its lock, files are read
 *          outside of it. What is read is durable, hence never changes.
 * Bounds:  one chunk or the largest entry of memory per cursor.
 * Fails:   OX_E_NOT_FOUND, OX_E_CORRUPT, OX_E_END, OX_E_IO, OX_E_NOMEM.
 * Flow:    replay, the tail sampler's second look, `observex journal inspect` -> here -> scan.c.
 */
#include <errno.h>
#include <stdlib.h>

#include "ox/lock.h"
#include "runtime/journal/journal_internal.h"

struct ox_journal_cursor {
    struct ox_journal *j;
    uint64_t from_seq;
    uint64_t number; /* of the segment that `scan` reads, or from which on to look for one */
    int fd;          /* -1 while none is open */
    struct ox__scan scan;
};

static ox_err
open_segment(struct ox_journal *j, uint64_t number, int *fd)
{
    char path[OX_DISK_PATH_MAX];
    ox__segment_path(j, number, "seg", path, sizeof(path));
    return ox_disk_open(j->disk, path, OX_DISK_READ, 0, fd);
}

static ox_err
read_entry(struct ox__scan *scan, uint64_t offset, struct ox_buf *payload, struct ox__scan_item *item)
{
    bool found;
    ox_err err = ox__scan_at(scan, offset, item, &found);
    if (err != OX_OK)
        return err;
    if (!found || item->timestamp_ns == OX__FILLER_NS)
        return scan->unreadable > 0 ? OX_E_IO : OX_E_CORRUPT;
    ox_buf_reset(payload);
    ox_buf_append(payload, item->payload, item->len);
    return payload->failed ? OX_E_NOMEM : OX_OK;
}

ox_err
ox_journal_read(struct ox_journal *j, uint64_t seq, struct ox_buf *payload, struct ox_journal_entry *info)
{
    OX_CHECK_OBJ(j, OX__JOURNAL_MAGIC);
    struct ox__scan_item item;
    struct ox__scan scan;
    struct ox__seg seg;
    int fd;
    ox_lock(&j->lock);
    const struct ox__seg *found = ox__table_find(j, seq);
    if (found != NULL)
        seg = *found;
    ox_unlock(&j->lock);
    if (found == NULL)
        return OX_E_NOT_FOUND;
    ox_err err = open_segment(j, seg.number, &fd);
    if (err != OX_OK)
        return err; /* NOT_FOUND: released meanwhile */
    ox__scan_init(&scan, j->disk, fd, &seg, seq - seg.first_seq, seg.end);
    err = read_entry(&scan, seq - seg.first_seq, payload, &item);
    if (err == OX_OK && info != NULL)
        *info = (struct ox_journal_entry){seq, seg.number, item.timestamp_ns, item.len};
    ox__scan_fini(&scan);
    ox_disk_close(j->disk, fd);
    return err;
}

struct ox_journal_cursor *
ox_journal_cursor_new(struct ox_journal *j, uint64_t from_seq)
{
    OX_CHECK_OBJ(j, OX__JOURNAL_MAGIC);
    struct ox_journal_cursor *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->j = j;
    c->from_seq = from_seq;
    c->fd = -1;
    ox_lock(&j->lock);
    for (size_t i = 0; i < j->n_segs && j->segs[i].first_seq <= from_seq; i++)
        c->number = j->segs[i].number;
    ox_unlock(&j->lock);
    return c;
}

static void
leave_segment(struct ox_journal_cursor *c)
{
    if (c->fd < 0)
        return;
    ox__scan_fini(&c->scan);
    ox_disk_close(c->j->disk, c->fd);
    c->fd = -1;
}

void
ox_journal_cursor_free(struct ox_journal_cursor *c)
{
    if (c == NULL)
        return;
    leave_segment(c);
    free(c);
}

/* Where to begin in a segment: at from_seq when an entry lies there, else at its first entry. */
static ox_err
start_offset(struct ox_journal_cursor *c, const struct ox__seg *seg)
{
    struct ox__scan_item item;
    bool found = false;
    ox_err err = OX_OK;
    if (c->from_seq > seg->first_seq && c->from_seq - seg->first_seq < seg->end &&
        c->from_seq - seg->first_seq >= OX_JOURNAL_HEADER_BYTES)
        err = ox__scan_at(&c->scan, c->from_seq - seg->first_seq, &item, &found);
    c->scan.pos = found ? c->from_seq - seg->first_seq : OX_JOURNAL_HEADER_BYTES;
    return err;
}

/* Makes `scan` stand before unread bytes. END: there are none yet. */
static ox_err
settle(struct ox_journal_cursor *c)
{
    struct ox_journal *j = c->j;
    for (;;) {
        struct ox__seg seg = {0};
        bool last = false;
        ox_lock(&j->lock);
        const struct ox__seg *at = ox__table_at(j, c->number);
        if (at != NULL) {
            seg = *at;
            last = at == ox__table_newest(j);
        }
        ox_unlock(&j->lock);
        if (at == NULL)
            return OX_E_END;
        if (seg.number != c->number)
            leave_segment(c); /* ours was released */
        c->number = seg.number;
        if (c->fd < 0) {
            ox_err err = open_segment(j, seg.number, &c->fd);
            if (err == OX_E_NOT_FOUND && !last) {
                c->number++;
                continue; /* released between the look and the opening */
            }
            if (err != OX_OK)
                return err == OX_E_NOT_FOUND ? OX_E_IO : err;
            ox__scan_init(&c->scan, j->disk, c->fd, &seg, OX_JOURNAL_HEADER_BYTES, seg.end);
            err = start_offset(c, &seg);
            if (err != OX_OK)
                return err;
        }
        c->scan.end = seg.end;
        if (c->scan.pos < c->scan.end)
            return OX_OK;
        if (last)
            return OX_E_END;
        leave_segment(c);
        c->number++;
    }
}

ox_err
ox_journal_cursor_next(struct ox_journal_cursor *c, struct ox_journal_entry *info, struct ox_str *payload,
                       struct ox_diag *diag)
{
    struct ox__scan_item item;
    for (;;) {
        ox_err err = settle(c);
        if (err == OX_E_END)
            return err;
        if (err != OX_OK)
            return ox_diag_set(diag, err, "segment", (int64_t)c->number,
                               "cannot read journal segment %llu: %s", (unsigned long long)c->number,
                               strerror(errno));
        enum ox__scan_result got = ox__scan_next(&c->scan, &item);
        if (got == OX__SCAN_FAILED)
            return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory to read an entry of the journal");
        if (got == OX__SCAN_BAD && c->scan.first_seq + item.bad_to > c->from_seq)
            return ox_diag_set(
                diag, OX_E_CORRUPT, "segment", (int64_t)item.offset,
                "journal segment %llu: bytes %llu to %llu hold no valid entry and were skipped",
                (unsigned long long)c->number, (unsigned long long)item.offset,
                (unsigned long long)item.bad_to);
        if (got != OX__SCAN_ENTRY || c->scan.first_seq + item.offset < c->from_seq)
            continue;
        *info = (struct ox_journal_entry){c->scan.first_seq + item.offset, c->number, item.timestamp_ns,
                                          item.len};
        *payload = (struct ox_str){(const char *)item.payload, item.len};
        return OX_OK;
    }
}
