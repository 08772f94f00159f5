/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/sampler_bench.c - what tail sampling costs: CPU per span that waits and per trace that is decided, bytes per
 * waiting span.
 *
 * Owns:    a trace buffer and BATCHES generated batches.
 * Threads: one.
 *
 * The load of the other benchmarks (24 services, spans with 12 attributes, some 8 spans to a trace), decoded already,
 * at PER_S spans per second of virtual time; so what waits is what would wait at that load. The rules are those of
 * policies/sampling_tenth.yaml and ten more with attributes, since every clause is asked of every span.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "actors/sampler/trace_buffer.h"
#include "bench/telemetry_gen.h"

#define BATCH   1000u
#define BATCHES 1000u
#define PER_S   50000u
#define ROUNDS  3
#define T0      1700000000000000000ull

static uint64_t kept_spans, decided_spans, decided_traces, calls;

static void
count(void *arg, const struct ox_trace_decided *d)
{
    decided_traces++;
    decided_spans += d->n_spans;
    kept_spans += d->decision.kept ? d->n_spans : 0;
    calls += d->n_calls;
}

static uint64_t
cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static struct ox_sampling_set *
read_rules(bool more)
{
    struct ox_buf text = {0};
    struct ox_config_report report;
    struct ox_sampling_set *set;
    ox_buf_append_cstr(&text, "sampling:\n  default:\n    rates: [{probability: 0.1}]\n"
                              "    minimum: {per_operation: 1, per_service: 10}\n    keep:\n"
                              "      - {name: errors, if: {status: error}}\n"
                              "      - {name: slow, if: {percentile: 99}}\n"
                              "      - {name: rare, if: {any: [{rare_operation: 10}, {rare_edge: 10}]}}\n"
                              "      - {name: head, if: {head: true}}\n");
    for (int i = 0; more && i < 10; i++)
        ox_buf_printf(&text, "      - {name: r%d, if: {service: 'x%d*', attribute: k%d, values: [a, b*]}}\n",
                      i, i, i);
    ox_config_report_init(&report);
    ox_err err = ox_sampling_read(ox_buf_str(&text), "bench", &set, &report);
    OX_ASSERT(err == OX_OK);
    ox_config_report_fini(&report);
    ox_buf_fini(&text);
    return set;
}

static void
round_of(struct ox_batch **batches, const char *name, bool more)
{
    static const struct ox_tenant_id tenant = {.name = "bench"};
    struct ox_sampling_set *set = read_rules(more);
    struct ox_trace_buffer_options o;
    struct ox_trace_buffer *b;
    uint64_t add = 0, tick = 0, step = 1000000000ull * BATCH / PER_S;
    size_t bytes = 0;
    uint32_t spans = 0, traces = 0;
    kept_spans = decided_spans = decided_traces = calls = 0;
    ox_trace_buffer_options_default(&o);
    ox_err err = ox_trace_buffer_new(&o, ox_sampling_of(set, &tenant), T0, count, NULL, &b);
    OX_ASSERT(err == OX_OK);
    size_t empty = ox_trace_buffer_bytes(b);
    for (uint32_t i = 0; i < BATCHES; i++) {
        uint64_t t0 = cpu_ns();
        ox_trace_buffer_add(b, batches[i], T0 + i * step);
        uint64_t t1 = cpu_ns();
        ox_trace_buffer_tick(b, T0 + i * step, UINT32_MAX);
        add += t1 - t0;
        tick += cpu_ns() - t1;
        if (ox_trace_buffer_spans(b) > spans) {
            spans = ox_trace_buffer_spans(b);
            traces = ox_trace_buffer_traces(b);
            bytes = ox_trace_buffer_bytes(b) - empty;
        }
    }
    printf("%-24s add %4.0f ns/span, decide %5.0f ns/trace (%.1f spans), together %.2f M spans/s and core; "
           "at most %u spans of %u traces waited, %.0f bytes each; kept %.1f %%, %.2f calls/trace\n",
           name, (double)add / BATCH / BATCHES, (double)tick / (double)decided_traces,
           (double)decided_spans / (double)decided_traces,
           1e3 / ((double)add / BATCH / BATCHES + (double)tick / (double)decided_spans), spans, traces,
           (double)bytes / spans, 100.0 * (double)kept_spans / (double)decided_spans,
           (double)calls / (double)decided_traces);
    ox_trace_buffer_free(b);
    ox_sampling_free(set);
}

int
main(void)
{
    static struct ox_batch *batches[BATCHES];
    struct telemetry_gen gen;
    uint64_t step = 1000000000ull * BATCH / PER_S;
    gen_init(&gen, 1, T0);
    for (uint32_t i = 0; i < BATCHES; i++) {
        batches[i] = gen_spans(&gen, BATCH, step);
        batches[i]->wal_seq = i + 1;
        batches[i]->received_ns = T0 + (i + 1) * step;
    }
    for (int r = 0; r < ROUNDS; r++) {
        round_of(batches, "rules of a tenth", false);
        round_of(batches, "and ten more of spans", true);
    }
    for (uint32_t i = 0; i < BATCHES; i++)
        ox_batch_free(batches[i]);
    return 0;
}
