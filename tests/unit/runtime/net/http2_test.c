/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    HTTP/2 with many streams, big bodies, trailers, impatient and hostile peers.
 * Method:  a real server on a thread, nghttp2's client session, raw frames where the session would not send
 *          them.
 */
#include <criterion/criterion.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "fixture.h"
#include "ox/metric.h"
#include "tests/harness/http_client.h"

static struct fixture f;
static struct ox_client2 *c;
static struct ox_client_response r;

static void
start(void)
{
    fixture_start(&f);
    c = ox_client2_open(f.port);
}

static void
stop(void)
{
    if (c != NULL)
        ox_client2_close(c);
    ox_client_response_fini(&r);
    fixture_stop(&f);
}

static void
expect(int32_t stream, int status, const char *body)
{
    cr_assert(ox_client2_wait(c, stream, &r), "stream %d got no answer", stream);
    cr_assert_eq(r.status, status, "%d instead of %d: %.*s", r.status, status, (int)r.body.len,
                 (char *)r.body.data);
    cr_assert_not(r.closed, "reset with %u", r.reset_code);
    if (body != NULL)
        cr_assert(ox_str_eq(ox_buf_str(&r.body), ox_str_of(body)), "%.*s", (int)r.body.len,
                  (char *)r.body.data);
}

static int32_t
get(const char *path)
{
    return ox_client2_submit(c, "GET", path, NULL, NULL, 0, NULL, true);
}

TestSuite(http2, .timeout = 120);

Test(http2, describes_requests)
{
    static const char *const headers[] = {"x-a", "1", "te", "trailers", NULL};
    static const char *const trailers[] = {"x-sum", "42", NULL};
    start();
    expect(ox_client2_submit(c, "POST", "/p?q=1", headers, "abc", 3, trailers, true), 200,
           "POST /p ?q=1 v20 host=127.0.0.1 peer=127.0.0.1 loop=1 len=-1|x-a=1|te=trailers+x-sum=42");
    expect(get("/trailers"), 200, "body");
    char v[8];
    cr_assert(ox_client_header(&r.trailers, "grpc-status", v, sizeof(v)));
    cr_assert_str_eq(v, "0");
    cr_assert(ox_client_header(&r.trailers, "x-end", v, sizeof(v)));
    expect(ox_client2_submit(c, "HEAD", "/big?n=100", NULL, NULL, 0, NULL, true), 200, "");
    cr_assert(ox_client_header(&r.headers, "content-length", v, sizeof(v)));
    cr_assert_str_eq(v, "100");
    stop();
}

Test(http2, serves_a_thousand_streams_and_bounds_those_open)
{
    static int32_t id[1000];
    f.o.h2_streams_max = 100;
    start();
    for (int i = 0; i < 1000; i++)
        id[i] = ox_client2_submit(c, "POST", i % 2 ? "/echo" : "/hold", NULL, "x", 1, NULL, true);
    cr_assert(ox_client2_flush(c));
    for (int i = 0; i < 1000; i++) {
        /* Held ones are answered as the test comes to them. */
        if (i % 2 == 0) {
            cr_assert_leq(atomic_load(&f.held), 100);
            fixture_release(&f);
        }
        while (!ox_client2_done(c, id[i])) {
            cr_assert(ox_client2_step(c));
            fixture_release(&f);
        }
        expect(id[i], 200, i % 2 ? "x" : "released");
    }
    cr_assert_eq(atomic_load(&f.requests), 1000);
    stop();
}

Test(http2, moves_big_bodies_both_ways)
{
    char *body = malloc(8u << 20);
    for (size_t i = 0; i < 8u << 20; i++)
        body[i] = (char)(i * 2654435761u >> 11);
    f.o.h2_stream_window = 65535;
    f.o.h2_connection_window = 100000;
    start();
    int32_t a = ox_client2_submit(c, "POST", "/echo", NULL, body, 8u << 20, NULL, true);
    int32_t b = ox_client2_submit(c, "POST", "/echo", NULL, body, 1u << 20, NULL, true);
    expect(a, 200, NULL);
    cr_assert_eq(r.body.len, 8u << 20);
    cr_assert_eq(memcmp(r.body.data, body, 8u << 20), 0);
    expect(b, 200, NULL);
    cr_assert_eq(r.body.len, 1u << 20);
    expect(get("/stream?n=9000000"), 200, NULL);
    cr_assert_eq(r.body.len, 9000000);
    stop();
    free(body);
}

Test(http2, refuses_within_the_stream)
{
    char *big = calloc(1, 200000);
    const char *many[2 * 24 + 1] = {0};
    for (int i = 0; i < 24; i++) {
        many[2 * i] = "x-many";
        many[2 * i + 1] = "v";
    }
    f.o.body_bytes_max = 100000;
    f.o.headers_max = 20;
    f.account.limit_bytes = 90000;
    start();
    expect(ox_client2_submit(c, "POST", "/echo", NULL, big, 100001, NULL, true), 429, NULL);
    static const char *const length[] = {"content-length", "200000", NULL};
    expect(ox_client2_submit(c, "POST", "/echo", length, big, 200000, NULL, true), 413, NULL);
    expect(ox_client2_submit(c, "POST", "/early", NULL, big, 200000, NULL, true), 401, "no key");
    expect(ox_client2_submit(c, "POST", "/echo", many, NULL, 0, NULL, true), 431, NULL);
    expect(ox_client2_submit(c, "POST", "/tiny", NULL, big, 11, NULL, true), 413, NULL);
    expect(ox_client2_submit(c, "POST", "/echo", NULL, "ok", 2, NULL, true), 200, "ok");
    stop();
    free(big);
}

