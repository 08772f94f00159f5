/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/spill/backlog_entry.c - one entry of a tenant's backlog as bytes.
 *
 * Owns:    the ranges of a decoded entry.
 * Threads: any; pure.
 * Bounds:  OX_WAL_RECORDS_MAX ordinals; the journal bounds the whole.
 * Fails:   OX_E_INVALID when encoding, OX_E_TRUNCATED, OX_E_DECODE, OX_E_UNIMPLEMENTED when decoding.
 *
 * Layout, little endian, without padding: version u16 = 1, kind u16, then
 *
 *   MOVED  sequence in the log u64, count u32, that many pairs of u32 {from, to} sorted and apart, then the payload
 *          of the log entry (the rest)
 *   STREAMED  the same without a payload, instead of it: sequence in the stream u64, length of the message u32
 *   NOTE   consumed from the backlog journal u64, consumed from the stream u64
 */
#include "ox/backlog.h"

#define HEAD_BYTES  4u
#define MOVED_BYTES 16u /* head, sequence, count */
#define NOTE_BYTES  20u
#define PLACE_BYTES 12u /* behind the ranges of a STREAMED one */

_Static_assert(OX_WAL_ORIGIN__COUNT == 3, "a note has a place for each origin");

static void
put(uint8_t *p, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t
get(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static void
put_head(uint8_t *p, enum ox_backlog_kind kind)
{
    put(p, OX_BACKLOG_ENTRY_VERSION, 2);
    put(p + 2, kind, 2);
}

static ox_err
encode_head(enum ox_backlog_kind kind, uint64_t wal_seq, const struct ox_ranges *owed, struct ox_buf *head)
{
    const struct ox_range *at = ox_ranges_at(owed);
    if (wal_seq == 0 || owed->n == 0)
        return OX_E_INVALID;
    size_t bytes = MOVED_BYTES + 8 * (size_t)owed->n;
    uint8_t *p = ox_buf_reserve(head, bytes);
    if (p == NULL)
        return OX_E_NOMEM;
    put_head(p, kind);
    put(p + 4, wal_seq, 8);
    put(p + 12, owed->n, 4);
    for (uint32_t i = 0; i < owed->n; i++) {
        put(p + MOVED_BYTES + 8 * (size_t)i, at[i].from, 4);
        put(p + MOVED_BYTES + 8 * (size_t)i + 4, at[i].to, 4);
    }
    head->len += bytes;
    return OX_OK;
}

ox_err
ox_backlog_encode_moved(uint64_t wal_seq, const struct ox_ranges *owed, struct ox_buf *head)
{
    return encode_head(OX_BACKLOG_MOVED, wal_seq, owed, head);
}

ox_err
ox_backlog_encode_streamed(uint64_t wal_seq, const struct ox_ranges *owed, uint64_t stream_seq,
                           uint32_t stream_len, struct ox_buf *out)
{
    ox_err err = stream_seq != 0 ? encode_head(OX_BACKLOG_STREAMED, wal_seq, owed, out) : OX_E_INVALID;
    uint8_t *p = err == OX_OK ? ox_buf_reserve(out, PLACE_BYTES) : NULL;
    if (p == NULL)
        return err != OX_OK ? err : OX_E_NOMEM;
    put(p, stream_seq, 8);
    put(p + 8, stream_len, 4);
    out->len += PLACE_BYTES;
    return OX_OK;
}

ox_err
ox_backlog_encode_note(const uint64_t *consumed, struct ox_buf *out)
{
    uint8_t *p = ox_buf_reserve(out, NOTE_BYTES);
    if (p == NULL)
        return OX_E_NOMEM;
    put_head(p, OX_BACKLOG_NOTE);
    put(p + 4, consumed[OX_WAL_ORIGIN_BACKLOG], 8);
    put(p + 12, consumed[OX_WAL_ORIGIN_STREAM], 8);
    out->len += NOTE_BYTES;
    return OX_OK;
}

static ox_err
get_owed(const uint8_t *p, uint64_t count, struct ox_ranges *out, struct ox_diag *diag)
{
    uint64_t before = 0; /* one behind the last range's end, so that neighbours must be apart */
    ox_err err = OX_OK;
    for (uint64_t i = 0; i < count && err == OX_OK; i++, p += 8) {
        uint32_t from = (uint32_t)get(p, 4), to = (uint32_t)get(p + 4, 4);
        if (from < before || from >= to || to > OX_WAL_RECORDS_MAX)
            return ox_diag_set(diag, OX_E_DECODE, "owed", MOVED_BYTES,
                               "range %u to %u is empty or out of order", from, to);
        before = (uint64_t)to + 1;
        err = ox_ranges_add(out, from, to, NULL);
    }
    return err;
}

static ox_err
get_place(struct ox_backlog_entry *out, struct ox_diag *diag)
{
    const uint8_t *p = (const uint8_t *)out->payload.p;
    size_t n = out->payload.n;
    out->payload = (struct ox_str){NULL, 0};
    if (n == PLACE_BYTES && get(p, 8) != 0) {
        out->stream_seq = get(p, 8);
        out->stream_len = (uint32_t)get(p + 8, 4);
        return OX_OK;
    }
    ox_ranges_fini(&out->owed);
    return ox_diag_set(diag, n < PLACE_BYTES ? OX_E_TRUNCATED : OX_E_DECODE, "stream", (int64_t)n,
                       "a place in the stream has %u bytes and a sequence, this one %zu", PLACE_BYTES, n);
}

static ox_err
get_moved(const uint8_t *p, size_t n, struct ox_backlog_entry *out, struct ox_diag *diag)
{
    if (n < MOVED_BYTES)
        return ox_diag_set(diag, OX_E_TRUNCATED, NULL, (int64_t)n,
                           "a moved entry has at least %u bytes, this one %zu", MOVED_BYTES, n);
    uint64_t count = get(p + 12, 4);
    out->wal_seq = get(p + 4, 8);
    if (out->wal_seq == 0 || count == 0)
        return ox_diag_set(diag, OX_E_DECODE, "wal_seq", 4,
                           "an entry of no place in the log, or with nothing owed");
    if (count > (n - MOVED_BYTES) / 8)
        return ox_diag_set(diag, OX_E_TRUNCATED, "owed", 12,
                           "%llu ranges are announced, there is room for %zu", (unsigned long long)count,
                           (n - MOVED_BYTES) / 8);
    ox_err err = get_owed(p + MOVED_BYTES, count, &out->owed, diag);
    if (err != OX_OK) {
        ox_ranges_fini(&out->owed);
        return err;
    }
    size_t at = MOVED_BYTES + 8 * (size_t)count;
    out->payload = (struct ox_str){(const char *)p + at, n - at};
    return out->kind == OX_BACKLOG_STREAMED ? get_place(out, diag) : OX_OK;
}

ox_err
ox_backlog_entry_decode(struct ox_str payload, struct ox_backlog_entry *out, struct ox_diag *diag)
{
    const uint8_t *p = (const uint8_t *)payload.p;
    memset(out, 0, sizeof(*out));
    if (payload.n < HEAD_BYTES)
        return ox_diag_set(diag, OX_E_TRUNCATED, NULL, (int64_t)payload.n, "%zu bytes are no backlog entry",
                           payload.n);
    unsigned version = (unsigned)get(p, 2), kind = (unsigned)get(p + 2, 2);
    if (version != OX_BACKLOG_ENTRY_VERSION || kind < OX_BACKLOG_MOVED || kind > OX_BACKLOG_STREAMED)
        return ox_diag_set(
            diag, OX_E_UNIMPLEMENTED, "version", 0,
            "backlog entry of version %u and kind %u; this program reads version %d, kinds 1 to 3", version,
            kind, OX_BACKLOG_ENTRY_VERSION);
    out->kind = (enum ox_backlog_kind)kind;
    if (kind != OX_BACKLOG_NOTE)
        return get_moved(p, payload.n, out, diag);
    if (payload.n != NOTE_BYTES)
        return ox_diag_set(diag, payload.n < NOTE_BYTES ? OX_E_TRUNCATED : OX_E_DECODE, NULL,
                           (int64_t)payload.n, "a note has %u bytes, this one %zu", NOTE_BYTES, payload.n);
    out->consumed[OX_WAL_ORIGIN_BACKLOG] = get(p + 4, 8);
    out->consumed[OX_WAL_ORIGIN_STREAM] = get(p + 12, 8);
    return OX_OK;
}

void
ox_backlog_entry_fini(struct ox_backlog_entry *entry)
{
    ox_ranges_fini(&entry->owed);
}
