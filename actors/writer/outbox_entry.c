/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/writer/outbox_entry.c - one entry of the outbox as bytes.
 *
 * Owns:    a builder's header bytes and lists; a decoded entry's arrays.
 * Threads: one owner at a time.
 * Bounds:  OX_OUTBOX_*.
 * Fails:   OX_E_INVALID when building, OX_E_TRUNCATED, OX_E_DECODE, OX_E_UNIMPLEMENTED when decoding.
 * Flow:    actors/writer -> here -> runtime/journal; restart -> here -> actors/wal/ledger.c.
 *
 * Layout, little endian, without padding: version u16 = 1, kind u16, sections u32, then the sections, each
 * {type u16, section version u16, length u64, content}:
 *
 *   1 BLOCK         table u16, compression u8, token length u8, rows u32, partition u64, block id u64, raw length u64,
 *                   token, block bytes (the rest)
 *   2 DISPOSITIONS  count u32, then per item: WAL sequence u64, from u32, to u32, how u8
 *   3 STORED        count u32, then block ids u64
 *   4 DECISIONS     per tenant: name length u8, name, count u32, then per item: trace id (16 bytes), threshold u64,
 *                   kept u8, winner u8, rule u8
 *
 * An entry of kind BLOCKS has sections 1, 2 and 4, one of kind STORED section 3. What comes later gets types of its own; a
 * type or version that is not known is an error, since whatever it says would be lost.
 */
#include "ox/outbox_entry.h"

#include <stdlib.h>

#define ENTRY_HEAD       8u
#define SECTION_HEAD     12u
#define BLOCK_HEAD       32u
#define DISPOSITION_SIZE 17u
#define DECISION_SIZE    27u

enum section { SECTION_BLOCK = 1, SECTION_DISPOSITIONS = 2, SECTION_STORED = 3, SECTION_DECISIONS = 4 };
#define SECTION_VERSION 1

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

const char *
ox_disposition_name(enum ox_disposition how)
{
    static const char *const names[OX_DISPOSED__COUNT] = {
        "none", "stored", "sampled_out", "dead_lettered", "set_aside", "rejected", "moved"};
    OX_ASSERT((unsigned)how < OX_DISPOSED__COUNT);
    return names[how];
}

/* Room for one more item of `size` bytes; false = no memory. */
static bool
grow(void *array, uint32_t n, uint32_t *cap, size_t size)
{
    void **at = array;
    if (n < *cap)
        return true;
    uint32_t wanted = *cap != 0 ? *cap * 2 : 16;
    void *more = realloc(*at, wanted * size);
    if (more == NULL)
        return false;
    *at = more;
    *cap = wanted;
    return true;
}

void
ox_outbox_builder_init(struct ox_outbox_builder *b, enum ox_outbox_kind kind)
{
    memset(b, 0, sizeof(*b));
    b->kind = kind;
}

void
ox_outbox_builder_fini(struct ox_outbox_builder *b)
{
    ox_buf_fini(&b->header);
    free(b->parts);
    free(b->dispositions);
    free(b->stored);
    ox_buf_fini(&b->decided);
    free(b->iov);
    memset(b, 0, sizeof(*b));
}

void
ox_outbox_builder_reset(struct ox_outbox_builder *b, enum ox_outbox_kind kind)
{
    b->kind = kind;
    ox_buf_reset(&b->header);
    ox_buf_reset(&b->decided);
    b->n_parts = b->n_dispositions = b->n_stored = b->n_decided = 0;
    b->decides = false;
    b->finished = false;
}

static void
put_section(uint8_t *p, enum section type, uint64_t len)
{
    put(p, type, 2);
    put(p + 2, SECTION_VERSION, 2);
    put(p + 4, len, 8);
}

/* The entry's own head is filled when it is finished. */
static bool
reserve_head(struct ox_outbox_builder *b)
{
    if (b->header.len > 0)
        return true;
    uint8_t *p = ox_buf_reserve(&b->header, ENTRY_HEAD);
    if (p != NULL)
        b->header.len = ENTRY_HEAD;
    return p != NULL;
}

