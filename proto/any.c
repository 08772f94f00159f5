/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/any.c - walking AnyValues that a batch keeps as wire bytes.
 *
 * Owns:    nothing.
 * Threads: any.
 * Fails:   OX_E_DECODE, OX_E_END. Bytes from a batch are well-formed already; bytes from elsewhere may not
 *          be.
 */
#include "ox/any.h"
#include "proto/wire.h"

static void
take_field(const struct ox__field *f, struct ox_any *out)
{
    switch (f->tag) {
    case OX__TAG(1, OX_WIRE_BYTES):
        *out = (struct ox_any){.type = OX_ANY_STRING, .str = f->s};
        break;
    case OX__TAG(2, OX_WIRE_VARINT):
        *out = (struct ox_any){.type = OX_ANY_BOOL, .b = f->v != 0};
        break;
    case OX__TAG(3, OX_WIRE_VARINT):
        *out = (struct ox_any){.type = OX_ANY_INT, .i = (int64_t)f->v};
        break;
    case OX__TAG(4, OX_WIRE_FIXED64):
        *out = (struct ox_any){.type = OX_ANY_DOUBLE, .d = ox__double_of(f->v)};
        break;
    case OX__TAG(5, OX_WIRE_BYTES):
        *out = (struct ox_any){.type = OX_ANY_ARRAY, .str = f->s};
        break;
    case OX__TAG(6, OX_WIRE_BYTES):
        *out = (struct ox_any){.type = OX_ANY_KVLIST, .str = f->s};
        break;
    case OX__TAG(7, OX_WIRE_BYTES):
        *out = (struct ox_any){.type = OX_ANY_BYTES, .str = f->s};
        break;
    default:
        break; /* unknown to this version */
    }
}

/* Reads over `out`, as merging wants it: what the message does not set stays. */
static ox_err
read_over(struct ox_str wire, struct ox_any *out)
{
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end) {
        struct ox__field f;
        if (ox__field_next(&c, &f) != OX__WIRE_OK)
            return OX_E_DECODE;
        take_field(&f, out);
    }
    return OX_OK;
}

ox_err
ox_any_read(struct ox_str wire, struct ox_any *out)
{
    *out = (struct ox_any){.type = OX_ANY_NONE};
    return read_over(wire, out);
}

/* The next occurrence of field 1, which is what ArrayValue and KeyValueList consist of. */
static ox_err
next_value(struct ox_str *rest, struct ox_str *value)
{
    struct ox__cur c = ox__cur_of(*rest);
    while (c.p < c.end) {
        struct ox__field f;
        if (ox__field_next(&c, &f) != OX__WIRE_OK)
            return OX_E_DECODE;
        if (f.tag != OX__TAG(1, OX_WIRE_BYTES))
            continue;
        *rest = (struct ox_str){(const char *)c.p, (size_t)(c.end - c.p)};
        *value = f.s;
        return OX_OK;
    }
    *rest = (struct ox_str){NULL, 0};
    return OX_E_END;
}

ox_err
ox_any_array_next(struct ox_str *rest, struct ox_any *out)
{
    struct ox_str wire;
    ox_err err = next_value(rest, &wire);
    return err != OX_OK ? err : ox_any_read(wire, out);
}

ox_err
ox_any_kvlist_next(struct ox_str *rest, struct ox_any_pair *out)
{
    struct ox_str wire;
    ox_err err = next_value(rest, &wire);
    if (err != OX_OK)
        return err;
    *out = (struct ox_any_pair){0};
    struct ox__cur c = ox__cur_of(wire);
    while (c.p < c.end && err == OX_OK) {
        struct ox__field f;
        if (ox__field_next(&c, &f) != OX__WIRE_OK)
            return OX_E_DECODE;
        if (f.tag == OX__TAG(1, OX_WIRE_BYTES))
            out->key = f.s;
        else if (f.tag == OX__TAG(2, OX_WIRE_BYTES))
            err = read_over(f.s, &out->value);
    }
    return err;
}
