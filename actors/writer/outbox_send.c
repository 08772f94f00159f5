/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/outbox_send.c - durable blocks on their way into storage.
 *
 * Owns:    the queue of each table, and when it is tried again.
 * Threads: the outbox actor's turns; inserts and migrations run on dirty threads.
 * Bounds:  TABLE_SENDS and writer.blocks_in_flight inserts at a time.
 * Fails:   storage that is down, busy or slow is tried again for ever, 100 ms doubling to 30 s, and not at all while its
 *          circuit breaker is open; a
 *          block that storage refuses REFUSALS_MAX times is taken apart (outbox_split.c).
 * Flow:    outbox_commit.c -> queue -(dirty)-> storage -> ox__outbox_note.
 */
#include <stdlib.h>

#include "actors/writer/outbox_split.h"
#include "ox/backoff.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/random.h"
#include "ox/storage.h"

#define TABLE_SENDS 2 /* inserts of one table at a time; more only fight for the same cores */
/* Others of a table while a block of it is split; with OX__SPLIT_CALLS_MAX parts well below the tables' window. */
#define SPLIT_BESIDE_MAX 200
#define REFUSALS_MAX     3  /* a refusal may be an old schema or a mistake of ours: be sure first */
#define UNREADABLE_MAX   10 /* reads of a block whose bytes are damaged on disk */
#define BACKOFF_MIN_MS   100
#define BACKOFF_MAX_MS   30000
#define BREAKER_LOOK_MS  250
#define MIGRATE_QUIET    5 /* an engine that starts beside us needs a second or two */

void
ox__outbox_push(struct ox__outbox *o, struct ox_outbound *block)
{
    block->next = NULL;
    if (o->queue_tail[block->table] != NULL)
        o->queue_tail[block->table]->next = block;
    else
        o->queue_head[block->table] = block;
    o->queue_tail[block->table] = block;
}

/* Before all others, but for the one that is being split: it must not wait for what waits for it. */
static void
push_front(struct ox__outbox *o, struct ox_outbound *block)
{
    struct ox_outbound **at = &o->queue_head[block->table];
    if (*at != NULL && o->splitting[block->table] == (*at)->block_id + 1)
        at = &(*at)->next;
    block->next = *at;
    *at = block;
    if (block->next == NULL)
        o->queue_tail[block->table] = block;
}

struct ox_outbound *
ox__outbox_pop(struct ox__outbox *o, enum ox_table table)
{
    struct ox_outbound *block = o->queue_head[table];
    o->queue_head[table] = block->next;
    if (block->next == NULL)
        o->queue_tail[table] = NULL;
    block->next = NULL;
    return block;
}

static uint64_t
backoff_ms(struct ox__outbox *o, uint32_t failures)
{
    return ox_backoff(BACKOFF_MIN_MS, BACKOFF_MAX_MS, failures, ox_random_u64(&o->random));
}

/* While the endpoint's breaker is not closed it alone says when, so that nothing waits longer than for its probe. */
static void
storage_failed(struct ox__outbox *o, enum ox_table table)
{
    ox_metric_set(OX_M_storage_up, 0);
    if (ox_storage_breaker(o->node->storage) != OX_BREAKER_CLOSED) {
        o->failures[table] += o->failures[table] == 0;
        o->retry_at_ns[table] = 0;
        return;
    }
    o->failures[table]++;
    o->retry_at_ns[table] = ox_now_ns() + backoff_ms(o, o->failures[table]) * 1000000;
}

/* While the endpoint's breaker is open nothing is sent and nobody's tries are counted; looked at often, since a probe
 * of somebody else or a new engine may close it. 0 = it is not open. */
static uint64_t
breaker_wait_ms(const struct ox__outbox *o)
{
    uint64_t ms = (ox_storage_wait_ns(o->node->storage) + 999999) / 1000000;
    return ms < BREAKER_LOOK_MS ? ms : BREAKER_LOOK_MS;
}

uint64_t
ox__outbox_wait_ms(struct ox__outbox *o, uint32_t failures)
{
    uint64_t breaker_ms = breaker_wait_ms(o);
    return breaker_ms > 0 ? breaker_ms : backoff_ms(o, failures);
}

static void
storage_works(struct ox__outbox *o, enum ox_table table)
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

void
ox__outbox_migrate(struct ox_actor *self, struct ox__outbox *o)
{
    if (o->migrated || o->migrating)
        return;
    struct ox_outbox_migration *m = calloc(1, sizeof(*m));
    if (m == NULL ||
        (m->storage = o->node->storage,
         ox_dirty_submit(self, NULL, ox__outbox_migrate_job, m, OX_K_outbox_migrated, free, NULL)) != OX_OK) {
        free(m);
        ox__outbox_tick(self, BACKOFF_MIN_MS, TICK_MIGRATE, NULL);
        return;
    }
    o->migrating = true;
}

