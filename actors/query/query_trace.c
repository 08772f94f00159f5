/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_trace.c - GET /api/v1/traces/{trace_id}: one trace, whole, in tree order.
 *
 * Owns:    result bytes and the tree, for one answer.
 * Threads: one dirty thread.
 * Bounds:  limits.trace_spans_max spans, limits.correlated_max logs and exemplars.
 * Fails:   INVALID (not a trace id), NOT_FOUND, the errors of storage. When only the logs or exemplars cannot
 *          be had, the trace comes without them and meta says so.
 * Flow:    query_handle.c -> otel_trace_index (when) -> otel_traces (what) -> query_tree.c -> JSON.
 */
#include <stdlib.h>

#include "actors/query/query_call.h"
#include "actors/query/query_record.h"
#include "actors/query/query_tree.h"

/* Logs and exemplars of a trace lie near its spans, before and after. */
#define CORRELATE_SLACK_NS (300 * OX__NS_PER_S)

struct span_row {
    struct ox__span_head head;
    const uint8_t *begin; /* of the row in the result */
};

struct trace {
    uint8_t id[16];
    uint64_t min_ns; /* of the starts, from the index */
    uint64_t max_ns;
    struct ox_buf result;
    const uint8_t *end;
    struct span_row *spans;
    uint32_t n;
    struct ox__tree tree;
};

static ox_err
find_times(struct ox__call *c, struct trace *t)
{
    struct ox__sql sql;
    struct ox__rows r;
    ox__sql_init(&sql);
    ox__sql_add(
        &sql,
        "SELECT toUnixTimestamp64Nano(min(min_time)), toUnixTimestamp64Nano(max(max_time)), count() FROM "
        "otel_trace_index WHERE ");
    ox__call_tenant(c, &sql);
    ox__sql_add(&sql, " AND trace_id = ");
    ox__sql_id(&sql, t->id, sizeof(t->id));
    ox_err err = ox__call_query(c, &sql, &t->result);
    ox__sql_fini(&sql);
    if (err != OX_OK)
        return err;
    ox__rows_init(&r, &t->result);
    t->min_ns = ox__rows_u64(&r);
    t->max_ns = ox__rows_u64(&r);
    uint64_t rows = ox__rows_u64(&r);
    ox_buf_reset(&t->result);
    if (r.failed)
        return ox__call_damaged(c);
    if (rows > 0)
        return OX_OK;
    c->hint = "a trace is kept for 30 days; what was acknowledged within the last second (the last ten, "
              "where traces are "
              "sampled) may still be on its way, and what sampling drops is not stored";
    return ox_diag_set(&c->diag, OX_E_NOT_FOUND, "trace_id", -1, "no span of this trace is stored");
}

static ox_err
index_rows(struct ox__call *c, struct trace *t)
{
    struct ox__rows r;
    uint32_t cap = 0;
    ox__rows_init(&r, &t->result);
    t->end = r.end;
    while (ox__rows_more(&r)) {
        if (t->n == cap) {
            cap = cap != 0 ? 2 * cap : 256;
            struct span_row *grown = realloc(t->spans, cap * sizeof(*grown));
            if (grown == NULL)
                return OX_E_NOMEM;
            t->spans = grown;
        }
        struct span_row *row = &t->spans[t->n++];
        row->begin = r.p;
        ox__record_span_head(&r, &row->head);
        ox__record_span_skip(&r);
    }
    return r.failed ? ox__call_damaged(c) : OX_OK;
}

static ox_err
load_spans(struct ox__call *c, struct trace *t)
{
    struct ox__sql sql;
    ox__sql_init(&sql);
    ox__sql_add(&sql, "SELECT " OX__SPAN_COLUMNS " FROM otel_traces WHERE ");
    ox__call_tenant(c, &sql);
    ox__sql_range(&sql, "start_time", t->min_ns, t->max_ns + 1);
    ox__sql_add(&sql, " AND trace_id = ");
    ox__sql_id(&sql, t->id, sizeof(t->id));
    ox__sql_add(&sql, " ORDER BY start_time, span_id LIMIT ");
    ox__sql_u64(&sql, c->limit + 1);
    ox_err err = ox__call_query(c, &sql, &t->result);
    ox__sql_fini(&sql);
    if (err == OX_OK)
        err = index_rows(c, t);
    if (err == OX_OK && t->n > c->limit) {
        t->n = (uint32_t)c->limit;
        c->truncated = true;
    }
    return err;
}