Test(http2, notices_resets_and_lost_connections)
{
    start();
    int32_t a = get("/hold");
    get("/hold");
    ox_client2_flush(c);
    cr_assert(fixture_await(&f.held, 2));
    ox_client2_reset(c, a, NGHTTP2_CANCEL);
    ox_client2_flush(c);
    cr_assert(fixture_await(&f.gone, 1));
    expect(get("/x"), 200, NULL);
    ox_client2_close(c);
    c = NULL;
    cr_assert(fixture_await(&f.gone, 2));
    c = ox_client2_open(f.port);
    cr_assert(ox_client2_wait(c, get("/abort"), &r));
    cr_assert(r.closed);
    get("/stream?n=100000000");
    ox_client2_step(c);
    stop();
}

Test(http2, ends_connections_that_reset_without_end)
{
    f.o.h2_resets_burst = 50;
    start();
    for (int i = 0; i < 500; i++) {
        int32_t id = get("/hold");
        ox_client2_flush(c);
        ox_client2_reset(c, id, NGHTTP2_CANCEL);
        if (!ox_client2_flush(c))
            break;
    }
    cr_assert_eq(ox_client2_wait_goaway(c), NGHTTP2_ENHANCE_YOUR_CALM);
    struct ox_http_stats st;
    ox_http_server_stats(f.server, &st);
    cr_assert_eq(st.h2_floods, 1);
    stop();
}

Test(http2, bounds_requests_that_outlive_their_streams)
{
    f.o.h2_streams_max = 10;
    f.o.h2_resets_burst = 100000;
    start();
    for (int i = 0; i < 200; i++) {
        int32_t id = get("/hold");
        ox_client2_flush(c);
        ox_client2_reset(c, id, NGHTTP2_CANCEL);
        ox_client2_flush(c);
    }
    expect(get("/x"), 200, NULL);
    cr_assert_leq(atomic_load(&f.held), 200);
    fixture_release(&f);
    stop();
}

