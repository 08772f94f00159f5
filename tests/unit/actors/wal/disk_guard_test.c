/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a failed write makes the node read-only until a test write succeeds; space does so by its reserve.
 * Method:  the faulty disk fails each call of the test write in turn.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "actors/wal/disk_guard.h"
#include "ox/metric.h"
#include "ox/read_only.h"
#include "tests/harness/fault_disk.h"

static struct fault_disk *disk;
static struct ox_config config;
static struct ox_node node;

static void
setup(void)
{
    disk = fault_disk_new(1);
    strcpy(config.data, "data");
    node.config = &config;
    node.disk = fault_disk_seam(disk);
    cr_assert_eq(ox_disk_mkdir(node.disk, "data", 0700), OX_OK);
}

static void
teardown(void)
{
    fault_disk_free(disk);
}

TestSuite(disk_guard, .init = setup, .fini = teardown);

static uint32_t
reasons(void)
{
    return atomic_load(&node.read_only);
}

static double
gauge(enum ox_read_only reason)
{
    struct ox_str name = ox_str_of(ox_read_only_name(reason));
    return ox_metric_value(OX_M_storage_read_only, &name);
}

Test(disk_guard, only_the_disks_own_errors_count)
{
    ox__disk_guard_failed(&node, OX_OK);
    ox__disk_guard_failed(&node, OX_E_NOMEM);
    ox__disk_guard_failed(&node, OX_E_TOO_LARGE);
    cr_assert_eq(reasons(), 0);
    ox__disk_guard_failed(&node, OX_E_IO);
    cr_assert_eq(reasons(), OX_READ_ONLY_IO);
    cr_assert_eq(gauge(OX_READ_ONLY_IO), 1);
    ox__disk_guard_failed(&node, OX_E_DISK_FULL);
    cr_assert_eq(reasons(), OX_READ_ONLY_IO);
}

Test(disk_guard, stays_until_every_step_of_a_test_write_works)
{
    bool fired = true;
    bool exists;
    ox__disk_guard_failed(&node, OX_E_IO);
    for (uint64_t n = 1; fired; n++) {
        cr_assert_lt(n, 50);
        fault_disk_fail(disk, n, EIO, false);
        ox__disk_guard_probe(&node);
        fired = fault_disk_fired(disk);
        cr_assert(fired == (reasons() == OX_READ_ONLY_IO), "call %llu", (unsigned long long)n);
    }
    cr_assert_eq(reasons(), 0);
    cr_assert_eq(gauge(OX_READ_ONLY_IO), 0);
    (void)fault_disk_peek(disk, "data/disk-probe", &exists);
    cr_assert_not(exists, "the test write stays behind");
}

Test(disk_guard, without_a_failure_nothing_is_written)
{
    uint64_t calls = fault_disk_calls(disk);
    ox__disk_guard_probe(&node);
    cr_assert_eq(fault_disk_calls(disk), calls);
}

Test(disk_guard, the_reserve_decides_and_other_reasons_stay)
{
    atomic_store(&node.read_only, OX_READ_ONLY_OPERATOR);
    fault_disk_limit(disk, 1000000);
    cr_assert_eq(ox__disk_guard_look(&node, 2000000), OX_OK);
    cr_assert_eq(reasons(), OX_READ_ONLY_OPERATOR | OX_READ_ONLY_SPACE);
    cr_assert_eq(gauge(OX_READ_ONLY_SPACE), 1);
    cr_assert_eq(ox__disk_guard_look(&node, 900000), OX_OK);
    cr_assert_eq(reasons(), OX_READ_ONLY_OPERATOR | OX_READ_ONLY_SPACE, "no hysteresis");
    cr_assert_eq(ox__disk_guard_look(&node, 100000), OX_OK);
    cr_assert_eq(reasons(), OX_READ_ONLY_OPERATOR);
    cr_assert_eq(gauge(OX_READ_ONLY_SPACE), 0);
}
