/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/tenant/tenant_actor.c - one tenant's stage between the log and the writers.
 *
 * Owns:    the parcel in hand, and parcels that a writer could not take yet.
 * Threads: one actor per tenant, on any loop.
 * Bounds:  its mailbox; parcels waiting are bounded by the tenant's permits.
 * Fails:   a crash gives every parcel back to the log's actor and names the one in hand.
 * Flow:    wal -parcel, suspect-> here -rows-> writer of the signal; here -returned-> wal.
 *          Where a policy may drop spans: parcel -> actors/sampler/sampler.c -> (read again) -> rows.
 *
 * This is the place where one tenant's load meets its own bounds: its mailbox, its turns, its crashes.
 *
 * After a crash the order of entries is kept so: the next incarnation holds whatever its mailbox brings and says
 * RESTARTED; the log's actor, which sends nothing more by then, answers `resume`; the incarnation gives back what it
 * held (RESUMED), and the log's actor sends everything again in the order of the log (actors/wal/wal_returned.c).
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/sampler/sampler.h"
#include "ox/custody.h"
#include "ox/fault.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/spine.h"
#include "ox/supervisor.h"

#define RETRY_MS  5
#define ID_PREFIX "tenant/"

struct tenant {
    struct ox_node *node;
    struct ox_tenant *entry;
    struct ox_parcel *in_hand;     /* being processed: whom a crash is charged to */
    struct ox_parcel *head, *tail; /* refused by a full writer, or held until `resume`, in order */
    struct ox_parcel *suspect;     /* tried once more when all others are gone */
    struct ox__sampler *sampler;   /* of its traces; NULL until there are some */
    uint64_t retry;                /* timer */
    struct ox_msg *last_words; /* allocated beforehand, so that a crash can return parcels without memory */
    bool held;                 /* waits for `resume` */
    bool stopping;
};

void
ox_returned_free(void *arg)
{
    struct ox_returned *r = arg;
    if (r == NULL)
        return;
    while (r->parcels != NULL) {
        struct ox_parcel *p = r->parcels;
        r->parcels = p->next;
        ox_parcel_free(p);
    }
    ox_custody_free(r->held);
    free(r);
}

static void
append(struct tenant *t, struct ox_parcel *parcel)
{
    parcel->next = NULL;
    if (t->tail != NULL)
        t->tail->next = parcel;
    else
        t->head = parcel;
    t->tail = parcel;
}

struct ox_msg *
ox_returned_new(struct ox_tenant *tenant, enum ox_returned_why why)
{
    struct ox_returned *r = calloc(1, sizeof(*r));
    struct ox_msg *msg = r != NULL ? ox_msg_new(OX_K_returned, r, 0, ox_returned_free) : NULL;
    if (msg == NULL) {
        free(r);
        return NULL;
    }
    msg->flags |= OX_MSG_F_CONTROL;
    r->tenant = tenant;
    r->why = why;
    return msg;
}

/* ---- giving back ---- */

void
ox_tenant_give_back(struct ox_node *node, struct ox_msg *msg, bool in_hand)
{
    bool is_parcel = msg->kind == OX_K_parcel || msg->kind == OX_K_suspect;
    struct ox_parcel *parcel = is_parcel ? msg->data : NULL;
    if (parcel == NULL || ox_node_phase(node) == OX_NODE_STOPPING)
        return;
    struct ox_msg *back = ox_returned_new(parcel->permit.tenant, OX_RETURNED_CRASHED);
    if (back != NULL) {
        struct ox_returned *r = back->data;
        ox_parcel_taken(parcel);
        parcel->next = NULL;
        r->parcels = parcel;
        parcel->charged = in_hand;
        msg->data = NULL;
    }
    if (back == NULL || ox_send(node->wal, &back) != OX_OK)
        OX_LOG_ERROR("tenant",
                     "an entry of a crashed or quarantined actor waits in the log until the next start",
                     OX_F_U64("wal_seq", msg->cause.wal_seq));
    ox_msg_free(back);
}

