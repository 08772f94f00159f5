/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_window.h - "the newest N" by walking back in time: a short window first, each next one
 * WINDOW_GROWTH times as long. A busy tenant's newest hundred rows lie in the first window, so that a
 * question over a day reads minutes; a quiet tenant's question costs a few statements more.
 *
 * Owns:    nothing; pure.
 * Threads: any.
 * Bounds:  some ten windows from five minutes to the age of the Unix epoch.
 */
#ifndef OX_QUERY_WINDOW_H
#define OX_QUERY_WINDOW_H

#include "actors/query/query_params.h"
#include "actors/query/query_time.h"

#define OX__WINDOW_FIRST_NS (300 * OX__NS_PER_S)
#define OX__WINDOW_GROWTH   12

/* The newest window of `range`: up to its end, back to five minutes before now (or before its end). */
static inline void
ox__window_first(const struct ox__range *range, uint64_t now_ns, struct ox__range *w)
{
    uint64_t anchor_ns = range->end_ns < now_ns ? range->end_ns : now_ns;
    *w = *range;
    if (anchor_ns > range->start_ns && anchor_ns - range->start_ns > OX__WINDOW_FIRST_NS)
        w->start_ns = anchor_ns - OX__WINDOW_FIRST_NS;
}

/* The window before `w`; false when `w` was the last. */
static inline bool
ox__window_next(const struct ox__range *range, struct ox__range *w)
{
    uint64_t length_ns = w->end_ns - w->start_ns;
    if (w->start_ns <= range->start_ns)
        return false;
    if (length_ns < OX__WINDOW_FIRST_NS)
        length_ns = OX__WINDOW_FIRST_NS;
    w->end_ns = w->start_ns;
    uint64_t left_ns = w->end_ns - range->start_ns;
    w->start_ns =
        left_ns / OX__WINDOW_GROWTH > length_ns ? w->end_ns - length_ns * OX__WINDOW_GROWTH : range->start_ns;
    return true;
}

#endif
