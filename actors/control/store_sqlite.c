/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/store_sqlite.c - the control plane in DIR/control.db, for one node.
 *
 * Owns:    one connection, and the file behind it (mode 0600, WAL, synchronous=FULL: what is answered is on disk).
 * Threads: any that may block; `lock` serialises them: a call is a few statements on a small file. Waking takes
 *          `news_lock` alone, which nobody holds while he is at the disk.
 * Bounds:  OX__CHANGES_KEPT changes.
 * Fails:   see include/ox/control.h. A transaction that fails leaves nothing behind.
 * Flow:    ox_control_open_sqlite -> migrations -> calls. A writer wakes who is in wait().
 *
 * There is no row-level security here: every statement names the tenant, and the tests of both stores are the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "actors/control/control_record.h"
#include "actors/control/control_schema.h"
#include "actors/control/sqlite_asker.h"
#include "ox/disk.h"
#include "ox/lock.h"

#define BUSY_MS 5000 /* another process holds the file: somebody's sqlite3 shell */

struct sqlite_store {
    struct ox_control_store base;
    char path[OX_DISK_PATH_MAX];
    sqlite3 *db; /* NULL = could not be opened yet; under lock */
    pthread_mutex_t lock;
    pthread_mutex_t news_lock;
    pthread_cond_t written;
    bool news; /* something was committed since wait() returned last; under news_lock */
};

/* ---- statements ---- */

static ox_err
failed(struct sqlite_store *st, struct ox_diag *diag)
{
    int code = sqlite3_errcode(st->db);
    ox_err err = OX_E_UNAVAILABLE;
    if (code == SQLITE_CONSTRAINT)
        err = OX_E_EXISTS;
    else if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
        err = OX_E_CORRUPT;
    else if (code == SQLITE_FULL)
        err = OX_E_DISK_FULL;
    else if (code == SQLITE_NOMEM)
        err = OX_E_NOMEM;
    return ox_diag_set(diag, err, "control.db", -1, "the control plane's file does not answer: %s",
                       sqlite3_errmsg(st->db));
}

static ox_err
exec(struct sqlite_store *st, const char *sql, struct ox_diag *diag)
{
    return sqlite3_exec(st->db, sql, NULL, NULL, NULL) == SQLITE_OK ? OX_OK : failed(st, diag);
}

static ox_err
prepare(struct sqlite_store *st, const char *sql, sqlite3_stmt **out, struct ox_diag *diag)
{
    return sqlite3_prepare_v2(st->db, sql, -1, out, NULL) == SQLITE_OK ? OX_OK : failed(st, diag);
}

/* Binding fails for lack of memory only, and then the step does. */
static void
bind_text(sqlite3_stmt *q, int i, const char *text)
{
    (void)sqlite3_bind_text(q, i, text, -1, SQLITE_STATIC);
}

static void
bind_int(sqlite3_stmt *q, int i, int64_t value)
{
    (void)sqlite3_bind_int64(q, i, value);
}

static void
bind_digest(sqlite3_stmt *q, int i, const uint8_t *digest)
{
    if (digest != NULL)
        (void)sqlite3_bind_blob(q, i, digest, OX_KEY_DIGEST_BYTES, SQLITE_STATIC);
    else
        (void)sqlite3_bind_null(q, i);
}

/* Runs a statement without a result and frees it. *changed: rows, may be NULL. */
static ox_err
run(struct sqlite_store *st, sqlite3_stmt *q, int *changed, struct ox_diag *diag)
{
    ox_err err = sqlite3_step(q) == SQLITE_DONE ? OX_OK : failed(st, diag);
    if (changed != NULL)
        *changed = sqlite3_changes(st->db);
    sqlite3_finalize(q);
    return err;
}

static bool
column_text(sqlite3_stmt *q, int i, char *to, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(q, i);
    return ox__control_copy(to, size, text, (size_t)sqlite3_column_bytes(q, i));
}

static bool
column_digest(sqlite3_stmt *q, int i, uint8_t digest[OX_KEY_DIGEST_BYTES])
{
    const void *bytes = sqlite3_column_blob(q, i);
    if (bytes == NULL || sqlite3_column_bytes(q, i) != OX_KEY_DIGEST_BYTES)
        return false;
    memcpy(digest, bytes, OX_KEY_DIGEST_BYTES);
    return true;
}

/* ---- transactions ---- */

static ox_err open_db(struct sqlite_store *st, struct ox_diag *diag);

