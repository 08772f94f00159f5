/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    permits hold exactly what they say, refuse at each bound, and one tenant's bound spares the
 *          other.
 * Method:  small limits, two tenants; a directory filled to its end.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "ox/tenants.h"

static const struct ox_tenants_limits limits = {.tenants_max = 100,
                                                .node_records_max = 100,
                                                .tenant_records_max = 60,
                                                .tenant_requests_max = 3,
                                                .node_backlog_bytes_max = 1000,
                                                .tenant_backlog_bytes_max = 600};

static struct ox_tenant *
tenant(struct ox_tenants *dir, const char *name)
{
    struct ox_tenant_id id;
    struct ox_tenant *t = NULL;
    cr_assert_eq(ox_tenant_id_parse(ox_str_of(name), &id, NULL), OX_OK);
    cr_assert_eq(ox_tenants_get(dir, &id, &t), OX_OK);
    return t;
}

Test(tenants, one_entry_per_name)
{
    struct ox_tenants *dir = ox_tenants_new(&limits);
    struct ox_tenant *a = tenant(dir, "a");
    cr_assert_neq(a, tenant(dir, "b"));
    cr_assert_eq(a, tenant(dir, "a"));
    cr_assert_eq(ox_tenants_count(dir), 2);
    cr_assert_eq(ox_tenants_at(dir, a->index), a);
    cr_assert_null(ox_tenants_at(dir, 2));
    ox_tenants_free(dir);
}

Test(tenants, a_full_directory_refuses_new_names_only)
{
    struct ox_tenants *dir = ox_tenants_new(&limits);
    char name[16];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        tenant(dir, name);
    }
    struct ox_tenant_id id = {"one-more"};
    struct ox_tenant *t;
    cr_assert_eq(ox_tenants_get(dir, &id, &t), OX_E_OVERLOAD);
    tenant(dir, "t42");
    ox_tenants_free(dir);
}

Test(tenants, bounds_of_tenant_and_node)
{
    struct ox_tenants *dir = ox_tenants_new(&limits);
    struct ox_tenant *a = tenant(dir, "a"), *b = tenant(dir, "b");
    struct ox_permit p1, p2, p3, p4;
    struct ox_diag diag;
    cr_assert_eq(ox_permit_take(dir, a, 59, false, &p1, &diag), OX_OK);
    cr_assert_eq(ox_permit_take(dir, a, 30, false, &p2, &diag), OX_OK, "one request may overshoot");
    cr_assert_eq(ox_permit_take(dir, a, 1, false, &p3, &diag), OX_E_QUOTA);
    cr_assert_eq(ox_permit_take(dir, b, 50, false, &p3, &diag), OX_OK, "b is not a");
    cr_assert_eq(ox_permit_take(dir, b, 1, false, &p4, &diag), OX_E_OVERLOAD);
    cr_assert_eq(ox_permit_take(dir, b, 1, true, &p4, &diag), OX_OK,
                 "what was acknowledged is never refused");
    cr_assert_eq(ox_tenants_in_flight(dir), 140);
    ox_permit_give(&p1);
    ox_permit_give(&p1);
    ox_permit_give(&p2);
    ox_permit_give(&p3);
    ox_permit_give(&p4);
    cr_assert_eq(ox_tenants_in_flight(dir), 0);
    ox_tenants_free(dir);
}

Test(tenants, requests_are_bounded_even_when_empty)
{
    struct ox_tenants *dir = ox_tenants_new(&limits);
    struct ox_tenant *a = tenant(dir, "a");
    struct ox_permit p[4];
    for (int i = 0; i < 3; i++)
        cr_assert_eq(ox_permit_take(dir, a, 0, false, &p[i], NULL), OX_OK);
    cr_assert_eq(ox_permit_take(dir, a, 0, false, &p[3], NULL), OX_E_QUOTA);
    for (int i = 0; i < 3; i++)
        ox_permit_give(&p[i]);
    ox_tenants_free(dir);
}

/* ---- the last part of a journal ---- */

