/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/http2.c - an HTTP/2 connection on nghttp2: streams in, time-outs, floods, shutdown.
 *
 * Owns:    the nghttp2 session of one connection.
 * Threads: the server's loop.
 * Bounds:  h2_streams_max concurrent streams and twice as many requests in memory (a reset stream's request
 *          lives
 *          until its handler answers); header_bytes_max and headers_max per request; h2_resets_*;
 *          SETTINGS_MAX
 *          entries per SETTINGS frame; OUTBOUND_ACKS_MAX unsent PING and SETTINGS acknowledgements; h2_idle_frames_*
 *          frames that carry nothing.
 * Fails:   stream errors reset the stream, protocol errors and floods end the connection with GOAWAY.
 * Flow:    http_conn.c feeds -> nghttp2 -> callbacks here -> http_request.c -> http2_send.c answers.
 *
 * A peer that does not take what it is sent is not read from (ox__http2_fill).
 *
 * Flow control: body bytes are copied into the request's body as they come, so the windows are refilled by
 * nghttp2 at once; what bounds memory is the request's limit and its account, not the window.
 */
#include <stdlib.h>

#include "ox/metric.h"
#include "runtime/net/http2_internal.h"

#define SETTINGS_MAX 32
/* Bytes of the peer that are read before it is answered: some 300 streams that it opens and breaks. */
#define SLICE_BYTES 16384
/* Times header_bytes_max. */
#define ABSURD_HEADERS 4
/* Frames that carry nothing which a request allows for: window updates, a ping. */
#define CALM_PER_REQUEST  4
#define OUTBOUND_ACKS_MAX 500
#define FRAME_BYTES_MAX   (64 * 1024)
/* RFC 9113, 6.5.2: each header counts 32 bytes more than its text. */
#define HEADER_OVERHEAD 32
/* :method, :scheme, :authority, :path */
#define PSEUDO_MAX 4
/* Between the notice of shutdown and the final GOAWAY, so that requests on their way still get in. */
#define GOAWAY_GRACE_MS 250

static void
goaway(struct ox__http_conn *conn, uint32_t code)
{
    struct ox__http2 *h = conn->state;
    if (h->goaway_sent)
        return;
    h->goaway_sent = true;
    nghttp2_session_terminate_session(h->session, code);
    ox__http_conn_dirty(conn);
}

static void
flood(struct ox__http_conn *conn)
{
    struct ox__http2 *h = conn->state;
    if (!h->goaway_sent) {
        OX_HTTP_COUNT(conn->server, h2_floods, 1);
        ox_metric_add(OX_M_http_floods, 1);
    }
    goaway(conn, NGHTTP2_ENHANCE_YOUR_CALM);
    conn->deaf = true;
}

/* Whether a token is left in a bucket that refills with time. */
static bool
take_token(double *left, uint64_t *at_ms, uint64_t now_ms, uint32_t burst, uint32_t per_s)
{
    *left += (double)(now_ms - *at_ms) * per_s / 1000.0;
    if (*left > burst)
        *left = burst;
    *at_ms = now_ms;
    *left -= 1.0;
    return *left >= 0.0;
}

/* A stream that ended by the peer's doing, whoever said so: by RST_STREAM, or by a frame that we must answer with one. */
static void
count_reset(struct ox__http_conn *conn)
{
    struct ox__http2 *h = conn->state;
    const struct ox_http_server_options *o = &conn->server->o;
    if (!take_token(&h->resets_left, &h->resets_ms, ox__http_now_ms(conn->server), o->h2_resets_burst,
                    o->h2_resets_per_s))
        flood(conn);
}

/* Frames that are worth nothing by themselves: they cost the peer nine bytes and us a look each. */
static bool
carries_nothing(const nghttp2_frame_hd *hd)
{
    switch (hd->type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_RST_STREAM: /* counted apart */
        return false;
    case NGHTTP2_DATA:
        return hd->length == 0 && (hd->flags & NGHTTP2_FLAG_END_STREAM) == 0;
    case NGHTTP2_CONTINUATION:
        return hd->length == 0;
    default:
        return true;
    }
}

