/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/outbox_jobs.c - what the outbox does on dirty threads: make blocks durable, insert them,
 * apply the schema.
 *
 * Owns:    the job's argument while it runs.
 * Threads: dirty threads; commits one at a time on the outbox's lane, inserts beside one another.
 * Fails:   each job carries its error back.
 */
#include "actors/writer/outbox_split.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/disk.h"
#include "ox/log.h"
#include "ox/outbox_entry.h"
#include "ox/parts.h"
#include "ox/schema.h"
#include "ox/storage.h"

#define AGAIN_MAX 8u /* tokens for one block; each but the last met a crash in a window of microseconds */

void
ox__outbound_free(struct ox_outbound *block)
{
    if (block == NULL)
        return;
    ox_buf_fini(&block->bytes);
    ox__outbox_split_free(block->split);
    free(block);
}

void
ox__outbox_group_free(void *arg)
{
    struct ox_outbox_group *group = arg;
    while (group->packs != NULL) {
        struct ox_pack *pack = group->packs;
        group->packs = pack->next;
        ox_pack_free(pack);
    }
    while (group->marks != NULL) {
        struct ox_outbox_mark *mark = group->marks;
        group->marks = mark->next;
        free(mark);
    }
    ox__doubts_free(&group->doubts);
    free(group->seqs);
    free(group->stored);
    free(group);
}

void
ox__outbox_send_free(void *arg)
{
    struct ox_outbox_send *send = arg;
    ox__outbound_free(send->block);
    free(send);
}

void
ox__outbox_token(uint64_t nonce, uint64_t block_id, enum ox_table table, char out[OX_OUTBOX_TOKEN_BYTES])
{
    snprintf(out, OX_OUTBOX_TOKEN_BYTES, "ox-%016" PRIx64 "-%" PRIx64 "-%d", nonce, block_id, (int)table);
}

/* ---- commit ---- */

static ox_err
add_blocks(struct ox_outbox_builder *b, const struct ox_pack *pack, uint64_t nonce)
{
    for (size_t i = 0; i < pack->encoded.n_blocks; i++) {
        const struct ox_encoded_block *eb = &pack->encoded.blocks[i];
        const struct ox_buf *bytes = pack->level != 0 ? &pack->packed[i] : &eb->native;
        char token[OX_OUTBOX_TOKEN_BYTES];
        ox__outbox_token(nonce, pack->block_id + i, eb->table, token);
        struct ox_outbox_block block = {
            .table = (uint16_t)eb->table,
            .compression = pack->level != 0 ? OX_OUTBOX_ZSTD : OX_OUTBOX_PLAIN,
            .partition = pack->encoded.partition,
            .block_id = pack->block_id + (uint64_t)i,
            .rows = eb->rows,
            .raw_len = pack->raw_len[i],
            .token = ox_str_of(token),
            .bytes = ox_buf_str(bytes),
        };
        ox_err err = ox_outbox_add_block(b, &block);
        if (err != OX_OK)
            return err;
    }
    return OX_OK;
}

static ox_err
append_pack(struct ox_outbox_group *group, struct ox_outbox_builder *b, const struct ox_pack *pack,
            uint64_t *seq)
{
    ox_outbox_builder_init(b, OX_OUTBOX_BLOCKS);
    ox_err err = add_blocks(b, pack, group->nonce);
    enum ox_disposition how = pack->how != 0 ? pack->how : OX_DISPOSED_STORED;
    for (size_t i = 0; err == OX_OK && i < pack->rows.n; i++) {
        const struct ox_contribution *c = &pack->rows.items[i];
        err = ox_outbox_add_disposition(b, c->seq, c->from, c->to, c->how != 0 ? c->how : how);
    }
    for (size_t i = 0; err == OX_OK && i < pack->decided.n; i++) {
        const struct ox_decided *d = &pack->decided.items[i];
        err = ox_outbox_add_decision(b, ox_str_of(d->tenant->id.name), &d->decision);
    }
    const struct iovec *iov;
    int n;
    if (err == OX_OK)
        err = ox_outbox_builder_finish(b, &iov, &n, NULL);
    if (err == OX_OK)
        err = ox_journal_append(group->journal, iov, n, (int64_t)ox_clock_realtime_ns(group->clock), seq);
    return err;
}

static ox_err
append_stored(struct ox_outbox_group *group, struct ox_outbox_builder *b)
{
    ox_outbox_builder_init(b, OX_OUTBOX_STORED);
    ox_err err = OX_OK;
    for (uint32_t i = 0; i < group->n_stored && err == OX_OK; i++)
        err = ox_outbox_add_stored(b, group->stored[i]);
    const struct iovec *iov;
    int n;
    if (err == OX_OK)
        err = ox_outbox_builder_finish(b, &iov, &n, NULL);
    if (err == OX_OK)
        err = ox_journal_append(group->journal, iov, n, (int64_t)ox_clock_realtime_ns(group->clock),
                                &group->stored_seq);
    return err;
}

