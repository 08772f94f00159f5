/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/journal.h - the segmented append-only journal under the write-ahead log and the outbox.
 *
 * Owns:    the segment files of one directory.
 * Threads: append, commit, rotate, skip_to and close: one writer at a time (a dirty thread).
 *          read, cursors, release, stats, segments: any thread, beside the writer.
 * Bounds:  struct ox_journal_options, OX_JOURNAL_*.
 * Fails:   OX_E_DISK_FULL, OX_E_IO, OX_E_CORRUPT, OX_E_NOT_FOUND, OX_E_END, OX_E_TOO_LARGE, OX_E_NOMEM.
 *
 * Sequence numbers are positions: the sequence of an entry is its segment's first sequence plus its offset in
 * the segment file. They grow strictly, are never given out twice, are never 0, and are NOT dense. An entry
 * is found by its sequence without an index, and every entry can be checked by itself wherever it lies. The
 * file format and the rules of recovery: runtime/journal/journal.c.
 */
#ifndef OX_JOURNAL_H
#define OX_JOURNAL_H

#include <sys/uio.h>

#include "ox/base.h"
#include "ox/buf.h"
#include "ox/disk.h"

#define OX_JOURNAL_SEGMENT_BYTES_DEFAULT (64u << 20)
/* Header block of a segment; the smallest segment holds it and a little. */
#define OX_JOURNAL_HEADER_BYTES      4096u
#define OX_JOURNAL_SEGMENT_BYTES_MIN (2u * OX_JOURNAL_HEADER_BYTES)
/* Bytes in front of every payload: magic u32, length u32, crc u32, timestamp i64. */
#define OX_JOURNAL_ENTRY_OVERHEAD 20u
/* Largest payload. One that exceeds the segment size gets a segment of its own size. */
#define OX_JOURNAL_ENTRY_BYTES_MAX (1u << 30)
/* Parts of one entry (iovecs handed to one append). */
#define OX_JOURNAL_ENTRY_PARTS_MAX 1024
/* Findings that a report keeps in full; the rest is only counted. */
#define OX_JOURNAL_FINDINGS_MAX 64
/* Files with damaged bytes that are kept per directory; later damage is reported but not copied. */
#define OX_JOURNAL_DAMAGED_FILES_MAX 256

struct ox_journal;
struct ox_journal_cursor;

/* Which journal a segment belongs to: written into its header, a segment of another kind is foreign. */
enum ox_journal_kind {
    OX_JOURNAL_WAL = 1,
    OX_JOURNAL_OUTBOX = 2,
    OX_JOURNAL_BACKLOG = 3,
    OX_JOURNAL_TEST = 99
};

struct ox_journal_options {
    enum ox_journal_kind kind;
    uint64_t segment_bytes; /* size of a segment, header included; 0 = OX_JOURNAL_SEGMENT_BYTES_DEFAULT */
    bool read_only;         /* look only: creates, renames, cuts and removes nothing; append gives STATE */
    /* Random 64 bits for the salt of a new segment; NULL = the operating system's randomness. */
    uint64_t (*random)(void *arg);
    void *random_arg;
};

enum ox_journal_finding_kind {
    OX_JOURNAL_TORN_TAIL,   /* the last segment ends in an unfinished write: normal after a crash */
    OX_JOURNAL_ABORTED,     /* entries whose commit had failed: ignored, as the client was told */
    OX_JOURNAL_BAD_BYTES,   /* bytes where an entry should be: what was there is lost */
    OX_JOURNAL_GAP_IN_TAIL, /* the same in the last segment, with valid entries behind it: either a group that
                               was never acknowledged or damage; the entries behind it are kept */
    OX_JOURNAL_BAD_HEADER,  /* both copies of a segment's header are damaged: the file was set aside */
    OX_JOURNAL_FOREIGN_SEGMENT, /* kind, number or order do not fit the file's name: the file was set aside */
    OX_JOURNAL_MISSING_SEGMENT, /* a number between two others is not there */
    OX_JOURNAL_UNREADABLE,      /* the disk refused to read; treated as bad bytes */
    OX_JOURNAL_FILLED           /* bad bytes that a repair has filled: no damage any more, but still a loss */
};

