/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    codes, summaries, URLs and parameters are understood as documented.
 * Method:  tables of cases; no server.
 */
#include <criterion/criterion.h>

#include "actors/storage/storage.h"
#include "ox/schema.h"

Test(storage, codes_mean_what_the_writer_does_next)
{
    static const struct {
        int code;
        ox_err err;
    } cases[] = {
        {0, OX_OK},
        {241, OX_E_STORAGE_BUSY},
        {202, OX_E_STORAGE_BUSY},
        {252, OX_E_STORAGE_BUSY},
        {159, OX_E_STORAGE_BUDGET},
        {158, OX_E_STORAGE_BUDGET},
        {307, OX_E_STORAGE_BUDGET},
        {396, OX_E_STORAGE_BUDGET},
        {394, OX_E_CANCELLED},
        {27, OX_E_STORAGE_REFUSED},
        {33, OX_E_STORAGE_REFUSED},
        {53, OX_E_STORAGE_REFUSED},
        {117, OX_E_STORAGE_REFUSED},
        {60, OX_E_NOT_FOUND},
        {81, OX_E_NOT_FOUND},
        {516, OX_E_UNAUTHENTICATED},
        {164, OX_E_FORBIDDEN},
        {242, OX_E_STORAGE_DOWN},
        {204, OX_E_STORAGE_DOWN},
        {99999, OX_E_STORAGE_REFUSED},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++)
        cr_assert_eq(ox_storage_err_of_code(cases[i].code), cases[i].err, "%d", cases[i].code);
}

#define PART_TEXT                                                                                            \
    "Code: 33. DB::Exception: Cannot read all data in MergeTreeReaderCompact. Rows read: 0. Rows expected: " \
    "10: (while reading column a): (while reading from part /data/store/d92/d923/20261125_3_3_0/ in table "  \
    "observex.otel_logs (d9232462-cd64-45c9-8e07-5119367e5bc9) located on disk default of type local, from " \
    "mark 0 with max_rows_to_read = 10, offset = 0): While reading part 20261125_3_3_0"

Test(storage, a_part_that_cannot_be_read_is_named)
{
    struct ox_part part;
    cr_assert(ox_part_of_text(33, OX_STR(PART_TEXT), &part));
    cr_assert_str_eq(part.table, "otel_logs");
    cr_assert_str_eq(part.name, "20261125_3_3_0");
    cr_assert(ox_part_of_text(246, OX_STR(PART_TEXT), &part));
    cr_assert_not(ox_part_of_text(241, OX_STR(PART_TEXT), &part), "memory is no damage");
    cr_assert_not(ox_part_of_text(33, OX_STR("Code: 33. DB::Exception: Cannot read all data."), &part));
    cr_assert_not(ox_part_of_text(33, OX_STR(""), &part));
}

/* What somebody has written into his question gets no further than names may. */
Test(storage, no_other_text_becomes_the_name_of_a_part)
{
    static const char *const texts[] = {
        "while reading from part ",
        "while reading from part /a/b/ in table ",
        "while reading from part /a/b/ in table x.y",
        "while reading from part /a/b'c/ in table x.y (z)",
        "while reading from part /a/b/ in table x.y; DROP (z)",
        "while reading from part /a// in table x.y (z)",
        "while reading from part /a/b/ in table x. (z)",
        "while reading from part /a/b/ in table y (z)",
    };
    struct ox_part part;
    for (size_t i = 0; i < OX_COUNT(texts); i++)
        cr_expect_not(ox_part_of_text(246, ox_str_of(texts[i]), &part), "%s", texts[i]);
}

Test(storage, codes_are_found_in_texts_of_both_ages)
{
    cr_assert_eq(ox__storage_code_of(OX_STR("Code: 60. DB::Exception: x")), 60);
    cr_assert_eq(ox__storage_code_of(OX_STR("1\t2\nCode: 241, e.displayText() = DB::Exception: y")), 241);
    cr_assert_eq(ox__storage_code_of(OX_STR("Code: ")), 0);
    cr_assert_eq(ox__storage_code_of(OX_STR("rows")), 0);
    cr_assert_eq(ox__storage_code_of((struct ox_str){NULL, 0}), 0);
}

