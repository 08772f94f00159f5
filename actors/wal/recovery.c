/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/recovery.c - from two journals to what is still owed.
 *
 * Owns:    struct ox_recovery while it is being built.
 * Threads: one; blocking.
 * Bounds:  the size of the journals on disk.
 * Fails:   see include/ox/recovery.h.
 * Flow:    cmd_node -> here (actors/spill/backlog_recovery.c) -> ledger and replay list to the wal actor, blocks to the outbox actor.
 */
#include "ox/recovery.h"

#include <stdio.h>
#include <stdlib.h>

#include "actors/spill/backlog_recovery.h"
#include "actors/wal/recovery_damage.h"
#include "actors/wal/set_aside.h"
#include "actors/wal/wal_internal.h"
#include "ox/log.h"
#include "ox/outbox_entry.h"
#include "ox/wal_entry.h"

static ox_err
grow(void **items, size_t *cap, size_t n, size_t size)
{
    if (n < *cap)
        return OX_OK;
    size_t next = *cap != 0 ? *cap * 2 : 256;
    void *more = realloc(*items, next * size);
    if (more == NULL)
        return OX_E_NOMEM;
    *items = more;
    *cap = next;
    return OX_OK;
}

static ox_err
open_journal(struct ox_disk *disk, const struct ox_recovery_options *options, const char *sub,
             enum ox_journal_kind kind, uint64_t segment_bytes, struct ox_journal **out,
             struct ox_journal_report *report, struct ox_diag *diag)
{
    char dir[OX_DISK_PATH_MAX];
    if (snprintf(dir, sizeof(dir), "%s/%s", options->data_dir, sub) >= (int)sizeof(dir))
        return ox_diag_set(diag, OX_E_INVALID, "data", -1, "the path of the data directory is too long");
    struct ox_journal_options jo = {.kind = kind, .segment_bytes = segment_bytes};
    ox_err err = ox_journal_open(disk, dir, &jo, out, report, diag);
    if (err != OX_OK)
        return err;
    for (uint32_t i = 0; i < report->n_findings; i++) {
        const struct ox_journal_finding *f = &report->findings[i];
        OX_LOG_AT(!ox_journal_finding_is_damage(f->kind) ? OX_LOG_INFO : OX_LOG_ERROR, "recovery",
                  "journal finding", OX_F_STR("journal", sub),
                  OX_F_STR("kind", ox_journal_finding_name(f->kind)), OX_F_U64("segment", f->segment),
                  OX_F_U64("offset", f->offset), OX_F_U64("bytes", f->bytes), OX_F_STR("text", f->text));
    }
    return OX_OK;
}

static ox_err
note_aside(struct ox_recovery *rec, uint64_t seq)
{
    if (rec->n_aside > 0 && rec->aside[rec->n_aside - 1] == seq)
        return OX_OK;
    ox_err err = grow((void **)&rec->aside, &rec->cap_aside, rec->n_aside, sizeof(*rec->aside));
    if (err == OX_OK)
        rec->aside[rec->n_aside++] = seq;
    return err;
}

static bool
is_aside(const struct ox_recovery *rec, uint64_t seq)
{
    for (size_t i = 0; i < rec->n_aside; i++) {
        if (rec->aside[i] == seq)
            return true;
    }
    return false;
}

