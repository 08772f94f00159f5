/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/users_postgres.c - users and sessions in PostgreSQL, see include/ox/user_store.h.
 *
 * Owns:    CONNECTIONS connections beside the control store's, and one for sessions alone, made when they are needed.
 * Threads: any that may block.
 * Bounds:  the time-outs of the control plane.
 * Fails:   see there. A call on a connection that broke is tried once more on a new one, unless it would do something twice.
 * Flow:    each call: connection -> BEGIN, on whose behalf -> its statements -> COMMIT, as in store_postgres.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/control/pg_asker.h"
#include "actors/control/pg_pool.h"
#include "actors/control/users_record.h"

#define CHANNEL     "observex_control"
#define CONNECTIONS 2

struct users_pg {
    struct ox_user_store base;
    struct pg_target target;
    struct pg_pool *pool;
};

enum statement {
    ON_BEHALF,
    TENANT_HOLD,
    USER_COUNT,
    USER_INSERT,
    USER_GET,
    USER_LIST,
    USER_CHANGE,
    USER_LOGIN,
    SESSION_SWEEP,
    SESSION_TRIM,
    SESSION_INSERT,
    SESSION_GET,
    SESSION_SEEN,
    SESSION_END,
    SESSIONS_END,
    TENANT_STATE,
    CHANGE_NOTE,
    STATEMENT__COUNT
};
_Static_assert(STATEMENT__COUNT <= PG_ASKER_STATEMENTS, "a bit for each");

static const char *const statements[STATEMENT__COUNT] = {
    [ON_BEHALF] = "SELECT set_config($1, $2, true)",
    /* Held, so that two at once do not both find room for one more. */
    [TENANT_HOLD] = "SELECT state FROM observex.tenants WHERE tenant_id = $1 FOR NO KEY UPDATE",
    [USER_COUNT] = "SELECT count(*) FROM observex.users WHERE tenant_id = $1",
    [USER_INSERT] = "INSERT INTO observex.users (tenant_id, name, role, state, password, created_at, "
                    "changed_at, password_at)"
                    " VALUES ($1, $2, $3, $4, $5, $6::bigint, $6::bigint, $6::bigint)",
    [USER_GET] = "SELECT " OX__USER_COLUMNS " FROM observex.users u WHERE u.tenant_id = $1 AND u.name = $2",
    [USER_LIST] = ("SELECT " OX__USER_COLUMNS " FROM observex.users u WHERE ($1 = '' OR u.tenant_id = $1)"
                   " AND (u.tenant_id COLLATE \"C\", u.name COLLATE \"C\") > ($2, $3)"
                   " ORDER BY u.tenant_id COLLATE \"C\", u.name COLLATE \"C\" LIMIT $4::bigint"),
    [USER_CHANGE] =
        ("UPDATE observex.users u SET changed_at = $3::bigint, role = coalesce(nullif($4, ''), role),"
         " state = coalesce(nullif($5, ''), state), password = coalesce(nullif($6, ''), password),"
         " password_at = CASE WHEN $6 = '' THEN password_at ELSE $3::bigint END"
         " WHERE tenant_id = $1 AND name = $2 RETURNING " OX__USER_COLUMNS),
    [USER_LOGIN] =
        "UPDATE observex.users SET login_at = $4::bigint, login_peer = $5"
        " WHERE tenant_id = $1 AND name = $2 AND password = $3 AND state = 'active' RETURNING name",
    [SESSION_SWEEP] = "DELETE FROM observex.sessions WHERE tenant_id = $1"
                      " AND (expires_at <= $2::bigint OR seen_at < $3::bigint)",
    [SESSION_TRIM] = "DELETE FROM observex.sessions WHERE tenant_id = $1 AND user_name = $2 AND digest NOT IN"
                     " (SELECT digest FROM observex.sessions WHERE tenant_id = $1 AND user_name = $2"
                     "  ORDER BY created_at DESC LIMIT $3::bigint)",
    [SESSION_INSERT] =
        "INSERT INTO observex.sessions (digest, tenant_id, user_name, created_at, seen_at, expires_at)"
        " VALUES (decode($1, 'hex'), $2, $3, $4::bigint, $4::bigint, $5::bigint)",
    [SESSION_GET] = "SELECT tenant_id, user_name, created_at, seen_at, expires_at FROM observex.sessions"
                    " WHERE digest = decode($1, 'hex') AND expires_at > $2::bigint AND seen_at >= $3::bigint",
    [SESSION_SEEN] = "UPDATE observex.sessions SET seen_at = $3::bigint"
                     " WHERE tenant_id = $1 AND digest = decode($2, 'hex')",
    [SESSION_END] = "DELETE FROM observex.sessions WHERE tenant_id = $1 AND digest = decode($2, 'hex')",
    [SESSIONS_END] = "DELETE FROM observex.sessions WHERE tenant_id = $1 AND user_name = $2",
    [TENANT_STATE] = "SELECT state FROM observex.tenants WHERE tenant_id = $1",
    [CHANGE_NOTE] = "WITH c AS (UPDATE observex.control_clock SET seq = seq + 1 RETURNING seq),"
                    " n AS (INSERT INTO observex.control_changes (seq, tenant_id, digest)"
                    "  SELECT c.seq, $1, NULL FROM c)"
                    " SELECT pg_notify('" CHANNEL "', '')",
};

