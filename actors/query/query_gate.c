/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_gate.c - see query_gate.h.
 *
 * Owns:    see there.
 * Threads: see there.
 * Bounds:  see there. Tenants are found by walking: there are no more of them than questions.
 * Fails:   FULL.
 * Flow:    api_wait.c -> here.
 */
#include "actors/query/query_gate.h"

#include <stdlib.h>

#include "ox/lock.h"

struct flow {
    struct flow *next;
    struct ox_tenant_id tenant;
    uint32_t running, waiting;
    struct ox__gate_item *first, *last;
};

struct ox__gate {
    pthread_mutex_t lock;
    struct flow *flows;
    uint32_t waiting;
};

struct ox__gate *
ox__gate_new(void)
{
    struct ox__gate *gate = calloc(1, sizeof(*gate));
    if (gate != NULL)
        pthread_mutex_init(&gate->lock, NULL);
    return gate;
}

void
ox__gate_free(struct ox__gate *gate)
{
    if (gate == NULL)
        return;
    OX_ASSERT(gate->waiting == 0);
    while (gate->flows != NULL) {
        struct flow *f = gate->flows;
        gate->flows = f->next;
        free(f);
    }
    pthread_mutex_destroy(&gate->lock);
    free(gate);
}

/* What points to the tenant's flow, or to NULL at the end of the list. */
static struct flow **
find(struct ox__gate *gate, const struct ox_tenant_id *tenant)
{
    struct flow **at = &gate->flows;
    while (*at != NULL && strcmp((*at)->tenant.name, tenant->name) != 0)
        at = &(*at)->next;
    return at;
}

static void
drop_if_idle(struct flow **at)
{
    struct flow *f = *at;
    if (f->running > 0 || f->waiting > 0)
        return;
    *at = f->next;
    free(f);
}

static struct ox__gate_item *
pop(struct ox__gate *gate, struct flow *f)
{
    struct ox__gate_item *item = f->first;
    f->first = item->next;
    if (f->first == NULL)
        f->last = NULL;
    f->waiting--;
    gate->waiting--;
    item->next = NULL;
    item->waits = false;
    return item;
}

static void
push(struct ox__gate *gate, struct flow *f, struct ox__gate_item *item)
{
    item->next = NULL;
    item->waits = true;
    if (f->last != NULL)
        f->last->next = item;
    else
        f->first = item;
    f->last = item;
    f->waiting++;
    gate->waiting++;
}

static enum ox__gate_answer
enter(struct ox__gate *gate, struct ox__gate_item *item, uint32_t running_max, uint32_t waiting_max)
{
    struct flow **at = find(gate, &item->tenant);
    if (*at == NULL) {
        *at = calloc(1, sizeof(**at));
        if (*at == NULL)
            return OX__GATE_FULL;
        (*at)->tenant = item->tenant;
    }
    struct flow *f = *at;
    if (f->running < running_max && f->waiting == 0) {
        f->running++;
        return OX__GATE_RUN;
    }
    if (f->waiting >= waiting_max || gate->waiting >= OX__GATE_WAITING_MAX || f->running == 0) {
        drop_if_idle(at);
        return OX__GATE_FULL;
    }
    push(gate, f, item);
    return OX__GATE_WAIT;
}

enum ox__gate_answer
ox__gate_enter(struct ox__gate *gate, struct ox__gate_item *item, uint32_t running_max, uint32_t waiting_max)
{
    ox_lock(&gate->lock);
    enum ox__gate_answer answer = enter(gate, item, running_max, waiting_max);
    ox_unlock(&gate->lock);
    return answer;
}

void
ox__gate_leave(struct ox__gate *gate, const struct ox_tenant_id *tenant)
{
    ox_lock(&gate->lock);
    struct flow **at = find(gate, tenant);
    OX_ASSERT(*at != NULL && (*at)->running > 0);
    (*at)->running--;
    drop_if_idle(at);
    ox_unlock(&gate->lock);
}

struct ox__gate_item *
ox__gate_next(struct ox__gate *gate, const struct ox_tenant_id *tenant, uint32_t running_max)
{
    struct ox__gate_item *next = NULL;
    ox_lock(&gate->lock);
    struct flow *f = *find(gate, tenant);
    /* Who waits must not wait for ever: one runs even when the limit has become 0 meanwhile. */
    if (f != NULL && f->waiting > 0 && (f->running < running_max || f->running == 0)) {
        next = pop(gate, f);
        f->running++;
    }
    ox_unlock(&gate->lock);
    return next;
}

/* What points to the item in the flow's row, or NULL; *before: the item before it. */
static struct ox__gate_item **
place_of(struct flow *f, const struct ox__gate_item *item, struct ox__gate_item **before)
{
    struct ox__gate_item **at = &f->first;
    *before = NULL;
    while (*at != NULL && *at != item) {
        *before = *at;
        at = &(*at)->next;
    }
    return *at != NULL ? at : NULL;
}

bool
ox__gate_remove(struct ox__gate *gate, struct ox__gate_item *item)
{
    struct ox__gate_item *before, **at = NULL;
    ox_lock(&gate->lock);
    struct flow **of = find(gate, &item->tenant);
    if (*of != NULL)
        at = place_of(*of, item, &before);
    if (at != NULL) {
        *at = item->next;
        if ((*of)->last == item)
            (*of)->last = before;
        (*of)->waiting--;
        gate->waiting--;
        item->waits = false;
        drop_if_idle(of);
    }
    ox_unlock(&gate->lock);
    return at != NULL;
}

uint32_t
ox__gate_waiting(struct ox__gate *gate)
{
    ox_lock(&gate->lock);
    uint32_t n = gate->waiting;
    ox_unlock(&gate->lock);
    return n;
}
