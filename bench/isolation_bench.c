/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/isolation_bench.c - what a quiet tenant notices of a noisy one: its acknowledgements and its data, beside
 * the same node without the noise, in one run.
 *
 *   isolation_bench [OBSERVEX] [--scenario NAME] [--rounds N] [--seconds N] [--connections N]
 *
 * Method:  `observex serve` with real sockets. The quiet tenant posts QUIET_HZ requests a second, evenly spaced, from
 *          QUIET_SENDERS connections; the latency of each is counted from the moment it was due until it is
 *          acknowledged, refusals and repeats included. Each round has three phases of N seconds: alone; "elsewhere",
 *          where the noise is sent to a sink of this program that reads it and answers (the same machine, another
 *          server: what the load itself takes of the cores is not the node's fault); and the noise on the node. The
 *          medians over the rounds of each phase's p50 and p99 are printed, and the ratios to both others. At the end
 *          the quiet tenant's stored rows are counted: as many as were acknowledged, no fewer and no more.
 *
 *          flood   requests of 1,000 spans as fast as they are answered, refused ones at once again
 *          huge    requests of some 7 MiB, most of which the node must refuse for want of memory
 *          panic   as flood, and every request makes its tenant's actor fail a check
 *          leak    as flood, and every request makes it allocate until its budget is spent
 *          fault   one request in FAULT_EVERY ends the whole node; the pause is what the quiet tenant waits at most
 *
 * Owns:    the server of the scenario.
 * Threads: main, the quiet senders, the noisy ones, and one per connection of the sink.
 * Fails:   exit code 1 when an acknowledged row is missing or stored twice. Times are printed, not judged: on a
 *          machine that others use they say little.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/post.h"
#include "bench/server.h"
#include "bench/source.h"
#include "ox/keystore.h"
#include "ox/net.h"
#include "ox/otlp_wire.h"
#include "ox/storage.h"

#define QUIET_SENDERS 16
#define QUIET_HZ      50.0 /* requests per second, of all its senders */
#define QUIET_SPANS   50u
#define NOISY_MAX     64
#define NOISY_SPANS   1000u
#define HUGE_SPANS    14000u
#define POOL          16 /* generated requests of the noise; a number behind each makes it another one */
#define ROUNDS_MAX    32
#define SAMPLES_MAX   200000u
#define RETRY_MS      20
#define SETTLE_MS     500 /* between phases */
#define DRAIN_S       180
#define FAULT_EVERY   "40"

enum phase { ALONE, ELSEWHERE, NOISE, PHASES };
static const char *const phase_names[PHASES] = {"alone", "noise elsewhere", "noise here"};

struct scenario {
    const char *name, *faults;
    uint32_t spans;
};
static const struct scenario scenarios[] = {
    {"flood", "", NOISY_SPANS},
    {"huge", "", HUGE_SPANS},
    {"panic", "panic@tenant:noisy", NOISY_SPANS},
    {"leak", "leak@tenant:noisy", NOISY_SPANS},
    {"fault", "segv@tenant:noisy/" FAULT_EVERY, 100},
};

struct figures {
    double p50[ROUNDS_MAX], p99[ROUNDS_MAX], worst;
    uint64_t ok, refused, broken; /* of the noise */
};

static struct {
    const char *exe;
    uint32_t rounds, seconds, noisy_n;
    struct bench_server server;
    char keys[2][OX_DEV_KEY_MAX]; /* quiet, noisy */
    char sink[OX_NET_ADDR_MAX];
    /* the quiet tenant */
    struct bench_source quiet;
    pthread_mutex_t lock; /* of the source and the samples */
    double *samples;
    uint32_t samples_n;
    uint64_t quiet_rows, quiet_refused;
    uint64_t next_ns;
    _Atomic bool quiet_stop;
    /* the noise */
    struct ox_buf pool[POOL];
    _Atomic uint64_t serial, ok, refused, broken;
    _Atomic int target; /* enum phase: where the noise goes, ALONE = nowhere */
    _Atomic bool noisy_stop;
} b;

/* ---- the sink: reads requests, answers 200 ---- */

static size_t
content_length(const char *head)
{
    const char *p = strstr(head, "content-length:");
    return p != NULL ? strtoull(p + 15, NULL, 10) : 0;
}

static void *
sink_connection(void *arg)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    int fd = (int)(intptr_t)arg;
    static __thread char piece[65536];
    char head[1024];
    size_t head_n = 0, left = 0;
    ssize_t n;
    while ((n = read(fd, piece, sizeof(piece))) > 0) {
        size_t at = 0;
        while (at < (size_t)n) {
            if (left == 0) {
                head[head_n++] = piece[at++];
                head[head_n] = '\0';
                if (head_n == sizeof(head) - 1)
                    goto out;
                if (head_n < 4 || memcmp(head + head_n - 4, "\r\n\r\n", 4) != 0)
                    continue;
                left = content_length(head);
                head_n = 0;
            }
            size_t take = left < (size_t)n - at ? left : (size_t)n - at;
            left -= take;
            at += take;
            if (left == 0 && head_n == 0 && write(fd, answer, sizeof(answer) - 1) < 0)
                goto out;
        }
    }
out:
    close(fd);
    return NULL;
}

