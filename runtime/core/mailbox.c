/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/mailbox.c - messages, and the bounded queue between senders and one actor.
 *
 * Owns:    queued messages, until dispatch takes them.
 * Threads: any, with the slot locked.
 * Bounds:  mailbox_msgs_max, mailbox_bytes_max, control_msgs_max; owed messages by pending_max.
 * Fails:   MAILBOX_FULL, QUARANTINED.
 * Flow:    ox_send -> here -> dispatch.c -> on_message.
 */
#include <stdlib.h>

#include "runtime/core/internal.h"

struct ox_msg *
ox_msg_new(uint32_t kind, void *data, size_t bytes, void (*drop)(void *data))
{
    struct ox_msg *msg = calloc(1, sizeof(*msg));
    if (msg == NULL)
        return NULL;
    msg->kind = kind;
    msg->data = data;
    msg->bytes = bytes;
    msg->drop = drop;
    return msg;
}

void
ox_msg_free(struct ox_msg *msg)
{
    if (msg == NULL)
        return;
    if (msg->data != NULL && msg->drop != NULL)
        msg->drop(msg->data);
    free(msg);
}

static bool
is_ordinary(const struct ox_msg *msg)
{
    return (msg->flags & (OX_MSG_F_CONTROL | OX_MSG_F_OWED)) == 0;
}

/* Of an OX_ACTOR_FAIR mailbox: whether the message's tenant has more in it than what is free. */
static bool
over_share(const struct ox_actor *actor, const struct ox_msg *msg)
{
    const struct ox_flow *flow =
        msg->cause.tenant != 0 ? ox_share_flow(actor->fair, msg->cause.tenant) : NULL;
    if (flow == NULL || flow->n == 0)
        return false;
    return flow->n >= actor->limits.mailbox_msgs_max - actor->msgs ||
           flow->bytes + msg->bytes > actor->limits.mailbox_bytes_max - actor->bytes;
}

ox_err
ox__mailbox_admit(const struct ox_actor *actor, const struct ox_msg *msg)
{
    if (actor->run == OX__RUN_QUARANTINED)
        return OX_E_QUARANTINED;
    if (msg->flags & OX_MSG_F_OWED)
        return OX_OK;
    if (msg->flags & OX_MSG_F_CONTROL)
        return actor->controls < actor->limits.control_msgs_max ? OX_OK : OX_E_MAILBOX_FULL;
    if (actor->msgs >= actor->limits.mailbox_msgs_max)
        return OX_E_MAILBOX_FULL;
    uint64_t room =
        actor->bytes < actor->limits.mailbox_bytes_max ? actor->limits.mailbox_bytes_max - actor->bytes : 0;
    if (msg->bytes > room && actor->msgs > 0)
        return OX_E_MAILBOX_FULL;
    return actor->fair != NULL && over_share(actor, msg) ? OX_E_MAILBOX_FULL : OX_OK;
}

ox_err
ox__mailbox_init(struct ox_actor *actor)
{
    if ((actor->limits.flags & OX_ACTOR_FAIR) == 0)
        return OX_OK;
    actor->fair = calloc(1, sizeof(*actor->fair));
    if (actor->fair == NULL)
        return OX_E_NOMEM;
    if (ox_share_init(actor->fair, offsetof(struct ox_msg, next)) == OX_OK)
        return OX_OK;
    free(actor->fair);
    actor->fair = NULL;
    return OX_E_NOMEM;
}

void
ox__mailbox_fini(struct ox_actor *actor)
{
    if (actor->fair != NULL)
        ox_share_fini(actor->fair);
    free(actor->fair);
    actor->fair = NULL;
}

bool
ox__mailbox_some(const struct ox_actor *actor)
{
    return actor->head != NULL || (actor->fair != NULL && actor->fair->n > 0);
}

void
ox__mailbox_charge(struct ox_actor *actor, uint32_t tenant, uint64_t cost_ns)
{
    if (actor->fair == NULL)
        return;
    ox_share_spent(actor->fair, tenant == 0, cost_ns);
    ox_share_charge(actor->fair, tenant, cost_ns);
}

static void
queue_push(struct ox_actor *actor, struct ox_msg *msg)
{
    msg->next = NULL;
    if (actor->tail != NULL)
        actor->tail->next = msg;
    else
        actor->head = msg;
    actor->tail = msg;
}

