/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/sampler/trace_buffer.c - see trace_buffer.h.
 *
 * Owns, Threads, Bounds, Fails, Flow: see there.
 */
#include <stdlib.h>

#include "actors/sampler/trace_buffer_internal.h"
#include "ox/mix.h"

#define NS_PER_MS      1000000ull
#define SPAN_LINKS_MAX 8u /* of one span, that are looked at */

void
ox_trace_buffer_options_default(struct ox_trace_buffer_options *options)
{
    *options = (struct ox_trace_buffer_options){
        .spans_max = 1u << 20,
        .traces_max = 1u << 17,
        .trace_spans_max = 20000,
        .names_max = 4096,
        .operations_max = 4096,
        .decisions_max = 1u << 20,
        .quiet_min_ns = 500 * NS_PER_MS,
        .quiet_max_ns = 5000 * NS_PER_MS, /* the schedule of the stock SDKs' batch processors */
        .wait_min_ns = 2000 * NS_PER_MS,
        .wait_max_ns = 10000 * NS_PER_MS,
    };
}

/* ---- spans ---- */

static bool
add_chunk(struct ox_trace_buffer *b)
{
    uint32_t from = b->n_chunks * OX__CHUNK_SPANS;
    if (from >= b->options.spans_max)
        return false;
    struct ox__span_features *chunk = malloc(OX__CHUNK_SPANS * sizeof(*chunk));
    if (chunk == NULL)
        return false;
    uint32_t left = b->options.spans_max - from;
    uint32_t n = left < OX__CHUNK_SPANS ? left : OX__CHUNK_SPANS;
    for (uint32_t i = 0; i < n; i++)
        chunk[i].next = i + 1 < n ? from + i + 2 : b->free_span;
    b->free_span = from + 1;
    b->chunks[b->n_chunks++] = chunk;
    return true;
}

static uint32_t
take_span(struct ox_trace_buffer *b)
{
    uint32_t place = b->free_span;
    OX_ASSERT(place != 0);
    b->free_span = ox__span_at(b, place)->next;
    b->n_spans++;
    return place;
}

static void
give_spans(struct ox_trace_buffer *b, const struct ox__trace *t)
{
    uint32_t last = t->first;
    if (last == 0)
        return;
    while (ox__span_at(b, last)->next != 0)
        last = ox__span_at(b, last)->next;
    ox__span_at(b, last)->next = b->free_span;
    b->free_span = t->first;
    b->n_spans -= t->n;
}

/* ---- traces ---- */

static uint32_t *
head_of(const struct ox_trace_buffer *b, const uint8_t id[16])
{
    uint64_t words[2];
    memcpy(words, id, sizeof(words));
    uint64_t h = ox_mix64(words[0] ^ ox_mix64(words[1] ^ b->options.seed));
    return &b->heads[(uint32_t)h & b->heads_mask];
}

static uint32_t
place_of(const struct ox_trace_buffer *b, const struct ox__trace *t)
{
    return (uint32_t)(t - b->traces) + 1;
}

static struct ox__trace *
trace_at(const struct ox_trace_buffer *b, uint32_t place)
{
    return &b->traces[place - 1];
}

static struct ox__trace *
find(const struct ox_trace_buffer *b, const uint8_t id[16])
{
    uint32_t at = *head_of(b, id);
    while (at != 0 && memcmp(trace_at(b, at)->id, id, 16) != 0)
        at = trace_at(b, at)->chain;
    return at != 0 ? trace_at(b, at) : NULL;
}

static struct ox__trace_list *
list_of(struct ox_trace_buffer *b, const struct ox__trace *t)
{
    return t->valued ? &b->valued : &b->plain;
}

static void
enlist(struct ox_trace_buffer *b, struct ox__trace *t)
{
    struct ox__trace_list *l = list_of(b, t);
    uint32_t place = place_of(b, t);
    t->older = l->newest;
    t->newer = 0;
    *(l->newest != 0 ? &trace_at(b, l->newest)->newer : &l->oldest) = place;
    l->newest = place;
}

static void
delist(struct ox_trace_buffer *b, const struct ox__trace *t)
{
    struct ox__trace_list *l = list_of(b, t);
    *(t->older != 0 ? &trace_at(b, t->older)->newer : &l->oldest) = t->newer;
    *(t->newer != 0 ? &trace_at(b, t->newer)->older : &l->newest) = t->older;
}

static void
unchain(struct ox_trace_buffer *b, const struct ox__trace *t)
{
    uint32_t *from = head_of(b, t->id), place = place_of(b, t);
    while (*from != place)
        from = &trace_at(b, *from)->chain;
    *from = t->chain;
}

