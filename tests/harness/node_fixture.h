/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/node_fixture.h - `observex serve` in a directory of its own, and tenants that send to it.
 *
 * Owns:    the processes, the directory (removed at the end) and the storage endpoint (fake_clickhouse.c).
 * Threads: one test at a time.
 * Bounds:  NODE_PATIENCE_MS for every state that is waited for; NODE_RECORDS_MAX records.
 *
 * Records are logs, each with an id of its own; the endpoint counts ids.
 */
#ifndef OX_NODE_FIXTURE_H
#define OX_NODE_FIXTURE_H

#include <criterion/criterion.h>
#include <poll.h>
#include <sys/types.h>

#include "tests/harness/fake_clickhouse.h"
#include "tests/harness/http_client.h"

#define NODE_PATIENCE_MS 60000
#define NODE_RECORDS_MAX 40000

int64_t node_now_ms(void);

#define eventually(condition)                                                                                \
    do {                                                                                                     \
        int64_t until_ = node_now_ms() + NODE_PATIENCE_MS;                                                   \
        while (!(condition) && node_now_ms() < until_)                                                       \
            poll(NULL, 0, 20);                                                                               \
        cr_assert(condition, "never: %s", #condition);                                                       \
    } while (0)

struct node_fixture {
    char dir[64];
    char ready_path[128];
    pid_t heart, node;
    uint16_t http_port, api_port;
};
extern struct node_fixture node_f;

/* Of every test: makes the directory and starts the endpoint; ends all and removes the directory. */
void node_setup(void);
void node_teardown(void);
/* Starts the program; faults: OBSERVE_X_TEST_FAULTS, or NULL. more: further flags, NULL at their end, or NULL. */
void node_start(const char *faults, const char *const *more);
/* Waits for the node that the heart starts in place of the present one. */
void node_wait_next(void);
/* An orderly end; the exit code. */
int node_stop(void);
/* kill -9 of heart and node; node_start may follow. */
void node_kill(void);

/* `n` fresh log records of `tenant` in one request, each with `words` in its body. The HTTP status, 0 = no answer; *first
 * (may be NULL) is the id of the first. What was acknowledged is remembered. */
int node_send(const char *tenant, uint32_t n, const char *words, uint32_t *first);
/* `requests` of `n` records each, on a connection of its own each, all on their way before the first answer is read: a sender
 * that waits for each answer is as slow as a loop that it shares with a slow actor. Each is acknowledged or gets 429; how
 * many were acknowledged. */
uint32_t node_send_at_once(const char *tenant, uint32_t requests, uint32_t n, const char *words);
/* Whether all acknowledged records but [from, to) are stored; the test fails when one is stored twice. */
bool node_all_stored_but(uint32_t from, uint32_t to);
/* Acknowledged records that are not stored; the test fails when one is stored twice. */
uint32_t node_missing(void);
/* Requests to the API; the status, 0 = no answer. key: of a tenant, NULL = none. body NULL = GET. answer: with a zero at its
 * end, may be NULL. */
int node_api(const char *path, const char *tenant, const char *body, struct ox_buf *answer);
/* Ends the tenant's quarantine as an operator does. Waits until it is on the list. */
void node_lift_quarantine(const char *tenant);
/* The value of the metric in the line that begins with `line`; -1 without it. */
double node_metric(const char *line);
/* Runs `observex ARGS... --data DIR`; the exit code, and what it wrote (stderr too). */
int node_run(const char *const *args, struct ox_buf *out);

#endif
