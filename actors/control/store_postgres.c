/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/store_postgres.c - the control plane in PostgreSQL, for any number of nodes.
 *
 * Owns:    a pool of connections (pg_pool.c), and one that listens.
 * Threads: any that may block; wait(): one thread.
 * Bounds:  options.connections; a caller waits for one of them as long as a statement may take. Time-outs: pg_conn.c.
 * Fails:   see include/ox/control.h. A call on a connection that broke is tried once more on a new one, unless it would do
 *          something twice.
 * Flow:    each call: connection -> BEGIN, on whose behalf -> its statements -> COMMIT.
 *
 * Every transaction says on whose behalf it runs before it does anything (set_config(..., true) ends with it), and the
 * policies of schema/postgres decide which rows exist for it. The predicates below are for the planner and for people.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "actors/control/control_record.h"
#include "actors/control/pg_asker.h"
#include "actors/control/pg_pool.h"
#include "ox/buf.h"
#include "ox/control.h"

#define CHANNEL "observex_control"

/* What beginning to listen may take, so that changes are looked at in time by a server that is slow: it is tried again and
 * again, and a server that never makes it is one whose changes are heard of by looking. */
#define LISTEN_MS 500

struct pg_store {
    struct ox_control_store base;
    struct pg_target target;
    struct pg_pool *pool;
    struct pg_target listen_target;
    struct pg_conn listener; /* of the thread in wait() */
    int wake_fd;             /* eventfd: wait() ends */
};

/* ---- statements ---- */

#define TENANT_COLUMNS "tenant_id, name, state, created_at, changed_at"
#define KEY_COLUMNS                                                                                          \
    "key_id, tenant_id, name, encode(digest, 'hex'), fingerprint, scopes, role, created_at, expires_at, "    \
    "revoked_at, last_used_at, rotated_from"

enum statement {
    ON_BEHALF,
    TENANT_INSERT,
    TENANT_GET,
    TENANT_LIST,
    TENANT_SET,
    KEY_INSERT,
    KEY_COUNT,
    KEY_GET,
    KEY_GET_ANY,
    KEY_LIST,
    KEY_LIST_ALL,
    KEY_REVOKE,
    KEY_EXPIRE,
    KEY_BY_DIGEST,
    KEYS_SAME,
    KEYS_USED,
    CHANGE_NOTE,
    CHANGE_TRIM,
    CHANGE_NEWEST,
    CHANGE_LIST,
    STATEMENT__COUNT
};

