/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    bytes that are not what was written are reported and set aside; no wrong payload is ever
 *          returned, what is whole is kept, and the journal opens whatever it finds.
 * Method:  write a journal, change its files behind its back in every way that fits in a test, open,
 *          compare.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/crc32c.h"
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

TestSuite(journal_damage, .init = setup, .fini = teardown);

static const char *
path_of(uint64_t number)
{
    static char path[64];
    snprintf(path, sizeof(path), STORY_DIR "/%016llx.seg", (unsigned long long)number);
    return path;
}

/* A copy of a segment file. */
static uint8_t *
copy_of(uint64_t number, size_t *n)
{
    bool exists;
    struct ox_str bytes = fault_disk_peek(f, path_of(number), &exists);
    cr_assert(exists);
    uint8_t *copy = malloc(bytes.n != 0 ? bytes.n : 1);
    memcpy(copy, bytes.p, bytes.n);
    *n = bytes.n;
    return copy;
}

static bool
there(const char *path)
{
    bool exists;
    (void)fault_disk_peek(f, path, &exists);
    return exists;
}

static size_t
reopen_lossy(void)
{
    size_t missing;
    story_close(s);
    cr_assert(story_open(s));
    const char *wrong = story_check(s, true, &missing);
    cr_assert_null(wrong, "%s", wrong);
    return missing;
}

static size_t
count_findings(enum ox_journal_finding_kind kind)
{
    size_t n = 0;
    for (uint32_t i = 0; i < s->report.n_findings; i++)
        n += s->report.findings[i].kind == kind;
    return n;
}

/* Two full segments and one begun: 1 and 2 are sealed, 3 is the last. */
static void
three_segments(void)
{
    struct ox_journal_segment seg[8];
    while (ox_journal_segments(s->j, seg, 8) < 3)
        cr_assert_eq(story_group(s, 4), OX_OK);
    cr_assert_eq(story_group(s, 4), OX_OK);
    story_close(s);
}

Test(journal_damage, a_torn_tail_of_any_length_costs_only_what_was_torn)
{
    size_t n;
    cr_assert_eq(story_group(s, 6), OX_OK);
    uint64_t end =
        s->entries[s->n - 1].seq; /* of the last entry's beginning; the first segment starts at 0 */
    uint64_t behind = ox_journal_next_seq(s->j);
    story_close(s);
    uint8_t *bytes = copy_of(1, &n);
    for (uint64_t cut = OX_JOURNAL_HEADER_BYTES; cut <= behind; cut++) {
        for (int zeroed = 0; zeroed < 2; zeroed++) {
            uint8_t *torn = malloc(n);
            memcpy(torn, bytes, n);
            memset(torn + cut, 0, n - cut);
            fault_disk_poke(f, path_of(1), torn, zeroed ? n : cut);
            free(torn);
            size_t whole = 0;
            while (whole < s->n && (whole + 1 < s->n ? s->entries[whole + 1].seq : behind) <= cut)
                whole++;
            size_t missing = reopen_lossy();
            /* A payload may end in zeros by chance; then a cut there takes nothing. */
            cr_assert_leq(missing, s->n - whole, "cut %llu", (unsigned long long)cut);
            cr_assert_eq(s->report.entries, s->n - missing);
            cr_assert_eq(s->report.damage_total, 0);
            story_close(s);
        }
    }
    cr_assert_gt(behind, end);
    free(bytes);
}

/* At rest a bit flips in the newest entry: it had been acknowledged, and is not cut off as if it had not. */
Test(journal_damage, a_changed_last_entry_is_no_torn_tail)
{
    size_t n, told = 0, flips = 0;
    cr_assert_eq(story_group(s, 6), OX_OK);
    uint64_t last = s->entries[s->n - 1].seq, behind = ox_journal_next_seq(s->j);
    story_close(s);
    uint8_t *bytes = copy_of(1, &n);
    for (uint64_t at = last + 8; at < behind; at++) { /* magic and length say where it ends */
        bytes[at] ^= 1;
        fault_disk_poke(f, path_of(1), bytes, n);
        bytes[at] ^= 1;
        cr_assert_eq(reopen_lossy(), 1);
        cr_assert_eq(s->report.findings_total, 1);
        told += count_findings(OX_JOURNAL_BAD_BYTES);
        flips++;
        story_close(s);
        char damaged[80];
        snprintf(damaged, sizeof(damaged), STORY_DIR "/%016x.%016llx.damaged", 1, (unsigned long long)last);
        fault_disk_remove(f, damaged);
    }
    cr_expect_geq(told, flips - 1, "%zu of %zu: only where the last byte becomes zero it may look torn", told,
                  flips);
    free(bytes);
}

