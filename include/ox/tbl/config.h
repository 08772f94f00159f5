/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/tbl/config.h - every key of the configuration, once.
 *
 * OX_CONFIG(id, key, type, default, min, max, unit, alias, effect, text)
 *   id       field of struct ox_config; ends in _ms for durations and _bytes for sizes
 *   key      "section.name" in the file; OBSERVE_X_SECTION_NAME; --section-name
 *   type     string int bytes duration bool enum address (ox/config_table.h)
 *   default, min, max   in the notation of the file; "" = no bound. Of strings: bounds of the length.
 *   unit     for people; of an enum its choices
 *   alias    a second, shorter flag, and a second variable of that name; NULL = none
 *   effect   when a change takes effect (docs/operations.md, "Changing the configuration"):
 *            live     at the next reload, without a restart
 *            engine   at the next reload, by a restart of the embedded engine alone
 *            restart  when the whole is started again
 */
/* clang-format off */
OX_CONFIG(mode,                       "mode",                       enum,     "development", "", "", "development|production", NULL, restart,
          "development: requests from this machine need no key and belong to tenant `default`; production: every request needs a key")
OX_CONFIG(data,                       "data",                       string,   "./observex-data", "1", "90", "path", NULL, restart,
          "directory of everything that is stored; one running ObserveX per directory. Short, because it holds a Unix socket")
OX_CONFIG(ready_file,                 "ready_file",                 string,   "", "", "", "path", NULL, restart,
          "written as JSON once traffic is accepted, rewritten when a process was restarted; empty = none")
OX_CONFIG(libchdb,                    "libchdb",                    string,   "", "", "", "path", NULL, restart,
          "libchdb.so of the embedded engine; empty = where `make setup` puts it")

OX_CONFIG(listen_otlp_grpc,           "listen.otlp_grpc",           address,  "127.0.0.1:4317", "", "", "host:port", "otlp-grpc", restart,
          "OTLP over gRPC; 0.0.0.0 listens on every address; port 0 picks a free one")
OX_CONFIG(listen_otlp_http,           "listen.otlp_http",           address,  "127.0.0.1:4318", "", "", "host:port", "otlp-http", restart,
          "OTLP over HTTP, protobuf and JSON")
OX_CONFIG(listen_api,                 "listen.api",                 address,  "127.0.0.1:8080", "", "", "host:port", "api", restart,
          "queries, console, /health, /ready and /metrics")
OX_CONFIG(listen_debug,               "listen.debug",               address,  "127.0.0.1:6066", "", "", "host:port", "debug", restart,
          "internals of the running node; never expose it beyond this machine")
OX_CONFIG(listen_hosts,               "listen.hosts",               string,   "", "", "", "names", NULL, restart,
          "in development mode: further names of this machine, with commas between them, under which a browser on it may ask without a key; localhost, loopback addresses and the listen addresses are always among them")

OX_CONFIG(tls_cert_file,              "tls.cert_file",              string,   "", "", "", "path", NULL, live,
          "certificate of the OTLP and API ports, PEM, with those between it and the root; empty = no TLS. The files are read again when they change; TLS as such is switched on and off by a restart")
OX_CONFIG(tls_key_file,               "tls.key_file",               string,   "", "", "", "path", NULL, live,
          "its private key, PEM")
OX_CONFIG(tls_ca_file,                "tls.ca_file",                string,   "", "", "", "path", NULL, live,
          "authorities of client certificates, PEM; empty = clients are not asked for any")
OX_CONFIG(tls_client_certificate,     "tls.client_certificate",     enum,     "required", "", "", "required|optional", NULL, live,
          "with tls.ca_file: whether a client may do without a certificate; a bad one is refused in any case")
OX_CONFIG(tls_clients_file,           "tls.clients_file",           string,   "", "", "", "path", NULL, live,
          "whose a client certificate is: lines of NAME TENANT ROLE SCOPES, such as `uri:spiffe://prod/acme acme viewer ingest,query` (docs/security.md)")
OX_CONFIG(tls_min_version,            "tls.min_version",            enum,     "1.2", "", "", "1.2|1.3", NULL, live,
          "oldest version of TLS that is spoken")
OX_CONFIG(tls_handshake_timeout_ms,   "tls.handshake_timeout",      duration, "10s", "100ms", "1m", "ms", NULL, live,
          "how long a handshake may take")
OX_CONFIG(tls_plaintext,              "tls.plaintext",              bool,     "false", "", "", "", NULL, restart,
          "in production mode: listen beyond this machine without TLS, because a proxy in front ends it")

