/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/unit/runtime/net/fixture.c - see fixture.h.
 *
 * Owns:    see fixture.h.
 * Threads: see fixture.h.
 */
#include "fixture.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ox/net.h"
#include "tests/harness/certs.h"
#include "tests/harness/tls_client.h"

struct streaming {
    size_t left;
};

static void
count_gone(struct ox_http_request *req)
{
    struct fixture *f = req->user;
    atomic_fetch_add(&f->gone, 1);
}

static size_t
query_n(const struct ox_http_request *req)
{
    char text[32];
    return ox_query_get(req->query, OX_STR("n"), text, sizeof(text)) == OX_OK ? strtoul(text, NULL, 10) : 0;
}

/* Byte i of every generated answer. */
static void
pattern(char *to, size_t from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (char)('a' + (from + i) % 23);
}

static void
stream_on(struct ox_http_request *req)
{
    struct streaming *s = req->user;
    char piece[10000];
    while (s->left > 0) {
        size_t n = s->left < sizeof(piece) ? s->left : sizeof(piece);
        memset(piece, 's', n);
        s->left -= n;
        if (!ox_http_respond_write(req, piece, n) && s->left > 0)
            return;
    }
    free(s);
    ox_http_respond_end(req, NULL, 0);
}

static void
stream_gone(struct ox_http_request *req)
{
    free(req->user);
    ox_http_respond_end(req, NULL, 0);
}

static void
handle_stream(struct ox_http_request *req)
{
    struct streaming *s = calloc(1, sizeof(*s));
    struct ox_http_response resp = {.status = 200};
    s->left = query_n(req);
    req->user = s;
    req->on_drain = stream_on;
    req->on_gone = stream_gone;
    ox_http_respond_start(req, &resp);
    stream_on(req);
}

static void
handle_big(struct ox_http_request *req)
{
    struct ox_buf body;
    ox_buf_init(&body);
    size_t n = query_n(req);
    pattern((char *)ox_buf_reserve(&body, n + 1), 0, n);
    body.len = n;
    ox_http_respond(req, &(struct ox_http_response){.status = 200, .body = &body});
}

static void
handle_info(struct ox_http_request *req)
{
    struct ox_buf b;
    ox_buf_init(&b);
    ox_buf_printf(&b, "%.*s %.*s ?%.*s v%d host=%.*s peer=%s loop=%d len=%lld", (int)req->method_name.n,
                  req->method_name.p, (int)req->path.n, req->path.p, (int)req->query.n, req->query.p,
                  req->version, (int)req->authority.n, req->authority.p, req->peer, req->is_loopback,
                  (long long)req->content_length);
    for (size_t i = 0; i < req->headers_len; i++)
        ox_buf_printf(&b, "|%.*s=%.*s", (int)req->headers[i].name.n, req->headers[i].name.p,
                      (int)req->headers[i].value.n, req->headers[i].value.p);
    for (size_t i = 0; i < req->trailers_len; i++)
        ox_buf_printf(&b, "+%.*s=%.*s", (int)req->trailers[i].name.n, req->trailers[i].name.p,
                      (int)req->trailers[i].value.n, req->trailers[i].value.p);
    ox_http_respond(req, &(struct ox_http_response){.status = 200, .body = &b});
}

static void
handle_echo(struct ox_http_request *req)
{
    struct ox_http_header h = {OX_STR("X-Body-Bytes"), OX_STR("")};
    char n[24];
    snprintf(n, sizeof(n), "%zu", req->body->len);
    h.value = ox_str_of(n);
    struct ox_body *body = ox_body_hold(req->body);
    ox_http_respond(req, &(struct ox_http_response){.status = 200,
                                                    .headers = &h,
                                                    .headers_len = 1,
                                                    .text = {(const char *)body->data, body->len}});
    ox_body_drop(body);
}

static void
handle_trailers(struct ox_http_request *req)
{
    struct ox_http_header t[] = {{OX_STR("Grpc-Status"), OX_STR("0")}, {OX_STR("x-end"), OX_STR("yes")}};
    ox_http_respond(req, &(struct ox_http_response){
                             .status = 200, .text = OX_STR("body"), .trailers = t, .trailers_len = 2});
}

static void
handle_abort(struct ox_http_request *req)
{
    ox_http_respond_start(req, &(struct ox_http_response){.status = 200});
    (void)ox_http_respond_write(req, "half", 4);
    ox_http_request_abort(req);
}

static void
handle_who(struct ox_http_request *req)
{
    struct ox_buf b;
    ox_buf_init(&b);
    ox_buf_printf(&b, "v%d secure=%d", req->version, req->secure);
    for (uint32_t i = 0; req->client != NULL && i < req->client->n; i++)
        ox_buf_printf(&b, " %s", req->client->name[i]);
    ox_http_respond(req, &(struct ox_http_response){.status = 200, .body = &b});
}

static void
release(struct fixture *f)
{
    while (f->holding_n > 0) {
        f->holding_n--;
        atomic_fetch_sub(&f->held, 1);
        ox_http_respond_text(f->holding[f->holding_n], 200, NULL, OX_STR("released"));
    }
}

