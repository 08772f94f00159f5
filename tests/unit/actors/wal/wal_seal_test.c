/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    journals that are full of settled things make room by themselves, for one tenant as for many; while there is
 *          room nothing is sealed.
 * Method:  a log of one segment whose entries are all disposed of and stored, with an outbox of several segments beside it;
 *          the real actor of the log keeps house under virtual time. How full the journals are, the test says.
 */
#include "tests/unit/runtime/core/kit.h"

#include "actors/wal/wal_internal.h"
#include "ox/outbox_entry.h"
#include "ox/recovery.h"
#include "ox/wal.h"
#include "tests/harness/fault_disk.h"

#define ENTRIES  8
#define BLOCK    5000 /* bytes: two of them are a segment of the outbox */
#define HOUSE_MS 1100 /* the actor looks once a second */

static struct ox_node node;
static struct ox_config config;
static const struct ox_recovery_options options = {
    .data_dir = "d", .wal_segment_bytes = 1 << 20, .outbox_segment_bytes = 16 << 10};
static struct ox_recovery rec;
static struct ox_wal_arg arg;
static struct fault_disk *disk;

static uint64_t
log_entry(uint64_t i)
{
    struct ox_wal_entry w = {.tenant = {"t"},
                             .signal = OX_SIGNAL_LOGS,
                             .encoding = OX_WAL_OTLP_PROTOBUF,
                             .received_ns = 1,
                             .request_hash = {i, i},
                             .n_records = 1,
                             .body = OX_STR("x")};
    struct ox_buf header = {0};
    uint64_t seq;
    cr_assert_eq(ox_wal_entry_encode(&w, &header), OX_OK);
    struct iovec parts[2] = {{header.data, header.len}, {(void *)(uintptr_t)w.body.p, w.body.n}};
    cr_assert_eq(ox_journal_append(rec.wal, parts, 2, 1, &seq), OX_OK);
    cr_assert_eq(ox_journal_commit(rec.wal, NULL), OX_OK);
    ox_buf_fini(&header);
    return seq;
}

static void
put(struct ox_outbox_builder *ob)
{
    const struct iovec *iov;
    int n_iov;
    uint64_t seq;
    cr_assert_eq(ox_outbox_builder_finish(ob, &iov, &n_iov, NULL), OX_OK);
    cr_assert_eq(ox_journal_append(rec.outbox, iov, n_iov, 1, &seq), OX_OK);
    cr_assert_eq(ox_journal_commit(rec.outbox, NULL), OX_OK);
    ox_outbox_builder_fini(ob);
}

/* The entry's record stands in a block; `stored`: which storage has. */
static void
dispose(uint64_t wal_seq, uint64_t block_id, bool stored)
{
    static const char bytes[BLOCK] = "abc";
    struct ox_outbox_builder ob;
    ox_outbox_builder_init(&ob, OX_OUTBOX_BLOCKS);
    struct ox_outbox_block block = {.table = 1,
                                    .partition = 1,
                                    .block_id = block_id,
                                    .rows = 1,
                                    .raw_len = BLOCK,
                                    .token = OX_STR("token"),
                                    .bytes = {bytes, BLOCK}};
    cr_assert_eq(ox_outbox_add_block(&ob, &block), OX_OK);
    cr_assert_eq(ox_outbox_add_disposition(&ob, wal_seq, 0, 1, OX_DISPOSED_STORED), OX_OK);
    put(&ob);
    if (!stored)
        return;
    ox_outbox_builder_init(&ob, OX_OUTBOX_STORED);
    cr_assert_eq(ox_outbox_add_stored(&ob, block_id), OX_OK);
    put(&ob);
}

static void
recover(void)
{
    struct ox_diag diag;
    cr_assert_eq(ox_recover(fault_disk_seam(disk), &options, &rec, &diag), OX_OK, "%s", diag.text);
}

