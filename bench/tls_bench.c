/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/tls_bench.c - what TLS costs the server: handshakes per second of one core, bytes against plain, memory per
 * connection.
 *
 * Method:  an HTTP server on one loop in a child, the client in this process, so that the child's own rusage tells them
 *          apart. Requests of 64 KiB on one connection, by turns plain and TLS in one run: their ratio is what counts.
 *
 * Owns:    the child, ended by its pid; a folder of certificates.
 * Threads: one in each process.
 */
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "bench/load.h"
#include "bench/node_part.h"
#include "bench/server.h"
#include "ox/http.h"
#include "ox/net.h"
#include "ox/tls.h"

#define BODY_BYTES 65536u
#define REQUESTS   4000u
#define HANDSHAKES 1500u
#define IDLE       1000u
#define RSA_BITS   2048

/* What the child says of itself, again and again. */
struct report {
    _Atomic uint64_t cpu_ns, resident_kib, handled;
};

static struct report *report;
static char cert_path[96], key_path[96];

static void
make_pair(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
                               (const unsigned char *)"bench", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    OX_ASSERT(X509_sign(cert, key, EVP_sha256()) > 0);
    BIO *pem = BIO_new_file(cert_path, "w");
    OX_ASSERT(pem != NULL && PEM_write_bio_X509(pem, cert) == 1);
    BIO_free_all(pem);
    pem = BIO_new_file(key_path, "w");
    OX_ASSERT(pem != NULL && PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL) == 1);
    BIO_free_all(pem);
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* ---- the server ---- */

static void
on_request(void *ctx, struct ox_http_request *req)
{
    atomic_fetch_add(&report->handled, 1);
    ox_http_respond_text(req, 200, NULL, OX_STR("ok"));
}

static uint64_t
resident_kib(void)
{
    unsigned long pages = 0, unused;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL || fscanf(f, "%lu %lu", &unused, &pages) != 2)
        pages = 0;
    if (f != NULL)
        fclose(f);
    return pages * 4;
}

static void
say(uv_timer_t *timer)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    atomic_store(&report->cpu_ns, (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000u +
                                      (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000u);
    atomic_store(&report->resident_kib, resident_kib());
}

static pid_t
serve(bool secure, uint16_t *port)
{
    char at[OX_NET_ADDR_MAX];
    struct ox_diag diag;
    int fd;
    bench_must(ox_net_listen_text(OX_STR("127.0.0.1:0"), &fd, at, &diag), &diag);
    *port = (uint16_t)atoi(strrchr(at, ':') + 1);
    pid_t pid = fork();
    if (pid != 0) {
        close(fd);
        return pid;
    }
    uv_loop_t loop;
    uv_timer_t timer;
    struct ox_http_server *server;
    struct ox_http_server_options o = {.on_request = on_request, .idle_timeout_ms = 600000};
    struct ox_tls_options to = {.cert_file = cert_path, .key_file = key_path};
    uv_loop_init(&loop);
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, say, 5, 5);
    if (secure)
        bench_must(ox_tls_new(&to, &o.tls, &diag), &diag);
    bench_must(ox_http_server_start(&loop, fd, &o, &server, &diag), &diag);
    uv_run(&loop, UV_RUN_DEFAULT);
    _exit(0);
}

static void
end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* The child's figures once they are newer than now. */
static double
server_cpu_s(void)
{
    bench_nap_ms(30);
    return (double)atomic_load(&report->cpu_ns) / 1e9;
}

/* ---- the client ---- */

struct peer {
    int fd;
    SSL *ssl;
};

static struct peer
open_peer(uint16_t port, SSL_CTX *ctx, SSL_SESSION *session)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct peer p = {socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), NULL};
    OX_ASSERT(p.fd >= 0 && connect(p.fd, (struct sockaddr *)&at, sizeof(at)) == 0);
    if (ctx == NULL)
        return p;
    p.ssl = SSL_new(ctx);
    SSL_set_fd(p.ssl, p.fd);
    if (session != NULL)
        SSL_set_session(p.ssl, session);
    OX_ASSERT(SSL_connect(p.ssl) == 1);
    return p;
}

