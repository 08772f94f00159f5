/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    what is put into an outbox entry comes out again; anything else is refused, above all what is not
 *          known.
 * Method:  random entries there and back without copying blocks; every prefix; sections that do not belong.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "ox/outbox_entry.h"

static void
flatten(struct ox_outbox_builder *b, struct ox_buf *out)
{
    const struct iovec *iov;
    uint64_t bytes;
    int n;
    ox_buf_reset(out);
    cr_assert_eq(ox_outbox_builder_finish(b, &iov, &n, &bytes), OX_OK);
    for (int i = 0; i < n; i++)
        ox_buf_append(out, iov[i].iov_base, iov[i].iov_len);
    cr_assert_eq(out->len, bytes);
}

Test(outbox_entry, survives_the_way_there_and_back)
{
    static char data[5000];
    struct ox_outbox_builder b;
    struct ox_buf buf;
    ox_buf_init(&buf);
    ox_outbox_builder_init(&b, OX_OUTBOX_BLOCKS);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 7);
    for (unsigned seed = 1; seed <= 200; seed++) {
        unsigned rng = seed;
        struct ox_outbox_entry e;
        struct ox_outbox_block k[5];
        uint32_t n = 1 + (uint32_t)rand_r(&rng) % 5, m = (uint32_t)rand_r(&rng) % 100;
        ox_outbox_builder_reset(&b, OX_OUTBOX_BLOCKS);
        for (uint32_t i = 0; i < n; i++) {
            size_t len = 1 + (size_t)rand_r(&rng) % 4000;
            k[i] = (struct ox_outbox_block){.table = (uint16_t)rand_r(&rng),
                                            .compression = (uint8_t)(rand_r(&rng) % 2),
                                            .partition = (uint64_t)rand_r(&rng) << 20,
                                            .block_id = (uint64_t)rand_r(&rng) << 33 | i,
                                            .rows = 1 + (uint32_t)rand_r(&rng) % 100000,
                                            .token = {"token-of-a-block", 1 + (size_t)rand_r(&rng) % 16},
                                            .bytes = {data + rand_r(&rng) % 1000, len}};
            k[i].raw_len = k[i].compression ? (uint64_t)rand_r(&rng) : len;
            cr_assert_eq(ox_outbox_add_block(&b, &k[i]), OX_OK);
        }
        for (uint32_t i = 0; i < m; i++)
            cr_assert_eq(ox_outbox_add_disposition(&b, 5000 + i, i, i + 2, 1 + i % (OX_DISPOSED__COUNT - 1)),
                         OX_OK);
        flatten(&b, &buf);
        cr_assert_eq(ox_outbox_entry_decode(ox_buf_str(&buf), &e, NULL), OX_OK);
        cr_assert(e.kind == OX_OUTBOX_BLOCKS && e.n_blocks == n && e.n_dispositions == m && e.n_stored == 0);
        for (uint32_t i = 0; i < n; i++) {
            const struct ox_outbox_block *g = &e.blocks[i];
            cr_assert(g->table == k[i].table && g->compression == k[i].compression && g->rows == k[i].rows);
            cr_assert(g->partition == k[i].partition && g->block_id == k[i].block_id &&
                      g->raw_len == k[i].raw_len);
            cr_assert(ox_str_eq(g->token, k[i].token) && ox_str_eq(g->bytes, k[i].bytes));
        }
        for (uint32_t i = 0; i < m; i++) {
            const struct ox_outbox_disposition *d = &e.dispositions[i];
            cr_assert(d->wal_seq == 5000 + i && d->from == i && d->to == i + 2);
            cr_assert_eq(d->how, 1 + i % (OX_DISPOSED__COUNT - 1));
        }
        ox_outbox_entry_fini(&e);
    }
    ox_outbox_builder_fini(&b);
    ox_buf_fini(&buf);
}

Test(outbox_entry, block_bytes_are_not_copied)
{
    static const char native[] = "native block";
    struct ox_outbox_block k = {
        .rows = 1, .raw_len = 12, .token = OX_STR("t"), .bytes = {native, 12}, .block_id = 7};
    struct ox_outbox_builder b;
    const struct iovec *iov;
    int n, seen = 0;
    ox_outbox_builder_init(&b, OX_OUTBOX_BLOCKS);
    cr_assert_eq(ox_outbox_add_block(&b, &k), OX_OK);
    cr_assert_eq(ox_outbox_builder_finish(&b, &iov, &n, NULL), OX_OK);
    for (int i = 0; i < n; i++)
        seen += iov[i].iov_base == native && iov[i].iov_len == 12;
    cr_assert_eq(seen, 1);
    ox_outbox_builder_fini(&b);
}

