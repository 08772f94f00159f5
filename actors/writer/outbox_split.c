/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/outbox_split.c - taking a refused block apart, see outbox_split.h.
 *
 * Owns:    the view of the block while it runs.
 * Threads: a dirty thread.
 * Bounds:  see outbox_split.h.
 * Fails:   what storage or the disk said; the try is repeated from where it stood.
 * Flow:    outbox_jobs.c -> here -> outbox_mark.c, native_view.c, actors/storage, the dead-letter file.
 *
 * Exactly once. The parts are always the same (halves, largest first, by row number), and each has the token
 * TOKEN/FROM-TO, so a part that is sent again is known. What was refused once is never sent again, since somebody may
 * have lifted the constraint meanwhile: it would be taken, under its own token, beside its parts that are there already.
 * Hence the order:
 *   1. ask storage for the block_id. All rows there: a view refused, the table did not, and nothing is sent again.
 *   2. the marker becomes durable: the whole was refused. From now on, also after a crash, only parts are sent.
 *   3. parts; each that is refused stands in the marker, durably, before a smaller one is sent. Rows that are alone and
 *      refused go to the dead-letter file, durably.
 *   4. the block is noted as stored, then the marker goes.
 * A crash between 3 and 4 writes dead letters a second time: block and row in the line tell.
 */
#include "actors/writer/outbox_split.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/writer/native_view.h"
#include "ox/compress.h"
#include "ox/dead_letter.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/otlp.h"
#include "ox/storage.h"

#define LETTERS_BYTES (4u << 20)
#define BLOCK_BYTES_MAX                                                                                      \
    (1u << 30) /* far above writer.block_bytes; the journal's checksum vouches for the bytes */

struct ox_outbox_split *
ox__outbox_split_new(const char *reason)
{
    struct ox_outbox_split *s = calloc(1, sizeof(*s));
    if (s != NULL)
        snprintf(s->reason, sizeof(s->reason), "%s", reason);
    return s;
}

void
ox__outbox_split_free(struct ox_outbox_split *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n_bad; i++)
        free(s->bad[i].reason);
    for (size_t i = 0; i < s->n_refused; i++)
        free(s->refused[i].reason);
    free(s->bad);
    free(s->refused);
    free(s->todo);
    free(s);
}

/* ---- parts ---- */

bool
ox__split_grow(void *array, size_t n, size_t *cap, size_t size)
{
    void **at = array;
    if (n < *cap)
        return true;
    size_t wanted = *cap != 0 ? *cap * 2 : 32;
    void *more = realloc(*at, wanted * size);
    if (more == NULL)
        return false;
    *at = more;
    *cap = wanted;
    return true;
}

static bool
push(struct ox_outbox_split *s, uint32_t from, uint32_t to)
{
    if (!ox__split_grow(&s->todo, s->n_todo, &s->cap_todo, sizeof(*s->todo)))
        return false;
    s->todo[s->n_todo++] = (struct ox__split_range){from, to};
    return true;
}

static bool
add_bad(struct ox_outbox_split *s, uint32_t row, const char *reason)
{
    if (!ox__split_grow(&s->bad, s->n_bad, &s->cap_bad, sizeof(*s->bad)))
        return false;
    char *copy = strdup(reason);
    if (copy == NULL)
        return false;
    s->bad[s->n_bad++] = (struct ox__split_bad){row, copy};
    return true;
}

/* Why an earlier run of the program was refused this part, or NULL. */
static const char *
refused_before(const struct ox_outbox_split *s, struct ox__split_range r)
{
    for (size_t i = 0; i < s->n_refused; i++) {
        if (s->refused[i].range.from == r.from && s->refused[i].range.to == r.to)
            return s->refused[i].reason;
    }
    return NULL;
}

/* What is refused: two halves, or one bad row. */
static bool
divide(struct ox_outbox_split *s, struct ox__split_range r, const char *reason)
{
    uint32_t middle = r.from + (r.to - r.from) / 2;
    if (r.to - r.from == 1)
        return add_bad(s, r.from, reason);
    size_t n = s->n_todo;
    if (push(s, r.from, middle) && push(s, middle, r.to))
        return true;
    s->n_todo = n;
    return false;
}

static ox_err
insert_part(struct ox_outbox_send *send, const struct ox__native_view *view, struct ox__split_range r)
{
    const struct ox_outbound *block = send->block;
    char token[OX_OUTBOX_TOKEN_BYTES + 24];
    struct ox_buf part = {0};
    ox__native_view_slice(view, r.from, r.to, &part);
    snprintf(token, sizeof(token), "%s/%u-%u", block->token, r.from, r.to);
    struct ox_storage_insert insert = {
        .table = ox_table_name(block->table),
        .columns = ox_table_columns(block->table),
        .token = token,
        .data = part.data,
        .len = part.len,
        .timeout_ms = send->timeout_ms,
    };
    ox_err err =
        part.failed ? OX_E_NOMEM : ox_storage_insert(send->node->storage, &insert, NULL, &send->diag);
    ox_buf_fini(&part);
    return err;
}

