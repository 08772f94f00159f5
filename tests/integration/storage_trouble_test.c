/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    trouble of storage is borne without loss and without doubles, and is told to those who ask.
 * Method:  `observex serve` before tests/harness/fake_clickhouse.c, see tests/harness/spine_node.h.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/random.h"
#include "tests/harness/spine_node.h"

TestSuite(trouble, .init = spine_setup, .fini = serve_teardown, .timeout = 170);

#define BREAKER "\nobservex_storage_breaker_state{"

/* Inserts wait, questions are refused at once and say why, and it ends by itself. */
Test(trouble, the_breaker_opens_and_closes)
{
    static const enum fake_mode troubles[] = {FAKE_GONE, FAKE_UNAVAILABLE, FAKE_HALF_ANSWER};
    char answer[1024];
    serve_start(NULL, NULL);
    for (size_t t = 0; t < OX_COUNT(troubles); t++) {
        fake_set(troubles[t]);
        for (int i = 0; i < 10; i++)
            cr_assert_eq(spine_send_next(0), 200);
        eventually(spine_metric(BREAKER) >= 1);
        int64_t before = serve_now_ms();
        int status = spine_api("GET", "/api/v1/services", answer, sizeof(answer));
        if (strstr(answer, "STORAGE_OPEN") != NULL) { /* else the question was the probe */
            cr_assert_eq(status, 503, "%d %s", status, answer);
            cr_assert_lt(serve_now_ms() - before, 5000);
        }
        eventually(spine_api("GET", "/api/v1/services", answer, sizeof(answer)) == 503 &&
                   strstr(answer, "STORAGE_OPEN") != NULL && strstr(answer, "circuit breaker") != NULL);
        uint64_t inserts = fake_counts().inserts;
        cr_assert_eq(spine_send_next(0), 200, "ingest goes on into the journals");
        fake_set(FAKE_OK);
        spine_check_all();
        eventually(spine_metric(BREAKER) == 0);
        cr_assert_gt(fake_counts().inserts, inserts);
        cr_assert_eq(spine_api("GET", "/api/v1/status", answer, sizeof(answer)), 200);
        cr_assert_not_null(strstr(answer, "\"breaker\":\"closed\""), "%s", answer);
    }
    cr_assert_gt(spine_metric("\nobservex_storage_breaker_refused_total{"), 0);
    cr_assert_eq(serve_stop(), 0);
}

/* After a long outage the backlog goes at once when the breaker's probe is answered: no table waits for a wait of its own
 * that grew meanwhile. */
Test(trouble, a_backlog_goes_as_soon_as_storage_answers)
{
    static const char *const quick[] = {"--storage-breaker-wait", "1s", NULL};
    serve_start(NULL, quick);
    fake_set(FAKE_GONE);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(spine_send_next(0), 200);
    eventually(spine_metric("to=\"half_open\"}") >=
               8); /* probes that failed: a table's own wait would be 25 s now */
    fake_set(FAKE_OK);
    int64_t back = serve_now_ms();
    spine_check_all();
    cr_assert_lt(serve_now_ms() - back, 15000);
    cr_assert_eq(serve_stop(), 0);
}

/* ---- a block with rows that storage refuses ---- */

/* Requests are gathered into one block: it is finished by age only. */
static const char *const gather[] = {"--writer-flush", "500ms", NULL};

/* How many times the record stands in the dead-letter file. */
static unsigned
letters_of(uint32_t id)
{
    char path[128], want[16];
    unsigned n = 0;
    snprintf(path, sizeof(path), "%s/dlq/dlq.jsonl", serve.dir);
    snprintf(want, sizeof(want), "uid=%07u;", id);
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t cap = 0;
    while (f != NULL && getline(&line, &cap, f) > 0)
        n += strstr(line, want) != NULL && strstr(line, "refused_by_storage") != NULL &&
             strstr(line, "\"tenant\":\"default\"") != NULL && strstr(line, "Code: 469") != NULL;
    free(line);
    if (f != NULL)
        fclose(f);
    return n;
}

static unsigned
markers(void)
{
    char path[128];
    unsigned n = 0;
    snprintf(path, sizeof(path), "%s/dlq/blocks", serve.dir);
    DIR *d = opendir(path);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        n += strstr(e->d_name, ".split") != NULL;
    if (d != NULL)
        closedir(d);
    return n;
}

