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
 * again from its request bytes. Nothing is judged a second time. Last come the tenants' backlogs (ox/backlog.h): a
 * copy there whose log entry is still owed is completed (`pending`), instead of replaying that entry.
 */
#ifndef OX_RECOVERY_H
#define OX_RECOVERY_H

#include "ox/backlog.h"
#include "ox/clock.h"
#include "ox/disk.h"
#include "ox/journal.h"
#include "ox/ledger.h"
#include "ox/outbox_entry.h"
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

/* A log entry that stands durably in its tenant's backlog while the outbox does not say so yet. */
struct ox_pending_move {
    uint64_t wal_seq;
    uint64_t backlog_seq;
    struct ox_ranges owed;
};

/* What a tenant's backlog holds. Its journal is closed. */
struct ox_recovered_backlog {
    struct ox_tenant_id tenant;
    uint64_t consumed[OX_WAL_ORIGIN__COUNT]; /* what the log holds again, by origin */
    uint64_t noted[OX_WAL_ORIGIN__COUNT];    /* ... and the notes in the journal say */
    uint64_t last_seq;                       /* of its newest entry; 0 = none */
    uint64_t entries;                        /* not consumed */
    uint64_t bytes;                          /* their cost */
    uint64_t streamed;                       /* of them, those whose bytes are in a stream */
    uint64_t records;
    int64_t oldest_ns; /* Unix time of the first of them */
    struct ox_pending_move *pending;
    size_t n_pending, cap_pending;
};

struct ox_recovery_options {
    const char *data_dir; /* holds wal/, outbox/ and backlog/ */
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
    struct ox_recovered_backlog
        *backlogs; /* of every tenant that has one, or of which the log holds entries again */
    size_t n_backlogs, cap_backlogs;
    struct ox_recovered_decision {
        struct ox_tenant_id tenant;
        struct ox_outbox_decision decision;
        uint64_t segment; /* of the outbox */
    } * decided;          /* in order: of the same trace the last counts */
    size_t n_decided, cap_decided;
    uint64_t highest_wal_seq; /* named by the outbox or a backlog */
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
