/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    no accident makes the journal lose what it promised, invent an entry or bring back a refused one.
 * Method:  the story writer on the faulty disk; every call fails once, with each cause; the power goes at
 *          every call, with nothing or anything of the unsynced surviving. Afterwards the disk works again
 *          and the journal is checked.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "ox/journal.h"
#include "tests/harness/fault_disk.h"
#include "tests/harness/journal_story.h"

/* More calls than a story makes; a test that does not end before has found a loop. */
#define CALLS_MAX 2000u

static void
reopen_and_check(struct story *s, const char *what, uint64_t n, unsigned seed)
{
    story_close(s);
    cr_assert(story_open(s), "%s %llu seed %u: does not open", what, (unsigned long long)n, seed);
    const char *wrong = story_check(s, false, NULL);
    cr_assert_null(wrong, "%s %llu seed %u: %s", what, (unsigned long long)n, seed, wrong);
}

/* One failing call somewhere in the story; returns whether it was reached. */
static bool
one_failure(uint64_t n, int errnum, bool partly)
{
    struct fault_disk *f = fault_disk_new(n);
    struct story *s = malloc(sizeof(*s));
    story_init(s, fault_disk_seam(f), 8192);
    fault_disk_fail(f, n, errnum, partly);
    story_run(s);
    bool fired = fault_disk_fired(f);
    fault_disk_fail(f, 0, 0, false);
    if (s->j != NULL) {
        const char *wrong = story_check(s, false, NULL);
        cr_assert_null(wrong, "call %llu, before reopening: %s", (unsigned long long)n, wrong);
    }
    reopen_and_check(s, "failing call", n, 0);
    cr_assert_eq(s->report.damage_total, 0, "call %llu: %s", (unsigned long long)n,
                 s->report.findings[0].text);
    story_run(s);
    reopen_and_check(s, "failing call, second run", n, 0);
    story_close(s);
    fault_disk_free(f);
    free(s);
    return fired;
}

static void
fail_each_call(int errnum, bool partly)
{
    uint64_t n = 1;
    while (one_failure(n, errnum, partly)) {
        n++;
        cr_assert_lt(n, CALLS_MAX);
    }
    cr_assert_gt(n, 50, "the story is too short to prove anything: %llu calls", (unsigned long long)n);
}

Test(journal_crash, every_call_may_fail_with_eio)
{
    fail_each_call(EIO, false);
}

Test(journal_crash, every_call_may_fail_with_enospc_after_half_its_work)
{
    fail_each_call(ENOSPC, true);
}

/* The power goes at call n. */
static bool
one_power_cut(uint64_t n, enum fault_cut how, unsigned seed)
{
    struct fault_disk *f = fault_disk_new(n * 1000 + seed);
    struct story *s = malloc(sizeof(*s));
    story_init(s, fault_disk_seam(f), 8192);
    fault_disk_die(f, n);
    story_run(s);
    bool fired = fault_disk_fired(f);
    story_close(s);
    fault_disk_cut(f, how);
    reopen_and_check(s, "power cut", n, seed);
    /* Looking again must give the same, even if the power goes again at once. */
    uint64_t entries = s->report.entries;
    story_close(s);
    fault_disk_cut(f, how);
    reopen_and_check(s, "second power cut", n, seed);
    cr_assert_eq(s->report.entries, entries, "call %llu seed %u: entries vanished", (unsigned long long)n,
                 seed);
    story_run(s);
    reopen_and_check(s, "power cut and life after it", n, seed);
    story_close(s);
    fault_disk_free(f);
    free(s);
    return fired;
}

Test(journal_crash, the_power_may_go_at_every_call)
{
    uint64_t n = 1;
    while (one_power_cut(n, FAULT_CUT_CLEAN, 0)) {
        n++;
        cr_assert_lt(n, CALLS_MAX);
    }
    cr_assert_gt(n, 50);
}

Test(journal_crash, the_power_may_go_at_every_call_and_leave_anything)
{
    for (unsigned seed = 1; seed <= 20; seed++) {
        uint64_t n = 1;
        while (one_power_cut(n, FAULT_CUT_RANDOM, seed)) {
            n++;
            cr_assert_lt(n, CALLS_MAX);
        }
    }
}

/* The process dies, its unsynced writes are still in the page cache; what the next start finds there it may hand out,
 * so the power may go behind it without taking that away again. */