/* Takes the lock; opens what could not be opened before (a disk that was full has room again). */
static ox_err
enter(struct sqlite_store *st, struct ox_diag *diag)
{
    ox_lock(&st->lock);
    ox_err err = st->db == NULL ? open_db(st, diag) : OX_OK;
    if (err != OX_OK)
        ox_unlock(&st->lock);
    return err == OX_OK || err == OX_E_STATE || err == OX_E_CORRUPT ? err : OX_E_UNAVAILABLE;
}

static ox_err
begin(struct sqlite_store *st, struct ox_diag *diag)
{
    ox_err err = enter(st, diag);
    if (err != OX_OK)
        return err;
    err = exec(st, "BEGIN IMMEDIATE", diag);
    if (err != OX_OK)
        ox_unlock(&st->lock);
    return err;
}

static void
wake(struct ox_control_store *self)
{
    struct sqlite_store *st = (struct sqlite_store *)self;
    ox_lock(&st->news_lock);
    st->news = true;
    pthread_cond_signal(&st->written);
    ox_unlock(&st->news_lock);
}

/* Commits what went well, undoes what did not. news: nodes have to hear of it. */
static ox_err
end(struct sqlite_store *st, ox_err err, bool news, struct ox_diag *diag)
{
    if (err == OX_OK)
        err = exec(st, "COMMIT", diag);
    if (err != OX_OK)
        (void)exec(st, "ROLLBACK", NULL); /* no transaction is left when the commit has undone it */
    ox_unlock(&st->lock);
    if (err == OX_OK && news)
        wake(&st->base);
    return err;
}

/* A transaction that writes on somebody's order. On failure there is none, and the lock is not held. */
static ox_err
begin_order(struct sqlite_store *st, const struct ox_control_asker *asker, struct ox_diag *diag)
{
    ox_err err = begin(st, diag);
    if (err != OX_OK)
        return err;
    err = ox__sqlite_check_asker(st->db, asker, diag);
    return err == OX_OK ? OX_OK : end(st, err, false, diag);
}

static ox_err
may_still(struct ox_control_store *self, const struct ox_control_asker *asker, struct ox_diag *diag)
{
    struct sqlite_store *st = (struct sqlite_store *)self;
    ox_err err = begin_order(st, asker, diag);
    return err == OX_OK ? end(st, OX_OK, false, diag) : err;
}

/* digest NULL: the tenant as a whole. */
static ox_err
note_change(struct sqlite_store *st, const struct ox_tenant_id *tenant, const uint8_t *digest,
            struct ox_diag *diag)
{
    sqlite3_stmt *q;
    ox_err err = prepare(st,
                         "INSERT INTO control_changes (seq, tenant_id, digest)"
                         " SELECT coalesce(max(seq), 0) + 1, ?1, ?2 FROM control_changes",
                         &q, diag);
    if (err != OX_OK)
        return err;
    bind_text(q, 1, tenant->name);
    bind_digest(q, 2, digest);
    err = run(st, q, NULL, diag);
    if (err == OX_OK)
        err = prepare(st,
                      "DELETE FROM control_changes WHERE seq <= (SELECT max(seq) FROM control_changes) - ?1",
                      &q, diag);
    if (err != OX_OK)
        return err;
    bind_int(q, 1, OX__CHANGES_KEPT);
    return run(st, q, NULL, diag);
}

/* ---- tenants ---- */

#define TENANT_COLUMNS "tenant_id, name, state, created_at, changed_at"

static ox_err
read_tenant(sqlite3_stmt *q, struct ox_control_tenant *out, struct ox_diag *diag)
{
    char state[16];
    bool ok = column_text(q, 0, out->id.name, sizeof(out->id.name)) &&
              column_text(q, 1, out->name, sizeof(out->name)) && column_text(q, 2, state, sizeof(state)) &&
              ox__control_state(ox_str_of(state), &out->state);
    out->created_s = sqlite3_column_int64(q, 3);
    out->changed_s = sqlite3_column_int64(q, 4);
    return ok ? OX_OK : ox__control_damaged("tenants", diag);
}

/* Under the lock. */
static ox_err
find_tenant(struct sqlite_store *st, const struct ox_tenant_id *id, struct ox_control_tenant *out,
            struct ox_diag *diag)
{
    sqlite3_stmt *q;
    ox_err err = prepare(st, "SELECT " TENANT_COLUMNS " FROM tenants WHERE tenant_id = ?1", &q, diag);
    if (err != OX_OK)
        return err;
    bind_text(q, 1, id->name);
    int code = sqlite3_step(q);
    if (code == SQLITE_ROW)
        err = read_tenant(q, out, diag);
    else
        err = code == SQLITE_DONE ? ox__control_no_tenant(id, diag) : failed(st, diag);
    sqlite3_finalize(q);
    return err;
}

