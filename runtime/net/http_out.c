/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/http_out.c - bytes that wait to be sent, in pieces.
 *
 * Owns:    the pieces of each queue.
 * Threads: the server's loop.
 * Bounds:  none of its own; see write_queue_high and OX_HTTP_OUT_TARGET.
 * Fails:   false without memory.
 */
#include <stdlib.h>

#include "runtime/net/http_internal.h"

/* Copies smaller than this join the last piece instead of making a new one. */
#define CHUNK_JOIN_BYTES (16 * 1024)

static struct ox__chunk *
chunk_add(struct ox__chunkq *q)
{
    struct ox__chunk *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    if (q->last != NULL)
        q->last->next = c;
    else
        q->first = c;
    q->last = c;
    return c;
}

bool
ox__chunkq_copy(struct ox__chunkq *q, const void *bytes, size_t n)
{
    if (n == 0)
        return true;
    struct ox__chunk *c = q->last;
    if (c == NULL || c->buf.len + n > CHUNK_JOIN_BYTES) {
        c = chunk_add(q);
        if (c == NULL)
            return false;
    }
    ox_buf_append(&c->buf, bytes, n);
    if (c->buf.failed)
        return false;
    q->bytes += n;
    return true;
}

bool
ox__chunkq_steal(struct ox__chunkq *q, struct ox_buf *buf)
{
    size_t n = buf->len;
    struct ox__chunk *c = buf->failed || n == 0 ? NULL : chunk_add(q);
    bool ok = !buf->failed && (n == 0 || c != NULL);
    if (c == NULL) {
        ox_buf_fini(buf);
        return ok;
    }
    c->buf = *buf;
    ox_buf_init(buf);
    q->bytes += n;
    return true;
}

void
ox__chunkq_move(struct ox__chunkq *q, struct ox__chunkq *from)
{
    if (from->first == NULL)
        return;
    if (q->last != NULL)
        q->last->next = from->first;
    else
        q->first = from->first;
    q->last = from->last;
    q->bytes += from->bytes;
    memset(from, 0, sizeof(*from));
}

static void
chunk_drop_first(struct ox__chunkq *q)
{
    struct ox__chunk *c = q->first;
    q->first = c->next;
    if (q->first == NULL)
        q->last = NULL;
    ox_buf_fini(&c->buf);
    free(c);
}

void
ox__chunkq_consume(struct ox__chunkq *q, size_t n)
{
    OX_ASSERT(n <= q->bytes);
    q->bytes -= n;
    while (n > 0) {
        struct ox__chunk *c = q->first;
        size_t have = c->buf.len - c->off;
        if (have > n) {
            c->off += n;
            return;
        }
        n -= have;
        chunk_drop_first(q);
    }
}

size_t
ox__chunkq_take(struct ox__chunkq *q, void *to, size_t n)
{
    uint8_t *out = to;
    size_t done = 0;
    while (done < n && q->first != NULL) {
        struct ox__chunk *c = q->first;
        size_t have = c->buf.len - c->off;
        size_t part = have < n - done ? have : n - done;
        memcpy(out + done, c->buf.data + c->off, part);
        done += part;
        ox__chunkq_consume(q, part);
    }
    return done;
}

void
ox__chunkq_fini(struct ox__chunkq *q)
{
    while (q->first != NULL)
        chunk_drop_first(q);
    q->bytes = 0;
}
