/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/otlp_same.h - what the files of the oracle share: one row of a batch against its message.
 *
 * Owns:    struct otlp_same, the state of one comparison.
 * Threads: any.
 */
#ifndef HARNESS_OTLP_SAME_H
#define HARNESS_OTLP_SAME_H

#include <stdio.h>

#include "opentelemetry/proto/collector/logs/v1/logs_service.pb-c.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb-c.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "ox/otlp.h"

#define COMMON(name)  Opentelemetry__Proto__Common__V1__##name
#define METRICS(name) Opentelemetry__Proto__Metrics__V1__##name
#define TRACE(name)   Opentelemetry__Proto__Trace__V1__##name

struct otlp_same {
    const struct ox_batch *b;
    const struct ox_decode_limits *limits;
    bool bad;         /* the row being compared has to be marked */
    uint32_t records; /* seen so far: ordinal of the next */
    uint32_t metrics;
    bool differs;
    char *why;
    size_t why_size;
};

/* Notes the first difference. */
#define OTLP_SAME(s, holds)                                                                                  \
    do {                                                                                                     \
        if (!(holds) && !(s)->differs) {                                                                     \
            (s)->differs = true;                                                                             \
            snprintf((s)->why, (s)->why_size, "record %u: %s does not hold (%s:%d)", (s)->records, #holds,   \
                     __FILE__, __LINE__);                                                                    \
        }                                                                                                    \
    } while (0)

void otlp_same_text(struct otlp_same *s, struct ox_str ours, const char *theirs);
void otlp_same_id(struct otlp_same *s, const uint8_t *ours, ProtobufCBinaryData theirs, size_t n);
void otlp_same_double(struct otlp_same *s, double ours, double theirs);
void otlp_same_any(struct otlp_same *s, const struct ox_any *ours, const COMMON(AnyValue) * theirs);
void otlp_same_attrs(struct otlp_same *s, struct ox_slice ours, size_t n, COMMON(KeyValue) * *theirs);
/* How many of n may be in the batch; more mark the row. */
size_t otlp_same_count(struct otlp_same *s, uint32_t ours, size_t n, uint32_t max);
/* The end of a row: reject and ordinal. */
void otlp_same_row(struct otlp_same *s, uint8_t reject, uint32_t ordinal, struct ox_piece wire);

/* One metric and all its points. */
void otlp_same_metric(struct otlp_same *s, const METRICS(Metric) * theirs, uint32_t scope);

#endif
