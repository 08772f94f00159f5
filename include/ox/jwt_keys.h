/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/jwt_keys.h - a key store that also knows the tokens of an issuer.
 *
 * Owns:    the key store below it, the issuer's keys, and which tokens were verified.
 * Threads: identify from any and never blocks, nor verifies; look_up verifies: lanes and dirty threads. _take and _refresh:
 *          one at a time, may block.
 * Bounds:  tokens_max verified tokens; unknown_max bad ones that an address may show within OX_KEY_UNKNOWN_S; the issuer is
 *          asked for its keys every refresh_ms, and for a key that is not known once in OX_JWKS_AGAIN_S.
 * Fails:   see include/ox/keystore.h. UNAVAILABLE while the issuer's keys are not there or are being asked for. Keys that were
 *          not heard of for OX_JWKS_STALE_S are none.
 * Flow:    gateway, API -> actors/control/cert_keys.c -> here -> the key cache; cmd/node_jwt.c -> _refresh.
 *
 * A token's tenant has to be there and active in the control plane, as a key's. Otherwise a token is good until it ends: its
 * issuer is not asked again, so that what he takes back goes on until then (jwt.max_age).
 */
#ifndef OX_JWT_KEYS_H
#define OX_JWT_KEYS_H

#include "ox/buf.h"
#include "ox/clock.h"
#include "ox/jwt.h"
#include "ox/keystore.h"

#define OX_JWKS_AGAIN_S 30
#define OX_JWKS_STALE_S 86400

/* Reads what stands at `url` into out (empty, initialised). Blocks; bounded in time and to OX_JWKS_BYTES_MAX. */
typedef ox_err (*ox_jwks_fetch_fn)(const char *url, const char *ca_file, struct ox_buf *out,
                                   struct ox_diag *diag);
/* By libcurl: no redirects, https with a verified name, or http. IO, TIMEOUT, TOO_LARGE. */
OX_MUST_USE ox_err ox_jwks_fetch(const char *url, const char *ca_file, struct ox_buf *out,
                                 struct ox_diag *diag);

struct ox_jwt_keys_options {
    struct ox_control_store *store; /* lend: that of `inner` */
    const struct ox_clock *clock;   /* lend */
    ox_jwks_fetch_fn fetch;         /* NULL = ox_jwks_fetch */
    uint32_t tokens_max;
    uint32_t unknown_max;
};

/* What the configuration says. Lends; copied. */
struct ox_jwt_setup {
    struct ox_jwt_rules rules; /* issuer "" = no token is taken */
    struct ox_str jwks;        /* the set of keys as a file holds it; empty = `jwks_url` has it */
    const char *jwks_url;
    const char *jwks_ca_file;
    uint64_t refresh_ms;
};

/* inner: take, also on failure. NULL on lack of memory. Takes no token before _take. */
struct ox_keystore *ox_jwt_keys_new(struct ox_keystore *inner, const struct ox_jwt_keys_options *options);
/* This holds from now on; tokens that were verified are verified anew. CONFIG, NOMEM: what was in force goes on. */
OX_MUST_USE ox_err ox_jwt_keys_take(struct ox_keystore *keys, const struct ox_jwt_setup *setup,
                                    struct ox_diag *diag);
/* Something has changed of this tenant, or of any (NULL). Any thread. */
void ox_jwt_keys_changed(struct ox_keystore *keys, const struct ox_tenant_id *tenant);
/* Whether the issuer should be asked for his keys now. Any thread; does not block. */
bool ox_jwt_keys_due(struct ox_keystore *keys);
/* Asks him. Blocks. On failure the keys that are known go on. */
OX_MUST_USE ox_err ox_jwt_keys_refresh(struct ox_keystore *keys, struct ox_diag *diag);

#endif
