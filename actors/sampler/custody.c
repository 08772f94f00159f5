/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/sampler/custody.c - see include/ox/custody.h.
 *
 * Owns, Threads, Bounds, Fails, Flow: see there.
 *
 * Entries stand in an open-addressed table with linear probing, at most half full; one that becomes empty leaves it, and
 * those behind it move up (Knuth, The Art of Computer Programming 3, 6.4, algorithm R).
 */
#include "ox/custody.h"

#include <stdlib.h>

#define SLOTS_FIRST 64u
#define WORD        64u

struct held {
    uint64_t seq;   /* 0 = free */
    uint64_t *bits; /* NULL while one word is enough */
    uint64_t one;
    uint32_t words;
    uint32_t n; /* bits that are set */
};

struct ox_custody {
    struct held *slots;
    size_t n_slots, n;
    size_t extra_bytes; /* of bits */
    uint64_t records;
};

struct ox_custody *
ox_custody_new(void)
{
    struct ox_custody *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->n_slots = SLOTS_FIRST;
    c->slots = calloc(c->n_slots, sizeof(*c->slots));
    if (c->slots == NULL) {
        free(c);
        return NULL;
    }
    return c;
}

void
ox_custody_free(struct ox_custody *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->n_slots; i++)
        free(c->slots[i].bits);
    free(c->slots);
    free(c);
}

/* Sequences count up: a product spreads them, its upper half decides. */
static size_t
home(uint64_t seq, size_t n_slots)
{
    return (size_t)((seq * 0x9e3779b97f4a7c15ull) >> 32) & (n_slots - 1);
}

static size_t
slot_of(const struct held *slots, size_t n_slots, uint64_t seq)
{
    size_t at = home(seq, n_slots);
    while (slots[at].seq != 0 && slots[at].seq != seq)
        at = (at + 1) & (n_slots - 1);
    return at;
}

static ox_err
make_room(struct ox_custody *c)
{
    if (2 * (c->n + 1) <= c->n_slots)
        return OX_OK;
    size_t n_slots = 2 * c->n_slots;
    struct held *slots = calloc(n_slots, sizeof(*slots));
    if (slots == NULL)
        return OX_E_NOMEM;
    for (size_t i = 0; i < c->n_slots; i++) {
        if (c->slots[i].seq != 0)
            slots[slot_of(slots, n_slots, c->slots[i].seq)] = c->slots[i];
    }
    free(c->slots);
    c->slots = slots;
    c->n_slots = n_slots;
    return OX_OK;
}

static uint64_t *
bits_of(struct held *h)
{
    return h->bits != NULL ? h->bits : &h->one;
}

/* Room for bit `ordinal`; doubled, so that the records of a large request cost no copy each. */
static ox_err
widen(struct ox_custody *c, struct held *h, uint32_t ordinal)
{
    uint32_t words = ordinal / WORD + 1;
    if (words <= h->words)
        return OX_OK;
    words = words < 2 * h->words ? 2 * h->words : words;
    uint64_t *bits = calloc(words, sizeof(*bits));
    if (bits == NULL)
        return OX_E_NOMEM;
    memcpy(bits, bits_of(h), h->words * sizeof(*bits));
    c->extra_bytes += words * sizeof(*bits) - (h->bits != NULL ? h->words * sizeof(*bits) : 0);
    free(h->bits);
    h->bits = bits;
    h->words = words;
    return OX_OK;
}

static void
drop(struct ox_custody *c, size_t at)
{
    size_t mask = c->n_slots - 1, free_slot = at;
    struct held *gone = &c->slots[at];
    c->extra_bytes -= gone->bits != NULL ? gone->words * sizeof(*gone->bits) : 0;
    free(gone->bits);
    for (size_t i = (at + 1) & mask; c->slots[i].seq != 0; i = (i + 1) & mask) {
        size_t from = home(c->slots[i].seq, c->n_slots);
        if (((i - from) & mask) < ((i - free_slot) & mask))
            continue; /* it would stand before its home */
        c->slots[free_slot] = c->slots[i];
        free_slot = i;
    }
    c->slots[free_slot] = (struct held){0};
    c->n--;
}

ox_err
ox_custody_take(struct ox_custody *c, uint64_t seq, uint32_t ordinal)
{
    OX_ASSERT(seq != 0);
    ox_err err = make_room(c);
    if (err != OX_OK)
        return err;
    struct held *h = &c->slots[slot_of(c->slots, c->n_slots, seq)];
    bool is_new = h->seq == 0;
    if (is_new)
        *h = (struct held){.words = 1};
    err = widen(c, h, ordinal);
    if (err != OX_OK)
        return err;
    uint64_t *word = &bits_of(h)[ordinal / WORD], bit = 1ull << ordinal % WORD;
    if ((*word & bit) != 0)
        return OX_E_EXISTS;
    *word |= bit;
    h->n++;
    c->records++;
    h->seq = seq;
    c->n += is_new;
    return OX_OK;
}

bool
ox_custody_has(const struct ox_custody *c, uint64_t seq, uint32_t ordinal)
{
    struct held *h = &c->slots[slot_of(c->slots, c->n_slots, seq)];
    return h->seq == seq && ordinal / WORD < h->words &&
           (bits_of(h)[ordinal / WORD] & 1ull << ordinal % WORD) != 0;
}

bool
ox_custody_give(struct ox_custody *c, uint64_t seq, uint32_t ordinal)
{
    if (!ox_custody_has(c, seq, ordinal))
        return false;
    size_t at = slot_of(c->slots, c->n_slots, seq);
    struct held *h = &c->slots[at];
    bits_of(h)[ordinal / WORD] &= ~(1ull << ordinal % WORD);
    h->n--;
    c->records--;
    if (h->n == 0)
        drop(c, at);
    return true;
}

uint64_t
ox_custody_records(const struct ox_custody *c)
{
    return c->records;
}

size_t
ox_custody_entries(const struct ox_custody *c)
{
    return c->n;
}

size_t
ox_custody_bytes(const struct ox_custody *c)
{
    return sizeof(*c) + c->n_slots * sizeof(*c->slots) + c->extra_bytes;
}

static int
by_seq(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void
ox_custody_seqs(const struct ox_custody *c, uint64_t *seqs)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_slots; i++) {
        if (c->slots[i].seq != 0)
            seqs[n++] = c->slots[i].seq;
    }
    OX_ASSERT(n == c->n);
    qsort(seqs, n, sizeof(*seqs), by_seq);
}
