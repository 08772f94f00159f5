/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/http1.c - an HTTP/1.1 connection: requests in, answers out in the order of the requests.
 *
 * Owns:    the reading state of one connection and input that waits while it is paused.
 * Threads: the server's loop.
 * Bounds:  pipeline_max requests in memory, then reading pauses; header_bytes_max; DISCARD_MAX of unwanted
 *          body.
 * Fails:   refusals (see ox/http.h); after one the connection closes, since framing can no longer be trusted.
 * Flow:    http_conn.c feeds -> http1_parse.c reads -> http_request.c tells the handler -> start/written/end.
 */
#include <stdlib.h>

#include "runtime/net/http1_parse.h"
#include "runtime/net/http_internal.h"
#include "runtime/net/http_reason.h"

/* Empty lines tolerated before a request (RFC 9112, 2.2 asks for one). */
#define BLANK_LINES_MAX 4
/* Bodies up to this size are copied behind their head, so that a small answer is one piece. */
#define BODY_JOIN_BYTES 4096

enum phase { HEAD, BODY, CHUNKED, TRAILERS, DISCARD, DEAD };

struct http1 {
    enum phase phase;
    struct ox__http_request *cur; /* being read; NULL between requests */
    struct ox__h1_scan scan;
    struct ox__h1_chunked chunked;
    uint64_t left; /* bytes of the body to come */
    uint64_t discard_since_ms;
    int blanks;
    bool stopped; /* enough requests in memory: held keeps the rest */
    bool no_more; /* the peer's half is shut */
    struct ox_buf held;
};

static struct http1 *
state_of(struct ox__http_conn *conn)
{
    if (conn->state == NULL)
        conn->state = calloc(1, sizeof(struct http1));
    if (conn->state == NULL)
        conn->failed = true;
    return conn->state;
}

static struct ox_http_header *
slot(void *ctx)
{
    struct ox__http_request *r = ctx;
    return r->header_len < r->server->o.headers_max ? ox__http_request_header_slot(r) : NULL;
}

/* What has been answered goes out, in order; a request that is answered to its end goes. */
static void
advance(struct ox__http_conn *conn)
{
    struct http1 *h = conn->state;
    while (conn->req_first != NULL && !conn->finishing) {
        struct ox__http_request *r = conn->req_first;
        ox__chunkq_move(&conn->out, &r->out);
        if (!r->ended)
            break;
        if (!r->keep_alive) {
            conn->finishing = true;
            h->phase = DEAD;
        }
        ox__http_request_detach(r, false);
    }
    if (conn->reqs == 0) {
        conn->idle_since_ms = ox__http_now_ms(conn->server);
        conn->finishing = conn->finishing || h->no_more;
    }
    ox__http_conn_dirty(conn);
}

static void
refuse(struct ox__http_conn *conn, ox_err err, const struct ox_diag *diag)
{
    struct http1 *h = conn->state;
    struct ox__http_request *r = h->cur;
    h->cur = NULL;
    h->phase = DEAD;
    ox__http_request_refuse(r, err, diag);
}

static void
complete(struct ox__http_conn *conn)
{
    struct http1 *h = conn->state;
    struct ox__http_request *r = h->cur;
    h->cur = NULL;
    h->phase = r->keep_alive ? HEAD : DEAD;
    ox__http_request_done(r);
}

static void
take_head(struct ox__http_request *r, const struct ox__h1_head *head)
{
    r->pub.version = head->minor == 1 ? OX_HTTP_1_1 : OX_HTTP_1_0;
    r->pub.method_name = head->method;
    r->pub.path = head->path;
    r->pub.query = head->query;
    r->pub.authority = head->authority;
    r->pub.content_length = head->chunked ? -1 : head->content_length < 0 ? 0 : head->content_length;
    r->keep_alive = head->keep_alive;
    r->expect_continue = head->expect_continue;
    ox__http_request_set_method(r);
}

static void
head_complete(struct ox__http_conn *conn)
{
    struct http1 *h = conn->state;
    struct ox__http_request *r = h->cur;
    struct ox__h1_head head;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    ox_err err = ox__h1_parse_head(ox_buf_str(&r->head), slot, r, &head, &diag);
    if (err != OX_OK) {
        refuse(conn, err, &diag);
        return;
    }
    take_head(r, &head);
    memset(&h->scan, 0, sizeof(h->scan));
    memset(&h->chunked, 0, sizeof(h->chunked));
    h->blanks = 0;
    h->left = head.chunked ? 0 : (uint64_t)r->pub.content_length;
    h->phase = head.chunked ? CHUNKED : h->left > 0 ? BODY : HEAD;
    if (!ox__http_request_headers_done(r))
        return; /* start() or refuse() settled how the connection goes on */
    if (h->phase == HEAD) {
        complete(conn);
        return;
    }
    if (r->expect_continue) {
        r->expect_continue = false;
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        conn->failed = conn->failed || !ox__chunkq_copy(&r->out, go_on, sizeof(go_on) - 1);
        advance(conn);
    }
}

