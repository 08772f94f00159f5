/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/outbox_verify.c - which blocks' rollups are in doubt, and when they are looked at.
 *
 * Owns:    struct ox__doubts of the actor; the job while it runs.
 * Threads: the outbox actor's turns; the job on a dirty thread.
 * Bounds:  OX__DOUBTS_MAX blocks; UNSENT_MAX blocks per table of a previous run of which storage has nothing; a table's
 *          next look PAUSE_MS after the last.
 * Fails:   storage that does not answer is asked again for ever; one that refuses the question, or has no time for it,
 *          OX__OUTBOX_ASK_MAX times, then the blocks are given up, logged and counted.
 * Flow:    outbox_check.c and outbox_send.c say who is in doubt -> noted durably with the commit that notes the block as
 *          stored -> no insert of the table under way, no block of it in doubt -> rollup.c -> taken off the list.
 *
 * In doubt is a block that may have been sent more than once: one that failed in this run, and of a previous run's those
 * that storage has rows of (all, when it does not say), and the next few. (A table's blocks are sent in their order, two at
 * a time.) A block may be in a view although storage has no row of it: the view's part can be named before the table's.
 *
 * While the list is looked at, blocks of this table wait, and only they: rows on their way would be in one of the two and
 * not yet in the other.
 */
#include <stdlib.h>

#include "actors/writer/outbox_internal.h"
#include "actors/writer/rollup.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/parts.h"

#define UNSENT_MAX 8    /* four times what is under way at once; a split block lets others pass */
#define PAUSE_MS   2000 /* an endpoint whose inserts fail every now and then is not asked after each */

void
ox__outbox_doubt(struct ox__outbox *o, struct ox_outbound *block)
{
    if (block->doubtful || !ox_table_is_rolled_up(block->table))
        return;
    block->doubtful = true;
    o->doubtful[block->table]++;
}

void
ox__outbox_doubt_recovered(struct ox__outbox *o, const struct ox_outbox_check *check)
{
    uint32_t unsent[OX_TABLE__COUNT] = {0};
    for (size_t i = 0; i < check->n; i++) {
        const struct ox_outbox_checked *item = &check->items[i];
        bool there = check->err != OX_OK || item->arrived > 0 || item->marked; /* or nobody knows */
        if (there || unsent[item->table]++ < UNSENT_MAX)
            ox__outbox_doubt(o, item->block);
    }
}

static void
give_up(enum ox_table table, uint64_t blocks, ox_err err, const struct ox_diag *diag)
{
    OX_METRIC_ADD_L(OX_M_rollup_unchecked, blocks, ox_str_of(ox_table_name(table)));
    OX_LOG_ERROR(
        "outbox",
        "the rollups of blocks that may have been sent twice are not looked at: they may have rows of "
        "them twice or lack them",
        OX_F_STR("table", ox_table_name(table)), OX_F_U64("blocks", blocks), OX_F_ERR(err), OX_F_DIAG(diag));
}

void
ox__outbox_settled(struct ox__outbox *o, struct ox_outbound *block)
{
    struct ox_diag none = {0};
    if (block->in_doubt)
        ox__outbox_doubt(o, block);
    if (!block->doubtful)
        return;
    o->doubtful[block->table]--;
    ox_err err = ox__doubts_add(&o->doubts, block->table, block->block_id);
    if (err != OX_OK)
        give_up(block->table, 1, err, &none);
    o->doubts_changed = true;
}

void
ox__outbox_load_doubts(struct ox__outbox *o)
{
    struct ox_diag diag = {0};
    ox_err err = ox__doubts_load(o->node->disk, o->doubts_path, &o->doubts, &diag);
    if (err != OX_OK)
        OX_LOG_ERROR(
            "outbox",
            "the list of blocks whose rollups may be wrong cannot be read; those on it are not looked at",
            OX_F_ERR(err), OX_F_DIAG(&diag));
}

/* ---- the job ---- */

void
ox__outbox_verify_free(void *arg)
{
    struct ox_outbox_verify *verify = arg;
    free(verify->ids);
    free(verify);
}

/* A target may have a part that can be read as far as it is looked at here, and not in other columns: the engine is
 * about to be restarted, and the part will be gone. */
static ox_err
all_sound(struct ox_outbox_verify *v)
{
    uint64_t errors = 0;
    struct ox_parts *lists = calloc(2, sizeof(*lists)); /* none that are named, and what is broken */
    ox_err err = lists != NULL ? ox_parts_errors(v->storage, &errors, &v->diag) : OX_E_NOMEM;
    if (err == OX_OK && errors > 0)
        err = ox_parts_broken(v->storage, &lists[0], &lists[1], &v->diag);
    if (err == OX_OK && lists[1].n > 0)
        err = ox_diag_set(&v->diag, OX_E_STORAGE_DAMAGED, lists[1].items[0].table, -1,
                          "part %s is not what its checksums say", lists[1].items[0].name);
    free(lists);
    return err;
}

void
ox__outbox_verify_job(void *arg)
{
    struct ox_outbox_verify *v = arg;
    ox_diag_clear(&v->diag);
    v->err = OX_OK;
    OX_ASSERT(ox_schema_rollups_count <= OX__ROLLUPS_MAX);
    if (v->embedded)
        v->err = all_sound(v);
    for (size_t i = 0; i < ox_schema_rollups_count && v->err == OX_OK; i++) {
        const struct ox_schema_rollup *rollup = &ox_schema_rollups[i];
        struct ox__rollup_found found;
        if (rollup->raw != v->table)
            continue;
        v->err = ox__rollup_check(v->storage, rollup, v->ids, v->n, v->young_s, &found, &v->diag);
        if (v->err == OX_E_NOT_FOUND) { /* a view that is not there fills nothing */
            v->err = OX_OK;
            continue;
        }
        v->found[i] = found;
        v->looked[i] = v->err == OX_OK;
    }
}

