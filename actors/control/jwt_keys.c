/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/jwt_keys.c - see include/ox/jwt_keys.h.
 *
 * Owns:    see there.
 * Threads: see there. `lock` is held for reading while a token is verified, so that neither rules nor keys go meanwhile; for
 *          writing while others take their place, which is the time of a few assignments. `state` is of who refreshes.
 * Bounds:  see there.
 * Fails:   see there.
 * Flow:    identify -> token_table.c, or AGAIN; look_up -> jwt.c -> the control store -> token_table.c.
 */
#include "ox/jwt_keys.h"

#include <blake3.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "actors/control/token_table.h"
#include "actors/control/unknown_keys.h"
#include "ox/key_cache.h"
#include "ox/lock.h"
#include "ox/log.h"
#include "ox/metric.h"

#define FAILED_AGAIN_S 5 /* after a refresh that failed; the lane for it is free meanwhile */
#define PUT_TRIES      3

/* A copy of what was taken. */
struct setup {
    struct ox_jwt_rules rules;
    struct ox_jwks *keys;                /* NULL = not known yet */
    uint8_t digest[OX_KEY_DIGEST_BYTES]; /* of the document they stand in */
    char *jwks_url, *jwks_ca_file;
    int64_t refresh_s;
};

struct jwt_keys {
    struct ox_keystore base;
    struct ox_keystore *inner;
    struct ox_control_store *store;
    const struct ox_clock *clock;
    ox_jwks_fetch_fn fetch;
    struct ox__token_table *tokens;
    struct ox__unknown_keys *unknown;
    pthread_rwlock_t lock;
    struct setup s;            /* under the lock */
    _Atomic bool on;           /* relaxed: whether any token is taken */
    _Atomic bool by_url;       /* relaxed */
    _Atomic bool wanted;       /* relaxed: a key is not known */
    _Atomic int64_t asked_s;   /* relaxed: when the issuer was asked last; 0 = never */
    _Atomic int64_t heard_s;   /* relaxed: when he answered last; 0 = never */
    _Atomic int64_t refresh_s; /* relaxed */
};

static int64_t
now_of(const struct jwt_keys *k)
{
    return (int64_t)(ox_clock_realtime_ns(k->clock) / 1000000000);
}

static void
digest_of(struct ox_str text, uint8_t digest[OX_KEY_DIGEST_BYTES])
{
    blake3_hasher hasher;
    blake3_hasher_init(&hasher);
    blake3_hasher_update(&hasher, text.p != NULL ? text.p : "", text.n);
    blake3_hasher_finalize(&hasher, digest, OX_KEY_DIGEST_BYTES);
}

static void
count(const char *result)
{
    OX_METRIC_ADD_L(OX_M_jwt_verified, 1, ox_str_of(result));
}

/* ---- identify ---- */

static bool
is_mine(struct jwt_keys *k, const struct ox_credential *cred)
{
    return atomic_load_explicit(&k->on, memory_order_relaxed) && ox_jwt_looks_like(cred->key);
}

static ox_err
not_accepted(struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_UNAUTHENTICATED, "authorization", -1,
                       "this token is not accepted here: it has expired, is of another issuer or for another "
                       "audience, or its signature is not right; get a new one");
}

static ox_err
identify(struct ox_keystore *self, const struct ox_credential *cred, struct ox_identity *out,
         struct ox_diag *diag)
{
    struct jwt_keys *k = (struct jwt_keys *)self;
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    if (!is_mine(k, cred))
        return k->inner->identify(k->inner, cred, out, diag);
    if (cred->key.n > OX_JWT_MAX)
        return not_accepted(diag);
    int64_t now_s = now_of(k);
    digest_of(cred->key, digest);
    if (ox__token_table_find(k->tokens, digest, now_s, out))
        return OX_OK;
    switch (ox__unknown_keys_look(k->unknown, cred->peer, digest, now_s)) {
    case OX__UNKNOWN_KEY:
        return not_accepted(diag);
    case OX__UNKNOWN_LIMITED:
        count("limited");
        return ox_diag_set(diag, OX_E_OVERLOAD, "control.unknown_keys", -1,
                           "this address has shown too many tokens that are not accepted; retry later");
    default:
        return OX_E_AGAIN;
    }
}

/* ---- look_up ---- */

/* The issuer may have made a new key since: he is asked, by another thread, and the request comes again. */
static ox_err
want_keys(struct jwt_keys *k, int64_t now_s, struct ox_diag *diag)
{
    int64_t asked_s = atomic_load_explicit(&k->asked_s, memory_order_relaxed);
    bool never = atomic_load_explicit(&k->heard_s, memory_order_relaxed) == 0;
    if (!atomic_load_explicit(&k->by_url, memory_order_relaxed) ||
        (!never && now_s >= asked_s && now_s - asked_s < OX_JWKS_AGAIN_S))
        return OX_E_UNAUTHENTICATED;
    atomic_store_explicit(&k->wanted, true, memory_order_relaxed);
    return ox_diag_set(
        diag, OX_E_UNAVAILABLE, "jwt.jwks_url", -1,
        "the key that this token was signed with is not known yet: its issuer is being asked; retry "
        "later");
}

