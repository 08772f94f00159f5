/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/http.h - a server for HTTP/1.1 and HTTP/2, plain or over TLS, on one libuv loop.
 *
 * Owns:    its connections, and each request until it is answered.
 * Threads: everything here is called on, and calls back on, the thread of the server's loop. Exceptions are
 *          the census and the statistics, which any thread may read.
 * Bounds:  struct ox_http_server_options.
 * Flow:    listening fd -> connection -> on_headers -> body -> on_request -> ox_http_respond*.
 *
 * Both protocols are spoken on every port: a connection that begins with the HTTP/2 preface is HTTP/2 with
 * prior knowledge, every other one HTTP/1.1. Over TLS what ALPN agrees upon holds. The server knows nothing of what it
 * carries.
 */
#ifndef OX_HTTP_H
#define OX_HTTP_H

#include "ox/base.h"
#include "ox/buf.h"
#include "ox/clock.h"
#include "ox/tls.h"

struct uv_loop_s; /* uv_loop_t of <uv.h> */
struct ox_http_server;
struct ox_http_census;

enum ox_http_version { OX_HTTP_1_0 = 10, OX_HTTP_1_1 = 11, OX_HTTP_2 = 20 };

enum ox_http_method {
    OX_HTTP_OTHER, /* see the request's method_name */
    OX_HTTP_GET,
    OX_HTTP_HEAD,
    OX_HTTP_POST,
    OX_HTTP_PUT,
    OX_HTTP_DELETE,
    OX_HTTP_OPTIONS,
    OX_HTTP_PATCH
};

struct ox_http_header {
    struct ox_str name; /* lower case in HTTP/2, as sent in HTTP/1.1: compare with ox_str_caseeq */
    struct ox_str value;
};

/*
 * One request. It belongs to the server until on_headers or on_request is called, then to the handler until
 * he gives it back by ox_http_respond, ox_http_respond_end or ox_http_request_abort: exactly one of them,
 * once, on every request of on_request, and optionally already in on_headers (then on_request does not
 * follow). An unanswered request of on_headers belongs to the server again when the hook returns. It stays
 * valid until then even when the peer, or the server, is gone. Fields are read-only for the handler except
 * those of the last group.
 */
struct ox_http_request {
    enum ox_http_method method;
    enum ox_http_version version;
    struct ox_str method_name;            /* "POST" */
    struct ox_str path;                   /* raw, without the query: "/v1/traces"; "*" for OPTIONS * */
    struct ox_str query;                  /* raw, without '?'; see ox/net.h for taking it apart */
    struct ox_str authority;              /* Host or :authority; empty when there was none */
    const struct ox_http_header *headers; /* without pseudo-headers */
    size_t headers_len;
    const struct ox_http_header *trailers; /* of the request; only in on_request */
    size_t trailers_len;
    int64_t content_length; /* as declared; -1 = not declared (chunked, or HTTP/2 without it) */
    struct ox_body
        *body;     /* the request's reference; hold it to keep it. NULL in on_headers, never in on_request */
    char peer[48]; /* address without port: "192.0.2.1", "2001:db8::1", "unix" */
    uint16_t peer_port;
    bool is_loopback;            /* 127.0.0.0/8, ::1 or a Unix socket */
    bool secure;                 /* came over TLS */
    struct ox_tls_names *client; /* names of its certificate, verified; NULL = it has shown none */
    uint64_t start_ns;           /* monotonic (uv_hrtime) when the headers were complete */
    uint64_t wire_bytes;         /* bytes of the body as received */

    /* For the handler: */
    void *user;
    void *more; /* a second one */
    /* The peer went away or reset the stream, the answer can no longer reach him. Called at most once, never
     * from within a respond call; the request still has to be given back (answering is then without effect).
     */
    void (*on_gone)(struct ox_http_request *req);
    /* A streamed answer's queue fell below the low-water mark after a write had reported it full. */
    void (*on_drain)(struct ox_http_request *req);
};

/* An answer. Everything is lent for the call (copied where needed) except `body`, which is stolen. */
struct ox_http_response {
    int status;                           /* 200..599 */
    const struct ox_http_header *headers; /* without content-length, connection, transfer-encoding, date */
    size_t headers_len;
    struct ox_buf *body;                   /* steal: its bytes are sent without a copy; NULL = none */
    struct ox_str text;                    /* used when body is NULL; copied */
    const struct ox_http_header *trailers; /* HTTP/2 only; dropped in HTTP/1.1 */
    size_t trailers_len;
    bool close; /* close the connection after this answer (HTTP/1.1), refuse new streams (HTTP/2) */
};

