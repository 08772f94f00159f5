/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    whatever moment the power goes, every acknowledged record is either still owed or in exactly one
 *          block that is pending or known to be stored.
 * Method:  a seeded story on the faulty disk: log entries, outbox entries, notes of stored blocks, released
 *          segments; the disk dies at a random call, the power is cut (any part of what was not synced
 *          survives), recovery runs, and its result is held against a model. Several lives per story. The
 *          seed is in every message.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/journal_repair.h"
#include "ox/metric.h"
#include "ox/outbox_entry.h"
#include "ox/random.h"
#include "ox/recovery.h"
#include "ox/wal_entry.h"
#include "tests/harness/fault_disk.h"

#define SEEDS       300
#define LIVES       4
#define STEPS       40
#define ENTRIES_MAX (LIVES * STEPS)
#define BLOCKS_MAX  (LIVES * STEPS)
#define RECORDS     8

enum certainty { NO, MAYBE, YES };

struct entry {
    uint64_t seq;
    int block[RECORDS]; /* index of the block that took it, or -1 = owed, -2 = refused */
};

struct block {
    uint64_t id;
    enum certainty durable, stored;
    bool inserted; /* into storage, which knows its token: inserting again changes nothing */
};

struct story {
    uint64_t seed;
    struct ox_random rnd;
    struct fault_disk *disk;
    struct ox_recovery rec;
    struct entry entries[ENTRIES_MAX];
    size_t n_entries;
    struct block blocks[BLOCKS_MAX];
    size_t n_blocks;
    int64_t now_ns; /* time of the last entry */
    bool dead;
};

static const struct ox_recovery_options options = {
    .data_dir = "d", .wal_segment_bytes = 12288, .outbox_segment_bytes = 12288};

/* One request of RECORDS records, now and then one of them refused. */
static void
log_entry(struct story *s)
{
    struct entry *e = &s->entries[s->n_entries];
    char body[600];
    struct ox_wal_entry w = {.tenant = {"t"},
                             .signal = OX_SIGNAL_LOGS,
                             .encoding = OX_WAL_OTLP_PROTOBUF,
                             .received_ns = 1,
                             .n_records = RECORDS,
                             .body = {body, 1 + ox_random_below(&s->rnd, sizeof(body))}};
    struct ox_buf header;
    ox_random_bytes(&s->rnd, body, sizeof(body));
    for (int i = 0; i < RECORDS; i++)
        e->block[i] = -1;
    if (ox_random_below(&s->rnd, 4) == 0) {
        uint32_t bad = (uint32_t)ox_random_below(&s->rnd, RECORDS);
        e->block[bad] = -2;
        cr_assert_eq(ox_ranges_add(&w.rejected, bad, bad + 1, NULL), OX_OK);
    }
    ox_buf_init(&header);
    cr_assert_eq(ox_wal_entry_encode(&w, &header), OX_OK);
    struct iovec parts[2] = {{header.data, header.len}, {body, w.body.n}};
    ox_err err = ox_journal_append(s->rec.wal, parts, 2, ++s->now_ns, &e->seq);
    if (err == OX_OK)
        err = ox_journal_commit(s->rec.wal, NULL);
    s->dead |= err != OX_OK;
    ox_buf_fini(&header);
    ox_ranges_fini(&w.rejected);
    if (err != OX_OK)
        return; /* not acknowledged: nothing is owed */
    cr_assert_eq(
        ox_ledger_entry_logged(s->rec.ledger, e->seq, ox_journal_segment_of(s->rec.wal, e->seq), RECORDS),
        OX_OK);
    for (uint32_t i = 0; i < RECORDS; i++) {
        if (e->block[i] == -2)
            cr_assert_eq(ox_ledger_disposed(s->rec.ledger, e->seq, i, i + 1, OX_DISPOSED_REJECTED, 0), OX_OK);
    }
    s->n_entries++;
}

