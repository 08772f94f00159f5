/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/sampling_read.c - the rules of sampling: from YAML to the rules of each tenant. docs/sampling.md is their
 * page.
 *
 * Owns:    the set that it makes, until it is given away.
 * Threads: any; a reading belongs to one thread.
 * Bounds:  see include/ox/sampling.h and policies/sampling.h.
 * Fails:   CONFIG: everything that is wrong is in the report, "FILE:LINE: place: sentence". NOMEM.
 */
#include <stdio.h>
#include <stdlib.h>

#include "policies/sampling_read.h"

/* 25 KiB of rules for each tenant that may have its own. */
#define SET_BYTES_MAX (64u << 20)

/* ---- rules ---- */

static void
rule_name(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    struct ox__rule *rule = into;
    if (!ox__read_is(r, value, OX_YAML_SCALAR))
        return;
    if (value->text.n == 0 || value->text.n > OX_SAMPLING_NAME_MAX)
        ox__read_problem(r, value, "a name of 1 to %d bytes is expected here", OX_SAMPLING_NAME_MAX);
    snprintf(rule->name, sizeof(rule->name), "%s", value->text.p);
}

static void
rule_if(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    struct ox__rule *rule = into;
    rule->condition.first = r->rules->n_steps;
    ox__read_condition(r, value);
    rule->condition.n = r->rules->n_steps - rule->condition.first;
}

static void
rule_value(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_probability(r, value, &((struct ox__rule *)into)->value);
}

static void
rule_points(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_points(r, value, &((struct ox__rule *)into)->value);
}

static bool
has_name(const struct ox_sampling *rules, const char *name)
{
    for (uint32_t i = 0; i < rules->n_keep; i++) {
        if (strcmp(rules->keep[i].name, name) == 0)
            return true;
    }
    return false;
}

static void
keep_item(struct ox__reader *r, const struct ox_yaml_node *item, void *into)
{
    static const struct ox__read_key keys[] = {
        {"name", rule_name}, {"if", rule_if}, {"probability", rule_value}};
    struct ox__rule rule = {.value = 1};
    (void)into;
    ox__read_section(r, item, keys, OX_COUNT(keys), &rule);
    if (item->kind != OX_YAML_MAP)
        return;
    if (rule.name[0] == '\0')
        ox__read_problem(r, item,
                         "the rule has no name; it is what says why a trace was kept (name: errors)");
    else if (has_name(r->rules, rule.name))
        ox__read_problem(r, item, "there is a rule named %s already", rule.name);
    if (ox_yaml_get(item, "if") == NULL)
        ox__read_problem(r, item,
                         "the rule has no condition (if: {status: error}); a rate for all is one of `rates`");
    if (r->rules->n_keep == OX_SAMPLING_RULES_MAX)
        ox__read_problem(r, item, "one more rule than a tenant may have (%d)", OX_SAMPLING_RULES_MAX);
    else
        r->rules->keep[r->rules->n_keep++] = rule;
}

static void
take_keep(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_list(r, value, keep_item, into);
}

/* ---- rates ---- */

struct rate_read {
    struct ox__asked asked;
    double probability;
};

static void
rate_probability(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_probability(r, value, &((struct rate_read *)into)->probability);
}

static void
rate_item(struct ox__reader *r, const struct ox_yaml_node *item, void *into)
{
    static const struct ox__read_key keys[] = {{"service", ox__ask_service},
                                               {"operation", ox__ask_operation},
                                               {"attribute", ox__ask_attribute},
                                               {"values", ox__ask_values},
                                               {"probability", rate_probability}};
    struct rate_read read = {{.clause = ox__clause_empty()}, -1};
    const struct ox__clause *c = &read.asked.clause;
    (void)into;
    ox__read_section(r, item, keys, OX_COUNT(keys), &read); /* `asked` stands first */
    if (item->kind != OX_YAML_MAP)
        return;
    if (ox_yaml_get(item, "probability") == NULL)
        ox__read_problem(r, item, "the rate has no probability (probability: 0.1)");
    struct ox__rate rate = {.probability = read.probability,
                            .rank = (c->service.p != NULL ? OX__RANK_SERVICE : 0) +
                                    (c->operation.p != NULL ? OX__RANK_OPERATION : 0) +
                                    (c->attribute.p != NULL ? OX__RANK_ATTRIBUTE : 0)};
    if (read.asked.span)
        rate.clause = ox__read_clause(r, item, c);
    if (r->rules->n_rates == OX_SAMPLING_RULES_MAX)
        ox__read_problem(r, item, "one more rate than a tenant may have (%d)", OX_SAMPLING_RULES_MAX);
    else
        r->rules->rates[r->rules->n_rates++] = rate;
}
_Static_assert(offsetof(struct rate_read, asked) == 0, "the functions of conditions take it for theirs");