OX_CONFIG(log_level,                  "log.level",                  enum,     "info", "", "", "debug|info|warn|error", NULL, live,
          "the least severe line that is logged")

OX_CONFIG(runtime_schedulers,         "runtime.schedulers",         int,      "0", "0", "256", "threads", NULL, restart,
          "scheduler threads, each with an event loop of its own; 0 = one per core")
OX_CONFIG(runtime_dirty_threads,      "runtime.dirty_threads",      int,      "16", "2", "256", "threads", NULL, restart,
          "threads for work that blocks: storage calls, queries, file flushes")
OX_CONFIG(runtime_dirty_queue,        "runtime.dirty_queue",        int,      "1024", "16", "65536", "jobs", NULL, restart,
          "blocking jobs that may wait for a thread; beyond it the job is refused")
OX_CONFIG(runtime_actors_max,         "runtime.actors_max",         int,      "65536", "256", "16777216", "actors", NULL, restart,
          "actors that may live at the same time; raised to what tenant.max needs")
OX_CONFIG(runtime_mailbox_messages,   "runtime.mailbox_messages",   int,      "4096", "16", "1048576", "messages", NULL, restart,
          "messages that wait in one mailbox; beyond it senders are refused")
OX_CONFIG(runtime_turn_warn_ms,       "runtime.turn_warn",          duration, "100ms", "1ms", "1m", "ms", NULL, live,
          "a turn of an actor longer than this is logged with a backtrace")
OX_CONFIG(runtime_turn_fault_ms,      "runtime.turn_fault",         duration, "1s", "10ms", "10m", "ms", NULL, live,
          "a turn of an actor longer than this is logged as an error; one that uses so much processor time never ends: the node writes its crash record and restarts")
OX_CONFIG(runtime_turn_hung_ms,       "runtime.turn_hung",          duration, "10s", "0", "1h", "ms", NULL, restart,
          "a turn of an actor longer than this never ends, whatever it waits for: the node writes its crash record and restarts; 0 = it may wait for ever")

OX_CONFIG(supervisor_max_restarts,    "supervisor.max_restarts",    int,      "5", "1", "64", "restarts", NULL, restart,
          "restarts of one child within the window before it is quarantined")
OX_CONFIG(supervisor_restart_window_ms, "supervisor.restart_window", duration, "60s", "1s", "24h", "ms", NULL, restart,
          "the window in which restarts are counted")
OX_CONFIG(supervisor_backoff_min_ms,  "supervisor.backoff_min",     duration, "100ms", "1ms", "1h", "ms", NULL, restart,
          "wait before the first restart; doubles with each further one")
OX_CONFIG(supervisor_backoff_max_ms,  "supervisor.backoff_max",     duration, "30s", "1ms", "1h", "ms", NULL, restart,
          "the longest wait before a restart")
OX_CONFIG(supervisor_shutdown_ms,     "supervisor.shutdown",        duration, "5s", "10ms", "10m", "ms", NULL, restart,
          "how long a child may take to end in good order")

OX_CONFIG(heart_drain_ms,             "heart.drain",                duration, "20s", "0", "10m", "ms", NULL, live,
          "how long the node may take to finish what it accepted when it is asked to stop")
OX_CONFIG(heart_engine_stop_ms,       "heart.engine_stop",          duration, "20s", "0", "10m", "ms", NULL, engine,
          "how long the engine may take to finish running inserts when it is asked to stop")
OX_CONFIG(heart_start_ms,             "heart.start",                duration, "2m", "1s", "1h", "ms", NULL, live,
          "how long a child may take to become ready; replaying a long journal takes time")
OX_CONFIG(heart_max_restarts,         "heart.max_restarts",         int,      "10", "0", "1000", "restarts", NULL, live,
          "failed starts of node or engine in a row before the whole gives up with exit code 70; an engine that ran before is never given up")
OX_CONFIG(heart_quiet_ms,             "heart.quiet",                duration, "2s", "100ms", "1h", "ms", NULL, live,
          "a child that stayed ready for so long did not fail: its count and its wait start anew")
OX_CONFIG(heart_backoff_min_ms,       "heart.backoff_min",          duration, "100ms", "10ms", "1h", "ms", NULL, live,
          "wait before node or engine is started again; doubles with each failed start")
OX_CONFIG(heart_backoff_max_ms,       "heart.backoff_max",          duration, "30s", "10ms", "1h", "ms", NULL, live,
          "the longest wait before node or engine is started again")
OX_CONFIG(heart_disk_warn_bytes,      "heart.disk_warn",            bytes,    "1GiB", "0", "", "bytes", NULL, restart,
          "free space on the data disk below which the start warns")
