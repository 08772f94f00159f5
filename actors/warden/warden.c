/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/warden/warden.c - putting tenants into quarantine and letting them go.
 *
 * Owns:    ox_tenant.quarantined of every tenant: nobody else writes it.
 * Threads: blocking ones, except ox__warden_apply.
 * Bounds:  OX_QUARANTINE_MAX tenants.
 * Fails:   see include/ox/warden.h.
 *
 * A quarantine is in the file before admission or the log act on it, and out of the file before the supervisor lets the
 * actor run: what a crash in between leaves is a decision that was made. The flag goes before the actor runs again,
 * because the log's actor holds back what a flagged tenant sends.
 */
#include "ox/warden.h"

#include <stdio.h>
#include <stdlib.h>

#include "actors/warden/warden_internal.h"
#include "ox/log.h"
#include "ox/supervisor.h"

#define ASK_MS 5000

/* ---- the flag ---- */

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
        OX_LOG_WARN("warden", "the log does not hear of a quarantine", OX_F_STR("tenant", tenant->id.name),
                    OX_F_ERR(err));
    }
}

static ox_err
entry_of(struct ox_node *node, const char *name, struct ox_tenant **out)
{
    struct ox_tenant_id id;
    snprintf(id.name, sizeof(id.name), "%s", name);
    ox_err err = ox_tenants_get(node->tenants, &id, out);
    if (err != OX_OK)
        OX_LOG_ERROR("warden", "a quarantined tenant has no entry", OX_F_STR("tenant", name), OX_F_ERR(err));
    return err;
}

void
ox__warden_apply(struct ox_node *node, const char *name, uint32_t crashes)
{
    struct ox_tenant *tenant;
    if (entry_of(node, name, &tenant) != OX_OK)
        return;
    /* relaxed: see include/ox/tenants.h */
    atomic_store_explicit(&tenant->quarantined, crashes, memory_order_relaxed);
    tell_wal(node, tenant);
}

/* ---- start and end ---- */

