/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/pg_conn.c - connects, sends and waits, each until a deadline of ours.
 *
 * Owns:    see pg_conn.h.
 * Threads: one at a time.
 * Bounds:  every wait has a deadline: the server's own statement_timeout does not help when it stands still.
 * Fails:   see pg_conn.h. No sentence holds the url or the password.
 */
#include "actors/control/pg_conn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/clock.h"

static uint64_t
now_ns(void)
{
    return ox_clock_monotonic_ns(ox_clock_real());
}

/* Waits for the socket; false when the deadline has passed. */
static bool
wait_socket(PGconn *pg, short events, uint64_t deadline_ns)
{
    struct pollfd fd = {.fd = PQsocket(pg), .events = events};
    for (;;) {
        uint64_t now = now_ns();
        if (now >= deadline_ns || fd.fd < 0)
            return false;
        int n = poll(&fd, 1, (int)((deadline_ns - now) / 1000000 + 1));
        if (n > 0)
            return true;
        if (n < 0 && errno != EINTR)
            return false;
    }
}

/* libpq's messages end in a newline and may have several lines: the first is enough, and it names no password. */
static ox_err
unavailable(struct pg_conn *c, const char *what, struct ox_diag *diag)
{
    const char *text = c->pg != NULL ? PQerrorMessage(c->pg) : "";
    c->broken = true;
    return ox_diag_set(diag, OX_E_UNAVAILABLE, "control.url", -1, "PostgreSQL %s%s%.*s", what,
                       text[0] != '\0' ? ": " : "", (int)strcspn(text, "\n"), text);
}

static PGconn *
start_connect(const struct pg_target *t)
{
    char options[128];
    const char *keys[8], *values[8];
    size_t n = 0;
    snprintf(options, sizeof(options), "-c statement_timeout=%u -c idle_in_transaction_session_timeout=%u",
             t->statement_timeout_ms, 10 * t->statement_timeout_ms);
    keys[n] = "dbname", values[n++] = t->url;
    if (t->password != NULL)
        keys[n] = "password", values[n++] = t->password;
    keys[n] = "options", values[n++] = options;
    keys[n] = "application_name", values[n++] = "observex";
    keys[n] = "client_encoding", values[n++] = "UTF8";
    keys[n] = NULL, values[n] = NULL;
    return PQconnectStartParams(keys, values, 1);
}

static void
be_silent(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

ox_err
pg_conn_open(struct pg_conn *c, const struct pg_target *target, struct ox_diag *diag)
{
    uint64_t deadline = now_ns() + (uint64_t)target->connect_timeout_ms * 1000000;
    *c = (struct pg_conn){.target = target, .pg = start_connect(target)};
    if (c->pg == NULL)
        return OX_E_NOMEM;
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (PQstatus(c->pg) != CONNECTION_BAD &&
           (state == PGRES_POLLING_WRITING || state == PGRES_POLLING_READING)) {
        if (!wait_socket(c->pg, state == PGRES_POLLING_WRITING ? POLLOUT : POLLIN, deadline))
            break;
        state = PQconnectPoll(c->pg);
    }
    if (state == PGRES_POLLING_OK) {
        (void)PQsetNoticeProcessor(c->pg, be_silent, NULL);
        return OX_OK;
    }
    ox_err err = unavailable(c,
                             state == PGRES_POLLING_FAILED || PQstatus(c->pg) == CONNECTION_BAD
                                 ? "cannot be reached"
                                 : "does not accept a connection in time (control.connect_timeout)",
                             diag);
    pg_conn_close(c);
    return err;
}

void
pg_conn_close(struct pg_conn *c)
{
    PQfinish(c->pg);
    c->pg = NULL;
    c->prepared = 0;
}

/* ---- answers ---- */

static ox_err
of_sqlstate(const char *state)
{
    if (strcmp(state, "23505") == 0)
        return OX_E_EXISTS;
    if (strcmp(state, "23503") == 0)
        return OX_E_NOT_FOUND;
    if (strcmp(state, "42P01") == 0 || strcmp(state, "3F000") == 0) /* no table, no schema */
        return OX_E_STATE;
    if (strcmp(state, "42501") == 0) /* not granted, or refused by row-level security */
        return OX_E_CONFIG;
    /* Ended by statement_timeout, not serialisable or a deadlock, a lock not had: the server is busy and not away. */
    if (strcmp(state, "57014") == 0 || strncmp(state, "40", 2) == 0 || strcmp(state, "55P03") == 0)
        return OX_E_OVERLOAD;
    return OX_E_UNAVAILABLE;
}

static ox_err
refused(struct pg_conn *c, const PGresult *r, struct ox_diag *diag)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE),
               *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    if (state == NULL || PQstatus(c->pg) == CONNECTION_BAD)
        return unavailable(c, "ended the connection", diag);
    /* 57P01 admin_shutdown and its kin: the server goes, whatever the connection looks like. */
    if (strncmp(state, "57P", 3) == 0 || strncmp(state, "08", 2) == 0)
        return unavailable(c, "is going down", diag);
    return ox_diag_set(diag, of_sqlstate(state), "control.url", -1, "PostgreSQL refuses (%s): %.200s", state,
                       text != NULL ? text : "");
}

