/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/users_record.c - see users_record.h.
 *
 * Owns:    nothing.
 * Threads: see there.
 * Fails:   see there.
 */
#include "actors/control/users_record.h"

bool
ox_user_name_ok(struct ox_str name)
{
    bool ok = name.n > 0 && name.n <= OX_USER_NAME_MAX;
    for (size_t i = 0; ok && i < name.n; i++) {
        char c = name.p[i];
        ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '@' ||
             c == '+' || c == '-';
    }
    return ok;
}

static bool
copy(char *to, size_t size, const char *from)
{
    return ox__control_copy(to, size, from, from != NULL ? strlen(from) : 0);
}

bool
ox__user_texts(struct ox_user *out, const char *tenant, const char *name, const char *role, const char *state,
               const char *password, const char *peer)
{
    enum ox_tenant_state s = OX_TENANT_DISABLED; /* the same two words */
    bool ok = copy(out->tenant.name, sizeof(out->tenant.name), tenant) &&
              copy(out->name, sizeof(out->name), name) && role != NULL &&
              ox_role_parse(ox_str_of(role), &out->role, NULL) == OX_OK && state != NULL &&
              ox__control_state(ox_str_of(state), &s) &&
              copy(out->password, sizeof(out->password), password) &&
              copy(out->login_peer, sizeof(out->login_peer), peer);
    out->active = s == OX_TENANT_ACTIVE;
    return ok;
}

const char *
ox__user_state(bool active)
{
    return ox_tenant_state_name(active ? OX_TENANT_ACTIVE : OX_TENANT_DISABLED);
}

ox_err
ox__user_none(struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_NOT_FOUND, "user", -1, "there is no such user");
}

ox_err
ox__user_exists(const char *name, struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_EXISTS, "user", -1, "there is a user %s already", name);
}

ox_err
ox__user_another(struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_FORBIDDEN, "user", -1,
                       "the user of that name is another one, who has a password, or is disabled");
}

ox_err
ox__session_none(struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_NOT_FOUND, "session", -1, "there is no such session");
}

ox_err
ox__login_refused(struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_UNAUTHENTICATED, "password", -1, "tenant, user or password is not right");
}

ox_err
ox__user_may_be(const char *state, int64_t have, struct ox_diag *diag)
{
    if (strcmp(state, ox_tenant_state_name(OX_TENANT_ACTIVE)) != 0)
        return ox_diag_set(diag, OX_E_STATE, "tenant", -1, "the tenant is disabled: enable it first");
    if (have >= OX_USERS_MAX)
        return ox_diag_set(diag, OX_E_STATE, "tenant", -1,
                           "the tenant has %lld users, which is what it may have", (long long)have);
    return OX_OK;
}
