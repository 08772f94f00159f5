/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/otlp_decode_points.c - the four data point messages, exemplars and buckets.
 *
 * Owns:    nothing; rows go to batch->points, mores, exemplars, u64s, f64s.
 * Threads: any.
 * Bounds:  attrs_per_record_max, exemplars_per_point_max, buckets_per_point_max.
 * Fails:   as otlp_decode.h; what breaks a bound marks the point.
 */
#include "proto/otlp_decode.h"

#define EXEMPLAR_KNOWN      (OX__BIT(2) | OX__BIT(3) | OX__BIT(4) | OX__BIT(5) | OX__BIT(6) | OX__BIT(7))
#define NUMBER_KNOWN        (EXEMPLAR_KNOWN | OX__BIT(8))
#define HISTOGRAM_KNOWN     0x1ffcu /* 2 to 12 */
#define EXP_HISTOGRAM_KNOWN 0x7ffeu /* 1 to 14 */
#define SUMMARY_KNOWN       0x1fcu  /* 2 to 8 */

static void
set_double(struct ox_point *pt, uint64_t bits)
{
    pt->value = ox__double_of(bits);
    pt->has = (uint8_t)((pt->has & ~OX_POINT_IS_INT) | OX_POINT_HAS_VALUE);
}

static void
set_int(struct ox_point *pt, uint64_t bits)
{
    pt->int_value = (int64_t)bits;
    pt->has |= OX_POINT_IS_INT | OX_POINT_HAS_VALUE;
}

static bool
exemplar_field(struct ox__dec *d, const struct ox__field *f, const uint8_t *at, struct ox_exemplar *ex,
               bool *bad_trace, bool *bad_span)
{
    switch (f->tag) {
    case OX__TAG(2, OX_WIRE_FIXED64):
        ex->time_ns = f->v;
        return true;
    case OX__TAG(3, OX_WIRE_FIXED64):
        ex->is_int = false;
        ex->int_value = 0;
        ex->value = ox__double_of(f->v);
        return true;
    case OX__TAG(6, OX_WIRE_FIXED64):
        ex->is_int = true;
        ex->int_value = (int64_t)f->v;
        ex->value = (double)ex->int_value;
        return true;
    case OX__TAG(4, OX_WIRE_BYTES):
        *bad_span = !ox__dec_id(f->s, ex->span_id, 8);
        return true;
    case OX__TAG(5, OX_WIRE_BYTES):
        *bad_trace = !ox__dec_id(f->s, ex->trace_id, 16);
        return true;
    case OX__TAG(7, OX_WIRE_BYTES):
        return ox__dec_attr(d, f->s, &ex->attrs);
    default:
        return ox__dec_other(d, f->tag, EXEMPLAR_KNOWN, at);
    }
}

static bool
exemplar(struct ox__dec *d, struct ox_str wire)
{
    struct ox_exemplar *ex;
    OX__PUSH(d, exemplars, n_exemplars, cap_exemplars, ex);
    if (ex == NULL)
        return false;
    bool bad_trace = false, bad_span = false;
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f) || !exemplar_field(d, &f, at, ex, &bad_trace, &bad_span))
            return false;
    }
    if (OX_UNLIKELY(bad_trace))
        ox__dec_reject(d, OX_REJECT_TRACE_ID);
    if (OX_UNLIKELY(bad_span))
        ox__dec_reject(d, OX_REJECT_SPAN_ID);
    return true;
}

/* Second walk of a point: the exemplars, which are field `number` of its message. */
static bool
exemplars(struct ox__dec *d, struct ox_str wire, uint32_t number, struct ox_slice *slice)
{
    slice->first = d->b->n_exemplars;
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        if (!ox__dec_field(d, &c, &f))
            return false;
        if (f.tag != OX__TAG(number, OX_WIRE_BYTES))
            continue;
        uint32_t attrs = d->b->n_attrs;
        if (!exemplar(d, f.s))
            return false;
        if (OX_LIKELY(slice->count < d->limits->exemplars_per_point_max)) {
            slice->count++;
            continue;
        }
        d->b->n_exemplars--;
        d->b->n_attrs = attrs;
        ox__dec_reject(d, OX_REJECT_ATTRIBUTES);
    }
    return true;
}