static const char *const statements[STATEMENT__COUNT] = {
    [ON_BEHALF] = "SELECT set_config($1, $2, true)",
    [TENANT_INSERT] = "INSERT INTO observex.tenants (" TENANT_COLUMNS ")"
                      " VALUES ($1, $2, $3, $4::bigint, $5::bigint)",
    [TENANT_GET] = "SELECT " TENANT_COLUMNS " FROM observex.tenants WHERE tenant_id = $1",
    [TENANT_LIST] = "SELECT " TENANT_COLUMNS " FROM observex.tenants WHERE tenant_id COLLATE \"C\" > $1"
                    " ORDER BY tenant_id COLLATE \"C\" LIMIT $2::bigint",
    [TENANT_SET] = "UPDATE observex.tenants SET state = $2, changed_at = $3::bigint WHERE tenant_id = $1"
                   " RETURNING " TENANT_COLUMNS,
    [KEY_INSERT] =
        "INSERT INTO observex.api_keys (key_id, tenant_id, name, digest, fingerprint, scopes, role,"
        " created_at, expires_at, rotated_from) VALUES"
        " ($1, $2, $3, decode($4, 'hex'), $5, $6::bigint, $7, $8::bigint, $9::bigint, $10)",
    [KEY_COUNT] = "SELECT count(*) FROM observex.api_keys WHERE tenant_id = $1 AND (created_at > $2::bigint"
                  " - $3::bigint OR (revoked_at = 0 AND (expires_at = 0 OR expires_at > $2::bigint)))",
    [KEY_GET] = "SELECT " KEY_COLUMNS " FROM observex.api_keys WHERE key_id = $1 AND tenant_id = $2",
    [KEY_GET_ANY] = "SELECT " KEY_COLUMNS " FROM observex.api_keys WHERE key_id = $1",
    [KEY_LIST] =
        "SELECT " KEY_COLUMNS " FROM observex.api_keys WHERE key_id COLLATE \"C\" > $1 AND tenant_id = $3"
        " ORDER BY key_id COLLATE \"C\" LIMIT $2::bigint",
    [KEY_LIST_ALL] = "SELECT " KEY_COLUMNS " FROM observex.api_keys WHERE key_id COLLATE \"C\" > $1"
                     " ORDER BY key_id COLLATE \"C\" LIMIT $2::bigint",
    [KEY_REVOKE] = "UPDATE observex.api_keys SET revoked_at = $3::bigint"
                   " WHERE key_id = $1 AND tenant_id = $2 AND revoked_at = 0 RETURNING " KEY_COLUMNS,
    [KEY_EXPIRE] = "UPDATE observex.api_keys SET expires_at ="
                   " CASE WHEN expires_at = 0 OR expires_at > $3::bigint THEN $3::bigint ELSE expires_at END"
                   " WHERE key_id = $1 AND tenant_id = $2 AND revoked_at = 0 AND expires_at = $4::bigint"
                   " RETURNING key_id",
    [KEY_BY_DIGEST] =
        "SELECT k.key_id, k.tenant_id, k.name, encode(k.digest, 'hex'), k.fingerprint, k.scopes, k.role,"
        " k.created_at, k.expires_at, k.revoked_at, k.last_used_at, k.rotated_from, t.state"
        " FROM observex.api_keys k JOIN observex.tenants t ON t.tenant_id = k.tenant_id"
        " WHERE k.digest = decode($1, 'hex')",
    [KEYS_SAME] =
        "SELECT v.place FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS v (hex, ends, place)"
        " JOIN observex.api_keys k ON k.digest = decode(v.hex, 'hex')"
        " JOIN observex.tenants t ON t.tenant_id = k.tenant_id"
        " WHERE k.expires_at = v.ends AND k.revoked_at = 0 AND t.state = 'active'",
    /* Who waits for somebody's row while he holds others may wait for ever: what is held is passed over. */
    [KEYS_USED] = "UPDATE observex.api_keys k SET last_used_at = u.used FROM"
                  " (SELECT h.key_id, v.used FROM observex.api_keys h"
                  "  JOIN unnest($2::text[], $3::bigint[]) AS v (id, used) ON v.id = h.key_id"
                  "  WHERE h.tenant_id = $1 AND h.last_used_at < v.used"
                  "  FOR NO KEY UPDATE OF h SKIP LOCKED) AS u"
                  " WHERE k.key_id = u.key_id AND k.tenant_id = $1",
    [CHANGE_NOTE] = "WITH c AS (UPDATE observex.control_clock SET seq = seq + 1 RETURNING seq),"
                    " n AS (INSERT INTO observex.control_changes (seq, tenant_id, digest)"
                    "  SELECT c.seq, $1, decode($2, 'hex') FROM c)"
                    " SELECT pg_notify('" CHANNEL "', '')",
    [CHANGE_TRIM] = "DELETE FROM observex.control_changes WHERE tenant_id = $1"
                    " AND seq <= (SELECT seq FROM observex.control_clock) - $2::bigint",
    [CHANGE_NEWEST] = "SELECT seq FROM observex.control_clock",
    [CHANGE_LIST] = "SELECT seq, tenant_id, encode(digest, 'hex') FROM observex.control_changes"
                    " WHERE seq > $1::bigint ORDER BY seq LIMIT $2::bigint",
};
_Static_assert(STATEMENT__COUNT <= PG_ASKER_STATEMENTS, "a bit for each");

static ox_err
run(struct pg_conn *c, enum statement s, int n, const char *const *params, PGresult **out,
    struct ox_diag *diag)
{
    return pg_conn_run(c, s, statements[s], n, params, out, diag);
}

/* ---- transactions ---- */

/* On whose behalf: one setting of schema/postgres. */
struct behalf {
    const char *setting;
    const char *value;
};

/* What a call was given, and where its answer goes; each uses its own part. */
struct call {
    struct pg_store *st;
    enum pg_purpose purpose;
    const struct ox_control_asker *asker; /* who orders it; NULL = nobody, or it is a question */
    const struct ox_control_tenant *tenant;
    const struct ox_tenant_id *id;
    const struct ox_control_key *key;
    const char *key_id; /* or the one behind which a list goes on */
    const char *digest; /* hex */
    int64_t time_s;
    int64_t now_s;
    enum ox_tenant_state state;
    enum ox_tenant_state *state_out;
    struct ox_control_tenant *tenants;
    struct ox_control_key *keys;
    size_t room;
    size_t *n;
    const struct ox_control_use *uses;
    const struct ox_control_seen *seen;
    bool *same;
    struct ox_control_change *changes;
    uint64_t *cursor;
    bool *lost;
};
typedef ox_err (*op_fn)(struct pg_conn *c, const struct call *call, struct ox_diag *diag);

static ox_err
begin(struct pg_conn *c, struct behalf whose, struct ox_diag *diag)
{
    const char *params[] = {whose.setting, whose.value};
    ox_err err = pg_conn_exec(c, "BEGIN", NULL, diag);
    return err == OX_OK ? run(c, ON_BEHALF, 2, params, NULL, diag) : err;
}