/* Feeds a head or a trailer section; returns the bytes used. */
static size_t
feed_section(struct ox__http_conn *conn, struct ox_buf *into, const uint8_t *data, size_t n, bool *done)
{
    struct http1 *h = conn->state;
    size_t max = conn->server->o.header_bytes_max;
    size_t used = 0;
    struct ox_diag diag;
    enum ox__h1_scan_result found = ox__h1_scan(&h->scan, data, n, &used);
    *done = false;
    if (found == H1_SCAN_BAD) {
        ox_diag_set(&diag, OX_E_INVALID, "header", -1, "lines must end in CRLF, this one ends in LF alone");
        refuse(conn, OX_E_INVALID, &diag);
        return n;
    }
    if (into->len + used > max) {
        ox_diag_set(&diag, OX_E_HEADER_TOO_LARGE, "header", -1, "the headers exceed the limit of %zu bytes",
                    max);
        refuse(conn, OX_E_HEADER_TOO_LARGE, &diag);
        return n;
    }
    if (found == H1_SCAN_BLANK) {
        memset(&h->scan, 0, sizeof(h->scan));
        ox_buf_reset(into);
        *done = into != &h->cur->head; /* no trailers at all */
        return used;
    }
    ox_buf_append(into, data, used);
    conn->failed = conn->failed || into->failed;
    *done = found == H1_SCAN_END;
    return used;
}

/* Begins a request, or holds the input back while there are enough. */
static bool
begin(struct ox__http_conn *conn, const uint8_t *data, size_t n)
{
    struct http1 *h = conn->state;
    const struct ox_http_server_options *o = &conn->server->o;
    if (conn->reqs >= o->pipeline_max || ox__http_conn_queued(conn) >= o->write_queue_high) {
        ox_buf_append(&h->held, data, n);
        conn->failed = conn->failed || h->held.failed;
        h->stopped = true;
        ox__http_conn_pause(conn, true);
        return false;
    }
    h->cur = ox__http_request_new(conn);
    conn->failed = conn->failed || h->cur == NULL;
    return h->cur != NULL;
}

static size_t
feed_head(struct ox__http_conn *conn, const uint8_t *data, size_t n)
{
    struct http1 *h = conn->state;
    if (h->cur == NULL && !begin(conn, data, n))
        return n;
    bool done = false;
    size_t used = feed_section(conn, &h->cur->head, data, n, &done);
    if (done && !conn->failed) {
        head_complete(conn);
    } else if (h->cur != NULL && h->scan.lines == 0 && h->scan.line_len == 0 &&
               ++h->blanks > BLANK_LINES_MAX) {
        struct ox_diag diag;
        ox_diag_set(&diag, OX_E_INVALID, "request-line", 0, "expected a request line, found empty lines");
        refuse(conn, OX_E_INVALID, &diag);
    }
    return used;
}

static size_t
feed_body(struct ox__http_conn *conn, const uint8_t *data, size_t n)
{
    struct http1 *h = conn->state;
    size_t part = h->left < n ? (size_t)h->left : n;
    h->left -= part;
    if (ox__http_request_body(h->cur, data, part) && h->left == 0)
        complete(conn);
    return part;
}

static size_t
feed_chunked(struct ox__http_conn *conn, const uint8_t *data, size_t n)
{
    struct http1 *h = conn->state;
    size_t used = 0, data_n = 0;
    struct ox_diag diag;
    switch (ox__h1_chunked_next(&h->chunked, data, n, &used, &data_n, &diag)) {
    case H1_CHUNK_BAD:
        refuse(conn, OX_E_INVALID, &diag);
        return n;
    case H1_CHUNK_DATA:
        (void)ox__http_request_body(h->cur, data + used - data_n, data_n);
        return used;
    case H1_CHUNK_TRAILERS:
        memset(&h->scan, 0, sizeof(h->scan));
        h->phase = TRAILERS;
        return used;
    case H1_CHUNK_MORE:
        break;
    }
    return used;
}

