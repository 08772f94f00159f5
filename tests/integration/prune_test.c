/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    when the data disk fills up, ClickHouse's own logs go first and by default, the oldest stored data only when it is
 *          configured, nothing that is young; what went is counted, and said by the status.
 * Method:  `observex serve` with the embedded engine on a tmpfs of 300 MiB; rows by SQL, a file that takes the rest.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "tests/harness/spine_node.h"

#define DAY_ROWS 20000 /* some 32 MB with the index */

static void
setup(void)
{
    spine_setup();
    serve_embedded(OX_LIBCHDB);
    if (mount("tmpfs", serve.dir, "tmpfs", 0, "size=300m,mode=0700") != 0)
        cr_skip_test("NOT TESTED: a full disk, since this process may not mount a tmpfs");
    serve.mounted = true;
}

TestSuite(prune, .init = setup, .fini = serve_teardown, .timeout = 170);

/* The first line of the answer; NULL when the statement failed. */
static const char *
sql(const char *statement)
{
    static char out[256];
    char command[1024];
    out[0] = '\0';
    snprintf(command, sizeof(command), "'%s' sql --data '%s' --format TSV \"%s\" 2>/dev/null", OX_OBSERVEX,
             serve.dir, statement);
    FILE *f = popen(command, "r");
    cr_assert_not_null(f);
    if (fgets(out, sizeof(out), f) != NULL)
        out[strcspn(out, "\n")] = '\0';
    return pclose(f) == 0 ? out : NULL;
}

static long
number(const char *statement)
{
    const char *text = sql(statement);
    return text != NULL ? atol(text) : -1;
}

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
    eventually(number("SELECT count() FROM otel_logs") == 0);
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
    cr_assert_not_null(sql(statement));
}

static void
make_system_log(void)
{
    cr_assert_not_null(sql("CREATE TABLE system.some_log (x String) ENGINE = MergeTree ORDER BY x"));
    cr_assert_not_null(
        sql("INSERT INTO system.some_log SELECT randomPrintableASCII(1000) FROM numbers(10000)"));
}

static void
fill(size_t leave_mib)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/ballast", serve.dir);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    cr_assert_geq(fd, 0);
    static char zeros[1 << 20];
    while (write(fd, zeros, sizeof(zeros)) == (ssize_t)sizeof(zeros))
        ;
    off_t end = lseek(fd, 0, SEEK_END);
    cr_assert_eq(ftruncate(fd, end - (off_t)(leave_mib << 20)), 0);
    close(fd);
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
    fill(20);
    eventually(pruned("some_log", "system_log") == 10000);
    cr_assert_eq(number("SELECT count() FROM system.some_log"), 0);
    cr_assert_eq(number("SELECT count() FROM otel_logs"), DAY_ROWS);
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
    cr_assert_eq(number("SELECT count() FROM otel_logs"), 4 * DAY_ROWS);
    fill(20);
    eventually(pruned("otel_logs", "space") == 2 * DAY_ROWS);
    cr_assert_eq(number("SELECT count() FROM otel_logs"), 2 * DAY_ROWS);
    cr_assert_eq(number("SELECT count() FROM otel_logs WHERE time < now() - INTERVAL 36 HOUR"), 0);
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
    fill(118); /* a little above 60 % used: six points too much, and a day is ten */
    eventually(pruned("otel_logs", "space") > 0);
    cr_assert_eq(number("SELECT count() FROM otel_logs"), 3 * DAY_ROWS);
    cr_assert_eq(pruned("otel_logs", "space"), DAY_ROWS);
    cr_assert_eq(serve_stop(), 0);
}
