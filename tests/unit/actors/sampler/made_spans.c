/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/unit/actors/sampler/made_spans.c - see made_spans.h.
 *
 * Owns, Threads: see there.
 */
#include "made_spans.h"

#include <stdlib.h>

void
made_trace_id(uint64_t trace, uint8_t id[16])
{
    uint64_t a = trace * 0x9e3779b97f4a7c15ull, b;
    a = (a ^ a >> 29) * 0xbf58476d1ce4e5b9ull;
    b = (a ^ a >> 32) * 0x94d049bb133111ebull;
    b ^= b >> 31;
    memcpy(id, &a, 8);
    memcpy(id + 8, &b, 8);
}

struct ox_batch *
made_batch(uint64_t wal_seq, uint64_t received_ns)
{
    struct ox_batch *b = ox_batch_new();
    if (b == NULL)
        abort();
    b->signal = OX_SIGNAL_TRACES;
    b->wal_seq = wal_seq;
    b->received_ns = received_ns;
    return b;
}

/* Room for one more, cleared. */
static void *
one_more(void *array, uint32_t *n, uint32_t *cap, size_t size)
{
    void *was;
    memcpy(&was, array, sizeof(was));
    if (*n == *cap) {
        *cap = *cap != 0 ? 2 * *cap : 16;
        was = realloc(was, *cap * size);
        if (was == NULL)
            abort();
        memcpy(array, &was, sizeof(was));
    }
    void *place = (char *)was + (*n)++ * size;
    memset(place, 0, size);
    return place;
}

static struct ox_any
value_of(const char *text)
{
    char *end;
    long long number = strtoll(text, &end, 10);
    if (*text != '\0' && *end == '\0')
        return (struct ox_any){.type = OX_ANY_INT, .i = number};
    return (struct ox_any){.type = OX_ANY_STRING, .str = ox_str_of(text)};
}

static struct ox_slice
add_attrs(struct ox_batch *b, const char *const attrs[8])
{
    struct ox_slice slice = {b->n_attrs, 0};
    for (int i = 0; i < 8 && attrs[i] != NULL; i += 2) {
        struct ox_attr *attr = one_more(&b->attrs, &b->n_attrs, &b->cap_attrs, sizeof(*attr));
        *attr = ox_attr_of(ox_str_of(attrs[i]), value_of(attrs[i + 1]));
        slice.count++;
    }
    return slice;
}

uint32_t
made_add(struct ox_batch *b, const struct made_span *m)
{
    struct ox_slice attrs = add_attrs(b, m->attrs), links = {b->n_links, 0};
    if (m->link_id != 0) {
        struct ox_span_link *link = one_more(&b->links, &b->n_links, &b->cap_links, sizeof(*link));
        made_trace_id(m->link_trace, link->trace_id);
        memcpy(link->span_id, &m->link_id, 8);
        links.count = 1;
    }
    struct ox_resource *resource =
        one_more(&b->resources, &b->n_resources, &b->cap_resources, sizeof(*resource));
    resource->service_name = ox_str_of(m->service);
    struct ox_scope *scope = one_more(&b->scopes, &b->n_scopes, &b->cap_scopes, sizeof(*scope));
    scope->resource = b->n_resources - 1;
    struct ox_span *s = one_more(&b->spans, &b->n_spans, &b->cap_spans, sizeof(*s));
    s->scope = b->n_scopes - 1;
    s->ordinal = b->n_spans - 1;
    made_trace_id(m->trace, s->trace_id);
    memcpy(s->span_id, &m->id, 8);
    memcpy(s->parent_span_id, &m->parent, 8);
    s->name = ox_str_of(m->name != NULL ? m->name : "op");
    s->trace_state = ox_str_of(m->tracestate);
    s->start_ns = m->start_ns != 0 ? m->start_ns : 1000;
    s->end_ns = s->start_ns + m->duration_ns;
    s->kind = m->kind;
    s->status_code = m->status;
    s->flags = m->flags;
    s->attrs = attrs;
    s->links = links;
    b->n_records = b->n_spans;
    return s->ordinal;
}
