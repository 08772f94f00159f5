/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/tenant/tenant_actor.c - one tenant's stage between the log and the writers.
 *
 * Owns:    parcels that a writer could not take yet.
 * Threads: one actor per tenant, on any loop.
 * Bounds:  its mailbox; parcels waiting are bounded by the tenant's permits.
 * Flow:    wal -parcel-> here -rows-> writer of the signal.
 *
 * This is the place where one tenant's load meets its own bounds: its mailbox, its turns, its crashes.
 * Derived metrics, sampling and rules act here on the batch before it is handed on.
 */
#include <stdlib.h>

#include "ox/log.h"
#include "ox/metric.h"
#include "ox/spine.h"

#define RETRY_MS 5

struct tenant {
    struct ox_node *node;
    struct ox_parcel *head, *tail; /* refused by a full writer, in order */
    uint64_t retry;                /* timer */
};

/* However it ends, also by a crash: the permits go back. */
static void
release_state(void *arg)
{
    struct tenant *t = arg;
    while (t->head != NULL) {
        struct ox_parcel *p = t->head;
        t->head = p->next;
        ox_parcel_free(p); /* the log still holds it */
    }
}

static ox_err
tenant_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct tenant *t = ox_actor_state(self);
    t->node = arg;
    return ox_actor_defer(self, release_state, t);
}

static bool
pass_on(struct tenant *t, struct ox_parcel *parcel)
{
    struct ox_msg *msg = ox_msg_new(OX_K_rows, parcel, ox_batch_memory(parcel->batch), ox_parcel_free);
    if (msg == NULL)
        return false;
    if (ox_send(t->node->writers[parcel->batch->signal], &msg) == OX_OK)
        return true;
    msg->data = NULL;
    ox_msg_free(msg);
    return false;
}

static void
drain(struct ox_actor *self, struct tenant *t)
{
    while (t->head != NULL) {
        struct ox_parcel *parcel = t->head;
        struct ox_parcel *next = parcel->next;
        if (!pass_on(t, parcel))
            break;
        t->head = next;
    }
    if (t->head == NULL)
        t->tail = NULL;
    else if (t->retry == 0 && ox_timer_start(self, RETRY_MS, OX_K_retry, 0, &t->retry) != OX_OK)
        ox_panic("no timer for parcels that wait");
}

static void
on_parcel(struct ox_actor *self, struct tenant *t, struct ox_msg *msg)
{
    struct ox_parcel *parcel = msg->data;
    msg->data = NULL;
    parcel->next = NULL;
    if (t->tail != NULL)
        t->tail->next = parcel;
    else
        t->head = parcel;
    t->tail = parcel;
    ox_reductions(self, ox_encode_rows(parcel->batch));
    drain(self, t);
}

static void
tenant_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct tenant *t = ox_actor_state(self);
    switch (msg->kind) {
    case OX_K_parcel:
        on_parcel(self, t, msg);
        break;
    case OX_K_retry:
        t->retry = 0;
        drain(self, t);
        break;
    default:
        OX_LOG_WARN("tenant", "unknown message", OX_F_U64("kind", msg->kind));
    }
}

const struct ox_actor_class ox_tenant_class = {
    .name = "tenant",
    .state_size = sizeof(struct tenant),
    .on_start = tenant_start,
    .on_message = tenant_message,
    .mailbox_msgs_max = 4096,
    .mailbox_bytes_max = 64u << 20,
    .pending_max = 16,
};
