/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    whatever is done to the audit log behind ObserveX's back is found, and what a crash does to it is not
 *          mistaken for that.
 * Method:  a log on the faulty disk; each byte flipped, each line removed, repeated, swapped, each length cut to;
 *          power cut at each call of a write.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/audit.h"
#include "ox/buf.h"
#include "tests/harness/fault_disk.h"

#define PATH  "d/audit.jsonl"
#define HEAD  "d/audit.head"
#define LINES 7

static struct ox_clock_virtual now;
static struct ox_audit_report report;
static struct ox_diag diag;

static struct fault_disk *
new_disk(uint64_t seed)
{
    struct fault_disk *fd = fault_disk_new(seed);
    cr_assert_eq(ox_disk_ensure_dir(fault_disk_seam(fd), "d"), OX_OK);
    ox_clock_virtual_init(&now, 1000, 1000000000);
    return fd;
}

static ox_err
put(struct ox_audit *a, const char *detail)
{
    struct ox_audit_entry e = {.who = {"key of tenant acme", "192.0.2.1", "operator"},
                               .action = "tenants.write",
                               .tenant = "acme",
                               .outcome = "granted",
                               .detail = detail};
    return ox_audit_write(a, &e);
}

static struct ox_audit *
open_log(struct fault_disk *fd)
{
    return ox_audit_open(fault_disk_seam(fd), PATH, &now.clock);
}

static void
write_lines(struct fault_disk *fd, int n)
{
    struct ox_audit *a = open_log(fd);
    for (int i = 0; i < n; i++)
        cr_assert_eq(put(a, "one of them"), OX_OK);
    ox_audit_close(a);
}

static bool
stands_as(struct fault_disk *fd, const struct ox_audit_known *known)
{
    fault_disk_quiet(fd, true);
    ox_err err = ox_audit_read(fault_disk_seam(fd), PATH, known, &report, &diag);
    fault_disk_quiet(fd, false);
    cr_assert_eq(err, OX_OK, "%s", diag.text);
    return !report.broken;
}

static bool
stands(struct fault_disk *fd)
{
    return stands_as(fd, &(struct ox_audit_known){0});
}

/* What a file holds, to be changed and put back. */
static struct ox_buf
copy_of(struct fault_disk *fd, const char *path)
{
    bool exists;
    struct ox_buf out;
    ox_buf_init(&out);
    ox_buf_append_str(&out, fault_disk_peek(fd, path, &exists));
    cr_assert(exists);
    return out;
}

static void
replace(struct fault_disk *fd, const char *path, const struct ox_buf *with)
{
    fault_disk_poke(fd, path, with->data, with->len);
}

/* Line i of a text, with its newline. */
static struct ox_str
line_of(const struct ox_buf *text, int i)
{
    struct ox_str s = ox_buf_str(text);
    for (;;) {
        size_t n = (size_t)((const char *)memchr(s.p, '\n', s.n) + 1 - s.p);
        if (i-- == 0)
            return (struct ox_str){s.p, n};
        s = (struct ox_str){s.p + n, s.n - n};
    }
}

Test(audit_read, a_log_stands_as_it_was_written)
{
    struct fault_disk *fd = new_disk(1);
    cr_assert_eq(ox_audit_read(fault_disk_seam(fd), PATH, &(struct ox_audit_known){0}, &report, &diag),
                 OX_E_NOT_FOUND);
    write_lines(fd, 3);
    write_lines(fd, LINES - 3);
    cr_assert(stands(fd), "%s", report.why);
    cr_assert_eq(report.lines, LINES);
    cr_assert_eq(report.first, 1);
    cr_assert_eq(report.last, LINES);
    cr_assert_eq(report.unchained, 0);
    cr_assert_not(report.cut_off);
    fault_disk_free(fd);
}