/* Parcels that belong together go back one by one: what was decided of them is decided again. */
static struct ox_parcel *
apart(struct ox_parcel *list)
{
    for (struct ox_parcel *p = list; p != NULL; p = p->next) {
        struct ox_parcel *more = p->together;
        p->together = NULL;
        p->decided.n = 0;
        if (more == NULL)
            continue;
        struct ox_parcel *last = more;
        for (; last->together != NULL; last = last->next) {
            last->next = last->together;
            last->together = NULL;
        }
        last->next = p->next;
        p->next = more;
    }
    return list;
}

/* However it ends: what is still here goes back to the log's actor, or, when the node stops, only the permits do. */
static void
release_state(void *arg)
{
    struct tenant *t = arg;
    struct ox_msg *msg = t->last_words;
    struct ox_returned *r = msg->data;
    if (t->in_hand != NULL) {
        t->in_hand->charged = true;
        append(t, t->in_hand);
    }
    if (t->suspect != NULL)
        append(t, t->suspect);
    r->parcels = apart(t->head);
    r->held = ox__sampler_custody(t->sampler);
    ox__sampler_free(t->sampler);
    if (!t->stopping && ox_send(t->node->wal, &msg) != OX_OK && ox_node_phase(t->node) == OX_NODE_RUNNING)
        OX_LOG_ERROR("tenant", "entries of a crashed actor wait in the log until the next start",
                     OX_F_STR("tenant", t->entry->id.name));
    ox_msg_free(msg);
}

/* A failure here is a crash like any other: the next incarnation begins anew. */
static void
tell_wal(struct tenant *t, enum ox_returned_why why, uint32_t incarnation, struct ox_parcel *parcels)
{
    struct ox_msg *msg = ox_returned_new(t->entry, why);
    if (msg == NULL)
        ox_panic("no memory to return parcels to the log");
    struct ox_returned *r = msg->data;
    r->incarnation = incarnation;
    r->parcels = parcels;
    ox_err err = ox_send(t->node->wal, &msg);
    if (err != OX_OK) {
        r->parcels = NULL; /* still ours */
        ox_msg_free(msg);
        ox_panic("the log does not take parcels back: %s", ox_err_text(err));
    }
}

static ox_err
tenant_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    struct tenant *t = ox_actor_state(self);
    struct ox_tenant_id id;
    t->node = arg;
    snprintf(id.name, sizeof(id.name), "%s", ox_actor_name(self) + sizeof(ID_PREFIX) - 1);
    ox_err err = ox_tenants_get(t->node->tenants, &id, &t->entry);
    if (err != OX_OK)
        return err;
    t->last_words = ox_returned_new(t->entry, OX_RETURNED_CRASHED);
    if (t->last_words == NULL)
        return OX_E_NOMEM;
    err = ox_actor_defer(self, release_state, t);
    if (err != OX_OK) {
        ox_msg_free(t->last_words);
        return err;
    }
    t->held = ox_actor_restarts(self) > 0;
    if (t->held)
        tell_wal(t, OX_RETURNED_RESTARTED, ox_actor_restarts(self), NULL);
    return OX_OK;
}

static void
tenant_stop(struct ox_actor *self, enum ox_exit reason)
{
    struct tenant *t = ox_actor_state(self);
    t->stopping = true;
}

/* ---- passing on ---- */

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

/* Spans of a tenant whose policy may drop some: they wait until their trace is decided. */
static bool
waits(struct tenant *t, const struct ox_parcel *parcel)
{
    if (parcel->batch->signal != OX_SIGNAL_TRACES)
        return false;
    if (t->sampler == NULL && atomic_load_explicit(&t->node->sampling, memory_order_relaxed) == NULL)
        return false;
    if (t->sampler == NULL)
        t->sampler = ox__sampler_new(t->node, t->entry);
    if (t->sampler == NULL)
        ox_panic("no memory for the sampler of tenant %s", t->entry->id.name);
    return ox__sampler_wants(t->sampler);
}

static void
on_traces_due(struct ox_actor *self, struct tenant *t)
{
    ox__sampler_due(self, t->sampler, t->head == NULL);
}

static void
on_traces_read(struct ox_actor *self, struct tenant *t, struct ox_msg *msg)
{
    struct ox_parcel *chain = ox__sampler_read(self, t->sampler, msg->data);
    if (chain != NULL) {
        append(t, chain);
        ox_actor_progress(self);
    }
    drain(self, t);
}

