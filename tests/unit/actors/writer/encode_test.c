/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal: every field of every row of a batch stands in the block, in the right partition, once.
 * Method: random batches, encoded, read back by a reader written apart from the encoder, each cell compared
 *         with what the batch says. The seed is in the message of a failure.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

#include "ox/any.h"
#include "ox/encode.h"
#include "tests/harness/native_reader.h"
#include "tests/harness/random_batch.h"

#define HOUR_NS 3600000000000ull
#define FROM_NS (498660 * HOUR_NS)
#define SEEDS   25

static uint64_t seed_now;
static const struct ox_batch *batch_now;

/* Text of a cell in the making; four at a time may be in use. */
static struct ox_buf *
text(void)
{
    static struct ox_buf bufs[4];
    static unsigned turn;
    struct ox_buf *buf = &bufs[turn++ % OX_COUNT(bufs)];
    ox_buf_reset(buf);
    return buf;
}

static const char *
done(struct ox_buf *buf)
{
    ox_buf_append(buf, "", 1);
    cr_assert_not(buf->failed);
    return (const char *)buf->data;
}

static const char *
num(uint64_t v)
{
    struct ox_buf *buf = text();
    ox_buf_printf(buf, "%" PRIu64, v);
    return done(buf);
}

static const char *
real(double d)
{
    struct ox_buf *buf = text();
    ox_buf_printf(buf, "%.17g", d);
    return done(buf);
}

static const char *
str(struct ox_str s)
{
    struct ox_buf *buf = text();
    ox_buf_append_cstr(buf, "'");
    ox_buf_append_str(buf, s);
    ox_buf_append_cstr(buf, "'");
    return done(buf);
}

static const char *
hex(const void *bytes, size_t n)
{
    char out[33];
    ox_hex_encode(bytes, n, out);
    struct ox_buf *buf = text();
    ox_buf_append_cstr(buf, out);
    return done(buf);
}

static void
put_map(struct ox_buf *buf, struct ox_slice s)
{
    ox_buf_append_cstr(buf, "{");
    for (uint32_t i = 0; i < s.count; i++) {
        const struct ox_attr *a = &batch_now->attrs[s.first + i];
        ox_buf_append_cstr(buf, i == 0 ? "'" : ",'");
        ox_buf_append_str(buf, a->key);
        ox_buf_append_cstr(buf, "'='");
        (void)ox_any_render(&a->value, buf);
        ox_buf_append_cstr(buf, "'");
    }
    ox_buf_append_cstr(buf, "}");
}

static const char *
map(struct ox_slice s)
{
    struct ox_buf *buf = text();
    put_map(buf, s);
    return done(buf);
}

static void
put_types(struct ox_buf *buf, struct ox_slice s)
{
    struct ox_buf ignored = {0};
    bool strings = true;
    for (uint32_t i = 0; i < s.count; i++)
        strings &= batch_now->attrs[s.first + i].value.type == OX_ANY_STRING;
    ox_buf_append_cstr(buf, "'");
    for (uint32_t i = 0; i < s.count && !strings; i++)
        ox_buf_printf(buf, "%c", ox_any_render(&batch_now->attrs[s.first + i].value, &ignored));
    ox_buf_append_cstr(buf, "'");
    ox_buf_fini(&ignored);
}

static const char *
types(struct ox_slice s)
{
    struct ox_buf *buf = text();
    put_types(buf, s);
    return done(buf);
}

static void
cell(const struct native_block *block, size_t row, const char *column, const char *want)
{
    const char *got = native_cell(block, column, row);
    cr_assert_str_eq(got, want, "seed %" PRIu64 ", row %zu, %s: %s, not %s", seed_now, row, column, got,
                     want);
}