OX_CONFIG(heart_disk_min_bytes,       "heart.disk_min",             bytes,    "100MiB", "0", "", "bytes", NULL, restart,
          "free space on the data disk below which the start is refused")

OX_CONFIG(storage_url,                "storage.url",                string,   "embedded", "1", "", "url", NULL, restart,
          "`embedded` starts the engine beside the node; unix:/path, http://host:8123 or https://host:8443 name a ClickHouse server")
OX_CONFIG(storage_database,           "storage.database",           string,   "observex", "1", "63", "name", NULL, restart,
          "ClickHouse database of all tables, on a server that is not embedded")
OX_CONFIG(storage_user,               "storage.user",               string,   "default", "1", "255", "name", NULL, restart,
          "ClickHouse user, for a server that is not embedded")
OX_CONFIG(storage_password_file,      "storage.password_file",      string,   "", "", "", "path", NULL, restart,
          "file whose first line is the password of storage.user; empty = no password")
OX_CONFIG(storage_ca_file,            "storage.ca_file",            string,   "", "", "", "path", NULL, restart,
          "certificates to trust at https://; empty = the system's")
OX_CONFIG(storage_connect_timeout_ms, "storage.connect_timeout",    duration, "5s", "10ms", "5m", "ms", NULL, restart,
          "how long connecting to storage may take")
OX_CONFIG(storage_insert_timeout_ms,  "storage.insert_timeout",     duration, "2m", "1s", "1h", "ms", NULL, live,
          "how long one insert may take before it is tried again")

OX_CONFIG(storage_prune_above,        "storage.prune_above",        int,      "0", "0", "95", "percent", NULL, live,
          "when the data disk is fuller than this, the oldest hours and days of stored data are removed until it is five points below; 0 = never. Embedded engine only")
OX_CONFIG(storage_prune_min_age_ms,   "storage.prune_min_age",      duration, "24h", "1h", "8760h", "ms", NULL, live,
          "what is younger is never removed to make room")
OX_CONFIG(storage_prune_system_above, "storage.prune_system_above", int,      "75", "0", "95", "percent", NULL, live,
          "when the data disk is fuller than this, the logs that ClickHouse keeps of itself (system.*_log) are emptied; 0 = never. Embedded engine only")

OX_CONFIG(storage_breaker_failures,   "storage.breaker_failures",   int,      "5", "1", "1000", "calls", NULL, restart,
          "calls in a row that storage does not answer before its circuit breaker opens: questions then get 503 at once, inserts wait")
OX_CONFIG(storage_breaker_calls,      "storage.breaker_calls",      int,      "20", "2", "100000", "calls", NULL, restart,
          "calls within storage.breaker_window from which on the breaker also opens when half of them fail")
OX_CONFIG(storage_breaker_window_ms,  "storage.breaker_window",     duration, "30s", "1s", "1h", "ms", NULL, restart,
          "the window in which the breaker counts calls")
OX_CONFIG(storage_breaker_wait_ms,    "storage.breaker_wait",       duration, "30s", "500ms", "10m", "ms", NULL, restart,
          "the longest wait of the open breaker before the next probe; the first is 500ms and each failed probe doubles it")

OX_CONFIG(engine_memory_bytes,        "engine.memory",              bytes,    "1GiB", "350MiB", "", "bytes", NULL, engine,
          "memory limit of the embedded engine; its resident size may pass it by some 250 MiB")
OX_CONFIG(engine_concurrency,         "engine.concurrency",         int,      "16", "2", "256", "statements", NULL, engine,
          "statements that the embedded engine runs at once; some of them are kept for inserts")

OX_CONFIG(gateway_body_bytes_max,     "gateway.body_max",           bytes,    "10MiB", "64KiB", "1GiB", "bytes", NULL, live,
          "largest request body, before and after decompression")
OX_CONFIG(gateway_records_max,        "gateway.records_in_flight",  int,      "65536", "1024", "16777216", "records", NULL, live,
          "records that are accepted and not yet in a block, per node; one tenant may hold half of them; one request may overshoot")
OX_CONFIG(gateway_memory_bytes,       "gateway.memory",             bytes,    "32MiB", "16MiB", "64GiB", "bytes", NULL, live,
          "bytes of request bodies held in memory, per node; beyond it requests get 429")
OX_CONFIG(gateway_connections_max,    "gateway.connections",        int,      "10000", "16", "1000000", "connections", NULL, live,
          "open connections per node")
