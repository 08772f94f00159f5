/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/control_api.c - the routes of tenants and keys.
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

#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE_DEFAULT  100
#define OVERLAP_MAX_S (90 * 86400)

struct call {
    const struct ox_control_api *api;
    const struct ox_query_request *req;
    struct ox_query_response *res;
    struct ox_str arg; /* what stands for {id} */
    enum ox_action action;
    bool writes;
    json_t *body; /* an object, also when there was none */
    int64_t now_s;
    struct ox_diag diag;
    const char *hint;
};
typedef ox_err (*handler_fn)(struct call *c);

/* ---- answers ---- */

static ox_err
respond(struct call *c, int status, json_t *answer)
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
static json_t *
time_json(int64_t time_s)
{
    char text[OX_RFC3339_LEN + 1];
    if (time_s <= 0)
        return json_null();
    ox_clock_rfc3339((uint64_t)time_s * 1000000000, text);
    memcpy(text + 19, "Z", 2); /* whole seconds */
    return json_string(text);
}

static json_t *
tenant_json(const struct ox_control_tenant *t)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:o}", "id", t->id.name, "name", t->name, "state",
                     ox_tenant_state_name(t->state), "created", time_json(t->created_s), "changed",
                     time_json(t->changed_s));
}

static const char *
key_state(const struct ox_control_key *k, int64_t now_s)
{
    if (k->revoked_s != 0)
        return "revoked";
    return k->expires_s != 0 && k->expires_s <= now_s ? "expired" : "active";
}

static json_t *
scopes_json(uint32_t scopes)
{
    json_t *list = json_array();
    for (uint32_t bit = 1; bit <= OX_SCOPE_ADMIN; bit <<= 1) {
        if ((scopes & bit) != 0)
            json_array_append_new(list, json_string(ox_scope_name(bit)));
    }
    return list;
}

/* Digest and fingerprint stay where they are. */
static json_t *
key_json(const struct ox_control_key *k, int64_t now_s)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:s*}", "id", k->id, "tenant",
                     k->tenant.name, "name", k->name, "role", ox_role_name(k->role), "scopes",
                     scopes_json(k->scopes), "state", key_state(k, now_s), "created", time_json(k->created_s),
                     "expires", time_json(k->expires_s), "revoked", time_json(k->revoked_s), "last_used",
                     time_json(k->last_used_s), "rotated_from",
                     k->rotated_from[0] != '\0' ? k->rotated_from : NULL);
}

/* ---- reading ---- */

static ox_err
invalid(struct call *c, const char *field, const char *sentence)
{
    return ox_diag_set(&c->diag, OX_E_INVALID, field, -1, "%s: %s", field, sentence);
}

/* An object with no member but these; a body that is none is an error, no body is an empty object. */
static ox_err
read_body(struct call *c, const char *const *names)
{
    const char *key;
    json_t *value;
    json_error_t error;
    if (c->req->body.n == 0)
        c->body = json_object();
    else
        c->body = json_loadb(c->req->body.p, c->req->body.n, JSON_REJECT_DUPLICATES, &error);
    if (c->body == NULL || !json_is_object(c->body))
        return invalid(c, "body", "is not an object of JSON");
    json_object_foreach(c->body, key, value)
    {
        size_t i = 0;
        while (names[i] != NULL && strcmp(names[i], key) != 0)
            i++;
        if (names[i] == NULL)
            return ox_diag_set(&c->diag, OX_E_INVALID, "body", -1, "%.40s: there is no such member", key);
    }
    return OX_OK;
}

/* The text of a member; "" without it. */
static ox_err
read_text(struct call *c, const char *name, struct ox_str *out)
{
    const json_t *value = json_object_get(c->body, name);
    *out = OX_STR("");
    if (value == NULL)
        return OX_OK;
    if (!json_is_string(value))
        return invalid(c, name, "is not a text");
    *out = (struct ox_str){json_string_value(value), json_string_length(value)};
    return OX_OK;
}

