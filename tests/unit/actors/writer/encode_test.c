/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    every field of every row of a batch stands in the block, in the right partition, once.
 * Method:  random batches, encoded, read back by a reader written apart from the encoder, each cell compared
 *          with what the batch says. The seed is in the message of a failure.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/encode.h"
#include "tests/harness/batch_check.h"
#include "tests/harness/native_reader.h"
#include "tests/harness/random_batch.h"

#define HOUR_NS 3600000000000ull
#define FROM_NS (498660 * HOUR_NS)
#define SEEDS   25

static uint64_t seed_now;
static const struct ox_batch *batch_now;

/* Adds all rows of the batch and finishes. */
static void
encode(struct ox_builder *b, const struct ox_rows *rows, struct ox_encoded *out)
{
    uint32_t next;
    cr_assert_eq(ox_builder_add(b, batch_now, rows, &next), OX_OK);
    cr_assert_eq(next, rows->first + rows->count);
    cr_assert_eq(ox_builder_finish(b, 77, out), OX_OK);
}

static struct native_block *
block_of(const struct ox_encoded *out, enum ox_table table)
{
    for (size_t i = 0; i < out->n_blocks; i++) {
        if (out->blocks[i].table != table)
            continue;
        struct native_block *block = native_read(out->blocks[i].native.data, out->blocks[i].native.len);
        cr_assert_eq(block->n_rows, out->blocks[i].rows);
        for (size_t row = 0; row < block->n_rows; row++)
            cr_assert_eq(strtoull(native_cell(block, "block_id", row), NULL, 10), 77 + i,
                         "what the outbox asks storage for, to see whether block %zu arrived", i);
        return block;
    }
    return NULL;
}

static bool
stored(uint32_t row, uint32_t partition, uint8_t reject)
{
    return reject == OX_REJECT_NONE && ox_encode_partition(batch_now, row) == partition;
}

/* Checks all partitions of the batch, one builder for each after the other. */
static void
check_rows(enum ox_signal signal, enum ox_table table)
{
    uint32_t partitions[OX_PARTITIONS_MAX];
    size_t n = ox_encode_partitions(batch_now, partitions, OX_PARTITIONS_MAX), rows = 0, want = 0;
    struct ox_encoded out = {0};
    struct ox_builder *b = ox_builder_new(signal, 0, NULL);
    for (size_t k = 0; k < n; k++) {
        ox_builder_set_partition(b, partitions[k]);
        encode(b, &(struct ox_rows){.count = ox_encode_rows(batch_now)}, &out);
        struct native_block *block = block_of(&out, table);
        size_t at = 0;
        for (uint32_t row = 0; row < ox_encode_rows(batch_now); row++) {
            bool span = signal == OX_SIGNAL_TRACES;
            if (!stored(row, partitions[k],
                        span ? batch_now->spans[row].reject : batch_now->logs[row].reject))
                continue;
            if (span)
                check_span(block, at++, &batch_now->spans[row]);
            else
                check_log(block, at++, &batch_now->logs[row]);
        }
        cr_assert_eq(at, block->n_rows);
        rows += at;
        native_free(block);
    }
    for (uint32_t row = 0; row < ox_encode_rows(batch_now); row++)
        want +=
            (signal == OX_SIGNAL_TRACES ? batch_now->spans[row].reject : batch_now->logs[row].reject) == 0;
    cr_assert_eq(rows, want, "every row that is not refused lies in one partition");
    ox_builder_free(b);
    ox_encoded_fini(&out);
}

static struct ox_batch *
random_batch(enum ox_signal signal, uint64_t seed)
{
    struct random_batch options = {.seed = seed,
                                   .rows = 1 + (uint32_t)(seed * 37 % 200),
                                   .from_ns = FROM_NS,
                                   .span_ns = seed % 2 == 0 ? HOUR_NS : 26 * HOUR_NS,
                                   .plain = seed % 3 == 0,
                                   .words_max = seed % 4 == 0 ? 4000 : 30};
    struct ox_batch *batch = random_batch_new(signal, &options);
    seed_now = seed;
    batch_now = batch;
    check_against(batch, seed);
    return batch;
}

Test(encode, every_field_of_spans, .timeout = 120)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct ox_batch *batch = random_batch(OX_SIGNAL_TRACES, seed);
        check_rows(OX_SIGNAL_TRACES, OX_TABLE_TRACES);
        ox_batch_free(batch);
    }
}

