/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/pipeline_bench.c - end to end: CPU seconds per million records from request to queryable row, against
 * the floor of inserting the same rows, encoded beforehand, into the same engine with the same schema, views and fsync.
 *
 *   pipeline_bench [OBSERVEX] [--signal traces|logs|metrics] [--records N] [--per-request N] [--connections N]
 *                  [--encoding identity|gzip|zstd] [--rounds N] [--floor-rows N] [--floor-only 1]
 *
 * Method:  each round runs both sides in turn on fresh data directories. CPU is user plus system time of node and
 *          engine from /proc, from the first request until all is confirmed stored. Merges are held back until
 *          then and run to their end on both sides, as a figure of its own: when they happen to begin would
 *          otherwise decide the ratio. The client's own CPU is not counted; that of the floor's encoder neither.
 *          The floor sends blocks of 100,000 rows one after the other; the pipeline makes its blocks as it likes.
 *
 * Owns:    the servers it starts; both end with it.
 * Threads: main and one per connection.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench/load.h"
#include "bench/server.h"
#include "ox/encode.h"
#include "ox/storage.h"

#define ROUNDS_MAX 9

struct args {
    const char *exe;
    enum ox_signal signal;
    uint64_t records;
    uint32_t per_request, connections, rounds, floor_rows;
    bool floor_only;
    enum ox_encoding encoding;
};

struct result {
    double node_s, engine_s; /* until stored */
    double settle_s;         /* merging everything */
    uint32_t parts;          /* of the base table before that */
    double wall_s, node_mib, engine_mib;
    uint64_t records, bytes, refused;
};

static const char *const tables[OX_SIGNAL__COUNT][4] = {
    [OX_SIGNAL_TRACES] = {"otel_traces", "otel_trace_index"},
    [OX_SIGNAL_LOGS] = {"otel_logs", "otel_logs_errors_1h"},
    [OX_SIGNAL_METRICS] = {"otel_metrics", "otel_metric_series", "otel_metrics_5m", "otel_metrics_1h"},
};

static void
each_table(struct ox_storage *st, enum ox_signal signal, const char *fmt)
{
    char sql[128];
    for (size_t i = 0; i < OX_COUNT(tables[signal]) && tables[signal][i] != NULL; i++) {
        snprintf(sql, sizeof(sql), fmt, tables[signal][i]);
        bench_query(st, sql);
    }
}

/* The engine's CPU seconds until each table of the signal is one part per partition, merged once: left to itself the
 * engine would begin merges of its own choice at the same time and do some of the work twice. */
static void
merge_all(const struct bench_server *s, struct ox_storage *st, enum ox_signal signal, struct result *r)
{
    char sql[160];
    snprintf(sql, sizeof(sql), "SELECT count() FROM system.parts WHERE active AND table = '%s'",
             tables[signal][0]);
    r->parts = (uint32_t)bench_query(st, sql);
    each_table(st, signal, "ALTER TABLE %s MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1");
    double before = bench_cpu_s(s->engine);
    bench_query(st, "SYSTEM START MERGES");
    each_table(st, signal, "OPTIMIZE TABLE %s FINAL");
    r->settle_s = bench_cpu_s(s->engine) - before;
}

static void
run_pipeline(const struct args *a, struct result *r)
{
    struct bench_server s;
    static struct bench_load l;
    bench_server_start(&s, a->exe, NULL);
    struct ox_storage *st = bench_server_engine(&s);
    bench_query(st, "SYSTEM STOP MERGES");
    bench_source_init(&l.source, a->signal, a->per_request, a->encoding, 7, bench_source_start());
    l.connections = a->connections;
    l.records = a->records;
    snprintf(l.host, sizeof(l.host), "%s", s.otlp);
    double node0 = bench_cpu_s(s.node), engine0 = bench_cpu_s(s.engine);
    uint64_t t0 = bench_now_ns();
    bench_load_start(&l);
    bench_load_join(&l);
    while (bench_server_stored(&s, a->signal) < l.made)
        bench_nap_ms(50);
    r->wall_s = (double)(bench_now_ns() - t0) / 1e9;
    r->node_s = bench_cpu_s(s.node) - node0;
    r->engine_s = bench_cpu_s(s.engine) - engine0;
    r->node_mib = bench_peak_mib(s.node);
    r->engine_mib = bench_peak_mib(s.engine);
    merge_all(&s, st, a->signal, r);
    ox_storage_close(st);
    r->records = l.made;
    r->bytes = l.wire_bytes;
    r->refused = l.refused;
    bench_source_fini(&l.source);
    bench_server_stop(&s);
}

