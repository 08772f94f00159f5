/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/cert_keys.c - see include/ox/cert_keys.h.
 *
 * Owns:    see there; beside the table what is known of its tenants.
 * Threads: see there. `lock` is held for a search and a copy. `generation` counts what was taken and what has changed: what
 *          the store said is noted only if nothing did meanwhile, as in key_cache.c.
 * Bounds:  a byte per row of the table.
 * Fails:   see there.
 * Flow:    see there.
 */
#include "ox/cert_keys.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "ox/lock.h"

enum known { KNOWN_NOT, KNOWN_ACTIVE, KNOWN_GONE };

struct cert_keys {
    struct ox_keystore base;
    struct ox_keystore *inner;
    struct ox_control_store *store;
    pthread_rwlock_t lock;
    struct ox_client_map map;
    uint8_t *known;      /* enum known of each row's tenant */
    uint64_t generation; /* under the lock, as everything above */
};

/* What the table says of a certificate. */
struct finding {
    bool mapped;
    enum known known;
    uint64_t generation;
    struct ox_identity who;
};

/* Nothing but the certificate tells who it is. */
static bool
is_alone(const struct ox_credential *cred)
{
    return cred->key.n == 0 && cred->session.n == 0;
}

static ox_err
find(struct cert_keys *k, const struct ox_credential *cred, struct finding *out, struct ox_diag *diag)
{
    const struct ox_client *c = NULL;
    memset(out, 0, sizeof(*out));
    if (cred->client == NULL)
        return OX_OK;
    ox_lock_read(&k->lock);
    ox_err err = ox_client_map_find(&k->map, cred->client, &c, diag);
    if (err == OX_OK && c != NULL) {
        out->mapped = true;
        out->known = (enum known)k->known[c - k->map.of];
        out->who = (struct ox_identity){
            .tenant = c->tenant, .role = c->role, .scopes = c->scopes, .way = OX_WAY_CERTIFICATE};
    }
    out->generation = k->generation;
    ox_unlock_rw(&k->lock);
    return err;
}

static ox_err
gone(struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_UNAUTHENTICATED, "tls.clients_file", -1,
                       "the tenant of this certificate does not exist or is disabled");
}

/* The tenant by its certificate, once it is known whether there is one. */
static ox_err
of_certificate(const struct finding *f, struct ox_identity *out, struct ox_diag *diag)
{
    if (f->known == KNOWN_NOT)
        return OX_E_AGAIN;
    if (f->known == KNOWN_GONE)
        return gone(diag);
    *out = f->who;
    return OX_OK;
}

/* A key that came along says who it is; it must be the same tenant's. */
static ox_err
agree(const struct finding *f, ox_err err, const struct ox_identity *out, struct ox_diag *diag)
{
    if (err != OX_OK || strcmp(f->who.tenant.name, out->tenant.name) == 0)
        return err;
    return ox_diag_set(diag, OX_E_FORBIDDEN, "x-api-key", -1,
                       "this key is another tenant's than the client certificate");
}

static ox_err
identify(struct ox_keystore *self, const struct ox_credential *cred, struct ox_identity *out,
         struct ox_diag *diag)
{
    struct cert_keys *k = (struct cert_keys *)self;
    struct finding f;
    ox_err err = find(k, cred, &f, diag);
    if (err != OX_OK)
        return err;
    if (f.mapped && is_alone(cred))
        return of_certificate(&f, out, diag);
    err = k->inner->identify(k->inner, cred, out, diag);
    return f.mapped ? agree(&f, err, out, diag) : err;
}

static void
note(struct cert_keys *k, const struct finding *f, enum known known)
{
    ox_lock_write(&k->lock);
    for (size_t i = 0; f->generation == k->generation && i < k->map.n; i++) {
        if (strcmp(k->map.of[i].tenant.name, f->who.tenant.name) == 0)
            k->known[i] = (uint8_t)known;
    }
    ox_unlock_rw(&k->lock);
}

static ox_err
ask_store(struct cert_keys *k, struct finding *f, struct ox_diag *diag)
{
    struct ox_control_tenant tenant;
    ox_err err = k->store->tenant_get(k->store, &f->who.tenant, &tenant, diag);
    if (err != OX_OK && err != OX_E_NOT_FOUND)
        return ox_diag_set(
            diag, OX_E_UNAVAILABLE, "control.url", -1,
            "the control plane does not answer, so this client cannot be looked up; retry later");
    f->known = err == OX_OK && tenant.state == OX_TENANT_ACTIVE ? KNOWN_ACTIVE : KNOWN_GONE;
    note(k, f, f->known);
    return OX_OK;
}

static ox_err
look_up(struct ox_keystore *self, const struct ox_credential *cred, struct ox_identity *out,
        struct ox_diag *diag)
{
    struct cert_keys *k = (struct cert_keys *)self;
    struct finding f;
    ox_err err = find(k, cred, &f, diag);
    if (err == OX_OK && f.mapped && is_alone(cred)) {
        if (f.known == KNOWN_NOT)
            err = ask_store(k, &f, diag);
        return err == OX_OK ? of_certificate(&f, out, diag) : err;
    }
    if (err == OX_OK)
        err = k->inner->look_up != NULL ? k->inner->look_up(k->inner, cred, out, diag)
                                        : k->inner->identify(k->inner, cred, out, diag);
    return f.mapped ? agree(&f, err, out, diag) : err;
}

void
ox_cert_keys_changed(struct ox_keystore *certs, const struct ox_tenant_id *tenant)
{
    struct cert_keys *k = (struct cert_keys *)certs;
    ox_lock_write(&k->lock);
    k->generation++;
    for (size_t i = 0; i < k->map.n; i++) {
        if (tenant == NULL || strcmp(k->map.of[i].tenant.name, tenant->name) == 0)
            k->known[i] = KNOWN_NOT;
    }
    ox_unlock_rw(&k->lock);
}

void
ox_cert_keys_take(struct ox_keystore *certs, struct ox_client_map *map)
{
    struct cert_keys *k = (struct cert_keys *)certs;
    uint8_t *known = calloc(map->n + 1, 1);
    struct ox_client_map old;
    if (known == NULL) /* nobody is let in whom we cannot keep account of */
        ox_client_map_fini(map);
    ox_lock_write(&k->lock);
    old = k->map;
    free(k->known);
    k->map = *map;
    k->known = known;
    k->generation++;
    ox_unlock_rw(&k->lock);
    ox_client_map_fini(&old);
    *map = (struct ox_client_map){0, NULL};
}

static void
certs_free(struct ox_keystore *self)
{
    struct cert_keys *k = (struct cert_keys *)self;
    k->inner->free(k->inner);
    ox_client_map_fini(&k->map);
    free(k->known);
    pthread_rwlock_destroy(&k->lock);
    free(k);
}

struct ox_keystore *
ox_cert_keys_new(struct ox_keystore *inner, struct ox_control_store *store)
{
    struct cert_keys *k = calloc(1, sizeof(*k));
    if (k == NULL) {
        inner->free(inner);
        return NULL;
    }
    k->base = (struct ox_keystore){
        .name = inner->name, .identify = identify, .look_up = look_up, .free = certs_free};
    k->inner = inner;
    k->store = store;
    pthread_rwlock_init(&k->lock, NULL);
    return &k->base;
}
