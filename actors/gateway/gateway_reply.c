/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/gateway/gateway_reply.c - answers to ingest requests, in the form in which they were asked.
 *
 * Owns:    nothing.
 * Threads: the loop of the request's server.
 * Flow:    OTLP specification, "OTLP/gRPC response" and "OTLP/HTTP response": the same content type as the
 *          request, google.rpc.Status for errors, Retry-After and RetryInfo with what may be retried.
 */
#include <stdio.h>

#include "actors/gateway/gateway_internal.h"
#include "ox/grpc.h"
#include "ox/metric.h"

bool
ox__gateway_route(struct ox_str path, enum ox_signal *signal, bool *grpc)
{
    static const struct {
        const char *path;
        enum ox_signal signal;
        bool grpc;
    } routes[] = {
        {"/v1/traces", OX_SIGNAL_TRACES, false},
        {"/v1/logs", OX_SIGNAL_LOGS, false},
        {"/v1/metrics", OX_SIGNAL_METRICS, false},
        {"/opentelemetry.proto.collector.trace.v1.TraceService/Export", OX_SIGNAL_TRACES, true},
        {"/opentelemetry.proto.collector.logs.v1.LogsService/Export", OX_SIGNAL_LOGS, true},
        {"/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", OX_SIGNAL_METRICS, true},
    };
    for (size_t i = 0; i < OX_COUNT(routes); i++) {
        if (ox_str_eq(path, ox_str_of(routes[i].path))) {
            *signal = routes[i].signal;
            *grpc = routes[i].grpc;
            return true;
        }
    }
    return false;
}

static void
count(const struct ox_http_request *req, bool grpc, int status)
{
    enum ox_signal signal = OX_SIGNAL_TRACES;
    bool unused;
    bool known = ox__gateway_route(req->path, &signal, &unused);
    char code[12];
    snprintf(code, sizeof(code), "%d", status);
    struct ox_str protocol = grpc ? OX_STR("grpc") : OX_STR("http");
    OX_METRIC_ADD_L(OX_M_ingest_requests, 1, protocol, ox_str_of(known ? ox_signal_name(signal) : "none"),
                    ox_str_of(code));
    if (req->start_ns != 0)
        OX_METRIC_OBSERVE_L(OX_M_ingest_request_time, (double)(ox_now_ns() - req->start_ns) / 1e9, protocol);
}

static struct ox_str
content_type_of(enum ox_otlp_encoding enc)
{
    return enc == OX_OTLP_JSON ? OX_STR("application/json") : OX_STR("application/x-protobuf");
}

void
ox__gateway_reply_ok(struct ox_intake *in)
{
    struct ox_buf body;
    struct ox_http_request *req = in->req;
    enum ox_otlp_encoding enc = in->form == OX_FORM_JSON ? OX_OTLP_JSON : OX_OTLP_PROTOBUF;
    ox_buf_init(&body);
    in->req = NULL;
    ox_otlp_response(enc, in->signal, in->n_records - in->n_accepted, ox_str_of(in->partial), &body);
    count(req, in->form == OX_FORM_GRPC, in->form == OX_FORM_GRPC ? 0 : 200);
    if (in->form == OX_FORM_GRPC) {
        ox_grpc_reply(req, body.data, body.len);
        ox_buf_fini(&body);
        return;
    }
    struct ox_http_header headers[2] = {
        {OX_STR("content-type"), content_type_of(enc)},
        {OX_STR("x-observex-quota-near"), ox_str_of(in->warned != NULL ? in->warned : "")},
    };
    struct ox_http_response resp = {
        .status = 200, .headers = headers, .headers_len = in->warned != NULL ? 2 : 1, .body = &body};
    ox_http_respond(req, &resp);
    ox_buf_fini(&body);
}

static struct ox_str
error_text(ox_err err, const struct ox_diag *diag, char *buf, size_t n)
{
    if (diag == NULL || diag->text[0] == '\0')
        return ox_str_of(ox_err_text(err));
    if (diag->field[0] == '\0')
        return ox_str_of(diag->text);
    snprintf(buf, n, "%s: %s", diag->field, diag->text);
    return ox_str_of(buf);
}

static void
reply_grpc_error(struct ox_http_request *req, const struct ox_err_info *row, struct ox_str text,
                 uint32_t retry_ms)
{
    struct ox_buf details;
    ox_buf_init(&details);
    ox_otlp_status(OX_OTLP_PROTOBUF, row->grpc_status, text, retry_ms, &details);
    ox_grpc_reply_error(req, row->grpc_status, text, ox_buf_str(&details));
    ox_buf_fini(&details);
}

void
ox__gateway_reply_error(struct ox_node *node, struct ox_http_request *req, ox_err err,
                        const struct ox_diag *diag)
{
    const struct ox_err_info *row = ox_err_info(err);
    struct ox_str type = ox_http_header(req, OX_STR("content-type"));
    uint32_t retry_ms = row->retryable ? (uint32_t)ox_node_config(node)->gateway_retry_after_ms : 0;
    if (retry_ms > 0 && diag != NULL && diag->retry_ms > retry_ms)
        retry_ms = diag->retry_ms;
    char buf[400];
    struct ox_str text = error_text(err, diag, buf, sizeof(buf));
    bool grpc = req->version == OX_HTTP_2 && ox_grpc_content_type(type);
    count(req, grpc, grpc ? row->grpc_status : row->http_status);
    if (grpc) {
        reply_grpc_error(req, row, text, retry_ms);
        return;
    }
    bool protobuf =
        type.n >= 22 && ox_str_caseeq((struct ox_str){type.p, 22}, OX_STR("application/x-protobuf"));
    enum ox_otlp_encoding enc = protobuf ? OX_OTLP_PROTOBUF : OX_OTLP_JSON;
    struct ox_buf body;
    ox_buf_init(&body);
    ox_otlp_status(enc, row->grpc_status, text, retry_ms, &body);
    char seconds[16];
    snprintf(seconds, sizeof(seconds), "%u", (retry_ms + 999) / 1000);
    struct ox_http_header headers[3] = {{OX_STR("content-type"), content_type_of(enc)}};
    size_t n = 1;
    if (retry_ms > 0)
        headers[n++] = (struct ox_http_header){OX_STR("retry-after"), ox_str_of(seconds)};
    if (err == OX_E_UNAUTHENTICATED)
        headers[n++] = (struct ox_http_header){OX_STR("www-authenticate"), OX_STR("Bearer")};
    else if (err == OX_E_METHOD)
        headers[n++] = (struct ox_http_header){OX_STR("allow"), OX_STR("POST")};
    struct ox_http_response resp = {
        .status = row->http_status, .headers = headers, .headers_len = n, .body = &body};
    ox_http_respond(req, &resp);
    ox_buf_fini(&body);
}
