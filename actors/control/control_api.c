/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/control_api.c - the routes of tenants, keys, quotas and the audit log.
 *
 * Owns:    nothing; struct call for the time of one order.
 * Threads: query threads.
 * Bounds:  see include/ox/control_api.h.
 * Fails:   see there. What changes something is in the audit log before it happens: no log, no change.
 * Flow:    path -> route -> may he? -> handler -> (audit ->) store -> JSON.
 *
 * On whose behalf: an operator's orders concern any tenant, an admin's his own. A key of another tenant is not found, just
 * as one that never was.
 */
#include "ox/control_api.h"

#include "actors/control/control_call.h"
#include "ox/log.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- answers ---- */

ox_err
ox__control_respond(struct ox__control_call *c, int status, json_t *answer)
{
    char *text = answer != NULL ? json_dumps(answer, JSON_COMPACT) : NULL;
    json_decref(answer);
    if (text == NULL)
        return OX_E_NOMEM;
    ox_buf_reset(&c->res->body);
    ox_buf_append_cstr(&c->res->body, text);
    c->res->status = status;
    c->res->content_type = "application/json";
    OPENSSL_cleanse(text, strlen(text)); /* a new key may stand in it */
    free(text);
    return c->res->body.failed ? OX_E_NOMEM : OX_OK;
}

/* null for never. */
json_t *
ox__control_time_json(int64_t time_s)
{
    char text[OX_RFC3339_LEN + 1];
    if (time_s <= 0)
        return json_null();
    ox_clock_rfc3339((uint64_t)time_s * 1000000000, text);
    memcpy(text + 19, "Z", 2); /* whole seconds */
    return json_string(text);
}

/* ---- who asks ---- */

static void
asker_of(const struct ox_query_request *req, int64_t now_s, struct ox_control_asker *out)
{
    *out = (struct ox_control_asker){.tenant = req->tenant, .role = req->role, .now_s = now_s};
    if (req->key_id != NULL)
        snprintf(out->key_id, sizeof(out->key_id), "%s", req->key_id);
    if (req->user != NULL && req->way == OX_WAY_SESSION)
        snprintf(out->user, sizeof(out->user), "%s", req->user);
}

/* Whether the store knows anything of him: not of who is on this machine, or has a key of development. */
static bool
is_kept(const struct ox_control_asker *asker, enum ox_way way)
{
    return asker->key_id[0] != '\0' || way != OX_WAY_KEY;
}

/* ---- the audit log ---- */

static ox_err
audit(struct ox__control_call *c, const char *tenant, const char *outcome, const char *detail,
      bool unauthorised)
{
    struct ox_audit_entry entry = {
        .who = {c->who != NULL ? c->who : c->req->credential, c->req->peer, ox_role_name(c->req->role)},
        .action = ox_action_name(c->action),
        .tenant = tenant,
        .outcome = outcome,
        .detail = detail,
        .before = c->before,
        .after = c->after,
        .unauthorised = unauthorised};
    return ox_audit_write(c->api->audit, &entry);
}

/* Before the act: what cannot be written down must not happen. */
ox_err
ox__control_audit_granted(struct ox__control_call *c, const char *tenant, const char *detail)
{
    ox_err err = audit(c, tenant, "granted", detail, false);
    if (err == OX_OK)
        return OX_OK;
    return ox_diag_set(&c->diag, err == OX_E_DISK_FULL ? err : OX_E_IO, NULL, -1,
                       "the audit log cannot be written, so nothing has changed: %s", ox_err_text(err));
}

void
ox__control_audit_refused(struct ox__control_call *c, const char *tenant, const char *detail)
{
    (void)!audit(c, tenant, "refused", detail, true); /* refused all the same */
}

/* Whether it is about the machinery and not about what was asked. */
static bool
is_trouble(ox_err err)
{
    switch (err) {
    case OX_E_UNAVAILABLE:
    case OX_E_OVERLOAD:
    case OX_E_CORRUPT:
    case OX_E_CONFIG:
    case OX_E_IO:
    case OX_E_DISK_FULL:
    case OX_E_NOMEM:
    case OX_E_INTERNAL:
        return true;
    default:
        return false;
    }
}

/* The store's own words name hosts, roles and files: they are for operators and for the log. */
static void
hide_trouble(struct ox__control_call *c, ox_err err)
{
    if (!is_trouble(err) || c->said)
        return;
    c->said = true;
    OX_LOG_WARN("control", "an order or a question failed", OX_F_STR("action", ox_action_name(c->action)),
                OX_F_ERR(err), OX_F_DIAG(&c->diag));
    if (!ox__control_is_operator(c))
        (void)!ox_diag_set(&c->diag, err, NULL, -1, "the control plane cannot do this now; retry later");
}

/* After an act that failed, so that the log does not claim it. */
ox_err
ox__control_audit_failed(struct ox__control_call *c, const char *tenant, ox_err err)
{
    char detail[400];
    bool own_words =
        c->diag.text[0] != '\0' && !is_trouble(err); /* a tenant's admins read what concerns them */
    snprintf(detail, sizeof(detail), "%s", own_words ? c->diag.text : ox_err_text(err));
    (void)!audit(c, tenant, "failed", detail, false); /* the caller hears of the failure all the same */
    return err;
}

