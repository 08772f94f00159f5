/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/mix.h - one word to another in which every bit depends on every bit.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 *
 * For the places of tables whose keys a sender chooses: with a seed that he does not know he cannot choose them so that they all
 * meet in one place.
 */
#ifndef OX_MIX_H
#define OX_MIX_H

#include <stdint.h>

/* The finalizer of MurmurHash3. */
static inline uint64_t
ox_mix64(uint64_t v)
{
    v = (v ^ v >> 33) * 0xff51afd7ed558ccdull;
    v = (v ^ v >> 33) * 0xc4ceb9fe1a85ec53ull;
    return v ^ v >> 33;
}

#endif