static struct ox_clock_virtual now;

static struct ox_tenants *
new_dir(struct ox_account *bodies)
{
    ox_clock_virtual_init(&now, 1000000000ull, 1700000000000000000ull);
    struct ox_tenants_limits free_limits = {.tenants_max = 100,
                                            .node_records_max = 1u << 30,
                                            .tenant_records_max = 1u << 30,
                                            .tenant_requests_max = 1u << 20,
                                            .bodies = bodies,
                                            .clock = &now.clock};
    return ox_tenants_new(&free_limits);
}

static void
send(struct ox_tenants *dir, struct ox_tenant *t, uint32_t records)
{
    struct ox_permit p;
    cr_assert_eq(ox_permit_take(dir, t, records, false, &p, NULL), OX_OK);
    ox_permit_give(&p);
}

Test(tenants, a_look_says_what_a_permit_would_say)
{
    struct ox_tenants *dir = ox_tenants_new(&limits);
    struct ox_tenant *a = tenant(dir, "a"), *b = tenant(dir, "b");
    struct ox_permit p, q;
    cr_assert_eq(ox_permit_look(dir, a, NULL), OX_OK);
    cr_assert_eq(ox_permit_take(dir, a, 60, false, &p, NULL), OX_OK);
    cr_assert_eq(ox_permit_look(dir, a, NULL), OX_E_QUOTA);
    cr_assert_eq(ox_permit_look(dir, b, NULL), OX_OK);
    cr_assert_eq(ox_permit_take(dir, b, 40, false, &q, NULL), OX_OK);
    cr_assert_eq(ox_permit_look(dir, b, NULL), OX_E_OVERLOAD);
    cr_assert_eq(ox_tenants_in_flight(dir), 100, "a look takes nothing");
    ox_permit_give(&p);
    ox_permit_give(&q);
    ox_tenants_free(dir);
}

Test(tenants, the_last_of_a_journal_is_for_those_who_send_little)
{
    struct ox_tenants *dir = new_dir(NULL);
    struct ox_tenant *noisy = tenant(dir, "noisy"), *quiet = tenant(dir, "quiet"),
                     *fresh = tenant(dir, "fresh");
    send(dir, noisy, 99000);
    send(dir, quiet, 1000);
    cr_assert(ox_tenants_may_fill(dir, noisy, 800, 950), "there is room for all");
    cr_assert_not(ox_tenants_may_fill(dir, noisy, 801, 950));
    cr_assert(ox_tenants_may_fill(dir, quiet, 801, 950));
    cr_assert(ox_tenants_may_fill(dir, quiet, 940, 950));
    cr_assert_not(ox_tenants_may_fill(dir, quiet, 948, 950), "a hundredth is too much where nothing is left");
    cr_assert(ox_tenants_may_fill(dir, fresh, 949, 950), "who sent nothing may always begin");
    cr_assert_not(ox_tenants_may_fill(dir, fresh, 950, 950));
    ox_tenants_free(dir);
}

Test(tenants, equals_are_refused_at_the_same_fill)
{
    struct ox_tenants *dir = new_dir(NULL);
    struct ox_tenant *t[3] = {tenant(dir, "a"), tenant(dir, "b"), tenant(dir, "c")};
    for (int i = 0; i < 3; i++)
        send(dir, t[i], 5000);
    for (int i = 0; i < 3; i++) {
        cr_assert(ox_tenants_may_fill(dir, t[i], 850, 950));
        cr_assert_not(ox_tenants_may_fill(dir, t[i], 851, 950));
    }
    ox_tenants_free(dir);
}

Test(tenants, one_that_is_alone_may_fill_it_up)
{
    struct ox_tenants *dir = new_dir(NULL);
    struct ox_tenant *a = tenant(dir, "a"), *b = tenant(dir, "b");
    for (int i = 0; i < 50; i++) {
        send(dir, a, 333);
        cr_assert(ox_tenants_may_fill(dir, a, 949, 950), "request %d", i);
        ox_clock_virtual_advance(&now, 3000000000ull);
    }
    cr_assert_not(ox_tenants_may_fill(dir, a, 950, 950));
    send(dir, b, 10);
    cr_assert_not(ox_tenants_may_fill(dir, a, 949, 950), "no longer alone");
    cr_assert(ox_tenants_may_fill(dir, b, 940, 950));
    ox_tenants_free(dir);
}