/* Some of what is owed goes into a block. */
static void
put_block(struct story *s)
{
    struct block *b = &s->blocks[s->n_blocks];
    struct ox_outbox_builder ob;
    uint32_t picked[64][2], n = 0;
    for (size_t i = 0; i < s->n_entries && n < 64; i++) {
        for (uint32_t r = 0; r < RECORDS && n < 64; r++) {
            if (s->entries[i].block[r] == -1 && ox_random_below(&s->rnd, 2) == 0) {
                picked[n][0] = (uint32_t)i;
                picked[n++][1] = r;
            }
        }
    }
    if (n == 0)
        return;
    b->id = ox_random_u64(&s->rnd);
    ox_outbox_builder_init(&ob, OX_OUTBOX_BLOCKS);
    struct ox_outbox_block block = {.table = 1,
                                    .partition = 1,
                                    .block_id = b->id,
                                    .rows = n,
                                    .raw_len = 3,
                                    .token = OX_STR("token"),
                                    .bytes = OX_STR("abc")};
    cr_assert_eq(ox_outbox_add_block(&ob, &block), OX_OK);
    for (uint32_t i = 0; i < n; i++)
        cr_assert_eq(ox_outbox_add_disposition(&ob, s->entries[picked[i][0]].seq, picked[i][1],
                                               picked[i][1] + 1, OX_DISPOSED_STORED),
                     OX_OK);
    const struct iovec *iov;
    int n_iov;
    uint64_t seq;
    cr_assert_eq(ox_outbox_builder_finish(&ob, &iov, &n_iov, NULL), OX_OK);
    ox_err err = ox_journal_append(s->rec.outbox, iov, n_iov, ++s->now_ns, &seq);
    if (err == OX_OK)
        err = ox_journal_commit(s->rec.outbox, NULL);
    ox_outbox_builder_fini(&ob);
    b->durable = err == OX_OK ? YES : MAYBE;
    b->stored = NO;
    for (uint32_t i = 0; i < n; i++)
        s->entries[picked[i][0]].block[picked[i][1]] = (int)s->n_blocks;
    s->n_blocks++;
    s->dead |= err != OX_OK;
    if (err != OX_OK)
        return;
    uint64_t segment = ox_journal_segment_of(s->rec.outbox, seq);
    cr_assert_eq(ox_ledger_block_appended(s->rec.ledger, b->id, segment), OX_OK);
    for (uint32_t i = 0; i < n; i++)
        cr_assert_eq(ox_ledger_disposed(s->rec.ledger, s->entries[picked[i][0]].seq, picked[i][1],
                                        picked[i][1] + 1, OX_DISPOSED_STORED, segment),
                     OX_OK);
}

/* A durable block is noted as stored. */
static void
note_block(struct story *s, size_t i)
{
    struct ox_outbox_builder ob;
    const struct iovec *iov;
    int n_iov;
    uint64_t seq;
    ox_outbox_builder_init(&ob, OX_OUTBOX_STORED);
    cr_assert_eq(ox_outbox_add_stored(&ob, s->blocks[i].id), OX_OK);
    cr_assert_eq(ox_outbox_builder_finish(&ob, &iov, &n_iov, NULL), OX_OK);
    ox_err err = ox_journal_append(s->rec.outbox, iov, n_iov, ++s->now_ns, &seq);
    if (err == OX_OK)
        err = ox_journal_commit(s->rec.outbox, NULL);
    ox_outbox_builder_fini(&ob);
    s->blocks[i].stored = err == OX_OK ? YES : MAYBE;
    s->dead |= err != OX_OK;
    if (err != OX_OK)
        return;
    cr_assert_eq(ox_ledger_outbox_seen(s->rec.ledger, ox_journal_segment_of(s->rec.outbox, seq)), OX_OK);
    cr_assert_eq(ox_ledger_block_stored(s->rec.ledger, s->blocks[i].id), OX_OK);
}

static void
note_stored(struct story *s)
{
    size_t i = s->n_blocks > 0 ? ox_random_below(&s->rnd, s->n_blocks) : 0;
    if (s->n_blocks > 0 && s->blocks[i].durable == YES && s->blocks[i].stored == NO)
        note_block(s, i);
}

static void
release(struct story *s)
{
    uint64_t segment;
    while (!s->dead && ox_ledger_wal_releasable(s->rec.ledger, &segment)) {
        s->dead |= ox_journal_release(s->rec.wal, segment, NULL) != OX_OK;
        if (!s->dead)
            ox_ledger_wal_gone(s->rec.ledger, segment);
    }
    while (!s->dead && ox_ledger_outbox_releasable(s->rec.ledger, &segment)) {
        s->dead |= ox_journal_release(s->rec.outbox, segment, NULL) != OX_OK;
        if (!s->dead)
            ox_ledger_outbox_gone(s->rec.ledger, segment);
    }
}

