/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    rows that ClickHouse refuses are taken out of their block, the others are stored once, views included, through
 *          kill -9 of node and engine in the middle.
 * Method:  `observex serve` with the embedded engine; constraints on otel_logs refuse records by their id.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/harness/spine_node.h"

/* A second, so that the requests of a round are one block. */
static const char *const gather[] = {"--writer-flush", "1s", NULL};

static void
setup(void)
{
    spine_setup();
    serve_embedded(OX_LIBCHDB);
}

TestSuite(refused_rows, .init = setup, .fini = serve_teardown, .timeout = 170);

static void
refuse(uint32_t id)
{
    char statement[256];
    snprintf(statement, sizeof(statement),
             "ALTER TABLE otel_logs ADD CONSTRAINT IF NOT EXISTS c%u CHECK position(body, 'uid=%07u;') = 0",
             id, id);
    eventually(serve_sql_write(statement) != NULL);
}

static unsigned
letters_of(uint32_t id)
{
    char path[128], want[16];
    unsigned n = 0;
    snprintf(path, sizeof(path), "%s/dlq/dlq.jsonl", serve.dir);
    snprintf(want, sizeof(want), "uid=%07u;", id);
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t cap = 0;
    while (f != NULL && getline(&line, &cap, f) > 0)
        n += strstr(line, "\"columns\":{") != NULL && strstr(strstr(line, "\"columns\":{"), want) != NULL;
    free(line);
    if (f != NULL)
        fclose(f);
    return n;
}

/* Bytes of the markers of splits that are under way. */
static long
marker_bytes(void)
{
    char command[256], text[32] = "";
    snprintf(command, sizeof(command), "cat '%s'/dlq/blocks/*.split 2>/dev/null | wc -c", serve.dir);
    FILE *f = popen(command, "r");
    if (fgets(text, sizeof(text), f) == NULL)
        text[0] = '\0';
    pclose(f);
    return atol(text);
}

static void
check(const uint32_t *bad, size_t n_bad)
{
    long want = (long)(spine_n_requests * SPINE_PER_REQUEST) - (long)n_bad;
    for (size_t i = 0; i < n_bad; i++)
        eventually(letters_of(bad[i]) > 0);
    eventually(serve_number("SELECT uniqExact(body) FROM otel_logs") == want);
    eventually(spine_metric("\nobservex_outbox_blocks ") == 0);
    cr_assert_eq(serve_number("SELECT count() FROM otel_logs"), want);
    cr_assert_eq(serve_number("SELECT uniqExact(body) FROM otel_logs"), want);
    /* Every record is an error, so that a view counts it. */
    cr_assert_eq(serve_number("SELECT sum(count) FROM otel_logs_errors_1h"), want);
}

Test(refused_rows, are_taken_out_and_kept)
{
    static const uint32_t bad[] = {0, 41, 42, 79};
    spine_error_logs = true;
    serve_start(NULL, gather);
    eventually(spine_api("GET", "/ready", NULL, 0) == 200);
    for (size_t i = 0; i < OX_COUNT(bad); i++)
        refuse(bad[i]);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(spine_send_next(0), 200);
    check(bad, OX_COUNT(bad));
    cr_assert_eq(spine_metric("\nobservex_outbox_refused_rows_total{"), OX_COUNT(bad));
    cr_assert_eq(serve_stop(), 0);
}

/* Node, engine or both are killed once the split has got so far. */
Test(refused_rows, killed_in_the_middle)
{
    uint32_t bad[32];
    size_t n_bad = 0;
    spine_error_logs = true;
    serve_start(NULL, gather);
    eventually(spine_api("GET", "/ready", NULL, 0) == 200);
    for (int round = 0; round < 3; round++) {
        uint32_t first = spine_n_requests * SPINE_PER_REQUEST;
        refuse(bad[n_bad++] = first + 7);
        refuse(bad[n_bad++] = first + 66);
        for (int i = 0; i < 8; i++)
            cr_assert_eq(spine_send_next(0), 200);
        eventually(marker_bytes() > round * 400);
        pid_t old = serve.node, engine = serve.engine;
        cr_assert_gt(engine, 0);
        if (round % 2 == 1)
            kill(engine, SIGKILL);
        kill(old, SIGKILL);
        eventually(serve_read_ready(old));
        eventually(serve_sql("SELECT 1") != NULL);
        check(bad, n_bad);
    }
    cr_assert_eq(serve_stop(), 0);
}