Test(audit_read, each_changed_byte_is_found_in_its_line)
{
    struct fault_disk *fd = new_disk(1);
    write_lines(fd, LINES);
    struct ox_buf good = copy_of(fd, PATH), bad = copy_of(fd, PATH);
    uint64_t line = 1;
    for (size_t i = 0; i < good.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            bad.data[i] = (uint8_t)(good.data[i] ^ 1 << bit);
            replace(fd, PATH, &bad);
            cr_assert_not(stands(fd), "byte %zu, bit %d", i, bit);
            cr_assert_eq(report.number, line, "byte %zu of line %d: %s", i, (int)line, report.why);
        }
        bad.data[i] = good.data[i];
        line += good.data[i] == '\n';
    }
    replace(fd, PATH, &good);
    cr_assert(stands(fd));
    fault_disk_free(fd);
    ox_buf_fini(&good);
    ox_buf_fini(&bad);
}

Test(audit_read, a_changed_or_missing_head_is_found)
{
    struct fault_disk *fd = new_disk(1);
    write_lines(fd, LINES);
    struct ox_buf head = copy_of(fd, HEAD);
    for (size_t i = 0; i < head.len; i++) {
        head.data[i] ^= 1;
        replace(fd, HEAD, &head);
        cr_assert_not(stands(fd), "byte %zu", i);
        head.data[i] ^= 1;
    }
    fault_disk_remove(fd, HEAD);
    cr_assert_not(stands(fd));
    ox_buf_fini(&head);
    fault_disk_free(fd);
}

Test(audit_read, each_removed_repeated_or_swapped_line_is_found)
{
    struct fault_disk *fd = new_disk(1);
    write_lines(fd, LINES);
    struct ox_buf good = copy_of(fd, PATH), bad;
    ox_buf_init(&bad);
    for (int i = 0; i < LINES; i++) {
        for (int j = 0; j < LINES;
             j++) { /* j takes i's place; of itself: i is gone; and then beside it: repeated */
            for (int beside = 0; beside < 2; beside++) {
                ox_buf_reset(&bad);
                for (int k = 0; k < LINES; k++) {
                    if (k != i || beside)
                        ox_buf_append_str(&bad, line_of(&good, i != j && k == j && !beside ? i : k));
                    if (k == i && (i != j || beside))
                        ox_buf_append_str(&bad, line_of(&good, j));
                }
                replace(fd, PATH, &bad);
                cr_assert_not(stands(fd), "%d %d %d", i, j, beside);
            }
        }
    }
    fault_disk_free(fd);
    ox_buf_fini(&good);
    ox_buf_fini(&bad);
}

Test(audit_read, each_cut_at_the_end_is_found)
{
    struct fault_disk *fd = new_disk(1);
    write_lines(fd, LINES);
    struct ox_buf good = copy_of(fd, PATH);
    for (size_t n = good.len; n > 0; n--) {
        good.len = n - 1;
        replace(fd, PATH, &good);
        cr_assert_not(stands(fd), "cut to %zu bytes", n - 1);
    }
    fault_disk_remove(fd, PATH);
    cr_assert_not(stands(fd), "the head is still there");
    /* A writer goes on; the hole stays one. */
    write_lines(fd, 1);
    cr_assert_not(stands(fd));
    cr_assert_eq(report.number, 1);
    ox_buf_fini(&good);
    fault_disk_free(fd);
}

/* Whoever can write all files can write another chain; a hash that somebody noted elsewhere shows it. */
Test(audit_read, another_log_in_its_place_is_found_by_a_hash_that_was_noted)
{
    struct fault_disk *fd = new_disk(1), *forged = new_disk(1);
    write_lines(fd, LINES);
    cr_assert(stands(fd));
    char noted[OX_AUDIT_HASH_LEN + 1];
    memcpy(noted, report.hash, sizeof(noted));
    struct ox_audit_known known = {.seq = LINES, .hash = ox_str_of(noted)};
    cr_assert(stands_as(fd, &known));
    struct ox_audit *a = open_log(forged);
    for (int i = 0; i <= LINES; i++) {
        cr_assert_eq(put(a, "something else"), OX_OK);
        cr_assert(stands(forged));
        cr_assert_not(stands_as(forged, &known), "%d lines", i + 1);
    }
    ox_audit_close(a);
    fault_disk_free(forged);
    fault_disk_free(fd);
}

