/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the store in DIR/control.db does what every store must; its file is private, survives, and a newer one is
 *          refused.
 * Method:  the stories of harness/control_suite.c; the file looked at, reopened, and changed by hand.
 */
#include <criterion/criterion.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../../harness/control_suite.h"

static char dir[64], path[128];
static struct ox_diag diag;

static struct ox_control_store *
open_store(void)
{
    struct ox_control_store *st;
    ox_err err = ox_control_open_sqlite(path, &st, &diag);
    cr_assert_eq(err, OX_OK, "%s", diag.text);
    return st;
}

static void
make_dir(void)
{
    snprintf(dir, sizeof(dir), "/tmp/ox-control-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/control.db", dir);
}

static void
remove_dir(void)
{
    static const char *const tails[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < OX_COUNT(tails); i++) {
        char file[160];
        snprintf(file, sizeof(file), "%s%s", path, tails[i]);
        unlink(file);
    }
    rmdir(dir);
}

TestSuite(store_sqlite, .init = make_dir, .fini = remove_dir);

#define S(name)                                                                                              \
    Test(store_sqlite, name)                                                                                 \
    {                                                                                                        \
        struct ox_control_store *st = open_store();                                                          \
        control_story_##name(st);                                                                            \
        st->close(st);                                                                                       \
    }
CONTROL_STORIES(S)
#undef S

static void
execute(const char *sql)
{
    sqlite3 *db;
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

Test(store_sqlite, its_files_are_private)
{
    static const char *const tails[] = {"", "-wal", "-shm"};
    FILE *f = fopen(path, "w"); /* somebody was here before, with an ordinary mode */
    cr_assert_not_null(f);
    fchmod(fileno(f), 0644);
    fclose(f);
    struct ox_control_store *st = open_store();
    control_add_tenant(st, "acme");
    for (size_t i = 0; i < OX_COUNT(tails); i++) {
        char file[160];
        struct stat info;
        snprintf(file, sizeof(file), "%s%s", path, tails[i]);
        cr_assert_eq(stat(file, &info), 0, "%s", file);
        cr_assert_eq(info.st_mode & 0777, 0600, "%s has mode %o", file, info.st_mode & 0777);
    }
    st->close(st);
}

Test(store_sqlite, what_was_answered_is_there_after_opening_again)
{
    struct ox_control_tenant t;
    struct ox_tenant_id acme = {"acme"};
    struct ox_control_store *st = open_store();
    control_add_tenant(st, "acme");
    st->close(st);
    st = open_store();
    cr_assert_eq(st->tenant_get(st, &acme, &t, &diag), OX_OK);
    st->close(st);
}

static void
refused(const char *sentence)
{
    struct ox_control_store *st = NULL;
    cr_assert_eq(ox_control_open_sqlite(path, &st, &diag), OX_E_STATE);
    cr_assert_null(st);
    cr_assert_not_null(strstr(diag.text, sentence), "%s", diag.text);
}

Test(store_sqlite, a_newer_schema_is_refused)
{
    struct ox_control_store *st = open_store();
    st->close(st);
    execute("INSERT INTO schema_migrations VALUES (999, 'from_the_future', '00')");
    refused("migration 999 \"from_the_future\", which this release does not know");
}

Test(store_sqlite, a_migration_with_another_text_is_refused)
{
    struct ox_control_store *st = open_store();
    st->close(st);
    execute("UPDATE schema_migrations SET sum = '00' WHERE number = 1");
    refused("was applied with another text");
}

Test(store_sqlite, a_row_that_nobody_wrote_so_is_an_error_and_not_an_answer)
{
    struct ox_control_key key;
    struct ox_control_store *st = open_store();
    control_add_tenant(st, "acme");
    struct ox_control_key made = control_key_of("acme", "k_one");
    cr_assert_eq(st->key_create(st, NULL, &made, &diag), OX_OK);
    execute("UPDATE api_keys SET name = printf('%.*c', 200, 'x')");
    cr_assert_eq(st->key_get(st, NULL, "k_one", &key, &diag), OX_E_CORRUPT);
    st->close(st);
}

Test(store_sqlite, a_file_that_is_no_database_is_named)
{
    struct ox_control_store *st = NULL;
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("this is not a database. ", f);
    fclose(f);
    cr_assert_eq(ox_control_open_sqlite(path, &st, &diag), OX_E_CORRUPT);
    cr_assert_not_null(strstr(diag.text, "not a database"), "%s", diag.text);
}

/* A node must start on a disk that is full. */
Test(store_sqlite, what_cannot_be_opened_now_is_opened_later)
{
    struct ox_control_store *st = NULL;
    struct ox_control_tenant t;
    struct ox_tenant_id acme = {"acme"};
    cr_assert_eq(mkdir(path, 0700), 0); /* in the way of the file, also for root */
    cr_assert_eq(ox_control_open_sqlite(path, &st, &diag), OX_E_UNAVAILABLE);
    cr_assert_not_null(st);
    cr_assert_eq(st->tenant_get(st, &acme, &t, &diag), OX_E_UNAVAILABLE);
    cr_assert_eq(rmdir(path), 0);
    cr_assert_eq(st->tenant_get(st, &acme, &t, &diag), OX_E_NOT_FOUND, "%s", diag.text);
    control_add_tenant(st, "acme");
    st->close(st);
}
