/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/key_cache.c - from a key to who it is: from memory, or from the control store and then from memory.
 *
 * Owns:    see include/ox/key_cache.h.
 * Threads: see there.
 * Bounds:  see there; CHANGES_AT_ONCE, USES_AT_ONCE, DUE_AT_ONCE.
 * Fails:   see there.
 * Flow:    identify -> key_table.c, unknown_keys.c; look_up -> store -> key_table.c; watch -> store -> key_table.c.
 *
 * What is read from the store may be old when it is put into the table: between the two, another thread may have taken the
 * change that revokes it. So `generation` counts the changes taken: watch counts first and removes afterwards, look_up
 * reads the count first and puts only if it is still the same, which the table checks under the lock that a removal
 * needs. A key that is put in spite of a later change is thereby removed by it, and one that would be put after it is not.
 */
#include "ox/key_cache.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "actors/control/key_table.h"
#include "actors/control/unknown_keys.h"
#include "ox/api_key.h"
#include "ox/log.h"
#include "ox/metric.h"

#define CHANGES_AT_ONCE 256
#define USES_AT_ONCE    500
#define USES_PER_WRITE  50 /* of one transaction, which each tenant in it makes longer */
#define DUE_AT_ONCE     256
#define DUE_NS          100000000ull /* like FLUSH_NS, of the same half second */
#define LOOK_UP_TRIES   3
#define FLUSH_NS        200000000ull /* of the half second after which changes are looked at again */
#define DEV_PREFIX      "ox_dev_"

struct key_cache {
    struct ox_keystore base;
    struct ox_control_store *store;
    struct ox_keystore *dev;
    const struct ox_clock *clock;
    uint64_t stale_max_ms;                                           /* 0 = none */
    void (*on_change)(void *ctx, const struct ox_tenant_id *tenant); /* or NULL */
    void *ctx;
    struct ox__key_table *known;
    struct ox__unknown_keys *unknown;
    _Atomic uint64_t generation; /* of changes; seq_cst, see above */
    _Atomic bool up;             /* relaxed: who is late asks once more, or is refused once more */
    _Atomic uint64_t
        heard_ns; /* monotonic; when it was certain that no change was missed. relaxed: for people */
    /* the thread that watches, and before it _new */
    uint64_t cursor;
    struct ox_control_change changes[CHANGES_AT_ONCE];
    struct ox_control_use uses[USES_AT_ONCE];
    size_t uses_n;    /* in uses */
    size_t uses_done; /* of them; the next flush goes on there */
    struct ox_control_seen due[DUE_AT_ONCE];
    size_t due_n; /* in due, not answered for yet */
};

static int64_t
now_s(const struct key_cache *k)
{
    return (int64_t)(ox_clock_realtime_ns(k->clock) / 1000000000);
}

static ox_err
unknown_key(struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_UNAUTHENTICATED, "x-api-key", -1,
                       "unknown, expired or revoked API key; send a valid one as 'x-api-key: KEY' or "
                       "'Authorization: Bearer KEY'");
}

static ox_err
store_is_away(struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_UNAVAILABLE, "control.url", -1,
                       "the control plane does not answer, so this key cannot be looked up; retry later");
}

static ox_err
too_many_unknown(struct ox_diag *diag)
{
    OX_METRIC_ADD_L(OX_M_control_lookups, 1, OX_STR("limited"));
    return ox_diag_set(diag, OX_E_OVERLOAD, "control.unknown_keys", -1,
                       "this address has shown too many unknown API keys; retry later");
}

static bool
is_dev(const struct key_cache *k, struct ox_str key)
{
    size_t n = sizeof(DEV_PREFIX) - 1;
    return k->dev != NULL && (key.n == 0 || (key.n >= n && memcmp(key.p, DEV_PREFIX, n) == 0));
}

