/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    who has the password gets a session and nobody else; whoever guesses learns nothing, not even who exists; every
 *          change of a user and every login stands in the audit log.
 * Method:  the real stores in a file, the real audit log, Argon2id as it is.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/control_api.h"
#include "ox/login_limit.h"
#include "ox/metric.h"
#include "ox/password.h"
#include "ox/session_keys.h"

#define START_S  1700000000
#define PASSWORD "correct horse battery"

static char dir[64];
static struct ox_clock_virtual clk;
static struct ox_control_api api;
static struct ox_keystore *keys;
static struct ox_diag diag;
static int status;
static uint32_t retry_after;
static char cookie[OX_SESSION_TEXT_LEN + 1], message[400];
static bool has_cookie;
static const char *peer = "192.0.2.1";

static struct ox_identity asker;

static void
as(const char *tenant, enum ox_role role)
{
    asker = (struct ox_identity){.role = role, .scopes = OX_SCOPE_ALL};
    snprintf(asker.tenant.name, sizeof(asker.tenant.name), "%s", tenant);
    cookie[0] = '\0';
}

static void
as_nobody(void)
{
    as("", OX_ROLE_NONE);
}

static void
users_changed(void *ctx, const struct ox_tenant_id *tenant)
{
    ox_session_keys_changed(keys, tenant);
}

static json_t *
ask(const char *method, const char *target, const char *body)
{
    struct ox_query_response res;
    const char *mark = strchr(target, '?');
    struct ox_query_request req = {.tenant = asker.tenant,
                                   .role = asker.role,
                                   .scopes = asker.scopes,
                                   .way = asker.way,
                                   .user = asker.subject,
                                   .session = ox_str_of(cookie),
                                   .credential = "a test",
                                   .peer = peer,
                                   .body = ox_str_of(body),
                                   .method = ox_str_of(method),
                                   .path = {target, mark != NULL ? (size_t)(mark - target) : strlen(target)},
                                   .query = ox_str_of(mark != NULL ? mark + 1 : "")};
    ox_query_response_init(&res);
    cr_assert(ox_control_answer(&api, &req, &res), "%s is none of its paths", target);
    status = res.status;
    retry_after = res.retry_after_s;
    has_cookie = res.session != NULL;
    if (has_cookie)
        snprintf(cookie, sizeof(cookie), "%s", res.session);
    json_t *answer = json_loadb((char *)res.body.data, res.body.len, 0, NULL);
    cr_assert_not_null(answer, "%s: %.*s", target, (int)res.body.len, (char *)res.body.data);
    const char *text = json_string_value(json_object_get(json_object_get(answer, "error"), "message"));
    snprintf(message, sizeof(message), "%s", text != NULL ? text : "");
    ox_query_response_fini(&res);
    return answer;
}

static int
status_of(const char *method, const char *target, const char *body)
{
    json_decref(ask(method, target, body));
    return status;
}

static const char *
text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text != NULL ? text : "";
}

static char last_before[64], last_after[64];

/* The last line of the audit log. */
static void
expect_audit(const char *action, const char *tenant, const char *outcome, const char *who, const char *detail)
{
    static char line[1024];
    char path[96], next[1024];
    snprintf(path, sizeof(path), "%s/audit.jsonl", dir);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(next, sizeof(next), f) != NULL)
        memcpy(line, next, sizeof(line));
    if (f != NULL)
        fclose(f);
    json_t *o = json_loads(line, 0, NULL);
    cr_assert_str_eq(text_of(o, "action"), action, "%s", line);
    cr_assert_str_eq(text_of(o, "tenant"), tenant, "%s", line);
    cr_assert_str_eq(text_of(o, "outcome"), outcome, "%s", line);
    cr_assert_str_eq(text_of(o, "who"), who, "%s", line);
    cr_assert_not_null(strstr(text_of(o, "detail"), detail), "%s", line);
    snprintf(last_before, sizeof(last_before), "%s", text_of(o, "before"));
    snprintf(last_after, sizeof(last_after), "%s", text_of(o, "after"));
    cr_assert_null(strstr(line, PASSWORD), "no password is ever written down");
    json_decref(o);
}

