/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/sampler/trace_buffer_internal.h - what trace_buffer.c (who waits) and decide.c (what becomes of them) share.
 *
 * Owns:    see trace_buffer.h.
 * Threads: one owner.
 */
#ifndef OX_SAMPLER_TRACE_BUFFER_INTERNAL_H
#define OX_SAMPLER_TRACE_BUFFER_INTERNAL_H

#include "actors/sampler/trace_buffer.h"
#include "actors/sampler/wheel.h"

#define OX__CHUNK_SPANS 4096u /* a power of two */

/* Places in tables are kept plus 1: 0 is none, so that zeroed memory is empty. */
struct ox__trace {
    uint8_t id[16];
    uint32_t chain;        /* of the same hash; of a free one: the next free */
    uint32_t first;        /* its newest span */
    uint32_t n, n_spans;   /* with and without links */
    uint32_t older, newer; /* of its list */
    uint64_t first_ns, last_ns;
    uint64_t due_ns;
    uint64_t any, root_bits; /* clauses */
    uint64_t root_start_ns, root_id;
    uint64_t randomness;
    uint64_t head_threshold;
    uint64_t quiet_ns;
    struct ox_trace_decision before; /* late: what the trace was decided to */
    uint16_t first_service;
    bool late, has_root, has_rv, valued;
    bool root_sampled; /* the flag of the span that is taken for the root */
};

struct ox__trace_list {
    uint32_t oldest, newest;
};

struct ox_trace_buffer {
    struct ox_trace_buffer_options options;
    const struct ox_sampling *rules;
    struct ox_sampling_needs needs;
    ox_trace_decided_fn decided;
    void *arg;
    /* waiting spans */
    struct ox__span_features **chunks;
    uint32_t n_chunks, free_span, n_spans; /* n_spans with links */
    /* waiting traces */
    struct ox__trace *traces;
    uint32_t *heads;
    uint32_t heads_mask, n_traces, used_traces, free_trace;
    struct ox__trace_list plain, valued; /* by age; those with an error go last */
    struct ox__wheel wheel;
    /* what is known */
    struct ox__services names;
    struct ox_sampling_memory *memory;
    struct ox_trace_decisions *decisions;
    struct ox_budget budget;
    /* for one decision */
    struct ox__edges edges;
    struct ox_trace_position *positions;
    uint32_t cap_positions;
    struct ox_trace_buffer_stats stats;
};

static inline struct ox__span_features *
ox__span_at(const struct ox_trace_buffer *b, uint32_t place)
{
    return &b->chunks[(place - 1) / OX__CHUNK_SPANS][(place - 1) % OX__CHUNK_SPANS];
}

/* Decides a trace and tells of it. What it held is the caller's to release. */
void ox__trace_decide(struct ox_trace_buffer *b, struct ox__trace *t, enum ox_decided_why why,
                      uint64_t now_ns);
/* Room for the decision of a trace with so many spans and links. */
OX_MUST_USE ox_err ox__trace_reserve(struct ox_trace_buffer *b, uint32_t n);

#endif
