/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/wal/ledger.c - which records are still owed, and which journal segments may go.
 *
 * Owns:    an account per open WAL entry, per segment, per block in flight.
 * Threads: one owner; pure.
 * Bounds:  entries_max, blocks_max; segments as many as the journals have.
 * Fails:   see include/ox/ledger.h.
 * Flow:    actors/wal (logged), actors/writer (disposed, stored), restart -> here -> releases of both journals.
 *
 * An entry is forgotten as soon as its last ordinal is disposed of: what remains is that its segment has one open
 * entry less. While rebuilding, dispositions are read before the entries that they belong to; they wait in accounts
 * with segment 0 ("ghosts"). An outbox segment remembers only the highest WAL segment that it accounts for, since
 * WAL segments go in order; and a ghost only the lowest outbox segment that names it, since these go in order too.
 */
#include "ox/ledger.h"

#include <stdlib.h>

#include "actors/wal/ledger_map.h"

#define LEDGER_MAGIC        0x4f584c47u
#define ENTRIES_MAX_DEFAULT (1u << 20)
#define BLOCKS_MAX_DEFAULT  65536u

struct entry {
    uint64_t seq;
    uint64_t wal_segment;  /* 0 = ghost */
    uint64_t first_outbox; /* ghost: lowest outbox segment that disposes of it */
    uint32_t n_records;
    uint32_t n_disposed;
    struct ox_ranges disposed;
};

struct segment {
    uint64_t number;
    uint64_t open;    /* WAL: entries with something missing; outbox: blocks in flight */
    uint64_t wal_max; /* outbox: highest WAL segment that it accounts for, 0 = none */
};

/* Sorted by number; few, so that searching from the end is quick. */
struct segments {
    struct segment *at;
    size_t n, cap;
    uint64_t sealed_below;
    uint64_t gone_below; /* one behind the last that is gone */
};

struct ox_ledger {
    uint32_t magic;
    bool rebuilding;
    bool overdrawn; /* more disposed of than there was */
    struct ox_ledger_options options;
    uint64_t last_seq;
    struct ox__ledger_map entries; /* seq -> struct entry */
    struct ox__ledger_map blocks;  /* block id -> (void *) outbox segment number */
    struct segments wal;
    struct segments outbox;
    struct ox_ledger_stats stats;
};

struct ox_ledger *
ox_ledger_new(const struct ox_ledger_options *options)
{
    struct ox_ledger *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return NULL;
    l->magic = LEDGER_MAGIC;
    l->rebuilding = true;
    if (options != NULL)
        l->options = *options;
    if (l->options.entries_max == 0)
        l->options.entries_max = ENTRIES_MAX_DEFAULT;
    if (l->options.blocks_max == 0)
        l->options.blocks_max = BLOCKS_MAX_DEFAULT;
    return l;
}

static void
entry_free(struct entry *e)
{
    ox_ranges_fini(&e->disposed);
    free(e);
}

void
ox_ledger_free(struct ox_ledger *l)
{
    if (l == NULL)
        return;
    OX_CHECK_OBJ(l, LEDGER_MAGIC);
    for (size_t i = 0; i < l->entries.cap; i++) {
        if (l->entries.slots[i].value != NULL)
            entry_free(l->entries.slots[i].value);
    }
    ox__ledger_map_fini(&l->entries);
    ox__ledger_map_fini(&l->blocks);
    free(l->wal.at);
    free(l->outbox.at);
    l->magic = 0;
    free(l);
}

static struct segment *
segment_find(const struct segments *s, uint64_t number)
{
    for (size_t i = s->n; i > 0 && s->at[i - 1].number >= number; i--) {
        if (s->at[i - 1].number == number)
            return &s->at[i - 1];
    }
    return NULL;
}

/* The account of a segment, made when it is new. INVALID: it is older than one that is known, so it may be gone. */
static ox_err
segment_open(struct segments *s, uint64_t number, struct segment **out)
{
    *out = segment_find(s, number);
    if (*out != NULL)
        return OX_OK;
    if (number == 0 || number < s->gone_below || (s->n > 0 && number < s->at[s->n - 1].number))
        return OX_E_INVALID;
    if (s->n == s->cap) {
        size_t cap = s->cap != 0 ? s->cap * 2 : 16;
        struct segment *at = realloc(s->at, cap * sizeof(*at));
        if (at == NULL)
            return OX_E_NOMEM;
        s->at = at;
        s->cap = cap;
    }
    s->at[s->n] = (struct segment){.number = number};
    *out = &s->at[s->n++];
    if (s->sealed_below < number)
        s->sealed_below = number;
    return OX_OK;
}

