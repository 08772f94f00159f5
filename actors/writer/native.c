/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/native.c - columns of one block in memory, and their serialisation as ClickHouse Native.
 *
 * Owns:    the bytes of each column.
 * Threads: one owner at a time.
 * Bounds:  see native.h.
 * Fails:   OX_E_NOMEM; running out of memory in a column sticks.
 * Flow:    encode_*.c -> here -> outbox.
 *
 * Native without block info: columns and rows as varints, then per column name, type and data. Every
 * LowCardinality leaf has its version (u64 1) before all data of the column. Then, outermost first: ends of
 * arrays (u64), ends of maps (u64), the leaves. A LowCardinality leaf: u64 flags (0x200 = brings its keys,
 * low byte = width of indexes), u64 keys, the keys, u64 rows, the indexes; nothing when it has no rows.
 */
#include "native.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "columns.h"

#define DICT_SLOTS_FIRST 64u
#define LC_HAS_KEYS      0x200u
/* Indexes are narrowed piece by piece through a buffer of this many. */
#define NARROW_PIECE 1024u

#define COL_DEF(symbol, name, type, kind, width, group) {name, type, OX_COL_##kind, width, group},
static const struct ox_col_def traces_defs[] = {OX__COLUMNS_TRACES(COL_DEF)};
static const struct ox_col_def logs_defs[] = {OX__COLUMNS_LOGS(COL_DEF)};
static const struct ox_col_def points_defs[] = {OX__COLUMNS_POINTS(COL_DEF)};
static const struct ox_col_def series_defs[] = {OX__COLUMNS_SERIES(COL_DEF)};
static const struct ox_col_def histograms_defs[] = {OX__COLUMNS_HISTOGRAMS(COL_DEF)};
static const struct ox_col_def exemplars_defs[] = {OX__COLUMNS_EXEMPLARS(COL_DEF)};
static const struct ox_col_def span_stats_defs[] = {OX__COLUMNS_SPAN_STATS(COL_DEF)};

#define LIST_NAME(symbol, name, type, kind, width, group)      ", `" name "`"
#define LIST_STRUCTURE(symbol, name, type, kind, width, group) ", `" name "` " type
#define TABLE(columns, defs)                                                                                 \
    {                                                                                                        \
        defs, OX_COUNT(defs), "" columns(LIST_NAME), "" columns(LIST_STRUCTURE)                              \
    }
static const struct {
    const struct ox_col_def *defs;
    size_t n;
    const char *names;     /* starts with ", " */
    const char *structure; /* starts with ", " */
} tables[OX_TABLE__COUNT] = {
    [OX_TABLE_TRACES] = TABLE(OX__COLUMNS_TRACES, traces_defs),
    [OX_TABLE_LOGS] = TABLE(OX__COLUMNS_LOGS, logs_defs),
    [OX_TABLE_POINTS] = TABLE(OX__COLUMNS_POINTS, points_defs),
    [OX_TABLE_SERIES] = TABLE(OX__COLUMNS_SERIES, series_defs),
    [OX_TABLE_HISTOGRAMS] = TABLE(OX__COLUMNS_HISTOGRAMS, histograms_defs),
    [OX_TABLE_EXEMPLARS] = TABLE(OX__COLUMNS_EXEMPLARS, exemplars_defs),
    [OX_TABLE_SPAN_STATS] = TABLE(OX__COLUMNS_SPAN_STATS, span_stats_defs),
};

const struct ox_col_def *
ox__table_defs(enum ox_table table, size_t *n)
{
    OX_ASSERT((unsigned)table < OX_TABLE__COUNT);
    *n = tables[table].n;
    return tables[table].defs;
}

const char *
ox_table_columns(enum ox_table table)
{
    OX_ASSERT((unsigned)table < OX_TABLE__COUNT);
    return tables[table].names + 2;
}

const char *
ox_table_structure(enum ox_table table)
{
    OX_ASSERT((unsigned)table < OX_TABLE__COUNT);
    return tables[table].structure + 2;
}

