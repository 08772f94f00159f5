/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/writer_actor.c - collects the rows of one signal into blocks.
 *
 * Owns:    one open block per partition, parcels that wait for room, the memory of written series.
 * Threads: one actor per signal; finishing and compressing a block runs on a dirty thread.
 * Bounds:  writer.partitions open blocks; PACKS_MAX blocks between full and durable, beyond which parcels
 *          wait here and hold their permits, so that the gateway refuses new work.
 * Fails:   no memory is a panic: the log still holds every row.
 * Flow:    tenant -rows-> here -(dirty: encode, compress)-> -outbox_put-> outbox -outboxed-> here.
 *
 * A block is finished when it is full or writer.flush old. While earlier blocks of this writer are still on
 * their way, a block that is merely old stays open and grows: the size of blocks follows the load.
 */
#include <stdlib.h>

#include "actors/writer/pack.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/share.h"
#include "ox/spine.h"

#define PACKS_MAX                                                                                            \
    1 /* a block takes 60 ms to pack and some to sync; the next fills meanwhile. Each holds 50 MB */
#define RETRY_MS    5
#define RANGES_MAX  (OX_OUTBOX_DISPOSITIONS_MAX / 4) /* of one pack; one request may overshoot */
#define DECIDED_MAX (OX_OUTBOX_DECISIONS_MAX / 4)    /* likewise */
#define ROW_NS      500                              /* what a row counts as where tenants take turns */
#define PARTS_MAX   64 /* partitions of one batch without an allocation; the default window spans 26 hours */
#define SPARES_MAX  PACKS_MAX
/* While storage is busy, blocks may grow older before they are finished: by writer.flush once more for each block
 * that it has not confirmed. Rows in few large blocks cost storage half of what they cost in many small ones, and
 * long outages leave few blocks behind. */
#define FLUSH_MAX_MS  30000
#define FLUSH_LOOK_MS 50 /* how often an old block looks whether storage is free again */

struct open_block {
    struct ox_pack *pack; /* its builder is open */
    uint64_t opened_ns;
};

struct writer {
    struct ox_node *node;
    const struct ox_config *config; /* in force for this turn */
    enum ox_signal signal;
    struct ox_series_cache *series;
    struct open_block *open; /* partitions_max of them */
    uint32_t n_open, partitions_max;
    struct ox_pack *spares[SPARES_MAX]; /* empty, with memory to reuse */
    uint32_t n_spares;
    uint32_t packs;                        /* between full and durable */
    struct ox_pack *full_head, *full_tail; /* full, no dirty thread could take them yet */
    struct ox_pack *done_head, *done_tail; /* encoded, the outbox could not take them yet */
    struct ox_share waiting;               /* parcels, by tenant */
    /* of the parcels that are added together; NULL = nothing was decided of them */
    const struct ox_decided_list *decided;
    uint64_t chain; /* counts those */
    uint64_t flush_timer;
    uint64_t retry_timer;
};

static void
release_state(void *arg)
{
    struct writer *w = arg;
    uint32_t tenant;
    for (struct ox_parcel *p; (p = ox_share_pop(&w->waiting, &tenant, NULL)) != NULL;)
        ox_parcel_free(p);
    ox_share_fini(&w->waiting);
    while (w->full_head != NULL) {
        struct ox_pack *p = w->full_head;
        w->full_head = p->next;
        ox_pack_free(p);
    }
    while (w->done_head != NULL) {
        struct ox_pack *p = w->done_head;
        w->done_head = p->next;
        ox_pack_free(p);
    }
    for (uint32_t i = 0; i < w->n_open; i++)
        ox_pack_free(w->open[i].pack);
    for (uint32_t i = 0; i < w->n_spares; i++)
        ox_pack_free(w->spares[i]);
    free(w->open);
    ox_series_cache_free(w->series);
}

