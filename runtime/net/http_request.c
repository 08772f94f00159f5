/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/http_request.c - the life of a request, from its first header to its answer.
 *
 * Owns:    request objects; a bounded pool of idle ones per server.
 * Threads: the server's loop.
 * Bounds:  headers_max, header_bytes_max, the request's body limit and its account.
 * Fails:   refusals, see ox__http_request_refuse.
 * Flow:    http1.c / http2.c -> here -> the hooks -> ox_http_respond* -> http1.c / http2.c.
 *
 * A request is held by its connection (conn), by the handler (handed) and by hooks on the stack (pins); it is
 * freed when the last of the three lets go.
 */
#include "runtime/net/http_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* Shared by all requests without a body; its first reference is never given back. */
static struct ox_body empty_body = {.refs = 1, .data = (uint8_t *)""};

static struct ox__http_request *
of(struct ox_http_request *req)
{
    struct ox__http_request *r = (struct ox__http_request *)req;
    OX_CHECK_OBJ(r, OX_HTTP_REQUEST_MAGIC);
    return r;
}

static struct ox__http_request *
pool_take(struct ox_http_server *server)
{
    struct ox__http_request *r = server->pool;
    if (r == NULL)
        return calloc(1, sizeof(*r));
    server->pool = r->next;
    server->pool_len--;
    r->next = NULL;
    return r;
}

/* Puts it back or frees it. */
static void
pool_give(struct ox_http_server *server, struct ox__http_request *r)
{
    struct ox_buf head = r->head;
    struct ox_http_header *header = r->header;
    size_t header_cap = r->header_cap;
    memset(r, 0, sizeof(*r));
    if (server->closing || server->pool_len >= OX_HTTP_POOL_MAX || head.cap > OX_HTTP_POOL_HEAD_BYTES) {
        ox_buf_fini(&head);
        free(header);
        free(r);
        return;
    }
    ox_buf_reset(&head);
    r->head = head;
    r->header = header;
    r->header_cap = header_cap;
    r->next = server->pool;
    server->pool = r;
    server->pool_len++;
}

struct ox__http_request *
ox__http_request_new(struct ox__http_conn *conn)
{
    struct ox_http_server *server = conn->server;
    struct ox__http_request *r = pool_take(server);
    if (r == NULL)
        return NULL;
    r->magic = OX_HTTP_REQUEST_MAGIC;
    r->server = server;
    server->refs++;
    r->conn = conn;
    r->prev = conn->req_last;
    if (conn->req_last != NULL)
        conn->req_last->next = r;
    else
        conn->req_first = r;
    conn->req_last = r;
    conn->reqs++;
    r->since_ms = ox__http_now_ms(server);
    r->body_limit = server->o.body_bytes_max;
    r->account = server->o.body_account;
    r->pub.content_length = -1;
    r->pub.peer_port = conn->peer_port;
    r->pub.is_loopback = conn->is_loopback;
    r->pub.secure = conn->tls != NULL;
    r->pub.client = ox_tls_names_hold(conn->client);
    memcpy(r->pub.peer, conn->peer, sizeof(r->pub.peer));
    return r;
}

static void
maybe_free(struct ox__http_request *r)
{
    if (r->handed || r->conn != NULL || r->pins != 0)
        return;
    struct ox_http_server *server = r->server;
    ox__chunkq_fini(&r->out);
    ox_buf_fini(&r->trailer_text);
    ox_buf_fini(&r->trailer_head);
    ox_body_drop(r->pub.body);
    ox_tls_names_drop(r->pub.client);
    pool_give(server, r);
    ox__http_server_unref(server);
}

void
ox__http_request_detach(struct ox__http_request *r, bool tell)
{
    struct ox__http_conn *conn = r->conn;
    OX_ASSERT(conn != NULL);
    *(r->prev != NULL ? &r->prev->next : &conn->req_first) = r->next;
    *(r->next != NULL ? &r->next->prev : &conn->req_last) = r->prev;
    r->prev = r->next = NULL;
    conn->reqs--;
    r->conn = NULL;
    ox__chunkq_fini(&r->out);
    if (r->handed) {
        r->gone = true;
        OX_HTTP_COUNT(r->server, requests_gone, 1);
        r->pins++;
        if (tell && r->pub.on_gone != NULL)
            r->pub.on_gone(&r->pub);
        r->pins--;
    }
    maybe_free(r);
}

