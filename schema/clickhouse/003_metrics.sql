-- Metrics: series (labels, once a day) and points (series id, time, value).

-- One row per series and day on which it has points; the last one written stands.
CREATE TABLE IF NOT EXISTS otel_metric_series
(
    tenant_id LowCardinality(String),
    metric_name LowCardinality(String),
    series_id UInt64 CODEC(ZSTD(1)),
    day Date CODEC(ZSTD(1)),
    service_name LowCardinality(String) CODEC(ZSTD(1)),
    type UInt8 CODEC(ZSTD(1)),
    temporality UInt8 CODEC(ZSTD(1)),
    monotonic Bool CODEC(ZSTD(1)),
    unit LowCardinality(String) CODEC(ZSTD(1)),
    description LowCardinality(String) CODEC(ZSTD(1)),
    attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    attribute_types LowCardinality(String) CODEC(ZSTD(1)),
    metadata Map(LowCardinality(String), LowCardinality(String)) CODEC(ZSTD(1)),
    metadata_types LowCardinality(String) CODEC(ZSTD(1)),
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
    block_id UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY day
ORDER BY (tenant_id, metric_name, series_id)
TTL day + INTERVAL 1 YEAR
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- Points of gauges and sums. value_type: 0 = no value, 1 = integer, 2 = double. int_value: the integer where
-- a Float64 does not hold it exactly, else 0.
CREATE TABLE IF NOT EXISTS otel_metrics
(
    tenant_id LowCardinality(String),
    metric_name LowCardinality(String),
    series_id UInt64 CODEC(Delta(8), ZSTD(1)),
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    start_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    value Float64 CODEC(Delta(8), ZSTD(1)),
    value_type UInt8 CODEC(ZSTD(1)),
    int_value Int64 CODEC(ZSTD(1)),
    flags UInt32 CODEC(ZSTD(1)),
    block_id UInt64 CODEC(Delta(8), ZSTD(1)),
    INDEX ix_block block_id TYPE minmax GRANULARITY 4
)
ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (tenant_id, metric_name, series_id, time)
TTL toDateTime(time) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- Histograms (type 3), exponential histograms (4) and summaries (5).
-- has: bit 0 = sum, bit 1 = min, bit 2 = max was present.
CREATE TABLE IF NOT EXISTS otel_metric_histograms
(
    tenant_id LowCardinality(String),
    metric_name LowCardinality(String),
    series_id UInt64 CODEC(Delta(8), ZSTD(1)),
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    start_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    type UInt8 CODEC(ZSTD(1)),
    flags UInt32 CODEC(ZSTD(1)),
    has UInt8 CODEC(ZSTD(1)),
    count UInt64 CODEC(ZSTD(1)),
    sum Float64 CODEC(ZSTD(1)),
    min Float64 CODEC(ZSTD(1)),
    max Float64 CODEC(ZSTD(1)),
    explicit_bounds Array(Float64) CODEC(ZSTD(1)),
    bucket_counts Array(UInt64) CODEC(ZSTD(1)),
    scale Int32 CODEC(ZSTD(1)),
    zero_count UInt64 CODEC(ZSTD(1)),
    zero_threshold Float64 CODEC(ZSTD(1)),
    positive_offset Int32 CODEC(ZSTD(1)),
    positive_counts Array(UInt64) CODEC(ZSTD(1)),
    negative_offset Int32 CODEC(ZSTD(1)),
    negative_counts Array(UInt64) CODEC(ZSTD(1)),
    quantiles Array(Float64) CODEC(ZSTD(1)),
    quantile_values Array(Float64) CODEC(ZSTD(1)),
    block_id UInt64 CODEC(Delta(8), ZSTD(1)),
    INDEX ix_block block_id TYPE minmax GRANULARITY 4
)
ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (tenant_id, metric_name, series_id, time)
TTL toDateTime(time) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- Exemplars of all points; point_time is the time of the point that carried it.
CREATE TABLE IF NOT EXISTS otel_metric_exemplars
(
    tenant_id LowCardinality(String),
    metric_name LowCardinality(String),
    series_id UInt64 CODEC(ZSTD(1)),
    point_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    value Float64 CODEC(ZSTD(1)),
    value_type UInt8 CODEC(ZSTD(1)),
    int_value Int64 CODEC(ZSTD(1)),
    trace_id FixedString(16) CODEC(ZSTD(1)),
    span_id FixedString(8) CODEC(ZSTD(1)),
    attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    attribute_types LowCardinality(String) CODEC(ZSTD(1)),
    block_id UInt64 CODEC(Delta(8), ZSTD(1)),
    INDEX ix_trace_id trace_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_block block_id TYPE minmax GRANULARITY 4
)
ENGINE = MergeTree
PARTITION BY toDate(point_time)
ORDER BY (tenant_id, metric_name, series_id, point_time)
TTL toDateTime(point_time) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- Rollups of gauges and sums. first_/last_: value and time of the first and last point in the interval.
CREATE TABLE IF NOT EXISTS otel_metrics_5m
(
    tenant_id LowCardinality(String),
    metric_name LowCardinality(String),
    series_id UInt64 CODEC(Delta(8), ZSTD(1)),
    time DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    count SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    sum SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    min SimpleAggregateFunction(min, Float64) CODEC(ZSTD(1)),
    max SimpleAggregateFunction(max, Float64) CODEC(ZSTD(1)),
    first AggregateFunction(argMin, Float64, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    last AggregateFunction(argMax, Float64, DateTime64(9, 'UTC')) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(time)
ORDER BY (tenant_id, metric_name, series_id, time)
TTL time + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS otel_metrics_5m_mv TO otel_metrics_5m AS
SELECT
    tenant_id,
    metric_name,
    series_id,
    toStartOfFiveMinutes(otel_metrics.time) AS time,
    count() AS count,
    sum(value) AS sum,
    min(value) AS min,
    max(value) AS max,
    argMinState(value, otel_metrics.time) AS first,
    argMaxState(value, otel_metrics.time) AS last
FROM otel_metrics
WHERE value_type != 0
GROUP BY tenant_id, metric_name, series_id, time;

CREATE TABLE IF NOT EXISTS otel_metrics_1h
(
    tenant_id LowCardinality(String),
    metric_name LowCardinality(String),
    series_id UInt64 CODEC(Delta(8), ZSTD(1)),
    time DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    count SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    sum SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    min SimpleAggregateFunction(min, Float64) CODEC(ZSTD(1)),
    max SimpleAggregateFunction(max, Float64) CODEC(ZSTD(1)),
    first AggregateFunction(argMin, Float64, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    last AggregateFunction(argMax, Float64, DateTime64(9, 'UTC')) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (tenant_id, metric_name, series_id, time)
TTL time + INTERVAL 1 YEAR
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- Fed from the 5-minute rows of each insert, which are fewer than the points.
CREATE MATERIALIZED VIEW IF NOT EXISTS otel_metrics_1h_mv TO otel_metrics_1h AS
SELECT
    tenant_id,
    metric_name,
    series_id,
    toStartOfHour(otel_metrics_5m.time) AS time,
    sum(otel_metrics_5m.count) AS count,
    sum(otel_metrics_5m.sum) AS sum,
    min(otel_metrics_5m.min) AS min,
    max(otel_metrics_5m.max) AS max,
    argMinMergeState(otel_metrics_5m.first) AS first,
    argMaxMergeState(otel_metrics_5m.last) AS last
FROM otel_metrics_5m
GROUP BY tenant_id, metric_name, series_id, time;
