/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/baseline.h - what is usual: a mean and a variance that forget, and how far a value is from them.
 *
 * Owns:    nothing; a baseline is three numbers, copied as they are.
 * Threads: one at a time; pure.
 * Fails:   CORRUPT for saved bytes that are no baseline.
 * Flow:    policies/sampling_memory.c: duration -> ox_baseline_z, then ox_baseline_add -> score of the trace.
 *
 * Exponentially weighted moving averages (S. W. Roberts, "Control Chart Tests Based on Geometric Moving Averages",
 * Technometrics 1, 1959). With alpha 0.05 a value counts for half after 14 more. The first 20 values count alike (their
 * mean and variance, alpha = 1/n), so that the very first has no more weight than others: otherwise it would still have
 * a fifth of all after 30.
 */
#ifndef OX_BASELINE_H
#define OX_BASELINE_H

#include "ox/base.h"

#define OX_BASELINE_ALPHA 0.05
#define OX_BASELINE_SILENT                                                                                   \
    30 /* values before which it says nothing: one outlier would be most of what is known */

struct ox_baseline {
    uint64_t n; /* values seen */
    double mean;
    double var; /* around the mean, with the same weights */
};

/* Learns x; a value that is not finite is none. Zeroed memory is an empty baseline. */
void ox_baseline_add(struct ox_baseline *baseline, double x);
/* How many standard deviations x lies above the mean: 0 while silent, and where there is no variance to measure with,
 * be it that rounding left a trace of one. Always finite. */
double ox_baseline_z(const struct ox_baseline *baseline, double x);
/* As if `into` had also seen what `from` did, each with the weight of what it still remembers. from: lend. */
void ox_baseline_merge(struct ox_baseline *into, const struct ox_baseline *from);

/* The same on every machine: n, mean and var, little endian. */
#define OX_BASELINE_BYTES 24
void ox_baseline_save(const struct ox_baseline *baseline, uint8_t out[OX_BASELINE_BYTES]);
OX_MUST_USE ox_err ox_baseline_load(const uint8_t in[OX_BASELINE_BYTES], struct ox_baseline *out);

#endif
