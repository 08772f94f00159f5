/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/otlp_from_json.c - OTLP/JSON to protobuf wire, in one pass, driven by the generated descriptors.
 *
 * Owns:    the wire bytes until they are the caller's body.
 * Threads: any.
 * Bounds:  batch_bytes_max for the wire bytes, any_depth_max for nesting (no other OTLP message contains itself).
 * Fails:   OX_E_DECODE with the path of the field, OX_E_TOO_DEEP, OX_E_TOO_LARGE, OX_E_NOMEM.
 * Flow:    gateway -> here -> the same decoder, log and replay as for protobuf.
 *
 * An id of the wrong length passes: the decoder then refuses that record only. Text that is not hex at all refuses
 * the request, as does any other value of a wrong JSON type.
 */
#include <stdio.h>

#include "ox/otlp.h"
#include "ox/otlp_wire.h"
#include "proto/json_read.h"
#include "proto/otlp_types.h"

/* Longer keys are unknown fields. */
#define KEY_BYTES_MAX 64

struct from_json {
    struct ox__json in;
    struct ox_buf out;
    struct ox_buf scratch; /* text of numbers and ids that came as strings */
    const struct ox_decode_limits *limits;
    uint32_t any_depth;
    char path[96];
    size_t path_len;
    char bad_path[96]; /* where the first failure was */
    ox_err err;
};

static bool message(struct from_json *j, const ProtobufCMessageDescriptor *type);

static bool
fail(struct from_json *j, ox_err err, const char *why)
{
    ox__json_fail(&j->in, why);
    if (j->err == OX_OK)
        j->err = err;
    return false;
}

/* Adds to the path as far as there is room; returns the length to come back to. name.p NULL: an index. */
static size_t
path_push(struct from_json *j, struct ox_str name, size_t index)
{
    size_t back = j->path_len, room = sizeof(j->path) - back;
    int n = name.p != NULL
                ? snprintf(j->path + back, room, "%s%.*s", back != 0 ? "." : "", (int)name.n, name.p)
                : snprintf(j->path + back, room, "[%zu]", index);
    j->path_len += (size_t)n < room ? (size_t)n : room - 1;
    return back;
}

/* Back from a field; the path of the first failure is kept. */
static bool
path_pop(struct from_json *j, size_t back, bool ok)
{
    if (!ok && j->bad_path[0] == '\0')
        memcpy(j->bad_path, j->path, sizeof(j->bad_path));
    j->path_len = back;
    j->path[back] = '\0';
    return ok;
}

/* The text of a value that may be a number or a string with one inside. */
static bool
number_text(struct from_json *j, struct ox_str *text)
{
    char c = ox__json_peek(&j->in);
    if (c != '"')
        return (c == '-' || (c >= '0' && c <= '9')) && ox__json_number(&j->in, text);
    ox_buf_reset(&j->scratch);
    if (!ox__json_string(&j->in, &j->scratch))
        return false;
    *text = ox_buf_str(&j->scratch);
    return true;
}

static bool
integer(struct from_json *j, bool is_signed, unsigned bits, uint64_t *out)
{
    struct ox_str text;
    bool negative;
    uint64_t magnitude;
    if (!number_text(j, &text))
        return fail(j, OX_E_DECODE, "expected an integer, as a number or a string");
    if (!ox__text_int(text, &negative, &magnitude))
        return fail(j, OX_E_DECODE, "expected an integer, as a number or a string");
    uint64_t max = bits == 64 ? UINT64_MAX : UINT32_MAX;
    if (is_signed)
        max = (max >> 1) + negative;
    if (magnitude > max || (negative && magnitude != 0 && !is_signed))
        return fail(j, OX_E_DECODE, "an integer out of the range of its field");
    *out = negative ? 0 - magnitude : magnitude;
    return true;
}

static bool
boolean(struct from_json *j, uint64_t *out)
{
    char c = ox__json_peek(&j->in);
    if (c != 't' && c != 'f')
        return fail(j, OX_E_DECODE, "expected true or false");
    *out = c == 't';
    return ox__json_word(&j->in, c == 't' ? "true" : "false");
}

static bool
enumeration(struct from_json *j, const ProtobufCEnumDescriptor *type, uint64_t *out)
{
    char name[KEY_BYTES_MAX];
    if (ox__json_peek(&j->in) != '"')
        return integer(j, true, 32, out);
    ox_buf_reset(&j->scratch);
    if (!ox__json_string(&j->in, &j->scratch))
        return false;
    size_t n = j->scratch.len < sizeof(name) ? j->scratch.len : 0;
    if (n != 0)
        memcpy(name, j->scratch.data, n);
    if (memchr(name, '\0', n) != NULL)
        n = 0; /* no name has one inside */
    name[n] = '\0';
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value_by_name(type, name);
    if (value == NULL)
        return fail(j, OX_E_DECODE, "expected a number or a name of this enum");
    *out = (uint64_t)(int64_t)value->value;
    return true;
}

