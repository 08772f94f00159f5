/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/outbox_actor.c - between full blocks and storage: durable first, then inserted, then noted.
 *
 * Owns:    packs that wait for the journal, blocks that wait for storage, ids that wait to be noted as stored.
 * Threads: one actor; the journal is written on its own lane, inserts run on dirty threads.
 * Bounds:  outbox.total_bytes on disk and BLOCKS_MAX blocks (above 95 % packs wait, the writers stop, the gateway
 *          refuses);
 *          BYTES_MAX of blocks in memory, the others are read back from the journal; inserts in flight.
 * Fails:   storage that is down, busy or slow is tried again for ever, 100 ms doubling to 30 s; a block that
 *          storage refuses REFUSALS_MAX times is kept as a file and counted.
 * Flow:    writer -outbox_put-> here -(lane)-> durable -disposed-> wal, -outboxed-> writer;
 *          -(dirty)-> storage -> noted (lane) -stored-> wal.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/writer/outbox_internal.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/outbox.h"
#include "ox/random.h"
#include "ox/wal.h"

#define BLOCKS_MAX     65536       /* not confirmed: each costs some hundred bytes of memory */
#define BYTES_MAX      (24u << 20) /* compressed: a second or two of full load */
#define TABLE_SENDS    2           /* inserts of one table at a time; more only fight for the same cores */
#define REFUSALS_MAX   3           /* a refusal may be an old schema or a mistake of ours: be sure first */
#define UNREADABLE_MAX 10          /* reads of a block whose bytes are damaged on disk */
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 30000
#define MIGRATE_QUICK                                                                                        \
    20 /* tries without growing waits: an engine that starts beside us needs a second or two */
#define NOTE_DELAY_MS 200  /* stored ids gather so long before they cost an fdatasync of their own */
#define NOTE_MAX      1024 /* ... or until there are so many; well below the deduplication window */
#define FULL_RETRY_MS 100
#define PUBLISH_MS    1000 /* the log removes our segments without telling us */
#define FILL_REFUSE   950  /* permille */
#define FILL_WARN     800

/* What a tick is for. */
enum { TICK_SEND, TICK_NOTE, TICK_COMMIT, TICK_MIGRATE, TICK_PUBLISH };

struct outbox {
    struct ox_node *node;
    struct ox_journal *journal;
    struct ox_lane *lane;
    const char *refused_dir;
    struct ox_random random; /* jitter */
    struct ox_pack *put_head, *put_tail;
    uint32_t n_put;
    bool committing;
    bool warned_full;
    struct ox_outbound *queue_head[OX_TABLE__COUNT], *queue_tail[OX_TABLE__COUNT];
    uint32_t sending[OX_TABLE__COUNT];
    uint32_t sending_all;
    uint64_t blocks, rows; /* not confirmed */
    uint64_t bytes;        /* of blocks in memory */
    uint64_t *stored;
    uint32_t n_stored, cap_stored;
    uint32_t noting; /* ids in the commit that runs */
    bool migrated, migrating;
    uint32_t migrate_failures; /* in a row */
    /* Each table backs off by itself: a block that storage cannot take must not hold the other tables back. */
    uint32_t failures[OX_TABLE__COUNT]; /* in a row */
    uint64_t retry_at_ns[OX_TABLE__COUNT];
    int next_table; /* who is looked at first */
    uint64_t send_timer, note_timer, commit_timer;
};

/* ---- queue ---- */

static void
push_back(struct outbox *o, struct ox_outbound *block)
{
    block->next = NULL;
    if (o->queue_tail[block->table] != NULL)
        o->queue_tail[block->table]->next = block;
    else
        o->queue_head[block->table] = block;
    o->queue_tail[block->table] = block;
}

static void
push_front(struct outbox *o, struct ox_outbound *block)
{
    block->next = o->queue_head[block->table];
    o->queue_head[block->table] = block;
    if (o->queue_tail[block->table] == NULL)
        o->queue_tail[block->table] = block;
}

