/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a control store of another release is told from ours by number, name and text of its migrations.
 * Method:  made-up lists; the sum of one text pinned, so that it never changes by accident.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "actors/control/control_schema.h"

static const struct ox_migration known[] = {{1, "first", "CREATE TABLE a;\n"},
                                            {2, "second", "CREATE TABLE b;\n"}};

Test(control_schema, known_ones_are_done_and_others_refused)
{
    char sum[OX__MIGRATION_SUM_MAX];
    bool done[2] = {false};
    struct ox_diag diag;
    ox__control_migration_sum(&known[1], sum);
    cr_assert_eq(strlen(sum), 32);
    cr_assert_eq(ox__control_migration_seen(known, 2, 2, "second", sum, done, &diag), OX_OK);
    cr_assert(!done[0] && done[1]);
    cr_assert_eq(ox__control_migration_seen(known, 2, 1, "first", sum, done, &diag), OX_E_STATE,
                 "another text");
    cr_assert_eq(ox__control_migration_seen(known, 2, 1, "other", sum, done, &diag), OX_E_STATE,
                 "another name");
    cr_assert_eq(ox__control_migration_seen(known, 2, 3, "third", sum, done, &diag), OX_E_STATE, "newer");
    cr_assert_eq(ox__control_migration_seen(known, 2, 0, "zeroth", sum, done, &diag), OX_E_STATE);
    cr_assert(!done[0]);
}
