/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/sqlite_asker.h - whether who gives an order may still give it, within the transaction that carries it out.
 *
 * Owns:    nothing.
 * Threads: that of the transaction, which nobody else's writes come between.
 */
#ifndef OX_SQLITE_ASKER_H
#define OX_SQLITE_ASKER_H

#include <sqlite3.h>

#include "ox/control.h"

/* asker: lend; NULL = nobody to look at. UNAUTHENTICATED, UNAVAILABLE. */
OX_MUST_USE ox_err ox__sqlite_check_asker(sqlite3 *db, const struct ox_control_asker *asker,
                                          struct ox_diag *diag);

#endif
