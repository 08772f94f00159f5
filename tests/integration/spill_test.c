/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    what a tenant cannot take waits in its backlog up to its bound, holds back nobody else and no segment of the
 *          log, and comes back exactly once, whenever the node dies.
 * Method:  `observex serve` with faults on request (include/ox/fault.h), storage by fake_clickhouse.c; tenant `bad` is
 *          quarantined or slow, tenant `good` sends beside it.
 */
#include <stdio.h>
#include <string.h>

#include "tests/harness/node_fixture.h"

TestSuite(spill, .init = node_setup, .fini = serve_teardown, .timeout = 170);

#define BAD(metric) "observex_spill_" metric "{tenant=\"bad\""

/* A slow tenant's queue is a quarter of this, so that it is full soon; and while it holds one loop, others answer. */
static const char *const small_queue[] = {"--gateway-records-in-flight", "1024", "--runtime-schedulers", "4",
                                          NULL};

static bool
quarantined(int tenants)
{
    return node_metric("observex_actor_quarantined_total{class=\"tenant\"}") == tenants;
}

/* One more of `tenants`. */
static void
quarantine_as(const char *name, int tenants)
{
    for (int i = 0; i < 200 && !quarantined(tenants); i++) {
        int status = node_send(name, 5, "fine", NULL);
        cr_assert(status == 200 || status == 429, "%d", status);
    }
    eventually(quarantined(tenants));
}

static void
quarantine(void)
{
    quarantine_as("bad", 1);
}

static double
or_zero(double value)
{
    return value > 0 ? value : 0;
}

static double
set_aside(void)
{
    return or_zero(node_metric("observex_ingest_signals_set_aside_total{tenant=\"bad\",type=\"logs\"}"));
}

Test(spill, a_quarantined_tenants_data_is_kept_and_comes_back)
{
    static const char *const flags[] = {"--wal-segment-bytes", "1MiB", NULL};
    static char large[60000];
    memset(large, 'x', sizeof(large) - 1);
    serve_start("panic@tenant:bad", flags);
    quarantine();
    for (int i = 0; i < 30; i++)
        cr_assert_eq(node_send("bad", 5, "fine", NULL), 200);
    eventually(node_metric(BAD("entries")) >= 30);
    for (int i = 0; i < 20; i++) /* several segments of the log */
        cr_assert_eq(node_send("good", 5, large, NULL), 200);
    eventually(node_metric("observex_wal_segments") <= 2);
    cr_assert_geq(node_metric(BAD("entries")), 30, "the log let go what the backlog holds");
    cr_assert_eq(node_metric("observex_spill_tenants"), 1);
    cr_assert_gt(node_metric("observex_spill_oldest_seconds"), 0);
    double aside = set_aside();
    serve_kill();
    serve_start(NULL, flags);
    cr_assert_gt(node_missing(), (uint32_t)aside, "a restart lifts no quarantine");
    node_lift_quarantine("bad");
    eventually(node_missing() == (uint32_t)aside);
    eventually(node_metric("observex_spill_tenants") == 0);
    cr_assert_geq(node_metric(BAD("records_reinjected_total")), 150);
    cr_assert_eq(or_zero(node_metric(BAD("entries"))), 0);
    cr_assert_eq(node_send("bad", 5, "fine", NULL), 200);
    eventually(node_missing() == (uint32_t)aside);
    cr_assert_eq(serve_stop(), 0);
}

