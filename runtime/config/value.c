/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/config/value.c - one value: from text into its field within its bounds, and back to text.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Bounds:  the row's min and max; OX_CONFIG_STRING_MAX.
 * Fails:   CONFIG, with what is allowed in the diag.
 * Flow:    load.c, yaml.c -> here.
 */
#include <inttypes.h>
#include <stdio.h>

#include "runtime/config/config_internal.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* Descending, so that printing finds the largest that divides. */
static const struct unit byte_units[] = {
    {"TiB", UINT64_C(1) << 40},   {"TB", UINT64_C(1000000000000)}, {"GiB", UINT64_C(1) << 30},
    {"GB", UINT64_C(1000000000)}, {"MiB", UINT64_C(1) << 20},      {"MB", UINT64_C(1000000)},
    {"KiB", UINT64_C(1) << 10},   {"kB", UINT64_C(1000)},          {"B", 1},
};
static const struct unit time_units[] = {
    {"d", UINT64_C(86400000)}, {"h", UINT64_C(3600000)}, {"m", UINT64_C(60000)}, {"s", 1000}, {"ms", 1},
};

const char *
ox_config_type_name(enum ox_config_type type)
{
    static const char *const names[] = {"string", "int", "bytes", "duration", "bool", "enum", "address"};
    OX_ASSERT((unsigned)type < OX_COUNT(names));
    return names[type];
}

