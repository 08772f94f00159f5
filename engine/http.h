/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/http.h - one HTTP/1.1 connection with blocking reads and writes.
 *
 * Owns:    the socket, what was read ahead, the request being read.
 * Threads: the connection's own.
 * Bounds:  header_bytes_max, url_bytes_max, the sink's bytes_max; each read and write has a time limit.
 */
#ifndef OX_ENGINE_HTTP_H
#define OX_ENGINE_HTTP_H

#include "engine/sink.h"
#include "ox/base.h"
#include "ox/buf.h"

#define OX__HTTP_PARAMS_MAX 256

struct ox__pair {
    struct ox_str name;
    struct ox_str value;
};

struct ox__request {
    const char *method;
    struct ox_str path;
    struct ox__pair params[OX__HTTP_PARAMS_MAX]; /* of the URL, decoded */
    size_t params_n;
    struct ox_str key;      /* X-ClickHouse-Key */
    struct ox_str database; /* X-ClickHouse-Database */
    struct ox_str format;   /* X-ClickHouse-Format */
    bool keep_alive;
    struct ox__sink body;
};

struct ox__conn;

/* Steps of a request, in this order: head, body, one reply. */
enum ox__http_step {
    OX__HTTP_OK,
    OX__HTTP_CLOSED, /* the peer ended the connection between requests, or it is time to stop */
    OX__HTTP_BAD     /* diag says why; status is what to answer before closing; 0 = the peer is gone */
};

struct ox__conn_limits {
    uint64_t body_bytes_max;
    int idle_timeout_ms;
    int io_timeout_ms;
    int stop_fd; /* readable = no further request */
};

/* fd: take. NULL without memory (fd is closed). */
struct ox__conn *ox__conn_new(int fd, const struct ox__conn_limits *limits);
void ox__conn_free(struct ox__conn *conn);
int ox__conn_fd(const struct ox__conn *conn);
/* Reads a request up to the end of its header. The request lives in the connection until the next call. */
enum ox__http_step ox__conn_read_head(struct ox__conn *conn, struct ox__request **out, int *status,
                                      struct ox_diag *diag);
/* Reads the body into request->body. */
enum ox__http_step ox__conn_read_body(struct ox__conn *conn, int *status, struct ox_diag *diag);

/* A whole reply. headers: further lines, each ended by CRLF. false: the peer is gone. Without reading the
 * body first, the connection is closed after the reply. */
bool ox__conn_reply(struct ox__conn *conn, int status, const char *content_type, const struct ox_buf *headers,
                    struct ox_str body);
/* A reply in pieces. */
bool ox__conn_begin(struct ox__conn *conn, const char *content_type, const struct ox_buf *headers);
bool ox__conn_chunk(struct ox__conn *conn, struct ox_str bytes);
bool ox__conn_end(struct ox__conn *conn);
/* Ends a reply in the middle: the last chunk is left out, so that the client sees that it is incomplete. */
void ox__conn_break(struct ox__conn *conn);
/* Whether the request announced a body. After read_head. */
bool ox__conn_has_body(const struct ox__conn *conn);
/* Whether another request may follow. */
bool ox__conn_alive(const struct ox__conn *conn);

/* Parses "a=b&c=d" (decoded into `arena`, which must have room for text.n bytes). TOO_LARGE: too many. */
OX_MUST_USE ox_err ox__http_params(struct ox_str text, char *arena, struct ox__pair *out, size_t *n);
/* First parameter of that name, or an empty view with p NULL. */
struct ox_str ox__http_param(const struct ox__request *request, const char *name);

#endif
