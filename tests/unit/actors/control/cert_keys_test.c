/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a client's certificate opens its tenant, while there is one; a key beside it must be the same tenant's; a
 *          certificate that nobody knows opens nothing.
 * Method:  the store in a file, development keys below, names as a handshake would give them.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ox/cert_keys.h"

#define SECRET "a secret of sixteen bytes and more"

static char dir[64], path[96];
static struct ox_control_store *store;
static struct ox_keystore *keys;
static struct ox_diag diag;

static void
set_tenant(const char *name, bool active)
{
    struct ox_control_tenant t = {.state = OX_TENANT_ACTIVE}, out;
    snprintf(t.id.name, sizeof(t.id.name), "%s", name);
    snprintf(t.name, sizeof(t.name), "%s", name);
    if (store->tenant_create(store, NULL, &t, &diag) != OX_OK)
        cr_assert_eq(store->tenant_set(store, NULL, &t.id, active ? OX_TENANT_ACTIVE : OX_TENANT_DISABLED, 1,
                                       &out, &diag),
                     OX_OK);
}

static void
take(const char *text)
{
    struct ox_client_map map;
    cr_assert_eq(ox_client_map_parse(ox_str_of(text), &map, &diag), OX_OK, "%s", diag.text);
    ox_cert_keys_take(keys, &map);
}

static void
up(void)
{
    snprintf(dir, sizeof(dir), "/tmp/ox-cert-keys-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/control.db", dir);
    cr_assert_eq(ox_control_open_sqlite(path, &store, &diag), OX_OK, "%s", diag.text);
    keys = ox_cert_keys_new(ox_keystore_dev_new(OX_STR(SECRET), (struct ox_str){0}), store);
    take("uri:a acme viewer ingest,query\nuri:g globex admin admin\nuri:n nobody viewer query\n");
    set_tenant("acme", true);
    set_tenant("globex", true);
}

static void
down(void)
{
    char file[128];
    keys->free(keys);
    store->close(store);
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < OX_COUNT(ends); i++) {
        snprintf(file, sizeof(file), "%s%s", path, ends[i]);
        (void)unlink(file);
    }
    rmdir(dir);
}

TestSuite(cert_keys, .init = up, .fini = down);

/* As a request would be: first from memory, then by asking. key_of: a tenant's key comes along, NULL = none. */
static ox_err
ask(const char *name, const char *key_of, struct ox_identity *who)
{
    struct ox_tls_names names = {.n = 1, .name = {(char *)name}};
    char key[OX_DEV_KEY_MAX] = "";
    struct ox_tenant_id id;
    if (key_of != NULL) {
        cr_assert_eq(ox_tenant_id_parse(ox_str_of(key_of), &id, NULL), OX_OK);
        ox_keystore_dev_key(OX_STR(SECRET), &id, key);
    }
    struct ox_credential cred = {
        .key = ox_str_of(key), .peer = "192.0.2.1", .client = name != NULL ? &names : NULL};
    ox_err err = keys->identify(keys, &cred, who, &diag);
    return err == OX_E_AGAIN ? keys->look_up(keys, &cred, who, &diag) : err;
}

Test(cert_keys, a_certificate_opens_its_tenant)
{
    struct ox_identity who;
    cr_assert_eq(ask("uri:a", NULL, &who), OX_OK);
    cr_assert_str_eq(who.tenant.name, "acme");
    cr_assert_eq(who.role, OX_ROLE_VIEWER);
    cr_assert_eq(who.scopes, OX_SCOPE_INGEST | OX_SCOPE_QUERY);
    cr_assert_eq(ask("uri:g", NULL, &who), OX_OK);
    cr_assert_str_eq(who.tenant.name, "globex");
    cr_assert_eq(ask("uri:other", NULL, &who), OX_E_UNAUTHENTICATED, "a certificate that is in no line");
    cr_assert_eq(ask(NULL, NULL, &who), OX_E_UNAUTHENTICATED, "none at all");
    cr_assert_eq(ask("uri:n", NULL, &who), OX_E_UNAUTHENTICATED, "of a tenant that does not exist");
}

Test(cert_keys, the_second_request_asks_nobody)
{
    struct ox_identity who;
    struct ox_tls_names names = {.n = 1, .name = {(char *)"uri:a"}};
    struct ox_credential cred = {.peer = "192.0.2.1", .client = &names};
    cr_assert_eq(keys->identify(keys, &cred, &who, &diag), OX_E_AGAIN);
    cr_assert_eq(ask("uri:a", NULL, &who), OX_OK);
    cr_assert_eq(keys->identify(keys, &cred, &who, &diag), OX_OK);
}

Test(cert_keys, a_tenant_that_is_disabled_is_let_in_no_more)
{
    struct ox_identity who;
    struct ox_tenant_id acme = {.name = "acme"};
    cr_assert_eq(ask("uri:a", NULL, &who), OX_OK);
    set_tenant("acme", false);
    ox_cert_keys_changed(keys, &acme);
    cr_assert_eq(ask("uri:a", NULL, &who), OX_E_UNAUTHENTICATED);
    cr_assert_eq(ask("uri:g", NULL, &who), OX_OK, "others go on");
    set_tenant("acme", true);
    ox_cert_keys_changed(keys, NULL);
    cr_assert_eq(ask("uri:a", NULL, &who), OX_OK);
}

Test(cert_keys, a_key_beside_it_must_be_of_the_same_tenant)
{
    struct ox_identity who;
    cr_assert_eq(ask("uri:a", "acme", &who), OX_OK);
    cr_assert_eq(who.role, OX_ROLE_EDITOR, "the key says what it is for");
    cr_assert_eq(ask("uri:a", "globex", &who), OX_E_FORBIDDEN);
    cr_assert_eq(ask("uri:other", "globex", &who), OX_OK, "a certificate of nobody's is as none");
}

Test(cert_keys, a_new_table_is_in_force_at_once)
{
    struct ox_identity who;
    cr_assert_eq(ask("uri:a", NULL, &who), OX_OK);
    take("uri:a globex viewer query\n");
    cr_assert_eq(ask("uri:a", NULL, &who), OX_OK);
    cr_assert_str_eq(who.tenant.name, "globex");
    cr_assert_eq(ask("uri:g", NULL, &who), OX_E_UNAUTHENTICATED);
}
