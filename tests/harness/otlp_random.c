/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/otlp_random.c - random OTLP requests, packed by protobuf-c, and what may happen to them.
 *
 * Owns:    nothing.
 * Threads: any.
 * Fails:   out of memory ends the test.
 */
#include "tests/harness/otlp_random.h"

#include <stdio.h>
#include <stdlib.h>

#include "ox/otlp_wire.h"
#include "tests/harness/otlp_wire.h"

#define ITEMS_MAX   3u  /* of a list */
#define DEPTH_MAX   16u /* of messages; a request without AnyValue in AnyValue has 9 */
#define UNKNOWN_MIN 900u

uint64_t
otlp_random_next(struct otlp_random *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15ull);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

uint32_t
otlp_random_below(struct otlp_random *r, uint32_t n)
{
    return (uint32_t)(otlp_random_next(r) % n);
}

static void *
make(size_t n, size_t size)
{
    void *p = calloc(n, size);
    OX_ASSERT(p != NULL);
    return p;
}

static char *
word(struct otlp_random *r)
{
    static const char *const words[] = {"",
                                        "a",
                                        "service.name",
                                        "http.request.method",
                                        "grüße",
                                        "日本語",
                                        "GET /a/long/path/with/many/parts?and=a&query=string",
                                        "µs"};
    char *to = strdup(words[otlp_random_below(r, OX_COUNT(words))]);
    OX_ASSERT(to != NULL);
    return to;
}

static ProtobufCBinaryData
binary(struct otlp_random *r, const char *name)
{
    size_t n = strcmp(name, "trace_id") == 0 ? 16 : strcmp(name, "bytes_value") == 0 ? 5 : 8;
    if (otlp_random_below(r, 6) == 0)
        return (ProtobufCBinaryData){0, NULL};
    uint8_t *data = make(n, 1);
    for (size_t i = 0; i < n; i++)
        data[i] = (uint8_t)otlp_random_next(r);
    return (ProtobufCBinaryData){n, data};
}

/* Small numbers as likely as large ones. */
static uint64_t
number(struct otlp_random *r)
{
    return otlp_random_next(r) >> otlp_random_below(r, 64);
}

static ProtobufCMessage *message(struct otlp_random *r, const ProtobufCMessageDescriptor *type,
                                 unsigned depth);

/* Bytes that a value of the field takes in its message. */
static size_t
value(struct otlp_random *r, const ProtobufCFieldDescriptor *field, void *to, unsigned depth)
{
    uint64_t v = number(r);
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)to = message(r, field->descriptor, depth + 1);
        return sizeof(void *);
    case PROTOBUF_C_TYPE_STRING:
        *(char **)to = word(r);
        return sizeof(char *);
    case PROTOBUF_C_TYPE_BYTES:
        *(ProtobufCBinaryData *)to = binary(r, field->name);
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)to = v & 1;
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_ENUM:
        *(int *)to = (int)(v % 27) - (v % 31 == 0);
        return sizeof(int);
    case PROTOBUF_C_TYPE_DOUBLE:
        *(double *)to = (double)(int64_t)v / 8;
        return 8;
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_INT64:
        *(uint64_t *)to = v;
        return 8;
    default:
        *(uint32_t *)to = (uint32_t)v;
        return 4;
    }
}

/* How large an element is: known by making one. */
static void
list(struct otlp_random *r, const ProtobufCFieldDescriptor *field, ProtobufCMessage *m, unsigned depth)
{
    size_t n = depth < DEPTH_MAX ? otlp_random_below(r, ITEMS_MAX + 1) : 0;
    uint8_t *elements = make(n + 1, sizeof(uint64_t));
    for (size_t i = 0, at = 0; i < n; i++)
        at += value(r, field, elements + at, depth);
    *(size_t *)((uint8_t *)m + field->quantifier_offset) = n;
    *(void **)((uint8_t *)m + field->offset) = elements;
}

static ProtobufCMessage *
message(struct otlp_random *r, const ProtobufCMessageDescriptor *type, unsigned depth)
{
    ProtobufCMessage *m = make(1, type->sizeof_message);
    protobuf_c_message_init(type, m);
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        uint32_t *chosen = (void *)((uint8_t *)m + field->quantifier_offset);
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            list(r, field, m, depth);
        } else if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
            /* Later members get their chance, too; a message deep down stays away. */
            if (*chosen != 0 || otlp_random_below(r, 3) != 0 ||
                (field->type == PROTOBUF_C_TYPE_MESSAGE && depth > DEPTH_MAX - 2))
                continue;
            *chosen = field->id;
            value(r, field, (uint8_t *)m + field->offset, depth);
        } else if (otlp_random_below(r, 5) != 0) {
            value(r, field, (uint8_t *)m + field->offset, depth);
        }
    }
    return m;
}

void
otlp_random_request(struct otlp_random *r, enum ox_signal signal, struct ox_buf *out)
{
    ProtobufCMessage *m = message(r, otlp_wire_request(signal), 0);
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *to = ox_buf_reserve(out, n + 1);
    OX_ASSERT(to != NULL);
    out->len += protobuf_c_message_pack(m, to);
    protobuf_c_message_free_unpacked(m, NULL);
}

