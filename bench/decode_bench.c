/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/decode_bench.c - wire to batch against protobuf-c with an arena allocator: ns of CPU per record.
 *
 *   decode_bench [--rounds N]
 *
 * Method:  the same requests of 1,000 records, both sides with memory that was used before: the batch is reset
 *          and filled again, the arena is a pointer that goes back to its begin. The batch
 *          decoder checks UTF-8 and limits as well, protobuf-c does not: its side does less. Rounds of the two
 *          alternate; the figure is the median.
 *
 * Owns:    the requests and the arena.
 * Threads: main.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/source.h"
#include "opentelemetry/proto/collector/logs/v1/logs_service.pb-c.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb-c.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "ox/otlp.h"

#define REQUESTS    32u
#define PER_REQUEST 1000u
#define ARENA_BYTES (64u << 20)
#define ROUNDS      15u
#define PASSES      4u /* over all requests in one round */

struct arena {
    char *base;
    size_t used;
};

struct requests {
    enum ox_signal signal;
    struct ox_body *bodies[REQUESTS];
    uint64_t records, bytes;
};

static uint64_t
cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static void *
arena_alloc(void *data, size_t n)
{
    struct arena *a = data;
    size_t at = (a->used + 15) & ~(size_t)15;
    OX_ASSERT(at + n <= ARENA_BYTES);
    a->used = at + n;
    return a->base + at;
}

static void
arena_free(void *data, void *p)
{
}

static void
make_requests(struct requests *r, enum ox_signal signal)
{
    static struct bench_source source;
    struct ox_buf wire = {0};
    *r = (struct requests){.signal = signal};
    bench_source_init(&source, signal, PER_REQUEST, OX_ENCODING_IDENTITY, 3, bench_source_start());
    for (uint32_t i = 0; i < REQUESTS; i++) {
        r->records += bench_source_request(&source, &wire);
        r->bytes += wire.len;
        r->bodies[i] = ox_body_new(wire.len, NULL);
        OX_ASSERT(r->bodies[i] != NULL);
        memcpy(r->bodies[i]->data, wire.data, wire.len);
        r->bodies[i]->len = wire.len;
    }
    ox_buf_fini(&wire);
    bench_source_fini(&source);
}

static double
ours(const struct requests *r, struct ox_batch *batch)
{
    struct ox_decode_limits limits;
    struct ox_diag diag;
    uint64_t rows = 0, t0 = cpu_ns();
    ox_decode_limits_default(&limits);
    for (uint32_t i = 0; i < REQUESTS * PASSES; i++) {
        ox_batch_reset(batch);
        OX_ASSERT(ox_otlp_decode(r->signal, r->bodies[i % REQUESTS], &limits, batch, &diag) == OX_OK);
        rows += batch->n_records;
    }
    OX_ASSERT(rows == r->records * PASSES);
    return (double)(cpu_ns() - t0) / (double)rows;
}

static size_t
unpack(enum ox_signal signal, ProtobufCAllocator *alloc, const struct ox_body *body)
{
    switch (signal) {
    case OX_SIGNAL_TRACES:
        return opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack(
                   alloc, body->len, body->data)
            ->n_resource_spans;
    case OX_SIGNAL_LOGS:
        return opentelemetry__proto__collector__logs__v1__export_logs_service_request__unpack(
                   alloc, body->len, body->data)
            ->n_resource_logs;
    default:
        return opentelemetry__proto__collector__metrics__v1__export_metrics_service_request__unpack(
                   alloc, body->len, body->data)
            ->n_resource_metrics;
    }
}

static double
theirs(const struct requests *r, struct arena *arena)
{
    ProtobufCAllocator alloc = {arena_alloc, arena_free, arena};
    uint64_t t0 = cpu_ns();
    for (uint32_t i = 0; i < REQUESTS * PASSES; i++) {
        arena->used = 0;
        OX_ASSERT(unpack(r->signal, &alloc, r->bodies[i % REQUESTS]) > 0);
    }
    return (double)(cpu_ns() - t0) / (double)(r->records * PASSES);
}

static int
by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void
measure(enum ox_signal signal, uint32_t rounds, struct arena *arena)
{
    struct requests r;
    double our[ROUNDS], their[ROUNDS];
    struct ox_batch *batch = ox_batch_new();
    OX_ASSERT(batch != NULL);
    make_requests(&r, signal);
    ours(&r, batch); /* warms up both */
    theirs(&r, arena);
    for (uint32_t i = 0; i < rounds; i++) {
        our[i] = ours(&r, batch);
        their[i] = theirs(&r, arena);
    }
    qsort(our, rounds, sizeof(our[0]), by_size);
    qsort(their, rounds, sizeof(their[0]), by_size);
    double a = our[rounds / 2], b = their[rounds / 2];
    printf("decode %-8s batch %6.1f ns  protobuf-c %7.1f ns per record of %.0f bytes   (%.0f MB/s)   ratio "
           "%.1f\n",
           ox_signal_name(signal), a, b, (double)r.bytes / (double)r.records,
           (double)r.bytes / (double)r.records / a * 1000, b / a);
    for (uint32_t i = 0; i < REQUESTS; i++)
        ox_body_drop(r.bodies[i]);
    ox_batch_free(batch);
}

int
main(int argc, char **argv)
{
    uint32_t rounds = argc == 3 && strcmp(argv[1], "--rounds") == 0 ? (uint32_t)atoi(argv[2]) : ROUNDS;
    struct arena arena = {.base = malloc(ARENA_BYTES)};
    OX_ASSERT(arena.base != NULL && rounds > 0 && rounds <= ROUNDS);
    memset(arena.base, 0, ARENA_BYTES);
    for (int s = 0; s < OX_SIGNAL__COUNT; s++)
        measure((enum ox_signal)s, rounds, &arena);
    free(arena.base);
    return 0;
}