static bool
is_pending(const struct story *s, uint64_t id)
{
    for (size_t i = 0; i < s->rec.n_blocks; i++) {
        if (s->rec.blocks[i].block_id == id)
            return true;
    }
    return false;
}

/* What recovery found settles what was uncertain, and must agree with what was certain. */
static void
check_blocks(struct story *s)
{
    for (size_t i = 0; i < s->n_blocks; i++) {
        struct block *b = &s->blocks[i];
        bool pending = is_pending(s, b->id);
        if (b->durable == YES && b->stored == NO)
            cr_assert(pending, "seed %llu: block %zu is durable, not stored, and not sent again",
                      (unsigned long long)s->seed, i);
        if (b->stored == YES)
            cr_assert_not(pending, "seed %llu: block %zu is stored and sent again",
                          (unsigned long long)s->seed, i);
        if (b->durable == MAYBE)
            b->durable = pending ? YES : NO;
        if (b->stored == MAYBE)
            b->stored = pending ? NO : YES;
    }
}

static void
check_entries(struct story *s)
{
    struct ox_ranges missing = {0};
    for (size_t i = 0; i < s->n_entries; i++) {
        struct entry *e = &s->entries[i];
        ox_err err = ox_ledger_missing(s->rec.ledger, e->seq, &missing);
        for (uint32_t r = 0; r < RECORDS; r++) {
            bool owed = err == OX_OK && ox_ranges_has(&missing, r);
            if (e->block[r] >= 0 && s->blocks[e->block[r]].durable == NO)
                e->block[r] = -1; /* its block did not survive: owed again */
            cr_assert_eq(owed, e->block[r] == -1, "seed %llu: record %u of entry %zu is %s",
                         (unsigned long long)s->seed, r, i, owed ? "owed although a block holds it" : "lost");
        }
    }
    ox_ranges_fini(&missing);
}

static void
live(struct story *s)
{
    fault_disk_die(s->disk, 1 + ox_random_below(&s->rnd, 250));
    for (int step = 0; step < STEPS && !s->dead; step++) {
        switch (ox_random_below(&s->rnd, 6)) {
        case 0:
        case 1:
        case 2:
            log_entry(s);
            break;
        case 3:
            put_block(s);
            break;
        case 4:
            note_stored(s);
            break;
        default:
            release(s);
        }
    }
    ox_recovery_fini(&s->rec);
    fault_disk_cut(s->disk, FAULT_CUT_RANDOM);
    fault_disk_die(s->disk, 0);
    s->dead = false;
}

static void
tell(uint64_t seed)
{
    static struct story s;
    struct ox_diag diag;
    memset(&s, 0, sizeof(s));
    s.seed = seed;
    ox_random_seed(&s.rnd, seed);
    s.disk = fault_disk_new(seed);
    cr_assert_eq(ox_disk_ensure_dir(fault_disk_seam(s.disk), "d"), OX_OK);
    for (int life = 0; life < LIVES; life++) {
        ox_err err = ox_recover(fault_disk_seam(s.disk), &options, &s.rec, &diag);
        cr_assert_eq(err, OX_OK, "seed %llu life %d: %s", (unsigned long long)seed, life, diag.text);
        cr_assert_eq(s.rec.orphans, 0, "seed %llu", (unsigned long long)seed);
        check_blocks(&s);
        check_entries(&s);
        live(&s);
    }
    fault_disk_free(s.disk);
}

Test(recovery, nothing_acknowledged_is_lost_or_doubled, .timeout = 120)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        tell(seed);
}

/* ---- a crash at every call ---- */

/* The smallest segments, so that a few entries fill them. */
static const struct ox_recovery_options small = {
    .data_dir = "d", .wal_segment_bytes = 8192, .outbox_segment_bytes = 8192};

#define CYCLE_ROUNDS 16
#define CUT_EVERY    3 /* of the crashes, so many have a second one at every call of the recovery behind them */

