/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/load.c - the load: generate under a lock, send beside one another.
 *
 * Owns:    see load.h.
 * Threads: see load.h.
 * Fails:   an answer other than 200, 429 and 503 ends the process.
 */
#include "bench/load.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench/post.h"
#include "bench/server.h"

#define RETRY_MS 20

static bool
next_request(struct bench_load *l, struct ox_buf *out)
{
    pthread_mutex_lock(&l->lock);
    bool more = l->made < l->records;
    if (more) {
        l->made += bench_source_request(&l->source, out);
        l->wire_bytes += out->len;
    }
    pthread_mutex_unlock(&l->lock);
    return more;
}

static void
keep_latency(struct bench_load *l, uint64_t began_ns)
{
    uint64_t us = (bench_now_ns() - began_ns) / 1000;
    uint32_t at = atomic_fetch_add_explicit(&l->n_latency, 1, memory_order_relaxed);
    if (l->latency_us != NULL && at < l->latency_max)
        l->latency_us[at] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static void *
send_loop(void *arg)
{
    struct bench_load *l = arg;
    struct bench_post c;
    struct ox_buf body = {0};
    bench_post_open(&c, l->host);
    while (next_request(l, &body)) {
        for (;;) {
            uint64_t began_ns = bench_now_ns();
            struct bench_reply r =
                bench_post_send(&c, l->source.signal, l->source.encoding, ox_buf_str(&body));
            if (r.status == 200) {
                keep_latency(l, began_ns);
                break;
            }
            if (r.status != 429 && r.status != 503 && r.status != 0) {
                fprintf(stderr, "bench: status %d: %.*s\n", r.status, (int)r.body.n, r.body.p);
                exit(1);
            }
            atomic_fetch_add_explicit(&l->refused, 1, memory_order_relaxed);
            bench_nap_ms(RETRY_MS);
        }
    }
    bench_post_close(&c);
    ox_buf_fini(&body);
    return NULL;
}

void
bench_load_start(struct bench_load *l)
{
    l->made = l->wire_bytes = 0;
    l->refused = 0;
    l->n_latency = 0;
    pthread_mutex_init(&l->lock, NULL);
    OX_ASSERT(l->connections <= BENCH_CONNECTIONS_MAX);
    for (uint32_t i = 0; i < l->connections; i++)
        OX_ASSERT(pthread_create(&l->threads[i], NULL, send_loop, l) == 0);
}

void
bench_load_end(struct bench_load *l)
{
    pthread_mutex_lock(&l->lock);
    l->records = 0;
    pthread_mutex_unlock(&l->lock);
}

void
bench_load_join(struct bench_load *l)
{
    for (uint32_t i = 0; i < l->connections; i++)
        pthread_join(l->threads[i], NULL);
    pthread_mutex_destroy(&l->lock);
}
