/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/native_view.c - a Native block as a tree of typed views, see native_view.h.
 *
 * Owns:    one node per level of each column's type, and where each string begins.
 * Threads: one owner.
 * Bounds:  every length is held against what is left before it is used.
 * Fails:   see native_view.h.
 * Flow:    outbox_split.c -> here.
 *
 * A column is: name, type, one version (1) per LowCardinality in it, then its data. Data of n items: fixed width,
 * n * width bytes; String, length and bytes each; LowCardinality, nothing when n is 0, else flags (index width, 0x200 =
 * keys follow), keys, n, indexes; Array and Map, n ends as u64, then the data of the items, of the keys and values.
 */
#include "actors/writer/native_view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/clock.h"
#include "ox/otlp.h"

#define NATIVE_COLUMNS_MAX 1024
#define NATIVE_ROWS_MAX    (1u << 24)
#define NATIVE_DEPTH_MAX   8
#define LC_VERSION         1
#define LC_HAS_KEYS        0x200u
#define LC_WIDTH_MASK      0xffu
#define LC_FLAGS_KNOWN     (LC_WIDTH_MASK | LC_HAS_KEYS | 0x400u) /* 0x400: a new dictionary, as servers say */

enum kind { FIXED, STRING, LC, ARRAY, MAP };
enum look { UINT, INT, FLOAT, BOOL, DATE, TIME, BYTES }; /* of FIXED, for people */

struct node {
    enum kind kind;
    enum look look;
    size_t width;        /* FIXED; LC: of an index */
    uint64_t n;          /* items */
    const uint8_t *data; /* FIXED: items; STRING: the first length; LC: indexes; ARRAY, MAP: ends */
    uint64_t *starts;    /* STRING: where the length of item i stands, n + 1 of them, from `data` */
    struct node *first;  /* LC: keys; ARRAY: items; MAP: keys */
    struct node *second; /* MAP: values */
};

struct column {
    struct ox_str name;
    struct ox_str type;
    struct node *node;
};

struct ox__native_view {
    uint32_t rows;
    size_t n_columns;
    struct column *columns;
};

struct reader {
    const uint8_t *begin, *p, *end;
    struct ox_diag *diag;
    ox_err err; /* the first one */
};

static void
fail(struct reader *r, ox_err err, const char *what)
{
    if (r->err == OX_OK)
        r->err = ox_diag_set(r->diag, err, "native", r->p - r->begin, "%s", what);
}

/* NULL after a failure. */
static const uint8_t *
take(struct reader *r, uint64_t n)
{
    if (r->err == OX_OK && (uint64_t)(r->end - r->p) < n)
        fail(r, OX_E_CORRUPT, "the block ends too early");
    if (r->err != OX_OK)
        return NULL;
    const uint8_t *p = r->p;
    r->p += n;
    return p;
}

