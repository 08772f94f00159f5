/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/otlp_decode_trace.c - Span and its events and links.
 *
 * Owns:    nothing; rows go to batch->spans, events, links.
 * Threads: any.
 * Bounds:  attrs_per_record_max, events_per_span_max, links_per_span_max, text_bytes_max.
 * Fails:   as otlp_decode.h; what breaks a bound marks the span.
 */
#include "proto/otlp_decode.h"

#define SPAN_KIND_MAX   5
#define STATUS_CODE_MAX 2

#define EVENT_KNOWN  (OX__BIT(1) | OX__BIT(2) | OX__BIT(3) | OX__BIT(4))
#define LINK_KNOWN   (OX__BIT(1) | OX__BIT(2) | OX__BIT(3) | OX__BIT(4) | OX__BIT(5) | OX__BIT(6))
#define STATUS_KNOWN (OX__BIT(2) | OX__BIT(3))
#define SPAN_KNOWN   0x1fffeu /* 1 to 16 */
/* The two bytes of the tag of field 16, flags, as they stand on the wire, the first one lowest. */
#define FLAGS_TAG (0x80 | (OX__TAG(16, OX_WIRE_FIXED32) & 0x7f) | OX__TAG(16, OX_WIRE_FIXED32) >> 7 << 8)

static bool
event(struct ox__dec *d, struct ox_str wire)
{
    struct ox_span_event *ev;
    OX__PUSH(d, events, n_events, cap_events, ev);
    if (ev == NULL)
        return false;
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f))
            return false;
        bool ok = true;
        if (f.tag == OX__TAG(1, OX_WIRE_FIXED64))
            ev->time_ns = f.v;
        else if (f.tag == OX__TAG(2, OX_WIRE_BYTES))
            ox__dec_text(d, f.s, &ev->name);
        else if (f.tag == OX__TAG(3, OX_WIRE_BYTES))
            ok = ox__dec_attr(d, f.s, &ev->attrs);
        else if (f.tag == OX__TAG(4, OX_WIRE_VARINT))
            ev->dropped_attrs = (uint32_t)f.v;
        else
            ok = ox__dec_other(d, f.tag, EVENT_KNOWN, at);
        if (!ok)
            return false;
    }
    return true;
}

static bool
link_field(struct ox__dec *d, const struct ox__field *f, const uint8_t *at, struct ox_span_link *link,
           bool *bad_trace, bool *bad_span)
{
    switch (f->tag) {
    case OX__TAG(1, OX_WIRE_BYTES):
        *bad_trace = !ox__dec_id(f->s, link->trace_id, 16);
        return true;
    case OX__TAG(2, OX_WIRE_BYTES):
        *bad_span = !ox__dec_id(f->s, link->span_id, 8);
        return true;
    case OX__TAG(3, OX_WIRE_BYTES):
        ox__dec_text(d, f->s, &link->trace_state);
        return true;
    case OX__TAG(4, OX_WIRE_BYTES):
        return ox__dec_attr(d, f->s, &link->attrs);
    case OX__TAG(5, OX_WIRE_VARINT):
        link->dropped_attrs = (uint32_t)f->v;
        return true;
    case OX__TAG(6, OX_WIRE_FIXED32):
        link->flags = (uint32_t)f->v;
        return true;
    default:
        return ox__dec_other(d, f->tag, LINK_KNOWN, at);
    }
}

static bool
span_link(struct ox__dec *d, struct ox_str wire)
{
    struct ox_span_link *link;
    OX__PUSH(d, links, n_links, cap_links, link);
    if (link == NULL)
        return false;
    bool bad_trace = false, bad_span = false;
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f) || !link_field(d, &f, at, link, &bad_trace, &bad_span))
            return false;
    }
    if (OX_UNLIKELY(bad_trace))
        ox__dec_reject(d, OX_REJECT_TRACE_ID);
    if (OX_UNLIKELY(bad_span))
        ox__dec_reject(d, OX_REJECT_SPAN_ID);
    return true;
}

