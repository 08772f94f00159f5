/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/schema.h - the schemas that the binary brings: migrations, and the list of ClickHouse tables.
 *
 * Owns:    nothing at run time; constant tables generated from schema/STORE/NNN_name.sql.
 * Threads: any.
 * Flow:    the storage room applies ox_schema_clickhouse[] in order at start, the engine room writes a row
 *          policy for each ox_schema_tables[] entry, actors/writer asks for partitions and columns. actors/control
 *          applies the other two.
 */
#ifndef OX_SCHEMA_H
#define OX_SCHEMA_H

#include "ox/base.h"

/* One migration: every statement is idempotent (IF NOT EXISTS), so a repeat after a crash is harmless. */
struct ox_migration {
    unsigned number;  /* 1, 2, ...: ascending, without gaps */
    const char *name; /* file name without number and suffix: "traces" */
    const char *sql;  /* statements, each ended by ";\n"; take them apart with ox_schema_next_statement */
};

extern const struct ox_migration ox_schema_clickhouse[];
extern const size_t ox_schema_clickhouse_count;

/* Those of the control plane's two stores; each is executed as a whole, in one transaction. */
extern const struct ox_migration ox_schema_postgres[];
extern const size_t ox_schema_postgres_count;
extern const struct ox_migration ox_schema_sqlite[];
extern const size_t ox_schema_sqlite_count;

/*
 * Walks the statements of a migration. cursor: lend, starts as migration->sql and moves behind the statement.
 * *stmt becomes a view without the semicolon and without leading blank lines and comment lines.
 * false: no statement is left.
 */
bool ox_schema_next_statement(const char **cursor, struct ox_str *stmt);

/* The tables that the writers fill; the values stand in the outbox, so they never change. */
enum ox_table {
    OX_TABLE_TRACES = 0,
    OX_TABLE_LOGS = 1,
    OX_TABLE_POINTS = 2,     /* otel_metrics */
    OX_TABLE_SERIES = 3,     /* otel_metric_series */
    OX_TABLE_HISTOGRAMS = 4, /* otel_metric_histograms */
    OX_TABLE_EXEMPLARS = 5,  /* otel_metric_exemplars */
    OX_TABLE_SPAN_STATS = 6, /* otel_span_stats */
    OX_TABLE__COUNT
};

enum ox_partition_kind {
    OX_PARTITION_NONE,
    OX_PARTITION_HOUR, /* hours since 1970-01-01 UTC */
    OX_PARTITION_DAY   /* days since 1970-01-01 UTC */
};

struct ox_schema_table {
    const char *name;
    bool tenant_owned; /* has a column tenant_id: the row policy shows a tenant his rows; else system only */
    bool is_view;      /* a materialised view; its rows live in a target table of this list */
    bool has_block_id; /* rows carry block_id */
    bool idempotent;   /* a block may be inserted again at any time without harm (ReplacingMergeTree) */
    enum ox_partition_kind partition;
};

/*
 * Every table and view of the database: the first OX_TABLE__COUNT entries are those of enum ox_table,
 * in its order. A table in no row policy fails a test.
 */
extern const struct ox_schema_table ox_schema_tables[];
extern const size_t ox_schema_tables_count;

/*
 * What a materialised view makes of a table's rows. The statement itself is asked for from storage (system.tables), so
 * that it stands in the migrations only. Views that feed others come first.
 */
struct ox_schema_rollup {
    enum ox_table raw;  /* whose blocks it is made of, in the end */
    const char *view;   /* the view, */
    const char *source; /* what it reads */
    const char *target; /* and what it fills: sums, minima, maxima and states by key */
    const char *group;  /* columns of the target: the part of it that a row of the source falls into */
    const char *since;  /* SQL of the target's columns: when that part begins */
    const char *parent; /* the rollup whose target is the source; NULL = the source is the raw table */
};
extern const struct ox_schema_rollup ox_schema_rollups[];
extern const size_t ox_schema_rollups_count;
/* Whether any view is made of the table's rows. */
bool ox_table_is_rolled_up(enum ox_table table);

/* "otel_traces" and so on. */
const char *ox_table_name(enum ox_table table);

/* The database of all tables. */
#define OX_SCHEMA_DATABASE "observex"

#endif
