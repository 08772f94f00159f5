/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/control/unknown_keys.h - keys that the store did not know, and the addresses that showed them.
 *
 * Owns:    a table of fixed size; what is noted displaces what was noted of the same address, or of one with the same hash.
 * Threads: any; short critical sections.
 * Bounds:  ADDRESSES addresses with UNKNOWN_EACH keys each. Within OX_KEY_UNKNOWN_S the store is asked for OX__UNKNOWN_ALL
 *          times the limit of unknown keys and once more per slot, whoever shows them.
 */
#ifndef OX_UNKNOWN_KEYS_H
#define OX_UNKNOWN_KEYS_H

#include "ox/control.h"

struct ox__unknown_keys;

/* Of all addresses together, in multiples of one's: beyond it only who has not shown an unknown key of late is asked for. */
#define OX__UNKNOWN_ALL 10

/* limit: unknown keys within OX_KEY_UNKNOWN_S after which an address is `limited`. NULL on lack of memory. */
struct ox__unknown_keys *ox__unknown_keys_new(uint32_t limit);
void ox__unknown_keys_free(struct ox__unknown_keys *u);

enum ox__unknown { OX__UNKNOWN_NOT, OX__UNKNOWN_KEY, OX__UNKNOWN_LIMITED };
/* What is known of a key that is not known: nothing, that it is unknown, or that its address shows too many. peer: an
 * address as text; IPv6 ones count by /64. */
enum ox__unknown ox__unknown_keys_look(struct ox__unknown_keys *u, const char *peer,
                                       const uint8_t digest[OX_KEY_DIGEST_BYTES], int64_t now_s);
/* era: what ox__unknown_keys_era said before the store was asked; when keys have changed since, it only counts. */
void ox__unknown_keys_note(struct ox__unknown_keys *u, const char *peer,
                           const uint8_t digest[OX_KEY_DIGEST_BYTES], int64_t now_s, uint32_t era);
uint32_t ox__unknown_keys_era(struct ox__unknown_keys *u);
/* Keys have changed: an unknown one may be known now. The counts stay. */
void ox__unknown_keys_forget(struct ox__unknown_keys *u);

#endif
