/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/sampling.h - the rules of a tenant as they are read (sampling_read.c) and asked (sampling.c).
 *
 * Owns:    ox_sampling_set owns everything below in one arena.
 * Threads: any once read.
 * Bounds:  OX__SAMPLING_STEPS_MAX steps of conditions per tenant.
 */
#ifndef OX_POLICIES_SAMPLING_H
#define OX_POLICIES_SAMPLING_H

#include "ox/arena.h"
#include "ox/sampling.h"

#define OX__SAMPLING_STEPS_MAX 1024
#define OX__ANY                (-1)

/* What is asked of one span; all of it must hold. */
struct ox__clause {
    struct ox_str service, operation; /* patterns; p NULL = any */
    struct ox_str attribute;          /* a key of the span or its resource; p NULL = none asked */
    const struct ox_str *values;      /* patterns, one of which its value must fit */
    uint32_t n_values;                /* 0 = any value */
    uint64_t longer_ns;
    int status, kind, sampled, head; /* OX__ANY, or the number */
};

/* Conditions are programs in postfix: a step pushes a truth or takes what the steps before it pushed. */
enum ox__step_kind {
    OX__STEP_CLAUSE,  /* some span matches it */
    OX__STEP_SLOW,    /* value: share of calls */
    OX__STEP_RARE_OP, /* value: traces in the window */
    OX__STEP_RARE_EDGE,
    OX__STEP_NOT,
    OX__STEP_AND,
    OX__STEP_OR
};
struct ox__step {
    enum ox__step_kind kind;
    uint32_t clause;
    double value;
};
struct ox__condition {
    uint32_t first, n; /* in steps */
};

/* A keep rule (its probability) or a score rule (its points). */
struct ox__rule {
    char name[OX_SAMPLING_NAME_MAX + 1];
    struct ox__condition condition;
    double value;
};

/* More specific is larger: what a root must match. */
enum { OX__RANK_SERVICE = 1, OX__RANK_OPERATION = 2, OX__RANK_ATTRIBUTE = 4 };
struct ox__rate {
    uint64_t clause; /* its bit; 0 = every trace */
    int rank;
    double probability;
};

struct ox_sampling {
    struct ox_tenant_id tenant; /* "" = all without rules of their own */
    const struct ox_sampling *next;
    struct ox__clause clauses[OX_SAMPLING_CLAUSES_MAX];
    struct ox__rate rates[OX_SAMPLING_RULES_MAX];
    struct ox__rule keep[OX_SAMPLING_RULES_MAX];
    struct ox__rule points[OX_SAMPLING_RULES_MAX];
    struct ox__step steps[OX__SAMPLING_STEPS_MAX];
    uint32_t n_clauses, n_rates, n_keep, n_points, n_steps;
    double score_full, score_z, score_parent;
    uint32_t min_operation, min_service;
    struct ox_sampling_needs needs;
};

struct ox_sampling_set {
    struct ox_arena *arena;
    const struct ox_sampling *others; /* never NULL */
    const struct ox_sampling *first;  /* of tenants with their own */
    uint32_t n;
};

/* Rules that keep everything, with the shipped score. rules: zeroed before. */
void ox__sampling_init(struct ox_sampling *rules);

#endif
