/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/encode_points.c - metric points as rows of otel_metrics, otel_metric_series,
 * otel_metric_histograms and otel_metric_exemplars.
 *
 * Owns:    nothing; fills the columns of a builder.
 * Threads: the builder's.
 * Bounds:  the piece of rows given.
 * Flow:    encode_builder.c -> here -> series_id.c, series_cache.c, encode_attrs.c, native.h.
 */
#include <stdlib.h>

#include "encode_rows.h"

#define AHEAD 32u /* lookups under way at once; a processor has room for some 10 to 40 misses */

enum value_type { VALUE_NONE = 0, VALUE_INT = 1, VALUE_DOUBLE = 2 };

/* The integer where a double does not hold it, else 0. 2^63 itself would overflow the way back. */
static int64_t
inexact_int(int64_t i)
{
    double d = (double)i;
    if (d >= 9223372036854775808.0 || (int64_t)d != i)
        return i;
    return 0;
}

static void
put_number(struct ox_builder *b, const struct ox_batch *batch, const struct ox_point *p, uint64_t series_id)
{
    struct ox_block *block = &b->blocks[B_ROWS];
    struct ox_col *c = block->cols;
    bool is_int = (p->has & OX_POINT_IS_INT) != 0;
    enum value_type type = (p->has & OX_POINT_HAS_VALUE) == 0 ? VALUE_NONE
                           : is_int                           ? VALUE_INT
                                                              : VALUE_DOUBLE;
    ox__put_lc(&c[P_TENANT], ox_str_of(batch->tenant.name));
    OX__PUT(uint32_t, &c[P_METRIC], b->metric_points);
    OX__PUT(uint64_t, &c[P_ID], series_id);
    OX__PUT(uint64_t, &c[P_TIME], p->time_ns);
    OX__PUT(uint64_t, &c[P_START], p->start_ns);
    OX__PUT(double, &c[P_VALUE], ox_point_double(p));
    OX__PUT(uint8_t, &c[P_VALUE_TYPE], (uint8_t)type);
    OX__PUT(int64_t, &c[P_INT_VALUE], type == VALUE_INT ? inexact_int(p->int_value) : 0);
    OX__PUT(uint32_t, &c[P_FLAGS], p->flags);
    block->rows++;
}

static void
put_f64s(struct ox_block *block, unsigned col, const struct ox_batch *batch, struct ox_slice s)
{
    ox_buf_append(&block->cols[col].data, batch->f64s + s.first, s.count * sizeof(double));
    ox__end_array(block, block->defs[col].group, s.count);
}

static void
put_u64s(struct ox_block *block, unsigned col, const struct ox_batch *batch, struct ox_slice s)
{
    ox_buf_append(&block->cols[col].data, batch->u64s + s.first, s.count * sizeof(uint64_t));
    ox__end_array(block, block->defs[col].group, s.count);
}

/* Which arrays of the batch mean what depends on the type of the metric. */
static void
put_buckets(struct ox_block *block, const struct ox_batch *batch, const struct ox_point_more *more,
            uint8_t type)
{
    const struct ox_slice none = {0, 0};
    bool plain = type == OX_METRIC_HISTOGRAM, exponential = type == OX_METRIC_EXP_HISTOGRAM;
    bool summary = type == OX_METRIC_SUMMARY;
    put_f64s(block, H_BOUNDS, batch, plain ? more->bounds : none);
    put_u64s(block, H_COUNTS, batch, plain ? more->counts : none);
    put_u64s(block, H_POSITIVE, batch, exponential ? more->counts : none);
    put_u64s(block, H_NEGATIVE, batch, exponential ? more->negative : none);
    put_f64s(block, H_QUANTILES, batch, summary ? more->bounds : none);
    put_f64s(block, H_QUANTILE_VALUES, batch, summary ? more->values : none);
}