/* Dispositions and blocks of one outbox entry into the ledger. */
static ox_err
account_blocks(struct ox_recovery *rec, const struct ox_journal_entry *info,
               const struct ox_outbox_entry *entry)
{
    ox_err err;
    for (uint32_t i = 0; i < entry->n_dispositions; i++) {
        const struct ox_outbox_disposition *d = &entry->dispositions[i];
        if (d->wal_seq > rec->highest_wal_seq)
            rec->highest_wal_seq = d->wal_seq;
        err = ox_ledger_disposed(rec->ledger, d->wal_seq, d->from, d->to, (enum ox_disposition)d->how,
                                 info->segment);
        if (err == OX_OK && d->how == OX_DISPOSED_SET_ASIDE)
            err = note_aside(rec, d->wal_seq);
        if (err == OX_E_NOMEM || err == OX_E_OVERLOAD)
            return err;
        if (err != OX_OK)
            OX_LOG_ERROR("recovery", "a record is accounted for twice in the outbox", OX_F_ERR(err),
                         OX_F_U64("wal_seq", d->wal_seq), OX_F_U64("outbox_seq", info->seq));
    }
    for (uint32_t i = 0; i < entry->n_decisions; i++) {
        err = grow((void **)&rec->decided, &rec->cap_decided, rec->n_decided, sizeof(*rec->decided));
        if (err != OX_OK)
            return err;
        struct ox_recovered_decision *d = &rec->decided[rec->n_decided];
        *d = (struct ox_recovered_decision){.decision = entry->decisions[i].decision,
                                            .segment = info->segment};
        struct ox_str name = entry->decisions[i].tenant;
        if (name.n >= sizeof(d->tenant.name))
            continue;
        memcpy(d->tenant.name, name.p, name.n);
        rec->n_decided++;
    }
    for (uint32_t i = 0; i < entry->n_blocks; i++) {
        const struct ox_outbox_block *b = &entry->blocks[i];
        err = ox_ledger_block_appended(rec->ledger, b->block_id, info->segment);
        if (err != OX_OK)
            return err;
        err = grow((void **)&rec->blocks, &rec->cap_blocks, rec->n_blocks, sizeof(*rec->blocks));
        if (err != OX_OK)
            return err;
        rec->blocks[rec->n_blocks++] = (struct ox_pending_block){.outbox_seq = info->seq,
                                                                 .index = i,
                                                                 .table = b->table,
                                                                 .rows = b->rows,
                                                                 .block_id = b->block_id,
                                                                 .raw_len = b->raw_len,
                                                                 .appended_ns = info->timestamp_ns};
    }
    return OX_OK;
}

static ox_err
account_stored(struct ox_recovery *rec, const struct ox_journal_entry *info,
               const struct ox_outbox_entry *entry)
{
    ox_err err = ox_ledger_outbox_seen(rec->ledger, info->segment);
    for (uint32_t i = 0; i < entry->n_stored && err == OX_OK; i++) {
        err = ox_ledger_block_stored(rec->ledger, entry->stored[i]);
        if (err == OX_E_NOT_FOUND) /* its segment is gone already, or it was told twice */
            err = OX_OK;
    }
    return err;
}

static ox_err
account_outbox_entry(struct ox_recovery *rec, const struct ox_journal_entry *info, struct ox_str payload)
{
    struct ox_outbox_entry entry;
    struct ox_diag diag;
    ox_err err = ox_outbox_entry_decode(payload, &entry, &diag);
    if (err == OX_E_NOMEM)
        return err;
    if (err != OX_OK) {
        OX_LOG_ERROR("recovery", "an outbox entry cannot be read", OX_F_ERR(err), OX_F_DIAG(&diag),
                     OX_F_U64("outbox_seq", info->seq));
        rec->bad_entries++;
        return ox_ledger_outbox_seen(rec->ledger, info->segment);
    }
    err = entry.kind == OX_OUTBOX_STORED ? account_stored(rec, info, &entry)
                                         : account_blocks(rec, info, &entry);
    ox_outbox_entry_fini(&entry);
    return err;
}

/* A repeat of this request is recognised from now on. */
static ox_err
note_recent(struct ox_recovery *rec, const struct ox_wal_entry *entry)
{
    ox_err err = grow((void **)&rec->recent, &rec->cap_recent, rec->n_recent, sizeof(*rec->recent));
    if (err == OX_OK)
        rec->recent[rec->n_recent++] =
            ox_recent_key_of(&entry->tenant, entry->signal, entry->request_hash.lo, entry->request_hash.hi);
    return err;
}

