/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/exphist.c - see include/ox/exphist.h.
 *
 * Owns:    nothing.
 * Threads: any.
 */
#include "ox/exphist.h"

#include <math.h>

#define PER_DOUBLING (1 << OX_EXPHIST_SCALE)

/* ceil(2^63 * 2^(k/16)) for k = 1 to 15: a mantissa of 64 bits is above 2^(k/16) iff it is at least this, since those roots are
 * irrational. Worked out with 60 decimal digits; exphist_test.c works them out again. */
static const uint64_t roots[PER_DOUBLING - 1] = {
    0x85aac367cc487b15, 0x8b95c1e3ea8bd6e7, 0x91c3d373ab11c337, 0x9837f0518db8a970, 0x9ef5326091a111ae,
    0xa5fed6a9b15138eb, 0xad583eea42a14ac7, 0xb504f333f9de6485, 0xbd08a39f580c36bf, 0xc5672a115506dade,
    0xce248c151f8480e4, 0xd744fccad69d6af5, 0xe0ccdeec2a94e112, 0xeac0c6e7dd24392f, 0xf5257d152486cc2d,
};
_Static_assert(OX_EXPHIST_SCALE == 4, "the table has the 15 roots of scale 4");

int16_t
ox_exphist_index(uint64_t v)
{
    if (v == 0)
        return OX_EXPHIST_ZERO;
    int exponent = 63 - __builtin_clzll(v);
    uint64_t mantissa = v << (63 - exponent);
    if (mantissa == 1ull << 63) /* a power of two is the upper bound of its bucket */
        return (int16_t)(exponent * PER_DOUBLING - 1);
    unsigned below = 0; /* roots that are below the mantissa, found by halving */
    for (unsigned step = PER_DOUBLING / 2; step > 0; step /= 2)
        below += mantissa >= roots[below + step - 1] ? step : 0;
    return (int16_t)(exponent * PER_DOUBLING + (int)below);
}

double
ox_exphist_lower(int16_t index)
{
    return index == OX_EXPHIST_ZERO ? 0 : exp2((double)index / PER_DOUBLING);
}

double
ox_exphist_upper(int16_t index)
{
    return index == OX_EXPHIST_ZERO ? 0 : exp2(((double)index + 1) / PER_DOUBLING);
}

double
ox_exphist_quantile(const struct ox_exphist_bucket *buckets, size_t n, double q)
{
    double total = 0, seen = 0;
    for (size_t i = 0; i < n; i++)
        total += (double)buckets[i].count;
    double rank = q * total;
    for (size_t i = 0; i < n; i++) {
        double count = (double)buckets[i].count;
        if (count > 0 && (seen + count >= rank || seen + count >= total)) {
            double lower = ox_exphist_lower(buckets[i].index), upper = ox_exphist_upper(buckets[i].index);
            double share = (rank - seen) / count;
            return upper > 0 ? lower * pow(upper / lower, share < 0 ? 0 : share > 1 ? 1 : share) : 0;
        }
        seen += count;
    }
    return NAN;
}