static void
on_request(void *ctx, struct ox_http_request *req)
{
    struct fixture *f = ctx;
    atomic_fetch_add(&f->requests, 1);
    if (ox_str_eq(req->path, OX_STR("/echo"))) {
        handle_echo(req);
    } else if (ox_str_eq(req->path, OX_STR("/hold"))) {
        cr_assert_lt(f->holding_n, HELD_MAX);
        req->user = f;
        req->on_gone = count_gone;
        f->holding[f->holding_n++] = req;
        atomic_fetch_add(&f->held, 1);
    } else if (ox_str_eq(req->path, OX_STR("/release"))) {
        ox_http_respond_text(req, 200, NULL, OX_STR("ok"));
        release(f);
    } else if (ox_str_eq(req->path, OX_STR("/stream"))) {
        handle_stream(req);
    } else if (ox_str_eq(req->path, OX_STR("/big"))) {
        handle_big(req);
    } else if (ox_str_eq(req->path, OX_STR("/trailers"))) {
        handle_trailers(req);
    } else if (ox_str_eq(req->path, OX_STR("/inject"))) {
        struct ox_http_header h = {OX_STR("X-Echo"), OX_STR("a\r\nX-Evil: 1")};
        ox_http_respond(req, &(struct ox_http_response){
                                 .status = 200, .headers = &h, .headers_len = 1, .text = OX_STR("injected")});
    } else if (ox_str_eq(req->path, OX_STR("/who"))) {
        handle_who(req);
    } else if (ox_str_eq(req->path, OX_STR("/abort"))) {
        handle_abort(req);
    } else {
        handle_info(req);
    }
}

static void
on_headers(void *ctx, struct ox_http_request *req)
{
    if (ox_str_eq(req->path, OX_STR("/early")))
        ox_http_respond_text(req, 401, NULL, OX_STR("no key"));
    if (ox_str_eq(req->path, OX_STR("/tiny")))
        ox_http_request_limit(req, 10);
}

static void
on_refused(void *ctx, struct ox_http_request *req, ox_err err, const struct ox_diag *diag)
{
    struct fixture *f = ctx;
    atomic_fetch_add(&f->refused, 1);
}

static void
on_drained(void *ctx)
{
    struct fixture *f = ctx;
    atomic_fetch_add(&f->drained, 1);
}

static void
on_wake(uv_async_t *async)
{
    struct fixture *f = async->data;
    switch (atomic_exchange(&f->command, 0)) {
    case 1:
        ox_http_server_drain(f->server, on_drained, f);
        break;
    case 2:
        ox_http_server_close(f->server, NULL, NULL);
        release(f);
        uv_close((uv_handle_t *)&f->wake, NULL);
        break;
    case 3:
        release(f);
        break;
    default:
        break;
    }
}

static void
run(void *arg)
{
    struct fixture *f = arg;
    uv_run(&f->loop, UV_RUN_DEFAULT);
}

/* With OX_TEST_TLS in the environment the same tests run over TLS: what they send to f->port is sealed on its way. */
static void
relay_if_asked(struct fixture *f)
{
    static struct certs certs;
    static struct tls_client_options client;
    static struct ox_tls *tls;
    struct ox_diag diag;
    if (getenv("OX_TEST_TLS") == NULL)
        return;
    if (tls == NULL) {
        certs_make(&certs);
        const struct ox_tls_options o = {.cert_file = certs.cert, .key_file = certs.key};
        cr_assert_eq(ox_tls_new(&o, &tls, &diag), OX_OK, "%s", diag.text);
        certs_remove(&certs);
    }
    f->o.tls = tls;
    f->port = tls_relay_start(f->port, &client);
}

void
fixture_start(struct fixture *f)
{
    char actual[OX_NET_ADDR_MAX];
    struct ox_diag diag;
    cr_assert_eq(ox_net_listen_text(OX_STR("127.0.0.1:0"), &f->listen_fd, actual, &diag), OX_OK, "%s",
                 diag.text);
    f->port = (uint16_t)atoi(strrchr(actual, ':') + 1);
    relay_if_asked(f);
    cr_assert_eq(uv_loop_init(&f->loop), 0);
    uv_async_init(&f->loop, &f->wake, on_wake);
    f->wake.data = f;
    f->o.ctx = f;
    f->o.on_request = on_request;
    f->o.on_headers = on_headers;
    f->o.on_refused = on_refused;
    f->o.body_account = &f->account;
    cr_assert_eq(ox_http_server_start(&f->loop, f->listen_fd, &f->o, &f->server, &diag), OX_OK, "%s",
                 diag.text);
    if (f->extra_fd != 0)
        cr_assert_eq(ox_http_server_listen(f->server, f->extra_fd, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(uv_thread_create(&f->thread, run, f), 0);
}

static void
command(struct fixture *f, int what)
{
    atomic_store(&f->command, what);
    uv_async_send(&f->wake);
}

void
fixture_drain(struct fixture *f)
{
    command(f, 1);
}

void
fixture_release(struct fixture *f)
{
    command(f, 3);
}

void
fixture_stop(struct fixture *f)
{
    command(f, 2);
    uv_thread_join(&f->thread);
    cr_assert_eq(uv_loop_close(&f->loop), 0, "handles are left on the loop");
    close(f->listen_fd);
    cr_assert_eq(atomic_load(&f->account.used_bytes), 0, "bodies are left over");
}

bool
fixture_await(_Atomic uint32_t *counter, uint32_t at_least)
{
    uint64_t end_ns = uv_hrtime() + 60 * UINT64_C(1000000000);
    while (atomic_load(counter) < at_least) {
        if (uv_hrtime() > end_ns)
            return false;
        sched_yield();
    }
    return true;
}
