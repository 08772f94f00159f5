/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    compressing changes nothing of a pack's blocks, and what stands beside them says how long they are.
 * Method:  the same random batch packed plain and compressed; each compressed block is unpacked into exactly the length
 *          that the pack names.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <zstd.h>

#include "actors/writer/pack.h"
#include "ox/encode.h"
#include "tests/harness/random_batch.h"

static const struct random_batch options = {.seed = 11,
                                            .rows = 500,
                                            .from_ns = 1795168800000000000ull,
                                            .span_ns = 1000,
                                            .plain = true,
                                            .words_max = 300};

static void
pack(struct ox_pack *p, enum ox_signal signal, const struct ox_batch *batch, int level)
{
    uint32_t partition, next;
    const struct ox_rows rows = {.count = ox_encode_rows(batch)};
    struct ox_series_cache *cache = signal == OX_SIGNAL_METRICS ? ox_series_cache_new(1024) : NULL;
    cr_assert_eq(ox_encode_partitions(batch, &partition, 1), 1);
    *p = (struct ox_pack){.signal = signal, .level = level, .block_id = 7};
    p->builder = ox_builder_new(signal, partition, cache);
    cr_assert_eq(ox_builder_add(p->builder, batch, &rows, &next), OX_OK);
    ox__pack_job(p);
    cr_assert_eq(p->err, OX_OK);
    ox_builder_free(p->builder);
    ox_series_cache_free(cache);
}

static void
unpack(struct ox_pack *p)
{
    for (size_t i = 0; i < OX_ENCODED_BLOCKS_MAX; i++)
        ox_buf_fini(&p->packed[i]);
    ox_encoded_fini(&p->encoded);
}

static void
check(enum ox_signal signal, size_t blocks)
{
    struct ox_batch *batch = random_batch_new(signal, &options);
    struct ox_pack plain, small;
    pack(&plain, signal, batch, 0);
    pack(&small, signal, batch, -3);
    cr_assert_eq(plain.encoded.n_blocks, blocks);
    cr_assert_eq(small.encoded.n_blocks, blocks);
    for (size_t i = 0; i < blocks; i++) {
        const struct ox_buf *want = &plain.encoded.blocks[i].native;
        cr_assert_eq(plain.raw_len[i], want->len);
        cr_assert_eq(small.raw_len[i], want->len, "block %zu: %llu bytes, not %zu", i,
                     (unsigned long long)small.raw_len[i], want->len);
        uint8_t *room = malloc(want->len);
        cr_assert_eq(ZSTD_decompress(room, want->len, small.packed[i].data, small.packed[i].len), want->len);
        cr_assert_eq(memcmp(room, want->data, want->len), 0);
        free(room);
    }
    unpack(&plain);
    unpack(&small);
    ox_batch_free(batch);
}

Test(pack, the_block_of_spans)
{
    check(OX_SIGNAL_TRACES, 2);
}

Test(pack, the_four_blocks_of_points)
{
    check(OX_SIGNAL_METRICS, 4);
}
