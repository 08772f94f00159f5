/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/tls_client.c - see tls_client.h.
 *
 * Owns:    see there.
 * Threads: see there.
 * Fails:   false; what must not happen asserts.
 */
#include "tests/harness/tls_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static SSL_CTX *
new_context(const struct tls_client_options *o)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    OX_ASSERT(ctx != NULL);
    /* Old versions can be offered at all only at this level. */
    if (o->version_max != 0 && o->version_max < TLS1_2_VERSION)
        SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(ctx, o->version_max);
    if (o->suites != NULL)
        OX_ASSERT(SSL_CTX_set_cipher_list(ctx, o->suites) == 1);
    if (o->ca != NULL) {
        OX_ASSERT(SSL_CTX_load_verify_file(ctx, o->ca) == 1);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    }
    if (o->cert != NULL)
        OX_ASSERT(SSL_CTX_use_certificate_chain_file(ctx, o->cert) == 1 &&
                  SSL_CTX_use_PrivateKey_file(ctx, o->key, SSL_FILETYPE_PEM) == 1);
    return ctx;
}

static SSL *
new_session(SSL_CTX *ctx, const struct tls_client_options *o)
{
    SSL *ssl = SSL_new(ctx);
    unsigned char list[32];
    OX_ASSERT(ssl != NULL);
    SSL_clear_mode(ssl, SSL_MODE_AUTO_RETRY); /* a session ticket is nothing to wait behind */
    if (o->alpn != NULL) {
        list[0] = (unsigned char)snprintf((char *)list + 1, sizeof(list) - 1, "%s", o->alpn);
        OX_ASSERT(SSL_set_alpn_protos(ssl, list, list[0] + 1u) == 0);
    }
    if (o->ca != NULL)
        OX_ASSERT(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), "127.0.0.1") == 1);
    return ssl;
}

bool
tls_client_open(struct tls_client *c, uint16_t port, const struct tls_client_options *o)
{
    memset(c, 0, sizeof(*c));
    c->fd = ox_client_connect(port);
    c->ctx = new_context(o);
    c->ssl = new_session(c->ctx, o);
    if (c->fd < 0)
        return false;
    SSL_set_fd(c->ssl, c->fd);
    ERR_clear_error();
    if (SSL_connect(c->ssl) == 1)
        return true;
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    snprintf(c->error, sizeof(c->error), "%s", reason != NULL ? reason : "the connection ended");
    return false;
}

void
tls_client_close(struct tls_client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    if (c->fd >= 0)
        close(c->fd);
}

bool
tls_client_send(struct tls_client *c, const void *bytes, size_t n)
{
    size_t done;
    ERR_clear_error();
    return SSL_write_ex(c->ssl, bytes, n, &done) == 1 && done == n;
}

/* The next bytes, past what is no data. */
static bool
read_some(SSL *ssl, void *to, size_t n, size_t *done)
{
    ERR_clear_error();
    while (SSL_read_ex(ssl, to, n, done) != 1) {
        if (SSL_get_error(ssl, 0) != SSL_ERROR_WANT_READ ||
            recv(SSL_get_fd(ssl), &(char){0}, 1, MSG_PEEK) <= 0)
            return false;
    }
    return true;
}

size_t
tls_client_read(struct tls_client *c, void *to, size_t n)
{
    size_t have = 0, part = 0;
    ERR_clear_error();
    while (have < n && read_some(c->ssl, (char *)to + have, n - have, &part))
        have += part;
    return have;
}

/* Where the answer in `text` ends, or 0 while it has not. */
static size_t
end_of_answer(const char *text)
{
    const char *body = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "content-length: ");
    if (body == NULL)
        return 0;
    size_t head = (size_t)(body + 4 - text);
    return head + (length != NULL && length < body ? strtoul(length + 16, NULL, 10) : 0);
}

