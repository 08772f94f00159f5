/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_params.c - decodes and types the parameters that all endpoints share.
 *
 * Owns:    the decoded text of one question.
 * Threads: one at a time.
 * Bounds:  OX__PARAMS_MAX.
 * Fails:   INVALID with a sentence.
 * Flow:    query_handle.c -> here -> the handlers; conditions on attributes are in query_match.c.
 */
#include "actors/query/query_params.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/query/query_time.h"
#include "ox/net.h"

#define NS_PER_HOUR (3600 * OX__NS_PER_S)
/* How far records may lie in the future (policies/validate). */
#define FUTURE_NS    NS_PER_HOUR
#define DISTANCE_MAX 32

static ox_err
decode(struct ox_str raw, char **at, struct ox_str *out, struct ox_str name, struct ox_diag *diag)
{
    size_t n;
    if (ox_percent_decode(raw, true, *at, &n) != OX_OK)
        return ox_diag_set(
            diag, OX_E_INVALID, "query", -1,
            "the parameter %.*s holds a broken escape: '%%' needs two hex digits behind it (%%25 is "
            "a percent sign)",
            (int)(name.n < 60 ? name.n : 60), name.p);
    *out = (struct ox_str){*at, n};
    *at += n;
    return OX_OK;
}

static ox_err
parse_into(struct ox__params *ps, struct ox_str query, struct ox_diag *diag)
{
    struct ox_query_iter it = {.rest = query};
    struct ox_str name, value;
    char *at = ps->text;
    while (ox_query_next(&it, &name, &value)) {
        if (ps->n == OX__PARAMS_MAX)
            return ox_diag_set(diag, OX_E_INVALID, "query", -1, "more than %d parameters", OX__PARAMS_MAX);
        struct ox__param *p = &ps->items[ps->n];
        memset(p, 0, sizeof(*p));
        p->escaped = value.n > 0 && value.p[0] == '%';
        ox_err err = decode(name, &at, &p->name, name, diag);
        if (err == OX_OK)
            err = decode(value, &at, &p->value, name, diag);
        if (err != OX_OK)
            return err;
        ps->n++;
    }
    return OX_OK;
}

ox_err
ox__params_parse(struct ox__params *ps, struct ox_str query, struct ox_diag *diag)
{
    ps->n = 0;
    ps->text = malloc(query.n + 1);
    if (ps->text == NULL)
        return OX_E_NOMEM;
    ox_err err = parse_into(ps, query, diag);
    if (err != OX_OK)
        ox__params_fini(ps);
    return err;
}

void
ox__params_fini(struct ox__params *ps)
{
    free(ps->text);
    ps->text = NULL;
    ps->n = 0;
}

struct ox__param *
ox__params_get(struct ox__params *ps, const char *name)
{
    struct ox__param *found = NULL;
    for (size_t i = 0; i < ps->n; i++) {
        if (!ox_str_eq(ps->items[i].name, ox_str_of(name)))
            continue;
        ps->items[i].used = true;
        ps->items[i].extra = found != NULL && ps->items[i].value.n > 0;
        if (found == NULL && ps->items[i].value.n > 0)
            found = &ps->items[i];
    }
    return found;
}

struct ox__param *
ox__params_any(struct ox__params *ps, const char *const *names)
{
    struct ox__param *found = NULL;
    for (; *names != NULL; names++) {
        struct ox__param *p = ox__params_get(ps, *names);
        if (found == NULL)
            found = p;
        else if (p != NULL)
            p->extra = true;
    }
    return found;
}

static unsigned
min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

unsigned
ox__params_distance(struct ox_str a, struct ox_str b)
{
    unsigned row[DISTANCE_MAX + 1];
    size_t an = a.n < DISTANCE_MAX ? a.n : DISTANCE_MAX, bn = b.n < DISTANCE_MAX ? b.n : DISTANCE_MAX;
    for (size_t k = 0; k <= bn; k++)
        row[k] = (unsigned)k;
    for (size_t i = 1; i <= an; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t k = 1; k <= bn; k++) {
            unsigned above = row[k];
            bool same = tolower((unsigned char)a.p[i - 1]) == tolower((unsigned char)b.p[k - 1]);
            row[k] = min3(above + 1, row[k - 1] + 1, diagonal + (same ? 0 : 1));
            diagonal = above;
        }
    }
    return row[bn];
}

