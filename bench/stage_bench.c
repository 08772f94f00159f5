/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/stage_bench.c - what each stage of the pipeline costs, in CPU seconds per million records.
 *
 *   stage_bench
 *
 * Method:  one block of 96,000 records (99,840 points) of each signal in requests of 1,000, taken through the stages one after
 *          the other by the functions that the node calls; ROUNDS times, medians. CPU is the whole process's, the
 *          client of the HTTP stage and the far end of the insert are other processes. What lies between the
 *          stages (messages, wake-ups, memory given back) is in the node's figure of pipeline_bench only.
 *
 * Owns:    a directory for both journals, removed at the end.
 * Threads: main; the server's loop runs on it.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "actors/writer/pack.h"
#include "bench/post.h"
#include "bench/server.h"
#include "bench/source.h"
#include "ox/http.h"
#include "ox/journal.h"
#include "ox/net.h"
#include "ox/otlp.h"
#include "ox/outbox_entry.h"
#include "ox/storage.h"
#include "ox/validate.h"
#include "ox/wal_entry.h"

#define REQUESTS    96u
#define PER_REQUEST 1000u
#define GROUP       8u /* requests to a commit: what the gateway sees with as many connections */
#define ROUNDS      5u
#define LEVEL       (-3) /* writer.compression_level */

enum stage { HTTP, GUNZIP, UNZSTD, DECODE, VALIDATE, HASH, LOG, ENCODE, PACK, OUTBOX, INSERT, STAGES };
static const char *const names[STAGES] = {"HTTP/1.1 and body",
                                          "gunzip (if sent so)",
                                          "unzstd (if sent so)",
                                          "decode",
                                          "validate",
                                          "hash of the request",
                                          "log: CRC, write, fdatasync",
                                          "encode into columns",
                                          "finish and zstd",
                                          "outbox: CRC, write, fdatasync",
                                          "insert: transport to the engine"};

struct work {
    enum ox_signal signal;
    struct ox_buf wire[REQUESTS];
    struct ox_buf packed[2][REQUESTS]; /* gzip, zstd */
    struct ox_batch *batches[REQUESTS];
    uint64_t records;
    char dir[32], sink[64];
    struct ox_journal *wal, *outbox;
    struct ox_series_cache *cache;
    struct ox_pack pack;
    double cost[STAGES][ROUNDS];
};

static uint64_t
cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* ---- HTTP ---- */

struct http_run {
    struct ox_http_server *server;
    uint32_t left;
};

static void
on_request(void *ctx, struct ox_http_request *req)
{
    struct http_run *run = ctx;
    ox_http_respond_text(req, 200, NULL, (struct ox_str){0});
    if (--run->left == 0)
        ox_http_server_drain(run->server, NULL, NULL);
}

