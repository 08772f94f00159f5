/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/pattern.c - see pattern.h.
 *
 * Owns:    nothing.
 * Threads: any.
 */
#include "policies/pattern.h"

/* The last '*' that was passed takes more when what follows does not fit. */
bool
ox__pattern_matches(struct ox_str pattern, struct ox_str text)
{
    size_t i = 0, k = 0, star = SIZE_MAX, from = 0;
    while (k < text.n) {
        if (i < pattern.n && pattern.p[i] == '*') {
            star = i++;
            from = k;
        } else if (i < pattern.n && pattern.p[i] == text.p[k]) {
            i++;
            k++;
        } else if (star != SIZE_MAX) {
            i = star + 1;
            k = ++from;
        } else {
            return false;
        }
    }
    while (i < pattern.n && pattern.p[i] == '*')
        i++;
    return i == pattern.n;
}