/* Decided, and gone. */
static void
end_trace(struct ox_trace_buffer *b, struct ox__trace *t, enum ox_decided_why why, uint64_t now_ns)
{
    uint32_t place = place_of(b, t);
    ox__trace_decide(b, t, t->late && why != OX_WHY_PRESSURE ? OX_WHY_LATE : why, now_ns);
    give_spans(b, t);
    delist(b, t);
    unchain(b, t);
    ox__wheel_clear(&b->wheel, place - 1);
    t->chain = b->free_trace;
    b->free_trace = place;
    b->n_traces--;
}

/* The oldest that has no error, else the oldest. False when nothing waits. */
static bool
evict(struct ox_trace_buffer *b, uint64_t now_ns)
{
    uint32_t place = b->plain.oldest != 0 ? b->plain.oldest : b->valued.oldest;
    if (place == 0)
        return false;
    end_trace(b, trace_at(b, place), OX_WHY_PRESSURE, now_ns);
    return true;
}

/* Until there is room for a trace and so many spans: more memory first, then less that waits. */
static void
make_room(struct ox_trace_buffer *b, uint32_t spans, uint64_t now_ns)
{
    uint32_t free_spans = b->n_chunks * OX__CHUNK_SPANS;
    free_spans = free_spans < b->options.spans_max ? free_spans : b->options.spans_max;
    while (free_spans - b->n_spans < spans) {
        if (add_chunk(b)) {
            free_spans = b->n_chunks * OX__CHUNK_SPANS;
            free_spans = free_spans < b->options.spans_max ? free_spans : b->options.spans_max;
        } else {
            bool evicted = evict(b, now_ns);
            OX_ASSERT(
                evicted); /* one chunk is there from the start, and is larger than a span and its links */
        }
    }
    while (b->n_traces == b->options.traces_max)
        evict(b, now_ns);
}

static struct ox__trace *
begin_trace(struct ox_trace_buffer *b, const uint8_t id[16], uint64_t now_ns)
{
    uint32_t place = b->free_trace;
    if (place != 0)
        b->free_trace = trace_at(b, place)->chain;
    else
        place = ++b->used_traces;
    struct ox__trace *t = trace_at(b, place);
    uint32_t *head = head_of(b, id);
    *t = (struct ox__trace){.chain = *head, .first_ns = now_ns, .randomness = ox_trace_randomness(id)};
    memcpy(t->id, id, 16);
    t->late = ox_trace_decisions_get(b->decisions, id, &t->before);
    *head = place;
    b->n_traces++;
    enlist(b, t);
    return t;
}

/* ---- a span ---- */

/* Nothing here depends on which span came first. */
static void
take_tracestate(struct ox_trace_buffer *b, struct ox__trace *t, const struct ox_span *span, bool *from_head)
{
    struct ox_tracestate state;
    *from_head = false;
    if (OX_LIKELY(span->trace_state.n == 0))
        return;
    ox_tracestate_read(span->trace_state, &state);
    ox_tracestate_check(&state, span->trace_id);
    b->stats.faults[state.fault] += state.fault != OX_TRACESTATE_OK;
    if (state.has_rv && (!t->has_rv || state.rv < t->randomness)) {
        t->has_rv = true;
        t->randomness = state.rv;
    }
    *from_head = state.has_th && state.th > 0;
    if (*from_head && state.th > t->head_threshold)
        t->head_threshold = state.th;
}

/* The root, or what comes closest: of the spans without a parent, else of all, the first. */
static bool
is_better_root(const struct ox__trace *t, const struct ox__span_features *f)
{
    if (t->n_spans == 0 || t->has_root != (f->parent_id == 0))
        return t->n_spans == 0 || !t->has_root;
    if (f->start_ns != t->root_start_ns)
        return f->start_ns < t->root_start_ns;
    return f->span_id < t->root_id;
}

static void
take_features(struct ox_trace_buffer *b, struct ox__trace *t, const struct ox__span_features *f,
              uint64_t bits)
{
    if (is_better_root(t, f)) {
        t->root_start_ns = f->start_ns;
        t->root_id = f->span_id;
        t->root_bits = bits;
        t->root_sampled = f->sampled;
        t->has_root = f->parent_id == 0;
    }
    if (t->n_spans == 0)
        t->first_service = f->service;
    t->any |= bits;
    t->n_spans++;
    if (f->error && !t->valued) {
        delist(b, t);
        t->valued = true;
        enlist(b, t);
    }
}

static struct ox__span_features *
append(struct ox_trace_buffer *b, struct ox__trace *t)
{
    uint32_t place = take_span(b);
    struct ox__span_features *f = ox__span_at(b, place);
    f->next = t->first;
    t->first = place;
    t->n++;
    return f;
}

