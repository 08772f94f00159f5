/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/http2_internal.h - what http2.c and http2_send.c share.
 *
 * Owns:    nothing.
 * Threads: the server's loop.
 */
#ifndef OX_NET_HTTP2_INTERNAL_H
#define OX_NET_HTTP2_INTERNAL_H

#include <nghttp2/nghttp2.h>

#include "runtime/net/http_internal.h"

/* A peer may send one more frame that carries nothing for each so many bytes that it was sent. */
#define OX_HTTP2_BYTES_PER_CALM 1024

struct ox__http2 {
    nghttp2_session *session;
    bool goaway_sent;
    bool notice_sent;
    uint64_t notice_ms;
    double resets_left; /* token bucket */
    uint64_t resets_ms;
    double calm_left; /* frames that carry nothing; likewise */
    uint64_t calm_ms;
};

/* http2_send.c */
void ox__http2_start(struct ox__http_request *req, const struct ox_http_response *resp, bool whole);
void ox__http2_written(struct ox__http_request *req);
void ox__http2_end(struct ox__http_request *req, const struct ox_http_header *trailers, size_t n);
void ox__http2_abort(struct ox__http_request *req);
/* Produces frames into conn->out. */
void ox__http2_fill(struct ox__http_conn *conn);
/* After an answer that overtook the request's body: tell the peer to stop sending. */
int ox__http2_on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user);

#endif
