/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    users and their sessions in DIR/control.db are what every store of users must keep.
 * Method:  the stories of harness/user_suite.c.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/user_suite.h"

static char dir[64];
static struct ox_control_store *control;
static struct ox_user_store *users;

static void
up(void)
{
    struct ox_diag diag;
    char path[96];
    snprintf(dir, sizeof(dir), "/tmp/ox-users-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/control.db", dir);
    cr_assert_eq(ox_control_open_sqlite(path, &control, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(ox_user_store_sqlite(path, &users, &diag), OX_OK, "%s", diag.text);
}

static void
down(void)
{
    char command[96];
    users->close(users);
    control->close(control);
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(users_sqlite, .init = up, .fini = down);

Test(users_sqlite, users)
{
    user_story(control, users);
}

Test(users_sqlite, sessions)
{
    session_story(control, users);
}

Test(users_sqlite, askers)
{
    user_asker_story(control, users);
}

Test(users_sqlite, names_are_of_few_letters)
{
    static const char *const good[] = {"a", "anna", "bob@acme.example", "x_1+y-z", "0"};
    static const char *const bad[] = {"", "Anna", "a b", "a/b", "\xc3\xa4", "a\n", "a%", "a'"};
    for (size_t i = 0; i < OX_COUNT(good); i++)
        cr_assert(ox_user_name_ok(ox_str_of(good[i])), "%s", good[i]);
    for (size_t i = 0; i < OX_COUNT(bad); i++)
        cr_assert_not(ox_user_name_ok(ox_str_of(bad[i])), "%s", bad[i]);
    cr_assert_not(ox_user_name_ok((struct ox_str){"a\0b", 3}));
    char long_name[OX_USER_NAME_MAX + 2];
    memset(long_name, 'a', sizeof(long_name));
    cr_assert(ox_user_name_ok((struct ox_str){long_name, OX_USER_NAME_MAX}));
    cr_assert_not(ox_user_name_ok((struct ox_str){long_name, OX_USER_NAME_MAX + 1}));
}
