/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a segment that was made ahead of time is a segment like any other, and nothing depends on there being one.
 * Method:  single rules on the disk in memory; that no crash loses anything is asked by the story of the other tests, which
 *          makes spares as well.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "ox/journal.h"
#include "tests/harness/fault_disk.h"
#include "tests/harness/journal_story.h"

#define SPARE STORY_DIR "/7fffffffffffffff.tmp"

static struct fault_disk *f;
static struct story *s;

static void
setup(void)
{
    f = fault_disk_new(1);
    s = malloc(sizeof(*s));
    story_init(s, fault_disk_seam(f), 8192);
    cr_assert(story_open(s));
}

static void
teardown(void)
{
    story_close(s);
    fault_disk_free(f);
    free(s);
}

TestSuite(spare, .init = setup, .fini = teardown);

static void
check(void)
{
    const char *wrong = story_check(s, false, NULL);
    cr_assert_null(wrong, "%s", wrong);
}

static bool
there_is_a_file(void)
{
    bool exists;
    (void)fault_disk_peek(f, SPARE, &exists);
    return exists;
}

Test(spare, the_next_segment_is_it)
{
    bool exists;
    cr_assert(ox_journal_wants_spare(s->j));
    cr_assert_eq(ox_journal_prepare(s->j), OX_OK);
    cr_assert_not(ox_journal_wants_spare(s->j));
    struct ox_str bytes = fault_disk_peek(f, SPARE, &exists);
    cr_assert(exists);
    cr_assert_eq(bytes.n, 8192);
    uint64_t calls = fault_disk_calls(f);
    cr_assert_eq(ox_journal_prepare(s->j), OX_OK, "there is one");
    cr_assert_eq(fault_disk_calls(f), calls);
    cr_assert_eq(story_group(s, 1), OX_OK);
    cr_assert(ox_journal_wants_spare(s->j), "it is in use");
    cr_assert_not(there_is_a_file());
    check();
}

Test(spare, it_counts_for_nothing_before_it_is_one)
{
    struct ox_journal_stats before, after;
    cr_assert_eq(story_group(s, 2), OX_OK);
    ox_journal_stats(s->j, &before);
    cr_assert_eq(ox_journal_prepare(s->j), OX_OK);
    ox_journal_stats(s->j, &after);
    cr_assert_eq(after.bytes, before.bytes);
    cr_assert_eq(after.segments, before.segments);
}

Test(spare, what_a_dead_process_left_is_removed)
{
    cr_assert_eq(story_group(s, 2), OX_OK);
    cr_assert_eq(ox_journal_prepare(s->j), OX_OK);
    fault_disk_die(f, 1); /* it cannot tidy up */
    story_close(s);
    fault_disk_restart(f);
    cr_assert(there_is_a_file());
    cr_assert(story_open(s));
    cr_assert_not(there_is_a_file());
    cr_assert_eq(s->report.findings_total, 0);
    cr_assert_eq(story_group(s, 2), OX_OK);
    struct ox_journal_segment segs[4];
    cr_assert_eq(ox_journal_segments(s->j, segs, 4), 2);
    cr_assert_eq(segs[1].number, 2, "its name is not counted on");
    check();
}

Test(spare, a_clean_end_leaves_none)
{
    cr_assert_eq(ox_journal_prepare(s->j), OX_OK);
    story_close(s);
    cr_assert_not(there_is_a_file());
    cr_assert(story_open(s));
}

Test(spare, a_disk_without_room_for_it_still_takes_entries)
{
    cr_assert_eq(story_group(s, 1), OX_OK);
    fault_disk_limit(f, 9000);
    cr_assert_eq(ox_journal_prepare(s->j), OX_E_DISK_FULL);
    cr_assert(ox_journal_wants_spare(s->j));
    cr_assert_not(there_is_a_file());
    cr_assert_eq(story_group(s, 1), OX_OK);
    check();
}

/* One that is too small for an entry stays for the segment behind it. */
Test(spare, an_entry_larger_than_a_segment_leaves_it)
{
    static uint8_t large[20000];
    struct iovec part = {large, sizeof(large)};
    struct ox_buf payload = {0};
    uint64_t seq;
    cr_assert_eq(ox_journal_prepare(s->j), OX_OK);
    cr_assert_eq(ox_journal_append(s->j, &part, 1, 1, &seq), OX_OK);
    cr_assert_eq(ox_journal_commit(s->j, NULL), OX_OK);
    cr_assert_not(ox_journal_wants_spare(s->j));
    cr_assert_eq(ox_journal_read(s->j, seq, &payload, NULL), OX_OK);
    cr_assert_eq(payload.len, sizeof(large));
    ox_buf_fini(&payload);
}
