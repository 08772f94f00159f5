/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_traces.c - GET /api/v1/traces: summaries of traces, newest first.
 *
 * Owns:    result bytes and the ids found, for one answer.
 * Threads: one dirty thread.
 * Bounds:  limits.traces_max; windows as in query_window.h.
 * Fails:   INVALID, the errors of storage.
 * Flow:    query_handle.c -> ids of matching spans, window by window -> what these spans stand for, where any were
 *          sampled -> otel_trace_index -> summaries.
 *
 * Conditions on a span (service, operation, tags, status=error) must hold for one and the same span.
 * Conditions on the trace (minDuration, maxDuration, status=ok) need all of its spans: they are answered in
 * one statement over the whole range, widened by SLACK_NS so that traces at its edges are seen whole.
 */
#include <stdlib.h>

#include "actors/query/query_call.h"
#include "actors/query/query_record.h"
#include "actors/query/query_window.h"

#define SLACK_NS (600 * OX__NS_PER_S)

enum status { STATUS_ANY, STATUS_ERROR, STATUS_OK, STATUS_UNSET };

struct search {
    struct ox_str service;
    struct ox_str operation;
    struct ox__tag tags[OX__PARAM_LIST_MAX];
    size_t n_tags;
    enum status status;
    bool has_min, has_max;
    uint64_t min_ns, max_ns;
    uint8_t *ids; /* 16 bytes each, newest first */
    size_t n_ids;
};

static struct ox_str
text_param(struct ox__call *c, const char *const *names)
{
    struct ox__param *p = ox__params_any(&c->params, names);
    return p != NULL ? p->value : (struct ox_str){NULL, 0};
}

static ox_err
parse_status(struct ox__call *c, enum status *status)
{
    struct ox__param *p = ox__params_get(&c->params, "status");
    *status = STATUS_ANY;
    if (p == NULL)
        return OX_OK;
    if (ox_str_caseeq(p->value, OX_STR("error")))
        *status = STATUS_ERROR;
    else if (ox_str_caseeq(p->value, OX_STR("ok")))
        *status = STATUS_OK;
    else if (ox_str_caseeq(p->value, OX_STR("unset")))
        *status = STATUS_UNSET;
    else
        return ox__param_bad(p, "error, ok (no span of the trace failed) or unset", &c->diag);
    return OX_OK;
}

static ox_err
parse(struct ox__call *c, struct search *s)
{
    static const char *const service[] = {"service", "service_name", NULL}, *const operation[] = {
                                                                                "operation", "name", NULL};
    static const char *const min[] = {"minDuration", "min_duration", NULL};
    static const char *const max[] = {"maxDuration", "max_duration", NULL};
    static const char *const names[] = {"service",   "operation", "minDuration", "maxDuration", "status",
                                        "tags",      "tag",       "start",       "end",         "time",
                                        "timerange", "since",     "limit",       "trace_id",    NULL};
    s->service = text_param(c, service);
    s->operation = text_param(c, operation);
    ox_err err = ox__params_duration(&c->params, min, &s->has_min, &s->min_ns, &c->diag);
    if (err == OX_OK)
        err = ox__params_duration(&c->params, max, &s->has_max, &s->max_ns, &c->diag);
    if (err == OX_OK && s->has_min && s->has_max && s->min_ns > s->max_ns)
        err = ox__param_bad(ox__params_any(&c->params, min), "one that is not above maxDuration", &c->diag);
    if (err == OX_OK)
        err = parse_status(c, &s->status);
    if (err == OX_OK)
        err = ox__params_tags(&c->params, s->tags, &s->n_tags, &c->diag);
    if (err == OX_OK)
        err = ox__call_range(c);
    if (err == OX_OK)
        err = ox__call_limit(c, c->limits.traces_max, c->limits.results_default);
    return err == OX_OK ? ox__call_done_params(c, names) : err;
}

/* error:true is how people write the status; everything else is an attribute of the span or its resource. */
static void
add_tag(struct ox__sql *sql, const struct ox__tag *tag)
{
    if (ox_str_eq(tag->key, OX_STR("error")) && ox_str_eq(tag->value, OX_STR("true"))) {
        ox__sql_add(sql, " AND (status_code = 2 OR attributes['error'] = 'true')");
        return;
    }
    static const char *const maps[] = {"attributes", "resource_attributes"};
    ox__sql_add(sql, " AND (");
    for (int i = 0; i < 2; i++) {
        ox_buf_printf(&sql->text, "%s(mapContains(%s, ", i > 0 ? " OR " : "", maps[i]);
        ox__sql_str(sql, tag->key);
        ox_buf_printf(&sql->text, ") AND %s[", maps[i]);
        ox__sql_str(sql, tag->key);
        ox__sql_add(sql, "] = ");
        ox__sql_str(sql, tag->value);
        ox__sql_add(sql, ")");
    }
    ox__sql_add(sql, ")");
}

