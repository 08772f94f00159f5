/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/random_otlp.c - AnyValues and whole OTLP requests as wire bytes, at random from a seed.
 *
 * Owns:    nothing.
 * Threads: any.
 *
 * Requests follow the generated descriptors; a new field of OTLP is therefore part of the tests at once.
 */
#include "tests/harness/random_otlp.h"

#include <float.h>
#include <math.h>

#include "ox/otlp_wire.h"
#include "proto/otlp_types.h"

/* NUL is left out: the oracle for JSON does not take it in keys. It has a test of its own. */
static const char *const words[] = {
    "",
    "a",
    "bytesValue",
    "doubleValue",
    "kvlistValue",
    "stringValue",
    "null",
    "true",
    "NaN",
    "-1",
    "1.0",
    "{\"bytesValue\":\"\"}",
    "[1,2]",
    "\"",
    "\\",
    "\\u0041",
    "/",
    "\n\r\t\b\f",
    "\x01\x1f",
    "\x7f",
    " ",
    "\xc3\xa9",
    "\xe6\xbc\xa2\xe5\xad\x97",
    "\xf0\x9f\x98\x80",
    "\xef\xbf\xbd",
    "\xe2\x80\xa8",
    "\xf4\x8f\xbf\xbf",
    "http.request.method",
};

static const int64_t ints[] = {0,
                               1,
                               -1,
                               127,
                               128,
                               -128,
                               INT32_MAX,
                               INT32_MIN,
                               INT64_MAX,
                               INT64_MIN,
                               INT64_MAX - 1,
                               (1LL << 53) + 1,
                               1LL << 53,
                               300,
                               -300,
                               -(1LL << 53) - 1};

static const double doubles[] = {0.0,
                                 -0.0,
                                 1.0,
                                 -1.0,
                                 0.1,
                                 1.5,
                                 1e15,
                                 1e15 + 1,
                                 1e16,
                                 1e-7,
                                 1e21,
                                 1e100,
                                 DBL_MAX,
                                 -DBL_MAX,
                                 DBL_MIN,
                                 4.9406564584124654e-324,
                                 2.5e-310,
                                 9007199254740993.0,
                                 123456789012345678.0,
                                 3.141592653589793};

static void
random_text(struct ox_random *rnd, struct ox_buf *out)
{
    size_t n = ox_random_below(rnd, 4) == 0 ? ox_random_below(rnd, 12) : 1;
    while (n-- > 0)
        ox_buf_append_cstr(out, words[ox_random_below(rnd, OX_COUNT(words))]);
}

static void
random_blob(struct ox_random *rnd, size_t n, struct ox_buf *out)
{
    uint8_t bytes[256];
    n = n < sizeof(bytes) ? n : sizeof(bytes);
    ox_random_bytes(rnd, bytes, n);
    ox_buf_append(out, bytes, n);
}

static double
random_real(struct ox_random *rnd)
{
    double d;
    uint64_t bits = ox_random_u64(rnd);
    switch (ox_random_below(rnd, 8)) {
    case 0:
        return (double)NAN;
    case 1:
        return ox_random_below(rnd, 2) == 0 ? (double)INFINITY : -(double)INFINITY;
    case 2:
        memcpy(&d, &bits, 8);
        return isnan(d) ? 0.5 : d;
    case 3:
        return (double)(int64_t)bits;
    default:
        return doubles[ox_random_below(rnd, OX_COUNT(doubles))];
    }
}

static uint64_t
random_int(struct ox_random *rnd)
{
    uint64_t bits = ox_random_u64(rnd);
    if (ox_random_below(rnd, 2) == 0)
        return bits >> ox_random_below(rnd, 64);
    return (uint64_t)ints[ox_random_below(rnd, OX_COUNT(ints))];
}

static void
random_key_value(struct ox_random *rnd, unsigned depth, struct ox_buf *wire)
{
    size_t key = ox_wire_begin(wire, 1);
    random_text(rnd, wire);
    ox_wire_end(wire, key);
    size_t value = ox_wire_begin(wire, 2);
    random_any(rnd, depth, wire);
    ox_wire_end(wire, value);
}

/* ArrayValue (5) or KeyValueList (6). */
static void
random_list(struct ox_random *rnd, unsigned depth, uint32_t number, struct ox_buf *wire)
{
    size_t list = ox_wire_begin(wire, number);
    for (size_t n = ox_random_below(rnd, 4); n > 0; n--) {
        size_t item = ox_wire_begin(wire, 1);
        if (number == 5)
            random_any(rnd, depth + 1, wire);
        else
            random_key_value(rnd, depth + 1, wire);
        ox_wire_end(wire, item);
    }
    ox_wire_end(wire, list);
}

