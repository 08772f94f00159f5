/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/set_aside.c - log entries that brought the node or their tenant's actor down, taken out of the way.
 *
 * Owns:    files DIR/set-aside/wal-<sequence>.entry: the entry's payload as it stood in the log; beside each a .json that
 *          says why.
 * Threads: one during recovery; a dirty thread while the node runs.
 * Fails:   IO, DISK_FULL: the entry then stays in the log and is tried once more.
 * Flow:    recovery, wal_aside.c -> here -> outbox (the disposition) -> the log may forget it.
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
keep_file(struct ox_disk *disk, const char *dir, uint64_t seq, const char *suffix, const struct ox_buf *bytes)
{
    char path[OX_DISK_PATH_MAX];
    int fd;
    if (snprintf(path, sizeof(path), "%s/wal-%020" PRIu64 ".%s", dir, seq, suffix) >= (int)sizeof(path))
        return OX_E_INVALID;
    ox_err err = ox_disk_open(disk, path, OX_DISK_WRITE | OX_DISK_CREATE | OX_DISK_TRUNCATE, 0600, &fd);
    if (err != OX_OK)
        return err;
    err = ox_disk_write_all(disk, fd, bytes->data, bytes->len, 0);
    if (err == OX_OK)
        err = ox_disk_fdatasync(disk, fd);
    ox_disk_close(disk, fd);
    return err;
}

/* The note for people and for `observex set-aside`. */
static void
write_note(const struct ox_set_aside_note *note, const struct ox_wal_entry *entry, struct ox_buf *out)
{
    struct ox_crash death;
    ox_buf_printf(out, "{\"wal_seq\":\"%" PRIu64 "\",\"tenant\":\"%s\",\"signal\":\"%s\"", note->seq,
                  entry->tenant.name, ox_signal_name(entry->signal));
    ox_buf_printf(out, ",\"records\":%" PRIu64 ",\"records_in_request\":%u,\"body_bytes\":%zu", note->records,
                  entry->n_records, entry->body.n);
    ox_buf_printf(out, ",\"received_ns\":\"%" PRIu64 "\",\"set_aside_ns\":\"%" PRIu64 "\",\"crashes\":%u",
                  entry->received_ns, note->time_ns, note->crashes);
    if (note->doubtful)
        ox_buf_append_cstr(out, ",\"may_be_stored\":true");
    if (note->deaths != NULL && ox_crashes_find(note->deaths, note->seq, NULL, &death)) {
        ox_buf_append_cstr(out, ",\"obituary\":");
        ox_crash_json(&death, out);
    }
    ox_buf_append_cstr(out, "}\n");
}

static ox_err
keep(struct ox_disk *disk, const char *dir, const struct ox_set_aside_note *note,
     const struct ox_buf *payload, const struct ox_wal_entry *entry)
{
    struct ox_buf json;
    ox_buf_init(&json);
    write_note(note, entry, &json);
    ox_err err = json.failed ? OX_E_NOMEM : ox_disk_ensure_dir(disk, dir);
    if (err == OX_OK)
        err = keep_file(disk, dir, note->seq, "entry", payload);
    if (err == OX_OK)
        err = keep_file(disk, dir, note->seq, "json", &json);
    ox_buf_fini(&json);
    return err == OX_OK ? ox_disk_fsync_dir(disk, dir) : err;
}

ox_err
ox__set_aside_write(struct ox_disk *disk, struct ox_journal *wal, const char *dir,
                    const struct ox_set_aside_note *note, uint64_t hash[2])
{
    struct ox_buf payload;
    struct ox_wal_entry entry = {0};
    struct ox_diag diag;
    ox_buf_init(&payload);
    ox_err err = ox_journal_read(wal, note->seq, &payload, NULL);
    if (err == OX_OK)
        err = ox_wal_entry_decode(ox_buf_str(&payload), &entry, &diag);
    if (err == OX_OK) {
        err = keep(disk, dir, note, &payload, &entry);
        if (hash != NULL) {
            hash[0] = entry.request_hash.lo;
            hash[1] = entry.request_hash.hi;
        }
        ox_wal_entry_fini(&entry);
    }
    ox_buf_fini(&payload);
    return err;
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

/* A repeat of the request is a new one from now on. */
static void
forget_recent(struct ox_recovery *rec, struct ox_recent_key key)
{
    size_t kept = 0;
    for (size_t i = 0; i < rec->n_recent; i++) {
        if (rec->recent[i].lo != key.lo || rec->recent[i].hi != key.hi)
            rec->recent[kept++] = rec->recent[i];
    }
    rec->n_recent = kept;
}

/* Whose entry it is, for log and metric; false when it cannot be read any more. */
static bool
owner_of(struct ox_recovery *rec, const struct ox_set_aside_note *note, struct ox_tenant_id *tenant,
         enum ox_signal *signal)
{
    struct ox_buf payload;
    struct ox_wal_entry entry = {0};
    ox_buf_init(&payload);
    bool ok = ox_journal_read(rec->wal, note->seq, &payload, NULL) == OX_OK &&
              ox_wal_entry_decode(ox_buf_str(&payload), &entry, NULL) == OX_OK;
    if (ok) {
        *tenant = entry.tenant;
        *signal = entry.signal;
        if (!note->doubtful)
            forget_recent(
                rec, ox_recent_key_of(tenant, entry.signal, entry.request_hash.lo, entry.request_hash.hi));
        ox_wal_entry_fini(&entry);
    }
    ox_buf_fini(&payload);
    return ok;
}

ox_err
ox__set_aside(struct ox_disk *disk, struct ox_recovery *rec, const char *dir,
              const struct ox_set_aside_note *note)
{
    struct ox_ranges missing = {0};
    struct ox_tenant_id tenant;
    enum ox_signal signal;
    uint64_t seq = note->seq;
    ox_err err = ox_ledger_missing(rec->ledger, seq, &missing);
    uint64_t records = err == OX_OK ? count(&missing) : 0;
    struct ox_set_aside_note full = *note;
    full.records = records;
    if (err == OX_OK)
        err = ox__set_aside_write(disk, rec->wal, dir, &full, NULL);
    if (err == OX_OK)
        err = dispose(rec, seq, &missing);
    if (err == OX_OK && owner_of(rec, note, &tenant, &signal)) {
        /* Of doubtful ones there may be many: the caller sums up. */
        OX_LOG_AT(note->doubtful ? OX_LOG_INFO : OX_LOG_ERROR, "recovery",
                  note->doubtful ? "a log entry that may be stored already is set aside"
                                 : "a log entry that crashed the node again and again is set aside",
                  OX_F_U64("wal_seq", seq), OX_F_STR("tenant", tenant.name),
                  OX_F_STR("signal", ox_signal_name(signal)), OX_F_U64("records", records),
                  OX_F_STR("dir", dir));
        rec->set_aside_records += records;
        OX_METRIC_ADD_L(OX_M_ingest_set_aside, records, ox_str_of(tenant.name),
                        ox_str_of(ox_signal_name(signal)));
    } else if (err != OX_OK) {
        OX_LOG_ERROR(
            "recovery",
            note->doubtful
                ? "a log entry that may be stored already cannot be set aside; it waits for the next start"
                : "a log entry that crashed the node cannot be set aside; it is tried once more",
            OX_F_U64("wal_seq", seq), OX_F_ERR(err));
    }
    ox_ranges_fini(&missing);
    return err;
}