int
tls_client_request(struct tls_client *c, const char *method, const char *path, const char *headers,
                   const void *body, size_t n, char *answer, size_t cap)
{
    char head[1024];
    size_t have = 0, part = 0;
    int len =
        snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: localhost\r\n%scontent-length: %zu\r\n\r\n",
                 method, path, headers != NULL ? headers : "", n);
    answer[0] = '\0';
    if (!tls_client_send(c, head, (size_t)len) || (n > 0 && !tls_client_send(c, body, n)))
        return 0;
    while (have < cap - 1 && (end_of_answer(answer) == 0 || have < end_of_answer(answer)) &&
           read_some(c->ssl, answer + have, cap - 1 - have, &part)) {
        have += part;
        answer[have] = '\0';
    }
    return have > 12 ? atoi(answer + 9) : 0;
}

void
tls_client_server_name(struct tls_client *c, char *out, size_t cap)
{
    X509 *cert = SSL_get1_peer_certificate(c->ssl);
    out[0] = '\0';
    if (cert != NULL)
        X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, out, (int)cap);
    X509_free(cert);
}

/* ---- the relay ---- */

struct relay {
    uint16_t port;
    int listen_fd;
    const struct tls_client_options *o;
};

struct link {
    struct relay *relay;
    int plain, sealed;
    SSL *ssl;
    SSL_CTX *ctx;
};

static bool
send_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        bytes += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* From the client: false when nothing more can be sent. */
static bool
seal_some(struct link *l)
{
    char bytes[16384];
    size_t done;
    ssize_t n = recv(l->plain, bytes, sizeof(bytes), 0);
    if (n <= 0) {
        (void)SSL_shutdown(l->ssl);
        shutdown(l->sealed, SHUT_WR);
        return false;
    }
    return SSL_write_ex(l->ssl, bytes, (size_t)n, &done) == 1;
}

/* From the server: false when nothing more comes. */
static bool
open_some(struct link *l)
{
    char bytes[16384];
    size_t n = 0;
    do {
        if (SSL_read_ex(l->ssl, bytes, sizeof(bytes), &n) != 1)
            return SSL_get_error(l->ssl, 0) == SSL_ERROR_WANT_READ;
        if (!send_all(l->plain, bytes, n))
            return false;
    } while (SSL_pending(l->ssl) > 0);
    return true;
}

static void
carry(struct link *l)
{
    bool up = true, down = true;
    while (down) {
        struct pollfd fds[2] = {{up ? l->plain : -1, POLLIN, 0}, {l->sealed, POLLIN, 0}};
        if (poll(fds, 2, -1) < 0)
            return;
        if (fds[1].revents != 0)
            down = open_some(l);
        if (down && up && fds[0].revents != 0)
            up = seal_some(l);
    }
}

/* Threads of the relay may still use the library while a test ends: it must not be taken down under them. */
__attribute__((constructor)) static void
keep_library(void)
{
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

static void *
run_link(void *arg)
{
    struct link *l = arg;
    l->sealed = ox_client_connect(l->relay->port);
    l->ctx = new_context(l->relay->o);
    l->ssl = new_session(l->ctx, l->relay->o);
    SSL_set_fd(l->ssl, l->sealed);
    if (l->sealed >= 0 && SSL_connect(l->ssl) == 1)
        carry(l);
    SSL_free(l->ssl);
    SSL_CTX_free(l->ctx);
    close(l->sealed);
    close(l->plain);
    free(l);
    return NULL;
}

static void *
run_relay(void *arg)
{
    struct relay *r = arg;
    for (;;) {
        pthread_t thread;
        struct link *l = calloc(1, sizeof(*l));
        OX_ASSERT(l != NULL);
        l->relay = r;
        l->plain = accept4(r->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (l->plain < 0 || pthread_create(&thread, NULL, run_link, l) != 0) {
            free(l);
            return NULL;
        }
        pthread_detach(thread);
    }
}

uint16_t
tls_relay_start(uint16_t port, const struct tls_client_options *o)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(at);
    pthread_t thread;
    struct relay *r = calloc(1, sizeof(*r));
    OX_ASSERT(r != NULL);
    r->port = port;
    r->o = o;
    r->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    OX_ASSERT(bind(r->listen_fd, (struct sockaddr *)&at, n) == 0 && listen(r->listen_fd, 1024) == 0 &&
              getsockname(r->listen_fd, (struct sockaddr *)&at, &n) == 0);
    int rc = pthread_create(&thread, NULL, run_relay, r);
    OX_ASSERT(rc == 0);
    pthread_detach(thread);
    return ntohs(at.sin_port);
}
