/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    any part of any block that the encoder writes is a block of just those rows; rows come out as JSON; damaged
 *          bytes are an error and nothing else.
 * Method:  random batches of each signal; parts read back by a reader written apart from both, cell by cell.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/writer/native_view.h"
#include "ox/encode.h"
#include "ox/random.h"
#include "tests/harness/native_reader.h"
#include "tests/harness/random_batch.h"

#define HOUR_NS 3600000000000ull
#define FROM_NS (498660 * HOUR_NS)

static struct ox_random rnd;

/* The blocks of the batch's first partition. */
static void
encode(enum ox_signal signal, uint64_t seed, uint32_t rows, struct ox_encoded *out)
{
    struct random_batch options = {.seed = seed,
                                   .rows = rows,
                                   .from_ns = FROM_NS,
                                   .span_ns = HOUR_NS,
                                   .plain = true,
                                   .words_max = seed % 3 == 0 ? 4000 : 30};
    struct ox_batch *batch = random_batch_new(signal, &options);
    struct ox_series_cache *cache = ox_series_cache_new(1024);
    uint32_t part, next;
    cr_assert_geq(ox_encode_partitions(batch, &part, 1), 1);
    struct ox_builder *b = ox_builder_new(signal, part, signal == OX_SIGNAL_METRICS ? cache : NULL);
    cr_assert_eq(ox_builder_add(b, batch, &(struct ox_rows){.count = ox_encode_rows(batch)}, &next), OX_OK);
    cr_assert_eq(ox_builder_finish(b, 77, out), OX_OK);
    ox_builder_free(b);
    ox_series_cache_free(cache);
    ox_batch_free(batch);
}

static void
check_part(const struct ox__native_view *view, const struct native_block *whole, uint32_t from, uint32_t to)
{
    struct ox_buf part = {0};
    ox__native_view_slice(view, from, to, &part);
    struct native_block *got = native_read(part.data, part.len);
    cr_assert_eq(got->n_rows, to - from);
    cr_assert_eq(got->n_columns, whole->n_columns);
    for (size_t c = 0; c < whole->n_columns; c++) {
        cr_assert_str_eq(got->columns[c].name, whole->columns[c].name);
        cr_assert_str_eq(got->columns[c].type, whole->columns[c].type);
        for (uint32_t row = from; row < to; row++)
            cr_assert_str_eq(got->columns[c].cells[row - from], whole->columns[c].cells[row],
                             "%s, row %u of %u-%u", whole->columns[c].name, row, from, to);
    }
    native_free(got);
    ox_buf_fini(&part);
}

static void
check_json(const struct ox__native_view *view, uint32_t row, const struct native_block *whole)
{
    struct ox_buf text = {0};
    json_error_t error;
    ox__native_view_json(view, row, &text);
    json_t *o = json_loadb((char *)text.data, text.len, 0, &error);
    cr_assert_not_null(o, "%s: %.*s", error.text, (int)text.len, (char *)text.data);
    cr_assert_eq(json_object_size(o), whole->n_columns);
    struct ox_str tenant;
    cr_assert(ox__native_view_text(view, "tenant_id", row, &tenant));
    const char *shown = json_string_value(json_object_get(o, "tenant_id"));
    cr_assert(ox_str_eq(tenant, ox_str_of(shown)));
    cr_assert_str_eq(json_string_value(json_object_get(o, "block_id")), native_cell(whole, "block_id", row));
    json_decref(o);
    ox_buf_fini(&text);
}

static void
check_block(const struct ox_encoded_block *eb)
{
    struct ox__native_view *view;
    struct ox_diag diag;
    ox_err err = ox__native_view_new(ox_buf_str(&eb->native), &view, &diag);
    cr_assert_eq(err, OX_OK, "%s", diag.text);
    cr_assert_eq(ox__native_view_rows(view), eb->rows);
    struct native_block *whole = native_read(eb->native.data, eb->native.len);
    check_part(view, whole, 0, eb->rows);
    check_part(view, whole, 0, 1);
    check_part(view, whole, eb->rows - 1, eb->rows);
    for (int i = 0; i < 6; i++) {
        uint32_t from = (uint32_t)ox_random_below(&rnd, eb->rows);
        check_part(view, whole, from, from + 1 + (uint32_t)ox_random_below(&rnd, eb->rows - from));
        check_json(view, from, whole);
    }
    native_free(whole);
    ox__native_view_free(view);
}

Test(native_view, parts_of_random_blocks)
{
    uint64_t seed = 0;
    cr_assert_eq(ox_random_os(&seed, sizeof(seed)), OX_OK);
    printf("seed %llu\n", (unsigned long long)seed);
    ox_random_seed(&rnd, seed);
    for (int i = 0; i < 24; i++) {
        struct ox_encoded out = {0};
        encode((enum ox_signal)(i % OX_SIGNAL__COUNT), ox_random_u64(&rnd) >> 1,
               1 + (uint32_t)ox_random_below(&rnd, i % 6 == 0 ? 700 : 60), &out);
        for (size_t b = 0; b < out.n_blocks; b++)
            check_block(&out.blocks[b]);
        ox_encoded_fini(&out);
    }
}