static void
check_origin(const struct native_block *block, size_t row, uint32_t scope)
{
    const struct ox_scope *s = &batch_now->scopes[scope];
    const struct ox_resource *r = &batch_now->resources[s->resource];
    cell(block, row, "tenant_id", str(ox_str_of(batch_now->tenant.name)));
    cell(block, row, "service_name", str(r->service_name));
    cell(block, row, "resource_attributes", map(r->attrs));
    cell(block, row, "resource_attribute_types", types(r->attrs));
    cell(block, row, "resource_dropped_attributes", num(r->dropped_attrs));
    cell(block, row, "resource_schema_url", str(r->schema_url));
    cell(block, row, "scope_name", str(s->name));
    cell(block, row, "scope_version", str(s->version));
    cell(block, row, "scope_attributes", map(s->attrs));
    cell(block, row, "scope_attribute_types", types(s->attrs));
    cell(block, row, "scope_dropped_attributes", num(s->dropped_attrs));
    cell(block, row, "scope_schema_url", str(s->schema_url));
}

/* One array of a span's events or links: put(buf, i) appends item i. */
#define ARRAY_CELL(block, row, column, slice, item)                                                          \
    do {                                                                                                     \
        struct ox_buf *buf = text();                                                                         \
        ox_buf_append_cstr(buf, "[");                                                                        \
        for (uint32_t i = (slice).first; i < (slice).first + (slice).count; i++) {                           \
            if (i > (slice).first)                                                                           \
                ox_buf_append_cstr(buf, ",");                                                                \
            item;                                                                                            \
        }                                                                                                    \
        ox_buf_append_cstr(buf, "]");                                                                        \
        cell(block, row, column, done(buf));                                                                 \
    } while (0)

static void
check_events(const struct native_block *block, size_t row, struct ox_slice s)
{
    const struct ox_span_event *e = batch_now->events;
    ARRAY_CELL(block, row, "events.time", s, ox_buf_printf(buf, "%" PRIu64, e[i].time_ns));
    ARRAY_CELL(block, row, "events.name", s, ox_buf_append_cstr(buf, str(e[i].name)));
    ARRAY_CELL(block, row, "events.attributes", s, put_map(buf, e[i].attrs));
    ARRAY_CELL(block, row, "events.attribute_types", s, put_types(buf, e[i].attrs));
    ARRAY_CELL(block, row, "events.dropped_attributes", s, ox_buf_printf(buf, "%u", e[i].dropped_attrs));
}

static void
check_links(const struct native_block *block, size_t row, struct ox_slice s)
{
    const struct ox_span_link *l = batch_now->links;
    ARRAY_CELL(block, row, "links.trace_id", s, ox_buf_append_cstr(buf, hex(l[i].trace_id, 16)));
    ARRAY_CELL(block, row, "links.span_id", s, ox_buf_append_cstr(buf, hex(l[i].span_id, 8)));
    ARRAY_CELL(block, row, "links.trace_state", s, ox_buf_append_cstr(buf, str(l[i].trace_state)));
    ARRAY_CELL(block, row, "links.attributes", s, put_map(buf, l[i].attrs));
    ARRAY_CELL(block, row, "links.attribute_types", s, put_types(buf, l[i].attrs));
    ARRAY_CELL(block, row, "links.dropped_attributes", s, ox_buf_printf(buf, "%u", l[i].dropped_attrs));
    ARRAY_CELL(block, row, "links.flags", s, ox_buf_printf(buf, "%u", l[i].flags));
}

static void
check_span(const struct native_block *block, size_t row, const struct ox_span *s)
{
    check_origin(block, row, s->scope);
    cell(block, row, "trace_id", hex(s->trace_id, 16));
    cell(block, row, "span_id", hex(s->span_id, 8));
    cell(block, row, "parent_span_id", hex(s->parent_span_id, 8));
    cell(block, row, "start_time", num(s->start_ns));
    cell(block, row, "duration_ns", num(s->end_ns - s->start_ns));
    cell(block, row, "trace_state", str(s->trace_state));
    cell(block, row, "flags", num(s->flags));
    cell(block, row, "name", str(s->name));
    cell(block, row, "kind", num(s->kind));
    cell(block, row, "status_code", num(s->status_code));
    cell(block, row, "status_message", str(s->status_message));
    cell(block, row, "attributes", map(s->attrs));
    cell(block, row, "attribute_types", types(s->attrs));
    cell(block, row, "dropped_attributes", num(s->dropped_attrs));
    cell(block, row, "dropped_events", num(s->dropped_events));
    cell(block, row, "dropped_links", num(s->dropped_links));
    cell(block, row, "sample_weight", "1");
    cell(block, row, "block_id", "77");
    check_events(block, row, s->events);
    check_links(block, row, s->links);
}