static void
segment_gone(struct segments *s, uint64_t number)
{
    OX_ASSERT(s->n > 0 && s->at[0].number == number && s->at[0].open == 0);
    memmove(s->at, s->at + 1, (s->n - 1) * sizeof(*s->at));
    s->n--;
    s->gone_below = number + 1;
}

/* Adds an account for seq; segment 0 makes a ghost. */
static ox_err
entry_add(struct ox_ledger *l, uint64_t seq, struct entry **out)
{
    if (l->entries.n >= l->options.entries_max)
        return OX_E_OVERLOAD;
    struct entry *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return OX_E_NOMEM;
    e->seq = seq;
    if (!ox__ledger_map_put(&l->entries, seq, e)) {
        free(e);
        return OX_E_NOMEM;
    }
    *out = e;
    return OX_OK;
}

static void
entry_settle(struct ox_ledger *l, struct entry *e)
{
    struct segment *seg = segment_find(&l->wal, e->wal_segment);
    OX_ASSERT(seg != NULL && seg->open > 0 && e->n_disposed == e->n_records);
    seg->open--;
    (void)ox__ledger_map_take(&l->entries, e->seq);
    entry_free(e);
}

static void
account_for(struct ox_ledger *l, uint64_t outbox_segment, uint64_t wal_segment)
{
    struct segment *box = outbox_segment != 0 ? segment_find(&l->outbox, outbox_segment) : NULL;
    OX_ASSERT(box != NULL || outbox_segment == 0);
    if (box != NULL && box->wal_max < wal_segment)
        box->wal_max = wal_segment;
}

/* A ghost turns out to be this entry. */
static void
incarnate(struct ox_ledger *l, struct entry *e, uint64_t wal_segment, uint32_t n_records)
{
    const struct ox_range *at = ox_ranges_at(&e->disposed);
    if (e->disposed.n > 0 && at[e->disposed.n - 1].to > n_records)
        l->overdrawn = true;
    e->wal_segment = wal_segment;
    e->n_records = n_records;
    e->n_disposed = ox_ranges_count(&e->disposed, 0, n_records);
    account_for(l, e->first_outbox, wal_segment);
}

ox_err
ox_ledger_entry_logged(struct ox_ledger *l, uint64_t seq, uint64_t wal_segment, uint32_t n_records)
{
    OX_CHECK_OBJ(l, LEDGER_MAGIC);
    struct segment *seg;
    if (seq == 0 || seq <= l->last_seq)
        return OX_E_INVALID;
    struct entry *e = ox__ledger_map_get(&l->entries, seq);
    OX_ASSERT(e == NULL || e->wal_segment == 0);
    ox_err err = segment_open(&l->wal, wal_segment, &seg);
    if (err == OX_OK && e == NULL && n_records > 0)
        err = entry_add(l, seq, &e);
    if (err != OX_OK)
        return err;
    l->last_seq = seq;
    l->stats.records_logged += n_records;
    l->stats.records_open += n_records;
    if (e == NULL)
        return OX_OK;
    seg->open++;
    if (e->first_outbox != 0)
        incarnate(l, e, wal_segment, n_records);
    e->wal_segment = wal_segment;
    e->n_records = n_records;
    l->stats.records_open -= e->n_disposed;
    if (e->n_disposed == n_records)
        entry_settle(l, e);
    return OX_OK;
}

static ox_err
dispose(struct ox_ledger *l, struct entry *e, uint32_t from, uint32_t to, uint64_t outbox_segment)
{
    if (ox_ranges_count(&e->disposed, from, to) > 0)
        return OX_E_EXISTS;
    ox_err err = ox_ranges_add(&e->disposed, from, to, NULL);
    if (err != OX_OK)
        return err;
    if (e->wal_segment == 0) {
        if (e->first_outbox == 0 || e->first_outbox > outbox_segment)
            e->first_outbox = outbox_segment;
        return OX_OK;
    }
    e->n_disposed += to - from;
    l->stats.records_open -= to - from;
    account_for(l, outbox_segment, e->wal_segment);
    if (e->n_disposed == e->n_records)
        entry_settle(l, e);
    return OX_OK;
}