static void
add_links(struct ox_trace_buffer *b, struct ox__trace *t, const struct ox_batch *batch,
          const struct ox_span *span)
{
    uint32_t n = span->links.count < SPAN_LINKS_MAX ? span->links.count : SPAN_LINKS_MAX;
    for (uint32_t i = 0; i < n; i++) {
        const struct ox_span_link *link = &batch->links[span->links.first + i];
        if (memcmp(link->trace_id, span->trace_id, 16) != 0) {
            b->stats.links_elsewhere++;
            continue;
        }
        struct ox__span_features *f = append(b, t);
        uint32_t next = f->next;
        *f = (struct ox__span_features){.kind = OX__KIND_LINK,
                                        .span_id = ox__features_id(span->span_id),
                                        .parent_id = ox__features_id(link->span_id),
                                        .next = next};
    }
}

static uint64_t
clamp(uint64_t v, uint64_t min, uint64_t max)
{
    return v < min ? min : v < max ? v : max;
}

/* When the trace is decided if nothing more comes. */
static void
set_due(struct ox_trace_buffer *b, struct ox__trace *t, const struct ox__span_features *f, uint64_t now_ns)
{
    const struct ox_trace_buffer_options *o = &b->options;
    const struct ox__service *service = ox__services_at(&b->names, f->service);
    uint64_t quiet =
        clamp(ox__delays_p95(&service->arrival, o->quiet_max_ns), o->quiet_min_ns, o->quiet_max_ns);
    t->quiet_ns = quiet > t->quiet_ns ? quiet : t->quiet_ns;
    t->last_ns = now_ns > t->last_ns ? now_ns : t->last_ns;
    const struct ox__service *first = ox__services_at(&b->names, t->first_service);
    uint64_t wait = clamp(ox__delays_p95(&first->whole, o->wait_max_ns), o->wait_min_ns, o->wait_max_ns);
    uint64_t due = t->first_ns + wait;
    if ((t->has_root || t->late) && t->last_ns + t->quiet_ns < due)
        due = t->last_ns + t->quiet_ns;
    /* A later time is only remembered: the wheel asks again when the earlier one has come. */
    if (t->n_spans == 1 || due < t->due_ns)
        ox__wheel_set(&b->wheel, place_of(b, t) - 1, due);
    t->due_ns = due;
}

static void
add_span(struct ox_trace_buffer *b, const struct ox_batch *batch, const struct ox_span *span, uint64_t now_ns)
{
    bool from_head;
    make_room(b, 1 + SPAN_LINKS_MAX, now_ns);
    struct ox__trace *t = find(b, span->trace_id);
    if (t == NULL)
        t = begin_trace(b, span->trace_id, now_ns);
    take_tracestate(b, t, span, &from_head);
    struct ox__span_features *f = append(b, t);
    uint32_t next = f->next;
    ox__features_of(&b->names, batch, span, f);
    f->next = next;
    take_features(b, t, f, ox_sampling_clauses(b->rules, batch, span, from_head));
    ox__delays_add(&ox__services_at(&b->names, f->service)->arrival,
                   batch->received_ns > span->end_ns ? batch->received_ns - span->end_ns : 0);
    b->stats.spans++;
    b->stats.late_spans += t->late;
    set_due(b, t, f, now_ns);
    add_links(b, t, batch, span);
    if (t->n >= b->options.trace_spans_max || ox__trace_reserve(b, t->n + 1 + SPAN_LINKS_MAX) != OX_OK)
        end_trace(b, t, OX_WHY_SIZE, now_ns);
}

void
ox_trace_buffer_add(struct ox_trace_buffer *b, const struct ox_batch *batch, uint64_t now_ns)
{
    for (uint32_t i = 0; i < batch->n_spans; i++) {
        if (batch->spans[i].reject == OX_REJECT_NONE)
            add_span(b, batch, &batch->spans[i], now_ns);
    }
}

/* ---- time ---- */

bool
ox_trace_buffer_tick(struct ox_trace_buffer *b, uint64_t now_ns, uint32_t traces_max)
{
    for (uint32_t n = 0; n < traces_max;) {
        uint32_t thing = ox__wheel_take(&b->wheel, now_ns);
        if (thing == OX__WHEEL_NONE)
            return true;
        struct ox__trace *t = &b->traces[thing];
        if (t->due_ns > now_ns) {
            ox__wheel_set(&b->wheel, thing, t->due_ns);
            continue;
        }
        bool quiet = t->has_root && now_ns >= t->last_ns + t->quiet_ns;
        end_trace(b, t, quiet ? OX_WHY_ROOT : OX_WHY_WAIT, now_ns);
        n++;
    }
    return false;
}

uint64_t
ox_trace_buffer_next_ns(const struct ox_trace_buffer *b)
{
    return ox__wheel_next_ns(&b->wheel);
}

