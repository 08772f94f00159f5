/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_warden.c - what operators ask about: crashes, and tenants in quarantine; and how they lift one.
 *
 * Owns:    nothing.
 * Threads: query threads.
 * Bounds:  OX_CRASHES_MAX crashes, OX_QUARANTINE_MAX tenants.
 * Fails:   FORBIDDEN for everybody but operators; a revocation with another number than that of the crashes is refused with
 *          the question that it has to answer.
 */
#include <jansson.h>
#include <stdlib.h>

#include "actors/query/query_call.h"
#include "ox/warden.h"

static ox_err
check(struct ox__call *c, enum ox_action action)
{
    ox_err err = ox_may(c->req->role, c->req->scopes, action, &c->diag);
    if (err != OX_OK)
        c->hint = "in development mode a request from this machine without a key is the operator's";
    else if (c->q->warden == NULL)
        err = ox_diag_set(&c->diag, OX_E_UNAVAILABLE, NULL, -1, "this node keeps no list of crashes");
    return err;
}

static void
write_crash(struct ox__json *j, const struct ox_crash *crash)
{
    ox__qjson_ku64(j, "id", crash->id);
    ox__qjson_ktime(j, "time", crash->time_ns);
    ox__qjson_kcstr(j, "scope", ox_crash_scope_name(crash->scope));
    ox__qjson_kcstr(j, "kind", crash->kind);
    ox__qjson_kcstr(j, "name", crash->name);
    ox__qjson_kcstr(j, "reason", crash->reason);
    ox__qjson_kcstr(j, "message", crash->message);
    ox__qjson_kcstr(j, "tenant", crash->tenant);
    ox__qjson_ku64(j, "wal_seq", crash->wal_seq);
    ox__qjson_kcstr(j, "charge", ox_crash_charge_name(crash->charge));
    ox__qjson_kcstr(j, "charge_means", ox_crash_charge_means(crash->charge));
    ox__qjson_ku64(j, "age_ms", crash->age_ns / 1000000);
    ox__qjson_ku64(j, "restarts", crash->restarts);
    ox__qjson_kcstr(j, "text", crash->text);
    ox__qjson_kcstr(j, "backtrace", crash->backtrace);
}

ox_err
ox__handle_crashes(struct ox__call *c, struct ox__json *j)
{
    static const char *const names[] = {"limit", NULL};
    uint64_t total = 0;
    ox_err err = check(c, OX_ACTION_CRASHES_READ);
    if (err == OX_OK)
        err = ox__call_limit(c, OX_CRASHES_MAX, 50);
    if (err == OX_OK)
        err = ox__call_done_params(c, names);
    struct ox_crash *list = err == OX_OK ? calloc(c->limit, sizeof(*list)) : NULL;
    if (list == NULL)
        return err != OX_OK ? err : OX_E_NOMEM;
    size_t n = ox_crashes_list(c->q->warden->node->crashes, list, c->limit, &total);
    ox__qjson_open(j, "crashes", '[');
    for (size_t i = 0; i < n; i++) {
        ox__qjson_begin(j, '{');
        write_crash(j, &list[i]);
        ox__qjson_end(j, '}');
    }
    ox__qjson_end(j, ']');
    ox__qjson_ku64(j, "noted", total);
    c->rows = n;
    c->truncated = n == c->limit && total > n;
    free(list);
    return OX_OK;
}

static void
write_quarantined(struct ox__json *j, const struct ox_quarantined *q, bool on_disk)
{
    ox__qjson_begin(j, '{');
    ox__qjson_kcstr(j, "tenant", q->tenant.name);
    ox__qjson_ku64(j, "crashes", q->crashes);
    ox__qjson_ktime(j, "since", q->since_ns);
    ox__qjson_kbool(j, "on_disk", on_disk);
    if (q->has_last) {
        ox__qjson_open(j, "last", '{');
        write_crash(j, &q->last);
        ox__qjson_end(j, '}');
    }
    ox__qjson_end(j, '}');
}

ox_err
ox__handle_quarantine(struct ox__call *c, struct ox__json *j)
{
    static const char *const names[] = {NULL};
    ox_err err = check(c, OX_ACTION_QUARANTINE_READ);
    if (err == OX_OK)
        err = ox__call_done_params(c, names);
    struct ox_quarantined *q = err == OX_OK ? malloc(sizeof(*q)) : NULL;
    if (q == NULL)
        return err != OX_OK ? err : OX_E_NOMEM;
    ox__qjson_open(j, "quarantine", '[');
    for (; ox_quarantine_list(c->q->warden->quarantine, (size_t)c->rows, q, 1) == 1; c->rows++)
        write_quarantined(j, q, true);
    for (size_t i = 0; ox_warden_unkept(c->q->warden, i, q); i++, c->rows++)
        write_quarantined(j, q, false);
    ox__qjson_end(j, ']');
    free(q);
    return OX_OK;
}

/* {"acknowledge_crashes":5} */
static ox_err
read_count(struct ox__call *c, uint32_t *crashes)
{
    json_t *body = json_loadb(c->req->body.p != NULL ? c->req->body.p : "", c->req->body.n, 0, NULL);
    const json_t *count = json_object_get(body, "acknowledge_crashes");
    json_int_t n = json_integer_value(count);
    bool ok = json_is_integer(count) && n > 0 && n <= UINT32_MAX;
    *crashes = ok ? (uint32_t)n : 0;
    json_decref(body);
    if (ok)
        return OX_OK;
    c->hint = "GET /api/v1/quarantine shows the number";
    return ox_diag_set(
        &c->diag, OX_E_INVALID, "acknowledge_crashes", -1,
        "the body is {\"acknowledge_crashes\": N} with the number of crashes that is to be answered for");
}

ox_err
ox__handle_revoke(struct ox__call *c, struct ox__json *j)
{
    static const char *const names[] = {NULL};
    struct ox_tenant_id tenant;
    struct ox_asker who = {c->req->credential, c->req->peer, ox_role_name(c->req->role)};
    uint32_t crashes = 0;
    ox_err err = ox__call_done_params(c, names);
    if (err == OX_OK)
        err = ox_tenant_id_parse(c->path_arg, &tenant, &c->diag);
    /* Who may not is refused, and written down, whatever the body says. */
    if (err == OX_OK && ox_role_is_operator(c->req->role))
        err = ox_scope_may(c->req->scopes, OX_SCOPE_ADMIN, &c->diag);
    if (err == OX_OK && ox_role_is_operator(c->req->role))
        err = read_count(c, &crashes);
    if (err == OX_OK && c->q->warden == NULL)
        err = OX_E_UNAVAILABLE;
    if (err == OX_OK)
        err = ox_warden_revoke(c->q->warden, c->req->role, &who, tenant.name, crashes, &c->diag);
    if (err != OX_OK)
        return err;
    ox__qjson_kcstr(j, "tenant", tenant.name);
    ox__qjson_kcstr(j, "state", "lifted");
    ox__qjson_ku64(j, "acknowledged_crashes", crashes);
    return OX_OK;
}
