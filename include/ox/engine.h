/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/engine.h - the engine: ClickHouse (libchdb) in a process of its own, behind the parts of
 * ClickHouse's HTTP protocol that a client needs, on a Unix socket.
 *
 * Owns:    the engine process; see engine/engine_main.c.
 * Threads: ox_engine_main takes over the calling process; the other functions are pure.
 * Bounds:  queries_max statements at once, connections_max sockets, body_bytes_max per request.
 */
#ifndef OX_ENGINE_H
#define OX_ENGINE_H

#include "ox/base.h"
#include "ox/buf.h"
#include "ox/schema.h"

/* The request header that carries the per-boot secret. */
#define OX_ENGINE_KEY_HEADER "X-ClickHouse-Key"
/* Default database of every connection; created at start. */
#define OX_ENGINE_DATABASE "observex"

struct ox_engine_options {
    /* ClickHouse's data, "DIR/engine"; created (0700), its parent must exist. */
    const char *data_dir;
    /* Where engine.xml and users.xml are written (0700, 0600); NULL = data_dir + "-config". */
    const char *config_dir;
    /* Unix socket, made with mode 0600; an old one is replaced. NULL with listen_fd. */
    const char *socket_path;
    /* A bound and listening socket instead of socket_path; -1 = none. */
    int listen_fd;
    /* {"event":"ready"} and a newline are written here; its end of file stops us. -1 = none. */
    int control_fd;
    /* libchdb.so; NULL = see ox_engine_find_library. */
    const char *lib_path;
    /* Per-boot secret, 16 to 128 of [0-9A-Za-z_-]; required. */
    const char *secret;
    /* ox_schema_tables: each gets its row policy. */
    const struct ox_schema_table *tables;
    size_t tables_n;
    /* PR_SET_PDEATHSIG; refuses to start when the parent is gone already. */
    bool die_with_parent;

    /* 0 = the default for a small machine, as noted. Resident memory may exceed its limit by some 250 MiB. */
    uint64_t memory_bytes_max;    /* max_server_memory_usage; 1.5 GiB */
    uint64_t mark_cache_bytes;    /* 64 MiB */
    uint64_t body_bytes_max;      /* body of one request, after decompression; 256 MiB */
    unsigned background_threads;  /* merges at once; 2 */
    unsigned queries_max;         /* statements at once; 16 */
    unsigned queries_for_inserts; /* of those, kept for inserts; 4 */
    unsigned connections_max;     /* sockets at once, one thread each; 128 */
    unsigned stop_timeout_ms;     /* SIGTERM: how long running statements may go on; 10,000 */
    unsigned idle_timeout_ms;     /* a kept-alive connection without request; 120,000 */
};

/*
 * Runs the engine until SIGTERM, SIGINT, the parent's death or the end of control_fd; then the process is gone
 * (_exit; 0 when asked to stop). Returns an exit code only when it could not start; the reason, one sentence, is
 * in `diag` and on stderr. options: lend, for ever.
 *
 * Exit codes:
 *
 * 64: bad option, or the parent is gone.
 *
 * 66: libchdb.so missing or unusable.
 *
 * 70: the library did not open its store.
 *
 * 73: directory, configuration or socket.
 *
 * 75: the data directory is in use by another engine.
 */
int ox_engine_main(const struct ox_engine_options *options, struct ox_diag *diag);

/*
 * The text of users.xml: user default with one row policy per table and view of `tables` (lend) and for
 * schema_migrations, so that a connection without the setting log_comment sees no row, 't:<tenant>' sees that
 * tenant's rows of tables that are tenant_owned, 's:<secret>' sees all. INVALID names the table whose name is
 * not of letters, digits and underscores; NOMEM.
 */
OX_MUST_USE ox_err ox_engine_users_xml(const struct ox_schema_table *tables, size_t n, const char *secret,
                                       struct ox_buf *out, struct ox_diag *diag);

/* The text of engine.xml, which names `users_path`. NOMEM. Zero fields of `options` get their defaults. */
OX_MUST_USE ox_err ox_engine_config_xml(const struct ox_engine_options *options, const char *users_path,
                                        struct ox_buf *out);

/*
 * Finds libchdb.so: `path` if not NULL, else the environment OBSERVE_X_LIBCHDB, else
 * <directory of the executable>/../engine/npm/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so.
 * NOT_FOUND with a sentence that says where was looked and what to do.
 */
OX_MUST_USE ox_err ox_engine_find_library(const char *path, char *out, size_t out_size, struct ox_diag *diag);

#endif
