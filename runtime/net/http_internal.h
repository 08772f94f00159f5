/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/http_internal.h - what the files of the HTTP server share.
 *
 * Owns:    nothing; the structures of a server, its connections and its requests.
 * Threads: the server's loop, except the statistics and the census.
 * Flow:    http_server.c accepts -> http_conn.c reads and writes -> http1.c or http2.c -> http_request.c.
 *
 * Rule of re-entry: hooks of the handler are called from protocol code while a parser is at work. They only
 * ever
 * queue bytes and mark the connection dirty; writing, closing and resuming happen in ox__http_conn_flush,
 * which
 * runs from the prepare handle (before the loop sleeps) or from a write's end, never beneath a parser.
 */
#ifndef OX_NET_HTTP_INTERNAL_H
#define OX_NET_HTTP_INTERNAL_H

#include <uv.h>

#include "ox/http.h"
#include "ox/tls.h"

#define OX_HTTP_SERVER_MAGIC  0x48545356u
#define OX_HTTP_CONN_MAGIC    0x48544343u
#define OX_HTTP_REQUEST_MAGIC 0x48545251u

/* One read of a loop; large enough that a 64 KiB socket buffer is emptied by one call. */
#define OX_HTTP_READ_BYTES (128 * 1024)
/* The first piece of a body that is taken from the budget; the rest follows as bytes arrive. */
#define OX_HTTP_BODY_FIRST (256 * 1024)
/* After an early answer we read on for this much of the unwanted body rather than break the connection. */
#define OX_HTTP_DISCARD_MAX (64 * 1024)
/* How long a closing connection waits for the peer to take the last answer. */
#define OX_HTTP_LINGER_MS 2000
/* Idle request objects kept per server. */
#define OX_HTTP_POOL_MAX 64
/* A pooled request keeps its head buffer up to this size. */
#define OX_HTTP_POOL_HEAD_BYTES (8 * 1024)
/* HTTP/2 frames are produced until this much waits for the kernel. */
#define OX_HTTP_OUT_TARGET (256 * 1024)
/* Plaintext of one TLS record. */
#define OX_HTTP_RECORD_BYTES 16384
/* Pieces handed to the kernel in one write. */
#define OX_HTTP_IOV_MAX 32

/* Bytes that wait to be sent, in pieces. */
struct ox__chunk {
    struct ox__chunk *next;
    struct ox_buf buf;
    size_t off;
};

struct ox__chunkq {
    struct ox__chunk *first;
    struct ox__chunk *last;
    size_t bytes;
};

/* Appends a copy; false without memory. */
bool ox__chunkq_copy(struct ox__chunkq *q, const void *bytes, size_t n);
/* buf: steal, also on failure. */
bool ox__chunkq_steal(struct ox__chunkq *q, struct ox_buf *buf);
/* from: steal. */
void ox__chunkq_move(struct ox__chunkq *q, struct ox__chunkq *from);
/* Drops the first n bytes. */
void ox__chunkq_consume(struct ox__chunkq *q, size_t n);
/* Copies up to n bytes out of the front and drops them. */
size_t ox__chunkq_take(struct ox__chunkq *q, void *to, size_t n);
void ox__chunkq_fini(struct ox__chunkq *q);

enum ox__req_phase { REQ_PHASE_HEAD, REQ_PHASE_BODY, REQ_PHASE_COMPLETE };

struct ox__http_conn;
struct ox__http_server;

struct ox__http_request {
    struct ox_http_request pub; /* first */
    uint32_t magic;
    struct ox_http_server *server;
    struct ox__http_conn *conn;           /* NULL when gone or fully sent */
    struct ox__http_request *prev, *next; /* in the connection's list; next also in the pool */

    enum ox__req_phase phase;
    bool handed;  /* the handler has it (or a hook is looking at it) */
    bool counted; /* in requests_pending */
    bool started; /* status and headers are queued */
    bool ended;   /* the whole answer is queued */
    bool gone;
    bool head_only;   /* HEAD, 204, 304: no body bytes */
    bool chunked_out; /* HTTP/1.1 streaming */
    bool full;        /* a write reported the high-water mark; on_drain is owed */
    bool expect_continue;
    bool keep_alive; /* HTTP/1.1: may another request follow */
    uint16_t pins;   /* hooks on the stack that still look at it */

    /* Headers: text in head, places in header (offsets until complete, then pointers). */
    struct ox_buf head;
    struct ox_http_header *header;
    size_t header_len, header_cap;
    size_t trailer_first;       /* index of the first trailer in header */
    struct ox_buf trailer_head; /* text of the trailers */

    size_t body_limit;
    struct ox_account *account;
    uint64_t since_ms; /* when the current phase began */

    struct ox__chunkq out;
    uint64_t out_since_ms; /* last time out moved */