Test(journal_crash, what_a_start_has_found_survives_the_power_cut_after_it)
{
    bool fired = true;
    for (uint64_t n = 1; fired; n++) {
        struct fault_disk *f = fault_disk_new(n);
        struct story *s = malloc(sizeof(*s));
        story_init(s, fault_disk_seam(f), 8192);
        fault_disk_die(f, n);
        story_run(s);
        fired = fault_disk_fired(f);
        fault_disk_fail(f, 0, 0, false);
        reopen_and_check(s, "process death", n, 0);
        uint64_t entries = s->report.entries;
        story_close(s);
        fault_disk_cut(f, FAULT_CUT_CLEAN);
        reopen_and_check(s, "process death, then power cut", n, 0);
        cr_assert_eq(s->report.entries, entries, "call %llu: entries vanished", (unsigned long long)n);
        story_close(s);
        fault_disk_free(f);
        free(s);
        cr_assert_lt(n, CALLS_MAX);
    }
}

Test(journal_crash, short_writes_are_gone_on_with)
{
    for (size_t bytes = 1; bytes < 4096; bytes = bytes * 3 + 1) {
        struct fault_disk *f = fault_disk_new(bytes);
        struct story *s = malloc(sizeof(*s));
        story_init(s, fault_disk_seam(f), 8192);
        fault_disk_short_writes(f, bytes);
        story_run(s);
        for (size_t i = 0; i < s->n; i++)
            cr_assert_neq(s->entries[i].fate, STORY_REFUSED);
        reopen_and_check(s, "short writes", bytes, 0);
        story_close(s);
        fault_disk_free(f);
        free(s);
    }
}

Test(journal_crash, a_full_disk_says_so_and_recovers_when_there_is_room)
{
    struct fault_disk *f = fault_disk_new(1);
    struct story *s = malloc(sizeof(*s));
    struct ox_journal_segment seg;
    story_init(s, fault_disk_seam(f), 8192);
    cr_assert(story_open(s));
    fault_disk_limit(f, 3 * 8192 + 100);
    ox_err err = OX_OK;
    uint64_t seq;
    static uint8_t bytes[2000];
    struct iovec part = {bytes, sizeof(bytes)};
    for (int i = 0; i < 40 && err == OX_OK; i++) {
        err = story_group(s, 3);
        if (err == OX_OK)
            err = ox_journal_append(s->j, &part, 1, 0, &seq); /* dropped by the reopening below */
    }
    cr_assert_eq(err, OX_E_DISK_FULL);
    (void)story_group(s, 1);
    const char *wrong = story_check(s, false, NULL);
    cr_assert(wrong == NULL || strstr(wrong, "never written") != NULL);
    fault_disk_limit(f, 0);
    cr_assert_eq(story_group(s, 30), OX_OK, "room again, goes on without a restart");
    cr_assert_gt(ox_journal_segments(s->j, &seg, 1), 2);
    story_close(s);
    fault_disk_free(f);
    free(s);
}

Test(journal_crash, a_segment_that_cannot_be_made_leaves_the_group_as_it_was)
{
    struct fault_disk *f = fault_disk_new(1);
    struct story *s = malloc(sizeof(*s));
    static uint8_t bytes[6000];
    struct iovec small = {bytes, 100}, big = {bytes, sizeof(bytes)};
    uint64_t seq[3], durable;
    story_init(s, fault_disk_seam(f), 8192);
    cr_assert(story_open(s));
    cr_assert_eq(ox_journal_append(s->j, &small, 1, 0, &seq[0]), OX_OK);
    fault_disk_limit(f, 8192);
    cr_assert_eq(ox_journal_append(s->j, &big, 1, 0, &seq[1]), OX_E_DISK_FULL);
    cr_assert_eq(ox_journal_append(s->j, &small, 1, 0, &seq[2]), OX_OK,
                 "small ones still fit the old segment");
    cr_assert_eq(ox_journal_commit(s->j, &durable), OX_OK);
    cr_assert_gt(durable, seq[2]);
    cr_assert_eq(ox_journal_segment_of(s->j, seq[0]), ox_journal_segment_of(s->j, seq[2]));
    story_close(s);
    fault_disk_free(f);
    free(s);
}

Test(journal_crash, a_group_over_two_segments_fails_only_where_it_failed)
{
    struct fault_disk *f = fault_disk_new(1);
    struct story *s = malloc(sizeof(*s));
    static uint8_t bytes[3000];
    struct iovec part = {bytes, sizeof(bytes)};
    uint64_t seq[2], durable;
    story_init(s, fault_disk_seam(f), 8192);
    cr_assert(story_open(s));
    cr_assert_eq(ox_journal_append(s->j, &part, 1, 0, &seq[0]), OX_OK);
    cr_assert_eq(ox_journal_append(s->j, &part, 1, 0, &seq[1]), OX_OK);
    fault_disk_fail(f, 1, EIO, true);
    cr_assert_eq(ox_journal_commit(s->j, &durable), OX_E_IO);
    cr_assert_eq(errno, EIO);
    cr_assert_gt(durable, seq[0]);
    cr_assert_leq(durable, seq[1]);
    cr_assert_eq(ox_journal_commit(s->j, &durable), OX_OK, "the failure was told once");
    story_close(s);
    fault_disk_free(f);
    free(s);
}
