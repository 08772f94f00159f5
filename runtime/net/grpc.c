/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/grpc.c - gRPC over HTTP/2 for unary calls.
 *
 * Owns:    nothing.
 * Threads: any; replies on the loop of their request.
 * Bounds:  limit_bytes of the caller; GRPC_MESSAGE_MAX bytes of error text.
 * Fails:   see ox/grpc.h.
 * Flow:    gateway -> ox_grpc_request_message -> decoder; gateway -> ox_grpc_reply* -> http_request.c.
 */
#include "ox/grpc.h"

#include <stdio.h>

#define PREFIX_BYTES 5
/* Replies from this size on are worth compressing. */
#define COMPRESS_MIN 1024
/* Longest error text, so that trailers fit every client's header limit (8 KiB is common). */
#define GRPC_MESSAGE_MAX 1024
/* Details longer than this are left out rather than break the client's header limit. */
#define GRPC_DETAILS_MAX 2048
/* What we understand, for grpc-accept-encoding. */
#define ACCEPTED "identity,gzip,zstd,deflate"

bool
ox_grpc_content_type(struct ox_str type)
{
    const char *semi = type.n > 0 ? memchr(type.p, ';', type.n) : NULL;
    if (semi != NULL)
        type.n = (size_t)(semi - type.p);
    while (type.n > 0 && type.p[type.n - 1] == ' ')
        type.n--;
    return ox_str_caseeq(type, OX_STR("application/grpc")) ||
           ox_str_caseeq(type, OX_STR("application/grpc+proto"));
}

ox_err
ox_grpc_message_parse(struct ox_str body, size_t limit, struct ox_grpc_message *out, struct ox_diag *diag)
{
    const uint8_t *p = (const uint8_t *)body.p;
    if (body.n < PREFIX_BYTES)
        return ox_diag_set(diag, OX_E_INVALID, "grpc-frame", 0,
                           "a gRPC message begins with a prefix of 5 bytes, the body has %zu", body.n);
    if (p[0] > 1)
        return ox_diag_set(diag, OX_E_INVALID, "grpc-frame", 0,
                           "the compressed flag must be 0 or 1, it is %u", p[0]);
    size_t n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
    if (n > limit)
        return ox_diag_set(diag, OX_E_TOO_LARGE, "grpc-frame", 1,
                           "the message has %zu bytes, the limit is %zu", n, limit);
    if (n != body.n - PREFIX_BYTES)
        return ox_diag_set(
            diag, OX_E_INVALID, "grpc-frame", 1,
            "the prefix announces %zu bytes and %zu follow; a unary call is exactly one message", n,
            body.n - PREFIX_BYTES);
    *out = (struct ox_grpc_message){.compressed = p[0] == 1, .bytes = {body.p + PREFIX_BYTES, n}};
    return OX_OK;
}

static ox_err
request_encoding(const struct ox_http_request *req, enum ox_encoding *out, struct ox_diag *diag)
{
    struct ox_str type = ox_http_header(req, OX_STR("content-type"));
    if (!ox_grpc_content_type(type))
        return ox_diag_set(
            diag, OX_E_MEDIA_TYPE, "content-type", -1,
            "the content type must be application/grpc or application/grpc+proto, it is \"%.*s\"",
            (int)(type.n < 64 ? type.n : 64), type.n > 0 ? type.p : "");
    struct ox_str coding = ox_http_header(req, OX_STR("grpc-encoding"));
    if (ox_encoding_parse(coding, out, NULL) != OX_OK)
        return ox_diag_set(diag, OX_E_UNIMPLEMENTED, "grpc-encoding", -1,
                           "grpc-encoding \"%.*s\" is not supported; use one of " ACCEPTED,
                           (int)(coding.n < 64 ? coding.n : 64), coding.p);
    return OX_OK;
}

ox_err
ox_grpc_request_message(const struct ox_http_request *req, size_t limit, struct ox_account *account,
                        struct ox_body **body, struct ox_str *message, struct ox_diag *diag)
{
    enum ox_encoding encoding;
    struct ox_grpc_message m;
    *body = NULL;
    ox_err err = request_encoding(req, &encoding, diag);
    if (err == OX_OK)
        err = ox_grpc_message_parse((struct ox_str){(const char *)req->body->data, req->body->len}, limit, &m,
                                    diag);
    if (err != OX_OK)
        return err;
    if (!m.compressed) {
        *body = ox_body_hold(req->body);
        *message = m.bytes;
        return OX_OK;
    }
    if (encoding == OX_ENCODING_IDENTITY)
        return ox_diag_set(diag, OX_E_INVALID, "grpc-frame", 0,
                           "the message is marked as compressed but grpc-encoding names no coding");
    err = ox_decompress(encoding, m.bytes.p, m.bytes.n, limit, account, body, diag);
    if (err == OX_OK)
        *message = (struct ox_str){(const char *)(*body)->data, (*body)->len};
    return err;
}

static int64_t
unit_ns(char unit)
{
    switch (unit) {
    case 'H':
        return 3600 * INT64_C(1000000000);
    case 'M':
        return 60 * INT64_C(1000000000);
    case 'S':
        return INT64_C(1000000000);
    case 'm':
        return 1000000;
    case 'u':
        return 1000;
    case 'n':
        return 1;
    default:
        return 0;
    }
}

