/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/columns.h - the columns of the blocks that the writers send, once per table.
 *
 * X(symbol, name, type, kind, width, group)
 *   kind   FIXED: `width` bytes each; STRING; LC: LowCardinality(String); MAP: Map(LowCardinality(String),
 * String); LCMAP: both sides LowCardinality; CONST: block_id, the same 8 bytes in each row, made at the end
 *   group  0 = one value per row; else one array per row, and columns of a group share their array ends
 *
 * The order is that of the Native block and of the INSERT's column list; names and types are those of
 * schema/clickhouse (tests/unit/actors/writer/schema_engine_test.c compares them with a real engine).
 */
#ifndef OX_WRITER_COLUMNS_H
#define OX_WRITER_COLUMNS_H

#define OX__LC     "LowCardinality(String)"
#define OX__MAP    "Map(LowCardinality(String), String)"
#define OX__LCMAP  "Map(LowCardinality(String), LowCardinality(String))"
#define OX__TIME   "DateTime64(9, 'UTC')"
#define OX__ARR(t) "Array(" t ")"

/* clang-format off */
#define OX__COLUMNS_OF_ORIGIN(X) \
    X(RES_ATTRS,        "resource_attributes",         OX__LCMAP, LCMAP, 0, 0) \
    X(RES_TYPES,        "resource_attribute_types",    OX__LC,    LC,    0, 0) \
    X(RES_DROPPED,      "resource_dropped_attributes", "UInt32",  FIXED, 4, 0) \
    X(RES_SCHEMA_URL,   "resource_schema_url",         OX__LC,    LC,    0, 0) \
    X(SCOPE_NAME,       "scope_name",                  OX__LC,    LC,    0, 0) \
    X(SCOPE_VERSION,    "scope_version",               OX__LC,    LC,    0, 0) \
    X(SCOPE_ATTRS,      "scope_attributes",            OX__LCMAP, LCMAP, 0, 0) \
    X(SCOPE_TYPES,      "scope_attribute_types",       OX__LC,    LC,    0, 0) \
    X(SCOPE_DROPPED,    "scope_dropped_attributes",    "UInt32",  FIXED, 4, 0) \
    X(SCOPE_SCHEMA_URL, "scope_schema_url",            OX__LC,    LC,    0, 0) \
    X(RES_ENTITIES,     "resource_entity_refs",        OX__LC,    LC,    0, 0)

/* The columns of a resource and scope come first in every table that has them, so that one function fills
 * them: enum values C_RES_ATTRS.. are the same in each. */
