/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/native.h - columns of one block in memory, and their serialisation as ClickHouse Native.
 *
 * Owns:    the bytes of each column.
 * Threads: one owner at a time.
 * Bounds:  the caller's (OX_BLOCK_ROWS_MAX, OX_BLOCK_BYTES_MAX); memory that cannot be had sticks in the
 *          column's buffers and shows in ox__block_failed.
 * Flow:    encode_*.c appends values row by row -> ox__block_write -> outbox.
 *
 * Values of one per row (group 0) go to room made beforehand by ox__block_reserve, without further checks;
 * strings, map entries and array items check as they go. A LowCardinality column is a dictionary per block
 * and 32-bit indexes, made as narrow as the dictionary allows when written. Telemetry repeats itself: the
 * key that came after this key last time mostly comes after it again, so a dictionary first tries the entry
 * that followed the previous one (`next`) and hashes only when that is wrong.
 */
#ifndef OX_WRITER_NATIVE_H
#define OX_WRITER_NATIVE_H

#include "ox/buf.h"
#include "ox/encode.h"

enum ox_col_kind { OX_COL_FIXED, OX_COL_STRING, OX_COL_LC, OX_COL_MAP, OX_COL_LCMAP, OX_COL_CONST };

struct ox_col_def {
    const char *name;
    const char *type;
    uint8_t kind;
    uint8_t width;
    uint8_t group;
};

struct ox_dict_entry {
    uint32_t offset; /* of the text in keys */
    uint32_t len;
    uint32_t hash;
    uint32_t next; /* the entry that came after this one last time */
};

/* Entry 0 is the empty string. */
struct ox_dict {
    struct ox_buf keys; /* as Native wants them: length and text of each entry */
    struct ox_dict_entry *entries;
    uint32_t n, cap;
    uint32_t *slots; /* entry + 1, 0 = free; open addressing, at most half full */
    uint32_t n_slots;
    uint32_t last; /* what the previous lookup found */
    bool failed;
};

struct ox_col {
    struct ox_buf data;   /* FIXED: bytes; STRING: lengths and texts; LC, MAP, LCMAP: u32 entries of dict */
    struct ox_buf ends;   /* MAP, LCMAP: u64, entries up to and with each row */
    struct ox_buf values; /* MAP: lengths and texts; LCMAP: u32 entries of vdict */
    uint64_t n_pairs;     /* MAP, LCMAP */
    struct ox_dict dict;
    struct ox_dict vdict;
};

#define OX_GROUPS_MAX 8 /* groups of array columns in a table, plus one */

struct ox_block {
    const struct ox_col_def *defs;
    size_t n_cols;
    struct ox_col *cols;
    struct ox_buf ends[OX_GROUPS_MAX]; /* per group: u64, items up to and with each row */
    uint64_t n_items[OX_GROUPS_MAX];
    uint32_t rows;
};

/* The columns of a table, in order. */
const struct ox_col_def *ox__table_defs(enum ox_table table, size_t *n);

/* NOMEM. fini also after a failed init. */
OX_MUST_USE ox_err ox__block_init(struct ox_block *block, enum ox_table table);
void ox__block_fini(struct ox_block *block);
/* Empties; keeps memory. */
void ox__block_reset(struct ox_block *block);
/* Room for `rows` more rows in every column of group 0. false: no memory. */
bool ox__block_reserve(struct ox_block *block, size_t rows);
bool ox__block_failed(const struct ox_block *block);
size_t ox__block_bytes(const struct ox_block *block);

/* Takes the next piece of a serialised block. */
typedef void (*ox__sink_fn)(void *arg, const void *bytes, size_t n);
/* Writes the block in Native format (client revision 0: no block info); `block_id` fills the CONST column. */
void ox__block_write(const struct ox_block *block, uint64_t block_id, ox__sink_fn sink, void *arg);

/* The entry of `s`, added when new; 0 after a failure. */
uint32_t ox__dict_find(struct ox_dict *dict, struct ox_str s);
/* The entry of `s`, or OX__DICT_NONE; nothing is added. */
#define OX__DICT_NONE UINT32_MAX
uint32_t ox__dict_known(const struct ox_dict *dict, struct ox_str s);

