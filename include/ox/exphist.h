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
 * with base^i < v <= base^(i+1). The middle of a bucket is at most (base-1)/(base+1) = 2.2 % from any value in it, so
 * that is the error of a quantile. Zero has a bucket of its own. These indexes stand in stored data: they never change.
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

#endif