void
ox__on_outbox_migrated(struct ox_actor *self, struct ox__outbox *o, struct ox_msg *msg)
{
    const struct ox_outbox_migration *m = msg->data;
    o->migrating = false;
    if (m->err == OX_E_STORAGE_OPEN) {
        ox__outbox_tick(self, ox__outbox_wait_ms(o, 1), TICK_MIGRATE, NULL);
        return;
    }
    if (m->err != OX_OK) {
        o->migrate_failures++;
        OX_LOG_AT(o->migrate_failures <= MIGRATE_QUIET ? OX_LOG_INFO : OX_LOG_ERROR, "outbox",
                  "storage is not ready for the schema yet", OX_F_ERR(m->err), OX_F_STR("at", m->diag.field),
                  OX_F_DIAG(&m->diag));
        ox__outbox_tick(self, ox__outbox_wait_ms(o, o->migrate_failures), TICK_MIGRATE, NULL);
        return;
    }
    o->migrated = true;
    atomic_store_explicit(&o->node->storage_migrated, true,
                          memory_order_release); /* pairs with /ready's acquire */
    OX_LOG_INFO("outbox", "the schema is up to date", OX_F_U64("applied", m->applied));
    ox_metric_set(OX_M_storage_up, 1);
    ox__outbox_check(self, o);
}

/* Sending it may mean to split it. */
static bool
is_split(const struct ox_outbound *block)
{
    return block->split != NULL || block->marked || block->tries + 1 >= REFUSALS_MAX;
}

/* One at a time of a table, so that the parts of two do not push each other out of its deduplication window. */
static void
note_split(struct ox__outbox *o, const struct ox_outbound *block)
{
    uint64_t *splitting = &o->splitting[block->table];
    if (*splitting == block->block_id + 1)
        return;
    if (*splitting != 0) {
        o->beside[block->table]++;
    } else if (is_split(block)) {
        *splitting = block->block_id + 1;
        o->beside[block->table] = 0;
    }
}

static bool
send_next(struct ox_actor *self, struct ox__outbox *o, enum ox_table table)
{
    struct ox_outbound *block = ox__outbox_pop(o, table);
    struct ox_outbox_send *send = calloc(1, sizeof(*send));
    if (send == NULL) {
        push_front(o, block);
        ox__outbox_tick(self, OX__OUTBOX_RETRY_MS, TICK_SEND, &o->send_timer);
        return false;
    }
    *send = (struct ox_outbox_send){.node = o->node,
                                    .timeout_ms = (unsigned)o->config->storage_insert_timeout_ms,
                                    .journal = o->journal,
                                    .refused_dir = o->refused_dir,
                                    .block = block,
                                    .take_apart = is_split(block)};
    if (ox_dirty_submit(self, NULL, ox__outbox_send_job, send, OX_K_outbox_sent, ox__outbox_send_free,
                        NULL) != OX_OK) {
        free(send);
        push_front(o, block);
        ox__outbox_tick(self, OX__OUTBOX_RETRY_MS, TICK_SEND, &o->send_timer);
        return false;
    }
    o->sending[table]++;
    o->sending_all++;
    note_split(o, block);
    return true;
}

/* The next block of the table may go. */
static bool
may_send(const struct ox__outbox *o, int t)
{
    uint32_t sends = o->failures[t] > 0 ? 1 : TABLE_SENDS; /* one probe until the table is taken again */
    const struct ox_outbound *next = o->queue_head[t];
    if (next == NULL || o->sending[t] >= sends)
        return false;
    if (o->splitting[t] == 0 || o->splitting[t] == next->block_id + 1)
        return true;
    return !is_split(next) && o->beside[t] < SPLIT_BESIDE_MAX;
}

/* The earliest counts: what was armed may be later. */
static void
look_again(struct ox_actor *self, struct ox__outbox *o, uint64_t after_ms)
{
    ox_timer_cancel(self, o->send_timer);
    o->send_timer = 0;
    ox__outbox_tick(self, after_ms, TICK_SEND, &o->send_timer);
}

void
ox__outbox_pump(struct ox_actor *self, struct ox__outbox *o)
{
    uint32_t max = (uint32_t)o->config->writer_blocks_in_flight;
    uint64_t now = ox_now_ns(), again = UINT64_MAX, wait_ms = breaker_wait_ms(o);
    if (!o->migrated || !o->checked)
        return;
    if (wait_ms > 0) {
        look_again(self, o, wait_ms);
        return;
    }
    int first = o->next_table++ % OX_TABLE__COUNT;
    for (int i = 0; i < OX_TABLE__COUNT; i++) {
        int t = (first + i) % OX_TABLE__COUNT;
        if (ox__outbox_verify(self, o, (enum ox_table)t, now, &again))
            continue;
        if (o->queue_head[t] != NULL && now < o->retry_at_ns[t]) {
            again = o->retry_at_ns[t] < again ? o->retry_at_ns[t] : again;
            continue;
        }
        while (o->sending_all < max && may_send(o, t)) {
            if (!send_next(self, o, (enum ox_table)t))
                return;
        }
    }
    if (again != UINT64_MAX)
        look_again(self, o, (again - now) / 1000000 + 1);
}

