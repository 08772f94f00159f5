/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/encode_bench.c - what the block encoder costs: ns of CPU per row, and bytes of Native per row.
 *
 * Usage: encode_bench [SIGNAL OUTFILE ROWS]. Without arguments it measures all three signals. With them it
 * writes the Native blocks of ROWS rows (for metrics: OUTFILE of otel_metrics, OUTFILE.series of the series):
 * input for measurements of the schema.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/telemetry_gen.h"
#include "ox/encode.h"

#define ROWS_PER_BATCH 512u
#define BATCHES        64u
#define ROUNDS         20u
#define STEP_NS        3000000ull
/* A million spans or logs in some two hours. */
#define DUMP_STEP_NS 3600000000ull
/* 2026-11-20 10:00:00 UTC */
#define START_NS 1795168800000000000ull

static uint64_t
cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static struct ox_batch *
next_batch(struct telemetry_gen *g, enum ox_signal signal, uint64_t step_ns)
{
    switch (signal) {
    case OX_SIGNAL_TRACES:
        return gen_spans(g, ROWS_PER_BATCH, step_ns);
    case OX_SIGNAL_LOGS:
        return gen_logs(g, ROWS_PER_BATCH, step_ns);
    default:
        return gen_points(g, 10000000000ull);
    }
}

static uint32_t
must_add(struct ox_builder *b, const struct ox_batch *batch, uint32_t first)
{
    uint32_t next;
    struct ox_rows rows = {.first = first, .count = ox_encode_rows(batch) - first};
    OX_ASSERT(ox_builder_add(b, batch, &rows, &next) == OX_OK);
    return next;
}

static void
measure(enum ox_signal signal)
{
    struct telemetry_gen *g = malloc(sizeof(*g));
    struct ox_batch *batches[BATCHES];
    struct ox_encoded out = {0};
    struct ox_series_cache *cache =
        signal == OX_SIGNAL_METRICS ? ox_series_cache_new(OX_SERIES_CACHE_KEYS) : NULL;
    OX_ASSERT(g != NULL);
    gen_init(g, 1, START_NS);
    for (uint32_t i = 0; i < BATCHES; i++)
        batches[i] = next_batch(g, signal, STEP_NS);
    struct ox_builder *b = ox_builder_new(signal, ox_encode_partition(batches[0], 0), cache);
    uint64_t add_ns = 0, finish_ns = 0, rows = 0, bytes = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint64_t t0 = cpu_ns();
        for (uint32_t i = 0; i < BATCHES; i++)
            OX_ASSERT(must_add(b, batches[i], 0) == ox_encode_rows(batches[i]));
        uint64_t n = ox_builder_rows(b), t1 = cpu_ns();
        OX_ASSERT(ox_builder_finish(b, round + 1, &out) == OX_OK);
        if (cache != NULL)
            ox_series_cache_commit(cache, &out);
        uint64_t t2 = cpu_ns();
        if (round == 0)
            continue; /* warms up: memory, dictionaries of the predictor, the series cache */
        add_ns += t1 - t0;
        finish_ns += t2 - t1;
        rows += n;
        for (size_t i = 0; i < out.n_blocks; i++)
            bytes += out.blocks[i].native.len;
    }
    printf("encode %-8s %7.1f ns/row add %6.1f ns/row finish %7.1f bytes/row\n", ox_signal_name(signal),
           (double)add_ns / (double)rows, (double)finish_ns / (double)rows, (double)bytes / (double)rows);
    for (uint32_t i = 0; i < BATCHES; i++)
        ox_batch_free(batches[i]);
    ox_encoded_fini(&out);
    ox_builder_free(b);
    ox_series_cache_free(cache);
    free(g);
}

static void
dump_blocks(const struct ox_encoded *out, FILE *rows, FILE *series)
{
    for (size_t i = 0; i < out->n_blocks; i++) {
        FILE *to = out->blocks[i].table == OX_TABLE_SERIES ? series : rows;
        const struct ox_buf *native = &out->blocks[i].native;
        OX_ASSERT(fwrite(native->data, 1, native->len, to) == native->len);
    }
}

/* Blocks as a writer makes them: full, or at the end of a partition. */
static void
dump(enum ox_signal signal, FILE *rows_to, FILE *series_to, uint64_t rows_max)
{
    struct telemetry_gen *g = malloc(sizeof(*g));
    struct ox_series_cache *cache =
        signal == OX_SIGNAL_METRICS ? ox_series_cache_new(OX_SERIES_CACHE_KEYS) : NULL;
    struct ox_builder *b = NULL;
    struct ox_encoded out = {0};
    uint64_t block_id = 1, rows = 0;
    OX_ASSERT(g != NULL);
    gen_init(g, 1, START_NS);
    while (rows < rows_max) {
        struct ox_batch *batch = next_batch(g, signal, DUMP_STEP_NS);
        uint32_t n = ox_encode_rows(batch), next = 0, partition = ox_encode_partition(batch, 0);
        if (b == NULL)
            b = ox_builder_new(signal, partition, cache);
        while (next < n) {
            if (ox_builder_full(b) || ox_builder_partition(b) != partition) {
                OX_ASSERT(ox_builder_finish(b, block_id++, &out) == OX_OK);
                dump_blocks(&out, rows_to, series_to);
                if (cache != NULL)
                    ox_series_cache_commit(cache, &out);
                ox_builder_set_partition(b, partition);
            }
            next = must_add(b, batch, next);
        }
        rows += n;
        ox_batch_free(batch);
    }
    OX_ASSERT(ox_builder_finish(b, block_id, &out) == OX_OK);
    dump_blocks(&out, rows_to, series_to);
    ox_encoded_fini(&out);
    ox_builder_free(b);
    ox_series_cache_free(cache);
    free(g);
}

static int
dump_main(char **argv)
{
    char name[4096];
    snprintf(name, sizeof(name), "%s.series", argv[2]);
    FILE *rows = fopen(argv[2], "wb"), *series = fopen(name, "wb");
    if (rows == NULL || series == NULL) {
        perror(argv[2]);
        return 1;
    }
    for (int s = 0; s < OX_SIGNAL__COUNT; s++) {
        if (strcmp(argv[1], ox_signal_name((enum ox_signal)s)) == 0)
            dump((enum ox_signal)s, rows, series, strtoull(argv[3], NULL, 10));
    }
    return fclose(rows) != 0 || fclose(series) != 0;
}

int
main(int argc, char **argv)
{
    if (argc == 4)
        return dump_main(argv);
    for (int s = 0; s < OX_SIGNAL__COUNT; s++)
        measure((enum ox_signal)s);
    return 0;
}
