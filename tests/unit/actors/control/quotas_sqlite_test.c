/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    quotas in DIR/control.db, beside a control store that has it open.
 * Method:  the story of harness/quota_suite.c.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/quota_suite.h"

Test(quotas_sqlite, the_story)
{
    char dir[] = "/tmp/ox-quotas-XXXXXX", path[64], command[80];
    struct ox_control_store *control;
    struct ox_quota_store *quotas;
    struct ox_diag diag;
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/control.db", dir);
    cr_assert_eq(ox_quota_store_sqlite(path, &quotas, &diag), OX_E_UNAVAILABLE, "there is no file yet");
    cr_assert_eq(ox_control_open_sqlite(path, &control, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(ox_quota_store_sqlite(path, &quotas, &diag), OX_OK, "%s", diag.text);
    quota_story(control, quotas);
    quotas->close(quotas);
    control->close(control);
    snprintf(command, sizeof(command), "rm -r '%s'", dir);
    cr_assert_eq(system(command), 0);
}
