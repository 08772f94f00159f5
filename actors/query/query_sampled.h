/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_sampled.h - for how many spans the stored ones stand, and between which bounds that number lies.
 *
 * Owns:    nothing.
 * Threads: one at a time.
 *
 * Spans of a trace are kept or dropped together, so it is traces whose numbers vary: a statement groups by trace_id
 * first (its spans: n, the sum of their weights: w) and then adds up OX__SUMS_COLUMNS. docs/sampling.md, "Why it is
 * true".
 */
#ifndef OX_QUERY_SAMPLED_H
#define OX_QUERY_SAMPLED_H

#include "actors/query/query_json.h"
#include "actors/query/query_rows.h"

/* Zeroed: nothing counted. */
struct ox__sums {
    uint64_t stored; /* rows */
    double stands_for;
    /* as ox_sampling_interval asks for them; the unit is a trace's spans */
    double certain, weights, excess, top;
};

/* Of n and w, read by ox__sums_read in this order. */
#define OX__SUMS_COLUMNS(n, w)                                                                               \
    "sum(" n "), toFloat64(sumIf(" w ", " w " = " n ")), toFloat64(sumIf(" w ", " w " != " n                 \
    ")), toFloat64(sumIf(" w " * (" w " - " n "), " w " != " n ")), toFloat64(maxIf(" w ", " w " != " n "))"

void ox__sums_read(struct ox__rows *r, struct ox__sums *sums);
/* One more span; no bounds come of these. */
void ox__sums_span(struct ox__sums *sums, double weight);
/* Sums over other traces, or other spans of the same. */
void ox__sums_add(struct ox__sums *sums, const struct ox__sums *more);
/* Whether some of what is counted stands for more than itself. */
bool ox__sums_sampled(const struct ox__sums *sums);
/* Stored rows / what they stand for; 1 of nothing. */
double ox__sums_rate(const struct ox__sums *sums);
/* The members KEY_stored, KEY, KEY_low, KEY_high: the last two, the bounds of 95 %, only if `bounded`. top: the largest
 * weight that something of the kind may have had, see ox_sampling_interval. */
void ox__sums_write(struct ox__json *j, const char *key, const struct ox__sums *sums, bool bounded,
                    double top);

#endif
