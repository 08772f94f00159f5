/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_record.h - the parts that spans, logs and points share: values, attributes, resource,
 * scope.
 *
 * Owns:    nothing.
 * Threads: one at a time.
 *
 * Each function comes with the text of the columns that it reads, so that SELECT and reader cannot drift
 * apart.
 */
#ifndef OX_QUERY_RECORD_H
#define OX_QUERY_RECORD_H

#include "actors/query/query_json.h"
#include "actors/query/query_rows.h"

/*
 * A stored value as natural JSON. type: s string, i integer, d double, b bool, j JSON, x base64, n nothing.
 * Bytes become {"bytesValue":"..."}, doubles that JSON has no number for {"doubleValue":"NaN"}.
 */
void ox__record_value(struct ox__json *j, char type, struct ox_str text);
/* An object of n pairs read from `map`; types: one character per pair, empty = all strings. */
void ox__record_attrs(struct ox__json *j, const char *key, struct ox__rows *map, size_t n,
                      struct ox_str types);

/* "attributes": columns attributes, attribute_types */
#define OX__ATTRS_COLUMNS "attributes, attribute_types"
void ox__record_attrs_columns(struct ox__json *j, const char *key, struct ox__rows *r);
void ox__record_attrs_skip(struct ox__rows *r);

/* "resource" and "scope" objects */
#define OX__RESOURCE_COLUMNS                                                                                 \
    "resource_attributes, resource_attribute_types, resource_dropped_attributes, resource_schema_url, "      \
    "resource_entity_refs, "                                                                                 \
    "scope_name, scope_version, scope_attributes, scope_attribute_types, scope_dropped_attributes, "         \
    "scope_schema_url"
void ox__record_resource(struct ox__json *j, struct ox__rows *r);
void ox__record_resource_skip(struct ox__rows *r);

/* One span: the columns of OX__SPAN_COLUMNS. `extra` (may be NULL) writes further members first. */
#define OX__SPAN_COLUMNS                                                                                     \
    "trace_id, span_id, parent_span_id, toUnixTimestamp64Nano(start_time), duration_ns, status_code, "       \
    "service_name, sample_weight, name, kind, status_message, trace_state, flags, dropped_attributes, "      \
    "dropped_events, dropped_links, " OX__ATTRS_COLUMNS ", " OX__RESOURCE_COLUMNS                            \
    ", `events.time`, `events.name`, `events.attributes`, `events.attribute_types`, "                        \
    "`events.dropped_attributes`, `links.trace_id`, `links.span_id`, `links.trace_state`, "                  \
    "`links.attributes`, "                                                                                   \
    "`links.attribute_types`, `links.dropped_attributes`, `links.flags`"
struct ox__span_head {
    const uint8_t *trace_id;
    const uint8_t *span_id;
    const uint8_t *parent_span_id;
    uint64_t start_ns;
    uint64_t duration_ns;
    uint8_t status_code;
    struct ox_str service_name;
    double sample_weight;
};
void ox__record_span_head(struct ox__rows *r, struct ox__span_head *head);
/* Steps over the rest of a row whose head was read. */
void ox__record_span_skip(struct ox__rows *r);
/* Writes the members of a span (without braces) from a cursor at the row's begin. */
void ox__record_span(struct ox__json *j, struct ox__rows *r);

/* One log record: the columns of OX__LOG_COLUMNS, whole object. */
#define OX__LOG_COLUMNS                                                                                      \
    "toUnixTimestamp64Nano(otel_logs.time), block_id, toUnixTimestamp64Nano(observed_time), time_flags, "    \
    "severity_number, "                                                                                      \
    "severity_text, service_name, event_name, body, body_type, trace_id, span_id, flags, "                   \
    "dropped_attributes, " OX__ATTRS_COLUMNS ", " OX__RESOURCE_COLUMNS
/* The first two columns, for ordering and cursors. */
struct ox__log_head {
    uint64_t time_ns;
    uint64_t block_id;
};
void ox__record_log(struct ox__json *j, struct ox__rows *r, struct ox__log_head *head);

/* One exemplar: whole object. */
#define OX__EXEMPLAR_COLUMNS                                                                                 \
    "series_id, metric_name, toUnixTimestamp64Nano(point_time), toUnixTimestamp64Nano(time), value, "        \
    "value_type, "                                                                                           \
    "int_value, trace_id, span_id, " OX__ATTRS_COLUMNS
void ox__record_exemplar(struct ox__json *j, struct ox__rows *r);

/* "value" of a number point or exemplar: value_type 1 integer (int_value where a double is not exact), 2
 * double. */
void ox__record_number(struct ox__json *j, const char *key, uint8_t value_type, double value,
                       int64_t int_value);

/* "kind", "status_code", "temporality": the name, as "SERVER", or the number when OTLP names none, as JSON of protobuf
 * does. */
void ox__record_kind(struct ox__json *j, uint8_t kind);
void ox__record_status(struct ox__json *j, uint8_t status);
void ox__record_temporality(struct ox__json *j, uint8_t temporality);
/* "ERROR" of a severity number, "" for 0. */
const char *ox__level_name(uint8_t severity);

#endif
