/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/otlp_wire.c - judging and normalising OTLP requests by the descriptors of protobuf-c.
 *
 * Owns:    nothing.
 * Threads: any.
 * Fails:   malformed input shows in struct otlp_wire; out of memory ends the test.
 */
#include "tests/harness/otlp_wire.h"

#include "opentelemetry/proto/collector/logs/v1/logs_service.pb-c.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb-c.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "ox/otlp.h"
#include "ox/otlp_wire.h"

#define VARINT_BYTES_MAX 10
/* OTLP has no message with more fields. */
#define FIELDS_MAX 16

const ProtobufCMessageDescriptor *
otlp_wire_request(enum ox_signal signal)
{
    static const ProtobufCMessageDescriptor *const types[OX_SIGNAL__COUNT] = {
        [OX_SIGNAL_TRACES] =
            &opentelemetry__proto__collector__trace__v1__export_trace_service_request__descriptor,
        [OX_SIGNAL_LOGS] =
            &opentelemetry__proto__collector__logs__v1__export_logs_service_request__descriptor,
        [OX_SIGNAL_METRICS] =
            &opentelemetry__proto__collector__metrics__v1__export_metrics_service_request__descriptor,
    };
    return types[signal];
}

const ProtobufCMessageDescriptor *
otlp_wire_type_of(const ProtobufCFieldDescriptor *field)
{
    return field->descriptor;
}

bool
otlp_wire_joins(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_MESSAGE && field->label != PROTOBUF_C_LABEL_REPEATED &&
           (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0;
}

/* Bytes of the varint at the begin of s, 0 when it does not end within `max` bytes. */
static size_t
varint(struct ox_str s, size_t max, uint64_t *value)
{
    uint64_t v = 0;
    for (size_t i = 0; i < s.n && i < max; i++) {
        uint8_t byte = (uint8_t)s.p[i];
        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *value = v;
            return i + 1;
        }
    }
    return 0;
}

static bool
overflows(struct ox_str digits)
{
    return digits.n == VARINT_BYTES_MAX && (uint8_t)digits.p[VARINT_BYTES_MAX - 1] > 1;
}

static struct ox_str
behind(struct ox_str s, size_t n)
{
    return (struct ox_str){s.p + n, s.n - n};
}

bool
otlp_wire_next(struct ox_str *rest, struct otlp_wire_field *field)
{
    const struct ox_str start = *rest;
    uint64_t tag, n;
    size_t head = varint(start, 5, &tag);
    if (head == 0 || (head == 1 && tag < 8))
        return false;
    struct ox_str s = behind(start, head);
    field->number = (uint32_t)(tag >> 3);
    field->type = tag & 7;
    switch (field->type) {
    case 0:
        n = varint(s, VARINT_BYTES_MAX, &tag);
        if (n == 0)
            return false;
        break;
    case 1:
    case 5:
        n = field->type == 1 ? 8 : 4;
        break;
    case 2:
        head = varint(s, 5, &n);
        if (head == 0)
            return false;
        s = behind(s, head);
        break;
    default:
        return false;
    }
    if (n > s.n)
        return false;
    field->value = (struct ox_str){s.p, n};
    *rest = behind(s, n);
    field->whole = (struct ox_str){start.p, start.n - rest->n};
    return true;
}

static uint32_t
wire_type(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 1;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return 2;
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return 5;
    default:
        return 0;
    }
}

static void
judge_packed(const ProtobufCFieldDescriptor *field, struct ox_str s, struct otlp_wire *w)
{
    if (wire_type(field) == 1) {
        w->malformed |= s.n % 8 != 0;
        return;
    }
    while (s.n > 0) {
        uint64_t v;
        size_t n = varint(s, VARINT_BYTES_MAX, &v);
        if (n == 0) {
            w->malformed = true;
            return;
        }
        w->overflow |= overflows((struct ox_str){s.p, n});
        s = behind(s, n);
    }
}