static void *
sink_accept(void *arg)
{
    int fd = (int)(intptr_t)arg;
    for (;;) {
        pthread_t t;
        int c = accept(fd, NULL, NULL);
        if (c < 0) {
            bench_nap_ms(5);
            continue;
        }
        OX_ASSERT(pthread_create(&t, NULL, sink_connection, (void *)(intptr_t)c) == 0);
        pthread_detach(t);
    }
    return NULL;
}

static void
sink_start(void)
{
    pthread_t t;
    int fd;
    struct ox_diag diag;
    if (ox_net_listen_text(OX_STR("127.0.0.1:0"), &fd, b.sink, &diag) != OX_OK)
        bench_die(diag.text);
    OX_ASSERT(pthread_create(&t, NULL, sink_accept, (void *)(intptr_t)fd) == 0);
    pthread_detach(t);
}

/* A refusal that passes; anything else is a mistake of this program. */
static bool
may_repeat(const struct bench_reply *r)
{
    if (r->status == 200)
        return false;
    if (r->status != 429 && r->status != 503 && r->status != 0) {
        fprintf(stderr, "isolation_bench: status %d: %.*s\n", r->status, (int)r->body.n, r->body.p);
        exit(1);
    }
    return true;
}

/* ---- the noise ---- */

static void
make_pool(uint32_t spans)
{
    struct bench_source source;
    bench_source_init(&source, OX_SIGNAL_TRACES, spans, OX_ENCODING_IDENTITY, 7, bench_source_start());
    for (int i = 0; i < POOL; i++) {
        ox_buf_fini(&b.pool[i]);
        b.pool[i] = (struct ox_buf){0};
        bench_source_request(&source, &b.pool[i]);
    }
    bench_source_fini(&source);
}

/* A field that no decoder knows makes it another request: the node recognises repeats. */
static void
make_unique(struct ox_buf *body)
{
    uint64_t serial = atomic_fetch_add(&b.serial, 1);
    const struct ox_buf *from = &b.pool[serial % POOL];
    ox_buf_reset(body);
    ox_buf_append_str(body, ox_buf_str(from));
    ox_wire_put_varint(body, 1000, serial + 1);
}

static void
count_noise(const struct bench_reply *r)
{
    (void)may_repeat(r);
    atomic_fetch_add(r->status == 200 ? &b.ok : r->status == 0 ? &b.broken : &b.refused, 1);
}

static void *
noisy(void *arg)
{
    struct bench_post here, elsewhere;
    struct ox_buf body = {0};
    bench_post_open(&here, b.server.otlp);
    bench_post_open(&elsewhere, b.sink);
    snprintf(here.key, sizeof(here.key), "%s", b.keys[1]);
    while (!atomic_load(&b.noisy_stop)) {
        int target = atomic_load(&b.target);
        if (target == ALONE) {
            bench_nap_ms(5);
            continue;
        }
        make_unique(&body);
        struct bench_reply r = bench_post_send(target == NOISE ? &here : &elsewhere, OX_SIGNAL_TRACES,
                                               OX_ENCODING_IDENTITY, ox_buf_str(&body));
        count_noise(&r);
    }
    bench_post_close(&here);
    bench_post_close(&elsewhere);
    ox_buf_fini(&body);
    return NULL;
}

/* ---- the quiet tenant ---- */

/* The next request and when it is due. */
static uint64_t
quiet_next(struct ox_buf *body, uint32_t *rows)
{
    pthread_mutex_lock(&b.lock);
    uint64_t now = bench_now_ns();
    if (b.next_ns + 2000000000ull < now) /* nobody sends two seconds' worth at once */
        b.next_ns = now;
    uint64_t due = b.next_ns;
    b.next_ns += (uint64_t)(1e9 / QUIET_HZ);
    *rows = bench_source_request(&b.quiet, body);
    pthread_mutex_unlock(&b.lock);
    return due;
}