static ox_err
insert_tenant(struct sqlite_store *st, const struct ox_control_tenant *tenant, struct ox_diag *diag)
{
    sqlite3_stmt *q;
    ox_err err =
        prepare(st, "INSERT INTO tenants (" TENANT_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5)", &q, diag);
    if (err != OX_OK)
        return err;
    bind_text(q, 1, tenant->id.name);
    bind_text(q, 2, tenant->name);
    bind_text(q, 3, ox_tenant_state_name(tenant->state));
    bind_int(q, 4, tenant->created_s);
    bind_int(q, 5, tenant->changed_s);
    err = run(st, q, NULL, diag);
    return err == OX_E_EXISTS
               ? ox_diag_set(diag, err, "tenant", -1, "there is a tenant %s already", tenant->id.name)
               : err;
}

static ox_err
tenant_create(struct ox_control_store *self, const struct ox_control_asker *asker,
              const struct ox_control_tenant *tenant, struct ox_diag *diag)
{
    struct sqlite_store *st = (struct sqlite_store *)self;
    ox_err err = begin_order(st, asker, diag);
    if (err != OX_OK)
        return err;
    err = insert_tenant(st, tenant, diag);
    if (err == OX_OK)
        err = note_change(st, &tenant->id, NULL, diag);
    return end(st, err, true, diag);
}

static ox_err
tenant_get(struct ox_control_store *self, const struct ox_tenant_id *id, struct ox_control_tenant *out,
           struct ox_diag *diag)
{
    struct sqlite_store *st = (struct sqlite_store *)self;
    ox_err err = enter(st, diag);
    if (err != OX_OK)
        return err;
    err = find_tenant(st, id, out, diag);
    ox_unlock(&st->lock);
    return err;
}

static ox_err
read_tenants(struct sqlite_store *st, const char *after, struct ox_control_tenant *out, size_t *n,
             struct ox_diag *diag)
{
    size_t room = *n;
    sqlite3_stmt *q;
    *n = 0;
    ox_err err =
        prepare(st, "SELECT " TENANT_COLUMNS " FROM tenants WHERE tenant_id > ?1 ORDER BY tenant_id LIMIT ?2",
                &q, diag);
    if (err != OX_OK)
        return err;
    bind_text(q, 1, after);
    bind_int(q, 2, (int64_t)room);
    int code = SQLITE_DONE;
    while (err == OX_OK && *n < room && (code = sqlite3_step(q)) == SQLITE_ROW)
        err = read_tenant(q, &out[(*n)++], diag);
    if (err == OX_OK && code != SQLITE_ROW && code != SQLITE_DONE)
        err = failed(st, diag);
    sqlite3_finalize(q);
    return err;
}

static ox_err
tenant_list(struct ox_control_store *self, const char *after, struct ox_control_tenant *out, size_t *n,
            struct ox_diag *diag)
{
    struct sqlite_store *st = (struct sqlite_store *)self;
    ox_err err = enter(st, diag);
    if (err != OX_OK)
        return err;
    err = read_tenants(st, after, out, n, diag);
    ox_unlock(&st->lock);
    return err;
}

static ox_err
update_tenant(struct sqlite_store *st, const struct ox_tenant_id *id, enum ox_tenant_state state,
              int64_t now_s, struct ox_diag *diag)
{
    sqlite3_stmt *q;
    ox_err err = prepare(st, "UPDATE tenants SET state = ?2, changed_at = ?3 WHERE tenant_id = ?1", &q, diag);
    if (err != OX_OK)
        return err;
    bind_text(q, 1, id->name);
    bind_text(q, 2, ox_tenant_state_name(state));
    bind_int(q, 3, now_s);
    return run(st, q, NULL, diag);
}

static ox_err
tenant_set(struct ox_control_store *self, const struct ox_control_asker *asker, const struct ox_tenant_id *id,
           enum ox_tenant_state state, int64_t now_s, struct ox_control_tenant *out, struct ox_diag *diag)
{
    struct sqlite_store *st = (struct sqlite_store *)self;
    ox_err err = begin_order(st, asker, diag);
    if (err != OX_OK)
        return err;
    err = update_tenant(st, id, state, now_s, diag);
    if (err == OX_OK)
        err = find_tenant(st, id, out, diag);
    if (err == OX_OK)
        err = note_change(st, id, NULL, diag);
    return end(st, err, true, diag);
}