static void
judge_text(const ProtobufCFieldDescriptor *field, struct ox_str s, struct otlp_wire *w)
{
    w->suspect |= s.n > w->text_max;
    if (field->type == PROTOBUF_C_TYPE_STRING)
        w->suspect |= !ox_utf8_valid(s);
    else if (strcmp(field->name, "trace_id") == 0)
        w->suspect |= s.n != 0 && s.n != 16;
    else if (strcmp(field->name, "bytes_value") != 0)
        w->suspect |= s.n != 0 && s.n != 8;
}

static void judge(const ProtobufCMessageDescriptor *type, struct ox_str wire, struct otlp_wire *w,
                  uint32_t depth);

static void
judge_field(const ProtobufCFieldDescriptor *field, const struct otlp_wire_field *f, struct otlp_wire *w,
            uint32_t depth)
{
    const uint32_t type = wire_type(field);
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        w->items += f->type == 2 && type != 2 ? f->value.n : 1;
    if (f->type == 2 && type != 2 && field->label == PROTOBUF_C_LABEL_REPEATED)
        judge_packed(field, f->value, w);
    else if (f->type != type && field->type == PROTOBUF_C_TYPE_BOOL)
        w->bool_type = true;
    else if (f->type != type)
        w->malformed = true;
    else if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        judge(field->descriptor, f->value, w, depth);
    else if (type == 2)
        judge_text(field, f->value, w);
}

static void
judge(const ProtobufCMessageDescriptor *type, struct ox_str wire, struct otlp_wire *w, uint32_t depth)
{
    uint32_t seen = 0;
    if (type == &opentelemetry__proto__common__v1__any_value__descriptor) {
        depth++;
        w->suspect |= wire.n > w->text_max;
        w->depth = depth > w->depth ? depth : w->depth;
    }
    while (wire.n > 0) {
        struct otlp_wire_field f;
        if (!otlp_wire_next(&wire, &f)) {
            w->malformed = true;
            return;
        }
        w->overflow |= f.type == 0 && overflows(f.value);
        w->zero_tag |= f.number == 0;
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(type, f.number);
        if (field == NULL)
            continue;
        judge_field(field, &f, w, depth);
        if (otlp_wire_joins(field)) {
            w->joined |= (seen >> f.number & 1) != 0;
            seen |= 1u << f.number;
        }
    }
}

void
otlp_wire_judge(const ProtobufCMessageDescriptor *type, struct ox_str wire, struct otlp_wire *w)
{
    judge(type, wire, w, 0);
}

/* tag and length around the normalised message. */
static void
put_joined(const ProtobufCFieldDescriptor *field, struct ox_str wire, struct ox_buf *out)
{
    size_t mark = ox_wire_begin(out, field->id);
    otlp_wire_join(field->descriptor, wire, out);
    ox_wire_end(out, mark);
}

void
otlp_wire_join(const ProtobufCMessageDescriptor *type, struct ox_str wire, struct ox_buf *out)
{
    struct ox_buf pieces[FIELDS_MAX];
    bool seen[FIELDS_MAX] = {false};
    OX_ASSERT(type->n_fields <= FIELDS_MAX);
    for (unsigned i = 0; i < type->n_fields; i++)
        ox_buf_init(&pieces[i]);
    while (wire.n > 0) {
        struct otlp_wire_field f;
        OX_ASSERT(otlp_wire_next(&wire, &f));
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(type, f.number);
        if (field == NULL || field->type != PROTOBUF_C_TYPE_MESSAGE) {
            ox_buf_append_str(out, f.whole);
        } else if (otlp_wire_joins(field)) {
            seen[field - type->fields] = true;
            ox_buf_append_str(&pieces[field - type->fields], f.value);
        } else {
            put_joined(field, f.value, out);
        }
    }
    for (unsigned i = 0; i < type->n_fields; i++) {
        if (seen[i])
            put_joined(&type->fields[i], ox_buf_str(&pieces[i]), out);
        OX_ASSERT(!pieces[i].failed);
        ox_buf_fini(&pieces[i]);
    }
    OX_ASSERT(!out->failed);
}
