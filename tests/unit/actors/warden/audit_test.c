/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    each act stands in the audit log, durably, as one line of JSON; being refused does not fill the disk.
 * Method:  the faulty disk and the virtual clock.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>

#include "ox/audit.h"
#include "tests/harness/fault_disk.h"

#define PATH "d/audit.jsonl"

static struct ox_clock_virtual now;

static struct ox_audit_entry
entry(const char *outcome, bool unauthorised)
{
    return (struct ox_audit_entry){.who = {"key of tenant acme", "192.0.2.1", "operator"},
                                   .action = "quarantine.revoke",
                                   .tenant = "bad",
                                   .count = 6,
                                   .outcome = outcome,
                                   .detail = "a \"sentence\"\nof two lines",
                                   .unauthorised = unauthorised};
}

static struct ox_audit *
fresh(struct fault_disk **fd)
{
    *fd = fault_disk_new(1);
    cr_assert_eq(ox_disk_ensure_dir(fault_disk_seam(*fd), "d"), OX_OK);
    ox_clock_virtual_init(&now, 1000, 1000000000);
    return ox_audit_open(fault_disk_seam(*fd), PATH, &now.clock);
}

/* Lines that can be read, and have this member. */
static size_t
lines(struct fault_disk *fd, const char *member)
{
    bool exists;
    size_t n = 0;
    struct ox_str text = fault_disk_peek(fd, PATH, &exists);
    while (text.n > 0) {
        const char *end = memchr(text.p, '\n', text.n);
        size_t len = end != NULL ? (size_t)(end - text.p) : text.n;
        json_t *o = json_loadb(text.p, len, 0, NULL);
        if (o != NULL) {
            cr_assert_str_eq(json_string_value(json_object_get(o, "who")), "key of tenant acme");
            cr_assert_str_eq(json_string_value(json_object_get(o, "peer")), "192.0.2.1");
            cr_assert_eq(json_integer_value(json_object_get(o, "count")), 6);
            n += json_object_get(o, member) != NULL;
        }
        json_decref(o);
        len += end != NULL;
        text = (struct ox_str){text.p + len, text.n - len};
    }
    return n;
}

Test(audit, lines_are_durable_and_a_torn_one_swallows_none)
{
    struct fault_disk *fd;
    struct ox_audit *a = fresh(&fd);
    struct ox_audit_entry e = entry("granted", false);
    cr_assert_eq(ox_audit_write(a, &e), OX_OK);
    fault_disk_cut(fd, FAULT_CUT_CLEAN);
    cr_assert_eq(lines(fd, "time"), 1);
    uint64_t before = fault_disk_calls(fd);
    cr_assert_eq(ox_audit_write(a, &e), OX_OK);
    uint64_t calls = fault_disk_calls(fd) - before;
    for (uint64_t n = 1; n <= calls; n++) {
        size_t had = lines(fd, "time");
        fault_disk_fail(fd, n, EIO, true);
        ox_err err = ox_audit_write(a, &e);
        cr_assert(err != OX_OK || !fault_disk_fired(fd));
        fault_disk_fail(fd, 0, 0, false);
        cr_assert_eq(ox_audit_write(a, &e), OX_OK, "after a failure of call %d", (int)n);
        cr_assert_geq(lines(fd, "time"), had + 1);
    }
    ox_audit_close(a);
    fault_disk_free(fd);
}

Test(audit, being_refused_is_bounded_and_counted)
{
    struct fault_disk *fd;
    struct ox_audit *a = fresh(&fd);
    struct ox_audit_entry no = entry("refused", true), yes = entry("granted", false);
    for (int i = 0; i < 3 * OX_AUDIT_REFUSED_MAX; i++)
        cr_assert_eq(ox_audit_write(a, &no), OX_OK);
    cr_assert_eq(lines(fd, "time"), OX_AUDIT_REFUSED_MAX);
    cr_assert_eq(ox_audit_write(a, &yes), OX_OK);
    cr_assert_eq(lines(fd, "time"), OX_AUDIT_REFUSED_MAX + 1, "what was granted is always written");
    cr_assert_eq(lines(fd, "refused_before_and_not_listed"), 1);
    ox_clock_virtual_advance(&now, (uint64_t)OX_AUDIT_WINDOW_S * 1000000000);
    cr_assert_eq(ox_audit_write(a, &no), OX_OK);
    cr_assert_eq(lines(fd, "time"), OX_AUDIT_REFUSED_MAX + 2);
    ox_audit_close(a);
    fault_disk_free(fd);
}
