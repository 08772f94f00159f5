/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/http2_client.c - the HTTP/2 half of http_client.h, on nghttp2's client session.
 *
 * Owns:    one connection and its streams.
 * Threads: one thread per client.
 * Bounds:  STREAMS_MAX streams per client, found by id.
 */
#include "tests/harness/http_client.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADERS_MAX 32
#define WINDOW      (1 << 20)

struct stream {
    struct stream *next;
    int32_t id;
    const uint8_t *body;
    size_t body_n, at;
    bool end, done;
    const char *const *trailers;
    struct ox_client_response answer;
};

struct ox_client2 {
    int fd;
    nghttp2_session *session;
    struct stream *streams;
    int64_t goaway;
    bool lost;
};

static struct stream *
find(struct ox_client2 *c, int32_t id)
{
    struct stream *s = c->streams;
    while (s != NULL && s->id != id)
        s = s->next;
    return s;
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
          const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    struct stream *s = find(user, frame->hd.stream_id);
    if (s == NULL)
        return 0;
    if (name_n == 7 && memcmp(name, ":status", 7) == 0) {
        s->answer.status = atoi((const char *)value);
        return 0;
    }
    struct ox_buf *to =
        frame->headers.cat == NGHTTP2_HCAT_RESPONSE ? &s->answer.headers : &s->answer.trailers;
    ox_buf_printf(to, "%.*s: %.*s\r\n", (int)name_n, name, (int)value_n, value);
    return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t n, void *user)
{
    struct stream *s = find(user, id);
    if (s != NULL)
        ox_buf_append(&s->answer.body, data, n);
    return 0;
}

static int
on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct stream *s = find(user, id);
    if (s != NULL) {
        s->done = true;
        s->answer.reset_code = code;
        s->answer.closed = code != NGHTTP2_NO_ERROR;
    }
    return 0;
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct ox_client2 *c = user;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        c->goaway = frame->goaway.error_code;
    return 0;
}

static size_t
pairs(nghttp2_nv *nv, const char *const *list)
{
    size_t n = 0;
    for (; list != NULL && list[2 * n] != NULL; n++) {
        nv[n] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)list[2 * n],
                             .value = (uint8_t *)(uintptr_t)list[2 * n + 1],
                             .namelen = strlen(list[2 * n]),
                             .valuelen = strlen(list[2 * n + 1])};
    }
    return n;
}

static ssize_t
read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t cap, uint32_t *flags,
          nghttp2_data_source *source, void *user)
{
    struct stream *s = source->ptr;
    size_t n = s->body_n - s->at < cap ? s->body_n - s->at : cap;
    if (n > 0)
        memcpy(to, s->body + s->at, n);
    s->at += n;
    if (s->at < s->body_n)
        return (ssize_t)n;
    if (!s->end)
        return n > 0 ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (s->trailers != NULL) {
        nghttp2_nv nv[HEADERS_MAX];
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        nghttp2_submit_trailer(session, id, nv, pairs(nv, s->trailers));
    }
    return (ssize_t)n;
}

struct ox_client2 *
ox_client2_open(uint16_t port)
{
    struct ox_client2 *c = calloc(1, sizeof(*c));
    nghttp2_session_callbacks *cb;
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW}};
    if (c == NULL || nghttp2_session_callbacks_new(&cb) != 0)
        abort();
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    c->goaway = -1;
    c->fd = ox_client_connect(port);
    if (nghttp2_session_client_new(&c->session, cb, c) != 0)
        abort();
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 1);
    nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, 8 * WINDOW);
    return c;
}

void
ox_client2_close(struct ox_client2 *c)
{
    if (c->fd >= 0)
        close(c->fd);
    nghttp2_session_del(c->session);
    while (c->streams != NULL) {
        struct stream *s = c->streams;
        c->streams = s->next;
        ox_client_response_fini(&s->answer);
        free(s);
    }
    free(c);
}

int32_t
ox_client2_submit(struct ox_client2 *c, const char *method, const char *path, const char *const *headers,
                  const void *body, size_t body_n, const char *const *trailers, bool end)
{
    const char *const pseudo[] = {":method",   method,  ":scheme", "http", ":authority",
                                  "127.0.0.1", ":path", path,      NULL};
    nghttp2_nv nv[HEADERS_MAX + 4];
    struct stream *s = calloc(1, sizeof(*s));
    size_t n = pairs(nv, pseudo);
    n += pairs(nv + n, headers);
    *s =
        (struct stream){.body = body, .body_n = body_n, .end = end, .trailers = trailers, .next = c->streams};
    nghttp2_data_provider provider = {.source.ptr = s, .read_callback = read_body};
    bool bare = body_n == 0 && end && trailers == NULL;
    s->id = nghttp2_submit_request(c->session, NULL, nv, n, bare ? NULL : &provider, s);
    c->streams = s;
    return s->id;
}

void
ox_client2_reset(struct ox_client2 *c, int32_t stream, uint32_t code)
{
    nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, stream, code);
}

bool
ox_client2_flush(struct ox_client2 *c)
{
    const uint8_t *p;
    ssize_t n;
    while (!c->lost && (n = nghttp2_session_mem_send(c->session, &p)) > 0)
        c->lost = !ox_client_send(c->fd, p, (size_t)n);
    return !c->lost;
}

bool
ox_client2_step(struct ox_client2 *c)
{
    static _Thread_local uint8_t buf[65536];
    ox_client2_flush(c);
    ssize_t n = recv(c->fd, buf, sizeof(buf), 0);
    if (n <= 0)
        return false;
    return nghttp2_session_mem_recv(c->session, buf, (size_t)n) >= 0;
}

bool
ox_client2_done(struct ox_client2 *c, int32_t stream)
{
    struct stream *s = find(c, stream);
    return s == NULL || s->done;
}

bool
ox_client2_wait(struct ox_client2 *c, int32_t stream, struct ox_client_response *out)
{
    struct stream *s = find(c, stream);
    ox_client_response_fini(out);
    while (s != NULL && !s->done) {
        if (!ox_client2_step(c))
            return false;
    }
    ox_client2_flush(c);
    if (s == NULL)
        return false;
    *out = s->answer;
    memset(&s->answer, 0, sizeof(s->answer));
    return true;
}

int64_t
ox_client2_wait_goaway(struct ox_client2 *c)
{
    while (c->goaway < 0 && ox_client2_step(c)) {
    }
    return c->goaway;
}

int
ox_client2_fd(const struct ox_client2 *c)
{
    return c->fd;
}
