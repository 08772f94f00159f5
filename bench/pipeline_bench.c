/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/pipeline_bench.c - end to end: CPU seconds per million records from request to queryable row, against the floor
 * of inserting the same rows, encoded beforehand, into the same engine with the same schema, views and fsync.
 *
 *   pipeline_bench OBSERVEX [--signal traces|logs|metrics] [--records N] [--per-request N] [--connections N]
 *                  [--encoding identity|gzip|zstd] [--rounds N]
 *
 * Method:  each round runs both sides in turn on fresh data directories. CPU is user plus system time of
 *          node and engine from /proc, read when everything is confirmed stored and again after SETTLE_S of
 *          quiet, so that the merges that the inserts cause are counted on both sides. The client's own CPU
 *          is not counted.
 *
 * Owns:    the servers it starts; both end with it.
 * Threads: main and one per connection.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/batch_wire.h"
#include "bench/telemetry_gen.h"
#include "cmd/otlp_client.h"
#include "ox/clock.h"
#include "ox/compress.h"
#include "ox/encode.h"
#include "ox/storage.h"

#define SETTLE_S 8
#define START_S  60

struct args {
    const char *exe;
    enum ox_signal signal;
    uint64_t records;
    uint32_t per_request, connections, rounds;
    enum ox_encoding encoding;
};

struct server {
    pid_t heart;
    int node, engine;
    char dir[64], otlp[64], api[64];
};

static void
die(const char *what)
{
    fprintf(stderr, "pipeline_bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t
now_ns(void)
{
    return ox_clock_monotonic_ns(ox_clock_real());
}

static void
nap_ms(int ms)
{
    poll(NULL, 0, ms);
}

/* user + system seconds of a process; peak resident MiB by the way. */
static double
cpu_s(int pid, double *peak_mib)
{
    char path[64], line[2048];
    unsigned long ut = 0, st = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (f == NULL || fgets(line, sizeof(line), f) == NULL)
        die(path);
    fclose(f);
    sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &ut, &st);
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        long kib;
        if (sscanf(line, "VmHWM: %ld", &kib) == 1)
            *peak_mib = (double)kib / 1024;
    }
    if (f != NULL)
        fclose(f);
    return (double)(ut + st) / (double)sysconf(_SC_CLK_TCK);
}

static void
read_ready(struct server *s, const char *path)
{
    for (int i = 0; i < START_S * 20; i++, nap_ms(50)) {
        json_t *j = json_load_file(path, 0, NULL);
        if (j == NULL)
            continue;
        s->node = (int)json_integer_value(json_object_get(j, "node_pid"));
        s->engine = (int)json_integer_value(json_object_get(j, "engine_pid"));
        snprintf(s->otlp, sizeof(s->otlp), "http://%s", json_string_value(json_object_get(j, "otlp_http")));
        snprintf(s->api, sizeof(s->api), "%s", json_string_value(json_object_get(j, "api")));
        json_decref(j);
        return;
    }
    die("the server does not become ready");
}

static void
server_start(struct server *s, const char *exe)
{
    char ready[96];
    snprintf(s->dir, sizeof(s->dir), "/tmp/ox-bench-XXXXXX");
    if (mkdtemp(s->dir) == NULL)
        die("mkdtemp");
    snprintf(ready, sizeof(ready), "%s/ready.json", s->dir);
    s->heart = fork();
    if (s->heart == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        int fd = open("/dev/null", O_WRONLY);
        dup2(fd, 1);
        execl(exe, exe, "serve", "--data", s->dir, "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0",
              "--api", "127.0.0.1:0", "--debug", "127.0.0.1:0", "--ready-file", ready, "--log-level", "warn",
              (char *)NULL);
        _exit(127);
    }
    read_ready(s, ready);
}

static void
server_stop(struct server *s)
{
    char cmd[128];
    kill(s->heart, SIGTERM);
    waitpid(s->heart, NULL, 0);
    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", s->dir);
    if (system(cmd) != 0)
        die(cmd);
}

