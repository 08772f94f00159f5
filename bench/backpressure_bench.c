/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/backpressure_bench.c - what happens when ten times as much arrives as storage takes.
 *
 *   backpressure_bench [OBSERVEX] [--seconds N] [--rate SPANS_PER_S]
 *
 * Method:  a proxy stands between node and engine and lets inserts through at a fixed rate of bytes. The node is
 *          restarted once, so that it finds the proxy where the engine's socket was. Outbox and log have the
 *          smallest bounds that the configuration allows. First the outbox is filled at full speed until the
 *          first refusal, then ten times the throttled rate is offered for N seconds. All of these must hold:
 *          every answer is 200 or 429, every 429 has a Retry-After; the storage side is kept busy for at least
 *          95 % of the time, and what it took are stored rows, not repeats; the node's memory does not grow.
 *          Exit code 1 when one does not.
 *
 * Blocks of 20,000 rows make what storage took visible in time; the bounds are 128 MiB of outbox in segments
 * of 4 MiB.
 *
 * Owns:    the server; the proxy's threads end with the process.
 * Threads: main (offers, measures), SENDERS, and two per proxied connection.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/post.h"
#include "bench/server.h"
#include "bench/source.h"
#include "ox/net.h"

#define SENDERS       8
#define PER_REQUEST   500u
#define TIMES         10u
#define PIECE_BYTES   (16u << 10)
#define FILL_S_MAX    90
#define GOODPUT_MIN   0.95
#define MEMORY_GROWTH 16.0 /* MiB between the first and the last third: noise of the allocator */
#define SAMPLES_MAX   1024
#define RESTART_S     30

struct bench {
    const char *exe;
    uint32_t seconds;
    double rate; /* spans per second that storage takes */
    struct bench_server server;
    char real[108]; /* the engine's own socket */
    /* the proxy: one bucket for all connections */
    pthread_mutex_t lock;
    double bytes_per_s;
    uint64_t free_ns; /* when the wire is free again */
    _Atomic uint64_t passed;
    _Atomic bool throttle;
    /* the offer */
    struct bench_source source;
    pthread_mutex_t source_lock;
    _Atomic bool stop;
    _Atomic bool paced;
    uint64_t next_ns, interval_ns;
    _Atomic uint64_t ok, refused, without_hint, other;
};

static struct bench b;

/* ---- proxy ---- */

/* Takes its turn on a wire that carries bytes_per_s; idle time is not saved up. */
static void
take_turn(size_t n)
{
    if (!atomic_load(&b.throttle))
        return;
    pthread_mutex_lock(&b.lock);
    uint64_t now = bench_now_ns();
    if (b.free_ns < now)
        b.free_ns = now;
    b.free_ns += (uint64_t)((double)n * 1e9 / b.bytes_per_s);
    uint64_t until = b.free_ns;
    pthread_mutex_unlock(&b.lock);
    while ((now = bench_now_ns()) < until)
        usleep((useconds_t)((until - now) / 1000 + 1));
    atomic_fetch_add(&b.passed, n);
}

struct pipe_end {
    int from, to;
    bool throttled;
};

static void *
pipe_bytes(void *arg)
{
    struct pipe_end *p = arg;
    char piece[PIECE_BYTES];
    ssize_t n;
    while ((n = read(p->from, piece, sizeof(piece))) > 0) {
        if (p->throttled)
            take_turn((size_t)n);
        for (ssize_t at = 0, w; at < n; at += w) {
            w = send(p->to, piece + at, (size_t)(n - at), MSG_NOSIGNAL);
            if (w <= 0)
                goto out;
        }
    }
out:
    shutdown(p->from, SHUT_RDWR);
    shutdown(p->to, SHUT_RDWR);
    free(p);
    return NULL;
}

static void
spawn(void *(*fn)(void *), void *arg)
{
    pthread_t t;
    OX_ASSERT(pthread_create(&t, NULL, fn, arg) == 0);
    pthread_detach(t);
}

static void
join_ends(int from, int to, bool throttled)
{
    struct pipe_end *p = malloc(sizeof(*p));
    OX_ASSERT(p != NULL);
    *p = (struct pipe_end){from, to, throttled};
    spawn(pipe_bytes, p);
}

