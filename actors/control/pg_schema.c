/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/pg_schema.c - brings PostgreSQL to the schema of this release as its owner, and checks it as a node.
 *
 * Owns:    nothing.
 * Threads: any that may block.
 * Bounds:  the time-outs of the connection; migrations wait for one another on an advisory lock.
 * Fails:   STATE, CONFIG, UNAVAILABLE with a sentence. Each migration is one transaction with its own note, so that a failure
 *          leaves it undone and the earlier ones done.
 * Flow:    `observex control init` -> ox_control_init_postgres; store_postgres.c -> pg_schema_check.
 */
#include "actors/control/pg_schema.h"

#include <stdio.h>
#include <stdlib.h>

#include "actors/control/control_schema.h"
#include "ox/buf.h"
#include "ox/control.h"

/* "observex" in a number that nobody else's lock is likely to be. */
#define LOCK_KEY "7885661432790415"

static ox_err
read_applied(struct pg_conn *c, bool *done, struct ox_diag *diag)
{
    PGresult *r = NULL;
    ox_err err =
        pg_conn_exec(c, "SELECT number, name, sum FROM observex.schema_migrations ORDER BY number", &r, diag);
    for (int i = 0; err == OX_OK && i < PQntuples(r); i++)
        err = ox__control_migration_seen(ox_schema_postgres, ox_schema_postgres_count, (long)pg_int(r, i, 0),
                                         pg_text(r, i, 1), pg_text(r, i, 2), done, diag);
    PQclear(r);
    return err;
}

/* ---- as a node ---- */

/* Who is no subject of row-level security must not be the role of a node: superusers, roles that bypass it, and whoever
 * could switch it off. */
static ox_err
check_role(struct pg_conn *c, struct ox_diag *diag)
{
    PGresult *r = NULL;
    ox_err err =
        pg_conn_exec(c,
                     "SELECT current_user,"
                     " (SELECT bool_or(rolsuper OR rolbypassrls) FROM pg_roles WHERE "
                     "pg_has_role(current_user, oid, 'MEMBER')),"
                     " (SELECT bool_or(pg_has_role(current_user, relowner, 'MEMBER')) FROM pg_class t"
                     "  JOIN pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = 'observex'),"
                     " (SELECT count(*) FROM pg_attribute a JOIN pg_class t ON t.oid = a.attrelid"
                     "  JOIN pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = 'observex' AND "
                     "a.attname = 'tenant_id'"
                     "  AND t.relkind = 'r' AND NOT (t.relrowsecurity AND t.relforcerowsecurity))",
                     &r, diag);
    if (err != OX_OK)
        return err;
    if (pg_text(r, 0, 1)[0] == 't')
        err = ox_diag_set(
            diag, OX_E_CONFIG, "control.url", -1,
            "role %.60s is a superuser or has BYPASSRLS, so that row-level security would not hold it back: "
            "let nodes connect as the role that `observex control init --role` makes",
            pg_text(r, 0, 0));
    else if (pg_text(r, 0, 2)[0] == 't')
        err = ox_diag_set(
            diag, OX_E_CONFIG, "control.url", -1,
            "role %.60s owns the tables and could switch row-level security off: let nodes connect as the "
            "role that `observex control init --role` makes",
            pg_text(r, 0, 0));
    else if (pg_int(r, 0, 3) > 0)
        err = ox_diag_set(
            diag, OX_E_CONFIG, "control.url", -1,
            "a table with tenant_id has no forced row-level security: run `observex control init` again");
    PQclear(r);
    return err;
}

ox_err
pg_schema_check(struct pg_conn *c, bool as_owner, struct ox_diag *diag)
{
    bool done[OX__MIGRATIONS_MAX] = {false};
    ox_err err = read_applied(c, done, diag);
    if (err == OX_E_STATE && strstr(diag != NULL ? diag->text : "", "42P01") != NULL)
        return ox_diag_set(
            diag, OX_E_STATE, "control.url", -1,
            "the database has no control plane yet: run `observex control init --url URL` as its owner");
    if (err == OX_E_CONFIG)
        return ox_diag_set(
            diag, OX_E_CONFIG, "control.url", -1,
            "the role may not use the control plane: run `observex control init --role` with its name");
    for (size_t i = 0; err == OX_OK && i < ox_schema_postgres_count; i++) {
        if (!done[i])
            err = ox_diag_set(
                diag, OX_E_STATE, "control.url", -1,
                "the control plane lacks migration %u \"%s\": run `observex control init --url URL` as "
                "its owner",
                ox_schema_postgres[i].number, ox_schema_postgres[i].name);
    }
    return err == OX_OK && !as_owner ? check_role(c, diag) : err;
}

/* ---- as the owner ---- */

static ox_err
apply(struct pg_conn *c, const struct ox_migration *m, struct ox_diag *diag)
{
    char sum[OX__MIGRATION_SUM_MAX];
    struct ox_buf sql;
    ox__control_migration_sum(m, sum);
    ox_buf_init(&sql);
    ox_buf_printf(&sql,
                  "BEGIN;\n%s\nINSERT INTO observex.schema_migrations (number, name, sum) VALUES (%u, '%s', "
                  "'%s');\nCOMMIT",
                  m->sql, m->number, m->name, sum);
    ox_buf_append(&sql, "", 1);
    ox_err err = sql.failed ? OX_E_NOMEM : pg_conn_exec(c, (const char *)sql.data, NULL, diag);
    ox_buf_fini(&sql);
    if (err != OX_OK && !c->broken)
        (void)!pg_conn_exec(c, "ROLLBACK", NULL, NULL);
    return err;
}

