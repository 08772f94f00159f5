/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    every record ends exactly once stored, and no segment goes too early or stays for ever, whatever
 *          crashes.
 * Method:  single rules first. Then a world of plain arrays (what lies in both journals and in storage) in
 *          which a seeded dice appends, disposes, stores, releases, and crashes between any two steps; after
 *          a crash the ledger is rebuilt from the arrays and goes on; at the end everything is drained and
 *          counted.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "ox/ledger.h"

Test(ledger, an_entry_is_open_until_its_last_ordinal)
{
    struct ox_ledger *l = ox_ledger_new(NULL);
    struct ox_ranges missing = {0};
    struct ox_ledger_stats stats;
    uint64_t seg;
    cr_assert_eq(ox_ledger_rebuilt(l, NULL), OX_OK);
    cr_assert_eq(ox_ledger_entry_logged(l, 10, 1, 8), OX_OK);
    cr_assert_eq(ox_ledger_disposed(l, 10, 0, 2, OX_DISPOSED_REJECTED, 0), OX_OK);
    cr_assert_eq(ox_ledger_disposed(l, 10, 5, 8, OX_DISPOSED_STORED, 1), OX_OK);
    cr_assert_eq(ox_ledger_missing(l, 10, &missing), OX_OK);
    cr_assert(missing.n == 1 && ox_ranges_at(&missing)[0].from == 2 && ox_ranges_at(&missing)[0].to == 5);
    ox_ledger_wal_sealed_below(l, 2);
    cr_assert_not(ox_ledger_wal_releasable(l, &seg));
    cr_assert_eq(ox_ledger_disposed(l, 10, 2, 5, OX_DISPOSED_DEAD_LETTERED, 1), OX_OK);
    cr_assert(ox_ledger_wal_releasable(l, &seg) && seg == 1);
    cr_assert_eq(ox_ledger_missing(l, 10, &missing), OX_E_NOT_FOUND);
    ox_ledger_stats(l, &stats);
    cr_assert(stats.records_logged == 8 && stats.records_open == 0 && stats.entries_open == 0);
    cr_assert(stats.records_disposed[OX_DISPOSED_STORED] == 3 &&
              stats.records_disposed[OX_DISPOSED_REJECTED] == 2);
    ox_ranges_fini(&missing);
    ox_ledger_free(l);
}

Test(ledger, nothing_is_disposed_of_twice)
{
    struct ox_ledger *l = ox_ledger_new(NULL);
    cr_assert_eq(ox_ledger_rebuilt(l, NULL), OX_OK);
    cr_assert_eq(ox_ledger_entry_logged(l, 10, 1, 8), OX_OK);
    cr_assert_eq(ox_ledger_disposed(l, 10, 2, 4, OX_DISPOSED_STORED, 1), OX_OK);
    cr_assert_eq(ox_ledger_disposed(l, 10, 3, 6, OX_DISPOSED_STORED, 1), OX_E_EXISTS);
    cr_assert_eq(ox_ledger_disposed(l, 10, 4, 9, OX_DISPOSED_STORED, 1), OX_E_INVALID);
    cr_assert_eq(ox_ledger_disposed(l, 11, 0, 1, OX_DISPOSED_STORED, 1), OX_E_NOT_FOUND);
    cr_assert_eq(ox_ledger_disposed(l, 10, 4, 6, OX_DISPOSED_STORED, 1), OX_OK, "EXISTS had changed nothing");
    cr_assert_eq(ox_ledger_entry_logged(l, 10, 1, 8), OX_E_INVALID);
    cr_assert_eq(ox_ledger_block_appended(l, 7, 1), OX_OK);
    cr_assert_eq(ox_ledger_block_appended(l, 7, 1), OX_E_EXISTS);
    cr_assert_eq(ox_ledger_block_stored(l, 7), OX_OK);
    cr_assert_eq(ox_ledger_block_stored(l, 7), OX_E_NOT_FOUND);
    ox_ledger_free(l);
}

