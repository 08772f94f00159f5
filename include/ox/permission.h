/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/permission.h - who may do what: roles, actions, and the one place where they meet.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Fails:   FORBIDDEN, with a sentence that names the role that would be right.
 * Flow:    key store (role of a credential) -> here -> whoever is about to act.
 */
#ifndef OX_PERMISSION_H
#define OX_PERMISSION_H

#include "ox/base.h"

/* Each role may do what those before it may. */
enum ox_role {
    OX_ROLE_NONE,    /* nothing */
    OX_ROLE_TENANT,  /* send and read the data of its own tenant */
    OX_ROLE_OPERATOR /* run the node: see and end what concerns all tenants */
};
/* "none", "tenant", "operator" */
const char *ox_role_name(enum ox_role role);

enum ox_action {
    OX_ACTION_READ_OWN,          /* questions about the asker's own tenant */
    OX_ACTION_CRASHES_READ,      /* who crashed, on whose behalf, where in the code */
    OX_ACTION_QUARANTINE_READ,   /* which tenants are quarantined */
    OX_ACTION_QUARANTINE_REVOKE, /* let one of them go on */
    OX_ACTION_STORAGE_READ_ONLY, /* see, raise and end the read-only state of storage */
    OX_ACTION_CONFIG_RELOAD,     /* have the configuration read again */
    OX_ACTION__COUNT
};
/* "quarantine.revoke", ...: as in the audit log. */
const char *ox_action_name(enum ox_action action);

/* OK, or FORBIDDEN: "role tenant may not revoke a quarantine; that needs role operator". diag may be NULL. */
OX_MUST_USE ox_err ox_role_may(enum ox_role role, enum ox_action action, struct ox_diag *diag);

#endif
