/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    columns become exactly the bytes that ClickHouse's Native format asks for.
 * Method:  one small block compared byte by byte; dictionaries of 256, 257, 65536 and 65537 entries; many
 *          words found again after growth.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "actors/writer/columns.h"
#include "actors/writer/native.h"

static void
to_buf(void *arg, const void *bytes, size_t n)
{
    ox_buf_append(arg, bytes, n);
}

/* Appends the header of a column as Native has it. */
static void
expect_head(struct ox_buf *out, const char *name, const char *type)
{
    uint8_t n = (uint8_t)strlen(name), t = (uint8_t)strlen(type);
    ox_buf_append(out, &n, 1);
    ox_buf_append(out, name, n);
    ox_buf_append(out, &t, 1);
    ox_buf_append(out, type, t);
}

static void
expect_u64s(struct ox_buf *out, const uint64_t *v, size_t n)
{
    ox_buf_append(out, v, n * sizeof(*v));
}
#define EXPECT_U64S(out, ...)                                                                                \
    expect_u64s((out), (const uint64_t[]){__VA_ARGS__}, OX_COUNT(((const uint64_t[]){__VA_ARGS__})))

/* A table of one column of each kind. */
static const struct ox_col_def small_defs[] = {
    {"f", "UInt16", OX_COL_FIXED, 2, 0},
    {"s", "String", OX_COL_STRING, 0, 0},
    {"l", "LowCardinality(String)", OX_COL_LC, 0, 0},
    {"m", "Map(LowCardinality(String), String)", OX_COL_MAP, 0, 0},
    {"a", "Array(LowCardinality(String))", OX_COL_LC, 0, 1},
    {"b", "UInt64", OX_COL_CONST, 8, 0},
};

/* A block of these columns: that of a real table with other definitions put in place. */
static void
small_block(struct ox_block *block)
{
    cr_assert_eq(ox__block_init(block, OX_TABLE_LOGS), OX_OK);
    struct ox_col *cols = block->cols;
    struct ox_col swap[] = {cols[L_TIME],  cols[L_BODY],   cols[L_SERVICE],
                            cols[L_ATTRS], cols[L_TENANT], cols[L_BLOCK_ID]};
    const size_t taken[] = {L_TIME, L_BODY, L_SERVICE, L_ATTRS, L_TENANT, L_BLOCK_ID};
    struct ox_col *rest = calloc(block->n_cols, sizeof(*rest));
    size_t n = 0;
    for (size_t i = 0; i < OX_COUNT(swap); i++)
        rest[n++] = swap[i];
    for (size_t i = 0; i < block->n_cols; i++) {
        bool used = false;
        for (size_t j = 0; j < OX_COUNT(taken); j++)
            used |= taken[j] == i;
        if (!used)
            rest[n++] = cols[i];
    }
    free(cols);
    block->cols = rest;
    block->defs = small_defs;
}

static void
fill_small_block(struct ox_block *block)
{
    struct ox_col *c = block->cols;
    block->n_cols = OX_COUNT(small_defs);
    cr_assert(ox__block_reserve(block, 2));
    OX__PUT(uint16_t, &c[0], 0x1234);
    OX__PUT(uint16_t, &c[0], 7);
    ox__put_text(&c[1].data, OX_STR("hi"));
    ox__put_text(&c[1].data, (struct ox_str){NULL, 0});
    ox__put_lc(&c[2], OX_STR("x"));
    ox__put_lc(&c[2], OX_STR("x"));
    ox__push_lc(&c[3], OX_STR("k"));
    ox__put_text(&c[3].values, OX_STR("v"));
    ox__end_map(&c[3], 1);
    ox__end_map(&c[3], 0);
    ox__end_array(block, 1, 0);
    ox__push_lc(&c[4], OX_STR("p"));
    ox__push_lc(&c[4], OX_STR("q"));
    ox__end_array(block, 1, 2);
    block->rows = 2;
}

