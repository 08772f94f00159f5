/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_rows.c - reads ClickHouse's RowBinary.
 *
 * Owns:    nothing.
 * Threads: one at a time.
 * Bounds:  never reads past the result.
 * Fails:   sets `failed`; a result that ends inside a row is an engine error, not a short answer.
 * Flow:    actors/storage -> result bytes -> here -> the handlers.
 */
#include "actors/query/query_rows.h"

static const uint8_t zeroes[16];

void
ox__rows_init(struct ox__rows *r, const struct ox_buf *result)
{
    r->p = result->data;
    r->end = result->data + result->len;
    r->failed = false;
}

static const uint8_t *
take(struct ox__rows *r, size_t n)
{
    if (r->failed || (size_t)(r->end - r->p) < n) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *p = r->p;
    r->p += n;
    return p;
}

/* Little-endian, as the wire and the machine are (x86-64 is checked at start). */
static void
copy(struct ox__rows *r, void *out, size_t n)
{
    const uint8_t *p = take(r, n);
    if (p != NULL)
        memcpy(out, p, n);
}

uint8_t
ox__rows_u8(struct ox__rows *r)
{
    uint8_t v = 0;
    copy(r, &v, sizeof(v));
    return v;
}

uint32_t
ox__rows_u32(struct ox__rows *r)
{
    uint32_t v = 0;
    copy(r, &v, sizeof(v));
    return v;
}

int32_t
ox__rows_i32(struct ox__rows *r)
{
    int32_t v = 0;
    copy(r, &v, sizeof(v));
    return v;
}

uint64_t
ox__rows_u64(struct ox__rows *r)
{
    uint64_t v = 0;
    copy(r, &v, sizeof(v));
    return v;
}

int64_t
ox__rows_i64(struct ox__rows *r)
{
    int64_t v = 0;
    copy(r, &v, sizeof(v));
    return v;
}

double
ox__rows_f64(struct ox__rows *r)
{
    double v = 0;
    copy(r, &v, sizeof(v));
    return v;
}

uint64_t
ox__rows_varint(struct ox__rows *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = ox__rows_u8(r);
        v |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return r->failed ? 0 : v;
    }
    r->failed = true;
    return 0;
}

size_t
ox__rows_count(struct ox__rows *r, size_t each)
{
    uint64_t n = ox__rows_varint(r);
    if (n > (uint64_t)(r->end - r->p) / each) {
        r->failed = true;
        return 0;
    }
    return (size_t)n;
}

struct ox_str
ox__rows_str(struct ox__rows *r)
{
    size_t n = ox__rows_count(r, 1);
    const uint8_t *p = take(r, n);
    return (struct ox_str){(const char *)p, p != NULL ? n : 0};
}

const uint8_t *
ox__rows_fixed(struct ox__rows *r, size_t n)
{
    OX_ASSERT(n <= sizeof(zeroes));
    const uint8_t *p = take(r, n);
    return p != NULL ? p : zeroes;
}

struct ox__rows
ox__rows_array_fixed(struct ox__rows *r, size_t each, size_t *n)
{
    *n = ox__rows_count(r, each);
    struct ox__rows at = *r;
    (void)take(r, *n * each);
    return at;
}

struct ox__rows
ox__rows_array_str(struct ox__rows *r, size_t *n)
{
    *n = ox__rows_count(r, 1);
    struct ox__rows at = *r;
    for (size_t i = 0; i < *n; i++)
        (void)ox__rows_str(r);
    return at;
}

struct ox__rows
ox__rows_map(struct ox__rows *r, size_t *n)
{
    *n = ox__rows_count(r, 2);
    struct ox__rows at = *r;
    for (size_t i = 0; i < 2 * *n; i++)
        (void)ox__rows_str(r);
    return at;
}

struct ox__rows
ox__rows_array_map(struct ox__rows *r, size_t *n)
{
    size_t pairs;
    *n = ox__rows_count(r, 1);
    struct ox__rows at = *r;
    for (size_t i = 0; i < *n; i++)
        (void)ox__rows_map(r, &pairs);
    return at;
}
