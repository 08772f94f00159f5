/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_call.c - runs the statements of one question within its budget and keeps notes for meta.
 *
 * Owns:    nothing beyond struct ox__call.
 * Threads: one dirty thread.
 * Bounds:  the question's limits; what is left of its time goes to each statement.
 * Fails:   the storage client's errors, put into the words of somebody who asked a question.
 * Flow:    handlers -> here -> actors/storage.
 */
#include "actors/query/query_call.h"

#include <stdio.h>

#include "ox/clock.h"
#include "ox/log.h"
#include "ox/metric.h"

/* ClickHouse: the regular expression does not compile. */
#define CODE_BAD_REGEXP 427
/* ClickHouse: TIMEOUT_EXCEEDED, our max_execution_time; and the codes of the other budgets. */
#define CODE_TIMEOUT 159
#define CODE_ROWS    158
#define CODE_BYTES   307
#define CODE_MEMORY  241
#define CODE_RESULT  396

static uint64_t
elapsed_ms(const struct ox__call *c)
{
    return (ox_clock_monotonic_ns(c->q->clock) - c->started_ns) / 1000000;
}

static ox_err
over_budget(struct ox__call *c, const char *budget, const char *what, uint64_t limit, const char *unit)
{
    char field[40];
    OX_METRIC_ADD_L(OX_M_query_refused, 1, ox_str_of(c->req->tenant.name), ox_str_of(budget));
    snprintf(field, sizeof(field), "query.%s", budget);
    return ox_diag_set(&c->diag, OX_E_STORAGE_BUDGET, field, -1, "%s: the question %s more than %llu %s",
                       field, what, (unsigned long long)limit, unit);
}

/* Which of its budgets the question ran into. */
static ox_err
name_budget(struct ox__call *c, ox_err err, int code)
{
    const struct ox_query_limits *l = &c->limits;
    c->hint = "ask for a shorter time range, name a service, or lower the limit";
    if (err == OX_E_TOO_LARGE || code == CODE_RESULT)
        return over_budget(c, "result_bytes", "has an answer of", l->result_bytes_max, "bytes");
    if (code == CODE_ROWS)
        return over_budget(c, "rows", "would read", l->read_rows_max, "rows");
    if (code == CODE_BYTES)
        return over_budget(c, "bytes", "would read", l->read_bytes_max, "bytes");
    if (code == CODE_MEMORY)
        return over_budget(c, "memory", "needs", l->memory_bytes_max, "bytes of the engine's memory");
    return OX_E_STORAGE_BUDGET;
}

/* What ClickHouse says of statements is for the log: the asker wrote none, and is told `said`. */
static ox_err
keep_to_ourselves(struct ox__call *c, ox_err err, ox_err told, const char *said)
{
    OX_LOG_AT(told == OX_E_INTERNAL ? OX_LOG_ERROR : OX_LOG_WARN, "api", "storage does not answer a question",
              OX_F_STR("tenant", c->req->tenant.name), OX_F_STRN("path", c->req->path), OX_F_ERR(err),
              OX_F_DIAG(&c->diag));
    return ox_diag_set(&c->diag, told, NULL, -1, "%s", said);
}

static ox_err
missing_table(struct ox__call *c, ox_err err)
{
    bool applied =
        c->q->schema_ready != NULL && atomic_load_explicit(c->q->schema_ready, memory_order_acquire);
    if (!applied) {
        c->hint = "ask again in a moment";
        return keep_to_ourselves(c, err, OX_E_UNAVAILABLE, "storage is still being prepared");
    }
    c->hint = "this is for who runs the server: /ready and /api/v1/status say which table, the log says more";
    return keep_to_ourselves(c, err, OX_E_INTERNAL, "a table of the store is missing");
}

/* The client speaks of statements; the asker wrote none, so a refused one is our fault. */
static ox_err
translate(struct ox__call *c, ox_err err, const struct ox_storage_stats *stats)
{
    if (stats->code == CODE_BAD_REGEXP)
        return ox_diag_set(
            &c->diag, OX_E_INVALID, "label", -1,
            "a regular expression in the label matchers does not compile: write it in RE2 syntax");
    if (stats->code == CODE_TIMEOUT || err == OX_E_TIMEOUT) {
        c->hint = "ask for a shorter time range, or name a service";
        OX_METRIC_ADD_L(OX_M_query_refused, 1, ox_str_of(c->req->tenant.name), OX_STR("timeout"));
        return ox_diag_set(&c->diag, OX_E_TIMEOUT, "query.timeout", -1,
                           "query.timeout: the question took longer than %u ms", c->limits.timeout_ms);
    }
    switch (err) {
    case OX_E_TOO_LARGE:
    case OX_E_STORAGE_BUDGET:
        return name_budget(c, err, stats->code);
    case OX_E_NOT_FOUND:
        return missing_table(c, err);
    case OX_E_STORAGE_REFUSED:
    case OX_E_FORBIDDEN:
    case OX_E_UNAUTHENTICATED:
        c->hint = "this is a fault of the server, not of the question";
        return keep_to_ourselves(c, err, OX_E_INTERNAL, "storage refuses how this question was put to it");
    case OX_E_STORAGE_OPEN:
        c->hint = "ingest goes on; ask again in a few seconds, /api/v1/status says how storage is";
        return err;
    case OX_E_STORAGE_DAMAGED:
        c->hint = "ask again in a few seconds: the embedded engine is restarted for it; /ready says what is "
                  "damaged for good";
        return keep_to_ourselves(c, err, err, ox_err_text(err));
    default: /* a code: the sentence is ClickHouse's */
        return stats->code != 0 ? keep_to_ourselves(c, err, err, ox_err_text(err)) : err;
    }
}

