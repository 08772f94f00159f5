/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/encode.h - from batches to blocks in ClickHouse's Native format.
 *
 * Owns:    the columns of the blocks being built, and the memory of which series were written.
 * Threads: a builder belongs to one thread at a time. A series cache belongs to the writer actor's thread,
 *          where ox_builder_add and ox_series_cache_commit use it; ox_builder_finish and ox_builder_free do
 *          not touch it and may run on a dirty thread.
 * Bounds:  OX_BLOCK_ROWS_MAX rows and OX_BLOCK_BYTES_MAX bytes per builder, see ox_builder_full;
 *          ox_builder_add stops at the first exactly, and looks at the second every 64 rows.
 * Flow:    writer actor, ox_builder_add per batch, ox_builder_finish, outbox, storage.
 *
 * A builder makes the blocks of one signal and one partition: for traces and logs one block, for metrics up
 * to four (points, series, histograms, exemplars). How the writer uses it:
 *
 *     n = ox_encode_partitions(batch, parts, OX_PARTITIONS_MAX);     usually n == 1
 *     for each partition: find or make its builder, then
 *         for (row = 0; row < rows; ) {
 *             ox_builder_add(builder, batch, &(struct ox_rows){.first = row, .count = rows - row}, &next)
 *             note (batch's WAL sequence, ordinals of the builder's partition in [row, next)) with the block
 *             if (ox_builder_full(builder)) finish it
 *             row = next;
 *         }
 *
 * The batch may be freed as soon as ox_builder_add has returned: everything is copied.
 */
#ifndef OX_ENCODE_H
#define OX_ENCODE_H

#include "ox/batch.h"
#include "ox/schema.h"

#define OX_BLOCK_ROWS_MAX  100000u
#define OX_BLOCK_BYTES_MAX (64u << 20)
#define OX_PARTITIONS_MAX  40u

struct ox_builder;
struct ox_series_cache;

/* Rows of the batch of its signal: spans, logs or points. */
uint32_t ox_encode_rows(const struct ox_batch *batch);
/* The partition (hour for spans, day for logs and points, see enum ox_partition_kind) in which a row is
 * stored. */
uint32_t ox_encode_partition(const struct ox_batch *batch, uint32_t row);
/*
 * The distinct partitions of the rows that are not refused, in order of their first row, into `out`; returns
 * how many (0 when every row is refused), or cap + 1 when there are more than `cap`. The accepted window of
 * time bounds them: OX_PARTITIONS_MAX is enough for one of up to 38 hours.
 */
size_t ox_encode_partitions(const struct ox_batch *batch, uint32_t *out, size_t cap);

/* Which rows of a batch are to be added. */
struct ox_rows {
    uint32_t first;
    uint32_t count;
    const uint64_t *keep; /* lend: bit (row % 64) of word (row / 64) set = add; NULL = all */
};

/*
 * A builder for `partition` of `signal`, or NULL (memory). cache: lend, must outlive the builder; needed for
 * OX_SIGNAL_METRICS, otherwise NULL.
 */
struct ox_builder *ox_builder_new(enum ox_signal signal, uint32_t partition, struct ox_series_cache *cache);
/* NULL is allowed. Series that were only in this builder count as not written. */
void ox_builder_free(struct ox_builder *builder);
/* Makes an empty builder (new or just finished) one of another partition; keeps its memory. */
void ox_builder_set_partition(struct ox_builder *builder, uint32_t partition);
uint32_t ox_builder_partition(const struct ox_builder *builder);
/* Whether row `row` of the batch lies in the builder's partition. */
bool ox_builder_takes(const struct ox_builder *builder, const struct ox_batch *batch, uint32_t row);

/*
 * Adds those of `rows` that are not refused and lie in the builder's partition; spans that were sampled out are counted in
 * otel_span_stats only. batch: lend.
 * *next: the first row that was not looked at: rows->first + rows->count, or less when the builder is full.
 * NOMEM: nothing of the builder is usable any more, free it (the rows are still in the log).
 */
