/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    however often a split is interrupted, and whatever the disk forgets, each row is stored once or kept, never both.
 * Method:  the split by itself, on the faulty disk, before the scripted endpoint. The power goes at the n-th call to the
 *          disk, n = 1, 2, 3 ... until a split gets through; then it is resumed, with the poison still there or lifted.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/writer/outbox_split.h"
#include "ox/dead_letter.h"
#include "ox/storage.h"
#include "tests/harness/fake_clickhouse.h"
#include "tests/harness/fault_disk.h"

#define ROWS        12
#define REFUSED_DIR "data/dlq/blocks"

static struct ox_config config;
static struct ox_node node;
static struct fault_disk *disk;
static uint64_t block_id;

static void
setup(void)
{
    char url[64];
    struct ox_storage_options o = {.url = url, .key = "k"};
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", fake_start());
    cr_assert_eq(ox_storage_open(&o, &node.storage, NULL), OX_OK);
    config.storage_insert_timeout_ms = 60000;
    node.config = &config;
    node.clock = ox_clock_real();
}

TestSuite(split, .init = setup, .timeout = 250);

static uint32_t
id_of(uint32_t row)
{
    return (uint32_t)block_id * 100 + row;
}

static void
put_text(struct ox_buf *out, const char *s)
{
    uint8_t n = (uint8_t)strlen(s);
    ox_buf_append(out, &n, 1);
    ox_buf_append(out, s, n);
}

/* tenant_id and body of ROWS rows, as Native. */
static struct ox_outbound *
make_block(void)
{
    struct ox_outbound *block = calloc(1, sizeof(*block));
    char text[32];
    block->block_id = block_id;
    block->table = OX_TABLE_LOGS;
    block->rows = ROWS;
    ox__outbox_token(0xabcdef, block_id, OX_TABLE_LOGS, block->token);
    ox_buf_append(&block->bytes, "\x02\x0c", 2);
    put_text(&block->bytes, "tenant_id");
    put_text(&block->bytes, "String");
    for (uint32_t i = 0; i < ROWS; i++)
        put_text(&block->bytes, "acme");
    put_text(&block->bytes, "body");
    put_text(&block->bytes, "String");
    for (uint32_t i = 0; i < ROWS; i++) {
        snprintf(text, sizeof(text), "uid=%07u;", id_of(i));
        put_text(&block->bytes, text);
    }
    return block;
}

static ox_err
open_letters(void)
{
    struct ox_dead_letter_config c;
    ox_dead_letter_config_default(&c);
    return ox_dead_letter_open(node.disk, "data/dlq", &c, &node.dead_letters, NULL);
}

/* A start of the program finds the block in its outbox and goes on with it. */
static ox_err
resume(struct ox_outbound *block)
{
    struct ox_outbox_send send = {.node = &node, .refused_dir = REFUSED_DIR, .block = block};
    ox_diag_clear(&send.diag);
    ox_err err = ox__outbox_split_resume(&send, &block->split);
    if (err != OX_OK)
        return err;
    if (block->split == NULL)
        block->split = ox__outbox_split_new("refused");
    ox__outbox_split_run(&send);
    return send.err;
}

static unsigned
letters_of(uint32_t row)
{
    char want[16];
    bool exists;
    unsigned n = 0;
    struct ox_str file = fault_disk_peek(disk, "data/dlq/dlq.jsonl", &exists);
    snprintf(want, sizeof(want), "uid=%07u;", id_of(row));
    const char *p = file.p, *end = file.p + file.n;
    while (exists && p < end && (p = memmem(p, (size_t)(end - p), want, strlen(want))) != NULL) {
        n++;
        p++;
    }
    return n;
}

static void
check(uint64_t n, bool lifted)
{
    for (uint32_t row = 0; row < ROWS; row++) {
        unsigned seen = fake_seen(id_of(row)), letters = letters_of(row);
        bool bad = row == 5 || row == 10;
        cr_assert(seen <= 1 && (seen == 1) == (letters == 0), "call %" PRIu64 ", row %u: stored %u, kept %u",
                  n, row, seen, letters);
        cr_assert(bad || seen == 1, "call %" PRIu64 ", row %u: good and not stored", n, row);
        cr_assert(!bad || lifted || seen == 0, "call %" PRIu64 ", row %u: bad and stored", n, row);
    }
}

/* One block, the power gone at the n-th call; false when there was no n-th call. */
static bool
interrupted(uint64_t n, enum fault_cut cut, bool lift)
{
    block_id++;
    disk = fault_disk_new(n);
    node.disk = fault_disk_seam(disk);
    cr_assert_eq(ox_disk_mkdir(node.disk, "data", 0700), OX_OK);
    cr_assert_eq(open_letters(), OX_OK);
    static const uint32_t bad[] = {5, 10};
    for (size_t i = 0; i < OX_COUNT(bad); i++)
        fake_poison(id_of(bad[i]));
    fault_disk_die(disk, n);
    struct ox_outbound *block = make_block();
    ox_err err = resume(block);
    bool fired = fault_disk_fired(disk);
    cr_assert(fired || err == OX_OK, "%s", ox_err_text(err));
    if (fired) {
        ox__outbound_free(block);
        ox_dead_letter_close(node.dead_letters);
        fault_disk_cut(disk, cut);
        if (lift)
            fake_poison(UINT32_MAX);
        cr_assert_eq(open_letters(), OX_OK);
        block = make_block();
        err = resume(block);
        cr_assert_eq(err, OX_OK, "call %" PRIu64 ": %s", n, ox_err_text(err));
    }
    check(n, lift && fired);
    ox__outbound_free(block);
    ox_dead_letter_close(node.dead_letters);
    fault_disk_free(disk);
    fake_poison(UINT32_MAX);
    return fired;
}

