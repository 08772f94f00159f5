/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/wire.c - protobuf's wire format: the rare part of reading, and writing.
 *
 * Owns:    nothing.
 * Threads: any.
 * Fails:   reading: enum ox__wire_bad. Writing: memory, shown as buf->failed.
 */
#include "proto/wire.h"

/* A varint of 64 bits. */
#define VARINT_BYTES_MAX 10

const char *
ox__wire_bad_text(enum ox__wire_bad bad)
{
    static const char *const texts[] = {
        [OX__WIRE_OK] = "nothing",
        [OX__WIRE_TRUNCATED] = "a field goes beyond the end of its message",
        [OX__WIRE_OVERFLOW] = "varint overflow: more than 64 bits",
        [OX__WIRE_TAG] = "a field's tag has more than five bytes, or the number 0",
        [OX__WIRE_LENGTH] = "a field's length is out of range",
        [OX__WIRE_GROUP] = "a field has a wire type that proto3 does not have",
        [OX__WIRE_TYPE] = "a field has another wire type than OTLP gives it",
    };
    return texts[bad];
}

enum ox__wire_bad
ox__varint_slow(struct ox__cur *c, unsigned bytes_max, uint64_t *out)
{
    uint64_t v = 0;
    const uint8_t *p = c->p;
    for (unsigned i = 0; i < bytes_max; i++) {
        if (p == c->end)
            return OX__WIRE_TRUNCATED;
        uint8_t byte = *p++;
        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte >= 0x80)
            continue;
        if (i == VARINT_BYTES_MAX - 1 && byte > 1)
            return OX__WIRE_OVERFLOW;
        c->p = p;
        *out = v;
        return OX__WIRE_OK;
    }
    return OX__WIRE_OVERFLOW;
}

static size_t
varint_encode(uint8_t *to, uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        to[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    to[n++] = (uint8_t)v;
    return n;
}

void
ox_wire_varint(struct ox_buf *buf, uint64_t v)
{
    uint8_t *to = ox_buf_reserve(buf, VARINT_BYTES_MAX);
    if (to != NULL)
        buf->len += varint_encode(to, v);
}

void
ox_wire_tag(struct ox_buf *buf, uint32_t field, enum ox_wire_type type)
{
    ox_wire_varint(buf, OX__TAG(field, type));
}

void
ox_wire_put_varint(struct ox_buf *buf, uint32_t field, uint64_t v)
{
    ox_wire_tag(buf, field, OX_WIRE_VARINT);
    ox_wire_varint(buf, v);
}

void
ox_wire_put_sint(struct ox_buf *buf, uint32_t field, int64_t v)
{
    ox_wire_put_varint(buf, field, ox_wire_zigzag(v));
}

static void
put_fixed(struct ox_buf *buf, uint64_t v, size_t n)
{
    uint8_t *to = ox_buf_reserve(buf, n);
    if (to == NULL)
        return;
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)(v >> (8 * i));
    buf->len += n;
}

void
ox_wire_put_fixed64(struct ox_buf *buf, uint32_t field, uint64_t v)
{
    ox_wire_tag(buf, field, OX_WIRE_FIXED64);
    put_fixed(buf, v, 8);
}

void
ox_wire_put_fixed32(struct ox_buf *buf, uint32_t field, uint32_t v)
{
    ox_wire_tag(buf, field, OX_WIRE_FIXED32);
    put_fixed(buf, v, 4);
}

void
ox_wire_put_double(struct ox_buf *buf, uint32_t field, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, 8);
    ox_wire_put_fixed64(buf, field, bits);
}

void
ox_wire_put_bytes(struct ox_buf *buf, uint32_t field, struct ox_str bytes)
{
    ox_wire_tag(buf, field, OX_WIRE_BYTES);
    ox_wire_varint(buf, bytes.n);
    ox_buf_append_str(buf, bytes);
}

size_t
ox_wire_begin(struct ox_buf *buf, uint32_t field)
{
    ox_wire_tag(buf, field, OX_WIRE_BYTES);
    /* One byte for the length: right for most messages; ox_wire_end makes room when it is not. */
    ox_buf_append(buf, "", 1);
    return buf->len;
}

void
ox_wire_end(struct ox_buf *buf, size_t mark)
{
    if (buf->failed)
        return;
    OX_ASSERT(mark > 0 && mark <= buf->len);
    uint8_t head[VARINT_BYTES_MAX];
    size_t content = buf->len - mark;
    size_t n = varint_encode(head, content);
    if (n > 1) {
        if (ox_buf_reserve(buf, n - 1) == NULL)
            return;
        memmove(buf->data + mark + n - 1, buf->data + mark, content);
        buf->len += n - 1;
    }
    memcpy(buf->data + mark - 1, head, n);
}

void
ox_wire_put_attr_str(struct ox_buf *buf, uint32_t field, struct ox_str key, struct ox_str value)
{
    size_t kv = ox_wire_begin(buf, field);
    ox_wire_put_bytes(buf, 1, key);
    size_t any = ox_wire_begin(buf, 2);
    ox_wire_put_bytes(buf, 1, value);
    ox_wire_end(buf, any);
    ox_wire_end(buf, kv);
}

void
ox_wire_put_attr_int(struct ox_buf *buf, uint32_t field, struct ox_str key, int64_t value)
{
    size_t kv = ox_wire_begin(buf, field);
    ox_wire_put_bytes(buf, 1, key);
    size_t any = ox_wire_begin(buf, 2);
    ox_wire_put_varint(buf, 3, (uint64_t)value);
    ox_wire_end(buf, any);
    ox_wire_end(buf, kv);
}
