/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/tbl/metrics.h - the product's metrics, once. Columns: see include/ox/metric.h.
 */
/* clang-format off */
OX_METRIC(ingest_received,      counter,   none,    "tenant,type",        "observex_ingest_signals_received_total", "Records received, before any check.")
OX_METRIC(ingest_dropped,       counter,   none,    "tenant,type,reason", "observex_ingest_signals_dropped_total",  "Records that do not reach storage, by reason.")
OX_METRIC(ingest_queue_depth,   gauge,     none,    "",                   "observex_ingest_pipeline_queue_depth",   "Records in flight in the gateway.")
OX_METRIC(wal_write,            histogram, seconds, "",                   "observex_wal_write_seconds",             "Append and fdatasync of one group commit.")
OX_METRIC(clickhouse_inflight,  gauge,     none,    "",                   "observex_clickhouse_inflight_batches",   "Blocks sent to storage and not yet confirmed.")
/* clang-format on */