/* stored: how many of the blocks, from the first on. */
static void
begin(uint64_t stored)
{
    static const struct ox_tenants_limits limits = {10,   1000000, 1000000, 1000000,
                                                    NULL, NULL,    1 << 30, 1 << 30};
    uint64_t seqs[ENTRIES];
    disk = fault_disk_new(1);
    config = (struct ox_config){
        .data = "d", .gateway_records_max = 65536, .wal_total_bytes = 1 << 30, .spill_open_journals = 8};
    cr_assert_eq(ox_disk_ensure_dir(fault_disk_seam(disk), "d"), OX_OK);
    recover();
    for (uint64_t i = 0; i < ENTRIES; i++)
        seqs[i] = log_entry(i);
    for (uint64_t i = 0; i < ENTRIES; i++)
        dispose(seqs[i], 100 + i, i < stored);
    ox_recovery_fini(&rec);
    fault_disk_restart(disk);
    recover();
    cr_assert_eq(rec.n_replay, 0);
    kit_start(1);
    node = (struct ox_node){.config = &config,
                            .clock = &kit_clock.clock,
                            .disk = fault_disk_seam(disk),
                            .tenants = ox_tenants_new(&limits)};
    atomic_store(&node.phase, OX_NODE_RUNNING);
    arg = (struct ox_wal_arg){.node = &node, .recovered = &rec, .set_aside_dir = "d/set-aside"};
    cr_assert_eq(ox_lane_new("wal", 4, &arg.lane), OX_OK);
    cr_assert_eq(ox_lane_new("spill", 4, &arg.spill_lane), OX_OK);
    node.wal = kit_spawn(&ox_wal_class, &arg);
}

static void
end(void)
{
    ox_runtime_stop();
    ox_tenants_free(node.tenants);
    ox_recovery_fini(&rec);
    fault_disk_free(disk);
}

static uint64_t
entries(struct ox_journal *j)
{
    struct ox_journal_stats stats;
    ox_journal_stats(j, &stats);
    return stats.entries;
}

static uint64_t
segments(struct ox_journal *j)
{
    struct ox_journal_stats stats;
    ox_journal_stats(j, &stats);
    return stats.segments;
}

static void
keep_house(int times)
{
    for (int i = 0; i < times; i++)
        kit_advance_ms(HOUSE_MS);
}

Test(wal_seal, an_outbox_that_is_full_of_stored_blocks_makes_room)
{
    begin(ENTRIES);
    cr_assert_gt(segments(rec.outbox), 3);
    atomic_store(&node.outbox_fill, 960); /* the gateway refuses everybody */
    keep_house(2);
    cr_assert_eq(entries(rec.wal), 0);
    cr_assert_eq(segments(rec.outbox), 1, "%llu", (unsigned long long)segments(rec.outbox));
    end();
}

Test(wal_seal, a_log_of_one_segment_that_is_too_large_makes_room)
{
    begin(ENTRIES);
    config.wal_total_bytes = 1 << 20;
    keep_house(2);
    cr_assert_eq(entries(rec.wal), 0);
    end();
}

/* The newest segment remembers which requests came lately. */
Test(wal_seal, nothing_is_sealed_while_there_is_room)
{
    begin(ENTRIES);
    atomic_store(&node.outbox_fill, OX_WAL_FILL_SEAL - 1);
    keep_house(5);
    cr_assert_eq(entries(rec.wal), ENTRIES);
    end();
}

/* The outbox is full because storage is away: sealing would free nothing. */
Test(wal_seal, nothing_is_sealed_while_the_oldest_block_is_not_stored)
{
    begin(0);
    atomic_store(&node.outbox_fill, 960);
    keep_house(5);
    cr_assert_eq(entries(rec.wal), ENTRIES);
    end();
}

/* One look, one seal: an empty segment is not sealed again and again. */
Test(wal_seal, it_comes_to_rest)
{
    begin(ENTRIES);
    atomic_store(&node.outbox_fill, 960);
    keep_house(2);
    uint64_t next = ox_journal_next_seq(rec.wal);
    keep_house(10);
    cr_assert_eq(ox_journal_next_seq(rec.wal), next);
    cr_assert_eq(segments(rec.wal), 1);
    end();
}

/* A disk that does not let a segment begin is asked again. */
Test(wal_seal, a_seal_that_fails_is_tried_again)
{
    begin(ENTRIES);
    atomic_store(&node.outbox_fill, 960);
    fault_disk_limit(disk, 1);
    keep_house(3);
    cr_assert_eq(entries(rec.wal), ENTRIES);
    fault_disk_limit(disk, 0);
    keep_house(2);
    cr_assert_eq(entries(rec.wal), 0);
    end();
}
