/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/session_keys.h - a key store that also knows the sessions of users by their cookies.
 *
 * Owns:    the key store below it, and which sessions were looked up.
 * Threads: identify from any and never blocks; look_up blocks: lanes and dirty threads.
 * Bounds:  sessions_max known ones, each for OX_SESSION_SEEN_S, then it is looked up again; unknown_max unknown ones that an
 *          address may show within OX_KEY_UNKNOWN_S.
 * Fails:   see include/ox/keystore.h. UNAUTHENTICATED: the session has ended; in development mode it is as if none was shown.
 * Flow:    API -> actors/control/cert_keys.c -> here -> the stores of tokens and keys.
 *
 * A key beside a cookie says who it is, and the cookie nothing.
 */
#ifndef OX_SESSION_KEYS_H
#define OX_SESSION_KEYS_H

#include "ox/clock.h"
#include "ox/keystore.h"
#include "ox/user_store.h"

struct ox_session_keys_options {
    struct ox_user_store *users;  /* lend */
    const struct ox_clock *clock; /* lend */
    int64_t idle_s;               /* a session not seen for so long has ended */
    uint32_t sessions_max;
    uint32_t unknown_max;
    bool development;
};

/* inner: take, also on failure. NULL on lack of memory. */
struct ox_keystore *ox_session_keys_new(struct ox_keystore *inner,
                                        const struct ox_session_keys_options *options);
/* Something has changed of this tenant, or of any (NULL). Any thread. */
void ox_session_keys_changed(struct ox_keystore *keys, const struct ox_tenant_id *tenant);

#endif
