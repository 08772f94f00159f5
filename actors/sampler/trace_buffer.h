/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/sampler/trace_buffer.h - spans wait here until their trace is decided.
 *
 * Owns:    features of the waiting spans, what was learned of the tenant, the last decisions. No span itself: that
 *          stands in the log, and is read there again if it is kept.
 * Threads: one owner; the time is the caller's.
 * Bounds:  ox_trace_buffer_options. Past spans_max or traces_max the oldest trace without an error is decided with what
 *          is known of it, then the oldest at all; a trace of trace_spans_max at once.
 * Fails:   NOMEM when it is made. After that it only decides earlier.
 * Flow:    batch -> _add; timer -> _tick; both -> decide.c -> ox_trace_decided_fn, once for every span that was added.
 *
 * A trace is decided when its root is here and nothing came for `quiet`, or when it has waited for `wait`. Both adapt
 * between their bounds: quiet to the p95 of how late the spans of its services arrive, wait to the p95 of how long
 * traces that began with the same service took to be whole.
 *
 * Late spans, those of a trace that was decided, wait for `quiet` together and then go the way of their trace, unless a
 * keep rule wants them with a greater probability than the trace had: then p is the larger of both, for them and all
 * that come later. What was dropped before stays dropped. Since both probabilities are compared with the same R,
 * weights stay right.
 */
#ifndef OX_SAMPLER_TRACE_BUFFER_H
#define OX_SAMPLER_TRACE_BUFFER_H

#include "actors/sampler/edges.h"
#include "ox/trace_decisions.h"
#include "ox/tracestate.h"

struct ox_trace_buffer_options {
    uint32_t spans_max;       /* 64 bytes each, taken by the 4,096 */
    uint32_t traces_max;      /* some 180 bytes each */
    uint32_t trace_spans_max; /* of one trace */
    uint32_t names_max;       /* services and peers */
    uint32_t operations_max;  /* see ox_sampling_memory_new */
    uint32_t decisions_max;   /* see ox_trace_decisions_new */
    uint64_t quiet_min_ns, quiet_max_ns;
    uint64_t wait_min_ns, wait_max_ns;
    uint64_t
        seed; /* what senders do not know; the same in every process that loads the decisions of another */
};
void ox_trace_buffer_options_default(struct ox_trace_buffer_options *options);

enum ox_decided_why {
    OX_WHY_ROOT,     /* its root is here, and nothing came any more */
    OX_WHY_WAIT,     /* it waited long enough */
    OX_WHY_PRESSURE, /* there was no room for more */
    OX_WHY_SIZE,     /* it has too many spans itself */
    OX_WHY_LATE,     /* spans of a trace that was decided before */
    OX_WHY_FLUSH,    /* new rules, or the end */
    OX_WHY__COUNT
};
/* "root", "wait", ... */
const char *ox_decided_why_name(enum ox_decided_why why);

struct ox_trace_position {
    uint64_t wal_seq;
    uint32_t ordinal;
};

/* All of it is lent until the function returns. */
struct ox_trace_decided {
    uint8_t trace_id[16];
    struct ox_trace_decision
        decision; /* threshold: for spans without one of their own, see ox_sampling_weight */
    double p, score;
    uint8_t why;   /* enum ox_decided_why */
    bool biased;   /* decided before all was known, for want of room: the window must say so */
    bool promoted; /* LATE: kept, though the trace was dropped */
    uint64_t waited_ns;
    const struct ox_trace_position *spans; /* in order */
    uint32_t n_spans;
    const struct ox_edge_call *calls; /* counted whether kept or not */
    uint32_t n_calls;
};
/* Must not call the buffer. */
typedef void (*ox_trace_decided_fn)(void *arg, const struct ox_trace_decided *decided);

struct ox_trace_buffer_stats {
    uint64_t spans, late_spans;
    uint64_t traces[OX_WHY__COUNT];
    uint64_t kept_traces[OX_WON__COUNT], dropped_traces; /* without LATE */
    uint64_t kept_spans, dropped_spans, promoted_spans;
    uint64_t faults[OX_TRACESTATE__COUNT]; /* of tracestate, by span */
    uint64_t links_elsewhere;              /* to other traces: no edge is made of them */
};

struct ox_trace_buffer;

/* rules: lend, until others are set. */
OX_MUST_USE ox_err ox_trace_buffer_new(const struct ox_trace_buffer_options *options,
                                       const struct ox_sampling *rules, uint64_t now_ns,
                                       ox_trace_decided_fn decided, void *arg, struct ox_trace_buffer **out);
/* What waits is forgotten: the log has it. */
void ox_trace_buffer_free(struct ox_trace_buffer *b);
/* What waits is decided by the old rules first. */
void ox_trace_buffer_set_rules(struct ox_trace_buffer *b, const struct ox_sampling *rules, uint64_t now_ns);

/* All spans of a batch that are not rejected. batch: lend; wal_seq and received_ns are set. */
void ox_trace_buffer_add(struct ox_trace_buffer *b, const struct ox_batch *batch, uint64_t now_ns);
/* Decides what is due, at most so many traces; true when that was all. */
bool ox_trace_buffer_tick(struct ox_trace_buffer *b, uint64_t now_ns, uint32_t traces_max);
/* When to call _tick; UINT64_MAX when nothing waits. */
uint64_t ox_trace_buffer_next_ns(const struct ox_trace_buffer *b);
/* Decides everything. */
void ox_trace_buffer_flush(struct ox_trace_buffer *b, uint64_t now_ns);

uint32_t ox_trace_buffer_spans(const struct ox_trace_buffer *b);
uint32_t ox_trace_buffer_traces(const struct ox_trace_buffer *b);
size_t ox_trace_buffer_bytes(const struct ox_trace_buffer *b);
const struct ox_trace_buffer_stats *ox_trace_buffer_stats(const struct ox_trace_buffer *b);
/* What it has learned, to be saved and loaded. Lend. */
struct ox_sampling_memory *ox_trace_buffer_memory(struct ox_trace_buffer *b);
struct ox_trace_decisions *ox_trace_buffer_decisions(struct ox_trace_buffer *b);

#endif
