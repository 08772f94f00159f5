/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/users_sqlite.c - users and sessions in DIR/control.db, see include/ox/user_store.h.
 *
 * Owns:    one connection beside the control store's.
 * Threads: one at a time: `lock`.
 * Fails:   see there. A transaction that fails leaves nothing behind.
 * Flow:    see there. Who waits for changes hears of this one when he looks, within half a second.
 */
#include <sqlite3.h>
#include <stdlib.h>

#include "actors/control/sqlite_asker.h"
#include "actors/control/users_record.h"
#include "ox/lock.h"

#define BUSY_MS 5000

struct users_sqlite {
    struct ox_user_store base;
    sqlite3 *db;
    pthread_mutex_t lock;
};

/* ---- statements ---- */

static ox_err
failed(struct users_sqlite *st, struct ox_diag *diag)
{
    int code = sqlite3_errcode(st->db);
    ox_err err = code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? OX_E_CORRUPT : OX_E_UNAVAILABLE;
    if (code == SQLITE_CONSTRAINT)
        err = OX_E_EXISTS;
    return ox_diag_set(diag, err, "control.db", -1, "the control plane's file does not answer: %s",
                       sqlite3_errmsg(st->db));
}

static ox_err
exec(struct users_sqlite *st, const char *sql, struct ox_diag *diag)
{
    return sqlite3_exec(st->db, sql, NULL, NULL, NULL) == SQLITE_OK ? OX_OK : failed(st, diag);
}

/* A value of a statement: a text, a digest or a number. */
struct value {
    const char *text;
    const uint8_t *digest;
    int64_t number;
};
#define T(t) ((struct value){.text = (t)})
#define D(d) ((struct value){.digest = (d)})
#define N(n) ((struct value){.number = (n)})

/* Binding fails for lack of memory only, and then the step does. */
static ox_err
prepare(struct users_sqlite *st, const char *sql, const struct value *values, int n, sqlite3_stmt **out,
        struct ox_diag *diag)
{
    if (sqlite3_prepare_v2(st->db, sql, -1, out, NULL) != SQLITE_OK)
        return failed(st, diag);
    for (int i = 0; i < n; i++) {
        if (values[i].text != NULL)
            (void)sqlite3_bind_text(*out, i + 1, values[i].text, -1, SQLITE_STATIC);
        else if (values[i].digest != NULL)
            (void)sqlite3_bind_blob(*out, i + 1, values[i].digest, OX_KEY_DIGEST_BYTES, SQLITE_STATIC);
        else
            (void)sqlite3_bind_int64(*out, i + 1, values[i].number);
    }
    return OX_OK;
}

/* A statement without a result. *changed: rows, may be NULL. */
static ox_err
run(struct users_sqlite *st, const char *sql, const struct value *values, int n, int *changed,
    struct ox_diag *diag)
{
    sqlite3_stmt *q;
    ox_err err = prepare(st, sql, values, n, &q, diag);
    if (err != OX_OK)
        return err;
    err = sqlite3_step(q) == SQLITE_DONE ? OX_OK : failed(st, diag);
    if (changed != NULL)
        *changed = sqlite3_changes(st->db);
    sqlite3_finalize(q);
    return err;
}
#define RUN(st, sql, changed, diag, ...)                                                                     \
    run(st, sql, (const struct value[]){__VA_ARGS__},                                                        \
        (int)(sizeof((const struct value[]){__VA_ARGS__}) / sizeof(struct value)), changed, diag)

static const char *
text(sqlite3_stmt *q, int i)
{
    return (const char *)sqlite3_column_text(q, i);
}

/* ---- transactions ---- */

static ox_err
begin(struct users_sqlite *st, const struct ox_control_asker *asker, struct ox_diag *diag)
{
    ox_lock(&st->lock);
    ox_err err = exec(st, "BEGIN IMMEDIATE", diag);
    if (err != OX_OK) {
        ox_unlock(&st->lock);
        return err;
    }
    err = ox__sqlite_check_asker(st->db, asker, diag);
    if (err != OX_OK) {
        (void)exec(st, "ROLLBACK", NULL);
        ox_unlock(&st->lock);
    }
    return err;
}

static ox_err
end(struct users_sqlite *st, ox_err err, struct ox_diag *diag)
{
    if (err == OX_OK)
        err = exec(st, "COMMIT", diag);
    if (err != OX_OK)
        (void)exec(st, "ROLLBACK", NULL);
    ox_unlock(&st->lock);
    return err;
}

static ox_err
note_change(struct users_sqlite *st, const struct ox_tenant_id *tenant, struct ox_diag *diag)
{
    return RUN(st,
               "INSERT INTO control_changes (seq, tenant_id, digest)"
               " SELECT coalesce(max(seq), 0) + 1, ?1, NULL FROM control_changes",
               NULL, diag, T(tenant->name));
}

