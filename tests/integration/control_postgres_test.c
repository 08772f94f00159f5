/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the store in PostgreSQL does what every store must; row-level security holds back a program that forgets to;
 *          a server that goes away, stands still or is not what it should be is an error with a sentence, in time.
 * Method:  a real server per test, reached by a Unix socket. The stories of harness/control_suite.c as the node's role;
 *          bare SQL as the same role, without the predicates; the server halted, stopped in its tracks, changed by hand.
 */
#include <criterion/criterion.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../harness/certs.h"
#include "../harness/control_suite.h"
#include "../harness/postgres_server.h"
#include "../harness/quota_suite.h"
#include "../harness/user_suite.h"
#include "ox/clock.h"
#include "ox/schema.h"

static struct postgres_server server;
static struct ox_diag diag;

static void
start(void)
{
    if (!postgres_start(&server))
        cr_skip_test("this machine has no PostgreSQL in /usr/lib/postgresql: left out");
}

static void
stop(void)
{
    postgres_stop(&server);
}

TestSuite(control_postgres, .init = start, .fini = stop, .timeout = 120);

static struct ox_control_postgres
options(const char *url)
{
    return (struct ox_control_postgres){
        .url = url, .connect_timeout_ms = 5000, .statement_timeout_ms = 2000, .connections = 3};
}

static void
init(void)
{
    struct ox_control_postgres owner = options(server.owner_url);
    unsigned applied;
    ox_err err = ox_control_init_postgres(&owner, "observex_node", NULL, &applied, &diag);
    cr_assert_eq(err, OX_OK, "%s", diag.text);
}

static struct ox_control_store *
open_store(void)
{
    struct ox_control_postgres node = options(server.node_url);
    struct ox_control_store *st;
    init();
    ox_err err = ox_control_open_postgres(&node, &st, &diag);
    cr_assert_eq(err, OX_OK, "%s", diag.text);
    return st;
}

#define S(name)                                                                                              \
    Test(control_postgres, name)                                                                             \
    {                                                                                                        \
        struct ox_control_store *st = open_store();                                                          \
        control_story_##name(st);                                                                            \
        st->close(st);                                                                                       \
    }
CONTROL_STORIES(S)
#undef S

/* ---- row-level security, asked without the program in between ---- */

static PGconn *
connect_as(const char *url)
{
    PGconn *pg = PQconnectdb(url);
    cr_assert_eq(PQstatus(pg), CONNECTION_OK, "%s", PQerrorMessage(pg));
    return pg;
}

static void
execute(PGconn *pg, const char *sql)
{
    PGresult *r = PQexec(pg, sql);
    cr_assert(PQresultStatus(r) == PGRES_COMMAND_OK || PQresultStatus(r) == PGRES_TUPLES_OK, "%s: %s", sql,
              PQerrorMessage(pg));
    PQclear(r);
}

/* Rows that a statement finds in a transaction that has made these settings. */
static int
rows(PGconn *pg, const char *settings, const char *sql)
{
    execute(pg, "BEGIN");
    if (settings[0] != '\0')
        execute(pg, settings);
    PGresult *r = PQexec(pg, sql);
    cr_assert_eq(PQresultStatus(r), PGRES_TUPLES_OK, "%s: %s", sql, PQerrorMessage(pg));
    int n = PQntuples(r);
    PQclear(r);
    execute(pg, "ROLLBACK");
    return n;
}

/* The SQLSTATE of a statement that must be refused; "" when it was not. */
static const char *
refusal(PGconn *pg, const char *settings, const char *sql)
{
    static char state[8];
    execute(pg, "BEGIN");
    if (settings[0] != '\0')
        execute(pg, settings);
    PGresult *r = PQexec(pg, sql);
    const char *found = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    snprintf(state, sizeof(state), "%s", found != NULL ? found : "");
    PQclear(r);
    execute(pg, "ROLLBACK");
    return state;
}

static void
two_tenants(struct ox_control_store *st)
{
    control_add_tenant(st, "acme");
    control_add_tenant(st, "other");
    struct ox_control_key a = control_key_of("acme", "k_acme"), b = control_key_of("other", "k_other");
    cr_assert_eq(st->key_create(st, NULL, &a, &diag), OX_OK);
    cr_assert_eq(st->key_create(st, NULL, &b, &diag), OX_OK);
}

static const char *const tables[] = {"observex.tenants", "observex.api_keys", "observex.control_changes",
                                     "observex.users", "observex.sessions"};