static void
take_rates(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_list(r, value, rate_item, into);
}

/* ---- score, minimum, budget ---- */

static void
score_full(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_number(r, value, 1, 1e6, "a number of points, 1 or more",
                    &((struct ox_sampling *)into)->score_full);
}

static void
score_z(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_points(r, value, &((struct ox_sampling *)into)->score_z);
}

static void
score_parent(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_points(r, value, &((struct ox_sampling *)into)->score_parent);
}

static void
score_of_what(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    static const char *const names[] = {"duration", "log_duration"};
    int which = 0;
    ox__read_name(r, value, names, 2, "duration, log_duration", &which);
    ((struct ox_sampling *)into)->needs.log_baseline = which == 1;
}

static void
points_item(struct ox__reader *r, const struct ox_yaml_node *item, void *into)
{
    static const struct ox__read_key keys[] = {{"if", rule_if}, {"points", rule_points}};
    struct ox__rule rule = {.value = -1};
    (void)into;
    ox__read_section(r, item, keys, OX_COUNT(keys), &rule);
    if (item->kind != OX_YAML_MAP)
        return;
    if (ox_yaml_get(item, "if") == NULL || ox_yaml_get(item, "points") == NULL)
        ox__read_problem(r, item,
                         "a condition and its points are expected here ({if: {status: error}, points: 50})");
    if (r->rules->n_points == OX_SAMPLING_RULES_MAX)
        ox__read_problem(r, item, "one more than a tenant may have (%d)", OX_SAMPLING_RULES_MAX);
    else
        r->rules->points[r->rules->n_points++] = rule;
}

static void
score_points(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_list(r, value, points_item, into);
}

static void
take_score(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    static const struct ox__read_key keys[] = {{"full", score_full},
                                               {"z", score_z},
                                               {"parent_sampled", score_parent},
                                               {"of", score_of_what},
                                               {"points", score_points}};
    ox__read_section(r, value, keys, OX_COUNT(keys), into);
}

static void
min_operation(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_count(r, value, &((struct ox_sampling *)into)->min_operation);
}

static void
min_service(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_count(r, value, &((struct ox_sampling *)into)->min_service);
}

static void
take_minimum(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    static const struct ox__read_key keys[] = {{"per_operation", min_operation},
                                               {"per_service", min_service}};
    ox__read_section(r, value, keys, OX_COUNT(keys), into);
}

static void
budget_spans(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_number(r, value, 0, 1e12, "a number of spans per second, 0 for no budget",
                    &((struct ox_sampling *)into)->needs.budget_per_s);
}

static void
take_budget(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    static const struct ox__read_key keys[] = {{"spans_per_s", budget_spans}};
    ox__read_section(r, value, keys, OX_COUNT(keys), into);
}

static void
take_window(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_duration(r, value, &((struct ox_sampling *)into)->needs.window_ns);
}

/* ---- tenants ---- */

void
ox__sampling_init(struct ox_sampling *rules)
{
    rules->score_full = 50; /* five deviations are certain */
    rules->score_z = 10;
    rules->score_parent = 25;
    rules->needs.window_ns = 3600000000000ull;
}

static struct ox_sampling *
new_rules(struct ox__reader *r)
{
    struct ox_sampling *rules = ox_arena_calloc(r->set->arena, 1, sizeof(*rules));
    if (rules != NULL)
        ox__sampling_init(rules);
    r->failed |= rules == NULL;
    return rules;
}

