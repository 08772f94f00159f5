/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/first_operator.c - the key, or the user, with which everything else is created.
 *
 * Owns:    nothing.
 * Threads: any that may block.
 * Fails:   what the store says. Two at once make two keys, which are both shown.
 */
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/control_api.h"
#include "ox/password.h"
#include "ox/user_store.h"

static ox_err
make_platform(struct ox_control_store *store, const struct ox_tenant_id *id, int64_t now_s,
              struct ox_diag *diag)
{
    struct ox_control_tenant tenant;
    ox_err err = store->tenant_get(store, id, &tenant, diag);
    if (err != OX_E_NOT_FOUND)
        return err;
    tenant = (struct ox_control_tenant){
        .id = *id, .name = "Operators", .state = OX_TENANT_ACTIVE, .created_s = now_s, .changed_s = now_s};
    err = store->tenant_create(store, NULL, &tenant, diag);
    return err == OX_E_EXISTS ? OX_OK : err;
}

static bool
is_good(const struct ox_control_key *key, int64_t now_s)
{
    return key->revoked_s == 0 && (key->expires_s == 0 || key->expires_s > now_s);
}

static ox_err
has_operator(struct ox_control_store *store, const struct ox_tenant_id *id, int64_t now_s, bool *has,
             struct ox_diag *diag)
{
    struct ox_control_key *keys = malloc(OX_CONTROL_PAGE_MAX * sizeof(*keys));
    char after[OX_KEY_ID_MAX + 1] = "";
    size_t n = OX_CONTROL_PAGE_MAX;
    ox_err err = keys != NULL ? OX_OK : OX_E_NOMEM;
    *has = false;
    while (err == OX_OK && !*has && n == OX_CONTROL_PAGE_MAX) {
        err = store->key_list(store, id, after, keys, &n, diag);
        for (size_t i = 0; err == OX_OK && i < n; i++)
            *has = *has || is_good(&keys[i], now_s);
        if (err == OX_OK && n > 0)
            snprintf(after, sizeof(after), "%s", keys[n - 1].id);
    }
    free(keys);
    return err;
}

ox_err
ox_control_first_operator(struct ox_control_store *store, int64_t now_s, bool another,
                          char text[OX_API_KEY_LEN + 1], struct ox_control_key *key, bool *made,
                          struct ox_diag *diag)
{
    bool has = false;
    *made = false;
    *key = (struct ox_control_key){.tenant = {OX_CONTROL_PLATFORM},
                                   .scopes = OX_SCOPE_ADMIN,
                                   .role = OX_ROLE_OPERATOR,
                                   .created_s = now_s};
    snprintf(key->name, sizeof(key->name), "%s", another ? "operator" : "first operator");
    ox_err err = make_platform(store, &key->tenant, now_s, diag);
    if (err == OX_OK && !another)
        err = has_operator(store, &key->tenant, now_s, &has, diag);
    if (err != OX_OK || has)
        return err;
    err = ox_api_key_generate(text, key);
    if (err == OX_OK)
        err = ox_api_key_fingerprint((struct ox_str){text, OX_API_KEY_LEN}, key->fingerprint);
    if (err == OX_OK)
        err = store->key_create(store, NULL, key, diag);
    if (err != OX_OK)
        OPENSSL_cleanse(text, OX_API_KEY_LEN + 1);
    *made = err == OX_OK;
    return err;
}

ox_err
ox_control_operator_user(struct ox_control_store *store, struct ox_user_store *users, const char *name,
                         int64_t now_s, char *password, struct ox_diag *diag)
{
    struct ox_user u = {
        .tenant = {OX_CONTROL_PLATFORM}, .role = OX_ROLE_OPERATOR, .active = true, .created_s = now_s};
    if (!ox_user_name_ok(ox_str_of(name)))
        return ox_diag_set(diag, OX_E_INVALID, "name", -1,
                           "a user's name has 1 to 64 of a-z, 0-9 and . _ @ + -");
    snprintf(u.name, sizeof(u.name), "%s", name);
    ox_err err = make_platform(store, &u.tenant, now_s, diag);
    if (err == OX_OK)
        err = ox_password_make(password);
    if (err == OX_OK)
        err = ox_password_hash(ox_str_of(password), u.password);
    if (err == OX_OK)
        err = users->create(users, NULL, &u, diag);
    if (err != OX_OK)
        OPENSSL_cleanse(password, OX_PASSWORD_MADE + 1);
    return err;
}
