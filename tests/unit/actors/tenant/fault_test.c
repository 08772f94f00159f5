/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    rules for faults mean what include/ox/fault.h says, and a rule that is none is refused with a sentence.
 * Method:  the rules alone; what a fault does to a node is in tests/integration/supervision_test.c.
 */
#include <criterion/criterion.h>

#include "ox/fault.h"

static enum ox_fault
of(const char *tenant, const char *bytes)
{
    return ox_fault_of(tenant, ox_str_of(bytes));
}

Test(fault, without_rules_nothing_happens)
{
    cr_assert_eq(ox_fault_load(NULL, NULL), OX_OK);
    cr_assert_eq(of("a", "observex.fault=panic"), OX_FAULT_none);
}

Test(fault, marked_requests)
{
    cr_assert_eq(ox_fault_load("marked", NULL), OX_OK);
    cr_assert_eq(of("a", "x observex.fault=segv; y"), OX_FAULT_segv);
    cr_assert_eq(of("a", "observex.fault=hang"), OX_FAULT_hang);
    cr_assert_eq(of("a", "observex.fault=hangs"), OX_FAULT_none, "a word of its own");
    cr_assert_eq(of("a", "observex.fault="), OX_FAULT_none);
    cr_assert_eq(of("a", ""), OX_FAULT_none);
}

Test(fault, tenants_and_every_nth)
{
    cr_assert_eq(ox_fault_load("panic@tenant:a/3,leak@tenant:b", NULL), OX_OK);
    for (int i = 1; i <= 9; i++)
        cr_assert_eq(of("a", ""), i % 3 == 0 ? OX_FAULT_panic : OX_FAULT_none, "request %d", i);
    cr_assert_eq(of("b", ""), OX_FAULT_leak);
    cr_assert_eq(of("c", "observex.fault=panic"), OX_FAULT_none);
}

static void
armed_is_disarmed(void)
{
    cr_assert_eq(ox_fault_load(NULL, NULL), OX_OK);
}

Test(fault, armed_it_strikes_once_and_only_its_kind, .fini = armed_is_disarmed)
{
    struct ox_str gateway = OX_STR("gateway"), slow = OX_STR("slow"); /* the one that returns */
    cr_assert_eq(ox_fault_load("marked", NULL), OX_OK);
    cr_assert_eq(ox_fault_arm(gateway, slow), OX_E_STATE);
    cr_assert_eq(ox_fault_load("armed", NULL), OX_OK);
    cr_assert(ox_fault_may_arm());
    cr_assert_eq(ox_fault_arm(gateway, OX_STR("boom")), OX_E_INVALID);
    cr_assert_eq(ox_fault_arm(gateway, slow), OX_OK);
    cr_assert_eq(ox_fault_arm(OX_STR("wal"), slow), OX_OK);
    ox_fault_before(NULL, NULL, "tenant");
    cr_assert(ox_fault_is_armed(gateway));
    ox_fault_before(NULL, NULL, "gateway");
    cr_assert_not(ox_fault_is_armed(gateway));
    cr_assert(ox_fault_is_armed(OX_STR("wal")), "another kind's waits on");
}

Test(fault, so_many_are_armed_at_a_time, .fini = armed_is_disarmed)
{
    cr_assert_eq(ox_fault_load("armed", NULL), OX_OK);
    for (int i = 0; i < OX_FAULT_ARMED_MAX; i++)
        cr_assert_eq(ox_fault_arm(OX_STR("api"), OX_STR("panic")), OX_OK);
    cr_assert_eq(ox_fault_arm(OX_STR("api"), OX_STR("panic")), OX_E_OVERLOAD);
}

Test(fault, a_rule_that_is_none_is_refused)
{
    static const char *const bad[] = {"panic",          "panic@tenant:",    "boom@tenant:a",
                                      "panic@writer:a", "panic@tenant:a/0", "marked,x",
                                      ",marked"};
    for (size_t i = 0; i < OX_COUNT(bad); i++) {
        struct ox_diag diag;
        cr_assert_eq(ox_fault_load(bad[i], &diag), OX_E_INVALID, "%s", bad[i]);
        cr_assert_not_null(strstr(diag.text, "FAULT@tenant:NAME"));
    }
}
