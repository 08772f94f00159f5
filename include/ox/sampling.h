/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/sampling.h - which traces are kept, and for how many each then stands.
 *
 * Owns:    ox_sampling_set: the rules of all tenants, unchanging once read.
 * Threads: rules: any; deciding: pure.
 * Bounds:  OX_SAMPLING_TENANTS_MAX tenants with rules of their own, OX_SAMPLING_CLAUSES_MAX clauses for each, and
 *          OX_SAMPLING_RULES_MAX rates, keep rules and score rules; a file of 1 MiB.
 * Fails:   CONFIG, every mistake with line, place and what would be right in the report; NOMEM.
 * Flow:    a file -> ox_sampling_read; span -> ox_sampling_clauses (at arrival); trace -> ox_sampling_memory_look ->
 *          ox_sampling_decide -> ox_sampling_memory_learn, ox_budget_note (policies/sampling_memory.c, budget.c).
 *
 * Every rule that applies gives a probability; the largest, p, decides: kept iff R >= threshold(p), R being the trace's
 * random number (ox/tracestate.h). A kept trace stands for 1/p. No probability may depend on R; what happened to traces
 * before may go into it. Then sums of 1/p over kept traces have the true sums as their expectation (docs/sampling.md).
 */
#ifndef OX_SAMPLING_H
#define OX_SAMPLING_H

#include "ox/batch.h"
#include "ox/config_table.h"

/* A clause is what can be asked of one span; a bit of 64 each, so that what is known of a trace is a word. */
#define OX_SAMPLING_CLAUSES_MAX 64
#define OX_SAMPLING_RULES_MAX   64
#define OX_SAMPLING_NAME_MAX    47
#define OX_SAMPLING_TENANTS_MAX 1000 /* with rules of their own */

struct ox_sampling;     /* the rules of one tenant */
struct ox_sampling_set; /* of all */

/* text: lend. name: what the report calls the file. */
OX_MUST_USE ox_err ox_sampling_read(struct ox_str text, const char *name, struct ox_sampling_set **out,
                                    struct ox_config_report *report);
/* As if the file were empty: keeps everything. NULL without memory. */
struct ox_sampling_set *ox_sampling_default(void);
void ox_sampling_free(struct ox_sampling_set *set);
/* The rules of a tenant, its own or those for all others. Lend, as long as the set. */
const struct ox_sampling *ox_sampling_of(const struct ox_sampling_set *set,
                                         const struct ox_tenant_id *tenant);
/* False: everything is kept, and nothing needs to wait for a decision. */
bool ox_sampling_can_drop(const struct ox_sampling *rules);
/* Tenants that have rules of their own, and rules that a tenant has: for people. */
uint32_t ox_sampling_tenants(const struct ox_sampling_set *set);
uint32_t ox_sampling_rules(const struct ox_sampling *rules);

/* ---- a span ---- */

/* The clauses that this span matches. from_head: it came with a threshold (ox_tracestate). */
uint64_t ox_sampling_clauses(const struct ox_sampling *rules, const struct ox_batch *batch,
                             const struct ox_span *span, bool from_head);

/* ---- a trace ---- */

/* What is known of a trace when it is decided. The second part is what ox_sampling_memory_look finds; of a trace of
 * which nothing is known it is OX_SAMPLING_UNKNOWN. */
struct ox_sampling_facts {
    double slow; /* the share of calls of the same operation that took as long: least of its entry spans */
    double z;    /* deviations above its service's baseline: largest of its entry spans */
    double ops_seen; /* traces of late with the same operation, without this one: least of its operations */
    double edges_seen;
    uint32_t ops_kept; /* kept of late with the same operation: least */
    uint32_t services_kept;
};
#define OX_SAMPLING_UNKNOWN                                                                                  \
    ((struct ox_sampling_facts){.slow = 1,                                                                   \
                                .ops_seen = (double)UINT64_MAX,                                              \
                                .edges_seen = (double)UINT64_MAX,                                            \
                                .ops_kept = UINT32_MAX,                                                      \
                                .services_kept = UINT32_MAX})

struct ox_sampling_trace {
    uint64_t randomness;     /* R */
    uint64_t any, root;      /* clauses that some span, and that its root, matches */
    uint64_t head_threshold; /* the largest that its spans came with; 0 = none */
    uint32_t spans;
    bool parent_sampled; /* it continues a trace that its caller sampled */
    struct ox_sampling_facts facts;
};

enum ox_sampling_winner {
    OX_WON_RATE,    /* the rate of its attribute, operation, service or tenant */
    OX_WON_BUDGET,  /* that rate, made smaller by the budget */
    OX_WON_SCORE,   /* the rate, raised by the score */
    OX_WON_KEEP,    /* a keep rule: `rule` */
    OX_WON_MINIMUM, /* the minimum per operation or service */
    OX_WON__COUNT
};
/* "rate", "budget", ... */
const char *ox_sampling_winner_name(enum ox_sampling_winner winner);

