/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/trace_decisions.c - see include/ox/trace_decisions.h.
 *
 * Owns, Threads, Bounds, Fails, Flow: see there.
 *
 * A ring in order of age, and chains through it by the low bits of the fingerprint. New entries go to the front of
 * their chain, so the oldest of all is at the end of its own.
 */
#include "ox/trace_decisions.h"

#include <endian.h>
#include <stdlib.h>

#include "ox/crc32c.h"
#include "ox/mix.h"
#include "ox/sampling.h"
#include "ox/tracestate.h"

#define NONE UINT32_MAX

struct ox_trace_decisions {
    uint64_t seed;
    uint32_t capacity, n, next_place; /* the place that is written next; when full it holds the oldest */
    uint32_t heads_mask;
    uint64_t *prints;
    uint32_t *packed;
    uint32_t *chain; /* the next older of the same chain */
    uint32_t *heads;
};

/* ---- a decision in 32 bits: kept 1 | winner 3 | rule 6 | leading 'f's 4 | digits 16 ---- */

_Static_assert(OX_WON__COUNT <= 8 && OX_SAMPLING_RULES_MAX <= 64 && OX_THRESHOLD_DIGITS == 4, "they fit");
#define LEADING_MAX  13u /* of 14 digits; the last stands with the others */
#define NEVER_DIGITS 15u /* in the place of the leading 'f's */

static uint32_t
pack_threshold(uint64_t threshold)
{
    uint32_t leading = 0;
    OX_ASSERT(ox_threshold_round(threshold, OX_THRESHOLD_DIGITS) == threshold);
    if (threshold >= OX_THRESHOLD_NEVER)
        return NEVER_DIGITS << 16;
    while (leading < LEADING_MAX && (threshold >> (52 - 4 * leading) & 15) == 15)
        leading++;
    uint64_t rest = threshold << (8 + 4 * leading); /* its digits from the top of the word */
    return leading << 16 | (uint32_t)(rest >> 48);
}

static uint64_t
unpack_threshold(uint32_t packed)
{
    uint32_t leading = packed >> 16 & 15;
    if (leading > LEADING_MAX)
        return OX_THRESHOLD_NEVER;
    uint64_t all = OX_THRESHOLD_NEVER - 1, digits = (uint64_t)(packed & 0xffff) << 48;
    return (all & ~(all >> 4 * leading)) | digits >> (8 + 4 * leading);
}

static uint32_t
pack(const struct ox_trace_decision *d)
{
    OX_ASSERT(d->winner < OX_WON__COUNT && d->rule < OX_SAMPLING_RULES_MAX);
    return (uint32_t)d->kept << 31 | (uint32_t)d->winner << 28 | (uint32_t)d->rule << 22 |
           pack_threshold(d->threshold);
}

static struct ox_trace_decision
unpack(uint32_t packed)
{
    return (struct ox_trace_decision){.kept = packed >> 31 != 0,
                                      .winner = packed >> 28 & 7,
                                      .rule = packed >> 22 & 63,
                                      .threshold = unpack_threshold(packed)};
}

/* ---- entries ---- */

static uint64_t
print_of(const struct ox_trace_decisions *d, const uint8_t trace_id[16])
{
    uint64_t words[2];
    memcpy(words, trace_id, sizeof(words));
    return ox_mix64(le64toh(words[0]) ^ ox_mix64(le64toh(words[1]) ^ d->seed));
}

static uint32_t
find(const struct ox_trace_decisions *d, uint64_t print)
{
    uint32_t at = d->heads[print & d->heads_mask];
    while (at != NONE && d->prints[at] != print)
        at = d->chain[at];
    return at;
}

static void
unchain(struct ox_trace_decisions *d, uint32_t place)
{
    uint32_t *from = &d->heads[d->prints[place] & d->heads_mask];
    while (*from != place)
        from = &d->chain[*from];
    *from = d->chain[place];
}

static void
put(struct ox_trace_decisions *d, uint64_t print, uint32_t packed)
{
    uint32_t at = find(d, print);
    if (at == NONE) {
        at = d->next_place;
        d->next_place = at + 1 < d->capacity ? at + 1 : 0;
        if (d->n == d->capacity)
            unchain(d, at);
        else
            d->n++;
        d->prints[at] = print;
        d->chain[at] = d->heads[print & d->heads_mask];
        d->heads[print & d->heads_mask] = at;
    }
    d->packed[at] = packed;
}

void
ox_trace_decisions_put(struct ox_trace_decisions *d, const uint8_t trace_id[16],
                       const struct ox_trace_decision *decision)
{
    put(d, print_of(d, trace_id), pack(decision));
}

