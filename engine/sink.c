/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/sink.c - body bytes into a memfd, through gzip, deflate or zstd.
 *
 * Owns:    one memfd per request; ClickHouse maps it, so it stays untouched until the statement is over.
 * Threads: the connection's.
 * Bounds:  bytes_max of the request; zstd windows up to 8 MiB (RFC 9659).
 * Fails:   OX_E_TOO_LARGE, OX_E_DECODE, OX_E_NOMEM, OX_E_IO, OX_E_MEDIA_TYPE.
 * Flow:    http.c -> here -> statement.c.
 */
#include "engine/sink.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define SCRATCH_BYTES   (128 * 1024)
#define ZSTD_WINDOW_LOG 23
/* Window bits 15, plus 32: recognise zlib and gzip headers. */
#define ZLIB_ANY_HEADER (15 + 32)

ox_err
ox__coding_parse(struct ox_str name, enum ox__coding *out, struct ox_diag *diag)
{
    static const struct {
        const char *name;
        enum ox__coding coding;
    } known[] = {
        {"", OX__CODING_IDENTITY},
        {"identity", OX__CODING_IDENTITY},
        {"gzip", OX__CODING_DEFLATE_OR_GZIP},
        {"x-gzip", OX__CODING_DEFLATE_OR_GZIP},
        {"deflate", OX__CODING_DEFLATE_OR_GZIP},
        {"zstd", OX__CODING_ZSTD},
    };
    for (size_t i = 0; i < OX_COUNT(known); i++) {
        if (ox_str_caseeq(name, ox_str_of(known[i].name))) {
            *out = known[i].coding;
            return OX_OK;
        }
    }
    return ox_diag_set(diag, OX_E_MEDIA_TYPE, "Content-Encoding", -1,
                       "unknown content encoding \"%.*s\": identity, gzip, deflate and zstd are understood",
                       (int)(name.n > 40 ? 40 : name.n), name.p);
}