/* A name for people: no control characters, so that no list of names is disturbed by one. */
static ox_err
read_name(struct call *c, char out[OX_CONTROL_NAME_MAX + 1])
{
    struct ox_str text;
    ox_err err = read_text(c, "name", &text);
    if (err != OX_OK)
        return err;
    if (text.n > OX_CONTROL_NAME_MAX)
        return invalid(c, "name", "has at most 64 bytes");
    for (size_t i = 0; i < text.n; i++) {
        if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
            return invalid(c, "name", "has no control characters");
    }
    memcpy(out, text.p, text.n);
    out[text.n] = '\0';
    return OX_OK;
}

/* "90s", "15m", "1h", "7d"; most: seconds. */
static ox_err
read_duration(struct call *c, const char *name, int64_t most_s, int64_t *out)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    struct ox_str text;
    int64_t n = 0;
    size_t i = 0;
    ox_err err = read_text(c, name, &text);
    if (err != OX_OK)
        return err;
    for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9' && n <= most_s; i++)
        n = n * 10 + (text.p[i] - '0');
    for (size_t u = 0; i > 0 && i + 1 == text.n && u < OX_COUNT(units); u++) {
        if (units[u].unit != text.p[i] || n > most_s / units[u].seconds)
            continue;
        *out = n * units[u].seconds;
        return OX_OK;
    }
    return ox_diag_set(&c->diag, OX_E_INVALID, name, -1,
                       "%s: is a time such as 90s, 15m, 1h or 7d, at most %lldd", name,
                       (long long)(most_s / 86400));
}

/* One parameter of the query string, not percent-decoded: what is read here is of letters, digits, '_' and '-'. */
static struct ox_str
param(const struct call *c, const char *name)
{
    struct ox_str rest = c->req->query, key = ox_str_of(name);
    while (rest.n > 0) {
        const char *stop = memchr(rest.p, '&', rest.n);
        struct ox_str pair = {rest.p, stop != NULL ? (size_t)(stop - rest.p) : rest.n};
        if (pair.n > key.n && memcmp(pair.p, key.p, key.n) == 0 && pair.p[key.n] == '=')
            return (struct ox_str){pair.p + key.n + 1, pair.n - key.n - 1};
        size_t used = pair.n + (stop != NULL);
        rest = (struct ox_str){rest.p + used, rest.n - used};
    }
    return OX_STR("");
}

static ox_err
read_limit(struct call *c, size_t *out)
{
    struct ox_str text = param(c, "limit");
    size_t n = 0;
    *out = PAGE_DEFAULT;
    if (text.n == 0)
        return OX_OK;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || n > OX_CONTROL_PAGE_MAX)
            return invalid(c, "limit", "is a number from 1 to 500");
        n = n * 10 + (size_t)(text.p[i] - '0');
    }
    *out = n;
    return n >= 1 && n <= OX_CONTROL_PAGE_MAX ? OX_OK : invalid(c, "limit", "is a number from 1 to 500");
}

