/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    rules mean what docs/sampling.md says: clauses hold of one span, conditions of a trace, the most specific
 *          rate and the highest probability count; what is wrong in a file is named with its line, all of it.
 * Method:  texts; spans built by hand; the shipped files.
 */
#include "ox/sampling.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/tracestate.h"

static struct ox_config_report report;
static const struct ox_tenant_id acme = {.name = "acme"}, other = {.name = "other"};

static struct ox_sampling_set *
rules(const char *text)
{
    struct ox_sampling_set *set;
    ox_config_report_init(&report);
    cr_assert_eq(ox_sampling_read(ox_str_of(text), "f", &set, &report), OX_OK, "%.*s", (int)report.text.len,
                 (const char *)report.text.data);
    ox_config_report_fini(&report);
    return set;
}

/* ---- spans ---- */

static struct ox_attr attrs[8];
static struct ox_resource resources[1];
static struct ox_scope scopes[1];
static struct ox_span span;
static struct ox_batch batch = {.attrs = attrs, .resources = resources, .scopes = scopes};

static void
a_span(const char *service, const char *name)
{
    memset(&span, 0, sizeof(span));
    resources[0] = (struct ox_resource){.service_name = ox_str_of(service), .attrs = {4, 1}};
    span.name = ox_str_of(name);
    span.start_ns = 1000;
    span.end_ns = 1000 + 20000000;
    span.attrs = (struct ox_slice){0, 4};
    attrs[0] = ox_attr_of(OX_STR("user.tier"), (struct ox_any){.type = OX_ANY_STRING, .str = OX_STR("gold")});
    attrs[1] = ox_attr_of(OX_STR("http.response.status_code"), (struct ox_any){.type = OX_ANY_INT, .i = 503});
    attrs[2] = ox_attr_of(OX_STR("debug"), (struct ox_any){.type = OX_ANY_BOOL, .b = true});
    attrs[3] = ox_attr_of(OX_STR("ratio"), (struct ox_any){.type = OX_ANY_DOUBLE, .d = 0.5});
    attrs[4] = ox_attr_of(OX_STR("env"), (struct ox_any){.type = OX_ANY_STRING, .str = OX_STR("prod")});
}

/* Whether the span matches the only clause of `{keep: [{if: CONDITION}]}`. */
static bool
matches(const char *condition, bool from_head)
{
    char text[512];
    snprintf(text, sizeof(text), "sampling: {default: {keep: [{name: x, if: %s}]}}", condition);
    struct ox_sampling_set *set = rules(text);
    uint64_t bits = ox_sampling_clauses(ox_sampling_of(set, &acme), &batch, &span, from_head);
    ox_sampling_free(set);
    cr_assert_leq(bits, 1);
    return bits == 1;
}

Test(sampling, clauses)
{
    a_span("checkout", "GET /cart");
    span.status_code = 2;
    span.kind = 3;
    span.flags = 1;
    static const char *const yes[] = {
        "{service: checkout}",
        "{service: check*, operation: '* /cart'}",
        "{status: error, kind: client, sampled: true}",
        "{attribute: user.tier}",
        "{attribute: user.tier, values: gold}",
        "{attribute: user.tier, values: [silver, g*]}",
        "{attribute: http.response.status_code, values: '5*'}",
        "{attribute: http.response.status_code, values: [503]}",
        "{attribute: debug, values: true}",
        "{attribute: ratio, values: 0.5}",
        "{attribute: env, values: prod}",
        "{longer_than: 20ms}",
        "{head: false}",
    };
    static const char *const no[] = {
        "{service: check}",
        "{service: checkout, operation: POST*}",
        "{status: ok}",
        "{kind: server}",
        "{attribute: user}",
        "{sampled: false}",
        "{longer_than: 21ms}",
        "{attribute: user.tier, values: [silver]}",
        "{head: true}",
        "{service: x, status: error}",
        "{attribute: http.response.status_code, values: 5}",
    };
    for (size_t i = 0; i < OX_COUNT(yes); i++)
        cr_assert(matches(yes[i], false), "%s", yes[i]);
    for (size_t i = 0; i < OX_COUNT(no); i++)
        cr_assert_not(matches(no[i], false), "%s", no[i]);
    cr_assert(matches("{head: true}", true));
}