Test(audit_read, a_power_cut_at_any_moment_breaks_nothing)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct fault_disk *fd = new_disk(seed);
        uint64_t acknowledged = seed % 3;
        write_lines(fd, (int)acknowledged);
        struct ox_audit *a = open_log(fd);
        fault_disk_die(fd, 1 + seed % 30);
        while (put(a, "a sentence that makes the line longer") == OX_OK)
            acknowledged++;
        ox_audit_close(a);
        fault_disk_cut(fd, FAULT_CUT_RANDOM);
        cr_assert(acknowledged == 0 || stands(fd) || report.last >= acknowledged, "seed %d: %s", (int)seed,
                  report.why);
        write_lines(fd, 2);
        cr_assert(stands(fd), "seed %d: %s:%d %s", (int)seed, report.file, (int)report.number, report.why);
        cr_assert_geq(report.lines, acknowledged + 2);
        fault_disk_free(fd);
    }
}

Test(audit_read, a_line_that_was_cut_off_is_said_and_vouched_for)
{
    struct fault_disk *fd = new_disk(1);
    write_lines(fd, 2);
    struct ox_buf text = copy_of(fd, PATH);
    ox_buf_append_cstr(&text, "{\"seq\":3,\"prev\":\"12");
    replace(fd, PATH, &text);
    cr_assert(stands(fd), "%s", report.why);
    cr_assert(report.cut_off);
    write_lines(fd, 1);
    cr_assert(stands(fd), "%s", report.why);
    cr_assert_not(report.cut_off);
    cr_assert_eq(report.unchained, 1);
    cr_assert_eq(report.lines, 3);
    ox_buf_fini(&text);
    text = copy_of(fd, PATH);
    strstr((char *)text.data, ":\"12\n")[2] = '3';
    replace(fd, PATH, &text);
    cr_assert_not(stands(fd));
    cr_assert_eq(report.number, 3);
    ox_buf_fini(&text);
    fault_disk_free(fd);
}

Test(audit_read, lines_of_a_release_without_a_chain_stay_and_are_vouched_for)
{
    static const char old[] = "{\"time\":\"then\",\"who\":\"somebody\"}\n{\"time\":\"later\"}\n";
    struct fault_disk *fd = new_disk(1);
    fault_disk_poke(fd, PATH, old, sizeof(old) - 1);
    cr_assert(stands(fd));
    cr_assert_eq(report.unchained, 2);
    write_lines(fd, 2);
    cr_assert(stands(fd), "%s", report.why);
    cr_assert_eq(report.unchained, 2);
    cr_assert_eq(report.lines, 2);
    struct ox_buf text = copy_of(fd, PATH);
    text.data[12] = 'T';
    replace(fd, PATH, &text);
    cr_assert_not(stands(fd));
    ox_buf_fini(&text);
    fault_disk_free(fd);
}

static bool
count(void *arg, const struct ox_audit_line *line)
{
    ++*(uint64_t *)arg;
    return line->seq != 0;
}

