/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/any_restore.c - the stored text of an AnyValue back to the value.
 *
 * Owns:    nothing.
 * Threads: any.
 * Bounds:  OX_ANY_DEPTH_MAX levels of recursion.
 * Fails:   OX_E_DECODE: the text is not of its type; OX_E_NOMEM.
 * Flow:    query: column -> here -> answer. The rules are in include/ox/any.h.
 */
#include "ox/any.h"
#include "ox/otlp.h"
#include "ox/otlp_wire.h"
#include "proto/json_read.h"

static bool natural(struct ox__json *j, struct ox_buf *wire, unsigned depth);

static bool
put_double_text(struct ox_str text, struct ox_buf *wire)
{
    double d;
    if (!ox__text_double(text, &d))
        return false;
    ox_wire_put_double(wire, 4, d);
    return true;
}

static bool
put_int_text(struct ox_str text, struct ox_buf *wire)
{
    bool negative;
    uint64_t magnitude;
    if (!ox__text_int(text, &negative, &magnitude) || magnitude > (uint64_t)INT64_MAX + negative)
        return false;
    ox_wire_put_varint(wire, 3, negative ? 0 - magnitude : magnitude);
    return true;
}

static bool
put_base64(struct ox_str text, struct ox_buf *wire)
{
    size_t mark = ox_wire_begin(wire, 7);
    if (ox_base64_decode(wire, text) != OX_OK)
        return false;
    ox_wire_end(wire, mark);
    return true;
}

static bool
natural_number(struct ox__json *j, struct ox_buf *wire)
{
    struct ox_str text;
    if (!ox__json_number(j, &text))
        return false;
    bool is_double = false;
    for (size_t i = 0; i < text.n; i++)
        is_double |= text.p[i] == '.' || text.p[i] == 'e' || text.p[i] == 'E';
    bool ok = is_double ? put_double_text(text, wire) : put_int_text(text, wire);
    return ok || ox__json_fail(j, "a number out of range");
}

static bool
natural_array(struct ox__json *j, struct ox_buf *wire, unsigned depth)
{
    size_t array = ox_wire_begin(wire, 5);
    j->p++;
    if (!ox__json_try(j, ']')) {
        do {
            size_t item = ox_wire_begin(wire, 1);
            if (!natural(j, wire, depth + 1))
                return false;
            ox_wire_end(wire, item);
        } while (ox__json_more(j, ']'));
    }
    ox_wire_end(wire, array);
    return j->bad == NULL;
}

static bool
natural_pair(struct ox__json *j, struct ox_buf *wire, unsigned depth)
{
    size_t pair = ox_wire_begin(wire, 1);
    size_t key = ox_wire_begin(wire, 1);
    if (!ox__json_string(j, wire) || !ox__json_take(j, ':', "expected ':'"))
        return false;
    ox_wire_end(wire, key);
    size_t value = ox_wire_begin(wire, 2);
    if (!natural(j, wire, depth + 1))
        return false;
    ox_wire_end(wire, value);
    ox_wire_end(wire, pair);
    return true;
}

static bool
natural_kvlist(struct ox__json *j, struct ox_buf *wire, unsigned depth)
{
    size_t list = ox_wire_begin(wire, 6);
    if (!ox__json_take(j, '{', "expected an object"))
        return false;
    if (!ox__json_try(j, '}')) {
        do {
            if (!natural_pair(j, wire, depth))
                return false;
        } while (ox__json_more(j, '}'));
    }
    ox_wire_end(wire, list);
    return j->bad == NULL;
}

/* Takes {"bytesValue":"…"} or {"doubleValue":"…"}; false, and nothing taken, when it is something else. */
static bool
special_scalar(struct ox__json *j, struct ox_buf *wire)
{
    const struct ox__json back = *j;
    const size_t wire_len = wire->len;
    struct ox_buf text;
    ox_buf_init(&text);
    bool ok = ox__json_try(j, '{') && ox__json_string(j, &text);
    bool bytes = ok && ox_str_eq(ox_buf_str(&text), OX_STR("bytesValue"));
    ok = ok && (bytes || ox_str_eq(ox_buf_str(&text), OX_STR("doubleValue")));
    ok = ok && ox__json_try(j, ':') && ox__json_peek(j) == '"';
    ox_buf_reset(&text);
    ok = ok && ox__json_string(j, &text) && ox__json_try(j, '}');
    ok = ok && (bytes ? put_base64(ox_buf_str(&text), wire) : put_double_text(ox_buf_str(&text), wire));
    ox_buf_fini(&text);
    if (!ok) {
        *j = back;
        wire->len = wire_len;
    }
    return ok;
}

