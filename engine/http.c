/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/http.c - reading requests and writing replies on one blocking socket.
 *
 * Owns:    the socket and the bytes read ahead of the parser.
 * Threads: the connection's own.
 * Bounds:  URL and header 256 KiB each, 256 parameters, body_bytes_max.
 * Fails:   a status of RFC 9110 with a sentence; silence when the peer is gone.
 * Flow:    server.c -> here -> statement.c -> here.
 *
 * The parser is paused twice per request: behind the header, so that a request without the key is answered
 * before its body is read, and behind the message, so that a pipelined request stays in the buffer.
 */
#include "engine/http.h"

#include <errno.h>
#include <http_parser.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES       (64 * 1024)
#define URL_BYTES_MAX    (256 * 1024)
#define HEADER_BYTES_MAX (64 * 1024)
#define DRAIN_BYTES_MAX  (64u << 20)

enum header_id { HEADER_OTHER, HEADER_KEY, HEADER_DATABASE, HEADER_FORMAT, HEADER_ENCODING, HEADER_EXPECT };

struct ox__conn {
    int fd;
    struct ox__conn_limits limits;
    http_parser parser;
    char in[READ_BYTES];
    size_t in_at;
    size_t in_end;

    struct ox__request request;
    struct ox_buf url;
    struct ox_buf name;
    struct ox_buf values[HEADER_EXPECT + 1];
    enum header_id header;
    bool in_value;
    bool head_done;
    bool body_done;
    bool alive;
    bool unread; /* a reply was sent before all of the request was read */
    char *arena; /* decoded parameters */
    ox_err failed;
    struct ox_diag *diag;
};

static const char *const header_names[] = {
    [HEADER_KEY] = "x-clickhouse-key",
    [HEADER_DATABASE] = "x-clickhouse-database",
    [HEADER_FORMAT] = "x-clickhouse-format",
    [HEADER_ENCODING] = "content-encoding",
    [HEADER_EXPECT] = "expect",
};

static int
fail(struct ox__conn *conn, ox_err err, const char *what)
{
    conn->failed = ox_diag_set(conn->diag, err, NULL, -1, "%s", what);
    return 1;
}

static int
on_url(http_parser *parser, const char *at, size_t n)
{
    struct ox__conn *conn = parser->data;
    if (conn->url.len + n > URL_BYTES_MAX)
        return fail(conn, OX_E_HEADER_TOO_LARGE,
                    "the URL is longer than 256 KiB: send the statement as body");
    ox_buf_append(&conn->url, at, n);
    return 0;
}

static int
on_header_field(http_parser *parser, const char *at, size_t n)
{
    struct ox__conn *conn = parser->data;
    if (conn->in_value)
        ox_buf_reset(&conn->name);
    conn->in_value = false;
    if (conn->name.len + n > HEADER_BYTES_MAX)
        return fail(conn, OX_E_HEADER_TOO_LARGE, "a header name is longer than 64 KiB");
    ox_buf_append(&conn->name, at, n);
    return 0;
}

static enum header_id
header_of(struct ox_str name)
{
    for (size_t i = 1; i < OX_COUNT(header_names); i++) {
        if (ox_str_caseeq(name, ox_str_of(header_names[i])))
            return (enum header_id)i;
    }
    return HEADER_OTHER;
}

static int
on_header_value(http_parser *parser, const char *at, size_t n)
{
    struct ox__conn *conn = parser->data;
    if (!conn->in_value)
        conn->header = header_of(ox_buf_str(&conn->name));
    conn->in_value = true;
    if (conn->header == HEADER_OTHER)
        return 0;
    struct ox_buf *value = &conn->values[conn->header];
    if (value->len + n > HEADER_BYTES_MAX)
        return fail(conn, OX_E_HEADER_TOO_LARGE, "a header is longer than 64 KiB");
    ox_buf_append(value, at, n);
    return 0;
}

static int
on_headers_complete(http_parser *parser)
{
    struct ox__conn *conn = parser->data;
    conn->head_done = true;
    http_parser_pause(parser, 1);
    return 0;
}

static int
on_body(http_parser *parser, const char *at, size_t n)
{
    struct ox__conn *conn = parser->data;
    conn->failed = ox__sink_write(&conn->request.body, at, n, conn->diag);
    return conn->failed != OX_OK;
}

static int
on_message_complete(http_parser *parser)
{
    struct ox__conn *conn = parser->data;
    conn->body_done = true;
    http_parser_pause(parser, 1);
    return 0;
}

static const http_parser_settings parser_settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

struct ox__conn *
ox__conn_new(int fd, const struct ox__conn_limits *limits)
{
    struct ox__conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        close(fd);
        return NULL;
    }
    conn->fd = fd;
    conn->limits = *limits;
    conn->alive = true;
    conn->request.body.fd = -1;
    struct timeval tv = {limits->io_timeout_ms / 1000, (limits->io_timeout_ms % 1000) * 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
    http_parser_init(&conn->parser, HTTP_REQUEST);
    http_parser_set_max_header_size(URL_BYTES_MAX + 2 * HEADER_BYTES_MAX);
    conn->parser.data = conn;
    return conn;
}