static bool
floating(struct from_json *j, uint64_t *bits)
{
    struct ox_str text;
    double d;
    if (!number_text(j, &text) || !ox__text_double(text, &d))
        return fail(j, OX_E_DECODE, "expected a number, or \"NaN\", \"Infinity\", \"-Infinity\"");
    memcpy(bits, &d, 8);
    return true;
}

/* How a number of the descriptor's type lies on the wire. */
static enum ox_wire_type
wire_type(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return OX_WIRE_FIXED32;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return OX_WIRE_FIXED64;
    default:
        return OX_WIRE_VARINT;
    }
}

static bool
number(struct from_json *j, const ProtobufCFieldDescriptor *field, uint64_t *v)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return integer(j, true, 32, v);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return integer(j, true, 64, v);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return integer(j, false, 32, v);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return integer(j, false, 64, v);
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SINT64:
        if (!integer(j, true, field->type == PROTOBUF_C_TYPE_SINT32 ? 32 : 64, v))
            return false;
        *v = ox_wire_zigzag((int64_t)*v);
        return true;
    case PROTOBUF_C_TYPE_ENUM:
        return enumeration(j, field->descriptor, v);
    case PROTOBUF_C_TYPE_BOOL:
        return boolean(j, v);
    default:
        OX_ASSERT(field->type == PROTOBUF_C_TYPE_DOUBLE); /* OTLP has no float */
        return floating(j, v);
    }
}

static void
put_raw(struct ox_buf *out, enum ox_wire_type type, uint64_t v)
{
    uint8_t bytes[8];
    if (type == OX_WIRE_VARINT) {
        ox_wire_varint(out, v);
        return;
    }
    size_t n = type == OX_WIRE_FIXED64 ? 8 : 4;
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(v >> (8 * i));
    ox_buf_append(out, bytes, n);
}

static bool
bytes_value(struct from_json *j, const ProtobufCFieldDescriptor *field)
{
    ox_buf_reset(&j->scratch);
    if (!ox__json_string(&j->in, &j->scratch))
        return false;
    struct ox_str text = ox_buf_str(&j->scratch);
    if (!ox__otlp_is_hex(field)) {
        if (ox_base64_decode(&j->out, text) != OX_OK)
            return fail(j, OX_E_DECODE, "expected base64");
        return true;
    }
    if (text.n == 0)
        return true;
    uint8_t *to = ox_buf_reserve(&j->out, text.n / 2 + 1);
    if (to == NULL)
        return false;
    if (text.n % 2 != 0 || ox_hex_decode(text, to, text.n / 2) != OX_OK)
        return fail(j, OX_E_DECODE, "expected hex digits, two for each byte");
    j->out.len += text.n / 2;
    return true;
}

static bool
fits(struct from_json *j)
{
    return j->out.len <= j->limits->batch_bytes_max ||
           fail(j, OX_E_TOO_LARGE, "the request exceeds batch_bytes_max");
}

/* One value that is not a list: tag and content. */
static bool
single(struct from_json *j, const ProtobufCFieldDescriptor *field)
{
    bool ok;
    uint64_t v;
    if (field->type != PROTOBUF_C_TYPE_MESSAGE && field->type != PROTOBUF_C_TYPE_STRING &&
        field->type != PROTOBUF_C_TYPE_BYTES) {
        if (!number(j, field, &v))
            return false;
        ox_wire_tag(&j->out, field->id, wire_type(field->type));
        put_raw(&j->out, wire_type(field->type), v);
        return true;
    }
    size_t mark = ox_wire_begin(&j->out, field->id);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        ok = message(j, field->descriptor);
    else if (field->type == PROTOBUF_C_TYPE_BYTES)
        ok = bytes_value(j, field);
    else
        ok = ox__json_string(&j->in, &j->out);
    if (ok)
        ox_wire_end(&j->out, mark);
    return ok && fits(j);
}

static bool
packable(const ProtobufCFieldDescriptor *field)
{
    return field->type != PROTOBUF_C_TYPE_MESSAGE && field->type != PROTOBUF_C_TYPE_STRING &&
           field->type != PROTOBUF_C_TYPE_BYTES;
}

static bool
list_item(struct from_json *j, const ProtobufCFieldDescriptor *field, size_t index)
{
    uint64_t v;
    size_t back = path_push(j, (struct ox_str){NULL, 0}, index);
    bool ok = packable(field) ? number(j, field, &v) : single(j, field);
    if (ok && packable(field))
        put_raw(&j->out, wire_type(field->type), v);
    return path_pop(j, back, ok && fits(j)); /* at once: two characters can be eight bytes */
}