static ox_err
writer_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct writer *w = ox_actor_state(self);
    const struct ox_writer_arg *a = arg;
    w->node = a->node;
    w->config = ox_node_config(a->node);
    w->signal = a->signal;
    w->partitions_max = (uint32_t)w->node->config->writer_partitions_max;
    if (ox_share_init(&w->waiting, offsetof(struct ox_parcel, next)) != OX_OK)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for the writer of %s",
                           ox_signal_name(w->signal));
    w->open = calloc(w->partitions_max, sizeof(*w->open));
    if (w->signal == OX_SIGNAL_METRICS)
        w->series = ox_series_cache_new((size_t)w->node->config->writer_series_cache);
    if (w->open == NULL || (w->signal == OX_SIGNAL_METRICS && w->series == NULL)) {
        release_state(w);
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for the writer of %s",
                           ox_signal_name(w->signal));
    }
    return ox_actor_defer(self, release_state, w);
}

/* ---- finishing a block ---- */

static void
retry_later(struct ox_actor *self, struct writer *w)
{
    if (w->retry_timer == 0 && ox_timer_start(self, RETRY_MS, OX_K_retry, 0, &w->retry_timer) != OX_OK)
        ox_panic("no timer for blocks that wait");
}

/* Full blocks to the dirty threads, in order. Their queue may be full of large requests: no reason to give up. */
static void
submit_full(struct ox_actor *self, struct writer *w)
{
    while (w->full_head != NULL) {
        struct ox_pack *pack = w->full_head;
        struct ox_pack *next = pack->next;
        if (ox_dirty_submit(self, NULL, ox__pack_job, pack, OX_K_packed, ox_pack_free, NULL) != OX_OK) {
            retry_later(self, w);
            return;
        }
        w->full_head = next;
    }
    w->full_tail = NULL;
}

static void
finish_block(struct ox_actor *self, struct writer *w, uint32_t at)
{
    struct ox_pack *pack = w->open[at].pack;
    w->open[at] = w->open[--w->n_open];
    pack->level = (int)w->config->writer_compression_level;
    pack->writer = ox_actor_pid(self);
    /* relaxed: ids need to differ, nothing is ordered by them */
    pack->block_id =
        atomic_fetch_add_explicit(&w->node->next_block_id, OX_ENCODED_BLOCKS_MAX, memory_order_relaxed);
    pack->next = NULL;
    if (w->full_tail != NULL)
        w->full_tail->next = pack;
    else
        w->full_head = pack;
    w->full_tail = pack;
    w->packs++;
    submit_full(self, w);
}

static uint32_t
fullest(const struct writer *w)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < w->n_open; i++) {
        if (ox_builder_rows(w->open[i].pack->builder) > ox_builder_rows(w->open[best].pack->builder))
            best = i;
    }
    return best;
}

static uint64_t
flush_limit_ms(const struct writer *w)
{
    uint64_t base = (uint64_t)w->config->writer_flush_ms;
    uint64_t unsent = atomic_load_explicit(&w->node->outbox_blocks, memory_order_relaxed); /* a hint */
    uint64_t limit = base * (1 + unsent);
    return limit < FLUSH_MAX_MS ? limit : base > FLUSH_MAX_MS ? base : FLUSH_MAX_MS;
}

static void
arm_flush(struct ox_actor *self, struct writer *w)
{
    if (w->flush_timer != 0 || w->n_open == 0)
        return;
    uint64_t now = ox_now_ns(), oldest = now;
    for (uint32_t i = 0; i < w->n_open; i++)
        oldest = w->open[i].opened_ns < oldest ? w->open[i].opened_ns : oldest;
    uint64_t age_ms = (now - oldest) / 1000000;
    uint64_t base_ms = (uint64_t)w->config->writer_flush_ms;
    uint64_t wait_ms = age_ms < base_ms ? base_ms - age_ms : age_ms < flush_limit_ms(w) ? FLUSH_LOOK_MS : 0;
    if (wait_ms == 0 && w->packs >= PACKS_MAX)
        return; /* `outboxed` looks again */
    if (ox_timer_start(self, wait_ms, OX_K_flush, 0, &w->flush_timer) != OX_OK)
        ox_panic("no timer for the flush of %s", ox_signal_name(w->signal));
}

