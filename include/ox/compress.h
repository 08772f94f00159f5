/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/compress.h - content codings: gzip, deflate, zstd.
 *
 * Owns:    one set of reusable codec contexts per thread, freed with the thread.
 * Threads: any; each thread has its own contexts.
 * Bounds:  output never grows beyond the limit given; zstd windows beyond 8 MiB are refused (RFC 9659).
 */
#ifndef OX_COMPRESS_H
#define OX_COMPRESS_H

#include "ox/base.h"
#include "ox/buf.h"

enum ox_encoding {
    OX_ENCODING_IDENTITY,
    OX_ENCODING_GZIP,
    OX_ENCODING_DEFLATE, /* zlib format (RFC 1950); a raw deflate stream is taken as well */
    OX_ENCODING_ZSTD
};

/* Reads a Content-Encoding or grpc-encoding value: "", "identity", "gzip", "x-gzip", "deflate", "zstd", any
 * case. MEDIA_TYPE for everything else, also for lists of several codings; diag says which are understood. */
OX_MUST_USE ox_err ox_encoding_parse(struct ox_str value, enum ox_encoding *out, struct ox_diag *diag);
/* "identity", "gzip", "deflate", "zstd". */
const char *ox_encoding_name(enum ox_encoding encoding);
/* Whether an Accept-Encoding value allows `encoding` (q=0 forbids, "*" stands for every coding not named). */
bool ox_encoding_accepted(struct ox_str accept_encoding, enum ox_encoding encoding);

/*
 * Decompresses `in` (lend) into a new body with one reference, charged to `account` (NULL = none) as it
 * grows. TOO_LARGE   the output would exceed limit_bytes: found while it grows, never after DECODE      not
 * of this coding, damaged, ends too early, or bytes follow the end NOMEM       account or memory Several gzip
 * members or zstd frames in a row are one text. IDENTITY copies.
 */
OX_MUST_USE ox_err ox_decompress(enum ox_encoding encoding, const void *in, size_t in_len, size_t limit_bytes,
                                 struct ox_account *account, struct ox_body **out, struct ox_diag *diag);
/* Compresses `in` (lend) with a fast level and appends to `out`. NOMEM; on failure out->len is as before. */
OX_MUST_USE ox_err ox_compress(enum ox_encoding encoding, const void *in, size_t in_len, struct ox_buf *out);

#endif
