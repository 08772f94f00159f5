/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    reading a tracestate reads nothing behind it; what is written again reads as the same but for the threshold.
 * Method:  the input's first 8 bytes are the new threshold, the rest the text, in memory of exactly its size.
 */
#include <stdlib.h>

#include "ox/tracestate.h"

static void
must(bool ok)
{
    if (!ok)
        abort();
}

static void
write_again(const struct ox_tracestate *was, uint64_t threshold)
{
    char out[16384], twice[16384];
    size_t n, m;
    ox_err err = ox_tracestate_write(was, threshold, out, sizeof(out), &n);
    if (err != OX_OK) {
        must(err == OX_E_TOO_LARGE || was->fault == OX_TRACESTATE_BAD_LIST ||
             was->fault == OX_TRACESTATE_BAD_OT);
        return;
    }
    struct ox_tracestate is;
    ox_tracestate_read((struct ox_str){out, n}, &is);
    must(is.fault == OX_TRACESTATE_OK || is.fault == OX_TRACESTATE_BAD_RV);
    must(is.has_rv == was->has_rv && is.rv == was->rv);
    must(is.fault == OX_TRACESTATE_BAD_RV || is.has_th == (threshold < OX_THRESHOLD_NEVER));
    must(!is.has_th || is.th == threshold);
    must(ox_tracestate_write(&is, threshold, twice, sizeof(twice), &m) == OX_OK);
    must(m == n && memcmp(out, twice, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t id[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 0x80};
    struct ox_tracestate state;
    uint64_t threshold;
    if (size < sizeof(threshold) || size > 4096)
        return 0;
    memcpy(&threshold, data, sizeof(threshold));
    threshold %= OX_THRESHOLD_NEVER + 1;
    size -= sizeof(threshold);
    char *exact = malloc(size > 0 ? size : 1);
    if (exact == NULL)
        return 0;
    memcpy(exact, data + sizeof(threshold), size);
    ox_tracestate_read((struct ox_str){exact, size}, &state);
    must(state.fault < OX_TRACESTATE__COUNT && state.members <= OX_TRACESTATE_MEMBERS);
    must(!state.has_th || state.th < OX_THRESHOLD_NEVER);
    write_again(&state, threshold);
    uint64_t r = ox_tracestate_check(&state, id);
    must(!state.has_th || r >= state.th);
    free(exact);
    return 0;
}