static int
ignore_extension(nghttp2_session *session, void **payload, const nghttp2_frame_hd *hd, void *user)
{
    return NGHTTP2_ERR_CANCEL;
}

static int
on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    struct ox__http_conn *conn = user;
    struct ox__http2 *h = conn->state;
    const struct ox_http_server_options *o = &conn->server->o;
    if (h == NULL) /* the first frames come before the state is in its place */
        return 0;
    if (hd->type == NGHTTP2_HEADERS)
        h->calm_left += CALM_PER_REQUEST;
    else if (carries_nothing(hd) && !take_token(&h->calm_left, &h->calm_ms, ox__http_now_ms(conn->server),
                                                o->h2_idle_frames_burst, o->h2_idle_frames_per_s))
        flood(conn);
    return 0;
}

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct ox__http_conn *conn = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    if (conn->reqs >= 2 * conn->server->o.h2_streams_max) {
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
        return 0;
    }
    struct ox__http_request *r = ox__http_request_new(conn);
    if (r == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    r->stream_id = frame->hd.stream_id;
    r->pub.version = OX_HTTP_2;
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, r);
    return 0;
}

/* Places in header are offsets into head until the section is complete: head may move while it grows. */
static void
add_field(struct ox__http_request *r, struct ox_buf *text, struct ox_str name, struct ox_str value)
{
    const struct ox_http_server_options *o = &r->server->o;
    r->head_bytes += name.n + value.n + HEADER_OVERHEAD;
    if (r->head_overflow || r->head_bytes > o->header_bytes_max ||
        r->header_len >= o->headers_max + PSEUDO_MAX) {
        r->head_overflow = true;
        return;
    }
    struct ox_http_header *slot = ox__http_request_header_slot(r);
    size_t at = text->len;
    ox_buf_append_str(text, name);
    ox_buf_append_str(text, value);
    if (slot == NULL || text->failed) {
        r->conn->failed = true;
        r->header_len -= slot != NULL;
        return;
    }
    slot->name = (struct ox_str){(const char *)(uintptr_t)at, name.n};
    slot->value = (struct ox_str){(const char *)(uintptr_t)(at + name.n), value.n};
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
          const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    struct ox__http_conn *conn = user;
    struct ox__http_request *r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (frame->hd.type != NGHTTP2_HEADERS || r == NULL || r->started)
        return 0;
    /* A few bytes can stand for megabytes (HPACK's table). What is merely too much is told so, what is absurd is reset:
     * nghttp2 then goes on without telling us of each. */
    if (r->head_bytes > ABSURD_HEADERS * conn->server->o.header_bytes_max) {
        count_reset(conn);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    struct ox_buf *text = r->phase == REQ_PHASE_HEAD ? &r->head : &r->trailer_head;
    add_field(r, text, (struct ox_str){(const char *)name, name_n},
              (struct ox_str){(const char *)value, value_n});
    return 0;
}

/* Offsets become pointers. */
static void
settle_fields(struct ox__http_request *r, size_t from, const struct ox_buf *text)
{
    for (size_t i = from; i < r->header_len; i++) {
        struct ox_http_header *h = &r->header[i];
        h->name.p = (const char *)text->data + (uintptr_t)h->name.p;
        h->value.p = (const char *)text->data + (uintptr_t)h->value.p;
    }
}

static void
take_pseudo(struct ox__http_request *r, struct ox_str name, struct ox_str value)
{
    if (ox_str_eq(name, OX_STR(":method"))) {
        r->pub.method_name = value;
    } else if (ox_str_eq(name, OX_STR(":authority"))) {
        r->pub.authority = value;
    } else if (ox_str_eq(name, OX_STR(":path"))) {
        const char *q = value.n > 0 ? memchr(value.p, '?', value.n) : NULL;
        size_t n = q != NULL ? (size_t)(q - value.p) : value.n;
        r->pub.path = (struct ox_str){value.p, n};
        if (q != NULL)
            r->pub.query = (struct ox_str){q + 1, value.n - n - 1};
    }
}

/* Takes the pseudo-headers out of the list; nghttp2 has made sure that they come first. */
static void
split_pseudo(struct ox__http_request *r)
{
    size_t n = 0;
    while (n < r->header_len && r->header[n].name.n > 0 && r->header[n].name.p[0] == ':') {
        take_pseudo(r, r->header[n].name, r->header[n].value);
        n++;
    }
    r->header_len -= n;
    memmove(r->header, r->header + n, r->header_len * sizeof(r->header[0]));
    for (size_t i = 0; i < r->header_len; i++) {
        if (r->pub.authority.n == 0 && ox_str_eq(r->header[i].name, OX_STR("host")))
            r->pub.authority = r->header[i].value;
    }
}

/* nghttp2 checks that content-length is one number and that the body keeps to it. */
static int64_t
content_length(const struct ox__http_request *r)
{
    for (size_t i = 0; i < r->header_len; i++) {
        if (!ox_str_eq(r->header[i].name, OX_STR("content-length")))
            continue;
        int64_t n = 0;
        for (size_t k = 0; k < r->header[i].value.n && n < INT64_MAX / 10 - 9; k++)
            n = n * 10 + (r->header[i].value.p[k] - '0');
        return n;
    }
    return -1;
}

static void
headers_complete(struct ox__http_request *r)
{
    struct ox_diag diag;
    settle_fields(r, 0, &r->head);
    split_pseudo(r);
    ox__http_request_set_method(r);
    r->pub.content_length = content_length(r);
    /* What came within the limit shows on_refused in which form to answer. */
    r->pub.headers = r->header;
    r->pub.headers_len = r->trailer_first = r->header_len;
    if (r->head_overflow) {
        ox_diag_set(&diag, OX_E_HEADER_TOO_LARGE, "header", -1,
                    "the headers exceed the limit of %u headers or %zu bytes", r->server->o.headers_max,
                    r->server->o.header_bytes_max);
        ox__http_request_refuse(r, OX_E_HEADER_TOO_LARGE, &diag);
    } else if (ox_str_eq(r->pub.method_name, OX_STR("CONNECT"))) {
        ox_diag_set(&diag, OX_E_UNIMPLEMENTED, "method", -1, "CONNECT is not supported, this is not a proxy");
        ox__http_request_refuse(r, OX_E_UNIMPLEMENTED, &diag);
    } else {
        (void)ox__http_request_headers_done(r);
    }
}

static void
request_complete(struct ox__http_request *r)
{
    struct ox_diag diag;
    settle_fields(r, r->trailer_first, &r->trailer_head);
    if (r->head_overflow) {
        ox_diag_set(&diag, OX_E_HEADER_TOO_LARGE, "trailer", -1, "the trailers exceed the limit");
        ox__http_request_refuse(r, OX_E_HEADER_TOO_LARGE, &diag);
        return;
    }
    ox__http_request_done(r);
}

static int
on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct ox__http_conn *conn = user;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        OX_HTTP_COUNT(conn->server, h2_streams_reset, 1);
        count_reset(conn);
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct ox__http_request *r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (r == NULL)
        return 0;
    if (r->phase == REQ_PHASE_HEAD) {
        headers_complete(r);
        /* What answered at once may already be detached. */
        r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    }
    if (r != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        if (r->started)
            r->phase = REQ_PHASE_COMPLETE;
        else
            request_complete(r);
    }
    return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t n, void *user)
{
    struct ox__http_request *r = nghttp2_session_get_stream_user_data(session, stream_id);
    if (r != NULL && !r->started)
        (void)ox__http_request_body(r, data, n);
    return 0;
}

