/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/wal_entry.c - one accepted request as bytes of the write-ahead log.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Bounds:  OX_WAL_RECORDS_MAX records; the journal bounds the whole.
 * Fails:   OX_E_INVALID when encoding, OX_E_TRUNCATED, OX_E_DECODE, OX_E_UNIMPLEMENTED when decoding.
 * Flow:    actors/wal on_append -> here -> runtime/journal; replay -> here -> proto.
 *
 * Layout, little endian, without padding:
 *
 *      0  version u16 = 1 or 2   2  signal u8      3  encoding u8     4  rejected form u8    5  tenant length u8
 *      6  received u64 (Unix ns)                  14  request hash, 2 x u64 (lo, hi)
 *     30  policy version u32    34  records u32   38  rejected length u32    42  body length u32
 *     46  version 2 only: origin u8 (1 backlog journal, 2 stream), origin sequence u64
 *     46 or 55  tenant, rejected, body
 *
 * Rejected form: 0 none (length 0); 1 ranges, pairs of u32 {from, to} sorted and apart; 2 bitmap, bit k of byte
 * k/8 (lowest first) for ordinal k, (records + 7) / 8 bytes. The shorter one is written. The sequence is not in the
 * payload: it is the journal's, under the journal's checksum.
 */
#include "ox/wal_entry.h"

#include <xxhash.h>

#define HEAD_BYTES   46u
#define ORIGIN_BYTES 9u

enum rejected_form { REJECTED_NONE, REJECTED_RANGES, REJECTED_BITMAP };

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

struct ox_wal_hash
ox_wal_hash_of(struct ox_str bytes)
{
    XXH128_hash_t h = XXH3_128bits(bytes.p != NULL ? bytes.p : "", bytes.n);
    return (struct ox_wal_hash){h.low64, h.high64};
}

static bool
encodable(const struct ox_wal_entry *e, size_t tenant_len)
{
    const struct ox_range *at = ox_ranges_at(&e->rejected);
    return tenant_len > 0 && tenant_len <= OX_TENANT_MAX && (unsigned)e->signal < OX_SIGNAL__COUNT &&
           e->encoding == OX_WAL_OTLP_PROTOBUF && e->n_records <= OX_WAL_RECORDS_MAX &&
           e->body.n <= UINT32_MAX && (unsigned)e->origin < OX_WAL_ORIGIN__COUNT &&
           (e->origin == OX_WAL_ORIGIN_NONE) == (e->origin_seq == 0) &&
           (e->rejected.n == 0 || at[e->rejected.n - 1].to <= e->n_records);
}

static void
put_ranges(uint8_t *p, const struct ox_ranges *r)
{
    const struct ox_range *at = ox_ranges_at(r);
    for (uint32_t i = 0; i < r->n; i++) {
        put(p + 8 * i, at[i].from, 4);
        put(p + 8 * i + 4, at[i].to, 4);
    }
}

static void
put_bitmap(uint8_t *p, size_t bytes, const struct ox_ranges *r)
{
    const struct ox_range *at = ox_ranges_at(r);
    memset(p, 0, bytes);
    for (uint32_t i = 0; i < r->n; i++) {
        for (uint32_t k = at[i].from; k < at[i].to; k++)
            p[k / 8] |= (uint8_t)(1u << (k % 8));
    }
}