Test(ledger, an_outbox_segment_outlives_the_log_it_accounts_for)
{
    struct ox_ledger *l = ox_ledger_new(NULL);
    uint64_t seg;
    cr_assert_eq(ox_ledger_rebuilt(l, NULL), OX_OK);
    cr_assert_eq(ox_ledger_entry_logged(l, 10, 1, 1), OX_OK);
    cr_assert_eq(ox_ledger_entry_logged(l, 20, 1, 1), OX_OK);
    cr_assert_eq(ox_ledger_block_appended(l, 7, 1), OX_OK);
    cr_assert_eq(ox_ledger_disposed(l, 10, 0, 1, OX_DISPOSED_STORED, 1), OX_OK);
    ox_ledger_wal_sealed_below(l, 2);
    ox_ledger_outbox_sealed_below(l, 2);
    cr_assert_not(ox_ledger_outbox_releasable(l, &seg), "its block is in flight");
    cr_assert_eq(ox_ledger_block_stored(l, 7), OX_OK);
    cr_assert_not(ox_ledger_outbox_releasable(l, &seg), "the log still has entry 10");
    cr_assert_eq(ox_ledger_disposed(l, 20, 0, 1, OX_DISPOSED_SAMPLED_OUT, 2), OX_OK);
    cr_assert_not(ox_ledger_outbox_releasable(l, &seg), "the log could go, but has not gone");
    cr_assert(ox_ledger_wal_releasable(l, &seg) && seg == 1);
    ox_ledger_wal_gone(l, 1);
    cr_assert(ox_ledger_outbox_releasable(l, &seg) && seg == 1);
    ox_ledger_outbox_gone(l, 1);
    cr_assert_not(ox_ledger_outbox_releasable(l, &seg), "the newest is not sealed");
    cr_assert_eq(ox_ledger_block_appended(l, 8, 1), OX_E_INVALID, "nothing joins a segment that is gone");
    ox_ledger_free(l);
}

Test(ledger, rebuilding_joins_what_is_read_in_the_wrong_order)
{
    struct ox_ledger_options options = {.wal_first_seq = 10};
    struct ox_ledger *l = ox_ledger_new(&options);
    struct ox_ranges missing = {0};
    uint64_t seg, orphans;
    cr_assert_eq(ox_ledger_disposed(l, 5, 0, 9, OX_DISPOSED_STORED, 1), OX_OK, "history");
    cr_assert_eq(ox_ledger_disposed(l, 10, 0, 3, OX_DISPOSED_STORED, 1), OX_OK);
    cr_assert_eq(ox_ledger_disposed(l, 10, 0, 1, OX_DISPOSED_STORED, 2), OX_E_EXISTS);
    cr_assert_eq(ox_ledger_disposed(l, 20, 0, 3, OX_DISPOSED_STORED, 2), OX_OK);
    cr_assert_eq(ox_ledger_disposed(l, 25, 0, 3, OX_DISPOSED_STORED, 2), OX_OK, "of an entry that is lost");
    cr_assert_eq(ox_ledger_entry_logged(l, 10, 1, 3), OX_OK);
    cr_assert_eq(ox_ledger_entry_logged(l, 20, 1, 5), OX_OK);
    cr_assert_eq(ox_ledger_entry_logged(l, 30, 2, 5), OX_OK);
    cr_assert_not(ox_ledger_wal_releasable(l, &seg), "not before everything is read");
    cr_assert_eq(ox_ledger_rebuilt(l, &orphans), OX_OK);
    cr_assert_eq(orphans, 1);
    cr_assert_eq(ox_ledger_missing(l, 10, &missing), OX_E_NOT_FOUND);
    cr_assert_eq(ox_ledger_missing(l, 20, &missing), OX_OK);
    cr_assert(missing.n == 1 && ox_ranges_at(&missing)[0].from == 3);
    cr_assert_eq(ox_ledger_missing(l, 30, &missing), OX_OK);
    cr_assert_eq(ox_ranges_count(&missing, 0, 5), 5);
    cr_assert_not(ox_ledger_outbox_releasable(l, &seg));
    cr_assert_eq(ox_ledger_disposed(l, 20, 3, 5, OX_DISPOSED_STORED, 3), OX_OK);
    cr_assert(ox_ledger_wal_releasable(l, &seg) && seg == 1);
    ox_ledger_wal_gone(l, 1);
    cr_assert(ox_ledger_outbox_releasable(l, &seg) && seg == 1);
    ox_ranges_fini(&missing);
    ox_ledger_free(l);
}

