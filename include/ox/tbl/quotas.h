/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/tbl/quotas.h - every quota of a tenant, once.
 *
 * OX_QUOTA(id, name, unit, of_key, text)
 *   id      OX_QUOTA_<id>
 *   name    in the API, on the command line, in the store and in refusals: it never changes
 *   unit    for people
 *   of_key  1 = a single API key may have one of its own, beside its tenant's
 *   text    one line for people
 */
/* clang-format off */
OX_QUOTA(TRACES_RECORDS,    "traces.records",    "records/s",  1, "spans per second")
OX_QUOTA(TRACES_BYTES,      "traces.bytes",      "bytes/s",    1, "bytes of spans per second, uncompressed")
OX_QUOTA(LOGS_RECORDS,      "logs.records",      "records/s",  1, "log records per second")
OX_QUOTA(LOGS_BYTES,        "logs.bytes",        "bytes/s",    1, "bytes of log records per second, uncompressed")
OX_QUOTA(METRICS_RECORDS,   "metrics.records",   "records/s",  1, "points per second")
OX_QUOTA(METRICS_BYTES,     "metrics.bytes",     "bytes/s",    1, "bytes of points per second, uncompressed")
OX_QUOTA(SERIES,            "series",            "series",     0, "active metric series of a day")
OX_QUOTA(LABEL_VALUES,      "label_values",      "values",     0, "distinct values of one attribute of one metric within a day")
OX_QUOTA(QUERY_CONCURRENCY, "query.concurrency", "queries",    0, "questions that run at the same time")
OX_QUOTA(QUERY_ROWS,        "query.rows",        "rows",       0, "rows that one question may read")
OX_QUOTA(QUERY_BYTES,       "query.bytes",       "bytes",      0, "bytes that one question may read")
OX_QUOTA(QUERY_MEMORY,      "query.memory",      "bytes",      0, "memory that one question may use in the engine")
OX_QUOTA(QUERY_TIME,        "query.time",        "ms",         0, "how long one question may run")
/* clang-format on */
