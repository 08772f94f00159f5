/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/post.c - HTTP/1.1 on a blocking socket: one request, one reply.
 *
 * Owns:    the socket.
 * Threads: one owner each; the reply's bytes lie in a buffer of the thread.
 * Bounds:  REPLY_BYTES_MAX.
 * Fails:   status 0 when the connection breaks; it is opened again by the next call.
 */
#include "bench/post.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define REPLY_BYTES_MAX (256u << 10)

static __thread char reply[REPLY_BYTES_MAX + 1];

static void
connect_to(struct bench_post *c)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    char host[sizeof(c->host)];
    int one = 1;
    snprintf(host, sizeof(host), "%s", c->host);
    char *colon = strrchr(host, ':');
    OX_ASSERT(colon != NULL);
    *colon = '\0';
    a.sin_port = htons((uint16_t)atoi(colon + 1));
    inet_pton(AF_INET, host, &a.sin_addr);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
        fprintf(stderr, "bench: nobody listens on %s: %s\n", c->host, strerror(errno));
        exit(1);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

void
bench_post_open(struct bench_post *c, const char *host)
{
    if (strncmp(host, "http://", 7) == 0)
        host += 7;
    snprintf(c->host, sizeof(c->host), "%s", host);
    c->key[0] = '\0';
    connect_to(c);
}

void
bench_post_close(struct bench_post *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

static bool
write_all(int fd, struct iovec *iov, int n)
{
    while (n > 0) {
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
        ssize_t w = sendmsg(fd, &msg, MSG_NOSIGNAL);
        if (w <= 0)
            return false;
        while (n > 0 && (size_t)w >= iov->iov_len) {
            w -= (ssize_t)iov->iov_len;
            iov++;
            n--;
        }
        if (n > 0) {
            iov->iov_base = (char *)iov->iov_base + w;
            iov->iov_len -= (size_t)w;
        }
    }
    return true;
}

static const char *
header(const char *name)
{
    const char *p = strcasestr(reply, name);
    return p != NULL ? p + strlen(name) : NULL;
}

/* Headers, then content-length bytes: the server gives every complete answer one. */
static struct bench_reply
read_reply(struct bench_post *c)
{
    struct bench_reply r = {0};
    size_t n = 0, want = SIZE_MAX;
    char *end = NULL;
    while (n < want && n < REPLY_BYTES_MAX) {
        ssize_t got = read(c->fd, reply + n, REPLY_BYTES_MAX - n);
        if (got <= 0)
            return r;
        n += (size_t)got;
        reply[n] = '\0';
        if (end == NULL && (end = strstr(reply, "\r\n\r\n")) != NULL) {
            *end = '\0';
            const char *len = header("content-length:");
            r.has_retry_after = header("retry-after:") != NULL;
            want = (size_t)(end - reply) + 4 + (len != NULL ? (size_t)atol(len) : 0);
        }
    }
    if (end == NULL)
        return r;
    r.status = atoi(reply + 9);
    r.body = (struct ox_str){end + 4, n - (size_t)(end + 4 - reply)};
    return r;
}

static struct bench_reply
exchange(struct bench_post *c, struct iovec *iov, int n)
{
    struct bench_reply r = {0};
    if (c->fd < 0)
        connect_to(c);
    /* Who refuses by the headers alone may have closed before the body was out: the answer still counts. */
    (void)write_all(c->fd, iov, n);
    r = read_reply(c);
    if (r.status == 0 || header("connection: close") != NULL)
        bench_post_close(c);
    return r;
}

struct bench_reply
bench_post_send(struct bench_post *c, enum ox_signal signal, enum ox_encoding encoding, struct ox_str body)
{
    char head[512];
    const char *coding = encoding != OX_ENCODING_IDENTITY ? ox_encoding_name(encoding) : NULL;
    int n = snprintf(head, sizeof(head),
                     "POST /v1/%s HTTP/1.1\r\nhost: %s\r\ncontent-type: application/x-protobuf\r\n%s%s%s"
                     "%s%s%scontent-length: %zu\r\n\r\n",
                     ox_signal_name(signal), c->host, coding != NULL ? "content-encoding: " : "",
                     coding != NULL ? coding : "", coding != NULL ? "\r\n" : "",
                     c->key[0] != '\0' ? "x-api-key: " : "", c->key, c->key[0] != '\0' ? "\r\n" : "", body.n);
    struct iovec iov[2] = {{head, (size_t)n}, {(void *)(uintptr_t)body.p, body.n}};
    return exchange(c, iov, 2);
}

struct bench_reply
bench_post_get(struct bench_post *c, const char *path)
{
    char head[256];
    int n = snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nhost: %s\r\n\r\n", path, c->host);
    struct iovec iov = {head, (size_t)n};
    return exchange(c, &iov, 1);
}