static bool
bucket_fits(struct ox__dec *d, const struct ox_slice *slice)
{
    if (OX_LIKELY(slice->count < d->limits->buckets_per_point_max))
        return true;
    ox__dec_reject(d, OX_REJECT_HISTOGRAM);
    return false;
}

static bool
push_u64(struct ox__dec *d, uint64_t v, struct ox_slice *slice)
{
    if (!bucket_fits(d, slice))
        return true;
    uint64_t *place;
    OX__PUSH(d, u64s, n_u64s, cap_u64s, place);
    if (place == NULL)
        return false;
    *place = v;
    if (slice->count++ == 0)
        slice->first = d->b->n_u64s - 1;
    return true;
}

static bool
push_f64(struct ox__dec *d, uint64_t bits, struct ox_slice *slice)
{
    if (!bucket_fits(d, slice))
        return true;
    double *place;
    OX__PUSH(d, f64s, n_f64s, cap_f64s, place);
    if (place == NULL)
        return false;
    *place = ox__double_of(bits);
    if (slice->count++ == 0)
        slice->first = d->b->n_f64s - 1;
    return true;
}

typedef bool (*push_fn)(struct ox__dec *d, uint64_t v, struct ox_slice *slice);

static bool
packed_fixed(struct ox__dec *d, struct ox_str bytes, push_fn push, struct ox_slice *slice)
{
    if (bytes.n % 8 != 0)
        return ox__dec_malformed(d, OX__WIRE_LENGTH, (const uint8_t *)bytes.p);
    for (size_t i = 0; i < bytes.n; i += 8) {
        if (!push(d, ox__load64((const uint8_t *)bytes.p + i), slice))
            return false;
    }
    return true;
}

static bool
packed_varint(struct ox__dec *d, struct ox_str bytes, struct ox_slice *slice)
{
    struct ox__cur c = ox__cur_of(bytes);
    while (c.p < c.end) {
        uint64_t v;
        const uint8_t *at = c.p;
        enum ox__wire_bad bad = ox__varint(&c, 10, &v);
        if (bad != OX__WIRE_OK)
            return ox__dec_malformed(d, bad, at);
        if (!push_u64(d, v, slice))
            return false;
    }
    return true;
}

/* A zeroed point of `metric` with its ordinal. */
static struct ox_point *
point_new(struct ox__dec *d, struct ox_str wire, uint32_t metric)
{
    struct ox_point *pt;
    OX__PUSH(d, points, n_points, cap_points, pt);
    if (pt == NULL || !ox__dec_ordinal(d, &pt->ordinal))
        return NULL;
    pt->metric = metric;
    pt->wire = ox__dec_piece(d, wire);
    return pt;
}

/* The point's rarer parts, zeroed when it had none; valid until another point asks. NULL: it failed. */
static struct ox_point_more *
more_of(struct ox__dec *d, struct ox_point *pt)
{
    struct ox_point_more *more;
    if (pt->more != 0)
        return &d->b->mores[pt->more - 1];
    OX__PUSH(d, mores, n_mores, cap_mores, more);
    if (more != NULL)
        pt->more = d->b->n_mores;
    return more;
}

static bool
number_field(struct ox__dec *d, const struct ox__field *f, const uint8_t *at, struct ox_point *pt,
             bool *has_exemplars)
{
    switch (f->tag) {
    case OX__TAG(2, OX_WIRE_FIXED64):
        pt->start_ns = f->v;
        return true;
    case OX__TAG(3, OX_WIRE_FIXED64):
        pt->time_ns = f->v;
        return true;
    case OX__TAG(4, OX_WIRE_FIXED64):
        set_double(pt, f->v);
        return true;
    case OX__TAG(5, OX_WIRE_BYTES):
        *has_exemplars = true;
        return true;
    case OX__TAG(6, OX_WIRE_FIXED64):
        set_int(pt, f->v);
        return true;
    case OX__TAG(7, OX_WIRE_BYTES):
        return ox__dec_attr(d, f->s, &pt->attrs);
    case OX__TAG(8, OX_WIRE_VARINT):
        pt->flags = (uint32_t)f->v;
        return true;
    default:
        return ox__dec_other(d, f->tag, NUMBER_KNOWN, at);
    }
}

