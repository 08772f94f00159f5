/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the engine process and the storage client keep what their headers promise.
 * Method:  a real engine per test on a temporary directory, driven through include/ox/storage.h.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <zstd.h>

#include "ox/schema.h"
#include "tests/harness/engine_fixture.h"

static struct engine_fixture f;

static void
up(void)
{
    engine_up(&f, "t,mvt,mv,!sys", NULL);
    engine_sql(&f, "CREATE TABLE t (tenant_id LowCardinality(String), n UInt64, s String) ENGINE = MergeTree "
                   "ORDER BY (tenant_id, n) SETTINGS non_replicated_deduplication_window = 1000");
    engine_sql(&f, "CREATE TABLE mvt (tenant_id LowCardinality(String), c UInt64) ENGINE = SummingMergeTree "
                   "ORDER BY tenant_id SETTINGS non_replicated_deduplication_window = 1000");
    engine_sql(
        &f, "CREATE MATERIALIZED VIEW mv TO mvt AS SELECT tenant_id, count() AS c FROM t GROUP BY tenant_id");
}

static void
down(void)
{
    engine_down(&f);
}

TestSuite(engine, .init = up, .fini = down, .timeout = 120);

static ox_err
insert_text(const char *format, const char *data, size_t len, enum ox_storage_encoding encoding,
            const char *token, struct ox_diag *diag)
{
    struct ox_storage_insert in = {.table = "t",
                                   .columns = "tenant_id, n, s",
                                   .format = format,
                                   .data = data,
                                   .len = len,
                                   .encoding = encoding,
                                   .token = token};
    return ox_storage_insert(f.st, &in, NULL, diag);
}

/* `rows` rows in one Native block, as the engine itself writes them. */
static void
native_block(struct ox_buf *out, const char *tenant, unsigned from, unsigned rows)
{
    char sql[256];
    struct ox_storage_setting one[] = {{"max_block_size", "1000000"}};
    struct ox_storage_query q = {.format = "Native", .settings = one, .settings_n = 1};
    snprintf(sql, sizeof(sql),
             "SELECT '%s' AS tenant_id, number + %u AS n, toString(number) AS s FROM numbers(%u)", tenant,
             from, rows);
    q.sql = ox_str_of(sql);
    cr_assert_eq(ox_storage_query(f.st, &q, out, NULL, NULL), OX_OK);
}

Test(engine, answers_ping_and_stops_cleanly)
{
    cr_assert_eq(ox_storage_ping(f.st, 1000, NULL), OX_OK);
    cr_assert_str_eq(engine_sql(&f, "SELECT 1 + 1"), "2\n");
    cr_assert_eq(engine_stop(&f), 0);
    cr_assert_eq(ox_storage_ping(f.st, 1000, NULL), OX_E_STORAGE_DOWN);
}

Test(engine, parameters_keep_every_byte)
{
    char raw[300];
    size_t n = 0;
    for (int c = 0; c < 256; c++)
        raw[n++] = (char)c;
    memcpy(raw + n, "\\'\\n\\t''", 8);
    n += 8;
    struct ox_storage_param p[] = {{"x", {raw, n}}, {"t", OX_STR("t")}};
    struct ox_buf out = {0};
    struct ox_diag diag;
    struct ox_storage_query q = {
        .sql = OX_STR("SELECT {x:String}, (SELECT count() FROM {t:Identifier})"), .params = p, .params_n = 2};
    q.format = "RowBinary";
    ox_err err = ox_storage_query(f.st, &q, &out, NULL, &diag);
    cr_assert_eq(err, OX_OK, "%s", diag.text);
    cr_assert_eq(out.len, 2 + n + 9, "%zu bytes instead of %zu", out.len,
                 2 + n + 9); /* a length of two bytes, a flag of NULL, the count */
    cr_assert_eq(memcmp(out.data + 2, raw, n), 0);
    ox_buf_fini(&out);
}

