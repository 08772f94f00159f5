/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/share.h - a queue that serves tenants in turns, in proportion to their weights.
 *
 * Owns:    a flow per tenant that waits or is in debt; never the items.
 * Threads: one at a time (the lock of whoever owns the queue).
 * Flow:    the ready actors of a loop, mailboxes of OX_ACTOR_FAIR, what waits for the log and for a writer.
 * Bounds:  by its user; a flow is some 72 bytes and goes when it says nothing any more.
 * Fails:   init: NOMEM. Without memory for a flow the items of its tenant wait among those of nobody.
 *
 * Within a flow the order is that of pushing. Between flows the one that has used least comes first (fair queueing
 * by virtual time): what an item costs is charged after it was served, so a flow may be in debt, and a debt
 * outlives the flow's last item while others wait. Who was idle starts level with the one served last: he comes next, but has saved
 * nothing up. Costs are ns, or whatever stands for them. Items of nobody (tenant 0) serve all: they and all tenants together have half each while both wait.
 */
#ifndef OX_SHARE_H
#define OX_SHARE_H

#include "ox/base.h"

struct ox_flow {
    struct ox_flow *next; /* in its bucket */
    uint32_t tenant;
    uint32_t n; /* items that wait */
    uint64_t bytes;
    uint64_t used;  /* virtual time: cost divided by weight */
    uint64_t order; /* among equals: who was served longer ago */
    uint32_t at;    /* place in the heap */
    void *head, *tail;
};

struct ox_share {
    size_t link; /* offset of the item's own next pointer */
    uint32_t n;  /* items that wait */
    uint64_t bytes;
    uint64_t clock; /* `used` of the flow that was served last */
    uint64_t order;
    int64_t balance; /* what nobody has used more than all tenants together */
    struct ox_flow nobody;
    struct ox_flow **heap; /* flows with items, the next one first */
    uint32_t heap_n, heap_cap;
    struct ox_flow **buckets;
    uint32_t buckets_n, flows_n, sweep_at;
};

/* link: offsetof(struct item, next). */
OX_MUST_USE ox_err ox_share_init(struct ox_share *share, size_t link);
/* It must be empty of items. */
void ox_share_fini(struct ox_share *share);
/* item: take. Its link is overwritten. */
void ox_share_push(struct ox_share *share, uint32_t tenant, void *item, uint64_t bytes);
/* The item whose turn it is, or NULL; *tenant is what to charge and `bytes_of` says what it was pushed with (NULL:
 * nothing). */
void *ox_share_pop(struct ox_share *share, uint32_t *tenant, uint64_t (*bytes_of)(const void *item));
/* The nth item of some fixed order, for a seeded choice. */
void *ox_share_pick(struct ox_share *share, uint32_t nth, uint32_t *tenant);
/* Something has cost this much on behalf of `tenant`. */
void ox_share_charge(struct ox_share *share, uint32_t tenant, uint64_t cost);
/* The item served was one of nobody's, or a tenant's: who has used how much of the halves. */
void ox_share_spent(struct ox_share *share, bool nobody, uint64_t cost);
/* The tenant's flow when it has one, else NULL. */
const struct ox_flow *ox_share_flow(const struct ox_share *share, uint32_t tenant);

#endif
