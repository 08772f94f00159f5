/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    what was acknowledged as kept survives power cuts and failing disks, in whole lines; files are bounded
 *          in size, number and age.
 * Method:  short stories on the faulty disk of the harness, where each call fails once.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ox/dead_letter.h"
#include "tests/harness/fault_disk.h"

#define DIR     "data/dlq"
#define CURRENT DIR "/dlq.jsonl"
#define NOW     1700000000000000000ull
#define PLENTY  (1ull << 40)

/* --- the file --------------------------------------------------------------------------------------------- */

static struct ox_dead_letter_config
config(uint64_t file_bytes, uint64_t total_bytes, uint64_t keep_ns)
{
    return (struct ox_dead_letter_config){file_bytes, total_bytes, keep_ns};
}

static struct ox_dead_letter *
open_with(struct fault_disk *d, struct ox_dead_letter_config c)
{
    struct ox_dead_letter *dl = NULL;
    struct ox_diag diag;
    cr_assert_eq(ox_dead_letter_open(fault_disk_seam(d), DIR, &c, &dl, &diag), OX_OK, "%s", diag.text);
    return dl;
}

static ox_err
put(struct ox_dead_letter *dl, const char *lines, uint64_t now_ns)
{
    struct ox_diag diag;
    return ox_dead_letter_append(dl, ox_str_of(lines), now_ns, &diag);
}

static void
holds(struct fault_disk *d, const char *path, const char *want)
{
    bool exists;
    struct ox_str got = fault_disk_peek(d, path, &exists);
    cr_expect_eq(exists, want != NULL, "%s", path);
    if (exists && want != NULL)
        cr_expect(got.n == strlen(want) && (got.n == 0 || memcmp(got.p, want, got.n) == 0),
                  "%s holds \"%.*s\", not \"%s\"", path, (int)got.n, got.p, want);
}

Test(dead_letter, what_was_acknowledged_survives_a_power_cut)
{
    struct fault_disk *d = fault_disk_new(1);
    struct ox_dead_letter *dl = open_with(d, config(PLENTY, PLENTY, PLENTY));
    cr_assert_eq(put(dl, "one\n", NOW), OX_OK);
    cr_assert_eq(put(dl, "", NOW), OX_OK);
    cr_assert_eq(put(dl, "two\nthree\n", NOW), OX_OK);
    cr_expect_eq(ox_dead_letter_bytes(dl), 14);
    fault_disk_cut(d, FAULT_CUT_CLEAN);
    holds(d, CURRENT, "one\ntwo\nthree\n");
    /* Its handle went with the power: the memory only. */
    free(dl);
    dl = open_with(d, config(PLENTY, PLENTY, PLENTY));
    cr_expect_eq(ox_dead_letter_bytes(dl), 14);
    cr_assert_eq(put(dl, "four\n", NOW), OX_OK);
    holds(d, CURRENT, "one\ntwo\nthree\nfour\n");
    ox_dead_letter_close(dl);
    fault_disk_free(d);
}

/* Opens a file that holds `whole`, then `torn`. */
static void
opens_cut(const char *whole, const void *torn, size_t n)
{
    struct fault_disk *d = fault_disk_new(1);
    struct ox_buf file;
    ox_buf_init(&file);
    ox_buf_append_cstr(&file, whole);
    ox_buf_append(&file, torn, n);
    fault_disk_poke(d, CURRENT, file.data, file.len);
    struct ox_dead_letter *dl = open_with(d, config(PLENTY, PLENTY, PLENTY));
    holds(d, CURRENT, whole);
    cr_expect_eq(ox_dead_letter_bytes(dl), strlen(whole));
    ox_dead_letter_close(dl);
    ox_buf_fini(&file);
    fault_disk_free(d);
}

Test(dead_letter, a_torn_last_line_is_cut_at_open)
{
    static char x[70000], line[40000];
    memset(x, 'x', sizeof(x));
    opens_cut("", "", 0);
    opens_cut("", "half", 4);
    opens_cut("one\n", "", 0);
    opens_cut("one\n\n", "half", 4);
    static const size_t edges[] = {4095, 4096, 4097, 16379, 16380, 16381, 16384, 32764, 32768, 70000};
    for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        opens_cut("one\n", x, edges[i]);
        opens_cut("", x, edges[i]);
    }
    for (size_t n = 16380; n < 16390; n++) {
        memset(line, 'y', n);
        line[n] = '\n';
        line[n + 1] = '\0';
        opens_cut(line, x, 20000);
        opens_cut(line, "", 0);
    }
}

