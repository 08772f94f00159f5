/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a series is what OpenTelemetry calls one, and its row is written once a day, or again rather than
 *          never.
 * Method:  one point changed in every way; pinned ids; a cache smaller than its keys; commits left out.
 */
#include <criterion/criterion.h>

#include "actors/writer/encode_rows.h"
#include "tests/harness/random_batch.h"

static const struct random_batch options = {.seed = 7,
                                            .rows = 40,
                                            .from_ns = 1795168800000000000ull,
                                            .span_ns = 1000,
                                            .plain = true,
                                            .words_max = 40};

#define STR_ATTR(k, v) ox_attr_of(OX_STR(k), (struct ox_any){.type = OX_ANY_STRING, .str = OX_STR(v)})
#define INT_ATTR(k, v) ox_attr_of(OX_STR(k), (struct ox_any){.type = OX_ANY_INT, .i = (v)})

struct story {
    struct ox_attr attrs[6];
    struct ox_resource resource;
    struct ox_scope scope;
    struct ox_metric metric;
    struct ox_point point;
    struct ox_batch batch;
};

/* One point: resource attributes 0..1, scope attribute 2, point attributes 3..5. */
static struct story *
story(void)
{
    static struct story s;
    s = (struct story){
        .attrs = {STR_ATTR("service.name", "cart"), STR_ATTR("host.name", "h1"), STR_ATTR("library", "x"),
                  STR_ATTR("route", "/a"), INT_ATTR("code", 200), STR_ATTR("method", "GET")},
        .resource = {.attrs = {0, 2}, .service_name = OX_STR("cart")},
        .scope = {.name = OX_STR("http"), .version = OX_STR("1"), .attrs = {2, 1}},
        .metric = {.name = OX_STR("requests"),
                   .unit = OX_STR("1"),
                   .type = OX_METRIC_SUM,
                   .temporality = 2,
                   .monotonic = true},
        .point = {.attrs = {3, 3}},
    };
    s.batch = (struct ox_batch){.magic = OX_BATCH_MAGIC,
                                .signal = OX_SIGNAL_METRICS,
                                .resources = &s.resource,
                                .n_resources = 1,
                                .scopes = &s.scope,
                                .n_scopes = 1,
                                .attrs = s.attrs,
                                .n_attrs = 6,
                                .metrics = &s.metric,
                                .n_metrics = 1,
                                .points = &s.point,
                                .n_points = 1};
    return &s;
}

static uint64_t
id(struct story *s)
{
    return ox_encode_series_id(&s->batch, 0);
}

/* Stored data carry these ids: a change of the hash must not happen unnoticed. */
Test(series, ids_are_pinned)
{
    cr_assert_eq(id(story()), 0xea4a452c972113cbull, "%#llx", (unsigned long long)id(story()));
}

Test(series, the_order_of_attributes_does_not_matter)
{
    struct story *s = story();
    uint64_t before = id(s);
    struct ox_attr first = s->attrs[3];
    s->attrs[3] = s->attrs[5];
    s->attrs[5] = first;
    cr_assert_eq(id(s), before);
    first = s->attrs[0];
    s->attrs[0] = s->attrs[1];
    s->attrs[1] = first;
    cr_assert_eq(id(s), before);
}