/* ---- keys ---- */

#define KEY_COLUMNS                                                                                          \
    "key_id, tenant_id, name, digest, fingerprint, scopes, role, created_at, expires_at, revoked_at, "       \
    "last_used_at, rotated_from"

static ox_err
read_key(sqlite3_stmt *q, struct ox_control_key *out, struct ox_diag *diag)
{
    char role[16];
    bool ok = column_text(q, 0, out->id, sizeof(out->id)) &&
              column_text(q, 1, out->tenant.name, sizeof(out->tenant.name)) &&
              column_text(q, 2, out->name, sizeof(out->name)) && column_digest(q, 3, out->digest) &&
              column_text(q, 4, out->fingerprint, sizeof(out->fingerprint)) &&
              column_text(q, 6, role, sizeof(role)) &&
              ox_role_parse(ox_str_of(role), &out->role, NULL) == OX_OK &&
              column_text(q, 11, out->rotated_from, sizeof(out->rotated_from));
    out->scopes = (uint32_t)sqlite3_column_int64(q, 5) & OX_SCOPE_ALL;
    out->created_s = sqlite3_column_int64(q, 7);
    out->expires_s = sqlite3_column_int64(q, 8);
    out->revoked_s = sqlite3_column_int64(q, 9);
    out->last_used_s = sqlite3_column_int64(q, 10);
    return ok ? OX_OK : ox__control_damaged("api_keys", diag);
}

/* Under the lock. tenant NULL: any. */
static ox_err
find_key(struct sqlite_store *st, const struct ox_tenant_id *tenant, const char *key_id,
         struct ox_control_key *out, struct ox_diag *diag)
{
    sqlite3_stmt *q;
    ox_err err = prepare(
        st, "SELECT " KEY_COLUMNS " FROM api_keys WHERE key_id = ?1 AND (?2 IS NULL OR tenant_id = ?2)", &q,
        diag);
    if (err != OX_OK)
        return err;
    bind_text(q, 1, key_id);
    if (tenant != NULL)
        bind_text(q, 2, tenant->name);
    int code = sqlite3_step(q);
    if (code == SQLITE_ROW)
        err = read_key(q, out, diag);
    else
        err = code == SQLITE_DONE ? ox__control_no_key(key_id, diag) : failed(st, diag);
    sqlite3_finalize(q);
    return err;
}

/* Whether the tenant may have the key that was just inserted. */
static ox_err
check_room(struct sqlite_store *st, const struct ox_control_key *key, struct ox_diag *diag)
{
    sqlite3_stmt *q;
    ox_err err = prepare(st,
                         "SELECT count(*) FROM api_keys WHERE tenant_id = ?1 AND (created_at > ?2 - ?3"
                         " OR (revoked_at = 0 AND (expires_at = 0 OR expires_at > ?2)))",
                         &q, diag);
    if (err != OX_OK)
        return err;
    bind_text(q, 1, key->tenant.name);
    bind_int(q, 2, key->created_s);
    bind_int(q, 3, OX__KEYS_RECENT_S);
    err = sqlite3_step(q) == SQLITE_ROW
              ? ox__control_room_for_key(&st->base, &key->tenant, (uint64_t)sqlite3_column_int64(q, 0), diag)
              : failed(st, diag);
    sqlite3_finalize(q);
    return err;
}

static ox_err
insert_key(struct sqlite_store *st, const struct ox_control_key *key, struct ox_diag *diag)
{
    struct ox_control_tenant tenant;
    sqlite3_stmt *q;
    ox_err err = find_tenant(st, &key->tenant, &tenant, diag);
    if (err == OX_OK)
        err = ox__control_may_have_key(&tenant, diag);
    if (err == OX_OK)
        err = prepare(st,
                      "INSERT INTO api_keys (" KEY_COLUMNS ") VALUES"
                      " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, 0, ?10)",
                      &q, diag);
    if (err != OX_OK)
        return err;
    bind_text(q, 1, key->id);
    bind_text(q, 2, key->tenant.name);
    bind_text(q, 3, key->name);
    bind_digest(q, 4, key->digest);
    bind_text(q, 5, key->fingerprint);
    bind_int(q, 6, key->scopes);
    bind_text(q, 7, ox_role_name(key->role));
    bind_int(q, 8, key->created_s);
    bind_int(q, 9, key->expires_s);
    bind_text(q, 10, key->rotated_from);
    err = run(st, q, NULL, diag);
    if (err == OX_E_EXISTS)
        return ox_diag_set(diag, err, "key", -1, "there is a key %s already", key->id);
    return err == OX_OK ? check_room(st, key, diag) : err;
}

