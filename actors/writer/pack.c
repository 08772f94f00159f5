/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/pack.c - columns to Native bytes, compressed on the way.
 *
 * Owns:    the compressor while a pack is made.
 * Threads: dirty threads.
 * Bounds:  PIECE_BYTES of output at a time; the uncompressed block never exists as a whole.
 * Fails:   pack->err.
 * Flow:    writer_actor (full or old block) -> here -> outbox.
 */
#include "actors/writer/pack.h"

#include <zstd.h>

#define PIECE_BYTES (128u << 10) /* what the compressor gives at a time, ZSTD_CStreamOutSize */

struct packing {
    struct ox_pack *pack;
    ZSTD_CCtx *zstd;
    size_t block; /* whose frame is open */
};

static void
feed(struct packing *p, const void *bytes, size_t n, ZSTD_EndDirective end)
{
    struct ox_buf *out = &p->pack->packed[p->block];
    ZSTD_inBuffer in = {bytes, n, 0};
    size_t left = 1;
    while (p->pack->err == OX_OK && (in.pos < in.size || (end == ZSTD_e_end && left != 0))) {
        uint8_t *to = ox_buf_reserve(out, PIECE_BYTES);
        if (to == NULL) {
            p->pack->err = OX_E_NOMEM;
            return;
        }
        ZSTD_outBuffer room = {to, PIECE_BYTES, 0};
        left = ZSTD_compressStream2(p->zstd, &room, &in, end);
        if (ZSTD_isError(left))
            p->pack->err = OX_E_INTERNAL;
        else
            out->len += room.pos;
    }
}

/* Blocks come one after the other: a new one ends the frame of the one before. */
static void
take_piece(void *arg, size_t block, const void *bytes, size_t n)
{
    struct packing *p = arg;
    if (block != p->block) {
        feed(p, NULL, 0, ZSTD_e_end);
        p->block = block;
    }
    p->pack->raw_len[block] += n;
    feed(p, bytes, n, ZSTD_e_continue);
}

static void
pack_compressed(struct ox_pack *pack)
{
    struct packing p = {.pack = pack, .zstd = ZSTD_createCCtx()};
    if (p.zstd == NULL ||
        ZSTD_isError(ZSTD_CCtx_setParameter(p.zstd, ZSTD_c_compressionLevel, pack->level))) {
        pack->err = p.zstd == NULL ? OX_E_NOMEM : OX_E_INTERNAL;
    } else {
        ox_err err = ox_builder_finish_to(pack->builder, pack->block_id, &pack->encoded, take_piece, &p);
        if (err == OX_OK && pack->encoded.n_blocks > 0)
            feed(&p, NULL, 0, ZSTD_e_end);
        if (err != OX_OK)
            pack->err = err;
    }
    ZSTD_freeCCtx(p.zstd);
}

void
ox__pack_job(void *arg)
{
    struct ox_pack *pack = arg;
    pack->err = OX_OK;
    for (size_t i = 0; i < OX_ENCODED_BLOCKS_MAX; i++) {
        ox_buf_reset(&pack->packed[i]);
        pack->raw_len[i] = 0;
    }
    if (pack->level != 0) {
        pack_compressed(pack);
        return;
    }
    pack->err = ox_builder_finish(pack->builder, pack->block_id, &pack->encoded);
    for (size_t i = 0; i < pack->encoded.n_blocks; i++)
        pack->raw_len[i] = pack->encoded.blocks[i].native.len;
}
