/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/pg_conn.h - one connection to PostgreSQL that never waits for longer than it was told.
 *
 * Owns:    struct pg_conn: a libpq connection, and which statements it has prepared.
 * Threads: one at a time.
 * Bounds:  the two time-outs of struct pg_target.
 * Fails:   UNAVAILABLE and `broken`: the connection is of no use any more; EXISTS, NOT_FOUND, STATE, CORRUPT, CONFIG.
 */
#ifndef OX_PG_CONN_H
#define OX_PG_CONN_H

#include <libpq-fe.h>

#include "ox/base.h"

#define PG_STATEMENTS_MAX 64 /* prepared ones: a bit each */

struct pg_target {
    char *url;
    char *password; /* NULL = none */
    uint32_t connect_timeout_ms;
    uint32_t statement_timeout_ms;
};

struct pg_conn {
    PGconn *pg; /* NULL = not connected */
    const struct pg_target *target;
    uint64_t prepared; /* bit per statement of the caller's table */
    bool broken;
};

/* Connects; nothing is left of a failure. */
OX_MUST_USE ox_err pg_conn_open(struct pg_conn *c, const struct pg_target *target, struct ox_diag *diag);
void pg_conn_close(struct pg_conn *c);

/* One statement or several without parameters. *out: PQclear it; may be NULL. */
OX_MUST_USE ox_err pg_conn_exec(struct pg_conn *c, const char *sql, PGresult **out, struct ox_diag *diag);
/* Statement `index` of the caller's table with text parameters (NULL = null); prepared on first use. */
OX_MUST_USE ox_err pg_conn_run(struct pg_conn *c, unsigned index, const char *sql, int n,
                               const char *const *params, PGresult **out, struct ox_diag *diag);

/* A number as a parameter: its text, which lies in *n. */
struct pg_number {
    char text[24];
};
const char *pg_print(struct pg_number *n, int64_t value);

/* The value as text; "" for null. */
const char *pg_text(const PGresult *r, int row, int column);
int64_t pg_int(const PGresult *r, int row, int column);

#endif
