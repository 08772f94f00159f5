/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/warden/warden_actor.c - what the runtime's hooks see, made durable on a lane of its own.
 *
 * Owns:    nothing: what waits to be written stands in struct ox_warden, so that the actor's crash takes none of it along.
 * Threads: one actor; files are written on its lane.
 * Bounds:  one job for obituaries and one for quarantines, each asked for once.
 * Fails:   a quarantine that cannot be written down is in force all the same, and is tried again every RETRY_MS; a node that
 *          ends meanwhile forgets it and learns it again from the next crashes.
 * Flow:    hooks -obituary, quarantined-> here -(lane)-> files.
 *
 * A message means "look". A new incarnation looks by itself: the one before may have crashed with the word in its hands, or
 * with a timer running.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/warden/warden_internal.h"
#include "ox/log.h"

#define RETRY_MS 1000

struct warden_state {
    struct ox_warden *w;
    uint64_t retry; /* timer */
};

static ox_err
warden_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct ox_warden *w = arg;
    ((struct warden_state *)ox_actor_state(self))->w = w;
    if (ox_actor_restarts(self) > 0) {
        atomic_store_explicit(&w->saving, false, memory_order_release);
        atomic_store_explicit(&w->keeping, false, memory_order_release);
        ox_warden_crashed(w);
        ox__warden_ask(w, &w->keeping, OX_K_quarantined);
    }
    return OX_OK;
}

/* ---- from the hooks ---- */

bool
ox__warden_ask(struct ox_warden *w, _Atomic bool *asked, uint32_t kind)
{
    if (ox_pid_is_none(w->pid) || atomic_exchange_explicit(asked, true, memory_order_acq_rel))
        return true;
    struct ox_msg *msg = ox_msg_new(kind, NULL, 0, NULL);
    if (msg != NULL)
        msg->flags |= OX_MSG_F_CONTROL;
    bool sent = msg != NULL && ox_send(w->pid, &msg) == OX_OK;
    if (!sent)
        atomic_store_explicit(asked, false, memory_order_release); /* with the next one */
    ox_msg_free(msg);
    return sent;
}

void
ox_warden_crashed(struct ox_warden *w)
{
    (void)ox__warden_ask(w, &w->saving, OX_K_obituary);
}

void
ox_warden_quarantined(struct ox_warden *w, const char *tenant, uint32_t crashes)
{
    struct ox_quarantined entry = {.crashes = crashes, .since_ns = ox_clock_realtime_ns(w->node->clock)};
    snprintf(entry.tenant.name, sizeof(entry.tenant.name), "%s", tenant);
    entry.has_last = ox_crashes_find(w->node->crashes, 0, tenant, &entry.last);
    bool noted = ox__unkept_add(w->unkept, &entry);
    if (noted && ox__warden_ask(w, &w->keeping, OX_K_quarantined))
        return;
    OX_LOG_ERROR("warden", "a quarantine is not written down yet; should the node end now, it ends with it",
                 OX_F_STR("tenant", tenant));
    ox__warden_apply(w->node, tenant, crashes);
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
keep_job(void *arg)
{
    struct ox_warden *w = arg;
    atomic_store_explicit(&w->keeping, false, memory_order_release); /* as above */
    ox__unkept_keep(w->unkept, w->node, w->quarantine);
}

/* ---- the actor ---- */

static void
on_obituary(struct ox_actor *self, struct ox_warden *w)
{
    if (ox_dirty_submit(self, w->lane, save_job, w, OX_K_obituaries_saved, NULL, NULL) != OX_OK)
        atomic_store_explicit(&w->saving, false, memory_order_release); /* saved with the next one */
}

static void
again_soon(struct ox_actor *self, struct warden_state *st)
{
    if (st->retry == 0 && ox_timer_start(self, RETRY_MS, OX_K_retry, 0, &st->retry) != OX_OK)
        ox_panic("no timer for quarantines that wait to be written");
}

static void
on_quarantined(struct ox_actor *self, struct warden_state *st)
{
    struct ox_warden *w = st->w;
    if (ox_dirty_submit(self, w->lane, keep_job, w, OX_K_quarantine_kept, NULL, NULL) == OX_OK)
        return;
    atomic_store_explicit(&w->keeping, false, memory_order_release);
    again_soon(self, st);
}

static void
on_quarantine_kept(struct ox_actor *self, struct warden_state *st)
{
    if (!ox__unkept_empty(st->w->unkept))
        again_soon(self, st);
}

static void
warden_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct warden_state *st = ox_actor_state(self);
    switch (msg->kind) {
    case OX_K_obituary:
        on_obituary(self, st->w);
        break;
    case OX_K_quarantined:
        on_quarantined(self, st);
        break;
    case OX_K_quarantine_kept:
        on_quarantine_kept(self, st);
        break;
    case OX_K_retry:
        st->retry = 0;
        on_quarantined(self, st);
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
};