static ox_err
key_create(struct ox_control_store *self, const struct ox_control_asker *asker,
           const struct ox_control_key *key, struct ox_diag *diag)
{
    struct sqlite_store *st = (struct sqlite_store *)self;
    ox_err err = begin_order(st, asker, diag);
    if (err != OX_OK)
        return err;
    err = insert_key(st, key, diag);
    if (err == OX_OK)
        err = note_change(st, &key->tenant, key->digest, diag);
    return end(st, err, true, diag);
}

static ox_err
key_get(struct ox_control_store *self, const struct ox_tenant_id *tenant, const char *key_id,
        struct ox_control_key *out, struct ox_diag *diag)
{
    struct sqlite_store *st = (struct sqlite_store *)self;
    ox_err err = enter(st, diag);
    if (err != OX_OK)
        return err;
    err = find_key(st, tenant, key_id, out, diag);
    ox_unlock(&st->lock);
    return err;
}

static ox_err
read_keys(struct sqlite_store *st, const struct ox_tenant_id *tenant, const char *after,
          struct ox_control_key *out, size_t *n, struct ox_diag *diag)
{
    size_t room = *n;
    sqlite3_stmt *q;
    *n = 0;
    ox_err err = prepare(st,
                         "SELECT " KEY_COLUMNS " FROM api_keys WHERE key_id > ?1"
                         " AND (?2 IS NULL OR tenant_id = ?2) ORDER BY key_id LIMIT ?3",
                         &q, diag);
    if (err != OX_OK)
        return err;
    bind_text(q, 1, after);
    if (tenant != NULL)
        bind_text(q, 2, tenant->name);
    bind_int(q, 3, (int64_t)room);
    int code = SQLITE_DONE;
    while (err == OX_OK && *n < room && (code = sqlite3_step(q)) == SQLITE_ROW)
        err = read_key(q, &out[(*n)++], diag);
    if (err == OX_OK && code != SQLITE_ROW && code != SQLITE_DONE)
        err = failed(st, diag);
    sqlite3_finalize(q);
    return err;
}

static ox_err
key_list(struct ox_control_store *self, const struct ox_tenant_id *tenant, const char *after,
         struct ox_control_key *out, size_t *n, struct ox_diag *diag)
{
    struct sqlite_store *st = (struct sqlite_store *)self;
    ox_err err = enter(st, diag);
    if (err != OX_OK)
        return err;
    err = read_keys(st, tenant, after, out, n, diag);
    ox_unlock(&st->lock);
    return err;
}

/* Sets one of the times of a key. *changed: rows, may be NULL. */
static ox_err
stamp_key(struct sqlite_store *st, const char *sql, const struct ox_tenant_id *tenant, const char *key_id,
          int64_t time_s, int *changed, struct ox_diag *diag)
{
    sqlite3_stmt *q;
    ox_err err = prepare(st, sql, &q, diag);
    if (err != OX_OK)
        return err;
    bind_text(q, 1, key_id);
    bind_text(q, 2, tenant->name);
    bind_int(q, 3, time_s);
    return run(st, q, changed, diag);
}

static ox_err
key_revoke(struct ox_control_store *self, const struct ox_control_asker *asker,
           const struct ox_tenant_id *tenant, const char *key_id, int64_t now_s, struct ox_control_key *out,
           struct ox_diag *diag)
{
    struct sqlite_store *st = (struct sqlite_store *)self;
    int revoked = 0;
    ox_err err = begin_order(st, asker, diag);
    if (err != OX_OK)
        return err;
    err = stamp_key(
        st, "UPDATE api_keys SET revoked_at = ?3 WHERE key_id = ?1 AND tenant_id = ?2 AND revoked_at = 0",
        tenant, key_id, now_s, &revoked, diag);
    if (err == OX_OK)
        err = find_key(st, tenant, key_id, out, diag);
    if (err == OX_OK && revoked > 0)
        err = note_change(st, tenant, out->digest, diag);
    return end(st, err, revoked > 0, diag);
}

