/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/node_quarantine.c - who is quarantined, as the rest of the node sees it.
 *
 * Owns:    ox_tenant.quarantined of every tenant: nobody else writes it.
 * Threads: any; nothing here blocks.
 * Fails:   a message that cannot be sent is logged: the flag counts, the message only makes the log look at once.
 */
#include <stdio.h>

#include "cmd/node_internal.h"
#include "ox/log.h"

/* The log's actor looks at what it holds for the tenant. */
static void
tell_wal(struct ox_node *node, const struct ox_tenant *tenant)
{
    struct ox_msg *msg = ox_msg_new(OX_K_quarantine_changed, NULL, 0, NULL);
    ox_err err = OX_E_NOMEM;
    if (msg != NULL) {
        msg->num = tenant->index;
        msg->flags |= OX_MSG_F_CONTROL;
        err = ox_send(node->wal, &msg);
    }
    if (err != OX_OK) {
        ox_msg_free(msg);
        OX_LOG_WARN("node", "the log does not hear of a quarantine", OX_F_STR("tenant", tenant->id.name),
                    OX_F_ERR(err));
    }
}

void
node_quarantine_set(struct ox_node *node, const char *name, uint32_t crashes)
{
    struct ox_tenant_id id;
    struct ox_tenant *tenant = NULL;
    snprintf(id.name, sizeof(id.name), "%s", name);
    ox_err err = ox_tenants_get(node->tenants, &id, &tenant);
    if (err != OX_OK) {
        OX_LOG_ERROR("node", "a quarantined tenant has no entry", OX_F_STR("tenant", name), OX_F_ERR(err));
        return;
    }
    /* relaxed: see include/ox/tenants.h */
    atomic_store_explicit(&tenant->quarantined, crashes, memory_order_relaxed);
    tell_wal(node, tenant);
}