/* ---- adding rows ---- */

static struct ox_pack *
fresh_pack(struct writer *w, uint32_t partition)
{
    struct ox_pack *pack;
    if (w->n_spares > 0) {
        pack = w->spares[--w->n_spares];
        ox_builder_set_partition(pack->builder, partition);
        return pack;
    }
    pack = calloc(1, sizeof(*pack));
    if (pack == NULL)
        return NULL;
    pack->signal = w->signal;
    pack->builder = ox_builder_new(w->signal, partition, w->series);
    if (pack->builder == NULL) {
        free(pack);
        return NULL;
    }
    return pack;
}

/* The open block of a partition; makes one, at the cost of the fullest other when there are too many. */
static uint32_t
block_of(struct ox_actor *self, struct writer *w, uint32_t partition)
{
    for (uint32_t i = 0; i < w->n_open; i++) {
        if (ox_builder_partition(w->open[i].pack->builder) == partition)
            return i;
    }
    if (w->n_open == w->partitions_max)
        finish_block(self, w, fullest(w));
    struct ox_pack *pack = fresh_pack(w, partition);
    if (pack == NULL)
        ox_panic("no memory for a block of %s", ox_signal_name(w->signal));
    w->open[w->n_open] = (struct open_block){.pack = pack, .opened_ns = ox_now_ns()};
    return w->n_open++;
}

static enum ox_disposition
fate_of(const struct ox_batch *batch, uint32_t row)
{
    return batch->signal == OX_SIGNAL_TRACES && batch->spans[row].sampled_out ? OX_DISPOSED_SAMPLED_OUT
                                                                              : OX_DISPOSED_STORED;
}

static void
note_range(struct ox_pack *pack, const struct ox_contribution *c)
{
    if (c->from == c->to)
        return;
    if (ox_contributions_add(&pack->rows, *c) != OX_OK)
        ox_panic("no memory for the accounts of a block");
    pack->records += c->to - c->from;
}

/* Notes which records of the batch rows [first, next) put into the block, or that it counts them as sampled out. */
static void
note_rows(struct writer *w, struct ox_pack *pack, const struct ox_parcel *parcel, uint32_t first,
          uint32_t next)
{
    struct ox_batch *batch = parcel->batch;
    uint64_t before = pack->records;
    struct ox_contribution c = {.seq = batch->wal_seq, .tenant = parcel->permit.tenant->index};
    for (uint32_t row = first; row < next; row++) {
        uint32_t ordinal;
        if (*ox_batch_row(batch, row, &ordinal) != OX_REJECT_NONE ||
            !ox_builder_takes(pack->builder, batch, row))
            continue;
        enum ox_disposition how = fate_of(batch, row);
        if (ordinal != c.to || how != c.how) {
            note_range(pack, &c);
            c.from = ordinal;
            c.how = how;
        }
        c.to = ordinal + 1;
    }
    note_range(pack, &c);
    atomic_fetch_add_explicit(&w->node->writer_records, pack->records - before, memory_order_relaxed);
}

/* Records that are sampled out fill the accounts and no rows: those have a bound of their own, far below the outbox's. */
static bool
block_is_full(const struct writer *w, const struct ox_pack *pack)
{
    const struct ox_config *cfg = w->config;
    const struct ox_builder *builder = pack->builder;
    return pack->rows.n >= RANGES_MAX || pack->decided.n >= DECIDED_MAX || ox_builder_full(builder) ||
           ox_builder_rows(builder) >= (size_t)cfg->writer_block_rows ||
           ox_builder_bytes(builder) >= cfg->writer_block_bytes;
}