static void
quiet_done(uint64_t due_ns, uint32_t rows, uint32_t refused)
{
    double ms = (double)(bench_now_ns() - due_ns) / 1e6;
    pthread_mutex_lock(&b.lock);
    if (b.samples_n < SAMPLES_MAX)
        b.samples[b.samples_n++] = ms;
    b.quiet_rows += rows;
    b.quiet_refused += refused;
    pthread_mutex_unlock(&b.lock);
}

static void *
quiet(void *arg)
{
    struct bench_post c;
    struct ox_buf body = {0};
    bench_post_open(&c, b.server.otlp);
    snprintf(c.key, sizeof(c.key), "%s", b.keys[0]);
    while (!atomic_load(&b.quiet_stop)) {
        uint32_t rows, refused = 0;
        uint64_t due = quiet_next(&body, &rows), now;
        while ((now = bench_now_ns()) < due)
            usleep((useconds_t)((due - now) / 1000 + 1));
        for (;;) {
            struct bench_reply r =
                bench_post_send(&c, OX_SIGNAL_TRACES, OX_ENCODING_IDENTITY, ox_buf_str(&body));
            if (!may_repeat(&r))
                break;
            refused++;
            bench_nap_ms(RETRY_MS);
        }
        quiet_done(due, rows, refused);
    }
    bench_post_close(&c);
    ox_buf_fini(&body);
    return NULL;
}

/* ---- phases ---- */

static int
by_value(const void *a, const void *c)
{
    double x = *(const double *)a, y = *(const double *)c;
    return (x > y) - (x < y);
}

static double
quantile(double *v, uint32_t n, double q)
{
    if (n == 0)
        return 0;
    qsort(v, n, sizeof(*v), by_value);
    uint32_t at = (uint32_t)(q * n);
    return v[at < n ? at : n - 1];
}

static void
take_phase(struct figures *f, enum phase phase, uint32_t round)
{
    uint64_t ok = b.ok, refused = b.refused, broken = b.broken;
    atomic_store(&b.target, phase);
    bench_nap_ms(SETTLE_MS);
    pthread_mutex_lock(&b.lock);
    b.samples_n = 0;
    pthread_mutex_unlock(&b.lock);
    bench_nap_ms((int)b.seconds * 1000);
    pthread_mutex_lock(&b.lock);
    f->p50[round] = quantile(b.samples, b.samples_n, 0.5);
    f->p99[round] = quantile(b.samples, b.samples_n, 0.99);
    double worst = b.samples_n > 0 ? b.samples[b.samples_n - 1] : 0;
    f->worst = worst > f->worst ? worst : f->worst;
    pthread_mutex_unlock(&b.lock);
    atomic_store(&b.target, ALONE);
    bench_nap_ms(SETTLE_MS);
    f->ok += b.ok - ok;
    f->refused += b.refused - refused;
    f->broken += b.broken - broken;
}

/* The rows stored of the quiet tenant, once they are as many as acknowledged or the time is up. */
static uint64_t
stored_rows(uint64_t want)
{
    struct ox_storage *engine = bench_server_engine(&b.server);
    uint64_t rows = 0;
    for (int i = 0; i < DRAIN_S * 2; i++, bench_nap_ms(500)) {
        rows = (uint64_t)bench_query(engine, "SELECT count() FROM otel_traces WHERE tenant_id = 'quiet'");
        if (rows >= want)
            break;
    }
    ox_storage_close(engine);
    return rows;
}

static void
report(const struct scenario *s, struct figures *f)
{
    double p50[PHASES], p99[PHASES];
    printf("%s: %u rounds, quiet tenant %.0f requests/s of %u spans\n", s->name, b.rounds, QUIET_HZ,
           QUIET_SPANS);
    for (int p = 0; p < PHASES; p++) {
        p50[p] = quantile(f[p].p50, b.rounds, 0.5);
        p99[p] = quantile(f[p].p99, b.rounds, 0.5);
        printf("  %-16s p50 %7.1f ms, p99 %7.1f ms (from %.1f to %.1f), worst %.0f ms", phase_names[p],
               p50[p], p99[p], f[p].p99[0], f[p].p99[b.rounds - 1], f[p].worst);
        if (p != ALONE)
            printf("; noise: %llu taken, %llu refused, %llu broken", (unsigned long long)f[p].ok,
                   (unsigned long long)f[p].refused, (unsigned long long)f[p].broken);
        printf("\n");
    }
    printf("  here / alone     p50 %.2f  p99 %.2f\n  here / elsewhere p50 %.2f  p99 %.2f\n",
           p50[NOISE] / p50[ALONE], p99[NOISE] / p99[ALONE], p50[NOISE] / p50[ELSEWHERE],
           p99[NOISE] / p99[ELSEWHERE]);
}