static void
put_histogram(struct ox_builder *b, const struct ox_batch *batch, const struct ox_point *p,
              uint64_t series_id)
{
    struct ox_block *block = &b->blocks[B_HISTOGRAMS];
    if (!ox__block_reserve(block, 1)) {
        b->failed = true;
        return;
    }
    struct ox_col *c = block->cols;
    const struct ox_point_more *more = ox_point_more(batch, p);
    uint8_t type = batch->metrics[p->metric].type;
    ox__put_lc(&c[H_TENANT], ox_str_of(batch->tenant.name));
    OX__PUT(uint32_t, &c[H_METRIC], b->metric_histograms);
    OX__PUT(uint64_t, &c[H_ID], series_id);
    OX__PUT(uint64_t, &c[H_TIME], p->time_ns);
    OX__PUT(uint64_t, &c[H_START], p->start_ns);
    OX__PUT(uint8_t, &c[H_TYPE], type);
    OX__PUT(uint32_t, &c[H_FLAGS], p->flags);
    OX__PUT(uint8_t, &c[H_HAS], p->has & (OX_POINT_HAS_SUM | OX_POINT_HAS_MIN | OX_POINT_HAS_MAX));
    OX__PUT(uint64_t, &c[H_COUNT], more->count);
    OX__PUT(double, &c[H_SUM], more->sum);
    OX__PUT(double, &c[H_MIN], more->min);
    OX__PUT(double, &c[H_MAX], more->max);
    OX__PUT(int32_t, &c[H_SCALE], more->scale);
    OX__PUT(uint64_t, &c[H_ZERO_COUNT], more->zero_count);
    OX__PUT(double, &c[H_ZERO_THRESHOLD], more->zero_threshold);
    OX__PUT(int32_t, &c[H_POSITIVE_OFFSET], more->positive_offset);
    OX__PUT(int32_t, &c[H_NEGATIVE_OFFSET], more->negative_offset);
    put_buckets(block, batch, more, type);
    block->rows++;
}

static void
put_exemplar(struct ox_builder *b, const struct ox_batch *batch, const struct ox_point *p,
             const struct ox_exemplar *x, uint64_t series_id)
{
    struct ox_block *block = &b->blocks[B_EXEMPLARS];
    if (!ox__block_reserve(block, 1)) {
        b->failed = true;
        return;
    }
    struct ox_col *c = block->cols;
    ox__put_lc(&c[E_TENANT], ox_str_of(batch->tenant.name));
    OX__PUT(uint32_t, &c[E_METRIC], b->metric_exemplars);
    OX__PUT(uint64_t, &c[E_ID], series_id);
    OX__PUT(uint64_t, &c[E_POINT_TIME], p->time_ns);
    OX__PUT(uint64_t, &c[E_TIME], x->time_ns);
    OX__PUT(double, &c[E_VALUE], x->is_int ? (double)x->int_value : x->value);
    OX__PUT(uint8_t, &c[E_VALUE_TYPE], x->is_int ? VALUE_INT : VALUE_DOUBLE);
    OX__PUT(int64_t, &c[E_INT_VALUE], x->is_int ? inexact_int(x->int_value) : 0);
    ox__put_bytes(&c[E_TRACE_ID], x->trace_id, sizeof(x->trace_id));
    ox__put_bytes(&c[E_SPAN_ID], x->span_id, sizeof(x->span_id));
    ox__put_attrs(b, &c[E_ATTRS], &c[E_TYPES], batch->attrs + x->attrs.first, x->attrs.count);
    block->rows++;
}

static void
put_series(struct ox_builder *b, const struct ox_batch *batch, const struct ox_point *p, uint64_t series_id)
{
    struct ox_block *block = &b->blocks[B_SERIES];
    if (!ox__block_reserve(block, 1)) {
        b->failed = true;
        return;
    }
    struct ox_col *c = block->cols;
    const struct ox_metric *m = &batch->metrics[p->metric];
    ox__put_origin(b, block, batch, m->scope, &c[S_TENANT], &c[S_SERVICE]);
    ox__put_lc(&c[S_METRIC], m->name);
    OX__PUT(uint64_t, &c[S_ID], series_id);
    OX__PUT(uint16_t, &c[S_DAY], (uint16_t)b->partition);
    OX__PUT(uint8_t, &c[S_TYPE], m->type);
    OX__PUT(uint8_t, &c[S_TEMPORALITY], m->temporality);
    OX__PUT(uint8_t, &c[S_MONOTONIC], m->monotonic);
    ox__put_lc(&c[S_UNIT], m->unit);
    ox__put_lc(&c[S_DESCRIPTION], m->description);
    ox__put_attrs(b, &c[S_ATTRS], &c[S_TYPES], batch->attrs + p->attrs.first, p->attrs.count);
    ox__put_lc_attrs(b, &c[S_METADATA], &c[S_METADATA_TYPES], batch->attrs + m->metadata.first,
                     m->metadata.count);
    block->rows++;
}

