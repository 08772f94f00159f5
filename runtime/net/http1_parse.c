/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/http1_parse.c - the grammar of HTTP/1.1 requests (RFC 9112), strictly.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Bounds:  method 32 bytes; content-length 18 digits; chunk size 15 digits; chunk extensions 16 KiB per body.
 * Fails:   OX_E_INVALID, OX_E_HEADER_TOO_LARGE, OX_E_UNIMPLEMENTED.
 * Flow:    http1.c -> here.
 */
#include "runtime/net/http1_parse.h"

#define METHOD_MAX            32
#define CONTENT_LENGTH_DIGITS 18 /* fits an int64_t */
#define CHUNK_SIZE_DIGITS     15 /* fits too */
#define CHUNK_OVERHEAD_MAX    (16 * 1024)

enum ox__h1_scan_result
ox__h1_scan(struct ox__h1_scan *s, const uint8_t *data, size_t n, size_t *used)
{
    size_t i = 0;
    while (i < n) {
        const uint8_t *lf = memchr(data + i, '\n', n - i);
        if (lf == NULL) {
            s->line_len += n - i;
            s->cr = data[n - 1] == '\r';
            break;
        }
        size_t at = (size_t)(lf - data);
        bool cr = at > i ? data[at - 1] == '\r' : s->cr;
        size_t len = s->line_len + (at - i);
        if (!cr)
            return H1_SCAN_BAD;
        i = at + 1;
        s->line_len = 0;
        s->cr = false;
        if (len == 1) {
            *used = i;
            return s->lines == 0 ? H1_SCAN_BLANK : H1_SCAN_END;
        }
        s->lines++;
    }
    *used = n;
    return H1_SCAN_MORE;
}

/* tchar of RFC 9110. */
static bool
is_token_char(unsigned char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool
is_token(struct ox_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_token_char((unsigned char)s.p[i]))
            return false;
    }
    return s.n > 0;
}

/* The next line without its CRLF; the caller knows that there is one. */
static struct ox_str
next_line(struct ox_str *rest)
{
    const char *lf = memchr(rest->p, '\n', rest->n);
    OX_ASSERT(lf != NULL && lf > rest->p);
    struct ox_str line = {rest->p, (size_t)(lf - rest->p) - 1};
    rest->n -= line.n + 2;
    rest->p = lf + 1;
    return line;
}

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

static ox_err
split_target(struct ox_str target, struct ox__h1_head *out, struct ox_diag *diag)
{
    for (size_t i = 0; i < target.n; i++) {
        unsigned char c = (unsigned char)target.p[i];
        if (c <= 0x20 || c >= 0x7f || c == '#')
            return ox_diag_set(diag, OX_E_INVALID, "request-target", (int64_t)i,
                               "byte 0x%02x is not allowed in a request target; percent-encode it", c);
    }
    if (target.n > 7 && ox_str_caseeq((struct ox_str){target.p, 7}, OX_STR("http://"))) {
        target.p += 7;
        target.n -= 7;
        size_t n = 0;
        while (n < target.n && target.p[n] != '/' && target.p[n] != '?')
            n++;
        out->authority = (struct ox_str){target.p, n};
        target.p += n;
        target.n -= n;
        if (n == 0)
            return ox_diag_set(diag, OX_E_INVALID, "request-target", 7, "an absolute target needs a host");
    } else if (target.n == 0 || (target.p[0] != '/' && !ox_str_eq(target, OX_STR("*")))) {
        return ox_diag_set(diag, OX_E_INVALID, "request-target", -1,
                           "the request target must be a path that begins with '/'");
    }
    const char *q = target.n > 0 ? memchr(target.p, '?', target.n) : NULL;
    size_t path_n = q != NULL ? (size_t)(q - target.p) : target.n;
    out->path = path_n > 0 ? (struct ox_str){target.p, path_n} : OX_STR("/");
    out->query = q != NULL ? (struct ox_str){q + 1, target.n - path_n - 1} : (struct ox_str){NULL, 0};
    return OX_OK;
}