void
ox__mailbox_push(struct ox_actor *actor, struct ox_msg *msg)
{
    if (actor->fair != NULL && is_ordinary(msg))
        ox_share_push(actor->fair, msg->cause.tenant, msg, msg->bytes);
    else
        queue_push(actor, msg);
    if (is_ordinary(msg)) {
        actor->msgs++;
        actor->bytes += msg->bytes;
    } else if ((msg->flags & OX_MSG_F_OWED) == 0) {
        actor->controls++;
    }
    if (actor->run == OX__RUN_EXTERNAL && actor->external != NULL)
        pthread_cond_signal(actor->external);
    else
        ox__wake_locked(actor);
}

static void
discount(struct ox_actor *actor, const struct ox_msg *msg)
{
    if (is_ordinary(msg)) {
        OX_ASSERT(actor->msgs > 0 && actor->bytes >= msg->bytes);
        actor->msgs--;
        actor->bytes -= msg->bytes;
    } else if ((msg->flags & OX_MSG_F_OWED) == 0) {
        OX_ASSERT(actor->controls > 0);
        actor->controls--;
    }
}

static uint64_t
bytes_of(const void *msg)
{
    return ((const struct ox_msg *)msg)->bytes;
}

static struct ox_msg *
take_head(struct ox_actor *actor)
{
    uint32_t tenant;
    struct ox_msg *msg = actor->head;
    if (msg == NULL) {
        msg = actor->fair != NULL ? ox_share_pop(actor->fair, &tenant, bytes_of) : NULL;
    } else {
        actor->head = msg->next;
        if (actor->head == NULL)
            actor->tail = NULL;
    }
    if (msg == NULL)
        return NULL;
    msg->next = NULL;
    discount(actor, msg);
    return msg;
}

static void
prepend(struct ox_msg **list, struct ox_msg *msg)
{
    if (msg == NULL)
        return;
    OX_ASSERT(msg->next == NULL);
    msg->next = *list;
    *list = msg;
}

struct ox_msg *
ox__mailbox_pop(struct ox_actor *actor, struct ox_msg **dropped)
{
    struct ox_msg *msg;
    while ((msg = take_head(actor)) != NULL) {
        if ((msg->flags & OX_MSG_F_OWED) == 0 || msg->ref == 0)
            return msg;
        struct ox__pend *pend = ox__pend_find(actor, msg->ref);
        bool wanted = pend != NULL && pend->state == OX__PEND_QUEUED;
        if (pend != NULL)
            prepend(dropped, ox__pend_free(actor, pend));
        if (wanted)
            return msg;
        prepend(dropped, msg);
    }
    return NULL;
}

struct ox_msg *
ox__mailbox_take(struct ox_actor *actor, bool owed_only)
{
    struct ox_msg *rest = actor->head;
    struct ox_msg *taken = NULL;
    struct ox_msg **taken_end = &taken;
    struct ox_msg **kept_end = &actor->head;
    actor->head = actor->tail = NULL;
    while (rest != NULL) {
        struct ox_msg *msg = rest;
        rest = rest->next;
        msg->next = NULL;
        if (owed_only && ((msg->flags & OX_MSG_F_OWED) == 0 || msg->ref == 0)) {
            *kept_end = msg;
            kept_end = &msg->next;
            actor->tail = msg;
            continue;
        }
        discount(actor, msg);
        *taken_end = msg;
        taken_end = &msg->next;
    }
    while (!owed_only && actor->fair != NULL && actor->fair->n > 0) {
        struct ox_msg *msg = take_head(actor);
        *taken_end = msg;
        taken_end = &msg->next;
    }
    return taken;
}

static void
undelivered_one(ox_pid to, struct ox_msg *msg)
{
    const struct ox_runtime_hooks *hooks = &ox__rt->opt.hooks;
    if (msg->flags & OX_MSG_F_CALL)
        ox__pend_fire(msg->from, msg->ref, OX_E_GONE, 0, NULL);
    if (msg->kind == OX__MSG_CHILD_EXIT)
        ox__actor_bury(msg->from); /* its supervisor ended before it read this: nobody else will decide */
    if ((msg->flags & OX_MSG_F_OWED) || msg->kind >= OX_MSG_SYSTEM)
        return;
    ox_metric_add(OX_M_runtime_undelivered, 1);
    if (hooks->undelivered != NULL)
        hooks->undelivered(hooks->arg, to, msg);
}

void
ox__mailbox_drop(ox_pid to, struct ox_msg *list, bool undelivered)
{
    while (list != NULL) {
        struct ox_msg *next = list->next;
        list->next = NULL;
        if (undelivered)
            undelivered_one(to, list);
        ox_msg_free(list);
        list = next;
    }
}