Test(dead_letter, pages_that_did_not_reach_the_disk_end_the_file)
{
    opens_cut("one\n", "tw\0\nthree\n", 10);
    opens_cut("one\ntwo\n", "\0\0\0\0\n", 5);
    opens_cut("", "\0\nx\n", 4);
}

/* Lines as long as several pages; the cut keeps any of the pages of the append that was not acknowledged. */
Test(dead_letter, a_random_power_cut_leaves_whole_lines)
{
    char line[2002];
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct fault_disk *d = fault_disk_new(seed);
        struct ox_dead_letter *dl = open_with(d, config(PLENTY, PLENTY, PLENTY));
        uint32_t acknowledged = 0;
        bool exists;
        fault_disk_die(d, 2 + seed % 7);
        for (int i = 0; i < 5; i++) {
            memset(line, 'a' + i, 2000);
            memcpy(line + 2000, "\n", 2);
            acknowledged += put(dl, line, NOW) == OX_OK;
        }
        fault_disk_cut(d, FAULT_CUT_RANDOM);
        free(dl);
        dl = open_with(d, config(PLENTY, PLENTY, PLENTY));
        struct ox_str got = fault_disk_peek(d, CURRENT, &exists);
        cr_assert(exists);
        cr_assert_eq(got.n % 2001, 0, "seed %" PRIu64 ": %zu bytes", seed, got.n);
        cr_assert_geq(got.n / 2001, acknowledged, "seed %" PRIu64, seed);
        cr_assert_leq(got.n / 2001, acknowledged + 1, "seed %" PRIu64, seed);
        for (size_t i = 0; i < got.n; i++)
            cr_assert_eq(got.p[i], i % 2001 == 2000 ? '\n' : 'a' + (char)(i / 2001), "seed %" PRIu64, seed);
        ox_dead_letter_close(dl);
        fault_disk_free(d);
    }
}

Test(dead_letter, a_file_rotates_when_it_would_pass_its_size)
{
    struct fault_disk *d = fault_disk_new(1);
    struct ox_dead_letter *dl = open_with(d, config(8, PLENTY, PLENTY));
    cr_assert_eq(put(dl, "a23\n", 10), OX_OK);
    cr_assert_eq(put(dl, "b23\n", 11), OX_OK); /* exactly full */
    holds(d, CURRENT, "a23\nb23\n");
    cr_assert_eq(put(dl, "\n", 12), OX_OK);
    holds(d, DIR "/dlq-12.jsonl", "a23\nb23\n");
    holds(d, CURRENT, "\n");
    /* Longer than a file may be: alone in one. */
    cr_assert_eq(put(dl, "0123456789\n", 13), OX_OK);
    holds(d, DIR "/dlq-13.jsonl", "\n");
    holds(d, CURRENT, "0123456789\n");
    cr_expect_eq(ox_dead_letter_bytes(dl), 20);
    ox_dead_letter_close(dl);
    fault_disk_cut(d, FAULT_CUT_CLEAN);
    holds(d, DIR "/dlq-12.jsonl", "a23\nb23\n");
    holds(d, DIR "/dlq-13.jsonl", "\n");
    holds(d, CURRENT, "0123456789\n");
    fault_disk_free(d);
}

Test(dead_letter, names_do_not_collide_when_the_clock_stands_or_steps_back)
{
    struct fault_disk *d = fault_disk_new(1);
    struct ox_dead_letter *dl = open_with(d, config(1, PLENTY, PLENTY));
    cr_assert_eq(put(dl, "a\n", 100), OX_OK);
    cr_assert_eq(put(dl, "b\n", 100), OX_OK);
    cr_assert_eq(put(dl, "c\n", 100), OX_OK);
    cr_assert_eq(put(dl, "d\n", 50), OX_OK);
    ox_dead_letter_close(dl);
    dl = open_with(d, config(1, PLENTY, PLENTY)); /* the names of before are known again */
    cr_assert_eq(put(dl, "e\n", 100), OX_OK);
    holds(d, DIR "/dlq-100.jsonl", "a\n");
    holds(d, DIR "/dlq-101.jsonl", "b\n");
    holds(d, DIR "/dlq-102.jsonl", "c\n");
    holds(d, DIR "/dlq-103.jsonl", "d\n");
    holds(d, CURRENT, "e\n");
    ox_dead_letter_close(dl);
    fault_disk_free(d);
}

