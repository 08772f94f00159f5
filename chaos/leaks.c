/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/leaks.c - what heart and node hold when nothing is to be done: descriptors, threads, bytes.
 *
 * Connections and segments come and go by themselves, so sockets and files of the data directory are held against a bound;
 * all other descriptors, and threads, must be the same to the last one. Bytes are what malloc has given out: the first
 * count is made behind the first round, when what fills up once (the ring of obituaries apart) is there.
 *
 * Owns:    nothing.
 * Threads: main, while the load is paused.
 * Bounds:  REST_S until a process has closed what it closes late; SOCKETS_SLACK, BYTES_SLACK.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "chaos/run.h"
#include "ox/crashes.h"
#include "tests/harness/http_client.h"

#define REST_S        15
#define LOOK_MS       100
#define SOCKETS_SLACK 32u
#define BYTES_SLACK   (OX_CRASHES_MAX * sizeof(struct ox_crash) + (2u << 20))

static void
count_descriptors(pid_t pid, const char *data, struct chaos_holds *out)
{
    char path[64], name[600], target[512];
    struct dirent *e;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    while (dir != NULL && (e = readdir(dir)) != NULL) {
        snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
        ssize_t n = readlink(name, target, sizeof(target) - 1);
        if (n < 0)
            continue;
        target[n] = '\0';
        if (strncmp(target, "socket:", 7) == 0)
            out->sockets++;
        else if (strncmp(target, data, strlen(data)) == 0)
            out->files++;
        else
            out->descriptors++;
    }
    if (dir != NULL)
        closedir(dir);
}

static void
count_threads(pid_t pid, struct chaos_holds *out)
{
    char path[64], line[256];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        sscanf(line, "Threads: %u", &out->threads);
    if (f != NULL)
        fclose(f);
}

static uint64_t
bytes_of_node(const struct chaos_server *s)
{
    static const char member[] = "\"malloc_bytes\":";
    struct ox_client_response r;
    ox_client_response_init(&r);
    bool ok = ox_client1_request(s->debug_port, "GET", "/debug/memory", NULL, NULL, 0, &r);
    ox_buf_append(&r.body, "", 1);
    const char *at = ok ? strstr((const char *)r.body.data, member) : NULL;
    uint64_t bytes = at != NULL ? strtoull(at + strlen(member), NULL, 10) : 0;
    ox_client_response_fini(&r);
    return bytes;
}

static void
take(struct chaos_run *run, struct chaos_census *c)
{
    memset(c, 0, sizeof(*c));
    chaos_server_refresh(&run->server);
    count_descriptors(run->server.heart, run->server.data, &c->heart);
    count_threads(run->server.heart, &c->heart);
    count_descriptors(run->server.node, run->server.data, &c->node);
    count_threads(run->server.node, &c->node);
    c->node_bytes = bytes_of_node(&run->server);
}

static bool
same(const struct chaos_holds *a, const struct chaos_holds *b)
{
    return a->threads == b->threads && a->descriptors == b->descriptors &&
           b->sockets <= a->sockets + SOCKETS_SLACK;
}

/* Gauges that are zero when nothing is under way. */
static bool
at_rest(struct chaos_run *run)
{
    static const char *const gauges[] = {"observex_ingest_body_bytes", "observex_ingest_pipeline_queue_depth",
                                         "observex_outbox_blocks"};
    double value;
    for (size_t i = 0; i < OX_COUNT(gauges); i++) {
        if (!chaos_metric(&run->server, gauges[i], &value) || value != 0)
            return false;
    }
    return true;
}

static bool
nothing_leaked(const struct chaos_census *a, const struct chaos_census *b)
{
    return same(&a->heart, &b->heart) && same(&a->node, &b->node) &&
           b->node_bytes <= a->node_bytes + BYTES_SLACK;
}

void
chaos_leaks(struct chaos_run *run, struct chaos_verdict *v)
{
    struct chaos_census now;
    bool rests = false, same_as_first = false;
    for (int i = 0; i < REST_S * 1000 / LOOK_MS && !same_as_first; i++) {
        if (i > 0)
            chaos_nap_ms(LOOK_MS);
        rests = at_rest(run);
        take(run, &now);
        same_as_first = rests && (run->censuses == 0 || nothing_leaked(&run->first_census, &now));
    }
    if (run->censuses++ == 0)
        run->first_census = now;
    run->last_census = now;
    if (same_as_first)
        return;
    v->counters++;
    ox_buf_printf(
        &v->lines,
        "round %u: %s: node %u threads, %u descriptors, %u sockets, %llu bytes; heart %u threads, %u "
        "descriptors\n",
        run->round, rests ? "more is held than after the first round" : "the node does not come to rest",
        now.node.threads, now.node.descriptors, now.node.sockets, (unsigned long long)now.node_bytes,
        now.heart.threads, now.heart.descriptors);
}
