/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a block whose rows stand in a part that is not what its checksums say is not taken for stored; one that was
 *          inserted while ClickHouse met trouble is in doubt although it said yes.
 * Method:  the real engine; bytes of an active part are changed below it.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/writer/outbox_internal.h"
#include "ox/parts.h"
#include "tests/harness/engine_fixture.h"

#define ROWS 12u /* one byte in the block below */

static struct engine_fixture f;
static struct ox_node node;
static struct ox_config config;

static void
up(void)
{
    struct ox_diag diag = {0};
    unsigned applied = 0;
    engine_up(&f, "-", NULL);
    ox_err err = ox_storage_migrate(f.st, ox_schema_clickhouse, ox_schema_clickhouse_count, &applied, &diag);
    cr_assert_eq(err, OX_OK, "%s %s", diag.field, diag.text);
    node.storage = f.st;
    strcpy(config.storage_url, "embedded");
    node.config = &config;
    node.clock = ox_clock_real();
    node.disk = ox_disk_real();
}

static void
down(void)
{
    engine_down(&f);
}

TestSuite(parts, .init = up, .fini = down, .timeout = 180);

static void
put_text(struct ox_buf *out, const char *text)
{
    uint8_t n = (uint8_t)strlen(text);
    ox_buf_append(out, &n, 1);
    ox_buf_append(out, text, n);
}

static void
put_text_column(struct ox_buf *out, const char *name, const char *value)
{
    put_text(out, name);
    put_text(out, "String");
    for (uint32_t i = 0; i < ROWS; i++)
        put_text(out, value);
}

static void
put_number_column(struct ox_buf *out, const char *name, const char *type, uint64_t value, size_t bytes)
{
    put_text(out, name);
    put_text(out, type);
    for (uint32_t i = 0; i < ROWS; i++)
        ox_buf_append(out, &value, bytes);
}

/* Only the columns that matter here; the others get their defaults. */
static struct ox_outbound *
block_of(uint64_t block_id)
{
    struct ox_outbound *block = calloc(1, sizeof(*block));
    uint64_t now = strtoull(engine_sql(&f, "SELECT toUnixTimestamp(now())"), NULL, 10);
    cr_assert_not_null(block);
    block->block_id = block_id;
    block->table = OX_TABLE_LOGS;
    block->rows = ROWS;
    ox__outbox_token(0xabcdef, block_id, OX_TABLE_LOGS, block->token);
    ox_buf_append(&block->bytes, "\x05\x0c", 2);
    put_text_column(&block->bytes, "tenant_id", "acme");
    put_text_column(&block->bytes, "body", "a body");
    put_number_column(&block->bytes, "time", "DateTime64(9, 'UTC')", now * 1000000000u, 8);
    put_number_column(&block->bytes, "severity_number", "UInt8", 17, 1);
    put_number_column(&block->bytes, "block_id", "UInt64", block_id, 8);
    return block;
}

static ox_err
send_block(struct ox_outbound *block)
{
    struct ox_outbox_send send = {.node = &node, .refused_dir = "unused", .block = block};
    ox__outbox_send_job(&send);
    return send.err;
}

/* The first bytes of the newest part: of a column that no count of blocks reads. */
static void
change_newest_part(const char *table)
{
    char sql[256], path[512];
    snprintf(sql, sizeof(sql),
             "SELECT path FROM system.parts WHERE active AND table = '%s' ORDER BY modification_time DESC, "
             "name DESC LIMIT 1 FORMAT TSVRaw",
             table);
    const char *dir = engine_sql(&f, sql);
    snprintf(path, sizeof(path), "%.*s/data.bin", (int)strcspn(dir, "\n"), dir);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0, "%s", path);
    cr_assert_eq(pwrite(fd, "\xa5\x5a", 2, 0), 2);
    close(fd);
}

static uint64_t
errors(void)
{
    uint64_t n = 0;
    cr_assert_eq(ox_parts_errors(f.st, &n, NULL), OX_OK);
    return n;
}

static long
rows_of(uint64_t block_id)
{
    char sql[96];
    snprintf(sql, sizeof(sql), "SELECT count() FROM otel_logs WHERE block_id = %" PRIu64, block_id);
    return atol(engine_sql(&f, sql));
}

Test(parts, a_block_that_cannot_be_read_is_not_stored)
{
    struct ox_outbound *first = block_of(10), *second = block_of(11);
    engine_sql(&f, "SYSTEM STOP MERGES otel_logs");
    cr_assert_eq(send_block(first), OX_OK);
    cr_assert_eq(send_block(second), OX_OK);
    cr_assert_not(first->in_doubt);
    cr_assert_not(second->in_doubt);
    change_newest_part("otel_logs");
    cr_assert_eq(rows_of(11), ROWS, "its number can be read");
    engine_sql(&f, "CHECK TABLE otel_logs");
    cr_assert_gt(errors(), 0);
    second->in_doubt = true;
    cr_assert_eq(send_block(second), OX_E_STORAGE_DAMAGED);
    first->in_doubt = true;
    cr_assert_eq(send_block(first), OX_OK);
    cr_assert_eq(rows_of(10), ROWS);
    ox__outbound_free(first);
    ox__outbound_free(second);
}

Test(parts, a_block_is_in_doubt_when_the_engine_met_trouble_meanwhile)
{
    struct ox_outbound *first = block_of(10), *second = block_of(11), *third = block_of(12);
    cr_assert_eq(send_block(first), OX_OK);
    change_newest_part("otel_logs");
    engine_sql(&f, "CHECK TABLE otel_logs");
    cr_assert_eq(send_block(second), OX_OK);
    cr_assert(second->in_doubt);
    cr_assert_eq(rows_of(11), ROWS);
    cr_assert_eq(send_block(third), OX_OK);
    cr_assert_not(third->in_doubt, "nothing has happened since");
    ox__outbound_free(first);
    ox__outbound_free(second);
    ox__outbound_free(third);
}

Test(parts, those_that_are_broken_are_found_and_no_others)
{
    struct ox_outbound *first = block_of(10), *second = block_of(11);
    static struct ox_parts named, broken;
    engine_sql(&f, "SYSTEM STOP MERGES otel_logs");
    cr_assert_eq(send_block(first), OX_OK);
    cr_assert_eq(ox_parts_broken(f.st, &named, &broken, NULL), OX_OK);
    cr_assert_eq(broken.n, 0);
    cr_assert_eq(send_block(second), OX_OK);
    change_newest_part("otel_logs");
    cr_assert_eq(ox_parts_broken(f.st, &named, &broken, NULL), OX_OK);
    cr_assert_eq(broken.n, 1);
    cr_assert_str_eq(broken.items[0].table, "otel_logs");
    cr_assert_eq(broken.items[0].rows, ROWS);
    cr_assert_eq(broken.items[0].level, 0);
    ox__outbound_free(first);
    ox__outbound_free(second);
}