static ox_err
build_tree(struct trace *t)
{
    struct ox__tree_in *in = malloc(((size_t)t->n + 1) * sizeof(*in));
    if (in == NULL)
        return OX_E_NOMEM;
    for (uint32_t i = 0; i < t->n; i++) {
        memcpy(in[i].span_id, t->spans[i].head.span_id, 8);
        memcpy(in[i].parent_id, t->spans[i].head.parent_span_id, 8);
        in[i].start_ns = t->spans[i].head.start_ns;
    }
    ox_err err = ox__tree_build(in, t->n, &t->tree);
    free(in);
    return err;
}

static int
compare_str(const void *a, const void *b)
{
    const struct ox_str *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    int order = n > 0 ? memcmp(x->p, y->p, n) : 0;
    return order != 0 ? order : (x->n > y->n) - (x->n < y->n);
}

static ox_err
write_services(struct ox__json *j, const struct trace *t)
{
    struct ox_str *names = malloc(((size_t)t->tree.n + 1) * sizeof(*names));
    if (names == NULL)
        return OX_E_NOMEM;
    for (uint32_t i = 0; i < t->tree.n; i++)
        names[i] = t->spans[t->tree.nodes[i].index].head.service_name;
    qsort(names, t->tree.n, sizeof(*names), compare_str);
    ox__qjson_open(j, "services", '[');
    for (uint32_t i = 0; i < t->tree.n; i++)
        if (i == 0 || !ox_str_eq(names[i], names[i - 1]))
            ox__qjson_str(j, names[i]);
    ox__qjson_end(j, ']');
    free(names);
    return OX_OK;
}

/* What is known to be missing. A span that nothing refers to leaves no gap; that weights differ is none, since what is
 * kept by the larger threshold is kept by the smaller one too. */
static void
write_gaps(struct ox__json *j, const struct trace *t)
{
    ox__qjson_kbool(j, "incomplete", t->tree.orphans > 0 || t->tree.roots == 0);
    ox__qjson_open(j, "incomplete_reasons", '[');
    if (t->tree.roots == 0)
        ox__qjson_str(j, OX_STR("no root span is stored"));
    if (t->tree.orphans > 0)
        ox__qjson_str(j, OX_STR("spans name a parent that is not stored: orphan_count says how many"));
    ox__qjson_end(j, ']');
}

static ox_err
write_summary(struct ox__json *j, const struct trace *t)
{
    uint64_t start_ns = UINT64_MAX, end_ns = 0, errors = 0;
    for (uint32_t i = 0; i < t->tree.n; i++) {
        const struct ox__span_head *s = &t->spans[t->tree.nodes[i].index].head;
        start_ns = s->start_ns < start_ns ? s->start_ns : start_ns;
        end_ns = s->start_ns + s->duration_ns > end_ns ? s->start_ns + s->duration_ns : end_ns;
        errors += s->status_code == 2;
    }
    ox__qjson_kid(j, "trace_id", t->id, sizeof(t->id));
    ox__qjson_ktime(j, "start_time", start_ns);
    ox__qjson_ktime(j, "end_time", end_ns);
    ox__qjson_ku64(j, "duration_ns", end_ns - start_ns);
    ox__qjson_ku64(j, "span_count", t->tree.n);
    ox__qjson_ku64(j, "error_count", errors);
    ox__qjson_ku64(j, "root_count", t->tree.roots);
    ox__qjson_ku64(j, "orphan_count", t->tree.orphans);
    ox__qjson_ku64(j, "cycle_count", t->tree.cycles);
    ox__qjson_ku64(j, "duplicates_removed", t->tree.duplicates);
    write_gaps(j, t);
    return write_services(j, t);
}

static void
write_spans(struct ox__json *j, const struct trace *t)
{
    ox__qjson_open(j, "spans", '[');
    for (uint32_t i = 0; i < t->tree.n; i++) {
        const struct ox__tree_node *node = &t->tree.nodes[i];
        struct ox__rows r = {.p = t->spans[node->index].begin, .end = t->end};
        ox__qjson_begin(j, '{');
        ox__record_span(j, &r);
        ox__qjson_ku64(j, "depth", node->depth);
        ox__qjson_ku64(j, "child_count", node->children);
        ox__qjson_kbool(j, "root", (node->flags & OX__TREE_ROOT) != 0);
        ox__qjson_kbool(j, "orphan", (node->flags & OX__TREE_ORPHAN) != 0);
        ox__qjson_kbool(j, "cycle", (node->flags & OX__TREE_CYCLE) != 0);
        ox__qjson_end(j, '}');
    }
    ox__qjson_end(j, ']');
}

