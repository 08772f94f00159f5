/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/journal/append.c - the writer's side: entries are gathered in a group, written from where they lie
 * and synced together.
 *
 * Owns:    the open group: views of the callers' bytes, and the headers of its entries.
 * Threads: one writer at a time; publishes what became durable under the journal's lock.
 * Bounds:  OX__GROUP_ENTRIES_MAX, OX__GROUP_IOV_MAX: past them the group is written out, still unsynced.
 * Fails:   OX_E_DISK_FULL, OX_E_IO, OX_E_TOO_LARGE, OX_E_STATE.
 * Flow:    actors/wal, actors/writer -> here -> the disk seam.
 */
#include <errno.h>

#include "ox/crc32c.h"
#include "ox/lock.h"
#include "runtime/journal/journal_internal.h"

static void
group_forget(struct ox__group *g)
{
    g->n_iov = 0;
    g->n_heads = 0;
    g->entries = 0;
    g->bytes = 0;
    g->payload_bytes = 0;
    g->failed = OX_OK;
}

/* Drops `done` bytes from the front of the parts; returns how many parts remain, moved to the front. */
static int
consume(struct iovec *iov, int n, size_t done)
{
    int i = 0;
    while (i < n && done >= iov[i].iov_len) {
        done -= iov[i].iov_len;
        i++;
    }
    if (i < n && done > 0) {
        iov[i].iov_base = (uint8_t *)iov[i].iov_base + done;
        iov[i].iov_len -= done;
    }
    memmove(iov, iov + i, (size_t)(n - i) * sizeof(*iov));
    return n - i;
}

/* Hands the gathered parts to the kernel. A short write goes on behind itself; a failed one is not repeated.
 */
static ox_err
write_out(struct ox_journal *j)
{
    struct ox__group *g = &j->group;
    while (g->n_iov > 0) {
        int n = g->n_iov < OX__WRITE_IOV_MAX ? g->n_iov : OX__WRITE_IOV_MAX;
        size_t done = 0;
        ox_err err = ox_disk_pwritev(j->disk, j->fd, g->iov, n, j->write_off, &done);
        if (err == OX_OK && done == 0) {
            errno = EIO; /* no progress and no cause: going on could go on for ever */
            err = OX_E_IO;
        }
        if (err != OX_OK)
            return err == OX_E_NOT_FOUND || err == OX_E_EXISTS ? OX_E_IO : err;
        j->write_off += done;
        g->n_iov = consume(g->iov, g->n_iov, done);
    }
    g->n_heads = 0;
    return OX_OK;
}

static void
publish_durable(struct ox_journal *j)
{
    struct ox__group *g = &j->group;
    ox_lock(&j->lock);
    struct ox__seg *seg = ox__table_newest(j);
    seg->end = j->write_off;
    if (seg->file_bytes < seg->end)
        seg->file_bytes = seg->end;
    if (seg->entries == 0)
        seg->oldest_ns = g->oldest_ns;
    if (seg->entries == 0 || g->newest_ns > seg->newest_ns)
        seg->newest_ns = g->newest_ns;
    if (g->oldest_ns < seg->oldest_ns)
        seg->oldest_ns = g->oldest_ns;
    seg->entries += g->entries;
    j->next_seq = seg->first_seq + seg->end;
    j->counts.appended_entries += g->entries;
    j->counts.appended_bytes += g->payload_bytes;
    j->counts.commits++;
    ox_unlock(&j->lock);
}

/* The group is lost, and with it the segment: what the kernel still holds of it is not known. */
static void
fail_group(struct ox_journal *j, ox_err err)
{
    int cause = errno;
    group_forget(&j->group);
    j->group.failed = err;
    j->group.failed_errno = cause;
    ox_lock(&j->lock);
    j->active = false;
    j->next_seq = j->next_first_seq;
    j->counts.commits_failed++;
    ox_unlock(&j->lock);
}

ox_err
ox__group_sync(struct ox_journal *j)
{
    struct ox__group *g = &j->group;
    if (g->failed != OX_OK) {
        errno = g->failed_errno;
        return g->failed;
    }
    if (g->entries == 0)
        return OX_OK;
    ox_err err = write_out(j);
    if (err == OX_OK) {
        err = ox_disk_fdatasync(j->disk, j->fd);
        if (err != OX_OK && err != OX_E_DISK_FULL)
            err = OX_E_IO;
    }
    if (err != OX_OK) {
        fail_group(j, err);
        return err;
    }
    publish_durable(j);
    group_forget(g);
    return OX_OK;
}

