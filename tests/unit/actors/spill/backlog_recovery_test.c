/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    whatever moment the power goes, every acknowledged record has exactly one place: it is owed by the log, or
 *          waits in its tenant's backlog, or stands in a durable block.
 * Method:  a seeded story on the faulty disk: requests of two tenants, of which some are copied to the backlog, noted
 *          as moved, appended to the log again, noted as consumed, put into blocks; segments of all three journals go
 *          as they may. The disk dies at a random call, the power is cut (any part of what was not synced survives),
 *          recovery runs, and all places are counted. Several lives per story. The seed is in every message.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/outbox_entry.h"
#include "ox/random.h"
#include "ox/recovery.h"
#include "tests/harness/fault_disk.h"

#define SEEDS        400
#define LIVES        5
#define STEPS        60
#define TENANTS      2
#define REQUESTS_MAX (LIVES * STEPS)
#define HELD_MAX     (LIVES * STEPS)
#define RECORDS      4
#define SEGMENT      12288

/* What a running node knows of an entry of the log that still owes something. */
struct held {
    uint32_t request;
    uint64_t seq;
    struct ox_ranges owed;
};

/* A copy in the backlog, and whether the outbox says so. */
struct copy {
    struct held of;
    uint64_t seq;
    bool moved;
};

struct tenant {
    struct ox_tenant_id id;
    struct ox_journal *journal; /* NULL = closed */
    struct ox_backlog_marks marks;
    uint64_t last_seq;
    struct copy copies[HELD_MAX]; /* from `first` on: not consumed, in order */
    size_t first, n;
};

struct story {
    uint64_t seed;
    struct ox_random rnd;
    struct fault_disk *disk;
    struct ox_recovery rec;
    struct tenant tenants[TENANTS];
    struct held held[HELD_MAX];
    size_t n_held;
    bool acked[REQUESTS_MAX];
    uint8_t stored[REQUESTS_MAX];   /* bits by record: certainly in a durable block */
    uint8_t in_doubt[REQUESTS_MAX]; /* in a block whose commit failed: recovery says */
    uint8_t refused[REQUESTS_MAX];
    uint32_t n_requests;
    uint64_t seen_again, seen_pending; /* over all lives: that the story goes where it should */
    bool dead;
};

static const struct ox_recovery_options options = {
    .data_dir = "d", .wal_segment_bytes = SEGMENT, .outbox_segment_bytes = SEGMENT};

static void
owe(struct story *s, uint32_t request, uint64_t seq, const struct ox_ranges *rejected)
{
    struct held *h = &s->held[s->n_held++];
    cr_assert_lt(s->n_held, HELD_MAX);
    *h = (struct held){.request = request, .seq = seq};
    cr_assert_eq(ox_ranges_complement(rejected, RECORDS, &h->owed), OX_OK);
}

/* Appends one request (again) and tells the ledger. */
static bool
append(struct story *s, uint32_t request, const struct ox_wal_entry *w, uint64_t *seq)
{
    struct ox_buf header;
    ox_buf_init(&header);
    cr_assert_eq(ox_wal_entry_encode(w, &header), OX_OK);
    struct iovec parts[2] = {{header.data, header.len}, {(void *)(uintptr_t)w->body.p, w->body.n}};
    ox_err err = ox_journal_append(s->rec.wal, parts, 2, 1, seq);
    if (err == OX_OK)
        err = ox_journal_commit(s->rec.wal, NULL);
    ox_buf_fini(&header);
    s->dead |= err != OX_OK;
    if (err != OX_OK)
        return false;
    uint64_t segment = ox_journal_segment_of(s->rec.wal, *seq);
    cr_assert_eq(ox_ledger_entry_logged(s->rec.ledger, *seq, segment, RECORDS), OX_OK);
    const struct ox_range *r = ox_ranges_at(&w->rejected);
    for (uint32_t i = 0; i < w->rejected.n; i++)
        cr_assert_eq(ox_ledger_disposed(s->rec.ledger, *seq, r[i].from, r[i].to, OX_DISPOSED_REJECTED, 0),
                     OX_OK);
    owe(s, request, *seq, &w->rejected);
    return true;
}

