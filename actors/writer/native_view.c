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
#include "actors/writer/native_view_internal.h"

#include <stdlib.h>

#define NATIVE_COLUMNS_MAX 1024
#define NATIVE_ROWS_MAX    (1u << 24)
#define NATIVE_DEPTH_MAX   8
#define LC_VERSION         1
#define LC_HAS_KEYS        0x200u
#define LC_WIDTH_MASK      0xffu
#define LC_FLAGS_KNOWN     (LC_WIDTH_MASK | LC_HAS_KEYS | 0x400u) /* 0x400: a new dictionary, as servers say */

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
take_u64(struct reader *r)
{
    const uint8_t *p = take(r, 8);
    return p != NULL ? ox__native_uint(p, 8) : 0;
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
node_free(struct ox__native_node *node)
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
is_fixed(struct ox_str type, struct ox__native_node *node)
{
    static const struct {
        const char *name;
        size_t width;
        enum ox__native_look look;
    } known[] = {{"UInt8", 1, OX__NATIVE_UINT},    {"UInt16", 2, OX__NATIVE_UINT},
                 {"UInt32", 4, OX__NATIVE_UINT},   {"UInt64", 8, OX__NATIVE_UINT},
                 {"Int8", 1, OX__NATIVE_INT},      {"Int16", 2, OX__NATIVE_INT},
                 {"Int32", 4, OX__NATIVE_INT},     {"Int64", 8, OX__NATIVE_INT},
                 {"Bool", 1, OX__NATIVE_BOOL},     {"Date", 2, OX__NATIVE_DATE},
                 {"Float64", 8, OX__NATIVE_FLOAT}, {"DateTime64(9)", 8, OX__NATIVE_TIME}};
    struct ox_str of;
    node->kind = OX__NATIVE_FIXED;
    for (size_t i = 0; i < OX_COUNT(known); i++) {
        if (!ox_str_eq(type, ox_str_of(known[i].name)))
            continue;
        node->width = known[i].width;
        node->look = known[i].look;
        return true;
    }
    if (inner(type, "DateTime64", &of) && of.n > 1 && of.p[0] == '9' && of.p[1] == ',') {
        node->width = 8;
        node->look = OX__NATIVE_TIME;
        return true;
    }
    if (ox_str_eq(type, OX_STR("DateTime")) || inner(type, "DateTime", &of)) {
        node->width = 4;
        node->look = OX__NATIVE_SECONDS;
        return true;
    }
    if (!inner(type, "FixedString", &of) || of.n == 0 || of.n > 6)
        return false;
    node->look = OX__NATIVE_BYTES;
    for (size_t i = 0; i < of.n; i++) {
        if (of.p[i] < '0' || of.p[i] > '9')
            return false;
        node->width = node->width * 10 + (size_t)(of.p[i] - '0');
    }
    return node->width > 0;
}

static struct ox__native_node *type_of(struct reader *r, struct ox_str type, unsigned depth);

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
nest(struct reader *r, struct ox__native_node *node, struct ox_str type, unsigned depth)
{
    struct ox_str of, key, value;
    if (ox_str_eq(type, OX_STR("String"))) {
        node->kind = OX__NATIVE_STRING;
        return true;
    }
    if (inner(type, "LowCardinality", &of) && ox_str_eq(of, OX_STR("String"))) {
        node->kind = OX__NATIVE_LC;
        node->first = type_of(r, of, depth + 1);
        return true;
    }
    if (inner(type, "Array", &of)) {
        node->kind = OX__NATIVE_ARRAY;
        node->first = type_of(r, of, depth + 1);
        return true;
    }
    if (!inner(type, "Map", &of) || !map_types(of, &key, &value))
        return false;
    node->kind = OX__NATIVE_MAP;
    node->first = type_of(r, key, depth + 1);
    node->second = type_of(r, value, depth + 1);
    return true;
}

/* NULL and r->err after a failure. */
static struct ox__native_node *
type_of(struct reader *r, struct ox_str type, unsigned depth)
{
    struct ox__native_node *node = r->err == OX_OK ? calloc(1, sizeof(*node)) : NULL;
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
read_versions(struct reader *r, const struct ox__native_node *node)
{
    if (node == NULL)
        return;
    if (node->kind == OX__NATIVE_LC && take_u64(r) != LC_VERSION)
        fail(r, OX_E_CORRUPT, "unknown version of a LowCardinality column");
    if (node->kind != OX__NATIVE_LC) {
        read_versions(r, node->first);
        read_versions(r, node->second);
    }
}

static void
read_strings(struct reader *r, struct ox__native_node *node)
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
read_lc(struct reader *r, struct ox__native_node *node)
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
        if (ox__native_uint(node->data + i * node->width, node->width) >= node->first->n)
            fail(r, OX_E_CORRUPT, "an index points behind the dictionary");
    }
}