/* ---- load ---- */

struct load {
    const struct args *args;
    const char *url;
    struct telemetry_gen gen;
    pthread_mutex_t lock;
    uint64_t made; /* records */
    uint64_t bytes;
    uint64_t retries;
};

static struct ox_batch *
next_batch(struct telemetry_gen *gen, const struct args *a)
{
    switch (a->signal) {
    case OX_SIGNAL_TRACES:
        return gen_spans(gen, a->per_request, 1000000);
    case OX_SIGNAL_LOGS:
        return gen_logs(gen, a->per_request, 1000000);
    default:
        return gen_points(gen, 50000000); /* 24 services to a round: the clock moves 50 ms a round */
    }
}

static bool
next_request(struct load *l, struct ox_buf *out, uint64_t *records)
{
    pthread_mutex_lock(&l->lock);
    bool more = l->made < l->args->records;
    if (more) {
        struct ox_batch *batch = next_batch(&l->gen, l->args);
        batch_wire(batch, out);
        *records = ox_encode_rows(batch);
        l->made += *records;
        l->bytes += out->len;
        ox_batch_free(batch);
    }
    pthread_mutex_unlock(&l->lock);
    return more;
}

static void *
send_loop(void *arg)
{
    struct load *l = arg;
    struct ox_otlp_client *client = ox_otlp_client_new(l->url, NULL);
    struct ox_buf body = {0};
    struct ox_diag diag;
    uint64_t n, retries = 0;
    sig_atomic_t stop = 0;
    if (l->args->encoding != OX_ENCODING_IDENTITY)
        ox_otlp_client_encoding(client, l->args->encoding);
    while (next_request(l, &body, &n)) {
        if (ox_otlp_client_deliver(client, l->args->signal, false, ox_buf_str(&body), &stop, &retries,
                                   &diag) != OX_OK) {
            fprintf(stderr, "pipeline_bench: %s\n", diag.text);
            exit(1);
        }
    }
    pthread_mutex_lock(&l->lock);
    l->retries += retries;
    pthread_mutex_unlock(&l->lock);
    ox_buf_fini(&body);
    ox_otlp_client_free(client);
    return NULL;
}

static void
load_init(struct load *l, const struct args *a)
{
    memset(l, 0, sizeof(*l));
    l->args = a;
    pthread_mutex_init(&l->lock, NULL);
    /* The present hour up to now is too short near its begin; the past hour lies in the accepted window. */
    gen_init(&l->gen, 7, ox_clock_realtime_ns(ox_clock_real()) - 3600ull * 1000000000);
}

/* Confirmed rows by the node's own counter. */
static uint64_t
stored(const struct server *s, enum ox_signal signal)
{
    char cmd[256], line[256];
    unsigned long long n = 0;
    snprintf(cmd, sizeof(cmd),
             "curl -s http://%s/metrics | grep 'observex_ingest_signals_stored_total{type=\"%s\"}' | cut -d' "
             "' -f2",
             s->api, ox_signal_name(signal));
    FILE *p = popen(cmd, "r");
    if (p != NULL && fgets(line, sizeof(line), p) != NULL)
        n = strtoull(line, NULL, 10);
    if (p != NULL)
        pclose(p);
    return n;
}

struct result {
    double node_s, engine_s; /* until stored */
    double settle_s;         /* both, in the quiet time after */
    double wall_s, node_mib, engine_mib;
    uint64_t records, bytes, retries;
};

