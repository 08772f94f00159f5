-- Log records and the hourly count of errors.

-- time: what the record says, else the observed time, else the arrival; time_flags keeps which were missing:
-- bit 0 = the record had no time, bit 1 = it had no observed time. The observed time is kept as its distance,
-- which is mostly small and often 0.
CREATE TABLE IF NOT EXISTS otel_logs
(
    tenant_id LowCardinality(String),
    service_name LowCardinality(String),
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    observed_offset_ns Int64 CODEC(ZSTD(1)),
    time_flags UInt8 CODEC(ZSTD(1)),
    severity_number UInt8 CODEC(ZSTD(1)),
    severity_text LowCardinality(String) CODEC(ZSTD(1)),
    event_name LowCardinality(String) CODEC(ZSTD(1)),
    body String CODEC(ZSTD(1)),
    body_type FixedString(1) CODEC(ZSTD(1)),
    trace_id FixedString(16) CODEC(ZSTD(1)),
    span_id FixedString(8) CODEC(ZSTD(1)),
    flags UInt32 CODEC(ZSTD(1)),
    attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    attribute_types LowCardinality(String) CODEC(ZSTD(1)),
    dropped_attributes UInt32 CODEC(ZSTD(1)),
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
    block_id UInt64 CODEC(Delta(8), ZSTD(1)),
    observed_time DateTime64(9, 'UTC') ALIAS fromUnixTimestamp64Nano(toUnixTimestamp64Nano(time) + observed_offset_ns, 'UTC'),
    INDEX ix_body body TYPE text(tokenizer = 'splitByNonAlpha', preprocessor = lower(body)),
    INDEX ix_trace_id trace_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_severity severity_number TYPE minmax GRANULARITY 1,
    INDEX ix_block block_id TYPE minmax GRANULARITY 4,
    INDEX ix_attribute_values mapValues(attributes) TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (tenant_id, service_name, time)
TTL toDateTime(time) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- Records of severity ERROR and above, per service and hour, with one of them as an example.
CREATE TABLE IF NOT EXISTS otel_logs_errors_1h
(
    tenant_id LowCardinality(String),
    service_name LowCardinality(String),
    time DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    severity_number UInt8 CODEC(ZSTD(1)),
    scope_name LowCardinality(String) CODEC(ZSTD(1)),
    count SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    first_time SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    last_time SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    sample_body SimpleAggregateFunction(anyLast, String) CODEC(ZSTD(1)),
    sample_trace_id SimpleAggregateFunction(max, FixedString(16)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (tenant_id, service_name, time, severity_number, scope_name)
TTL time + INTERVAL 1 YEAR
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS otel_logs_errors_1h_mv TO otel_logs_errors_1h AS
SELECT
    tenant_id,
    service_name,
    toStartOfHour(otel_logs.time) AS time,
    severity_number,
    scope_name,
    count() AS count,
    min(otel_logs.time) AS first_time,
    max(otel_logs.time) AS last_time,
    anyLast(body) AS sample_body,
    max(trace_id) AS sample_trace_id
FROM otel_logs
WHERE severity_number >= 17
GROUP BY tenant_id, service_name, time, severity_number, scope_name;
