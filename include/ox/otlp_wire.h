/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/otlp_wire.h - writing protobuf wire bytes into an ox_buf.
 *
 * Owns:    nothing.
 * Threads: any; the buffer belongs to one at a time.
 * Fails:   memory shows once, at the end, as buf->failed.
 *
 * Every function writes its field even when the value is the default; callers leave defaults out themselves.
 */
#ifndef OX_OTLP_WIRE_H
#define OX_OTLP_WIRE_H

#include "ox/base.h"
#include "ox/buf.h"

enum ox_wire_type { OX_WIRE_VARINT = 0, OX_WIRE_FIXED64 = 1, OX_WIRE_BYTES = 2, OX_WIRE_FIXED32 = 5 };

/* Zigzag: small magnitudes become small numbers (sint32, sint64). */
static inline uint64_t
ox_wire_zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}

void ox_wire_varint(struct ox_buf *buf, uint64_t v);
void ox_wire_tag(struct ox_buf *buf, uint32_t field, enum ox_wire_type type);
/* uint32, uint64, bool, enum; int32 and int64 by conversion (negative ones take ten bytes, as protobuf has
 * it). */
void ox_wire_put_varint(struct ox_buf *buf, uint32_t field, uint64_t v);
void ox_wire_put_sint(struct ox_buf *buf, uint32_t field, int64_t v);
void ox_wire_put_fixed64(struct ox_buf *buf, uint32_t field, uint64_t v);
void ox_wire_put_fixed32(struct ox_buf *buf, uint32_t field, uint32_t v);
void ox_wire_put_double(struct ox_buf *buf, uint32_t field, double v);
/* string, bytes, or an embedded message that is encoded already. */
void ox_wire_put_bytes(struct ox_buf *buf, uint32_t field, struct ox_str bytes);

/* Opens an embedded message (or packed array); what is written until the matching end is its content. The
 * mark goes back to ox_wire_end; nest like brackets. */
OX_MUST_USE size_t ox_wire_begin(struct ox_buf *buf, uint32_t field);
void ox_wire_end(struct ox_buf *buf, size_t mark);

/* KeyValue as field `field` with a string or integer value: what generators need most. */
void ox_wire_put_attr_str(struct ox_buf *buf, uint32_t field, struct ox_str key, struct ox_str value);
void ox_wire_put_attr_int(struct ox_buf *buf, uint32_t field, struct ox_str key, int64_t value);

#endif
