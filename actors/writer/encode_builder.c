/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/encode_builder.c - one builder: the blocks of one signal and one partition.
 *
 * Owns:    struct ox_builder.
 * Threads: one owner at a time.
 * Bounds:  OX_BLOCK_ROWS_MAX, OX_BLOCK_BYTES_MAX; looked at every ADD_PIECE rows.
 * Fails:   OX_E_NOMEM.
 * Flow:    writer actor -> here -> encode_spans.c, encode_logs.c, encode_points.c -> native.c.
 */
#include <stdlib.h>

#include "encode_rows.h"

/* Rows between two looks at the bytes: a look costs some 100 ns. */
#define ADD_PIECE 64u

#define HOUR_NS (3600ull * 1000000000ull)
#define DAY_NS  (24 * HOUR_NS)

static uint64_t
partition_span_ns(enum ox_signal signal)
{
    return signal == OX_SIGNAL_TRACES ? HOUR_NS : DAY_NS;
}

uint32_t
ox_encode_rows(const struct ox_batch *batch)
{
    switch (batch->signal) {
    case OX_SIGNAL_TRACES:
        return batch->n_spans;
    case OX_SIGNAL_LOGS:
        return batch->n_logs;
    default:
        return batch->n_points;
    }
}

static uint64_t
row_time_ns(const struct ox_batch *batch, uint32_t row, bool *refused)
{
    switch (batch->signal) {
    case OX_SIGNAL_TRACES:
        *refused = batch->spans[row].reject != OX_REJECT_NONE;
        return batch->spans[row].start_ns;
    case OX_SIGNAL_LOGS:
        *refused = batch->logs[row].reject != OX_REJECT_NONE;
        return ox__log_time(batch, &batch->logs[row]);
    default:
        *refused = batch->points[row].reject != OX_REJECT_NONE;
        return batch->points[row].time_ns;
    }
}

uint32_t
ox_encode_partition(const struct ox_batch *batch, uint32_t row)
{
    bool refused;
    OX_ASSERT(row < ox_encode_rows(batch));
    return (uint32_t)(row_time_ns(batch, row, &refused) / partition_span_ns(batch->signal));
}

size_t
ox_encode_partitions(const struct ox_batch *batch, uint32_t *out, size_t cap)
{
    uint64_t span_ns = partition_span_ns(batch->signal);
    uint64_t from_ns = UINT64_MAX; /* of the previous row's partition */
    size_t n = 0;
    uint32_t rows = ox_encode_rows(batch);
    for (uint32_t row = 0; row < rows; row++) {
        bool refused;
        uint64_t ns = row_time_ns(batch, row, &refused);
        if (refused || ns - from_ns < span_ns)
            continue;
        from_ns = ns / span_ns * span_ns;
        uint32_t partition = (uint32_t)(ns / span_ns);
        size_t i = 0;
        while (i < n && i < cap && out[i] != partition)
            i++;
        if (i == n && n < cap)
            out[n++] = partition;
        else if (i == cap)
            return cap + 1;
    }
    return n;
}

static size_t
signal_tables(enum ox_signal signal, enum ox_table *tables)
{
    if (signal == OX_SIGNAL_LOGS) {
        tables[B_ROWS] = OX_TABLE_LOGS;
        return 1;
    }
    if (signal == OX_SIGNAL_TRACES) {
        tables[B_ROWS] = OX_TABLE_TRACES;
        tables[B_SPAN_STATS] = OX_TABLE_SPAN_STATS;
        return 2;
    }
    tables[B_ROWS] = OX_TABLE_POINTS;
    tables[B_SERIES] = OX_TABLE_SERIES;
    tables[B_HISTOGRAMS] = OX_TABLE_HISTOGRAMS;
    tables[B_EXEMPLARS] = OX_TABLE_EXEMPLARS;
    return OX_ENCODED_BLOCKS_MAX;
}

