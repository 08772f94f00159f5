/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/random_batch.c - batches with every field of OTLP set at random, from a seed.
 *
 * Owns:    nothing.
 * Threads: any.
 * Bounds:  arrays are allocated for the worst case of the options.
 */
#include "tests/harness/random_batch.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX   160u
#define ATTRS_MAX  8u
#define ITEMS_MAX  3u /* events, links, exemplars of a row */
#define VALUES_MAX 12u
#define ORIGINS    5u
#define ENTITY_MAX 16u /* bytes of an EntityRef */
/* Texts per row: names, attributes of the row and of its items. */
#define TEXTS_PER_ROW 64u

struct rb {
    uint64_t state;
    const struct random_batch *o;
    struct ox_batch *b;
    size_t text_at;
};

static uint64_t
rnd(struct rb *g)
{
    uint64_t z = (g->state += 0x9e3779b97f4a7c15ull);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static uint32_t
below(struct rb *g, uint32_t n)
{
    return (uint32_t)(rnd(g) % n);
}

static void *
make(size_t n, size_t size)
{
    void *p = calloc(n + 1, size);
    OX_ASSERT(p != NULL);
    return p;
}

/* Empty, or a word of the vocabulary: some short, some long, some with bytes beyond ASCII. */
static struct ox_str
word(struct rb *g)
{
    char *to = (char *)g->b->body->data + g->text_at;
    uint32_t w = below(g, g->o->words_max + 1);
    if (w == 0)
        return (struct ox_str){NULL, 0};
    OX_ASSERT(g->text_at + TEXT_MAX <= g->b->body->cap);
    int n = snprintf(to, TEXT_MAX,
                     w % 3 == 0   ? "w%u"
                     : w % 3 == 1 ? "grüße.%u"
                                  : "a.long.name.with.%u.parts",
                     w);
    if (w % 17 == 0) {
        memset(to, 'x', TEXT_MAX - 10);
        n = TEXT_MAX - 10;
    }
    g->text_at += (size_t)n;
    return (struct ox_str){to, (size_t)n};
}

static struct ox_any
any(struct rb *g)
{
    switch (below(g, 8)) {
    case 0:
        return (struct ox_any){.type = OX_ANY_INT, .i = (int64_t)rnd(g) >> below(g, 64)};
    case 1:
        return (struct ox_any){.type = OX_ANY_BOOL, .b = (rnd(g) & 1) != 0};
    case 2:
        return (struct ox_any){.type = OX_ANY_DOUBLE, .d = (double)(int64_t)rnd(g) / 1024};
    case 3:
        return (struct ox_any){.type = below(g, 2) != 0 ? OX_ANY_BYTES : OX_ANY_NONE, .str = {NULL, 0}};
    default:
        return (struct ox_any){.type = OX_ANY_STRING, .str = word(g)};
    }
}

static struct ox_slice
attrs(struct rb *g)
{
    struct ox_batch *b = g->b;
    struct ox_slice s = {b->n_attrs, below(g, ATTRS_MAX + 1)};
    bool strings = below(g, 2) != 0;
    for (uint32_t i = 0; i < s.count; i++) {
        struct ox_any value = strings ? (struct ox_any){.type = OX_ANY_STRING, .str = word(g)} : any(g);
        OX_ASSERT(b->n_attrs < b->cap_attrs);
        b->attrs[b->n_attrs++] = ox_attr_of(word(g), value);
    }
    return s;
}

static uint64_t
time_ns(struct rb *g)
{
    return g->o->from_ns + rnd(g) % g->o->span_ns;
}

static void
bytes(struct rb *g, uint8_t *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)rnd(g);
}

static uint8_t
reject(struct rb *g)
{
    return !g->o->plain && below(g, 9) == 0 ? OX_REJECT_VALUE : OX_REJECT_NONE;
}

/* EntityRefs of a type and one key. */
static struct ox_slice
entities(struct rb *g)
{
    struct ox_batch *b = g->b;
    struct ox_slice s = {b->n_entities, below(g, ITEMS_MAX)};
    for (uint32_t i = 0; i < s.count; i++) {
        char *to = (char *)b->body->data + g->text_at;
        OX_ASSERT(g->text_at + ENTITY_MAX <= b->body->cap);
        int n = snprintf(to, ENTITY_MAX, "\x12\x02t%u\x1a\x03k.%u", below(g, 9), below(g, 9));
        g->text_at += (size_t)n;
        b->entities[b->n_entities++] = (struct ox_str){to, (size_t)n};
    }
    return s;
}