static bool
hopeless(const struct ox_outbox_split *s)
{
    return s->calls >= OX__SPLIT_CALLS_MAX || (s->calls >= OX__SPLIT_HOPELESS && s->stored == 0);
}

/* *why: the reason of a refusal, which is durable then; else NULL. */
static ox_err
try_part(struct ox_outbox_send *send, const struct ox__native_view *view, struct ox__split_range r,
         const char **why)
{
    *why = refused_before(send->block->split, r);
    if (*why != NULL)
        return OX_OK;
    ox_err err = insert_part(send, view, r);
    if (err != OX_E_STORAGE_REFUSED)
        return err;
    *why = send->diag.text;
    return ox__outbox_mark_refused(send, r);
}

static ox_err
send_parts(struct ox_outbox_send *send, const struct ox__native_view *view)
{
    struct ox_outbox_split *s = send->block->split;
    while (s->next < s->n_todo && !hopeless(s)) {
        struct ox__split_range r = s->todo[s->next];
        const char *why;
        ox_err err = try_part(send, view, r, &why);
        if (err != OX_OK)
            return err;
        if (why != NULL && !divide(s, r, why))
            return OX_E_NOMEM;
        s->stored += why == NULL ? r.to - r.from : 0;
        s->next++;
        s->calls++;
    }
    return OX_OK;
}

/* ---- what is not stored ---- */

static void
letter_line(const struct ox_outbox_send *send, const struct ox__native_view *view,
            const struct ox__split_bad *bad, struct ox_buf *out)
{
    const struct ox_outbound *block = send->block;
    uint64_t now_ns = ox_clock_realtime_ns(send->node->clock);
    struct ox_str tenant = {NULL, 0};
    char time[OX_RFC3339_LEN + 1];
    (void)!ox__native_view_text(view, "tenant_id", bad->row, &tenant);
    ox_clock_rfc3339(now_ns, time);
    ox_buf_printf(out, "{\"time\":\"%s\",\"time_ns\":\"%" PRIu64 "\",\"tenant\":", time, now_ns);
    ox_json_string(out, tenant);
    ox_buf_printf(out, ",\"signal\":\"%s\",\"reason\":\"refused_by_storage\",\"detail\":",
                  ox__outbox_signal_name(block->table));
    ox_json_string(out, ox_str_of(bad->reason));
    ox_buf_printf(out, ",\"table\":\"%s\",\"block\":\"%" PRIu64 "\",\"row\":%u,\"columns\":",
                  ox_table_name(block->table), block->block_id, bad->row);
    ox__native_view_json(view, bad->row, out);
    ox_buf_append_cstr(out, "}\n");
}

static ox_err
write_letters(struct ox_outbox_send *send, const struct ox__native_view *view)
{
    struct ox_outbox_split *s = send->block->split;
    struct ox_buf lines = {0};
    ox_err err = OX_OK;
    while (err == OX_OK && s->n_written < s->n_bad) {
        size_t n = s->n_written;
        ox_buf_reset(&lines);
        while (n < s->n_bad && lines.len < LETTERS_BYTES)
            letter_line(send, view, &s->bad[n++], &lines);
        err = lines.failed ? OX_E_NOMEM
                           : ox_dead_letter_append(send->node->dead_letters, ox_buf_str(&lines),
                                                   ox_clock_realtime_ns(send->node->clock), &send->diag);
        if (err == OX_OK)
            s->n_written = n;
    }
    ox_buf_fini(&lines);
    return err;
}

static void
count_row(const struct ox_outbox_send *send, const struct ox__native_view *view, uint32_t row)
{
    struct ox_str tenant = {NULL, 0};
    const char *signal = ox__outbox_signal_name(send->block->table);
    if (ox__outbox_is_record(send->block->table) && ox__native_view_text(view, "tenant_id", row, &tenant))
        OX_METRIC_ADD_L(OX_M_ingest_dropped, 1, tenant, ox_str_of(signal), OX_STR("invalid"));
}

/* Everything is durable: the rows are counted, once. */
static void
count_rows(struct ox_outbox_send *send, const struct ox__native_view *view)
{
    struct ox_outbox_split *s = send->block->split;
    send->dropped = (uint32_t)s->n_bad;
    for (size_t i = s->next; i < s->n_todo; i++)
        send->dropped += s->todo[i].to - s->todo[i].from;
    if (s->counted) /* the block came here again, since storage could not say what it has */
        return;
    s->counted = true;
    for (size_t i = 0; i < s->n_bad; i++)
        count_row(send, view, s->bad[i].row);
    for (size_t i = s->next; i < s->n_todo; i++) {
        for (uint32_t row = s->todo[i].from; row < s->todo[i].to; row++)
            count_row(send, view, row);
    }
    OX_METRIC_ADD_L(OX_M_outbox_refused_rows, send->dropped, ox_str_of(ox_table_name(send->block->table)));
}