/* Remembers what ox_series_cache_commit will need. */
static bool
note_key(struct ox_builder *b, uint64_t key)
{
    if (b->n_series_keys == b->cap_series_keys) {
        size_t cap = b->cap_series_keys != 0 ? 2 * b->cap_series_keys : 256;
        uint64_t *keys = realloc(b->series_keys, cap * sizeof(*keys));
        if (keys == NULL)
            return false;
        b->series_keys = keys;
        b->cap_series_keys = cap;
    }
    b->series_keys[b->n_series_keys++] = key;
    return true;
}

/* The name of the metric in each table, looked up once per metric. */
static void
enter_metric(struct ox_builder *b, const struct ox_batch *batch, uint32_t metric)
{
    const struct ox_metric *m = &batch->metrics[metric];
    b->named_metric = metric;
    b->metric_points = ox__dict_get(&b->blocks[B_ROWS].cols[P_METRIC].dict, m->name);
    b->metric_histograms = ox__dict_get(&b->blocks[B_HISTOGRAMS].cols[H_METRIC].dict, m->name);
    b->metric_exemplars = ox__dict_get(&b->blocks[B_EXEMPLARS].cols[E_METRIC].dict, m->name);
}

/* A point that is wanted, and the series that it belongs to. */
struct wanted {
    uint32_t row;
    uint64_t id;
    uint64_t key;
};

static void
put_point(struct ox_builder *b, const struct ox_batch *batch, const struct wanted *w)
{
    const struct ox_point *p = &batch->points[w->row];
    if (b->named_metric != p->metric)
        enter_metric(b, batch, p->metric);
    if (!ox__series_cache_seen(b->cache, w->key, b->ticket)) {
        b->failed |= !note_key(b, w->key);
        put_series(b, batch, p, w->id);
    }
    uint8_t type = batch->metrics[p->metric].type;
    if (type == OX_METRIC_GAUGE || type == OX_METRIC_SUM)
        put_number(b, batch, p, w->id);
    else
        put_histogram(b, batch, p, w->id);
    const struct ox_slice exemplars = ox_point_more(batch, p)->exemplars;
    for (uint32_t i = 0; i < exemplars.count; i++)
        put_exemplar(b, batch, p, &batch->exemplars[exemplars.first + i], w->id);
    b->rows++;
}

/* The series of the next points that are wanted, at most AHEAD of them; *row moves behind those looked at. The cache of
 * series is larger than the processor's, so each lookup would wait for memory: begun here, it is over when needed. */
static uint32_t
look_ahead(struct ox_builder *b, const struct ox_batch *batch, const struct ox_rows *rows, uint32_t *row,
           struct wanted ahead[AHEAD])
{
    uint32_t n = 0;
    for (; *row < rows->first + rows->count && n < AHEAD; ++*row) {
        const struct ox_point *p = &batch->points[*row];
        if (p->reject != OX_REJECT_NONE || !ox__in_partition(b, p->time_ns) || !ox__kept(rows, *row))
            continue;
        struct wanted *w = &ahead[n++];
        w->row = *row;
        w->id = ox__series_id(&b->series, batch, p);
        w->key = ox__series_key(&b->series, w->id, b->tenant_hash, b->partition);
        ox__series_cache_soon(b->cache, w->key);
    }
    return n;
}

void
ox__encode_points(struct ox_builder *b, const struct ox_batch *batch, const struct ox_rows *rows)
{
    struct wanted ahead[AHEAD];
    uint32_t n, row = rows->first;
    if (!ox__block_reserve(&b->blocks[B_ROWS], rows->count)) {
        b->failed = true;
        return;
    }
    while ((n = look_ahead(b, batch, rows, &row, ahead)) > 0) {
        for (uint32_t i = 0; i < n && !b->failed; i++)
            put_point(b, batch, &ahead[i]);
    }
}
