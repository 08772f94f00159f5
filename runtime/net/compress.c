/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/compress.c - gzip, deflate and zstd, within limits.
 *
 * Owns:    one inflate, one deflate and two zstd contexts per thread, made when first used and freed when the
 *          thread ends.
 * Threads: any; nothing is shared between threads.
 * Bounds:  the output limit, checked before each growth; ZSTD_WINDOW_LOG_MAX.
 * Fails:   TOO_LARGE, DECODE, NOMEM.
 */
#include "ox/compress.h"

#include <pthread.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

/* 8 MiB, what RFC 9659 lets a decoder insist on: a peer cannot make us keep more. */
#define ZSTD_WINDOW_LOG_MAX 23
/* Fast levels: answers are made once and read once. */
#define GZIP_LEVEL 1
#define ZSTD_LEVEL 1
/* OTLP compresses about sixfold; guessing low costs one growth, guessing high costs budget. */
#define GROWTH_GUESS 4
#define OUT_MIN      4096
/* zlib's windowBits: gzip header expected / zlib header expected / none. */
#define WBITS_GZIP 31
#define WBITS_ZLIB 15
#define WBITS_RAW  (-15)

struct codecs {
    z_stream inflate;
    z_stream deflate;
    bool inflate_ready;
    bool deflate_ready;
    ZSTD_DCtx *dctx;
    ZSTD_CCtx *cctx;
};

static pthread_key_t codecs_key;
static pthread_once_t codecs_once = PTHREAD_ONCE_INIT;

static void
codecs_free(void *arg)
{
    struct codecs *c = arg;
    if (c->inflate_ready)
        inflateEnd(&c->inflate);
    if (c->deflate_ready)
        deflateEnd(&c->deflate);
    ZSTD_freeDCtx(c->dctx);
    ZSTD_freeCCtx(c->cctx);
    free(c);
}

static void
codecs_make_key(void)
{
    int rc = pthread_key_create(&codecs_key, codecs_free);
    OX_UNHANDLED(rc == 0);
}

static struct codecs *
codecs_of_thread(void)
{
    pthread_once(&codecs_once, codecs_make_key);
    struct codecs *c = pthread_getspecific(codecs_key);
    if (c != NULL)
        return c;
    c = calloc(1, sizeof(*c));
    if (c != NULL && pthread_setspecific(codecs_key, c) != 0) {
        free(c);
        return NULL;
    }
    return c;
}

/* The output while it grows. */
struct sink {
    struct ox_body *body;
    size_t limit;
    struct ox_diag *diag;
};

static ox_err
too_large(struct sink *s)
{
    return ox_diag_set(s->diag, OX_E_TOO_LARGE, "body", -1,
                       "decompressed, the body exceeds the limit of %zu bytes", s->limit);
}

/* Room for more output; never beyond limit + 1, the one byte that proves the limit was passed. */
static ox_err
sink_room(struct sink *s)
{
    struct ox_body *b = s->body;
    if (b->len > s->limit)
        return too_large(s);
    if (b->len < b->cap)
        return OX_OK;
    size_t cap = b->cap * 2;
    if (cap > s->limit + 1)
        cap = s->limit + 1;
    if (ox_body_grow(b, cap) != OX_OK)
        return ox_diag_set(s->diag, OX_E_NOMEM, "body", -1,
                           "no room to decompress the body in the memory budget for requests; retry later");
    return OX_OK;
}

static ox_err
damaged(struct sink *s, const char *coding, const char *what)
{
    return ox_diag_set(s->diag, OX_E_DECODE, "body", -1, "the body is not a complete %s stream: %s", coding,
                       what);
}

static ox_err
inflate_begin(struct codecs *c, int wbits)
{
    int rc;
    if (c->inflate_ready) {
        rc = inflateReset2(&c->inflate, wbits);
    } else {
        memset(&c->inflate, 0, sizeof(c->inflate));
        rc = inflateInit2(&c->inflate, wbits);
        c->inflate_ready = rc == Z_OK;
    }
    return rc == Z_OK ? OX_OK : OX_E_NOMEM;
}