static uint64_t
get_uint(const uint8_t *p, size_t width)
{
    uint64_t v = 0;
    for (size_t i = 0; i < width; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static uint64_t
take_u64(struct reader *r)
{
    const uint8_t *p = take(r, 8);
    return p != NULL ? get_uint(p, 8) : 0;
}

static uint64_t
take_varint(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t *p = take(r, 1);
        if (p == NULL)
            return 0;
        v |= (uint64_t)(*p & 0x7f) << shift;
        if (*p < 0x80)
            return v;
    }
    fail(r, OX_E_CORRUPT, "a length is too long");
    return 0;
}

static struct ox_str
take_text(struct reader *r)
{
    uint64_t n = take_varint(r);
    const uint8_t *p = take(r, n);
    return (struct ox_str){(const char *)p, p != NULL ? (size_t)n : 0};
}

/* ---- types ---- */

static void
node_free(struct node *node)
{
    if (node == NULL)
        return;
    node_free(node->first);
    node_free(node->second);
    free(node->starts);
    free(node);
}

/* "Array(X)" with the name "Array" gives X. */
static bool
inner(struct ox_str type, const char *name, struct ox_str *out)
{
    size_t n = strlen(name);
    if (type.n < n + 2 || memcmp(type.p, name, n) != 0 || type.p[n] != '(' || type.p[type.n - 1] != ')')
        return false;
    *out = (struct ox_str){type.p + n + 1, type.n - n - 2};
    return true;
}

static bool
is_fixed(struct ox_str type, struct node *node)
{
    static const struct {
        const char *name;
        size_t width;
        enum look look;
    } known[] = {{"UInt8", 1, UINT}, {"UInt16", 2, UINT}, {"UInt32", 4, UINT},   {"UInt64", 8, UINT},
                 {"Int8", 1, INT},   {"Int16", 2, INT},   {"Int32", 4, INT},     {"Int64", 8, INT},
                 {"Bool", 1, BOOL},  {"Date", 2, DATE},   {"Float64", 8, FLOAT}, {"DateTime64(9)", 8, TIME}};
    struct ox_str of;
    node->kind = FIXED;
    for (size_t i = 0; i < OX_COUNT(known); i++) {
        if (!ox_str_eq(type, ox_str_of(known[i].name)))
            continue;
        node->width = known[i].width;
        node->look = known[i].look;
        return true;
    }
    if (inner(type, "DateTime64", &of) && of.n > 1 && of.p[0] == '9' && of.p[1] == ',') {
        node->width = 8;
        node->look = TIME;
        return true;
    }
    if (!inner(type, "FixedString", &of) || of.n == 0 || of.n > 6)
        return false;
    node->look = BYTES;
    for (size_t i = 0; i < of.n; i++) {
        if (of.p[i] < '0' || of.p[i] > '9')
            return false;
        node->width = node->width * 10 + (size_t)(of.p[i] - '0');
    }
    return node->width > 0;
}

static struct node *type_of(struct reader *r, struct ox_str type, unsigned depth);

/* The comma between a map's key and value: keys are no Map or Tuple, so the first one outside of parentheses. */
static bool
map_types(struct ox_str of, struct ox_str *key, struct ox_str *value)
{
    int open = 0;
    for (size_t i = 0; i + 2 < of.n; i++) {
        open += of.p[i] == '(';
        open -= of.p[i] == ')';
        if (open == 0 && of.p[i] == ',') {
            *key = (struct ox_str){of.p, i};
            *value = (struct ox_str){of.p + i + 2, of.n - i - 2};
            return true;
        }
    }
    return false;
}

static bool
nest(struct reader *r, struct node *node, struct ox_str type, unsigned depth)
{
    struct ox_str of, key, value;
    if (ox_str_eq(type, OX_STR("String"))) {
        node->kind = STRING;
        return true;
    }
    if (inner(type, "LowCardinality", &of) && ox_str_eq(of, OX_STR("String"))) {
        node->kind = LC;
        node->first = type_of(r, of, depth + 1);
        return true;
    }
    if (inner(type, "Array", &of)) {
        node->kind = ARRAY;
        node->first = type_of(r, of, depth + 1);
        return true;
    }
    if (!inner(type, "Map", &of) || !map_types(of, &key, &value))
        return false;
    node->kind = MAP;
    node->first = type_of(r, key, depth + 1);
    node->second = type_of(r, value, depth + 1);
    return true;
}

/* NULL and r->err after a failure. */
static struct node *
type_of(struct reader *r, struct ox_str type, unsigned depth)
{
    struct node *node = r->err == OX_OK ? calloc(1, sizeof(*node)) : NULL;
    if (node == NULL) {
        fail(r, OX_E_NOMEM, "no memory for a column");
        return NULL;
    }
    if (depth < NATIVE_DEPTH_MAX && (nest(r, node, type, depth) || is_fixed(type, node)))
        return node;
    if (r->err == OX_OK) {
        r->err = ox_diag_set(r->diag, OX_E_UNIMPLEMENTED, "native", r->p - r->begin,
                             "columns of type %.*s cannot be taken apart", (int)(type.n < 80 ? type.n : 80),
                             type.p);
    }
    return node;
}

/* ---- data ---- */

static void
read_versions(struct reader *r, const struct node *node)
{
    if (node == NULL)
        return;
    if (node->kind == LC && take_u64(r) != LC_VERSION)
        fail(r, OX_E_CORRUPT, "unknown version of a LowCardinality column");
    if (node->kind != LC) {
        read_versions(r, node->first);
        read_versions(r, node->second);
    }
}

static void
read_strings(struct reader *r, struct node *node)
{
    if (node->n > (uint64_t)(r->end - r->p)) { /* each has a length at least */
        fail(r, OX_E_CORRUPT, "more strings than bytes");
        return;
    }
    node->starts = malloc(((size_t)node->n + 1) * sizeof(*node->starts));
    if (node->starts == NULL) {
        fail(r, OX_E_NOMEM, "no memory for a column");
        return;
    }
    node->data = r->p;
    for (uint64_t i = 0; i < node->n && r->err == OX_OK; i++) {
        node->starts[i] = (uint64_t)(r->p - node->data);
        (void)take_text(r);
    }
    node->starts[node->n] = (uint64_t)(r->p - node->data);
}

static void
read_lc(struct reader *r, struct node *node)
{
    if (node->n == 0)
        return;
    uint64_t flags = take_u64(r);
    if ((flags & ~(uint64_t)LC_FLAGS_KNOWN) != 0 || (flags & LC_HAS_KEYS) == 0 || (flags & LC_WIDTH_MASK) > 3)
        fail(r, OX_E_CORRUPT, "unknown flags of a LowCardinality column");
    node->width = (size_t)1 << (flags & 3);
    node->first->n = take_u64(r);
    read_strings(r, node->first);
    if (take_u64(r) != node->n)
        fail(r, OX_E_CORRUPT, "a LowCardinality column has another number of rows");
    if (r->err == OX_OK)
        node->data = node->n <= UINT64_MAX / 8 ? take(r, node->n * node->width) : take(r, UINT64_MAX);
    for (uint64_t i = 0; i < node->n && r->err == OX_OK; i++) {
        if (get_uint(node->data + i * node->width, node->width) >= node->first->n)
            fail(r, OX_E_CORRUPT, "an index points behind the dictionary");
    }
}

static uint64_t
end_of(const struct node *node, uint64_t i)
{
    return i == 0 ? 0 : get_uint(node->data + 8 * (i - 1), 8);
}

/* The number of items; 0 after a failure. */
static uint64_t
read_ends(struct reader *r, struct node *node)
{
    node->data = node->n <= UINT64_MAX / 8 ? take(r, 8 * node->n) : take(r, UINT64_MAX);
    for (uint64_t i = 0; i < node->n && r->err == OX_OK; i++) {
        if (end_of(node, i + 1) < end_of(node, i))
            fail(r, OX_E_CORRUPT, "the ends of arrays go backwards");
    }
    return r->err == OX_OK ? end_of(node, node->n) : 0;
}

static void
read_data(struct reader *r, struct node *node, uint64_t n)
{
    if (r->err != OX_OK)
        return;
    node->n = n;
    switch (node->kind) {
    case FIXED:
        node->data = n <= UINT64_MAX / node->width ? take(r, n * node->width) : take(r, UINT64_MAX);
        break;
    case STRING:
        read_strings(r, node);
        break;
    case LC:
        read_lc(r, node);
        break;
    default:
        n = read_ends(r, node);
        read_data(r, node->first, n);
        if (node->kind == MAP)
            read_data(r, node->second, n);
    }
}

static void
read_block(struct reader *r, struct ox__native_view *view)
{
    uint64_t columns = take_varint(r), rows = take_varint(r);
    if (r->err == OX_OK &&
        (columns == 0 || columns > NATIVE_COLUMNS_MAX || rows == 0 || rows > NATIVE_ROWS_MAX))
        fail(r, OX_E_CORRUPT, "impossible numbers of columns and rows");
    if (r->err == OX_OK && (view->columns = calloc((size_t)columns, sizeof(*view->columns))) == NULL)
        fail(r, OX_E_NOMEM, "no memory for a block's columns");
    view->rows = (uint32_t)rows;
    for (uint64_t i = 0; i < columns && r->err == OX_OK; i++) {
        struct column *c = &view->columns[view->n_columns++];
        c->name = take_text(r);
        c->type = take_text(r);
        c->node = type_of(r, c->type, 0);
        read_versions(r, r->err == OX_OK ? c->node : NULL);
        read_data(r, c->node, rows);
    }
    if (r->err == OX_OK && r->p != r->end)
        fail(r, OX_E_CORRUPT, "bytes are left behind the block");
}

ox_err
ox__native_view_new(struct ox_str bytes, struct ox__native_view **out, struct ox_diag *diag)
{
    const uint8_t *p = (const uint8_t *)bytes.p;
    struct reader r = {.begin = p, .p = p, .end = p + bytes.n, .diag = diag, .err = OX_OK};
    struct ox__native_view *view = calloc(1, sizeof(*view));
    if (view == NULL)
        return OX_E_NOMEM;
    read_block(&r, view);
    if (r.err != OX_OK) {
        ox__native_view_free(view);
        return r.err;
    }
    *out = view;
    return OX_OK;
}

void
ox__native_view_free(struct ox__native_view *view)
{
    if (view == NULL)
        return;
    for (size_t i = 0; i < view->n_columns; i++)
        node_free(view->columns[i].node);
    free(view->columns);
    free(view);
}

uint32_t
ox__native_view_rows(const struct ox__native_view *view)
{
    return view->rows;
}

/* ---- parts ---- */

static void
put_varint(struct ox_buf *out, uint64_t v)
{
    uint8_t bytes[10];
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        bytes[n++] = (uint8_t)v | 0x80;
    bytes[n++] = (uint8_t)v;
    ox_buf_append(out, bytes, n);
}

static void
put_u64(struct ox_buf *out, uint64_t v)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(v >> (8 * i));
    ox_buf_append(out, bytes, 8);
}

