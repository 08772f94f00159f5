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
 * 3 }. Resource and scope may stand behind what they describe, so each of these messages is walked twice: for
 * itself, for its parts. Where an embedded message comes in several pieces they count as one message, the pieces
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

/* The bytes that count against value_bytes_max. */
static size_t
any_bytes(const struct ox_any *any)
{
    return any->type == OX_ANY_STRING || any->type >= OX_ANY_ARRAY ? any->str.n : 0;
}

/* `0a len key 12 len 0a len string`, all shorter than 126 bytes: what nearly every attribute is, read without
 * the general loop. False for everything else, which the loop then reads from its begin. */
static inline bool
short_string_attr(struct ox_str wire, struct ox_attr *attr)
{
    const uint8_t *p = (const uint8_t *)wire.p;
    if (wire.n < 6 || p[0] != 0x0a || p[1] >= 0x80 || wire.n < (size_t)p[1] + 6)
        return false;
    size_t key_n = p[1], n = wire.n - key_n - 6;
    const uint8_t *v = p + 2 + key_n;
    if (n >= 126 || v[0] != 0x12 || v[1] != n + 2 || v[2] != 0x0a || v[3] != n)
        return false;
    attr->key = (struct ox_str){(const char *)p + 2, key_n};
    attr->value = (struct ox_any){.type = OX_ANY_STRING, .str = {(const char *)v + 4, n}};
    return true;
}

static bool
attr_fields(struct ox__dec *d, struct ox_str wire, struct ox_attr *attr)
{
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f))
            return false;
        if (f.tag == OX__TAG(1, OX_WIRE_BYTES)) {
            attr->key = f.s;
            if (OX_UNLIKELY(!ox__utf8_ok(f.s)))
                ox__dec_reject(d, OX_REJECT_UTF8);
        } else if (f.tag == OX__TAG(2, OX_WIRE_BYTES)) {
            if (!ox__dec_any(d, f.s, &attr->value, 1))
                return false;
        } else if (!ox__dec_other(d, f.tag, OX__BIT(1) | OX__BIT(2), at)) {
            return false;
        }
    }
    return true;
}

bool
ox__dec_attr(struct ox__dec *d, struct ox_str wire, struct ox_slice *slice)
{
    struct ox_attr scratch = {0};
    struct ox_attr *attr = &scratch;
    if (OX_LIKELY(slice->count < d->limits->attrs_per_record_max)) {
        OX__PUSH(d, attrs, n_attrs, cap_attrs, attr);
        if (attr == NULL)
            return false;
        if (slice->count++ == 0)
            slice->first = d->b->n_attrs - 1;
    } else {
        ox__dec_reject(d, OX_REJECT_ATTRIBUTES); /* still read: it must be well-formed */
    }
    if (OX_LIKELY(d->limits->any_depth_max > 0 && short_string_attr(wire, attr))) {
        if (OX_UNLIKELY(!ox__utf8_ok(attr->key) || !ox__utf8_ok(attr->value.str)))
            ox__dec_reject(d, OX_REJECT_UTF8);
    } else if (!attr_fields(d, wire, attr)) {
        return false;
    }
    if (OX_UNLIKELY(attr->key.n > d->limits->key_bytes_max ||
                    any_bytes(&attr->value) > d->limits->value_bytes_max))
        ox__dec_reject(d, OX_REJECT_ATTRIBUTES);
    return true;
}

static struct ox_str
service_name(const struct ox_batch *b, struct ox_slice attrs)
{
    for (uint32_t i = 0; i < attrs.count; i++) {
        const struct ox_attr *attr = &b->attrs[attrs.first + i];
        if (ox_str_eq(attr->key, OX_STR("service.name")) && attr->value.type == OX_ANY_STRING &&
            attr->value.str.n > 0)
            return attr->value.str;
    }
    return SERVICE_NAME_DEFAULT;
}

/* EntityRef is kept as wire bytes only; here it is merely checked. */
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
        if (ox__tag_known(f.tag, known) && !ox__utf8_ok(f.s))
            ox__dec_reject(d, OX_REJECT_UTF8);
    }
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
            ok = check_entity_ref(d, f.s);
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

/* Second walk of a ResourceX or ScopeX: each part of field 2. Well-formedness was seen by the first. */
static bool
each_part(struct ox__dec *d, struct ox_str wire, uint32_t parent, uint8_t reject, ox__record_fn part)
{
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        if (!ox__dec_field(d, &c, &f))
            return false;
        if (f.tag != OX__TAG(2, OX_WIRE_BYTES))
            continue;
        d->reject = reject;
        if (!part(d, f.s, parent))
            return false;
    }
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

static bool
scope_group(struct ox__dec *d, struct ox_str wire, uint32_t resource_index)
{
    struct ox_scope *scope;
    OX__PUSH(d, scopes, n_scopes, cap_scopes, scope);
    if (scope == NULL)
        return false;
    uint32_t index = d->b->n_scopes - 1;
    scope->resource = resource_index;
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f))
            return false;
        bool ok = true;
        if (f.tag == OX__TAG(1, OX_WIRE_BYTES))
            ok = scope_message(d, f.s, scope);
        else if (f.tag == OX__TAG(3, OX_WIRE_BYTES))
            ox__dec_text(d, f.s, &scope->schema_url);
        else if (f.tag != OX__TAG(2, OX_WIRE_BYTES))
            ok = ox__dec_other(d, f.tag, OX__BIT(1) | OX__BIT(2) | OX__BIT(3), at);
        if (!ok)
            return false;
    }
    return each_part(d, wire, index, d->reject, record_fn(d->b->signal));
}

static bool
resource_group(struct ox__dec *d, struct ox_str wire)
{
    struct ox_resource *res;
    OX__PUSH(d, resources, n_resources, cap_resources, res);
    if (res == NULL)
        return false;
    uint32_t index = d->b->n_resources - 1;
    d->reject = OX_REJECT_NONE;
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f))
            return false;
        bool ok = true;
        if (f.tag == OX__TAG(1, OX_WIRE_BYTES))
            ok = resource(d, f.s, res);
        else if (f.tag == OX__TAG(3, OX_WIRE_BYTES))
            ox__dec_text(d, f.s, &res->schema_url);
        else if (f.tag != OX__TAG(2, OX_WIRE_BYTES))
            ok = ox__dec_other(d, f.tag, OX__BIT(1) | OX__BIT(2) | OX__BIT(3), at);
        if (!ok)
            return false;
    }
    res->service_name = service_name(d->b, res->attrs);
    return each_part(d, wire, index, d->reject, scope_group);
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
        return ox_diag_set(diag, d->err, field, -1, "a value is nested deeper than %u levels",
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

ox_err
ox_otlp_decode(enum ox_signal signal, struct ox_body *body, const struct ox_decode_limits *limits,
               struct ox_batch *out, struct ox_diag *diag)
{
    OX_CHECK_OBJ(out, OX_BATCH_MAGIC);
    OX_ASSERT((unsigned)signal < OX_SIGNAL__COUNT);
    OX_ASSERT(out->body == NULL && out->n_resources == 0);
    OX_ASSERT(limits->any_depth_max <= OX_ANY_DEPTH_MAX);
    struct ox__dec d = {.b = out, .limits = limits};
    out->signal = signal;
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
