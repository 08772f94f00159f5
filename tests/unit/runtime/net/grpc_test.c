/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    gRPC framing, metadata and replies as a client sees them.
 * Method:  tables for the pure parts; a server of its own with an echo call for the rest.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "ox/grpc.h"
#include "ox/net.h"
#include "tests/harness/http_client.h"

static uv_loop_t loop;
static uv_async_t wake;
static uv_thread_t thread;
static struct ox_http_server *server;
static struct ox_account account;
static uint16_t port;
static int listen_fd;

static void
on_request(void *ctx, struct ox_http_request *req)
{
    struct ox_body *body;
    struct ox_str message;
    struct ox_diag diag;
    ox_err err = ox_grpc_request_message(req, 100000, &account, &body, &message, &diag);
    if (err != OX_OK) {
        ox_grpc_reply_error(req, ox_err_info(err)->grpc_status, ox_str_of(diag.text), OX_STR("\x08\x03"));
        return;
    }
    ox_grpc_reply(req, message.p, message.n);
    ox_body_drop(body);
}

static void
on_wake(uv_async_t *async)
{
    ox_http_server_close(server, NULL, NULL);
    uv_close((uv_handle_t *)async, NULL);
}

static void
run(void *arg)
{
    uv_run(&loop, UV_RUN_DEFAULT);
}

static void
start(void)
{
    char actual[OX_NET_ADDR_MAX];
    struct ox_http_server_options o = {.on_request = on_request};
    cr_assert_eq(ox_net_listen_text(OX_STR("127.0.0.1:0"), &listen_fd, actual, NULL), OX_OK);
    port = (uint16_t)atoi(strrchr(actual, ':') + 1);
    uv_loop_init(&loop);
    uv_async_init(&loop, &wake, on_wake);
    cr_assert_eq(ox_http_server_start(&loop, listen_fd, &o, &server, NULL), OX_OK);
    uv_thread_create(&thread, run, NULL);
}

static void
stop(void)
{
    uv_async_send(&wake);
    uv_thread_join(&thread);
    cr_assert_eq(uv_loop_close(&loop), 0);
    cr_assert_eq(account.used_bytes, 0);
    close(listen_fd);
}

static void
call(struct ox_client2 *c, const char *const *headers, const struct ox_buf *body,
     struct ox_client_response *r)
{
    int32_t id = ox_client2_submit(c, "POST", "/s/M", headers, body->data, body->len, NULL, true);
    cr_assert(ox_client2_wait(c, id, r));
    cr_assert_eq(r->status, 200);
    cr_assert_not(r->closed);
}

Test(grpc, echoes_messages_plain_and_compressed, .timeout = 60)
{
    static const char *const plain[] = {"content-type", "application/grpc", "te", "trailers", NULL};
    static const char *const packed[] = {"content-type",
                                         "application/grpc+proto",
                                         "grpc-encoding",
                                         "gzip",
                                         "grpc-accept-encoding",
                                         "identity, gzip",
                                         NULL};
    char text[5000], v[64];
    memset(text, 't', sizeof(text));
    start();
    struct ox_client2 *c = ox_client2_open(port);
    struct ox_client_response r;
    struct ox_buf b, gz;
    struct ox_body *out;
    ox_client_response_init(&r);
    ox_buf_init(&b);
    ox_buf_init(&gz);
    ox_grpc_frame(&b, false, text, sizeof(text));
    call(c, plain, &b, &r);
    cr_assert(ox_client_header(&r.headers, "content-type", v, sizeof(v)));
    cr_assert_str_eq(v, "application/grpc");
    cr_assert(ox_client_header(&r.trailers, "grpc-status", v, sizeof(v)));
    cr_assert_str_eq(v, "0");
    cr_assert(ox_str_eq(ox_buf_str(&r.body), ox_buf_str(&b)));
    cr_assert_eq(ox_compress(OX_ENCODING_GZIP, text, sizeof(text), &gz), OX_OK);
    ox_buf_reset(&b);
    ox_grpc_frame(&b, true, gz.data, gz.len);
    call(c, packed, &b, &r);
    cr_assert(ox_client_header(&r.headers, "grpc-encoding", v, sizeof(v)));
    cr_assert_str_eq(v, "gzip");
    cr_assert_eq(r.body.data[0], 1);
    cr_assert_eq(ox_decompress(OX_ENCODING_GZIP, r.body.data + 5, r.body.len - 5, 5000, NULL, &out, NULL),
                 OX_OK);
    cr_assert_eq(memcmp(out->data, text, 5000), 0);
    ox_body_drop(out);
    ox_buf_fini(&b);
    ox_buf_fini(&gz);
    ox_client_response_fini(&r);
    ox_client2_close(c);
    stop();
}

