/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/otlp_types.c - which generated descriptors the JSON mapping works with.
 *
 * Owns:    nothing.
 * Threads: any.
 */
#include "proto/otlp_types.h"

#include "opentelemetry/proto/collector/logs/v1/logs_service.pb-c.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb-c.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"

const ProtobufCMessageDescriptor *
ox__otlp_request_type(enum ox_signal signal)
{
    switch (signal) {
    case OX_SIGNAL_TRACES:
        return &opentelemetry__proto__collector__trace__v1__export_trace_service_request__descriptor;
    case OX_SIGNAL_LOGS:
        return &opentelemetry__proto__collector__logs__v1__export_logs_service_request__descriptor;
    default:
        return &opentelemetry__proto__collector__metrics__v1__export_metrics_service_request__descriptor;
    }
}

bool
ox__otlp_is_any(const ProtobufCMessageDescriptor *type)
{
    return type == &opentelemetry__proto__common__v1__any_value__descriptor;
}

bool
ox__otlp_is_hex(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_BYTES &&
           (strcmp(field->name, "trace_id") == 0 || strcmp(field->name, "span_id") == 0 ||
            strcmp(field->name, "parent_span_id") == 0);
}
