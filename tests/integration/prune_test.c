/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    when the data disk fills up, ClickHouse's own logs go first and by default, the oldest stored data only when it is
 *          configured, nothing that is young; what went is counted, and said by the status.
 * Method:  `observex serve` with the embedded engine on a tmpfs of 300 MiB; rows by SQL, a file that takes the rest.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/harness/spine_node.h"

#define DAY_ROWS 20000 /* some 32 MB with the index */

static void
setup(void)
{
    spine_setup();
    serve_embedded(OX_LIBCHDB);
    serve_on_small_disk("300m");
}

TestSuite(prune, .init = setup, .fini = serve_teardown, .timeout = 170);

static void
start(const char *above)
{
    const char *const options[] = {"--heart-disk-min",
                                   "0",
                                   "--heart-disk-warn",
                                   "0",
                                   "--wal-segment-bytes",
                                   "4MiB",
                                   "--outbox-segment-bytes",
                                   "4MiB",
                                   "--wal-disk-reserve",
                                   "8MiB",
                                   "--storage-prune-above",
                                   above,
                                   NULL};
    serve_start(NULL, options);
    eventually(serve_number("SELECT count() FROM otel_logs") == 0);
}

/* Bytes that do not compress, as records of the day that many days ago. */
static void
store_day(int ago)
{
    char statement[256];
    snprintf(statement, sizeof(statement),
             "INSERT INTO otel_logs (tenant_id, time, body) SELECT 't', now64(9) - INTERVAL %d DAY, "
             "randomPrintableASCII(1000) FROM numbers(%d)",
             ago, DAY_ROWS);
    cr_assert_not_null(serve_sql_write(statement));
}

static void
make_system_log(void)
{
    cr_assert_not_null(
        serve_sql_write("CREATE TABLE system.some_log (x String) ENGINE = MergeTree ORDER BY x"));
    cr_assert_not_null(
        serve_sql_write("INSERT INTO system.some_log SELECT randomPrintableASCII(1000) FROM numbers(10000)"));
}

static double
pruned(const char *table, const char *reason)
{
    char line[160];
    snprintf(line, sizeof(line), "\nobservex_storage_pruned_rows_total{table=\"%s\",reason=\"%s\"} ", table,
             reason);
    double n = spine_metric(line);
    return n > 0 ? n : 0;
}

Test(prune, by_default_only_the_logs_of_clickhouse_itself)
{
    char answer[8192];
    start("0");
    store_day(3);
    make_system_log();
    serve_fill(20);
    eventually(pruned("some_log", "system_log") == 10000);
    cr_assert_eq(serve_number("SELECT count() FROM system.some_log"), 0);
    cr_assert_eq(serve_number("SELECT count() FROM otel_logs"), DAY_ROWS);
    cr_assert_eq(pruned("otel_logs", "space"), 0);
    cr_assert_eq(spine_api("GET", "/api/v1/status", answer, sizeof(answer)), 200);
    cr_assert_not_null(strstr(answer, "\"pruned\":{\"rows\":10000,\"bytes\":1"), "%s", answer);
    cr_assert_eq(serve_stop(), 0);
}

Test(prune, the_oldest_days_and_nothing_young)
{
    char answer[8192];
    start("60");
    for (int ago = 0; ago < 4; ago++)
        store_day(ago); /* some 45 % of the disk */
    cr_assert_eq(serve_number("SELECT count() FROM otel_logs"), 4 * DAY_ROWS);
    serve_fill(20);
    eventually(pruned("otel_logs", "space") == 2 * DAY_ROWS);
    cr_assert_eq(serve_number("SELECT count() FROM otel_logs"), 2 * DAY_ROWS);
    cr_assert_eq(serve_number("SELECT count() FROM otel_logs WHERE time < now() - INTERVAL 36 HOUR"), 0);
    cr_assert_eq(spine_api("GET", "/api/v1/status", answer, sizeof(answer)), 200);
    cr_assert_not_null(strstr(answer, "\"pruned\":{\"rows\":40000,"), "%s", answer);
    cr_assert_eq(spine_send_next(0), 200, "the room is there for what comes");
    cr_assert_eq(serve_stop(), 0);
}

/* Not more than needed: of the two days that may go, one is enough. */
Test(prune, as_few_as_needed)
{
    start("60");
    for (int ago = 0; ago < 4; ago++)
        store_day(ago);
    serve_fill(118); /* a little above 60 % used: six points too much, and a day is ten */
    eventually(pruned("otel_logs", "space") > 0);
    cr_assert_eq(serve_number("SELECT count() FROM otel_logs"), 3 * DAY_ROWS);
    cr_assert_eq(pruned("otel_logs", "space"), DAY_ROWS);
    cr_assert_eq(serve_stop(), 0);
}
