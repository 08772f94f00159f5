/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/storage/pruner.c - looks at the tables and the data disk now and then, and makes room by policy.
 *
 * Owns:    nothing but when it looks next.
 * Threads: the actor's turns; the looking is on a dirty thread.
 * Bounds:  one job; LOOK_MS between two, REST_NS between two that removed user data.
 * Fails:   said in the log, and tried again with the next look.
 * Flow:    a timer -> here -(dirty)-> prune_job.c -> here.
 *
 * After stored data was removed it rests: files that a question still reads go when that has ended, and would else be made
 * up for by more.
 */
#include <stdlib.h>

#include "actors/storage/prune_job.h"
#include "ox/log.h"
#include "ox/prune.h"

#define LOOK_MS 5000
#define REST_NS 60000000000ull

struct pruner {
    struct ox_node *node;
    uint64_t rest_until_ns;
    bool told_short, told_failed;
};

static void
look_later(struct ox_actor *self)
{
    uint64_t ref;
    if (ox_timer_start(self, LOOK_MS, OX_K_prune_tick, 0, &ref) != OX_OK)
        ox_panic("no timer for the pruner");
}

static ox_err
pruner_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct pruner *p = ox_actor_state(self);
    (void)diag;
    p->node = arg;
    look_later(self);
    return OX_OK;
}

static bool
may_look(const struct pruner *p)
{
    return ox_config_embedded(p->node->config) && ox_node_phase(p->node) == OX_NODE_RUNNING &&
           atomic_load_explicit(&p->node->storage_migrated, memory_order_acquire);
}

static void
on_prune_tick(struct ox_actor *self, struct pruner *p)
{
    struct ox__prune_job *job = may_look(p) ? calloc(1, sizeof(*job)) : NULL;
    if (job != NULL) {
        job->node = p->node;
        job->config = ox_node_config(p->node);
        job->user_data = ox_now_ns() >= p->rest_until_ns;
        if (ox_dirty_submit(self, NULL, ox__prune_job_run, job, OX_K_pruned, free, NULL) == OX_OK)
            return;
        free(job);
    }
    look_later(self);
}

/* Said when it begins, not with each look. */
static void
say(struct pruner *p, const struct ox__prune_job *job)
{
    if (job->err != OX_OK && !p->told_failed)
        OX_LOG_ERROR("pruner", "stored data cannot be removed to make room; tried again", OX_F_ERR(job->err),
                     OX_F_DIAG(&job->diag));
    if (job->short_of && !p->told_short)
        OX_LOG_WARN("pruner",
                    "the data disk is fuller than storage.prune_above, and all stored data that is left is "
                    "younger than storage.prune_min_age or is never removed");
    p->told_failed = job->err != OX_OK;
    if (job->user_data)
        p->told_short = job->short_of;
}

static void
on_pruned(struct ox_actor *self, struct pruner *p, const struct ox__prune_job *job)
{
    say(p, job);
    if (job->partitions > 0)
        p->rest_until_ns = ox_now_ns() + REST_NS;
    look_later(self);
}

static void
pruner_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct pruner *p = ox_actor_state(self);
    switch (msg->kind) {
    case OX_K_prune_tick:
        on_prune_tick(self, p);
        break;
    case OX_K_pruned:
        on_pruned(self, p, msg->data);
        break;
    default:
        OX_LOG_WARN("pruner", "unknown message", OX_F_U64("kind", msg->kind));
    }
}

const struct ox_actor_class ox_pruner_class = {
    .name = "pruner",
    .state_size = sizeof(struct pruner),
    .on_start = pruner_start,
    .on_message = pruner_message,
};
