/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a mark that was synced is there after a power cut and whatever failed; a record whose mark says sent or stored is
 *          never taken for one that was not.
 * Method:  the faulty disk; every call fails once, and the power goes after every call.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/dead_letter_read.h"
#include "tests/harness/fault_disk.h"

#define DIR  "data/dlq"
#define FILE DIR "/replayed.log"

static const char *
id_of(uint64_t n)
{
    static char id[4][OX_DEAD_LETTER_ID_LEN + 1];
    static unsigned at;
    char *to = id[at++ % 4];
    snprintf(to, sizeof(id[0]), "%020" PRIx64, n * 0x9e3779b9u);
    return to;
}

static struct ox_replay_marks *
open_marks(struct fault_disk *d, bool write)
{
    struct ox_replay_marks *m = NULL;
    struct ox_diag diag;
    cr_assert_eq(ox_replay_marks_open(fault_disk_seam(d), DIR, write, &m, &diag), OX_OK, "%s", diag.text);
    return m;
}

static struct fault_disk *
new_disk(uint64_t seed)
{
    struct fault_disk *d = fault_disk_new(seed);
    cr_assert_eq(ox_disk_ensure_dir(fault_disk_seam(d), DIR), OX_OK);
    return d;
}

Test(replay_marks, the_last_mark_of_an_id_counts)
{
    struct fault_disk *d = new_disk(1);
    struct ox_replay_marks *m = open_marks(d, false); /* no file yet */
    cr_expect_eq(ox_replay_marks_get(m, id_of(1)), OX_REPLAY_NEVER);
    ox_replay_marks_close(m);
    m = open_marks(d, true);
    for (uint64_t n = 1; n <= 5000; n++)
        cr_assert_eq(ox_replay_marks_put(m, id_of(n), OX_REPLAY_SENT, n), OX_OK);
    for (uint64_t n = 1; n <= 5000; n += 3)
        cr_assert_eq(ox_replay_marks_put(m, id_of(n), n % 2 ? OX_REPLAY_STORED : OX_REPLAY_REFUSED, n),
                     OX_OK);
    cr_assert_eq(ox_replay_marks_sync(m), OX_OK);
    for (int again = 0; again < 2; again++) {
        for (uint64_t n = 1; n <= 5000; n++) {
            enum ox_replay_state want = n % 3 != 1 ? OX_REPLAY_SENT
                                        : n % 2    ? OX_REPLAY_STORED
                                                   : OX_REPLAY_REFUSED;
            cr_assert_eq(ox_replay_marks_get(m, id_of(n)), want, "%" PRIu64, n);
        }
        cr_expect_eq(ox_replay_marks_get(m, id_of(5001)), OX_REPLAY_NEVER);
        ox_replay_marks_close(m);
        m = open_marks(d, false);
    }
    ox_replay_marks_close(m);
    fault_disk_free(d);
}

Test(replay_marks, half_a_line_and_foreign_lines_are_no_marks)
{
    struct fault_disk *d = new_disk(1);
    char text[512];
    int n =
        snprintf(text, sizeof(text), "%s stored 5\nfriday\n%s eaten 5\n%.19s stored 5\n%s stored 5 6\n%s sto",
                 id_of(1), id_of(2), id_of(3), id_of(4), id_of(5));
    fault_disk_poke(d, FILE, text, (size_t)n);
    struct ox_replay_marks *m = open_marks(d, true);
    cr_expect_eq(ox_replay_marks_get(m, id_of(1)), OX_REPLAY_STORED);
    for (uint64_t i = 2; i <= 5; i++)
        cr_expect_eq(ox_replay_marks_get(m, id_of(i)), OX_REPLAY_NEVER, "%" PRIu64, i);
    cr_assert_eq(ox_replay_marks_put(m, id_of(5), OX_REPLAY_FAILED, 9), OX_OK);
    ox_replay_marks_close(m);
    m = open_marks(d, false);
    cr_expect_eq(ox_replay_marks_get(m, id_of(5)), OX_REPLAY_FAILED);
    ox_replay_marks_close(m);
    fault_disk_free(d);
}