static void
add_span_conditions(struct ox__sql *sql, const struct search *s)
{
    if (s->service.n > 0) {
        ox__sql_add(sql, " AND service_name = ");
        ox__sql_str(sql, s->service);
    }
    if (s->operation.n > 0) {
        ox__sql_add(sql, " AND name = ");
        ox__sql_str(sql, s->operation);
    }
    if (s->status == STATUS_ERROR)
        ox__sql_add(sql, " AND status_code = 2");
    if (s->status == STATUS_UNSET)
        ox__sql_add(sql, " AND status_code = 0");
    for (size_t i = 0; i < s->n_tags; i++)
        add_tag(sql, &s->tags[i]);
}

static bool
has_trace_conditions(const struct search *s)
{
    return s->has_min || s->has_max || s->status == STATUS_OK;
}

static void
add_trace_conditions(struct ox__sql *sql, const struct search *s)
{
    static const char duration[] = " AND (max(toUnixTimestamp64Nano(start_time) + duration_ns) - "
                                   "toUnixTimestamp64Nano(min(start_time))) ";
    ox__sql_add(sql, " HAVING 1");
    if (s->has_min) {
        ox__sql_add(sql, duration);
        ox__sql_add(sql, ">= ");
        ox__sql_u64(sql, s->min_ns);
    }
    if (s->has_max) {
        ox__sql_add(sql, duration);
        ox__sql_add(sql, "<= ");
        ox__sql_u64(sql, s->max_ns);
    }
    if (s->status == STATUS_OK)
        ox__sql_add(sql, " AND countIf(status_code = 2) = 0");
}

/* What `select` says of each trace with a matching span in `w`. With conditions on the trace it is of all of its
 * spans. */
static void
matching_sql(struct ox__call *c, struct ox__sql *sql, const struct search *s, const struct ox__range *w,
             const char *select)
{
    bool whole = has_trace_conditions(s);
    ox_buf_printf(&sql->text, "SELECT %s FROM otel_traces WHERE ", select);
    ox__call_tenant(c, sql);
    if (whole) {
        ox__sql_range(sql, "start_time", w->start_ns > SLACK_NS ? w->start_ns - SLACK_NS : 0,
                      w->end_ns + SLACK_NS);
        ox__sql_add(sql, " AND trace_id IN (SELECT trace_id FROM otel_traces WHERE ");
        ox__call_tenant(c, sql);
    }
    ox__sql_range(sql, "start_time", w->start_ns, w->end_ns);
    add_span_conditions(sql, s);
    ox__sql_add(sql, whole ? ") GROUP BY trace_id" : " GROUP BY trace_id");
    if (whole)
        add_trace_conditions(sql, s);
}

/* Ids of traces whose newest matching span (whole ones: whose first span) lies in the window, newest first. */
static void
ids_sql(struct ox__call *c, struct ox__sql *sql, const struct search *s, const struct ox__range *w)
{
    matching_sql(c, sql, s, w, "trace_id");
    ox__sql_add(sql, has_trace_conditions(s) ? " ORDER BY min(start_time) DESC, trace_id LIMIT "
                                             : " ORDER BY max(start_time) DESC, trace_id LIMIT ");
    ox__sql_u64(sql, c->limit + 1);
}

static bool
known(const struct search *s, const uint8_t *id)
{
    for (size_t i = 0; i < s->n_ids; i++)
        if (memcmp(s->ids + 16 * i, id, 16) == 0)
            return true;
    return false;
}

/* A trace may have matching spans in several windows; the newest one counts. */
static ox_err
take_ids(struct ox__call *c, struct search *s, const struct ox__sql *sql)
{
    struct ox_buf result;
    struct ox__rows r;
    ox_buf_init(&result);
    ox_err err = ox__call_query(c, sql, &result);
    ox__rows_init(&r, &result);
    while (err == OX_OK && ox__rows_more(&r)) {
        const uint8_t *id = ox__rows_fixed(&r, 16);
        if (known(s, id))
            continue;
        if (s->n_ids == c->limit) {
            c->truncated = true;
            break;
        }
        memcpy(s->ids + 16 * s->n_ids++, id, 16);
    }
    if (err == OX_OK && r.failed)
        err = ox__call_damaged(c);
    ox_buf_fini(&result);
    return err;
}

