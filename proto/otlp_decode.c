/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/otlp_decode.c - an Export…ServiceRequest from the wire straight into a batch.
 *
 * Owns:    the walk over request, resources and scopes; the records are in
 *          otlp_decode_{trace,logs,metrics}.c.
 * Threads: any; one decoding has one batch.
 * Bounds:  struct ox_decode_limits.
 * Fails:   OX_E_DECODE, OX_E_TOO_DEEP, OX_E_TOO_LARGE, OX_E_NOMEM; the batch is then empty again.
 * Flow:    gateway and replay -> ox_otlp_decode -> policies/validate.c.
 *
 * The three requests are the same down to the record: request { repeated ResourceX = 1 }, ResourceX {
 * resource = 1, repeated ScopeX = 2, schema_url = 3 }, ScopeX { scope = 1, repeated record = 2, schema_url =
 * 3 }. Resource and scope may stand behind what they describe: see read_group. Where an embedded message comes in several pieces they count as one message, the pieces
 * one after the other: lists are joined, and of a value the last one on the wire wins.
 */
#include "proto/otlp_decode.h"

#include <stdio.h>
#include <stdlib.h>

#define SERVICE_NAME_DEFAULT OX_STR("unknown_service")
/* Arrays start with this many elements and double. */
#define ARRAY_CAP_FIRST 16

void
ox_decode_limits_default(struct ox_decode_limits *limits)
{
    *limits = (struct ox_decode_limits){
        .records_max = 262144,           /* a 10 MiB body of the smallest useful points */
        .batch_bytes_max = 256ull << 20, /* what such a body can expand to, with room */
        .any_depth_max = 32,
        .attrs_per_record_max = 1024,
        .key_bytes_max = 1024,
        .value_bytes_max = 256u << 10,
        .text_bytes_max = 64u << 10,
        .log_body_bytes_max = 4u << 20,
        .events_per_span_max = 1024,
        .links_per_span_max = 1024,
        .exemplars_per_point_max = 1024,
        .buckets_per_point_max = 4096,
    };
}

bool
ox__dec_fail(struct ox__dec *d, ox_err err, const char *what)
{
    if (d->err == OX_OK) {
        d->err = err;
        d->what = what;
    }
    return false;
}

bool
ox__dec_malformed(struct ox__dec *d, enum ox__wire_bad bad, const uint8_t *at)
{
    if (d->err == OX_OK) {
        d->err = OX_E_DECODE;
        d->bad = bad;
        d->at = at;
    }
    return false;
}

bool
ox__dec_grow(struct ox__dec *d, void **array, uint32_t *cap, uint32_t need, size_t size)
{
    uint64_t cap_new = *cap != 0 ? *cap : ARRAY_CAP_FIRST;
    while (cap_new < need)
        cap_new *= 2;
    uint64_t more = (cap_new - *cap) * size;
    if (cap_new > UINT32_MAX || ox_batch_memory(d->b) + more > d->limits->batch_bytes_max)
        return ox__dec_fail(d, OX_E_TOO_LARGE, "the memory of a decoded request (batch_bytes_max)");
    void *grown = realloc(*array, cap_new * size);
    if (grown == NULL)
        return ox__dec_fail(d, OX_E_NOMEM, "the rows of the request");
    *array = grown;
    *cap = (uint32_t)cap_new;
    return true;
}

bool
ox__dec_ordinal(struct ox__dec *d, uint32_t *ordinal)
{
    if (OX_UNLIKELY(d->records >= d->limits->records_max))
        return ox__dec_fail(d, OX_E_TOO_LARGE, "the number of records in a request (records_max)");
    *ordinal = d->records++;
    return true;
}

static struct ox_str
service_name(const struct ox_batch *b, struct ox_slice attrs)
{
    for (uint32_t i = 0; i < attrs.count; i++) {
        const struct ox_attr *attr = &b->attrs[attrs.first + i];
        if (ox_str_eq(ox_attr_key(attr), OX_STR("service.name")) && ox_attr_type(attr) == OX_ANY_STRING &&
            ox_attr_str(attr).n > 0)
            return ox_attr_str(attr);
    }
    return SERVICE_NAME_DEFAULT;
}

