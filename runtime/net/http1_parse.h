/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/http1_parse.h - the grammar of HTTP/1.1 requests, strictly: pure functions over bytes.
 *
 * Owns:    nothing.
 * Threads: any.
 * Fails:   OX_E_INVALID (400), OX_E_HEADER_TOO_LARGE (431), OX_E_UNIMPLEMENTED (501).
 *
 * Why not http-parser: the library as Debian builds it (HTTP_PARSER_STRICT=0) takes "\n" for "\r\n", folded
 * headers, spaces before the colon and any two bytes after a chunk. Each of these is a way to smuggle a
 * request
 * past a proxy in front of us. It stays the oracle in the tests: what both accept, both must read alike.
 */
#ifndef OX_NET_HTTP1_PARSE_H
#define OX_NET_HTTP1_PARSE_H

#include "ox/http.h"

/* Looks for the empty line that ends a head or trailer section, in pieces of any size. Zero it to begin. */
struct ox__h1_scan {
    size_t line_len; /* bytes of the current line so far */
    size_t lines;    /* complete lines before it */
    bool cr;         /* the last byte was CR */
};
enum ox__h1_scan_result {
    H1_SCAN_MORE,  /* all bytes belong to the section, it goes on */
    H1_SCAN_END,   /* *used bytes complete it */
    H1_SCAN_BLANK, /* the section's first line is empty: *used bytes to skip */
    H1_SCAN_BAD    /* a line ends in LF without CR */
};
enum ox__h1_scan_result ox__h1_scan(struct ox__h1_scan *s, const uint8_t *data, size_t n, size_t *used);

struct ox__h1_head {
    struct ox_str method;
    struct ox_str path;
    struct ox_str query;
    struct ox_str authority;
    int minor;              /* HTTP/1.minor */
    int64_t content_length; /* -1 = none */
    bool chunked;
    bool keep_alive;
    bool expect_continue;
};

/* Gives the parser room for one more header; NULL = no more are allowed. */
typedef struct ox_http_header *(*ox__h1_slot_fn)(void *ctx);

/* Reads a whole head, from the request line to the empty line included (as found by ox__h1_scan).
 * Everything in
 * `out` and in the slots are views into `text`. */
OX_MUST_USE ox_err ox__h1_parse_head(struct ox_str text, ox__h1_slot_fn slot, void *ctx,
                                     struct ox__h1_head *out, struct ox_diag *diag);
/* Reads header lines up to the empty line (trailers). */
OX_MUST_USE ox_err ox__h1_parse_fields(struct ox_str text, ox__h1_slot_fn slot, void *ctx,
                                       struct ox_diag *diag);

/* The chunked coding, in pieces of any size. Zero it to begin. */
struct ox__h1_chunked {
    int state;
    int digits;
    uint64_t left;
    size_t overhead; /* bytes of extensions so far, all chunks together */
};
enum ox__h1_chunk_result {
    H1_CHUNK_MORE,     /* everything was used, nothing to hand on */
    H1_CHUNK_DATA,     /* *data_n bytes at data + *used - *data_n are body */
    H1_CHUNK_TRAILERS, /* the last chunk has been seen: a trailer section follows */
    H1_CHUNK_BAD
};
enum ox__h1_chunk_result ox__h1_chunked_next(struct ox__h1_chunked *c, const uint8_t *data, size_t n,
                                             size_t *used, size_t *data_n, struct ox_diag *diag);

#endif
