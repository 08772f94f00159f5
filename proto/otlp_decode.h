/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/otlp_decode.h - what the files of the hot decoder share.
 *
 * Owns:    struct ox__dec, the state of one decoding.
 * Threads: one decoding per thread; nothing global.
 * Bounds:  struct ox_decode_limits; recursion only over AnyValue, at most OX_ANY_DEPTH_MAX levels.
 * Fails:   every function returns false after it has set dec->err; callers only pass false on.
 *
 * A record's own attributes must lie side by side in batch->attrs although other parts (events, exemplars)
 * bring attributes too and fields come in any order. Hence each record is walked once for itself and, when it
 * has such parts, again for them.
 *
 * What encoders really write is short: tags of one byte, lengths below 128, values in the order of their
 * numbers. Each record has a loop that takes such fields where they stand (OX__SHORT_*), and leaves whatever else there is
 * to the general reader, one field at a time; so there is one meaning, and the short way is only a way to it.
 */
#ifndef OX_PROTO_OTLP_DECODE_H
#define OX_PROTO_OTLP_DECODE_H

#include "ox/any.h"
#include "ox/otlp.h"
#include "proto/utf8.h"
#include "proto/wire.h"

struct ox__dec {
    struct ox_batch *b;
    const struct ox_decode_limits *limits;
    const uint8_t *base; /* the body's first byte */
    bool short_ok;       /* no limit is below what a short field can hold */
    uint8_t reject;   /* enum ox_reject of the record, scope or resource being read: the first reason stays */
    uint32_t records; /* ordinal of the next record */
    ox_err err;
    enum ox__wire_bad bad;
    const uint8_t *at; /* where it was wrong */
    const char *what;  /* which bound, for TOO_LARGE */
};

/* How a signal reads what differs: one record message below a scope. */
typedef bool (*ox__record_fn)(struct ox__dec *d, struct ox_str wire, uint32_t scope);
bool ox__dec_span(struct ox__dec *d, struct ox_str wire, uint32_t scope);
bool ox__dec_log(struct ox__dec *d, struct ox_str wire, uint32_t scope);
bool ox__dec_metric(struct ox__dec *d, struct ox_str wire, uint32_t scope);
/* The point message of a metric type; in otlp_decode_points.c. */
bool ox__dec_number_point(struct ox__dec *d, struct ox_str wire, uint32_t metric);
bool ox__dec_histogram_point(struct ox__dec *d, struct ox_str wire, uint32_t metric);
bool ox__dec_exp_histogram_point(struct ox__dec *d, struct ox_str wire, uint32_t metric);
bool ox__dec_summary_point(struct ox__dec *d, struct ox_str wire, uint32_t metric);

bool ox__dec_malformed(struct ox__dec *d, enum ox__wire_bad bad, const uint8_t *at);
bool ox__dec_fail(struct ox__dec *d, ox_err err, const char *what);
/* Room for one more element; see OX__PUSH. */
bool ox__dec_grow(struct ox__dec *d, void **array, uint32_t *cap, uint32_t need, size_t size);
/* Counts a record: its ordinal, or false past the limit. */
bool ox__dec_ordinal(struct ox__dec *d, uint32_t *ordinal);
/* Reads a KeyValue onto the end of `slice` in batch->attrs. */
bool ox__dec_attr(struct ox__dec *d, struct ox_str wire, struct ox_slice *slice);
/* The same for all attributes that stand at p one behind the other, each short and behind the one-byte tag
 * `tag`. Returns where they end, which is p when the first is not of that kind; NULL when it failed. */
const uint8_t *ox__dec_attrs_short(struct ox__dec *d, const uint8_t *p, const uint8_t *end, uint8_t tag,
                                   struct ox_slice *slice);
/* Reads an AnyValue over `out`: what it sets wins, what it leaves stays. */
bool ox__dec_any(struct ox__dec *d, struct ox_str wire, struct ox_any *out, uint32_t depth);

