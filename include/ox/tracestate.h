/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/tracestate.h - what the samplers before us did to a trace: the member `ot` of W3C tracestate, its
 * thresholds.
 *
 * Owns:    nothing; what is read are views into the text.
 * Threads: any; pure.
 * Bounds:  OX_TRACESTATE_MEMBERS list members, OX_TRACESTATE_OT_MAX bytes of `ot`, as the specifications have it.
 * Fails:   reading never; what is malformed is not used and counted. Writing: INVALID, TOO_LARGE.
 * Flow:    ox_span.trace_state -> here -> policies/sampling.c; a kept span's threshold -> here -> storage.
 *
 * tracestate: https://www.w3.org/TR/trace-context-2/#tracestate-header. `ot` and its `th` and `rv`:
 * https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/ and
 * https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/ (status: Development).
 *
 * A trace has one random number R of 56 bits: `rv`, or else the last 7 bytes of its id. A sampler with the threshold T
 * keeps it iff R >= T, which it does with the probability p = (2^56 - T) / 2^56; a kept span stands for 1/p. All
 * samplers use the same R, so several keep what the strictest keeps: the largest threshold counts, not a product.
 */
#ifndef OX_TRACESTATE_H
#define OX_TRACESTATE_H

#include "ox/base.h"

#define OX_TRACESTATE_MEMBERS 32
#define OX_TRACESTATE_OT_MAX  256

#define OX_THRESHOLD_BITS  56
#define OX_THRESHOLD_ALL   0ull                        /* keeps everything */
#define OX_THRESHOLD_NEVER (1ull << OX_THRESHOLD_BITS) /* no threshold of the specification: keeps nothing */
/* Digits of a threshold that we write, behind its leading 'f's: what the specification recommends. */
#define OX_THRESHOLD_DIGITS 4

/* The threshold with which p (0 to 1) of all traces are kept: NEVER for 0, else at least 2^-56 of them. */
uint64_t ox_threshold_of(double p);
/* The same threshold with so many hex digits (1 or more) behind its leading 'f's, rounded to the nearest: what may be
 * written in short must be what decided. Never becomes NEVER. */
uint64_t ox_threshold_round(uint64_t threshold, unsigned digits);
/* p of a threshold, and the spans that a kept one stands for: 1/p. Not for NEVER. */
double ox_threshold_probability(uint64_t threshold);
double ox_threshold_count(uint64_t threshold);

static inline bool
ox_threshold_keeps(uint64_t threshold, uint64_t randomness)
{
    return randomness >= threshold;
}

/* R of a trace without `rv`. */
uint64_t ox_trace_randomness(const uint8_t trace_id[16]);

/* What was not used, and why. */
enum ox_tracestate_fault {
    OX_TRACESTATE_OK,
    OX_TRACESTATE_BAD_LIST, /* no list of members, or a key twice: nothing of it is used */
    OX_TRACESTATE_BAD_OT, /* `ot` is no list of sub-keys, has one twice, or is too long: nothing of it is used */
    OX_TRACESTATE_BAD_RV,       /* not 14 hex digits: neither it nor `th`, which was compared with it */
    OX_TRACESTATE_BAD_TH,       /* not 1 to 14 hex digits */
    OX_TRACESTATE_INCONSISTENT, /* R < th, yet the span is here: it was not kept by th (ox_tracestate_check) */
    OX_TRACESTATE__COUNT
};
/* "bad_list", ... */
const char *ox_tracestate_fault_name(enum ox_tracestate_fault fault);

struct ox_tracestate {
    struct ox_str text; /* all of it */
    struct ox_str ot;   /* the value of `ot`; p NULL = no such member */
    uint32_t members;
    enum ox_tracestate_fault fault;
    bool has_th, has_rv;
    uint64_t th;
    uint64_t rv;
};

/* text: lend, must outlive *out. Every text can be read; see `fault`. */
void ox_tracestate_read(struct ox_str text, struct ox_tracestate *out);
/* R of the span's trace; drops a threshold above it. */
uint64_t ox_tracestate_check(struct ox_tracestate *state, const uint8_t trace_id[16]);

/*
 * The text with another threshold (NEVER: with none), into out, zero-terminated; *len without the zero. As W3C has it,
 * a member that was changed moves to the front, and one too many leaves at the end; all else stays as and where it was,
 * in `ot` too. INVALID: the list or `ot` cannot be read, and what cannot be read is not rewritten. TOO_LARGE: `ot` or
 * `out` is too small.
 */
OX_MUST_USE ox_err ox_tracestate_write(const struct ox_tracestate *state, uint64_t threshold, char *out,
                                       size_t size, size_t *len);

#endif
