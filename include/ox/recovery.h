/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/recovery.h - opening both journals and rebuilding the accounts of what is still owed.
 *
 * Owns:    the result owns its parts until the actors take them.
 * Threads: one; blocking. Called before the actors start.
 * Fails:   IO, DISK_FULL, NOMEM when a journal cannot be opened at all. Damage is no failure: it is in the reports.
 *
 * The outbox is read first, then the log: what the outbox disposes of is not processed again, blocks that it
 * holds and does not call stored are sent again, and whatever is left in the log goes through the pipeline
 * again from its request bytes. Nothing is judged a second time.
 */
#ifndef OX_RECOVERY_H
#define OX_RECOVERY_H

#include "ox/clock.h"
#include "ox/disk.h"
#include "ox/journal.h"
#include "ox/ledger.h"
#include "ox/recent.h"
#include "ox/suspects.h"

struct ox_crashes;

/* A block in the outbox that is not known to be stored. */
struct ox_pending_block {
    uint64_t outbox_seq; /* the entry that holds it... */
    uint32_t index;      /* ...and its place there */
    uint16_t table;
    uint32_t rows;
    uint64_t block_id;
    uint64_t raw_len;
    int64_t appended_ns; /* Unix time of the entry */
};

struct ox_recovery_options {
    const char *data_dir; /* holds wal/ and outbox/ */
    uint64_t wal_segment_bytes;
    uint64_t outbox_segment_bytes;
    /* When a journal is filled above four fifths of these, both are sealed, so that everything settled may go before
     * anything new arrives; 0 = never. */
    uint64_t wal_total_bytes;
    uint64_t outbox_total_bytes;
    /* Entries that were in hand at crashes: charged once, they are replayed last and alone; charged
     * OX_SUSPECT_CRASHES times, they are set aside below set_aside_dir. NULL = none. */
    const struct ox_suspects *suspects;
    const char *set_aside_dir;
    struct ox_crashes *crashes;   /* where their obituaries are; NULL = none */
    const struct ox_clock *clock; /* NULL = the real one */
};

struct ox_recovery {
    struct ox_journal *wal;
    struct ox_journal *outbox;
    struct ox_ledger *ledger;
    struct ox_pending_block *blocks; /* in the order of the outbox */
    size_t n_blocks, cap_blocks;
    uint64_t *replay; /* sequences of the log entries with records still owed, ascending */
    size_t n_replay, cap_replay;
    size_t n_suspects; /* how many of `replay`, at its end, are suspects */
    uint64_t set_aside_records;
    struct ox_recent_key *recent; /* of every log entry that is still there, in order */
    size_t n_recent, cap_recent;
    uint64_t *aside; /* sequences of entries with records set aside: a repeat of those is no repeat */
    size_t n_aside, cap_aside;
    uint64_t highest_wal_seq; /* named by the outbox */
    uint64_t orphans;         /* dispositions of log entries that are not there */
    uint64_t bad_entries;     /* journal entries whose payload could not be read; their damage is logged */
    struct ox_journal_report wal_report;
    struct ox_journal_report outbox_report;
};

/* options: lend. On failure *out holds nothing. */
OX_MUST_USE ox_err ox_recover(struct ox_disk *disk, const struct ox_recovery_options *options,
                              struct ox_recovery *out, struct ox_diag *diag);
/* Frees what was not taken (set to NULL what was). */
void ox_recovery_fini(struct ox_recovery *rec);

#endif
