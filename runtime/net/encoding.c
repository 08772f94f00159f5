/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/encoding.c - names of content codings, and which of them a client accepts.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Fails:   MEDIA_TYPE.
 */
#include "ox/compress.h"

static const char *const names[] = {
    [OX_ENCODING_IDENTITY] = "identity",
    [OX_ENCODING_GZIP] = "gzip",
    [OX_ENCODING_DEFLATE] = "deflate",
    [OX_ENCODING_ZSTD] = "zstd",
};

static struct ox_str
trim(struct ox_str s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

const char *
ox_encoding_name(enum ox_encoding encoding)
{
    OX_ASSERT((unsigned)encoding < OX_COUNT(names));
    return names[encoding];
}

ox_err
ox_encoding_parse(struct ox_str value, enum ox_encoding *out, struct ox_diag *diag)
{
    value = trim(value);
    *out = OX_ENCODING_IDENTITY;
    if (value.n == 0)
        return OX_OK;
    if (ox_str_caseeq(value, OX_STR("x-gzip")))
        value = OX_STR("gzip");
    for (size_t i = 0; i < OX_COUNT(names); i++) {
        if (ox_str_caseeq(value, ox_str_of(names[i]))) {
            *out = (enum ox_encoding)i;
            return OX_OK;
        }
    }
    bool list = memchr(value.p, ',', value.n) != NULL;
    return ox_diag_set(diag, OX_E_MEDIA_TYPE, "content-encoding", -1,
                       "%s \"%.*s\" is not understood; use one of gzip, zstd, deflate or identity",
                       list ? "the list of codings" : "the coding", (int)(value.n < 64 ? value.n : 64),
                       value.p);
}

/* Whether the parameters of a list member say q=0, q=0.0... */
static bool
weight_is_zero(struct ox_str params)
{
    const char *q = params.n > 0 ? memmem(params.p, params.n, "q=", 2) : NULL;
    if (q == NULL && params.n > 0)
        q = memmem(params.p, params.n, "Q=", 2);
    if (q == NULL)
        return false;
    const char *end = params.p + params.n;
    for (q += 2; q < end && *q != ';' && *q != ' '; q++) {
        if (*q >= '1' && *q <= '9')
            return false;
    }
    return true;
}

bool
ox_encoding_accepted(struct ox_str accept, enum ox_encoding encoding)
{
    bool star = encoding == OX_ENCODING_IDENTITY; /* acceptable unless forbidden */
    struct ox_str name = ox_str_of(ox_encoding_name(encoding));
    while (accept.n > 0) {
        const char *comma = memchr(accept.p, ',', accept.n);
        size_t n = comma != NULL ? (size_t)(comma - accept.p) : accept.n;
        const char *semi = memchr(accept.p, ';', n);
        size_t token_n = semi != NULL ? (size_t)(semi - accept.p) : n;
        struct ox_str token = trim((struct ox_str){accept.p, token_n});
        bool yes = !weight_is_zero((struct ox_str){accept.p + token_n, n - token_n});
        if (ox_str_caseeq(token, name) ||
            (encoding == OX_ENCODING_GZIP && ox_str_caseeq(token, OX_STR("x-gzip"))))
            return yes;
        if (ox_str_eq(token, OX_STR("*")))
            star = yes;
        n += comma != NULL;
        accept.p += n;
        accept.n -= n;
    }
    return star;
}
