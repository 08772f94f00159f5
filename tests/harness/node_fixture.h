/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/node_fixture.h - tenants that send to the server of serve.h, an operator, a program that is run beside it.
 *
 * Owns:    what was acknowledged.
 * Threads: one test at a time.
 * Bounds:  NODE_RECORDS_MAX records.
 *
 * Records are logs, each with an id of its own; the endpoint counts ids.
 */
#ifndef OX_NODE_FIXTURE_H
#define OX_NODE_FIXTURE_H

#include "tests/harness/serve.h"

#define NODE_RECORDS_MAX 40000

/* serve_setup, and the time of the records. */
void node_setup(void);

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
