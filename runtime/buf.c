/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/buf.c - growable buffers, byte accounts and counted bodies.
 *
 * Owns:    the bytes of each buffer and body.
 * Threads: see include/ox/buf.h.
 * Fails:   OX_E_NOMEM.
 */
#include "ox/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* The first allocation: most small texts fit without growing again. */
#define BUF_CAP_FIRST 256

void
ox_buf_init(struct ox_buf *buf)
{
    memset(buf, 0, sizeof(*buf));
}

void
ox_buf_fini(struct ox_buf *buf)
{
    free(buf->data);
    memset(buf, 0, sizeof(*buf));
}

void
ox_buf_reset(struct ox_buf *buf)
{
    buf->len = 0;
    buf->failed = false;
}

uint8_t *
ox_buf_reserve(struct ox_buf *buf, size_t more)
{
    if (buf->failed)
        return NULL;
    if (buf->cap - buf->len >= more && buf->data != NULL)
        return buf->data + buf->len;
    if (more > SIZE_MAX / 4 || buf->len > SIZE_MAX / 4) {
        buf->failed = true;
        return NULL;
    }
    size_t cap = buf->cap != 0 ? buf->cap : BUF_CAP_FIRST;
    while (cap - buf->len < more)
        cap *= 2;
    uint8_t *data = realloc(buf->data, cap);
    if (data == NULL) {
        buf->failed = true;
        return NULL;
    }
    buf->data = data;
    buf->cap = cap;
    return data + buf->len;
}

void
ox_buf_append(struct ox_buf *buf, const void *bytes, size_t n)
{
    if (n == 0)
        return;
    uint8_t *to = ox_buf_reserve(buf, n);
    if (to == NULL)
        return;
    memcpy(to, bytes, n);
    buf->len += n;
}

void
ox_buf_append_str(struct ox_buf *buf, struct ox_str s)
{
    ox_buf_append(buf, s.p, s.n);
}

void
ox_buf_append_cstr(struct ox_buf *buf, const char *s)
{
    ox_buf_append(buf, s, strlen(s));
}

void
ox_buf_printf(struct ox_buf *buf, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int need = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    OX_ASSERT(need >= 0);
    uint8_t *to = ox_buf_reserve(buf, (size_t)need + 1);
    if (to == NULL)
        return;
    va_start(ap, fmt);
    vsnprintf((char *)to, (size_t)need + 1, fmt, ap);
    va_end(ap);
    buf->len += (size_t)need;
}

/* A race lets a little more through, never past the limit of the whole. */
static bool
over_part(const struct ox_account *acc, uint64_t before, uint64_t n)
{
    const struct ox_account *whole = acc->whole;
    if (whole == NULL || whole->limit_bytes == 0 || before == 0)
        return false;
    uint64_t used = atomic_load_explicit(&whole->used_bytes, memory_order_relaxed);
    uint64_t free_bytes = used < whole->limit_bytes ? whole->limit_bytes - used : 0;
    return before + n > OX_ACCOUNT_PART * free_bytes;
}

ox_err
ox_account_take(struct ox_account *acc, uint64_t n)
{
    if (acc == NULL)
        return OX_OK;
    if (ox_account_take(acc->whole, n) != OX_OK)
        return OX_E_NOMEM;
    /* relaxed: the counter orders nothing; it only has to add up. */
    uint64_t before = atomic_fetch_add_explicit(&acc->used_bytes, n, memory_order_relaxed);
    uint64_t limit = atomic_load_explicit(&acc->limit_bytes, memory_order_relaxed);
    if ((limit != 0 && before + n > limit) || over_part(acc, before, n)) {
        atomic_fetch_sub_explicit(&acc->used_bytes, n, memory_order_relaxed);
        ox_account_give(acc->whole, n);
        return OX_E_NOMEM;
    }
    return OX_OK;
}

void
ox_account_give(struct ox_account *acc, uint64_t n)
{
    if (acc == NULL)
        return;
    uint64_t before = atomic_fetch_sub_explicit(&acc->used_bytes, n, memory_order_relaxed);
    OX_ASSERT(before >= n);
    ox_account_give(acc->whole, n);
}

struct ox_body *
ox_body_new(size_t cap, struct ox_account *account)
{
    if (ox_account_take(account, cap) != OX_OK)
        return NULL;
    struct ox_body *body = calloc(1, sizeof(*body));
    uint8_t *data = malloc(cap != 0 ? cap : 1);
    if (body == NULL || data == NULL) {
        free(body);
        free(data);
        ox_account_give(account, cap);
        return NULL;
    }
    atomic_init(&body->refs, 1);
    body->account = account;
    body->cap = cap;
    body->data = data;
    return body;
}

ox_err
ox_body_grow(struct ox_body *body, size_t cap)
{
    OX_ASSERT(atomic_load_explicit(&body->refs, memory_order_relaxed) == 1);
    if (cap <= body->cap)
        return OX_OK;
    ox_err err = ox_account_take(body->account, cap - body->cap);
    if (err != OX_OK)
        return err;
    uint8_t *data = realloc(body->data, cap);
    if (data == NULL) {
        ox_account_give(body->account, cap - body->cap);
        return OX_E_NOMEM;
    }
    body->data = data;
    body->cap = cap;
    return OX_OK;
}

struct ox_body *
ox_body_hold(struct ox_body *body)
{
    /* relaxed: whoever adds a reference already owns one. */
    atomic_fetch_add_explicit(&body->refs, 1, memory_order_relaxed);
    return body;
}

void
ox_body_drop(struct ox_body *body)
{
    if (body == NULL)
        return;
    /* release: our reads of the bytes happen before the free by whoever drops last (acquire). */
    uint32_t before = atomic_fetch_sub_explicit(&body->refs, 1, memory_order_acq_rel);
    OX_ASSERT(before >= 1);
    if (before != 1)
        return;
    ox_account_give(body->account, body->cap);
    free(body->data);
    free(body);
}