static ox_err
read_after(struct call *c, char *out, size_t size)
{
    struct ox_str text = param(c, "after");
    for (size_t i = 0; i < text.n; i++) {
        char ch = text.p[i];
        bool ok = (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                  ch == '_' || ch == '-';
        if (!ok || text.n >= size)
            return invalid(c, "after", "is the `next` of the answer before");
    }
    memcpy(out, text.n > 0 ? text.p : "", text.n);
    out[text.n] = '\0';
    return OX_OK;
}

/* ---- on whose behalf ---- */

static bool
is_operator(const struct call *c)
{
    return ox_role_is_operator(c->req->role);
}

/* The tenant that an order names; an admin's own when it names none, and no other. */
static ox_err
read_tenant(struct call *c, struct ox_str name, struct ox_tenant_id *out)
{
    if (name.n == 0) {
        *out = c->req->tenant;
        return OX_OK;
    }
    ox_err err = ox_tenant_id_parse(name, out, &c->diag);
    if (err == OX_OK && !is_operator(c) && strcmp(out->name, c->req->tenant.name) != 0)
        err = ox_diag_set(&c->diag, OX_E_FORBIDDEN, "tenant", -1,
                          "role %s acts for its own tenant %s only; for others that needs role operator",
                          ox_role_name(c->req->role), c->req->tenant.name);
    return err;
}

/* The key that the path names, as far as it is the asker's business. */
static ox_err
find_key(struct call *c, struct ox_control_key *out)
{
    char id[OX_KEY_ID_MAX + 1];
    if (!ox_api_key_id_ok(c->arg))
        return ox_diag_set(&c->diag, OX_E_NOT_FOUND, "key", -1, "there is no such key");
    memcpy(id, c->arg.p, c->arg.n);
    id[c->arg.n] = '\0';
    struct ox_control_store *st = c->api->store;
    return st->key_get(st, is_operator(c) ? NULL : &c->req->tenant, id, out, &c->diag);
}

/* ---- the audit log ---- */

static ox_err
audit(struct call *c, const char *tenant, const char *outcome, const char *detail, bool unauthorised)
{
    struct ox_audit_entry entry = {.who = {c->req->credential, c->req->peer, ox_role_name(c->req->role)},
                                   .action = ox_action_name(c->action),
                                   .tenant = tenant,
                                   .outcome = outcome,
                                   .detail = detail,
                                   .unauthorised = unauthorised};
    return ox_audit_write(c->api->audit, &entry);
}

/* Before the act: what cannot be written down must not happen. */
static ox_err
audit_granted(struct call *c, const char *tenant, const char *detail)
{
    ox_err err = audit(c, tenant, "granted", detail, false);
    if (err == OX_OK)
        return OX_OK;
    return ox_diag_set(&c->diag, err == OX_E_DISK_FULL ? err : OX_E_IO, NULL, -1,
                       "the audit log cannot be written, so nothing has changed: %s", ox_err_text(err));
}

/* After an act that failed, so that the log does not claim it. */
static ox_err
audit_failed(struct call *c, const char *tenant, ox_err err)
{
    char detail[400];
    snprintf(detail, sizeof(detail), "%s", c->diag.text[0] != '\0' ? c->diag.text : ox_err_text(err));
    (void)!audit(c, tenant, "failed", detail, false); /* the caller hears of the failure all the same */
    return err;
}

/* ---- tenants ---- */

static ox_err
tenants_list(struct call *c)
{
    char after[OX_TENANT_MAX + 1];
    size_t n = 0;
    ox_err err = read_limit(c, &n);
    if (err == OX_OK)
        err = read_after(c, after, sizeof(after));
    size_t limit = n;
    struct ox_control_tenant *list = err == OX_OK ? calloc(n, sizeof(*list)) : NULL;
    if (list == NULL)
        return err != OX_OK ? err : OX_E_NOMEM;
    err = c->api->store->tenant_list(c->api->store, after, list, &n, &c->diag);
    json_t *rows = json_array();
    for (size_t i = 0; err == OX_OK && i < n; i++)
        json_array_append_new(rows, tenant_json(&list[i]));
    if (err == OX_OK)
        err = respond(c, 200,
                      json_pack("{s:O, s:s*}", "tenants", rows, "next",
                                n == limit && n > 0 ? list[n - 1].id.name : NULL));
    json_decref(rows);
    free(list);
    return err;
}

static ox_err
tenants_create(struct call *c)
{
    static const char *const names[] = {"id", "name", NULL};
    struct ox_control_tenant t = {.state = OX_TENANT_ACTIVE, .created_s = c->now_s, .changed_s = c->now_s};
    struct ox_str id;
    ox_err err = read_body(c, names);
    if (err == OX_OK)
        err = read_text(c, "id", &id);
    if (err == OX_OK)
        err = ox_tenant_id_parse(id, &t.id, &c->diag);
    if (err == OX_OK)
        err = read_name(c, t.name);
    if (err == OX_OK)
        err = audit_granted(c, t.id.name, "create the tenant");
    if (err != OX_OK)
        return err;
    err = c->api->store->tenant_create(c->api->store, &t, &c->diag);
    return err == OX_OK ? respond(c, 201, tenant_json(&t)) : audit_failed(c, t.id.name, err);
}

static ox_err
tenants_show(struct call *c)
{
    struct ox_tenant_id id;
    struct ox_control_tenant t;
    ox_err err = ox_tenant_id_parse(c->arg, &id, &c->diag);
    if (err == OX_OK)
        err = c->api->store->tenant_get(c->api->store, &id, &t, &c->diag);
    return err == OX_OK ? respond(c, 200, tenant_json(&t)) : err;
}

/* {"state":"disabled"} */
static ox_err
read_state(struct call *c, enum ox_tenant_state *out)
{
    static const char *const names[] = {"state", NULL};
    struct ox_str text;
    ox_err err = read_body(c, names);
    if (err == OX_OK)
        err = read_text(c, "state", &text);
    if (err != OX_OK)
        return err;
    *out = ox_str_eq(text, OX_STR("active")) ? OX_TENANT_ACTIVE : OX_TENANT_DISABLED;
    if (*out == OX_TENANT_DISABLED && !ox_str_eq(text, OX_STR("disabled")))
        return invalid(c, "state", "is active or disabled");
    return OX_OK;
}

static ox_err
tenants_change(struct call *c)
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
        err =
            audit_granted(c, id.name, state == OX_TENANT_ACTIVE ? "enable the tenant" : "disable the tenant");
    if (err != OX_OK)
        return err;
    err = c->api->store->tenant_set(c->api->store, &id, state, c->now_s, &t, &c->diag);
    return err == OX_OK ? respond(c, 200, tenant_json(&t)) : audit_failed(c, id.name, err);
}

