/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_follow.c - GET /api/v1/logs?after=: the records that became visible since the last
 * answer.
 *
 * Owns:    result bytes, for one answer.
 * Threads: one dirty thread.
 * Bounds:  limits.logs_max records an answer; a record that arrives LATE_NS after its own time is not seen.
 * Fails:   INVALID (a cursor that is not ours), the errors of storage.
 * Flow:    query_logs.c -> here -> query_cursor.c.
 *
 * The answer is ordered by block, then time; whoever shows it sorts each answer by time. after=start begins
 * at the range's start. When meta.truncated is set there is more already: ask again at once.
 */
#include <stdlib.h>

#include "actors/query/query_logs.h"
#include "actors/query/query_record.h"

#define LATE_NS (60 * OX__NS_PER_S)

static void
follow_sql(struct ox__call *c, struct ox__sql *sql, const struct ox__log_search *s,
           const struct ox__cursor *cursor)
{
    struct ox__range w = {.start_ns = cursor->since_ns, .end_ns = c->range.end_ns};
    ox__sql_add(sql, "SELECT " OX__LOG_COLUMNS " FROM otel_logs WHERE ");
    ox__logs_conditions(c, sql, s, &w);
    for (size_t i = 0; i < cursor->n; i++)
        ox_buf_printf(&sql->text, "%s%llu", i == 0 ? " AND block_id NOT IN (" : ",",
                      (unsigned long long)cursor->blocks[i].block_id);
    if (cursor->n > 0)
        ox__sql_add(sql, ")");
    if (cursor->open) {
        ox_buf_printf(&sql->text, " AND (block_id != %llu OR otel_logs.time >= ",
                      (unsigned long long)cursor->open_block_id);
        ox__sql_time(sql, cursor->open_time_ns);
        ox__sql_add(sql, ")");
    }
    ox__sql_add(sql, " ORDER BY ");
    if (cursor->open)
        ox_buf_printf(&sql->text, "block_id != %llu, ", (unsigned long long)cursor->open_block_id);
    /* Records that agree in all of this are the same to a reader, whichever comes first. */
    ox__sql_add(
        sql, "block_id, otel_logs.time, cityHash64(body, attributes, resource_attributes, trace_id, span_id, "
             "severity_number, observed_offset_ns) LIMIT ");
    ox__sql_u64(sql, c->limit + cursor->open_skip + 1);
}

/* Follows the rows of an answer through the blocks. */
struct walk {
    bool any;
    uint64_t block_id;
    uint64_t last_ns;
    uint64_t same_time; /* records delivered of the block's last time */
};

static void
step(struct walk *w, struct ox__cursor *cursor, const struct ox__log_head *head)
{
    if (w->any && w->block_id != head->block_id)
        ox__cursor_note(cursor, w->block_id, w->last_ns);
    w->same_time =
        w->any && w->block_id == head->block_id && w->last_ns == head->time_ns ? w->same_time + 1 : 1;
    w->any = true;
    w->block_id = head->block_id;
    w->last_ns = head->time_ns;
}

static void
finish(struct ox__call *c, const struct walk *w, struct ox__cursor *cursor)
{
    cursor->open = c->truncated && w->any;
    cursor->open_skip = 0;
    if (cursor->open) {
        cursor->open_block_id = w->block_id;
        cursor->open_time_ns = w->last_ns;
        cursor->open_skip = w->same_time;
        return;
    }
    if (w->any)
        ox__cursor_note(cursor, w->block_id, w->last_ns);
    ox__cursor_advance(cursor, c->now_ns > LATE_NS ? c->now_ns - LATE_NS : 0);
}

static ox_err
deliver(struct ox__call *c, struct ox__json *j, struct ox_buf *result, struct ox__cursor *cursor)
{
    struct ox__rows r;
    struct ox__log_head head;
    struct walk w = {0};
    uint64_t skip = cursor->open_skip, open_block_id = cursor->open_block_id,
             open_time_ns = cursor->open_time_ns;
    ox__rows_init(&r, result);
    while (ox__rows_more(&r) && c->rows < c->limit) {
        size_t mark = j->buf->len;
        bool comma = j->comma;
        ox__record_log(j, &r, &head);
        step(&w, cursor, &head);
        if (skip > 0 && head.block_id == open_block_id && head.time_ns == open_time_ns) {
            skip--;
            j->buf->len = mark;
            j->comma = comma;
            continue;
        }
        c->rows++;
    }
    if (r.failed)
        return ox__call_damaged(c);
    c->truncated = ox__rows_more(&r);
    finish(c, &w, cursor);
    return OX_OK;
}

static ox_err
follow(struct ox__call *c, struct ox__json *j, const struct ox__log_search *s, struct ox__cursor *cursor)
{
    struct ox__sql sql;
    struct ox_buf result;
    ox__sql_init(&sql);
    ox_buf_init(&result);
    follow_sql(c, &sql, s, cursor);
    ox_err err = ox__call_query(c, &sql, &result);
    if (err == OX_OK)
        err = deliver(c, j, &result, cursor);
    if (err == OX_OK)
        ox__cursor_format(cursor, &c->cursor);
    ox__sql_fini(&sql);
    ox_buf_fini(&result);
    return err;
}

ox_err
ox__logs_follow(struct ox__call *c, struct ox__json *j, const struct ox__log_search *s)
{
    struct ox__cursor *cursor = calloc(1, sizeof(*cursor));
    ox_err err = OX_OK;
    if (cursor == NULL)
        return OX_E_NOMEM;
    if (ox_str_eq(s->after->value, OX_STR("start")))
        cursor->since_ns = c->range.start_ns;
    else if (ox__cursor_parse(s->after->value, cursor) != OX_OK)
        err = ox__param_bad(s->after, "start, or meta.cursor of the last answer", &c->diag);
    if (err == OX_OK)
        err = follow(c, j, s, cursor);
    free(cursor);
    return err;
}