static bool
status(struct ox__dec *d, struct ox_str wire, struct ox_span *span)
{
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f))
            return false;
        if (f.tag == OX__TAG(2, OX_WIRE_BYTES))
            ox__dec_text(d, f.s, &span->status_message);
        else if (f.tag == OX__TAG(3, OX_WIRE_VARINT))
            span->status_code = ox__dec_enum(d, f.v, STATUS_CODE_MAX);
        else if (!ox__dec_other(d, f.tag, STATUS_KNOWN, at))
            return false;
    }
    return true;
}

/* What the first walk finds out beside the fields. */
struct span_seen {
    bool bad_trace;
    bool bad_span;
    bool bad_parent;
    uint32_t events;
    uint32_t links;
};

static bool
span_rare_field(struct ox__dec *d, const struct ox__field *f, const uint8_t *at, struct ox_span *span,
                struct span_seen *seen)
{
    switch (f->tag) {
    case OX__TAG(3, OX_WIRE_BYTES):
        ox__dec_text(d, f->s, &span->trace_state);
        return true;
    case OX__TAG(10, OX_WIRE_VARINT):
        span->dropped_attrs = (uint32_t)f->v;
        return true;
    case OX__TAG(11, OX_WIRE_BYTES):
        seen->events++;
        return true;
    case OX__TAG(12, OX_WIRE_VARINT):
        span->dropped_events = (uint32_t)f->v;
        return true;
    case OX__TAG(13, OX_WIRE_BYTES):
        seen->links++;
        return true;
    case OX__TAG(14, OX_WIRE_VARINT):
        span->dropped_links = (uint32_t)f->v;
        return true;
    case OX__TAG(15, OX_WIRE_BYTES):
        return status(d, f->s, span);
    case OX__TAG(16, OX_WIRE_FIXED32):
        span->flags = (uint32_t)f->v;
        return true;
    default:
        return ox__dec_other(d, f->tag, SPAN_KNOWN, at);
    }
}

static bool
span_field(struct ox__dec *d, const struct ox__field *f, const uint8_t *at, struct ox_span *span,
           struct span_seen *seen)
{
    switch (f->tag) {
    case OX__TAG(1, OX_WIRE_BYTES):
        seen->bad_trace = !ox__dec_id(f->s, span->trace_id, 16);
        return true;
    case OX__TAG(2, OX_WIRE_BYTES):
        seen->bad_span = !ox__dec_id(f->s, span->span_id, 8);
        return true;
    case OX__TAG(4, OX_WIRE_BYTES):
        seen->bad_parent = !ox__dec_id(f->s, span->parent_span_id, 8);
        return true;
    case OX__TAG(5, OX_WIRE_BYTES):
        ox__dec_text(d, f->s, &span->name);
        return true;
    case OX__TAG(6, OX_WIRE_VARINT):
        span->kind = ox__dec_enum(d, f->v, SPAN_KIND_MAX);
        return true;
    case OX__TAG(7, OX_WIRE_FIXED64):
        span->start_ns = f->v;
        return true;
    case OX__TAG(8, OX_WIRE_FIXED64):
        span->end_ns = f->v;
        return true;
    case OX__TAG(9, OX_WIRE_BYTES):
        return ox__dec_attr(d, f->s, &span->attrs);
    default:
        return span_rare_field(d, f, at, span, seen);
    }
}

/* Second walk: events. They lie side by side, each followed in batch->attrs by its own attributes only. */
static bool
span_events(struct ox__dec *d, struct ox_str wire, struct ox_slice *slice)
{
    slice->first = d->b->n_events;
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        if (!ox__dec_field(d, &c, &f))
            return false;
        if (f.tag != OX__TAG(11, OX_WIRE_BYTES))
            continue;
        uint32_t attrs = d->b->n_attrs;
        if (!event(d, f.s))
            return false;
        if (OX_LIKELY(slice->count < d->limits->events_per_span_max)) {
            slice->count++;
            continue;
        }
        d->b->n_events--; /* it was well-formed, which is all that still counts */
        d->b->n_attrs = attrs;
        ox__dec_reject(d, OX_REJECT_ATTRIBUTES);
    }
    return true;
}

