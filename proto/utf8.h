/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/utf8.h - UTF-8 inside proto/: the short-string fast path and single sequences.
 *
 * Owns:    nothing.
 * Threads: any.
 */
#ifndef OX_PROTO_UTF8_H
#define OX_PROTO_UTF8_H

#include "ox/otlp.h"

/* Length of the well-formed sequence at p with n >= 1 bytes left, or 0. */
size_t ox__utf8_sequence(const uint8_t *p, size_t n);

/* ox_utf8_valid with the common case, short ASCII, inline. */
static inline bool
ox__utf8_ok(struct ox_str s)
{
    const uint64_t high = 0x8080808080808080u;
    uint64_t a, b;
    if (s.n >= 8 && s.n <= 16) {
        memcpy(&a, s.p, 8);
        memcpy(&b, s.p + s.n - 8, 8);
        if (OX_LIKELY(((a | b) & high) == 0))
            return true;
    } else if (s.n < 8) {
        uint8_t or = 0;
        for (size_t i = 0; i < s.n; i++)
            or |= (uint8_t)s.p[i];
        if (OX_LIKELY(or < 0x80))
            return true;
    }
    return ox_utf8_valid(s);
}

#endif
