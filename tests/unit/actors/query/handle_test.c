/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    routes, refusals and errors: every question gets a complete JSON answer, and a failing storage is
 *          never an empty result.
 * Method:  ox_storage_query is replaced by a script that records what was asked and answers bytes or an
 *          error.
 */
#include <criterion/criterion.h>
#include <jansson.h>

#include "ox/clock.h"
#include "ox/query.h"
#include "ox/storage.h"

static struct {
    ox_err err;
    int code;
    const void *bytes;
    size_t len;
    int calls;
    char sql[65536];
    char tenant[64];
    unsigned max_execution_ms;
} script;

ox_err
ox_storage_query(struct ox_storage *st, const struct ox_storage_query *query, struct ox_buf *out,
                 struct ox_storage_stats *stats, struct ox_diag *diag)
{
    script.calls++;
    snprintf(script.sql, sizeof(script.sql), "%.*s", (int)query->sql.n, query->sql.p);
    snprintf(script.tenant, sizeof(script.tenant), "%s",
             query->tenant != NULL ? query->tenant->name : "(system)");
    script.max_execution_ms = query->max_execution_ms;
    stats->code = script.code;
    if (script.err != OX_OK)
        return ox_diag_set(diag, script.err, NULL, -1, "storage says no");
    ox_buf_append(out, script.bytes, script.len);
    return OX_OK;
}

ox_err
ox_storage_ping(struct ox_storage *st, unsigned timeout_ms, struct ox_diag *diag)
{
    return script.err;
}

static struct ox_query_response res;

/* Who asks. */
static enum ox_role asker_role = OX_ROLE_VIEWER;
static uint32_t asker_scopes = OX_SCOPE_QUERY;

static json_t *
ask(const char *method, const char *path, const char *query)
{
    struct ox_clock_virtual clock;
    json_error_t why;
    ox_clock_virtual_init(&clock, 1, 1795233581000000000ull);
    struct ox_query q = {.clock = &clock.clock, .version = "test"};
    struct ox_query_request req = {.tenant = {"acme"},
                                   .role = asker_role,
                                   .scopes = asker_scopes,
                                   .method = ox_str_of(method),
                                   .path = ox_str_of(path),
                                   .query = ox_str_of(query)};
    ox_query_response_init(&res);
    ox_query_handle(&q, &req, &res);
    json_t *answer = json_loadb((char *)res.body.data, res.body.len, 0, &why);
    cr_assert_not_null(answer, "%s?%s: %s in %.*s", path, query, why.text, (int)res.body.len,
                       (char *)res.body.data);
    ox_query_response_fini(&res);
    return answer;
}

static const char *
message_of(const json_t *answer)
{
    return json_string_value(json_object_get(json_object_get(answer, "error"), "message"));
}

static void
reset(void)
{
    memset(&script, 0, sizeof(script));
}

TestSuite(handle, .init = reset, .timeout = 20);

Test(handle, unknown_path_names_the_nearest)
{
    json_t *a = ask("GET", "/api/v1/trace", "");
    cr_assert_eq(res.status, 404);
    const char *hint = json_string_value(json_object_get(json_object_get(a, "error"), "hint"));
    cr_assert_not_null(strstr(hint, "/api/v1/traces"), "%s", hint);
    json_decref(a);
}

static void
expect_hint(const char *path, const char *part)
{
    json_t *a = ask("GET", path, "");
    const char *hint = json_string_value(json_object_get(json_object_get(a, "error"), "hint"));
    cr_expect_eq(res.status, 404, "%s: %d", path, res.status);
    cr_expect(hint != NULL && strstr(hint, part) != NULL, "%s: %s", path, hint);
    json_decref(a);
}

Test(handle, unknown_path_is_not_likened_to_just_anything)
{
    expect_hint("/services", "nearest is /api/v1/services;");
    expect_hint("/status", "nearest is /api/v1/status;");
    expect_hint("/api/v2/traces", "nearest is /api/v1/traces;");
    expect_hint("/v1/traces", "OTLP is received on others");
    static const char *const like_none[] = {"/nix", "/favicon.ico", "/api/v1/alerts", "/x"};
    for (size_t i = 0; i < OX_COUNT(like_none); i++)
        expect_hint(like_none[i], "GET /api/v1 lists what there is");
}

Test(handle, an_order_for_what_is_read_is_refused_whatever_its_type)
{
    ox_query_response_init(&res);
    cr_assert(ox_query_refuses_order(OX_STR("/api/traces"), &res));
    cr_expect_eq(res.status, 405);
    cr_expect_str_eq(res.allow, "GET, HEAD");
    cr_assert(ox_query_refuses_order(OX_STR("/v1/traces"), &res));
    cr_expect_eq(res.status, 404);
    cr_expect_not(ox_query_refuses_order(OX_STR("/api/v1/quarantine/acme/revoke"), &res));
    cr_expect_not(ox_query_refuses_order(OX_STR("/api/v1/keys"), &res));
    ox_query_response_fini(&res);
}

