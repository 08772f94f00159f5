/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    every table gets its policy, and nothing that could break out of the text gets in.
 * Method:  texts compared; names and secrets that must be refused.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "ox/engine.h"

#define SECRET "0123456789abcdef"

static ox_err
users(const char *table, bool owned, const char *secret, struct ox_buf *out)
{
    struct ox_schema_table t = {.name = table, .tenant_owned = owned};
    struct ox_diag diag;
    ox_err err = ox_engine_users_xml(&t, 1, secret, out, &diag);
    ox_buf_append(out, "", 1);
    return err;
}

Test(config_xml, a_tenants_table_and_a_system_table)
{
    struct ox_buf out = {0};
    cr_assert_eq(users("otel_logs", true, SECRET, &out), OX_OK);
    cr_assert_not_null(strstr((char *)out.data,
                              "<otel_logs><filter>getSetting('log_comment') = 's:" SECRET "' OR concat('t:', "
                              "tenant_id) = getSetting('log_comment')</filter></otel_logs>"));
    cr_assert_not_null(strstr((char *)out.data,
                              "<schema_migrations><filter>getSetting('log_comment') = 's:" SECRET
                              "'</filter></schema_migrations>"));
    ox_buf_reset(&out);
    cr_assert_eq(users("jobs", false, SECRET, &out), OX_OK);
    cr_assert_not_null(
        strstr((char *)out.data, "<jobs><filter>getSetting('log_comment') = 's:" SECRET "'</filter></jobs>"));
    ox_buf_fini(&out);
}

Test(config_xml, every_shipped_table_is_named)
{
    struct ox_buf out = {0};
    cr_assert_eq(ox_engine_users_xml(ox_schema_tables, ox_schema_tables_count, SECRET, &out, NULL), OX_OK);
    ox_buf_append(&out, "", 1);
    for (size_t i = 0; i < ox_schema_tables_count; i++) {
        char mark[128];
        snprintf(mark, sizeof(mark), "<%s><filter>", ox_schema_tables[i].name);
        const char *at = strstr((char *)out.data, mark);
        cr_assert_not_null(at, "%s", mark);
        cr_assert_null(strstr(at + 1, mark), "%s twice", mark);
    }
    ox_buf_fini(&out);
}

Test(config_xml, odd_names_and_secrets_are_refused)
{
    static const char *const names[] = {"", "a b", "a.b", "1a", "a<b", "a'b"};
    static const char *const secrets[] = {NULL, "", "short", "0123456789abcde'", "0123456789abcdef<x>"};
    struct ox_buf out = {0};
    for (size_t i = 0; i < OX_COUNT(names); i++)
        cr_assert_eq(users(names[i], true, SECRET, &out), OX_E_INVALID, "%s", names[i]);
    for (size_t i = 0; i < OX_COUNT(secrets); i++)
        cr_assert_eq(users("t", true, secrets[i], &out), OX_E_INVALID);
    ox_buf_fini(&out);
}

Test(config_xml, paths_are_escaped_and_limits_written)
{
    struct ox_engine_options o = {.memory_bytes_max = 800u << 20};
    struct ox_buf out = {0};
    cr_assert_eq(ox_engine_config_xml(&o, "/a&b/<c>", &out), OX_OK);
    ox_buf_append(&out, "", 1);
    cr_assert_not_null(strstr((char *)out.data, "<users_config>/a&amp;b/&lt;c&gt;</users_config>"));
    cr_assert_not_null(
        strstr((char *)out.data, "<max_server_memory_usage>838860800</max_server_memory_usage>"));
    cr_assert_not_null(strstr((char *)out.data, "<fsync_after_insert>1</fsync_after_insert>"));
    cr_assert_not_null(
        strstr((char *)out.data, "<min_rows_to_fsync_after_merge>1</min_rows_to_fsync_after_merge>"));
    ox_buf_fini(&out);
}
