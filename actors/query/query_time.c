/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_time.c - how times and durations are written by people.
 *
 * Owns:    nothing.
 * Threads: any.
 * Bounds:  times from 1970 to 2262 (signed nanoseconds, as ClickHouse's DateTime64(9) holds them).
 * Fails:   INVALID; the caller knows the parameter's name and says what is right.
 * Flow:    query_params.c -> here; query_json.c -> here.
 */
#include "actors/query/query_time.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The last whole second that fits into signed nanoseconds. */
#define SECONDS_MAX 9223372036ull

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar, counted from March so that the leap
 * day is last. */
static int64_t
days_of_date(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = y / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (int64_t)(m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void
date_of_days(int64_t days, int64_t *y, unsigned *m, unsigned *d)
{
    int64_t z = days + 719468;
    int64_t era = z / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    *d = (unsigned)(day_of_year - (153 * month + 2) / 5 + 1);
    *m = (unsigned)(month < 10 ? month + 3 : month - 9);
    *y = year_of_era + era * 400 + (*m <= 2);
}

void
ox__time_format(uint64_t unix_ns, char out[OX__TIME_TEXT])
{
    uint64_t s = unix_ns / OX__NS_PER_S;
    int64_t y;
    unsigned m, d, of_day = (unsigned)(s % 86400);
    date_of_days((int64_t)(s / 86400), &y, &m, &d);
    snprintf(out, OX__TIME_TEXT, "%04u-%02u-%02uT%02u:%02u:%02u.%09uZ", (unsigned)y % 10000, m % 100, d % 100,
             of_day / 3600, of_day / 60 % 60, of_day % 60, (unsigned)(unix_ns % OX__NS_PER_S));
}

/* Exactly `digits` decimal digits at *p. */
static bool
take_digits(const char **p, const char *end, int digits, unsigned *out)
{
    unsigned v = 0;
    if (end - *p < digits)
        return false;
    for (int i = 0; i < digits; i++, (*p)++) {
        if (!isdigit((unsigned char)**p))
            return false;
        v = v * 10 + (unsigned)(**p - '0');
    }
    *out = v;
    return true;
}

static bool
take_char(const char **p, const char *end, const char *set)
{
    if (*p == end || **p == 0 || strchr(set, **p) == NULL)
        return false;
    (*p)++;
    return true;
}

/* ".123" as nanoseconds; digits past the ninth are dropped. True without a point too. */
static bool
take_fraction(const char **p, const char *end, uint64_t *ns)
{
    uint64_t unit = OX__NS_PER_S / 10;
    *ns = 0;
    if (!take_char(p, end, ".,"))
        return true;
    const char *from = *p;
    for (; *p < end && isdigit((unsigned char)**p); (*p)++, unit /= 10)
        *ns += (uint64_t)(**p - '0') * unit;
    return *p > from;
}

/* "Z", "+01:00", "+0100" or nothing (UTC), as seconds east. */
static bool
take_zone(const char **p, const char *end, int64_t *offset_s)
{
    unsigned h, m;
    *offset_s = 0;
    if (*p == end || take_char(p, end, "Zz"))
        return true;
    bool west = **p == '-';
    if (!take_char(p, end, "+- ") || !take_digits(p, end, 2, &h))
        return false;
    (void)take_char(p, end, ":");
    if (!take_digits(p, end, 2, &m) || h > 23 || m > 59)
        return false;
    *offset_s = (int64_t)(h * 3600 + m * 60) * (west ? -1 : 1);
    return true;
}

static unsigned
days_in_month(unsigned y, unsigned m)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return days[m - 1] + (m == 2 && leap ? 1u : 0u);
}

static bool
parse_clock(const char **p, const char *end, int64_t *s, uint64_t *ns)
{
    unsigned h, mi, sec = 0;
    *s = 0;
    *ns = 0;
    if (*p == end)
        return true; /* a date alone is its midnight */
    if (!take_char(p, end, "Tt ") || !take_digits(p, end, 2, &h) || !take_char(p, end, ":") ||
        !take_digits(p, end, 2, &mi))
        return false;
    if (take_char(p, end, ":") && (!take_digits(p, end, 2, &sec) || !take_fraction(p, end, ns)))
        return false;
    *s = (int64_t)(h * 3600 + mi * 60 + sec);
    return h < 24 && mi < 60 && sec <= 60;
}

static ox_err
parse_rfc3339(const char *p, const char *end, uint64_t *unix_ns)
{
    unsigned y, m, d;
    int64_t clock_s, offset_s;
    uint64_t ns;
    if (!take_digits(&p, end, 4, &y) || !take_char(&p, end, "-") || !take_digits(&p, end, 2, &m) ||
        !take_char(&p, end, "-") || !take_digits(&p, end, 2, &d))
        return OX_E_INVALID;
    if (m < 1 || m > 12 || d < 1 || d > days_in_month(y, m))
        return OX_E_INVALID;
    if (!parse_clock(&p, end, &clock_s, &ns) || !take_zone(&p, end, &offset_s) || p != end)
        return OX_E_INVALID;
    int64_t s = days_of_date(y, m, d) * 86400 + clock_s - offset_s;
    if (s < 0 || (uint64_t)s >= SECONDS_MAX)
        return OX_E_INVALID;
    *unix_ns = (uint64_t)s * OX__NS_PER_S + ns;
    return OX_OK;
}

/* Seconds until the year 5138, milliseconds from 1973, microseconds from 1973, ...: the ranges do not meet in
 * use. */
static ox_err
parse_unix(const char *p, const char *end, uint64_t *unix_ns)
{
    uint64_t v = 0, fraction_ns;
    for (; p < end && isdigit((unsigned char)*p); p++) {
        if (v > (UINT64_MAX - 9) / 10)
            return OX_E_INVALID;
        v = v * 10 + (uint64_t)(*p - '0');
    }
    uint64_t unit = v < 100000000000ull         ? OX__NS_PER_S
                    : v < 100000000000000ull    ? 1000000
                    : v < 100000000000000000ull ? 1000
                                                : 1;
    if (!take_fraction(&p, end, &fraction_ns) || p != end || v > INT64_MAX / unit)
        return OX_E_INVALID;
    if (fraction_ns != 0 && unit != OX__NS_PER_S)
        return OX_E_INVALID;
    *unix_ns = v * unit + fraction_ns;
    return *unix_ns <= INT64_MAX ? OX_OK : OX_E_INVALID;
}

static bool
strip_prefix(struct ox_str *s, const char *prefix)
{
    size_t n = strlen(prefix);
    if (s->n < n || memcmp(s->p, prefix, n) != 0)
        return false;
    s->p += n;
    s->n -= n;
    return true;
}

ox_err
ox__time_parse(struct ox_str text, uint64_t now_ns, uint64_t *unix_ns)
{
    uint64_t back;
    const char *end = text.p + text.n;
    bool relative = strip_prefix(&text, "now");
    if (relative && text.n == 0) {
        *unix_ns = now_ns;
        return OX_OK;
    }
    if (strip_prefix(&text, "-")) {
        if (ox__duration_parse(text, &back) != OX_OK || back > now_ns)
            return OX_E_INVALID;
        *unix_ns = now_ns - back;
        return OX_OK;
    }
    if (relative || text.n == 0 || !isdigit((unsigned char)text.p[0]))
        return OX_E_INVALID;
    if (text.n > 4 && text.p[4] == '-')
        return parse_rfc3339(text.p, end, unix_ns);
    return parse_unix(text.p, end, unix_ns);
}

static const struct {
    const char *name;
    double ns;
} units[] = {
    {"ns", 1},
    {"us", 1e3},
    {"\xc2\xb5s", 1e3},
    {"ms", 1e6},
    {"s", 1e9},
    {"sec", 1e9},
    {"second", 1e9},
    {"seconds", 1e9},
    {"m", 60e9},
    {"min", 60e9},
    {"minute", 60e9},
    {"minutes", 60e9},
    {"h", 3600e9},
    {"hour", 3600e9},
    {"hours", 3600e9},
    {"d", 86400e9},
    {"day", 86400e9},
    {"days", 86400e9},
    {"w", 7 * 86400e9},
    {"week", 7 * 86400e9},
    {"weeks", 7 * 86400e9},
    {"month", 30 * 86400e9},
};

static double
unit_ns(const char *p, size_t n)
{
    for (size_t i = 0; i < OX_COUNT(units); i++)
        if (strlen(units[i].name) == n && memcmp(units[i].name, p, n) == 0)
            return units[i].ns;
    return 0;
}

/* One number and its unit, an underscore between them allowed. */
static bool
take_quantity(const char **p, const char *end, double *ns)
{
    char number[32];
    size_t n = 0;
    while (*p < end && (isdigit((unsigned char)**p) || **p == '.') && n + 1 < sizeof(number))
        number[n++] = *(*p)++;
    number[n] = 0;
    char *rest;
    double v = strtod(number, &rest);
    if (n == 0 || *rest != 0)
        return false;
    (void)take_char(p, end, "_");
    const char *from = *p;
    while (*p < end && !isdigit((unsigned char)**p) && **p != '.')
        (*p)++;
    double unit = unit_ns(from, (size_t)(*p - from));
    *ns += v * unit;
    return unit != 0;
}

ox_err
ox__duration_parse(struct ox_str text, uint64_t *ns)
{
    const char *p = text.p, *end = text.p + text.n;
    double total = 0;
    if (ox_str_eq(text, OX_STR("0"))) {
        *ns = 0;
        return OX_OK;
    }
    if (text.n == 0)
        return OX_E_INVALID;
    while (p < end)
        if (!take_quantity(&p, end, &total))
            return OX_E_INVALID;
    if (!(total < 9.2e18))
        return OX_E_INVALID;
    *ns = (uint64_t)llround(total);
    return OX_OK;
}

ox_err
ox__time_range_parse(struct ox_str text, uint64_t *ns)
{
    if (strip_prefix(&text, "last_") || strip_prefix(&text, "past_")) {
        double one = unit_ns(text.p, text.n);
        if (one != 0) {
            *ns = (uint64_t)one;
            return OX_OK;
        }
    }
    ox_err err = ox__duration_parse(text, ns);
    return err == OX_OK && *ns == 0 ? OX_E_INVALID : err;
}