static void
unknown(struct otlp_random *r, struct ox_buf *out)
{
    uint32_t number_ = UNKNOWN_MIN + otlp_random_below(r, 100);
    switch (otlp_random_below(r, 4)) {
    case 0:
        ox_wire_put_varint(out, number_, number(r));
        break;
    case 1:
        ox_wire_put_fixed64(out, number_, number(r));
        break;
    case 2:
        ox_wire_put_fixed32(out, number_, (uint32_t)number(r));
        break;
    default:
        ox_wire_put_bytes(out, number_, OX_STR("\x08\xff?"));
        break;
    }
}

static void rewrite(struct otlp_random *r, const ProtobufCMessageDescriptor *type, struct ox_str wire,
                    struct ox_buf *out);

static void
put_message(struct otlp_random *r, const ProtobufCFieldDescriptor *field, struct ox_str wire,
            struct ox_buf *out)
{
    size_t mark = ox_wire_begin(out, field->id);
    rewrite(r, field->descriptor, wire, out);
    ox_wire_end(out, mark);
}

/* Two pieces: the fields up to a random one, and the others. */
static void
put_pieces(struct otlp_random *r, const ProtobufCFieldDescriptor *field, struct ox_str wire,
           struct ox_buf *out)
{
    struct ox_str rest = wire;
    struct otlp_wire_field f;
    while (rest.n > 0 && otlp_random_below(r, 3) != 0)
        OX_ASSERT(otlp_wire_next(&rest, &f));
    put_message(r, field, (struct ox_str){wire.p, wire.n - rest.n}, out);
    put_message(r, field, rest, out);
}

/* A packed list of fixed64 or double, one by one. */
static void
put_unpacked(const ProtobufCFieldDescriptor *field, struct ox_str values, struct ox_buf *out)
{
    for (size_t i = 0; i + 8 <= values.n; i += 8) {
        uint64_t v = 0;
        for (size_t k = 0; k < 8; k++)
            v |= (uint64_t)(uint8_t)values.p[i + k] << (8 * k);
        ox_wire_put_fixed64(out, field->id, v);
    }
}

static bool
is_fixed(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_FIXED64 || field->type == PROTOBUF_C_TYPE_DOUBLE;
}

/* Any member of the field's oneof, for the field to replace. As messages all of them begin with a list. */
static void
put_rival(struct otlp_random *r, const ProtobufCMessageDescriptor *type,
          const ProtobufCFieldDescriptor *field, struct ox_buf *out)
{
    const ProtobufCFieldDescriptor *rival = &type->fields[otlp_random_below(r, type->n_fields)];
    if ((rival->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0 ||
        rival->quantifier_offset != field->quantifier_offset)
        return;
    if (rival->type == PROTOBUF_C_TYPE_MESSAGE)
        ox_wire_put_bytes(out, rival->id, OX_STR("\x0a\x00"));
    else if (rival->type == PROTOBUF_C_TYPE_STRING || rival->type == PROTOBUF_C_TYPE_BYTES)
        ox_wire_put_bytes(out, rival->id, OX_STR("rival"));
    else if (is_fixed(rival) || rival->type == PROTOBUF_C_TYPE_SFIXED64)
        ox_wire_put_fixed64(out, rival->id, number(r));
    else
        ox_wire_put_varint(out, rival->id, 1);
}

static void
rewrite(struct otlp_random *r, const ProtobufCMessageDescriptor *type, struct ox_str wire, struct ox_buf *out)
{
    struct otlp_wire_field f;
    while (wire.n > 0) {
        OX_ASSERT(otlp_wire_next(&wire, &f));
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(type, f.number);
        const uint32_t dice = otlp_random_below(r, 8);
        if (dice == 0)
            unknown(r, out);
        if (field != NULL && dice > 4 && (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
            put_rival(r, type, field, out);
        if (field == NULL)
            ox_buf_append_str(out, f.whole);
        else if (field->type == PROTOBUF_C_TYPE_MESSAGE && otlp_wire_joins(field) && dice < 4)
            put_pieces(r, field, f.value, out);
        else if (field->type == PROTOBUF_C_TYPE_MESSAGE)
            put_message(r, field, f.value, out);
        else if (field->label == PROTOBUF_C_LABEL_REPEATED && is_fixed(field) && f.type == 2 && dice < 4)
            put_unpacked(field, f.value, out);
        else
            ox_buf_append_str(out, f.whole);
        if (dice == 7 && field != NULL && field->type != PROTOBUF_C_TYPE_MESSAGE)
            ox_buf_append_str(out, f.whole);
    }
    OX_ASSERT(!out->failed);
}

void
otlp_random_rewrite(struct otlp_random *r, enum ox_signal signal, struct ox_str wire, struct ox_buf *out)
{
    rewrite(r, otlp_wire_request(signal), wire, out);
}

void
otlp_random_harm(struct otlp_random *r, struct ox_buf *wire)
{
    uint32_t rounds = 1 + otlp_random_below(r, 4);
    for (uint32_t i = 0; i < rounds && wire->len > 1; i++) {
        const uint32_t n = (uint32_t)wire->len;
        const uint32_t at = otlp_random_below(r, n), from = otlp_random_below(r, n);
        const uint32_t room = n - (at > from ? at : from);
        switch (otlp_random_below(r, 8)) {
        case 0:
            wire->len = at;
            break;
        case 1:
        case 2:
            memmove(wire->data + at, wire->data + from, otlp_random_below(r, room < 64 ? room : 64));
            break;
        case 3:
            wire->data[at] = (uint8_t)otlp_random_next(r);
            break;
        default:
            wire->data[at] ^= (uint8_t)(1u << otlp_random_below(r, 8));
            break;
        }
    }
}