static ox_err
key_rotate(struct ox_control_store *self, const struct ox_control_asker *asker,
           const struct ox_control_key *fresh, int64_t now_s, int64_t old_expires_s, struct ox_diag *diag)
{
    struct sqlite_store *st = (struct sqlite_store *)self;
    struct ox_control_key old;
    ox_err err = begin_order(st, asker, diag);
    if (err != OX_OK)
        return err;
    err = find_key(st, &fresh->tenant, fresh->rotated_from, &old, diag);
    if (err == OX_OK)
        err = ox__control_may_rotate(&old, now_s, diag);
    if (err == OX_OK)
        err = insert_key(st, fresh, diag);
    if (err == OX_OK)
        err = stamp_key(st,
                        "UPDATE api_keys SET expires_at = ?3 WHERE key_id = ?1 AND tenant_id = ?2"
                        " AND (expires_at = 0 OR expires_at > ?3)",
                        &fresh->tenant, fresh->rotated_from, old_expires_s, NULL, diag);
    if (err == OX_OK)
        err = note_change(st, &fresh->tenant, old.digest, diag);
    if (err == OX_OK)
        err = note_change(st, &fresh->tenant, fresh->digest, diag);
    return end(st, err, true, diag);
}

static ox_err
read_by_digest(struct sqlite_store *st, const uint8_t *digest, struct ox_control_key *out,
               enum ox_tenant_state *state, struct ox_diag *diag)
{
    struct ox_control_tenant tenant;
    sqlite3_stmt *q;
    ox_err err = prepare(st, "SELECT " KEY_COLUMNS " FROM api_keys WHERE digest = ?1", &q, diag);
    if (err != OX_OK)
        return err;
    bind_digest(q, 1, digest);
    int code = sqlite3_step(q);
    if (code == SQLITE_ROW)
        err = read_key(q, out, diag);
    else
        err = code == SQLITE_DONE ? ox_diag_set(diag, OX_E_NOT_FOUND, "key", -1, "there is no such key")
                                  : failed(st, diag);
    sqlite3_finalize(q);
    if (err == OX_OK)
        err = find_tenant(st, &out->tenant, &tenant, diag);
    if (err == OX_OK)
        *state = tenant.state;
    return err;
}

static ox_err
key_by_digest(struct ox_control_store *self, const uint8_t digest[OX_KEY_DIGEST_BYTES],
              struct ox_control_key *out, enum ox_tenant_state *state, struct ox_diag *diag)
{
    struct sqlite_store *st = (struct sqlite_store *)self;
    ox_err err = enter(st, diag);
    if (err != OX_OK)
        return err;
    err = read_by_digest(st, digest, out, state, diag);
    ox_unlock(&st->lock);
    return err;
}

/* Under the lock. */
static ox_err
is_same(struct sqlite_store *st, sqlite3_stmt *q, const struct ox_control_seen *seen, bool *same,
        struct ox_diag *diag)
{
    bind_digest(q, 1, seen->digest);
    bind_int(q, 2, seen->expires_s);
    int code = sqlite3_step(q);
    *same = code == SQLITE_ROW;
    ox_err err = code == SQLITE_ROW || code == SQLITE_DONE ? OX_OK : failed(st, diag);
    (void)sqlite3_reset(q); /* repeats the error of the step */
    return err;
}

static ox_err
keys_same(struct ox_control_store *self, const struct ox_control_seen *seen, size_t n, bool *same,
          struct ox_diag *diag)
{
    struct sqlite_store *st = (struct sqlite_store *)self;
    sqlite3_stmt *q;
    ox_err err = enter(st, diag);
    if (err != OX_OK)
        return err;
    err = prepare(st,
                  "SELECT 1 FROM api_keys k JOIN tenants t ON t.tenant_id = k.tenant_id WHERE k.digest = ?1"
                  " AND k.expires_at = ?2 AND k.revoked_at = 0 AND t.state = 'active'",
                  &q, diag);
    for (size_t i = 0; err == OX_OK && i < n; i++)
        err = is_same(st, q, &seen[i], &same[i], diag);
    sqlite3_finalize(q);
    ox_unlock(&st->lock);
    return err;
}

static ox_err
keys_used(struct ox_control_store *self, const struct ox_control_use *uses, size_t n, struct ox_diag *diag)
{
    struct sqlite_store *st = (struct sqlite_store *)self;
    ox_err err = begin(st, diag);
    if (err != OX_OK)
        return err;
    for (size_t i = 0; err == OX_OK && i < n; i++)
        err = stamp_key(st,
                        "UPDATE api_keys SET last_used_at = ?3 WHERE key_id = ?1 AND tenant_id = ?2"
                        " AND last_used_at < ?3",
                        &uses[i].tenant, uses[i].key_id, uses[i].used_s, NULL, diag);
    return end(st, err, false, diag);
}

/* ---- changes ---- */

