/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/gateway/dead_letter_line.c - a refused record as one JSON line.
 *
 * Owns:    nothing; pure.
 * Threads: the batch's owner.
 * Bounds:  bytes_max of all lines, and one line more while it is built.
 * Fails:   OX_E_NOMEM; the buffer then ends where it did.
 */
#include <inttypes.h>

#include "ox/clock.h"
#include "ox/dead_letter.h"
#include "ox/otlp.h"
#include "ox/validate.h"

static void
put_time(struct ox_buf *out, uint64_t now_ns)
{
    char text[OX_RFC3339_LEN + 1];
    ox_clock_rfc3339(now_ns, text);
    ox_buf_printf(out, "{\"time\":\"%s\",\"time_ns\":\"%" PRIu64 "\"", text, now_ns);
}

static void
put_string(struct ox_buf *out, const char *name, const char *value)
{
    ox_buf_printf(out, ",\"%s\":", name);
    ox_json_string(out, ox_str_of(value));
}

static struct ox_str
record_wire(const struct ox_batch *b, uint32_t row)
{
    switch (b->signal) {
    case OX_SIGNAL_TRACES:
        return ox_batch_piece(b, b->spans[row].wire);
    case OX_SIGNAL_LOGS:
        return ox_batch_piece(b, b->logs[row].wire);
    default:
        return ox_batch_piece(b, b->points[row].wire);
    }
}

static ox_err
put_request(const struct ox_batch *b, uint32_t row, struct ox_buf *out)
{
    struct ox_buf wire;
    ox_buf_init(&wire);
    ox_err err = ox_otlp_row_to_wire(b, row, &wire);
    ox_buf_append_cstr(out, ",\"request\":");
    if (err == OX_OK)
        err = ox_otlp_to_json(b->signal, ox_buf_str(&wire), out, NULL);
    ox_buf_fini(&wire);
    if (err == OX_OK && ox_batch_row_reject(b, row) == OX_REJECT_UTF8) {
        /* JSON cannot hold what made this record bad. */
        ox_buf_append_cstr(out, ",\"wire\":\"");
        ox_base64_encode(out, record_wire(b, row));
        ox_buf_append(out, "\"", 1);
    }
    return err;
}

ox_err
ox_dead_letter_line(const struct ox_batch *batch, uint32_t row, const char *reason, const char *detail,
                    uint64_t now_ns, struct ox_buf *out)
{
    const size_t start = out->len;
    put_time(out, now_ns);
    put_string(out, "tenant", batch->tenant.name);
    put_string(out, "signal", ox_signal_name(batch->signal));
    put_string(out, "reason", reason);
    if (detail != NULL)
        put_string(out, "detail", detail);
    if (batch->wal_seq != 0)
        ox_buf_printf(out, ",\"wal\":\"%" PRIu64 "\"", batch->wal_seq);
    ox_buf_printf(out, ",\"ordinal\":%u", ox_batch_row_ordinal(batch, row));
    ox_err err = put_request(batch, row, out);
    ox_buf_append_cstr(out, "}\n");
    if (err == OX_OK && out->failed)
        err = OX_E_NOMEM;
    if (err != OX_OK)
        out->len = start;
    return err;
}

ox_err
ox_dead_letter_lines(const struct ox_batch *batch, uint64_t now_ns, size_t bytes_max, struct ox_buf *out,
                     uint32_t *n, uint32_t *left_out)
{
    const uint32_t rows = ox_batch_rows(batch);
    *n = 0;
    *left_out = 0;
    for (uint32_t row = 0; row < rows; row++) {
        enum ox_reject why = ox_batch_row_reject(batch, row);
        const size_t start = out->len;
        if (!ox_reject_is_kept(why))
            continue;
        if (*left_out >
            0) { /* not tried again: a shorter one might fit, but each attempt costs a line's work */
            (*left_out)++;
            continue;
        }
        ox_err err = ox_dead_letter_line(batch, row, ox_reject_name(why), ox_reject_text(why), now_ns, out);
        if (err != OX_OK)
            return err;
        if (out->len > bytes_max) {
            out->len = start;
            *left_out = 1;
        } else {
            (*n)++;
        }
    }
    return OX_OK;
}
