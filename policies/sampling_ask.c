/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/sampling_ask.c - conditions of rules: from YAML to clauses and steps. See sampling_read.h.
 *
 * Owns, Threads, Fails: see there.
 *
 * What a map asks of a span is gathered and becomes one clause, so that it must hold of one span; all else becomes
 * steps at once.
 */
#include "policies/sampling_read.h"

/* ---- clauses ---- */

static void
take_service(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_text(r, value, &((struct ox__clause *)into)->service);
}

static void
take_operation(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_text(r, value, &((struct ox__clause *)into)->operation);
}

static void
take_attribute(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_text(r, value, &((struct ox__clause *)into)->attribute);
}

static void
take_value(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    struct ox__clause *c = into;
    ox__read_text(r, value, (struct ox_str *)(uintptr_t)&c->values[c->n_values]);
    c->n_values++;
}

static void
take_values(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    struct ox__clause *c = into;
    uint32_t n = value->kind == OX_YAML_LIST ? value->n : 1;
    if (n == 0 || n > 1000) {
        ox__read_problem(r, value, "1 to 1000 values are expected here");
        return;
    }
    c->values = ox_arena_calloc(r->set->arena, n, sizeof(*c->values));
    if (c->values == NULL)
        r->failed = true;
    else if (value->kind == OX_YAML_LIST)
        ox__read_list(r, value, take_value, c);
    else
        take_value(r, value, c);
}

static void
take_status(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    static const char *const names[] = {"unset", "ok", "error"};
    ox__read_name(r, value, names, 3, "unset, ok, error", &((struct ox__clause *)into)->status);
}

static void
take_kind(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    static const char *const names[] = {"unspecified", "internal", "server",
                                        "client",      "producer", "consumer"};
    ox__read_name(r, value, names, 6, "internal, server, client, producer, consumer",
                  &((struct ox__clause *)into)->kind);
}

static void
take_sampled(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_bool(r, value, &((struct ox__clause *)into)->sampled);
}

static void
take_head(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_bool(r, value, &((struct ox__clause *)into)->head);
}

static void
take_longer(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_duration(r, value, &((struct ox__clause *)into)->longer_ns);
}

struct ox__clause
ox__clause_empty(void)
{
    return (struct ox__clause){.status = OX__ANY, .kind = OX__ANY, .sampled = OX__ANY, .head = OX__ANY};
}

/* The clause's bit, or 0 with a problem. */
uint64_t
ox__read_clause(struct ox__reader *r, const struct ox_yaml_node *at, const struct ox__clause *c)
{
    struct ox_sampling *rules = r->rules;
    if (c->n_values > 0 && c->attribute.p == NULL) {
        ox__read_problem(r, at, "values are those of an attribute; its key is missing (attribute: KEY)");
        return 0;
    }
    if (rules->n_clauses == OX_SAMPLING_CLAUSES_MAX) {
        ox__read_problem(r, at, "one more condition on spans than a tenant may have (%d)",
                         OX_SAMPLING_CLAUSES_MAX);
        return 0;
    }
    rules->clauses[rules->n_clauses] = *c;
    return 1ull << rules->n_clauses++;
}

/* ---- conditions ---- */

static void
step(struct ox__reader *r, const struct ox_yaml_node *at, enum ox__step_kind kind, uint32_t clause,
     double value)
{
    struct ox_sampling *rules = r->rules;
    if (rules->n_steps == OX__SAMPLING_STEPS_MAX)
        ox__read_problem(r, at, "more conditions than a tenant may have (%d)", OX__SAMPLING_STEPS_MAX);
    else
        rules->steps[rules->n_steps++] = (struct ox__step){kind, clause, value};
}

/* A truth was pushed: joined with what stands before it. */
static void
joined(struct ox__reader *r, const struct ox_yaml_node *at, enum ox__step_kind by, uint32_t *terms)
{
    if ((*terms)++ > 0)
        step(r, at, by, 0, 0);
}

/* A key that asks something of a span: of the one clause that the map becomes. */
#define ASKED_OF_SPAN(ask, take)                                                                             \
    void ask(struct ox__reader *r, const struct ox_yaml_node *value, void *into)                             \
    {                                                                                                        \
        struct ox__asked *a = into;                                                                          \
        a->span = true;                                                                                      \
        take(r, value, &a->clause);                                                                          \
    }
