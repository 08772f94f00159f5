/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    who may not is refused on every route, and nothing tells him what others have; every change stands in the audit
 *          log before it is made; a key is shown once.
 * Method:  the real store in a file, the real audit log; every route with every role; attempts on another tenant's tenant
 *          and keys.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ox/control_api.h"
#include "ox/quotas.h"
#include "ox/user_store.h"

#define START_S 1700000000

static char dir[64];
static struct ox_clock_virtual clk;
static struct ox_control_api api;
static struct ox_diag diag;
static int status;
static const char *allow;

static struct {
    struct ox_tenant_id tenant;
    enum ox_role role;
    uint32_t scopes;
    const char *key_id;
} asker;

static void
as(const char *tenant, enum ox_role role)
{
    snprintf(asker.tenant.name, sizeof(asker.tenant.name), "%s", tenant);
    asker.role = role;
    asker.scopes = OX_SCOPE_ALL;
    asker.key_id = "";
}

/* body: JSON, or NULL. */
static json_t *
ask(const char *method, const char *target, const char *body)
{
    struct ox_query_response res;
    json_error_t why;
    const char *mark = strchr(target, '?');
    struct ox_query_request req = {.tenant = asker.tenant,
                                   .role = asker.role,
                                   .scopes = asker.scopes,
                                   .key_id = asker.key_id,
                                   .credential = "a test",
                                   .peer = "192.0.2.1",
                                   .body = ox_str_of(body),
                                   .method = ox_str_of(method),
                                   .path = {target, mark != NULL ? (size_t)(mark - target) : strlen(target)},
                                   .query = ox_str_of(mark != NULL ? mark + 1 : "")};
    ox_query_response_init(&res);
    cr_assert(ox_control_answer(&api, &req, &res), "%s is none of its paths", target);
    status = res.status;
    allow = res.allow;
    json_t *answer = json_loadb((char *)res.body.data, res.body.len, 0, &why);
    cr_assert_not_null(answer, "%s: %.*s", target, (int)res.body.len, (char *)res.body.data);
    ox_query_response_fini(&res);
    return answer;
}

/* Only the status is of interest. */
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

static char message[400];
static int
refusal_of(const char *method, const char *target, const char *body)
{
    json_t *answer = ask(method, target, body);
    snprintf(message, sizeof(message), "%s", text_of(json_object_get(answer, "error"), "message"));
    json_decref(answer);
    return status;
}

/* The last line of the audit log. */
static json_t *
last_audit(void)
{
    static char line[1024];
    char path[96], next[1024];
    snprintf(path, sizeof(path), "%s/audit.jsonl", dir);
    FILE *f = fopen(path, "r");
    line[0] = '\0';
    while (f != NULL && fgets(next, sizeof(next), f) != NULL)
        memcpy(line, next, sizeof(line));
    if (f != NULL)
        fclose(f);
    return json_loads(line, 0, NULL);
}

static void
expect_values(const char *before, const char *after)
{
    json_t *line = last_audit();
    cr_assert_str_eq(text_of(line, "before"), before);
    cr_assert_str_eq(text_of(line, "after"), after);
    json_decref(line);
}

static void
expect_audit(const char *action, const char *tenant, const char *outcome)
{
    json_t *line = last_audit();
    cr_assert_str_eq(text_of(line, "action"), action);
    cr_assert_str_eq(text_of(line, "tenant"), tenant);
    cr_assert_str_eq(text_of(line, "outcome"), outcome);
    json_decref(line);
}

