/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/otlp_decode_attrs.c - KeyValue: the general reader, and runs of short ones where they stand.
 *
 * Owns:    nothing; rows go to batch->attrs.
 * Threads: any.
 * Bounds:  attrs_per_record_max, key_bytes_max, value_bytes_max; struct ox_attr holds OX_ATTR_BYTES_MAX.
 * Fails:   as otlp_decode.h.
 *
 * Half of a request's bytes are attributes, and nearly all of them are `0a len key 12 len value` with a text, a number or
 * a truth value, shorter than 128 bytes. ox__dec_attrs_short reads those of a record in one loop. Tags, lengths and
 * ASCII are all below 128, so one look over the bytes of several attributes, tags and lengths included, tells that
 * keys and texts are UTF-8; only when it finds a byte above is each looked at by itself.
 */
#include "proto/otlp_decode.h"

/* The bytes that count against value_bytes_max. */
static size_t
any_bytes(const struct ox_any *any)
{
    return any->type == OX_ANY_STRING || any->type >= OX_ANY_ARRAY ? any->str.n : 0;
}

static bool
attr_fields(struct ox__dec *d, struct ox_str wire, struct ox_str *key, struct ox_any *value)
{
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f))
            return false;
        if (f.tag == OX__TAG(1, OX_WIRE_BYTES)) {
            *key = f.s;
            if (OX_UNLIKELY(!ox__utf8_ok(f.s)))
                ox__dec_reject(d, OX_REJECT_UTF8);
        } else if (f.tag == OX__TAG(2, OX_WIRE_BYTES)) {
            if (!ox__dec_any(d, f.s, value, 1))
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
    struct ox_str key = {0};
    struct ox_any value = {0};
    struct ox_attr *attr = NULL;
    if (OX_LIKELY(slice->count < d->limits->attrs_per_record_max)) {
        OX__PUSH(d, attrs, n_attrs, cap_attrs, attr);
        if (attr == NULL)
            return false;
        if (slice->count++ == 0)
            slice->first = d->b->n_attrs - 1;
    } else {
        ox__dec_reject(d, OX_REJECT_ATTRIBUTES); /* still read: it must be well-formed */
    }
    if (!attr_fields(d, wire, &key, &value))
        return false;
    if (OX_UNLIKELY(key.n > d->limits->key_bytes_max || any_bytes(&value) > d->limits->value_bytes_max))
        ox__dec_reject(d, OX_REJECT_ATTRIBUTES);
    if (attr != NULL)
        *attr = ox_attr_of(key, value);
    return true;
}

/* A varint of exactly n bytes at p that fits into 64 bits. */
static inline bool
varint_exactly(const uint8_t *p, size_t n, uint64_t *out)
{
    uint64_t v = 0;
    if (n == 0 || n > 9) /* ten bytes, which may not fit, are left to the general reader */
        return false;
    for (size_t i = 0; i < n; i++) {
        if (OX_UNLIKELY((p[i] >= 0x80) != (i + 1 < n)))
            return false;
        v |= (uint64_t)(p[i] & 0x7f) << 7 * i;
    }
    *out = v;
    return true;
}

static inline uint32_t
type_n(enum ox_any_type type, uint32_t n)
{
    return (uint32_t)type << OX_ATTR_TYPE_SHIFT | n;
}

/* The value at u, n bytes, when it is one short scalar and nothing else. *is_text: all its bytes are below 128 if its
 * text is ASCII. */
static inline bool
short_value(const uint8_t *u, size_t n, struct ox_attr *attr, bool *is_text)
{
    uint64_t v;
    *is_text = false;
    if (OX_LIKELY(n >= 2 && u[0] == OX__TAG(1, OX_WIRE_BYTES) && u[1] == n - 2)) {
        attr->v.p = (const char *)u + 2;
        attr->type_n = type_n(OX_ANY_STRING, (uint32_t)n - 2);
        *is_text = true;
        return true;
    }
    if (n >= 2 && u[0] == OX__TAG(3, OX_WIRE_VARINT) && varint_exactly(u + 1, n - 1, &v)) {
        attr->v.i = (int64_t)v;
        attr->type_n = type_n(OX_ANY_INT, 0);
        return true;
    }
    if (n == 9 && u[0] == OX__TAG(4, OX_WIRE_FIXED64)) {
        attr->v.d = ox__double_of(ox__load64(u + 1));
        attr->type_n = type_n(OX_ANY_DOUBLE, 0);
        return true;
    }
    if (n == 2 && u[0] == OX__TAG(2, OX_WIRE_VARINT) && u[1] < 0x80) {
        attr->v.i = 0;
        attr->v.b = u[1] != 0;
        attr->type_n = type_n(OX_ANY_BOOL, 0);
        return true;
    }
    return false;
}

/* Keys and texts of the attributes from `first` on, one by one. */
static void
judge_each(struct ox__dec *d, uint32_t first)
{
    for (uint32_t i = first; i < d->b->n_attrs; i++) {
        const struct ox_attr *attr = &d->b->attrs[i];
        if (!ox__utf8_ok(ox_attr_key(attr)) ||
            (ox_attr_type(attr) == OX_ANY_STRING && !ox__utf8_ok(ox_attr_str(attr))))
            ox__dec_reject(d, OX_REJECT_UTF8);
    }
}

/* The bytes of a short attribute at q, n of them; returns where its value begins, NULL when it is not short. */
static inline const uint8_t *
short_key(const uint8_t *q, size_t n, struct ox_attr *attr)
{
    if (n < 4 || q[0] != OX__TAG(1, OX_WIRE_BYTES) || q[1] > n - 4)
        return NULL;
    const uint8_t *v = q + 2 + q[1];
    if (v[0] != OX__TAG(2, OX_WIRE_BYTES) || v[1] != n - 4 - q[1])
        return NULL;
    attr->key_p = (const char *)q + 2;
    attr->key_n = q[1];
    return v + 2;
}

const uint8_t *
ox__dec_attrs_short(struct ox__dec *d, const uint8_t *p, const uint8_t *end, uint8_t tag,
                    struct ox_slice *slice)
{
    struct ox_batch *b = d->b;
    const uint32_t first = b->n_attrs;
    const uint8_t *from = p; /* bytes from here to p are not looked at yet */
    uint32_t room = d->limits->attrs_per_record_max - slice->count;
    bool ascii = true;
    for (; room > 0 && end - p >= 2 && p[0] == tag && ox__short_bytes(p, (size_t)(end - p)); room--) {
        if (OX_UNLIKELY(b->n_attrs == b->cap_attrs) &&
            !ox__dec_grow(d, (void **)&b->attrs, &b->cap_attrs, b->n_attrs + 1, sizeof(*b->attrs)))
            return NULL;
        /* Written in place: built beside it and copied, the copy waits for the halves it is made of. */
        struct ox_attr *attr = &b->attrs[b->n_attrs];
        bool is_text;
        const uint8_t *q = p + 2, *u = short_key(q, p[1], attr);
        if (u == NULL || !short_value(u, (size_t)(q + p[1] - u), attr, &is_text))
            break;
        b->n_attrs++;
        p = q + p[1];
        if (!is_text) {
            ascii &= ox__ascii(from, (size_t)(u - from));
            from = p;
        }
    }
    if (b->n_attrs == first)
        return p;
    if (OX_UNLIKELY(!(ascii & ox__ascii(from, (size_t)(p - from)))))
        judge_each(d, first);
    if (slice->count == 0)
        slice->first = first;
    slice->count += b->n_attrs - first;
    return p;
}
