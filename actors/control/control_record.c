/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/control_record.c - names of the control plane's values, as stores and answers write them.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 */
#include "actors/control/control_record.h"

#include <stdio.h>

const char *
ox_tenant_state_name(enum ox_tenant_state state)
{
    return state == OX_TENANT_ACTIVE ? "active" : "disabled";
}

bool
ox__control_copy(char *to, size_t size, const char *from, size_t n)
{
    if (from == NULL || n >= size || memchr(from, '\0', n) != NULL)
        return false;
    memcpy(to, from, n);
    to[n] = '\0';
    return true;
}

bool
ox__control_state(struct ox_str text, enum ox_tenant_state *out)
{
    *out = ox_str_eq(text, OX_STR("active")) ? OX_TENANT_ACTIVE : OX_TENANT_DISABLED;
    return *out == OX_TENANT_ACTIVE || ox_str_eq(text, OX_STR("disabled"));
}

ox_err
ox__control_damaged(const char *table, struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_CORRUPT, table, -1,
                       "a row of the control plane's table %s is not as this program writes it", table);
}

ox_err
ox__control_no_tenant(const struct ox_tenant_id *id, struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_NOT_FOUND, "tenant", -1, "there is no tenant %s", id->name);
}

ox_err
ox__control_no_key(const char *key_id, struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_NOT_FOUND, "key", -1, "there is no key %.16s", key_id);
}

ox_err
ox__control_no_asker(struct ox_diag *diag)
{
    return ox_diag_set(
        diag, OX_E_UNAUTHENTICATED, "x-api-key", -1,
        "the key or user that gives this order has ended meanwhile, or its tenant is disabled: nothing has "
        "changed");
}

ox_err
ox__control_room_for_key(const struct ox_control_store *st, const struct ox_tenant_id *tenant, uint64_t have,
                         struct ox_diag *diag)
{
    if (st->keys_max == 0 || have <= st->keys_max)
        return OX_OK;
    return ox_diag_set(diag, OX_E_STATE, "control.keys_per_tenant", -1,
                       "tenant %s has %u keys that are good or were made within a day, and may have no more "
                       "(control.keys_per_tenant): revoke some, or wait a day if they were made today",
                       tenant->name, st->keys_max);
}

ox_err
ox__control_may_have_key(const struct ox_control_tenant *tenant, struct ox_diag *diag)
{
    if (tenant->state == OX_TENANT_ACTIVE)
        return OX_OK;
    return ox_diag_set(diag, OX_E_STATE, "tenant", -1,
                       "tenant %s is disabled and gets no keys; enable it first", tenant->id.name);
}

ox_err
ox__control_may_rotate(const struct ox_control_key *old, int64_t now_s, struct ox_diag *diag)
{
    if (old->revoked_s != 0)
        return ox_diag_set(diag, OX_E_STATE, "key", -1, "key %s is revoked; create a new one", old->id);
    if (old->expires_s != 0 && old->expires_s <= now_s)
        return ox_diag_set(diag, OX_E_STATE, "key", -1, "key %s has expired; create a new one", old->id);
    return OX_OK;
}