ox_err
ox_grpc_timeout_parse(struct ox_str value, int64_t *timeout_ms)
{
    int64_t n = 0;
    if (value.n < 2 || value.n > 9) /* at most eight digits and the unit */
        return OX_E_INVALID;
    for (size_t i = 0; i + 1 < value.n; i++) {
        if (value.p[i] < '0' || value.p[i] > '9')
            return OX_E_INVALID;
        n = n * 10 + (value.p[i] - '0');
    }
    int64_t unit = unit_ns(value.p[value.n - 1]);
    if (unit == 0)
        return OX_E_INVALID;
    if (unit >= 1000000)
        *timeout_ms = n * (unit / 1000000);
    else
        *timeout_ms = (n * unit + 999999) / 1000000;
    if (*timeout_ms > INT64_MAX / 1000000)
        *timeout_ms = INT64_MAX / 1000000;
    return OX_OK;
}

void
ox_grpc_frame(struct ox_buf *out, bool compressed, const void *message, size_t n)
{
    OX_ASSERT(n <= UINT32_MAX);
    uint8_t prefix[PREFIX_BYTES] = {compressed, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
                                    (uint8_t)n};
    ox_buf_append(out, prefix, sizeof(prefix));
    ox_buf_append(out, message, n);
}

void
ox_grpc_message_encode(struct ox_buf *out, struct ox_str text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c >= 0x20 && c <= 0x7e && c != '%') {
            ox_buf_append(out, &c, 1);
        } else {
            char escape[3] = {'%', digits[c >> 4], digits[c & 15]};
            ox_buf_append(out, escape, 3);
        }
    }
}

void
ox_base64_append(struct ox_buf *out, const void *bytes, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = bytes;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16;
        v |= i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0;
        v |= i + 2 < n ? p[i + 2] : 0;
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], digits[v >> 6 & 63], digits[v & 63]};
        ox_buf_append(out, four, n - i >= 3 ? 4 : n - i + 1);
    }
}

void
ox_grpc_reply(struct ox_http_request *req, const void *message, size_t n)
{
    struct ox_http_header headers[] = {
        {OX_STR("content-type"), OX_STR("application/grpc")},
        {OX_STR("grpc-accept-encoding"), OX_STR(ACCEPTED)},
        {OX_STR("grpc-encoding"), OX_STR("gzip")},
    };
    struct ox_http_header trailer = {OX_STR("grpc-status"), OX_STR("0")};
    struct ox_str accept = ox_http_header(req, OX_STR("grpc-accept-encoding"));
    struct ox_buf packed, body;
    ox_buf_init(&packed);
    ox_buf_init(&body);
    bool gzip = n >= COMPRESS_MIN && accept.n > 0 && ox_encoding_accepted(accept, OX_ENCODING_GZIP) &&
                ox_compress(OX_ENCODING_GZIP, message, n, &packed) == OX_OK && packed.len < n;
    ox_grpc_frame(&body, gzip, gzip ? packed.data : message, gzip ? packed.len : n);
    ox_buf_fini(&packed);
    struct ox_http_response resp = {
        .status = 200,
        .headers = headers,
        .headers_len = gzip ? 3 : 2,
        .body = &body,
        .trailers = &trailer,
        .trailers_len = 1,
    };
    ox_http_respond(req, &resp);
}

/* At most GRPC_MESSAGE_MAX bytes, not cut within a UTF-8 character. */
static struct ox_str
shorten(struct ox_str text)
{
    if (text.n <= GRPC_MESSAGE_MAX)
        return text;
    text.n = GRPC_MESSAGE_MAX;
    while (text.n > 0 && ((unsigned char)text.p[text.n] & 0xc0) == 0x80)
        text.n--;
    return text;
}

void
ox_grpc_reply_error(struct ox_http_request *req, int grpc_status, struct ox_str text, struct ox_str details)
{
    char status[12];
    struct ox_buf message, bin;
    ox_buf_init(&message);
    ox_buf_init(&bin);
    snprintf(status, sizeof(status), "%d", grpc_status);
    ox_grpc_message_encode(&message, shorten(text));
    if (details.n <= GRPC_DETAILS_MAX)
        ox_base64_append(&bin, details.p, details.n);
    struct ox_http_header headers[5] = {
        {OX_STR("content-type"), OX_STR("application/grpc")},  {OX_STR("grpc-status"), ox_str_of(status)},
        {OX_STR("grpc-accept-encoding"), OX_STR(ACCEPTED)},    {OX_STR("grpc-message"), ox_buf_str(&message)},
        {OX_STR("grpc-status-details-bin"), ox_buf_str(&bin)},
    };
    /* Trailers-only: one block of headers that also ends the stream. */
    struct ox_http_response resp = {.status = 200, .headers = headers, .headers_len = bin.len > 0 ? 5 : 4};
    ox_http_respond(req, &resp);
    ox_buf_fini(&message);
    ox_buf_fini(&bin);
}
