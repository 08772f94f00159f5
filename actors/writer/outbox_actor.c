/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/outbox_actor.c - between full blocks and storage: durable first, then inserted, then noted.
 *
 * Owns:    struct ox__outbox; outbox_commit.c and outbox_send.c work on it.
 * Threads: one actor; the journal is written on its own lane, inserts run on dirty threads.
 * Bounds:  outbox.total_bytes on disk and BLOCKS_MAX blocks (above 95 % packs wait, the writers stop, the
 *          gateway refuses); BYTES_MAX of blocks in memory, the others are read back from the journal; inserts
 *          in flight.
 * Fails:   storage that is down, busy or slow is tried again for ever, 100 ms doubling to 30 s; a block that
 *          storage refuses REFUSALS_MAX times is taken apart (outbox_split.c).
 * Flow:    writer -outbox_put-> here -(lane)-> durable -disposed-> wal, -outboxed-> writer;
 *          -(dirty)-> storage -> noted (lane) -stored-> wal.
 */
#include <stdlib.h>

#include "actors/writer/outbox_internal.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/outbox.h"
#include "ox/random.h"

#define BLOCKS_MAX 65536 /* not confirmed: each costs some hundred bytes of memory */
#define PUBLISH_MS 1000  /* the log removes our segments without telling us */
#define FILL_WARN  800   /* permille */

void
ox__outbox_unsure(struct ox__outbox *o, struct ox_outbound *block)
{
    if (block->unsure)
        return;
    block->unsure = true;
    o->unsure[block->table]++;
    o->unsure_rows[block->table] += block->rows;
}

bool
ox__outbox_embedded(const struct ox_node *node)
{
    return node->config != NULL && ox_config_embedded(node->config);
}

bool
ox__outbox_answered(const struct ox_node *node, ox_err err)
{
    bool mends = err == OX_E_STORAGE_DAMAGED && ox__outbox_embedded(node) &&
                 atomic_load_explicit(&node->damaged_active, memory_order_relaxed) == 0;
    return err != OX_E_STORAGE_OPEN && err != OX_E_STORAGE_DOWN && !mends;
}

/* For the mender: rows of a part that cannot be read may be on their way again. */
static void
publish_unsure(struct ox__outbox *o)
{
    for (int t = 0; t < OX_TABLE__COUNT; t++) {
        uint64_t n = o->unsure[t] + ox__doubts_count(&o->doubts, (enum ox_table)t) + o->verifying[t];
        atomic_store_explicit(&o->node->outbox_unsure_rows[t], o->unsure_rows[t], memory_order_relaxed);
        atomic_store_explicit(&o->node->outbox_unsure[t], n, memory_order_relaxed);
    }
}

void
ox__outbox_publish(struct ox__outbox *o)
{
    struct ox_journal_stats stats;
    ox_journal_stats(o->journal, &stats);
    uint64_t total = o->config->outbox_total_bytes;
    uint32_t fill = total != 0 ? (uint32_t)(stats.bytes * 1000 / total) : 0;
    uint32_t fill_blocks = (uint32_t)(o->blocks * 1000 / BLOCKS_MAX);
    fill = fill > fill_blocks ? fill : fill_blocks;
    atomic_store_explicit(&o->node->outbox_fill, fill, memory_order_relaxed);
    atomic_store_explicit(&o->node->outbox_blocks, o->blocks + o->n_put, memory_order_relaxed);
    atomic_store_explicit(&o->node->outbox_notes, o->n_stored + o->noting, memory_order_relaxed);
    atomic_store_explicit(&o->node->outbox_rows, o->rows, memory_order_relaxed);
    publish_unsure(o);
    uint64_t doubts =
        o->doubts.n; /* before the blocks: who waits for both to be none sees them in this order */
    for (int t = 0; t < OX_TABLE__COUNT; t++)
        doubts += o->doubtful[t];
    ox_metric_set(OX_M_rollup_pending, (double)doubts);
    ox_metric_set(OX_M_outbox_bytes, (double)stats.bytes);
    ox_metric_set(OX_M_outbox_blocks, (double)o->blocks);
    ox_metric_set(OX_M_clickhouse_inflight, (double)o->sending_all);
    bool full = fill >= FILL_WARN;
    if (full && !o->warned_full)
        OX_LOG_WARN("outbox", "the outbox fills up: storage takes less than arrives",
                    OX_F_U64("bytes", stats.bytes), OX_F_U64("limit", total), OX_F_U64("blocks", o->blocks));
    o->warned_full = full;
}

void
ox__outbox_tick(struct ox_actor *self, uint64_t after_ms, int what, uint64_t *timer)
{
    if (timer != NULL && *timer != 0)
        return;
    uint64_t ref;
    if (ox_timer_start(self, after_ms, OX_K_outbox_tick, (uint64_t)what, timer != NULL ? timer : &ref) !=
        OX_OK)
        ox_panic("no timer for the outbox");
}

