/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    parameters are decoded once, typed, and a wrong one is named with what would be right; values
 *          reach a statement only bound.
 * Method:  tables over query strings.
 */
#include <criterion/criterion.h>

#include "actors/query/query_params.h"
#include "actors/query/query_sql.h"
#include "actors/query/query_time.h"

#define NOW  (1795233581ull * OX__NS_PER_S)
#define HOUR (3600 * OX__NS_PER_S)

static struct ox__params ps;
static struct ox_diag diag;

static void
parse(const char *query)
{
    ox__params_fini(&ps);
    cr_assert_eq(ox__params_parse(&ps, ox_str_of(query), &diag), OX_OK, "%s: %s", query, diag.text);
}

TestSuite(params, .timeout = 20);

Test(params, decodes_percent_and_plus)
{
    parse("a=x%20y+z%2B&b=&c=%00&a=second");
    struct ox__param *a = ox__params_get(&ps, "a");
    cr_assert(ox_str_eq(a->value, OX_STR("x y z+")));
    cr_assert_null(ox__params_get(&ps, "b"), "an empty value counts as absent");
    cr_assert_eq(ox__params_get(&ps, "c")->value.n, 1);
}

Test(params, refuses_a_broken_escape_and_too_many)
{
    char many[1024] = "";
    cr_assert_eq(ox__params_parse(&ps, OX_STR("service=%zz"), &diag), OX_E_INVALID);
    cr_assert_not_null(strstr(diag.text, "service"));
    for (int i = 0; i <= OX__PARAMS_MAX; i++)
        strcat(many, "a=1&");
    cr_assert_eq(ox__params_parse(&ps, ox_str_of(many), &diag), OX_E_INVALID);
}

Test(params, an_unknown_name_gets_the_nearest)
{
    static const char *const names[] = {"service", "limit", NULL};
    parse("servce=x");
    cr_assert_eq(ox__params_check_used(&ps, names, &diag), OX_E_INVALID);
    cr_assert_not_null(strstr(diag.text, "did you mean service?"), "%s", diag.text);
    parse("colour=x");
    cr_assert_eq(ox__params_check_used(&ps, names, &diag), OX_E_INVALID);
    cr_assert_not_null(strstr(diag.text, "service, limit"), "%s", diag.text);
    parse("lib=x"); /* most letters of it would have to be wrong */
    cr_assert_eq(ox__params_check_used(&ps, names, &diag), OX_E_INVALID);
    cr_assert_null(strstr(diag.text, "did you mean"), "%s", diag.text);
}

Test(params, a_second_value_is_refused)
{
    static const char *const spellings[] = {"service", "service_name", NULL}, *const names[] = {"service",
                                                                                                NULL};
    static const char *const twice[] = {"service=a&service=b", "service=a&service_name=b",
                                        "service=a&service=a"};
    for (size_t i = 0; i < OX_COUNT(twice); i++) {
        parse(twice[i]);
        cr_assert_not_null(ox__params_any(&ps, spellings));
        cr_assert_eq(ox__params_check_used(&ps, names, &diag), OX_E_INVALID, "%s", twice[i]);
        cr_assert_not_null(strstr(diag.text, "more than once"), "%s", diag.text);
    }
    parse("service=&service=a");
    cr_assert_not_null(ox__params_any(&ps, spellings));
    cr_assert_eq(ox__params_check_used(&ps, names, &diag), OX_OK, "an empty one counts as absent");
}

Test(params, numbers_within_bounds)
{
    static const char *const bad[] = {"limit=0", "limit=1001", "limit=-1", "limit=1e3",
                                      "limit=99999999999999999999"};
    uint64_t v;
    parse("limit=1000");
    cr_assert_eq(ox__params_u64(&ps, "limit", 1, 1000, 100, &v, &diag), OX_OK);
    cr_assert_eq(v, 1000);
    parse("");
    cr_assert_eq(ox__params_u64(&ps, "limit", 1, 1000, 100, &v, &diag), OX_OK);
    cr_assert_eq(v, 100);
    for (size_t i = 0; i < OX_COUNT(bad); i++) {
        parse(bad[i]);
        cr_assert_eq(ox__params_u64(&ps, "limit", 1, 1000, 100, &v, &diag), OX_E_INVALID, "%s", bad[i]);
        cr_assert_str_eq(diag.field, "limit");
        cr_assert_not_null(strstr(diag.text, "from 1 to 1000"), "%s", diag.text);
    }
}

