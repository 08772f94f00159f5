/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/supervisor.c - the supervisor's handlers: starting, restarting, stopping children.
 *
 * Owns:    its children (sup_child.c).
 * Threads: own.
 * Bounds:  children_max; one timer per child.
 * Fails:   a failed check here ends the process (dispatch.c): nobody supervises the supervision.
 *
 * A child's life:   STARTING -> RUNNING -> (ends) -> BACKOFF -> STARTING ...
 *                                       -> STOPPED       ended and not to be restarted
 *                                       -> QUARANTINED   past its intensity, until revoked
 *                   any -> STOPPING -> STOPPED           on request, or with the supervisor
 * Nothing blocks: waiting is one of these states plus a timer.
 */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/core/sup.h"

#define CONTROL_MAX 65536u        /* children added at one time, unread */
#define PENDING_MAX (4u * 65536u) /* a timer per child, and room for its own calls */

/* ---- starting ---- */

static void
wait_append(struct ox__sup *sup, struct ox__child *child)
{
    child->waiting = true;
    child->wait_next = NULL;
    if (sup->wait_last != NULL)
        sup->wait_last->wait_next = child;
    else
        sup->wait_first = child;
    sup->wait_last = child;
}

static void
wait_remove(struct ox__sup *sup, struct ox__child *child)
{
    struct ox__child *before = NULL;
    struct ox__child **at = &sup->wait_first;
    while (*at != NULL && *at != child) {
        before = *at;
        at = &(*at)->wait_next;
    }
    if (*at == NULL)
        return;
    *at = child->wait_next;
    if (sup->wait_last == child)
        sup->wait_last = before;
    child->waiting = false;
}

void
ox__sup_launch(struct ox__sup *sup, struct ox__child *child)
{
    if (child->in_order && sup->starting != NULL && sup->starting != child) {
        wait_append(sup, child);
        return;
    }
    if (child->in_order)
        sup->starting = child;
    ox_err err = ox__actor_start_held(child->pid);
    OX_ASSERT(err == OX_OK); /* only this supervisor may start or bury a held child */
}

/* The child that others waited for has started, or never will. */
static void
start_next(struct ox__sup *sup, struct ox__child *done)
{
    if (sup->starting != done)
        return;
    sup->starting = NULL;
    struct ox__child *next = sup->wait_first;
    if (next == NULL || sup->shutting)
        return;
    wait_remove(sup, next);
    ox__sup_launch(sup, next);
}

static void
forget(struct ox__sup *sup, struct ox__child *child)
{
    wait_remove(sup, child);
    ox__children_remove(sup, child);
    start_next(sup, child);
    ox__child_free(child);
}

static void
on_add(struct ox_actor *self, struct ox__sup *sup, struct ox_msg *msg)
{
    struct ox__child *child = msg->data;
    ox_err err = sup->shutting ? OX_E_UNAVAILABLE : ox__children_add(sup, child);
    if (err != OX_OK) { /* dropping the message buries the child */
        OX_LOG_ERROR("supervisor", "a child was refused", OX_F_STR("supervisor", sup->name),
                     OX_F_STR("child", child->id), OX_F_ERR(err));
        ox__actor_refuse(child->pid, err,
                         err == OX_E_EXISTS ? "a child with this id exists" : ox_err_text(err));
        return;
    }
    msg->data = NULL;
    if (child->spec.quarantined_crashes != 0) {
        child->crashes = child->spec.quarantined_crashes;
        child->state = OX_CHILD_QUARANTINED;
        ox__actor_quarantine_held(child->pid);
        return;
    }
    ox__sup_launch(sup, child);
}

static void
on_started(struct ox__sup *sup, ox_pid pid)
{
    struct ox__child *child = ox__children_by_pid(sup, pid);
    if (child == NULL)
        return;
    child->started_once = true;
    if (child->state == OX_CHILD_STARTING)
        child->state = OX_CHILD_RUNNING;
    start_next(sup, child);
}

/* ---- ends ---- */

static void
cancel_timer(struct ox_actor *self, struct ox__child *child)
{
    ox_timer_cancel(self, child->timer);
    child->timer = 0;
}

static void quarantine(struct ox__sup *sup, struct ox__child *child);