static ox_err
run(struct pg_conn *c, enum statement s, int n, const char *const *params, PGresult **out,
    struct ox_diag *diag)
{
    return pg_conn_run(c, s, statements[s], n, params, out, diag);
}

/* ---- transactions ---- */

/* What a call was given, and where its answer goes; each uses its own part. */
struct call {
    const struct ox_control_asker *asker;
    const struct ox_tenant_id *tenant; /* NULL = all, of operators */
    const char *name, *after_tenant, *after_name;
    const struct ox_user *user;
    const struct ox_user_change *change;
    const struct ox_session *begun;
    const char *password, *peer, *digest;
    int64_t now_s, seen_after_s;
    struct ox_session *session;
    struct ox_user *users;
    size_t room, *n;
};
typedef ox_err (*op_fn)(struct pg_conn *c, const struct call *call, struct ox_diag *diag);

static ox_err
behalf(struct pg_conn *c, const char *setting, const char *value, struct ox_diag *diag)
{
    const char *params[] = {setting, value};
    return run(c, ON_BEHALF, 2, params, NULL, diag);
}

static ox_err
begin(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    ox_err err = pg_conn_exec(c, "BEGIN", NULL, diag);
    if (err == OX_OK && call->digest != NULL && call->tenant == NULL)
        err = behalf(c, "app.session_digest", call->digest, diag);
    else if (err == OX_OK)
        err = behalf(c, call->tenant != NULL ? "app.tenant_id" : "app.operator",
                     call->tenant != NULL ? call->tenant->name : "on", diag);
    return err == OX_OK ? pg_asker_hold(c, call->asker, diag) : err;
}

static ox_err
attempt(struct pg_conn *c, op_fn op, const struct call *call, struct ox_diag *diag)
{
    ox_err err = begin(c, call, diag);
    if (err == OX_OK)
        err = op(c, call, diag);
    if (err == OX_OK)
        return pg_conn_exec(c, "COMMIT", NULL, diag);
    if (!c->broken && pg_conn_exec(c, "ROLLBACK", NULL, NULL) != OX_OK)
        c->broken = true; /* a transaction of somebody else's behalf must not stay open */
    return err;
}

/* again: doing it twice is the same as once. */
static ox_err
transact(struct ox_user_store *self, enum pg_purpose purpose, const struct call *call, bool again, op_fn op,
         struct ox_diag *diag)
{
    struct users_pg *st = (struct users_pg *)self;
    for (int tries = again ? 2 : 1;; tries--) {
        struct pg_conn *c = NULL;
        bool fresh = false;
        ox_err err = pg_pool_take(st->pool, purpose, &c, &fresh, diag);
        if (err != OX_OK)
            return err;
        err = attempt(c, op, call, diag);
        bool broken = c->broken;
        pg_pool_give(st->pool, c);
        if (!broken || fresh || tries <= 1)
            return err;
    }
}

static ox_err
note_change(struct pg_conn *c, const struct ox_tenant_id *tenant, struct ox_diag *diag)
{
    const char *params[] = {tenant->name};
    return run(c, CHANGE_NOTE, 1, params, NULL, diag);
}

/* ---- users ---- */

static ox_err
read_user(const PGresult *r, int row, struct ox_user *out, struct ox_diag *diag)
{
    bool ok = ox__user_texts(out, pg_text(r, row, 0), pg_text(r, row, 1), pg_text(r, row, 2),
                             pg_text(r, row, 3), pg_text(r, row, 4), pg_text(r, row, 9));
    out->created_s = pg_int(r, row, 5);
    out->changed_s = pg_int(r, row, 6);
    out->password_s = pg_int(r, row, 7);
    out->login_s = pg_int(r, row, 8);
    return ok ? OX_OK : ox__control_damaged("users", diag);
}

