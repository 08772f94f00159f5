/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/http_server.c - start, accept, drain and close an HTTP server; its clock tick and its counters.
 *
 * Owns:    the listening descriptors (duplicates), the connections' list, the loop's read buffer.
 * Threads: the loop's, except ox_http_server_stats.
 * Bounds:  ACCEPTS_PER_TURN connections per wake-up and listener, so that other loops get their share.
 * Fails:   INVALID options, IO.
 * Flow:    listening fd -> http_conn.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "runtime/net/http_internal.h"

#define ACCEPTS_PER_TURN 4

uint64_t
ox__http_now_ms(const struct ox_http_server *server)
{
    return uv_now(server->loop);
}

struct ox_str
ox__http_date(struct ox_http_server *server)
{
    if (server->o.clock == NULL)
        return (struct ox_str){NULL, 0};
    uint64_t now_s = ox_clock_realtime_ns(server->o.clock) / 1000000000u;
    if (now_s != server->date_s) {
        static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        time_t t = (time_t)now_s;
        struct tm tm;
        gmtime_r(&t, &tm);
        snprintf(server->date, sizeof(server->date), "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday],
                 tm.tm_mday % 100, months[tm.tm_mon], (tm.tm_year + 1900) % 10000, tm.tm_hour % 100,
                 tm.tm_min % 100, tm.tm_sec % 100);
        server->date_s = now_s;
    }
    return ox_str_of(server->date);
}

void
ox__http_server_unref(struct ox_http_server *server)
{
    OX_CHECK_OBJ(server, OX_HTTP_SERVER_MAGIC);
    if (--server->refs != 0)
        return;
    while (server->pool != NULL) {
        struct ox__http_request *r = server->pool;
        server->pool = r->next;
        ox_buf_fini(&r->head);
        free(r->header);
        free(r);
    }
    ox_http_census_free(server->census);
    free(server->read_buf);
    free(server->plain_buf);
    ox_buf_fini(&server->scratch);
    server->magic = 0;
    free(server);
}

static void
handle_gone(struct ox_http_server *server)
{
    server->handles--;
    if (server->closing && server->handles == 0 && !server->closed_told) {
        server->closed_told = true;
        if (server->on_closed != NULL)
            server->on_closed(server->closed_ctx);
    }
    ox__http_server_unref(server);
}

void
ox__http_server_conn_gone(struct ox_http_server *server)
{
    handle_gone(server);
}

static void
on_timer_closed(uv_handle_t *handle)
{
    handle_gone(handle->data);
}

static void
on_listener_closed(uv_handle_t *handle)
{
    struct ox__listener *l = handle->data;
    struct ox_http_server *server = l->server;
    close(l->fd);
    free(l);
    handle_gone(server);
}

static void
close_listeners(struct ox_http_server *server)
{
    while (server->listeners != NULL) {
        struct ox__listener *l = server->listeners;
        server->listeners = l->next;
        uv_poll_stop(&l->poll);
        uv_close((uv_handle_t *)&l->poll, on_listener_closed);
    }
}

static void
on_acceptable(uv_poll_t *poll, int status, int events)
{
    struct ox__listener *l = poll->data;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            ox__http_conn_open(l->server, fd, l->is_unix);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            /* Level-triggered readiness would spin here; the tick looks again. */
            uv_poll_stop(poll);
            l->stalled = true;
        }
        return;
    }
}

static void
on_tick(uv_timer_t *timer)
{
    struct ox_http_server *server = timer->data;
    uint64_t now_ms = ox__http_now_ms(server);
    struct ox__http_conn *conn = server->conns;
    while (conn != NULL) {
        struct ox__http_conn *next = conn->next;
        ox__http_conn_tick(conn, now_ms);
        conn = next;
    }
    for (struct ox__listener *l = server->listeners; l != NULL; l = l->next) {
        if (l->stalled && uv_poll_start(&l->poll, UV_READABLE, on_acceptable) == 0)
            l->stalled = false;
    }
    if (server->draining && server->conns == NULL && server->on_drained != NULL) {
        void (*tell)(void *) = server->on_drained;
        server->on_drained = NULL;
        tell(server->drained_ctx);
    }
}

static void
on_idle(uv_idle_t *idle)
{
    /* Only here to keep the loop awake. */
}

