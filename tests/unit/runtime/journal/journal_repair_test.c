/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a repair keeps every entry that can be read, gives misnamed segments their names, leaves a journal that is sound,
 *          and never leaves less than there was, whatever fails or crashes meanwhile.
 * Method:  journals damaged in every way that the damage tests know; each call of the disk fails once, or is the last one.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/journal_repair.h"
#include "tests/harness/fault_disk.h"
#include "tests/harness/journal_story.h"

#define ASIDE "data/originals"

static struct fault_disk *f;
static struct story *s;
static struct ox_journal_repair report;
static struct ox_diag diag;

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

TestSuite(journal_repair, .init = setup, .fini = teardown);

static const char *
path_of(const char *dir, uint64_t number, const char *suffix)
{
    static char path[4][96];
    static unsigned at;
    char *to = path[at++ % 4];
    snprintf(to, sizeof(path[0]), "%s/%016llx.%s", dir, (unsigned long long)number, suffix);
    return to;
}

#define SEG(number) path_of(STORY_DIR, number, "seg")

static uint8_t *
copy_of(uint64_t number, size_t *n)
{
    bool exists;
    struct ox_str bytes = fault_disk_peek(f, SEG(number), &exists);
    cr_assert(exists);
    uint8_t *copy = malloc(bytes.n + 1);
    memcpy(copy, bytes.p, bytes.n);
    *n = bytes.n;
    return copy;
}

static void
segments(size_t n)
{
    struct ox_journal_segment seg[16];
    while (ox_journal_segments(s->j, seg, 16) < n)
        cr_assert_eq(story_group(s, 4), OX_OK);
    cr_assert_eq(story_group(s, 4), OX_OK);
    story_close(s);
}

static ox_err
repair(const char *aside)
{
    return ox_journal_repair(s->disk, STORY_DIR, OX_JOURNAL_TEST, aside, &report, &diag);
}

/* Opens as a start does: sound, with all entries but `lost` of them. */
static void
is_sound(size_t lost)
{
    size_t missing;
    cr_assert(story_open(s));
    cr_expect_eq(s->report.damage_total, 0, "%s", s->report.findings[0].text);
    const char *wrong = story_check(s, true, &missing);
    cr_assert_null(wrong, "%s", wrong);
    cr_expect_eq(missing, lost, "%zu entries are missing, not %zu", missing, lost);
    story_close(s);
}

static void
flip(uint64_t number, size_t at)
{
    size_t n;
    uint8_t *bytes = copy_of(number, &n);
    bytes[at] ^= 4;
    fault_disk_poke(f, SEG(number), bytes, n);
    free(bytes);
}

/* The offset of the i-th entry of a segment, from the story's list. */
static size_t
entry_at(uint64_t number, size_t i)
{
    struct ox_journal_segment seg[16];
    cr_assert(story_open(s));
    size_t n = ox_journal_segments(s->j, seg, 16);
    cr_assert_geq(n, number);
    uint64_t first = seg[number - 1].first_seq, end = seg[number - 1].end_seq;
    story_close(s);
    for (size_t k = 0; k < s->n; k++) {
        if (s->entries[k].seq >= first && s->entries[k].seq < end && i-- == 0)
            return (size_t)(s->entries[k].seq - first);
    }
    cr_assert_fail("no such entry");
    return 0;
}

Test(journal_repair, a_sound_journal_is_left_as_it_is)
{
    segments(3);
    uint64_t calls = fault_disk_calls(f);
    cr_assert_eq(repair(ASIDE), OX_OK, "%s", diag.text);
    cr_expect(report.steps_total == 0 && report.segments == 3);
    cr_expect_gt(fault_disk_calls(f), calls);
    is_sound(0);
    cr_expect_eq(s->report.filled_bytes, 0);
}

