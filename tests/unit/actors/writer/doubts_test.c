/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    blocks whose rollups are in doubt are known after a crash at any moment, each once; a damaged file costs what was
 *          damaged and is said; a view's statement is narrowed only when it is what it seems.
 * Method:  the faulty disk, with every call failing once and the power cut after it; statements as text.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actors/writer/doubts.h"
#include "actors/writer/rollup.h"
#include "tests/harness/fault_disk.h"

#define PATH "d/rollups-in-doubt"

static struct fault_disk *
disk_with_dir(uint64_t seed)
{
    struct fault_disk *fd = fault_disk_new(seed);
    cr_assert_eq(ox_disk_ensure_dir(fault_disk_seam(fd), "d"), OX_OK);
    return fd;
}

static struct ox__doubts
load(struct fault_disk *fd, ox_err want)
{
    struct ox__doubts back = {0};
    struct ox_diag diag = {0};
    cr_assert_eq(ox__doubts_load(fault_disk_seam(fd), PATH, &back, &diag), want, "%s", diag.text);
    cr_assert(want == OX_OK || diag.text[0] != '\0', "an error without a reason");
    return back;
}

static void
add(struct ox__doubts *d, enum ox_table table, uint64_t id)
{
    cr_assert_eq(ox__doubts_add(d, table, id), OX_OK);
}

Test(doubts, are_kept_once_and_removed_by_table)
{
    struct ox__doubts d = {0}, copy;
    uint64_t ids[8];
    add(&d, OX_TABLE_LOGS, 7);
    add(&d, OX_TABLE_LOGS, 7);
    add(&d, OX_TABLE_POINTS, 7);
    add(&d, OX_TABLE_LOGS, UINT64_MAX);
    cr_assert_eq(d.n, 3);
    cr_assert_eq(ox__doubts_count(&d, OX_TABLE_LOGS), 2);
    cr_assert_eq(ox__doubts_ids(&d, OX_TABLE_LOGS, ids, 8), 2);
    cr_assert_eq(ids[1], UINT64_MAX);
    cr_assert_eq(ox__doubts_ids(&d, OX_TABLE_LOGS, ids, 1), 1);
    cr_assert_eq(ox__doubts_copy(&d, &copy), OX_OK);
    ids[0] = 7;
    ox__doubts_remove(&d, OX_TABLE_LOGS, ids, 1);
    cr_assert_eq(ox__doubts_count(&d, OX_TABLE_LOGS), 1);
    cr_assert_eq(ox__doubts_count(&d, OX_TABLE_POINTS), 1);
    cr_assert_eq(copy.n, 3);
    ox__doubts_free(&copy);
    ox__doubts_free(&d);
}

Test(doubts, are_bounded)
{
    struct ox__doubts d = {0};
    for (uint64_t i = 0; i < OX__DOUBTS_MAX; i++)
        add(&d, OX_TABLE_TRACES, i);
    cr_assert_eq(ox__doubts_add(&d, OX_TABLE_TRACES, OX__DOUBTS_MAX), OX_E_OVERLOAD);
    cr_assert_eq(ox__doubts_add(&d, OX_TABLE_TRACES, 5), OX_OK, "it is there already");
    ox__doubts_free(&d);
}

Test(doubts, the_file_survives_a_power_cut_and_goes_when_nothing_is_in_doubt)
{
    struct fault_disk *fd = disk_with_dir(1);
    struct ox__doubts d = {0}, back = load(fd, OX_OK);
    bool exists;
    cr_assert_eq(back.n, 0);
    add(&d, OX_TABLE_POINTS, 4711);
    add(&d, OX_TABLE_SPAN_STATS, UINT64_MAX);
    cr_assert_eq(ox__doubts_save(fault_disk_seam(fd), PATH, &d), OX_OK);
    fault_disk_cut(fd, FAULT_CUT_CLEAN);
    back = load(fd, OX_OK);
    cr_assert_eq(back.n, 2);
    cr_assert_eq(back.items[1].table, OX_TABLE_SPAN_STATS);
    cr_assert_eq(back.items[1].block_id, UINT64_MAX);
    ox__doubts_free(&back);
    d.n = 0;
    cr_assert_eq(ox__doubts_save(fault_disk_seam(fd), PATH, &d), OX_OK);
    cr_assert_eq(ox__doubts_save(fault_disk_seam(fd), PATH, &d), OX_OK, "there is no file any more");
    fault_disk_cut(fd, FAULT_CUT_CLEAN);
    fault_disk_peek(fd, PATH, &exists);
    cr_assert_not(exists);
    ox__doubts_free(&d);
    fault_disk_free(fd);
}