static void
stage_http(struct work *w)
{
    char host[OX_NET_ADDR_MAX];
    int fd;
    struct ox_diag diag;
    uv_loop_t loop;
    struct http_run run = {.left = REQUESTS};
    struct ox_http_server_options o = {.ctx = &run, .on_request = on_request};
    OX_ASSERT(ox_net_listen_text(OX_STR("127.0.0.1:0"), &fd, host, &diag) == OX_OK);
    int pid = fork();
    if (pid == 0) {
        struct bench_post c;
        bench_post_open(&c, host);
        for (uint32_t i = 0; i < REQUESTS; i++)
            bench_post_send(&c, w->signal, OX_ENCODING_IDENTITY, ox_buf_str(&w->wire[i]));
        _exit(0);
    }
    uv_loop_init(&loop);
    OX_ASSERT(ox_http_server_start(&loop, fd, &o, &run.server, &diag) == OX_OK);
    while (run.left > 0)
        uv_run(&loop, UV_RUN_ONCE);
    ox_http_server_close(run.server, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    close(fd);
    waitpid(pid, NULL, 0);
}

/* ---- bytes to batches ---- */

static void
stage_decompress(struct work *w, enum ox_encoding encoding)
{
    const struct ox_buf *in = w->packed[encoding == OX_ENCODING_ZSTD];
    for (uint32_t i = 0; i < REQUESTS; i++) {
        struct ox_body *body = NULL;
        OX_ASSERT(ox_decompress(encoding, in[i].data, in[i].len, 16u << 20, NULL, &body, NULL) == OX_OK);
        ox_body_drop(body);
    }
}

static void
stage_decode(struct work *w)
{
    struct ox_decode_limits limits;
    struct ox_diag diag;
    ox_decode_limits_default(&limits);
    w->records = 0;
    for (uint32_t i = 0; i < REQUESTS; i++) {
        struct ox_body *body = ox_body_new(w->wire[i].len, NULL);
        OX_ASSERT(body != NULL);
        memcpy(body->data, w->wire[i].data,
               w->wire[i].len); /* in the node it is there already: 3 % of this stage */
        body->len = w->wire[i].len;
        ox_batch_free(w->batches[i]);
        w->batches[i] = ox_batch_new();
        OX_ASSERT(ox_otlp_decode(w->signal, body, &limits, w->batches[i], &diag) == OX_OK);
        w->records += w->batches[i]->n_records;
        ox_body_drop(body);
    }
}

static void
stage_validate(struct work *w)
{
    struct ox_validate_policy policy;
    ox_validate_policy_default(&policy);
    for (uint32_t i = 0; i < REQUESTS; i++) {
        uint64_t now = ox_clock_realtime_ns(ox_clock_real());
        w->batches[i]->received_ns = now;
        OX_ASSERT(ox_tenant_id_parse(OX_STR("default"), &w->batches[i]->tenant, NULL) == OX_OK);
        ox_validate_batch(w->batches[i], &policy, now, NULL);
        OX_ASSERT(w->batches[i]->n_rejected == 0);
    }
}

static void
stage_hash(struct work *w)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < REQUESTS; i++)
        sum += ox_wal_hash_of(ox_buf_str(&w->wire[i])).lo;
    static volatile uint64_t keep; /* so that it is computed */
    keep = sum;
    (void)keep;
}

static void
stage_log(struct work *w)
{
    struct ox_buf headers[GROUP] = {0};
    for (uint32_t i = 0; i < REQUESTS; i++) {
        const struct ox_batch *b = w->batches[i];
        struct ox_wal_entry entry = {.tenant = b->tenant,
                                     .signal = w->signal,
                                     .encoding = OX_WAL_OTLP_PROTOBUF,
                                     .received_ns = b->received_ns,
                                     .n_records = b->n_records,
                                     .body = {(const char *)b->body->data, b->body->len}};
        struct ox_buf *h = &headers[i % GROUP];
        ox_buf_reset(h);
        OX_ASSERT(ox_wal_entry_encode(&entry, h) == OX_OK);
        struct iovec parts[2] = {{h->data, h->len}, {b->body->data, b->body->len}};
        uint64_t seq;
        OX_ASSERT(ox_journal_append(w->wal, parts, 2, (int64_t)b->received_ns, &seq) == OX_OK);
        if (i % GROUP == GROUP - 1)
            OX_ASSERT(ox_journal_commit(w->wal, NULL) == OX_OK);
    }
    OX_ASSERT(ox_journal_commit(w->wal, NULL) == OX_OK);
    for (uint32_t i = 0; i < GROUP; i++)
        ox_buf_fini(&headers[i]);
}

/* ---- batches to blocks ---- */

static void
stage_encode(struct work *w)
{
    uint32_t partition = ox_encode_partition(w->batches[0], 0);
    if (w->pack.builder == NULL)
        w->pack.builder = ox_builder_new(w->signal, partition, w->cache);
    OX_ASSERT(w->pack.builder != NULL);
    for (uint32_t i = 0; i < REQUESTS; i++) {
        struct ox_rows rows = {.count = ox_encode_rows(w->batches[i])};
        uint32_t next;
        OX_ASSERT(ox_builder_add(w->pack.builder, w->batches[i], &rows, &next) == OX_OK &&
                  next == rows.count);
    }
}

static void
stage_pack(struct work *w)
{
    w->pack.level = LEVEL;
    w->pack.block_id++;
    ox__pack_job(&w->pack);
    OX_ASSERT(w->pack.err == OX_OK);
    if (w->cache != NULL)
        ox_series_cache_commit(w->cache, &w->pack.encoded);
}

