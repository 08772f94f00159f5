/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_follow.c - GET /api/v1/logs?after=: the records that became visible since the last
 * answer.
 *
 * Owns:    result bytes, for one answer.
 * Threads: one dirty thread.
 * Bounds:  limits.logs_max records an answer; a block that becomes visible LATE_NS after the ones around it is not
 *          seen (without a node that tells of its blocks: a record LATE_NS after its own time).
 * Fails:   INVALID (a cursor that is not ours), the errors of storage.
 * Flow:    query_logs.c -> here -> query_cursor.c.
 *
 * First the range is caught up with, by the time of the records. Once an answer was not cut, what arrives is followed:
 * by the ids of blocks, which rise, so that a record whose own time is hours old, or a little in the future, is seen
 * when it comes. The index over block_id leaves out what lies before.
 *
 * The answer is ordered by block, then time; whoever shows it sorts each answer by time. after=start begins
 * at the range's start. When meta.truncated is set there is more already: ask again at once.
 */
#include <stdlib.h>

#include "actors/query/query_logs.h"
#include "actors/query/query_record.h"

#define LATE_NS  (60 * OX__NS_PER_S)
#define AHEAD_NS (3650ull * 86400 * OX__NS_PER_S) /* validate.future is at most ten years */

static void
follow_sql(struct ox__call *c, struct ox__sql *sql, const struct ox__log_search *s,
           const struct ox__cursor *cursor)
{
    struct ox__range w = {.start_ns = cursor->since_ns, .end_ns = c->range.end_ns};
    if (cursor->caught_up)
        w.start_ns = 0;
    if (cursor->low != 0 && w.end_ns + OX__NS_PER_S >= c->now_ns) /* up to now: then up to whatever arrives */
        w.end_ns = c->now_ns + AHEAD_NS;
    ox__sql_add(sql, "SELECT " OX__LOG_COLUMNS " FROM otel_logs WHERE ");
    ox__logs_conditions(c, sql, s, &w);
    if (cursor->caught_up) {
        ox_buf_printf(&sql->text, " AND block_id >= %llu AND (block_id >= %llu OR otel_logs.time >= ",
                      (unsigned long long)cursor->low, (unsigned long long)cursor->first);
        ox__sql_time(sql, cursor->start_ns);
        ox__sql_add(sql, ")");
    }
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
finish(struct ox__call *c, const struct walk *w, struct ox__cursor *cursor, uint64_t visible_below)
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
    cursor->caught_up = cursor->low != 0;
    bool marked = cursor->low != 0 && c->now_ns >= cursor->mark_ns + LATE_NS;
    ox__cursor_advance(cursor, c->now_ns > LATE_NS ? c->now_ns - LATE_NS : 0,
                       marked ? cursor->mark : cursor->low);
    if (marked) {
        cursor->mark = visible_below;
        cursor->mark_ns = c->now_ns;
    }
}

static ox_err
deliver(struct ox__call *c, struct ox__json *j, struct ox_buf *result, struct ox__cursor *cursor,
        uint64_t visible_below)
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
    finish(c, &w, cursor, visible_below);
    return OX_OK;
}

static ox_err
follow(struct ox__call *c, struct ox__json *j, const struct ox__log_search *s, struct ox__cursor *cursor,
       bool begins)
{
    struct ox__sql sql;
    struct ox_buf result;
    ox__sql_init(&sql);
    ox_buf_init(&result);
    uint64_t next = 0, visible_below = 0;
    if (c->q->blocks != NULL) /* before the question is asked: then the answer holds all of them */
        c->q->blocks(c->q->status_ctx, &next, &visible_below);
    if (begins && visible_below > 0) {
        cursor->low = cursor->mark = visible_below;
        cursor->first = next;
        cursor->start_ns = cursor->since_ns;
        cursor->mark_ns = c->now_ns;
    }
    follow_sql(c, &sql, s, cursor);
    ox_err err = ox__call_query(c, &sql, &result);
    if (err == OX_OK)
        err = deliver(c, j, &result, cursor, visible_below);
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
    bool begins = ox_str_eq(s->after->value, OX_STR("start"));
    if (begins)
        cursor->since_ns = c->range.start_ns;
    else if (ox__cursor_parse(s->after->value, cursor) != OX_OK)
        err = ox__param_bad(s->after, "start, or meta.cursor of the last answer", &c->diag);
    if (err == OX_OK)
        err = follow(c, j, s, cursor, begins);
    free(cursor);
    return err;
}