static void
run_pipeline(const struct args *a, struct result *r)
{
    struct server s;
    struct load l;
    pthread_t threads[64];
    double peak;
    server_start(&s, a->exe);
    load_init(&l, a);
    l.url = s.otlp;
    double node0 = cpu_s(s.node, &peak), engine0 = cpu_s(s.engine, &peak);
    uint64_t t0 = now_ns();
    for (uint32_t i = 0; i < a->connections; i++)
        pthread_create(&threads[i], NULL, send_loop, &l);
    for (uint32_t i = 0; i < a->connections; i++)
        pthread_join(threads[i], NULL);
    while (stored(&s, a->signal) < l.made)
        nap_ms(50);
    r->wall_s = (double)(now_ns() - t0) / 1e9;
    r->node_s = cpu_s(s.node, &r->node_mib) - node0;
    r->engine_s = cpu_s(s.engine, &r->engine_mib) - engine0;
    nap_ms(SETTLE_S * 1000);
    r->settle_s = cpu_s(s.node, &peak) + cpu_s(s.engine, &peak) - node0 - engine0 - r->node_s - r->engine_s;
    r->records = l.made;
    r->bytes = l.bytes;
    r->retries = l.retries;
    server_stop(&s);
}

/* ---- floor ---- */

static void
insert_all(struct ox_storage *st, const struct ox_encoded *e, uint64_t id)
{
    struct ox_diag diag;
    for (size_t i = 0; i < e->n_blocks; i++) {
        char token[48];
        snprintf(token, sizeof(token), "floor-%llu-%d", (unsigned long long)id, (int)e->blocks[i].table);
        struct ox_storage_insert ins = {.table = ox_table_name(e->blocks[i].table),
                                        .columns = ox_table_columns(e->blocks[i].table),
                                        .token = token,
                                        .data = e->blocks[i].native.data,
                                        .len = e->blocks[i].native.len};
        if (ox_storage_insert(st, &ins, NULL, &diag) != OX_OK) {
            fprintf(stderr, "pipeline_bench: floor insert: %s\n", diag.text);
            exit(1);
        }
    }
}

static void
finish_and_insert(struct ox_storage *st, struct ox_builder *b, struct ox_encoded *e, uint64_t *id)
{
    if (ox_builder_rows(b) == 0)
        return;
    if (ox_builder_finish(b, ++*id, e) != OX_OK)
        die("encode");
    insert_all(st, e, *id);
}

static struct ox_storage *
open_engine(const struct server *s)
{
    char url[128], path[128], key[128] = "";
    struct ox_storage *st;
    struct ox_diag diag;
    snprintf(url, sizeof(url), "unix:%s/engine.sock", s->dir);
    snprintf(path, sizeof(path), "%s/secret", s->dir);
    FILE *f = fopen(path, "r");
    if (f == NULL || fgets(key, sizeof(key), f) == NULL)
        die(path);
    fclose(f);
    key[strcspn(key, "\n")] = '\0';
    struct ox_storage_options so = {.url = url, .key = key};
    if (ox_storage_open(&so, &st, &diag) != OX_OK)
        die(diag.text);
    return st;
}

static void
run_floor(const struct args *a, struct result *r)
{
    struct server s;
    struct load l;
    double peak;
    uint64_t id = 0;
    struct ox_encoded encoded = {0};
    server_start(&s, a->exe);
    struct ox_storage *st = open_engine(&s);
    struct ox_series_cache *cache = ox_series_cache_new(OX_SERIES_CACHE_KEYS);
    struct ox_builder *builder = NULL;
    load_init(&l, a);
    double engine0 = cpu_s(s.engine, &peak);
    uint64_t t0 = now_ns();
    while (l.made < a->records) {
        struct ox_batch *batch = next_batch(&l.gen, a);
        uint32_t parts[8], rows = ox_encode_rows(batch);
        size_t n = ox_encode_partitions(batch, parts, OX_COUNT(parts));
        for (size_t p = 0; p < n; p++) {
            if (builder == NULL)
                builder = ox_builder_new(a->signal, parts[p], a->signal == OX_SIGNAL_METRICS ? cache : NULL);
            if (ox_builder_partition(builder) != parts[p]) {
                finish_and_insert(st, builder, &encoded, &id);
                ox_builder_set_partition(builder, parts[p]);
            }
            for (uint32_t row = 0, next; row < rows; row = next) {
                struct ox_rows range = {.first = row, .count = rows - row};
                if (ox_builder_add(builder, batch, &range, &next) != OX_OK)
                    die("encode");
                if (ox_builder_full(builder))
                    finish_and_insert(st, builder, &encoded, &id);
                ox_series_cache_commit(cache, &encoded);
            }
        }
        l.made += rows;
        ox_batch_free(batch);
    }
    finish_and_insert(st, builder, &encoded, &id);
    r->wall_s = (double)(now_ns() - t0) / 1e9;
    r->engine_s = cpu_s(s.engine, &r->engine_mib) - engine0;
    nap_ms(SETTLE_S * 1000);
    r->settle_s = cpu_s(s.engine, &peak) - engine0 - r->engine_s;
    r->records = l.made;
    ox_builder_free(builder);
    ox_encoded_fini(&encoded);
    ox_series_cache_free(cache);
    ox_storage_close(st);
    server_stop(&s);
}

