/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/sampling.c - which clauses a span matches, and what becomes of a trace. See include/ox/sampling.h.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 *
 * The score of the requirements, base + 10 z + 25 if the parent was sampled, becomes a probability by
 *
 *     p = r ^ max(0, 1 - score / full)
 *
 * with r the rate of the trace: a score of 0 gives the rate, `full` gives 1, and between them every point multiplies p
 * by the same factor. A rate of 1 keeps everything whatever the score. docs/sampling.md has worked examples.
 */
#include "policies/sampling.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/tracestate.h"
#include "policies/pattern.h"

#define FLAG_SAMPLED 1u /* W3C trace-flags, in the lowest byte of OTLP's span flags */

/* ---- a span ---- */

static const struct ox_attr *
find(const struct ox_batch *batch, struct ox_slice attrs, struct ox_str key)
{
    for (uint32_t i = 0; i < attrs.count; i++) {
        if (ox_str_eq(ox_attr_key(&batch->attrs[attrs.first + i]), key))
            return &batch->attrs[attrs.first + i];
    }
    return NULL;
}

/* The text that patterns are held against; empty for lists and maps, which only "*" fits. */
static struct ox_str
value_text(const struct ox_attr *attr, char room[32])
{
    const struct ox_any v = ox_attr_value(attr);
    switch (v.type) {
    case OX_ANY_STRING:
        return v.str;
    case OX_ANY_BOOL:
        return v.b ? OX_STR("true") : OX_STR("false");
    case OX_ANY_INT:
        return (struct ox_str){room, (size_t)snprintf(room, 32, "%lld", (long long)v.i)};
    case OX_ANY_DOUBLE:
        return (struct ox_str){room, (size_t)snprintf(room, 32, "%.15g", v.d)};
    default:
        return (struct ox_str){NULL, 0};
    }
}

static bool
attribute_fits(const struct ox__clause *c, const struct ox_batch *batch, const struct ox_span *span)
{
    char room[32];
    const struct ox_attr *attr = find(batch, span->attrs, c->attribute);
    if (attr == NULL)
        attr = find(batch, batch->resources[batch->scopes[span->scope].resource].attrs, c->attribute);
    if (attr == NULL || c->n_values == 0)
        return attr != NULL;
    struct ox_str text = value_text(attr, room);
    for (uint32_t i = 0; i < c->n_values; i++) {
        if (ox__pattern_matches(c->values[i], text))
            return true;
    }
    return false;
}

static bool
is(int wanted, int number)
{
    return wanted == OX__ANY || wanted == number;
}

static bool
fits(const struct ox__clause *c, const struct ox_batch *batch, const struct ox_span *span, bool from_head)
{
    return is(c->status, span->status_code) && is(c->kind, span->kind) && is(c->head, from_head) &&
           is(c->sampled, (span->flags & FLAG_SAMPLED) != 0) &&
           span->end_ns - span->start_ns >= c->longer_ns &&
           (c->operation.p == NULL || ox__pattern_matches(c->operation, span->name)) &&
           (c->service.p == NULL ||
            ox__pattern_matches(c->service,
                                batch->resources[batch->scopes[span->scope].resource].service_name)) &&
           (c->attribute.p == NULL || attribute_fits(c, batch, span));
}

uint64_t
ox_sampling_clauses(const struct ox_sampling *rules, const struct ox_batch *batch, const struct ox_span *span,
                    bool from_head)
{
    uint64_t bits = 0;
    for (uint32_t i = 0; i < rules->n_clauses; i++)
        bits |= (uint64_t)fits(&rules->clauses[i], batch, span, from_head) << i;
    return bits;
}

/* ---- a trace ---- */

/* One truth per bit, the newest in the lowest. */
static bool
holds(const struct ox_sampling *rules, const struct ox__condition *condition,
      const struct ox_sampling_trace *t)
{
    uint64_t stack = 0;
    for (uint32_t i = 0; i < condition->n; i++) {
        const struct ox__step *s = &rules->steps[condition->first + i];
        switch (s->kind) {
        case OX__STEP_CLAUSE:
            stack = stack << 1 | (t->any >> s->clause & 1);
            break;
        case OX__STEP_SLOW:
            stack = stack << 1 | (t->facts.slow < s->value);
            break;
        case OX__STEP_RARE_OP:
            stack = stack << 1 | (t->facts.ops_seen < s->value);
            break;
        case OX__STEP_RARE_EDGE:
            stack = stack << 1 | (t->facts.edges_seen < s->value);
            break;
        case OX__STEP_NOT:
            stack ^= 1;
            break;
        case OX__STEP_AND:
            stack = stack >> 1 & (stack | ~(uint64_t)1);
            break;
        case OX__STEP_OR:
            stack = stack >> 1 | (stack & 1);
            break;
        }
    }
    return (stack & 1) != 0;
}

/* Of the most specific rates that the root matches, the highest. */
static double
rate_of(const struct ox_sampling *rules, uint64_t root)
{
    int rank = -1;
    double p = 1;
    for (uint32_t i = 0; i < rules->n_rates; i++) {
        const struct ox__rate *r = &rules->rates[i];
        if (r->rank < rank || (r->clause & ~root) != 0)
            continue;
        p = r->rank > rank ? r->probability : fmax(p, r->probability);
        rank = r->rank;
    }
    return p;
}

