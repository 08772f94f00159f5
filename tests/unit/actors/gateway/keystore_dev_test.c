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
    struct ox_keystore *ks = ox_keystore_dev_new(secret);
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
    ks = ox_keystore_dev_new((struct ox_str){"another secret, 20 b", 20});
    cr_assert_eq(identify(ks, key, true, &who), OX_E_UNAUTHENTICATED);
    ks->free(ks);
}

Test(keystore_dev, only_loopback_goes_without_a_key)
{
    struct ox_keystore *ks = ox_keystore_dev_new(secret);
    struct ox_identity who;
    cr_assert_eq(identify(ks, "", true, &who), OX_OK);
    cr_assert_str_eq(who.tenant.name, "default");
    cr_assert_eq(identify(ks, "", false, &who), OX_E_UNAUTHENTICATED);
    cr_assert_eq(identify(ks, "nonsense", true, &who), OX_E_UNAUTHENTICATED, "a wrong key is not no key");
    ks->free(ks);
}
