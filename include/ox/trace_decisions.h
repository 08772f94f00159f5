/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/trace_decisions.h - what became of the last traces, so that late spans go the same way.
 *
 * Owns:    its arrays.
 * Threads: one at a time.
 * Bounds:  the capacity given to _new, at 18 bytes per trace, taken at once; the oldest decision goes first.
 * Fails:   CORRUPT, INVALID for saved bytes.
 * Flow:    actors/sampler/trace_buffer.c: decision -> _put; late span -> _get.
 *
 * A trace is known by 64 mixed bits of its id. That a lookup of an unknown trace finds another's decision has the
 * probability n / 2^64 with n entries: 6 in 10^14 for a million. It would then follow that decision, and be weighted by
 * it.
 */
#ifndef OX_TRACE_DECISIONS_H
#define OX_TRACE_DECISIONS_H

#include "ox/buf.h"

struct ox_trace_decision {
    bool kept;
    uint8_t winner;     /* enum ox_sampling_winner */
    uint8_t rule;       /* below OX_SAMPLING_RULES_MAX */
    uint64_t threshold; /* rounded to OX_THRESHOLD_DIGITS, or NEVER */
};

struct ox_trace_decisions;

/* capacity: 1 to 2^28. seed: what senders do not know, the same wherever decisions are to be loaded. NULL without memory. */
struct ox_trace_decisions *ox_trace_decisions_new(uint32_t capacity, uint64_t seed);
void ox_trace_decisions_free(struct ox_trace_decisions *d);
uint32_t ox_trace_decisions_count(const struct ox_trace_decisions *d);
size_t ox_trace_decisions_bytes(const struct ox_trace_decisions *d);

/* A trace that is known already gets the new decision, and stays as old as it was. decision: lend. */
void ox_trace_decisions_put(struct ox_trace_decisions *d, const uint8_t trace_id[16],
                            const struct ox_trace_decision *decision);
/* False: not known (any more). */
bool ox_trace_decisions_get(const struct ox_trace_decisions *d, const uint8_t trace_id[16],
                            struct ox_trace_decision *out);

/* All, oldest first, appended to out: 12 bytes each. Loading puts them in that order.
 * CORRUPT and INVALID (of another seed) change nothing. */
void ox_trace_decisions_save(const struct ox_trace_decisions *d, struct ox_buf *out);
OX_MUST_USE ox_err ox_trace_decisions_load(struct ox_trace_decisions *d, struct ox_str bytes);

#endif