struct ox_http_server_options {
    /* Hooks. ctx is handed to each. */
    void *ctx;
    /* Headers are complete, the body is not read yet. May answer at once (401, 413, 415, 429): the body is
     * then discarded. May lower or raise this request's body limit (ox_http_request_limit). Optional. */
    void (*on_headers)(void *ctx, struct ox_http_request *req);
    /* The request is complete. Answer now or later. */
    void (*on_request)(void *ctx, struct ox_http_request *req);
    /* The server itself refuses: malformed, too large, too slow, no budget (see "refusals" below). May answer
     * with a body in the protocol's own form (JSON, google.rpc.Status, gRPC trailers); if it leaves the
     * request unanswered the server sends text/plain with diag's sentence. method and path may be empty
     * (malformed). It must not keep the request. Optional. */
    void (*on_refused)(void *ctx, struct ox_http_request *req, ox_err err, const struct ox_diag *diag);

    /* Limits. 0 takes the default in brackets. */
    size_t body_bytes_max;      /* as received, before decompression [10 MiB] */
    size_t header_bytes_max;    /* request line and headers, or header list [32 KiB, at most 64] */
    uint32_t headers_max;       /* [100] */
    uint32_t header_timeout_ms; /* from the first byte of a request to the end of its headers [10,000] */
    uint32_t body_timeout_ms;   /* grace for the body; beyond it body_rate_min counts [30,000] */
    uint32_t body_rate_min;     /* bytes per second that a slow body must reach on average [16 KiB] */
    uint32_t idle_timeout_ms;   /* connection without any request [60,000] */
    uint32_t write_timeout_ms;  /* peer takes nothing of an answer that waits [30,000] */
    uint32_t connections_max;   /* of the census, that is of all loops that share it [10,000] */
    uint32_t connections_per_address_max; /* of the census; IPv6 counts by /64 [1,000] */
    uint32_t pipeline_max;         /* requests in memory per HTTP/1.1 connection; then reading pauses [16] */
    uint32_t h2_streams_max;       /* concurrent streams per connection [256] */
    uint32_t h2_stream_window;     /* initial receive window per stream, bytes [1 MiB] */
    uint32_t h2_connection_window; /* bytes [8 MiB] */
    uint32_t tls_handshake_ms;     /* from accept to the end of the handshake [10,000] */
    uint32_t
        h2_resets_burst; /* streams reset by the peer, or by us for what it sends, before GOAWAY ENHANCE_YOUR_CALM... [1,000] */
    uint32_t h2_resets_per_s; /* ...and how fast that allowance refills [33] */
    /* Frames that carry nothing (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, unknown ones) before the same, and how
     * fast that refills [10,000; 1,000]. Each request adds four, each KiB that the peer is sent one. */
    uint32_t h2_idle_frames_burst;
    uint32_t h2_idle_frames_per_s;
    size_t write_queue_high; /* bytes queued per request at which ox_http_respond_write says full [1 MiB] */
    size_t write_queue_low;  /* and at which on_drain follows [256 KiB] */
    struct ox_account
        *body_account; /* lend: budget of request bytes in memory; outlives all bodies. NULL = none */
    struct ox_http_census *census; /* shared, held by the server. NULL: the server counts for itself */
    struct ox_tls *tls;            /* lend, outlives the server: TCP connections speak TLS. NULL = plain */
    const struct ox_clock *clock;  /* lend: wall clock of the date header; NULL = no date header */
    /* HTTP/1.1: a peer that ends its sending half before the answer counts as gone, unless this is set. */
    bool half_close;
};

/*
 * Refusals by the server itself (err of on_refused -> status by tbl/errors.h):
 *   INVALID            400  malformed request; the connection closes (HTTP/1.1)
 *   HEADER_TOO_LARGE   431  header_bytes_max or headers_max; the connection closes (HTTP/1.1)
 *   TOO_LARGE          413  body limit, by content-length before a byte of the body is read, else as it grows
 *   NOMEM              429  body_account has no room: the request is refused with Retry-After: 1 rather than
 *                           held back, so that a full node answers at once. Bytes are taken from the budget
 * as the body arrives (first at most 256 KiB, then doubling), not as the peer declares them. REQUEST_TIMEOUT
 * 408  header or body time-out; the connection closes (HTTP/1.1), the stream ends (HTTP/2) UNIMPLEMENTED 501
 * a transfer coding other than chunked, CONNECT, Upgrade only by being ignored UNAVAILABLE        503
 * draining A connection beyond connections_max or connections_per_address_max is closed as soon as it is
 * accepted.
 */

/* Counters since start; each only grows except connections and requests_pending. */
struct ox_http_stats {
    uint64_t connections;           /* open now */
    uint64_t connections_total;     /* accepted */
    uint64_t connections_refused;   /* by the census */
    uint64_t connections_timed_out; /* idle, header, body or write time-out; HTTP/2: also single streams */
    uint64_t requests_pending;      /* handed to on_request, not answered */
    uint64_t requests_total;        /* headers complete */
    uint64_t requests_refused;      /* by the server itself */
    uint64_t requests_gone;         /* peer left before the answer */
    uint64_t h2_streams_reset;      /* RST_STREAM received */
    uint64_t h2_floods;             /* connections ended with ENHANCE_YOUR_CALM */
    uint64_t received_bytes;
    uint64_t sent_bytes;
    uint64_t tls_handshakes; /* done */
    uint64_t tls_failed; /* handshakes that failed; those that took too long are in connections_timed_out */
};

