/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/encode_attrs.c - attributes, resources and scopes as columns.
 *
 * Owns:    nothing; fills the columns of a builder.
 * Threads: the builder's.
 * Bounds:  the decoder's limits on attributes.
 * Flow:    encode_spans.c, encode_logs.c, encode_points.c -> here -> native.h.
 *
 * Values are stored as ox_any_render writes them. Next to each map stands a string with one type character
 * per attribute, empty when all are strings, which is the common case and costs nothing.
 */
#include "encode_rows.h"
#include "ox/any.h"
#include "ox/entity.h"

/* Decimal digits of the largest uint64_t, and a sign. */
#define INT_TEXT_MAX 21

/* Writes v and returns the length. */
static size_t
int_text(char *to, int64_t v)
{
    char digits[INT_TEXT_MAX];
    size_t n = 0, len = 0;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        digits[n++] = (char)('0' + u % 10);
        u /= 10;
    } while (u != 0);
    if (v < 0)
        to[len++] = '-';
    while (n > 0)
        to[len++] = digits[--n];
    return len;
}

/* The text of a value that is not a string; it lies in `small` (INT_TEXT_MAX bytes), b->text or a constant.
 */
static struct ox_str
value_text(struct ox_builder *b, const struct ox_any *any, char *small, char *type)
{
    if (any->type == OX_ANY_INT) {
        *type = 'i';
        return (struct ox_str){small, int_text(small, any->i)};
    }
    ox_buf_reset(&b->text);
    *type = ox_any_render(any, &b->text);
    b->failed |= b->text.failed; /* the next reset would hide it */
    return ox_buf_str(&b->text);
}

char
ox__put_any(struct ox_builder *b, struct ox_buf *to, const struct ox_any *any)
{
    char small[INT_TEXT_MAX], type = 's';
    if (any->type == OX_ANY_STRING)
        ox__put_text(to, any->str);
    else
        ox__put_text(to, value_text(b, any, small, &type));
    return type;
}

/* The row's type characters as one LC cell. b->types is filled when a value is not a string. */
static void
put_types(struct ox_builder *b, struct ox_col *types, bool all_strings)
{
    ox__push_lc(types, all_strings ? (struct ox_str){NULL, 0} : ox_buf_str(&b->types));
}

/* Notes the type of value i. The first that is not a string brings the 's' of those before it. */
static void
note_type(struct ox_builder *b, uint32_t i, uint32_t n, char type, bool *all_strings)
{
    uint8_t *to;
    if (*all_strings) {
        ox_buf_reset(&b->types);
        to = ox_buf_reserve(&b->types, n);
        if (to == NULL) {
            b->failed = true;
            return;
        }
        memset(to, 's', n);
        b->types.len = n;
        *all_strings = false;
    }
    b->types.data[i] = (uint8_t)type;
}

void
ox__put_attrs(struct ox_builder *b, struct ox_col *map, struct ox_col *types, const struct ox_attr *attrs,
              uint32_t n)
{
    bool all_strings = true;
    for (uint32_t i = 0; i < n; i++) {
        const struct ox_attr *a = &attrs[i];
        ox__push_lc(map, ox_attr_key(a));
        if (OX_LIKELY(ox_attr_type(a) == OX_ANY_STRING)) {
            ox__put_text(&map->values, ox_attr_str(a));
            continue;
        }
        const struct ox_any value = ox_attr_value(a);
        note_type(b, i, n, ox__put_any(b, &map->values, &value), &all_strings);
    }
    ox__end_map(map, n);
    put_types(b, types, all_strings);
}

/* Both sides of `attrs` as entries of the map's dictionaries. */
static void
render_attrs(struct ox_builder *b, struct ox_col *map, struct ox_col *types, const struct ox_attr *attrs,
             uint32_t n, struct ox__rendered_attrs *out)
{
    bool all_strings = true;
    ox_buf_reset(&out->keys);
    ox_buf_reset(&out->values);
    for (uint32_t i = 0; i < n; i++) {
        char small[INT_TEXT_MAX], type = 's';
        const struct ox_any any = ox_attr_value(&attrs[i]);
        struct ox_str text = any.type == OX_ANY_STRING ? any.str : value_text(b, &any, small, &type);
        OX__PUSH(uint32_t, &out->keys, ox__dict_get(&map->dict, ox_attr_key(&attrs[i])));
        OX__PUSH(uint32_t, &out->values, ox__dict_get(&map->vdict, text));
        if (any.type != OX_ANY_STRING)
            note_type(b, i, n, type, &all_strings);
    }
    b->failed |= out->keys.failed || out->values.failed; /* as above */
    out->n = n;
    struct ox_str chars = all_strings ? (struct ox_str){NULL, 0} : ox_buf_str(&b->types);
    out->types = ox__dict_get(&types->dict, chars);
}

static void
put_rendered(struct ox_col *map, const struct ox__rendered_attrs *attrs)
{
    ox_buf_append(&map->data, attrs->keys.data, attrs->keys.len);
    ox_buf_append(&map->values, attrs->values.data, attrs->values.len);
    ox__end_map(map, attrs->n);
}