static void
flush_list(struct ox_trace_buffer *b, const struct ox__trace_list *list, uint64_t now_ns)
{
    while (list->oldest != 0)
        end_trace(b, trace_at(b, list->oldest), OX_WHY_FLUSH, now_ns);
}

void
ox_trace_buffer_flush(struct ox_trace_buffer *b, uint64_t now_ns)
{
    flush_list(b, &b->plain, now_ns);
    flush_list(b, &b->valued, now_ns);
    OX_ASSERT(b->n_traces == 0 && b->n_spans == 0);
}

void
ox_trace_buffer_set_rules(struct ox_trace_buffer *b, const struct ox_sampling *rules, uint64_t now_ns)
{
    ox_trace_buffer_flush(b, now_ns);
    b->rules = rules;
    b->needs = ox_sampling_needs(rules);
}

/* ---- the whole ---- */

static ox_err
init(struct ox_trace_buffer *b, uint64_t now_ns)
{
    const struct ox_trace_buffer_options *o = &b->options;
    uint32_t heads = 16;
    while (heads < o->traces_max)
        heads *= 2;
    b->heads_mask = heads - 1;
    b->edges.seed = o->seed;
    b->heads = calloc(heads, sizeof(*b->heads));
    b->traces = calloc(o->traces_max, sizeof(*b->traces));
    b->chunks = calloc(o->spans_max / OX__CHUNK_SPANS + 1, sizeof(struct ox__span_features *));
    b->memory = ox_sampling_memory_new(o->operations_max, o->seed);
    b->decisions = ox_trace_decisions_new(o->decisions_max, o->seed);
    if (b->heads == NULL || b->traces == NULL || b->chunks == NULL || b->memory == NULL ||
        b->decisions == NULL || !add_chunk(b))
        return OX_E_NOMEM;
    ox_err err = ox__services_init(&b->names, o->names_max, o->seed);
    if (err == OX_OK)
        err = ox__wheel_init(&b->wheel, o->traces_max, now_ns);
    return err == OX_OK ? ox__trace_reserve(b, 1 + 2 * SPAN_LINKS_MAX) : err;
}

ox_err
ox_trace_buffer_new(const struct ox_trace_buffer_options *options, const struct ox_sampling *rules,
                    uint64_t now_ns, ox_trace_decided_fn decided, void *arg, struct ox_trace_buffer **out)
{
    OX_ASSERT(options->spans_max > 2 * SPAN_LINKS_MAX && options->traces_max > 0 &&
              options->trace_spans_max > 0);
    struct ox_trace_buffer *b = calloc(1, sizeof(*b));
    *out = NULL;
    if (b == NULL)
        return OX_E_NOMEM;
    b->options = *options;
    b->rules = rules;
    b->needs = ox_sampling_needs(rules);
    b->decided = decided;
    b->arg = arg;
    ox_err err = init(b, now_ns);
    if (err != OX_OK)
        ox_trace_buffer_free(b);
    else
        *out = b;
    return err;
}

void
ox_trace_buffer_free(struct ox_trace_buffer *b)
{
    if (b == NULL)
        return;
    for (uint32_t i = 0; i < b->n_chunks; i++)
        free(b->chunks[i]);
    free(b->chunks);
    free(b->traces);
    free(b->heads);
    free(b->positions);
    ox__edges_fini(&b->edges);
    ox__services_fini(&b->names);
    ox__wheel_fini(&b->wheel);
    ox_sampling_memory_free(b->memory);
    ox_trace_decisions_free(b->decisions);
    free(b);
}

uint32_t
ox_trace_buffer_spans(const struct ox_trace_buffer *b)
{
    return b->n_spans;
}

uint32_t
ox_trace_buffer_traces(const struct ox_trace_buffer *b)
{
    return b->n_traces;
}

size_t
ox_trace_buffer_bytes(const struct ox_trace_buffer *b)
{
    size_t trace = sizeof(*b->traces) + sizeof(*b->heads) + 3 * sizeof(uint32_t);
    return sizeof(*b) + (size_t)b->n_chunks * OX__CHUNK_SPANS * sizeof(struct ox__span_features) +
           b->used_traces * trace + ox_sampling_memory_bytes(b->memory) +
           ox_trace_decisions_bytes(b->decisions);
}

const struct ox_trace_buffer_stats *
ox_trace_buffer_stats(const struct ox_trace_buffer *b)
{
    return &b->stats;
}

struct ox_sampling_memory *
ox_trace_buffer_memory(struct ox_trace_buffer *b)
{
    return b->memory;
}

struct ox_trace_decisions *
ox_trace_buffer_decisions(struct ox_trace_buffer *b)
{
    return b->decisions;
}