const struct ox_control_asker *
ox__control_asker(const struct ox__control_call *c)
{
    return is_kept(&c->asker, c->req->way) ? &c->asker : NULL;
}

ox_err
ox_control_may_still(struct ox_control_store *store, const struct ox_query_request *req, int64_t now_s,
                     struct ox_diag *diag)
{
    struct ox_control_asker asker;
    asker_of(req, now_s, &asker);
    if (!is_kept(&asker, req->way))
        return OX_OK;
    ox_err err = store->may_still(store, &asker, diag);
    if (err == OX_OK || err == OX_E_UNAUTHENTICATED)
        return err;
    OX_LOG_WARN("control", "whether who gives an order may still do so cannot be asked: it is carried out",
                OX_F_ERR(err), OX_F_DIAG(diag));
    ox_diag_clear(diag);
    return OX_OK;
}

/* ---- routes ---- */

/* {} stands for one segment of the path. A longer pattern comes before one that would take its place. */
static const struct {
    const char *method;
    const char *pattern;
    enum ox_action action;
    bool writes;
    enum ox_api_kind kind;
    ox__control_handler run;
} routes[] = {
    {"GET", "/api/v1/tenants", OX_ACTION_TENANTS_READ, false, OX_API_ORDINARY, ox__control_tenants_list},
    {"POST", "/api/v1/tenants", OX_ACTION_TENANTS_WRITE, true, OX_API_ORDINARY, ox__control_tenants_create},
    {"GET", "/api/v1/tenants/{}", OX_ACTION_TENANTS_READ, false, OX_API_ORDINARY, ox__control_tenants_show},
    {"PATCH", "/api/v1/tenants/{}", OX_ACTION_TENANTS_WRITE, true, OX_API_ORDINARY,
     ox__control_tenants_change},
    {"GET", "/api/v1/keys", OX_ACTION_KEYS_READ, false, OX_API_ORDINARY, ox__control_keys_list},
    {"POST", "/api/v1/keys", OX_ACTION_KEYS_WRITE, true, OX_API_SLOW, ox__control_keys_create},
    {"POST", "/api/v1/keys/verify", OX_ACTION_KEYS_READ, false, OX_API_SLOW, ox__control_keys_verify},
    {"POST", "/api/v1/keys/{}/revoke", OX_ACTION_KEYS_WRITE, true, OX_API_ORDINARY, ox__control_keys_revoke},
    {"POST", "/api/v1/keys/{}/rotate", OX_ACTION_KEYS_WRITE, true, OX_API_SLOW, ox__control_keys_rotate},
    {"GET", "/api/v1/quotas", OX_ACTION_QUOTAS_READ, false, OX_API_ORDINARY, ox__control_quotas_list},
    {"POST", "/api/v1/quotas", OX_ACTION_QUOTAS_WRITE, true, OX_API_ORDINARY, ox__control_quotas_set},
    {"POST", "/api/v1/quotas/clear", OX_ACTION_QUOTAS_WRITE, true, OX_API_ORDINARY, ox__control_quotas_clear},
    {"GET", "/api/v1/audit", OX_ACTION_AUDIT_READ, false, OX_API_ORDINARY, ox__control_audit_list},
    {"GET", "/api/v1/keys/{}", OX_ACTION_KEYS_READ, false, OX_API_ORDINARY, ox__control_keys_show},
    {"GET", "/api/v1/users", OX_ACTION_USERS_READ, false, OX_API_ORDINARY, ox__control_users_list},
    {"POST", "/api/v1/users", OX_ACTION_USERS_WRITE, true, OX_API_SLOW, ox__control_users_create},
    {"POST", "/api/v1/users/change", OX_ACTION_USERS_WRITE, true, OX_API_ORDINARY, ox__control_users_change},
    {"POST", "/api/v1/users/password", OX_ACTION_USERS_WRITE, true, OX_API_SLOW, ox__control_users_password},
    {"POST", "/api/v1/login", OX_ACTION_SESSION, true, OX_API_LOGIN, ox__control_login},
    {"POST", "/api/v1/logout", OX_ACTION_SESSION, true, OX_API_OPEN, ox__control_logout},
    {"GET", "/api/v1/session", OX_ACTION_SESSION, false, OX_API_OPEN, ox__control_session_show},
    {"GET", "/api/v1/oidc/login", OX_ACTION_SESSION, false, OX_API_LOGIN, ox__control_oidc_login},
    {"GET", "/api/v1/oidc/callback", OX_ACTION_SESSION, false, OX_API_LOGIN, ox__control_oidc_callback},
    {"POST", "/api/v1/session/password", OX_ACTION_SESSION, true, OX_API_SLOW, ox__control_own_password},
};