/* Entries at or above durable_seq did not become durable. */
static void
fail_from(struct ox_outbox_group *group, uint64_t durable_seq, ox_err err)
{
    uint32_t i = 0;
    for (struct ox_pack *p = group->packs; p != NULL; p = p->next, i++) {
        if (p->err == OX_OK && group->seqs[i] >= durable_seq)
            p->err = err;
    }
    if (group->stored_err == OX_OK && group->stored_seq >= durable_seq)
        group->stored_err = err;
}

void
ox__outbox_commit_job(void *arg)
{
    struct ox_outbox_group *group = arg;
    uint64_t start_ns = ox_clock_monotonic_ns(group->clock), durable_seq = 0;
    struct ox_outbox_builder *builders = calloc(group->n_packs + 1, sizeof(*builders));
    uint32_t i = 0;
    for (struct ox_pack *p = group->packs; p != NULL; p = p->next, i++)
        p->err = builders != NULL ? append_pack(group, &builders[i], p, &group->seqs[i]) : OX_E_NOMEM;
    if (group->save_doubts)
        group->doubts_err = ox__doubts_save(group->disk, group->doubts_path, &group->doubts);
    if (group->n_stored > 0 && group->doubts_err != OX_OK)
        group->stored_err = group->doubts_err;
    else if (group->n_stored > 0)
        group->stored_err = builders != NULL ? append_stored(group, &builders[i++]) : OX_E_NOMEM;
    group->err = ox_journal_commit(group->journal, &durable_seq);
    if (group->err != OX_OK)
        fail_from(group, durable_seq, group->err);
    for (struct ox_outbox_mark *m = group->marks; m != NULL && group->stored_err == OX_OK; m = m->next)
        ox__outbox_split_unmark(group->disk, group->refused_dir, m->token);
    while (builders != NULL && i > 0)
        ox_outbox_builder_fini(&builders[--i]);
    free(builders);
    group->seconds = (double)(ox_clock_monotonic_ns(group->clock) - start_ns) / 1e9;
}

/* ---- send ---- */

static ox_err
load_bytes(struct ox_outbox_send *send)
{
    struct ox_outbound *block = send->block;
    struct ox_buf payload;
    struct ox_outbox_entry entry;
    ox_buf_init(&payload);
    ox_err err = ox_journal_read(send->journal, block->outbox_seq, &payload, NULL);
    if (err == OX_OK)
        err = ox_outbox_entry_decode(ox_buf_str(&payload), &entry, &send->diag);
    if (err == OX_OK) {
        if (block->index >= entry.n_blocks || entry.blocks[block->index].block_id != block->block_id) {
            err = ox_diag_set(&send->diag, OX_E_CORRUPT, NULL, -1, "the outbox entry holds another block");
        } else {
            const struct ox_outbox_block *b = &entry.blocks[block->index];
            block->zstd = b->compression == OX_OUTBOX_ZSTD;
            snprintf(block->token, sizeof(block->token), "%.*s", (int)b->token.n, b->token.p);
            ox_buf_append_str(&block->bytes, b->bytes);
            err = block->bytes.failed ? OX_E_NOMEM : OX_OK;
        }
        ox_outbox_entry_fini(&entry);
    }
    ox_buf_fini(&payload);
    return err;
}

static ox_err
write_file(struct ox_disk *disk, const char *path, struct ox_str bytes)
{
    int fd;
    ox_err err = ox_disk_open(disk, path, OX_DISK_WRITE | OX_DISK_CREATE | OX_DISK_TRUNCATE, 0600, &fd);
    if (err != OX_OK)
        return err;
    err = ox_disk_write_all(disk, fd, bytes.p, bytes.n, 0);
    if (err == OX_OK)
        err = ox_disk_fdatasync(disk, fd);
    ox_disk_close(disk, fd);
    return err;
}