#define OX__COLUMNS_TRACES(X) \
    OX__COLUMNS_OF_ORIGIN(X) \
    X(TENANT,         "tenant_id",                 OX__LC,                    LC,     0,  0) \
    X(SERVICE,        "service_name",              OX__LC,                    LC,     0,  0) \
    X(START,          "start_time",                OX__TIME,                  FIXED,  8,  0) \
    X(DURATION,       "duration_ns",               "UInt64",                  FIXED,  8,  0) \
    X(TRACE_ID,       "trace_id",                  "FixedString(16)",         FIXED,  16, 0) \
    X(SPAN_ID,        "span_id",                   "FixedString(8)",          FIXED,  8,  0) \
    X(PARENT,         "parent_span_id",            "FixedString(8)",          FIXED,  8,  0) \
    X(STATE,          "trace_state",               "String",                  STRING, 0,  0) \
    X(FLAGS,          "flags",                     "UInt32",                  FIXED,  4,  0) \
    X(NAME,           "name",                      OX__LC,                    LC,     0,  0) \
    X(KIND,           "kind",                      "UInt8",                   FIXED,  1,  0) \
    X(STATUS,         "status_code",               "UInt8",                   FIXED,  1,  0) \
    X(STATUS_MESSAGE, "status_message",            "String",                  STRING, 0,  0) \
    X(ATTRS,          "attributes",                OX__MAP,                   MAP,    0,  0) \
    X(TYPES,          "attribute_types",           OX__LC,                    LC,     0,  0) \
    X(DROPPED_ATTRS,  "dropped_attributes",        "UInt32",                  FIXED,  4,  0) \
    X(DROPPED_EVENTS, "dropped_events",            "UInt32",                  FIXED,  4,  0) \
    X(DROPPED_LINKS,  "dropped_links",             "UInt32",                  FIXED,  4,  0) \
    X(EV_TIME,        "events.time",               OX__ARR(OX__TIME),         FIXED,  8,  1) \
    X(EV_NAME,        "events.name",               OX__ARR(OX__LC),           LC,     0,  1) \
    X(EV_ATTRS,       "events.attributes",         OX__ARR(OX__MAP),          MAP,    0,  1) \
    X(EV_TYPES,       "events.attribute_types",    OX__ARR(OX__LC),           LC,     0,  1) \
    X(EV_DROPPED,     "events.dropped_attributes", OX__ARR("UInt32"),         FIXED,  4,  1) \
    X(LN_TRACE_ID,    "links.trace_id",            OX__ARR("FixedString(16)"), FIXED, 16, 2) \
    X(LN_SPAN_ID,     "links.span_id",             OX__ARR("FixedString(8)"), FIXED,  8,  2) \
    X(LN_STATE,       "links.trace_state",         OX__ARR("String"),         STRING, 0,  2) \
    X(LN_ATTRS,       "links.attributes",          OX__ARR(OX__MAP),          MAP,    0,  2) \
    X(LN_TYPES,       "links.attribute_types",     OX__ARR(OX__LC),           LC,     0,  2) \
    X(LN_DROPPED,     "links.dropped_attributes",  OX__ARR("UInt32"),         FIXED,  4,  2) \
    X(LN_FLAGS,       "links.flags",               OX__ARR("UInt32"),         FIXED,  4,  2) \
    X(WEIGHT,         "sample_weight",             "Float64",                 FIXED,  8,  0) \
    X(BLOCK_ID,       "block_id",                  "UInt64",                  CONST,  8,  0)

#define OX__COLUMNS_LOGS(X) \
    OX__COLUMNS_OF_ORIGIN(X) \
    X(TENANT,         "tenant_id",          OX__LC,            LC,     0,  0) \
    X(SERVICE,        "service_name",       OX__LC,            LC,     0,  0) \
    X(TIME,           "time",               OX__TIME,          FIXED,  8,  0) \
    X(OBSERVED,       "observed_offset_ns", "Int64",           FIXED,  8,  0) \
    X(TIME_FLAGS,     "time_flags",         "UInt8",           FIXED,  1,  0) \
    X(SEVERITY,       "severity_number",    "UInt8",           FIXED,  1,  0) \
    X(SEVERITY_TEXT,  "severity_text",      OX__LC,            LC,     0,  0) \
    X(EVENT_NAME,     "event_name",         OX__LC,            LC,     0,  0) \
    X(BODY,           "body",               "String",          STRING, 0,  0) \
    X(BODY_TYPE,      "body_type",          "FixedString(1)",  FIXED,  1,  0) \
    X(TRACE_ID,       "trace_id",           "FixedString(16)", FIXED,  16, 0) \
    X(SPAN_ID,        "span_id",            "FixedString(8)",  FIXED,  8,  0) \
    X(FLAGS,          "flags",              "UInt32",          FIXED,  4,  0) \
    X(ATTRS,          "attributes",         OX__MAP,           MAP,    0,  0) \
    X(TYPES,          "attribute_types",    OX__LC,            LC,     0,  0) \
    X(DROPPED_ATTRS,  "dropped_attributes", "UInt32",          FIXED,  4,  0) \
    X(BLOCK_ID,       "block_id",           "UInt64",          CONST,  8,  0)

