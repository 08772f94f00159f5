/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    TLS carries both protocols unchanged; what is old, weak, foreign or garbage is refused and leaves the server as
 *          it was; a new certificate is taken without a connection lost, and a bad one is not taken.
 * Method:  the server of fixture.c, OpenSSL's own client, and raw bytes. What http1_test.c and http2_test.c say holds
 *          over TLS too: they run a second time with OX_TEST_TLS=1.
 */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fixture.h"
#include "tests/harness/certs.h"
#include "tests/harness/tls_client.h"

static struct fixture f;
static struct certs certs;
static struct ox_tls *tls;
static struct ox_tls_options files;

static void
start_with(enum ox_tls_client client, uint32_t handshake_ms)
{
    struct ox_diag diag = {0};
    certs_make(&certs);
    files = (struct ox_tls_options){
        .cert_file = certs.cert, .key_file = certs.key, .ca_file = certs.ca, .client = client};
    cr_assert_eq(ox_tls_new(&files, &tls, &diag), OX_OK, "%s: %s", diag.field, diag.text);
    f.o.tls = tls;
    f.o.tls_handshake_ms = handshake_ms;
    fixture_start(&f);
}

static void
stop(void)
{
    fixture_stop(&f);
    ox_tls_free(tls);
    certs_remove(&certs);
}

TestSuite(tls, .timeout = 60);

/* The status of one request on a connection of its own; 0 = none came. */
static int
ask(const struct tls_client_options *o, const char *path, char *answer, size_t cap)
{
    struct tls_client c;
    int status =
        tls_client_open(&c, f.port, o) ? tls_client_request(&c, "GET", path, NULL, NULL, 0, answer, cap) : 0;
    tls_client_close(&c);
    return status;
}

static struct ox_http_stats
stats(void)
{
    struct ox_http_stats s;
    ox_http_server_stats(f.server, &s);
    return s;
}

/* The server is as well as before: a decent client is served at once. */
static void
still_well(void)
{
    char answer[2048];
    const struct tls_client_options o = {.ca = certs.ca, .alpn = "http/1.1"};
    cr_assert_eq(ask(&o, "/who", answer, sizeof(answer)), 200);
    cr_assert_not_null(strstr(answer, "v11 secure=1"), "%s", answer);
}

static void
await_closed(int fd)
{
    char byte[4096];
    ssize_t n;
    while ((n = read(fd, byte, sizeof(byte))) > 0)
        ;
    close(fd);
}

static void
await_connections(uint64_t n)
{
    while (stats().connections != n)
        poll(NULL, 0, 1);
}

Test(tls, carries_bodies_and_answers_of_any_size)
{
    start_with(OX_TLS_CLIENT_NONE, 0);
    size_t n = 3000000;
    char *body = malloc(n), *answer = malloc(n + 1000);
    for (size_t i = 0; i < n; i++)
        body[i] = (char)('a' + i * 7 % 23);
    struct tls_client c;
    const struct tls_client_options o = {.ca = certs.ca, .alpn = "http/1.1"};
    cr_assert(tls_client_open(&c, f.port, &o), "%s", c.error);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(tls_client_request(&c, "POST", "/echo", NULL, body, n, answer, n + 1000), 200);
        const char *at = strstr(answer, "\r\n\r\n") + 4;
        cr_assert_eq(memcmp(at, body, n), 0, "round %d", i);
    }
    tls_client_close(&c);
    free(body);
    free(answer);
    stop();
}