static void
restart_now(struct ox_actor *self, struct ox__sup *sup, struct ox__child *child)
{
    child->timer = 0;
    ox_err err = ox__actor_restart(child->pid);
    if (err == OX_OK) {
        child->restarts++;
        child->state = OX_CHILD_STARTING;
        return;
    }
    OX_LOG_ERROR("supervisor", "a child cannot be restarted now", OX_F_STR("supervisor", sup->name),
                 OX_F_STR("child", child->id), OX_F_ERR(err));
    /* No memory: later there may be some. Not even for a timer: then only an operator can help. */
    if (ox_timer_start(self, sup->policy.backoff_max_ms, OX__MSG_SUP_RESTART, (uintptr_t)child,
                       &child->timer) != OX_OK)
        quarantine(sup, child);
}

static void
restart_later(struct ox_actor *self, struct ox__sup *sup, struct ox__child *child, uint64_t backoff_ms)
{
    child->state = OX_CHILD_BACKOFF;
    ox_err err = ox_timer_start(self, backoff_ms, OX__MSG_SUP_RESTART, (uintptr_t)child, &child->timer);
    if (err != OX_OK) /* no memory for a timer: rather at once than never */
        restart_now(self, sup, child);
}

static void
escalate(struct ox_actor *self, struct ox__sup *sup, struct ox__child *child)
{
    const struct ox_runtime_hooks *hooks = &ox__rt->opt.hooks;
    child->state = OX_CHILD_STOPPED;
    OX_LOG_ERROR("supervisor", "a child passed its restart intensity, the supervisor gives up",
                 OX_F_STR("supervisor", sup->name), OX_F_STR("child", child->id));
    ox__actor_bury(child->pid);
    if (!ox_pid_is_none(sup->spec.parent)) {
        ox_exit(self, OX_EXIT_INTENSITY);
    } else if (hooks->root_failed != NULL) {
        hooks->root_failed(hooks->arg, sup->name);
        ox_exit(self, OX_EXIT_INTENSITY);
    } else {
        fprintf(stderr, "fatal: supervisor %s gave up on %s\n", sup->name, child->id);
        abort();
    }
}

static void
quarantine(struct ox__sup *sup, struct ox__child *child)
{
    const struct ox_runtime_hooks *hooks = &ox__rt->opt.hooks;
    child->state = OX_CHILD_QUARANTINED;
    ox__actor_quarantine(child->pid);
    OX_LOG_ERROR("supervisor", "a child passed its restart intensity and is quarantined",
                 OX_F_STR("supervisor", sup->name), OX_F_STR("child", child->id),
                 OX_F_U64("crashes", child->crashes),
                 OX_F_STR("tenant", ox_tenant_name(child->last_cause.tenant)));
    if (hooks->quarantined != NULL)
        hooks->quarantined(hooks->arg, sup->name, child->id, child->pid, child->crashes, child->last_cause);
    start_next(sup, child);
}

static bool
to_be_restarted(const struct ox__child *child, enum ox_exit reason)
{
    bool normal = reason == OX_EXIT_NORMAL || reason == OX_EXIT_SHUTDOWN;
    if (reason == OX_EXIT_START_FAILED && child->drop_if_start_fails && !child->started_once)
        return false;
    return child->spec.restart == OX_RESTART_PERMANENT ||
           (child->spec.restart == OX_RESTART_TRANSIENT && !normal);
}

/* It ended and stays so. */
static void
settle(struct ox__sup *sup, struct ox__child *child, enum ox_exit reason)
{
    ox__actor_bury(child->pid);
    child->state = OX_CHILD_STOPPED;
    bool never_was = child->drop_if_start_fails && !child->started_once;
    start_next(sup, child);
    if (child->spec.restart == OX_RESTART_TEMPORARY || never_was)
        forget(sup, child);
}

/* Within the intensity: *backoff_ms is how long to wait. */
static bool
admits(struct ox__sup *sup, struct ox__child *child, uint64_t *backoff_ms)
{
    if (child->spec.intensity == OX_SUP_PER_WINDOW)
        return ox__intensity_admits(&child->intensity, &sup->policy, ox_now_ns(), backoff_ms);
    *backoff_ms = ox__intensity_backoff(&child->intensity, &sup->policy, ox_now_ns());
    return child->barren <= sup->policy.max_restarts;
}