static bool
list(struct from_json *j, const ProtobufCFieldDescriptor *field)
{
    size_t index = 0, mark = 0;
    if (!ox__json_take(&j->in, '[', "expected an array"))
        return false;
    if (ox__json_try(&j->in, ']'))
        return true;
    if (packable(field))
        mark = ox_wire_begin(&j->out, field->id);
    do {
        if (!list_item(j, field, index++))
            return false;
    } while (ox__json_more(&j->in, ']'));
    if (packable(field))
        ox_wire_end(&j->out, mark);
    return j->in.bad == NULL;
}

/* lowerCamelCase to the name in the .proto file, which passes as it is. */
static const ProtobufCFieldDescriptor *
find_field(const ProtobufCMessageDescriptor *type, struct ox_str key)
{
    char name[2 * KEY_BYTES_MAX + 1];
    size_t n = 0;
    if (key.n == 0 || key.n > KEY_BYTES_MAX || memchr(key.p, '\0', key.n) != NULL)
        return NULL;
    for (size_t i = 0; i < key.n; i++) {
        char c = key.p[i];
        if (c >= 'A' && c <= 'Z') {
            name[n++] = '_';
            c = (char)(c | 0x20);
        }
        name[n++] = c;
    }
    name[n] = '\0';
    return protobuf_c_message_descriptor_get_field_by_name(type, name);
}

static bool
member(struct from_json *j, const ProtobufCMessageDescriptor *type)
{
    ox_buf_reset(&j->scratch);
    if (!ox__json_string(&j->in, &j->scratch) || !ox__json_take(&j->in, ':', "expected ':'"))
        return false;
    const ProtobufCFieldDescriptor *field = find_field(type, ox_buf_str(&j->scratch));
    if (field == NULL || ox__json_peek(&j->in) == 'n')
        return ox__json_skip(&j->in, 0);
    size_t back = path_push(j, ox_buf_str(&j->scratch), 0); /* in the sender's own spelling */
    bool ok = field->label == PROTOBUF_C_LABEL_REPEATED ? list(j, field) : single(j, field);
    return path_pop(j, back, ok);
}

static bool
members(struct from_json *j, const ProtobufCMessageDescriptor *type)
{
    if (!ox__json_take(&j->in, '{', "expected an object"))
        return false;
    if (ox__json_try(&j->in, '}'))
        return true;
    do {
        if (!member(j, type))
            return false;
    } while (ox__json_more(&j->in, '}'));
    return j->in.bad == NULL;
}

static bool
message(struct from_json *j, const ProtobufCMessageDescriptor *type)
{
    bool any = ox__otlp_is_any(type);
    if (any && j->any_depth >= j->limits->any_depth_max)
        return fail(j, OX_E_TOO_DEEP, "a value is nested too deep");
    j->any_depth += any;
    bool ok = members(j, type);
    j->any_depth -= any;
    return ok;
}

static bool
document(struct from_json *j, enum ox_signal signal)
{
    if (!message(j, ox__otlp_request_type(signal)))
        return false;
    ox__json_peek(&j->in);
    return j->in.p == j->in.end || fail(j, OX_E_DECODE, "something follows the request");
}

static ox_err
finish(struct from_json *j, struct ox_account *account, struct ox_body **body, struct ox_diag *diag)
{
    struct ox_body *made = j->out.failed || j->scratch.failed ? NULL : ox_body_new(j->out.len, account);
    if (made == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for a request of %zu bytes", j->out.len);
    if (j->out.len != 0)
        memcpy(made->data, j->out.data, j->out.len);
    made->len = j->out.len;
    *body = made;
    return OX_OK;
}

static ox_err
say_bad(const struct from_json *j, enum ox_signal signal, struct ox_diag *diag)
{
    ptrdiff_t at = j->in.p - j->in.begin;
    if (j->err == OX_E_TOO_DEEP)
        return ox_diag_set(diag, j->err, j->bad_path, at,
                           "a value is nested deeper than %u levels, the limit decode.depth",
                           j->limits->any_depth_max);
    ox_err err = j->err != OX_OK ? j->err : j->in.too_deep ? OX_E_TOO_DEEP : OX_E_DECODE;
    return ox_diag_set(diag, err, j->bad_path, at, "not an OTLP/JSON %s request: %s", ox_signal_name(signal),
                       j->in.bad != NULL ? j->in.bad : "malformed");
}

ox_err
ox_otlp_from_json(enum ox_signal signal, struct ox_str json, const struct ox_decode_limits *limits,
                  struct ox_account *account, struct ox_body **body, struct ox_diag *diag)
{
    struct from_json j = {.limits = limits};
    ox_err err;
    ox__json_init(&j.in, json);
    ox_buf_init(&j.out);
    ox_buf_init(&j.scratch);
    if (document(&j, signal) || j.out.failed || j.scratch.failed)
        err = finish(&j, account, body, diag);
    else
        err = say_bad(&j, signal, diag);
    ox_buf_fini(&j.out);
    ox_buf_fini(&j.scratch);
    return err;
}