Test(dead_letter, files_go_by_age)
{
    struct fault_disk *d = fault_disk_new(1);
    fault_disk_poke(d, DIR "/dlq-300.jsonl", "c\n", 2);
    fault_disk_poke(d, DIR "/dlq-100.jsonl", "aaa\n", 4);
    fault_disk_poke(d, DIR "/dlq-200.jsonl", "bb\n", 3);
    struct ox_dead_letter *dl = open_with(d, config(PLENTY, PLENTY, 1000));
    cr_expect_eq(ox_dead_letter_bytes(dl), 9);
    cr_assert_eq(ox_dead_letter_expire(dl, 1100), OX_OK);
    holds(d, DIR "/dlq-100.jsonl", "aaa\n"); /* as old as may be */
    cr_assert_eq(ox_dead_letter_expire(dl, 1101), OX_OK);
    holds(d, DIR "/dlq-100.jsonl", NULL);
    holds(d, DIR "/dlq-200.jsonl", "bb\n");
    cr_expect_eq(ox_dead_letter_dropped_bytes(dl), 4);
    cr_assert_eq(put(dl, "x\n", 1201), OX_OK); /* an append looks too */
    holds(d, DIR "/dlq-200.jsonl", NULL);
    cr_assert_eq(ox_dead_letter_expire(dl, 0), OX_OK); /* a clock that stepped back makes nothing old */
    holds(d, DIR "/dlq-300.jsonl", "c\n");
    cr_expect_eq(ox_dead_letter_bytes(dl), 4);
    cr_expect_eq(ox_dead_letter_dropped_bytes(dl), 7);
    ox_dead_letter_close(dl);
    fault_disk_cut(d, FAULT_CUT_CLEAN);
    holds(d, DIR "/dlq-100.jsonl", NULL);
    fault_disk_free(d);
}

/* Nothing new comes: the clock alone closes the current file, and a keep time later it is gone. */
Test(dead_letter, the_current_file_ages_too)
{
    struct fault_disk *d = fault_disk_new(1);
    struct ox_dead_letter *dl = open_with(d, config(PLENTY, PLENTY, 700));
    struct ox_dead_letter_stats stats;
    cr_assert_eq(ox_dead_letter_expire(dl, 5000), OX_OK); /* nothing there, nothing to close */
    cr_assert_eq(put(dl, "a\n", 1000), OX_OK);
    cr_assert_eq(put(dl, "b\n", 1100), OX_OK); /* a seventh of the keep time: not older yet */
    holds(d, CURRENT, "a\nb\n");
    cr_assert_eq(ox_dead_letter_expire(dl, 900), OX_OK); /* a clock that stepped back */
    holds(d, CURRENT, "a\nb\n");
    ox_dead_letter_stats(dl, &stats);
    cr_expect(stats.files == 1 && stats.oldest_ns == 1000 && stats.bytes == 4);
    cr_assert_eq(ox_dead_letter_expire(dl, 1101), OX_OK);
    holds(d, DIR "/dlq-1101.jsonl", "a\nb\n");
    holds(d, CURRENT, "");
    ox_dead_letter_stats(dl, &stats);
    cr_expect(stats.files == 1 && stats.oldest_ns == 1000 && stats.bytes == 4);
    cr_assert_eq(put(dl, "c\n", 1200), OX_OK);
    cr_assert_eq(put(dl, "d\n", 1301), OX_OK); /* an append closes it as well */
    holds(d, DIR "/dlq-1301.jsonl", "c\n");
    ox_dead_letter_stats(dl, &stats);
    cr_expect(stats.files == 3 && stats.oldest_ns == 1000);
    cr_assert_eq(ox_dead_letter_expire(dl, 1801), OX_OK); /* `d` is closed; nothing is older than may be */
    holds(d, DIR "/dlq-1101.jsonl", "a\nb\n");
    cr_assert_eq(ox_dead_letter_expire(dl, 1802), OX_OK);
    holds(d, DIR "/dlq-1101.jsonl", NULL);
    cr_assert_eq(ox_dead_letter_expire(dl, 9000), OX_OK);
    ox_dead_letter_stats(dl, &stats);
    cr_expect(stats.files == 0 && stats.oldest_ns == 0 && stats.bytes == 0 && stats.dropped_bytes == 8);
    holds(d, DIR "/dlq-1801.jsonl", NULL);
    ox_dead_letter_close(dl);
    fault_disk_free(d);
}

