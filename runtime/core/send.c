/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/send.c - casts, calls and replies.
 *
 * Owns:    nothing; a message is the sender's until the mailbox took it.
 * Threads: any; ox_call own.
 * Bounds:  those of the mailbox.
 * Fails:   MAILBOX_FULL, GONE, QUARANTINED, OVERLOAD, NOMEM, TIMEOUT.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "runtime/core/internal.h"

static void
count_refused(ox_err err)
{
    OX_METRIC_ADD_L(OX_M_runtime_refused, 1, ox_str_of(ox_err_info(err)->symbol));
}

/* Fills in what the sender left out. */
static void
stamp(struct ox_msg *msg)
{
    struct ox__turn *turn = ox__turn_now;
    if (turn == NULL)
        return;
    if (ox_pid_is_none(msg->from))
        msg->from = turn->actor->pid;
    if (msg->cause.tenant == 0 && msg->cause.wal_seq == 0)
        msg->cause = turn->msg != NULL ? turn->msg->cause : turn->actor->cause;
}

static ox_err
deliver(ox_pid to, struct ox_msg **msg)
{
    struct ox_actor *actor = ox__actor_lock(to);
    if (actor == NULL)
        return OX_E_GONE;
    ox_err err = ox__mailbox_admit(actor, *msg);
    if (err == OX_OK) {
        ox__mailbox_push(actor, *msg);
        *msg = NULL;
    }
    ox__actor_unlock(actor);
    return err;
}

ox_err
ox_send(ox_pid to, struct ox_msg **msg)
{
    struct ox_msg before = **msg;
    (*msg)->flags &= OX_MSG_F_CONTROL;
    (*msg)->ref = 0;
    stamp(*msg);
    ox_err err = deliver(to, msg);
    if (err != OX_OK) {
        **msg = before;
        count_refused(err);
    }
    return err;
}

ox_err
ox_cast(ox_pid to, uint32_t kind, uint64_t num)
{
    struct ox_msg *msg = ox_msg_new(kind, NULL, 0, NULL);
    if (msg == NULL)
        return OX_E_NOMEM;
    msg->num = num;
    ox_err err = ox_send(to, &msg);
    ox_msg_free(msg);
    return err;
}

ox_err
ox__send_note(ox_pid to, struct ox_msg **msg)
{
    (*msg)->flags = OX_MSG_F_OWED; /* with ref 0: past all bounds, not tied to a wait */
    (*msg)->ref = 0;
    return deliver(to, msg);
}

/* ---- calls ---- */

static ox_err
call_send(struct ox_actor *self, ox_pid to, struct ox_msg **msg, uint64_t ref)
{
    struct ox_msg before = **msg;
    (*msg)->flags = ((*msg)->flags & OX_MSG_F_CONTROL) | OX_MSG_F_CALL;
    (*msg)->ref = ref;
    (*msg)->from = self->pid;
    stamp(*msg);
    ox_err err = deliver(to, msg);
    if (err != OX_OK) {
        **msg = before;
        count_refused(err);
    }
    return err;
}

ox_err
ox_call(struct ox_actor *self, ox_pid to, struct ox_msg **msg, uint32_t timeout_ms, uint64_t *ref)
{
    struct ox_msg *failed = ox_msg_new(OX_MSG_CALL_FAILED, NULL, 0, NULL);
    if (failed == NULL)
        return OX_E_NOMEM;
    failed->cause = (*msg)->cause;
    ox_err err = ox__pend_new(self, OX__PEND_CALL, to, failed, ref);
    if (err != OX_OK) {
        ox_msg_free(failed);
        return err;
    }
    err = ox__call_arm(self, *ref, timeout_ms);
    if (err == OX_OK)
        err = call_send(self, to, msg, *ref);
    if (err != OX_OK)
        ox__pend_cancel(self, *ref, OX__PEND_CALL);
    return err;
}

void
ox_call_cancel(struct ox_actor *self, uint64_t ref)
{
    ox__pend_cancel(self, ref, OX__PEND_CALL);
}

struct ox_from
ox_call_from(const struct ox_msg *msg)
{
    struct ox_from from = {OX_PID_NONE, 0, msg->cause};
    if (msg->flags & OX_MSG_F_CALL) {
        from.pid = msg->from;
        from.ref = msg->ref;
    }
    return from;
}

