/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/storage/mend_job.c - finds parts that cannot be read, and judges those that a start has set aside.
 *
 * Owns:    nothing.
 * Threads: a dirty thread, one job at a time.
 * Bounds:  OX_PARTS_MAX parts.
 * Fails:   those of ox_storage_query; the whole is done again later.
 * Flow:    mender.c -> here -> parts.c.
 *
 * What a start sets aside is one of these:
 *   merged, and the parts that it was merged of are back (they have at least as many rows, since merges only take
 *     rows away): nothing is lost, it is removed;
 *   no more rows are missing than stood in blocks of that table that were in doubt since the trouble began: the
 *     outbox sends those again and lets none go that it has not counted. When it has none left the part is removed;
 *   anything else: its rows are nowhere else, or nobody can tell. It stays, and is said until somebody removes it.
 */
#include "actors/storage/mend_job.h"

#include <stdlib.h>

#include "ox/log.h"
#include "ox/metric.h"

struct ox__mend_known *
ox__mend_find(struct ox__mend_list *list, const struct ox_part *part)
{
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->items[i].part.name, part->name) == 0 &&
            strcmp(list->items[i].part.table, part->table) == 0)
            return &list->items[i];
    }
    return NULL;
}

/* The table whose blocks the rows of `name` come from; OX_TABLE__COUNT when they come from none. */
static enum ox_table
source_of(const char *name)
{
    for (size_t i = 0; i < ox_schema_rollups_count; i++) {
        if (strcmp(ox_schema_rollups[i].target, name) == 0)
            return ox_schema_rollups[i].raw;
    }
    for (int t = 0; t < OX_TABLE__COUNT; t++) {
        if (strcmp(ox_table_name((enum ox_table)t), name) == 0)
            return (enum ox_table)t;
    }
    return OX_TABLE__COUNT;
}

/* Whether blocks of the part's table are still in doubt. */
static bool
unsure(struct ox_node *node, enum ox_table table)
{
    return table != OX_TABLE__COUNT &&
           atomic_load_explicit(&node->outbox_unsure[table], memory_order_relaxed) > 0;
}

/* ---- parts that cannot be read ---- */

static void
look(struct ox__mend_job *job)
{
    struct ox_storage *storage = job->node->storage;
    struct ox_parts *broken = calloc(1, sizeof(*broken));
    job->known.n = 0;
    job->err = broken != NULL ? ox_parts_errors(storage, &job->errors, &job->diag) : OX_E_NOMEM;
    if (job->err == OX_OK && (job->scan || job->errors != job->errors_before)) {
        job->err = ox_parts_broken(storage, &job->named, broken, &job->diag);
        job->scanned = job->err == OX_OK;
    }
    for (size_t i = 0; job->scanned && i < broken->n; i++)
        job->known.items[job->known.n++] =
            (struct ox__mend_known){broken->items[i], OX__MEND_NONE, UINT64_MAX};
    free(broken);
}

/* ---- what a start has set aside ---- */

static void
count(const struct ox_part *part, const char *outcome)
{
    OX_METRIC_ADD_L(OX_M_storage_set_aside, 1, ox_str_of(part->table), ox_str_of(outcome));
}

static void
forget(struct ox__mend_job *job, struct ox__mend_known *k, const char *outcome, const char *sentence)
{
    job->err = ox_parts_remove(job->node->storage, &k->part, &job->diag);
    if (job->err != OX_OK)
        return;
    count(&k->part, outcome);
    OX_LOG_WARN("mender", sentence, OX_F_STR("table", k->part.table), OX_F_STR("part", k->part.name),
                OX_F_U64("rows", k->part.rows != UINT64_MAX ? k->part.rows : 0));
    *k = job->known.items[--job->known.n];
}

