/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    what was compressed comes back; bombs, damage and garbage are refused with the right error.
 * Method:  round trips per coding, every truncation of a stream, every byte flipped, limits at the exact
 *          size.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <zlib.h>

#include "ox/compress.h"

static const enum ox_encoding codings[] = {OX_ENCODING_IDENTITY, OX_ENCODING_GZIP, OX_ENCODING_DEFLATE,
                                           OX_ENCODING_ZSTD};

static uint8_t *
text_of(size_t n)
{
    uint8_t *p = malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)("service.name"[i % 12] + (i * 2654435761u >> 29));
    return p;
}

static void
round_trip(enum ox_encoding encoding, size_t n)
{
    struct ox_account acc = {0};
    struct ox_body *body = NULL;
    struct ox_diag diag;
    struct ox_buf packed;
    uint8_t *text = text_of(n);
    ox_buf_init(&packed);
    ox_buf_append(&packed, "keep", 4);
    cr_assert_eq(ox_compress(encoding, text, n, &packed), OX_OK);
    cr_assert_eq(memcmp(packed.data, "keep", 4), 0);
    cr_assert_eq(ox_decompress(encoding, packed.data + 4, packed.len - 4, n, &acc, &body, &diag), OX_OK,
                 "%s %zu: %s", ox_encoding_name(encoding), n, diag.text);
    cr_assert_eq(body->len, n);
    cr_assert_eq(memcmp(body->data, text, n), 0);
    cr_assert_eq(acc.used_bytes, body->cap);
    cr_assert_leq(body->cap, n + n / 8 + 4096);
    ox_body_drop(body);
    cr_assert_eq(acc.used_bytes, 0);
    if (n > 0) {
        cr_assert_eq(ox_decompress(encoding, packed.data + 4, packed.len - 4, n - 1, &acc, &body, &diag),
                     OX_E_TOO_LARGE);
        cr_assert_null(body);
        cr_assert_eq(acc.used_bytes, 0);
    }
    ox_buf_fini(&packed);
    free(text);
}

Test(compress, round_trips)
{
    static const size_t sizes[] = {0, 1, 2, 1000, 4095, 4096, 4097, 100000, 3000000};
    for (size_t c = 0; c < OX_COUNT(codings); c++) {
        for (size_t i = 0; i < OX_COUNT(sizes); i++)
            round_trip(codings[c], sizes[i]);
    }
}

Test(compress, refuses_bombs_before_they_unfold)
{
    size_t n = 200u << 20;
    uint8_t *zeros = calloc(1, n);
    for (size_t c = 1; c < OX_COUNT(codings); c++) {
        struct ox_account acc = {.limit_bytes = 12u << 20};
        struct ox_body *body = NULL;
        struct ox_diag diag;
        struct ox_buf packed;
        ox_buf_init(&packed);
        cr_assert_eq(ox_compress(codings[c], zeros, n, &packed), OX_OK);
        cr_assert_eq(ox_decompress(codings[c], packed.data, packed.len, 10u << 20, &acc, &body, &diag),
                     OX_E_TOO_LARGE);
        acc.limit_bytes = 1u << 20;
        ox_err err = ox_decompress(codings[c], packed.data, packed.len, 1u << 30, &acc, &body, &diag);
        cr_assert_eq(err, OX_E_NOMEM, "%s", ox_err_text(err));
        cr_assert_eq(acc.used_bytes, 0);
        ox_buf_fini(&packed);
    }
    free(zeros);
}

Test(compress, refuses_every_truncation_and_garbage_behind)
{
    uint8_t *text = text_of(700);
    for (size_t c = 1; c < OX_COUNT(codings); c++) {
        struct ox_body *body = NULL;
        struct ox_diag diag;
        struct ox_buf packed;
        ox_buf_init(&packed);
        cr_assert_eq(ox_compress(codings[c], text, 700, &packed), OX_OK);
        for (size_t n = 0; n < packed.len; n++) {
            ox_err err = ox_decompress(codings[c], packed.data, n, 10000, NULL, &body, &diag);
            cr_assert_eq(err, OX_E_DECODE, "%s cut at %zu gives %s", ox_encoding_name(codings[c]), n,
                         ox_err_text(err));
        }
        ox_buf_append(&packed, "xyzzy", 5);
        for (size_t n = packed.len - 4; n <= packed.len; n++)
            cr_assert_eq(ox_decompress(codings[c], packed.data, n, 10000, NULL, &body, &diag), OX_E_DECODE);
        ox_buf_fini(&packed);
    }
    free(text);
}

