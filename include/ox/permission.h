/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/permission.h - who may do what: roles, scopes, actions, and the one place where they meet.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Fails:   FORBIDDEN, with a sentence that names what would be right.
 * Flow:    key store (role and scopes of a credential) -> here -> whoever is about to act.
 *
 * A role says what somebody may do, a scope what this one key of his is for: both must allow an action.
 */
#ifndef OX_PERMISSION_H
#define OX_PERMISSION_H

#include "ox/base.h"

enum ox_role {
    OX_ROLE_NONE,     /* nothing */
    OX_ROLE_VIEWER,   /* reads the data of its own tenant */
    OX_ROLE_EDITOR,   /* ... and changes what is shown of it */
    OX_ROLE_ADMIN,    /* ... and its keys */
    OX_ROLE_OPERATOR, /* runs the platform: tenants, keys, quarantine; reads no telemetry */
    OX_ROLE_LOCAL, /* development mode, from this machine without a key: operator, and admin of its tenant */
    OX_ROLE__COUNT
};
/* "none", "viewer", "editor", "admin", "operator", "local operator" */
const char *ox_role_name(enum ox_role role);
/* INVALID with the legal names, unless it is the name of a role that a key can have. */
OX_MUST_USE ox_err ox_role_parse(struct ox_str name, enum ox_role *out, struct ox_diag *diag);

/* What told who somebody is. */
enum ox_way {
    OX_WAY_KEY, /* an API key, or none in development mode */
    OX_WAY_CERTIFICATE,
    OX_WAY_TOKEN,   /* of an issuer */
    OX_WAY_SESSION, /* of a user who has logged in */
};

/* What a key is for. The values stand in stores, so they never change. */
#define OX_SCOPE_INGEST_TRACES  1u
#define OX_SCOPE_INGEST_LOGS    2u
#define OX_SCOPE_INGEST_METRICS 4u
#define OX_SCOPE_QUERY          8u
#define OX_SCOPE_ADMIN          16u
#define OX_SCOPE_ALL            31u
#define OX_SCOPE_INGEST         (OX_SCOPE_INGEST_TRACES | OX_SCOPE_INGEST_LOGS | OX_SCOPE_INGEST_METRICS)
/* The scope that sending a signal needs. */
uint32_t ox_scope_of_signal(enum ox_signal signal);
/* "ingest.traces", "ingest.logs", "ingest.metrics", "query", "admin"; also "ingest" for all three. INVALID with the legal
 * names. *scopes: the bit (or bits) is added. */
OX_MUST_USE ox_err ox_scope_parse(struct ox_str name, uint32_t *scopes, struct ox_diag *diag);
/* What a role's credential is for when nobody says it. */
uint32_t ox_role_scopes(enum ox_role role);
/* The name of the one bit, or NULL. */
const char *ox_scope_name(uint32_t scope);
/* "ingest.traces, query"; "none". */
#define OX_SCOPES_TEXT_MAX 80
void ox_scopes_print(uint32_t scopes, char out[OX_SCOPES_TEXT_MAX]);
/* OK, or FORBIDDEN: "this key may not send traces: its scopes are query; it needs ingest.traces". needed: one bit. diag may
 * be NULL. */
OX_MUST_USE ox_err ox_scope_may(uint32_t scopes, uint32_t needed, struct ox_diag *diag);

enum ox_action {
    OX_ACTION_READ_OWN,          /* questions about the asker's own tenant */
    OX_ACTION_CRASHES_READ,      /* who crashed, on whose behalf, where in the code */
    OX_ACTION_QUARANTINE_READ,   /* which tenants are quarantined */
    OX_ACTION_QUARANTINE_REVOKE, /* let one of them go on */
    OX_ACTION_STORAGE_READ_ONLY, /* see, raise and end the read-only state of storage */
    OX_ACTION_CONFIG_RELOAD,     /* have the configuration read again */
    OX_ACTION_TENANTS_READ,      /* which tenants there are */
    OX_ACTION_TENANTS_WRITE,     /* create, disable and enable them */
    OX_ACTION_KEYS_READ,         /* the keys of the own tenant; of operators: of all */
    OX_ACTION_KEYS_WRITE,        /* create, rotate and revoke them */
    OX_ACTION_QUOTAS_READ,       /* the quotas of the own tenant; of operators: of all */
    OX_ACTION_QUOTAS_WRITE,      /* set and clear them */
    OX_ACTION_AUDIT_READ,        /* what was ordered for the own tenant; of operators: for all */
    OX_ACTION_USERS_READ,        /* the users of the own tenant; of operators: of all */
    OX_ACTION_USERS_WRITE,       /* create them, change their role, state and password */
    OX_ACTION_SESSION,           /* log in and out, see who one is, change the own password: everybody */
    OX_ACTION__COUNT
};
/* "quarantine.revoke", ...: as in the audit log. */
const char *ox_action_name(enum ox_action action);
/* The scope that goes with an action: query for reading telemetry, none for one's own session, admin for everything else. */
uint32_t ox_action_scope(enum ox_action action);

/* OK, or FORBIDDEN: "role viewer may not revoke a quarantine; that needs role operator". diag may be NULL. */
OX_MUST_USE ox_err ox_role_may(enum ox_role role, enum ox_action action, struct ox_diag *diag);
/* Both: what the role may, with a key that is for it. diag may be NULL. */
OX_MUST_USE ox_err ox_may(enum ox_role role, uint32_t scopes, enum ox_action action, struct ox_diag *diag);
/* Whether a role acts for all tenants rather than for its own. */
bool ox_role_is_operator(enum ox_role role);
/* Whether who has `own` may give somebody a key of role `role`: FORBIDDEN with a sentence. Nobody gives more than he has,
 * and only operators make operators. diag may be NULL. */
OX_MUST_USE ox_err ox_role_may_grant(enum ox_role own, enum ox_role role, struct ox_diag *diag);

#endif