Test(dead_letter, the_age_of_files_is_known_after_a_restart)
{
    static const char line[] =
        "{\"time\":\"2023-11-14T22:13:20.000001000Z\",\"time_ns\":\"1000\",\"tenant\":\"t\"}\n";
    struct fault_disk *d = fault_disk_new(1);
    struct ox_dead_letter_stats stats;
    fault_disk_poke(d, CURRENT, line, strlen(line));
    fault_disk_poke(d, DIR "/dlq-950.jsonl", "a line without a time\n", 22);
    struct ox_dead_letter *dl = open_with(d, config(PLENTY, PLENTY, 700));
    ox_dead_letter_stats(dl, &stats);
    cr_expect_eq(stats.oldest_ns, 950, "what names no time is as old as its file's name: %" PRIu64,
                 stats.oldest_ns);
    cr_assert_eq(ox_dead_letter_expire(dl, 1100), OX_OK);
    holds(d, CURRENT, line);
    cr_assert_eq(ox_dead_letter_expire(dl, 1101), OX_OK);
    holds(d, DIR "/dlq-1101.jsonl", line);
    ox_dead_letter_close(dl);
    /* A current file whose first line names no time counts from the first look. */
    fault_disk_poke(d, CURRENT, "foreign\n", 8);
    dl = open_with(d, config(PLENTY, PLENTY, 700));
    cr_assert_eq(ox_dead_letter_expire(dl, 1200), OX_OK);
    cr_assert_eq(ox_dead_letter_expire(dl, 1300), OX_OK);
    holds(d, CURRENT, "foreign\n");
    cr_assert_eq(ox_dead_letter_expire(dl, 1301), OX_OK);
    holds(d, DIR "/dlq-1301.jsonl", "foreign\n");
    ox_dead_letter_close(dl);
    fault_disk_free(d);
}

Test(dead_letter, the_oldest_go_first_for_the_total)
{
    struct fault_disk *d = fault_disk_new(1);
    struct ox_dead_letter *dl = open_with(d, config(4, 12, PLENTY));
    cr_assert_eq(put(dl, "aaa\n", 1), OX_OK);
    cr_assert_eq(put(dl, "bbb\n", 2), OX_OK);
    cr_assert_eq(put(dl, "ccc\n", 3), OX_OK);
    holds(d, DIR "/dlq-2.jsonl", "aaa\n"); /* exactly full */
    cr_expect_eq(ox_dead_letter_bytes(dl), 12);
    cr_assert_eq(put(dl, "d\n", 4), OX_OK);
    holds(d, DIR "/dlq-2.jsonl", NULL);
    holds(d, DIR "/dlq-3.jsonl", "bbb\n");
    holds(d, DIR "/dlq-4.jsonl", "ccc\n");
    holds(d, CURRENT, "d\n");
    cr_expect_eq(ox_dead_letter_bytes(dl), 10);
    cr_expect_eq(ox_dead_letter_dropped_bytes(dl), 4);
    ox_dead_letter_close(dl);
    fault_disk_free(d);
}

Test(dead_letter, files_of_others_are_left_alone)
{
    static const char *const strange[] = {"dlq-007.jsonl",
                                          "dlq-+7.jsonl",
                                          "dlq--7.jsonl",
                                          "dlq-7.jsonl.gz",
                                          "dlq-7.json",
                                          "dlq-.jsonl",
                                          "dlq-99999999999999999999.jsonl",
                                          "dlq-18446744073709551615.jsonl",
                                          "notes"};
    struct fault_disk *d = fault_disk_new(1);
    char path[128];
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        snprintf(path, sizeof(path), DIR "/%s", strange[i]);
        fault_disk_poke(d, path, "keep\n", 5);
    }
    struct ox_dead_letter *dl = open_with(d, config(1, 1, 1));
    cr_expect_eq(ox_dead_letter_bytes(dl), 0);
    cr_assert_eq(put(dl, "a\n", NOW), OX_OK);
    cr_assert_eq(put(dl, "b\n", NOW), OX_OK);
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        snprintf(path, sizeof(path), DIR "/%s", strange[i]);
        holds(d, path, "keep\n");
    }
    ox_dead_letter_close(dl);
    fault_disk_free(d);
}