/* Streams beyond h2_streams_max are refused before they are any: no on_stream_close tells of them. */
static int
on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
    if (error == NGHTTP2_ERR_REFUSED_STREAM)
        count_reset(user);
    return 0;
}

/* Our own reasons to reset a stream are others. */
static bool
is_peers_fault(uint32_t code)
{
    return code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR ||
           code == NGHTTP2_STREAM_CLOSED || code == NGHTTP2_FRAME_SIZE_ERROR ||
           code == NGHTTP2_REFUSED_STREAM;
}

static int
on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t code, void *user)
{
    struct ox__http_conn *conn = user;
    struct ox__http_request *r = nghttp2_session_get_stream_user_data(session, stream_id);
    if (is_peers_fault(code))
        count_reset(conn);
    if (r != NULL) {
        nghttp2_session_set_stream_user_data(session, stream_id, NULL);
        ox__http_request_detach(r, true);
    }
    if (conn->reqs == 0)
        conn->idle_since_ms = ox__http_now_ms(conn->server);
    return 0;
}

static nghttp2_session *
new_session(struct ox__http_conn *conn)
{
    nghttp2_session_callbacks *cb = NULL;
    nghttp2_option *opt = NULL;
    nghttp2_session *session = NULL;
    if (nghttp2_session_callbacks_new(&cb) != 0 || nghttp2_option_new(&opt) != 0) {
        nghttp2_session_callbacks_del(cb);
        return NULL;
    }
    nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, ox__http2_on_frame_send);
    /* Frames of other types are ignored all the same; asked for, they are seen and count. */
    nghttp2_session_callbacks_set_unpack_extension_callback(cb, ignore_extension);
    for (unsigned type = NGHTTP2_CONTINUATION + 1; type <= UINT8_MAX; type++)
        nghttp2_option_set_user_recv_extension_type(opt, (uint8_t)type);
    nghttp2_option_set_max_settings(opt, SETTINGS_MAX);
    nghttp2_option_set_max_outbound_ack(opt, OUTBOUND_ACKS_MAX);
    nghttp2_option_set_no_closed_streams(opt, 1);
    if (nghttp2_session_server_new2(&session, cb, conn, opt) != 0)
        session = NULL;
    nghttp2_option_del(opt);
    nghttp2_session_callbacks_del(cb);
    return session;
}

