/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/otlp_answer.c - reads the answers of OTLP servers.
 *
 * Owns:    the parsed answer, while it is read.
 * Threads: any.
 * Bounds:  the words are cut to the size of their array.
 */
#include "cmd/otlp_answer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "google/rpc/status.pb-c.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"

/* The words without control characters: they go to a terminal. */
static void
take_words(struct ox_otlp_answer *out, const char *p, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n && at + 1 < sizeof(out->why); i++)
        if ((uint8_t)p[i] >= ' ' && p[i] != 0x7f)
            out->why[at++] = p[i];
    out->why[at] = '\0';
}

static void
take_text(struct ox_otlp_answer *out, const char *text)
{
    if (text != NULL)
        take_words(out, text, strlen(text));
}

/* Integers of 64 bits are strings in OTLP/JSON; some servers write numbers. */
static uint64_t
json_count(const json_t *v)
{
    return json_is_string(v) ? strtoull(json_string_value(v), NULL, 10) : (uint64_t)json_integer_value(v);
}

static bool
read_json(long status, const struct ox_buf *body, struct ox_otlp_answer *out)
{
    static const char *const members[] = {"rejectedSpans", "rejectedLogRecords", "rejectedDataPoints"};
    json_t *json = json_loadb((const char *)body->data, body->len, 0, NULL);
    const json_t *partial = json_object_get(json, "partialSuccess");
    for (size_t i = 0; i < OX_COUNT(members); i++)
        out->rejected += json_count(json_object_get(partial, members[i]));
    take_text(out, status == 200 ? json_string_value(json_object_get(partial, "errorMessage"))
                                 : json_string_value(json_object_get(json, "message")));
    json_decref(json);
    return json != NULL;
}

static bool
read_status(const struct ox_buf *body, struct ox_otlp_answer *out)
{
    Google__Rpc__Status *status = google__rpc__status__unpack(NULL, body->len, body->data);
    if (status == NULL)
        return false;
    take_text(out, status->message);
    google__rpc__status__free_unpacked(status, NULL);
    return true;
}

/* The responses for traces, logs and metrics have the same fields under the same numbers. */
static bool
read_response(const struct ox_buf *body, struct ox_otlp_answer *out)
{
    Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceResponse *response =
        opentelemetry__proto__collector__trace__v1__export_trace_service_response__unpack(NULL, body->len,
                                                                                          body->data);
    if (response == NULL)
        return false;
    if (response->partial_success != NULL) {
        out->rejected = (uint64_t)response->partial_success->rejected_spans;
        take_text(out, response->partial_success->error_message);
    }
    opentelemetry__proto__collector__trace__v1__export_trace_service_response__free_unpacked(response, NULL);
    return true;
}

void
ox_otlp_answer_read(long status, const struct ox_buf *body, struct ox_otlp_answer *out)
{
    *out = (struct ox_otlp_answer){0};
    if (body->len == 0)
        return;
    bool known = body->data[0] == '{' ? read_json(status, body, out)
                 : status == 200      ? read_response(body, out)
                                      : read_status(body, out);
    if (!known)
        take_words(out, (const char *)body->data, body->len);
}