/* A user of each of the two tenants, logged in. */
static void
two_users(void)
{
    struct ox_control_postgres node = options(server.node_url);
    struct ox_user_store *users;
    cr_assert_eq(ox_user_store_postgres(&node, &users, &diag), OX_OK, "%s", diag.text);
    for (int i = 0; i < 2; i++) {
        struct ox_user u = {
            .name = "anna", .role = OX_ROLE_ADMIN, .active = true, .password = "x", .created_s = 1};
        struct ox_session s = {.user = "anna", .created_s = 1, .expires_s = 1000};
        snprintf(u.tenant.name, sizeof(u.tenant.name), "%s", i == 0 ? "acme" : "other");
        s.tenant = u.tenant;
        memset(s.digest, 0xa0 + i, sizeof(s.digest));
        cr_assert_eq(users->create(users, NULL, &u, &diag), OX_OK, "%s", diag.text);
        cr_assert_eq(users->login(users, &s, "x", "192.0.2.1", 0, &diag), OX_OK, "%s", diag.text);
    }
    users->close(users);
}

Test(control_postgres, who_forgets_the_tenant_gets_no_rows)
{
    struct ox_control_store *st = open_store();
    char sql[128];
    two_tenants(st);
    two_users();
    PGconn *pg = connect_as(server.node_url);
    for (size_t i = 0; i < OX_COUNT(tables); i++) {
        snprintf(sql, sizeof(sql), "SELECT * FROM %s", tables[i]);
        cr_assert_eq(rows(pg, "", sql), 0, "%s", sql);
        cr_assert_eq(rows(pg, "SET LOCAL app.tenant_id = ''", sql), 0, "%s", sql);
        cr_assert_eq(rows(pg, "SET LOCAL app.operator = 'off'", sql), 0, "%s", sql);
        cr_assert_eq(rows(pg, "SET LOCAL app.key_digest = ''", sql), 0, "%s", sql);
        cr_assert_eq(rows(pg, "SET LOCAL app.session_digest = ''", sql), 0, "%s", sql);
        cr_assert_eq(rows(pg, "SET LOCAL app.asker_user = 'anna'", sql), 0, "%s", sql);
    }
    cr_assert_eq(rows(pg, "", "UPDATE observex.api_keys SET revoked_at = 1 RETURNING key_id"), 0);
    cr_assert_eq(rows(pg, "", "UPDATE observex.tenants SET state = 'disabled' RETURNING tenant_id"), 0);
    PQfinish(pg);
    st->close(st);
}

Test(control_postgres, a_tenant_sees_and_changes_its_own_rows_only)
{
    struct ox_control_store *st = open_store();
    const char *acme = "SET LOCAL app.tenant_id = 'acme'";
    two_tenants(st);
    PGconn *pg = connect_as(server.node_url);
    cr_assert_eq(rows(pg, acme, "SELECT * FROM observex.tenants"), 1);
    cr_assert_eq(rows(pg, acme, "SELECT * FROM observex.api_keys"), 1);
    cr_assert_eq(rows(pg, acme, "SELECT * FROM observex.control_changes"), 2, "the tenant, its key");
    cr_assert_eq(rows(pg, acme, "SELECT * FROM observex.api_keys WHERE tenant_id = 'other'"), 0);
    cr_assert_eq(rows(pg, acme, "UPDATE observex.api_keys SET revoked_at = 1 RETURNING key_id"), 1);
    cr_assert_str_eq(refusal(pg, acme, "INSERT INTO observex.tenants VALUES ('third', '', 'active', 0, 0)"),
                     "42501");
    cr_assert_str_eq(refusal(pg, acme,
                             "INSERT INTO observex.api_keys VALUES ('k_forged', 'other', '', "
                             "sha256('x'), '', 31, 'admin', 0)"),
                     "42501", "row-level security refuses a row of another tenant");
    PQfinish(pg);
    st->close(st);
}

Test(control_postgres, no_setting_outlives_its_transaction)
{
    struct ox_control_store *st = open_store();
    two_tenants(st);
    PGconn *pg = connect_as(server.node_url);
    execute(pg, "BEGIN");
    execute(pg, "SELECT set_config('app.tenant_id', 'acme', true)");
    execute(pg, "SELECT set_config('app.operator', 'on', true)");
    execute(pg, "COMMIT");
    cr_assert_eq(rows(pg, "", "SELECT * FROM observex.api_keys"), 0);
    PQfinish(pg);
    st->close(st);
}

