/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/wal_returned.c - tenants whose actor crashed: what comes back goes on in the order of the log.
 *
 * Owns:    one case per such tenant, with the parcels that wait in it.
 * Threads: the wal actor's turns.
 * Bounds:  parcels by their permits; cases by the number of tenants; a suspect waits ALONE_WAIT_MS for the others.
 * Fails:   no memory is a panic: the node then restarts and the log still holds every entry.
 * Flow:    tenant -returned-> here -resume, parcel, suspect-> tenant; here -> wal_aside.c.
 *
 * A case:  HELD      the actor is down, quarantined, or holds everything until it has heard `resume`
 *          FLOWING   entries go to the actor in order; nothing overtakes the queue
 *          TRYING    a suspect is with the actor, alone; everything else waits
 *          (closed)  nothing waits: the tenant is like any other
 *
 * The entry that was in hand at a crash is a suspect: it is tried once more, last and alone. In hand at a second crash
 * it is set aside. So a poisoned request costs two restarts, and what else the tenant sent goes on.
 */
#include <stdlib.h>

#include "actors/wal/wal_internal.h"
#include "ox/log.h"

#define ALONE_WAIT_MS 10000

enum phase { HELD, FLOWING, TRYING };

struct ox__case {
    struct ox__case *next;
    struct ox_tenant *tenant;
    enum phase phase;
    struct ox_parcel *queue, *queue_tail; /* in the order of the log */
    struct ox_parcel *suspects;           /* likewise */
    uint64_t flowing_ns;                  /* since when the suspects wait for the queue to be empty */
};

static struct ox__case *
case_of(struct ox__returns *r, struct ox_tenant *tenant)
{
    struct ox__case *c = tenant->returns;
    if (c != NULL)
        return c;
    c = calloc(1, sizeof(*c));
    if (c == NULL)
        ox_panic("no memory for the entries of a crashed actor");
    c->tenant = tenant;
    c->phase = HELD;
    c->next = r->cases;
    r->cases = c;
    tenant->returns = c;
    return c;
}

static void
close_case(struct ox__returns *r, struct ox__case *c)
{
    struct ox__case **at = &r->cases;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->tenant->returns = NULL;
    free(c);
}

static uint64_t
seq_of(const struct ox_parcel *parcel)
{
    return parcel->batch->wal_seq;
}

/* Puts one parcel where it belongs; nearly always that is the end. */
static void
enqueue(struct ox__case *c, struct ox_parcel *parcel)
{
    struct ox_parcel **at = &c->queue;
    if (c->queue_tail != NULL && seq_of(c->queue_tail) < seq_of(parcel))
        at = &c->queue_tail->next;
    while (*at != NULL && seq_of(*at) < seq_of(parcel))
        at = &(*at)->next;
    parcel->next = *at;
    *at = parcel;
    if (parcel->next == NULL)
        c->queue_tail = parcel;
}

static void
enqueue_suspect(struct ox__case *c, struct ox_parcel *parcel)
{
    struct ox_parcel **at = &c->suspects;
    while (*at != NULL && seq_of(*at) < seq_of(parcel))
        at = &(*at)->next;
    parcel->next = *at;
    *at = parcel;
}

/* A list in the order of the log joins the queue, which is one too. Suspects go to their own. */
static void
enqueue_all(struct ox__case *c, struct ox_parcel *list)
{
    struct ox_parcel *queue = c->queue;
    c->queue = c->queue_tail = NULL;
    while (list != NULL || queue != NULL) {
        bool from_list = queue == NULL || (list != NULL && seq_of(list) < seq_of(queue));
        struct ox_parcel **from = from_list ? &list : &queue;
        struct ox_parcel *parcel = *from;
        *from = parcel->next;
        if (parcel->crashes > 0)
            enqueue_suspect(c, parcel);
        else
            enqueue(c, parcel);
    }
}

/* ---- going on ---- */

static void
retry_later(struct ox_actor *self, struct ox__returns *r)
{
    if (r->retry == 0 &&
        ox_timer_start(self, OX__PARKED_RETRY_MS, OX_K_retry, OX__RETRY_RETURNED, &r->retry) != OX_OK)
        ox_panic("no timer for parcels that wait");
}

static bool
send_queue(struct ox__returns *r, struct ox__case *c)
{
    while (c->queue != NULL) {
        struct ox_parcel *parcel = c->queue;
        struct ox_parcel *next = parcel->next;
        if (!ox__wal_forward(r->node, parcel, OX_K_parcel))
            return false;
        c->queue = next;
    }
    c->queue_tail = NULL;
    return true;
}