static ox_err
attempt(struct pg_conn *c, struct behalf whose, op_fn op, const struct call *call, struct ox_diag *diag)
{
    ox_err err = begin(c, whose, diag);
    if (err == OX_OK)
        err = pg_asker_hold(c, call->asker, diag);
    if (err == OX_OK)
        err = op(c, call, diag);
    if (err == OX_OK)
        err = pg_conn_exec(c, "COMMIT", NULL, diag);
    else if (!c->broken && pg_conn_exec(c, "ROLLBACK", NULL, NULL) != OX_OK)
        c->broken = true; /* a transaction of somebody else's behalf must not stay open */
    return err;
}

/* again: doing it twice is the same as once. */
static ox_err
transact(const struct call *call, struct behalf whose, bool again, op_fn op, struct ox_diag *diag)
{
    for (int tries = again ? 2 : 1;; tries--) {
        struct pg_conn *c = NULL;
        bool fresh = false;
        ox_err err = pg_pool_take(call->st->pool, call->purpose, &c, &fresh, diag);
        if (err != OX_OK)
            return err;
        err = attempt(c, whose, op, call, diag);
        bool broken = c->broken;
        pg_pool_give(call->st->pool, c);
        if (!broken || fresh || tries <= 1)
            return err;
    }
}

static struct behalf
of_tenant(const struct ox_tenant_id *id)
{
    return (struct behalf){"app.tenant_id", id->name};
}

static struct behalf
of_operator(void)
{
    return (struct behalf){"app.operator", "on"};
}

/* Whom it holds is what is asked. */
static ox_err
op_nothing(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    return OX_OK;
}

static ox_err
may_still(struct ox_control_store *self, const struct ox_control_asker *asker, struct ox_diag *diag)
{
    struct call call = {.st = (struct pg_store *)self, .asker = asker};
    return transact(&call, of_tenant(&asker->tenant), true, op_nothing, diag);
}

/* digest NULL: the tenant as a whole. */
static ox_err
note_change(struct pg_conn *c, const struct ox_tenant_id *tenant, const uint8_t *digest, struct ox_diag *diag)
{
    char hex[2 * OX_KEY_DIGEST_BYTES + 1];
    struct pg_number kept;
    if (digest != NULL)
        ox_hex_encode(digest, OX_KEY_DIGEST_BYTES, hex);
    const char *params[] = {tenant->name, digest != NULL ? hex : NULL};
    ox_err err = run(c, CHANGE_NOTE, 2, params, NULL, diag);
    params[1] = pg_print(&kept, OX__CHANGES_KEPT);
    return err == OX_OK ? run(c, CHANGE_TRIM, 2, params, NULL, diag) : err;
}

/* ---- rows ---- */

static bool
copy(const PGresult *r, int row, int column, char *to, size_t size)
{
    return ox__control_copy(to, size, pg_text(r, row, column), (size_t)PQgetlength(r, row, column));
}

static ox_err
read_tenant(const PGresult *r, int row, struct ox_control_tenant *out, struct ox_diag *diag)
{
    bool ok = copy(r, row, 0, out->id.name, sizeof(out->id.name)) &&
              copy(r, row, 1, out->name, sizeof(out->name)) &&
              ox__control_state(ox_str_of(pg_text(r, row, 2)), &out->state);
    out->created_s = pg_int(r, row, 3);
    out->changed_s = pg_int(r, row, 4);
    return ok ? OX_OK : ox__control_damaged("tenants", diag);
}

static bool
read_digest(const PGresult *r, int row, int column, uint8_t digest[OX_KEY_DIGEST_BYTES])
{
    return ox_hex_decode(ox_str_of(pg_text(r, row, column)), digest, OX_KEY_DIGEST_BYTES) == OX_OK;
}

static ox_err
read_key(const PGresult *r, int row, struct ox_control_key *out, struct ox_diag *diag)
{
    bool ok = copy(r, row, 0, out->id, sizeof(out->id)) &&
              copy(r, row, 1, out->tenant.name, sizeof(out->tenant.name)) &&
              copy(r, row, 2, out->name, sizeof(out->name)) && read_digest(r, row, 3, out->digest) &&
              copy(r, row, 4, out->fingerprint, sizeof(out->fingerprint)) &&
              ox_role_parse(ox_str_of(pg_text(r, row, 6)), &out->role, NULL) == OX_OK &&
              copy(r, row, 11, out->rotated_from, sizeof(out->rotated_from));
    out->scopes = (uint32_t)pg_int(r, row, 5) & OX_SCOPE_ALL;
    out->created_s = pg_int(r, row, 7);
    out->expires_s = pg_int(r, row, 8);
    out->revoked_s = pg_int(r, row, 9);
    out->last_used_s = pg_int(r, row, 10);
    return ok ? OX_OK : ox__control_damaged("api_keys", diag);
}

/* ---- tenants ---- */