static void
prepare(void)
{
    char path[96];
    snprintf(dir, sizeof(dir), "/tmp/ox-users-api-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    ox_clock_virtual_init(&clk, 1000000000, (uint64_t)START_S * 1000000000);
    snprintf(path, sizeof(path), "%s/control.db", dir);
    cr_assert_eq(ox_control_open_sqlite(path, &api.store, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(ox_user_store_sqlite(path, &api.users, &diag), OX_OK, "%s", diag.text);
    snprintf(path, sizeof(path), "%s/audit.jsonl", dir);
    api.audit = ox_audit_open(ox_disk_real(), path, &clk.clock);
    api.clock = &clk.clock;
    api.limits = ox_login_limit_new();
    api.session_idle_s = 600;
    api.session_max_s = 3600;
    api.users_changed = users_changed;
    const struct ox_session_keys_options o = {
        .users = api.users, .clock = &clk.clock, .idle_s = 600, .sessions_max = 64, .unknown_max = 5};
    keys = ox_session_keys_new(
        ox_keystore_dev_new(OX_STR("a secret of sixteen bytes and more"), (struct ox_str){0}), &o);
    as("platform", OX_ROLE_OPERATOR);
    cr_assert_eq(status_of("POST", "/api/v1/tenants", "{\"id\":\"acme\"}"), 201);
    cr_assert_eq(status_of("POST", "/api/v1/tenants", "{\"id\":\"other\"}"), 201);
    cr_assert_eq(status_of("POST", "/api/v1/tenants", "{\"id\":\"platform\"}"), 201);
    cr_assert_eq(
        status_of("POST", "/api/v1/users",
                  "{\"tenant\":\"acme\",\"name\":\"anna\",\"role\":\"admin\",\"password\":\"" PASSWORD "\"}"),
        201, "%s", message);
}

static void
clean(void)
{
    char command[96];
    keys->free(keys);
    api.users->close(api.users);
    api.store->close(api.store);
    ox_login_limit_free(api.limits);
    ox_audit_close(api.audit);
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(users_api, .init = prepare, .fini = clean, .timeout = 120);

static int
log_in(const char *tenant, const char *user, const char *password)
{
    char body[300];
    as_nobody();
    snprintf(body, sizeof(body), "{\"tenant\":\"%s\",\"user\":\"%s\",\"password\":\"%s\"}", tenant, user,
             password);
    return status_of("POST", "/api/v1/login", body);
}

/* Who the cookie says one is, as a request would find out; the orders after it are his. */
static ox_err
become(void)
{
    struct ox_credential c = {.session = ox_str_of(cookie), .peer = peer};
    ox_diag_clear(&diag);
    ox_err err = keys->identify(keys, &c, &asker, &diag);
    return err == OX_E_AGAIN ? keys->look_up(keys, &c, &asker, &diag) : err;
}

static double
logins(const char *result)
{
    struct ox_str label = ox_str_of(result);
    return ox_metric_value(OX_M_logins, &label);
}

/* ---- login ---- */

Test(users_api, the_password_opens_a_session_and_logging_out_ends_it)
{
    char digest[64];
    uint8_t bytes[OX_KEY_DIGEST_BYTES];
    cr_assert_eq(log_in("acme", "Anna", PASSWORD), 200, "%s", message);
    cr_assert(has_cookie);
    cr_assert_eq(strlen(cookie), OX_SESSION_TEXT_LEN);
    expect_audit("session", "acme", "granted", "user anna of tenant acme", "log in");
    cr_assert_eq(become(), OX_OK, "%s", diag.text);
    cr_assert_eq(asker.way, OX_WAY_SESSION);
    cr_assert_str_eq(asker.tenant.name, "acme");
    cr_assert_str_eq(asker.subject, "anna");
    cr_assert_eq(asker.role, OX_ROLE_ADMIN);
    cr_assert_eq(asker.scopes, OX_SCOPE_QUERY | OX_SCOPE_ADMIN, "people send no telemetry");
    json_t *who = ask("GET", "/api/v1/session", NULL);
    ox_session_csrf(ox_str_of(cookie), digest);
    cr_assert_str_eq(text_of(who, "csrf"), digest);
    cr_assert_str_eq(text_of(who, "user"), "anna");
    cr_assert(json_is_true(json_object_get(who, "authenticated")));
    json_decref(who);
    cr_assert(ox_session_digest(ox_str_of(cookie), bytes));
    char kept[OX_SESSION_TEXT_LEN + 1];
    memcpy(kept, cookie, sizeof(kept));
    cr_assert_eq(status_of("POST", "/api/v1/logout", "{}"), 200);
    cr_assert(has_cookie && cookie[0] == '\0', "the browser forgets it");
    expect_audit("session", "acme", "granted", "a test", "log out");
    memcpy(cookie, kept, sizeof(kept));
    cr_assert_eq(become(), OX_E_UNAUTHENTICATED, "and so does everybody else");
    cr_assert_str_eq(diag.text, "the session has ended: log in again");
    cr_assert_eq(logins("right"), 1);
}

Test(users_api, whatever_is_not_right_is_one_answer)
{
    static const char *const tries[][3] = {
        {"acme", "anna", "another password"}, {"acme", "nobody", PASSWORD},
        {"other", "anna", PASSWORD},          {"nobody", "anna", PASSWORD},
        {"NOT A NAME", "anna", PASSWORD},     {"acme", "' OR 1=1 --", PASSWORD},
    };
    char first[400] = "";
    for (size_t i = 0; i < OX_COUNT(tries); i++) {
        cr_assert_eq(log_in(tries[i][0], tries[i][1], tries[i][2]), 401, "%zu", i);
        cr_assert_not(has_cookie);
        if (i == 0)
            snprintf(first, sizeof(first), "%s", message);
        cr_assert_str_eq(message, first);
    }
    cr_assert_str_eq(first, "tenant, user or password is not right");
    expect_audit("session", "", "refused", "somebody who is no user", "log in");
    cr_assert_eq(logins("wrong"), 6);
    cr_assert_eq(log_in("acme", "anna", "another password"), 401);
    expect_audit("session", "acme", "refused", "user anna of tenant acme", "log in");
    as("platform", OX_ROLE_OPERATOR);
    cr_assert_eq(status_of("POST", "/api/v1/users/change",
                           "{\"tenant\":\"acme\",\"name\":\"anna\",\"state\":\"disabled\"}"),
                 200);
    cr_assert_eq(log_in("acme", "anna", PASSWORD), 401, "disabled");
    cr_assert_str_eq(message, first);
}

/* Whether a hash was made is what takes the time: it is looked at by the clock of the processor. */
Test(users_api, who_is_not_there_costs_as_much_as_who_is)
{
    struct timespec a, b;
    double took[2];
    (void)log_in("acme", "nobody", "wrong"); /* the decoy is made once */
    for (int i = 0; i < 2; i++) {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
        cr_assert_eq(log_in("acme", i == 0 ? "anna" : "nobody", "wrong"), 401);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
        took[i] = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
    }
    cr_assert(took[1] > took[0] / 4, "%.1f ms and %.1f ms", took[0], took[1]);
}

Test(users_api, who_guesses_waits_and_nothing_is_hashed_for_him)
{
    for (int i = 0; i < OX_LOGIN_FREE; i++)
        cr_assert_eq(log_in("acme", "anna", "wrong"), 401);
    cr_assert_eq(log_in("acme", "anna", PASSWORD), 429, "even the right one");
    cr_assert_eq(retry_after, 1);
    cr_assert_str_eq(message, "too many attempts: try again in 1 s");
    cr_assert_eq(log_in("acme", "nobody", "wrong"), 401, "others are not concerned");
    cr_assert_eq(logins("limited"), 1);
    ox_clock_virtual_advance(&clk, 1000000000);
    cr_assert_eq(log_in("acme", "anna", PASSWORD), 200, "%s", message);
    cr_assert_eq(log_in("acme", "anna", PASSWORD), 200, "and the count has ended");
}

Test(users_api, a_body_that_is_none_is_named)
{
    as_nobody();
    cr_assert_eq(status_of("POST", "/api/v1/login", "{\"tenant\":\"acme\"}"), 400);
    cr_assert_eq(status_of("POST", "/api/v1/login", "{\"tenant\":\"acme\",\"user\":7,\"password\":\"x\"}"),
                 400);
    cr_assert_eq(status_of("POST", "/api/v1/login", "nothing"), 400);
    cr_assert_eq(status_of("GET", "/api/v1/login", NULL), 405);
    json_t *who = ask("GET", "/api/v1/session", NULL);
    cr_assert_eq(status, 200);
    cr_assert(json_is_false(json_object_get(who, "authenticated")));
    json_decref(who);
}

Test(users_api, without_an_audit_log_nobody_logs_in)
{
    struct ox_audit *was = api.audit;
    api.audit = ox_audit_open(ox_disk_real(), "/nonexistent/audit.jsonl", &clk.clock);
    cr_assert_eq(log_in("acme", "anna", PASSWORD), 503);
    cr_assert_not(has_cookie);
    ox_audit_close(api.audit);
    api.audit = was;
}

/* ---- sessions ---- */

Test(users_api, a_session_ends_when_nobody_asks_and_at_its_time)
{
    cr_assert_eq(log_in("acme", "anna", PASSWORD), 200);
    for (int i = 0; i < 6; i++) {
        ox_clock_virtual_advance(&clk, 590ull * 1000000000);
        cr_assert_eq(become(), OX_OK, "%d", i);
    }
    ox_clock_virtual_advance(&clk, 60ull * 1000000000);
    cr_assert_eq(become(), OX_E_UNAUTHENTICATED, "an hour is over");
    cr_assert_eq(log_in("acme", "anna", PASSWORD), 200);
    ox_clock_virtual_advance(&clk, 601ull * 1000000000);
    cr_assert_eq(become(), OX_E_UNAUTHENTICATED, "ten minutes without a question");
}

Test(users_api, a_disabled_users_session_ends_at_once_and_its_orders_with_it)
{
    cr_assert_eq(log_in("acme", "anna", PASSWORD), 200);
    cr_assert_eq(become(), OX_OK);
    struct ox_identity anna = asker;
    char kept[OX_SESSION_TEXT_LEN + 1];
    memcpy(kept, cookie, sizeof(kept));
    cr_assert_eq(status_of("POST", "/api/v1/users", "{\"name\":\"bob\"}"), 201, "%s", message);
    as("platform", OX_ROLE_OPERATOR);
    cr_assert_eq(status_of("POST", "/api/v1/users/change",
                           "{\"tenant\":\"acme\",\"name\":\"anna\",\"role\":\"viewer\"}"),
                 200);
    expect_audit("users.write", "acme", "granted", "a test", "change user anna, role");
    cr_assert_str_eq(last_before, "admin, active");
    cr_assert_str_eq(last_after, "viewer, active");
    asker = anna; /* an order that was on its way */
    cr_assert_eq(status_of("POST", "/api/v1/users", "{\"name\":\"carol\"}"), 401, "%s", message);
    memcpy(cookie, kept, sizeof(kept));
    cr_assert_eq(become(), OX_E_UNAUTHENTICATED);
    as("platform", OX_ROLE_OPERATOR);
    cr_assert_eq(status_of("POST", "/api/v1/users/change",
                           "{\"tenant\":\"acme\",\"name\":\"anna\",\"state\":\"disabled\"}"),
                 200);
    cr_assert_eq(log_in("acme", "anna", PASSWORD), 401);
}

Test(users_api, who_shows_sessions_that_are_none_is_not_asked_for_any_more)
{
    struct ox_identity who;
    char text[OX_SESSION_TEXT_LEN + 1];
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    struct ox_credential c = {.peer = peer};
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(ox_session_make(text, digest), OX_OK);
        c.session = ox_str_of(text);
        cr_assert_eq(keys->identify(keys, &c, &who, &diag), OX_E_AGAIN);
        cr_assert_eq(keys->look_up(keys, &c, &who, &diag), OX_E_UNAUTHENTICATED);
        cr_assert_eq(keys->identify(keys, &c, &who, &diag), OX_E_UNAUTHENTICATED, "it is remembered");
    }
    cr_assert_eq(ox_session_make(text, digest), OX_OK);
    cr_assert_eq(keys->identify(keys, &c, &who, &diag), OX_E_OVERLOAD);
    c.session = OX_STR("no session at all");
    cr_assert_eq(keys->identify(keys, &c, &who, &diag), OX_E_UNAUTHENTICATED);
    c.peer = "192.0.2.9";
    c.key = OX_STR("ox_dev_acme_00");
    cr_assert_eq(keys->identify(keys, &c, &who, &diag), OX_E_UNAUTHENTICATED, "a key beside it decides");
}

/* ---- users ---- */

Test(users_api, an_admin_has_the_users_of_his_own_tenant)
{
    as("other", OX_ROLE_ADMIN);
    cr_assert_eq(status_of("POST", "/api/v1/users", "{\"tenant\":\"acme\",\"name\":\"x\"}"), 403);
    cr_assert_eq(status_of("POST", "/api/v1/users/change",
                           "{\"tenant\":\"acme\",\"name\":\"anna\",\"role\":\"viewer\"}"),
                 403);
    cr_assert_eq(status_of("POST", "/api/v1/users/password", "{\"name\":\"anna\"}"), 404);
    cr_assert_eq(status_of("GET", "/api/v1/users?tenant=acme", NULL), 403);
    cr_assert_eq(status_of("POST", "/api/v1/users", "{\"name\":\"x\",\"role\":\"operator\"}"), 403);
    json_t *list = ask("GET", "/api/v1/users", NULL);
    cr_assert_eq(json_array_size(json_object_get(list, "users")), 0);
    json_decref(list);
    as("platform", OX_ROLE_OPERATOR);
    cr_assert_eq(status_of("POST", "/api/v1/users", "{\"name\":\"x\"}"), 400, "an operator says whose");
    cr_assert_eq(
        status_of("POST", "/api/v1/users", "{\"tenant\":\"acme\",\"name\":\"x\",\"role\":\"operator\"}"),
        400);
    cr_assert_eq(
        status_of("POST", "/api/v1/users", "{\"tenant\":\"platform\",\"name\":\"x\",\"role\":\"admin\"}"),
        400);
    cr_assert_eq(status_of("POST", "/api/v1/users", "{\"tenant\":\"acme\",\"name\":\"X\"}"), 400);
    cr_assert_eq(
        status_of("POST", "/api/v1/users", "{\"tenant\":\"acme\",\"name\":\"x\",\"password\":\"short\"}"),
        400);
    cr_assert_null(strstr(message, "short"), "%s", message);
    cr_assert_eq(status_of("POST", "/api/v1/users", "{\"tenant\":\"acme\",\"name\":\"anna\"}"), 409);
}

Test(users_api, a_password_that_is_made_is_shown_once_and_its_hash_never)
{
    char password[64], body[200];
    json_t *made = ask("POST", "/api/v1/users", "{\"tenant\":\"acme\",\"name\":\"bob\"}");
    cr_assert_eq(status, 201, "%s", message);
    cr_assert_eq(strlen(text_of(made, "password")), OX_PASSWORD_MADE);
    cr_assert_str_eq(text_of(made, "role"), "viewer");
    snprintf(password, sizeof(password), "%s", text_of(made, "password"));
    json_decref(made);
    expect_audit("users.write", "acme", "granted", "a test", "create user bob, role viewer");
    json_t *list = ask("GET", "/api/v1/users?tenant=acme", NULL);
    char *text = json_dumps(list, 0);
    cr_assert_null(strstr(text, "argon2"), "%s", text);
    cr_assert_null(strstr(text, password), "%s", text);
    free(text);
    json_decref(list);
    cr_assert_eq(log_in("acme", "bob", password), 200);
    cr_assert_eq(become(), OX_OK);
    snprintf(body, sizeof(body), "{\"old\":\"%s\",\"new\":\"%s\"}", "wrong", PASSWORD);
    cr_assert_eq(status_of("POST", "/api/v1/session/password", body), 403);
    snprintf(body, sizeof(body), "{\"old\":\"%s\",\"new\":\"short\"}", password);
    cr_assert_eq(status_of("POST", "/api/v1/session/password", body), 400);
    snprintf(body, sizeof(body), "{\"old\":\"%s\",\"new\":\"%s\"}", password, PASSWORD);
    cr_assert_eq(status_of("POST", "/api/v1/session/password", body), 200, "%s", message);
    expect_audit("session", "acme", "granted", "a test", "change the own password");
    cr_assert_eq(log_in("acme", "bob", password), 401);
    cr_assert_eq(log_in("acme", "bob", PASSWORD), 200);
    as("acme", OX_ROLE_ADMIN);
    cr_assert_eq(status_of("POST", "/api/v1/session/password", body), 403,
                 "who has no session has no password");
    made = ask("POST", "/api/v1/users/password", "{\"name\":\"bob\"}");
    cr_assert_eq(status, 200);
    snprintf(password, sizeof(password), "%s", text_of(made, "password"));
    json_decref(made);
    cr_assert_eq(log_in("acme", "bob", PASSWORD), 401);
    cr_assert_eq(log_in("acme", "bob", password), 200);
    json_t *again =
        ask("POST", "/api/v1/login", "{\"tenant\":\"acme\",\"user\":\"anna\",\"password\":\"" PASSWORD "\"}");
    cr_assert(json_is_null(json_object_get(again, "last_login")), "never before");
    json_decref(again);
    again =
        ask("POST", "/api/v1/login", "{\"tenant\":\"acme\",\"user\":\"anna\",\"password\":\"" PASSWORD "\"}");
    cr_assert_str_eq(text_of(again, "last_login"), "2023-11-14T22:13:20Z");
    cr_assert_str_eq(text_of(again, "last_login_from"), "192.0.2.1");
    json_decref(again);
}

Test(users_api, lists_go_on_where_they_ended)
{
    cr_assert_eq(status_of("POST", "/api/v1/users", "{\"tenant\":\"other\",\"name\":\"zoe\"}"), 201);
    json_t *list = ask("GET", "/api/v1/users?limit=1", NULL);
    cr_assert_str_eq(text_of(list, "next"), "acme/anna");
    json_decref(list);
    list = ask("GET", "/api/v1/users?limit=1&after=acme/anna", NULL);
    cr_assert_str_eq(text_of(json_array_get(json_object_get(list, "users"), 0), "name"), "zoe");
    json_decref(list);
    cr_assert_eq(status_of("GET", "/api/v1/users?after=acme", NULL), 400);
    cr_assert_eq(status_of("GET", "/api/v1/users?after=acme/'", NULL), 400);
}

Test(users_api, the_first_operator_is_made_without_anybody)
{
    char password[OX_PASSWORD_MADE + 1];
    cr_assert_eq(ox_control_operator_user(api.store, api.users, "root", START_S, password, &diag), OX_OK,
                 "%s", diag.text);
    cr_assert_eq(ox_control_operator_user(api.store, api.users, "Root", START_S, password, &diag),
                 OX_E_INVALID);
    char kept[OX_PASSWORD_MADE + 1];
    memcpy(kept, password, sizeof(kept));
    cr_assert_eq(ox_control_operator_user(api.store, api.users, "root", START_S, password, &diag),
                 OX_E_EXISTS);
    cr_assert_eq(log_in("platform", "root", kept), 200, "%s", message);
}
