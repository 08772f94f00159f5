/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/storage/mender.c - notices that storage cannot read what it holds, and has the embedded engine restarted.
 *
 *   WATCHING --a question met a broken part, or the engine has counted errors--> looked at --broken--> restart asked
 *      ^                                                                                                 |
 *      '------ what it set aside is judged: removed, waits for the outbox, or said to be lost <--engine_up
 *
 * Owns:    what was found and not settled; when the next restart may be.
 * Threads: the actor's turns; looking and judging on a dirty thread.
 * Bounds:  one job, one because of answers in LOOK_NS; supervisor.max_restarts restarts in
 *          supervisor.restart_window, backing off between them as a supervisor does; a part that a restart did not
 *          mend is no reason for another.
 * Fails:   said in the log, and tried again with the next look.
 * Flow:    storage_call.c counts answers; a timer -> here -(dirty)-> mend_job.c -> here -> the heart's line ->
 *          engine_up.
 *
 * A server elsewhere is not ours to restart: what it cannot read is logged, counted, and noted in /ready.
 */
#include "ox/mender.h"

#include <stdlib.h>

#include "actors/storage/mend_job.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/storage.h"

#define TICK_MS       250 /* a number in memory is looked at */
#define LOOK_NS       UINT64_C(2000000000)
#define RESTART_NS    UINT64_C(60000000000) /* for a restart that nobody heard of to be asked for again */
#define TELL_AGAIN_NS UINT64_C(60000000000)

struct mender {
    struct ox_node *node;
    const struct ox_mender_arg *arg;
    uint64_t answers;               /* that were looked into */
    uint64_t errors;                /* of the engine's own count, when it was looked at last */
    uint64_t look_at_ns, met_at_ns; /* the next look of itself; the next because of an answer */
    uint32_t engine;                /* counts its starts */
    bool working;                   /* a job is under way */
    bool engine_new;                /* what it has set aside was not looked at yet */
    bool scan;                      /* the parts are to be looked at, whatever the numbers say */
    bool waiting; /* some of what was set aside waits for the outbox: judged again, in turn with the looks; */
    bool lost_seen;            /* some is lost: likewise, until somebody removes it */
    bool judged;               /* the last job judged */
    uint64_t restart_asked_ns; /* 0 = none is awaited */
    uint64_t window_ns, next_ns;
    uint32_t restarts; /* in this window */
    uint64_t told_ns;
    uint32_t lost, unreadable;
    /* Rows of blocks in doubt, of all since the start: when nothing was wrong last, and those that have explained
     * what was missing since then. */
    uint64_t calm[OX_TABLE__COUNT], spent[OX_TABLE__COUNT];
    struct ox__mend_list *known; /* before a restart what is broken, then what was set aside */
    struct ox_parts *tried;      /* a restart was asked for because of them */
};

static void
look_later(struct ox_actor *self)
{
    uint64_t ref;
    if (ox_timer_start(self, TICK_MS, OX_K_mend_tick, 0, &ref) != OX_OK)
        ox_panic("no timer for the mender");
}

static ox_err
mender_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct mender *m = ox_actor_state(self);
    m->arg = arg;
    m->node = m->arg->node;
    m->known = calloc(1, sizeof(*m->known));
    m->tried = calloc(1, sizeof(*m->tried));
    if (m->known == NULL || m->tried == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, "mender", -1, "no memory for its lists of parts");
    m->engine_new = true;
    look_later(self);
    return OX_OK;
}

static void
mender_stop(struct ox_actor *self, enum ox_exit reason)
{
    struct mender *m = ox_actor_state(self);
    free(m->known);
    free(m->tried);
}

/* ---- a server elsewhere ---- */

static void
tell_remote(struct mender *m, const struct ox_part *part, uint64_t now)
{
    atomic_store_explicit(&m->node->damage_told_ns, ox_clock_realtime_ns(m->node->clock),
                          memory_order_relaxed);
    if (m->told_ns != 0 && now - m->told_ns < TELL_AGAIN_NS)
        return;
    m->told_ns = now;
    OX_LOG_ERROR("mender",
                 "storage says that it cannot read a part of what it holds; it is not ours to mend: see "
                 "docs/runbooks/damaged-data.md",
                 OX_F_STR("table", part->table), OX_F_STR("part", part->name));
}

/* ---- jobs ---- */