static void
on_prepare(uv_prepare_t *prepare)
{
    struct ox_http_server *server = prepare->data;
    /* Each at most once per turn: a stream that is refilled as fast as it drains must not hold the loop. */
    struct ox__http_conn *todo = server->dirty;
    server->dirty = NULL;
    if (todo != NULL)
        todo->dirty_at = &todo;
    while (todo != NULL) {
        struct ox__http_conn *conn = todo;
        ox__http_conn_clean(conn);
        ox__http_conn_flush(conn);
    }
    if (server->closing)
        return;
    if (server->dirty != NULL)
        uv_idle_start(&server->idle, on_idle);
    else
        uv_idle_stop(&server->idle);
}

static void
set_defaults(struct ox_http_server_options *o)
{
#define DEFAULT(field, value)                                                                                \
    if (o->field == 0)                                                                                       \
    o->field = (value)
    DEFAULT(body_bytes_max, 10u << 20);
    DEFAULT(header_bytes_max, 32 * 1024);
    DEFAULT(headers_max, 100);
    DEFAULT(header_timeout_ms, 10000);
    DEFAULT(body_timeout_ms, 30000);
    DEFAULT(body_rate_min, 16 * 1024);
    DEFAULT(idle_timeout_ms, 60000);
    DEFAULT(write_timeout_ms, 30000);
    DEFAULT(connections_max, 10000);
    DEFAULT(connections_per_address_max, 1000);
    DEFAULT(pipeline_max, 16);
    DEFAULT(h2_streams_max, 256);
    DEFAULT(h2_stream_window, 1u << 20);
    DEFAULT(h2_connection_window, 8u << 20);
    DEFAULT(h2_resets_burst, 1000);
    DEFAULT(h2_resets_per_s, 33);
    DEFAULT(h2_idle_frames_burst, 10000);
    DEFAULT(h2_idle_frames_per_s, 1000);
    DEFAULT(tls_handshake_ms, 10000);
    DEFAULT(write_queue_high, 1u << 20);
    DEFAULT(write_queue_low, o->write_queue_high / 4);
#undef DEFAULT
}

static uint32_t
tick_ms(const struct ox_http_server_options *o)
{
    uint32_t least = o->header_timeout_ms;
    least = o->body_timeout_ms < least ? o->body_timeout_ms : least;
    least = o->idle_timeout_ms < least ? o->idle_timeout_ms : least;
    least = o->tls_handshake_ms < least ? o->tls_handshake_ms : least;
    least = o->write_timeout_ms < least ? o->write_timeout_ms : least;
    least /= 4;
    return least < 10 ? 10 : least > 500 ? 500 : least;
}

ox_err
ox_http_server_listen(struct ox_http_server *server, int listen_fd, struct ox_diag *diag)
{
    int family = 0;
    socklen_t len = sizeof(family);
    int fd = fcntl(listen_fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) != 0 ||
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) {
        int errnum = errno;
        if (fd >= 0)
            close(fd);
        return ox_diag_set(diag, OX_E_IO, "listen_fd", -1, "descriptor %d is not a listening socket: %s",
                           listen_fd, strerror(errnum));
    }
    struct ox__listener *l = calloc(1, sizeof(*l));
    if (l == NULL || uv_poll_init(server->loop, &l->poll, fd) != 0) {
        close(fd);
        free(l);
        return ox_diag_set(diag, OX_E_NOMEM, "listen_fd", -1, "the event loop does not take descriptor %d",
                           listen_fd);
    }
    l->poll.data = l;
    l->server = server;
    l->fd = fd;
    l->is_unix = family == AF_UNIX;
    l->next = server->listeners;
    server->listeners = l;
    server->refs++;
    server->handles++;
    if (uv_poll_start(&l->poll, UV_READABLE, on_acceptable) != 0)
        l->stalled = true;
    return OX_OK;
}

static ox_err
start_handles(struct ox_http_server *server)
{
    uv_prepare_init(server->loop, &server->prepare);
    uv_timer_init(server->loop, &server->tick);
    uv_idle_init(server->loop, &server->idle);
    server->prepare.data = server->tick.data = server->idle.data = server;
    server->refs += 3;
    server->handles += 3;
    uint32_t ms = tick_ms(&server->o);
    if (uv_prepare_start(&server->prepare, on_prepare) != 0 ||
        uv_timer_start(&server->tick, on_tick, ms, ms) != 0)
        return OX_E_INTERNAL;
    return OX_OK;
}

/* libuv writes without MSG_NOSIGNAL: with the default action any peer that leaves at the wrong moment
 * would end
 * the process. A handler that somebody has set is left alone. */