Test(outbox_entry, neighbouring_dispositions_are_merged)
{
    struct ox_outbox_builder b;
    struct ox_outbox_entry e;
    struct ox_buf buf;
    ox_buf_init(&buf);
    ox_outbox_builder_init(&b, OX_OUTBOX_BLOCKS);
    for (uint32_t i = 0; i < 1000; i++)
        cr_assert_eq(ox_outbox_add_disposition(&b, 9, i, i + 1, OX_DISPOSED_STORED), OX_OK);
    cr_assert_eq(ox_outbox_add_disposition(&b, 9, 1000, 1001, OX_DISPOSED_DEAD_LETTERED), OX_OK);
    cr_assert_eq(ox_outbox_add_disposition(&b, 10, 1001, 1002, OX_DISPOSED_DEAD_LETTERED), OX_OK);
    flatten(&b, &buf);
    cr_assert_eq(ox_outbox_entry_decode(ox_buf_str(&buf), &e, NULL), OX_OK);
    cr_assert_eq(e.n_dispositions, 3);
    cr_assert(e.dispositions[0].from == 0 && e.dispositions[0].to == 1000);
    ox_outbox_entry_fini(&e);
    ox_outbox_builder_fini(&b);
    ox_buf_fini(&buf);
}

static void
stored_entry(struct ox_buf *buf)
{
    struct ox_outbox_builder b;
    ox_outbox_builder_init(&b, OX_OUTBOX_STORED);
    for (uint64_t id = 1; id <= 3; id++)
        cr_assert_eq(ox_outbox_add_stored(&b, id << 40), OX_OK);
    flatten(&b, buf);
    ox_outbox_builder_fini(&b);
}

Test(outbox_entry, stored_ids_come_back)
{
    struct ox_outbox_entry e;
    struct ox_buf buf;
    ox_buf_init(&buf);
    stored_entry(&buf);
    cr_assert_eq(ox_outbox_entry_decode(ox_buf_str(&buf), &e, NULL), OX_OK);
    cr_assert(e.kind == OX_OUTBOX_STORED && e.n_stored == 3 && e.stored[2] == UINT64_C(3) << 40);
    ox_outbox_entry_fini(&e);
    ox_buf_fini(&buf);
}

Test(outbox_entry, decisions_come_back_with_their_tenants)
{
    static const char *const tenants[] = {"acme", "b", "acme"};
    struct ox_outbox_builder b;
    struct ox_outbox_entry e;
    struct ox_buf buf;
    ox_buf_init(&buf);
    ox_outbox_builder_init(&b, OX_OUTBOX_BLOCKS);
    for (int round = 0; round < 2; round++) {
        ox_outbox_builder_reset(&b, OX_OUTBOX_BLOCKS);
        cr_assert_eq(ox_outbox_add_disposition(&b, 7, 0, 3, OX_DISPOSED_SAMPLED_OUT), OX_OK);
        for (uint32_t i = 0; i < 300; i++) {
            struct ox_outbox_decision d = {
                .threshold = i * 1000003ull, .kept = i % 3 == 0, .winner = 2, .rule = 9};
            memset(d.trace_id, (int)i, sizeof(d.trace_id));
            cr_assert_eq(ox_outbox_add_decision(&b, ox_str_of(tenants[i / 100]), &d), OX_OK);
        }
        flatten(&b, &buf);
        cr_assert_eq(ox_outbox_entry_decode(ox_buf_str(&buf), &e, NULL), OX_OK);
        cr_assert(e.n_decisions == 300 && e.n_dispositions == 1);
        for (uint32_t i = 0; i < 300; i++) {
            const struct ox_outbox_decided *d = &e.decisions[i];
            cr_assert(ox_str_eq(d->tenant, ox_str_of(tenants[i / 100])));
            cr_assert(d->decision.threshold == i * 1000003ull && d->decision.kept == (i % 3 == 0) &&
                      d->decision.winner == 2 && d->decision.rule == 9);
            cr_assert(d->decision.trace_id[0] == (uint8_t)i && d->decision.trace_id[15] == (uint8_t)i);
        }
        ox_outbox_entry_fini(&e);
    }
    for (size_t n = 0; n < buf.len; n++)
        cr_assert_neq(ox_outbox_entry_decode((struct ox_str){(const char *)buf.data, n}, &e, NULL), OX_OK);
    ox_outbox_builder_fini(&b);
    ox_buf_fini(&buf);
}