static void
origins(struct rb *g)
{
    struct ox_batch *b = g->b;
    b->resources = make(ORIGINS, sizeof(*b->resources));
    b->scopes = make(ORIGINS, sizeof(*b->scopes));
    b->cap_entities = ORIGINS * ITEMS_MAX;
    b->entities = make(b->cap_entities, sizeof(*b->entities));
    b->n_resources = b->n_scopes = b->cap_resources = b->cap_scopes = ORIGINS;
    for (uint32_t i = 0; i < ORIGINS; i++) {
        b->resources[i] = (struct ox_resource){
            .attrs = attrs(g), .dropped_attrs = below(g, 3), .schema_url = word(g), .service_name = word(g)};
        b->resources[i].entities = entities(g);
        b->scopes[i] = (struct ox_scope){.resource = below(g, i + 1),
                                         .name = word(g),
                                         .version = word(g),
                                         .attrs = attrs(g),
                                         .dropped_attrs = below(g, 3),
                                         .schema_url = word(g)};
    }
}

static void
events_and_links(struct rb *g, struct ox_span *s)
{
    struct ox_batch *b = g->b;
    s->events = (struct ox_slice){b->n_events, below(g, ITEMS_MAX + 1)};
    for (uint32_t i = 0; i < s->events.count; i++)
        b->events[b->n_events++] = (struct ox_span_event){
            .time_ns = time_ns(g), .name = word(g), .attrs = attrs(g), .dropped_attrs = below(g, 4)};
    s->links = (struct ox_slice){b->n_links, below(g, ITEMS_MAX + 1)};
    for (uint32_t i = 0; i < s->links.count; i++) {
        struct ox_span_link *l = &b->links[b->n_links++];
        *l = (struct ox_span_link){
            .trace_state = word(g), .attrs = attrs(g), .dropped_attrs = below(g, 4), .flags = below(g, 999)};
        bytes(g, l->trace_id, 16);
        bytes(g, l->span_id, 8);
    }
}

static void
spans(struct rb *g)
{
    struct ox_batch *b = g->b;
    b->spans = make(g->o->rows, sizeof(*b->spans));
    b->events = make(g->o->rows * ITEMS_MAX, sizeof(*b->events));
    b->links = make(g->o->rows * ITEMS_MAX, sizeof(*b->links));
    for (uint32_t i = 0; i < g->o->rows; i++) {
        struct ox_span *s = &b->spans[b->n_spans++];
        *s = (struct ox_span){.scope = below(g, ORIGINS), .ordinal = i, .reject = reject(g)};
        bytes(g, s->trace_id, 16);
        bytes(g, s->span_id, 8);
        if (below(g, 3) != 0)
            bytes(g, s->parent_span_id, 8);
        s->trace_state = word(g);
        s->name = word(g);
        s->start_ns = time_ns(g);
        s->end_ns = s->start_ns + rnd(g) % 1000000000000ull;
        s->flags = (uint32_t)rnd(g);
        s->kind = (uint8_t)below(g, 6);
        s->status_code = (uint8_t)below(g, 3);
        s->status_message = word(g);
        s->attrs = attrs(g);
        events_and_links(g, s);
        s->dropped_attrs = below(g, 9);
        s->dropped_events = (uint32_t)rnd(g);
        s->dropped_links = below(g, 9);
    }
}

static void
logs(struct rb *g)
{
    struct ox_batch *b = g->b;
    b->logs = make(g->o->rows, sizeof(*b->logs));
    for (uint32_t i = 0; i < g->o->rows; i++) {
        struct ox_log *l = &b->logs[b->n_logs++];
        *l = (struct ox_log){.scope = below(g, ORIGINS), .ordinal = i, .reject = reject(g)};
        l->time_ns = g->o->plain || below(g, 3) != 0 ? time_ns(g) : 0;
        l->observed_ns = g->o->plain || below(g, 3) != 0 ? time_ns(g) : 0;
        if (below(g, 2) != 0) {
            bytes(g, l->trace_id, 16);
            bytes(g, l->span_id, 8);
        }
        l->severity = (uint8_t)below(g, 25);
        l->flags = (uint32_t)rnd(g);
        l->severity_text = word(g);
        l->event_name = word(g);
        l->body = any(g);
        l->attrs = attrs(g);
        l->dropped_attrs = below(g, 9);
    }
}

static struct ox_slice
doubles(struct rb *g)
{
    struct ox_batch *b = g->b;
    struct ox_slice s = {b->n_f64s, below(g, VALUES_MAX)};
    for (uint32_t i = 0; i < s.count; i++)
        b->f64s[b->n_f64s++] = (double)(int32_t)rnd(g) / 64;
    return s;
}

static struct ox_slice
numbers(struct rb *g)
{
    struct ox_batch *b = g->b;
    struct ox_slice s = {b->n_u64s, below(g, VALUES_MAX)};
    for (uint32_t i = 0; i < s.count; i++)
        b->u64s[b->n_u64s++] = rnd(g) >> below(g, 64);
    return s;
}