/* Counts connections over several servers (one per loop) of one process. Any thread. NULL on no memory. */
struct ox_http_census *ox_http_census_new(void);
/* Gives the caller's reference back; servers that still use it hold their own. NULL is allowed. */
void ox_http_census_free(struct ox_http_census *census);
/* Connections open now, over all servers that share it. */
uint32_t ox_http_census_open(struct ox_http_census *census);

/*
 * Serves connections of `listen_fd`, an already listening TCP or Unix stream socket. The server works on a
 * duplicate, so the same fd can be served by several loops (who loses the race for a connection sees EAGAIN)
 * and stays the caller's. Sets SIGPIPE to be ignored unless the process has a handler for it. options: lend,
 * copied. INVALID, IO, NOMEM.
 */
OX_MUST_USE ox_err ox_http_server_start(struct uv_loop_s *loop, int listen_fd,
                                        const struct ox_http_server_options *options,
                                        struct ox_http_server **server, struct ox_diag *diag);
/* Adds a further listening socket to the same server. */
OX_MUST_USE ox_err ox_http_server_listen(struct ox_http_server *server, int listen_fd, struct ox_diag *diag);
/* Takes the limits and time-outs of `options` (the members under "Limits" up to h2_streams_max, and tls_handshake_ms) from now on, for
 * open connections too; h2_streams_max and what is announced to an HTTP/2 peer at its start count for new ones.
 * Nothing is closed by it. options: lend. INVALID as for _start, and nothing changes. On the server's loop. */
OX_MUST_USE ox_err ox_http_server_limit(struct ox_http_server *server,
                                        const struct ox_http_server_options *options, struct ox_diag *diag);
/* Stops accepting; idle connections close, HTTP/2 ones get GOAWAY, HTTP/1.1 answers carry connection: close.
 * on_drained(ctx) is called once, when the last connection is gone (never from within this call). */
void ox_http_server_drain(struct ox_http_server *server, void (*on_drained)(void *ctx), void *ctx);
/* server: take. Closes everything at once; unanswered requests become gone and still have to be given back.
 * on_closed(ctx) (may be NULL) when the loop holds nothing of the server any more. */
void ox_http_server_close(struct ox_http_server *server, void (*on_closed)(void *ctx), void *ctx);
/* Any thread; the figures are each exact, not a snapshot of one moment. */
void ox_http_server_stats(const struct ox_http_server *server, struct ox_http_stats *out);

/* The value of the first header `name` (any case), or {NULL,0}. Lend: valid as long as the request. */
struct ox_str ox_http_header(const struct ox_http_request *req, struct ox_str name);
/* How many headers have this name. */
size_t ox_http_header_count(const struct ox_http_request *req, struct ox_str name);
/* Sets this request's own body limit; for on_headers. The limit 0 refuses every body. */
void ox_http_request_limit(struct ox_http_request *req, size_t body_bytes_max);
/* Charges this request's body to another account; for on_headers. NULL = none. */
void ox_http_request_account(struct ox_http_request *req, struct ox_account *account);
/* True when nobody waits for the answer any more. */
bool ox_http_request_gone(const struct ox_http_request *req);

/* req: take. The whole answer. Content-length, date and what the connection needs are added; a HEAD request
 * gets the headers only. What can fail here (no memory) closes the connection: there is nothing a handler
 * could do. */
void ox_http_respond(struct ox_http_request *req, const struct ox_http_response *resp);
/* req: take. An answer that is a status and a text. content_type NULL = text/plain; charset=utf-8. */
void ox_http_respond_text(struct ox_http_request *req, int status, const char *content_type,
                          struct ox_str text);
/* req: take. Breaks the connection (HTTP/1.1) or resets the stream (HTTP/2): for an answer that cannot be
 * finished after it was started. */
void ox_http_request_abort(struct ox_http_request *req);

/* Begins a streamed answer: status and headers go out, resp's body and text must be empty. req stays the
 * handler's. */
void ox_http_respond_start(struct ox_http_request *req, const struct ox_http_response *resp);
/* Appends bytes (lend, copied). Returns true while there is room: false says that write_queue_high is reached
 * and the handler should wait for on_drain (bytes are taken nevertheless). True and without effect when gone.
 */
bool ox_http_respond_write(struct ox_http_request *req, const void *bytes, size_t n);
/* The same; buf: steal, sent without a copy where the protocol allows. */
bool ox_http_respond_write_buf(struct ox_http_request *req, struct ox_buf *buf);
/* Bytes of this answer that the kernel has not taken yet. */
size_t ox_http_respond_queued(const struct ox_http_request *req);
/* req: take. Ends a streamed answer; trailers (HTTP/2 only) are lent. */
void ox_http_respond_end(struct ox_http_request *req, const struct ox_http_header *trailers,
                         size_t trailers_len);

#endif
