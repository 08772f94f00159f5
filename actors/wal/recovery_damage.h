/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/recovery_damage.h - see recovery_damage.c.
 */
#ifndef OX_RECOVERY_DAMAGE_H
#define OX_RECOVERY_DAMAGE_H

#include "ox/recovery.h"

/* Draws the consequences of what the journals' reports call damaged or filled: sets aside what may be stored already, counts
 * what is lost. After the ledger has been rebuilt, before anything is replayed. Blocking. NOMEM, IO: the journals cannot
 * be read. */
OX_MUST_USE ox_err ox__recovery_damage(struct ox_disk *disk, struct ox_recovery *rec,
                                       const struct ox_recovery_options *options);

#endif
