/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    what the writers send fits the tables, every field comes back, views are filled, and a repeated
 *          block changes nothing, in the base tables and behind the views.
 * Method:  the real engine, migrated; random batches inserted as the writers do it, read back as Native and
 *          compared cell by cell with the batch.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

#include "actors/writer/native.h"
#include "ox/encode.h"
#include "tests/harness/batch_check.h"
#include "tests/harness/engine_fixture.h"
#include "tests/harness/random_batch.h"

#define HOUR_NS  3600000000000ull
#define BLOCK_ID 4711u

static struct engine_fixture f;

static void
up(void)
{
    struct ox_diag diag = {0};
    unsigned applied = 0;
    engine_up(&f, "-", NULL);
    ox_err err = ox_storage_migrate(f.st, ox_schema_clickhouse, ox_schema_clickhouse_count, &applied, &diag);
    cr_assert_eq(err, OX_OK, "%s %s", diag.field, diag.text);
    cr_assert_eq(applied, ox_schema_clickhouse_count);
}

static void
down(void)
{
    engine_down(&f);
}

TestSuite(schema_engine, .init = up, .fini = down, .timeout = 180);

/* Recent, so that no TTL takes the rows away; on an hour. */
static uint64_t
recent_hour_ns(void)
{
    uint64_t seconds =
        strtoull(engine_sql(&f, "SELECT toUnixTimestamp(toStartOfHour(now())) - 3600"), NULL, 10);
    return seconds * 1000000000ull;
}

static struct ox_batch *
batch_of(enum ox_signal signal, uint64_t seed)
{
    struct random_batch options = {.seed = seed,
                                   .rows = 300,
                                   .from_ns = recent_hour_ns(),
                                   .span_ns = HOUR_NS / 4,
                                   .plain = true,
                                   .words_max = 60};
    struct ox_batch *batch = random_batch_new(signal, &options);
    check_against(batch, seed);
    return batch;
}

/* All rows of the batch as blocks of its one partition. */
static void
encode(const struct ox_batch *batch, struct ox_encoded *out)
{
    uint32_t next;
    bool metrics = batch->signal == OX_SIGNAL_METRICS;
    struct ox_series_cache *cache = metrics ? ox_series_cache_new(1024) : NULL;
    struct ox_builder *b = ox_builder_new(batch->signal, ox_encode_partition(batch, 0), cache);
    struct ox_rows rows = {.count = ox_encode_rows(batch)};
    cr_assert_eq(ox_builder_add(b, batch, &rows, &next), OX_OK);
    cr_assert_eq(ox_builder_finish(b, BLOCK_ID, out), OX_OK);
    ox_builder_free(b);
    ox_series_cache_free(cache);
}

static void
insert(const struct ox_encoded *encoded, const char *token)
{
    for (size_t i = 0; i < encoded->n_blocks; i++) {
        const struct ox_encoded_block *block = &encoded->blocks[i];
        struct ox_diag diag = {0};
        struct ox_storage_insert in = {.table = ox_table_name(block->table),
                                       .columns = ox_table_columns(block->table),
                                       .token = token,
                                       .data = block->native.data,
                                       .len = block->native.len};
        ox_err err = ox_storage_insert(f.st, &in, NULL, &diag);
        cr_assert_eq(err, OX_OK, "%s: %s", in.table, diag.text);
        char sql[160];
        snprintf(sql, sizeof(sql), "SELECT count() FROM %s WHERE block_id = %zu", in.table, BLOCK_ID + i);
        cr_assert_eq(strtoull(engine_sql(&f, sql), NULL, 10), block->rows, "%s", in.table);
    }
}

static struct native_block *
read_table(enum ox_table table)
{
    char sql[128];
    struct ox_buf out = {0};
    struct ox_diag diag = {0};
    snprintf(sql, sizeof(sql), "SELECT * FROM %s ORDER BY tuple()", ox_table_name(table));
    struct ox_storage_query q = {.sql = ox_str_of(sql), .format = "Native"};
    cr_assert_eq(ox_storage_query(f.st, &q, &out, NULL, &diag), OX_OK, "%s", diag.text);
    struct native_block *block = native_read(out.data, out.len);
    ox_buf_fini(&out);
    return block;
}