/* Storage takes what the outbox holds and has not heard of; then the news is noted. */
static void
insert_all(struct story *s)
{
    for (size_t i = 0; i < s->n_blocks && !s->dead; i++) {
        struct block *b = &s->blocks[i];
        if (b->durable != YES || b->stored != NO)
            continue;
        b->inserted = true;
        note_block(s, i);
    }
}

/* Append, commit, outbox, insert, note, release: often enough that segments of both journals are begun and go. */
static void
cycle(struct story *s)
{
    for (int round = 0; round < CYCLE_ROUNDS && !s->dead; round++) {
        for (int i = 0; i < 3 && !s->dead; i++)
            log_entry(s);
        for (int i = 0; i < 3 && !s->dead; i++)
            put_block(s);
        insert_all(s);
        release(s);
    }
    struct ox_journal_stats wal, outbox;
    ox_journal_stats(s->rec.wal, &wal);
    ox_journal_stats(s->rec.outbox, &outbox);
    cr_assert(s->dead || (wal.segments_removed > 0 && outbox.segments_removed > 0), "nothing is released");
}

static bool
any_owed(const struct story *s)
{
    for (size_t i = 0; i < s->n_entries; i++) {
        for (uint32_t r = 0; r < RECORDS; r++) {
            if (s->entries[i].block[r] == -1)
                return true;
        }
    }
    return false;
}

/* On a disk that works everything ends in storage, each record in one block. */
static void
finish(struct story *s, uint64_t n, uint64_t m)
{
    check_blocks(s);
    check_entries(s);
    while (any_owed(s))
        put_block(s);
    insert_all(s);
    release(s);
    cr_assert_not(s->dead);
    for (size_t i = 0; i < s->n_blocks; i++)
        cr_assert_eq(s->blocks[i].inserted, s->blocks[i].durable == YES, "call %llu, %llu: block %zu",
                     (unsigned long long)n, (unsigned long long)m, i);
    for (size_t i = 0; i < s->n_entries; i++) {
        for (uint32_t r = 0; r < RECORDS; r++) {
            int at = s->entries[i].block[r];
            cr_assert(at == -2 || (at >= 0 && s->blocks[at].inserted),
                      "call %llu, %llu: record %u of entry %zu", (unsigned long long)n, (unsigned long long)m,
                      r, i);
        }
    }
}

/* The power goes at the n-th call of the cycle and, when m is not 0, at the m-th of the recovery after it. Returns
 * whether the last of them has come. */
static bool
crash_at(uint64_t n, uint64_t m, enum fault_cut how)
{
    static struct story s;
    struct ox_diag diag;
    memset(&s, 0, sizeof(s));
    s.seed = n * 1000 + m;
    ox_random_seed(&s.rnd, 77); /* the same story for every n */
    s.disk = fault_disk_new(s.seed + 1);
    cr_assert_eq(ox_disk_ensure_dir(fault_disk_seam(s.disk), "d"), OX_OK);
    cr_assert_eq(ox_recover(fault_disk_seam(s.disk), &small, &s.rec, &diag), OX_OK);
    fault_disk_die(s.disk, n);
    cycle(&s);
    bool fired = fault_disk_fired(s.disk);
    ox_recovery_fini(&s.rec);
    fault_disk_cut(s.disk, how);
    if (m > 0) {
        fault_disk_die(s.disk, m);
        if (ox_recover(fault_disk_seam(s.disk), &small, &s.rec, &diag) == OX_OK)
            ox_recovery_fini(&s.rec);
        fired = fault_disk_fired(s.disk);
        fault_disk_cut(s.disk, how);
    }
    fault_disk_die(s.disk, 0);
    s.dead = false;
    cr_assert_eq(ox_recover(fault_disk_seam(s.disk), &small, &s.rec, &diag), OX_OK, "call %llu, %llu: %s",
                 (unsigned long long)n, (unsigned long long)m, diag.text);
    finish(&s, n, m);
    ox_recovery_fini(&s.rec);
    fault_disk_free(s.disk);
    return fired;
}

