/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_gate.h - how many questions each tenant has running, and who waits because it has enough.
 *
 * Owns:    a flow per tenant with questions; never the items, which their owner links in.
 * Threads: any; one lock, held for a walk over the tenants that ask right now.
 * Bounds:  OX__GATE_WAITING_MAX items in all, and per tenant what the caller says.
 */
#ifndef OX_QUERY_GATE_H
#define OX_QUERY_GATE_H

#include "ox/base.h"

#define OX__GATE_WAITING_MAX 4096

struct ox__gate;

/* A place in a tenant's row. Zeroed before its first use; the gate's while it waits. */
struct ox__gate_item {
    struct ox__gate_item *next;
    struct ox_tenant_id tenant;
    bool waits;
};

enum ox__gate_answer { OX__GATE_RUN, OX__GATE_WAIT, OX__GATE_FULL };

/* NULL on lack of memory. */
struct ox__gate *ox__gate_new(void);
/* Nobody waits any more. NULL is allowed. */
void ox__gate_free(struct ox__gate *gate);

/* item: lend; its tenant is set. RUN: it counts as running until ox__gate_leave. WAIT: it stands in the row until
 * ox__gate_next or ox__gate_remove gives it back. FULL: waiting_max wait already, or there is no memory. */
enum ox__gate_answer ox__gate_enter(struct ox__gate *gate, struct ox__gate_item *item, uint32_t running_max,
                                    uint32_t waiting_max);
/* One of the tenant's has ended: ask for the next then. */
void ox__gate_leave(struct ox__gate *gate, const struct ox_tenant_id *tenant);
/* The next of the tenant's row that may run, which counts as running from now on, or NULL. Asked again until then, since
 * the limit may have been raised. */
struct ox__gate_item *ox__gate_next(struct ox__gate *gate, const struct ox_tenant_id *tenant,
                                    uint32_t running_max);
/* Takes an item out of its row; false: it does not wait (any more). */
bool ox__gate_remove(struct ox__gate *gate, struct ox__gate_item *item);
/* How many wait, of all tenants. */
uint32_t ox__gate_waiting(struct ox__gate *gate);

#endif
