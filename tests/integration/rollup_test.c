/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a rollup that lacks rows of a block, or has them twice, says afterwards what the rows say; what is right, and what
 *          no block in doubt touches, is not changed; rows that have left by age are not taken back.
 * Method:  the real engine, filled as the writers do it; rollups made wrong by SQL; the engine killed while one is mended.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>

#include "actors/writer/rollup.h"
#include "ox/encode.h"
#include "tests/harness/engine_fixture.h"
#include "tests/harness/random_batch.h"

#define HOUR_NS 3600000000000ull
#define DAY_S   86400ull

static struct engine_fixture f;

static void
up(void)
{
    struct ox_diag diag = {0};
    unsigned applied = 0;
    engine_up(&f, "-", NULL);
    ox_err err = ox_storage_migrate(f.st, ox_schema_clickhouse, ox_schema_clickhouse_count, &applied, &diag);
    cr_assert_eq(err, OX_OK, "%s %s", diag.field, diag.text);
}

static void
down(void)
{
    engine_down(&f);
}

TestSuite(rollup_engine, .init = up, .fini = down, .timeout = 300);

/* ---- rows ---- */

static uint64_t
count_of(const char *sql)
{
    return strtoull(engine_sql(&f, sql), NULL, 10);
}

/* Blocks block_id, block_id + 1, ... of random rows that begin at an hour so many hours ago. */
static void
fill(enum ox_signal signal, uint64_t seed, uint64_t hours_ago, uint64_t block_id)
{
    uint64_t from = count_of("SELECT toUnixTimestamp(toStartOfHour(now()))") * 1000000000ull;
    struct random_batch options = {.seed = seed,
                                   .rows = 300,
                                   .from_ns = from - hours_ago * HOUR_NS,
                                   .span_ns = HOUR_NS / 4,
                                   .plain = true,
                                   .words_max = 60};
    struct ox_batch *batch = random_batch_new(signal, &options);
    struct ox_series_cache *cache = signal == OX_SIGNAL_METRICS ? ox_series_cache_new(1024) : NULL;
    struct ox_builder *b = ox_builder_new(signal, ox_encode_partition(batch, 0), cache);
    struct ox_rows rows = {.count = ox_encode_rows(batch)};
    struct ox_encoded out = {0};
    struct ox_diag diag = {0};
    uint32_t next;
    cr_assert_eq(ox_builder_add(b, batch, &rows, &next), OX_OK);
    cr_assert_eq(ox_builder_finish(b, block_id, &out), OX_OK);
    for (size_t i = 0; i < out.n_blocks; i++) {
        const struct ox_encoded_block *block = &out.blocks[i];
        struct ox_storage_insert in = {.table = ox_table_name(block->table),
                                       .columns = ox_table_columns(block->table),
                                       .data = block->native.data,
                                       .len = block->native.len};
        cr_assert_eq(ox_storage_insert(f.st, &in, NULL, &diag), OX_OK, "%s: %s", in.table, diag.text);
    }
    ox_encoded_fini(&out);
    ox_builder_free(b);
    ox_series_cache_free(cache);
    ox_batch_free(batch);
}

static void
fill_all(uint64_t seed, uint64_t hours_ago, uint64_t block_id)
{
    for (int s = 0; s < OX_SIGNAL__COUNT; s++)
        fill((enum ox_signal)s, seed + (uint64_t)s, hours_ago, block_id);
}

/* ---- what a rollup says ---- */

/* A number of everything that questions read of it; of floating point sums, which depend on their order, see sums_agree. */
static uint64_t
said_by(const char *target)
{
    static const struct {
        const char *target, *keys, *figures;
    } all[] = {
        {"otel_trace_index", "tenant_id, trace_id, day", "min(min_time), max(max_time), sum(spans)"},
        {"otel_logs_errors_1h", "tenant_id, service_name, time, severity_number, scope_name",
         "sum(count), min(first_time), max(last_time)"},
        {"otel_metrics_5m", "tenant_id, metric_name, series_id, time",
         "sum(count), min(min), max(max), argMinMerge(first), argMaxMerge(last)"},
        {"otel_metrics_1h", "tenant_id, metric_name, series_id, time",
         "sum(count), min(min), max(max), argMinMerge(first), argMaxMerge(last)"},
        {"otel_span_stats_1m", "tenant_id, service_name, name, kind, status_code, time",
         "sum(calls), sum(duration_sum_ns), min(duration_min_ns), max(duration_max_ns), max(slowest), "
         "mapSort(sumMap(duration_buckets))"},
        {"otel_span_stats_1h", "tenant_id, service_name, name, kind, time",
         "sum(calls), sum(errors), sum(duration_sum_ns), min(duration_min_ns), max(duration_max_ns), "
         "mapSort(sumMap(duration_buckets))"},
    };
    char sql[1024];
    for (size_t i = 0; i < OX_COUNT(all); i++) {
        if (strcmp(all[i].target, target) != 0)
            continue;
        snprintf(sql, sizeof(sql), "SELECT sum(cityHash64(*)) FROM (SELECT %s, %s FROM %s GROUP BY %s)",
                 all[i].keys, all[i].figures, target, all[i].keys);
        return count_of(sql);
    }
    cr_assert_fail("%s is a rollup that this test does not know", target);
    return 0;
}