/* Takes fields from p on as long as they are short; returns where they end, NULL when it failed. */
static const uint8_t *
number_short_fields(struct ox__dec *d, const uint8_t *p, const uint8_t *end, struct ox_point *pt)
{
    for (size_t left; (left = (size_t)(end - p)) >= 2;) {
        const uint8_t *at = p;
        if (p[0] == OX__TAG(7, OX_WIRE_BYTES)) {
            p = ox__dec_attrs_short(d, p, end, OX__TAG(7, OX_WIRE_BYTES), &pt->attrs);
            if (p == NULL || p == at)
                return p;
            continue;
        }
        if (left < 9)
            return p;
        uint64_t v = ox__load64(p + 1);
        switch (p[0]) {
        case OX__TAG(2, OX_WIRE_FIXED64):
            pt->start_ns = v;
            break;
        case OX__TAG(3, OX_WIRE_FIXED64):
            pt->time_ns = v;
            break;
        case OX__TAG(4, OX_WIRE_FIXED64):
            set_double(pt, v);
            break;
        case OX__TAG(6, OX_WIRE_FIXED64):
            set_int(pt, v);
            break;
        default:
            return p;
        }
        p += 9;
    }
    return p;
}

bool
ox__dec_number_point(struct ox__dec *d, struct ox_str wire, uint32_t metric)
{
    struct ox_point *pt = point_new(d, wire, metric);
    if (pt == NULL)
        return false;
    bool has_exemplars = false;
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        if (OX_LIKELY(d->short_ok)) {
            c.p = number_short_fields(d, c.p, c.end, pt);
            if (c.p == NULL)
                return false;
            if (c.p == c.end)
                break;
        }
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f) || !number_field(d, &f, at, pt, &has_exemplars))
            return false;
    }
    if (OX_UNLIKELY(has_exemplars)) {
        struct ox_point_more *more = more_of(d, pt);
        if (more == NULL || !exemplars(d, wire, 5, &more->exemplars))
            return false;
    }
    pt->reject = d->reject;
    return true;
}

/* sum, min, max: optional doubles. */
static void
set_optional(struct ox_point *pt, uint8_t which, double *place, uint64_t bits)
{
    *place = ox__double_of(bits);
    pt->has |= which;
}

static bool
histogram_buckets(struct ox__dec *d, const struct ox__field *f, const uint8_t *at, struct ox_point_more *more)
{
    switch (f->tag) {
    case OX__TAG(6, OX_WIRE_BYTES):
        return packed_fixed(d, f->s, push_u64, &more->counts);
    case OX__TAG(6, OX_WIRE_FIXED64):
        return push_u64(d, f->v, &more->counts);
    case OX__TAG(7, OX_WIRE_BYTES):
        return packed_fixed(d, f->s, push_f64, &more->bounds);
    case OX__TAG(7, OX_WIRE_FIXED64):
        return push_f64(d, f->v, &more->bounds);
    default:
        return ox__dec_other(d, f->tag, HISTOGRAM_KNOWN, at);
    }
}

static bool
histogram_field(struct ox__dec *d, const struct ox__field *f, const uint8_t *at, struct ox_point *pt,
                struct ox_point_more *more, bool *has_exemplars)
{
    switch (f->tag) {
    case OX__TAG(2, OX_WIRE_FIXED64):
        pt->start_ns = f->v;
        return true;
    case OX__TAG(3, OX_WIRE_FIXED64):
        pt->time_ns = f->v;
        return true;
    case OX__TAG(4, OX_WIRE_FIXED64):
        more->count = f->v;
        return true;
    case OX__TAG(5, OX_WIRE_FIXED64):
        set_optional(pt, OX_POINT_HAS_SUM, &more->sum, f->v);
        return true;
    case OX__TAG(8, OX_WIRE_BYTES):
        *has_exemplars = true;
        return true;
    case OX__TAG(9, OX_WIRE_BYTES):
        return ox__dec_attr(d, f->s, &pt->attrs);
    case OX__TAG(10, OX_WIRE_VARINT):
        pt->flags = (uint32_t)f->v;
        return true;
    case OX__TAG(11, OX_WIRE_FIXED64):
        set_optional(pt, OX_POINT_HAS_MIN, &more->min, f->v);
        return true;
    case OX__TAG(12, OX_WIRE_FIXED64):
        set_optional(pt, OX_POINT_HAS_MAX, &more->max, f->v);
        return true;
    default:
        return histogram_buckets(d, f, at, more);
    }
}

