/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    what one tenant's data does to the code that handles it stays with that tenant: nothing that anybody was
 *          promised is lost or doubled, and what cannot be handled is kept where an operator finds it.
 * Method:  `observex serve` with faults on request (include/ox/fault.h), storage by fake_clickhouse.c; tenant `bad` sends
 *          what crashes its actor, tenant `good` sends beside it.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "tests/harness/node_fixture.h"

TestSuite(supervision, .init = node_setup, .fini = node_teardown, .timeout = 170);

static void
send_some(const char *tenant, int requests)
{
    for (int i = 0; i < requests; i++)
        cr_assert_eq(node_send(tenant, 5, "fine", NULL), 200);
}

/* Entries in DIR/set-aside. */
static uint32_t
set_aside(void)
{
    char path[128];
    uint32_t n = 0;
    snprintf(path, sizeof(path), "%s/set-aside", node_f.dir);
    DIR *d = opendir(path);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        n += strstr(e->d_name, ".entry") != NULL;
    if (d != NULL)
        closedir(d);
    return n;
}

Test(supervision, a_poisoned_request_is_tried_twice_and_set_aside)
{
    uint32_t first;
    node_start("marked", NULL);
    send_some("bad", 5);
    cr_assert_eq(node_send("bad", 5, "observex.fault=panic", &first), 200);
    send_some("bad", 5);
    send_some("good", 5);
    eventually(node_metric("observex_ingest_signals_set_aside_total{tenant=\"bad\",type=\"logs\"}") == 5);
    send_some("bad", 5);
    eventually(node_all_stored_but(first, first + 5));
    for (uint32_t id = first; id < first + 5; id++)
        cr_assert_eq(fake_seen(id), 0);
    cr_assert_eq(node_metric("observex_runtime_actor_panics_total{class=\"tenant\"}"), 2);
    cr_assert_eq(node_stop(), 0, "everything that is not set aside is stored, so nothing is waited for");
}

/* The process dies of it twice, and comes back each time: other tenants wait, and lose nothing. */
static void
poison_that_ends_the_node(const char *words, const char *const *flags)
{
    uint32_t first;
    node_start("marked", flags);
    send_some("good", 5);
    send_some("bad", 5);
    int status = node_send("bad", 5, words, &first);
    cr_assert(status == 200 || status == 0, "the node may die before its answer is on the way: %d", status);
    node_wait_next();
    for (int i = 0; i < 5; i++) { /* it dies once more meanwhile */
        status = node_send("good", 5, "fine", NULL);
        cr_assert(status == 200 || status == 0, "%d", status);
    }
    eventually(node_metric("observex_ingest_signals_set_aside_total{tenant=\"bad\",type=\"logs\"}") == 5);
    send_some("bad", 5);
    eventually(node_all_stored_but(first, first + 5));
    for (uint32_t id = first; id < first + 5; id++)
        cr_assert_eq(fake_seen(id), 0);
}

Test(supervision, a_request_that_kills_the_process_is_tried_twice_and_set_aside)
{
    poison_that_ends_the_node("observex.fault=segv", NULL);
}

Test(supervision, a_request_that_hangs_is_ended_by_the_watchdog)
{
    static const char *const flags[] = {"--runtime-turn-hung", "1s", NULL};
    poison_that_ends_the_node("observex.fault=hang", flags);
}

/* Nothing that comes of it is lost: it waits, first in its actor's hands, then in the log. */
Test(supervision, a_tenant_that_always_crashes_is_quarantined_and_its_neighbour_is_not)
{
    node_start("panic@tenant:bad", NULL);
    for (int i = 0; i < 20; i++) {
        send_some("good", 2);
        int status = node_send("bad", 5, "fine", NULL);
        cr_assert(status == 200 || status == 429, "%d", status);
    }
    eventually(node_metric("observex_actor_quarantined_total{class=\"tenant\"}") == 1);
    send_some("good", 10);
    node_kill();
    uint32_t aside = set_aside(); /* on a slow machine a request may have had its second try before */
    node_start(NULL, NULL);
    eventually(node_missing() == 5 * aside);
}
