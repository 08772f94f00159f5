-- SPDX-License-Identifier: Apache-2.0
-- Rate, errors and duration of every operation, counted by the writer over all spans of a block, also over those that sampling
-- will drop. Written in the same outbox entry as the spans, so a crash neither loses nor doubles a count.
-- A row counts the calls of one minute (of their start) in one block; buckets as in include/ox/exphist.h.
CREATE TABLE IF NOT EXISTS otel_span_stats
(
    tenant_id LowCardinality(String),
    service_name LowCardinality(String),
    name LowCardinality(String),
    kind UInt8,
    status_code UInt8,
    time DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    calls UInt64 CODEC(T64, ZSTD(1)),
    duration_sum_ns UInt64 CODEC(T64, ZSTD(1)),
    duration_min_ns UInt64 CODEC(T64, ZSTD(1)),
    duration_max_ns UInt64 CODEC(T64, ZSTD(1)),
    -- of the longest of these calls
    slowest_trace_id FixedString(16) CODEC(ZSTD(1)),
    `buckets.index` Array(Int16) CODEC(ZSTD(1)),
    `buckets.count` Array(UInt64) CODEC(T64, ZSTD(1)),
    block_id UInt64 CODEC(Delta(8), ZSTD(1)),
    INDEX ix_block block_id TYPE minmax GRANULARITY 4
)
ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (tenant_id, service_name, time, name, kind, status_code)
TTL time + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS otel_span_stats_1m
(
    tenant_id LowCardinality(String),
    service_name LowCardinality(String),
    name LowCardinality(String),
    kind UInt8,
    status_code UInt8,
    time DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    calls SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    duration_sum_ns SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    duration_min_ns SimpleAggregateFunction(min, UInt64) CODEC(ZSTD(1)),
    duration_max_ns SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    -- duration and trace of the longest call
    slowest SimpleAggregateFunction(max, Tuple(UInt64, FixedString(16))) CODEC(ZSTD(1)),
    duration_buckets SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(time)
ORDER BY (tenant_id, service_name, time, name, kind, status_code)
TTL time + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS otel_span_stats_1m_mv TO otel_span_stats_1m AS
SELECT
    tenant_id,
    service_name,
    name,
    kind,
    status_code,
    time,
    sum(otel_span_stats.calls) AS calls,
    sum(otel_span_stats.duration_sum_ns) AS duration_sum_ns,
    min(otel_span_stats.duration_min_ns) AS duration_min_ns,
    max(otel_span_stats.duration_max_ns) AS duration_max_ns,
    max(tuple(otel_span_stats.duration_max_ns, slowest_trace_id)) AS slowest,
    sumMap(mapFromArrays(`buckets.index`, `buckets.count`)) AS duration_buckets
FROM otel_span_stats
GROUP BY tenant_id, service_name, name, kind, status_code, time;

CREATE MATERIALIZED VIEW IF NOT EXISTS otel_span_stats_1h_mv TO otel_span_stats_1h AS
SELECT
    tenant_id,
    service_name,
    name,
    kind,
    toStartOfHour(otel_span_stats.time) AS time,
    sum(otel_span_stats.calls) AS calls,
    sumIf(otel_span_stats.calls, status_code = 2) AS errors,
    sum(otel_span_stats.duration_sum_ns) AS duration_sum_ns,
    min(otel_span_stats.duration_min_ns) AS duration_min_ns,
    max(otel_span_stats.duration_max_ns) AS duration_max_ns,
    sumMap(mapFromArrays(`buckets.index`, `buckets.count`)) AS duration_buckets
FROM otel_span_stats
GROUP BY tenant_id, service_name, name, kind, time;
