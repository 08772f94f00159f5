/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    HTTP/1.1 as clients speak it and as attackers bend it.
 * Method:  a real server on a thread, raw sockets; each refusal is checked by its status on the wire.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fixture.h"
#include "ox/net.h"
#include "tests/harness/http_client.h"

static struct fixture f;
static struct ox_client1 c;
static struct ox_client_response r;

static void
open_client(void)
{
    ox_client1_init(&c, ox_client_connect(f.port));
    cr_assert_geq(c.fd, 0);
}

static void
start(void)
{
    fixture_start(&f);
    open_client();
}

static void
stop(void)
{
    ox_client1_fini(&c);
    ox_client_response_fini(&r);
    fixture_stop(&f);
}

static void
say(const char *text)
{
    cr_assert(ox_client_send(c.fd, text, strlen(text)));
}

static void
expect(int status, const char *body)
{
    cr_assert(ox_client1_read(&c, false, &r), "no answer, expected %d", status);
    cr_assert_eq(r.status, status, "%d instead of %d: %.*s", r.status, status, (int)r.body.len,
                 (char *)r.body.data);
    if (body != NULL)
        cr_assert(ox_str_eq(ox_buf_str(&r.body), ox_str_of(body)), "%.*s", (int)r.body.len,
                  (char *)r.body.data);
}

TestSuite(http1, .timeout = 60);

