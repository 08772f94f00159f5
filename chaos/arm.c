/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/arm.c - faults on request inside the node: armed by its debug port, struck by its next message.
 *
 * Owns:    nothing.
 * Threads: main; the load goes on meanwhile.
 * Bounds:  ARM_S for a fault to strike.
 * Fails:   false with server.why.
 */
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chaos/run.h"
#include "tests/harness/http_client.h"

#define ARM_S    60
#define LOOK_MS  5
#define POKE_MS  200
#define REPLAY_S 60

/* Sends a request and does not care for the answer: whoever should give it may die of it. */
static void
poke(uint16_t port, const char *request)
{
    char text[256];
    int fd = ox_client_connect(port);
    if (fd < 0)
        return;
    int n =
        snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n", request);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (ox_client_send(fd, text, (size_t)n))
        poll(&p, 1, POKE_MS);
    close(fd);
}

/* Posts; the status. */
static int
post(const struct chaos_server *s, const char *kind, const char *fault)
{
    struct ox_client_response r;
    char path[96];
    snprintf(path, sizeof(path), "/debug/fault/%s/%s", kind, fault);
    ox_client_response_init(&r);
    bool ok = ox_client1_request(s->debug_port, "POST", path, NULL, NULL, 0, &r);
    int status = ok ? r.status : 0;
    ox_client_response_fini(&r);
    return status;
}

/* Kinds of which the load makes no use. */
static void
give_work(struct chaos_run *run, const char *kind)
{
    struct chaos_server *s = &run->server;
    if (strcmp(kind, "api") == 0)
        poke(s->api_port, "GET /api/v1/crashes?limit=1");
    else if (strcmp(kind, "config") == 0)
        chaos_server_signal(s, s->heart, SIGHUP);
    else if (strcmp(kind, "debug") == 0 || strcmp(kind, "supervisor") == 0 || strcmp(kind, "warden") == 0)
        poke(s->debug_port, "GET /debug/actors");
}

/* The node says that it is not armed any more, or does not answer: then it is struck for sure. */
static bool
has_struck(const struct chaos_server *s, const char *kind)
{
    struct ox_client_response r;
    char path[64];
    snprintf(path, sizeof(path), "/debug/fault/%s", kind);
    ox_client_response_init(&r);
    bool answers = ox_client1_request(s->debug_port, "GET", path, NULL, NULL, 0, &r);
    bool struck = !answers || r.body.len == 0 || r.body.data[0] != 'a';
    ox_client_response_fini(&r);
    return struck;
}

bool
chaos_arm(struct chaos_run *run, const char *kind, const char *fault)
{
    struct chaos_server *s = &run->server;
    uint64_t end = chaos_now_ns() + ARM_S * UINT64_C(1000000000);
    int status;
    while ((status = post(s, kind, fault)) != 200 && chaos_now_ns() < end)
        chaos_nap_ms(LOOK_MS);
    /* A warden writes obituaries: it needs one. */
    if (strcmp(kind, "warden") == 0 && post(s, "debug", "panic") == 200)
        run->totals.hits++;
    while (status == 200 && chaos_now_ns() < end) {
        give_work(run, kind);
        if (has_struck(s, kind)) {
            run->totals.hits++;
            return true;
        }
        chaos_nap_ms(LOOK_MS);
    }
    snprintf(s->why, sizeof(s->why), "%s does not strike %s within %d s (status %d)", fault, kind, ARM_S,
             status);
    return false;
}

static bool
replayed_before(const struct chaos_run *run, uint64_t seq)
{
    for (uint32_t i = 0; i < run->n_aside; i++) {
        if (run->aside[i] == seq)
            return true;
    }
    return false;
}

static bool
replay(struct chaos_run *run, uint64_t seq)
{
    char cmd[700];
    snprintf(cmd, sizeof(cmd), "'%s' set-aside replay %llu --data '%s' >>'%s/replay.log' 2>&1", run->exe,
             (unsigned long long)seq, run->server.data, run->dir);
    uint64_t end = chaos_now_ns() + REPLAY_S * UINT64_C(1000000000);
    while (system(cmd) != 0) {
        if (chaos_now_ns() > end) {
            snprintf(run->server.why, sizeof(run->server.why),
                     "the request %llu cannot be replayed; %s/replay.log says why", (unsigned long long)seq,
                     run->dir);
            return false;
        }
        chaos_nap_ms(LOOK_MS);
    }
    if (run->n_aside < CHAOS_ASIDE_MAX)
        run->aside[run->n_aside++] = seq;
    return true;
}

bool
chaos_replay_set_aside(struct chaos_run *run)
{
    char path[300];
    unsigned long long seq;
    bool ok = true;
    snprintf(path, sizeof(path), "%s/set-aside", run->server.data);
    DIR *dir = opendir(path);
    struct dirent *e;
    while (ok && dir != NULL && (e = readdir(dir)) != NULL) {
        if (strstr(e->d_name, ".json") != NULL && sscanf(e->d_name, "wal-%llu", &seq) == 1 &&
            !replayed_before(run, seq))
            ok = replay(run, seq);
    }
    if (dir != NULL)
        closedir(dir);
    return ok;
}
