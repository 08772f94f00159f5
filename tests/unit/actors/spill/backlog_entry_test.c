/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    what is encoded is decoded again, and bytes that are no backlog entry are refused with a sentence.
 * Method:  moved entries with random ranges and notes there and back; every prefix; fields out of their bounds.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "ox/backlog.h"

static void
encode_moved(struct ox_buf *buf, unsigned seed, struct ox_ranges *owed)
{
    unsigned rng = seed;
    uint32_t at = 0;
    for (int i = 1 + rand_r(&rng) % 40; i > 0; i--) {
        uint32_t from = at + 1 + (uint32_t)rand_r(&rng) % 9, to = from + 1 + (uint32_t)rand_r(&rng) % 9;
        cr_assert_eq(ox_ranges_add(owed, from, to, NULL), OX_OK);
        at = to;
    }
    ox_buf_init(buf);
    cr_assert_eq(ox_backlog_encode_moved(1000 + seed, owed, buf), OX_OK);
    ox_buf_append_cstr(buf, "the bytes of a log entry");
}

Test(backlog_entry, moved_entries_survive_the_way_there_and_back)
{
    for (unsigned seed = 1; seed <= 200; seed++) {
        struct ox_ranges owed = {0};
        struct ox_backlog_entry got;
        struct ox_buf buf;
        encode_moved(&buf, seed, &owed);
        cr_assert_eq(ox_backlog_entry_decode(ox_buf_str(&buf), &got, NULL), OX_OK);
        cr_assert(got.kind == OX_BACKLOG_MOVED && got.wal_seq == 1000 + seed && got.owed.n == owed.n);
        cr_assert_eq(memcmp(ox_ranges_at(&got.owed), ox_ranges_at(&owed), 8 * (size_t)owed.n), 0);
        cr_assert(ox_str_eq(got.payload, OX_STR("the bytes of a log entry")));
        ox_backlog_entry_fini(&got);
        ox_ranges_fini(&owed);
        ox_buf_fini(&buf);
    }
}

Test(backlog_entry, notes_survive_the_way_there_and_back)
{
    const uint64_t consumed[OX_WAL_ORIGIN__COUNT] = {0, UINT64_MAX - 1, 77};
    struct ox_backlog_entry got;
    struct ox_buf buf;
    ox_buf_init(&buf);
    cr_assert_eq(ox_backlog_encode_note(consumed, &buf), OX_OK);
    cr_assert_eq(ox_backlog_entry_decode(ox_buf_str(&buf), &got, NULL), OX_OK);
    cr_assert(got.kind == OX_BACKLOG_NOTE && memcmp(got.consumed, consumed, sizeof(consumed)) == 0);
    for (size_t n = 0; n < buf.len; n++)
        cr_assert_eq(ox_backlog_entry_decode((struct ox_str){(char *)buf.data, n}, &got, NULL),
                     OX_E_TRUNCATED);
    ox_buf_append(&buf, "x", 1);
    cr_assert_eq(ox_backlog_entry_decode(ox_buf_str(&buf), &got, NULL), OX_E_DECODE);
    ox_buf_fini(&buf);
}

Test(backlog_entry, places_in_the_stream_survive_the_way_there_and_back)
{
    struct ox_ranges owed = {0};
    struct ox_backlog_entry got;
    struct ox_buf buf;
    ox_buf_init(&buf);
    cr_assert_eq(ox_ranges_add(&owed, 2, 5, NULL), OX_OK);
    cr_assert_eq(ox_ranges_add(&owed, 9, 10, NULL), OX_OK);
    cr_assert_eq(ox_backlog_encode_streamed(7, &owed, 0, 99, &buf), OX_E_INVALID, "no message");
    cr_assert_eq(ox_backlog_encode_streamed(7, &owed, UINT64_C(1) << 40, 99, &buf), OX_OK);
    cr_assert_eq(ox_backlog_entry_decode(ox_buf_str(&buf), &got, NULL), OX_OK);
    cr_assert(got.kind == OX_BACKLOG_STREAMED && got.wal_seq == 7 && got.owed.n == 2);
    cr_assert(got.stream_seq == UINT64_C(1) << 40 && got.stream_len == 99 && got.payload.n == 0);
    ox_backlog_entry_fini(&got);
    for (size_t n = 0; n < buf.len; n++)
        cr_assert_eq(ox_backlog_entry_decode((struct ox_str){(char *)buf.data, n}, &got, NULL),
                     OX_E_TRUNCATED, "%zu", n);
    ox_buf_append(&buf, "x", 1);
    cr_assert_eq(ox_backlog_entry_decode(ox_buf_str(&buf), &got, NULL), OX_E_DECODE);
    ox_buf_fini(&buf);
    ox_ranges_fini(&owed);
}