/* Once per block: what was decided of the traces that its rows may be of. */
static void
note_decisions(struct writer *w, struct ox_pack *pack)
{
    if (w->decided == NULL || pack->chain == w->chain)
        return;
    pack->chain = w->chain;
    for (size_t i = 0; i < w->decided->n; i++) {
        if (ox_decided_add(&pack->decided, &w->decided->items[i]) != OX_OK)
            ox_panic("no memory for the decisions of a block");
    }
}

static void
add_partition(struct ox_actor *self, struct writer *w, const struct ox_parcel *parcel, uint32_t partition)
{
    uint32_t rows = ox_encode_rows(parcel->batch);
    for (uint32_t row = 0; row < rows;) {
        uint32_t at = block_of(self, w, partition);
        struct ox_pack *pack = w->open[at].pack;
        struct ox_rows range = {.first = row, .count = rows - row};
        uint32_t next = row;
        ox_err err = ox_builder_add(pack->builder, parcel->batch, &range, &next);
        if (err != OX_OK)
            ox_panic("rows of %s cannot be encoded: %s", ox_signal_name(w->signal), ox_err_text(err));
        note_rows(w, pack, parcel, row, next);
        note_decisions(w, pack);
        row = next;
        if (row < rows || (w->decided == NULL && block_is_full(w, pack)))
            finish_block(self, w, at);
    }
}

static void
add_rows(struct ox_actor *self, struct writer *w, struct ox_parcel *parcel)
{
    uint32_t few[PARTS_MAX], *parts = few;
    size_t n = ox_encode_partitions(parcel->batch, few, PARTS_MAX);
    if (n > PARTS_MAX) {
        parts = malloc(n * sizeof(*parts));
        if (parts == NULL)
            ox_panic("no memory for the %zu partitions of one request", n);
        ox_encode_partitions(parcel->batch, parts, n);
    }
    for (size_t i = 0; i < n; i++)
        add_partition(self, w, parcel, parts[i]);
    if (parts != few)
        free(parts);
}

static void
finish_full(struct ox_actor *self, struct writer *w)
{
    for (uint32_t i = 0; i < w->n_open;) {
        if (block_is_full(w, w->open[i].pack))
            finish_block(self, w, i);
        else
            i++;
    }
}

/* What belongs together goes into one block, which becomes as large as it must; unless spans of one trace began in
 * different hours, or there are more than a block can hold. */
static void
add_parcel(struct ox_actor *self, struct writer *w, struct ox_parcel *parcel)
{
    w->decided = parcel->decided.n > 0 ? &parcel->decided : NULL;
    w->chain++;
    for (struct ox_parcel *p = parcel; p != NULL; p = p->together)
        add_rows(self, w, p);
    if (w->decided != NULL)
        finish_full(self, w);
    w->decided = NULL;
    ox_parcel_free(parcel); /* gives the permit back: the rows are copied */
}

/* Takes waiting parcels while there is room for another block, tenants by turns: who floods waits for his own. */
static void
work(struct ox_actor *self, struct writer *w)
{
    while (w->waiting.n > 0 && w->packs < PACKS_MAX) {
        uint32_t tenant;
        struct ox_parcel *parcel = ox_share_pop(&w->waiting, &tenant, NULL);
        uint64_t cost_ns = (uint64_t)ox_encode_rows(parcel->batch) * ROW_NS;
        add_parcel(self, w, parcel);
        ox_share_charge(&w->waiting, tenant, cost_ns);
    }
    arm_flush(self, w);
}

static void
on_rows(struct ox_actor *self, struct writer *w, struct ox_msg *msg)
{
    struct ox_parcel *parcel = msg->data;
    msg->data = NULL;
    ox_reductions(self, ox_encode_rows(parcel->batch));
    ox_share_push(&w->waiting, ox_tenant_index(&parcel->batch->tenant), parcel, 0);
    work(self, w);
}

