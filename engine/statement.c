/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/statement.c - one statement: from a complete request to its reply.
 *
 * Owns:    the statement's session, its text, its slot.
 * Threads: the connection's.
 * Bounds:  a slot; whole_result_bytes_max for results that cannot be sent in pieces.
 * Fails:   exceptions of ClickHouse, see exception.c.
 * Flow:    server.c -> here -> reply.c.
 *
 * Every request gets a session of its own (1 ms): nothing that one request sets can reach another.
 * Data of an INSERT stay in the memfd that they arrived in; ClickHouse maps it through
 * file('/proc/self/fd/N'), with the structure of the target table, so columns are matched by name and missing
 * ones get their defaults.
 */
#include "engine/statement.h"

#include <stdio.h>
#include <stdlib.h>

/* Results of formats with a frame (JSON, Pretty, Parquet) are held in memory as a whole. */
#define WHOLE_RESULT_BYTES_MAX (256ull << 20)

static void
refuse_sql(struct ox__statement *st, int code, const char *name, const char *text)
{
    ox__reply_refusal(st->conn, code, name, "%s", text);
}

/* The text to look at: the parameter `query`, then the body unless the body is data. */
static bool
compose_text(struct ox__statement *st)
{
    struct ox_str query = ox__http_param(st->request, "query");
    if (ox__sink_map(&st->request->body, &st->body) != OX_OK) {
        refuse_sql(st, OX__CODE_MEMORY, "MEMORY_LIMIT_EXCEEDED", "no memory to read the body");
        return false;
    }
    if (query.n == 0) {
        ox__sql_scan(st->body, &st->sql);
        st->data_is_body = false;
        return true;
    }
    ox__sql_scan(query, &st->sql);
    if (st->sql.kind == OX__SQL_INSERT_DATA && st->sql.data.n == 0) {
        st->data_is_body = true;
        return true;
    }
    if (st->body.n == 0)
        return true;
    ox_buf_append_str(&st->text, query);
    ox_buf_append_cstr(&st->text, "\n");
    ox_buf_append_str(&st->text, st->body);
    if (st->text.failed) {
        refuse_sql(st, OX__CODE_MEMORY, "MEMORY_LIMIT_EXCEEDED", "no memory for the statement");
        return false;
    }
    ox__sql_scan(ox_buf_str(&st->text), &st->sql);
    return true;
}

/* ClickHouse's own lock lets some pass that change more than rows: SYSTEM STOP MERGES. */
static bool
allowed(struct ox__statement *st)
{
    bool reads = st->sql.kind == OX__SQL_SELECT || st->sql.kind == OX__SQL_READ;
    bool held = st->role != OX__ROLE_SYSTEM || ox__settings_read_only(st->request);
    if (st->sql.kind == OX__SQL_EMPTY)
        refuse_sql(st, OX__CODE_SYNTAX, "SYNTAX_ERROR", "Empty query");
    else if (st->sql.several && st->sql.kind != OX__SQL_INSERT)
        refuse_sql(st, OX__CODE_SYNTAX, "SYNTAX_ERROR", "Multi-statements are not allowed");
    else if (held && st->sql.outfile)
        refuse_sql(st, OX__CODE_READONLY, "READONLY", "INTO OUTFILE is not allowed in readonly mode");
    else if (held && !reads)
        refuse_sql(st, OX__CODE_READONLY, "READONLY", "Cannot execute query in readonly mode");
    else
        return true;
    return false;
}

/* Runs a statement of our own; false and a reply when it failed. */
static bool
run_quiet(struct ox__statement *st, struct ox_str sql)
{
    const struct ox__chdb *lib = &st->engine->lib;
    struct ox__chdb_result *result = lib->query_n(*st->session, sql.p, sql.n, "Null", 4);
    const char *error = lib->error(result);
    if (error != NULL)
        ox__reply_exception(st->conn, ox__exception_code(error), error);
    lib->destroy(result);
    return error == NULL;
}

