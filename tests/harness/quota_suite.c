/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/quota_suite.c - see quota_suite.h.
 */
#include "tests/harness/quota_suite.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct ox_diag diag;

static void
make_tenant(struct ox_control_store *control, const char *name)
{
    struct ox_control_tenant t = {.state = OX_TENANT_ACTIVE, .created_s = 1, .changed_s = 1};
    snprintf(t.id.name, sizeof(t.id.name), "%s", name);
    snprintf(t.name, sizeof(t.name), "%s", name);
    cr_assert_eq(control->tenant_create(control, NULL, &t, &diag), OX_OK, "%s", diag.text);
}

static struct ox_quota_row
row(const char *tenant, const char *key, enum ox_quota quota, uint64_t value)
{
    struct ox_quota_row r = {.quota = quota, .value = value, .changed_s = 1700000000};
    snprintf(r.tenant.name, sizeof(r.tenant.name), "%s", tenant);
    snprintf(r.key_id, sizeof(r.key_id), "%s", key);
    return r;
}

/* "acme//logs.records=5 acme/k_1/..." */
static const char *
listed(struct ox_quota_store *quotas, const char *tenant)
{
    static char text[512];
    struct ox_tenant_id id = {0};
    struct ox_quota_row *rows;
    size_t n, at = 0;
    snprintf(id.name, sizeof(id.name), "%s", tenant != NULL ? tenant : "");
    cr_assert_eq(quotas->list(quotas, tenant != NULL ? &id : NULL, &rows, &n, &diag), OX_OK, "%s", diag.text);
    text[0] = '\0';
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s/%s/%s=%llu", i > 0 ? " " : "",
                               rows[i].tenant.name, rows[i].key_id, ox_quota_name(rows[i].quota),
                               (unsigned long long)rows[i].value);
    free(rows);
    return text;
}

/* Whole-tenant changes behind the cursor, by tenant. */
static const char *
changed(struct ox_control_store *control, uint64_t *cursor)
{
    static char text[256];
    struct ox_control_change changes[16];
    size_t n = 16, at = 0;
    bool lost;
    text[0] = '\0';
    cr_assert_eq(control->changes(control, cursor, changes, &n, &lost, &diag), OX_OK, "%s", diag.text);
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i > 0 ? " " : "",
                               changes[i].whole_tenant ? changes[i].tenant.name : "key");
    return text;
}

/* Who orders it is looked at in the same transaction. */
static void
by_an_asker(struct ox_control_store *control, struct ox_quota_store *quotas)
{
    struct ox_quota_row r = row("acme", "", OX_QUOTA_LOGS_BYTES, 7);
    struct ox_control_asker asker = {.tenant = {"globex"}, .now_s = 1700000000};
    struct ox_control_tenant t;
    cr_assert_eq(quotas->set(quotas, &asker, &r, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(control->tenant_set(control, NULL, &asker.tenant, OX_TENANT_DISABLED, 2, &t, &diag), OX_OK);
    r.value = 8;
    cr_assert_eq(quotas->set(quotas, &asker, &r, &diag), OX_E_UNAUTHENTICATED);
    cr_assert_eq(quotas->clear(quotas, &asker, &r, &diag), OX_E_UNAUTHENTICATED);
    cr_assert_eq(control->tenant_set(control, NULL, &asker.tenant, OX_TENANT_ACTIVE, 2, &t, &diag), OX_OK);
    snprintf(asker.key_id, sizeof(asker.key_id), "k_gone");
    cr_assert_eq(quotas->set(quotas, &asker, &r, &diag), OX_E_UNAUTHENTICATED);
    cr_assert_not_null(strstr(listed(quotas, "acme"), "logs.bytes=7"), "nothing was changed");
}

void
quota_story(struct ox_control_store *control, struct ox_quota_store *quotas)
{
    struct ox_quota_row r = row("acme", "", OX_QUOTA_LOGS_RECORDS, 5);
    uint64_t cursor = OX_CONTROL_FROM_NOW;
    cr_assert_eq(quotas->set(quotas, NULL, &r, &diag), OX_E_NOT_FOUND, "there is no such tenant");
    make_tenant(control, "acme");
    make_tenant(control, "globex");
    (void)changed(control, &cursor);
    cr_assert_str_eq(listed(quotas, NULL), "");
    cr_assert_eq(quotas->set(quotas, NULL, &r, &diag), OX_OK, "%s", diag.text);
    cr_assert_str_eq(changed(control, &cursor), "acme", "nodes hear of it");
    r = row("acme", "k_1", OX_QUOTA_LOGS_RECORDS, 3);
    cr_assert_eq(quotas->set(quotas, NULL, &r, &diag), OX_OK, "%s", diag.text);
    r = row("globex", "", OX_QUOTA_SERIES, OX_QUOTA_VALUE_MAX);
    cr_assert_eq(quotas->set(quotas, NULL, &r, &diag), OX_OK, "%s", diag.text);
    cr_assert_str_eq(listed(quotas, NULL),
                     "acme//logs.records=5 acme/k_1/logs.records=3 globex//series=1000000000000000");
    cr_assert_str_eq(listed(quotas, "globex"), "globex//series=1000000000000000");
    cr_assert_str_eq(listed(quotas, "nobody"), "");
    cr_assert_str_eq(changed(control, &cursor), "acme globex");
    r = row("acme", "", OX_QUOTA_LOGS_RECORDS, 0);
    cr_assert_eq(quotas->set(quotas, NULL, &r, &diag), OX_OK, "again, with another value");
    cr_assert_str_eq(listed(quotas, "acme"), "acme//logs.records=0 acme/k_1/logs.records=3");
    cr_assert_eq(quotas->clear(quotas, NULL, &r, &diag), OX_OK, "%s", diag.text);
    cr_assert_str_eq(listed(quotas, "acme"), "acme/k_1/logs.records=3");
    (void)changed(control, &cursor);
    cr_assert_eq(quotas->clear(quotas, NULL, &r, &diag), OX_E_NOT_FOUND);
    cr_assert_str_eq(changed(control, &cursor), "", "nothing has changed");
    by_an_asker(control, quotas);
}