static void
give_up(struct ox__mend_job *job, struct ox__mend_known *k)
{
    job->lost++;
    if (k->verdict == OX__MEND_LOST)
        return;
    k->verdict = OX__MEND_LOST;
    if (!k->part.lost) {
        count(&k->part, "lost");
        job->err = ox_parts_mark_lost(job->node->storage, &k->part, &job->diag);
    }
    OX_LOG_ERROR("mender",
                 "STORED DATA IS DAMAGED: the engine cannot read a part, and its rows are nowhere else, or "
                 "nobody can tell; it is kept in the table's directory `detached`, see "
                 "docs/runbooks/damaged-data.md",
                 OX_F_STR("table", k->part.table), OX_F_STR("part", k->part.name),
                 OX_F_STR("partition", k->part.partition), OX_F_BOOL("rows_known", k->missing != UINT64_MAX),
                 OX_F_U64("rows_missing", k->missing != UINT64_MAX ? k->missing : 0));
}

/* How many of the part's rows are in none of those that it was made of. */
static uint64_t
count_missing(struct ox__mend_job *job, const struct ox_part *part)
{
    uint64_t rows = 0;
    if (part->level > 0)
        job->err = ox_parts_between(job->node->storage, part, &rows, &job->diag);
    if (part->rows == UINT64_MAX)
        return UINT64_MAX;
    return rows < part->rows ? part->rows - rows : 0;
}

/* Whether blocks in doubt, which have all been counted by now, explain what is missing. Of a part by an insert
 * whose number of rows nobody knows it is enough that there were any. */
static bool
explained(struct ox__mend_job *job, const struct ox__mend_known *k, enum ox_table table)
{
    uint64_t *doubted = table != OX_TABLE__COUNT ? &job->doubted[table] : NULL;
    if (doubted == NULL || *doubted == 0)
        return false;
    if (k->missing == UINT64_MAX)
        return k->part.level == 0;
    if (k->missing > *doubted)
        return false;
    *doubted -= k->missing;
    job->explained[table] += k->missing;
    return true;
}

/* Removes `k` from the list when it is settled. */
static void
judge_one(struct ox__mend_job *job, struct ox__mend_known *k)
{
    enum ox_table table = source_of(k->part.table);
    if (k->verdict == OX__MEND_NONE && !k->part.lost) {
        k->missing = count_missing(job, &k->part);
        if (job->err != OX_OK)
            return;
        if (k->missing == 0) {
            forget(job, k, "sources",
                   "a merged part that could not be read is removed: the parts that it was merged of are "
                   "back");
            return;
        }
        k->verdict = OX__MEND_WAITS; /* until the next look at least: an insert may fail at this moment */
        job->waiting++;
    } else if (k->part.lost) { /* by an earlier node */
        give_up(job, k);
    } else if (k->verdict == OX__MEND_WAITS && unsure(job->node, table)) {
        job->waiting++;
    } else if (k->verdict == OX__MEND_WAITS && explained(job, k, table)) {
        forget(job, k, "again", "a part that could not be read is removed: its block was counted anew");
    } else {
        give_up(job, k);
    }
}

/* Fills `known` with what is set aside now, keeping what was known of it. */
static void
update(struct ox__mend_job *job, const struct ox_parts *aside)
{
    struct ox__mend_list *was = calloc(1, sizeof(*was));
    if (was == NULL) {
        job->err = OX_E_NOMEM;
        return;
    }
    *was = job->known;
    job->known.n = 0;
    for (size_t i = 0; i < aside->n; i++) {
        const struct ox__mend_known *before = ox__mend_find(was, &aside->items[i]);
        struct ox__mend_known *k = &job->known.items[job->known.n++];
        *k = before != NULL ? *before : (struct ox__mend_known){aside->items[i], OX__MEND_NONE, UINT64_MAX};
    }
    free(was);
}

static void
judge(struct ox__mend_job *job)
{
    struct ox_parts *aside = calloc(1, sizeof(*aside));
    job->err = aside != NULL ? ox_parts_set_aside(job->node->storage, aside, &job->diag) : OX_E_NOMEM;
    if (job->err == OX_OK)
        update(job, aside);
    free(aside);
    for (size_t i = job->known.n; i > 0 && job->err == OX_OK; i--) /* the last takes a removed one's place */
        judge_one(job, &job->known.items[i - 1]);
}

void
ox__mend_job_run(void *arg)
{
    struct ox__mend_job *job = arg;
    ox_diag_clear(&job->diag);
    job->err = OX_OK;
    if (job->judge)
        judge(job);
    else
        look(job);
}