Test(ledger, rebuilding_tells_when_more_was_disposed_of_than_there_was)
{
    struct ox_ledger *l = ox_ledger_new(NULL);
    cr_assert_eq(ox_ledger_disposed(l, 10, 0, 4, OX_DISPOSED_STORED, 1), OX_OK);
    cr_assert_eq(ox_ledger_entry_logged(l, 10, 1, 3), OX_OK);
    cr_assert_eq(ox_ledger_rebuilt(l, NULL), OX_E_CORRUPT);
    ox_ledger_free(l);
}

Test(ledger, bounds_are_kept)
{
    struct ox_ledger_options options = {.entries_max = 2, .blocks_max = 1};
    struct ox_ledger *l = ox_ledger_new(&options);
    cr_assert_eq(ox_ledger_rebuilt(l, NULL), OX_OK);
    cr_assert_eq(ox_ledger_entry_logged(l, 1, 1, 1), OX_OK);
    cr_assert_eq(ox_ledger_entry_logged(l, 2, 1, 1), OX_OK);
    cr_assert_eq(ox_ledger_entry_logged(l, 3, 1, 1), OX_E_OVERLOAD);
    cr_assert_eq(ox_ledger_disposed(l, 1, 0, 1, OX_DISPOSED_STORED, 1), OX_OK);
    cr_assert_eq(ox_ledger_entry_logged(l, 3, 1, 1), OX_OK, "room again");
    cr_assert_eq(ox_ledger_block_appended(l, 1, 1), OX_OK);
    cr_assert_eq(ox_ledger_block_appended(l, 2, 1), OX_E_OVERLOAD);
    ox_ledger_free(l);
}

/* The world: what is durable. */

#define ENTRIES 60
#define RECORDS 12
#define BOXES   2000
#define BLOCKS  2000

struct box { /* one outbox entry */
    uint64_t segment;
    uint64_t block; /* 0 = a stored record */
    uint64_t stored_block;
    uint64_t seq[4];
    uint32_t from[4], to[4];
    int n;
};

struct world {
    unsigned rng;
    struct ox_ledger *l;
    struct {
        uint64_t segment; /* 0 = not there */
        uint32_t n;
        int stored[RECORDS];
    } wal[ENTRIES + 1]; /* by sequence */
    uint64_t n_wal, wal_segment, wal_gone_below;
    struct box boxes[BOXES];
    int n_boxes;
    uint64_t outbox_segment, outbox_gone_below;
    bool in_storage[BLOCKS]; /* the insert has happened */
    int box_of[BLOCKS];
    uint64_t n_blocks;
    int crashes;
};

static unsigned
dice(struct world *w, unsigned n)
{
    return (unsigned)rand_r(&w->rng) % n;
}

static void rebuild(struct world *w);

static void
log_entry(struct world *w)
{
    if (w->n_wal == ENTRIES)
        return;
    if (dice(w, 5) == 0)
        w->wal_segment++;
    uint64_t seq = ++w->n_wal;
    w->wal[seq].segment = w->wal_segment;
    w->wal[seq].n = dice(w, RECORDS + 1);
    if (dice(w, 15) == 0) {
        rebuild(w); /* crash right behind the append */
        return;
    }
    cr_assert_eq(ox_ledger_entry_logged(w->l, seq, w->wal_segment, w->wal[seq].n), OX_OK);
}