static ox_err
op_tenant_create(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    const struct ox_control_tenant *t = call->tenant;
    struct pg_number created, changed;
    const char *params[] = {t->id.name, t->name, ox_tenant_state_name(t->state),
                            pg_print(&created, t->created_s), pg_print(&changed, t->changed_s)};
    ox_err err = run(c, TENANT_INSERT, 5, params, NULL, diag);
    if (err == OX_E_EXISTS)
        return ox_diag_set(diag, err, "tenant", -1, "there is a tenant %s already", t->id.name);
    return err == OX_OK ? note_change(c, &t->id, NULL, diag) : err;
}

static ox_err
tenant_create(struct ox_control_store *self, const struct ox_control_asker *asker,
              const struct ox_control_tenant *tenant, struct ox_diag *diag)
{
    struct call call = {.st = (struct pg_store *)self, .asker = asker, .tenant = tenant};
    return transact(&call, of_tenant(&tenant->id), false, op_tenant_create, diag);
}

static ox_err
find_tenant(struct pg_conn *c, const struct ox_tenant_id *id, struct ox_control_tenant *out,
            struct ox_diag *diag)
{
    const char *params[] = {id->name};
    PGresult *r = NULL;
    ox_err err = run(c, TENANT_GET, 1, params, &r, diag);
    if (err == OX_OK)
        err = PQntuples(r) == 1 ? read_tenant(r, 0, out, diag) : ox__control_no_tenant(id, diag);
    PQclear(r);
    return err;
}

static ox_err
op_tenant_get(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    return find_tenant(c, call->id, call->tenants, diag);
}

static ox_err
tenant_get(struct ox_control_store *self, const struct ox_tenant_id *id, struct ox_control_tenant *out,
           struct ox_diag *diag)
{
    struct call call = {.st = (struct pg_store *)self, .id = id, .tenants = out};
    return transact(&call, of_tenant(id), true, op_tenant_get, diag);
}

static ox_err
op_tenant_list(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    struct pg_number limit;
    const char *params[] = {call->key_id, pg_print(&limit, (int64_t)call->room)};
    PGresult *r = NULL;
    ox_err err = run(c, TENANT_LIST, 2, params, &r, diag);
    *call->n = 0;
    for (int i = 0; err == OX_OK && i < PQntuples(r); i++)
        err = read_tenant(r, i, &call->tenants[(*call->n)++], diag);
    PQclear(r);
    return err;
}

static ox_err
tenant_list(struct ox_control_store *self, const char *after, struct ox_control_tenant *out, size_t *n,
            struct ox_diag *diag)
{
    struct call call = {.st = (struct pg_store *)self, .key_id = after, .tenants = out, .room = *n, .n = n};
    return transact(&call, of_operator(), true, op_tenant_list, diag);
}

static ox_err
op_tenant_set(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    struct pg_number now;
    const char *params[] = {call->id->name, ox_tenant_state_name(call->state), pg_print(&now, call->now_s)};
    PGresult *r = NULL;
    ox_err err = run(c, TENANT_SET, 3, params, &r, diag);
    if (err == OX_OK)
        err = PQntuples(r) == 1 ? read_tenant(r, 0, call->tenants, diag)
                                : ox__control_no_tenant(call->id, diag);
    PQclear(r);
    return err == OX_OK ? note_change(c, call->id, NULL, diag) : err;
}

static ox_err
tenant_set(struct ox_control_store *self, const struct ox_control_asker *asker, const struct ox_tenant_id *id,
           enum ox_tenant_state state, int64_t now_s, struct ox_control_tenant *out, struct ox_diag *diag)
{
    struct call call = {.st = (struct pg_store *)self,
                        .asker = asker,
                        .id = id,
                        .state = state,
                        .now_s = now_s,
                        .tenants = out};
    return transact(&call, of_tenant(id), true, op_tenant_set, diag);
}

/* ---- keys ---- */

static ox_err
insert_key(struct pg_conn *c, const struct ox_control_key *key, struct ox_diag *diag)
{
    struct ox_control_tenant tenant;
    struct pg_number scopes, created, expires;
    char hex[2 * OX_KEY_DIGEST_BYTES + 1];
    ox_err err = find_tenant(c, &key->tenant, &tenant, diag);
    if (err == OX_OK)
        err = ox__control_may_have_key(&tenant, diag);
    if (err != OX_OK)
        return err;
    ox_hex_encode(key->digest, OX_KEY_DIGEST_BYTES, hex);
    const char *params[] = {key->id,
                            key->tenant.name,
                            key->name,
                            hex,
                            key->fingerprint,
                            pg_print(&scopes, key->scopes),
                            ox_role_name(key->role),
                            pg_print(&created, key->created_s),
                            pg_print(&expires, key->expires_s),
                            key->rotated_from};
    err = run(c, KEY_INSERT, 10, params, NULL, diag);
    return err == OX_E_EXISTS ? ox_diag_set(diag, err, "key", -1, "there is a key %s already", key->id) : err;
}

/* Whether the tenant may have the key that was just inserted. After its change is noted: from then on nobody else commits
 * one, so that of two at once the second counts the first. */
