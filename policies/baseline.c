/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/baseline.c - see include/ox/baseline.h.
 *
 * Owns:    nothing.
 * Threads: see there.
 * Fails:   CORRUPT.
 */
#include "ox/baseline.h"

#include <endian.h>
#include <math.h>

/* So many values, counted alike, have a mean as uncertain as the average that forgets: (2 - alpha) / alpha. */
#define REMEMBERED ((2 - OX_BASELINE_ALPHA) / OX_BASELINE_ALPHA)
/* A deviation below this part of the mean is what rounding makes of equal values. */
#define DEVIATION_MIN 1e-9
#define Z_MAX         1e9

void
ox_baseline_add(struct ox_baseline *baseline, double x)
{
    if (!isfinite(x))
        return;
    baseline->n += baseline->n < UINT64_MAX;
    double alpha = fmax(OX_BASELINE_ALPHA, 1 / (double)baseline->n);
    /* Differences, not sums of squares: nothing cancels when the mean is large beside the deviation. */
    double d = x - baseline->mean;
    baseline->mean += alpha * d;
    baseline->var = (1 - alpha) * (baseline->var + alpha * d * d);
}

double
ox_baseline_z(const struct ox_baseline *baseline, double x)
{
    double deviation = sqrt(baseline->var);
    if (baseline->n < OX_BASELINE_SILENT || !isfinite(x) || !isfinite(deviation) ||
        deviation <= DEVIATION_MIN * fmax(1, fabs(baseline->mean)))
        return 0;
    return fmin(Z_MAX, fmax(-Z_MAX, (x - baseline->mean) / deviation));
}

void
ox_baseline_merge(struct ox_baseline *into, const struct ox_baseline *from)
{
    double a = fmin((double)into->n, REMEMBERED), b = fmin((double)from->n, REMEMBERED);
    if (from->n == 0)
        return;
    double d = from->mean - into->mean, share = b / (a + b);
    into->mean += share * d;
    into->var = (1 - share) * into->var + share * from->var + share * (1 - share) * d * d;
    into->n = into->n > UINT64_MAX - from->n ? UINT64_MAX : into->n + from->n;
}

static void
put(uint8_t *out, uint64_t v)
{
    v = htole64(v);
    memcpy(out, &v, sizeof(v));
}

static uint64_t
get(const uint8_t *in)
{
    uint64_t v;
    memcpy(&v, in, sizeof(v));
    return le64toh(v);
}

void
ox_baseline_save(const struct ox_baseline *baseline, uint8_t out[OX_BASELINE_BYTES])
{
    uint64_t mean, var;
    memcpy(&mean, &baseline->mean, sizeof(mean));
    memcpy(&var, &baseline->var, sizeof(var));
    put(out, baseline->n);
    put(out + 8, mean);
    put(out + 16, var);
}

ox_err
ox_baseline_load(const uint8_t in[OX_BASELINE_BYTES], struct ox_baseline *out)
{
    uint64_t mean = get(in + 8), var = get(in + 16);
    struct ox_baseline b = {.n = get(in)};
    memcpy(&b.mean, &mean, sizeof(mean));
    memcpy(&b.var, &var, sizeof(var));
    if (!isfinite(b.mean) || !isfinite(b.var) || b.var < 0 || (b.n == 0 && (b.mean != 0 || b.var != 0)))
        return OX_E_CORRUPT;
    *out = b;
    return OX_OK;
}
