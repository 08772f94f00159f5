/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/tracestate.c - see include/ox/tracestate.h.
 *
 * Owns:    nothing.
 * Threads: any.
 * Fails:   see there.
 */
#include "ox/tracestate.h"

#include <math.h>

#define DIGITS_MAX 14 /* hex digits of 56 bits */

/* ---- thresholds ---- */

uint64_t
ox_threshold_of(double p)
{
    OX_ASSERT(p >= 0);
    if (p >= 1)
        return OX_THRESHOLD_ALL;
    if (p == 0)
        return OX_THRESHOLD_NEVER;
    uint64_t kept = (uint64_t)llround(ldexp(p, OX_THRESHOLD_BITS));
    return OX_THRESHOLD_NEVER - (kept > 0 ? kept : 1);
}

uint64_t
ox_threshold_round(uint64_t threshold, unsigned digits)
{
    OX_ASSERT(digits > 0);
    if (threshold >= OX_THRESHOLD_NEVER)
        return threshold;
    unsigned leading = 0;
    while (leading < DIGITS_MAX && (threshold >> (52 - 4 * leading) & 15) == 15)
        leading++;
    if (leading + digits >= DIGITS_MAX)
        return threshold;
    unsigned cut = 4 * (DIGITS_MAX - leading - digits);
    /* The first digit that stays behind the 'f's is at most 'e': a carry cannot reach 2^56. */
    return (threshold + (1ull << (cut - 1))) >> cut << cut;
}

double
ox_threshold_probability(uint64_t threshold)
{
    OX_ASSERT(threshold < OX_THRESHOLD_NEVER);
    return ldexp((double)(OX_THRESHOLD_NEVER - threshold), -OX_THRESHOLD_BITS);
}

double
ox_threshold_count(uint64_t threshold)
{
    OX_ASSERT(threshold < OX_THRESHOLD_NEVER);
    return (double)OX_THRESHOLD_NEVER / (double)(OX_THRESHOLD_NEVER - threshold);
}

uint64_t
ox_trace_randomness(const uint8_t trace_id[16])
{
    uint64_t r = 0;
    for (size_t i = 9; i < 16; i++)
        r = r << 8 | trace_id[i];
    return r;
}

/* ---- characters ---- */

static bool
lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool
decimal(char c)
{
    return c >= '0' && c <= '9';
}

/* -1: no hex digit. */
static int
hex(char c)
{
    if (decimal(c))
        return c - '0';
    char l = (char)(c | 0x20);
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

/* The grammar of Level 2, which takes what Level 1 takes and more. */
static bool
good_key(struct ox_str key)
{
    for (size_t i = 0; i < key.n; i++) {
        char c = key.p[i];
        if (!lower(c) && !decimal(c) && (i == 0 || memchr("_-*/@", c, 5) == NULL))
            return false;
    }
    return key.n > 0 && key.n <= 256;
}

static bool
good_value(struct ox_str value)
{
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if (c < 0x20 || c > 0x7e || c == ',' || c == '=')
            return false;
    }
    return value.n > 0 && value.n <= 256 && value.p[value.n - 1] != ' ';
}

/* ---- lists ---- */

/* What stands before the next `by`; *rest begins behind it, and has p NULL when nothing is left. */
static struct ox_str
next_part(struct ox_str *rest, char by)
{
    const char *end = rest->n > 0 ? memchr(rest->p, by, rest->n) : NULL;
    struct ox_str part = {rest->p, end != NULL ? (size_t)(end - rest->p) : rest->n};
    *rest = end != NULL ? (struct ox_str){end + 1, rest->n - part.n - 1} : (struct ox_str){NULL, 0};
    return part;
}

static bool
blank(char c)
{
    return c == ' ' || c == '\t';
}