/* The handler (or a hook) is done with it. */
static void
give_back(struct ox__http_request *r)
{
    OX_ASSERT(r->handed);
    r->handed = false;
    if (r->counted)
        OX_HTTP_COUNT(r->server, requests_pending, -1);
    r->counted = false;
    ox_body_drop(r->pub.body);
    r->pub.body = NULL;
}

struct ox_http_header *
ox__http_request_header_slot(struct ox__http_request *r)
{
    if (r->header_len == r->header_cap) {
        size_t cap = r->header_cap != 0 ? r->header_cap * 2 : 16;
        struct ox_http_header *grown = realloc(r->header, cap * sizeof(*grown));
        if (grown == NULL)
            return NULL;
        r->header = grown;
        r->header_cap = cap;
    }
    return &r->header[r->header_len++];
}

void
ox__http_request_set_method(struct ox__http_request *r)
{
    static const struct {
        const char *name;
        enum ox_http_method method;
    } known[] = {{"GET", OX_HTTP_GET},    {"HEAD", OX_HTTP_HEAD},     {"POST", OX_HTTP_POST},
                 {"PUT", OX_HTTP_PUT},    {"DELETE", OX_HTTP_DELETE}, {"OPTIONS", OX_HTTP_OPTIONS},
                 {"PATCH", OX_HTTP_PATCH}};
    for (size_t i = 0; i < OX_COUNT(known); i++) {
        if (ox_str_eq(r->pub.method_name, ox_str_of(known[i].name)))
            r->pub.method = known[i].method;
    }
    r->head_only = r->pub.method == OX_HTTP_HEAD;
}

bool
ox__http_request_headers_done(struct ox__http_request *r)
{
    struct ox_http_server *server = r->server;
    r->phase = REQ_PHASE_BODY;
    r->pub.headers = r->header;
    r->pub.headers_len = r->header_len;
    r->trailer_first = r->header_len;
    r->since_ms = ox__http_now_ms(server);
    r->pub.start_ns = uv_hrtime();
    OX_HTTP_COUNT(server, requests_total, 1);
    if (server->o.on_headers != NULL) {
        r->handed = true;
        r->pins++;
        server->o.on_headers(server->o.ctx, &r->pub);
        r->pins--;
        if (r->conn == NULL && r->handed && !r->started)
            r->handed = false; /* the hook closed the server */
        if (!r->handed || r->started) {
            maybe_free(r);
            return false;
        }
        r->handed = false;
    }
    if (r->pub.content_length >= 0 && (uint64_t)r->pub.content_length > r->body_limit) {
        struct ox_diag diag;
        ox_diag_set(&diag, OX_E_TOO_LARGE, "content-length", -1,
                    "the body has %lld bytes, the limit is %zu; send smaller batches",
                    (long long)r->pub.content_length, r->body_limit);
        ox__http_request_refuse(r, OX_E_TOO_LARGE, &diag);
        return false;
    }
    return true;
}

static ox_err
body_room(struct ox__http_request *r, size_t need)
{
    size_t declared = r->pub.content_length >= 0 ? (size_t)r->pub.content_length : SIZE_MAX;
    struct ox_body *body = r->pub.body;
    if (body == NULL) {
        size_t cap = declared != SIZE_MAX && declared < OX_HTTP_BODY_FIRST ? declared : OX_HTTP_BODY_FIRST;
        if (declared == SIZE_MAX && need < cap)
            cap = need < 4096 ? 4096 : need;
        r->pub.body = ox_body_new(cap > need ? cap : need, r->account);
        return r->pub.body != NULL ? OX_OK : OX_E_NOMEM;
    }
    if (need <= body->cap)
        return OX_OK;
    size_t cap = body->cap * 2 > need ? body->cap * 2 : need;
    if (cap > declared)
        cap = declared > need ? declared : need;
    return ox_body_grow(body, cap);
}

bool
ox__http_request_body(struct ox__http_request *r, const uint8_t *data, size_t n)
{
    struct ox_diag diag;
    size_t len = r->pub.body != NULL ? r->pub.body->len : 0;
    if (n > r->body_limit || len > r->body_limit - n) {
        ox_diag_set(&diag, OX_E_TOO_LARGE, "body", -1,
                    "the body exceeds the limit of %zu bytes; send smaller batches", r->body_limit);
        ox__http_request_refuse(r, OX_E_TOO_LARGE, &diag);
        return false;
    }
    /* Received in place (http1.c): nothing to copy, the room was made before the read. */
    bool in_place = r->pub.body != NULL && data == r->pub.body->data + len;
    if (!in_place) {
        if (body_room(r, len + n) != OX_OK) {
            ox_diag_set(&diag, OX_E_NOMEM, "body", -1,
                        "no room for this body in the memory budget for requests; retry later");
            ox__http_request_refuse(r, OX_E_NOMEM, &diag);
            return false;
        }
        if (n > 0)
            memcpy(r->pub.body->data + len, data, n);
    }
    r->pub.body->len = len + n;
    r->pub.wire_bytes += n;
    return true;
}