Test(control_postgres, a_digest_opens_one_key_and_its_tenant_to_read)
{
    struct ox_control_store *st = open_store();
    struct ox_control_key key = control_key_of("acme", "k_acme");
    char hex[2 * OX_KEY_DIGEST_BYTES + 1], by_digest[160];
    two_tenants(st);
    ox_hex_encode(key.digest, sizeof(key.digest), hex);
    snprintf(by_digest, sizeof(by_digest), "SET LOCAL app.key_digest = '%s'", hex);
    PGconn *pg = connect_as(server.node_url);
    cr_assert_eq(rows(pg, by_digest, "SELECT * FROM observex.api_keys"), 1);
    cr_assert_eq(rows(pg, by_digest, "SELECT * FROM observex.tenants"), 1);
    cr_assert_eq(rows(pg, by_digest, "SELECT * FROM observex.control_changes"), 0);
    cr_assert_eq(rows(pg, by_digest, "UPDATE observex.api_keys SET revoked_at = 1 RETURNING key_id"), 0);
    PQfinish(pg);
    st->close(st);
}

Test(control_postgres, an_operator_reads_all_and_writes_none)
{
    struct ox_control_store *st = open_store();
    const char *operator= "SET LOCAL app.operator = 'on'";
    two_tenants(st);
    PGconn *pg = connect_as(server.node_url);
    cr_assert_eq(rows(pg, operator, "SELECT * FROM observex.api_keys"), 2);
    cr_assert_eq(rows(pg, operator, "SELECT * FROM observex.tenants"), 2);
    cr_assert_eq(rows(pg, operator, "UPDATE observex.api_keys SET revoked_at = 1 RETURNING key_id"), 0);
    cr_assert_str_eq(refusal(pg, operator, "INSERT INTO observex.tenants VALUES ('x', '', 'active', 0, 0)"),
                     "42501");
    PQfinish(pg);
    st->close(st);
}

Test(control_postgres, the_nodes_role_can_do_no_more_than_it_needs)
{
    struct ox_control_store *st = open_store();
    static const char *const forbidden[] = {
        "DELETE FROM observex.api_keys",
        "DELETE FROM observex.tenants",
        "TRUNCATE observex.api_keys",
        "UPDATE observex.api_keys SET tenant_id = 'acme'",
        "UPDATE observex.api_keys SET role = 'operator'",
        "UPDATE observex.api_keys SET scopes = 31",
        "UPDATE observex.api_keys SET digest = sha256('x')",
        "UPDATE observex.tenants SET tenant_id = 'acme2'",
        "ALTER TABLE observex.api_keys DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE observex.api_keys NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY tenant_isolation ON observex.api_keys",
        "CREATE TABLE observex.mine (x int)",
        "DELETE FROM observex.schema_migrations",
        "SET ROLE owner",
        "ALTER ROLE observex_node BYPASSRLS",
    };
    two_tenants(st);
    PGconn *pg = connect_as(server.node_url);
    for (size_t i = 0; i < OX_COUNT(forbidden); i++)
        cr_assert_str_eq(refusal(pg, "SET LOCAL app.tenant_id = 'acme'", forbidden[i]), "42501", "%s",
                         forbidden[i]);
    PQfinish(pg);
    st->close(st);
}

/* What a later migration might forget. */
Test(control_postgres, every_table_with_a_tenant_has_forced_row_level_security_and_a_policy)
{
    init();
    PGconn *pg = connect_as(server.owner_url);
    const char *with_tenant = "FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace"
                              " JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname = 'tenant_id'"
                              " WHERE n.nspname = 'observex' AND t.relkind IN ('r', 'p')";
    char sql[600];
    snprintf(sql, sizeof(sql), "SELECT t.relname %s", with_tenant);
    cr_assert_eq(rows(pg, "", sql), 6);
    snprintf(sql, sizeof(sql), "SELECT t.relname %s AND NOT (t.relrowsecurity AND t.relforcerowsecurity)",
             with_tenant);
    cr_assert_eq(rows(pg, "", sql), 0);
    snprintf(sql, sizeof(sql),
             "SELECT t.relname %s AND NOT EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = t.oid AND"
             " p.polname = 'tenant_isolation' AND p.polcmd = '*' AND p.polwithcheck IS NOT NULL)",
             with_tenant);
    cr_assert_eq(rows(pg, "", sql), 0);
    PQfinish(pg);
}

/* ---- two at once ---- */

struct rotation {
    struct ox_control_store *st;
    ox_err err;
    struct ox_diag diag;
};

static void *
rotate(void *arg)
{
    struct rotation *r = arg;
    struct ox_control_key fresh = control_key_of("acme", "k_fresh");
    ox_diag_clear(&r->diag);
    snprintf(fresh.rotated_from, sizeof(fresh.rotated_from), "k_acme");
    r->err = r->st->key_rotate(r->st, NULL, &fresh, 1700000000, 1700003600, &r->diag);
    return NULL;
}