/* The only row whose column has this text. */
static size_t
row_of(const struct native_block *block, const char *column, const char *want)
{
    size_t found = SIZE_MAX;
    for (size_t row = 0; row < block->n_rows; row++) {
        if (strcmp(native_cell(block, column, row), want) != 0)
            continue;
        cr_assert_eq(found, SIZE_MAX, "%s %s stands in two rows", column, want);
        found = row;
    }
    cr_assert_neq(found, SIZE_MAX, "%s %s is missing", column, want);
    return found;
}

static uint64_t
count_of(const char *sql)
{
    return strtoull(engine_sql(&f, sql), NULL, 10);
}

/* Both rollups of the spans' statistics hold what the same question to the spans themselves gives. */
static void
check_span_stats(uint64_t spans)
{
    cr_assert_eq(count_of("SELECT sum(calls) FROM otel_span_stats"), spans);
    cr_assert_eq(
        count_of("SELECT count() FROM (SELECT tenant_id, service_name, name, kind, status_code, "
                 "toStartOfMinute(start_time) AS time, count() AS n, sum(duration_ns) AS s, min(duration_ns) "
                 "AS lo, "
                 "max(duration_ns) AS hi FROM otel_traces GROUP BY ALL) AS t FULL JOIN (SELECT tenant_id, "
                 "service_name, "
                 "name, kind, status_code, time, sum(calls) AS n, sum(duration_sum_ns) AS s, "
                 "min(duration_min_ns) AS lo, "
                 "max(slowest).1 AS hi FROM otel_span_stats_1m GROUP BY ALL) AS m USING (tenant_id, "
                 "service_name, name, "
                 "kind, status_code, time) WHERE t.n != m.n OR t.s != m.s OR t.lo != m.lo OR t.hi != m.hi"),
        0, "operations and minutes of which the rollup says something else than the spans");
    cr_assert_eq(count_of("SELECT sum(calls) FROM otel_span_stats_1h"), spans);
    cr_assert_eq(count_of("SELECT sum(errors) FROM otel_span_stats_1h"),
                 count_of("SELECT countIf(status_code = 2) FROM otel_traces"));
    cr_assert_eq(count_of("SELECT sum(arraySum(mapValues(duration_buckets))) FROM otel_span_stats_1h"),
                 spans);
    cr_assert_eq(count_of("SELECT sum(arraySum(mapValues(duration_buckets))) FROM otel_span_stats_1m"),
                 spans);
}

Test(schema_engine, columns_of_the_encoder_are_those_of_the_tables)
{
    for (int t = 0; t < OX_TABLE__COUNT; t++) {
        size_t n;
        const struct ox_col_def *defs = ox__table_defs((enum ox_table)t, &n);
        const char *table = ox_table_name((enum ox_table)t);
        char sql[512];
        snprintf(sql, sizeof(sql),
                 "SELECT count() FROM system.columns WHERE database='observex' AND table='%s' AND "
                 "default_kind != 'ALIAS'",
                 table);
        cr_assert_eq(count_of(sql), n, "%s", table);
        for (size_t i = 0; i < n; i++) {
            snprintf(sql, sizeof(sql),
                     "SELECT type FROM system.columns WHERE database='observex' AND table='%s' AND name='%s' "
                     "FORMAT TSVRaw",
                     table, defs[i].name);
            char type[160];
            snprintf(type, sizeof(type), "%s\n", defs[i].type);
            cr_assert_str_eq(engine_sql(&f, sql), type, "%s.%s", table, defs[i].name);
        }
    }
}