static void
check_log(const struct native_block *block, size_t row, const struct ox_log *l)
{
    struct ox_buf body = {0};
    char type = ox_any_render(&l->body, &body);
    uint64_t arrival = batch_now->received_ns;
    uint64_t observed = l->observed_ns != 0 ? l->observed_ns : arrival;
    uint64_t time = l->time_ns != 0 ? l->time_ns : observed;
    char offset[32];
    snprintf(offset, sizeof(offset), "%" PRId64, (int64_t)(observed - time));
    check_origin(block, row, l->scope);
    cell(block, row, "time", num(time));
    cell(block, row, "observed_offset_ns", offset);
    cell(block, row, "time_flags", num((l->time_ns == 0) + 2u * (l->observed_ns == 0)));
    cell(block, row, "severity_number", num(l->severity));
    cell(block, row, "severity_text", str(l->severity_text));
    cell(block, row, "event_name", str(l->event_name));
    cell(block, row, "body", str(ox_buf_str(&body)));
    cell(block, row, "body_type", hex(&type, 1));
    cell(block, row, "trace_id", hex(l->trace_id, 16));
    cell(block, row, "span_id", hex(l->span_id, 8));
    cell(block, row, "flags", num(l->flags));
    cell(block, row, "attributes", map(l->attrs));
    cell(block, row, "attribute_types", types(l->attrs));
    cell(block, row, "dropped_attributes", num(l->dropped_attrs));
    cell(block, row, "block_id", "77");
    ox_buf_fini(&body);
}

static const char *
exact_int(bool is_int, int64_t i)
{
    bool held = i < INT64_MAX - 1024 && (int64_t)(double)i == i;
    struct ox_buf *buf = text();
    ox_buf_printf(buf, "%" PRId64, is_int && !held ? i : 0);
    return done(buf);
}

static void
check_number(const struct native_block *block, size_t row, uint32_t point)
{
    const struct ox_point *p = &batch_now->points[point];
    bool has = (p->has & OX_POINT_HAS_VALUE) != 0, is_int = (p->has & OX_POINT_IS_INT) != 0;
    cell(block, row, "tenant_id", str(ox_str_of(batch_now->tenant.name)));
    cell(block, row, "metric_name", str(batch_now->metrics[p->metric].name));
    cell(block, row, "series_id", num(ox_encode_series_id(batch_now, point)));
    cell(block, row, "time", num(p->time_ns));
    cell(block, row, "start_time", num(p->start_ns));
    cell(block, row, "value", real(p->value));
    cell(block, row, "value_type", num(!has ? 0 : is_int ? 1 : 2));
    cell(block, row, "int_value", exact_int(has && is_int, p->int_value));
    cell(block, row, "flags", num(p->flags));
    cell(block, row, "block_id", "77");
}

static void
check_histogram(const struct native_block *block, size_t row, uint32_t point)
{
    const struct ox_point *p = &batch_now->points[point];
    const struct ox_metric *m = &batch_now->metrics[p->metric];
    const struct ox_slice none = {0, 0};
    bool plain = m->type == OX_METRIC_HISTOGRAM, summary = m->type == OX_METRIC_SUMMARY;
    bool exponential = m->type == OX_METRIC_EXP_HISTOGRAM;
    char scale[16], positive[16], negative[16];
    snprintf(scale, sizeof(scale), "%d", p->scale);
    snprintf(positive, sizeof(positive), "%d", p->positive_offset);
    snprintf(negative, sizeof(negative), "%d", p->negative_offset);
    cell(block, row, "metric_name", str(m->name));
    cell(block, row, "series_id", num(ox_encode_series_id(batch_now, point)));
    cell(block, row, "time", num(p->time_ns));
    cell(block, row, "start_time", num(p->start_ns));
    cell(block, row, "type", num(m->type));
    cell(block, row, "flags", num(p->flags));
    cell(block, row, "has", num(p->has & 7));
    cell(block, row, "count", num(p->count));
    cell(block, row, "sum", real(p->sum));
    cell(block, row, "min", real(p->min));
    cell(block, row, "max", real(p->max));
    cell(block, row, "scale", scale);
    cell(block, row, "zero_count", num(p->zero_count));
    cell(block, row, "zero_threshold", real(p->zero_threshold));
    cell(block, row, "positive_offset", positive);
    cell(block, row, "negative_offset", negative);
#define U64S(column, slice)                                                                                  \
    ARRAY_CELL(block, row, column, slice, ox_buf_printf(buf, "%" PRIu64, batch_now->u64s[i]))
#define F64S(column, slice)                                                                                  \
    ARRAY_CELL(block, row, column, slice, ox_buf_printf(buf, "%.17g", batch_now->f64s[i]))
    F64S("explicit_bounds", plain ? p->bounds : none);
    U64S("bucket_counts", plain ? p->counts : none);
    U64S("positive_counts", exponential ? p->counts : none);
    U64S("negative_counts", exponential ? p->negative : none);
    F64S("quantiles", summary ? p->bounds : none);
    F64S("quantile_values", summary ? p->values : none);
}

