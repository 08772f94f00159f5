/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    with a NATS server the bytes of backlogs wait there, and whatever that server does (killed, restarted, full,
 *          away when it is needed), everything acknowledged comes back exactly once.
 * Method:  `observex serve` with faults on request and a real nats-server on a free loopback port, storage by
 *          fake_clickhouse.c; tenant `bad` is quarantined or slow.
 */
#include <nats/nats.h>
#include <poll.h>

#include "tests/harness/broker.h"
#include "tests/harness/certs.h"
#include "tests/harness/node_fixture.h"

#define BAD(metric) "observex_spill_" metric "{tenant=\"bad\""

/* Messages in the only stream; -1 without an answer. remove_last: takes the newest away first. */
static int64_t
stream_messages(bool remove_last)
{
    natsConnection *nc = NULL;
    jsCtx *js = NULL;
    jsStreamInfoList *list = NULL;
    int64_t n = -1;
    if (natsConnection_ConnectTo(&nc, broker_url) == NATS_OK &&
        natsConnection_JetStream(&js, nc, NULL) == NATS_OK && js_Streams(&list, js, NULL, NULL) == NATS_OK &&
        list->Count == 1) {
        const jsStreamInfo *info = list->List[0];
        cr_assert_eq(info->Config->Discard, js_DiscardNew);
        cr_assert_eq(info->Config->MaxAge, 0);
        n = (int64_t)info->State.Msgs;
        if (remove_last)
            cr_assert_eq(js_DeleteMsg(js, info->Config->Name, info->State.LastSeq, NULL, NULL), NATS_OK);
    }
    jsStreamInfoList_Destroy(list);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
    return n;
}

static int64_t
messages(void)
{
    return stream_messages(false);
}

static void
setup(void)
{
    if (!broker_exists())
        cr_skip_test("NOT TESTED: backlogs in a stream, since nats-server is not installed");
    node_setup();
    broker_setup();
}

static void
teardown(void)
{
    if (broker > 0)
        broker_kill();
    serve_teardown(); /* waits for all children */
    broker_teardown();
}

TestSuite(spill_nats, .init = setup, .fini = teardown, .timeout = 170);

/* ---- the node ---- */

static void
start(const char *faults, const char *flag, const char *value)
{
    const char *flags[] = {"--spill-nats-url", broker_url, "--runtime-schedulers", "4", flag, value, NULL};
    serve_start(faults, flags);
}

static double
or_zero(double value)
{
    return value > 0 ? value : 0;
}

static bool
quarantined(void)
{
    return node_metric("observex_actor_quarantined_total{class=\"tenant\"}") == 1;
}

static void
quarantine(void)
{
    for (int i = 0; i < 200 && !quarantined(); i++) {
        int status = node_send("bad", 5, "fine", NULL);
        cr_assert(status == 200 || status == 429, "%d", status);
    }
    eventually(quarantined());
}

static uint32_t
set_aside(void)
{
    return (uint32_t)or_zero(
        node_metric("observex_ingest_signals_set_aside_total{tenant=\"bad\",type=\"logs\"}"));
}

/* `n` requests of the quarantined tenant, all of which are kept. */
static void
keep(int n, const char *words)
{
    double before = or_zero(node_metric(BAD("entries")));
    for (int i = 0; i < n; i++)
        cr_assert_eq(node_send("bad", 5, words, NULL), 200);
    eventually(node_metric(BAD("entries")) >= before + n);
}

static double
published(void)
{
    return or_zero(node_metric(BAD("stream_published_total")));
}

/* The node dies and comes back without the fault: everything comes back, and nothing stays in the stream. */
static void
come_back(uint32_t aside)
{
    serve_kill();
    start(NULL, NULL, NULL);
    node_lift_quarantine("bad");
    eventually(node_missing() == aside);
    eventually(node_metric("observex_spill_tenants") == 0);
    eventually(messages() == 0);
    cr_assert_eq(serve_stop(), 0);
}

/* ---- tests ---- */

Test(spill_nats, entries_wait_in_the_stream_and_come_back)
{
    start("panic@tenant:bad", NULL, NULL);
    quarantine();
    keep(50, "fine");
    cr_assert_eq(node_metric("observex_spill_stream_up"), 1);
    cr_assert_geq(published(), 50);
    cr_assert_geq(messages(), 50);
    come_back(set_aside());
}

Test(spill_nats, a_slow_tenants_entries_come_back_while_others_go)
{
    start("slow@tenant:bad", "--gateway-records-in-flight", "1024");
    node_send_at_once("bad", 150, 10, "fine");
    eventually(published() > 0);
    eventually(node_missing() == 0);
    eventually(node_metric("observex_spill_tenants") == 0);
    eventually(messages() == 0);
    cr_assert_eq(serve_stop(), 0);
}

/* Node and broker die in turn while a slow tenant's entries go to the stream and come back. */
Test(spill_nats, killed_while_entries_go_and_come_back)
{
    double total = 0;
    for (int round = 0; round < 4; round++) {
        start("slow@tenant:bad", "--gateway-records-in-flight", "1024");
        node_send_at_once("bad", 60, 10, "fine");
        eventually(round % 2 == 0 || published() > 0);
        if (round % 2 == 1)
            broker_kill();
        node_send_at_once("bad", 30, 10, "fine");
        total += published();
        serve_kill();
        if (broker == 0)
            broker_start();
    }
    start(NULL, NULL, NULL);
    eventually(node_missing() == 0);
    eventually(node_metric("observex_spill_tenants") == 0);
    cr_assert_gt(total, 0);
    cr_assert_eq(serve_stop(), 0);
}

