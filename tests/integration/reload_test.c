/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the configuration is read again while ObserveX works: what may change then does, a file with mistakes
 *          changes nothing, and no request, connection or record is lost by it.
 * Method:  the whole program before a scripted storage endpoint, with a configuration file that the test rewrites; a
 *          thread that posts on one connection all the while.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/spine_node.h"

#define LARGE (200 * 1024) /* above the limit of the second file, below that of the first */

static char file[96];

static void
write_file(const char *text)
{
    FILE *f = fopen(file, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

static void
setup(void)
{
    spine_setup();
    snprintf(file, sizeof(file), "%s.yaml", serve.dir);
    write_file("gateway: {body_max: 1MiB}\n");
}

static void
teardown(void)
{
    remove(file);
    serve_teardown();
}

TestSuite(reload, .init = setup, .fini = teardown, .timeout = 180);

/* ---- a sender that keeps its connection ---- */

struct sender {
    pthread_t thread;
    _Atomic bool stop;
    _Atomic uint32_t answered; /* 200 */
    _Atomic uint32_t other;    /* any other status */
    _Atomic bool lost;         /* no answer, or the connection was closed */
};

static size_t
log_request(char *out, size_t cap, unsigned id, size_t pad)
{
    char *text = calloc(1, pad + 1);
    memset(text, 'x', pad);
    int n =
        snprintf(out, cap,
                 "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"%lld000000000\","
                 "\"body\":{\"stringValue\":\"uid=%07u;%s\"}}]}]}]}",
                 (long long)time(NULL), id, text);
    free(text);
    return (size_t)n;
}

/* One request on a connection that stays; its status, 0 = the connection is gone. */
static int
post(struct ox_client1 *c, unsigned id, size_t pad)
{
    size_t cap = pad + 1024;
    char *body = malloc(cap), head[256];
    struct ox_client_response r;
    size_t n = log_request(body, cap, id, pad);
    int h = snprintf(head, sizeof(head),
                     "POST /v1/logs HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     n);
    ox_client_response_init(&r);
    bool ok = ox_client_send(c->fd, head, (size_t)h) && ox_client_send(c->fd, body, n) &&
              ox_client1_read(c, false, &r);
    int status = ok ? r.status : 0;
    ox_client_response_fini(&r);
    free(body);
    return status;
}

static void *
send_all_the_while(void *arg)
{
    struct sender *s = arg;
    struct ox_client1 c;
    ox_client1_init(&c, ox_client_connect(serve.http_port));
    while (!s->stop && !s->lost) {
        int status = post(&c, s->answered, 0);
        if (status == 200)
            s->answered++;
        else if (status != 0)
            s->other++;
        s->lost = status == 0;
    }
    ox_client1_fini(&c);
    return NULL;
}

static int
post_once(unsigned id, size_t pad)
{
    struct ox_client1 c;
    ox_client1_init(&c, ox_client_connect(serve.http_port));
    int status = post(&c, id, pad);
    ox_client1_fini(&c);
    return status;
}

static bool
goes_on(struct sender *s, uint32_t after)
{
    return s->lost || s->answered >= after + 3;
}

/* ---- tests ---- */

Test(reload, changes_limits_under_load_and_loses_nothing)
{
    static struct sender s;
    char answer[8192];
    serve_start(NULL, (const char *[]){"--config", file, NULL});
    cr_assert_eq(pthread_create(&s.thread, NULL, send_all_the_while, &s), 0);
    eventually(goes_on(&s, 0));
    cr_assert_eq(post_once(900001, LARGE), 200, "the first file allows it");

    for (int round = 0; round < 10; round++) {
        bool small = round % 2 == 0;
        write_file(small ? "gateway: {body_max: 100KiB}\nwriter: {flush: 20ms, block_rows: 50}\n"
                           "runtime: {mailbox_messages: 2048}\n"
                         : "gateway: {body_max: 1MiB}\nruntime: {mailbox_messages: 2048}\n");
        cr_assert_eq(spine_api("POST", "/api/v1/config/reload", answer, sizeof(answer)), 200, "%s", answer);
        cr_assert_not_null(strstr(answer, "\"outcome\":\"applied\""), "%s", answer);
        cr_assert_not_null(strstr(answer, "{\"key\":\"gateway.body_max\",\"before\""), "%s", answer);
        cr_assert_not_null(strstr(answer, "\"late\":[]"), "every actor has taken it: %s", answer);
        cr_assert_not_null(
            strstr(answer, "{\"key\":\"runtime.mailbox_messages\",\"before\":\"4096\",\"after\":"
                           "\"2048\",\"effect\":\"restart\"}"),
            "what needs a restart is named each time, because it is still not in force: %s", answer);
        cr_assert_eq(post_once(900002 + (unsigned)round, LARGE), small ? 413 : 200,
                     "the new limit counts at once");
        uint32_t so_far = s.answered;
        eventually(goes_on(&s, so_far));
    }
    s.stop = true;
    pthread_join(s.thread, NULL);
    cr_assert(!s.lost, "the connection was dropped");
    cr_assert_eq(s.other, 0, "a small request was refused");
    cr_assert_eq(spine_metric("\nobservex_config_version "), 11);
    cr_assert_eq(spine_metric("\nobservex_config_reloads_total{outcome=\"applied\"} "), 10);
    for (uint32_t id = 0; id < s.answered; id++) {
        eventually(fake_seen(id) > 0);
        cr_assert_eq(fake_seen(id), 1, "record %u is stored %u times", id, fake_seen(id));
    }
    eventually(fake_seen(900001) == 1);
    cr_assert_eq(serve_stop(), 0);
}

Test(reload, changes_nothing_when_the_file_has_mistakes)
{
    char answer[8192], wanted[160];
    serve_start(NULL, (const char *[]){"--config", file, NULL});
    write_file("gateway: {body_max: 100KiB}\nwriter:\n  flush: 1ms\n  flash: 5\n");
    cr_assert_eq(spine_api("POST", "/api/v1/config/reload", answer, sizeof(answer)), 400);
    snprintf(wanted, sizeof(wanted), "%s:3: writer.flush: ", file);
    cr_assert_not_null(strstr(answer, wanted), "file, line and key are named: %s", answer);
    cr_assert_not_null(strstr(answer, "10ms"), "and what is allowed: %s", answer);
    snprintf(wanted, sizeof(wanted), "%s:4: writer.flash: ", file);
    cr_assert_not_null(strstr(answer, wanted), "every mistake is: %s", answer);
    cr_assert_eq(post_once(1, LARGE), 200, "the correct line before them has changed nothing either");
    cr_assert_eq(spine_metric("\nobservex_config_version "), 1);
    cr_assert_eq(spine_metric("\nobservex_config_reloads_total{outcome=\"refused\"} "), 1);

    /* Each value is fine by itself, the new one beside the old one is not: memory must hold one body. */
    write_file("gateway: {body_max: 64MiB}\n");
    cr_assert_eq(spine_api("POST", "/api/v1/config/reload", answer, sizeof(answer)), 400);
    cr_assert_not_null(strstr(answer, "gateway.memory"), "%s", answer);

    /* And here it is the keys that cannot change now with which the others do not fit. */
    write_file("wal: {total_bytes: 128MiB, segment_bytes: 4MiB}\n");
    cr_assert_eq(spine_api("POST", "/api/v1/config/reload", answer, sizeof(answer)), 200, "%s", answer);
    write_file("outbox: {total_bytes: 2GiB, segment_bytes: 1GiB}\n");
    cr_assert_eq(spine_api("POST", "/api/v1/config/reload", answer, sizeof(answer)), 200, "%s", answer);
    cr_assert_eq(serve_stop(), 0);
}

static bool
in_force(int version)
{
    return spine_metric("\nobservex_config_version ") == version;
}

/* Whether the server's log has the words. */
static bool
logged(const char *words)
{
    char path[96], line[4096];
    bool found = false;
    snprintf(path, sizeof(path), "%s.log", serve.dir);
    FILE *f = fopen(path, "r");
    while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL)
        found = strstr(line, words) != NULL;
    if (f != NULL)
        fclose(f);
    return found;
}

Test(reload, hears_sighup_and_a_restarted_node_has_what_is_in_force)
{
    serve_start(NULL, (const char *[]){"--config", file, NULL});
    eventually(in_force(1));
    write_file("gateway: {body_max: 100KiB}\n");
    cr_assert_eq(kill(serve.heart, SIGHUP), 0);
    eventually(in_force(2));
    cr_assert_eq(post_once(1, LARGE), 413);
    cr_assert(logged("\"changed\":\"gateway.body_max: 1MiB -> 100KiB\""),
              "what changed, and from what to what");
    serve_kill_node();
    eventually(in_force(2));
    cr_assert_eq(post_once(2, LARGE), 413, "the next node starts with the reloaded configuration");
    cr_assert_eq(serve_stop(), 0);
}

/* The weight of the actor of the tenant that needs no key, as the debug port shows it; 0 = nobody answers. */
static int
weight(void)
{
    struct ox_client_response r;
    ox_client_response_init(&r);
    bool ok = ox_client1_request(serve.debug_port, "GET", "/debug/actors", NULL, NULL, 0, &r);
    ox_buf_append(&r.body, "", 1);
    const char *child = ok ? strstr((char *)r.body.data, "\"id\":\"tenant/default\"") : NULL;
    const char *at = child != NULL ? strstr(child, "\"weight\":") : NULL;
    int value = at != NULL ? atoi(at + strlen("\"weight\":")) : 0;
    ox_client_response_fini(&r);
    return value;
}

Test(reload, changes_the_weights_of_tenants)
{
    char answer[8192];
    write_file("tenant: {weights: \"acme=2, default=3\"}\n");
    serve_start(NULL, (const char *[]){"--config", file, NULL});
    cr_assert_eq(post_once(1, 0), 200);
    eventually(weight() == 3);
    write_file("tenant: {weights: \"default=7\"}\n");
    cr_assert_eq(spine_api("POST", "/api/v1/config/reload", answer, sizeof(answer)), 200, "%s", answer);
    eventually(weight() == 7);
    write_file("tenant: {weights: \"default=7x\"}\n");
    cr_assert_eq(spine_api("POST", "/api/v1/config/reload", answer, sizeof(answer)), 400);
    cr_assert_not_null(strstr(answer, "'default=7x' has no weight from 1 to 100"), "%s", answer);
    cr_assert_eq(weight(), 7);
    write_file("tenant: {weights: \"acme=2\"}\n");
    cr_assert_eq(spine_api("POST", "/api/v1/config/reload", answer, sizeof(answer)), 200, "%s", answer);
    eventually(weight() == 1);
    cr_assert_eq(serve_stop(), 0);
}

Test(reload, is_an_operators_order)
{
    char answer[1024];
    serve_start(NULL, (const char *[]){"--config", file, NULL});
    cr_assert_eq(spine_api("GET", "/api/v1/config/reload", answer, sizeof(answer)), 405);
    cr_assert_eq(spine_api("POST", "/api/v1/config/reload", answer, sizeof(answer)), 200);
    cr_assert_not_null(strstr(answer, "\"unchanged\""), "%s", answer);
    cr_assert_eq(serve_stop(), 0);
}