Test(compress, survives_damage_and_works_on_afterwards)
{
    uint8_t *text = text_of(3000);
    for (size_t c = 1; c < OX_COUNT(codings); c++) {
        struct ox_buf packed;
        ox_buf_init(&packed);
        cr_assert_eq(ox_compress(codings[c], text, 3000, &packed), OX_OK);
        for (size_t i = 0; i < packed.len; i++) {
            struct ox_body *body = NULL;
            packed.data[i] ^= 0x5a;
            ox_err err = ox_decompress(codings[c], packed.data, packed.len, 10000, NULL, &body, NULL);
            cr_assert(err == OX_OK || err == OX_E_DECODE || err == OX_E_TOO_LARGE, "%s", ox_err_text(err));
            ox_body_drop(body);
            packed.data[i] ^= 0x5a;
        }
        ox_buf_fini(&packed);
        round_trip(codings[c], 5000);
    }
    free(text);
}

Test(compress, takes_members_in_a_row_and_raw_deflate)
{
    struct ox_buf packed;
    struct ox_body *body = NULL;
    struct ox_diag diag;
    static const enum ox_encoding both[] = {OX_ENCODING_GZIP, OX_ENCODING_ZSTD};
    for (size_t c = 0; c < 2; c++) {
        ox_buf_init(&packed);
        cr_assert_eq(ox_compress(both[c], "one ", 4, &packed), OX_OK);
        cr_assert_eq(ox_compress(both[c], "two", 3, &packed), OX_OK);
        cr_assert_eq(ox_decompress(both[c], packed.data, packed.len, 7, NULL, &body, &diag), OX_OK, "%s",
                     diag.text);
        cr_assert(ox_str_eq((struct ox_str){(char *)body->data, body->len}, OX_STR("one two")));
        ox_body_drop(body);
        cr_assert_eq(ox_decompress(both[c], packed.data, packed.len, 6, NULL, &body, &diag), OX_E_TOO_LARGE);
        ox_buf_fini(&packed);
    }
    uint8_t raw[100];
    z_stream z = {0};
    cr_assert_eq(deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t) "raw raw raw";
    z.avail_in = 11;
    z.next_out = raw;
    z.avail_out = sizeof(raw);
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    cr_assert_eq(ox_decompress(OX_ENCODING_DEFLATE, raw, z.total_out, 100, NULL, &body, &diag), OX_OK);
    cr_assert_eq(body->len, 11);
    ox_body_drop(body);
    deflateEnd(&z);
}

static void *
thread_main(void *arg)
{
    for (int i = 0; i < 20; i++) {
        for (size_t c = 0; c < OX_COUNT(codings); c++)
            round_trip(codings[c], 10000);
    }
    return NULL;
}

Test(compress, threads_have_contexts_of_their_own)
{
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&t[i], NULL, thread_main, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
}

Test(compress, reads_names)
{
    enum ox_encoding e;
    struct ox_diag diag;
    cr_assert(ox_encoding_parse(OX_STR(""), &e, &diag) == OX_OK && e == OX_ENCODING_IDENTITY);
    cr_assert(ox_encoding_parse(OX_STR(" GZIP "), &e, &diag) == OX_OK && e == OX_ENCODING_GZIP);
    cr_assert(ox_encoding_parse(OX_STR("x-gzip"), &e, &diag) == OX_OK && e == OX_ENCODING_GZIP);
    cr_assert(ox_encoding_parse(OX_STR("zstd"), &e, &diag) == OX_OK && e == OX_ENCODING_ZSTD);
    cr_assert(ox_encoding_parse(OX_STR("deflate"), &e, &diag) == OX_OK && e == OX_ENCODING_DEFLATE);
    cr_assert_eq(ox_encoding_parse(OX_STR("br"), &e, &diag), OX_E_MEDIA_TYPE);
    cr_assert_eq(ox_encoding_parse(OX_STR("gzip, gzip"), &e, &diag), OX_E_MEDIA_TYPE);
    cr_assert_neq(strstr(diag.text, "list"), NULL);
}

Test(compress, reads_accept_encoding)
{
    cr_assert(ox_encoding_accepted(OX_STR("gzip"), OX_ENCODING_GZIP));
    cr_assert(ox_encoding_accepted(OX_STR("br, GZIP;q=0.5"), OX_ENCODING_GZIP));
    cr_assert_not(ox_encoding_accepted(OX_STR("gzip;q=0"), OX_ENCODING_GZIP));
    cr_assert_not(ox_encoding_accepted(OX_STR("gzip; q=0.000, *"), OX_ENCODING_GZIP));
    cr_assert(ox_encoding_accepted(OX_STR("*"), OX_ENCODING_ZSTD));
    cr_assert_not(ox_encoding_accepted(OX_STR("*;q=0"), OX_ENCODING_ZSTD));
    cr_assert_not(ox_encoding_accepted(OX_STR(""), OX_ENCODING_GZIP));
    cr_assert(ox_encoding_accepted(OX_STR(""), OX_ENCODING_IDENTITY));
    cr_assert_not(ox_encoding_accepted(OX_STR("identity;q=0"), OX_ENCODING_IDENTITY));
}
