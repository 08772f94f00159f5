/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/http_conn.c - one connection: reading, telling the protocols apart, writing, closing.
 *
 * Owns:    the socket and the bytes that wait for it.
 * Threads: the server's loop.
 * Bounds:  out is bounded by what the protocols produce (OX_HTTP_OUT_TARGET, write_queue_high).
 * Fails:   a connection that fails is closed; its requests become gone.
 * Flow:    http_server.c -> open; loop -> (http_tls.c ->) feed of http1.c / http2.c; prepare handle -> flush.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "ox/metric.h"
#include "runtime/net/http_internal.h"

static const uint8_t preface[24] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static struct ox__http_conn *
conn_of(void *handle)
{
    struct ox__http_conn *conn = handle;
    OX_CHECK_OBJ(conn, OX_HTTP_CONN_MAGIC);
    return conn;
}

static void
on_closed(uv_handle_t *handle)
{
    struct ox__http_conn *conn = conn_of(handle);
    struct ox_http_server *server = conn->server;
    if (conn->state != NULL)
        conn->proto->free(conn);
    ox__chunkq_fini(&conn->out);
    ox__chunkq_fini(&conn->in_flight);
    ox__chunkq_fini(&conn->wire);
    ox__tls_close(conn);
    if (conn->counted)
        ox__http_census_leave(server->census, conn->key, conn->peer_port != 0);
    free(conn);
    OX_HTTP_COUNT(server, connections, -1);
    ox__http_server_conn_gone(server);
}

void
ox__http_conn_close(struct ox__http_conn *conn)
{
    if (conn->closed)
        return;
    conn->closed = conn->failed = true;
    ox__http_conn_clean(conn);
    while (conn->req_first != NULL)
        ox__http_request_detach(conn->req_first, true);
    struct ox_http_server *server = conn->server;
    *(conn->prev != NULL ? &conn->prev->next : &server->conns) = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    uv_close(&conn->h.handle, on_closed);
}

void
ox__http_conn_dirty(struct ox__http_conn *conn)
{
    if (conn->dirty || conn->closed)
        return;
    struct ox_http_server *server = conn->server;
    conn->dirty = true;
    conn->dirty_next = server->dirty;
    conn->dirty_at = &server->dirty;
    if (conn->dirty_next != NULL)
        conn->dirty_next->dirty_at = &conn->dirty_next;
    server->dirty = conn;
}

void
ox__http_conn_clean(struct ox__http_conn *conn)
{
    if (!conn->dirty)
        return;
    conn->dirty = false;
    *conn->dirty_at = conn->dirty_next;
    if (conn->dirty_next != NULL)
        conn->dirty_next->dirty_at = conn->dirty_at;
}

static void
choose_proto(struct ox__http_conn *conn, const struct ox__http_proto *proto)
{
    size_t n = conn->sniff_len;
    conn->proto = proto;
    conn->sniff_len = 0;
    if (n > 0)
        proto->feed(conn, conn->sniff, n);
}

void
ox__http_conn_feed(struct ox__http_conn *conn, const uint8_t *data, size_t n)
{
    while (conn->proto == NULL && n > 0) {
        if (*data != preface[conn->sniff_len]) {
            choose_proto(conn, &ox__http1_proto);
            break;
        }
        conn->sniff[conn->sniff_len++] = *data++;
        n--;
        if (conn->sniff_len == sizeof(preface))
            choose_proto(conn, &ox__http2_proto);
    }
    if (n > 0 && !conn->failed)
        conn->proto->feed(conn, data, n);
}

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct ox__http_conn *conn = conn_of(handle);
    size_t cap = 0;
    uint8_t *into = NULL;
    if (conn->tls == NULL && conn->state != NULL && conn->proto->read_into != NULL && !conn->lingering)
        into = conn->proto->read_into(conn, &cap);
    buf->base = (char *)(into != NULL ? into : conn->server->read_buf);
    buf->len = into != NULL ? cap : OX_HTTP_READ_BYTES;
}