/* More files than the list holds, on the machine's own disk, which lists them in no order. */
Test(dead_letter, among_too_many_files_the_newest_is_known)
{
    enum { FILES = 1100, KNOWN = 1024 };
    char dir[] = "/tmp/dead_letter_XXXXXX", path[128];
    struct ox_disk *disk = ox_disk_real();
    struct ox_dead_letter_config c = config(1, PLENTY, PLENTY);
    struct ox_dead_letter *dl = NULL;
    struct ox_diag diag;
    int fd;
    cr_assert_not_null(mkdtemp(dir));
    for (int i = 1; i <= FILES; i++) {
        snprintf(path, sizeof(path), "%s/dlq-%d.jsonl", dir, i);
        cr_assert_eq(ox_disk_open(disk, path, OX_DISK_WRITE | OX_DISK_CREATE, 0600, &fd), OX_OK);
        cr_assert_eq(ox_disk_write_all(disk, fd, "x\n", 2, 0), OX_OK);
        ox_disk_close(disk, fd);
    }
    cr_assert_eq(ox_dead_letter_open(disk, dir, &c, &dl, &diag), OX_OK, "%s", diag.text);
    cr_expect_eq(ox_dead_letter_bytes(dl), 2 * KNOWN);
    cr_assert_eq(put(dl, "a\n", 1), OX_OK);
    cr_assert_eq(put(dl, "b\n", 1), OX_OK);
    snprintf(path, sizeof(path), "%s/dlq-%d.jsonl", dir, FILES + 1);
    cr_expect_eq(ox_disk_unlink(disk, path), OX_OK, "the first file's name follows the newest one's");
    ox_dead_letter_close(dl);
    for (int i = 1; i <= FILES; i++) {
        snprintf(path, sizeof(path), "%s/dlq-%d.jsonl", dir, i);
        ox_err err = ox_disk_unlink(disk, path);
        cr_expect(err == OX_OK || i == FILES - KNOWN + 1 || i == FILES - KNOWN + 2, "%d is gone", i);
    }
    snprintf(path, sizeof(path), "%s/dlq.jsonl", dir);
    cr_expect_eq(ox_disk_unlink(disk, path), OX_OK);
    cr_expect_eq(rmdir(dir), 0, "nothing else is left");
}

/* --- failing disks ---------------------------------------------------------------------------------------- */

#define STORY_LINES 9

struct story {
    struct fault_disk *d;
    struct ox_dead_letter *dl;
    struct ox_dead_letter_config config;
    struct ox_buf acknowledged;
    uint32_t errors;
};

/* Notes a result; a call of the disk that failed must show as an error, and with the right one. */
static bool
went_well(struct story *s, ox_err err, bool fired_before, uint64_t n)
{
    bool fired = fault_disk_fired(s->d) && !fired_before;
    cr_assert(!fired || err == OX_E_IO, "call %" PRIu64 " failed and %d was returned", n, (int)err);
    cr_assert(fired_before || fired || err == OX_OK, "call %" PRIu64, n);
    s->errors += err != OX_OK;
    return err == OX_OK;
}

/* Opens and appends; the n-th call of the disk fails. */
static void
run_story(struct story *s, uint64_t n)
{
    char line[16];
    struct ox_diag diag;
    for (int i = 0; i < STORY_LINES; i++) {
        bool before = fault_disk_fired(s->d);
        if (s->dl == NULL &&
            !went_well(s, ox_dead_letter_open(fault_disk_seam(s->d), DIR, &s->config, &s->dl, &diag), before,
                       n)) {
            s->dl = NULL;
            cr_expect_neq(diag.text[0], '\0');
            continue;
        }
        snprintf(line, sizeof(line), "%d-345678\n", i);
        before = fault_disk_fired(s->d);
        if (went_well(s, ox_dead_letter_append(s->dl, ox_str_of(line), NOW + (uint64_t)i, &diag), before, n))
            ox_buf_append_cstr(&s->acknowledged, line);
    }
}

