/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/broker.h - a real nats-server with JetStream on a free port of 127.0.0.1.
 *
 * Owns:    the process and its directory; one at a time.
 * Threads: the test's.
 */
#ifndef OX_TESTS_BROKER_H
#define OX_TESTS_BROKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

extern pid_t broker; /* 0 = not running */
extern uint16_t broker_port;
extern char broker_url[64];

/* Whether nats-server is installed. */
bool broker_exists(void);
/* Takes a port and a directory for the test, and starts. */
void broker_setup(void);
/* Ends it, when it runs, and removes the directory. */
void broker_teardown(void);
/* Before broker_setup: it speaks TLS with this pair, and broker_url says tls://. */
void broker_secure(const char *cert, const char *key);
/* On the same port and directory; returns when it answers. */
void broker_start(void);
/* kill -9. */
void broker_kill(void);

#endif
