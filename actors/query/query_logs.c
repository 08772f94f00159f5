/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_logs.c - GET /api/v1/logs: log records, newest first.
 *
 * Owns:    result bytes, for one answer.
 * Threads: one dirty thread.
 * Bounds:  limits.logs_max; windows as in query_window.h.
 * Fails:   INVALID, the errors of storage.
 * Flow:    query_handle.c -> otel_logs, window by window -> JSON. Following (after=) is in query_follow.c.
 */
#include "actors/query/query_logs.h"

#include <ctype.h>
#include <stdio.h>

#include "actors/query/query_record.h"
#include "actors/query/query_window.h"

static const struct {
    const char *name;
    uint8_t from, to;
} levels[] = {
    {"trace", 1, 4},   {"debug", 5, 8},      {"info", 9, 12},   {"information", 9, 12},
    {"warn", 13, 16},  {"warning", 13, 16},  {"error", 17, 20}, {"err", 17, 20},
    {"fatal", 21, 24}, {"critical", 21, 24}, {"crit", 21, 24},
};

static const char level_hint[] =
    "trace, debug, info, warn, error, fatal (or several with commas, or a severity number 1 to 24)";

static bool
level_range(struct ox_str name, uint8_t *from, uint8_t *to)
{
    unsigned number = 0;
    for (size_t i = 0; i < OX_COUNT(levels); i++)
        if (ox_str_caseeq(name, ox_str_of(levels[i].name))) {
            *from = levels[i].from;
            *to = levels[i].to;
            return true;
        }
    for (size_t i = 0; i < name.n && i < 3; i++)
        number = isdigit((unsigned char)name.p[i]) ? number * 10 + (unsigned)(name.p[i] - '0') : 1000;
    *from = *to = (uint8_t)(number & 0xff);
    return number >= 1 && number <= 24;
}

static ox_err
parse_levels(struct ox__call *c, struct ox__log_search *s)
{
    struct ox__param *p = ox__params_get(&c->params, "level");
    struct ox__param *min = ox__params_get(&c->params, "minLevel");
    struct ox_str names[8];
    uint8_t from, to;
    if (p == NULL)
        p = ox__params_get(&c->params, "severity");
    if (p != NULL) {
        if (!ox__params_split(p->value, ',', names, OX_COUNT(names), &s->n_levels) || s->n_levels == 0)
            return ox__param_bad(p, level_hint, &c->diag);
        for (size_t i = 0; i < s->n_levels; i++) {
            if (!level_range(names[i], &s->levels[i].from, &s->levels[i].to))
                return ox__param_bad(p, level_hint, &c->diag);
        }
    }
    if (min != NULL) {
        if (!level_range(min->value, &from, &to))
            return ox__param_bad(min, level_hint, &c->diag);
        s->min_severity = from;
    }
    return OX_OK;
}

ox_err
ox__logs_parse(struct ox__call *c, struct ox__log_search *s)
{
    static const char *const names[] = {"service",   "level", "minLevel", "severity", "trace_id", "span_id",
                                        "q",         "tags",  "tag",      "start",    "end",      "time",
                                        "timerange", "since", "limit",    "after",    NULL};
    static const char *const service[] = {"service", "service_name", NULL}, *const words[] = {"q", "query",
                                                                                              NULL};
    struct ox__param *p = ox__params_any(&c->params, service);
    s->service = p != NULL ? p->value : (struct ox_str){NULL, 0};
    p = ox__params_any(&c->params, words);
    s->words = p != NULL ? p->value : (struct ox_str){NULL, 0};
    s->after = ox__params_get(&c->params, "after");
    ox_err err = parse_levels(c, s);
    if (err == OX_OK)
        err = ox__params_id(&c->params, "trace_id", 16, &s->has_trace, s->trace_id, &c->diag);
    if (err == OX_OK)
        err = ox__params_id(&c->params, "span_id", 8, &s->has_span, s->span_id, &c->diag);
    if (err == OX_OK)
        err = ox__params_tags(&c->params, s->tags, &s->n_tags, &c->diag);
    if (err == OX_OK)
        err = ox__call_range(c);
    if (err == OX_OK)
        err = ox__call_limit(c, c->limits.logs_max, c->limits.results_default);
    return err == OX_OK ? ox__call_done_params(c, names) : err;
}

/* The number decides; a record without one is judged by its text. */
static void
add_levels(struct ox__sql *sql, const struct ox__log_search *s)
{
    if (s->min_severity > 0)
        ox_buf_printf(&sql->text, " AND severity_number >= %u", s->min_severity);
    if (s->n_levels == 0)
        return;
    ox__sql_add(sql, " AND (");
    for (size_t i = 0; i < s->n_levels; i++) {
        ox_buf_printf(&sql->text, "%sseverity_number BETWEEN %u AND %u", i > 0 ? " OR " : "",
                      s->levels[i].from, s->levels[i].to);
        for (size_t k = 0; k < OX_COUNT(levels); k++)
            if (levels[k].from == s->levels[i].from && levels[k].to == s->levels[i].to)
                ox_buf_printf(&sql->text, " OR (severity_number = 0 AND lower(severity_text) = '%s')",
                              levels[k].name);
    }
    ox__sql_add(sql, ")");
}