static void
check_exemplar(const struct native_block *block, size_t row, uint32_t point, const struct ox_exemplar *x)
{
    cell(block, row, "metric_name", str(batch_now->metrics[batch_now->points[point].metric].name));
    cell(block, row, "series_id", num(ox_encode_series_id(batch_now, point)));
    cell(block, row, "point_time", num(batch_now->points[point].time_ns));
    cell(block, row, "time", num(x->time_ns));
    cell(block, row, "value", real(x->value));
    cell(block, row, "value_type", num(x->is_int ? 1 : 2));
    cell(block, row, "int_value", exact_int(x->is_int, x->int_value));
    cell(block, row, "trace_id", hex(x->trace_id, 16));
    cell(block, row, "span_id", hex(x->span_id, 8));
    cell(block, row, "attributes", map(x->attrs));
    cell(block, row, "attribute_types", types(x->attrs));
}

static void
check_series(const struct native_block *block, size_t row, uint32_t point, uint32_t day)
{
    const struct ox_metric *m = &batch_now->metrics[batch_now->points[point].metric];
    check_origin(block, row, m->scope);
    cell(block, row, "metric_name", str(m->name));
    cell(block, row, "series_id", num(ox_encode_series_id(batch_now, point)));
    cell(block, row, "day", num(day));
    cell(block, row, "type", num(m->type));
    cell(block, row, "temporality", num(m->temporality));
    cell(block, row, "monotonic", num(m->monotonic));
    cell(block, row, "unit", str(m->unit));
    cell(block, row, "description", str(m->description));
    cell(block, row, "attributes", map(batch_now->points[point].attrs));
    cell(block, row, "attribute_types", types(batch_now->points[point].attrs));
    cell(block, row, "metadata", map(m->metadata));
    cell(block, row, "metadata_types", types(m->metadata));
    cell(block, row, "block_id", "77");
}

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
    const char *want = num(ox_encode_series_id(batch_now, point));
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
        for (uint32_t j = 0; j < p->exemplars.count; j++)
            check_exemplar(exemplars, x++, i, &batch_now->exemplars[p->exemplars.first + j]);
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
    double weights[512];
    struct ox_encoded out = {0};
    struct ox_builder *b = ox_builder_new(OX_SIGNAL_TRACES, FROM_NS / HOUR_NS, NULL);
    cr_assert_gt(batch->n_spans, 10);
    for (uint32_t i = 0; i < batch->n_spans; i++) {
        weights[i] = 1 + i / 4.0;
        keep[i / 64] |= (uint64_t)(i % 3 == 0) << (i % 64);
    }
    encode(b, &(struct ox_rows){.first = 1, .count = batch->n_spans - 1, .keep = keep, .weights = weights},
           &out);
    struct native_block *block = block_of(&out, OX_TABLE_TRACES);
    cr_assert_eq(block->n_rows, (batch->n_spans - 1) / 3);
    for (uint32_t i = 0; i < block->n_rows; i++) {
        cell(block, i, "span_id", hex(batch->spans[3 * (i + 1)].span_id, 8));
        cell(block, i, "sample_weight", real(weights[3 * (i + 1)]));
    }
    native_free(block);
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
