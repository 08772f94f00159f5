/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/control_keys.c - the orders about API keys.
 *
 * Owns:    nothing; a new key's text for the time of one order, wiped at its end.
 * Threads: query threads; Argon2 runs here.
 * Bounds:  OX_CONTROL_PAGE_MAX rows, OVERLAP_MAX_S.
 * Fails:   see include/ox/control_api.h.
 * Flow:    control_api.c -> here -> audit log -> store.
 */
#include "actors/control/control_call.h"
#include "actors/control/control_record.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#define OVERLAP_MAX_S (90 * 86400)

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
                     scopes_json(k->scopes), "state", key_state(k, now_s), "created",
                     ox__control_time_json(k->created_s), "expires", ox__control_time_json(k->expires_s),
                     "revoked", ox__control_time_json(k->revoked_s), "last_used",
                     ox__control_time_json(k->last_used_s), "rotated_from",
                     k->rotated_from[0] != '\0' ? k->rotated_from : NULL);
}

/* The key that the path names, as far as it is the asker's business. */
static ox_err
find_key(struct ox__control_call *c, struct ox_control_key *out)
{
    char id[OX_KEY_ID_MAX + 1];
    if (!ox_api_key_id_ok(c->arg))
        return ox_diag_set(&c->diag, OX_E_NOT_FOUND, "key", -1, "there is no such key");
    memcpy(id, c->arg.p, c->arg.n);
    id[c->arg.n] = '\0';
    struct ox_control_store *st = c->api->store;
    return st->key_get(st, ox__control_is_operator(c) ? NULL : &c->req->tenant, id, out, &c->diag);
}

ox_err
ox__control_keys_list(struct ox__control_call *c)
{
    struct ox_tenant_id tenant;
    struct ox_str named = ox__control_param(c, "tenant");
    char after[OX_KEY_ID_MAX + 1];
    size_t n = 0;
    ox_err err = ox__control_read_limit(c, &n);
    if (err == OX_OK)
        err = ox__control_read_after(c, after, sizeof(after));
    if (err == OX_OK)
        err = ox__control_read_tenant(c, named, &tenant);
    size_t limit = n;
    struct ox_control_key *list = err == OX_OK ? calloc(n, sizeof(*list)) : NULL;
    if (list == NULL)
        return err != OX_OK ? err : OX_E_NOMEM;
    bool all = ox__control_is_operator(c) && named.n == 0;
    err = c->api->store->key_list(c->api->store, all ? NULL : &tenant, after, list, &n, &c->diag);
    json_t *rows = json_array();
    for (size_t i = 0; err == OX_OK && i < n; i++)
        json_array_append_new(rows, key_json(&list[i], c->now_s));
    if (err == OX_OK)
        err = ox__control_respond(
            c, 200,
            json_pack("{s:O, s:s*}", "keys", rows, "next", n == limit && n > 0 ? list[n - 1].id : NULL));
    json_decref(rows);
    free(list);
    return err;
}

ox_err
ox__control_keys_show(struct ox__control_call *c)
{
    struct ox_control_key key;
    ox_err err = find_key(c, &key);
    return err == OX_OK ? ox__control_respond(c, 200, key_json(&key, c->now_s)) : err;
}

/* What makes no sense is refused rather than kept: a key that promises more than its role allows. */
static ox_err
check_scopes(struct ox__control_call *c, const struct ox_control_key *key)
{
    if (key->scopes == 0)
        return ox__control_invalid(c, "scopes", "names at least one");
    if (key->role == OX_ROLE_OPERATOR && key->scopes != OX_SCOPE_ADMIN)
        return ox__control_invalid(c, "scopes",
                                   "a key of role operator is for admin alone: operators have no telemetry");
    if ((key->scopes & OX_SCOPE_ADMIN) != 0 && key->role != OX_ROLE_ADMIN && key->role != OX_ROLE_OPERATOR)
        return ox__control_invalid(c, "scopes", "admin needs role admin");
    return OX_OK;
}