/* EntityRef is kept as wire bytes; here it is checked. */
static bool
check_entity_ref(struct ox__dec *d, struct ox_str wire)
{
    const uint32_t known = OX__BIT(1) | OX__BIT(2) | OX__BIT(3) | OX__BIT(4);
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f))
            return false;
        if ((f.tag & 7) != OX_WIRE_BYTES && !ox__dec_other(d, f.tag, known, at))
            return false;
        struct ox_str ignored;
        if (ox__tag_known(f.tag, known))
            ox__dec_text(d, f.s, &ignored);
    }
    return true;
}

static bool
entity_ref(struct ox__dec *d, struct ox_str wire, struct ox_slice *entities)
{
    struct ox_str *entity;
    if (!check_entity_ref(d, wire))
        return false;
    if (entities->count == d->limits->attrs_per_record_max) {
        ox__dec_reject(d, OX_REJECT_ATTRIBUTES);
        return true;
    }
    OX__PUSH(d, entities, n_entities, cap_entities, entity);
    if (entity == NULL)
        return false;
    *entity = wire;
    if (entities->count++ == 0)
        entities->first = d->b->n_entities - 1;
    return true;
}

static bool
resource(struct ox__dec *d, struct ox_str wire, struct ox_resource *res)
{
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f))
            return false;
        bool ok = true;
        if (f.tag == OX__TAG(1, OX_WIRE_BYTES))
            ok = ox__dec_attr(d, f.s, &res->attrs);
        else if (f.tag == OX__TAG(2, OX_WIRE_VARINT))
            res->dropped_attrs = (uint32_t)f.v;
        else if (f.tag == OX__TAG(3, OX_WIRE_BYTES))
            ok = entity_ref(d, f.s, &res->entities);
        else
            ok = ox__dec_other(d, f.tag, OX__BIT(1) | OX__BIT(2) | OX__BIT(3), at);
        if (!ok)
            return false;
    }
    res->wire = wire;
    return true;
}

static bool
scope_message(struct ox__dec *d, struct ox_str wire, struct ox_scope *scope)
{
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f))
            return false;
        bool ok = true;
        if (f.tag == OX__TAG(1, OX_WIRE_BYTES))
            ox__dec_text(d, f.s, &scope->name);
        else if (f.tag == OX__TAG(2, OX_WIRE_BYTES))
            ox__dec_text(d, f.s, &scope->version);
        else if (f.tag == OX__TAG(3, OX_WIRE_BYTES))
            ok = ox__dec_attr(d, f.s, &scope->attrs);
        else if (f.tag == OX__TAG(4, OX_WIRE_VARINT))
            scope->dropped_attrs = (uint32_t)f.v;
        else
            ok = ox__dec_other(d, f.tag, OX__BIT(1) | OX__BIT(2) | OX__BIT(3) | OX__BIT(4), at);
        if (!ok)
            return false;
    }
    scope->wire = wire;
    return true;
}

static ox__record_fn
record_fn(enum ox_signal signal)
{
    static const ox__record_fn fns[OX_SIGNAL__COUNT] = {[OX_SIGNAL_TRACES] = ox__dec_span,
                                                        [OX_SIGNAL_LOGS] = ox__dec_log,
                                                        [OX_SIGNAL_METRICS] = ox__dec_metric};
    return fns[signal];
}

/* ---- the two levels of groups ---- */

/* A ResourceX or ScopeX: what it says of itself (fields 1 and 3), and its parts (field 2). */
struct level {
    bool (*own)(struct ox__dec *d, const struct ox__field *f, const uint8_t *at, uint32_t index);
    ox__record_fn part;
    uint32_t index;
};

enum walk { WALK_BOTH, WALK_OWN, WALK_PARTS };

/* One walk over a group. A part begins with the mark that the group has by then. *late: something of the group
 * itself stood behind a part; the walk ends there. */