struct ox_journal_finding {
    enum ox_journal_finding_kind kind;
    uint64_t segment;
    uint64_t offset; /* in the segment file */
    uint64_t bytes;
    uint64_t seq_from; /* entries that began in [seq_from, seq_to) are concerned; 0,0 where unknown */
    uint64_t seq_to;
    bool known;     /* an earlier start found it and kept its bytes; not counted in damage_total again */
    char text[160]; /* one sentence */
};

/* What opening found. A journal with damage opens all the same. */
struct ox_journal_report {
    uint64_t segments;
    uint64_t entries;       /* valid ones */
    uint64_t payload_bytes; /* of the valid ones */
    uint64_t filled_bytes;  /* that an earlier repair found damaged and filled; what was there is lost */
    uint64_t damaged_bytes; /* in BAD_BYTES, GAP_IN_TAIL, UNREADABLE and files set aside */
    uint64_t findings_total;
    uint64_t damage_total; /* findings that are damage, found for the first time */
    uint32_t n_findings;   /* filled ones below */
    struct ox_journal_finding findings[OX_JOURNAL_FINDINGS_MAX];
};

/* "wal", "outbox", "backlog", "test"; "unknown" for other numbers. */
const char *ox_journal_kind_name(uint32_t kind);
/* Which journal the segments in `dir` belong to, as the first readable header says. NOT_FOUND: there is none; IO. */
OX_MUST_USE ox_err ox_journal_kind_of(struct ox_disk *disk, const char *dir, enum ox_journal_kind *kind,
                                      struct ox_diag *diag);
/* False for what is normal (a torn tail, aborted entries) and for what was repaired. */
bool ox_journal_finding_is_damage(enum ox_journal_finding_kind kind);
/* "torn_tail", "bad_bytes", ... */
const char *ox_journal_finding_name(enum ox_journal_finding_kind kind);

/*
 * Opens the journal in directory `dir` (made when it is not there), checks every entry of every segment and
 * fills `report` (may be NULL). Damage never makes it fail: what is damaged is reported and its bytes are
 * copied or renamed to *.damaged beside it. The tail of the last segment that a crash left unfinished is
 * dropped. What is found valid is made durable before this returns. disk, dir, options: lend (dir is copied).
 * Blocking. Fails with IO, DISK_FULL or NOMEM when the directory itself cannot be used; `diag` says why.
 */
OX_MUST_USE ox_err ox_journal_open(struct ox_disk *disk, const char *dir,
                                   const struct ox_journal_options *options, struct ox_journal **out,
                                   struct ox_journal_report *report, struct ox_diag *diag);

/* Closes without committing: an open group is dropped as if the process had died. NULL is allowed.
 * All cursors must be closed before. */
void ox_journal_close(struct ox_journal *j);

/*
 * Adds one entry to the open group. parts: the bytes are LENT UNTIL ox_journal_commit returns (they are
 * written from where they lie), the array itself only until this returns. timestamp_ns: Unix time, kept with
 * the entry. *seq receives its sequence; it counts for nothing before a commit covers it. May block when a
 * segment is full (it then makes the group so far durable and starts a new one). TOO_LARGE: more than
 * OX_JOURNAL_ENTRY_BYTES_MAX bytes or OX_JOURNAL_ENTRY_PARTS_MAX parts. DISK_FULL, IO: the entry is not in
 * the group; what was appended before stays in it, ask the commit.
 */
OX_MUST_USE ox_err ox_journal_append(struct ox_journal *j, const struct iovec *parts, int n_parts,
                                     int64_t timestamp_ns, uint64_t *seq);

/*
 * Writes the open group out and returns when it is durable (fdatasync). *durable_seq (may be NULL): entries
 * with a sequence below it are durable, on success and on failure; entries of the group at or above it are
 * refused. A failed write or fdatasync is never retried: the segment is sealed at its last durable byte and a new
 * one is made at once (or, if that fails too, by a later append), whose header declares where the old one ends:
 * from then on the refused entries are gone for good. Only when the process dies before, recovery may find them
 * whole. Without an open group: OX_OK at once.
 */