Test(series, everything_that_identifies_makes_another_series)
{
    uint64_t before = id(story());
#define DIFFERS(change)                                                                                      \
    do {                                                                                                     \
        struct story *s = story();                                                                           \
        change;                                                                                              \
        cr_assert_neq(id(s), before, #change);                                                               \
    } while (0)
    DIFFERS(s->metric.name = OX_STR("requests2"));
    DIFFERS(s->metric.unit = OX_STR("s"));
    DIFFERS(s->metric.type = OX_METRIC_GAUGE);
    DIFFERS(s->metric.temporality = 1);
    DIFFERS(s->metric.monotonic = false);
    DIFFERS(s->scope.name = OX_STR("grpc"));
    DIFFERS(s->scope.version = OX_STR("2"));
    DIFFERS(s->attrs[2] = STR_ATTR("library", "y"));
    DIFFERS(s->attrs[0] = STR_ATTR("service.name", "checkout"));
    DIFFERS(s->attrs[3] = STR_ATTR("route", "/b"));
    DIFFERS(s->attrs[3] = STR_ATTR("path", "/a"));
    DIFFERS(s->attrs[4] = INT_ATTR("code", 500));
    DIFFERS(s->attrs[4] = STR_ATTR("code", "200"));
    DIFFERS(s->point.attrs.count = 2);
    DIFFERS(s->attrs[5] = s->attrs[3]);
    DIFFERS(s->scope.attrs.count = 0);
#undef DIFFERS
}

Test(series, what_only_describes_makes_a_new_row_of_the_same_series)
{
    struct story *s = story();
    struct ox__series_ctx ctx = {.metric = OX__NONE, .scope = OX__NONE};
    uint64_t before = ox__series_id(&ctx, &s->batch, &s->point), key = ox__series_key(&ctx, before, 1, 2);
    s->metric.description = OX_STR("new words");
    ctx = (struct ox__series_ctx){.metric = OX__NONE, .scope = OX__NONE};
    cr_assert_eq(ox__series_id(&ctx, &s->batch, &s->point), before);
    cr_assert_neq(ox__series_key(&ctx, before, 1, 2), key);
    struct ox_str entity = OX_STR("\x12\x04host");
    uint64_t key_without = ox__series_key(&ctx, before, 1, 2);
    s->batch.entities = &entity;
    s->resource.entities = (struct ox_slice){0, 1};
    ctx = (struct ox__series_ctx){.metric = OX__NONE, .scope = OX__NONE};
    cr_assert_eq(ox__series_id(&ctx, &s->batch, &s->point), before);
    cr_assert_neq(ox__series_key(&ctx, before, 1, 2), key_without, "entities");
    cr_assert_neq(ox__series_key(&ctx, before, 1, 3), ox__series_key(&ctx, before, 1, 2), "another day");
    cr_assert_neq(ox__series_key(&ctx, before, 2, 2), ox__series_key(&ctx, before, 1, 2), "another tenant");
}

/* Rows of series in the next block when `batch` is added to an empty builder. */
static uint32_t
series_rows(struct ox_builder *b, const struct ox_batch *batch, struct ox_encoded *out)
{
    uint32_t next;
    struct ox_rows rows = {.count = ox_encode_rows(batch)};
    cr_assert_eq(ox_builder_add(b, batch, &rows, &next), OX_OK);
    cr_assert_eq(ox_builder_finish(b, 1, out), OX_OK);
    for (size_t i = 0; i < out->n_blocks; i++) {
        if (out->blocks[i].table == OX_TABLE_SERIES)
            return out->blocks[i].rows;
    }
    return 0;
}

Test(series, a_row_is_written_until_it_is_durable_and_then_not_before_the_next_day)
{
    struct ox_batch *batch = random_batch_new(OX_SIGNAL_METRICS, &options);
    struct ox_series_cache *cache = ox_series_cache_new(1 << 12);
    struct ox_encoded first = {0}, second = {0};
    uint32_t day = ox_encode_partition(batch, 0);
    struct ox_builder *b = ox_builder_new(OX_SIGNAL_METRICS, day, cache);
    uint32_t n = series_rows(b, batch, &first);
    cr_assert_gt(n, 0);
    cr_assert_leq(n, 40);
    cr_assert_eq(first.n_series_keys, n);
    cr_assert_eq(series_rows(b, batch, &second), n, "the first block is not durable yet");
    ox_series_cache_commit(cache, &first);
    cr_assert_eq(series_rows(b, batch, &second), 0);
    cr_assert_eq(second.n_series_keys, 0);
    for (uint32_t i = 0; i < batch->n_points; i++)
        batch->points[i].time_ns += 86400ull * 1000000000ull;
    ox_builder_set_partition(b, day + 1);
    cr_assert_eq(series_rows(b, batch, &second), n, "another day, another row");
    ox_builder_free(b);
    ox_encoded_fini(&first);
    ox_encoded_fini(&second);
    ox_series_cache_free(cache);
    ox_batch_free(batch);
}

Test(series, one_block_has_each_series_once)
{
    struct ox_batch *batch = random_batch_new(OX_SIGNAL_METRICS, &options);
    struct ox_series_cache *cache = ox_series_cache_new(1 << 12);
    struct ox_encoded out = {0};
    struct ox_builder *b = ox_builder_new(OX_SIGNAL_METRICS, ox_encode_partition(batch, 0), cache);
    struct ox_rows rows = {.count = batch->n_points};
    uint32_t next;
    cr_assert_eq(ox_builder_add(b, batch, &rows, &next), OX_OK);
    cr_assert_eq(ox_builder_rows(b), 40);
    uint32_t n = series_rows(b, batch, &out);
    cr_assert_leq(n, 40, "%u rows of series for 40 points added twice", n);
    ox_builder_free(b);
    ox_encoded_fini(&out);
    ox_series_cache_free(cache);
    ox_batch_free(batch);
}

Test(series, a_small_cache_forgets_the_idle_first)
{
    struct ox_series_cache *cache = ox_series_cache_new(5); /* one set */
    uint32_t t = ox__series_cache_ticket(cache);
    for (uint64_t key = 1; key <= 5; key++)
        cr_assert_not(ox__series_cache_seen(cache, key, t));
    cr_assert_not(ox__series_cache_seen(cache, 6, t),
                  "evicts one, and all others have lost their second turn");
    cr_assert(ox__series_cache_seen(cache, 3, t));
    for (uint64_t key = 100; key < 106; key++) {
        cr_assert_not(ox__series_cache_seen(cache, key, t));
        cr_assert(ox__series_cache_seen(cache, 3, t), "3 is asked for and stays, at key %llu",
                  (unsigned long long)key);
    }
    ox_series_cache_free(cache);
}

Test(series, tickets_keep_blocks_apart)
{
    struct ox_series_cache *cache = ox_series_cache_new(64);
    uint32_t one = ox__series_cache_ticket(cache), two = ox__series_cache_ticket(cache);
    cr_assert_not(ox__series_cache_seen(cache, 42, one));
    cr_assert(ox__series_cache_seen(cache, 42, one));
    cr_assert_not(ox__series_cache_seen(cache, 42, two));
    uint64_t keys[] = {42, 43};
    struct ox_encoded durable = {.series_keys = keys, .n_series_keys = 2};
    ox_series_cache_commit(cache, &durable);
    cr_assert(ox__series_cache_seen(cache, 42, one));
    cr_assert(ox__series_cache_seen(cache, 43, ox__series_cache_ticket(cache)),
              "evicted before the commit, or never in");
    ox_series_cache_free(cache);
}