static void
remember_mark(struct ox__outbox *o, const struct ox_outbound *block)
{
    struct ox_outbox_mark *mark = calloc(1, sizeof(*mark));
    if (mark == NULL)
        return; /* the next start finds it */
    memcpy(mark->token, block->token, sizeof(mark->token));
    mark->next = o->marks;
    o->marks = mark;
}

static void
settle(struct ox_actor *self, struct ox__outbox *o, struct ox_outbound *block)
{
    o->blocks--;
    o->rows -= block->rows;
    o->unsure[block->table] -= block->unsure;
    if (block->held)
        o->bytes -= block->bytes.len;
    if (block->split != NULL && block->split->marked)
        remember_mark(o, block);
    if (o->splitting[block->table] == block->block_id + 1)
        o->splitting[block->table] = 0;
    ox__outbox_settled(o, block);
    ox__outbox_note(self, o, block->block_id);
    ox__outbound_free(block);
}

static void
count_stored(const struct ox_outbox_send *send, const struct ox_outbound *block)
{
    struct ox_str table = ox_str_of(ox_table_name(block->table));
    uint32_t stored = block->rows - send->dropped;
    ox_metric_observe_l(OX_M_storage_insert, &table, send->seconds);
    ox_metric_observe_l(OX_M_storage_block_rows, &table, block->rows);
    if (ox__outbox_is_record(block->table)) /* series and exemplars are no records of their own */
        OX_METRIC_ADD_L(OX_M_ingest_stored, stored, ox_str_of(ox__outbox_signal_name(block->table)));
    if (block->split == NULL)
        return;
    ox_metric_add(OX_M_outbox_refused, 1);
    OX_LOG_ERROR("outbox", "storage refused a block for its content; what it does not take is kept in dlq",
                 OX_F_STR("table", ox_table_name(block->table)), OX_F_U64("block_id", block->block_id),
                 OX_F_U64("rows_stored", stored), OX_F_U64("rows_refused", send->dropped),
                 OX_F_U64("calls", block->split->calls), OX_F_STR("reason", block->split->reason));
}

static void
on_send_failed(struct ox_actor *self, struct ox__outbox *o, struct ox_outbox_send *send,
               struct ox_outbound *block)
{
    if (!block->held)
        ox_buf_fini(&block->bytes);
    /* In front: a block in doubt is tried again before its token can leave the tables' window. */
    push_front(o, block);
    if (send->err == OX_E_STORAGE_OPEN) /* not sent at all: another call has opened the breaker meanwhile */
        return;
    OX_METRIC_ADD_L(OX_M_storage_insert_failed, 1, ox_str_of(ox_table_name(block->table)),
                    ox_str_of(ox_err_info(send->err)->symbol));
    OX_LOG_WARN("outbox", "an insert failed and will be tried again",
                OX_F_STR("table", ox_table_name(block->table)), OX_F_U64("rows", block->rows),
                OX_F_ERR(send->err), OX_F_DIAG(&send->diag));
    block->tries += send->err == OX_E_STORAGE_REFUSED;
    block->in_doubt |= !send->unread;
    if (block->in_doubt) {
        ox__outbox_unsure(o, block);
        ox__outbox_doubt(o, block);
    }
    block->unreadable += send->unread;
    storage_failed(o, block->table);
}

void
ox__on_engine_up(struct ox_actor *self, struct ox__outbox *o)
{
    for (int t = 0; t < OX_TABLE__COUNT; t++) {
        o->retry_at_ns[t] = 0;
        o->verify_at_ns[t] = 0;
    }
    ox__outbox_pump(self, o);
}

/* The disk gives the block's bytes back damaged, again and again: its rows are lost, and said to be. */
static void
on_unreadable(struct ox_actor *self, struct ox__outbox *o, const struct ox_outbox_send *send,
              struct ox_outbound *block)
{
    OX_LOG_ERROR("outbox", "an acknowledged block cannot be read back from the outbox and is lost",
                 OX_F_STR("table", ox_table_name(block->table)), OX_F_U64("rows", block->rows),
                 OX_F_U64("block_id", block->block_id), OX_F_U64("outbox_seq", block->outbox_seq),
                 OX_F_ERR(send->err), OX_F_DIAG(&send->diag));
    ox_metric_add(OX_M_outbox_refused, 1);
    if (ox__outbox_is_record(block->table))
        OX_METRIC_ADD_L(OX_M_ingest_dropped, block->rows, OX_STR(""),
                        ox_str_of(ox__outbox_signal_name(block->table)), OX_STR("wal_error"));
    settle(self, o, block);
}

void
ox__on_outbox_sent(struct ox_actor *self, struct ox__outbox *o, struct ox_msg *msg)
{
    struct ox_outbox_send *send = msg->data;
    struct ox_outbound *block = send->block;
    send->block = NULL;
    o->sending[block->table]--;
    o->sending_all--;
    if (send->err == OX_OK) {
        count_stored(send, block);
        storage_works(o, block->table);
        settle(self, o, block);
    } else if (send->unread && block->unreadable + 1 >= UNREADABLE_MAX) {
        on_unreadable(self, o, send, block);
    } else {
        on_send_failed(self, o, send, block);
    }
    ox__outbox_publish(o);
    ox__outbox_pump(self, o);
}
