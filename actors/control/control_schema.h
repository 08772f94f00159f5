/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/control_schema.h - which migrations a control store lacks, the same for both stores.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Fails:   STATE with a sentence: the store is of a newer release, or a migration is not the one that was applied.
 */
#ifndef OX_CONTROL_SCHEMA_H
#define OX_CONTROL_SCHEMA_H

#include "ox/schema.h"

#define OX__MIGRATIONS_MAX    1000
#define OX__MIGRATION_SUM_MAX 33 /* 16 bytes of BLAKE3 in hex, and a zero */

/* What identifies the text of a migration. */
void ox__control_migration_sum(const struct ox_migration *m, char sum[OX__MIGRATION_SUM_MAX]);

/* One row of the store's list of migrations. known: the migrations of this release, n of them; done: one per known. */
OX_MUST_USE ox_err ox__control_migration_seen(const struct ox_migration *known, size_t n, long number,
                                              const char *name, const char *sum, bool *done,
                                              struct ox_diag *diag);

#endif
