/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    times and durations mean what their writer meant, and nonsense is refused.
 * Method:  tables; days of the calendar against timegm.
 */
#include <criterion/criterion.h>
#include <time.h>

#include "actors/query/query_time.h"

#define NOW 1795233581000000000ull /* 2026-11-21T03:59:41Z */

TestSuite(query_time, .timeout = 20);

Test(query_time, times_of_all_forms)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {
        {"now", NOW},
        {"now-15m", NOW - 900 * OX__NS_PER_S},
        {"-1h", NOW - 3600 * OX__NS_PER_S},
        {"1795233581", NOW},
        {"1795233581.25", NOW + 250000000},
        {"1795233581000", NOW},
        {"1795233581000000", NOW},
        {"1795233581000000001", NOW + 1},
        {"2026-11-21T03:59:41Z", NOW},
        {"2026-11-21t03:59:41.5z", NOW + 500000000},
        {"2026-11-21T04:59:41+01:00", NOW},
        {"2026-11-21T04:59:41 01:00", NOW}, /* '+' of a URL */
        {"2026-11-20T23:29:41-0430", NOW},
        {"2026-11-21 03:59:41", NOW},
        {"2024-02-29", 1709164800 * OX__NS_PER_S},
        {"1970-01-01", 0},
        {"0", 0},
    };
    static const char *const bad[] = {
        "",           "x",         "2026-13-01", "2026-02-29", "2026-11-21T25:00Z",    "2026-11-21T03:59:41X",
        "now+1h",     "-",         "-1parsec",   "12:00",      "99999999999999999999", "1795233581000.5",
        "2300-01-01", "2026-11-2", "1969-12-31"};
    for (size_t i = 0; i < OX_COUNT(good); i++) {
        uint64_t ns = 1;
        cr_assert_eq(ox__time_parse(ox_str_of(good[i].text), NOW, &ns), OX_OK, "%s", good[i].text);
        cr_assert_eq(ns, good[i].ns, "%s gives %llu", good[i].text, (unsigned long long)ns);
    }
    for (size_t i = 0; i < OX_COUNT(bad); i++) {
        uint64_t ns;
        cr_assert_eq(ox__time_parse(ox_str_of(bad[i]), NOW, &ns), OX_E_INVALID, "%s", bad[i]);
    }
}

Test(query_time, every_day_of_four_centuries_goes_there_and_back)
{
    char text[OX__TIME_TEXT], wanted[OX__TIME_TEXT];
    for (int64_t day = 0; day < 106751; day += 1) {
        time_t s = (time_t)(day * 86400 + day % 86400);
        struct tm tm;
        uint64_t ns, back;
        gmtime_r(&s, &tm);
        ns = (uint64_t)s * OX__NS_PER_S + (uint64_t)day;
        strftime(wanted, sizeof(wanted), "%Y-%m-%dT%H:%M:%S", &tm);
        ox__time_format(ns, text);
        cr_assert(strncmp(text, wanted, 19) == 0, "%s is not %s", text, wanted);
        cr_assert_eq(ox__time_parse(ox_str_of(text), NOW, &back), OX_OK, "%s", text);
        cr_assert_eq(back, ns, "%s", text);
    }
}

Test(query_time, durations)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"0", 0},
                {"5ns", 5},
                {"10us", 10000},
                {"100ms", 100000000},
                {"1.5s", 1500000000},
                {"2m", 120 * OX__NS_PER_S},
                {"1h30m", 5400 * OX__NS_PER_S},
                {"7d", 7 * 86400 * OX__NS_PER_S},
                {"15_minutes", 900 * OX__NS_PER_S}};
    static const char *const bad[] = {"", "5", "ms", "-5s", "1.2.3s", "5x", "1h30", "99999999999w"};
    uint64_t ns;
    for (size_t i = 0; i < OX_COUNT(good); i++) {
        cr_assert_eq(ox__duration_parse(ox_str_of(good[i].text), &ns), OX_OK, "%s", good[i].text);
        cr_assert_eq(ns, good[i].ns, "%s gives %llu", good[i].text, (unsigned long long)ns);
    }
    for (size_t i = 0; i < OX_COUNT(bad); i++)
        cr_assert_eq(ox__duration_parse(ox_str_of(bad[i]), &ns), OX_E_INVALID, "%s", bad[i]);
}

Test(query_time, ranges)
{
    uint64_t ns;
    static const char *const hours[] = {"1h", "last_hour", "last_1h", "last_60_minutes", "past_hour"};
    for (size_t i = 0; i < OX_COUNT(hours); i++) {
        cr_assert_eq(ox__time_range_parse(ox_str_of(hours[i]), &ns), OX_OK, "%s", hours[i]);
        cr_assert_eq(ns, 3600 * OX__NS_PER_S, "%s", hours[i]);
    }
    cr_assert_eq(ox__time_range_parse(OX_STR("0"), &ns), OX_E_INVALID);
    cr_assert_eq(ox__time_range_parse(OX_STR("last_"), &ns), OX_E_INVALID);
}
