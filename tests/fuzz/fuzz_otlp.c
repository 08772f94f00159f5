/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fuzz/fuzz_otlp.c - the hot decoder against protobuf-c: the first byte selects the signal, the rest is the
 * request.
 *
 * Every other input is decoded under limits small enough to be met.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/otlp_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
limits_small(struct ox_decode_limits *limits)
{
    ox_decode_limits_default(limits);
    limits->any_depth_max = 3;
    limits->attrs_per_record_max = 2;
    limits->key_bytes_max = limits->value_bytes_max = 12;
    limits->text_bytes_max = limits->log_body_bytes_max = 16;
    limits->events_per_span_max = limits->links_per_span_max = limits->exemplars_per_point_max = 1;
    limits->buckets_per_point_max = 3;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct ox_decode_limits limits;
    struct otlp_verdict verdict;
    if (n == 0)
        return 0;
    ox_decode_limits_default(&limits);
    if (data[0] >= 128)
        limits_small(&limits);
    if (!otlp_oracle_agrees((enum ox_signal)(data[0] % OX_SIGNAL__COUNT),
                            (struct ox_str){(const char *)data + 1, n - 1}, &limits, &verdict)) {
        fprintf(stderr, "otlp: %s\n", verdict.why);
        abort();
    }
    return 0;
}
