/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_operations.c - GET /api/v1/operations: rate, errors and duration of each operation.
 *
 * Owns:    nothing beyond the call.
 * Threads: one dirty thread.
 * Bounds:  OPERATIONS_MAX operations, CELLS_MAX operations times steps.
 * Fails:   the errors of storage.
 * Flow:    query_handle.c -> otel_span_stats_1m, or _1h for what is older than that keeps -> quantiles -> JSON.
 *
 * Counted when spans come in, before sampling: calls and errors are exact whatever is kept of the spans.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "actors/query/query_call.h"
#include "actors/query/query_record.h"
#include "ox/exphist.h"

#define OPERATIONS_MAX     1000
#define OPERATIONS_DEFAULT 100
#define CELLS_MAX          50000
#define BUCKET_BYTES       10 /* of an element of Map(Int16, UInt64) in RowBinary */
#define HOUR_NS            (3600 * OX__NS_PER_S)
#define MINUTE_NS          (60 * OX__NS_PER_S)
/* otel_span_stats_1m keeps 30 days; what it is asked for has to be there at the end of the answer, too. */
#define MINUTES_KEPT_NS (29 * 24 * HOUR_NS)

struct search {
    struct ox_str service, name;
    bool by_minute; /* the table of minutes, else that of hours */
    uint64_t grain_ns;
    uint64_t step_ns; /* 0 = no series */
    const char *order;
    struct ox_exphist_bucket *buckets; /* scratch */
    size_t cap_buckets;
};

static const struct order {
    const char *name;
    const char *sql;
} orders[] = {{"calls", "c"}, {"errors", "e"}, {"duration", "d"}, {"slowest", "hi"}, {"name", "name"}};

static ox_err
parse_order(struct ox__call *c, struct search *s)
{
    struct ox__param *p = ox__params_get(&c->params, "sort");
    s->order = orders[0].sql;
    if (p == NULL)
        return OX_OK;
    for (size_t i = 0; i < OX_COUNT(orders); i++) {
        if (!ox_str_eq(p->value, ox_str_of(orders[i].name)))
            continue;
        s->order = orders[i].sql;
        return OX_OK;
    }
    return ox__param_bad(p, "calls, errors, duration (the sum), slowest or name", &c->diag);
}

/* Calls are counted by minutes or hours: the answer covers whole ones, and says so in its time_range. */
static void
widen(struct ox__call *c, struct search *s)
{
    s->by_minute = c->range.start_ns + MINUTES_KEPT_NS >= c->now_ns;
    s->grain_ns = s->by_minute ? MINUTE_NS : HOUR_NS;
    c->range.start_ns -= c->range.start_ns % s->grain_ns;
    uint64_t over = c->range.end_ns % s->grain_ns;
    if (over != 0 && c->range.end_ns < UINT64_MAX - s->grain_ns)
        c->range.end_ns += s->grain_ns - over;
}

static ox_err
parse_step(struct ox__call *c, struct search *s)
{
    static const char *const names[] = {"step", NULL};
    struct ox__param *p = ox__params_get(&c->params, "step");
    bool set;
    ox_err err = ox__params_duration(&c->params, names, &set, &s->step_ns, &c->diag);
    if (err != OX_OK || !set)
        return err;
    if (s->step_ns == 0 || s->step_ns % s->grain_ns != 0)
        return ox__param_bad(p,
                             s->by_minute ? "a multiple of 1m"
                                          : "a multiple of 1h: the range is older than minutes are kept",
                             &c->diag);
    uint64_t steps = (c->range.end_ns - c->range.start_ns) / s->step_ns + 2;
    if (steps > CELLS_MAX / c->limit)
        return ox__param_bad(p, "larger, or together with a shorter range or a smaller limit", &c->diag);
    return OX_OK;
}

static ox_err
parse(struct ox__call *c, struct search *s)
{
    static const char *const legal[] = {"service", "operation", "start", "end",   "time", "timerange",
                                        "since",   "step",      "sort",  "limit", NULL};
    static const char *const service[] = {"service", "service_name", NULL}, *const name[] = {"operation",
                                                                                             "name", NULL};
    struct ox__param *p = ox__params_any(&c->params, service);
    s->service = p != NULL ? p->value : (struct ox_str){NULL, 0};
    p = ox__params_any(&c->params, name);
    s->name = p != NULL ? p->value : (struct ox_str){NULL, 0};
    ox_err err = ox__call_range(c);
    if (err == OX_OK)
        err = ox__call_limit(c, OPERATIONS_MAX, OPERATIONS_DEFAULT);
    if (err != OX_OK)
        return err;
    widen(c, s);
    err = parse_step(c, s);
    if (err == OX_OK)
        err = parse_order(c, s);
    return err == OX_OK ? ox__call_done_params(c, legal) : err;
}

