/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a subcommand's flags are taken out of its arguments, and the words between heart and children
 *          survive being written and read.
 * Method:  argument lists by hand.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <signal.h>

#include "cmd/cmd.h"
#include "cmd/heart.h"
#include "cmd/starts.h"

static const char *format;
static bool json;
static const struct ox_flag flags[] = {{"format", &format, NULL}, {"json", NULL, &json}};

TestSuite(flags, .init = cr_redirect_stderr);

Test(flags, are_taken_out_and_the_rest_stays)
{
    const char *argv[] = {"sql", "--data", "d", "--format=TSV", "x", "--json", NULL};
    int argc = 6;
    cr_assert_eq(ox_flags_take(&argc, (char **)argv, flags, OX_COUNT(flags)), OX_OK);
    cr_assert_eq(argc, 4);
    cr_assert_str_eq(argv[1], "--data");
    cr_assert_str_eq(argv[3], "x");
    cr_assert_str_eq(format, "TSV");
    cr_assert(json);
}

Test(flags, value_in_the_next_word)
{
    const char *argv[] = {"sql", "--format", "--odd", "SELECT 1", NULL};
    int argc = 4;
    cr_assert_eq(ox_flags_take_all(&argc, (char **)argv, flags, OX_COUNT(flags), 1), OX_OK);
    cr_assert_str_eq(format, "--odd");
    cr_assert_str_eq(argv[1], "SELECT 1");
}

Test(flags, double_dash_ends_them)
{
    const char *argv[] = {"sql", "--", "--format", NULL};
    int argc = 3;
    cr_assert_eq(ox_flags_take_all(&argc, (char **)argv, flags, OX_COUNT(flags), 1), OX_OK);
    cr_assert_eq(argc, 2);
    cr_assert_str_eq(argv[1], "--format");
    cr_assert_null(format);
}

Test(flags, mistakes)
{
    static const char *const wrong[][4] = {
        {"sql", "--format"}, {"sql", "--json=1"}, {"sql", "--fromat", "x"}, {"sql", "-x"}, {"sql", "a", "b"},
    };
    for (size_t i = 0; i < OX_COUNT(wrong); i++) {
        const char *argv[5] = {wrong[i][0], wrong[i][1], wrong[i][2], NULL};
        int argc = wrong[i][2] != NULL ? 3 : 2;
        cr_expect_eq(ox_flags_take_all(&argc, (char **)argv, flags, OX_COUNT(flags), 1), OX_E_INVALID, "%zu",
                     i);
    }
}

Test(flags, of_a_child)
{
    const char *argv[] = {"node", "--data", "d", "--fd-control", "7", "--fd-api=9", NULL};
    int argc = 6;
    struct ox_child_args args;
    cr_assert_eq(ox_child_args_take(&argc, (char **)argv, &args), OX_OK);
    cr_assert_eq(args.fd_control, 7);
    cr_assert_eq(args.fd_api, 9);
    cr_assert_eq(args.fd_otlp_grpc, -1);
    cr_assert_null(args.socket);
    cr_assert_eq(argc, 3);
    const char *bad[] = {"node", "--fd-api", "nine", NULL};
    argc = 3;
    cr_assert_eq(ox_child_args_take(&argc, (char **)bad, &args), OX_E_INVALID);
}

Test(heart_line, reads_what_it_writes)
{
    static const struct ox_heart_line lines[] = {
        {OX_HEART_READY, 0},  {OX_HEART_STOPPING, 0}, {OX_HEART_ENGINE, 4711},
        {OX_HEART_ENGINE, 0}, {OX_HEART_STOP, 0},     {OX_HEART_MEND, 4711},
    };
    for (size_t i = 0; i < OX_COUNT(lines); i++) {
        char text[OX_HEART_LINE_MAX];
        size_t n = ox_heart_line_print(lines[i], text);
        cr_assert_eq(text[n - 1], '\n');
        struct ox_heart_line got = ox_heart_line_parse((struct ox_str){text, n - 1});
        cr_assert_eq(got.event, lines[i].event);
        cr_assert_eq(got.pid, lines[i].pid);
    }
}

Test(heart_line, ignores_what_it_does_not_know)
{
    static const char *const texts[] = {
        "", "ready", "{}", "[1]", "{\"event\":7}", "{\"event\":\"dance\"}", "{\"event\""};
    for (size_t i = 0; i < OX_COUNT(texts); i++)
        cr_expect_eq(ox_heart_line_parse(ox_str_of(texts[i])).event, OX_HEART_NONE, "%s", texts[i]);
}

/* What a start is for, through argv and back. */
Test(flags, starts_travel_in_one_argument)
{
    struct ox_starts starts = {{0}, OX_START_FIRST}, back;
    char text[OX_STARTS_TEXT_MAX];
    ox_starts_count(&starts, OX_START_FIRST);
    ox_starts_count(&starts, ox_start_after(SIGKILL, false));
    ox_starts_count(&starts, ox_start_after(SIGKILL, true));
    ox_starts_count(&starts, ox_start_after(SIGSEGV, false));
    ox_starts_count(&starts, ox_start_after(70 << 8, false));
    ox_starts_count(&starts, ox_start_after(1 << 8, false));
    ox_starts_print(&starts, text);
    cr_assert_str_eq(text, "1,2,1,1,1,0:4");
    cr_assert(ox_starts_parse(text, &back));
    cr_assert_eq(memcmp(&back, &starts, sizeof(starts)), 0);
    cr_assert_not(ox_starts_parse("1,2,1,1,1,0", &back));
    cr_assert_not(ox_starts_parse("1,2,1,1,1,0:6", &back));
    cr_assert_not(ox_starts_parse("1,2,1,1,1,0:1x", &back));
}