/* A key that is not in the table: what can be said of it without asking? */
static ox_err
not_known(struct key_cache *k, const struct ox_credential *cred, const uint8_t *digest, int64_t now,
          struct ox_diag *diag)
{
    if (ox_api_key_check(cred->key, NULL) != OX_OK)
        return unknown_key(diag);
    switch (ox__unknown_keys_look(k->unknown, cred->peer, digest, now)) {
    case OX__UNKNOWN_KEY:
        return unknown_key(diag);
    case OX__UNKNOWN_LIMITED:
        return too_many_unknown(diag);
    case OX__UNKNOWN_NOT:
        break;
    }
    return atomic_load_explicit(&k->up, memory_order_relaxed) ? OX_E_AGAIN : store_is_away(diag);
}

static ox_err
identify(struct ox_keystore *self, const struct ox_credential *cred, struct ox_identity *out,
         struct ox_diag *diag)
{
    struct key_cache *k = (struct key_cache *)self;
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    int64_t now = now_s(k);
    if (is_dev(k, cred->key))
        return k->dev->identify(k->dev, cred, out, diag);
    if (cred->key.n == 0)
        return ox_diag_set(
            diag, OX_E_UNAUTHENTICATED, "x-api-key", -1,
            "an API key is required; send it as 'x-api-key: KEY' or 'Authorization: Bearer KEY'");
    if (cred->key.n != OX_API_KEY_LEN)
        return unknown_key(diag);
    ox_api_key_digest(cred->key, digest);
    if (ox__key_table_find(k->known, digest, now, out))
        return OX_OK;
    return not_known(k, cred, digest, now, diag);
}

/* ---- asking the store ---- */

static bool
is_good(const struct ox_control_key *key, enum ox_tenant_state state, int64_t now)
{
    return state == OX_TENANT_ACTIVE && key->revoked_s == 0 && (key->expires_s == 0 || now < key->expires_s);
}

static void
set_up(struct key_cache *k, bool up)
{
    if (atomic_exchange_explicit(&k->up, up, memory_order_relaxed) != up) {
        if (up)
            OX_LOG_INFO("control", "the control plane answers again");
        else
            OX_LOG_WARN("control", "the control plane does not answer: known keys go on, others are refused");
    }
    ox_metric_set(OX_M_control_up, up);
}

static void
count_lookup(const char *result)
{
    OX_METRIC_ADD_L(OX_M_control_lookups, 1, ox_str_of(result));
}

/* Reads the key; a good one is put into the table unless something changed meanwhile: AGAIN. */
static ox_err
ask_store(struct key_cache *k, const struct ox_credential *cred, const uint8_t *digest,
          struct ox_identity *out, struct ox_diag *diag)
{
    struct ox_control_key key;
    enum ox_tenant_state state = OX_TENANT_DISABLED;
    uint64_t generation = atomic_load(&k->generation);
    uint32_t era = ox__unknown_keys_era(k->unknown);
    ox_err err = k->store->key_by_digest(k->store, digest, &key, &state, diag);
    if (err != OX_OK && err != OX_E_NOT_FOUND) {
        OX_LOG_WARN("control", "a key cannot be looked up", OX_F_ERR(err), OX_F_DIAG(diag));
        if (err == OX_E_UNAVAILABLE)
            set_up(k, false);
        count_lookup("failed");
        return store_is_away(diag);
    }
    int64_t now = now_s(k);
    if (err == OX_E_NOT_FOUND || !is_good(&key, state, now)) {
        ox__unknown_keys_note(k->unknown, cred->peer, digest, now, era);
        count_lookup("unknown");
        return unknown_key(diag);
    }
    if (!ox__key_table_put(k->known, &key, now, &k->generation, generation))
        return OX_E_AGAIN;
    count_lookup("known");
    ox_metric_set(OX_M_control_keys, (double)ox__key_table_count(k->known));
    *out = (struct ox_identity){.tenant = key.tenant, .role = key.role, .scopes = key.scopes};
    memcpy(out->key_id, key.id, sizeof(out->key_id));
    return OX_OK;
}

