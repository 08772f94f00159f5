-- Spans, the index from trace id to time, and the hourly tables that derive feeds.
-- Every statement is idempotent and ends with a semicolon at the end of a line.

CREATE TABLE IF NOT EXISTS otel_traces
(
    tenant_id LowCardinality(String),
    service_name LowCardinality(String),
    start_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    duration_ns UInt64 CODEC(T64, ZSTD(1)),
    trace_id FixedString(16) CODEC(ZSTD(1)),
    span_id FixedString(8) CODEC(ZSTD(1)),
    parent_span_id FixedString(8) CODEC(ZSTD(1)),
    trace_state String CODEC(ZSTD(1)),
    flags UInt32 CODEC(ZSTD(1)),
    name LowCardinality(String) CODEC(ZSTD(1)),
    kind UInt8 CODEC(ZSTD(1)),
    status_code UInt8 CODEC(ZSTD(1)),
    status_message String CODEC(ZSTD(1)),
    attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    attribute_types LowCardinality(String) CODEC(ZSTD(1)),
    dropped_attributes UInt32 CODEC(ZSTD(1)),
    dropped_events UInt32 CODEC(ZSTD(1)),
    dropped_links UInt32 CODEC(ZSTD(1)),
    resource_attributes Map(LowCardinality(String), LowCardinality(String)) CODEC(ZSTD(1)),
    resource_attribute_types LowCardinality(String) CODEC(ZSTD(1)),
    resource_dropped_attributes UInt32 CODEC(ZSTD(1)),
    resource_schema_url LowCardinality(String) CODEC(ZSTD(1)),
    scope_name LowCardinality(String) CODEC(ZSTD(1)),
    scope_version LowCardinality(String) CODEC(ZSTD(1)),
    scope_attributes Map(LowCardinality(String), LowCardinality(String)) CODEC(ZSTD(1)),
    scope_attribute_types LowCardinality(String) CODEC(ZSTD(1)),
    scope_dropped_attributes UInt32 CODEC(ZSTD(1)),
    scope_schema_url LowCardinality(String) CODEC(ZSTD(1)),
    `events.time` Array(DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    `events.name` Array(LowCardinality(String)) CODEC(ZSTD(1)),
    `events.attributes` Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    `events.attribute_types` Array(LowCardinality(String)) CODEC(ZSTD(1)),
    `events.dropped_attributes` Array(UInt32) CODEC(ZSTD(1)),
    `links.trace_id` Array(FixedString(16)) CODEC(ZSTD(1)),
    `links.span_id` Array(FixedString(8)) CODEC(ZSTD(1)),
    `links.trace_state` Array(String) CODEC(ZSTD(1)),
    `links.attributes` Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    `links.attribute_types` Array(LowCardinality(String)) CODEC(ZSTD(1)),
    `links.dropped_attributes` Array(UInt32) CODEC(ZSTD(1)),
    `links.flags` Array(UInt32) CODEC(ZSTD(1)),
    sample_weight Float64 DEFAULT 1 CODEC(ZSTD(1)),
    block_id UInt64 CODEC(Delta(8), ZSTD(1)),
    end_time DateTime64(9, 'UTC') ALIAS fromUnixTimestamp64Nano(toUnixTimestamp64Nano(start_time) + toInt64(duration_ns), 'UTC'),
    INDEX ix_duration duration_ns TYPE minmax GRANULARITY 1,
    INDEX ix_block block_id TYPE minmax GRANULARITY 4,
    INDEX ix_attribute_values mapValues(attributes) TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toStartOfHour(start_time)
ORDER BY (tenant_id, service_name, start_time)
TTL toDateTime(start_time) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- trace id -> when to look. One row per trace, day and service-independent.
CREATE TABLE IF NOT EXISTS otel_trace_index
(
    tenant_id LowCardinality(String),
    trace_id FixedString(16) CODEC(ZSTD(1)),
    day Date CODEC(ZSTD(1)),
    min_time SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    max_time SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    spans SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY day
ORDER BY (tenant_id, trace_id)
TTL day + INTERVAL 31 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS otel_trace_index_mv TO otel_trace_index AS
SELECT
    tenant_id,
    trace_id,
    toDate(start_time) AS day,
    min(start_time) AS min_time,
    max(start_time) AS max_time,
    count() AS spans
FROM otel_traces
GROUP BY tenant_id, trace_id, day;

-- RED figures per service, operation and hour, counted before sampling.
CREATE TABLE IF NOT EXISTS otel_span_stats_1h
(
    tenant_id LowCardinality(String),
    service_name LowCardinality(String),
    name LowCardinality(String),
    kind UInt8,
    time DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    calls SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    errors SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    duration_sum_ns SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    duration_min_ns SimpleAggregateFunction(min, UInt64) CODEC(ZSTD(1)),
    duration_max_ns SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    duration_buckets SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (tenant_id, service_name, name, kind, time)
TTL time + INTERVAL 1 YEAR
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS otel_service_dependencies_1h
(
    tenant_id LowCardinality(String),
    client LowCardinality(String),
    server LowCardinality(String),
    connection_type LowCardinality(String),
    time DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    calls SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    errors SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    duration_sum_ns SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    duration_max_ns SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    duration_buckets SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (tenant_id, client, server, connection_type, time)
TTL time + INTERVAL 1 YEAR
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