static void
take_rules(struct ox__reader *r, const struct ox_yaml_node *value, struct ox_sampling *rules)
{
    static const struct ox__read_key keys[] = {{"rates", take_rates},   {"keep", take_keep},
                                               {"score", take_score},   {"minimum", take_minimum},
                                               {"budget", take_budget}, {"window", take_window}};
    r->rules = rules;
    ox__read_section(r, value, keys, OX_COUNT(keys), rules);
}

static void
take_default(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    (void)into;
    struct ox_sampling *rules = new_rules(r);
    if (rules == NULL)
        return;
    take_rules(r, value, rules);
    r->set->others = rules;
}

static void
take_tenant(struct ox__reader *r, const struct ox_yaml_node *value)
{
    struct ox_diag diag;
    struct ox_tenant_id tenant;
    ox_diag_clear(&diag);
    if (ox_tenant_id_parse(value->key, &tenant, &diag) != OX_OK) {
        ox__read_problem(r, value, "%s", diag.text);
        return;
    }
    struct ox_sampling *rules = new_rules(r);
    if (rules == NULL)
        return;
    rules->tenant = tenant;
    take_rules(r, value, rules);
    rules->next = r->set->first;
    r->set->first = rules;
    r->set->n++;
}

static void
take_tenants(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    (void)into;
    if (!ox__read_is(r, value, OX_YAML_MAP))
        return;
    if (value->n > OX_SAMPLING_TENANTS_MAX) {
        ox__read_problem(r, value, "more tenants than may have rules of their own (%d)",
                         OX_SAMPLING_TENANTS_MAX);
        return;
    }
    for (const struct ox_yaml_node *c = value->first; c != NULL; c = c->next) {
        size_t was = ox__read_enter(r, c->key, 0);
        take_tenant(r, c);
        ox__read_leave(r, was);
    }
}

static void
take_sampling(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    static const struct ox__read_key keys[] = {{"default", take_default}, {"tenants", take_tenants}};
    ox__read_section(r, value, keys, OX_COUNT(keys), into);
}

/* ---- the set ---- */

static struct ox_sampling_set *
new_set(void)
{
    struct ox_sampling_set *set = calloc(1, sizeof(*set));
    if (set != NULL)
        set->arena = ox_arena_new(SET_BYTES_MAX, NULL);
    if (set == NULL || set->arena == NULL) {
        free(set);
        return NULL;
    }
    struct ox__reader r = {.set = set};
    set->others = new_rules(&r);
    if (r.failed) {
        ox_sampling_free(set);
        return NULL;
    }
    return set;
}

struct ox_sampling_set *
ox_sampling_default(void)
{
    return new_set();
}

static ox_err
read_tree(struct ox__reader *r, struct ox_str text)
{
    static const struct ox__read_key keys[] = {{"sampling", take_sampling}};
    struct ox_yaml *yaml;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    ox_err err = ox_yaml_parse(text, &yaml, &diag);
    if (err == OX_E_CONFIG) {
        r->report->problems++;
        ox_buf_printf(&r->report->text, "%s:%lld: %s\n", r->file,
                      (long long)(diag.offset > 0 ? diag.offset : 1), diag.text);
    }
    if (err != OX_OK)
        return err;
    ox__read_section(r, ox_yaml_root(yaml), keys, OX_COUNT(keys), NULL);
    ox_yaml_free(yaml);
    return r->failed || r->report->text.failed ? OX_E_NOMEM : r->report->problems > 0 ? OX_E_CONFIG : OX_OK;
}

ox_err
ox_sampling_read(struct ox_str text, const char *name, struct ox_sampling_set **out,
                 struct ox_config_report *report)
{
    struct ox__reader *r = calloc(1, sizeof(*r));
    *out = NULL;
    if (r == NULL)
        return OX_E_NOMEM;
    *r = (struct ox__reader){.file = name, .report = report, .set = new_set()};
    ox_err err = r->set != NULL ? read_tree(r, text) : OX_E_NOMEM;
    if (err == OX_OK)
        *out = r->set;
    else
        ox_sampling_free(r->set);
    free(r);
    return err;
}
