/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the storage client asks a dead endpoint no more than its breaker allows, and says so.
 * Method:  a socket that nobody listens on, a clock in hand.
 */
#include <criterion/criterion.h>

#include "actors/storage/storage.h"
#include "ox/metric.h"

static struct ox_clock_virtual clock_;
static struct ox_storage *st;

static void
open_client(void)
{
    struct ox_storage_options o = {.url = "unix:/nonexistent/engine.sock", .clock = &clock_.clock};
    ox_clock_virtual_init(&clock_, 1000000000000, 0);
    cr_assert_eq(ox_storage_open(&o, &st, NULL), OX_OK);
}

static void
close_client(void)
{
    ox_storage_close(st);
}

TestSuite(gate, .init = open_client, .fini = close_client);

static ox_err
ask(struct ox_diag *diag)
{
    struct ox_buf out = {0};
    struct ox_storage_query q = {.sql = OX_STR("SELECT 1")};
    return ox_storage_query(st, &q, &out, NULL, diag);
}

static double
state_metric(void)
{
    struct ox_str name = OX_STR("/nonexistent/engine.sock");
    return ox_metric_value(OX_M_storage_breaker_state, &name);
}

Test(gate, refuses_at_once_while_open)
{
    struct ox_diag diag;
    struct ox_storage_insert insert = {.table = "t", .data = "x", .len = 1};
    for (int i = 0; i < 5; i++)
        cr_assert_eq(ask(&diag), OX_E_STORAGE_DOWN);
    cr_assert_eq(ox_storage_breaker(st), OX_BREAKER_OPEN);
    cr_assert_eq(state_metric(), 2);
    cr_assert_eq(ask(&diag), OX_E_STORAGE_OPEN);
    cr_assert_not_null(strstr(diag.text, "circuit breaker open"), "%s", diag.text);
    cr_assert_eq(ox_storage_insert(st, &insert, NULL, NULL), OX_E_STORAGE_OPEN);
    cr_assert_gt(ox_storage_wait_ns(st), 0);
}

Test(gate, one_probe_after_the_wait_and_after_a_hint)
{
    for (int i = 0; i < 5; i++)
        cr_assert_eq(ask(NULL), OX_E_STORAGE_DOWN);
    ox_clock_virtual_advance(&clock_, ox_storage_wait_ns(st));
    cr_assert_eq(ask(NULL), OX_E_STORAGE_DOWN);
    cr_assert_eq(ask(NULL), OX_E_STORAGE_OPEN);
    ox_storage_hint(st);
    cr_assert_eq(ox_storage_wait_ns(st), 0);
    cr_assert_eq(ask(NULL), OX_E_STORAGE_DOWN);
    cr_assert_eq(ask(NULL), OX_E_STORAGE_OPEN);
}

Test(gate, a_ping_goes_past_it)
{
    for (int i = 0; i < 6; i++)
        (void)!ask(NULL);
    cr_assert_eq(ox_storage_ping(st, 100, NULL), OX_E_STORAGE_DOWN);
}

Test(gate, what_the_asker_ends_is_no_failure)
{
    struct ox_buf out = {0};
    _Atomic bool cancel = true;
    struct ox_storage_query q = {.sql = OX_STR("SELECT 1"), .cancel = &cancel};
    for (int i = 0; i < 50; i++)
        cr_assert_eq(ox_storage_query(st, &q, &out, NULL, NULL), OX_E_CANCELLED);
    cr_assert_eq(ox_storage_breaker(st), OX_BREAKER_CLOSED);
}
