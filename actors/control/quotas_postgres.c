/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/quotas_postgres.c - quotas in PostgreSQL, see include/ox/quota_store.h.
 *
 * Owns:    one connection beside the control store's, made when it is needed.
 * Threads: one at a time, by its pool.
 * Bounds:  the time-outs of the control plane.
 * Fails:   see there.
 * Flow:    each call: connection -> BEGIN, on whose behalf -> its statements -> COMMIT, as in store_postgres.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/control/pg_asker.h"
#include "actors/control/pg_pool.h"
#include "ox/quota_store.h"

#define CHANNEL "observex_control"

struct quotas_pg {
    struct ox_quota_store base;
    struct pg_target target;
    struct pg_pool *pool;
};

enum statement { ON_BEHALF, SET, CLEAR, CHANGE_NOTE, LIST, STATEMENT__COUNT };

static const char *const statements[STATEMENT__COUNT] = {
    [ON_BEHALF] = "SELECT set_config($1, $2, true)",
    [SET] =
        "INSERT INTO observex.quotas (tenant_id, key_id, quota, value, changed_at)"
        " VALUES ($1, $2, $3, $4::bigint, $5::bigint)"
        " ON CONFLICT (tenant_id, key_id, quota) DO UPDATE SET value = $4::bigint, changed_at = $5::bigint",
    [CLEAR] =
        "DELETE FROM observex.quotas WHERE tenant_id = $1 AND key_id = $2 AND quota = $3 RETURNING quota",
    [CHANGE_NOTE] = "WITH c AS (UPDATE observex.control_clock SET seq = seq + 1 RETURNING seq),"
                    " n AS (INSERT INTO observex.control_changes (seq, tenant_id, digest)"
                    "  SELECT c.seq, $1, NULL FROM c)"
                    " SELECT pg_notify('" CHANNEL "', '')",
    [LIST] = ("SELECT tenant_id, key_id, quota, value, changed_at FROM observex.quotas"
              " ORDER BY tenant_id COLLATE \"C\", key_id COLLATE \"C\", quota COLLATE \"C\""),
};

static ox_err
run(struct pg_conn *c, enum statement s, int n, const char *const *params, PGresult **out,
    struct ox_diag *diag)
{
    return pg_conn_run(c, s, statements[s], n, params, out, diag);
}

/* tenant NULL: as an operator, who reads all. */
static ox_err
begin(struct pg_conn *c, const char *tenant, struct ox_diag *diag)
{
    const char *params[] = {tenant != NULL ? "app.tenant_id" : "app.operator",
                            tenant != NULL ? tenant : "on"};
    ox_err err = pg_conn_exec(c, "BEGIN", NULL, diag);
    return err == OX_OK ? run(c, ON_BEHALF, 2, params, NULL, diag) : err;
}

static ox_err
finish(struct pg_conn *c, ox_err err, struct ox_diag *diag)
{
    if (err == OX_OK)
        return pg_conn_exec(c, "COMMIT", NULL, diag);
    if (!c->broken && pg_conn_exec(c, "ROLLBACK", NULL, NULL) != OX_OK)
        c->broken = true; /* a transaction of somebody else's behalf must not stay open */
    return err;
}

static ox_err
write_row(struct pg_conn *c, enum statement s, const struct ox_control_asker *asker,
          const struct ox_quota_row *row, struct ox_diag *diag)
{
    char value[24], changed[24];
    PGresult *r = NULL;
    snprintf(value, sizeof(value), "%llu", (unsigned long long)row->value);
    snprintf(changed, sizeof(changed), "%lld", (long long)row->changed_s);
    const char *params[] = {row->tenant.name, row->key_id, ox_quota_name(row->quota), value, changed};
    ox_err err = begin(c, row->tenant.name, diag);
    if (err == OX_OK)
        err = pg_asker_hold(c, asker, diag);
    if (err == OX_OK)
        err = run(c, s, s == SET ? 5 : 3, params, &r, diag);
    if (err == OX_OK && s == CLEAR && PQntuples(r) == 0)
        err = ox_diag_set(diag, OX_E_NOT_FOUND, "quota", -1, "it has none of its own: the default holds");
    PQclear(r);
    if (err == OX_OK)
        err = run(c, CHANGE_NOTE, 1, params, NULL, diag);
    return finish(c, err, diag);
}

