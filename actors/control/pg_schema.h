/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/pg_schema.h - the schema in PostgreSQL: is it ours, and is the node's role held back by it?
 *
 * Owns:    nothing.
 * Threads: any that may block, with a connection of its own.
 */
#ifndef OX_PG_SCHEMA_H
#define OX_PG_SCHEMA_H

#include "actors/control/pg_conn.h"

/* What a new connection of a node is asked before it is used. STATE: no schema, or that of another release. CONFIG: the
 * role goes past row-level security, which an owner may. */
OX_MUST_USE ox_err pg_schema_check(struct pg_conn *c, bool as_owner, struct ox_diag *diag);

#endif