static size_t
feed_trailers(struct ox__http_conn *conn, const uint8_t *data, size_t n)
{
    struct http1 *h = conn->state;
    struct ox__http_request *r = h->cur;
    bool done = false;
    size_t used = feed_section(conn, &r->trailer_head, data, n, &done);
    if (!done || conn->failed)
        return used;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    memset(&h->scan, 0, sizeof(h->scan));
    ox_err err = OX_OK;
    if (r->trailer_head.len > 0)
        err = ox__h1_parse_fields(ox_buf_str(&r->trailer_head), slot, r, &diag);
    if (err != OX_OK)
        refuse(conn, err, &diag);
    else
        complete(conn);
    return used;
}

static size_t
feed_discard(struct http1 *h, size_t n)
{
    size_t part = h->left < n ? (size_t)h->left : n;
    h->left -= part;
    if (h->left == 0)
        h->phase = HEAD;
    return part;
}

static void
http1_feed(struct ox__http_conn *conn, const uint8_t *data, size_t n)
{
    struct http1 *h = state_of(conn);
    while (n > 0 && !conn->failed) {
        size_t used = n;
        if (h->stopped) {
            ox_buf_append(&h->held, data, n);
            conn->failed = h->held.failed;
        } else if (h->phase == HEAD) {
            used = feed_head(conn, data, n);
        } else if (h->phase == BODY) {
            used = feed_body(conn, data, n);
        } else if (h->phase == CHUNKED) {
            used = feed_chunked(conn, data, n);
        } else if (h->phase == TRAILERS) {
            used = feed_trailers(conn, data, n);
        } else if (h->phase == DISCARD) {
            used = feed_discard(h, n);
        }
        data += used;
        n -= used;
    }
}

static uint8_t *
http1_read_into(struct ox__http_conn *conn, size_t *cap)
{
    struct http1 *h = conn->state;
    if (h->phase != BODY || h->cur == NULL)
        return NULL;
    return ox__http_request_body_space(h->cur, h->left, cap);
}

static void
http1_eof(struct ox__http_conn *conn)
{
    struct http1 *h = conn->state;
    if (h->cur != NULL)
        conn->failed = true;
    h->no_more = true;
    h->phase = DEAD;
}

/* Goes on with input that was held back once there is room again. */
static void
http1_fill(struct ox__http_conn *conn)
{
    struct http1 *h = conn->state;
    const struct ox_http_server_options *o = &conn->server->o;
    if (!h->stopped || conn->reqs >= o->pipeline_max || conn->finishing ||
        ox__http_conn_queued(conn) >= o->write_queue_high)
        return;
    struct ox_buf held = h->held;
    ox_buf_init(&h->held);
    h->stopped = false;
    http1_feed(conn, held.data, held.len);
    ox_buf_fini(&held);
    if (!h->stopped && !conn->failed)
        ox__http_conn_pause(conn, false);
}

static void
http1_tick(struct ox__http_conn *conn, uint64_t now_ms)
{
    struct http1 *h = conn->state;
    const struct ox_http_server_options *o = &conn->server->o;
    bool late = false, failed_before = conn->failed; /* for another reason, and not closed yet */
    struct ox_diag diag;
    if (h->phase == HEAD && h->cur != NULL && now_ms - h->cur->since_ms > o->header_timeout_ms) {
        late = true;
        ox_diag_set(&diag, OX_E_REQUEST_TIMEOUT, "header", -1, "the headers did not arrive within %u ms",
                    o->header_timeout_ms);
    } else if (h->cur != NULL && h->phase != HEAD && ox__http_request_late(h->cur, now_ms)) {
        late = true;
        ox_diag_set(&diag, OX_E_REQUEST_TIMEOUT, "body", -1, "the body did not arrive within %u ms",
                    o->body_timeout_ms);
    } else if (h->phase == DISCARD && now_ms - h->discard_since_ms > o->body_timeout_ms) {
        conn->failed = true;
    } else if (h->phase == HEAD && h->cur == NULL && conn->reqs == 0 && !conn->finishing &&
               now_ms - conn->idle_since_ms > o->idle_timeout_ms) {
        conn->failed = true;
    }
    if (late || (conn->failed && !failed_before))
        OX_HTTP_COUNT(conn->server, connections_timed_out, 1);
    if (late)
        refuse(conn, OX_E_REQUEST_TIMEOUT, &diag);
}

static void
http1_drain(struct ox__http_conn *conn)
{
    if (conn->reqs == 0)
        conn->finishing = true;
}

static void
http1_free(struct ox__http_conn *conn)
{
    struct http1 *h = conn->state;
    ox_buf_fini(&h->held);
    free(h);
    conn->state = NULL;
}