/* ---- users ---- */

static ox_err
read_user(sqlite3_stmt *q, struct ox_user *out, struct ox_diag *diag)
{
    bool ok = ox__user_texts(out, text(q, 0), text(q, 1), text(q, 2), text(q, 3), text(q, 4), text(q, 9));
    out->created_s = sqlite3_column_int64(q, 5);
    out->changed_s = sqlite3_column_int64(q, 6);
    out->password_s = sqlite3_column_int64(q, 7);
    out->login_s = sqlite3_column_int64(q, 8);
    return ok ? OX_OK : ox__control_damaged("users", diag);
}

/* Under the lock. */
static ox_err
find_user(struct users_sqlite *st, const char *tenant, const char *name, struct ox_user *out,
          struct ox_diag *diag)
{
    sqlite3_stmt *q;
    ox_err err = prepare(st, "SELECT " OX__USER_COLUMNS " FROM users u WHERE tenant_id = ?1 AND name = ?2",
                         (const struct value[]){T(tenant), T(name)}, 2, &q, diag);
    if (err != OX_OK)
        return err;
    int code = sqlite3_step(q);
    if (code == SQLITE_ROW)
        err = read_user(q, out, diag);
    else
        err = code == SQLITE_DONE ? ox__user_none(diag) : failed(st, diag);
    sqlite3_finalize(q);
    return err;
}

static ox_err
check_tenant(struct users_sqlite *st, const struct ox_tenant_id *id, struct ox_diag *diag)
{
    sqlite3_stmt *q;
    ox_err err = prepare(st,
                         "SELECT state, (SELECT count(*) FROM users WHERE tenant_id = ?1) FROM tenants"
                         " WHERE tenant_id = ?1",
                         (const struct value[]){T(id->name)}, 1, &q, diag);
    if (err != OX_OK)
        return err;
    int code = sqlite3_step(q);
    if (code == SQLITE_ROW)
        err = ox__user_may_be(text(q, 0), sqlite3_column_int64(q, 1), diag);
    else
        err = code == SQLITE_DONE ? ox__control_no_tenant(id, diag) : failed(st, diag);
    sqlite3_finalize(q);
    return err;
}

static ox_err
insert(struct users_sqlite *st, const struct ox_user *u, struct ox_diag *diag)
{
    ox_err err = check_tenant(st, &u->tenant, diag);
    if (err == OX_OK)
        err = RUN(
            st,
            "INSERT INTO users (tenant_id, name, role, state, password, created_at, changed_at, password_at)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?6)",
            NULL, diag, T(u->tenant.name), T(u->name), T(ox_role_name(u->role)), T(ox__user_state(u->active)),
            T(u->password), N(u->created_s));
    return err == OX_E_EXISTS ? ox__user_exists(u->name, diag) : err;
}

static ox_err
create(struct ox_user_store *self, const struct ox_control_asker *asker, const struct ox_user *u,
       struct ox_diag *diag)
{
    struct users_sqlite *st = (struct users_sqlite *)self;
    ox_err err = begin(st, asker, diag);
    return err == OX_OK ? end(st, insert(st, u, diag), diag) : err;
}

static ox_err end_sessions(struct users_sqlite *st, const struct ox_tenant_id *tenant, const char *name,
                           struct ox_diag *diag);

static ox_err
update_kept(struct users_sqlite *st, const struct ox_user *u, const struct ox_user *was, struct ox_diag *diag)
{
    if (!was->active || strcmp(was->password, u->password) != 0)
        return ox__user_another(diag);
    if (was->role == u->role)
        return OX_OK;
    ox_err err = RUN(st, "UPDATE users SET role = ?3, changed_at = ?4 WHERE tenant_id = ?1 AND name = ?2",
                     NULL, diag, T(u->tenant.name), T(u->name), T(ox_role_name(u->role)), N(u->created_s));
    return err == OX_OK ? end_sessions(st, &u->tenant, u->name, diag) : err;
}

static ox_err
keep(struct ox_user_store *self, const struct ox_user *u, struct ox_diag *diag)
{
    struct users_sqlite *st = (struct users_sqlite *)self;
    struct ox_user was;
    ox_err err = begin(st, NULL, diag);
    if (err != OX_OK)
        return err;
    err = find_user(st, u->tenant.name, u->name, &was, diag);
    if (err == OX_OK)
        err = update_kept(st, u, &was, diag);
    else if (err == OX_E_NOT_FOUND)
        err = insert(st, u, diag);
    return end(st, err, diag);
}