Test(schema_engine, the_database_has_the_listed_tables_and_no_other)
{
    cr_assert_eq(count_of("SELECT count() FROM system.tables WHERE database='observex'"),
                 ox_schema_tables_count);
    for (size_t i = 0; i < ox_schema_tables_count; i++) {
        const struct ox_schema_table *t = &ox_schema_tables[i];
        char sql[512];
        snprintf(sql, sizeof(sql),
                 "SELECT count() FROM system.tables WHERE database='observex' AND name='%s'", t->name);
        cr_assert_eq(count_of(sql), 1, "%s", t->name);
        snprintf(sql, sizeof(sql),
                 "SELECT countIf(name='tenant_id')*2 + countIf(name='block_id') FROM system.columns "
                 "WHERE database='observex' AND table='%s'",
                 t->name);
        uint64_t has = count_of(sql);
        cr_assert_eq((has & 2) != 0, t->tenant_owned, "%s", t->name);
        cr_assert_eq((has & 1) != 0, t->has_block_id, "%s", t->name);
    }
}

Test(schema_engine, spans_come_back_and_once)
{
    struct ox_batch *batch = batch_of(OX_SIGNAL_TRACES, 1);
    struct ox_encoded out = {0};
    encode(batch, &out);
    insert(&out, "spans-1");
    insert(&out, "spans-1");
    struct native_block *block = read_table(OX_TABLE_TRACES);
    cr_assert_eq(block->n_rows, batch->n_spans);
    for (uint32_t i = 0; i < batch->n_spans; i++) {
        char id[17];
        ox_hex_encode(batch->spans[i].span_id, 8, id);
        check_span(block, row_of(block, "span_id", id), &batch->spans[i]);
    }
    cr_assert_eq(count_of("SELECT sum(spans) FROM otel_trace_index"), batch->n_spans);
    cr_assert_eq(
        count_of(
            "SELECT count() FROM (SELECT tenant_id, trace_id, min(start_time) AS a, max(start_time) AS b, "
            "toDate(start_time) AS day FROM otel_traces GROUP BY ALL) AS t JOIN otel_trace_index AS i "
            "ON t.tenant_id = i.tenant_id AND t.trace_id = i.trace_id AND t.day = i.day "
            "AND t.a = i.min_time AND t.b = i.max_time"),
        batch->n_spans, "random trace ids: one row of the index for each span");
    cr_assert_eq(count_of("SELECT countIf(toUnixTimestamp64Nano(end_time) = "
                          "toUnixTimestamp64Nano(start_time) + duration_ns)"
                          " FROM otel_traces"),
                 batch->n_spans);
    check_span_stats(batch->n_spans);
    native_free(block);
    ox_encoded_fini(&out);
    ox_batch_free(batch);
}

static uint32_t
errors_in(const struct ox_batch *batch)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < batch->n_logs; i++)
        n += batch->logs[i].severity >= 17;
    return n;
}

Test(schema_engine, logs_come_back_and_once)
{
    struct ox_batch *batch = batch_of(OX_SIGNAL_LOGS, 2);
    struct ox_encoded out = {0};
    for (uint32_t i = 0; i < batch->n_logs; i++)
        batch->logs[i].flags = i;
    encode(batch, &out);
    insert(&out, "logs-1");
    insert(&out, "logs-1");
    struct native_block *block = read_table(OX_TABLE_LOGS);
    cr_assert_eq(block->n_rows, batch->n_logs);
    for (uint32_t i = 0; i < batch->n_logs; i++) {
        char flags[16];
        snprintf(flags, sizeof(flags), "%u", i);
        check_log(block, row_of(block, "flags", flags), &batch->logs[i]);
        if (i % 50 == 0) {
            char sql[128];
            snprintf(sql, sizeof(sql),
                     "SELECT toUnixTimestamp64Nano(observed_time) FROM otel_logs WHERE flags=%u", i);
            cr_assert_eq(count_of(sql), batch->logs[i].observed_ns);
        }
    }
    cr_assert_gt(errors_in(batch), 0);
    cr_assert_eq(count_of("SELECT sum(count) FROM otel_logs_errors_1h"), errors_in(batch));
    native_free(block);
    ox_encoded_fini(&out);
    ox_batch_free(batch);
}