static void
on_flush(struct ox_actor *self, struct writer *w)
{
    w->flush_timer = 0;
    uint64_t limit_ns = flush_limit_ms(w) * 1000000;
    uint64_t now = ox_now_ns();
    bool stopping = ox_node_phase(w->node) == OX_NODE_STOPPING;
    for (uint32_t i = 0; i < w->n_open && w->packs < PACKS_MAX;) {
        if (stopping || now - w->open[i].opened_ns >= limit_ns)
            finish_block(self, w, i);
        else
            i++;
    }
    arm_flush(self, w);
}

/* A block that is open is measured by the new bounds when the next rows come, or at the flush that is armed now. */
static void
on_configure(struct ox_actor *self, struct writer *w, struct ox_msg *msg)
{
    w->config = ox_node_config(w->node);
    ox_timer_cancel(self, w->flush_timer);
    w->flush_timer = 0;
    arm_flush(self, w);
    ox_reply_num(ox_call_from(msg), OX_K_configured, OX_OK, msg->num);
}

/* ---- towards the outbox ---- */

static void
hand_over(struct ox_actor *self, struct writer *w)
{
    while (w->done_head != NULL) {
        struct ox_pack *pack = w->done_head;
        struct ox_pack *next = pack->next;
        struct ox_msg *msg = ox_msg_new(OX_K_outbox_put, pack, 0, ox_pack_free);
        if (msg == NULL || ox_send(w->node->outbox, &msg) != OX_OK) {
            if (msg != NULL)
                msg->data = NULL;
            ox_msg_free(msg);
            retry_later(self, w);
            return;
        }
        w->done_head = next;
        if (next == NULL)
            w->done_tail = NULL;
    }
}

static void
on_packed(struct ox_actor *self, struct writer *w, struct ox_msg *msg)
{
    struct ox_pack *pack = msg->data;
    if (pack->err != OX_OK)
        ox_panic("a block of %s cannot be encoded: %s", ox_signal_name(w->signal), ox_err_text(pack->err));
    msg->data = NULL;
    pack->next = NULL;
    if (w->done_tail != NULL)
        w->done_tail->next = pack;
    else
        w->done_head = pack;
    w->done_tail = pack;
    hand_over(self, w);
}

static void
on_outboxed(struct ox_actor *self, struct writer *w, struct ox_msg *msg)
{
    struct ox_pack *pack = msg->data;
    OX_ASSERT(w->packs > 0);
    w->packs--;
    atomic_fetch_sub_explicit(&w->node->writer_records, pack->records, memory_order_relaxed);
    pack->records = 0;
    if (w->series != NULL)
        ox_series_cache_commit(w->series, &pack->encoded);
    if (w->n_spares < SPARES_MAX) {
        msg->data = NULL;
        pack->rows.n = pack->decided.n = 0;
        pack->chain = 0;
        w->spares[w->n_spares++] = pack;
    }
    work(self, w);
}

static void
writer_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct writer *w = ox_actor_state(self);
    switch (msg->kind) {
    case OX_K_rows:
        on_rows(self, w, msg);
        break;
    case OX_K_flush:
        on_flush(self, w);
        break;
    case OX_K_packed:
        on_packed(self, w, msg);
        break;
    case OX_K_outboxed:
        on_outboxed(self, w, msg);
        break;
    case OX_K_configure:
        on_configure(self, w, msg);
        break;
    case OX_K_retry:
        w->retry_timer = 0;
        submit_full(self, w);
        hand_over(self, w);
        break;
    default:
        OX_LOG_WARN("writer", "unknown message", OX_F_U64("kind", msg->kind));
    }
}

const struct ox_actor_class ox_writer_class = {
    .name = "writer",
    .state_size = sizeof(struct writer),
    .on_start = writer_start,
    .on_message = writer_message,
    .mailbox_msgs_max = 65536,
    .mailbox_bytes_max = 256u << 20,
    .control_msgs_max = 256,
    .turn_msgs_max = 8, /* a message may be thousands of rows */
};
