/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    permits hold exactly what they say, refuse at each bound, and one tenant's bound spares the
 *          other.
 * Method:  small limits, two tenants; a directory filled to its end.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "ox/tenants.h"

static const struct ox_tenants_limits limits = {
    .tenants_max = 100, .node_records_max = 100, .tenant_records_max = 60, .tenant_requests_max = 3};

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