/* Appends a zeroed element to batch->array; `ptr` is the place, NULL when it failed. */
#define OX__PUSH(d, array, n, cap, ptr)                                                                      \
    do {                                                                                                     \
        struct ox_batch *b_ = (d)->b;                                                                        \
        (ptr) = NULL;                                                                                        \
        if (OX_LIKELY(b_->n < b_->cap) ||                                                                    \
            ox__dec_grow((d), (void **)&b_->array, &b_->cap, b_->n + 1, sizeof(*b_->array))) {               \
            (ptr) = &b_->array[b_->n++];                                                                     \
            memset((ptr), 0, sizeof(*(ptr)));                                                                \
        }                                                                                                    \
    } while (0)

static inline void
ox__dec_reject(struct ox__dec *d, enum ox_reject why)
{
    if (d->reject == OX_REJECT_NONE)
        d->reject = (uint8_t)why;
}

/* Takes a string field of a record: UTF-8 and length are judged. */
static inline void
ox__dec_text(struct ox__dec *d, struct ox_str s, struct ox_str *out)
{
    *out = s;
    if (OX_UNLIKELY(s.n > d->limits->text_bytes_max))
        ox__dec_reject(d, OX_REJECT_ATTRIBUTES);
    else if (OX_UNLIKELY(!ox__utf8_ok(s)))
        ox__dec_reject(d, OX_REJECT_UTF8);
}

/* ---- short fields: the reader at p, left bytes before the end, *p is the tag ---- */

/* A length below 128 at p[1] whose bytes are all there. */
static inline bool
ox__short_bytes(const uint8_t *p, size_t left)
{
    return left >= 2 && p[1] < 0x80 && p[1] <= left - 2;
}

/* An id of n bytes, n a constant. */
static inline bool
ox__short_id(const uint8_t *p, size_t left, size_t n)
{
    return left >= n + 2 && p[1] == n;
}

/* A text whose length ox__short_bytes saw. */
static inline void
ox__dec_short_text(struct ox__dec *d, const uint8_t *p, struct ox_str *out)
{
    *out = (struct ox_str){(const char *)p + 2, p[1]};
    if (OX_UNLIKELY(!ox__utf8_ok(*out)))
        ox__dec_reject(d, OX_REJECT_UTF8);
}

static inline struct ox_piece
ox__dec_piece(const struct ox__dec *d, struct ox_str wire)
{
    return (struct ox_piece){(uint32_t)((const uint8_t *)wire.p - d->base), (uint32_t)wire.n};
}

/* Takes an id of n bytes. Empty means none. False: another length; `out` is then zero. */
static inline bool
ox__dec_id(struct ox_str s, uint8_t *out, size_t n)
{
    if (OX_LIKELY(s.n == n)) {
        memcpy(out, s.p, n);
        return true;
    }
    memset(out, 0, n);
    return s.n == 0;
}

/* An enum number up to `max`. One that OTLP does not know (yet) is counted, and kept when it fits into its byte;
 * one that does not is read as 0, "unspecified". */
static inline uint8_t
ox__dec_enum(struct ox__dec *d, uint64_t v, uint8_t max)
{
    if (OX_LIKELY((uint32_t)v <= max))
        return (uint8_t)v;
    d->b->n_unknown++;
    return (uint32_t)v <= UINT8_MAX ? (uint8_t)v : 0;
}

/* A field nobody wants: skipped when its number is unknown, an error when its wire type is wrong. */
static inline bool
ox__dec_other(struct ox__dec *d, uint64_t tag, uint32_t known, const uint8_t *at)
{
    if (OX_LIKELY(!ox__tag_known(tag, known)))
        return true;
    return ox__dec_malformed(d, OX__WIRE_TYPE, at);
}

/* Reads the next field into `f`; false at a malformed one. `start` keeps the place for messages. */
static inline __attribute__((always_inline)) bool
ox__dec_field(struct ox__dec *d, struct ox__cur *c, struct ox__field *f)
{
    const uint8_t *start = c->p;
    enum ox__wire_bad bad = ox__field_next(c, f);
    if (OX_LIKELY(bad == OX__WIRE_OK))
        return true;
    return ox__dec_malformed(d, bad, start);
}

#endif
