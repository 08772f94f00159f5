/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/http_client.h - a small blocking client for tests: raw sockets, HTTP/1.1, HTTP/2 (h2c).
 *
 * Owns:    the sockets it opens.
 * Threads: one thread per client.
 * Bounds:  every wait ends after OX_CLIENT_TIMEOUT_S; then functions report failure.
 */
#ifndef OX_TESTS_HTTP_CLIENT_H
#define OX_TESTS_HTTP_CLIENT_H

#include "ox/base.h"
#include "ox/buf.h"

#define OX_CLIENT_TIMEOUT_S 20

struct ox_client_response {
    int status;            /* 0 = none arrived */
    struct ox_buf headers; /* "name: value\r\n" lines, names in lower case */
    struct ox_buf body;
    struct ox_buf trailers; /* as headers */
    bool closed;            /* the server ended the connection (HTTP/1.1) or reset the stream (HTTP/2) */
    uint32_t reset_code;    /* HTTP/2 error code of the stream's end */
};

void ox_client_response_init(struct ox_client_response *r);
void ox_client_response_fini(struct ox_client_response *r);
/* The value of a header (lower-case name) copied to out; false without it. */
bool ox_client_header(const struct ox_buf *headers, const char *name, char *out, size_t cap);

/* A connected socket with time-outs, to 127.0.0.1:port or a Unix path; -1 on failure. */
int ox_client_connect(uint16_t port);
int ox_client_connect_unix(const char *path);
/* All bytes; false on error. */
bool ox_client_send(int fd, const void *bytes, size_t n);

/* HTTP/1.1 answers on one socket; bytes read too far wait in `in`. */
struct ox_client1 {
    int fd;
    struct ox_buf in;
    size_t at;
};
void ox_client1_init(struct ox_client1 *c, int fd);
/* Closes the socket. */
void ox_client1_fini(struct ox_client1 *c);
/* Reads one answer (interim 1xx answers are skipped); head: it belongs to a HEAD request. False if none
 * came. */
bool ox_client1_read(struct ox_client1 *c, bool head, struct ox_client_response *out);
/* True when the server closes without sending anything more. */
bool ox_client1_closed(struct ox_client1 *c);
/* One request on a connection of its own. headers: "Name: value\r\n" lines or NULL. Adds host and
 * content-length. */
bool ox_client1_request(uint16_t port, const char *method, const char *target, const char *headers,
                        const void *body, size_t body_n, struct ox_client_response *out);

/* HTTP/2. Streams are found by the id that submit returns. */
struct ox_client2;
struct ox_client2 *ox_client2_open(uint16_t port);
void ox_client2_close(struct ox_client2 *c);
/* headers: pairs name, value, ..., NULL. body is lent until the stream is done. end: false keeps the
 * request open
 * after the body. Returns the stream id or -1. */
int32_t ox_client2_submit(struct ox_client2 *c, const char *method, const char *path,
                          const char *const *headers, const void *body, size_t body_n,
                          const char *const *trailers, bool end);
/* Resets the stream with this code. */
void ox_client2_reset(struct ox_client2 *c, int32_t stream, uint32_t code);
/* Sends what is queued without waiting for answers. */
bool ox_client2_flush(struct ox_client2 *c);
/* Runs until the stream is closed; the answer is moved into `out`. False on time-out or lost connection. */
bool ox_client2_wait(struct ox_client2 *c, int32_t stream, struct ox_client_response *out);
/* One exchange with the server: sends what is queued, waits for bytes. False when the connection is over. */
bool ox_client2_step(struct ox_client2 *c);
/* Whether the stream is closed. */
bool ox_client2_done(struct ox_client2 *c, int32_t stream);
/* Runs until the server has sent GOAWAY or closed; its error code, or -1 on time-out. */
int64_t ox_client2_wait_goaway(struct ox_client2 *c);
/* The socket, for raw frames. */
int ox_client2_fd(const struct ox_client2 *c);

#endif
