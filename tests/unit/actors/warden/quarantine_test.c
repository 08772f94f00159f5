/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the list of quarantined tenants is on disk what it is in memory, whatever call fails and whenever the power goes;
 *          a list that cannot be read is never taken for an empty one.
 * Method:  the faulty disk of tests/harness, failing the 1st, 2nd, 3rd... call until none is left.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "ox/quarantine.h"
#include "tests/harness/fault_disk.h"

#define PATH "d/quarantine.json"

static struct ox_quarantined
entry(const char *tenant, uint32_t crashes)
{
    struct ox_quarantined e = {.crashes = crashes, .since_ns = 1234567890123456789u, .has_last = true};
    snprintf(e.tenant.name, sizeof(e.tenant.name), "%s", tenant);
    e.last = (struct ox_crash){
        .id = 7, .time_ns = 5, .wal_seq = 99, .text = "a \"quoted\" text", .reason = "panic"};
    return e;
}

static struct ox_quarantine *
reopened(struct fault_disk *fd)
{
    struct ox_quarantine *q;
    struct ox_diag diag;
    cr_assert_eq(ox_quarantine_open(fault_disk_seam(fd), PATH, &q, &diag), OX_OK, "%s", diag.text);
    return q;
}

Test(quarantine, it_comes_back_as_it_was)
{
    struct fault_disk *fd = fault_disk_new(1);
    struct ox_quarantined e = entry("acme", 6), got;
    cr_assert_eq(ox_disk_ensure_dir(fault_disk_seam(fd), "d"), OX_OK);
    struct ox_quarantine *q = reopened(fd);
    cr_assert_eq(ox_quarantine_count(q), 0);
    cr_assert_eq(ox_quarantine_put(q, &e), OX_OK);
    e = entry("beta", 3);
    e.has_last = false;
    cr_assert_eq(ox_quarantine_put(q, &e), OX_OK);
    e = entry("acme", 8);
    cr_assert_eq(ox_quarantine_put(q, &e), OX_OK, "again: the entry is replaced");
    ox_quarantine_close(q);
    fault_disk_cut(fd, FAULT_CUT_CLEAN);
    q = reopened(fd);
    cr_assert_eq(ox_quarantine_count(q), 2);
    cr_assert(ox_quarantine_find(q, "acme", &got));
    cr_assert_eq(got.crashes, 8);
    cr_assert_eq(got.since_ns, 1234567890123456789u);
    cr_assert_str_eq(got.last.text, "a \"quoted\" text");
    cr_assert_eq(got.last.wal_seq, 99);
    cr_assert(ox_quarantine_find(q, "beta", &got));
    cr_assert_not(got.has_last);
    cr_assert_eq(ox_quarantine_remove(q, "acme"), OX_OK);
    cr_assert_eq(ox_quarantine_remove(q, "acme"), OX_E_NOT_FOUND);
    ox_quarantine_close(q);
    fault_disk_cut(fd, FAULT_CUT_CLEAN);
    q = reopened(fd);
    cr_assert_not(ox_quarantine_find(q, "acme", &got));
    cr_assert_eq(ox_quarantine_list(q, 0, &got, 1), 1);
    cr_assert_str_eq(got.tenant.name, "beta");
    ox_quarantine_close(q);
    fault_disk_free(fd);
}

/* What the caller was told is what the disk says, after a power cut too. */
static bool
one_failure(uint64_t n, bool remove)
{
    struct fault_disk *fd = fault_disk_new(n);
    struct ox_quarantined a = entry("a", 6), b = entry("b", 7), got;
    cr_assert_eq(ox_disk_ensure_dir(fault_disk_seam(fd), "d"), OX_OK);
    struct ox_quarantine *q = reopened(fd);
    cr_assert_eq(ox_quarantine_put(q, &a), OX_OK);
    fault_disk_fail(fd, n, EIO, true);
    ox_err err = remove ? ox_quarantine_remove(q, "a") : ox_quarantine_put(q, &b);
    bool fired = fault_disk_fired(fd);
    fault_disk_fail(fd, 0, 0, false);
    if (err == OX_OK) {
        cr_assert_eq(ox_quarantine_find(q, "a", &got), !remove);
        cr_assert_eq(ox_quarantine_find(q, "b", &got), !remove);
    } else {
        cr_assert(ox_quarantine_find(q, "a", &got), "a failed change changes nothing in memory");
        cr_assert_not(ox_quarantine_find(q, "b", &got));
    }
    ox_quarantine_close(q);
    fault_disk_cut(fd, FAULT_CUT_RANDOM);
    q = reopened(fd);
    if (err == OX_OK) {
        cr_assert_eq(ox_quarantine_find(q, "a", &got), !remove);
        cr_assert_eq(ox_quarantine_find(q, "b", &got), !remove);
    } else if (!remove) {
        cr_assert(ox_quarantine_find(q, "a", &got), "call %d: nobody is lifted by a failure", (int)n);
    }
    ox_quarantine_close(q);
    fault_disk_free(fd);
    return fired;
}

Test(quarantine, each_call_may_fail)
{
    uint64_t n = 1;
    while (one_failure(n, false))
        n++;
    cr_assert_gt(n, 4);
    for (n = 1; one_failure(n, true); n++)
        continue;
    cr_assert_gt(n, 4);
}

Test(quarantine, an_unreadable_list_is_not_an_empty_one)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{\"version\":2,\"tenants\":[]}",
        "{\"version\":1,\"tenants\":[{\"tenant\":\"a\"}]}",
        "{\"version\":1,\"tenants\":[{\"tenant\":\"../x\",\"crashes\":1,\"since_ns\":\"1\"}]}"};
    for (size_t i = 0; i < OX_COUNT(bad); i++) {
        struct fault_disk *fd = fault_disk_new(1);
        struct ox_quarantine *q;
        struct ox_diag diag;
        cr_assert_eq(ox_disk_ensure_dir(fault_disk_seam(fd), "d"), OX_OK);
        fault_disk_poke(fd, PATH, bad[i], strlen(bad[i]));
        cr_assert_eq(ox_quarantine_open(fault_disk_seam(fd), PATH, &q, &diag), OX_E_CORRUPT, "%s", bad[i]);
        cr_assert_null(q);
        cr_assert_not_null(strstr(diag.text, "mend or restore"));
        fault_disk_free(fd);
    }
}
