/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/source.h - a stream of generated requests of one signal, as an exporter or a collector sends them.
 *
 * Owns:    the generator and one scratch buffer.
 * Threads: one owner at a time.
 */
#ifndef BENCH_SOURCE_H
#define BENCH_SOURCE_H

#include "bench/telemetry_gen.h"
#include "ox/buf.h"
#include "ox/compress.h"

struct bench_source {
    enum ox_signal signal;
    uint32_t per_request; /* records; for metrics rounded up to whole services of 80 points */
    enum ox_encoding encoding;
    struct telemetry_gen gen;
    struct ox_buf wire; /* before compression */
    uint64_t wire_bytes;
};

/* seed: the same one gives the same requests. start_ns: Unix time of the first record. */
void bench_source_init(struct bench_source *s, enum ox_signal signal, uint32_t per_request,
                       enum ox_encoding encoding, uint64_t seed, uint64_t start_ns);
void bench_source_fini(struct bench_source *s);
/* A time in the accepted window that leaves a minute of generated time in its hour. */
uint64_t bench_source_start(void);
/* The next batch of the generator; the caller frees it. */
struct ox_batch *bench_source_batch(struct bench_source *s);
/* Replaces the content of `out` by the next request, compressed as asked; returns its records. */
uint32_t bench_source_request(struct bench_source *s, struct ox_buf *out);
/* 't', 'l' or 'm' as in "traces", "logs", "metrics". */
enum ox_signal bench_signal(const char *name);

#endif