static void *
accept_loop(void *arg)
{
    int fd = *(int *)arg;
    for (;;) {
        int client = accept(fd, NULL, NULL);
        if (client < 0) {
            if (errno == EAGAIN || errno == EINTR) {
                bench_nap_ms(5);
                continue;
            }
            return NULL;
        }
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        int engine = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        memcpy(a.sun_path, b.real, sizeof(a.sun_path));
        if (engine < 0 || connect(engine, (struct sockaddr *)&a, sizeof(a)) != 0) {
            close(client);
            close(engine);
            continue;
        }
        join_ends(client, engine, true);
        join_ends(engine, client, false);
    }
}

/* The proxy takes the place of the engine's socket; a new node connects to it. */
static void
interpose(void)
{
    static int fd;
    char path[128];
    struct ox_diag diag;
    snprintf(path, sizeof(path), "%s/engine.sock", b.server.dir);
    snprintf(b.real, sizeof(b.real), "%s/behind.sock", b.server.dir);
    if (rename(path, b.real) != 0 || ox_net_listen_unix(path, 0600, &fd, &diag) != OX_OK)
        bench_die("the proxy's socket");
    spawn(accept_loop, &fd);
    int before = b.server.node;
    kill(before, SIGKILL);
    for (int i = 0; i < RESTART_S * 10 && b.server.node == before; i++) {
        bench_nap_ms(100);
        bench_server_refresh(&b.server);
    }
    if (b.server.node == before)
        bench_die("the node does not come back");
}

/* ---- offer ---- */

/* Sends are spread evenly; who is late does not make up for it. */
static void
wait_for_slot(void)
{
    pthread_mutex_lock(&b.source_lock);
    uint64_t now = bench_now_ns();
    if (b.next_ns < now)
        b.next_ns = now;
    uint64_t at = b.next_ns;
    b.next_ns += b.interval_ns;
    pthread_mutex_unlock(&b.source_lock);
    while (!atomic_load(&b.stop) && (now = bench_now_ns()) < at)
        usleep((useconds_t)((at - now) / 1000 + 1));
}

static void *
offer(void *arg)
{
    struct bench_post c;
    struct ox_buf body = {0};
    bench_post_open(&c, b.server.otlp);
    while (!atomic_load(&b.stop)) {
        if (atomic_load(&b.paced))
            wait_for_slot();
        pthread_mutex_lock(&b.source_lock);
        bench_source_request(&b.source, &body);
        pthread_mutex_unlock(&b.source_lock);
        struct bench_reply r = bench_post_send(&c, OX_SIGNAL_TRACES, OX_ENCODING_IDENTITY, ox_buf_str(&body));
        if (r.status == 200)
            atomic_fetch_add(&b.ok, 1);
        else if (r.status == 429)
            atomic_fetch_add(&b.refused, 1);
        else
            atomic_fetch_add(&b.other, 1);
        if (r.status == 429 && !r.has_retry_after)
            atomic_fetch_add(&b.without_hint, 1);
    }
    bench_post_close(&c);
    ox_buf_fini(&body);
    return NULL;
}

/* ---- measuring ---- */

static double
mean(const double *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += v[i];
    return n > 0 ? sum / (double)n : 0;
}

static bool
check(bool holds, const char *what)
{
    printf("  %-6s %s\n", holds ? "ok" : "FAILED", what);
    return holds;
}

static void
fill_outbox(void)
{
    uint64_t t0 = bench_now_ns();
    while (atomic_load(&b.refused) == 0) {
        bench_nap_ms(100);
        if (bench_now_ns() - t0 > FILL_S_MAX * 1000000000ull)
            bench_die("the outbox does not fill");
    }
    printf("  filled after %.1f s: %llu requests accepted, node %.0f MiB\n",
           (double)(bench_now_ns() - t0) / 1e9, (unsigned long long)atomic_load(&b.ok),
           bench_rss_mib(b.server.node));
}

/* Bytes of one stored span on the proxied wire: what the throttled rate of rows is in bytes. */
static double
wire_bytes_per_row(uint64_t passed0, uint64_t rows0)
{
    uint64_t rows = bench_server_stored(&b.server, OX_SIGNAL_TRACES) - rows0;
    return rows > 0 ? (double)(atomic_load(&b.passed) - passed0) / (double)rows : 0;
}