Test(recovery, a_crash_at_every_call_of_a_cycle, .timeout = 300)
{
    for (enum fault_cut how = FAULT_CUT_CLEAN; how <= FAULT_CUT_RANDOM; how++) {
        uint64_t n = 1;
        while (crash_at(n, 0, how))
            n++;
        cr_expect_gt(n, 150, "the cycle is too short: %llu", (unsigned long long)n);
        for (uint64_t at = 1; at < n; at += CUT_EVERY) {
            uint64_t m = 1;
            while (crash_at(at, m, how))
                m++;
            cr_expect_gt(m, 5, "the recovery is too short: %llu", (unsigned long long)m);
        }
    }
}

/* ---- damage ---- */

#define OUTBOX_FILE "d/outbox/0000000000000001.seg"
#define WAL_FILE    "d/wal/0000000000000001.seg"
#define OLD_ENTRIES 6

/* Six requests are in storage, a seventh is on its way. Everything is in the first segments. */
static void
damaged_world(struct story *s)
{
    struct ox_diag diag;
    memset(s, 0, sizeof(*s));
    ox_random_seed(&s->rnd, 5);
    s->disk = fault_disk_new(5);
    cr_assert_eq(ox_disk_ensure_dir(fault_disk_seam(s->disk), "d"), OX_OK);
    cr_assert_eq(ox_recover(fault_disk_seam(s->disk), &options, &s->rec, &diag), OX_OK);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < OLD_ENTRIES / 2; i++)
            log_entry(s);
        while (any_owed(s))
            put_block(s);
        insert_all(s);
    }
    log_entry(s);
}

/* Where the last entry of the outbox begins. */
static size_t
last_outbox_entry(struct story *s)
{
    struct ox_journal_cursor *cursor = ox_journal_cursor_new(s->rec.outbox, 0);
    struct ox_journal_entry info = {0};
    struct ox_str payload;
    while (ox_journal_cursor_next(cursor, &info, &payload, NULL) == OX_OK)
        continue;
    ox_journal_cursor_free(cursor);
    return (size_t)info.seq; /* the first segment begins at sequence 0 */
}

static void
flip(struct story *s, const char *path, size_t at)
{
    bool exists;
    struct ox_str bytes = fault_disk_peek(s->disk, path, &exists);
    cr_assert(exists && at < bytes.n);
    char *copy = malloc(bytes.n);
    memcpy(copy, bytes.p, bytes.n);
    copy[at] = (char)(copy[at] ^ 16);
    fault_disk_poke(s->disk, path, copy, bytes.n);
    free(copy);
}

static bool
is_replayed(const struct story *s, uint64_t seq)
{
    for (size_t i = 0; i < s->rec.n_replay; i++) {
        if (s->rec.replay[i] == seq)
            return true;
    }
    return false;
}

/* Nothing that storage has is replayed, what is on its way is; the same again after another start. */
static void
nothing_is_doubled(struct story *s, size_t at)
{
    struct ox_diag diag;
    struct ox_ranges missing = {0};
    for (int start = 0; start < 2; start++) {
        cr_assert_eq(ox_recover(fault_disk_seam(s->disk), &options, &s->rec, &diag), OX_OK, "%s", diag.text);
        for (size_t i = 0; i < OLD_ENTRIES; i++) {
            cr_assert_not(is_replayed(s, s->entries[i].seq), "byte %zu start %d: entry %zu", at, start, i);
            cr_assert(ox_ledger_missing(s->rec.ledger, s->entries[i].seq, &missing) != OX_OK ||
                          missing.n == 0,
                      "byte %zu: entry %zu is owed and not replayed: its segment stays for ever", at, i);
        }
        cr_assert(is_replayed(s, s->entries[OLD_ENTRIES].seq), "byte %zu start %d", at, start);
        ox_recovery_fini(&s->rec);
    }
    ox_ranges_fini(&missing);
}

