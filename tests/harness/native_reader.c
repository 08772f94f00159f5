/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/native_reader.c - reads a block in ClickHouse's Native format, written apart from the
 * encoder.
 *
 * Owns:    the cells of a block, each as text.
 * Threads: one owner at a time.
 * Fails:   ends the test: bad bytes are what it is there to find.
 *
 * A column is read by its type text, from the outside in: each level gives one text per item.
 */
#include "tests/harness/native_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/buf.h"

struct reader {
    const uint8_t *p;
    const uint8_t *end;
};

OX_NORETURN static void
die(const char *what)
{
    fprintf(stderr, "native_reader: %s\n", what);
    abort();
}

static const uint8_t *
take(struct reader *r, size_t n)
{
    if ((size_t)(r->end - r->p) < n)
        die("the block ends too early");
    const uint8_t *p = r->p;
    r->p += n;
    return p;
}

static uint64_t
take_uint(struct reader *r, size_t width)
{
    uint64_t v = 0;
    const uint8_t *p = take(r, width);
    for (size_t i = 0; i < width; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static uint64_t
take_varint(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = *take(r, 1);
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return v;
    }
    die("a varint is too long");
}

static char *
take_string(struct reader *r)
{
    size_t n = take_varint(r);
    const uint8_t *p = take(r, n);
    char *s = calloc(1, n + 1);
    memcpy(s, p, n);
    return s;
}

static char *
buf_to_text(struct ox_buf *buf)
{
    ox_buf_append(buf, "", 1);
    if (buf->failed)
        die("out of memory");
    return (char *)buf->data;
}

/* "Array(X)" with prefix "Array(" gives X; NULL when the type is another. */
static char *
inner(const char *type, const char *prefix)
{
    size_t n = strlen(prefix), len = strlen(type);
    if (strncmp(type, prefix, n) != 0 || type[len - 1] != ')')
        return NULL;
    return strndup(type + n, len - n - 1);
}

static char **read_items(struct reader *r, const char *type, size_t n);

static void
free_items(char **items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(items[i]);
    free(items);
}

static uint64_t *
read_ends(struct reader *r, size_t n)
{
    uint64_t *ends = calloc(n + 1, sizeof(*ends)); /* ends[i + 1] is that of row i */
    for (size_t i = 0; i < n; i++) {
        ends[i + 1] = take_uint(r, 8);
        if (ends[i + 1] < ends[i])
            die("array ends go backwards");
    }
    return ends;
}

static char **
read_array(struct reader *r, const char *of, size_t n)
{
    uint64_t *ends = read_ends(r, n);
    char **items = read_items(r, of, ends[n]), **out = calloc(n + 1, sizeof(*out));
    for (size_t i = 0; i < n; i++) {
        struct ox_buf buf = {0};
        for (uint64_t j = ends[i]; j < ends[i + 1]; j++)
            ox_buf_printf(&buf, "%s%s", j > ends[i] ? "," : "[", items[j]);
        ox_buf_append_cstr(&buf, ends[i] == ends[i + 1] ? "[]" : "]");
        out[i] = buf_to_text(&buf);
    }
    free_items(items, ends[n]);
    free(ends);
    return out;
}

static char **
read_map(struct reader *r, const char *of, size_t n)
{
    const char *comma = strstr(of, ", ");
    char *key_type = strndup(of, (size_t)(comma - of));
    uint64_t *ends = read_ends(r, n);
    char **keys = read_items(r, key_type, ends[n]), **values = read_items(r, comma + 2, ends[n]);
    char **out = calloc(n + 1, sizeof(*out));
    for (size_t i = 0; i < n; i++) {
        struct ox_buf buf = {0};
        for (uint64_t j = ends[i]; j < ends[i + 1]; j++)
            ox_buf_printf(&buf, "%s%s=%s", j > ends[i] ? "," : "{", keys[j], values[j]);
        ox_buf_append_cstr(&buf, ends[i] == ends[i + 1] ? "{}" : "}");
        out[i] = buf_to_text(&buf);
    }
    free_items(keys, ends[n]);
    free_items(values, ends[n]);
    free(key_type);
    free(ends);
    return out;
}

static char **
read_lc(struct reader *r, const char *of, size_t n)
{
    char **out = calloc(n + 1, sizeof(*out));
    if (n == 0)
        return out;
    uint64_t flags = take_uint(r, 8);
    if ((flags & ~0x4ffull) != 0x200 || (flags & 0xff) > 3) /* 0x400: a new dictionary, as the server says */
        die("unknown flags of a LowCardinality column");
    uint64_t n_keys = take_uint(r, 8);
    char **keys = read_items(r, of, n_keys);
    if (take_uint(r, 8) != n)
        die("a LowCardinality column has another number of rows");
    for (size_t i = 0; i < n; i++) {
        uint64_t at = take_uint(r, (size_t)1 << (flags & 0xff));
        if (at >= n_keys)
            die("an index points behind the dictionary");
        out[i] = strdup(keys[at]);
    }
    free_items(keys, n_keys);
    return out;
}

static char *
read_scalar(struct reader *r, const char *type)
{
    struct ox_buf buf = {0};
    if (strcmp(type, "String") == 0) {
        char *s = take_string(r);
        ox_buf_printf(&buf, "'%s'", s);
        free(s);
    } else if (strncmp(type, "FixedString(", 12) == 0) {
        size_t n = strtoul(type + 12, NULL, 10);
        const uint8_t *p = take(r, n);
        for (size_t i = 0; i < n; i++)
            ox_buf_printf(&buf, "%02x", p[i]);
    } else if (strcmp(type, "Float64") == 0) {
        uint64_t bits = take_uint(r, 8);
        double d;
        memcpy(&d, &bits, 8);
        ox_buf_printf(&buf, "%.17g", d);
    } else if (strncmp(type, "DateTime64(9", 12) == 0 || strcmp(type, "UInt64") == 0) {
        ox_buf_printf(&buf, "%" PRIu64, take_uint(r, 8));
    } else if (strcmp(type, "Int64") == 0) {
        ox_buf_printf(&buf, "%" PRId64, (int64_t)take_uint(r, 8));
    } else if (strcmp(type, "Int32") == 0) {
        ox_buf_printf(&buf, "%" PRId32, (int32_t)take_uint(r, 4));
    } else if (strcmp(type, "Int16") == 0) {
        ox_buf_printf(&buf, "%d", (int16_t)take_uint(r, 2));
    } else if (strcmp(type, "UInt32") == 0 || strncmp(type, "DateTime(", 9) == 0) {
        ox_buf_printf(&buf, "%" PRIu64, take_uint(r, 4));
    } else if (strcmp(type, "Date") == 0) {
        ox_buf_printf(&buf, "%" PRIu64, take_uint(r, 2));
    } else if (strcmp(type, "UInt8") == 0 || strcmp(type, "Bool") == 0) {
        ox_buf_printf(&buf, "%" PRIu64, take_uint(r, 1));
    } else {
        die(type);
    }
    return buf_to_text(&buf);
}

static char **
read_items(struct reader *r, const char *type, size_t n)
{
    static const struct {
        const char *prefix;
        char **(*read)(struct reader *, const char *, size_t);
    } nested[] = {{"Array(", read_array}, {"Map(", read_map}, {"LowCardinality(", read_lc}};
    for (size_t i = 0; i < OX_COUNT(nested); i++) {
        char *of = inner(type, nested[i].prefix);
        if (of == NULL)
            continue;
        char **items = nested[i].read(r, of, n);
        free(of);
        return items;
    }
    char **out = calloc(n + 1, sizeof(*out));
    for (size_t i = 0; i < n; i++)
        out[i] = read_scalar(r, type);
    return out;
}

static void
read_column(struct reader *r, struct native_column *col, size_t n_rows)
{
    col->name = take_string(r);
    col->type = take_string(r);
    for (const char *lc = col->type; (lc = strstr(lc, "LowCardinality")) != NULL; lc++) {
        if (take_uint(r, 8) != 1)
            die("unknown version of a LowCardinality column");
    }
    col->cells = read_items(r, col->type, n_rows);
}

struct native_block *
native_read(const void *bytes, size_t n)
{
    struct reader r = {bytes, (const uint8_t *)bytes + n};
    struct native_block *block = calloc(1, sizeof(*block));
    block->n_columns = take_varint(&r);
    block->n_rows = take_varint(&r);
    block->columns = calloc(block->n_columns, sizeof(*block->columns));
    for (size_t i = 0; i < block->n_columns; i++)
        read_column(&r, &block->columns[i], block->n_rows);
    if (r.p != r.end)
        die("bytes are left behind the block");
    return block;
}

void
native_free(struct native_block *block)
{
    for (size_t i = 0; i < block->n_columns; i++) {
        free_items(block->columns[i].cells, block->n_rows);
        free(block->columns[i].name);
        free(block->columns[i].type);
    }
    free(block->columns);
    free(block);
}

const char *
native_cell(const struct native_block *block, const char *column, size_t row)
{
    for (size_t i = 0; i < block->n_columns; i++) {
        if (strcmp(block->columns[i].name, column) == 0 && row < block->n_rows)
            return block->columns[i].cells[row];
    }
    die(column);
}
