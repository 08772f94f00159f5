/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/server.h - a whole `observex serve` on a fresh data directory, and what it costs.
 *
 * Owns:    the process and the directory, until bench_server_stop.
 * Threads: one owner; the figures may be read by any thread.
 */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include <sys/types.h>

#include "ox/base.h"

struct ox_storage;

struct bench_server {
    pid_t heart;
    int node, engine;
    char dir[64], otlp[64], api[64];
};

/* Prints `what` with errno and ends the process. */
OX_NORETURN void bench_die(const char *what);
uint64_t bench_now_ns(void);
void bench_nap_ms(int ms);

/* config: path of a configuration file, or NULL. Returns when it accepts traffic. */
void bench_server_start(struct bench_server *s, const char *exe, const char *config);
/* Reads the ready file again: node and engine may have been restarted. */
void bench_server_refresh(struct bench_server *s);
void bench_server_stop(struct bench_server *s);
/* Without waiting for what is not stored yet. */
void bench_server_kill(struct bench_server *s);
/* A client of its engine with all rights. */
struct ox_storage *bench_server_engine(const struct bench_server *s);

/* Of a process: user plus system seconds; peak and present resident MiB. */
double bench_cpu_s(int pid);
double bench_peak_mib(int pid);
double bench_rss_mib(int pid);
/* A sample of /metrics by its whole name with labels; 0 when it is not there yet. */
double bench_server_metric(const struct bench_server *s, const char *sample);
/* Confirmed rows of a signal. */
uint64_t bench_server_stored(const struct bench_server *s, enum ox_signal signal);
/* The first column of the first row of a statement. */
double bench_query(struct ox_storage *st, const char *sql);

#endif