/* Whatever fails, and wherever the power goes: afterwards the file is the old one or the new one; after an OK the new one. */
static bool
save_fails_at(uint64_t n, enum fault_cut cut)
{
    struct fault_disk *fd = disk_with_dir(n);
    struct ox__doubts d = {0};
    add(&d, OX_TABLE_LOGS, 1);
    cr_assert_eq(ox__doubts_save(fault_disk_seam(fd), PATH, &d), OX_OK);
    add(&d, OX_TABLE_LOGS, 2);
    fault_disk_fail(fd, n, EIO, true);
    ox_err err = ox__doubts_save(fault_disk_seam(fd), PATH, &d);
    bool fired = fault_disk_fired(fd);
    fault_disk_fail(fd, 0, 0, false);
    fault_disk_cut(fd, cut);
    struct ox__doubts back = load(fd, OX_OK);
    cr_assert(back.n == 2 || (back.n == 1 && err != OX_OK), "call %llu: %zu blocks", (unsigned long long)n,
              back.n);
    cr_assert_eq(back.items[0].block_id, 1);
    ox__doubts_free(&back);
    ox__doubts_free(&d);
    fault_disk_free(fd);
    return fired;
}

Test(doubts, a_failed_save_leaves_the_old_or_the_new)
{
    uint64_t n = 1;
    while (save_fails_at(n, FAULT_CUT_CLEAN) || save_fails_at(n, FAULT_CUT_RANDOM))
        n++;
    cr_assert_gt(n, 4, "open, write, sync, rename, sync of the directory");
}

Test(doubts, of_a_damaged_file_what_can_be_read)
{
    static const struct {
        const char *text;
        size_t n;
    } cases[] = {
        {"", 0},
        {"something else\n1 5\n", 0},
        {"observex rollups in doubt 1\n1 5\nrubbish\n1 6\n", 1},
        {"observex rollups in doubt 1\n1 5\n99 6\n", 1},
        {"observex rollups in doubt 1\n1 5\n2 6", 1},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        struct fault_disk *fd = disk_with_dir(1);
        fault_disk_poke(fd, PATH, cases[i].text, strlen(cases[i].text));
        struct ox__doubts back = load(fd, OX_E_CORRUPT);
        cr_assert_eq(back.n, cases[i].n, "%zu: %zu", i, back.n);
        ox__doubts_free(&back);
        fault_disk_free(fd);
    }
}

/* ---- the view's statement ---- */

static ox_err
narrow(const char *select, const char *source, char *out, size_t size)
{
    struct ox_buf buf = {0};
    struct ox_diag diag = {0};
    ox_err err = ox__rollup_narrow(ox_str_of(select), source, OX_STR("x = 1"), &buf, &diag);
    snprintf(out, size, "%.*s", (int)buf.len, (const char *)buf.data);
    ox_buf_fini(&buf);
    return err;
}

Test(rollup, a_statement_is_narrowed_to_some_rows_of_its_table)
{
    char got[512];
    cr_assert_eq(narrow("SELECT a FROM observex.t WHERE b > 1 GROUP BY a", "t", got, sizeof(got)), OX_OK);
    cr_assert_str_eq(got, "SELECT a FROM (SELECT * FROM observex.t WHERE x = 1) AS t WHERE b > 1 GROUP BY a");
    cr_assert_eq(narrow("SELECT a FROM t", "t", got, sizeof(got)), OX_OK);
    cr_assert_str_eq(got, "SELECT a FROM (SELECT * FROM t WHERE x = 1) AS t");
}

Test(rollup, a_statement_of_another_shape_is_refused)
{
    static const char *const others[] = {
        "",
        "SELECT 1",
        "SELECT a FROM ",
        "SELECT a FROM observex.other GROUP BY a",
        "SELECT a FROM observex.nott GROUP BY a",
        "SELECT a FROM (SELECT * FROM t) GROUP BY a",
        "SELECT a FROM t WHERE a IN (SELECT b FROM u)",
    };
    char got[512];
    for (size_t i = 0; i < OX_COUNT(others); i++)
        cr_assert_eq(narrow(others[i], "t", got, sizeof(got)), OX_E_STATE, "%s", others[i]);
}