struct ox_sampling_verdict {
    bool kept;
    uint8_t winner; /* enum ox_sampling_winner */
    uint8_t rule;   /* KEEP: which, see ox_sampling_rule_name */
    uint64_t
        threshold; /* rounded to OX_THRESHOLD_DIGITS: exactly what was compared with R; NEVER when no rule wants it */
    double p; /* of that threshold; 0 for NEVER */
    double score;
    /* What the budget learns from: p = max(other, (rate * factor)^exponent). */
    double rate, exponent, other;
};

/* factor: of the budget (ox_budget_factor), 1 without one. */
void ox_sampling_decide(const struct ox_sampling *rules, const struct ox_sampling_trace *trace, double factor,
                        struct ox_sampling_verdict *out);
const char *ox_sampling_rule_name(const struct ox_sampling *rules, uint8_t rule);
/* The weight of a kept span that came with a threshold of its own (0 = none): on the same R the larger of the two
 * counts. */
double ox_sampling_weight(uint64_t threshold, uint64_t head_threshold);

/* Between which bounds a true number lies, in 95 of 100 cases, of which kept spans or traces were counted: those that
 * stand for themselves (weight 1), the weights of the others, and the sum of w (w - 1) of these. top: the largest
 * weight that something of the kind may have had, 0 where a rule keeps all of it: what stands for many may be missing
 * just because it stands for many. It is the interval of a proportion after Wilson (1927), for unequal weights;
 * docs/sampling.md. */
void ox_sampling_interval(double certain, double weights, double excess, double top, double *low,
                          double *high);

/* ---- what a tenant's rules ask of memory and budget ---- */

struct ox_sampling_needs {
    uint64_t window_ns;  /* "of late" */
    double budget_per_s; /* spans; 0 = without a budget */
    bool log_baseline;   /* the score is of the duration's logarithm */
};
struct ox_sampling_needs ox_sampling_needs(const struct ox_sampling *rules);

/* ---- the budget: policies/budget.c ---- */

#define OX_BUDGET_RING 256

/* One decided trace, as far as the budget is concerned. */
struct ox_budget_trace {
    float log_rate, exponent, other, head; /* log2 of the rate; probabilities */
    uint32_t spans;
};
/* Zeroed: everything is kept until the first tick has passed. */
struct ox_budget {
    double log_factor;    /* log2, 0 or less */
    double per_s;         /* spans offered, average that forgets */
    uint64_t tick_ns;     /* when this tick began; 0 = not yet */
    double offered, kept; /* spans in it */
    uint32_t n, at;
    struct ox_budget_trace ring[OX_BUDGET_RING];
};
/* What rates are multiplied with, 2^-30 to 1. */
double ox_budget_factor(const struct ox_budget *budget);
/* After each decision, in the order of now_ns. A tick ends after a second, or when what a second may have is spent. */
void ox_budget_note(struct ox_budget *budget, double spans_per_s, const struct ox_sampling_trace *trace,
                    const struct ox_sampling_verdict *verdict, uint64_t now_ns);

/* ---- what is learned: policies/sampling_memory.c ---- */

/* A span at which a request enters a service. Keys: hashes of the names, the same in every process. */
struct ox_sampling_entry {
    uint64_t service;
    uint64_t operation; /* of service and operation */
    uint64_t duration_ns;
};
struct ox_sampling_seen {
    const struct ox_sampling_entry *entries; /* in an order that does not depend on arrival */
    uint32_t n_entries;
    const uint64_t *edges; /* a hash of both ends each, each once */
    uint32_t n_edges;
};

struct ox_sampling_memory;
/* At most so many operations are known one by one (some 600 bytes each), as many edges, and a quarter as many services.
 * Grows as it learns. seed: what senders do not know. NULL without memory. */
struct ox_sampling_memory *ox_sampling_memory_new(uint32_t operations_max, uint64_t seed);
void ox_sampling_memory_free(struct ox_sampling_memory *memory);
size_t ox_sampling_memory_bytes(const struct ox_sampling_memory *memory);
/* Before the decision. seen: lend. */
void ox_sampling_memory_look(const struct ox_sampling_memory *memory, const struct ox_sampling_needs *needs,
                             const struct ox_sampling_seen *seen, uint64_t now_ns,
                             struct ox_sampling_facts *out);
/* After it, kept or not. Without memory or room what is new stays unknown: it is neither rare nor short of a minimum.
 * */
void ox_sampling_memory_learn(struct ox_sampling_memory *memory, const struct ox_sampling_needs *needs,
                              const struct ox_sampling_seen *seen, uint64_t now_ns, bool kept);
/* The baselines of all services, to start another memory with: appended to out, and read again. CORRUPT leaves it as it
 * was. */
void ox_sampling_memory_save(const struct ox_sampling_memory *memory, struct ox_buf *out);
OX_MUST_USE ox_err ox_sampling_memory_load(struct ox_sampling_memory *memory, struct ox_str bytes);

#endif
