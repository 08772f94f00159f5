/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    what is committed can be read back, in order, by sequence, across segments and restarts.
 * Method:  the story writer on an undisturbed disk in memory, and single steps where a rule has an edge.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "ox/journal.h"
#include "tests/harness/fault_disk.h"
#include "tests/harness/journal_story.h"

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

TestSuite(journal, .init = setup, .fini = teardown);

static void
check(void)
{
    const char *wrong = story_check(s, false, NULL);
    cr_assert_null(wrong, "%s", wrong);
}

Test(journal, an_empty_one_opens_and_gives_nothing)
{
    uint64_t durable = 99;
    cr_assert_eq(ox_journal_commit(s->j, &durable), OX_OK);
    cr_assert_eq(durable, 0);
    cr_assert_eq(s->report.findings_total, 0);
    check();
}

Test(journal, keeps_everything_over_segments_and_restarts)
{
    for (int round = 0; round < 4; round++) {
        story_run(s);
        check();
        story_close(s);
        cr_assert(story_open(s));
        cr_assert_eq(s->report.findings_total, 0, "%s", s->report.findings[0].text);
        check();
    }
    struct ox_journal_stats stats;
    ox_journal_stats(s->j, &stats);
    cr_assert_gt(stats.segments, 3);
    cr_assert_eq(stats.entries, s->report.entries);
}

Test(journal, sequences_grow_and_are_never_reused)
{
    uint64_t last = 0;
    for (int round = 0; round < 5; round++) {
        story_group(s, 10);
        story_close(s);
        cr_assert(story_open(s));
        cr_assert_gt(ox_journal_next_seq(s->j), last);
        last = s->entries[s->n - 1].seq;
    }
    for (size_t i = 1; i < s->n; i++)
        cr_assert_lt(s->entries[i - 1].seq, s->entries[i].seq);
    cr_assert_gt(s->entries[0].seq, 0);
}

Test(journal, reads_one_entry_by_its_sequence)
{
    struct ox_journal_entry info;
    struct ox_buf buf;
    uint8_t expected[2048];
    ox_buf_init(&buf);
    story_run(s);
    for (size_t i = 0; i < s->n; i++) {
        ox_err err = ox_journal_read(s->j, s->entries[i].seq, &buf, &info);
        if (s->entries[i].fate == STORY_GIVEN_UP) {
            cr_assert_eq(err, OX_E_NOT_FOUND);
            cr_assert_eq(ox_journal_segment_of(s->j, s->entries[i].seq), 0);
            continue;
        }
        cr_assert_eq(err, OX_OK);
        size_t n = story_payload(s->entries[i].id, expected, sizeof(expected));
        cr_assert(buf.len == n && (n == 0 || memcmp(buf.data, expected, n) == 0));
        cr_assert_eq(info.seq, s->entries[i].seq);
        cr_assert_eq(info.segment, ox_journal_segment_of(s->j, info.seq));
        cr_assert_eq(info.timestamp_ns, (int64_t)s->entries[i].id * 1000);
    }
    uint64_t seq = s->entries[s->n - 1].seq;
    cr_assert_eq(ox_journal_read(s->j, seq + 1, &buf, NULL), OX_E_CORRUPT);
    cr_assert_eq(ox_journal_read(s->j, ox_journal_next_seq(s->j), &buf, NULL), OX_E_NOT_FOUND);
    cr_assert_eq(ox_journal_read(s->j, 0, &buf, NULL), OX_E_NOT_FOUND);
    ox_buf_fini(&buf);
}

Test(journal, nothing_is_seen_before_its_commit)
{
    struct ox_journal_entry info;
    struct ox_str payload;
    struct ox_diag diag;
    struct iovec part = {(void *)(uintptr_t) "abc", 3};
    uint64_t seq, durable;
    struct ox_journal_cursor *c = ox_journal_cursor_new(s->j, 0);
    cr_assert_eq(ox_journal_append(s->j, &part, 1, 5, &seq), OX_OK);
    cr_assert_eq(ox_journal_pending_bytes(s->j), 3 + OX_JOURNAL_ENTRY_OVERHEAD);
    cr_assert_eq(ox_journal_cursor_next(c, &info, &payload, &diag), OX_E_END);
    cr_assert_eq(ox_journal_commit(s->j, &durable), OX_OK);
    cr_assert_eq(durable, seq + 3 + OX_JOURNAL_ENTRY_OVERHEAD);
    cr_assert_eq(ox_journal_cursor_next(c, &info, &payload, &diag), OX_OK);
    cr_assert(info.seq == seq && ox_str_eq(payload, OX_STR("abc")));
    cr_assert_eq(ox_journal_cursor_next(c, &info, &payload, &diag), OX_E_END);
    cr_assert_eq(ox_journal_append(s->j, &part, 1, 6, &seq), OX_OK);
    cr_assert_eq(ox_journal_commit(s->j, NULL), OX_OK);
    cr_assert_eq(ox_journal_cursor_next(c, &info, &payload, &diag), OX_OK, "a cursor goes on after END");
    ox_journal_cursor_free(c);
}

