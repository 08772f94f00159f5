/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_hist.h - quantiles from histogram buckets of any layout.
 *
 * Owns:    the buckets until _fini.
 * Threads: any; pure.
 */
#ifndef OX_QUERY_HIST_H
#define OX_QUERY_HIST_H

#include "ox/base.h"

struct ox__hist_bucket {
    double lo, hi; /* values in (lo, hi] */
    double count;
};

struct ox__hist {
    struct ox__hist_bucket *buckets;
    uint32_t n, cap;
    bool failed; /* no memory */
};

/* Adds `count` values between lo and hi; nothing for a count of zero. Equal neighbours are merged. */
void ox__hist_add(struct ox__hist *h, double lo, double hi, double count);
/* The value below which a share q (0..1) of all counts lies, interpolated inside its bucket; NaN when empty.
 */
double ox__hist_quantile(struct ox__hist *h, double q);
void ox__hist_fini(struct ox__hist *h);

/* Upper bound of bucket `index` of an exponential histogram: base^(index+1) with base 2^(2^-scale). */
double ox__hist_exp_bound(int32_t scale, int64_t index);

#endif