    /* HTTP/2 only. */
    int32_t stream_id;
    size_t head_bytes;          /* header list size so far */
    bool head_overflow;         /* refused with 431 when complete */
    bool deferred;              /* the data provider waits for bytes */
    bool stalled;               /* reset because the peer took nothing of the answer */
    struct ox_buf trailer_text; /* of the answer: name\0value\0... */
    size_t trailer_count;
};

/* What the two protocols do for a connection. */
struct ox__http_proto {
    /* Bytes from the peer. May queue, may set conn->failed. */
    void (*feed)(struct ox__http_conn *conn, const uint8_t *data, size_t n);
    /* Where the next read should go, for bodies that can be received in place; NULL = the loop's buffer. */
    uint8_t *(*read_into)(struct ox__http_conn *conn, size_t *cap);
    /* The peer ended its sending half. */
    void (*eof)(struct ox__http_conn *conn);
    /* Moves what is ready into conn->out; called before each write. */
    void (*fill)(struct ox__http_conn *conn);
    /* Time-outs. */
    void (*tick)(struct ox__http_conn *conn, uint64_t now_ms);
    void (*drain)(struct ox__http_conn *conn);
    void (*free)(struct ox__http_conn *conn);
    /* The answers. */
    void (*start)(struct ox__http_request *req, const struct ox_http_response *resp, bool whole);
    void (*written)(struct ox__http_request *req);
    void (*end)(struct ox__http_request *req, const struct ox_http_header *trailers, size_t n);
    void (*abort)(struct ox__http_request *req);
};
extern const struct ox__http_proto ox__http1_proto;
extern const struct ox__http_proto ox__http2_proto;

struct ox__http_conn {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } h; /* first: a handle is its connection */
    uint32_t magic;
    struct ox_http_server *server;
    struct ox__http_conn *prev, *next; /* the server's list */
    struct ox__http_conn *dirty_next;
    struct ox__http_conn **dirty_at; /* what points to us in the dirty list */

    const struct ox__http_proto *proto; /* NULL while the preface is awaited */
    void *state;                        /* the protocol's */
    uint8_t sniff[24];
    size_t sniff_len;

    char peer[48];
    uint16_t peer_port;
    bool is_loopback;
    bool counted; /* in the census, under key */
    uint8_t key[16];

    bool dirty;
    bool failed;    /* break it at the next flush */
    bool finishing; /* nothing more comes; close when out is sent */
    bool lingering; /* our half is shut, waiting for the peer's */
    bool closed;    /* uv_close was called */
    bool paused;    /* not reading */
    bool eof;
    bool writing;
    bool deaf;      /* what the peer still sends is of no interest: a flood was ended */
    size_t ignored; /* bytes of that */

    struct ox__tls *tls;         /* NULL = plain */
    struct ox_tls_names *client; /* of its certificate; NULL = none */
    struct ox__chunkq wire;      /* sealed, not handed to the kernel */

    uint64_t idle_since_ms;
    uint64_t out_since_ms; /* last time the kernel took bytes */
    uint64_t linger_since_ms;

    struct ox__chunkq out;       /* not handed to the kernel */
    struct ox__chunkq in_flight; /* handed to uv_write */
    uv_write_t write_req;
    uv_shutdown_t shutdown_req;

    struct ox__http_request *req_first, *req_last;
    uint32_t reqs;
};

struct ox__listener {
    uv_poll_t poll;
    struct ox_http_server *server;
    struct ox__listener *next;
    int fd;
    bool is_unix;
    bool stalled; /* out of descriptors: tried again by the tick */
};

struct ox__http_counters {
    _Atomic uint64_t connections, connections_total, connections_refused, connections_timed_out;
    _Atomic uint64_t requests_pending, requests_total, requests_refused, requests_gone;
    _Atomic uint64_t h2_streams_reset, h2_floods, received_bytes, sent_bytes;
    _Atomic uint64_t tls_handshakes, tls_failed;
};

struct ox_http_server {
    uint32_t magic;
    uint32_t refs; /* one of the caller, one per live handle, one per request */
    uv_loop_t *loop;
    struct ox_http_server_options o;
    struct ox_http_census *census;
    bool draining, closing, closed_told;
    uint32_t handles; /* live uv handles, the connections included */
    void (*on_drained)(void *ctx);
    void *drained_ctx;
    void (*on_closed)(void *ctx);
    void *closed_ctx;
    struct ox__listener *listeners;
    uv_prepare_t prepare;
    uv_timer_t tick;
    uv_idle_t idle; /* active while connections are dirty: the loop must not sleep */
    struct ox__http_conn *conns;
    struct ox__http_conn *dirty;
    struct ox__http_request *pool;
    uint32_t pool_len;
    uint64_t date_s;
    char date[32];
    struct ox__http_counters n;
    uint8_t *read_buf;
    uint8_t *plain_buf;    /* one record's plaintext; NULL without TLS */
    struct ox_buf scratch; /* heads of answers are written here */
};