/* Each of the requests is a block's worth of good rows but for the poison. */
static void
check_split(const uint32_t *bad, size_t n_bad)
{
    for (size_t i = 0; i < n_bad; i++)
        eventually(letters_of(bad[i]) > 0);
    for (uint32_t id = 0; id < spine_n_requests * SPINE_PER_REQUEST; id++) {
        bool is_bad = false;
        for (size_t i = 0; i < n_bad; i++)
            is_bad |= bad[i] == id;
        if (is_bad)
            continue;
        eventually(fake_seen(id) > 0);
    }
    for (uint32_t id = 0; id < spine_n_requests * SPINE_PER_REQUEST; id++) {
        unsigned seen = fake_seen(id), letters = letters_of(id);
        cr_assert_leq(seen, 1, "record %u is stored %u times", id, seen);
        cr_assert(seen == 1 || letters > 0, "record %u is neither stored nor kept", id);
        cr_assert(seen == 0 || letters == 0, "record %u is stored and refused", id);
    }
    cr_assert_eq(fake_counts().different, 0, "a token was used again for other bytes");
    eventually(spine_metric("\nobservex_outbox_blocks ") == 0);
    eventually(markers() == 0);
}

Test(trouble, bad_rows_are_taken_out_of_a_block)
{
    static const uint32_t bad[] = {3, 77, 78, 199};
    serve_start(NULL, gather);
    for (size_t i = 0; i < OX_COUNT(bad); i++)
        fake_poison(bad[i]);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(spine_send_next(0), 200);
    check_split(bad, OX_COUNT(bad));
    for (size_t i = 0; i < OX_COUNT(bad); i++)
        cr_assert_eq(letters_of(bad[i]), 1);
    cr_assert_eq(spine_metric("\nobservex_outbox_refused_rows_total{"), OX_COUNT(bad));
    cr_assert_eq(
        spine_metric(
            "\nobservex_ingest_signals_dropped_total{tenant=\"default\",type=\"logs\",reason=\"invalid\"}"),
        OX_COUNT(bad));
    cr_assert_eq(spine_metric("\nobservex_ingest_signals_stored_total{type=\"logs\"}"), 200 - OX_COUNT(bad));
    /* The others go on as ever. */
    cr_assert_eq(spine_send_next(0), 200);
    check_split(bad, OX_COUNT(bad));
    cr_assert_eq(serve_stop(), 0);
}

Test(trouble, a_block_of_bad_rows_only_is_kept_and_the_table_goes_on)
{
    uint32_t bad[SPINE_PER_REQUEST];
    serve_start(NULL, NULL);
    for (uint32_t i = 0; i < SPINE_PER_REQUEST; i++)
        fake_poison(bad[i] = i);
    cr_assert_eq(spine_send_next(0), 200);
    check_split(bad, OX_COUNT(bad));
    cr_assert_eq(spine_send_next(0), 200);
    check_split(bad, OX_COUNT(bad));
    cr_assert_eq(serve_stop(), 0);
}

/* Storage falls silent before each further step of a split, the node is killed there. */
Test(trouble, killed_at_every_step_of_a_split)
{
    uint32_t bad[64];
    size_t n_bad = 0;
    serve_start(NULL, gather);
    for (uint32_t step = 1; step <= 11; step++) {
        uint32_t first = spine_n_requests * SPINE_PER_REQUEST;
        fake_poison(bad[n_bad++] = first + 5 + step);
        fake_poison(bad[n_bad++] = first + 31);
        uint64_t inserts = fake_counts().inserts;
        fake_hang_after(step);
        for (int i = 0; i < 4; i++)
            cr_assert_eq(spine_send_next(0), 200);
        eventually(fake_counts().inserts > inserts + step); /* one hangs */
        serve_kill_node();
        fake_set(FAKE_OK);
        check_split(bad, n_bad);
    }
    cr_assert_gt(fake_counts().repeats, 0, "nothing was ever in doubt");
    cr_assert_gt(fake_counts().asked, 0, "storage was never asked what it holds");
    cr_assert_eq(serve_stop(), 0);
}

/* Parts are in storage, the node is killed, and somebody lifts the constraint: were the block sent as a whole now, storage
 * would take it under its own token, and those parts would be there twice. */
Test(trouble, a_split_that_has_begun_stays_one)
{
    serve_start(NULL, gather);
    fake_poison(39);
    fake_hang_after(7); /* three refusals of the whole, then parts: some are taken */
    for (int i = 0; i < 4; i++)
        cr_assert_eq(spine_send_next(0), 200);
    eventually(fake_counts().inserts == 8);
    cr_assert_gt(fake_counts().blocks, 0);
    cr_assert_eq(markers(), 1);
    serve_kill_node();
    fake_poison(UINT32_MAX);
    fake_set(FAKE_OK);
    check_split(NULL, 0);
    cr_assert_eq(serve_stop(), 0);
}