ox_err
ox__call_query(struct ox__call *c, const struct ox__sql *sql, struct ox_buf *out)
{
    struct ox_storage_param params[OX__SQL_PARAMS_MAX];
    struct ox_storage_stats stats = {0};
    uint64_t spent_ms = elapsed_ms(c);
    if (sql->failed || sql->text.failed || sql->values.failed)
        return ox_diag_set(&c->diag, OX_E_INVALID, "query", -1, "too many conditions in one question");
    if (spent_ms >= c->limits.timeout_ms)
        return translate(c, OX_E_TIMEOUT, &stats);
    struct ox_storage_query query = {
        .sql = ox_buf_str(&sql->text),
        .format = "RowBinary",
        .tenant = &c->req->tenant,
        .params = params,
        .params_n = ox__sql_params(sql, params),
        .max_execution_ms = (unsigned)(c->limits.timeout_ms - spent_ms),
        .max_rows_to_read = c->limits.read_rows_max,
        .max_bytes_to_read = c->limits.read_bytes_max,
        .max_memory_bytes = c->limits.memory_bytes_max,
        .max_result_bytes = c->limits.result_bytes_max,
        .cancel = c->req->cancel,
    };
    ox_err err = ox_storage_query(c->q->storage, &query, out, &stats, &c->diag);
    c->read_rows += stats.read_rows;
    c->read_bytes += stats.read_bytes;
    return err == OX_OK ? OX_OK : translate(c, err, &stats);
}

ox_err
ox__call_damaged(struct ox__call *c)
{
    return ox_diag_set(&c->diag, OX_E_INTERNAL, NULL, -1,
                       "storage answered with something else than the columns that were asked for");
}

void
ox__call_partial(struct ox__call *c, const char *what, const struct ox_diag *why)
{
    if (c->n_partial == OX__PARTIAL_MAX)
        return;
    snprintf(c->partial[c->n_partial++], sizeof(c->partial[0]), "%s%s%.100s", what,
             why != NULL && why->text[0] != 0 ? ": " : "", why != NULL ? why->text : "");
}

ox_err
ox__call_limit(struct ox__call *c, uint32_t max, uint32_t fallback)
{
    return ox__params_u64(&c->params, "limit", 1, max, fallback < max ? fallback : max, &c->limit, &c->diag);
}

ox_err
ox__call_range(struct ox__call *c)
{
    c->has_range = true;
    return ox__params_range(&c->params, c->now_ns, c->limits.range_default_ns, &c->range, &c->diag);
}

ox_err
ox__call_done_params(struct ox__call *c, const char *const *names)
{
    return ox__params_check_used(&c->params, names, &c->diag);
}

void
ox__call_tenant(struct ox__call *c, struct ox__sql *sql)
{
    ox__sql_add(sql, "tenant_id = ");
    ox__sql_str(sql, ox_str_of(c->req->tenant.name));
}

static void
write_sampling(struct ox__call *c, struct ox__json *j)
{
    bool sampled = ox__sums_sampled(&c->sums);
    if (c->exact)
        ox__qjson_kbool(j, "exact", true);
    ox__qjson_kbool(j, "sampled", sampled);
    if (!sampled)
        return;
    ox__qjson_open(j, "sampling", '{');
    ox__qjson_kdouble(j, "rate", ox__sums_rate(&c->sums));
    ox__sums_write(j, "spans", &c->sums, c->sums_bounded, c->sums.top);
    ox__qjson_end(j, '}');
}

void
ox__call_meta(struct ox__call *c, struct ox__json *j)
{
    ox__qjson_open(j, "meta", '{');
    ox__qjson_ku64(j, "took_ms", elapsed_ms(c));
    ox__qjson_ku64(j, "rows", c->rows);
    if (c->limit != 0)
        ox__qjson_ku64(j, "limit", c->limit);
    ox__qjson_kbool(j, "truncated", c->truncated);
    write_sampling(c, j);
    ox__qjson_kbool(j, "partial", c->n_partial > 0);
    ox__qjson_open(j, "partial_reasons", '[');
    for (size_t i = 0; i < c->n_partial; i++)
        ox__qjson_str(j, ox_str_of(c->partial[i]));
    ox__qjson_end(j, ']');
    if (c->has_range) {
        ox__qjson_open(j, "time_range", '{');
        ox__qjson_ktime(j, "start", c->range.start_ns);
        ox__qjson_ktime(j, "end", c->range.end_ns);
        ox__qjson_end(j, '}');
    }
    if (c->cursor.len > 0)
        ox__qjson_kstr(j, "cursor", ox_buf_str(&c->cursor));
    ox__qjson_ku64(j, "read_rows", c->read_rows);
    ox__qjson_ku64(j, "read_bytes", c->read_bytes);
    ox__qjson_end(j, '}');
}