struct ox_builder *
ox_builder_new(enum ox_signal signal, uint32_t partition, struct ox_series_cache *cache)
{
    OX_ASSERT((signal == OX_SIGNAL_METRICS) == (cache != NULL));
    struct ox_builder *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return NULL;
    b->magic = OX_BUILDER_MAGIC;
    b->signal = signal;
    b->cache = cache;
    b->n_blocks = signal_tables(signal, b->tables);
    for (size_t i = 0; i < b->n_blocks; i++) {
        if (ox__block_init(&b->blocks[i], b->tables[i]) != OX_OK) {
            ox_builder_free(b);
            return NULL;
        }
    }
    ox__span_stats_init(&b->stats, &b->blocks[B_SPAN_STATS]);
    ox__origin_forget(&b->origin);
    ox_builder_set_partition(b, partition);
    return b;
}

void
ox_builder_free(struct ox_builder *b)
{
    if (b == NULL)
        return;
    OX_CHECK_OBJ(b, OX_BUILDER_MAGIC);
    for (size_t i = 0; i < b->n_blocks; i++)
        ox__block_fini(&b->blocks[i]);
    ox__span_stats_fini(&b->stats);
    ox__origin_fini(&b->origin);
    ox_buf_fini(&b->text);
    ox_buf_fini(&b->types);
    free(b->series_keys);
    b->magic = 0;
    free(b);
}

void
ox_builder_set_partition(struct ox_builder *b, uint32_t partition)
{
    OX_CHECK_OBJ(b, OX_BUILDER_MAGIC);
    OX_ASSERT(b->rows == 0);
    b->partition = partition;
    b->span_ns = partition_span_ns(b->signal);
    b->from_ns = partition * b->span_ns;
}

uint32_t
ox_builder_partition(const struct ox_builder *b)
{
    return b->partition;
}

bool
ox_builder_takes(const struct ox_builder *b, const struct ox_batch *batch, uint32_t row)
{
    bool refused;
    return ox__in_partition(b, row_time_ns(batch, row, &refused));
}

size_t
ox_builder_rows(const struct ox_builder *b)
{
    return b->rows;
}

size_t
ox_builder_bytes(const struct ox_builder *b)
{
    size_t bytes = ox__span_stats_bytes(&b->stats);
    for (size_t i = 0; i < b->n_blocks; i++)
        bytes += ox__block_bytes(&b->blocks[i]);
    return bytes;
}

bool
ox_builder_full(const struct ox_builder *b)
{
    for (size_t i = 0; i < b->n_blocks; i++) {
        if (b->blocks[i].rows >= OX_BLOCK_ROWS_MAX)
            return true;
    }
    return b->rows >= OX_BLOCK_ROWS_MAX || ox_builder_bytes(b) >= OX_BLOCK_BYTES_MAX;
}

static void
add_piece(struct ox_builder *b, const struct ox_batch *batch, const struct ox_rows *piece)
{
    switch (b->signal) {
    case OX_SIGNAL_TRACES:
        ox__encode_spans(b, batch, piece);
        break;
    case OX_SIGNAL_LOGS:
        ox__encode_logs(b, batch, piece);
        break;
    default:
        ox__encode_points(b, batch, piece);
        break;
    }
}

static bool
any_failed(const struct ox_builder *b)
{
    bool failed = b->failed || b->stats.failed;
    for (size_t i = 0; i < b->n_blocks; i++)
        failed |= ox__block_failed(&b->blocks[i]);
    return failed;
}

