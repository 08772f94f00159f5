/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/engine.h - what the files of this room share: the engine's state, slots, the watch, sessions.
 *
 * Owns:    one struct ox__engine per process.
 * Threads: the main thread accepts; one thread per connection; one thread watches clients.
 * Bounds:  queries_max slots, connections_max connections.
 */
#ifndef OX_ENGINE_INTERNAL_H
#define OX_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/chdb.h"
#include "engine/http.h"
#include "ox/engine.h"

/* Exception codes of ClickHouse that we raise ourselves. */
#define OX__CODE_UNKNOWN_SETTING   115
#define OX__CODE_BAD_ARGUMENTS     36
#define OX__CODE_NOT_IMPLEMENTED   48
#define OX__CODE_SYNTAX            62
#define OX__CODE_READONLY          164
#define OX__CODE_TOO_MANY_QUERIES  202
#define OX__CODE_NETWORK           210
#define OX__CODE_MEMORY            241
#define OX__CODE_CONSTRAINT        452
#define OX__CODE_AUTHENTICATION    516
#define OX__CODE_ABORTED           236
#define OX__CODE_CANNOT_PARSE_BODY 117

/* How many statements run; inserts keep a few places for themselves, so that queries cannot stop ingest. */
struct ox__slots {
    pthread_mutex_t lock;
    unsigned all_max;
    unsigned queries_max;
    unsigned inserts;
    unsigned queries;
};
void ox__engine_slots_init(struct ox__slots *slots, unsigned all_max, unsigned for_inserts);
bool ox__engine_slots_take(struct ox__slots *slots, bool insert);
void ox__engine_slots_give(struct ox__slots *slots, bool insert);
unsigned ox__engine_slots_used(struct ox__slots *slots);

/* Clients that wait for a result: when one goes away, its statement is killed. */
struct ox__watched {
    int fd; /* -1 = free */
    uint64_t id;
    bool gone;
};
struct ox__engine;
struct ox__watch {
    struct ox__engine *engine;
    pthread_mutex_t lock;
    int wake_fd;
    struct ox__watched *entries;
    unsigned n;
};
OX_MUST_USE ox_err ox__engine_watch_start(struct ox__watch *watch, struct ox__engine *engine, unsigned n);
void ox__engine_watch_add(struct ox__watch *watch, int fd, uint64_t id);
/* Whether the client was seen to be gone. After return the fd is not looked at any more. */
bool ox__engine_watch_remove(struct ox__watch *watch, uint64_t id);

struct ox__engine {
    const struct ox_engine_options *options;
    struct ox__engine_limits {
        uint64_t body_bytes_max;
        unsigned queries_max;
        unsigned queries_for_inserts;
        unsigned connections_max;
        unsigned stop_timeout_ms;
        unsigned idle_timeout_ms;
    } limits;
    struct ox__chdb lib;
    char path_arg[4200];
    char config_arg[4200];
    ox__chdb_conn *anchor; /* keeps the store open between requests */
    struct ox__slots slots;
    struct ox__watch watch;
    int stop_fd;                   /* readable once it is time to stop: wakes every idle connection */
    atomic_bool stopping;          /* set before stop_fd is written, read per request */
    atomic_uint connections;       /* threads alive; only the main thread adds */
    _Atomic uint64_t statement_id; /* names statements for KILL QUERY */
};

/* Another session on the open store, or NULL. */
ox__chdb_conn *ox__engine_connect(struct ox__engine *engine);

/* Who asks, as log_comment says. */
enum ox__role { OX__ROLE_NOBODY, OX__ROLE_TENANT, OX__ROLE_SYSTEM };
/* FORBIDDEN: log_comment is neither t:<tenant> nor s:<secret>. */
OX_MUST_USE ox_err ox__role_of(struct ox_str log_comment, const char *secret, enum ox__role *out);
/* Compares in a time that does not depend on where they differ. */
bool ox__secret_equal(struct ox_str given, const char *secret);

/* Serves one connection until it ends. fd: take. */
void ox__serve_connection(struct ox__engine *engine, int fd);
/* Runs the statement of a complete request and replies. */
void ox__statement_run(struct ox__engine *engine, struct ox__conn *conn, struct ox__request *request,
                       enum ox__role role);

/* Replies like ClickHouse with an exception: status, X-ClickHouse-Exception-Code, text. */
void ox__reply_exception(struct ox__conn *conn, int code, const char *text);
/* The same with the sentence made here: "Code: 62. DB::Exception: <fmt>. (SYNTAX_ERROR)". */
void ox__reply_refusal(struct ox__conn *conn, int code, const char *name, const char *fmt, ...)
    OX_PRINTF(4, 5);
/* N of "Code: N. DB::Exception"; 0 = none. */
int ox__exception_code(const char *text);
/* The HTTP status that ClickHouse gives for an exception. */
int ox__exception_status(int code);

/* The owner asked for statements that write to be refused: the parameter readonly, as ClickHouse has it. */
bool ox__settings_read_only(const struct ox__request *request);
/* The SET statement of a request. Returns 0, or the code to refuse with and a sentence in diag. */
int ox__settings_text(const struct ox__request *request, enum ox__role role, uint64_t statement_id,
                      struct ox_buf *out, struct ox_diag *diag);
/* 'text' with quotes and backslashes escaped. */
void ox__append_literal(struct ox_buf *out, struct ox_str text);

#endif
