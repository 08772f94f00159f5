/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fuzz/fuzz_wal_entry.c - any bytes as a log entry: refused, or decoded to what encodes to an equal entry.
 */
#include <stdlib.h>

#include "ox/wal_entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
must(bool holds)
{
    if (!holds)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct ox_wal_entry e, again;
    struct ox_diag diag;
    struct ox_buf buf;
    ox_diag_clear(&diag);
    if (ox_wal_entry_decode((struct ox_str){(const char *)data, n}, &e, &diag) != OX_OK) {
        must(diag.text[0] != '\0');
        return 0;
    }
    ox_buf_init(&buf);
    must(ox_wal_entry_encode(&e, &buf) == OX_OK);
    ox_buf_append_str(&buf, e.body);
    must(ox_wal_entry_decode(ox_buf_str(&buf), &again, NULL) == OX_OK);
    must(again.n_records == e.n_records && again.rejected.n == e.rejected.n && ox_str_eq(again.body, e.body));
    must(memcmp(ox_ranges_at(&again.rejected), ox_ranges_at(&e.rejected),
                e.rejected.n * sizeof(struct ox_range)) == 0);
    ox_wal_entry_fini(&again);
    ox_wal_entry_fini(&e);
    ox_buf_fini(&buf);
    return 0;
}
