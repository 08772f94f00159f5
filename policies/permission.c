/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/permission.c - the table of actions and the least role that may take each.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Fails:   FORBIDDEN.
 */
#include "ox/permission.h"

static const char *const roles[] = {"none", "tenant", "operator"};

static const struct {
    const char *name;
    const char *what; /* "role ... may not <what>" */
    enum ox_role least;
} actions[OX_ACTION__COUNT] = {
    [OX_ACTION_READ_OWN] = {"own.read", "read data", OX_ROLE_TENANT},
    [OX_ACTION_CRASHES_READ] = {"crashes.read", "see crashes, which name other tenants", OX_ROLE_OPERATOR},
    [OX_ACTION_QUARANTINE_READ] = {"quarantine.read", "see who is quarantined", OX_ROLE_OPERATOR},
    [OX_ACTION_QUARANTINE_REVOKE] = {"quarantine.revoke", "revoke a quarantine", OX_ROLE_OPERATOR},
    [OX_ACTION_STORAGE_READ_ONLY] = {"storage.read_only", "make storage read-only", OX_ROLE_OPERATOR},
    [OX_ACTION_CONFIG_RELOAD] = {"config.reload", "have the configuration read again", OX_ROLE_OPERATOR},
};

const char *
ox_role_name(enum ox_role role)
{
    return (size_t)role < OX_COUNT(roles) ? roles[role] : "none";
}

const char *
ox_action_name(enum ox_action action)
{
    return action < OX_ACTION__COUNT ? actions[action].name : "unknown";
}

ox_err
ox_role_may(enum ox_role role, enum ox_action action, struct ox_diag *diag)
{
    OX_ASSERT(action < OX_ACTION__COUNT);
    if (role >= actions[action].least && (size_t)role < OX_COUNT(roles))
        return OX_OK;
    return ox_diag_set(diag, OX_E_FORBIDDEN, "role", -1, "role %s may not %s; that needs role %s",
                       ox_role_name(role), actions[action].what, ox_role_name(actions[action].least));
}