/* Takes some missing ordinals of some entries into a block: one atomic append. */
static void
append_box(struct world *w)
{
    struct box *b = &w->boxes[w->n_boxes];
    struct ox_ranges missing = {0};
    memset(b, 0, sizeof(*b));
    for (int tries = 0; tries < 12 && b->n < 4; tries++) {
        uint64_t seq = 1 + dice(w, ENTRIES);
        bool twice = false;
        for (int i = 0; i < b->n; i++)
            twice |= b->seq[i] == seq;
        if (twice || ox_ledger_missing(w->l, seq, &missing) != OX_OK)
            continue;
        const struct ox_range *at = &ox_ranges_at(&missing)[dice(w, missing.n)];
        b->seq[b->n] = seq;
        b->from[b->n] = at->from;
        b->to[b->n++] = at->from + 1 + dice(w, at->to - at->from);
    }
    ox_ranges_fini(&missing);
    if (b->n == 0 || w->n_boxes == BOXES - 1)
        return;
    if (dice(w, 6) == 0)
        w->outbox_segment++;
    b->segment = w->outbox_segment;
    b->block = ++w->n_blocks;
    w->box_of[b->block] = w->n_boxes++;
    if (dice(w, 15) == 0) {
        rebuild(w); /* crash right behind the append */
        return;
    }
    cr_assert_eq(ox_ledger_block_appended(w->l, b->block, b->segment), OX_OK);
    for (int i = 0; i < b->n; i++)
        cr_assert_eq(
            ox_ledger_disposed(w->l, b->seq[i], b->from[i], b->to[i], OX_DISPOSED_STORED, b->segment), OX_OK);
}

/* Sends one block that is in flight; the token makes a second arrival harmless. */
static void
send_block(struct world *w)
{
    uint64_t ids[BLOCKS];
    size_t n = ox_ledger_blocks_in_flight(w->l, ids, BLOCKS);
    if (n == 0)
        return;
    uint64_t id = ids[dice(w, (unsigned)n)];
    const struct box *b = &w->boxes[w->box_of[id]];
    cr_assert_geq(b->segment, w->outbox_gone_below, "a block was thrown away before it was stored");
    if (!w->in_storage[id]) {
        w->in_storage[id] = true;
        for (int i = 0; i < b->n; i++) {
            for (uint32_t k = b->from[i]; k < b->to[i]; k++)
                w->wal[b->seq[i]].stored[k]++;
        }
    }
    if (dice(w, 15) == 0) {
        rebuild(w); /* crash between the insert and its record */
        return;
    }
    w->boxes[w->n_boxes++] = (struct box){.segment = w->outbox_segment, .stored_block = id};
    cr_assert_eq(ox_ledger_outbox_seen(w->l, w->outbox_segment), OX_OK);
    cr_assert_eq(ox_ledger_block_stored(w->l, id), OX_OK);
}

static void
release_one(struct world *w)
{
    uint64_t seg;
    if (dice(w, 2) == 0 && ox_ledger_wal_releasable(w->l, &seg)) {
        cr_assert_lt(seg, w->wal_segment);
        w->wal_gone_below = seg + 1;
        if (dice(w, 15) == 0) {
            rebuild(w);
            return;
        }
        ox_ledger_wal_gone(w->l, seg);
    } else if (ox_ledger_outbox_releasable(w->l, &seg)) {
        cr_assert_lt(seg, w->outbox_segment);
        w->outbox_gone_below = seg + 1;
        if (dice(w, 15) == 0) {
            rebuild(w);
            return;
        }
        ox_ledger_outbox_gone(w->l, seg);
    }
}