static ox_err
newest_change(struct sqlite_store *st, uint64_t *seq, struct ox_diag *diag)
{
    sqlite3_stmt *q;
    ox_err err = prepare(st, "SELECT coalesce(max(seq), 0) FROM control_changes", &q, diag);
    if (err != OX_OK)
        return err;
    if (sqlite3_step(q) == SQLITE_ROW)
        *seq = (uint64_t)sqlite3_column_int64(q, 0);
    else
        err = failed(st, diag);
    sqlite3_finalize(q);
    return err;
}

static ox_err
read_changes(struct sqlite_store *st, uint64_t *cursor, struct ox_control_change *out, size_t room, size_t *n,
             struct ox_diag *diag)
{
    sqlite3_stmt *q;
    ox_err err =
        prepare(st, "SELECT seq, tenant_id, digest FROM control_changes WHERE seq > ?1 ORDER BY seq LIMIT ?2",
                &q, diag);
    if (err != OX_OK)
        return err;
    bind_int(q, 1, (int64_t)*cursor);
    bind_int(q, 2, (int64_t)room);
    int code = SQLITE_DONE;
    while (*n < room && (code = sqlite3_step(q)) == SQLITE_ROW) {
        struct ox_control_change *change = &out[(*n)++];
        change->whole_tenant = sqlite3_column_type(q, 2) == SQLITE_NULL;
        if (!column_text(q, 1, change->tenant.name, sizeof(change->tenant.name)) ||
            (!change->whole_tenant && !column_digest(q, 2, change->digest))) {
            err = ox__control_damaged("control_changes", diag);
            break;
        }
        *cursor = (uint64_t)sqlite3_column_int64(q, 0);
    }
    if (err == OX_OK && code != SQLITE_ROW && code != SQLITE_DONE)
        err = failed(st, diag);
    sqlite3_finalize(q);
    return err;
}

static ox_err
changes(struct ox_control_store *self, uint64_t *cursor, struct ox_control_change *out, size_t *n, bool *lost,
        struct ox_diag *diag)
{
    struct sqlite_store *st = (struct sqlite_store *)self;
    size_t room = *n;
    uint64_t newest = 0;
    *n = 0;
    *lost = false;
    ox_err err = enter(st, diag);
    if (err != OX_OK)
        return err;
    err = newest_change(st, &newest, diag);
    /* A file that was put back to an earlier state has fewer than we have seen. */
    *lost = err == OX_OK && *cursor != OX_CONTROL_FROM_NOW &&
            (*cursor > newest || newest - *cursor > OX__CHANGES_KEPT);
    if (err == OX_OK && (*lost || *cursor == OX_CONTROL_FROM_NOW))
        *cursor = newest;
    else if (err == OX_OK)
        err = read_changes(st, cursor, out, room, n, diag);
    ox_unlock(&st->lock);
    return err;
}

static ox_err
wait_news(struct ox_control_store *self, uint32_t timeout_ms, struct ox_diag *diag)
{
    struct sqlite_store *st = (struct sqlite_store *)self;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + (uint64_t)timeout_ms * 1000000;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    ox_lock(&st->news_lock);
    while (!st->news && pthread_cond_timedwait(&st->written, &st->news_lock, &until) == 0) {
    }
    st->news = false;
    ox_unlock(&st->news_lock);
    return OX_OK;
}

/* ---- opening and closing ---- */

static void
close_store(struct ox_control_store *self)
{
    struct sqlite_store *st = (struct sqlite_store *)self;
    (void)sqlite3_close(st->db); /* no statement is left: each call ends its own */
    pthread_cond_destroy(&st->written);
    pthread_mutex_destroy(&st->news_lock);
    pthread_mutex_destroy(&st->lock);
    free(st);
}

static ox_err
read_applied(struct sqlite_store *st, bool *done, struct ox_diag *diag)
{
    sqlite3_stmt *q;
    ox_err err = prepare(st, "SELECT number, name, sum FROM schema_migrations ORDER BY number", &q, diag);
    int code = SQLITE_DONE;
    while (err == OX_OK && (code = sqlite3_step(q)) == SQLITE_ROW) {
        char name[80] = "", sum[OX__MIGRATION_SUM_MAX] = "";
        if (!column_text(q, 1, name, sizeof(name)) || !column_text(q, 2, sum, sizeof(sum)))
            err = ox__control_damaged("schema_migrations", diag);
        else
            err = ox__control_migration_seen(ox_schema_sqlite, ox_schema_sqlite_count,
                                             (long)sqlite3_column_int64(q, 0), name, sum, done, diag);
    }
    if (err == OX_OK && code != SQLITE_DONE)
        err = failed(st, diag);
    sqlite3_finalize(q);
    return err;
}

