/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    statements are told apart whatever they are dressed in.
 * Method:  texts and what must be found in them.
 */
#include <criterion/criterion.h>

#include "engine/sql.h"

static struct ox__sql
scan(const char *text)
{
    struct ox__sql sql;
    ox__sql_scan(ox_str_of(text), &sql);
    return sql;
}

static void
expect(struct ox_str got, const char *want, const char *text)
{
    cr_assert(ox_str_eq(got, ox_str_of(want)), "%s: \"%.*s\" instead of \"%s\"", text, (int)got.n, got.p,
              want);
}

Test(sql, kinds)
{
    static const struct {
        const char *text;
        enum ox__sql_kind kind;
    } cases[] = {
        {"", OX__SQL_EMPTY},
        {" -- nothing\n /* here */ ", OX__SQL_EMPTY},
        {"select 1", OX__SQL_SELECT},
        {"/* INSERT */ WITH 1 AS x SELECT x", OX__SQL_SELECT},
        {"(SELECT 1) UNION ALL (SELECT 2)", OX__SQL_SELECT},
        {"# comment\nSHOW TABLES", OX__SQL_READ},
        {"EXPLAIN SELECT 1", OX__SQL_READ},
        {"INSERT INTO t VALUES (1)", OX__SQL_INSERT},
        {"INSERT INTO t SELECT 1", OX__SQL_INSERT},
        {"INSERT INTO t (a) SELECT 1 FORMAT Null", OX__SQL_INSERT},
        {"INSERT INTO FUNCTION file('x') SELECT 1", OX__SQL_INSERT},
        {"INSERT INTO t FORMAT Native", OX__SQL_INSERT_DATA},
        {"insert into `d b`.\"t\" (a, `b)`, c.d) settings x = 1, y = 'FORMAT' format CSV\n1",
         OX__SQL_INSERT_DATA},
        {"INSERT INTO t (* EXCEPT(b)) FORMAT CSV\n1", OX__SQL_INSERT},
        {"SELECTED", OX__SQL_OTHER},
        {"DROP TABLE t", OX__SQL_OTHER},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++)
        cr_assert_eq(scan(cases[i].text).kind, cases[i].kind, "%s", cases[i].text);
}

Test(sql, parts_of_an_insert)
{
    const char *text = "INSERT INTO db.t (a, b) SETTINGS x = 'y' FORMAT TSV \r\n1\t2\n";
    struct ox__sql sql = scan(text);
    expect(sql.target, "db.t", text);
    expect(sql.columns, "a, b", text);
    expect(sql.settings, " x = 'y'", text);
    expect(sql.format, "TSV", text);
    expect(sql.data, "1\t2\n", text);
    expect(scan("INSERT INTO t FORMAT Native\n\n1").data, "\n1",
           "only one line break belongs to the statement");
}

Test(sql, several_statements_are_seen)
{
    static const char *const one[] = {"SELECT 1;",      "SELECT ';'",      "SELECT 1 ; -- ; x",
                                      "SELECT `a;b`",   "SELECT 'a\\';'",  "SELECT 'it''s;'",
                                      "SELECT $x$;$x$", "SELECT /* ; */ 1"};
    static const char *const two[] = {"SELECT 1; SELECT 2", "SELECT 1;;x", "SELECT 'a\\\\'; DROP TABLE t",
                                      "SELECT $x$a$x$; DROP TABLE t", "SELECT 1 --\n; DROP TABLE t"};
    for (size_t i = 0; i < OX_COUNT(one); i++)
        cr_assert_not(scan(one[i]).several, "%s", one[i]);
    for (size_t i = 0; i < OX_COUNT(two); i++)
        cr_assert(scan(two[i]).several, "%s", two[i]);
}

Test(sql, format_at_the_end_only)
{
    static const struct {
        const char *text;
        const char *format;
    } cases[] = {
        {"SELECT 1 FORMAT JSON", "JSON"},
        {"SELECT 1 format JSONEachRow;", "JSONEachRow"},
        {"SELECT 1 FORMAT TSV SETTINGS max_threads = 1", "TSV"},
        {"SELECT format FROM t", ""},
        {"SELECT format x FROM t", ""},
        {"SELECT 'FORMAT JSON'", ""},
        {"SELECT 1 -- FORMAT JSON", ""},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++)
        expect(scan(cases[i].text).format, cases[i].format, cases[i].text);
}

Test(sql, outfile_is_seen)
{
    cr_assert(scan("SELECT 1 INTO OUTFILE 'x'").outfile);
    cr_assert(scan("SELECT 1 into /* */ outfile 'x' FORMAT CSV").outfile);
    cr_assert_not(scan("SELECT 'INTO OUTFILE'").outfile);
}

Test(sql, unfinished_texts_end)
{
    static const char *const texts[] = {"'",
                                        "SELECT 'abc",
                                        "`",
                                        "/*",
                                        "--",
                                        "$x$",
                                        "INSERT INTO t (",
                                        "INSERT",
                                        "INSERT INTO t SETTINGS",
                                        "SELECT '\\",
                                        "INSERT INTO a."};
    for (size_t i = 0; i < OX_COUNT(texts); i++) {
        struct ox__sql sql = scan(texts[i]);
        cr_assert_leq(sql.text.n, strlen(texts[i]));
    }
}