static double
score_of(const struct ox_sampling *rules, const struct ox_sampling_trace *t)
{
    double score = rules->score_z * fmax(0, t->facts.z) + (t->parent_sampled ? rules->score_parent : 0);
    for (uint32_t i = 0; i < rules->n_points; i++)
        score += holds(rules, &rules->points[i].condition, t) ? rules->points[i].value : 0;
    return score;
}

/* A later rule must offer more: the winner is what made the difference. */
static void
offer(struct ox_sampling_verdict *out, double p, enum ox_sampling_winner winner, uint32_t rule)
{
    if (p <= out->p)
        return;
    out->p = p;
    out->winner = (uint8_t)winner;
    out->rule = (uint8_t)rule;
}

static void
offer_others(const struct ox_sampling *rules, const struct ox_sampling_trace *t,
             struct ox_sampling_verdict *out)
{
    for (uint32_t i = 0; i < rules->n_keep; i++) {
        if (!holds(rules, &rules->keep[i].condition, t))
            continue;
        out->other = fmax(out->other, rules->keep[i].value);
        offer(out, rules->keep[i].value, OX_WON_KEEP, i);
    }
    if (t->facts.ops_kept < rules->min_operation || t->facts.services_kept < rules->min_service) {
        out->other = 1;
        offer(out, 1, OX_WON_MINIMUM, 0);
    }
}

void
ox_sampling_decide(const struct ox_sampling *rules, const struct ox_sampling_trace *trace, double factor,
                   struct ox_sampling_verdict *out)
{
    *out = (struct ox_sampling_verdict){.rate = rate_of(rules, trace->root), .exponent = 1, .p = -1};
    double r = out->rate * factor;
    offer(out, r, factor < 1 ? OX_WON_BUDGET : OX_WON_RATE, 0);
    if (r < 1 || rules->needs.budget_per_s > 0) { /* the budget asks what would be kept if it were smaller */
        out->score = score_of(rules, trace);
        out->exponent = fmax(0, 1 - out->score / rules->score_full);
        offer(out, pow(r, out->exponent), OX_WON_SCORE, 0);
        offer_others(rules, trace, out);
    }
    out->threshold = ox_threshold_round(ox_threshold_of(out->p), OX_THRESHOLD_DIGITS);
    out->p = out->threshold < OX_THRESHOLD_NEVER ? ox_threshold_probability(out->threshold) : 0;
    out->kept = ox_threshold_keeps(out->threshold, trace->randomness);
}

double
ox_sampling_weight(uint64_t threshold, uint64_t head_threshold)
{
    return ox_threshold_count(threshold > head_threshold ? threshold : head_threshold);
}

/* All T with (weights - T)^2 <= z^2 a T, where a T is the variance if T is true. a is a mean of w - 1, in which one
 * more of the largest weight is counted: without it, nothing kept but small weights would look certain. */
void
ox_sampling_interval(double certain, double weights, double excess, double top, double *low, double *high)
{
    const double z = 1.959964;
    double all = weights + top;
    double a = all > 0 ? (excess + top * fmax(0, top - 1)) / all : 0;
    double middle = weights + z * z * a / 2;
    double half = z * sqrt(a * weights + z * z * a * a / 4);
    *low = certain + fmax(0, middle - half);
    *high = certain + middle + half;
}

const char *
ox_sampling_winner_name(enum ox_sampling_winner winner)
{
    static const char *const names[] = {"rate", "budget", "score", "keep", "minimum"};
    _Static_assert(OX_COUNT(names) == OX_WON__COUNT, "a name each");
    OX_ASSERT(winner < OX_WON__COUNT);
    return names[winner];
}

const char *
ox_sampling_rule_name(const struct ox_sampling *rules, uint8_t rule)
{
    OX_ASSERT(rule < rules->n_keep);
    return rules->keep[rule].name;
}

/* ---- the set ---- */

void
ox_sampling_free(struct ox_sampling_set *set)
{
    if (set == NULL)
        return;
    ox_arena_free(set->arena);
    free(set);
}

const struct ox_sampling *
ox_sampling_of(const struct ox_sampling_set *set, const struct ox_tenant_id *tenant)
{
    for (const struct ox_sampling *r = set->first; r != NULL; r = r->next) {
        if (strcmp(r->tenant.name, tenant->name) == 0)
            return r;
    }
    return set->others;
}

bool
ox_sampling_can_drop(const struct ox_sampling *rules)
{
    if (rules->needs.budget_per_s > 0)
        return true;
    for (uint32_t i = 0; i < rules->n_rates; i++) {
        if (rules->rates[i].probability < 1)
            return true;
    }
    return false;
}

uint32_t
ox_sampling_tenants(const struct ox_sampling_set *set)
{
    return set->n;
}

uint32_t
ox_sampling_rules(const struct ox_sampling *rules)
{
    return rules->n_rates + rules->n_keep + rules->n_points;
}

struct ox_sampling_needs
ox_sampling_needs(const struct ox_sampling *rules)
{
    return rules->needs;
}