static struct ox_outbound *
pop(struct outbox *o, enum ox_table table)
{
    struct ox_outbound *block = o->queue_head[table];
    o->queue_head[table] = block->next;
    if (block->next == NULL)
        o->queue_tail[table] = NULL;
    block->next = NULL;
    return block;
}

static void
publish(struct outbox *o)
{
    struct ox_journal_stats stats;
    ox_journal_stats(o->journal, &stats);
    uint64_t total = o->node->config->outbox_total_bytes;
    uint32_t fill = total != 0 ? (uint32_t)(stats.bytes * 1000 / total) : 0;
    uint32_t fill_blocks = (uint32_t)(o->blocks * 1000 / BLOCKS_MAX);
    fill = fill > fill_blocks ? fill : fill_blocks;
    atomic_store_explicit(&o->node->outbox_fill, fill, memory_order_relaxed);
    atomic_store_explicit(&o->node->outbox_blocks, o->blocks + o->n_put, memory_order_relaxed);
    atomic_store_explicit(&o->node->outbox_notes, o->n_stored + o->noting, memory_order_relaxed);
    atomic_store_explicit(&o->node->outbox_rows, o->rows, memory_order_relaxed);
    ox_metric_set(OX_M_outbox_bytes, (double)stats.bytes);
    ox_metric_set(OX_M_outbox_blocks, (double)o->blocks);
    ox_metric_set(OX_M_clickhouse_inflight, (double)o->sending_all);
    bool full = fill >= FILL_WARN;
    if (full && !o->warned_full)
        OX_LOG_WARN("outbox", "the outbox fills up: storage takes less than arrives",
                    OX_F_U64("bytes", stats.bytes), OX_F_U64("limit", total), OX_F_U64("blocks", o->blocks));
    o->warned_full = full;
}

static ox_err
take_recovered(struct outbox *o, const struct ox_recovery *rec)
{
    for (size_t i = 0; i < rec->n_blocks; i++) {
        const struct ox_pending_block *p = &rec->blocks[i];
        if (p->table >= OX_TABLE__COUNT) {
            OX_LOG_ERROR("outbox", "a block is for a table that this release does not know",
                         OX_F_U64("table", p->table), OX_F_U64("outbox_seq", p->outbox_seq));
            continue;
        }
        struct ox_outbound *block = calloc(1, sizeof(*block));
        if (block == NULL)
            return OX_E_NOMEM;
        block->block_id = p->block_id;
        block->outbox_seq = p->outbox_seq;
        block->index = p->index;
        block->table = (enum ox_table)p->table;
        block->rows = p->rows;
        o->blocks++;
        o->rows += p->rows;
        push_back(o, block);
    }
    if (rec->n_blocks > 0)
        OX_LOG_INFO("outbox", "blocks of the previous run are sent again", OX_F_U64("blocks", rec->n_blocks),
                    OX_F_U64("rows", o->rows));
    return OX_OK;
}

static void migrate(struct ox_actor *self, struct outbox *o);
static void tick(struct ox_actor *self, uint64_t after_ms, int what, uint64_t *timer);

static ox_err
outbox_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct outbox *o = ox_actor_state(self);
    struct ox_outbox_arg *a = arg;
    uint64_t seed = 0;
    if (a->journal == NULL)
        return ox_diag_set(diag, OX_E_STATE, "outbox", -1, "the list of unsent blocks ends with its actor");
    o->node = a->node;
    o->journal = a->journal;
    o->lane = a->lane;
    o->refused_dir = a->refused_dir;
    a->journal = NULL;
    ox_err err = ox_random_os(&seed, sizeof(seed));
    ox_random_seed(&o->random, seed);
    if (err == OX_OK)
        err = take_recovered(o, a->recovered);
    if (err != OX_OK)
        return ox_diag_set(diag, err, "outbox", -1, "the outbox cannot be set up: %s", ox_err_text(err));
    publish(o);
    tick(self, PUBLISH_MS, TICK_PUBLISH, NULL);
    migrate(self, o);
    return OX_OK;
}