Test(journal_damage, what_comes_after_a_torn_tail_goes_to_a_new_segment)
{
    size_t n;
    cr_assert_eq(story_group(s, 6), OX_OK);
    uint64_t last = s->entries[s->n - 1].seq;
    story_close(s);
    uint8_t *bytes = copy_of(1, &n);
    fault_disk_poke(f, path_of(1), bytes, last + 10);
    free(bytes);
    cr_assert_eq(reopen_lossy(), 1);
    cr_assert_eq(count_findings(OX_JOURNAL_TORN_TAIL), 1);
    s->entries[--s->n].fate = STORY_REFUSED;
    cr_assert_eq(story_group(s, 6), OX_OK);
    cr_assert_eq(ox_journal_segment_of(s->j, s->entries[s->n - 1].seq), 2);
    cr_assert_eq(reopen_lossy(), 0);
    cr_assert_eq(s->report.findings_total, 0);
}

/* One bit at every place of a segment; both of a sealed one and of the last. */
static void
flip_every_byte(uint64_t number)
{
    size_t n;
    bool exists;
    three_segments();
    cr_assert(story_open(s));
    uint64_t all = s->report.entries;
    struct ox_journal_segment seg[8];
    ox_journal_segments(s->j, seg, 8);
    uint64_t used = seg[number - 1].end_seq - seg[number - 1].first_seq;
    story_close(s);
    uint8_t *bytes = copy_of(number, &n);
    for (size_t i = 0; i < used; i++) {
        if (i == 80)
            i = 2048; /* padding of the header block means nothing */
        if (i == 2048 + 80)
            i = OX_JOURNAL_HEADER_BYTES;
        uint8_t bit = (uint8_t)(1u << (i % 8));
        bytes[i] ^= bit;
        fault_disk_poke(f, path_of(number), bytes, n);
        bytes[i] ^= bit;
        size_t missing = reopen_lossy();
        if (i < OX_JOURNAL_HEADER_BYTES) {
            cr_assert_eq(missing, 0, "byte %zu: the other copy of the header serves", i);
        } else {
            cr_assert_eq(missing, 1, "byte %zu: %zu entries missing", i, missing);
            cr_assert_eq(s->report.findings_total, 1, "byte %zu", i);
            cr_assert_eq(s->report.entries, all - 1);
            cr_assert(i >= s->report.findings[0].offset &&
                      i < s->report.findings[0].offset + s->report.findings[0].bytes);
        }
        story_close(s);
        char damaged[80];
        snprintf(damaged, sizeof(damaged), STORY_DIR "/%016llx.%016llx.damaged", (unsigned long long)number,
                 (unsigned long long)s->report.findings[0].offset);
        (void)fault_disk_peek(f, damaged, &exists);
        if (exists)
            fault_disk_remove(f, damaged);
    }
    free(bytes);
}

Test(journal_damage, one_flipped_bit_in_a_sealed_segment_costs_one_entry)
{
    flip_every_byte(2);
}

Test(journal_damage, one_flipped_bit_in_the_last_segment_costs_one_entry)
{
    flip_every_byte(3);
}

Test(journal_damage, damaged_bytes_are_kept_beside_the_journal)
{
    size_t n;
    char path[80];
    three_segments();
    uint8_t *bytes = copy_of(2, &n);
    memset(bytes + OX_JOURNAL_HEADER_BYTES + 10, 0x77, 100);
    fault_disk_poke(f, path_of(2), bytes, n);
    cr_assert_gt(reopen_lossy(), 0);
    cr_assert_eq(s->report.damage_total, 1);
    struct ox_journal_finding finding = s->report.findings[0];
    cr_assert_eq(finding.kind, OX_JOURNAL_BAD_BYTES);
    cr_assert_eq(finding.segment, 2);
    snprintf(path, sizeof(path), STORY_DIR "/%016x.%016llx.damaged", 2, (unsigned long long)finding.offset);
    bool exists;
    struct ox_str kept = fault_disk_peek(f, path, &exists);
    cr_assert(exists);
    cr_assert_eq(kept.n, finding.bytes);
    cr_assert_eq(memcmp(kept.p, bytes + finding.offset, kept.n), 0);
    free(bytes);
}