static ox_err
parse_request_line(struct ox_str line, struct ox__h1_head *out, struct ox_diag *diag)
{
    const char *sp1 = memchr(line.p, ' ', line.n);
    const char *sp2 = line.n > 0 ? memrchr(line.p, ' ', line.n) : NULL;
    if (sp1 == NULL || sp1 == sp2)
        return ox_diag_set(diag, OX_E_INVALID, "request-line", 0, "expected METHOD TARGET HTTP/1.1");
    out->method = (struct ox_str){line.p, (size_t)(sp1 - line.p)};
    struct ox_str version = {sp2 + 1, line.n - (size_t)(sp2 + 1 - line.p)};
    if (out->method.n > METHOD_MAX || !is_token(out->method))
        return ox_diag_set(diag, OX_E_INVALID, "method", 0,
                           "the method must be a token of at most %d characters", METHOD_MAX);
    if (ox_str_eq(version, OX_STR("HTTP/1.1")))
        out->minor = 1;
    else if (!ox_str_eq(version, OX_STR("HTTP/1.0")))
        return ox_diag_set(diag, OX_E_INVALID, "version", (int64_t)(version.p - line.p),
                           "only HTTP/1.1, HTTP/1.0 and HTTP/2 with prior knowledge are spoken here");
    if (ox_str_eq(out->method, OX_STR("CONNECT")))
        return ox_diag_set(diag, OX_E_UNIMPLEMENTED, "method", 0,
                           "CONNECT is not supported, this is not a proxy");
    struct ox_str target = {sp1 + 1, (size_t)(sp2 - sp1) - 1};
    ox_err err = split_target(target, out, diag);
    if (err == OX_OK && ox_str_eq(out->path, OX_STR("*")) && !ox_str_eq(out->method, OX_STR("OPTIONS")))
        err = ox_diag_set(diag, OX_E_INVALID, "request-target", -1, "'*' is for OPTIONS only");
    return err;
}

static ox_err
parse_field(struct ox_str line, struct ox_http_header *out, struct ox_diag *diag)
{
    if (line.p[0] == ' ' || line.p[0] == '\t')
        return ox_diag_set(diag, OX_E_INVALID, "header", -1, "folded header lines are not accepted");
    const char *colon = memchr(line.p, ':', line.n);
    out->name = (struct ox_str){line.p, colon != NULL ? (size_t)(colon - line.p) : line.n};
    if (colon == NULL || !is_token(out->name))
        return ox_diag_set(
            diag, OX_E_INVALID, "header", -1,
            "a header line must be a name, a colon and a value, without a space before the colon");
    out->value = trim((struct ox_str){colon + 1, line.n - out->name.n - 1});
    for (size_t i = 0; i < out->value.n; i++) {
        unsigned char c = (unsigned char)out->value.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return ox_diag_set(diag, OX_E_INVALID, "header", -1,
                               "control character 0x%02x in the value of %.*s", c,
                               (int)(out->name.n < 64 ? out->name.n : 64), out->name.p);
    }
    return OX_OK;
}

static ox_err
parse_content_length(struct ox_str value, struct ox__h1_head *out, struct ox_diag *diag)
{
    if (out->content_length >= 0)
        return ox_diag_set(diag, OX_E_INVALID, "content-length", -1, "content-length is given twice");
    int64_t n = 0;
    bool ok = value.n > 0 && value.n <= CONTENT_LENGTH_DIGITS;
    for (size_t i = 0; ok && i < value.n; i++) {
        ok = value.p[i] >= '0' && value.p[i] <= '9';
        n = n * 10 + (value.p[i] - '0');
    }
    if (!ok)
        return ox_diag_set(diag, OX_E_INVALID, "content-length", -1,
                           "content-length must be one decimal number of at most %d digits",
                           CONTENT_LENGTH_DIGITS);
    out->content_length = n;
    return OX_OK;
}

static ox_err
parse_transfer_encoding(struct ox_str value, struct ox__h1_head *out, struct ox_diag *diag)
{
    if (out->chunked)
        return ox_diag_set(diag, OX_E_INVALID, "transfer-encoding", -1, "transfer-encoding is given twice");
    if (!ox_str_caseeq(value, OX_STR("chunked")))
        return ox_diag_set(diag, OX_E_UNIMPLEMENTED, "transfer-encoding", -1,
                           "chunked is the only transfer coding that is understood");
    out->chunked = true;
    return OX_OK;
}

static void
parse_connection(struct ox_str value, struct ox__h1_head *out)
{
    while (value.n > 0) {
        const char *comma = memchr(value.p, ',', value.n);
        size_t n = comma != NULL ? (size_t)(comma - value.p) : value.n;
        struct ox_str option = trim((struct ox_str){value.p, n});
        if (ox_str_caseeq(option, OX_STR("close")))
            out->keep_alive = false;
        else if (ox_str_caseeq(option, OX_STR("keep-alive")) && out->minor == 0)
            out->keep_alive = true;
        n += comma != NULL;
        value.p += n;
        value.n -= n;
    }
}

