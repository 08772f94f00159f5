/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/buf.h - growable byte buffers and counted immutable bodies.
 *
 * Owns:    the bytes of each.
 * Threads: a buf belongs to one thread at a time; a body may be read by any thread once it is shared,
 *          hold and drop are atomic.
 * Bounds:  each body may be charged to an account (a byte counter with a limit).
 */
#ifndef OX_BUF_H
#define OX_BUF_H

#include <stdatomic.h>

#include "ox/base.h"

/* Growable bytes. A failed growth sticks (`failed`), so a chain of appends is checked once at its end. */
struct ox_buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    bool failed;
};

void ox_buf_init(struct ox_buf *buf);
void ox_buf_fini(struct ox_buf *buf);
/* Empties without giving memory back. */
void ox_buf_reset(struct ox_buf *buf);
/* Room for `more` bytes behind len, or NULL (and failed). The caller writes there and adds to len. */
uint8_t *ox_buf_reserve(struct ox_buf *buf, size_t more);
void ox_buf_append(struct ox_buf *buf, const void *bytes, size_t n);
void ox_buf_append_str(struct ox_buf *buf, struct ox_str s);
void ox_buf_append_cstr(struct ox_buf *buf, const char *s);
void ox_buf_printf(struct ox_buf *buf, const char *fmt, ...) OX_PRINTF(2, 3);
/* The content as a view; valid until the next change. */
static inline struct ox_str
ox_buf_str(const struct ox_buf *buf)
{
    return (struct ox_str){(const char *)buf->data, buf->len};
}

/* A byte budget that many bodies share; limit 0 means without limit. Both numbers are atomic (relaxed), and the limit may
 * be changed while bodies are charged: what is taken already stays taken. An account may be a part of another,
 * which is then charged as well: with anything in use it takes no more than OX_ACCOUNT_PART times what stays free of the
 * whole, so that whoever comes after it finds room. */
#define OX_ACCOUNT_PART 3
struct ox_account {
    _Atomic uint64_t used_bytes;
    _Atomic uint64_t limit_bytes;
    struct ox_account *whole; /* NULL = none; outlives this one */
};
/* Takes `n` bytes from the budget, or NOMEM and nothing taken. */
OX_MUST_USE ox_err ox_account_take(struct ox_account *acc, uint64_t n);
void ox_account_give(struct ox_account *acc, uint64_t n);

/* Counted bytes: one writer until shared, immutable afterwards. */
struct ox_body {
    _Atomic uint32_t refs;
    struct ox_account *account; /* charged with cap; NULL = none. Must outlive the body. */
    size_t len;
    size_t cap;
    uint8_t *data;
};

/* A body with room for `cap` bytes and one reference, or NULL (budget or memory). */
struct ox_body *ox_body_new(size_t cap, struct ox_account *account);
/* Grows to at least `cap`; only while the caller holds the sole reference. NOMEM leaves it as it was. */
OX_MUST_USE ox_err ox_body_grow(struct ox_body *body, size_t cap);
struct ox_body *ox_body_hold(struct ox_body *body);
/* Gives one reference back; NULL is allowed. */
void ox_body_drop(struct ox_body *body);

#endif
