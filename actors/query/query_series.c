/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_series.c - which series of a metric a question is about, and in which groups.
 *
 * Owns:    the series of one answer.
 * Threads: one dirty thread.
 * Bounds:  limits.series_max.
 * Fails:   NOMEM, the errors of storage.
 * Flow:    query_metrics.c -> here -> otel_metric_series.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/query/query_metrics.h"
#include "actors/query/query_record.h"

/* A point's attribute wins over its resource's. */
static void
add_label_value(struct ox__sql *sql, struct ox_str key)
{
    if (ox_str_eq(key, OX_STR("service")) || ox_str_eq(key, OX_STR("service_name"))) {
        ox__sql_add(sql, "service_name");
        return;
    }
    ox__sql_add(sql, "if(mapContains(attributes, ");
    ox__sql_str(sql, key);
    ox__sql_add(sql, "), attributes[");
    ox__sql_str(sql, key);
    ox__sql_add(sql, "], toString(resource_attributes[");
    ox__sql_str(sql, key);
    ox__sql_add(sql, "]))");
}

static void
add_label(struct ox__sql *sql, const struct ox__label *label)
{
    bool regex = label->match == OX__MATCH_RE || label->match == OX__MATCH_NRE;
    bool negated = label->match == OX__MATCH_NE || label->match == OX__MATCH_NRE;
    ox__sql_add(sql, negated ? " AND NOT " : " AND ");
    ox__sql_add(sql, regex ? "match(" : "(");
    add_label_value(sql, label->key);
    ox__sql_add(sql, regex ? ", concat('^(?:', " : " = ");
    ox__sql_str(sql, label->value);
    ox__sql_add(sql, regex ? ", ')$'))" : ")");
}

void
ox__metrics_series_conditions(struct ox__call *c, struct ox__sql *sql, const struct ox__metric_search *s)
{
    ox__call_tenant(c, sql);
    ox__sql_add(sql, " AND day >= toDate(");
    ox__sql_time(sql, c->range.start_ns);
    ox__sql_add(sql, ") AND day <= toDate(");
    ox__sql_time(sql, c->range.end_ns);
    ox__sql_add(sql, ")");
    if (s->name.n > 0) {
        ox__sql_add(sql, " AND metric_name = ");
        ox__sql_str(sql, s->name);
    }
    if (s->service.n > 0) {
        ox__sql_add(sql, " AND service_name = ");
        ox__sql_str(sql, s->service);
    }
    for (size_t i = 0; i < s->n_labels; i++)
        add_label(sql, &s->labels[i]);
}

#define SERIES_COLUMNS                                                                                       \
    "series_id, type, temporality, monotonic, unit, description, service_name, " OX__ATTRS_COLUMNS           \
    ", metadata, metadata_types, " OX__RESOURCE_COLUMNS

static void
add_group_key(struct ox__sql *sql, const struct ox__metric_search *s)
{
    if (!s->grouped || s->n_by == 0) {
        ox__sql_add(sql, ", []::Array(String)");
        return;
    }
    for (size_t i = 0; i < s->n_by; i++) {
        ox__sql_add(sql, i == 0 ? ", [" : ", ");
        add_label_value(sql, s->by[i]);
    }
    ox__sql_add(sql, "]");
}

/* The description's row after its first four columns; leaves the cursor at the group key. */
static void
skip_description(struct ox__rows *r)
{
    for (int i = 0; i < 3; i++)
        (void)ox__rows_str(r);
    ox__record_attrs_skip(r);
    ox__record_attrs_skip(r);
    ox__record_resource_skip(r);
}

static struct ox_str
group_key(const struct ox__series_set *set, const struct ox__series *series)
{
    struct ox__rows r = {.p = series->begin, .end = set->end};
    size_t n;
    (void)ox__rows_u64(&r);
    for (int i = 0; i < 3; i++)
        (void)ox__rows_u8(&r);
    skip_description(&r);
    const uint8_t *from = r.p;
    (void)ox__rows_array_str(&r, &n);
    return (struct ox_str){(const char *)from, (size_t)(r.p - from)};
}

/* Groups are numbered by the first series that has their key. */
static void
assign_groups(const struct ox__metric_search *s, struct ox__series_set *set)
{
    set->n_groups = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        struct ox__series *series = &set->list[i];
        series->group = set->n_groups;
        for (uint32_t k = 0; s->grouped && k < i; k++)
            if (ox_str_eq(group_key(set, &set->list[k]), group_key(set, series))) {
                series->group = set->list[k].group;
                break;
            }
        set->n_groups += series->group == set->n_groups;
    }
}