Test(encode, every_field_of_logs, .timeout = 120)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct ox_batch *batch = random_batch(OX_SIGNAL_LOGS, seed);
        check_rows(OX_SIGNAL_LOGS, OX_TABLE_LOGS);
        ox_batch_free(batch);
    }
}

/* The row of the block of series that is about `point`; each series may have been written by another point. */
static void
check_series_of(const struct native_block *series, uint32_t point, uint32_t day)
{
    char want[24];
    snprintf(want, sizeof(want), "%" PRIu64, ox_encode_series_id(batch_now, point));
    size_t found = 0;
    for (size_t row = 0; row < series->n_rows; row++) {
        if (strcmp(native_cell(series, "series_id", row), want) != 0)
            continue;
        if (found++ == 0)
            check_series(series, row, point, day);
    }
    cr_assert_geq(found, 1, "seed %" PRIu64 ": a point without its series", seed_now);
}

static void
check_points_of(uint32_t day, const struct ox_encoded *out)
{
    struct native_block *numbers = block_of(out, OX_TABLE_POINTS),
                        *histograms = block_of(out, OX_TABLE_HISTOGRAMS);
    struct native_block *exemplars = block_of(out, OX_TABLE_EXEMPLARS),
                        *series = block_of(out, OX_TABLE_SERIES);
    size_t n = 0, h = 0, x = 0;
    for (uint32_t i = 0; i < batch_now->n_points; i++) {
        const struct ox_point *p = &batch_now->points[i];
        if (!stored(i, day, p->reject))
            continue;
        if (batch_now->metrics[p->metric].type <= OX_METRIC_SUM)
            check_number(numbers, n++, i);
        else
            check_histogram(histograms, h++, i);
        for (uint32_t j = 0; j < ox_point_more(batch_now, p)->exemplars.count; j++)
            check_exemplar(exemplars, x++, i,
                           &batch_now->exemplars[ox_point_more(batch_now, p)->exemplars.first + j]);
        check_series_of(series, i, day);
    }
    struct native_block *all[] = {numbers, histograms, exemplars, series};
    const size_t rows[] = {n, h, x};
    for (size_t i = 0; i < OX_COUNT(all); i++) {
        cr_assert(i == 3 || (all[i] != NULL ? all[i]->n_rows : 0) == rows[i]);
        if (all[i] != NULL)
            native_free(all[i]);
    }
}

Test(encode, every_field_of_points, .timeout = 120)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct ox_batch *batch = random_batch(OX_SIGNAL_METRICS, seed);
        uint32_t days[OX_PARTITIONS_MAX];
        struct ox_series_cache *cache = ox_series_cache_new(1 << 12);
        struct ox_builder *b = ox_builder_new(OX_SIGNAL_METRICS, 0, cache);
        struct ox_encoded out = {0};
        size_t n = ox_encode_partitions(batch, days, OX_PARTITIONS_MAX);
        for (size_t k = 0; k < n; k++) {
            ox_builder_set_partition(b, days[k]);
            encode(b, &(struct ox_rows){.count = batch->n_points}, &out);
            check_points_of(days[k], &out);
        }
        ox_builder_free(b);
        ox_encoded_fini(&out);
        ox_series_cache_free(cache);
        ox_batch_free(batch);
    }
}

Test(encode, only_kept_rows_with_their_weights)
{
    struct ox_batch *batch = random_batch(OX_SIGNAL_TRACES, 6); /* plain, one hour */
    uint64_t keep[8] = {0};
    struct ox_encoded out = {0};
    struct ox_builder *b = ox_builder_new(OX_SIGNAL_TRACES, FROM_NS / HOUR_NS, NULL);
    cr_assert_gt(batch->n_spans, 10);
    for (uint32_t i = 0; i < batch->n_spans; i++) {
        batch->spans[i].weight = 1 + i / 4.0;
        keep[i / 64] |= (uint64_t)(i % 3 == 0) << (i % 64);
    }
    encode(b, &(struct ox_rows){.first = 1, .count = batch->n_spans - 1, .keep = keep}, &out);
    struct native_block *block = block_of(&out, OX_TABLE_TRACES);
    cr_assert_eq(block->n_rows, (batch->n_spans - 1) / 3);
    for (uint32_t i = 0; i < block->n_rows; i++) {
        char span_id[17], weight[32];
        ox_hex_encode(batch->spans[3 * (i + 1)].span_id, 8, span_id);
        snprintf(weight, sizeof(weight), "%.17g", batch->spans[3 * (i + 1)].weight);
        cr_assert_str_eq(native_cell(block, "span_id", i), span_id);
        cr_assert_str_eq(native_cell(block, "sample_weight", i), weight);
    }
    native_free(block);
    ox_builder_free(b);
    ox_encoded_fini(&out);
    ox_batch_free(batch);
}

