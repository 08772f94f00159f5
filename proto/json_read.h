/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/json_read.h - reading JSON piece by piece, without a tree.
 *
 * Owns:    nothing; a reader is a place in somebody's text.
 * Threads: any.
 * Bounds:  OX__JSON_SKIP_DEPTH_MAX nested values inside what is skipped.
 * Fails:   false and reader->bad, the first thing that was wrong.
 *
 * Why our own: a tree of a 10 MiB request costs more than the request, integers beyond 2^63 must stay exact, and the
 * text of each value goes straight into its protobuf field.
 */
#ifndef OX_PROTO_JSON_READ_H
#define OX_PROTO_JSON_READ_H

#include "ox/base.h"
#include "ox/buf.h"

#define OX__JSON_SKIP_DEPTH_MAX 256

struct ox__json {
    const char *begin;
    const char *p;
    const char *end;
    const char *bad; /* a sentence fragment, NULL while all is well */
    bool too_deep;
};

void ox__json_init(struct ox__json *j, struct ox_str text);
/* Records the first failure; returns false. */
bool ox__json_fail(struct ox__json *j, const char *why);
/* The next character behind white space, not taken; 0 at the end. */
char ox__json_peek(struct ox__json *j);
/* Takes `c`, or fails with `why`. */
bool ox__json_take(struct ox__json *j, char c, const char *why);
/* Takes `c` when it comes next. */
bool ox__json_try(struct ox__json *j, char c);
/* Takes a string and appends what it means. Half of a surrogate pair means U+FFFD; bytes are not judged. */
bool ox__json_string(struct ox__json *j, struct ox_buf *out);
/* Takes a number; `text` is a view of it. */
bool ox__json_number(struct ox__json *j, struct ox_str *text);
/* Takes true, false or null. */
bool ox__json_word(struct ox__json *j, const char *word);
/* Takes any value. */
bool ox__json_skip(struct ox__json *j, unsigned depth);
/* After a value inside [ or {: true when another one follows. Fails on anything but `,` and `close`. */
bool ox__json_more(struct ox__json *j, char close);

/* Reads a whole text as a double; false when it is not one or beyond the range. NaN, Infinity, -Infinity allowed. */
bool ox__text_double(struct ox_str text, double *out);
/* Reads a whole text as an integer: digits with an optional sign, or a decimal that is whole ("1e3"). */
bool ox__text_int(struct ox_str text, bool *negative, uint64_t *magnitude);

#endif