Test(storage, summaries)
{
    struct ox_storage_stats s;
    ox__storage_parse_summary(
        OX_STR("{\"read_rows\":\"12\",\"written_rows\":34,\"elapsed_ns\": \"18446744073709551615\"}"), &s);
    cr_assert_eq(s.read_rows, 12);
    cr_assert_eq(s.written_rows, 34);
    cr_assert_eq(s.elapsed_ns, UINT64_MAX);
    cr_assert_eq(s.read_bytes, 0);
}

Test(storage, parameters_are_escaped)
{
    struct ox_buf out = {0};
    ox__storage_escape_param(&out, OX_STR("a\tb\\c\n\0'"));
    cr_assert(ox_str_eq(ox_buf_str(&out), OX_STR("a\\tb\\\\c\\n\\0'")));
    ox_buf_reset(&out);
    ox_storage_quote(&out, OX_STR("a'b\\"));
    cr_assert(ox_str_eq(ox_buf_str(&out), OX_STR("'a\\'b\\\\'")));
    ox_buf_fini(&out);
}

Test(storage, compound_parameters_are_told_apart)
{
    struct ox_str sql = OX_STR("SELECT {a:String}, { b : Array(String)}, {ab:Map(String, String)}, '{', {a");
    cr_assert_not(ox__storage_param_is_compound(sql, "a"));
    cr_assert(ox__storage_param_is_compound(sql, "b"));
    cr_assert(ox__storage_param_is_compound(sql, "ab"));
    cr_assert_not(ox__storage_param_is_compound(sql, "c"));
}

Test(storage, urls)
{
    static const char *const bad[] = {NULL,      "",           "unix:",        "ftp://x",
                                      "http://", "http://a/b", "http://u:p@h", "host:8123"};
    static const char *const good[] = {"unix:/x", "http://h", "http://h:1/", "https://[::1]:8443"};
    for (size_t i = 0; i < OX_COUNT(bad) + OX_COUNT(good); i++) {
        const char *url = i < OX_COUNT(bad) ? bad[i] : good[i - OX_COUNT(bad)];
        struct ox_storage *st;
        struct ox_diag diag;
        struct ox_storage_options o = {.url = url};
        cr_assert_eq(ox_storage_open(&o, &st, &diag), i < OX_COUNT(bad) ? OX_E_CONFIG : OX_OK, "%s", url);
        ox_storage_close(st);
    }
}

Test(storage, nobody_there)
{
    struct ox_storage *st;
    struct ox_diag diag;
    struct ox_storage_options o = {.url = "unix:/nonexistent/engine.sock"};
    cr_assert_eq(ox_storage_open(&o, &st, NULL), OX_OK);
    cr_assert_eq(ox_storage_ping(st, 100, &diag), OX_E_STORAGE_DOWN);
    cr_assert_not_null(strstr(diag.text, "/nonexistent/engine.sock"), "%s", diag.text);
    ox_storage_close(st);
}

Test(storage, a_tenants_wall_names_every_table)
{
    struct ox_buf wall = {0};
    struct ox_tenant_id acme;
    cr_assert_eq(ox_tenant_id_parse(OX_STR("acme"), &acme, NULL), OX_OK);
    ox__storage_wall(&wall, "db", &acme);
    ox_buf_append(&wall, "", 1);
    cr_assert_not(wall.failed);
    for (size_t i = 0; i < ox_schema_tables_count; i++) {
        char row[200];
        const struct ox_schema_table *t = &ox_schema_tables[i];
        snprintf(row, sizeof(row), "%c'db.%s': '%s'", i == 0 ? '{' : ',', t->name,
                 t->tenant_owned ? "tenant_id = \\'acme\\'" : "0");
        cr_assert_not_null(strstr((char *)wall.data, row), "%s is missing in %s", row, (char *)wall.data);
    }
    ox_buf_fini(&wall);
}
