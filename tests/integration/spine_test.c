/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    what the node acknowledged reaches storage exactly once, however storage behaves and whenever the node dies;
 *          what it cannot take it refuses before it promises.
 * Method:  `observex serve` with storage.url at tests/harness/fake_clickhouse.c, a fresh directory and free ports per
 *          test. Each log record carries an id of its own; the endpoint counts ids per token.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/harness/spine_node.h"

TestSuite(spine, .init = spine_setup, .fini = serve_teardown, .timeout = 170);

Test(spine, storage_away_for_a_while)
{
    serve_start(NULL, NULL);
    static const enum fake_mode troubles[] = {FAKE_GONE, FAKE_UNAVAILABLE, FAKE_BUSY, FAKE_CUT_BODY};
    for (size_t t = 0; t < OX_COUNT(troubles); t++) {
        fake_set(troubles[t]);
        for (int i = 0; i < 40; i++)
            cr_assert_eq(spine_send_next(0), 200, "refused although everything has room");
        eventually(spine_metric("\nobservex_storage_up ") == 0);
        fake_set(FAKE_OK);
        spine_check_all();
        eventually(spine_metric("\nobservex_storage_up ") == 1);
    }
    cr_assert_eq(serve_stop(), 0);
}

Test(spine, answers_lost_after_the_block_was_taken)
{
    serve_start(NULL, NULL);
    static const enum fake_mode troubles[] = {FAKE_CUT_AFTER, FAKE_HALF_ANSWER};
    for (size_t t = 0; t < OX_COUNT(troubles); t++) {
        uint64_t before = fake_counts().repeats;
        fake_set(troubles[t]);
        for (int i = 0; i < 20; i++)
            cr_assert_eq(spine_send_next(0), 200);
        eventually(fake_counts().repeats > before); /* the same token came again */
        fake_set(FAKE_OK);
        spine_check_all();
    }
    cr_assert_eq(serve_stop(), 0);
}

/* What a sender or a browser that is wrong about the port or the path is told. */
Test(spine, the_api_port_lists_its_paths_and_names_the_ports_of_otlp)
{
    static const char *const mistaken[][3] = {{"/v1/traces", "404", "OTLP is received on others"},
                                              {"/api/v1/traces", "405", "read with GET"}};
    char answer[8192];
    struct ox_client_response r;
    serve_start(NULL, NULL);
    cr_assert_eq(spine_api("GET", "/api/v1", answer, sizeof(answer)), 200, "%s", answer);
    cr_assert_not_null(strstr(answer, "\"/api/v1/services/stats\""), "%s", answer);
    for (size_t i = 0; i < OX_COUNT(mistaken); i++) {
        ox_client_response_init(&r);
        cr_assert(ox_client1_request(serve.api_port, "POST", mistaken[i][0],
                                     "Content-Type: application/x-protobuf\r\n", NULL, 0, &r));
        snprintf(answer, sizeof(answer), "%.*s", (int)r.body.len, (char *)r.body.data);
        cr_assert_eq(r.status, atoi(mistaken[i][1]), "%s: %d %s", mistaken[i][0], r.status, answer);
        cr_assert_not_null(strstr(answer, mistaken[i][2]), "%s", answer);
        ox_client_response_fini(&r);
    }
    cr_assert_eq(serve_stop(), 0);
}

Test(spine, a_stuck_table_does_not_hold_the_others)
{
    static const char span[] =
        "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"0102030405060708090a0b0c0d0e0f10\","
        "\"spanId\":\"0102030405060708\",\"name\":\"n\",\"startTimeUnixNano\":\"%lld000000000\","
        "\"endTimeUnixNano\":\"%lld000000001\"}]}]}]}";
    char body[512];
    struct ox_client_response r;
    serve_start(NULL, NULL);
    fake_stuck_table("otel_traces");
    int n = snprintf(body, sizeof(body), span, (long long)time(NULL), (long long)time(NULL));
    ox_client_response_init(&r);
    cr_assert(ox_client1_request(serve.http_port, "POST", "/v1/traces", "Content-Type: application/json\r\n",
                                 body, (size_t)n, &r));
    cr_assert_eq(r.status, 200);
    ox_client_response_fini(&r);
    eventually(spine_metric("\nobservex_storage_up ") == 0);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(spine_send_next(0), 200);
    spine_check_all();
    cr_assert_eq(spine_metric("\nobservex_storage_up "), 0, "the traces went in after all");
    fake_stuck_table(NULL);
    eventually(spine_metric("\nobservex_storage_up ") == 1);
    cr_assert_eq(serve_stop(), 0);
}