static ox_err
get(struct ox_user_store *self, const struct ox_tenant_id *tenant, const char *name, struct ox_user *out,
    struct ox_diag *diag)
{
    struct users_sqlite *st = (struct users_sqlite *)self;
    ox_lock(&st->lock);
    ox_err err = find_user(st, tenant->name, name, out, diag);
    ox_unlock(&st->lock);
    return err;
}

static ox_err
list(struct ox_user_store *self, const struct ox_tenant_id *tenant, const char *after_tenant,
     const char *after_name, struct ox_user *out, size_t *n, struct ox_diag *diag)
{
    struct users_sqlite *st = (struct users_sqlite *)self;
    size_t room = *n;
    sqlite3_stmt *q;
    int code = SQLITE_DONE;
    *n = 0;
    ox_lock(&st->lock);
    ox_err err = prepare(st,
                         "SELECT " OX__USER_COLUMNS " FROM users u WHERE (?1 = '' OR tenant_id = ?1)"
                         " AND (tenant_id, name) > (?2, ?3) ORDER BY tenant_id, name LIMIT ?4",
                         (const struct value[]){T(tenant != NULL ? tenant->name : ""), T(after_tenant),
                                                T(after_name), N((int64_t)room)},
                         4, &q, diag);
    if (err == OX_OK) {
        while (err == OX_OK && *n < room && (code = sqlite3_step(q)) == SQLITE_ROW)
            err = read_user(q, &out[(*n)++], diag);
        if (err == OX_OK && code != SQLITE_ROW && code != SQLITE_DONE)
            err = failed(st, diag);
        sqlite3_finalize(q);
    }
    ox_unlock(&st->lock);
    return err;
}

static ox_err
end_sessions(struct users_sqlite *st, const struct ox_tenant_id *tenant, const char *name,
             struct ox_diag *diag)
{
    ox_err err = RUN(st, "DELETE FROM sessions WHERE tenant_id = ?1 AND user_name = ?2", NULL, diag,
                     T(tenant->name), T(name));
    return err == OX_OK ? note_change(st, tenant, diag) : err;
}

static ox_err
change(struct ox_user_store *self, const struct ox_control_asker *asker, const struct ox_tenant_id *tenant,
       const char *name, const struct ox_user_change *c, struct ox_user *out, struct ox_diag *diag)
{
    struct users_sqlite *st = (struct users_sqlite *)self;
    ox_err err = begin(st, asker, diag);
    if (err != OX_OK)
        return err;
    err = RUN(
        st,
        "UPDATE users SET changed_at = ?3, role = coalesce(nullif(?4, ''), role),"
        " state = coalesce(nullif(?5, ''), state), password = coalesce(nullif(?6, ''), password),"
        " password_at = CASE WHEN ?6 = '' THEN password_at ELSE ?3 END WHERE tenant_id = ?1 AND name = ?2",
        NULL, diag, T(tenant->name), T(name), N(c->now_s), T(c->role != NULL ? ox_role_name(*c->role) : ""),
        T(c->active != NULL ? ox__user_state(*c->active) : ""), T(c->password != NULL ? c->password : ""));
    if (err == OX_OK)
        err = find_user(st, tenant->name, name, out, diag);
    if (err == OX_OK)
        err = end_sessions(st, tenant, name, diag);
    return end(st, err, diag);
}

/* ---- sessions ---- */

/* What has ended, and of the user's all but the newest. */
static ox_err
sweep(struct users_sqlite *st, const struct ox_session *s, int64_t seen_after_s, struct ox_diag *diag)
{
    ox_err err = RUN(st, "DELETE FROM sessions WHERE tenant_id = ?1 AND (expires_at <= ?2 OR seen_at < ?3)",
                     NULL, diag, T(s->tenant.name), N(s->created_s), N(seen_after_s));
    if (err != OX_OK)
        return err;
    return RUN(st,
               "DELETE FROM sessions WHERE tenant_id = ?1 AND user_name = ?2 AND digest NOT IN (SELECT digest"
               " FROM sessions WHERE tenant_id = ?1 AND user_name = ?2 ORDER BY created_at DESC LIMIT ?3)",
               NULL, diag, T(s->tenant.name), T(s->user), N(OX_SESSIONS_MAX - 1));
}

