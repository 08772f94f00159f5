/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/http_params.c - the query part of a URL.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Bounds:  OX__HTTP_PARAMS_MAX parameters.
 * Fails:   OX_E_TOO_LARGE.
 * Flow:    http.c -> here; statement.c asks by name.
 */
#include "engine/http.h"

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes up to `stop` or the end; *p moves behind it. A lone % stands for itself, as in ClickHouse. */
static struct ox_str
decode(const char **p, const char *end, const char *stops, char **arena)
{
    char *from = *arena;
    char *to = from;
    const char *q = *p;
    while (q < end && *q != stops[0] && *q != stops[1]) {
        if (*q == '%' && end - q > 2 && hex_value(q[1]) >= 0 && hex_value(q[2]) >= 0) {
            *to++ = (char)(hex_value(q[1]) << 4 | hex_value(q[2]));
            q += 3;
        } else {
            *to++ = *q == '+' ? ' ' : *q;
            q++;
        }
    }
    *p = q;
    *arena = to;
    return (struct ox_str){from, (size_t)(to - from)};
}

ox_err
ox__http_params(struct ox_str text, char *arena, struct ox__pair *out, size_t *n)
{
    const char *p = text.p;
    const char *end = text.p + text.n;
    *n = 0;
    while (p < end) {
        struct ox__pair pair = {{0}, {"", 0}};
        pair.name = decode(&p, end, "=&", &arena);
        if (p < end && *p == '=') {
            p++;
            pair.value = decode(&p, end, "&&", &arena);
        }
        if (p < end)
            p++; /* & */
        if (pair.name.n == 0)
            continue;
        if (*n == OX__HTTP_PARAMS_MAX)
            return OX_E_TOO_LARGE;
        out[(*n)++] = pair;
    }
    return OX_OK;
}

struct ox_str
ox__http_param(const struct ox__request *request, const char *name)
{
    for (size_t i = 0; i < request->params_n; i++) {
        if (ox_str_eq(request->params[i].name, ox_str_of(name)))
            return request->params[i].value;
    }
    return (struct ox_str){NULL, 0};
}
