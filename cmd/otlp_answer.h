/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/otlp_answer.h - what an OTLP server's answer says: how many records it refused, and why.
 *
 * Owns:    nothing.
 * Threads: any.
 */
#ifndef OX_OTLP_ANSWER_H
#define OX_OTLP_ANSWER_H

#include "ox/base.h"
#include "ox/buf.h"

struct ox_otlp_answer {
    uint64_t rejected; /* records of a request that was accepted otherwise */
    char why[400];     /* the server's words, cut; empty = it has none */
};

/*
 * status: of HTTP. body: lend; an Export…ServiceResponse after 200, else a google.rpc.Status, as JSON or protobuf
 * (told by the first byte). A body that is neither (a proxy's page) counts as words, without what cannot be printed.
 */
void ox_otlp_answer_read(long status, const struct ox_buf *body, struct ox_otlp_answer *out);

#endif