Test(engine, quoted_array_parameters_arrive)
{
    struct ox_buf text = {0};
    ox_buf_append_cstr(&text, "[");
    ox_storage_quote(&text, OX_STR("it's \\ here"));
    ox_buf_append_cstr(&text, ",");
    ox_storage_quote(&text, OX_STR("tab\there"));
    ox_buf_append_cstr(&text, "]");
    struct ox_storage_param p[] = {{"a", ox_buf_str(&text)}};
    struct ox_buf out = {0};
    struct ox_diag diag;
    struct ox_storage_query q = {
        .sql = OX_STR("SELECT hex(arrayStringConcat({a:Array(String)}, '|'))"), .params = p, .params_n = 1};
    ox_err err = ox_storage_query(f.st, &q, &out, NULL, &diag);
    cr_assert_eq(err, OX_OK, "%s", diag.text);
    ox_buf_append(&out, "", 1);
    cr_assert_str_eq((char *)out.data, "69742773205C20686572657C7461620968657265\n");
    ox_buf_fini(&out);
    ox_buf_fini(&text);
}

Test(engine, inserts_formats_and_codings)
{
    struct ox_diag diag;
    struct ox_buf native = {0};
    char packed[4096];
    static const char json[] =
        "{\"tenant_id\":\"a\",\"s\":\"x\\ny\",\"n\":1}\n{\"n\":2,\"tenant_id\":\"b\"}\n";
    static const char tsv[] = "a\t3\ttab\\tback\\\\slash\n";
    cr_assert_eq(insert_text("JSONEachRow", json, sizeof(json) - 1, OX_STORAGE_PLAIN, NULL, &diag), OX_OK,
                 "%s", diag.text);
    size_t n = ZSTD_compress(packed, sizeof(packed), tsv, sizeof(tsv) - 1, 1);
    cr_assert_eq(insert_text("TabSeparated", packed, n, OX_STORAGE_ZSTD, NULL, &diag), OX_OK);
    cr_assert_eq(insert_text("CSV", "a,4,\"q\"\"q\"\n", 11, OX_STORAGE_PLAIN, NULL, &diag), OX_OK, "%s",
                 diag.text);
    native_block(&native, "a", 5, 2);
    cr_assert_eq(insert_text("Native", (char *)native.data, native.len, OX_STORAGE_PLAIN, NULL, &diag),
                 OX_OK);
    cr_assert_str_eq(engine_sql(&f, "SELECT n, s FROM t ORDER BY n"),
                     "1\tx\\ny\n2\t\n3\ttab\\tback\\\\slash\n4\tq\"q\n5\t0\n6\t1\n");
    ox_err err = insert_text("TabSeparated", packed, n - 3, OX_STORAGE_ZSTD, NULL, &diag);
    cr_assert_neq(err, OX_OK);
    err = insert_text("TabSeparated", "a\tnumber\tx\n", 11, OX_STORAGE_PLAIN, NULL, &diag);
    cr_assert_eq(err, OX_E_STORAGE_REFUSED, "%s", diag.text);
    err = insert_text("Native", (char *)native.data, native.len / 2, OX_STORAGE_PLAIN, NULL, &diag);
    cr_assert_eq(err, OX_E_STORAGE_REFUSED, "%s", diag.text);
    cr_assert_str_eq(engine_sql(&f, "SELECT count() FROM t"), "6\n");
    ox_buf_fini(&native);
}

Test(engine, a_token_counts_once_in_table_and_view)
{
    struct ox_buf block = {0};
    struct ox_diag diag;
    native_block(&block, "a", 0, 100000);
    for (int i = 0; i < 3; i++) {
        ox_err err = insert_text(NULL, (char *)block.data, block.len, OX_STORAGE_PLAIN, "token-1", &diag);
        cr_assert_eq(err, OX_OK, "%s", diag.text);
    }
    cr_assert_str_eq(engine_sql(&f, "SELECT count(), uniqExact(_part) FROM t"), "100000\t1\n");
    cr_assert_str_eq(engine_sql(&f, "SELECT sum(c) FROM mvt"), "100000\n");
    cr_assert_eq(insert_text(NULL, (char *)block.data, block.len, OX_STORAGE_PLAIN, "token-2", &diag), OX_OK);
    cr_assert_str_eq(engine_sql(&f, "SELECT count() FROM t"), "200000\n");
    cr_assert_str_eq(engine_sql(&f, "SELECT sum(c) FROM mvt"), "200000\n");
    ox_buf_fini(&block);
}