static ox_err
read_scopes(struct ox__control_call *c, struct ox_control_key *key)
{
    const json_t *list = json_object_get(c->body, "scopes"), *value;
    size_t i;
    key->scopes = list == NULL ? ox_role_scopes(key->role) : 0;
    if (list != NULL && !json_is_array(list))
        return ox__control_invalid(c, "scopes", "is a list of texts");
    json_array_foreach(list, i, value)
    {
        if (!json_is_string(value))
            return ox__control_invalid(c, "scopes", "is a list of texts");
        struct ox_str name = {json_string_value(value), json_string_length(value)};
        ox_err err = ox_scope_parse(name, &key->scopes, &c->diag);
        if (err != OX_OK)
            return err;
    }
    return check_scopes(c, key);
}

static ox_err
read_role(struct ox__control_call *c, struct ox_control_key *key)
{
    struct ox_str role;
    bool platform = strcmp(key->tenant.name, OX_CONTROL_PLATFORM) == 0;
    ox_err err = ox__control_read_text(c, "role", &role);
    if (err == OX_OK && role.n == 0)
        role = platform ? OX_STR("operator") : OX_STR("editor");
    if (err == OX_OK)
        err = ox_role_parse(role, &key->role, &c->diag);
    if (err == OX_OK)
        err = ox_role_may_grant(c->req->role, key->role, &c->diag);
    if (err == OX_OK && platform != (key->role == OX_ROLE_OPERATOR))
        err = ox__control_invalid(
            c, "role", "operators' keys are those of tenant " OX_CONTROL_PLATFORM ", and it has no others");
    return err;
}

static ox_err
read_key(struct ox__control_call *c, struct ox_control_key *key)
{
    static const char *const names[] = {"tenant", "name", "role", "scopes", "expires_in", NULL};
    struct ox_str tenant;
    int64_t expires_in = 0;
    ox_err err = ox__control_read_body(c, names);
    if (err == OX_OK)
        err = ox__control_read_text(c, "tenant", &tenant);
    /* An operator's own tenant is the platform's: whoever forgets to say whose key it is to be must not get that. */
    if (err == OX_OK && tenant.n == 0 && ox__control_is_operator(c))
        err = ox__control_invalid(c, "tenant", "say whose key it is to be");
    if (err == OX_OK)
        err = ox__control_read_tenant(c, tenant, &key->tenant);
    if (err == OX_OK)
        err = ox__control_read_name(c, key->name);
    if (err == OX_OK)
        err = read_role(c, key);
    if (err == OX_OK)
        err = read_scopes(c, key);
    if (err == OX_OK && json_object_get(c->body, "expires_in") != NULL)
        err = ox__control_read_duration(c, "expires_in", 36500ll * 86400, &expires_in);
    key->created_s = c->now_s;
    key->expires_s = expires_in > 0 ? c->now_s + expires_in : 0;
    return err;
}

/* With the key's text, this once. */
static ox_err
respond_new(struct ox__control_call *c, const struct ox_control_key *key, char text[OX_API_KEY_LEN + 1])
{
    json_t *answer = key_json(key, c->now_s);
    json_object_set_new(answer, "key", json_string(text));
    return ox__control_respond(c, 201, answer);
}

static ox_err
make_secret(struct ox__control_call *c, struct ox_control_key *key, char text[OX_API_KEY_LEN + 1])
{
    ox_err err = ox_api_key_generate(text, key);
    if (err == OX_OK)
        err = ox_api_key_fingerprint((struct ox_str){text, OX_API_KEY_LEN}, key->fingerprint);
    return err == OX_OK ? OX_OK
                        : ox_diag_set(&c->diag, err, NULL, -1, "no key can be made: %s", ox_err_text(err));
}

ox_err
ox__control_keys_create(struct ox__control_call *c)
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
    err = ox__control_audit_granted(c, key.tenant.name, detail);
    if (err == OX_OK) {
        err = c->api->store->key_create(c->api->store, ox__control_asker(c), &key, &c->diag);
        err = err == OX_OK ? respond_new(c, &key, text) : ox__control_audit_failed(c, key.tenant.name, err);
    }
    OPENSSL_cleanse(text, sizeof(text));
    return err;
}

