/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/entity.c - EntityRefs from the wire to their stored text.
 *
 * Owns:    nothing.
 * Threads: any.
 * Bounds:  the bytes given.
 * Flow:    actors/writer/encode_attrs.c -> here.
 */
#include "ox/entity.h"

#include "ox/otlp.h"
#include "proto/wire.h"

/* opentelemetry/proto/common/v1/common.proto */
enum { SCHEMA_URL = 1, TYPE = 2, ID_KEYS = 3, DESCRIPTION_KEYS = 4 };

/* The last value of a member that is one text; empty when there is none. */
static void
put_text(struct ox_buf *out, const char *name, struct ox_str wire, unsigned member)
{
    struct ox_str text = {NULL, 0};
    struct ox__cur c = ox__cur_of(wire);
    struct ox__field f;
    while (c.p < c.end && ox__field_next(&c, &f) == OX__WIRE_OK)
        if (f.tag == OX__TAG(member, OX_WIRE_BYTES))
            text = f.s;
    ox_buf_append_cstr(out, name);
    ox_json_string(out, text);
}

static void
put_list(struct ox_buf *out, const char *name, struct ox_str wire, unsigned member)
{
    const char *sep = "[";
    struct ox__cur c = ox__cur_of(wire);
    struct ox__field f;
    ox_buf_append_cstr(out, name);
    while (c.p < c.end && ox__field_next(&c, &f) == OX__WIRE_OK) {
        if (f.tag != OX__TAG(member, OX_WIRE_BYTES))
            continue;
        ox_buf_append(out, sep, 1);
        ox_json_string(out, f.s);
        sep = ",";
    }
    ox_buf_append_cstr(out, *sep == '[' ? "[]" : "]");
}

void
ox_entity_refs_render(const struct ox_str *wires, size_t n, struct ox_buf *out)
{
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++) {
        ox_buf_append(out, i == 0 ? "[" : ",", 1);
        put_text(out, "{\"schema_url\":", wires[i], SCHEMA_URL);
        put_text(out, ",\"type\":", wires[i], TYPE);
        put_list(out, ",\"id_keys\":", wires[i], ID_KEYS);
        put_list(out, ",\"description_keys\":", wires[i], DESCRIPTION_KEYS);
        ox_buf_append_cstr(out, "}");
    }
    ox_buf_append_cstr(out, "]");
}