Test(engine, another_order_of_columns_and_missing_ones_go_by_name)
{
    struct ox_buf block = {0};
    struct ox_storage_query q = {.sql = OX_STR("SELECT 7 :: UInt64 AS n, 'a' AS tenant_id"),
                                 .format = "Native"};
    cr_assert_eq(ox_storage_query(f.st, &q, &block, NULL, NULL), OX_OK);
    struct ox_storage_insert in = {
        .table = "observex.t", .columns = "tenant_id, n", .data = block.data, .len = block.len};
    cr_assert_eq(ox_storage_insert(f.st, &in, NULL, NULL), OX_OK);
    in.columns = NULL;
    cr_assert_eq(ox_storage_insert(f.st, &in, NULL, NULL), OX_OK);
    cr_assert_str_eq(engine_sql(&f, "SELECT tenant_id, n, s FROM t"), "a\t7\t\na\t7\t\n");
    ox_buf_fini(&block);
}

/* What an answered insert promises, with the engine killed at some moment of every insert: the writer resends
 * whatever was not answered, and each block counts once, in the table and in the view. */
struct killer {
    unsigned delay_us;
    pid_t pid;
};

static void *
kill_later(void *arg)
{
    struct killer *k = arg;
    struct timespec t = {0, k->delay_us * 1000L};
    nanosleep(&t, NULL); /* the moment is the input of the test, not a way to wait for something */
    kill(k->pid, SIGKILL);
    return NULL;
}

Test(engine, killed_in_the_middle_and_resent_counts_once, .timeout = 300)
{
    enum { ROUNDS = 12, ROWS = 20000 };
    unsigned cut = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct ox_buf block = {0};
        char token[32];
        pthread_t thread;
        struct killer k = {1000 + round * 2500, f.pid};
        snprintf(token, sizeof(token), "round-%u", round);
        native_block(&block, "a", round * ROWS, ROWS);
        pthread_create(&thread, NULL, kill_later, &k);
        ox_err err = insert_text(NULL, (char *)block.data, block.len, OX_STORAGE_PLAIN, token, NULL);
        cut += err != OX_OK;
        pthread_join(thread, NULL);
        engine_kill(&f);
        engine_again(&f);
        struct ox_diag diag;
        err = insert_text(NULL, (char *)block.data, block.len, OX_STORAGE_PLAIN, token, &diag);
        cr_assert_eq(err, OX_OK, "round %u: %s", round, diag.text);
        char expected[64];
        snprintf(expected, sizeof(expected), "%u\t%u\n", (round + 1) * ROWS, (round + 1) * ROWS);
        cr_assert_str_eq(engine_sql(&f, "SELECT count(), (SELECT sum(c) FROM mvt) FROM t"), expected,
                         "round %u", round);
        ox_buf_fini(&block);
    }
    cr_assert_gt(cut, 0, "no kill hit an insert: the test proved nothing");
}

static bool
count_bytes(void *arg, const void *bytes, size_t n)
{
    *(uint64_t *)arg += n;
    return true;
}

static long
resident_kib(pid_t pid)
{
    char path[64], line[256];
    long kib = -1;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = atol(line + 6);
    }
    if (file != NULL)
        fclose(file);
    return kib;
}

Test(engine, large_results_stream_in_constant_memory)
{
    uint64_t bytes = 0;
    struct ox_storage_stats stats;
    struct ox_storage_query q = {.sql = OX_STR("SELECT number, repeat('x', 90) FROM numbers(5000000)")};
    engine_sql(&f, "SELECT count() FROM numbers(1000)");
    long before = resident_kib(f.pid);
    cr_assert_eq(ox_storage_stream(f.st, &q, count_bytes, &bytes, &stats, NULL), OX_OK);
    cr_assert_gt(bytes, 450u << 20);
    cr_assert_lt(resident_kib(f.pid) - before, 200 * 1024, "the engine held the result in memory");
}

static bool
take_two(void *arg, const void *bytes, size_t n)
{
    return ++*(int *)arg < 2;
}

Test(engine, a_stream_may_be_left_and_a_result_may_be_too_large)
{
    int pieces = 0;
    struct ox_storage_stats stats;
    struct ox_buf out = {0};
    struct ox_storage_query q = {.sql = OX_STR("SELECT number FROM numbers(1000000000)")};
    cr_assert_eq(ox_storage_stream(f.st, &q, take_two, &pieces, &stats, NULL), OX_OK);
    cr_assert(stats.cut);
    q.max_result_bytes = 1000;
    cr_assert_eq(ox_storage_query(f.st, &q, &out, NULL, NULL), OX_E_TOO_LARGE);
    cr_assert_eq(out.len, 0);
    cr_assert_str_eq(engine_sql(&f, "SELECT 1"), "1\n");
    ox_buf_fini(&out);
}