static bool
matches(const char *pattern, struct ox_str path, struct ox_str *arg)
{
    const char *hole = strchr(pattern, '{');
    *arg = OX_STR("");
    if (hole == NULL)
        return ox_str_eq(ox_str_of(pattern), path);
    size_t before = (size_t)(hole - pattern), after = strlen(hole + 2);
    if (path.n <= before + after || memcmp(path.p, pattern, before) != 0 ||
        memcmp(path.p + path.n - after, hole + 2, after) != 0)
        return false;
    *arg = (struct ox_str){path.p + before, path.n - before - after};
    return memchr(arg->p, '/', arg->n) == NULL;
}

static bool
begins(struct ox_str path, const char *with)
{
    size_t n = strlen(with);
    return path.n >= n && memcmp(path.p, with, n) == 0 && (path.n == n || path.p[n] == '/');
}

static bool
has_method(struct ox_str method, const char *wanted)
{
    return ox_str_eq(method, ox_str_of(wanted)) ||
           (strcmp(wanted, "GET") == 0 && ox_str_eq(method, OX_STR("HEAD")));
}

enum ox_api_kind
ox_control_kind(struct ox_str method, struct ox_str path)
{
    struct ox_str arg;
    for (size_t i = 0; i < OX_COUNT(routes); i++) {
        if (has_method(method, routes[i].method) && matches(routes[i].pattern, path, &arg))
            return routes[i].kind;
    }
    return OX_API_ORDINARY;
}

/* May he? A refused change is written down. */
static ox_err
check(struct ox__control_call *c)
{
    ox_err err = ox_may(c->req->role, c->req->scopes, c->action, &c->diag);
    if (err != OX_OK)
        c->hint = "in development mode a request from this machine without a key is the operator's";
    if (err != OX_OK && c->writes)
        (void)!audit(c, "", "refused", c->diag.text, true); /* refused all the same */
    return err;
}

static void
answer(struct ox__control_call *c, ox__control_handler run)
{
    asker_of(c->req, c->now_s, &c->asker);
    ox_err err = check(c);
    if (err == OX_OK)
        err = run(c);
    json_decref(c->body);
    if (err != OX_OK)
        hide_trouble(c, err);
    if (err != OX_OK)
        ox_query_respond_error(c->res, err, c->diag.text, c->hint);
    if (err != OX_OK && c->retry_s > 0)
        c->res->retry_after_s = c->retry_s;
}

/* allow: what the path takes, "" when there is no such path. The answer lends it, so it has to be one of ours. */
static void
no_such(struct ox_query_response *res, const char *allow)
{
    static const char *const known[] = {"GET, HEAD", "POST", "GET, HEAD, POST", "GET, HEAD, PATCH"};
    if (allow[0] == '\0') {
        ox_query_respond_error(res, OX_E_NO_ROUTE,
                               "no such path below /api/v1/tenants, /api/v1/keys, /api/v1/users, "
                               "/api/v1/session, /api/v1/quotas and "
                               "/api/v1/audit",
                               "docs/api.md lists all");
        return;
    }
    ox_query_respond_error(res, OX_E_METHOD, "this path is not asked with that method",
                           "docs/api.md lists all");
    res->allow = known[0];
    for (size_t i = 0; i < OX_COUNT(known); i++) {
        if (strcmp(known[i], allow) == 0)
            res->allow = known[i];
    }
}

static bool
is_ours(const struct ox_control_api *api, struct ox_str path)
{
    static const char *const always[] = {"/api/v1/tenants", "/api/v1/keys", "/api/v1/audit"};
    static const char *const of_users[] = {"/api/v1/users", "/api/v1/login", "/api/v1/logout",
                                           "/api/v1/session"};
    for (size_t i = 0; i < OX_COUNT(always); i++) {
        if (begins(path, always[i]))
            return true;
    }
    for (size_t i = 0; api->users != NULL && i < OX_COUNT(of_users); i++) {
        if (begins(path, of_users[i]))
            return true;
    }
    if (begins(path, "/api/v1/oidc"))
        return api->oidc != NULL;
    return begins(path, "/api/v1/quotas") && api->quota_store != NULL;
}

bool
ox_control_answer(const struct ox_control_api *api, const struct ox_query_request *req,
                  struct ox_query_response *res)
{
    struct ox__control_call c = {.api = api, .req = req, .res = res};
    char allow[48] = "";
    if (!is_ours(api, req->path))
        return false;
    ox_diag_clear(&c.diag);
    c.now_s = (int64_t)(ox_clock_realtime_ns(api->clock) / 1000000000);
    for (size_t i = 0; i < OX_COUNT(routes); i++) {
        if (!matches(routes[i].pattern, req->path, &c.arg))
            continue;
        if (has_method(req->method, routes[i].method)) {
            c.action = routes[i].action;
            c.writes = routes[i].writes;
            answer(&c, routes[i].run);
            return true;
        }
        snprintf(allow + strlen(allow), sizeof(allow) - strlen(allow), "%s%s", allow[0] != '\0' ? ", " : "",
                 strcmp(routes[i].method, "GET") == 0 ? "GET, HEAD" : routes[i].method);
    }
    no_such(res, allow);
    return true;
}