/* ---- floor ---- */

struct floor {
    struct ox_storage *st;
    struct ox_series_cache *cache;
    struct ox_builder *builder;
    struct ox_encoded encoded;
    uint64_t id;
};

static void
insert_all(struct floor *f)
{
    struct ox_diag diag;
    for (size_t i = 0; i < f->encoded.n_blocks; i++) {
        const struct ox_encoded_block *b = &f->encoded.blocks[i];
        char token[48];
        snprintf(token, sizeof(token), "floor-%llu-%d", (unsigned long long)f->id, (int)b->table);
        struct ox_storage_insert ins = {.table = ox_table_name(b->table),
                                        .columns = ox_table_columns(b->table),
                                        .token = token,
                                        .data = b->native.data,
                                        .len = b->native.len};
        ox_diag_clear(&diag);
        if (ox_storage_insert(f->st, &ins, NULL, &diag) != OX_OK) {
            fprintf(stderr, "pipeline_bench: floor insert: %s\n", diag.text);
            exit(1);
        }
    }
}

static void
finish_and_insert(struct floor *f)
{
    if (ox_builder_rows(f->builder) == 0)
        return;
    OX_ASSERT(ox_builder_finish(f->builder, ++f->id, &f->encoded) == OX_OK);
    insert_all(f);
    if (f->cache != NULL)
        ox_series_cache_commit(f->cache, &f->encoded);
}

static void
add_to_floor(struct floor *f, const struct args *a, const struct ox_batch *batch)
{
    uint32_t parts[8], rows = ox_encode_rows(batch);
    size_t n = ox_encode_partitions(batch, parts, OX_COUNT(parts));
    for (size_t p = 0; p < n; p++) {
        if (f->builder == NULL)
            f->builder = ox_builder_new(a->signal, parts[p], f->cache);
        if (ox_builder_partition(f->builder) != parts[p]) {
            finish_and_insert(f);
            ox_builder_set_partition(f->builder, parts[p]);
        }
        for (uint32_t row = 0, next; row < rows; row = next) {
            struct ox_rows range = {.first = row, .count = rows - row};
            OX_ASSERT(ox_builder_add(f->builder, batch, &range, &next) == OX_OK);
            if (ox_builder_full(f->builder) || ox_builder_rows(f->builder) >= a->floor_rows)
                finish_and_insert(f);
        }
    }
}

static void
run_floor(const struct args *a, struct result *r)
{
    struct bench_server s;
    static struct bench_source source;
    struct floor f = {0};
    bench_server_start(&s, a->exe, NULL);
    f.st = bench_server_engine(&s);
    bench_query(f.st, "SYSTEM STOP MERGES");
    f.cache = a->signal == OX_SIGNAL_METRICS ? ox_series_cache_new(OX_SERIES_CACHE_KEYS) : NULL;
    bench_source_init(&source, a->signal, a->floor_rows < 1000 ? a->floor_rows : 1000, OX_ENCODING_IDENTITY,
                      7, bench_source_start());
    double engine0 = bench_cpu_s(s.engine);
    uint64_t t0 = bench_now_ns();
    while (r->records < a->records) {
        struct ox_batch *batch = bench_source_batch(&source);
        add_to_floor(&f, a, batch);
        r->records += ox_encode_rows(batch);
        ox_batch_free(batch);
    }
    finish_and_insert(&f);
    r->wall_s = (double)(bench_now_ns() - t0) / 1e9;
    r->engine_s = bench_cpu_s(s.engine) - engine0;
    merge_all(&s, f.st, a->signal, r);
    ox_builder_free(f.builder);
    ox_encoded_fini(&f.encoded);
    ox_series_cache_free(f.cache);
    ox_storage_close(f.st);
    bench_source_fini(&source);
    bench_server_stop(&s);
}

/* ---- report ---- */

