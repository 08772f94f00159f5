/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/reply.c - running the text and sending what comes out.
 *
 * Owns:    the results of libchdb while they are sent.
 * Threads: the connection's.
 * Bounds:  a stream holds two blocks at a time; the socket's send timeout ends a client that does not read.
 * Fails:   before the first byte: an exception with its status. Later: the exception's text behind the rows
 *          and a connection that ends without the last chunk, as ClickHouse does it.
 * Flow:    statement.c -> here -> http.c.
 */
#include <stdio.h>
#include <time.h>

#include "engine/statement.h"

struct totals {
    uint64_t read_rows;
    uint64_t read_bytes;
    uint64_t written_rows;
    uint64_t written_bytes;
    uint64_t result_rows;
    uint64_t started_ns;
};

static uint64_t
now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Only for results without error: on others the library returns whatever lies there. */
static void
add_result(struct totals *totals, const struct ox__chdb *lib, struct ox__chdb_result *result)
{
    totals->read_rows += lib->storage_rows_read(result);
    totals->read_bytes += lib->storage_bytes_read(result);
    totals->written_rows += lib->rows_written(result);
    totals->written_bytes += lib->bytes_written(result);
    totals->result_rows += lib->rows_read(result);
}

static bool
id_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == ':';
}

/* What the client called the statement, without what a header line cannot hold, or our own number. */
static void
append_query_id(const struct ox__statement *st, struct ox_buf *headers)
{
    struct ox_str id = ox__http_param(st->request, "query_id");
    ox_buf_append_cstr(headers, "X-ClickHouse-Query-Id: ");
    for (size_t i = 0; i < id.n && i < 128; i++) {
        if (id_char(id.p[i]))
            ox_buf_append(headers, id.p + i, 1);
    }
    if (id.n == 0)
        ox_buf_printf(headers, "ox-%llu", (unsigned long long)st->id);
    ox_buf_append_cstr(headers, "\r\n");
}

static void
append_headers(const struct ox__statement *st, const struct totals *totals, struct ox_buf *headers)
{
    append_query_id(st, headers);
    bool plain = true;
    for (const char *p = st->format; *p != '\0'; p++)
        plain = plain && id_char(*p);
    if (plain)
        ox_buf_printf(headers, "X-ClickHouse-Format: %s\r\n", st->format);
    ox_buf_append_cstr(headers, "X-ClickHouse-Timezone: UTC\r\n");
    if (totals == NULL)
        return;
    ox_buf_printf(
        headers,
        "X-ClickHouse-Summary: {\"read_rows\":\"%llu\",\"read_bytes\":\"%llu\",\"written_rows\":\"%llu\","
        "\"written_bytes\":\"%llu\",\"result_rows\":\"%llu\",\"elapsed_ns\":\"%llu\"}\r\n",
        (unsigned long long)totals->read_rows, (unsigned long long)totals->read_bytes,
        (unsigned long long)totals->written_rows, (unsigned long long)totals->written_bytes,
        (unsigned long long)totals->result_rows, (unsigned long long)(now_ns() - totals->started_ns));
}

static const char *
content_type(const char *format)
{
    static const struct {
        const char *part;
        const char *type;
    } rows[] = {
        {"EachRow", "application/x-ndjson; charset=UTF-8"},
        {"JSON", "application/json; charset=UTF-8"},
        {"TabSeparated", "text/tab-separated-values; charset=UTF-8"},
        {"TSV", "text/tab-separated-values; charset=UTF-8"},
        {"CSV", "text/csv; charset=UTF-8; header=absent"},
        {"Native", "application/octet-stream"},
        {"RowBinary", "application/octet-stream"},
        {"Parquet", "application/octet-stream"},
        {"Arrow", "application/octet-stream"},
    };
    for (size_t i = 0; i < OX_COUNT(rows); i++) {
        if (strstr(format, rows[i].part) != NULL)
            return rows[i].type;
    }
    return "text/plain; charset=UTF-8";
}

static void
reply_complete(struct ox__statement *st, const struct totals *totals, struct ox_str body)
{
    struct ox_buf headers = {0};
    append_headers(st, totals, &headers);
    ox__conn_reply(st->conn, 200, content_type(st->format), &headers, body);
    ox_buf_fini(&headers);
}

void
ox__statement_reply_whole(struct ox__statement *st, struct ox_str sql)
{
    const struct ox__chdb *lib = &st->engine->lib;
    struct totals totals = {.started_ns = now_ns()};
    struct ox__chdb_result *result =
        lib->query_params(*st->session, sql.p, sql.n, st->format, strlen(st->format), st->names,
                          st->name_lens, st->values, st->value_lens, st->params_n);
    const char *error = lib->error(result);
    if (error != NULL) {
        ox__reply_exception(st->conn, ox__exception_code(error), error);
    } else {
        add_result(&totals, lib, result);
        reply_complete(st, &totals, (struct ox_str){lib->buffer(result), lib->length(result)});
    }
    lib->destroy(result);
}

