/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_sampled.c - see query_sampled.h.
 *
 * Owns, Threads: see there.
 * Flow:    a statement's sums -> here -> `meta.sampling` (query_call.c), a service's `sampling` (query_services.c).
 */
#include "actors/query/query_sampled.h"

#include <stdio.h>

#include "ox/sampling.h"

void
ox__sums_read(struct ox__rows *r, struct ox__sums *sums)
{
    *sums = (struct ox__sums){.stored = ox__rows_u64(r)};
    sums->certain = ox__rows_f64(r);
    sums->weights = ox__rows_f64(r);
    sums->excess = ox__rows_f64(r);
    sums->top = ox__rows_f64(r);
    sums->stands_for = sums->certain + sums->weights;
}

void
ox__sums_span(struct ox__sums *sums, double weight)
{
    sums->stored++;
    sums->stands_for += weight;
}

void
ox__sums_add(struct ox__sums *sums, const struct ox__sums *more)
{
    sums->stored += more->stored;
    sums->stands_for += more->stands_for;
    sums->certain += more->certain;
    sums->weights += more->weights;
    sums->excess += more->excess;
    sums->top = more->top > sums->top ? more->top : sums->top;
}

/* Weights of 1 add up to their number, exactly. */
bool
ox__sums_sampled(const struct ox__sums *sums)
{
    return sums->stands_for > (double)sums->stored;
}

double
ox__sums_rate(const struct ox__sums *sums)
{
    return ox__sums_sampled(sums) ? (double)sums->stored / sums->stands_for : 1;
}

static void
write_member(struct ox__json *j, const char *key, const char *suffix, double value)
{
    char name[32];
    snprintf(name, sizeof(name), "%s%s", key, suffix);
    ox__qjson_kdouble(j, name, value);
}

void
ox__sums_write(struct ox__json *j, const char *key, const struct ox__sums *sums, bool bounded, double top)
{
    char name[32];
    double low, high;
    snprintf(name, sizeof(name), "%s_stored", key);
    ox__qjson_ku64(j, name, sums->stored);
    ox__qjson_kdouble(j, key, sums->stands_for);
    if (!bounded)
        return;
    ox_sampling_interval(sums->certain, sums->weights, sums->excess, top, &low, &high);
    /* What is stored was there. */
    write_member(j, key, "_low", low > (double)sums->stored ? low : (double)sums->stored);
    write_member(j, key, "_high", high);
}