/* ---- keys ---- */

static ox_err
keys_list(struct call *c)
{
    struct ox_tenant_id tenant;
    struct ox_str named = param(c, "tenant");
    char after[OX_KEY_ID_MAX + 1];
    size_t n = 0;
    ox_err err = read_limit(c, &n);
    if (err == OX_OK)
        err = read_after(c, after, sizeof(after));
    if (err == OX_OK)
        err = read_tenant(c, named, &tenant);
    size_t limit = n;
    struct ox_control_key *list = err == OX_OK ? calloc(n, sizeof(*list)) : NULL;
    if (list == NULL)
        return err != OX_OK ? err : OX_E_NOMEM;
    bool all = is_operator(c) && named.n == 0;
    err = c->api->store->key_list(c->api->store, all ? NULL : &tenant, after, list, &n, &c->diag);
    json_t *rows = json_array();
    for (size_t i = 0; err == OX_OK && i < n; i++)
        json_array_append_new(rows, key_json(&list[i], c->now_s));
    if (err == OX_OK)
        err = respond(
            c, 200,
            json_pack("{s:O, s:s*}", "keys", rows, "next", n == limit && n > 0 ? list[n - 1].id : NULL));
    json_decref(rows);
    free(list);
    return err;
}

static ox_err
keys_show(struct call *c)
{
    struct ox_control_key key;
    ox_err err = find_key(c, &key);
    return err == OX_OK ? respond(c, 200, key_json(&key, c->now_s)) : err;
}

/* What a role's key is for when nobody says it. */
static uint32_t
usual_scopes(enum ox_role role)
{
    switch (role) {
    case OX_ROLE_VIEWER:
        return OX_SCOPE_QUERY;
    case OX_ROLE_EDITOR:
        return OX_SCOPE_INGEST | OX_SCOPE_QUERY;
    case OX_ROLE_ADMIN:
        return OX_SCOPE_ALL;
    default:
        return OX_SCOPE_ADMIN;
    }
}

/* What makes no sense is refused rather than kept: a key that promises more than its role allows. */
static ox_err
check_scopes(struct call *c, const struct ox_control_key *key)
{
    if (key->scopes == 0)
        return invalid(c, "scopes", "names at least one");
    if (key->role == OX_ROLE_OPERATOR && key->scopes != OX_SCOPE_ADMIN)
        return invalid(c, "scopes", "a key of role operator is for admin alone: operators have no telemetry");
    if ((key->scopes & OX_SCOPE_ADMIN) != 0 && key->role != OX_ROLE_ADMIN && key->role != OX_ROLE_OPERATOR)
        return invalid(c, "scopes", "admin needs role admin");
    return OX_OK;
}