ox_err
ox_warden_open(struct ox_warden *w, struct ox_node *node, const char *data, struct ox_diag *diag)
{
    char path[OX_DISK_PATH_MAX];
    w->node = node;
    snprintf(path, sizeof(path), "%s/audit.jsonl", data);
    w->audit = ox_audit_open(node->disk, path, node->clock);
    snprintf(path, sizeof(path), "%s/crash", data);
    node->crashes = ox_crashes_open(node->disk, path);
    w->unkept = ox__unkept_new();
    if (w->audit == NULL || node->crashes == NULL || w->unkept == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for the obituaries");
    snprintf(path, sizeof(path), "%s/quarantine.json", data);
    return ox_quarantine_open(node->disk, path, &w->quarantine, diag);
}

void
ox_warden_close(struct ox_warden *w)
{
    ox_quarantine_close(w->quarantine);
    ox_audit_close(w->audit);
    ox__unkept_free(w->unkept);
    if (w->node != NULL)
        ox_crashes_close(w->node->crashes);
}

static ox_err
restore_one(struct ox_node *node, const struct ox_quarantined *q, struct ox_diag *diag)
{
    struct ox_tenant *tenant;
    char id[OX_TENANT_CHILD_ID_MAX];
    struct ox_child_spec spec;
    ox_pid pid;
    ox_err err = entry_of(node, q->tenant.name, &tenant);
    if (err != OX_OK)
        return ox_diag_set(diag, err, "tenant.max", -1, "no room for quarantined tenant %s", q->tenant.name);
    ox_tenant_child_spec(node, tenant, id, &spec);
    spec.quarantined_crashes = q->crashes;
    err = ox_sup_add_wait(node->tenants_sup, &spec, &pid, diag);
    if (err != OX_OK)
        return err;
    /* relaxed: the wal actor, who reads both, starts later */
    atomic_store_explicit(&tenant->actor, (uint64_t)pid.gen << 32 | pid.slot, memory_order_relaxed);
    atomic_store_explicit(&tenant->quarantined, q->crashes, memory_order_relaxed);
    OX_LOG_WARN("warden", "a tenant stays in quarantine", OX_F_STR("tenant", q->tenant.name),
                OX_F_U64("crashes", q->crashes));
    return OX_OK;
}

ox_err
ox_warden_restore(struct ox_warden *w, struct ox_diag *diag)
{
    struct ox_quarantined *q = malloc(sizeof(*q));
    ox_err err = q != NULL ? OX_OK : OX_E_NOMEM;
    for (size_t i = 0; err == OX_OK && ox_quarantine_list(w->quarantine, i, q, 1) == 1; i++)
        err = restore_one(w->node, q, diag);
    free(q);
    return err;
}

/* ---- revocation ---- */

static ox_err
audit(struct ox_warden *w, const struct ox_asker *who, const char *tenant, uint32_t crashes,
      const char *outcome, ox_err err, const struct ox_diag *diag)
{
    struct ox_audit_entry entry = {
        .who = *who,
        .action = ox_action_name(OX_ACTION_QUARANTINE_REVOKE),
        .tenant = tenant,
        .count = crashes,
        .outcome = outcome,
        .detail = err == OX_OK ? "" : diag->text,
        .unauthorised = err == OX_E_FORBIDDEN,
    };
    return ox_audit_write(w->audit, &entry);
}

bool
ox_warden_unkept(struct ox_warden *w, size_t i, struct ox_quarantined *out)
{
    return ox__unkept_at(w->unkept, i, out);
}

static bool
is_unkept(struct ox_warden *w, const char *tenant, struct ox_quarantined *q)
{
    for (size_t i = 0; ox__unkept_at(w->unkept, i, q); i++) {
        if (strcmp(q->tenant.name, tenant) == 0)
            return true;
    }
    return false;
}

/* It is in force and on no disk; were it lifted now, a disk that comes back would have it again. */
static ox_err
not_found(struct ox_warden *w, const char *tenant, struct ox_quarantined *q, struct ox_diag *diag)
{
    if (is_unkept(w, tenant, q))
        return ox_diag_set(
            diag, OX_E_UNAVAILABLE, "tenant", -1,
            "the quarantine of tenant %.64s after %u crashes cannot be written down yet, and so its end "
            "could not either; see the node's log for what ails the disk, then try again",
            tenant, q->crashes);
    return ox_diag_set(diag, OX_E_NOT_FOUND, "tenant", -1, "tenant %.64s is not quarantined", tenant);
}

/* The question that the operator has to answer. */
static ox_err
check_count(struct ox_warden *w, const char *tenant, uint32_t crashes, struct ox_quarantined *q,
            struct ox_diag *diag)
{
    char since[OX_RFC3339_LEN + 1];
    if (!ox_quarantine_find(w->quarantine, tenant, q))
        return not_found(w, tenant, q, diag);
    if (q->crashes == crashes)
        return OX_OK;
    ox_clock_rfc3339(q->since_ns, since);
    return ox_diag_set(
        diag, OX_E_STATE, "acknowledge_crashes", -1,
        "tenant %s crashed %u times until it was quarantined at %s; to lift the quarantine repeat that "
        "number",
        tenant, q->crashes, since);
}

/* Durable, then in force; on failure as before. */
static ox_err
lift(struct ox_warden *w, const struct ox_quarantined *q, struct ox_diag *diag)
{
    char id[OX_TENANT_CHILD_ID_MAX];
    struct ox_tenant *tenant;
    struct ox_child_spec spec;
    ox_err err = entry_of(w->node, q->tenant.name, &tenant);
    if (err == OX_OK)
        err = ox_quarantine_remove(w->quarantine, q->tenant.name);
    if (err != OX_OK)
        return ox_diag_set(diag, err, NULL, -1, "the quarantine of %s cannot be taken off the list: %s",
                           q->tenant.name, ox_err_text(err));
    ox__warden_apply(w->node, q->tenant.name, 0);
    ox_tenant_child_spec(w->node, tenant, id, &spec);
    err = ox_sup_ask(w->node->tenants_sup, OX_SUP_REVOKE, id, q->crashes, ASK_MS, NULL);
    if (err == OX_OK || err == OX_E_TIMEOUT) /* late is not refused: the supervisor has the request */
        return OX_OK;
    if (ox_quarantine_put(w->quarantine, q) == OX_OK)
        ox__warden_apply(w->node, q->tenant.name, q->crashes);
    return ox_diag_set(diag, err, NULL, -1, "the supervisor does not let %s run: %s", q->tenant.name,
                       ox_err_text(err));
}

static ox_err
revoke(struct ox_warden *w, enum ox_role role, const struct ox_asker *who, const char *tenant,
       uint32_t crashes, struct ox_quarantined *q, struct ox_diag *diag)
{
    ox_err err = ox_role_may(role, OX_ACTION_QUARANTINE_REVOKE, diag);
    if (err == OX_OK)
        err = check_count(w, tenant, crashes, q, diag);
    ox_err written = audit(w, who, tenant, crashes, err == OX_OK ? "granted" : "refused", err, diag);
    if (err != OX_OK)
        return err;
    if (written != OX_OK)
        return ox_diag_set(diag, written, NULL, -1,
                           "the audit log cannot be written, so nothing is lifted: %s", ox_err_text(written));
    err = lift(w, q, diag);
    if (err == OX_OK)
        OX_LOG_WARN("warden", "a quarantine was lifted", OX_F_STR("tenant", tenant),
                    OX_F_U64("crashes", crashes), OX_F_STR("who", who->credential),
                    OX_F_STR("peer", who->peer));
    else if (audit(w, who, tenant, crashes, "failed", err, diag) != OX_OK)
        OX_LOG_ERROR("warden", "the audit log lacks a failure", OX_F_STR("tenant", tenant));
    return err;
}

ox_err
ox_warden_revoke(struct ox_warden *w, enum ox_role role, const struct ox_asker *who, const char *tenant,
                 uint32_t crashes, struct ox_diag *diag)
{
    struct ox_quarantined *q = malloc(sizeof(*q)); /* holds a backtrace: large for a stack */
    if (q == NULL)
        return OX_E_NOMEM;
    ox_err err = revoke(w, role, who, tenant, crashes, q, diag);
    free(q);
    return err;
}