Test(replay_marks, trimming_forgets_what_nobody_asked_for)
{
    struct fault_disk *d = new_disk(1);
    struct ox_replay_marks *m = open_marks(d, true);
    bool exists;
    for (uint64_t n = 1; n <= 10; n++)
        cr_assert_eq(ox_replay_marks_put(m, id_of(n), OX_REPLAY_STORED, n), OX_OK);
    cr_assert_eq(ox_replay_marks_sync(m), OX_OK);
    cr_assert_eq(ox_replay_marks_trim(m), OX_OK); /* own marks are needed */
    ox_replay_marks_close(m);
    m = open_marks(d, true);
    (void)ox_replay_marks_get(m, id_of(3));
    cr_assert_eq(ox_replay_marks_trim(m), OX_OK);
    cr_assert_eq(ox_replay_marks_put(m, id_of(11), OX_REPLAY_SENT, 11), OX_OK);
    cr_assert_eq(ox_replay_marks_sync(m), OX_OK);
    ox_replay_marks_close(m);
    fault_disk_cut(d, FAULT_CUT_CLEAN);
    cr_expect_eq(fault_disk_peek(d, FILE, &exists).n, 20 + strlen(" stored 3\n") + 20 + strlen(" sent 11\n"));
    m = open_marks(d, false);
    for (uint64_t n = 1; n <= 11; n++)
        cr_expect_eq(ox_replay_marks_get(m, id_of(n)), n == 3    ? OX_REPLAY_STORED
                                                       : n == 11 ? OX_REPLAY_SENT
                                                                 : OX_REPLAY_NEVER);
    ox_replay_marks_close(m);
    fault_disk_free(d);
}

/* What was synced: how many of each id's three marks. */
#define IDS 3

/* sent for all, a sync, stored for all, a sync, a trim that keeps all but the old one. Notes in `synced` what is certain. */
static void
story(struct fault_disk *d, enum ox_replay_state *synced)
{
    struct ox_replay_marks *m = NULL;
    struct ox_diag diag;
    if (ox_replay_marks_open(fault_disk_seam(d), DIR, true, &m, &diag) != OX_OK)
        return;
    for (int pass = 0; pass < 2; pass++) {
        bool all = true;
        enum ox_replay_state state = pass == 0 ? OX_REPLAY_SENT : OX_REPLAY_STORED;
        for (uint64_t n = 1; n <= IDS; n++)
            all = ox_replay_marks_put(m, id_of(n), state, 100 + n) == OX_OK && all;
        if (ox_replay_marks_sync(m) == OX_OK && all) {
            for (uint64_t n = 1; n <= IDS; n++)
                synced[n] = state;
        }
    }
    (void)!ox_replay_marks_trim(m);
    ox_replay_marks_close(m);
}

static void
check(struct fault_disk *d, const enum ox_replay_state *synced, uint64_t call)
{
    struct ox_replay_marks *m = open_marks(d, true);
    for (uint64_t n = 1; n <= IDS; n++)
        cr_assert_geq(ox_replay_marks_get(m, id_of(n)), synced[n], "call %" PRIu64 ", id %" PRIu64, call, n);
    cr_assert_eq(ox_replay_marks_put(m, id_of(9), OX_REPLAY_SENT, 1), OX_OK);
    ox_replay_marks_close(m);
    m = open_marks(d, false); /* whole lines: the one just written can be read */
    cr_assert_eq(ox_replay_marks_get(m, id_of(9)), OX_REPLAY_SENT, "call %" PRIu64, call);
    ox_replay_marks_close(m);
}

static bool
one_fault(uint64_t call, int how)
{
    struct fault_disk *d = new_disk(call);
    enum ox_replay_state synced[IDS + 1] = {OX_REPLAY_NEVER};
    char old[64];
    int n = snprintf(old, sizeof(old), "%s stored 1\nhalf a l", id_of(7));
    fault_disk_poke(d, FILE, old, (size_t)n);
    if (how < 2)
        fault_disk_fail(d, call, EIO, how == 1);
    else
        fault_disk_die(d, call);
    story(d, synced);
    bool fired = fault_disk_fired(d);
    fault_disk_fail(d, 0, 0, false);
    if (how >= 2)
        fault_disk_cut(d, how == 2 ? FAULT_CUT_CLEAN : FAULT_CUT_RANDOM);
    check(d, synced, call);
    fault_disk_free(d);
    return fired;
}

Test(replay_marks, what_was_synced_survives_every_fault)
{
    for (int how = 0; how < 4; how++) {
        uint64_t call = 1;
        while (one_fault(call, how))
            call++;
        cr_expect_gt(call, 10, "the story is too short: %" PRIu64, call);
    }
}