Test(trouble, a_split_bears_storage_that_comes_and_goes)
{
    static const enum fake_mode troubles[] = {FAKE_GONE, FAKE_CUT_AFTER, FAKE_HALF_ANSWER, FAKE_BUSY,
                                              FAKE_CUT_BODY};
    uint32_t bad[OX_COUNT(troubles) * 2];
    size_t n_bad = 0;
    serve_start(NULL, gather);
    for (size_t t = 0; t < OX_COUNT(troubles); t++) {
        uint32_t first = spine_n_requests * SPINE_PER_REQUEST;
        fake_poison(bad[n_bad++] = first);
        fake_poison(bad[n_bad++] = first + 17);
        uint64_t poisoned = fake_counts().poisoned;
        for (int i = 0; i < 4; i++)
            cr_assert_eq(spine_send_next(0), 200);
        eventually(fake_counts().poisoned >= poisoned + 4); /* in the middle */
        uint64_t inserts = fake_counts().inserts;
        fake_set(troubles[t]);
        if (troubles[t] != FAKE_GONE && troubles[t] != FAKE_CUT_BODY)
            eventually(fake_counts().inserts > inserts || markers() == 0);
        else
            eventually(spine_metric("\nobservex_storage_up ") == 0 || markers() == 0);
        fake_set(FAKE_OK);
        check_split(bad, n_bad);
    }
    cr_assert_eq(serve_stop(), 0);
}

/* ---- what arrived before a restart ---- */

Test(trouble, blocks_of_the_previous_run_are_looked_for)
{
    serve_start(NULL, NULL);
    fake_set(FAKE_CUT_AFTER); /* taken, not confirmed */
    for (int i = 0; i < 5; i++)
        cr_assert_eq(spine_send_next(0), 200);
    eventually(fake_counts().blocks > 0);
    uint64_t asked = fake_counts().asked;
    serve_kill_node();
    fake_set(FAKE_OK);
    spine_check_all();
    cr_assert_gt(fake_counts().asked, asked);
    eventually(spine_metric("\nobservex_outbox_blocks_checked_total{table=\"otel_logs\",found=\"all\"}") >=
               1);
    cr_assert_lt(spine_metric("found=\"wrong\"}"), 0, "a block that was sent again is there twice");
    cr_assert_eq(serve_stop(), 0);
}

/* Goal: a token that a kill left without its rows does not cost the rows. Method: storage notes the token and takes nothing; the
 * next run sends the block again, sees that nothing is there, and sends it under another token. */
Test(trouble, a_token_without_its_rows_costs_nothing)
{
    serve_start(NULL, NULL);
    fake_set(FAKE_TOKEN_ONLY);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(spine_send_next(0), 200);
    eventually(fake_counts().blocks > 0);
    serve_kill_node();
    fake_set(FAKE_OK);
    spine_check_all();
    cr_assert_lt(spine_metric("found=\"wrong\"}"), 0, "a block that was sent again is not there once");
    cr_assert_eq(serve_stop(), 0);
}

/* Storage takes blocks but has no memory to say which it has: the tokens alone must do, and nothing may wait for ever. */
Test(trouble, blocks_are_sent_when_storage_cannot_say_what_it_has)
{
    serve_start(NULL, NULL);
    fake_set(FAKE_CUT_AFTER);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(spine_send_next(0), 200);
    eventually(fake_counts().blocks > 0);
    fake_forgetful(true);
    serve_kill_node();
    fake_set(FAKE_OK);
    eventually(spine_metric("\nobservex_outbox_blocks ") == 0); /* the last question was given up */
    spine_check_all();
    cr_assert_geq(fake_counts().asked, 5);
    cr_assert_eq(serve_stop(), 0);
}

/* Storage takes blocks and cannot read what it has: what may be damaged is not let go. */
Test(trouble, blocks_stay_while_storage_cannot_read_what_it_has)
{
    serve_start(NULL, NULL);
    fake_set(FAKE_CUT_AFTER);
    cr_assert_eq(spine_send_next(0), 200);
    eventually(fake_counts().blocks > 0);
    fake_damaged(true);
    fake_set(FAKE_OK);
    uint64_t asked = fake_counts().asked;
    eventually(fake_counts().asked >= asked + 3);
    cr_assert_gt(spine_metric("\nobservex_outbox_blocks "), 0);
    fake_damaged(false);
    eventually(spine_metric("\nobservex_outbox_blocks ") == 0);
    spine_check_all();
    cr_assert_eq(serve_stop(), 0);
}