/* ---- traces ---- */

static struct ox_sampling_trace
a_trace(void)
{
    return (struct ox_sampling_trace){.spans = 1, .facts = OX_SAMPLING_UNKNOWN};
}

static struct ox_sampling_verdict
decided(const struct ox_sampling_set *set, const struct ox_sampling_trace *t, double factor)
{
    struct ox_sampling_verdict v;
    ox_sampling_decide(ox_sampling_of(set, &acme), t, factor, &v);
    cr_assert_eq(v.kept, v.threshold <= t->randomness);
    return v;
}

Test(sampling, an_empty_file_keeps_everything)
{
    struct ox_sampling_set *sets[] = {rules(""), ox_sampling_default(),
                                      rules("sampling: {tenants: {acme: {}}}")};
    for (size_t i = 0; i < OX_COUNT(sets); i++) {
        struct ox_sampling_trace t = a_trace();
        struct ox_sampling_verdict v = decided(sets[i], &t, 1);
        cr_assert(v.kept && v.p == 1 && v.threshold == 0 && v.winner == OX_WON_RATE);
        cr_assert_not(ox_sampling_can_drop(ox_sampling_of(sets[i], &acme)));
        ox_sampling_free(sets[i]);
    }
}

Test(sampling, the_most_specific_rate_holds)
{
    struct ox_sampling_set *set = rules("sampling:\n"
                                        "  default:\n"
                                        "    rates:\n"
                                        "      - probability: 0.5\n"
                                        "      - {service: checkout, probability: 0.25}\n"
                                        "      - {service: c*, probability: 0.125}\n"
                                        "      - {operation: 'GET /health', probability: 0.0625}\n"
                                        "      - {attribute: user.tier, values: gold, probability: 1}\n");
    const struct ox_sampling *r = ox_sampling_of(set, &acme);
    static const struct {
        const char *service, *operation, *tier;
        double p;
    } cases[] = {
        {"web", "GET /", "tin", 0.5},          {"checkout", "GET /", "tin", 0.25},
        {"cart", "GET /", "tin", 0.125},       {"checkout", "GET /health", "tin", 0.0625},
        {"web", "GET /health", "tin", 0.0625}, {"checkout", "GET /health", "gold", 1},
    };
    cr_assert(ox_sampling_can_drop(r));
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        struct ox_sampling_trace t = a_trace();
        a_span(cases[i].service, cases[i].operation);
        attrs[0] = ox_attr_of(OX_STR("user.tier"),
                              (struct ox_any){.type = OX_ANY_STRING, .str = ox_str_of(cases[i].tier)});
        t.root = ox_sampling_clauses(r, &batch, &span, false);
        cr_assert_eq(decided(set, &t, 1).p, cases[i].p, "%zu", i);
        t.any = t.root;
        t.root = 0;
        cr_assert_eq(decided(set, &t, 1).p, 0.5, "rates ask the root alone");
    }
    ox_sampling_free(set);
}

static bool
keeps(const char *condition, const struct ox_sampling_trace *t)
{
    char text[512];
    snprintf(text, sizeof(text),
             "sampling: {default: {rates: [{probability: 0}], keep: [{name: x, if: %s}]}}", condition);
    struct ox_sampling_set *set = rules(text);
    struct ox_sampling_verdict v = decided(set, t, 1);
    ox_sampling_free(set);
    cr_assert_eq(v.kept, v.winner == OX_WON_KEEP);
    return v.kept;
}

