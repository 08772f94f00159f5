/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/custody.h - which records of the log wait in a tenant's actor for a decision, and nowhere else.
 *
 * Owns:    a bit per record, and one entry per log entry that has such records.
 * Threads: one owner at a time.
 * Bounds:  what its owner takes.
 * Fails:   OX_E_NOMEM.
 * Flow:    tenant: spans that wait for the rest of their trace -> take; decided, on their way to the writer -> give.
 *          The actor crashes -> the log's actor reads again what is in here.
 *
 * A record that waits is in no message and in no block, so a crash of the actor that it waits in must bring it back; one
 * that went on must not come again. So this set outlives what it describes: it is simple enough to be whole whenever a
 * turn ends by a panic, and goes to the log's actor with the last words.
 */
#ifndef OX_CUSTODY_H
#define OX_CUSTODY_H

#include "ox/ranges.h"

struct ox_custody;

/* NULL without memory. */
struct ox_custody *ox_custody_new(void);
/* NULL is allowed. */
void ox_custody_free(struct ox_custody *custody);

/* Record `ordinal` of log entry seq (not 0) waits from now on. EXISTS: it does already. */
OX_MUST_USE ox_err ox_custody_take(struct ox_custody *custody, uint64_t seq, uint32_t ordinal);
/* It goes on. False: it was not there. */
bool ox_custody_give(struct ox_custody *custody, uint64_t seq, uint32_t ordinal);
bool ox_custody_has(const struct ox_custody *custody, uint64_t seq, uint32_t ordinal);
uint64_t ox_custody_records(const struct ox_custody *custody);
size_t ox_custody_entries(const struct ox_custody *custody);
size_t ox_custody_bytes(const struct ox_custody *custody);

/* The log entries with records in it, ascending, into seqs (ox_custody_entries of them). */
void ox_custody_seqs(const struct ox_custody *custody, uint64_t *seqs);

#endif
