/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/any_render.c - AnyValue to its stored text, to OTLP/JSON and back to the wire.
 *
 * Owns:    nothing.
 * Threads: any.
 * Bounds:  OX_ANY_DEPTH_MAX levels of recursion; deeper values, which the decoder refuses, would end as null.
 * Fails:   memory, shown as out->failed.
 * Flow:    writer: ox_any_render -> column; query: proto/any_restore.c -> JSON.
 */
#include <math.h>
#include <stdio.h>

#include "ox/any.h"
#include "ox/otlp.h"
#include "ox/otlp_wire.h"

static void natural(const struct ox_any *any, struct ox_buf *out, unsigned depth);

static void
put_base64_string(struct ox_buf *out, struct ox_str bytes)
{
    ox_buf_append(out, "\"", 1);
    ox_base64_encode(out, bytes);
    ox_buf_append(out, "\"", 1);
}

static const char *
non_finite(double d)
{
    if (isnan(d))
        return "NaN";
    return d > 0 ? "Infinity" : "-Infinity";
}

static void
natural_double(double d, struct ox_buf *out)
{
    if (isfinite(d))
        ox_double_text(out, d, true);
    else
        ox_buf_printf(out, "{\"doubleValue\":\"%s\"}", non_finite(d));
}

static void
natural_array(struct ox_str rest, struct ox_buf *out, unsigned depth)
{
    struct ox_any item;
    const char *sep = "[";
    while (ox_any_array_next(&rest, &item) == OX_OK) {
        ox_buf_append(out, sep, 1);
        natural(&item, out, depth + 1);
        sep = ",";
    }
    ox_buf_append_cstr(out, *sep == '[' ? "[]" : "]");
}

/* A list that would read as one of the forms that stand for bytes, doubles or such a list. */
static bool
needs_wrap(struct ox_str rest)
{
    struct ox_any_pair first, second;
    if (ox_any_kvlist_next(&rest, &first) != OX_OK || ox_any_kvlist_next(&rest, &second) == OX_OK)
        return false;
    return ox_str_eq(first.key, OX_STR("bytesValue")) || ox_str_eq(first.key, OX_STR("doubleValue")) ||
           ox_str_eq(first.key, OX_STR("kvlistValue"));
}

static void
natural_kvlist(struct ox_str rest, struct ox_buf *out, unsigned depth)
{
    struct ox_any_pair item;
    const char *sep = "{";
    bool wrap = needs_wrap(rest);
    if (wrap)
        ox_buf_append_cstr(out, "{\"kvlistValue\":");
    while (ox_any_kvlist_next(&rest, &item) == OX_OK) {
        ox_buf_append(out, sep, 1);
        ox_json_string(out, item.key);
        ox_buf_append(out, ":", 1);
        natural(&item.value, out, depth + 1);
        sep = ",";
    }
    ox_buf_append_cstr(out, *sep == '{' ? "{}" : "}");
    if (wrap)
        ox_buf_append(out, "}", 1);
}

static void
natural(const struct ox_any *any, struct ox_buf *out, unsigned depth)
{
    enum ox_any_type type = depth <= OX_ANY_DEPTH_MAX ? any->type : OX_ANY_NONE;
    switch (type) {
    case OX_ANY_NONE:
        ox_buf_append_cstr(out, "null");
        break;
    case OX_ANY_STRING:
        ox_json_string(out, any->str);
        break;
    case OX_ANY_BOOL:
        ox_buf_append_cstr(out, any->b ? "true" : "false");
        break;
    case OX_ANY_INT:
        ox_buf_printf(out, "%lld", (long long)any->i);
        break;
    case OX_ANY_DOUBLE:
        natural_double(any->d, out);
        break;
    case OX_ANY_ARRAY:
        natural_array(any->str, out, depth);
        break;
    case OX_ANY_KVLIST:
        natural_kvlist(any->str, out, depth);
        break;
    case OX_ANY_BYTES:
        ox_buf_append_cstr(out, "{\"bytesValue\":");
        put_base64_string(out, any->str);
        ox_buf_append(out, "}", 1);
        break;
    }
}

/* Integers are common enough in attributes to be spared printf. */
static void
put_int(struct ox_buf *out, int64_t v)
{
    char text[24];
    char *p = text + sizeof(text);
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        *--p = (char)('0' + u % 10);
        u /= 10;
    } while (u != 0);
    if (v < 0)
        *--p = '-';
    ox_buf_append(out, p, (size_t)(text + sizeof(text) - p));
}

