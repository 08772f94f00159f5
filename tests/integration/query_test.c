/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the read API's answers about known rows are right: who sees what, which traces match, and the
 *          arithmetic of metrics.
 * Method:  the real engine with the real schema; rows written as SQL around a fixed hour T that the virtual
 *          clock shows as now; two tenants with the same ids.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/storage/storage.h"
#include "ox/clock.h"
#include "ox/metric.h"
#include "ox/query.h"
#include "ox/schema.h"
#include "tests/harness/engine_fixture.h"

static struct engine_fixture f;
static struct ox_clock_virtual now;
static uint64_t t_s; /* T: a whole hour */

/* Runs `sql`, in which T stands for the hour as DateTime64(9). */
static void
put(const char *sql)
{
    char text[8192];
    size_t n = 0;
    for (const char *p = sql; *p != 0; p++) {
        if (p[0] == '@' && p[1] == 'T') {
            n += (size_t)snprintf(text + n, sizeof(text) - n, "toDateTime64(%llu, 9, 'UTC')",
                                  (unsigned long long)t_s);
            p++;
        } else {
            text[n++] = *p;
        }
        cr_assert_lt(n, sizeof(text) - 64);
    }
    text[n] = 0;
    engine_sql(&f, text);
}

/* Trace A of acme: slow, fails in payment. Trace B: fast, fine. Trace A of other: must stay his. */
static void
put_traces(void)
{
    put("INSERT INTO otel_traces (tenant_id, service_name, start_time, duration_ns, trace_id, span_id, "
        "parent_span_id, "
        "name, kind, status_code, attributes, attribute_types, sample_weight) "
        "SELECT * FROM (SELECT 'acme', 'shop', @T - 100, 2000000000, "
        "unhex('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'), "
        "unhex('0000000000000001'), unhex('0000000000000000'), 'POST /pay', 2, 0, map('n', '42', 'k', "
        "'a,b'), 'is', 1. UNION ALL "
        "SELECT 'acme', 'payment', @T - 99, 500000000, unhex('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'), "
        "unhex('0000000000000002'), unhex('0000000000000001'), 'charge', 3, 2, map('n', '43'), 'i', 1. UNION "
        "ALL "
        "SELECT 'acme', 'shop', @T - 50, 1000000, unhex('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'), "
        "unhex('0000000000000003'), unhex('0000000000000000'), 'GET /', 2, 1, map('n', '1'), 'i', 1. UNION "
        "ALL "
        "SELECT 'acme', 'old', @T - 7200, 1000000, unhex('cccccccccccccccccccccccccccccccc'), "
        "unhex('0000000000000004'), unhex('0000000000000009'), 'late', 1, 0, map('n', '1'), 'i', 4. UNION "
        "ALL "
        "SELECT 'other', 'theirs', @T - 100, 9000000000, unhex('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'), "
        "unhex('0000000000000005'), unhex('0000000000000000'), 'secret', 2, 2, map('n', '42'), 'i', 1.)");
}

static void
put_logs(void)
{
    put("INSERT INTO otel_logs (tenant_id, service_name, time, severity_number, severity_text, body, "
        "body_type, trace_id, "
        "block_id) SELECT 'acme', 'payment', @T - 10 - number, [9, 13, 17, 18, 21, 0][number + 1], "
        "if(number = 5, 'error', ''), concat('Pool EXHAUSTED on db-', toString(number)), 's', "
        "if(number = 2, unhex('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'), unhex(repeat('00', 16))), 1 FROM "
        "numbers(6)");
    put("INSERT INTO otel_logs (tenant_id, service_name, time, severity_number, body, body_type, block_id) "
        "SELECT 'other', 'payment', @T - 10, 17, 'Pool exhausted elsewhere', 's', 2");
}

/* calls: two cumulative series, +60 a minute each; one restarts at T-120 s. lat: a delta histogram. level: a gauge. */
static void
put_metrics(void)
{
    put("INSERT INTO otel_metric_series (tenant_id, metric_name, series_id, day, service_name, type, "
        "temporality, monotonic, "
        "attributes, resource_attributes) SELECT 'acme', 'calls', number + 1, toDate(@T - 1), 'shop', 2, 2, "
        "true, "
        "map('route', ['/a', '/b'][number + 1]), map('host', 'h') FROM numbers(2)");
    put("INSERT INTO otel_metrics (tenant_id, metric_name, series_id, time, start_time, value, value_type, "
        "int_value) "
        "SELECT 'acme', 'calls', s + 1, @T - 600 + 10 * n, @T - 3600, if(s = 1 AND n >= 48, (n - 48) * 10, "
        "1000 + n * 10), 1, 0 "
        "FROM (SELECT arrayJoin(range(60)) AS n, arrayJoin([0, 1]) AS s)");
    put("INSERT INTO otel_metric_series (tenant_id, metric_name, series_id, day, service_name, type, "
        "temporality) "
        "SELECT 'acme', 'lat', 9, toDate(@T - 1), 'shop', 3, 1");
    put("INSERT INTO otel_metric_histograms (tenant_id, metric_name, series_id, time, type, has, count, sum, "
        "min, max, "
        "explicit_bounds, bucket_counts) SELECT 'acme', 'lat', 9, @T - 60 + number, 3, 7, 10, 500., 1., "
        "900., [100., 1000.], "
        "[9, 1, 0] FROM numbers(10)");
    put("INSERT INTO otel_metric_series (tenant_id, metric_name, series_id, day, service_name, type) "
        "SELECT 'acme', 'level', 8, toDate(@T - 1), 'shop', 1");
    put("INSERT INTO otel_metrics (tenant_id, metric_name, series_id, time, value, value_type, int_value) "
        "SELECT 'acme', 'level', 8, @T - 60 + number, number, if(number = 3, 1, 2), if(number = 3, "
        "9007199254740993, 0) "
        "FROM numbers(20)");
}