Test(spine, full_journals_refuse_and_recover)
{
    static const char *const tiny[] = {"--outbox-total-bytes", "128MiB", "--wal-total-bytes", "128MiB", NULL};
    char retry[16];
    int status;
    serve_start(NULL, tiny);
    fake_set(FAKE_HANG);
    do
        status = spine_send_next(100000); /* 1 MB */
    while (status == 200 && spine_n_requests < 1000);
    cr_assert_eq(status, 429, "after %u MB: %d", spine_n_requests, status);
    cr_assert_gt(spine_n_requests, 60, "refused after %u MB of 128", spine_n_requests);
    cr_assert_eq(spine_send_request(spine_n_requests, 0, retry, sizeof(retry)), 429);
    cr_assert_neq(retry[0], '\0', "429 without Retry-After");
    cr_assert_lt(spine_resident_kib(serve.node), 600 * 1024);
    fake_set(FAKE_OK);
    spine_check_all();
    eventually(spine_send_next(0) == 200);
    spine_check_all();
    cr_assert_eq(serve_stop(), 0);
}

Test(spine, a_repeated_request_is_stored_once_and_counted)
{
    serve_start(NULL, NULL);
    fake_set(FAKE_HANG);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(spine_send_next(0), 200);
        cr_assert_eq(spine_send_request(spine_n_requests - 1, 0, NULL, 0), 200);
    }
    kill(serve.node, SIGKILL);
    pid_t old = serve.node;
    eventually(serve_read_ready(old));
    for (uint32_t n = 0; n < 10; n++)
        cr_assert_eq(spine_send_request(n, 0, NULL, 0), 200);
    fake_set(FAKE_OK);
    spine_check_all();
    eventually(spine_metric("\nobservex_ingest_signals_duplicate_total{") == 10 * SPINE_PER_REQUEST);
    cr_assert_eq(spine_metric("\nobservex_ingest_signals_received_total{"), 10 * SPINE_PER_REQUEST);
    cr_assert_eq(serve_stop(), 0);
}

/* The journals themselves have filled the disk: what gives room back must not need any. */
/* Rows in memory when the log has filled the disk need room in the outbox before the log can shrink. Blocks are kept
 * small here, so that what a refused append leaves is enough; larger ones wait until somebody makes room. */
Test(spine, a_full_disk_refuses_and_recovers)
{
    static const char *const small[] = {"--heart-disk-min",
                                        "0",
                                        "--heart-disk-warn",
                                        "0",
                                        "--wal-segment-bytes",
                                        "4MiB",
                                        "--outbox-segment-bytes",
                                        "4MiB",
                                        "--wal-disk-reserve",
                                        "12MiB", /* what the writers hold finds room in the outbox */
                                        "--writer-block-bytes",
                                        "1MiB",
                                        NULL};
    char retry[16];
    int status;
    serve_on_small_disk("40m");
    serve_start(NULL, small);
    fake_set(FAKE_HANG);
    do {
        status = spine_send_request(spine_n_requests, 100000, retry, sizeof(retry));
        spine_acked[spine_n_requests++] = status == 200;
    } while (status == 200 && spine_n_requests < 200);
    cr_assert_eq(status, 429, "after %u MB: %d", spine_n_requests, status);
    cr_assert_neq(retry[0], '\0', "429 without Retry-After");
    for (int i = 0; i < 5; i++)
        (void)spine_send_next(1000); /* whatever still fits */
    fake_set(FAKE_OK);
    spine_check_all();
    eventually(spine_send_next(100000) == 200);
    spine_check_all();
    cr_assert_eq(serve_stop(), 0);
}

Test(spine, killed_in_every_phase)
{
    static const enum fake_mode phases[] = {FAKE_OK,       FAKE_SLOW,      FAKE_CUT_AFTER, FAKE_HANG,
                                            FAKE_CUT_BODY, FAKE_CUT_AFTER, FAKE_GONE,      FAKE_HALF_ANSWER};
    serve_start(NULL, NULL);
    for (size_t p = 0; p < OX_COUNT(phases); p++) {
        uint64_t inserts = fake_counts().inserts;
        fake_set(phases[p]);
        for (int i = 0; i < 15; i++)
            (void)spine_send_next(0);
        if (p % 2 == 0 && phases[p] != FAKE_GONE && phases[p] != FAKE_CUT_BODY)
            eventually(fake_counts().inserts > inserts); /* else at once, before anything is packed */
        pid_t old = serve.node;
        kill(old, SIGKILL);
        (void)spine_send_next(0);
        if (p % 3 == 1)
            fake_set(FAKE_OK);
        eventually(serve_read_ready(old));
        spine_send_unanswered_again();
    }
    fake_set(FAKE_OK);
    spine_check_all();
    cr_assert_eq(serve_stop(), 0);
}

Test(spine, stopped_while_storage_is_down_and_started_again)
{
    static const char *const brief[] = {"--heart-drain", "300ms", NULL};
    serve_start(NULL, brief);
    fake_set(FAKE_GONE);
    for (int i = 0; i < 30; i++)
        cr_assert_eq(spine_send_next(0), 200);
    cr_assert_eq(serve_stop(), 0);
    serve_forget_ready();
    serve_start(NULL, brief);
    for (int i = 0; i < 30; i++)
        cr_assert_eq(spine_send_next(0), 200);
    fake_set(FAKE_OK);
    spine_check_all();
    cr_assert_eq(serve_stop(), 0);
}