/* How many letters of a name may be wrong for it to be a typing error. */
static unsigned
typing_errors(size_t letters)
{
    return letters / 2 < 3 ? (unsigned)letters / 2 : 3;
}

static ox_err
unknown(struct ox_str name, const char *const *names, struct ox_diag *diag)
{
    const char *nearest = NULL;
    unsigned best = typing_errors(name.n) + 1;
    int n = (int)(name.n < 60 ? name.n : 60);
    char list[200] = "none";
    for (size_t i = 0, at = 0; names[i] != NULL && at < sizeof(list); i++) {
        unsigned distance = ox__params_distance(name, ox_str_of(names[i]));
        if (distance < best) {
            best = distance;
            nearest = names[i];
        }
        at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    if (nearest != NULL)
        return ox_diag_set(diag, OX_E_INVALID, "query", -1, "unknown parameter %.*s: did you mean %s?", n,
                           name.p, nearest);
    return ox_diag_set(diag, OX_E_INVALID, "query", -1, "unknown parameter %.*s: known here: %s", n, name.p,
                       list);
}

static ox_err
ambiguous(const struct ox__param *p, struct ox_diag *diag)
{
    return ox_diag_set(diag, OX_E_INVALID, "query", -1,
                       "%.*s is given more than once, or beside another name for the same; give one value",
                       (int)(p->name.n < 60 ? p->name.n : 60), p->name.p);
}

ox_err
ox__params_check_used(const struct ox__params *ps, const char *const *names, struct ox_diag *diag)
{
    for (size_t i = 0; i < ps->n; i++) {
        if (!ps->items[i].used)
            return unknown(ps->items[i].name, names, diag);
        if (ps->items[i].extra)
            return ambiguous(&ps->items[i], diag);
    }
    return OX_OK;
}

ox_err
ox__param_bad(const struct ox__param *p, const char *right, struct ox_diag *diag)
{
    char field[64];
    snprintf(field, sizeof(field), "%.*s", (int)(p->name.n < 60 ? p->name.n : 60), p->name.p);
    return ox_diag_set(diag, OX_E_INVALID, field, -1, "%s=%.*s is not valid: give %s", field,
                       (int)(p->value.n < 60 ? p->value.n : 60), p->value.p, right);
}

ox_err
ox__params_u64(struct ox__params *ps, const char *name, uint64_t min, uint64_t max, uint64_t fallback,
               uint64_t *out, struct ox_diag *diag)
{
    struct ox__param *p = ox__params_get(ps, name);
    uint64_t v = 0;
    bool good = true;
    *out = fallback;
    if (p == NULL)
        return OX_OK;
    for (size_t i = 0; i < p->value.n && good; i++) {
        good = isdigit((unsigned char)p->value.p[i]) && v < UINT64_MAX / 20;
        v = v * 10 + (uint64_t)(p->value.p[i] - '0');
    }
    if (!good || v < min || v > max) {
        char right[80];
        snprintf(right, sizeof(right), "a whole number from %llu to %llu", (unsigned long long)min,
                 (unsigned long long)max);
        return ox__param_bad(p, right, diag);
    }
    *out = v;
    return OX_OK;
}

ox_err
ox__params_bool(struct ox__params *ps, const char *name, bool fallback, bool *out, struct ox_diag *diag)
{
    struct ox__param *p = ox__params_get(ps, name);
    *out = fallback;
    if (p == NULL)
        return OX_OK;
    bool yes = ox_str_caseeq(p->value, OX_STR("true")) || ox_str_eq(p->value, OX_STR("1"));
    bool no = ox_str_caseeq(p->value, OX_STR("false")) || ox_str_eq(p->value, OX_STR("0"));
    if (!yes && !no)
        return ox__param_bad(p, "true or false", diag);
    *out = yes;
    return OX_OK;
}

ox_err
ox__params_duration(struct ox__params *ps, const char *const *names, bool *set, uint64_t *ns,
                    struct ox_diag *diag)
{
    struct ox__param *p = ox__params_any(ps, names);
    *set = p != NULL;
    if (p != NULL && ox__duration_parse(p->value, ns) != OX_OK)
        return ox__param_bad(p, "a duration such as 100ms, 1.5s or 2m (units ns, us, ms, s, m, h, d)", diag);
    return OX_OK;
}

ox_err
ox__params_id(struct ox__params *ps, const char *name, size_t n, bool *set, uint8_t *id, struct ox_diag *diag)
{
    struct ox__param *p = ox__params_get(ps, name);
    uint8_t any = 0;
    *set = p != NULL;
    if (p == NULL)
        return OX_OK;
    bool good = ox_hex_decode(p->value, id, n) == OX_OK;
    for (size_t i = 0; good && i < n; i++)
        any |= id[i];
    if (good && any != 0)
        return OX_OK;
    char right[64];
    snprintf(right, sizeof(right), "%zu hex digits that are not all zero", 2 * n);
    return ox__param_bad(p, right, diag);
}

static const char time_hint[] = "RFC 3339 (2026-01-31T12:00:00Z), Unix time in s, ms, us or ns, or now-15m";
static const char range_hint[] = "a length of time such as 15m, 1h, 7d or last_hour";

static ox_err
parse_bound(struct ox__param *p, uint64_t now_ns, uint64_t *ns, struct ox_diag *diag)
{
    return ox__time_parse(p->value, now_ns, ns) == OX_OK ? OX_OK : ox__param_bad(p, time_hint, diag);
}

ox_err
ox__params_range(struct ox__params *ps, uint64_t now_ns, uint64_t default_ns, struct ox__range *out,
                 struct ox_diag *diag)
{
    static const char *const spans[] = {"time", "timerange", "since", NULL};
    struct ox__param *start = ox__params_get(ps, "start"), *end = ox__params_get(ps, "end");
    struct ox__param *span = ox__params_any(ps, spans);
    uint64_t length_ns = default_ns;
    ox_err err = OX_OK;
    out->given = start != NULL || end != NULL || span != NULL;
    out->end_ns = now_ns + FUTURE_NS;
    if (start != NULL && span != NULL)
        return ox__param_bad(span, "either start and end, or a length of time, not both", diag);
    if (span != NULL && ox__time_range_parse(span->value, &length_ns) != OX_OK)
        return ox__param_bad(span, range_hint, diag);
    if (end != NULL)
        err = parse_bound(end, now_ns, &out->end_ns, diag);
    if (err != OX_OK)
        return err;
    uint64_t anchor_ns = end != NULL ? out->end_ns : now_ns;
    out->start_ns = anchor_ns > length_ns ? anchor_ns - length_ns : 0;
    if (start != NULL)
        err = parse_bound(start, now_ns, &out->start_ns, diag);
    if (err == OX_OK && out->start_ns >= out->end_ns)
        return ox__param_bad(start != NULL ? start : end, "a start that lies before the end", diag);
    return err;
}

bool
ox__params_split(struct ox_str value, char separator, struct ox_str *pieces, size_t max, size_t *n)
{
    const char *p = value.p, *end = value.p + value.n;
    *n = 0;
    while (p < end) {
        const char *stop = memchr(p, separator, (size_t)(end - p));
        const char *next = stop != NULL ? stop + 1 : end;
        const char *last = stop != NULL ? stop : end;
        while (p < last && *p == ' ')
            p++;
        while (last > p && last[-1] == ' ')
            last--;
        if (last > p) {
            if (*n == max)
                return false;
            pieces[(*n)++] = (struct ox_str){p, (size_t)(last - p)};
        }
        p = next;
    }
    return true;
}
