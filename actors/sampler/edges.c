/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/sampler/edges.c - see edges.h.
 *
 * Owns, Threads, Fails, Flow: see there.
 */
#include "actors/sampler/edges.h"

#include <stdlib.h>

#include "ox/mix.h"

#define CALLED_OTHER 1 /* its other end is among the spans */
#define LINKED       2 /* a consumer, and its producer is among the spans */

const char *
ox_edge_type_name(enum ox_edge_type type)
{
    static const char *const names[] = {"", "messaging_system", "database", "external"};
    _Static_assert(OX_COUNT(names) == OX_EDGE__COUNT, "a name each");
    OX_ASSERT(type < OX_EDGE__COUNT);
    return names[type];
}

/* ---- room ---- */

static void *
renewed(void *array, size_t n, size_t size, bool *failed)
{
    void *grown = realloc(array, n * size);
    if (grown != NULL)
        return grown;
    *failed = true;
    return array;
}

ox_err
ox__edges_reserve(struct ox__edges *e, uint32_t n)
{
    uint32_t cap = e->cap != 0 ? e->cap : 64, n_slots = 2;
    bool failed = false;
    if (n <= e->cap)
        return OX_OK;
    while (cap < n)
        cap *= 2;
    while (n_slots < 2 * cap)
        n_slots *= 2;
    e->spans = renewed(e->spans, cap, sizeof(*e->spans), &failed);
    e->links = renewed(e->links, cap, sizeof(*e->links), &failed);
    /* One of a span's parent, one of its peer; one of a link. */
    e->calls = renewed(e->calls, 2 * (size_t)cap, sizeof(*e->calls), &failed);
    e->keys = renewed(e->keys, 2 * (size_t)cap, sizeof(*e->keys), &failed);
    e->entries = renewed(e->entries, cap, sizeof(*e->entries), &failed);
    e->marks = renewed(e->marks, cap, sizeof(*e->marks), &failed);
    e->slots = renewed(e->slots, n_slots, sizeof(*e->slots), &failed);
    if (failed)
        return OX_E_NOMEM;
    e->cap = cap;
    e->n_slots = n_slots;
    return OX_OK;
}

void
ox__edges_fini(struct ox__edges *e)
{
    free(e->spans);
    free(e->links);
    free(e->calls);
    free(e->entries);
    free(e->keys);
    free(e->slots);
    free(e->marks);
    memset(e, 0, sizeof(*e));
}

void
ox__edges_begin(struct ox__edges *e)
{
    e->n_spans = e->n_links = e->n_calls = e->n_entries = e->n_keys = 0;
}

void
ox__edges_add(struct ox__edges *e, const struct ox__span_features *span)
{
    OX_ASSERT(e->n_spans < e->cap && e->n_links < e->cap);
    if (span->kind == OX__KIND_LINK)
        e->links[e->n_links++] = span;
    else
        e->spans[e->n_spans++] = span;
}

/* ---- an order that does not depend on arrival: by what the spans are, not by where they stand ---- */