static bool
block_valid(const struct ox_outbox_block *k)
{
    return k->rows > 0 && k->token.n > 0 && k->token.n <= OX_OUTBOX_TOKEN_MAX && k->bytes.n > 0 &&
           (k->compression == OX_OUTBOX_ZSTD ||
            (k->compression == OX_OUTBOX_PLAIN && k->raw_len == k->bytes.n));
}

ox_err
ox_outbox_add_block(struct ox_outbox_builder *b, const struct ox_outbox_block *k)
{
    OX_ASSERT(b->kind == OX_OUTBOX_BLOCKS && !b->finished);
    if (!block_valid(k) || b->n_parts >= OX_OUTBOX_BLOCKS_MAX)
        return OX_E_INVALID;
    if (!reserve_head(b) || !grow(&b->parts, b->n_parts, &b->cap_parts, sizeof(*b->parts)))
        return OX_E_NOMEM;
    uint8_t *p = ox_buf_reserve(&b->header, SECTION_HEAD + BLOCK_HEAD + k->token.n);
    if (p == NULL)
        return OX_E_NOMEM;
    put_section(p, SECTION_BLOCK, BLOCK_HEAD + (uint64_t)k->token.n + k->bytes.n);
    p += SECTION_HEAD;
    put(p, k->table, 2);
    p[2] = k->compression;
    p[3] = (uint8_t)k->token.n;
    put(p + 4, k->rows, 4);
    put(p + 8, k->partition, 8);
    put(p + 16, k->block_id, 8);
    put(p + 24, k->raw_len, 8);
    memcpy(p + BLOCK_HEAD, k->token.p, k->token.n);
    b->header.len += SECTION_HEAD + BLOCK_HEAD + k->token.n;
    b->parts[b->n_parts].header_upto = b->header.len;
    b->parts[b->n_parts++].bytes = k->bytes;
    return OX_OK;
}

ox_err
ox_outbox_add_disposition(struct ox_outbox_builder *b, uint64_t wal_seq, uint32_t from, uint32_t to,
                          enum ox_disposition how)
{
    OX_ASSERT(b->kind == OX_OUTBOX_BLOCKS && !b->finished);
    if (from >= to || how < OX_DISPOSED_STORED || how >= OX_DISPOSED__COUNT)
        return OX_E_INVALID;
    struct ox_outbox_disposition *last =
        b->n_dispositions > 0 ? &b->dispositions[b->n_dispositions - 1] : NULL;
    if (last != NULL && last->wal_seq == wal_seq && last->how == how && last->to == from) {
        last->to = to;
        return OX_OK;
    }
    if (b->n_dispositions >= OX_OUTBOX_DISPOSITIONS_MAX)
        return OX_E_INVALID;
    if (!reserve_head(b) || !grow(&b->dispositions, b->n_dispositions, &b->cap_dispositions, sizeof(*last)))
        return OX_E_NOMEM;
    b->dispositions[b->n_dispositions++] = (struct ox_outbox_disposition){wal_seq, from, to, (uint8_t)how};
    return OX_OK;
}

ox_err
ox_outbox_add_stored(struct ox_outbox_builder *b, uint64_t block_id)
{
    OX_ASSERT(b->kind == OX_OUTBOX_STORED && !b->finished);
    if (b->n_stored >= OX_OUTBOX_STORED_MAX)
        return OX_E_INVALID;
    if (!reserve_head(b) || !grow(&b->stored, b->n_stored, &b->cap_stored, sizeof(*b->stored)))
        return OX_E_NOMEM;
    b->stored[b->n_stored++] = block_id;
    return OX_OK;
}

