/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/json_read.c - the pieces of JSON: RFC 8259, strictly.
 *
 * Owns:    nothing.
 * Threads: any.
 * Bounds:  OX__JSON_SKIP_DEPTH_MAX.
 * Fails:   false and reader->bad.
 * Flow:    proto/otlp_from_json.c, proto/any_restore.c.
 */
#include "proto/json_read.h"

#include <math.h>
#include <stdlib.h>

/* Longer texts of a number are not a number that anybody means. */
#define NUMBER_CHARS_MAX 400

void
ox__json_init(struct ox__json *j, struct ox_str text)
{
    *j = (struct ox__json){.begin = text.p, .p = text.p, .end = text.p != NULL ? text.p + text.n : NULL};
}

bool
ox__json_fail(struct ox__json *j, const char *why)
{
    if (j->bad == NULL)
        j->bad = why;
    return false;
}

char
ox__json_peek(struct ox__json *j)
{
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\r' || *j->p == '\t'))
        j->p++;
    return j->p < j->end ? *j->p : '\0';
}

bool
ox__json_try(struct ox__json *j, char c)
{
    if (ox__json_peek(j) != c || j->p == j->end)
        return false;
    j->p++;
    return true;
}

bool
ox__json_take(struct ox__json *j, char c, const char *why)
{
    return ox__json_try(j, c) || ox__json_fail(j, why);
}

bool
ox__json_more(struct ox__json *j, char close)
{
    if (ox__json_try(j, ','))
        return true;
    if (!ox__json_try(j, close))
        ox__json_fail(j, close == ']' ? "expected ',' or ']'" : "expected ',' or '}'");
    return false;
}

static bool
hex4(struct ox__json *j, uint32_t *out)
{
    uint8_t b[2];
    if (j->end - j->p < 4 || ox_hex_decode((struct ox_str){j->p, 4}, b, 2) != OX_OK)
        return ox__json_fail(j, "\\u needs four hex digits");
    *out = (uint32_t)b[0] << 8 | b[1];
    j->p += 4;
    return true;
}

static void
put_utf8(struct ox_buf *out, uint32_t c)
{
    uint8_t b[4];
    size_t n = 0;
    if (c < 0x80) {
        b[n++] = (uint8_t)c;
    } else if (c < 0x800) {
        b[n++] = (uint8_t)(0xc0 | c >> 6);
        b[n++] = (uint8_t)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        b[n++] = (uint8_t)(0xe0 | c >> 12);
        b[n++] = (uint8_t)(0x80 | (c >> 6 & 63));
        b[n++] = (uint8_t)(0x80 | (c & 63));
    } else {
        b[n++] = (uint8_t)(0xf0 | c >> 18);
        b[n++] = (uint8_t)(0x80 | (c >> 12 & 63));
        b[n++] = (uint8_t)(0x80 | (c >> 6 & 63));
        b[n++] = (uint8_t)(0x80 | (c & 63));
    }
    ox_buf_append(out, b, n);
}

static bool
unicode_escape(struct ox__json *j, struct ox_buf *out)
{
    uint32_t c, low;
    if (!hex4(j, &c))
        return false;
    if (c >= 0xd800 && c < 0xdc00 && j->end - j->p >= 2 && j->p[0] == '\\' && j->p[1] == 'u') {
        const char *back = j->p;
        j->p += 2;
        if (!hex4(j, &low))
            return false;
        if (low >= 0xdc00 && low < 0xe000) {
            put_utf8(out, 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00));
            return true;
        }
        j->p = back; /* not its other half: it stands for itself */
    }
    put_utf8(out, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
    return true;
}

static bool
escape(struct ox__json *j, struct ox_buf *out)
{
    static const char names[] = "\"\\/bfnrt";
    static const char means[] = "\"\\/\b\f\n\r\t";
    if (j->p == j->end)
        return ox__json_fail(j, "a string that does not end");
    char c = *j->p++;
    if (c == 'u')
        return unicode_escape(j, out);
    const char *at = c != '\0' ? strchr(names, c) : NULL;
    if (at == NULL)
        return ox__json_fail(j, "an unknown escape in a string");
    ox_buf_append(out, means + (at - names), 1);
    return true;
}

bool
ox__json_string(struct ox__json *j, struct ox_buf *out)
{
    if (!ox__json_take(j, '"', "expected a string"))
        return false;
    for (;;) {
        const char *run = j->p;
        while (j->p < j->end && *j->p != '"' && *j->p != '\\' && (unsigned char)*j->p >= 0x20)
            j->p++;
        ox_buf_append(out, run, (size_t)(j->p - run));
        if (j->p == j->end)
            return ox__json_fail(j, "a string that does not end");
        if ((unsigned char)*j->p < 0x20)
            return ox__json_fail(j, "a control character inside a string");
        if (*j->p++ == '"')
            return true;
        if (!escape(j, out))
            return false;
    }
}