static bool
walk_group(struct ox__dec *d, struct ox_str wire, const struct level *l, enum walk what, bool *late)
{
    uint8_t reject = d->reject;
    bool parts = false;
    struct ox__cur c = ox__cur_of(wire);
    *late = false;
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f))
            return false;
        bool is_part = f.tag == OX__TAG(2, OX_WIRE_BYTES);
        if (what == (is_part ? WALK_OWN : WALK_PARTS))
            continue;
        d->reject = reject;
        if (!(is_part ? l->part(d, f.s, l->index) : l->own(d, &f, at, l->index)))
            return false;
        parts |= is_part;
        if (is_part)
            continue;
        /* The last field, schema_url, says nothing of the parts before it unless it is at fault. */
        *late = parts && (f.tag == OX__TAG(1, OX_WIRE_BYTES) || d->reject != reject);
        if (OX_UNLIKELY(*late))
            return true;
        reject = d->reject;
    }
    d->reject = reject;
    return true;
}

/* What the batch held before a group, to begin it again. */
struct before {
    uint32_t scopes, attrs, entities, spans, events, links, logs, metrics, points, mores, exemplars, u64s,
        f64s, records;
};

static struct before
before_group(const struct ox__dec *d)
{
    const struct ox_batch *b = d->b;
    return (struct before){b->n_scopes,    b->n_attrs, b->n_entities, b->n_spans,  b->n_events,
                           b->n_links,     b->n_logs,  b->n_metrics,  b->n_points, b->n_mores,
                           b->n_exemplars, b->n_u64s,  b->n_f64s,     d->records};
}

static void
back_to(struct ox__dec *d, const struct before *to)
{
    struct ox_batch *b = d->b;
    b->n_scopes = to->scopes;
    b->n_attrs = to->attrs;
    b->n_entities = to->entities;
    b->n_spans = to->spans;
    b->n_events = to->events;
    b->n_links = to->links;
    b->n_logs = to->logs;
    b->n_metrics = to->metrics;
    b->n_points = to->points;
    b->n_mores = to->mores;
    b->n_exemplars = to->exemplars;
    b->n_u64s = to->u64s;
    b->n_f64s = to->f64s;
    d->records = to->records;
}

/* Encoders write a group's own fields before its parts, so one walk reads both; the group whose own field comes
 * late is begun again and walked twice, for itself and for its parts. `own_again` empties what it said so far. */
static bool
read_group(struct ox__dec *d, struct ox_str wire, const struct level *l,
           void (*own_again)(struct ox__dec *d, uint32_t index))
{
    const struct before before = before_group(d);
    const uint8_t reject = d->reject;
    bool late;
    if (!walk_group(d, wire, l, WALK_BOTH, &late))
        return false;
    if (OX_LIKELY(!late))
        return true;
    back_to(d, &before);
    own_again(d, l->index);
    d->reject = reject;
    return walk_group(d, wire, l, WALK_OWN, &late) && walk_group(d, wire, l, WALK_PARTS, &late);
}

static bool
scope_own(struct ox__dec *d, const struct ox__field *f, const uint8_t *at, uint32_t index)
{
    struct ox_scope *scope = &d->b->scopes[index];
    if (f->tag == OX__TAG(1, OX_WIRE_BYTES))
        return scope_message(d, f->s, scope);
    if (f->tag != OX__TAG(3, OX_WIRE_BYTES))
        return ox__dec_other(d, f->tag, OX__BIT(1) | OX__BIT(2) | OX__BIT(3), at);
    ox__dec_text(d, f->s, &scope->schema_url);
    return true;
}

static void
scope_again(struct ox__dec *d, uint32_t index)
{
    d->b->scopes[index] = (struct ox_scope){.resource = d->b->scopes[index].resource};
}

static bool
scope_group(struct ox__dec *d, struct ox_str wire, uint32_t resource_index)
{
    struct ox_scope *scope;
    OX__PUSH(d, scopes, n_scopes, cap_scopes, scope);
    if (scope == NULL)
        return false;
    scope->resource = resource_index;
    const struct level level = {scope_own, record_fn(d->b->signal), d->b->n_scopes - 1};
    return read_group(d, wire, &level, scope_again);
}

static bool
resource_own(struct ox__dec *d, const struct ox__field *f, const uint8_t *at, uint32_t index)
{
    struct ox_resource *res = &d->b->resources[index];
    if (f->tag == OX__TAG(1, OX_WIRE_BYTES))
        return resource(d, f->s, res);
    if (f->tag != OX__TAG(3, OX_WIRE_BYTES))
        return ox__dec_other(d, f->tag, OX__BIT(1) | OX__BIT(2) | OX__BIT(3), at);
    ox__dec_text(d, f->s, &res->schema_url);
    return true;
}