OX_CONFIG(gateway_connections_per_address, "gateway.connections_per_address", int, "1000", "1", "1000000", "connections", NULL, live,
          "open connections from one address; this machine itself is not bounded by it")
OX_CONFIG(gateway_streams_max,        "gateway.streams",            int,      "256", "1", "65536", "streams", NULL, live,
          "concurrent HTTP/2 streams on one connection")
OX_CONFIG(gateway_header_bytes_max,   "gateway.header_max",         bytes,    "32KiB", "4KiB", "64KiB", "bytes", NULL, live,
          "bytes of the headers of one request")
OX_CONFIG(gateway_headers_max,        "gateway.headers",            int,      "100", "16", "1000", "headers", NULL, live,
          "headers of one request")
OX_CONFIG(gateway_idle_timeout_ms,    "gateway.idle_timeout",       duration, "60s", "1s", "24h", "ms", NULL, live,
          "a connection without a request for so long is closed")
OX_CONFIG(gateway_header_timeout_ms,  "gateway.header_timeout",     duration, "10s", "100ms", "10m", "ms", NULL, live,
          "how long the headers of a request may take to arrive")
OX_CONFIG(gateway_body_timeout_ms,    "gateway.body_timeout",       duration, "30s", "100ms", "1h", "ms", NULL, live,
          "how long the body of a request may take to arrive")
OX_CONFIG(gateway_retry_after_ms,     "gateway.retry_after",        duration, "1s", "1s", "1h", "ms", NULL, live,
          "the hint given with 429 and RESOURCE_EXHAUSTED, in whole seconds")
OX_CONFIG(gateway_duplicate_window_ms, "gateway.duplicate_window",  duration, "60s", "0", "1h", "ms", NULL, live,
          "how long an identical request of the same tenant is recognised as a retry; 0 = never")

OX_CONFIG(decode_depth_max,           "decode.depth",               int,      "32", "4", "64", "levels", NULL, live,
          "nesting of an attribute value or log body")
OX_CONFIG(decode_attributes_max,      "decode.attributes",          int,      "1024", "16", "65536", "attributes", NULL, live,
          "attributes of one record, resource or scope")
OX_CONFIG(decode_key_bytes_max,       "decode.key_bytes",           bytes,    "4KiB", "64", "64KiB", "bytes", NULL, live,
          "length of an attribute's key")
OX_CONFIG(decode_value_bytes_max,     "decode.value_bytes",         bytes,    "1MiB", "1KiB", "64MiB", "bytes", NULL, live,
          "length of an attribute's value or of a log body")
OX_CONFIG(decode_events_max,          "decode.events",              int,      "4096", "16", "65536", "events", NULL, live,
          "events, and likewise links, of one span")
OX_CONFIG(decode_records_max,         "decode.records",             int,      "262144", "1024", "16777216", "records", NULL, live,
          "records of one request")

OX_CONFIG(validate_past_ms,           "validate.past",              duration, "24h", "1m", "3650d", "ms", NULL, live,
          "how old a record may be when it arrives")
OX_CONFIG(validate_future_ms,         "validate.future",            duration, "1h", "0", "3650d", "ms", NULL, live,
          "how far in the future a record may lie when it arrives")

OX_CONFIG(wal_segment_bytes,          "wal.segment_bytes",          bytes,    "64MiB", "1MiB", "4GiB", "bytes", NULL, restart,
          "size of one file of the write-ahead log")
OX_CONFIG(wal_commit_interval_ms,     "wal.commit_interval",        duration, "0", "0", "5ms", "ms", NULL, live,
          "how long requests gather before a commit starts; 0 = those that come while one runs form the next")
OX_CONFIG(wal_ack,                    "wal.ack",                    enum,     "durable", "", "", "durable|interval", NULL, live,
          "durable: answer after the flush to disk; interval: answer at once and flush behind, so a power loss may lose what was acknowledged")
OX_CONFIG(wal_total_bytes,            "wal.total_bytes",            bytes,    "8GiB", "128MiB", "", "bytes", NULL, live,
          "size of the whole write-ahead log; above 80 % warns, above 95 % refuses with 429")
OX_CONFIG(wal_disk_reserve_bytes,     "wal.disk_reserve",           bytes,    "256MiB", "0", "1TiB", "bytes", NULL, live,
          "free space that new requests must leave on the data disk, so that what was acknowledged can go on to storage; below it they get 429")

OX_CONFIG(outbox_segment_bytes,       "outbox.segment_bytes",       bytes,    "64MiB", "1MiB", "4GiB", "bytes", NULL, restart,
          "size of one file of the outbox")
