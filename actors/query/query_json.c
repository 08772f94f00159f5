/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_json.c - a streaming JSON writer over a buffer.
 *
 * Owns:    nothing.
 * Threads: one at a time.
 * Bounds:  see query_json.h.
 * Fails:   never by itself; a buffer without memory sticks (buf->failed) and is checked by query_handle.c.
 * Flow:    the handlers (query_trace.c and its siblings) -> here -> the answer's body.
 */
#include "actors/query/query_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/query/query_time.h"

static const char hex_digits[] = "0123456789abcdef";

void
ox__qjson_init(struct ox__json *j, struct ox_buf *buf)
{
    j->buf = buf;
    j->comma = false;
}

static void
separate(struct ox__json *j)
{
    if (j->comma)
        ox_buf_append(j->buf, ",", 1);
    j->comma = true;
}

void
ox__qjson_begin(struct ox__json *j, char bracket)
{
    separate(j);
    ox_buf_append(j->buf, &bracket, 1);
    j->comma = false;
}

void
ox__qjson_end(struct ox__json *j, char bracket)
{
    ox_buf_append(j->buf, &bracket, 1);
    j->comma = true;
}

/* Length of the well-formed UTF-8 sequence at p (RFC 3629: no surrogates, no overlong forms), or 0. */
static size_t
utf8_len(const uint8_t *p, size_t n)
{
    static const struct {
        uint8_t lead_min, lead_max, second_min, second_max, len;
    } forms[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    if (p[0] < 0x80)
        return 1;
    for (size_t i = 0; i < OX_COUNT(forms); i++) {
        if (p[0] < forms[i].lead_min || p[0] > forms[i].lead_max)
            continue;
        if (n < forms[i].len || p[1] < forms[i].second_min || p[1] > forms[i].second_max)
            return 0;
        for (size_t k = 2; k < forms[i].len; k++)
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        return forms[i].len;
    }
    return 0;
}

static void
escape(struct ox_buf *buf, uint8_t c)
{
    char text[6] = {'\\', 0};
    size_t n = 2;
    switch (c) {
    case '"':
    case '\\':
        text[1] = (char)c;
        break;
    case '\n':
        text[1] = 'n';
        break;
    case '\r':
        text[1] = 'r';
        break;
    case '\t':
        text[1] = 't';
        break;
    default:
        memcpy(text, "\\u00", 4);
        text[4] = hex_digits[c >> 4];
        text[5] = hex_digits[c & 15];
        n = 6;
    }
    ox_buf_append(buf, text, n);
}

static bool
is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void
quote(struct ox_buf *buf, struct ox_str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    size_t i = 0;
    ox_buf_append(buf, "\"", 1);
    while (i < s.n) {
        size_t from = i;
        while (i < s.n && is_plain(p[i]))
            i++;
        if (i > from)
            ox_buf_append(buf, p + from, i - from);
        if (i == s.n)
            break;
        size_t len = utf8_len(p + i, s.n - i);
        if (len == 0)
            ox_buf_append(buf, "\xef\xbf\xbd", 3);
        else if (len == 1)
            escape(buf, p[i]);
        else
            ox_buf_append(buf, p + i, len);
        i += len == 0 ? 1 : len;
    }
    ox_buf_append(buf, "\"", 1);
}

void
ox__qjson_key(struct ox__json *j, const char *key)
{
    ox__qjson_key_str(j, ox_str_of(key));
}

void
ox__qjson_key_str(struct ox__json *j, struct ox_str key)
{
    separate(j);
    quote(j->buf, key);
    ox_buf_append(j->buf, ":", 1);
    j->comma = false;
}

void
ox__qjson_open(struct ox__json *j, const char *key, char bracket)
{
    ox__qjson_key(j, key);
    ox__qjson_begin(j, bracket);
}

void
ox__qjson_str(struct ox__json *j, struct ox_str s)
{
    separate(j);
    quote(j->buf, s);
}

void
ox__qjson_u64(struct ox__json *j, uint64_t v)
{
    char text[24];
    separate(j);
    ox_buf_append(j->buf, text, (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)v));
}

void
ox__qjson_i64(struct ox__json *j, int64_t v)
{
    char text[24];
    separate(j);
    ox_buf_append(j->buf, text, (size_t)snprintf(text, sizeof(text), "%lld", (long long)v));
}

void
ox__qjson_double(struct ox__json *j, double v)
{
    char text[40];
    if (isnan(v)) {
        ox__qjson_str(j, OX_STR("NaN"));
        return;
    }
    if (isinf(v)) {
        ox__qjson_str(j, v > 0 ? OX_STR("Infinity") : OX_STR("-Infinity"));
        return;
    }
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(text, sizeof(text), "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    if (strpbrk(text, ".e") == NULL)
        n += snprintf(text + n, sizeof(text) - (size_t)n, ".0");
    separate(j);
    ox_buf_append(j->buf, text, (size_t)n);
}

void
ox__qjson_bool(struct ox__json *j, bool v)
{
    separate(j);
    ox_buf_append_cstr(j->buf, v ? "true" : "false");
}

void
ox__qjson_null(struct ox__json *j)
{
    separate(j);
    ox_buf_append(j->buf, "null", 4);
}

void
ox__qjson_hex(struct ox__json *j, const uint8_t *bytes, size_t n)
{
    char text[2 * 32 + 1];
    OX_ASSERT(n <= 32);
    ox_hex_encode(bytes, n, text);
    ox__qjson_str(j, (struct ox_str){text, 2 * n});
}

void
ox__qjson_raw(struct ox__json *j, struct ox_str json)
{
    separate(j);
    ox_buf_append_str(j->buf, json);
}

void
ox__qjson_kstr(struct ox__json *j, const char *key, struct ox_str v)
{
    ox__qjson_key(j, key);
    ox__qjson_str(j, v);
}

void
ox__qjson_kcstr(struct ox__json *j, const char *key, const char *v)
{
    ox__qjson_kstr(j, key, ox_str_of(v));
}

void
ox__qjson_ku64(struct ox__json *j, const char *key, uint64_t v)
{
    ox__qjson_key(j, key);
    ox__qjson_u64(j, v);
}

void
ox__qjson_ki64(struct ox__json *j, const char *key, int64_t v)
{
    ox__qjson_key(j, key);
    ox__qjson_i64(j, v);
}

void
ox__qjson_kdouble(struct ox__json *j, const char *key, double v)
{
    ox__qjson_key(j, key);
    ox__qjson_double(j, v);
}

void
ox__qjson_kbool(struct ox__json *j, const char *key, bool v)
{
    ox__qjson_key(j, key);
    ox__qjson_bool(j, v);
}

void
ox__qjson_kid(struct ox__json *j, const char *key, const uint8_t *id, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= id[i];
    ox__qjson_key(j, key);
    ox__qjson_hex(j, id, any != 0 ? n : 0);
}

void
ox__qjson_ktime(struct ox__json *j, const char *key, uint64_t unix_ns)
{
    char name[64], text[OX__TIME_TEXT];
    ox__qjson_key(j, key);
    if (unix_ns == 0) {
        ox__qjson_null(j);
    } else {
        ox__time_format(unix_ns, text);
        ox__qjson_str(j, ox_str_of(text));
    }
    snprintf(name, sizeof(name), "%s_unix_nano", key);
    ox__qjson_ku64(j, name, unix_ns);
}