static void
new_request(struct story *s)
{
    char body[4000] = {0}; /* a handful per segment, so that segments go */
    uint32_t request = s->n_requests++;
    uint64_t seq;
    struct ox_wal_entry w = {.tenant = s->tenants[request % TENANTS].id,
                             .signal = OX_SIGNAL_LOGS,
                             .encoding = OX_WAL_OTLP_PROTOBUF,
                             .received_ns = 1,
                             .n_records = RECORDS,
                             .body = {body, 4 + ox_random_below(&s->rnd, sizeof(body) - 4)}};
    memcpy(body, &request, sizeof(request));
    if (ox_random_below(&s->rnd, 4) == 0) {
        uint32_t bad = (uint32_t)ox_random_below(&s->rnd, RECORDS);
        s->refused[request] = (uint8_t)(1u << bad);
        cr_assert_eq(ox_ranges_add(&w.rejected, bad, bad + 1, NULL), OX_OK);
    }
    s->acked[request] = append(s, request, &w, &seq);
    ox_ranges_fini(&w.rejected);
}

static void
forget_held(struct story *s, size_t i)
{
    ox_ranges_fini(&s->held[i].owed);
    s->held[i] = s->held[--s->n_held];
}

/* One outbox entry that disposes of `h`: as stored in a block of its own, or as moved. */
static bool
dispose(struct story *s, const struct held *h, enum ox_disposition how)
{
    struct ox_outbox_builder ob;
    const struct ox_range *r = ox_ranges_at(&h->owed);
    const struct iovec *iov;
    int n_iov;
    uint64_t seq, id = ox_random_u64(&s->rnd);
    struct ox_outbox_block block = {.table = 1,
                                    .partition = 1,
                                    .block_id = id,
                                    .rows = 1,
                                    .raw_len = 3,
                                    .token = OX_STR("token"),
                                    .bytes = OX_STR("abc")};
    ox_outbox_builder_init(&ob, OX_OUTBOX_BLOCKS);
    if (how == OX_DISPOSED_STORED)
        cr_assert_eq(ox_outbox_add_block(&ob, &block), OX_OK);
    for (uint32_t i = 0; i < h->owed.n; i++)
        cr_assert_eq(ox_outbox_add_disposition(&ob, h->seq, r[i].from, r[i].to, how), OX_OK);
    cr_assert_eq(ox_outbox_builder_finish(&ob, &iov, &n_iov, NULL), OX_OK);
    ox_err err = ox_journal_append(s->rec.outbox, iov, n_iov, 1, &seq);
    if (err == OX_OK)
        err = ox_journal_commit(s->rec.outbox, NULL);
    ox_outbox_builder_fini(&ob);
    s->dead |= err != OX_OK;
    if (err != OX_OK)
        return false;
    uint64_t segment = ox_journal_segment_of(s->rec.outbox, seq);
    for (uint32_t i = 0; i < h->owed.n; i++)
        cr_assert_eq(ox_ledger_disposed(s->rec.ledger, h->seq, r[i].from, r[i].to, how, segment), OX_OK);
    return true; /* the block counts as stored at once: its way is told by recovery_test.c */
}

static uint8_t
bits_of(const struct ox_ranges *ranges)
{
    uint8_t bits = 0;
    for (uint32_t i = 0; i < RECORDS; i++)
        bits |= (uint8_t)(ox_ranges_has(ranges, i) ? 1u << i : 0);
    return bits;
}

static void
store(struct story *s)
{
    size_t i = s->n_held > 0 ? ox_random_below(&s->rnd, s->n_held) : 0;
    if (s->n_held == 0)
        return;
    struct held *h = &s->held[i];
    uint8_t bits = bits_of(&h->owed);
    if (dispose(s, h, OX_DISPOSED_STORED))
        s->stored[h->request] |= bits;
    else
        s->in_doubt[h->request] |= bits;
    forget_held(s, i);
}

static bool
open_backlog(struct story *s, struct tenant *t)
{
    if (t->journal != NULL)
        return true;
    uint64_t next = (t->last_seq > t->marks.consumed ? t->last_seq : t->marks.consumed) + 1;
    ox_err err = ox_backlog_open(fault_disk_seam(s->disk), "d", &t->id, SEGMENT, next, &t->journal, NULL);
    s->dead |= err != OX_OK;
    return err == OX_OK;
}

static bool
append_backlog(struct story *s, struct tenant *t, const struct iovec *parts, int n, uint64_t *seq)
{
    ox_err err = ox_journal_append(t->journal, parts, n, 1, seq);
    if (err == OX_OK)
        err = ox_journal_commit(t->journal, NULL);
    s->dead |= err != OX_OK;
    if (err == OX_OK)
        t->last_seq = *seq;
    return err == OX_OK;
}