static void
sums_agree(void)
{
    cr_assert_eq(
        count_of(
            "SELECT count() FROM (SELECT tenant_id, metric_name, series_id, toStartOfFiveMinutes(p.time) "
            "AS t, sum(value) AS s FROM otel_metrics AS p WHERE value_type != 0 GROUP BY ALL) AS w FULL "
            "JOIN (SELECT tenant_id, metric_name, series_id, time AS t, sum(sum) AS s FROM otel_metrics_5m "
            "GROUP BY ALL) AS h USING (tenant_id, metric_name, series_id, t) WHERE abs(w.s - h.s) > 1e-9 * "
            "(abs(w.s) + abs(h.s))"),
        0);
}

static void
all_say(uint64_t *said)
{
    for (size_t i = 0; i < ox_schema_rollups_count; i++)
        said[i] = said_by(ox_schema_rollups[i].target);
}

static struct ox__rollup_found
check(size_t rollup, uint64_t block_id, uint64_t young_s)
{
    uint64_t ids[4] = {block_id, block_id + 1, block_id + 2, block_id + 3};
    struct ox__rollup_found found;
    struct ox_diag diag = {0};
    ox_err err = ox__rollup_check(f.st, &ox_schema_rollups[rollup], ids, 4, young_s, &found, &diag);
    cr_assert_eq(err, OX_OK, "%s: %s %s", ox_schema_rollups[rollup].target, diag.field, diag.text);
    return found;
}

static void
check_all(uint64_t block_id, uint64_t young_s, struct ox__rollup_found *sum)
{
    *sum = (struct ox__rollup_found){0};
    for (size_t i = 0; i < ox_schema_rollups_count; i++) {
        struct ox__rollup_found found = check(i, block_id, young_s);
        sum->wrong += found.wrong;
        sum->left += found.left;
        sum->still += found.still;
    }
}

/* ---- tests ---- */

#define ROLLUPS 16 /* at most */

Test(rollup_engine, every_view_is_one_of_the_list)
{
    cr_assert_leq(ox_schema_rollups_count, ROLLUPS);
    for (size_t i = 0; i < ox_schema_tables_count; i++) {
        bool listed = !ox_schema_tables[i].is_view;
        for (size_t j = 0; j < ox_schema_rollups_count; j++)
            listed |= strcmp(ox_schema_tables[i].name, ox_schema_rollups[j].view) == 0;
        cr_assert(listed, "%s is a view, and nobody looks after what it fills", ox_schema_tables[i].name);
    }
}

Test(rollup_engine, what_is_right_is_not_changed)
{
    uint64_t before[ROLLUPS], after[ROLLUPS];
    struct ox__rollup_found found;
    fill_all(1, 2, 100);
    fill_all(11, 2, 200);
    all_say(before);
    check_all(100, DAY_S, &found);
    cr_assert(found.wrong == 0 && found.left == 0 && found.still == 0);
    all_say(after);
    for (size_t i = 0; i < ox_schema_rollups_count; i++)
        cr_assert_eq(after[i], before[i], "%s", ox_schema_rollups[i].target);
}

/* Each rollup is made wrong by `damage`, and must say again what it said. */
static void
mends(const char *damage)
{
    uint64_t before[ROLLUPS], after[ROLLUPS];
    char sql[512];
    fill_all(2, 2, 100);
    all_say(before);
    for (size_t i = 0; i < ox_schema_rollups_count; i++) {
        const char *target = ox_schema_rollups[i].target;
        struct ox__rollup_found found;
        snprintf(sql, sizeof(sql), damage, target, target);
        engine_sql(&f, sql);
        cr_assert_neq(said_by(target), before[i], "%s: no damage", target);
        check_all(100, DAY_S, &found);
        cr_assert_gt(found.wrong, 0, "%s", target);
        cr_assert_eq(found.still, 0, "%s", target);
        all_say(after);
        for (size_t j = 0; j < ox_schema_rollups_count; j++)
            cr_assert_eq(after[j], before[j], "%s after damage to %s", ox_schema_rollups[j].target, target);
        check_all(100, DAY_S, &found); /* as after a crash before the list was taken off the disk */
        cr_assert_eq(found.wrong, 0, "%s: nothing is left to do", target);
    }
    sums_agree();
}

Test(rollup_engine, rows_that_are_there_twice)
{
    mends("INSERT INTO %s SELECT * FROM %s SETTINGS insert_deduplicate = 0");
}

Test(rollup_engine, rows_that_are_missing)
{
    mends("TRUNCATE TABLE %s");
}

/* A block that went in once more under another token, views and all, of which the table's rows were taken out again: twice in
 * the views, once in the table. */