static ox_err
check_tenant(struct pg_conn *c, const struct ox_tenant_id *id, struct ox_diag *diag)
{
    PGresult *state = NULL, *count = NULL;
    const char *params[] = {id->name};
    ox_err err = run(c, TENANT_HOLD, 1, params, &state, diag);
    if (err == OX_OK && PQntuples(state) != 1)
        err = ox__control_no_tenant(id, diag);
    if (err == OX_OK)
        err = run(c, USER_COUNT, 1, params, &count, diag);
    if (err == OX_OK)
        err = ox__user_may_be(pg_text(state, 0, 0), pg_int(count, 0, 0), diag);
    PQclear(state);
    PQclear(count);
    return err;
}

static ox_err
op_create(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    const struct ox_user *u = call->user;
    struct pg_number created;
    const char *params[] = {u->tenant.name,        u->name,
                            ox_role_name(u->role), ox__user_state(u->active),
                            u->password,           pg_print(&created, u->created_s)};
    ox_err err = check_tenant(c, &u->tenant, diag);
    if (err == OX_OK)
        err = run(c, USER_INSERT, 6, params, NULL, diag);
    return err == OX_E_EXISTS ? ox__user_exists(u->name, diag) : err;
}

static ox_err
create(struct ox_user_store *self, const struct ox_control_asker *asker, const struct ox_user *user,
       struct ox_diag *diag)
{
    const struct call call = {.asker = asker, .tenant = &user->tenant, .user = user};
    return transact(self, PG_ANY, &call, false, op_create, diag);
}

static ox_err
find_user(struct pg_conn *c, const char *tenant, const char *name, struct ox_user *out, struct ox_diag *diag)
{
    const char *params[] = {tenant, name};
    PGresult *r = NULL;
    ox_err err = run(c, USER_GET, 2, params, &r, diag);
    if (err == OX_OK)
        err = PQntuples(r) == 1 ? read_user(r, 0, out, diag) : ox__user_none(diag);
    PQclear(r);
    return err;
}

static ox_err
op_get(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    return find_user(c, call->tenant->name, call->name, call->users, diag);
}

static ox_err
get(struct ox_user_store *self, const struct ox_tenant_id *tenant, const char *name, struct ox_user *out,
    struct ox_diag *diag)
{
    const struct call call = {.tenant = tenant, .name = name, .users = out};
    return transact(self, PG_ANY, &call, true, op_get, diag);
}

/* Of two at once the second finds the first one's, or fails for it and is tried again by hand. */
static ox_err
op_keep(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    const struct ox_user *u = call->user;
    struct ox_user was;
    struct pg_number now;
    ox_err err = find_user(c, u->tenant.name, u->name, &was, diag);
    if (err == OX_E_NOT_FOUND)
        return op_create(c, call, diag);
    if (err == OX_OK && (!was.active || strcmp(was.password, u->password) != 0))
        return ox__user_another(diag);
    if (err != OX_OK || was.role == u->role)
        return err;
    const char *params[] = {u->tenant.name,        u->name, pg_print(&now, u->created_s),
                            ox_role_name(u->role), "",      ""};
    err = run(c, USER_CHANGE, 6, params, NULL, diag);
    if (err == OX_OK)
        err = run(c, SESSIONS_END, 2, params, NULL, diag);
    return err == OX_OK ? note_change(c, &u->tenant, diag) : err;
}

static ox_err
keep(struct ox_user_store *self, const struct ox_user *user, struct ox_diag *diag)
{
    const struct call call = {.tenant = &user->tenant, .user = user};
    return transact(self, PG_ANY, &call, true, op_keep, diag);
}

static ox_err
op_list(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    struct pg_number room;
    const char *params[] = {call->tenant != NULL ? call->tenant->name : "", call->after_tenant,
                            call->after_name, pg_print(&room, (int64_t)call->room)};
    PGresult *r = NULL;
    *call->n = 0;
    ox_err err = run(c, USER_LIST, 4, params, &r, diag);
    for (int i = 0; err == OX_OK && i < PQntuples(r) && *call->n < call->room; i++)
        err = read_user(r, i, &call->users[(*call->n)++], diag);
    PQclear(r);
    return err;
}