/* A member without the blanks around it; n 0 for one that is empty, which W3C allows. */
static struct ox_str
next_member(struct ox_str *rest)
{
    struct ox_str m = next_part(rest, ',');
    for (; m.n > 0 && blank(m.p[0]); m.p++)
        m.n--;
    while (m.n > 0 && blank(m.p[m.n - 1]))
        m.n--;
    return m;
}

static bool
split(struct ox_str part, char by, struct ox_str *key, struct ox_str *value)
{
    struct ox_str rest = part;
    *key = next_part(&rest, by);
    *value = rest;
    return rest.p != NULL;
}

static bool
seen(const struct ox_str *keys, size_t n, struct ox_str key)
{
    for (size_t i = 0; i < n; i++) {
        if (ox_str_eq(keys[i], key))
            return true;
    }
    return false;
}

static bool
read_members(struct ox_tracestate *state)
{
    struct ox_str rest = state->text, keys[OX_TRACESTATE_MEMBERS];
    while (rest.p != NULL) {
        struct ox_str member = next_member(&rest), key, value;
        if (member.n == 0)
            continue;
        if (state->members == OX_TRACESTATE_MEMBERS || !split(member, '=', &key, &value) || !good_key(key) ||
            !good_value(value) || seen(keys, state->members, key))
            return false;
        keys[state->members++] = key;
        if (ox_str_eq(key, OX_STR("ot")))
            state->ot = value;
    }
    return true;
}

/* ---- ot ---- */

static bool
good_sub_key(struct ox_str key)
{
    for (size_t i = 0; i < key.n; i++) {
        if (!lower(key.p[i]) && !(i > 0 && decimal(key.p[i])))
            return false;
    }
    return key.n > 0;
}