static bool
digits(struct ox__json *j)
{
    const char *from = j->p;
    while (j->p < j->end && *j->p >= '0' && *j->p <= '9')
        j->p++;
    return j->p > from || ox__json_fail(j, "expected a digit");
}

bool
ox__json_number(struct ox__json *j, struct ox_str *text)
{
    ox__json_peek(j);
    const char *from = j->p;
    if (j->p < j->end && *j->p == '-')
        j->p++;
    const char *whole = j->p;
    if (!digits(j))
        return false;
    if (*whole == '0' && j->p - whole > 1)
        return ox__json_fail(j, "a number with a leading zero");
    if (j->p < j->end && *j->p == '.') {
        j->p++;
        if (!digits(j))
            return false;
    }
    if (j->p < j->end && (*j->p == 'e' || *j->p == 'E')) {
        j->p++;
        if (j->p < j->end && (*j->p == '+' || *j->p == '-'))
            j->p++;
        if (!digits(j))
            return false;
    }
    *text = (struct ox_str){from, (size_t)(j->p - from)};
    return true;
}

bool
ox__json_word(struct ox__json *j, const char *word)
{
    size_t n = strlen(word);
    ox__json_peek(j);
    if ((size_t)(j->end - j->p) < n || memcmp(j->p, word, n) != 0)
        return ox__json_fail(j, "expected a value");
    j->p += n;
    return true;
}

/* A string whose content nobody wants: no copy, same rules. */
static bool
skip_string(struct ox__json *j)
{
    struct ox_buf scratch;
    ox_buf_init(&scratch);
    bool ok = ox__json_string(j, &scratch);
    ox_buf_fini(&scratch);
    return ok;
}

static bool
skip_members(struct ox__json *j, char close, unsigned depth)
{
    j->p++;
    if (ox__json_try(j, close))
        return true;
    do {
        if (close == '}' && (!skip_string(j) || !ox__json_take(j, ':', "expected ':'")))
            return false;
        if (!ox__json_skip(j, depth + 1))
            return false;
    } while (ox__json_more(j, close));
    return j->bad == NULL;
}

bool
ox__json_skip(struct ox__json *j, unsigned depth)
{
    struct ox_str number;
    if (depth > OX__JSON_SKIP_DEPTH_MAX) {
        j->too_deep = true;
        return ox__json_fail(j, "values nested too deeply");
    }
    switch (ox__json_peek(j)) {
    case '{':
        return skip_members(j, '}', depth);
    case '[':
        return skip_members(j, ']', depth);
    case '"':
        return skip_string(j);
    case 't':
        return ox__json_word(j, "true");
    case 'f':
        return ox__json_word(j, "false");
    case 'n':
        return ox__json_word(j, "null");
    default:
        return ox__json_number(j, &number);
    }
}

static bool
number_shape(struct ox_str text)
{
    struct ox__json j;
    struct ox_str whole;
    ox__json_init(&j, text);
    return text.n > 0 && text.n < NUMBER_CHARS_MAX &&
           (text.p[0] == '-' || (text.p[0] >= '0' && text.p[0] <= '9')) && ox__json_number(&j, &whole) &&
           whole.n == text.n;
}

bool
ox__text_double(struct ox_str text, double *out)
{
    char copy[NUMBER_CHARS_MAX];
    if (ox_str_eq(text, OX_STR("NaN")) || ox_str_eq(text, OX_STR("Infinity")) ||
        ox_str_eq(text, OX_STR("-Infinity"))) {
        *out = text.p[0] == 'N' ? (double)NAN : text.p[0] == '-' ? -(double)INFINITY : (double)INFINITY;
        return true;
    }
    if (!number_shape(text))
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    *out = strtod(copy, NULL); /* the process keeps the "C" locale */
    return isfinite(*out);
}

/* "1.0", "15e2": whole numbers in another dress; exact below 2^53. */
static bool
whole_double(struct ox_str text, bool *negative, uint64_t *magnitude)
{
    double d;
    if (!ox__text_double(text, &d) || !isfinite(d) || d != trunc(d) || fabs(d) > 9007199254740992.0)
        return false;
    *negative = d < 0;
    *magnitude = (uint64_t)fabs(d);
    return true;
}

bool
ox__text_int(struct ox_str text, bool *negative, uint64_t *magnitude)
{
    size_t i = text.n > 0 && text.p[0] == '-';
    *negative = i == 1;
    *magnitude = 0;
    if (i == text.n)
        return false;
    for (; i < text.n; i++) {
        unsigned digit = (unsigned)(text.p[i] - '0');
        if (digit > 9)
            return whole_double(text, negative, magnitude);
        if (__builtin_mul_overflow(*magnitude, 10, magnitude) ||
            __builtin_add_overflow(*magnitude, digit, magnitude))
            return false;
    }
    return true;
}
