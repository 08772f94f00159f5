/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    what is encoded is decoded again, and bytes that are not an entry are refused with a sentence.
 * Method:  random entries there and back; every prefix, every flipped byte of one; each field out of its
 *          bounds.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "ox/wal_entry.h"

static void
fill(struct ox_wal_entry *e, unsigned *rng, const char *body, size_t n)
{
    memset(e, 0, sizeof(*e));
    strcpy(e->tenant.name, "team-a");
    e->signal = (enum ox_signal)(rand_r(rng) % OX_SIGNAL__COUNT);
    e->encoding = OX_WAL_OTLP_PROTOBUF;
    e->received_ns = UINT64_C(1700000000000000000) + (uint64_t)rand_r(rng);
    e->policy_version = (uint32_t)rand_r(rng);
    e->n_records = (uint32_t)rand_r(rng) % 3000;
    e->body = (struct ox_str){body, n};
    e->request_hash = ox_wal_hash_of(e->body);
    e->origin = (enum ox_wal_origin)(rand_r(rng) % OX_WAL_ORIGIN__COUNT);
    e->origin_seq = e->origin != OX_WAL_ORIGIN_NONE ? 1 + (uint64_t)rand_r(rng) : 0;
    for (int i = rand_r(rng) % 4 ? 0 : rand_r(rng) % 200; i > 0 && e->n_records > 0; i--) {
        uint32_t from = (uint32_t)rand_r(rng) % e->n_records, to = from + 1 + (uint32_t)rand_r(rng) % 3;
        cr_assert_eq(ox_ranges_add(&e->rejected, from, to < e->n_records ? to : e->n_records, NULL), OX_OK);
    }
}

static void
encode(const struct ox_wal_entry *e, struct ox_buf *buf)
{
    ox_buf_reset(buf);
    cr_assert_eq(ox_wal_entry_encode(e, buf), OX_OK);
    ox_buf_append_str(buf, e->body);
}

Test(wal_entry, survives_the_way_there_and_back)
{
    struct ox_buf buf;
    ox_buf_init(&buf);
    size_t bitmaps = 0;
    for (unsigned seed = 1; seed <= 500; seed++) {
        unsigned rng = seed;
        struct ox_wal_entry e, got;
        fill(&e, &rng, "the bytes of a request", (size_t)rand_r(&rng) % 23);
        encode(&e, &buf);
        bitmaps += buf.data[4] == 2;
        cr_assert_eq(ox_wal_entry_decode(ox_buf_str(&buf), &got, NULL), OX_OK);
        cr_assert_str_eq(got.tenant.name, e.tenant.name);
        cr_assert(got.signal == e.signal && got.encoding == e.encoding && got.received_ns == e.received_ns);
        cr_assert(got.request_hash.lo == e.request_hash.lo && got.request_hash.hi == e.request_hash.hi);
        cr_assert(got.policy_version == e.policy_version && got.n_records == e.n_records);
        cr_assert(got.origin == e.origin && got.origin_seq == e.origin_seq);
        cr_assert_eq(buf.data[0], e.origin != OX_WAL_ORIGIN_NONE ? 2 : 1, "only an origin needs version 2");
        cr_assert(ox_str_eq(got.body, e.body));
        cr_assert_eq(got.rejected.n, e.rejected.n);
        cr_assert_eq(memcmp(ox_ranges_at(&got.rejected), ox_ranges_at(&e.rejected), e.rejected.n * 8), 0);
        ox_wal_entry_fini(&got);
        ox_wal_entry_fini(&e);
    }
    cr_assert_gt(bitmaps, 10, "both forms of rejected ordinals are tried");
    ox_buf_fini(&buf);
}

static void
fill_fixed(struct ox_wal_entry *e, bool origin)
{
    unsigned rng = 3;
    fill(e, &rng, "body", 4);
    ox_ranges_fini(&e->rejected);
    e->n_records = 100;
    e->origin = origin ? OX_WAL_ORIGIN_BACKLOG : OX_WAL_ORIGIN_NONE;
    e->origin_seq = origin ? 77 : 0;
    cr_assert_eq(ox_ranges_add(&e->rejected, 3, 5, NULL), OX_OK);
}