static void
ignore_sigpipe(void)
{
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

ox_err
ox_http_server_start(struct uv_loop_s *loop, int listen_fd, const struct ox_http_server_options *options,
                     struct ox_http_server **out, struct ox_diag *diag)
{
    if (options->on_request == NULL || options->header_bytes_max > 64 * 1024)
        return ox_diag_set(diag, OX_E_INVALID, "options", -1,
                           "on_request must be set and header_bytes_max be at most 65536");
    ignore_sigpipe();
    struct ox_http_server *server = calloc(1, sizeof(*server));
    if (server == NULL)
        return OX_E_NOMEM;
    server->magic = OX_HTTP_SERVER_MAGIC;
    server->refs = 1;
    server->loop = loop;
    server->o = *options;
    set_defaults(&server->o);
    server->census = options->census == NULL ? ox_http_census_new() : ox__http_census_hold(options->census);
    server->read_buf = malloc(OX_HTTP_READ_BYTES);
    if (server->o.tls != NULL)
        server->plain_buf = malloc(OX_HTTP_RECORD_BYTES);
    if (server->census == NULL || server->read_buf == NULL ||
        (server->o.tls != NULL && server->plain_buf == NULL)) {
        ox__http_server_unref(server);
        return OX_E_NOMEM;
    }
    ox_err err = start_handles(server);
    if (err == OX_OK)
        err = ox_http_server_listen(server, listen_fd, diag);
    if (err != OX_OK) {
        ox_http_server_close(server, NULL, NULL);
        return err;
    }
    *out = server;
    return OX_OK;
}

ox_err
ox_http_server_limit(struct ox_http_server *server, const struct ox_http_server_options *options,
                     struct ox_diag *diag)
{
    OX_CHECK_OBJ(server, OX_HTTP_SERVER_MAGIC);
    if (options->header_bytes_max > 64 * 1024)
        return ox_diag_set(diag, OX_E_INVALID, "header_bytes_max", -1, "must be at most 65536");
    struct ox_http_server_options *o = &server->o;
    o->body_bytes_max = options->body_bytes_max;
    o->header_bytes_max = options->header_bytes_max;
    o->headers_max = options->headers_max;
    o->header_timeout_ms = options->header_timeout_ms;
    o->body_timeout_ms = options->body_timeout_ms;
    o->body_rate_min = options->body_rate_min;
    o->idle_timeout_ms = options->idle_timeout_ms;
    o->write_timeout_ms = options->write_timeout_ms;
    o->connections_max = options->connections_max;
    o->connections_per_address_max = options->connections_per_address_max;
    o->pipeline_max = options->pipeline_max;
    o->h2_streams_max = options->h2_streams_max;
    o->tls_handshake_ms = options->tls_handshake_ms;
    set_defaults(o);
    uv_timer_set_repeat(&server->tick, tick_ms(o));
    return OX_OK;
}

void
ox_http_server_drain(struct ox_http_server *server, void (*on_drained)(void *ctx), void *ctx)
{
    OX_CHECK_OBJ(server, OX_HTTP_SERVER_MAGIC);
    server->draining = true;
    server->on_drained = on_drained;
    server->drained_ctx = ctx;
    close_listeners(server);
    struct ox__http_conn *conn = server->conns;
    while (conn != NULL) {
        struct ox__http_conn *next = conn->next;
        if (conn->proto == NULL || conn->state == NULL)
            conn->finishing = true;
        else
            conn->proto->drain(conn);
        ox__http_conn_dirty(conn);
        conn = next;
    }
}

void
ox_http_server_close(struct ox_http_server *server, void (*on_closed)(void *ctx), void *ctx)
{
    OX_CHECK_OBJ(server, OX_HTTP_SERVER_MAGIC);
    OX_ASSERT(!server->closing);
    server->closing = true;
    server->on_drained = NULL;
    server->on_closed = on_closed;
    server->closed_ctx = ctx;
    close_listeners(server);
    while (server->conns != NULL)
        ox__http_conn_close(server->conns);
    uv_close((uv_handle_t *)&server->prepare, on_timer_closed);
    uv_close((uv_handle_t *)&server->tick, on_timer_closed);
    uv_close((uv_handle_t *)&server->idle, on_timer_closed);
    ox__http_server_unref(server);
}

void
ox_http_server_stats(const struct ox_http_server *server, struct ox_http_stats *out)
{
#define COPY(name) out->name = atomic_load_explicit(&server->n.name, memory_order_relaxed)
    COPY(connections);
    COPY(connections_total);
    COPY(connections_refused);
    COPY(connections_timed_out);
    COPY(requests_pending);
    COPY(requests_total);
    COPY(requests_refused);
    COPY(requests_gone);
    COPY(h2_streams_reset);
    COPY(h2_floods);
    COPY(received_bytes);
    COPY(sent_bytes);
    COPY(tls_handshakes);
    COPY(tls_failed);
#undef COPY
}
