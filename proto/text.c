/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/text.c - small texts: JSON strings, base64, shortest doubles.
 *
 * Owns:    nothing.
 * Threads: any.
 * Fails:   memory, shown as out->failed; ox_base64_decode: OX_E_INVALID.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/any.h"
#include "ox/otlp.h"
#include "proto/utf8.h"

/* Whole numbers up to here print exactly as integers with fewer digits than %.15g would need exponents for.
 */
#define WHOLE_MAX 1e15

static void
json_escape(struct ox_buf *out, uint8_t c)
{
    switch (c) {
    case '"':
        ox_buf_append_cstr(out, "\\\"");
        break;
    case '\\':
        ox_buf_append_cstr(out, "\\\\");
        break;
    case '\n':
        ox_buf_append_cstr(out, "\\n");
        break;
    case '\r':
        ox_buf_append_cstr(out, "\\r");
        break;
    case '\t':
        ox_buf_append_cstr(out, "\\t");
        break;
    default:
        ox_buf_printf(out, "\\u%04x", c);
    }
}

void
ox_json_string(struct ox_buf *out, struct ox_str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    size_t run = 0; /* start of what can be copied as it is */
    ox_buf_append(out, "\"", 1);
    for (size_t i = 0; i < s.n;) {
        bool escape = p[i] < 0x20 || p[i] == '"' || p[i] == '\\';
        size_t len = escape ? 0 : ox__utf8_sequence(p + i, s.n - i);
        if (len != 0) {
            i += len;
            continue;
        }
        ox_buf_append(out, p + run, i - run);
        if (escape)
            json_escape(out, p[i]);
        else
            ox_buf_append_cstr(out, "\xef\xbf\xbd");
        run = ++i;
    }
    if (s.n > run)
        ox_buf_append(out, p + run, s.n - run);
    ox_buf_append(out, "\"", 1);
}

void
ox_base64_encode(struct ox_buf *out, struct ox_str bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = (const uint8_t *)bytes.p;
    size_t chars = (bytes.n + 2) / 3 * 4;
    if (bytes.n == 0)
        return;
    uint8_t *to = ox_buf_reserve(out, chars);
    if (to == NULL)
        return;
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        uint32_t v = (uint32_t)p[i] << 16;
        v |= left > 1 ? (uint32_t)p[i + 1] << 8 : 0;
        v |= left > 2 ? p[i + 2] : 0;
        *to++ = (uint8_t)digits[v >> 18];
        *to++ = (uint8_t)digits[v >> 12 & 63];
        *to++ = (uint8_t)(left > 1 ? digits[v >> 6 & 63] : '=');
        *to++ = (uint8_t)(left > 2 ? digits[v & 63] : '=');
    }
    out->len += chars;
}

static int
base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

ox_err
ox_base64_decode(struct ox_buf *out, struct ox_str text)
{
    size_t n = text.n, start = out->len;
    while (n > 0 && text.n - n < 2 && text.p[n - 1] == '=')
        n--;
    if (n % 4 == 1 || (n != text.n && text.n % 4 != 0))
        return OX_E_INVALID;
    uint32_t acc = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < n; i++) {
        int digit = base64_digit((uint8_t)text.p[i]);
        if (digit < 0) {
            out->len = start;
            return OX_E_INVALID;
        }
        acc = acc << 6 | (uint32_t)digit;
        bits += 6;
        if (bits < 8)
            continue;
        bits -= 8;
        uint8_t byte = (uint8_t)(acc >> bits);
        ox_buf_append(out, &byte, 1);
    }
    return OX_OK;
}

void
ox_double_text(struct ox_buf *out, double d, bool with_point)
{
    char text[40];
    if (d == trunc(d) && fabs(d) < WHOLE_MAX) {
        snprintf(text, sizeof(text), "%.0f%s", d, with_point ? ".0" : "");
        ox_buf_append_cstr(out, text);
        return;
    }
    /* Fifteen digits are always kept, so no shorter text is missed, but by subnormal numbers. */
    for (int digits = fabs(d) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, d);
        if (strtod(text, NULL) == d)
            break;
    }
    ox_buf_append_cstr(out, text);
    if (with_point && strpbrk(text, ".e") == NULL)
        ox_buf_append_cstr(out, ".0");
}