static void
refuse_every_prefix(bool origin)
{
    struct ox_wal_entry e, got;
    struct ox_buf buf;
    struct ox_diag diag;
    ox_buf_init(&buf);
    fill_fixed(&e, origin);
    encode(&e, &buf);
    for (size_t n = 0; n < buf.len; n++) {
        uint8_t *exact = malloc(n + 1); /* so that a sanitizer sees a read behind the end */
        memcpy(exact, buf.data, n);
        uint8_t *tight = realloc(exact, n != 0 ? n : 1);
        ox_diag_clear(&diag);
        cr_assert_eq(ox_wal_entry_decode((struct ox_str){(char *)tight, n}, &got, &diag), OX_E_TRUNCATED,
                     "%zu", n);
        cr_assert_neq(diag.text[0], '\0');
        free(tight);
    }
    ox_buf_append(&buf, "x", 1);
    cr_assert_eq(ox_wal_entry_decode(ox_buf_str(&buf), &got, &diag), OX_E_DECODE, "and one byte too many");
    ox_buf_fini(&buf);
    ox_wal_entry_fini(&e);
}

Test(wal_entry, every_prefix_is_refused)
{
    refuse_every_prefix(false);
    refuse_every_prefix(true);
}

static ox_err
decode_either(bool origin, size_t at, uint8_t value)
{
    struct ox_wal_entry e, got;
    struct ox_buf buf;
    ox_buf_init(&buf);
    fill_fixed(&e, origin);
    encode(&e, &buf);
    buf.data[at] = value;
    ox_err err = ox_wal_entry_decode(ox_buf_str(&buf), &got, NULL);
    if (err == OX_OK)
        ox_wal_entry_fini(&got);
    ox_buf_fini(&buf);
    ox_wal_entry_fini(&e);
    return err;
}

static ox_err
decode_with(size_t at, uint8_t value)
{
    return decode_either(false, at, value);
}

Test(wal_entry, fields_out_of_bounds_are_refused)
{
    cr_assert_eq(decode_with(0, 1), OX_OK);
    cr_assert_eq(decode_with(0, 3), OX_E_UNIMPLEMENTED);
    cr_assert_eq(decode_with(2, 3), OX_E_DECODE, "signal");
    cr_assert_eq(decode_with(3, 9), OX_E_DECODE, "encoding");
    cr_assert_eq(decode_with(4, 3), OX_E_DECODE, "form of rejected");
    cr_assert_eq(decode_with(4, 0), OX_E_DECODE, "no rejected, but bytes of them");
    cr_assert_eq(decode_with(34, 4), OX_E_DECODE, "a range beyond the records");
    cr_assert_eq(decode_with(37, 0xff), OX_E_DECODE, "records");
    cr_assert_eq(decode_with(46, '/'), OX_E_DECODE, "tenant");
    cr_assert_eq(decode_with(46 + 6, 5), OX_E_DECODE, "an empty range");
    cr_assert_eq(decode_either(true, 46, 2), OX_OK, "the other origin");
    cr_assert_eq(decode_either(true, 46, 0), OX_E_DECODE, "an origin that is none");
    cr_assert_eq(decode_either(true, 46, 3), OX_E_DECODE, "an origin that is not known");
    cr_assert_eq(decode_either(true, 47, 0), OX_E_DECODE, "sequence 0");
    cr_assert_eq(decode_either(true, 55, '/'), OX_E_DECODE, "tenant");
}

Test(wal_entry, what_cannot_be_an_entry_is_not_encoded)
{
    struct ox_wal_entry e;
    struct ox_buf buf;
    ox_buf_init(&buf);
    fill_fixed(&e, false);
    e.n_records = 4;
    cr_assert_eq(ox_wal_entry_encode(&e, &buf), OX_E_INVALID, "rejects a record that is not there");
    e.n_records = 100;
    e.origin_seq = 1;
    cr_assert_eq(ox_wal_entry_encode(&e, &buf), OX_E_INVALID, "a sequence of no origin");
    e.origin_seq = 0;
    e.tenant.name[0] = '\0';
    cr_assert_eq(ox_wal_entry_encode(&e, &buf), OX_E_INVALID);
    cr_assert_eq(buf.len, 0);
    ox_buf_fini(&buf);
    ox_wal_entry_fini(&e);
}

Test(wal_entry, hashes_tell_requests_apart)
{
    struct ox_wal_hash a = ox_wal_hash_of(OX_STR("abc")), b = ox_wal_hash_of(OX_STR("abd"));
    struct ox_wal_hash again = ox_wal_hash_of(OX_STR("abc"));
    cr_assert(a.lo == again.lo && a.hi == again.hi);
    cr_assert(a.lo != b.lo && a.hi != b.hi);
}