Test(journal_damage, a_missing_segment_is_reported_once_per_number)
{
    three_segments();
    fault_disk_remove(f, path_of(2));
    cr_assert_gt(reopen_lossy(), 0);
    cr_assert_eq(count_findings(OX_JOURNAL_MISSING_SEGMENT), 1);
    cr_assert_eq(s->report.findings[0].segment, 2);
    cr_assert_eq(story_group(s, 3), OX_OK);
}

Test(journal_damage, swapped_segments_are_set_aside)
{
    size_t n1, n2;
    three_segments();
    uint8_t *one = copy_of(1, &n1), *two = copy_of(2, &n2);
    fault_disk_poke(f, path_of(1), two, n2);
    fault_disk_poke(f, path_of(2), one, n1);
    free(one);
    free(two);
    cr_assert_gt(reopen_lossy(), 0);
    cr_assert_eq(count_findings(OX_JOURNAL_FOREIGN_SEGMENT), 2);
    cr_assert(there(STORY_DIR "/0000000000000001.seg.damaged"));
    cr_assert_not(there(STORY_DIR "/0000000000000001.seg"));
    cr_assert_eq(reopen_lossy() > 0, true);
    cr_assert_eq(s->report.findings_total, 0, "told once: %s", s->report.findings[0].text);
}

Test(journal_damage, a_segment_of_another_journal_is_set_aside)
{
    size_t n;
    struct story *other = malloc(sizeof(*other));
    struct fault_disk *g = fault_disk_new(2);
    struct ox_journal_options options = {.kind = OX_JOURNAL_WAL, .segment_bytes = 8192};
    struct iovec part = {(void *)(uintptr_t) "secret", 6};
    uint64_t seq;
    bool exists;
    three_segments();
    cr_assert_eq(ox_journal_open(fault_disk_seam(g), STORY_DIR, &options, &other->j, NULL, NULL), OX_OK);
    cr_assert_eq(ox_journal_append(other->j, &part, 1, 0, &seq), OX_OK);
    cr_assert_eq(ox_journal_commit(other->j, NULL), OX_OK);
    struct ox_str bytes = fault_disk_peek(g, path_of(1), &exists);
    n = bytes.n;
    fault_disk_poke(f, path_of(4), bytes.p, n);
    cr_assert_eq(reopen_lossy(), 0);
    cr_assert_eq(count_findings(OX_JOURNAL_FOREIGN_SEGMENT), 1);
    cr_assert_eq(story_group(s, 3), OX_OK);
    cr_assert_eq(ox_journal_segment_of(s->j, s->entries[s->n - 1].seq), 5, "its number is not used again");
    cr_assert_eq(reopen_lossy(), 0);
    cr_assert_eq(s->report.findings_total, 0);
    story_close(other);
    fault_disk_free(g);
    free(other);
}

Test(journal_damage, a_copied_segment_does_not_give_its_entries_twice)
{
    size_t n;
    three_segments();
    uint8_t *two = copy_of(2, &n);
    fault_disk_poke(f, path_of(4), two, n);
    free(two);
    cr_assert_eq(reopen_lossy(), 0);
    cr_assert_eq(count_findings(OX_JOURNAL_FOREIGN_SEGMENT), 1);
}

Test(journal_damage, headers_damaged_in_both_copies_cost_the_segment)
{
    size_t n;
    three_segments();
    uint8_t *bytes = copy_of(3, &n);
    bytes[20] ^= 1;
    bytes[2048 + 40] ^= 1;
    fault_disk_poke(f, path_of(3), bytes, n);
    free(bytes);
    uint64_t highest = s->entries[s->n - 1].seq;
    cr_assert_gt(reopen_lossy(), 0);
    cr_assert_eq(count_findings(OX_JOURNAL_BAD_HEADER), 1);
    for (int round = 0; round < 2; round++) {
        cr_assert_gt(ox_journal_next_seq(s->j), highest, "sequences in the lost segment are not used again");
        reopen_lossy();
    }
    cr_assert_eq(story_group(s, 3), OX_OK);
}