static void
dict_reset(struct ox_dict *dict)
{
    ox_buf_reset(&dict->keys);
    OX__PUSH(uint8_t, &dict->keys, 0);
    memset(dict->slots, 0, dict->n_slots * sizeof(*dict->slots));
    dict->entries[0] = (struct ox_dict_entry){.offset = 1};
    dict->n = 1;
    dict->last = 0;
    dict->failed = false;
}

static bool
dict_init(struct ox_dict *dict)
{
    dict->n_slots = DICT_SLOTS_FIRST;
    dict->cap = DICT_SLOTS_FIRST / 2;
    dict->slots = malloc(dict->n_slots * sizeof(*dict->slots));
    dict->entries = malloc(dict->cap * sizeof(*dict->entries));
    if (dict->slots == NULL || dict->entries == NULL)
        return false;
    dict_reset(dict);
    return !dict->keys.failed;
}

static void
dict_fini(struct ox_dict *dict)
{
    ox_buf_fini(&dict->keys);
    free(dict->entries);
    free(dict->slots);
}

/* Twice the slots and entries. */
static bool
dict_grow(struct ox_dict *dict)
{
    uint32_t n_slots = dict->n_slots * 2;
    uint32_t *slots = n_slots != 0 ? calloc(n_slots, sizeof(*slots)) : NULL;
    struct ox_dict_entry *entries =
        slots != NULL ? realloc(dict->entries, (size_t)n_slots / 2 * sizeof(*entries)) : NULL;
    if (entries == NULL) {
        free(slots);
        return false;
    }
    for (uint32_t e = 1; e < dict->n; e++) {
        uint32_t at = entries[e].hash & (n_slots - 1);
        while (slots[at] != 0)
            at = (at + 1) & (n_slots - 1);
        slots[at] = e + 1;
    }
    free(dict->slots);
    dict->slots = slots;
    dict->n_slots = n_slots;
    dict->entries = entries;
    dict->cap = n_slots / 2;
    return true;
}

static uint32_t
dict_add(struct ox_dict *dict, struct ox_str s, uint32_t hash)
{
    if (dict->n == dict->cap && !dict_grow(dict)) {
        dict->failed = true;
        return 0;
    }
    ox__put_text(&dict->keys, s);
    if (dict->keys.failed || dict->keys.len > UINT32_MAX) {
        dict->failed = true;
        return 0;
    }
    uint32_t at = hash & (dict->n_slots - 1);
    while (dict->slots[at] != 0)
        at = (at + 1) & (dict->n_slots - 1);
    dict->slots[at] = dict->n + 1;
    dict->entries[dict->n] = (struct ox_dict_entry){
        .offset = (uint32_t)(dict->keys.len - s.n), .len = (uint32_t)s.n, .hash = hash, .next = dict->n};
    return dict->n++;
}

static uint32_t
look_up(const struct ox_dict *dict, struct ox_str s, uint32_t hash)
{
    uint32_t at = hash & (dict->n_slots - 1);
    for (; dict->slots[at] != 0; at = (at + 1) & (dict->n_slots - 1)) {
        uint32_t entry = dict->slots[at] - 1;
        if (dict->entries[entry].hash == hash && ox__dict_is(dict, entry, s))
            return entry;
    }
    return OX__DICT_NONE;
}

uint32_t
ox__dict_find(struct ox_dict *dict, struct ox_str s)
{
    if (s.n == 0)
        return 0;
    uint32_t hash = (uint32_t)XXH3_64bits(s.p, s.n);
    uint32_t entry = look_up(dict, s, hash);
    if (entry != OX__DICT_NONE)
        return entry;
    return dict->failed ? 0 : dict_add(dict, s, hash);
}

uint32_t
ox__dict_known(const struct ox_dict *dict, struct ox_str s)
{
    return s.n == 0 ? 0 : look_up(dict, s, (uint32_t)XXH3_64bits(s.p, s.n));
}

