/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/storage/migrate.c - brings the store to the schema of this release.
 *
 * Owns:    the table schema_migrations.
 * Threads: a dirty thread, at start; one caller at a time.
 * Bounds:  MIGRATIONS_MAX rows are read.
 * Fails:   see include/ox/storage.h; STATE when the store is newer than we are.
 * Flow:    node start -> here -> storage.c.
 *
 * A crash in the middle leaves statements that were applied but not recorded: every statement is idempotent,
 * so the next start repeats them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/storage/storage.h"
#include "ox/schema.h"

#define MIGRATIONS_MAX       1000
#define STATEMENT_TIMEOUT_MS 300000

static const char create_table[] = "CREATE TABLE IF NOT EXISTS schema_migrations (number UInt32, name "
                                   "String, applied_at DateTime DEFAULT now()) "
                                   "ENGINE = MergeTree ORDER BY number";

static ox_err
run(struct ox_storage *st, struct ox_str sql, const struct ox_storage_param *params, size_t n,
    struct ox_buf *out, struct ox_diag *diag)
{
    struct ox_storage_query q = {
        .sql = sql, .params = params, .params_n = n, .max_execution_ms = STATEMENT_TIMEOUT_MS};
    return ox_storage_query(st, &q, out, NULL, diag);
}

/* The database that the statement creates cannot be the one that it runs in. */
static ox_err
create_database(struct ox_storage *st, struct ox_diag *diag)
{
    static char none[] = "default";
    struct ox_storage outside = *st; /* only read by ox__call_begin; the pool stays with st */
    struct ox_buf sql = {0};
    struct ox__call call;
    outside.database = none;
    ox_buf_printf(&sql, "CREATE DATABASE IF NOT EXISTS `%s`", st->database);
    ox__call_begin(&call, &outside, NULL);
    call.st = st;
    call.body = sql.data;
    call.body_len = sql.len;
    ox_err err = ox__call_perform(&call, diag);
    ox__call_fini(&call);
    ox_buf_fini(&sql);
    return err;
}

/* "<number>\t<name>\n" per migration that the store has. */
static ox_err
read_applied(struct ox_storage *st, struct ox_buf *out, struct ox_diag *diag)
{
    ox_err err = run(st, ox_str_of(create_table), NULL, 0, out, diag);
    if (err == OX_OK)
        err =
            run(st, OX_STR("SELECT DISTINCT number, name FROM schema_migrations ORDER BY number LIMIT 1000"),
                NULL, 0, out, diag);
    ox_buf_append(out, "", 1);
    return out->failed ? OX_E_NOMEM : err;
}

static const struct ox_migration *
by_number(const struct ox_migration *migrations, size_t n, unsigned long number)
{
    for (size_t i = 0; i < n; i++) {
        if (migrations[i].number == number)
            return &migrations[i];
    }
    return NULL;
}

/* Marks what is there; refuses a store that another release has gone further with. */
static ox_err
compare(const char *applied, const struct ox_migration *migrations, size_t n, bool *done,
        struct ox_diag *diag)
{
    for (const char *line = applied; *line != '\0';) {
        char *tab;
        unsigned long number = strtoul(line, &tab, 10);
        const char *end = strchr(tab, '\n');
        if (*tab != '\t' || end == NULL)
            return ox_diag_set(diag, OX_E_CORRUPT, "schema_migrations", -1, "unreadable row \"%.40s\"", line);
        const struct ox_migration *known = by_number(migrations, n, number);
        struct ox_str name = {tab + 1, (size_t)(end - tab - 1)};
        if (known == NULL || !ox_str_eq(name, ox_str_of(known->name)))
            return ox_diag_set(
                diag, OX_E_STATE, "schema_migrations", -1,
                "the store has migration %lu \"%.*s\", which this release does not know: run the "
                "release that made it, or a newer one",
                number, (int)name.n, name.p);
        done[known - migrations] = true;
        line = end + 1;
    }
    return OX_OK;
}

static ox_err
apply(struct ox_storage *st, const struct ox_migration *m, struct ox_diag *diag)
{
    struct ox_buf out = {0};
    struct ox_str statement;
    const char *cursor = m->sql;
    ox_err err = OX_OK;
    unsigned count = 0;
    while (err == OX_OK && ox_schema_next_statement(&cursor, &statement)) {
        count++;
        ox_buf_reset(&out);
        err = run(st, statement, NULL, 0, &out, diag);
    }
    if (err == OX_OK) {
        char number[16];
        snprintf(number, sizeof(number), "%u", m->number);
        const struct ox_storage_param params[] = {{"number", ox_str_of(number)},
                                                  {"name", ox_str_of(m->name)}};
        ox_buf_reset(&out);
        err = run(
            st, OX_STR("INSERT INTO schema_migrations (number, name) SELECT {number:UInt32}, {name:String}"),
            params, 2, &out, diag);
    }
    ox_buf_fini(&out);
    if (err != OX_OK && diag != NULL)
        snprintf(diag->field, sizeof(diag->field), "%03u_%.60s, statement %u", m->number, m->name, count);
    return err;
}

static ox_err
apply_missing(struct ox_storage *st, const struct ox_migration *migrations, size_t n, const bool *done,
              unsigned *applied, struct ox_diag *diag)
{
    for (size_t i = 0; i < n; i++) {
        if (done[i])
            continue;
        ox_err err = apply(st, &migrations[i], diag);
        if (err != OX_OK)
            return err;
        if (applied != NULL)
            (*applied)++;
    }
    return OX_OK;
}

ox_err
ox_storage_migrate(struct ox_storage *st, const struct ox_migration *migrations, size_t n, unsigned *applied,
                   struct ox_diag *diag)
{
    bool done[MIGRATIONS_MAX] = {false};
    struct ox_buf rows = {0};
    OX_ASSERT(n <= MIGRATIONS_MAX);
    if (applied != NULL)
        *applied = 0;
    ox_err err = create_database(st, diag);
    if (err == OX_OK)
        err = read_applied(st, &rows, diag);
    if (err == OX_OK)
        err = compare((const char *)rows.data, migrations, n, done, diag);
    ox_buf_fini(&rows);
    return err == OX_OK ? apply_missing(st, migrations, n, done, applied, diag) : err;
}