/* relaxed: counters order nothing, they only add up. */
#define OX_HTTP_COUNT(server, name, by)                                                                      \
    atomic_fetch_add_explicit(&(server)->n.name, (by), memory_order_relaxed)

/* http_server.c */
void ox__http_server_unref(struct ox_http_server *server);
void ox__http_server_conn_gone(struct ox_http_server *server);
uint64_t ox__http_now_ms(const struct ox_http_server *server);
/* "Sun, 06 Nov 1994 08:49:37 GMT", or empty without a clock. */
struct ox_str ox__http_date(struct ox_http_server *server);

/* http_census.c: OX_OK, or OVERLOAD at a limit. */
ox_err ox__http_census_enter(struct ox_http_census *c, const uint8_t key[16], bool per_address, uint32_t max,
                             uint32_t per_address_max);
/* One more who will call ox_http_census_free. */
struct ox_http_census *ox__http_census_hold(struct ox_http_census *c);
void ox__http_census_leave(struct ox_http_census *c, const uint8_t key[16], bool per_address);

/* http_conn.c */
/* fd: take. */
void ox__http_conn_open(struct ox_http_server *server, int fd, bool is_unix);
/* Closes at once; its requests become gone. Never beneath a parser. */
void ox__http_conn_close(struct ox__http_conn *conn);
/* Asks for a flush before the loop sleeps. */
void ox__http_conn_dirty(struct ox__http_conn *conn);
/* Takes it off the list of those. */
void ox__http_conn_clean(struct ox__http_conn *conn);
void ox__http_conn_flush(struct ox__http_conn *conn);
void ox__http_conn_tick(struct ox__http_conn *conn, uint64_t now_ms);
void ox__http_conn_pause(struct ox__http_conn *conn, bool pause);

/* Bytes of answers that the kernel has not taken yet. */
static inline size_t
ox__http_conn_queued(const struct ox__http_conn *conn)
{
    return conn->out.bytes + conn->wire.bytes + conn->in_flight.bytes;
}
/* Bytes for the protocol, which is found out from the first of them when it is not known. */
void ox__http_conn_feed(struct ox__http_conn *conn, const uint8_t *data, size_t n);
/* Nothing more comes from the peer. */
void ox__http_conn_eof(struct ox__http_conn *conn);

/* http_tls.c */
/* False without memory. */
bool ox__tls_open(struct ox__http_conn *conn);
void ox__tls_close(struct ox__http_conn *conn);
/* True also without TLS. */
bool ox__tls_established(const struct ox__http_conn *conn);
/* Bytes from the socket: handshakes, and plaintext to ox__http_conn_feed. */
void ox__tls_feed(struct ox__http_conn *conn, const uint8_t *data, size_t n);
/* Moves conn->out into conn->wire, as much as may wait there. */
void ox__tls_seal(struct ox__http_conn *conn);
/* Nothing more will be sent: says so to the peer. */
void ox__tls_end(struct ox__http_conn *conn);

/* http_request.c */
/* A request at the end of the connection's list, or NULL without memory. */
struct ox__http_request *ox__http_request_new(struct ox__http_conn *conn);
/* Takes it off its connection; frees it unless the handler has it. tell: call on_gone when he has. */
void ox__http_request_detach(struct ox__http_request *req, bool tell);
/* Room for one more entry of header, or NULL. */
struct ox_http_header *ox__http_request_header_slot(struct ox__http_request *req);
/* Fills in method from method_name. */
void ox__http_request_set_method(struct ox__http_request *req);
/* Headers are complete: calls on_headers. True when the body is wanted, false when it was answered or
 * refused. */
bool ox__http_request_headers_done(struct ox__http_request *req);
/* Bytes of the body; false when it was refused. */
bool ox__http_request_body(struct ox__http_request *req, const uint8_t *data, size_t n);
/* Where up to `left` further bytes of the body may be received in place, or NULL: through a buffer. */
uint8_t *ox__http_request_body_space(struct ox__http_request *req, size_t left, size_t *cap);
/* The body is complete: calls on_request. */
void ox__http_request_done(struct ox__http_request *req);
/* The server refuses: on_refused or a text. The request may be gone afterwards. */
void ox__http_request_refuse(struct ox__http_request *req, ox_err err, const struct ox_diag *diag);
/* Whether the body has been arriving too slowly by now. */
bool ox__http_request_late(const struct ox__http_request *req, uint64_t now_ms);
/* Calls the on_drain that is owed. */
void ox__http_request_drained(struct ox__http_request *req);

#endif
