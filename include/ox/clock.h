/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/clock.h - the one way to learn the time.
 *
 * Owns:    a virtual clock owns its three numbers; the real clock is static.
 * Threads: reading from any; advancing a virtual clock from one thread at a time.
 */
#ifndef OX_CLOCK_H
#define OX_CLOCK_H

#include <pthread.h>
#include <stdatomic.h>

#include "ox/base.h"

struct ox_clock {
    /* Nanoseconds that only grow; their zero means nothing. */
    uint64_t (*monotonic_ns)(const struct ox_clock *clock);
    /* Nanoseconds since 1970-01-01 00:00 UTC. */
    uint64_t (*realtime_ns)(const struct ox_clock *clock);
    /* Nanoseconds of processor time that a thread has used; 0 when that cannot be told. The thread must not have been joined. */
    uint64_t (*thread_cpu_ns)(const struct ox_clock *clock, pthread_t thread);
};

/* The machine's clocks. Static. */
const struct ox_clock *ox_clock_real(void);

static inline uint64_t
ox_clock_monotonic_ns(const struct ox_clock *clock)
{
    return clock->monotonic_ns(clock);
}

static inline uint64_t
ox_clock_realtime_ns(const struct ox_clock *clock)
{
    return clock->realtime_ns(clock);
}

static inline uint64_t
ox_clock_thread_cpu_ns(const struct ox_clock *clock, pthread_t thread)
{
    return clock->thread_cpu_ns != NULL ? clock->thread_cpu_ns(clock, thread) : 0;
}

/* A clock that stands still until a test advances it. */
struct ox_clock_virtual {
    struct ox_clock clock; /* first: &v->clock is what others are given */
    _Atomic uint64_t mono_ns;
    _Atomic uint64_t real_ns;
    _Atomic uint64_t cpu_ns; /* of every thread */
};

void ox_clock_virtual_init(struct ox_clock_virtual *v, uint64_t mono_ns, uint64_t real_ns);
/* Moves both times forward. */
void ox_clock_virtual_advance(struct ox_clock_virtual *v, uint64_t ns);
/* Lets every thread have used so much more of its processor; the times stay. */
void ox_clock_virtual_spend(struct ox_clock_virtual *v, uint64_t ns);
/* Makes the wall clock jump, back as well as forward; the monotonic one stays. */
void ox_clock_virtual_jump(struct ox_clock_virtual *v, int64_t ns);

/* "2026-01-02T03:04:05.123456789Z" */
#define OX_RFC3339_LEN 30
void ox_clock_rfc3339(uint64_t realtime_ns, char out[OX_RFC3339_LEN + 1]);

#endif
