/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_record.c - writes stored spans, log records and exemplars as JSON, every field of them.
 *
 * Owns:    nothing.
 * Threads: one at a time.
 * Bounds:  the result's bytes.
 * Fails:   a damaged result sets the cursor's `failed`; the caller looks after each row.
 * Flow:    result rows -> here -> query_json.c.
 */
#include "actors/query/query_record.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool
is_integer(struct ox_str s)
{
    size_t i = s.n > 0 && s.p[0] == '-';
    if (i == s.n || s.n > 20)
        return false;
    for (; i < s.n; i++)
        if (!isdigit((unsigned char)s.p[i]))
            return false;
    return true;
}

static void
wrapped(struct ox__json *j, const char *key, struct ox_str text)
{
    ox__qjson_begin(j, '{');
    ox__qjson_kstr(j, key, text);
    ox__qjson_end(j, '}');
}

static void
write_double(struct ox__json *j, struct ox_str s)
{
    char text[64], *end;
    size_t n = s.n < sizeof(text) - 1 ? s.n : sizeof(text) - 1;
    if (n > 0)
        memcpy(text, s.p, n);
    text[n] = 0;
    double v = strtod(text, &end);
    if (end == text || *end != 0) {
        ox__qjson_str(j, s);
        return;
    }
    if (isfinite(v))
        ox__qjson_double(j, v);
    else
        wrapped(j, "doubleValue",
                isnan(v) ? OX_STR("NaN")
                : v > 0  ? OX_STR("Infinity")
                         : OX_STR("-Infinity"));
}

void
ox__record_value(struct ox__json *j, char type, struct ox_str text)
{
    switch (type) {
    case 'i':
        if (is_integer(text))
            ox__qjson_raw(j, text);
        else
            ox__qjson_str(j, text);
        break;
    case 'd':
        write_double(j, text);
        break;
    case 'b':
        ox__qjson_bool(j, ox_str_eq(text, OX_STR("true")));
        break;
    case 'j':
        ox__qjson_raw(j, text.n > 0 ? text : OX_STR("null"));
        break;
    case 'x':
        wrapped(j, "bytesValue", text);
        break;
    case 'n':
        ox__qjson_null(j);
        break;
    default:
        ox__qjson_str(j, text);
    }
}

void
ox__record_attrs(struct ox__json *j, const char *key, struct ox__rows *map, size_t n, struct ox_str types)
{
    ox__qjson_open(j, key, '{');
    for (size_t i = 0; i < n; i++) {
        struct ox_str name = ox__rows_str(map);
        struct ox_str value = ox__rows_str(map);
        ox__qjson_key_str(j, name);
        ox__record_value(j, i < types.n ? types.p[i] : 's', value);
    }
    ox__qjson_end(j, '}');
}

void
ox__record_attrs_columns(struct ox__json *j, const char *key, struct ox__rows *r)
{
    size_t n;
    struct ox__rows map = ox__rows_map(r, &n);
    struct ox_str types = ox__rows_str(r);
    ox__record_attrs(j, key, &map, n, types);
}

void
ox__record_resource(struct ox__json *j, struct ox__rows *r)
{
    ox__qjson_open(j, "resource", '{');
    ox__record_attrs_columns(j, "attributes", r);
    ox__qjson_ku64(j, "dropped_attributes_count", ox__rows_u32(r));
    ox__qjson_kstr(j, "schema_url", ox__rows_str(r));
    ox__qjson_key(j, "entity_refs");
    struct ox_str entities = ox__rows_str(r);
    ox__qjson_raw(j, entities.n > 0 ? entities : OX_STR("[]"));
    ox__qjson_end(j, '}');
    ox__qjson_open(j, "scope", '{');
    ox__qjson_kstr(j, "name", ox__rows_str(r));
    ox__qjson_kstr(j, "version", ox__rows_str(r));
    ox__record_attrs_columns(j, "attributes", r);
    ox__qjson_ku64(j, "dropped_attributes_count", ox__rows_u32(r));
    ox__qjson_kstr(j, "schema_url", ox__rows_str(r));
    ox__qjson_end(j, '}');
}