static void
up(void)
{
    struct ox_diag diag = {0};
    engine_up(&f, "-", NULL);
    cr_assert_eq(ox_storage_migrate(f.st, ox_schema_clickhouse, ox_schema_clickhouse_count, NULL, &diag),
                 OX_OK, "%s: %s", diag.field, diag.text);
    t_s = ox_clock_realtime_ns(ox_clock_real()) / 1000000000u / 3600 * 3600;
    ox_clock_virtual_init(&now, 1, t_s * 1000000000u);
    put_traces();
    put_logs();
    put_metrics();
}

static void
down(void)
{
    engine_down(&f);
}

TestSuite(query, .init = up, .fini = down, .timeout = 120);

/* What the node would say of its blocks; NULL = there is none. */
static void (*the_blocks)(void *ctx, uint64_t *next, uint64_t *visible_below);

static json_t *
ask(const char *tenant, const char *path_and_query, int status)
{
    struct ox_query q = {.storage = f.st, .clock = &now.clock, .blocks = the_blocks};
    struct ox_query_request req = {.method = OX_STR("GET"), .role = OX_ROLE_VIEWER, .scopes = OX_SCOPE_QUERY};
    struct ox_query_response res;
    const char *mark = strchr(path_and_query, '?');
    json_error_t why;
    snprintf(req.tenant.name, sizeof(req.tenant.name), "%s", tenant);
    req.path = (struct ox_str){path_and_query,
                               mark != NULL ? (size_t)(mark - path_and_query) : strlen(path_and_query)};
    req.query = ox_str_of(mark != NULL ? mark + 1 : "");
    ox_query_response_init(&res);
    ox_query_handle(&q, &req, &res);
    cr_assert_eq(res.status, status, "%s gives %d: %.*s", path_and_query, res.status, (int)res.body.len,
                 (char *)res.body.data);
    json_t *answer = json_loadb((char *)res.body.data, res.body.len, 0, &why);
    cr_assert_not_null(answer, "%s", why.text);
    ox_query_response_fini(&res);
    return answer;
}

/* The member `key` of each object of list `name`, joined by commas. */
static const char *
column(const char *tenant, const char *question, const char *name, const char *key)
{
    static char text[4096];
    json_t *answer = ask(tenant, question, 200), *row;
    size_t i, n = 0;
    text[0] = 0;
    json_array_foreach(json_object_get(answer, name), i, row) n += (size_t)snprintf(
        text + n, sizeof(text) - n, "%s%s", i > 0 ? "," : "", json_string_value(json_object_get(row, key)));
    json_decref(answer);
    return text;
}

Test(query, traces_match_by_trace_and_by_span)
{
    static const struct {
        const char *question, *operations;
    } cases[] = {
        {"/api/v1/traces", "GET /,POST /pay"},
        {"/api/v1/traces?time=3h", "GET /,POST /pay,late"},
        {"/api/v1/traces?time=3h&limit=2", "GET /,POST /pay"},
        {"/api/v1/traces?service=payment", "POST /pay"},
        {"/api/v1/traces?operation=charge", "POST /pay"},
        {"/api/v1/traces?service=shop&operation=charge", ""},
        {"/api/v1/traces?minDuration=1900ms", "POST /pay"},
        {"/api/v1/traces?service=payment&minDuration=1900ms", "POST /pay"},
        {"/api/v1/traces?minDuration=3s", ""},
        {"/api/v1/traces?maxDuration=100ms", "GET /"},
        {"/api/v1/traces?status=error", "POST /pay"},
        {"/api/v1/traces?status=ok", "GET /"},
        {"/api/v1/traces?tags=n:42,k:a,b", "POST /pay"},
        {"/api/v1/traces?tags=n:42&tags=error:true", ""},
        {"/api/v1/traces?tags=error:true", "POST /pay"},
        {"/api/v1/traces?end=now-1h&time=2h", "late"},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++)
        cr_assert_str_eq(column("acme", cases[i].question, "traces", "root_operation"), cases[i].operations,
                         "%s gives %s", cases[i].question,
                         column("acme", cases[i].question, "traces", "root_operation"));
}