/* At {"kvlistValue":{…}} moves to the inner object; otherwise nothing is taken. */
static bool
special_kvlist(struct ox__json *j)
{
    const struct ox__json back = *j;
    struct ox_buf key;
    ox_buf_init(&key);
    bool ok = ox__json_try(j, '{') && ox__json_string(j, &key) &&
              ox_str_eq(ox_buf_str(&key), OX_STR("kvlistValue")) && ox__json_try(j, ':') &&
              ox__json_peek(j) == '{';
    ox_buf_fini(&key);
    const struct ox__json inner = *j;
    ok = ok && ox__json_skip(j, 0) && ox__json_try(j, '}');
    *j = ok ? inner : back;
    return ok;
}

static bool
natural_object(struct ox__json *j, struct ox_buf *wire, unsigned depth)
{
    if (special_scalar(j, wire))
        return true;
    if (!special_kvlist(j))
        return natural_kvlist(j, wire, depth);
    return natural_kvlist(j, wire, depth) && ox__json_take(j, '}', "expected '}'");
}

static bool
natural(struct ox__json *j, struct ox_buf *wire, unsigned depth)
{
    char c = ox__json_peek(j);
    if (depth > OX_ANY_DEPTH_MAX)
        return ox__json_fail(j, "nested too deeply");
    if (c == '{')
        return natural_object(j, wire, depth);
    if (c == '[')
        return natural_array(j, wire, depth);
    if (c == 'n')
        return ox__json_word(j, "null");
    if (c == 't' || c == 'f') {
        ox_wire_put_varint(wire, 2, c == 't');
        return ox__json_word(j, c == 't' ? "true" : "false");
    }
    if (c != '"')
        return natural_number(j, wire);
    size_t mark = ox_wire_begin(wire, 1);
    if (!ox__json_string(j, wire))
        return false;
    ox_wire_end(wire, mark);
    return true;
}

static bool
restore_json_text(struct ox_str text, struct ox_buf *wire)
{
    struct ox__json j;
    ox__json_init(&j, text);
    return natural(&j, wire, 1) && ox__json_peek(&j) == '\0' && j.p == j.end;
}

static bool
restore(char type, struct ox_str text, struct ox_buf *wire)
{
    switch (type) {
    case 's':
        ox_wire_put_bytes(wire, 1, text);
        return true;
    case 'b':
        ox_wire_put_varint(wire, 2, ox_str_eq(text, OX_STR("true")));
        return ox_str_eq(text, OX_STR("true")) || ox_str_eq(text, OX_STR("false"));
    case 'i':
        return put_int_text(text, wire);
    case 'd':
        return put_double_text(text, wire);
    case 'j':
        return restore_json_text(text, wire);
    case 'x':
        return put_base64(text, wire);
    case 'n':
        return text.n == 0;
    default:
        return false;
    }
}

ox_err
ox_any_restore(char type, struct ox_str text, struct ox_buf *wire, struct ox_diag *diag)
{
    size_t start = wire->len;
    bool ok = restore(type, text, wire);
    if (wire->failed)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for a value of %zu bytes", text.n);
    if (ok)
        return OX_OK;
    wire->len = start;
    return ox_diag_set(diag, OX_E_DECODE, NULL, -1, "the stored value \"%.*s\" is not of type '%c'",
                       (int)(text.n < 64 ? text.n : 64), text.p != NULL ? text.p : "", type);
}

ox_err
ox_any_restore_json(char type, struct ox_str text, struct ox_buf *out, struct ox_diag *diag)
{
    struct ox_buf wire;
    struct ox_any any;
    ox_buf_init(&wire);
    ox_err err = ox_any_restore(type, text, &wire, diag);
    if (err == OX_OK)
        err = ox_any_read(ox_buf_str(&wire), &any);
    if (err == OX_OK)
        ox_any_to_json(&any, out);
    ox_buf_fini(&wire);
    return err == OX_OK && out->failed ? OX_E_NOMEM : err;
}
