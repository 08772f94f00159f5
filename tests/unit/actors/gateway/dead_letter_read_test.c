/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    every whole line is read once and in order, whatever the server does to the files meanwhile; what is no line of
 *          ours is told apart.
 * Method:  files on the faulty disk, rotated between opening and reading; every call fails once.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/dead_letter_read.h"
#include "tests/harness/fault_disk.h"

#define DIR     "data/dlq"
#define CURRENT DIR "/dlq.jsonl"

static const char *
line_of(uint64_t n)
{
    static char text[256];
    snprintf(text, sizeof(text),
             "{\"time\":\"t\",\"time_ns\":\"%" PRIu64
             "\",\"tenant\":\"a,\\\"request\\\":b\",\"signal\":\"logs\","
             "\"reason\":\"utf8\",\"detail\":\"d\",\"wal\":\"77\",\"ordinal\":%" PRIu64
             ",\"request\":{\"r\":%" PRIu64 "}}\n",
             1000 + n, n, n);
    return text;
}

static void
add(struct ox_buf *file, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n < to; n++)
        ox_buf_append_cstr(file, line_of(n));
}

static void
poke_lines(struct fault_disk *d, const char *path, uint64_t from, uint64_t to)
{
    struct ox_buf file;
    ox_buf_init(&file);
    add(&file, from, to);
    fault_disk_poke(d, path, file.data, file.len);
    ox_buf_fini(&file);
}

static struct ox_dead_letter_reader *
open_reader(struct fault_disk *d)
{
    struct ox_dead_letter_reader *r = NULL;
    struct ox_diag diag;
    cr_assert_eq(ox_dead_letter_reader_open(fault_disk_seam(d), DIR, &r, &diag), OX_OK, "%s", diag.text);
    return r;
}

/* Reads on to the end: records whose ordinals are from, from + 1 ... to - 1. */
static void
reads(struct ox_dead_letter_reader *r, uint64_t from, uint64_t to)
{
    struct ox_dead_letter_record record;
    struct ox_diag diag;
    ox_err err;
    while ((err = ox_dead_letter_reader_next(r, &record, &diag)) == OX_OK) {
        cr_assert_not(record.damaged);
        cr_assert_eq(record.ordinal, from, "ordinal %u, not %" PRIu64, record.ordinal, from);
        cr_assert_eq(record.time_ns, 1000 + from);
        from++;
    }
    cr_assert_eq(err, OX_E_END, "%s", diag.text);
    cr_assert_eq(from, to, "read up to %" PRIu64 ", not %" PRIu64, from, to);
}

Test(dead_letter_read, a_record_has_all_its_fields)
{
    struct fault_disk *d = fault_disk_new(1);
    struct ox_dead_letter_record r, again;
    struct ox_diag diag;
    static const char wire[] =
        "{\"time\":\"t\",\"time_ns\":\"9\",\"tenant\":\"b\",\"signal\":\"traces\",\"reason\":\"utf8\","
        "\"ordinal\":1,\"request\":{\"x\":\",\\\"wire\\\":\\\"\"},\"wire\":\"AAE=\"}\n";
    fault_disk_poke(d, DIR "/dlq-5.jsonl", wire, strlen(wire));
    poke_lines(d, CURRENT, 3, 4);
    struct ox_dead_letter_reader *reader = open_reader(d);
    cr_assert_eq(ox_dead_letter_reader_next(reader, &r, &diag), OX_OK);
    cr_expect(r.number == 1 && r.time_ns == 9 && r.wire && !r.damaged && r.wal == 0 && r.ordinal == 1);
    cr_expect(ox_str_eq(r.request, OX_STR("{\"x\":\",\\\"wire\\\":\\\"\"}")), "%.*s", (int)r.request.n,
              r.request.p);
    cr_expect_str_eq(r.detail, "");
    cr_expect_str_eq(r.file, "dlq-5.jsonl");
    cr_assert_eq(ox_dead_letter_reader_next(reader, &r, &diag), OX_OK);
    cr_expect(r.number == 2 && r.time_ns == 1003 && !r.wire && r.wal == 77 && r.offset == 0);
    cr_expect_str_eq(r.tenant, "a,\"request\":b");
    cr_expect_str_eq(r.signal, "logs");
    cr_expect_str_eq(r.reason, "utf8");
    cr_expect_str_eq(r.detail, "d");
    cr_expect(ox_str_eq(r.request, OX_STR("{\"r\":3}")));
    cr_expect_eq(strlen(r.id), OX_DEAD_LETTER_ID_LEN);
    again = r;
    size_t n;
    const struct ox_dead_letter_file *files = ox_dead_letter_reader_files(reader, &n);
    cr_expect(n == 2 && files[0].lines == 1 && files[0].bytes == strlen(wire) && files[1].newest_ns == 1003);
    ox_dead_letter_reader_close(reader);
    /* Rotation moves it; its id stays. */
    poke_lines(d, DIR "/dlq-6.jsonl", 3, 4);
    fault_disk_remove(d, CURRENT);
    reader = open_reader(d);
    cr_assert_eq(ox_dead_letter_reader_next(reader, &r, &diag), OX_OK);
    cr_assert_eq(ox_dead_letter_reader_next(reader, &r, &diag), OX_OK);
    cr_expect_str_eq(r.id, again.id);
    cr_expect_eq(ox_dead_letter_reader_next(reader, &r, &diag), OX_E_END);
    ox_dead_letter_reader_close(reader);
    fault_disk_free(d);
}

