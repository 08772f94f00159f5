/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/tls_client.h - a TLS client for tests, alone or as a relay for clients that speak plain.
 *
 * Owns:    its sockets; a relay its thread and connections, until the process ends.
 * Threads: a client: one. A relay: one of its own.
 * Bounds:  OX_CLIENT_TIMEOUT_S per call.
 */
#ifndef OX_TESTS_TLS_CLIENT_H
#define OX_TESTS_TLS_CLIENT_H

#include <openssl/ssl.h>

#include "ox/base.h"
#include "tests/harness/http_client.h"

struct tls_client_options {
    const char *ca;         /* whom to trust; NULL = everybody */
    const char *cert, *key; /* of the client; NULL = none */
    const char *alpn;       /* one protocol: "h2"; NULL = none offered */
    int version_max;        /* TLS1_1_VERSION ...; 0 = the newest */
    const char *suites;     /* of TLS 1.2; NULL = OpenSSL's */
};

struct tls_client {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
    char error[128]; /* why the handshake failed */
};

/* Connects to 127.0.0.1 and shakes hands. False: it failed; _close all the same. */
bool tls_client_open(struct tls_client *c, uint16_t port, const struct tls_client_options *o);
void tls_client_close(struct tls_client *c);
bool tls_client_send(struct tls_client *c, const void *bytes, size_t n);
/* Reads what comes until the server ends or n bytes are there; how many. */
size_t tls_client_read(struct tls_client *c, void *to, size_t n);
/* One request on this connection; the answer's status (0 = none), and its bytes as they come, with a zero at their end. */
int tls_client_request(struct tls_client *c, const char *method, const char *path, const char *headers,
                       const void *body, size_t n, char *answer, size_t cap);
/* The CN of the server's certificate. */
void tls_client_server_name(struct tls_client *c, char *out, size_t cap);

/* A port of this machine whose connections go on to `port` over TLS. o: lend, for ever. */
uint16_t tls_relay_start(uint16_t port, const struct tls_client_options *o);

#endif