static bool
keys_are_stale(struct jwt_keys *k, int64_t now_s)
{
    int64_t heard_s = atomic_load_explicit(&k->heard_s, memory_order_relaxed);
    return atomic_load_explicit(&k->by_url, memory_order_relaxed) && now_s - heard_s > OX_JWKS_STALE_S;
}

static ox_err
verify(struct jwt_keys *k, struct ox_str token, int64_t now_s, struct ox_jwt_who *who, struct ox_diag *diag)
{
    enum ox_jwt_result result;
    bool stale = keys_are_stale(k, now_s);
    ox_lock_read(&k->lock);
    ox_err err = ox_jwt_verify(token, &k->s.rules, stale ? NULL : k->s.keys, now_s, who, &result, NULL, diag);
    ox_unlock_rw(&k->lock);
    count(ox_jwt_result_name(result));
    return result == OX_JWT_NO_KEY && want_keys(k, now_s, diag) == OX_E_UNAVAILABLE ? OX_E_UNAVAILABLE : err;
}

static ox_err
check_tenant(struct jwt_keys *k, const struct ox_tenant_id *id, struct ox_diag *diag)
{
    struct ox_control_tenant tenant;
    struct ox_diag own;
    ox_diag_clear(&own);
    ox_err err = k->store->tenant_get(k->store, id, &tenant, &own);
    if (err != OX_OK && err != OX_E_NOT_FOUND)
        return ox_diag_set(
            diag, OX_E_UNAVAILABLE, "control.url", -1,
            "the control plane does not answer, so the tenant of this token cannot be looked up; "
            "retry later");
    if (err == OX_OK && tenant.state == OX_TENANT_ACTIVE)
        return OX_OK;
    return ox_diag_set(diag, OX_E_FORBIDDEN, "jwt.tenant_claim", -1,
                       "the tenant of this token does not exist here or is disabled");
}

static ox_err
ask(struct jwt_keys *k, const struct ox_credential *cred, const uint8_t *digest, struct ox_identity *out,
    struct ox_diag *diag)
{
    struct ox_jwt_who who;
    int64_t now_s = now_of(k);
    uint64_t era = ox__token_table_era(k->tokens);
    uint32_t unknown_era = ox__unknown_keys_era(k->unknown);
    ox_err err = verify(k, cred->key, now_s, &who, diag);
    if (err == OX_OK)
        err = check_tenant(k, &who.tenant, diag);
    if (err == OX_E_UNAUTHENTICATED)
        ox__unknown_keys_note(k->unknown, cred->peer, digest, now_s, unknown_era);
    else if (err == OX_E_FORBIDDEN) /* of another era: it counts, and is told the reason each time */
        ox__unknown_keys_note(k->unknown, cred->peer, digest, now_s, unknown_era - 1);
    if (err != OX_OK)
        return err;
    *out = (struct ox_identity){
        .tenant = who.tenant, .role = who.role, .scopes = who.scopes, .way = OX_WAY_TOKEN};
    memcpy(out->subject, who.subject, sizeof(out->subject));
    _Static_assert(sizeof(out->subject) == sizeof(who.subject), "one is copied into the other");
    if (!ox__token_table_put(k->tokens, digest, out, who.until_s, now_s, era))
        return OX_E_AGAIN;
    return OX_OK;
}

static ox_err
look_up(struct ox_keystore *self, const struct ox_credential *cred, struct ox_identity *out,
        struct ox_diag *diag)
{
    struct jwt_keys *k = (struct jwt_keys *)self;
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    if (!is_mine(k, cred))
        return k->inner->look_up != NULL ? k->inner->look_up(k->inner, cred, out, diag)
                                         : k->inner->identify(k->inner, cred, out, diag);
    ox_err err = identify(self, cred, out, diag); /* somebody else may have asked meanwhile */
    digest_of(cred->key, digest);
    for (int i = 0; i < PUT_TRIES && err == OX_E_AGAIN; i++)
        err = ask(k, cred, digest, out, diag);
    if (err == OX_E_AGAIN)
        return ox_diag_set(diag, OX_E_UNAVAILABLE, NULL, -1, "tenants are being changed; retry later");
    return err;
}

/* ---- what is in force ---- */