void
ox__http_conn_eof(struct ox__http_conn *conn)
{
    conn->eof = true;
    ox__http_conn_pause(conn, true);
    if (conn->lingering || conn->state == NULL)
        conn->failed = true;
    else if (conn->reqs == 0)
        conn->finishing = true;
    else if (conn->server->o.half_close)
        conn->proto->eof(conn);
    else
        conn->failed = true;
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct ox__http_conn *conn = conn_of(stream);
    if (conn->closed || n == 0)
        return;
    if (n < 0) {
        if (n == UV_EOF)
            ox__http_conn_eof(conn);
        else
            conn->failed = true;
    } else {
        OX_HTTP_COUNT(conn->server, received_bytes, (uint64_t)n);
        /* Read on for a little, so that the peer gets to see why it ends; not for as long as it likes. */
        if (conn->deaf)
            conn->ignored += (size_t)n;
        conn->failed = conn->failed || conn->ignored > OX_HTTP_DISCARD_MAX;
        if (conn->deaf)
            ; /* see above */
        else if (conn->tls != NULL && !conn->lingering && !conn->failed)
            ox__tls_feed(conn, (const uint8_t *)buf->base, (size_t)n);
        else if (!conn->lingering && !conn->failed)
            ox__http_conn_feed(conn, (const uint8_t *)buf->base, (size_t)n);
    }
    ox__http_conn_dirty(conn);
}

void
ox__http_conn_pause(struct ox__http_conn *conn, bool pause)
{
    if (conn->closed || conn->paused == pause)
        return;
    conn->paused = pause;
    if (pause)
        uv_read_stop(&conn->h.stream);
    else if (uv_read_start(&conn->h.stream, on_alloc, on_read) != 0)
        conn->failed = true;
}

static void
on_shutdown(uv_shutdown_t *req, int status)
{
    struct ox__http_conn *conn = req->data;
    if (!conn->closed && (status < 0 || conn->eof))
        ox__http_conn_close(conn);
}

/* Our last byte is out: shut our half and give the peer a moment to read before the socket goes. */
static void
begin_linger(struct ox__http_conn *conn)
{
    conn->lingering = true;
    conn->linger_since_ms = ox__http_now_ms(conn->server);
    while (conn->req_first != NULL)
        ox__http_request_detach(conn->req_first, true);
    conn->shutdown_req.data = conn;
    if (uv_shutdown(&conn->shutdown_req, &conn->h.stream, on_shutdown) != 0)
        ox__http_conn_close(conn);
    else if (!conn->eof)
        ox__http_conn_pause(conn, false);
}

static void
on_written(uv_write_t *req, int status)
{
    struct ox__http_conn *conn = req->data;
    conn->writing = false;
    if (conn->closed)
        return;
    if (status < 0) {
        ox__http_conn_close(conn);
        return;
    }
    OX_HTTP_COUNT(conn->server, sent_bytes, conn->in_flight.bytes);
    ox__chunkq_fini(&conn->in_flight);
    conn->out_since_ms = ox__http_now_ms(conn->server);
    ox__http_conn_flush(conn);
}

static unsigned
gather(struct ox__chunkq *q, uv_buf_t bufs[OX_HTTP_IOV_MAX])
{
    unsigned n = 0;
    for (struct ox__chunk *c = q->first; c != NULL && n < OX_HTTP_IOV_MAX; c = c->next)
        bufs[n++] = uv_buf_init((char *)c->buf.data + c->off, (unsigned)(c->buf.len - c->off));
    return n;
}

/* What goes to the kernel. */
static struct ox__chunkq *
wire_of(struct ox__http_conn *conn)
{
    return conn->tls != NULL ? &conn->wire : &conn->out;
}