static int
measure(void)
{
    static double rss[SAMPLES_MAX];
    size_t n = 0;
    b.interval_ns = (uint64_t)(1e9 * PER_REQUEST / (b.rate * TIMES));
    atomic_store(&b.paced, true);
    bench_nap_ms(1000);
    uint64_t passed0 = atomic_load(&b.passed), rows0 = bench_server_stored(&b.server, OX_SIGNAL_TRACES);
    uint64_t ok0 = atomic_load(&b.ok), refused0 = atomic_load(&b.refused), t0 = bench_now_ns();
    while (bench_now_ns() - t0 < (uint64_t)b.seconds * 1000000000ull) {
        bench_nap_ms(250);
        if (n < SAMPLES_MAX)
            rss[n++] = bench_rss_mib(b.server.node);
    }
    double s = (double)(bench_now_ns() - t0) / 1e9;
    double goodput = (double)(atomic_load(&b.passed) - passed0) / (b.bytes_per_s * s);
    double per_row = wire_bytes_per_row(passed0, rows0);
    uint64_t ok = atomic_load(&b.ok) - ok0, refused = atomic_load(&b.refused) - refused0;
    double first = mean(rss, n / 3), last = mean(rss + n - n / 3, n / 3);
    double failures = bench_server_metric(
        &b.server, "observex_storage_insert_failures_total{table=\"otel_traces\",error=\"TIMEOUT\"}");
    atomic_store(&b.stop, true);
    printf("  offered %.0f spans/s for %.0f s; storage takes %.0f KiB/s, %.1f bytes a span: %.0f spans/s\n",
           (double)(ok + refused) * PER_REQUEST / s, s, b.bytes_per_s / 1024, per_row,
           per_row > 0 ? b.bytes_per_s / per_row : 0);
    printf(
        "  accepted %.0f spans/s, refused %.0f spans/s (all time: %llu refusals, %llu without Retry-After, "
        "%llu other answers)\n",
        (double)ok * PER_REQUEST / s, (double)refused * PER_REQUEST / s,
        (unsigned long long)atomic_load(&b.refused), (unsigned long long)atomic_load(&b.without_hint),
        (unsigned long long)atomic_load(&b.other));
    printf("  goodput %.1f %% of the throttled rate; node %.0f MiB in the first third, %.0f MiB in the last, "
           "peak "
           "%.0f MiB\n",
           goodput * 100, first, last, bench_peak_mib(b.server.node));
    bool good = check(goodput >= GOODPUT_MIN, "goodput is at least 95 % of the throttled rate");
    good &= check(failures == 0, "no insert timed out and was repeated");
    good &= check(last - first <= MEMORY_GROWTH, "the node's memory is flat");
    good &= check(refused > 0 && atomic_load(&b.other) == 0, "every refusal is a 429");
    good &= check(atomic_load(&b.without_hint) == 0, "every 429 has a Retry-After");
    return good ? 0 : 1;
}

static void
write_config(char *path, size_t size)
{
    snprintf(path, size, "/tmp/ox-bench-config-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0)
        bench_die("mkstemp");
    dprintf(fd, "writer:\n  block_rows: 20000\noutbox:\n  total_bytes: 128MiB\n  segment_bytes: 4MiB\nwal:\n "
                " total_bytes: 1GiB\n  "
                "segment_bytes: 16MiB\n");
    close(fd);
}

int
main(int argc, char **argv)
{
    char config[64];
    pthread_t senders[SENDERS];
    b.exe = argc > 1 && argv[1][0] != '-' ? argv[1] : "build/observex";
    b.seconds = 20;
    b.rate = 8000;
    for (int i = argc > 1 && argv[1][0] != '-' ? 2 : 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0)
            b.seconds = (uint32_t)atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--rate") == 0)
            b.rate = atof(argv[i + 1]);
    }
    pthread_mutex_init(&b.lock, NULL);
    pthread_mutex_init(&b.source_lock, NULL);
    write_config(config, sizeof(config));
    bench_server_start(&b.server, b.exe, config);
    interpose();
    bench_source_init(&b.source, OX_SIGNAL_TRACES, PER_REQUEST, OX_ENCODING_IDENTITY, 11,
                      bench_source_start());
    b.bytes_per_s = b.rate * 65; /* some 65 bytes of a compressed block to a span */
    atomic_store(&b.throttle, true);
    for (int i = 0; i < SENDERS; i++)
        OX_ASSERT(pthread_create(&senders[i], NULL, offer, NULL) == 0);
    printf("backpressure\n");
    fill_outbox();
    int code = measure();
    for (int i = 0; i < SENDERS; i++)
        pthread_join(senders[i], NULL);
    bench_server_kill(&b.server); /* a minute of backlog would be stored first */
    unlink(config);
    return code;
}