static void
outbox_stop(struct ox_actor *self, enum ox_exit reason)
{
    struct outbox *o = ox_actor_state(self);
    for (int t = 0; t < OX_TABLE__COUNT; t++) {
        while (o->queue_head[t] != NULL)
            ox__outbound_free(pop(o, (enum ox_table)t));
    }
    while (o->put_head != NULL) {
        struct ox_pack *p = o->put_head;
        o->put_head = p->next;
        ox_pack_free(p);
    }
    free(o->stored);
}

static void
tick(struct ox_actor *self, uint64_t after_ms, int what, uint64_t *timer)
{
    if (timer != NULL && *timer != 0)
        return;
    uint64_t ref;
    if (ox_timer_start(self, after_ms, OX_K_outbox_tick, (uint64_t)what, timer != NULL ? timer : &ref) !=
        OX_OK)
        ox_panic("no timer for the outbox");
}

/* ---- storage trouble ---- */

static uint64_t
backoff_ms(struct outbox *o, uint32_t failures)
{
    uint32_t shift = failures < 9 ? failures : 9;
    uint64_t ms = (uint64_t)BACKOFF_MIN_MS << shift;
    if (ms > BACKOFF_MAX_MS)
        ms = BACKOFF_MAX_MS;
    return ms / 2 +
           ox_random_below(&o->random, ms / 2 + 1); /* half of it is jitter: nodes do not come back as one */
}

static void
storage_failed(struct outbox *o, enum ox_table table)
{
    uint64_t wait = backoff_ms(o, o->failures[table]);
    o->failures[table]++;
    o->retry_at_ns[table] = ox_now_ns() + wait * 1000000;
    ox_metric_set(OX_M_storage_up, 0);
}

static void
storage_works(struct outbox *o, enum ox_table table)
{
    if (o->failures[table] > 0)
        OX_LOG_INFO("outbox", "storage takes a table's blocks again", OX_F_STR("table", ox_table_name(table)),
                    OX_F_U64("blocks_waiting", o->blocks));
    o->failures[table] = 0;
    o->retry_at_ns[table] = 0;
    uint32_t failing = 0;
    for (int t = 0; t < OX_TABLE__COUNT; t++)
        failing += o->failures[t] > 0;
    ox_metric_set(OX_M_storage_up, failing == 0);
}

static void
migrate(struct ox_actor *self, struct outbox *o)
{
    if (o->migrated || o->migrating)
        return;
    struct ox_outbox_migration *m = calloc(1, sizeof(*m));
    if (m == NULL ||
        (m->storage = o->node->storage,
         ox_dirty_submit(self, NULL, ox__outbox_migrate_job, m, OX_K_outbox_migrated, free, NULL)) != OX_OK) {
        free(m);
        tick(self, BACKOFF_MIN_MS, TICK_MIGRATE, NULL);
        return;
    }
    o->migrating = true;
}

static void pump(struct ox_actor *self, struct outbox *o);

static void
on_outbox_migrated(struct ox_actor *self, struct outbox *o, struct ox_msg *msg)
{
    const struct ox_outbox_migration *m = msg->data;
    o->migrating = false;
    if (m->err != OX_OK) {
        OX_LOG_AT(o->migrate_failures < 5 ? OX_LOG_INFO : OX_LOG_ERROR, "outbox",
                  "storage is not ready for the schema yet", OX_F_ERR(m->err), OX_F_STR("at", m->diag.field),
                  OX_F_DIAG(&m->diag));
        o->migrate_failures++;
        tick(self,
             o->migrate_failures < MIGRATE_QUICK ? BACKOFF_MIN_MS
                                                 : backoff_ms(o, o->migrate_failures - MIGRATE_QUICK),
             TICK_MIGRATE, NULL);
        return;
    }
    o->migrated = true;
    atomic_store_explicit(&o->node->storage_migrated, true,
                          memory_order_release); /* pairs with /ready's acquire */
    OX_LOG_INFO("outbox", "the schema is up to date", OX_F_U64("applied", m->applied));
    ox_metric_set(OX_M_storage_up, 1);
    pump(self, o);
}

/* ---- sending ---- */