/* The name of the tenant that the last decisions are of. */
static struct ox_str
decided_tenant(const struct ox_outbox_builder *b)
{
    const uint8_t *count = b->decided.data + b->decided_at;
    const uint8_t *name = count - b->n_decided_name;
    return (struct ox_str){(const char *)name, b->n_decided_name};
}

static bool
begin_tenant(struct ox_outbox_builder *b, struct ox_str tenant)
{
    uint8_t *p = ox_buf_reserve(&b->decided, 1 + tenant.n + 4);
    if (p == NULL)
        return false;
    p[0] = (uint8_t)tenant.n;
    memcpy(p + 1, tenant.p, tenant.n);
    b->decided_at = b->decided.len + 1 + tenant.n;
    b->n_decided_name = (uint8_t)tenant.n;
    b->decided.len += 1 + tenant.n + 4;
    b->n_decided = 0;
    b->decides = true;
    return true;
}

ox_err
ox_outbox_add_decision(struct ox_outbox_builder *b, struct ox_str tenant,
                       const struct ox_outbox_decision *decision)
{
    OX_ASSERT(b->kind == OX_OUTBOX_BLOCKS && !b->finished);
    if (tenant.n == 0 || tenant.n > UINT8_MAX || decision->kept > 1 ||
        b->decided.len / DECISION_SIZE >= OX_OUTBOX_DECISIONS_MAX)
        return OX_E_INVALID;
    if (!reserve_head(b))
        return OX_E_NOMEM;
    if ((!b->decides || !ox_str_eq(decided_tenant(b), tenant)) && !begin_tenant(b, tenant))
        return OX_E_NOMEM;
    uint8_t *p = ox_buf_reserve(&b->decided, DECISION_SIZE);
    if (p == NULL)
        return OX_E_NOMEM;
    memcpy(p, decision->trace_id, 16);
    put(p + 16, decision->threshold, 8);
    p[24] = decision->kept;
    p[25] = decision->winner;
    p[26] = decision->rule;
    b->decided.len += DECISION_SIZE;
    put(b->decided.data + b->decided_at, ++b->n_decided, 4);
    return OX_OK;
}

static bool
put_decisions(struct ox_outbox_builder *b)
{
    uint8_t *p = ox_buf_reserve(&b->header, SECTION_HEAD + b->decided.len);
    if (p == NULL)
        return false;
    put_section(p, SECTION_DECISIONS, b->decided.len);
    memcpy(p + SECTION_HEAD, b->decided.data, b->decided.len);
    b->header.len += SECTION_HEAD + b->decided.len;
    return true;
}

static bool
put_dispositions(struct ox_outbox_builder *b)
{
    uint64_t len = 4 + (uint64_t)b->n_dispositions * DISPOSITION_SIZE;
    uint8_t *p = ox_buf_reserve(&b->header, SECTION_HEAD + (size_t)len);
    if (p == NULL)
        return false;
    put_section(p, SECTION_DISPOSITIONS, len);
    put(p + SECTION_HEAD, b->n_dispositions, 4);
    p += SECTION_HEAD + 4;
    for (uint32_t i = 0; i < b->n_dispositions; i++, p += DISPOSITION_SIZE) {
        const struct ox_outbox_disposition *d = &b->dispositions[i];
        put(p, d->wal_seq, 8);
        put(p + 8, d->from, 4);
        put(p + 12, d->to, 4);
        p[16] = d->how;
    }
    b->header.len += SECTION_HEAD + (size_t)len;
    return true;
}

static bool
put_stored(struct ox_outbox_builder *b)
{
    uint64_t len = 4 + (uint64_t)b->n_stored * 8;
    uint8_t *p = ox_buf_reserve(&b->header, SECTION_HEAD + (size_t)len);
    if (p == NULL)
        return false;
    put_section(p, SECTION_STORED, len);
    put(p + SECTION_HEAD, b->n_stored, 4);
    for (uint32_t i = 0; i < b->n_stored; i++)
        put(p + SECTION_HEAD + 4 + 8 * (size_t)i, b->stored[i], 8);
    b->header.len += SECTION_HEAD + (size_t)len;
    return true;
}

