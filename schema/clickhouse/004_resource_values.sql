-- Tags are looked for in the attributes of the record and of its resource. Without an index over the latter no granule
-- can be left out, however rare the value; with both, the two are combined. A resource has few values for many rows, so
-- the index is small: some 3 % of the one over the record's own attributes. Parts written before get it when they merge.

ALTER TABLE otel_traces ADD INDEX IF NOT EXISTS ix_resource_values mapValues(resource_attributes) TYPE bloom_filter(0.01) GRANULARITY 1;

ALTER TABLE otel_logs ADD INDEX IF NOT EXISTS ix_resource_values mapValues(resource_attributes) TYPE bloom_filter(0.01) GRANULARITY 1;
