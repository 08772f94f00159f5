/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/gateway/intake.c - one ingest request from received bytes to a judged batch.
 *
 * Owns:    struct ox_intake and what hangs on it, but not the HTTP request.
 * Threads: any; one at a time.
 * Bounds:  gateway.body_max after decompression too; struct ox_decode_limits.
 * Fails:   intake->err: MEDIA_TYPE, TOO_LARGE, DECODE, TOO_DEEP, NOMEM ...
 * Flow:    gateway_actor -> here (inline, or on a dirty thread when heavy) -> wal.
 */
#include <stdlib.h>

#include "actors/gateway/gateway_internal.h"
#include "ox/cardinality.h"
#include "ox/compress.h"
#include "ox/dead_letter.h"
#include "ox/grpc.h"
#include "ox/metric.h"
#include "ox/quotas.h"
#include "ox/redact.h"
#include "ox/wal_entry.h"

/* Above these a request is prepared on a dirty thread: some 5 ms of one core each. */
#define HEAVY_PLAIN_BYTES      (2u << 20)
#define HEAVY_COMPRESSED_BYTES (256u << 10)
#define HEAVY_JSON_BYTES       (128u << 10)

void
ox__intake_free(void *arg)
{
    struct ox_intake *in = arg;
    if (in == NULL)
        return;
    ox_append_free(in->append);
    ox_permit_give(&in->permit);
    ox_backlog_give(in->node->tenants, in->tenant, in->reserved);
    ox_body_drop(in->body);
    ox_batch_free(in->batch);
    ox_buf_fini(&in->dead_letters);
    free(in);
}

static bool
is_compressed(const struct ox_http_request *req)
{
    return ox_http_header(req, OX_STR("content-encoding")).n > 0 ||
           ox_http_header(req, OX_STR("grpc-encoding")).n > 0;
}

bool
ox__intake_is_heavy(const struct ox_intake *in)
{
    size_t n = in->req->body->len;
    if (in->form == OX_FORM_JSON)
        return n > HEAVY_JSON_BYTES;
    return n > (is_compressed(in->req) ? HEAVY_COMPRESSED_BYTES : HEAVY_PLAIN_BYTES);
}

/* The body without its content coding: the request's own, held, when it has none. */
static ox_err
decoded_body(struct ox_intake *in, struct ox_body **out)
{
    struct ox_http_request *req = in->req;
    enum ox_encoding encoding;
    ox_err err = ox_encoding_parse(ox_http_header(req, OX_STR("content-encoding")), &encoding, &in->diag);
    if (err != OX_OK)
        return err;
    if (encoding == OX_ENCODING_IDENTITY) {
        *out = ox_body_hold(req->body);
        return OX_OK;
    }
    return ox_decompress(encoding, req->body->data, req->body->len, in->body_bytes_max, &in->tenant->bodies,
                         out, &in->diag);
}

/* A gRPC message that shares the request's body is a slice of it; the decoder wants a body of its own. */
static ox_err
grpc_body(struct ox_intake *in, struct ox_body **out)
{
    struct ox_body *body = NULL;
    struct ox_str message;
    ox_err err =
        ox_grpc_request_message(in->req, in->body_bytes_max, &in->tenant->bodies, &body, &message, &in->diag);
    if (err != OX_OK)
        return err;
    if ((const uint8_t *)message.p == body->data && message.n == body->len) {
        *out = body;
        return OX_OK;
    }
    *out = ox_body_new(message.n, &in->tenant->bodies);
    if (*out != NULL) {
        memcpy((*out)->data, message.p, message.n);
        (*out)->len = message.n;
    }
    ox_body_drop(body);
    return *out != NULL ? OX_OK : OX_E_NOMEM;
}

static ox_err
json_body(struct ox_intake *in, struct ox_body **out)
{
    struct ox_body *json = NULL;
    ox_err err = decoded_body(in, &json);
    if (err != OX_OK)
        return err;
    struct ox_str text = {(const char *)json->data, json->len};
    err = ox_otlp_from_json(in->signal, text, &in->limits, &in->tenant->bodies, out, &in->diag);
    ox_body_drop(json);
    return err;
}

static ox_err
protobuf_body(struct ox_intake *in)
{
    switch (in->form) {
    case OX_FORM_GRPC:
        return grpc_body(in, &in->body);
    case OX_FORM_JSON:
        return json_body(in, &in->body);
    default:
        return decoded_body(in, &in->body);
    }
}

/* What must not be stored goes before anything else sees it. */
static ox_err
redact(struct ox_intake *in)
{
    const struct ox_redact *rules = atomic_load_explicit(&in->node->redact, memory_order_acquire);
    const struct ox_tenant_id *tenant = &in->tenant->id;
    struct ox_redact_counts counts;
    struct ox_buf out = {0};
    if (!ox_redact_applies(rules, tenant, in->signal))
        return OX_OK;
    ox_err err = ox_redact_body(rules, tenant, in->signal,
                                (struct ox_str){(const char *)in->body->data, in->body->len}, &out, &counts,
                                &in->diag);
    struct ox_body *body = err == OX_OK ? ox_body_new(out.len, &in->tenant->bodies) : NULL;
    if (body != NULL) {
        if (out.len > 0)
            memcpy(body->data, out.data, out.len);
        body->len = out.len;
        ox_body_drop(in->body);
        in->body = body;
        OX_METRIC_ADD_L(OX_M_redacted, counts.dropped, ox_str_of(tenant->name), OX_STR("drop"));
        OX_METRIC_ADD_L(OX_M_redacted, counts.hashed, ox_str_of(tenant->name), OX_STR("hash"));
    } else if (err == OX_OK) {
        err = OX_E_NOMEM;
    }
    ox_buf_fini(&out);
    return err;
}