/* A rotation that has read the key, and waits for somebody who is changing it: what becomes of it. */
static void
expect_loser(const char *change)
{
    struct ox_control_store *st = open_store();
    struct rotation r = {.st = st};
    struct ox_control_key got;
    struct ox_tenant_id acme = {"acme"};
    pthread_t thread;
    two_tenants(st);
    PGconn *first = connect_as(server.owner_url), *look = connect_as(server.owner_url);
    execute(first, "BEGIN");
    execute(first, change);
    cr_assert_eq(pthread_create(&thread, NULL, rotate, &r), 0);
    while (rows(look, "", "SELECT 1 FROM pg_locks WHERE NOT granted") == 0) {
    }
    execute(first, "COMMIT");
    pthread_join(thread, NULL);
    cr_expect_eq(r.err, OX_E_STATE, "%s: %s", ox_err_info(r.err)->symbol, r.diag.text);
    cr_expect_not_null(strstr(r.diag.text, "key k_acme was revoked or rotated at the same moment"), "%s",
                       r.diag.text);
    cr_expect_eq(st->key_get(st, &acme, "k_fresh", &got, &diag), OX_E_NOT_FOUND, "nothing is left of it");
    PQfinish(first);
    PQfinish(look);
    st->close(st);
}

Test(control_postgres, a_rotation_beside_a_revocation_makes_no_key)
{
    expect_loser("UPDATE observex.api_keys SET revoked_at = 1700000000 WHERE key_id = 'k_acme'");
}

Test(control_postgres, of_two_rotations_at_once_one_wins)
{
    expect_loser("UPDATE observex.api_keys SET expires_at = 1700003600 WHERE key_id = 'k_acme'");
}

static void *
create(void *arg)
{
    struct rotation *r = arg;
    struct ox_control_key fresh = control_key_of("acme", "k_fresh");
    const struct ox_control_asker asker = {.tenant = {"other"}, .key_id = "k_other", .now_s = 1700000000};
    ox_diag_clear(&r->diag);
    r->err = r->st->key_create(r->st, &asker, &fresh, &r->diag);
    return NULL;
}

/* The order has begun when the key that gives it is revoked, and is refused all the same. */
Test(control_postgres, no_order_outlives_the_revocation_of_its_asker)
{
    struct ox_control_store *st = open_store();
    struct rotation r = {.st = st};
    struct ox_control_key got;
    struct ox_tenant_id acme = {"acme"};
    pthread_t thread;
    two_tenants(st);
    PGconn *first = connect_as(server.owner_url), *look = connect_as(server.owner_url);
    execute(first, "BEGIN");
    execute(first, "UPDATE observex.api_keys SET revoked_at = 1 WHERE key_id = 'k_other'");
    cr_assert_eq(pthread_create(&thread, NULL, create, &r), 0);
    while (rows(look, "", "SELECT 1 FROM pg_locks WHERE NOT granted") == 0) {
    }
    execute(first, "COMMIT");
    pthread_join(thread, NULL);
    cr_expect_eq(r.err, OX_E_UNAUTHENTICATED, "%s: %s", ox_err_info(r.err)->symbol, r.diag.text);
    cr_expect_eq(st->key_get(st, &acme, "k_fresh", &got, &diag), OX_E_NOT_FOUND, "nothing is left of it");
    PQfinish(first);
    PQfinish(look);
    st->close(st);
}

Test(control_postgres, an_askers_key_and_tenant_can_be_held_and_not_changed)
{
    struct ox_control_store *st = open_store();
    const char *asker =
        "SELECT set_config('app.tenant_id', 'acme', true), set_config('app.asker_key', 'k_other', true),"
        " set_config('app.asker_tenant', 'other', true)";
    two_tenants(st);
    PGconn *pg = connect_as(server.node_url);
    cr_assert_eq(rows(pg, asker, "SELECT * FROM observex.api_keys FOR NO KEY UPDATE"), 2);
    cr_assert_eq(rows(pg, asker, "SELECT * FROM observex.tenants FOR SHARE"), 2);
    cr_assert_str_eq(
        refusal(pg, asker, "UPDATE observex.api_keys SET revoked_at = 1 WHERE key_id = 'k_other'"), "42501");
    cr_assert_str_eq(
        refusal(pg, asker, "UPDATE observex.tenants SET state = 'disabled' WHERE tenant_id = 'other'"),
        "42501");
    PQfinish(pg);
    st->close(st);
}

