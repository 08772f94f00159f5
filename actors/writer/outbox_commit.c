/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/outbox_commit.c - blocks and notes of stored blocks become durable, and are accounted for.
 *
 * Owns:    packs that wait for the journal, ids that wait to be noted as stored.
 * Threads: the outbox actor's turns; the journal is written on its own lane.
 * Bounds:  one commit at a time; above FILL_REFUSE packs wait, and with them the writers, while blocks are unsent.
 * Fails:   what cannot be made durable is tried again; no memory is a panic.
 * Flow:    writer -outbox_put-> here -(lane)-> durable -disposed-> wal, -outboxed-> writer, blocks ->
 *          outbox_send.c; stored ids -(lane)-> noted -stored-> wal.
 */
#include <stdlib.h>
#include <string.h>

#include "actors/writer/outbox_internal.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/outbox_entry.h"
#include "ox/wal.h"

#define BYTES_MAX   (8u << 20) /* compressed: a second of full load */
#define NOTE_MAX    1024       /* ... or until there are so many; well below the deduplication window */
#define FILL_REFUSE 950        /* permille */

void
ox__outbox_note(struct ox_actor *self, struct ox__outbox *o, uint64_t block_id)
{
    if (o->n_stored == o->cap_stored) {
        uint32_t cap = o->cap_stored != 0 ? o->cap_stored * 2 : 64;
        uint64_t *more = realloc(o->stored, cap * sizeof(*more));
        if (more == NULL)
            ox_panic("no memory for the ids of stored blocks");
        o->stored = more;
        o->cap_stored = cap;
    }
    o->stored[o->n_stored++] = block_id;
    atomic_store_explicit(&o->node->outbox_notes, o->n_stored + o->noting, memory_order_relaxed);
    ox__outbox_tick(self, o->n_stored >= NOTE_MAX ? 0 : OX__OUTBOX_NOTE_MS, TICK_NOTE, &o->note_timer);
}

void
ox__outbox_commit(struct ox_actor *self, struct ox__outbox *o, bool note)
{
    /* Once all is stored, only more can make room: a segment waits for the log's segments that it accounts for, and
     * they may wait for the very rows that are in these packs. The gateway takes nothing new meanwhile. */
    bool full =
        o->blocks > 0 && atomic_load_explicit(&o->node->outbox_fill, memory_order_relaxed) >= FILL_REFUSE;
    uint32_t n_packs = full ? 0 : o->n_put;
    uint32_t n_stored = note || n_packs > 0 ? o->n_stored : 0;
    if (full && o->n_put > 0)
        ox__outbox_tick(self, OX__OUTBOX_RETRY_MS, TICK_COMMIT, &o->commit_timer);
    bool doubts = o->doubts_changed && (note || n_stored > 0);
    if (o->committing || (n_packs == 0 && n_stored == 0 && !doubts))
        return;
    struct ox_outbox_group *group = calloc(1, sizeof(*group));
    if (group == NULL || (group->seqs = calloc(n_packs + 1, sizeof(*group->seqs))) == NULL)
        ox_panic("no memory for a commit of the outbox");
    group->journal = o->journal;
    group->clock = o->node->clock;
    group->nonce = o->node->boot_nonce;
    if (n_packs > 0) {
        group->packs = o->put_head;
        group->n_packs = n_packs;
        o->put_head = o->put_tail = NULL;
        o->n_put = 0;
    }
    group->disk = o->node->disk;
    if (doubts) {
        if (ox__doubts_copy(&o->doubts, &group->doubts) != OX_OK)
            ox_panic("no memory for a commit of the outbox");
        group->save_doubts = true;
        group->doubts_path = o->doubts_path;
        o->doubts_changed = false;
    }
    if (n_stored > 0) {
        group->refused_dir = o->refused_dir;
        group->marks = o->marks;
        o->marks = NULL;
        group->stored = o->stored;
        group->n_stored = n_stored;
        o->noting = n_stored;
        o->stored = NULL;
        o->n_stored = o->cap_stored = 0;
    }
    if (ox_dirty_submit(self, o->lane, ox__outbox_commit_job, group, OX_K_outbox_committed,
                        ox__outbox_group_free, NULL) != OX_OK)
        ox_panic("the outbox's lane refused a commit");
    o->committing = true;
}

void
ox__on_outbox_put(struct ox_actor *self, struct ox__outbox *o, struct ox_msg *msg)
{
    struct ox_pack *pack = msg->data;
    msg->data = NULL;
    pack->next = NULL;
    if (o->put_tail != NULL)
        o->put_tail->next = pack;
    else
        o->put_head = pack;
    o->put_tail = pack;
    o->n_put++;
    ox__outbox_commit(self, o, false);
}

/* A node that stops ends the log's actor before this one; what it would have been told, the next start reads. */
static void
tell_log(const struct ox__outbox *o, struct ox_msg *msg, const char *of_what)
{
    msg->flags |= OX_MSG_F_CONTROL;
    if (ox_send(o->node->wal, &msg) == OX_OK)
        return;
    ox_msg_free(msg);
    if (ox_node_phase(o->node) != OX_NODE_STOPPING)
        ox_panic("the log does not take the accounts of %s", of_what);
}