OX_CONFIG(outbox_total_bytes,         "outbox.total_bytes",         bytes,    "8GiB", "128MiB", "", "bytes", NULL, live,
          "size of the whole outbox; above 80 % warns, above 95 % the writers wait")

OX_CONFIG(tenant_max,                 "tenant.max",                 int,      "10000", "1", "1000000", "tenants", NULL, restart,
          "tenants of one node that may be active at the same time")
OX_CONFIG(tenant_weights,             "tenant.weights",             string,   "", "", "", "name=weight, ...", NULL, live,
          "parts that tenants have of schedulers, log, writers and threads while others want them too, from 1 to 100: `acme=3, globex=2`; who is not named has 1")
OX_CONFIG(tenant_backlog_bytes,       "tenant.backlog_bytes",       bytes,    "1GiB", "1MiB", "", "bytes", NULL, restart,
          "what is kept of a tenant that is quarantined or too slow, until it can go on; beyond it its requests get 429")

OX_CONFIG(spill_total_bytes,          "spill.total_bytes",          bytes,    "4GiB", "1MiB", "", "bytes", NULL, restart,
          "size of the backlogs of all tenants; beyond it requests of tenants with a backlog get 429")
OX_CONFIG(spill_open_journals,        "spill.open_journals",        int,      "1024", "1", "65536", "journals", NULL, restart,
          "backlogs whose journals are open at the same time, some 60 KiB each; of more tenants they are closed and opened again by turns, each time reading what is in it")
OX_CONFIG(spill_nats_url,             "spill.nats_url",             string,   "", "", "255", "url", NULL, restart,
          "NATS server with JetStream that holds the bytes of the backlogs, nats://host:4222 or tls://host:4222; empty = they stay on the data disk")
OX_CONFIG(spill_nats_credentials,     "spill.nats_credentials",     string,   "", "", "255", "path", NULL, restart,
          "credentials file of that server; empty = none")
OX_CONFIG(spill_nats_ca_file,         "spill.nats_ca_file",         string,   "", "", "255", "path", NULL, restart,
          "certificates to trust at tls://; empty = the system's")
OX_CONFIG(spill_nats_cert_file,       "spill.nats_cert_file",       string,   "", "", "255", "path", NULL, restart,
          "our own certificate, for a server that asks for one, with its key in the same file; empty = none")
OX_CONFIG(spill_nats_bytes,           "spill.nats_bytes",           bytes,    "1GiB", "1MiB", "", "bytes", NULL, restart,
          "largest size of this node's stream there; when it is full, backlogs grow on the data disk")
OX_CONFIG(spill_nats_replicas,        "spill.nats_replicas",        int,      "1", "1", "5", "servers", NULL, restart,
          "servers of the cluster that hold the stream, when this node makes it")
OX_CONFIG(spill_nats_timeout_ms,      "spill.nats_timeout",         duration, "2s", "10ms", "1m", "ms", NULL, restart,
          "how long that server may take for one answer; a slower one is left alone for some seconds")
OX_CONFIG(spill_nats_job_time_ms,     "spill.nats_job_time",        duration, "200ms", "10ms", "1m", "ms", NULL, restart,
          "how long one batch of a tenant's backlog may wait for that server to take it; what is left goes to the data disk, and after three such batches the server is left alone for some seconds")

OX_CONFIG(writer_block_rows,          "writer.block_rows",          int,      "100000", "1", "1000000", "rows", NULL, live,
          "rows at which a block is finished")
OX_CONFIG(writer_block_bytes,         "writer.block_bytes",         bytes,    "32MiB", "64KiB", "200MiB", "bytes", NULL, live,
          "uncompressed bytes at which a block is finished; ClickHouse splits larger ones")
OX_CONFIG(writer_flush_ms,            "writer.flush",               duration, "500ms", "10ms", "1m", "ms", NULL, live,
          "age at which a block is finished however small it is")
OX_CONFIG(writer_blocks_in_flight,    "writer.blocks_in_flight",    int,      "4", "1", "64", "blocks", NULL, live,
          "blocks per table that are sent and not yet confirmed")
OX_CONFIG(writer_partitions_max,      "writer.partitions",          int,      "32", "2", "1024", "partitions", NULL, restart,
          "partitions per table for which a block is open at once; the fullest is finished early beyond it")
OX_CONFIG(writer_compression_level,   "writer.compression_level",   int,      "-3", "-7", "19", "level", NULL, live,
          "zstd level of blocks in the outbox and on their way to storage; below 0 = faster, 0 = uncompressed")
