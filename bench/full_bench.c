/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/full_bench.c - all three signals at once over many connections: peak memory of the node, then bytes on
 * disk per row once the parts are merged.
 *
 *   full_bench [OBSERVEX] [--seconds N] [--connections N (per signal)]
 *
 * Method:  each signal is sent as fast as it is taken for N seconds; requests of 1,000 records, plain. Memory is
 *          VmHWM of the node, which is the peak since its start, and that of the engine beside it. Disk is
 *          bytes_on_disk of the active parts after OPTIMIZE FINAL, per row of the base table, with the tables
 *          that views fill from it.
 *
 * Owns:    the server.
 * Threads: main and one per connection.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench/load.h"
#include "bench/server.h"
#include "ox/storage.h"

#define PER_REQUEST 1000u
#define NODE_MIB    256.0 /* the target */

static void
send_all(struct bench_server *s, struct bench_load *loads, uint32_t seconds, uint32_t connections)
{
    for (int i = 0; i < OX_SIGNAL__COUNT; i++) {
        struct bench_load *l = &loads[i];
        bench_source_init(&l->source, (enum ox_signal)i, PER_REQUEST, OX_ENCODING_IDENTITY, 20 + (uint64_t)i,
                          bench_source_start());
        l->connections = connections;
        l->records = UINT64_MAX;
        snprintf(l->host, sizeof(l->host), "%s", s->otlp);
        bench_load_start(l);
    }
    bench_nap_ms((int)seconds * 1000);
    for (int i = 0; i < OX_SIGNAL__COUNT; i++)
        bench_load_end(&loads[i]);
    for (int i = 0; i < OX_SIGNAL__COUNT; i++)
        bench_load_join(&loads[i]);
}

static bool
report_memory(const struct bench_server *s, const struct bench_load *loads, double seconds)
{
    double node = bench_peak_mib(s->node);
    printf("full load, %u connections: ", 3 * loads[0].connections);
    for (int i = 0; i < OX_SIGNAL__COUNT; i++)
        printf("%s %.0f/s%s", ox_signal_name((enum ox_signal)i), (double)loads[i].made / seconds,
               i + 1 < OX_SIGNAL__COUNT ? ", " : "\n");
    printf("  peak memory: node %.0f MiB (target below %.0f), engine %.0f MiB\n", node, NODE_MIB,
           bench_peak_mib(s->engine));
    return node < NODE_MIB;
}

static double
bytes_of(struct ox_storage *st, const char *tables)
{
    char sql[512];
    snprintf(sql, sizeof(sql),
             "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'observex' AND table "
             "IN (%s)",
             tables);
    return bench_query(st, sql);
}

static void
report_disk(struct ox_storage *st, const char *what, const char *base, const char *derived, double peers)
{
    char sql[256];
    snprintf(sql, sizeof(sql), "OPTIMIZE TABLE %s FINAL", base);
    bench_query(st, sql);
    snprintf(sql, sizeof(sql), "SELECT count() FROM %s", base);
    double rows = bench_query(st, sql);
    char quoted[64];
    snprintf(quoted, sizeof(quoted), "'%s'", base);
    double own = bytes_of(st, quoted) / rows, more = bytes_of(st, derived) / rows;
    printf("  disk: %6.1f bytes per %s, %5.1f more in its derived tables   (%.0f rows; peers %.0f)\n", own,
           what, more, rows, peers);
}

int
main(int argc, char **argv)
{
    static struct bench_load loads[OX_SIGNAL__COUNT];
    struct bench_server s;
    const char *exe = argc > 1 && argv[1][0] != '-' ? argv[1] : "build/observex";
    uint32_t seconds = 12, connections = 16;
    for (int i = argc > 1 && argv[1][0] != '-' ? 2 : 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0)
            seconds = (uint32_t)atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--connections") == 0 && atoi(argv[i + 1]) <= BENCH_CONNECTIONS_MAX)
            connections = (uint32_t)atoi(argv[i + 1]);
    }
    bench_server_start(&s, exe, NULL);
    uint64_t t0 = bench_now_ns();
    send_all(&s, loads, seconds, connections);
    for (int i = 0; i < OX_SIGNAL__COUNT; i++) {
        while (bench_server_stored(&s, (enum ox_signal)i) < loads[i].made)
            bench_nap_ms(50);
    }
    bool good = report_memory(&s, loads, (double)(bench_now_ns() - t0) / 1e9);
    struct ox_storage *st = bench_server_engine(&s);
    report_disk(st, "span", "otel_traces", "'otel_trace_index'", 112);
    report_disk(st, "log", "otel_logs", "'otel_logs_errors_1h'", 54);
    report_disk(st, "point", "otel_metrics", "'otel_metric_series','otel_metrics_5m','otel_metrics_1h'", 5);
    ox_storage_close(st);
    bench_server_stop(&s);
    for (int i = 0; i < OX_SIGNAL__COUNT; i++)
        bench_source_fini(&loads[i].source);
    return good ? 0 : 1;
}