static bool
make_iov(struct ox_outbox_builder *b, int *n, uint64_t *bytes)
{
    uint64_t done = 0;
    int k = 0;
    uint32_t need = 2 * b->n_parts + 1;
    if (need > b->cap_iov) {
        struct iovec *iov = realloc(b->iov, need * sizeof(*iov));
        if (iov == NULL)
            return false;
        b->iov = iov;
        b->cap_iov = need;
    }
    *bytes = b->header.len;
    for (uint32_t i = 0; i < b->n_parts; i++) {
        b->iov[k++] = (struct iovec){b->header.data + done, (size_t)(b->parts[i].header_upto - done)};
        b->iov[k++] = (struct iovec){(void *)(uintptr_t)b->parts[i].bytes.p, b->parts[i].bytes.n};
        done = b->parts[i].header_upto;
        *bytes += b->parts[i].bytes.n;
    }
    if (done < b->header.len)
        b->iov[k++] = (struct iovec){b->header.data + done, b->header.len - (size_t)done};
    *n = k;
    return true;
}

ox_err
ox_outbox_builder_finish(struct ox_outbox_builder *b, const struct iovec **iov, int *n_iov, uint64_t *bytes)
{
    uint64_t sum;
    OX_ASSERT(!b->finished);
    if (b->n_parts == 0 && b->n_dispositions == 0 && b->n_stored == 0)
        return OX_E_INVALID;
    if ((b->n_dispositions > 0 && !put_dispositions(b)) || (b->n_stored > 0 && !put_stored(b)) ||
        (b->decides && !put_decisions(b)))
        return OX_E_NOMEM;
    put(b->header.data, OX_OUTBOX_ENTRY_VERSION, 2);
    put(b->header.data + 2, b->kind, 2);
    put(b->header.data + 4, (uint64_t)b->n_parts + (b->n_dispositions > 0) + (b->n_stored > 0) + b->decides,
        4);
    if (!make_iov(b, n_iov, &sum))
        return OX_E_NOMEM;
    b->finished = true;
    *iov = b->iov;
    if (bytes != NULL)
        *bytes = sum;
    return OX_OK;
}

/* Reading */

static ox_err
bad(struct ox_diag *diag, uint64_t offset, const char *what)
{
    return ox_diag_set(diag, OX_E_DECODE, "section", (int64_t)offset, "outbox entry: %s", what);
}

