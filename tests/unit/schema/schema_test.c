/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the migrations that the binary brings are whole, and no table escapes the list that row policies
 *          come from.
 * Method:  walk every statement; compare the tables it creates with ox_schema_tables.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "ox/schema.h"

static bool
listed(struct ox_str name, bool view)
{
    for (size_t i = 0; i < ox_schema_tables_count; i++) {
        if (ox_str_eq(name, ox_str_of(ox_schema_tables[i].name)))
            return ox_schema_tables[i].is_view == view;
    }
    return false;
}

/* The word behind `prefix`, empty when the statement begins otherwise. */
static struct ox_str
word_after(struct ox_str stmt, const char *prefix)
{
    size_t n = strlen(prefix), end;
    if (stmt.n < n || strncmp(stmt.p, prefix, n) != 0)
        return (struct ox_str){NULL, 0};
    for (end = n; end < stmt.n && stmt.p[end] != ' ' && stmt.p[end] != '\n'; end++) {
    }
    return (struct ox_str){stmt.p + n, end - n};
}

Test(schema, every_statement_is_idempotent_and_every_table_listed)
{
    size_t tables = 0;
    cr_assert_geq(ox_schema_clickhouse_count, 3);
    for (size_t m = 0; m < ox_schema_clickhouse_count; m++) {
        const char *cursor = ox_schema_clickhouse[m].sql;
        struct ox_str stmt;
        cr_assert_eq(ox_schema_clickhouse[m].number, m + 1);
        while (ox_schema_next_statement(&cursor, &stmt)) {
            struct ox_str table = word_after(stmt, "CREATE TABLE IF NOT EXISTS ");
            struct ox_str view = word_after(stmt, "CREATE MATERIALIZED VIEW IF NOT EXISTS ");
            struct ox_str altered = word_after(stmt, "ALTER TABLE ");
            if (altered.n > 0) {
                cr_assert(listed(altered, false), "%.*s is not there", (int)altered.n, altered.p);
                cr_assert_not_null(memmem(stmt.p, stmt.n, " IF NOT EXISTS ", 15),
                                   "not a statement that may be repeated: %.60s", stmt.p);
                continue;
            }
            cr_assert(table.n + view.n > 0, "not a statement that may be repeated: %.40s", stmt.p);
            cr_assert(table.n == 0 || listed(table, false), "%.*s is in no row policy", (int)table.n,
                      table.p);
            cr_assert(view.n == 0 || listed(view, true), "%.*s is in no row policy", (int)view.n, view.p);
            tables++;
        }
    }
    cr_assert_eq(tables + 1, ox_schema_tables_count, "schema_migrations is made by the storage client");
}

/* What a view leaves behind would come twice after a repeated insert. */
Test(schema, every_table_drops_repeated_blocks)
{
    for (size_t m = 0; m < ox_schema_clickhouse_count; m++) {
        const char *cursor = ox_schema_clickhouse[m].sql;
        struct ox_str stmt;
        while (ox_schema_next_statement(&cursor, &stmt)) {
            char text[16384];
            cr_assert_lt(stmt.n, sizeof(text));
            memcpy(text, stmt.p, stmt.n);
            text[stmt.n] = '\0';
            if (word_after(stmt, "CREATE TABLE IF NOT EXISTS ").n == 0)
                continue;
            cr_assert_not_null(strstr(text, "non_replicated_deduplication_window = 1000"), "%.60s", text);
            cr_assert_not_null(strstr(text, "ttl_only_drop_parts = 1"), "%.60s", text);
            cr_assert_not_null(strstr(text, "ORDER BY (tenant_id, "), "%.60s", text);
        }
    }
}

Test(schema, statements_are_taken_apart)
{
    const char *sql = "-- a comment; with a semicolon\n\nSELECT ';';\nSELECT 2;\n  -- end\nSELECT 3";
    const char *want[] = {"SELECT ';'", "SELECT 2", "SELECT 3"};
    struct ox_str stmt;
    for (size_t i = 0; i < OX_COUNT(want); i++) {
        cr_assert(ox_schema_next_statement(&sql, &stmt));
        cr_assert(ox_str_eq(stmt, ox_str_of(want[i])), "%.*s", (int)stmt.n, stmt.p);
    }
    cr_assert_not(ox_schema_next_statement(&sql, &stmt));
    cr_assert_not(ox_schema_next_statement(&sql, &stmt), "and stays at the end");
}

Test(schema, the_written_tables_come_first)
{
    cr_assert_str_eq(ox_table_name(OX_TABLE_TRACES), "otel_traces");
    cr_assert_str_eq(ox_table_name(OX_TABLE_EXEMPLARS), "otel_metric_exemplars");
    for (int t = 0; t < OX_TABLE__COUNT; t++) {
        cr_assert(ox_schema_tables[t].has_block_id);
        cr_assert(ox_schema_tables[t].tenant_owned);
        cr_assert_neq(ox_schema_tables[t].partition, OX_PARTITION_NONE);
    }
}