/* An entry of the log is copied. Once that is tried it is never given up. */
static void
copy(struct story *s)
{
    size_t i = s->n_held > 0 ? ox_random_below(&s->rnd, s->n_held) : 0;
    struct ox_buf payload, head;
    uint64_t seq;
    if (s->n_held == 0)
        return;
    struct tenant *t = &s->tenants[s->held[i].request % TENANTS];
    if (!open_backlog(s, t))
        return;
    ox_buf_init(&payload);
    ox_buf_init(&head);
    s->dead |= ox_journal_read(s->rec.wal, s->held[i].seq, &payload, NULL) != OX_OK;
    cr_assert_eq(ox_backlog_encode_moved(s->held[i].seq, &s->held[i].owed, &head), OX_OK);
    struct iovec parts[2] = {{head.data, head.len}, {payload.data, payload.len}};
    if (!s->dead && append_backlog(s, t, parts, 2, &seq)) {
        t->copies[t->n++] = (struct copy){.of = s->held[i], .seq = seq};
        cr_assert_lt(t->n, HELD_MAX);
        s->held[i] = s->held[--s->n_held];
    }
    ox_buf_fini(&payload);
    ox_buf_fini(&head);
}

/* The outbox learns of the oldest copies first. */
static void
move(struct story *s)
{
    struct tenant *t = &s->tenants[ox_random_below(&s->rnd, TENANTS)];
    for (size_t i = t->first; i < t->n && !s->dead; i++) {
        if (t->copies[i].moved)
            continue;
        t->copies[i].moved = dispose(s, &t->copies[i].of, OX_DISPOSED_MOVED);
        break;
    }
}

static void
note(struct story *s, struct tenant *t)
{
    struct ox_buf bytes;
    uint64_t seq, consumed[OX_WAL_ORIGIN__COUNT] = {0, t->marks.consumed, 0};
    if (t->marks.consumed == t->marks.noted || !open_backlog(s, t))
        return;
    ox_buf_init(&bytes);
    cr_assert_eq(ox_backlog_encode_note(consumed, &bytes), OX_OK);
    struct iovec part = {bytes.data, bytes.len};
    if (append_backlog(s, t, &part, 1, &seq)) {
        ox_backlog_noted(&t->marks, t->marks.consumed);
        s->dead |= ox_backlog_trim(t->journal, t->marks.noted) != OX_OK;
    }
    ox_buf_fini(&bytes);
}

/* The oldest copy goes into the log again. */
static void
reinject(struct story *s)
{
    struct tenant *t = &s->tenants[ox_random_below(&s->rnd, TENANTS)];
    struct ox_buf payload;
    struct ox_backlog_entry entry;
    struct ox_wal_entry w;
    uint64_t seq;
    if (t->first == t->n || !t->copies[t->first].moved || !open_backlog(s, t))
        return;
    struct copy *c = &t->copies[t->first];
    ox_buf_init(&payload);
    s->dead |= ox_journal_read(t->journal, c->seq, &payload, NULL) != OX_OK;
    if (!s->dead) {
        cr_assert_eq(ox_backlog_entry_decode(ox_buf_str(&payload), &entry, NULL), OX_OK);
        cr_assert_eq(ox_wal_entry_decode(entry.payload, &w, NULL), OX_OK);
        cr_assert_eq(ox_ranges_complement(&entry.owed, RECORDS, &w.rejected), OX_OK);
        w.origin = OX_WAL_ORIGIN_BACKLOG;
        w.origin_seq = c->seq;
        if (append(s, c->of.request, &w, &seq)) {
            ox_backlog_consumed(&t->marks, c->seq, ox_journal_segment_of(s->rec.wal, seq));
            ox_ranges_fini(&c->of.owed);
            t->first++;
            s->seen_again++;
        }
        ox_wal_entry_fini(&w);
        ox_backlog_entry_fini(&entry);
    }
    ox_buf_fini(&payload);
}

static bool
pinned(const struct story *s, uint64_t segment)
{
    for (int i = 0; i < TENANTS; i++) {
        if (s->tenants[i].marks.pin != 0 && s->tenants[i].marks.pin <= segment)
            return true;
    }
    return false;
}