/* A durable pack: its blocks join the queues, the log learns whose rows they are, the writer gets it back. */
static void
account_pack(struct ox_actor *self, struct ox__outbox *o, struct ox_pack *pack, uint64_t seq)
{
    struct ox_disposed *d = calloc(1, sizeof(*d));
    if (d == NULL)
        ox_panic("no memory for the accounts of a block");
    d->outbox_segment = ox_journal_segment_of(o->journal, seq);
    d->how = pack->how != 0 ? pack->how : OX_DISPOSED_STORED;
    d->tag = pack->tag;
    d->decides = pack->decided.n > 0;
    d->rows = pack->rows;
    pack->rows = (struct ox_contributions){0};
    for (size_t i = 0; i < pack->encoded.n_blocks; i++) {
        struct ox_encoded_block *eb = &pack->encoded.blocks[i];
        struct ox_outbound *block = calloc(1, sizeof(*block));
        if (block == NULL)
            ox_panic("no memory for a block");
        block->block_id = pack->block_id + i;
        block->outbox_seq = seq;
        block->index = (uint32_t)i;
        block->table = eb->table;
        block->rows = eb->rows;
        block->zstd = pack->level != 0;
        ox__outbox_token(o->node->boot_nonce, block->block_id, block->table, block->token);
        struct ox_buf *bytes = block->zstd ? &pack->packed[i] : &eb->native;
        if (o->bytes + bytes->len <= BYTES_MAX) {
            block->bytes = *bytes;
            block->held = true;
            o->bytes += bytes->len;
            ox_buf_init(bytes);
        }
        d->block_ids[d->n_blocks++] = block->block_id;
        o->blocks++;
        o->rows += block->rows;
        ox__outbox_push(o, block);
    }
    struct ox_msg *msg = ox_msg_new(OX_K_disposed, d, 0, ox_disposed_free);
    if (msg == NULL)
        ox_panic("no memory for the accounts of a block");
    tell_log(o, msg, "a block");
    /* Before the writer counts these rows as no longer its own, or a stopping node sees neither. */
    atomic_store_explicit(&o->node->outbox_blocks, o->blocks + o->n_put, memory_order_release);
    msg = ox_msg_new(OX_K_outboxed, pack, 0, ox_pack_free);
    if (msg == NULL)
        ox_panic("no memory for the return of a block");
    msg->flags |= OX_MSG_F_CONTROL;
    if (ox_send(pack->writer, &msg) != OX_OK)
        ox_msg_free(msg);
}

void
ox_disposed_free(void *arg)
{
    struct ox_disposed *d = arg;
    if (d == NULL)
        return;
    free(d->rows.items);
    free(d);
}

static void
account_stored(struct ox_actor *self, struct ox__outbox *o, const struct ox_outbox_group *group)
{
    struct ox_stored *s = malloc(sizeof(*s) + group->n_stored * sizeof(s->block_ids[0]));
    struct ox_msg *msg = s != NULL ? ox_msg_new(OX_K_stored, s, 0, free) : NULL;
    if (msg == NULL)
        ox_panic("no memory for the accounts of stored blocks");
    s->outbox_segment = group->stored_err == OX_OK ? ox_journal_segment_of(o->journal, group->stored_seq) : 0;
    s->n = group->n_stored;
    memcpy(s->block_ids, group->stored, group->n_stored * sizeof(s->block_ids[0]));
    tell_log(o, msg, "stored blocks");
}

void
ox__on_outbox_committed(struct ox_actor *self, struct ox__outbox *o, struct ox_msg *msg)
{
    struct ox_outbox_group *group = msg->data;
    struct ox_pack *again = NULL, **again_tail = &again;
    o->committing = false;
    o->noting = 0;
    ox_metric_observe(OX_M_outbox_write, group->seconds);
    for (uint32_t i = 0; group->packs != NULL; i++) {
        struct ox_pack *pack = group->packs;
        group->packs = pack->next;
        pack->next = NULL;
        if (pack->err == OX_OK) {
            account_pack(self, o, pack, group->seqs[i]);
            continue;
        }
        *again_tail = pack;
        again_tail = &pack->next;
        o->n_put++;
    }
    if (again != NULL) { /* in front of what came meanwhile */
        OX_LOG_ERROR("outbox", "blocks cannot be made durable; tried again", OX_F_ERR(again->err));
        *again_tail = o->put_head;
        if (o->put_head == NULL)
            o->put_tail = again;
        while (o->put_tail->next != NULL)
            o->put_tail = o->put_tail->next;
        o->put_head = again;
        ox__outbox_tick(self, OX__OUTBOX_RETRY_MS, TICK_COMMIT, &o->commit_timer);
    }
    if (group->doubts_err != OX_OK) {
        OX_LOG_ERROR("outbox",
                     "the list of blocks whose rollups may be wrong cannot be made durable; tried again",
                     OX_F_ERR(group->doubts_err));
        o->doubts_changed = true;
        ox__outbox_tick(self, OX__OUTBOX_NOTE_MS, TICK_NOTE, &o->note_timer);
    }
    /* Also without a durable note: on a full disk only the removal of what is stored makes room for one. Until there is
     * one, a restart sends those blocks again that are still here, and their tokens make nothing of it. */
    if (group->n_stored > 0)
        account_stored(self, o, group);
    for (uint32_t i = 0; group->stored_err != OX_OK && i < group->n_stored; i++)
        ox__outbox_note(self, o, group->stored[i]);
    while (group->stored_err != OX_OK && group->marks != NULL) { /* their blocks are not noted yet */
        struct ox_outbox_mark *mark = group->marks;
        group->marks = mark->next;
        mark->next = o->marks;
        o->marks = mark;
    }
    ox__outbox_publish(o);
    if (again == NULL)
        ox__outbox_commit(self, o, false);
    ox__outbox_pump(self, o);
}