ox_err
ox_wal_entry_encode(const struct ox_wal_entry *e, struct ox_buf *header)
{
    size_t tenant_len = strnlen(e->tenant.name, sizeof(e->tenant.name));
    if (!encodable(e, tenant_len))
        return OX_E_INVALID;
    size_t bitmap = ((size_t)e->n_records + 7) / 8, ranges = (size_t)e->rejected.n * 8;
    enum rejected_form form = ranges == 0        ? REJECTED_NONE
                              : ranges <= bitmap ? REJECTED_RANGES
                                                 : REJECTED_BITMAP;
    size_t rejected_len = form == REJECTED_BITMAP ? bitmap : ranges;
    bool origin = e->origin != OX_WAL_ORIGIN_NONE;
    size_t head = HEAD_BYTES + (origin ? ORIGIN_BYTES : 0);
    uint8_t *p = ox_buf_reserve(header, head + tenant_len + rejected_len);
    if (p == NULL)
        return OX_E_NOMEM;
    put(p, origin ? OX_WAL_ENTRY_VERSION_ORIGIN : OX_WAL_ENTRY_VERSION, 2);
    p[2] = (uint8_t)e->signal;
    p[3] = (uint8_t)e->encoding;
    p[4] = (uint8_t)form;
    p[5] = (uint8_t)tenant_len;
    put(p + 6, e->received_ns, 8);
    put(p + 14, e->request_hash.lo, 8);
    put(p + 22, e->request_hash.hi, 8);
    put(p + 30, e->policy_version, 4);
    put(p + 34, e->n_records, 4);
    put(p + 38, rejected_len, 4);
    put(p + 42, e->body.n, 4);
    if (origin) {
        p[HEAD_BYTES] = (uint8_t)e->origin;
        put(p + HEAD_BYTES + 1, e->origin_seq, 8);
    }
    memcpy(p + head, e->tenant.name, tenant_len);
    if (form == REJECTED_RANGES)
        put_ranges(p + head + tenant_len, &e->rejected);
    if (form == REJECTED_BITMAP)
        put_bitmap(p + head + tenant_len, bitmap, &e->rejected);
    header->len += head + tenant_len + rejected_len;
    return OX_OK;
}

static ox_err
get_ranges(const uint8_t *p, size_t n, uint32_t n_records, struct ox_ranges *out, struct ox_diag *diag)
{
    uint64_t before = 0; /* one behind the last range's end, so that neighbours must be apart */
    ox_err err = OX_OK;
    if (n == 0 || n % 8 != 0)
        return ox_diag_set(diag, OX_E_DECODE, "rejected", 38, "%zu bytes are no list of ranges", n);
    for (size_t i = 0; i < n && err == OX_OK; i += 8) {
        uint32_t from = (uint32_t)get(p + i, 4), to = (uint32_t)get(p + i + 4, 4);
        if (from < before || from >= to || to > n_records)
            return ox_diag_set(diag, OX_E_DECODE, "rejected", 38,
                               "range %u to %u is empty, out of order or beyond the %u records", from, to,
                               n_records);
        before = (uint64_t)to + 1;
        err = ox_ranges_add(out, from, to, NULL);
    }
    return err;
}

static ox_err
get_bitmap(const uint8_t *p, size_t n, uint32_t n_records, struct ox_ranges *out, struct ox_diag *diag)
{
    ox_err err = OX_OK;
    if (n != ((size_t)n_records + 7) / 8 || n == 0 ||
        (n_records % 8 != 0 && p[n - 1] >> (n_records % 8) != 0))
        return ox_diag_set(diag, OX_E_DECODE, "rejected", 38, "%zu bytes are no bitmap of %u records", n,
                           n_records);
    for (uint32_t k = 0; k < n_records && err == OX_OK; k++) {
        uint32_t from = k;
        while (k < n_records && (p[k / 8] >> (k % 8) & 1))
            k++;
        if (k > from)
            err = ox_ranges_add(out, from, k, NULL);
    }
    return err;
}

static ox_err
get_rejected(unsigned form, const uint8_t *p, size_t n, struct ox_wal_entry *out, struct ox_diag *diag)
{
    if (form == REJECTED_RANGES)
        return get_ranges(p, n, out->n_records, &out->rejected, diag);
    if (form == REJECTED_BITMAP)
        return get_bitmap(p, n, out->n_records, &out->rejected, diag);
    if (form == REJECTED_NONE && n == 0)
        return OX_OK;
    return ox_diag_set(diag, OX_E_DECODE, "rejected", 4, "form %u with %zu bytes is not known", form, n);
}