Test(engine, errors_have_their_meaning)
{
    static const struct {
        const char *sql;
        ox_err err;
        int code;
    } cases[] = {
        {"SELECT * FROM nowhere", OX_E_NOT_FOUND, 60},
        {"SELEKT 1", OX_E_STORAGE_REFUSED, 62},
        {"SELECT 1; SELECT 2", OX_E_STORAGE_REFUSED, 62},
        {"", OX_E_STORAGE_REFUSED, 62},
        {"SELECT {x:String}", OX_E_STORAGE_REFUSED, 456},
        {"SELECT throwIf(number = 3) FROM numbers(10)", OX_E_STORAGE_REFUSED, 395},
        {"SELECT number, throwIf(number = 900000) FROM numbers(1000000)", OX_E_STORAGE_REFUSED, 395},
    };
    for (size_t i = 0; i < OX_COUNT(cases); i++) {
        struct ox_buf out = {0};
        struct ox_diag diag;
        struct ox_storage_stats stats;
        struct ox_storage_query q = {.sql = ox_str_of(cases[i].sql)};
        ox_err err = ox_storage_query(f.st, &q, &out, &stats, &diag);
        cr_assert_eq(err, cases[i].err, "%s: %s", cases[i].sql, diag.text);
        cr_assert_eq(stats.code, cases[i].code, "%s: %d", cases[i].sql, stats.code);
        cr_assert_eq(out.len, 0);
        cr_assert_not_null(strstr(diag.text, "DB::Exception"), "%s", diag.text);
        ox_buf_fini(&out);
    }
}

Test(engine, budgets_are_kept)
{
    struct ox_buf out = {0};
    struct ox_diag diag;
    struct ox_storage_query q = {.sql = OX_STR("SELECT sum(cityHash64(number)) FROM numbers(100000000000)")};
    q.max_execution_ms = 300;
    cr_assert_eq(ox_storage_query(f.st, &q, &out, NULL, &diag), OX_E_STORAGE_BUDGET, "%s", diag.text);
    q.max_execution_ms = 0;
    q.max_rows_to_read = 1000;
    cr_assert_eq(ox_storage_query(f.st, &q, &out, NULL, &diag), OX_E_STORAGE_BUDGET, "%s", diag.text);
    q.max_rows_to_read = 0;
    q.sql = OX_STR("SELECT number FROM numbers(100)");
    q.max_result_rows = 10;
    cr_assert_eq(ox_storage_query(f.st, &q, &out, NULL, &diag), OX_E_STORAGE_BUDGET, "%s", diag.text);
    q.max_result_rows = 0;
    q.sql = OX_STR("SELECT groupArray(repeat('x', 100)) FROM numbers(10000000)");
    q.max_memory_bytes = 50 << 20;
    cr_assert_eq(ox_storage_query(f.st, &q, &out, NULL, &diag), OX_E_STORAGE_BUDGET, "%s", diag.text);
    ox_buf_fini(&out);
}

