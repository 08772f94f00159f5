/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/otlp_wire.h - judging and normalising OTLP requests by the descriptors of protobuf-c.
 *
 * Owns:    nothing.
 * Threads: any.
 * Bounds:  recursion by the nesting of the input.
 *
 * A second reader of the wire format, slow and apart from proto/wire.h: it says what is wrong with a request,
 * so that each refusal has to have a reason that is known beforehand.
 */
#ifndef HARNESS_OTLP_WIRE_H
#define HARNESS_OTLP_WIRE_H

#include <protobuf-c/protobuf-c.h>

#include "ox/base.h"
#include "ox/buf.h"

/* What a request is like, seen over all of it. */
struct otlp_wire {
    bool malformed; /* protobuf-c must refuse it, too */
    bool overflow;  /* a varint of more than 64 bits */
    bool bool_type; /* a bool in another wire type than varint */
    bool zero_tag;  /* a field number 0 in more than one byte */
    bool joined;    /* an embedded message that comes in several pieces */
    bool suspect;   /* a string that is not UTF-8 or longer than text_max, an id of a wrong length */
    uint64_t items; /* elements of all lists together, or more */
    uint32_t depth; /* AnyValue inside AnyValue; a scalar has depth 1 */
    size_t text_max;
};

/* One field as it stands on the wire. */
struct otlp_wire_field {
    uint32_t number;
    uint32_t type;       /* of the wire: 0, 1, 2, 5 */
    struct ox_str whole; /* tag included */
    struct ox_str value; /* without tag and length */
};

/* Takes the next field off `rest`; false when it is malformed. */
bool otlp_wire_next(struct ox_str *rest, struct otlp_wire_field *field);
/* The request's descriptor. */
const ProtobufCMessageDescriptor *otlp_wire_request(enum ox_signal signal);
/* Judges `wire` as a message of that type; w->text_max is set by the caller, the rest must be zero. */
void otlp_wire_judge(const ProtobufCMessageDescriptor *type, struct ox_str wire, struct otlp_wire *w);
/* Appends the same message with the pieces of each singular embedded message put one after the other, which is
 * how protobuf defines their merging. Only for what is not malformed. */
void otlp_wire_join(const ProtobufCMessageDescriptor *type, struct ox_str wire, struct ox_buf *out);
/* True for fields whose message may come in pieces: singular, and no member of a oneof. */
bool otlp_wire_joins(const ProtobufCFieldDescriptor *field);
/* The type of a message field. */
const ProtobufCMessageDescriptor *otlp_wire_type_of(const ProtobufCFieldDescriptor *field);

#endif
