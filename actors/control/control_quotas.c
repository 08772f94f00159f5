/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/control_quotas.c - the orders about quotas.
 *
 * Owns:    nothing.
 * Threads: query threads.
 * Bounds:  as many rows as quotas differ from the defaults.
 * Fails:   see include/ox/control_api.h; NOT_FOUND for a tenant or key that is none.
 * Flow:    control_api.c -> here -> audit log -> quota store; what is used: ox/quotas.h.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "actors/control/control_call.h"
#include "ox/quotas.h"

bool
ox__quota_row(struct ox_quota_row *row, const char *tenant, const char *key_id, const char *quota,
              int64_t value, int64_t changed_s)
{
    memset(row, 0, sizeof(*row));
    if (tenant == NULL || key_id == NULL || quota == NULL || value < 0 ||
        ox_tenant_id_parse(ox_str_of(tenant), &row->tenant, NULL) != OX_OK ||
        ox_quota_parse(ox_str_of(quota), &row->quota, NULL) != OX_OK || strlen(key_id) >= sizeof(row->key_id))
        return false;
    memcpy(row->key_id, key_id, strlen(key_id) + 1);
    row->value = (uint64_t)value;
    row->changed_s = changed_s;
    return true;
}

/* ---- seeing ---- */

/* One quota of a tenant or key as it is in force here. 0 is "no bound" for those that can have none. */
static json_t *
in_force(struct ox_quotas *q, struct ox_quota_entry *e, enum ox_quota quota)
{
    json_t *o = json_pack("{s:s, s:I, s:s, s:b}", "quota", ox_quota_name(quota), "value",
                          (json_int_t)ox_quotas_value(q, e, quota), "unit", ox_quota_unit(quota), "own",
                          ox_quotas_is_own(e, quota));
    if ((unsigned)quota < OX_QUOTA_RATES)
        json_object_set_new(o, "used_permille", json_integer(ox_quotas_used(q, e, quota)));
    return o;
}

static json_t *
row_json(const struct ox_quota_row *row)
{
    return json_pack("{s:s, s:s*, s:s, s:I, s:s, s:o}", "tenant", row->tenant.name, "key",
                     row->key_id[0] != '\0' ? row->key_id : NULL, "quota", ox_quota_name(row->quota), "value",
                     (json_int_t)row->value, "unit", ox_quota_unit(row->quota), "changed",
                     ox__control_time_json(row->changed_s));
}

/* tenant NULL: of all. */
static ox_err
respond_list(struct ox__control_call *c, const struct ox_tenant_id *tenant)
{
    struct ox_quota_store *store = c->api->quota_store;
    struct ox_quota_row *rows = NULL;
    size_t n = 0;
    json_t *set = json_array(), *force = json_array();
    ox_err err = store->list(store, tenant, &rows, &n, &c->diag);
    for (size_t i = 0; err == OX_OK && i < n; i++)
        json_array_append_new(set, row_json(&rows[i]));
    free(rows);
    for (int quota = 0; tenant != NULL && quota < OX_QUOTA__COUNT; quota++)
        json_array_append_new(
            force, in_force(c->api->quotas, ox_quotas_tenant(c->api->quotas, tenant), (enum ox_quota)quota));
    if (err == OX_OK)
        err =
            ox__control_respond(c, 200,
                                json_pack("{s:s*, s:O, s:O*}", "tenant", tenant != NULL ? tenant->name : NULL,
                                          "set", set, "in_force", tenant != NULL ? force : NULL));
    json_decref(set);
    json_decref(force);
    return err;
}

ox_err
ox__control_quotas_list(struct ox__control_call *c)
{
    struct ox_tenant_id tenant;
    struct ox_str name = ox__control_param(c, "tenant");
    if (name.n == 0 && ox__control_is_operator(c))
        return respond_list(c, NULL);
    ox_err err = ox__control_read_tenant(c, name, &tenant);
    return err == OX_OK ? respond_list(c, &tenant) : err;
}

/* ---- changing ---- */

/* A key's quota is one of its tenant's key; another tenant's key is not found. */
static ox_err
read_key(struct ox__control_call *c, struct ox_quota_row *row)
{
    struct ox_control_key key;
    struct ox_str id;
    ox_err err = ox__control_read_text(c, "key", &id);
    if (err != OX_OK || id.n == 0)
        return err;
    if (!ox_quota_of_key(row->quota))
        return ox__control_invalid(c, "key", "this quota is of tenants only");
    if (id.n >= sizeof(row->key_id))
        return ox__control_invalid(c, "key", "is the id of a key");
    memcpy(row->key_id, id.p, id.n);
    return c->api->store->key_get(c->api->store, &row->tenant, row->key_id, &key, &c->diag);
}

