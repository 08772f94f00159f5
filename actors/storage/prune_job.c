/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/storage/prune_job.c - removes ClickHouse's own logs, then the oldest stored data, while the data disk is too full.
 *
 * Owns:    nothing.
 * Threads: a dirty thread, one job at a time.
 * Bounds:  PARTITIONS_MAX partitions are looked at; as much is removed as the disk is too full.
 * Fails:   those of ox_storage_query; what was removed until then stays removed, and is counted.
 * Flow:    pruner.c -> here -> policies/prune.c, storage.c.
 *
 * The tables that go by age are those partitioned by hours and days that no other row depends on. Not the series: rollups
 * that stay for a year need them. Rollups by month are small.
 */
#include "actors/storage/prune_job.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/disk.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/prune.h"
#include "ox/schema.h"
#include "ox/storage.h"

#define PARTITIONS_MAX 20000u
#define STATEMENT_MS   60000u

#define SQL_SYSTEM_LOGS                                                                                      \
    "SELECT name, '', '', total_rows, total_bytes FROM system.tables WHERE database = 'system' AND "         \
    "endsWith(name, '_log') AND endsWith(engine, 'MergeTree') AND total_bytes > 1000000"
#define SQL_PARTITIONS                                                                                       \
    "SELECT table, partition_id, partition, sum(rows), sum(bytes_on_disk) FROM system.parts "                \
    "WHERE active AND database = currentDatabase() AND table IN ('otel_traces', 'otel_trace_index', "        \
    "'otel_logs', 'otel_metrics', 'otel_metric_histograms', 'otel_metric_exemplars', 'otel_metrics_5m') "    \
    "GROUP BY table, partition_id, partition"

struct list {
    struct ox_prune_partition *at;
    size_t n;
};

static ox_err
ask(struct ox__prune_job *job, const char *sql, struct ox_buf *answer)
{
    struct ox_storage_query q = {
        .sql = ox_str_of(sql), .format = "TabSeparated", .max_execution_ms = STATEMENT_MS};
    return ox_storage_query(job->node->storage, &q, answer, NULL, &job->diag);
}

/* Names are put into statements: nothing but what we and ClickHouse call tables and partitions. */
static bool
is_word(const char *text)
{
    for (; *text != '\0'; text++) {
        if (!((*text >= 'a' && *text <= 'z') || (*text >= '0' && *text <= '9') || *text == '_'))
            return false;
    }
    return true;
}

/* A line: table, id, name of the partition, rows, bytes. False: not one that may be removed. */
static bool
parse(const char *line, size_t n, struct ox_prune_partition *out)
{
    char text[256], name[32] = "";
    *out = (struct ox_prune_partition){0};
    if (n >= sizeof(text))
        return false;
    memcpy(text, line, n);
    text[n] = '\0';
    char *fields[5], *rest = text;
    for (int i = 0; i < 5; i++) {
        fields[i] = strsep(&rest, "\t");
        if (fields[i] == NULL)
            return false;
    }
    if (strlen(fields[0]) >= sizeof(out->table) || strlen(fields[1]) >= sizeof(out->id) ||
        strlen(fields[2]) >= sizeof(name) || !is_word(fields[0]) || !is_word(fields[1]))
        return false;
    strcpy(out->table, fields[0]);
    strcpy(out->id, fields[1]);
    out->rows = strtoull(fields[3], NULL, 10);
    out->bytes = strtoull(fields[4], NULL, 10);
    return fields[2][0] == '\0' || ox_prune_partition_end(ox_str_of(fields[2]), &out->end_s);
}

static ox_err
read_list(struct ox__prune_job *job, const char *sql, struct list *list)
{
    struct ox_buf answer;
    ox_buf_init(&answer);
    ox_err err = ask(job, sql, &answer);
    list->at = err == OX_OK ? calloc(PARTITIONS_MAX, sizeof(*list->at)) : NULL;
    if (err == OX_OK && list->at == NULL)
        err = OX_E_NOMEM;
    const char *p = (const char *)answer.data, *end = p + answer.len;
    while (err == OX_OK && p < end && list->n < PARTITIONS_MAX) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        size_t n = eol != NULL ? (size_t)(eol - p) : (size_t)(end - p);
        list->n += parse(p, n, &list->at[list->n]);
        p += n + 1;
    }
    ox_buf_fini(&answer);
    return err;
}

static void
count(struct ox__prune_job *job, const struct ox_prune_partition *part, const char *reason)
{
    struct ox_node *node = job->node;
    struct ox_str table = ox_str_of(part->table);
    OX_METRIC_ADD_L(OX_M_storage_pruned_rows, part->rows, table, ox_str_of(reason));
    OX_METRIC_ADD_L(OX_M_storage_pruned_bytes, part->bytes, table, ox_str_of(reason));
    atomic_fetch_add_explicit(&node->pruned_rows, part->rows, memory_order_relaxed);
    atomic_fetch_add_explicit(&node->pruned_bytes, part->bytes, memory_order_relaxed);
    atomic_store_explicit(&node->pruned_ns, ox_clock_realtime_ns(node->clock), memory_order_relaxed);
}

