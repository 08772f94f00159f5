/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/load.h - connections that send generated requests until each record is acknowledged.
 *
 * Owns:    threads, from start to join.
 * Threads: one per connection; the figures are final after bench_load_join.
 * Bounds:  LOAD_CONNECTIONS_MAX.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <pthread.h>
#include <stdatomic.h>

#include "bench/source.h"

#define BENCH_CONNECTIONS_MAX 64

struct bench_load {
    /* filled by the caller */
    char host[64];
    uint32_t connections;
    uint64_t records; /* to send */
    struct bench_source source;
    uint32_t
        *latency_us; /* NULL, or room for latency_max requests: from the first byte to the whole answer */
    uint32_t latency_max;
    /* figures */
    _Atomic uint32_t n_latency; /* answered with 200; those past latency_max are not kept */
    uint64_t made;
    uint64_t wire_bytes;      /* sent, as compressed */
    _Atomic uint64_t refused; /* requests that were tried again */
    /* private */
    pthread_mutex_t lock;
    pthread_t threads[BENCH_CONNECTIONS_MAX];
};

void bench_load_start(struct bench_load *l);
/* No request is begun after this. */
void bench_load_end(struct bench_load *l);
void bench_load_join(struct bench_load *l);

#endif