ox_err
ox_reply(struct ox_from to, struct ox_msg **reply)
{
    struct ox_msg *msg = *reply;
    if (ox_pid_is_none(to.pid))
        return OX_E_GONE;
    struct ox_actor *actor = ox__actor_lock(to.pid);
    if (actor == NULL)
        return OX_E_GONE;
    struct ox__pend *pend = ox__pend_find(actor, to.ref);
    bool waits = pend != NULL && pend->type == OX__PEND_CALL && pend->state == OX__PEND_WAITING;
    if (waits) {
        pend->state = OX__PEND_QUEUED;
        if (pend->timer != NULL)
            ox__timer_remove(pend->timer);
        pend->timer = NULL;
        msg->flags = OX_MSG_F_OWED;
        msg->ref = to.ref;
        msg->cause = to.cause;
        if (ox__turn_now != NULL)
            msg->from = ox__turn_now->actor->pid;
        ox__mailbox_push(actor, msg);
        *reply = NULL;
    }
    ox__actor_unlock(actor);
    return waits ? OX_OK : OX_E_GONE;
}

void
ox_reply_num(struct ox_from to, uint32_t kind, ox_err err, uint64_t num)
{
    if (ox_pid_is_none(to.pid))
        return;
    struct ox_msg *msg = ox_msg_new(kind, NULL, 0, NULL);
    if (msg == NULL)
        return; /* the caller's time-out tells him */
    msg->err = err;
    msg->num = num;
    ox_err sent = ox_reply(to, &msg);
    if (sent != OX_OK)
        ox_msg_free(msg);
}

/* ---- calls of threads ---- */

static ox_err
external_new(struct ox_actor **out)
{
    struct ox_actor *actor = calloc(1, sizeof(*actor));
    if (actor == NULL)
        return OX_E_NOMEM;
    actor->run = OX__RUN_EXTERNAL;
    actor->limits.pending_max = 1;
    ox_err err = ox__slot_take(actor);
    if (err != OX_OK)
        free(actor);
    else
        *out = actor;
    return err;
}

static void
external_free(struct ox_actor *actor)
{
    ox__lock(&actor->slot->lock);
    struct ox_msg *left = ox__mailbox_take(actor, false);
    struct ox_msg *unused = ox__pend_clear(actor);
    ox__slot_give(actor);
    ox__mailbox_drop(OX_PID_NONE, left, false);
    ox__mailbox_drop(OX_PID_NONE, unused, false);
    free(actor->pends.at);
    free(actor);
}

static void
deadline_after(struct timespec *ts, uint32_t ms)
{
    clock_gettime(CLOCK_MONOTONIC, ts);
    ts->tv_sec += ms / 1000;
    ts->tv_nsec += (long)(ms % 1000) * 1000000;
    if (ts->tv_nsec >= 1000000000) {
        ts->tv_sec++;
        ts->tv_nsec -= 1000000000;
    }
}

/* Waits until a message is there; the slot is locked before and after. */
static void
external_wait(struct ox_actor *actor, uint32_t timeout_ms)
{
    pthread_cond_t cond;
    pthread_condattr_t attr;
    struct timespec deadline;
    deadline_after(&deadline, timeout_ms);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&cond, &attr);
    actor->external = &cond;
    while (actor->head == NULL) {
        if (pthread_cond_timedwait(&cond, &actor->slot->lock, &deadline) == ETIMEDOUT)
            break;
    }
    actor->external = NULL;
    pthread_cond_destroy(&cond);
    pthread_condattr_destroy(&attr);
}

static struct ox_msg *
external_receive(struct ox_actor *actor, uint32_t timeout_ms)
{
    struct ox_msg *dropped = NULL;
    if (ox__rt->opt.single_thread) {
        while (actor->head == NULL && ox_runtime_step()) {
        }
    }
    ox__lock(&actor->slot->lock);
    if (!ox__rt->opt.single_thread)
        external_wait(actor, timeout_ms);
    struct ox_msg *msg = ox__mailbox_pop(actor, &dropped);
    ox__unlock(&actor->slot->lock);
    ox__mailbox_drop(OX_PID_NONE, dropped, false);
    return msg;
}

ox_err
ox_ask(ox_pid to, struct ox_msg **msg, uint32_t timeout_ms, struct ox_msg **reply)
{
    struct ox_actor *me;
    uint64_t ref;
    OX_ASSERT(ox__loop_now == NULL || ox__rt->opt.single_thread);
    *reply = NULL;
    struct ox_msg *failed = ox_msg_new(OX_MSG_CALL_FAILED, NULL, 0, NULL);
    if (failed == NULL)
        return OX_E_NOMEM;
    ox_err err = external_new(&me);
    if (err != OX_OK) {
        ox_msg_free(failed);
        return err;
    }
    err = ox__pend_new(me, OX__PEND_CALL, to, failed, &ref);
    if (err != OX_OK)
        ox_msg_free(failed);
    else
        err = call_send(me, to, msg, ref);
    if (err == OX_OK) {
        struct ox_msg *answer = external_receive(me, timeout_ms);
        err = answer == NULL ? OX_E_TIMEOUT : answer->kind == OX_MSG_CALL_FAILED ? answer->err : OX_OK;
        if (err == OX_OK)
            *reply = answer;
        else
            ox_msg_free(answer);
    }
    external_free(me);
    return err;
}