static void
ended_by_itself(struct ox_actor *self, struct ox__sup *sup, struct ox__child *child, enum ox_exit reason)
{
    uint64_t backoff_ms;
    if (reason != OX_EXIT_NORMAL && reason != OX_EXIT_SHUTDOWN)
        child->crashes++;
    if (!to_be_restarted(child, reason))
        settle(sup, child, reason);
    else if (admits(sup, child, &backoff_ms))
        restart_later(self, sup, child, backoff_ms);
    else if (child->spec.past_intensity == OX_SUP_ESCALATE)
        escalate(self, sup, child);
    else
        quarantine(sup, child);
}

static void stop_next(struct ox_actor *self, struct ox__sup *sup);

static void
ended_as_asked(struct ox_actor *self, struct ox__sup *sup, struct ox__child *child)
{
    struct ox_from stopper = child->stopper;
    cancel_timer(self, child);
    child->stopper = (struct ox_from){0};
    child->state = OX_CHILD_STOPPED;
    ox__actor_bury(child->pid);
    ox_reply_num(stopper, OX_MSG_SUP_REPLY, OX_OK, 0);
    if (sup->shutting) {
        stop_next(self, sup);
        return;
    }
    start_next(sup, child);
    if (child->spec.restart == OX_RESTART_TEMPORARY)
        forget(sup, child);
}

static void
on_child_exit(struct ox_actor *self, struct ox__sup *sup, struct ox_msg *msg)
{
    struct ox__child *child = ox__children_by_pid(sup, msg->from);
    if (child == NULL) {
        ox__actor_bury(msg->from);
        return;
    }
    if (msg->cause.tenant != 0 || msg->cause.wal_seq != 0)
        child->last_cause = msg->cause;
    if ((msg->num & OX__EXIT_PROGRESSED) != 0)
        child->barren = 0;
    child->barren += (msg->num & OX__EXIT_ON_TRIAL) == 0;
    if (child->state == OX_CHILD_STOPPING)
        ended_as_asked(self, sup, child);
    else
        ended_by_itself(self, sup, child, (enum ox_exit)(msg->num & OX__EXIT_REASON));
}

/* ---- stopping ---- */

static void
ask_to_stop(struct ox_actor *self, struct ox__child *child)
{
    uint32_t ms =
        child->spec.shutdown_ms == OX_SHUTDOWN_DEFAULT ? SHUTDOWN_MS_DEFAULT : child->spec.shutdown_ms;
    child->state = OX_CHILD_STOPPING;
    if (ms == OX_SHUTDOWN_BRUTAL) {
        (void)ox_kill(child->pid);
        return;
    }
    (void)ox_stop(child->pid);
    if (ox_timer_start(self, ms, OX__MSG_SUP_SHUTDOWN, (uintptr_t)child, &child->timer) != OX_OK)
        (void)ox_kill(child->pid); /* without a timer nothing would bound the wait */
}

bool
ox__sup_stop_child(struct ox_actor *self, struct ox__sup *sup, struct ox__child *child)
{
    switch (child->state) {
    case OX_CHILD_STOPPED:
        return true;
    case OX_CHILD_STOPPING:
        return false;
    case OX_CHILD_RUNNING:
        break;
    case OX_CHILD_STARTING:
        if (!child->waiting)
            break;
        wait_remove(sup, child);
        /* fall through */
    default: /* held, BACKOFF, QUARANTINED: nobody runs it */
        cancel_timer(self, child);
        ox__actor_bury(child->pid);
        child->state = OX_CHILD_STOPPED;
        start_next(sup, child);
        return true;
    }
    ask_to_stop(self, child);
    return false;
}

/* The last one that still runs; when there is none the supervisor itself is done. */
static void
stop_next(struct ox_actor *self, struct ox__sup *sup)
{
    for (struct ox__child *child = sup->last; child != NULL; child = child->prev) {
        if (!ox__sup_stop_child(self, sup, child))
            return;
    }
    ox_stop_done(self);
}

static void
on_stop(struct ox_actor *self, enum ox_exit reason)
{
    struct ox__sup *sup = ox_actor_state(self);
    sup->shutting = true;
    ox_stop_hold(self);
    stop_next(self, sup);
}

