/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_sql.c - `observex sql`: SQL on the running embedded engine, for the owner of the data directory.
 *
 * Who can read DIR/secret may see all tenants and change everything; the same person could read the files. So that no
 * slip of the hand changes what the server relies on, statements run read-only unless --write is given.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Bounds:  STATEMENT_MAX from standard input; results stream in constant memory.
 * Fails:   OX_EXIT_FAILED with ClickHouse's message on stderr.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/heart.h"
#include "ox/storage.h"

#define STATEMENT_MAX (16u << 20)
/* An owner's statement may run as long as he likes to wait: an ALTER can take hours. */
#define PATIENCE_MS   (24u * 3600 * 1000)
#define CODE_READONLY 164

struct request {
    struct ox_str sql;
    const char *format;
    bool write;
};

static bool
on_chunk(void *arg, const void *bytes, size_t n)
{
    bool *broken = arg;
    *broken = fwrite(bytes, 1, n, stdout) != n;
    return !*broken; /* `| head` has seen enough */
}

static ox_err
read_statement(struct ox_buf *sql)
{
    for (;;) {
        uint8_t *room = sql->len <= STATEMENT_MAX ? ox_buf_reserve(sql, 65536) : NULL;
        if (room == NULL)
            return OX_E_TOO_LARGE;
        ssize_t n = read(STDIN_FILENO, room, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? OX_OK : OX_E_IO;
        sql->len += (size_t)n;
    }
}

/* The protocol takes one statement, and a semicolon at its end is habit, not a second one. */
static struct ox_str
without_semicolon(struct ox_str sql)
{
    while (sql.n > 0 && strchr(" \t\r\n;", sql.p[sql.n - 1]) != NULL)
        sql.n--;
    return sql;
}

/* What ClickHouse says, and what to do where it only says that it will not. */
static int
complain_refused(struct ox_str text, bool read_only)
{
    int code = ox_complain("%.*s", (int)text.n, text.p);
    if (read_only)
        fputs("observex: `observex sql` only reads: a statement that changes data or tables needs --write; "
              "what the "
              "server itself relies on (otel_*, schema_migrations) is better left alone\n",
              stderr);
    return code;
}

static int
run(struct ox_storage *st, const struct request *request)
{
    /* 2: everything may be set but this. */
    static const struct ox_storage_setting read_only[] = {{"readonly", "2"}};
    struct ox_storage_stats stats = {0};
    bool broken = false;
    int code = OX_EXIT_OK;
    struct ox_buf whole;
    struct ox_diag diag;
    ox_buf_init(&whole);
    struct ox_storage_query query = {.sql = request->sql,
                                     .format = request->format,
                                     .settings = read_only,
                                     .settings_n = request->write ? 0 : OX_COUNT(read_only),
                                     .exception = &whole};
    ox_diag_clear(&diag);
    ox_err err = ox_storage_stream(st, &query, on_chunk, &broken, &stats, &diag);
    if (fflush(stdout) != 0 || broken)
        code = OX_EXIT_FAILED;
    else if (err != OX_OK && whole.len > 0 && !whole.failed)
        code = complain_refused(ox_buf_str(&whole), !request->write && stats.code == CODE_READONLY);
    else if (err != OX_OK)
        code = ox_complain("%s", diag.text[0] != '\0' ? diag.text : ox_err_text(err));
    ox_buf_fini(&whole);
    return code;
}

static int
connect_and_run(const char *data, const struct request *request)
{
    char url[OX_CONFIG_STRING_MAX + 32];
    char secret[OX_SECRET_HEX + 1];
    struct ox_storage *st = NULL;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    if (ox_secret_read(data, secret, &diag) != OX_OK)
        return ox_complain("%s", diag.text);
    if (!ox_data_held(data)) /* one that was killed leaves its secret */
        return ox_complain("nothing runs on %s any more: start `observex serve --data %s`, or name the right "
                           "directory",
                           data, data);
    snprintf(url, sizeof(url), "unix:%s/engine.sock", data);
    const struct ox_storage_options options = {
        .url = url, .key = secret, .system_secret = secret, .request_timeout_ms = PATIENCE_MS};
    if (ox_storage_open(&options, &st, &diag) != OX_OK)
        return ox_complain("%s", diag.text);
    int code = run(st, request);
    ox_storage_close(st);
    explicit_bzero(secret, sizeof(secret));
    return code;
}

int
ox_cmd_sql(int argc, char **argv)
{
    const char *data = "./observex-data";
    struct request request = {.format = isatty(STDOUT_FILENO) ? "PrettyCompact" : "TabSeparated"};
    struct ox_buf text;
    const struct ox_flag flags[] = {
        {"data", &data, NULL}, {"format", &request.format, NULL}, {"write", NULL, &request.write}};
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), 1) != OX_OK)
        return OX_EXIT_USAGE;
    if (argc < 2)
        return ox_complain_usage("sql", "a statement is missing");
    ox_buf_init(&text);
    if (strcmp(argv[1], "-") != 0)
        ox_buf_append_cstr(&text, argv[1]);
    else if (read_statement(&text) != OX_OK) {
        ox_buf_fini(&text);
        return ox_complain("standard input cannot be read as a statement of up to %u MiB",
                           STATEMENT_MAX >> 20);
    }
    request.sql = without_semicolon(ox_buf_str(&text));
    int code = request.sql.n == 0 ? ox_complain_usage("sql", "the statement is empty")
                                  : connect_and_run(data, &request);
    ox_buf_fini(&text);
    return code;
}