Test(engine, isolation_holds_against_every_way_in)
{
    static const char rows[] = "a\t1\tmine\nb\t2\ttheirs\n";
    char out[4096];
    struct ox_diag diag;
    cr_assert_eq(insert_text("TabSeparated", rows, sizeof(rows) - 1, OX_STORAGE_PLAIN, NULL, &diag), OX_OK,
                 "%s", diag.text);
    engine_sql(&f, "CREATE TABLE sys (x UInt8) ENGINE = MergeTree ORDER BY x");
    engine_sql(&f, "INSERT INTO sys VALUES (1)");
    engine_sql(&f, "CREATE VIEW v AS SELECT * FROM t");
    static const char *const sees_one[] = {
        "SELECT s FROM t",
        "SELECT s FROM v",
        "SELECT s FROM merge('observex', '^t$')",
        "SELECT x.s FROM t AS x JOIN t AS y ON 1 = 1",
        "SELECT s FROM (SELECT * FROM t UNION DISTINCT SELECT * FROM v)",
        "WITH q AS (SELECT * FROM observex.t) SELECT s FROM q",
    };
    for (size_t i = 0; i < OX_COUNT(sees_one); i++) {
        ox_err err = engine_ask(&f, "a", sees_one[i], out, sizeof(out), &diag);
        cr_assert_eq(err, OX_OK, "%s: %s", sees_one[i], diag.text);
        cr_assert_str_eq(out, "mine\n", "%s", sees_one[i]);
    }
    cr_assert_eq(engine_ask(&f, "a", "SELECT tenant_id, c FROM mvt", out, sizeof(out), &diag), OX_OK);
    cr_assert_str_eq(out, "a\t1\n");
    cr_assert_eq(engine_ask(&f, "a", "SELECT tenant_id, c FROM mv", out, sizeof(out), &diag), OX_OK);
    cr_assert_str_eq(out, "a\t1\n", "through the view itself: %s", out);
    cr_assert_eq(engine_ask(&f, "a", "SELECT count() FROM sys", out, sizeof(out), &diag), OX_OK);
    cr_assert_str_eq(out, "0\n");
    cr_assert_eq(engine_ask(&f, "nobody", "SELECT count() FROM t", out, sizeof(out), &diag), OX_OK);
    cr_assert_str_eq(out, "0\n");
    static const char *const refused[] = {
        "SELECT s FROM t SETTINGS log_comment = 't:b'",
        "SET log_comment = 't:b'",
        "SELECT 1; SELECT s FROM t",
        "SELECT s FROM t INTO OUTFILE '/tmp/ox-must-not-exist'",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "INSERT INTO t VALUES ('a', 9, 'x')",
        "INSERT INTO t (tenant_id, n) FORMAT TSV\na\t1\n",
        "DROP TABLE t",
        "KILL QUERY WHERE 1 ASYNC",
        "CREATE TABLE z (x UInt8) ENGINE = Memory",
        "/* SELECT */ ALTER TABLE t DELETE WHERE 1",
    };
    for (size_t i = 0; i < OX_COUNT(refused); i++) {
        ox_err err = engine_ask(&f, "a", refused[i], out, sizeof(out), &diag);
        cr_assert_neq(err, OX_OK, "%s was allowed and gave %s", refused[i], out);
    }
    cr_assert_str_eq(engine_sql(&f, "SELECT count() FROM t"), "2\n");
}

Test(engine, an_owner_who_only_reads_changes_nothing)
{
    static const struct ox_storage_setting held[] = {{"readonly", "2"}};
    static const char *const refused[] = {
        "DROP TABLE t",
        "TRUNCATE TABLE t",
        "INSERT INTO t VALUES ('a', 1, 'x')",
        "INSERT INTO t FORMAT TSV\na\t1\tx\n",
        "INSERT INTO t SELECT 'a', 1, 'x'",
        "ALTER TABLE t DELETE WHERE 1",
        "CREATE TABLE u (n UInt8) ENGINE = Memory",
        "OPTIMIZE TABLE t",
        "SYSTEM STOP MERGES",
        "SELECT 1 INTO OUTFILE 'out'",
        "SELECT 1 SETTINGS readonly = 0",
        "SET readonly = 0",
    };
    static const char *const allowed[] = {
        "SELECT count() FROM t SETTINGS max_threads = 1, max_block_size = 7",
        "WITH 1 AS x SELECT x",
        "SHOW TABLES",
        "DESCRIBE TABLE t",
        "EXPLAIN SELECT * FROM t",
        "SELECT count() FROM system.parts",
    };
    struct ox_buf out = {0};
    struct ox_diag diag;
    for (size_t i = 0; i < OX_COUNT(refused); i++) {
        struct ox_storage_query q = {.sql = ox_str_of(refused[i]), .settings = held, .settings_n = 1};
        ox_err err = ox_storage_query(f.st, &q, &out, NULL, &diag);
        cr_assert_eq(err, OX_E_FORBIDDEN, "%s: %s %s", refused[i], ox_err_text(err), diag.text);
    }
    for (size_t i = 0; i < OX_COUNT(allowed); i++) {
        struct ox_storage_query q = {.sql = ox_str_of(allowed[i]), .settings = held, .settings_n = 1};
        ox_err err = ox_storage_query(f.st, &q, &out, NULL, &diag);
        cr_assert_eq(err, OX_OK, "%s: %s", allowed[i], diag.text);
    }
    ox_buf_fini(&out);
    cr_assert_str_eq(engine_sql(&f, "SELECT count() FROM t"), "0\n");
}