OX_MUST_USE ox_err ox_builder_add(struct ox_builder *builder, const struct ox_batch *batch,
                                  const struct ox_rows *rows, uint32_t *next);
/* Rows (of the signal; for metrics: points of all types) since the last finish, and bytes of all columns. */
size_t ox_builder_rows(const struct ox_builder *builder);
size_t ox_builder_bytes(const struct ox_builder *builder);
bool ox_builder_full(const struct ox_builder *builder);

/* One block of one table: what an INSERT sends. */
struct ox_encoded_block {
    enum ox_table table;
    uint32_t rows;
    struct ox_buf native; /* one Native block, uncompressed */
};

#define OX_ENCODED_BLOCKS_MAX 4

/* What a builder gave. Zero-initialise before the first use; reuse keeps memory. */
struct ox_encoded {
    uint32_t partition;
    size_t n_blocks;
    struct ox_encoded_block blocks[OX_ENCODED_BLOCKS_MAX];
    /* Keys of the series rows in it, for ox_series_cache_commit. */
    uint64_t *series_keys;
    size_t n_series_keys, cap_series_keys;
};

/*
 * Turns the columns into blocks and empties the builder for reuse. block_id + i stands in each row of out->blocks[i], so the
 * caller takes OX_ENCODED_BLOCKS_MAX ids at a time; they should count up: random ids cost 3.7 bytes per point (docs/storage.md).
 * out: lend, filled; its previous content is overwritten.
 * NOMEM: as for ox_builder_add.
 */
OX_MUST_USE ox_err ox_builder_finish(struct ox_builder *builder, uint64_t block_id, struct ox_encoded *out);
/* Takes the next piece of block number `block` of ox_encoded; blocks come one after the other. */
typedef void (*ox_block_sink_fn)(void *arg, size_t block, const void *bytes, size_t n);
/*
 * The same without a copy of the bytes: they go to `sink` piece by piece (into a compressor, say), and `native`
 * of each block stays empty. Columns are passed as they lie, up to their whole length at once.
 */
OX_MUST_USE ox_err ox_builder_finish_to(struct ox_builder *builder, uint64_t block_id, struct ox_encoded *out,
                                        ox_block_sink_fn sink, void *arg);
void ox_encoded_fini(struct ox_encoded *encoded);

/* "tenant_id, service_name, ...": the columns of a block, in its order, quoted where needed: for the INSERT.
 */
const char *ox_table_columns(enum ox_table table);
/* "tenant_id LowCardinality(String), ...": the same with types, for file() and input(). */
const char *ox_table_structure(enum ox_table table);

/*
 * Which (tenant, series, day) have their row in otel_metric_series already. Bounded: a set-associative table
 * of `capacity` keys (rounded up) where a new key evicts one not used lately, which costs that series one
 * more row. A restart starts empty: rewriting a series row is idempotent.
 */
struct ox_series_cache *ox_series_cache_new(size_t capacity);
void ox_series_cache_free(struct ox_series_cache *cache);
/*
 * To be called when the outbox holds the blocks of `encoded` durably: from now on their series are written.
 * Without the call (append failed, builder freed) they will be written again.
 */
void ox_series_cache_commit(struct ox_series_cache *cache, const struct ox_encoded *encoded);

/* The default capacity: a million series a day, 8 bytes each. */
#define OX_SERIES_CACHE_KEYS (1u << 20)

/*
 * The identity of the series of a point: metric name, type, unit, temporality, monotonic, attributes of
 * resource, scope (with name and version) and point; the order of attributes does not matter.
 */
/* Of all points of a metrics batch; ids: n_points of them. */
void ox_encode_series_ids(const struct ox_batch *batch, uint64_t *ids);
/* Of an attribute's key and value. */
uint64_t ox_encode_attr_hash(const struct ox_attr *attr);
uint64_t ox_encode_series_id(const struct ox_batch *batch, uint32_t point);

#endif
