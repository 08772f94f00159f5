/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/utf8.h - UTF-8 inside proto/: the short-string fast path and single sequences.
 *
 * Owns:    nothing.
 * Threads: any.
 */
#ifndef OX_PROTO_UTF8_H
#define OX_PROTO_UTF8_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "ox/otlp.h"

/* Length of the well-formed sequence at p with n >= 1 bytes left, or 0. */
size_t ox__utf8_sequence(const uint8_t *p, size_t n);

/* Whether all bytes are below 128. Loads overlap at the end instead of going byte by byte. */
static inline bool
ox__ascii(const uint8_t *p, size_t n)
{
    const uint64_t high = 0x8080808080808080u;
    uint64_t a, b;
    uint32_t c, e;
    if (n >= 16) {
#ifdef __SSE2__
        __m128i or = _mm_loadu_si128((const __m128i *)(p + n - 16));
        for (size_t i = 0; i + 16 < n; i += 16)
            or = _mm_or_si128(or, _mm_loadu_si128((const __m128i *)(p + i)));
        return _mm_movemask_epi8(or) == 0;
#else
        memcpy(&b, p + n - 8, 8);
        for (size_t i = 0; i + 8 < n; i += 8) {
            memcpy(&a, p + i, 8);
            b |= a;
        }
        return (b & high) == 0;
#endif
    }
    if (n >= 8) {
        memcpy(&a, p, 8);
        memcpy(&b, p + n - 8, 8);
        return ((a | b) & high) == 0;
    }
    if (n >= 4) {
        memcpy(&c, p, 4);
        memcpy(&e, p + n - 4, 4);
        return ((c | e) & (uint32_t)high) == 0;
    }
    uint8_t or = 0;
    for (size_t i = 0; i < n; i++)
        or |= p[i];
    return or < 0x80;
}

/* ox_utf8_valid with the common case, ASCII, inline. */
static inline bool
ox__utf8_ok(struct ox_str s)
{
    return OX_LIKELY(ox__ascii((const uint8_t *)s.p, s.n)) || ox_utf8_valid(s);
}

#endif
