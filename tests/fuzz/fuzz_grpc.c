/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fuzz/fuzz_grpc.c - gRPC framing, time-outs, addresses and queries: small parsers of short texts.
 *
 * Goal:    no input reads out of bounds; a frame that is accepted is framed back to the same bytes.
 * Method:  the input is handed to each parser.
 */
#include "ox/grpc.h"
#include "ox/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
frames(struct ox_str in)
{
    struct ox_grpc_message m;
    struct ox_diag diag;
    struct ox_buf b;
    if (ox_grpc_message_parse(in, 1u << 20, &m, &diag) != OX_OK)
        return;
    ox_buf_init(&b);
    ox_grpc_frame(&b, m.compressed, m.bytes.p, m.bytes.n);
    OX_ASSERT(ox_str_eq(ox_buf_str(&b), in));
    ox_buf_fini(&b);
}

static void
queries(struct ox_str in)
{
    struct ox_query_iter it = {in};
    struct ox_str k, v;
    char out[64];
    while (ox_query_next(&it, &k, &v)) {
        ox_err err = ox_query_get(in, k, out, sizeof(out));
        OX_ASSERT(err != OX_OK || memchr(out, 0, sizeof(out)) != NULL);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ox_str in = {(const char *)data, size};
    struct ox_net_addr addr;
    struct ox_diag diag;
    enum ox_encoding e;
    int64_t ms;
    char text[OX_NET_ADDR_MAX];
    frames(in);
    queries(in);
    if (ox_grpc_timeout_parse(in, &ms) == OX_OK)
        OX_ASSERT(ms >= 0);
    if (ox_net_addr_parse(in, &addr, &diag) == OX_OK)
        ox_net_addr_format(&addr, text);
    (void)ox_net_is_loopback_text(in);
    (void)ox_encoding_parse(in, &e, &diag);
    (void)ox_encoding_accepted(in, OX_ENCODING_GZIP);
    (void)ox_grpc_content_type(in);
    return 0;
}