static void
send_frame(uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t n)
{
    uint8_t frame[9 + 16384];
    uint8_t head[9] = {
        (uint8_t)(n >> 16),      (uint8_t)(n >> 8),      (uint8_t)n,     type, flags, (uint8_t)(stream >> 24),
        (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    memcpy(frame, head, 9);
    memcpy(frame + 9, payload, n);
    (void)ox_client_send(ox_client2_fd(c), frame, 9 + n);
}

Test(http2, ends_continuation_floods)
{
    char junk[16000];
    memset(junk, 0, sizeof(junk));
    start();
    expect(get("/x"), 200, NULL);
    /* HEADERS without END_HEADERS, then CONTINUATION frames of literal headers without end. */
    static const uint8_t begin[] = {0x82, 0x86, 0x84};
    static const uint8_t literal[] = {0x00, 0x01, 'a', 0x01, 'b'};
    for (size_t i = 0; i + 5 <= sizeof(junk); i += 5)
        memcpy(junk + i, literal, 5);
    send_frame(1, 0, 101, begin, 3);
    for (int i = 0; i < 200; i++)
        send_frame(9, 0, 101, junk, sizeof(junk));
    char some[4096];
    ssize_t n;
    while ((n = recv(ox_client2_fd(c), some, sizeof(some), 0)) > 0) {
    }
    cr_assert(n == 0 || n == -1, "the connection must end");
    ox_client2_close(c);
    c = ox_client2_open(f.port);
    expect(get("/x"), 200, NULL);
    stop();
}

Test(http2, ends_ping_floods_whose_answers_nobody_reads)
{
    static uint8_t pings[17 * 1000];
    static const uint8_t ping[17] = {0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
    for (size_t i = 0; i < 1000; i++)
        memcpy(pings + 17 * i, ping, 17);
    start();
    expect(get("/x"), 200, NULL);
    bool open = true;
    for (int i = 0; open && i < 5000; i++)
        open = ox_client_send(ox_client2_fd(c), pings, sizeof(pings));
    cr_assert_not(open, "five million pings were taken");
    struct ox_http_stats st;
    ox_http_server_stats(f.server, &st);
    cr_assert_eq(st.h2_floods, 1);
    stop();
}

/* The server ends the connection and counts it as a flood. */
static void
expect_flood(const char *what)
{
    char some[4096];
    struct ox_http_stats st;
    while (recv(ox_client2_fd(c), some, sizeof(some), 0) > 0) {
    }
    ox_http_server_stats(f.server, &st);
    cr_assert_eq(st.h2_floods, 1, "%s: %llu floods", what, (unsigned long long)st.h2_floods);
    cr_assert_geq(ox_metric_value(OX_M_http_floods, NULL), 1);
    ox_client2_close(c);
    c = ox_client2_open(f.port);
    expect(get("/x"), 200, NULL);
    stop();
}

/* GET / with a body that is still to come, as a raw frame. */
static void
open_stream(uint32_t id)
{
    static const uint8_t head[] = {0x83, 0x86, 0x84, 0x41, 0x01, 'a'};
    send_frame(1, 4, id, head, sizeof(head));
}

/* Goal: whoever has the server reset its own streams, by frames that it must answer with RST_STREAM, is counted like one
 * who resets them himself. */
Test(http2, ends_connections_that_make_the_server_reset)
{
    static const uint8_t most[4] = {0x7f, 0xff, 0xff, 0xff};
    f.o.h2_resets_burst = 50;
    start();
    expect(get("/x"), 200, NULL);
    for (uint32_t i = 0; i < 200; i++) {
        open_stream(101 + 2 * i);
        send_frame(8, 0, 101 + 2 * i, most, 4);
    }
    expect_flood("windows larger than there may be");
}

Test(http2, ends_floods_of_frames_that_carry_nothing)
{
    static const uint8_t weight[5] = {0, 0, 0, 0, 16}, one[4] = {0, 0, 0, 1};
    static const struct {
        const char *what;
        uint8_t type;
        const void *payload;
        size_t n;
        bool on_stream;
    } cases[] = {
        {"empty DATA", 0, "", 0, true},
        {"PRIORITY", 2, weight, 5, true},
        {"SETTINGS", 4, "", 0, false},
        {"PING", 6, "12345678", 8, false},
        {"WINDOW_UPDATE", 8, one, 4, false},
        {"an unknown type", 0x99, "", 0, false},
        {"GOAWAY", 7, "\0\0\0\0\0\0\0\0", 8, false},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        memset(&f, 0, sizeof(f));
        f.o.h2_idle_frames_burst = 200;
        f.o.h2_idle_frames_per_s = 1;
        start();
        expect(get("/x"), 200, NULL);
        open_stream(101);
        for (int k = 0; k < 400; k++)
            send_frame(cases[i].type, 0, cases[i].on_stream ? 101 : 0, cases[i].payload, cases[i].n);
        expect_flood(cases[i].what);
    }
}

/* Goal: who sends and takes much also sends many such frames, and is not taken for a flood. */
Test(http2, lets_a_busy_connection_update_its_windows)
{
    static const uint8_t one[4] = {0, 0, 0, 1};
    f.o.h2_idle_frames_burst = 50;
    f.o.h2_idle_frames_per_s = 1;
    start();
    for (int i = 0; i < 100; i++) {
        expect(get("/big?n=20000"), 200, NULL);
        for (int k = 0; k < 10; k++)
            send_frame(8, 0, 0, one, 4);
    }
    struct ox_http_stats st;
    ox_http_server_stats(f.server, &st);
    cr_assert_eq(st.h2_floods, 0);
    stop();
}

Test(http2, resets_streams_whose_window_stays_closed)
{
    f.o.write_timeout_ms = 100;
    start();
    int32_t id = get("/big?n=5000000");
    ox_client2_flush(c);
    struct ox_http_stats st;
    uint64_t end_ns = uv_hrtime() + 60 * UINT64_C(1000000000);
    do
        ox_http_server_stats(f.server, &st);
    while (st.connections_timed_out == 0 && uv_hrtime() < end_ns);
    cr_assert_eq(st.connections_timed_out, 1);
    cr_assert(ox_client2_wait(c, id, &r));
    cr_assert(r.closed);
    expect(get("/x"), 200, NULL);
    stop();
}

Test(http2, ends_slow_streams_and_idle_connections)
{
    f.o.body_timeout_ms = 60;
    f.o.idle_timeout_ms = 150;
    start();
    expect(ox_client2_submit(c, "POST", "/echo", NULL, "half", 4, NULL, false), 408, NULL);
    cr_assert_eq(ox_client2_wait_goaway(c), NGHTTP2_NO_ERROR);
    stop();
}

Test(http2, drains)
{
    start();
    int32_t a = get("/hold");
    ox_client2_flush(c);
    cr_assert(fixture_await(&f.held, 1));
    fixture_drain(&f);
    cr_assert_eq(ox_client2_wait_goaway(c), NGHTTP2_NO_ERROR);
    fixture_release(&f);
    expect(a, 200, "released");
    ox_client2_close(c);
    c = NULL;
    cr_assert(fixture_await(&f.drained, 1));
    stop();
}

Test(http2, refuses_a_broken_preface)
{
    start();
    ox_client2_close(c);
    c = NULL;
    struct ox_client1 raw;
    ox_client1_init(&raw, ox_client_connect(f.port));
    cr_assert(ox_client_send(raw.fd, "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 24));
    cr_assert(ox_client1_read(&raw, false, &r));
    cr_assert_eq(r.status, 400);
    ox_client1_fini(&raw);
    stop();
}
