/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/gateway/keystore_dev.c - the stateless development validator.
 *
 * Owns:    a copy of the secret and of the names.
 * Threads: any; immutable after _new.
 * Fails:   OX_E_UNAUTHENTICATED; OX_E_FORBIDDEN under a name that is not this machine's.
 */
#include "ox/keystore.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/net.h"

#define DEV_PREFIX     "ox_dev_"
#define DEV_PREFIX_LEN (sizeof(DEV_PREFIX) - 1)
#define DEV_MAC_BYTES  16 /* half of SHA-256's output: 128 bits are not guessed over a network */
#define DEV_MAC_HEX    (2 * DEV_MAC_BYTES)

struct dev_store {
    struct ox_keystore base;
    struct ox_str names; /* behind the secret */
    size_t secret_len;
    char secret[];
};

void
ox_keystore_dev_key(struct ox_str secret, const struct ox_tenant_id *tenant, char *out)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    const uint8_t *ok = HMAC(EVP_sha256(), secret.p, (int)secret.n, (const uint8_t *)tenant->name,
                             strlen(tenant->name), mac, &mac_len);
    OX_UNHANDLED(ok != NULL && mac_len >= DEV_MAC_BYTES);
    int n = snprintf(out, OX_DEV_KEY_MAX, DEV_PREFIX "%s_", tenant->name);
    ox_hex_encode(mac, DEV_MAC_BYTES, out + n);
}

static ox_err
unknown_key(struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_UNAUTHENTICATED, "x-api-key", -1,
                       "unknown API key; send it as 'x-api-key: KEY' or 'Authorization: Bearer KEY' "
                       "(development keys: observex key dev TENANT)");
}

/* "name:80", "[::1]:80" -> "name", "[::1]" */
static struct ox_str
without_port(struct ox_str host)
{
    const char *bracket = host.n > 0 && host.p[0] == '[' ? memchr(host.p, ']', host.n) : NULL;
    const char *colon = bracket == NULL && host.n > 0 ? memchr(host.p, ':', host.n) : NULL;
    if (bracket != NULL)
        host.n = (size_t)(bracket + 1 - host.p);
    else if (colon != NULL)
        host.n = (size_t)(colon - host.p);
    return host;
}

static bool
in_names(struct ox_str host, struct ox_str names)
{
    while (names.n > 0) {
        const char *comma = memchr(names.p, ',', names.n);
        struct ox_str name = {names.p, comma != NULL ? (size_t)(comma - names.p) : names.n};
        names.p += name.n + (comma != NULL);
        names.n -= name.n + (comma != NULL);
        while (name.n > 0 && *name.p == ' ')
            name.p++, name.n--;
        while (name.n > 0 && name.p[name.n - 1] == ' ')
            name.n--;
        if (name.n > 0 && ox_str_caseeq(without_port(name), host))
            return true;
    }
    return false;
}

static bool
is_this_machine(const struct dev_store *store, struct ox_str host)
{
    host = without_port(host);
    return host.n == 0 || ox_str_caseeq(host, OX_STR("localhost")) || ox_net_is_loopback_text(host) ||
           in_names(host, store->names);
}

static ox_err
keyless(const struct dev_store *store, const struct ox_credential *cred, struct ox_identity *out,
        struct ox_diag *diag)
{
    if (!cred->from_loopback)
        return ox_diag_set(diag, OX_E_UNAUTHENTICATED, "x-api-key", -1,
                           "an API key is required from other machines; only loopback may go without one "
                           "in development mode (observex key dev TENANT prints a key)");
    if (!is_this_machine(store, cred->host))
        return ox_diag_set(diag, OX_E_FORBIDDEN, "host", -1,
                           "a page under another name than this machine's needs a key: ask for localhost or "
                           "127.0.0.1, or add the name to listen.hosts");
    *out = (struct ox_identity){.role = OX_ROLE_LOCAL, .scopes = OX_SCOPE_ALL};
    return ox_tenant_id_parse(OX_STR(OX_DEV_TENANT), &out->tenant, diag);
}

static ox_err
dev_identify(struct ox_keystore *self, const struct ox_credential *cred, struct ox_identity *out,
             struct ox_diag *diag)
{
    const struct dev_store *store = (const struct dev_store *)self;
    if (cred->key.n == 0)
        return keyless(store, cred, out, diag);
    struct ox_str key = cred->key;
    if (key.n <= DEV_PREFIX_LEN + 1 + DEV_MAC_HEX || memcmp(key.p, DEV_PREFIX, DEV_PREFIX_LEN) != 0)
        return unknown_key(diag);
    struct ox_str name = {key.p + DEV_PREFIX_LEN, key.n - DEV_PREFIX_LEN - 1 - DEV_MAC_HEX};
    struct ox_tenant_id tenant;
    if (ox_tenant_id_parse(name, &tenant, NULL) != OX_OK)
        return unknown_key(diag);
    char want[OX_DEV_KEY_MAX];
    ox_keystore_dev_key((struct ox_str){store->secret, store->secret_len}, &tenant, want);
    if (strlen(want) != key.n || CRYPTO_memcmp(want, key.p, key.n) != 0)
        return unknown_key(diag);
    *out = (struct ox_identity){
        .tenant = tenant, .role = OX_ROLE_EDITOR, .scopes = OX_SCOPE_INGEST | OX_SCOPE_QUERY};
    return OX_OK;
}

static void
dev_free(struct ox_keystore *self)
{
    struct dev_store *store = (struct dev_store *)self;
    OPENSSL_cleanse(store->secret, store->secret_len);
    free(store);
}

struct ox_keystore *
ox_keystore_dev_new(struct ox_str secret, struct ox_str names)
{
    OX_ASSERT(secret.n >= 16);
    struct dev_store *store = calloc(1, sizeof(*store) + secret.n + names.n);
    if (store == NULL)
        return NULL;
    store->base = (struct ox_keystore){.name = "development", .identify = dev_identify, .free = dev_free};
    store->secret_len = secret.n;
    memcpy(store->secret, secret.p, secret.n);
    store->names = (struct ox_str){store->secret + secret.n, names.n};
    if (names.n > 0)
        memcpy(store->secret + secret.n, names.p, names.n);
    return &store->base;
}