#define OX__COLUMNS_SERIES(X) \
    OX__COLUMNS_OF_ORIGIN(X) \
    X(TENANT,         "tenant_id",          OX__LC,    LC,    0, 0) \
    X(METRIC,         "metric_name",        OX__LC,    LC,    0, 0) \
    X(ID,             "series_id",          "UInt64",  FIXED, 8, 0) \
    X(DAY,            "day",                "Date",    FIXED, 2, 0) \
    X(SERVICE,        "service_name",       OX__LC,    LC,    0, 0) \
    X(TYPE,           "type",               "UInt8",   FIXED, 1, 0) \
    X(TEMPORALITY,    "temporality",        "UInt8",   FIXED, 1, 0) \
    X(MONOTONIC,      "monotonic",          "Bool",    FIXED, 1, 0) \
    X(UNIT,           "unit",               OX__LC,    LC,    0, 0) \
    X(DESCRIPTION,    "description",        OX__LC,    LC,    0, 0) \
    X(ATTRS,          "attributes",         OX__MAP,   MAP,   0, 0) \
    X(TYPES,          "attribute_types",    OX__LC,    LC,    0, 0) \
    X(METADATA,       "metadata",           OX__LCMAP, LCMAP, 0, 0) \
    X(METADATA_TYPES, "metadata_types",     OX__LC,    LC,    0, 0) \
    X(BLOCK_ID,       "block_id",           "UInt64",  CONST, 8, 0)

#define OX__COLUMNS_POINTS(X) \
    X(TENANT,     "tenant_id",   OX__LC,    LC,    0, 0) \
    X(METRIC,     "metric_name", OX__LC,    LC,    0, 0) \
    X(ID,         "series_id",   "UInt64",  FIXED, 8, 0) \
    X(TIME,       "time",        OX__TIME,  FIXED, 8, 0) \
    X(START,      "start_time",  OX__TIME,  FIXED, 8, 0) \
    X(VALUE,      "value",       "Float64", FIXED, 8, 0) \
    X(VALUE_TYPE, "value_type",  "UInt8",   FIXED, 1, 0) \
    X(INT_VALUE,  "int_value",   "Int64",   FIXED, 8, 0) \
    X(FLAGS,      "flags",       "UInt32",  FIXED, 4, 0) \
    X(BLOCK_ID,   "block_id",    "UInt64",  CONST, 8, 0)

#define OX__COLUMNS_HISTOGRAMS(X) \
    X(TENANT,          "tenant_id",       OX__LC,             LC,    0, 0) \
    X(METRIC,          "metric_name",     OX__LC,             LC,    0, 0) \
    X(ID,              "series_id",       "UInt64",           FIXED, 8, 0) \
    X(TIME,            "time",            OX__TIME,           FIXED, 8, 0) \
    X(START,           "start_time",      OX__TIME,           FIXED, 8, 0) \
    X(TYPE,            "type",            "UInt8",            FIXED, 1, 0) \
    X(FLAGS,           "flags",           "UInt32",           FIXED, 4, 0) \
    X(HAS,             "has",             "UInt8",            FIXED, 1, 0) \
    X(COUNT,           "count",           "UInt64",           FIXED, 8, 0) \
    X(SUM,             "sum",             "Float64",          FIXED, 8, 0) \
    X(MIN,             "min",             "Float64",          FIXED, 8, 0) \
    X(MAX,             "max",             "Float64",          FIXED, 8, 0) \
    X(BOUNDS,          "explicit_bounds", OX__ARR("Float64"), FIXED, 8, 1) \
    X(COUNTS,          "bucket_counts",   OX__ARR("UInt64"),  FIXED, 8, 2) \
    X(SCALE,           "scale",           "Int32",            FIXED, 4, 0) \
    X(ZERO_COUNT,      "zero_count",      "UInt64",           FIXED, 8, 0) \
    X(ZERO_THRESHOLD,  "zero_threshold",  "Float64",          FIXED, 8, 0) \
    X(POSITIVE_OFFSET, "positive_offset", "Int32",            FIXED, 4, 0) \
    X(POSITIVE,        "positive_counts", OX__ARR("UInt64"),  FIXED, 8, 3) \
    X(NEGATIVE_OFFSET, "negative_offset", "Int32",            FIXED, 4, 0) \
    X(NEGATIVE,        "negative_counts", OX__ARR("UInt64"),  FIXED, 8, 4) \
    X(QUANTILES,       "quantiles",       OX__ARR("Float64"), FIXED, 8, 5) \
    X(QUANTILE_VALUES, "quantile_values", OX__ARR("Float64"), FIXED, 8, 6) \
    X(BLOCK_ID,        "block_id",        "UInt64",           CONST, 8, 0)