Test(spill, beyond_its_bound_a_quarantined_tenant_is_refused_with_the_reason)
{
    static const char *const flags[] = {"--tenant-backlog-bytes", "1MiB", NULL};
    static char large[20000];
    int status = 200;
    memset(large, 'x', sizeof(large) - 1);
    serve_start("panic@tenant:bad", flags);
    quarantine();
    for (int i = 0; i < 40 && status == 200; i++)
        status = node_send("bad", 5, large, NULL);
    cr_assert_eq(status, 429);
    cr_assert_eq(
        node_metric(
            "observex_ingest_signals_dropped_total{tenant=\"bad\",type=\"logs\",reason=\"quarantined\""),
        5);
    cr_assert_eq(node_metric("observex_spill_records_refused_total{tenant=\"bad\",reason=\"quarantined\""),
                 5);
    cr_assert_eq(node_send("good", 5, large, NULL), 200);
    double aside = set_aside();
    serve_kill();
    serve_start(NULL, flags);
    node_lift_quarantine("bad");
    eventually(node_missing() == (uint32_t)aside);
    eventually(node_send("bad", 5, large, NULL) == 200);
    cr_assert_eq(serve_stop(), 0);
}

Test(spill, a_slow_tenants_data_waits_and_comes_back)
{
    serve_start("slow@tenant:bad", small_queue);
    node_send_at_once("bad", 150, 10, "fine");
    eventually(or_zero(node_metric(BAD("records_moved_total"))) > 0);
    cr_assert_eq(node_send("good", 5, "fine", NULL), 200);
    eventually(node_missing() == 0);
    eventually(node_metric("observex_spill_tenants") == 0);
    cr_assert_eq(node_metric(BAD("records_moved_total")), node_metric(BAD("records_reinjected_total")));
    cr_assert_eq(serve_stop(), 0);
}

Test(spill, killed_while_entries_go_and_come_back)
{
    double moved = 0, again = 0;
    serve_start("slow@tenant:bad", small_queue);
    for (int round = 0; round < 6; round++) {
        node_send_at_once("bad", 90, 10, "fine");
        eventually(round % 2 == 1 || or_zero(node_metric(BAD("records_moved_total"))) > 0);
        moved += or_zero(node_metric(BAD("records_moved_total")));
        for (int i = 0; i < round; i++) {
            (void)node_send("good", 5, "fine", NULL);
            poll(NULL, 0, 150);
        }
        again += or_zero(node_metric(BAD("records_reinjected_total")));
        serve_kill();
        serve_start(round < 4 ? "slow@tenant:bad" : NULL, small_queue);
    }
    eventually(node_missing() == 0);
    eventually(node_metric("observex_spill_tenants") == 0);
    cr_assert_gt(moved, 0);
    cr_assert_gt(again + node_metric(BAD("records_reinjected_total")), 0);
    cr_assert_eq(serve_stop(), 0);
}

static double
metric_of(const char *metric, const char *labels)
{
    char line[160];
    snprintf(line, sizeof(line), "%s{%s", metric, labels);
    return or_zero(node_metric(line));
}

/* Journals are closed and opened again by turns: nobody's permits are held for want of one. */
Test(spill, more_tenants_with_a_backlog_than_journals_may_be_open)
{
    static const char *const flags[] = {"--spill-open-journals", "1", NULL};
    static const char *const bad[] = {"bad", "worse", "worst"};
    static const char *const label[] = {"tenant=\"bad\"", "tenant=\"worse\"", "tenant=\"worst\""};
    double aside = 0;
    serve_start("panic@tenant:bad,panic@tenant:worse,panic@tenant:worst", flags);
    for (int i = 0; i < 3; i++)
        quarantine_as(bad[i], i + 1);
    for (int n = 0; n < 60; n++)
        cr_assert_eq(node_send(bad[n % 3], 5, "fine", NULL), 200);
    for (int i = 0; i < 3; i++) {
        eventually(metric_of("observex_spill_entries", label[i]) >= 20);
        aside += metric_of("observex_ingest_signals_set_aside_total", label[i]);
    }
    serve_kill();
    serve_start(NULL, flags);
    for (int i = 0; i < 3; i++)
        node_lift_quarantine(bad[i]);
    eventually(node_missing() == (uint32_t)aside);
    eventually(node_metric("observex_spill_tenants") == 0);
    cr_assert_eq(serve_stop(), 0);
}