/* The row of a point: times are random, so they name it. */
static size_t
row_of_point(const struct native_block *block, const struct ox_point *p, const char *column)
{
    char time[24];
    snprintf(time, sizeof(time), "%" PRIu64, p->time_ns);
    return row_of(block, column, time);
}

static void
check_points(const struct ox_batch *batch)
{
    struct native_block *numbers = read_table(OX_TABLE_POINTS), *histograms = read_table(OX_TABLE_HISTOGRAMS);
    struct native_block *exemplars = read_table(OX_TABLE_EXEMPLARS), *series = read_table(OX_TABLE_SERIES);
    size_t n_exemplars = 0;
    cr_assert_eq(numbers->n_rows + histograms->n_rows, batch->n_points);
    for (uint32_t i = 0; i < batch->n_points; i++) {
        const struct ox_point *p = &batch->points[i];
        char id[24], trace[33];
        snprintf(id, sizeof(id), "%" PRIu64, ox_encode_series_id(batch, i));
        if (batch->metrics[p->metric].type <= OX_METRIC_SUM)
            check_number(numbers, row_of_point(numbers, p, "time"), i);
        else
            check_histogram(histograms, row_of_point(histograms, p, "time"), i);
        for (uint32_t j = 0; j < ox_point_more(batch, p)->exemplars.count; j++, n_exemplars++) {
            const struct ox_exemplar *x = &batch->exemplars[ox_point_more(batch, p)->exemplars.first + j];
            ox_hex_encode(x->trace_id, 16, trace);
            check_exemplar(exemplars, row_of(exemplars, "trace_id", trace), i, x);
        }
        check_series(series, row_of(series, "series_id", id), i, ox_encode_partition(batch, i));
    }
    cr_assert_eq(exemplars->n_rows, n_exemplars);
    native_free(numbers);
    native_free(histograms);
    native_free(exemplars);
    native_free(series);
}

/* Rollup `table` of intervals by `interval_fn` says the same as the points. */
static void
check_rollup(const char *table, const char *interval_fn)
{
    char sql[1024];
    snprintf(
        sql, sizeof(sql),
        "SELECT count() FROM (SELECT tenant_id, metric_name, series_id, %s(p.time) AS t, count() AS n, "
        "sum(value) AS s, "
        "min(value) AS lo, max(value) AS hi, argMin(value, p.time) AS a, argMax(value, p.time) AS z FROM "
        "otel_metrics AS p "
        "WHERE value_type != 0 GROUP BY ALL) AS want FULL JOIN (SELECT tenant_id, metric_name, series_id, "
        "time AS t, "
        "sum(count) AS n, sum(sum) AS s, min(min) AS lo, max(max) AS hi, argMinMerge(first) AS a, "
        "argMaxMerge(last) AS z "
        "FROM %s GROUP BY ALL) AS got USING (tenant_id, metric_name, series_id, t) WHERE want.n != got.n "
        "OR abs(want.s - got.s) > 1e-9 * abs(want.s) OR want.lo != got.lo OR want.hi != got.hi OR want.a != "
        "got.a "
        "OR want.z != got.z",
        interval_fn, table);
    cr_assert_eq(count_of(sql), 0, "%s differs from the points", table);
    snprintf(sql, sizeof(sql), "SELECT sum(count) FROM %s", table);
    cr_assert_eq(count_of(sql), count_of("SELECT countIf(value_type != 0) FROM otel_metrics"));
}

Test(schema_engine, points_come_back_and_once)
{
    struct ox_batch *batch = batch_of(OX_SIGNAL_METRICS, 3);
    struct ox_encoded out = {0};
    encode(batch, &out);
    insert(&out, "points-1");
    insert(&out, "points-1");
    check_points(batch);
    cr_assert_gt(count_of("SELECT sum(count) FROM otel_metrics_5m"), 0);
    check_rollup("otel_metrics_5m", "toStartOfFiveMinutes");
    check_rollup("otel_metrics_1h", "toStartOfHour");
    ox_encoded_fini(&out);
    ox_batch_free(batch);
}