static bool
suspects_turn(const struct ox__case *c)
{
    return c->suspects != NULL &&
           (c->queue == NULL || ox_now_ns() - c->flowing_ns >= (uint64_t)ALONE_WAIT_MS * 1000000);
}

static void
pump(struct ox_actor *self, struct ox__returns *r, struct ox__case *c)
{
    if (c->phase != FLOWING)
        return;
    bool sent = send_queue(r, c);
    if (suspects_turn(c)) {
        struct ox_parcel *suspect = c->suspects;
        struct ox_parcel *next = suspect->next;
        sent = ox__wal_forward(r->node, suspect, OX_K_suspect);
        if (sent) {
            c->suspects = next;
            c->phase = TRYING;
        }
    }
    if (!sent)
        retry_later(self, r);
    else if (c->phase == FLOWING)
        close_case(r, c);
}

static void
flow(struct ox_actor *self, struct ox__returns *r, struct ox__case *c)
{
    c->phase = FLOWING;
    c->flowing_ns = ox_now_ns();
    pump(self, r, c);
}

/* ---- what the tenant's actor says ---- */

/* The entry in hand is charged; then all wait. */
static void
on_crashed(struct ox_actor *self, struct ox__returns *r, struct ox__case *c, struct ox_returned *ret)
{
    struct ox_parcel *list = ret->parcels, *kept = NULL, **end = &kept;
    ret->parcels = NULL;
    c->phase = HELD;
    while (list != NULL) {
        struct ox_parcel *parcel = list;
        list = parcel->next;
        parcel->next = NULL;
        parcel->crashes += parcel->charged;
        parcel->charged = false;
        if (parcel->crashes >= OX_SUSPECT_CRASHES) {
            ox__aside_begin(self, r, parcel);
            continue;
        }
        *end = parcel;
        end = &parcel->next;
    }
    enqueue_all(c, kept);
}

static void
on_restarted(struct ox__case *c, const struct ox_returned *ret)
{
    struct ox_msg *msg = ox_msg_new(OX_K_resume, NULL, 0, NULL);
    c->phase = HELD;
    if (msg == NULL)
        ox_panic("no memory to resume a tenant's actor");
    msg->flags |= OX_MSG_F_CONTROL;
    msg->num = ret->incarnation;
    /* Refused: it crashed again, and the next incarnation asks for itself. */
    if (ox_send(ox__tenant_pid(c->tenant), &msg) != OX_OK)
        ox_msg_free(msg);
}

void
ox__on_returned(struct ox_actor *self, struct ox__returns *r, struct ox_msg *msg)
{
    struct ox_returned *ret = msg->data;
    struct ox__case *c = case_of(r, ret->tenant);
    switch (ret->why) {
    case OX_RETURNED_CRASHED:
        on_crashed(self, r, c, ret);
        break;
    case OX_RETURNED_RESTARTED:
        on_restarted(c, ret);
        break;
    case OX_RETURNED_RESUMED:
        enqueue_all(c, ret->parcels);
        ret->parcels = NULL;
        flow(self, r, c);
        break;
    case OX_RETURNED_TRIED:
        if (c->phase == TRYING)
            flow(self, r, c);
        break;
    }
}

/* ---- from the log ---- */

bool
ox__returns_take(struct ox_actor *self, struct ox__returns *r, struct ox_parcel *parcel)
{
    struct ox_tenant *tenant = parcel->permit.tenant;
    if (tenant->returns == NULL && !ox_tenant_quarantined(tenant))
        return false;
    struct ox__case *c = case_of(r, tenant);
    enqueue(c, parcel);
    pump(self, r, c);
    return true;
}

struct ox_parcel *
ox__returns_give(struct ox__returns *r, struct ox_tenant *tenant)
{
    struct ox__case *c = tenant->returns;
    if (c == NULL)
        return NULL;
    struct ox_parcel *list = c->queue, **end = &list;
    while (*end != NULL)
        end = &(*end)->next;
    *end = c->suspects;
    close_case(r, c);
    return list;
}

void
ox__returns_retry(struct ox_actor *self, struct ox__returns *r)
{
    r->retry = 0;
    ox__aside_retry(self, r);
    for (struct ox__case *c = r->cases, *next; c != NULL; c = next) {
        next = c->next;
        pump(self, r, c);
    }
}

static void
free_list(struct ox_parcel *list)
{
    while (list != NULL) {
        struct ox_parcel *p = list;
        list = p->next;
        ox_parcel_free(p);
    }
}

void
ox__returns_fini(struct ox__returns *r)
{
    while (r->cases != NULL) {
        struct ox__case *c = r->cases;
        free_list(c->queue);
        free_list(c->suspects);
        close_case(r, c);
    }
    ox__aside_fini(r);
}
