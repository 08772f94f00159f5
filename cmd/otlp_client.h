/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/otlp_client.h - sends OTLP requests over HTTP as a well-behaved exporter does.
 *
 * Owns:    a libcurl handle that keeps its connection.
 * Threads: one.
 */
#ifndef OX_OTLP_CLIENT_H
#define OX_OTLP_CLIENT_H

#include <signal.h>

#include "ox/base.h"
#include "ox/buf.h"
#include "ox/compress.h"

struct ox_otlp_client;

/* base: "http://127.0.0.1:4318", copied. key: API key or NULL, copied. NULL on lack of memory. */
struct ox_otlp_client *ox_otlp_client_new(const char *base, const char *key);
void ox_otlp_client_free(struct ox_otlp_client *client);
/* Compresses what is sent from now on. */
void ox_otlp_client_encoding(struct ox_otlp_client *client, enum ox_encoding encoding);

struct ox_otlp_reply {
    long status;
    uint32_t retry_after_s; /* of a 429 or 503; 0 = none */
    bool connected;         /* without an answer: whether the request may have arrived nevertheless */
    struct ox_buf body;     /* what the server said; init before, fini after */
};

/* One POST to /v1/{traces,logs,metrics}. OK whatever the status is; UNAVAILABLE when nothing answers. */
OX_MUST_USE ox_err ox_otlp_client_post(struct ox_otlp_client *client, enum ox_signal signal, bool json,
                                       struct ox_str body, struct ox_otlp_reply *reply, struct ox_diag *diag);

/* OK: the server took every record. INVALID: it refuses the request or a part of it; diag has its words. base: whom to
 * name. */
OX_MUST_USE ox_err ox_otlp_reply_check(const char *base, const struct ox_otlp_reply *reply,
                                       struct ox_diag *diag);

/*
 * The same as post, and again after Retry-After (or 1 s, doubling to 30 s) while the answer is 429, 502, 503, 504 or
 * nothing answers, until *stop; the first time a sentence on stderr says so. OK: all of it is acknowledged. CANCELLED:
 * stopped. Otherwise the server's refusal, of all or of some records, as INVALID.
 */
OX_MUST_USE ox_err ox_otlp_client_deliver(struct ox_otlp_client *client, enum ox_signal signal, bool json,
                                          struct ox_str body, const volatile sig_atomic_t *stop,
                                          uint64_t *retries, struct ox_diag *diag);

#endif
