/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    entries that replay cannot read come through once when they can be read again, behind all others and in the order
 *          of the log among themselves; those that never can hold up neither the others nor the node's being ready.
 * Method:  a log on the faulty disk, the real actor of the log and the real tenant's under virtual time, the writer played by
 *          this test; sectors go bad and, in some tests, good again. Single-thread mode.
 */
#include "tests/unit/runtime/core/kit.h"

#include <errno.h>

#include "actors/wal/wal_internal.h"
#include "ox/random.h"
#include "ox/recovery.h"
#include "ox/supervisor.h"
#include "ox/wal.h"
#include "tests/harness/fault_disk.h"

#define ENTRIES 300 /* several jobs */
#define TEXT                                                                                                 \
    6000 /* the journal reads some 4 KiB at a time: what is spoilt behind them is one entry's alone */
#define SPOILT   5000
#define WAL_FILE "d/wal/0000000000000001.seg"

static struct ox_node node;
static struct ox_config config = {.data = "d",
                                  .gateway_records_max = 65536,
                                  .gateway_duplicate_window_ms = 60000,
                                  .wal_total_bytes = 1 << 30,
                                  .spill_open_journals = 8};
static const struct ox_recovery_options options = {
    .data_dir = "d", .wal_segment_bytes = 4 << 20, .outbox_segment_bytes = 1 << 20};
static struct ox_recovery rec;
static struct ox_wal_arg arg;
static struct fault_disk *disk;
static uint64_t seqs[ENTRIES], written[2 * ENTRIES];
static uint32_t n_written;

static void
writer_message(struct ox_actor *self, struct ox_msg *msg)
{
    const struct ox_parcel *parcel = msg->data;
    cr_assert_lt(n_written, 2 * ENTRIES);
    written[n_written++] = parcel->batch->wal_seq;
}

static void
outbox_message(struct ox_actor *self, struct ox_msg *msg)
{
    cr_assert_fail("nothing is disposed of here");
}

static const struct ox_actor_class writer_class = {.name = "writer", .on_message = writer_message};
static const struct ox_actor_class outbox_class = {.name = "outbox", .on_message = outbox_message};

static void
recover(void)
{
    struct ox_diag diag;
    cr_assert_eq(ox_recover(fault_disk_seam(disk), &options, &rec, &diag), OX_OK, "%s", diag.text);
}

/* An ExportLogsServiceRequest with one record, whose body is a long string. */
static void
make_body(struct ox_buf *out)
{
    static const uint8_t tags[] = {0x0a, 0x12, 0x12, 0x2a,
                                   0x0a}; /* resource, scope, log record, body, string */
    static char text[TEXT];
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < sizeof(tags); i++) {
        size_t n = TEXT + 3 * (sizeof(tags) - 1 - i);
        uint8_t head[3] = {tags[i], (uint8_t)(n & 0x7f) | 0x80, (uint8_t)(n >> 7)};
        ox_buf_append(out, head, sizeof(head));
    }
    ox_buf_append(out, text, sizeof(text));
}

/* What an earlier run acknowledged and did not get any further. */
static void
write_log(void)
{
    struct ox_buf body = {0};
    make_body(&body);
    for (uint64_t i = 0; i < ENTRIES; i++) {
        struct ox_wal_entry w = {.tenant = {"t"},
                                 .signal = OX_SIGNAL_LOGS,
                                 .encoding = OX_WAL_OTLP_PROTOBUF,
                                 .received_ns = 1,
                                 .request_hash = {i, i},
                                 .n_records = 1,
                                 .body = ox_buf_str(&body)};
        struct ox_buf header;
        ox_buf_init(&header);
        cr_assert_eq(ox_wal_entry_encode(&w, &header), OX_OK);
        struct iovec parts[2] = {{header.data, header.len}, {body.data, body.len}};
        cr_assert_eq(ox_journal_append(rec.wal, parts, 2, 1, &seqs[i]), OX_OK);
        cr_assert_eq(ox_journal_commit(rec.wal, NULL), OX_OK);
        ox_buf_fini(&header);
    }
    ox_buf_fini(&body);
    ox_recovery_fini(&rec);
    fault_disk_restart(disk);
}

/* Bytes of the entries [from, to) cannot be read; 0, 0 = all can. A sequence is a place in the only segment. */
static void
spoil(uint32_t from, uint32_t to)
{
    if (to > 0)
        fault_disk_bad_sector(disk, WAL_FILE, seqs[from] + SPOILT, seqs[to - 1] + SPOILT + 1);
    else
        fault_disk_bad_sector(disk, NULL, 0, 0);
}

/* The log is there and recovered; the actors start when the caller has done its harm. */
static void
begin(uint64_t seed)
{
    n_written = 0;
    disk = fault_disk_new(seed);
    cr_assert_eq(ox_disk_ensure_dir(fault_disk_seam(disk), "d"), OX_OK);
    recover();
    write_log();
    recover();
    cr_assert_eq(rec.n_replay, ENTRIES);
    kit_start(seed);
}