Test(audit_read, the_chain_goes_on_over_files)
{
    char detail[8000], first[64], second[64];
    struct fault_disk *fd = new_disk(1);
    struct ox_audit *a = open_log(fd);
    const uint64_t n = 300; /* two files and a part */
    memset(detail, 'x', sizeof(detail));
    detail[sizeof(detail) - 1] = '\0';
    for (uint64_t i = 0; i < n; i++)
        cr_assert_eq(put(a, detail), OX_OK);
    cr_assert(stands(fd), "%s", report.why);
    cr_assert_eq(report.lines, n);
    bool exists = false;
    uint64_t last = 0, seen = 0;
    while (!exists) {
        snprintf(first, sizeof(first), "d/audit-%012llu.jsonl", (unsigned long long)++last);
        (void)fault_disk_peek(fd, first, &exists);
        cr_assert_lt(last, n, "nothing was put away");
    }
    struct ox_audit_known behind = {.behind = last, .each = count, .arg = &seen};
    (void)stands_as(fd, &behind);
    cr_assert_eq(seen, n - last);
    /* In the middle, and in a file that was put away. */
    struct ox_buf text = copy_of(fd, first);
    text.data[text.len - 100] ^= 1;
    replace(fd, first, &text);
    cr_assert_not(stands(fd));
    cr_assert_str_eq(report.file, first);
    cr_assert_eq(report.number, last);
    fault_disk_remove(fd, first);
    cr_assert_not(stands(fd));
    cr_assert_eq(report.number, 1);
    cr_assert(stands_as(fd, &(struct ox_audit_known){.first = last + 1}), "%s", report.why);
    cr_assert_not(stands_as(fd, &(struct ox_audit_known){.first = last}));
    /* One that opens it anew goes on where it is, also just behind a change of files. */
    ox_audit_close(a);
    snprintf(second, sizeof(second), "d/audit-%012llu.jsonl", (unsigned long long)n);
    cr_assert_eq(ox_disk_rename(fault_disk_seam(fd), PATH, second), OX_OK);
    fault_disk_remove(fd, HEAD);
    write_lines(fd, 1);
    cr_assert(stands_as(fd, &(struct ox_audit_known){.first = last + 1}), "%s", report.why);
    cr_assert_eq(report.last, n + 1);
    ox_buf_fini(&text);
    fault_disk_free(fd);
}

/* The head cannot be written for a while, as on a disk that fails now and then: who verifies later must not take that for
 * somebody's doing. */
Test(audit_read, a_head_that_cannot_be_written_falls_behind_by_one_line_at_most)
{
    struct fault_disk *fd = new_disk(1);
    write_lines(fd, 2);
    struct ox_audit *a = open_log(fd);
    cr_assert_eq(put(a, "the first of this run"), OX_OK);
    uint64_t before = fault_disk_calls(fd);
    cr_assert_eq(put(a, "one that shows how many calls a line takes"), OX_OK);
    uint64_t calls = fault_disk_calls(fd) - before;
    for (int i = 0; i < 5; i++) {
        fault_disk_fail(fd, calls, EIO, false); /* the last one, with which the head becomes durable */
        cr_assert_neq(put(a, "not acknowledged"), OX_OK, "%d", i);
        fault_disk_fail(fd, 0, 0, false);
    }
    fault_disk_cut(fd, FAULT_CUT_CLEAN);
    cr_assert(stands(fd), "%s", report.why);
    ox_audit_close(a);
    a = open_log(fd);
    cr_assert_eq(put(a, "it goes on"), OX_OK);
    cr_assert(stands(fd), "%s", report.why);
    ox_audit_close(a);
    fault_disk_free(fd);
}

/* Somebody fills the newest file with what is no line: the file before must not be lost for it. */
Test(audit_read, a_full_file_takes_no_other_ones_name)
{
    struct fault_disk *fd = new_disk(1);
    struct ox_buf filling;
    char segment[64];
    write_lines(fd, 3);
    struct ox_buf log = copy_of(fd, PATH);
    snprintf(segment, sizeof(segment), "d/audit-%012d.jsonl", 3);
    fault_disk_poke(fd, segment, log.data, log.len);
    ox_buf_init(&filling);
    while (filling.len <= OX_AUDIT_SEGMENT_BYTES)
        ox_buf_append_cstr(&filling, "what is no line of the log\n");
    fault_disk_poke(fd, PATH, filling.data, filling.len);
    write_lines(fd, 2);
    bool exists;
    struct ox_str kept = fault_disk_peek(fd, segment, &exists);
    cr_assert(exists && kept.n == log.len && memcmp(kept.p, log.data, log.len) == 0, "the lines are gone");
    cr_assert_not(stands(fd) && report.unchained == 0, "and the filling is told");
    ox_buf_fini(&filling);
    ox_buf_fini(&log);
    fault_disk_free(fd);
}