/* As an operator gets them: `observex key dev TENANT`. */
static void
key_make(const char *tenant, char *key)
{
    char cmd[256];
    snprintf(cmd, sizeof(cmd), "'%s' key dev --data '%s' %s", b.exe, b.server.dir, tenant);
    FILE *f = popen(cmd, "r");
    if (f == NULL || fgets(key, OX_DEV_KEY_MAX, f) == NULL || pclose(f) != 0)
        bench_die(cmd);
    key[strcspn(key, "\n")] = '\0';
}

static void
run_phases(struct figures *f)
{
    pthread_t q[QUIET_SENDERS], n[NOISY_MAX];
    atomic_store(&b.quiet_stop, false);
    atomic_store(&b.noisy_stop, false);
    b.next_ns = bench_now_ns();
    for (int i = 0; i < QUIET_SENDERS; i++)
        OX_ASSERT(pthread_create(&q[i], NULL, quiet, NULL) == 0);
    for (uint32_t i = 0; i < b.noisy_n; i++)
        OX_ASSERT(pthread_create(&n[i], NULL, noisy, NULL) == 0);
    bench_nap_ms(2000); /* connections, first actors, first blocks */
    for (uint32_t r = 0; r < b.rounds; r++) {
        for (int p = 0; p < PHASES; p++)
            take_phase(&f[p], (enum phase)p, r);
    }
    atomic_store(&b.noisy_stop, true);
    for (uint32_t i = 0; i < b.noisy_n; i++)
        pthread_join(n[i], NULL);
    atomic_store(&b.quiet_stop, true);
    for (int i = 0; i < QUIET_SENDERS; i++)
        pthread_join(q[i], NULL);
}

static int
run(const struct scenario *s)
{
    static struct figures f[PHASES];
    memset(f, 0, sizeof(f));
    b.quiet_rows = b.quiet_refused = 0;
    setenv("OBSERVE_X_TEST_FAULTS", s->faults, 1);
    bench_source_init(&b.quiet, OX_SIGNAL_TRACES, QUIET_SPANS, OX_ENCODING_IDENTITY, 3, bench_source_start());
    make_pool(s->spans);
    bench_server_start(&b.server, b.exe, NULL);
    key_make("quiet", b.keys[0]);
    key_make("noisy", b.keys[1]);
    run_phases(f);
    report(s, f);
    uint64_t rows = stored_rows(b.quiet_rows);
    printf("  quiet tenant: %llu rows acknowledged, %llu stored, %llu refusals on the way\n",
           (unsigned long long)b.quiet_rows, (unsigned long long)rows, (unsigned long long)b.quiet_refused);
    bool holds = rows == b.quiet_rows;
    printf("  %-6s what was acknowledged is stored once\n", holds ? "ok" : "FAILED");
    fflush(stdout);
    bench_server_kill(&b.server);
    bench_source_fini(&b.quiet);
    return holds ? 0 : 1;
}

int
main(int argc, char **argv)
{
    const char *only = NULL;
    int code = 0;
    b.exe = argc > 1 && argv[1][0] != '-' ? argv[1] : "build/observex";
    b.rounds = 5;
    b.seconds = 4;
    b.noisy_n = 16;
    for (int i = argc > 1 && argv[1][0] != '-' ? 2 : 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--scenario") == 0)
            only = argv[i + 1];
        else if (strcmp(argv[i], "--rounds") == 0)
            b.rounds = (uint32_t)atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--seconds") == 0)
            b.seconds = (uint32_t)atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--connections") == 0)
            b.noisy_n = (uint32_t)atoi(argv[i + 1]);
    }
    b.rounds = b.rounds < 1 ? 1 : b.rounds < ROUNDS_MAX ? b.rounds : ROUNDS_MAX;
    b.noisy_n = b.noisy_n < NOISY_MAX ? b.noisy_n : NOISY_MAX;
    b.samples = calloc(SAMPLES_MAX, sizeof(*b.samples));
    OX_ASSERT(b.samples != NULL);
    pthread_mutex_init(&b.lock, NULL);
    sink_start();
    for (size_t i = 0; i < OX_COUNT(scenarios); i++) {
        if (only == NULL || strcmp(only, scenarios[i].name) == 0)
            code |= run(&scenarios[i]);
    }
    free(b.samples);
    return code;
}