ox_err
ox__outbox_keep_block(struct ox_outbox_send *send, const char *reason, const char *rows)
{
    struct ox_disk *disk = send->node->disk;
    const struct ox_outbound *block = send->block;
    char path[OX_DISK_PATH_MAX];
    struct ox_buf why = {0};
    snprintf(path, sizeof(path), "%s/%016" PRIx64 ".%s.native%s", send->refused_dir, block->block_id,
             ox_table_name(block->table), block->zstd ? ".zst" : "");
    ox_buf_printf(&why,
                  "table %s\nrows %u\nnot stored %s\ncolumns see the file's own header (Native format)\n"
                  "reason %s\n",
                  ox_table_name(block->table), block->rows, rows, reason);
    ox_err err = why.failed ? OX_E_NOMEM : ox_disk_ensure_dir(disk, send->refused_dir);
    if (err == OX_OK)
        err = write_file(disk, path, ox_buf_str(&block->bytes));
    strncat(path, ".txt", sizeof(path) - strlen(path) - 1);
    if (err == OX_OK)
        err = write_file(disk, path, ox_buf_str(&why));
    ox_buf_fini(&why);
    return err == OX_OK ? ox_disk_fsync_dir(disk, send->refused_dir) : err;
}

static enum ox_signal
signal_of(enum ox_table table)
{
    static const enum ox_signal signals[OX_TABLE__COUNT] = {
        [OX_TABLE_TRACES] = OX_SIGNAL_TRACES,     [OX_TABLE_LOGS] = OX_SIGNAL_LOGS,
        [OX_TABLE_POINTS] = OX_SIGNAL_METRICS,    [OX_TABLE_HISTOGRAMS] = OX_SIGNAL_METRICS,
        [OX_TABLE_SERIES] = OX_SIGNAL_METRICS,    [OX_TABLE_EXEMPLARS] = OX_SIGNAL_METRICS,
        [OX_TABLE_SPAN_STATS] = OX_SIGNAL_TRACES,
    };
    return signals[table];
}

bool
ox__outbox_is_record(enum ox_table table)
{
    return table != OX_TABLE_SERIES && table != OX_TABLE_EXEMPLARS && table != OX_TABLE_SPAN_STATS;
}

const char *
ox__outbox_signal_name(enum ox_table table)
{
    return ox_signal_name(signal_of(table));
}

static ox_err
insert_whole(struct ox_outbox_send *send, const char *token)
{
    const struct ox_outbound *block = send->block;
    struct ox_storage_insert insert = {
        .table = ox_table_name(block->table),
        .columns = ox_table_columns(block->table),
        .token = token,
        .data = block->bytes.data,
        .len = block->bytes.len,
        .encoding = block->zstd ? OX_STORAGE_ZSTD : OX_STORAGE_PLAIN,
        .timeout_ms = send->timeout_ms,
    };
    struct ox_storage_stats stats = {0};
    ox_err err = ox_storage_insert(send->node->storage, &insert, &stats, &send->diag);
    send->block->in_doubt |= stats.retried; /* a yes may be the second answer: "that token is known" */
    return err;
}

/*
 * ClickHouse notes a token and then names the part. A kill between the two leaves the token without its rows, and the
 * block is taken for a repeat. What is not there cannot be doubled, so it goes in under a token of its own; and under
 * another one when that has the same fate. Each time storage has said yes to the token before, so an insert under that
 * one which is still on its way somewhere adds nothing when it arrives.
 */
static void
insert_again(struct ox_outbox_send *send, unsigned attempt, uint64_t *rows)
{
    const struct ox_outbound *block = send->block;
    char token[OX_OUTBOX_TOKEN_BYTES + 16];
    int n = snprintf(token, sizeof(token), "%s-again", block->token);
    if (attempt > 1)
        snprintf(token + n, sizeof(token) - (size_t)n, "-%u", attempt);
    OX_LOG_WARN("outbox", "storage knows the token of a block of the previous run but has no rows of it",
                OX_F_STR("table", ox_table_name(block->table)), OX_F_U64("block_id", block->block_id),
                OX_F_U64("rows", block->rows));
    send->err = insert_whole(send, token);
    if (send->err == OX_OK)
        send->err =
            ox__outbox_arrived(send->node->storage, block->table, &block->block_id, 1, rows, &send->diag);
}

/* A block whose id can be read may have other columns that cannot. A server that refuses the question is believed. */
static ox_err
is_sound(struct ox_outbox_send *send)
{
    const struct ox_outbound *block = send->block;
    ox_err err =
        ox_parts_block_sound(send->node->storage, ox_table_name(block->table), block->block_id, &send->diag);
    bool refused = err != OX_OK && err != OX_E_STORAGE_DAMAGED && ox__outbox_answered(send->node, err);
    return refused ? OX_OK : err;
}