/* One block of a stream; NULL at its end. *error is set (and lives as long as the block) when it failed. */
static struct ox__chdb_result *
fetch(struct ox__statement *st, struct ox__chdb_result *stream, struct totals *totals, const char **error,
      bool first)
{
    const struct ox__chdb *lib = &st->engine->lib;
    struct ox__chdb_result *block = lib->stream_fetch(*st->session, stream);
    *error = block != NULL ? lib->error(block) : NULL;
    /* Formats that print something for no rows end their stream together with it. */
    bool ended = *error != NULL && !first && strcmp(*error, "No active streaming query") == 0;
    if (block != NULL && *error == NULL)
        add_result(totals, lib, block);
    if (block == NULL || ended || (*error == NULL && lib->length(block) == 0)) {
        if (block != NULL)
            lib->destroy(block);
        *error = NULL;
        return NULL;
    }
    return block;
}

static struct ox_str
bytes_of(const struct ox__chdb *lib, struct ox__chdb_result *block)
{
    return (struct ox_str){lib->buffer(block), lib->length(block)};
}

/* Rows are out already: the exception follows them, and the reply stays without its end. */
static void
break_with(struct ox__statement *st, const char *error)
{
    struct ox_buf tail = {0};
    ox_buf_printf(&tail, "\n%s\n", error);
    ox__conn_chunk(st->conn, ox_buf_str(&tail));
    ox_buf_fini(&tail);
    ox__conn_break(st->conn);
}

/* Sends `block` and all that follow; false when the client is gone or the statement failed. */
static bool
send_blocks(struct ox__statement *st, struct ox__chdb_result *stream, struct ox__chdb_result *block,
            struct totals *totals)
{
    const struct ox__chdb *lib = &st->engine->lib;
    while (block != NULL) {
        bool sent = ox__conn_chunk(st->conn, bytes_of(lib, block));
        lib->destroy(block);
        if (!sent)
            return false;
        const char *error;
        block = fetch(st, stream, totals, &error, false);
        if (error != NULL) {
            break_with(st, error);
            lib->destroy(block);
            return false;
        }
    }
    return ox__conn_end(st->conn);
}

/* One block and no more is the common case: it gets a length and a complete summary. */
static void
stream_blocks(struct ox__statement *st, struct ox__chdb_result *stream, struct totals *totals)
{
    const struct ox__chdb *lib = &st->engine->lib;
    const char *error;
    struct ox__chdb_result *first = fetch(st, stream, totals, &error, true);
    if (error != NULL) {
        ox__reply_exception(st->conn, ox__exception_code(error), error);
        lib->destroy(first);
        return;
    }
    struct ox__chdb_result *second = first != NULL ? fetch(st, stream, totals, &error, false) : NULL;
    if (second == NULL || error != NULL) {
        if (error != NULL)
            ox__reply_exception(st->conn, ox__exception_code(error), error);
        else
            reply_complete(st, totals, first != NULL ? bytes_of(lib, first) : (struct ox_str){"", 0});
    } else {
        struct ox_buf headers = {0};
        append_headers(st, NULL, &headers);
        bool ok = ox__conn_begin(st->conn, content_type(st->format), &headers) &&
                  ox__conn_chunk(st->conn, bytes_of(lib, first));
        ox_buf_fini(&headers);
        if (!ok)
            lib->destroy(second);
        if (!ok || !send_blocks(st, stream, second, totals))
            lib->stream_cancel(*st->session, stream);
        second = NULL;
    }
    if (second != NULL)
        lib->destroy(second);
    if (first != NULL)
        lib->destroy(first);
}

void
ox__statement_reply_stream(struct ox__statement *st, struct ox_str sql)
{
    const struct ox__chdb *lib = &st->engine->lib;
    struct totals totals = {.started_ns = now_ns()};
    struct ox__chdb_result *stream =
        lib->stream_params(*st->session, sql.p, sql.n, st->format, strlen(st->format), st->names,
                           st->name_lens, st->values, st->value_lens, st->params_n);
    const char *error = lib->error(stream);
    if (error != NULL && strstr(error, "Streaming query is not supported") != NULL) {
        lib->destroy(stream);
        ox__statement_reply_whole(st, sql);
        return;
    }
    if (error != NULL)
        ox__reply_exception(st->conn, ox__exception_code(error), error);
    else
        stream_blocks(st, stream, &totals);
    lib->destroy(stream);
}