static inline bool
ox__bytes_eq(const char *a, const char *b, size_t n)
{
    uint64_t x, y;
    if (n > 16)
        return memcmp(a, b, n) == 0;
    if (n >= 8) {
        memcpy(&x, a, 8);
        memcpy(&y, b, 8);
        if (x != y)
            return false;
        memcpy(&x, a + n - 8, 8);
        memcpy(&y, b + n - 8, 8);
        return x == y;
    }
    while (n-- > 0) {
        if (a[n] != b[n])
            return false;
    }
    return true;
}

static inline bool
ox__dict_is(const struct ox_dict *dict, uint32_t entry, struct ox_str s)
{
    const struct ox_dict_entry *e = &dict->entries[entry];
    return e->len == s.n && ox__bytes_eq((const char *)dict->keys.data + e->offset, s.p, s.n);
}

/* ox__dict_find by way of what followed the previous entry. */
static inline uint32_t
ox__dict_get(struct ox_dict *dict, struct ox_str s)
{
    struct ox_dict_entry *prev = &dict->entries[dict->last];
    if (OX_LIKELY(ox__dict_is(dict, prev->next, s)))
        return dict->last = prev->next;
    uint32_t entry = ox__dict_find(dict, s);
    dict->entries[dict->last].next = entry; /* not prev: find may have moved the entries */
    return dict->last = entry;
}

/* Unsigned LEB128; returns the number of bytes, at most 10. */
static inline size_t
ox__varint(uint8_t *to, uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        to[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    to[n++] = (uint8_t)v;
    return n;
}

/* Room for n bytes at the end of buf, NULL when there is none. */
static inline uint8_t *
ox__room(struct ox_buf *buf, size_t n)
{
    if (OX_LIKELY(buf->cap - buf->len >= n && !buf->failed))
        return buf->data + buf->len;
    return ox_buf_reserve(buf, n);
}

static inline void
ox__put_text(struct ox_buf *buf, struct ox_str s)
{
    uint8_t *to = ox__room(buf, s.n + 10);
    if (OX_UNLIKELY(to == NULL))
        return;
    size_t head = ox__varint(to, s.n);
    if (s.n != 0)
        memcpy(to + head, s.p, s.n);
    buf->len += head + s.n;
}

/* For columns of a group, and wherever no room was made. */
#define OX__PUSH(type, buf, value)                                                                           \
    do {                                                                                                     \
        type push_value = (value);                                                                           \
        uint8_t *push_to = ox__room((buf), sizeof(push_value));                                              \
        if (OX_LIKELY(push_to != NULL)) {                                                                    \
            memcpy(push_to, &push_value, sizeof(push_value));                                                \
            (buf)->len += sizeof(push_value);                                                                \
        }                                                                                                    \
    } while (0)

/* For columns of group 0 after ox__block_reserve. */
#define OX__PUT(type, col, value)                                                                            \
    do {                                                                                                     \
        type put_value = (value);                                                                            \
        struct ox_buf *put_buf = &(col)->data;                                                               \
        memcpy(put_buf->data + put_buf->len, &put_value, sizeof(put_value));                                 \
        put_buf->len += sizeof(put_value);                                                                   \
    } while (0)

static inline void
ox__put_bytes(struct ox_col *col, const void *bytes, size_t n)
{
    memcpy(col->data.data + col->data.len, bytes, n);
    col->data.len += n;
}

static inline void
ox__put_lc(struct ox_col *col, struct ox_str s)
{
    OX__PUT(uint32_t, col, ox__dict_get(&col->dict, s));
}

static inline void
ox__push_lc(struct ox_col *col, struct ox_str s)
{
    OX__PUSH(uint32_t, &col->data, ox__dict_get(&col->dict, s));
}

/* Ends the row's array in `group` after `n` items were pushed to each column of the group. */
static inline void
ox__end_array(struct ox_block *block, unsigned group, uint32_t n)
{
    block->n_items[group] += n;
    OX__PUSH(uint64_t, &block->ends[group], block->n_items[group]);
}

/* Ends a map after `n` pairs were pushed. */
static inline void
ox__end_map(struct ox_col *col, uint32_t n)
{
    col->n_pairs += n;
    OX__PUSH(uint64_t, &col->ends, col->n_pairs);
}

#endif
