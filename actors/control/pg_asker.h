/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/pg_asker.h - whether who gives an order may still give it, within the transaction that carries it out.
 *
 * Owns:    the statements from PG_ASKER_STATEMENTS on, in every table of statements.
 * Threads: that of the transaction.
 */
#ifndef OX_PG_ASKER_H
#define OX_PG_ASKER_H

#include "actors/control/pg_conn.h"
#include "ox/control.h"

#define PG_ASKER_STATEMENTS 60

/* asker: lend; NULL = nobody to look at. What it stands for stays as it is until the transaction ends: who takes it away waits
 * for the order, or the order for him and then finds none. UNAUTHENTICATED, and what pg_conn_run says. */
OX_MUST_USE ox_err pg_asker_hold(struct pg_conn *c, const struct ox_control_asker *asker,
                                 struct ox_diag *diag);

#endif