Test(handle, wrong_method_says_what_is_allowed)
{
    json_t *a = ask("POST", "/api/v1/logs", "");
    cr_assert_eq(res.status, 405);
    cr_assert_str_eq(res.allow, "GET, HEAD");
    cr_assert_eq(script.calls, 0);
    json_decref(a);
}

Test(handle, bad_parameters_are_named_before_storage_is_asked)
{
    static const struct {
        const char *path, *query, *names;
    } cases[] = {
        {"/api/v1/traces", "minDuration=slow", "minDuration"},
        {"/api/v1/traces", "minDuration=2s&maxDuration=1s", "minDuration=2s"},
        {"/api/v1/traces", "service=a&service=b", "service is given more than once"},
        {"/api/v1/traces", "time=1h&since=2h", "since is given more than once"},
        {"/api/v1/metrics", "agg=avg", "agg=avg"},
        {"/api/v1/metrics", "service=a&step=1m", "step=1m"},
        {"/api/v1/status", "x=1", "known here: none"},
        {"/api/v1/traces", "status=broken", "status"},
        {"/api/v1/traces", "limit=1001", "limit"},
        {"/api/v1/traces", "tags=x", "tags"},
        {"/api/v1/traces/abc", "", "trace_id"},
        {"/api/v1/traces", "trace_id=abc123", "trace_id"},
        {"/api/v1/logs", "level=loud", "level"},
        {"/api/v1/logs", "limit=10001", "limit"},
        {"/api/v1/logs", "time=soon", "time"},
        {"/api/v1/logs", "span_id=1", "span_id"},
        {"/api/v1/logs", "after=nonsense", "after"},
        {"/api/v1/logs", "servce=x", "servce"},
        {"/api/v1/metrics", "name=x&agg=median", "agg"},
        {"/api/v1/metrics", "name=x&step=1", "step"},
        {"/api/v1/metrics", "name=x&by=route", "by"},
        {"/api/v1/services", "limit=5", "limit"},
        {"/api/v1/status", "x=1", "x"},
        {"/metrics", "service=a&timerange=never", "timerange"},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        json_t *a = ask("GET", cases[i].path, cases[i].query);
        cr_assert_eq(res.status, 400, "%s?%s gives %d", cases[i].path, cases[i].query, res.status);
        cr_assert_not_null(strstr(message_of(a), cases[i].names), "%s", message_of(a));
        cr_assert_eq(script.calls, 0, "%s?%s", cases[i].path, cases[i].query);
        json_decref(a);
    }
}

Test(handle, errors_of_storage_are_errors_of_the_answer)
{
    static const struct {
        ox_err err;
        int code, status;
    } cases[] = {
        {OX_E_STORAGE_DOWN, 0, 503},     {OX_E_STORAGE_BUSY, 241, 503}, {OX_E_STORAGE_BUDGET, 158, 400},
        {OX_E_STORAGE_BUDGET, 159, 504}, {OX_E_TIMEOUT, 0, 504},        {OX_E_STORAGE_REFUSED, 62, 500},
        {OX_E_NOT_FOUND, 60, 503},       {OX_E_TOO_LARGE, 0, 400},
    };
    static const char *const paths[] = {"/api/v1/traces/0af7651916cd43dd8448eb211c80319c",
                                        "/api/v1/traces",
                                        "/api/v1/logs",
                                        "/api/v1/metrics",
                                        "/api/v1/services",
                                        "/api/v1/services/stats"};
    for (size_t i = 0; i < OX_COUNT(cases); i++)
        for (size_t k = 0; k < OX_COUNT(paths); k++) {
            script.err = cases[i].err;
            script.code = cases[i].code;
            json_t *a = ask("GET", paths[k], "");
            cr_assert_eq(res.status, cases[i].status, "%s with %s gives %d", paths[k],
                         ox_err_info(cases[i].err)->symbol, res.status);
            cr_assert_not_null(message_of(a));
            if (script.code != 0)
                cr_assert_null(strstr(message_of(a), "storage says no"),
                               "what ClickHouse said is for the log");
            cr_assert_eq(json_object_size(a), 1, "nothing but the error");
            json_decref(a);
        }
}

Test(handle, a_result_of_another_shape_is_an_error)
{
    script.bytes = "\x01\x02\x03";
    script.len = 3;
    json_t *a = ask("GET", "/api/v1/logs", "");
    cr_assert_eq(res.status, 500);
    json_decref(a);
}