void
ox__put_lc_attrs(struct ox_builder *b, struct ox_col *map, struct ox_col *types, const struct ox_attr *attrs,
                 uint32_t n)
{
    struct ox__rendered_attrs *out = &b->origin.once;
    render_attrs(b, map, types, attrs, n, out);
    put_rendered(map, out);
    OX__PUSH(uint32_t, &types->data, out->types);
}

void
ox__origin_forget(struct ox__origin *origin)
{
    origin->resource = OX__NONE;
    origin->scope = OX__NONE;
}

static void
rendered_fini(struct ox__rendered_attrs *attrs)
{
    ox_buf_fini(&attrs->keys);
    ox_buf_fini(&attrs->values);
}

void
ox__origin_fini(struct ox__origin *origin)
{
    rendered_fini(&origin->resource_attrs);
    rendered_fini(&origin->scope_attrs);
    rendered_fini(&origin->once);
}

/* Most resources have no entities; their list is the empty text. */
static struct ox_str
entities_text(struct ox_builder *b, const struct ox_batch *batch, struct ox_slice entities)
{
    ox_buf_reset(&b->text);
    ox_entity_refs_render(batch->entities + entities.first, entities.count, &b->text);
    b->failed |= b->text.failed; /* the next reset would hide it */
    return ox_buf_str(&b->text);
}

static void
render_resource(struct ox_builder *b, struct ox_block *block, const struct ox_batch *batch, uint32_t index,
                struct ox_col *tenant, struct ox_col *service)
{
    struct ox__origin *o = &b->origin;
    const struct ox_resource *r = &batch->resources[index];
    struct ox_col *cols = block->cols;
    o->resource = index;
    o->tenant = ox__dict_get(&tenant->dict, ox_str_of(batch->tenant.name));
    o->service = ox__dict_get(&service->dict, r->service_name);
    o->resource_url = ox__dict_get(&cols[O_RES_SCHEMA_URL].dict, r->schema_url);
    o->resource_dropped = r->dropped_attrs;
    o->resource_entities = ox__dict_get(&cols[O_RES_ENTITIES].dict, entities_text(b, batch, r->entities));
    render_attrs(b, &cols[O_RES_ATTRS], &cols[O_RES_TYPES], batch->attrs + r->attrs.first, r->attrs.count,
                 &o->resource_attrs);
}

static void
render_scope(struct ox_builder *b, struct ox_block *block, const struct ox_batch *batch, uint32_t index)
{
    struct ox__origin *o = &b->origin;
    const struct ox_scope *s = &batch->scopes[index];
    struct ox_col *cols = block->cols;
    o->scope = index;
    o->scope_name = ox__dict_get(&cols[O_SCOPE_NAME].dict, s->name);
    o->scope_version = ox__dict_get(&cols[O_SCOPE_VERSION].dict, s->version);
    o->scope_url = ox__dict_get(&cols[O_SCOPE_SCHEMA_URL].dict, s->schema_url);
    o->scope_dropped = s->dropped_attrs;
    render_attrs(b, &cols[O_SCOPE_ATTRS], &cols[O_SCOPE_TYPES], batch->attrs + s->attrs.first, s->attrs.count,
                 &o->scope_attrs);
}

void
ox__put_origin(struct ox_builder *b, struct ox_block *block, const struct ox_batch *batch, uint32_t scope,
               struct ox_col *tenant, struct ox_col *service)
{
    struct ox__origin *o = &b->origin;
    struct ox_col *cols = block->cols;
    uint32_t resource = batch->scopes[scope].resource;
    if (OX_UNLIKELY(o->resource != resource))
        render_resource(b, block, batch, resource, tenant, service);
    if (OX_UNLIKELY(o->scope != scope))
        render_scope(b, block, batch, scope);
    put_rendered(&cols[O_RES_ATTRS], &o->resource_attrs);
    OX__PUT(uint32_t, &cols[O_RES_TYPES], o->resource_attrs.types);
    OX__PUT(uint32_t, &cols[O_RES_DROPPED], o->resource_dropped);
    OX__PUT(uint32_t, &cols[O_RES_SCHEMA_URL], o->resource_url);
    OX__PUT(uint32_t, &cols[O_SCOPE_NAME], o->scope_name);
    OX__PUT(uint32_t, &cols[O_SCOPE_VERSION], o->scope_version);
    put_rendered(&cols[O_SCOPE_ATTRS], &o->scope_attrs);
    OX__PUT(uint32_t, &cols[O_SCOPE_TYPES], o->scope_attrs.types);
    OX__PUT(uint32_t, &cols[O_SCOPE_DROPPED], o->scope_dropped);
    OX__PUT(uint32_t, &cols[O_SCOPE_SCHEMA_URL], o->scope_url);
    OX__PUT(uint32_t, &cols[O_RES_ENTITIES], o->resource_entities);
    OX__PUT(uint32_t, tenant, o->tenant);
    OX__PUT(uint32_t, service, o->service);
}