static ox_err
look_up(struct ox_keystore *self, const struct ox_credential *cred, struct ox_identity *out,
        struct ox_diag *diag)
{
    struct key_cache *k = (struct key_cache *)self;
    struct ox_identity noted;
    struct ox_diag own;
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    ox_diag_clear(&own);
    diag = diag != NULL ? diag : &own;
    ox_err err = identify(self, cred, out, diag); /* somebody else may have asked meanwhile */
    if (err != OX_E_AGAIN)
        return err;
    ox_api_key_digest(cred->key, digest);
    for (int i = 0; i < LOOK_UP_TRIES && err == OX_E_AGAIN; i++)
        err = ask_store(k, cred, digest, out, diag);
    if (err == OX_E_AGAIN)
        return ox_diag_set(diag, OX_E_UNAVAILABLE, NULL, -1, "keys are being changed; retry later");
    /* Notes the use; when the key has gone from the table already, what the store said is the answer all the same. */
    if (err == OX_OK)
        (void)ox__key_table_find(k->known, digest, now_s(k), &noted);
    return err;
}

/* ---- changes ---- */

/* For those who know more of a tenant than its keys. */
static void
tell(struct key_cache *k, const struct ox_tenant_id *tenant)
{
    if (k->on_change != NULL)
        k->on_change(k->ctx, tenant);
}

/* Counts first, see above. */
static void
forget_all(struct key_cache *k, const char *why)
{
    atomic_fetch_add(&k->generation, 1);
    if (ox__key_table_count(k->known) > 0)
        OX_LOG_WARN("control", why);
    ox__key_table_remove_of(k->known, NULL);
    ox_metric_set(OX_M_control_keys, 0);
}

/* A record that the store cannot tell of, though it answers: not known is what it is then. To go on with what was known
 * would be for ever, and to ask until it can be read would hold up the changes behind it. */
static void
log_unreadable(ox_err err, const struct ox_diag *diag)
{
    OX_LOG_WARN("control", "what changed cannot be read: what was known of it is forgotten", OX_F_ERR(err),
                OX_F_DIAG(diag));
}

/* What became of a key that is known here. */
static ox_err
refresh_key(struct key_cache *k, const uint8_t *digest, struct ox_diag *diag)
{
    struct ox_control_key key;
    enum ox_tenant_state state = OX_TENANT_DISABLED;
    if (!ox__key_table_has(k->known, digest))
        return OX_OK;
    uint64_t generation = atomic_load(&k->generation);
    ox_err err = k->store->key_by_digest(k->store, digest, &key, &state, diag);
    if (err == OX_E_UNAVAILABLE || err == OX_E_OVERLOAD)
        return err;
    if (err != OX_OK && err != OX_E_NOT_FOUND)
        log_unreadable(err, diag);
    int64_t now = now_s(k);
    if (err != OX_OK || !is_good(&key, state, now))
        ox__key_table_remove(k->known, digest);
    else
        (void)ox__key_table_put(k->known, &key, now, &k->generation,
                                generation); /* only this thread counts */
    return OX_OK;
}

/* Whoever is disabled is forgotten as a whole; whoever is enabled again is asked for again. */
static ox_err
refresh_tenant(struct key_cache *k, const struct ox_tenant_id *id, struct ox_diag *diag)
{
    struct ox_control_tenant tenant;
    ox_err err = k->store->tenant_get(k->store, id, &tenant, diag);
    if (err == OX_E_UNAVAILABLE || err == OX_E_OVERLOAD)
        return err;
    if (err != OX_OK && err != OX_E_NOT_FOUND)
        log_unreadable(err, diag);
    if (err != OX_OK || tenant.state != OX_TENANT_ACTIVE)
        ox__key_table_remove_of(k->known, id);
    return OX_OK;
}

static ox_err
take_changes(struct key_cache *k, size_t n, bool lost, struct ox_diag *diag)
{
    ox_err err = OX_OK;
    if (n == 0 && !lost)
        return OX_OK;
    atomic_fetch_add(&k->generation, 1);
    if (lost)
        forget_all(k, "too many changes were missed: every key is asked for again");
    if (lost)
        tell(k, NULL);
    for (size_t i = 0; err == OX_OK && i < n; i++) {
        const struct ox_control_change *c = &k->changes[i];
        err = c->whole_tenant ? refresh_tenant(k, &c->tenant, diag) : refresh_key(k, c->digest, diag);
        if (c->whole_tenant)
            tell(k, &c->tenant);
    }
    ox__unknown_keys_forget(k->unknown);
    ox_metric_add(OX_M_control_changes, err == OX_OK ? n : 0);
    ox_metric_set(OX_M_control_keys, (double)ox__key_table_count(k->known));
    return err;
}