/* All files, oldest first: names in order of time have the same length here. */
struct names {
    char name[64][40];
    size_t n;
};

static bool
note(void *arg, const char *name)
{
    struct names *names = arg;
    cr_assert_lt(names->n, 64);
    snprintf(names->name[names->n++], 40, "%s", name);
    return true;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(a, b); /* '-' sorts before '.': the current one is last */
}

static void
collect(struct fault_disk *d, struct ox_buf *all)
{
    struct names names = {.n = 0};
    char path[128];
    bool exists;
    fault_disk_fail(d, 0, 0, false);
    cr_assert_eq(ox_disk_list(fault_disk_seam(d), DIR, note, &names), OX_OK);
    qsort(names.name, names.n, sizeof(names.name[0]), by_name);
    for (size_t i = 0; i < names.n; i++) {
        snprintf(path, sizeof(path), DIR "/%s", names.name[i]);
        struct ox_str got = fault_disk_peek(d, path, &exists);
        cr_assert(got.n == 0 || got.p[got.n - 1] == '\n', "%s ends in half a line", path);
        ox_buf_append(all, got.p, got.n);
    }
}

/* What is on the disk is what was acknowledged, or (at most) its newest lines. */
static void
check_story(struct story *s, uint64_t n, bool all_kept)
{
    struct ox_buf all;
    ox_buf_init(&all);
    collect(s->d, &all);
    cr_assert_leq(all.len, s->acknowledged.len, "call %" PRIu64, n);
    cr_assert(!all_kept || all.len == s->acknowledged.len, "call %" PRIu64 ": %zu of %zu bytes", n, all.len,
              s->acknowledged.len);
    cr_assert_eq(all.len % 9, 0);
    cr_assert(all.len == 0 || memcmp(all.data, ox_buf_str(&s->acknowledged).p + s->acknowledged.len - all.len,
                                     all.len) == 0,
              "call %" PRIu64, n);
    if (s->dl != NULL)
        cr_assert_eq(ox_dead_letter_bytes(s->dl), all.len, "call %" PRIu64, n);
    ox_buf_fini(&all);
}

/* Every call fails once. Returns whether the story is longer than n calls. */
static bool
one_failure(uint64_t n, bool partly, struct ox_dead_letter_config c, bool all_kept)
{
    struct story s = {.d = fault_disk_new(n), .config = c};
    ox_buf_init(&s.acknowledged);
    fault_disk_poke(s.d, CURRENT, "torn", 4);
    fault_disk_fail(s.d, n, EIO, partly);
    run_story(&s, n);
    bool fired = fault_disk_fired(s.d);
    cr_assert_eq(s.errors, fired ? 1 : 0, "call %" PRIu64 ": one failure, one error", n);
    check_story(&s, n, all_kept);
    ox_dead_letter_close(s.dl);
    s.dl = NULL;
    fault_disk_cut(s.d, FAULT_CUT_CLEAN);
    if (all_kept)
        check_story(&s, n, true);
    ox_buf_fini(&s.acknowledged);
    fault_disk_free(s.d);
    return fired;
}

Test(dead_letter, a_call_that_fails_once_costs_only_its_own_lines)
{
    for (int partly = 0; partly < 2; partly++) {
        uint64_t n = 1;
        while (one_failure(n, partly == 1, config(20, PLENTY, PLENTY), true))
            n++;
        cr_expect_gt(n, 30, "the story is too short: %" PRIu64, n);
        n = 1;
        while (one_failure(n, partly == 1, config(20, 40, PLENTY), false))
            n++;
        cr_expect_gt(n, 30, "the story is too short: %" PRIu64, n);
    }
}