static void
close_peer(struct peer *p)
{
    if (p->ssl != NULL)
        SSL_set_shutdown(p->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(p->ssl);
    close(p->fd);
}

static void
exchange(struct peer *p, const char *head, const char *body)
{
    char answer[1024];
    size_t done;
    if (p->ssl != NULL) {
        OX_ASSERT(SSL_write_ex(p->ssl, head, strlen(head), &done) == 1 &&
                  SSL_write_ex(p->ssl, body, BODY_BYTES, &done) == 1 &&
                  SSL_read_ex(p->ssl, answer, sizeof(answer), &done) == 1);
        return;
    }
    OX_ASSERT(send(p->fd, head, strlen(head), 0) == (ssize_t)strlen(head) &&
              send(p->fd, body, BODY_BYTES, 0) == (ssize_t)BODY_BYTES &&
              recv(p->fd, answer, sizeof(answer), 0) > 0);
}

/* The server's CPU per request, microseconds. */
static double
bulk_us(SSL_CTX *ctx)
{
    static char body[BODY_BYTES];
    char head[160];
    uint16_t port;
    pid_t pid = serve(ctx != NULL, &port);
    snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %u\r\n\r\n", BODY_BYTES);
    memset(body, 'x', sizeof(body));
    struct peer p = open_peer(port, ctx, NULL);
    for (unsigned i = 0; i < REQUESTS / 10; i++)
        exchange(&p, head, body);
    double before = server_cpu_s();
    for (unsigned i = 0; i < REQUESTS; i++)
        exchange(&p, head, body);
    double us = (server_cpu_s() - before) * 1e6 / REQUESTS;
    close_peer(&p);
    end(pid);
    return us;
}

/* Handshakes per second of the server's core. resumed: with a ticket of an earlier one. */
static double
handshakes_per_s(SSL_CTX *ctx, bool resumed)
{
    uint16_t port;
    pid_t pid = serve(true, &port);
    SSL_SESSION *session = NULL;
    if (resumed) {
        struct peer p = open_peer(port, ctx, NULL);
        static char body[BODY_BYTES];
        char head[160];
        snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %u\r\n\r\n", BODY_BYTES);
        exchange(&p, head, body); /* the ticket comes before the answer */
        session = SSL_get1_session(p.ssl);
        close_peer(&p);
    }
    double before = server_cpu_s();
    for (unsigned i = 0; i < HANDSHAKES; i++) {
        struct peer p = open_peer(port, ctx, session);
        OX_ASSERT(!resumed || SSL_session_reused(p.ssl));
        close_peer(&p);
    }
    double per_s = HANDSHAKES / (server_cpu_s() - before);
    SSL_SESSION_free(session);
    end(pid);
    return per_s;
}

/* KiB of the server's memory per connection that has shaken hands and says nothing. */
static double
idle_kib(SSL_CTX *ctx)
{
    static struct peer peers[IDLE];
    uint16_t port;
    pid_t pid = serve(ctx != NULL, &port);
    bench_nap_ms(30);
    uint64_t before = atomic_load(&report->resident_kib);
    for (unsigned i = 0; i < IDLE; i++)
        peers[i] = open_peer(port, ctx, NULL);
    bench_nap_ms(300);
    double kib = (double)(atomic_load(&report->resident_kib) - before) / IDLE;
    for (unsigned i = 0; i < IDLE; i++)
        close_peer(&peers[i]);
    end(pid);
    return kib;
}

int
main(void)
{
    char dir[] = "/tmp/ox-tls-bench-XXXXXX";
    signal(SIGPIPE, SIG_IGN);
    report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    OX_ASSERT(report != MAP_FAILED && mkdtemp(dir) != NULL);
    snprintf(cert_path, sizeof(cert_path), "%s/c", dir);
    snprintf(key_path, sizeof(key_path), "%s/k", dir);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    make_pair(EVP_EC_gen("P-256"));
    double plain = bulk_us(NULL), sealed = bulk_us(ctx);
    printf("tls 64 KiB requests: %.1f us of the server's CPU, plain %.1f: ratio %.2f\n", sealed, plain,
           sealed / plain);
    printf("tls handshakes per second of a core: P-256 %.0f, resumed %.0f", handshakes_per_s(ctx, false),
           handshakes_per_s(ctx, true));
    make_pair(EVP_RSA_gen(RSA_BITS));
    printf(", RSA-%d %.0f\n", RSA_BITS, handshakes_per_s(ctx, false));
    make_pair(EVP_EC_gen("P-256"));
    printf("tls idle connection: %.1f KiB, plain %.1f KiB\n", idle_kib(ctx), idle_kib(NULL));
    SSL_CTX_free(ctx);
    unlink(cert_path);
    unlink(key_path);
    rmdir(dir);
    return 0;
}
