/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/budget.c - the factor that rates are multiplied with so that a tenant's kept spans stay within a rate.
 *
 * Owns:    nothing; the state is the caller's.
 * Threads: one at a time.
 * Bounds:  OX_BUDGET_RING traces are remembered.
 * Flow:    see include/ox/sampling.h.
 *
 * Not a feedback loop on what was kept, which swings, but the answer to a question: of the last traces, which factor
 * would have kept the right share? That share is known exactly for every factor: a trace of n spans is kept with the
 * probability max(other, (rate * factor)^exponent), divided by what a head sampler let through before. Nothing here
 * knows a trace's random number before it is decided, so that the sums of weights stay unbiased.
 */
#include <math.h>

#include "ox/sampling.h"
#include "ox/tracestate.h"

#define NS_PER_S    1e9
#define TICK_NS     1000000000ull
#define TICK_MIN_NS 10000000ull /* shorter, a rate is a guess */
#define AVERAGE_S   5.0         /* of the offered rate: longer than a tick, shorter than patience */
#define LOG_MIN     (-30.0)
#define STEPS       24 /* halvings of 30: to a millionth */

double
ox_budget_factor(const struct ox_budget *budget)
{
    return exp2(budget->log_factor);
}

/* Spans of the remembered traces that this factor would keep, as a share. */
static double
kept_share(const struct ox_budget *b, double log_factor)
{
    double kept = 0, all = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        const struct ox_budget_trace *t = &b->ring[i];
        double p = exp2((double)t->exponent * ((double)t->log_rate + log_factor));
        kept += t->spans * fmin(1, fmax((double)t->other, p) / (double)t->head);
        all += t->spans;
    }
    return kept / all;
}

/* The largest factor that keeps no more than `share`. */
static double
solve(const struct ox_budget *b, double share)
{
    double low = LOG_MIN, high = 0;
    if (kept_share(b, 0) <= share)
        return 0;
    for (int i = 0; i < STEPS; i++) {
        double middle = (low + high) / 2;
        *(kept_share(b, middle) > share ? &high : &low) = middle;
    }
    return low;
}

static void
end_tick(struct ox_budget *b, double spans_per_s, uint64_t now_ns)
{
    double seconds = (double)(now_ns - b->tick_ns) / NS_PER_S, now_per_s = b->offered / seconds;
    bool first = b->per_s == 0;
    b->per_s += (first ? 1 : 1 - exp(-seconds / AVERAGE_S)) * (now_per_s - b->per_s);
    /* A rush is answered at once, with what it is now; that it is over is believed slowly. */
    double wanted = solve(b, spans_per_s / fmax(b->per_s, now_per_s));
    b->log_factor = wanted < b->log_factor ? wanted : (b->log_factor + wanted) / 2;
    b->tick_ns = now_ns;
    b->offered = b->kept = 0;
}

void
ox_budget_note(struct ox_budget *budget, double spans_per_s, const struct ox_sampling_trace *trace,
               const struct ox_sampling_verdict *verdict, uint64_t now_ns)
{
    budget->ring[budget->at] = (struct ox_budget_trace){
        .log_rate = (float)(verdict->rate > 0 ? log2(verdict->rate) : -1000),
        .exponent = (float)verdict->exponent,
        .other = (float)verdict->other,
        .head = (float)ox_threshold_probability(trace->head_threshold),
        .spans = trace->spans,
    };
    budget->at = (budget->at + 1) % OX_BUDGET_RING;
    budget->n += budget->n < OX_BUDGET_RING;
    if (budget->tick_ns == 0)
        budget->tick_ns = now_ns;
    budget->offered += trace->spans;
    budget->kept += verdict->kept ? trace->spans : 0;
    uint64_t past = now_ns > budget->tick_ns ? now_ns - budget->tick_ns : 0;
    if (past >= TICK_NS || (past >= TICK_MIN_NS && budget->kept > spans_per_s))
        end_tick(budget, spans_per_s, now_ns);
}