static ox_err
list(struct ox_user_store *self, const struct ox_tenant_id *tenant, const char *after_tenant,
     const char *after_name, struct ox_user *out, size_t *n, struct ox_diag *diag)
{
    const struct call call = {.tenant = tenant,
                              .after_tenant = after_tenant,
                              .after_name = after_name,
                              .users = out,
                              .room = *n,
                              .n = n};
    return transact(self, PG_ANY, &call, true, op_list, diag);
}

static ox_err
op_change(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    const struct ox_user_change *ch = call->change;
    struct pg_number now;
    const char *params[] = {call->tenant->name,
                            call->name,
                            pg_print(&now, ch->now_s),
                            ch->role != NULL ? ox_role_name(*ch->role) : "",
                            ch->active != NULL ? ox__user_state(*ch->active) : "",
                            ch->password != NULL ? ch->password : ""};
    PGresult *r = NULL;
    ox_err err = run(c, USER_CHANGE, 6, params, &r, diag);
    if (err == OX_OK)
        err = PQntuples(r) == 1 ? read_user(r, 0, call->users, diag) : ox__user_none(diag);
    PQclear(r);
    if (err == OX_OK)
        err = run(c, SESSIONS_END, 2, params, NULL, diag);
    return err == OX_OK ? note_change(c, call->tenant, diag) : err;
}

static ox_err
change(struct ox_user_store *self, const struct ox_control_asker *asker, const struct ox_tenant_id *tenant,
       const char *name, const struct ox_user_change *wanted, struct ox_user *out, struct ox_diag *diag)
{
    const struct call call = {.asker = asker, .tenant = tenant, .name = name, .change = wanted, .users = out};
    return transact(self, PG_ANY, &call, true, op_change, diag);
}

/* ---- sessions ---- */

/* What has ended, and of the user's all but the newest. */
static ox_err
sweep(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    const struct ox_session *s = call->begun;
    struct pg_number now, seen, kept;
    const char *ended[] = {s->tenant.name, pg_print(&now, s->created_s), pg_print(&seen, call->seen_after_s)};
    const char *old[] = {s->tenant.name, s->user, pg_print(&kept, OX_SESSIONS_MAX - 1)};
    ox_err err = run(c, SESSION_SWEEP, 3, ended, NULL, diag);
    return err == OX_OK ? run(c, SESSION_TRIM, 3, old, NULL, diag) : err;
}

/* One row, one column, of one text. */
static ox_err
expect(const PGresult *r, const char *value, ox_err (*otherwise)(struct ox_diag *), struct ox_diag *diag)
{
    return PQntuples(r) == 1 && strcmp(pg_text(r, 0, 0), value) == 0 ? OX_OK : otherwise(diag);
}

static ox_err
tenant_is_active(struct pg_conn *c, const char *tenant, ox_err (*otherwise)(struct ox_diag *),
                 struct ox_diag *diag)
{
    PGresult *r = NULL;
    ox_err err = run(c, TENANT_STATE, 1, &tenant, &r, diag);
    if (err == OX_OK)
        err = expect(r, "active", otherwise, diag);
    PQclear(r);
    return err;
}

static ox_err
op_login(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    const struct ox_session *s = call->begun;
    struct pg_number created, expires;
    const char *user[] = {s->tenant.name, s->user, call->password, pg_print(&created, s->created_s),
                          call->peer};
    const char *row[] = {call->digest, s->tenant.name, s->user, created.text,
                         pg_print(&expires, s->expires_s)};
    PGresult *r = NULL;
    ox_err err = tenant_is_active(c, s->tenant.name, ox__login_refused, diag);
    if (err == OX_OK)
        err = run(c, USER_LOGIN, 5, user, &r, diag);
    if (err == OX_OK)
        err = expect(r, s->user, ox__login_refused, diag);
    PQclear(r);
    if (err == OX_OK)
        err = sweep(c, call, diag);
    return err == OX_OK ? run(c, SESSION_INSERT, 5, row, NULL, diag) : err;
}

static ox_err
login(struct ox_user_store *self, const struct ox_session *s, const char *password, const char *peer,
      int64_t seen_after_s, struct ox_diag *diag)
{
    char hex[2 * OX_KEY_DIGEST_BYTES + 1];
    ox_hex_encode(s->digest, OX_KEY_DIGEST_BYTES, hex);
    const struct call call = {.tenant = &s->tenant,
                              .begun = s,
                              .password = password,
                              .peer = peer,
                              .digest = hex,
                              .seen_after_s = seen_after_s};
    return transact(self, PG_ANY, &call, false, op_login, diag);
}