static bool
use_database(struct ox__statement *st)
{
    struct ox_str database = ox__http_param(st->request, "database");
    if (database.n == 0)
        database = st->request->database;
    if (database.n == 0)
        database = OX_STR(OX_ENGINE_DATABASE);
    struct ox_buf sql = {0};
    ox_buf_append_cstr(&sql, "USE `");
    for (size_t i = 0; i < database.n; i++) {
        if (database.p[i] == '`' || database.p[i] == '\\')
            ox_buf_append_cstr(&sql, "\\");
        ox_buf_append(&sql, database.p + i, 1);
    }
    ox_buf_append_cstr(&sql, "`");
    bool ok = run_quiet(st, ox_buf_str(&sql));
    ox_buf_fini(&sql);
    return ok;
}

static bool
open_session(struct ox__statement *st)
{
    struct ox_diag diag;
    struct ox_buf sql = {0};
    int code = ox__settings_text(st->request, st->role, st->id, &sql, &diag);
    bool ok = false;
    if (code != 0) {
        ox__reply_refusal(st->conn, code, "SETTING_CONSTRAINT_VIOLATION", "%s", diag.text);
    } else if ((st->session = ox__engine_connect(st->engine)) == NULL) {
        refuse_sql(st, OX__CODE_MEMORY, "MEMORY_LIMIT_EXCEEDED", "no further session can be opened");
    } else {
        ok = use_database(st) && run_quiet(st, ox_buf_str(&sql));
    }
    ox_buf_fini(&sql);
    return ok;
}

static void
choose_format(struct ox__statement *st)
{
    struct ox_str format = st->sql.format;
    if (format.n == 0)
        format = ox__http_param(st->request, "default_format");
    if (format.n == 0)
        format = st->request->format;
    if (format.n == 0)
        format = OX_STR("TabSeparated");
    if (format.n > sizeof(st->format) - 1)
        format.n = sizeof(st->format) - 1;
    memcpy(st->format, format.p, format.n);
    st->format[format.n] = '\0';
}

static void
collect_params(struct ox__statement *st)
{
    for (size_t i = 0; i < st->request->params_n; i++) {
        const struct ox__pair *pair = &st->request->params[i];
        if (pair->name.n <= 6 || memcmp(pair->name.p, "param_", 6) != 0)
            continue;
        st->names[st->params_n] = pair->name.p + 6;
        st->name_lens[st->params_n] = pair->name.n - 6;
        st->values[st->params_n] = pair->value.p;
        st->value_lens[st->params_n] = pair->value.n;
        st->params_n++;
    }
}

/* INSERT ... FORMAT x becomes INSERT ... SELECT from the memfd. */
static bool
rewrite_insert(struct ox__statement *st, int data_fd)
{
    const struct ox__sql *sql = &st->sql;
    ox_buf_reset(&st->rewritten);
    ox_buf_append_cstr(&st->rewritten, "INSERT INTO ");
    ox_buf_append_str(&st->rewritten, sql->target);
    if (sql->columns.n != 0) {
        ox_buf_append_cstr(&st->rewritten, " (");
        ox_buf_append_str(&st->rewritten, sql->columns);
        ox_buf_append_cstr(&st->rewritten, ")");
    }
    if (sql->settings.n != 0) {
        ox_buf_append_cstr(&st->rewritten, " SETTINGS ");
        ox_buf_append_str(&st->rewritten, sql->settings);
    }
    ox_buf_printf(&st->rewritten, " SELECT * FROM file('/proc/self/fd/%d', '%.*s')", data_fd,
                  (int)sql->format.n, sql->format.p);
    if (!st->rewritten.failed)
        return true;
    refuse_sql(st, OX__CODE_MEMORY, "MEMORY_LIMIT_EXCEEDED", "no memory for the statement");
    return false;
}