static ox_err
check_room(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    struct pg_number now, recent;
    const char *params[] = {call->key->tenant.name, pg_print(&now, call->key->created_s),
                            pg_print(&recent, OX__KEYS_RECENT_S)};
    PGresult *r = NULL;
    ox_err err = run(c, KEY_COUNT, 3, params, &r, diag);
    if (err == OX_OK)
        err = ox__control_room_for_key(&call->st->base, &call->key->tenant, (uint64_t)pg_int(r, 0, 0), diag);
    PQclear(r);
    return err;
}

static ox_err
op_key_create(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    ox_err err = insert_key(c, call->key, diag);
    if (err == OX_OK)
        err = note_change(c, &call->key->tenant, call->key->digest, diag);
    return err == OX_OK ? check_room(c, call, diag) : err;
}

static ox_err
key_create(struct ox_control_store *self, const struct ox_control_asker *asker,
           const struct ox_control_key *key, struct ox_diag *diag)
{
    struct call call = {.st = (struct pg_store *)self, .asker = asker, .key = key};
    return transact(&call, of_tenant(&key->tenant), false, op_key_create, diag);
}

/* tenant NULL: any, as far as the policies let it be seen. */
static ox_err
find_key(struct pg_conn *c, const struct ox_tenant_id *tenant, const char *key_id, struct ox_control_key *out,
         struct ox_diag *diag)
{
    const char *params[] = {key_id, tenant != NULL ? tenant->name : NULL};
    PGresult *r = NULL;
    ox_err err =
        tenant != NULL ? run(c, KEY_GET, 2, params, &r, diag) : run(c, KEY_GET_ANY, 1, params, &r, diag);
    if (err == OX_OK)
        err = PQntuples(r) == 1 ? read_key(r, 0, out, diag) : ox__control_no_key(key_id, diag);
    PQclear(r);
    return err;
}

static ox_err
op_key_get(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    return find_key(c, call->id, call->key_id, call->keys, diag);
}

static ox_err
key_get(struct ox_control_store *self, const struct ox_tenant_id *tenant, const char *key_id,
        struct ox_control_key *out, struct ox_diag *diag)
{
    struct call call = {.st = (struct pg_store *)self, .id = tenant, .key_id = key_id, .keys = out};
    return transact(&call, tenant != NULL ? of_tenant(tenant) : of_operator(), true, op_key_get, diag);
}

static ox_err
op_key_list(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    struct pg_number limit;
    const char *params[] = {call->key_id, pg_print(&limit, (int64_t)call->room),
                            call->id != NULL ? call->id->name : NULL};
    PGresult *r = NULL;
    ox_err err =
        call->id != NULL ? run(c, KEY_LIST, 3, params, &r, diag) : run(c, KEY_LIST_ALL, 2, params, &r, diag);
    *call->n = 0;
    for (int i = 0; err == OX_OK && i < PQntuples(r); i++)
        err = read_key(r, i, &call->keys[(*call->n)++], diag);
    PQclear(r);
    return err;
}

static ox_err
key_list(struct ox_control_store *self, const struct ox_tenant_id *tenant, const char *after,
         struct ox_control_key *out, size_t *n, struct ox_diag *diag)
{
    struct call call = {
        .st = (struct pg_store *)self, .id = tenant, .key_id = after, .keys = out, .room = *n, .n = n};
    return transact(&call, tenant != NULL ? of_tenant(tenant) : of_operator(), true, op_key_list, diag);
}

static ox_err
op_key_revoke(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    struct pg_number now;
    const char *params[] = {call->key_id, call->id->name, pg_print(&now, call->now_s)};
    PGresult *r = NULL;
    ox_err err = run(c, KEY_REVOKE, 3, params, &r, diag);
    bool revoked = err == OX_OK && PQntuples(r) == 1;
    if (revoked)
        err = read_key(r, 0, call->keys, diag);
    PQclear(r);
    if (err == OX_OK && !revoked) /* it was already, which is no change to tell of, or there is none */
        return find_key(c, call->id, call->key_id, call->keys, diag);
    return err == OX_OK ? note_change(c, call->id, call->keys->digest, diag) : err;
}

static ox_err
key_revoke(struct ox_control_store *self, const struct ox_control_asker *asker,
           const struct ox_tenant_id *tenant, const char *key_id, int64_t now_s, struct ox_control_key *out,
           struct ox_diag *diag)
{
    struct call call = {.st = (struct pg_store *)self,
                        .asker = asker,
                        .id = tenant,
                        .key_id = key_id,
                        .now_s = now_s,
                        .keys = out};
    return transact(&call, of_tenant(tenant), true, op_key_revoke, diag);
}

/*
 * Ends `old` at end_s, if it still is what was read. Whoever revokes or rotates it at this moment holds its row: the update
 * waits for that one's commit and then finds no row, so that of two one wins and no key outlives a revocation as another.
 */