/* A kill between two parts of an insert leaves a view behind; the same token completes it and adds no more. */
Test(schema_engine, a_repeated_block_completes_the_last_view_of_a_chain)
{
    struct ox_batch *batch = batch_of(OX_SIGNAL_METRICS, 4);
    struct ox_encoded out = {0};
    encode(batch, &out);
    engine_sql(&f, "DROP TABLE otel_metrics_1h_mv SYNC");
    insert(&out, "points-2");
    cr_assert_eq(count_of("SELECT count() FROM otel_metrics_1h"), 0);
    const char *cursor = ox_schema_clickhouse[2].sql;
    struct ox_str stmt;
    while (ox_schema_next_statement(&cursor, &stmt)) {
        char sql[8192];
        snprintf(sql, sizeof(sql), "%.*s", (int)stmt.n, stmt.p);
        engine_sql(&f, sql);
    }
    insert(&out, "points-2");
    insert(&out, "points-2");
    check_points(batch);
    check_rollup("otel_metrics_5m", "toStartOfFiveMinutes");
    check_rollup("otel_metrics_1h", "toStartOfHour");
    ox_encoded_fini(&out);
    ox_batch_free(batch);
}

static void
uses_index(const char *sql, const char *index)
{
    char explain[1024];
    snprintf(explain, sizeof(explain), "EXPLAIN indexes = 1 %s", sql);
    const char *plan = engine_sql(&f, explain);
    cr_assert_not_null(strstr(plan, index), "%s does not use %s:\n%s", sql, index, plan);
}

Test(schema_engine, queries_use_the_indexes_that_are_paid_for)
{
    struct ox_batch *batch = batch_of(OX_SIGNAL_LOGS, 5);
    struct ox_encoded out = {0};
    encode(batch, &out);
    insert(&out, "logs-2");
    uses_index("SELECT count() FROM otel_logs WHERE hasAllTokens(body, 'parts')", "ix_body");
    uses_index("SELECT count() FROM otel_logs WHERE trace_id = unhex('00112233445566778899aabbccddeeff')",
               "ix_trace_id");
    uses_index("SELECT count() FROM otel_logs WHERE attributes['w3'] = 'w6'", "ix_attribute_values");
    uses_index("SELECT count() FROM otel_logs WHERE severity_number >= 17", "ix_severity");
    ox_encoded_fini(&out);
    ox_batch_free(batch);
    batch = batch_of(OX_SIGNAL_TRACES, 6);
    encode(batch, &out);
    insert(&out, "spans-2");
    uses_index("SELECT count() FROM otel_traces WHERE attributes['w3'] = 'w6'", "ix_attribute_values");
    uses_index("SELECT count() FROM otel_traces WHERE duration_ns > 1000000000", "ix_duration");
    uses_index("SELECT count() FROM otel_traces WHERE block_id = 4711", "ix_block");
    ox_encoded_fini(&out);
    ox_batch_free(batch);
}

Test(schema_engine, a_tenant_sees_no_row_of_another_in_any_table)
{
    for (int s = 0; s < OX_SIGNAL__COUNT; s++) {
        struct ox_batch *batch = batch_of((enum ox_signal)s, 7);
        struct ox_encoded out = {0};
        encode(batch, &out);
        insert(&out, "any");
        ox_encoded_fini(&out);
        ox_batch_free(batch);
    }
    for (size_t i = 0; i < ox_schema_tables_count; i++) {
        char sql[128], got[32];
        struct ox_diag diag = {0};
        snprintf(sql, sizeof(sql), "SELECT count() FROM %s", ox_schema_tables[i].name);
        ox_err err = engine_ask(&f, "stranger", sql, got, sizeof(got), &diag);
        cr_assert_eq(err, OX_OK, "%s: %s", ox_schema_tables[i].name, diag.text);
        cr_assert_str_eq(got, "0\n", "%s", ox_schema_tables[i].name);
    }
}
