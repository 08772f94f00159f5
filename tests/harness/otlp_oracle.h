/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/otlp_oracle.h - does the hot decoder say the same as protobuf-c?
 *
 * Owns:    nothing.
 * Threads: any.
 * Bounds:  recursion by the nesting of the input; meant for requests below TOO_LARGE.
 *
 * Both read the same bytes. Either both refuse, or both accept and every field that the batch has is compared.
 * tests/harness/otlp_wire.c tells beforehand which of the two it must be. Where they differ on purpose:
 * - a varint of more than 64 bits, and AnyValue nested beyond any_depth_max, are refused by the decoder only;
 * - so is a field number 0; protobuf-c refuses it only when it is written in one byte;
 * - protobuf-c takes a bool in any wire type; the decoder refuses all but a varint;
 * - when an embedded message comes in several pieces, protobuf-c forgets numbers of the earlier ones and refuses
 *   two AnyValues without a value. The pieces are therefore put together first; then it merges as it should;
 * - an enum value above 255 or below 0 is 0 in the batch;
 * - strings of protobuf-c end at a zero byte: what stands behind one is not compared;
 * - protobuf-c takes strings that are not UTF-8, ids of any length, lists and texts of any length; the decoder
 *   marks the row. Then lists are compared up to the limit, ids of a wrong length must be zero.
 * A row must be marked when what protobuf-c sees gives a reason, and none may be when nothing in the request does.
 */
#ifndef HARNESS_OTLP_ORACLE_H
#define HARNESS_OTLP_ORACLE_H

#include "ox/otlp.h"

struct otlp_verdict {
    ox_err err;       /* what the decoder said */
    uint32_t records; /* and found */
    uint32_t rejected;
    char why[256]; /* the first disagreement */
};

/* True when they agree. wire: lend. */
bool otlp_oracle_agrees(enum ox_signal signal, struct ox_str wire, const struct ox_decode_limits *limits,
                        struct otlp_verdict *verdict);

#endif