static ox_err
expire_key(struct pg_conn *c, const struct ox_control_key *old, int64_t end_s, struct ox_diag *diag)
{
    struct pg_number end, before;
    const char *params[] = {old->id, old->tenant.name, pg_print(&end, end_s),
                            pg_print(&before, old->expires_s)};
    PGresult *r = NULL;
    ox_err err = run(c, KEY_EXPIRE, 4, params, &r, diag);
    if (err == OX_OK && PQntuples(r) != 1)
        err = ox_diag_set(diag, OX_E_STATE, "key", -1,
                          "key %s was revoked or rotated at the same moment; look at it and try again",
                          old->id);
    PQclear(r);
    return err;
}

static ox_err
op_key_rotate(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    struct ox_control_key old;
    const struct ox_control_key *fresh = call->key;
    ox_err err = find_key(c, &fresh->tenant, fresh->rotated_from, &old, diag);
    if (err == OX_OK)
        err = ox__control_may_rotate(&old, call->now_s, diag);
    if (err == OX_OK)
        err = expire_key(c, &old, call->time_s, diag);
    if (err == OX_OK)
        err = insert_key(c, fresh, diag);
    if (err == OX_OK)
        err = note_change(c, &fresh->tenant, old.digest, diag);
    if (err == OX_OK)
        err = note_change(c, &fresh->tenant, fresh->digest, diag);
    return err == OX_OK ? check_room(c, call, diag) : err;
}

static ox_err
key_rotate(struct ox_control_store *self, const struct ox_control_asker *asker,
           const struct ox_control_key *fresh, int64_t now_s, int64_t old_expires_s, struct ox_diag *diag)
{
    struct call call = {
        .st = (struct pg_store *)self, .asker = asker, .key = fresh, .now_s = now_s, .time_s = old_expires_s};
    return transact(&call, of_tenant(&fresh->tenant), false, op_key_rotate, diag);
}

static ox_err
op_key_by_digest(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    const char *params[] = {call->digest};
    PGresult *r = NULL;
    ox_err err = run(c, KEY_BY_DIGEST, 1, params, &r, diag);
    if (err == OX_OK && PQntuples(r) != 1)
        err = ox_diag_set(diag, OX_E_NOT_FOUND, "key", -1, "there is no such key");
    if (err == OX_OK)
        err = read_key(r, 0, call->keys, diag);
    if (err == OX_OK && !ox__control_state(ox_str_of(pg_text(r, 0, 12)), call->state_out))
        err = ox__control_damaged("tenants", diag);
    PQclear(r);
    return err;
}

static ox_err
key_by_digest(struct ox_control_store *self, const uint8_t digest[OX_KEY_DIGEST_BYTES],
              struct ox_control_key *out, enum ox_tenant_state *state, struct ox_diag *diag)
{
    char hex[2 * OX_KEY_DIGEST_BYTES + 1];
    struct call call = {
        .st = (struct pg_store *)self, .purpose = PG_LOOK_UP, .digest = hex, .keys = out, .state_out = state};
    ox_hex_encode(digest, OX_KEY_DIGEST_BYTES, hex);
    return transact(&call, (struct behalf){"app.key_digest", hex}, true, op_key_by_digest, diag);
}

static ox_err
op_keys_same(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    struct ox_buf digests = {0}, ends = {0};
    char hex[2 * OX_KEY_DIGEST_BYTES + 1];
    for (size_t i = 0; i < call->room; i++) {
        ox_hex_encode(call->seen[i].digest, OX_KEY_DIGEST_BYTES, hex);
        ox_buf_printf(&digests, "%c%s", i == 0 ? '{' : ',', hex);
        ox_buf_printf(&ends, "%c%lld", i == 0 ? '{' : ',', (long long)call->seen[i].expires_s);
    }
    ox_buf_append(&digests, "}", 2);
    ox_buf_append(&ends, "}", 2);
    const char *params[] = {(const char *)digests.data, (const char *)ends.data};
    PGresult *r = NULL;
    ox_err err = digests.failed || ends.failed ? OX_E_NOMEM : run(c, KEYS_SAME, 2, params, &r, diag);
    memset(call->same, 0, call->room * sizeof(*call->same));
    for (int i = 0; err == OX_OK && i < PQntuples(r); i++) {
        int64_t place = pg_int(r, i, 0); /* from 1 */
        if (place >= 1 && place <= (int64_t)call->room)
            call->same[place - 1] = true;
    }
    PQclear(r);
    ox_buf_fini(&digests);
    ox_buf_fini(&ends);
    return err;
}

static ox_err
keys_same(struct ox_control_store *self, const struct ox_control_seen *seen, size_t n, bool *same,
          struct ox_diag *diag)
{
    struct call call = {
        .st = (struct pg_store *)self, .purpose = PG_WATCH, .seen = seen, .room = n, .same = same};
    return n > 0 ? transact(&call, of_operator(), true, op_keys_same, diag) : OX_OK;
}

