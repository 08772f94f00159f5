/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/set_aside.c - log entries that brought the node down, taken out of the way of all others.
 *
 * Owns:    files DIR/set-aside/wal-<sequence>.entry: the entry's payload as it stood in the log.
 * Threads: one; during recovery.
 * Fails:   IO, DISK_FULL: the entry then stays in the log and is tried once more.
 * Flow:    recovery -> here -> outbox (the disposition) -> the log may forget it.
 *
 * First the file is durable, then the outbox entry that disposes of the records: a crash between them leaves the
 * entry owed and the file to be written again, never a record that is nowhere.
 */
#include "actors/wal/set_aside.h"

#include <inttypes.h>
#include <stdio.h>

#include "ox/log.h"
#include "ox/metric.h"
#include "ox/outbox_entry.h"
#include "ox/wal_entry.h"

static ox_err
keep_payload(struct ox_disk *disk, const char *dir, uint64_t seq, const struct ox_buf *payload)
{
    char path[OX_DISK_PATH_MAX];
    int fd;
    if (snprintf(path, sizeof(path), "%s/wal-%020" PRIu64 ".entry", dir, seq) >= (int)sizeof(path))
        return OX_E_INVALID;
    ox_err err = ox_disk_ensure_dir(disk, dir);
    if (err == OX_OK)
        err = ox_disk_open(disk, path, OX_DISK_WRITE | OX_DISK_CREATE | OX_DISK_TRUNCATE, 0600, &fd);
    if (err != OX_OK)
        return err;
    err = ox_disk_write_all(disk, fd, payload->data, payload->len, 0);
    if (err == OX_OK)
        err = ox_disk_fdatasync(disk, fd);
    ox_disk_close(disk, fd);
    return err == OX_OK ? ox_disk_fsync_dir(disk, dir) : err;
}

/* The missing ordinals of `seq` are disposed of, durably, in the outbox and in the ledger. */
static ox_err
dispose(struct ox_recovery *rec, uint64_t seq, const struct ox_ranges *missing)
{
    struct ox_outbox_builder b;
    const struct ox_range *r = ox_ranges_at(missing);
    const struct iovec *iov;
    int n;
    uint64_t outbox_seq = 0;
    ox_err err = OX_OK;
    ox_outbox_builder_init(&b, OX_OUTBOX_BLOCKS);
    for (uint32_t i = 0; i < missing->n && err == OX_OK; i++)
        err = ox_outbox_add_disposition(&b, seq, r[i].from, r[i].to, OX_DISPOSED_SET_ASIDE);
    if (err == OX_OK)
        err = ox_outbox_builder_finish(&b, &iov, &n, NULL);
    if (err == OX_OK)
        err = ox_journal_append(rec->outbox, iov, n, 0, &outbox_seq);
    if (err == OX_OK)
        err = ox_journal_commit(rec->outbox, NULL);
    uint64_t segment = err == OX_OK ? ox_journal_segment_of(rec->outbox, outbox_seq) : 0;
    for (uint32_t i = 0; i < missing->n && err == OX_OK; i++)
        err = ox_ledger_disposed(rec->ledger, seq, r[i].from, r[i].to, OX_DISPOSED_SET_ASIDE, segment);
    ox_outbox_builder_fini(&b);
    return err;
}

static uint64_t
count(const struct ox_ranges *ranges)
{
    const struct ox_range *r = ox_ranges_at(ranges);
    uint64_t n = 0;
    for (uint32_t i = 0; i < ranges->n; i++)
        n += r[i].to - r[i].from;
    return n;
}

ox_err
ox__set_aside(struct ox_disk *disk, struct ox_recovery *rec, const char *dir, uint64_t seq)
{
    struct ox_ranges missing = {0};
    struct ox_buf payload;
    struct ox_wal_entry entry = {0};
    ox_buf_init(&payload);
    ox_err err = ox_ledger_missing(rec->ledger, seq, &missing);
    if (err == OX_OK)
        err = ox_journal_read(rec->wal, seq, &payload, NULL);
    if (err == OX_OK)
        err = keep_payload(disk, dir, seq, &payload);
    if (err == OX_OK)
        err = dispose(rec, seq, &missing);
    if (err == OX_OK && ox_wal_entry_decode(ox_buf_str(&payload), &entry, NULL) == OX_OK) {
        OX_LOG_ERROR("recovery", "a log entry that crashed the node again and again is set aside",
                     OX_F_U64("wal_seq", seq), OX_F_STR("tenant", entry.tenant.name),
                     OX_F_STR("signal", ox_signal_name(entry.signal)), OX_F_U64("records", count(&missing)),
                     OX_F_STR("dir", dir));
        rec->set_aside_records += count(&missing);
        OX_METRIC_ADD_L(OX_M_ingest_set_aside, count(&missing), ox_str_of(entry.tenant.name),
                        ox_str_of(ox_signal_name(entry.signal)));
        ox_wal_entry_fini(&entry);
    } else if (err != OX_OK) {
        OX_LOG_ERROR("recovery",
                     "a log entry that crashed the node cannot be set aside; it is tried once more",
                     OX_F_U64("wal_seq", seq), OX_F_ERR(err));
    }
    ox_ranges_fini(&missing);
    ox_buf_fini(&payload);
    return err;
}
