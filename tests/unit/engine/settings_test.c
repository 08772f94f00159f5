/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the role follows from log_comment, and no parameter of a tenant reaches what it must not.
 * Method:  requests built by hand, the SET statement compared.
 */
#include <criterion/criterion.h>

#include "engine/engine.h"

#define SECRET "0123456789abcdef"

static struct ox__request request;
static char arena[4096];

static void
parse(const char *query)
{
    memset(&request, 0, sizeof(request));
    request.method = "POST";
    cr_assert_eq(ox__http_params(ox_str_of(query), arena, request.params, &request.params_n), OX_OK);
}

Test(settings, parameters_are_decoded)
{
    parse("a=1&b=x%20y+z&&c&d=%&e=%zz&f=a=b&=lost");
    static const char *const want[][2] = {{"a", "1"}, {"b", "x y z"}, {"c", ""},
                                          {"d", "%"}, {"e", "%zz"},   {"f", "a=b"}};
    cr_assert_eq(request.params_n, OX_COUNT(want));
    for (size_t i = 0; i < OX_COUNT(want); i++) {
        cr_assert(ox_str_eq(request.params[i].name, ox_str_of(want[i][0])));
        cr_assert(ox_str_eq(request.params[i].value, ox_str_of(want[i][1])), "%s", want[i][0]);
    }
    cr_assert_null(ox__http_param(&request, "missing").p);
}

Test(settings, too_many_parameters_are_refused)
{
    char query[(OX__HTTP_PARAMS_MAX + 1) * 2 + 1];
    for (size_t i = 0; i < OX__HTTP_PARAMS_MAX + 1; i++)
        memcpy(query + 2 * i, "a&", 3);
    cr_assert_eq(ox__http_params(ox_str_of(query), arena, request.params, &request.params_n), OX_E_TOO_LARGE);
}

Test(settings, roles)
{
    static const struct {
        const char *comment;
        ox_err err;
        enum ox__role role;
    } cases[] = {
        {"", OX_OK, OX__ROLE_NOBODY},
        {"t:shop", OX_OK, OX__ROLE_TENANT},
        {"s:" SECRET, OX_OK, OX__ROLE_SYSTEM},
        {"s:" SECRET "x", OX_E_FORBIDDEN, OX__ROLE_NOBODY},
        {"s:0123456789abcdeF", OX_E_FORBIDDEN, OX__ROLE_NOBODY},
        {"s:", OX_E_FORBIDDEN, OX__ROLE_NOBODY},
        {"t:", OX_E_FORBIDDEN, OX__ROLE_NOBODY},
        {"t:a' OR 1", OX_E_FORBIDDEN, OX__ROLE_NOBODY},
        {"shop", OX_E_FORBIDDEN, OX__ROLE_NOBODY},
        {"x", OX_E_FORBIDDEN, OX__ROLE_NOBODY},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        enum ox__role role;
        cr_assert_eq(ox__role_of(ox_str_of(cases[i].comment), SECRET, &role), cases[i].err, "%s",
                     cases[i].comment);
        cr_assert_eq(role, cases[i].role, "%s", cases[i].comment);
    }
}

static int
text_of(const char *query, enum ox__role role, struct ox_buf *out)
{
    struct ox_diag diag;
    parse(query);
    ox_buf_reset(out);
    int code = ox__settings_text(&request, role, 7, out, &diag);
    ox_buf_append(out, "", 1);
    return code;
}

Test(settings, a_tenants_statement_is_locked_last)
{
    struct ox_buf out = {0};
    cr_assert_eq(
        text_of("query=x&max_threads=2&param_a=b&log_comment=t:shop&readonly=0", OX__ROLE_TENANT, &out), 0);
    const char *text = (const char *)out.data;
    cr_assert_not_null(strstr(text, "query_cache_tag = 'ox-7'"));
    cr_assert_not_null(strstr(text, "max_threads = '2', log_comment = 't:shop', readonly = 1"), "%s", text);
    cr_assert_null(strstr(text, "readonly = '0'"));
    cr_assert_null(strstr(text, "param_a"));
    ox_buf_fini(&out);
}

Test(settings, values_are_quoted_and_names_checked)
{
    struct ox_buf out = {0};
    cr_assert_eq(text_of("insert_deduplication_token=it%27s%5C&log_comment=s:" SECRET, OX__ROLE_SYSTEM, &out),
                 0);
    cr_assert_not_null(strstr((char *)out.data, "insert_deduplication_token = 'it\\'s\\\\'"));
    cr_assert_null(strstr((char *)out.data, "readonly"));
    cr_assert_neq(text_of("a%3D1,%20b=1", OX__ROLE_SYSTEM, &out), 0);
    cr_assert_neq(text_of("session_id=x", OX__ROLE_SYSTEM, &out), 0);
    cr_assert_neq(text_of("query_cache_tag=x", OX__ROLE_SYSTEM, &out), 0);
    cr_assert_neq(text_of("additional_table_filters=x", OX__ROLE_TENANT, &out), 0);
    cr_assert_neq(text_of("allow_ddl=1", OX__ROLE_NOBODY, &out), 0);
    ox_buf_fini(&out);
}

Test(settings, the_owner_may_ask_to_be_held_back)
{
    struct ox_buf out = {0};
    cr_assert_eq(text_of("query=x&readonly=2&max_threads=2&log_comment=s:" SECRET, OX__ROLE_SYSTEM, &out), 0);
    cr_assert_not_null(
        strstr((char *)out.data, "max_threads = '2', log_comment = 's:" SECRET "', readonly = 2"));
    cr_assert_eq(text_of("query=x&readonly=0&log_comment=s:" SECRET, OX__ROLE_SYSTEM, &out), 0);
    cr_assert_null(strstr((char *)out.data, "readonly"));
    cr_assert_eq(text_of("query=x&readonly=2&log_comment=t:shop", OX__ROLE_TENANT, &out), 0);
    cr_assert_not_null(strstr((char *)out.data, "readonly = 1"), "a tenant's lock is not loosened");
    ox_buf_fini(&out);
}

Test(settings, codes_and_statuses)
{
    cr_assert_eq(ox__exception_code("Code: 241. DB::Exception: x"), 241);
    cr_assert_eq(ox__exception_code("no code"), 0);
    cr_assert_eq(ox__exception_code("Code: x"), 0);
    cr_assert_eq(ox__exception_status(60), 404);
    cr_assert_eq(ox__exception_status(62), 400);
    cr_assert_eq(ox__exception_status(202), 503);
    cr_assert_eq(ox__exception_status(516), 403);
    cr_assert_eq(ox__exception_status(99999), 500);
}

Test(settings, slots_keep_places_for_inserts)
{
    struct ox__slots slots;
    ox__engine_slots_init(&slots, 3, 1);
    cr_assert(ox__engine_slots_take(&slots, false));
    cr_assert(ox__engine_slots_take(&slots, false));
    cr_assert_not(ox__engine_slots_take(&slots, false));
    cr_assert(ox__engine_slots_take(&slots, true));
    cr_assert_not(ox__engine_slots_take(&slots, true));
    ox__engine_slots_give(&slots, false);
    cr_assert_eq(ox__engine_slots_used(&slots), 2);
    cr_assert(ox__engine_slots_take(&slots, true));
    cr_assert_not(ox__engine_slots_take(&slots, false));
}
