/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/utf8.c - is it UTF-8?
 *
 * Owns:    nothing.
 * Threads: any.
 * Flow:    the decoder asks for each string; nearly all are ASCII, so that is checked 16 bytes at a time.
 */
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "ox/otlp.h"
#include "proto/utf8.h"

/* Length of the well-formed sequence at p (n bytes left), or 0. Table 3-7 of the Unicode standard. */
static size_t
sequence(const uint8_t *p, size_t n)
{
    uint8_t a = p[0];
    if (a < 0x80)
        return 1;
    size_t len = a >= 0xf0 ? 4 : a >= 0xe0 ? 3 : 2;
    if (a < 0xc2 || a > 0xf4 || n < len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    bool overlong = (a == 0xe0 && p[1] < 0xa0) || (a == 0xf0 && p[1] < 0x90);
    bool surrogate = a == 0xed && p[1] > 0x9f;
    bool beyond = a == 0xf4 && p[1] > 0x8f;
    return overlong || surrogate || beyond ? 0 : len;
}

size_t
ox__utf8_sequence(const uint8_t *p, size_t n)
{
    return sequence(p, n);
}

static size_t
ascii_prefix(const uint8_t *p, size_t n)
{
    size_t i = 0;
#ifdef __SSE2__
    for (; i + 16 <= n; i += 16) {
        if (_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(p + i))) != 0)
            return i;
    }
#endif
    for (; i + 8 <= n; i += 8) {
        uint64_t v;
        memcpy(&v, p + i, 8);
        if ((v & 0x8080808080808080u) != 0)
            return i;
    }
    return i;
}

bool
ox_utf8_valid(struct ox_str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    size_t i = ascii_prefix(p, s.n);
    while (i < s.n) {
        size_t len = sequence(p + i, s.n - i);
        if (len == 0)
            return false;
        i += len;
        if (len == 1 && s.n - i >= 16)
            i += ascii_prefix(p + i, s.n - i);
    }
    return true;
}