Test(grpc, refuses_with_trailers_only, .timeout = 60)
{
    static const char *const plain[] = {"content-type", "application/grpc", NULL};
    static const char *const json[] = {"content-type", "application/json", NULL};
    static const char *const snappy[] = {"content-type", "application/grpc", "grpc-encoding", "snappy", NULL};
    static const struct {
        const char *const *headers;
        const char *body;
        size_t n;
        const char *status;
    } cases[] = {
        {plain, "", 0, "3"},
        {plain, "\0\0\0\0", 4, "3"},
        {plain, "\0\0\0\0\2x", 6, "3"},
        {plain, "\0\0\0\0\1xy", 7, "3"},
        {plain, "\2\0\0\0\1x", 6, "3"},
        {plain, "\1\0\0\0\1x", 6, "3"},
        {plain, "\0\xff\0\0\1x", 6, "3"},
        {json, "\0\0\0\0\1x", 6, "3"},
        {snappy, "\1\0\0\0\1x", 6, "12"},
    };
    start();
    struct ox_client2 *c = ox_client2_open(port);
    struct ox_client_response r;
    char v[400];
    ox_client_response_init(&r);
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        struct ox_buf b = {.data = (uint8_t *)(uintptr_t)cases[i].body, .len = cases[i].n};
        call(c, cases[i].headers, &b, &r);
        cr_assert(ox_client_header(&r.headers, "grpc-status", v, sizeof(v)), "case %zu", i);
        cr_assert_str_eq(v, cases[i].status, "case %zu: %s", i, v);
        cr_assert(ox_client_header(&r.headers, "grpc-message", v, sizeof(v)));
        cr_assert_gt(strlen(v), 10);
        cr_assert(ox_client_header(&r.headers, "grpc-status-details-bin", v, sizeof(v)));
        cr_assert_str_eq(v, "CAM");
        cr_assert_eq(r.body.len, 0);
    }
    ox_client_response_fini(&r);
    ox_client2_close(c);
    stop();
}

Test(grpc, reads_timeouts)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } cases[] = {{"1H", 3600000}, {"2M", 120000},     {"10S", 10000},     {"500m", 500},
                 {"1u", 1},       {"0n", 0},          {"1000001u", 1001}, {"1n", 1},
                 {"", -1},        {"5", -1},          {"S", -1},          {"-1S", -1},
                 {"1s", -1},      {"123456789S", -1}, {"1 S", -1},        {"99999999H", 9223372036854}};
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        int64_t ms = -1;
        ox_err err = ox_grpc_timeout_parse(ox_str_of(cases[i].text), &ms);
        cr_assert_eq(err, cases[i].ms < 0 ? OX_E_INVALID : OX_OK, "%s", cases[i].text);
        cr_assert_eq(ms, cases[i].ms, "%s", cases[i].text);
    }
}

Test(grpc, encodes_messages_and_base64)
{
    struct ox_buf b;
    ox_buf_init(&b);
    ox_grpc_message_encode(&b, OX_STR("a b%\n\xc3\xa4"));
    cr_assert(ox_str_eq(ox_buf_str(&b), OX_STR("a b%25%0A%C3%A4")));
    static const char *const want[] = {"", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"};
    for (size_t n = 0; n <= 6; n++) {
        ox_buf_reset(&b);
        ox_base64_append(&b, "foobar", n);
        cr_assert(ox_str_eq(ox_buf_str(&b), ox_str_of(want[n])));
    }
    ox_buf_fini(&b);
}

Test(grpc, knows_its_content_types)
{
    cr_assert(ox_grpc_content_type(OX_STR("application/grpc")));
    cr_assert(ox_grpc_content_type(OX_STR("Application/gRPC+proto; charset=x")));
    cr_assert_not(ox_grpc_content_type(OX_STR("application/grpc+json")));
    cr_assert_not(ox_grpc_content_type(OX_STR("application/grpc-web")));
    cr_assert_not(ox_grpc_content_type(OX_STR("")));
}
