/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/restart_bench.c - how long a crash keeps others waiting.
 *
 *   restart_bench [OBSERVEX] [--faults N] [--panics N]
 *
 * Method:  (a) `observex serve` under a light load from one connection; its node gets SIGSEGV, again and again, each
 *          time after it has acknowledged for QUIET_MS. Counted from the signal to the first acknowledgement of a
 *          request that was sent after it: crash record, death, the heart's backoff, recovery of both journals, the
 *          first group commit. Whatever was acknowledged is then looked for in storage. (b) An actor under a supervisor
 *          fails a check; counted from there to the end of its next on_start, with the least backoff that can be
 *          configured, and with the default of 100 ms, which the first crash in a window waits for.
 *
 * Owns:    the server.
 * Threads: main.
 * Fails:   exit code 1 when an acknowledged row is missing or stored twice, or the node does not come back.
 */
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/post.h"
#include "bench/server.h"
#include "bench/source.h"
#include "ox/actor.h"
#include "ox/log.h"
#include "ox/runtime.h"
#include "ox/storage.h"
#include "ox/supervisor.h"

#define QUIET_MS    2500 /* past heart.quiet: the node counts as well again, the backoff begins anew */
#define BACK_S      60
#define DRAIN_S     120
#define SAMPLES_MAX 1000
#define PER_REQUEST 20u

static double samples[SAMPLES_MAX];

static int
by_value(const void *a, const void *c)
{
    double x = *(const double *)a, y = *(const double *)c;
    return (x > y) - (x < y);
}

static void
print(const char *what, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += samples[i];
    qsort(samples, n, sizeof(*samples), by_value);
    printf("  %-48s mean %8.2f ms, median %8.2f ms, worst %8.2f ms of %u\n", what, sum / n, samples[n / 2],
           samples[n - 1], n);
    fflush(stdout);
}

/* ---- (a) faults ---- */

static struct bench_server server;
static struct bench_source source;
static uint64_t acknowledged;

/* One request, repeated until it is acknowledged or the time is up. */
static bool
post_one(struct bench_post *c, struct ox_buf *body)
{
    uint32_t rows = bench_source_request(&source, body);
    uint64_t until = bench_now_ns() + BACK_S * 1000000000ull;
    while (bench_now_ns() < until) {
        struct bench_reply r = bench_post_send(c, OX_SIGNAL_LOGS, OX_ENCODING_IDENTITY, ox_buf_str(body));
        if (r.status == 200) {
            acknowledged += rows;
            return true;
        }
        bench_nap_ms(1);
    }
    return false;
}

static bool
fault(struct bench_post *c, struct ox_buf *body, double *ms)
{
    for (uint64_t until = bench_now_ns() + QUIET_MS * 1000000ull; bench_now_ns() < until; bench_nap_ms(20)) {
        if (!post_one(c, body))
            return false;
    }
    bench_server_refresh(&server);
    uint64_t t0 = bench_now_ns();
    if (kill(server.node, SIGSEGV) != 0)
        bench_die("kill");
    if (!post_one(c, body))
        return false;
    *ms = (double)(bench_now_ns() - t0) / 1e6;
    return true;
}

static uint64_t
stored(void)
{
    struct ox_storage *engine = bench_server_engine(&server);
    uint64_t rows = 0;
    for (int i = 0; i < DRAIN_S * 2 && rows < acknowledged; i++, bench_nap_ms(500))
        rows = (uint64_t)bench_query(engine, "SELECT count() FROM otel_logs WHERE tenant_id = 'default'");
    ox_storage_close(engine);
    return rows;
}

static int
faults(const char *exe, uint32_t n)
{
    struct bench_post c;
    struct ox_buf body = {0};
    bench_source_init(&source, OX_SIGNAL_LOGS, PER_REQUEST, OX_ENCODING_IDENTITY, 9, bench_source_start());
    bench_server_start(&server, exe, NULL);
    bench_post_open(&c, server.otlp);
    for (uint32_t i = 0; i < n; i++) {
        if (!fault(&c, &body, &samples[i])) {
            fprintf(stderr, "restart_bench: no acknowledgement for %d s after fault %u\n", BACK_S, i);
            return 1;
        }
    }
    print("fault of the node to the first acknowledgement", n);
    uint64_t rows = stored();
    printf("  %-6s %llu rows acknowledged, %llu stored\n", rows == acknowledged ? "ok" : "FAILED",
           (unsigned long long)acknowledged, (unsigned long long)rows);
    bench_post_close(&c);
    ox_buf_fini(&body);
    bench_source_fini(&source);
    bench_server_stop(&server);
    return rows == acknowledged ? 0 : 1;
}

/* ---- (b) panics ---- */

enum { KIND_PANIC = 1 };

static sem_t started;
static uint64_t failed_ns, started_ns;

static ox_err
patient_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    started_ns = bench_now_ns();
    sem_post(&started);
    return OX_OK;
}

static void
patient_message(struct ox_actor *self, struct ox_msg *msg)
{
    failed_ns = bench_now_ns();
    ox_panic("as the benchmark asked");
}

static const struct ox_actor_class patient = {
    .name = "patient", .on_start = patient_start, .on_message = patient_message};

static void
must(ox_err err, const struct ox_diag *diag)
{
    if (err == OX_OK)
        return;
    fprintf(stderr, "restart_bench: %s %s\n", ox_err_text(err), diag->text);
    exit(1);
}

/* A window of 1 ms: no crash counts for the next one. */
static void
panics(const char *what, uint32_t backoff_ms, uint32_t n)
{
    struct ox_sup_spec sup = {.name = "ward",
                              .max_restarts = 1000000,
                              .window_ms = 1,
                              .backoff_min_ms = backoff_ms,
                              .backoff_max_ms = backoff_ms};
    struct ox_child_spec child = {.id = "patient", .class = &patient};
    struct ox_runtime_options options = {.loops = 2};
    struct ox_diag diag;
    ox_pid ward, pid;
    ox_diag_clear(&diag);
    sem_init(&started, 0, 0);
    must(ox_runtime_start(&options, &diag), &diag);
    must(ox_sup_start(&sup, &ward, &diag), &diag);
    must(ox_sup_add_wait(ward, &child, &pid, &diag), &diag);
    sem_wait(&started);
    for (uint32_t i = 0; i < n; i++) {
        must(ox_cast(pid, KIND_PANIC, 0), &diag);
        sem_wait(&started);
        samples[i] = (double)(started_ns - failed_ns) / 1e6;
    }
    ox_runtime_stop();
    print(what, n);
}

int
main(int argc, char **argv)
{
    const char *exe = argc > 1 && argv[1][0] != '-' ? argv[1] : "build/observex";
    uint32_t n_faults = 10, n_panics = 200;
    for (int i = argc > 1 && argv[1][0] != '-' ? 2 : 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--faults") == 0)
            n_faults = (uint32_t)atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--panics") == 0)
            n_panics = (uint32_t)atoi(argv[i + 1]);
    }
    n_faults = n_faults < SAMPLES_MAX ? n_faults : SAMPLES_MAX;
    n_panics = n_panics < SAMPLES_MAX ? n_panics : SAMPLES_MAX;
    ox_log_set_level(OX_LOG_FATAL);
    printf("restart\n");
    if (n_panics > 0) {
        panics("panic to restarted actor, backoff 1 ms", 1, n_panics);
        panics("panic to restarted actor, default backoff 100 ms", 100, n_panics / 10 + 1);
    }
    return n_faults > 0 ? faults(exe, n_faults) : 0;
}
