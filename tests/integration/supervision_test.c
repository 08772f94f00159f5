/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    what one tenant's data does to the code that handles it stays with that tenant: nothing that anybody was
 *          promised is lost or doubled, and what cannot be handled is kept where an operator finds it.
 * Method:  `observex serve` with faults on request (include/ox/fault.h), storage by fake_clickhouse.c; tenant `bad` sends
 *          what crashes its actor, tenant `good` sends beside it.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/node_fixture.h"

TestSuite(supervision, .init = node_setup, .fini = serve_teardown, .timeout = 170);

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
    snprintf(path, sizeof(path), "%s/set-aside", serve.dir);
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
    serve_start("marked", NULL);
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
    cr_assert_eq(serve_stop(), 0, "everything that is not set aside is stored, so nothing is waited for");
}

/* The process dies of it twice, and comes back each time: other tenants wait, and lose nothing. */
static void
poison_that_ends_the_node(const char *words, const char *const *flags)
{
    uint32_t first;
    serve_start("marked", flags);
    send_some("good", 5);
    send_some("bad", 5);
    int status = node_send("bad", 5, words, &first);
    cr_assert(status == 200 || status == 0, "the node may die before its answer is on the way: %d", status);
    serve_wait_next();
    for (int i = 0; i < 5; i++) { /* it dies once more meanwhile */
        status = node_send("good", 5, "fine", NULL);
        cr_assert(status == 200 || status == 0 || status == 503, "503 while it starts, not %d", status);
    }
    eventually(node_metric("observex_ingest_signals_set_aside_total{tenant=\"bad\",type=\"logs\"}") == 5);
    eventually(node_api("/ready", NULL, NULL, NULL) == 200);
    send_some("bad", 5);
    eventually(node_all_stored_but(first, first + 5));
    for (uint32_t id = first; id < first + 5; id++)
        cr_assert_eq(fake_seen(id), 0);
}

Test(supervision, a_request_that_kills_the_process_is_tried_twice_and_set_aside)
{
    poison_that_ends_the_node("observex.fault=segv", NULL);
}

Test(supervision, a_request_that_spins_is_ended_by_the_watchdog)
{
    poison_that_ends_the_node("observex.fault=hang", NULL);
}

Test(supervision, a_request_that_waits_for_ever_is_ended_by_the_watchdog)
{
    static const char *const flags[] = {"--runtime-turn-hung", "1s", NULL};
    poison_that_ends_the_node("observex.fault=stall", flags);
}