/* One member, to its end. */
static ox_err
inflate_member(z_stream *z, struct sink *s, const char *coding)
{
    for (;;) {
        ox_err err = sink_room(s);
        if (err != OX_OK)
            return err;
        size_t room = s->body->cap - s->body->len;
        z->next_out = s->body->data + s->body->len;
        z->avail_out = room < UINT32_MAX ? (uInt)room : UINT32_MAX;
        uInt before = z->avail_out;
        int rc = inflate(z, Z_NO_FLUSH);
        s->body->len += before - z->avail_out;
        if (rc == Z_STREAM_END)
            return s->body->len > s->limit ? too_large(s) : OX_OK;
        if (rc == Z_MEM_ERROR)
            return OX_E_NOMEM;
        if (rc != Z_OK && rc != Z_BUF_ERROR)
            return damaged(s, coding, z->msg != NULL ? z->msg : "it is damaged");
        if (z->avail_in == 0 && z->avail_out != 0)
            return damaged(s, coding, "it ends too early");
    }
}

/* A zlib header (RFC 1950): method 8, window at most 32 KiB, check bits; without one the stream is raw. */
static bool
has_zlib_header(const uint8_t *in, size_t n)
{
    return n >= 2 && (in[0] & 0x0f) == 8 && (in[0] >> 4) <= 7 && (in[0] * 256 + in[1]) % 31 == 0;
}

static ox_err
inflate_all(struct codecs *c, enum ox_encoding encoding, const uint8_t *in, size_t n, struct sink *s)
{
    const char *coding = ox_encoding_name(encoding);
    int wbits = encoding == OX_ENCODING_GZIP ? WBITS_GZIP : has_zlib_header(in, n) ? WBITS_ZLIB : WBITS_RAW;
    if (n > UINT32_MAX)
        return too_large(s);
    if (inflate_begin(c, wbits) != OX_OK)
        return OX_E_NOMEM;
    z_stream *z = &c->inflate;
    z->next_in = (Bytef *)(uintptr_t)in;
    z->avail_in = (uInt)n;
    for (;;) {
        ox_err err = inflate_member(z, s, coding);
        if (err != OX_OK || z->avail_in == 0)
            return err;
        if (encoding != OX_ENCODING_GZIP || *z->next_in != 0x1f)
            return damaged(s, coding, "bytes follow its end");
        if (inflateReset(z) != Z_OK) /* keeps next_in and avail_in */
            return OX_E_NOMEM;
    }
}

static ox_err
zstd_all(struct codecs *c, const uint8_t *in, size_t n, struct sink *s)
{
    if (c->dctx == NULL)
        c->dctx = ZSTD_createDCtx();
    if (c->dctx == NULL || ZSTD_isError(ZSTD_DCtx_reset(c->dctx, ZSTD_reset_session_only)) ||
        ZSTD_isError(ZSTD_DCtx_setParameter(c->dctx, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX)))
        return OX_E_NOMEM;
    ZSTD_inBuffer src = {in, n, 0};
    size_t left = 1; /* 0 exactly at the end of a frame */
    while (src.pos < src.size || left != 0) {
        ox_err err = sink_room(s);
        if (err != OX_OK)
            return err;
        ZSTD_outBuffer dst = {s->body->data + s->body->len, s->body->cap - s->body->len, 0};
        size_t in_before = src.pos;
        left = ZSTD_decompressStream(c->dctx, &dst, &src);
        s->body->len += dst.pos;
        if (ZSTD_isError(left))
            return damaged(s, "zstd", ZSTD_getErrorName(left));
        if (left != 0 && src.pos == src.size && dst.pos < dst.size && src.pos == in_before)
            return damaged(s, "zstd", "it ends too early");
    }
    return s->body->len > s->limit ? too_large(s) : OX_OK;
}

/* What the frame says it will be is refused before a byte is decoded, and is the exact size to allocate. */
static size_t
first_cap(enum ox_encoding encoding, const void *in, size_t n, size_t limit, bool *too_big)
{
    *too_big = false;
    size_t guess = n > limit / GROWTH_GUESS ? limit + 1 : n * GROWTH_GUESS;
    if (encoding == OX_ENCODING_ZSTD) {
        unsigned long long known = ZSTD_getFrameContentSize(in, n);
        if (known != ZSTD_CONTENTSIZE_UNKNOWN && known != ZSTD_CONTENTSIZE_ERROR) {
            *too_big = known > limit;
            /* The header is the peer's word: believed up to what its bytes could hold at a ratio of 1:64. */
            if (known < (unsigned long long)n * 64)
                guess = (size_t)known + 1;
        }
    }
    if (guess < OUT_MIN)
        guess = OUT_MIN;
    return guess > limit + 1 ? limit + 1 : guess;
}

/* The guess was generous; what it took too much of the budget goes back. */
static void
give_slack_back(struct ox_body *b)
{
    size_t slack = b->cap - b->len;
    if (slack <= b->len / 8 || slack < OUT_MIN)
        return;
    uint8_t *data = realloc(b->data, b->len > 0 ? b->len : 1);
    if (data == NULL)
        return;
    b->data = data;
    b->cap = b->len;
    ox_account_give(b->account, slack);
}