static uint64_t
rows_in_doubt(const struct mender *m, int table)
{
    return atomic_load_explicit(&m->node->outbox_unsure_rows[table], memory_order_relaxed);
}

static uint64_t
doubted(const struct mender *m, int table)
{
    return rows_in_doubt(m, table) - m->calm[table] - m->spent[table];
}

/* Nothing is wrong: what was in doubt until now explains nothing that is missing later. */
static void
note_calm(struct mender *m)
{
    for (int t = 0; t < OX_TABLE__COUNT; t++) {
        m->calm[t] = rows_in_doubt(m, t);
        m->spent[t] = 0;
    }
}

static void
submit(struct ox_actor *self, struct mender *m, bool judge, const struct ox_part *named)
{
    struct ox__mend_job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return;
    job->node = m->node;
    job->judge = judge;
    job->scan = m->scan;
    job->engine = m->engine;
    job->errors_before = m->errors;
    job->known = *m->known;
    job->named = *m->tried;
    for (int t = 0; t < OX_TABLE__COUNT; t++)
        job->doubted[t] = doubted(m, t);
    if (named != NULL)
        ox_parts_add(&job->named, named);
    m->working = ox_dirty_submit(self, NULL, ox__mend_job_run, job, OX_K_mend_looked, free, NULL) == OX_OK;
    if (!m->working)
        free(job);
}

static bool
may_look(const struct mender *m)
{
    return !m->working && ox_node_phase(m->node) == OX_NODE_RUNNING &&
           atomic_load_explicit(&m->node->storage_migrated, memory_order_acquire);
}

static void
on_mend_tick(struct ox_actor *self, struct mender *m)
{
    struct ox_part last;
    uint64_t now = ox_now_ns(), answers = ox_storage_damage(m->node->storage, &last);
    bool met = answers != m->answers && ox_parts_find(m->tried, &last) == NULL; /* those are known */
    look_later(self);
    if (!ox_config_embedded(m->node->config)) {
        if (answers != m->answers)
            tell_remote(m, &last, now);
        m->answers = answers;
        return;
    }
    met = met && now >= m->met_at_ns;
    if (!may_look(m) || (!met && now < m->look_at_ns))
        return;
    if (m->restart_asked_ns != 0 && now - m->restart_asked_ns < RESTART_NS)
        return; /* the engine that would be asked is on its way out */
    m->restart_asked_ns = 0;
    m->scan |= met;
    bool judge = m->engine_new || ((m->waiting || m->lost_seen) && !m->judged);
    submit(self, m, judge, met ? &last : NULL);
    m->judged = judge;
    if (!judge)
        m->answers = answers;
    m->look_at_ns = now + LOOK_NS;
    if (met)
        m->met_at_ns = now + LOOK_NS;
}

static void
publish(const struct mender *m)
{
    uint32_t parts = m->lost + m->unreadable;
    atomic_store_explicit(&m->node->damaged_parts, parts, memory_order_relaxed);
    atomic_store_explicit(&m->node->damaged_active, m->unreadable, memory_order_relaxed);
    ox_metric_set(OX_M_storage_damaged, parts);
}

/* ---- the restart ---- */

static uint64_t
backoff_ns(const struct ox_config *config, uint32_t restarts)
{
    uint64_t min = (uint64_t)config->supervisor_backoff_min_ms,
             max = (uint64_t)config->supervisor_backoff_max_ms;
    uint64_t ms = restarts > 16 ? max : min << restarts;
    return (ms < max ? ms : max) * 1000000;
}

/* As often as a supervisor would, and no more. False: not now. */
static bool
take_turn(struct mender *m, uint64_t now)
{
    const struct ox_config *config = ox_node_config(m->node);
    uint64_t window = (uint64_t)config->supervisor_restart_window_ms * 1000000;
    if (now - m->window_ns >= window) {
        m->window_ns = now;
        m->restarts = 0;
    }
    if (now < m->next_ns || m->restarts >= (uint32_t)config->supervisor_max_restarts)
        return false;
    m->restarts++;
    m->next_ns = now + backoff_ns(config, m->restarts);
    return true;
}

