/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/otlp_decode_any.c - AnyValue on the hot path: scalars are taken, nested values checked and kept as
 * bytes.
 *
 * Owns:    nothing.
 * Threads: any.
 * Bounds:  any_depth_max levels of recursion (array -> element -> array ...), at most OX_ANY_DEPTH_MAX.
 * Fails:   OX_E_DECODE, OX_E_TOO_DEEP.
 *
 * AnyValue is a oneof: the last member on the wire wins outright, also when it is an array and so was the one
 * before (protobuf-c does the same; C++ would join the two; no encoder writes it).
 */
#include "proto/otlp_decode.h"

#define ANY_KNOWN (OX__BIT(1) | OX__BIT(2) | OX__BIT(3) | OX__BIT(4) | OX__BIT(5) | OX__BIT(6) | OX__BIT(7))

static bool check_array(struct ox__dec *d, struct ox_str wire, uint32_t depth);
static bool check_kvlist(struct ox__dec *d, struct ox_str wire, uint32_t depth);

static bool
any_field(struct ox__dec *d, const struct ox__field *f, const uint8_t *at, struct ox_any *out, uint32_t depth)
{
    switch (f->tag) {
    case OX__TAG(1, OX_WIRE_BYTES):
        *out = (struct ox_any){.type = OX_ANY_STRING, .str = f->s};
        if (OX_UNLIKELY(!ox__utf8_ok(f->s)))
            ox__dec_reject(d, OX_REJECT_UTF8);
        return true;
    case OX__TAG(2, OX_WIRE_VARINT):
        *out = (struct ox_any){.type = OX_ANY_BOOL, .b = f->v != 0};
        return true;
    case OX__TAG(3, OX_WIRE_VARINT):
        *out = (struct ox_any){.type = OX_ANY_INT, .i = (int64_t)f->v};
        return true;
    case OX__TAG(4, OX_WIRE_FIXED64):
        *out = (struct ox_any){.type = OX_ANY_DOUBLE, .d = ox__double_of(f->v)};
        return true;
    case OX__TAG(5, OX_WIRE_BYTES):
        *out = (struct ox_any){.type = OX_ANY_ARRAY, .str = f->s};
        return check_array(d, f->s, depth + 1);
    case OX__TAG(6, OX_WIRE_BYTES):
        *out = (struct ox_any){.type = OX_ANY_KVLIST, .str = f->s};
        return check_kvlist(d, f->s, depth + 1);
    case OX__TAG(7, OX_WIRE_BYTES):
        *out = (struct ox_any){.type = OX_ANY_BYTES, .str = f->s};
        return true;
    default:
        return ox__dec_other(d, f->tag, ANY_KNOWN, at);
    }
}

bool
ox__dec_any(struct ox__dec *d, struct ox_str wire, struct ox_any *out, uint32_t depth)
{
    if (OX_UNLIKELY(depth > d->limits->any_depth_max))
        return ox__dec_fail(d, OX_E_TOO_DEEP, "");
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f) || !any_field(d, &f, at, out, depth))
            return false;
    }
    return true;
}

static bool
check_array(struct ox__dec *d, struct ox_str wire, uint32_t depth)
{
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        struct ox_any scratch = {0};
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f))
            return false;
        bool ok = f.tag == OX__TAG(1, OX_WIRE_BYTES) ? ox__dec_any(d, f.s, &scratch, depth)
                                                     : ox__dec_other(d, f.tag, OX__BIT(1), at);
        if (!ok)
            return false;
    }
    return true;
}

static bool
check_pair(struct ox__dec *d, struct ox_str wire, uint32_t depth)
{
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        struct ox_any scratch = {0};
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f))
            return false;
        bool ok = true;
        if (f.tag == OX__TAG(2, OX_WIRE_BYTES))
            ok = ox__dec_any(d, f.s, &scratch, depth);
        else if (f.tag != OX__TAG(1, OX_WIRE_BYTES))
            ok = ox__dec_other(d, f.tag, OX__BIT(1) | OX__BIT(2), at);
        else if (!ox__utf8_ok(f.s))
            ox__dec_reject(d, OX_REJECT_UTF8);
        if (!ok)
            return false;
    }
    return true;
}

static bool
check_kvlist(struct ox__dec *d, struct ox_str wire, uint32_t depth)
{
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        const uint8_t *at = c.p;
        if (!ox__dec_field(d, &c, &f))
            return false;
        bool ok = f.tag == OX__TAG(1, OX_WIRE_BYTES) ? check_pair(d, f.s, depth)
                                                     : ox__dec_other(d, f.tag, OX__BIT(1), at);
        if (!ok)
            return false;
    }
    return true;
}
