/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/native_view_internal.h - the tree behind a view of a Native block.
 *
 * Owns:    nodes own their children and where their strings begin; bytes are lent.
 * Threads: one owner.
 */
#ifndef OX_NATIVE_VIEW_INTERNAL_H
#define OX_NATIVE_VIEW_INTERNAL_H

#include "actors/writer/native_view.h"

enum ox__native_kind { OX__NATIVE_FIXED, OX__NATIVE_STRING, OX__NATIVE_LC, OX__NATIVE_ARRAY, OX__NATIVE_MAP };
enum ox__native_look {
    OX__NATIVE_UINT,
    OX__NATIVE_INT,
    OX__NATIVE_FLOAT,
    OX__NATIVE_BOOL,
    OX__NATIVE_DATE,
    OX__NATIVE_TIME,
    OX__NATIVE_SECONDS, /* Unix time */
    OX__NATIVE_BYTES
}; /* of FIXED, for people */

struct ox__native_node {
    enum ox__native_kind kind;
    enum ox__native_look look;
    size_t width;                  /* FIXED; LC: of an index */
    uint64_t n;                    /* items */
    const uint8_t *data;           /* FIXED: items; STRING: the first length; LC: indexes; ARRAY, MAP: ends */
    uint64_t *starts;              /* STRING: where the length of item i stands, n + 1 of them, from `data` */
    struct ox__native_node *first; /* LC: keys; ARRAY: items; MAP: keys */
    struct ox__native_node *second; /* MAP: values */
};

struct ox__native_column {
    struct ox_str name;
    struct ox_str type;
    struct ox__native_node *node;
};

struct ox__native_view {
    uint32_t rows;
    size_t n_columns;
    struct ox__native_column *columns;
};

/* Little-endian, width bytes. */
static inline uint64_t
ox__native_uint(const uint8_t *p, size_t width)
{
    uint64_t v = 0;
    for (size_t i = 0; i < width; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* ARRAY, MAP: the end of item i - 1, which is the begin of item i. */
static inline uint64_t
ox__native_end(const struct ox__native_node *node, uint64_t i)
{
    return i == 0 ? 0 : ox__native_uint(node->data + 8 * (i - 1), 8);
}

/* STRING, LC: the text of item i, a view. */
struct ox_str ox__native_text(const struct ox__native_node *node, uint64_t i);

#endif