bool
ox__dec_histogram_point(struct ox__dec *d, struct ox_str wire, uint32_t metric)
{
    struct ox_point *pt = point_new(d, wire, metric);
    struct ox_point_more *more = pt != NULL ? more_of(d, pt) : NULL;
    if (more == NULL)
        return false;
    bool has_exemplars = false;
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f) || !histogram_field(d, &f, at, pt, more, &has_exemplars))
            return false;
    }
    if (has_exemplars && !exemplars(d, wire, 8, &more->exemplars))
        return false;
    pt->reject = d->reject;
    return true;
}

/* Buckets { sint32 offset = 1, repeated uint64 bucket_counts = 2 }. Two of them join: counts in a row, the
 * last offset wins. */
static bool
exp_buckets(struct ox__dec *d, struct ox_str wire, int32_t *offset, struct ox_slice *counts)
{
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f))
            return false;
        bool ok = true;
        if (f.tag == OX__TAG(1, OX_WIRE_VARINT))
            *offset = (int32_t)ox__unzigzag((uint32_t)f.v);
        else if (f.tag == OX__TAG(2, OX_WIRE_BYTES))
            ok = packed_varint(d, f.s, counts);
        else if (f.tag == OX__TAG(2, OX_WIRE_VARINT))
            ok = push_u64(d, f.v, counts);
        else
            ok = ox__dec_other(d, f.tag, OX__BIT(1) | OX__BIT(2), at);
        if (!ok)
            return false;
    }
    return true;
}

struct exp_seen {
    bool exemplars;
    bool negative;
};

static bool
exp_rare_field(struct ox__dec *d, const struct ox__field *f, const uint8_t *at, struct ox_point *pt,
               struct ox_point_more *more)
{
    switch (f->tag) {
    case OX__TAG(10, OX_WIRE_VARINT):
        pt->flags = (uint32_t)f->v;
        return true;
    case OX__TAG(12, OX_WIRE_FIXED64):
        set_optional(pt, OX_POINT_HAS_MIN, &more->min, f->v);
        return true;
    case OX__TAG(13, OX_WIRE_FIXED64):
        set_optional(pt, OX_POINT_HAS_MAX, &more->max, f->v);
        return true;
    case OX__TAG(14, OX_WIRE_FIXED64):
        more->zero_threshold = ox__double_of(f->v);
        return true;
    default:
        return ox__dec_other(d, f->tag, EXP_HISTOGRAM_KNOWN, at);
    }
}

static bool
exp_field(struct ox__dec *d, const struct ox__field *f, const uint8_t *at, struct ox_point *pt,
          struct ox_point_more *more, struct exp_seen *seen)
{
    switch (f->tag) {
    case OX__TAG(1, OX_WIRE_BYTES):
        return ox__dec_attr(d, f->s, &pt->attrs);
    case OX__TAG(2, OX_WIRE_FIXED64):
        pt->start_ns = f->v;
        return true;
    case OX__TAG(3, OX_WIRE_FIXED64):
        pt->time_ns = f->v;
        return true;
    case OX__TAG(4, OX_WIRE_FIXED64):
        more->count = f->v;
        return true;
    case OX__TAG(5, OX_WIRE_FIXED64):
        set_optional(pt, OX_POINT_HAS_SUM, &more->sum, f->v);
        return true;
    case OX__TAG(6, OX_WIRE_VARINT):
        more->scale = (int32_t)ox__unzigzag((uint32_t)f->v);
        return true;
    case OX__TAG(7, OX_WIRE_FIXED64):
        more->zero_count = f->v;
        return true;
    case OX__TAG(8, OX_WIRE_BYTES):
        return exp_buckets(d, f->s, &more->positive_offset, &more->counts);
    case OX__TAG(9, OX_WIRE_BYTES):
        seen->negative = true;
        return true;
    case OX__TAG(11, OX_WIRE_BYTES):
        seen->exemplars = true;
        return true;
    default:
        return exp_rare_field(d, f, at, pt, more);
    }
}