static void
run_insert(struct ox__statement *st)
{
    struct ox__sink copy = {.fd = -1};
    struct ox_diag diag;
    int fd = st->request->body.fd;
    bool empty = st->data_is_body ? st->body.n == 0 : st->sql.data.n == 0;
    if (empty) {
        refuse_sql(st, 108, "NO_DATA_TO_INSERT", "No data to insert");
        return;
    }
    if (!st->data_is_body) {
        /* The data follow the statement in one text: they get a file of their own. */
        ox_err err = ox__sink_init(&copy, OX__CODING_IDENTITY, UINT64_MAX, &diag);
        if (err == OX_OK)
            err = ox__sink_write(&copy, st->sql.data.p, st->sql.data.n, &diag);
        if (err != OX_OK) {
            refuse_sql(st, OX__CODE_MEMORY, "MEMORY_LIMIT_EXCEEDED", diag.text);
            ox__sink_fini(&copy);
            return;
        }
        fd = copy.fd;
    }
    if (rewrite_insert(st, fd))
        ox__statement_reply_whole(st, ox_buf_str(&st->rewritten));
    ox__sink_fini(&copy);
}

static bool
may_stream(const struct ox__statement *st)
{
    return st->sql.kind == OX__SQL_SELECT && ox__sql_format_streams(ox_str_of(st->format)) &&
           !ox_str_eq(ox__http_param(st->request, "wait_end_of_query"), OX_STR("1")) && !st->sql.outfile;
}

static void
run(struct ox__statement *st)
{
    if (st->sql.kind == OX__SQL_INSERT_DATA) {
        run_insert(st);
        return;
    }
    if (may_stream(st)) {
        ox__statement_reply_stream(st, st->sql.text);
        return;
    }
    if (st->sql.kind == OX__SQL_SELECT && ox__http_param(st->request, "max_result_bytes").p == NULL &&
        st->role == OX__ROLE_SYSTEM) {
        char set[64];
        int n = snprintf(set, sizeof(set), "SET max_result_bytes = %llu", WHOLE_RESULT_BYTES_MAX);
        if (!run_quiet(st, (struct ox_str){set, (size_t)n}))
            return;
    }
    ox__statement_reply_whole(st, st->sql.text);
}

static void
run_in_slot(struct ox__statement *st)
{
    bool cancellable = st->sql.kind == OX__SQL_SELECT || st->sql.kind == OX__SQL_READ;
    if (!open_session(st))
        return;
    collect_params(st);
    choose_format(st);
    /* An insert whose client went away is finished: the client will ask again with the same token. */
    if (cancellable)
        ox__engine_watch_add(&st->engine->watch, ox__conn_fd(st->conn), st->id);
    run(st);
    if (cancellable && ox__engine_watch_remove(&st->engine->watch, st->id))
        ox__conn_break(st->conn);
}

static void
take_slot_and_run(struct ox__statement *st)
{
    bool insert = st->role == OX__ROLE_SYSTEM &&
                  (st->sql.kind == OX__SQL_INSERT_DATA || st->sql.kind == OX__SQL_INSERT);
    if (!ox__engine_slots_take(&st->engine->slots, insert)) {
        ox__reply_refusal(st->conn, OX__CODE_TOO_MANY_QUERIES, "TOO_MANY_SIMULTANEOUS_QUERIES",
                          "Too many simultaneous queries. Maximum: %u, of which %u for inserts",
                          st->engine->limits.queries_max, st->engine->limits.queries_for_inserts);
        return;
    }
    run_in_slot(st);
    if (st->session != NULL)
        st->engine->lib.close_conn(st->session);
    ox__engine_slots_give(&st->engine->slots, insert);
}

void
ox__statement_run(struct ox__engine *engine, struct ox__conn *conn, struct ox__request *request,
                  enum ox__role role)
{
    struct ox__statement *st = calloc(1, sizeof(*st));
    if (st == NULL) {
        ox__reply_refusal(conn, OX__CODE_MEMORY, "MEMORY_LIMIT_EXCEEDED", "no memory for the statement");
        return;
    }
    st->engine = engine;
    st->conn = conn;
    st->request = request;
    st->role = role;
    st->id = atomic_fetch_add_explicit(&engine->statement_id, 1, memory_order_relaxed); /* only unique */
    if (compose_text(st) && allowed(st))
        take_slot_and_run(st);
    ox__sink_unmap(st->body);
    ox_buf_fini(&st->text);
    ox_buf_fini(&st->rewritten);
    free(st);
}