static bool
is_word(struct ox_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (isalnum((unsigned char)s.p[i]) || (unsigned char)s.p[i] >= 0x80)
            return true;
    return false;
}

/* Every word, in any order and case; what stands in double quotes also as it is written, side by side. */
static void
add_words(struct ox__sql *sql, struct ox_str words)
{
    const char *p = words.p, *end = words.p + words.n;
    if (is_word(words)) {
        ox__sql_add(sql, " AND hasAllTokens(body, ");
        ox__sql_str(sql, words);
        ox__sql_add(sql, ")");
    } else {
        ox__sql_add(sql, " AND position(body, ");
        ox__sql_str(sql, words);
        ox__sql_add(sql, ") > 0");
    }
    while ((p = memchr(p, '"', (size_t)(end - p))) != NULL) {
        const char *stop = memchr(p + 1, '"', (size_t)(end - p - 1));
        if (stop == NULL)
            return;
        if (stop > p + 1) {
            ox__sql_add(sql, " AND positionCaseInsensitiveUTF8(body, ");
            ox__sql_str(sql, (struct ox_str){p + 1, (size_t)(stop - p - 1)});
            ox__sql_add(sql, ") > 0");
        }
        p = stop + 1;
    }
}

static void
add_tags(struct ox__sql *sql, const struct ox__log_search *s)
{
    for (size_t i = 0; i < s->n_tags; i++) {
        ox__sql_add(sql, " AND (attributes[");
        ox__sql_str(sql, s->tags[i].key);
        ox__sql_add(sql, "] = ");
        ox__sql_str(sql, s->tags[i].value);
        ox__sql_add(sql, " OR resource_attributes[");
        ox__sql_str(sql, s->tags[i].key);
        ox__sql_add(sql, "] = ");
        ox__sql_str(sql, s->tags[i].value);
        ox__sql_add(sql, ")");
    }
}

void
ox__logs_conditions(struct ox__call *c, struct ox__sql *sql, const struct ox__log_search *s,
                    const struct ox__range *w)
{
    ox__call_tenant(c, sql);
    ox__sql_range(sql, "time", w->start_ns, w->end_ns);
    if (s->service.n > 0) {
        ox__sql_add(sql, " AND service_name = ");
        ox__sql_str(sql, s->service);
    }
    if (s->has_trace) {
        ox__sql_add(sql, " AND trace_id = ");
        ox__sql_id(sql, s->trace_id, sizeof(s->trace_id));
    }
    if (s->has_span) {
        ox__sql_add(sql, " AND span_id = ");
        ox__sql_id(sql, s->span_id, sizeof(s->span_id));
    }
    add_levels(sql, s);
    if (s->words.n > 0)
        add_words(sql, s->words);
    add_tags(sql, s);
}

/* Writes what one window holds, at most what the limit still allows. */
static ox_err
write_window(struct ox__call *c, struct ox__json *j, const struct ox__log_search *s,
             const struct ox__range *w)
{
    struct ox__sql sql;
    struct ox_buf result;
    struct ox__rows r;
    struct ox__log_head head;
    ox__sql_init(&sql);
    ox_buf_init(&result);
    ox__sql_add(&sql, "SELECT " OX__LOG_COLUMNS " FROM otel_logs WHERE ");
    ox__logs_conditions(c, &sql, s, w);
    ox__sql_add(&sql, " ORDER BY otel_logs.time DESC LIMIT ");
    ox__sql_u64(&sql, c->limit - c->rows + 1);
    ox_err err = ox__call_query(c, &sql, &result);
    ox__rows_init(&r, &result);
    for (; err == OX_OK && ox__rows_more(&r) && c->rows < c->limit; c->rows++)
        ox__record_log(j, &r, &head);
    if (err == OX_OK && r.failed)
        err = ox__call_damaged(c);
    if (err == OX_OK && ox__rows_more(&r))
        c->truncated = true;
    ox__sql_fini(&sql);
    ox_buf_fini(&result);
    return err;
}

ox_err
ox__handle_logs(struct ox__call *c, struct ox__json *j)
{
    struct ox__log_search s = {0};
    struct ox__range w;
    ox_err err = ox__logs_parse(c, &s);
    if (err != OX_OK)
        return err;
    ox__qjson_open(j, "logs", '[');
    if (s.after != NULL) {
        err = ox__logs_follow(c, j, &s);
    } else {
        ox__window_first(&c->range, c->now_ns, &w);
        do
            err = write_window(c, j, &s, &w);
        while (err == OX_OK && !c->truncated && ox__window_next(&c->range, &w));
    }
    ox__qjson_end(j, ']');
    return err;
}
