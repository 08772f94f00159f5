/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a tenant runs as many questions as it may, the others wait in order, and no tenant counts for another.
 * Method:  items without questions.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "actors/query/query_gate.h"

static struct ox__gate *gate;
static struct ox__gate_item items[8];

static void
up(void)
{
    gate = ox__gate_new();
    memset(items, 0, sizeof(items));
    cr_assert_not_null(gate);
}

static void
down(void)
{
    ox__gate_free(gate);
}

TestSuite(query_gate, .init = up, .fini = down);

static enum ox__gate_answer
enter(int i, const char *tenant, uint32_t running_max, uint32_t waiting_max)
{
    snprintf(items[i].tenant.name, sizeof(items[i].tenant.name), "%s", tenant);
    return ox__gate_enter(gate, &items[i], running_max, waiting_max);
}

/* One ends; what may run then. */
static struct ox__gate_item *
leave(int i, uint32_t running_max)
{
    ox__gate_leave(gate, &items[i].tenant);
    return ox__gate_next(gate, &items[i].tenant, running_max);
}

Test(query_gate, who_has_enough_running_waits_and_then_is_refused)
{
    cr_assert_eq(enter(0, "acme", 2, 2), OX__GATE_RUN);
    cr_assert_eq(enter(1, "acme", 2, 2), OX__GATE_RUN);
    cr_assert_eq(enter(2, "acme", 2, 2), OX__GATE_WAIT);
    cr_assert_eq(enter(3, "acme", 2, 2), OX__GATE_WAIT);
    cr_assert_eq(enter(4, "acme", 2, 2), OX__GATE_FULL);
    cr_assert_eq(enter(5, "other", 2, 2), OX__GATE_RUN, "another tenant has its own");
    cr_assert_eq(ox__gate_waiting(gate), 2);
    cr_assert_eq(leave(0, 2), &items[2]);
    cr_assert_eq(leave(0, 2), &items[3]);
    cr_assert_null(leave(0, 2));
    cr_assert_null(leave(0, 2));
    cr_assert_null(leave(5, 2));
    cr_assert_eq(enter(0, "acme", 1, 0), OX__GATE_RUN, "all have left");
    cr_assert_null(leave(0, 2));
}

Test(query_gate, who_gives_up_waiting_leaves_the_others_in_order)
{
    cr_assert_eq(enter(0, "acme", 1, 8), OX__GATE_RUN);
    for (int i = 1; i < 5; i++)
        cr_assert_eq(enter(i, "acme", 1, 8), OX__GATE_WAIT);
    cr_assert(ox__gate_remove(gate, &items[1]), "the first");
    cr_assert(ox__gate_remove(gate, &items[4]), "the last");
    cr_assert_not(ox__gate_remove(gate, &items[4]));
    cr_assert_not(ox__gate_remove(gate, &items[0]), "it runs");
    cr_assert_eq(enter(5, "acme", 1, 8), OX__GATE_WAIT);
    cr_assert_eq(leave(0, 1), &items[2]);
    cr_assert_eq(leave(0, 1), &items[3]);
    cr_assert_eq(leave(0, 1), &items[5]);
    cr_assert_null(leave(0, 1));
}

Test(query_gate, nobody_passes_who_came_before_when_the_limit_changes)
{
    cr_assert_eq(enter(0, "acme", 1, 8), OX__GATE_RUN);
    cr_assert_eq(enter(1, "acme", 1, 8), OX__GATE_WAIT);
    cr_assert_eq(enter(2, "acme", 3, 8), OX__GATE_WAIT, "behind who waits already");
    cr_assert_eq(enter(3, "acme", 3, 8), OX__GATE_WAIT);
    cr_assert_eq(ox__gate_next(gate, &items[0].tenant, 3), &items[1]);
    cr_assert_eq(ox__gate_next(gate, &items[0].tenant, 3), &items[2]);
    cr_assert_null(ox__gate_next(gate, &items[0].tenant, 3));
    cr_assert_null(leave(0, 1), "two still run, one may now");
    cr_assert_null(leave(0, 1));
    cr_assert_eq(leave(0, 0), &items[3], "who waits is let in once, also when nobody may any more");
    cr_assert_null(leave(0, 0));
}

Test(query_gate, a_tenant_that_may_run_none_is_refused)
{
    cr_assert_eq(enter(0, "acme", 0, 8), OX__GATE_FULL, "nobody would ever wake it");
    cr_assert_eq(ox__gate_waiting(gate), 0);
}
