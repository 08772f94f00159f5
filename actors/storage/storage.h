/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/storage/storage.h - what the files of the storage client share.
 *
 * Owns:    the client: its base URL, its headers, its idle connections.
 * Threads: see include/ox/storage.h.
 */
#ifndef OX_STORAGE_INTERNAL_H
#define OX_STORAGE_INTERNAL_H

#include <curl/curl.h>
#include <pthread.h>

#include "ox/clock.h"
#include "ox/parts.h"
#include "ox/random.h"
#include "ox/storage.h"

/* A connection: the multi handle is where libcurl keeps it alive between requests. */
struct ox__link {
    CURL *easy;
    CURLM *multi;
    bool used; /* it may have a connection already */
};

struct ox_storage {
    char *base;        /* "http://host:port/" */
    char *socket_path; /* unix:, else NULL */
    char *database;
    char *user;
    char *key;
    char *system_secret;
    char *ca_file;
    unsigned connect_timeout_ms;
    unsigned request_timeout_ms;
    bool plain;
    bool walled;            /* a server of others: each question of a tenant brings its filters along */
    _Atomic bool abandoned; /* relaxed: seen a poll later */

    const struct ox_clock *clock;

    pthread_mutex_t lock; /* guards what follows; held for a few instructions */
    struct ox_breaker breaker;
    struct ox_random random; /* the breaker's jitter */
    uint64_t damage_answers;
    struct ox_part damaged; /* of the last one */
    struct ox__link *idle;
    size_t idle_n;
    size_t idle_max;
};

/* An idle link, or a new one; NOMEM. */
OX_MUST_USE ox_err ox__storage_acquire(struct ox_storage *st, struct ox__link *out);
/* broken: the connection must not be used again. */
void ox__storage_release(struct ox_storage *st, struct ox__link link, bool broken);

/* One request, as libcurl needs it. */
struct ox__call {
    struct ox_storage *st;
    struct ox_buf url;
    const void *body; /* lend */
    size_t body_len;
    const char *content_encoding; /* NULL = none */
    unsigned timeout_ms;
    const _Atomic bool *cancel;
    bool ping;
    bool insert; /* what a question provokes says nothing about the endpoint, see storage_gate.c */

    /* results: pieces of a 2xx body go to the sink, other bodies are kept as the error's text */
    ox_storage_chunk_fn sink;
    void *sink_arg;
    struct ox_storage_stats stats;
    long status;
    int code;
    struct ox_buf error;
    struct ox_buf *exception; /* lend; NULL = nobody wants the whole message */
    /* the end of the body: where the exception of a broken stream stands */
    char tail[4096];
    size_t tail_len;
    bool sink_ended;
};

/* Appends name=value, encoded, to the URL. */
void ox__call_param(struct ox__call *call, const char *prefix, const char *name, struct ox_str value);
void ox__call_number(struct ox__call *call, const char *name, uint64_t value);
/* Starts the URL with path, database and the rows that may be seen. */
void ox__call_begin(struct ox__call *call, struct ox_storage *st, const struct ox_tenant_id *tenant);
/* storage_gate.c. Performs it if the breaker lets it, and tells the breaker how it ended. */
OX_MUST_USE ox_err ox__gate_perform(struct ox__call *call, struct ox_diag *diag);
void ox__gate_init(struct ox_storage *st, const struct ox_storage_options *options);
/* Performs it, whatever the breaker says. */
OX_MUST_USE ox_err ox__call_perform(struct ox__call *call, struct ox_diag *diag);
void ox__call_fini(struct ox__call *call);

/* "Code: N. ..." to N; also the older "Code: N, e.displayText() = ...". 0 = none. */
int ox__storage_code_of(struct ox_str text);
/* The value of X-ClickHouse-Summary. */
void ox__storage_parse_summary(struct ox_str json, struct ox_storage_stats *stats);
/* Whether the SQL binds `name` as Array, Map or Tuple: their text is taken as it is, without TSV escapes. */
bool ox__storage_param_is_compound(struct ox_str sql, const char *name);
/* What additional_table_filters has to be so that `tenant` sees its own rows only. `out` is overwritten. */
void ox__storage_wall(struct ox_buf *out, const char *database, const struct ox_tenant_id *tenant);
/* Raw bytes to the TSV escapes that ClickHouse wants of a parameter. */
void ox__storage_escape_param(struct ox_buf *out, struct ox_str raw);

#endif