/* Closing with unread bytes would reset the connection and take the reply with it. */
static void
drain(struct ox__conn *conn)
{
    struct timeval tv = {1, 0};
    setsockopt(conn->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    shutdown(conn->fd, SHUT_WR);
    for (size_t total = 0; total < DRAIN_BYTES_MAX;) {
        ssize_t n = recv(conn->fd, conn->in, sizeof(conn->in), 0);
        if (n <= 0)
            return;
        total += (size_t)n;
    }
}

void
ox__conn_free(struct ox__conn *conn)
{
    if (conn == NULL)
        return;
    if (conn->unread)
        drain(conn);
    close(conn->fd);
    ox__sink_fini(&conn->request.body);
    ox_buf_fini(&conn->url);
    ox_buf_fini(&conn->name);
    for (size_t i = 0; i < OX_COUNT(conn->values); i++)
        ox_buf_fini(&conn->values[i]);
    free(conn->arena);
    free(conn);
}

int
ox__conn_fd(const struct ox__conn *conn)
{
    return conn->fd;
}

bool
ox__conn_alive(const struct ox__conn *conn)
{
    return conn->alive;
}

bool
ox__conn_has_body(const struct ox__conn *conn)
{
    bool known = conn->parser.content_length != UINT64_MAX;
    return (conn->parser.flags & F_CHUNKED) != 0 || (known && conn->parser.content_length != 0);
}

/* Waits for the first byte of a request; false: nothing came, or it is time to stop. */
static bool
wait_for_request(struct ox__conn *conn)
{
    if (conn->in_at < conn->in_end)
        return true;
    struct pollfd fds[2] = {{conn->fd, POLLIN, 0}, {conn->limits.stop_fd, POLLIN, 0}};
    int n;
    do
        n = poll(fds, 2, conn->limits.idle_timeout_ms);
    while (n < 0 && errno == EINTR);
    return n > 0 && fds[0].revents != 0 && fds[1].revents == 0;
}

static ssize_t
fill(struct ox__conn *conn)
{
    ssize_t n;
    do
        n = recv(conn->fd, conn->in, sizeof(conn->in), 0);
    while (n < 0 && errno == EINTR);
    conn->in_at = 0;
    conn->in_end = n > 0 ? (size_t)n : 0;
    return n;
}

static enum ox__http_step
bad(struct ox__conn *conn, int *status, int value)
{
    conn->alive = false;
    *status = value;
    return OX__HTTP_BAD;
}

/* Feeds the parser until `*done`; the parser stops at each pause and leaves the rest in the buffer. */
static enum ox__http_step
parse_until(struct ox__conn *conn, const bool *done, int *status)
{
    http_parser_pause(&conn->parser, 0);
    while (!*done) {
        if (conn->in_at == conn->in_end && fill(conn) <= 0)
            return bad(conn, status, 0);
        conn->in_at += http_parser_execute(&conn->parser, &parser_settings, conn->in + conn->in_at,
                                           conn->in_end - conn->in_at);
        enum http_errno e = HTTP_PARSER_ERRNO(&conn->parser);
        if (conn->failed != OX_OK)
            return bad(conn, status, ox_err_info(conn->failed)->http_status);
        if (e != HPE_OK && e != HPE_PAUSED) {
            ox_diag_set(conn->diag, OX_E_DECODE, NULL, -1, "not HTTP/1.1: %s", http_errno_description(e));
            return bad(conn, status, e == HPE_HEADER_OVERFLOW ? 431 : 400);
        }
        if (conn->parser.upgrade)
            return bad(conn, status, 400);
    }
    return OX__HTTP_OK;
}

static void
reset_request(struct ox__conn *conn)
{
    ox__sink_fini(&conn->request.body);
    memset(&conn->request, 0, sizeof(conn->request));
    conn->request.body.fd = -1;
    ox_buf_reset(&conn->url);
    ox_buf_reset(&conn->name);
    for (size_t i = 0; i < OX_COUNT(conn->values); i++)
        ox_buf_reset(&conn->values[i]);
    conn->in_value = conn->head_done = conn->body_done = false;
    conn->failed = OX_OK;
}

static enum ox__http_step
finish_head(struct ox__conn *conn, int *status)
{
    struct ox__request *r = &conn->request;
    struct ox_str url = ox_buf_str(&conn->url);
    const char *mark = url.n != 0 ? memchr(url.p, '?', url.n) : NULL;
    r->path = (struct ox_str){url.p, mark != NULL ? (size_t)(mark - url.p) : url.n};
    r->method = http_method_str((enum http_method)conn->parser.method);
    r->key = ox_buf_str(&conn->values[HEADER_KEY]);
    r->database = ox_buf_str(&conn->values[HEADER_DATABASE]);
    r->format = ox_buf_str(&conn->values[HEADER_FORMAT]);
    r->keep_alive = http_should_keep_alive(&conn->parser) != 0;
    if (mark == NULL)
        return OX__HTTP_OK;
    struct ox_str query = {mark + 1, url.n - r->path.n - 1};
    free(conn->arena);
    conn->arena = malloc(query.n + 1);
    if (conn->arena == NULL || ox__http_params(query, conn->arena, r->params, &r->params_n) != OX_OK) {
        ox_diag_set(conn->diag, OX_E_TOO_LARGE, NULL, -1, "more than %d URL parameters", OX__HTTP_PARAMS_MAX);
        return bad(conn, status, 400);
    }
    return OX__HTTP_OK;
}

enum ox__http_step
ox__conn_read_head(struct ox__conn *conn, struct ox__request **out, int *status, struct ox_diag *diag)
{
    conn->diag = diag;
    *status = 0;
    reset_request(conn);
    if (!wait_for_request(conn) || (conn->in_at == conn->in_end && fill(conn) <= 0)) {
        conn->alive = false;
        return OX__HTTP_CLOSED;
    }
    enum ox__http_step step = parse_until(conn, &conn->head_done, status);
    if (step == OX__HTTP_OK)
        step = finish_head(conn, status);
    *out = &conn->request;
    return step;
}

static bool
send_all(struct ox__conn *conn, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n > 0) {
        ssize_t done = send(conn->fd, p, n, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            conn->alive = false;
            return false;
        }
        p += done;
        n -= (size_t)done;
    }
    return true;
}

