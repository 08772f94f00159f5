/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/query.c - query strings and percent-encoding.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 */
#include "ox/net.h"

/* Longest encoded name that ox_query_get compares. */
#define NAME_MAX_BYTES 128

bool
ox_query_next(struct ox_query_iter *it, struct ox_str *name, struct ox_str *value)
{
    while (it->rest.n > 0) {
        const char *amp = memchr(it->rest.p, '&', it->rest.n);
        struct ox_str pair = {it->rest.p, amp != NULL ? (size_t)(amp - it->rest.p) : it->rest.n};
        size_t used = pair.n + (amp != NULL);
        it->rest.p += used;
        it->rest.n -= used;
        if (pair.n == 0)
            continue;
        const char *eq = memchr(pair.p, '=', pair.n);
        *name = (struct ox_str){pair.p, eq != NULL ? (size_t)(eq - pair.p) : pair.n};
        *value =
            eq != NULL ? (struct ox_str){eq + 1, pair.n - name->n - 1} : (struct ox_str){pair.p + pair.n, 0};
        return true;
    }
    return false;
}

ox_err
ox_percent_decode(struct ox_str in, bool plus, char *out, size_t *out_n)
{
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '+' && plus) {
            c = ' ';
        } else if (c == '%') {
            if (in.n - i < 3 || ox_hex_decode((struct ox_str){in.p + i + 1, 2}, &c, 1) != OX_OK)
                return OX_E_INVALID;
            i += 2;
        }
        out[n++] = c;
    }
    *out_n = n;
    return OX_OK;
}

static bool
name_is(struct ox_str encoded, struct ox_str name)
{
    char plain[NAME_MAX_BYTES];
    size_t n = 0;
    if (encoded.n > sizeof(plain) || ox_percent_decode(encoded, true, plain, &n) != OX_OK)
        return false;
    return ox_str_eq((struct ox_str){plain, n}, name);
}

ox_err
ox_query_get(struct ox_str query, struct ox_str name, char *out, size_t out_cap)
{
    struct ox_query_iter it = {query};
    struct ox_str key, value;
    while (ox_query_next(&it, &key, &value)) {
        if (!name_is(key, name))
            continue;
        size_t n = 0;
        /* Decoding never grows, but an encoded value may be longer than the room for it. */
        if (value.n >= out_cap && value.n / 3 >= out_cap)
            return OX_E_TOO_LARGE;
        char plain[1024];
        if (value.n < out_cap) {
            if (ox_percent_decode(value, true, out, &n) != OX_OK)
                return OX_E_INVALID;
        } else {
            if (value.n > sizeof(plain))
                return OX_E_TOO_LARGE;
            if (ox_percent_decode(value, true, plain, &n) != OX_OK)
                return OX_E_INVALID;
            if (n >= out_cap)
                return OX_E_TOO_LARGE;
            memcpy(out, plain, n);
        }
        out[n] = '\0';
        return memchr(out, '\0', n) == NULL ? OX_OK : OX_E_INVALID;
    }
    return OX_E_NOT_FOUND;
}
