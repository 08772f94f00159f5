/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/token_table.h - what was verified a while ago and is good until its time: by digest, of a fixed size.
 *
 * Owns:    its entries.
 * Threads: any; a look-up holds the lock of one set for one comparison and one copy.
 * Bounds:  the number given; a full set of WAYS loses the entry not used for longest.
 */
#ifndef OX_TOKEN_TABLE_H
#define OX_TOKEN_TABLE_H

#include "ox/keystore.h"

struct ox__token_table;

/* NULL on lack of memory. */
struct ox__token_table *ox__token_table_new(uint32_t max);
/* NULL is allowed. */
void ox__token_table_free(struct ox__token_table *t);

/* True and *out while it is good. */
bool ox__token_table_find(struct ox__token_table *t, const uint8_t digest[OX_KEY_DIGEST_BYTES], int64_t now_s,
                          struct ox_identity *out);
/* Unless something was removed since `era` was asked for: then what is to be put may be what was removed. False: nothing was
 * put. */
bool ox__token_table_put(struct ox__token_table *t, const uint8_t digest[OX_KEY_DIGEST_BYTES],
                         const struct ox_identity *who, int64_t until_s, int64_t now_s, uint64_t era);
uint64_t ox__token_table_era(struct ox__token_table *t);
void ox__token_table_remove(struct ox__token_table *t, const uint8_t digest[OX_KEY_DIGEST_BYTES]);
/* tenant NULL: all. */
void ox__token_table_remove_of(struct ox__token_table *t, const struct ox_tenant_id *tenant);
uint64_t ox__token_table_count(struct ox__token_table *t);

#endif
