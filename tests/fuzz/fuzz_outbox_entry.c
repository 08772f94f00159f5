/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fuzz/fuzz_outbox_entry.c - any bytes as an outbox entry: refused, or decoded to what builds an equal entry.
 */
#include <stdlib.h>

#include "ox/outbox_entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
must(bool holds)
{
    if (!holds)
        abort();
}

static void
build_again(const struct ox_outbox_entry *e)
{
    struct ox_outbox_builder b;
    struct ox_outbox_entry again;
    struct ox_buf buf;
    const struct iovec *iov;
    int n;
    ox_buf_init(&buf);
    ox_outbox_builder_init(&b, e->kind);
    for (uint32_t i = 0; i < e->n_blocks; i++)
        must(ox_outbox_add_block(&b, &e->blocks[i]) == OX_OK);
    for (uint32_t i = 0; i < e->n_dispositions; i++)
        must(ox_outbox_add_disposition(&b, e->dispositions[i].wal_seq, e->dispositions[i].from,
                                       e->dispositions[i].to,
                                       (enum ox_disposition)e->dispositions[i].how) == OX_OK);
    for (uint32_t i = 0; i < e->n_stored; i++)
        must(ox_outbox_add_stored(&b, e->stored[i]) == OX_OK);
    must(ox_outbox_builder_finish(&b, &iov, &n, NULL) == OX_OK);
    for (int i = 0; i < n; i++)
        ox_buf_append(&buf, iov[i].iov_base, iov[i].iov_len);
    must(ox_outbox_entry_decode(ox_buf_str(&buf), &again, NULL) == OX_OK);
    must(again.kind == e->kind && again.n_blocks == e->n_blocks && again.n_stored == e->n_stored);
    must(again.n_dispositions <= e->n_dispositions);
    for (uint32_t i = 0; i < e->n_blocks; i++)
        must(ox_str_eq(again.blocks[i].bytes, e->blocks[i].bytes) &&
             again.blocks[i].rows == e->blocks[i].rows);
    ox_outbox_entry_fini(&again);
    ox_outbox_builder_fini(&b);
    ox_buf_fini(&buf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct ox_outbox_entry e;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    if (ox_outbox_entry_decode((struct ox_str){(const char *)data, n}, &e, &diag) != OX_OK) {
        must(diag.text[0] != '\0');
        return 0;
    }
    build_again(&e);
    ox_outbox_entry_fini(&e);
    return 0;
}