Test(journal_repair, damaged_entries_become_a_filler_and_the_original_is_kept)
{
    size_t n;
    bool exists;
    segments(3);
    size_t at = entry_at(2, 1);
    flip(2, at + 25);
    flip(2, entry_at(2, 0) + 2);
    uint8_t *damaged = copy_of(2, &n);
    cr_assert_eq(repair(NULL), OX_OK);
    cr_expect(report.n_steps == 1 && report.files_replaced == 0);
    cr_assert_eq(fault_disk_peek(f, SEG(2), &exists).n, n);
    cr_expect_eq(memcmp(fault_disk_peek(f, SEG(2), &exists).p, damaged, n), 0, "only saying changes nothing");
    cr_assert_eq(repair(ASIDE), OX_OK, "%s", diag.text);
    cr_assert(report.n_steps == 1 && report.steps[0].kind == OX_JOURNAL_STEP_FILL);
    cr_expect(report.steps[0].segment == 2 && report.steps[0].offset == OX_JOURNAL_HEADER_BYTES);
    cr_expect(report.files_replaced == 1 && report.left == 0);
    struct ox_str kept = fault_disk_peek(f, path_of(ASIDE, 2, "seg"), &exists);
    cr_expect(exists && kept.n == n && memcmp(kept.p, damaged, n) == 0);
    free(damaged);
    fault_disk_cut(f, FAULT_CUT_CLEAN);
    is_sound(2);
    cr_expect_eq(s->report.filled_bytes, report.filled_bytes);
    /* What was filled is nobody's entry. */
    struct ox_buf payload;
    ox_buf_init(&payload);
    cr_assert(story_open(s));
    cr_expect_eq(ox_journal_read(s->j, report.steps[0].seq_from, &payload, NULL), OX_E_CORRUPT);
    ox_buf_fini(&payload);
    cr_assert_eq(repair(ASIDE), OX_OK);
    cr_expect_eq(report.steps_total, 0, "a second repair finds nothing");
}

Test(journal_repair, a_filler_survives_another_repair)
{
    segments(3);
    size_t last = 0, n = 0;
    struct ox_journal_segment seg[16];
    cr_assert(story_open(s));
    ox_journal_segments(s->j, seg, 16);
    story_close(s);
    for (size_t k = 0; k < s->n; k++) {
        if (s->entries[k].seq >= seg[1].first_seq && s->entries[k].seq < seg[1].end_seq)
            last = (size_t)(s->entries[k].seq - seg[1].first_seq);
    }
    flip(2, last + 3); /* a filler at the very end of what is sealed */
    cr_assert_eq(repair(ASIDE), OX_OK);
    n += report.filled_bytes;
    is_sound(1);
    flip(2, entry_at(2, 1) + 22);
    flip(2, 30);
    cr_assert_eq(repair("data/second"), OX_OK);
    n += report.filled_bytes;
    is_sound(2);
    cr_expect_eq(s->report.filled_bytes, n);
}

Test(journal_repair, an_original_is_never_replaced)
{
    segments(3);
    flip(2, entry_at(2, 1) + 25);
    fault_disk_poke(f, path_of(ASIDE, 2, "seg"), "older", 5);
    bool exists;
    cr_expect_eq(repair(ASIDE), OX_E_EXISTS);
    cr_expect_not_null(strstr(diag.text, "empty folder"), "%s", diag.text);
    cr_expect_eq(fault_disk_peek(f, path_of(ASIDE, 2, "seg"), &exists).n, 5);
    cr_assert_eq(repair("data/other"), OX_OK);
    is_sound(1);
}

Test(journal_repair, a_damaged_header_copy_is_written_anew)
{
    for (size_t at = 20; at <= 2048 + 20; at += 2048) {
        segments(3);
        flip(1, at);
        cr_assert_eq(repair(at == 20 ? ASIDE : "data/second"), OX_OK, "%s", diag.text);
        cr_assert(report.n_steps == 1 && report.steps[0].kind == OX_JOURNAL_STEP_HEADER);
        flip(1, at == 20 ? 2048 + 20 : 20); /* the other one is enough again */
        is_sound(0);
        cr_assert_eq(repair("data/third"), OX_OK);
        fault_disk_remove(f, path_of("data/third", 1, "seg"));
        cr_assert(story_open(s));
    }
}

static void
rename_raw(uint64_t from, const char *to)
{
    cr_assert_eq(ox_disk_rename(s->disk, SEG(from), to), OX_OK);
}

/* 1 -> 2, 2 -> 3, 3 -> 1, and one far off. */
static void
mix_names(void)
{
    segments(4);
    rename_raw(3, STORY_DIR "/x");
    rename_raw(2, SEG(3));
    rename_raw(1, SEG(2));
    cr_assert_eq(ox_disk_rename(s->disk, STORY_DIR "/x", SEG(1)), OX_OK);
    rename_raw(4, SEG(77));
    cr_assert_eq(ox_disk_fsync_dir(s->disk, STORY_DIR), OX_OK);
}

