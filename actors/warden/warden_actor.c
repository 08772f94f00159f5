/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/warden/warden_actor.c - what the runtime's hooks see, made durable on a lane of its own.
 *
 * Owns:    one job per quarantine until it is durable.
 * Threads: one actor; files are written on its lane.
 * Bounds:  its control mailbox; one save of obituaries at a time.
 * Fails:   a quarantine that cannot be written down is in force all the same, and is tried again every RETRY_MS; a node that
 *          ends meanwhile forgets it and learns it again from the next crashes.
 * Flow:    hooks -obituary, quarantined-> here -(lane)-> files.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/warden/warden_internal.h"
#include "ox/log.h"

#define RETRY_MS 1000

struct warden_state {
    struct ox_warden *w;
};

/* One tenant on its way into the list. */
struct quarantine_job {
    struct ox_warden *w;
    struct ox_quarantined entry;
    bool in_force;
    ox_err err;
};

static ox_err
warden_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct ox_warden *w = arg;
    ((struct warden_state *)ox_actor_state(self))->w = w;
    /* The incarnation before may have crashed with the word that obituaries are to be saved in its hands. */
    if (ox_actor_restarts(self) > 0) {
        atomic_store_explicit(&w->saving, false, memory_order_release);
        ox_warden_crashed(w);
    }
    return OX_OK;
}

/* ---- from the hooks ---- */

void
ox_warden_crashed(struct ox_warden *w)
{
    if (ox_pid_is_none(w->pid) || atomic_exchange_explicit(&w->saving, true, memory_order_acq_rel))
        return;
    struct ox_msg *msg = ox_msg_new(OX_K_obituary, NULL, 0, NULL);
    if (msg != NULL)
        msg->flags |= OX_MSG_F_CONTROL;
    if (msg == NULL || ox_send(w->pid, &msg) != OX_OK)
        atomic_store_explicit(&w->saving, false, memory_order_release); /* with the next one */
    ox_msg_free(msg);
}

/* Behind its restart the warden finds it in its mailbox again. */
void
ox_warden_set_aside(struct ox_warden *w, struct ox_msg *msg)
{
    struct ox_msg *again = msg->kind == OX_K_quarantined && msg->data != NULL
                               ? ox_msg_new(OX_K_quarantined, msg->data, 0, free)
                               : NULL;
    if (again == NULL)
        return;
    msg->data = NULL;
    again->flags |= OX_MSG_F_CONTROL;
    if (ox_send(w->pid, &again) != OX_OK)
        OX_LOG_ERROR("warden", "a quarantine is not written down: it ends with this node");
    ox_msg_free(again);
}

static void
fill(struct ox_warden *w, struct quarantine_job *job, const char *tenant, uint32_t crashes)
{
    job->w = w;
    snprintf(job->entry.tenant.name, sizeof(job->entry.tenant.name), "%s", tenant);
    job->entry.crashes = crashes;
    job->entry.since_ns = ox_clock_realtime_ns(w->node->clock);
    job->entry.has_last = ox_crashes_find(w->node->crashes, 0, tenant, &job->entry.last);
}

void
ox_warden_quarantined(struct ox_warden *w, const char *tenant, uint32_t crashes)
{
    struct quarantine_job *job = calloc(1, sizeof(*job));
    struct ox_msg *msg = job != NULL ? ox_msg_new(OX_K_quarantined, job, 0, free) : NULL;
    if (msg != NULL) {
        fill(w, job, tenant, crashes);
        msg->flags |= OX_MSG_F_CONTROL;
    } else {
        free(job);
    }
    if (msg == NULL || ox_send(w->pid, &msg) != OX_OK) {
        OX_LOG_ERROR("warden", "a quarantine is not written down: it ends with this node",
                     OX_F_STR("tenant", tenant));
        ox__warden_apply(w->node, tenant, crashes);
    }
    ox_msg_free(msg);
}

/* ---- on the lane ---- */

static void
save_job(void *arg)
{
    struct ox_warden *w = arg;
    /* Before the look: what is noted from here on asks again. */
    atomic_store_explicit(&w->saving, false, memory_order_release);
    ox_err err = ox_crashes_save(w->node->crashes);
    if (err != OX_OK)
        OX_LOG_WARN("warden", "obituaries cannot be kept; crash/obituaries.jsonl lacks the latest",
                    OX_F_ERR(err));
}

static void
put_job(void *arg)
{
    struct quarantine_job *job = arg;
    job->err = ox_quarantine_put(job->w->quarantine, &job->entry);
    if (!job->in_force)
        ox__warden_apply(job->w->node, job->entry.tenant.name, job->entry.crashes);
    job->in_force = true;
}

/* ---- the actor ---- */

static void
on_obituary(struct ox_actor *self, struct ox_warden *w)
{
    if (ox_dirty_submit(self, w->lane, save_job, w, OX_K_obituaries_saved, NULL, NULL) != OX_OK)
        atomic_store_explicit(&w->saving, false, memory_order_release); /* saved with the next one */
}

/* job: take. */
static void
keep(struct ox_actor *self, struct ox_warden *w, struct quarantine_job *job)
{
    uint64_t ref;
    if (ox_dirty_submit(self, w->lane, put_job, job, OX_K_quarantine_kept, free, NULL) == OX_OK)
        return;
    if (!job->in_force)
        ox__warden_apply(w->node, job->entry.tenant.name, job->entry.crashes);
    job->in_force = true;
    if (ox_timer_start(self, RETRY_MS, OX_K_retry, (uintptr_t)job, &ref) == OX_OK)
        return;
    OX_LOG_ERROR("warden", "a quarantine is not written down: it ends with this node",
                 OX_F_STR("tenant", job->entry.tenant.name));
    free(job);
}

static void
on_quarantine_kept(struct ox_actor *self, struct ox_msg *msg)
{
    struct quarantine_job *job = msg->data;
    uint64_t ref;
    if (job->err == OX_OK)
        return;
    OX_LOG_ERROR("warden", "a quarantine is in force and cannot be written down; tried again",
                 OX_F_STR("tenant", job->entry.tenant.name), OX_F_ERR(job->err));
    if (ox_timer_start(self, RETRY_MS, OX_K_retry, (uintptr_t)job, &ref) == OX_OK)
        msg->data = NULL;
}

static void
warden_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct ox_warden *w = ((struct warden_state *)ox_actor_state(self))->w;
    switch (msg->kind) {
    case OX_K_obituary:
        on_obituary(self, w);
        break;
    case OX_K_quarantined:
        keep(self, w, msg->data);
        msg->data = NULL;
        break;
    case OX_K_quarantine_kept:
        on_quarantine_kept(self, msg);
        break;
    case OX_K_retry:
        keep(self, w, (struct quarantine_job *)(uintptr_t)msg->num);
        break;
    case OX_K_obituaries_saved:
        break;
    default:
        OX_LOG_WARN("warden", "unknown message", OX_F_U64("kind", msg->kind));
    }
}

const struct ox_actor_class ox_warden_class = {
    .name = "warden",
    .state_size = sizeof(struct warden_state),
    .on_start = warden_start,
    .on_message = warden_message,
    .pending_max = 8192, /* a job or timer per quarantine that is not durable yet */
    .control_msgs_max = 8192,
};