static ox_err
account_wal_entry(struct ox_recovery *rec, const struct ox_journal_entry *info, struct ox_str payload)
{
    struct ox_wal_entry entry;
    struct ox_diag diag;
    ox_err err = ox_wal_entry_decode(payload, &entry, &diag);
    if (err == OX_E_NOMEM)
        return err;
    if (err != OX_OK) {
        OX_LOG_ERROR("recovery", "a log entry cannot be read", OX_F_ERR(err), OX_F_DIAG(&diag),
                     OX_F_U64("wal_seq", info->seq));
        rec->bad_entries++;
        return OX_OK;
    }
    err = ox_ledger_entry_logged(rec->ledger, info->seq, info->segment, entry.n_records);
    const struct ox_range *r = ox_ranges_at(&entry.rejected);
    for (uint32_t i = 0; i < entry.rejected.n && err == OX_OK; i++)
        err = ox_ledger_disposed(rec->ledger, info->seq, r[i].from, r[i].to, OX_DISPOSED_REJECTED, 0);
    ox_wal_entry_fini(&entry);
    if (err == OX_OK && !is_aside(rec, info->seq))
        err = note_recent(rec, &entry);
    if (err == OX_OK)
        err = ox__backlog_origin(rec, &entry);
    if (err == OX_OK)
        err = grow((void **)&rec->replay, &rec->cap_replay, rec->n_replay, sizeof(*rec->replay));
    if (err == OX_OK)
        rec->replay[rec->n_replay++] = info->seq;
    return err;
}

typedef ox_err (*account_fn)(struct ox_recovery *, const struct ox_journal_entry *, struct ox_str);

/* Feeds every readable entry of a journal to `account`; damage was reported when the journal was opened. */
static ox_err
walk(struct ox_recovery *rec, struct ox_journal *journal, account_fn account)
{
    struct ox_journal_cursor *cursor = ox_journal_cursor_new(journal, 0);
    if (cursor == NULL)
        return OX_E_NOMEM;
    ox_err err;
    for (;;) {
        struct ox_journal_entry info;
        struct ox_str payload;
        struct ox_diag diag;
        err = ox_journal_cursor_next(cursor, &info, &payload, &diag);
        if (err == OX_E_END) {
            err = OX_OK;
            break;
        }
        if (err == OX_E_CORRUPT)
            continue;
        if (err == OX_OK)
            err = account(rec, &info, payload);
        if (err != OX_OK)
            break;
    }
    ox_journal_cursor_free(cursor);
    return err;
}

/* Keeps only what is still owed. */
static void
drop_settled(struct ox_recovery *rec)
{
    struct ox_ranges missing = {0};
    size_t kept = 0;
    for (size_t i = 0; i < rec->n_replay; i++) {
        if (ox_ledger_missing(rec->ledger, rec->replay[i], &missing) == OX_OK && missing.n > 0)
            rec->replay[kept++] = rec->replay[i];
    }
    rec->n_replay = kept;
    ox_ranges_fini(&missing);
    kept = 0;
    for (size_t i = 0; i < rec->n_blocks; i++) {
        if (ox_ledger_block_in_flight(rec->ledger, rec->blocks[i].block_id))
            rec->blocks[kept++] = rec->blocks[i];
    }
    rec->n_blocks = kept;
}