static void
prepare(void)
{
    char path[96];
    snprintf(dir, sizeof(dir), "/tmp/ox-control-api-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    ox_clock_virtual_init(&clk, 1000000000, (uint64_t)START_S * 1000000000);
    snprintf(path, sizeof(path), "%s/control.db", dir);
    cr_assert_eq(ox_control_open_sqlite(path, &api.store, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(ox_quota_store_sqlite(path, &api.quota_store, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(ox_user_store_sqlite(path, &api.users, &diag), OX_OK, "%s", diag.text);
    api.quotas = ox_quotas_new(&clk.clock);
    snprintf(path, sizeof(path), "%s/audit.jsonl", dir);
    api.audit = ox_audit_open(ox_disk_real(), path, &clk.clock);
    api.clock = &clk.clock;
    as("platform", OX_ROLE_OPERATOR);
    cr_assert_eq(status_of("POST", "/api/v1/tenants", "{\"id\":\"acme\",\"name\":\"Acme\"}"), 201);
    cr_assert_eq(status_of("POST", "/api/v1/tenants", "{\"id\":\"other\"}"), 201);
    cr_assert_eq(status_of("POST", "/api/v1/tenants", "{\"id\":\"platform\"}"), 201);
}

static void
clean(void)
{
    char command[96];
    api.users->close(api.users);
    api.quota_store->close(api.quota_store);
    ox_quotas_free(api.quotas);
    api.store->close(api.store);
    ox_audit_close(api.audit);
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(control_api, .init = prepare, .fini = clean);

/* Makes a key and keeps its id. */
static char made_id[OX_KEY_ID_MAX + 1], made_key[OX_API_KEY_LEN + 1];
static void
make_key(const char *body)
{
    json_t *answer = ask("POST", "/api/v1/keys", body);
    cr_assert_eq(status, 201, "%s", text_of(json_object_get(answer, "error"), "message"));
    snprintf(made_id, sizeof(made_id), "%s", text_of(answer, "id"));
    snprintf(made_key, sizeof(made_key), "%s", text_of(answer, "key"));
    json_decref(answer);
}

/* ---- who may ---- */

Test(control_api, every_route_and_role)
{
    /* viewer, editor, admin, operator, local */
    static const struct {
        const char *method, *target, *body;
        const char *who;
    } routes[] = {
        {"GET", "/api/v1/tenants", NULL, "...ol"},
        {"POST", "/api/v1/tenants", "{\"id\":\"acme\"}", "...ol"},
        {"GET", "/api/v1/tenants/acme", NULL, "...ol"},
        {"PATCH", "/api/v1/tenants/acme", "{\"state\":\"active\"}", "...ol"},
        {"GET", "/api/v1/keys", NULL, "..aol"},
        {"POST", "/api/v1/keys", "{\"tenant\":\"acme\",\"scopes\":[\"nothing\"]}", "..aol"},
        {"GET", "/api/v1/keys/k_none", NULL, "..aol"},
        {"POST", "/api/v1/keys/verify", "{}", "..aol"},
        {"POST", "/api/v1/keys/k_none/revoke", NULL, "..aol"},
        {"POST", "/api/v1/keys/k_none/rotate", NULL, "..aol"},
        {"GET", "/api/v1/audit", NULL, "..aol"},
        {"GET", "/api/v1/users", NULL, "..aol"},
        {"POST", "/api/v1/users", "{}", "..aol"},
        {"POST", "/api/v1/users/change", "{}", "..aol"},
        {"POST", "/api/v1/users/password", "{}", "..aol"},
        {"GET", "/api/v1/quotas", NULL, "..aol"},
        {"POST", "/api/v1/quotas", "{\"tenant\":\"acme\",\"quota\":\"logs.records\",\"value\":5}", "...ol"},
        {"POST", "/api/v1/quotas/clear", "{\"tenant\":\"acme\",\"quota\":\"logs.records\"}", "...ol"},
    };
    for (size_t i = 0; i < OX_COUNT(routes); i++) {
        for (int r = OX_ROLE_VIEWER; r < OX_ROLE__COUNT; r++) {
            bool may = routes[i].who[r - OX_ROLE_VIEWER] != '.';
            as("acme", (enum ox_role)r);
            int got = status_of(routes[i].method, routes[i].target, routes[i].body);
            cr_assert_eq(got != 403, may, "%s %s as %s gives %d", routes[i].method, routes[i].target,
                         ox_role_name((enum ox_role)r), got);
            asker.scopes = OX_SCOPE_ALL & ~OX_SCOPE_ADMIN;
            cr_assert_eq(status_of(routes[i].method, routes[i].target, routes[i].body), 403,
                         "a key that is not for admin");
        }
    }
}

Test(control_api, a_refused_change_is_written_down_and_a_refused_question_is_not)
{
    as("acme", OX_ROLE_EDITOR);
    cr_assert_eq(status_of("POST", "/api/v1/tenants", "{\"id\":\"x\"}"), 403);
    expect_audit("tenants.write", "", "refused");
    cr_assert_eq(status_of("POST", "/api/v1/keys", "{}"), 403);
    expect_audit("keys.write", "", "refused");
    cr_assert_eq(status_of("GET", "/api/v1/keys", NULL), 403);
    expect_audit("keys.write", "", "refused");
}

Test(control_api, other_paths_and_methods)
{
    struct ox_query_request req = {.path = OX_STR("/api/v1/tenantsx"), .method = OX_STR("GET")};
    struct ox_query_response res;
    ox_query_response_init(&res);
    cr_assert_not(ox_control_answer(&api, &req, &res));
    ox_query_response_fini(&res);
    cr_assert_eq(status_of("GET", "/api/v1/keys/k_a/k_b", NULL), 404);
    cr_assert_eq(status_of("GET", "/api/v1/tenants/", NULL), 404);
    cr_assert_eq(status_of("DELETE", "/api/v1/tenants/acme", NULL), 405);
    cr_assert_str_eq(allow, "GET, HEAD, PATCH");
    cr_assert_eq(status_of("PUT", "/api/v1/keys", NULL), 405);
    cr_assert_str_eq(allow, "GET, HEAD, POST");
    cr_assert_eq(status_of("PUT", "/api/v1/keys/k_a/revoke", NULL), 405);
    cr_assert_str_eq(allow, "POST");
}

/* ---- tenants ---- */

Test(control_api, tenants)
{
    json_t *answer = ask("GET", "/api/v1/tenants?limit=2", NULL);
    cr_assert_eq(json_array_size(json_object_get(answer, "tenants")), 2);
    cr_assert_str_eq(text_of(answer, "next"), "other");
    json_decref(answer);
    answer = ask("GET", "/api/v1/tenants?limit=2&after=other", NULL);
    cr_assert_eq(json_array_size(json_object_get(answer, "tenants")), 1);
    cr_assert_null(json_object_get(answer, "next"));
    json_decref(answer);
    answer = ask("PATCH", "/api/v1/tenants/acme", "{\"state\":\"disabled\"}");
    cr_assert_str_eq(text_of(answer, "state"), "disabled");
    cr_assert_str_eq(text_of(answer, "name"), "Acme");
    cr_assert_str_eq(text_of(answer, "created"), "2023-11-14T22:13:20Z");
    json_decref(answer);
    expect_audit("tenants.write", "acme", "granted");
    expect_values("active", "disabled");
    cr_assert_eq(refusal_of("POST", "/api/v1/tenants", "{\"id\":\"acme\"}"), 409);
    cr_assert_str_eq(message, "there is a tenant acme already");
    expect_audit("tenants.write", "acme", "failed");
    cr_assert_eq(refusal_of("PATCH", "/api/v1/tenants/platform", "{\"state\":\"disabled\"}"), 409);
    cr_assert_eq(refusal_of("GET", "/api/v1/tenants/nobody", NULL), 404);
    cr_assert_eq(refusal_of("GET", "/api/v1/tenants/NOT%20A%20NAME", NULL), 400);
}

Test(control_api, bad_input_is_named)
{
    static const struct {
        const char *method, *target, *body, *sentence;
    } bad[] = {
        {"POST", "/api/v1/tenants", "[1]", "body: is not an object of JSON"},
        {"POST", "/api/v1/tenants", "{\"id\":\"a\",\"id\":\"b\"}", "body: is not an object of JSON"},
        {"POST", "/api/v1/tenants", "{\"id\":7}", "id: is not a text"},
        {"POST", "/api/v1/tenants", "{\"id\":\"a\",\"nmae\":\"\"}", "nmae: there is no such member"},
        {"POST", "/api/v1/tenants", "{\"id\":\"a\",\"name\":\"a\\nb\"}", "name: has no control characters"},
        {"POST", "/api/v1/tenants", "{\"id\":\"a b\"}", "tenant"},
        {"PATCH", "/api/v1/tenants/acme", "{\"state\":\"gone\"}", "state: is active or disabled"},
        {"GET", "/api/v1/tenants?limit=0", NULL, "limit: is a number from 1 to 500"},
        {"GET", "/api/v1/tenants?limit=501", NULL, "limit: is a number from 1 to 500"},
        {"GET", "/api/v1/tenants?limit=99999999999999999999", NULL, "limit: is a number from 1 to 500"},
        {"GET", "/api/v1/tenants?after=%27", NULL, "after: is the `next` of the answer before"},
        {"POST", "/api/v1/keys", "{}", "tenant: say whose key it is to be"},
        {"POST", "/api/v1/keys", "{\"tenant\":\"acme\",\"role\":\"root\"}",
         "a role is viewer, editor, admin or operator"},
        {"POST", "/api/v1/keys", "{\"tenant\":\"acme\",\"scopes\":\"query\"}", "scopes: is a list of texts"},
        {"POST", "/api/v1/keys", "{\"tenant\":\"acme\",\"scopes\":[]}", "scopes: names at least one"},
        {"POST", "/api/v1/keys", "{\"tenant\":\"acme\",\"scopes\":[\"all\"]}", "a scope is ingest"},
        {"POST", "/api/v1/keys", "{\"tenant\":\"acme\",\"scopes\":[\"admin\"]}",
         "scopes: admin needs role admin"},
        {"POST", "/api/v1/keys", "{\"tenant\":\"acme\",\"role\":\"operator\"}",
         "operators' keys are those of tenant platform"},
        {"POST", "/api/v1/keys", "{\"tenant\":\"platform\",\"role\":\"editor\"}",
         "operators' keys are those of tenant platform"},
        {"POST", "/api/v1/keys", "{\"tenant\":\"platform\",\"scopes\":[\"query\"]}",
         "operators have no telemetry"},
        {"POST", "/api/v1/keys", "{\"tenant\":\"acme\",\"expires_in\":\"soon\"}",
         "expires_in: is a time such as"},
        {"POST", "/api/v1/keys", "{\"tenant\":\"acme\",\"expires_in\":\"999999999999d\"}",
         "expires_in: is a time such as"},
        {"POST", "/api/v1/keys/k_none/rotate", "{\"overlap\":\"91d\"}", "overlap: is a time such as"},
        {"POST", "/api/v1/keys/verify", "{\"key\":\"ox_live_short\"}", "an API key has 57 characters"},
    };
    for (size_t i = 0; i < OX_COUNT(bad); i++) {
        cr_assert_eq(refusal_of(bad[i].method, bad[i].target, bad[i].body), 400, "%s %s: %d %s",
                     bad[i].target, bad[i].body != NULL ? bad[i].body : "", status, message);
        cr_assert_not_null(strstr(message, bad[i].sentence), "%s: %s", bad[i].body, message);
    }
}

/* ---- keys ---- */

Test(control_api, a_key_is_shown_once_and_its_digest_never)
{
    json_t *answer = ask(
        "POST", "/api/v1/keys",
        "{\"tenant\":\"acme\",\"name\":\"ci\",\"role\":\"editor\",\"scopes\":[\"ingest.traces\",\"query\"],"
        "\"expires_in\":\"30d\"}");
    cr_assert_eq(status, 201);
    cr_assert_eq(ox_api_key_check(ox_str_of(text_of(answer, "key")), NULL), OX_OK);
    cr_assert_str_eq(text_of(answer, "expires"), "2023-12-14T22:13:20Z");
    cr_assert_eq(json_array_size(json_object_get(answer, "scopes")), 2);
    char path[64];
    snprintf(path, sizeof(path), "/api/v1/keys/%s", text_of(answer, "id"));
    json_t *line = last_audit();
    cr_assert_null(strstr(text_of(line, "detail"), "ox_live_"), "the audit log is no place for it");
    cr_assert_not_null(strstr(text_of(line, "detail"), text_of(answer, "id")));
    json_decref(line);
    json_decref(answer);
    answer = ask("GET", path, NULL);
    cr_assert_eq(status, 200);
    cr_assert_null(json_object_get(answer, "key"));
    cr_assert_null(json_object_get(answer, "digest"));
    cr_assert_null(json_object_get(answer, "fingerprint"));
    cr_assert_str_eq(text_of(answer, "state"), "active");
    json_decref(answer);
}

Test(control_api, usual_scopes_follow_from_the_role)
{
    static const struct {
        const char *body;
        size_t n;
    } usual[] = {{"{\"tenant\":\"acme\",\"role\":\"viewer\"}", 1},
                 {"{\"tenant\":\"acme\",\"role\":\"editor\"}", 4},
                 {"{\"tenant\":\"acme\",\"role\":\"admin\"}", 5},
                 {"{\"tenant\":\"platform\"}", 1}};
    for (size_t i = 0; i < OX_COUNT(usual); i++) {
        json_t *answer = ask("POST", "/api/v1/keys", usual[i].body);
        cr_assert_eq(status, 201);
        cr_assert_eq(json_array_size(json_object_get(answer, "scopes")), usual[i].n, "%s", usual[i].body);
        json_decref(answer);
    }
}

Test(control_api, an_admin_has_his_own_tenant_and_no_other)
{
    static const char *const about_other[] = {"", "/revoke", "/rotate"};
    char path[80], never[400];
    make_key("{\"tenant\":\"other\"}");
    as("acme", OX_ROLE_ADMIN);
    cr_assert_eq(refusal_of("POST", "/api/v1/keys", "{\"tenant\":\"other\"}"), 403);
    cr_assert_eq(refusal_of("GET", "/api/v1/keys?tenant=other", NULL), 403);
    snprintf(never, sizeof(never), "%s", message);
    cr_assert_eq(refusal_of("GET", "/api/v1/keys?tenant=neverwas", NULL), 403);
    cr_assert_str_eq(message, never, "the same for a tenant that does not exist");
    for (size_t i = 0; i < OX_COUNT(about_other); i++) {
        const char *method = i == 0 ? "GET" : "POST";
        snprintf(path, sizeof(path), "/api/v1/keys/k_neverwas00%s", about_other[i]);
        cr_assert_eq(refusal_of(method, path, NULL), 404);
        snprintf(never, sizeof(never), "%s", message);
        snprintf(path, sizeof(path), "/api/v1/keys/%s%s", made_id, about_other[i]);
        cr_assert_eq(refusal_of(method, path, NULL), 404);
        cr_assert_eq(strncmp(message, never, strlen("there is no key ")), 0, "%s", message);
    }
    char body[128];
    snprintf(body, sizeof(body), "{\"key\":\"%s\"}", made_key);
    cr_assert_eq(refusal_of("POST", "/api/v1/keys/verify", body), 404,
                 "whoever finds a key does not learn whose it is");
    make_key("{}");
    json_t *answer = ask("GET", "/api/v1/keys", NULL);
    cr_assert_eq(json_array_size(json_object_get(answer, "keys")), 1);
    cr_assert_str_eq(text_of(json_array_get(json_object_get(answer, "keys"), 0), "tenant"), "acme");
    json_decref(answer);
    cr_assert_eq(refusal_of("POST", "/api/v1/keys", "{\"role\":\"operator\"}"), 403);
    as("platform", OX_ROLE_OPERATOR);
    answer = ask("GET", "/api/v1/keys", NULL);
    cr_assert_eq(json_array_size(json_object_get(answer, "keys")), 2, "an operator sees both");
    json_decref(answer);
}

Test(control_api, revoke_and_rotate)
{
    char path[80], old[OX_KEY_ID_MAX + 1];
    make_key("{\"tenant\":\"acme\",\"name\":\"ci\",\"role\":\"viewer\",\"expires_in\":\"10d\"}");
    snprintf(old, sizeof(old), "%s", made_id);
    snprintf(path, sizeof(path), "/api/v1/keys/%s/rotate", made_id);
    ox_clock_virtual_advance(&clk, 86400ull * 1000000000);
    json_t *answer = ask("POST", path, "{\"overlap\":\"1h\"}");
    cr_assert_eq(status, 201);
    cr_assert_str_eq(text_of(answer, "rotated_from"), old);
    cr_assert_str_eq(text_of(answer, "name"), "ci");
    cr_assert_str_eq(text_of(answer, "role"), "viewer");
    cr_assert_str_eq(text_of(answer, "expires"), "2023-11-25T22:13:20Z", "ten days from now");
    cr_assert_eq(ox_api_key_check(ox_str_of(text_of(answer, "key")), NULL), OX_OK);
    json_decref(answer);
    expect_audit("keys.write", "acme", "granted");
    snprintf(path, sizeof(path), "/api/v1/keys/%s", old);
    answer = ask("GET", path, NULL);
    cr_assert_str_eq(text_of(answer, "expires"), "2023-11-15T23:13:20Z", "in an hour");
    json_decref(answer);
    snprintf(path, sizeof(path), "/api/v1/keys/%s/revoke", old);
    answer = ask("POST", path, NULL);
    cr_assert_eq(status, 200);
    cr_assert_str_eq(text_of(answer, "state"), "revoked");
    json_decref(answer);
    expect_audit("keys.write", "acme", "granted");
    snprintf(path, sizeof(path), "/api/v1/keys/%s/rotate", old);
    cr_assert_eq(refusal_of("POST", path, NULL), 409);
    expect_audit("keys.write", "acme", "failed");
    snprintf(path, sizeof(path), "/api/v1/keys/%s/revoke", old);
    answer = ask("POST", path, NULL);
    cr_assert_eq(status, 200);
    cr_assert_str_eq(text_of(answer, "state"), "revoked");
    json_decref(answer);
    expect_audit("keys.write", "acme", "failed"); /* revoked already: nothing was done */
}

/* What a node knows of a key may be a moment old; what the store knows is not. */
static ox_err
is_away(struct ox_control_store *st, const struct ox_control_asker *who, struct ox_diag *d)
{
    return ox_diag_set(d, OX_E_UNAVAILABLE, NULL, -1, "away");
}

Test(control_api, a_key_that_was_revoked_gives_no_order)
{
    char path[80], revoke[80];
    static char boss[OX_KEY_ID_MAX + 1];
    make_key("{\"tenant\":\"acme\",\"role\":\"admin\"}");
    memcpy(boss, made_id, sizeof(boss));
    as("acme", OX_ROLE_ADMIN);
    asker.key_id = boss;
    make_key("{}");
    snprintf(path, sizeof(path), "/api/v1/keys/%s/rotate", made_id);
    cr_assert_eq(status_of("POST", path, NULL), 201, "a good key's order is carried out");
    snprintf(revoke, sizeof(revoke), "/api/v1/keys/%s/revoke", boss);
    cr_assert_eq(status_of("POST", revoke, NULL), 200);
    cr_assert_eq(refusal_of("POST", "/api/v1/keys", "{}"), 401);
    cr_assert_not_null(strstr(message, "has ended meanwhile"), "%s", message);
    expect_audit("keys.write", "acme", "failed");
    cr_assert_eq(refusal_of("POST", path, NULL), 401);
    snprintf(path, sizeof(path), "/api/v1/keys/%s/revoke", made_id);
    cr_assert_eq(refusal_of("POST", path, NULL), 401);
    as("platform", OX_ROLE_OPERATOR);
    asker.key_id = boss;
    cr_assert_eq(
        refusal_of("POST", "/api/v1/quotas", "{\"tenant\":\"acme\",\"quota\":\"logs.records\",\"value\":5}"),
        401, "nor one about a quota");
    asker.key_id = "";
    json_t *answer = ask("GET", "/api/v1/keys?tenant=acme", NULL);
    cr_assert_eq(json_array_size(json_object_get(answer, "keys")), 3, "nothing was made");
    json_decref(answer);
}

/* As of a quarantine, a reload, read-only: orders that the store does not carry out. */
Test(control_api, who_gives_another_order_is_looked_at_once_more_while_the_store_answers)
{
    struct ox_query_request req = {.tenant = {"platform"}, .role = OX_ROLE_OPERATOR};
    char revoke[80];
    make_key("{\"tenant\":\"platform\"}");
    cr_assert_eq(ox_control_may_still(api.store, &req, START_S, &diag), OX_OK, "nobody whom the store knows");
    req.key_id = made_id;
    cr_assert_eq(ox_control_may_still(api.store, &req, START_S, &diag), OX_OK);
    snprintf(revoke, sizeof(revoke), "/api/v1/keys/%s/revoke", made_id);
    cr_assert_eq(status_of("POST", revoke, NULL), 200);
    cr_assert_eq(ox_control_may_still(api.store, &req, START_S, &diag), OX_E_UNAUTHENTICATED);
    req.key_id = "";
    req.way = OX_WAY_SESSION;
    req.user = "nobody";
    cr_assert_eq(ox_control_may_still(api.store, &req, START_S, &diag), OX_E_UNAUTHENTICATED);
    struct ox_control_store away = *api.store;
    away.may_still = is_away;
    cr_assert_eq(ox_control_may_still(&away, &req, START_S, &diag), OX_OK,
                 "an operator can act while the store is away");
}

Test(control_api, what_has_ended_is_not_rotated_and_makes_no_secret)
{
    char path[80];
    make_key("{\"tenant\":\"acme\",\"expires_in\":\"10s\"}");
    ox_clock_virtual_advance(&clk, 10ull * 1000000000);
    snprintf(path, sizeof(path), "/api/v1/keys/%s/rotate", made_id);
    cr_assert_eq(refusal_of("POST", path, NULL), 409);
    cr_assert_not_null(strstr(message, "has expired; create a new one"), "%s", message);
    json_t *line = last_audit();
    cr_assert_str_eq(text_of(line, "outcome"), "failed");
    cr_assert_null(strstr(text_of(line, "detail"), "rotate key"), "the order was not granted first");
    json_decref(line);
}

Test(control_api, verify_tells_a_good_key_from_one_that_is_not)
{
    char body[128], path[80];
    make_key("{\"tenant\":\"acme\"}");
    snprintf(body, sizeof(body), "{\"key\":\"%s\"}", made_key);
    json_t *answer = ask("POST", "/api/v1/keys/verify", body);
    cr_assert(json_is_true(json_object_get(answer, "good")));
    cr_assert_str_eq(text_of(answer, "fingerprint"), "right");
    cr_assert_str_eq(text_of(answer, "id"), made_id);
    json_decref(answer);
    snprintf(path, sizeof(path), "/api/v1/keys/%s/revoke", made_id);
    cr_assert_eq(status_of("POST", path, NULL), 200);
    answer = ask("POST", "/api/v1/keys/verify", body);
    cr_assert(json_is_false(json_object_get(answer, "good")));
    cr_assert_str_eq(text_of(answer, "state"), "revoked");
    json_decref(answer);
}

Test(control_api, without_an_audit_log_nothing_changes)
{
    char path[96];
    struct ox_control_tenant t;
    struct ox_tenant_id id = {"new"};
    ox_audit_close(api.audit);
    snprintf(path, sizeof(path), "%s/nowhere/audit.jsonl", dir);
    api.audit = ox_audit_open(ox_disk_real(), path, &clk.clock);
    cr_assert_eq(refusal_of("POST", "/api/v1/tenants", "{\"id\":\"new\"}"), 503);
    cr_assert_not_null(strstr(message, "nothing has changed"), "%s", message);
    cr_assert_eq(api.store->tenant_get(api.store, &id, &t, &diag), OX_E_NOT_FOUND);
}

static ox_err
break_down(struct ox_control_store *self, const struct ox_tenant_id *tenant, const char *after,
           struct ox_control_key *out, size_t *n, struct ox_diag *d)
{
    return ox_diag_set(d, OX_E_UNAVAILABLE, "control.url", -1,
                       "PostgreSQL cannot be reached: db.internal:5432");
}

Test(control_api, only_operators_hear_what_ails_the_store)
{
    api.store->key_list = break_down;
    cr_assert_eq(refusal_of("GET", "/api/v1/keys", NULL), 503);
    cr_assert_not_null(strstr(message, "db.internal"), "%s", message);
    as("acme", OX_ROLE_ADMIN);
    cr_assert_eq(refusal_of("GET", "/api/v1/keys", NULL), 503);
    cr_assert_str_eq(message, "the control plane cannot do this now; retry later");
}

Test(control_api, the_first_operator_is_made_once)
{
    char text[OX_API_KEY_LEN + 1] = "";
    struct ox_control_key key, got;
    bool made;
    cr_assert_eq(ox_control_first_operator(api.store, START_S, false, text, &key, &made, &diag), OX_OK, "%s",
                 diag.text);
    cr_assert(made);
    cr_assert_eq(ox_api_key_check(ox_str_of(text), NULL), OX_OK);
    cr_assert_eq(key.role, OX_ROLE_OPERATOR);
    cr_assert_eq(key.scopes, OX_SCOPE_ADMIN);
    cr_assert_eq(ox_control_first_operator(api.store, START_S, false, text, &key, &made, &diag), OX_OK);
    cr_assert_not(made);
    size_t n = 1;
    cr_assert_eq(api.store->key_list(api.store, &key.tenant, "", &got, &n, &diag), OX_OK);
    cr_assert_eq(ox_control_first_operator(api.store, START_S, true, text, &key, &made, &diag), OX_OK);
    cr_assert(made, "who has lost it and owns the database gets another one");
    cr_assert_eq(api.store->key_revoke(api.store, NULL, &key.tenant, key.id, START_S, &key, &diag), OX_OK);
    cr_assert_eq(api.store->key_revoke(api.store, NULL, &key.tenant, got.id, START_S, &got, &diag), OX_OK);
    cr_assert_eq(ox_control_first_operator(api.store, START_S, false, text, &key, &made, &diag), OX_OK);
    cr_assert(made, "the only one was revoked: somebody must be able to begin anew");
}

/* ---- the audit log ---- */

static size_t
entries_of(json_t *answer, const char *target)
{
    json_t *entries = json_object_get(answer, "entries");
    cr_assert_eq(status, 200, "%s", target);
    cr_assert(json_is_array(entries));
    return json_array_size(entries);
}

static size_t
entries(const char *target)
{
    json_t *answer = ask("GET", target, NULL);
    size_t n = entries_of(answer, target);
    json_decref(answer);
    return n;
}

Test(control_api, admins_see_what_was_ordered_for_their_tenant_and_operators_all)
{
    size_t all_before = entries("/api/v1/audit"), of_acme = entries("/api/v1/audit?tenant=acme");
    cr_assert_eq(status_of("PATCH", "/api/v1/tenants/acme", "{\"state\":\"disabled\"}"), 200);
    cr_assert_eq(status_of("PATCH", "/api/v1/tenants/other", "{\"state\":\"active\"}"), 200);
    cr_assert_eq(status_of("PATCH", "/api/v1/tenants/acme", "{\"state\":\"active\"}"), 200);
    size_t all = entries("/api/v1/audit");
    cr_assert_eq(all, all_before + 3);
    cr_assert_eq(entries("/api/v1/audit?tenant=acme"), of_acme + 2);
    json_t *answer = ask("GET", "/api/v1/audit?limit=2", NULL);
    cr_assert_eq(entries_of(answer, "two"), 2);
    cr_assert_str_eq(text_of(answer, "next"), "2");
    cr_assert_eq(strlen(text_of(json_array_get(json_object_get(answer, "entries"), 0), "hash")), 64);
    json_decref(answer);
    cr_assert_eq(entries("/api/v1/audit?after=2"), all - 2);
    cr_assert_eq(status_of("GET", "/api/v1/audit?after=x", NULL), 400);
    as("acme", OX_ROLE_ADMIN);
    answer = ask("GET", "/api/v1/audit", NULL);
    cr_assert_eq(entries_of(answer, "mine"), of_acme + 2);
    json_t *e;
    size_t i;
    json_array_foreach(json_object_get(answer, "entries"), i, e)
    {
        cr_assert_str_eq(text_of(e, "tenant"), "acme");
        cr_assert_null(json_object_get(e, "hash"), "it tells of what others did");
        cr_assert_null(json_object_get(e, "prev"));
    }
    json_decref(answer);
    cr_assert_eq(status_of("GET", "/api/v1/audit?tenant=other", NULL), 403);
}

/* ---- quotas ---- */

static unsigned heard;

static void
hear(void *ctx)
{
    heard++;
}

Test(control_api, quotas_are_set_by_operators_and_seen_by_their_tenant)
{
    api.quotas_changed = hear;
    as("platform", OX_ROLE_OPERATOR);
    cr_assert_eq(
        status_of("POST", "/api/v1/quotas", "{\"tenant\":\"acme\",\"quota\":\"logs.records\",\"value\":50}"),
        200);
    cr_assert_eq(heard, 1);
    expect_audit("quotas.write", "acme", "granted");
    expect_values("the default", "50");
    cr_assert_eq(
        status_of("POST", "/api/v1/quotas", "{\"tenant\":\"other\",\"quota\":\"series\",\"value\":9}"), 200);
    json_t *all = ask("GET", "/api/v1/quotas", NULL);
    cr_assert_eq(json_array_size(json_object_get(all, "set")), 2);
    json_decref(all);
    as("acme", OX_ROLE_ADMIN);
    json_t *mine = ask("GET", "/api/v1/quotas", NULL);
    cr_assert_eq(status, 200);
    cr_assert_str_eq(text_of(mine, "tenant"), "acme");
    cr_assert_eq(json_array_size(json_object_get(mine, "set")), 1);
    cr_assert_eq(json_array_size(json_object_get(mine, "in_force")), OX_QUOTA__COUNT);
    json_decref(mine);
    cr_assert_eq(status_of("GET", "/api/v1/quotas?tenant=other", NULL), 403);
    cr_assert_eq(
        status_of("POST", "/api/v1/quotas", "{\"tenant\":\"acme\",\"quota\":\"logs.records\",\"value\":0}"),
        403);
    expect_audit("quotas.write", "", "refused");
    as("platform", OX_ROLE_OPERATOR);
    cr_assert_eq(
        status_of("POST", "/api/v1/quotas/clear", "{\"tenant\":\"acme\",\"quota\":\"logs.records\"}"), 200);
    cr_assert_eq(
        status_of("POST", "/api/v1/quotas/clear", "{\"tenant\":\"acme\",\"quota\":\"logs.records\"}"), 404);
}

Test(control_api, quotas_that_cannot_be_are_refused)
{
    static const struct {
        const char *body;
        int status;
        const char *says;
    } cases[] = {
        {"{}", 400, "tenant"},
        {"{\"tenant\":\"nobody\",\"quota\":\"series\",\"value\":1}", 404, "nobody"},
        {"{\"tenant\":\"acme\",\"quota\":\"serie\",\"value\":1}", 400, "label_values"},
        {"{\"tenant\":\"acme\",\"quota\":\"series\",\"value\":-1}", 400, "value"},
        {"{\"tenant\":\"acme\",\"quota\":\"series\",\"value\":1.5}", 400, "value"},
        {"{\"tenant\":\"acme\",\"quota\":\"series\",\"value\":1000000000000001}", 400, "value"},
        {"{\"tenant\":\"acme\",\"quota\":\"series\"}", 400, "value"},
        {"{\"tenant\":\"acme\",\"quota\":\"series\",\"value\":1,\"key\":\"k_a\"}", 400, "tenants only"},
        {"{\"tenant\":\"acme\",\"quota\":\"logs.bytes\",\"value\":1,\"key\":\"k_none\"}", 404, "k_none"},
        {"{\"tenant\":\"acme\",\"quota\":\"logs.bytes\",\"value\":1,\"more\":1}", 400, "more"},
    };
    as("platform", OX_ROLE_OPERATOR);
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        cr_assert_eq(refusal_of("POST", "/api/v1/quotas", cases[i].body), cases[i].status, "%s: %d %s",
                     cases[i].body, status, message);
        cr_assert_not_null(strstr(message, cases[i].says), "%s: %s", cases[i].body, message);
    }
}