Test(tls, http2_is_spoken_when_it_is_agreed_upon_and_only_then)
{
    start_with(OX_TLS_CLIENT_NONE, 0);
    const struct tls_client_options h2 = {.ca = certs.ca, .alpn = "h2"}, none = {.ca = certs.ca},
                                    other = {.ca = certs.ca, .alpn = "spdy/1"};
    struct ox_client_response r;
    struct ox_client2 *c = ox_client2_open(tls_relay_start(f.port, &h2));
    int32_t stream = ox_client2_submit(c, "GET", "/who", NULL, NULL, 0, NULL, true);
    ox_client_response_init(&r);
    cr_assert(ox_client2_wait(c, stream, &r));
    cr_assert(ox_str_eq(ox_buf_str(&r.body), OX_STR("v20 secure=1")));
    ox_client_response_fini(&r);
    ox_client2_close(c);
    char answer[2048];
    cr_assert_eq(ask(&none, "/who", answer, sizeof(answer)), 200, "without ALPN the first bytes tell");
    cr_assert_eq(ask(&h2, "/who", answer, sizeof(answer)), 0, "HTTP/1.1 after agreeing upon h2");
    struct tls_client odd;
    cr_assert_not(tls_client_open(&odd, f.port, &other));
    cr_assert_not_null(strstr(odd.error, "no application protocol"), "%s", odd.error);
    tls_client_close(&odd);
    still_well();
    stop();
}

Test(tls, old_versions_weak_suites_and_renegotiation_are_refused)
{
    start_with(OX_TLS_CLIENT_NONE, 0);
    static const int old[] = {TLS1_VERSION, TLS1_1_VERSION};
    static const char *const weak[] = {"AES128-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA",
                                       "ECDHE-ECDSA-AES256-SHA384"};
    char answer[2048];
    for (size_t i = 0; i < OX_COUNT(old); i++)
        cr_assert_eq(ask(&(struct tls_client_options){.version_max = old[i]}, "/who", answer, sizeof(answer)),
                     0);
    for (size_t i = 0; i < OX_COUNT(weak); i++)
        cr_assert_eq(ask(&(struct tls_client_options){.version_max = TLS1_2_VERSION, .suites = weak[i]},
                         "/who", answer, sizeof(answer)),
                     0, "%s", weak[i]);
    const struct tls_client_options o = {.ca = certs.ca, .version_max = TLS1_2_VERSION};
    struct tls_client c;
    cr_assert(tls_client_open(&c, f.port, &o), "1.2 is spoken: %s", c.error);
    cr_assert_eq(tls_client_request(&c, "GET", "/who", NULL, NULL, 0, answer, sizeof(answer)), 200);
    cr_assert_eq(SSL_renegotiate(c.ssl), 1);
    cr_assert_neq(SSL_do_handshake(c.ssl), 1, "renegotiated");
    tls_client_close(&c);
    cr_assert_geq(stats().tls_failed, OX_COUNT(old) + OX_COUNT(weak));
    still_well();
    stop();
}

Test(tls, a_client_is_who_its_certificate_says)
{
    start_with(OX_TLS_CLIENT_REQUIRED, 0);
    char cert[CERTS_PATH_MAX], key[CERTS_PATH_MAX], answer[2048];
    certs_client(&certs, "shop", "shop-7", "URI:spiffe://prod/acme,DNS:shop.example,email:a@b.example", cert,
                 key);
    struct tls_client_options o = {.ca = certs.ca, .cert = cert, .key = key};
    cr_assert_eq(ask(&o, "/who", answer, sizeof(answer)), 200);
    cr_assert_not_null(
        strstr(answer, "secure=1 uri:spiffe://prod/acme dns:shop.example email:a@b.example cn:shop-7"), "%s",
        answer);
    cr_assert_eq(ask(&(struct tls_client_options){.ca = certs.ca}, "/who", answer, sizeof(answer)), 0,
                 "without a certificate");
    certs_stranger(&certs, "stranger", "shop-7", cert, key);
    cr_assert_eq(ask(&o, "/who", answer, sizeof(answer)), 0, "signed by itself");
    stop();
}

Test(tls, an_optional_certificate_may_be_missing_but_not_bad)
{
    start_with(OX_TLS_CLIENT_OPTIONAL, 0);
    char cert[CERTS_PATH_MAX], key[CERTS_PATH_MAX], answer[2048];
    struct tls_client_options o = {.ca = certs.ca};
    cr_assert_eq(ask(&o, "/who", answer, sizeof(answer)), 200);
    cr_assert_not_null(strstr(answer, "secure=1"), "%s", answer);
    cr_assert_null(strstr(answer, "cn:"), "%s", answer);
    certs_stranger(&certs, "stranger", "shop-7", cert, key);
    o.cert = cert;
    o.key = key;
    cr_assert_eq(ask(&o, "/who", answer, sizeof(answer)), 0);
    still_well();
    stop();
}