static ox_err
read_block(const uint8_t *p, uint64_t n, uint64_t offset, struct ox_outbox_entry *out, struct ox_diag *diag)
{
    uint32_t cap = out->n_blocks; /* grown one by one: an entry has few blocks */
    if (n < BLOCK_HEAD || n - BLOCK_HEAD < p[3])
        return bad(diag, offset, "a block ends before its head does");
    if (out->n_blocks >= OX_OUTBOX_BLOCKS_MAX)
        return bad(diag, offset, "more blocks than can be");
    struct ox_outbox_block k = {
        .table = (uint16_t)get(p, 2),
        .compression = p[2],
        .rows = (uint32_t)get(p + 4, 4),
        .partition = get(p + 8, 8),
        .block_id = get(p + 16, 8),
        .raw_len = get(p + 24, 8),
        .token = {(const char *)p + BLOCK_HEAD, p[3]},
        .bytes = {(const char *)p + BLOCK_HEAD + p[3], (size_t)(n - BLOCK_HEAD - p[3])}};
    if (!block_valid(&k))
        return bad(diag, offset, "a block without rows, token or bytes, or of an unknown compression");
    struct ox_outbox_block *more = realloc(out->blocks, (cap + 1) * sizeof(*more));
    if (more == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for an outbox entry");
    out->blocks = more;
    out->blocks[out->n_blocks++] = k;
    return OX_OK;
}

static ox_err
read_dispositions(const uint8_t *p, uint64_t n, uint64_t offset, struct ox_outbox_entry *out,
                  struct ox_diag *diag)
{
    uint64_t count = n >= 4 ? get(p, 4) : 0;
    if (count == 0 || count > OX_OUTBOX_DISPOSITIONS_MAX || n != 4 + count * DISPOSITION_SIZE ||
        out->dispositions != NULL)
        return bad(diag, offset, "dispositions that do not fit their count, or twice");
    out->dispositions = malloc((size_t)count * sizeof(*out->dispositions));
    if (out->dispositions == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for an outbox entry");
    p += 4;
    for (uint64_t i = 0; i < count; i++, p += DISPOSITION_SIZE) {
        struct ox_outbox_disposition d = {get(p, 8), (uint32_t)get(p + 8, 4), (uint32_t)get(p + 12, 4),
                                          p[16]};
        if (d.from >= d.to || d.how < OX_DISPOSED_STORED || d.how >= OX_DISPOSED__COUNT)
            return bad(diag, offset, "a disposition of nothing, or of an unknown fate");
        out->dispositions[out->n_dispositions++] = d;
    }
    return OX_OK;
}

static ox_err
read_stored(const uint8_t *p, uint64_t n, uint64_t offset, struct ox_outbox_entry *out, struct ox_diag *diag)
{
    uint64_t count = n >= 4 ? get(p, 4) : 0;
    if (count == 0 || count > OX_OUTBOX_STORED_MAX || n != 4 + count * 8 || out->stored != NULL)
        return bad(diag, offset, "stored blocks that do not fit their count, or twice");
    out->stored = malloc((size_t)count * sizeof(*out->stored));
    if (out->stored == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for an outbox entry");
    for (uint64_t i = 0; i < count; i++)
        out->stored[out->n_stored++] = get(p + 4 + 8 * i, 8);
    return OX_OK;
}

/* Room for `count` more; they are read by the caller. */
static ox_err
more_decisions(struct ox_outbox_entry *out, uint64_t count, struct ox_diag *diag)
{
    struct ox_outbox_decided *more =
        realloc(out->decisions, (size_t)(out->n_decisions + count) * sizeof(*more));
    if (more == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for an outbox entry");
    out->decisions = more;
    return OX_OK;
}

static void
read_decision(const uint8_t *p, struct ox_str tenant, struct ox_outbox_decided *out)
{
    *out = (struct ox_outbox_decided){
        tenant, {.threshold = get(p + 16, 8), .kept = p[24], .winner = p[25], .rule = p[26]}};
    memcpy(out->decision.trace_id, p, 16);
}

static ox_err
read_decisions(const uint8_t *p, uint64_t n, uint64_t offset, struct ox_outbox_entry *out,
               struct ox_diag *diag)
{
    const uint8_t *end = p + n;
    if (n == 0 || out->decisions != NULL)
        return bad(diag, offset, "decisions without any, or twice");
    while (p < end) {
        uint64_t name = p[0], left = (uint64_t)(end - p);
        uint64_t count = left >= 5 + name ? get(p + 1 + name, 4) : 0;
        if (name == 0 || count == 0 || count > OX_OUTBOX_DECISIONS_MAX ||
            count > (left - 5 - name) / DECISION_SIZE)
            return bad(diag, offset, "decisions that do not fit their count, or of nobody");
        struct ox_str tenant = {(const char *)p + 1, (size_t)name};
        ox_err err = more_decisions(out, count, diag);
        if (err != OX_OK)
            return err;
        p += 5 + name;
        for (; count > 0; count--, p += DECISION_SIZE) {
            if (p[24] > 1)
                return bad(diag, offset, "a decision that is neither yes nor no");
            read_decision(p, tenant, &out->decisions[out->n_decisions++]);
        }
    }
    return OX_OK;
}

static ox_err
read_section(const uint8_t *p, uint64_t n, uint64_t offset, struct ox_outbox_entry *out, struct ox_diag *diag)
{
    unsigned type = (unsigned)get(p, 2), version = (unsigned)get(p + 2, 2);
    bool blocks = type == SECTION_BLOCK || type == SECTION_DISPOSITIONS || type == SECTION_DECISIONS;
    if (version != SECTION_VERSION || (!blocks && type != SECTION_STORED))
        return ox_diag_set(diag, OX_E_UNIMPLEMENTED, "section", (int64_t)offset,
                           "outbox entry: section %u of version %u is not known to this version", type,
                           version);
    if (blocks != (out->kind == OX_OUTBOX_BLOCKS))
        return bad(diag, offset, "a section that does not belong into this kind of entry");
    if (type == SECTION_BLOCK)
        return read_block(p + SECTION_HEAD, n, offset, out, diag);
    if (type == SECTION_DISPOSITIONS)
        return read_dispositions(p + SECTION_HEAD, n, offset, out, diag);
    if (type == SECTION_DECISIONS)
        return read_decisions(p + SECTION_HEAD, n, offset, out, diag);
    return read_stored(p + SECTION_HEAD, n, offset, out, diag);
}

static ox_err
read_sections(struct ox_str payload, struct ox_outbox_entry *out, struct ox_diag *diag)
{
    const uint8_t *p = (const uint8_t *)payload.p;
    uint64_t at = ENTRY_HEAD, count = get(p + 4, 4);
    for (uint64_t i = 0; i < count; i++) {
        if (payload.n - at < SECTION_HEAD)
            return ox_diag_set(diag, OX_E_TRUNCATED, "section", (int64_t)at,
                               "outbox entry: section %u of %u is cut off", (unsigned)i, (unsigned)count);
        uint64_t n = get(p + at + 4, 8);
        if (n > payload.n - at - SECTION_HEAD)
            return ox_diag_set(diag, OX_E_TRUNCATED, "section", (int64_t)at,
                               "outbox entry: section %u of %u is cut off", (unsigned)i, (unsigned)count);
        ox_err err = read_section(p + at, n, at, out, diag);
        if (err != OX_OK)
            return err;
        at += SECTION_HEAD + n;
    }
    if (at != payload.n || count == 0)
        return bad(diag, at, "nothing in it, or bytes behind its last section");
    return OX_OK;
}

ox_err
ox_outbox_entry_decode(struct ox_str payload, struct ox_outbox_entry *out, struct ox_diag *diag)
{
    const uint8_t *p = (const uint8_t *)payload.p;
    memset(out, 0, sizeof(*out));
    if (payload.n < ENTRY_HEAD)
        return ox_diag_set(diag, OX_E_TRUNCATED, NULL, (int64_t)payload.n,
                           "an outbox entry has at least %u bytes, this one %zu", ENTRY_HEAD, payload.n);
    if (get(p, 2) != OX_OUTBOX_ENTRY_VERSION)
        return ox_diag_set(diag, OX_E_UNIMPLEMENTED, "version", 0,
                           "outbox entry of version %u; this program reads version %d", (unsigned)get(p, 2),
                           OX_OUTBOX_ENTRY_VERSION);
    unsigned kind = (unsigned)get(p + 2, 2);
    if (kind != OX_OUTBOX_BLOCKS && kind != OX_OUTBOX_STORED)
        return ox_diag_set(diag, OX_E_UNIMPLEMENTED, "kind", 2, "outbox entry of kind %u is not known", kind);
    out->kind = (enum ox_outbox_kind)kind;
    ox_err err = read_sections(payload, out, diag);
    if (err != OX_OK)
        ox_outbox_entry_fini(out);
    return err;
}

void
ox_outbox_entry_fini(struct ox_outbox_entry *entry)
{
    free(entry->blocks);
    free(entry->dispositions);
    free(entry->stored);
    free(entry->decisions);
    memset(entry, 0, sizeof(*entry));
}
