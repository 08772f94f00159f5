/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/permission.c - the table of actions and the roles that may take each; the table of scopes.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Fails:   FORBIDDEN, INVALID.
 */
#include "ox/permission.h"

#include <stdio.h>

static const char *const roles[OX_ROLE__COUNT] = {"none",  "viewer",   "editor",
                                                  "admin", "operator", "local operator"};

#define BIT(role) (1u << OX_ROLE_##role)
#define MEMBERS   (BIT(VIEWER) | BIT(EDITOR) | BIT(ADMIN) | BIT(LOCAL))
#define ADMINS    (BIT(ADMIN) | BIT(OPERATOR) | BIT(LOCAL))
#define OPERATORS (BIT(OPERATOR) | BIT(LOCAL))
#define EVERYBODY (MEMBERS | OPERATORS | BIT(NONE))

static const struct {
    const char *name;
    const char *what; /* "role ... may not <what>" */
    uint32_t who;     /* roles */
    const char *needs;
} actions[OX_ACTION__COUNT] = {
    [OX_ACTION_READ_OWN] = {"own.read", "read telemetry", MEMBERS, "viewer, editor or admin of the tenant"},
    [OX_ACTION_CRASHES_READ] = {"crashes.read", "see crashes, which name other tenants", OPERATORS,
                                "operator"},
    [OX_ACTION_QUARANTINE_READ] = {"quarantine.read", "see who is quarantined", OPERATORS, "operator"},
    [OX_ACTION_QUARANTINE_REVOKE] = {"quarantine.revoke", "revoke a quarantine", OPERATORS, "operator"},
    [OX_ACTION_STORAGE_READ_ONLY] = {"storage.read_only", "make storage read-only", OPERATORS, "operator"},
    [OX_ACTION_CONFIG_RELOAD] = {"config.reload", "have the configuration read again", OPERATORS, "operator"},
    [OX_ACTION_TENANTS_READ] = {"tenants.read", "see which tenants there are", OPERATORS, "operator"},
    [OX_ACTION_TENANTS_WRITE] = {"tenants.write", "create or change tenants", OPERATORS, "operator"},
    [OX_ACTION_KEYS_READ] = {"keys.read", "see API keys", ADMINS, "admin"},
    [OX_ACTION_QUOTAS_READ] = {"quotas.read", "see quotas", ADMINS, "admin"},
    [OX_ACTION_QUOTAS_WRITE] = {"quotas.write", "change quotas", OPERATORS, "operator"},
    [OX_ACTION_AUDIT_READ] = {"audit.read", "see the audit log", ADMINS, "admin"},
    [OX_ACTION_USERS_READ] = {"users.read", "see users", ADMINS, "admin"},
    [OX_ACTION_USERS_WRITE] = {"users.write", "create or change users", ADMINS, "admin"},
    [OX_ACTION_SESSION] = {"session", "log in", EVERYBODY, "none at all"},
    [OX_ACTION_KEYS_WRITE] = {"keys.write", "create or change API keys", ADMINS, "admin"},
};

static const struct {
    uint32_t bits;
    const char *name;
    const char *what; /* "this key may not <what>" */
} scopes_table[] = {
    {OX_SCOPE_INGEST_TRACES, "ingest.traces", "send traces"},
    {OX_SCOPE_INGEST_LOGS, "ingest.logs", "send logs"},
    {OX_SCOPE_INGEST_METRICS, "ingest.metrics", "send metrics"},
    {OX_SCOPE_QUERY, "query", "read telemetry"},
    {OX_SCOPE_ADMIN, "admin", "administer anything"},
    {OX_SCOPE_INGEST, "ingest", NULL}, /* short for three */
};
#define SINGLE_SCOPES (OX_COUNT(scopes_table) - 1)

const char *
ox_role_name(enum ox_role role)
{
    return (unsigned)role < OX_ROLE__COUNT ? roles[role] : "none";
}

ox_err
ox_role_parse(struct ox_str name, enum ox_role *out, struct ox_diag *diag)
{
    for (int r = OX_ROLE_VIEWER; r <= OX_ROLE_OPERATOR; r++) {
        if (ox_str_eq(name, ox_str_of(roles[r]))) {
            *out = (enum ox_role)r;
            return OX_OK;
        }
    }
    return ox_diag_set(diag, OX_E_INVALID, "role", -1,
                       "a role is viewer, editor, admin or operator; got '%.*s'",
                       (int)(name.n < 40 ? name.n : 40), name.n > 0 ? name.p : "");
}

const char *
ox_action_name(enum ox_action action)
{
    return action < OX_ACTION__COUNT ? actions[action].name : "unknown";
}

uint32_t
ox_action_scope(enum ox_action action)
{
    if (action == OX_ACTION_SESSION)
        return 0;
    return action == OX_ACTION_READ_OWN ? OX_SCOPE_QUERY : OX_SCOPE_ADMIN;
}