/* Parts that were given up: the whole block is kept, with the numbers of the rows that are not in storage. */
static ox_err
keep_rest(struct ox_outbox_send *send)
{
    struct ox_outbox_split *s = send->block->split;
    struct ox_buf rows = {0};
    for (size_t i = s->next; i < s->n_todo; i++)
        ox_buf_printf(&rows, "%s%u-%u", i > s->next ? "," : "", s->todo[i].from, s->todo[i].to - 1);
    ox_buf_append(&rows, "", 1);
    ox_err err = rows.failed ? OX_E_NOMEM : ox__outbox_keep_block(send, s->reason, (const char *)rows.data);
    ox_buf_fini(&rows);
    return err;
}

static ox_err
finish(struct ox_outbox_send *send, const struct ox__native_view *view)
{
    struct ox_outbox_split *s = send->block->split;
    ox_err err = write_letters(send, view);
    if (err == OX_OK && s->next < s->n_todo)
        err = keep_rest(send);
    if (err == OX_OK)
        count_rows(send, view);
    return err;
}

/* ---- the whole ---- */

static ox_err
open_view(struct ox_outbox_send *send, struct ox_body **raw, struct ox__native_view **view)
{
    const struct ox_outbound *block = send->block;
    struct ox_str bytes = ox_buf_str(&block->bytes);
    if (block->zstd) {
        ox_err err =
            ox_decompress(OX_ENCODING_ZSTD, bytes.p, bytes.n, BLOCK_BYTES_MAX, NULL, raw, &send->diag);
        if (err != OX_OK)
            return err;
        bytes = (struct ox_str){(const char *)(*raw)->data, (*raw)->len};
    }
    return ox__native_view_new(bytes, view, &send->diag);
}

/* Nothing of it can be sent in parts: it is kept as it is. `stored` of its rows are in storage all the same. */
static ox_err
keep_whole(struct ox_outbox_send *send, uint64_t stored, const char *why)
{
    const struct ox_outbound *block = send->block;
    OX_LOG_ERROR("outbox", why, OX_F_STR("table", ox_table_name(block->table)), OX_F_U64("rows", block->rows),
                 OX_F_U64("rows_in_storage", stored), OX_F_U64("block_id", block->block_id),
                 OX_F_STR("reason", block->split->reason));
    ox_err err = ox__outbox_keep_block(send, block->split->reason, "all");
    if (err != OX_OK)
        return err;
    send->dropped = block->rows - (uint32_t)(stored < block->rows ? stored : block->rows);
    if (ox__outbox_is_record(block->table))
        OX_METRIC_ADD_L(OX_M_ingest_dropped, send->dropped, OX_STR(""),
                        ox_str_of(ox__outbox_signal_name(block->table)), OX_STR("invalid"));
    OX_METRIC_ADD_L(OX_M_outbox_refused_rows, send->dropped, ox_str_of(ox_table_name(block->table)));
    return OX_OK;
}

/* Step 1 and 2. *done: the block is settled already. */
static ox_err
prepare(struct ox_outbox_send *send, bool *done)
{
    struct ox_outbound *block = send->block;
    uint64_t arrived = 0;
    if (block->split->marked)
        return OX_OK;
    ox_err err =
        ox__outbox_arrived(send->node->storage, block->table, &block->block_id, 1, &arrived, &send->diag);
    if (err != OX_OK && ox_err_info(err)->retryable)
        return err;
    if (err != OX_OK)
        OX_LOG_WARN("outbox", "storage does not say whether a block that it refused is there",
                    OX_F_U64("block_id", block->block_id), OX_F_ERR(err), OX_F_DIAG(&send->diag));
    *done = arrived > 0;
    if (arrived >= block->rows) {
        OX_LOG_ERROR("outbox",
                     "storage refused a block that stands in its table: a view behind it is incomplete",
                     OX_F_STR("table", ox_table_name(block->table)), OX_F_U64("block_id", block->block_id),
                     OX_F_STR("reason", block->split->reason));
        return OX_OK;
    }
    if (arrived > 0)
        return keep_whole(send, arrived,
                          "storage refused a block and holds a part of it; it is kept in dlq/blocks");
    return ox__outbox_mark(send);
}

void
ox__outbox_split_run(struct ox_outbox_send *send)
{
    struct ox_outbox_split *s = send->block->split;
    struct ox__native_view *view = NULL;
    struct ox_body *raw = NULL;
    bool done = false;
    send->err = prepare(send, &done);
    if (send->err != OX_OK || done)
        return;
    ox_err err = open_view(send, &raw, &view);
    if (err == OX_E_NOMEM) {
        send->err = err;
    } else if (err != OX_OK) {
        send->err = keep_whole(send, 0, "a refused block cannot be taken apart; it is kept in dlq/blocks");
    } else {
        if (!s->begun) {
            struct ox__split_range all = {0, ox__native_view_rows(view)};
            s->begun = divide(s, all, s->reason);
        }
        send->err = s->begun ? send_parts(send, view) : OX_E_NOMEM;
        if (send->err == OX_OK)
            send->err = finish(send, view);
    }
    ox__native_view_free(view);
    ox_body_drop(raw);
}
