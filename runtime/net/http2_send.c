/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/http2_send.c - answers of HTTP/2 streams: headers, data, trailers, resets.
 *
 * Owns:    nothing; each request holds the bytes of its answer.
 * Threads: the server's loop.
 * Bounds:  HEADERS_MAX headers in an answer; frames are produced while less than OX_HTTP_OUT_TARGET waits.
 * Fails:   a stream that cannot be answered is reset.
 * Flow:    http_request.c -> here -> nghttp2 -> conn->out.
 */
#include "runtime/net/http2_internal.h"

#include <stdio.h>

#define HEADERS_MAX 64

/* Names in HTTP/2 are lower case, and control characters are malformed: text gets a clean copy of both. */
static bool
put_nv(struct ox_buf *text, nghttp2_nv *nv, struct ox_str name, struct ox_str value)
{
    uint8_t *to = ox_buf_reserve(text, name.n + value.n + 1);
    if (to == NULL)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        to[i] = (uint8_t)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        to[name.n + i] = c < 0x20 || c == 0x7f ? ' ' : c;
    }
    /* Offsets for now: text may move. */
    *nv = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)text->len,
                       .value = (uint8_t *)(uintptr_t)(text->len + name.n),
                       .namelen = name.n,
                       .valuelen = value.n};
    text->len += name.n + value.n;
    return true;
}

static void
settle_nv(const struct ox_buf *text, nghttp2_nv *nv, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        nv[i].name = text->data + (uintptr_t)nv[i].name;
        nv[i].value = text->data + (uintptr_t)nv[i].value;
    }
}

/* trailer_text holds name, value, name, value...; each ended by a zero byte. */
static void
submit_trailers(nghttp2_session *session, struct ox__http_request *r)
{
    nghttp2_nv nv[HEADERS_MAX];
    char *p = (char *)r->trailer_text.data;
    for (size_t i = 0; i < r->trailer_count; i++) {
        size_t name_n = strlen(p);
        char *value = p + name_n + 1;
        nv[i] = (nghttp2_nv){
            .name = (uint8_t *)p, .value = (uint8_t *)value, .namelen = name_n, .valuelen = strlen(value)};
        p = value + nv[i].valuelen + 1;
    }
    if (nghttp2_submit_trailer(session, r->stream_id, nv, r->trailer_count) != 0)
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, r->stream_id, NGHTTP2_INTERNAL_ERROR);
}