static ox_err
migrate(struct pg_conn *c, unsigned *applied, struct ox_diag *diag)
{
    bool done[OX__MIGRATIONS_MAX] = {false};
    ox_err err = pg_conn_exec(c, "SELECT pg_advisory_lock(" LOCK_KEY ")", NULL, diag);
    if (err == OX_OK)
        err = pg_conn_exec(c,
                           "CREATE SCHEMA IF NOT EXISTS observex;"
                           "CREATE TABLE IF NOT EXISTS observex.schema_migrations"
                           " (number integer PRIMARY KEY, name text NOT NULL, sum text NOT NULL,"
                           "  applied_at timestamptz NOT NULL DEFAULT now())",
                           NULL, diag);
    if (err == OX_OK)
        err = read_applied(c, done, diag);
    for (size_t i = 0; err == OX_OK && i < ox_schema_postgres_count; i++) {
        if (done[i])
            continue;
        err = apply(c, &ox_schema_postgres[i], diag);
        if (err == OX_OK)
            (*applied)++;
    }
    if (!c->broken)
        (void)!pg_conn_exec(c, "SELECT pg_advisory_unlock(" LOCK_KEY ")", NULL, NULL);
    return err;
}

/* Makes the role when there is none. */
static ox_err
make_role(struct pg_conn *c, const char *name, const char *quoted, const char *password, struct ox_diag *diag)
{
    PGresult *r = NULL;
    char *text = PQescapeLiteral(c->pg, name, strlen(name));
    struct ox_buf sql;
    ox_buf_init(&sql);
    ox_buf_printf(&sql, "SELECT 1 FROM pg_roles WHERE rolname = %s", text != NULL ? text : "''");
    ox_buf_append(&sql, "", 1);
    ox_err err = sql.failed ? OX_E_NOMEM : pg_conn_exec(c, (const char *)sql.data, &r, diag);
    bool exists = err == OX_OK && PQntuples(r) > 0;
    ox_buf_reset(&sql);
    if (!exists)
        ox_buf_printf(&sql, "CREATE ROLE %s LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;", quoted);
    /* The server gets, and may log, a SCRAM verifier and never the password. */
    char *verifier = password != NULL ? PQencryptPasswordConn(c->pg, password, name, "scram-sha-256") : NULL;
    if (verifier != NULL)
        ox_buf_printf(&sql, "ALTER ROLE %s PASSWORD '%s';", quoted, verifier);
    if (password != NULL && verifier == NULL)
        err = ox_diag_set(diag, OX_E_CONFIG, "role_password", -1, "the password cannot be used: %.200s",
                          PQerrorMessage(c->pg));
    ox_buf_append(&sql, "", 1);
    if (err == OX_OK && sql.len > 1)
        err = sql.failed ? OX_E_NOMEM : pg_conn_exec(c, (const char *)sql.data, NULL, diag);
    PQfreemem(verifier);
    PQfreemem(text);
    PQclear(r);
    ox_buf_fini(&sql);
    return err;
}

/* What a node does, column by column: it cannot give a key another tenant, role or digest, nor remove one. */
static ox_err
grant(struct pg_conn *c, const char *quoted, struct ox_diag *diag)
{
    static const char *const grants[] = {
        "USAGE ON SCHEMA observex",
        "SELECT, INSERT, UPDATE (state, changed_at) ON observex.tenants",
        "SELECT, INSERT, UPDATE (expires_at, revoked_at, last_used_at) ON observex.api_keys",
        "SELECT, INSERT, DELETE ON observex.control_changes",
        "SELECT, UPDATE (seq) ON observex.control_clock",
        "SELECT, INSERT, UPDATE (value, changed_at), DELETE ON observex.quotas",
        ("SELECT, INSERT, UPDATE (role, state, password, changed_at, password_at, login_at, login_peer)"
         " ON observex.users"),
        "SELECT, INSERT, UPDATE (seen_at), DELETE ON observex.sessions",
        "SELECT ON observex.schema_migrations",
    };
    struct ox_buf sql;
    ox_buf_init(&sql);
    for (size_t i = 0; i < OX_COUNT(grants); i++)
        ox_buf_printf(&sql, "GRANT %s TO %s;", grants[i], quoted);
    ox_buf_append(&sql, "", 1);
    ox_err err = sql.failed ? OX_E_NOMEM : pg_conn_exec(c, (const char *)sql.data, NULL, diag);
    ox_buf_fini(&sql);
    return err;
}

ox_err
ox_control_init_postgres(const struct ox_control_postgres *owner, const char *role, const char *role_password,
                         unsigned *applied, struct ox_diag *diag)
{
    unsigned count = 0;
    struct pg_conn c;
    struct pg_target target = {(char *)(uintptr_t)owner->url, (char *)(uintptr_t)owner->password,
                               owner->connect_timeout_ms, owner->statement_timeout_ms};
    if (target.password != NULL && target.password[0] == '\0')
        target.password = NULL;
    ox_err err = pg_conn_open(&c, &target, diag);
    if (err != OX_OK)
        return err;
    char *quoted = PQescapeIdentifier(c.pg, role, strlen(role));
    if (quoted == NULL)
        err = ox_diag_set(diag, OX_E_CONFIG, "role", -1, "this cannot be the name of a role");
    if (err == OX_OK)
        err = migrate(&c, &count, diag);
    if (err == OX_OK)
        err = make_role(&c, role, quoted, role_password, diag);
    if (err == OX_OK)
        err = grant(&c, quoted, diag);
    PQfreemem(quoted);
    pg_conn_close(&c);
    if (applied != NULL)
        *applied = count;
    return err;
}