Test(control_postgres, a_tenants_users_and_sessions_are_its_own)
{
    struct ox_control_store *st = open_store();
    const char *acme = "SET LOCAL app.tenant_id = 'acme'";
    const char *asker =
        "SELECT set_config('app.tenant_id', 'acme', true), set_config('app.asker_user', 'anna', true),"
        " set_config('app.asker_tenant', 'other', true)";
    const char *cookie = "SELECT set_config('app.session_digest', repeat('a1', 32), true)";
    two_tenants(st);
    two_users();
    PGconn *pg = connect_as(server.node_url);
    cr_assert_eq(rows(pg, acme, "SELECT * FROM observex.users"), 1);
    cr_assert_eq(rows(pg, acme, "SELECT * FROM observex.sessions"), 1);
    cr_assert_eq(rows(pg, acme, "UPDATE observex.users SET state = 'disabled' RETURNING name"), 1);
    cr_assert_eq(rows(pg, acme, "DELETE FROM observex.sessions RETURNING digest"), 1);
    cr_assert_str_eq(
        refusal(pg, acme, "INSERT INTO observex.users VALUES ('other', 'x', 'admin', 'active', '', 0, 0, 0)"),
        "42501");
    cr_assert_str_eq(refusal(pg, acme, "UPDATE observex.users SET tenant_id = 'other'"), "42501");
    cr_assert_str_eq(refusal(pg, acme, "DELETE FROM observex.users"), "42501", "users are never removed");
    cr_assert_eq(rows(pg, asker, "SELECT * FROM observex.users FOR NO KEY UPDATE"), 2);
    cr_assert_str_eq(
        refusal(pg, asker, "UPDATE observex.users SET role = 'viewer' WHERE tenant_id = 'other'"), "42501",
        "he is held and not changed");
    cr_assert_eq(rows(pg, cookie, "SELECT * FROM observex.sessions"), 1,
                 "who shows a cookie sees his session");
    cr_assert_eq(rows(pg, cookie, "SELECT * FROM observex.users"), 0);
    cr_assert_eq(rows(pg, cookie, "DELETE FROM observex.sessions RETURNING digest"), 0);
    PQfinish(pg);
    st->close(st);
}