bool
ox_trace_decisions_get(const struct ox_trace_decisions *d, const uint8_t trace_id[16],
                       struct ox_trace_decision *out)
{
    uint32_t at = find(d, print_of(d, trace_id));
    if (at == NONE)
        return false;
    *out = unpack(d->packed[at]);
    return true;
}

/* ---- the whole ---- */

/* A power of two of about half the entries: two to four in a chain. */
static uint32_t
heads_of(uint32_t capacity)
{
    uint32_t heads = 1;
    while (heads < capacity / 2)
        heads *= 2;
    return heads;
}

struct ox_trace_decisions *
ox_trace_decisions_new(uint32_t capacity, uint64_t seed)
{
    struct ox_trace_decisions *d = calloc(1, sizeof(*d));
    OX_ASSERT(capacity > 0 && capacity <= 1u << 28);
    if (d == NULL)
        return NULL;
    uint32_t heads = heads_of(capacity);
    d->seed = seed;
    d->capacity = capacity;
    d->heads_mask = heads - 1;
    d->prints = malloc(capacity * sizeof(*d->prints));
    d->packed = malloc(capacity * sizeof(*d->packed));
    d->chain = malloc(capacity * sizeof(*d->chain));
    d->heads = malloc(heads * sizeof(*d->heads));
    if (d->prints == NULL || d->packed == NULL || d->chain == NULL || d->heads == NULL) {
        ox_trace_decisions_free(d);
        return NULL;
    }
    memset(d->heads, 0xff, heads * sizeof(*d->heads));
    return d;
}

void
ox_trace_decisions_free(struct ox_trace_decisions *d)
{
    if (d == NULL)
        return;
    free(d->prints);
    free(d->packed);
    free(d->chain);
    free(d->heads);
    free(d);
}

uint32_t
ox_trace_decisions_count(const struct ox_trace_decisions *d)
{
    return d->n;
}

size_t
ox_trace_decisions_bytes(const struct ox_trace_decisions *d)
{
    size_t each = sizeof(*d->prints) + sizeof(*d->packed) + sizeof(*d->chain);
    return sizeof(*d) + d->capacity * each + (d->heads_mask + 1) * sizeof(*d->heads);
}

/* ---- saving: "OXD1", the seed, fingerprint and packed decision of each, a CRC-32C of all before ---- */

#define SAVE_MAGIC  "OXD1"
#define SAVE_HEADER 12
#define SAVE_RECORD 12

void
ox_trace_decisions_save(const struct ox_trace_decisions *d, struct ox_buf *out)
{
    size_t from = out->len;
    uint32_t oldest = d->n == d->capacity ? d->next_place : 0;
    uint64_t seed = htole64(d->seed);
    ox_buf_append_cstr(out, SAVE_MAGIC);
    ox_buf_append(out, &seed, sizeof(seed));
    for (uint32_t i = 0; i < d->n; i++) {
        uint32_t at = (uint32_t)(((uint64_t)oldest + i) % d->capacity);
        uint64_t print = htole64(d->prints[at]);
        uint32_t packed = htole32(d->packed[at]);
        ox_buf_append(out, &print, sizeof(print));
        ox_buf_append(out, &packed, sizeof(packed));
    }
    if (out->failed)
        return;
    uint32_t crc = htole32(ox_crc32c(0, out->data + from, out->len - from));
    ox_buf_append(out, &crc, sizeof(crc));
}

static bool
is_saved(struct ox_str bytes)
{
    uint32_t crc;
    if (bytes.n < SAVE_HEADER + 4 || (bytes.n - SAVE_HEADER - 4) % SAVE_RECORD != 0 ||
        memcmp(bytes.p, SAVE_MAGIC, 4) != 0)
        return false;
    memcpy(&crc, bytes.p + bytes.n - 4, 4);
    return le32toh(crc) == ox_crc32c(0, bytes.p, bytes.n - 4);
}

ox_err
ox_trace_decisions_load(struct ox_trace_decisions *d, struct ox_str bytes)
{
    uint64_t seed;
    if (!is_saved(bytes))
        return OX_E_CORRUPT;
    memcpy(&seed, bytes.p + 4, 8);
    if (le64toh(seed) != d->seed)
        return OX_E_INVALID;
    for (size_t at = SAVE_HEADER; at + 4 < bytes.n; at += SAVE_RECORD) {
        uint64_t print;
        uint32_t packed;
        memcpy(&print, bytes.p + at, 8);
        memcpy(&packed, bytes.p + at + 8, 4);
        put(d, le64toh(print), le32toh(packed));
    }
    return OX_OK;
}
