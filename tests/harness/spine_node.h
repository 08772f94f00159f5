/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/spine_node.h - `observex serve` before a scripted storage endpoint, and traffic that can be counted.
 *
 * Owns:    one directory, one server, its ports; what was acknowledged.
 * Threads: the test's.
 * Bounds:  SPINE_REQUESTS_MAX requests of SPINE_PER_REQUEST records.
 *
 * Each log record carries an id of its own; tests/harness/fake_clickhouse.c counts ids. OX_OBSERVEX (the program) is set
 * by meson.
 */
#ifndef OX_TESTS_SPINE_NODE_H
#define OX_TESTS_SPINE_NODE_H

#include <criterion/criterion.h>
#include <poll.h>
#include <sys/types.h>

#include "tests/harness/fake_clickhouse.h"
#include "tests/harness/http_client.h"

#define SPINE_PATIENCE_MS  40000
#define SPINE_PER_REQUEST  10
#define SPINE_REQUESTS_MAX 4096

extern char spine_dir[64];
extern pid_t spine_heart, spine_node, spine_engine; /* engine: 0 unless embedded */
extern uint16_t spine_http_port, spine_api_port;
extern uint8_t
    spine_acked[SPINE_REQUESTS_MAX]; /* by request: ids [n * SPINE_PER_REQUEST, +SPINE_PER_REQUEST) */
extern uint32_t spine_n_requests;
extern bool spine_error_logs; /* records are of severity ERROR: the view behind otel_logs counts them */
extern bool spine_mounted;    /* a file system of its own lies at spine_dir */

int64_t spine_now_ms(void);

#define eventually(condition)                                                                                \
    do {                                                                                                     \
        int64_t until_ = spine_now_ms() + SPINE_PATIENCE_MS;                                                 \
        while (!(condition) && spine_now_ms() < until_)                                                      \
            poll(NULL, 0, 20);                                                                               \
        cr_assert(condition, "never: %s", #condition);                                                       \
    } while (0)

/* After spine_setup: the embedded engine instead of the scripted endpoint. */
void spine_embedded(const char *libchdb);
/* A fresh directory and the scripted endpoint; at the end of the test, removes and ends everything. */
void spine_setup(void);
void spine_teardown(void);
/* Starts the server and waits until it takes traffic. more: NULL-terminated further arguments, or NULL. */
void spine_start(const char *const *more);
/* Asks for an orderly end; the exit code. */
int spine_stop(void);
/* The ports and pid of a node that is ready and is not `not_this`; false while there is none. */
bool spine_read_ready(pid_t not_this);
/* Forgets the earlier server's ready file, before it is started again. */
void spine_forget_ready(void);
/* kill -9 of the node, and waits for the next one. */
void spine_kill_node(void);

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