static void
stage_outbox(struct work *w)
{
    struct iovec parts[OX_ENCODED_BLOCKS_MAX];
    uint64_t seq;
    for (size_t i = 0; i < w->pack.encoded.n_blocks; i++)
        parts[i] = (struct iovec){w->pack.packed[i].data, w->pack.packed[i].len};
    OX_ASSERT(ox_journal_append(w->outbox, parts, (int)w->pack.encoded.n_blocks, 0, &seq) == OX_OK);
    OX_ASSERT(ox_journal_commit(w->outbox, NULL) == OX_OK);
}

/* A ClickHouse that takes everything: reads content-length bytes, says 200. */
static void
sink_serve(int fd)
{
    static char buf[1u << 20];
    int c = accept(fd, NULL, NULL);
    if (c < 0)
        _exit(1);
    for (size_t have = 0;;) {
        ssize_t n = read(c, buf + have, sizeof(buf) - 1 - have);
        if (n <= 0)
            _exit(0);
        have += (size_t)n;
        buf[have] = '\0';
        const char *end = strstr(buf, "\r\n\r\n"), *len = strcasestr(buf, "content-length:");
        if (end == NULL)
            continue;
        size_t left = (size_t)atol(len + 15) - (have - (size_t)(end + 4 - buf));
        while (left > 0 && (n = read(c, buf, left < sizeof(buf) ? left : sizeof(buf))) > 0)
            left -= (size_t)n;
        static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        if (write(c, ok, sizeof(ok) - 1) < 0)
            _exit(1);
        have = 0;
    }
}

static struct ox_storage *
open_sink(struct work *w, int *pid)
{
    char url[96];
    int fd;
    struct ox_diag diag;
    struct ox_storage *st;
    snprintf(w->sink, sizeof(w->sink), "%s/sink", w->dir);
    OX_ASSERT(ox_net_listen_unix(w->sink, 0600, &fd, &diag) == OX_OK);
    *pid = fork();
    if (*pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        fcntl(fd, F_SETFL, 0); /* blocking */
        sink_serve(fd);
    }
    close(fd);
    snprintf(url, sizeof(url), "unix:%s", w->sink);
    struct ox_storage_options so = {.url = url, .key = "0123456789abcdef"};
    OX_ASSERT(ox_storage_open(&so, &st, &diag) == OX_OK);
    return st;
}

static void
stage_insert(struct work *w, struct ox_storage *st)
{
    struct ox_diag diag;
    for (size_t i = 0; i < w->pack.encoded.n_blocks; i++) {
        enum ox_table table = w->pack.encoded.blocks[i].table;
        struct ox_storage_insert insert = {.table = ox_table_name(table),
                                           .columns = ox_table_columns(table),
                                           .token = "stage",
                                           .data = w->pack.packed[i].data,
                                           .len = w->pack.packed[i].len,
                                           .encoding = OX_STORAGE_ZSTD};
        OX_ASSERT(ox_storage_insert(st, &insert, NULL, &diag) == OX_OK);
    }
}

/* ---- all ---- */

static void
make_requests(struct work *w)
{
    static struct bench_source source;
    bench_source_init(&source, w->signal, PER_REQUEST, OX_ENCODING_IDENTITY, 9, bench_source_start());
    for (uint32_t i = 0; i < REQUESTS; i++) {
        bench_source_request(&source, &w->wire[i]);
        for (int z = 0; z < 2; z++)
            OX_ASSERT(ox_compress(z == 0 ? OX_ENCODING_GZIP : OX_ENCODING_ZSTD, w->wire[i].data,
                                  w->wire[i].len, &w->packed[z][i]) == OX_OK);
    }
    bench_source_fini(&source);
}