ox_err
ox_ledger_disposed(struct ox_ledger *l, uint64_t seq, uint32_t from, uint32_t to, enum ox_disposition how,
                   uint64_t outbox_segment)
{
    OX_CHECK_OBJ(l, LEDGER_MAGIC);
    struct segment *box;
    if (from >= to || how < OX_DISPOSED_STORED || how >= OX_DISPOSED__COUNT)
        return OX_E_INVALID;
    ox_err err = outbox_segment != 0 ? segment_open(&l->outbox, outbox_segment, &box) : OX_OK;
    if (err != OX_OK)
        return err;
    if (l->rebuilding && seq < l->options.wal_first_seq)
        return OX_OK;
    struct entry *e = ox__ledger_map_get(&l->entries, seq);
    if (e == NULL && !(l->rebuilding && seq > l->last_seq && outbox_segment != 0))
        return OX_E_NOT_FOUND;
    if (e != NULL && e->wal_segment != 0 && to > e->n_records)
        return OX_E_INVALID;
    if (e == NULL)
        err = entry_add(l, seq, &e);
    if (err == OX_OK)
        err = dispose(l, e, from, to, outbox_segment);
    if (err == OX_OK)
        l->stats.records_disposed[how] += to - from;
    return err;
}

ox_err
ox_ledger_block_appended(struct ox_ledger *l, uint64_t block_id, uint64_t outbox_segment)
{
    OX_CHECK_OBJ(l, LEDGER_MAGIC);
    struct segment *box;
    ox_err err = segment_open(&l->outbox, outbox_segment, &box);
    if (err != OX_OK)
        return err;
    if (ox__ledger_map_get(&l->blocks, block_id) != NULL)
        return OX_E_EXISTS;
    if (l->blocks.n >= l->options.blocks_max)
        return OX_E_OVERLOAD;
    if (!ox__ledger_map_put(&l->blocks, block_id, (void *)(uintptr_t)outbox_segment))
        return OX_E_NOMEM;
    box->open++;
    return OX_OK;
}

ox_err
ox_ledger_block_stored(struct ox_ledger *l, uint64_t block_id)
{
    OX_CHECK_OBJ(l, LEDGER_MAGIC);
    void *value = ox__ledger_map_take(&l->blocks, block_id);
    if (value == NULL)
        return OX_E_NOT_FOUND;
    struct segment *box = segment_find(&l->outbox, (uint64_t)(uintptr_t)value);
    OX_ASSERT(box != NULL && box->open > 0);
    box->open--;
    return OX_OK;
}

void
ox_ledger_wal_sealed_below(struct ox_ledger *l, uint64_t segment)
{
    OX_CHECK_OBJ(l, LEDGER_MAGIC);
    if (l->wal.sealed_below < segment)
        l->wal.sealed_below = segment;
}

void
ox_ledger_outbox_sealed_below(struct ox_ledger *l, uint64_t segment)
{
    OX_CHECK_OBJ(l, LEDGER_MAGIC);
    if (l->outbox.sealed_below < segment)
        l->outbox.sealed_below = segment;
}

ox_err
ox_ledger_outbox_seen(struct ox_ledger *l, uint64_t outbox_segment)
{
    OX_CHECK_OBJ(l, LEDGER_MAGIC);
    struct segment *box;
    return segment_open(&l->outbox, outbox_segment, &box);
}

/* The first ghost at or behind slot *i, or NULL. */
static struct entry *
next_ghost(const struct ox_ledger *l, size_t *i)
{
    for (; *i < l->entries.cap; (*i)++) {
        struct entry *e = l->entries.slots[*i].value;
        if (e != NULL && e->wal_segment == 0)
            return e;
    }
    return NULL;
}