static ox_err
transact(struct ox_quota_store *self, enum statement s, const struct ox_control_asker *asker,
         const struct ox_quota_row *row, struct ox_diag *diag)
{
    struct quotas_pg *st = (struct quotas_pg *)self;
    for (int tries = 2;; tries--) {
        struct pg_conn *c = NULL;
        bool fresh = false;
        ox_err err = pg_pool_take(st->pool, PG_ANY, &c, &fresh, diag);
        if (err != OX_OK)
            return err;
        err = write_row(c, s, asker, row, diag);
        bool broken = c->broken;
        pg_pool_give(st->pool, c);
        if (!broken || fresh || tries <= 1)
            return err;
    }
}

static ox_err
set(struct ox_quota_store *self, const struct ox_control_asker *asker, const struct ox_quota_row *row,
    struct ox_diag *diag)
{
    return transact(self, SET, asker, row, diag);
}

static ox_err
clear(struct ox_quota_store *self, const struct ox_control_asker *asker, const struct ox_quota_row *row,
      struct ox_diag *diag)
{
    return transact(self, CLEAR, asker, row, diag);
}

static ox_err
read_rows(struct pg_conn *c, const struct ox_tenant_id *tenant, struct ox_quota_row **rows, size_t *n,
          struct ox_diag *diag)
{
    PGresult *r = NULL;
    ox_err err = begin(c, tenant != NULL ? tenant->name : NULL, diag);
    if (err == OX_OK)
        err = run(c, LIST, 0, NULL, &r, diag);
    int count = err == OX_OK ? PQntuples(r) : 0;
    *rows = count > 0 ? calloc((size_t)count, sizeof(**rows)) : NULL;
    if (count > 0 && *rows == NULL)
        err = OX_E_NOMEM;
    for (int i = 0; err == OX_OK && i < count; i++)
        *n += ox__quota_row(&(*rows)[*n], pg_text(r, i, 0), pg_text(r, i, 1), pg_text(r, i, 2),
                            pg_int(r, i, 3), pg_int(r, i, 4));
    PQclear(r);
    return finish(c, err, diag);
}

static ox_err
list(struct ox_quota_store *self, const struct ox_tenant_id *tenant, struct ox_quota_row **rows, size_t *n,
     struct ox_diag *diag)
{
    struct quotas_pg *st = (struct quotas_pg *)self;
    for (int tries = 2;; tries--) {
        struct pg_conn *c = NULL;
        bool fresh = false;
        *rows = NULL;
        *n = 0;
        ox_err err = pg_pool_take(st->pool, PG_ANY, &c, &fresh, diag);
        if (err != OX_OK)
            return err;
        err = read_rows(c, tenant, rows, n, diag);
        bool broken = c->broken;
        pg_pool_give(st->pool, c);
        if (err == OX_OK)
            return OX_OK;
        free(*rows);
        *rows = NULL;
        *n = 0;
        if (!broken || fresh || tries <= 1)
            return err;
    }
}

static void
close_store(struct ox_quota_store *self)
{
    struct quotas_pg *st = (struct quotas_pg *)self;
    pg_pool_free(st->pool);
    free(st->target.url);
    if (st->target.password != NULL)
        explicit_bzero(st->target.password, strlen(st->target.password));
    free(st->target.password);
    free(st);
}

ox_err
ox_quota_store_postgres(const struct ox_control_postgres *o, struct ox_quota_store **out,
                        struct ox_diag *diag)
{
    bool has_password = o->password != NULL && o->password[0] != '\0';
    *out = NULL;
    struct quotas_pg *st = calloc(1, sizeof(*st));
    if (st == NULL)
        return OX_E_NOMEM;
    st->base = (struct ox_quota_store){.set = set, .clear = clear, .list = list, .close = close_store};
    st->target = (struct pg_target){strdup(o->url), has_password ? strdup(o->password) : NULL,
                                    o->connect_timeout_ms, o->statement_timeout_ms};
    st->pool = pg_pool_new(&st->target, 1, o->as_owner);
    if (st->pool == NULL || st->target.url == NULL || (has_password && st->target.password == NULL)) {
        close_store(&st->base);
        return OX_E_NOMEM;
    }
    *out = &st->base;
    return OX_OK;
}