static bool
send_next(struct ox_actor *self, struct outbox *o, enum ox_table table)
{
    struct ox_outbound *block = pop(o, table);
    struct ox_outbox_send *send = calloc(1, sizeof(*send));
    if (send == NULL) {
        push_front(o, block);
        tick(self, FULL_RETRY_MS, TICK_SEND, &o->send_timer);
        return false;
    }
    *send = (struct ox_outbox_send){.node = o->node,
                                    .journal = o->journal,
                                    .refused_dir = o->refused_dir,
                                    .block = block,
                                    .give_up = block->tries + 1 >= REFUSALS_MAX};
    if (ox_dirty_submit(self, NULL, ox__outbox_send_job, send, OX_K_outbox_sent, ox__outbox_send_free,
                        NULL) != OX_OK) {
        free(send);
        push_front(o, block);
        tick(self, FULL_RETRY_MS, TICK_SEND, &o->send_timer);
        return false;
    }
    o->sending[table]++;
    o->sending_all++;
    return true;
}

static void
pump(struct ox_actor *self, struct outbox *o)
{
    uint32_t max = (uint32_t)o->node->config->writer_blocks_in_flight;
    uint64_t now = ox_now_ns(), again = UINT64_MAX;
    if (!o->migrated)
        return;
    int first = o->next_table++ % OX_TABLE__COUNT;
    for (int i = 0; i < OX_TABLE__COUNT; i++) {
        int t = (first + i) % OX_TABLE__COUNT;
        uint32_t sends = o->failures[t] > 0 ? 1 : TABLE_SENDS; /* one probe until the table is taken again */
        if (o->queue_head[t] != NULL && now < o->retry_at_ns[t]) {
            again = o->retry_at_ns[t] < again ? o->retry_at_ns[t] : again;
            continue;
        }
        while (o->queue_head[t] != NULL && o->sending[t] < sends && o->sending_all < max) {
            if (!send_next(self, o, (enum ox_table)t))
                return;
        }
    }
    if (again != UINT64_MAX) { /* the earliest counts: what was armed may be later */
        ox_timer_cancel(self, o->send_timer);
        o->send_timer = 0;
        tick(self, (again - now) / 1000000 + 1, TICK_SEND, &o->send_timer);
    }
}

static void
note_stored(struct ox_actor *self, struct outbox *o, uint64_t block_id)
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
    tick(self, o->n_stored >= NOTE_MAX ? 0 : NOTE_DELAY_MS, TICK_NOTE, &o->note_timer);
}

static void
settle(struct ox_actor *self, struct outbox *o, struct ox_outbound *block)
{
    o->blocks--;
    o->rows -= block->rows;
    if (block->held)
        o->bytes -= block->bytes.len;
    note_stored(self, o, block->block_id);
    ox__outbound_free(block);
}

static void
count_stored(const struct ox_outbox_send *send)
{
    static const enum ox_signal signal_of[OX_TABLE__COUNT] = {
        [OX_TABLE_TRACES] = OX_SIGNAL_TRACES,  [OX_TABLE_LOGS] = OX_SIGNAL_LOGS,
        [OX_TABLE_POINTS] = OX_SIGNAL_METRICS, [OX_TABLE_HISTOGRAMS] = OX_SIGNAL_METRICS,
        [OX_TABLE_SERIES] = OX_SIGNAL__COUNT,  [OX_TABLE_EXEMPLARS] = OX_SIGNAL__COUNT,
    };
    struct ox_str table = ox_str_of(ox_table_name(send->block->table));
    enum ox_signal signal = signal_of[send->block->table];
    ox_metric_observe_l(OX_M_storage_insert, &table, send->seconds);
    ox_metric_observe_l(OX_M_storage_block_rows, &table, send->block->rows);
    if (signal != OX_SIGNAL__COUNT) /* series and exemplars are no records of their own */
        OX_METRIC_ADD_L(OX_M_ingest_stored, send->block->rows, ox_str_of(ox_signal_name(signal)));
}