Test(handle, an_empty_result_is_an_empty_list_with_its_range)
{
    json_t *a = ask("GET", "/logs", "service=payment&level=error&time=last_hour");
    cr_assert_eq(res.status, 200);
    cr_assert_eq(json_array_size(json_object_get(a, "logs")), 0);
    const json_t *meta = json_object_get(a, "meta");
    cr_assert(json_is_false(json_object_get(meta, "truncated")));
    cr_assert(json_is_false(json_object_get(meta, "sampled")));
    cr_assert(json_is_false(json_object_get(meta, "partial")));
    cr_assert_str_eq(json_string_value(json_object_get(json_object_get(meta, "time_range"), "start")),
                     "2026-11-21T02:59:41.000000000Z");
    json_decref(a);
}

Test(handle, each_statement_names_the_tenant_and_no_value)
{
    static const char *const questions[] = {
        "/api/v1/traces?service=EVIL&operation=EVIL&tags=EVIL:EVIL&minDuration=1ms",
        "/api/v1/traces?service=EVIL&status=error",
        "/api/v1/logs?service=EVIL&q=EVIL&tags=EVIL:EVIL",
        "/api/v1/logs?after=start&q=EVIL",
        "/api/v1/metrics?service=EVIL&label.EVIL=EVIL",
        "/api/v1/metrics?name=EVIL&label.EVIL=~EVIL&agg=sum&by=EVIL"};
    for (size_t i = 0; i < OX_COUNT(questions); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s", questions[i]);
        char *query = strchr(path, '?');
        *query++ = 0;
        json_decref(ask("GET", path, query));
        cr_assert_eq(res.status, 200, "%s", questions[i]);
        cr_assert_str_eq(script.tenant, "acme");
        cr_assert_not_null(strstr(script.sql, "tenant_id = {p"), "%s", script.sql);
        cr_assert_null(strstr(script.sql, "EVIL"), "%s", script.sql);
        cr_assert_eq(script.max_execution_ms, 30000);
    }
}

Test(handle, status_answers_while_storage_does_not)
{
    script.err = OX_E_STORAGE_DOWN;
    json_t *a = ask("GET", "/api/status", "");
    cr_assert_eq(res.status, 200);
    cr_assert_str_eq(json_string_value(json_object_get(a, "status")), "degraded");
    cr_assert(json_is_true(json_object_get(json_object_get(a, "meta"), "partial")));
    json_decref(a);
}

Test(handle, which_paths_are_questions)
{
    cr_assert(ox_query_is_route(OX_STR("/metrics"), OX_STR("service=a")));
    cr_assert_not(ox_query_is_route(OX_STR("/metrics"), OX_STR("")));
    cr_assert(ox_query_is_route(OX_STR("/logs"), OX_STR("")));
    cr_assert(ox_query_is_route(OX_STR("/api/logs"), OX_STR("")));
    cr_assert_not(ox_query_is_route(OX_STR("/api/v1"), OX_STR("")),
                  "the list of routes is a page of the port");
    cr_assert_not(ox_query_is_route(OX_STR("/health"), OX_STR("")));
}

/* Roles and scopes are decided before storage is asked, on every route that reads telemetry. */
Test(handle, telemetry_is_for_who_may_read_it)
{
    static const char *const paths[] = {"/api/v1/traces",   "/api/v1/traces/4bf92f3577b34da6a3ce929d0e0e4736",
                                        "/api/v1/logs",     "/api/v1/metrics",
                                        "/api/v1/services", "/api/v1/services/stats",
                                        "/traces",          "/logs",
                                        "/metrics"};
    static const struct {
        enum ox_role role;
        uint32_t scopes;
        const char *sentence;
    } refused[] = {
        {OX_ROLE_NONE, OX_SCOPE_ALL, "role none may not read telemetry"},
        {OX_ROLE_OPERATOR, OX_SCOPE_ALL, "role operator may not read telemetry"},
        {OX_ROLE_ADMIN, OX_SCOPE_ALL & ~OX_SCOPE_QUERY, "it needs query"},
        {OX_ROLE_EDITOR, OX_SCOPE_INGEST, "it needs query"},
    };
    for (size_t r = 0; r < OX_COUNT(refused); r++) {
        asker_role = refused[r].role;
        asker_scopes = refused[r].scopes;
        for (size_t i = 0; i < OX_COUNT(paths); i++) {
            script.sql[0] = '\0';
            json_t *answer = ask("GET", paths[i], "");
            cr_assert_eq(res.status, 403, "%s as %s gives %d", paths[i], ox_role_name(asker_role),
                         res.status);
            cr_assert_not_null(strstr(message_of(answer), refused[r].sentence), "%s", message_of(answer));
            cr_assert_eq(script.sql[0], '\0', "storage was asked");
            json_decref(answer);
        }
    }
}