static ox_err
login(struct ox_user_store *self, const struct ox_session *s, const char *password, const char *peer,
      int64_t seen_after_s, struct ox_diag *diag)
{
    struct users_sqlite *st = (struct users_sqlite *)self;
    int changed = 0;
    ox_err err = begin(st, NULL, diag);
    if (err != OX_OK)
        return err;
    err = RUN(
        st,
        "UPDATE users SET login_at = ?4, login_peer = ?5 WHERE tenant_id = ?1 AND name = ?2 AND password = ?3"
        " AND state = 'active' AND (SELECT state FROM tenants WHERE tenant_id = ?1) = 'active'",
        &changed, diag, T(s->tenant.name), T(s->user), T(password), N(s->created_s), T(peer));
    if (err == OX_OK && changed != 1)
        err = ox__login_refused(diag);
    if (err == OX_OK)
        err = sweep(st, s, seen_after_s, diag);
    if (err == OX_OK)
        err = RUN(st,
                  "INSERT INTO sessions (digest, tenant_id, user_name, created_at, seen_at, expires_at)"
                  " VALUES (?1, ?2, ?3, ?4, ?4, ?5)",
                  NULL, diag, D(s->digest), T(s->tenant.name), T(s->user), N(s->created_s), N(s->expires_s));
    return end(st, err, diag);
}

static ox_err
find_session(struct users_sqlite *st, const uint8_t *digest, int64_t now_s, int64_t seen_after_s,
             struct ox_session *out, struct ox_diag *diag)
{
    sqlite3_stmt *q;
    ox_err err =
        prepare(st,
                "SELECT s.tenant_id, s.user_name, s.created_at, s.seen_at, s.expires_at FROM sessions s"
                " JOIN tenants t ON t.tenant_id = s.tenant_id WHERE s.digest = ?1 AND s.expires_at > ?2"
                " AND s.seen_at >= ?3 AND t.state = 'active'",
                (const struct value[]){D(digest), N(now_s), N(seen_after_s)}, 3, &q, diag);
    if (err != OX_OK)
        return err;
    int code = sqlite3_step(q);
    memcpy(out->digest, digest, OX_KEY_DIGEST_BYTES);
    if (code == SQLITE_DONE)
        err = ox__session_none(diag);
    else if (code != SQLITE_ROW)
        err = failed(st, diag);
    else if (!ox__control_copy(out->tenant.name, sizeof(out->tenant.name), text(q, 0),
                               (size_t)sqlite3_column_bytes(q, 0)) ||
             !ox__control_copy(out->user, sizeof(out->user), text(q, 1), (size_t)sqlite3_column_bytes(q, 1)))
        err = ox__control_damaged("sessions", diag);
    out->created_s = sqlite3_column_int64(q, 2);
    out->seen_s = sqlite3_column_int64(q, 3);
    out->expires_s = sqlite3_column_int64(q, 4);
    sqlite3_finalize(q);
    return err;
}

static ox_err
session(struct ox_user_store *self, const uint8_t digest[OX_KEY_DIGEST_BYTES], int64_t now_s,
        int64_t seen_after_s, struct ox_session *out, struct ox_user *user, struct ox_diag *diag)
{
    struct users_sqlite *st = (struct users_sqlite *)self;
    ox_lock(&st->lock);
    ox_err err = find_session(st, digest, now_s, seen_after_s, out, diag);
    if (err == OX_OK)
        err = find_user(st, out->tenant.name, out->user, user, diag);
    if (err == OX_OK && !user->active)
        err = ox__session_none(diag);
    if (err == OX_OK && now_s - out->seen_s >= OX_SESSION_SEEN_S)
        err = RUN(st, "UPDATE sessions SET seen_at = ?2 WHERE digest = ?1", NULL, diag, D(digest), N(now_s));
    ox_unlock(&st->lock);
    return err;
}

static ox_err
logout(struct ox_user_store *self, const struct ox_tenant_id *tenant,
       const uint8_t digest[OX_KEY_DIGEST_BYTES], struct ox_diag *diag)
{
    struct users_sqlite *st = (struct users_sqlite *)self;
    ox_err err = begin(st, NULL, diag);
    if (err != OX_OK)
        return err;
    err = RUN(st, "DELETE FROM sessions WHERE tenant_id = ?1 AND digest = ?2", NULL, diag, T(tenant->name),
              D(digest));
    if (err == OX_OK)
        err = note_change(st, tenant, diag);
    return end(st, err, diag);
}

/* ---- opening and closing ---- */

static void
close_store(struct ox_user_store *self)
{
    struct users_sqlite *st = (struct users_sqlite *)self;
    (void)sqlite3_close(st->db);
    pthread_mutex_destroy(&st->lock);
    free(st);
}

static const struct ox_user_store calls = {.create = create,
                                           .keep = keep,
                                           .get = get,
                                           .list = list,
                                           .change = change,
                                           .login = login,
                                           .session = session,
                                           .logout = logout,
                                           .close = close_store};

ox_err
ox_user_store_sqlite(const char *path, struct ox_user_store **out, struct ox_diag *diag)
{
    *out = NULL;
    struct users_sqlite *st = calloc(1, sizeof(*st));
    if (st == NULL)
        return OX_E_NOMEM;
    st->base = calls;
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
