/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/control_tenants.c - the orders about tenants.
 *
 * Owns:    nothing.
 * Threads: query threads.
 * Bounds:  OX_CONTROL_PAGE_MAX rows.
 * Fails:   see include/ox/control_api.h.
 * Flow:    control_api.c -> here -> audit log -> store.
 */
#include "actors/control/control_call.h"

#include <stdlib.h>

static json_t *
tenant_json(const struct ox_control_tenant *t)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:o}", "id", t->id.name, "name", t->name, "state",
                     ox_tenant_state_name(t->state), "created", ox__control_time_json(t->created_s),
                     "changed", ox__control_time_json(t->changed_s));
}

ox_err
ox__control_tenants_list(struct ox__control_call *c)
{
    char after[OX_TENANT_MAX + 1];
    size_t n = 0;
    ox_err err = ox__control_read_limit(c, &n);
    if (err == OX_OK)
        err = ox__control_read_after(c, after, sizeof(after));
    size_t limit = n;
    struct ox_control_tenant *list = err == OX_OK ? calloc(n, sizeof(*list)) : NULL;
    if (list == NULL)
        return err != OX_OK ? err : OX_E_NOMEM;
    err = c->api->store->tenant_list(c->api->store, after, list, &n, &c->diag);
    json_t *rows = json_array();
    for (size_t i = 0; err == OX_OK && i < n; i++)
        json_array_append_new(rows, tenant_json(&list[i]));
    if (err == OX_OK)
        err = ox__control_respond(c, 200,
                                  json_pack("{s:O, s:s*}", "tenants", rows, "next",
                                            n == limit && n > 0 ? list[n - 1].id.name : NULL));
    json_decref(rows);
    free(list);
    return err;
}

ox_err
ox__control_tenants_create(struct ox__control_call *c)
{
    static const char *const names[] = {"id", "name", NULL};
    struct ox_control_tenant t = {.state = OX_TENANT_ACTIVE, .created_s = c->now_s, .changed_s = c->now_s};
    struct ox_str id;
    ox_err err = ox__control_read_body(c, names);
    if (err == OX_OK)
        err = ox__control_read_text(c, "id", &id);
    if (err == OX_OK)
        err = ox_tenant_id_parse(id, &t.id, &c->diag);
    if (err == OX_OK)
        err = ox__control_read_name(c, t.name);
    if (err == OX_OK)
        err = ox__control_audit_granted(c, t.id.name, "create the tenant");
    if (err != OX_OK)
        return err;
    err = c->api->store->tenant_create(c->api->store, ox__control_asker(c), &t, &c->diag);
    return err == OX_OK ? ox__control_respond(c, 201, tenant_json(&t))
                        : ox__control_audit_failed(c, t.id.name, err);
}

ox_err
ox__control_tenants_show(struct ox__control_call *c)
{
    struct ox_tenant_id id;
    struct ox_control_tenant t;
    ox_err err = ox_tenant_id_parse(c->arg, &id, &c->diag);
    if (err == OX_OK)
        err = c->api->store->tenant_get(c->api->store, &id, &t, &c->diag);
    return err == OX_OK ? ox__control_respond(c, 200, tenant_json(&t)) : err;
}

/* {"state":"disabled"} */
static ox_err
read_state(struct ox__control_call *c, enum ox_tenant_state *out)
{
    static const char *const names[] = {"state", NULL};
    struct ox_str text;
    ox_err err = ox__control_read_body(c, names);
    if (err == OX_OK)
        err = ox__control_read_text(c, "state", &text);
    if (err != OX_OK)
        return err;
    *out = ox_str_eq(text, OX_STR("active")) ? OX_TENANT_ACTIVE : OX_TENANT_DISABLED;
    if (*out == OX_TENANT_DISABLED && !ox_str_eq(text, OX_STR("disabled")))
        return ox__control_invalid(c, "state", "is active or disabled");
    return OX_OK;
}

ox_err
ox__control_tenants_change(struct ox__control_call *c)
{
    struct ox_tenant_id id;
    struct ox_control_tenant t;
    enum ox_tenant_state state = OX_TENANT_ACTIVE;
    ox_err err = ox_tenant_id_parse(c->arg, &id, &c->diag);
    if (err == OX_OK)
        err = read_state(c, &state);
    if (err == OX_OK && state == OX_TENANT_DISABLED && strcmp(id.name, OX_CONTROL_PLATFORM) == 0)
        err = ox_diag_set(&c->diag, OX_E_STATE, "state", -1,
                          "tenant " OX_CONTROL_PLATFORM
                          " is the operators' own: without it nobody could enable it again");
    if (err == OX_OK)
        err = c->api->store->tenant_get(c->api->store, &id, &t, &c->diag);
    if (err == OX_OK) {
        c->before = ox_tenant_state_name(t.state);
        c->after = ox_tenant_state_name(state);
    }
    if (err == OX_OK)
        err = ox__control_audit_granted(
            c, id.name, state == OX_TENANT_ACTIVE ? "enable the tenant" : "disable the tenant");
    if (err != OX_OK)
        return err;
    err = c->api->store->tenant_set(c->api->store, ox__control_asker(c), &id, state, c->now_s, &t, &c->diag);
    return err == OX_OK ? ox__control_respond(c, 200, tenant_json(&t))
                        : ox__control_audit_failed(c, id.name, err);
}
