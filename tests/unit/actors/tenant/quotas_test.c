/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a tenant has the defaults or what is its own, a key beside it what is the key's, neither takes anything of another's,
 *          and a refusal says which quota it was and when to come again.
 * Method:  a virtual clock; rows as the control plane gives them.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "ox/metric.h"
#include "ox/quotas.h"

static struct ox_clock_virtual clk;
static struct ox_quotas *q;
static struct ox_diag diag;
static struct ox_quota_verdict verdict;

static void
up(void)
{
    ox_clock_virtual_init(&clk, 1000000000000, 1700000000000000000);
    q = ox_quotas_new(&clk.clock);
    const struct ox_quota_defaults d = {.burst_ms = 1000,
                                        .warn_permille = 800,
                                        .value = {[OX_QUOTA_LOGS_RECORDS] = 100, [OX_QUOTA_SERIES] = 7}};
    ox_quotas_set_defaults(q, &d);
}

static void
down(void)
{
    ox_quotas_free(q);
}

TestSuite(quotas, .init = up, .fini = down);

static struct ox_quota_entry *
tenant(const char *name)
{
    struct ox_tenant_id id;
    cr_assert_eq(ox_tenant_id_parse(ox_str_of(name), &id, NULL), OX_OK);
    return ox_quotas_tenant(q, &id);
}

static struct ox_quota_row
row(const char *name, const char *key, enum ox_quota quota, uint64_t value)
{
    struct ox_quota_row r = {.quota = quota, .value = value};
    snprintf(r.tenant.name, sizeof(r.tenant.name), "%s", name);
    snprintf(r.key_id, sizeof(r.key_id), "%s", key);
    return r;
}

static ox_err
send(struct ox_quota_entry *t, struct ox_quota_entry *key, uint64_t records, uint64_t bytes)
{
    ox_diag_clear(&diag);
    return ox_quotas_take(q, t, key, OX_SIGNAL_LOGS, records, bytes, &verdict, &diag);
}

Test(quotas, the_defaults_hold_for_each_tenant_by_itself)
{
    cr_assert_eq(send(tenant("acme"), NULL, 60, 1), OX_OK);
    cr_assert_not(verdict.warn);
    cr_assert_eq(send(tenant("acme"), NULL, 60, 1), OX_OK, "something was left");
    cr_assert(verdict.warn);
    cr_assert_eq(send(tenant("acme"), NULL, 1, 1), OX_E_QUOTA);
    cr_assert_eq(verdict.quota, OX_QUOTA_LOGS_RECORDS);
    cr_assert_eq(verdict.retry_ms, diag.retry_ms);
    cr_assert(verdict.retry_ms > 190 && verdict.retry_ms < 210, "%u", verdict.retry_ms);
    cr_assert_not_null(strstr(diag.text, "tenant acme may send 100 records/s (quota logs.records)"), "%s",
                       diag.text);
    cr_assert_eq(send(tenant("other"), NULL, 60, 1), OX_OK, "another tenant has its own");
    cr_assert_eq(ox_quotas_look(q, tenant("acme"), NULL, OX_SIGNAL_LOGS, &verdict, &diag), OX_E_QUOTA);
    cr_assert_eq(ox_quotas_look(q, tenant("acme"), NULL, OX_SIGNAL_TRACES, &verdict, &diag), OX_OK);
    ox_clock_virtual_advance(&clk, 300000000);
    cr_assert_eq(send(tenant("acme"), NULL, 1, 1), OX_OK);
    struct ox_str labels[] = {OX_STR("acme"), OX_STR("logs.records")};
    cr_assert_eq(ox_metric_value(OX_M_quota_refused, labels), 2);
    cr_assert_geq(ox_metric_value(OX_M_quota_warned, labels), 1);
}

Test(quotas, what_is_a_tenants_own_goes_before_the_default_and_goes_again)
{
    struct ox_quota_row rows[] = {row("acme", "", OX_QUOTA_LOGS_RECORDS, 10),
                                  row("acme", "", OX_QUOTA_LOGS_BYTES, 1000)};
    ox_quotas_replace(q, rows, 2);
    cr_assert(ox_quotas_is_own(tenant("acme"), OX_QUOTA_LOGS_BYTES));
    cr_assert_eq(ox_quotas_value(q, tenant("acme"), OX_QUOTA_SERIES), 7);
    cr_assert_eq(send(tenant("acme"), NULL, 5, 1000), OX_OK);
    cr_assert_eq(send(tenant("acme"), NULL, 1, 1), OX_E_QUOTA);
    cr_assert_eq(verdict.quota, OX_QUOTA_LOGS_BYTES);
    cr_assert_eq(ox_quotas_used(q, tenant("acme"), OX_QUOTA_LOGS_RECORDS), 500,
                 "what was refused for its bytes took no records");
    ox_quotas_replace(q, rows, 0);
    cr_assert_not(ox_quotas_is_own(tenant("acme"), OX_QUOTA_LOGS_BYTES));
    cr_assert_eq(ox_quotas_value(q, tenant("acme"), OX_QUOTA_LOGS_RECORDS), 100);
    cr_assert_eq(send(tenant("acme"), NULL, 1, 1), OX_OK);
}

Test(quotas, zero_of_a_tenants_own_is_no_bound)
{
    struct ox_quota_row rows[] = {row("acme", "", OX_QUOTA_LOGS_RECORDS, 0)};
    ox_quotas_replace(q, rows, 1);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(send(tenant("acme"), NULL, 1000, 1), OX_OK);
}

Test(quotas, a_key_has_its_own_beside_the_tenants)
{
    struct ox_quota_row rows[] = {row("acme", "k_one", OX_QUOTA_LOGS_RECORDS, 10)};
    cr_assert_null(ox_quotas_key(q, tenant("acme"), "k_one"));
    ox_quotas_replace(q, rows, 1);
    struct ox_quota_entry *one = ox_quotas_key(q, tenant("acme"), "k_one");
    cr_assert_not_null(one);
    cr_assert_null(ox_quotas_key(q, tenant("acme"), "k_two"));
    cr_assert_null(ox_quotas_key(q, tenant("other"), "k_one"), "a key's id of another tenant");
    cr_assert_eq(send(tenant("acme"), one, 10, 1), OX_OK);
    cr_assert_eq(send(tenant("acme"), one, 1, 1), OX_E_QUOTA);
    cr_assert_not_null(strstr(diag.text, "key k_one of tenant acme may send 10 records/s"), "%s", diag.text);
    cr_assert_eq(ox_quotas_used(q, tenant("acme"), OX_QUOTA_LOGS_RECORDS), 100,
                 "the tenant's was given back");
    cr_assert_eq(send(tenant("acme"), NULL, 80, 1), OX_OK, "other keys of the tenant go on");
    ox_quotas_replace(q, rows, 0);
    cr_assert_eq(send(tenant("acme"), one, 1, 1), OX_OK, "a key without one has its tenant's alone");
}