Test(sampling, conditions_of_traces)
{
    struct ox_sampling_trace t = a_trace();
    t.any = 1;
    cr_assert(keeps("{status: error}", &t));
    cr_assert_not(keeps("{not: {status: error}}", &t));
    cr_assert(keeps("{not: {not: {status: error}}}", &t));
    cr_assert_not(keeps("{all: [{status: error}, {service: b}]}", &t), "the second clause is the second bit");
    cr_assert(keeps("{any: [{status: error}, {service: b}]}", &t));
    t.any = 2;
    cr_assert(keeps("{any: [{status: error}, {service: b}, {service: c}]}", &t));
    cr_assert(keeps("{all: [{not: {status: error}}, {service: b}, {not: {service: c}}]}", &t));
    cr_assert_not(keeps("{any: [{status: error}, {all: [{service: b}, {service: c}]}]}", &t));
    t.any = 7;
    cr_assert(keeps("{any: [{status: error}, {all: [{service: b}, {service: c}]}]}", &t));
    cr_assert_not(keeps("{service: a, not: {any: [{service: b}]}}", &t), "all keys of a map must hold");
    t.any = 2; /* clauses are numbered in the order of their maps' ends: b first */
    cr_assert(keeps("{service: a, not: {any: [{service: b}]}}", &t));
    t.facts.slow = 0.009;
    cr_assert(keeps("{percentile: 99}", &t));
    cr_assert_not(keeps("{percentile: 99.5}", &t));
    t.facts.ops_seen = 9.5;
    t.facts.edges_seen = 3;
    cr_assert(keeps("{rare_operation: 10}", &t));
    cr_assert_not(keeps("{rare_operation: 9}", &t));
    cr_assert(keeps("{rare_edge: 4, percentile: 99}", &t));
    cr_assert_not(keeps("{rare_edge: 3}", &t));
}

Test(sampling, the_highest_probability_decides_and_is_named)
{
    struct ox_sampling_set *set = rules("sampling:\n"
                                        "  default:\n"
                                        "    rates: [{probability: 0.125}]\n"
                                        "    keep:\n"
                                        "      - {name: half, if: {service: a}, probability: 0.5}\n"
                                        "      - {name: tenth, if: {service: b}, probability: 0.1}\n"
                                        "      - {name: same, if: {service: a}, probability: 0.5}\n"
                                        "    minimum: {per_operation: 2, per_service: 3}\n");
    const struct ox_sampling *r = ox_sampling_of(set, &acme);
    struct ox_sampling_trace t = a_trace();
    struct ox_sampling_verdict v = decided(set, &t, 1);
    cr_assert(v.p == 0.125 && v.winner == OX_WON_RATE && v.other == 0);
    v = decided(set, &t, 0.5);
    cr_assert(v.p == 0.0625 && v.winner == OX_WON_BUDGET && v.rate == 0.125);
    t.any = 2;
    v = decided(set, &t, 1);
    cr_assert(v.p == 0.125 && v.winner == OX_WON_RATE, "a rule that offers less does not win");
    t.any = 5;
    v = decided(set, &t, 1);
    cr_assert(v.p == 0.5 && v.winner == OX_WON_KEEP && v.other == 0.5);
    cr_assert_str_eq(ox_sampling_rule_name(r, v.rule), "half");
    t.facts.ops_kept = 2;
    cr_assert_eq(decided(set, &t, 1).winner, OX_WON_KEEP);
    t.facts.services_kept = 2;
    cr_assert_eq(decided(set, &t, 1).winner, OX_WON_MINIMUM);
    t.facts.services_kept = 3;
    t.facts.ops_kept = 1;
    cr_assert_eq(decided(set, &t, 1).p, 1);
    for (int w = 0; w < OX_WON__COUNT; w++)
        cr_assert_gt(strlen(ox_sampling_winner_name((enum ox_sampling_winner)w)), 0);
    ox_sampling_free(set);
}