static void
start(void)
{
    static const struct ox_tenants_limits limits = {10,   1000000, 1000000, 1000000,
                                                    NULL, NULL,    1 << 30, 1 << 30};
    node = (struct ox_node){.config = &config,
                            .clock = &kit_clock.clock,
                            .disk = fault_disk_seam(disk),
                            .tenants = ox_tenants_new(&limits)};
    atomic_store(&node.phase, OX_NODE_RUNNING);
    cr_assert_eq(
        ox_sup_start(&(struct ox_sup_spec){.name = "tenants", .max_restarts = 5}, &node.tenants_sup, NULL),
        OX_OK);
    arg = (struct ox_wal_arg){.node = &node, .recovered = &rec, .set_aside_dir = "d/set-aside"};
    cr_assert_eq(ox_lane_new("wal", 4, &arg.lane), OX_OK);
    cr_assert_eq(ox_lane_new("spill", 4, &arg.spill_lane), OX_OK);
    node.outbox = kit_spawn(&outbox_class, NULL);
    node.writers[OX_SIGNAL_LOGS] = kit_spawn(&writer_class, NULL);
    node.wal = kit_spawn(&ox_wal_class, &arg);
}

static void
end(void)
{
    cr_assert_eq(ox_tenants_in_flight(node.tenants), 0, "each permit came back");
    ox_runtime_stop();
    ox_tenants_free(node.tenants);
    ox_recovery_fini(&rec);
    fault_disk_free(disk);
}

static bool
replayed(void)
{
    return atomic_load(&node.replay_done);
}

static void
run_until_replayed(void)
{
    for (int i = 0; i < 10000 && !replayed(); i++)
        kit_advance_ms(10);
    cr_assert(replayed());
    kit_advance_ms(1000);
}

/* Entries [0, ENTRIES) without [from, to), then those, all in the order of the log. */
static void
check_order(uint32_t from, uint32_t to)
{
    uint32_t n = 0;
    cr_assert_eq(n_written, ENTRIES);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        if (i < from || i >= to)
            cr_assert_eq(written[n++], seqs[i], "entry %u", i);
    }
    for (uint32_t i = from; i < to; i++)
        cr_assert_eq(written[n++], seqs[i], "entry %u", i);
}

Test(wal_replay, all_in_the_order_of_the_log)
{
    begin(1);
    start();
    run_until_replayed();
    check_order(0, 0);
    end();
}

Test(wal_replay, what_cannot_be_read_for_a_while_comes_last_and_once)
{
    static const uint32_t at[][2] = {{0, 1}, {10, 17}, {60, 70}, {64, 128}, {250, 300}, {299, 300}};
    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
        begin(i);
        spoil(at[i][0], at[i][1]);
        start();
        kit_advance_ms(100);
        cr_assert_eq(n_written, ENTRIES - (at[i][1] - at[i][0]), "the others wait for nothing: %u of %u..%u",
                     n_written, at[i][0], at[i][1]);
        cr_assert_not(replayed());
        spoil(0, 0);
        run_until_replayed();
        check_order(at[i][0], at[i][1]);
        end();
    }
}

Test(wal_replay, a_disk_that_reads_nothing_for_some_seconds)
{
    begin(2);
    spoil(0, ENTRIES);
    start();
    for (int i = 0; i < 50; i++)
        kit_advance_ms(100);
    cr_assert_eq(n_written, 0);
    cr_assert_not(replayed());
    spoil(0, 0);
    run_until_replayed();
    cr_assert_eq(n_written, ENTRIES);
    end();
}

/* Suspects stay last and alone, also when they cannot be read for a while. */
Test(wal_replay, suspects_that_cannot_be_read_for_a_while)
{
    begin(4);
    rec.n_suspects = 3;
    spoil(295, ENTRIES);
    start();
    kit_advance_ms(100);
    cr_assert_eq(n_written, ENTRIES - 5);
    spoil(0, 0);
    run_until_replayed();
    check_order(0, 0);
    end();
}

/* What is gone stays owed, so that its segment stays and the next start tries again. */
Test(wal_replay, what_can_never_be_read_does_not_keep_the_node_from_being_ready)
{
    struct ox_ranges missing = {0};
    begin(3);
    struct ox_ledger *ledger = rec.ledger;
    spoil(100, 105);
    start();
    run_until_replayed();
    cr_assert_eq(n_written, ENTRIES - 5, "%u", n_written);
    for (uint32_t i = 100; i < 105; i++) {
        cr_assert_eq(ox_ledger_missing(ledger, seqs[i], &missing), OX_OK);
        cr_assert_eq(missing.n, 1);
    }
    ox_ranges_fini(&missing);
    end();
}

/* Reads that fail here and there: each entry once, whatever comes when. */
Test(wal_replay, single_reads_that_fail)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct ox_random rnd;
        ox_random_seed(&rnd, seed);
        begin(seed);
        start();
        for (int i = 0; i < 200 && !replayed(); i++) {
            if (i < 60 && (fault_disk_fired(disk) || i == 0))
                fault_disk_fail(disk, 1 + ox_random_below(&rnd, 40), EIO, false);
            kit_advance_ms(ox_random_below(&rnd, 300));
        }
        fault_disk_fail(disk, 0, 0, false);
        run_until_replayed();
        cr_assert_eq(n_written, ENTRIES, "seed %d", (int)seed);
        for (uint32_t i = 0; i < ENTRIES; i++) {
            uint32_t times = 0;
            for (uint32_t k = 0; k < n_written; k++)
                times += written[k] == seqs[i];
            cr_assert_eq(times, 1, "seed %d: entry %u came %u times", (int)seed, i, times);
        }
        end();
    }
}