OX_CONFIG(writer_series_cache,        "writer.series_cache",        int,      "1000000", "1024", "100000000", "series", NULL, restart,
          "metric series that a writer remembers as already written today")

OX_CONFIG(dlq_file_bytes,             "dlq.file_bytes",             bytes,    "100MB", "1MB", "", "bytes", NULL, live,
          "size at which a dead-letter file is rotated")
OX_CONFIG(dlq_keep_ms,                "dlq.keep",                   duration, "7d", "1h", "3650d", "ms", NULL, live,
          "how long dead letters are kept; a seventh longer at most, since whole files go")
OX_CONFIG(dlq_total_bytes,            "dlq.total_bytes",            bytes,    "1GiB", "10MB", "", "bytes", NULL, live,
          "size of all dead-letter files; beyond it the oldest go early")

OX_CONFIG(query_timeout_ms,           "query.timeout",              duration, "30s", "100ms", "1h", "ms", NULL, live,
          "how long one query may run")
OX_CONFIG(query_rows_max,             "query.rows",                 int,      "2000000000", "1000", "", "rows", NULL, live,
          "rows that one query may read")
OX_CONFIG(query_bytes_max,            "query.bytes",                bytes,    "200GB", "1MB", "", "bytes", NULL, live,
          "bytes that one query may read")
OX_CONFIG(query_memory_bytes,         "query.memory",               bytes,    "512MiB", "16MiB", "", "bytes", NULL, live,
          "memory that one query may use in the engine")
OX_CONFIG(query_result_bytes_max,     "query.result_bytes",         bytes,    "32MiB", "64KiB", "1GiB", "bytes", NULL, live,
          "size of one answer")
OX_CONFIG(query_concurrency,          "query.concurrency",          int,      "8", "1", "256", "queries", NULL, restart,
          "queries of one node that run at the same time; further ones get 429")
OX_CONFIG(query_tenant_concurrency,   "query.tenant_concurrency",   int,      "4", "1", "256", "queries", NULL, live,
          "queries of one tenant that run at the same time; further ones wait")
OX_CONFIG(query_tenant_waiting,       "query.tenant_waiting",       int,      "32", "1", "4096", "queries", NULL, live,
          "queries of one tenant that wait; further ones get 429")
OX_CONFIG(query_wait_ms,              "query.wait",                 duration, "10s", "1ms", "10m", "ms", NULL, live,
          "how long a query waits for others of its tenant; then it gets 429")
OX_CONFIG(query_limit_default,        "query.limit_default",        int,      "100", "1", "10000", "results", NULL, live,
          "results of a search that names no limit")
OX_CONFIG(query_traces_limit_max,     "query.traces_limit",         int,      "1000", "1", "10000", "traces", NULL, live,
          "largest limit of a search for traces")
OX_CONFIG(query_logs_limit_max,       "query.logs_limit",           int,      "10000", "1", "100000", "logs", NULL, live,
          "largest limit of a search for logs")

OX_CONFIG(quota_traces_records,       "quota.traces_records",       int,      "0", "0", "1000000000000", "records/s", NULL, live,
          "spans per second of one tenant, unless it has a quota of its own (observex quota); 0 = any number. Beyond it 429")
OX_CONFIG(quota_traces_bytes,         "quota.traces_bytes",         bytes,    "0", "0", "", "bytes/s", NULL, live,
          "bytes of spans per second of one tenant, uncompressed; 0 = any number")
OX_CONFIG(quota_logs_records,         "quota.logs_records",         int,      "0", "0", "1000000000000", "records/s", NULL, live,
          "log records per second of one tenant; 0 = any number")
OX_CONFIG(quota_logs_bytes,           "quota.logs_bytes",           bytes,    "0", "0", "", "bytes/s", NULL, live,
          "bytes of log records per second of one tenant, uncompressed; 0 = any number")
OX_CONFIG(quota_metrics_records,      "quota.metrics_records",      int,      "0", "0", "1000000000000", "records/s", NULL, live,
          "points per second of one tenant; 0 = any number")
OX_CONFIG(quota_metrics_bytes,        "quota.metrics_bytes",        bytes,    "0", "0", "", "bytes/s", NULL, live,
          "bytes of points per second of one tenant, uncompressed; 0 = any number")
OX_CONFIG(quota_burst_ms,             "quota.burst",                duration, "10s", "100ms", "1h", "ms", NULL, live,
          "how much of a rate may come at once: what it allows in this time")
OX_CONFIG(quota_warn,                 "quota.warn",                 int,      "80", "1", "100", "percent", NULL, live,
          "of a burst in use, from which on a sender is warned: a metric, a header, and once a minute a line in the log")