static ox_err
read_scopes(struct call *c, struct ox_control_key *key)
{
    const json_t *list = json_object_get(c->body, "scopes"), *value;
    size_t i;
    key->scopes = list == NULL ? usual_scopes(key->role) : 0;
    if (list != NULL && !json_is_array(list))
        return invalid(c, "scopes", "is a list of texts");
    json_array_foreach(list, i, value)
    {
        if (!json_is_string(value))
            return invalid(c, "scopes", "is a list of texts");
        struct ox_str name = {json_string_value(value), json_string_length(value)};
        ox_err err = ox_scope_parse(name, &key->scopes, &c->diag);
        if (err != OX_OK)
            return err;
    }
    return check_scopes(c, key);
}

static ox_err
read_role(struct call *c, struct ox_control_key *key)
{
    struct ox_str role;
    bool platform = strcmp(key->tenant.name, OX_CONTROL_PLATFORM) == 0;
    ox_err err = read_text(c, "role", &role);
    if (err == OX_OK && role.n == 0)
        role = platform ? OX_STR("operator") : OX_STR("editor");
    if (err == OX_OK)
        err = ox_role_parse(role, &key->role, &c->diag);
    if (err == OX_OK)
        err = ox_role_may_grant(c->req->role, key->role, &c->diag);
    if (err == OX_OK && platform != (key->role == OX_ROLE_OPERATOR))
        err = invalid(c, "role",
                      "operators' keys are those of tenant " OX_CONTROL_PLATFORM ", and it has no others");
    return err;
}

static ox_err
read_key(struct call *c, struct ox_control_key *key)
{
    static const char *const names[] = {"tenant", "name", "role", "scopes", "expires_in", NULL};
    struct ox_str tenant;
    int64_t expires_in = 0;
    ox_err err = read_body(c, names);
    if (err == OX_OK)
        err = read_text(c, "tenant", &tenant);
    /* An operator's own tenant is the platform's: whoever forgets to say whose key it is to be must not get that. */
    if (err == OX_OK && tenant.n == 0 && is_operator(c))
        err = invalid(c, "tenant", "say whose key it is to be");
    if (err == OX_OK)
        err = read_tenant(c, tenant, &key->tenant);
    if (err == OX_OK)
        err = read_name(c, key->name);
    if (err == OX_OK)
        err = read_role(c, key);
    if (err == OX_OK)
        err = read_scopes(c, key);
    if (err == OX_OK && json_object_get(c->body, "expires_in") != NULL)
        err = read_duration(c, "expires_in", 36500ll * 86400, &expires_in);
    key->created_s = c->now_s;
    key->expires_s = expires_in > 0 ? c->now_s + expires_in : 0;
    return err;
}

/* With the key's text, this once. */
static ox_err
respond_new(struct call *c, const struct ox_control_key *key, char text[OX_API_KEY_LEN + 1])
{
    json_t *answer = key_json(key, c->now_s);
    json_object_set_new(answer, "key", json_string(text));
    return respond(c, 201, answer);
}

static ox_err
make_secret(struct call *c, struct ox_control_key *key, char text[OX_API_KEY_LEN + 1])
{
    ox_err err = ox_api_key_generate(text, key);
    if (err == OX_OK)
        err = ox_api_key_fingerprint((struct ox_str){text, OX_API_KEY_LEN}, key->fingerprint);
    return err == OX_OK ? OX_OK
                        : ox_diag_set(&c->diag, err, NULL, -1, "no key can be made: %s", ox_err_text(err));
}

