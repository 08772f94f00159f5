/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/quotas_sqlite.c - quotas in DIR/control.db, see include/ox/quota_store.h.
 *
 * Owns:    one connection beside the control store's.
 * Threads: one at a time: `lock`.
 * Fails:   see there. A transaction that fails leaves nothing behind.
 * Flow:    see there. Who waits for changes hears of this one when he looks, within half a second.
 */
#include <sqlite3.h>
#include <stdlib.h>

#include "actors/control/sqlite_asker.h"
#include "ox/lock.h"
#include "ox/quota_store.h"

#define BUSY_MS 5000

struct quotas_sqlite {
    struct ox_quota_store base;
    sqlite3 *db;
    pthread_mutex_t lock;
};

static ox_err
failed(struct quotas_sqlite *st, struct ox_diag *diag)
{
    int code = sqlite3_errcode(st->db);
    ox_err err = code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? OX_E_CORRUPT : OX_E_UNAVAILABLE;
    if (code == SQLITE_CONSTRAINT)
        return ox_diag_set(diag, OX_E_NOT_FOUND, "tenant", -1, "there is no such tenant");
    return ox_diag_set(diag, err, "control.db", -1, "the control plane's file does not answer: %s",
                       sqlite3_errmsg(st->db));
}

/* Runs a statement with the row's columns as ?1 to ?5. *changed: rows, may be NULL. */
static ox_err
run(struct quotas_sqlite *st, const char *sql, const struct ox_quota_row *row, int *changed,
    struct ox_diag *diag)
{
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(st->db, sql, -1, &s, NULL) != SQLITE_OK)
        return failed(st, diag);
    /* Binding fails for lack of memory, or because the statement has no such place. */
    (void)sqlite3_bind_text(s, 1, row->tenant.name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(s, 2, row->key_id, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(s, 3, ox_quota_name(row->quota), -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(s, 4, (int64_t)row->value);
    (void)sqlite3_bind_int64(s, 5, row->changed_s);
    ox_err err = sqlite3_step(s) == SQLITE_DONE ? OX_OK : failed(st, diag);
    if (changed != NULL)
        *changed = sqlite3_changes(st->db);
    sqlite3_finalize(s);
    return err;
}

static ox_err
exec(struct quotas_sqlite *st, const char *sql, struct ox_diag *diag)
{
    return sqlite3_exec(st->db, sql, NULL, NULL, NULL) == SQLITE_OK ? OX_OK : failed(st, diag);
}

/* One statement and the note that its tenant has changed. */
static ox_err
change(struct quotas_sqlite *st, const struct ox_control_asker *asker, const char *sql,
       const struct ox_quota_row *row, int *changed, struct ox_diag *diag)
{
    ox_lock(&st->lock);
    ox_err err = exec(st, "BEGIN IMMEDIATE", diag);
    if (err == OX_OK) {
        err = ox__sqlite_check_asker(st->db, asker, diag);
        if (err == OX_OK)
            err = run(st, sql, row, changed, diag);
        if (err == OX_OK && *changed > 0)
            err = run(st,
                      "INSERT INTO control_changes (seq, tenant_id, digest)"
                      " SELECT coalesce(max(seq), 0) + 1, ?1, NULL FROM control_changes",
                      row, NULL, diag);
        if (err == OX_OK)
            err = exec(st, "COMMIT", diag);
        if (err != OX_OK)
            (void)exec(st, "ROLLBACK", NULL);
    }
    ox_unlock(&st->lock);
    return err;
}

static ox_err
set(struct ox_quota_store *self, const struct ox_control_asker *asker, const struct ox_quota_row *row,
    struct ox_diag *diag)
{
    int changed = 0;
    return change(
        (struct quotas_sqlite *)self, asker,
        "INSERT INTO quotas (tenant_id, key_id, quota, value, changed_at) VALUES (?1, ?2, ?3, ?4, ?5)"
        " ON CONFLICT (tenant_id, key_id, quota) DO UPDATE SET value = ?4, changed_at = ?5",
        row, &changed, diag);
}

static ox_err
clear(struct ox_quota_store *self, const struct ox_control_asker *asker, const struct ox_quota_row *row,
      struct ox_diag *diag)
{
    int changed = 0;
    ox_err err =
        change((struct quotas_sqlite *)self, asker,
               "DELETE FROM quotas WHERE tenant_id = ?1 AND key_id = ?2 AND quota = ?3", row, &changed, diag);
    return err == OX_OK && changed == 0
               ? ox_diag_set(diag, OX_E_NOT_FOUND, "quota", -1, "it has none of its own: the default holds")
               : err;
}

static ox_err
collect(struct quotas_sqlite *st, sqlite3_stmt *s, struct ox_quota_row **rows, size_t *n,
        struct ox_diag *diag)
{
    size_t cap = 0;
    int code;
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
        if (*n == cap) {
            cap = cap != 0 ? cap * 2 : 16;
            struct ox_quota_row *grown = realloc(*rows, cap * sizeof(*grown));
            if (grown == NULL)
                return OX_E_NOMEM;
            *rows = grown;
        }
        *n += ox__quota_row(&(*rows)[*n], (const char *)sqlite3_column_text(s, 0),
                            (const char *)sqlite3_column_text(s, 1), (const char *)sqlite3_column_text(s, 2),
                            sqlite3_column_int64(s, 3), sqlite3_column_int64(s, 4));
    }
    return code == SQLITE_DONE ? OX_OK : failed(st, diag);
}

static ox_err
list(struct ox_quota_store *self, const struct ox_tenant_id *tenant, struct ox_quota_row **rows, size_t *n,
     struct ox_diag *diag)
{
    struct quotas_sqlite *st = (struct quotas_sqlite *)self;
    sqlite3_stmt *s;
    *rows = NULL;
    *n = 0;
    ox_lock(&st->lock);
    ox_err err = sqlite3_prepare_v2(st->db,
                                    "SELECT tenant_id, key_id, quota, value, changed_at FROM quotas"
                                    " WHERE ?1 IS NULL OR tenant_id = ?1 ORDER BY 1, 2, 3",
                                    -1, &s, NULL) == SQLITE_OK
                     ? OX_OK
                     : failed(st, diag);
    if (err == OX_OK) {
        if (tenant != NULL)
            (void)sqlite3_bind_text(s, 1, tenant->name, -1, SQLITE_STATIC);
        err = collect(st, s, rows, n, diag);
        sqlite3_finalize(s);
    }
    ox_unlock(&st->lock);
    if (err != OX_OK) {
        free(*rows);
        *rows = NULL;
        *n = 0;
    }
    return err;
}

static void
close_store(struct ox_quota_store *self)
{
    struct quotas_sqlite *st = (struct quotas_sqlite *)self;
    (void)sqlite3_close(st->db);
    pthread_mutex_destroy(&st->lock);
    free(st);
}

ox_err
ox_quota_store_sqlite(const char *path, struct ox_quota_store **out, struct ox_diag *diag)
{
    *out = NULL;
    struct quotas_sqlite *st = calloc(1, sizeof(*st));
    if (st == NULL)
        return OX_E_NOMEM;
    st->base = (struct ox_quota_store){.set = set, .clear = clear, .list = list, .close = close_store};
    pthread_mutex_init(&st->lock, NULL);
    ox_err err = OX_OK;
    if (sqlite3_open_v2(path, &st->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        err = st->db != NULL ? failed(st, diag) : OX_E_NOMEM;
    if (err == OX_OK) {
        sqlite3_busy_timeout(st->db, BUSY_MS);
        err = exec(st, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;",
                   diag);
    }
    if (err == OX_OK)
        *out = &st->base;
    else
        close_store(&st->base);
    return err;
}
