/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/series_id.c - which points belong to one series.
 *
 * Owns:    nothing; pure functions, a context keeps the hashes that neighbouring points share.
 * Threads: any.
 * Flow:    encode_points.c -> here.
 *
 * Identity as OpenTelemetry defines a metric stream: attributes of the resource; name, version and attributes
 * of the scope; name, type, unit, temporality and monotonicity of the metric; attributes of the point. A set
 * of attributes hashes to the sum of the hashes of its pairs, so their order does not matter. The value of
 * these hashes stands in stored data: they never change (tests/unit/actors/writer/series_test.c pins them).
 * The upper 16 bits are those of the resource's hash: series of one process lie side by side in their table,
 * and since they mostly share their times, compress much better (docs/storage.md).
 *
 * What describes a series without making another one (description, metadata, schema URLs, entities, dropped counts)
 * goes into `extra`: when it changes, the series gets a new row under the same id.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "encode_rows.h"

#define RESOURCE_BITS 0xffff000000000000ull

static uint64_t
hash_str(struct ox_str s, uint64_t seed)
{
    return XXH3_64bits_withSeed(s.n != 0 ? s.p : "", s.n, seed);
}

static uint64_t
hash_attr(const struct ox_attr *a)
{
    uint64_t seed = hash_str(ox_attr_key(a), (uint64_t)ox_attr_type(a) + 1);
    uint64_t scalar = 0;
    switch (ox_attr_type(a)) {
    case OX_ANY_STRING:
    case OX_ANY_ARRAY:
    case OX_ANY_KVLIST:
    case OX_ANY_BYTES:
        return hash_str(ox_attr_str(a), seed);
    case OX_ANY_INT:
        scalar = (uint64_t)a->v.i;
        break;
    case OX_ANY_DOUBLE:
        memcpy(&scalar, &a->v.d, sizeof(scalar));
        break;
    case OX_ANY_BOOL:
        scalar = a->v.b;
        break;
    case OX_ANY_NONE:
        break;
    }
    return XXH3_64bits_withSeed(&scalar, sizeof(scalar), seed);
}

static uint64_t
hash_attrs(const struct ox_batch *batch, struct ox_slice slice)
{
    uint64_t sum = slice.count;
    for (uint32_t i = 0; i < slice.count; i++)
        sum += hash_attr(&batch->attrs[slice.first + i]);
    return sum;
}

/* In order: entities have one, and nothing says that it means nothing. */
static uint64_t
hash_entities(const struct ox_batch *batch, struct ox_slice slice)
{
    uint64_t hash = slice.count;
    for (uint32_t i = 0; i < slice.count; i++)
        hash = hash_str(batch->entities[slice.first + i], hash);
    return hash;
}

static void
enter_scope(struct ox__series_ctx *ctx, const struct ox_batch *batch, uint32_t index)
{
    const struct ox_scope *s = &batch->scopes[index];
    const struct ox_resource *r = &batch->resources[s->resource];
    const uint64_t id[] = {hash_attrs(batch, r->attrs), hash_str(s->name, 1), hash_str(s->version, 2),
                           hash_attrs(batch, s->attrs)};
    const uint64_t extra[] = {r->dropped_attrs, hash_str(r->schema_url, 1), s->dropped_attrs,
                              hash_str(s->schema_url, 2), hash_entities(batch, r->entities)};
    ctx->scope = index;
    ctx->resource = id[0];
    ctx->origin = XXH3_64bits(id, sizeof(id));
    ctx->origin_extra = XXH3_64bits(extra, sizeof(extra));
}

static void
enter_metric(struct ox__series_ctx *ctx, const struct ox_batch *batch, uint32_t index)
{
    const struct ox_metric *m = &batch->metrics[index];
    if (ctx->scope != m->scope)
        enter_scope(ctx, batch, m->scope);
    const uint64_t id[] = {ctx->origin, hash_str(m->name, 1), hash_str(m->unit, 2),
                           (uint64_t)m->type << 16 | (uint64_t)m->temporality << 8 | m->monotonic};
    const uint64_t extra[] = {ctx->origin_extra, hash_str(m->description, 1), hash_attrs(batch, m->metadata)};
    ctx->metric = index;
    ctx->metric_id = XXH3_64bits(id, sizeof(id));
    ctx->extra = XXH3_64bits(extra, sizeof(extra));
}

uint64_t
ox__series_id(struct ox__series_ctx *ctx, const struct ox_batch *batch, const struct ox_point *point)
{
    if (ctx->metric != point->metric)
        enter_metric(ctx, batch, point->metric);
    const uint64_t id[] = {ctx->metric_id, hash_attrs(batch, point->attrs)};
    return (ctx->resource & RESOURCE_BITS) | XXH3_64bits(id, sizeof(id)) >> 16;
}

uint64_t
ox__series_key(const struct ox__series_ctx *ctx, uint64_t series_id, uint64_t tenant_hash, uint32_t day)
{
    const uint64_t key[] = {series_id, ctx->extra, tenant_hash, day};
    uint64_t hash = XXH3_64bits(key, sizeof(key));
    return hash != 0 ? hash : 1;
}

uint64_t
ox__tenant_hash(const struct ox_tenant_id *tenant)
{
    return hash_str(ox_str_of(tenant->name), 0);
}

uint64_t
ox_encode_series_id(const struct ox_batch *batch, uint32_t point)
{
    struct ox__series_ctx ctx = {.metric = OX__NONE, .scope = OX__NONE};
    OX_ASSERT(batch->signal == OX_SIGNAL_METRICS && point < batch->n_points);
    return ox__series_id(&ctx, batch, &batch->points[point]);
}

void
ox_encode_series_ids(const struct ox_batch *batch, uint64_t *ids)
{
    struct ox__series_ctx ctx = {.metric = OX__NONE, .scope = OX__NONE};
    OX_ASSERT(batch->signal == OX_SIGNAL_METRICS);
    for (uint32_t i = 0; i < batch->n_points; i++)
        ids[i] = ox__series_id(&ctx, batch, &batch->points[i]);
}

uint64_t
ox_encode_attr_hash(const struct ox_attr *attr)
{
    return hash_attr(attr);
}