/* Whether another request may follow this answer; what is left of an unwanted body is settled here. */
static bool
settle_keep_alive(struct ox__http_request *r, const struct ox_http_response *resp)
{
    struct ox__http_conn *conn = r->conn;
    struct http1 *h = conn->state;
    bool keep = r->keep_alive && !resp->close && !conn->server->draining;
    if (h->cur != r)
        return keep;
    bool incomplete = h->phase == BODY || h->phase == CHUNKED || h->phase == TRAILERS;
    if (incomplete && (h->phase != BODY || h->left > OX_HTTP_DISCARD_MAX || r->expect_continue))
        keep = false;
    h->cur = NULL;
    if (!keep) {
        h->phase = DEAD;
    } else if (incomplete) {
        h->phase = DISCARD;
        h->discard_since_ms = ox__http_now_ms(conn->server);
    }
    return keep;
}

/* A header of an answer; control characters would split it, so they become spaces. */
static void
put_header(struct ox_buf *b, struct ox_str name, struct ox_str value)
{
    ox_buf_append_str(b, name);
    ox_buf_append_cstr(b, ": ");
    size_t from = b->len;
    ox_buf_append_str(b, value);
    for (size_t i = from; i < b->len; i++) {
        if (b->data[i] < 0x20 || b->data[i] == 0x7f)
            b->data[i] = ' ';
    }
    ox_buf_append_cstr(b, "\r\n");
}

static void
put_head(struct ox__http_request *r, const struct ox_http_response *resp, bool whole, size_t body_n)
{
    struct ox_buf *b = &r->server->scratch;
    ox_buf_reset(b);
    ox_buf_printf(b, "HTTP/1.1 %d %s\r\n", resp->status, ox__http_reason(resp->status));
    for (size_t i = 0; i < resp->headers_len; i++)
        put_header(b, resp->headers[i].name, resp->headers[i].value);
    struct ox_str date = ox__http_date(r->server);
    if (date.n > 0)
        put_header(b, OX_STR("date"), date);
    if (r->chunked_out)
        ox_buf_append_cstr(b, "transfer-encoding: chunked\r\n");
    else if (whole && resp->status != 204 && resp->status != 304)
        ox_buf_printf(b, "content-length: %zu\r\n", body_n);
    if (!r->keep_alive)
        ox_buf_append_cstr(b, "connection: close\r\n");
    else if (r->pub.version == OX_HTTP_1_0)
        ox_buf_append_cstr(b, "connection: keep-alive\r\n");
    ox_buf_append_cstr(b, "\r\n");
}

static void
http1_start(struct ox__http_request *r, const struct ox_http_response *resp, bool whole)
{
    struct ox__http_conn *conn = r->conn;
    struct ox_buf *b = &r->server->scratch;
    struct ox_str body = resp->body != NULL ? ox_buf_str(resp->body) : resp->text;
    r->keep_alive = settle_keep_alive(r, resp);
    r->head_only = r->head_only || resp->status == 204 || resp->status == 304;
    r->chunked_out = !whole && !r->head_only && r->pub.version != OX_HTTP_1_0;
    if (!whole && !r->chunked_out && !r->head_only)
        r->keep_alive = false; /* HTTP/1.0: the end of the connection ends the body */
    put_head(r, resp, whole, body.n);
    bool join = resp->body == NULL || body.n <= BODY_JOIN_BYTES;
    if (!r->head_only && join)
        ox_buf_append_str(b, body);
    bool ok = !b->failed && ox__chunkq_copy(&r->out, b->data, b->len);
    if (resp->body != NULL)
        ok = ok && !resp->body->failed;
    if (ok && !r->head_only && !join)
        ok = ox__chunkq_steal(&r->out, resp->body);
    conn->failed = conn->failed || !ok;
    ox__http_conn_dirty(conn);
}

static void
http1_written(struct ox__http_request *r)
{
    if (r->conn->req_first == r)
        ox__chunkq_move(&r->conn->out, &r->out);
    ox__http_conn_dirty(r->conn);
}

static void
http1_end(struct ox__http_request *r, const struct ox_http_header *trailers, size_t n)
{
    struct ox__http_conn *conn = r->conn;
    if (r->chunked_out && !ox__chunkq_copy(&r->out, "0\r\n\r\n", 5))
        conn->failed = true;
    r->ended = true;
    advance(conn);
}

static void
http1_abort(struct ox__http_request *r)
{
    r->conn->failed = true;
    ox__http_conn_dirty(r->conn);
}

const struct ox__http_proto ox__http1_proto = {
    .feed = http1_feed,
    .read_into = http1_read_into,
    .eof = http1_eof,
    .fill = http1_fill,
    .tick = http1_tick,
    .drain = http1_drain,
    .free = http1_free,
    .start = http1_start,
    .written = http1_written,
    .end = http1_end,
    .abort = http1_abort,
};
