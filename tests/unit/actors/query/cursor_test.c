/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a follower's cursor survives its way as text, and forgets only what cannot be asked for again.
 * Method:  there and back; random bytes; overflow.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "actors/query/query_logs.h"
#include "actors/query/query_window.h"

static struct ox__cursor a, b;

TestSuite(cursor, .timeout = 20);

Test(cursor, goes_there_and_back)
{
    struct ox_buf text;
    ox_buf_init(&text);
    a = (struct ox__cursor){.since_ns = 1795233581000000001ull,
                            .open = true,
                            .open_block_id = UINT64_MAX,
                            .open_time_ns = 1795233581000000009ull,
                            .open_skip = 3};
    ox__cursor_note(&a, 7, a.since_ns + 1500000000);
    ox__cursor_note(&a, 8, a.since_ns);
    ox__cursor_note(&a, 9, a.since_ns - 1);
    cr_assert_eq(a.n, 2, "a block that lies before is not kept");
    ox__cursor_format(&a, &text);
    cr_assert_eq(ox__cursor_parse(ox_buf_str(&text), &b), OX_OK);
    cr_assert(b.open && b.open_block_id == UINT64_MAX && b.open_time_ns == a.open_time_ns &&
              b.open_skip == 3);
    cr_assert_eq(b.since_ns, a.since_ns);
    cr_assert_eq(b.n, 2);
    cr_assert_eq(b.blocks[0].block_id, 7);
    cr_assert_geq(b.blocks[0].last_ns, a.blocks[0].last_ns, "never forgotten too early");
    ox_buf_fini(&text);
}

Test(cursor, refuses_what_is_not_ours)
{
    static const char *const bad[] = {
        "",  "x", "1.", "1.2", "1.2_", "1~2_3", "1~2_3_", "1.2_3x", "11111111111111111", "1.2_fffffffff",
        " 1"};
    for (size_t i = 0; i < OX_COUNT(bad); i++)
        cr_assert_eq(ox__cursor_parse(ox_str_of(bad[i]), &b), OX_E_INVALID, "%s", bad[i]);
}

Test(cursor, without_room_it_forgets_the_oldest_and_moves_on)
{
    memset(&a, 0, sizeof(a));
    for (uint64_t i = 0; i < OX__CURSOR_BLOCKS_MAX + 10; i++)
        ox__cursor_note(&a, i, 1000 + i);
    cr_assert_eq(a.n, OX__CURSOR_BLOCKS_MAX);
    cr_assert_eq(a.since_ns, 1010);
    cr_assert_eq(a.blocks[0].block_id, 10);
    ox__cursor_advance(&a, 1020, 0);
    cr_assert_eq(a.n, OX__CURSOR_BLOCKS_MAX - 10);
}

Test(cursor, windows_cover_the_range_once)
{
    const uint64_t now = 1795233581ull * OX__NS_PER_S;
    static const uint64_t lengths_s[] = {1, 299, 300, 301, 3600, 86400, 30 * 86400};
    for (size_t i = 0; i < OX_COUNT(lengths_s); i++) {
        struct ox__range range = {.start_ns = now - lengths_s[i] * OX__NS_PER_S,
                                  .end_ns = now + 3600 * OX__NS_PER_S},
                         w;
        uint64_t end = range.end_ns;
        int n = 0;
        ox__window_first(&range, now, &w);
        do {
            cr_assert_eq(w.end_ns, end, "a gap or an overlap");
            cr_assert_lt(w.start_ns, w.end_ns);
            end = w.start_ns;
            cr_assert_lt(n++, 12);
        } while (ox__window_next(&range, &w));
        cr_assert_eq(end, range.start_ns);
    }
}

Test(cursor, follows_arrivals_once_it_has_caught_up)
{
    struct ox_buf text;
    ox_buf_init(&text);
    memset(&a, 0, sizeof(a));
    a.since_ns = 5000;
    a.low = 100;
    a.first = 120;
    a.start_ns = 4000;
    a.mark = 100;
    a.mark_ns = 9000;
    ox__cursor_note(&a, 99, 6000);
    ox__cursor_note(&a, 130, 1);
    cr_assert_eq(a.n, 2, "the one by its time, the other by its id");
    a.caught_up = true;
    ox__cursor_advance(&a, 5500, 100);
    cr_assert_eq(a.n, 1, "time is of no interest any more");
    cr_assert_eq(a.blocks[0].block_id, 130);
    ox__cursor_format(&a, &text);
    cr_assert_eq(ox__cursor_parse(ox_buf_str(&text), &b), OX_OK);
    cr_assert(b.caught_up && b.low == 100 && b.first == 120 && b.start_ns == 4000 && b.mark == 100 &&
              b.mark_ns == 9000);
    cr_assert_eq(b.n, 1);
    ox__cursor_advance(&b, 6000, 131);
    cr_assert_eq(b.n, 0);
    for (uint64_t i = 0; i < OX__CURSOR_BLOCKS_MAX + 3; i++)
        ox__cursor_note(&b, 200 + i, 7000);
    cr_assert_eq(b.n, OX__CURSOR_BLOCKS_MAX, "without room the oldest go, and are not asked for again");
    cr_assert_eq(b.low, 203);
    ox_buf_fini(&text);
}