static ox_err
take_recovered(struct ox__outbox *o, const struct ox_recovery *rec)
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
        block->recovered = true;
        ox__outbox_unsure(o, block);
        o->blocks++;
        o->rows += p->rows;
        ox__outbox_push(o, block);
    }
    return OX_OK;
}

static ox_err
outbox_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct ox__outbox *o = ox_actor_state(self);
    struct ox_outbox_arg *a = arg;
    uint64_t seed = 0;
    if (a->journal == NULL)
        return ox_diag_set(diag, OX_E_STATE, "outbox", -1, "the list of unsent blocks ends with its actor");
    o->node = a->node;
    o->config = ox_node_config(a->node);
    o->journal = a->journal;
    o->lane = a->lane;
    o->refused_dir = a->refused_dir;
    o->doubts_path = a->doubts_path;
    a->journal = NULL;
    ox_err err = ox_random_os(&seed, sizeof(seed));
    ox_random_seed(&o->random, seed);
    if (err == OX_OK)
        err = take_recovered(o, a->recovered);
    if (err == OX_OK)
        ox__outbox_load_doubts(o);
    if (err != OX_OK)
        return ox_diag_set(diag, err, "outbox", -1, "the outbox cannot be set up: %s", ox_err_text(err));
    ox__outbox_publish(o);
    ox__outbox_tick(self, PUBLISH_MS, TICK_PUBLISH, NULL);
    ox__outbox_migrate(self, o);
    return OX_OK;
}

static void
outbox_stop(struct ox_actor *self, enum ox_exit reason)
{
    struct ox__outbox *o = ox_actor_state(self);
    for (int t = 0; t < OX_TABLE__COUNT; t++) {
        while (o->queue_head[t] != NULL)
            ox__outbound_free(ox__outbox_pop(o, (enum ox_table)t));
    }
    while (o->put_head != NULL) {
        struct ox_pack *p = o->put_head;
        o->put_head = p->next;
        ox_pack_free(p);
    }
    while (o->marks != NULL) {
        struct ox_outbox_mark *mark = o->marks;
        o->marks = mark->next;
        free(mark);
    }
    free(o->stored);
    ox__doubts_free(&o->doubts);
}

static void
on_outbox_tick(struct ox_actor *self, struct ox__outbox *o, uint64_t what)
{
    switch (what) {
    case TICK_SEND:
        o->send_timer = 0;
        ox__outbox_pump(self, o);
        break;
    case TICK_NOTE:
        o->note_timer = 0;
        if (o->committing && (o->n_stored > 0 || o->doubts_changed))
            ox__outbox_tick(self, OX__OUTBOX_NOTE_MS, TICK_NOTE, &o->note_timer);
        else
            ox__outbox_commit(self, o, true);
        break;
    case TICK_CHECK:
        ox__outbox_check(self, o);
        break;
    case TICK_PUBLISH:
        ox__outbox_publish(o);
        ox__outbox_tick(self, PUBLISH_MS, TICK_PUBLISH, NULL);
        break;
    case TICK_COMMIT:
        o->commit_timer = 0;
        ox__outbox_publish(o);
        ox__outbox_commit(self, o, false);
        break;
    default:
        ox__outbox_migrate(self, o);
    }
}

static void
outbox_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct ox__outbox *o = ox_actor_state(self);
    switch (msg->kind) {
    case OX_K_outbox_put:
        ox__on_outbox_put(self, o, msg);
        break;
    case OX_K_outbox_committed:
        ox__on_outbox_committed(self, o, msg);
        break;
    case OX_K_outbox_sent:
        ox__on_outbox_sent(self, o, msg);
        break;
    case OX_K_outbox_migrated:
        ox__on_outbox_migrated(self, o, msg);
        break;
    case OX_K_outbox_checked:
        ox__on_outbox_checked(self, o, msg);
        break;
    case OX_K_outbox_verified:
        ox__on_outbox_verified(self, o, msg);
        break;
    case OX_K_engine_up:
        ox__on_engine_up(self, o);
        break;
    case OX_K_outbox_tick:
        on_outbox_tick(self, o, msg->num);
        break;
    case OX_K_configure:
        o->config = ox_node_config(o->node);
        ox__outbox_publish(o);
        ox_reply_num(ox_call_from(msg), OX_K_configured, OX_OK, msg->num);
        break;
    default:
        OX_LOG_WARN("outbox", "unknown message", OX_F_U64("kind", msg->kind));
    }
}

const struct ox_actor_class ox_outbox_class = {
    .name = "outbox",
    .state_size = sizeof(struct ox__outbox),
    .on_start = outbox_start,
    .on_message = outbox_message,
    .on_stop = outbox_stop,
    .mailbox_msgs_max = 256, /* each writer has at most a handful of packs on the way */
    .pending_max = 256,
};