ox_err
ox_role_may(enum ox_role role, enum ox_action action, struct ox_diag *diag)
{
    OX_ASSERT(action < OX_ACTION__COUNT);
    if ((unsigned)role < OX_ROLE__COUNT && (actions[action].who & 1u << role) != 0)
        return OX_OK;
    return ox_diag_set(diag, OX_E_FORBIDDEN, "role", -1, "role %s may not %s; that needs role %s",
                       ox_role_name(role), actions[action].what, actions[action].needs);
}

ox_err
ox_may(enum ox_role role, uint32_t scopes, enum ox_action action, struct ox_diag *diag)
{
    ox_err err = ox_role_may(role, action, diag);
    return err == OX_OK ? ox_scope_may(scopes, ox_action_scope(action), diag) : err;
}

bool
ox_role_is_operator(enum ox_role role)
{
    return role == OX_ROLE_OPERATOR || role == OX_ROLE_LOCAL;
}

ox_err
ox_role_may_grant(enum ox_role own, enum ox_role role, struct ox_diag *diag)
{
    ox_err err = ox_role_may(own, OX_ACTION_KEYS_WRITE, diag);
    if (err != OX_OK)
        return err;
    if (role == OX_ROLE_OPERATOR && !ox_role_is_operator(own))
        return ox_diag_set(diag, OX_E_FORBIDDEN, "role", -1,
                           "role %s may not make a key of role operator; that needs role operator",
                           ox_role_name(own));
    return OX_OK;
}

/* ---- scopes ---- */

uint32_t
ox_scope_of_signal(enum ox_signal signal)
{
    static const uint32_t of[OX_SIGNAL__COUNT] = {[OX_SIGNAL_TRACES] = OX_SCOPE_INGEST_TRACES,
                                                  [OX_SIGNAL_LOGS] = OX_SCOPE_INGEST_LOGS,
                                                  [OX_SIGNAL_METRICS] = OX_SCOPE_INGEST_METRICS};
    OX_ASSERT(signal < OX_SIGNAL__COUNT);
    return of[signal];
}

ox_err
ox_scope_parse(struct ox_str name, uint32_t *scopes, struct ox_diag *diag)
{
    for (size_t i = 0; i < OX_COUNT(scopes_table); i++) {
        if (ox_str_eq(name, ox_str_of(scopes_table[i].name))) {
            *scopes |= scopes_table[i].bits;
            return OX_OK;
        }
    }
    return ox_diag_set(
        diag, OX_E_INVALID, "scopes", -1,
        "a scope is ingest, ingest.traces, ingest.logs, ingest.metrics, query or admin; got '%.*s'",
        (int)(name.n < 40 ? name.n : 40), name.n > 0 ? name.p : "");
}

uint32_t
ox_role_scopes(enum ox_role role)
{
    static const uint32_t of[OX_ROLE__COUNT] = {[OX_ROLE_VIEWER] = OX_SCOPE_QUERY,
                                                [OX_ROLE_EDITOR] = OX_SCOPE_INGEST | OX_SCOPE_QUERY,
                                                [OX_ROLE_ADMIN] = OX_SCOPE_ALL,
                                                [OX_ROLE_OPERATOR] = OX_SCOPE_ADMIN,
                                                [OX_ROLE_LOCAL] = OX_SCOPE_ALL};
    return (unsigned)role < OX_ROLE__COUNT ? of[role] : 0;
}

const char *
ox_scope_name(uint32_t scope)
{
    for (size_t i = 0; i < SINGLE_SCOPES; i++) {
        if (scopes_table[i].bits == scope)
            return scopes_table[i].name;
    }
    return NULL;
}

void
ox_scopes_print(uint32_t scopes, char out[OX_SCOPES_TEXT_MAX])
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < SINGLE_SCOPES; i++) {
        if ((scopes & scopes_table[i].bits) != 0)
            n += (size_t)snprintf(out + n, OX_SCOPES_TEXT_MAX - n, "%s%s", n > 0 ? ", " : "",
                                  scopes_table[i].name);
    }
    if (n == 0)
        snprintf(out, OX_SCOPES_TEXT_MAX, "none");
}

ox_err
ox_scope_may(uint32_t scopes, uint32_t needed, struct ox_diag *diag)
{
    char has[OX_SCOPES_TEXT_MAX];
    if ((scopes & needed) == needed)
        return OX_OK;
    ox_scopes_print(scopes, has);
    for (size_t i = 0; i < SINGLE_SCOPES; i++) {
        if (scopes_table[i].bits == needed)
            return ox_diag_set(diag, OX_E_FORBIDDEN, "scopes", -1,
                               "this key may not %s: its scopes are %s; it needs %s", scopes_table[i].what,
                               has, scopes_table[i].name);
    }
    return ox_diag_set(diag, OX_E_FORBIDDEN, "scopes", -1, "this key's scopes are %s", has);
}