static void
judge_cardinality(struct ox_intake *in, uint64_t now_ns)
{
    struct ox_quotas *q = in->node->quotas;
    if (in->signal != OX_SIGNAL_METRICS || q == NULL || in->node->cardinality == NULL)
        return;
    struct ox_quota_entry *tenant = ox_quotas_tenant(q, &in->tenant->id);
    const struct ox_cardinality_limits limits = {ox_quotas_value(q, tenant, OX_QUOTA_SERIES),
                                                 ox_quotas_value(q, tenant, OX_QUOTA_LABEL_VALUES)};
    ox_cardinality_judge(in->node->cardinality, in->tenant->index, in->batch, &limits,
                         (uint32_t)(now_ns / 86400000000000ull), &in->counts);
}

static ox_err
judge(struct ox_intake *in)
{
    uint64_t now_ns = ox_clock_realtime_ns(in->node->clock);
    in->batch->received_ns = now_ns;
    in->batch->tenant = in->tenant->id;
    ox_validate_batch(in->batch, &in->window, now_ns, &in->counts);
    judge_cardinality(in, now_ns);
    ox_err err = OX_OK;
    if (in->batch->n_rejected > 0) {
        ox_validate_message(in->batch, &in->counts, in->partial, sizeof(in->partial));
        err = ox_dead_letter_lines(in->batch, now_ns, OX__LETTERS_REQUEST_MAX, &in->dead_letters,
                                   &in->n_letters, &in->n_letters_left_out);
    }
    if (err != OX_OK)
        return err; /* before anything is counted as received */
    in->n_records = in->batch->n_records;
    in->n_accepted = in->n_records - in->batch->n_rejected;
    return OX_OK;
}

void
ox__intake_prepare(void *arg)
{
    struct ox_intake *in = arg;
    ox_diag_clear(&in->diag);
    in->err = protobuf_body(in);
    if (in->err == OX_OK)
        in->err = redact(in);
    if (in->err != OX_OK)
        return;
    in->batch = ox_batch_new();
    if (in->batch == NULL) {
        in->err = OX_E_NOMEM;
        return;
    }
    in->err = ox_otlp_decode(in->signal, in->body, &in->limits, in->batch, &in->diag);
    if (in->err == OX_OK)
        in->err = judge(in);
    struct ox_wal_hash hash = ox_wal_hash_of((struct ox_str){(const char *)in->body->data, in->body->len});
    in->hash.lo = hash.lo;
    in->hash.hi = hash.hi;
}

/* Refused ordinals as ranges; rows come in the order of their ordinals. */
static ox_err
rejected_ranges(const struct ox_batch *batch, struct ox_append *append)
{
    uint32_t rows = ox_batch_rows(batch), cap = 0;
    if (batch->n_rejected == 0)
        return OX_OK;
    for (uint32_t i = 0; i < rows; i++) {
        if (ox_batch_row_reject(batch, i) == OX_REJECT_NONE)
            continue;
        uint32_t ordinal = ox_batch_row_ordinal(batch, i);
        if (append->n_ranges > 0 && append->ranges[2 * append->n_ranges - 1] == ordinal) {
            append->ranges[2 * append->n_ranges - 1] = ordinal + 1;
            continue;
        }
        if (append->n_ranges == cap) {
            cap = cap != 0 ? cap * 2 : 16;
            uint32_t *ranges = realloc(append->ranges, (size_t)cap * 2 * sizeof(*ranges));
            if (ranges == NULL)
                return OX_E_NOMEM;
            append->ranges = ranges;
        }
        append->ranges[2 * append->n_ranges] = ordinal;
        append->ranges[2 * append->n_ranges + 1] = ordinal + 1;
        append->n_ranges++;
    }
    return OX_OK;
}

ox_err
ox__intake_append(struct ox_intake *in, ox_pid reply_to)
{
    struct ox_append *append = calloc(1, sizeof(*append));
    struct ox_parcel *parcel = calloc(1, sizeof(*parcel));
    if (append == NULL || parcel == NULL || rejected_ranges(in->batch, append) != OX_OK) {
        ox_append_free(append);
        free(parcel);
        return OX_E_NOMEM;
    }
    *parcel = (struct ox_parcel){.batch = in->batch, .permit = in->permit, .reserved = in->reserved};
    in->batch = NULL;
    in->permit = (struct ox_permit){0};
    in->reserved = 0;
    append->reply_to = reply_to;
    append->ticket = in;
    append->parcel = parcel;
    append->n_records = in->n_records;
    append->hash[0] = in->hash.lo;
    append->hash[1] = in->hash.hi;
    in->append = append;
    ox_body_drop(in->body); /* the batch holds it */
    in->body = NULL;
    return OX_OK;
}