static void
open_journals(struct work *w)
{
    char path[64];
    struct ox_journal_options wal = {.kind = OX_JOURNAL_WAL}, outbox = {.kind = OX_JOURNAL_OUTBOX};
    snprintf(w->dir, sizeof(w->dir), "/tmp/ox-bench-XXXXXX");
    if (mkdtemp(w->dir) == NULL)
        bench_die("mkdtemp");
    snprintf(path, sizeof(path), "%s/wal", w->dir);
    OX_ASSERT(ox_journal_open(ox_disk_real(), path, &wal, &w->wal, NULL, NULL) == OX_OK);
    snprintf(path, sizeof(path), "%s/outbox", w->dir);
    OX_ASSERT(ox_journal_open(ox_disk_real(), path, &outbox, &w->outbox, NULL, NULL) == OX_OK);
}

static int
by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void
run_round(struct work *w, struct ox_storage *st, double cost[STAGES])
{
    uint64_t at[STAGES + 1];
    for (int s = 0; s < STAGES; s++) {
        at[s] = cpu_ns();
        switch (s) {
        case HTTP:
            stage_http(w);
            break;
        case GUNZIP:
            stage_decompress(w, OX_ENCODING_GZIP);
            break;
        case UNZSTD:
            stage_decompress(w, OX_ENCODING_ZSTD);
            break;
        case DECODE:
            stage_decode(w);
            break;
        case VALIDATE:
            stage_validate(w);
            break;
        case HASH:
            stage_hash(w);
            break;
        case LOG:
            stage_log(w);
            break;
        case ENCODE:
            stage_encode(w);
            break;
        case PACK:
            stage_pack(w);
            break;
        case OUTBOX:
            stage_outbox(w);
            break;
        default:
            stage_insert(w, st);
        }
    }
    at[STAGES] = cpu_ns();
    for (int s = 0; s < STAGES; s++)
        cost[s] = (double)(at[s + 1] - at[s]) / 1e3 / (double)w->records;
}

static void
report(struct work *w)
{
    double sum = 0;
    printf("stages of %s, CPU s per million records (median of %u)\n", ox_signal_name(w->signal), ROUNDS);
    for (int s = 0; s < STAGES; s++) {
        qsort(w->cost[s], ROUNDS, sizeof(double), by_size);
        double median = w->cost[s][ROUNDS / 2];
        printf("  %-32s %6.3f\n", names[s], median);
        if (s != GUNZIP && s != UNZSTD)
            sum += median;
    }
    printf("  %-32s %6.3f\n", "sum, requests sent plain", sum);
}

static void
measure(enum ox_signal signal)
{
    static struct work work;
    struct work *w = &work;
    char cmd[sizeof(w->dir) + 16];
    int sink;
    memset(w, 0, sizeof(*w));
    w->signal = signal;
    w->cache = signal == OX_SIGNAL_METRICS ? ox_series_cache_new(OX_SERIES_CACHE_KEYS) : NULL;
    make_requests(w);
    open_journals(w);
    struct ox_storage *st = open_sink(w, &sink);
    double warm[STAGES];
    run_round(w, st, warm);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        double cost[STAGES];
        run_round(w, st, cost);
        for (int s = 0; s < STAGES; s++)
            w->cost[s][i] = cost[s];
    }
    report(w);
    ox_storage_close(st);
    kill(sink, SIGKILL);
    waitpid(sink, NULL, 0);
    ox_journal_close(w->wal);
    ox_journal_close(w->outbox);
    snprintf(cmd, sizeof(cmd), "rm -rf '%.31s'", w->dir);
    if (system(cmd) != 0)
        bench_die(cmd);
    ox_builder_free(w->pack.builder);
    ox_encoded_fini(&w->pack.encoded);
    ox_series_cache_free(w->cache);
    for (size_t i = 0; i < OX_ENCODED_BLOCKS_MAX; i++)
        ox_buf_fini(&w->pack.packed[i]);
    for (uint32_t i = 0; i < REQUESTS; i++) {
        ox_buf_fini(&w->wire[i]);
        ox_buf_fini(&w->packed[0][i]);
        ox_buf_fini(&w->packed[1][i]);
        ox_batch_free(w->batches[i]);
    }
}

int
main(void)
{
    for (int s = 0; s < OX_SIGNAL__COUNT; s++)
        measure((enum ox_signal)s);
    return 0;
}