/* As much as the kernel takes at once. False on a broken connection. */
static bool
write_now(struct ox__http_conn *conn)
{
    struct ox__chunkq *wire = wire_of(conn);
    uv_buf_t bufs[OX_HTTP_IOV_MAX];
    while (wire->bytes > 0) {
        int n = uv_try_write(&conn->h.stream, bufs, gather(wire, bufs));
        if (n == UV_EAGAIN)
            return true;
        if (n < 0)
            return false;
        OX_HTTP_COUNT(conn->server, sent_bytes, (uint64_t)n);
        ox__chunkq_consume(wire, (size_t)n);
        conn->out_since_ms = ox__http_now_ms(conn->server);
    }
    return true;
}

/* Leaves the rest to libuv; on_written goes on. */
static bool
write_later(struct ox__http_conn *conn)
{
    struct ox__chunkq *wire = wire_of(conn), *part = &conn->in_flight;
    struct ox__chunkq rest = *wire;
    uv_buf_t bufs[OX_HTTP_IOV_MAX];
    memset(wire, 0, sizeof(*wire));
    for (int i = 0; i < OX_HTTP_IOV_MAX && rest.first != NULL; i++) {
        struct ox__chunk *c = rest.first;
        size_t n = c->buf.len - c->off;
        rest.first = c->next;
        rest.bytes -= n;
        c->next = NULL;
        struct ox__chunkq one = {c, c, n};
        ox__chunkq_move(part, &one);
    }
    if (rest.first != NULL)
        *wire = rest;
    conn->write_req.data = conn;
    conn->writing = true;
    if (uv_write(&conn->write_req, &conn->h.stream, bufs, gather(part, bufs), on_written) == 0)
        return true;
    conn->writing = false;
    return false;
}

/* From the start after each hook: it may have ended any request. Ends, since a hook that fills its queue
 * again
 * leaves it above the low-water mark. */
static void
check_drains(struct ox__http_conn *conn)
{
    struct ox__http_request *r = conn->req_first;
    while (r != NULL && !conn->closed) {
        bool owed = r->full && ox_http_respond_queued(&r->pub) <= conn->server->o.write_queue_low;
        if (owed)
            ox__http_request_drained(r);
        r = owed ? conn->req_first : r->next;
    }
}

/* Everything that can be is where the kernel takes it from; what ends the connection, too. */
static void
prepare_wire(struct ox__http_conn *conn)
{
    if (conn->state != NULL && !conn->lingering)
        conn->proto->fill(conn);
    if (conn->tls == NULL)
        return;
    ox__tls_seal(conn);
    if (conn->finishing && conn->out.bytes == 0)
        ox__tls_end(conn);
}

void
ox__http_conn_flush(struct ox__http_conn *conn)
{
    if (conn->closed)
        return;
    struct ox__chunkq *wire = wire_of(conn);
    do {
        prepare_wire(conn);
        if (conn->failed) {
            ox__http_conn_close(conn);
            return;
        }
        if (conn->writing || wire->bytes == 0)
            break;
        if (!write_now(conn) || (wire->bytes > 0 && !write_later(conn))) {
            ox__http_conn_close(conn);
            return;
        }
        /* Once more: what was written made room for what the protocol held back. */
    } while (!conn->writing);
    check_drains(conn);
    if (!conn->closed && conn->finishing && !conn->writing && conn->out.bytes + wire->bytes == 0 &&
        !conn->lingering)
        begin_linger(conn);
}

/* How long the first bytes of a request may be awaited. */
static uint32_t
first_bytes_ms(const struct ox__http_conn *conn)
{
    const struct ox_http_server_options *o = &conn->server->o;
    if (!ox__tls_established(conn))
        return o->tls_handshake_ms;
    return conn->sniff_len == 0 ? o->idle_timeout_ms : o->header_timeout_ms;
}

