/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fuzz/fuzz_compress.c - decompression of any bytes, and the way there and back.
 *
 * Goal:    never beyond the limit, never out of the account's balance, round trips return the input.
 * Method:  byte 0 chooses the coding, byte 1 the limit; the rest is decompressed, and compressed and
 *          decompressed.
 */
#include "ox/compress.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct ox_account acc = {.limit_bytes = 1u << 20};
    enum ox_encoding e = (enum ox_encoding)(data[0] % 4);
    size_t limit = (size_t)data[1] << 10;
    struct ox_body *body = NULL;
    struct ox_diag diag;
    ox_err err = ox_decompress(e, data + 2, size - 2, limit, &acc, &body, &diag);
    OX_ASSERT((err == OX_OK) == (body != NULL));
    OX_ASSERT(body == NULL || (body->len <= limit && acc.used_bytes == body->cap));
    OX_ASSERT(err == OX_OK || diag.text[0] != '\0' || err == OX_E_NOMEM);
    ox_body_drop(body);
    OX_ASSERT(acc.used_bytes == 0);

    struct ox_buf packed;
    ox_buf_init(&packed);
    err = ox_compress(e, data, size, &packed);
    OX_ASSERT(err == OX_OK);
    err = ox_decompress(e, packed.data, packed.len, size, NULL, &body, &diag);
    OX_ASSERT(err == OX_OK && body->len == size && memcmp(body->data, data, size) == 0);
    ox_body_drop(body);
    ox_buf_fini(&packed);
    return 0;
}
