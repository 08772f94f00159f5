/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/post.h - the cheapest client that can post OTLP over HTTP/1.1 keep-alive, so that the load costs the
 * measured side as little of the machine as possible.
 *
 * Owns:    one connection.
 * Threads: one owner.
 * Bounds:  REPLY_BYTES_MAX of a reply.
 */
#ifndef BENCH_POST_H
#define BENCH_POST_H

#include "ox/buf.h"
#include "ox/compress.h"

struct bench_post {
    int fd;
    char host[64];
    char key[160]; /* sent as x-api-key unless empty; filled after opening */
};

struct bench_reply {
    int status; /* 0 = the connection broke */
    bool has_retry_after;
    struct ox_str body; /* lend: until the next call of this thread */
};

/* host: "127.0.0.1:4318" or "http://127.0.0.1:4318". Ends the process when nobody listens. */
void bench_post_open(struct bench_post *c, const char *host);
void bench_post_close(struct bench_post *c);
/* One request and its reply. */
struct bench_reply bench_post_send(struct bench_post *c, enum ox_signal signal, enum ox_encoding encoding,
                                   struct ox_str body);
/* GET of a path; the body of the reply. */
struct bench_reply bench_post_get(struct bench_post *c, const char *path);

#endif
