/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/warden/unkept.c - quarantines that are decided and not yet on disk.
 *
 * Owns:    one entry per such tenant, in the order of the decisions.
 * Threads: any adds, the warden's lane takes out; `lock` guards the list, a leaf: never while disk or actors are asked.
 * Bounds:  as many as there are tenants: who is quarantined does not run.
 * Fails:   NOMEM: the caller puts the quarantine in force without it.
 */
#include <pthread.h>
#include <stdlib.h>

#include "actors/warden/warden_internal.h"
#include "ox/lock.h"
#include "ox/log.h"

struct waiting {
    struct waiting *next;
    struct ox_quarantined entry;
    bool in_force; /* the lane's */
};

struct ox__unkept {
    pthread_mutex_t lock;
    struct waiting *head, **end;
};

struct ox__unkept *
ox__unkept_new(void)
{
    struct ox__unkept *u = calloc(1, sizeof(*u));
    if (u == NULL)
        return NULL;
    pthread_mutex_init(&u->lock, NULL);
    u->end = &u->head;
    return u;
}

void
ox__unkept_free(struct ox__unkept *u)
{
    if (u == NULL)
        return;
    while (u->head != NULL) {
        struct waiting *w = u->head;
        u->head = w->next;
        free(w);
    }
    pthread_mutex_destroy(&u->lock);
    free(u);
}

bool
ox__unkept_add(struct ox__unkept *u, const struct ox_quarantined *entry)
{
    struct waiting *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return false;
    w->entry = *entry;
    ox_lock(&u->lock);
    *u->end = w;
    u->end = &w->next;
    ox_unlock(&u->lock);
    return true;
}

bool
ox__unkept_empty(struct ox__unkept *u)
{
    ox_lock(&u->lock);
    bool empty = u->head == NULL;
    ox_unlock(&u->lock);
    return empty;
}

bool
ox__unkept_at(struct ox__unkept *u, size_t i, struct ox_quarantined *out)
{
    ox_lock(&u->lock);
    const struct waiting *w = u->head;
    for (; w != NULL && i > 0; i--)
        w = w->next;
    if (w != NULL)
        *out = w->entry;
    ox_unlock(&u->lock);
    return w != NULL;
}

/* What follows *at; with `done`, *at is taken out. */
static struct waiting **
go_on(struct ox__unkept *u, struct waiting **at, bool done)
{
    struct waiting *w = *at;
    ox_lock(&u->lock);
    if (!done)
        at = &w->next;
    else if ((*at = w->next) == NULL)
        u->end = at;
    ox_unlock(&u->lock);
    if (done)
        free(w);
    return at;
}

static struct waiting *
look(struct ox__unkept *u, struct waiting **at)
{
    ox_lock(&u->lock);
    struct waiting *w = *at;
    ox_unlock(&u->lock);
    return w;
}

void
ox__unkept_keep(struct ox__unkept *u, struct ox_node *node, struct ox_quarantine *list)
{
    struct waiting **at = &u->head, *w;
    while ((w = look(u, at)) != NULL) {
        ox_err err = ox_quarantine_put(list, &w->entry);
        if (err != OX_OK)
            OX_LOG_ERROR("warden", "a quarantine is in force and cannot be written down; tried again",
                         OX_F_STR("tenant", w->entry.tenant.name), OX_F_ERR(err));
        if (!w->in_force)
            ox__warden_apply(node, w->entry.tenant.name, w->entry.crashes);
        w->in_force = true;
        at = go_on(u, at, err == OX_OK);
    }
}