/* The last result of what was sent; a refusal ends it. */
static ox_err
collect(struct pg_conn *c, uint64_t deadline_ns, PGresult **out, struct ox_diag *diag)
{
    PGresult *last = NULL;
    for (;;) {
        while (PQisBusy(c->pg)) {
            if (!wait_socket(c->pg, POLLIN, deadline_ns)) {
                PQclear(last);
                return unavailable(c, "does not answer in time (control.statement_timeout)", diag);
            }
            if (PQconsumeInput(c->pg) == 0) {
                PQclear(last);
                return unavailable(c, "ended the connection", diag);
            }
        }
        PGresult *r = PQgetResult(c->pg);
        if (r == NULL)
            break;
        if (last == NULL || PQresultStatus(last) != PGRES_FATAL_ERROR) {
            PQclear(last);
            last = r;
        } else {
            PQclear(r);
        }
    }
    ox_err err = OX_OK;
    if (last == NULL)
        err = unavailable(c, "gave no answer", diag);
    else if (PQresultStatus(last) != PGRES_COMMAND_OK && PQresultStatus(last) != PGRES_TUPLES_OK)
        err = refused(c, last, diag);
    if (err == OX_OK && out != NULL)
        *out = last;
    else
        PQclear(last);
    return err;
}

/* sent: what PQsend... returned. A statement that the server ends in time is given its time and a little more. */
static ox_err
answer(struct pg_conn *c, int sent, PGresult **out, struct ox_diag *diag)
{
    if (sent == 0)
        return unavailable(c, "takes no statement", diag);
    return collect(c, now_ns() + ((uint64_t)c->target->statement_timeout_ms + 500) * 1000000, out, diag);
}

ox_err
pg_conn_exec(struct pg_conn *c, const char *sql, PGresult **out, struct ox_diag *diag)
{
    return answer(c, PQsendQuery(c->pg, sql), out, diag);
}

ox_err
pg_conn_run(struct pg_conn *c, unsigned index, const char *sql, int n, const char *const *params,
            PGresult **out, struct ox_diag *diag)
{
    char name[16];
    OX_ASSERT(index < PG_STATEMENTS_MAX);
    snprintf(name, sizeof(name), "s%u", index);
    if ((c->prepared & 1ull << index) == 0) {
        ox_err err = answer(c, PQsendPrepare(c->pg, name, sql, 0, NULL), NULL, diag);
        if (err != OX_OK)
            return err;
        c->prepared |= 1ull << index;
    }
    return answer(c, PQsendQueryPrepared(c->pg, name, n, params, NULL, NULL, 0), out, diag);
}

const char *
pg_print(struct pg_number *n, int64_t value)
{
    snprintf(n->text, sizeof(n->text), "%lld", (long long)value);
    return n->text;
}

const char *
pg_text(const PGresult *r, int row, int column)
{
    return PQgetvalue(r, row, column);
}

int64_t
pg_int(const PGresult *r, int row, int column)
{
    return strtoll(PQgetvalue(r, row, column), NULL, 10);
}