static ox_err
find_in(struct ox__call *c, struct search *s, const struct ox__range *w)
{
    struct ox__sql sql;
    ox__sql_init(&sql);
    ids_sql(c, &sql, s, w);
    ox_err err = take_ids(c, s, &sql);
    ox__sql_fini(&sql);
    return err;
}

/* looked: the part of the range that was looked at. */
static ox_err
find_ids(struct ox__call *c, struct search *s, struct ox__range *looked)
{
    struct ox__range w;
    ox_err err = OX_OK;
    *looked = c->range;
    if (has_trace_conditions(s))
        return find_in(c, s, &c->range);
    ox__window_first(&c->range, c->now_ns, &w);
    do {
        err = find_in(c, s, &w);
        looked->start_ns = w.start_ns;
    } while (err == OX_OK && !c->truncated && ox__window_next(&c->range, &w));
    return err;
}

/* ---- what the spans that match stand for ---- */

/* Whether there are sampled spans where was looked: one column, of the service's rows. Most tenants keep all of
 * theirs. */
static ox_err
any_sampled(struct ox__call *c, const struct search *s, const struct ox__range *looked, bool *any)
{
    struct ox__sql sql;
    struct ox_buf result;
    uint64_t slack = has_trace_conditions(s) ? SLACK_NS : 0;
    ox__sql_init(&sql);
    ox_buf_init(&result);
    ox__sql_add(&sql, "SELECT toUInt8(1) FROM otel_traces WHERE ");
    ox__call_tenant(c, &sql);
    ox__sql_range(&sql, "start_time", looked->start_ns > slack ? looked->start_ns - slack : 0,
                  looked->end_ns + slack);
    if (s->service.n > 0 && slack == 0) {
        ox__sql_add(&sql, " AND service_name = ");
        ox__sql_str(&sql, s->service);
    }
    ox__sql_add(&sql, " AND sample_weight != 1 LIMIT 1");
    ox_err err = ox__call_query(c, &sql, &result);
    *any = result.len > 0;
    ox__sql_fini(&sql);
    ox_buf_fini(&result);
    return err;
}

static ox_err
add_up(struct ox__call *c, const struct search *s, const struct ox__range *looked)
{
    struct ox__sql sql;
    struct ox_buf result;
    struct ox__rows r;
    ox__sql_init(&sql);
    ox_buf_init(&result);
    ox__sql_add(&sql, "SELECT " OX__SUMS_COLUMNS("n", "w") " FROM (");
    matching_sql(c, &sql, s, looked, "count() AS n, sum(sample_weight) AS w");
    ox__sql_add(&sql, ")");
    ox_err err = ox__call_query(c, &sql, &result);
    ox__rows_init(&r, &result);
    ox__sums_read(&r, &c->sums);
    if (err == OX_OK && r.failed)
        err = ox__call_damaged(c);
    ox__sql_fini(&sql);
    ox_buf_fini(&result);
    return err;
}

static ox_err
find_sums(struct ox__call *c, const struct search *s, const struct ox__range *looked)
{
    bool any = false;
    c->sums_bounded = true;
    ox_err err = s->n_ids > 0 ? any_sampled(c, s, looked, &any) : OX_OK;
    return err == OX_OK && any ? add_up(c, s, looked) : err;
}

/* ---- the traces that were found ---- */

static void
add_ids(struct ox__sql *sql, const struct search *s)
{
    char hex[33];
    ox__sql_add(sql, " AND trace_id IN (");
    for (size_t i = 0; i < s->n_ids; i++) {
        /* Hex digits that we wrote ourselves: nothing to escape. */
        ox_hex_encode(s->ids + 16 * i, 16, hex);
        ox_buf_printf(&sql->text, "%stoFixedString(unhex('%s'),16)", i > 0 ? "," : "", hex);
    }
    ox__sql_add(sql, ")");
}

/* When all spans of these traces lie. */
static ox_err
find_times(struct ox__call *c, const struct search *s, struct ox__range *out)
{
    struct ox__sql sql;
    struct ox_buf result;
    struct ox__rows r;
    ox__sql_init(&sql);
    ox_buf_init(&result);
    ox__sql_add(&sql,
                "SELECT toUnixTimestamp64Nano(min(min_time)), toUnixTimestamp64Nano(max(max_time)) FROM "
                "otel_trace_index WHERE ");
    ox__call_tenant(c, &sql);
    add_ids(&sql, s);
    ox_err err = ox__call_query(c, &sql, &result);
    ox__rows_init(&r, &result);
    out->start_ns = ox__rows_u64(&r);
    out->end_ns = ox__rows_u64(&r) + 1;
    if (err == OX_OK && r.failed)
        err = ox__call_damaged(c);
    ox__sql_fini(&sql);
    ox_buf_fini(&result);
    return err;
}