Test(http1, keeps_connections_and_describes_requests)
{
    start();
    say("POST /a/b?x=1&y=%20 HTTP/1.1\r\nHost: h:1\r\nContent-Length: 3\r\nX-Multi:  v w \r\n\r\nabc");
    expect(200, "POST /a/b ?x=1&y=%20 v11 host=h:1 peer=127.0.0.1 loop=1 "
                "len=3|Host=h:1|Content-Length=3|X-Multi=v w");
    say("GET http://other/p HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(200, "GET /p ? v11 host=other peer=127.0.0.1 loop=1 len=0|Host=h");
    say("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(200, "OPTIONS * ? v11 host=h peer=127.0.0.1 loop=1 len=0|Host=h");
    cr_assert_not(r.closed);
    say("GET / HTTP/1.0\r\n\r\n");
    expect(200, "GET / ? v10 host= peer=127.0.0.1 loop=1 len=0");
    cr_assert(r.closed);
    cr_assert(ox_client1_closed(&c));
    stop();
}

Test(http1, answers_pipelined_requests_in_order)
{
    start();
    say("GET /hold HTTP/1.1\r\nHost: h\r\n\r\nPOST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: "
        "5\r\n\r\nfirst"
        "GET /release HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(200, "released");
    expect(200, "first");
    expect(200, "ok");
    stop();
}

Test(http1, bounds_pipelined_requests_in_memory)
{
    f.o.pipeline_max = 4;
    start();
    for (int i = 0; i < 50; i++)
        say("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert(fixture_await(&f.held, 4));
    struct ox_client_response other;
    ox_client_response_init(&other);
    for (int i = 0; i < 20; i++) {
        cr_assert(ox_client1_request(f.port, "GET", "/x", NULL, NULL, 0, &other));
        cr_assert_eq(atomic_load(&f.held), 4);
    }
    ox_client_response_fini(&other);
    for (uint32_t answered = 0; answered < 50; answered++) {
        while (atomic_load(&f.held) > 0)
            fixture_release(&f);
        expect(200, "released");
        cr_assert_leq(atomic_load(&f.held), 4);
    }
    stop();
}

Test(http1, reads_the_same_however_it_is_split)
{
    static const char req[] = "\r\nPOST /t HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "4;x=\"y\"\r\nabcd\r\n0a\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n";
    start();
    for (size_t cut = 1; cut < sizeof(req) - 1; cut++) {
        cr_assert(ox_client_send(c.fd, req, cut));
        /* A request on another connection in between: the server has surely read the first part. */
        if (cut % 7 == 0)
            cr_assert(ox_client1_request(f.port, "GET", "/x", NULL, NULL, 0, &r));
        cr_assert(ox_client_send(c.fd, req + cut, sizeof(req) - 1 - cut));
        expect(200,
               "POST /t ? v11 host=h peer=127.0.0.1 loop=1 len=-1|Host=h|Transfer-Encoding=chunked+X-T=1");
    }
    for (size_t i = 0; i < sizeof(req) - 1; i++)
        cr_assert(ox_client_send(c.fd, req + i, 1));
    expect(200, NULL);
    stop();
}

Test(http1, echoes_bodies_of_all_sizes)
{
    static const size_t sizes[] = {0, 1, 4095, 65536, 131072, 262144, 262145, 1000000, 8u << 20};
    char *body = malloc(8u << 20);
    for (size_t i = 0; i < 8u << 20; i++)
        body[i] = (char)(i * 2654435761u >> 13);
    start();
    for (size_t i = 0; i < OX_COUNT(sizes); i++) {
        cr_assert(ox_client1_request(f.port, "POST", "/echo", NULL, body, sizes[i], &r));
        cr_assert_eq(r.status, 200);
        cr_assert_eq(r.body.len, sizes[i]);
        cr_assert(sizes[i] == 0 || memcmp(r.body.data, body, sizes[i]) == 0);
    }
    stop();
    free(body);
}

Test(http1, refuses_what_could_smuggle)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc", 400},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc", 400},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\nabc", 400},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\x0b"
         "chunked\r\n\r\n",
         400},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", 400},
        {"GET / HTTP/1.1\nHost: h\n\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\nX: a\nY: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\n: empty\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 400},
        {"GET / http/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET /#f HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET path HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET\r\nHost: h\r\n\r\n", 400},
        {"\x16\x03\x01\x02\r\n\r\n", 400},
        {"G@T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 501},
        {"\r\n\r\n\r\n\r\n\r\n\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\rXabc\r\n0\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a\nb\r\nabc\r\n0\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n", 400},
    };
    start();
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        ox_client1_fini(&c);
        open_client();
        say(cases[i].text);
        /* What an attacker hopes to be taken for a second request must not be answered. */
        (void)ox_client_send(c.fd, "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", 35);
        cr_assert(ox_client1_read(&c, false, &r), "no answer to %s", cases[i].text);
        cr_assert_eq(r.status, cases[i].status, "%d to %s", r.status, cases[i].text);
        cr_assert(r.closed, "the connection must not go on");
        cr_assert(ox_client1_closed(&c));
        cr_assert_eq(atomic_load(&f.requests), 0);
        cr_assert_eq(atomic_load(&f.refused), i + 1);
    }
    stop();
}

Test(http1, limits_headers)
{
    struct ox_buf b;
    ox_buf_init(&b);
    f.o.header_bytes_max = 2000;
    f.o.headers_max = 20;
    start();
    ox_buf_printf(&b, "GET /x HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 20; i++)
        ox_buf_printf(&b, "H%d: v\r\n", i);
    ox_buf_printf(&b, "\r\n");
    cr_assert(ox_client_send(c.fd, b.data, b.len));
    expect(431, NULL);
    ox_client1_fini(&c);
    open_client();
    ox_buf_reset(&b);
    ox_buf_printf(&b, "GET /x HTTP/1.1\r\nHost: h\r\nBig: %02000d\r\n\r\n", 1);
    cr_assert(ox_client_send(c.fd, b.data, b.len));
    expect(431, NULL);
    ox_buf_fini(&b);
    stop();
}

Test(http1, limits_bodies)
{
    char big[2000];
    memset(big, 'b', sizeof(big));
    f.o.body_bytes_max = 1000;
    start();
    cr_assert(ox_client1_request(f.port, "POST", "/echo", NULL, big, 1000, &r));
    cr_assert_eq(r.status, 200);
    cr_assert(ox_client1_request(f.port, "POST", "/echo", NULL, big, 1001, &r));
    cr_assert_eq(r.status, 413);
    cr_assert(ox_client1_request(f.port, "POST", "/tiny", NULL, big, 11, &r));
    cr_assert_eq(r.status, 413);
    say("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n258\r\n");
    cr_assert(ox_client_send(c.fd, big, 600));
    say("\r\n258\r\n");
    cr_assert(ox_client_send(c.fd, big, 600));
    expect(413, NULL);
    stop();
}

Test(http1, refuses_bodies_beyond_the_budget)
{
    char *big = calloc(1, 400000);
    f.account.limit_bytes = 300000;
    start();
    say("POST /hold HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n");
    cr_assert(ox_client_send(c.fd, big, 200000));
    cr_assert(fixture_await(&f.held, 1));
    cr_assert(ox_client1_request(f.port, "POST", "/echo", NULL, big, 150000, &r));
    cr_assert_eq(r.status, 429);
    char after[8];
    cr_assert(ox_client_header(&r.headers, "retry-after", after, sizeof(after)));
    fixture_release(&f);
    expect(200, "released");
    cr_assert(ox_client1_request(f.port, "POST", "/echo", NULL, big, 150000, &r));
    cr_assert_eq(r.status, 200);
    stop();
    free(big);
}

Test(http1, answers_early_without_the_body)
{
    start();
    say("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n");
    expect(401, "no key");
    cr_assert_not(r.closed);
    say("0123456789GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(200, NULL);
    say("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n");
    expect(401, "no key");
    cr_assert(r.closed);
    stop();
}

Test(http1, asks_for_the_body_only_when_it_is_wanted)
{
    char line[32] = {0};
    start();
    say("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    cr_assert_eq(recv(c.fd, line, 25, MSG_WAITALL), 25);
    cr_assert_str_eq(line, "HTTP/1.1 100 Continue\r\n\r\n");
    say("ok");
    expect(200, "ok");
    say("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    cr_assert_eq(recv(c.fd, line, 12, MSG_WAITALL | MSG_PEEK), 12);
    cr_assert_eq(strncmp(line, "HTTP/1.1 401", 12), 0);
    expect(401, NULL);
    cr_assert(r.closed);
    stop();
}

Test(http1, answers_head_without_a_body)
{
    start();
    say("HEAD /big?n=5000 HTTP/1.1\r\nHost: h\r\n\r\nHEAD /stream?n=50 HTTP/1.1\r\nHost: h\r\n\r\n"
        "GET /big?n=3 HTTP/1.1\r\nHost: h\r\n\r\n");
    char n[16];
    cr_assert(ox_client1_read(&c, true, &r));
    cr_assert(ox_client_header(&r.headers, "content-length", n, sizeof(n)));
    cr_assert_str_eq(n, "5000");
    cr_assert(ox_client1_read(&c, true, &r));
    expect(200, "abc");
    stop();
}

Test(http1, streams_with_back_pressure)
{
    f.o.write_queue_high = 100000;
    start();
    say("GET /stream?n=20000000 HTTP/1.1\r\nHost: h\r\n\r\nGET /big?n=3000000 HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(200, NULL);
    cr_assert_eq(r.body.len, 20000000);
    expect(200, NULL);
    cr_assert_eq(r.body.len, 3000000);
    for (size_t i = 0; i < r.body.len; i++)
        cr_assert_eq(r.body.data[i], 'a' + i % 23);
    say("GET /stream?n=100000 HTTP/1.0\r\n\r\n");
    expect(200, NULL);
    cr_assert_eq(r.body.len, 100000);
    stop();
}

Test(http1, notices_that_the_peer_left)
{
    start();
    say("GET /hold HTTP/1.1\r\nHost: h\r\n\r\nGET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert(fixture_await(&f.held, 2));
    ox_client1_fini(&c);
    cr_assert(fixture_await(&f.gone, 2));
    fixture_release(&f);
    open_client();
    say("GET /stream?n=100000000 HTTP/1.1\r\nHost: h\r\n\r\n");
    char some[100];
    cr_assert_gt(recv(c.fd, some, sizeof(some), 0), 0);
    ox_client1_fini(&c);
    open_client();
    say("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf");
    ox_client1_fini(&c);
    open_client();
    say("GET /abort HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert_not(ox_client1_read(&c, false, &r));
    stop();
}

Test(http1, honours_a_half_closed_peer_when_told_to)
{
    f.o.half_close = true;
    start();
    say("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert(fixture_await(&f.held, 1));
    shutdown(c.fd, SHUT_WR);
    cr_assert(ox_client1_request(f.port, "GET", "/release", NULL, NULL, 0, &r));
    expect(200, "released");
    cr_assert(ox_client1_closed(&c));
    stop();
}

Test(http1, ends_slow_requests)
{
    f.o.header_timeout_ms = 60;
    f.o.body_timeout_ms = 60;
    f.o.idle_timeout_ms = 60;
    start();
    cr_assert(ox_client1_closed(&c), "an idle connection is closed");
    ox_client1_fini(&c);
    open_client();
    say("GET / HT");
    expect(408, NULL);
    cr_assert(ox_client1_closed(&c));
    ox_client1_fini(&c);
    open_client();
    say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab");
    expect(408, NULL);
    cr_assert(ox_client1_closed(&c));
    struct ox_http_stats st;
    ox_http_server_stats(f.server, &st);
    cr_assert_eq(st.connections_timed_out, 3);
    stop();
}

Test(http1, ends_peers_that_do_not_read)
{
    f.o.write_timeout_ms = 100;
    start();
    say("GET /big?n=50000000 HTTP/1.1\r\nHost: h\r\n\r\n");
    struct ox_http_stats st;
    uint64_t end_ns = uv_hrtime() + 60 * UINT64_C(1000000000);
    do
        ox_http_server_stats(f.server, &st);
    while (st.connections_timed_out == 0 && uv_hrtime() < end_ns);
    cr_assert_eq(st.connections_timed_out, 1);
    stop();
}

Test(http1, limits_connections)
{
    f.o.connections_per_address_max = 2;
    start();
    struct ox_client1 d, e;
    ox_client1_init(&d, ox_client_connect(f.port));
    say("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(200, NULL);
    ox_client1_init(&e, ox_client_connect(f.port));
    cr_assert(ox_client1_closed(&e));
    ox_client1_fini(&d);
    ox_client1_fini(&e);
    uint64_t end_ns = uv_hrtime() + 60 * UINT64_C(1000000000);
    bool again = false;
    while (!again && uv_hrtime() < end_ns)
        again = ox_client1_request(f.port, "GET", "/x", NULL, NULL, 0, &r);
    cr_assert(again, "a freed place can be taken");
    stop();
}

static uint64_t
fixed_time(const struct ox_clock *clock)
{
    return UINT64_C(784111777) * 1000000000;
}

Test(http1, serves_unix_sockets_and_dates_answers)
{
    static const struct ox_clock clock = {.monotonic_ns = fixed_time, .realtime_ns = fixed_time};
    char dir[] = "/tmp/ox-http-XXXXXX", path[64], date[40];
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/s", dir);
    cr_assert_eq(ox_net_listen_unix(path, 0600, &f.extra_fd, NULL), OX_OK);
    f.o.clock = &clock;
    start();
    ox_client1_fini(&c);
    ox_client1_init(&c, ox_client_connect_unix(path));
    say("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(200, "GET /x ? v11 host=h peer=unix loop=1 len=0|Host=h");
    cr_assert(ox_client_header(&r.headers, "date", date, sizeof(date)));
    cr_assert_str_eq(date, "Sun, 06 Nov 1994 08:49:37 GMT");
    stop();
    close(f.extra_fd);
    unlink(path);
    rmdir(dir);
}

Test(http1, cannot_be_made_to_split_an_answer)
{
    start();
    say("GET /inject?a%0d%0aX:1 HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(200, "injected");
    char v[40];
    cr_assert(ox_client_header(&r.headers, "x-echo", v, sizeof(v)));
    cr_assert_str_eq(v, "a  X-Evil: 1");
    cr_assert_not(ox_client_header(&r.headers, "x-evil", v, sizeof(v)));
    stop();
}

Test(http1, drains)
{
    start();
    struct ox_client1 idle;
    ox_client1_init(&idle, ox_client_connect(f.port));
    cr_assert(ox_client_send(idle.fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n", 28));
    cr_assert(ox_client1_read(&idle, false, &r));
    say("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert(fixture_await(&f.held, 1));
    fixture_drain(&f);
    cr_assert(ox_client1_closed(&idle));
    fixture_release(&f);
    expect(200, "released");
    cr_assert(r.closed);
    cr_assert(ox_client1_closed(&c));
    ox_client1_fini(&idle);
    ox_client1_fini(&c);
    cr_assert(fixture_await(&f.drained, 1));
    stop();
}

Test(http1, shares_a_census_that_outlives_its_owner)
{
    f.o.census = ox_http_census_new();
    start();
    say("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(200, NULL);
    cr_assert_eq(ox_http_census_open(f.o.census), 1);
    ox_http_census_free(f.o.census);
    say("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(200, NULL);
    stop();
}
