/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/sampler/decide.c - the decision of one trace: its edges, the facts, the verdict, and telling of it.
 *
 * Owns:    the scratch memory in the buffer, for the time of a decision.
 * Threads: the buffer's owner.
 * Fails:   never; ox__trace_reserve was asked before.
 * Flow:    trace_buffer.c -> here -> policies/sampling.c -> ox_trace_decided_fn.
 */
#include <stdlib.h>

#include "actors/sampler/trace_buffer_internal.h"

const char *
ox_decided_why_name(enum ox_decided_why why)
{
    static const char *const names[] = {"root", "wait", "pressure", "size", "late", "flush"};
    _Static_assert(OX_COUNT(names) == OX_WHY__COUNT, "a name each");
    OX_ASSERT(why < OX_WHY__COUNT);
    return names[why];
}

ox_err
ox__trace_reserve(struct ox_trace_buffer *b, uint32_t n)
{
    ox_err err = ox__edges_reserve(&b->edges, n);
    if (err != OX_OK || n <= b->cap_positions)
        return err;
    uint32_t cap = b->cap_positions != 0 ? b->cap_positions : 64;
    while (cap < n)
        cap *= 2;
    struct ox_trace_position *grown = realloc(b->positions, cap * sizeof(*grown));
    if (grown == NULL)
        return OX_E_NOMEM;
    b->positions = grown;
    b->cap_positions = cap;
    return OX_OK;
}

static int
by_position(const void *x, const void *y)
{
    const struct ox_trace_position *a = x, *b = y;
    if (a->wal_seq != b->wal_seq)
        return a->wal_seq < b->wal_seq ? -1 : 1;
    return a->ordinal < b->ordinal ? -1 : a->ordinal > b->ordinal;
}

/* Spans come newest first, and mostly in the order of the log. */
static void
gather(struct ox_trace_buffer *b, const struct ox__trace *t)
{
    uint32_t n = t->n_spans;
    bool ordered = true;
    ox__edges_begin(&b->edges);
    for (uint32_t at = t->first; at != 0; at = ox__span_at(b, at)->next) {
        const struct ox__span_features *f = ox__span_at(b, at);
        ox__edges_add(&b->edges, f);
        if (f->kind == OX__KIND_LINK)
            continue;
        b->positions[--n] = (struct ox_trace_position){ox__features_wal_seq(f), f->ordinal};
        ordered =
            ordered && (n + 1 == t->n_spans || by_position(&b->positions[n], &b->positions[n + 1]) <= 0);
    }
    OX_ASSERT(n == 0);
    if (!ordered)
        qsort(b->positions, t->n_spans, sizeof(*b->positions), by_position);
}

static struct ox_sampling_trace
describe(const struct ox__trace *t)
{
    return (struct ox_sampling_trace){.randomness = t->randomness,
                                      .any = t->any,
                                      .root = t->root_bits,
                                      .head_threshold = t->head_threshold,
                                      .spans = t->n_spans,
                                      .parent_sampled = !t->has_root && t->root_sampled,
                                      .facts = OX_SAMPLING_UNKNOWN};
}

static void
decide_whole(struct ox_trace_buffer *b, const struct ox__trace *t, uint64_t now_ns,
             struct ox_sampling_verdict *v)
{
    const struct ox_sampling_seen seen = {b->edges.entries, b->edges.n_entries, b->edges.keys,
                                          b->edges.n_keys};
    struct ox_sampling_trace trace = describe(t);
    ox_sampling_memory_look(b->memory, &b->needs, &seen, now_ns, &trace.facts);
    ox_sampling_decide(b->rules, &trace, ox_budget_factor(&b->budget), v);
    ox_sampling_memory_learn(b->memory, &b->needs, &seen, now_ns, v->kept);
    if (b->needs.budget_per_s > 0)
        ox_budget_note(&b->budget, b->needs.budget_per_s, &trace, v, now_ns);
}

/* Keep rules alone may raise what was decided: a rate belongs to the root, which late spans are not. */
static void
decide_late(const struct ox_trace_buffer *b, const struct ox__trace *t, struct ox_trace_decided *d)
{
    struct ox_sampling_trace trace = describe(t);
    struct ox_sampling_verdict v;
    ox_sampling_decide(b->rules, &trace, 1, &v);
    uint64_t threshold = ox_threshold_round(ox_threshold_of(v.other), OX_THRESHOLD_DIGITS);
    d->decision = t->before;
    if (threshold < t->before.threshold) {
        d->decision.threshold = threshold;
        d->decision.winner = OX_WON_KEEP;
        d->decision.rule = v.winner == OX_WON_KEEP ? v.rule : 0;
    }
    d->decision.kept = t->before.kept || ox_threshold_keeps(threshold, t->randomness);
    d->promoted = d->decision.kept && !t->before.kept;
    d->p = d->decision.threshold < OX_THRESHOLD_NEVER ? ox_threshold_probability(d->decision.threshold) : 0;
}

static void
count(struct ox_trace_buffer_stats *stats, const struct ox_trace_decided *d, bool late)
{
    stats->traces[d->why]++;
    *(d->decision.kept ? &stats->kept_spans : &stats->dropped_spans) += d->n_spans;
    stats->promoted_spans += d->promoted ? d->n_spans : 0;
    if (!late)
        (*(d->decision.kept ? &stats->kept_traces[d->decision.winner] : &stats->dropped_traces))++;
}

/* How long one waits for the next trace that begins with the same service. One whose root did not come would have taken
 * longer. */
static void
learn_wait(struct ox_trace_buffer *b, const struct ox__trace *t, enum ox_decided_why why)
{
    uint64_t took_ns = t->last_ns - t->first_ns;
    if (why == OX_WHY_ROOT || (why == OX_WHY_WAIT && t->has_root))
        ox__delays_add(&ox__services_at(&b->names, t->first_service)->whole, took_ns);
    else if (why == OX_WHY_WAIT)
        ox__delays_add(&ox__services_at(&b->names, t->first_service)->whole, 2 * (t->due_ns - t->first_ns));
}

void
ox__trace_decide(struct ox_trace_buffer *b, struct ox__trace *t, enum ox_decided_why why, uint64_t now_ns)
{
    struct ox_trace_decided d = {.why = (uint8_t)why,
                                 .biased = why == OX_WHY_PRESSURE || why == OX_WHY_SIZE,
                                 .waited_ns = now_ns > t->first_ns ? now_ns - t->first_ns : 0};
    memcpy(d.trace_id, t->id, sizeof(d.trace_id));
    gather(b, t);
    ox__edges_find(&b->edges, &b->names, !t->late);
    if (t->late) {
        decide_late(b, t, &d);
    } else {
        struct ox_sampling_verdict v;
        decide_whole(b, t, now_ns, &v);
        d.decision = (struct ox_trace_decision){v.kept, v.winner, v.rule, v.threshold};
        d.p = v.p;
        d.score = v.score;
        learn_wait(b, t, why);
    }
    d.spans = b->positions;
    d.n_spans = t->n_spans;
    d.calls = b->edges.calls;
    d.n_calls = b->edges.n_calls;
    ox_trace_decisions_put(b->decisions, t->id, &d.decision);
    count(&b->stats, &d, t->late);
    b->decided(b->arg, &d);
}