static ox_err
find_session(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    struct ox_session *s = call->session;
    struct pg_number now, seen;
    const char *params[] = {call->digest, pg_print(&now, call->now_s), pg_print(&seen, call->seen_after_s)};
    PGresult *r = NULL;
    ox_err err = run(c, SESSION_GET, 3, params, &r, diag);
    if (err == OX_OK && PQntuples(r) != 1)
        err = ox__session_none(diag);
    if (err == OX_OK) {
        bool ok = ox__control_copy(s->tenant.name, sizeof(s->tenant.name), pg_text(r, 0, 0),
                                   (size_t)PQgetlength(r, 0, 0)) &&
                  ox__control_copy(s->user, sizeof(s->user), pg_text(r, 0, 1), (size_t)PQgetlength(r, 0, 1));
        s->created_s = pg_int(r, 0, 2);
        s->seen_s = pg_int(r, 0, 3);
        s->expires_s = pg_int(r, 0, 4);
        err = ok ? OX_OK : ox__control_damaged("sessions", diag);
    }
    PQclear(r);
    return err;
}

/* Whose it is is known with the session; the rest is read as he. */
static ox_err
op_session(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    struct pg_number now;
    const struct ox_session *s = call->session;
    ox_err err = find_session(c, call, diag);
    if (err == OX_OK)
        err = behalf(c, "app.tenant_id", s->tenant.name, diag);
    if (err == OX_OK)
        err = tenant_is_active(c, s->tenant.name, ox__session_none, diag);
    if (err == OX_OK)
        err = find_user(c, s->tenant.name, s->user, call->users, diag);
    if (err == OX_OK && !call->users->active)
        err = ox__session_none(diag);
    const char *params[] = {s->tenant.name, call->digest, pg_print(&now, call->now_s)};
    if (err == OX_OK && call->now_s - s->seen_s >= OX_SESSION_SEEN_S)
        err = run(c, SESSION_SEEN, 3, params, NULL, diag);
    return err;
}

static ox_err
session(struct ox_user_store *self, const uint8_t digest[OX_KEY_DIGEST_BYTES], int64_t now_s,
        int64_t seen_after_s, struct ox_session *out, struct ox_user *user, struct ox_diag *diag)
{
    char hex[2 * OX_KEY_DIGEST_BYTES + 1];
    ox_hex_encode(digest, OX_KEY_DIGEST_BYTES, hex);
    memcpy(out->digest, digest, OX_KEY_DIGEST_BYTES);
    const struct call call = {
        .digest = hex, .now_s = now_s, .seen_after_s = seen_after_s, .session = out, .users = user};
    return transact(self, PG_LOOK_UP, &call, true, op_session, diag);
}

static ox_err
op_logout(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    const char *params[] = {call->tenant->name, call->digest};
    ox_err err = run(c, SESSION_END, 2, params, NULL, diag);
    return err == OX_OK ? note_change(c, call->tenant, diag) : err;
}

static ox_err
logout(struct ox_user_store *self, const struct ox_tenant_id *tenant,
       const uint8_t digest[OX_KEY_DIGEST_BYTES], struct ox_diag *diag)
{
    char hex[2 * OX_KEY_DIGEST_BYTES + 1];
    ox_hex_encode(digest, OX_KEY_DIGEST_BYTES, hex);
    const struct call call = {.tenant = tenant, .digest = hex};
    return transact(self, PG_ANY, &call, true, op_logout, diag);
}

/* ---- opening and closing ---- */

static void
close_store(struct ox_user_store *self)
{
    struct users_pg *st = (struct users_pg *)self;
    pg_pool_free(st->pool);
    free(st->target.url);
    if (st->target.password != NULL)
        explicit_bzero(st->target.password, strlen(st->target.password));
    free(st->target.password);
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
ox_user_store_postgres(const struct ox_control_postgres *o, struct ox_user_store **out, struct ox_diag *diag)
{
    bool has_password = o->password != NULL && o->password[0] != '\0';
    *out = NULL;
    struct users_pg *st = calloc(1, sizeof(*st));
    if (st == NULL)
        return OX_E_NOMEM;
    st->base = calls;
    st->target = (struct pg_target){strdup(o->url), has_password ? strdup(o->password) : NULL,
                                    o->connect_timeout_ms, o->statement_timeout_ms};
    st->pool = pg_pool_new(&st->target, CONNECTIONS, o->as_owner);
    if (st->pool == NULL || st->target.url == NULL || (has_password && st->target.password == NULL)) {
        close_store(&st->base);
        return OX_E_NOMEM;
    }
    *out = &st->base;
    return OX_OK;
}