static void
setup_fini(struct setup *s)
{
    const char *const texts[] = {s->rules.issuer,     s->rules.audience,    s->rules.tenant_claim,
                                 s->rules.role_claim, s->rules.scope_claim, s->rules.roles,
                                 s->jwks_url,         s->jwks_ca_file};
    for (size_t i = 0; i < OX_COUNT(texts); i++)
        free((char *)(uintptr_t)texts[i]);
    if (s->rules.secret.p != NULL)
        explicit_bzero((char *)(uintptr_t)s->rules.secret.p, s->rules.secret.n);
    free((char *)(uintptr_t)s->rules.secret.p);
    ox_jwks_free(s->keys);
    memset(s, 0, sizeof(*s));
}

/* False without memory. */
static bool
copy_text(const char **to, const char *from)
{
    *to = strdup(from != NULL ? from : "");
    return *to != NULL;
}

static ox_err
setup_copy(struct setup *to, const struct ox_jwt_setup *from)
{
    const struct ox_jwt_rules *r = &from->rules;
    *to = (struct setup){.rules = {.leeway_s = r->leeway_s, .max_age_s = r->max_age_s},
                         .refresh_s = (int64_t)(from->refresh_ms / 1000)};
    bool ok = copy_text(&to->rules.issuer, r->issuer) && copy_text(&to->rules.audience, r->audience) &&
              copy_text(&to->rules.tenant_claim, r->tenant_claim) &&
              copy_text(&to->rules.role_claim, r->role_claim) &&
              copy_text(&to->rules.scope_claim, r->scope_claim) && copy_text(&to->rules.roles, r->roles) &&
              copy_text((const char **)&to->jwks_url, from->jwks_url) &&
              copy_text((const char **)&to->jwks_ca_file, from->jwks_ca_file);
    char *secret = ok && r->secret.n > 0 ? malloc(r->secret.n) : NULL;
    to->rules.secret = (struct ox_str){secret, secret != NULL ? r->secret.n : 0};
    if (secret != NULL)
        memcpy(secret, r->secret.p, r->secret.n);
    ok = ok && (secret != NULL || r->secret.n == 0);
    return ok ? OX_OK : OX_E_NOMEM;
}

/* Whoever reads the configuration again for another reason need not ask the issuer again. */
static void
keep_keys(struct jwt_keys *k, struct setup *fresh)
{
    bool same =
        fresh->jwks_url[0] != '\0' && k->s.jwks_url != NULL && strcmp(fresh->jwks_url, k->s.jwks_url) == 0;
    if (!same || k->s.keys == NULL) {
        atomic_store_explicit(&k->asked_s, 0, memory_order_relaxed);
        atomic_store_explicit(&k->heard_s, 0, memory_order_relaxed);
        return;
    }
    fresh->keys = k->s.keys;
    memcpy(fresh->digest, k->s.digest, sizeof(fresh->digest));
    k->s.keys = NULL;
}

ox_err
ox_jwt_keys_take(struct ox_keystore *keys, const struct ox_jwt_setup *setup, struct ox_diag *diag)
{
    struct jwt_keys *k = (struct jwt_keys *)keys;
    struct setup fresh, old;
    ox_err err = setup_copy(&fresh, setup);
    if (err == OX_OK && setup->jwks.n > 0)
        err = ox_jwks_parse(setup->jwks, &fresh.keys, diag);
    if (err != OX_OK) {
        setup_fini(&fresh);
        return err;
    }
    ox_lock_write(&k->lock);
    if (setup->jwks.n == 0)
        keep_keys(k, &fresh);
    old = k->s;
    k->s = fresh;
    ox_unlock_rw(&k->lock);
    setup_fini(&old);
    atomic_store_explicit(&k->by_url, fresh.jwks_url[0] != '\0', memory_order_relaxed);
    atomic_store_explicit(&k->refresh_s, fresh.refresh_s, memory_order_relaxed);
    atomic_store_explicit(&k->on, fresh.rules.issuer[0] != '\0', memory_order_relaxed);
    ox_jwt_keys_changed(keys, NULL);
    return OX_OK;
}

void
ox_jwt_keys_changed(struct ox_keystore *keys, const struct ox_tenant_id *tenant)
{
    struct jwt_keys *k = (struct jwt_keys *)keys;
    ox__token_table_remove_of(k->tokens, tenant);
    ox__unknown_keys_forget(k->unknown);
}

/* ---- the issuer's keys ---- */

bool
ox_jwt_keys_due(struct ox_keystore *keys)
{
    struct jwt_keys *k = (struct jwt_keys *)keys;
    int64_t now_s = now_of(k), asked_s = atomic_load_explicit(&k->asked_s, memory_order_relaxed);
    int64_t heard_s = atomic_load_explicit(&k->heard_s, memory_order_relaxed);
    if (!atomic_load_explicit(&k->by_url, memory_order_relaxed))
        return false;
    if (asked_s == 0 || now_s < asked_s)
        return true;
    if (heard_s < asked_s) /* it failed */
        return now_s - asked_s >= FAILED_AGAIN_S;
    return (atomic_load_explicit(&k->wanted, memory_order_relaxed) && now_s - asked_s >= OX_JWKS_AGAIN_S) ||
           now_s - asked_s >= atomic_load_explicit(&k->refresh_s, memory_order_relaxed);
}