/* However the supervisor ends, its children end with it. */
static void
release(void *arg)
{
    struct ox__sup *sup = arg;
    struct ox__child *child = sup->last;
    while (child != NULL) {
        struct ox__child *prev = child->prev;
        if (child->state != OX_CHILD_STOPPED) {
            (void)ox_kill(child->pid);
            ox__actor_bury(child->pid);
        }
        if (!ox_alive(child->pid) || child->spec.arg_free == NULL)
            ox__child_free(child);
        else
            free(child); /* a child in its turn may still use its arg: left to the process */
        child = prev;
    }
    free(sup->by_id);
    free(sup->by_slot);
}

/* ---- the actor ---- */

static void
fill_spec(struct ox__sup *sup, const struct ox__sup_arg *arg)
{
    struct ox_sup_spec *s = &sup->spec;
    *s = arg->spec;
    memcpy(sup->name, arg->name, sizeof(sup->name));
    s->name = sup->name;
    s->children_max = s->children_max != 0 ? s->children_max : 65536;
    uint32_t restarts = s->max_restarts != 0 ? s->max_restarts : 5;
    sup->policy = (struct ox__restart_policy){
        .max_restarts = restarts < SUP_INTENSITY_MAX ? restarts : SUP_INTENSITY_MAX,
        .window_ns = (s->window_ms != 0 ? s->window_ms : 60000) * NS_PER_MS,
        .backoff_min_ms = s->backoff_min_ms != 0 ? s->backoff_min_ms : 100,
        .backoff_max_ms = s->backoff_max_ms != 0 ? s->backoff_max_ms : 30000,
    };
}

static ox_err
add_fixed(struct ox_actor *self, struct ox__sup *sup, const struct ox_child_spec *spec, struct ox_diag *diag)
{
    struct ox__child *child = ox__child_new(spec);
    if (child == NULL)
        return OX_E_NOMEM;
    child->in_order = true;
    ox_err err = ox__child_spawn(child, ox_actor_pid(self), NULL, diag);
    if (err == OX_OK) {
        err = ox__children_add(sup, child);
        if (err != OX_OK)
            ox__actor_bury(child->pid);
    }
    if (err != OX_OK) {
        free(child); /* the arg of a fixed child stays the caller's */
        return err;
    }
    ox__sup_launch(sup, child);
    return OX_OK;
}

static ox_err
on_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct ox__sup *sup = ox_actor_state(self);
    fill_spec(sup, arg);
    ox_err err = ox_actor_defer(self, release, sup);
    for (uint32_t i = 0; i < sup->spec.children_n && err == OX_OK; i++)
        err = add_fixed(self, sup, &sup->spec.children[i], diag);
    return err;
}

static void
on_shutdown_late(struct ox__sup *sup, struct ox__child *child)
{
    child->timer = 0;
    OX_LOG_WARN("supervisor", "a child did not stop in time and is killed", OX_F_STR("supervisor", sup->name),
                OX_F_STR("child", child->id), OX_F_U64("shutdown_ms", child->spec.shutdown_ms));
    (void)ox_kill(child->pid);
}

static void
handle(struct ox_actor *self, struct ox__sup *sup, struct ox_msg *msg)
{
    switch (msg->kind) {
    case OX__MSG_SUP_ADD:
        on_add(self, sup, msg);
        break;
    case OX__MSG_CHILD_STARTED:
        on_started(sup, msg->from);
        break;
    case OX__MSG_CHILD_EXIT:
        on_child_exit(self, sup, msg);
        break;
    case OX__MSG_SUP_RESTART: /* a timer that was not cancelled: the child is still there */
        restart_now(self, sup, (struct ox__child *)(uintptr_t)msg->num);
        break;
    case OX__MSG_SUP_SHUTDOWN:
        on_shutdown_late(sup, (struct ox__child *)(uintptr_t)msg->num);
        break;
    case OX__MSG_SUP_REQUEST:
        ox__sup_on_request(self, sup, msg);
        break;
    default:
        OX_LOG_WARN("supervisor", "an unknown message was dropped", OX_F_STR("supervisor", sup->name),
                    OX_F_U64("kind", msg->kind));
    }
}

static void
on_message(struct ox_actor *self, struct ox_msg *msg)
{
    handle(self, ox_actor_state(self), msg);
}

const struct ox_actor_class ox__sup_class = {
    .name = "supervisor",
    .state_size = sizeof(struct ox__sup),
    .on_start = on_start,
    .on_message = on_message,
    .on_stop = on_stop,
    .control_msgs_max = CONTROL_MAX,
    .pending_max = PENDING_MAX,
};