ox_err
ox_builder_add(struct ox_builder *b, const struct ox_batch *batch, const struct ox_rows *rows, uint32_t *next)
{
    OX_CHECK_OBJ(b, OX_BUILDER_MAGIC);
    OX_CHECK_OBJ(batch, OX_BATCH_MAGIC);
    OX_ASSERT(batch->signal == b->signal);
    OX_ASSERT(rows->first <= ox_encode_rows(batch) && rows->count <= ox_encode_rows(batch) - rows->first);
    ox__origin_forget(&b->origin);
    ox__span_stats_forget(&b->stats);
    b->series.metric = OX__NONE;
    b->series.scope = OX__NONE;
    b->named_metric = OX__NONE;
    if (b->signal == OX_SIGNAL_METRICS) {
        b->tenant_hash = ox__tenant_hash(&batch->tenant);
        if (b->ticket == 0)
            b->ticket = ox__series_cache_ticket(b->cache);
    }
    struct ox_rows piece = *rows;
    uint32_t end = rows->first + rows->count;
    while (piece.first < end && !b->failed && !ox_builder_full(b)) {
        uint32_t room = OX_BLOCK_ROWS_MAX - b->rows;
        piece.count = end - piece.first < ADD_PIECE ? end - piece.first : ADD_PIECE;
        if (piece.count > room)
            piece.count = room;
        add_piece(b, batch, &piece);
        piece.first += piece.count;
    }
    *next = piece.first;
    if (any_failed(b)) {
        b->failed = true;
        return OX_E_NOMEM;
    }
    return OX_OK;
}

/* The keys of the series move to `out`, whose memory the builder gets in return. */
static void
hand_over_keys(struct ox_builder *b, struct ox_encoded *out)
{
    uint64_t *keys = out->series_keys;
    size_t cap = out->cap_series_keys;
    out->series_keys = b->series_keys;
    out->n_series_keys = b->n_series_keys;
    out->cap_series_keys = b->cap_series_keys;
    b->series_keys = keys;
    b->cap_series_keys = cap;
    b->n_series_keys = 0;
}

static void
builder_reset(struct ox_builder *b)
{
    for (size_t i = 0; i < b->n_blocks; i++)
        ox__block_reset(&b->blocks[i]);
    ox__origin_forget(&b->origin);
    b->rows = 0;
    b->ticket = 0; /* the next add takes one: finish must not touch the cache */
}

/* Which block the pieces of ox__block_write belong to. */
struct piece_of {
    size_t block;
    ox_block_sink_fn sink;
    void *arg;
};

static void
pass_piece(void *arg, const void *bytes, size_t n)
{
    const struct piece_of *to = arg;
    to->sink(to->arg, to->block, bytes, n);
}

ox_err
ox_builder_finish_to(struct ox_builder *b, uint64_t block_id, struct ox_encoded *out, ox_block_sink_fn sink,
                     void *arg)
{
    OX_CHECK_OBJ(b, OX_BUILDER_MAGIC);
    ox__span_stats_write(&b->stats, (uint32_t)(b->from_ns / 1000000000ull));
    if (any_failed(b))
        return OX_E_NOMEM;
    out->partition = b->partition;
    out->n_blocks = 0;
    for (size_t i = 0; i < b->n_blocks; i++) {
        struct ox_block *block = &b->blocks[i];
        if (block->rows == 0)
            continue;
        struct piece_of to = {out->n_blocks, sink, arg};
        uint64_t id = block_id + out->n_blocks;
        out->blocks[out->n_blocks].table = b->tables[i];
        out->blocks[out->n_blocks].rows = block->rows;
        ox_buf_reset(&out->blocks[out->n_blocks].native);
        out->n_blocks++;
        ox__block_write(block, id, pass_piece, &to);
    }
    hand_over_keys(b, out);
    builder_reset(b);
    return OX_OK;
}

static void
sink_encoded(void *arg, size_t block, const void *bytes, size_t n)
{
    struct ox_encoded *out = arg;
    ox_buf_append(&out->blocks[block].native, bytes, n);
}

ox_err
ox_builder_finish(struct ox_builder *b, uint64_t block_id, struct ox_encoded *out)
{
    ox_err err = ox_builder_finish_to(b, block_id, out, sink_encoded, out);
    for (size_t i = 0; err == OX_OK && i < out->n_blocks; i++) {
        if (out->blocks[i].native.failed) {
            b->failed = true;
            err = OX_E_NOMEM;
        }
    }
    return err;
}

void
ox_encoded_fini(struct ox_encoded *encoded)
{
    for (size_t i = 0; i < OX_ENCODED_BLOCKS_MAX; i++)
        ox_buf_fini(&encoded->blocks[i].native);
    free(encoded->series_keys);
    memset(encoded, 0, sizeof(*encoded));
}