#define OX__COLUMNS_EXEMPLARS(X) \
    X(TENANT,     "tenant_id",       OX__LC,            LC,    0,  0) \
    X(METRIC,     "metric_name",     OX__LC,            LC,    0,  0) \
    X(ID,         "series_id",       "UInt64",          FIXED, 8,  0) \
    X(POINT_TIME, "point_time",      OX__TIME,          FIXED, 8,  0) \
    X(TIME,       "time",            OX__TIME,          FIXED, 8,  0) \
    X(VALUE,      "value",           "Float64",         FIXED, 8,  0) \
    X(VALUE_TYPE, "value_type",      "UInt8",           FIXED, 1,  0) \
    X(INT_VALUE,  "int_value",       "Int64",           FIXED, 8,  0) \
    X(TRACE_ID,   "trace_id",        "FixedString(16)", FIXED, 16, 0) \
    X(SPAN_ID,    "span_id",         "FixedString(8)",  FIXED, 8,  0) \
    X(ATTRS,      "attributes",      OX__MAP,           MAP,   0,  0) \
    X(TYPES,      "attribute_types", OX__LC,            LC,    0,  0) \
    X(BLOCK_ID,   "block_id",        "UInt64",          CONST, 8,  0)
#define OX__COLUMNS_SPAN_STATS(X) \
    X(TENANT,     "tenant_id",        OX__LC,             LC,    0,  0) \
    X(SERVICE,    "service_name",     OX__LC,             LC,    0,  0) \
    X(NAME,       "name",             OX__LC,             LC,    0,  0) \
    X(KIND,       "kind",             "UInt8",            FIXED, 1,  0) \
    X(STATUS,     "status_code",      "UInt8",            FIXED, 1,  0) \
    X(TIME,       "time",             "DateTime('UTC')",  FIXED, 4,  0) \
    X(CALLS,      "calls",            "UInt64",           FIXED, 8,  0) \
    X(SUM,        "duration_sum_ns",  "UInt64",           FIXED, 8,  0) \
    X(MIN,        "duration_min_ns",  "UInt64",           FIXED, 8,  0) \
    X(MAX,        "duration_max_ns",  "UInt64",           FIXED, 8,  0) \
    X(SLOWEST,    "slowest_trace_id", "FixedString(16)",  FIXED, 16, 0) \
    X(BUCKETS,    "buckets.index",    OX__ARR("Int16"),   FIXED, 2,  1) \
    X(COUNTS,     "buckets.count",    OX__ARR("UInt64"),  FIXED, 8,  1) \
    X(BLOCK_ID,   "block_id",         "UInt64",           CONST, 8,  0)
/* clang-format on */

#define OX__COLUMN_SYMBOL_R(symbol, name, type, kind, width, group) R_##symbol,
#define OX__COLUMN_SYMBOL_T(symbol, name, type, kind, width, group) T_##symbol,
#define OX__COLUMN_SYMBOL_L(symbol, name, type, kind, width, group) L_##symbol,
#define OX__COLUMN_SYMBOL_S(symbol, name, type, kind, width, group) S_##symbol,
#define OX__COLUMN_SYMBOL_P(symbol, name, type, kind, width, group) P_##symbol,
#define OX__COLUMN_SYMBOL_H(symbol, name, type, kind, width, group) H_##symbol,
#define OX__COLUMN_SYMBOL_E(symbol, name, type, kind, width, group) E_##symbol,
#define OX__COLUMN_SYMBOL_O(symbol, name, type, kind, width, group) O_##symbol,
enum { OX__COLUMNS_TRACES(OX__COLUMN_SYMBOL_T) T__COUNT };
enum { OX__COLUMNS_LOGS(OX__COLUMN_SYMBOL_L) L__COUNT };
enum { OX__COLUMNS_SERIES(OX__COLUMN_SYMBOL_S) S__COUNT };
enum { OX__COLUMNS_POINTS(OX__COLUMN_SYMBOL_P) P__COUNT };
enum { OX__COLUMNS_HISTOGRAMS(OX__COLUMN_SYMBOL_H) H__COUNT };
enum { OX__COLUMNS_EXEMPLARS(OX__COLUMN_SYMBOL_E) E__COUNT };
enum { OX__COLUMNS_SPAN_STATS(OX__COLUMN_SYMBOL_R) R__COUNT };
enum { OX__COLUMNS_OF_ORIGIN(OX__COLUMN_SYMBOL_O) O__COUNT };

#endif