static ssize_t
read_answer(nghttp2_session *session, int32_t stream_id, uint8_t *to, size_t cap, uint32_t *flags,
            nghttp2_data_source *source, void *user)
{
    struct ox__http_request *r = nghttp2_session_get_stream_user_data(session, stream_id);
    if (r == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t n = ox__chunkq_take(&r->out, to, cap);
    if (n > 0)
        r->out_since_ms = ox__http_now_ms(r->server);
    if (r->out.bytes == 0 && r->ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (r->trailer_count > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            submit_trailers(session, r);
        }
        return (ssize_t)n;
    }
    if (n == 0) {
        r->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)n;
}

/* A response without body and without trailers ends with its headers. */
static bool
ends_with_headers(const struct ox__http_request *r, const struct ox_http_response *resp, bool whole,
                  size_t body_n)
{
    return r->head_only || (whole && body_n == 0 && resp->trailers_len == 0);
}

static int
submit(struct ox__http_request *r, const struct ox_http_response *resp, bool whole, size_t body_n)
{
    struct ox__http2 *h = r->conn->state;
    struct ox_buf *text = &r->server->scratch;
    nghttp2_nv nv[HEADERS_MAX + 3];
    char number[24];
    size_t n = 0;
    OX_ASSERT(resp->headers_len <= HEADERS_MAX);
    ox_buf_reset(text);
    snprintf(number, sizeof(number), "%d", resp->status);
    bool ok = put_nv(text, &nv[n++], OX_STR(":status"), ox_str_of(number));
    for (size_t i = 0; ok && i < resp->headers_len; i++)
        ok = put_nv(text, &nv[n++], resp->headers[i].name, resp->headers[i].value);
    struct ox_str date = ox__http_date(r->server);
    if (ok && date.n > 0)
        ok = put_nv(text, &nv[n++], OX_STR("date"), date);
    if (ok && whole && body_n > 0 && resp->trailers_len == 0) {
        snprintf(number, sizeof(number), "%zu", body_n);
        ok = put_nv(text, &nv[n++], OX_STR("content-length"), ox_str_of(number));
    }
    if (!ok)
        return NGHTTP2_ERR_NOMEM;
    settle_nv(text, nv, n);
    nghttp2_data_provider provider = {.read_callback = read_answer};
    return nghttp2_submit_response(h->session, r->stream_id, nv, n,
                                   ends_with_headers(r, resp, whole, body_n) ? NULL : &provider);
}

void
ox__http2_start(struct ox__http_request *r, const struct ox_http_response *resp, bool whole)
{
    struct ox__http_conn *conn = r->conn;
    struct ox_str body = resp->body != NULL ? ox_buf_str(resp->body) : resp->text;
    r->head_only = r->head_only || resp->status == 204 || resp->status == 304;
    r->out_since_ms = ox__http_now_ms(r->server);
    bool ok = resp->body == NULL || !resp->body->failed;
    ok = ok && submit(r, resp, whole, body.n) == 0;
    if (ok && !r->head_only && resp->body != NULL)
        ok = ox__chunkq_steal(&r->out, resp->body);
    else if (ok && !r->head_only)
        ok = ox__chunkq_copy(&r->out, body.p, body.n);
    conn->failed = conn->failed || !ok;
    if (resp->close)
        conn->proto->drain(conn);
    ox__http_conn_dirty(conn);
}

void
ox__http2_written(struct ox__http_request *r)
{
    struct ox__http2 *h = r->conn->state;
    if (r->deferred) {
        r->deferred = false;
        r->out_since_ms = ox__http_now_ms(r->server);
        nghttp2_session_resume_data(h->session, r->stream_id);
    }
    ox__http_conn_dirty(r->conn);
}

void
ox__http2_end(struct ox__http_request *r, const struct ox_http_header *trailers, size_t n)
{
    OX_ASSERT(n <= HEADERS_MAX);
    for (size_t i = 0; i < n; i++) {
        nghttp2_nv nv;
        if (!put_nv(&r->trailer_text, &nv, trailers[i].name, OX_STR("")))
            break;
        ox_buf_append(&r->trailer_text, "", 1);
        if (!put_nv(&r->trailer_text, &nv, OX_STR(""), trailers[i].value))
            break;
        ox_buf_append(&r->trailer_text, "", 1);
    }
    r->conn->failed = r->conn->failed || r->trailer_text.failed;
    r->trailer_count = n;
    r->ended = true;
    ox__http2_written(r);
}

void
ox__http2_abort(struct ox__http_request *r)
{
    struct ox__http2 *h = r->conn->state;
    nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, r->stream_id, NGHTTP2_INTERNAL_ERROR);
    ox__http_conn_dirty(r->conn);
}

void
ox__http2_fill(struct ox__http_conn *conn)
{
    struct ox__http2 *h = conn->state;
    while (conn->out.bytes < OX_HTTP_OUT_TARGET) {
        const uint8_t *bytes = NULL;
        ssize_t n = nghttp2_session_mem_send(h->session, &bytes);
        if (n > 0) /* whoever takes much has to say so often */
            h->calm_left += (double)n / OX_HTTP2_BYTES_PER_CALM;
        if (n < 0 || (n > 0 && !ox__chunkq_copy(&conn->out, bytes, (size_t)n)))
            conn->failed = true;
        if (n <= 0 || conn->failed)
            break;
    }
    if (!conn->lingering)
        ox__http_conn_pause(conn, conn->eof || conn->out.bytes >= OX_HTTP_OUT_TARGET);
    if (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session))
        conn->finishing = true;
}

int
ox__http2_on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    if ((frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) ||
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        return 0;
    struct ox__http_request *r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (r != NULL && r->phase != REQ_PHASE_COMPLETE)
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}
