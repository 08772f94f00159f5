/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/native_view_json.c - rows of a Native block for people.
 *
 * Owns:    nothing.
 * Threads: any, on a view that no longer changes.
 * Fails:   out->failed.
 * Flow:    outbox_split.c -> here; the view: native_view.c.
 */
#include <inttypes.h>

#include "actors/writer/native_view_internal.h"
#include "ox/clock.h"
#include "ox/otlp.h"

static void
json_float(uint64_t bits, struct ox_buf *out)
{
    double d;
    memcpy(&d, &bits, sizeof(d));
    if (d != d)
        ox_buf_append_cstr(out, "\"NaN\"");
    else if (d - d != 0)
        ox_buf_append_cstr(out, d > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    else
        ox_buf_printf(out, "%.17g", d);
}

static void
json_bytes(const uint8_t *p, size_t n, struct ox_buf *out)
{
    if (n == 1 && p[0] > ' ' && p[0] < 0x7f) {
        ox_json_string(out, (struct ox_str){(const char *)p, 1});
        return;
    }
    ox_buf_append_cstr(out, "\"");
    for (size_t i = 0; i < n; i++)
        ox_buf_printf(out, "%02x", p[i]);
    ox_buf_append_cstr(out, "\"");
}

static void
json_fixed(const struct ox__native_node *node, uint64_t i, struct ox_buf *out)
{
    const uint8_t *p = node->data + i * node->width;
    uint64_t v = node->look != OX__NATIVE_BYTES ? ox__native_uint(p, node->width) : 0;
    const char *quote = node->width == 8 ? "\"" : "";
    char time[OX_RFC3339_LEN + 1];
    switch (node->look) {
    case OX__NATIVE_UINT:
        ox_buf_printf(out, "%s%" PRIu64 "%s", quote, v, quote);
        break;
    case OX__NATIVE_INT:
        if (node->width < 8 && (v >> (8 * node->width - 1)) != 0)
            v |= UINT64_MAX << (8 * node->width);
        ox_buf_printf(out, "%s%" PRId64 "%s", quote, (int64_t)v, quote);
        break;
    case OX__NATIVE_FLOAT:
        json_float(v, out);
        break;
    case OX__NATIVE_BOOL:
        ox_buf_append_cstr(out, v != 0 ? "true" : "false");
        break;
    case OX__NATIVE_DATE:
        ox_clock_rfc3339(v * 86400u * 1000000000u, time);
        ox_buf_printf(out, "\"%.10s\"", time);
        break;
    case OX__NATIVE_SECONDS:
        ox_clock_rfc3339(v * 1000000000u, time);
        ox_buf_printf(out, "\"%.19sZ\"", time);
        break;
    case OX__NATIVE_TIME:
        ox_clock_rfc3339(v, time);
        ox_buf_printf(out, "\"%s\"", time);
        break;
    default:
        json_bytes(p, node->width, out);
    }
}

static void
json_value(const struct ox__native_node *node, uint64_t i, struct ox_buf *out)
{
    if (node->kind == OX__NATIVE_FIXED) {
        json_fixed(node, i, out);
        return;
    }
    if (node->kind == OX__NATIVE_STRING || node->kind == OX__NATIVE_LC) {
        ox_json_string(out, ox__native_text(node, i));
        return;
    }
    bool map = node->kind == OX__NATIVE_MAP;
    ox_buf_append_cstr(out, map ? "{" : "[");
    for (uint64_t at = ox__native_end(node, i); at < ox__native_end(node, i + 1); at++) {
        if (at > ox__native_end(node, i))
            ox_buf_append_cstr(out, ",");
        json_value(node->first, at, out);
        if (map) {
            ox_buf_append_cstr(out, ":");
            json_value(node->second, at, out);
        }
    }
    ox_buf_append_cstr(out, map ? "}" : "]");
}

void
ox__native_view_json(const struct ox__native_view *view, uint32_t row, struct ox_buf *out)
{
    OX_ASSERT(row < view->rows);
    for (size_t i = 0; i < view->n_columns; i++) {
        ox_buf_append_cstr(out, i == 0 ? "{" : ",");
        ox_json_string(out, view->columns[i].name);
        ox_buf_append_cstr(out, ":");
        json_value(view->columns[i].node, row, out);
    }
    ox_buf_append_cstr(out, "}");
}