/* The name of an enum number, or the number where it has none. */
static void
write_enum(struct ox__json *j, const char *key, uint8_t number, const char *name)
{
    if (name != NULL)
        ox__qjson_kcstr(j, key, name);
    else
        ox__qjson_ku64(j, key, number);
}

void
ox__record_kind(struct ox__json *j, uint8_t kind)
{
    static const char *const names[] = {"UNSPECIFIED", "INTERNAL", "SERVER",
                                        "CLIENT",      "PRODUCER", "CONSUMER"};
    write_enum(j, "kind", kind, kind < OX_COUNT(names) ? names[kind] : NULL);
}

void
ox__record_status(struct ox__json *j, uint8_t status)
{
    static const char *const names[] = {"UNSET", "OK", "ERROR"};
    write_enum(j, "status_code", status, status < OX_COUNT(names) ? names[status] : NULL);
}

void
ox__record_temporality(struct ox__json *j, uint8_t temporality)
{
    static const char *const names[] = {"unspecified", "delta", "cumulative"};
    write_enum(j, "temporality", temporality, temporality < OX_COUNT(names) ? names[temporality] : NULL);
}

const char *
ox__level_name(uint8_t severity)
{
    static const char *const names[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"};
    return severity >= 1 && severity <= 24 ? names[(severity - 1) / 4] : "";
}

void
ox__record_span_head(struct ox__rows *r, struct ox__span_head *head)
{
    head->trace_id = ox__rows_fixed(r, 16);
    head->span_id = ox__rows_fixed(r, 8);
    head->parent_span_id = ox__rows_fixed(r, 8);
    head->start_ns = ox__rows_u64(r);
    head->duration_ns = ox__rows_u64(r);
    head->status_code = ox__rows_u8(r);
    head->service_name = ox__rows_str(r);
    head->sample_weight = ox__rows_f64(r);
}

void
ox__record_attrs_skip(struct ox__rows *r)
{
    size_t n;
    (void)ox__rows_map(r, &n);
    (void)ox__rows_str(r);
}

void
ox__record_resource_skip(struct ox__rows *r)
{
    ox__record_attrs_skip(r);
    (void)ox__rows_u32(r);
    (void)ox__rows_str(r);
    (void)ox__rows_str(r);
    (void)ox__rows_str(r);
    (void)ox__rows_str(r);
    ox__record_attrs_skip(r);
    (void)ox__rows_u32(r);
    (void)ox__rows_str(r);
}

void
ox__record_span_skip(struct ox__rows *r)
{
    size_t n;
    (void)ox__rows_str(r); /* name */
    (void)ox__rows_u8(r);
    (void)ox__rows_str(r); /* status_message */
    (void)ox__rows_str(r);
    for (int i = 0; i < 4; i++)
        (void)ox__rows_u32(r); /* flags, dropped counts */
    ox__record_attrs_skip(r);
    ox__record_resource_skip(r);
    (void)ox__rows_array_fixed(r, 8, &n); /* events */
    (void)ox__rows_array_str(r, &n);
    (void)ox__rows_array_map(r, &n);
    (void)ox__rows_array_str(r, &n);
    (void)ox__rows_array_fixed(r, 4, &n);
    (void)ox__rows_array_fixed(r, 16, &n); /* links */
    (void)ox__rows_array_fixed(r, 8, &n);
    (void)ox__rows_array_str(r, &n);
    (void)ox__rows_array_map(r, &n);
    (void)ox__rows_array_str(r, &n);
    (void)ox__rows_array_fixed(r, 4, &n);
    (void)ox__rows_array_fixed(r, 4, &n);
}

static void
write_events(struct ox__json *j, struct ox__rows *r)
{
    size_t n, n_other, pairs;
    struct ox__rows time = ox__rows_array_fixed(r, 8, &n);
    struct ox__rows name = ox__rows_array_str(r, &n_other);
    struct ox__rows attrs = ox__rows_array_map(r, &n_other);
    struct ox__rows types = ox__rows_array_str(r, &n_other);
    struct ox__rows dropped = ox__rows_array_fixed(r, 4, &n_other);
    ox__qjson_open(j, "events", '[');
    for (size_t i = 0; i < n && !r->failed; i++) {
        ox__qjson_begin(j, '{');
        ox__qjson_ktime(j, "time", ox__rows_u64(&time));
        ox__qjson_kstr(j, "name", ox__rows_str(&name));
        struct ox__rows map = ox__rows_map(&attrs, &pairs);
        ox__record_attrs(j, "attributes", &map, pairs, ox__rows_str(&types));
        ox__qjson_ku64(j, "dropped_attributes_count", ox__rows_u32(&dropped));
        ox__qjson_end(j, '}');
    }
    ox__qjson_end(j, ']');
}

static void
write_links(struct ox__json *j, struct ox__rows *r)
{
    size_t n, n_other, pairs;
    struct ox__rows trace = ox__rows_array_fixed(r, 16, &n);
    struct ox__rows span = ox__rows_array_fixed(r, 8, &n_other);
    struct ox__rows state = ox__rows_array_str(r, &n_other);
    struct ox__rows attrs = ox__rows_array_map(r, &n_other);
    struct ox__rows types = ox__rows_array_str(r, &n_other);
    struct ox__rows dropped = ox__rows_array_fixed(r, 4, &n_other);
    struct ox__rows flags = ox__rows_array_fixed(r, 4, &n_other);
    ox__qjson_open(j, "links", '[');
    for (size_t i = 0; i < n && !r->failed; i++) {
        ox__qjson_begin(j, '{');
        ox__qjson_kid(j, "trace_id", ox__rows_fixed(&trace, 16), 16);
        ox__qjson_kid(j, "span_id", ox__rows_fixed(&span, 8), 8);
        ox__qjson_kstr(j, "trace_state", ox__rows_str(&state));
        struct ox__rows map = ox__rows_map(&attrs, &pairs);
        ox__record_attrs(j, "attributes", &map, pairs, ox__rows_str(&types));
        ox__qjson_ku64(j, "dropped_attributes_count", ox__rows_u32(&dropped));
        ox__qjson_ku64(j, "flags", ox__rows_u32(&flags));
        ox__qjson_end(j, '}');
    }
    ox__qjson_end(j, ']');
}

static void
write_span_times(struct ox__json *j, const struct ox__span_head *head)
{
    ox__qjson_ktime(j, "start_time", head->start_ns);
    ox__qjson_ktime(j, "end_time", head->start_ns + head->duration_ns);
    ox__qjson_ku64(j, "duration_ns", head->duration_ns);
}

void
ox__record_span(struct ox__json *j, struct ox__rows *r)
{
    struct ox__span_head head;
    ox__record_span_head(r, &head);
    ox__qjson_kid(j, "trace_id", head.trace_id, 16);
    ox__qjson_kid(j, "span_id", head.span_id, 8);
    ox__qjson_kid(j, "parent_span_id", head.parent_span_id, 8);
    ox__qjson_kstr(j, "name", ox__rows_str(r));
    ox__qjson_kstr(j, "service_name", head.service_name);
    ox__record_kind(j, ox__rows_u8(r));
    write_span_times(j, &head);
    ox__record_status(j, head.status_code);
    ox__qjson_kstr(j, "status_message", ox__rows_str(r));
    ox__qjson_kstr(j, "trace_state", ox__rows_str(r));
    ox__qjson_ku64(j, "flags", ox__rows_u32(r));
    ox__qjson_ku64(j, "dropped_attributes_count", ox__rows_u32(r));
    ox__qjson_ku64(j, "dropped_events_count", ox__rows_u32(r));
    ox__qjson_ku64(j, "dropped_links_count", ox__rows_u32(r));
    ox__qjson_kdouble(j, "sample_weight", head.sample_weight);
    ox__record_attrs_columns(j, "attributes", r);
    ox__record_resource(j, r);
    write_events(j, r);
    write_links(j, r);
}

static void
write_body(struct ox__json *j, struct ox__rows *r)
{
    struct ox_str body = ox__rows_str(r);
    char type = (char)ox__rows_u8(r);
    ox__qjson_key(j, "body");
    ox__record_value(j, type, body);
}

/* A number without text says its level by itself; a text without number stays what it was. */
static void
write_severity(struct ox__json *j, struct ox__rows *r)
{
    uint8_t number = ox__rows_u8(r);
    struct ox_str text = ox__rows_str(r);
    ox__qjson_ku64(j, "severity_number", number);
    ox__qjson_kstr(j, "severity_text", text);
    ox__qjson_kstr(j, "level", number != 0 ? ox_str_of(ox__level_name(number)) : text);
}

void
ox__record_log(struct ox__json *j, struct ox__rows *r, struct ox__log_head *head)
{
    head->time_ns = ox__rows_u64(r);
    head->block_id = ox__rows_u64(r);
    uint64_t observed_ns = ox__rows_u64(r);
    uint8_t missing = ox__rows_u8(r);
    ox__qjson_begin(j, '{');
    ox__qjson_ktime(j, "time", head->time_ns);
    ox__qjson_ktime(j, "observed_time", observed_ns);
    ox__qjson_kbool(j, "time_missing", (missing & 1) != 0);
    ox__qjson_kbool(j, "observed_time_missing", (missing & 2) != 0);
    write_severity(j, r);
    ox__qjson_kstr(j, "service_name", ox__rows_str(r));
    ox__qjson_kstr(j, "event_name", ox__rows_str(r));
    write_body(j, r);
    ox__qjson_kid(j, "trace_id", ox__rows_fixed(r, 16), 16);
    ox__qjson_kid(j, "span_id", ox__rows_fixed(r, 8), 8);
    ox__qjson_ku64(j, "flags", ox__rows_u32(r));
    ox__qjson_ku64(j, "dropped_attributes_count", ox__rows_u32(r));
    ox__record_attrs_columns(j, "attributes", r);
    ox__record_resource(j, r);
    ox__qjson_end(j, '}');
}

void
ox__record_number(struct ox__json *j, const char *key, uint8_t value_type, double value, int64_t int_value)
{
    ox__qjson_key(j, key);
    if (value_type == 2)
        ox__qjson_double(j, value);
    else if (value_type != 1)
        ox__qjson_null(j);
    else if (int_value != 0)
        ox__qjson_i64(j, int_value);
    else
        ox__qjson_i64(j, (int64_t)value);
}

void
ox__record_exemplar(struct ox__json *j, struct ox__rows *r)
{
    char series[24];
    ox__qjson_begin(j, '{');
    snprintf(series, sizeof(series), "%016llx", (unsigned long long)ox__rows_u64(r));
    ox__qjson_kcstr(j, "series_id", series);
    ox__qjson_kstr(j, "metric_name", ox__rows_str(r));
    ox__qjson_ktime(j, "point_time", ox__rows_u64(r));
    ox__qjson_ktime(j, "time", ox__rows_u64(r));
    double value = ox__rows_f64(r);
    uint8_t type = ox__rows_u8(r);
    ox__record_number(j, "value", type, value, ox__rows_i64(r));
    ox__qjson_kid(j, "trace_id", ox__rows_fixed(r, 16), 16);
    ox__qjson_kid(j, "span_id", ox__rows_fixed(r, 8), 8);
    ox__record_attrs_columns(j, "filtered_attributes", r);
    ox__qjson_end(j, '}');
}