Test(control_postgres, uses_are_written_in_one_transaction_and_wait_for_nobody)
{
    struct ox_control_store *st = open_store();
    const struct ox_control_use uses[] = {{{"acme"}, "k_acme", 1700000060},
                                          {{"other"}, "k_other", 1700000061}};
    two_tenants(st);
    PGconn *first = connect_as(server.owner_url);
    cr_assert_eq(st->keys_used(st, uses, 2, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(rows(first, "", "SELECT xmin FROM observex.api_keys WHERE last_used_at > 0 GROUP BY xmin"),
                 1);
    cr_assert_eq(rows(first, "", "SELECT 1 FROM observex.api_keys WHERE last_used_at > 0"), 2);
    execute(first, "BEGIN");
    execute(first, "UPDATE observex.api_keys SET revoked_at = 1, last_used_at = 0 WHERE key_id = 'k_acme'");
    cr_assert_eq(st->keys_used(st, uses, 2, &diag), OX_OK, "%s", diag.text);
    execute(first, "COMMIT");
    cr_assert_eq(rows(first, "", "SELECT 1 FROM observex.api_keys WHERE last_used_at > 0"), 1,
                 "who is held is passed over");
    PQfinish(first);
    st->close(st);
}

Test(control_postgres, a_statement_that_takes_too_long_is_no_outage)
{
    struct ox_control_store *st = open_store();
    struct ox_control_key got;
    struct ox_tenant_id acme = {"acme"};
    two_tenants(st);
    PGconn *first = connect_as(server.owner_url);
    execute(first, "BEGIN");
    execute(first, "UPDATE observex.api_keys SET name = 'held' WHERE key_id = 'k_acme'");
    cr_assert_eq(st->key_revoke(st, NULL, &acme, "k_acme", 1700000000, &got, &diag), OX_E_OVERLOAD, "%s",
                 diag.text);
    PQfinish(first);
    cr_assert_eq(st->key_revoke(st, NULL, &acme, "k_acme", 1700000000, &got, &diag), OX_OK, "%s", diag.text);
    st->close(st);
}

struct held {
    struct ox_control_store *st;
    unsigned n;
};

static void *
revoke_held(void *arg)
{
    struct held *h = arg;
    struct ox_control_key got;
    struct ox_tenant_id acme = {"acme"};
    struct ox_diag own;
    (void)!h->st->key_revoke(h->st, NULL, &acme, "k_acme", 1700000000, &got, &own);
    return NULL;
}

/* All that orders may have are waiting for somebody's row. */
Test(control_postgres, orders_that_wait_keep_neither_changes_nor_look_ups_from_being_answered)
{
    struct ox_control_store *st = open_store();
    struct held h = {.st = st};
    struct ox_control_key key = control_key_of("other", "k_other"), got;
    struct ox_control_change c[4];
    struct ox_control_seen seen = {.expires_s = 0};
    enum ox_tenant_state state;
    pthread_t threads[3]; /* as many as options() says */
    uint64_t cursor = OX_CONTROL_FROM_NOW;
    bool lost, same;
    size_t n = 4;
    two_tenants(st);
    memcpy(seen.digest, key.digest, sizeof(seen.digest));
    PGconn *first = connect_as(server.owner_url), *look = connect_as(server.owner_url);
    execute(first, "BEGIN");
    execute(first, "UPDATE observex.api_keys SET name = 'held' WHERE key_id = 'k_acme'");
    for (size_t i = 0; i < OX_COUNT(threads); i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, revoke_held, &h), 0);
    while (rows(look, "", "SELECT pid FROM pg_locks WHERE NOT granted GROUP BY pid") <
           (int)OX_COUNT(threads)) {
    }
    cr_expect_eq(st->key_by_digest(st, key.digest, &got, &state, &diag), OX_OK, "%s", diag.text);
    cr_expect_eq(st->changes(st, &cursor, c, &n, &lost, &diag), OX_OK, "%s", diag.text);
    cr_expect_eq(st->keys_same(st, &seen, 1, &same, &diag), OX_OK, "%s", diag.text);
    cr_expect_eq(rows(look, "", "SELECT pid FROM pg_locks WHERE NOT granted GROUP BY pid"),
                 (int)OX_COUNT(threads), "and the orders wait all the while");
    execute(first, "COMMIT");
    for (size_t i = 0; i < OX_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    PQfinish(first);
    PQfinish(look);
    st->close(st);
}

/* ---- what is refused at the start ---- */

static void
expect_refusal(const char *url, ox_err expected, const char *sentence)
{
    struct ox_control_postgres node = options(url);
    struct ox_control_store *st = NULL;
    ox_err err = ox_control_open_postgres(&node, &st, &diag);
    cr_assert_eq(err, expected, "%s: %s", ox_err_info(err)->symbol, diag.text);
    cr_assert_null(st);
    cr_assert_not_null(strstr(diag.text, sentence), "%s", diag.text);
}

static void
as_owner(const char *sql)
{
    PGconn *pg = connect_as(server.owner_url);
    execute(pg, sql);
    PQfinish(pg);
}

Test(control_postgres, a_role_that_row_level_security_does_not_hold_is_refused)
{
    init();
    expect_refusal(server.owner_url, OX_E_CONFIG, "is a superuser or has BYPASSRLS");
    as_owner("ALTER ROLE observex_node BYPASSRLS");
    expect_refusal(server.node_url, OX_E_CONFIG, "is a superuser or has BYPASSRLS");
    as_owner(
        "ALTER ROLE observex_node NOBYPASSRLS; CREATE ROLE strong BYPASSRLS; GRANT strong TO observex_node");
    expect_refusal(server.node_url, OX_E_CONFIG, "is a superuser or has BYPASSRLS");
    as_owner("REVOKE strong FROM observex_node; ALTER TABLE observex.api_keys OWNER TO observex_node");
    expect_refusal(server.node_url, OX_E_CONFIG, "owns the tables");
    as_owner("ALTER TABLE observex.api_keys OWNER TO owner; ALTER TABLE observex.tenants NO FORCE ROW LEVEL "
             "SECURITY");
    expect_refusal(server.node_url, OX_E_CONFIG, "no forced row-level security");
}

Test(control_postgres, a_schema_of_another_release_is_refused)
{
    as_owner("CREATE ROLE observex_node LOGIN");
    expect_refusal(server.node_url, OX_E_STATE, "has no control plane yet: run `observex control init");
    init();
    as_owner("INSERT INTO observex.schema_migrations VALUES (999, 'from_the_future', '00')");
    expect_refusal(server.node_url, OX_E_STATE,
                   "migration 999 \"from_the_future\", which this release does not know");
    as_owner("DELETE FROM observex.schema_migrations");
    expect_refusal(server.node_url, OX_E_STATE, "lacks migration 1 \"tenants_and_keys\"");
}

Test(control_postgres, init_may_be_repeated_and_done_by_two_at_once)
{
    struct ox_control_postgres owner = options(server.owner_url);
    unsigned applied;
    pid_t other = fork();
    ox_err err = ox_control_init_postgres(&owner, "observex_node", NULL, &applied, &diag);
    if (other == 0)
        _exit(err == OX_OK ? 0 : 1);
    int status;
    waitpid(other, &status, 0);
    bool both = err == OX_OK && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!both) /* who makes the role second may lose that race; the schema he does not */
        err = ox_control_init_postgres(&owner, "observex_node", NULL, &applied, &diag);
    cr_assert_eq(err, OX_OK, "%s", diag.text);
    cr_assert_eq(ox_control_init_postgres(&owner, "observex_node", NULL, &applied, &diag), OX_OK, "%s",
                 diag.text);
    cr_assert_eq(applied, 0);
}

Test(control_postgres, a_password_for_the_role_is_kept_as_a_verifier)
{
    struct ox_control_postgres owner = options(server.owner_url);
    ox_err err = ox_control_init_postgres(&owner, "observex_node", "s3cret'; --", NULL, &diag);
    cr_assert_eq(err, OX_OK, "%s", diag.text);
    PGconn *pg = connect_as(server.owner_url);
    cr_assert_eq(
        rows(
            pg, "",
            "SELECT 1 FROM pg_authid WHERE rolname = 'observex_node' AND rolpassword LIKE 'SCRAM-SHA-256$%'"),
        1);
    PQfinish(pg);
}

Test(control_postgres, an_unusable_url_is_named_and_not_repeated)
{
    struct ox_control_postgres node = options("postgresql://ox:hunter2@host:notaport:x/db?bad");
    struct ox_control_store *st = NULL;
    cr_assert_eq(ox_control_open_postgres(&node, &st, &diag), OX_E_CONFIG);
    cr_assert_null(strstr(diag.text, "hunter2"), "%s", diag.text);
}

/* ---- outages ---- */

Test(control_postgres, a_server_that_is_not_there_yet_leaves_a_store_that_works_later)
{
    struct ox_control_postgres node = options(server.node_url);
    struct ox_control_store *st = NULL;
    struct ox_control_tenant t;
    struct ox_tenant_id acme = {"acme"};
    init();
    postgres_halt(&server);
    cr_assert_eq(ox_control_open_postgres(&node, &st, &diag), OX_E_UNAVAILABLE);
    cr_assert_not_null(st);
    cr_assert_eq(st->tenant_get(st, &acme, &t, &diag), OX_E_UNAVAILABLE);
    cr_assert_eq(st->wait(st, 10, &diag), OX_E_UNAVAILABLE);
    postgres_resume(&server);
    cr_assert_eq(st->tenant_get(st, &acme, &t, &diag), OX_E_NOT_FOUND, "%s", diag.text);
    cr_assert_eq(st->wait(st, 10, &diag), OX_OK);
    st->close(st);
}

Test(control_postgres, a_call_on_a_connection_that_broke_is_made_again)
{
    struct ox_control_store *st = open_store();
    struct ox_control_tenant t;
    struct ox_tenant_id acme = {"acme"};
    control_add_tenant(st, "acme");
    as_owner("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'observex_node'");
    cr_assert_eq(st->tenant_get(st, &acme, &t, &diag), OX_OK, "%s", diag.text);
    as_owner("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'observex_node'");
    struct ox_control_key key = control_key_of("acme", "k_one");
    cr_assert_eq(st->key_create(st, NULL, &key, &diag), OX_E_UNAVAILABLE, "it might be made twice");
    cr_assert_eq(st->key_create(st, NULL, &key, &diag), OX_OK, "%s", diag.text);
    st->close(st);
}

/* Its processes are stopped, so that the sockets stay open and nobody answers. */
Test(control_postgres, a_server_that_stands_still_is_given_up_in_time)
{
    struct ox_control_store *st = open_store();
    struct ox_control_tenant t;
    struct ox_tenant_id acme = {"acme"};
    control_add_tenant(st, "acme");
    PGconn *pg = connect_as(server.owner_url);
    PGresult *r = PQexec(pg, "SELECT pid FROM pg_stat_activity WHERE usename = 'observex_node'");
    cr_assert_geq(PQntuples(r), 1);
    pid_t backend = (pid_t)atoi(PQgetvalue(r, 0, 0));
    PQclear(r);
    cr_assert_eq(kill(backend, SIGSTOP), 0);
    cr_assert_eq(kill(server.pid, SIGSTOP), 0);
    ox_err err =
        st->tenant_get(st, &acme, &t, &diag); /* hangs for ever without a deadline: the test's own ends it */
    kill(server.pid, SIGCONT);
    kill(backend, SIGCONT);
    cr_assert_eq(err, OX_E_UNAVAILABLE, "%s", diag.text);
    PQfinish(pg);
    cr_assert_eq(st->tenant_get(st, &acme, &t, &diag), OX_OK, "%s", diag.text);
    st->close(st);
}

/* Two nodes: what one commits, the other hears of while it waits. */
Test(control_postgres, a_waiting_node_hears_of_a_change_at_once)
{
    struct ox_control_store *a = open_store(), *b = open_store();
    struct ox_control_change c[4];
    uint64_t cursor = OX_CONTROL_FROM_NOW;
    bool lost;
    size_t n = 4;
    cr_assert_eq(b->wait(b, 0, &diag), OX_OK, "begins to listen");
    cr_assert_eq(b->changes(b, &cursor, c, &n, &lost, &diag), OX_OK, "%s", diag.text);
    control_add_tenant(a, "acme");
    uint64_t before = ox_clock_monotonic_ns(ox_clock_real());
    cr_assert_eq(b->wait(b, 60000, &diag), OX_OK);
    uint64_t took_ms = (ox_clock_monotonic_ns(ox_clock_real()) - before) / 1000000;
    cr_assert_lt(took_ms, 60000, "the notice ended the wait");
    n = 4;
    cr_assert_eq(b->changes(b, &cursor, c, &n, &lost, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(n, 1);
    cr_assert_str_eq(c[0].tenant.name, "acme");
    a->close(a);
    b->close(b);
}

/* Opens the store at `host` with these parameters; the error, and what it says. */
static ox_err
open_tls(uint16_t port, const char *host, const char *parameters, char *says, size_t cap)
{
    char url[512];
    struct ox_control_store *st = NULL;
    snprintf(url, sizeof(url), "postgresql://observex_node@%s:%u/observex?%s", host, port, parameters);
    struct ox_control_postgres node = options(url);
    ox_diag_clear(&diag);
    ox_err err = ox_control_open_postgres(&node, &st, &diag);
    snprintf(says, cap, "%s", diag.text);
    if (st != NULL)
        st->close(st);
    return err;
}

/* Goal: sslmode of the url is honoured: verify-full connects to who is vouched for under that name and to nobody else. */
Test(control_postgres, tls_is_verified_as_the_url_asks)
{
    struct certs certs;
    char full[200], ca_only[200], foreign[200], cert[CERTS_PATH_MAX], key[CERTS_PATH_MAX], says[300];
    init();
    certs_make(&certs);
    chmod(certs.dir, 0755);
    snprintf(full, sizeof(full), "sslmode=verify-full&sslrootcert=%s", certs.ca);
    snprintf(ca_only, sizeof(ca_only), "sslmode=verify-ca&sslrootcert=%s", certs.ca);
    postgres_halt(&server);
    uint16_t port = postgres_resume_tls(&server, certs.cert, certs.key);
    cr_assert_eq(open_tls(port, "localhost", full, says, sizeof(says)), OX_OK, "%s", says);
    certs_stranger(&certs, "foreign", "foreign", cert, key);
    snprintf(foreign, sizeof(foreign), "sslmode=verify-full&sslrootcert=%s", cert);
    cr_assert_eq(open_tls(port, "localhost", foreign, says, sizeof(says)), OX_E_UNAVAILABLE);
    cr_assert_not_null(strstr(says, "certificate"), "%s", says);
    postgres_halt(&server);
    certs_client(&certs, "other", "db.example", "DNS:db.example", cert, key);
    port = postgres_resume_tls(&server, cert, key);
    cr_assert_eq(open_tls(port, "localhost", full, says, sizeof(says)), OX_E_UNAVAILABLE);
    cr_assert_not_null(strstr(says, "db.example"), "%s", says);
    cr_assert_eq(open_tls(port, "localhost", ca_only, says, sizeof(says)), OX_OK, "%s", says);
    certs_remove(&certs);
}

Test(control_postgres, quotas)
{
    struct ox_control_store *control = open_store();
    struct ox_control_postgres node = options(server.node_url);
    struct ox_quota_store *quotas;
    cr_assert_eq(ox_quota_store_postgres(&node, &quotas, &diag), OX_OK, "%s", diag.text);
    quota_story(control, quotas);
    quotas->close(quotas);
    control->close(control);
}

#define U(name)                                                                                              \
    Test(control_postgres, name)                                                                             \
    {                                                                                                        \
        struct ox_control_store *control = open_store();                                                     \
        struct ox_control_postgres node = options(server.node_url);                                          \
        struct ox_user_store *users;                                                                         \
        cr_assert_eq(ox_user_store_postgres(&node, &users, &diag), OX_OK, "%s", diag.text);                  \
        name(control, users);                                                                                \
        users->close(users);                                                                                 \
        control->close(control);                                                                             \
    }
U(user_story)
U(session_story)
U(user_asker_story)
#undef U
