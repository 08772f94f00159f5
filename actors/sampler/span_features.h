/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/sampler/span_features.h - what is remembered of a span until its trace is decided: 64 bytes.
 *
 * Owns:    nothing.
 * Threads: one at a time.
 * Flow:    trace_buffer.c: batch -> ox__features_of -> slab; edges.c reads them when the trace is decided.
 */
#ifndef OX_SAMPLER_SPAN_FEATURES_H
#define OX_SAMPLER_SPAN_FEATURES_H

#include "actors/sampler/services.h"
#include "ox/batch.h"

/* OTLP's SpanKind. */
enum ox__span_kind {
    OX__KIND_UNSPECIFIED,
    OX__KIND_INTERNAL,
    OX__KIND_SERVER,
    OX__KIND_CLIENT,
    OX__KIND_PRODUCER,
    OX__KIND_CONSUMER,
    OX__KIND_LINK, /* no span but a link: span_id is its owner, parent_id what it points to, in the same trace */
    OX__KIND_UNKNOWN
};

/* Who is at the other end, as far as the span itself says. */
enum ox__peer_kind { OX__PEER_NONE, OX__PEER_EXTERNAL, OX__PEER_DATABASE, OX__PEER_MESSAGING };

struct ox__span_features {
    uint64_t span_id, parent_id; /* parent_id 0 = root */
    uint64_t start_ns, duration_ns;
    uint64_t operation; /* hash of service and name */
    uint32_t wal_low;   /* of the log's sequence, with wal_high */
    uint32_t ordinal;
    uint32_t next;  /* the slab's */
    uint32_t bytes; /* of the request or message, saturating; 0 = not said */
    uint16_t wal_high;
    uint16_t service, peer; /* numbers of names */
    uint8_t kind : 3;       /* enum ox__span_kind */
    uint8_t error : 1;
    uint8_t sampled : 1;
    uint8_t peer_kind : 2;
};
_Static_assert(sizeof(struct ox__span_features) == 64, "a million spans in 64 MB");

static inline uint64_t
ox__features_wal_seq(const struct ox__span_features *f)
{
    return (uint64_t)f->wal_high << 32 | f->wal_low;
}

/* All but next. batch, span: lend. */
void ox__features_of(struct ox__services *names, const struct ox_batch *batch, const struct ox_span *span,
                     struct ox__span_features *out);
/* The id of a link, as it stands in span_id. */
uint64_t ox__features_id(const uint8_t id[8]);

#endif
