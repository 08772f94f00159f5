/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/encode_rows.h - what the files of the block encoder share.
 *
 * Owns:    struct ox_builder: the columns of up to four tables, and what was last rendered.
 * Threads: one owner at a time.
 * Flow:    encode_builder.c picks rows -> encode_spans.c, encode_logs.c, encode_points.c -> native.c.
 */
#ifndef OX_WRITER_ENCODE_ROWS_H
#define OX_WRITER_ENCODE_ROWS_H

#include "columns.h"
#include "native.h"
#include "ox/encode.h"
#include "span_stats.h"

/* One side of a row's origin as it stands in the columns, so that further rows of it are copies. */
struct ox__rendered_attrs {
    struct ox_buf keys;   /* u32 */
    struct ox_buf values; /* u32 */
    uint32_t n;
    uint32_t types;
};

/* Resource and scope last rendered into a block. */
struct ox__origin {
    uint32_t resource; /* index in the batch; OX__NONE = nothing rendered */
    uint32_t scope;
    uint32_t tenant; /* dictionary entries, also below */
    uint32_t service;
    uint32_t resource_url;
    uint32_t resource_entities;
    uint32_t resource_dropped; /* a number, as is scope_dropped */
    struct ox__rendered_attrs resource_attrs;
    uint32_t scope_name;
    uint32_t scope_version;
    uint32_t scope_url;
    uint32_t scope_dropped;
    struct ox__rendered_attrs scope_attrs;
    struct ox__rendered_attrs once; /* scratch of ox__put_lc_attrs */
};

/* Hashes of what the current point's series is made of. */
struct ox__series_ctx {
    uint32_t metric; /* index in the batch; OX__NONE = nothing hashed */
    uint32_t scope;
    uint64_t resource;
    uint64_t origin;       /* resource and scope */
    uint64_t origin_extra; /* of them, what does not make another series */
    uint64_t metric_id;
    uint64_t extra;
};

/* Positions in ox_builder.blocks. */
enum { B_ROWS = 0, B_SERIES = 1, B_HISTOGRAMS = 2, B_EXEMPLARS = 3, B_SPAN_STATS = 1 };

#define OX_BUILDER_MAGIC 0x4f58424cu

struct ox_builder {
    uint32_t magic;
    enum ox_signal signal;
    uint32_t partition;
    uint64_t from_ns; /* the partition: [from_ns, from_ns + span_ns) */
    uint64_t span_ns;
    uint32_t rows;
    size_t n_blocks;
    enum ox_table tables[OX_ENCODED_BLOCKS_MAX];
    struct ox_block blocks[OX_ENCODED_BLOCKS_MAX];
    struct ox__origin origin;    /* in blocks[B_ROWS], for metrics in blocks[B_SERIES] */
    struct ox_buf text;          /* scratch: one rendered value */
    struct ox_buf types;         /* scratch: type characters of one map */
    struct ox__span_stats stats; /* traces */
    /* metrics */
    struct ox_series_cache *cache;
    uint32_t ticket; /* of the block in the making, in the cache; 0 = none yet */
    struct ox__series_ctx series;
    uint64_t tenant_hash;                                        /* of the batch being added */
    uint32_t metric_points, metric_histograms, metric_exemplars; /* entries of the name of the metric... */
    uint32_t named_metric;                                       /* ...with this index in the batch */
    uint64_t *series_keys;
    size_t n_series_keys, cap_series_keys;
    bool failed;
};

/* What a row is stored under: start of a span, time of a log record (or what stands in), time of a point. */
static inline uint64_t
ox__log_time(const struct ox_batch *batch, const struct ox_log *log)
{
    return log->time_ns != 0 ? log->time_ns : log->observed_ns != 0 ? log->observed_ns : batch->received_ns;
}

static inline bool
ox__kept(const struct ox_rows *rows, uint32_t row)
{
    return rows->keep == NULL || (rows->keep[row / 64] >> (row % 64) & 1) != 0;
}

static inline bool
ox__in_partition(const struct ox_builder *b, uint64_t ns)
{
    return ns - b->from_ns < b->span_ns;
}

/* Each adds those of `rows` that are wanted; b->rows grows by what was added. */
void ox__encode_spans(struct ox_builder *b, const struct ox_batch *batch, const struct ox_rows *rows);
void ox__encode_logs(struct ox_builder *b, const struct ox_batch *batch, const struct ox_rows *rows);
void ox__encode_points(struct ox_builder *b, const struct ox_batch *batch, const struct ox_rows *rows);

/* Adds one map of `attrs` to `map`, and its types to `types` (both of one group). */
void ox__put_attrs(struct ox_builder *b, struct ox_col *map, struct ox_col *types,
                   const struct ox_attr *attrs, uint32_t n);
/* The same for a map whose values are a dictionary too. */
void ox__put_lc_attrs(struct ox_builder *b, struct ox_col *map, struct ox_col *types,
                      const struct ox_attr *attrs, uint32_t n);
/* The stored text of a value in one STRING cell; returns its type character. */
char ox__put_any(struct ox_builder *b, struct ox_buf *to, const struct ox_any *any);

/* Forgets what was rendered: before another batch, and after the columns were emptied. */
void ox__origin_forget(struct ox__origin *origin);
void ox__origin_fini(struct ox__origin *origin);
/* Puts the eleven columns of resource and scope (columns.h: OX__COLUMNS_OF_ORIGIN), tenant and service of one
 * row. */
void ox__put_origin(struct ox_builder *b, struct ox_block *block, const struct ox_batch *batch,
                    uint32_t scope, struct ox_col *tenant, struct ox_col *service);

/* The series of a point; ctx keeps what neighbours share. */
uint64_t ox__series_id(struct ox__series_ctx *ctx, const struct ox_batch *batch,
                       const struct ox_point *point);
/* The key of (tenant, series with its descriptive parts, day) in the cache; never 0. */
uint64_t ox__series_key(const struct ox__series_ctx *ctx, uint64_t series_id, uint64_t tenant_hash,
                        uint32_t day);
uint64_t ox__tenant_hash(const struct ox_tenant_id *tenant);

/* A ticket that no block had before. */
uint32_t ox__series_cache_ticket(struct ox_series_cache *cache);
/* The key will be asked for soon: what is known of it is fetched meanwhile. */
void ox__series_cache_soon(const struct ox_series_cache *cache, uint64_t key);
/* true: written, or in the block with this ticket. false: now it is in that block. */
bool ox__series_cache_seen(struct ox_series_cache *cache, uint64_t key, uint32_t ticket);

#endif
