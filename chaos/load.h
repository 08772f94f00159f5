/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/load.h - clients of all tenants and signals, that send until they are told to pause and keep account of
 * what they were told.
 *
 * Owns:    one thread and one connection per lane.
 * Threads: see chaos/ids.h; the figures may be read at any time.
 */
#ifndef CHAOS_LOAD_H
#define CHAOS_LOAD_H

#include <pthread.h>
#include <stdatomic.h>

#include "chaos/ids.h"
#include "chaos/server.h"

struct chaos_load {
    /* filled by the caller */
    const struct chaos_scenario *scenario;
    struct chaos_server *server;
    struct chaos_ids *ids;
    /* figures, in requests */
    _Atomic uint64_t acked, refused, broken, retried, partial;
    _Atomic uint64_t last_ack_ns; /* monotonic; 0 = none yet */
    _Atomic uint64_t wait_max_ns; /* slowest answer since load_resume */
    _Atomic bool abandon;
    /* under lock */
    pthread_mutex_t lock;
    pthread_cond_t change;
    int last_refusal; /* status of the latest refusal, 0 = none */
    char last_reason[256];
    bool paused, stop;
    uint32_t resting; /* senders that have nothing under way */
    uint32_t n;
    pthread_t threads[CHAOS_LANES_MAX];
};

/* Starts the senders, paused. */
void chaos_load_start(struct chaos_load *l);
void chaos_load_resume(struct chaos_load *l);
/* The same, and requests without an answer are given up instead of sent again: for when nobody is there. */
void chaos_load_abandon(struct chaos_load *l);
/* Returns when no request is under way. */
void chaos_load_pause(struct chaos_load *l);
void chaos_load_stop(struct chaos_load *l);
/* Status and text of the latest refusal, in words. */
void chaos_load_why(struct chaos_load *l, char *out, size_t n);

#endif