Test(native_view, the_same_part_is_the_same_bytes)
{
    struct ox_encoded out = {0};
    struct ox__native_view *view;
    struct ox_buf a = {0}, b = {0};
    encode(OX_SIGNAL_LOGS, 5, 40, &out);
    cr_assert_eq(ox__native_view_new(ox_buf_str(&out.blocks[0].native), &view, NULL), OX_OK);
    ox__native_view_slice(view, 3, 20, &a);
    ox__native_view_slice(view, 3, 20, &b);
    cr_assert(ox_str_eq(ox_buf_str(&a), ox_buf_str(&b)));
    /* A part of a part is the part of the whole. */
    struct ox__native_view *inner;
    cr_assert_eq(ox__native_view_new(ox_buf_str(&a), &inner, NULL), OX_OK);
    struct native_block *whole = native_read(a.data, a.len);
    check_part(inner, whole, 2, 9);
    native_free(whole);
    ox__native_view_free(inner);
    ox__native_view_free(view);
    ox_buf_fini(&a);
    ox_buf_fini(&b);
    ox_encoded_fini(&out);
}

Test(native_view, cut_and_changed_bytes_are_errors_or_other_values)
{
    struct ox_encoded out = {0};
    struct ox__native_view *view;
    ox_random_seed(&rnd, 11);
    for (int s = 0; s < OX_SIGNAL__COUNT; s++) {
        encode((enum ox_signal)s, 9, 4, &out);
        for (size_t b = 0; b < out.n_blocks; b++) {
            struct ox_buf *native = &out.blocks[b].native;
            for (size_t n = 0; n < native->len; n++) {
                char *copy =
                    malloc(n != 0 ? n : 1); /* its own allocation, so that a sanitizer sees a step beyond */
                memcpy(copy, native->data, n);
                cr_assert_neq(ox__native_view_new((struct ox_str){copy, n}, &view, NULL), OX_OK, "cut at %zu",
                              n);
                free(copy);
            }
            for (int i = 0; i < 3000; i++) {
                size_t at = ox_random_below(&rnd, native->len);
                uint8_t was = native->data[at];
                native->data[at] ^= (uint8_t)(1u << ox_random_below(&rnd, 8));
                if (ox__native_view_new(ox_buf_str(native), &view, NULL) == OX_OK) {
                    struct ox_buf text = {0};
                    ox__native_view_json(view, ox__native_view_rows(view) - 1, &text);
                    ox__native_view_slice(view, 0, 1, &text);
                    ox_buf_fini(&text);
                    ox__native_view_free(view);
                }
                native->data[at] = was;
            }
        }
    }
    ox_encoded_fini(&out);
}

/* One column, one row of each type, as a person would write the block. */
Test(native_view, values_look_as_documented)
{
    static const uint8_t block[] = "\x0a\x01"
                                   "\x01"
                                   "a"
                                   "\x04"
                                   "Int8"
                                   "\xfe"
                                   "\x01"
                                   "b"
                                   "\x07"
                                   "Float64"
                                   "\0\0\0\0\0\0\xf8\x7f"
                                   "\x01"
                                   "c"
                                   "\x04"
                                   "Date"
                                   "\x01\0"
                                   "\x01"
                                   "d"
                                   "\x14"
                                   "DateTime64(9, 'UTC')"
                                   "\x01\0\0\0\0\0\0\0"
                                   "\x01"
                                   "e"
                                   "\x0e"
                                   "FixedString(1)"
                                   "s"
                                   "\x01"
                                   "f"
                                   "\x0e"
                                   "FixedString(2)"
                                   "s\0"
                                   "\x01"
                                   "g"
                                   "\x04"
                                   "Bool"
                                   "\x01"
                                   "\x01"
                                   "h"
                                   "\x05"
                                   "Int64"
                                   "\xff\xff\xff\xff\xff\xff\xff\xff"
                                   "\x01"
                                   "i"
                                   "\x0d"
                                   "Array(String)"
                                   "\x02\0\0\0\0\0\0\0\x01"
                                   "x"
                                   "\x01"
                                   "\xff"
                                   "\x01"
                                   "j"
                                   "\x0f"
                                   "DateTime('UTC')"
                                   "\x3c\0\0\0";
    struct ox__native_view *view;
    struct ox_diag diag;
    struct ox_buf text = {0};
    ox_err err = ox__native_view_new((struct ox_str){(const char *)block, sizeof(block) - 1}, &view, &diag);
    cr_assert_eq(err, OX_OK, "%s", diag.text);
    ox__native_view_json(view, 0, &text);
    ox_buf_append(&text, "", 1);
    cr_assert_str_eq(
        (char *)text.data,
        "{\"a\":-2,\"b\":\"NaN\",\"c\":\"1970-01-02\",\"d\":\"1970-01-01T00:00:00.000000001Z\",\"e\":\"s\","
        "\"f\":\"7300\",\"g\":true,\"h\":\"-1\",\"i\":[\"x\",\"\xef\xbf\xbd\"],"
        "\"j\":\"1970-01-01T00:01:00Z\"}");
    ox__native_view_free(view);
    ox_buf_fini(&text);
}

Test(native_view, a_type_of_no_table_is_named)
{
    static const uint8_t block[] = "\x01\x01\x01"
                                   "a"
                                   "\x04"
                                   "UUID"
                                   "0123456789abcdef";
    struct ox__native_view *view;
    struct ox_diag diag;
    cr_assert_eq(ox__native_view_new((struct ox_str){(const char *)block, sizeof(block) - 1}, &view, &diag),
                 OX_E_UNIMPLEMENTED);
    cr_assert_not_null(strstr(diag.text, "UUID"));
}