ox_err
ox__control_keys_revoke(struct ox__control_call *c)
{
    static const char *const names[] = {NULL};
    struct ox_control_key key;
    char detail[64];
    ox_err err = ox__control_read_body(c, names);
    if (err == OX_OK)
        err = find_key(c, &key);
    if (err != OX_OK)
        return err;
    if (key.revoked_s != 0) /* for ever: nothing is done, so nothing is noted */
        return ox__control_respond(c, 200, key_json(&key, c->now_s));
    snprintf(detail, sizeof(detail), "revoke key %s", key.id);
    err = ox__control_audit_granted(c, key.tenant.name, detail);
    if (err != OX_OK)
        return err;
    struct ox_tenant_id tenant = key.tenant;
    char id[OX_KEY_ID_MAX + 1];
    memcpy(id, key.id, sizeof(id));
    err =
        c->api->store->key_revoke(c->api->store, ox__control_asker(c), &tenant, id, c->now_s, &key, &c->diag);
    return err == OX_OK ? ox__control_respond(c, 200, key_json(&key, c->now_s))
                        : ox__control_audit_failed(c, tenant.name, err);
}

/* The new key is what the old one was, for as long as the old one would have been. */
static void
inherit(const struct ox__control_call *c, const struct ox_control_key *old, struct ox_control_key *fresh)
{
    *fresh = (struct ox_control_key){
        .tenant = old->tenant, .scopes = old->scopes, .role = old->role, .created_s = c->now_s};
    memcpy(fresh->name, old->name, sizeof(fresh->name));
    memcpy(fresh->rotated_from, old->id, sizeof(fresh->rotated_from));
    if (old->expires_s > old->created_s)
        fresh->expires_s = c->now_s + (old->expires_s - old->created_s);
}

ox_err
ox__control_keys_rotate(struct ox__control_call *c)
{
    static const char *const names[] = {"overlap", NULL};
    struct ox_control_key old, fresh;
    char text[OX_API_KEY_LEN + 1] = "", detail[96];
    int64_t overlap_s = 3600;
    ox_err err = ox__control_read_body(c, names);
    if (err == OX_OK && json_object_get(c->body, "overlap") != NULL)
        err = ox__control_read_duration(c, "overlap", OVERLAP_MAX_S, &overlap_s);
    if (err == OX_OK)
        err = find_key(c, &old);
    if (err == OX_OK)
        err = ox_role_may_grant(c->req->role, old.role, &c->diag);
    if (err != OX_OK)
        return err;
    err = ox__control_may_rotate(&old, c->now_s,
                                 &c->diag); /* here, too: before a secret is made and a line written */
    if (err != OX_OK)
        return ox__control_audit_failed(c, old.tenant.name, err);
    inherit(c, &old, &fresh);
    err = make_secret(c, &fresh, text);
    snprintf(detail, sizeof(detail), "rotate key %s to %s, overlap %lld s", old.id, fresh.id,
             (long long)overlap_s);
    if (err == OX_OK)
        err = ox__control_audit_granted(c, fresh.tenant.name, detail);
    if (err == OX_OK) {
        err = c->api->store->key_rotate(c->api->store, ox__control_asker(c), &fresh, c->now_s,
                                        c->now_s + overlap_s, &c->diag);
        err =
            err == OX_OK ? respond_new(c, &fresh, text) : ox__control_audit_failed(c, fresh.tenant.name, err);
    }
    OPENSSL_cleanse(text, sizeof(text));
    return err;
}

/* A key that is another tenant's is none to an admin. */
static ox_err
find_shown(struct ox__control_call *c, struct ox_str text, struct ox_control_key *key,
           enum ox_tenant_state *state)
{
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    ox_err err = ox_api_key_check(text, &c->diag);
    if (err != OX_OK)
        return err;
    ox_api_key_digest(text, digest);
    err = c->api->store->key_by_digest(c->api->store, digest, key, state, &c->diag);
    if (err == OX_OK && !ox__control_is_operator(c) && strcmp(key->tenant.name, c->req->tenant.name) != 0)
        err = ox_diag_set(&c->diag, OX_E_NOT_FOUND, "key", -1, "there is no such key");
    return err;
}

/* {"key":"ox_live_..."}: whose it is, and whether its fingerprint is right. The one place where Argon2 verifies. */
ox_err
ox__control_keys_verify(struct ox__control_call *c)
{
    static const char *const names[] = {"key", NULL};
    struct ox_control_key key;
    struct ox_str text;
    enum ox_tenant_state state = OX_TENANT_DISABLED;
    ox_err err = ox__control_read_body(c, names);
    if (err == OX_OK)
        err = ox__control_read_text(c, "key", &text);
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
    return ox__control_respond(c, 200, answer);
}
