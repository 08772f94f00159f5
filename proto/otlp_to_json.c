/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/otlp_to_json.c - protobuf wire to OTLP/JSON, driven by the generated descriptors.
 *
 * Owns:    nothing.
 * Threads: any.
 * Bounds:  MESSAGE_DEPTH_MAX nested messages.
 * Fails:   OX_E_DECODE, OX_E_TOO_DEEP, OX_E_NOMEM.
 * Flow:    dead letters and tools; not hot: each message is scanned once per field that its type has.
 */
#include <math.h>

#include "ox/any.h"
#include "ox/otlp.h"
#include "proto/otlp_types.h"
#include "proto/wire.h"

/* Four messages down to a record, then AnyValue, list and pair for each level of nesting. */
#define MESSAGE_DEPTH_MAX (8 + 3 * OX_ANY_DEPTH_MAX)

struct to_json {
    struct ox_buf *out;
    ox_err err;
};

static bool message(struct to_json *j, const ProtobufCMessageDescriptor *type, struct ox_str wire,
                    unsigned depth);

static bool
fail(struct to_json *j, ox_err err)
{
    j->err = err;
    return false;
}

/* The name in the .proto file as lowerCamelCase. */
static void
put_name(struct ox_buf *out, const char *name)
{
    ox_buf_append(out, "\"", 1);
    for (const char *p = name; *p != '\0'; p++) {
        char c = *p;
        if (c == '_' && p[1] >= 'a' && p[1] <= 'z')
            c = (char)(*++p - 'a' + 'A');
        ox_buf_append(out, &c, 1);
    }
    ox_buf_append(out, "\":", 2);
}

static void
put_double(struct ox_buf *out, double d)
{
    if (isfinite(d))
        ox_double_text(out, d, false);
    else
        ox_buf_append_cstr(out, isnan(d) ? "\"NaN\"" : d > 0 ? "\"Infinity\"" : "\"-Infinity\"");
}

static void
put_bytes(struct ox_buf *out, struct ox_str bytes, bool hex)
{
    ox_buf_append(out, "\"", 1);
    uint8_t *to = hex ? ox_buf_reserve(out, 2 * bytes.n + 1) : NULL;
    if (!hex) {
        ox_base64_encode(out, bytes);
    } else if (to != NULL) {
        ox_hex_encode(bytes.p, bytes.n, (char *)to);
        out->len += 2 * bytes.n;
    }
    ox_buf_append(out, "\"", 1);
}

