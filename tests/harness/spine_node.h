/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/spine_node.h - traffic of one tenant that can be counted, for the server of serve.h.
 *
 * Owns:    what was acknowledged.
 * Threads: the test's.
 * Bounds:  SPINE_REQUESTS_MAX requests of SPINE_PER_REQUEST records.
 *
 * Each log record carries an id of its own; tests/harness/fake_clickhouse.c counts ids.
 */
#ifndef OX_TESTS_SPINE_NODE_H
#define OX_TESTS_SPINE_NODE_H

#include "tests/harness/serve.h"

#define SPINE_PER_REQUEST  10
#define SPINE_REQUESTS_MAX 4096

extern uint8_t
    spine_acked[SPINE_REQUESTS_MAX]; /* by request: ids [n * SPINE_PER_REQUEST, +SPINE_PER_REQUEST) */
extern uint32_t spine_n_requests;
extern bool spine_error_logs; /* records are of severity ERROR: the view behind otel_logs counts them */

/* serve_setup, and the time of the records. */
void spine_setup(void);

/* Request n (the same bytes each time), each record padded to `pad` bytes; the status, 0 = no answer. */
int spine_send_request(uint32_t n, size_t pad, char *retry_after, size_t cap);
/* The next request, noted as acknowledged or not. */
int spine_send_next(size_t pad);
/* As a client that heard nothing: the same bytes until they are acknowledged. */
void spine_send_unanswered_again(void);
/* Waits until everything acknowledged is stored; then exactly once what was acknowledged, at most once what not. */
void spine_check_all(void);
/* The value behind the first `line`, "\n" and a name and a space, of /metrics; or -1. */
double spine_metric(const char *line);
/* A request to the API port; the status, 0 = no answer. body (zero-terminated) may be NULL. */
int spine_api(const char *method, const char *path, char *body, size_t cap);
uint64_t spine_resident_kib(pid_t pid);

#endif