/* Rows that came into the partition since it was listed are counted with it. */
static ox_err
look_again(struct ox__prune_job *job, struct ox_prune_partition *part)
{
    char sql[256];
    struct ox_buf answer;
    ox_buf_init(&answer);
    snprintf(sql, sizeof(sql),
             "SELECT sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active AND database = "
             "currentDatabase() AND table = '%s' AND partition_id = '%s'",
             part->table, part->id);
    ox_err err = ask(job, sql, &answer);
    ox_buf_append(&answer, "", 1);
    if (err == OX_OK && !answer.failed)
        sscanf((const char *)answer.data, "%" SCNu64 "\t%" SCNu64, &part->rows, &part->bytes);
    ox_buf_fini(&answer);
    return err;
}

static ox_err
remove_partition(struct ox__prune_job *job, struct ox_prune_partition *part)
{
    char sql[192];
    struct ox_buf none;
    ox_err err = look_again(job, part);
    if (err != OX_OK)
        return err;
    ox_buf_init(&none);
    snprintf(sql, sizeof(sql), "ALTER TABLE %s DROP PARTITION ID '%s'", part->table, part->id);
    err = ask(job, sql, &none);
    ox_buf_fini(&none);
    if (err != OX_OK)
        return err;
    count(job, part, "space");
    job->partitions++;
    OX_LOG_WARN("pruner",
                "stored data was removed to make room: the data disk is fuller than storage.prune_above",
                OX_F_STR("table", part->table), OX_F_STR("partition", part->id), OX_F_U64("rows", part->rows),
                OX_F_U64("bytes", part->bytes), OX_F_U64("ended_s", part->end_s));
    return OX_OK;
}

static ox_err
prune_user_data(struct ox__prune_job *job, uint64_t excess)
{
    struct list list = {0};
    uint64_t now_s = ox_clock_realtime_ns(job->node->clock) / 1000000000,
             min_age_s = (uint64_t)job->config->storage_prune_min_age_ms / 1000, freed = 0;
    ox_err err = read_list(job, SQL_PARTITIONS, &list);
    size_t n = err == OX_OK ? ox_prune_choose(list.at, list.n, now_s, min_age_s, excess) : 0;
    for (size_t i = 0; i < n && err == OX_OK; i++) {
        err = remove_partition(job, &list.at[i]);
        freed += list.at[i].bytes;
    }
    job->short_of = err == OX_OK && freed < excess;
    free(list.at);
    return err;
}

/* The logs that ClickHouse keeps of itself. The embedded engine keeps none unless somebody makes it. */
static ox_err
prune_system_logs(struct ox__prune_job *job)
{
    struct list list = {0};
    struct ox_buf none;
    ox_err err = read_list(job, SQL_SYSTEM_LOGS, &list);
    ox_buf_init(&none);
    for (size_t i = 0; i < list.n && err == OX_OK; i++) {
        char sql[128];
        snprintf(sql, sizeof(sql), "TRUNCATE TABLE system.%s", list.at[i].table);
        err = ask(job, sql, &none);
        if (err != OX_OK)
            break;
        count(job, &list.at[i], "system_log");
        OX_LOG_WARN("pruner", "a log that ClickHouse keeps of itself was emptied to make room",
                    OX_F_STR("table", list.at[i].table), OX_F_U64("rows", list.at[i].rows),
                    OX_F_U64("bytes", list.at[i].bytes));
    }
    ox_buf_fini(&none);
    free(list.at);
    return err;
}

static uint64_t
excess(const struct ox__prune_job *job, int64_t above)
{
    struct ox_disk_space space;
    if (ox_disk_space(job->node->disk, job->node->config->data, &space) != OX_OK)
        return 0;
    return ox_prune_excess(space.free_bytes, space.total_bytes, (uint32_t)above);
}

/* Storage that does not answer says so elsewhere. */
static void
look_for_tables(struct ox__prune_job *job)
{
    struct ox_node *node = job->node;
    struct ox_diag diag;
    uint32_t missing;
    if (ox_storage_missing_tables(node->storage, &missing, &diag) != OX_OK)
        return;
    uint32_t known = atomic_exchange_explicit(&node->tables_missing, missing, memory_order_relaxed);
    for (size_t i = 0; i < ox_schema_tables_count; i++) {
        if ((missing & ~known & (uint32_t)1 << i) != 0)
            OX_LOG_ERROR("pruner",
                         "a table of the schema is missing: see docs/storage.md, \"A table is missing\"",
                         OX_F_STR("table", ox_schema_tables[i].name));
    }
}

void
ox__prune_job_run(void *arg)
{
    struct ox__prune_job *job = arg;
    look_for_tables(job);
    ox_diag_clear(&job->diag);
    job->err = OX_OK;
    if (excess(job, job->config->storage_prune_system_above) > 0)
        job->err = prune_system_logs(job);
    uint64_t bytes = excess(job, job->config->storage_prune_above);
    if (job->err == OX_OK && bytes > 0 && job->user_data)
        job->err = prune_user_data(job, bytes);
}
