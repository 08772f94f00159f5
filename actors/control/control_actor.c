/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/control_actor.c - listens for changes of tenants and keys, and writes down when keys were used.
 *
 * Owns:    nothing; its lane runs one job after the other.
 * Threads: the actor's loop begins jobs; the lane waits at the store.
 * Bounds:  a job takes WATCH_MS and what the store's time-outs allow.
 * Fails:   never: a store that does not answer is asked again after WATCH_MS, for ever.
 * Flow:    node start -> here -(lane)-> key_cache.c -> control_watched -> here.
 *
 * A change is heard of at once where the store tells (PostgreSQL's NOTIFY, a write of this node), and after WATCH_MS
 * where it does not: half of the second in which a revocation has to be in force.
 */
#include "ox/key_cache.h"
#include "ox/log.h"
#include "ox/spine.h"

#define WATCH_MS 500
#define FLUSH_NS 1000000000ull

struct control_state {
    struct ox_control_arg *arg;
};

static void
watch(void *arg)
{
    struct ox_control_arg *a = arg;
    struct ox_key_cache_status status;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    a->err = ox_key_cache_watch(a->cache, WATCH_MS, &diag);
    ox_key_cache_status(a->cache, &status);
    if (!status.up ||
        ox_now_ns() - a->flushed_ns < FLUSH_NS) /* up: it answers, whether it can be listened to or not */
        return;
    a->flushed_ns = ox_now_ns();
    ox_err err = ox_key_cache_flush(a->cache, &diag);
    if (err != OX_OK) /* the next minute's use is written down then */
        OX_LOG_WARN("control", "the last use of keys is not written down", OX_F_ERR(err), OX_F_DIAG(&diag));
}

static void
wait_a_little(struct ox_actor *self)
{
    if (ox_timer_start(self, WATCH_MS, OX_K_retry, 0, NULL) != OX_OK)
        ox_panic("no timer to watch the control plane by"); /* the next incarnation begins anew */
}

static void
begin(struct ox_actor *self, struct ox_control_arg *a)
{
    if (ox_dirty_submit(self, a->lane, watch, a, OX_K_control_watched, NULL, NULL) != OX_OK)
        wait_a_little(self);
}

static ox_err
control_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    ((struct control_state *)ox_actor_state(self))->arg = arg;
    begin(self, arg);
    return OX_OK;
}

static void
control_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct ox_control_arg *a = ((struct control_state *)ox_actor_state(self))->arg;
    if (msg->kind == OX_K_control_watched && a->err != OX_OK)
        wait_a_little(self);
    else if (msg->kind == OX_K_control_watched || msg->kind == OX_K_retry)
        begin(self, a);
    else
        OX_LOG_WARN("control", "unknown message", OX_F_U64("kind", msg->kind));
}

/* The lane must not keep the node's end waiting. */
static void
control_stop(struct ox_actor *self, enum ox_exit reason)
{
    ox_key_cache_wake(((struct control_state *)ox_actor_state(self))->arg->cache);
}

const struct ox_actor_class ox_control_class = {
    .name = "control",
    .state_size = sizeof(struct control_state),
    .on_start = control_start,
    .on_message = control_message,
    .on_stop = control_stop,
};