/* The number of items; 0 after a failure. */
static uint64_t
read_ends(struct reader *r, struct ox__native_node *node)
{
    node->data = node->n <= UINT64_MAX / 8 ? take(r, 8 * node->n) : take(r, UINT64_MAX);
    for (uint64_t i = 0; i < node->n && r->err == OX_OK; i++) {
        if (ox__native_end(node, i + 1) < ox__native_end(node, i))
            fail(r, OX_E_CORRUPT, "the ends of arrays go backwards");
    }
    return r->err == OX_OK ? ox__native_end(node, node->n) : 0;
}

static void
read_data(struct reader *r, struct ox__native_node *node, uint64_t n)
{
    if (r->err != OX_OK)
        return;
    node->n = n;
    switch (node->kind) {
    case OX__NATIVE_FIXED:
        node->data = n <= UINT64_MAX / node->width ? take(r, n * node->width) : take(r, UINT64_MAX);
        break;
    case OX__NATIVE_STRING:
        read_strings(r, node);
        break;
    case OX__NATIVE_LC:
        read_lc(r, node);
        break;
    default:
        n = read_ends(r, node);
        read_data(r, node->first, n);
        if (node->kind == OX__NATIVE_MAP)
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
        struct ox__native_column *c = &view->columns[view->n_columns++];
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
put_versions(struct ox_buf *out, const struct ox__native_node *node)
{
    if (node == NULL)
        return;
    if (node->kind == OX__NATIVE_LC) {
        put_u64(out, LC_VERSION);
        return;
    }
    put_versions(out, node->first);
    put_versions(out, node->second);
}

/* The whole dictionary goes along: it is bounded by the block's, and the part stays a plain copy. */
static void
slice_lc(const struct ox__native_node *node, uint64_t from, uint64_t to, struct ox_buf *out)
{
    unsigned width = node->width == 1 ? 0 : node->width == 2 ? 1 : node->width == 4 ? 2 : 3;
    put_u64(out, LC_HAS_KEYS | width);
    put_u64(out, node->first->n);
    ox_buf_append(out, node->first->data, (size_t)node->first->starts[node->first->n]);
    put_u64(out, to - from);
    ox_buf_append(out, node->data + from * node->width, (size_t)((to - from) * node->width));
}

static void
slice(const struct ox__native_node *node, uint64_t from, uint64_t to, struct ox_buf *out)
{
    if (from == to)
        return;
    uint64_t first = 0;
    switch (node->kind) {
    case OX__NATIVE_FIXED:
        ox_buf_append(out, node->data + from * node->width, (size_t)((to - from) * node->width));
        break;
    case OX__NATIVE_STRING:
        ox_buf_append(out, node->data + node->starts[from], (size_t)(node->starts[to] - node->starts[from]));
        break;
    case OX__NATIVE_LC:
        slice_lc(node, from, to, out);
        break;
    default:
        first = ox__native_end(node, from);
        for (uint64_t i = from; i < to; i++)
            put_u64(out, ox__native_end(node, i + 1) - first);
        slice(node->first, first, ox__native_end(node, to), out);
        if (node->kind == OX__NATIVE_MAP)
            slice(node->second, first, ox__native_end(node, to), out);
    }
}

void
ox__native_view_slice(const struct ox__native_view *view, uint32_t from, uint32_t to, struct ox_buf *out)
{
    OX_ASSERT(from < to && to <= view->rows);
    put_varint(out, view->n_columns);
    put_varint(out, to - from);
    for (size_t i = 0; i < view->n_columns; i++) {
        const struct ox__native_column *c = &view->columns[i];
        put_text(out, c->name);
        put_text(out, c->type);
        put_versions(out, c->node);
        slice(c->node, from, to, out);
    }
}

/* ---- cells ---- */

struct ox_str
ox__native_text(const struct ox__native_node *node, uint64_t i)
{
    if (node->kind == OX__NATIVE_LC)
        return ox__native_text(node->first, ox__native_uint(node->data + i * node->width, node->width));
    struct reader r = {.p = node->data + node->starts[i], .end = node->data + node->starts[i + 1]};
    return take_text(&r);
}

bool
ox__native_view_text(const struct ox__native_view *view, const char *column, uint32_t row, struct ox_str *out)
{
    for (size_t i = 0; i < view->n_columns; i++) {
        const struct ox__native_column *c = &view->columns[i];
        if (!ox_str_eq(c->name, ox_str_of(column)) ||
            (c->node->kind != OX__NATIVE_LC && c->node->kind != OX__NATIVE_STRING) || row >= view->rows)
            continue;
        *out = ox__native_text(c->node, row);
        return true;
    }
    return false;
}