static void
put_text(struct ox_buf *out, struct ox_str s)
{
    put_varint(out, s.n);
    ox_buf_append_str(out, s);
}

static void
put_versions(struct ox_buf *out, const struct node *node)
{
    if (node == NULL)
        return;
    if (node->kind == LC) {
        put_u64(out, LC_VERSION);
        return;
    }
    put_versions(out, node->first);
    put_versions(out, node->second);
}

/* The whole dictionary goes along: it is bounded by the block's, and the part stays a plain copy. */
static void
slice_lc(const struct node *node, uint64_t from, uint64_t to, struct ox_buf *out)
{
    unsigned width = node->width == 1 ? 0 : node->width == 2 ? 1 : node->width == 4 ? 2 : 3;
    put_u64(out, LC_HAS_KEYS | width);
    put_u64(out, node->first->n);
    ox_buf_append(out, node->first->data, (size_t)node->first->starts[node->first->n]);
    put_u64(out, to - from);
    ox_buf_append(out, node->data + from * node->width, (size_t)((to - from) * node->width));
}

static void
slice(const struct node *node, uint64_t from, uint64_t to, struct ox_buf *out)
{
    if (from == to)
        return;
    uint64_t first = 0;
    switch (node->kind) {
    case FIXED:
        ox_buf_append(out, node->data + from * node->width, (size_t)((to - from) * node->width));
        break;
    case STRING:
        ox_buf_append(out, node->data + node->starts[from], (size_t)(node->starts[to] - node->starts[from]));
        break;
    case LC:
        slice_lc(node, from, to, out);
        break;
    default:
        first = end_of(node, from);
        for (uint64_t i = from; i < to; i++)
            put_u64(out, end_of(node, i + 1) - first);
        slice(node->first, first, end_of(node, to), out);
        if (node->kind == MAP)
            slice(node->second, first, end_of(node, to), out);
    }
}

