/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/storage/insert.c - a block into a table, once.
 *
 * Owns:    nothing; the block is the caller's.
 * Threads: a dirty thread, blocking.
 * Bounds:  the insert's time-out.
 * Fails:   see include/ox/storage.h.
 * Flow:    actors/writer -> here -> storage_gate.c.
 *
 * The token makes a repeated block harmless, in the table and in the targets of its views, provided that all of
 * them keep a deduplication window. The settings that this rests on are sent with every insert, so that no
 * default of a server can undo it.
 */
#include "actors/storage/storage.h"

#define INSERT_TIMEOUT_MS 120000

static const struct ox_storage_setting pinned[] = {
    {"insert_deduplicate", "1"},
    {"deduplicate_blocks_in_dependent_materialized_views", "1"},
    /* A view that fails must fail the insert: it is repeated, and completes. */
    {"materialized_views_ignore_errors", "0"},
    {"async_insert", "0"},
    /* The order of rows must not depend on the number of cores, or blocks would be cut differently. */
    {"max_insert_threads", "1"},
};

/* Only the embedded engine turns an insert into INSERT SELECT, which it deduplicates only by token; an older
 * server would not know these. */
static const struct ox_storage_setting pinned_embedded[] = {
    {"deduplicate_insert", "enable"},
    {"deduplicate_insert_select", "force_enable"},
};

static void
add_settings(struct ox__call *call, const struct ox_storage_setting *settings, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ox__call_param(call, "", settings[i].name, ox_str_of(settings[i].value));
}

static const char *
coding_name(enum ox_storage_encoding encoding)
{
    static const char *const names[] = {NULL, "zstd", "gzip", "deflate"};
    OX_ASSERT((unsigned)encoding < OX_COUNT(names));
    return names[encoding];
}

static void
add_statement(struct ox__call *call, const struct ox_storage_insert *insert)
{
    struct ox_buf sql = {0};
    ox_buf_printf(&sql, "INSERT INTO %s", insert->table);
    if (insert->columns != NULL)
        ox_buf_printf(&sql, " (%s)", insert->columns);
    ox_buf_printf(&sql, " FORMAT %s", insert->format != NULL ? insert->format : "Native");
    ox__call_param(call, "", "query", ox_buf_str(&sql));
    call->url.failed |= sql.failed;
    ox_buf_fini(&sql);
}

ox_err
ox_storage_insert(struct ox_storage *st, const struct ox_storage_insert *insert,
                  struct ox_storage_stats *stats, struct ox_diag *diag)
{
    struct ox__call call;
    ox__call_begin(&call, st, NULL);
    add_statement(&call, insert);
    if (!st->plain)
        add_settings(&call, pinned, OX_COUNT(pinned));
    if (!st->plain && st->socket_path != NULL && insert->token != NULL)
        add_settings(&call, pinned_embedded, OX_COUNT(pinned_embedded));
    if (insert->token != NULL && !st->plain)
        ox__call_param(&call, "", "insert_deduplication_token", ox_str_of(insert->token));
    add_settings(&call, insert->settings, insert->settings_n);
    call.body = insert->data;
    call.body_len = insert->len;
    call.content_encoding = coding_name(insert->encoding);
    call.timeout_ms = insert->timeout_ms != 0 ? insert->timeout_ms : INSERT_TIMEOUT_MS;
    call.insert = true;
    ox_err err = ox__gate_perform(&call, diag);
    if (stats != NULL)
        *stats = call.stats;
    ox__call_fini(&call);
    return err;
}
