/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    each role may do what is its own and no more; a refusal names the role that would be right.
 * Method:  every role with every action.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "ox/permission.h"

Test(permission, each_role_and_action)
{
    struct ox_diag diag;
    for (int a = 0; a < OX_ACTION__COUNT; a++) {
        enum ox_action action = (enum ox_action)a;
        bool own = action == OX_ACTION_READ_OWN;
        cr_assert_eq(ox_role_may(OX_ROLE_OPERATOR, action, NULL), OX_OK, "%s", ox_action_name(action));
        cr_assert_eq(ox_role_may(OX_ROLE_TENANT, action, &diag), own ? OX_OK : OX_E_FORBIDDEN, "%s",
                     ox_action_name(action));
        cr_assert_eq(ox_role_may(OX_ROLE_NONE, action, &diag), OX_E_FORBIDDEN);
        cr_assert_neq(strcmp(ox_action_name(action), "unknown"), 0);
    }
    cr_assert_eq(ox_role_may((enum ox_role)99, OX_ACTION_QUARANTINE_REVOKE, &diag), OX_E_FORBIDDEN,
                 "a role that does not exist may nothing");
}

Test(permission, the_refusal_says_what_would_be_right)
{
    struct ox_diag diag;
    cr_assert_eq(ox_role_may(OX_ROLE_TENANT, OX_ACTION_QUARANTINE_REVOKE, &diag), OX_E_FORBIDDEN);
    cr_assert_str_eq(diag.text, "role tenant may not revoke a quarantine; that needs role operator");
}
