/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/wire.h - reading protobuf fields, inline for the hot path.
 *
 * Owns:    nothing.
 * Threads: any.
 * Fails:   a reason, enum ox__wire_bad; the cursor then stands at the field that is wrong.
 *
 * What counts as well-formed follows protobuf-c, the oracle of the fuzz tests: a tag has at most five bytes,
 * a length too and at most INT32_MAX, groups and a field number 0 do not exist. Where it is stricter: a varint
 * that does not fit into 64 bits is refused, not cut, and the number 0 also when it is written in several
 * bytes.
 */
#ifndef OX_PROTO_WIRE_H
#define OX_PROTO_WIRE_H

#include "ox/base.h"
#include "ox/otlp_wire.h"

enum ox__wire_bad {
    OX__WIRE_OK,
    OX__WIRE_TRUNCATED,
    OX__WIRE_OVERFLOW,
    OX__WIRE_TAG,
    OX__WIRE_LENGTH,
    OX__WIRE_GROUP,
    OX__WIRE_TYPE, /* set by the caller: a known field with another wire type than its own */
};

/* A sentence fragment. */
const char *ox__wire_bad_text(enum ox__wire_bad bad);

struct ox__cur {
    const uint8_t *p;
    const uint8_t *end;
};

struct ox__field {
    uint64_t tag;    /* number << 3 | wire type */
    uint64_t v;      /* VARINT, FIXED64, FIXED32 */
    struct ox_str s; /* BYTES */
};

#define OX__TAG(number, type) ((uint64_t)(number) << 3 | (type))
/* Bit set of field numbers, for "this number is known, so its wire type must have been wrong". */
#define OX__BIT(number) (1u << (number))

static inline struct ox__cur
ox__cur_of(struct ox_str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    return (struct ox__cur){p, p != NULL ? p + s.n : p};
}

static inline uint64_t
ox__load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static inline uint32_t
ox__load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    return v;
}

static inline double
ox__double_of(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, 8);
    return d;
}

static inline int64_t
ox__unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* Two and more bytes, or none. */
enum ox__wire_bad ox__varint_slow(struct ox__cur *c, unsigned bytes_max, uint64_t *out);

static inline enum ox__wire_bad
ox__varint(struct ox__cur *c, unsigned bytes_max, uint64_t *out)
{
    if (OX_LIKELY(c->p < c->end && *c->p < 0x80)) {
        *out = *c->p++;
        return OX__WIRE_OK;
    }
    /* Two bytes: the length of nearly every record. */
    if (OX_LIKELY(c->end - c->p >= 2 && c->p[1] < 0x80)) {
        *out = (uint64_t)(c->p[0] & 0x7f) | (uint64_t)c->p[1] << 7;
        c->p += 2;
        return OX__WIRE_OK;
    }
    return ox__varint_slow(c, bytes_max, out);
}

static inline enum ox__wire_bad
ox__field_bytes(struct ox__cur *c, struct ox__field *f)
{
    uint64_t n;
    enum ox__wire_bad bad = ox__varint(c, 5, &n);
    if (OX_UNLIKELY(bad != OX__WIRE_OK))
        return bad == OX__WIRE_OVERFLOW ? OX__WIRE_LENGTH : bad;
    if (OX_UNLIKELY(n > (uint64_t)(c->end - c->p)))
        return n > INT32_MAX ? OX__WIRE_LENGTH : OX__WIRE_TRUNCATED;
    f->s = (struct ox_str){(const char *)c->p, (size_t)n};
    c->p += n;
    return OX__WIRE_OK;
}

static inline enum ox__wire_bad
ox__field_fixed(struct ox__cur *c, size_t n, struct ox__field *f)
{
    if (OX_UNLIKELY((size_t)(c->end - c->p) < n))
        return OX__WIRE_TRUNCATED;
    f->v = n == 8 ? ox__load64(c->p) : ox__load32(c->p);
    c->p += n;
    return OX__WIRE_OK;
}

/* The next field of a message that is not at its end. */
static inline __attribute__((always_inline)) enum ox__wire_bad
ox__field_next(struct ox__cur *c, struct ox__field *f)
{
    enum ox__wire_bad bad = ox__varint(c, 5, &f->tag);
    if (OX_UNLIKELY(bad != OX__WIRE_OK))
        return bad == OX__WIRE_OVERFLOW ? OX__WIRE_TAG : bad;
    if (OX_UNLIKELY(f->tag < OX__TAG(1, 0)))
        return OX__WIRE_TAG;
    switch (f->tag & 7) {
    case OX_WIRE_BYTES:
        return ox__field_bytes(c, f);
    case OX_WIRE_VARINT:
        return ox__varint(c, 10, &f->v);
    case OX_WIRE_FIXED64:
        return ox__field_fixed(c, 8, f);
    case OX_WIRE_FIXED32:
        return ox__field_fixed(c, 4, f);
    default:
        return OX__WIRE_GROUP;
    }
}

/* True when the tag's number is in the set: the caller met a known field in the wrong wire type. */
static inline bool
ox__tag_known(uint64_t tag, uint32_t known)
{
    uint64_t number = tag >> 3;
    return number < 32 && (known >> number & 1) != 0;
}

#endif
