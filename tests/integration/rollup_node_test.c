/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    what stands in DIR/rollups-in-doubt is looked at by the next node, mended, counted and taken off; a view that is
 *          not understood does not keep blocks back.
 * Method:  `observex serve` with the embedded engine; the rollup is made wrong by SQL, the file written as a killed node
 *          leaves it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/harness/spine_node.h"

static void
setup(void)
{
    spine_setup();
    serve_embedded(OX_LIBCHDB);
}

TestSuite(rollup_node, .init = setup, .fini = serve_teardown, .timeout = 170);

static void
doubts_path(char *out, size_t size)
{
    snprintf(out, size, "%s/rollups-in-doubt", serve.dir);
}

static bool
file_is_there(void)
{
    char path[128];
    doubts_path(path, sizeof(path));
    return access(path, F_OK) == 0;
}

/* All blocks of otel_logs, table 1 of the list. */
static void
doubt_all_logs(void)
{
    char path[128], id[32], sql[160];
    long n = serve_number("SELECT uniqExact(block_id) FROM otel_logs");
    doubts_path(path, sizeof(path));
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs("observex rollups in doubt 1\n", file);
    for (long i = 0; i < n; i++) {
        snprintf(sql, sizeof(sql),
                 "SELECT DISTINCT block_id FROM otel_logs ORDER BY block_id LIMIT 1 OFFSET %ld", i);
        const char *answer = serve_sql(sql);
        cr_assert_not_null(answer);
        snprintf(id, sizeof(id), "%lld", atoll(answer));
        fprintf(file, "1 %s\n", id);
    }
    fclose(file);
}

static void
store_errors(void)
{
    spine_error_logs = true;
    serve_start(NULL, NULL);
    eventually(spine_api("GET", "/ready", NULL, 0) == 200);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(spine_send_next(0), 200);
    eventually(serve_number("SELECT count() FROM otel_logs") == 8 * SPINE_PER_REQUEST);
    eventually(spine_metric("\nobservex_outbox_blocks ") == 0);
}

Test(rollup_node, what_a_killed_node_left_in_doubt_is_mended)
{
    store_errors();
    cr_assert_eq(serve_number("SELECT sum(count) FROM otel_logs_errors_1h"), 80);
    cr_assert_not_null(
        serve_sql_write("INSERT INTO otel_logs_errors_1h SELECT * FROM otel_logs_errors_1h SETTINGS "
                        "insert_deduplicate = 0"));
    cr_assert_eq(serve_number("SELECT sum(count) FROM otel_logs_errors_1h"), 160);
    doubt_all_logs();
    serve_kill_node();
    eventually(spine_metric(
                   "\nobservex_rollup_checks_total{rollup=\"otel_logs_errors_1h\",result=\"mended\"} ") == 1);
    cr_assert_gt(
        spine_metric("\nobservex_rollup_rows_total{rollup=\"otel_logs_errors_1h\",result=\"mended\"} "), 0);
    cr_assert_eq(serve_number("SELECT sum(count) FROM otel_logs_errors_1h"), 80);
    eventually(!file_is_there());
    cr_assert_eq(spine_metric("\nobservex_rollup_pending_blocks "), 0);
    cr_assert_eq(spine_send_next(0), 200);
    eventually(serve_number("SELECT sum(count) FROM otel_logs_errors_1h") == 90);
    cr_assert_eq(serve_stop(), 0);
}

Test(rollup_node, a_view_that_is_not_understood_keeps_nothing_back)
{
    store_errors();
    cr_assert_not_null(serve_sql_write("DROP TABLE otel_logs_errors_1h_mv"));
    cr_assert_not_null(serve_sql_write(
        "CREATE MATERIALIZED VIEW otel_logs_errors_1h_mv TO otel_logs_errors_1h AS SELECT tenant_id, "
        "service_name, toStartOfHour(l.time) AS time, count() AS count FROM (SELECT * FROM otel_logs) AS "
        "l GROUP BY ALL"));
    doubt_all_logs();
    serve_kill_node();
    cr_assert_eq(spine_send_next(0), 200);
    eventually(spine_metric("\nobservex_rollup_unchecked_blocks_total{table=\"otel_logs\"} ") > 0);
    eventually(serve_number("SELECT count() FROM otel_logs") == 90);
    eventually(!file_is_there());
    cr_assert_eq(serve_stop(), 0);
}
