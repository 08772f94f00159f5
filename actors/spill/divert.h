/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/spill/divert.h - see divert.c: which tenants' entries go to their backlog, and their way back.
 *
 * Threads: the wal actor's turns, all of it.
 */
#ifndef OX_DIVERT_H
#define OX_DIVERT_H

#include "ox/recovery.h"
#include "ox/spine.h"
#include "ox/wal.h"

struct wal;
struct ox__divert;

/* NULL without memory. arg: lend, for the actor's life. */
struct ox__divert *ox__divert_new(struct wal *w, const struct ox_wal_arg *arg, struct ox_journal *log);
void ox__divert_free(struct ox__divert *d);
/* Takes the accounts of the tenants' backlogs out of `rec`. NOMEM, OVERLOAD. */
OX_MUST_USE ox_err ox__divert_recovered(struct ox_actor *self, struct ox__divert *d, struct ox_recovery *rec);

/* parcel: take when true: it goes to its tenant's backlog. */
bool ox__divert_takes(struct ox_actor *self, struct ox__divert *d, struct ox_parcel *parcel);
/* From now on the tenant's entries go to its backlog, those that are parked first. */
void ox__divert_begin(struct ox_actor *self, struct ox__divert *d, struct ox_tenant *tenant);
/* An entry that was read back is in the log (append->err OK), or is not. */
void ox__divert_logged(struct ox_actor *self, struct ox__divert *d, const struct ox_append *append,
                       uint64_t wal_segment);
/* The outbox has noted moved entries. */
void ox__divert_moved(struct ox_actor *self, struct ox__divert *d, const struct ox_disposed *disposed);
/* The lowest log segment that must stay; 0 = none. */
uint64_t ox__divert_pin(const struct ox__divert *d);

void ox__on_quarantine_changed(struct ox_actor *self, struct ox__divert *d, const struct ox_msg *msg);
void ox__on_spill_done(struct ox_actor *self, struct ox__divert *d, struct ox_msg *msg);
void ox__on_spill_tick(struct ox_actor *self, struct ox__divert *d);

#endif