/* What the server itself needs of the headers. */
static ox_err
interpret(const struct ox_http_header *h, struct ox__h1_head *out, bool *host_seen, struct ox_diag *diag)
{
    if (ox_str_caseeq(h->name, OX_STR("content-length")))
        return parse_content_length(h->value, out, diag);
    if (ox_str_caseeq(h->name, OX_STR("transfer-encoding")))
        return parse_transfer_encoding(h->value, out, diag);
    if (ox_str_caseeq(h->name, OX_STR("connection"))) {
        parse_connection(h->value, out);
    } else if (ox_str_caseeq(h->name, OX_STR("expect"))) {
        out->expect_continue = out->minor == 1 && ox_str_caseeq(h->value, OX_STR("100-continue"));
    } else if (ox_str_caseeq(h->name, OX_STR("host"))) {
        if (*host_seen)
            return ox_diag_set(diag, OX_E_INVALID, "host", -1, "host is given twice");
        *host_seen = true;
        if (out->authority.n == 0) /* an absolute target has precedence (RFC 9112, 3.2.2) */
            out->authority = h->value;
    }
    return OX_OK;
}

ox_err
ox__h1_parse_head(struct ox_str text, ox__h1_slot_fn slot, void *ctx, struct ox__h1_head *out,
                  struct ox_diag *diag)
{
    bool host_seen = false;
    memset(out, 0, sizeof(*out));
    out->content_length = -1;
    ox_err err = parse_request_line(next_line(&text), out, diag);
    if (err != OX_OK)
        return err;
    out->keep_alive = out->minor == 1;
    for (struct ox_str line = next_line(&text); line.n > 0; line = next_line(&text)) {
        struct ox_http_header *h = slot(ctx);
        if (h == NULL)
            return ox_diag_set(diag, OX_E_HEADER_TOO_LARGE, "header", -1, "more headers than allowed");
        err = parse_field(line, h, diag);
        if (err == OX_OK)
            err = interpret(h, out, &host_seen, diag);
        if (err != OX_OK)
            return err;
    }
    if (out->chunked && (out->content_length >= 0 || out->minor == 0))
        return ox_diag_set(diag, OX_E_INVALID, "transfer-encoding", -1,
                           "transfer-encoding excludes content-length and HTTP/1.0");
    if (out->minor == 1 && !host_seen)
        return ox_diag_set(diag, OX_E_INVALID, "host", -1, "HTTP/1.1 requests need a host header");
    return OX_OK;
}

ox_err
ox__h1_parse_fields(struct ox_str text, ox__h1_slot_fn slot, void *ctx, struct ox_diag *diag)
{
    for (struct ox_str line = next_line(&text); line.n > 0; line = next_line(&text)) {
        struct ox_http_header *h = slot(ctx);
        if (h == NULL)
            return ox_diag_set(diag, OX_E_HEADER_TOO_LARGE, "trailer", -1, "more trailers than allowed");
        ox_err err = parse_field(line, h, diag);
        if (err != OX_OK)
            return err;
    }
    return OX_OK;
}

enum { SIZE, EXT, SIZE_LF, DATA, DATA_CR, DATA_LF, FINISHED };

static int
hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of framing. False when it cannot stand here. */
static bool
chunk_byte(struct ox__h1_chunked *c, uint8_t b)
{
    switch (c->state) {
    case SIZE: {
        int v = hex_value(b);
        if (v >= 0) {
            c->left = c->left * 16 + (uint64_t)v;
            return ++c->digits <= CHUNK_SIZE_DIGITS;
        }
        c->state = b == '\r' ? SIZE_LF : EXT;
        return c->digits > 0 && (b == '\r' || b == ';' || b == ' ' || b == '\t');
    }
    case EXT:
        if (b == '\r')
            c->state = SIZE_LF;
        return ++c->overhead <= CHUNK_OVERHEAD_MAX && (b >= 0x20 || b == '\t' || b == '\r') && b != 0x7f;
    case SIZE_LF:
        c->state = c->left > 0 ? DATA : FINISHED;
        c->digits = 0;
        return b == '\n';
    case DATA_CR:
        c->state = DATA_LF;
        return b == '\r';
    case DATA_LF:
        c->state = SIZE;
        return b == '\n';
    default:
        return false;
    }
}

enum ox__h1_chunk_result
ox__h1_chunked_next(struct ox__h1_chunked *c, const uint8_t *data, size_t n, size_t *used, size_t *data_n,
                    struct ox_diag *diag)
{
    for (size_t i = 0; i < n;) {
        if (c->state == DATA) {
            size_t part = c->left < n - i ? (size_t)c->left : n - i;
            c->left -= part;
            if (c->left == 0)
                c->state = DATA_CR;
            *data_n = part;
            *used = i + part;
            return H1_CHUNK_DATA;
        }
        if (!chunk_byte(c, data[i])) {
            ox_diag_set(diag, OX_E_INVALID, "chunk", -1,
                        "malformed chunk: expected a hexadecimal size and CRLF, the data, and CRLF");
            return H1_CHUNK_BAD;
        }
        i++;
        if (c->state == FINISHED) {
            *used = i;
            return H1_CHUNK_TRAILERS;
        }
    }
    *used = n;
    return H1_CHUNK_MORE;
}