Test(tenants, what_was_sent_long_ago_is_forgotten)
{
    struct ox_tenants *dir = new_dir(NULL);
    struct ox_tenant *a = tenant(dir, "a"), *b = tenant(dir, "b");
    send(dir, a, 1000);
    ox_clock_virtual_advance(&now, 16000000000ull); /* two periods: a quarter is left */
    send(dir, b, 1000);
    cr_assert(ox_tenants_may_fill(dir, a, 880, 950), "a sent a fifth of what counts");
    cr_assert_not(ox_tenants_may_fill(dir, b, 880, 950), "b four fifths");
    ox_clock_virtual_advance(&now, 3600000000000ull);
    cr_assert(ox_tenants_may_fill(dir, b, 949, 950), "an hour later nobody sent anything");
    ox_tenants_free(dir);
}

Test(tenants, bodies_of_a_tenant_are_a_part_of_the_node_s)
{
    struct ox_account bodies = {.limit_bytes = 1000};
    struct ox_tenants *dir = new_dir(&bodies);
    struct ox_tenant *noisy = tenant(dir, "noisy"), *quiet = tenant(dir, "quiet");
    uint32_t n = 0;
    while (ox_account_take(&noisy->bodies, 50) == OX_OK)
        n++;
    cr_assert_eq(n, 15, "three quarters, got %u pieces of 50", n);
    cr_assert_eq(ox_account_take(&quiet->bodies, 150), OX_OK, "who comes after it finds room");
    cr_assert_eq(atomic_load(&bodies.used_bytes), 900);
    ox_account_give(&quiet->bodies, 150);
    ox_account_give(&noisy->bodies, 750);
    cr_assert_eq(atomic_load(&bodies.used_bytes), 0);
    ox_tenants_free(dir);
}

Test(tenants, a_backlog_is_bounded_and_says_why)
{
    struct ox_tenants *dir = ox_tenants_new(&limits);
    struct ox_tenant *a = tenant(dir, "a"), *b = tenant(dir, "b");
    struct ox_diag diag;
    cr_assert_eq(ox_backlog_take(dir, a, 600, false, NULL), OX_OK, "exactly its bound");
    cr_assert_eq(ox_backlog_take(dir, a, 1, false, &diag), OX_E_MAILBOX_FULL);
    cr_assert_not_null(strstr(diag.text, "overloaded"));
    atomic_store(&a->quarantined, 6);
    atomic_store(&a->spilling_since_ns, UINT64_C(1700000000000000000));
    cr_assert_eq(ox_backlog_take(dir, a, 1, false, &diag), OX_E_QUARANTINED);
    cr_assert_not_null(strstr(diag.text, "after 6 crashes"), "%s", diag.text);
    cr_assert_not_null(strstr(diag.text, "2023-11-14T22:13:20Z"), "%s", diag.text);
    cr_assert_not_null(strstr(diag.text, "an operator must end the quarantine"), "%s", diag.text);
    cr_assert_eq(ox_backlog_take(dir, b, 401, false, &diag), OX_E_OVERLOAD, "the node's");
    cr_assert_eq(ox_backlog_take(dir, b, 400, false, NULL), OX_OK);
    cr_assert_eq(ox_backlog_take(dir, b, 500, true, NULL), OX_OK, "what was acknowledged gets in");
    cr_assert_eq(ox_tenants_backlog_bytes(dir), 1500);
    ox_backlog_give(dir, a, 600);
    ox_backlog_give(dir, b, 900);
    cr_assert_eq(ox_tenants_backlog_bytes(dir), 0, "a refusal takes nothing");
    ox_tenants_free(dir);
}