/* What a tenant's code does to one request: whatever fails in here is charged to it. parcel: take. */
static void
process(struct ox_actor *self, struct tenant *t, struct ox_parcel *parcel)
{
    t->in_hand = parcel;
    const struct ox_body *body = parcel->batch->body;
    ox_reductions(self, ox_encode_rows(parcel->batch));
    ox_fault_commit(self,
                    ox_fault_of(t->entry->id.name, (struct ox_str){(const char *)body->data, body->len}));
    bool wait = waits(t, parcel);
    if (wait)
        ox__sampler_take(self, t->sampler, parcel);
    t->in_hand = NULL;
    if (wait) { /* no progress yet: a crash brings it back */
        ox_parcel_free(parcel);
        return;
    }
    append(t, parcel);
    ox_actor_progress(self);
}

/* The suspect's turn comes when nothing else is here, so that a crash names it for sure. */
static void
try_suspect(struct ox_actor *self, struct tenant *t)
{
    struct ox_parcel *parcel = t->suspect;
    if (parcel == NULL || t->head != NULL || t->held)
        return;
    t->suspect = NULL;
    ox_actor_trial(self, true);
    process(self, t, parcel);
    ox_actor_trial(self, false);
    tell_wal(t, OX_RETURNED_TRIED, 0, NULL);
    drain(self, t);
}

static void
on_parcel(struct ox_actor *self, struct tenant *t, struct ox_msg *msg)
{
    struct ox_parcel *parcel = msg->data;
    msg->data = NULL;
    ox_parcel_taken(parcel);
    if (t->held) {
        append(t, parcel);
        return;
    }
    process(self, t, parcel);
    drain(self, t);
}

static void
on_suspect(struct ox_actor *self, struct tenant *t, struct ox_msg *msg)
{
    struct ox_parcel *parcel = msg->data;
    msg->data = NULL;
    ox_parcel_taken(parcel);
    if (t->held)
        append(t, parcel); /* sent before the log's actor heard of the crash */
    else
        t->suspect = parcel;
    try_suspect(self, t);
}

static void
on_resume(struct ox_actor *self, struct tenant *t, const struct ox_msg *msg)
{
    if (!t->held || msg->num != ox_actor_restarts(self))
        return; /* meant for an incarnation that crashed meanwhile */
    tell_wal(t, OX_RETURNED_RESUMED, ox_actor_restarts(self), t->head);
    t->head = t->tail = NULL;
    t->held = false;
}

static void
tenant_message(struct ox_actor *self, struct ox_msg *msg)
{
    struct tenant *t = ox_actor_state(self);
    switch (msg->kind) {
    case OX_K_parcel:
        on_parcel(self, t, msg);
        break;
    case OX_K_suspect:
        on_suspect(self, t, msg);
        break;
    case OX_K_resume:
        on_resume(self, t, msg);
        break;
    case OX_K_traces_due:
        on_traces_due(self, t);
        break;
    case OX_K_traces_read:
        on_traces_read(self, t, msg);
        break;
    case OX_K_retry:
        t->retry = 0;
        drain(self, t);
        try_suspect(self, t);
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
    .on_stop = tenant_stop,
    .mailbox_msgs_max = 4096,
    .mailbox_bytes_max = 64u << 20,
    .pending_max = 16,
};

void
ox_tenant_child_spec(struct ox_node *node, const struct ox_tenant *tenant, char id[OX_TENANT_CHILD_ID_MAX],
                     struct ox_child_spec *out)
{
    snprintf(id, OX_TENANT_CHILD_ID_MAX, ID_PREFIX "%s", tenant->id.name);
    *out = (struct ox_child_spec){
        .id = id,
        .class = &ox_tenant_class,
        .arg = node,
        .name = id,
        .restart = OX_RESTART_PERMANENT,
        .type = OX_CHILD_WORKER,
        .past_intensity = OX_SUP_QUARANTINE,
        .intensity = OX_SUP_PER_PROGRESS,
        .cause = {.tenant = ox_tenant_index(&tenant->id)},
    };
}

const char *
ox_tenant_of_child(const char *id)
{
    size_t n = sizeof(ID_PREFIX) - 1;
    return strncmp(id, ID_PREFIX, n) == 0 ? id + n : NULL;
}