Test(recovery, a_bit_flipped_in_the_outbox_doubles_nothing, .timeout = 120)
{
    static struct story s;
    struct ox_journal_repair report;
    struct ox_diag diag;
    size_t aside = 0, end = OX_JOURNAL_HEADER_BYTES + 1;
    for (size_t at = OX_JOURNAL_HEADER_BYTES; at < end; at++) {
        for (int repaired = 0; repaired < 2; repaired++) {
            damaged_world(&s);
            end = last_outbox_entry(&s);
            ox_recovery_fini(&s.rec);
            flip(&s, OUTBOX_FILE, at);
            if (repaired == 1)
                cr_assert_eq(ox_journal_repair(fault_disk_seam(s.disk), "d/outbox", OX_JOURNAL_OUTBOX,
                                               "d/kept", &report, &diag),
                             OX_OK, "%s", diag.text);
            nothing_is_doubled(&s, at);
            for (size_t i = 0; i < OLD_ENTRIES; i++) {
                char path[64];
                bool exists;
                snprintf(path, sizeof(path), "d/set-aside/wal-%020llu.entry",
                         (unsigned long long)s.entries[i].seq);
                (void)fault_disk_peek(s.disk, path, &exists);
                aside += exists;
            }
            fault_disk_free(s.disk);
        }
    }
    cr_expect_gt(end, OX_JOURNAL_HEADER_BYTES + 300);
    cr_expect_gt(aside, 300, "records whose block is not known any more are set aside");
}

/* A segment of the outbox is no segment any more, or one between two others is not there. */
Test(recovery, an_outbox_segment_that_is_gone_doubles_nothing)
{
    static struct story s;
    struct ox_diag diag;
    for (int missing = 0; missing < 2; missing++) {
        damaged_world(&s);
        ox_recovery_fini(&s.rec);
        for (int life = 0; life < 2;
             life++) { /* each start begins a segment: what is on its way now stands in the second */
            cr_assert_eq(ox_recover(fault_disk_seam(s.disk), &options, &s.rec, &diag), OX_OK);
            while (any_owed(&s))
                put_block(&s);
            insert_all(&s);
            log_entry(&s);
            ox_recovery_fini(&s.rec);
        }
        cr_assert_eq(ox_recover(fault_disk_seam(s.disk), &options, &s.rec, &diag), OX_OK);
        while (any_owed(&s))
            put_block(&s);
        ox_recovery_fini(&s.rec);
        if (missing == 1)
            fault_disk_remove(s.disk, "d/outbox/0000000000000002.seg");
        else
            fault_disk_poke(s.disk, OUTBOX_FILE, "rubbish", 7);
        for (int start = 0; start < 2; start++) {
            cr_assert_eq(ox_recover(fault_disk_seam(s.disk), &options, &s.rec, &diag), OX_OK, "%s",
                         diag.text);
            cr_expect_eq(s.rec.n_replay, 0, "%zu are replayed", s.rec.n_replay);
            cr_expect_eq(s.rec.set_aside_records > 0, start == 0);
            ox_recovery_fini(&s.rec);
        }
        fault_disk_free(s.disk);
    }
}

/* A record of the log that is damaged is counted, unless the outbox has it. */
Test(recovery, what_a_damaged_log_entry_held_is_counted)
{
    static struct story s;
    struct ox_diag diag;
    const struct ox_str labels[] = {OX_STR("t"), OX_STR("logs"), OX_STR("wal_error")};
    damaged_world(&s);
    uint64_t stored_seq = s.entries[0].seq;
    uint32_t accepted = 0;
    log_entry(&s);
    log_entry(&s); /* a whole one behind it, and a start that seals: then it is damage, not a torn end */
    uint64_t lost_seq = s.entries[OLD_ENTRIES + 1].seq;
    for (int r = 0; r < RECORDS; r++)
        accepted += s.entries[OLD_ENTRIES + 1].block[r] == -1;
    ox_recovery_fini(&s.rec);
    cr_assert_eq(ox_recover(fault_disk_seam(s.disk), &options, &s.rec, &diag), OX_OK);
    s.n_entries = OLD_ENTRIES; /* their places are free again */
    log_entry(&s);
    ox_recovery_fini(&s.rec);
    double before = ox_metric_value(OX_M_ingest_dropped, labels);
    flip(&s, WAL_FILE, (size_t)stored_seq + 100);
    cr_assert_eq(ox_recover(fault_disk_seam(s.disk), &options, &s.rec, &diag), OX_OK);
    cr_expect_eq(ox_metric_value(OX_M_ingest_dropped, labels), before, "all of them are in storage");
    ox_recovery_fini(&s.rec);
    flip(&s, WAL_FILE, (size_t)lost_seq + 100);
    for (int start = 0; start < 2; start++) { /* counted once */
        cr_assert_eq(ox_recover(fault_disk_seam(s.disk), &options, &s.rec, &diag), OX_OK);
        cr_expect_eq(ox_metric_value(OX_M_ingest_dropped, labels) - before, accepted);
        ox_recovery_fini(&s.rec);
    }
    fault_disk_free(s.disk);
}