Test(engine, settings_of_a_tenant_cannot_open_the_wall)
{
    static const char rows[] = "b\t2\ttheirs\n";
    static const struct ox_storage_setting tries[] = {
        {"log_comment", "t:b"}, {"log_comment", "s:" ENGINE_SECRET},
        {"readonly", "0"},      {"additional_table_filters", "{}"},
        {"allow_ddl", "1"},     {"log_comment) = 't:b', max_threads", "1"},
    };
    struct ox_diag diag;
    struct ox_tenant_id id;
    cr_assert_eq(insert_text("TabSeparated", rows, sizeof(rows) - 1, OX_STORAGE_PLAIN, NULL, &diag), OX_OK,
                 "%s", diag.text);
    cr_assert_eq(ox_tenant_id_parse(OX_STR("a"), &id, NULL), OX_OK);
    for (size_t i = 0; i < OX_COUNT(tries); i++) {
        struct ox_buf out = {0};
        struct ox_storage_query q = {
            .sql = OX_STR("SELECT s FROM t"), .tenant = &id, .settings = &tries[i], .settings_n = 1};
        ox_err err = ox_storage_query(f.st, &q, &out, NULL, &diag);
        cr_assert(err != OX_OK || out.len == 0, "%s showed %.*s", tries[i].name, (int)out.len,
                  (char *)out.data);
        ox_buf_fini(&out);
    }
}

Test(engine, nothing_without_the_key)
{
    static const char *const keys[] = {NULL, "wrong", "0123456789abcdef0123456789abcdeF", ENGINE_SECRET "x"};
    for (size_t i = 0; i < OX_COUNT(keys); i++) {
        struct ox_storage *st;
        struct ox_buf out = {0};
        struct ox_storage_options o = {.url = f.url, .key = keys[i], .system_secret = ENGINE_SECRET};
        struct ox_storage_query q = {.sql = OX_STR("SELECT 1")};
        cr_assert_eq(ox_storage_open(&o, &st, NULL), OX_OK);
        cr_assert_eq(ox_storage_query(st, &q, &out, NULL, NULL), OX_E_UNAUTHENTICATED);
        cr_assert_eq(ox_storage_ping(st, 1000, NULL), OX_OK);
        ox_storage_close(st);
        o.key = ENGINE_SECRET;
        o.system_secret = "not-the-secret-of-this-boot";
        cr_assert_eq(ox_storage_open(&o, &st, NULL), OX_OK);
        cr_assert_neq(ox_storage_query(st, &q, &out, NULL, NULL), OX_OK);
        ox_storage_close(st);
        ox_buf_fini(&out);
    }
}

struct slow {
    _Atomic bool cancel;
    ox_err err;
    pthread_t thread;
};

static void *
run_slow(void *arg)
{
    struct slow *s = arg;
    struct ox_buf out = {0};
    struct ox_storage_query q = {
        .sql = OX_STR("SELECT sum(cityHash64(number, 'slow')) FROM numbers(1000000000000)"),
        .cancel = &s->cancel};
    /* Another question may hold the last place for a moment. */
    do
        s->err = ox_storage_query(f.st, &q, &out, NULL, NULL);
    while (s->err == OX_E_STORAGE_BUSY && !atomic_load(&s->cancel));
    ox_buf_fini(&out);
    return NULL;
}

/* Asks the engine until the number of slow statements is as expected; the test's time limit ends it otherwise. */
static void
await_running(unsigned expected)
{
    char text[32];
    snprintf(text, sizeof(text), "%u\n", expected);
    while (
        strcmp(engine_sql(
                   &f, "SELECT count() FROM system.processes WHERE query LIKE '%cityHash64(number, %slow%' "
                       "AND query NOT LIKE '%system.processes%'"),
               text) != 0)
        ;
}

Test(engine, a_client_that_goes_away_takes_its_query_with_it)
{
    struct slow s = {0};
    pthread_create(&s.thread, NULL, run_slow, &s);
    await_running(1);
    atomic_store(&s.cancel, true);
    pthread_join(s.thread, NULL);
    cr_assert_eq(s.err, OX_E_CANCELLED);
    await_running(0);
}