Test(journal, a_cursor_starts_at_any_sequence)
{
    struct ox_journal_entry info;
    struct ox_str payload;
    struct ox_diag diag;
    story_group(s, 40);
    story_group(s, 40);
    for (size_t i = 0; i + 1 < s->n; i++) {
        for (uint64_t past = 0; past < 2; past++) {
            struct ox_journal_cursor *c = ox_journal_cursor_new(s->j, s->entries[i].seq + past);
            cr_assert_eq(ox_journal_cursor_next(c, &info, &payload, &diag), OX_OK);
            cr_assert_eq(info.seq, s->entries[i + past].seq);
            ox_journal_cursor_free(c);
        }
    }
}

Test(journal, an_entry_larger_than_a_segment_gets_its_own)
{
    size_t n = 100000;
    uint8_t *big = malloc(n);
    uint64_t seq;
    struct ox_buf buf;
    ox_buf_init(&buf);
    memset(big, 0xa5, n);
    struct iovec part = {big, n};
    story_group(s, 3);
    cr_assert_eq(ox_journal_append(s->j, &part, 1, 1, &seq), OX_OK);
    cr_assert_eq(ox_journal_commit(s->j, NULL), OX_OK);
    story_group(s, 3);
    cr_assert_eq(ox_journal_read(s->j, seq, &buf, NULL), OX_OK);
    cr_assert(buf.len == n && memcmp(buf.data, big, n) == 0);
    story_close(s);
    cr_assert(story_open(s));
    cr_assert_eq(s->report.findings_total, 0);
    cr_assert_eq(s->report.entries, 7);
    cr_assert_eq(ox_journal_read(s->j, seq, &buf, NULL), OX_OK);
    ox_buf_fini(&buf);
    free(big);
}

Test(journal, a_group_may_have_more_parts_than_one_call_takes)
{
    static struct iovec parts[OX_JOURNAL_ENTRY_PARTS_MAX];
    static char bytes[OX_JOURNAL_ENTRY_PARTS_MAX];
    uint64_t seq[6];
    struct ox_buf buf;
    ox_buf_init(&buf);
    fault_disk_short_writes(f, 777);
    for (int i = 0; i < OX_JOURNAL_ENTRY_PARTS_MAX; i++) {
        bytes[i] = (char)i;
        parts[i] = (struct iovec){&bytes[i], 1};
    }
    for (int k = 0; k < 6; k++)
        cr_assert_eq(ox_journal_append(s->j, parts, OX_JOURNAL_ENTRY_PARTS_MAX, k, &seq[k]), OX_OK);
    cr_assert_eq(ox_journal_commit(s->j, NULL), OX_OK);
    for (int k = 0; k < 6; k++) {
        cr_assert_eq(ox_journal_read(s->j, seq[k], &buf, NULL), OX_OK);
        cr_assert(buf.len == sizeof(bytes) && memcmp(buf.data, bytes, sizeof(bytes)) == 0);
    }
    cr_assert_eq(ox_journal_append(s->j, parts, OX_JOURNAL_ENTRY_PARTS_MAX + 1, 0, &seq[0]), OX_E_TOO_LARGE);
    struct iovec huge = {bytes, (size_t)OX_JOURNAL_ENTRY_BYTES_MAX + 1};
    cr_assert_eq(ox_journal_append(s->j, &huge, 1, 0, &seq[0]), OX_E_TOO_LARGE);
    ox_buf_fini(&buf);
}