/* What may have been sent before is there once now, or somebody must hear of it. */
static void
count_again(struct ox_outbox_send *send)
{
    const struct ox_outbound *block = send->block;
    uint64_t rows = 0, want = block->rows - send->dropped;
    if (ox_schema_tables[block->table].idempotent)
        return;
    ox_err err =
        ox__outbox_arrived(send->node->storage, block->table, &block->block_id, 1, &rows, &send->diag);
    if (err != OX_OK) {
        bool asked = ox__outbox_answered(send->node, err);
        /* The question is ours and always the same: storage refuses it when it cannot read what it has (an empty file of a
         * part), and this block may be what is damaged. It is let go when it has been counted. */
        if (err == OX_E_STORAGE_REFUSED)
            send->err = OX_E_STORAGE_BUSY;
        else if (ox_err_info(err)->retryable && (!asked || ++send->block->uncounted < OX__OUTBOX_ASK_MAX))
            send->err = err; /* sent again under its token, and counted then */
        else
            OX_LOG_WARN("outbox", "storage does not say whether a block is there; its token must do",
                        OX_F_STR("table", ox_table_name(block->table)), OX_F_U64("block_id", block->block_id),
                        OX_F_ERR(err), OX_F_DIAG(&send->diag));
        return;
    }
    for (unsigned k = 1;
         k <= AGAIN_MAX && send->err == OX_OK && rows == 0 && want > 0 && block->split == NULL; k++)
        insert_again(send, k, &rows);
    if (send->err == OX_OK && rows == want)
        send->err = is_sound(send);
    if (send->err != OX_OK || rows == want)
        return;
    ox__outbox_count_found(block->table, "wrong");
    OX_LOG_ERROR("outbox", "a block of the previous run was sent again, and its rows are not there once",
                 OX_F_STR("table", ox_table_name(block->table)), OX_F_U64("block_id", block->block_id),
                 OX_F_U64("rows", want), OX_F_U64("rows_in_storage", rows));
}

/* ClickHouse may say yes to an insert although a write for it has failed (seen: a part with empty files, active, and no
 * exception). It counts its errors all the same; when it has met some meanwhile the block is in doubt. */
static void
look_for_trouble(struct ox_outbox_send *send, uint64_t before)
{
    uint64_t now = 0;
    ox_err err = ox_parts_errors(send->node->storage, &now, &send->diag);
    if (err == OX_OK) {
        atomic_store_explicit(&send->node->engine_errors, now, memory_order_relaxed);
        send->block->in_doubt |= now != 0 && now != before;
    } else if (ox__outbox_answered(send->node, err)) {
        send->block->in_doubt = true;
    } else {
        send->err = err; /* in doubt, too, and sent again */
    }
}

/* A loss of power takes tokens that storage has noted and not synced, and leaves the rows, which it has: the block would
 * be there twice. Its views may lack it: outbox_verify.c looks. */
static bool
is_there_without_token(const struct ox_outbox_send *send)
{
    const struct ox_outbound *block = send->block;
    return send->node->machine_restarted && block->recovered && !block->marked && block->split == NULL &&
           block->arrived == block->rows;
}

static void
insert(struct ox_outbox_send *send)
{
    struct ox_outbound *block = send->block;
    if (block->split == NULL) {
        send->err = insert_whole(send, block->token);
        if (send->err != OX_E_STORAGE_REFUSED || !send->take_apart)
            return;
        block->split = ox__outbox_split_new(send->diag.text);
        if (block->split == NULL) {
            send->err = OX_E_NOMEM;
            return;
        }
    }
    ox__outbox_split_run(send);
}

void
ox__outbox_send_job(void *arg)
{
    struct ox_outbox_send *send = arg;
    struct ox_outbound *block = send->block;
    uint64_t start_ns = ox_clock_monotonic_ns(send->node->clock);
    ox_diag_clear(&send->diag);
    send->err = block->bytes.len > 0 ? OX_OK : load_bytes(send);
    if (send->err != OX_OK) {
        send->unread =
            ox_err_info(send->err)->class != OX_CLASS_busy && ox_err_info(send->err)->class != OX_CLASS_io;
        return;
    }
    if (block->recovered &&
        block->split == NULL) /* begun by an earlier run: it is never sent as a whole again */
        send->err = ox__outbox_split_resume(send, &block->split);
    if (send->err == OX_OK && !is_there_without_token(send)) {
        uint64_t errors =
            atomic_load_explicit(&send->node->engine_errors, memory_order_relaxed); /* before it begins */
        insert(send);
        if (send->err == OX_OK && ox__outbox_embedded(send->node))
            look_for_trouble(send, errors);
        if (send->err == OX_OK && (block->recovered || block->in_doubt))
            count_again(send);
    }
    send->seconds = (double)(ox_clock_monotonic_ns(send->node->clock) - start_ns) / 1e9;
}

void
ox__outbox_migrate_job(void *arg)
{
    struct ox_outbox_migration *m = arg;
    ox_diag_clear(&m->diag);
    m->err = ox_storage_migrate(m->storage, ox_schema_clickhouse, ox_schema_clickhouse_count, &m->applied,
                                &m->diag);
}