static bool
is_lc(const struct ox_col_def *def)
{
    return def->kind == OX_COL_LC || def->kind == OX_COL_MAP || def->kind == OX_COL_LCMAP;
}

ox_err
ox__block_init(struct ox_block *block, enum ox_table table)
{
    memset(block, 0, sizeof(*block));
    block->defs = ox__table_defs(table, &block->n_cols);
    block->cols = calloc(block->n_cols, sizeof(*block->cols));
    if (block->cols == NULL)
        return OX_E_NOMEM;
    for (size_t i = 0; i < block->n_cols; i++) {
        if (is_lc(&block->defs[i]) && !dict_init(&block->cols[i].dict))
            return OX_E_NOMEM;
        if (block->defs[i].kind == OX_COL_LCMAP && !dict_init(&block->cols[i].vdict))
            return OX_E_NOMEM;
    }
    return OX_OK;
}

void
ox__block_fini(struct ox_block *block)
{
    for (size_t i = 0; block->cols != NULL && i < block->n_cols; i++) {
        struct ox_col *col = &block->cols[i];
        ox_buf_fini(&col->data);
        ox_buf_fini(&col->ends);
        ox_buf_fini(&col->values);
        dict_fini(&col->dict);
        dict_fini(&col->vdict);
    }
    for (size_t g = 0; g < OX_GROUPS_MAX; g++)
        ox_buf_fini(&block->ends[g]);
    free(block->cols);
    memset(block, 0, sizeof(*block));
}

void
ox__block_reset(struct ox_block *block)
{
    for (size_t i = 0; i < block->n_cols; i++) {
        struct ox_col *col = &block->cols[i];
        ox_buf_reset(&col->data);
        ox_buf_reset(&col->ends);
        ox_buf_reset(&col->values);
        col->n_pairs = 0;
        if (is_lc(&block->defs[i]))
            dict_reset(&col->dict);
        if (block->defs[i].kind == OX_COL_LCMAP)
            dict_reset(&col->vdict);
    }
    for (size_t g = 0; g < OX_GROUPS_MAX; g++) {
        ox_buf_reset(&block->ends[g]);
        block->n_items[g] = 0;
    }
    block->rows = 0;
}

bool
ox__block_reserve(struct ox_block *block, size_t rows)
{
    bool ok = true;
    for (size_t i = 0; i < block->n_cols; i++) {
        const struct ox_col_def *def = &block->defs[i];
        if (def->group != 0)
            continue;
        if (def->kind == OX_COL_FIXED)
            ok &= ox_buf_reserve(&block->cols[i].data, rows * def->width) != NULL;
        if (def->kind == OX_COL_LC)
            ok &= ox_buf_reserve(&block->cols[i].data, rows * sizeof(uint32_t)) != NULL;
    }
    return ok;
}

bool
ox__block_failed(const struct ox_block *block)
{
    bool failed = false;
    for (size_t i = 0; i < block->n_cols; i++) {
        const struct ox_col *col = &block->cols[i];
        failed |= col->data.failed | col->ends.failed | col->values.failed;
        failed |= col->dict.failed | col->vdict.failed;
    }
    for (size_t g = 0; g < OX_GROUPS_MAX; g++)
        failed |= block->ends[g].failed;
    return failed;
}

size_t
ox__block_bytes(const struct ox_block *block)
{
    size_t bytes = (size_t)block->rows * sizeof(uint64_t); /* block_id */
    for (size_t i = 0; i < block->n_cols; i++) {
        const struct ox_col *col = &block->cols[i];
        bytes += col->data.len + col->ends.len + col->values.len + col->dict.keys.len + col->vdict.keys.len;
    }
    for (size_t g = 0; g < OX_GROUPS_MAX; g++)
        bytes += block->ends[g].len;
    return bytes;
}

