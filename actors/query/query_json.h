/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_json.h - a streaming JSON writer over a buffer.
 *
 * Owns:    nothing; writes into the buffer that it was given.
 * Threads: one at a time.
 * Bounds:  none of its own: the rows behind it are bounded. A failed buffer sticks and is checked at the end.
 *
 * The writer places commas; the caller balances begin and end. Strings that are not UTF-8 come out with
 * U+FFFD for every wrong byte, so the text is always valid JSON.
 */
#ifndef OX_QUERY_JSON_H
#define OX_QUERY_JSON_H

#include "ox/base.h"
#include "ox/buf.h"

struct ox__json {
    struct ox_buf *buf;
    bool comma; /* a value stands before the next one */
};

/* buf: lend, for the writer's life. */
void ox__qjson_init(struct ox__json *j, struct ox_buf *buf);
/* '{' or '[', and their ends. */
void ox__qjson_begin(struct ox__json *j, char bracket);
void ox__qjson_end(struct ox__json *j, char bracket);
/* A member's name; the next call writes its value. key is ours: plain ASCII. */
void ox__qjson_key(struct ox__json *j, const char *key);
/* The same for a name that came from outside. */
void ox__qjson_key_str(struct ox__json *j, struct ox_str key);
/* Name and opening bracket of a nested object or array. */
void ox__qjson_open(struct ox__json *j, const char *key, char bracket);

void ox__qjson_str(struct ox__json *j, struct ox_str s);
void ox__qjson_u64(struct ox__json *j, uint64_t v);
void ox__qjson_i64(struct ox__json *j, int64_t v);
/* Shortest text that reads back as the same double, always with '.' or 'e'; NaN and infinities as strings. */
void ox__qjson_double(struct ox__json *j, double v);
void ox__qjson_bool(struct ox__json *j, bool v);
void ox__qjson_null(struct ox__json *j);
/* Lower-case hex in quotes. n <= 32. */
void ox__qjson_hex(struct ox__json *j, const uint8_t *bytes, size_t n);
/* Bytes that are JSON already. */
void ox__qjson_raw(struct ox__json *j, struct ox_str json);

/* Members: name and value in one call. */
void ox__qjson_kstr(struct ox__json *j, const char *key, struct ox_str v);
void ox__qjson_kcstr(struct ox__json *j, const char *key, const char *v);
void ox__qjson_ku64(struct ox__json *j, const char *key, uint64_t v);
void ox__qjson_ki64(struct ox__json *j, const char *key, int64_t v);
void ox__qjson_kdouble(struct ox__json *j, const char *key, double v);
void ox__qjson_kbool(struct ox__json *j, const char *key, bool v);
/* Hex, or "" when every byte is zero: an id that is not there. */
void ox__qjson_kid(struct ox__json *j, const char *key, const uint8_t *id, size_t n);
/* Two members: `key` in RFC 3339 with nanoseconds and `key`_unix_nano as an integer. 0 gives null and 0. */
void ox__qjson_ktime(struct ox__json *j, const char *key, uint64_t unix_ns);

#endif
