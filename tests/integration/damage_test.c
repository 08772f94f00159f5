/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    parts that the embedded engine cannot read have it restarted, once; what can come back comes back, what
 *          cannot is said until somebody removes it.
 * Method:  `observex serve` with the embedded engine; files of active parts are emptied or changed below it, as writes
 *          that failed leave them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/harness/spine_node.h"

#define RECORDS (4 * SPINE_PER_REQUEST)

#define RESTARTS "\nobservex_storage_mend_restarts_total "
#define DAMAGED  "\nobservex_storage_damaged_parts "
#define LOST     "\nobservex_storage_set_aside_parts_total{table=\"otel_logs\",outcome=\"lost\"} "
#define SOURCES  "\nobservex_storage_set_aside_parts_total{table=\"otel_logs\",outcome=\"sources\"} "

static void
setup(void)
{
    spine_setup();
    serve_embedded(OX_LIBCHDB);
}

TestSuite(damage, .init = setup, .fini = serve_teardown, .timeout = 170);

/* Four blocks, each a part of its own. */
static void
store_logs(void)
{
    serve_start(NULL, NULL);
    eventually(spine_api("GET", "/ready", NULL, 0) == 200);
    cr_assert_not_null(serve_sql_write("SYSTEM STOP MERGES otel_logs"));
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(spine_send_next(0), 200);
        eventually(serve_number("SELECT count() FROM otel_logs") == (i + 1) * SPINE_PER_REQUEST);
    }
    eventually(spine_metric("\nobservex_outbox_blocks ") == 0);
}

static void
merge(void)
{
    cr_assert_not_null(serve_sql_write("SYSTEM START MERGES otel_logs"));
    cr_assert_not_null(serve_sql_write("OPTIMIZE TABLE otel_logs FINAL"));
    cr_assert_eq(serve_number("SELECT count() FROM system.parts WHERE active AND table = 'otel_logs'"), 1);
}

static void
part_file(const char *file, char *out, size_t size)
{
    const char *dir = serve_sql("SELECT path FROM system.parts WHERE active AND table = 'otel_logs' ORDER BY "
                                "name LIMIT 1");
    cr_assert_not_null(dir);
    snprintf(out, size, "%.*s/%s", (int)strcspn(dir, "\n"), dir, file);
}

static void
empty(const char *file)
{
    char path[512];
    part_file(file, path, sizeof(path));
    cr_assert_eq(truncate(path, 0), 0, "%s", path);
}

/* The last byte is another one. */
static void
change(const char *file)
{
    char path[512], byte;
    part_file(file, path, sizeof(path));
    int fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_geq(fd, 0, "%s", path);
    off_t at = lseek(fd, -1, SEEK_END);
    cr_assert_eq(pread(fd, &byte, 1, at), 1);
    byte = (char)~byte;
    cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* Whoever comes later knows that its rows are lost, whatever is in doubt then. */
static bool
is_marked(void)
{
    char path[512];
    const char *dir = serve_sql("SELECT path FROM system.detached_parts WHERE table = 'otel_logs'");
    cr_assert_not_null(dir);
    snprintf(path, sizeof(path), "%.*s/observex-lost", (int)strcspn(dir, "\n"), dir);
    return access(path, F_OK) == 0;
}

/* A tenant's question that reads every column. */
static int
ask(void)
{
    return spine_api("GET", "/api/v1/logs?limit=100", NULL, 0);
}

static bool
ready_says(const char *text)
{
    char body[2048] = "";
    return spine_api("GET", "/ready", body, sizeof(body)) == 200 && strstr(body, text) != NULL;
}

Test(damage, of_a_merged_part_gives_the_merged_ones_back)
{
    store_logs();
    merge();
    empty("data.bin");
    cr_assert_eq(ask(), 503);
    eventually(spine_metric(RESTARTS) == 1);
    eventually(spine_metric(SOURCES) == 1);
    cr_assert_gt(spine_metric("\nobservex_storage_damage_answers_total "), 0);
    cr_assert_eq(serve_number("SELECT count() FROM otel_logs WHERE body != ''"), RECORDS);
    cr_assert_eq(serve_number("SELECT count() FROM system.detached_parts"), 0);
    cr_assert_eq(spine_metric(DAMAGED), 0);
    eventually(ask() == 200);
    cr_assert_eq(serve_stop(), 0);
}

/* Nobody asks through the node: the engine counts what its merges and other clients meet. */
Test(damage, is_noticed_by_what_the_engine_counts)
{
    store_logs();
    merge();
    empty("data.cmrk4");
    cr_assert_not_null(serve_sql_write("SYSTEM DROP MARK CACHE"));
    serve_sql("SELECT sum(cityHash64(*)) FROM otel_logs");
    eventually(spine_metric(SOURCES) == 1);
    cr_assert_eq(serve_number("SELECT count() FROM otel_logs WHERE body != ''"), RECORDS);
    cr_assert_eq(serve_stop(), 0);
}

Test(damage, that_is_beyond_help_is_said_until_the_part_is_removed)
{
    store_logs();
    empty("data.bin");
    ask();
    eventually(spine_metric(LOST) == 1);
    eventually(spine_metric(DAMAGED) == 1);
    cr_assert_eq(spine_metric(RESTARTS), 1);
    cr_assert(ready_says("stored data is damaged: 1 parts"));
    cr_assert_eq(serve_number("SELECT count() FROM otel_logs WHERE body != ''"), RECORDS - SPINE_PER_REQUEST);
    cr_assert(is_marked());
    serve_kill_node(); /* the next one says so, too */
    eventually(spine_metric(DAMAGED) == 1);
    const char *name = serve_sql("SELECT name FROM system.detached_parts");
    char statement[256];
    cr_assert_not_null(name);
    snprintf(statement, sizeof(statement),
             "ALTER TABLE otel_logs DROP DETACHED PART '%.*s' SETTINGS allow_drop_detached = 1",
             (int)strcspn(name, "\n"), name);
    cr_assert_not_null(serve_sql_write(statement));
    eventually(spine_metric(DAMAGED) == 0);
    cr_assert_eq(serve_stop(), 0);
}

/* A start looks at sizes, not at bytes. */
Test(damage, that_a_restart_does_not_mend_is_no_reason_for_another)
{
    store_logs();
    change("data.bin");
    ask();
    eventually(spine_metric(DAMAGED) == 1);
    cr_assert_eq(spine_metric(RESTARTS), 1);
    cr_assert(ready_says("stored data is damaged"));
    for (int i = 0; i < 4; i++) /* what comes is stored all the same */
        cr_assert_eq(spine_send_next(0), 200);
    eventually(serve_number("SELECT count() FROM otel_logs") == RECORDS + 4 * SPINE_PER_REQUEST);
    eventually(spine_metric("\nobservex_outbox_blocks ") == 0);
    cr_assert_eq(spine_metric(RESTARTS), 1);
    cr_assert_eq(serve_stop(), 0);
}