static ox_err
codec_open(struct ox__sink *sink)
{
    if (sink->coding == OX__CODING_IDENTITY)
        return OX_OK;
    sink->scratch = malloc(SCRATCH_BYTES);
    if (sink->scratch == NULL)
        return OX_E_NOMEM;
    if (sink->coding == OX__CODING_ZSTD) {
        sink->codec = ZSTD_createDStream();
        if (sink->codec == NULL)
            return OX_E_NOMEM;
        ZSTD_DCtx_setParameter(sink->codec, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
        return OX_OK;
    }
    z_stream *z = calloc(1, sizeof(*z));
    if (z != NULL && inflateInit2(z, ZLIB_ANY_HEADER) != Z_OK) {
        free(z);
        z = NULL;
    }
    sink->codec = z;
    return z != NULL ? OX_OK : OX_E_NOMEM;
}

ox_err
ox__sink_init(struct ox__sink *sink, enum ox__coding coding, uint64_t bytes_max, struct ox_diag *diag)
{
    memset(sink, 0, sizeof(*sink));
    sink->coding = coding;
    sink->bytes_max = bytes_max;
    sink->ended = true; /* no text at all is a complete one */
    sink->fd = memfd_create("ox-body", MFD_CLOEXEC);
    if (sink->fd < 0)
        return ox_diag_set(diag, OX_E_IO, "body", -1, "cannot make a file in memory: %s", strerror(errno));
    ox_err err = codec_open(sink);
    if (err != OX_OK)
        return ox_diag_set(diag, err, "body", -1, "no memory for the decompressor");
    return OX_OK;
}

static ox_err
put(struct ox__sink *sink, const uint8_t *p, size_t n, struct ox_diag *diag)
{
    if (n > sink->bytes_max - sink->len)
        return ox_diag_set(diag, OX_E_TOO_LARGE, "body", (int64_t)sink->len,
                           "the body exceeds %llu bytes: send it in several requests",
                           (unsigned long long)sink->bytes_max);
    sink->len += n;
    while (n > 0) {
        ssize_t done = write(sink->fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return ox_diag_set(diag, OX_E_NOMEM, "body", -1, "no memory for the body: %s", strerror(errno));
        p += done;
        n -= (size_t)done;
    }
    return OX_OK;
}

static ox_err
write_zstd(struct ox__sink *sink, const void *bytes, size_t n, struct ox_diag *diag)
{
    ZSTD_inBuffer in = {bytes, n, 0};
    bool more = true; /* output may wait inside although all input is taken */
    while (in.pos < in.size || more) {
        ZSTD_outBuffer out = {sink->scratch, SCRATCH_BYTES, 0};
        size_t left = ZSTD_decompressStream(sink->codec, &out, &in);
        if (ZSTD_isError(left))
            return ox_diag_set(diag, OX_E_DECODE, "body", (int64_t)sink->len, "the zstd body is damaged: %s",
                               ZSTD_getErrorName(left));
        sink->ended = left == 0;
        more = out.pos == out.size;
        ox_err err = put(sink, sink->scratch, out.pos, diag);
        if (err != OX_OK)
            return err;
    }
    return OX_OK;
}

static ox_err
write_zlib(struct ox__sink *sink, const void *bytes, size_t n, struct ox_diag *diag)
{
    z_stream *z = sink->codec;
    z->next_in = (Bytef *)(uintptr_t)bytes;
    z->avail_in = (uInt)n;
    do {
        if (sink->ended && sink->len > 0 && z->avail_in > 0 && inflateReset(z) != Z_OK) /* next member */
            return OX_E_INTERNAL;
        z->next_out = sink->scratch;
        z->avail_out = SCRATCH_BYTES;
        int rc = inflate(z, Z_NO_FLUSH);
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return ox_diag_set(diag, OX_E_DECODE, "body", (int64_t)sink->len,
                               "the compressed body is damaged: %s",
                               z->msg != NULL ? z->msg : "wrong header");
        sink->ended = rc == Z_STREAM_END;
        ox_err err = put(sink, sink->scratch, SCRATCH_BYTES - z->avail_out, diag);
        if (err != OX_OK)
            return err;
    } while (z->avail_in > 0 || z->avail_out == 0);
    return OX_OK;
}

ox_err
ox__sink_write(struct ox__sink *sink, const void *bytes, size_t n, struct ox_diag *diag)
{
    if (n == 0)
        return OX_OK;
    switch (sink->coding) {
    case OX__CODING_ZSTD:
        return write_zstd(sink, bytes, n, diag);
    case OX__CODING_DEFLATE_OR_GZIP:
        return write_zlib(sink, bytes, n, diag);
    default:
        return put(sink, bytes, n, diag);
    }
}

ox_err
ox__sink_finish(struct ox__sink *sink, struct ox_diag *diag)
{
    if (!sink->ended)
        return ox_diag_set(diag, OX_E_DECODE, "body", (int64_t)sink->len,
                           "the compressed body ends too early");
    return OX_OK;
}

ox_err
ox__sink_map(const struct ox__sink *sink, struct ox_str *out)
{
    *out = (struct ox_str){"", 0};
    if (sink->len == 0)
        return OX_OK;
    void *p = mmap(NULL, sink->len, PROT_READ, MAP_SHARED, sink->fd, 0);
    if (p == MAP_FAILED)
        return OX_E_NOMEM;
    *out = (struct ox_str){p, sink->len};
    return OX_OK;
}

void
ox__sink_unmap(struct ox_str mapped)
{
    if (mapped.n != 0)
        munmap((void *)(uintptr_t)mapped.p, mapped.n);
}

void
ox__sink_fini(struct ox__sink *sink)
{
    if (sink->fd >= 0)
        close(sink->fd);
    sink->fd = -1;
    if (sink->coding == OX__CODING_ZSTD) {
        ZSTD_freeDStream(sink->codec);
    } else if (sink->codec != NULL) {
        inflateEnd(sink->codec);
        free(sink->codec);
    }
    sink->codec = NULL;
    free(sink->scratch);
    sink->scratch = NULL;
}