OX_CONFIG(quota_series,               "quota.series",               int,      "0", "0", "100000000", "series", NULL, live,
          "active metric series of one tenant within a day; new ones beyond it are refused, those that there are go on; 0 = any number")
OX_CONFIG(quota_label_values,         "quota.label_values",         int,      "0", "0", "100000000", "values", NULL, live,
          "distinct values of one attribute of one metric within a day; likewise")

OX_CONFIG(sampling_file,              "sampling.file",              string,   "", "", "", "path", NULL, live,
          "which traces are kept, per tenant (docs/sampling.md); empty = all of them. `observex sampling check FILE` says what is wrong with one; read again at each reload")

OX_CONFIG(sampling_spans_max,         "sampling.spans_max",         int,      "1048576", "1024", "1073741824", "spans", NULL, live,
          "spans of all tenants that wait for the rest of their trace, 64 bytes each: beyond it a tenant with a sixteenth of them decides what it knows, beyond twice as many every tenant does")

OX_CONFIG(redact_file,                "redact.file",                string,   "", "", "", "path", NULL, live,
          "attributes that are dropped or hashed before anything is stored: lines of SIGNALS TENANT ACTION PATTERN, such as `traces,logs * hash user.*` (docs/security.md); read again at each reload")
OX_CONFIG(redact_key_file,            "redact.key_file",            string,   "", "", "", "path", NULL, live,
          "file with 64 hex digits, the secret of those hashes, the same on all nodes whose hashes are to be equal; empty = DIR/redact.secret, made on first use")

OX_CONFIG(jwt_issuer,                 "jwt.issuer",                 string,   "", "", "", "text", NULL, live,
          "issuer (`iss`) whose tokens are taken as Authorization: Bearer on every port (docs/security.md, \"Tokens\"); empty = none")
OX_CONFIG(jwt_audience,               "jwt.audience",               string,   "", "", "", "text", NULL, live,
          "audience (`aud`) that a token must be for, such as https://observex.example")
OX_CONFIG(jwt_jwks_file,              "jwt.jwks_file",              string,   "", "", "", "path", NULL, live,
          "the issuer's public keys, a JWK set; read again at each reload")
OX_CONFIG(jwt_jwks_url,               "jwt.jwks_url",               string,   "", "", "", "url", NULL, live,
          "where the issuer shows them; instead of jwt.jwks_file")
OX_CONFIG(jwt_jwks_ca_file,           "jwt.jwks_ca_file",           string,   "", "", "", "path", NULL, live,
          "certificates to trust at jwt.jwks_url; empty = the system's")
OX_CONFIG(jwt_jwks_refresh_ms,        "jwt.jwks_refresh",           duration, "10m", "30s", "24h", "ms", NULL, live,
          "how often jwt.jwks_url is read; also when a token names a key that is not known, once in 30 s. While it does not answer, the keys that are known go on for a day")
OX_CONFIG(jwt_tenant_claim,           "jwt.tenant_claim",           string,   "tenant", "1", "200", "claim", NULL, live,
          "claim that names the tenant; a token without it gives no access. `a.b` is b within a")
OX_CONFIG(jwt_role_claim,             "jwt.role_claim",             string,   "role", "1", "200", "claim", NULL, live,
          "claim that names the role, or a list of which the highest counts; a token without it gives no access")
OX_CONFIG(jwt_roles,                  "jwt.roles",                  string,   "", "", "", "pairs", NULL, live,
          "what the issuer's words mean, such as `obs-admins=admin,developers=editor`; a word that is not there gives no role. Empty = they are the names of roles")
OX_CONFIG(jwt_scope_claim,            "jwt.scope_claim",            string,   "", "", "200", "claim", NULL, live,
          "claim that narrows what a token is for (ingest.traces, query, ...): a text with blanks between, or a list; a token without it is then for nothing. Empty = what its role usually has")
OX_CONFIG(jwt_leeway_ms,              "jwt.leeway",                 duration, "30s", "0", "10m", "ms", NULL, live,
          "how far the issuer's clock may be away from ours")
OX_CONFIG(jwt_max_age_ms,             "jwt.max_age",                duration, "24h", "0", "365d", "ms", NULL, live,
          "how old a token may be, since `iat`, which it must have then: so long one goes on that its issuer has taken back; 0 = `exp` alone counts")
OX_CONFIG(jwt_secret_file,            "jwt.secret_file",            string,   "", "", "", "path", NULL, live,
          "in development mode: file whose first line is the secret of tokens that are signed by HS256; empty = HS256 is refused")
