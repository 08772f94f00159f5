/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/sup_request.c - what operators and programs ask of a supervisor.
 *
 * Owns:    nothing.
 * Threads: own.
 * Fails:   NOT_FOUND, STATE, FORBIDDEN in the answer.
 */
#include <stdlib.h>

#include "runtime/core/sup.h"

static void
answer(const struct ox_msg *msg, ox_err err)
{
    ox_reply_num(ox_call_from(msg), OX_MSG_SUP_REPLY, err, 0);
}

static void
answer_list(const struct ox__sup *sup, const struct ox_msg *msg, bool details)
{
    struct ox_children *list = ox__children_list(sup, details);
    struct ox_msg *reply = list != NULL ? ox_msg_new(OX_MSG_SUP_REPLY, list, 0, free) : NULL;
    if (reply == NULL) {
        free(list);
        answer(msg, OX_E_NOMEM);
        return;
    }
    if (ox_reply(ox_call_from(msg), &reply) != OX_OK)
        ox_msg_free(reply);
}

static void
stop_child(struct ox_actor *self, struct ox__sup *sup, struct ox__child *child, const struct ox_msg *msg)
{
    if (child->state == OX_CHILD_STOPPING) {
        answer(msg, OX_E_STATE);
        return;
    }
    if (ox__sup_stop_child(self, sup, child))
        answer(msg, OX_OK);
    else
        child->stopper = ox_call_from(msg);
}

static ox_err
start_child(struct ox_actor *self, struct ox__sup *sup, struct ox__child *child)
{
    if (child->state != OX_CHILD_STOPPED)
        return OX_E_STATE;
    ox_pid old = child->pid;
    ox_err err = ox__child_spawn(child, ox_actor_pid(self), NULL, NULL);
    ox_pid fresh = child->pid;
    child->pid = old;
    if (err != OX_OK) {
        child->state = OX_CHILD_STOPPED;
        return err;
    }
    ox__children_repid(sup, child, fresh);
    child->intensity.n = 0;
    child->barren = 0;
    ox__sup_launch(sup, child);
    return OX_OK;
}

static ox_err
remove_child(struct ox__sup *sup, struct ox__child *child)
{
    if (child->state != OX_CHILD_STOPPED)
        return OX_E_STATE;
    ox__children_remove(sup, child);
    ox__child_free(child);
    return OX_OK;
}

static ox_err
revoke_quarantine(struct ox__sup *sup, struct ox__child *child, uint32_t crashes)
{
    if (child->state != OX_CHILD_QUARANTINED)
        return OX_E_STATE;
    if (child->crashes != crashes)
        return OX_E_FORBIDDEN;
    ox_err err = ox__actor_restart(child->pid);
    if (err != OX_OK)
        return err;
    child->intensity.n = 0;
    child->barren = 0;
    child->restarts++;
    child->state = OX_CHILD_STARTING;
    OX_LOG_WARN("supervisor", "a quarantine was revoked", OX_F_STR("supervisor", sup->name),
                OX_F_STR("child", child->id), OX_F_U64("crashes", crashes));
    return OX_OK;
}

void
ox__sup_on_request(struct ox_actor *self, struct ox__sup *sup, struct ox_msg *msg)
{
    const struct ox__sup_request *request = msg->data;
    if (request->op == OX_SUP_WHICH || request->op == OX_SUP_COUNT) {
        answer_list(sup, msg, request->op == OX_SUP_WHICH);
        return;
    }
    struct ox__child *child = ox__children_by_id(sup, request->id);
    if (child == NULL || sup->shutting) {
        answer(msg, child == NULL ? OX_E_NOT_FOUND : OX_E_UNAVAILABLE);
        return;
    }
    switch (request->op) {
    case OX_SUP_STOP:
        stop_child(self, sup, child, msg);
        break;
    case OX_SUP_START:
        answer(msg, start_child(self, sup, child));
        break;
    case OX_SUP_REMOVE:
        answer(msg, remove_child(sup, child));
        break;
    case OX_SUP_REVOKE:
        answer(msg, revoke_quarantine(sup, child, request->crashes));
        break;
    default:
        answer(msg, OX_E_INVALID);
    }
}
