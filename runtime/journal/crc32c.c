/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/journal/crc32c.c - CRC-32C with the CPU's instruction, and by tables where there is none.
 *
 * Owns:    two tables, filled once before main.
 * Threads: any.
 *
 * The instruction takes three cycles but starts one per cycle, so three lanes run side by side over LANE
 * bytes each. CRC is linear: the state behind lanes A|B|C is shift(shift(a) ^ b) ^ c, where shift runs a
 * state over LANE zero bytes. shift is linear too, hence four table look-ups, one per byte of the state.
 */
#include "ox/crc32c.h"

#if defined(__SSE4_2__)
#include <nmmintrin.h>
#endif

/* The polynomial 0x1EDC6F41 with its bits reversed, as a register that shifts right needs it. */
#define POLY 0x82f63b78u
/* Long enough to hide the joining, short enough that most requests use it. */
#define LANE 1024u

static uint32_t bytewise[8][256]; /* [k][b]: state after byte b and k zero bytes */

static void __attribute__((constructor)) fill_bytewise(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) ? POLY : 0);
        bytewise[0][b] = crc;
    }
    for (uint32_t b = 0; b < 256; b++) {
        for (int k = 1; k < 8; k++)
            bytewise[k][b] = (bytewise[k - 1][b] >> 8) ^ bytewise[0][bytewise[k - 1][b] & 255];
    }
}

static uint32_t
soft_update(uint32_t state, const uint8_t *p, size_t n)
{
    for (; n >= 8; n -= 8, p += 8) {
        uint32_t lo, hi;
        memcpy(&lo, p, 4);
        memcpy(&hi, p + 4, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        lo = __builtin_bswap32(lo);
        hi = __builtin_bswap32(hi);
#endif
        lo ^= state;
        state = bytewise[7][lo & 255] ^ bytewise[6][lo >> 8 & 255] ^ bytewise[5][lo >> 16 & 255] ^
                bytewise[4][lo >> 24] ^ bytewise[3][hi & 255] ^ bytewise[2][hi >> 8 & 255] ^
                bytewise[1][hi >> 16 & 255] ^ bytewise[0][hi >> 24];
    }
    for (; n > 0; n--, p++)
        state = (state >> 8) ^ bytewise[0][(state ^ *p) & 255];
    return state;
}

uint32_t
ox_crc32c_soft(uint32_t crc, const void *bytes, size_t n)
{
    return ~soft_update(~crc, bytes, n);
}

#if defined(__SSE4_2__)

static uint32_t lane_shift[4]
                          [256]; /* [k][b]: byte k of a state is b: its share of the state LANE zeros later */

static void __attribute__((constructor)) fill_lane_shift(void)
{
    static const uint8_t zeros[LANE];
    fill_bytewise(); /* constructors come in no order that we could rely on */
    for (uint32_t k = 0; k < 4; k++) {
        for (uint32_t b = 0; b < 256; b++)
            lane_shift[k][b] = soft_update(b << (8 * k), zeros, LANE);
    }
}

static uint32_t
shift_lane(uint32_t state)
{
    return lane_shift[0][state & 255] ^ lane_shift[1][state >> 8 & 255] ^ lane_shift[2][state >> 16 & 255] ^
           lane_shift[3][state >> 24];
}

static uint64_t
load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static uint32_t
three_lanes(uint32_t state, const uint8_t *p)
{
    uint64_t a = state, b = 0, c = 0;
    for (size_t i = 0; i < LANE; i += 8) {
        a = _mm_crc32_u64(a, load64(p + i));
        b = _mm_crc32_u64(b, load64(p + LANE + i));
        c = _mm_crc32_u64(c, load64(p + 2 * LANE + i));
    }
    return shift_lane(shift_lane((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
}

uint32_t
ox_crc32c(uint32_t crc, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    uint32_t state = ~crc;
    for (; n >= 3 * LANE; n -= 3 * LANE, p += 3 * LANE)
        state = three_lanes(state, p);
    for (; n >= 8; n -= 8, p += 8)
        state = (uint32_t)_mm_crc32_u64(state, load64(p));
    for (; n > 0; n--, p++)
        state = _mm_crc32_u8(state, *p);
    return ~state;
}

#else

uint32_t
ox_crc32c(uint32_t crc, const void *bytes, size_t n)
{
    return ox_crc32c_soft(crc, bytes, n);
}

#endif
