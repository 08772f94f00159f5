/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    every line is one JSON object whatever the values hold, lines are bounded, repeats are limited
 *          and counted.
 * Method:  lines into a pipe, parsed with jansson.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "ox/clock.h"
#include "ox/log.h"
#include "ox/metric.h"

static int fds[2];
static struct ox_clock_virtual virtual_clock;
static char text[65536];

static void
open_pipe(void)
{
    cr_assert_eq(pipe2(fds, O_NONBLOCK), 0);
    ox_log_set_fd(fds[1]);
    ox_clock_virtual_init(&virtual_clock, 5000000000ull, 1767322985123456789ull);
    ox_log_set_clock(&virtual_clock.clock);
}

static size_t
read_lines(void)
{
    size_t lines = 0;
    ssize_t n = read(fds[0], text, sizeof(text) - 1);
    if (n < 0)
        n = 0;
    text[n] = '\0';
    for (ssize_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    return lines;
}

static json_t *
one_line(void)
{
    json_error_t error;
    cr_assert_eq(read_lines(), 1);
    json_t *json = json_loads(text, 0, &error);
    cr_assert_not_null(json, "%s in %s", error.text, text);
    return json;
}

Test(log, a_line_is_an_object_with_its_fields, .init = open_pipe)
{
    OX_LOG_INFO("wal", "segment sealed", OX_F_U64("segment", UINT64_MAX >> 1), OX_F_I64("delta", -3),
                OX_F_F64("ratio", 0.5), OX_F_BOOL("clean", true), OX_F_STR("path", "a\"b\\c\n\x01\x7f"));
    json_t *json = one_line();
    cr_assert_str_eq(json_string_value(json_object_get(json, "ts")), "2026-01-02T03:03:05.123456789Z");
    cr_assert_str_eq(json_string_value(json_object_get(json, "level")), "info");
    cr_assert_str_eq(json_string_value(json_object_get(json, "component")), "wal");
    cr_assert_str_eq(json_string_value(json_object_get(json, "msg")), "segment sealed");
    cr_assert_eq(json_integer_value(json_object_get(json, "segment")), INT64_MAX);
    cr_assert_eq(json_integer_value(json_object_get(json, "delta")), -3);
    cr_assert(json_is_true(json_object_get(json, "clean")));
    cr_assert_str_eq(json_string_value(json_object_get(json, "path")), "a\"b\\c\n\x01\x7f");
    json_decref(json);
}

Test(log, values_that_are_not_utf8_still_give_json, .init = open_pipe)
{
    static const char *const bad[] = {"\xff",     "a\xc0\x80",       "\xed\xa0\x80", "\xf5\x80\x80\x80",
                                      "\xe2\x82", "\xf0\x8f\xbf\xbf"};
    for (size_t i = 0; i < OX_COUNT(bad); i++) {
        ox_log_write(NULL, OX_LOG_WARN, "test", "bytes", &OX_F_STR("value", bad[i]), 1);
        json_t *json = one_line();
        cr_assert_not_null(strstr(text, "\\ufffd"));
        json_decref(json);
    }
    ox_log_write(NULL, OX_LOG_WARN, "test", "bytes",
                 &OX_F_STR("value", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), 1);
    json_t *json = one_line();
    cr_assert_str_eq(json_string_value(json_object_get(json, "value")),
                     "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    json_decref(json);
}

Test(log, a_line_has_a_bound_at_every_length, .init = open_pipe)
{
    static char big[OX_LOG_LINE_MAX * 2];
    memset(big, 'x', sizeof(big));
    for (size_t n = OX_LOG_LINE_MAX - 400; n < OX_LOG_LINE_MAX + 50; n++) {
        struct ox_field fields[] = {OX_F_STRN("big", ((struct ox_str){big, n})),
                                    OX_F_STR("after", "\"\"\"\"")};
        ox_log_write(NULL, OX_LOG_INFO, "test", "long", fields, 2);
        json_t *json = one_line();
        cr_assert_leq(strlen(text), OX_LOG_LINE_MAX);
        bool cut = json_is_true(json_object_get(json, "truncated"));
        const char *after = json_string_value(json_object_get(json, "after"));
        cr_assert(cut || (after != NULL && strlen(after) == 4), "whole or marked as cut");
        json_decref(json);
    }
}

Test(log, levels_are_filtered_and_named, .init = open_pipe)
{
    enum ox_log_level level;
    OX_LOG_DEBUG("test", "hidden");
    cr_assert_eq(read_lines(), 0);
    cr_assert_eq(ox_log_level_parse(OX_STR("Debug"), &level), OX_OK);
    ox_log_set_level(level);
    OX_LOG_DEBUG("test", "shown");
    cr_assert_eq(read_lines(), 1);
    cr_assert_eq(ox_log_level_parse(OX_STR("loud"), &level), OX_E_INVALID);
    cr_assert_str_eq(ox_log_level_name(OX_LOG_FATAL), "fatal");
}

Test(log, repeats_of_one_place_are_limited_and_counted, .init = open_pipe)
{
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 50; i++)
            OX_LOG_WARN("test", "again");
        cr_assert_eq(read_lines(), OX_LOG_BURST);
        cr_assert((strstr(text, "\"suppressed\":40") != NULL) == (round == 1));
        ox_clock_virtual_advance(&virtual_clock, OX_LOG_WINDOW_S * 1000000000ull);
    }
    cr_assert_eq(ox_metric_value(OX_M_runtime_log_suppressed, NULL), 80);
}

Test(log, a_line_that_cannot_be_written_is_counted, .init = open_pipe)
{
    ox_log_set_fd(-1);
    OX_LOG_ERROR("test", "nowhere");
    cr_assert_eq(ox_metric_value(OX_M_runtime_log_lost, NULL), 1);
}