static void
on_send_failed(struct ox_actor *self, struct outbox *o, struct ox_outbox_send *send,
               struct ox_outbound *block)
{
    OX_METRIC_ADD_L(OX_M_storage_insert_failed, 1, ox_str_of(ox_table_name(block->table)),
                    ox_str_of(ox_err_info(send->err)->symbol));
    OX_LOG_WARN("outbox", "an insert failed and will be tried again",
                OX_F_STR("table", ox_table_name(block->table)), OX_F_U64("rows", block->rows),
                OX_F_ERR(send->err), OX_F_DIAG(&send->diag));
    block->tries += send->err == OX_E_STORAGE_REFUSED;
    block->unreadable += send->unread;
    if (!block->held)
        ox_buf_fini(&block->bytes);
    /* In front: a block in doubt is tried again before its token can leave the tables' window. */
    push_front(o, block);
    storage_failed(o, block->table);
}

static void
count_dropped(const struct ox_outbound *block, const char *reason)
{
    ox_metric_add(OX_M_outbox_refused, 1);
    OX_METRIC_ADD_L(OX_M_ingest_dropped, block->rows, OX_STR(""), ox_str_of(ox_table_name(block->table)),
                    ox_str_of(reason));
}

/* The disk gives the block's bytes back damaged, again and again: its rows are lost, and said to be. */
static void
on_unreadable(struct ox_actor *self, struct outbox *o, const struct ox_outbox_send *send,
              struct ox_outbound *block)
{
    OX_LOG_ERROR("outbox", "an acknowledged block cannot be read back from the outbox and is lost",
                 OX_F_STR("table", ox_table_name(block->table)), OX_F_U64("rows", block->rows),
                 OX_F_U64("block_id", block->block_id), OX_F_U64("outbox_seq", block->outbox_seq),
                 OX_F_ERR(send->err), OX_F_DIAG(&send->diag));
    count_dropped(block, "wal_error");
    settle(self, o, block);
}

static void
on_refused(struct ox_actor *self, struct outbox *o, const struct ox_outbox_send *send,
           struct ox_outbound *block)
{
    OX_LOG_ERROR("outbox", "storage refuses a block for its content; it is kept in dlq/blocks",
                 OX_F_STR("table", ox_table_name(block->table)), OX_F_U64("rows", block->rows),
                 OX_F_U64("block_id", block->block_id), OX_F_DIAG(&send->diag));
    count_dropped(block, "invalid");
    storage_works(o, block->table); /* it answered */
    settle(self, o, block);
}

static void
on_outbox_sent(struct ox_actor *self, struct outbox *o, struct ox_msg *msg)
{
    struct ox_outbox_send *send = msg->data;
    struct ox_outbound *block = send->block;
    send->block = NULL;
    o->sending[block->table]--;
    o->sending_all--;
    if (send->err == OX_OK) {
        send->block = block;
        count_stored(send);
        send->block = NULL;
        storage_works(o, block->table);
        settle(self, o, block);
    } else if (send->err == OX_E_STORAGE_REFUSED && send->give_up) {
        on_refused(self, o, send, block);
    } else if (send->unread && block->unreadable + 1 >= UNREADABLE_MAX) {
        on_unreadable(self, o, send, block);
    } else {
        on_send_failed(self, o, send, block);
    }
    publish(o);
    pump(self, o);
}

/* ---- the journal ---- */