/* One row per operation; `cells` has one element per step that had calls, in order of time. */
static void
write_sql(struct ox__call *c, const struct search *s, struct ox__sql *sql)
{
    const char *table = s->by_minute ? "otel_span_stats_1m" : "otel_span_stats_1h";
    ox__sql_add(sql, "SELECT service_name, name, kind, sum(calls_) AS c, sum(errors_) AS e, sum(sum_) AS d, "
                     "min(min_) AS lo, "
                     "max(max_) AS hi, max(slow_).2, sumMap(buckets_), ");
    ox__sql_add(sql, s->step_ns != 0 ? "arraySort(groupArray((cell, calls_, errors_, buckets_)))"
                                     : "[]::Array(Tuple(UInt64, UInt64, UInt64, Map(Int16, UInt64)))");
    ox__sql_add(sql, " FROM (SELECT service_name, name, kind, toUInt64(intDiv(toUnixTimestamp(time), ");
    ox__sql_u64(sql, s->step_ns != 0 ? s->step_ns / OX__NS_PER_S : UINT32_MAX);
    ox__sql_add(sql, ")) AS cell, sum(calls) AS calls_, ");
    ox__sql_add(sql, s->by_minute ? "sumIf(calls, status_code = 2)" : "sum(errors)");
    ox__sql_add(sql, " AS errors_, sum(duration_sum_ns) AS sum_, min(duration_min_ns) AS min_, "
                     "max(duration_max_ns) AS max_, ");
    ox__sql_add(sql, s->by_minute ? "max(slowest)" : "tuple(toUInt64(0), toFixedString('', 16))");
    ox__sql_add(sql, " AS slow_, sumMap(duration_buckets) AS buckets_ FROM ");
    ox__sql_add(sql, table);
    ox__sql_add(sql, " WHERE ");
    ox__call_tenant(c, sql);
    ox__sql_range(sql, "time", c->range.start_ns, c->range.end_ns);
    if (s->service.n > 0) {
        ox__sql_add(sql, " AND service_name = ");
        ox__sql_str(sql, s->service);
    }
    if (s->name.n > 0) {
        ox__sql_add(sql, " AND name = ");
        ox__sql_str(sql, s->name);
    }
    ox__sql_add(sql, " GROUP BY service_name, name, kind, cell) GROUP BY service_name, name, kind ORDER BY ");
    ox__sql_add(sql, s->order);
    ox__sql_add(sql, strcmp(s->order, "name") == 0 ? ", service_name, kind LIMIT "
                                                   : " DESC, service_name, name, kind LIMIT ");
    ox__sql_u64(sql, c->limit + 1);
}

/* Reads a Map(Int16, UInt64) into the scratch; *n: how many. */
static ox_err
read_buckets(struct search *s, struct ox__rows *r, size_t *n)
{
    struct ox__rows at = ox__rows_array_fixed(r, BUCKET_BYTES, n);
    if (*n > s->cap_buckets) {
        struct ox_exphist_bucket *grown = realloc(s->buckets, *n * sizeof(*grown));
        if (grown == NULL)
            return OX_E_NOMEM;
        s->buckets = grown;
        s->cap_buckets = *n;
    }
    for (size_t i = 0; i < *n; i++) {
        uint16_t low = ox__rows_u8(&at);
        s->buckets[i].index = (int16_t)(uint16_t)(low | ox__rows_u8(&at) << 8);
        s->buckets[i].count = ox__rows_u64(&at);
    }
    return OX_OK;
}

/* lo, hi: what is known of the extremes; a quantile is within them. */
static void
write_quantile(struct ox__json *j, const struct search *s, size_t n, const char *key, double q, uint64_t lo,
               uint64_t hi)
{
    double v = ox_exphist_quantile(s->buckets, n, q);
    v = isnan(v) ? 0 : v < (double)lo ? (double)lo : v > (double)hi ? (double)hi : v;
    ox__qjson_ku64(j, key, (uint64_t)llround(v));
}

static void
write_rates(struct ox__json *j, uint64_t calls, uint64_t errors, double seconds)
{
    ox__qjson_ku64(j, "calls", calls);
    ox__qjson_ku64(j, "errors", errors);
    ox__qjson_kdouble(j, "error_rate", calls > 0 ? (double)errors / (double)calls : 0);
    ox__qjson_kdouble(j, "calls_per_second", seconds > 0 ? (double)calls / seconds : 0);
}

