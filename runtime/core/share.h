/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/share.h - a queue that serves tenants in turns, in proportion to their weights.
 *
 * Owns:    a flow per tenant that waits or is in debt; never the items.
 * Threads: one at a time (the lock of whoever owns the queue).
 * Bounds:  by its user; a flow is some 72 bytes and goes when it says nothing any more.
 * Fails:   init: NOMEM. Without memory for a flow the items of its tenant wait among those of nobody.
 *
 * Within a flow the order is that of pushing. Between flows the one that has used least comes first (fair queueing
 * by virtual time): what an item costs is charged after it was served, so a flow may be in debt, and a debt
 * outlives the flow's last item while others wait. Who was idle starts level with the one served last: he comes next, but has saved
 * nothing up. Items of nobody (tenant 0) serve all: they and all tenants together have half each while both wait.
 */
#ifndef OX_CORE_SHARE_H
#define OX_CORE_SHARE_H

#include "ox/base.h"

struct ox__flow {
    struct ox__flow *next; /* in its bucket */
    uint32_t tenant;
    uint32_t n; /* items that wait */
    uint64_t bytes;
    uint64_t used;  /* virtual time: cost divided by weight */
    uint64_t order; /* among equals: who was served longer ago */
    uint32_t at;    /* place in the heap */
    void *head, *tail;
};

struct ox__share {
    size_t link; /* offset of the item's own next pointer */
    uint32_t n;  /* items that wait */
    uint64_t bytes;
    uint64_t clock; /* `used` of the flow that was served last */
    uint64_t order;
    int64_t balance; /* what nobody has used more than all tenants together */
    struct ox__flow nobody;
    struct ox__flow **heap; /* flows with items, the next one first */
    uint32_t heap_n, heap_cap;
    struct ox__flow **buckets;
    uint32_t buckets_n, flows_n, sweep_at;
};

/* link: offsetof(struct item, next). */
OX_MUST_USE ox_err ox__share_init(struct ox__share *share, size_t link);
/* It must be empty of items. */
void ox__share_fini(struct ox__share *share);
/* item: take. Its link is overwritten. */
void ox__share_push(struct ox__share *share, uint32_t tenant, void *item, uint64_t bytes);
/* The item whose turn it is, or NULL; *tenant is what to charge and `bytes_of` says what it was pushed with (NULL:
 * nothing). */
void *ox__share_pop(struct ox__share *share, uint32_t *tenant, uint64_t (*bytes_of)(const void *item));
/* The nth item of some fixed order, for a seeded choice. */
void *ox__share_pick(struct ox__share *share, uint32_t nth, uint32_t *tenant);
/* Something has cost `cost` ns on behalf of `tenant`. */
void ox__share_charge(struct ox__share *share, uint32_t tenant, uint64_t cost);
/* The item served was one of nobody's, or a tenant's: who has used how much of the halves. */
void ox__share_spent(struct ox__share *share, bool nobody, uint64_t cost);
/* The tenant's flow when it has one, else NULL. */
const struct ox__flow *ox__share_flow(const struct ox__share *share, uint32_t tenant);

#endif