/* Takes what there is. On failure nothing counts as taken: the next call begins there again. */
static ox_err
catch_up(struct key_cache *k, struct ox_diag *diag)
{
    struct ox_diag own;
    ox_diag_clear(&own);
    diag = diag != NULL ? diag : &own;
    size_t n = 0;
    bool lost = false;
    do {
        uint64_t before = k->cursor;
        n = CHANGES_AT_ONCE;
        ox_err err = k->store->changes(k->store, &k->cursor, k->changes, &n, &lost, diag);
        if (err == OX_OK)
            err = take_changes(k, n, lost, diag);
        if (err != OX_OK) {
            k->cursor = before;
            return err;
        }
    } while (n == CHANGES_AT_ONCE);
    atomic_store_explicit(&k->heard_ns, ox_clock_monotonic_ns(k->clock), memory_order_relaxed);
    return OX_OK;
}

/* ---- asking again ---- */

/* Forgets those of `due` that the store knows otherwise; whether they are good is found out when they are shown. */
static void
forget_others(struct key_cache *k, const bool *same)
{
    uint64_t others = 0;
    for (size_t i = 0; i < k->due_n; i++) {
        if (!same[i])
            ox__key_table_remove(k->known, k->due[i].digest);
        others += !same[i];
    }
    if (others == 0)
        return;
    OX_LOG_WARN("control",
                "keys were known here that the store knows otherwise, without having told of a change: "
                "has it lost some, or been put back to an earlier state?",
                OX_F_U64("keys", others));
    ox_metric_add(OX_M_control_corrected, others);
    ox_metric_set(OX_M_control_keys, (double)ox__key_table_count(k->known));
}

/*
 * A store that lost its last commits in a failover, or was restored, and was written to since then has changes of the same
 * numbers that are others: nobody is told of what was undone. So the store is asked again for each key now and then.
 */
static ox_err
ask_again(struct key_cache *k, struct ox_diag *diag)
{
    bool same[DUE_AT_ONCE];
    uint64_t end = ox_clock_monotonic_ns(k->clock) + DUE_NS;
    size_t n = 0;
    do {
        if (k->due_n == 0)
            k->due_n = ox__key_table_due(k->known, now_s(k), OX_KEY_ASK_AGAIN_S, k->due, DUE_AT_ONCE);
        n = k->due_n;
        ox_err err = n > 0 ? k->store->keys_same(k->store, k->due, n, same, diag) : OX_OK;
        if (err != OX_OK) /* the same ones next time */
            return err;
        forget_others(k, same);
        k->due_n = 0;
    } while (n == DUE_AT_ONCE && ox_clock_monotonic_ns(k->clock) < end);
    return OX_OK;
}

/* Known keys go on while nothing is heard, but not for ever: somebody may have revoked them long ago. */
static void
forget_stale(struct key_cache *k, uint64_t stale_ms)
{
    if (k->stale_max_ms == 0 || stale_ms <= k->stale_max_ms)
        return;
    tell(k, NULL);
    forget_all(k, "nothing was heard of changes for longer than control.stale_max: no key is known now");
}

ox_err
ox_key_cache_watch(struct ox_keystore *cache, uint32_t timeout_ms, struct ox_diag *diag)
{
    struct key_cache *k = (struct key_cache *)cache;
    struct ox_key_cache_status status;
    ox_err err = OX_OK;
    /* First, since beginning to listen takes a while where a server is slow; and whom one cannot ask one need not wait for. */
    ox_err caught = catch_up(k, diag);
    if (caught == OX_OK) {
        err = k->store->wait(k->store, timeout_ms, diag);
        /* Also when nothing is heard: revocations must not depend on notices. */
        caught = catch_up(k, err == OX_OK ? diag : NULL);
    }
    if (caught == OX_OK)
        caught = ask_again(k, err == OX_OK ? diag : NULL);
    if (caught != OX_E_OVERLOAD) /* which is no outage; before the first look it is not up, and stays so */
        set_up(k, caught == OX_OK);
    ox_key_cache_status(cache, &status);
    ox_metric_set(OX_M_control_stale, (double)status.stale_ms / 1000);
    forget_stale(k, status.stale_ms);
    return caught != OX_OK ? caught : err;
}