/* Puts the set in the place of the one before, unless another issuer has been set meanwhile. */
static void
put_keys(struct jwt_keys *k, const char *url, struct ox_jwks *set, const uint8_t *digest, int64_t now_s)
{
    ox_lock_write(&k->lock);
    bool mine = k->s.jwks_url != NULL && strcmp(k->s.jwks_url, url) == 0;
    bool same = mine && k->s.keys != NULL && memcmp(k->s.digest, digest, OX_KEY_DIGEST_BYTES) == 0;
    if (mine && !same) {
        struct ox_jwks *old = k->s.keys;
        k->s.keys = set;
        memcpy(k->s.digest, digest, OX_KEY_DIGEST_BYTES);
        set = old;
    }
    ox_unlock_rw(&k->lock);
    ox_jwks_free(set);
    if (mine)
        atomic_store_explicit(&k->heard_s, now_s, memory_order_relaxed);
    if (mine && !same)
        ox_jwt_keys_changed(&k->base, NULL); /* what a key that is gone has signed is good no more */
}

static ox_err
fetch(struct jwt_keys *k, const char *url, const char *ca_file, int64_t now_s, struct ox_diag *diag)
{
    struct ox_buf text;
    struct ox_jwks *set = NULL;
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    ox_buf_init(&text);
    ox_err err = k->fetch(url, ca_file, &text, diag);
    if (err == OX_OK)
        err = ox_jwks_parse(ox_buf_str(&text), &set, diag);
    if (err == OX_OK && ox_jwks_count(set) == 0) {
        ox_jwks_free(set);
        err = ox_diag_set(diag, OX_E_CONFIG, "jwt.jwks_url", -1,
                          "%.200s has no key for RS256, ES256 or EdDSA", url);
    }
    if (err == OX_OK) {
        digest_of(ox_buf_str(&text), digest);
        put_keys(k, url, set, digest, now_s);
    }
    ox_buf_fini(&text);
    return err;
}

ox_err
ox_jwt_keys_refresh(struct ox_keystore *keys, struct ox_diag *diag)
{
    struct jwt_keys *k = (struct jwt_keys *)keys;
    ox_lock_read(&k->lock);
    char *url = k->s.jwks_url != NULL && k->s.jwks_url[0] != '\0' ? strdup(k->s.jwks_url) : NULL;
    char *ca_file = url != NULL ? strdup(k->s.jwks_ca_file) : NULL;
    ox_unlock_rw(&k->lock);
    int64_t now_s = now_of(k);
    ox_err err = OX_OK;
    atomic_store_explicit(&k->asked_s, now_s, memory_order_relaxed);
    atomic_store_explicit(&k->wanted, false, memory_order_relaxed);
    if (url != NULL && ca_file != NULL) {
        err = fetch(k, url, ca_file, now_s, diag);
        OX_METRIC_ADD_L(OX_M_jwks_fetched, 1, err == OX_OK ? OX_STR("taken") : OX_STR("failed"));
    }
    free(url);
    free(ca_file);
    return err;
}

/* ---- making and ending ---- */

static void
jwt_free(struct ox_keystore *self)
{
    struct jwt_keys *k = (struct jwt_keys *)self;
    k->inner->free(k->inner);
    setup_fini(&k->s);
    ox__token_table_free(k->tokens);
    ox__unknown_keys_free(k->unknown);
    pthread_rwlock_destroy(&k->lock);
    free(k);
}

struct ox_keystore *
ox_jwt_keys_new(struct ox_keystore *inner, const struct ox_jwt_keys_options *o)
{
    struct jwt_keys *k = calloc(1, sizeof(*k));
    if (k == NULL) {
        inner->free(inner);
        return NULL;
    }
    k->base =
        (struct ox_keystore){.name = inner->name, .identify = identify, .look_up = look_up, .free = jwt_free};
    k->inner = inner;
    k->store = o->store;
    k->clock = o->clock;
    k->fetch = o->fetch != NULL ? o->fetch : ox_jwks_fetch;
    pthread_rwlock_init(&k->lock, NULL);
    k->tokens = ox__token_table_new(o->tokens_max);
    k->unknown = ox__unknown_keys_new(o->unknown_max);
    if (k->tokens != NULL && k->unknown != NULL)
        return &k->base;
    jwt_free(&k->base);
    return NULL;
}
