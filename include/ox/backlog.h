/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/backlog.h - a tenant's backlog: log entries that its actor could not take, in a journal of their own.
 *
 * Owns:    DIR/backlog/<tenant>/, one journal (ox/journal.h) per tenant that ever spilled.
 * Threads: one at a time per tenant (a job of the spill lane, or recovery); the marks belong to the wal actor.
 * Bounds:  what admission reserved (tenant.backlog_bytes, spill.total_bytes); OX_BACKLOG_SEGMENT_BYTES per file.
 * Fails:   OX_E_DECODE, OX_E_TRUNCATED, OX_E_UNIMPLEMENTED when decoding; those of the journal.
 * Flow:    actors/wal/wal_divert.c -> here -> runtime/journal; restart: actors/spill/backlog_recovery.c.
 *
 * The life of an entry. It is copied (durable here), then the outbox notes its ordinals as moved (durable there), and
 * from then on the log may forget it. Later it is read back and appended to the log as a new entry that names this
 * journal as its origin; a note in this journal says up to where that happened. Until there is such a note the log
 * segment with the new entry stays (the pin), so that one of the two always knows.
 */
#ifndef OX_BACKLOG_H
#define OX_BACKLOG_H

#include "ox/base.h"
#include "ox/buf.h"
#include "ox/disk.h"
#include "ox/journal.h"
#include "ox/ranges.h"
#include "ox/wal_entry.h"

#define OX_BACKLOG_ENTRY_VERSION 1
/* Small, because every tenant that spills allocates one at least, and room comes back in this step. */
#define OX_BACKLOG_SEGMENT_BYTES (1u << 20)

enum ox_backlog_kind {
    OX_BACKLOG_MOVED = 1, /* a log entry */
    OX_BACKLOG_NOTE = 2,  /* how far the journal was read back */
    OX_BACKLOG_STREAMED =
        3 /* a log entry whose bytes are in a stream (actors/spill/stream.c); in its place in the order */
};

/* A decoded entry of the journal. */
struct ox_backlog_entry {
    enum ox_backlog_kind kind;
    /* MOVED and STREAMED: one log entry. */
    uint64_t wal_seq;      /* that it had in the log */
    struct ox_ranges owed; /* the ordinals that were owed; ox_backlog_entry_fini */
    struct ox_str payload; /* that of the log entry (ox/wal_entry.h): a view; not of STREAMED */
    uint64_t stream_seq;   /* STREAMED: of the message that holds the entry as a MOVED one would */
    uint32_t stream_len;   /* ... and its bytes */
    /* NOTE: what the log holds again, by origin. */
    uint64_t consumed[OX_WAL_ORIGIN__COUNT];
};

/* Appends the bytes in front of a MOVED entry's payload to `head`. owed: lend, not empty. NOMEM, INVALID. */
OX_MUST_USE ox_err ox_backlog_encode_moved(uint64_t wal_seq, const struct ox_ranges *owed,
                                           struct ox_buf *head);
/* Appends a whole STREAMED entry. */
OX_MUST_USE ox_err ox_backlog_encode_streamed(uint64_t wal_seq, const struct ox_ranges *owed,
                                              uint64_t stream_seq, uint32_t stream_len, struct ox_buf *out);
/* Appends a whole NOTE. consumed: lend, one per origin. */
OX_MUST_USE ox_err ox_backlog_encode_note(const uint64_t *consumed, struct ox_buf *out);
/* Reads a payload of the journal, every field checked. On OX_OK call ox_backlog_entry_fini. */
OX_MUST_USE ox_err ox_backlog_entry_decode(struct ox_str payload, struct ox_backlog_entry *out,
                                           struct ox_diag *diag);
void ox_backlog_entry_fini(struct ox_backlog_entry *entry);

/* Opens (makes) the journal of a tenant; its findings are logged. next_seq: no sequence below it is given out. Blocking.
 * segment_bytes 0 = OX_BACKLOG_SEGMENT_BYTES. */
OX_MUST_USE ox_err ox_backlog_open(struct ox_disk *disk, const char *data_dir,
                                   const struct ox_tenant_id *tenant, uint64_t segment_bytes,
                                   uint64_t next_seq, struct ox_journal **out, struct ox_diag *diag);
/* Removes the files of a tenant's journal that holds nothing any more; it must not be open. Blocking. */
OX_MUST_USE ox_err ox_backlog_remove(struct ox_disk *disk, const char *data_dir,
                                     const struct ox_tenant_id *tenant);
/* Lets go the segments in front of the one that holds `noted`, the last entry that a durable note covers. Blocking. */
OX_MUST_USE ox_err ox_backlog_trim(struct ox_journal *j, uint64_t noted);
/* What an entry with a payload of n bytes in the journal counts for in the tenant's bound. */
static inline uint64_t
ox_backlog_cost(uint64_t n)
{
    return n + OX_JOURNAL_ENTRY_OVERHEAD;
}

/* How far a tenant's store has been read back. */
struct ox_backlog_marks {
    uint64_t consumed; /* everything up to it is in the log again, or lost */
    uint64_t noted;    /* ... and durably said so */
    uint64_t pin;      /* lowest log segment with an entry from here that no note covers; 0 = none */
};
/* Entry `seq` of the store is durable in the log again, in log segment wal_segment. seq grows from call to call. */
void ox_backlog_consumed(struct ox_backlog_marks *m, uint64_t seq, uint64_t wal_segment);
/* Whatever is not consumed up to seq is lost or was no entry: nothing of it will be in the log. */
void ox_backlog_passed(struct ox_backlog_marks *m, uint64_t seq);
/* A durable note covers everything up to seq. */
void ox_backlog_noted(struct ox_backlog_marks *m, uint64_t seq);

#endif
