/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/random.c - seeded numbers (xoshiro256**, seeded by splitmix64) and the kernel's random bytes.
 *
 * Owns:    nothing; generators are their callers'.
 * Threads: a generator: one at a time.
 * Fails:   IO from ox_random_os.
 */
#include "ox/random.h"

#include <errno.h>
#include <sys/random.h>

static uint64_t
splitmix(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static uint64_t
rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void
ox_random_seed(struct ox_random *rnd, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        rnd->s[i] = splitmix(&seed);
}

uint64_t
ox_random_u64(struct ox_random *rnd)
{
    uint64_t *s = rnd->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t
ox_random_below(struct ox_random *rnd, uint64_t n)
{
    OX_ASSERT(n > 0);
    uint64_t floor =
        -n % n; /* below it the remainders are not evenly spread; less than one retry on average */
    uint64_t x;
    do {
        x = ox_random_u64(rnd);
    } while (x < floor);
    return x % n;
}

double
ox_random_double(struct ox_random *rnd)
{
    return (double)(ox_random_u64(rnd) >> 11) * 0x1.0p-53;
}

void
ox_random_bytes(struct ox_random *rnd, void *out, size_t n)
{
    uint8_t *o = out;
    while (n > 0) {
        uint64_t x = ox_random_u64(rnd);
        size_t take = n < sizeof(x) ? n : sizeof(x);
        memcpy(o, &x, take);
        o += take;
        n -= take;
    }
}

ox_err
ox_random_os(void *out, size_t n)
{
    uint8_t *o = out;
    while (n > 0) {
        ssize_t got = getrandom(o, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return OX_E_IO;
        o += got;
        n -= (size_t)got;
    }
    return OX_OK;
}
