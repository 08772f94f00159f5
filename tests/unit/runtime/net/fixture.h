/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/unit/runtime/net/fixture.h - an HTTP server on a loop of its own thread, with handlers for the tests.
 *
 * Owns:    the thread, the loop, the listening socket.
 * Threads: handlers on the loop's thread; the test sees atomics and what the wire shows.
 *
 * Paths: /echo answers the body; /info describes the request; /hold is kept until /release answers all that
 *          are
 * held; /stream?n=N streams N bytes with back-pressure; /early is refused with 401 in on_headers; /trailers
 * sends
 * one; /inject a header with line ends in
 * its value; /who says how and with which certificate it was asked; /abort breaks off in the middle; /big?n=N one answer of N bytes.
 */
#ifndef OX_TESTS_NET_FIXTURE_H
#define OX_TESTS_NET_FIXTURE_H

#include <stdatomic.h>
#include <uv.h>

#include "ox/http.h"

#define HELD_MAX 8192

struct fixture {
    struct ox_http_server_options o;
    struct ox_http_server *server;
    struct ox_account account;
    uv_loop_t loop;
    uv_async_t wake;
    uv_thread_t thread;
    uint16_t port;
    int listen_fd;
    int extra_fd;        /* a further listening socket, 0 = none */
    _Atomic int command; /* for the loop: 1 drain, 2 close, 3 release */
    _Atomic uint32_t requests, held, gone, drains, drained, refused;
    struct ox_http_request *holding[HELD_MAX]; /* loop's thread only */
    uint32_t holding_n;
};

/* Starts the server with f->o as far as it is filled in. */
void fixture_start(struct fixture *f);
/* Asks the loop to drain, to answer what it holds. */
void fixture_drain(struct fixture *f);
void fixture_release(struct fixture *f);
/* Closes the server, ends the thread; fails the test when requests or body bytes are left over. */
void fixture_stop(struct fixture *f);
/* Waits until *counter reaches `at_least`; false after ten seconds. */
bool fixture_await(_Atomic uint32_t *counter, uint32_t at_least);

#endif