/* Where the pieces go, so that the writers below have one argument for it. */
struct out {
    ox__sink_fn sink;
    void *arg;
};

static void
write_bytes(const struct out *out, const void *bytes, size_t n)
{
    if (n != 0)
        out->sink(out->arg, bytes, n);
}

static void
write_u64(const struct out *out, uint64_t v)
{
    out->sink(out->arg, &v, sizeof(v));
}

static void
write_text(const struct out *out, const char *s)
{
    uint8_t head[10];
    size_t n = strlen(s);
    write_bytes(out, head, ox__varint(head, n));
    write_bytes(out, s, n);
}

/* Native integers are little-endian, as are all machines that the embedded engine runs on. */
static void
write_narrow(const struct out *out, const uint32_t *idx, size_t n, unsigned width)
{
    uint8_t piece8[NARROW_PIECE];
    uint16_t piece16[NARROW_PIECE];
    for (size_t from = 0; from < n; from += NARROW_PIECE) {
        size_t count = n - from < NARROW_PIECE ? n - from : NARROW_PIECE;
        for (size_t i = 0; width == 1 && i < count; i++)
            piece8[i] = (uint8_t)idx[from + i];
        for (size_t i = 0; width == 2 && i < count; i++)
            piece16[i] = (uint16_t)idx[from + i];
        write_bytes(out, width == 1 ? (void *)piece8 : (void *)piece16, count * width);
    }
}

static void
write_lc(const struct out *out, const struct ox_dict *dict, const struct ox_buf *indexes)
{
    size_t n = indexes->len / sizeof(uint32_t);
    if (n == 0)
        return;
    unsigned type = dict->n <= 0x100 ? 0 : dict->n <= 0x10000 ? 1 : 2;
    write_u64(out, LC_HAS_KEYS | type);
    write_u64(out, dict->n);
    write_bytes(out, dict->keys.data, dict->keys.len);
    write_u64(out, n);
    if (type == 2)
        write_bytes(out, indexes->data, indexes->len);
    else
        write_narrow(out, (const uint32_t *)(const void *)indexes->data, n, 1u << type);
}

static void
write_const(const struct out *out, uint64_t value, size_t n)
{
    uint64_t piece[NARROW_PIECE];
    for (size_t i = 0; i < NARROW_PIECE; i++)
        piece[i] = value;
    for (; n > NARROW_PIECE; n -= NARROW_PIECE)
        write_bytes(out, piece, sizeof(piece));
    write_bytes(out, piece, n * sizeof(value));
}

static void
write_column(const struct out *out, const struct ox_block *block, size_t i, uint64_t block_id)
{
    const struct ox_col_def *def = &block->defs[i];
    const struct ox_col *col = &block->cols[i];
    write_text(out, def->name);
    write_text(out, def->type);
    if (is_lc(def))
        write_u64(out, 1);
    if (def->kind == OX_COL_LCMAP)
        write_u64(out, 1);
    if (def->group != 0)
        write_bytes(out, block->ends[def->group].data, block->ends[def->group].len);
    write_bytes(out, col->ends.data, col->ends.len);
    if (is_lc(def))
        write_lc(out, &col->dict, &col->data);
    else
        write_bytes(out, col->data.data, col->data.len);
    if (def->kind == OX_COL_MAP)
        write_bytes(out, col->values.data, col->values.len);
    else if (def->kind == OX_COL_LCMAP)
        write_lc(out, &col->vdict, &col->values);
    else if (def->kind == OX_COL_CONST)
        write_const(out, block_id, block->rows);
}

void
ox__block_write(const struct ox_block *block, uint64_t block_id, ox__sink_fn sink, void *arg)
{
    const struct out out = {sink, arg};
    uint8_t head[20];
    size_t n = ox__varint(head, block->n_cols);
    n += ox__varint(head + n, block->rows);
    write_bytes(&out, head, n);
    for (size_t i = 0; i < block->n_cols; i++)
        write_column(&out, block, i, block_id);
}