/* What a policy drops leaves its trace in the counts: calls stay true. */
Test(encode, what_is_sampled_out_is_counted_and_not_stored)
{
    struct ox_batch *batch = random_batch(OX_SIGNAL_TRACES, 6);
    struct ox_encoded out = {0};
    struct ox_builder *b = ox_builder_new(OX_SIGNAL_TRACES, FROM_NS / HOUR_NS, NULL);
    uint64_t calls = 0;
    for (uint32_t i = 0; i < batch->n_spans; i++)
        batch->spans[i].sampled_out = i % 3 != 0;
    encode(b, &(struct ox_rows){.count = batch->n_spans}, &out);
    struct native_block *block = block_of(&out, OX_TABLE_TRACES);
    cr_assert_eq(block->n_rows, (batch->n_spans + 2) / 3);
    cr_assert_str_eq(native_cell(block, "sample_weight", 0), "1", "of a span that nobody weighed");
    native_free(block);
    block = block_of(&out, OX_TABLE_SPAN_STATS);
    for (uint32_t i = 0; i < block->n_rows; i++)
        calls += strtoull(native_cell(block, "calls", i), NULL, 10);
    cr_assert_eq(calls, batch->n_spans);
    native_free(block);
    for (uint32_t i = 0; i < batch->n_spans; i++)
        batch->spans[i].sampled_out = true;
    encode(b, &(struct ox_rows){.count = batch->n_spans}, &out);
    cr_assert_eq(out.n_blocks, 1, "counts alone");
    cr_assert_eq(out.blocks[0].table, OX_TABLE_SPAN_STATS);
    ox_builder_free(b);
    ox_encoded_fini(&out);
    ox_batch_free(batch);
}

Test(encode, partitions_are_hours_and_days)
{
    struct ox_batch *batch = random_batch(OX_SIGNAL_TRACES, 6);
    uint32_t out[4];
    uint32_t hour = FROM_NS / HOUR_NS;
    for (uint32_t i = 0; i < batch->n_spans; i++)
        batch->spans[i].start_ns = FROM_NS + (i == 0 ? HOUR_NS : 0) + (i == 1 ? HOUR_NS - 1 : 0);
    cr_assert_eq(ox_encode_partition(batch, 0), hour + 1);
    cr_assert_eq(ox_encode_partition(batch, 1), hour);
    cr_assert_eq(ox_encode_partitions(batch, out, 4), 2);
    cr_assert_eq(out[0], hour + 1);
    cr_assert_eq(out[1], hour);
    cr_assert_eq(ox_encode_partitions(batch, out, 1), 2, "more than fit");
    for (uint32_t i = 0; i < batch->n_spans; i++)
        batch->spans[i].reject = OX_REJECT_NAME;
    cr_assert_eq(ox_encode_partitions(batch, out, 4), 0);
    ox_batch_free(batch);
    batch = random_batch(OX_SIGNAL_LOGS, 6);
    batch->logs[0].time_ns = batch->logs[0].observed_ns = 0;
    batch->received_ns = 5 * 24 * HOUR_NS + 1;
    cr_assert_eq(ox_encode_partition(batch, 0), 5);
    ox_batch_free(batch);
}

/* Fills a builder with the same batch until it is full. */
static size_t
fill(struct ox_builder *b, const struct ox_batch *batch, uint32_t *next)
{
    size_t adds = 0;
    while (!ox_builder_full(b)) {
        struct ox_rows rows = {.count = ox_encode_rows(batch)};
        cr_assert_eq(ox_builder_add(b, batch, &rows, next), OX_OK);
        adds++;
    }
    return adds;
}