Test(spill_nats, the_broker_is_killed_and_restarted_in_the_middle)
{
    start("panic@tenant:bad", NULL, NULL);
    quarantine();
    keep(20, "fine");
    broker_kill();
    double first = published();
    keep(20, "fine"); /* on the data disk */
    cr_assert_eq(published(), first);
    cr_assert_eq(node_metric("observex_spill_stream_up"), 0);
    broker_start();
    for (int i = 0; i < 100 && published() == first; i++) {
        keep(1, "fine"); /* after its rest it is asked again */
        poll(NULL, 0, 200);
    }
    cr_assert_gt(published(), first);
    come_back(set_aside());
}

Test(spill_nats, a_full_stream_leaves_the_rest_to_the_data_disk)
{
    static char large[20000];
    memset(large, 'x', sizeof(large) - 1);
    start("panic@tenant:bad", "--spill-nats-bytes", "1MiB");
    quarantine();
    keep(30, large); /* 100 KB each */
    eventually(node_metric("observex_spill_stream_failures_total{operation=\"publish\"}") > 0);
    eventually(published() < node_metric(BAD("entries")));
    cr_assert_gt(published(), 0);
    come_back(set_aside());
}

Test(spill_nats, entries_wait_for_a_broker_that_is_away)
{
    start("panic@tenant:bad", NULL, NULL);
    quarantine();
    keep(20, "fine");
    uint32_t aside = set_aside();
    broker_kill();
    serve_kill();
    start(NULL, NULL, NULL);
    node_lift_quarantine("bad");
    for (int i = 0; i < 10; i++)
        cr_assert_eq(node_send("bad", 5, "fine", NULL), 200);
    cr_assert_eq(node_send("good", 5, "fine", NULL), 200);
    eventually(node_metric("observex_spill_stream_failures_total{operation=\"connect\"}") > 0);
    cr_assert_eq(node_metric("observex_spill_tenants"), 1);
    cr_assert_gt(node_missing(), aside);
    broker_start();
    eventually(node_missing() == aside);
    eventually(node_metric("observex_spill_tenants") == 0);
    eventually(messages() == 0);
    cr_assert_eq(serve_stop(), 0);
}

Test(spill_nats, what_the_broker_lost_is_counted_once)
{
    static const char dropped[] =
        "observex_ingest_signals_dropped_total{tenant=\"bad\",type=\"unknown\",reason=\"wal_error\"";
    start("panic@tenant:bad", NULL, NULL);
    quarantine();
    keep(20, "fine");
    uint32_t aside = set_aside();
    /* In order, so that the log owes nothing of them any more: what it still holds would be moved once more. */
    cr_assert_eq(serve_stop(), 0);
    cr_assert_geq(stream_messages(true),
                  20); /* the last of the backlog: nothing that comes back follows it */
    start(NULL, NULL, NULL);
    node_lift_quarantine("bad");
    eventually(node_metric("observex_spill_tenants") == 0);
    eventually(node_metric(dropped) == 5);
    eventually(node_missing() == aside + 5);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(serve_stop(), 0);
        start(NULL, NULL, NULL);
        eventually(node_metric("observex_spill_tenants") == 0);
        cr_assert_eq(or_zero(node_metric(dropped)), 0, "counted again");
    }
    cr_assert_eq(serve_stop(), 0);
}

/* ---- TLS ---- */

static struct certs certs;

static void
setup_secure(void)
{
    if (!broker_exists())
        cr_skip_test("NOT TESTED: backlogs in a stream over TLS, since nats-server is not installed");
    certs_make(&certs);
    node_setup();
    broker_secure(certs.cert, certs.key);
    broker_setup();
}

static void
teardown_secure(void)
{
    teardown();
    certs_remove(&certs);
}

TestSuite(spill_nats_tls, .init = setup_secure, .fini = teardown_secure, .timeout = 170);

Test(spill_nats_tls, backlogs_wait_at_a_server_that_is_trusted)
{
    start("panic@tenant:bad", "--spill-nats-ca-file", certs.ca);
    quarantine();
    keep(3, "fine");
    eventually(node_metric("observex_spill_stream_published_total{tenant=\"bad\"}") >= 3);
}

/* Whom we do not trust gets nothing; what is acknowledged waits on the disk instead. */
Test(spill_nats_tls, a_server_that_is_not_trusted_gets_nothing)
{
    char cert[CERTS_PATH_MAX], key[CERTS_PATH_MAX];
    certs_stranger(&certs, "other", "other", cert, key);
    start("panic@tenant:bad", "--spill-nats-ca-file", cert);
    quarantine();
    keep(3, "fine");
    cr_assert_eq(or_zero(node_metric("observex_spill_stream_published_total{tenant=\"bad\"}")), 0);
    cr_assert_eq(or_zero(node_metric("observex_spill_stream_up")), 0);
}