static ox_err
keys_create(struct call *c)
{
    struct ox_control_key key = {{0}};
    char text[OX_API_KEY_LEN + 1] = "", scopes[OX_SCOPES_TEXT_MAX], detail[256];
    ox_err err = read_key(c, &key);
    if (err == OX_OK)
        err = make_secret(c, &key, text);
    if (err != OX_OK)
        return err;
    ox_scopes_print(key.scopes, scopes);
    snprintf(detail, sizeof(detail), "create key %s, role %s, scopes %s", key.id, ox_role_name(key.role),
             scopes);
    err = audit_granted(c, key.tenant.name, detail);
    if (err == OX_OK) {
        err = c->api->store->key_create(c->api->store, &key, &c->diag);
        err = err == OX_OK ? respond_new(c, &key, text) : audit_failed(c, key.tenant.name, err);
    }
    OPENSSL_cleanse(text, sizeof(text));
    return err;
}

static ox_err
keys_revoke(struct call *c)
{
    static const char *const names[] = {NULL};
    struct ox_control_key key;
    char detail[64];
    ox_err err = read_body(c, names);
    if (err == OX_OK)
        err = find_key(c, &key);
    if (err != OX_OK)
        return err;
    snprintf(detail, sizeof(detail), "revoke key %s", key.id);
    err = audit_granted(c, key.tenant.name, detail);
    if (err != OX_OK)
        return err;
    struct ox_tenant_id tenant = key.tenant;
    char id[OX_KEY_ID_MAX + 1];
    memcpy(id, key.id, sizeof(id));
    err = c->api->store->key_revoke(c->api->store, &tenant, id, c->now_s, &key, &c->diag);
    return err == OX_OK ? respond(c, 200, key_json(&key, c->now_s)) : audit_failed(c, tenant.name, err);
}

/* The new key is what the old one was, for as long as the old one would have been. */
static void
inherit(const struct call *c, const struct ox_control_key *old, struct ox_control_key *fresh)
{
    *fresh = (struct ox_control_key){
        .tenant = old->tenant, .scopes = old->scopes, .role = old->role, .created_s = c->now_s};
    memcpy(fresh->name, old->name, sizeof(fresh->name));
    memcpy(fresh->rotated_from, old->id, sizeof(fresh->rotated_from));
    if (old->expires_s > old->created_s)
        fresh->expires_s = c->now_s + (old->expires_s - old->created_s);
}

static ox_err
keys_rotate(struct call *c)
{
    static const char *const names[] = {"overlap", NULL};
    struct ox_control_key old, fresh;
    char text[OX_API_KEY_LEN + 1] = "", detail[96];
    int64_t overlap_s = 3600;
    ox_err err = read_body(c, names);
    if (err == OX_OK && json_object_get(c->body, "overlap") != NULL)
        err = read_duration(c, "overlap", OVERLAP_MAX_S, &overlap_s);
    if (err == OX_OK)
        err = find_key(c, &old);
    if (err == OX_OK)
        err = ox_role_may_grant(c->req->role, old.role, &c->diag);
    if (err != OX_OK)
        return err;
    inherit(c, &old, &fresh);
    err = make_secret(c, &fresh, text);
    snprintf(detail, sizeof(detail), "rotate key %s to %s, overlap %lld s", old.id, fresh.id,
             (long long)overlap_s);
    if (err == OX_OK)
        err = audit_granted(c, fresh.tenant.name, detail);
    if (err == OX_OK) {
        err = c->api->store->key_rotate(c->api->store, &fresh, c->now_s, c->now_s + overlap_s, &c->diag);
        err = err == OX_OK ? respond_new(c, &fresh, text) : audit_failed(c, fresh.tenant.name, err);
    }
    OPENSSL_cleanse(text, sizeof(text));
    return err;
}

/* A key that is another tenant's is none to an admin. */
static ox_err
find_shown(struct call *c, struct ox_str text, struct ox_control_key *key, enum ox_tenant_state *state)
{
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    ox_err err = ox_api_key_check(text, &c->diag);
    if (err != OX_OK)
        return err;
    ox_api_key_digest(text, digest);
    err = c->api->store->key_by_digest(c->api->store, digest, key, state, &c->diag);
    if (err == OX_OK && !is_operator(c) && strcmp(key->tenant.name, c->req->tenant.name) != 0)
        err = ox_diag_set(&c->diag, OX_E_NOT_FOUND, "key", -1, "there is no such key");
    return err;
}