Test(journal_repair, misnamed_segments_get_their_names)
{
    mix_names();
    cr_assert_eq(repair(NULL), OX_OK);
    cr_expect_eq(report.files_renamed, 4);
    cr_assert_eq(repair(ASIDE), OX_OK, "%s", diag.text);
    cr_expect(report.files_renamed == 4 && report.files_replaced == 0 && report.left == 0);
    fault_disk_cut(f, FAULT_CUT_CLEAN);
    is_sound(0);
}

Test(journal_repair, copies_and_strangers_stay_where_they_are)
{
    size_t n;
    bool exists;
    segments(3);
    uint8_t *two = copy_of(2, &n);
    fault_disk_poke(f, SEG(9), two, n);                               /* a copy of 2 */
    fault_disk_poke(f, SEG(8), "rubbish", 7);                         /* no header */
    fault_disk_poke(f, path_of(STORY_DIR, 2, "moved"), two, n);       /* and another copy */
    fault_disk_poke(f, path_of(STORY_DIR, 3, "seg.damaged"), two, n); /* not looked at */
    rename_raw(3, SEG(10));
    fault_disk_poke(f, SEG(3), two, n); /* a copy where 3 belongs: 3 cannot come home */
    cr_assert_eq(repair(ASIDE), OX_OK, "%s", diag.text);
    cr_expect_eq(report.files_renamed, 0);
    cr_expect_geq(report.left, 5);
    const char *const all[] = {SEG(1), SEG(2), SEG(3), SEG(8)};
    for (size_t i = 0; i < OX_COUNT(all); i++) {
        (void)fault_disk_peek(f, all[i], &exists);
        cr_expect(exists, "%s", all[i]);
    }
    cr_expect_eq(fault_disk_peek(f, SEG(9), &exists).n, n);
    cr_expect_eq(fault_disk_peek(f, path_of(STORY_DIR, 2, "moved"), &exists).n, n);
    (void)fault_disk_peek(f, SEG(10), &exists);
    cr_expect(exists);
    free(two);
}

Test(journal_repair, what_is_gone_is_left_and_said)
{
    size_t n;
    segments(5);
    fault_disk_remove(f, SEG(2));
    uint8_t *bytes = copy_of(4, &n);
    fault_disk_poke(f, SEG(4), bytes, entry_at(4, 1) + 30); /* cut off inside its second entry */
    free(bytes);
    cr_assert_eq(repair(ASIDE), OX_OK, "%s", diag.text);
    cr_expect_eq(report.left, 1);
    bool fill = false, missing = false;
    for (uint32_t i = 0; i < report.n_steps; i++) {
        fill = fill || (report.steps[i].kind == OX_JOURNAL_STEP_FILL && report.steps[i].segment == 4);
        missing = missing || (report.steps[i].kind == OX_JOURNAL_STEP_LEAVE && report.steps[i].segment == 2);
    }
    cr_expect(fill && missing);
    cr_assert(story_open(s));
    cr_expect_eq(s->report.damage_total, 1, "only what is missing");
    size_t lost;
    cr_assert_null(story_check(s, true, &lost));
}

Test(journal_repair, a_torn_tail_is_left_to_the_next_start)
{
    size_t n;
    segments(2);
    size_t at = entry_at(2, 2);
    uint8_t *bytes = copy_of(2, &n);
    memset(bytes + at + 12, 0, n - at - 12);
    fault_disk_poke(f, SEG(2), bytes, n);
    free(bytes);
    cr_assert_eq(repair(ASIDE), OX_OK);
    cr_expect_eq(report.steps_total, 0, "%s", report.steps[0].text);
}

