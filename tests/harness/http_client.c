/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/http_client.c - raw sockets and HTTP/1.1 for tests; HTTP/2 is in http2_client.c.
 *
 * Owns:    the sockets it opens.
 * Threads: one thread per client.
 */
#include "tests/harness/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

void
ox_client_response_init(struct ox_client_response *r)
{
    memset(r, 0, sizeof(*r));
}

void
ox_client_response_fini(struct ox_client_response *r)
{
    ox_buf_fini(&r->headers);
    ox_buf_fini(&r->body);
    ox_buf_fini(&r->trailers);
    memset(r, 0, sizeof(*r));
}

bool
ox_client_header(const struct ox_buf *headers, const char *name, char *out, size_t cap)
{
    size_t name_n = strlen(name);
    for (size_t i = 0; i < headers->len;) {
        const char *line = (const char *)headers->data + i;
        const char *end = memmem(line, headers->len - i, "\r\n", 2);
        size_t n = end != NULL ? (size_t)(end - line) : headers->len - i;
        if (n > name_n && memcmp(line, name, name_n) == 0 && line[name_n] == ':') {
            const char *v = line + name_n + 1;
            while (v < line + n && *v == ' ')
                v++;
            snprintf(out, cap, "%.*s", (int)(line + n - v), v);
            return true;
        }
        i += n + 2;
    }
    return false;
}

static int
set_up(int fd)
{
    struct timeval tv = {.tv_sec = OX_CLIENT_TIMEOUT_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
    return fd;
}

int
ox_client_connect(uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&in, sizeof(in)) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return set_up(fd);
}

int
ox_client_connect_unix(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof(un)) != 0) {
        close(fd);
        return -1;
    }
    return fd < 0 ? -1 : set_up(fd);
}

bool
ox_client_send(int fd, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

void
ox_client1_init(struct ox_client1 *c, int fd)
{
    memset(c, 0, sizeof(*c));
    c->fd = fd;
}

void
ox_client1_fini(struct ox_client1 *c)
{
    if (c->fd >= 0)
        close(c->fd);
    ox_buf_fini(&c->in);
    c->fd = -1;
}

/* More bytes from the socket; false at the end, on error and on time-out. */
static bool
more(struct ox_client1 *c)
{
    uint8_t *to = ox_buf_reserve(&c->in, 65536);
    ssize_t n = to != NULL ? recv(c->fd, to, 65536, 0) : -1;
    if (n <= 0)
        return false;
    c->in.len += (size_t)n;
    return true;
}

/* The next line without CRLF. */
static bool
read_line(struct ox_client1 *c, struct ox_str *line)
{
    for (;;) {
        const char *from = c->in.len > 0 ? (const char *)c->in.data + c->at : "";
        size_t have = c->in.len - c->at;
        const char *end = have > 0 ? memmem(from, have, "\r\n", 2) : NULL;
        if (end != NULL) {
            *line = (struct ox_str){from, (size_t)(end - from)};
            c->at += line->n + 2;
            return true;
        }
        if (!more(c))
            return false;
    }
}

static bool
read_bytes(struct ox_client1 *c, size_t n, struct ox_buf *out)
{
    while (c->in.len - c->at < n) {
        if (!more(c))
            return false;
    }
    ox_buf_append(out, c->in.data + c->at, n);
    c->at += n;
    return true;
}

static bool
read_fields(struct ox_client1 *c, struct ox_buf *out)
{
    struct ox_str line;
    while (read_line(c, &line)) {
        if (line.n == 0)
            return true;
        size_t from = out->len;
        ox_buf_append_str(out, line);
        for (size_t i = from; i < out->len && out->data[i] != ':'; i++)
            out->data[i] |= out->data[i] >= 'A' && out->data[i] <= 'Z' ? 0x20 : 0;
        ox_buf_append_cstr(out, "\r\n");
    }
    return false;
}

static bool
read_chunked(struct ox_client1 *c, struct ox_client_response *out)
{
    struct ox_str line;
    while (read_line(c, &line)) {
        size_t n = strtoul(line.p, NULL, 16);
        if (n == 0)
            return read_fields(c, &out->trailers);
        if (!read_bytes(c, n, &out->body) || !read_line(c, &line) || line.n != 0)
            return false;
    }
    return false;
}

bool
ox_client1_read(struct ox_client1 *c, bool head, struct ox_client_response *out)
{
    struct ox_str line;
    char value[64];
    ox_client_response_fini(out);
    do {
        ox_buf_reset(&out->headers);
        if (!read_line(c, &line) || line.n < 12 || memcmp(line.p, "HTTP/1.1 ", 9) != 0)
            return false;
        out->status = atoi(line.p + 9);
        if (!read_fields(c, &out->headers))
            return false;
    } while (out->status < 200);
    if (ox_client_header(&out->headers, "connection", value, sizeof(value)))
        out->closed = strcmp(value, "close") == 0;
    if (head || out->status == 204 || out->status == 304)
        return true;
    if (ox_client_header(&out->headers, "transfer-encoding", value, sizeof(value)))
        return read_chunked(c, out);
    if (ox_client_header(&out->headers, "content-length", value, sizeof(value)))
        return read_bytes(c, strtoul(value, NULL, 10), &out->body);
    while (more(c)) {
    }
    return read_bytes(c, c->in.len - c->at, &out->body);
}

bool
ox_client1_closed(struct ox_client1 *c)
{
    return c->in.len == c->at && !more(c);
}

bool
ox_client1_request(uint16_t port, const char *method, const char *target, const char *headers,
                   const void *body, size_t body_n, struct ox_client_response *out)
{
    struct ox_client1 c;
    struct ox_buf req;
    ox_client1_init(&c, ox_client_connect(port));
    if (c.fd < 0)
        return false;
    ox_buf_init(&req);
    ox_buf_printf(&req, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s", method, target, port,
                  headers != NULL ? headers : "");
    ox_buf_printf(&req, "Content-Length: %zu\r\n\r\n", body_n);
    ox_buf_append(&req, body, body_n);
    /* A server that refuses early may stop reading: what it answered counts. */
    (void)ox_client_send(c.fd, req.data, req.len);
    bool ok = ox_client1_read(&c, strcmp(method, "HEAD") == 0, out);
    ox_buf_fini(&req);
    ox_client1_fini(&c);
    return ok;
}