static bool
greet(struct ox__http_conn *conn, nghttp2_session *session)
{
    const struct ox_http_server_options *o = &conn->server->o;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, o->h2_streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, o->h2_stream_window},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_BYTES_MAX},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)o->header_bytes_max},
    };
    return nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, OX_COUNT(settings)) == 0 &&
           nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                                 (int32_t)o->h2_connection_window) == 0;
}

static bool
open_state(struct ox__http_conn *conn)
{
    struct ox__http2 *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return false;
    h->session = new_session(conn);
    if (h->session == NULL || !greet(conn, h->session)) {
        nghttp2_session_del(h->session);
        free(h);
        return false;
    }
    h->resets_left = conn->server->o.h2_resets_burst;
    h->calm_left = conn->server->o.h2_idle_frames_burst;
    h->calm_ms = h->resets_ms = ox__http_now_ms(conn->server);
    conn->state = h;
    conn->idle_since_ms = h->resets_ms;
    return true;
}

/*
 * What a few bytes of the peer make us say is made at once, and what it has not taken yet bounds what is read on: otherwise
 * a peer could have us reset stream after stream, each of which lives until its RST_STREAM is on its way.
 */
static void
feed_slice(struct ox__http_conn *conn, const uint8_t *data, size_t n)
{
    struct ox__http2 *h = conn->state;
    ssize_t used = nghttp2_session_mem_recv(h->session, data, n);
    if (used == NGHTTP2_ERR_FLOODED)
        OX_HTTP_COUNT(conn->server, h2_floods, 1);
    /* nghttp2 has queued a GOAWAY for what the peer did wrong; only its own failures break the connection. */
    if (used < 0)
        conn->failed = true;
    else
        ox__http2_fill(conn);
}