/* An outage of many hours with little traffic leaves more small blocks than a running node would take. */
Test(recovery, more_blocks_than_a_running_node_takes, .timeout = 60)
{
    static struct story s;
    struct ox_diag diag;
    struct ox_recovery_options big = {
        .data_dir = "d", .wal_segment_bytes = 1u << 20, .outbox_segment_bytes = 1u << 20};
    ox_random_seed(&s.rnd, 1);
    s.disk = fault_disk_new(1);
    cr_assert_eq(ox_disk_ensure_dir(fault_disk_seam(s.disk), "d"), OX_OK);
    cr_assert_eq(ox_recover(fault_disk_seam(s.disk), &big, &s.rec, &diag), OX_OK);
    uint64_t id = 1;
    for (int i = 0; i < 300; i++) {
        struct ox_outbox_builder ob;
        const struct iovec *iov;
        int n_iov;
        uint64_t seq;
        ox_outbox_builder_init(&ob, OX_OUTBOX_BLOCKS);
        for (uint32_t b = 0; b < OX_OUTBOX_BLOCKS_MAX; b++) {
            struct ox_outbox_block block = {.table = 1,
                                            .partition = 1,
                                            .block_id = id++,
                                            .rows = 1,
                                            .raw_len = 3,
                                            .token = OX_STR("token"),
                                            .bytes = OX_STR("abc")};
            cr_assert_eq(ox_outbox_add_block(&ob, &block), OX_OK);
        }
        cr_assert_eq(ox_outbox_add_disposition(&ob, 5000 + (uint64_t)i, 0, 1, OX_DISPOSED_STORED), OX_OK);
        cr_assert_eq(ox_outbox_builder_finish(&ob, &iov, &n_iov, NULL), OX_OK);
        cr_assert_eq(ox_journal_append(s.rec.outbox, iov, n_iov, 1, &seq), OX_OK);
        cr_assert_eq(ox_journal_commit(s.rec.outbox, NULL), OX_OK);
        ox_outbox_builder_fini(&ob);
    }
    ox_recovery_fini(&s.rec);
    ox_err err = ox_recover(fault_disk_seam(s.disk), &big, &s.rec, &diag);
    cr_assert_eq(err, OX_OK, "%s", diag.text);
    cr_assert_eq(s.rec.n_blocks, id - 1);
    ox_recovery_fini(&s.rec);
    fault_disk_free(s.disk);
}

static bool
owed(const struct story *s)
{
    for (uint32_t r = 0; r < RECORDS; r++) {
        if (s->entries[0].block[r] == -1)
            return true;
    }
    return false;
}

static uint64_t
entries_left(struct story *s, const struct ox_recovery_options *o)
{
    struct ox_diag diag;
    cr_assert_eq(ox_recover(fault_disk_seam(s->disk), o, &s->rec, &diag), OX_OK, "%s", diag.text);
    release(s);
    struct ox_journal_stats wal, outbox;
    ox_journal_stats(s->rec.wal, &wal);
    ox_journal_stats(s->rec.outbox, &outbox);
    ox_recovery_fini(&s->rec);
    return wal.entries + outbox.entries;
}

/* Journals that are full of settled things must come up with room, or the node refuses work for ever. */
Test(recovery, full_journals_are_sealed_so_that_they_can_go, .timeout = 60)
{
    static struct story s;
    struct ox_diag diag;
    ox_random_seed(&s.rnd, 1);
    s.disk = fault_disk_new(1);
    cr_assert_eq(ox_disk_ensure_dir(fault_disk_seam(s.disk), "d"), OX_OK);
    cr_assert_eq(ox_recover(fault_disk_seam(s.disk), &options, &s.rec, &diag), OX_OK);
    log_entry(&s);
    while (owed(&s))
        put_block(&s);
    for (size_t i = 0; i < s.n_blocks; i += s.blocks[i].stored == YES)
        note_stored(&s);
    ox_recovery_fini(&s.rec);
    struct ox_recovery_options full = options;
    cr_assert_gt(entries_left(&s, &options), 0); /* the newest segments stay while there is room */
    full.wal_total_bytes = full.outbox_total_bytes = 1;
    cr_assert_eq(entries_left(&s, &full), 0);
    fault_disk_free(s.disk);
}

