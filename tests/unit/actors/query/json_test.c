/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    whatever a record holds, the answer is valid JSON and numbers come back exact.
 * Method:  write, then parse with jansson as an independent reader, or compare the bytes.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "actors/query/query_json.h"
#include "actors/query/query_record.h"

static struct ox_buf buf;
static struct ox__json j;

static void
begin(void)
{
    ox_buf_init(&buf);
    ox__qjson_init(&j, &buf);
}

static const char *
text(void)
{
    ox_buf_append(&buf, "", 1);
    return (const char *)buf.data;
}

TestSuite(json, .init = begin, .timeout = 20);

Test(json, commas_stand_between_values_only)
{
    ox__qjson_begin(&j, '{');
    ox__qjson_ku64(&j, "a", 1);
    ox__qjson_open(&j, "b", '[');
    ox__qjson_bool(&j, true);
    ox__qjson_null(&j);
    ox__qjson_begin(&j, '{');
    ox__qjson_end(&j, '}');
    ox__qjson_end(&j, ']');
    ox__qjson_kstr(&j, "c", OX_STR("x"));
    ox__qjson_end(&j, '}');
    cr_assert_str_eq(text(), "{\"a\":1,\"b\":[true,null,{}],\"c\":\"x\"}");
}

Test(json, every_byte_gives_valid_json)
{
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            char in[3] = {(char)a, (char)b, 'z'};
            ox_buf_reset(&buf);
            ox__qjson_init(&j, &buf);
            ox__qjson_str(&j, (struct ox_str){in, 3});
            json_error_t why;
            json_t *v = json_loadb((char *)buf.data, buf.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
            cr_assert_not_null(v, "bytes %02x %02x: %s", a, b, why.text);
            const char *out = json_string_value(v);
            cr_assert_eq(out[json_string_length(v) - 1], 'z', "bytes %02x %02x swallow what follows", a, b);
            json_decref(v);
        }
    }
}

Test(json, invalid_utf8_is_replaced_byte_by_byte)
{
    ox__qjson_str(&j, OX_STR("a\xff\xed\xa0\x80 \xf0\x9f\x98\x80 \xc3"));
    cr_assert_str_eq(text(),
                     "\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xf0\x9f\x98\x80 \xef\xbf\xbd\"");
}

Test(json, doubles_read_back_exactly)
{
    static const double values[] = {
        0, -0.0, 1, 0.1, 1.0 / 3, 1e300, 5e-324, 1.7976931348623157e308, 123456789012345680.0};
    for (size_t i = 0; i < OX_COUNT(values); i++) {
        ox_buf_reset(&buf);
        ox__qjson_init(&j, &buf);
        ox__qjson_double(&j, values[i]);
        const char *s = text();
        double back = strtod(s, NULL);
        cr_assert(memcmp(&back, &values[i], sizeof(back)) == 0, "%s is not %a", s, values[i]);
        cr_assert_not_null(strpbrk(s, ".e"), "%s looks like an integer", s);
    }
}

Test(json, doubles_that_json_has_no_number_for_are_strings)
{
    ox__qjson_begin(&j, '[');
    ox__qjson_double(&j, NAN);
    ox__qjson_double(&j, INFINITY);
    ox__qjson_double(&j, -INFINITY);
    ox__qjson_end(&j, ']');
    cr_assert_str_eq(text(), "[\"NaN\",\"Infinity\",\"-Infinity\"]");
}

Test(json, times_and_ids)
{
    static const uint8_t none[8] = {0}, id[8] = {0, 1, 2, 3, 4, 5, 6, 0xff};
    ox__qjson_begin(&j, '{');
    ox__qjson_ktime(&j, "t", 1795233581189004479u);
    ox__qjson_ktime(&j, "u", 0);
    ox__qjson_kid(&j, "i", id, 8);
    ox__qjson_kid(&j, "n", none, 8);
    ox__qjson_end(&j, '}');
    cr_assert_str_eq(
        text(), "{\"t\":\"2026-11-21T03:59:41.189004479Z\",\"t_unix_nano\":1795233581189004479,\"u\":null,"
                "\"u_unix_nano\":0,\"i\":\"00010203040506ff\",\"n\":\"\"}");
}

Test(json, stored_values_keep_their_type)
{
    static const struct {
        char type;
        const char *stored;
        const char *json;
    } cases[] = {
        {'s', "1", "\"1\""},
        {'i', "9223372036854775807", "9223372036854775807"},
        {'i', "-1", "-1"},
        {'i', "1}", "\"1}\""}, /* damage must not break out of the value */
        {'d', "1", "1.0"},
        {'d', "0.5", "0.5"},
        {'d', "NaN", "{\"doubleValue\":\"NaN\"}"},
        {'b', "true", "true"},
        {'b', "false", "false"},
        {'j', "[1,{\"a\":2}]", "[1,{\"a\":2}]"},
        {'x', "AAE=", "{\"bytesValue\":\"AAE=\"}"},
        {'n', "", "null"},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        ox_buf_reset(&buf);
        ox__qjson_init(&j, &buf);
        ox__record_value(&j, cases[i].type, ox_str_of(cases[i].stored));
        cr_assert_str_eq(text(), cases[i].json);
    }
}

static void
put_str(struct ox_buf *b, const char *s)
{
    uint8_t n = (uint8_t)strlen(s);
    ox_buf_append(b, &n, 1);
    ox_buf_append_cstr(b, s);
}

Test(json, a_result_that_ends_early_is_noticed)
{
    struct ox_buf row;
    ox_buf_init(&row);
    ox_buf_append(&row, "\x02", 1);
    put_str(&row, "k");
    put_str(&row, "v");
    put_str(&row, "n");
    put_str(&row, "42");
    put_str(&row, "si");
    for (size_t len = 0; len <= row.len; len++) {
        struct ox__rows r = {.p = row.data, .end = row.data + len};
        ox_buf_reset(&buf);
        ox__qjson_init(&j, &buf);
        ox__qjson_begin(&j, '{');
        ox__record_attrs_columns(&j, "a", &r);
        ox__qjson_end(&j, '}');
        cr_assert_eq(r.failed, len < row.len, "length %zu of %zu", len, row.len);
    }
    cr_assert_str_eq(text(), "{\"a\":{\"k\":\"v\",\"n\":42}}");
    ox_buf_fini(&row);
}