void
ox__http_conn_tick(struct ox__http_conn *conn, uint64_t now_ms)
{
    const struct ox_http_server_options *o = &conn->server->o;
    if (conn->closed)
        return;
    /* What is queued and not handed over yet has its flush before the loop sleeps. */
    bool waits = conn->writing;
    bool late = (waits && now_ms - conn->out_since_ms > o->write_timeout_ms) ||
                (conn->lingering && now_ms - conn->linger_since_ms > OX_HTTP_LINGER_MS) ||
                (conn->state == NULL && now_ms - conn->idle_since_ms > first_bytes_ms(conn));
    if (late) {
        if (!conn->lingering)
            OX_HTTP_COUNT(conn->server, connections_timed_out, 1);
        if (!ox__tls_established(conn))
            OX_METRIC_ADD_L(OX_M_tls_handshakes, 1, OX_STR("timeout"));
        ox__http_conn_close(conn);
        return;
    }
    if (!waits)
        conn->out_since_ms = now_ms;
    if (conn->proto != NULL && conn->state != NULL && !conn->lingering)
        conn->proto->tick(conn, now_ms);
    ox__http_conn_dirty(conn);
}

static void
describe_peer(struct ox__http_conn *conn)
{
    struct sockaddr_storage ss;
    int len = sizeof(ss);
    if (uv_tcp_getpeername(&conn->h.tcp, (struct sockaddr *)&ss, &len) != 0) {
        conn->failed = true;
        return;
    }
    memset(conn->key, 0, sizeof(conn->key));
    if (ss.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&ss;
        inet_ntop(AF_INET, &in->sin_addr, conn->peer, sizeof(conn->peer));
        conn->peer_port = ntohs(in->sin_port);
        memcpy(conn->key, &in->sin_addr, 4);
        conn->is_loopback = conn->key[0] == 127;
        return;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&ss;
    inet_ntop(AF_INET6, &in6->sin6_addr, conn->peer, sizeof(conn->peer));
    conn->peer_port = ntohs(in6->sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        memcpy(conn->key, in6->sin6_addr.s6_addr + 12, 4);
        conn->is_loopback = conn->key[0] == 127;
    } else {
        memcpy(conn->key, in6->sin6_addr.s6_addr, 8);
        conn->key[15] = 6; /* never equal to an IPv4 key */
        conn->is_loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
    }
}

static int
attach_fd(struct ox__http_conn *conn, int fd, bool is_unix)
{
    uv_loop_t *loop = conn->server->loop;
    if (is_unix) {
        uv_pipe_init(loop, &conn->h.pipe, 0);
        memcpy(conn->peer, "unix", 5);
        conn->is_loopback = true;
        return uv_pipe_open(&conn->h.pipe, fd);
    }
    uv_tcp_init(loop, &conn->h.tcp);
    int rc = uv_tcp_open(&conn->h.tcp, fd);
    if (rc != 0)
        return rc;
    uv_tcp_nodelay(&conn->h.tcp, 1);
    describe_peer(conn);
    return 0;
}

void
ox__http_conn_open(struct ox_http_server *server, int fd, bool is_unix)
{
    struct ox__http_conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        close(fd);
        return;
    }
    conn->magic = OX_HTTP_CONN_MAGIC;
    conn->server = server;
    conn->next = server->conns;
    if (conn->next != NULL)
        conn->next->prev = conn;
    server->conns = conn;
    server->refs++;
    server->handles++;
    conn->idle_since_ms = conn->out_since_ms = ox__http_now_ms(server);
    OX_HTTP_COUNT(server, connections, 1);
    if (attach_fd(conn, fd, is_unix) != 0) {
        close(fd);
        ox__http_conn_close(conn);
        return;
    }
    if (server->o.tls != NULL && !is_unix && !ox__tls_open(conn))
        conn->failed = true;
    ox_err err = ox__http_census_enter(server->census, conn->key, conn->peer_port != 0,
                                       server->o.connections_max, server->o.connections_per_address_max);
    conn->counted = err == OX_OK;
    OX_HTTP_COUNT(server, connections_total, 1);
    if (err != OX_OK)
        OX_HTTP_COUNT(server, connections_refused, 1);
    conn->paused = true;
    if (err == OX_OK && !conn->failed)
        ox__http_conn_pause(conn, false);
    if (err != OX_OK || conn->failed)
        ox__http_conn_close(conn);
}