Test(tls, garbage_instead_of_a_hello_is_answered_and_closed)
{
    static const struct {
        const char *what;
        size_t n;
        const char *bytes;
    } cases[] = {
        {"plain HTTP", 27, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"HTTP/2's preface", 24, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
        {"a record of the largest length", 9, "\x16\x03\x01\xff\xff\x01\x02\x03\x04"},
        {"a hello of the largest length", 10, "\x16\x03\x01\x40\x00\x01\xff\xff\xff\x03"},
        {"application data", 8, "\x17\x03\x03\x00\x03xyz"},
        {"an alert", 7, "\x15\x03\x01\x00\x02\x02\x28"},
        {"SSL 2.0", 12, "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01"},
        {"an empty record", 5, "\x16\x03\x01\x00\x00"},
    };
    start_with(OX_TLS_CLIENT_NONE, 200);
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        int fd = ox_client_connect(f.port);
        cr_assert(ox_client_send(fd, cases[i].bytes, cases[i].n), "%s", cases[i].what);
        await_closed(fd); /* the test's time limit would end a server that keeps it */
        still_well();
    }
    cr_assert_eq(stats().requests_total, OX_COUNT(cases), "only the decent ones were requests");
    await_connections(0);
    stop();
}

Test(tls, half_a_handshake_ends_with_its_time)
{
    start_with(OX_TLS_CLIENT_NONE, 100);
    int fds[20];
    static const char half[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for (size_t i = 0; i < OX_COUNT(fds); i++) {
        fds[i] = ox_client_connect(f.port);
        cr_assert(ox_client_send(fds[i], half, i % sizeof(half)));
    }
    still_well();
    for (size_t i = 0; i < OX_COUNT(fds); i++)
        await_closed(fds[i]);
    await_connections(0);
    cr_assert_eq(stats().connections_timed_out, OX_COUNT(fds));
    stop();
}

Test(tls, slow_bytes_do_not_make_a_handshake_longer)
{
    start_with(OX_TLS_CLIENT_NONE, 150);
    int fd = ox_client_connect(f.port);
    static const char hello[] = "\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03";
    size_t sent = 0;
    while (send(fd, sent < sizeof(hello) - 1 ? hello + sent : "x", 1, MSG_NOSIGNAL) == 1) {
        sent++;
        poll(NULL, 0, 5); /* the story is one of slow bytes */
    }
    close(fd);
    await_connections(0);
    cr_assert_lt(sent, 16000, "it was cut off before its hello was complete");
    cr_assert_eq(stats().connections_timed_out, 1);
    still_well();
    stop();
}

/* What opens a record and is no TLS, after a good handshake. */
Test(tls, garbage_after_the_handshake_ends_that_connection_only)
{
    start_with(OX_TLS_CLIENT_NONE, 0);
    const struct tls_client_options o = {.ca = certs.ca};
    struct tls_client good, bad;
    char answer[2048];
    cr_assert(tls_client_open(&good, f.port, &o));
    cr_assert(tls_client_open(&bad, f.port, &o));
    cr_assert_eq(tls_client_request(&bad, "GET", "/who", NULL, NULL, 0, answer, sizeof(answer)), 200);
    cr_assert(ox_client_send(bad.fd, "\x17\x03\x03\x00\x20 this is no sealed record at all", 37));
    await_connections(1);
    cr_assert_eq(tls_client_request(&good, "GET", "/who", NULL, NULL, 0, answer, sizeof(answer)), 200);
    tls_client_close(&good);
    tls_client_close(&bad);
    stop();
}

Test(tls, a_client_that_asks_for_new_keys_again_and_again_does_not_fill_memory)
{
    start_with(OX_TLS_CLIENT_NONE, 0);
    const struct tls_client_options o = {.ca = certs.ca};
    struct tls_client c;
    cr_assert(tls_client_open(&c, f.port, &o));
    for (int i = 0; i < 20000; i++) {
        if (SSL_key_update(c.ssl, SSL_KEY_UPDATE_REQUESTED) != 1 || SSL_do_handshake(c.ssl) != 1)
            break;
    }
    tls_client_close(&c);
    await_connections(0);
    still_well();
    stop();
}

static void
server_name(struct tls_client *c, const char *expected)
{
    char name[64];
    tls_client_server_name(c, name, sizeof(name));
    cr_assert_str_eq(name, expected);
}

Test(tls, a_new_certificate_is_for_new_connections_and_the_old_ones_go_on)
{
    start_with(OX_TLS_CLIENT_NONE, 0);
    const struct tls_client_options o = {.ca = certs.ca};
    struct tls_client before, after;
    struct ox_diag diag = {0};
    char answer[2048];
    cr_assert(tls_client_open(&before, f.port, &o));
    server_name(&before, "first");
    cr_assert_not(ox_tls_changed(tls));
    certs_renew(&certs, "second");
    cr_assert(ox_tls_changed(tls));
    cr_assert_not(ox_tls_changed(tls), "once per change");
    cr_assert_eq(ox_tls_reload(tls, &files, &diag), OX_OK, "%s", diag.text);
    cr_assert(tls_client_open(&after, f.port, &o));
    server_name(&after, "second");
    cr_assert_eq(tls_client_request(&before, "GET", "/who", NULL, NULL, 0, answer, sizeof(answer)), 200);
    cr_assert_eq(tls_client_request(&after, "GET", "/who", NULL, NULL, 0, answer, sizeof(answer)), 200);
    cr_assert_gt(ox_tls_expires_s(tls), (int64_t)time(NULL));
    tls_client_close(&before);
    tls_client_close(&after);
    stop();
}

Test(tls, a_bad_new_pair_is_refused_with_its_file_and_the_old_goes_on)
{
    start_with(OX_TLS_CLIENT_NONE, 0);
    char cert[CERTS_PATH_MAX], key[CERTS_PATH_MAX];
    certs_client(&certs, "else", "else", NULL, cert, key);
    const struct {
        struct ox_tls_options o;
        const char *field, *names;
    } cases[] = {
        {{.cert_file = certs.cert, .key_file = key}, "tls.key_file", "else.key"},
        {{.cert_file = key, .key_file = certs.key}, "tls.cert_file", "else.key"},
        {{.cert_file = "/nowhere/at.all", .key_file = certs.key}, "tls.cert_file", "/nowhere/at.all"},
        {{.cert_file = certs.cert, .key_file = certs.key, .client = OX_TLS_CLIENT_REQUIRED},
         "tls.ca_file",
         ""},
        {{.cert_file = certs.cert, .key_file = certs.key, .ca_file = key, .client = OX_TLS_CLIENT_REQUIRED},
         "tls.ca_file",
         "else.key"},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        struct ox_diag diag = {0};
        cr_assert_eq(ox_tls_reload(tls, &cases[i].o, &diag), OX_E_CONFIG, "%zu", i);
        cr_assert_str_eq(diag.field, cases[i].field, "%zu: %s", i, diag.text);
        cr_assert_not_null(strstr(diag.text, cases[i].names), "%s", diag.text);
        still_well();
    }
    stop();
}

/* Connections come and go while the certificate changes all the time: each is served. */
Test(tls, a_change_under_load_loses_nothing)
{
    start_with(OX_TLS_CLIENT_NONE, 0);
    const struct tls_client_options o = {.ca = certs.ca};
    struct tls_client kept;
    char answer[2048];
    cr_assert(tls_client_open(&kept, f.port, &o));
    for (int i = 0; i < 60; i++) {
        struct ox_diag diag = {0};
        certs_renew(&certs, i % 2 == 0 ? "second" : "first");
        cr_assert_eq(ox_tls_reload(tls, &files, &diag), OX_OK, "%s", diag.text);
        cr_assert_eq(ask(&o, "/who", answer, sizeof(answer)), 200, "%d", i);
        cr_assert_eq(tls_client_request(&kept, "GET", "/who", NULL, NULL, 0, answer, sizeof(answer)), 200,
                     "%d", i);
    }
    tls_client_close(&kept);
    stop();
}