/* The text of DIR/name, with a zero at its end. */
static void
read_text(const char *name, struct ox_buf *out)
{
    char path[160], chunk[4096];
    snprintf(path, sizeof(path), "%s/%s", serve.dir, name);
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    ox_buf_reset(out);
    for (size_t n; (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
        ox_buf_append(out, chunk, n);
    ox_buf_append(out, "", 1);
    fclose(f);
}

#define contains(buf, text)                                                                                  \
    cr_assert(strstr((char *)(buf)->data, text) != NULL, "no %s in: %s", text, (char *)(buf)->data)

/* Until the tenant is on the list; the number of its crashes. */
static int
wait_quarantined(const char *tenant)
{
    struct ox_buf answer;
    char member[64];
    const char *at = NULL;
    int64_t until = serve_now_ms() + SERVE_PATIENCE_MS;
    ox_buf_init(&answer);
    snprintf(member, sizeof(member), "\"tenant\":\"%s\",\"crashes\":", tenant);
    while (at == NULL && serve_now_ms() < until) {
        cr_assert_eq(node_api("/api/v1/quarantine", NULL, NULL, &answer), 200, "%s", (char *)answer.data);
        at = strstr((char *)answer.data, member);
        if (at == NULL)
            poll(NULL, 0, 20);
    }
    cr_assert_not_null(at, "%s is not quarantined", tenant);
    int crashes = atoi(at + strlen(member));
    ox_buf_fini(&answer);
    return crashes;
}

/* The order to lift a quarantine, as a browser would send it for a page of another site. */
/* type: header lines, as they are sent. */
static int
status_of_order(const char *host, const char *type, const char *body)
{
    struct ox_client1 c;
    struct ox_client_response r;
    char text[512];
    ox_client1_init(&c, ox_client_connect(serve.api_port));
    ox_client_response_init(&r);
    int n = snprintf(text, sizeof(text),
                     "POST /api/v1/quarantine/bad/revoke HTTP/1.1\r\nHost: %s\r\n%s"
                     "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                     host, type, strlen(body), body);
    cr_assert(ox_client_send(c.fd, text, (size_t)n) && ox_client1_read(&c, false, &r));
    int status = r.status;
    ox_client_response_fini(&r);
    ox_client1_fini(&c);
    return status;
}

/* Durable, seen and lifted by nobody but an operator who says the right number; then everything arrives, once. */
Test(supervision, quarantine_survives_restarts_and_ends_with_the_right_number)
{
    struct ox_buf out;
    char count[16];
    ox_buf_init(&out);
    serve_start("panic@tenant:bad", NULL);
    send_some("good", 3);
    for (int i = 0; i < 20; i++) {
        int status = node_send("bad", 5, "fine", NULL);
        cr_assert(status == 200 || status == 429, "%d", status);
        send_some("good", 2);
    }
    int crashes = wait_quarantined("bad");
    cr_assert_geq(crashes, 6, "five restarts are allowed, the sixth crash is one too many");
    serve_kill();
    uint32_t aside = set_aside();
    cr_assert_eq(node_run((const char *[]){"quarantine", "list", NULL}, &out), 0, "%s", (char *)out.data);
    contains(&out, "this is what its files say");
    contains(&out, "a test asked for this panic");
    cr_assert_eq(node_run((const char *[]){"quarantine", "revoke", "bad", "--crashes", "6", NULL}, &out), 1,
                 "only a node lifts a quarantine");

    serve_start(NULL, NULL);
    cr_assert_eq(wait_quarantined("bad"), crashes, "a restart lifts nothing");
    send_some("good", 3);
    eventually(node_metric("observex_ingest_signals_stored_total{type=\"logs\"}") > 0);
    cr_assert_gt(node_missing(), 5 * aside, "what is quarantined waits");

    cr_assert_eq(node_api("/api/v1/quarantine", "good", NULL, NULL), 403, "a tenant's key is no operator's");
    cr_assert_eq(node_api("/api/v1/crashes", "bad", NULL, NULL), 403);
    cr_assert_eq(node_api("/api/v1/quarantine/bad/revoke", "bad", "{\"acknowledge_crashes\":6}", NULL), 403);
    cr_assert_eq(node_api("/api/v1/quarantine/bad/revoke", NULL, "{\"acknowledge_crashes\":1}", &out), 409);
    contains(&out, "to lift the quarantine repeat that number");
    cr_assert_eq(node_api("/api/v1/quarantine/bad/revoke", NULL, "{}", &out), 400);
    cr_assert_eq(node_api("/api/v1/quarantine/good/revoke", NULL, "{\"acknowledge_crashes\":6}", NULL), 404);

    static const char json[] = "Content-Type: application/json\r\n", count6[] = "{\"acknowledge_crashes\":6}";
    cr_assert_eq(status_of_order("evil.example", json, count6), 403, "another name leads to this machine");
    cr_assert_eq(status_of_order("127.0.0.1", "Content-Type: text/plain\r\n", count6), 415,
                 "what any page may send to any site");
    cr_assert_eq(status_of_order("127.0.0.1", "", count6), 415, "a body without a type");
    cr_assert_eq(status_of_order("127.0.0.1", "Origin: http://evil.example\r\n", ""), 415,
                 "a page, without a body");
    cr_assert_eq(status_of_order("127.0.0.1", "Sec-Fetch-Site: cross-site\r\n", ""), 415, "likewise");
    cr_assert_eq(status_of_order("evil.example", "", ""), 403, "no page, by another name");
    cr_assert_eq(status_of_order("127.0.0.1", "", ""), 400, "no page: it is looked at, and lacks its count");

    cr_assert_eq(node_run((const char *[]){"quarantine", "show", "bad", NULL}, &out), 0);
    contains(&out, "observex quarantine revoke bad --crashes");
    char place[96];
    snprintf(place, sizeof(place), "%d --data %s", crashes, serve.dir);
    contains(&out, place);
    contains(&out, "a test asked for this panic");
    cr_assert_eq(node_run((const char *[]){"quarantine", "revoke", "bad", "--crashes", "1", NULL}, &out), 1);
    contains(&out, "times until it was quarantined");
    snprintf(count, sizeof(count), "%d", crashes);
    cr_assert_eq(node_run((const char *[]){"quarantine", "revoke", "bad", "--crashes", count, NULL}, &out), 0,
                 "%s", (char *)out.data);
    eventually(node_missing() == 5 * aside);
    send_some("bad", 3);
    eventually(node_missing() == 5 * aside);
    cr_assert_eq(node_run((const char *[]){"quarantine", "list", NULL}, &out), 0);
    contains(&out, "no tenant is quarantined");

    read_text("audit.jsonl", &out);
    contains(&out, "\"who\":\"key of tenant bad\",\"peer\":\"127.0.0.1\",\"role\":\"editor\"");
    contains(&out, "\"outcome\":\"granted\"");
    contains(&out, "\"outcome\":\"refused\"");
    ox_buf_fini(&out);
}

Test(supervision, what_crashed_is_shown_and_what_is_set_aside_can_be_sent_again)
{
    struct ox_buf out;
    uint32_t first;
    char seq[32];
    ox_buf_init(&out);
    serve_start("marked", NULL);
    cr_assert_eq(node_send("bad", 5, "observex.fault=leak", &first), 200);
    eventually(set_aside() == 1);
    eventually(node_metric("observex_ingest_signals_set_aside_total{tenant=\"bad\",type=\"logs\"}") == 5);
    cr_assert_eq(node_run((const char *[]){"crashes", NULL}, &out), 0);
    contains(&out, "actor tenant/bad, while handling parcel: panic");
    contains(&out, "actor tenant/bad, while handling suspect: panic");
    contains(&out, "the memory budget of this actor is spent");
    contains(&out, "as sure as it gets");
    cr_assert_eq(node_run((const char *[]){"set-aside", "list", "--json", NULL}, &out), 0);
    contains(&out, "\"tenant\":\"bad\",\"signal\":\"logs\",\"records\":5");
    cr_assert_eq(sscanf(strstr((char *)out.data, "\"wal_seq\":"), "\"wal_seq\":\"%31[0-9]", seq), 1);
    cr_assert_eq(node_run((const char *[]){"set-aside", "show", seq, NULL}, &out), 0);
    contains(&out, "actor tenant/bad");
    cr_assert_eq(serve_stop(), 0);
    cr_assert_eq(node_run((const char *[]){"crashes", NULL}, &out), 0, "%s", (char *)out.data);
    contains(&out, "this is what its files say");
    contains(&out, "actor tenant/bad, while handling suspect: panic");
    contains(&out, "as sure as it gets");

    serve_start(NULL, NULL); /* the code is mended: it takes what it crashed on */
    cr_assert_eq(node_run((const char *[]){"crashes", NULL}, &out), 0);
    contains(&out, "while handling suspect");
    cr_assert_eq(node_run((const char *[]){"set-aside", "replay", seq, NULL}, &out), 0, "%s",
                 (char *)out.data);
    eventually(node_missing() == 0);
    cr_assert_eq(node_run((const char *[]){"set-aside", "replay", seq, NULL}, &out), 1);
    contains(&out, "was replayed already");
    ox_buf_fini(&out);
}

/* The node dies of it, and says afterwards who was in hand. */
Test(supervision, a_fault_of_the_node_stands_among_the_crashes)
{
    struct ox_buf out;
    ox_buf_init(&out);
    serve_start("marked", NULL);
    (void)node_send("bad", 5, "observex.fault=segv", NULL);
    serve_wait_next();
    eventually(set_aside() == 1);
    eventually(node_api("/api/v1/crashes", NULL, NULL, &out) == 200);
    contains(&out, "\"scope\":\"node\"");
    contains(&out, "\"reason\":\"SIGSEGV\"");
    contains(&out, "\"tenant\":\"bad\"");
    ox_buf_fini(&out);
}

static bool
is_quarantined(const char *tenant, int *crashes)
{
    struct ox_buf answer;
    char member[64];
    ox_buf_init(&answer);
    snprintf(member, sizeof(member), "\"tenant\":\"%s\",\"crashes\":", tenant);
    const char *at = node_api("/api/v1/quarantine", NULL, NULL, &answer) == 200
                         ? strstr((char *)answer.data, member)
                         : NULL;
    if (at != NULL)
        *crashes = atoi(at + strlen(member));
    ox_buf_fini(&answer);
    return at != NULL;
}

/* Ever new requests, each of which ends the whole node: the tenant is put away before the heart gives up. */
Test(supervision, a_tenant_who_ends_the_node_again_and_again_is_quarantined)
{
    static const char *const flags[] = {"--supervisor-restart-window", "10m", NULL};
    uint32_t first, before;
    int crashes = 0;
    serve_start("segv@tenant:bad", flags);
    cr_assert_eq(node_send("good", 5, "fine", &before), 200);
    for (int64_t until = serve_now_ms() + 2 * SERVE_PATIENCE_MS; !is_quarantined("bad", &crashes);) {
        cr_assert_lt(serve_now_ms(), until, "never quarantined");
        int status = node_send("bad", 1, "fine", NULL);
        cr_assert(status == 200 || status == 0 || status == 503 || status == 429, "%d", status);
        poll(NULL, 0, 20);
    }
    cr_assert_geq(crashes, 6, "five restarts are allowed, the sixth fault is one too many");
    eventually(node_send("good", 5, "fine", &first) == 200);
    for (uint32_t i = 0; i < 5; i++) {
        eventually(fake_seen(before + i) == 1);
        eventually(fake_seen(first + i) == 1);
    }
    for (int i = 0; i < 5; i++) { /* what bad has sent, or sends now, ends nothing any more */
        int status = node_send("bad", 1, "fine", NULL);
        cr_assert(status == 200 || status == 429, "%d", status);
        cr_assert_eq(node_send("good", 1, "fine", NULL), 200);
    }
    int again = 0;
    cr_assert(is_quarantined("bad", &again));
    cr_assert_eq(again, crashes);
}

/* Whoever is let in finds an actor, however few actors the configuration speaks of. */
Test(supervision, every_tenant_that_is_admitted_has_an_actor)
{
    static const char *const flags[] = {"--tenant-max", "1000", "--runtime-actors-max", "256", NULL};
    char tenant[32];
    serve_start(NULL, flags);
    for (int i = 0; i < 400; i++) {
        snprintf(tenant, sizeof(tenant), "tenant-%d", i);
        cr_assert_eq(node_send(tenant, 1, "fine", NULL), 200);
    }
    eventually(node_missing() == 0);
}

/* Nobody but the heart sees such an end; the next node is told of it. */
Test(supervision, an_end_from_outside_is_counted_and_listed)
{
    struct ox_buf out;
    ox_buf_init(&out);
    serve_start(NULL, NULL);
    cr_assert_eq(node_metric("observex_node_starts_total{reason=\"first\"}"), 1);
    serve_kill_node();
    cr_assert_eq(node_metric("observex_node_starts_total{reason=\"first\"}"), 1);
    cr_assert_eq(node_metric("observex_node_starts_total{reason=\"killed\"}"), 1);
    kill(serve.node, SIGSEGV); /* on whichever thread takes it: none of them is in a turn */
    serve_wait_next();
    cr_assert_eq(node_metric("observex_node_starts_total{reason=\"crash\"}"), 1);
    cr_assert_eq(node_run((const char *[]){"crashes", NULL}, &out), 0);
    contains(&out, "NODE ended outside any actor: killed");
    contains(&out, "kill -9");
    contains(&out, "NODE ended outside any actor: SIGSEGV");
    cr_assert(strstr((char *)out.data, "had run for") == NULL, "no actor, no age: %s", (char *)out.data);
    cr_assert_eq(serve_stop(), 0);
    ox_buf_fini(&out);
}

/* docs/supervision.md draws the tree as the child specs make it. */
Test(supervision, the_tree_in_the_docs_is_the_tree)
{
    struct ox_buf out, page;
    char chunk[4096];
    ox_buf_init(&out);
    ox_buf_init(&page);
    serve_start(NULL, (const char *[]){"--runtime-schedulers", "1", NULL});
    cr_assert_eq(node_send("acme", 1, "fine", NULL), 200);
    eventually(node_missing() == 0);
    cr_assert_eq(node_run((const char *[]){"debug", "tree", "--specs", NULL}, &out), 0, "%s",
                 (char *)out.data);
    FILE *f = fopen(OX_SUPERVISION_MD, "r");
    cr_assert_not_null(f);
    for (size_t n; (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
        ox_buf_append(&page, chunk, n);
    ox_buf_append(&page, "", 1);
    fclose(f);
    cr_assert(strstr((char *)page.data, (char *)out.data) != NULL,
              "docs/supervision.md draws another tree; put this in its place:\n%s", (char *)out.data);
    ox_buf_fini(&out);
    ox_buf_fini(&page);
}