#define SUMMARY_COLUMNS                                                                                      \
    "trace_id, toUnixTimestamp64Nano(min(start_time)) AS first, "                                            \
    "max(toUnixTimestamp64Nano(start_time) + toInt64(duration_ns)), uniqExact(span_id), "                    \
    "uniqExactIf(span_id, status_code = 2), "                                                                \
    "argMin(service_name, (parent_span_id != toFixedString('', 8), start_time)), "                           \
    "argMin(name, (parent_span_id != toFixedString('', 8), start_time)), "                                   \
    "toUInt8(countIf(parent_span_id = toFixedString('', 8)) > 0), max(sample_weight), "                      \
    "arraySort(groupUniqArray(service_name))"

static void
write_trace(struct ox__json *j, struct ox__rows *r)
{
    size_t n;
    ox__qjson_begin(j, '{');
    ox__qjson_kid(j, "trace_id", ox__rows_fixed(r, 16), 16);
    uint64_t start_ns = ox__rows_u64(r), end_ns = ox__rows_u64(r);
    ox__qjson_ktime(j, "start_time", start_ns);
    ox__qjson_ktime(j, "end_time", end_ns);
    ox__qjson_ku64(j, "duration_ns", end_ns - start_ns);
    ox__qjson_ku64(j, "span_count", ox__rows_u64(r));
    uint64_t errors = ox__rows_u64(r);
    ox__qjson_ku64(j, "error_count", errors);
    ox__qjson_kcstr(j, "status", errors > 0 ? "error" : "ok");
    ox__qjson_kstr(j, "root_service", ox__rows_str(r));
    ox__qjson_kstr(j, "root_operation", ox__rows_str(r));
    ox__qjson_kbool(j, "root_missing", ox__rows_u8(r) == 0);
    ox__qjson_kdouble(j, "sample_weight", ox__rows_f64(r));
    struct ox__rows names = ox__rows_array_str(r, &n);
    ox__qjson_ku64(j, "service_count", n);
    ox__qjson_open(j, "services", '[');
    for (size_t i = 0; i < n; i++)
        ox__qjson_str(j, ox__rows_str(&names));
    ox__qjson_end(j, ']');
    ox__qjson_end(j, '}');
}

static ox_err
write_summaries(struct ox__call *c, struct ox__json *j, const struct search *s)
{
    struct ox__range times;
    struct ox__sql sql;
    struct ox_buf result;
    struct ox__rows r;
    ox_err err = find_times(c, s, &times);
    if (err != OX_OK)
        return err;
    ox__sql_init(&sql);
    ox_buf_init(&result);
    ox__sql_add(&sql, "SELECT " SUMMARY_COLUMNS " FROM otel_traces WHERE ");
    ox__call_tenant(c, &sql);
    ox__sql_range(&sql, "start_time", times.start_ns, times.end_ns);
    add_ids(&sql, s);
    ox__sql_add(&sql, " GROUP BY trace_id ORDER BY first DESC, trace_id");
    err = ox__call_query(c, &sql, &result);
    ox__rows_init(&r, &result);
    for (; err == OX_OK && ox__rows_more(&r); c->rows++)
        write_trace(j, &r);
    if (err == OX_OK && r.failed)
        err = ox__call_damaged(c);
    ox__sql_fini(&sql);
    ox_buf_fini(&result);
    return err;
}

static ox_err
search(struct ox__call *c, struct ox__json *j, struct search *s)
{
    struct ox__range looked;
    ox_err err = parse(c, s);
    if (err != OX_OK)
        return err;
    s->ids = malloc(16 * ((size_t)c->limit + 1));
    if (s->ids == NULL)
        return OX_E_NOMEM;
    err = find_ids(c, s, &looked);
    if (err == OX_OK)
        err = find_sums(c, s, &looked);
    ox__qjson_open(j, "traces", '[');
    if (err == OX_OK && s->n_ids > 0)
        err = write_summaries(c, j, s);
    ox__qjson_end(j, ']');
    free(s->ids);
    return err;
}

ox_err
ox__handle_traces(struct ox__call *c, struct ox__json *j)
{
    struct search s = {0};
    if (ox__params_get(&c->params, "trace_id") != NULL)
        return ox__handle_trace(c, j);
    return search(c, j, &s);
}
