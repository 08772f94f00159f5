/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/http_tls.c - TLS between a connection's socket and its protocol.
 *
 * Owns:    the session of one connection and what it wants to send (`wire`).
 * Threads: the server's loop. Nothing here waits: OpenSSL reads from the bytes that have arrived and writes into `wire`.
 * Bounds:  WIRE_TARGET sealed bytes wait for the kernel; beyond WIRE_MAX, which only a peer that provokes answers and takes
 *          none of them can reach, the connection breaks. tls_handshake_ms.
 * Fails:   a handshake that fails is answered by its alert, and the connection closes; anything later breaks it.
 * Flow:    http_conn.c: bytes -> ox__tls_feed -> ox__http_conn_feed; conn->out -> ox__tls_seal -> wire.
 */
#include <openssl/err.h>
#include <stdlib.h>

#include "ox/metric.h"
#include "runtime/net/http_internal.h"
#include "runtime/net/tls_internal.h"

#define WIRE_TARGET (64 * 1024)
#define WIRE_MAX    (256 * 1024)

struct ox__tls {
    struct ox__http_conn *conn;
    SSL *ssl;
    const uint8_t *in; /* what has arrived and is not read yet; lent for one call */
    size_t in_n;
    bool established;
    bool ended; /* close_notify is queued, or the handshake has failed: nothing more is sent */
};

/* ---- OpenSSL's view of the connection ---- */

static int
bio_read(BIO *bio, char *to, size_t n, size_t *done)
{
    struct ox__tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *done = t->in_n < n ? t->in_n : n;
    if (*done == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(to, t->in, *done);
    t->in += *done;
    t->in_n -= *done;
    return 1;
}

static int
bio_write(BIO *bio, const char *from, size_t n, size_t *done)
{
    struct ox__tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *done = n;
    return ox__chunkq_copy(&t->conn->wire, from, n);
}

static long
bio_ctrl(BIO *bio, int what, long num, void *ptr)
{
    return what == BIO_CTRL_FLUSH || what == BIO_CTRL_DUP;
}

static int
bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *method; /* made once, for as long as the process lives */

static void
make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");
    OX_ASSERT(method != NULL);
    BIO_meth_set_read_ex(method, bio_read);
    BIO_meth_set_write_ex(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
    BIO_meth_set_create(method, bio_create);
}

/* ---- life ---- */

bool
ox__tls_open(struct ox__http_conn *conn)
{
    static uv_once_t once = UV_ONCE_INIT;
    uv_once(&once, make_method);
    struct ox__tls *t = calloc(1, sizeof(*t));
    BIO *bio = BIO_new(method);
    SSL *ssl = ox__tls_session(conn->server->o.tls);
    if (t == NULL || bio == NULL || ssl == NULL) {
        free(t);
        BIO_free(bio);
        SSL_free(ssl);
        return false;
    }
    t->conn = conn;
    t->ssl = ssl;
    BIO_set_data(bio, t);
    SSL_set_bio(ssl, bio, bio); /* takes it */
    SSL_set_accept_state(ssl);
    conn->tls = t;
    return true;
}

void
ox__tls_close(struct ox__http_conn *conn)
{
    if (conn->tls == NULL)
        return;
    SSL_free(conn->tls->ssl);
    free(conn->tls);
    conn->tls = NULL;
    ox_tls_names_drop(conn->client);
    conn->client = NULL;
}

bool
ox__tls_established(const struct ox__http_conn *conn)
{
    return conn->tls == NULL || conn->tls->established;
}

/* ---- reading ---- */

static const struct ox__http_proto *
agreed(SSL *ssl)
{
    const unsigned char *name = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(ssl, &name, &n);
    if (n == 2 && memcmp(name, "h2", 2) == 0)
        return &ox__http2_proto;
    return n > 0 ? &ox__http1_proto : NULL; /* without ALPN the preface tells */
}

/* The alert is queued and goes out, then the connection closes. */
static void
handshake_failed(struct ox__http_conn *conn)
{
    ERR_clear_error();
    OX_HTTP_COUNT(conn->server, tls_failed, 1);
    OX_METRIC_ADD_L(OX_M_tls_handshakes, 1, OX_STR("failed"));
    conn->tls->ended = true;
    conn->finishing = true;
}

/* True when it is done. */
static bool
handshake(struct ox__http_conn *conn)
{
    struct ox__tls *t = conn->tls;
    ERR_clear_error();
    int rc = SSL_do_handshake(t->ssl);
    if (rc != 1) {
        if (SSL_get_error(t->ssl, rc) != SSL_ERROR_WANT_READ)
            handshake_failed(conn);
        return false;
    }
    t->established = true;
    conn->proto = agreed(t->ssl);
    conn->client = ox__tls_names_of(t->ssl);
    conn->idle_since_ms = ox__http_now_ms(conn->server);
    OX_HTTP_COUNT(conn->server, tls_handshakes, 1);
    OX_METRIC_ADD_L(OX_M_tls_handshakes, 1, OX_STR("done"));
    return true;
}

/* Where plaintext goes: in place when it is a body. */
static uint8_t *
room(struct ox__http_conn *conn, size_t *cap)
{
    uint8_t *into = NULL;
    if (conn->state != NULL && conn->proto->read_into != NULL)
        into = conn->proto->read_into(conn, cap);
    if (into != NULL)
        return into;
    *cap = OX_HTTP_RECORD_BYTES;
    return conn->server->plain_buf;
}

static bool
read_some(struct ox__http_conn *conn)
{
    size_t cap = 0, n = 0;
    uint8_t *into = room(conn, &cap);
    ERR_clear_error();
    int rc = SSL_read_ex(conn->tls->ssl, into, cap, &n);
    if (rc == 1) {
        ox__http_conn_feed(conn, into, n);
        return true;
    }
    switch (SSL_get_error(conn->tls->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        break;
    case SSL_ERROR_ZERO_RETURN:
        ox__http_conn_eof(conn);
        break;
    default:
        ERR_clear_error();
        conn->failed = true;
    }
    return false;
}

void
ox__tls_feed(struct ox__http_conn *conn, const uint8_t *data, size_t n)
{
    struct ox__tls *t = conn->tls;
    if (t->ended)
        return;
    t->in = data;
    t->in_n = n;
    if (t->established || handshake(conn)) {
        while (!conn->failed && read_some(conn))
            ;
    }
    t->in = NULL;
    t->in_n = 0;
    if (conn->wire.bytes > WIRE_MAX)
        conn->failed = true;
}

/* ---- writing ---- */

void
ox__tls_seal(struct ox__http_conn *conn)
{
    struct ox__tls *t = conn->tls;
    while (t->established && !t->ended && conn->out.bytes > 0 && conn->wire.bytes < WIRE_TARGET) {
        struct ox__chunk *c = conn->out.first;
        size_t n = c->buf.len - c->off, done = 0;
        ERR_clear_error();
        if (SSL_write_ex(t->ssl, c->buf.data + c->off, n < OX_HTTP_RECORD_BYTES ? n : OX_HTTP_RECORD_BYTES,
                         &done) != 1) {
            ERR_clear_error();
            conn->failed = true;
            return;
        }
        ox__chunkq_consume(&conn->out, done);
    }
}

void
ox__tls_end(struct ox__http_conn *conn)
{
    struct ox__tls *t = conn->tls;
    if (t->ended)
        return;
    t->ended = true;
    ERR_clear_error();
    if (t->established)
        (void)SSL_shutdown(t->ssl); /* queues close_notify; the peer's is not waited for */
    ERR_clear_error();
}
