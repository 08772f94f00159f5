/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/storage.h - the client of ClickHouse: queries, inserts, migrations. One code for the embedded
 * engine (unix:PATH) and a server or cluster (http://, https://).
 *
 * Owns:    a pool of kept-alive connections.
 * Threads: every function blocks: dirty threads only, any number of them at once.
 * Bounds:  connections_max idle connections are kept; a result is cut by max_result_bytes.
 *          A circuit breaker (ox/breaker.h) stands before the endpoint: after failures in a row, or when half of the
 *          calls of 30 s fail, none is made until a probe is answered.
 * Fails:   STORAGE_OPEN  the breaker is open: nothing was sent; ox_storage_wait_ns says for how long
 *          STORAGE_DOWN  no answer, or the connection was cut: an insert may or may not have happened
 *          STORAGE_BUSY  out of memory or slots, nothing done: again later
 *          STORAGE_BUDGET  the query ran into its limits of time, rows, bytes or memory
 *          STORAGE_DAMAGED  the question came upon a part that storage cannot read (ox_storage_damage); the embedded
 *                        engine again later, another server's owner must hear of it
 *          STORAGE_REFUSED  the statement or the data is wrong: again will not help
 *          TIMEOUT  no answer in time (an insert may or may not have happened)
 *          CANCELLED, TOO_LARGE (result), NOT_FOUND (table or database), UNAUTHENTICATED, FORBIDDEN
 */
#ifndef OX_STORAGE_H
#define OX_STORAGE_H

#include <stdatomic.h>

#include "ox/base.h"
#include "ox/breaker.h"
#include "ox/buf.h"

struct ox_storage_options {
    const char *url;             /* "unix:/path/engine.sock", "http://host:8123", "https://host:8443" */
    const char *database;        /* NULL = "observex"; "" = leave it to the server */
    const char *user;            /* NULL = "default" */
    const char *key;             /* password; for the embedded engine the per-boot secret. NULL = none */
    const char *system_secret;   /* log_comment becomes "s:<system_secret>" without a tenant; NULL = `key` */
    const char *ca_file;         /* https: certificates to trust; NULL = the system's */
    unsigned connect_timeout_ms; /* 0 = 5,000 */
    unsigned request_timeout_ms; /* when the query names none; 0 = 60,000 */
    unsigned connections_max;    /* idle connections kept; 0 = 16 */
    const struct ox_breaker_config *breaker; /* copied; NULL = its default */
    const struct ox_clock *clock;            /* of the breaker, outlives the client; NULL = the machine's */
    /* A server whose row policies are not ours: each question of a tenant brings along the filters that show it its own
     * rows only (additional_table_filters; ClickHouse 22.7 and later). */
    bool walled;
    bool plain; /* a server that knows no log_comment and none of our settings (tests) */
};

struct ox_clock;
struct ox_storage;

/* options: lend, copied. CONFIG when the url is malformed (diag says how), NOMEM. Does not connect. */
OX_MUST_USE ox_err ox_storage_open(const struct ox_storage_options *options, struct ox_storage **out,
                                   struct ox_diag *diag);
/* No call may be running. NULL is allowed. */
void ox_storage_close(struct ox_storage *st);
/* The breaker's state, and how long until a call may be let through (0 = now). Any thread. */
enum ox_breaker_state ox_storage_breaker(struct ox_storage *st);
uint64_t ox_storage_wait_ns(struct ox_storage *st);
/* Somebody knows that the endpoint was started anew: the breaker lets its probe go at once. Any thread. */
void ox_storage_hint(struct ox_storage *st);
/* Answers so far that say that a part cannot be read, and the part of the last one (ox/parts.h); last: may be NULL. Any
 * thread. */
struct ox_part;
uint64_t ox_storage_damage(struct ox_storage *st, struct ox_part *last);
/* From now on every call, running or new, fails within some 200 ms with STORAGE_DOWN: a node that must end does not
 * wait for a storage that hangs. Whether a running insert arrived is not known; its token answers that later. Any
 * thread. */
void ox_storage_abandon(struct ox_storage *st);
/* GET /ping: OK when storage answers. Past the breaker. */
OX_MUST_USE ox_err ox_storage_ping(struct ox_storage *st, unsigned timeout_ms, struct ox_diag *diag);

/* Bound as {name:Type} in the SQL. `value` is raw bytes: the client escapes. Arrays and maps are given as
 * ClickHouse text ("['a','b']"), see ox_storage_quote. */
struct ox_storage_param {
    const char *name;
    struct ox_str value;
};

/* Any setting of ClickHouse, as text. */
struct ox_storage_setting {
    const char *name;
    const char *value;
};

/* What the server said about the work done; zero when it did not. */
struct ox_storage_stats {
    uint64_t read_rows;
    uint64_t read_bytes;
    uint64_t written_rows;
    uint64_t written_bytes;
    uint64_t result_rows;
    uint64_t elapsed_ns; /* by the server's clock */
    long http_status;
    int code; /* ClickHouse's exception code; 0 = none */
    bool
        retried; /* the server may have had the request twice: its connection broke, and another one was made for it */
    bool cut; /* the stream callback or max_result_bytes ended the result early */
};

struct ox_storage_query {
    struct ox_str sql;  /* one statement, without FORMAT */
    const char *format; /* "JSONCompactEachRow", "TabSeparated", "Native", ...; NULL = TabSeparated */
    const struct ox_tenant_id *tenant; /* whose rows; NULL = the system: all rows, may write */
    const struct ox_storage_param *params;
    size_t params_n;
    const struct ox_storage_setting *settings; /* further ones */
    size_t settings_n;
    unsigned max_execution_ms; /* 0 = none; the reply is waited for one second longer */
    uint64_t max_rows_to_read; /* 0 = none, also below */
    uint64_t max_bytes_to_read;
    uint64_t max_memory_bytes;
    uint64_t max_result_rows; /* more is an error (STORAGE_BUDGET), not a cut */
    size_t max_result_bytes;  /* client side: TOO_LARGE beyond; 0 = 256 MiB (ox_storage_query only) */
    const char *query_id;     /* [0-9A-Za-z_.:-]; NULL = the server's choice */
    struct ox_buf
        *exception; /* gets ClickHouse's whole message, of which diag has the beginning; NULL = unwanted */
    const _Atomic bool
        *cancel; /* polled (at most 200 ms late); true gives CANCELLED and stops the statement */
};

/*
 * The one function through which all SQL of the program leaves. Appends the result to `out` (unchanged on
 * error except for bytes behind len). stats, diag: may be NULL; diag->text carries ClickHouse's message.
 * query: lend.
 */
OX_MUST_USE ox_err ox_storage_query(struct ox_storage *st, const struct ox_storage_query *query,
                                    struct ox_buf *out, struct ox_storage_stats *stats, struct ox_diag *diag);

/* Takes a piece of the result (not aligned to rows); false ends the query (OK with stats->cut). */
typedef bool (*ox_storage_chunk_fn)(void *arg, const void *bytes, size_t n);
/* The same in constant memory. An error after the first pieces is returned as an error all the same. */
OX_MUST_USE ox_err ox_storage_stream(struct ox_storage *st, const struct ox_storage_query *query,
                                     ox_storage_chunk_fn on_chunk, void *arg, struct ox_storage_stats *stats,
                                     struct ox_diag *diag);

enum ox_storage_encoding { OX_STORAGE_PLAIN, OX_STORAGE_ZSTD, OX_STORAGE_GZIP, OX_STORAGE_DEFLATE };

struct ox_storage_insert {
    const char *table;   /* "otel_logs" or "db.table" */
    const char *columns; /* "a, b, c"; NULL = all */
    const char *format;  /* NULL = Native */
    const char *token;   /* insert_deduplication_token; NULL = none (no deduplication) */
    const void *data;    /* lend until return */
    size_t len;
    enum ox_storage_encoding encoding; /* of `data` */
    const struct ox_storage_setting *settings;
    size_t settings_n;
    unsigned timeout_ms; /* 0 = 120,000 */
};

/*
 * Inserts as the system. On OK the rows, and those of every materialised view, are on disk (fsync). A
 * repeated token inside the table's deduplication window adds nothing, to the views neither, and completes
 * views that a crash left behind. Errors as above; after STORAGE_DOWN and TIMEOUT repeat with the same token.
 */
OX_MUST_USE ox_err ox_storage_insert(struct ox_storage *st, const struct ox_storage_insert *insert,
                                     struct ox_storage_stats *stats, struct ox_diag *diag);

/* The ox_err that stands for an exception code of ClickHouse. */
ox_err ox_storage_err_of_code(int code);
/* Appends 'value' quoted and escaped, for array and map parameters: quote "a'b" gives 'a\'b'. */
void ox_storage_quote(struct ox_buf *out, struct ox_str value);

/* Which tables of ox_schema_tables (bit i: the i-th) the database does not have. Blocks. */
OX_MUST_USE ox_err ox_storage_missing_tables(struct ox_storage *st, uint32_t *missing, struct ox_diag *diag);

struct ox_migration; /* ox/schema.h */
/*
 * Creates the database and applies, in order, the migrations that the table schema_migrations does not list
 * yet. Assumes one caller at a time. diag->field names the migration ("003_logs, statement 2"). STATE when
 * the store knows a higher number than we do, or another name under a number: a newer release wrote it.
 */
OX_MUST_USE ox_err ox_storage_migrate(struct ox_storage *st, const struct ox_migration *migrations, size_t n,
                                      unsigned *applied, struct ox_diag *diag);

#endif