/* Those of one tenant, on its behalf. Ids are of [A-Za-z0-9_], so that an array needs no quotes. */
static ox_err
write_uses(struct pg_conn *c, const struct ox_control_use *uses, size_t n, struct ox_diag *diag)
{
    struct ox_buf ids = {0}, times = {0};
    for (size_t i = 0; i < n; i++) {
        ox_buf_printf(&ids, "%c%s", i == 0 ? '{' : ',', uses[i].key_id);
        ox_buf_printf(&times, "%c%lld", i == 0 ? '{' : ',', (long long)uses[i].used_s);
    }
    ox_buf_append(&ids, "}", 2);
    ox_buf_append(&times, "}", 2);
    const char *whose[] = {"app.tenant_id", uses[0].tenant.name};
    const char *params[] = {uses[0].tenant.name, (const char *)ids.data, (const char *)times.data};
    ox_err err = ids.failed || times.failed ? OX_E_NOMEM : run(c, ON_BEHALF, 2, whose, NULL, diag);
    if (err == OX_OK)
        err = run(c, KEYS_USED, 3, params, NULL, diag);
    ox_buf_fini(&ids);
    ox_buf_fini(&times);
    return err;
}

/* One tenant after the other in one transaction, which speaks for one of them at a time. */
static ox_err
op_keys_used(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    const struct ox_control_use *uses = call->uses;
    ox_err err = OX_OK;
    for (size_t i = 0, end; err == OX_OK && i < call->room; i = end) {
        for (end = i + 1; end < call->room && strcmp(uses[end].tenant.name, uses[i].tenant.name) == 0;)
            end++;
        err = write_uses(c, uses + i, end - i, diag);
    }
    return err;
}

static ox_err
keys_used(struct ox_control_store *self, const struct ox_control_use *uses, size_t n, struct ox_diag *diag)
{
    struct call call = {.st = (struct pg_store *)self, .purpose = PG_WATCH, .uses = uses, .room = n};
    return n > 0 ? transact(&call, of_tenant(&uses[0].tenant), true, op_keys_used, diag) : OX_OK;
}

/* ---- changes ---- */

static ox_err
newest_change(struct pg_conn *c, uint64_t *seq, struct ox_diag *diag)
{
    PGresult *r = NULL;
    ox_err err = run(c, CHANGE_NEWEST, 0, NULL, &r, diag);
    if (err == OX_OK && PQntuples(r) != 1)
        err = ox__control_damaged("control_clock", diag);
    if (err == OX_OK)
        *seq = (uint64_t)pg_int(r, 0, 0);
    PQclear(r);
    return err;
}

static ox_err
list_changes(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    struct pg_number after, limit;
    const char *params[] = {pg_print(&after, (int64_t)*call->cursor), pg_print(&limit, (int64_t)call->room)};
    PGresult *r = NULL;
    ox_err err = run(c, CHANGE_LIST, 2, params, &r, diag);
    for (int i = 0; err == OX_OK && i < PQntuples(r); i++) {
        struct ox_control_change *change = &call->changes[i];
        change->whole_tenant = PQgetisnull(r, i, 2);
        if (!copy(r, i, 1, change->tenant.name, sizeof(change->tenant.name)) ||
            (!change->whole_tenant && !read_digest(r, i, 2, change->digest)))
            err = ox__control_damaged("control_changes", diag);
    }
    if (err == OX_OK && PQntuples(r) > 0) {
        *call->n = (size_t)PQntuples(r);
        *call->cursor = (uint64_t)pg_int(r, PQntuples(r) - 1, 0);
    }
    PQclear(r);
    return err;
}

static ox_err
op_changes(struct pg_conn *c, const struct call *call, struct ox_diag *diag)
{
    uint64_t newest = 0, cursor = *call->cursor;
    *call->n = 0;
    ox_err err = newest_change(c, &newest, diag);
    if (err != OX_OK)
        return err;
    /* A database that was put back to an earlier state has fewer than we have seen. */
    *call->lost = cursor != OX_CONTROL_FROM_NOW && (cursor > newest || newest - cursor > OX__CHANGES_KEPT);
    if (*call->lost || cursor == OX_CONTROL_FROM_NOW) {
        *call->cursor = newest;
        return OX_OK;
    }
    return list_changes(c, call, diag);
}

static ox_err
changes(struct ox_control_store *self, uint64_t *cursor, struct ox_control_change *out, size_t *n, bool *lost,
        struct ox_diag *diag)
{
    uint64_t before = *cursor;
    struct call call = {.st = (struct pg_store *)self,
                        .purpose = PG_WATCH,
                        .changes = out,
                        .room = *n,
                        .n = n,
                        .cursor = cursor,
                        .lost = lost};
    *lost = false;
    ox_err err = transact(&call, (struct behalf){"app.watch", "on"}, true, op_changes, diag);
    if (err != OX_OK) { /* a commit that failed: what it read is read again */
        *cursor = before;
        *n = 0;
    }
    return err;
}