Test(split, the_power_goes_at_every_call_to_the_disk)
{
    static const enum fault_cut cuts[] = {FAULT_CUT_CLEAN, FAULT_CUT_RANDOM};
    for (size_t c = 0; c < OX_COUNT(cuts); c++) {
        for (int lift = 0; lift < 2; lift++) {
            uint64_t n = 1;
            while (interrupted(n, cuts[c], lift == 1))
                n++;
            cr_assert_gt(n, 20, "only %" PRIu64 " calls", n);
        }
    }
    cr_assert_eq(fake_counts().different, 0, "a token was used again for other bytes");
}

/* A call to the disk that fails once: the split goes on from where it stood, without a restart. */
Test(split, every_failing_call_is_made_up_for)
{
    bool fired = true;
    for (uint64_t n = 1; fired; n++) {
        block_id++;
        disk = fault_disk_new(n);
        node.disk = fault_disk_seam(disk);
        cr_assert_eq(ox_disk_mkdir(node.disk, "data", 0700), OX_OK);
        cr_assert_eq(open_letters(), OX_OK);
        fake_poison(id_of(5));
        fake_poison(id_of(10));
        struct ox_outbound *block = make_block();
        block->split = ox__outbox_split_new("refused");
        struct ox_outbox_send send = {.node = &node, .refused_dir = REFUSED_DIR, .block = block};
        fault_disk_fail(disk, n, 5, n % 2 == 0);
        ox__outbox_split_run(&send);
        fired = fault_disk_fired(disk);
        for (int again = 0; send.err != OX_OK; again++) {
            cr_assert_lt(again, 3, "call %" PRIu64 ": %s", n, ox_err_text(send.err));
            ox__outbox_split_run(&send);
        }
        cr_assert_eq(send.dropped, 2);
        check(n, false);
        ox__outbound_free(block);
        ox_dead_letter_close(node.dead_letters);
        fault_disk_free(disk);
        fake_poison(UINT32_MAX);
    }
}

/* Storage says that it holds the whole block although it refused it: a view behind the table did. Nothing is sent. */
Test(split, a_block_that_stands_in_its_table_is_not_sent_again)
{
    block_id++;
    disk = fault_disk_new(1);
    node.disk = fault_disk_seam(disk);
    cr_assert_eq(ox_disk_mkdir(node.disk, "data", 0700), OX_OK);
    struct ox_outbound *block = make_block();
    struct ox_storage_insert insert = {
        .table = "otel_logs", .token = block->token, .data = block->bytes.data, .len = block->bytes.len};
    cr_assert_eq(ox_storage_insert(node.storage, &insert, NULL, NULL), OX_OK);
    uint64_t inserts = fake_counts().inserts;
    cr_assert_eq(resume(block), OX_OK);
    cr_assert_eq(fake_counts().inserts, inserts);
    ox__outbound_free(block);
    fault_disk_free(disk);
}

/* Every row is bad: after enough parts without one taken the rest is kept as a file, with the numbers of its rows. */
Test(split, a_hopeless_block_is_kept_as_a_file)
{
    bool exists;
    block_id++;
    disk = fault_disk_new(1);
    node.disk = fault_disk_seam(disk);
    cr_assert_eq(ox_disk_mkdir(node.disk, "data", 0700), OX_OK);
    cr_assert_eq(open_letters(), OX_OK);
    struct ox_outbound *block = calloc(1, sizeof(*block));
    block->block_id = block_id;
    block->table = OX_TABLE_LOGS;
    block->rows = 1000;
    ox__outbox_token(0xabcdef, block_id, OX_TABLE_LOGS, block->token);
    ox_buf_append(&block->bytes, "\x01\xe8\x07", 3);
    put_text(&block->bytes, "body");
    put_text(&block->bytes, "String");
    for (uint32_t i = 0; i < block->rows; i++)
        put_text(&block->bytes, "uid=0999999;");
    fake_poison(999999);
    struct ox_outbox_send send = {.node = &node, .refused_dir = REFUSED_DIR, .block = block};
    block->split = ox__outbox_split_new("Code: 469");
    ox__outbox_split_run(&send);
    cr_assert_eq(send.err, OX_OK, "%s", send.diag.text);
    cr_assert_eq(send.dropped, 1000);
    cr_assert_leq(block->split->calls, OX__SPLIT_HOPELESS);
    char path[128];
    snprintf(path, sizeof(path), REFUSED_DIR "/%016" PRIx64 ".otel_logs.native", block_id);
    struct ox_str kept = fault_disk_peek(disk, path, &exists);
    cr_assert(exists && ox_str_eq(kept, ox_buf_str(&block->bytes)));
    strcat(path, ".txt");
    struct ox_str why = fault_disk_peek(disk, path, &exists);
    cr_assert(exists && memmem(why.p, why.n, "-999", 4) != NULL &&
              memmem(why.p, why.n, "Code: 469", 9) != NULL);
    ox__outbound_free(block);
    ox_dead_letter_close(node.dead_letters);
    fault_disk_free(disk);
}
