/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:   every stored span is counted once, under its tenant, service, operation, kind, status and minute, in the bucket of
 *         its duration; nothing else is; and names without end do not make rows without end.
 * Method: random batches through a builder, each row of otel_span_stats compared with a count over the batch.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/writer/span_stats.h"
#include "ox/encode.h"
#include "ox/exphist.h"
#include "tests/harness/native_reader.h"
#include "tests/harness/random_batch.h"

#define HOUR_NS   3600000000000ull
#define MINUTE_NS 60000000000ull
#define HOUR      498660u

static struct ox_batch *
spans_of_an_hour(uint64_t seed, uint32_t rows)
{
    struct random_batch options = {.seed = seed,
                                   .rows = rows,
                                   .from_ns = HOUR * HOUR_NS,
                                   .span_ns = HOUR_NS,
                                   .plain = true,
                                   .words_max = 8};
    struct ox_batch *batch = random_batch_new(OX_SIGNAL_TRACES, &options);
    for (uint32_t i = 0; i < batch->n_spans; i++) { /* few operations, so that calls come together */
        struct ox_span *s = &batch->spans[i];
        s->name = ox_str_of(i % 3 == 0 ? "GET /" : "POST /");
        s->kind = (uint8_t)(1 + i % 2);
        s->start_ns = HOUR * HOUR_NS + i % 4 * MINUTE_NS + i;
        s->end_ns = s->start_ns + (i % 7 == 0 ? 0 : seed * 7919 * i % 100000007);
    }
    return batch;
}

static struct native_block *
finish(struct ox_builder *b, struct ox_encoded *out)
{
    cr_assert_eq(ox_builder_finish(b, 77, out), OX_OK);
    for (size_t i = 0; i < out->n_blocks; i++) {
        if (out->blocks[i].table == OX_TABLE_SPAN_STATS)
            return native_read(out->blocks[i].native.data, out->blocks[i].native.len);
    }
    cr_assert_fail("no block of otel_span_stats");
    return NULL;
}

static void
add(struct ox_builder *b, const struct ox_batch *batch, const uint64_t *keep)
{
    uint32_t next;
    struct ox_rows rows = {.count = batch->n_spans, .keep = keep};
    cr_assert_eq(ox_builder_add(b, batch, &rows, &next), OX_OK);
    cr_assert_eq(next, batch->n_spans);
}

static uint64_t
number(const struct native_block *block, const char *column, size_t row)
{
    return strtoull(native_cell(block, column, row), NULL, 10);
}

static bool
same_text(const char *cell, struct ox_str s)
{
    return strlen(cell) == s.n + 2 && (s.n == 0 || memcmp(cell + 1, s.p, s.n) == 0); /* 'text' */
}

static bool
belongs(const struct native_block *block, size_t row, const struct ox_batch *batch, const struct ox_span *s)
{
    const struct ox_resource *r = &batch->resources[batch->scopes[s->scope].resource];
    return s->reject == OX_REJECT_NONE && same_text(native_cell(block, "name", row), s->name) &&
           same_text(native_cell(block, "service_name", row), r->service_name) &&
           same_text(native_cell(block, "tenant_id", row), ox_str_of(batch->tenant.name)) &&
           number(block, "kind", row) == s->kind && number(block, "status_code", row) == s->status_code &&
           number(block, "time", row) == s->start_ns / MINUTE_NS * 60;
}

static void
hex(const uint8_t id[16], char out[33])
{
    for (int i = 0; i < 16; i++)
        snprintf(out + 2 * i, 3, "%02x", id[i]);
}

/* The row against a count over the batch; returns its calls. */
static uint64_t
check_row(const struct native_block *block, size_t row, const struct ox_batch *batch)
{
    static uint32_t buckets[UINT16_MAX + 1];
    uint64_t calls = 0, sum = 0, min = UINT64_MAX, max = 0;
    bool slowest = false;
    memset(buckets, 0, sizeof(buckets));
    for (uint32_t i = 0; i < batch->n_spans; i++) {
        const struct ox_span *s = &batch->spans[i];
        if (!belongs(block, row, batch, s))
            continue;
        uint64_t ns = s->end_ns - s->start_ns;
        char id[33];
        calls++, sum += ns, min = ns < min ? ns : min, max = ns > max ? ns : max;
        buckets[ox_exphist_index(ns) - INT16_MIN]++;
        hex(s->trace_id, id);
        slowest |= ns == number(block, "duration_max_ns", row) &&
                   strcmp(id, native_cell(block, "slowest_trace_id", row)) == 0;
    }
    cr_assert_eq(number(block, "calls", row), calls);
    cr_assert_eq(number(block, "duration_sum_ns", row), sum);
    cr_assert_eq(number(block, "duration_min_ns", row), min);
    cr_assert_eq(number(block, "duration_max_ns", row), max);
    cr_assert(slowest, "a trace whose call took the longest");
    struct ox_buf indexes = {0}, counts = {0};
    for (int i = INT16_MIN; i <= INT16_MAX; i++) {
        if (buckets[i - INT16_MIN] == 0)
            continue;
        ox_buf_printf(&indexes, "%s%d", indexes.len > 0 ? "," : "[", i);
        ox_buf_printf(&counts, "%s%u", counts.len > 0 ? "," : "[", buckets[i - INT16_MIN]);
    }
    ox_buf_printf(&indexes, "]%c", 0);
    ox_buf_printf(&counts, "]%c", 0);
    cr_assert_str_eq(native_cell(block, "buckets.index", row), (const char *)indexes.data);
    cr_assert_str_eq(native_cell(block, "buckets.count", row), (const char *)counts.data);
    ox_buf_fini(&indexes);
    ox_buf_fini(&counts);
    return calls;
}

