/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/otlp_types.h - the message descriptors that drive the JSON mapping.
 *
 * Owns:    nothing; the descriptors are generated constants.
 * Threads: any.
 */
#ifndef OX_PROTO_OTLP_TYPES_H
#define OX_PROTO_OTLP_TYPES_H

#include <protobuf-c/protobuf-c.h>

#include "ox/base.h"

/* Export…ServiceRequest of a signal. */
const ProtobufCMessageDescriptor *ox__otlp_request_type(enum ox_signal signal);
/* AnyValue: the only message that contains itself. */
bool ox__otlp_is_any(const ProtobufCMessageDescriptor *type);
/* Ids are hex in OTLP/JSON; all other bytes are base64. */
bool ox__otlp_is_hex(const ProtobufCFieldDescriptor *field);

#endif