OX_MUST_USE ox_err ox_journal_commit(struct ox_journal *j, uint64_t *durable_seq);

/* Bytes in the open group, overhead included: what a commit will write. */
uint64_t ox_journal_pending_bytes(const struct ox_journal *j);

/* Commits and seals the active segment, so that it can be released. OX_OK when there is none. */
OX_MUST_USE ox_err ox_journal_rotate(struct ox_journal *j);

/* Sequences given out from now on are at least `seq`. Call before the first append (a log that lost its
 * newest files must not give out again what other records still name). */
void ox_journal_skip_to(struct ox_journal *j, uint64_t seq);

/* What is known of an entry besides its payload. */
struct ox_journal_entry {
    uint64_t seq;
    uint64_t segment;
    int64_t timestamp_ns;
    uint32_t len; /* of the payload */
};

/*
 * Reads one durable entry by its sequence; the payload replaces the content of `payload` (lend). Checked
 * against its checksum. info may be NULL. NOT_FOUND: no such segment (released) or not an entry's beginning
 * as far as bounds tell; CORRUPT: the bytes there are not this entry. Blocking.
 */
OX_MUST_USE ox_err ox_journal_read(struct ox_journal *j, uint64_t seq, struct ox_buf *payload,
                                   struct ox_journal_entry *info);

/* A walk over the durable entries in order, from the first one at or behind from_seq (0 = oldest).
 * A cursor belongs to one thread. NULL when out of memory. */
struct ox_journal_cursor *ox_journal_cursor_new(struct ox_journal *j, uint64_t from_seq);
void ox_journal_cursor_free(struct ox_journal_cursor *c);
/*
 * The next entry. payload: a view, valid until the next call on this cursor. END: nothing more for now (call
 * again after further commits). CORRUPT: bytes were skipped, `diag` says where; call again for what follows.
 * Segments that are released meanwhile are passed over. Blocking.
 */
OX_MUST_USE ox_err ox_journal_cursor_next(struct ox_journal_cursor *c, struct ox_journal_entry *info,
                                          struct ox_str *payload, struct ox_diag *diag);

/*
 * Segment `number` is no longer needed. Files go strictly from the oldest on, each removal durable before the
 * next (so a hole always means loss): a released segment whose elder is still needed waits. The newest
 * segment stays as the anchor of the numbering. Blocking. *gone_below (may be NULL): all segments with
 * smaller numbers are durably gone when this returns OX_OK. Marks are kept in memory only; after a restart
 * release again.
 */
OX_MUST_USE ox_err ox_journal_release(struct ox_journal *j, uint64_t number, uint64_t *gone_below);

/* The number of the segment that holds seq, or 0 (numbers start at 1). */
uint64_t ox_journal_segment_of(struct ox_journal *j, uint64_t seq);
/* The smallest sequence that can still be read (entries below it are released), and the next to be given out.
 */
uint64_t ox_journal_first_seq(struct ox_journal *j);
uint64_t ox_journal_next_seq(struct ox_journal *j);

struct ox_journal_segment {
    uint64_t number;
    uint64_t first_seq; /* entries have sequences in (first_seq, end_seq) */
    uint64_t end_seq;   /* one behind the last durable byte */
    uint64_t file_bytes;
    uint64_t entries;
    int64_t oldest_ns; /* timestamps of its entries; 0,0 while empty */
    int64_t newest_ns;
    bool active;   /* appended to */
    bool released; /* waits for its elders */
};

/* Fills up to `cap` segments, oldest first; returns how many there are. */
size_t ox_journal_segments(struct ox_journal *j, struct ox_journal_segment *out, size_t cap);

struct ox_journal_stats {
    uint64_t segments;
    uint64_t bytes; /* on disk */
    uint64_t entries;
    int64_t oldest_ns; /* timestamp of the oldest entry, 0 = none */
    uint64_t first_seq;
    uint64_t next_seq;
    uint64_t appended_entries; /* since open, as all below */
    uint64_t appended_bytes;
    uint64_t commits;
    uint64_t commits_failed;
    uint64_t segments_created;
    uint64_t segments_removed;
};

void ox_journal_stats(struct ox_journal *j, struct ox_journal_stats *out);

#endif
