/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fuzz/fuzz_http1.c - the HTTP/1.1 grammar: any bytes, cut anywhere, and http-parser as the oracle.
 *
 * Goal:    no input reads out of bounds; where it is cut changes nothing; whatever we accept, http-parser
 *          accepts too and reads the same method, number of headers and body length. It may accept more (see
 *          http1_parse.h).
 * Method:  byte 0 chooses the size of the pieces; the rest is the stream of one request.
 */
#include <http_parser.h>
#include <stdlib.h>

#include "runtime/net/http1_parse.h"

#define HEADERS_MAX 200

struct seen {
    bool complete;
    size_t used;
    size_t headers;
    size_t body;
    char method[33];
};

struct slots {
    struct ox_http_header header[HEADERS_MAX];
    size_t n;
};

static struct ox_http_header *
slot(void *ctx)
{
    struct slots *s = ctx;
    return s->n < HEADERS_MAX ? &s->header[s->n++] : NULL;
}

/* The end of a head or trailer section from `at`, in pieces; 0 = none. */
static size_t
section(const uint8_t *data, size_t n, size_t at, size_t piece, bool blank_ends)
{
    struct ox__h1_scan scan = {0};
    while (at < n) {
        size_t used = 0, part = piece < n - at ? piece : n - at;
        enum ox__h1_scan_result r = ox__h1_scan(&scan, data + at, part, &used);
        at += used;
        if (r == H1_SCAN_END || (r == H1_SCAN_BLANK && blank_ends))
            return at;
        if (r != H1_SCAN_MORE)
            return 0;
    }
    return 0;
}

static bool
chunked(const uint8_t *data, size_t n, size_t piece, struct seen *out)
{
    struct ox__h1_chunked c = {0};
    struct ox_diag diag;
    size_t at = out->used;
    while (at < n) {
        size_t used = 0, data_n = 0, part = piece < n - at ? piece : n - at;
        enum ox__h1_chunk_result r = ox__h1_chunked_next(&c, data + at, part, &used, &data_n, &diag);
        at += used;
        if (r == H1_CHUNK_BAD)
            return false;
        if (r == H1_CHUNK_DATA)
            out->body += data_n;
        if (r != H1_CHUNK_TRAILERS)
            continue;
        size_t from = at;
        out->used = section(data, n, at, piece, true);
        if (out->used == 0)
            return false;
        struct slots s = {.n = 0};
        return out->used == from + 2 ||
               ox__h1_parse_fields((struct ox_str){(const char *)data + from, out->used - from}, slot, &s,
                                   &diag) == OX_OK;
    }
    return false;
}

static void
ours(const uint8_t *data, size_t n, size_t piece, struct seen *out)
{
    struct ox__h1_head head;
    struct slots *s = calloc(1, sizeof(*s));
    struct ox_diag diag;
    memset(out, 0, sizeof(*out));
    out->used = section(data, n, 0, piece, false);
    if (s == NULL || out->used == 0 ||
        ox__h1_parse_head((struct ox_str){(const char *)data, out->used}, slot, s, &head, &diag) != OX_OK) {
        free(s);
        return;
    }
    out->headers = s->n;
    memcpy(out->method, head.method.p, head.method.n);
    free(s);
    if (head.chunked) {
        out->complete = chunked(data, n, piece, out);
    } else if (head.content_length <= 0 || (uint64_t)head.content_length <= n - out->used) {
        out->body = head.content_length > 0 ? (size_t)head.content_length : 0;
        out->used += out->body;
        out->complete = true;
    }
}

struct oracle {
    struct seen seen;
};

static int
oracle_field(http_parser *p, const char *at, size_t n)
{
    struct oracle *o = p->data;
    o->seen.headers += (p->flags & F_TRAILING) == 0;
    return 0;
}

static int
oracle_body(http_parser *p, const char *at, size_t n)
{
    ((struct oracle *)p->data)->seen.body += n;
    return 0;
}

static int
oracle_done(http_parser *p)
{
    ((struct oracle *)p->data)->seen.complete = true;
    http_parser_pause(p, 1);
    return 0;
}

/* Methods that http-parser knows; it refuses the others, which HTTP allows. */
static bool
known_method(const char *method)
{
    for (int m = HTTP_DELETE; m <= HTTP_SOURCE; m++) {
        if (strcmp(http_method_str((enum http_method)m), method) == 0)
            return true;
    }
    return false;
}

static void
compare(const uint8_t *data, const struct seen *mine)
{
    struct oracle o = {0};
    http_parser_settings settings;
    http_parser p;
    http_parser_settings_init(&settings);
    settings.on_header_field = oracle_field;
    settings.on_body = oracle_body;
    settings.on_message_complete = oracle_done;
    http_parser_init(&p, HTTP_REQUEST);
    p.data = &o;
    http_parser_execute(&p, &settings, (const char *)data, mine->used);
    /* It knows fewer methods and fewer forms of targets; where it refuses there is nothing to compare. */
    if (!known_method(mine->method) || p.upgrade ||
        (HTTP_PARSER_ERRNO(&p) != HPE_PAUSED && HTTP_PARSER_ERRNO(&p) != HPE_OK))
        return;
    OX_ASSERT(o.seen.complete);
    OX_ASSERT(o.seen.body == mine->body);
    OX_ASSERT(o.seen.headers == mine->headers);
    OX_ASSERT(strcmp(http_method_str((enum http_method)p.method), mine->method) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole, cut;
    if (size < 2)
        return 0;
    ours(data + 1, size - 1, SIZE_MAX, &whole);
    ours(data + 1, size - 1, (size_t)data[0] % 16 + 1, &cut);
    OX_ASSERT(whole.complete == cut.complete);
    if (whole.complete) {
        OX_ASSERT(whole.used == cut.used && whole.body == cut.body && whole.headers == cut.headers);
        compare(data + 1, &whole);
    }
    return 0;
}
