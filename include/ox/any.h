/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/any.h - reading, rendering and restoring AnyValue.
 *
 * Owns:    nothing; pure functions.
 * Threads: any.
 * Bounds:  nesting OX_ANY_DEPTH_MAX.
 *
 * Rendering is how attributes and log bodies are stored: a text and one type character.
 *   s  string, as it is          i  integer, decimal              d  double, shortest text that reads back
 *   b  true, false               x  bytes, base64                 n  AnyValue without a value, empty text
 *   j  array or key-value list, as natural JSON
 * "d" writes 1 as "1" (the type tells it from an integer), and NaN, Infinity, -Infinity. Inside "j" the text
 * itself must tell the types apart: integers have no point, doubles always have one or an exponent ("1.0"), a
 * value that is not set is null, bytes are {"bytesValue":"base64"}, doubles that JSON lacks are
 * {"doubleValue":"NaN"}, and a list with exactly one key that is one of bytesValue, doubleValue and
 * kvlistValue is wrapped as
 * {"kvlistValue":{...}}. Order and repeated keys stay. So render and restore are inverse to each other (test:
 * tests/unit/proto/any_test.c), for every value whose strings are UTF-8.
 */
#ifndef OX_ANY_H
#define OX_ANY_H

#include "ox/base.h"
#include "ox/batch.h"
#include "ox/buf.h"

/* No decoder setting allows more; recursion over AnyValue is therefore bounded. */
#define OX_ANY_DEPTH_MAX 64

/* Reads the wire bytes of one AnyValue message. wire: lend; `out` points into it. DECODE. Unset gives
 * OX_ANY_NONE. */
OX_MUST_USE ox_err ox_any_read(struct ox_str wire, struct ox_any *out);
/* Next element of an OX_ANY_ARRAY: start with rest = any.str. OX_OK, OX_E_END behind the last one, DECODE. */
OX_MUST_USE ox_err ox_any_array_next(struct ox_str *rest, struct ox_any *out);
/* Next pair of an OX_ANY_KVLIST, likewise. */
struct ox_any_pair {
    struct ox_str key;
    struct ox_any value;
};
OX_MUST_USE ox_err ox_any_kvlist_next(struct ox_str *rest, struct ox_any_pair *out);

/* Appends the stored text and returns the type character. Memory shows as out->failed. */
char ox_any_render(const struct ox_any *any, struct ox_buf *out);
/* The inverse: appends the AnyValue as wire bytes (without tag and length). DECODE when text is not of that
 * type. */
OX_MUST_USE ox_err ox_any_restore(char type, struct ox_str text, struct ox_buf *wire, struct ox_diag *diag);
/* The stored form as OTLP/JSON AnyValue: 'i', "5" gives {"intValue":"5"}. DECODE as above. */
OX_MUST_USE ox_err ox_any_restore_json(char type, struct ox_str text, struct ox_buf *out,
                                       struct ox_diag *diag);
/* Appends OTLP/JSON of a value: {"stringValue":"x"}; NONE gives {}. */
void ox_any_to_json(const struct ox_any *any, struct ox_buf *out);
/* Appends the value as wire bytes of an AnyValue message. */
void ox_any_to_wire(const struct ox_any *any, struct ox_buf *wire);
/* Appends the shortest decimal text that reads back as d; with_point adds ".0" to whole numbers. Not for NaN,
 * Inf. */
void ox_double_text(struct ox_buf *out, double d, bool with_point);

#endif
