/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/batch_check.c - is this row of a Native block what the batch says?
 *
 * Owns:    scratch texts.
 * Threads: the test's.
 * Fails:   the test, naming seed, row and column.
 */
#include "tests/harness/batch_check.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

#include "ox/any.h"
#include "ox/encode.h"
#include "ox/entity.h"

static uint64_t seed_now;
static const struct ox_batch *batch_now;

void
check_against(const struct ox_batch *batch, uint64_t seed)
{
    batch_now = batch;
    seed_now = seed;
}

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
        const struct ox_any value = ox_attr_value(a);
        ox_buf_append_str(buf, ox_attr_key(a));
        ox_buf_append_cstr(buf, "'='");
        (void)ox_any_render(&value, buf);
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
        strings &= ox_attr_type(&batch_now->attrs[s.first + i]) == OX_ANY_STRING;
    ox_buf_append_cstr(buf, "'");
    for (uint32_t i = 0; i < s.count && !strings; i++) {
        const struct ox_any value = ox_attr_value(&batch_now->attrs[s.first + i]);
        ox_buf_printf(buf, "%c", ox_any_render(&value, &ignored));
    }
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

static const char *
entities(struct ox_slice s)
{
    struct ox_buf *buf = text();
    ox_buf_append_cstr(buf, "'");
    ox_entity_refs_render(batch_now->entities + s.first, s.count, buf);
    ox_buf_append_cstr(buf, "'");
    return done(buf);
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
    cell(block, row, "resource_entity_refs", entities(r->entities));
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

void
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
    check_events(block, row, s->events);
    check_links(block, row, s->links);
}

void
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

void
check_number(const struct native_block *block, size_t row, uint32_t point)
{
    const struct ox_point *p = &batch_now->points[point];
    bool has = (p->has & OX_POINT_HAS_VALUE) != 0, is_int = (p->has & OX_POINT_IS_INT) != 0;
    cell(block, row, "tenant_id", str(ox_str_of(batch_now->tenant.name)));
    cell(block, row, "metric_name", str(batch_now->metrics[p->metric].name));
    cell(block, row, "series_id", num(ox_encode_series_id(batch_now, point)));
    cell(block, row, "time", num(p->time_ns));
    cell(block, row, "start_time", num(p->start_ns));
    cell(block, row, "value", real(ox_point_double(p)));
    cell(block, row, "value_type", num(!has ? 0 : is_int ? 1 : 2));
    cell(block, row, "int_value", exact_int(has && is_int, p->int_value));
    cell(block, row, "flags", num(p->flags));
}

void
check_histogram(const struct native_block *block, size_t row, uint32_t point)
{
    const struct ox_point *p = &batch_now->points[point];
    const struct ox_point_more *more = ox_point_more(batch_now, p);
    const struct ox_metric *m = &batch_now->metrics[p->metric];
    const struct ox_slice none = {0, 0};
    bool plain = m->type == OX_METRIC_HISTOGRAM, summary = m->type == OX_METRIC_SUMMARY;
    bool exponential = m->type == OX_METRIC_EXP_HISTOGRAM;
    char scale[16], positive[16], negative[16];
    snprintf(scale, sizeof(scale), "%d", more->scale);
    snprintf(positive, sizeof(positive), "%d", more->positive_offset);
    snprintf(negative, sizeof(negative), "%d", more->negative_offset);
    cell(block, row, "metric_name", str(m->name));
    cell(block, row, "series_id", num(ox_encode_series_id(batch_now, point)));
    cell(block, row, "time", num(p->time_ns));
    cell(block, row, "start_time", num(p->start_ns));
    cell(block, row, "type", num(m->type));
    cell(block, row, "flags", num(p->flags));
    cell(block, row, "has", num(p->has & 7));
    cell(block, row, "count", num(more->count));
    cell(block, row, "sum", real(more->sum));
    cell(block, row, "min", real(more->min));
    cell(block, row, "max", real(more->max));
    cell(block, row, "scale", scale);
    cell(block, row, "zero_count", num(more->zero_count));
    cell(block, row, "zero_threshold", real(more->zero_threshold));
    cell(block, row, "positive_offset", positive);
    cell(block, row, "negative_offset", negative);
#define U64S(column, slice)                                                                                  \
    ARRAY_CELL(block, row, column, slice, ox_buf_printf(buf, "%" PRIu64, batch_now->u64s[i]))
#define F64S(column, slice)                                                                                  \
    ARRAY_CELL(block, row, column, slice, ox_buf_printf(buf, "%.17g", batch_now->f64s[i]))
    F64S("explicit_bounds", plain ? more->bounds : none);
    U64S("bucket_counts", plain ? more->counts : none);
    U64S("positive_counts", exponential ? more->counts : none);
    U64S("negative_counts", exponential ? more->negative : none);
    F64S("quantiles", summary ? more->bounds : none);
    F64S("quantile_values", summary ? more->values : none);
}

void
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

void
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
}