static ox_err
rebuild(struct ox_disk *disk, const struct ox_recovery_options *options, struct ox_recovery *rec,
        struct ox_diag *diag)
{
    /* Whatever the journals hold must get in, or the node could never start again: their own sizes are the bound. */
    struct ox_ledger_options lo = {
        .wal_first_seq = ox_journal_first_seq(rec->wal), .entries_max = UINT32_MAX, .blocks_max = UINT32_MAX};
    rec->ledger = ox_ledger_new(&lo);
    if (rec->ledger == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for the accounts");
    ox_err err = walk(rec, rec->outbox, account_outbox_entry);
    if (err == OX_OK)
        err = walk(rec, rec->wal, account_wal_entry);
    if (err == OX_OK)
        err = ox_ledger_rebuilt(rec->ledger, &rec->orphans);
    if (err == OX_E_CORRUPT) {
        OX_LOG_ERROR("recovery", "the outbox accounts for more records than the log holds", OX_F_ERR(err));
        err = OX_OK;
    }
    if (err != OX_OK)
        return ox_diag_set(diag, err, NULL, -1, "rebuilding the accounts from the journals failed: %s",
                           ox_err_text(err));
    if (rec->orphans > 0)
        OX_LOG_WARN("recovery", "the outbox accounts for log entries that are not there",
                    OX_F_U64("dispositions", rec->orphans));
    drop_settled(rec);
    err = ox__backlogs_recover(disk, options->data_dir, rec, diag);
    if (err != OX_OK)
        return err;
    /* A log that lost its newest files must not give out again what the outbox still names. */
    ox_journal_skip_to(rec->wal, rec->highest_wal_seq + 1);
    return OX_OK;
}

/* Suspects move to the end of the replay, or out of it. */
static void
sort_suspects(struct ox_disk *disk, struct ox_recovery *rec, const struct ox_recovery_options *options)
{
    uint64_t held[OX_SUSPECTS_MAX];
    size_t kept = 0, n_held = 0;
    if (options->suspects == NULL || options->suspects->n == 0)
        return;
    for (size_t i = 0; i < rec->n_replay; i++) {
        uint64_t seq = rec->replay[i];
        uint32_t crashes = ox_suspects_crashes(options->suspects, seq);
        if (crashes == 0) {
            rec->replay[kept++] = seq;
            continue;
        }
        struct ox_set_aside_note note = {
            .seq = seq,
            .crashes = crashes,
            .time_ns = ox_clock_realtime_ns(options->clock != NULL ? options->clock : ox_clock_real()),
            .deaths = options->crashes,
        };
        if (crashes >= OX_SUSPECT_CRASHES && ox__set_aside(disk, rec, options->set_aside_dir, &note) == OX_OK)
            continue;
        held[n_held++] = seq; /* at most one per suspect */
    }
    if (n_held > 0)
        memcpy(rec->replay + kept, held, n_held * sizeof(held[0]));
    rec->n_replay = kept + n_held;
    rec->n_suspects = n_held;
}

static bool
is_full(struct ox_journal *j, uint64_t total)
{
    struct ox_journal_stats stats;
    ox_journal_stats(j, &stats);
    return total != 0 && stats.bytes >= total / 1000 * OX_WAL_FILL_SEAL;
}

/* The newest segments are sealed by new entries only, and a node whose journals are full takes none: it would refuse
 * for ever what would make room. Otherwise they stay: they remember which requests came lately. */
static void
seal_if_full(struct ox_recovery *rec, const struct ox_recovery_options *options)
{
    uint64_t newest;
    if (!is_full(rec->wal, options->wal_total_bytes) && !is_full(rec->outbox, options->outbox_total_bytes))
        return;
    ox_err err = ox__wal_seal_newest(rec->wal, &newest);
    if (err == OX_OK)
        ox_ledger_wal_sealed_below(rec->ledger, newest);
    if (err == OX_OK || err == OX_E_END)
        err = ox__wal_seal_newest(rec->outbox, &newest);
    if (err == OX_OK)
        ox_ledger_outbox_sealed_below(rec->ledger, newest);
    else if (err != OX_E_END)
        OX_LOG_WARN("recovery", "the journals are full and cannot be sealed", OX_F_ERR(err));
}

ox_err
ox_recover(struct ox_disk *disk, const struct ox_recovery_options *options, struct ox_recovery *out,
           struct ox_diag *diag)
{
    memset(out, 0, sizeof(*out));
    ox_err err = open_journal(disk, options, "outbox", OX_JOURNAL_OUTBOX, options->outbox_segment_bytes,
                              &out->outbox, &out->outbox_report, diag);
    if (err == OX_OK)
        err = open_journal(disk, options, "wal", OX_JOURNAL_WAL, options->wal_segment_bytes, &out->wal,
                           &out->wal_report, diag);
    if (err == OX_OK)
        err = rebuild(disk, options, out, diag);
    if (err != OX_OK) {
        ox_recovery_fini(out);
        return err;
    }
    err = ox__recovery_damage(disk, out, options);
    if (err != OX_OK) {
        ox_recovery_fini(out);
        return ox_diag_set(diag, err, NULL, -1, "what damage of the journals means cannot be told: %s",
                           ox_err_text(err));
    }
    sort_suspects(disk, out, options);
    seal_if_full(out, options);
    return OX_OK;
}

void
ox_recovery_fini(struct ox_recovery *rec)
{
    ox_journal_close(rec->wal);
    ox_journal_close(rec->outbox);
    ox_ledger_free(rec->ledger);
    free(rec->blocks);
    free(rec->replay);
    free(rec->recent);
    free(rec->aside);
    free(rec->decided);
    ox__backlogs_free(rec);
    memset(rec, 0, sizeof(*rec));
}