Test(params, ranges)
{
    struct ox__range r;
    parse("");
    cr_assert_eq(ox__params_range(&ps, NOW, HOUR, &r, &diag), OX_OK);
    cr_assert_eq(r.start_ns, NOW - HOUR);
    cr_assert_eq(r.end_ns, NOW + HOUR, "a fast clock's records are seen");
    parse("time=last_15m");
    cr_assert_eq(ox__params_range(&ps, NOW, HOUR, &r, &diag), OX_OK);
    cr_assert_eq(r.start_ns, NOW - HOUR / 4);
    parse("end=now-1h&timerange=1h");
    cr_assert_eq(ox__params_range(&ps, NOW, HOUR, &r, &diag), OX_OK);
    cr_assert_eq(r.start_ns, NOW - 2 * HOUR);
    cr_assert_eq(r.end_ns, NOW - HOUR);
    static const char *const bad[] = {"start=now&end=now-1h", "start=now-1h&time=1h", "time=soon",
                                      "start=yesterday", "end=1h"};
    for (size_t i = 0; i < OX_COUNT(bad); i++) {
        parse(bad[i]);
        cr_assert_eq(ox__params_range(&ps, NOW, HOUR, &r, &diag), OX_E_INVALID, "%s", bad[i]);
        cr_assert_neq(diag.field[0], 0);
    }
}

Test(params, tags)
{
    struct ox__tag tags[OX__PARAM_LIST_MAX];
    size_t n;
    parse("tags=error:true,user.id:123&tag=http.url:http://a/b,c%3Fx=1,d");
    cr_assert_eq(ox__params_tags(&ps, tags, &n, &diag), OX_OK);
    cr_assert_eq(n, 3);
    cr_assert(ox_str_eq(tags[1].key, OX_STR("user.id")) && ox_str_eq(tags[1].value, OX_STR("123")));
    cr_assert(ox_str_eq(tags[2].key, OX_STR("http.url")));
    cr_assert(ox_str_eq(tags[2].value, OX_STR("http://a/b,c?x=1,d")),
              "a comma without a key behind it is the value's");
    static const char *const bad[] = {"tags=novalue", "tags=:v", "tags=a:b,c:d,:e"};
    for (size_t i = 0; i < 2; i++) {
        parse(bad[i]);
        cr_assert_eq(ox__params_tags(&ps, tags, &n, &diag), OX_E_INVALID, "%s", bad[i]);
    }
}

Test(params, label_matchers)
{
    static const struct {
        const char *query, *key, *value;
        enum ox__match match;
    } cases[] = {
        {"label.route=/a", "route", "/a", OX__MATCH_EQ},
        {"label.route!=/a", "route", "/a", OX__MATCH_NE},
        {"label.route=~/a.*", "route", "/a.*", OX__MATCH_RE},
        {"label.route!~/a.*", "route", "/a.*", OX__MATCH_NRE},
        {"label.route=%7Ea", "route", "~a", OX__MATCH_EQ},
        {"label.http.route=x", "http.route", "x", OX__MATCH_EQ},
        {"label.a=", "a", "", OX__MATCH_EQ},
    };
    struct ox__label labels[OX__PARAM_LIST_MAX];
    size_t n;
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        parse(cases[i].query);
        cr_assert_eq(ox__params_labels(&ps, labels, &n, &diag), OX_OK);
        cr_assert_eq(n, 1);
        cr_assert(ox_str_eq(labels[0].key, ox_str_of(cases[i].key)), "%s", cases[i].query);
        cr_assert(ox_str_eq(labels[0].value, ox_str_of(cases[i].value)), "%s", cases[i].query);
        cr_assert_eq(labels[0].match, cases[i].match, "%s", cases[i].query);
    }
}

Test(params, ids)
{
    uint8_t id[16];
    bool set;
    static const char *const bad[] = {"trace_id=abc123", "trace_id=00000000000000000000000000000000",
                                      "trace_id=zz7651916cd43dd8448eb211c80319cc"};
    parse("trace_id=0AF7651916cd43dd8448eb211c80319c");
    cr_assert_eq(ox__params_id(&ps, "trace_id", 16, &set, id, &diag), OX_OK);
    cr_assert(set);
    cr_assert_eq(id[0], 0x0a);
    for (size_t i = 0; i < OX_COUNT(bad); i++) {
        parse(bad[i]);
        cr_assert_eq(ox__params_id(&ps, "trace_id", 16, &set, id, &diag), OX_E_INVALID, "%s", bad[i]);
    }
}

Test(params, sql_holds_no_value)
{
    struct ox__sql sql;
    struct ox_storage_param bound[OX__SQL_PARAMS_MAX];
    ox__sql_init(&sql);
    ox__sql_add(&sql, "SELECT 1 WHERE a = ");
    ox__sql_str(&sql, OX_STR("'; DROP TABLE x --"));
    ox__sql_add(&sql, " AND b = ");
    ox__sql_str(&sql, OX_STR("two"));
    cr_assert(ox_str_eq(ox_buf_str(&sql.text), OX_STR("SELECT 1 WHERE a = {p0:String} AND b = {p1:String}")));
    cr_assert_eq(ox__sql_params(&sql, bound), 2);
    cr_assert(ox_str_eq(bound[0].value, OX_STR("'; DROP TABLE x --")));
    cr_assert(ox_str_eq(bound[1].value, OX_STR("two")));
    for (int i = 0; i < OX__SQL_PARAMS_MAX; i++)
        ox__sql_str(&sql, OX_STR("x"));
    cr_assert(sql.failed, "too many values are noticed");
    ox__sql_fini(&sql);
}
