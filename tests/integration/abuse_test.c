/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    whoever abuses HTTP/2 or HTTP/1.1 takes neither the node's memory nor a decent sender's service: each flood is
 *          ended or bounded, nothing is smuggled, and what the decent sender got acknowledged is stored.
 * Method:  the whole program before a scripted storage endpoint; four attackers of one kind at a time with raw frames,
 *          again and again on new connections, while a decent sender sends; memory is the node's own. How long the decent sender
 *          waits, who is another tenant than theirs, is printed beside how long it waits alone, and judged by people.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/harness/node_fixture.h"
#include "tests/harness/spine_node.h"

#define ATTACKERS     4
#define REQUESTS      60
#define GROWTH_KIB    (48 * 1024) /* the budget of request bodies, and as much again for what is on its way */
#define CONNECTION_MS 3000        /* an attacker that is neither ended nor done begins anew */

static atomic_bool stop_attacks;
static _Atomic uint64_t connections, ended, frames;

TestSuite(abuse, .init = node_setup, .fini = serve_teardown, .timeout = 300);

static uint64_t
now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- what attackers send ---- */

struct attacker {
    int fd;
    struct ox_buf out;
    uint32_t stream; /* the next one */
    uint64_t began_us;
};

static void
frame(struct attacker *a, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t n)
{
    uint8_t head[9] = {
        (uint8_t)(n >> 16),      (uint8_t)(n >> 8),      (uint8_t)n,     type, flags, (uint8_t)(stream >> 24),
        (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    ox_buf_append(&a->out, head, 9);
    ox_buf_append(&a->out, payload, n);
    atomic_fetch_add(&frames, 1);
}

/* POST /v1/logs, JSON, with a body to come. */
static uint32_t
request(struct attacker *a, bool complete)
{
    static const uint8_t head[] = {0x83, 0x86, 0x44, 0x08, '/',  'v',  '1', '/', 'l', 'o', 'g', 's',
                                   0x41, 0x01, 'a',  0x0f, 0x10, 0x10, 'a', 'p', 'p', 'l', 'i', 'c',
                                   'a',  't',  'i',  'o',  'n',  '/',  'j', 's', 'o', 'n'};
    uint32_t id = a->stream;
    a->stream += 2;
    frame(a, 1, complete ? 5 : 4, id, head, sizeof(head));
    return id;
}

/* Sends what is queued, reads what has come; false when the server has ended the connection. */
static bool
push(struct attacker *a, bool reads)
{
    char some[65536];
    size_t at = 0;
    ssize_t n;
    while (at < a->out.len) {
        n = send(a->fd, a->out.data + at, a->out.len - at, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    bool ok = at == a->out.len;
    ox_buf_reset(&a->out);
    while (reads && (n = recv(a->fd, some, sizeof(some), MSG_DONTWAIT)) != -1) {
        if (n == 0)
            return false;
    }
    return ok;
}

/* Each queues some frames of its kind. */
typedef void (*attack_fn)(struct attacker *a);

static void
rapid_reset(struct attacker *a)
{
    for (int i = 0; i < 100; i++) {
        uint32_t id = request(a, false);
        frame(a, 3, 0, id, "\0\0\0\x08", 4);
    }
}

/* The server has to reset them: the window would be larger than it may be. */
static void
made_to_reset(struct attacker *a)
{
    for (int i = 0; i < 100; i++) {
        uint32_t id = request(a, true);
        frame(a, 8, 0, id, "\x7f\xff\xff\xff", 4);
    }
}

static void
continuation(struct attacker *a)
{
    static const uint8_t field[] = {0x00, 0x01, 'a', 0x01, 'b'};
    uint8_t fields[1000];
    for (size_t i = 0; i < sizeof(fields); i += sizeof(field))
        memcpy(fields + i, field, sizeof(field));
    if (a->stream == 1) {
        frame(a, 1, 0, 1, "\x83\x86\x84", 3);
        a->stream = 3;
    }
    for (int i = 0; i < 50; i++)
        frame(a, 9, 0, 1, fields, sizeof(fields));
}

static void
empty_continuation(struct attacker *a)
{
    if (a->stream == 1) {
        frame(a, 1, 0, 1, "\x83\x86\x84", 3);
        a->stream = 3;
    }
    for (int i = 0; i < 500; i++)
        frame(a, 9, 0, 1, "", 0);
}

static void
settings(struct attacker *a)
{
    for (int i = 0; i < 500; i++)
        frame(a, 4, 0, 0, "", 0);
}

static void
table_sizes(struct attacker *a)
{
    for (int i = 0; i < 200; i++)
        frame(a, 4, 0, 0, i % 2 == 0 ? "\0\x01\xff\xff\xff\xff" : "\0\x01\0\0\0\0", 6);
}

static void
pings(struct attacker *a)
{
    for (int i = 0; i < 500; i++)
        frame(a, 6, 0, 0, "12345678", 8);
}

static void
priorities(struct attacker *a)
{
    for (uint32_t i = 0; i < 500; i++)
        frame(a, 2, 0, 1 + 2 * i, "\0\0\0\0\x10", 5);
}

static void
empty_data(struct attacker *a)
{
    uint32_t id = a->stream == 1 ? request(a, false) : 1;
    for (int i = 0; i < 500; i++)
        frame(a, 0, 0, id, "", 0);
}

static void
unknown_frames(struct attacker *a)
{
    for (int i = 0; i < 500; i++)
        frame(a, 0xbe, 0, 0, "", 0);
}

/* A large entry in the table of headers, then one byte for each time it is meant: 4 KiB become megabytes. */
static void
header_bomb(struct attacker *a)
{
    uint8_t block[4096 + 3100];
    size_t n = 0;
    memcpy(block,
           "\x83\x86\x84\x40\x01"
           "a\x7f\x81\x1e",
           9); /* literal, indexed; value of 4,000 bytes */
    n = 9;
    memset(block + n, 'v', 4000);
    n += 4000;
    memset(block + n, 0xbe, 3000); /* the newest entry of the table, 3,000 times */
    n += 3000;
    frame(a, 1, 5, a->stream, block, n);
    a->stream += 2;
}

/* Many streams whose answers nobody takes. */
static void
closed_windows(struct attacker *a)
{
    if (a->stream == 1)
        frame(a, 4, 0, 0, "\0\x04\0\0\0\0", 6);
    for (int i = 0; i < 50; i++)
        (void)request(a, true);
}

/* A body of as many bytes as may be declared, of which little comes. */
static void
hoarded_bodies(struct attacker *a)
{
    static const uint8_t bytes[8192];
    if (a->stream > 400)
        return;
    uint32_t id = request(a, false);
    frame(a, 0, 0, id, bytes, sizeof(bytes));
}

static void
plain(struct attacker *a, const char *text)
{
    ox_buf_append_cstr(&a->out, text);
    atomic_fetch_add(&frames, 1);
}

static void
slow_headers(struct attacker *a)
{
    plain(a, a->stream++ == 1 ? "POST /v1/logs HTTP/1.1\r\nHost: a\r\n" : "X-A: b\r\n");
    poll(NULL, 0, 20); /* the story is one of slowness */
}

static void
slow_body(struct attacker *a)
{
    plain(a, a->stream++ == 1 ? "POST /v1/logs HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                                "Content-Length: 1000000\r\n\r\n"
                              : "x");
    poll(NULL, 0, 20);
}

static void
long_header(struct attacker *a)
{
    char junk[4097];
    memset(junk, 'x', 4096);
    junk[4096] = '\0';
    if (a->stream++ == 1)
        plain(a, "GET /v1/logs HTTP/1.1\r\nHost: a\r\nX-A: ");
    plain(a, junk);
}

static void
chunk_extensions(struct attacker *a)
{
    char junk[4097];
    memset(junk, ';', 4096);
    junk[4096] = '\0';
    if (a->stream++ == 1)
        plain(a, "POST /v1/logs HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: "
                 "chunked\r\n\r\n1");
    plain(a, junk);
}

static void
pipelined(struct attacker *a)
{
    for (int i = 0; i < 200; i++)
        plain(a, "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
}

static void
blank_lines(struct attacker *a)
{
    for (int i = 0; i < 500; i++)
        plain(a, "\r\n");
}

static const struct attack {
    const char *name;
    attack_fn send;
    bool h2;
    bool deaf; /* reads nothing of what the server says */
    bool ends; /* the server must end such a connection, however long it goes on */
} attacks[] = {
    {"rapid reset", rapid_reset, true, false, true},
    {"rapid reset, deaf", rapid_reset, true, true, true},
    {"made to reset", made_to_reset, true, false, true},
    {"made to reset, deaf", made_to_reset, true, true, true},
    {"CONTINUATION", continuation, true, false, true},
    {"empty CONTINUATION", empty_continuation, true, false, true},
    {"SETTINGS", settings, true, false, true},
    {"header table sizes", table_sizes, true, false, true},
    {"PING", pings, true, false, true},
    {"PING, deaf", pings, true, true, true},
    {"PRIORITY", priorities, true, false, true},
    {"empty DATA", empty_data, true, false, true},
    {"unknown frames", unknown_frames, true, false, true},
    {"header bomb", header_bomb, true, false, false},
    {"closed windows", closed_windows, true, false, true},
    {"hoarded bodies", hoarded_bodies, true, false, false},
    {"slow headers", slow_headers, false, false, true},
    {"slow body", slow_body, false, false, false},
    {"a long header", long_header, false, false, true},
    {"chunk extensions", chunk_extensions, false, false, true},
    {"pipelined, deaf", pipelined, false, true, false},
    {"blank lines", blank_lines, false, false, true},
};

/* One connection, until the server ends it or it has lasted long enough. */
static void
connection(const struct attack *attack)
{
    struct attacker a = {.fd = ox_client_connect(serve.http_port), .stream = 1, .began_us = now_us()};
    struct timeval patience = {.tv_sec = 1};
    bool open = a.fd >= 0;
    if (!open)
        return;
    setsockopt(a.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    atomic_fetch_add(&connections, 1);
    if (attack->h2) {
        ox_buf_append_cstr(&a.out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        frame(&a, 4, 0, 0, "", 0);
    }
    while (open && !atomic_load(&stop_attacks) && now_us() - a.began_us < CONNECTION_MS * 1000) {
        attack->send(&a);
        open = push(&a, !attack->deaf);
    }
    atomic_fetch_add(&ended, !open);
    close(a.fd);
    ox_buf_fini(&a.out);
}

static void *
attack_on(void *arg)
{
    while (!atomic_load(&stop_attacks))
        connection(arg);
    return NULL;
}

/* ---- the decent sender ---- */

static int
by_time(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Sends REQUESTS requests, all of which must be acknowledged; the median and the slowest but two. */
static void
send_decently(uint64_t *median_us, uint64_t *slow_us)
{
    uint64_t took[REQUESTS];
    for (int i = 0; i < REQUESTS; i++) {
        uint64_t began = now_us();
        cr_assert_eq(node_send("decent", 5, "fine", NULL), 200, "request %d", i);
        took[i] = now_us() - began;
    }
    qsort(took, REQUESTS, sizeof(took[0]), by_time);
    *median_us = took[REQUESTS / 2];
    *slow_us = took[REQUESTS - 3];
}

static void
under(const struct attack *attack, uint64_t alone_us)
{
    pthread_t threads[ATTACKERS];
    uint64_t median, slow, before = spine_resident_kib(serve.node);
    atomic_store(&stop_attacks, false);
    atomic_store(&connections, 0);
    atomic_store(&ended, 0);
    atomic_store(&frames, 0);
    for (int i = 0; i < ATTACKERS; i++)
        pthread_create(&threads[i], NULL, attack_on, (void *)(uintptr_t)attack);
    send_decently(&median, &slow);
    eventually(!attack->ends || atomic_load(&ended) > 0);
    uint64_t after = spine_resident_kib(serve.node);
    atomic_store(&stop_attacks, true);
    for (int i = 0; i < ATTACKERS; i++)
        pthread_join(threads[i], NULL);
    int64_t growth = (int64_t)after - (int64_t)before;
    printf("%-20s %8llu frames, %5llu connections, %5llu ended; decent sender: median %6.1f ms, slow %6.1f "
           "ms (alone %.1f); "
           "node %+lld KiB\n",
           attack->name, (unsigned long long)atomic_load(&frames),
           (unsigned long long)atomic_load(&connections), (unsigned long long)atomic_load(&ended),
           (double)median / 1e3, (double)slow / 1e3, (double)alone_us / 1e3, (long long)growth);
    fflush(stdout);
    cr_assert_lt(growth, GROWTH_KIB, "%s: the node grew by %lld KiB", attack->name, (long long)growth);
}

Test(abuse, takes_neither_memory_nor_service)
{
    static const char *const flags[] = {"--gateway-header-timeout", "1s", "--runtime-schedulers", "2", NULL};
    uint64_t median, slow;
    serve_start(NULL, flags);
    pid_t node = serve.node;
    send_decently(&median, &slow);
    send_decently(&median, &slow);
    for (size_t i = 0; i < OX_COUNT(attacks); i++)
        under(&attacks[i], median);
    eventually(node_missing() == 0);
    cr_assert(serve_read_ready(0));
    cr_assert_eq(serve.node, node, "the node has restarted");
}

/* ---- smuggling ---- */

/* Sends all of it on one connection; how many answers came, and the status of the first. */
static int
answers_to(const char *text, int *first)
{
    struct ox_client1 c;
    struct ox_client_response r;
    int n = 0;
    ox_client1_init(&c, ox_client_connect(serve.http_port));
    cr_assert(ox_client_send(c.fd, text, strlen(text)));
    shutdown(c.fd, SHUT_WR);
    *first = 0;
    ox_client_response_init(&r);
    while (ox_client1_read(&c, false, &r)) {
        *first = n++ == 0 ? r.status : *first;
        ox_client_response_fini(&r);
        ox_client_response_init(&r);
    }
    ox_client_response_fini(&r);
    ox_client1_fini(&c);
    return n;
}

/* Pairs that two servers could take apart differently: the second request must never be answered as one of its own. */
Test(abuse, nothing_is_smuggled)
{
#define HEAD   "POST /v1/logs HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
#define SECOND "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    static const char *const pairs[] = {
        HEAD "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SECOND,
        HEAD "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" SECOND,
        HEAD "Content-Length: 0\r\nContent-Length: 36\r\n\r\n" SECOND,
        HEAD "Content-Length: 0, 36\r\n\r\n" SECOND,
        HEAD "Content-Length: +0\r\n\r\n" SECOND,
        HEAD "Content-Length: 0x0\r\n\r\n" SECOND,
        HEAD "Content-Length: -1\r\n\r\n" SECOND,
        HEAD "Content-Length: 0 0\r\n\r\n" SECOND,
        HEAD "Content-Length : 0\r\n\r\n" SECOND,
        HEAD "Content-Length: 18446744073709551616\r\n\r\n" SECOND,
        HEAD "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" SECOND,
        HEAD "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" SECOND,
        HEAD "Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n" SECOND,
        HEAD "Transfer-Encoding: \x0b"
             "chunked\r\n\r\n0\r\n\r\n" SECOND,
        HEAD "Transfer-Encoding\r\n : chunked\r\n\r\n0\r\n\r\n" SECOND,
        HEAD "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" SECOND,
        HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" SECOND,
        HEAD " Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SECOND,
        HEAD "X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SECOND,
        HEAD "Transfer-Encoding: chunked\r\n\r\n0\n\n" SECOND,
        HEAD "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" SECOND,
        HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n" SECOND,
        HEAD "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n" SECOND,
        HEAD "Transfer-Encoding: chunked\r\n\r\n2 \r\n{}\r\n-1\r\n\r\n" SECOND,
        HEAD "Content-Length: 2\n\n{}" SECOND,
        HEAD "X: a\rContent-Length: 36\r\n\r\n" SECOND,
        HEAD "X\0: a\r\n\r\n" SECOND,
        HEAD "Host: b\r\nContent-Length: 0\r\n\r\n" SECOND,
        "POST /v1/logs HTTP/1.1\r\nContent-Length: 0\r\n\r\n" SECOND,
        "POST  /v1/logs HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" SECOND,
        "POST /v1/logs HTTP/1.1 \r\nHost: a\r\nContent-Length: 0\r\n\r\n" SECOND,
        "POST /v1/logs HTTP/1.2\r\nHost: a\r\nContent-Length: 0\r\n\r\n" SECOND,
        "POST /v1/logs\r\nHost: a\r\n\r\n" SECOND,
        "GET http://a/v1/logs http/1.1\r\nHost: a\r\n\r\n" SECOND,
    };
    serve_start(NULL, NULL);
    for (size_t i = 0; i < OX_COUNT(pairs); i++) {
        int first = 0, n = answers_to(pairs[i], &first);
        cr_assert_leq(n, 1, "pair %zu has %d answers", i, n);
        cr_assert(n == 0 || (first >= 400 && first < 600), "pair %zu is answered with %d", i, first);
    }
    int first;
    cr_assert_eq(answers_to(HEAD "Content-Length: 2\r\n\r\n{}" SECOND, &first), 2,
                 "a decent pair has two answers");
    cr_assert_eq(first, 200);
}
