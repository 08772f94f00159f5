/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/warden/audit_chain.c - one line of the audit log behind the other.
 *
 * Owns:    nothing.
 * Threads: any; pure.
 * Bounds:  see audit_chain.h.
 */
#include "actors/warden/audit_chain.h"

#include <inttypes.h>
#include <stdio.h>

#define TAIL_LEN (9 + OX_AUDIT_HASH_LEN + 2) /* ,"hash":"..."} */

/* What a line says of its place. */
struct place {
    uint64_t seq;
    struct ox_str prev, hash;
    uint64_t loose_bytes;
    struct ox_str loose_hash;
};

static void
hash_hex(const blake3_hasher *h, char out[OX_AUDIT_HASH_LEN + 1])
{
    uint8_t digest[OX_AUDIT_HASH_LEN / 2];
    blake3_hasher_finalize(h, digest, sizeof(digest));
    ox_hex_encode(digest, sizeof(digest), out);
}

static void
hash_text(struct ox_str text, char out[OX_AUDIT_HASH_LEN + 1])
{
    blake3_hasher h;
    blake3_hasher_init(&h);
    blake3_hasher_update(&h, text.p, text.n);
    hash_hex(&h, out);
}

/* ---- reading ---- */

static bool
skip(struct ox_str *s, const char *text)
{
    size_t n = strlen(text);
    if (s->n < n || memcmp(s->p, text, n) != 0)
        return false;
    *s = (struct ox_str){s->p + n, s->n - n};
    return true;
}

static bool
number(struct ox_str *s, uint64_t *out)
{
    size_t n = 0;
    for (*out = 0; n < s->n && n < 18 && s->p[n] >= '0' && s->p[n] <= '9'; n++)
        *out = *out * 10 + (uint64_t)(s->p[n] - '0');
    *s = (struct ox_str){s->p + n, s->n - n};
    return n > 0;
}

static bool
hash(struct ox_str *s, struct ox_str *out)
{
    if (s->n < OX_AUDIT_HASH_LEN)
        return false;
    *out = (struct ox_str){s->p, OX_AUDIT_HASH_LEN};
    *s = (struct ox_str){s->p + OX_AUDIT_HASH_LEN, s->n - OX_AUDIT_HASH_LEN};
    return skip(s, "\"");
}

static bool
is_of_chain(struct ox_str line, struct place *out)
{
    char own[OX_AUDIT_HASH_LEN + 1];
    struct ox_str s = line, tail;
    *out = (struct place){0};
    if (line.n < TAIL_LEN || !skip(&s, "{\"seq\":") || !number(&s, &out->seq) || !skip(&s, ",\"prev\":\"") ||
        !hash(&s, &out->prev))
        return false;
    if (skip(&s, ",\"unchained\":{\"bytes\":") &&
        (!number(&s, &out->loose_bytes) || !skip(&s, ",\"blake3\":\"") || !hash(&s, &out->loose_hash)))
        return false;
    tail = (struct ox_str){line.p + line.n - TAIL_LEN, TAIL_LEN};
    if (!skip(&tail, ",\"hash\":\"") || !hash(&tail, &out->hash) || !ox_str_eq(tail, OX_STR("}")))
        return false;
    hash_text((struct ox_str){line.p, line.n - TAIL_LEN}, own);
    return ox_str_eq(out->hash, ox_str_of(own));
}

static bool
claims_loose(const struct ox__audit_chain *c, const struct place *at)
{
    char between[OX_AUDIT_HASH_LEN + 1];
    if (c->loose_bytes == 0 || at->loose_bytes != c->loose_bytes)
        return at->loose_bytes == c->loose_bytes;
    hash_hex(&c->loose, between);
    return ox_str_eq(at->loose_hash, ox_str_of(between));
}

static enum ox__audit_verdict
judge(const struct ox__audit_chain *c, const struct place *at)
{
    if (!c->begun)
        return OX__AUDIT_FITS;
    if (!claims_loose(c, at))
        return OX__AUDIT_UNCLAIMED;
    if (at->seq != c->seq + 1)
        return OX__AUDIT_GAP;
    return ox_str_eq(at->prev, ox_str_of(c->hash)) ? OX__AUDIT_FITS : OX__AUDIT_FOREIGN;
}

static void
forget_loose(struct ox__audit_chain *c)
{
    blake3_hasher_init(&c->loose);
    c->loose_bytes = 0;
}

void
ox__audit_chain_init(struct ox__audit_chain *c, bool from_start)
{
    *c = (struct ox__audit_chain){.begun = from_start};
    memset(c->hash, '0', OX_AUDIT_HASH_LEN);
    forget_loose(c);
}

enum ox__audit_verdict
ox__audit_chain_take(struct ox__audit_chain *c, struct ox_str line, bool ended)
{
    struct place at;
    if (!ended || !is_of_chain(line, &at)) {
        blake3_hasher_update(&c->loose, line.p, line.n);
        blake3_hasher_update(&c->loose, "\n", ended);
        c->loose_bytes += line.n + ended;
        return OX__AUDIT_LOOSE;
    }
    enum ox__audit_verdict verdict = judge(c, &at);
    c->begun = true;
    c->seq = at.seq;
    memcpy(c->hash, at.hash.p, OX_AUDIT_HASH_LEN);
    forget_loose(c);
    return verdict;
}

/* ---- writing ---- */

void
ox__audit_chain_open_line(const struct ox__audit_chain *c, struct ox_buf *out)
{
    char loose[OX_AUDIT_HASH_LEN + 1];
    ox_buf_printf(out, "{\"seq\":%" PRIu64 ",\"prev\":\"%s\"", c->seq + 1, c->hash);
    if (c->loose_bytes == 0)
        return;
    hash_hex(&c->loose, loose);
    ox_buf_printf(out, ",\"unchained\":{\"bytes\":%" PRIu64 ",\"blake3\":\"%s\"}", c->loose_bytes, loose);
}

void
ox__audit_chain_close_line(struct ox_buf *out)
{
    char own[OX_AUDIT_HASH_LEN + 1];
    hash_text(ox_buf_str(out), own);
    ox_buf_printf(out, ",\"hash\":\"%s\"}\n", own);
}
