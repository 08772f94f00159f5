/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/proxy.h - a bad network between two parties: passes bytes on, loses replies, cuts requests, dawdles, hangs or
 * is not there.
 *
 * Owns:    a listening socket and a thread per connection, until chaos_proxy_close.
 * Threads: mode and percent may be set by any thread at any time.
 */
#ifndef CHAOS_PROXY_H
#define CHAOS_PROXY_H

#include <stdatomic.h>

#include "ox/base.h"

enum chaos_proxy_mode {
    CHAOS_PROXY_PASS,
    CHAOS_PROXY_LOSE_REPLY, /* the request goes through; when the reply comes, both connections are cut */
    CHAOS_PROXY_CUT_BODY,   /* some of the request goes through, then both connections are cut */
    CHAOS_PROXY_SLOW,       /* small pieces with pauses */
    CHAOS_PROXY_HANG,       /* nothing moves until the mode changes; then it does, late */
    CHAOS_PROXY_DOWN        /* every connection is closed, new ones at once */
};

struct chaos_proxy {
    /* Where to, asked for each connection: a port of 127.0.0.1, else a path. */
    const _Atomic uint16_t *port;
    char path[300];
    _Atomic int mode;         /* enum chaos_proxy_mode */
    _Atomic uint32_t percent; /* of replies or requests that LOSE_REPLY and CUT_BODY hit */
    _Atomic uint64_t seed;
    _Atomic uint64_t struck;
    _Atomic int listener; /* -1 = closed */
    _Atomic uint32_t connections;
};

/* Listens on a free port of 127.0.0.1; 0 on failure. to_port: lend. */
uint16_t chaos_proxy_open_tcp(struct chaos_proxy *p, const _Atomic uint16_t *to_port);
/* Listens on a path, passes on to another. */
OX_MUST_USE bool chaos_proxy_open_unix(struct chaos_proxy *p, const char *path, const char *to_path);
/* Returns when its threads are gone. */
void chaos_proxy_close(struct chaos_proxy *p);

#endif
