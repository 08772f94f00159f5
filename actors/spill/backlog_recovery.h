/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/spill/backlog_recovery.h - see backlog_recovery.c.
 */
#ifndef OX_BACKLOG_RECOVERY_H
#define OX_BACKLOG_RECOVERY_H

#include "ox/recovery.h"

/* Remembers the origin of a log entry, if it has one. entry: lend. NOMEM. */
OX_MUST_USE ox_err ox__backlog_origin(struct ox_recovery *rec, const struct ox_wal_entry *entry);
/* Reads the backlogs of all tenants, once ledger and replay list are complete. Blocking. NOMEM, IO, DISK_FULL. */
OX_MUST_USE ox_err ox__backlogs_recover(struct ox_disk *disk, const char *data_dir, struct ox_recovery *rec,
                                        struct ox_diag *diag);
void ox__backlogs_free(struct ox_recovery *rec);

#endif