Test(rollup_engine, a_block_that_passed_its_views_twice)
{
    uint64_t before[ROLLUPS], after[ROLLUPS];
    struct ox__rollup_found found;
    fill_all(3, 2, 100);
    all_say(before);
    fill_all(3, 2, 900);
    for (int t = 0; t < OX_TABLE__COUNT; t++) {
        char sql[160];
        snprintf(sql, sizeof(sql), "ALTER TABLE %s DELETE WHERE block_id >= 900 SETTINGS mutations_sync = 2",
                 ox_table_name((enum ox_table)t));
        engine_sql(&f, sql);
    }
    check_all(100, DAY_S, &found);
    cr_assert_gt(found.wrong, 0);
    cr_assert_eq(found.still, 0);
    all_say(after);
    for (size_t i = 0; i < ox_schema_rollups_count; i++)
        cr_assert_eq(after[i], before[i], "%s", ox_schema_rollups[i].target);
    sums_agree();
}

Test(rollup_engine, what_no_block_in_doubt_touches_stays_as_it_is)
{
    fill(OX_SIGNAL_LOGS, 4, 2, 100);
    fill(OX_SIGNAL_LOGS, 5, 4, 200);
    size_t errors = 1;
    cr_assert_str_eq(ox_schema_rollups[errors].target, "otel_logs_errors_1h");
    uint64_t once =
        count_of("SELECT sum(count) FROM otel_logs_errors_1h WHERE time <= toStartOfHour(now()) - 10800");
    engine_sql(&f, "INSERT INTO otel_logs_errors_1h SELECT * FROM otel_logs_errors_1h SETTINGS "
                   "insert_deduplicate = 0");
    cr_assert_gt(check(errors, 100, DAY_S).wrong, 0);
    cr_assert_eq(
        count_of("SELECT sum(count) FROM otel_logs_errors_1h WHERE time <= toStartOfHour(now()) - 10800"),
        2 * once);
    cr_assert_gt(check(errors, 200, DAY_S).wrong, 0);
    cr_assert_eq(count_of("SELECT sum(count) FROM otel_logs_errors_1h"),
                 count_of("SELECT count() FROM otel_logs WHERE severity_number >= 17"));
}

/* Rows of two days ago may have left for room: a rollup that says more keeps what it says, one that says less is wrong. */
Test(rollup_engine, rows_that_may_have_left_are_not_taken_back)
{
    size_t errors = 1;
    struct ox__rollup_found found;
    fill(OX_SIGNAL_LOGS, 6, 48, 100);
    uint64_t before = said_by("otel_logs_errors_1h");
    engine_sql(
        &f,
        "ALTER TABLE otel_logs DELETE WHERE cityHash64(span_id, body) % 2 = 0 SETTINGS mutations_sync = 2");
    found = check(errors, 100, DAY_S);
    cr_assert_gt(found.left, 0);
    cr_assert_eq(found.wrong, 0);
    cr_assert_eq(said_by("otel_logs_errors_1h"), before);
    engine_sql(&f, "TRUNCATE TABLE otel_logs_errors_1h");
    found = check(errors, 100, DAY_S);
    cr_assert_gt(found.wrong, 0);
    cr_assert_eq(count_of("SELECT sum(count) FROM otel_logs_errors_1h"),
                 count_of("SELECT count() FROM otel_logs WHERE severity_number >= 17"));
}

/* ---- crashes ---- */

static void *
check_points(void *arg)
{
    (void)arg;
    uint64_t ids[4] = {100, 101, 102, 103};
    for (size_t i = 0; i < ox_schema_rollups_count; i++) {
        struct ox__rollup_found found;
        struct ox_diag diag = {0};
        if (ox_schema_rollups[i].raw == OX_TABLE_POINTS &&
            ox__rollup_check(f.st, &ox_schema_rollups[i], ids, 4, DAY_S, &found, &diag) != OX_OK)
            break;
    }
    return NULL;
}

/* Killed at moments that differ, the engine has mended all, some or nothing; the next look finds the rest. */
Test(rollup_engine, killed_while_it_is_mended)
{
    uint64_t before[2];
    fill(OX_SIGNAL_METRICS, 7, 2, 100);
    before[0] = said_by("otel_metrics_5m");
    before[1] = said_by("otel_metrics_1h");
    for (int moment = 0; moment < 5; moment++) {
        pthread_t thread;
        struct ox__rollup_found found;
        engine_sql(
            &f, "INSERT INTO otel_metrics_5m SELECT * FROM otel_metrics_5m SETTINGS insert_deduplicate = 0");
        cr_assert_eq(pthread_create(&thread, NULL, check_points, NULL), 0);
        poll(NULL, 0, moment * 60);
        engine_kill(&f);
        pthread_join(thread, NULL);
        engine_again(&f);
        check_all(100, DAY_S, &found);
        cr_assert_eq(found.still, 0);
        cr_assert_eq(said_by("otel_metrics_5m"), before[0], "moment %d", moment);
        cr_assert_eq(said_by("otel_metrics_1h"), before[1], "moment %d", moment);
    }
}