static void
http2_feed(struct ox__http_conn *conn, const uint8_t *data, size_t n)
{
    if (conn->state == NULL && !open_state(conn)) {
        conn->failed = true;
        return;
    }
    while (n > 0 && !conn->failed && !conn->deaf) {
        size_t part = n < SLICE_BYTES ? n : SLICE_BYTES;
        feed_slice(conn, data, part);
        data += part;
        n -= part;
    }
}

static void
http2_eof(struct ox__http_conn *conn)
{
    conn->failed = true;
}

/* The peer takes nothing of an answer: its window is closed, or it stopped reading. */
static bool
stalled(const struct ox__http_request *r, uint64_t now_ms)
{
    return !r->stalled && r->out.bytes > 0 && now_ms - r->out_since_ms > r->server->o.write_timeout_ms;
}

static void
tick_request(struct ox__http_conn *conn, struct ox__http_request *r, uint64_t now_ms)
{
    struct ox__http2 *h = conn->state;
    const struct ox_http_server_options *o = &conn->server->o;
    struct ox_diag diag;
    if (r->phase == REQ_PHASE_HEAD && now_ms - r->since_ms > o->header_timeout_ms) {
        /* A header block holds up the whole connection: no other frame may come between. */
        OX_HTTP_COUNT(conn->server, connections_timed_out, 1);
        goaway(conn, NGHTTP2_ENHANCE_YOUR_CALM);
    } else if (!r->started && ox__http_request_late(r, now_ms)) {
        ox_diag_set(&diag, OX_E_REQUEST_TIMEOUT, "body", -1, "the body did not arrive within %u ms",
                    o->body_timeout_ms);
        ox__http_request_refuse(r, OX_E_REQUEST_TIMEOUT, &diag);
    } else if (stalled(r, now_ms)) {
        r->stalled = true;
        OX_HTTP_COUNT(conn->server, connections_timed_out, 1);
        nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, r->stream_id, NGHTTP2_CANCEL);
    }
}

static void
http2_tick(struct ox__http_conn *conn, uint64_t now_ms)
{
    struct ox__http2 *h = conn->state;
    struct ox__http_request *r = conn->req_first;
    while (r != NULL) {
        struct ox__http_request *next = r->next;
        tick_request(conn, r, now_ms);
        r = next;
    }
    if (h->notice_sent && !h->goaway_sent && now_ms - h->notice_ms > GOAWAY_GRACE_MS) {
        h->goaway_sent = true;
        nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR, NULL, 0);
    }
    if (conn->reqs == 0 && now_ms - conn->idle_since_ms > conn->server->o.idle_timeout_ms) {
        if (!h->goaway_sent)
            OX_HTTP_COUNT(conn->server, connections_timed_out, 1);
        goaway(conn, NGHTTP2_NO_ERROR);
    }
}

static void
http2_drain(struct ox__http_conn *conn)
{
    struct ox__http2 *h = conn->state;
    if (h->notice_sent || h->goaway_sent)
        return;
    h->notice_sent = true;
    h->notice_ms = ox__http_now_ms(conn->server);
    nghttp2_submit_shutdown_notice(h->session);
}

static void
http2_free(struct ox__http_conn *conn)
{
    struct ox__http2 *h = conn->state;
    nghttp2_session_del(h->session);
    free(h);
    conn->state = NULL;
}

const struct ox__http_proto ox__http2_proto = {
    .feed = http2_feed,
    .read_into = NULL,
    .eof = http2_eof,
    .fill = ox__http2_fill,
    .tick = http2_tick,
    .drain = http2_drain,
    .free = http2_free,
    .start = ox__http2_start,
    .written = ox__http2_written,
    .end = ox__http2_end,
    .abort = ox__http2_abort,
};