ox_err
ox_ledger_rebuilt(struct ox_ledger *l, uint64_t *orphans)
{
    OX_CHECK_OBJ(l, LEDGER_MAGIC);
    OX_ASSERT(l->rebuilding);
    struct entry *e;
    uint64_t n = 0;
    size_t i = 0;
    while ((e = next_ghost(l, &i)) != NULL) {
        /* What moves into slot i comes from behind it, or over the table's end from slots that held no ghosts:
         * looking at slot i again misses none. */
        (void)ox__ledger_map_take(&l->entries, e->seq);
        entry_free(e);
        n++;
    }
    l->rebuilding = false;
    if (orphans != NULL)
        *orphans = n;
    return l->overdrawn ? OX_E_CORRUPT : OX_OK;
}

bool
ox_ledger_wal_releasable(const struct ox_ledger *l, uint64_t *segment)
{
    OX_CHECK_OBJ(l, LEDGER_MAGIC);
    const struct segments *s = &l->wal;
    if (l->rebuilding || s->n == 0 || s->at[0].open > 0 || s->at[0].number >= s->sealed_below)
        return false;
    *segment = s->at[0].number;
    return true;
}

bool
ox_ledger_wal_newest_only(const struct ox_ledger *l, bool *pins)
{
    OX_CHECK_OBJ(l, LEDGER_MAGIC);
    const struct segments *wal = &l->wal, *box = &l->outbox;
    bool only = !l->rebuilding && wal->n == 1 && wal->at[0].number >= wal->sealed_below;
    if (pins != NULL)
        *pins = only && box->n > 0 && box->at[0].open == 0 && box->at[0].number < box->sealed_below &&
                box->at[0].wal_max >= wal->at[0].number;
    return only;
}

void
ox_ledger_wal_gone(struct ox_ledger *l, uint64_t segment)
{
    OX_CHECK_OBJ(l, LEDGER_MAGIC);
    segment_gone(&l->wal, segment);
}

bool
ox_ledger_outbox_releasable(const struct ox_ledger *l, uint64_t *segment)
{
    OX_CHECK_OBJ(l, LEDGER_MAGIC);
    const struct segments *s = &l->outbox;
    if (l->rebuilding || s->n == 0 || s->at[0].open > 0 || s->at[0].number >= s->sealed_below)
        return false;
    if (s->at[0].wal_max != 0 && l->wal.n > 0 && l->wal.at[0].number <= s->at[0].wal_max)
        return false; /* its dispositions are all that keeps those records from being processed twice */
    *segment = s->at[0].number;
    return true;
}

void
ox_ledger_outbox_gone(struct ox_ledger *l, uint64_t segment)
{
    OX_CHECK_OBJ(l, LEDGER_MAGIC);
    segment_gone(&l->outbox, segment);
}

ox_err
ox_ledger_missing(const struct ox_ledger *l, uint64_t seq, struct ox_ranges *out)
{
    OX_CHECK_OBJ(l, LEDGER_MAGIC);
    const struct entry *e = ox__ledger_map_get(&l->entries, seq);
    if (e == NULL || e->wal_segment == 0)
        return OX_E_NOT_FOUND;
    return ox_ranges_complement(&e->disposed, e->n_records, out);
}

size_t
ox_ledger_blocks_in_flight(const struct ox_ledger *l, uint64_t *ids, size_t cap)
{
    OX_CHECK_OBJ(l, LEDGER_MAGIC);
    size_t n = 0;
    for (size_t i = 0; i < l->blocks.cap; i++) {
        if (l->blocks.slots[i].value == NULL)
            continue;
        if (n < cap)
            ids[n] = l->blocks.slots[i].key;
        n++;
    }
    return n;
}

bool
ox_ledger_block_in_flight(const struct ox_ledger *l, uint64_t block_id)
{
    OX_CHECK_OBJ(l, LEDGER_MAGIC);
    return ox__ledger_map_get(&l->blocks, block_id) != NULL;
}

void
ox_ledger_stats(const struct ox_ledger *l, struct ox_ledger_stats *out)
{
    OX_CHECK_OBJ(l, LEDGER_MAGIC);
    *out = l->stats;
    out->entries_open = l->entries.n;
    out->blocks_in_flight = l->blocks.n;
    out->wal_segments = l->wal.n;
    out->outbox_segments = l->outbox.n;
}