static void
ask_for_restart(struct mender *m, const struct ox__mend_job *job, uint64_t now)
{
    *m->known = job->known;
    for (size_t i = 0; i < job->known.n; i++) {
        const struct ox_part *part = &job->known.items[i].part;
        if (ox_parts_find(m->tried, part) == NULL)
            ox_parts_add(m->tried, part);
        OX_LOG_WARN("mender", "the engine holds a part that it cannot read", OX_F_STR("table", part->table),
                    OX_F_STR("part", part->name), OX_F_U64("rows", part->rows),
                    OX_F_U64("level", part->level));
    }
    OX_LOG_ERROR("mender",
                 "the engine is restarted: the disk failed while it wrote, and it holds parts that it cannot "
                 "read; a start sets them aside and takes back what they were merged of. Ingest goes on, "
                 "questions wait",
                 OX_F_U64("parts", job->known.n));
    ox_metric_add(OX_M_storage_mend_restarts, 1);
    m->restart_asked_ns = now;
    m->arg->restart(m->arg->ctx);
}

/* Those that a restart did not mend: their bytes are wrong, not their sizes. The others leave the list, since names
 * of parts come again. */
static uint32_t
count_tried(struct mender *m, const struct ox__mend_job *job)
{
    size_t n = 0;
    for (size_t i = 0; i < job->known.n; i++) {
        struct ox_part *tried = ox_parts_find(m->tried, &job->known.items[i].part);
        if (tried == NULL || tried < &m->tried->items[n])
            continue;
        *tried = m->tried->items[n];
        m->tried->items[n++] = job->known.items[i].part;
    }
    m->tried->n = n;
    return (uint32_t)n;
}

static void
on_scanned(struct mender *m, const struct ox__mend_job *job, uint64_t now)
{
    uint32_t tried = count_tried(m, job);
    if (tried > m->unreadable)
        OX_LOG_ERROR("mender",
                     "STORED DATA IS DAMAGED: parts are not what their checksums say, and a restart of the "
                     "engine did not mend them: see docs/runbooks/damaged-data.md",
                     OX_F_U64("parts", tried), OX_F_STR("table", job->known.items[0].part.table),
                     OX_F_STR("part", job->known.items[0].part.name));
    m->unreadable = tried;
    m->scan = false;
    if (job->known.n == tried)
        return;
    if (take_turn(m, now)) {
        ask_for_restart(m, job, now);
        return;
    }
    m->scan = true; /* looked at again, and then perhaps */
    if (m->told_ns == 0 || now - m->told_ns >= TELL_AGAIN_NS) {
        m->told_ns = now;
        OX_LOG_ERROR("mender",
                     "the engine holds parts that it cannot read and was restarted for that too often of "
                     "late: it is restarted later",
                     OX_F_U64("parts", job->known.n));
    }
}

static void
on_mend_looked(struct mender *m, const struct ox__mend_job *job)
{
    m->working = false;
    if (job->engine != m->engine)
        return;
    if (job->err != OX_OK) {
        OX_LOG_INFO("mender", "storage does not say which of its parts can be read; asked again",
                    OX_F_ERR(job->err), OX_F_DIAG(&job->diag));
        return;
    }
    if (job->judge) {
        *m->known = job->known;
        m->lost = job->lost;
        m->waiting = job->waiting > 0;
        m->lost_seen = job->lost > 0;
        for (int t = 0; t < OX_TABLE__COUNT; t++)
            m->spent[t] += job->explained[t];
        m->engine_new = false;
    } else {
        m->errors = job->errors;
        if (job->scanned)
            on_scanned(m, job, ox_now_ns());
        else if (!m->waiting && !m->engine_new)
            note_calm(m);
    }
    publish(m);
}

static void
on_engine_up(struct mender *m)
{
    m->engine++;
    m->restart_asked_ns = 0;
    m->engine_new = true;
    m->errors = 0;
    m->scan = m->tried->n > 0; /* did it help? */
    m->look_at_ns = 0;
}

static void
mender_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct mender *m = ox_actor_state(self);
    switch (msg->kind) {
    case OX_K_mend_tick:
        on_mend_tick(self, m);
        break;
    case OX_K_mend_looked:
        on_mend_looked(m, msg->data);
        break;
    case OX_K_engine_up:
        on_engine_up(m);
        break;
    default:
        OX_LOG_WARN("mender", "unknown message", OX_F_U64("kind", msg->kind));
    }
}

const struct ox_actor_class ox_mender_class = {
    .name = "mender",
    .state_size = sizeof(struct mender),
    .on_start = mender_start,
    .on_message = mender_message,
    .on_stop = mender_stop,
};