ox_err
ox_decompress(enum ox_encoding encoding, const void *in, size_t n, size_t limit, struct ox_account *account,
              struct ox_body **out, struct ox_diag *diag)
{
    bool too_big = false;
    struct sink s = {.limit = limit < SIZE_MAX / 4 ? limit : SIZE_MAX / 4, .diag = diag};
    size_t cap = encoding == OX_ENCODING_IDENTITY ? n : first_cap(encoding, in, n, s.limit, &too_big);
    *out = NULL;
    ox_diag_clear(diag);
    if (too_big || (encoding == OX_ENCODING_IDENTITY && n > s.limit))
        return too_large(&s);
    struct codecs *c = codecs_of_thread();
    s.body = c != NULL ? ox_body_new(cap, account) : NULL;
    if (s.body == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, "body", -1,
                           "no room to decompress the body in the memory budget for requests; retry later");
    ox_err err = OX_OK;
    if (encoding == OX_ENCODING_IDENTITY) {
        if (n > 0)
            memcpy(s.body->data, in, n);
        s.body->len = n;
    } else if (encoding == OX_ENCODING_ZSTD) {
        err = zstd_all(c, in, n, &s);
    } else {
        err = inflate_all(c, encoding, in, n, &s);
    }
    if (err != OX_OK) {
        ox_body_drop(s.body);
        return err;
    }
    give_slack_back(s.body);
    *out = s.body;
    return OX_OK;
}

static ox_err
deflate_append(struct codecs *c, int wbits, const void *in, size_t n, struct ox_buf *out)
{
    /* windowBits cannot be changed by a reset, so only gzip, the usual one, keeps its context. */
    z_stream other;
    bool keep = wbits == WBITS_GZIP;
    z_stream *z = keep ? &c->deflate : &other;
    int rc = Z_OK;
    if (keep && c->deflate_ready) {
        rc = deflateReset(z);
    } else {
        memset(z, 0, sizeof(*z));
        rc = deflateInit2(z, GZIP_LEVEL, Z_DEFLATED, wbits, 8, Z_DEFAULT_STRATEGY);
        c->deflate_ready = c->deflate_ready || (keep && rc == Z_OK);
    }
    size_t bound = rc == Z_OK ? deflateBound(z, n) : 0;
    uint8_t *to = rc == Z_OK && n < UINT32_MAX / 2 ? ox_buf_reserve(out, bound) : NULL;
    if (to != NULL) {
        z->next_in = (Bytef *)(uintptr_t)in;
        z->avail_in = (uInt)n;
        z->next_out = to;
        z->avail_out = (uInt)bound;
        rc = deflate(z, Z_FINISH);
        if (rc == Z_STREAM_END)
            out->len += bound - z->avail_out;
    }
    if (!keep && z->state != NULL)
        deflateEnd(z);
    return to != NULL && rc == Z_STREAM_END ? OX_OK : OX_E_NOMEM;
}

static ox_err
zstd_append(struct codecs *c, const void *in, size_t n, struct ox_buf *out)
{
    if (c->cctx == NULL)
        c->cctx = ZSTD_createCCtx();
    size_t bound = ZSTD_compressBound(n);
    uint8_t *to = c->cctx != NULL ? ox_buf_reserve(out, bound) : NULL;
    if (to == NULL)
        return OX_E_NOMEM;
    size_t len = ZSTD_compressCCtx(c->cctx, to, bound, in, n, ZSTD_LEVEL);
    if (ZSTD_isError(len))
        return OX_E_NOMEM;
    out->len += len;
    return OX_OK;
}

ox_err
ox_compress(enum ox_encoding encoding, const void *in, size_t n, struct ox_buf *out)
{
    struct codecs *c = codecs_of_thread();
    if (c == NULL)
        return OX_E_NOMEM;
    switch (encoding) {
    case OX_ENCODING_IDENTITY:
        ox_buf_append(out, in, n);
        return out->failed ? OX_E_NOMEM : OX_OK;
    case OX_ENCODING_GZIP:
        return deflate_append(c, WBITS_GZIP, in, n, out);
    case OX_ENCODING_DEFLATE:
        return deflate_append(c, WBITS_ZLIB, in, n, out);
    case OX_ENCODING_ZSTD:
        return zstd_append(c, in, n, out);
    }
    return OX_E_INTERNAL;
}
