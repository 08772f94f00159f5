/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/node_part.h - gateway and log in this process, with writers that count and forget.
 *
 * Owns:    the node and its runtime, from start to stop.
 * Threads: main, the runtime's.
 */
#ifndef BENCH_NODE_PART_H
#define BENCH_NODE_PART_H

#include "ox/gateway.h"
#include "ox/journal.h"
#include "ox/spine.h"
#include "ox/wal.h"

struct bench_node {
    struct ox_config config;
    struct ox_node node;
    struct ox_recovery recovered;
    struct ox_journal *wal;
    struct ox_wal_arg wal_arg;
    struct ox_gateway *gateway;
};

/* Ends the process with a sentence unless err is OK. */
void bench_must(ox_err err, const struct ox_diag *diag);
/* Opens the journals in `dir`. interval: wal.ack of the configuration. */
void bench_node_open(struct bench_node *p, const char *dir, bool interval);
/* Starts the actors. fds: listening, OTLP/HTTP and OTLP/gRPC. log: stands in for the log's actor (its argument is the
 * node); NULL = the log. */
void bench_node_start(struct bench_node *p, const int fds[2], const struct ox_actor_class *log);
void bench_node_stop(struct bench_node *p);
/* Rows that have come through to the writers. */
uint64_t bench_node_rows(void);

#endif