char
ox_any_render(const struct ox_any *any, struct ox_buf *out)
{
    switch (any->type) {
    case OX_ANY_STRING:
        ox_buf_append_str(out, any->str);
        return 's';
    case OX_ANY_BOOL:
        ox_buf_append_cstr(out, any->b ? "true" : "false");
        return 'b';
    case OX_ANY_INT:
        put_int(out, any->i);
        return 'i';
    case OX_ANY_DOUBLE:
        if (isfinite(any->d))
            ox_double_text(out, any->d, false);
        else
            ox_buf_append_cstr(out, non_finite(any->d));
        return 'd';
    case OX_ANY_ARRAY:
    case OX_ANY_KVLIST:
        natural(any, out, 1);
        return 'j';
    case OX_ANY_BYTES:
        ox_base64_encode(out, any->str);
        return 'x';
    case OX_ANY_NONE:
        break;
    }
    return 'n';
}

static void otlp_json(const struct ox_any *any, struct ox_buf *out, unsigned depth);

static void
otlp_json_array(struct ox_str rest, struct ox_buf *out, unsigned depth)
{
    struct ox_any item;
    const char *sep = "";
    ox_buf_append_cstr(out, "{\"arrayValue\":{\"values\":[");
    while (ox_any_array_next(&rest, &item) == OX_OK) {
        ox_buf_append_cstr(out, sep);
        otlp_json(&item, out, depth + 1);
        sep = ",";
    }
    ox_buf_append_cstr(out, "]}}");
}

static void
otlp_json_kvlist(struct ox_str rest, struct ox_buf *out, unsigned depth)
{
    struct ox_any_pair item;
    const char *sep = "";
    ox_buf_append_cstr(out, "{\"kvlistValue\":{\"values\":[");
    while (ox_any_kvlist_next(&rest, &item) == OX_OK) {
        ox_buf_append_cstr(out, sep);
        ox_buf_append_cstr(out, "{\"key\":");
        ox_json_string(out, item.key);
        ox_buf_append_cstr(out, ",\"value\":");
        otlp_json(&item.value, out, depth + 1);
        ox_buf_append(out, "}", 1);
        sep = ",";
    }
    ox_buf_append_cstr(out, "]}}");
}

static void
otlp_json_double(double d, struct ox_buf *out)
{
    ox_buf_append_cstr(out, "{\"doubleValue\":");
    if (isfinite(d))
        ox_double_text(out, d, false);
    else
        ox_buf_printf(out, "\"%s\"", non_finite(d));
    ox_buf_append(out, "}", 1);
}

static void
otlp_json(const struct ox_any *any, struct ox_buf *out, unsigned depth)
{
    enum ox_any_type type = depth <= OX_ANY_DEPTH_MAX ? any->type : OX_ANY_NONE;
    switch (type) {
    case OX_ANY_NONE:
        ox_buf_append_cstr(out, "{}");
        break;
    case OX_ANY_STRING:
        ox_buf_append_cstr(out, "{\"stringValue\":");
        ox_json_string(out, any->str);
        ox_buf_append(out, "}", 1);
        break;
    case OX_ANY_BOOL:
        ox_buf_printf(out, "{\"boolValue\":%s}", any->b ? "true" : "false");
        break;
    case OX_ANY_INT:
        ox_buf_printf(out, "{\"intValue\":\"%lld\"}", (long long)any->i);
        break;
    case OX_ANY_DOUBLE:
        otlp_json_double(any->d, out);
        break;
    case OX_ANY_ARRAY:
        otlp_json_array(any->str, out, depth);
        break;
    case OX_ANY_KVLIST:
        otlp_json_kvlist(any->str, out, depth);
        break;
    case OX_ANY_BYTES:
        ox_buf_append_cstr(out, "{\"bytesValue\":");
        put_base64_string(out, any->str);
        ox_buf_append(out, "}", 1);
        break;
    }
}

void
ox_any_to_json(const struct ox_any *any, struct ox_buf *out)
{
    otlp_json(any, out, 1);
}

void
ox_any_to_wire(const struct ox_any *any, struct ox_buf *wire)
{
    switch (any->type) {
    case OX_ANY_NONE:
        break;
    case OX_ANY_STRING:
        ox_wire_put_bytes(wire, 1, any->str);
        break;
    case OX_ANY_BOOL:
        ox_wire_put_varint(wire, 2, any->b);
        break;
    case OX_ANY_INT:
        ox_wire_put_varint(wire, 3, (uint64_t)any->i);
        break;
    case OX_ANY_DOUBLE:
        ox_wire_put_double(wire, 4, any->d);
        break;
    case OX_ANY_ARRAY:
        ox_wire_put_bytes(wire, 5, any->str);
        break;
    case OX_ANY_KVLIST:
        ox_wire_put_bytes(wire, 6, any->str);
        break;
    case OX_ANY_BYTES:
        ox_wire_put_bytes(wire, 7, any->str);
        break;
    }
}