Test(dead_letter_read, a_row_that_storage_refused_has_columns)
{
    struct fault_disk *d = fault_disk_new(1);
    struct ox_dead_letter_record r;
    struct ox_diag diag;
    static const char line[] =
        "{\"time\":\"t\",\"time_ns\":\"9\",\"tenant\":\"b\",\"signal\":\"logs\",\"reason\":\"refused_by_"
        "storage\","
        "\"detail\":\"Code: "
        "469\",\"table\":\"otel_logs\",\"block\":\"7\",\"row\":3,\"columns\":{\"a\":{\"b\":\"1\","
        "\"request\":\"x\"}}}\n";
    fault_disk_poke(d, CURRENT, line, strlen(line));
    struct ox_dead_letter_reader *reader = open_reader(d);
    cr_assert_eq(ox_dead_letter_reader_next(reader, &r, &diag), OX_OK);
    cr_expect(!r.damaged && r.time_ns == 9 && r.request.n == 0 && !r.wire);
    cr_expect(ox_str_eq(r.columns, OX_STR("{\"a\":{\"b\":\"1\",\"request\":\"x\"}}")));
    cr_expect_str_eq(r.reason, "refused_by_storage");
    cr_expect_str_eq(r.detail, "Code: 469");
    ox_dead_letter_reader_close(reader);
    fault_disk_free(d);
}

Test(dead_letter_read, lines_come_oldest_first_over_all_files)
{
    struct fault_disk *d = fault_disk_new(1);
    poke_lines(d, DIR "/dlq-1000000.jsonl", 2000, 3000);
    poke_lines(d, DIR "/dlq-999999.jsonl", 0, 2000); /* more than one chunk */
    poke_lines(d, DIR "/dlq-007.jsonl", 9, 10);      /* not ours */
    poke_lines(d, CURRENT, 3000, 3001);
    struct ox_dead_letter_reader *r = open_reader(d);
    reads(r, 0, 3001);
    ox_dead_letter_reader_close(r);
    fault_disk_free(d);
}

Test(dead_letter_read, no_directory_is_told_and_an_empty_one_is_not_an_error)
{
    struct fault_disk *d = fault_disk_new(1);
    struct ox_dead_letter_reader *r = NULL;
    struct ox_diag diag;
    cr_expect_eq(ox_dead_letter_reader_open(ox_disk_real(), "/nowhere/dlq", &r, &diag), OX_E_NOT_FOUND);
    cr_assert_eq(ox_disk_mkdir(fault_disk_seam(d), DIR, 0700), OX_OK);
    r = open_reader(d);
    reads(r, 0, 0);
    ox_dead_letter_reader_close(r);
    fault_disk_free(d);
}

Test(dead_letter_read, foreign_lines_and_half_lines_are_told_apart)
{
    struct fault_disk *d = fault_disk_new(1);
    struct ox_buf file;
    struct ox_dead_letter_record r;
    struct ox_diag diag;
    static const char *const foreign[] = {
        "",
        "x",
        "{}",
        "{\"request\":{}}",
        "{\"a\":1,\"request\":{}}",
        "{\"time_ns\":\"5\",\"tenant\":\"t\",\"signal\":\"logs\",\"request\":{}",
        "{\"time_ns\":\"0\",\"tenant\":\"t\",\"signal\":\"logs\",\"request\":{}}",
        "{\"time_ns\":\"5\",\"tenant\":\"t\xff\",\"signal\":\"logs\",\"request\":{}}",
        ",\"request\":}"};
    ox_buf_init(&file);
    for (size_t i = 0; i < OX_COUNT(foreign); i++) {
        ox_buf_append_cstr(&file, foreign[i]);
        ox_buf_append(&file, "\n", 1);
    }
    ox_buf_append(&file, "a\0b\n", 4);
    add(&file, 1, 2);
    ox_buf_append_cstr(&file, "{\"time_ns\":\"half");
    fault_disk_poke(d, CURRENT, file.data, file.len);
    struct ox_dead_letter_reader *reader = open_reader(d);
    for (size_t i = 0; i <= OX_COUNT(foreign); i++) {
        cr_assert_eq(ox_dead_letter_reader_next(reader, &r, &diag), OX_OK);
        cr_expect(r.damaged, "line %zu: %.*s", i, (int)r.line.n, r.line.p);
    }
    reads(reader, 1, 2);
    ox_dead_letter_reader_close(reader);
    ox_buf_fini(&file);
    fault_disk_free(d);
}