static bool
good_sub_value(struct ox_str value)
{
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (!lower((char)(c | 0x20)) && !decimal(c) && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

/* At most 14 digits, taken as if zeros followed. */
static bool
read_hex(struct ox_str digits, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < digits.n; i++) {
        int d = hex(digits.p[i]);
        if (d < 0 || i == DIGITS_MAX)
            return false;
        v |= (uint64_t)d << (52 - 4 * i);
    }
    *out = v;
    return digits.n > 0;
}

static void
read_known(struct ox_tracestate *state, struct ox_str key, struct ox_str value)
{
    if (ox_str_eq(key, OX_STR("th"))) {
        state->has_th = read_hex(value, &state->th);
        if (!state->has_th && state->fault == OX_TRACESTATE_OK)
            state->fault = OX_TRACESTATE_BAD_TH;
    } else if (ox_str_eq(key, OX_STR("rv"))) {
        state->has_rv = value.n == DIGITS_MAX && read_hex(value, &state->rv);
        if (!state->has_rv)
            state->fault = OX_TRACESTATE_BAD_RV;
    }
}

static bool
read_ot(struct ox_tracestate *state)
{
    struct ox_str rest = state->ot, keys[OX_TRACESTATE_OT_MAX / 2];
    size_t n = 0;
    if (rest.n > OX_TRACESTATE_OT_MAX)
        return false;
    while (rest.p != NULL) {
        struct ox_str key, value;
        if (!split(next_part(&rest, ';'), ':', &key, &value) || !good_sub_key(key) ||
            !good_sub_value(value) || seen(keys, n, key))
            return false;
        keys[n++] = key;
        read_known(state, key, value);
    }
    return true;
}

static void
give_up(struct ox_tracestate *state, enum ox_tracestate_fault why)
{
    state->fault = why;
    state->has_th = state->has_rv = false;
}

void
ox_tracestate_read(struct ox_str text, struct ox_tracestate *out)
{
    *out = (struct ox_tracestate){.text = text};
    if (OX_LIKELY(text.n == 0))
        return;
    if (!read_members(out)) {
        out->ot = (struct ox_str){NULL, 0};
        give_up(out, OX_TRACESTATE_BAD_LIST);
    } else if (out->ot.p != NULL && !read_ot(out)) {
        give_up(out, OX_TRACESTATE_BAD_OT);
    } else if (out->fault == OX_TRACESTATE_BAD_RV) {
        out->has_th = false;
    }
}

uint64_t
ox_tracestate_check(struct ox_tracestate *state, const uint8_t trace_id[16])
{
    uint64_t r = state->has_rv ? state->rv : ox_trace_randomness(trace_id);
    if (state->has_th && !ox_threshold_keeps(state->th, r)) {
        state->has_th = false;
        state->fault = OX_TRACESTATE_INCONSISTENT;
    }
    return r;
}

const char *
ox_tracestate_fault_name(enum ox_tracestate_fault fault)
{
    static const char *const names[] = {"ok", "bad_list", "bad_ot", "bad_rv", "bad_th", "inconsistent"};
    _Static_assert(OX_COUNT(names) == OX_TRACESTATE__COUNT, "a name each");
    OX_ASSERT(fault < OX_TRACESTATE__COUNT);
    return names[fault];
}

/* ---- writing ---- */

struct out {
    char *p;
    size_t n, size;
};

static void
put(struct out *o, struct ox_str s)
{
    if (s.n > 0 && o->n + s.n < o->size)
        memcpy(o->p + o->n, s.p, s.n);
    o->n += s.n;
}

static void
put_between(struct out *o, size_t from, const char *separator)
{
    if (o->n > from)
        put(o, ox_str_of(separator));
}

static void
put_threshold(struct out *o, size_t from, uint64_t threshold)
{
    static const char digits[] = "0123456789abcdef";
    char text[3 + DIGITS_MAX] = "th:";
    size_t n = 3;
    do {
        text[n++] = digits[threshold >> 52 & 15];
        threshold = threshold << 4 & (OX_THRESHOLD_NEVER - 1);
    } while (threshold != 0);
    put_between(o, from, ";");
    put(o, (struct ox_str){text, n});
}

/* The sub-keys of `ot`, with `th` where it was, or at the end. */
static void
put_ot(struct out *o, struct ox_str ot, uint64_t threshold)
{
    size_t from = o->n;
    bool wanted = threshold < OX_THRESHOLD_NEVER;
    for (struct ox_str rest = ot; rest.p != NULL;) {
        struct ox_str part = next_part(&rest, ';'), key, value;
        if (split(part, ':', &key, &value) && ox_str_eq(key, OX_STR("th"))) {
            if (wanted)
                put_threshold(o, from, threshold);
            wanted = false;
        } else {
            put_between(o, from, ";");
            put(o, part);
        }
    }
    if (wanted)
        put_threshold(o, from, threshold);
}

static void
put_others(struct out *o, struct ox_str text, uint32_t room)
{
    for (struct ox_str rest = text; rest.p != NULL && room > 0;) {
        struct ox_str member = next_member(&rest), key, value;
        if (member.n == 0 || (split(member, '=', &key, &value) && ox_str_eq(key, OX_STR("ot"))))
            continue;
        put_between(o, 0, ",");
        put(o, member);
        room--;
    }
}

ox_err
ox_tracestate_write(const struct ox_tracestate *state, uint64_t threshold, char *out, size_t size,
                    size_t *len)
{
    struct out o = {out, 0, size};
    if (state->fault == OX_TRACESTATE_BAD_LIST || state->fault == OX_TRACESTATE_BAD_OT)
        return OX_E_INVALID;
    put(&o, OX_STR("ot="));
    put_ot(&o, state->ot, threshold);
    if (o.n - 3 > OX_TRACESTATE_OT_MAX)
        return OX_E_TOO_LARGE;
    if (o.n == 3) /* nothing is left of it */
        o.n = 0;
    put_others(&o, state->text, OX_TRACESTATE_MEMBERS - (o.n > 0 ? 1 : 0));
    if (o.n >= size)
        return OX_E_TOO_LARGE;
    out[o.n] = '\0';
    *len = o.n;
    return OX_OK;
}
