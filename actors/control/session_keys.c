/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/session_keys.c - see include/ox/session_keys.h.
 *
 * Owns:    see there.
 * Threads: see there.
 * Bounds:  see there.
 * Fails:   see there.
 * Flow:    identify -> token_table.c, or AGAIN; look_up -> store of users -> token_table.c. A change of the tenant, which every end
 *          of a session is, empties the table of it.
 */
#include "ox/session_keys.h"

#include <stdlib.h>

#include "actors/control/token_table.h"
#include "actors/control/unknown_keys.h"
#include "ox/key_cache.h"
#include "ox/password.h"

#define PUT_TRIES 3

struct session_keys {
    struct ox_keystore base;
    struct ox_keystore *inner;
    struct ox_session_keys_options o;
    struct ox__token_table *known;
    struct ox__unknown_keys *unknown;
};

static int64_t
now_of(const struct session_keys *k)
{
    return (int64_t)(ox_clock_realtime_ns(k->o.clock) / 1000000000);
}

static ox_err
ask_inner(struct session_keys *k, bool may_block, const struct ox_credential *cred, struct ox_identity *out,
          struct ox_diag *diag)
{
    return may_block && k->inner->look_up != NULL ? k->inner->look_up(k->inner, cred, out, diag)
                                                  : k->inner->identify(k->inner, cred, out, diag);
}

/* A page on this machine may have a cookie of another ObserveX, which ran here on another port. */
static ox_err
ended(struct session_keys *k, bool may_block, const struct ox_credential *cred, struct ox_identity *out,
      struct ox_diag *diag)
{
    struct ox_credential without = *cred;
    without.session = (struct ox_str){0};
    if (k->o.development)
        return ask_inner(k, may_block, &without, out, diag);
    return ox_diag_set(diag, OX_E_UNAUTHENTICATED, "cookie", -1, "the session has ended: log in again");
}

/* AGAIN: only the store can tell. *digest is set. */
static ox_err
find(struct session_keys *k, bool may_block, const struct ox_credential *cred, uint8_t *digest,
     struct ox_identity *out, struct ox_diag *diag)
{
    if (cred->key.n > 0 || cred->session.n == 0)
        return ask_inner(k, may_block, cred, out, diag);
    if (!ox_session_digest(cred->session, digest))
        return ended(k, may_block, cred, out, diag);
    int64_t now_s = now_of(k);
    if (ox__token_table_find(k->known, digest, now_s, out))
        return OX_OK;
    switch (ox__unknown_keys_look(k->unknown, cred->peer, digest, now_s)) {
    case OX__UNKNOWN_KEY:
        return ended(k, may_block, cred, out, diag);
    case OX__UNKNOWN_LIMITED:
        return ox_diag_set(diag, OX_E_OVERLOAD, "control.unknown_keys", -1,
                           "this address has shown too many sessions that are none; retry later");
    default:
        return OX_E_AGAIN;
    }
}

static ox_err
identify(struct ox_keystore *self, const struct ox_credential *cred, struct ox_identity *out,
         struct ox_diag *diag)
{
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    return find((struct session_keys *)self, false, cred, digest, out, diag);
}

/* People read and order; what sends telemetry has a key. */
static void
identity_of(const struct ox_user *user, struct ox_identity *out)
{
    *out = (struct ox_identity){.tenant = user->tenant,
                                .role = user->role,
                                .scopes = ox_role_scopes(user->role) & ~(uint32_t)OX_SCOPE_INGEST,
                                .way = OX_WAY_SESSION};
    memcpy(out->subject, user->name, sizeof(out->subject));
    _Static_assert(sizeof(out->subject) == sizeof(user->name), "one is copied into the other");
}

static ox_err
ask_store(struct session_keys *k, const struct ox_credential *cred, const uint8_t *digest,
          struct ox_identity *out, struct ox_diag *diag)
{
    struct ox_session session;
    struct ox_user user;
    struct ox_diag own;
    int64_t now_s = now_of(k);
    uint64_t era = ox__token_table_era(k->known);
    uint32_t unknown_era = ox__unknown_keys_era(k->unknown);
    ox_diag_clear(&own);
    ox_err err = k->o.users->session(k->o.users, digest, now_s, now_s - k->o.idle_s, &session, &user, &own);
    if (err == OX_E_NOT_FOUND) {
        ox__unknown_keys_note(k->unknown, cred->peer, digest, now_s, unknown_era);
        return ended(k, true, cred, out, diag);
    }
    if (err != OX_OK)
        return ox_diag_set(
            diag, OX_E_UNAVAILABLE, "control.url", -1,
            "the control plane does not answer, so this session cannot be looked up; retry later");
    int64_t until_s =
        now_s + OX_SESSION_SEEN_S < session.expires_s ? now_s + OX_SESSION_SEEN_S : session.expires_s;
    identity_of(&user, out);
    return ox__token_table_put(k->known, digest, out, until_s, now_s, era) ? OX_OK : OX_E_AGAIN;
}

static ox_err
look_up(struct ox_keystore *self, const struct ox_credential *cred, struct ox_identity *out,
        struct ox_diag *diag)
{
    struct session_keys *k = (struct session_keys *)self;
    uint8_t digest[OX_KEY_DIGEST_BYTES];
    ox_err err = find(k, true, cred, digest, out, diag);
    if (err != OX_E_AGAIN)
        return err;
    for (int i = 0; i < PUT_TRIES && err == OX_E_AGAIN; i++)
        err = ask_store(k, cred, digest, out, diag);
    if (err == OX_E_AGAIN)
        return ox_diag_set(diag, OX_E_UNAVAILABLE, NULL, -1, "users are being changed; retry later");
    return err;
}

void
ox_session_keys_changed(struct ox_keystore *keys, const struct ox_tenant_id *tenant)
{
    struct session_keys *k = (struct session_keys *)keys;
    ox__token_table_remove_of(k->known, tenant);
}

static void
sessions_free(struct ox_keystore *self)
{
    struct session_keys *k = (struct session_keys *)self;
    k->inner->free(k->inner);
    ox__token_table_free(k->known);
    ox__unknown_keys_free(k->unknown);
    free(k);
}

struct ox_keystore *
ox_session_keys_new(struct ox_keystore *inner, const struct ox_session_keys_options *options)
{
    struct session_keys *k = calloc(1, sizeof(*k));
    if (k == NULL) {
        inner->free(inner);
        return NULL;
    }
    k->base = (struct ox_keystore){
        .name = inner->name, .identify = identify, .look_up = look_up, .free = sessions_free};
    k->inner = inner;
    k->o = *options;
    k->known = ox__token_table_new(options->sessions_max);
    k->unknown = ox__unknown_keys_new(options->unknown_max);
    if (k->known != NULL && k->unknown != NULL)
        return &k->base;
    sessions_free(&k->base);
    return NULL;
}
