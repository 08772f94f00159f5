/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/otlp_reply.c - what the server answers: Export…ServiceResponse and google.rpc.Status.
 *
 * Owns:    nothing.
 * Threads: any.
 * Fails:   memory, shown as out->failed.
 * Flow:    gateway -> here -> HTTP body or gRPC message and trailer.
 */
#include "ox/otlp.h"
#include "ox/otlp_wire.h"

#define RETRY_INFO_TYPE "type.googleapis.com/google.rpc.RetryInfo"

static const char *const rejected_names[OX_SIGNAL__COUNT] = {
    [OX_SIGNAL_TRACES] = "rejectedSpans",
    [OX_SIGNAL_LOGS] = "rejectedLogRecords",
    [OX_SIGNAL_METRICS] = "rejectedDataPoints",
};

static void
response_json(enum ox_signal signal, uint64_t rejected, struct ox_str message, struct ox_buf *out)
{
    if (rejected == 0 && message.n == 0) {
        ox_buf_append_cstr(out, "{}");
        return;
    }
    ox_buf_append_cstr(out, "{\"partialSuccess\":{");
    if (rejected != 0)
        ox_buf_printf(out, "\"%s\":\"%llu\"", rejected_names[signal], (unsigned long long)rejected);
    if (message.n != 0) {
        ox_buf_append_cstr(out, rejected != 0 ? ",\"errorMessage\":" : "\"errorMessage\":");
        ox_json_string(out, message);
    }
    ox_buf_append_cstr(out, "}}");
}

void
ox_otlp_response(enum ox_otlp_encoding enc, enum ox_signal signal, uint64_t rejected, struct ox_str message,
                 struct ox_buf *out)
{
    OX_ASSERT((unsigned)signal < OX_SIGNAL__COUNT);
    if (enc == OX_OTLP_JSON) {
        response_json(signal, rejected, message, out);
        return;
    }
    if (rejected == 0 && message.n == 0)
        return; /* an empty message is zero bytes */
    size_t partial = ox_wire_begin(out, 1);
    if (rejected != 0)
        ox_wire_put_varint(out, 1, rejected);
    if (message.n != 0)
        ox_wire_put_bytes(out, 2, message);
    ox_wire_end(out, partial);
}

static void
status_json(int grpc_code, struct ox_str message, uint32_t retry_after_ms, struct ox_buf *out)
{
    ox_buf_printf(out, "{\"code\":%d,\"message\":", grpc_code);
    ox_json_string(out, message);
    if (retry_after_ms != 0)
        ox_buf_printf(out, ",\"details\":[{\"@type\":\"" RETRY_INFO_TYPE "\",\"retryDelay\":\"%u.%03us\"}]",
                      retry_after_ms / 1000, retry_after_ms % 1000);
    ox_buf_append(out, "}", 1);
}

static void
retry_info(uint32_t retry_after_ms, struct ox_buf *out)
{
    size_t any = ox_wire_begin(out, 3);
    ox_wire_put_bytes(out, 1, OX_STR(RETRY_INFO_TYPE));
    size_t info = ox_wire_begin(out, 2);
    size_t delay = ox_wire_begin(out, 1);
    if (retry_after_ms >= 1000)
        ox_wire_put_varint(out, 1, retry_after_ms / 1000);
    if (retry_after_ms % 1000 != 0)
        ox_wire_put_varint(out, 2, (uint64_t)(retry_after_ms % 1000) * 1000000);
    ox_wire_end(out, delay);
    ox_wire_end(out, info);
    ox_wire_end(out, any);
}

void
ox_otlp_status(enum ox_otlp_encoding enc, int grpc_code, struct ox_str message, uint32_t retry_after_ms,
               struct ox_buf *out)
{
    if (enc == OX_OTLP_JSON) {
        status_json(grpc_code, message, retry_after_ms, out);
        return;
    }
    if (grpc_code != 0)
        ox_wire_put_varint(out, 1, (uint64_t)(int64_t)grpc_code);
    if (message.n != 0)
        ox_wire_put_bytes(out, 2, message);
    if (retry_after_ms != 0)
        retry_info(retry_after_ms, out);
}