/* Any damage: afterwards the same entries can be read as before, and nothing is reported but what was left. */
Test(journal_repair, random_damage_keeps_every_entry_that_could_be_read)
{
    unsigned rng = 7;
    segments(4);
    size_t n[4];
    uint8_t *whole[4];
    for (uint64_t k = 0; k < 4; k++)
        whole[k] = copy_of(k + 1, &n[k]);
    for (int round = 0; round < 200; round++) {
        struct fault_disk *d = fault_disk_new((uint64_t)round + 1);
        struct ox_journal_options options = {.kind = OX_JOURNAL_TEST, .read_only = true};
        struct ox_journal_report before, after;
        struct ox_journal *j;
        for (uint64_t k = 0; k < 4; k++)
            fault_disk_poke(d, SEG(k + 1), whole[k], n[k]);
        for (int hit = 0; hit < 1 + round % 4; hit++) {
            size_t k = (size_t)rand_r(&rng) % 4, len = 1 + (size_t)rand_r(&rng) % 300;
            size_t from = OX_JOURNAL_HEADER_BYTES + (size_t)rand_r(&rng) % (n[k] - OX_JOURNAL_HEADER_BYTES);
            uint8_t *bad = malloc(n[k]);
            bool exists;
            struct ox_str now = fault_disk_peek(d, SEG(k + 1), &exists);
            memcpy(bad, now.p, n[k]);
            for (size_t i = from; i < n[k] && i < from + len; i++)
                bad[i] = (uint8_t)rand_r(&rng);
            fault_disk_poke(d, SEG(k + 1), bad, n[k]);
            free(bad);
        }
        cr_assert_eq(ox_journal_open(fault_disk_seam(d), STORY_DIR, &options, &j, &before, &diag), OX_OK);
        ox_journal_close(j);
        cr_assert_eq(ox_journal_repair(fault_disk_seam(d), STORY_DIR, OX_JOURNAL_TEST, ASIDE, &report, &diag),
                     OX_OK, "%s", diag.text);
        cr_assert_eq(report.left, 0);
        cr_assert_eq(ox_journal_open(fault_disk_seam(d), STORY_DIR, &options, &j, &after, &diag), OX_OK);
        ox_journal_close(j);
        cr_assert_eq(after.entries, before.entries, "round %d", round);
        cr_assert_eq(after.damage_total, 0, "round %d: %s", round, after.findings[0].text);
        cr_assert_eq(after.filled_bytes, report.filled_bytes);
        cr_assert(before.damage_total == 0 || report.filled_bytes > 0);
        fault_disk_free(d);
    }
    for (uint64_t k = 0; k < 4; k++)
        free(whole[k]);
}

/* ---- crashes ---- */

static void
swap_names(uint64_t a, uint64_t b)
{
    rename_raw(a, STORY_DIR "/x");
    rename_raw(b, SEG(a));
    cr_assert_eq(ox_disk_rename(s->disk, STORY_DIR "/x", SEG(b)), OX_OK);
    cr_assert_eq(ox_disk_fsync_dir(s->disk, STORY_DIR), OX_OK);
}

/* Misnamed and damaged at once; repaired with one call failing or as the last. Then once more, undisturbed. */
static bool
one_fault(uint64_t call, int how)
{
    setup();
    segments(4);
    flip(2, entry_at(2, 1) + 25);
    flip(3, entry_at(3, 2) + 3);
    if (how <
        3) /* a random cut tears a rename in two, which no file system does that the journal is meant for */
        swap_names(1, 2);
    if (how < 2)
        fault_disk_fail(f, call, EIO, how == 1);
    else
        fault_disk_die(f, call);
    ox_err err = repair(ASIDE);
    bool fired = fault_disk_fired(f);
    fault_disk_fail(f, 0, 0, false);
    if (how == 2)
        fault_disk_cut(f, FAULT_CUT_CLEAN);
    else if (how == 3)
        fault_disk_cut(f, FAULT_CUT_RANDOM);
    /* A header that could not be read is taken for damaged, and its file left: no error then, and no harm. */
    cr_assert(fired || err == OX_OK, "%s", diag.text);
    if (fired)
        cr_assert_eq(repair("data/again"), OX_OK, "call %llu: %s", (unsigned long long)call, diag.text);
    cr_assert_eq(report.left, 0, "call %llu: %s", (unsigned long long)call, report.steps[0].text);
    is_sound(2);
    teardown();
    return fired;
}

Test(journal_repair, every_failing_call_and_every_crash_can_be_repaired_again)
{
    teardown();
    for (int how = 0; how < 4; how++) {
        uint64_t call = 1;
        while (one_fault(call, how))
            call++;
        cr_expect_gt(call, 30, "the story is too short: %llu", (unsigned long long)call);
    }
    setup();
}
