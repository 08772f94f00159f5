/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    only keys made from the secret open a tenant; loopback alone goes without a key.
 * Method:  make keys, change every character of one, move it to another tenant, use another secret.
 */
#include <criterion/criterion.h>

#include "ox/keystore.h"

static const struct ox_str secret = {"0123456789abcdef0123", 20};

static ox_err
identify(struct ox_keystore *ks, const char *key, bool loopback, struct ox_identity *who)
{
    struct ox_credential cred = {ox_str_of(key), loopback};
    struct ox_diag diag;
    return ks->identify(ks, &cred, who, &diag);
}

Test(keystore_dev, a_derived_key_opens_its_tenant_and_nothing_else)
{
    struct ox_keystore *ks = ox_keystore_dev_new(secret, (struct ox_str){0});
    struct ox_tenant_id id = {"team_a-1"};
    struct ox_identity who;
    char key[OX_DEV_KEY_MAX], bent[OX_DEV_KEY_MAX];
    ox_keystore_dev_key(secret, &id, key);
    cr_assert_eq(identify(ks, key, false, &who), OX_OK);
    cr_assert_str_eq(who.tenant.name, "team_a-1");
    for (size_t i = 0; key[i] != '\0'; i++) {
        memcpy(bent, key, sizeof(key));
        bent[i] = key[i] == 'b' ? 'c' : 'b';
        cr_assert_eq(identify(ks, bent, true, &who), OX_E_UNAUTHENTICATED, "character %zu", i);
    }
    memcpy(bent, key, sizeof(key));
    bent[strlen(key) - 1] = '\0';
    cr_assert_eq(identify(ks, bent, true, &who), OX_E_UNAUTHENTICATED);
    ks->free(ks);
    ks = ox_keystore_dev_new((struct ox_str){"another secret, 20 b", 20}, (struct ox_str){0});
    cr_assert_eq(identify(ks, key, true, &who), OX_E_UNAUTHENTICATED);
    ks->free(ks);
}

static ox_err
identify_page(struct ox_keystore *ks, const char *host, const char *key)
{
    struct ox_credential cred = {.key = ox_str_of(key), .from_loopback = true, .host = ox_str_of(host)};
    struct ox_identity who;
    struct ox_diag diag;
    return ks->identify(ks, &cred, &who, &diag);
}

/* Its name leads here, but the browser says which name it was. */
Test(keystore_dev, a_page_of_another_site_needs_a_key)
{
    static const char *const ours[] = {
        "localhost", "LocalHost:8080", "127.0.0.1:8080", "127.1.2.3", "[::1]",        "[::1]:8080",
        "obs.test",  "OBS.test:99",    "10.0.0.7:1",     "",          "[fe80::7]:80", "last.test"};
    static const char *const others[] = {"evil.example",
                                         "evil.example:8080",
                                         "127.0.0.1.evil.example",
                                         "localhost.evil.example",
                                         "127.evil.example",
                                         "obs.test.evil.example",
                                         "bs.test",
                                         "[::2]",
                                         "[::1",
                                         "10.0.0.8",
                                         ",",
                                         "obs.test,last.test",
                                         "*",
                                         "127.0.0.1@evil.example"};
    struct ox_keystore *ks =
        ox_keystore_dev_new(secret, OX_STR("obs.test, 10.0.0.7:8080,,[fe80::7]:4318 , last.test"));
    struct ox_tenant_id id = {"team"};
    char key[OX_DEV_KEY_MAX];
    ox_keystore_dev_key(secret, &id, key);
    for (size_t i = 0; i < OX_COUNT(ours); i++)
        cr_assert_eq(identify_page(ks, ours[i], ""), OX_OK, "%s", ours[i]);
    for (size_t i = 0; i < OX_COUNT(others); i++) {
        cr_assert_eq(identify_page(ks, others[i], ""), OX_E_FORBIDDEN, "%s", others[i]);
        cr_assert_eq(identify_page(ks, others[i], key), OX_OK, "a key counts under any name");
    }
    ks->free(ks);
}

Test(keystore_dev, only_loopback_goes_without_a_key)
{
    struct ox_keystore *ks = ox_keystore_dev_new(secret, (struct ox_str){0});
    struct ox_identity who;
    cr_assert_eq(identify(ks, "", true, &who), OX_OK);
    cr_assert_str_eq(who.tenant.name, "default");
    cr_assert_eq(identify(ks, "", false, &who), OX_E_UNAUTHENTICATED);
    cr_assert_eq(identify(ks, "nonsense", true, &who), OX_E_UNAUTHENTICATED, "a wrong key is not no key");
    ks->free(ks);
}
