/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/key_cache.h - the key store of the hot path: what is known of keys, and how it stays true.
 *
 * Owns:    the control store below it, and the development store beside it.
 * Threads: identify from any and never blocks; look_up and the functions below block: lanes and dirty threads. watch: one
 *          thread at a time.
 * Bounds:  keys_max known keys (and an eighth for uneven shards); unknown ones and their addresses apart, in tables of fixed
 *          size, so that they displace no known key.
 * Fails:   see include/ox/keystore.h. While the store does not answer, known keys go on, for stale_max_ms, and others are
 *          UNAVAILABLE. A changed record that it cannot read, though it answers, is forgotten.
 * Flow:    gateway, API -> identify; AGAIN -> a lane -> look_up; actors/control/control_actor.c -> watch, flush.
 */
#ifndef OX_KEY_CACHE_H
#define OX_KEY_CACHE_H

#include "ox/actor.h"
#include "ox/clock.h"
#include "ox/control.h"
#include "ox/keystore.h"

struct ox_key_cache_options {
    struct ox_control_store *store; /* take, also on failure */
    struct ox_keystore *dev;        /* take, also on failure; NULL = every request needs a key that is kept */
    const struct ox_clock *clock;   /* lend */
    uint32_t keys_max;
    uint32_t unknown_max; /* unknown keys that one address may show within OX_KEY_UNKNOWN_S; then 429 */
    uint64_t
        stale_max_ms; /* without news of changes; then no key is known any more. 0 = known keys go on for ever */
    /* Something has changed of this tenant as a whole, or so much was missed that it may be any (NULL); also NULL when
     * stale_max_ms has passed. On the thread that watches, and before it in _new; may be NULL. */
    void (*on_change)(void *ctx, const struct ox_tenant_id *tenant);
    void *ctx;
};

#define OX_KEY_UNKNOWN_S   10
#define OX_KEY_ASK_AGAIN_S 300 /* after so long the store is asked whether a key is still what it was */

/* NULL on lack of memory. Asks the store where its changes stand: main, or whoever may block. */
struct ox_keystore *ox_key_cache_new(const struct ox_key_cache_options *options);

/* Waits for changes, at most timeout_ms, and takes them: what was revoked is unknown when this returns. UNAVAILABLE and the
 * like when the store does not answer; then nothing is lost, the next call takes them. */
OX_MUST_USE ox_err ox_key_cache_watch(struct ox_keystore *cache, uint32_t timeout_ms, struct ox_diag *diag);
/* Ends a watch that waits. Any thread; does not block. */
void ox_key_cache_wake(struct ox_keystore *cache);
/* Writes down when keys were used last, those that are due: each at most once a minute. Fifty by fifty, for a fifth of a
 * second and as long as the last ones take; the next call goes on with what is left. The thread that watches. */
OX_MUST_USE ox_err ox_key_cache_flush(struct ox_keystore *cache, struct ox_diag *diag);

struct ox_key_cache_status {
    bool up;           /* the store answered when it was asked last */
    uint64_t stale_ms; /* since the last news of changes */
    uint64_t keys;     /* known */
};
/* Any thread; does not block. */
void ox_key_cache_status(struct ox_keystore *cache, struct ox_key_cache_status *out);

/* ---- the actor that keeps it true: watches and flushes on a lane of its own, for ever ---- */

/* Argument of ox_control_class; lives as long as the runtime. */
struct ox_control_arg {
    struct ox_keystore *cache;
    struct ox_lane *lane;
    /* the lane's */
    ox_err err;
    uint64_t flushed_ns;
};
extern const struct ox_actor_class ox_control_class;

#endif
