/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/telemetry_gen.h - batches that look like the telemetry of a shop of 24 services.
 *
 * Owns:    struct telemetry_gen: the state of traces and series from batch to batch.
 * Threads: one owner at a time.
 *
 * The same seed gives the same batches. One batch is what one SDK exports at a time: one resource, two
 * scopes. Spans: 12 attributes, some 8 spans to a trace, every tenth with an event. Logs: text with ids in
 * it, 4 attributes, two of three with a trace. Points: 20 metrics of each service, 3 attributes, counters and
 * gauges, every 10 s with the jitter of a timer.
 */
#ifndef BENCH_TELEMETRY_GEN_H
#define BENCH_TELEMETRY_GEN_H

#include "ox/batch.h"

#define GEN_SERVICES    24
#define GEN_METRICS     20
#define GEN_POINTS_EACH 4 /* series per metric and service */
#define GEN_SERIES      (GEN_SERVICES * GEN_METRICS * GEN_POINTS_EACH)
#define GEN_TRACES      512

struct telemetry_gen {
    uint64_t rng;
    uint64_t now_ns;
    uint32_t service; /* of the next batch */
    struct {
        uint8_t id[16];
        uint8_t span[8];
        uint32_t left;
        uint64_t start_ns;
    } traces[GEN_TRACES];
    double values[GEN_SERIES];
    char *text; /* bump pointer in the batch's body */
    struct ox_batch *batch;
};

void gen_init(struct telemetry_gen *gen, uint64_t seed, uint64_t start_ns);
/* A new batch of n rows; step_ns: how far the clock moves on. The caller frees it. */
struct ox_batch *gen_spans(struct telemetry_gen *gen, uint32_t n, uint64_t step_ns);
struct ox_batch *gen_logs(struct telemetry_gen *gen, uint32_t n, uint64_t step_ns);
/* All series of one service: GEN_METRICS * GEN_POINTS_EACH points; the clock moves on after the last service.
 */
struct ox_batch *gen_points(struct telemetry_gen *gen, uint64_t step_ns);

#endif