/* ---- report ---- */

static void
report(const struct args *a, const struct result *p, const struct result *f)
{
    double m = 1e6 / (double)p->records, mf = 1e6 / (double)f->records;
    double whole = (p->node_s + p->engine_s + p->settle_s) * m, floor = (f->engine_s + f->settle_s) * mf;
    printf("%-8s %9llu records, %6.1f MB of requests, %llu retries\n", ox_signal_name(a->signal),
           (unsigned long long)p->records, (double)p->bytes / 1e6, (unsigned long long)p->retries);
    printf("  pipeline  node %5.2f  engine %5.2f  merges %5.2f  = %5.2f CPU s per million   (%.0f records/s, "
           "node peak %.0f MiB, engine %.0f MiB)\n",
           p->node_s * m, p->engine_s * m, p->settle_s * m, whole, (double)p->records / p->wall_s,
           p->node_mib, p->engine_mib);
    printf("  floor                 engine %5.2f  merges %5.2f  = %5.2f CPU s per million\n",
           f->engine_s * mf, f->settle_s * mf, floor);
    printf("  ratio %.2f\n", whole / floor);
    fflush(stdout);
}

static void
parse(int argc, char **argv, struct args *a)
{
    *a = (struct args){.exe = argc > 1 ? argv[1] : "build/observex",
                       .records = 500000,
                       .per_request = 1000,
                       .connections = 4,
                       .rounds = 1};
    for (int i = 2; i + 1 < argc; i += 2) {
        const char *k = argv[i], *v = argv[i + 1];
        if (strcmp(k, "--signal") == 0)
            a->signal = v[0] == 't' ? OX_SIGNAL_TRACES : v[0] == 'l' ? OX_SIGNAL_LOGS : OX_SIGNAL_METRICS;
        else if (strcmp(k, "--records") == 0)
            a->records = strtoull(v, NULL, 10);
        else if (strcmp(k, "--per-request") == 0)
            a->per_request = (uint32_t)atoi(v);
        else if (strcmp(k, "--connections") == 0)
            a->connections = (uint32_t)atoi(v) < 64 ? (uint32_t)atoi(v) : 64;
        else if (strcmp(k, "--rounds") == 0)
            a->rounds = (uint32_t)atoi(v);
        else if (strcmp(k, "--encoding") == 0 && ox_encoding_parse(ox_str_of(v), &a->encoding, NULL) != OX_OK)
            die(v);
    }
}

int
main(int argc, char **argv)
{
    struct args a;
    parse(argc, argv, &a);
    for (uint32_t i = 0; i < a.rounds; i++) {
        struct result pipeline = {0}, floor = {0};
        run_pipeline(&a, &pipeline);
        run_floor(&a, &floor);
        report(&a, &pipeline, &floor);
    }
    return 0;
}