/* "FROM ... WHERE" of what carries the trace's id, near its time. */
static void
correlated_sql(struct ox__call *c, struct ox__sql *sql, const struct trace *t, const char *select,
               const char *time_column)
{
    ox__sql_init(sql);
    ox__sql_add(sql, select);
    ox__call_tenant(c, sql);
    uint64_t from_ns = t->min_ns > CORRELATE_SLACK_NS ? t->min_ns - CORRELATE_SLACK_NS : 0;
    uint64_t last_ns = t->max_ns;
    for (uint32_t i = 0; i < t->n; i++) {
        const struct ox__span_head *s = &t->spans[i].head;
        last_ns = s->start_ns + s->duration_ns > last_ns ? s->start_ns + s->duration_ns : last_ns;
    }
    ox__sql_range(sql, time_column, from_ns, last_ns + CORRELATE_SLACK_NS);
    ox__sql_add(sql, " AND trace_id = ");
    ox__sql_id(sql, t->id, sizeof(t->id));
    ox__sql_add(sql, " ORDER BY time LIMIT ");
    ox__sql_u64(sql, c->limits.correlated_max + 1);
}

static void
write_one_log(struct ox__json *j, struct ox__rows *r)
{
    struct ox__log_head head;
    ox__record_log(j, r, &head);
}

/* A list that the answer can do without: failing leaves a note instead of an error. */
static void
write_correlated(struct ox__call *c, struct ox__json *j, const char *key, const struct ox__sql *sql,
                 void (*write)(struct ox__json *, struct ox__rows *))
{
    struct ox_buf result;
    struct ox__rows r;
    uint32_t n = 0;
    ox_buf_init(&result);
    ox_err err = ox__call_query(c, sql, &result);
    ox__qjson_open(j, key, '[');
    if (err == OX_OK) {
        ox__rows_init(&r, &result);
        size_t mark = j->buf->len;
        while (ox__rows_more(&r) && n < c->limits.correlated_max) {
            write(j, &r);
            n++;
        }
        if (r.failed) {
            j->buf->len = mark;
            j->comma = false;
            err = ox__call_damaged(c);
        }
    }
    ox__qjson_end(j, ']');
    if (err != OX_OK)
        ox__call_partial(c, key, c->diag.text[0] != 0 ? &c->diag : NULL);
    else if (ox__rows_more(&r))
        c->truncated = true;
    c->hint = NULL;
    ox_buf_fini(&result);
}

static void
correlate(struct ox__call *c, struct ox__json *j, const struct trace *t)
{
    struct ox__sql sql;
    correlated_sql(c, &sql, t, "SELECT " OX__LOG_COLUMNS " FROM otel_logs WHERE ", "time");
    write_correlated(c, j, "logs", &sql, write_one_log);
    ox__sql_fini(&sql);
    correlated_sql(c, &sql, t, "SELECT " OX__EXEMPLAR_COLUMNS " FROM otel_metric_exemplars WHERE ",
                   "point_time");
    write_correlated(c, j, "exemplars", &sql, ox__record_exemplar);
    ox__sql_fini(&sql);
}

static ox_err
answer(struct ox__call *c, struct ox__json *j, struct trace *t, bool with_correlated)
{
    ox_err err = find_times(c, t);
    if (err == OX_OK)
        err = load_spans(c, t);
    if (err == OX_OK && t->n == 0)
        err = ox_diag_set(&c->diag, OX_E_NOT_FOUND, "trace_id", -1, "the spans of this trace have expired");
    if (err == OX_OK)
        err = build_tree(t);
    if (err == OX_OK)
        err = write_summary(j, t);
    if (err != OX_OK)
        return err;
    for (uint32_t i = 0; i < t->tree.n; i++)
        ox__sums_span(&c->sums, t->spans[t->tree.nodes[i].index].head.sample_weight);
    write_spans(j, t);
    if (with_correlated)
        correlate(c, j, t);
    c->rows = t->tree.n;
    return OX_OK;
}

ox_err
ox__handle_trace(struct ox__call *c, struct ox__json *j)
{
    static const char *const names[] = {"correlate", "limit", "trace_id", NULL};
    struct trace t = {0};
    struct ox__param arg = {.name = OX_STR("trace_id"), .value = c->path_arg};
    struct ox__param *given = ox__params_get(&c->params, "trace_id");
    bool with_correlated;
    if (arg.value.n == 0 && given != NULL)
        arg.value = given->value;
    if (ox_hex_decode(arg.value, t.id, sizeof(t.id)) != OX_OK)
        return ox__param_bad(&arg, "the 32 hex digits of a trace id", &c->diag);
    ox_err err = ox__params_bool(&c->params, "correlate", false, &with_correlated, &c->diag);
    if (err == OX_OK)
        err = ox__call_limit(c, c->limits.trace_spans_max, c->limits.trace_spans_max);
    if (err == OX_OK)
        err = ox__call_done_params(c, names);
    if (err == OX_OK)
        err = answer(c, j, &t, with_correlated);
    ox__tree_fini(&t.tree);
    free(t.spans);
    ox_buf_fini(&t.result);
    return err;
}