Test(span_stats, each_row_is_a_count_over_the_batch, .timeout = 120)
{
    struct ox_builder *b = ox_builder_new(OX_SIGNAL_TRACES, HOUR, NULL);
    struct ox_encoded out = {0};
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct ox_batch *batch = spans_of_an_hour(seed, 400);
        uint64_t calls = 0, spans = 0;
        add(b, batch, NULL);
        struct native_block *block = finish(b, &out);
        for (size_t row = 0; row < block->n_rows; row++)
            calls += check_row(block, row, batch);
        for (uint32_t i = 0; i < batch->n_spans; i++)
            spans += batch->spans[i].reject == OX_REJECT_NONE;
        cr_assert_eq(calls, spans, "every stored span in one row");
        cr_assert_eq(out.blocks[0].rows, spans);
        native_free(block);
        ox_batch_free(batch);
    }
    ox_builder_free(b);
    ox_encoded_fini(&out);
}

/* What a replay leaves out because another block has it, is counted there. */
Test(span_stats, only_what_the_block_holds_is_counted)
{
    struct ox_builder *b = ox_builder_new(OX_SIGNAL_TRACES, HOUR, NULL);
    struct ox_encoded out = {0};
    struct ox_batch *batch = spans_of_an_hour(3, 64);
    const uint64_t odd = 0xaaaaaaaaaaaaaaaaull;
    add(b, batch, &odd);
    struct native_block *block = finish(b, &out);
    uint64_t calls = 0, spans = 0;
    for (size_t row = 0; row < block->n_rows; row++)
        calls += number(block, "calls", row);
    for (uint32_t i = 1; i < batch->n_spans; i += 2)
        spans += batch->spans[i].reject == OX_REJECT_NONE;
    cr_assert_eq(calls, spans);
    cr_assert_gt(spans, 0);
    native_free(block);
    ox_batch_free(batch);
    ox_builder_free(b);
    ox_encoded_fini(&out);
}

Test(span_stats, names_without_end_are_counted_together, .timeout = 120)
{
    enum { BATCHES = 60, ROWS = 400 };
    struct ox_builder *b = ox_builder_new(OX_SIGNAL_TRACES, HOUR, NULL);
    struct ox_encoded out = {0};
    static char names[BATCHES * ROWS][16];
    uint64_t calls = 0, spans = 0, other = 0;
    for (uint32_t k = 0; k < BATCHES; k++) {
        struct ox_batch *batch = spans_of_an_hour(k + 1, ROWS);
        for (uint32_t i = 0; i < batch->n_spans; i++) {
            snprintf(names[k * ROWS + i], sizeof(names[0]), "op %u", k * ROWS + i);
            batch->spans[i].name = ox_str_of(names[k * ROWS + i]);
            batch->spans[i].status_code = 0;
            spans += batch->spans[i].reject == OX_REJECT_NONE;
        }
        add(b, batch, NULL);
        ox_batch_free(batch);
    }
    struct native_block *block = finish(b, &out);
    for (size_t row = 0; row < block->n_rows; row++) {
        bool is_other = strcmp(native_cell(block, "name", row), "'" OX__SPAN_STATS_OTHER "'") == 0;
        calls += number(block, "calls", row);
        other += is_other ? number(block, "calls", row) : 0;
    }
    cr_assert_eq(calls, spans, "all are counted all the same");
    cr_assert_eq(other, spans - OX__SPAN_STATS_NAMED);
    cr_assert_lt(block->n_rows, OX__SPAN_STATS_NAMED + 1000u);
    native_free(block);
    ox_builder_free(b);
    ox_encoded_fini(&out);
}