Test(journal_damage, a_newer_version_is_left_alone)
{
    size_t n;
    three_segments();
    uint8_t *bytes = copy_of(3, &n);
    for (size_t at = 0; at <= 2048; at += 2048) {
        bytes[at + 8] = 2;
        uint32_t crc = ox_crc32c(0, bytes + at, 68);
        for (int i = 0; i < 4; i++)
            bytes[at + 68 + (size_t)i] = (uint8_t)(crc >> (8 * i));
    }
    fault_disk_poke(f, path_of(3), bytes, n);
    free(bytes);
    struct ox_journal_options options = {.kind = OX_JOURNAL_TEST};
    struct ox_diag diag;
    cr_assert_eq(ox_journal_open(s->disk, STORY_DIR, &options, &s->j, NULL, &diag), OX_E_UNIMPLEMENTED);
    cr_assert_not_null(strstr(diag.text, "newer version"));
    cr_assert(there(path_of(3)));
}

Test(journal_damage, bad_sectors_cost_what_lies_in_them)
{
    three_segments();
    fault_disk_bad_sector(f, path_of(2), OX_JOURNAL_HEADER_BYTES + 100, OX_JOURNAL_HEADER_BYTES + 101);
    size_t missing = reopen_lossy();
    cr_assert_gt(missing, 0);
    cr_assert_eq(count_findings(OX_JOURNAL_UNREADABLE), 1);
    cr_assert_gt(s->report.entries, 0);
}

Test(journal_damage, a_cut_off_sealed_segment_is_reported)
{
    size_t n;
    three_segments();
    uint8_t *bytes = copy_of(2, &n);
    fault_disk_poke(f, path_of(2), bytes, n - 30);
    free(bytes);
    cr_assert_gt(reopen_lossy(), 0);
    cr_assert_geq(count_findings(OX_JOURNAL_BAD_BYTES), 1);
}

Test(journal_damage, random_rubbish_never_gives_a_wrong_payload)
{
    unsigned rng = 42;
    three_segments();
    size_t n[3];
    uint8_t *whole[3];
    for (uint64_t k = 0; k < 3; k++)
        whole[k] = copy_of(k + 1, &n[k]);
    for (int round = 0; round < 600; round++) {
        uint64_t k = (uint64_t)rand_r(&rng) % 3;
        uint8_t *bad = malloc(n[k] + 1);
        memcpy(bad, whole[k], n[k]);
        size_t from = (size_t)rand_r(&rng) % n[k], len = 1 + (size_t)rand_r(&rng) % (round % 3 ? 40 : 3000);
        size_t source = (size_t)rand_r(&rng) % n[k];
        for (size_t i = from; i < n[k] && i < from + len; i++)
            bad[i] = round % 2 ? (uint8_t)rand_r(&rng) : whole[k][(source + i - from) % n[k]];
        fault_disk_poke(f, path_of(k + 1), bad, n[k]);
        free(bad);
        reopen_lossy();
        story_close(s);
        for (uint64_t i = 0; i < 3; i++) /* also what was set aside */
            fault_disk_poke(f, path_of(i + 1), whole[i], n[i]);
    }
    for (uint64_t k = 0; k < 3; k++)
        free(whole[k]);
}

/* The worst payload: written by somebody who has seen the files, it contains whole entries of this very segment. */
Test(journal_damage, entries_inside_a_payload_are_not_entries)
{
    size_t n;
    cr_assert_eq(story_group(s, 6), OX_OK);
    uint8_t *bytes = copy_of(1, &n);
    uint64_t first = s->entries[0].seq, behind = ox_journal_next_seq(s->j), seq, durable;
    struct iovec evil = {bytes + first, (size_t)(behind - first)};
    cr_assert_eq(ox_journal_append(s->j, &evil, 1, 0, &seq), OX_OK);
    cr_assert_eq(ox_journal_commit(s->j, &durable), OX_OK);
    free(bytes);
    /* Its own header damaged: recovery has to look for the next entry inside the payload, and finds none. */
    bytes = copy_of(1, &n);
    bytes[seq + 5] ^= 0x10;
    fault_disk_poke(f, path_of(1), bytes, n);
    free(bytes);
    cr_assert_eq(reopen_lossy(), 0);
    cr_assert_eq(s->report.entries, 6);
    cr_assert_eq(count_findings(OX_JOURNAL_TORN_TAIL), 1);
}

Test(journal_damage, leftovers_of_an_interrupted_creation_are_removed)
{
    story_close(s);
    fault_disk_poke(f, STORY_DIR "/0000000000000007.tmp", "x", 1);
    fault_disk_poke(f, STORY_DIR "/notes.txt", "x", 1);
    cr_assert_eq(reopen_lossy(), 0);
    cr_assert_not(there(STORY_DIR "/0000000000000007.tmp"));
    cr_assert(there(STORY_DIR "/notes.txt"));
    cr_assert_eq(s->report.findings_total, 0);
}