Test(sampling, the_score_raises_the_rate_smoothly)
{
    struct ox_sampling_set *set = rules("sampling: {default: {rates: [{probability: 0.01}],\n"
                                        "  score: {points: [{if: {status: error}, points: 5}]}}}");
    static const struct {
        double z;
        bool parent, error;
        double score, p;
    } cases[] = {
        {0, false, false, 0, 0.01}, {-3, false, false, 0, 0.01},    {2.5, false, false, 25, 0.1},
        {0, true, false, 25, 0.1},  {5, false, false, 50, 1},       {2, true, true, 50, 1},
        {9, true, true, 120, 1},    {0, false, true, 5, 0.0158489},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        struct ox_sampling_trace t = a_trace();
        t.facts.z = cases[i].z;
        t.parent_sampled = cases[i].parent;
        t.any = cases[i].error;
        struct ox_sampling_verdict v = decided(set, &t, 1);
        cr_assert_float_eq(v.score, cases[i].score, 1e-9, "%zu: %g", i, v.score);
        cr_assert_float_eq(v.p, cases[i].p, cases[i].p * 1.3e-4, "%zu: %g", i, v.p);
        cr_assert_eq(v.winner, cases[i].score > 0 ? OX_WON_SCORE : OX_WON_RATE, "%zu", i);
    }
    ox_sampling_free(set);
}

Test(sampling, weights_combine_by_the_larger_threshold)
{
    uint64_t tenth = ox_threshold_of(0.1), half = ox_threshold_of(0.5);
    cr_assert_float_eq(ox_sampling_weight(tenth, 0), 10, 1e-9);
    cr_assert_float_eq(ox_sampling_weight(tenth, half), 10, 1e-9, "not 20");
    cr_assert_float_eq(ox_sampling_weight(half, tenth), 10, 1e-9);
    cr_assert_eq(ox_sampling_weight(0, 0), 1);
}

Test(sampling, tenants_have_their_own_rules)
{
    struct ox_sampling_set *set =
        rules("sampling: {default: {rates: [{probability: 0.5}]}, tenants: {acme: {rates: "
              "[{probability: 0.25}], budget: {spans_per_s: 100}, window: 10m, score: {of: "
              "log_duration}}}}");
    struct ox_sampling_trace t = a_trace();
    struct ox_sampling_verdict v;
    ox_sampling_decide(ox_sampling_of(set, &acme), &t, 1, &v);
    cr_assert_eq(v.p, 0.25);
    ox_sampling_decide(ox_sampling_of(set, &other), &t, 1, &v);
    cr_assert_eq(v.p, 0.5);
    struct ox_sampling_needs needs = ox_sampling_needs(ox_sampling_of(set, &acme));
    cr_assert(needs.budget_per_s == 100 && needs.window_ns == 600000000000ull && needs.log_baseline);
    cr_assert_eq(ox_sampling_tenants(set), 1);
    ox_sampling_free(set);
}

