/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/sink.h - a request's body on its way, decompressed, into a file in memory.
 *
 * Owns:    the file (memfd) and the decompressor.
 * Threads: the connection's.
 * Bounds:  bytes_max after decompression.
 */
#ifndef OX_ENGINE_SINK_H
#define OX_ENGINE_SINK_H

#include "ox/base.h"

enum ox__coding { OX__CODING_IDENTITY, OX__CODING_DEFLATE_OR_GZIP, OX__CODING_ZSTD };

struct ox__sink {
    int fd; /* /proc/self/fd/<fd> is what ClickHouse reads */
    uint64_t len;
    uint64_t bytes_max;
    enum ox__coding coding;
    void *codec; /* z_stream or ZSTD_DStream */
    bool ended;  /* the compressed text is complete */
    uint8_t *scratch;
};

/* Content-Encoding to coding; MEDIA_TYPE names what is understood. */
OX_MUST_USE ox_err ox__coding_parse(struct ox_str name, enum ox__coding *out, struct ox_diag *diag);
OX_MUST_USE ox_err ox__sink_init(struct ox__sink *sink, enum ox__coding coding, uint64_t bytes_max,
                                 struct ox_diag *diag);
/* TOO_LARGE, DECODE, IO. bytes: lend. */
OX_MUST_USE ox_err ox__sink_write(struct ox__sink *sink, const void *bytes, size_t n, struct ox_diag *diag);
/* DECODE when the compressed text ends too early. */
OX_MUST_USE ox_err ox__sink_finish(struct ox__sink *sink, struct ox_diag *diag);
/* The content as memory, until ox__sink_unmap; an empty one gives n = 0. */
OX_MUST_USE ox_err ox__sink_map(const struct ox__sink *sink, struct ox_str *out);
void ox__sink_unmap(struct ox_str mapped);
/* Also for a sink that was never opened (fd -1). */
void ox__sink_fini(struct ox__sink *sink);

#endif