OX_CONFIG(jwt_tokens_cached,          "jwt.tokens_cached",          int,      "10000", "64", "10000000", "tokens", NULL, restart,
          "tokens that were verified and are known until they end, some 300 bytes each")

OX_CONFIG(oidc_issuer,                "oidc.issuer",                string,   "", "", "", "url", NULL, restart,
          "OpenID provider through which users log in to the console (docs/security.md, \"Users\"); empty = none. jwt.tenant_claim, jwt.role_claim and jwt.roles say what its claims mean")
OX_CONFIG(oidc_client_id,             "oidc.client_id",             string,   "", "", "", "text", NULL, restart,
          "as which ObserveX is known there")
OX_CONFIG(oidc_client_secret_file,    "oidc.client_secret_file",    string,   "", "", "", "path", NULL, restart,
          "file whose first line is its secret; empty = it is a public client")
OX_CONFIG(oidc_redirect_uri,          "oidc.redirect_uri",          string,   "", "", "", "url", NULL, restart,
          "where the provider sends browsers back: https://NAME/api/v1/oidc/callback, as it is registered there")
OX_CONFIG(oidc_scopes,                "oidc.scopes",                string,   "openid profile email", "1", "200", "words", NULL, restart,
          "what is asked for; with openid")
OX_CONFIG(oidc_user_claim,            "oidc.user_claim",            string,   "email", "1", "200", "claim", NULL, restart,
          "claim that is the user's name here; a mail address counts where the provider says that it is verified (email_verified)")
OX_CONFIG(oidc_name,                  "oidc.name",                  string,   "single sign-on", "1", "60", "text", NULL, restart,
          "what the console calls it: Log in with ...")
OX_CONFIG(oidc_ca_file,               "oidc.ca_file",               string,   "", "", "", "path", NULL, restart,
          "certificates to trust at the provider; empty = the system's")
OX_CONFIG(session_idle_ms,            "session.idle",               duration, "2h", "5m", "30d", "ms", NULL, restart,
          "a session of the console that asked nothing for so long has ended")
OX_CONFIG(session_max_ms,             "session.max",                duration, "24h", "5m", "365d", "ms", NULL, restart,
          "how long a session lasts at most; then its user logs in again")
OX_CONFIG(session_cached,             "session.cached",             int,      "10000", "64", "10000000", "sessions", NULL, restart,
          "sessions that are known for a minute without asking, some 300 bytes each")

OX_CONFIG(control_url,                "control.url",                string,   "", "", "", "url", "postgres-url", restart,
          "where tenants and API keys are kept: postgresql://user@host/db, also as OBSERVE_X_POSTGRES_URL; empty = control.db in the data directory, for one node in development mode")
OX_CONFIG(control_password_file,      "control.password_file",      string,   "", "", "", "path", NULL, restart,
          "file whose first line is the password for control.url; empty = what the url or libpq's own environment says")
OX_CONFIG(control_connections,        "control.connections",        int,      "4", "1", "64", "connections", NULL, restart,
          "connections of one node to PostgreSQL at one time for orders and questions, beside three: for looking keys up, for looking at changes, and one that listens for them")
OX_CONFIG(control_connect_timeout_ms, "control.connect_timeout",    duration, "5s", "10ms", "1m", "ms", NULL, restart,
          "how long connecting to PostgreSQL may take")
OX_CONFIG(control_statement_timeout_ms, "control.statement_timeout", duration, "2s", "10ms", "1m", "ms", NULL, restart,
          "how long one statement of the control plane may take")
OX_CONFIG(control_keys_max,           "control.keys_cached",        int,      "100000", "64", "10000000", "keys", NULL, restart,
          "API keys that are known without asking, some 300 bytes each; beyond it the one not used for longest is asked for again")
OX_CONFIG(control_keys_per_tenant,    "control.keys_per_tenant",    int,      "1000", "1", "1000000", "keys", NULL, restart,
          "API keys of one tenant that are good, or were made within the last day; beyond it none is made")
OX_CONFIG(control_stale_max_ms,       "control.stale_max",          duration, "24h", "0", "365d", "ms", NULL, restart,
          "how long known API keys go on while nothing is heard of changes, since one may have been revoked; then keys get 503 until the store answers; 0 = for ever")
OX_CONFIG(control_unknown_max,        "control.unknown_keys",       int,      "100", "1", "1000000", "keys", NULL, restart,
          "unknown API keys that one address (IPv6: one /64) may show within 10 s; then keys from there that are not known get 429 without being asked for")
/* clang-format on */