void
random_any(struct ox_random *rnd, unsigned depth, struct ox_buf *wire)
{
    size_t mark;
    uint32_t kinds = depth < RANDOM_ANY_DEPTH_MAX ? 10 : 6;
    uint32_t kind = (uint32_t)ox_random_below(rnd, kinds);
    switch (kind) {
    case 0:
        break; /* no value */
    case 2:
        ox_wire_put_varint(wire, 2, ox_random_below(rnd, 2));
        break;
    case 3:
        ox_wire_put_varint(wire, 3, random_int(rnd));
        break;
    case 4:
        ox_wire_put_double(wire, 4, random_real(rnd));
        break;
    case 1:
    case 5:
        mark = ox_wire_begin(wire, kind == 1 ? 1 : 7);
        if (kind == 1)
            random_text(rnd, wire);
        else
            random_blob(rnd, ox_random_below(rnd, 9), wire);
        ox_wire_end(wire, mark);
        break;
    default:
        random_list(rnd, depth, kind % 2 == 0 ? 5 : 6, wire);
    }
}

static void random_message(struct ox_random *rnd, const ProtobufCMessageDescriptor *type,
                           struct ox_buf *wire);

static enum ox_wire_type
wire_type_of(ProtobufCType type)
{
    if (type == PROTOBUF_C_TYPE_FIXED32)
        return OX_WIRE_FIXED32;
    bool fixed64 =
        type == PROTOBUF_C_TYPE_FIXED64 || type == PROTOBUF_C_TYPE_SFIXED64 || type == PROTOBUF_C_TYPE_DOUBLE;
    return fixed64 ? OX_WIRE_FIXED64 : OX_WIRE_VARINT;
}

/* The 64 bits of a number field, as a varint or little endian. */
static uint64_t
random_number(struct ox_random *rnd, const ProtobufCFieldDescriptor *field)
{
    double d;
    uint64_t v = random_int(rnd);
    switch (field->type) {
    case PROTOBUF_C_TYPE_DOUBLE:
        d = random_real(rnd);
        memcpy(&v, &d, 8);
        return v;
    case PROTOBUF_C_TYPE_BOOL:
        return v & 1;
    case PROTOBUF_C_TYPE_ENUM:
        return v % 3;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return (uint32_t)v;
    case PROTOBUF_C_TYPE_SINT32:
        return ox_wire_zigzag((int32_t)v);
    default:
        return v;
    }
}

static void
put_number(struct ox_buf *wire, ProtobufCType type, uint64_t v)
{
    size_t n = wire_type_of(type) == OX_WIRE_FIXED64 ? 8 : 4;
    if (wire_type_of(type) == OX_WIRE_VARINT) {
        ox_wire_varint(wire, v);
        return;
    }
    for (size_t i = 0; i < n; i++, v >>= 8)
        ox_buf_append(wire, &(uint8_t){(uint8_t)v}, 1);
}

static size_t
id_bytes(const ProtobufCFieldDescriptor *field)
{
    return strcmp(field->name, "trace_id") == 0 ? 16 : 8;
}

static void
random_field(struct ox_random *rnd, const ProtobufCFieldDescriptor *field, struct ox_buf *wire)
{
    if (field->type != PROTOBUF_C_TYPE_MESSAGE && field->type != PROTOBUF_C_TYPE_STRING &&
        field->type != PROTOBUF_C_TYPE_BYTES) {
        ox_wire_tag(wire, field->id, wire_type_of(field->type));
        put_number(wire, field->type, random_number(rnd, field));
        return;
    }
    size_t mark = ox_wire_begin(wire, field->id);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        random_message(rnd, field->descriptor, wire);
    else if (field->type == PROTOBUF_C_TYPE_STRING)
        random_text(rnd, wire);
    else
        random_blob(rnd, id_bytes(field), wire);
    ox_wire_end(wire, mark);
}

static void
random_repeated(struct ox_random *rnd, const ProtobufCFieldDescriptor *field, struct ox_buf *wire)
{
    size_t n = ox_random_below(rnd, 4);
    bool packed = field->type != PROTOBUF_C_TYPE_MESSAGE && field->type != PROTOBUF_C_TYPE_STRING &&
                  field->type != PROTOBUF_C_TYPE_BYTES;
    if (!packed || n == 0) {
        while (n-- > 0)
            random_field(rnd, field, wire);
        return;
    }
    size_t mark = ox_wire_begin(wire, field->id);
    while (n-- > 0)
        put_number(wire, field->type, random_number(rnd, field));
    ox_wire_end(wire, mark);
}

static void
random_message(struct ox_random *rnd, const ProtobufCMessageDescriptor *type, struct ox_buf *wire)
{
    if (ox__otlp_is_any(type)) {
        random_any(rnd, 1, wire);
        return;
    }
    unsigned oneof_done =
        0; /* quantifier offset of the oneof that has its member; each type has one at a time */
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        bool oneof = (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
        if (ox_random_below(rnd, 4) == 0 || (oneof && field->quantifier_offset == oneof_done))
            continue;
        if (oneof)
            oneof_done = field->quantifier_offset;
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
            random_repeated(rnd, field, wire);
        else
            random_field(rnd, field, wire);
    }
}

void
random_request(struct ox_random *rnd, enum ox_signal signal, struct ox_buf *wire)
{
    random_message(rnd, ox__otlp_request_type(signal), wire);
}
