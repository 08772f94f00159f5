/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/otlp.h - OTLP in and out: wire to batch, JSON to wire, wire to JSON, replies.
 *
 * Owns:    nothing between calls; every function is pure but for the memory it is given.
 * Threads: any; a batch or buffer belongs to one thread at a time.
 * Bounds:  struct ox_decode_limits.
 * Fails:   OX_E_DECODE, OX_E_TOO_DEEP, OX_E_TOO_LARGE, OX_E_NOMEM; bad single records are marked, not failed.
 * Flow:    gateway -> (ox_otlp_from_json) -> ox_otlp_decode -> policies/validate -> WAL; replay ->
 *          ox_otlp_decode.
 */
#ifndef OX_OTLP_H
#define OX_OTLP_H

#include "ox/base.h"
#include "ox/batch.h"
#include "ox/buf.h"

/* What one request may cost. A limit "per record" marks the record (OX_REJECT_ATTRIBUTES, and
 * OX_REJECT_HISTOGRAM for buckets), a limit of the request fails it. 0 is not "without limit". */
struct ox_decode_limits {
    uint32_t records_max;     /* spans, logs or points in a request: TOO_LARGE */
    uint64_t batch_bytes_max; /* memory of the batch's arrays: TOO_LARGE */
    uint32_t any_depth_max;   /* AnyValue inside AnyValue; a scalar has depth 1: TOO_DEEP (at most 64) */
    uint32_t
        attrs_per_record_max; /* attributes of a span, event, link, log, point, exemplar, resource, scope */
    uint32_t key_bytes_max;   /* of an attribute's key */
    uint32_t value_bytes_max; /* of an attribute's value (string, bytes, or wire size of a nested one) */
    uint32_t text_bytes_max;  /* names, descriptions, trace state, status message */
    uint32_t log_body_bytes_max; /* LogRecord.body */
    uint32_t events_per_span_max;
    uint32_t links_per_span_max;
    uint32_t exemplars_per_point_max;
    uint32_t buckets_per_point_max; /* buckets or quantiles */
};

/* Generous defaults; each can be changed by configuration. */
void ox_decode_limits_default(struct ox_decode_limits *limits);

/*
 * Decodes protobuf wire bytes of an Export{Trace,Logs,Metrics}ServiceRequest into `out`.
 * body:   lend; on OX_OK the batch holds a reference of its own, and the body must not change any more.
 * out:    lend; must be empty (new or reset). Afterwards: signal, body, n_records, n_rejected and the rows;
 * tenant, wal_seq and received_ns are left to the caller. On failure it is empty again. Rows that break a
 * rule of the encoding (UTF-8, length of an id, a limit per record) stand in their array with `reject` set;
 * policies/validate.c judges the meaning of the others. A resource, scope or metric that breaks a rule marks
 * all its rows. Unknown fields are skipped; packed and unpacked repeated numbers are read; of repeated
 * singular fields the last one wins and embedded messages merge; where a oneof is set twice the last one
 * wins. DECODE: not protobuf (the diag has the byte offset). TOO_DEEP, TOO_LARGE: see limits. NOMEM.
 */
OX_MUST_USE ox_err ox_otlp_decode(enum ox_signal signal, struct ox_body *body,
                                  const struct ox_decode_limits *limits, struct ox_batch *out,
                                  struct ox_diag *diag);

/*
 * OTLP/JSON to protobuf wire: hex ids, lowerCamelCase or original names, enums as numbers or names, 64-bit
 * integers as strings or numbers (exact), unknown fields and nulls ignored. json:    lend. account: lend, may
 * be NULL: charged for *body. body:    out: a new body with one reference, the caller's. DECODE with the path
 * of the field, TOO_DEEP, TOO_LARGE (batch_bytes_max bounds the wire bytes), NOMEM.
 */
OX_MUST_USE ox_err ox_otlp_from_json(enum ox_signal signal, struct ox_str json,
                                     const struct ox_decode_limits *limits, struct ox_account *account,
                                     struct ox_body **body, struct ox_diag *diag);

/* Protobuf wire of an Export…ServiceRequest to OTLP/JSON, appended to `out`. Bytes in a string field that are
 * not UTF-8 become U+FFFD. DECODE, TOO_DEEP, NOMEM. */
OX_MUST_USE ox_err ox_otlp_to_json(enum ox_signal signal, struct ox_str wire, struct ox_buf *out,
                                   struct ox_diag *diag);

/* One row of the batch as a complete Export…ServiceRequest with its resource and scope (and metric): protobuf
 * wire appended to `out`. `row` indexes spans, logs or points. NOMEM. */
OX_MUST_USE ox_err ox_otlp_row_to_wire(const struct ox_batch *batch, uint32_t row, struct ox_buf *out);

/* The encoding of a request, which is also that of its reply. */
enum ox_otlp_encoding { OX_OTLP_PROTOBUF, OX_OTLP_JSON };

/* Appends an Export…ServiceResponse. rejected > 0 or a message adds partial_success. message: lend, may be
 * empty. Out of memory shows as out->failed. */
void ox_otlp_response(enum ox_otlp_encoding enc, enum ox_signal signal, uint64_t rejected,
                      struct ox_str message, struct ox_buf *out);

/* Appends a google.rpc.Status. retry_after_ms > 0 adds a google.rpc.RetryInfo detail. Protobuf is also what
 * the gRPC trailer grpc-status-details-bin carries (after base64). Out of memory shows as out->failed. */
void ox_otlp_status(enum ox_otlp_encoding enc, int grpc_code, struct ox_str message, uint32_t retry_after_ms,
                    struct ox_buf *out);

/* True when the bytes are UTF-8 (shortest forms only, no surrogates). */
bool ox_utf8_valid(struct ox_str s);
/* Appends `s` as a JSON string with its quotes; what is not UTF-8 becomes U+FFFD. */
void ox_json_string(struct ox_buf *out, struct ox_str s);
/* Appends base64 with padding, RFC 4648 alphabet. */
void ox_base64_encode(struct ox_buf *out, struct ox_str bytes);
/* Appends the decoded bytes. Standard or URL-safe alphabet, padding optional. INVALID; `out` then ends where
 * it did. */
OX_MUST_USE ox_err ox_base64_decode(struct ox_buf *out, struct ox_str text);

#endif