/* A notice that came before we listened is not heard: who has just begun to listen looks at once. */
static ox_err
begin_listening(struct pg_store *st, struct ox_diag *diag)
{
    ox_err err = pg_conn_open(&st->listener, &st->listen_target, diag);
    if (err == OX_OK)
        err = pg_conn_exec(&st->listener, "LISTEN " CHANNEL, NULL, diag);
    if (err != OX_OK)
        pg_conn_close(&st->listener);
    return err;
}

static ox_err
wait_news(struct ox_control_store *self, uint32_t timeout_ms, struct ox_diag *diag)
{
    struct pg_store *st = (struct pg_store *)self;
    PGconn *pg = st->listener.pg;
    if (pg == NULL)
        return begin_listening(st, diag);
    struct pollfd fds[] = {{.fd = PQsocket(pg), .events = POLLIN}, {.fd = st->wake_fd, .events = POLLIN}};
    uint64_t count;
    int ready = poll(fds, 2, (int)timeout_ms);
    if (ready > 0 && fds[1].revents != 0)
        (void)!read(st->wake_fd, &count, sizeof(count)); /* only empties it */
    if (ready == 0 || (ready < 0 && errno == EINTR) || (ready > 0 && fds[0].revents == 0))
        return OX_OK;
    if (ready < 0 || PQconsumeInput(pg) == 0 || PQstatus(pg) == CONNECTION_BAD) {
        pg_conn_close(&st->listener);
        return ox_diag_set(diag, OX_E_UNAVAILABLE, "control.url", -1, "PostgreSQL ended the connection");
    }
    for (PGnotify *note = PQnotifies(pg); note != NULL; note = PQnotifies(pg))
        PQfreemem(note);
    return OX_OK;
}

static void
wake(struct ox_control_store *self)
{
    uint64_t one = 1;
    (void)!write(((struct pg_store *)self)->wake_fd, &one, sizeof(one)); /* full: it is awake */
}

/* ---- opening and closing ---- */

static void
close_store(struct ox_control_store *self)
{
    struct pg_store *st = (struct pg_store *)self;
    pg_pool_free(st->pool);
    pg_conn_close(&st->listener);
    if (st->wake_fd >= 0)
        close(st->wake_fd);
    free(st->target.url);
    if (st->target.password != NULL)
        explicit_bzero(st->target.password, strlen(st->target.password));
    free(st->target.password);
    free(st);
}

static const struct ox_control_store postgres_calls = {
    .kind = "postgresql",
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

static uint32_t
at_most(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static bool
store_init(struct pg_store *st, const struct ox_control_postgres *o)
{
    bool has_password = o->password != NULL && o->password[0] != '\0';
    st->base = postgres_calls;
    st->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    st->target = (struct pg_target){strdup(o->url), has_password ? strdup(o->password) : NULL,
                                    o->connect_timeout_ms, o->statement_timeout_ms};
    st->listen_target = st->target;
    st->listen_target.connect_timeout_ms = at_most(o->connect_timeout_ms, LISTEN_MS);
    st->listen_target.statement_timeout_ms = at_most(o->statement_timeout_ms, LISTEN_MS);
    st->pool = pg_pool_new(&st->target, o->connections, o->as_owner);
    return st->wake_fd >= 0 && st->pool != NULL && st->target.url != NULL &&
           (!has_password || st->target.password != NULL);
}

/* An unusable url is found here, not at each call. */
static ox_err
check_url(const char *url, struct ox_diag *diag)
{
    char *text = NULL;
    PQconninfoOption *parsed = PQconninfoParse(url, &text);
    ox_err err = OX_OK;
    if (parsed == NULL) /* libpq's sentence may repeat a part of the url, and with it a password */
        err = ox_diag_set(diag, OX_E_CONFIG, "control.url", -1,
                          "is no address of PostgreSQL; right is postgresql://user@host:5432/database");
    PQfreemem(text);
    PQconninfoFree(parsed);
    return err;
}

ox_err
ox_control_open_postgres(const struct ox_control_postgres *options, struct ox_control_store **out,
                         struct ox_diag *diag)
{
    *out = NULL;
    OX_ASSERT(options->connections > 0);
    ox_err err = check_url(options->url, diag);
    if (err != OX_OK)
        return err;
    struct pg_store *st = calloc(1, sizeof(*st));
    if (st == NULL)
        return OX_E_NOMEM;
    struct pg_conn *first;
    bool fresh;
    err = store_init(st, options) ? pg_pool_take(st->pool, PG_ANY, &first, &fresh, diag) : OX_E_NOMEM;
    if (err == OX_OK)
        pg_pool_give(st->pool, first);
    if (err == OX_E_OVERLOAD) /* to be used later, as when it is away */
        err = OX_E_UNAVAILABLE;
    if (err == OX_OK || err == OX_E_UNAVAILABLE)
        *out = &st->base;
    else
        close_store(&st->base);
    return err;
}