/* The server rotates after the reader has opened the current file: it is listed, and read, under one name. */
struct rotation {
    struct ox_disk disk; /* in front of the faulty one */
    struct ox_disk_ops ops;
    struct fault_disk *real;
};

static ox_err
rotate_then_list(struct ox_disk *disk, const char *path, ox_disk_name_fn each, void *arg)
{
    struct rotation *r = (struct rotation *)disk;
    struct ox_disk *real = fault_disk_seam(r->real);
    cr_assert_eq(ox_disk_rename(real, CURRENT, DIR "/dlq-99.jsonl"), OX_OK);
    poke_lines(r->real, CURRENT, 20, 25);
    return ox_disk_list(real, path, each, arg);
}

static ox_err
pass_open(struct ox_disk *disk, const char *path, unsigned flags, unsigned mode, int *fd)
{
    return ox_disk_open(fault_disk_seam(((struct rotation *)disk)->real), path, flags, mode, fd);
}

static void
pass_close(struct ox_disk *disk, int fd)
{
    ox_disk_close(fault_disk_seam(((struct rotation *)disk)->real), fd);
}

static ox_err
pass_pread(struct ox_disk *disk, int fd, void *to, size_t n, uint64_t offset, size_t *done)
{
    return ox_disk_pread(fault_disk_seam(((struct rotation *)disk)->real), fd, to, n, offset, done);
}

static ox_err
pass_size(struct ox_disk *disk, int fd, uint64_t *bytes)
{
    return ox_disk_size(fault_disk_seam(((struct rotation *)disk)->real), fd, bytes);
}

Test(dead_letter_read, a_rotation_meanwhile_doubles_and_loses_nothing)
{
    struct rotation world = {.real = fault_disk_new(1)};
    struct ox_dead_letter_reader *r = NULL;
    struct ox_diag diag;
    world.ops = (struct ox_disk_ops){.open = pass_open,
                                     .close = pass_close,
                                     .pread = pass_pread,
                                     .size = pass_size,
                                     .list = rotate_then_list};
    world.disk.ops = &world.ops;
    poke_lines(world.real, DIR "/dlq-50.jsonl", 0, 10);
    poke_lines(world.real, CURRENT, 10, 20);
    cr_assert_eq(ox_dead_letter_reader_open(&world.disk, DIR, &r, &diag), OX_OK, "%s", diag.text);
    reads(r, 0, 20); /* what is newer than the opening may wait for the next one */
    ox_dead_letter_reader_close(r);
    fault_disk_free(world.real);
}

Test(dead_letter_read, files_that_expire_meanwhile_are_passed_over)
{
    struct fault_disk *d = fault_disk_new(1);
    poke_lines(d, DIR "/dlq-1.jsonl", 0, 10);
    poke_lines(d, DIR "/dlq-2.jsonl", 10, 20);
    poke_lines(d, CURRENT, 20, 30);
    struct ox_dead_letter_reader *r = open_reader(d);
    fault_disk_remove(d, DIR "/dlq-1.jsonl");
    fault_disk_remove(d, DIR "/dlq-2.jsonl");
    reads(r, 20, 30);
    ox_dead_letter_reader_close(r);
    fault_disk_free(d);
}

Test(dead_letter_read, every_failing_call_is_told)
{
    bool fired = true;
    uint64_t n = 0;
    while (fired) {
        struct fault_disk *d = fault_disk_new(1);
        struct ox_dead_letter_reader *r = NULL;
        struct ox_dead_letter_record record;
        struct ox_diag diag;
        poke_lines(d, DIR "/dlq-1.jsonl", 0, 3);
        poke_lines(d, CURRENT, 3, 6);
        fault_disk_fail(d, ++n, EIO, false);
        ox_err err = ox_dead_letter_reader_open(fault_disk_seam(d), DIR, &r, &diag);
        for (uint64_t i = 0; err == OX_OK; i++) {
            err = ox_dead_letter_reader_next(r, &record, &diag);
            cr_assert(err != OX_OK || record.ordinal == i);
            cr_assert(err != OX_E_END || i == 6 || fault_disk_fired(d));
        }
        fired = fault_disk_fired(d);
        /* A look whether two files are the same one may fail: then they are not, as in nearly every case. */
        cr_assert(fired ? err == OX_E_IO || err == OX_E_END : err == OX_E_END, "call %" PRIu64, n);
        ox_dead_letter_reader_close(r);
        fault_disk_free(d);
    }
    cr_expect_gt(n, 10);
}
