/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/ranges.h - sets of record ordinals as sorted, merged ranges [from, to).
 *
 * Owns:    the array of a set once it has more than one range.
 * Threads: one owner at a time.
 * Bounds:  at most one range per two ordinals.
 * Fails:   OX_E_NOMEM.
 */
#ifndef OX_RANGES_H
#define OX_RANGES_H

#include "ox/base.h"

struct ox_range {
    uint32_t from;
    uint32_t to; /* exclusive; from < to */
};

/* Zeroed = empty. Most requests have one range, so the first lies inside. */
struct ox_ranges {
    struct ox_range one;
    struct ox_range *many; /* NULL while `one` is enough */
    uint32_t n;
    uint32_t cap;
};

void ox_ranges_fini(struct ox_ranges *r);
/* Empties, keeps memory. */
void ox_ranges_reset(struct ox_ranges *r);
static inline const struct ox_range *
ox_ranges_at(const struct ox_ranges *r)
{
    return r->many != NULL ? r->many : &r->one;
}
/* Adds [from, to). *added (may be NULL) = ordinals that were not in the set before. NOMEM leaves it as it
 * was. */
OX_MUST_USE ox_err ox_ranges_add(struct ox_ranges *r, uint32_t from, uint32_t to, uint32_t *added);
bool ox_ranges_has(const struct ox_ranges *r, uint32_t ordinal);
/* How many ordinals of [from, to) are in the set. */
uint32_t ox_ranges_count(const struct ox_ranges *r, uint32_t from, uint32_t to);
/* *out = [0, n) without the set; replaces what was in it. */
OX_MUST_USE ox_err ox_ranges_complement(const struct ox_ranges *r, uint32_t n, struct ox_ranges *out);

#endif