enum ox__http_step
ox__conn_read_body(struct ox__conn *conn, int *status, struct ox_diag *diag)
{
    conn->diag = diag;
    *status = 0;
    enum ox__coding coding;
    ox_err err = ox__coding_parse(ox_buf_str(&conn->values[HEADER_ENCODING]), &coding, diag);
    if (err == OX_OK)
        err = ox__sink_init(&conn->request.body, coding, conn->limits.body_bytes_max, diag);
    if (err != OX_OK)
        return bad(conn, status, ox_err_info(err)->http_status);
    if (ox_str_caseeq(ox_buf_str(&conn->values[HEADER_EXPECT]), OX_STR("100-continue"))) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        if (!send_all(conn, go_on, sizeof(go_on) - 1))
            return bad(conn, status, 0);
    }
    enum ox__http_step step = parse_until(conn, &conn->body_done, status);
    if (step != OX__HTTP_OK)
        return step;
    http_parser_pause(&conn->parser, 0);
    err = ox__sink_finish(&conn->request.body, diag);
    return err == OX_OK ? OX__HTTP_OK : bad(conn, status, ox_err_info(err)->http_status);
}

static const char *
reason(int status)
{
    const char *text = http_status_str((enum http_status)status);
    return text != NULL ? text : "Unknown";
}

static void
begin_head(struct ox__conn *conn, struct ox_buf *head, int status, const char *content_type,
           const struct ox_buf *headers)
{
    /* A body that nobody read would be taken for the next request. */
    conn->unread = !conn->body_done;
    if (!conn->body_done || !conn->request.keep_alive)
        conn->alive = false;
    ox_buf_printf(head, "HTTP/1.1 %d %s\r\nServer: observex-engine\r\nConnection: %s\r\n", status,
                  reason(status), conn->alive ? "keep-alive" : "close");
    ox_buf_printf(head, "Content-Type: %s\r\n", content_type);
    if (headers != NULL)
        ox_buf_append(head, headers->data, headers->len);
}

bool
ox__conn_reply(struct ox__conn *conn, int status, const char *content_type, const struct ox_buf *headers,
               struct ox_str body)
{
    struct ox_buf head = {0};
    begin_head(conn, &head, status, content_type, headers);
    ox_buf_printf(&head, "Content-Length: %zu\r\n\r\n", body.n);
    bool ok = !head.failed && send_all(conn, head.data, head.len) && send_all(conn, body.p, body.n);
    ox_buf_fini(&head);
    return ok;
}

bool
ox__conn_begin(struct ox__conn *conn, const char *content_type, const struct ox_buf *headers)
{
    struct ox_buf head = {0};
    begin_head(conn, &head, 200, content_type, headers);
    ox_buf_append_cstr(&head, "Transfer-Encoding: chunked\r\n\r\n");
    bool ok = !head.failed && send_all(conn, head.data, head.len);
    ox_buf_fini(&head);
    return ok;
}

bool
ox__conn_chunk(struct ox__conn *conn, struct ox_str bytes)
{
    char size[32];
    int n = snprintf(size, sizeof(size), "%zx\r\n", bytes.n);
    return bytes.n == 0 ||
           (send_all(conn, size, (size_t)n) && send_all(conn, bytes.p, bytes.n) && send_all(conn, "\r\n", 2));
}

bool
ox__conn_end(struct ox__conn *conn)
{
    return send_all(conn, "0\r\n\r\n", 5);
}

void
ox__conn_break(struct ox__conn *conn)
{
    conn->alive = false;
}
