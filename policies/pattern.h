/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/pattern.h - names with '*' in them.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 */
#ifndef OX_POLICIES_PATTERN_H
#define OX_POLICIES_PATTERN_H

#include "ox/base.h"

/* Whether all of `text` is what the pattern says: '*' stands for any characters, everything else for itself. */
bool ox__pattern_matches(struct ox_str pattern, struct ox_str text);

#endif
