-- Which attributes of a resource identify which entity (EntityRef of OTLP): a JSON list of {"schema_url", "type",
-- "id_keys", "description_keys"}, empty where the resource names none. Parts written before read as empty.

ALTER TABLE otel_traces ADD COLUMN IF NOT EXISTS resource_entity_refs LowCardinality(String) CODEC(ZSTD(1)) AFTER resource_schema_url;

ALTER TABLE otel_logs ADD COLUMN IF NOT EXISTS resource_entity_refs LowCardinality(String) CODEC(ZSTD(1)) AFTER resource_schema_url;

ALTER TABLE otel_metric_series ADD COLUMN IF NOT EXISTS resource_entity_refs LowCardinality(String) CODEC(ZSTD(1)) AFTER resource_schema_url;
