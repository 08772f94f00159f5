/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/pending.c - what an actor waits for: calls, timers, dirty jobs, monitors, links.
 *
 * Owns:    one place per wait, with the message that will end it.
 * Threads: any, with the owner's slot locked.
 * Bounds:  pending_max places; a place is kept until its message was read, so there are never more owed
 *          messages in a mailbox than places.
 * Fails:   OVERLOAD, NOMEM.
 */
#include <stdlib.h>

#include "runtime/core/internal.h"

#define PENDS_MIN 8u

uint64_t
ox__pend_ref(const struct ox__pends *pends, const struct ox__pend *pend)
{
    return (uint64_t)pend->gen << 32 | (uint64_t)(pend - pends->at + 1);
}

struct ox__pend *
ox__pend_find(struct ox_actor *actor, uint64_t ref)
{
    uint32_t index = (uint32_t)ref;
    if (index == 0 || index > actor->pends.used)
        return NULL;
    struct ox__pend *pend = &actor->pends.at[index - 1];
    return pend->type != OX__PEND_FREE && pend->gen == (uint32_t)(ref >> 32) ? pend : NULL;
}

static ox_err
grow(struct ox__pends *pends, uint32_t max)
{
    if (pends->used >= max)
        return OX_E_OVERLOAD;
    if (pends->used < pends->cap)
        return OX_OK;
    uint32_t cap = pends->cap == 0 ? PENDS_MIN : pends->cap * 2;
    struct ox__pend *at = realloc(pends->at, cap * sizeof(*at));
    if (at == NULL)
        return OX_E_NOMEM;
    memset(at + pends->cap, 0, (cap - pends->cap) * sizeof(*at));
    pends->at = at;
    pends->cap = cap;
    return OX_OK;
}

static ox_err
place_take(struct ox_actor *self, struct ox__pend **out)
{
    struct ox__pends *pends = &self->pends;
    if (pends->free_head != 0) {
        *out = &pends->at[pends->free_head - 1];
        pends->free_head = (*out)->next_free;
        return OX_OK;
    }
    ox_err err = grow(pends, self->limits.pending_max);
    if (err == OX_OK)
        *out = &pends->at[pends->used++];
    return err;
}

ox_err
ox__pend_new_locked(struct ox_actor *self, enum ox__pend_type type, ox_pid peer, struct ox_msg *msg,
                    uint64_t *ref)
{
    struct ox__pend *pend = NULL;
    ox_err err = place_take(self, &pend);
    if (err != OX_OK)
        return err;
    pend->gen = pend->gen == UINT32_MAX ? 1 : pend->gen + 1;
    pend->type = (uint8_t)type;
    pend->state = OX__PEND_WAITING;
    pend->peer = peer;
    pend->msg = msg;
    pend->timer = NULL;
    *ref = ox__pend_ref(&self->pends, pend);
    msg->ref = *ref;
    msg->flags |= OX_MSG_F_OWED;
    return OX_OK;
}

ox_err
ox__pend_new(struct ox_actor *self, enum ox__pend_type type, ox_pid peer, struct ox_msg *msg, uint64_t *ref)
{
    ox__lock(&self->slot->lock);
    ox_err err = ox__pend_new_locked(self, type, peer, msg, ref);
    ox__unlock(&self->slot->lock);
    return err;
}

struct ox_msg *
ox__pend_free(struct ox_actor *actor, struct ox__pend *pend)
{
    struct ox_msg *msg = pend->msg;
    if (pend->timer != NULL)
        ox__timer_remove(pend->timer);
    pend->timer = NULL;
    pend->msg = NULL;
    pend->type = OX__PEND_FREE;
    pend->next_free = actor->pends.free_head;
    actor->pends.free_head = (uint32_t)(pend - actor->pends.at) + 1;
    return msg;
}

void
ox__pend_fire_locked(struct ox_actor *actor, struct ox__pend *pend, ox_err err, uint64_t num, void *data)
{
    struct ox_msg *msg = pend->msg;
    pend->msg = NULL;
    pend->state = OX__PEND_QUEUED;
    if (pend->timer != NULL)
        ox__timer_remove(pend->timer);
    pend->timer = NULL;
    msg->err = err;
    if (pend->type != OX__PEND_TIMER)
        msg->num = num;
    if (data != NULL)
        msg->data = data;
    ox__mailbox_push(actor, msg);
}

bool
ox__pend_fire(ox_pid owner, uint64_t ref, ox_err err, uint64_t num, void *data)
{
    struct ox_actor *actor = ox__actor_lock(owner);
    if (actor == NULL)
        return false;
    struct ox__pend *pend = ox__pend_find(actor, ref);
    bool waits = pend != NULL && pend->state == OX__PEND_WAITING;
    if (waits)
        ox__pend_fire_locked(actor, pend, err, num, data);
    ox__actor_unlock(actor);
    return waits;
}

void
ox__pend_cancel(struct ox_actor *self, uint64_t ref, enum ox__pend_type type)
{
    struct ox_msg *unused = NULL;
    ox_pid peer = OX_PID_NONE;
    ox__lock(&self->slot->lock);
    struct ox__pend *pend = ox__pend_find(self, ref);
    if (pend != NULL && pend->type == type) {
        peer = pend->peer;
        if (pend->state == OX__PEND_WAITING)
            unused = ox__pend_free(self, pend);
        else
            pend->state = OX__PEND_CANCELLED; /* the place stays taken while its message is in the queue */
    }
    ox__unlock(&self->slot->lock);
    ox_msg_free(unused);
    if (type == OX__PEND_MONITOR && !ox_pid_is_none(peer))
        ox__unwatch(peer, self->pid, ref);
}

struct ox_msg *
ox__pend_clear(struct ox_actor *actor)
{
    struct ox_msg *list = NULL;
    for (uint32_t i = 0; i < actor->pends.used; i++) {
        struct ox__pend *pend = &actor->pends.at[i];
        if (pend->type == OX__PEND_FREE)
            continue;
        struct ox_msg *msg = ox__pend_free(actor, pend);
        if (msg != NULL) {
            msg->next = list;
            list = msg;
        }
    }
    return list;
}