Test(outbox_entry, what_is_decided_of_nobody_is_not_built)
{
    struct ox_outbox_builder b;
    struct ox_outbox_decision d = {.kept = 2};
    ox_outbox_builder_init(&b, OX_OUTBOX_BLOCKS);
    cr_assert_eq(ox_outbox_add_decision(&b, OX_STR("acme"), &d), OX_E_INVALID);
    d.kept = 1;
    cr_assert_eq(ox_outbox_add_decision(&b, OX_STR(""), &d), OX_E_INVALID);
    ox_outbox_builder_fini(&b);
}

Test(outbox_entry, every_prefix_is_refused)
{
    struct ox_outbox_block k = {
        .rows = 1, .raw_len = 12, .token = OX_STR("t"), .bytes = {"native block", 12}};
    struct ox_outbox_builder b;
    struct ox_outbox_entry e;
    struct ox_buf buf;
    ox_buf_init(&buf);
    ox_outbox_builder_init(&b, OX_OUTBOX_BLOCKS);
    cr_assert_eq(ox_outbox_add_block(&b, &k), OX_OK);
    cr_assert_eq(ox_outbox_add_disposition(&b, 9, 0, 1, OX_DISPOSED_STORED), OX_OK);
    flatten(&b, &buf);
    for (size_t n = 0; n < buf.len; n++) {
        char *exact = malloc(n != 0 ? n : 1);
        memcpy(exact, buf.data, n);
        ox_err err = ox_outbox_entry_decode((struct ox_str){exact, n}, &e, NULL);
        cr_assert(err == OX_E_TRUNCATED || err == OX_E_DECODE, "prefix of %zu", n);
        free(exact);
    }
    ox_outbox_builder_fini(&b);
    ox_buf_fini(&buf);
}

static ox_err
decode_with(size_t at, uint8_t value, struct ox_diag *diag)
{
    struct ox_outbox_entry e;
    struct ox_buf buf;
    ox_buf_init(&buf);
    stored_entry(&buf);
    buf.data[at] = value;
    ox_err err = ox_outbox_entry_decode(ox_buf_str(&buf), &e, diag);
    if (err == OX_OK)
        ox_outbox_entry_fini(&e);
    ox_buf_fini(&buf);
    return err;
}

Test(outbox_entry, what_is_not_known_is_an_error_that_names_it)
{
    struct ox_diag diag;
    cr_assert_eq(decode_with(0, 1, &diag), OX_OK);
    cr_assert_eq(decode_with(0, 2, &diag), OX_E_UNIMPLEMENTED);
    cr_assert_not_null(strstr(diag.text, "version 2"));
    cr_assert_eq(decode_with(2, 3, &diag), OX_E_UNIMPLEMENTED, "kind");
    cr_assert_eq(decode_with(8, 77, &diag), OX_E_UNIMPLEMENTED, "section");
    cr_assert_not_null(strstr(diag.text, "section 77"));
    cr_assert_eq(decode_with(10, 2, &diag), OX_E_UNIMPLEMENTED, "section version");
    cr_assert_eq(decode_with(2, 1, &diag), OX_E_DECODE, "stored blocks in an entry of blocks");
    cr_assert_eq(decode_with(20, 4, &diag), OX_E_DECODE, "count");
    cr_assert_eq(decode_with(4, 0, &diag), OX_E_DECODE, "no sections");
}

Test(outbox_entry, what_makes_no_sense_is_not_built)
{
    struct ox_outbox_builder b;
    const struct iovec *iov;
    int n;
    struct ox_outbox_block k = {.rows = 1, .raw_len = 3, .token = OX_STR("t"), .bytes = OX_STR("abc")};
    ox_outbox_builder_init(&b, OX_OUTBOX_BLOCKS);
    cr_assert_eq(ox_outbox_builder_finish(&b, &iov, &n, NULL), OX_E_INVALID, "nothing in it");
    k.raw_len = 4;
    cr_assert_eq(ox_outbox_add_block(&b, &k), OX_E_INVALID, "plain bytes of another length");
    k.raw_len = 3;
    k.rows = 0;
    cr_assert_eq(ox_outbox_add_block(&b, &k), OX_E_INVALID);
    cr_assert_eq(ox_outbox_add_disposition(&b, 1, 5, 5, OX_DISPOSED_STORED), OX_E_INVALID);
    cr_assert_eq(ox_outbox_add_disposition(&b, 1, 5, 6, OX_DISPOSED__COUNT), OX_E_INVALID);
    ox_outbox_builder_fini(&b);
    cr_assert_str_eq(ox_disposition_name(OX_DISPOSED_SAMPLED_OUT), "sampled_out");
}