ASKED_OF_SPAN(ox__ask_service, take_service)
ASKED_OF_SPAN(ox__ask_operation, take_operation)
ASKED_OF_SPAN(ox__ask_attribute, take_attribute)
ASKED_OF_SPAN(ox__ask_values, take_values)
static ASKED_OF_SPAN(ask_status, take_status) static ASKED_OF_SPAN(ask_kind, take_kind) static ASKED_OF_SPAN(
    ask_sampled, take_sampled) static ASKED_OF_SPAN(ask_head, take_head) static ASKED_OF_SPAN(ask_longer,
                                                                                              take_longer)

    static void ask_percentile(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    double v;
    if (!ox__read_number(r, value, 50, 99.99, "a percentile from 50 to 99.99, such as 99", &v))
        return;
    step(r, value, OX__STEP_SLOW, 0, 1 - v / 100);
    joined(r, value, OX__STEP_AND, &((struct ox__asked *)into)->terms);
}

static void
ask_rare(struct ox__reader *r, const struct ox_yaml_node *value, void *into, enum ox__step_kind kind)
{
    double v;
    if (!ox__read_number(r, value, 1, 1e6, "a number of traces from 1 to 1000000, below which it is rare",
                         &v))
        return;
    step(r, value, kind, 0, v);
    joined(r, value, OX__STEP_AND, &((struct ox__asked *)into)->terms);
}

static void
ask_rare_operation(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ask_rare(r, value, into, OX__STEP_RARE_OP);
}

static void
ask_rare_edge(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ask_rare(r, value, into, OX__STEP_RARE_EDGE);
}

struct list {
    enum ox__step_kind by;
    uint32_t terms;
};

static void
list_item(struct ox__reader *r, const struct ox_yaml_node *item, void *into)
{
    struct list *l = into;
    ox__read_condition(r, item);
    joined(r, item, l->by, &l->terms);
}

static void
ask_list(struct ox__reader *r, const struct ox_yaml_node *value, void *into, enum ox__step_kind by)
{
    struct list l = {by, 0};
    ox__read_list(r, value, list_item, &l);
    if (value->kind == OX_YAML_LIST && value->n == 0)
        ox__read_problem(r, value, "a list of conditions is expected here");
    joined(r, value, OX__STEP_AND, &((struct ox__asked *)into)->terms);
}

static void
ask_all(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ask_list(r, value, into, OX__STEP_AND);
}

static void
ask_any(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ask_list(r, value, into, OX__STEP_OR);
}

static void
ask_not(struct ox__reader *r, const struct ox_yaml_node *value, void *into)
{
    ox__read_condition(r, value);
    step(r, value, OX__STEP_NOT, 0, 0);
    joined(r, value, OX__STEP_AND, &((struct ox__asked *)into)->terms);
}

/* Pushes one truth: all of what the map asks. */
void
ox__read_condition(struct ox__reader *r, const struct ox_yaml_node *map)
{
    static const struct ox__read_key keys[] = {
        {"service", ox__ask_service},
        {"operation", ox__ask_operation},
        {"attribute", ox__ask_attribute},
        {"values", ox__ask_values},
        {"status", ask_status},
        {"kind", ask_kind},
        {"longer_than", ask_longer},
        {"sampled", ask_sampled},
        {"head", ask_head},
        {"percentile", ask_percentile},
        {"rare_edge", ask_rare_edge},
        {"rare_operation", ask_rare_operation},
        {"all", ask_all},
        {"any", ask_any},
        {"not", ask_not},
    };
    struct ox__asked a = {.clause = ox__clause_empty()};
    ox__read_section(r, map, keys, OX_COUNT(keys), &a);
    if (map->kind == OX_YAML_MAP && map->n == 0)
        ox__read_problem(r, map, "a condition is expected here, such as {status: error}");
    if (!a.span)
        return;
    uint64_t bit = ox__read_clause(r, map, &a.clause);
    step(r, map, OX__STEP_CLAUSE, bit != 0 ? (uint32_t)__builtin_ctzll(bit) : 0, 0);
    joined(r, map, OX__STEP_AND, &a.terms);
}
