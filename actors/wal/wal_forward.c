/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/wal_forward.c - handing a parcel to its tenant's actor, which is started on first use.
 *
 * Owns:    ox_tenant.actor, after the node has filled in those that begin in quarantine.
 * Threads: the wal actor's turns.
 * Fails:   false: the parcel stays with the caller.
 */
#include "actors/wal/wal_internal.h"
#include "ox/log.h"
#include "ox/supervisor.h"

ox_pid
ox__tenant_pid(const struct ox_tenant *tenant)
{
    /* relaxed: only this actor writes it */
    uint64_t packed = atomic_load_explicit(&tenant->actor, memory_order_relaxed);
    return (ox_pid){(uint32_t)packed, (uint32_t)(packed >> 32)};
}

static ox_err
tenant_actor(struct ox_node *node, struct ox_tenant *tenant, ox_pid *pid)
{
    *pid = ox__tenant_pid(tenant);
    if (!ox_pid_is_none(*pid) && ox_alive(*pid))
        return OX_OK;
    char id[OX_TENANT_CHILD_ID_MAX];
    struct ox_child_spec spec;
    struct ox_diag diag;
    ox_tenant_child_spec(node, tenant, id, &spec);
    ox_err err = ox_sup_add(node->tenants_sup, &spec, false, pid, &diag);
    if (err == OX_OK)
        atomic_store_explicit(&tenant->actor, (uint64_t)pid->gen << 32 | pid->slot, memory_order_relaxed);
    else
        OX_LOG_ERROR("wal", "a tenant's actor cannot be started", OX_F_STR("tenant", tenant->id.name),
                     OX_F_ERR(err), OX_F_DIAG(&diag));
    return err;
}

/* A quarter of what may be in flight: half of what one tenant may hold. */
static bool
queue_is_full(struct ox_node *node, struct ox_tenant *tenant)
{
    return atomic_load_explicit(&tenant->records_queued, memory_order_relaxed) >=
           (uint64_t)ox_node_config(node)->gateway_records_max / 4;
}

bool
ox__wal_forward(struct ox_node *node, struct ox_parcel *parcel, uint32_t kind)
{
    ox_pid pid;
    if (queue_is_full(node, parcel->permit.tenant) ||
        tenant_actor(node, parcel->permit.tenant, &pid) != OX_OK)
        return false;
    struct ox_msg *msg = ox_msg_new(kind, parcel, ox_batch_memory(parcel->batch), ox_parcel_free);
    if (msg == NULL)
        return false;
    parcel->queued = true;
    atomic_fetch_add_explicit(&parcel->permit.tenant->records_queued, parcel->permit.records,
                              memory_order_relaxed);
    msg->cause = (struct ox_cause){ox_tenant_index(&parcel->batch->tenant), parcel->batch->wal_seq};
    if (ox_send(pid, &msg) == OX_OK)
        return true;
    ox_parcel_taken(parcel);
    msg->data = NULL;
    ox_msg_free(msg);
    return false;
}