static int
by_number(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int
compare(const void *x, const void *y)
{
    const struct ox__span_features *a = *(const struct ox__span_features *const *)x;
    const struct ox__span_features *b = *(const struct ox__span_features *const *)y;
    int order = by_number(a->start_ns, b->start_ns);
    order = order != 0 ? order : by_number(a->span_id, b->span_id);
    order = order != 0 ? order : by_number(a->parent_id, b->parent_id);
    order = order != 0 ? order : by_number(a->operation, b->operation);
    order = order != 0 ? order : by_number(a->duration_ns, b->duration_ns);
    order = order != 0 ? order : by_number(a->kind, b->kind);
    return order != 0 ? order : by_number(a->error, b->error);
}

static void
sort(const struct ox__span_features **list, uint32_t n)
{
    if (n > 24) {
        qsort(list, n, sizeof(*list), compare);
        return;
    }
    for (uint32_t i = 1; i < n; i++) {
        const struct ox__span_features *s = list[i];
        uint32_t k = i;
        for (; k > 0 && compare(&list[k - 1], &s) > 0; k--)
            list[k] = list[k - 1];
        list[k] = s;
    }
}

/* ---- by span id ---- */

/* The slots in use for this trace: its spans need no more than these, and the rest need not be cleared. */
static uint32_t
slots_for(uint32_t n)
{
    uint32_t slots = 16;
    while (slots < 2 * n)
        slots *= 2;
    return slots;
}

static uint32_t *
slot_of(const struct ox__edges *e, uint64_t span_id)
{
    uint32_t mask = slots_for(e->n_spans) - 1;
    uint32_t at = (uint32_t)ox_mix64(span_id ^ e->seed) & mask;
    while (e->slots[at] != 0 && e->spans[e->slots[at] - 1]->span_id != span_id)
        at = (at + 1) & mask;
    return &e->slots[at];
}

/* Leaves the first of spans with the same id. The order of those that stay is kept. */
static void
index_spans(struct ox__edges *e)
{
    uint32_t n = 0, all = e->n_spans;
    memset(e->slots, 0, slots_for(all) * sizeof(*e->slots));
    memset(e->marks, 0, all);
    for (uint32_t i = 0; i < all; i++) {
        uint32_t *slot = slot_of(e, e->spans[i]->span_id);
        if (*slot != 0)
            continue;
        e->spans[n] = e->spans[i];
        *slot = ++n;
    }
    uint32_t wide = slots_for(all);
    e->n_spans = n;
    if (slots_for(n) == wide)
        return;
    memset(e->slots, 0, slots_for(n) * sizeof(*e->slots));
    for (uint32_t i = 0; i < n; i++)
        *slot_of(e, e->spans[i]->span_id) = i + 1;
}

/* Position + 1; 0 = not in the trace. */
static uint32_t
find(const struct ox__edges *e, uint64_t span_id)
{
    return span_id != 0 ? *slot_of(e, span_id) : 0;
}

const struct ox__span_features *
ox__edges_parent(const struct ox__edges *e, const struct ox__span_features *span)
{
    uint32_t at = find(e, span->parent_id);
    return at != 0 ? e->spans[at - 1] : NULL;
}

/* ---- calls ---- */

static void
call(struct ox__edges *e, const struct ox__services *names, enum ox_edge_type type,
     const struct ox__span_features *client, uint16_t server_name, const struct ox__span_features *server,
     bool timed)
{
    struct ox_edge_call *c = &e->calls[e->n_calls++];
    *c = (struct ox_edge_call){
        .client = ox__services_at(names, client->service)->text,
        .server = ox__services_at(names, server_name)->text,
        .type = (uint8_t)type,
        .error = (timed && client->error) || (server != NULL && server->error),
        .has_client = timed,
        .has_server = server != NULL,
        .client_ns = timed ? client->duration_ns : 0,
        .server_ns = server != NULL ? server->duration_ns : 0,
        .time_ns = timed || server == NULL ? client->start_ns : server->start_ns,
        .request_bytes = timed && client->bytes > 0 ? client->bytes
                         : server != NULL           ? server->bytes
                                                    : 0,
    };
    e->keys[e->n_keys++] =
        (ox__services_at(names, client->service)->hash * 31 + (uint64_t)type) * 0x9e3779b97f4a7c15ull ^
        ox__services_at(names, server_name)->hash;
}

/* What a span and its parent say. */
static void
from_parent(struct ox__edges *e, const struct ox__services *names, uint32_t at, uint32_t parent)
{
    const struct ox__span_features *s = e->spans[at], *p = e->spans[parent - 1];
    bool other = p->service != s->service, out = p->kind == OX__KIND_CLIENT || p->kind == OX__KIND_PRODUCER;
    bool in = s->kind == OX__KIND_SERVER || s->kind == OX__KIND_CONSUMER;
    if ((!other && !(out && in)) || (!out && (e->marks[at] & LINKED) != 0))
        return;
    e->marks[parent - 1] |= CALLED_OTHER;
    enum ox_edge_type type =
        s->kind == OX__KIND_CONSUMER || p->kind == OX__KIND_PRODUCER ? OX_EDGE_MESSAGING : OX_EDGE_CALL;
    call(e, names, type, p, s->service, s, out);
}

/* A consumer's link to a producer, unless that is its parent anyway. */
static void
from_link(struct ox__edges *e, const struct ox__services *names, const struct ox__span_features *link)
{
    uint32_t from = find(e, link->parent_id), to = find(e, link->span_id);
    if (from == 0 || to == 0)
        return;
    const struct ox__span_features *p = e->spans[from - 1], *s = e->spans[to - 1];
    if (p->kind != OX__KIND_PRODUCER || s->kind != OX__KIND_CONSUMER || s->parent_id == p->span_id)
        return;
    e->marks[from - 1] |= CALLED_OTHER;
    e->marks[to - 1] |= LINKED;
    call(e, names, OX_EDGE_MESSAGING, p, s->service, s, true);
}

/* A client span around another of the same service, as that of an SDK around its HTTP client's: one call. Position + 1
 * of the outer one, or 0. */
static uint32_t
around(const struct ox__edges *e, const struct ox__span_features *s)
{
    uint32_t parent = s->kind == OX__KIND_CLIENT || s->kind == OX__KIND_PRODUCER ? find(e, s->parent_id) : 0;
    if (parent == 0)
        return 0;
    const struct ox__span_features *p = e->spans[parent - 1];
    bool out = p->kind == OX__KIND_CLIENT || p->kind == OX__KIND_PRODUCER;
    return out && p->service == s->service && p->peer_kind != OX__PEER_NONE ? parent : 0;
}

/* The inner one found the other end: the outer one must not name it again. */
static void
mark_outer(struct ox__edges *e)
{
    for (uint32_t i = 0; i < e->n_spans; i++) {
        uint32_t outer = (e->marks[i] & CALLED_OTHER) != 0 ? around(e, e->spans[i]) : 0;
        if (outer != 0)
            e->marks[outer - 1] |= CALLED_OTHER;
    }
}

static void
from_peer(struct ox__edges *e, const struct ox__services *names, uint32_t i)
{
    const struct ox__span_features *s = e->spans[i];
    static const enum ox_edge_type types[] = {[OX__PEER_NONE] = OX_EDGE_EXTERNAL,
                                              [OX__PEER_EXTERNAL] = OX_EDGE_EXTERNAL,
                                              [OX__PEER_DATABASE] = OX_EDGE_DATABASE,
                                              [OX__PEER_MESSAGING] = OX_EDGE_MESSAGING};
    if ((s->kind == OX__KIND_CLIENT || s->kind == OX__KIND_PRODUCER) && (e->marks[i] & CALLED_OTHER) == 0 &&
        s->peer_kind != OX__PEER_NONE && around(e, s) == 0)
        call(e, names, types[s->peer_kind], s, s->peer, NULL, true);
}

/* Where a request comes into a service. */
static void
entry(struct ox__edges *e, const struct ox__services *names, const struct ox__span_features *s,
      const struct ox__span_features *parent)
{
    if (s->kind == OX__KIND_SERVER || s->kind == OX__KIND_CONSUMER || s->parent_id == 0 ||
        (parent != NULL && parent->service != s->service))
        e->entries[e->n_entries++] = (struct ox_sampling_entry){ox__services_at(names, s->service)->hash,
                                                                s->operation, s->duration_ns};
}

static int
compare_keys(const void *a, const void *b)
{
    return by_number(*(const uint64_t *)a, *(const uint64_t *)b);
}

static void
unite_keys(struct ox__edges *e)
{
    uint32_t n = 0;
    if (e->n_keys > 1)
        qsort(e->keys, e->n_keys, sizeof(*e->keys), compare_keys);
    for (uint32_t i = 0; i < e->n_keys; i++) {
        if (n == 0 || e->keys[n - 1] != e->keys[i])
            e->keys[n++] = e->keys[i];
    }
    e->n_keys = n;
}

/* A link that was sent twice is one link. */
static bool
repeated(const struct ox__edges *e, uint32_t i)
{
    return i > 0 && e->links[i]->span_id == e->links[i - 1]->span_id &&
           e->links[i]->parent_id == e->links[i - 1]->parent_id;
}

void
ox__edges_find(struct ox__edges *e, const struct ox__services *names, bool complete)
{
    sort(e->spans, e->n_spans);
    sort(e->links, e->n_links);
    index_spans(e);
    for (uint32_t i = 0; i < e->n_links; i++) {
        if (!repeated(e, i))
            from_link(e, names, e->links[i]);
    }
    for (uint32_t i = 0; i < e->n_spans; i++) {
        uint32_t parent = find(e, e->spans[i]->parent_id);
        entry(e, names, e->spans[i], parent != 0 ? e->spans[parent - 1] : NULL);
        if (parent != 0)
            from_parent(e, names, i, parent);
    }
    mark_outer(e);
    for (uint32_t i = 0; complete && i < e->n_spans; i++)
        from_peer(e, names, i);
    unite_keys(e);
}
