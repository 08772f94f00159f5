/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/key_table.h - known keys by digest: read by every request, written seldom.
 *
 * Owns:    its entries.
 * Threads: any. Shards with a lock for many readers each; a look-up holds it for one comparison and one copy.
 * Bounds:  `max` entries, and an eighth for uneven shards; beyond it the one not used for longest, of a few, goes.
 */
#ifndef OX_KEY_TABLE_H
#define OX_KEY_TABLE_H

#include "ox/keystore.h"

struct ox__key_table;

/* NULL on lack of memory. */
struct ox__key_table *ox__key_table_new(uint32_t max);
void ox__key_table_free(struct ox__key_table *t);

/* True and *out when the key is known and not expired at now_s; notes that it was used. */
bool ox__key_table_find(struct ox__key_table *t, const uint8_t digest[OX_KEY_DIGEST_BYTES], int64_t now_s,
                        struct ox_identity *out);
/* Whether it is there, expired or not; not a use. */
bool ox__key_table_has(struct ox__key_table *t, const uint8_t digest[OX_KEY_DIGEST_BYTES]);
/* Puts or replaces, unless *generation is not `expected` any more: false, and nothing was put. Without memory nothing is
 * put either, which costs another look-up. key->revoked_s is not looked at. now_s: when the store was asked. */
bool ox__key_table_put(struct ox__key_table *t, const struct ox_control_key *key, int64_t now_s,
                       const _Atomic uint64_t *generation, uint64_t expected);
void ox__key_table_remove(struct ox__key_table *t, const uint8_t digest[OX_KEY_DIGEST_BYTES]);
/* tenant NULL: all. */
void ox__key_table_remove_of(struct ox__key_table *t, const struct ox_tenant_id *tenant);
/* Uses that were not handed out within the minute before now_s, at most `room`; sorted by tenant. */
size_t ox__key_table_uses(struct ox__key_table *t, int64_t now_s, struct ox_control_use *out, size_t room);
/* Keys that the store was not asked for since now_s - every_s, at most `room`, of a few shards; the next call goes on with
 * the next ones. Each is handed out once in every_s. */
size_t ox__key_table_due(struct ox__key_table *t, int64_t now_s, int64_t every_s, struct ox_control_seen *out,
                         size_t room);
uint64_t ox__key_table_count(struct ox__key_table *t);

#endif