Test(native, small_block_byte_by_byte)
{
    struct ox_block block;
    struct ox_buf got = {0}, want = {0};
    small_block(&block);
    size_t all = block.n_cols;
    fill_small_block(&block);
    ox__block_write(&block, 0x0102030405060708, to_buf, &got);

    ox_buf_append(&want, "\x06\x02", 2);
    expect_head(&want, "f", "UInt16");
    ox_buf_append(&want, "\x34\x12\x07\x00", 4);
    expect_head(&want, "s", "String");
    ox_buf_append(&want, "\x02hi\x00", 4);
    expect_head(&want, "l", "LowCardinality(String)");
    EXPECT_U64S(&want, 1, 0x200, 2);
    ox_buf_append(&want, "\x00\x01x", 3);
    EXPECT_U64S(&want, 2);
    ox_buf_append(&want, "\x01\x01", 2);
    expect_head(&want, "m", "Map(LowCardinality(String), String)");
    EXPECT_U64S(&want, 1, 1, 1, 0x200, 2);
    ox_buf_append(&want, "\x00\x01k", 3);
    EXPECT_U64S(&want, 1);
    ox_buf_append(&want, "\x01\x01v", 3);
    expect_head(&want, "a", "Array(LowCardinality(String))");
    EXPECT_U64S(&want, 1, 0, 2, 0x200, 3);
    ox_buf_append(&want, "\x00\x01p\x01q", 5);
    EXPECT_U64S(&want, 2);
    ox_buf_append(&want, "\x01\x02", 2);
    expect_head(&want, "b", "UInt64");
    EXPECT_U64S(&want, 0x0102030405060708, 0x0102030405060708);

    cr_assert_eq(got.len, want.len, "%zu bytes, not %zu", got.len, want.len);
    for (size_t i = 0; i < want.len; i++)
        cr_assert_eq(got.data[i], want.data[i], "byte %zu is %02x, not %02x", i, got.data[i], want.data[i]);
    block.n_cols = all;
    block.defs = ox__table_defs(OX_TABLE_LOGS, &all);
    ox__block_fini(&block);
    ox_buf_fini(&got);
    ox_buf_fini(&want);
}

/* n different words; each is found again under its entry. */
static void
fill_dict(struct ox_col *col, uint32_t n)
{
    char text[16];
    for (uint32_t i = 1; i < n; i++) {
        int len = snprintf(text, sizeof(text), "word-%u", i);
        cr_assert_eq(ox__dict_get(&col->dict, (struct ox_str){text, (size_t)len}), i);
    }
    for (uint32_t i = n - 1; i > 0; i--) {
        int len = snprintf(text, sizeof(text), "word-%u", i);
        cr_assert_eq(ox__dict_find(&col->dict, (struct ox_str){text, (size_t)len}), i);
    }
}

Test(native, indexes_are_as_narrow_as_the_dictionary_allows)
{
    const struct {
        uint32_t words; /* with the empty one */
        uint64_t flags;
        uint64_t width;
    } cases[] = {{256, 0x200, 1}, {257, 0x201, 2}, {65536, 0x201, 2}, {65537, 0x202, 4}};
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        struct ox_block block;
        struct ox_buf got = {0};
        cr_assert_eq(ox__block_init(&block, OX_TABLE_POINTS), OX_OK);
        block.n_cols = 1; /* tenant_id */
        struct ox_col *col = &block.cols[P_TENANT];
        fill_dict(col, cases[i].words);
        for (uint32_t row = 0; row < 3; row++)
            OX__PUSH(uint32_t, &col->data, cases[i].words - 1 - row);
        block.rows = 3;
        ox__block_write(&block, 0, to_buf, &got);
        const uint8_t *lc = got.data + 2 + 1 + strlen("tenant_id") + 1 + strlen("LowCardinality(String)") + 8;
        uint64_t flags, keys, last = 0;
        memcpy(&flags, lc, 8);
        memcpy(&keys, lc + 8, 8);
        cr_assert_eq(flags, cases[i].flags);
        cr_assert_eq(keys, cases[i].words);
        memcpy(&last, got.data + got.len - cases[i].width, cases[i].width);
        cr_assert_eq(last, cases[i].words - 3);
        size_t n;
        ox__table_defs(OX_TABLE_POINTS, &n);
        block.n_cols = n;
        ox__block_fini(&block);
        ox_buf_fini(&got);
    }
}

Test(native, a_reset_block_starts_over)
{
    struct ox_block block;
    struct ox_buf first = {0}, second = {0};
    cr_assert_eq(ox__block_init(&block, OX_TABLE_POINTS), OX_OK);
    ox__block_write(&block, 1, to_buf, &first);
    fill_dict(&block.cols[P_METRIC], 1000);
    ox__block_reset(&block);
    ox__block_write(&block, 1, to_buf, &second);
    cr_assert(ox_str_eq(ox_buf_str(&first), ox_buf_str(&second)));
    cr_assert_eq(ox__dict_find(&block.cols[P_METRIC].dict, OX_STR("word-999")), 1);
    ox__block_fini(&block);
    ox_buf_fini(&first);
    ox_buf_fini(&second);
}

Test(native, column_lists_name_every_column_once)
{
    for (int t = 0; t < OX_TABLE__COUNT; t++) {
        size_t n, backticks = 0;
        const struct ox_col_def *defs = ox__table_defs((enum ox_table)t, &n);
        const char *names = ox_table_columns((enum ox_table)t),
                   *structure = ox_table_structure((enum ox_table)t);
        for (const char *p = names; *p != '\0'; p++)
            backticks += *p == '`';
        cr_assert_eq(backticks, 2 * n);
        for (size_t i = 0; i < n; i++) {
            char quoted[64], typed[160];
            snprintf(quoted, sizeof(quoted), "`%s`", defs[i].name);
            snprintf(typed, sizeof(typed), "`%s` %s", defs[i].name, defs[i].type);
            cr_assert_not_null(strstr(names, quoted));
            cr_assert_not_null(strstr(structure, typed));
        }
    }
}