static void
rebuild(struct world *w)
{
    uint64_t first = 1;
    while (first <= w->n_wal && w->wal[first].segment < w->wal_gone_below)
        first++;
    struct ox_ledger_options options = {.wal_first_seq = first};
    w->crashes++;
    ox_ledger_free(w->l);
    w->l = ox_ledger_new(&options);
    for (int i = 0; i < w->n_boxes; i++) {
        const struct box *b = &w->boxes[i];
        if (b->segment < w->outbox_gone_below)
            continue;
        cr_assert_eq(ox_ledger_outbox_seen(w->l, b->segment), OX_OK);
        if (b->block == 0) {
            ox_err err = ox_ledger_block_stored(w->l, b->stored_block);
            cr_assert(err == OX_OK || err == OX_E_NOT_FOUND);
            continue;
        }
        cr_assert_eq(ox_ledger_block_appended(w->l, b->block, b->segment), OX_OK);
        for (int k = 0; k < b->n; k++)
            cr_assert_eq(
                ox_ledger_disposed(w->l, b->seq[k], b->from[k], b->to[k], OX_DISPOSED_STORED, b->segment),
                OX_OK);
    }
    for (uint64_t seq = first; seq <= w->n_wal; seq++)
        cr_assert_eq(ox_ledger_entry_logged(w->l, seq, w->wal[seq].segment, w->wal[seq].n), OX_OK);
    uint64_t orphans;
    cr_assert_eq(ox_ledger_rebuilt(w->l, &orphans), OX_OK);
    cr_assert_eq(orphans, 0);
    /* After a restart both journals go on in new segments. */
    w->wal_segment++;
    w->outbox_segment++;
}

static void
drain(struct world *w)
{
    struct ox_ledger_stats stats;
    uint64_t seg;
    rebuild(w);
    for (int i = 0; i < 3000; i++) {
        append_box(w);
        send_block(w);
        release_one(w);
    }
    while (ox_ledger_blocks_in_flight(w->l, NULL, 0) > 0)
        send_block(w);
    ox_ledger_wal_sealed_below(w->l, w->wal_segment + 1);
    ox_ledger_outbox_sealed_below(w->l, w->outbox_segment + 1);
    while (ox_ledger_wal_releasable(w->l, &seg))
        ox_ledger_wal_gone(w->l, seg);
    while (ox_ledger_outbox_releasable(w->l, &seg))
        ox_ledger_outbox_gone(w->l, seg);
    ox_ledger_stats(w->l, &stats);
    cr_assert_eq(stats.records_open, 0);
    cr_assert_eq(stats.entries_open, 0);
    cr_assert_eq(stats.wal_segments, 0, "a segment of the log stays for ever");
    cr_assert_eq(stats.outbox_segments, 0, "a segment of the outbox stays for ever");
}

Test(ledger, every_record_ends_exactly_once_stored_whatever_crashes)
{
    int crashes = 0;
    for (unsigned seed = 1; seed <= 150; seed++) {
        struct world *w = calloc(1, sizeof(*w));
        w->rng = seed;
        w->wal_segment = w->outbox_segment = 1;
        w->l = ox_ledger_new(NULL);
        cr_assert_eq(ox_ledger_rebuilt(w->l, NULL), OX_OK);
        for (int step = 0; step < 400 && w->n_boxes < BOXES - 2; step++) {
            switch (dice(w, 8)) {
            case 0:
            case 1:
                log_entry(w);
                break;
            case 2:
            case 3:
                append_box(w);
                break;
            case 4:
            case 5:
                send_block(w);
                break;
            case 6:
                release_one(w);
                break;
            default:
                if (dice(w, 20) == 0)
                    rebuild(w);
            }
        }
        drain(w);
        for (uint64_t seq = 1; seq <= w->n_wal; seq++) {
            for (uint32_t k = 0; k < w->wal[seq].n; k++)
                cr_assert_eq(w->wal[seq].stored[k], 1, "seed %u: record %llu/%u stored %d times", seed,
                             (unsigned long long)seq, k, w->wal[seq].stored[k]);
        }
        crashes += w->crashes;
        ox_ledger_free(w->l);
        free(w);
    }
    cr_assert_gt(crashes, 500, "only %d crashes", crashes);
}
