/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/grpc.h - gRPC over HTTP/2 for unary calls: message framing, metadata, replies.
 *
 * Owns:    nothing.
 * Threads: any; ox_grpc_reply* on the thread of the request's loop.
 */
#ifndef OX_GRPC_H
#define OX_GRPC_H

#include "ox/base.h"
#include "ox/buf.h"
#include "ox/compress.h"
#include "ox/http.h"

/* True for content-type application/grpc and application/grpc+proto (others of application/grpc+... are not
 * ours). */
bool ox_grpc_content_type(struct ox_str content_type);

/* The one message of a unary request: a view into the body. */
struct ox_grpc_message {
    bool compressed;
    struct ox_str bytes;
};
/* Takes the five-byte prefix off. Exactly one message must fill `body`: INVALID otherwise, TOO_LARGE beyond
 * limit_bytes. */
OX_MUST_USE ox_err ox_grpc_message_parse(struct ox_str body, size_t limit_bytes, struct ox_grpc_message *out,
                                         struct ox_diag *diag);
/*
 * From request to plain message bytes: checks content-type and grpc-encoding, takes the frame off,
 * decompresses where the flag says so, within limit_bytes. An uncompressed message shares the request's body
 * (*body is held, *message points into it), a compressed one is a new body charged to `account`. *body is the
 * caller's to drop. MEDIA_TYPE, UNIMPLEMENTED (unknown grpc-encoding; the reply builder then names what is
 * accepted), INVALID, DECODE, TOO_LARGE, NOMEM.
 */
OX_MUST_USE ox_err ox_grpc_request_message(const struct ox_http_request *req, size_t limit_bytes,
                                           struct ox_account *account, struct ox_body **body,
                                           struct ox_str *message, struct ox_diag *diag);
/* Reads grpc-timeout ("10S", "500m"). INVALID for anything else; *timeout_ms is rounded up, at least 1 unless
 * the value is zero, and capped at INT64_MAX / 1,000,000. */
OX_MUST_USE ox_err ox_grpc_timeout_parse(struct ox_str value, int64_t *timeout_ms);

/* Appends one frame: prefix and message. */
void ox_grpc_frame(struct ox_buf *out, bool compressed, const void *message, size_t n);
/* Appends `text` percent-encoded as grpc-message wants it: all but printable ASCII, and '%'. */
void ox_grpc_message_encode(struct ox_buf *out, struct ox_str text);
/* Appends base64 without padding, for "-bin" metadata. */
void ox_base64_append(struct ox_buf *out, const void *bytes, size_t n);

/* req: take. Status OK with one message (lend). Compressed with gzip when the caller accepts it and n >=
 * 1,024. */
void ox_grpc_reply(struct ox_http_request *req, const void *message, size_t n);
/* req: take. Trailers-only error. text becomes grpc-message; details (may be empty) are the bytes of a
 * google.rpc.Status for grpc-status-details-bin. Both lend. */
void ox_grpc_reply_error(struct ox_http_request *req, int grpc_status, struct ox_str text,
                         struct ox_str details);

#endif