/* The same without a restart: the engine was killed, the node was not. */
Test(trouble, a_token_without_its_rows_costs_nothing_while_the_node_lives)
{
    serve_start(NULL, NULL);
    fake_set(FAKE_TOKEN_ONLY);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(spine_send_next(0), 200);
    eventually(fake_counts().blocks > 0);
    fake_set(FAKE_OK);
    spine_check_all();
    cr_assert_lt(spine_metric("found=\"wrong\"}"), 0, "a block that was sent again is not there once");
    cr_assert_eq(serve_stop(), 0);
}

/* On a connection that was there before, which the client's library makes anew, and says nothing. */
Test(trouble, a_token_without_its_rows_behind_a_silent_repeat)
{
    serve_start(NULL, NULL);
    cr_assert_eq(spine_send_next(0), 200);
    spine_check_all();
    fake_set(FAKE_TOKEN_ONLY_ONCE);
    cr_assert_eq(spine_send_next(0), 200);
    spine_check_all();
    cr_assert_eq(serve_stop(), 0);
}

/* The token under which it is sent again meets the same. */
Test(trouble, a_second_token_without_its_rows_costs_nothing_either)
{
    serve_start(NULL, NULL);
    fake_set(FAKE_TOKEN_ONLY);
    cr_assert_eq(spine_send_next(0), 200);
    eventually(fake_counts().blocks > 0);
    fake_set(FAKE_TOKEN_AGAIN_ONLY);
    spine_check_all();
    cr_assert_lt(spine_metric("found=\"wrong\"}"), 0, "a block that was sent again is not there once");
    cr_assert_eq(serve_stop(), 0);
}

/* ---- answers behind the time-out ---- */

Test(trouble, storage_that_is_later_than_the_time_out)
{
    static const char *const brief[] = {"--storage-insert-timeout", "1s", NULL};
    serve_start(NULL, brief);
    fake_set(FAKE_LATE);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(spine_send_next(0), 200);
    eventually(fake_counts().repeats > 0); /* sent again while the first was still on its way */
    fake_set(FAKE_OK);
    spine_check_all();
    cr_assert_eq(serve_stop(), 0);
}

Test(trouble, storage_that_hangs_beyond_the_time_out)
{
    static const char *const brief[] = {"--storage-insert-timeout", "1s", NULL};
    serve_start(NULL, brief);
    fake_set(FAKE_HANG);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(spine_send_next(0), 200);
    eventually(
        spine_metric("\nobservex_storage_insert_failures_total{table=\"otel_logs\",error=\"TIMEOUT\"}") >= 3);
    fake_set(FAKE_SLOW);
    spine_check_all();
    fake_set(FAKE_OK);
    cr_assert_eq(serve_stop(), 0);
}

/* Every trouble in an order by chance, poison now and then, the node killed now and then. */
Test(trouble, a_mix_by_chance)
{
    static const char *const brief[] = {"--storage-insert-timeout", "1s", NULL};
    static const enum fake_mode modes[] = {FAKE_OK,   FAKE_SLOW,     FAKE_GONE,      FAKE_UNAVAILABLE,
                                           FAKE_BUSY, FAKE_CUT_BODY, FAKE_CUT_AFTER, FAKE_HALF_ANSWER,
                                           FAKE_HANG, FAKE_LATE};
    struct ox_random rnd;
    uint64_t seed = 0;
    uint32_t bad[64];
    size_t n_bad = 0;
    cr_assert_eq(ox_random_os(&seed, sizeof(seed)), OX_OK);
    fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    ox_random_seed(&rnd, seed);
    serve_start(NULL, brief);
    for (int step = 0; step < 16; step++) {
        fake_set(modes[ox_random_below(&rnd, OX_COUNT(modes))]);
        if (step % 3 == 2)
            fake_poison(bad[n_bad++] =
                            spine_n_requests * SPINE_PER_REQUEST + (uint32_t)ox_random_below(&rnd, 10));
        for (uint64_t i = 1 + ox_random_below(&rnd, 6); i > 0; i--)
            cr_assert_eq(spine_send_next(0), 200);
        uint64_t inserts = fake_counts().inserts, until = 1 + ox_random_below(&rnd, 3);
        int64_t deadline = serve_now_ms() + 500; /* some modes let nothing come */
        while (fake_counts().inserts < inserts + until && serve_now_ms() < deadline)
            poll(NULL, 0, 10);
        if (ox_random_below(&rnd, 5) == 0)
            serve_kill_node();
    }
    fake_set(FAKE_OK);
    check_split(bad, n_bad);
    cr_assert_eq(serve_stop(), 0);
}
