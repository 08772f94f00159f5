/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/chdb.h - the functions of libchdb.so that we use, found by dlopen, under our names.
 *
 * Owns:    the library handle, for the life of the process.
 * Threads: load once before any other use; a connection belongs to one thread at a time.
 */
#ifndef OX_ENGINE_CHDB_H
#define OX_ENGINE_CHDB_H

#include "ox/base.h"

/* chdb's own types: a connection is a pointer to a pointer to an opaque struct, calls take the inner one. */
typedef struct chdb_connection_ *ox__chdb_conn;
struct ox__chdb_result;

struct ox__chdb {
    ox__chdb_conn *(*connect)(int argc, char **argv);
    void (*close_conn)(ox__chdb_conn *conn);
    struct ox__chdb_result *(*query_n)(ox__chdb_conn conn, const char *sql, size_t sql_len,
                                       const char *format, size_t format_len);
    struct ox__chdb_result *(*query_params)(ox__chdb_conn conn, const char *sql, size_t sql_len,
                                            const char *format, size_t format_len, const char *const *names,
                                            const size_t *name_lens, const char *const *values,
                                            const size_t *value_lens, size_t n);
    struct ox__chdb_result *(*stream_params)(ox__chdb_conn conn, const char *sql, size_t sql_len,
                                             const char *format, size_t format_len, const char *const *names,
                                             const size_t *name_lens, const char *const *values,
                                             const size_t *value_lens, size_t n);
    struct ox__chdb_result *(*stream_fetch)(ox__chdb_conn conn, struct ox__chdb_result *stream);
    void (*stream_cancel)(ox__chdb_conn conn, struct ox__chdb_result *stream);
    void (*destroy)(struct ox__chdb_result *result);
    char *(*buffer)(struct ox__chdb_result *result);
    size_t (*length)(struct ox__chdb_result *result);
    const char *(*error)(struct ox__chdb_result *result);
    uint64_t (*rows_read)(struct ox__chdb_result *result); /* of the result, not of the tables */
    uint64_t (*storage_rows_read)(struct ox__chdb_result *result);
    uint64_t (*storage_bytes_read)(struct ox__chdb_result *result);
    uint64_t (*rows_written)(struct ox__chdb_result *result);
    uint64_t (*bytes_written)(struct ox__chdb_result *result);
    void (*set_signal_handlers_enabled)(int enabled);
};

/* Loads the library at `path`, switches its signal handlers off. NOT_FOUND or UNIMPLEMENTED (wrong version).
 */
OX_MUST_USE ox_err ox__chdb_load(const char *path, struct ox__chdb *out, struct ox_diag *diag);

#endif