static void
gather(struct ox_journal *j, const struct iovec *parts, int n_parts, uint32_t len, int64_t timestamp_ns)
{
    struct ox__group *g = &j->group;
    const struct ox__seg *seg = &j->cur;
    uint64_t seq = seg->first_seq + j->next_off;
    uint32_t magic = ox__segment_magic(seg->salt);
    uint32_t crc = ox__entry_crc_begin(seg->salt, seq, magic, len, timestamp_ns);
    uint8_t *head = g->heads[g->n_heads++];
    g->iov[g->n_iov++] = (struct iovec){head, OX_JOURNAL_ENTRY_OVERHEAD};
    for (int i = 0; i < n_parts; i++) {
        if (parts[i].iov_len == 0)
            continue;
        crc = ox_crc32c(crc, parts[i].iov_base, parts[i].iov_len);
        g->iov[g->n_iov++] = parts[i];
    }
    ox__put32(head, magic);
    ox__put32(head + 4, len);
    ox__put32(head + 8, crc);
    ox__put64(head + 12, (uint64_t)timestamp_ns);
    if (g->entries == 0 || timestamp_ns < g->oldest_ns)
        g->oldest_ns = timestamp_ns;
    if (g->entries == 0 || timestamp_ns > g->newest_ns)
        g->newest_ns = timestamp_ns;
    g->entries++;
    g->bytes += OX_JOURNAL_ENTRY_OVERHEAD + (uint64_t)len;
    g->payload_bytes += len;
    j->next_off += OX_JOURNAL_ENTRY_OVERHEAD + (uint64_t)len;
}

/* A segment with room for the entry, and a group with room for its parts. */
static ox_err
make_room(struct ox_journal *j, uint64_t entry_bytes, int n_parts)
{
    struct ox__group *g = &j->group;
    if (g->failed != OX_OK) {
        errno = g->failed_errno;
        return g->failed;
    }
    ox_lock(&j->lock);
    bool fits = j->active && j->cur.capacity - j->next_off >= entry_bytes;
    ox_unlock(&j->lock);
    if (!fits)
        return ox__segment_next(j, entry_bytes);
    if (g->n_heads < OX__GROUP_ENTRIES_MAX && g->n_iov + n_parts + 1 <= OX__GROUP_IOV_MAX)
        return OX_OK;
    ox_err err = write_out(j);
    if (err != OX_OK)
        fail_group(j, err);
    return err;
}

ox_err
ox_journal_append(struct ox_journal *j, const struct iovec *parts, int n_parts, int64_t timestamp_ns,
                  uint64_t *seq)
{
    OX_CHECK_OBJ(j, OX__JOURNAL_MAGIC);
    uint64_t len = 0;
    OX_ASSERT(timestamp_ns != OX__FILLER_NS);
    if (j->options.read_only)
        return OX_E_STATE;
    if (n_parts < 0 || n_parts > OX_JOURNAL_ENTRY_PARTS_MAX)
        return OX_E_TOO_LARGE;
    for (int i = 0; i < n_parts; i++) {
        if (parts[i].iov_len > OX_JOURNAL_ENTRY_BYTES_MAX - len)
            return OX_E_TOO_LARGE;
        len += parts[i].iov_len;
    }
    ox_err err = make_room(j, OX_JOURNAL_ENTRY_OVERHEAD + len, n_parts);
    if (err != OX_OK)
        return err;
    *seq = j->cur.first_seq + j->next_off;
    gather(j, parts, n_parts, (uint32_t)len, timestamp_ns);
    return OX_OK;
}

static void
tell_durable(struct ox_journal *j, uint64_t *durable_seq)
{
    if (durable_seq == NULL)
        return;
    ox_lock(&j->lock);
    const struct ox__seg *newest = ox__table_newest(j);
    *durable_seq = newest != NULL ? newest->first_seq + newest->end : 0;
    ox_unlock(&j->lock);
}

ox_err
ox_journal_commit(struct ox_journal *j, uint64_t *durable_seq)
{
    OX_CHECK_OBJ(j, OX__JOURNAL_MAGIC);
    ox_err err = ox__group_sync(j);
    tell_durable(j, durable_seq);
    if (err == OX_OK)
        return OX_OK;
    int cause = j->group.failed_errno;
    group_forget(&j->group);
    /* At once, so that the refused entries are gone for good even if nothing is ever appended again. When this
     * fails too, the next append tries again. */
    ox__ignore(ox__segment_next(j, 0));
    errno = cause;
    return err;
}

uint64_t
ox_journal_pending_bytes(const struct ox_journal *j)
{
    return j->group.bytes;
}

ox_err
ox_journal_rotate(struct ox_journal *j)
{
    OX_CHECK_OBJ(j, OX__JOURNAL_MAGIC);
    if (j->options.read_only)
        return OX_E_STATE;
    ox_err err = ox_journal_commit(j, NULL);
    if (err != OX_OK)
        return err;
    ox_lock(&j->lock);
    const struct ox__seg *newest = ox__table_newest(j);
    bool needed = newest != NULL && newest->entries > 0;
    ox_unlock(&j->lock);
    return needed ? ox__segment_next(j, 0) : OX_OK;
}

void
ox_journal_skip_to(struct ox_journal *j, uint64_t seq)
{
    OX_CHECK_OBJ(j, OX__JOURNAL_MAGIC);
    ox_lock(&j->lock);
    OX_ASSERT(!j->active);
    if (j->next_first_seq < seq)
        j->next_first_seq = j->next_seq = seq;
    ox_unlock(&j->lock);
}