Test(journal, segments_go_from_the_oldest_on_and_the_newest_stays)
{
    struct ox_journal_segment segs[64];
    uint64_t below;
    for (int i = 0; i < 6; i++)
        story_group(s, 20);
    size_t n = ox_journal_segments(s->j, segs, 64);
    cr_assert_geq(n, 4);
    cr_assert(segs[n - 1].active);
    cr_assert_eq(ox_journal_release(s->j, segs[1].number, &below), OX_OK);
    cr_assert_eq(below, segs[0].number, "the oldest is still needed");
    cr_assert_eq(ox_journal_release(s->j, segs[0].number, &below), OX_OK);
    cr_assert_eq(below, segs[2].number, "both went");
    for (size_t i = 2; i < n; i++)
        cr_assert_eq(ox_journal_release(s->j, segs[i].number, &below), OX_OK);
    cr_assert_eq(below, segs[n - 1].number, "the newest stays");
    cr_assert_eq(ox_journal_rotate(s->j), OX_OK);
    cr_assert_eq(ox_journal_release(s->j, segs[n - 1].number, &below), OX_OK);
    cr_assert_eq(below, segs[n - 1].number + 1, "after rotation it goes");
    story_close(s);
    cr_assert(story_open(s));
    cr_assert_eq(s->report.entries, 0);
    cr_assert_eq(s->report.findings_total, 0);
}

Test(journal, a_cursor_passes_over_segments_released_under_it)
{
    struct ox_journal_entry info;
    struct ox_str payload;
    struct ox_diag diag;
    struct ox_journal_segment segs[64];
    for (int i = 0; i < 6; i++)
        story_group(s, 20);
    size_t n = ox_journal_segments(s->j, segs, 64);
    struct ox_journal_cursor *c = ox_journal_cursor_new(s->j, 0);
    cr_assert_eq(ox_journal_cursor_next(c, &info, &payload, &diag), OX_OK);
    for (size_t i = 0; i < n - 1; i++)
        cr_assert_eq(ox_journal_release(s->j, segs[i].number, NULL), OX_OK);
    cr_assert_eq(ox_journal_cursor_next(c, &info, &payload, &diag), OX_OK);
    cr_assert_eq(info.segment, segs[n - 1].number);
    ox_journal_cursor_free(c);
}

Test(journal, skip_to_raises_the_next_sequence)
{
    story_group(s, 3);
    story_close(s);
    cr_assert(story_open(s));
    ox_journal_skip_to(s->j, UINT64_C(1) << 50);
    cr_assert_eq(ox_journal_first_seq(s->j), 0);
    story_group(s, 3);
    cr_assert_geq(s->entries[3].seq, UINT64_C(1) << 50);
    story_close(s);
    cr_assert(story_open(s));
    cr_assert_eq(s->report.findings_total, 0);
    check();
}

Test(journal, read_only_changes_nothing)
{
    struct ox_journal_options options = {.kind = OX_JOURNAL_TEST, .segment_bytes = 8192, .read_only = true};
    struct ox_journal *look;
    struct ox_journal_report report;
    struct iovec part = {(void *)(uintptr_t) "abc", 3};
    uint64_t seq;
    story_run(s);
    struct ox_journal_segment segs[64];
    size_t n = ox_journal_segments(s->j, segs, 64);
    cr_assert_eq(ox_journal_open(s->disk, STORY_DIR, &options, &look, &report, NULL), OX_OK);
    cr_assert_eq(report.segments, n);
    cr_assert_eq(report.findings_total, 0);
    cr_assert_eq(ox_journal_append(look, &part, 1, 0, &seq), OX_E_STATE);
    cr_assert_eq(ox_journal_rotate(look), OX_E_STATE);
    cr_assert_eq(ox_journal_release(look, segs[0].number, NULL), OX_E_STATE);
    ox_journal_close(look);
    story_group(s, 5);
    check();
}

Test(journal, impossible_options_are_refused_with_a_sentence)
{
    struct ox_journal_options options = {.kind = OX_JOURNAL_TEST, .segment_bytes = 100};
    struct ox_journal *j;
    struct ox_diag diag;
    cr_assert_eq(ox_journal_open(s->disk, "x", &options, &j, NULL, &diag), OX_E_INVALID);
    cr_assert_null(j);
    cr_assert_str_eq(diag.field, "segment_bytes");
    options.segment_bytes = 0;
    cr_assert_eq(ox_journal_open(s->disk, "", &options, &j, NULL, &diag), OX_E_INVALID);
}