Test(query, a_trace_is_whole_and_its_tenants_own)
{
    json_t *a = ask("acme", "/api/v1/traces/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?correlate=true", 200);
    cr_assert_eq(json_array_size(json_object_get(a, "spans")), 2);
    cr_assert_eq(json_array_size(json_object_get(a, "logs")), 1);
    cr_assert_eq(json_integer_value(json_object_get(a, "duration_ns")), 2000000000);
    cr_assert_eq(json_integer_value(json_object_get(a, "error_count")), 1);
    json_decref(a);
    cr_assert_str_eq(column("other", "/traces?trace_id=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "spans", "name"),
                     "secret");
    json_decref(ask("other", "/api/v1/traces/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 404));
    json_decref(ask("nobody", "/api/v1/traces/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 404));
    a = ask("acme", "/api/v1/traces/cccccccccccccccccccccccccccccccc", 200);
    const json_t *span = json_array_get(json_object_get(a, "spans"), 0);
    cr_assert(json_is_true(json_object_get(span, "orphan")));
    cr_assert(json_is_true(json_object_get(json_object_get(a, "meta"), "sampled")), "its weight says so");
    cr_assert(json_is_true(json_object_get(a, "incomplete")), "its root is missing");
    cr_assert_eq(json_array_size(json_object_get(a, "incomplete_reasons")), 2);
    json_decref(a);
    a = ask("acme", "/api/v1/traces/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 200);
    cr_assert(json_is_false(json_object_get(a, "incomplete")));
    json_decref(a);
}

/* 1000 traces of `kept` in the ten minutes before T, two spans each: 900 of weight 10 that took 1 ms, 100 of weight 1 that
 * failed after 50 ms. Their weights stand for 18,200 spans. */
static void
put_sampled(void)
{
    put("INSERT INTO otel_traces (tenant_id, service_name, start_time, duration_ns, trace_id, span_id, "
        "parent_span_id, name, kind, status_code, sample_weight) SELECT 'acme', 'kept', @T - 600 + "
        "intDiv(number, 4), if(number % 20 < 2, 50000000, 1000000), toFixedString(concat('kept', "
        "leftPad(toString(intDiv(number, 2)), 12, '0')), 16), toFixedString(leftPad(toString(number), 8, "
        "'0'), 8), if(number % 2 = 0, toFixedString('', 8), toFixedString(leftPad(toString(number - 1), 8, "
        "'0'), 8)), 'op', 2, if(number % 20 < 2, 2, 0), if(number % 20 < 2, 1, 10) FROM numbers(2000)");
}

/* Member `key` of the `sampling` of an answer's meta, or of a service. */
static double
sampling(const json_t *of, const char *key)
{
    const json_t *v = json_object_get(json_object_get(of, "sampling"), key);
    cr_assert_not_null(v, "%s is not there", key);
    return json_number_value(v);
}

Test(query, a_list_says_what_its_spans_stand_for)
{
    static const struct {
        const char *question;
        unsigned stored;
        double spans;
    } cases[] = {
        {"/api/v1/traces?service=kept&limit=1000", 2000, 18200},
        {"/api/v1/traces?service=kept&limit=3&minDuration=500us", 2000, 18200}, /* not of those shown */
        {"/api/v1/traces?service=kept&status=ok&maxDuration=2ms", 1800, 18000},
        {"/api/v1/traces?service=old&time=3h", 1, 4},
    };
    put_sampled();
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        json_t *a = ask("acme", cases[i].question, 200), *meta = json_object_get(a, "meta");
        cr_assert(json_is_true(json_object_get(meta, "sampled")), "%s", cases[i].question);
        cr_expect_float_eq(sampling(meta, "spans_stored"), cases[i].stored, 0.5, "%s", cases[i].question);
        cr_expect_float_eq(sampling(meta, "spans"), cases[i].spans, 0.5, "%s", cases[i].question);
        cr_expect_float_eq(sampling(meta, "rate"), cases[i].stored / cases[i].spans, 1e-9);
        cr_expect_lt(sampling(meta, "spans_low"), cases[i].spans);
        cr_expect_gt(sampling(meta, "spans_high"), cases[i].spans);
        json_decref(a);
    }
    json_t *a = ask("acme", "/api/v1/traces?service=kept&limit=3", 200);
    cr_expect_float_eq(sampling(json_object_get(a, "meta"), "spans_stored"), 800, 0.5,
                       "of the five minutes that were looked at");
    json_decref(a);
    a = ask("acme", "/api/v1/traces?service=kept&status=error", 200);
    cr_assert(json_is_false(json_object_get(json_object_get(a, "meta"), "sampled")),
              "each stands for itself");
    cr_assert_null(json_object_get(json_object_get(a, "meta"), "sampling"));
    json_decref(a);
}

/* 900 pairs of weight 10: a trace's two spans are dropped together, and the deviation is that of 900 pairs, 2 sqrt(900 * 10
 * * 9) = 569, not of 1800 spans, 402. */
Test(query, the_bounds_are_those_of_traces)
{
    put_sampled();
    json_t *a = ask("acme", "/api/v1/traces?service=kept&status=unset&limit=1000", 200);
    const json_t *meta = json_object_get(a, "meta");
    double deviation = (sampling(meta, "spans_high") - sampling(meta, "spans_low")) / 2 / 1.96;
    cr_assert_float_eq(deviation, 569, 30, "%g", deviation);
    json_decref(a);
}

Test(query, stats_are_by_weight)
{
    put_sampled();
    json_t *a = ask("acme", "/api/v1/services/stats", 200), *s;
    size_t i;
    unsigned seen = 0;
    json_array_foreach(json_object_get(a, "services"), i, s)
    {
        if (strcmp(json_string_value(json_object_get(s, "name")), "kept") != 0) {
            cr_assert_null(json_object_get(s, "sampling"));
            continue;
        }
        seen++;
        cr_expect_eq(json_integer_value(json_object_get(s, "spans")), 18200);
        cr_expect_eq(json_integer_value(json_object_get(s, "errors")), 200);
        cr_expect_float_eq(json_real_value(json_object_get(s, "error_rate")), 200. / 18200, 1e-9);
        cr_expect_eq(json_integer_value(json_object_get(s, "p95_ns")), 1000000,
                     "1.1 %% are slow, not a tenth");
        cr_expect_float_eq(sampling(s, "spans_stored"), 2000, 0.5);
        cr_expect_float_eq(sampling(s, "errors_stored"), 200, 0.5);
        cr_expect_lt(sampling(s, "spans_low"), 18200);
        cr_expect_gt(sampling(s, "spans_high"), 18200);
        cr_expect_float_eq(sampling(s, "errors_low"), 200, 1e-6, "what is stored was there");
        cr_expect_gt(sampling(s, "errors_high"), 200, "whether all errors are kept is not known");
    }
    cr_assert_eq(seen, 1);
    cr_expect_float_eq(sampling(json_object_get(a, "meta"), "spans_stored"), 2003, 0.5);
    json_decref(a);
    a = ask("acme", "/api/v1/services", 200);
    cr_expect_float_eq(sampling(json_object_get(a, "meta"), "spans"), 18203, 0.5);
    json_decref(a);
}

/* meta.read_rows of an answer: what storage had to read for it. */
static json_int_t
rows_read(json_t *answer)
{
    return json_integer_value(json_object_get(json_object_get(answer, "meta"), "read_rows"));
}

Test(query, a_tag_leaves_out_what_cannot_hold_its_value)
{
    char path[256];
    put("INSERT INTO otel_traces (tenant_id, service_name, start_time, duration_ns, trace_id, span_id, name, "
        "attributes, resource_attributes) SELECT 'acme', 'crowd', @T - 3000 + intDiv(number, 100), 5, "
        "toFixedString(leftPad(toString(number + 77), 16, '0'), 16), "
        "toFixedString(leftPad(toString(number + 77), 8, '0'), 8), 'op', map('user', concat('u', "
        "toString(number))), "
        "map('pod', concat('p', toString(intDiv(number, 10000)))) FROM numbers(200000)");
    static const char *const tags[] = {"user:u150000", "pod:p7", "user:nobody"};
    static const json_int_t found[] = {1, 100, 0};
    for (size_t i = 0; i < OX_COUNT(tags); i++) {
        snprintf(path, sizeof(path), "/api/v1/traces?service=crowd&tags=%s&limit=100", tags[i]);
        json_t *a = ask("acme", path, 200);
        cr_expect_eq((json_int_t)json_array_size(json_object_get(a, "traces")), found[i], "%s", tags[i]);
        if (i != 1) /* what matches many rows reads them */
            cr_expect_lt(rows_read(a), 60000, "%s read %lld rows of 200,000", tags[i],
                         (long long)rows_read(a));
        json_decref(a);
    }
}

/* The node's part: blocks up to the one asked for are visible. */
static uint64_t next_block;

static void
tell_blocks(void *ctx, uint64_t *next, uint64_t *visible_below)
{
    (void)ctx;
    *next = next_block;
    *visible_below = next_block;
}

static size_t
follow_once(char cursor[512], const char *wanted)
{
    char query[700];
    snprintf(query, sizeof(query), "/api/v1/logs?service=late&time=1h&after=%s", cursor);
    json_t *a = ask("acme", query, 200);
    json_t *logs = json_object_get(a, "logs");
    size_t n = json_array_size(logs);
    for (size_t i = 0; i < n; i++)
        cr_expect_str_eq(json_string_value(json_object_get(json_array_get(logs, i), "body")), wanted);
    snprintf(cursor, 512, "%s", json_string_value(json_object_get(json_object_get(a, "meta"), "cursor")));
    json_decref(a);
    return n;
}

static void
arrives(const char *body, unsigned block, long seconds)
{
    char sql[512];
    snprintf(sql, sizeof(sql),
             "INSERT INTO otel_logs (tenant_id, service_name, time, body, body_type, block_id) SELECT "
             "'acme', 'late', "
             "@T - %ld, '%s', 's', %u",
             seconds, body, block);
    put(sql);
}

Test(query, a_follower_sees_what_arrives_however_old_it_is)
{
    char cursor[512] = "start";
    the_blocks = tell_blocks;
    next_block = 100;
    arrives("first", 50, 10);
    cr_assert_eq(follow_once(cursor, "first"), 1);
    cr_assert_eq(follow_once(cursor, ""), 0);
    next_block = 104;
    arrives("hours late", 101, 3 * 3600);
    cr_assert_eq(follow_once(cursor, "hours late"), 1, "its own time is long past");
    arrives("in the future", 103, -1800);
    cr_assert_eq(follow_once(cursor, "in the future"), 1);
    for (int i = 0; i < 5; i++) { /* five minutes later all of it is behind us */
        ox_clock_virtual_advance(&now, 70ull * 1000000000u);
        cr_assert_eq(follow_once(cursor, ""), 0, "nothing comes again");
    }
    next_block = 112;
    arrives("late again", 108, 7200);
    cr_assert_eq(follow_once(cursor, "late again"), 1);
    cr_assert_lt(strlen(cursor), 150, "what is behind is forgotten: %s", cursor);
}

Test(query, logs_by_level_words_and_trace_newest_first)
{
    static const struct {
        const char *question, *bodies;
    } cases[] = {
        {"/logs?level=error", "Pool EXHAUSTED on db-2,Pool EXHAUSTED on db-3,Pool EXHAUSTED on db-5"},
        {"/logs?level=fatal,warn", "Pool EXHAUSTED on db-1,Pool EXHAUSTED on db-4"},
        {"/logs?minLevel=fatal", "Pool EXHAUSTED on db-4"},
        {"/logs?q=exhausted+POOL+3", "Pool EXHAUSTED on db-3"},
        {"/logs?q=%22exhausted+on+db-1%22", "Pool EXHAUSTED on db-1"},
        {"/logs?q=%22on+exhausted%22", ""},
        {"/logs?q=xhausted", ""},
        {"/logs?trace_id=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "Pool EXHAUSTED on db-2"},
        {"/logs?service=payment&limit=2", "Pool EXHAUSTED on db-0,Pool EXHAUSTED on db-1"},
        {"/logs?service=nobody", ""},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++)
        cr_assert_str_eq(column("acme", cases[i].question, "logs", "body"), cases[i].bodies, "%s gives %s",
                         cases[i].question, column("acme", cases[i].question, "logs", "body"));
    cr_assert_str_eq(column("other", "/logs", "logs", "body"), "Pool exhausted elsewhere");
}

/* Asserts that each point of series `series` within the answer has `value`, and that there are `count`. */
static void
expect_points(const char *question, size_t series, size_t count, double value)
{
    json_t *a = ask("acme", question, 200), *point;
    size_t i;
    const json_t *points = json_object_get(json_array_get(json_object_get(a, "series"), series), "points");
    cr_assert_eq(json_array_size(points), count, "%s: %zu points", question, json_array_size(points));
    json_array_foreach(points, i, point) cr_assert_float_eq(
        json_number_value(json_object_get(point, "value")), value, 1e-6, "%s: point %zu is %f", question, i,
        json_number_value(json_object_get(point, "value")));
    json_decref(a);
}

Test(query, the_arithmetic_of_metrics)
{
    /* 10 every 10 s: one per second, across the restart too: the restarted point counts its whole value, 0. */
    expect_points("/api/v1/metrics?name=calls&agg=rate&step=60s&start=now-540s&end=now&label.route=/a", 0, 9,
                  1);
    expect_points("/api/v1/metrics?name=calls&agg=rate&step=60s&start=now-480s&end=now-180s&by=none", 0, 5,
                  2);
    expect_points("/api/v1/metrics?name=calls&agg=rate&step=60s&start=now-60s&end=now&by=host", 0, 1, 2);
    expect_points("/api/v1/metrics?name=calls&agg=rate&step=120s&start=now-120s&end=now&label.route!=/a", 0,
                  1, 110.0 / 120);
    expect_points("/api/v1/metrics?name=calls&agg=count&step=60s&start=now-600s&end=now&by=none", 0, 10, 12);
    expect_points("/api/v1/metrics?name=lat&agg=avg&step=60s", 0, 1, 50);
    expect_points("/api/v1/metrics?name=lat&agg=count&step=60s", 0, 1, 100);
    expect_points("/api/v1/metrics?name=lat&agg=p90&step=60s", 0, 1, 100);
    expect_points("/api/v1/metrics?name=lat&agg=max&step=60s", 0, 1, 900);
    expect_points("/api/v1/metrics?name=level&agg=max&step=60s", 0, 1, 19);
    expect_points("/api/v1/metrics?name=level&agg=p50&step=60s&label.host=", 0, 1, 10);
    json_decref(ask("acme", "/api/v1/metrics?name=level&agg=rate", 400));
    json_decref(ask("acme", "/api/v1/metrics?name=lat&agg=last", 400));
    json_decref(ask("acme", "/api/v1/metrics?name=calls&label.route=~(", 400));
}

Test(query, rollups_agree_with_points)
{
    static const char *const aggs[] = {"avg", "sum", "min", "max", "count"};
    for (size_t i = 0; i < OX_COUNT(aggs); i++) {
        char raw[160], rolled[160];
        snprintf(raw, sizeof(raw), "/api/v1/metrics?name=calls&agg=%s&step=300s&start=now-600s&end=now",
                 aggs[i]);
        snprintf(rolled, sizeof(rolled), "/api/v1/metrics?name=calls&agg=%s&step=300s&time=12h&end=now",
                 aggs[i]);
        json_t *a = ask("acme", raw, 200), *b = ask("acme", rolled, 200);
        cr_assert(json_equal(json_object_get(a, "series"), json_object_get(b, "series")), "agg=%s", aggs[i]);
        json_decref(a);
        json_decref(b);
    }
}

Test(query, integers_beyond_a_double_stay_exact)
{
    json_t *a = ask("acme", "/api/v1/metrics?name=level", 200);
    const json_t *points = json_object_get(json_array_get(json_object_get(a, "series"), 0), "points");
    const json_t *value = json_object_get(json_array_get(points, 3), "value");
    cr_assert(json_is_integer(value));
    cr_assert_eq(json_integer_value(value), 9007199254740993);
    json_decref(a);
}

Test(query, services_of_each_tenant)
{
    cr_assert_str_eq(column("acme", "/api/v1/services?time=3h", "services", "name"), "old,payment,shop");
    cr_assert_str_eq(column("other", "/api/v1/services", "services", "name"), "payment,theirs");
    cr_assert_str_eq(column("nobody", "/api/v1/services", "services", "name"), "");
    json_t *a = ask("acme", "/api/v1/services/stats", 200);
    const json_t *shop = json_array_get(json_object_get(a, "services"), 1);
    cr_assert_eq(json_integer_value(json_object_get(shop, "spans")), 2);
    cr_assert_eq(json_integer_value(json_object_get(shop, "points")), 150);
    json_decref(a);
}

Test(query, a_dead_engine_is_an_error_and_never_an_empty_answer)
{
    engine_kill(&f);
    static const char *const questions[] = {"/api/v1/traces", "/api/v1/logs", "/api/v1/metrics",
                                            "/api/v1/services",
                                            "/api/v1/traces/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < OX_COUNT(questions); i++) {
        json_t *a = ask("acme", questions[i], 503);
        cr_assert_eq(json_object_size(a), 1);
        json_decref(a);
    }
}

/* Goal: the answer counts series and label values of today and yesterday, of the asking tenant alone, and what grew comes
 * first. */
Test(query, cardinality_shows_what_grew)
{
    put("INSERT INTO otel_metric_series (tenant_id, metric_name, series_id, day, service_name, type, "
        "attributes) SELECT 'acme', "
        "'grown', number, toDate(@T), 'shop', 1, map('user', toString(number), 'host', 'h') FROM "
        "numbers(50)");
    put("INSERT INTO otel_metric_series (tenant_id, metric_name, series_id, day, service_name, type, "
        "attributes) SELECT 'acme', "
        "'grown', number, toDate(@T) - 1, 'shop', 1, map('user', toString(number), 'host', 'h') FROM "
        "numbers(5)");
    put("INSERT INTO otel_metric_series (tenant_id, metric_name, series_id, day, service_name, type, "
        "attributes) SELECT 'other', "
        "'theirs', number, toDate(@T), 'shop', 1, map('user', toString(number)) FROM numbers(500)");
    json_t *a = ask("acme", "/api/v1/cardinality?metric=grown", 200), *m, *l;
    char *text = json_dumps(a, 0);
    cr_assert_null(strstr(text, "theirs"), "%s", text);
    cr_assert_eq(json_array_size(json_object_get(a, "metrics")), 1, "%s", text);
    m = json_array_get(json_object_get(a, "metrics"), 0);
    l = json_array_get(json_object_get(a, "labels"), 0);
    cr_assert_eq(json_integer_value(json_object_get(m, "series")), 50, "%s", text);
    cr_assert_eq(json_integer_value(json_object_get(m, "series_yesterday")), 5);
    cr_assert_eq(json_integer_value(json_object_get(m, "growth")), 45);
    cr_assert_str_eq(json_string_value(json_object_get(l, "label")), "user", "%s", text);
    cr_assert_eq(json_integer_value(json_object_get(l, "growth")), 45);
    json_decref(a);
    free(text);
    a = ask("acme", "/api/v1/cardinality?limit=1", 200);
    cr_assert_eq(json_array_size(json_object_get(a, "metrics")), 1);
    cr_assert(json_is_true(json_object_get(json_object_get(a, "meta"), "truncated")));
    json_decref(a);
    json_decref(ask("acme", "/api/v1/cardinality?metrics=grown", 400));
}

Test(query, the_volume_of_today_is_what_came)
{
    put("INSERT INTO otel_span_stats (tenant_id, service_name, name, kind, time, calls) SELECT 'volume', "
        "'shop', 'GET /', 2, @T, 7");
    put("INSERT INTO otel_traces (tenant_id, service_name, start_time, trace_id, span_id, name) SELECT "
        "'volume', 'shop', @T, 'aaaaaaaaaaaaaaaa', 'aaaaaaaa', 'GET /'");
    put("INSERT INTO otel_logs (tenant_id, service_name, time, block_id) SELECT 'volume', 'shop', @T, 1 FROM "
        "numbers(3)");
    put("INSERT INTO otel_metrics (tenant_id, metric_name, series_id, time, value) SELECT 'volume', 'm', 1, "
        "@T, 1 FROM numbers(4)");
    put("INSERT INTO otel_metric_histograms (tenant_id, metric_name, series_id, time) SELECT 'volume', 'h', "
        "2, @T FROM numbers(5)");
    json_t *a = ask("volume", "/api/v1/cardinality", 200), *volume = json_object_get(a, "volume_today");
    cr_expect_eq(json_integer_value(json_object_get(volume, "spans")), 7);
    cr_expect_eq(json_integer_value(json_object_get(volume, "spans_stored")), 1);
    cr_expect_eq(json_integer_value(json_object_get(volume, "logs")), 3);
    cr_expect_eq(json_integer_value(json_object_get(volume, "points")), 9);
    json_decref(a);
}

/* How many rows a statement without a predicate shows, as a tenant or (walled) behind the filters of a server elsewhere. */
static unsigned long long
rows_of(const char *table, const char *tenant, bool walled)
{
    char sql[160], filters[8192];
    struct ox_tenant_id id;
    struct ox_buf out = {0}, wall = {0};
    struct ox_diag diag = {0};
    cr_assert_eq(ox_tenant_id_parse(ox_str_of(tenant), &id, NULL), OX_OK);
    ox__storage_wall(&wall, OX_SCHEMA_DATABASE, &id);
    snprintf(filters, sizeof(filters), "%.*s", (int)wall.len, (char *)wall.data);
    snprintf(sql, sizeof(sql), "SELECT count(), countIf(tenant_id != '%s') FROM %s", tenant, table);
    struct ox_storage_setting setting = {"additional_table_filters", filters};
    struct ox_storage_query q = {.sql = ox_str_of(sql),
                                 .tenant = walled ? NULL : &id,
                                 .settings = &setting,
                                 .settings_n = walled ? 1 : 0};
    cr_assert_eq(ox_storage_query(f.st, &q, &out, NULL, &diag), OX_OK, "%s: %s", sql, diag.text);
    ox_buf_append(&out, "", 1);
    unsigned long long all = 0, theirs = 0;
    cr_assert_eq(sscanf((char *)out.data, "%llu\t%llu", &all, &theirs), 2);
    cr_assert_eq(theirs, 0, "%s shows %llu rows of others", table, theirs);
    ox_buf_fini(&out);
    ox_buf_fini(&wall);
    return all;
}

/* Goal: a statement that forgot its predicate shows a tenant its own rows, and a tenant without data none, in every
 * table that there is; on the embedded engine by its row policies, elsewhere by the filters that come along. */
Test(query, who_forgets_the_predicate_gets_no_rows_of_others)
{
    unsigned with_rows = 0;
    for (size_t i = 0; i < ox_schema_tables_count; i++) {
        const char *table = ox_schema_tables[i].name;
        if (!ox_schema_tables[i].tenant_owned)
            continue;
        for (int walled = 0; walled < 2; walled++) {
            unsigned long long acme = rows_of(table, "acme", walled), other = rows_of(table, "other", walled);
            cr_assert_eq(rows_of(table, "nobody", walled), 0, "%s", table);
            with_rows += acme > 0 && other > 0;
        }
    }
    cr_assert_geq(with_rows, 4, "the test needs tables in which both have rows, there are %u", with_rows);
}

/* Goal: a question that runs into a budget hears which, and it is counted. */
Test(query, a_question_over_budget_names_the_budget)
{
    static const struct {
        struct ox_query_limits limits;
        const char *budget;
        int status;
    } cases[] = {
        {{.read_rows_max = 1}, "rows", 400},      {{.read_bytes_max = 1}, "bytes", 400},
        {{.memory_bytes_max = 1}, "memory", 400}, {{.result_bytes_max = 1}, "result_bytes", 400},
        {{.timeout_ms = 1}, "timeout", 504},
    };
    struct ox_tenant_id acme;
    cr_assert_eq(ox_tenant_id_parse(OX_STR("acme"), &acme, NULL), OX_OK);
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        char name[40];
        const struct ox_query q = {.storage = f.st, .clock = ox_clock_real(), .limits = cases[i].limits};
        struct ox_query_request req = {.method = OX_STR("GET"),
                                       .path = OX_STR("/api/v1/traces"),
                                       .query = OX_STR("time=30d"),
                                       .tenant = acme,
                                       .role = OX_ROLE_VIEWER,
                                       .scopes = OX_SCOPE_QUERY};
        struct ox_query_response res;
        struct ox_str labels[] = {OX_STR("acme"), ox_str_of(cases[i].budget)};
        double before = ox_metric_value(OX_M_query_refused, labels);
        ox_query_response_init(&res);
        ox_query_handle(&q, &req, &res);
        ox_buf_append(&res.body, "", 1);
        snprintf(name, sizeof(name), "query.%s: ", cases[i].budget);
        cr_assert_eq(res.status, cases[i].status, "%s: %d %s", name, res.status, (char *)res.body.data);
        cr_assert_not_null(strstr((char *)res.body.data, name), "%s: %s", name, (char *)res.body.data);
        cr_assert_float_eq(ox_metric_value(OX_M_query_refused, labels), before + 1, 0.1, "%s", name);
        ox_query_response_fini(&res);
    }
}

/* shop: ten calls of 1 ms in each of the ten minutes before T; in the last two also one that fails after 100 ms. Others: two. */
static void
put_calls(void)
{
    put("INSERT INTO otel_span_stats (tenant_id, service_name, name, kind, status_code, time, calls, "
        "duration_sum_ns, "
        "duration_min_ns, duration_max_ns, slowest_trace_id, buckets.index, buckets.count) "
        "SELECT 'acme', 'shop', 'GET /', 2, 0, @T - 600 + 60 * number, 10, 10000000, 970000, 1003000, "
        "unhex('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'), [318], [10] FROM numbers(10)");
    put("INSERT INTO otel_span_stats (tenant_id, service_name, name, kind, status_code, time, calls, "
        "duration_sum_ns, "
        "duration_min_ns, duration_max_ns, slowest_trace_id, buckets.index, buckets.count) "
        "SELECT 'acme', 'shop', 'GET /', 2, 2, @T - 120 + 60 * number, 1, 100000000, 100000000, 100000000, "
        "unhex('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'), [425], [1] FROM numbers(2)");
    put("INSERT INTO otel_span_stats (tenant_id, service_name, name, kind, status_code, time, calls, "
        "duration_sum_ns, "
        "duration_min_ns, duration_max_ns, buckets.index, buckets.count) "
        "SELECT ['acme', 'other'][number + 1], ['payment', 'theirs'][number + 1], 'charge', 3, 0, @T - 60, "
        "1, 0, 0, 0, "
        "[-32768], [1] FROM numbers(2)");
}

static json_int_t
int_of(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

Test(query, operations_are_counted_by_minutes)
{
    put_calls();
    cr_assert_str_eq(column("acme", "/api/v1/operations?time=1h", "operations", "operation"), "GET /,charge");
    cr_assert_str_eq(column("acme", "/api/v1/operations?time=1h&sort=name", "operations", "service"),
                     "shop,payment");
    cr_assert_str_eq(column("acme", "/api/v1/operations?time=1h&service=payment", "operations", "kind"),
                     "CLIENT");
    cr_assert_str_eq(column("other", "/api/v1/operations", "operations", "service"), "theirs");
    cr_assert_str_eq(column("nobody", "/api/v1/operations", "operations", "service"), "");
    json_t *a = ask("acme", "/api/v1/operations?time=10m&operation=GET%20/&step=1m&limit=10", 200);
    const json_t *op = json_array_get(json_object_get(a, "operations"), 0);
    cr_assert(json_is_true(json_object_get(json_object_get(a, "meta"), "exact")));
    cr_assert_eq(int_of(op, "calls"), 102);
    cr_assert_eq(int_of(op, "errors"), 2);
    cr_assert_eq(int_of(op, "mean_ns"), 300000000 / 102);
    cr_assert_eq(int_of(op, "min_ns"), 970000);
    cr_assert_eq(int_of(op, "max_ns"), 100000000);
    cr_assert_float_eq(json_real_value(json_object_get(op, "calls_per_second")), 0.17, 1e-9);
    cr_assert_leq(llabs(int_of(op, "p50_ns") - 980000), 25000);
    cr_assert_leq(llabs(int_of(op, "p99_ns") - 100000000), 4400000);
    cr_assert_str_eq(json_string_value(json_object_get(op, "slowest_trace_id")),
                     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    const json_t *series = json_object_get(op, "series"), *first = json_array_get(series, 0);
    cr_assert_eq(json_array_size(series), 10);
    cr_assert_eq(int_of(first, "errors"), 0);
    cr_assert_eq(int_of(first, "time_unix_nano"), (json_int_t)(t_s - 600) * 1000000000);
    cr_assert_eq(int_of(json_array_get(series, 8), "errors"), 1, "since when: two minutes ago");
    cr_assert_leq(int_of(first, "p99_ns"), 1005000);
    json_decref(a);
}

Test(query, operations_are_also_kept_by_hours)
{
    put_calls();
    json_t *a = ask("acme", "/api/v1/operations?time=60d&service=shop&step=24h", 200);
    const json_t *op = json_array_get(json_object_get(a, "operations"), 0);
    cr_assert_eq(int_of(op, "calls"), 102);
    cr_assert_eq(int_of(op, "errors"), 2);
    cr_assert_eq(json_array_size(json_object_get(op, "series")), 1);
    json_decref(a);
}

Test(query, operations_say_what_would_be_right)
{
    static const char *const bad[] = {"step=30s", "step=1m&time=20d", "sort=latency", "limit=100000",
                                      "step=0",   "time=60d&step=1m", "percentile=99"};
    for (size_t i = 0; i < OX_COUNT(bad); i++) {
        char path[128];
        snprintf(path, sizeof(path), "/api/v1/operations?%s", bad[i]);
        json_decref(ask("acme", path, 400));
    }
}