Test(backlog_entry, a_head_that_is_cut_off_is_refused)
{
    struct ox_ranges owed = {0};
    struct ox_backlog_entry got;
    struct ox_buf buf;
    encode_moved(&buf, 7, &owed);
    for (size_t n = 0; n < 16 + 8 * (size_t)owed.n; n++) {
        struct ox_diag diag;
        uint8_t *tight = malloc(n != 0 ? n : 1); /* so that a sanitizer sees a read behind the end */
        memcpy(tight, buf.data, n);
        ox_diag_clear(&diag);
        cr_assert_eq(ox_backlog_entry_decode((struct ox_str){(char *)tight, n}, &got, &diag), OX_E_TRUNCATED,
                     "%zu", n);
        cr_assert_neq(diag.text[0], '\0');
        free(tight);
    }
    ox_ranges_fini(&owed);
    ox_buf_fini(&buf);
}

static ox_err
decode_with(size_t at, uint8_t value)
{
    struct ox_ranges owed = {0};
    struct ox_backlog_entry got;
    struct ox_buf buf;
    encode_moved(&buf, 7, &owed);
    buf.data[at] = value;
    ox_err err = ox_backlog_entry_decode(ox_buf_str(&buf), &got, NULL);
    if (err == OX_OK)
        ox_backlog_entry_fini(&got);
    ox_ranges_fini(&owed);
    ox_buf_fini(&buf);
    return err;
}

Test(backlog_entry, fields_out_of_bounds_are_refused)
{
    cr_assert_eq(decode_with(0, 1), OX_OK);
    cr_assert_eq(decode_with(0, 2), OX_E_UNIMPLEMENTED, "version");
    cr_assert_eq(decode_with(2, 4), OX_E_UNIMPLEMENTED, "kind");
    cr_assert_eq(decode_with(15, 1), OX_E_TRUNCATED, "more ranges than bytes");
    cr_assert_eq(decode_with(16, 0xff), OX_E_DECODE, "a range that ends before it begins");
    cr_assert_eq(decode_with(23, 0xff), OX_E_DECODE, "more ordinals than a request can have");
}

Test(backlog_entry, what_cannot_be_an_entry_is_not_encoded)
{
    struct ox_ranges owed = {0};
    struct ox_buf buf;
    ox_buf_init(&buf);
    cr_assert_eq(ox_backlog_encode_moved(5, &owed, &buf), OX_E_INVALID, "nothing owed");
    cr_assert_eq(ox_ranges_add(&owed, 0, 1, NULL), OX_OK);
    cr_assert_eq(ox_backlog_encode_moved(0, &owed, &buf), OX_E_INVALID, "no place in the log");
    cr_assert_eq(buf.len, 0);
    ox_buf_fini(&buf);
}

Test(backlog_marks, the_pin_goes_with_the_note_that_covers_it)
{
    struct ox_backlog_marks m = {0};
    ox_backlog_consumed(&m, 10, 3);
    ox_backlog_consumed(&m, 20, 4);
    cr_assert_eq(m.pin, 3);
    ox_backlog_noted(&m, 10);
    cr_assert_eq(m.pin, 3, "20 is not covered");
    ox_backlog_noted(&m, 20);
    cr_assert_eq(m.pin, 0);
    ox_backlog_consumed(&m, 30, 5);
    cr_assert_eq(m.pin, 5);
}