/* Digits at the front of *s; false without any or past 2^63-1. */
static bool
take_number(struct ox_str *s, uint64_t *out)
{
    uint64_t v = 0;
    size_t i = 0;
    for (; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++) {
        uint64_t digit = (uint64_t)(s->p[i] - '0');
        if (v > (INT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    s->p += i;
    s->n -= i;
    *out = v;
    return i > 0;
}

/* Letters at the front of *s, looked up among the units. */
static const struct unit *
take_unit(struct ox_str *s, const struct unit *units, size_t count)
{
    size_t n = 0;
    while (n < s->n && !(s->p[n] >= '0' && s->p[n] <= '9'))
        n++;
    struct ox_str name = {s->p, n};
    s->p += n;
    s->n -= n;
    for (size_t i = 0; i < count; i++) {
        if (ox_str_eq(name, ox_str_of(units[i].name)))
            return &units[i];
    }
    return NULL;
}

static bool
parse_bytes(struct ox_str s, uint64_t *out)
{
    uint64_t v;
    if (!take_number(&s, &v))
        return false;
    while (s.n > 0 && *s.p == ' ') {
        s.p++;
        s.n--;
    }
    const struct unit *u =
        s.n == 0 ? &byte_units[OX_COUNT(byte_units) - 1] : take_unit(&s, byte_units, OX_COUNT(byte_units));
    if (u == NULL || s.n != 0 || v > INT64_MAX / u->factor)
        return false;
    *out = v * u->factor;
    return true;
}

static bool
parse_duration(struct ox_str s, uint64_t *out)
{
    uint64_t total = 0;
    if (ox_str_eq(s, OX_STR("0"))) {
        *out = 0;
        return true;
    }
    do {
        uint64_t v;
        if (!take_number(&s, &v))
            return false;
        const struct unit *u = take_unit(&s, time_units, OX_COUNT(time_units));
        if (u == NULL || v > (INT64_MAX - total) / u->factor)
            return false;
        total += v * u->factor;
    } while (s.n > 0);
    *out = total;
    return true;
}

static bool
parse_int(struct ox_str s, int64_t *out)
{
    bool negative = s.n > 0 && *s.p == '-';
    if (negative) {
        s.p++;
        s.n--;
    }
    uint64_t v;
    if (!take_number(&s, &v) || s.n != 0)
        return false;
    *out = negative ? -(int64_t)v : (int64_t)v;
    return true;
}

static bool
parse_bool(struct ox_str s, bool *out)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < OX_COUNT(words); i++) {
        if (ox_str_caseeq(s, ox_str_of(words[i]))) {
            *out = i % 2 == 1;
            return true;
        }
    }
    return false;
}

/* Position of `s` among the choices of an enum, or -1. */
static int
choice_index(const char *choices, struct ox_str s)
{
    for (int i = 0;; i++) {
        const char *end = strchrnul(choices, '|');
        if (ox_str_eq(s, (struct ox_str){choices, (size_t)(end - choices)}))
            return i;
        if (*end == '\0')
            return -1;
        choices = end + 1;
    }
}

/* Any of the number types as a signed 64-bit value; every legal value fits. */
static bool
parse_number(enum ox_config_type type, struct ox_str s, int64_t *out)
{
    uint64_t u = 0;
    bool ok;
    if (type == OX_CONFIG_int)
        return parse_int(s, out);
    ok = type == OX_CONFIG_bytes ? parse_bytes(s, &u) : parse_duration(s, &u);
    *out = (int64_t)u;
    return ok;
}

static const char *
number_hint(enum ox_config_type type)
{
    switch (type) {
    case OX_CONFIG_bytes:
        return "a size: a whole number with a unit, such as 64MiB or 100MB (plain numbers are bytes)";
    case OX_CONFIG_duration:
        return "a duration: whole numbers with units, such as 250ms, 5s, 1m30s, 24h or 7d";
    default:
        return "a whole number";
    }
}

/* "allowed is MIN to MAX", with the default. */
static void
bounds_text(const struct ox_config_key *row, char *out, size_t size)
{
    if (row->min[0] != '\0' && row->max[0] != '\0')
        snprintf(out, size, "allowed is %s to %s (default %s)", row->min, row->max, row->def);
    else if (row->min[0] != '\0')
        snprintf(out, size, "allowed is %s or more (default %s)", row->min, row->def);
    else
        snprintf(out, size, "allowed is %s or less (default %s)", row->max, row->def);
}

static ox_err
check_bounds(const struct ox_config_key *row, struct ox_str text, int64_t v, struct ox_diag *diag)
{
    int64_t bound;
    char allowed[128];
    enum ox_config_type type = row->type == OX_CONFIG_string ? OX_CONFIG_int : row->type;
    const char *what = NULL;
    if (row->min[0] != '\0' && parse_number(type, ox_str_of(row->min), &bound) && v < bound)
        what = row->type == OX_CONFIG_string ? "too short" : "too small";
    if (row->max[0] != '\0' && parse_number(type, ox_str_of(row->max), &bound) && v > bound)
        what = row->type == OX_CONFIG_string ? "too long" : "too large";
    if (what == NULL)
        return OX_OK;
    if (row->type == OX_CONFIG_string)
        return ox_diag_set(diag, OX_E_CONFIG, row->key, -1,
                           "%s with %" PRId64 " characters; allowed are %s to %s", what, v,
                           row->min[0] ? row->min : "0", row->max[0] ? row->max : "511");
    bounds_text(row, allowed, sizeof(allowed));
    return ox_diag_set(diag, OX_E_CONFIG, row->key, -1, "%.*s is %s; %s", (int)(text.n < 60 ? text.n : 60),
                       text.p, what, allowed);
}

static ox_err
set_number(const struct ox_config_key *row, struct ox_str text, void *field, struct ox_diag *diag)
{
    int64_t v;
    if (!parse_number(row->type, text, &v))
        return ox_diag_set(diag, OX_E_CONFIG, row->key, -1, "\"%.*s\" is not %s",
                           (int)(text.n < 60 ? text.n : 60), text.p, number_hint(row->type));
    ox_err err = check_bounds(row, text, v, diag);
    if (err == OX_OK)
        memcpy(field, &v, sizeof(v)); /* int64_t and uint64_t alike: v is never negative for the latter */
    return err;
}

static ox_err
set_string(const struct ox_config_key *row, struct ox_str text, char *field, struct ox_diag *diag)
{
    if (text.n >= OX_CONFIG_STRING_MAX || memchr(text.p, '\0', text.n) != NULL)
        return ox_diag_set(diag, OX_E_CONFIG, row->key, -1, "a text of up to %d characters is expected here",
                           OX_CONFIG_STRING_MAX - 1);
    ox_err err = check_bounds(row, text, (int64_t)text.n, diag);
    if (err != OX_OK)
        return err;
    memset(field, 0, OX_CONFIG_STRING_MAX);
    if (text.n > 0)
        memcpy(field, text.p, text.n);
    return OX_OK;
}

static ox_err
set_choice(const struct ox_config_key *row, struct ox_str text, void *field, struct ox_diag *diag)
{
    int shown = (int)(text.n < 60 ? text.n : 60);
    if (row->type == OX_CONFIG_bool) {
        bool *b = field;
        return parse_bool(text, b) ? OX_OK
                                   : ox_diag_set(diag, OX_E_CONFIG, row->key, -1,
                                                 "\"%.*s\" is neither true nor false", shown, text.p);
    }
    int index = choice_index(row->unit, text);
    if (index < 0)
        return ox_diag_set(diag, OX_E_CONFIG, row->key, -1, "\"%.*s\" is not one of %s (default %s)", shown,
                           text.p, row->unit, row->def);
    memcpy(field, &index, sizeof(index));
    return OX_OK;
}

static ox_err
set_address(const struct ox_config_key *row, struct ox_str text, void *field, struct ox_diag *diag)
{
    struct ox_diag inner;
    ox_diag_clear(&inner);
    if (ox_net_addr_parse(text, field, &inner) == OX_OK)
        return OX_OK;
    return ox_diag_set(diag, OX_E_CONFIG, row->key, -1, "%s", inner.text);
}

ox_err
ox_config_key_set(const struct ox_config_key *row, struct ox_str text, void *out, struct ox_diag *diag)
{
    void *field = (char *)out + row->offset;
    if (text.p == NULL)
        text.p = "";
    switch (row->type) {
    case OX_CONFIG_string:
        return set_string(row, text, field, diag);
    case OX_CONFIG_int:
    case OX_CONFIG_bytes:
    case OX_CONFIG_duration:
        return set_number(row, text, field, diag);
    case OX_CONFIG_bool:
    case OX_CONFIG_enum:
        return set_choice(row, text, field, diag);
    case OX_CONFIG_address:
        return set_address(row, text, field, diag);
    }
    return OX_E_INTERNAL;
}

static void
print_scaled(uint64_t v, const struct unit *units, size_t count, struct ox_buf *text)
{
    for (size_t i = 0; i < count; i++) {
        if (v != 0 && v % units[i].factor == 0) {
            ox_buf_printf(text, "%" PRIu64 "%s", v / units[i].factor, units[i].name);
            return;
        }
    }
    ox_buf_append_cstr(text, "0");
}

static void
print_choice(const char *choices, int index, struct ox_buf *text)
{
    while (index-- > 0)
        choices = strchrnul(choices, '|') + 1;
    ox_buf_append(text, choices, (size_t)(strchrnul(choices, '|') - choices));
}

void
ox_config_key_print(const struct ox_config_key *row, const void *in, struct ox_buf *text)
{
    const void *field = (const char *)in + row->offset;
    uint64_t number;
    char address[OX_NET_ADDR_MAX];
    switch (row->type) {
    case OX_CONFIG_string:
        ox_buf_append_cstr(text, field);
        break;
    case OX_CONFIG_int:
        ox_buf_printf(text, "%" PRId64, *(const int64_t *)field);
        break;
    case OX_CONFIG_bytes:
        memcpy(&number, field, sizeof(number));
        print_scaled(number, byte_units, OX_COUNT(byte_units), text);
        break;
    case OX_CONFIG_duration:
        memcpy(&number, field, sizeof(number));
        print_scaled(number, time_units, OX_COUNT(time_units), text);
        break;
    case OX_CONFIG_bool:
        ox_buf_append_cstr(text, *(const bool *)field ? "true" : "false");
        break;
    case OX_CONFIG_enum:
        print_choice(row->unit, *(const int *)field, text);
        break;
    case OX_CONFIG_address:
        ox_net_addr_format(field, address);
        ox_buf_append_cstr(text, address);
        break;
    }
}
