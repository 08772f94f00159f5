/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/warden.h - quarantine as the node does it: durable first, then in force; lifted by an operator only.
 *
 * Owns:    the lists and files below it while the node runs: obituaries, quarantine, audit.
 * Threads: see each function. The actor has a lane of its own, so that a slow disk holds up nobody else.
 * Flow:    runtime hooks -> warden actor -(lane)-> DIR/crash/obituaries.jsonl, DIR/quarantine.json -> ox_tenant.quarantined,
 *          quarantine_changed; API -> revoke -> DIR/audit.jsonl, DIR/quarantine.json -> supervisor.
 */
#ifndef OX_WARDEN_H
#define OX_WARDEN_H

#include "ox/audit.h"
#include "ox/permission.h"
#include "ox/quarantine.h"
#include "ox/spine.h"

struct ox_warden {
    struct ox_node *node;
    struct ox_quarantine *quarantine;
    struct ox_audit *audit;
    struct ox_lane *lane;
    ox_pid pid; /* of the actor; written before the actors that may crash exist */
    struct ox__unkept *unkept;
    _Atomic bool saving;  /* obituaries wait to be saved: one message is enough. acq_rel against the job */
    _Atomic bool keeping; /* likewise, quarantines that wait to be written */
};

extern const struct ox_actor_class ox_warden_class; /* argument: struct ox_warden */

/* Opens lists and files below `data`. On failure ox_warden_close still has to be called. Main, before the runtime. */
OX_MUST_USE ox_err ox_warden_open(struct ox_warden *w, struct ox_node *node, const char *data,
                                  struct ox_diag *diag);
/* After the runtime. */
void ox_warden_close(struct ox_warden *w);
/* Puts those who are quarantined by the list back in quarantine: their actors are added so, and admission knows. Main, once
 * node->tenants_sup runs and before anything is admitted. */
OX_MUST_USE ox_err ox_warden_restore(struct ox_warden *w, struct ox_diag *diag);

/* The node's last end was a fault charged to `tenant`, and stands among the obituaries: more than max_restarts of them
 * within window_ns, and the tenant is on the list. Main, before ox_warden_restore. */
void ox_warden_faulted(struct ox_warden *w, const char *tenant, uint32_t max_restarts, uint64_t window_ns);

/* An obituary was noted: it is saved soon. Any thread; does not block. */
void ox_warden_crashed(struct ox_warden *w);
/* A tenant's actor passed its intensity: this becomes durable, then is in force. Any thread; does not block. */
void ox_warden_quarantined(struct ox_warden *w, const char *tenant, uint32_t crashes);

/* The i-th quarantine, 0 = first, that is in force and could not be written down yet: false when there are not so many. Any
 * thread. */
bool ox_warden_unkept(struct ox_warden *w, size_t i, struct ox_quarantined *out);

/* Lifts a quarantine for whoever repeats its number of crashes; written to the audit log, also when refused. role: of the
 * asker. FORBIDDEN (role), NOT_FOUND (not quarantined), UNAVAILABLE (it is not on disk yet), STATE (another number, with the right question in diag), IO,
 * DISK_FULL (nothing is lifted). Blocks: dirty threads. */
OX_MUST_USE ox_err ox_warden_revoke(struct ox_warden *w, enum ox_role role, const struct ox_asker *who,
                                    const char *tenant, uint32_t crashes, struct ox_diag *diag);

#endif