static void
exemplars(struct rb *g, struct ox_point_more *more)
{
    struct ox_batch *b = g->b;
    more->exemplars = (struct ox_slice){b->n_exemplars, below(g, ITEMS_MAX)};
    for (uint32_t i = 0; i < more->exemplars.count; i++) {
        struct ox_exemplar *x = &b->exemplars[b->n_exemplars++];
        *x = (struct ox_exemplar){.time_ns = time_ns(g), .is_int = (rnd(g) & 1) != 0, .attrs = attrs(g)};
        x->int_value = (int64_t)rnd(g);
        x->value = x->is_int ? (double)x->int_value : (double)(int32_t)rnd(g) / 8;
        bytes(g, x->trace_id, 16);
        bytes(g, x->span_id, 8);
    }
}

static void
point_values(struct rb *g, struct ox_point *p, struct ox_point_more *more)
{
    p->has = (uint8_t)(below(g, 32));
    if ((p->has & OX_POINT_IS_INT) != 0)
        p->int_value = (int64_t)rnd(g) >> below(g, 64);
    else
        p->value = (double)(int32_t)rnd(g) / 8;
    more->count = rnd(g);
    more->sum = (double)(int32_t)rnd(g) / 4;
    more->min = (double)(int32_t)rnd(g) / 4;
    more->max = (double)(int32_t)rnd(g) / 4;
    more->bounds = doubles(g);
    more->values = doubles(g);
    more->counts = numbers(g);
    more->negative = numbers(g);
    more->scale = (int32_t)below(g, 40) - 20;
    more->positive_offset = (int32_t)rnd(g);
    more->negative_offset = (int32_t)rnd(g);
    more->zero_count = rnd(g);
    more->zero_threshold = (double)below(g, 100) / 8;
}

static void
points(struct rb *g)
{
    struct ox_batch *b = g->b;
    uint32_t n_metrics = g->o->rows / 4 + 1;
    b->metrics = make(n_metrics, sizeof(*b->metrics));
    b->points = make(g->o->rows, sizeof(*b->points));
    b->mores = make(g->o->rows, sizeof(*b->mores));
    b->exemplars = make(g->o->rows * ITEMS_MAX, sizeof(*b->exemplars));
    b->f64s = make((size_t)g->o->rows * 2 * VALUES_MAX, sizeof(*b->f64s));
    b->u64s = make((size_t)g->o->rows * 2 * VALUES_MAX, sizeof(*b->u64s));
    for (uint32_t i = 0; i < n_metrics; i++)
        b->metrics[b->n_metrics++] = (struct ox_metric){.scope = below(g, ORIGINS),
                                                        .name = word(g),
                                                        .description = word(g),
                                                        .unit = word(g),
                                                        .metadata = attrs(g),
                                                        .type = (uint8_t)(OX_METRIC_GAUGE + below(g, 5)),
                                                        .temporality = (uint8_t)below(g, 3),
                                                        .monotonic = (rnd(g) & 1) != 0};
    for (uint32_t i = 0; i < g->o->rows; i++) {
        struct ox_point *p = &b->points[b->n_points++];
        *p = (struct ox_point){.metric = i * n_metrics / g->o->rows, .ordinal = i, .reject = reject(g)};
        p->start_ns = time_ns(g);
        p->time_ns = time_ns(g);
        p->flags = below(g, 2);
        p->attrs = attrs(g);
        p->more = ++b->n_mores;
        point_values(g, p, &b->mores[p->more - 1]);
        exemplars(g, &b->mores[p->more - 1]);
    }
}

struct ox_batch *
random_batch_new(enum ox_signal signal, const struct random_batch *options)
{
    struct ox_batch *b = ox_batch_new();
    struct rb g = {.state = options->seed, .o = options, .b = b};
    OX_ASSERT(b != NULL);
    b->signal = signal;
    b->body = ox_body_new(((size_t)options->rows + 2 * ORIGINS) * TEXTS_PER_ROW * TEXT_MAX, NULL);
    OX_ASSERT(b->body != NULL);
    snprintf(b->tenant.name, sizeof(b->tenant.name), "tenant-%u", below(&g, 3));
    b->received_ns = time_ns(&g);
    b->n_records = options->rows;
    b->cap_attrs = (options->rows + 2 * ORIGINS) * ATTRS_MAX * (2 * ITEMS_MAX + 2);
    b->attrs = make(b->cap_attrs, sizeof(*b->attrs));
    origins(&g);
    if (signal == OX_SIGNAL_TRACES)
        spans(&g);
    else if (signal == OX_SIGNAL_LOGS)
        logs(&g);
    else
        points(&g);
    return b;
}
