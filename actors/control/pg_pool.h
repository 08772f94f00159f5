/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/pg_pool.h - a few connections to PostgreSQL for many callers.
 *
 * Owns:    its connections; the target is lent for as long as the pool lives.
 * Threads: any that may block; a taken connection is its taker's.
 * Bounds:  n connections for whoever comes, and one that is kept for each of the other purposes; a caller waits for one as long
 *          as a statement may take.
 * Fails:   UNAVAILABLE, and what pg_schema_check says of a new connection.
 */
#ifndef OX_PG_POOL_H
#define OX_PG_POOL_H

#include "actors/control/pg_conn.h"

struct pg_pool;

/* What a connection is for. Whoever gives orders and asks questions must not keep changes from being looked at, nor keys
 * from being looked up. */
enum pg_purpose {
    PG_ANY,
    PG_LOOK_UP, /* one of its own, and those of the rest that are free */
    PG_WATCH,   /* the same */
    PG_PURPOSE__COUNT
};

/* NULL on lack of memory. as_owner: see pg_schema_check. */
struct pg_pool *pg_pool_new(const struct pg_target *target, uint32_t n, bool as_owner);
/* Nobody has a connection any more. NULL is allowed. */
void pg_pool_free(struct pg_pool *pool);

/* A connection that was checked. *fresh: made for this caller. Nothing is taken on failure. */
OX_MUST_USE ox_err pg_pool_take(struct pg_pool *pool, enum pg_purpose purpose, struct pg_conn **out,
                                bool *fresh, struct ox_diag *diag);
/* Gives it back. When it broke, the server has gone away: what idles here is closed as well. */
void pg_pool_give(struct pg_pool *pool, struct pg_conn *c);

#endif