/* {"key":"ox_live_..."}: whose it is, and whether its fingerprint is right. The one place where Argon2 verifies. */
static ox_err
keys_verify(struct call *c)
{
    static const char *const names[] = {"key", NULL};
    struct ox_control_key key;
    struct ox_str text;
    enum ox_tenant_state state = OX_TENANT_DISABLED;
    ox_err err = read_body(c, names);
    if (err == OX_OK)
        err = read_text(c, "key", &text);
    if (err == OX_OK)
        err = find_shown(c, text, &key, &state);
    if (err != OX_OK)
        return err;
    ox_err print = ox_api_key_verify(text, key.fingerprint);
    if (print == OX_E_NOMEM)
        return print;
    bool good =
        print == OX_OK && state == OX_TENANT_ACTIVE && strcmp(key_state(&key, c->now_s), "active") == 0;
    json_t *answer = key_json(&key, c->now_s);
    json_object_set_new(answer, "fingerprint", json_string(print == OX_OK ? "right" : "wrong"));
    json_object_set_new(answer, "tenant_state", json_string(ox_tenant_state_name(state)));
    json_object_set_new(answer, "good", json_boolean(good));
    return respond(c, 200, answer);
}

/* ---- routes ---- */

/* {} stands for one segment of the path. A longer pattern comes before one that would take its place. */
static const struct {
    const char *method;
    const char *pattern;
    enum ox_action action;
    bool writes;
    handler_fn run;
} routes[] = {
    {"GET", "/api/v1/tenants", OX_ACTION_TENANTS_READ, false, tenants_list},
    {"POST", "/api/v1/tenants", OX_ACTION_TENANTS_WRITE, true, tenants_create},
    {"GET", "/api/v1/tenants/{}", OX_ACTION_TENANTS_READ, false, tenants_show},
    {"PATCH", "/api/v1/tenants/{}", OX_ACTION_TENANTS_WRITE, true, tenants_change},
    {"GET", "/api/v1/keys", OX_ACTION_KEYS_READ, false, keys_list},
    {"POST", "/api/v1/keys", OX_ACTION_KEYS_WRITE, true, keys_create},
    {"POST", "/api/v1/keys/verify", OX_ACTION_KEYS_READ, false, keys_verify},
    {"POST", "/api/v1/keys/{}/revoke", OX_ACTION_KEYS_WRITE, true, keys_revoke},
    {"POST", "/api/v1/keys/{}/rotate", OX_ACTION_KEYS_WRITE, true, keys_rotate},
    {"GET", "/api/v1/keys/{}", OX_ACTION_KEYS_READ, false, keys_show},
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

/* May he? A refused change is written down. */
static ox_err
check(struct call *c)
{
    ox_err err = ox_may(c->req->role, c->req->scopes, c->action, &c->diag);
    if (err != OX_OK)
        c->hint = "in development mode a request from this machine without a key is the operator's";
    if (err != OX_OK && c->writes)
        (void)!audit(c, "", "refused", c->diag.text, true); /* refused all the same */
    return err;
}

static void
answer(struct call *c, handler_fn run)
{
    ox_err err = check(c);
    if (err == OX_OK)
        err = run(c);
    json_decref(c->body);
    if (err != OX_OK)
        ox_query_respond_error(c->res, err, c->diag.text, c->hint);
}

/* allow: what the path takes, "" when there is no such path. The answer lends it, so it has to be one of ours. */
static void
no_such(struct ox_query_response *res, const char *allow)
{
    static const char *const known[] = {"GET, HEAD", "POST", "GET, HEAD, POST", "GET, HEAD, PATCH"};
    if (allow[0] == '\0') {
        ox_query_respond_error(res, OX_E_NO_ROUTE, "no such path below /api/v1/tenants and /api/v1/keys",
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

bool
ox_control_answer(const struct ox_control_api *api, const struct ox_query_request *req,
                  struct ox_query_response *res)
{
    struct call c = {.api = api, .req = req, .res = res};
    char allow[48] = "";
    if (!begins(req->path, "/api/v1/tenants") && !begins(req->path, "/api/v1/keys"))
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
