/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/exphist.h - the buckets into which durations are counted.
 *
 * Owns:    nothing; pure functions.
 * Threads: any.
 * Flow:    actors/writer/span_stats.c counts, actors/query asks for quantiles.
 *
 * Base-2 exponential buckets of OpenTelemetry's metrics data model ("Exponential buckets" in "ExponentialHistogram",
 * https://opentelemetry.io/docs/specs/otel/metrics/data-model/) at scale 4: base = 2^(1/16), and bucket i holds the values v
 * with base^i < v <= base^(i+1). A bucket is 4.4 % wide: a quantile is wrong by less than that. Zero has a bucket of its own. These indexes stand in stored data: they never change.
 */
#ifndef OX_EXPHIST_H
#define OX_EXPHIST_H

#include "ox/base.h"

#define OX_EXPHIST_SCALE 4
#define OX_EXPHIST_ZERO  INT16_MIN /* the bucket of the value 0 */

/* The bucket of v: OX_EXPHIST_ZERO, else -1 (v = 1) to 1023. */
int16_t ox_exphist_index(uint64_t v);

/* The bounds of a bucket, lower exclusive, upper inclusive; 0 and 0 for OX_EXPHIST_ZERO. */
double ox_exphist_lower(int16_t index);
double ox_exphist_upper(int16_t index);

/* Count of one bucket. */
struct ox_exphist_bucket {
    int16_t index;
    uint64_t count;
};

/*
 * The value below which a share q (0 to 1) of all counts lies: within the bounds of its bucket, interpolated by logarithm.
 * buckets: lend, in order of their indexes. NaN when nothing was counted.
 */
double ox_exphist_quantile(const struct ox_exphist_bucket *buckets, size_t n, double q);

#endif