/* bare: the ratio without merges. */
static double
report(const struct args *a, const struct result *p, const struct result *f, double *bare)
{
    double mf = 1e6 / (double)f->records, floor = (f->engine_s + f->settle_s) * mf;
    if (a->floor_only) {
        printf("%-8s floor in blocks of %u rows: engine %5.2f  merges %5.2f  = %5.2f CPU s per million\n",
               ox_signal_name(a->signal), a->floor_rows, f->engine_s * mf, f->settle_s * mf, floor);
        return floor;
    }
    double m = 1e6 / (double)p->records, whole = (p->node_s + p->engine_s + p->settle_s) * m;
    printf("%-8s %9llu records, %6.1f MB of requests, %llu refusals, %u parts (floor %u)\n",
           ox_signal_name(a->signal), (unsigned long long)p->records, (double)p->bytes / 1e6,
           (unsigned long long)p->refused, p->parts, f->parts);
    printf("  pipeline  node %5.2f  engine %5.2f  merges %5.2f  = %5.2f CPU s per million   (%.0f records/s "
           "with "
           "the client beside it, node peak %.0f MiB, engine %.0f MiB)\n",
           p->node_s * m, p->engine_s * m, p->settle_s * m, whole, (double)p->records / p->wall_s,
           p->node_mib, p->engine_mib);
    printf("  floor                 engine %5.2f  merges %5.2f  = %5.2f CPU s per million\n",
           f->engine_s * mf, f->settle_s * mf, floor);
    *bare = (p->node_s + p->engine_s) * m / (f->engine_s * mf);
    printf("  ratio %.2f, merges left out on both sides %.2f\n", whole / floor, *bare);
    fflush(stdout);
    return whole / floor;
}

static int
by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void
parse(int argc, char **argv, struct args *a)
{
    *a = (struct args){.exe = "build/observex",
                       .records = 500000,
                       .per_request = 1000,
                       .connections = 4,
                       .rounds = 1,
                       .floor_rows = OX_BLOCK_ROWS_MAX};
    int i = 1;
    if (i < argc && argv[i][0] != '-')
        a->exe = argv[i++];
    for (; i + 1 < argc; i += 2) {
        const char *k = argv[i], *v = argv[i + 1];
        if (strcmp(k, "--signal") == 0)
            a->signal = bench_signal(v);
        else if (strcmp(k, "--records") == 0)
            a->records = strtoull(v, NULL, 10);
        else if (strcmp(k, "--per-request") == 0)
            a->per_request = (uint32_t)atoi(v);
        else if (strcmp(k, "--connections") == 0)
            a->connections =
                (uint32_t)atoi(v) < BENCH_CONNECTIONS_MAX ? (uint32_t)atoi(v) : BENCH_CONNECTIONS_MAX;
        else if (strcmp(k, "--rounds") == 0)
            a->rounds = (uint32_t)atoi(v) < ROUNDS_MAX ? (uint32_t)atoi(v) : ROUNDS_MAX;
        else if (strcmp(k, "--floor-rows") == 0)
            a->floor_rows = (uint32_t)atoi(v);
        else if (strcmp(k, "--floor-only") == 0)
            a->floor_only = atoi(v) != 0;
        else if (strcmp(k, "--encoding") == 0 && ox_encoding_parse(ox_str_of(v), &a->encoding, NULL) != OX_OK)
            bench_die(v);
    }
}

int
main(int argc, char **argv)
{
    struct args a;
    double ratios[ROUNDS_MAX] = {0}, bare[ROUNDS_MAX] = {0};
    parse(argc, argv, &a);
    for (uint32_t i = 0; i < a.rounds; i++) {
        struct result pipeline = {0}, floor = {0};
        if (!a.floor_only)
            run_pipeline(&a, &pipeline);
        run_floor(&a, &floor);
        ratios[i] = report(&a, &pipeline, &floor, &bare[i]);
    }
    qsort(ratios, a.rounds, sizeof(ratios[0]), by_size);
    qsort(bare, a.rounds, sizeof(bare[0]), by_size);
    if (a.rounds > 1)
        printf("%s: median of %u: ratio %.2f, without merges %.2f\n", ox_signal_name(a.signal), a.rounds,
               ratios[a.rounds / 2], bare[a.rounds / 2]);
    return 0;
}