/* Three requests in the log, nothing in the outbox; `suspects` names some of them. */
static void
three_entries(struct story *s)
{
    struct ox_diag diag;
    memset(s, 0, sizeof(*s));
    ox_random_seed(&s->rnd, 11);
    s->disk = fault_disk_new(11);
    cr_assert_eq(ox_disk_ensure_dir(fault_disk_seam(s->disk), "d"), OX_OK);
    cr_assert_eq(ox_recover(fault_disk_seam(s->disk), &options, &s->rec, &diag), OX_OK);
    while (s->n_entries < 3)
        log_entry(s);
    ox_recovery_fini(&s->rec);
}

static void
recover_with(struct story *s, const struct ox_suspects *suspects)
{
    struct ox_recovery_options with = options;
    struct ox_diag diag;
    with.suspects = suspects;
    with.set_aside_dir = "d/set-aside";
    cr_assert_eq(ox_recover(fault_disk_seam(s->disk), &with, &s->rec, &diag), OX_OK, "%s", diag.text);
}

Test(recovery, a_suspect_is_replayed_last)
{
    static struct story s;
    struct ox_suspects suspects = {0};
    three_entries(&s);
    ox_suspects_charge(&suspects, s.entries[0].seq, "t");
    recover_with(&s, &suspects);
    cr_assert_eq(s.rec.n_replay, 3);
    cr_assert_eq(s.rec.n_suspects, 1);
    cr_assert_eq(s.rec.replay[0], s.entries[1].seq);
    cr_assert_eq(s.rec.replay[1], s.entries[2].seq);
    cr_assert_eq(s.rec.replay[2], s.entries[0].seq);
    check_entries(&s);
    ox_recovery_fini(&s.rec);
    fault_disk_free(s.disk);
}

/* Set aside whatever call fails or whenever the power goes: the entry is owed, or kept in its file and owed no more. */
Test(recovery, an_entry_that_crashed_twice_is_set_aside_durably)
{
    bool fired = true, ever = false;
    for (uint64_t n = 1; fired; n++) {
        static struct story s;
        struct ox_suspects suspects = {0};
        struct ox_recovery_options with = options;
        struct ox_ranges missing = {0};
        char path[64];
        bool exists;
        three_entries(&s);
        uint64_t seq = s.entries[1].seq;
        ox_suspects_charge(&suspects, seq, "t");
        ox_suspects_charge(&suspects, seq, "t");
        with.suspects = &suspects;
        with.set_aside_dir = "d/set-aside";
        fault_disk_die(s.disk, n);
        if (ox_recover(fault_disk_seam(s.disk), &with, &s.rec, NULL) == OX_OK)
            ox_recovery_fini(&s.rec);
        fired = fault_disk_fired(s.disk);
        fault_disk_cut(s.disk, FAULT_CUT_RANDOM);
        fault_disk_die(s.disk, 0);
        recover_with(&s, NULL);
        bool owed = ox_ledger_missing(s.rec.ledger, seq, &missing) == OX_OK && missing.n > 0;
        snprintf(path, sizeof(path), "d/set-aside/wal-%020llu.entry", (unsigned long long)seq);
        struct ox_str kept = fault_disk_peek(s.disk, path, &exists);
        struct ox_wal_entry entry;
        bool whole = exists && ox_wal_entry_decode(kept, &entry, NULL) == OX_OK && entry.n_records == RECORDS;
        if (whole)
            ox_wal_entry_fini(&entry);
        cr_assert(owed || whole, "call %llu: the entry is neither owed nor kept", (unsigned long long)n);
        cr_assert_eq(s.rec.n_replay, owed ? 3 : 2);
        ever |= !owed;
        ox_ranges_fini(&missing);
        ox_recovery_fini(&s.rec);
        fault_disk_free(s.disk);
    }
    cr_assert(ever, "with a working disk it is set aside");
}
