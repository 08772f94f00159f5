/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/journal/scan.c - reads the entries of one segment file, and finds the next whole one behind damage.
 *
 * Owns:    a window of the file's bytes.
 * Threads: one owner.
 * Bounds:  the window holds OX__SCAN_CHUNK_BYTES, or the one entry that is larger.
 * Fails:   OX__SCAN_FAILED / OX_E_NOMEM only; what cannot be read counts as damage.
 * Flow:    runtime/journal/recover.c and cursor.c -> here -> the disk seam.
 *
 * Every entry can be judged by itself, since its checksum is keyed by its own place; so behind damage the
 * scan tries each place that begins with the segment's magic number.
 */
#include <stdlib.h>

#include "ox/crc32c.h"
#include "runtime/journal/journal_internal.h"

void
ox__scan_init(struct ox__scan *s, struct ox_disk *disk, int fd, const struct ox__seg *seg, uint64_t from,
              uint64_t end)
{
    memset(s, 0, sizeof(*s));
    s->disk = disk;
    s->fd = fd;
    s->salt = seg->salt;
    s->first_seq = seg->first_seq;
    s->pos = from;
    s->end = end;
    ox_buf_init(&s->window);
}

void
ox__scan_fini(struct ox__scan *s)
{
    ox_buf_fini(&s->window);
}

/* Sector by sector; what stays refused or is not there reads as zero, which no entry consists of. */
static void
read_pieces(struct ox__scan *s, uint8_t *to, size_t n, uint64_t off)
{
    while (n > 0) {
        size_t step = OX__SECTOR_BYTES - (size_t)(off % OX__SECTOR_BYTES);
        step = step < n ? step : n;
        if (ox_disk_read_all(s->disk, s->fd, to, step, off) != OX_OK) {
            memset(to, 0, step);
            s->unreadable += step;
        }
        to += step;
        n -= step;
        off += step;
    }
}

/* The n bytes at off, which lie before s->end; NULL = out of memory. */
static const uint8_t *
view(struct ox__scan *s, uint64_t off, size_t n)
{
    if (off >= s->window_off && off + n <= s->window_off + s->window.len)
        return s->window.data + (off - s->window_off);
    uint64_t left = s->end - off;
    size_t want = n > OX__SCAN_CHUNK_BYTES ? n : OX__SCAN_CHUNK_BYTES;
    want = want < left ? want : (size_t)left;
    ox_buf_reset(&s->window);
    uint8_t *to = ox_buf_reserve(&s->window, want);
    if (to == NULL)
        return NULL;
    if (ox_disk_read_all(s->disk, s->fd, to, want, off) != OX_OK)
        read_pieces(s, to, want, off);
    s->window_off = off;
    s->window.len = want;
    return to;
}

ox_err
ox__scan_at(struct ox__scan *s, uint64_t offset, struct ox__scan_item *item, bool *found)
{
    *found = false;
    if (offset > s->end || s->end - offset < OX_JOURNAL_ENTRY_OVERHEAD)
        return OX_OK;
    const uint8_t *head = view(s, offset, OX_JOURNAL_ENTRY_OVERHEAD);
    if (head == NULL)
        return OX_E_NOMEM;
    uint32_t magic = ox__segment_magic(s->salt);
    uint32_t len = ox__get32(head + 4);
    uint32_t crc = ox__get32(head + 8);
    int64_t timestamp_ns = (int64_t)ox__get64(head + 12);
    if (ox__get32(head) != magic || len > OX_JOURNAL_ENTRY_BYTES_MAX ||
        len > s->end - offset - OX_JOURNAL_ENTRY_OVERHEAD)
        return OX_OK;
    const uint8_t *all = view(s, offset, OX_JOURNAL_ENTRY_OVERHEAD + (size_t)len);
    if (all == NULL)
        return OX_E_NOMEM;
    uint32_t sum = ox__entry_crc_begin(s->salt, s->first_seq + offset, magic, len, timestamp_ns);
    if (ox_crc32c(sum, all + OX_JOURNAL_ENTRY_OVERHEAD, len) != crc)
        return OX_OK;
    *item = (struct ox__scan_item){.offset = offset,
                                   .len = len,
                                   .timestamp_ns = timestamp_ns,
                                   .payload = all + OX_JOURNAL_ENTRY_OVERHEAD};
    *found = true;
    return OX_OK;
}

static void
note_nonzero(const uint8_t *p, size_t n, uint64_t off, uint64_t *nonzero_to)
{
    while (n > 0 && p[n - 1] == 0)
        n--;
    if (n > 0)
        *nonzero_to = off + n;
}

/* Moves *at to the next place in [*at, end) that begins with the magic number, or to end. */
static ox_err
next_magic(struct ox__scan *s, uint64_t *at, uint64_t *nonzero_to)
{
    uint8_t magic[4];
    ox__put32(magic, ox__segment_magic(s->salt));
    while (s->end - *at >= sizeof(magic)) {
        uint64_t left = s->end - *at;
        /* Half a chunk with half a chunk of look-ahead, so that a step back never reads the file twice. */
        size_t n = left < OX__SCAN_CHUNK_BYTES / 2 ? (size_t)left : OX__SCAN_CHUNK_BYTES / 2;
        const uint8_t *p = view(s, *at, n);
        if (p == NULL)
            return OX_E_NOMEM;
        const uint8_t *hit = memmem(p, n, magic, sizeof(magic));
        size_t passed = hit != NULL ? (size_t)(hit - p) : n - (sizeof(magic) - 1);
        note_nonzero(p, passed, *at, nonzero_to);
        *at += passed;
        if (hit != NULL)
            return OX_OK;
    }
    size_t rest = (size_t)(s->end - *at);
    const uint8_t *p = rest > 0 ? view(s, *at, rest) : NULL;
    if (rest > 0 && p == NULL)
        return OX_E_NOMEM;
    note_nonzero(p, rest, *at, nonzero_to);
    *at = s->end;
    return OX_OK;
}

static enum ox__scan_result
skip_damage(struct ox__scan *s, struct ox__scan_item *item)
{
    uint64_t from = s->pos, at = s->pos, nonzero_to = s->pos;
    bool found = false;
    while (at < s->end) {
        if (next_magic(s, &at, &nonzero_to) != OX_OK)
            return OX__SCAN_FAILED;
        if (at < s->end && ox__scan_at(s, at, item, &found) != OX_OK)
            return OX__SCAN_FAILED;
        if (found)
            break;
        if (at < s->end)
            nonzero_to = ++at; /* the magic number's first byte at the least; it may be 0, the rest is not */
    }
    *item = (struct ox__scan_item){.offset = from, .bad_to = at, .nonzero_to = nonzero_to};
    s->pos = at;
    return OX__SCAN_BAD;
}

enum ox__scan_result
ox__scan_next(struct ox__scan *s, struct ox__scan_item *item)
{
    bool found;
    if (s->pos >= s->end)
        return OX__SCAN_END;
    if (ox__scan_at(s, s->pos, item, &found) != OX_OK)
        return OX__SCAN_FAILED;
    if (!found)
        return skip_damage(s, item);
    s->pos += OX_JOURNAL_ENTRY_OVERHEAD + (uint64_t)item->len;
    return item->timestamp_ns == OX__FILLER_NS ? OX__SCAN_FILLER : OX__SCAN_ENTRY;
}