static void
resource_again(struct ox__dec *d, uint32_t index)
{
    d->b->resources[index] = (struct ox_resource){0};
}

static bool
resource_group(struct ox__dec *d, struct ox_str wire)
{
    struct ox_resource *res;
    OX__PUSH(d, resources, n_resources, cap_resources, res);
    if (res == NULL)
        return false;
    const struct level level = {resource_own, scope_group, d->b->n_resources - 1};
    d->reject = OX_REJECT_NONE;
    if (!read_group(d, wire, &level, resource_again))
        return false;
    res = &d->b->resources[level.index];
    res->service_name = service_name(d->b, res->attrs);
    return true;
}

static bool
request(struct ox__dec *d, struct ox_str wire)
{
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f))
            return false;
        bool ok = f.tag == OX__TAG(1, OX_WIRE_BYTES) ? resource_group(d, f.s)
                                                     : ox__dec_other(d, f.tag, OX__BIT(1), at);
        if (!ok)
            return false;
    }
    return true;
}

static ox_err
report(const struct ox__dec *d, const struct ox_body *body, struct ox_diag *diag)
{
    char field[32];
    snprintf(field, sizeof(field), "record %u", d->records != 0 ? d->records - 1 : 0);
    switch (d->err) {
    case OX_E_DECODE:
        return ox_diag_set(diag, d->err, field, d->at - body->data, "not a protobuf %s request: %s",
                           ox_signal_name(d->b->signal), ox__wire_bad_text(d->bad));
    case OX_E_TOO_DEEP:
        return ox_diag_set(diag, d->err, field, -1,
                           "a value is nested deeper than %u levels, the limit decode.depth",
                           d->limits->any_depth_max);
    case OX_E_TOO_LARGE:
        return ox_diag_set(diag, d->err, field, -1,
                           "the request exceeds the limit for %s; send less at a time", d->what);
    default:
        return ox_diag_set(diag, d->err, field, -1, "no memory for %s", d->what);
    }
}

static uint32_t
count_rejected(const struct ox_batch *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n_spans; i++)
        n += b->spans[i].reject != OX_REJECT_NONE;
    for (uint32_t i = 0; i < b->n_logs; i++)
        n += b->logs[i].reject != OX_REJECT_NONE;
    for (uint32_t i = 0; i < b->n_points; i++)
        n += b->points[i].reject != OX_REJECT_NONE;
    return n;
}

/* A short field holds at most 127 bytes and one level of value. */
static bool
short_fields_fit(const struct ox_decode_limits *limits)
{
    return limits->any_depth_max >= 1 && limits->key_bytes_max >= 127 && limits->value_bytes_max >= 127 &&
           limits->text_bytes_max >= 127 && limits->log_body_bytes_max >= 127;
}

ox_err
ox_otlp_decode(enum ox_signal signal, struct ox_body *body, const struct ox_decode_limits *limits,
               struct ox_batch *out, struct ox_diag *diag)
{
    OX_CHECK_OBJ(out, OX_BATCH_MAGIC);
    OX_ASSERT((unsigned)signal < OX_SIGNAL__COUNT);
    OX_ASSERT(out->body == NULL && out->n_resources == 0);
    OX_ASSERT(limits->any_depth_max <= OX_ANY_DEPTH_MAX);
    struct ox__dec d = {.b = out, .limits = limits, .base = body->data, .short_ok = short_fields_fit(limits)};
    out->signal = signal;
    if (body->len > OX_ATTR_BYTES_MAX)
        return ox_diag_set(
            diag, OX_E_TOO_LARGE, NULL, -1,
            "the request has %zu bytes, more than the decoder's bound of %u; send less at a time", body->len,
            OX_ATTR_BYTES_MAX);
    if (!request(&d, (struct ox_str){(const char *)body->data, body->len})) {
        ox_err err = report(&d, body, diag);
        ox_batch_reset(out);
        return err;
    }
    out->body = ox_body_hold(body);
    out->n_records = d.records;
    out->n_rejected = count_rejected(out);
    return OX_OK;
}