/* Ageing beside appends: whatever call fails, no line that is young enough is lost, and a later look mends it. */
Test(dead_letter, ageing_survives_any_failing_call)
{
    bool fired = true;
    uint64_t n = 0;
    while (fired) {
        struct fault_disk *d = fault_disk_new(++n);
        struct ox_dead_letter *dl = open_with(d, config(PLENTY, PLENTY, 700));
        struct ox_buf all;
        cr_assert_eq(put(dl, "old\n", 1000), OX_OK);
        fault_disk_fail(d, n, EIO, false);
        uint32_t errors = ox_dead_letter_expire(dl, 1200) != OX_OK;
        errors += put(dl, "a-23456\n", 1201) != OX_OK;
        errors += ox_dead_letter_expire(dl, 1950) != OX_OK;
        fired = fault_disk_fired(d);
        cr_assert_eq(errors, fired ? 1 : 0, "call %" PRIu64, n);
        fault_disk_fail(d, 0, 0, false);
        cr_assert_eq(ox_dead_letter_expire(dl, 1951), OX_OK);
        ox_buf_init(&all);
        collect(d, &all);
        cr_assert(!fired ? all.len == 8 : all.len == 8 || all.len == 0, "call %" PRIu64 ": %zu bytes", n,
                  all.len);
        cr_assert_eq(ox_dead_letter_bytes(dl), all.len, "call %" PRIu64, n);
        ox_buf_fini(&all);
        ox_dead_letter_close(dl);
        fault_disk_free(d);
    }
    cr_expect_gt(n, 10, "the story is too short: %" PRIu64, n);
}

Test(dead_letter, a_disk_that_dies_keeps_what_was_acknowledged)
{
    bool fired = true;
    for (uint64_t n = 1; fired; n++) {
        struct story s = {.d = fault_disk_new(n), .config = config(20, PLENTY, PLENTY)};
        ox_buf_init(&s.acknowledged);
        fault_disk_die(s.d, n);
        run_story(&s, n);
        fired = fault_disk_fired(s.d);
        cr_assert_eq(s.errors > 0, fired);
        fault_disk_cut(s.d, FAULT_CUT_CLEAN);
        free(s.dl); /* its handles went with the power */
        s.dl = open_with(s.d, s.config);
        check_story(&s, n, true);
        ox_dead_letter_close(s.dl);
        ox_buf_fini(&s.acknowledged);
        fault_disk_free(s.d);
    }
}

Test(dead_letter, a_full_disk_is_told_and_leaves_whole_lines)
{
    struct fault_disk *d = fault_disk_new(1);
    struct ox_dead_letter *dl = open_with(d, config(PLENTY, PLENTY, PLENTY));
    fault_disk_short_writes(d, 3);
    fault_disk_limit(d, 10);
    cr_assert_eq(put(dl, "one\n", NOW), OX_OK);
    cr_expect_eq(put(dl, "two-two-two\n", NOW), OX_E_DISK_FULL);
    holds(d, CURRENT, "one\n");
    cr_expect_eq(put(dl, "three\n", NOW), OX_OK);
    holds(d, CURRENT, "one\nthree\n");
    cr_expect_eq(ox_dead_letter_bytes(dl), 10);
    ox_dead_letter_close(dl);
    fault_disk_free(d);
}

/* The write fails and so does cutting it back: the next append cuts before it writes. */
Test(dead_letter, half_a_line_that_stayed_is_cut_before_the_next)
{
    struct fault_disk *d = fault_disk_new(1);
    struct ox_dead_letter *dl = open_with(d, config(PLENTY, PLENTY, PLENTY));
    cr_assert_eq(put(dl, "one\n", NOW), OX_OK);
    fault_disk_die(d, 1);
    cr_expect_eq(put(dl, "two-two\n", NOW), OX_E_IO);
    cr_expect_eq(put(dl, "three\n", NOW), OX_E_IO);
    fault_disk_fail(d, 0, 0, false);
    cr_expect_eq(put(dl, "4\n", NOW), OX_OK);
    holds(d, CURRENT, "one\n4\n");
    ox_dead_letter_close(dl);
    fault_disk_free(d);
}

Test(dead_letter, defaults_are_those_of_the_header)
{
    struct ox_dead_letter_config c;
    ox_dead_letter_config_default(&c);
    cr_expect_eq(c.file_bytes_max, 100000000);
    cr_expect_eq(c.total_bytes_max, 1000000000);
    cr_expect_eq(c.keep_ns, 7 * 24 * 3600 * 1000000000ull);
}