uint8_t *
ox__http_request_body_space(struct ox__http_request *r, size_t left, size_t *cap)
{
    struct ox_body *body = r->pub.body;
    /* The first bytes go through the loop's buffer, so that an idle peer costs no body. */
    if (body == NULL || body->len + left > r->body_limit)
        return NULL;
    if (body->len == body->cap && body_room(r, body->len + 1) != OX_OK)
        return NULL;
    size_t room = body->cap - body->len;
    *cap = room < left ? room : left;
    return body->data + body->len;
}

void
ox__http_request_done(struct ox__http_request *r)
{
    struct ox_http_server *server = r->server;
    r->phase = REQ_PHASE_COMPLETE;
    if (r->pub.body == NULL)
        r->pub.body = ox_body_hold(&empty_body);
    r->pub.headers = r->header;
    r->pub.trailers = r->header + r->trailer_first;
    r->pub.trailers_len = r->header_len - r->pub.headers_len;
    r->handed = true;
    r->counted = true;
    OX_HTTP_COUNT(server, requests_pending, 1);
    r->pins++;
    server->o.on_request(server->o.ctx, &r->pub);
    r->pins--;
    maybe_free(r);
}

static void
refuse_text(struct ox__http_request *r, ox_err err, const struct ox_diag *diag)
{
    const struct ox_err_info *info = ox_err_info(err);
    char text[512];
    int n =
        snprintf(text, sizeof(text), "%s%s%s\n", info->text, diag->text[0] != '\0' ? ": " : "", diag->text);
    struct ox_http_header headers[] = {{OX_STR("content-type"), OX_STR("text/plain; charset=utf-8")},
                                       {OX_STR("retry-after"), OX_STR("1")}};
    struct ox_http_response resp = {
        .status = info->http_status,
        .headers = headers,
        .headers_len = info->retryable ? 2 : 1,
        .text = {text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1},
    };
    ox_http_respond(&r->pub, &resp);
}

void
ox__http_request_refuse(struct ox__http_request *r, ox_err err, const struct ox_diag *diag)
{
    struct ox_http_server *server = r->server;
    OX_HTTP_COUNT(server, requests_refused, 1);
    r->keep_alive = false;
    ox_body_drop(r->pub.body);
    r->pub.body = NULL;
    r->handed = true;
    r->pins++;
    if (server->o.on_refused != NULL)
        server->o.on_refused(server->o.ctx, &r->pub, err, diag);
    if (r->handed && !r->started)
        refuse_text(r, err, diag);
    else if (r->handed)
        ox_http_request_abort(&r->pub);
    r->pins--;
    maybe_free(r);
}

bool
ox__http_request_late(const struct ox__http_request *r, uint64_t now_ms)
{
    const struct ox_http_server_options *o = &r->server->o;
    uint64_t earned_ms = r->pub.wire_bytes * 1000 / o->body_rate_min;
    return r->phase == REQ_PHASE_BODY && now_ms - r->since_ms > o->body_timeout_ms + earned_ms;
}

void
ox__http_request_drained(struct ox__http_request *r)
{
    r->full = false;
    if (!r->handed || r->pub.on_drain == NULL)
        return;
    r->pins++;
    r->pub.on_drain(&r->pub);
    r->pins--;
    maybe_free(r);
}

struct ox_str
ox_http_header(const struct ox_http_request *req, struct ox_str name)
{
    for (size_t i = 0; i < req->headers_len; i++) {
        if (ox_str_caseeq(req->headers[i].name, name))
            return req->headers[i].value;
    }
    return (struct ox_str){NULL, 0};
}

size_t
ox_http_header_count(const struct ox_http_request *req, struct ox_str name)
{
    size_t n = 0;
    for (size_t i = 0; i < req->headers_len; i++)
        n += ox_str_caseeq(req->headers[i].name, name);
    return n;
}

void
ox_http_request_limit(struct ox_http_request *req, size_t body_bytes_max)
{
    of(req)->body_limit = body_bytes_max;
}

void
ox_http_request_account(struct ox_http_request *req, struct ox_account *account)
{
    struct ox__http_request *r = of(req);
    OX_ASSERT(r->pub.body == NULL);
    r->account = account;
}