static ox_err
index_series(struct ox__call *c, struct ox__series_set *set)
{
    struct ox__rows r;
    size_t n;
    ox__rows_init(&r, &set->result);
    set->end = r.end;
    set->list = calloc((size_t)c->limits.series_max + 1, sizeof(*set->list));
    if (set->list == NULL)
        return OX_E_NOMEM;
    while (ox__rows_more(&r)) {
        if (set->n == c->limits.series_max) {
            c->truncated = true;
            break;
        }
        struct ox__series *series = &set->list[set->n++];
        series->begin = r.p;
        series->id = ox__rows_u64(&r);
        series->type = ox__rows_u8(&r);
        series->temporality = ox__rows_u8(&r);
        series->monotonic = ox__rows_u8(&r) != 0;
        skip_description(&r);
        (void)ox__rows_array_str(&r, &n);
    }
    return r.failed ? ox__call_damaged(c) : OX_OK;
}

ox_err
ox__series_load(struct ox__call *c, const struct ox__metric_search *s, struct ox__series_set *set)
{
    struct ox__sql sql;
    ox__sql_init(&sql);
    ox__sql_add(&sql, "SELECT " SERIES_COLUMNS);
    add_group_key(&sql, s);
    ox__sql_add(&sql, " FROM otel_metric_series WHERE ");
    ox__metrics_series_conditions(c, &sql, s);
    ox__sql_add(&sql, " ORDER BY series_id, day DESC LIMIT 1 BY series_id LIMIT ");
    ox__sql_u64(&sql, (uint64_t)c->limits.series_max + 1);
    ox_err err = ox__call_query(c, &sql, &set->result);
    ox__sql_fini(&sql);
    if (err == OX_OK)
        err = index_series(c, set);
    if (err == OX_OK)
        assign_groups(s, set);
    return err;
}

void
ox__series_fini(struct ox__series_set *set)
{
    ox_buf_fini(&set->result);
    free(set->list);
}

static void
write_group(struct ox__json *j, const struct ox__metric_search *s, const struct ox__series_set *set,
            const struct ox__series *series)
{
    struct ox_str key = group_key(set, series);
    struct ox__rows r = {.p = (const uint8_t *)key.p, .end = (const uint8_t *)key.p + key.n};
    size_t n;
    struct ox__rows values = ox__rows_array_str(&r, &n);
    ox__qjson_open(j, "labels", '{');
    for (size_t i = 0; i < n && i < s->n_by; i++) {
        ox__qjson_key_str(j, s->by[i]);
        ox__qjson_str(j, ox__rows_str(&values));
    }
    ox__qjson_end(j, '}');
}

void
ox__series_write(struct ox__json *j, const struct ox__metric_search *s, const struct ox__series_set *set,
                 const struct ox__series *series)
{
    static const char *const types[] = {"", "gauge", "sum", "histogram", "exponential_histogram", "summary"};
    struct ox__rows r = {.p = series->begin, .end = set->end};
    char id[24];
    snprintf(id, sizeof(id), "%016llx", (unsigned long long)ox__rows_u64(&r));
    for (int i = 0; i < 3; i++)
        (void)ox__rows_u8(&r);
    struct ox_str unit = ox__rows_str(&r), description = ox__rows_str(&r), service = ox__rows_str(&r);
    ox__qjson_kcstr(j, "type", types[series->type < OX_COUNT(types) ? series->type : 0]);
    ox__record_temporality(j, series->temporality);
    ox__qjson_kbool(j, "monotonic", series->monotonic);
    ox__qjson_kstr(j, "unit", unit);
    ox__qjson_kstr(j, "description", description);
    if (s->grouped) {
        write_group(j, s, set, series);
        return;
    }
    ox__qjson_kcstr(j, "series_id", id);
    ox__qjson_kstr(j, "service_name", service);
    ox__record_attrs_columns(j, "attributes", &r);
    ox__record_attrs_columns(j, "metadata", &r);
    ox__record_resource(j, &r);
}

bool
ox__series_is_number(const struct ox__series *series)
{
    return series->type == OX_METRIC_GAUGE || series->type == OX_METRIC_SUM;
}

bool
ox__series_is_histogram(const struct ox__series *series)
{
    return !ox__series_is_number(series);
}

void
ox__series_ids(struct ox__call *c, struct ox__sql *sql, const struct ox__metric_search *s,
               const struct ox__series_set *set, bool (*pick)(const struct ox__series *))
{
    const char *separator = "";
    ox__call_tenant(c, sql);
    ox__sql_add(sql, " AND metric_name = ");
    ox__sql_str(sql, s->name);
    ox__sql_add(sql, " AND series_id IN (");
    for (uint32_t i = 0; i < set->n; i++) {
        if (!pick(&set->list[i]))
            continue;
        ox__sql_add(sql, separator);
        ox__sql_u64(sql, set->list[i].id);
        separator = ",";
    }
    ox__sql_add(sql, ")");
}

const struct ox__series *
ox__series_find(const struct ox__series_set *set, uint64_t id)
{
    uint32_t from = 0, to = set->n;
    while (from < to) {
        uint32_t mid = from + (to - from) / 2;
        if (set->list[mid].id == id)
            return &set->list[mid];
        if (set->list[mid].id < id)
            from = mid + 1;
        else
            to = mid;
    }
    return NULL;
}
