/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_cursor.c - where a follower of logs stands, as text that he hands back.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Bounds:  OX__CURSOR_BLOCKS_MAX blocks.
 * Fails:   INVALID.
 * Flow:    query_follow.c -> here.
 *
 * The text, numbers in hex: since_ns [ '@' low '_' first '_' start_ns '_' mark '_' mark_ns [ '!' ] ]
 * [ '~' block '_' time '_' skip ] { '.' block '_' seconds after since }
 */
#include "actors/query/query_logs.h"

static bool
take_hex(struct ox_str *s, uint64_t *v)
{
    size_t n = 0;
    *v = 0;
    for (; n < s->n && n < 17; n++) {
        char c = s->p[n];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            break;
        *v = *v << 4 | (uint64_t)digit;
    }
    s->p += n;
    s->n -= n;
    return n > 0 && n <= 16;
}

static bool
take_char(struct ox_str *s, char c)
{
    if (s->n == 0 || s->p[0] != c)
        return false;
    s->p++;
    s->n--;
    return true;
}

static bool
take_open(struct ox_str *s, struct ox__cursor *cursor)
{
    cursor->open = true;
    return take_hex(s, &cursor->open_block_id) && take_char(s, '_') && take_hex(s, &cursor->open_time_ns) &&
           take_char(s, '_') && take_hex(s, &cursor->open_skip);
}

static bool
take_arrival(struct ox_str *s, struct ox__cursor *cursor)
{
    bool ok = take_hex(s, &cursor->low) && take_char(s, '_') && take_hex(s, &cursor->first) &&
              take_char(s, '_') && take_hex(s, &cursor->start_ns) && take_char(s, '_') &&
              take_hex(s, &cursor->mark) && take_char(s, '_') && take_hex(s, &cursor->mark_ns);
    cursor->caught_up = ok && take_char(s, '!');
    return ok && cursor->low != 0;
}

ox_err
ox__cursor_parse(struct ox_str text, struct ox__cursor *cursor)
{
    uint64_t seconds;
    memset(cursor, 0, sizeof(*cursor));
    if (!take_hex(&text, &cursor->since_ns) || (take_char(&text, '@') && !take_arrival(&text, cursor)) ||
        (take_char(&text, '~') && !take_open(&text, cursor)))
        return OX_E_INVALID;
    while (text.n > 0) {
        struct ox__cursor_block *b = &cursor->blocks[cursor->n];
        if (cursor->n == OX__CURSOR_BLOCKS_MAX || !take_char(&text, '.') || !take_hex(&text, &b->block_id) ||
            !take_char(&text, '_') || !take_hex(&text, &seconds) || seconds > UINT32_MAX)
            return OX_E_INVALID;
        b->last_ns = cursor->since_ns + seconds * OX__NS_PER_S;
        cursor->n++;
    }
    return OX_OK;
}

void
ox__cursor_format(const struct ox__cursor *cursor, struct ox_buf *out)
{
    ox_buf_printf(out, "%llx", (unsigned long long)cursor->since_ns);
    if (cursor->low != 0)
        ox_buf_printf(out, "@%llx_%llx_%llx_%llx_%llx%s", (unsigned long long)cursor->low,
                      (unsigned long long)cursor->first, (unsigned long long)cursor->start_ns,
                      (unsigned long long)cursor->mark, (unsigned long long)cursor->mark_ns,
                      cursor->caught_up ? "!" : "");
    if (cursor->open)
        ox_buf_printf(out, "~%llx_%llx_%llx", (unsigned long long)cursor->open_block_id,
                      (unsigned long long)cursor->open_time_ns, (unsigned long long)cursor->open_skip);
    for (size_t i = 0; i < cursor->n; i++) {
        const struct ox__cursor_block *b = &cursor->blocks[i];
        uint64_t behind_ns = b->last_ns > cursor->since_ns ? b->last_ns - cursor->since_ns : 0;
        /* Rounded up: a block must not be forgotten while one of its records may still be asked for. */
        ox_buf_printf(out, ".%llx_%llx", (unsigned long long)b->block_id,
                      (unsigned long long)((behind_ns + OX__NS_PER_S - 1) / OX__NS_PER_S));
    }
}

static void
forget_oldest(struct ox__cursor *cursor)
{
    size_t oldest = 0;
    for (size_t i = 1; i < cursor->n; i++)
        if (cursor->blocks[i].last_ns < cursor->blocks[oldest].last_ns)
            oldest = i;
    const struct ox__cursor_block b = cursor->blocks[oldest];
    uint64_t low = cursor->low != 0 && b.block_id >= cursor->low ? b.block_id + 1 : cursor->low;
    ox__cursor_advance(cursor, b.last_ns + 1, low);
}

/* Whether a block may be asked for again. */
static bool
matters(const struct ox__cursor *cursor, const struct ox__cursor_block *b)
{
    bool by_arrival = cursor->low != 0 && b->block_id >= cursor->low;
    return by_arrival || (!cursor->caught_up && b->last_ns >= cursor->since_ns);
}

void
ox__cursor_note(struct ox__cursor *cursor, uint64_t block_id, uint64_t last_ns)
{
    for (size_t i = 0; i < cursor->n; i++) {
        if (cursor->blocks[i].block_id != block_id)
            continue;
        if (last_ns > cursor->blocks[i].last_ns)
            cursor->blocks[i].last_ns = last_ns;
        return;
    }
    if (cursor->n == OX__CURSOR_BLOCKS_MAX)
        forget_oldest(cursor);
    const struct ox__cursor_block b = {.block_id = block_id, .last_ns = last_ns};
    if (matters(cursor, &b))
        cursor->blocks[cursor->n++] = b;
}

void
ox__cursor_advance(struct ox__cursor *cursor, uint64_t since_ns, uint64_t low)
{
    size_t kept = 0;
    if (since_ns > cursor->since_ns)
        cursor->since_ns = since_ns;
    if (low > cursor->low)
        cursor->low = low;
    for (size_t i = 0; i < cursor->n; i++)
        if (matters(cursor, &cursor->blocks[i]))
            cursor->blocks[kept++] = cursor->blocks[i];
    cursor->n = kept;
}
