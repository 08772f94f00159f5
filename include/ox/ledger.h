/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/ledger.h - the accounts of the promise: which records are still owed, which journal segments may
 * go.
 *
 * Owns:    one account per open WAL entry, one per segment, one per block in flight.
 * Threads: one owner (the WAL actor); pure: no input or output, no clock.
 * Bounds:  ox_ledger_options.
 * Fails:   OX_E_EXISTS (told twice), OX_E_NOT_FOUND (never told), OX_E_INVALID, OX_E_OVERLOAD (bound),
 *          OX_E_NOMEM.
 *
 * Rules. A WAL segment may go when it is sealed and every ordinal in it is disposed of. An outbox segment may
 * go when it is sealed, its blocks are stored, and every WAL segment that it accounts for is durably gone.
 * Both go oldest first.
 *
 * After a restart: ox_ledger_new, then for each outbox entry in order block_appended / disposed /
 * block_stored, then for each WAL entry in order entry_logged, then ox_ledger_rebuilt; ox_ledger_missing then
 * gives, per WAL entry, the ordinals to process again, ox_ledger_blocks_in_flight the blocks to send again.
 */
#ifndef OX_LEDGER_H
#define OX_LEDGER_H

#include "ox/base.h"
#include "ox/outbox_entry.h"
#include "ox/ranges.h"

struct ox_ledger;

struct ox_ledger_options {
    uint64_t wal_first_seq; /* ox_journal_first_seq of the WAL at open: dispositions below it are history */
    uint32_t entries_max;   /* WAL entries not yet fully disposed of; 0 = 1,048,576 */
    uint32_t blocks_max;    /* blocks not yet stored; 0 = 65,536 */
};

/* An empty ledger in the state of rebuilding, or NULL. options: lend, NULL = defaults. */
struct ox_ledger *ox_ledger_new(const struct ox_ledger_options *options);
void ox_ledger_free(struct ox_ledger *l);

/* A WAL entry is durable. seq must grow from call to call, segment never shrink. n_records 0 is disposed at
 * once. */
OX_MUST_USE ox_err ox_ledger_entry_logged(struct ox_ledger *l, uint64_t seq, uint64_t wal_segment,
                                          uint32_t n_records);

/* A durable outbox entry in `outbox_segment` disposes of ordinals [from, to) of WAL entry seq (segment 0: the WAL
 * entry itself says so, as of the ordinals that it lists as rejected). EXISTS: some
 * of them were disposed of before, which would be a record twice: nothing is changed, the caller must say so
 * loudly. NOT_FOUND: no such open entry. While rebuilding, entries may become known later; a seq below
 * wal_first_seq is OX_OK and ignored. */
OX_MUST_USE ox_err ox_ledger_disposed(struct ox_ledger *l, uint64_t seq, uint32_t from, uint32_t to,
                                      enum ox_disposition how, uint64_t outbox_segment);

/* A block is in a durable outbox entry; EXISTS when the id is in flight already. */
OX_MUST_USE ox_err ox_ledger_block_appended(struct ox_ledger *l, uint64_t block_id, uint64_t outbox_segment);
/* A block is durably in storage. NOT_FOUND when it is not in flight (harmless: told twice). */
OX_MUST_USE ox_err ox_ledger_block_stored(struct ox_ledger *l, uint64_t block_id);

/* Segments below `segment` receive no more entries. Implied by entries logged (outbox: blocks or
 * dispositions) in a later one; needed after an explicit rotation. Segments that hold nothing need not be
 * told. */
void ox_ledger_wal_sealed_below(struct ox_ledger *l, uint64_t segment);
void ox_ledger_outbox_sealed_below(struct ox_ledger *l, uint64_t segment);
/* An outbox segment holds an entry that is neither (stored records only): it must be known to be released. */
OX_MUST_USE ox_err ox_ledger_outbox_seen(struct ox_ledger *l, uint64_t outbox_segment);

/* The end of rebuilding. *orphans (may be NULL): dispositions of WAL entries that are not there (damaged):
 * dropped. OX_E_CORRUPT is not an error of the ledger but of the journals: more was disposed of than an entry
 * has. */
OX_MUST_USE ox_err ox_ledger_rebuilt(struct ox_ledger *l, uint64_t *orphans);

/* The oldest WAL segment, if it may go now. Asks again give the same until ox_ledger_wal_gone.
 * while (ox_ledger_wal_releasable(l, &s)) { remove it durably; ox_ledger_wal_gone(l, s); } */
bool ox_ledger_wal_releasable(const struct ox_ledger *l, uint64_t *segment);
void ox_ledger_wal_gone(struct ox_ledger *l, uint64_t segment);
bool ox_ledger_outbox_releasable(const struct ox_ledger *l, uint64_t *segment);
void ox_ledger_outbox_gone(struct ox_ledger *l, uint64_t segment);

/* The log's accounts are all of its newest segment, the one that still takes entries. *pins (may be NULL): an outbox segment
 * waits for nothing but this one to go. */
bool ox_ledger_wal_newest_only(const struct ox_ledger *l, bool *pins);

/* The ordinals of an open entry that are not disposed of replace the content of *out. NOT_FOUND: not open
 * (unknown, or nothing missing). */
OX_MUST_USE ox_err ox_ledger_missing(const struct ox_ledger *l, uint64_t seq, struct ox_ranges *out);

/* Fills up to cap ids of blocks not yet stored, in no order; returns how many there are. */
size_t ox_ledger_blocks_in_flight(const struct ox_ledger *l, uint64_t *ids, size_t cap);
/* Whether this block is still to be stored. */
bool ox_ledger_block_in_flight(const struct ox_ledger *l, uint64_t block_id);

struct ox_ledger_stats {
    uint64_t entries_open;
    uint64_t records_open; /* logged and not disposed of */
    uint64_t records_logged;
    uint64_t records_disposed[OX_DISPOSED__COUNT]; /* by enum ox_disposition */
    uint64_t blocks_in_flight;
    uint64_t wal_segments;
    uint64_t outbox_segments;
};
void ox_ledger_stats(const struct ox_ledger *l, struct ox_ledger_stats *out);

#endif