static void
put_number(struct ox_buf *out, ProtobufCType type, uint64_t v)
{
    switch (type) {
    case PROTOBUF_C_TYPE_BOOL:
        ox_buf_append_cstr(out, v != 0 ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        put_double(out, ox__double_of(v));
        break;
    case PROTOBUF_C_TYPE_SINT32:
        ox_buf_printf(out, "%d", (int)ox__unzigzag((uint32_t)v));
        break;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_ENUM:
        ox_buf_printf(out, "%d", (int)(uint32_t)v);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        ox_buf_printf(out, "%u", (unsigned)v);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        ox_buf_printf(out, "\"%lld\"", (long long)v);
        break;
    case PROTOBUF_C_TYPE_SINT64:
        ox_buf_printf(out, "\"%lld\"", (long long)ox__unzigzag(v));
        break;
    default:
        ox_buf_printf(out, "\"%llu\"", (unsigned long long)v);
    }
}

static bool
is_number(ProtobufCType type)
{
    return type != PROTOBUF_C_TYPE_MESSAGE && type != PROTOBUF_C_TYPE_STRING && type != PROTOBUF_C_TYPE_BYTES;
}

static bool
is_fixed64(ProtobufCType type)
{
    return type == PROTOBUF_C_TYPE_DOUBLE || type == PROTOBUF_C_TYPE_FIXED64 ||
           type == PROTOBUF_C_TYPE_SFIXED64;
}

static bool
put_packed(struct to_json *j, const ProtobufCFieldDescriptor *field, struct ox_str bytes, const char **sep)
{
    struct ox__cur c = ox__cur_of(bytes);
    while (c.p < c.end) {
        struct ox__field f;
        enum ox__wire_bad bad =
            is_fixed64(field->type) ? ox__field_fixed(&c, 8, &f) : ox__varint(&c, 10, &f.v);
        if (bad != OX__WIRE_OK)
            return fail(j, OX_E_DECODE);
        ox_buf_append_cstr(j->out, *sep);
        put_number(j->out, field->type, f.v);
        *sep = ",";
    }
    return true;
}

static bool
put_value(struct to_json *j, const ProtobufCFieldDescriptor *field, const struct ox__field *f, unsigned depth)
{
    bool wants_bytes = !is_number(field->type);
    if (wants_bytes != ((f->tag & 7) == OX_WIRE_BYTES))
        return fail(j, OX_E_DECODE);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return message(j, field->descriptor, f->s, depth + 1);
    if (field->type == PROTOBUF_C_TYPE_STRING)
        ox_json_string(j->out, f->s);
    else if (field->type == PROTOBUF_C_TYPE_BYTES)
        put_bytes(j->out, f->s, ox__otlp_is_hex(field));
    else
        put_number(j->out, field->type, f->v);
    return true;
}

/* The next occurrence of a field number. False at the end and at malformed bytes (then j->err). */
static bool
next_of(struct to_json *j, struct ox__cur *c, uint32_t number, struct ox__field *f)
{
    while (c->p < c->end) {
        if (ox__field_next(c, f) != OX__WIRE_OK)
            return fail(j, OX_E_DECODE);
        if (f->tag >> 3 == number)
            return true;
    }
    return false;
}

static bool
put_list(struct to_json *j, const ProtobufCFieldDescriptor *field, struct ox_str wire, unsigned depth)
{
    struct ox__cur c = ox__cur_of(wire);
    struct ox__field f;
    const char *sep = "";
    ox_buf_append(j->out, "[", 1);
    while (next_of(j, &c, field->id, &f)) {
        if (is_number(field->type) && (f.tag & 7) == OX_WIRE_BYTES) {
            if (!put_packed(j, field, f.s, &sep))
                return false;
            continue;
        }
        ox_buf_append_cstr(j->out, sep);
        if (!put_value(j, field, &f, depth))
            return false;
        sep = ",";
    }
    ox_buf_append(j->out, "]", 1);
    return j->err == OX_OK;
}

/* Number of the member that a oneof ends up with: the last one on the wire. */
static uint32_t
oneof_winner(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *of, struct ox_str wire)
{
    struct ox__cur c = ox__cur_of(wire);
    struct ox__field f;
    uint32_t winner = 0;
    while (c.p < c.end && ox__field_next(&c, &f) == OX__WIRE_OK) {
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(type, (unsigned)(f.tag >> 3));
        if (field != NULL && (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
            field->quantifier_offset == of->quantifier_offset)
            winner = field->id;
    }
    return winner;
}

/* An embedded message that comes in parts: their bytes in a row are what they mean together. */
static bool
put_merged(struct to_json *j, const ProtobufCFieldDescriptor *field, struct ox_str wire, unsigned depth)
{
    struct ox__cur c = ox__cur_of(wire);
    struct ox__field f;
    struct ox_buf whole;
    ox_buf_init(&whole);
    bool ok = true;
    while (ok && next_of(j, &c, field->id, &f)) {
        if ((f.tag & 7) == OX_WIRE_BYTES)
            ox_buf_append_str(&whole, f.s);
        else
            ok = fail(j, OX_E_DECODE);
    }
    if (whole.failed)
        ok = fail(j, OX_E_NOMEM);
    ok = ok && j->err == OX_OK && message(j, field->descriptor, ox_buf_str(&whole), depth + 1);
    ox_buf_fini(&whole);
    return ok;
}

static bool
put_field(struct to_json *j, const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field,
          struct ox_str wire, unsigned depth, const char **sep)
{
    struct ox__cur c = ox__cur_of(wire);
    struct ox__field f, last;
    if (!next_of(j, &c, field->id, &last))
        return j->err == OX_OK;
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 && oneof_winner(type, field, wire) != field->id)
        return true;
    ox_buf_append_cstr(j->out, *sep);
    *sep = ",";
    put_name(j->out, field->name);
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return put_list(j, field, wire, depth);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE && (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0 &&
        next_of(j, &c, field->id, &f))
        return put_merged(j, field, wire, depth);
    while (next_of(j, &c, field->id, &f))
        last = f;
    return j->err == OX_OK && put_value(j, field, &last, depth);
}

static bool
message(struct to_json *j, const ProtobufCMessageDescriptor *type, struct ox_str wire, unsigned depth)
{
    const char *sep = "";
    if (depth > MESSAGE_DEPTH_MAX)
        return fail(j, OX_E_TOO_DEEP);
    ox_buf_append(j->out, "{", 1);
    for (unsigned i = 0; i < type->n_fields; i++) {
        if (!put_field(j, type, &type->fields[i], wire, depth, &sep))
            return false;
    }
    ox_buf_append(j->out, "}", 1);
    return true;
}

ox_err
ox_otlp_to_json(enum ox_signal signal, struct ox_str wire, struct ox_buf *out, struct ox_diag *diag)
{
    struct to_json j = {.out = out};
    if (!message(&j, ox__otlp_request_type(signal), wire, 0))
        return ox_diag_set(diag, j.err, NULL, -1, "not a protobuf %s request: %s", ox_signal_name(signal),
                           ox_err_text(j.err));
    if (out->failed)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for the JSON of %zu bytes", wire.n);
    return OX_OK;
}
