/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/batch_wire.h - a generated batch as the OTLP request that an SDK would have sent.
 */
#ifndef BENCH_BATCH_WIRE_H
#define BENCH_BATCH_WIRE_H

#include "ox/batch.h"
#include "ox/buf.h"

/* Replaces the content of `out` by the protobuf wire of the batch's Export…ServiceRequest. */
void batch_wire(const struct ox_batch *batch, struct ox_buf *out);

#endif
