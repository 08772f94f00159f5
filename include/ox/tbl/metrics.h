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
OX_METRIC(ingest_accepted,      counter,   none,    "tenant,type",        "observex_ingest_signals_acknowledged_total", "Records acknowledged as durable.")
OX_METRIC(ingest_duplicate,     counter,   none,    "tenant,type",        "observex_ingest_signals_duplicate_total", "Records of repeated requests, stored once.")
OX_METRIC(ingest_set_aside,     counter,   none,    "tenant,type",        "observex_ingest_signals_set_aside_total",  "Acknowledged records kept in DIR/set-aside because they crashed the node again and again.")
OX_METRIC(ingest_stored,        counter,   none,    "type",               "observex_ingest_signals_stored_total",   "Records whose block is confirmed by storage.")
OX_METRIC(ingest_requests,      counter,   none,    "protocol,type,status", "observex_ingest_requests_total",       "Ingest requests answered, by HTTP or gRPC status.")
OX_METRIC(ingest_request_time,  histogram, seconds, "protocol",           "observex_ingest_request_seconds",        "From the complete headers of a request to its answer.")
OX_METRIC(ingest_connections,   gauge,     none,    "",                   "observex_ingest_connections",            "Open connections of the ingest ports.")
OX_METRIC(ingest_body_bytes,    gauge,     bytes,   "",                   "observex_ingest_body_bytes",             "Request bytes held in memory.")
OX_METRIC(wal_bytes,            gauge,     bytes,   "",                   "observex_wal_bytes",                     "Bytes of the write-ahead log on disk.")
OX_METRIC(wal_segments,         gauge,     none,    "",                   "observex_wal_segments",                  "Segments of the write-ahead log.")
OX_METRIC(outbox_bytes,         gauge,     bytes,   "",                   "observex_outbox_bytes",                  "Bytes of the outbox on disk.")
OX_METRIC(outbox_write,         histogram, seconds, "",                   "observex_outbox_write_seconds",          "Append and fdatasync of one group of blocks.")
OX_METRIC(outbox_blocks,        gauge,     none,    "",                   "observex_outbox_blocks",                 "Blocks that storage has not confirmed yet.")
OX_METRIC(outbox_refused,       counter,   none,    "",                   "observex_outbox_refused_blocks_total",   "Blocks that storage refused for their content; they are kept below dlq/blocks.")
OX_METRIC(storage_insert,       histogram, seconds, "table",              "observex_storage_insert_seconds",        "Time of one insert.")
OX_METRIC(storage_insert_failed, counter,  none,    "table,error",        "observex_storage_insert_failures_total", "Inserts that failed and are tried again.")
OX_METRIC(storage_block_rows,   histogram, none,    "table",              "observex_storage_block_rows",            "Rows of a block as inserted.")
OX_METRIC(storage_up,           gauge,     none,    "",                   "observex_storage_up",                    "1 while the last call to storage succeeded.")
/* clang-format on */