/* *head: the bytes in front of the tenant. */
static ox_err
get_version(const uint8_t *p, size_t n, size_t *head, struct ox_diag *diag)
{
    if (n < 2)
        return ox_diag_set(diag, OX_E_TRUNCATED, "version", 0, "%zu bytes are no log entry", n);
    unsigned version = (unsigned)get(p, 2);
    if (version != OX_WAL_ENTRY_VERSION && version != OX_WAL_ENTRY_VERSION_ORIGIN)
        return ox_diag_set(diag, OX_E_UNIMPLEMENTED, "version", 0,
                           "log entry of version %u; this program reads versions %d and %d", version,
                           OX_WAL_ENTRY_VERSION, OX_WAL_ENTRY_VERSION_ORIGIN);
    *head = HEAD_BYTES + (version == OX_WAL_ENTRY_VERSION_ORIGIN ? ORIGIN_BYTES : 0);
    if (n < *head)
        return ox_diag_set(diag, OX_E_TRUNCATED, NULL, (int64_t)n,
                           "a log entry of version %u has at least %zu bytes, this one %zu", version, *head,
                           n);
    return OX_OK;
}

static ox_err
get_origin(const uint8_t *p, struct ox_wal_entry *out, struct ox_diag *diag)
{
    out->origin_seq = get(p + 1, 8);
    if (p[0] == OX_WAL_ORIGIN_NONE || p[0] >= OX_WAL_ORIGIN__COUNT || out->origin_seq == 0)
        return ox_diag_set(diag, OX_E_DECODE, "origin", HEAD_BYTES,
                           "origin %u with sequence %llu is not known", p[0],
                           (unsigned long long)out->origin_seq);
    out->origin = (enum ox_wal_origin)p[0];
    return OX_OK;
}

static ox_err
get_head(const uint8_t *p, struct ox_wal_entry *out, struct ox_diag *diag)
{
    if (p[2] >= OX_SIGNAL__COUNT)
        return ox_diag_set(diag, OX_E_DECODE, "signal", 2, "signal %u is not known", p[2]);
    if (p[3] != OX_WAL_OTLP_PROTOBUF)
        return ox_diag_set(diag, OX_E_DECODE, "encoding", 3, "encoding %u is not known", p[3]);
    out->signal = (enum ox_signal)p[2];
    out->encoding = (enum ox_wal_encoding)p[3];
    out->received_ns = get(p + 6, 8);
    out->request_hash = (struct ox_wal_hash){get(p + 14, 8), get(p + 22, 8)};
    out->policy_version = (uint32_t)get(p + 30, 4);
    out->n_records = (uint32_t)get(p + 34, 4);
    if (out->n_records > OX_WAL_RECORDS_MAX)
        return ox_diag_set(diag, OX_E_DECODE, "records", 34, "%u records; at most %u are possible",
                           out->n_records, OX_WAL_RECORDS_MAX);
    return OX_OK;
}

ox_err
ox_wal_entry_decode(struct ox_str payload, struct ox_wal_entry *out, struct ox_diag *diag)
{
    const uint8_t *p = (const uint8_t *)payload.p;
    size_t head = 0;
    memset(out, 0, sizeof(*out));
    ox_err err = get_version(p, payload.n, &head, diag);
    if (err == OX_OK)
        err = get_head(p, out, diag);
    if (err == OX_OK && head > HEAD_BYTES)
        err = get_origin(p + HEAD_BYTES, out, diag);
    if (err != OX_OK)
        return err;
    uint64_t tenant_len = p[5], rejected_len = get(p + 38, 4), body_len = get(p + 42, 4);
    if (payload.n != head + tenant_len + rejected_len + body_len)
        return ox_diag_set(
            diag, payload.n < head + tenant_len + rejected_len + body_len ? OX_E_TRUNCATED : OX_E_DECODE,
            NULL, (int64_t)payload.n, "a log entry of %llu bytes is announced, %zu are there",
            (unsigned long long)(head + tenant_len + rejected_len + body_len), payload.n);
    struct ox_str tenant = {payload.p + head, (size_t)tenant_len};
    err = ox_tenant_id_parse(tenant, &out->tenant, diag);
    if (err != OX_OK)
        return OX_E_DECODE; /* the sentence stands in diag */
    err = get_rejected(p[4], p + head + tenant_len, (size_t)rejected_len, out, diag);
    if (err != OX_OK) {
        ox_wal_entry_fini(out);
        return err;
    }
    out->body = (struct ox_str){payload.p + head + tenant_len + rejected_len, (size_t)body_len};
    return OX_OK;
}

void
ox_wal_entry_fini(struct ox_wal_entry *entry)
{
    ox_ranges_fini(&entry->rejected);
}