Test(engine_limits, queries_cannot_take_the_places_of_inserts, .timeout = 120)
{
    static const char *const numbers[] = {"queries_max=4", "queries_for_inserts=1", "connections_max=8",
                                          NULL};
    struct slow s[2] = {0};
    char out[256];
    struct ox_diag diag;
    engine_up(&f, "t", numbers);
    engine_sql(&f, "CREATE TABLE t (tenant_id String, n UInt64, s String) ENGINE = MergeTree ORDER BY n");
    for (size_t i = 0; i < OX_COUNT(s); i++)
        pthread_create(&s[i].thread, NULL, run_slow, &s[i]);
    await_running(2);
    struct slow third = {0};
    pthread_create(&third.thread, NULL, run_slow, &third);
    /* Three places for queries: soon the question itself finds none. */
    ox_err err;
    do
        err = engine_ask(&f, NULL, "SELECT 1", out, sizeof(out), &diag);
    while (err == OX_OK);
    cr_assert_eq(err, OX_E_STORAGE_BUSY, "%s", diag.text);
    err = insert_text("CSV", "a,1,x\n", 6, OX_STORAGE_PLAIN, NULL, &diag);
    cr_assert_eq(err, OX_OK, "%s", diag.text);
    for (size_t i = 0; i < OX_COUNT(s); i++)
        atomic_store(&s[i].cancel, true);
    atomic_store(&third.cancel, true);
    for (size_t i = 0; i < OX_COUNT(s); i++)
        pthread_join(s[i].thread, NULL);
    pthread_join(third.thread, NULL);
    engine_down(&f);
}

Test(engine, a_second_engine_on_the_same_data_says_so)
{
    cr_assert_eq(engine_second(&f), 75);
    cr_assert_str_eq(engine_sql(&f, "SELECT 1"), "1\n");
}

Test(engine, ends_with_its_control_pipe)
{
    close(f.control);
    f.control = -1;
    pid_t pid = f.pid;
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
    f.pid = 0;
}

static void
shipped_up(void)
{
    engine_up(&f, "-", NULL);
}

TestSuite(engine_schema, .init = shipped_up, .fini = down, .timeout = 120);

Test(engine_schema, migrations_apply_once_and_every_table_has_its_policy)
{
    unsigned applied = 0;
    struct ox_diag diag;
    ox_diag_clear(&diag);
    ox_err err = ox_storage_migrate(f.st, ox_schema_clickhouse, ox_schema_clickhouse_count, &applied, &diag);
    cr_assert_eq(err, OX_OK, "%s: %s", diag.field, diag.text);
    cr_assert_eq(applied, ox_schema_clickhouse_count);
    err = ox_storage_migrate(f.st, ox_schema_clickhouse, ox_schema_clickhouse_count, &applied, &diag);
    cr_assert_eq(err, OX_OK, "%s: %s", diag.field, diag.text);
    cr_assert_eq(applied, 0);
    char names[8192];
    snprintf(names, sizeof(names), "%s",
             engine_sql(&f, "SELECT name FROM system.tables WHERE database = 'observex'"));
    unsigned seen = 0;
    for (char *name = strtok(names, "\n"); name != NULL; name = strtok(NULL, "\n"), seen++) {
        bool listed = false;
        for (size_t i = 0; i < ox_schema_tables_count; i++)
            listed |= strcmp(ox_schema_tables[i].name, name) == 0;
        cr_assert(listed, "%s is in no row policy: add it to ox_schema_tables", name);
    }
    cr_assert_gt(seen, ox_schema_clickhouse_count);
}

Test(engine_schema, a_failing_migration_is_named_and_can_be_repeated)
{
    static const struct ox_migration bad[] = {
        {1, "first", "CREATE TABLE IF NOT EXISTS one (x UInt8) ENGINE = MergeTree ORDER BY x;\n"},
        {2, "second", "CREATE TABLE IF NOT EXISTS two (x UInt8) ENGINE = MergeTree ORDER BY x;\nSELEKT 1;\n"},
    };
    static const struct ox_migration other[] = {{1, "renamed", "SELECT 1;\n"}};
    unsigned applied = 0;
    struct ox_diag diag;
    cr_assert_eq(ox_storage_migrate(f.st, bad, 2, &applied, &diag), OX_E_STORAGE_REFUSED);
    cr_assert_eq(applied, 1);
    cr_assert_str_eq(diag.field, "002_second, statement 2");
    cr_assert_eq(ox_storage_migrate(f.st, bad, 2, &applied, &diag), OX_E_STORAGE_REFUSED);
    cr_assert_eq(applied, 0);
    cr_assert_eq(ox_storage_migrate(f.st, other, 1, &applied, &diag), OX_E_STATE);
    cr_assert_eq(ox_storage_migrate(f.st, bad, 0, &applied, &diag), OX_E_STATE);
}