void
ox__native_view_slice(const struct ox__native_view *view, uint32_t from, uint32_t to, struct ox_buf *out)
{
    OX_ASSERT(from < to && to <= view->rows);
    put_varint(out, view->n_columns);
    put_varint(out, to - from);
    for (size_t i = 0; i < view->n_columns; i++) {
        const struct column *c = &view->columns[i];
        put_text(out, c->name);
        put_text(out, c->type);
        put_versions(out, c->node);
        slice(c->node, from, to, out);
    }
}

/* ---- rows for people ---- */

static struct ox_str
text_at(const struct node *node, uint64_t i)
{
    if (node->kind == LC)
        return text_at(node->first, get_uint(node->data + i * node->width, node->width));
    struct reader r = {.p = node->data + node->starts[i], .end = node->data + node->starts[i + 1]};
    return take_text(&r);
}

bool
ox__native_view_text(const struct ox__native_view *view, const char *column, uint32_t row, struct ox_str *out)
{
    for (size_t i = 0; i < view->n_columns; i++) {
        const struct column *c = &view->columns[i];
        if (!ox_str_eq(c->name, ox_str_of(column)) || (c->node->kind != LC && c->node->kind != STRING) ||
            row >= view->rows)
            continue;
        *out = text_at(c->node, row);
        return true;
    }
    return false;
}