static ox_err
write_cell(struct ox__call *c, struct ox__json *j, struct search *s, struct ox__rows *r, uint64_t lo,
           uint64_t hi)
{
    size_t n;
    uint64_t from_ns = ox__rows_u64(r) * s->step_ns, to_ns = from_ns + s->step_ns;
    uint64_t calls = ox__rows_u64(r), errors = ox__rows_u64(r);
    ox_err err = read_buckets(s, r, &n);
    if (err != OX_OK)
        return err;
    /* The part of the step that the range covers, and that has passed. */
    uint64_t first = from_ns < c->range.start_ns ? c->range.start_ns : from_ns;
    uint64_t last = to_ns > c->range.end_ns ? c->range.end_ns : to_ns;
    last = last > c->now_ns ? c->now_ns : last;
    ox__qjson_begin(j, '{');
    ox__qjson_ktime(j, "time", from_ns);
    write_rates(j, calls, errors, last > first ? (double)(last - first) / 1e9 : 0);
    write_quantile(j, s, n, "p50_ns", 0.5, lo, hi);
    write_quantile(j, s, n, "p95_ns", 0.95, lo, hi);
    write_quantile(j, s, n, "p99_ns", 0.99, lo, hi);
    ox__qjson_end(j, '}');
    return OX_OK;
}

static ox_err
write_series(struct ox__call *c, struct ox__json *j, struct search *s, struct ox__rows *r, uint64_t lo,
             uint64_t hi)
{
    ox_err err = OX_OK;
    size_t cells = ox__rows_count(r, 25);
    if (s->step_ns == 0)
        return OX_OK;
    ox__qjson_open(j, "series", '[');
    for (size_t i = 0; i < cells && err == OX_OK; i++)
        err = write_cell(c, j, s, r, lo, hi);
    ox__qjson_end(j, ']');
    return err;
}

static ox_err
write_operation(struct ox__call *c, struct ox__json *j, struct search *s, struct ox__rows *r, double seconds)
{
    size_t n;
    ox__qjson_begin(j, '{');
    ox__qjson_kstr(j, "service", ox__rows_str(r));
    ox__qjson_kstr(j, "operation", ox__rows_str(r));
    ox__record_kind(j, ox__rows_u8(r));
    uint64_t calls = ox__rows_u64(r), errors = ox__rows_u64(r), sum = ox__rows_u64(r);
    uint64_t lo = ox__rows_u64(r), hi = ox__rows_u64(r);
    const uint8_t *slowest = ox__rows_fixed(r, 16);
    ox_err err = read_buckets(s, r, &n);
    if (err != OX_OK)
        return err;
    write_rates(j, calls, errors, seconds);
    ox__qjson_ku64(j, "mean_ns", calls > 0 ? sum / calls : 0);
    ox__qjson_ku64(j, "min_ns", lo);
    ox__qjson_ku64(j, "max_ns", hi);
    write_quantile(j, s, n, "p50_ns", 0.5, lo, hi);
    write_quantile(j, s, n, "p95_ns", 0.95, lo, hi);
    write_quantile(j, s, n, "p99_ns", 0.99, lo, hi);
    if (s->by_minute)
        ox__qjson_kid(j, "slowest_trace_id", slowest, 16);
    err = write_series(c, j, s, r, lo, hi);
    ox__qjson_end(j, '}');
    return err;
}

static ox_err
load(struct ox__call *c, struct search *s, struct ox_buf *result)
{
    struct ox__sql sql;
    ox__sql_init(&sql);
    write_sql(c, s, &sql);
    ox_err err = ox__call_query(c, &sql, result);
    ox__sql_fini(&sql);
    return err;
}

ox_err
ox__handle_operations(struct ox__call *c, struct ox__json *j)
{
    struct search s = {0};
    struct ox_buf result;
    struct ox__rows r;
    c->exact = true;
    ox_err err = parse(c, &s);
    if (err != OX_OK)
        return err;
    ox_buf_init(&result);
    err = load(c, &s, &result);
    ox__rows_init(&r, &result);
    uint64_t end_ns = c->range.end_ns < c->now_ns ? c->range.end_ns : c->now_ns;
    double seconds = end_ns > c->range.start_ns ? (double)(end_ns - c->range.start_ns) / 1e9 : 0;
    if (s.step_ns != 0)
        ox__qjson_ku64(j, "step_ns", s.step_ns);
    ox__qjson_open(j, "operations", '[');
    for (; err == OX_OK && ox__rows_more(&r) && c->rows < c->limit; c->rows++)
        err = write_operation(c, j, &s, &r, seconds);
    ox__qjson_end(j, ']');
    if (err == OX_OK && r.failed)
        err = ox__call_damaged(c);
    c->truncated = err == OX_OK && ox__rows_more(&r);
    free(s.buckets);
    ox_buf_fini(&result);
    return err;
}