bool
ox_http_request_gone(const struct ox_http_request *req)
{
    return ((const struct ox__http_request *)req)->conn == NULL;
}

void
ox_http_respond(struct ox_http_request *req, const struct ox_http_response *resp)
{
    struct ox__http_request *r = of(req);
    OX_ASSERT(r->handed && !r->started);
    r->pins++;
    if (r->conn != NULL) {
        r->started = true;
        r->conn->proto->start(r, resp, true);
        give_back(r);
        r->conn->proto->end(r, resp->trailers, resp->trailers_len);
    } else {
        give_back(r);
    }
    if (resp->body != NULL)
        ox_buf_fini(resp->body);
    r->pins--;
    maybe_free(r);
}

void
ox_http_respond_text(struct ox_http_request *req, int status, const char *content_type, struct ox_str text)
{
    struct ox_http_header header = {
        OX_STR("content-type"),
        content_type != NULL ? ox_str_of(content_type) : OX_STR("text/plain; charset=utf-8"),
    };
    struct ox_http_response resp = {.status = status, .headers = &header, .headers_len = 1, .text = text};
    ox_http_respond(req, &resp);
}

void
ox_http_request_abort(struct ox_http_request *req)
{
    struct ox__http_request *r = of(req);
    r->pins++;
    give_back(r);
    if (r->conn != NULL) {
        r->started = r->ended = true;
        ox__chunkq_fini(&r->out);
        r->conn->proto->abort(r);
    }
    r->pins--;
    maybe_free(r);
}

void
ox_http_respond_start(struct ox_http_request *req, const struct ox_http_response *resp)
{
    struct ox__http_request *r = of(req);
    OX_ASSERT(r->handed && !r->started);
    OX_ASSERT(resp->body == NULL && resp->text.n == 0);
    r->started = true;
    if (r->conn == NULL)
        return;
    r->conn->proto->start(r, resp, false);
    if (r->conn != NULL)
        r->conn->proto->written(r);
}

static bool
after_write(struct ox__http_request *r)
{
    r->conn->proto->written(r);
    bool room = ox_http_respond_queued(&r->pub) < r->server->o.write_queue_high;
    r->full = r->full || !room;
    return room;
}

/* The size line before and the line end after a chunk; nothing outside HTTP/1.1. */
static bool
chunk_frame(struct ox__http_request *r, size_t n, bool before)
{
    if (!r->chunked_out)
        return true;
    char line[24];
    int len = before ? snprintf(line, sizeof(line), "%zx\r\n", n) : snprintf(line, sizeof(line), "\r\n");
    return ox__chunkq_copy(&r->out, line, (size_t)len);
}

bool
ox_http_respond_write(struct ox_http_request *req, const void *bytes, size_t n)
{
    struct ox__http_request *r = of(req);
    OX_ASSERT(r->handed && r->started && !r->ended);
    if (r->conn == NULL || n == 0 || r->head_only)
        return true;
    bool ok = chunk_frame(r, n, true) && ox__chunkq_copy(&r->out, bytes, n) && chunk_frame(r, n, false);
    r->conn->failed = r->conn->failed || !ok;
    return after_write(r);
}

bool
ox_http_respond_write_buf(struct ox_http_request *req, struct ox_buf *buf)
{
    struct ox__http_request *r = of(req);
    OX_ASSERT(r->handed && r->started && !r->ended);
    size_t n = buf->len;
    if (r->conn == NULL || n == 0 || r->head_only) {
        ox_buf_fini(buf);
        return true;
    }
    bool ok = chunk_frame(r, n, true) && ox__chunkq_steal(&r->out, buf) && chunk_frame(r, n, false);
    r->conn->failed = r->conn->failed || !ok;
    return after_write(r);
}

size_t
ox_http_respond_queued(const struct ox_http_request *req)
{
    const struct ox__http_request *r = (const struct ox__http_request *)req;
    if (r->conn == NULL)
        return 0;
    bool its_turn = r->stream_id == 0 && r->conn->req_first == r;
    return r->out.bytes + (its_turn ? ox__http_conn_queued(r->conn) : 0);
}

void
ox_http_respond_end(struct ox_http_request *req, const struct ox_http_header *trailers, size_t trailers_len)
{
    struct ox__http_request *r = of(req);
    OX_ASSERT(r->handed && r->started);
    r->pins++;
    give_back(r);
    if (r->conn != NULL)
        r->conn->proto->end(r, trailers, trailers_len);
    r->pins--;
    maybe_free(r);
}