Test(encode, a_builder_stops_at_its_rows, .timeout = 60)
{
    struct random_batch options = {
        .seed = 1, .rows = 333, .from_ns = FROM_NS, .span_ns = HOUR_NS, .plain = true, .words_max = 3};
    struct ox_batch *batch = random_batch_new(OX_SIGNAL_LOGS, &options);
    uint32_t next = 0;
    struct ox_builder *b = ox_builder_new(OX_SIGNAL_LOGS, FROM_NS / HOUR_NS / 24, NULL);
    size_t adds = fill(b, batch, &next);
    cr_assert_eq(ox_builder_rows(b), OX_BLOCK_ROWS_MAX);
    cr_assert_eq((adds - 1) * 333 + next, OX_BLOCK_ROWS_MAX,
                 "next is the first row that is not in the block");
    cr_assert_lt(ox_builder_bytes(b), OX_BLOCK_BYTES_MAX);
    struct ox_rows rest = {.first = next, .count = 333 - next};
    uint32_t after;
    cr_assert_eq(ox_builder_add(b, batch, &rest, &after), OX_OK);
    cr_assert_eq(after, next, "a full builder takes nothing");
    ox_builder_free(b);
    ox_batch_free(batch);
}

Test(encode, a_builder_stops_at_its_bytes, .timeout = 60)
{
    struct random_batch options = {
        .seed = 1, .rows = 100, .from_ns = FROM_NS, .span_ns = 1, .plain = true, .words_max = 3};
    struct ox_batch *batch = random_batch_new(OX_SIGNAL_LOGS, &options);
    static char big[10000];
    memset(big, 'b', sizeof(big));
    for (uint32_t i = 0; i < batch->n_logs; i++)
        batch->logs[i].body = (struct ox_any){.type = OX_ANY_STRING, .str = {big, sizeof(big)}};
    uint32_t next = 0;
    struct ox_builder *b = ox_builder_new(OX_SIGNAL_LOGS, FROM_NS / HOUR_NS / 24, NULL);
    fill(b, batch, &next);
    cr_assert_geq(ox_builder_bytes(b), OX_BLOCK_BYTES_MAX);
    cr_assert_lt(ox_builder_bytes(b), OX_BLOCK_BYTES_MAX + 64 * 2 * sizeof(big));
    struct ox_encoded out = {0};
    cr_assert_eq(ox_builder_finish(b, 1, &out), OX_OK);
    cr_assert_eq(ox_builder_rows(b), 0);
    cr_assert_not(ox_builder_full(b));
    ox_encoded_fini(&out);
    ox_builder_free(b);
    ox_batch_free(batch);
}

static void
collect(void *arg, size_t block, const void *bytes, size_t n)
{
    ox_buf_append((struct ox_buf *)arg + block, bytes, n);
}

Test(encode, pieces_are_the_block)
{
    struct ox_batch *batch = random_batch(OX_SIGNAL_METRICS, 6);
    struct ox_series_cache *cache = ox_series_cache_new(1024);
    struct ox_builder *b = ox_builder_new(OX_SIGNAL_METRICS, ox_encode_partition(batch, 0), cache);
    struct ox_encoded whole = {0}, pieces = {0};
    struct ox_buf bytes[OX_ENCODED_BLOCKS_MAX] = {0};
    struct ox_rows rows = {.count = batch->n_points};
    uint32_t next;
    encode(b, &rows, &whole);
    cr_assert_eq(ox_builder_add(b, batch, &rows, &next), OX_OK);
    cr_assert_eq(ox_builder_finish_to(b, 77, &pieces, collect, bytes), OX_OK);
    cr_assert_eq(pieces.n_blocks, whole.n_blocks);
    cr_assert_eq(pieces.n_series_keys, whole.n_series_keys);
    cr_assert_geq(whole.n_blocks, 2);
    for (size_t i = 0; i < whole.n_blocks; i++) {
        cr_assert_eq(pieces.blocks[i].table, whole.blocks[i].table);
        cr_assert_eq(pieces.blocks[i].rows, whole.blocks[i].rows);
        cr_assert_eq(pieces.blocks[i].native.len, 0);
        cr_assert(ox_str_eq(ox_buf_str(&bytes[i]), ox_buf_str(&whole.blocks[i].native)));
        ox_buf_fini(&bytes[i]);
    }
    ox_builder_free(b);
    ox_encoded_fini(&whole);
    ox_encoded_fini(&pieces);
    ox_series_cache_free(cache);
    ox_batch_free(batch);
}