static ox_err
apply(struct sqlite_store *st, const struct ox_migration *m, struct ox_diag *diag)
{
    char sum[OX__MIGRATION_SUM_MAX];
    sqlite3_stmt *q;
    ox_err err = exec(st, m->sql, diag);
    if (err == OX_OK)
        err = prepare(st, "INSERT INTO schema_migrations (number, name, sum) VALUES (?1, ?2, ?3)", &q, diag);
    if (err != OX_OK)
        return err;
    ox__control_migration_sum(m, sum);
    bind_int(q, 1, m->number);
    bind_text(q, 2, m->name);
    bind_text(q, 3, sum);
    return run(st, q, NULL, diag);
}

/* All of it in one transaction that nobody else can write beside. */
static ox_err
migrate(struct sqlite_store *st, struct ox_diag *diag)
{
    bool done[OX__MIGRATIONS_MAX] = {false};
    OX_ASSERT(ox_schema_sqlite_count <= OX__MIGRATIONS_MAX);
    ox_err err = exec(st, "BEGIN EXCLUSIVE", diag);
    if (err != OX_OK)
        return err;
    err = exec(st,
               "CREATE TABLE IF NOT EXISTS schema_migrations"
               " (number INTEGER PRIMARY KEY, name TEXT NOT NULL, sum TEXT NOT NULL) STRICT",
               diag);
    if (err == OX_OK)
        err = read_applied(st, done, diag);
    for (size_t i = 0; err == OX_OK && i < ox_schema_sqlite_count; i++) {
        if (!done[i])
            err = apply(st, &ox_schema_sqlite[i], diag);
    }
    if (err == OX_OK)
        err = exec(st, "COMMIT", diag);
    if (err != OX_OK)
        (void)exec(st, "ROLLBACK", NULL);
    return err;
}

/* SQLite gives the files beside it the mode of this one. */
static ox_err
make_private(const char *path, struct ox_diag *diag)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || fchmod(fd, 0600) != 0) {
        int errnum = errno;
        if (fd >= 0)
            close(fd);
        return ox_diag_set(diag, ox_err_from_errno(errnum), "control.db", -1, "%s cannot be opened: %s", path,
                           strerror(errnum));
    }
    close(fd);
    return OX_OK;
}

/* On failure the store is closed again. */
static ox_err
open_db(struct sqlite_store *st, struct ox_diag *diag)
{
    ox_err err = make_private(st->path, diag);
    if (err != OX_OK)
        return err;
    if (sqlite3_open_v2(st->path, &st->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        err = st->db != NULL ? failed(st, diag) : OX_E_NOMEM;
    if (err == OX_OK) {
        sqlite3_busy_timeout(st->db, BUSY_MS);
        err = exec(st,
                   "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                   "PRAGMA trusted_schema = OFF;",
                   diag);
    }
    if (err == OX_OK)
        err = migrate(st, diag);
    if (err != OX_OK) {
        (void)sqlite3_close(st->db);
        st->db = NULL;
    }
    return err;
}

static const struct ox_control_store sqlite_calls = {
    .kind = "sqlite",
    .may_still = may_still,
    .tenant_create = tenant_create,
    .tenant_get = tenant_get,
    .tenant_list = tenant_list,
    .tenant_set = tenant_set,
    .key_create = key_create,
    .key_get = key_get,
    .key_list = key_list,
    .key_revoke = key_revoke,
    .key_rotate = key_rotate,
    .key_by_digest = key_by_digest,
    .keys_same = keys_same,
    .keys_used = keys_used,
    .changes = changes,
    .wait = wait_news,
    .wake = wake,
    .close = close_store,
};

ox_err
ox_control_open_sqlite(const char *path, struct ox_control_store **out, struct ox_diag *diag)
{
    struct sqlite_store *st = calloc(1, sizeof(*st));
    pthread_condattr_t monotonic;
    *out = NULL;
    if (st == NULL)
        return OX_E_NOMEM;
    st->base = sqlite_calls;
    pthread_mutex_init(&st->lock, NULL);
    pthread_mutex_init(&st->news_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&st->written, &monotonic);
    pthread_condattr_destroy(&monotonic);
    snprintf(st->path, sizeof(st->path), "%s", path);
    ox_err err = enter(st, diag);
    if (err == OX_OK)
        ox_unlock(&st->lock);
    if (err == OX_OK || err == OX_E_UNAVAILABLE)
        *out = &st->base;
    else
        close_store(&st->base);
    return err;
}
