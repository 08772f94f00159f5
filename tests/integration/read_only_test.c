/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    read-only means that writes get 429 with a hint and a reason while questions are answered; it begins and ends as
 *          an operator says, across a restart, and by itself when the disk fills and empties.
 * Method:  `observex serve` before tests/harness/fake_clickhouse.c; a small tmpfs as the data disk.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/harness/spine_node.h"

TestSuite(read_only, .init = spine_setup, .fini = serve_teardown, .timeout = 170);

#define PATH "/admin/storage/readonly"

static int
order(const char *method, const char *query, char *answer, size_t cap)
{
    char path[128];
    snprintf(path, sizeof(path), PATH "%s", query);
    return spine_api(method, path, answer, cap);
}

static void
expect_read_only(const char *reason)
{
    char retry[16], answer[1024], line[128];
    cr_assert_eq(spine_send_request(spine_n_requests, 0, retry, sizeof(retry)), 429);
    cr_assert_neq(retry[0], '\0', "429 without Retry-After");
    cr_assert_eq(spine_api("GET", "/ready", answer, sizeof(answer)), 503);
    cr_assert_not_null(strstr(answer, "questions work, ingest does not"), "%s", answer);
    cr_assert_eq(order("GET", "", answer, sizeof(answer)), 200);
    cr_assert(strstr(answer, "\"read_only\":true") != NULL && strstr(answer, reason) != NULL, "%s", answer);
    cr_assert_eq(spine_api("GET", "/api/v1/services", answer, sizeof(answer)), 200, "%s", answer);
    snprintf(line, sizeof(line), "\nobservex_storage_read_only{reason=\"%s\"} ", reason);
    cr_assert_eq(spine_metric(line), 1);
}

Test(read_only, by_an_operator_and_across_a_restart)
{
    char answer[1024];
    serve_start(NULL, NULL);
    cr_assert_eq(spine_send_next(0), 200);
    cr_assert_eq(order("GET", "", answer, sizeof(answer)), 200);
    cr_assert_str_eq(answer, "{\"read_only\":false,\"reasons\":[]}");
    cr_assert_eq(order("POST", "?enable=true", answer, sizeof(answer)), 200, "%s", answer);
    expect_read_only("operator");
    serve_kill_node();
    expect_read_only("operator");
    spine_check_all(); /* what was acknowledged goes on */
    cr_assert_eq(order("POST", "?disable=true", answer, sizeof(answer)), 200, "%s", answer);
    cr_assert_str_eq(answer, "{\"read_only\":false,\"reasons\":[]}");
    cr_assert_eq(spine_send_next(0), 200);
    serve_kill_node();
    cr_assert_eq(spine_send_next(0), 200, "what was taken back came again with the restart");
    spine_check_all();
    cr_assert_eq(serve_stop(), 0);
}

Test(read_only, an_order_that_is_not_understood_changes_nothing)
{
    char answer[1024];
    serve_start(NULL, NULL);
    static const char *const wrong[] = {"", "?enable=false", "?enable=true&disable=true", "?disable"};
    for (size_t i = 0; i < OX_COUNT(wrong); i++) {
        cr_assert_eq(order("POST", wrong[i], answer, sizeof(answer)), 400, "%s: %s", wrong[i], answer);
        cr_assert_not_null(strstr(answer, "enable=true"), "%s", answer);
    }
    cr_assert_eq(order("DELETE", "?enable=true", answer, sizeof(answer)), 405);
    cr_assert_eq(spine_send_next(0), 200);
    spine_check_all();
    cr_assert_eq(serve_stop(), 0);
}

Test(read_only, a_disk_that_fills_and_empties)
{
    static const char *const options[] = {"--heart-disk-min",
                                          "0",
                                          "--heart-disk-warn",
                                          "0",
                                          "--wal-segment-bytes",
                                          "4MiB",
                                          "--outbox-segment-bytes",
                                          "4MiB",
                                          "--wal-disk-reserve",
                                          "16MiB",
                                          NULL};
    char answer[1024], ballast[128];
    serve_on_small_disk("80m");
    serve_start(NULL, options);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(spine_send_next(0), 200);
    serve_fill(8);
    snprintf(ballast, sizeof(ballast), "%s/ballast", serve.dir);
    eventually(spine_send_request(spine_n_requests, 0, NULL, 0) == 429);
    expect_read_only("space");
    cr_assert_eq(order("POST", "?disable=true", answer, sizeof(answer)), 409, "%s", answer);
    cr_assert_not_null(strstr(answer, "wal.disk_reserve"), "%s", answer);
    expect_read_only("space");
    cr_assert_gt(spine_metric("\nobservex_disk_total_bytes "),
                 spine_metric("\nobservex_disk_free_bytes ") * 5);
    cr_assert_eq(remove(ballast), 0);
    eventually(spine_send_request(spine_n_requests, 0, NULL, 0) == 200);
    spine_acked[spine_n_requests++] = true;
    serve_fill(18); /* more than the reserve, less than the way back wants */
    cr_assert_eq(spine_send_next(0), 200, "refused above the reserve");
    eventually(spine_metric("\nobservex_storage_read_only{reason=\"space\"} ") == 0);
    spine_check_all();
    cr_assert_eq(remove(ballast), 0);
    cr_assert_eq(serve_stop(), 0);
}
