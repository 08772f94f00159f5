/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_rows.h - reads ClickHouse's RowBinary: the columns of our own SELECTs, in their order.
 *
 * Owns:    nothing; views point into the result's bytes.
 * Threads: one at a time.
 * Bounds:  the result's length; every count is checked against the bytes that are left.
 * Fails:   `failed` sticks, and every later read gives zero; the caller checks it once per row.
 *
 * RowBinary because it is exact: binary ids, 64-bit integers, doubles and strings of any bytes.
 */
#ifndef OX_QUERY_ROWS_H
#define OX_QUERY_ROWS_H

#include "ox/base.h"
#include "ox/buf.h"

struct ox__rows {
    const uint8_t *p;
    const uint8_t *end;
    bool failed;
};

void ox__rows_init(struct ox__rows *r, const struct ox_buf *result);
/* Whether another row begins here. */
static inline bool
ox__rows_more(const struct ox__rows *r)
{
    return !r->failed && r->p < r->end;
}

uint8_t ox__rows_u8(struct ox__rows *r);
uint32_t ox__rows_u32(struct ox__rows *r);
int32_t ox__rows_i32(struct ox__rows *r);
uint64_t ox__rows_u64(struct ox__rows *r);
int64_t ox__rows_i64(struct ox__rows *r);
double ox__rows_f64(struct ox__rows *r);
/* LEB128: lengths of strings, arrays and maps. */
uint64_t ox__rows_varint(struct ox__rows *r);
/* Elements of an array or map whose elements take at least `each` bytes. */
size_t ox__rows_count(struct ox__rows *r, size_t each);
struct ox_str ox__rows_str(struct ox__rows *r);
/* n bytes, never NULL: zeroes when the result is damaged. n <= 16. */
const uint8_t *ox__rows_fixed(struct ox__rows *r, size_t n);

/* Steps over an array and returns a cursor at its first element; *n receives the number of elements. */
struct ox__rows ox__rows_array_fixed(struct ox__rows *r, size_t each, size_t *n);
struct ox__rows ox__rows_array_str(struct ox__rows *r, size_t *n);
struct ox__rows ox__rows_array_map(struct ox__rows *r, size_t *n);
/* The same for one map of strings; its elements are read as key, value, key, value. */
struct ox__rows ox__rows_map(struct ox__rows *r, size_t *n);

#endif