static bool
span_links(struct ox__dec *d, struct ox_str wire, struct ox_slice *slice)
{
    slice->first = d->b->n_links;
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        if (!ox__dec_field(d, &c, &f))
            return false;
        if (f.tag != OX__TAG(13, OX_WIRE_BYTES))
            continue;
        uint32_t attrs = d->b->n_attrs;
        if (!span_link(d, f.s))
            return false;
        if (OX_LIKELY(slice->count < d->limits->links_per_span_max)) {
            slice->count++;
            continue;
        }
        d->b->n_links--;
        d->b->n_attrs = attrs;
        ox__dec_reject(d, OX_REJECT_ATTRIBUTES);
    }
    return true;
}

/* Takes fields from p on as long as they are short; returns where they end, NULL when it failed. */
static const uint8_t *
span_short_fields(struct ox__dec *d, const uint8_t *p, const uint8_t *end, struct ox_span *span,
                  struct span_seen *seen)
{
    for (size_t left; (left = (size_t)(end - p)) >= 2;) {
        const uint8_t *at = p;
        switch (p[0]) {
        case OX__TAG(1, OX_WIRE_BYTES):
            if (!ox__short_id(p, left, 16))
                return p;
            memcpy(span->trace_id, p + 2, 16);
            seen->bad_trace = false;
            p += 18;
            break;
        case OX__TAG(2, OX_WIRE_BYTES):
            if (!ox__short_id(p, left, 8))
                return p;
            memcpy(span->span_id, p + 2, 8);
            seen->bad_span = false;
            p += 10;
            break;
        case OX__TAG(4, OX_WIRE_BYTES):
            if (!ox__short_id(p, left, 8))
                return p;
            memcpy(span->parent_span_id, p + 2, 8);
            seen->bad_parent = false;
            p += 10;
            break;
        case OX__TAG(5, OX_WIRE_BYTES):
            if (!ox__short_bytes(p, left))
                return p;
            ox__dec_short_text(d, p, &span->name);
            p += 2 + p[1];
            break;
        case OX__TAG(6, OX_WIRE_VARINT):
            if (p[1] > SPAN_KIND_MAX)
                return p;
            span->kind = p[1];
            p += 2;
            break;
        case OX__TAG(7, OX_WIRE_FIXED64):
            if (left < 9)
                return p;
            span->start_ns = ox__load64(p + 1);
            p += 9;
            break;
        case OX__TAG(8, OX_WIRE_FIXED64):
            if (left < 9)
                return p;
            span->end_ns = ox__load64(p + 1);
            p += 9;
            break;
        case OX__TAG(9, OX_WIRE_BYTES):
            p = ox__dec_attrs_short(d, p, end, OX__TAG(9, OX_WIRE_BYTES), &span->attrs);
            if (p == NULL || p == at)
                return p;
            break;
        case FLAGS_TAG & 0xff:
            if (left < 6 || p[1] != FLAGS_TAG >> 8)
                return p;
            span->flags = ox__load32(p + 2);
            p += 6;
            break;
        default:
            return p;
        }
    }
    return p;
}

static void
span_finish(struct ox__dec *d, struct ox_span *span, const struct span_seen *seen)
{
    if (OX_UNLIKELY(seen->bad_trace))
        ox__dec_reject(d, OX_REJECT_TRACE_ID);
    if (OX_UNLIKELY(seen->bad_span))
        ox__dec_reject(d, OX_REJECT_SPAN_ID);
    if (OX_UNLIKELY(seen->bad_parent))
        ox__dec_reject(d, OX_REJECT_PARENT_ID);
    span->reject = d->reject;
}

bool
ox__dec_span(struct ox__dec *d, struct ox_str wire, uint32_t scope)
{
    struct ox_span *span;
    OX__PUSH(d, spans, n_spans, cap_spans, span);
    if (span == NULL || !ox__dec_ordinal(d, &span->ordinal))
        return false;
    span->scope = scope;
    span->wire = ox__dec_piece(d, wire);
    struct span_seen seen = {0};
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        if (OX_LIKELY(d->short_ok)) {
            c.p = span_short_fields(d, c.p, c.end, span, &seen);
            if (c.p == NULL)
                return false;
            if (c.p == c.end)
                break;
        }
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f) || !span_field(d, &f, at, span, &seen))
            return false;
    }
    if (seen.events != 0 && !span_events(d, wire, &span->events))
        return false;
    if (seen.links != 0 && !span_links(d, wire, &span->links))
        return false;
    span_finish(d, span, &seen);
    return true;
}
