/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    requests are read whole whatever their pieces, and what is not HTTP is refused with its status.
 * Method:  a socket pair; one side writes, the other is the connection.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "engine/http.h"

static int peer;
static struct ox__conn *conn;
static struct ox__request *request;
static struct ox_diag diag;
static int status;

static void
up(void)
{
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct ox__conn_limits limits = {1000, 2000, 2000, eventfd(0, 0)};
    conn = ox__conn_new(pair[0], &limits);
    peer = pair[1];
}

static void
down(void)
{
    close(peer);
    ox__conn_free(conn);
}

TestSuite(engine_http, .init = up, .fini = down, .timeout = 20);

static void
put(const void *bytes, size_t n)
{
    cr_assert_eq(write(peer, bytes, n), (ssize_t)n);
}

static void
put_text(const char *text)
{
    put(text, strlen(text));
}

static enum ox__http_step
read_all(struct ox_str *body)
{
    enum ox__http_step step = ox__conn_read_head(conn, &request, &status, &diag);
    if (step == OX__HTTP_OK)
        step = ox__conn_read_body(conn, &status, &diag);
    if (step == OX__HTTP_OK)
        cr_assert_eq(ox__sink_map(&request->body, body), OX_OK);
    return step;
}

static void
expect_body(const char *want)
{
    struct ox_str body;
    cr_assert_eq(read_all(&body), OX__HTTP_OK, "%d %s", status, diag.text);
    cr_assert(ox_str_eq(body, ox_str_of(want)), "\"%.*s\"", (int)body.n, body.p);
    ox__sink_unmap(body);
}

Test(engine_http, two_pipelined_requests)
{
    put_text("POST /?a=b%20c HTTP/1.1\r\nX-ClickHouse-Key: k\r\nContent-Length: 3\r\n\r\nabc"
             "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n");
    expect_body("abc");
    cr_assert(ox_str_eq(request->key, OX_STR("k")));
    cr_assert(ox_str_eq(ox__http_param(request, "a"), OX_STR("b c")));
    cr_assert(ox__conn_reply(conn, 200, "text/plain", NULL, OX_STR("x")));
    expect_body("def");
    cr_assert(ox_str_eq(request->path, OX_STR("/x")));
    cr_assert_eq(request->key.n, 0);
    cr_assert(ox__conn_alive(conn));
}

Test(engine_http, a_gzip_body_of_two_members)
{
    uint8_t packed[256];
    size_t n = 0;
    for (int i = 0; i < 2; i++) {
        z_stream z = {0};
        cr_assert_eq(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
        z.next_in = (Bytef *)"hello";
        z.avail_in = 5;
        z.next_out = packed + n;
        z.avail_out = (uInt)(sizeof(packed) - n);
        cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
        n = sizeof(packed) - z.avail_out;
        deflateEnd(&z);
    }
    char head[128];
    snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
             n);
    put_text(head);
    put(packed, n);
    expect_body("hellohello");
}

Test(engine_http, bad_requests_get_their_status)
{
    struct ox_str body;
    put_text("NONSENSE\r\n\r\n");
    cr_assert_eq(read_all(&body), OX__HTTP_BAD);
    cr_assert_eq(status, 400);
    cr_assert_not(ox__conn_alive(conn));
}

Test(engine_http, a_body_beyond_the_limit)
{
    char big[1200];
    struct ox_str body;
    memset(big, 'x', sizeof(big));
    put_text("POST / HTTP/1.1\r\nContent-Length: 1200\r\n\r\n");
    put(big, sizeof(big));
    cr_assert_eq(read_all(&body), OX__HTTP_BAD);
    cr_assert_eq(status, 413);
}

Test(engine_http, an_unknown_coding_and_a_damaged_body)
{
    struct ox_str body;
    put_text("POST / HTTP/1.1\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx");
    cr_assert_eq(read_all(&body), OX__HTTP_BAD);
    cr_assert_eq(status, 415);
}

Test(engine_http, a_zstd_body_that_is_none)
{
    struct ox_str body;
    put_text("POST / HTTP/1.1\r\nContent-Encoding: zstd\r\nContent-Length: 9\r\n\r\nnot zstd!");
    cr_assert_eq(read_all(&body), OX__HTTP_BAD);
    cr_assert_eq(status, 400);
}

Test(engine_http, a_peer_that_leaves_in_the_middle)
{
    struct ox_str body;
    put_text("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
    shutdown(peer, SHUT_WR);
    cr_assert_eq(read_all(&body), OX__HTTP_BAD);
    cr_assert_eq(status, 0);
}

Test(engine_http, a_quiet_peer_is_let_go)
{
    shutdown(peer, SHUT_WR);
    cr_assert_eq(ox__conn_read_head(conn, &request, &status, &diag), OX__HTTP_CLOSED);
}
