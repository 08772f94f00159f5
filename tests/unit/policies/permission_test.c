/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    each role may do what is its own and no more; a key is good for its scopes and no more; a refusal names what
 *          would be right.
 * Method:  every role with every action, against a table written down here once more; every scope by its name.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "ox/permission.h"

/* In the order of enum ox_role: none, viewer, editor, admin, operator, local. */
static const struct {
    enum ox_action action;
    const char *who;
} expected[] = {
    {OX_ACTION_READ_OWN, ".vea.l"},          {OX_ACTION_CRASHES_READ, "....ol"},
    {OX_ACTION_QUARANTINE_READ, "....ol"},   {OX_ACTION_QUARANTINE_REVOKE, "....ol"},
    {OX_ACTION_STORAGE_READ_ONLY, "....ol"}, {OX_ACTION_CONFIG_RELOAD, "....ol"},
    {OX_ACTION_TENANTS_READ, "....ol"},      {OX_ACTION_TENANTS_WRITE, "....ol"},
    {OX_ACTION_KEYS_READ, "...aol"},         {OX_ACTION_KEYS_WRITE, "...aol"},
    {OX_ACTION_USERS_READ, "...aol"},        {OX_ACTION_USERS_WRITE, "...aol"},
    {OX_ACTION_SESSION, "nveaol"},           {OX_ACTION_AUDIT_READ, "...aol"},
    {OX_ACTION_QUOTAS_READ, "...aol"},       {OX_ACTION_QUOTAS_WRITE, "....ol"},
};

Test(permission, each_role_and_action)
{
    struct ox_diag diag;
    cr_assert_eq(OX_COUNT(expected), OX_ACTION__COUNT, "an action without an expectation");
    for (size_t i = 0; i < OX_COUNT(expected); i++) {
        enum ox_action action = expected[i].action;
        for (int r = 0; r < OX_ROLE__COUNT; r++)
            cr_assert_eq(ox_role_may((enum ox_role)r, action, &diag),
                         expected[i].who[r] != '.' ? OX_OK : OX_E_FORBIDDEN, "%s of %s",
                         ox_action_name(action), ox_role_name((enum ox_role)r));
        cr_assert_eq(ox_role_may((enum ox_role)99, action, &diag), OX_E_FORBIDDEN,
                     "a role that does not exist may nothing");
        cr_assert_neq(strcmp(ox_action_name(action), "unknown"), 0);
        uint32_t scope = action == OX_ACTION_READ_OWN ? OX_SCOPE_QUERY : OX_SCOPE_ADMIN;
        cr_assert_eq(ox_action_scope(action), action == OX_ACTION_SESSION ? 0 : scope);
    }
}

Test(permission, the_refusal_says_what_would_be_right)
{
    struct ox_diag diag;
    cr_assert_eq(ox_role_may(OX_ROLE_EDITOR, OX_ACTION_QUARANTINE_REVOKE, &diag), OX_E_FORBIDDEN);
    cr_assert_str_eq(diag.text, "role editor may not revoke a quarantine; that needs role operator");
    cr_assert_eq(ox_role_may(OX_ROLE_OPERATOR, OX_ACTION_READ_OWN, &diag), OX_E_FORBIDDEN);
    cr_assert_str_eq(
        diag.text,
        "role operator may not read telemetry; that needs role viewer, editor or admin of the tenant");
    cr_assert_eq(ox_scope_may(OX_SCOPE_QUERY, OX_SCOPE_INGEST_LOGS, &diag), OX_E_FORBIDDEN);
    cr_assert_str_eq(diag.text, "this key may not send logs: its scopes are query; it needs ingest.logs");
    cr_assert_eq(ox_scope_may(0, OX_SCOPE_ADMIN, &diag), OX_E_FORBIDDEN);
    cr_assert_str_eq(diag.text, "this key may not administer anything: its scopes are none; it needs admin");
}

Test(permission, nobody_gives_more_than_he_has)
{
    struct ox_diag diag;
    cr_assert_eq(ox_role_may_grant(OX_ROLE_ADMIN, OX_ROLE_ADMIN, &diag), OX_OK);
    cr_assert_eq(ox_role_may_grant(OX_ROLE_ADMIN, OX_ROLE_OPERATOR, &diag), OX_E_FORBIDDEN);
    cr_assert_eq(ox_role_may_grant(OX_ROLE_OPERATOR, OX_ROLE_OPERATOR, &diag), OX_OK);
    cr_assert_eq(ox_role_may_grant(OX_ROLE_EDITOR, OX_ROLE_VIEWER, &diag), OX_E_FORBIDDEN);
}

Test(permission, scopes_and_roles_by_name)
{
    struct ox_diag diag;
    char text[OX_SCOPES_TEXT_MAX];
    uint32_t scopes = 0;
    enum ox_role role;
    for (uint32_t bit = 1; bit <= OX_SCOPE_ADMIN; bit <<= 1) {
        cr_assert_not_null(ox_scope_name(bit));
        cr_assert_eq(ox_scope_parse(ox_str_of(ox_scope_name(bit)), &scopes, &diag), OX_OK);
        cr_assert_eq(scopes, bit * 2 - 1, "each name adds its bit");
    }
    ox_scopes_print(scopes, text);
    cr_assert_str_eq(text, "ingest.traces, ingest.logs, ingest.metrics, query, admin");
    scopes = 0;
    cr_assert_eq(ox_scope_parse(OX_STR("ingest"), &scopes, &diag), OX_OK);
    cr_assert_eq(scopes, OX_SCOPE_INGEST);
    cr_assert_eq(ox_scope_parse(OX_STR("everything"), &scopes, &diag), OX_E_INVALID);
    cr_assert_not_null(strstr(diag.text, "got 'everything'"));
    for (int s = 0; s < OX_SIGNAL__COUNT; s++)
        cr_assert_not_null(
            strstr(ox_scope_name(ox_scope_of_signal((enum ox_signal)s)), ox_signal_name((enum ox_signal)s)));
    cr_assert_eq(ox_role_parse(OX_STR("admin"), &role, &diag), OX_OK);
    cr_assert_eq(role, OX_ROLE_ADMIN);
    cr_assert_eq(ox_role_parse(OX_STR("local operator"), &role, &diag), OX_E_INVALID, "no key can have it");
    cr_assert_eq(ox_role_parse(OX_STR("none"), &role, &diag), OX_E_INVALID);
}
