/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/net.h - addresses, listening sockets, and taking URLs apart.
 *
 * Owns:    nothing; file descriptors that it returns are the caller's.
 * Threads: any; no state.
 */
#ifndef OX_NET_H
#define OX_NET_H

#include "ox/base.h"

/* Longest text of an address that we write: "[" + 45 + "]:65535" and the zero. */
#define OX_NET_ADDR_MAX 64

/* A literal address: no name is looked up. */
struct ox_net_addr {
    bool is_v6;
    uint8_t ip[16]; /* network order; IPv4 uses the first four */
    uint16_t port;  /* host order; 0 = any free one */
};

/* Reads "HOST:PORT" where HOST is an IPv4 address, "[v6]", "localhost" (127.0.0.1), or empty or "*"
 * (0.0.0.0). INVALID with a sentence. */
OX_MUST_USE ox_err ox_net_addr_parse(struct ox_str text, struct ox_net_addr *out, struct ox_diag *diag);
/* "127.0.0.1:4317", "[::1]:4317". */
void ox_net_addr_format(const struct ox_net_addr *addr, char out[OX_NET_ADDR_MAX]);
/* 127.0.0.0/8, ::1, and ::ffff:127.0.0.0/104. */
bool ox_net_addr_is_loopback(const struct ox_net_addr *addr);
/* As ox_net_addr_is_loopback, of an address text without port (config values, request peers). */
bool ox_net_is_loopback_text(struct ox_str host);

/* Binds and listens (SO_REUSEADDR, close-on-exec, non-blocking). *fd_out is the caller's; `actual` receives
 * the real address, the port chosen for port 0 included. IO with a sentence that names the address and the
 * reason. */
OX_MUST_USE ox_err ox_net_listen(const struct ox_net_addr *addr, int backlog, int *fd_out,
                                 char actual[OX_NET_ADDR_MAX], struct ox_diag *diag);
/* Both in one: ox_net_addr_parse and ox_net_listen with the default backlog of 1,024. */
OX_MUST_USE ox_err ox_net_listen_text(struct ox_str text, int *fd_out, char actual[OX_NET_ADDR_MAX],
                                      struct ox_diag *diag);
/* The address that socket `fd` is bound to. IO when it has none. */
OX_MUST_USE ox_err ox_net_local_text(int fd, char actual[OX_NET_ADDR_MAX]);
/* A listening Unix socket at `path` with the given mode; a stale socket file there is replaced, one that
 * somebody answers on is EXISTS. */
OX_MUST_USE ox_err ox_net_listen_unix(const char *path, unsigned mode, int *fd_out, struct ox_diag *diag);

/* Walks "a=1&b=2". Start with {.rest = query}. */
struct ox_query_iter {
    struct ox_str rest;
};
/* The next pair, still percent-encoded, or false at the end. "a" gives an empty value, "&&" is skipped. */
bool ox_query_next(struct ox_query_iter *it, struct ox_str *name, struct ox_str *value);
/* Decodes %XX, and '+' as a space when `plus` is set, into out (room for in.n bytes); *out_n is the length.
 * INVALID on a broken escape. out may be in.p. */
OX_MUST_USE ox_err ox_percent_decode(struct ox_str in, bool plus, char *out, size_t *out_n);
/* The first value of `name` in `query`, decoded into out (zero-terminated, room out_cap). NOT_FOUND without
 * such a name, INVALID on a broken escape or an embedded zero byte, TOO_LARGE when it does not fit. */
OX_MUST_USE ox_err ox_query_get(struct ox_str query, struct ox_str name, char *out, size_t out_cap);

#endif