/* The negative buckets share batch->u64s with the positive ones and must lie behind all of them. */
static bool
exp_negative(struct ox__dec *d, struct ox_str wire, struct ox_point_more *more)
{
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        if (!ox__dec_field(d, &c, &f))
            return false;
        if (f.tag == OX__TAG(9, OX_WIRE_BYTES) &&
            !exp_buckets(d, f.s, &more->negative_offset, &more->negative))
            return false;
    }
    return true;
}

bool
ox__dec_exp_histogram_point(struct ox__dec *d, struct ox_str wire, uint32_t metric)
{
    struct ox_point *pt = point_new(d, wire, metric);
    struct ox_point_more *more = pt != NULL ? more_of(d, pt) : NULL;
    if (more == NULL)
        return false;
    struct exp_seen seen = {0};
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f) || !exp_field(d, &f, at, pt, more, &seen))
            return false;
    }
    if (seen.negative && !exp_negative(d, wire, more))
        return false;
    if (seen.exemplars && !exemplars(d, wire, 11, &more->exemplars))
        return false;
    pt->reject = d->reject;
    return true;
}

static bool
quantile(struct ox__dec *d, struct ox_str wire, uint64_t *q, uint64_t *v)
{
    struct ox__cur c = ox__cur_of(wire);
    *q = 0;
    *v = 0;
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f))
            return false;
        if (f.tag == OX__TAG(1, OX_WIRE_FIXED64))
            *q = f.v;
        else if (f.tag == OX__TAG(2, OX_WIRE_FIXED64))
            *v = f.v;
        else if (!ox__dec_other(d, f.tag, OX__BIT(1) | OX__BIT(2), at))
            return false;
    }
    return true;
}

/* Walks a summary's quantiles for their positions (first) or their values (second): both lists lie in f64s.
 */
static bool
quantiles(struct ox__dec *d, struct ox_str wire, bool values, struct ox_slice *slice)
{
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        uint64_t q, v;
        if (!ox__dec_field(d, &c, &f))
            return false;
        if (f.tag != OX__TAG(6, OX_WIRE_BYTES))
            continue;
        if (!quantile(d, f.s, &q, &v) || !push_f64(d, values ? v : q, slice))
            return false;
    }
    return true;
}

static bool
summary_field(struct ox__dec *d, const struct ox__field *f, const uint8_t *at, struct ox_point *pt,
              struct ox_point_more *more)
{
    switch (f->tag) {
    case OX__TAG(2, OX_WIRE_FIXED64):
        pt->start_ns = f->v;
        return true;
    case OX__TAG(3, OX_WIRE_FIXED64):
        pt->time_ns = f->v;
        return true;
    case OX__TAG(4, OX_WIRE_FIXED64):
        more->count = f->v;
        return true;
    case OX__TAG(5, OX_WIRE_FIXED64):
        set_optional(pt, OX_POINT_HAS_SUM, &more->sum, f->v);
        return true;
    case OX__TAG(6, OX_WIRE_BYTES):
        return true; /* read by quantiles() */
    case OX__TAG(7, OX_WIRE_BYTES):
        return ox__dec_attr(d, f->s, &pt->attrs);
    case OX__TAG(8, OX_WIRE_VARINT):
        pt->flags = (uint32_t)f->v;
        return true;
    default:
        return ox__dec_other(d, f->tag, SUMMARY_KNOWN, at);
    }
}

bool
ox__dec_summary_point(struct ox__dec *d, struct ox_str wire, uint32_t metric)
{
    struct ox_point *pt = point_new(d, wire, metric);
    struct ox_point_more *more = pt != NULL ? more_of(d, pt) : NULL;
    if (more == NULL)
        return false;
    /* A summary's sum is not optional in OTLP: absent means 0. */
    pt->has = OX_POINT_HAS_SUM;
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f) || !summary_field(d, &f, at, pt, more))
            return false;
    }
    if (!quantiles(d, wire, false, &more->bounds) || !quantiles(d, wire, true, &more->values))
        return false;
    pt->reject = d->reject;
    return true;
}
