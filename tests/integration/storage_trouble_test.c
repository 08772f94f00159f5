/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    trouble of storage is borne without loss and without doubles, and is told to those who ask.
 * Method:  `observex serve` before tests/harness/fake_clickhouse.c, see tests/harness/spine_node.h.
 */
#include <signal.h>
#include <stdio.h>

#include "tests/harness/spine_node.h"

TestSuite(trouble, .init = spine_setup, .fini = spine_teardown, .timeout = 170);

#define BREAKER "\nobservex_storage_breaker_state{"

/* Inserts wait, questions are refused at once and say why, and it ends by itself. */
Test(trouble, the_breaker_opens_and_closes)
{
    static const enum fake_mode troubles[] = {FAKE_GONE, FAKE_UNAVAILABLE, FAKE_HALF_ANSWER};
    char answer[1024];
    spine_start(NULL);
    for (size_t t = 0; t < OX_COUNT(troubles); t++) {
        fake_set(troubles[t]);
        for (int i = 0; i < 10; i++)
            cr_assert_eq(spine_send_next(0), 200);
        eventually(spine_metric(BREAKER) >= 1);
        int64_t before = spine_now_ms();
        int status = spine_api("GET", "/api/v1/services", answer, sizeof(answer));
        if (strstr(answer, "STORAGE_OPEN") != NULL) { /* else the question was the probe */
            cr_assert_eq(status, 503, "%d %s", status, answer);
            cr_assert_lt(spine_now_ms() - before, 5000);
        }
        eventually(spine_api("GET", "/api/v1/services", answer, sizeof(answer)) == 503 &&
                   strstr(answer, "STORAGE_OPEN") != NULL && strstr(answer, "circuit breaker") != NULL);
        uint64_t inserts = fake_counts().inserts;
        cr_assert_eq(spine_send_next(0), 200, "ingest goes on into the journals");
        fake_set(FAKE_OK);
        spine_check_all();
        eventually(spine_metric(BREAKER) == 0);
        cr_assert_gt(fake_counts().inserts, inserts);
        cr_assert_eq(spine_api("GET", "/api/v1/status", answer, sizeof(answer)), 200);
        cr_assert_not_null(strstr(answer, "\"breaker\":\"closed\""), "%s", answer);
    }
    cr_assert_gt(spine_metric("\nobservex_storage_breaker_refused_total{"), 0);
    cr_assert_eq(spine_stop(), 0);
}