void
ox_key_cache_wake(struct ox_keystore *cache)
{
    struct key_cache *k = (struct key_cache *)cache;
    k->store->wake(k->store);
}

ox_err
ox_key_cache_flush(struct ox_keystore *cache, struct ox_diag *diag)
{
    struct key_cache *k = (struct key_cache *)cache;
    uint64_t end = ox_clock_monotonic_ns(k->clock) + FLUSH_NS;
    ox_err err = OX_OK;
    if (k->uses_done == k->uses_n) {
        k->uses_n = ox__key_table_uses(k->known, now_s(k), k->uses, USES_AT_ONCE);
        k->uses_done = 0;
    }
    while (err == OX_OK && k->uses_done < k->uses_n && ox_clock_monotonic_ns(k->clock) < end) {
        size_t left = k->uses_n - k->uses_done, n = left < USES_PER_WRITE ? left : USES_PER_WRITE;
        err = k->store->keys_used(k->store, k->uses + k->uses_done, n, diag);
        k->uses_done += n;
    }
    return err;
}

void
ox_key_cache_status(struct ox_keystore *cache, struct ox_key_cache_status *out)
{
    struct key_cache *k = (struct key_cache *)cache;
    uint64_t now = ox_clock_monotonic_ns(k->clock);
    uint64_t heard = atomic_load_explicit(&k->heard_ns, memory_order_relaxed);
    out->up = atomic_load_explicit(&k->up, memory_order_relaxed);
    out->stale_ms = now > heard ? (now - heard) / 1000000 : 0;
    out->keys = ox__key_table_count(k->known);
}

/* ---- life ---- */

static void
cache_free(struct ox_keystore *self)
{
    struct key_cache *k = (struct key_cache *)self;
    if (k->dev != NULL)
        k->dev->free(k->dev);
    k->store->close(k->store);
    ox__key_table_free(k->known);
    ox__unknown_keys_free(k->unknown);
    free(k);
}

/* Until it is known where the changes stand nothing may be put into the table: a change could pass unseen. */
static void
find_cursor(struct key_cache *k)
{
    struct ox_diag diag;
    ox_diag_clear(&diag);
    k->cursor = OX_CONTROL_FROM_NOW;
    ox_err err = catch_up(k, &diag);
    if (err != OX_OK)
        OX_LOG_WARN("control", "the control plane does not answer yet", OX_F_ERR(err), OX_F_DIAG(&diag));
    atomic_store_explicit(&k->up, err == OX_OK, memory_order_relaxed);
    ox_metric_set(OX_M_control_up, err == OX_OK);
}

struct ox_keystore *
ox_key_cache_new(const struct ox_key_cache_options *o)
{
    struct key_cache *k = calloc(1, sizeof(*k));
    if (k == NULL) {
        o->store->close(o->store);
        if (o->dev != NULL)
            o->dev->free(o->dev);
        return NULL;
    }
    k->base = (struct ox_keystore){
        .name = o->store->kind, .identify = identify, .look_up = look_up, .free = cache_free};
    k->store = o->store;
    k->dev = o->dev;
    k->clock = o->clock;
    k->stale_max_ms = o->stale_max_ms;
    k->on_change = o->on_change;
    k->ctx = o->ctx;
    k->known = ox__key_table_new(o->keys_max);
    k->unknown = ox__unknown_keys_new(o->unknown_max);
    atomic_store_explicit(&k->heard_ns, ox_clock_monotonic_ns(o->clock), memory_order_relaxed);
    if (k->known == NULL || k->unknown == NULL) {
        cache_free(&k->base);
        return NULL;
    }
    find_cursor(k);
    return &k->base;
}