static void
commit(struct ox_actor *self, struct outbox *o, bool note)
{
    bool full = atomic_load_explicit(&o->node->outbox_fill, memory_order_relaxed) >= FILL_REFUSE;
    uint32_t n_packs = full ? 0 : o->n_put;
    uint32_t n_stored = note || n_packs > 0 ? o->n_stored : 0;
    if (full && o->n_put > 0)
        tick(self, FULL_RETRY_MS, TICK_COMMIT, &o->commit_timer);
    if (o->committing || (n_packs == 0 && n_stored == 0))
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
    if (n_stored > 0) {
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

static void
on_outbox_put(struct ox_actor *self, struct outbox *o, struct ox_msg *msg)
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
    commit(self, o, false);
}

/* A durable pack: its blocks join the queues, the log learns whose rows they are, the writer gets it back. */
static void
account_pack(struct ox_actor *self, struct outbox *o, struct ox_pack *pack, uint64_t seq)
{
    struct ox_disposed *d = calloc(1, sizeof(*d));
    if (d == NULL)
        ox_panic("no memory for the accounts of a block");
    d->outbox_segment = ox_journal_segment_of(o->journal, seq);
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
        push_back(o, block);
    }
    struct ox_msg *msg = ox_msg_new(OX_K_disposed, d, 0, ox_disposed_free);
    if (msg == NULL)
        ox_panic("no memory for the accounts of a block");
    msg->flags |= OX_MSG_F_CONTROL;
    if (ox_send(o->node->wal, &msg) != OX_OK)
        ox_panic("the log does not take the accounts of a block");
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
account_stored(struct ox_actor *self, struct outbox *o, const struct ox_outbox_group *group)
{
    struct ox_stored *s = malloc(sizeof(*s) + group->n_stored * sizeof(s->block_ids[0]));
    struct ox_msg *msg = s != NULL ? ox_msg_new(OX_K_stored, s, 0, free) : NULL;
    if (msg == NULL)
        ox_panic("no memory for the accounts of stored blocks");
    s->outbox_segment = group->stored_err == OX_OK ? ox_journal_segment_of(o->journal, group->stored_seq) : 0;
    s->n = group->n_stored;
    memcpy(s->block_ids, group->stored, group->n_stored * sizeof(s->block_ids[0]));
    msg->flags |= OX_MSG_F_CONTROL;
    if (ox_send(o->node->wal, &msg) != OX_OK)
        ox_panic("the log does not take the accounts of stored blocks");
}

static void
on_outbox_committed(struct ox_actor *self, struct outbox *o, struct ox_msg *msg)
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
        tick(self, FULL_RETRY_MS, TICK_COMMIT, &o->commit_timer);
    }
    /* Also without a durable note: on a full disk only the removal of what is stored makes room for one. Until there is
     * one, a restart sends those blocks again that are still here, and their tokens make nothing of it. */
    if (group->n_stored > 0)
        account_stored(self, o, group);
    for (uint32_t i = 0; group->stored_err != OX_OK && i < group->n_stored; i++)
        note_stored(self, o, group->stored[i]);
    publish(o);
    if (again == NULL)
        commit(self, o, false);
    pump(self, o);
}

static void
on_outbox_tick(struct ox_actor *self, struct outbox *o, uint64_t what)
{
    switch (what) {
    case TICK_SEND:
        o->send_timer = 0;
        pump(self, o);
        break;
    case TICK_NOTE:
        o->note_timer = 0;
        if (o->committing && o->n_stored > 0)
            tick(self, NOTE_DELAY_MS, TICK_NOTE, &o->note_timer);
        else
            commit(self, o, true);
        break;
    case TICK_PUBLISH:
        publish(o);
        tick(self, PUBLISH_MS, TICK_PUBLISH, NULL);
        break;
    case TICK_COMMIT:
        o->commit_timer = 0;
        publish(o);
        commit(self, o, false);
        break;
    default:
        migrate(self, o);
    }
}

static void
outbox_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct outbox *o = ox_actor_state(self);
    switch (msg->kind) {
    case OX_K_outbox_put:
        on_outbox_put(self, o, msg);
        break;
    case OX_K_outbox_committed:
        on_outbox_committed(self, o, msg);
        break;
    case OX_K_outbox_sent:
        on_outbox_sent(self, o, msg);
        break;
    case OX_K_outbox_migrated:
        on_outbox_migrated(self, o, msg);
        break;
    case OX_K_outbox_tick:
        on_outbox_tick(self, o, msg->num);
        break;
    default:
        OX_LOG_WARN("outbox", "unknown message", OX_F_U64("kind", msg->kind));
    }
}

const struct ox_actor_class ox_outbox_class = {
    .name = "outbox",
    .state_size = sizeof(struct outbox),
    .on_start = outbox_start,
    .on_message = outbox_message,
    .on_stop = outbox_stop,
    .mailbox_msgs_max = 256, /* each writer has at most a handful of packs on the way */
    .pending_max = 256,
};