static void
release(struct story *s)
{
    uint64_t segment;
    while (!s->dead && ox_ledger_wal_releasable(s->rec.ledger, &segment) && !pinned(s, segment)) {
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

/* A drained journal may be closed at any time. */
static void
close_backlog(struct tenant *t)
{
    ox_journal_close(t->journal);
    t->journal = NULL;
}

static void
live(struct story *s)
{
    fault_disk_die(s->disk, 1 + ox_random_below(&s->rnd, 500));
    for (int step = 0; step < STEPS && !s->dead; step++) {
        switch (ox_random_below(&s->rnd, 12)) {
        case 0:
        case 1:
            new_request(s);
            break;
        case 2:
        case 3:
        case 4:
            store(s);
            break;
        case 5:
        case 6:
            copy(s);
            break;
        case 7:
            move(s);
            break;
        case 8:
        case 9:
            reinject(s);
            break;
        case 10:
            note(s, &s->tenants[ox_random_below(&s->rnd, TENANTS)]);
            break;
        default:
            release(s);
            if (ox_random_below(&s->rnd, 4) == 0)
                close_backlog(&s->tenants[ox_random_below(&s->rnd, TENANTS)]);
        }
    }
}

static void
power_off(struct story *s)
{
    for (int i = 0; i < TENANTS; i++) {
        struct tenant *t = &s->tenants[i];
        close_backlog(t);
        for (; t->first < t->n; t->first++)
            ox_ranges_fini(&t->copies[t->first].of.owed);
        t->first = t->n = 0;
    }
    while (s->n_held > 0)
        forget_held(s, s->n_held - 1);
    ox_recovery_fini(&s->rec);
    fault_disk_cut(s->disk, FAULT_CUT_RANDOM);
    fault_disk_die(s->disk, 0);
    s->dead = false;
}

/* ---- after a start: where is everything? ---- */

static uint32_t
request_of(struct ox_str log_payload)
{
    struct ox_wal_entry w;
    uint32_t request;
    cr_assert_eq(ox_wal_entry_decode(log_payload, &w, NULL), OX_OK);
    memcpy(&request, w.body.p, sizeof(request));
    ox_wal_entry_fini(&w);
    cr_assert_lt(request, REQUESTS_MAX);
    return request;
}

static void
add_places(uint32_t places[REQUESTS_MAX][RECORDS], uint32_t request, const struct ox_ranges *owed)
{
    for (uint32_t r = 0; r < RECORDS; r++)
        places[request][r] += ox_ranges_has(owed, r);
}

static void
count_log(struct story *s, uint32_t places[REQUESTS_MAX][RECORDS])
{
    struct ox_buf payload;
    ox_buf_init(&payload);
    for (size_t i = 0; i < s->rec.n_replay; i++) {
        struct held *h = &s->held[s->n_held++];
        *h = (struct held){.seq = s->rec.replay[i]};
        cr_assert_eq(ox_journal_read(s->rec.wal, h->seq, &payload, NULL), OX_OK);
        cr_assert_eq(ox_ledger_missing(s->rec.ledger, h->seq, &h->owed), OX_OK);
        h->request = request_of(ox_buf_str(&payload));
        add_places(places, h->request, &h->owed);
    }
    ox_buf_fini(&payload);
}

static bool
is_pending(const struct ox_recovered_backlog *b, uint64_t seq)
{
    for (size_t i = 0; i < b->n_pending; i++) {
        if (b->pending[i].backlog_seq == seq)
            return true;
    }
    return false;
}

static void
take_copy(struct story *s, struct tenant *t, const struct ox_recovered_backlog *b, uint64_t seq,
          struct ox_backlog_entry *entry, uint32_t places[REQUESTS_MAX][RECORDS])
{
    struct copy *c = &t->copies[t->n++];
    *c = (struct copy){.of = {request_of(entry->payload), entry->wal_seq, entry->owed},
                       .seq = seq,
                       .moved = !is_pending(b, seq)};
    entry->owed = (struct ox_ranges){0};
    add_places(places, c->of.request, &c->of.owed);
    s->seen_pending += !c->moved;
}

static void
count_backlog(struct story *s, const struct ox_recovered_backlog *b, uint32_t places[REQUESTS_MAX][RECORDS])
{
    struct tenant *t = strcmp(b->tenant.name, s->tenants[0].id.name) == 0 ? &s->tenants[0] : &s->tenants[1];
    struct ox_journal_entry info;
    struct ox_backlog_entry entry;
    struct ox_journal_segment first;
    struct ox_str payload;
    cr_assert_str_eq(t->id.name, b->tenant.name);
    t->marks =
        (struct ox_backlog_marks){b->consumed[OX_WAL_ORIGIN_BACKLOG], b->noted[OX_WAL_ORIGIN_BACKLOG], 0};
    if (t->marks.consumed > t->marks.noted && ox_journal_segments(s->rec.wal, &first, 1) > 0)
        t->marks.pin = first.number;
    t->last_seq = b->last_seq;
    cr_assert(open_backlog(s, t));
    struct ox_journal_cursor *cursor = ox_journal_cursor_new(t->journal, 0);
    while (ox_journal_cursor_next(cursor, &info, &payload, NULL) == OX_OK) {
        cr_assert_eq(ox_backlog_entry_decode(payload, &entry, NULL), OX_OK);
        if (entry.kind == OX_BACKLOG_MOVED && info.seq > t->marks.consumed)
            take_copy(s, t, b, info.seq, &entry, places);
        ox_backlog_entry_fini(&entry);
    }
    ox_journal_cursor_free(cursor);
    cr_assert_eq(b->entries, t->n, "seed %llu", (unsigned long long)s->seed);
}

static void
check_places(struct story *s, uint32_t places[REQUESTS_MAX][RECORDS])
{
    for (uint32_t q = 0; q < s->n_requests; q++) {
        for (uint32_t r = 0; r < RECORDS; r++) {
            uint32_t bit = 1u << r, n = places[q][r];
            if (s->refused[q] & bit) {
                cr_assert_eq(n, 0, "seed %llu: refused record %u of request %u is back",
                             (unsigned long long)s->seed, r, q);
                continue;
            }
            if (!s->acked[q]) { /* it may have survived all the same: from now on it counts */
                cr_assert_leq(n, 1);
                continue;
            }
            if (s->in_doubt[q] & bit)
                s->stored[q] |= n == 0 ? (uint8_t)bit : 0;
            n += (s->stored[q] & bit) != 0;
            cr_assert_eq(n, 1, "seed %llu: record %u of request %u has %u places",
                         (unsigned long long)s->seed, r, q, n);
        }
        s->in_doubt[q] = 0;
        if (!s->acked[q]) {
            uint32_t sum = 0;
            for (uint32_t r = 0; r < RECORDS; r++)
                sum += places[q][r];
            s->acked[q] = sum > 0;
        }
    }
}

static void
start(struct story *s, int life)
{
    static uint32_t places[REQUESTS_MAX][RECORDS];
    struct ox_diag diag;
    memset(places, 0, sizeof(places));
    ox_err err = ox_recover(fault_disk_seam(s->disk), &options, &s->rec, &diag);
    cr_assert_eq(err, OX_OK, "seed %llu life %d: %s", (unsigned long long)s->seed, life, diag.text);
    cr_assert_eq(s->rec.orphans, 0, "seed %llu", (unsigned long long)s->seed);
    for (int i = 0; i < TENANTS; i++) {
        s->tenants[i].marks = (struct ox_backlog_marks){0};
        s->tenants[i].last_seq = 0;
    }
    count_log(s, places);
    for (size_t i = 0; i < s->rec.n_backlogs; i++)
        count_backlog(s, &s->rec.backlogs[i], places);
    check_places(s, places);
}

static void
tell(uint64_t seed, uint64_t *again, uint64_t *pending)
{
    static struct story s;
    memset(&s, 0, sizeof(s));
    s.seed = seed;
    strcpy(s.tenants[0].id.name, "a");
    strcpy(s.tenants[1].id.name, "b-2");
    ox_random_seed(&s.rnd, seed);
    s.disk = fault_disk_new(seed);
    cr_assert_eq(ox_disk_ensure_dir(fault_disk_seam(s.disk), "d"), OX_OK);
    for (int life = 0; life < LIVES; life++) {
        start(&s, life);
        live(&s);
        power_off(&s);
    }
    start(&s, LIVES);
    power_off(&s);
    fault_disk_free(s.disk);
    *again += s.seen_again;
    *pending += s.seen_pending;
}

Test(backlog_recovery, every_acknowledged_record_has_one_place, .timeout = 170)
{
    uint64_t again = 0, pending = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        tell(seed, &again, &pending);
    cr_assert_gt(again, SEEDS, "entries come back into the log");
    cr_assert_gt(pending, SEEDS / 10, "copies are completed after a crash");
}