Test(sampling, mistakes_are_all_named)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"sampling: {default: {rate: []}}", "f:1: sampling.default.rate: unknown; did you mean rates?"},
        {"sampling:\n  default:\n    rates:\n      - probability: 2\n",
         "f:4: sampling.default.rates[0].probability: '2' is not a probability from 0 to 1"},
        {"sampling: {default: {rates: [{service: a}]}}", "rates[0]: the rate has no probability"},
        {"sampling: {default: {keep: [{name: x}]}}", "keep[0]: the rule has no condition"},
        {"sampling: {default: {keep: [{if: {status: error}}]}}", "keep[0]: the rule has no name"},
        {"sampling: {default: {keep: [{name: x, if: {}}]}}", "keep[0].if: a condition is expected here"},
        {"sampling: {default: {keep: [{name: x, if: {status: bad}}]}}",
         "keep[0].if.status: 'bad' is none of unset, ok, error"},
        {"sampling: {default: {keep: [{name: x, if: {values: [a]}}]}}", "its key is missing"},
        {"sampling: {default: {keep: [{name: x, if: {percentile: 100}}]}}", "'100' is not a percentile"},
        {"sampling: {default: {keep: [{name: x, if: {any: []}}]}}", "a list of conditions"},
        {"sampling: {default: {keep: [{name: x, if: {not: a}}]}}", "if.not: a section of keys"},
        {"sampling: {default: {keep: [{name: x, if: {any: {}}}]}}", "if.any: a list is expected"},
        {"sampling: {default: {keep: {name: x}}}", "keep: a list is expected here"},
        {"sampling: {default: {keep: [{name: x, if: {head: 1}}, {name: x, if: {head: true}}]}}",
         "a rule named x already"},
        {"sampling: {default: {window: 2d}}", "window: '2d' is not a duration up to 24h"},
        {"sampling: {default: {minimum: {per_service: 1.5}}}", "'1.5' is not a whole number"},
        {"sampling: {default: {budget: {spans_per_s: many}}}", "'many' is not a number of spans"},
        {"sampling: {default: {score: {points: [{points: 5}]}}}", "a condition and its points"},
        {"sampling: {default: {score: {full: 0}}}", "'0' is not a number of points, 1 or more"},
        {"sampling: {tenants: {Acme: {}}}", "sampling.tenants.Acme: "},
        {"sampling: []", "sampling: a section of keys is expected here"},
        {"validate: {}", "validate: unknown; there are sampling"},
        {"sampling: {default: {\n", "not valid YAML"},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        struct ox_sampling_set *set;
        ox_config_report_init(&report);
        cr_assert_eq(ox_sampling_read(ox_str_of(cases[i].text), "f", &set, &report), OX_E_CONFIG, "%s",
                     cases[i].text);
        cr_assert_null(set);
        ox_buf_append(&report.text, "", 1);
        cr_assert_not_null(strstr((const char *)report.text.data, cases[i].says), "%s: %s", cases[i].text,
                           (const char *)report.text.data);
        ox_config_report_fini(&report);
    }
    struct ox_sampling_set *set;
    ox_config_report_init(&report);
    cr_assert_eq(
        ox_sampling_read(OX_STR("sampling: {default: {x: 1, y: 2, budget: {z: 1}}}"), "f", &set, &report),
        OX_E_CONFIG);
    cr_assert_eq(report.problems, 3);
    ox_config_report_fini(&report);
}

Test(sampling, bounds)
{
    struct ox_buf text = {0};
    struct ox_sampling_set *set;
    ox_buf_append_cstr(&text, "sampling:\n  default:\n    keep:\n");
    for (int i = 0; i <= OX_SAMPLING_CLAUSES_MAX; i++)
        ox_buf_printf(&text, "      - {name: r%d, if: {service: s}}\n", i);
    ox_config_report_init(&report);
    cr_assert_eq(ox_sampling_read(ox_buf_str(&text), "f", &set, &report), OX_E_CONFIG);
    cr_assert_eq(report.problems, 2, "one clause, and one rule too many");
    ox_config_report_fini(&report);
    ox_buf_fini(&text);
}

static struct ox_sampling_set *
shipped(const char *path)
{
    static char text[65536];
    FILE *f = fopen(path, "re");
    cr_assert_not_null(f, "%s", path);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    return rules(text);
}

Test(sampling, the_shipped_files)
{
    struct ox_sampling_set *set = shipped(POLICIES "/sampling.yaml");
    cr_assert_not(ox_sampling_can_drop(ox_sampling_of(set, &acme)), "as shipped everything is kept");
    ox_sampling_free(set);
    set = shipped(POLICIES "/sampling_tenth.yaml");
    struct ox_sampling_trace t = a_trace();
    cr_assert(ox_sampling_can_drop(ox_sampling_of(set, &acme)));
    cr_assert_float_eq(decided(set, &t, 1).p, 0.1, 1e-5);
    ox_sampling_free(set);
}
