/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/clock.c - the real clock, and the virtual one for tests and simulation.
 *
 * Owns:    nothing; a virtual clock is its caller's.
 * Threads: any reads; one at a time advances.
 * Flow:    ox/clock.h -> here -> clock_gettime.
 */
#include "ox/clock.h"

#include <stdio.h>
#include <time.h>

#define NS_PER_S 1000000000ull

static uint64_t
read_clock(clockid_t id)
{
    struct timespec ts;
    if (clock_gettime(id, &ts) != 0) /* only of a thread that has ended */
        return 0;
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static uint64_t
real_monotonic(const struct ox_clock *clock)
{
    return read_clock(CLOCK_MONOTONIC);
}

static uint64_t
real_realtime(const struct ox_clock *clock)
{
    return read_clock(CLOCK_REALTIME);
}

static uint64_t
real_thread_cpu(const struct ox_clock *clock, pthread_t thread)
{
    clockid_t id;
    return pthread_getcpuclockid(thread, &id) == 0 ? read_clock(id) : 0;
}

const struct ox_clock *
ox_clock_real(void)
{
    static const struct ox_clock real = {real_monotonic, real_realtime, real_thread_cpu};
    return &real;
}

/* relaxed: a lone number; whoever must see an advance is woken by other means, which order it. */
static uint64_t
virtual_monotonic(const struct ox_clock *clock)
{
    const struct ox_clock_virtual *v = (const struct ox_clock_virtual *)clock;
    return atomic_load_explicit(&v->mono_ns, memory_order_relaxed);
}

static uint64_t
virtual_realtime(const struct ox_clock *clock)
{
    const struct ox_clock_virtual *v = (const struct ox_clock_virtual *)clock;
    return atomic_load_explicit(&v->real_ns, memory_order_relaxed);
}

static uint64_t
virtual_thread_cpu(const struct ox_clock *clock, pthread_t thread)
{
    const struct ox_clock_virtual *v = (const struct ox_clock_virtual *)clock;
    return atomic_load_explicit(&v->cpu_ns, memory_order_relaxed);
}

void
ox_clock_virtual_init(struct ox_clock_virtual *v, uint64_t mono_ns, uint64_t real_ns)
{
    v->clock.monotonic_ns = virtual_monotonic;
    v->clock.realtime_ns = virtual_realtime;
    v->clock.thread_cpu_ns = virtual_thread_cpu;
    atomic_init(&v->mono_ns, mono_ns);
    atomic_init(&v->real_ns, real_ns);
    atomic_init(&v->cpu_ns, 0);
}

void
ox_clock_virtual_advance(struct ox_clock_virtual *v, uint64_t ns)
{
    atomic_fetch_add_explicit(&v->mono_ns, ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&v->real_ns, ns, memory_order_relaxed);
}

void
ox_clock_virtual_spend(struct ox_clock_virtual *v, uint64_t ns)
{
    atomic_fetch_add_explicit(&v->cpu_ns, ns, memory_order_relaxed);
}

void
ox_clock_virtual_jump(struct ox_clock_virtual *v, int64_t ns)
{
    atomic_fetch_add_explicit(&v->real_ns, (uint64_t)ns, memory_order_relaxed);
}

static void
put_digits(char *out, unsigned value, int n)
{
    for (int i = n - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

void
ox_clock_rfc3339(uint64_t realtime_ns, char out[OX_RFC3339_LEN + 1])
{
    time_t seconds = (time_t)(realtime_ns / NS_PER_S);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    memcpy(out, "0000-00-00T00:00:00.000000000Z", OX_RFC3339_LEN + 1);
    put_digits(out, (unsigned)(tm.tm_year + 1900), 4);
    put_digits(out + 5, (unsigned)(tm.tm_mon + 1), 2);
    put_digits(out + 8, (unsigned)tm.tm_mday, 2);
    put_digits(out + 11, (unsigned)tm.tm_hour, 2);
    put_digits(out + 14, (unsigned)tm.tm_min, 2);
    put_digits(out + 17, (unsigned)tm.tm_sec, 2);
    put_digits(out + 20, (unsigned)(realtime_ns % NS_PER_S), 9);
}