/* ---- the actor ---- */

static bool
due(const struct ox__outbox *o, int t, uint64_t now)
{
    return o->doubtful[t] == 0 && !o->verifying[t] && now >= o->verify_at_ns[t] &&
           ox__doubts_count(&o->doubts, (enum ox_table)t) > 0 &&
           ox_node_phase(o->node) != OX_NODE_STOPPING; /* the next start does it */
}

static struct ox_outbox_verify *
make_job(struct ox__outbox *o, enum ox_table table)
{
    struct ox_outbox_verify *v = calloc(1, sizeof(*v));
    if (v == NULL || (v->ids = calloc(OX__DOUBTS_MAX, sizeof(*v->ids))) == NULL) {
        free(v);
        return NULL;
    }
    v->storage = o->node->storage;
    v->table = table;
    v->embedded = ox__outbox_embedded(o->node);
    v->young_s = o->config->storage_prune_min_age_ms / 1000;
    v->n = ox__doubts_ids(&o->doubts, table, v->ids, OX__DOUBTS_MAX);
    return v;
}

bool
ox__outbox_verify(struct ox_actor *self, struct ox__outbox *o, enum ox_table table, uint64_t now,
                  uint64_t *again_ns)
{
    if (o->verifying[table])
        return true;
    if (o->doubts.n > 0 && now < o->verify_at_ns[table] && o->verify_at_ns[table] < *again_ns)
        *again_ns = o->verify_at_ns[table];
    if (!due(o, table, now))
        return false;
    if (o->sending[table] > 0)
        return true; /* its end brings us here again */
    struct ox_outbox_verify *v = make_job(o, table);
    if (v == NULL || ox_dirty_submit(self, NULL, ox__outbox_verify_job, v, OX_K_outbox_verified,
                                     ox__outbox_verify_free, NULL) != OX_OK) {
        if (v != NULL)
            ox__outbox_verify_free(v);
        ox__outbox_tick(self, OX__OUTBOX_RETRY_MS, TICK_SEND, &o->send_timer);
        return true;
    }
    o->verifying[table] = true;
    return true;
}

static void
tell(const struct ox_schema_rollup *rollup, const struct ox__rollup_found *found)
{
    struct ox_str target = ox_str_of(rollup->target);
    const char *result = found->still > 0 ? "wrong" : found->wrong > 0 ? "mended" : "right";
    OX_METRIC_ADD_L(OX_M_rollup_checks, 1, target, ox_str_of(result));
    OX_METRIC_ADD_L(OX_M_rollup_rows, found->wrong, target, OX_STR("mended"));
    OX_METRIC_ADD_L(OX_M_rollup_rows, found->left, target, OX_STR("old"));
    if (found->wrong > 0)
        OX_LOG_WARN("outbox", "a rollup had rows of a block twice or not at all, and was mended",
                    OX_F_STR("table", rollup->target), OX_F_U64("keys", found->wrong));
    if (found->left > 0)
        OX_LOG_WARN("outbox",
                    "a rollup says more than the rows that it is made of, which may have left by their age: "
                    "nothing is changed",
                    OX_F_STR("table", rollup->target), OX_F_U64("keys", found->left));
    if (found->still > 0)
        OX_LOG_ERROR("outbox", "a rollup does not say what its rows say, also after it was mended",
                     OX_F_STR("table", rollup->target), OX_F_U64("keys", found->still));
}

/* Whether it is asked again. */
static bool
ask_again(struct ox__outbox *o, const struct ox_outbox_verify *v, uint64_t now)
{
    if (ox__outbox_answered(o->node, v->err) && ++o->verify_failures[v->table] >= OX__OUTBOX_ASK_MAX)
        return false;
    o->verify_at_ns[v->table] = now + ox__outbox_wait_ms(o, o->verify_failures[v->table] + 1) * 1000000;
    OX_LOG_WARN("outbox", "storage cannot say yet whether rollups are right",
                OX_F_STR("table", ox_table_name(v->table)), OX_F_ERR(v->err), OX_F_DIAG(&v->diag));
    return true;
}

void
ox__on_outbox_verified(struct ox_actor *self, struct ox__outbox *o, struct ox_msg *msg)
{
    const struct ox_outbox_verify *v = msg->data;
    uint64_t now = ox_now_ns();
    o->verifying[v->table] = false;
    for (size_t i = 0; i < ox_schema_rollups_count; i++) {
        if (v->looked[i])
            tell(&ox_schema_rollups[i], &v->found[i]);
    }
    if (v->err == OX_OK || !ask_again(o, v, now)) {
        if (v->err != OX_OK)
            give_up(v->table, v->n, v->err, &v->diag);
        ox__doubts_remove(&o->doubts, v->table, v->ids, v->n);
        o->doubts_changed = true;
        o->verify_failures[v->table] = 0;
        o->verify_at_ns[v->table] = now + PAUSE_MS * UINT64_C(1000000);
        ox__outbox_tick(self, OX__OUTBOX_NOTE_MS, TICK_NOTE, &o->note_timer);
    }
    ox__outbox_publish(o);
    ox__outbox_pump(self, o);
}