static void
json_float(uint64_t bits, struct ox_buf *out)
{
    double d;
    memcpy(&d, &bits, sizeof(d));
    if (d != d)
        ox_buf_append_cstr(out, "\"NaN\"");
    else if (d - d != 0)
        ox_buf_append_cstr(out, d > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    else
        ox_buf_printf(out, "%.17g", d);
}

static void
json_bytes(const uint8_t *p, size_t n, struct ox_buf *out)
{
    if (n == 1 && p[0] > ' ' && p[0] < 0x7f) {
        ox_json_string(out, (struct ox_str){(const char *)p, 1});
        return;
    }
    ox_buf_append_cstr(out, "\"");
    for (size_t i = 0; i < n; i++)
        ox_buf_printf(out, "%02x", p[i]);
    ox_buf_append_cstr(out, "\"");
}

static void
json_fixed(const struct node *node, uint64_t i, struct ox_buf *out)
{
    const uint8_t *p = node->data + i * node->width;
    uint64_t v = node->look != BYTES ? get_uint(p, node->width) : 0;
    const char *quote = node->width == 8 ? "\"" : "";
    char time[OX_RFC3339_LEN + 1];
    switch (node->look) {
    case UINT:
        ox_buf_printf(out, "%s%" PRIu64 "%s", quote, v, quote);
        break;
    case INT:
        if (node->width < 8 && (v >> (8 * node->width - 1)) != 0)
            v |= UINT64_MAX << (8 * node->width);
        ox_buf_printf(out, "%s%" PRId64 "%s", quote, (int64_t)v, quote);
        break;
    case FLOAT:
        json_float(v, out);
        break;
    case BOOL:
        ox_buf_append_cstr(out, v != 0 ? "true" : "false");
        break;
    case DATE:
        ox_clock_rfc3339(v * 86400u * 1000000000u, time);
        ox_buf_printf(out, "\"%.10s\"", time);
        break;
    case TIME:
        ox_clock_rfc3339(v, time);
        ox_buf_printf(out, "\"%s\"", time);
        break;
    default:
        json_bytes(p, node->width, out);
    }
}

static void
json_value(const struct node *node, uint64_t i, struct ox_buf *out)
{
    if (node->kind == FIXED) {
        json_fixed(node, i, out);
        return;
    }
    if (node->kind == STRING || node->kind == LC) {
        ox_json_string(out, text_at(node, i));
        return;
    }
    bool map = node->kind == MAP;
    ox_buf_append_cstr(out, map ? "{" : "[");
    for (uint64_t at = end_of(node, i); at < end_of(node, i + 1); at++) {
        if (at > end_of(node, i))
            ox_buf_append_cstr(out, ",");
        json_value(node->first, at, out);
        if (map) {
            ox_buf_append_cstr(out, ":");
            json_value(node->second, at, out);
        }
    }
    ox_buf_append_cstr(out, map ? "}" : "]");
}

void
ox__native_view_json(const struct ox__native_view *view, uint32_t row, struct ox_buf *out)
{
    OX_ASSERT(row < view->rows);
    for (size_t i = 0; i < view->n_columns; i++) {
        ox_buf_append_cstr(out, i == 0 ? "{" : ",");
        ox_json_string(out, view->columns[i].name);
        ox_buf_append_cstr(out, ":");
        json_value(view->columns[i].node, row, out);
    }
    ox_buf_append_cstr(out, "}");
}