static ox_err
read_row(struct ox__control_call *c, const char *const *names, struct ox_quota_row *row)
{
    struct ox_control_tenant tenant;
    struct ox_str name, quota;
    memset(row, 0, sizeof(*row));
    row->changed_s = c->now_s;
    ox_err err = ox__control_read_body(c, names);
    if (err == OX_OK)
        err = ox__control_read_text(c, "tenant", &name);
    if (err == OX_OK)
        err = ox_tenant_id_parse(name, &row->tenant, &c->diag);
    if (err == OX_OK)
        err = ox__control_read_text(c, "quota", &quota);
    if (err == OX_OK)
        err = ox_quota_parse(quota, &row->quota, &c->diag);
    if (err == OX_OK)
        err = c->api->store->tenant_get(c->api->store, &row->tenant, &tenant, &c->diag);
    return err == OX_OK ? read_key(c, row) : err;
}

static ox_err
read_value(struct ox__control_call *c, uint64_t *out)
{
    json_t *value = json_object_get(c->body, "value");
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) > OX_QUOTA_VALUE_MAX)
        return ox__control_invalid(c, "value", "is a whole number from 0 to 10^15");
    *out = (uint64_t)json_integer_value(value);
    return OX_OK;
}

/* What holds now, for the audit log. */
static ox_err
read_before(struct ox__control_call *c, const struct ox_quota_row *row, char out[24])
{
    struct ox_quota_row *rows = NULL;
    size_t n = 0;
    ox_err err = c->api->quota_store->list(c->api->quota_store, &row->tenant, &rows, &n, &c->diag);
    snprintf(out, 24, "the default");
    for (size_t i = 0; err == OX_OK && i < n; i++) {
        if (rows[i].quota == row->quota && strcmp(rows[i].key_id, row->key_id) == 0)
            snprintf(out, 24, "%" PRIu64, rows[i].value);
    }
    free(rows);
    return err;
}

/* Written down, done, and in force here at once. */
static ox_err
change(struct ox__control_call *c, const struct ox_quota_row *row, bool clear)
{
    struct ox_quota_store *store = c->api->quota_store;
    char detail[160], before[24], after[24];
    snprintf(detail, sizeof(detail), "%s quota %s%s%s to %" PRIu64, clear ? "clear" : "set",
             ox_quota_name(row->quota), row->key_id[0] != '\0' ? " of key " : "", row->key_id, row->value);
    if (clear)
        *strstr(detail, " to ") = '\0';
    ox_err err = read_before(c, row, before);
    snprintf(after, sizeof(after), "%" PRIu64, row->value);
    c->before = before;
    c->after = clear ? "the default" : after;
    if (err == OX_OK)
        err = ox__control_audit_granted(c, row->tenant.name, detail);
    if (err != OX_OK)
        return err;
    const struct ox_control_asker *asker = ox__control_asker(c);
    err = clear ? store->clear(store, asker, row, &c->diag) : store->set(store, asker, row, &c->diag);
    if (err != OX_OK)
        return ox__control_audit_failed(c, row->tenant.name, err);
    if (c->api->quotas_changed != NULL)
        c->api->quotas_changed(c->api->ctx);
    return ox__control_respond(
        c, 200,
        clear ? json_pack("{s:s, s:s}", "tenant", row->tenant.name, "cleared", ox_quota_name(row->quota))
              : row_json(row));
}

ox_err
ox__control_quotas_set(struct ox__control_call *c)
{
    static const char *const names[] = {"tenant", "key", "quota", "value", NULL};
    struct ox_quota_row row;
    ox_err err = read_row(c, names, &row);
    if (err == OX_OK)
        err = read_value(c, &row.value);
    return err == OX_OK ? change(c, &row, false) : err;
}

ox_err
ox__control_quotas_clear(struct ox__control_call *c)
{
    static const char *const names[] = {"tenant", "key", "quota", NULL};
    struct ox_quota_row row;
    ox_err err = read_row(c, names, &row);
    return err == OX_OK ? change(c, &row, true) : err;
}
