/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a stop ends in time and in good order whatever storage does, says what it leaves behind, and the next start
 *          stores exactly that.
 * Method:  the whole program before a scripted storage endpoint that works, hangs or is gone; once with the real
 *          engine, stopped by SIGSTOP.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "tests/harness/spine_node.h"

/* heart.drain of the harness is 5 s; the machine may be very busy. */
#define IN_TIME_MS 20000

TestSuite(stop, .init = spine_setup, .fini = serve_teardown, .timeout = 180);

/* Reads what the server has printed so far. */
static char *
printed(void)
{
    static char text[1 << 20];
    char path[128];
    snprintf(path, sizeof(path), "%s.log", serve.dir);
    FILE *f = fopen(path, "r");
    size_t n = f != NULL ? fread(text, 1, sizeof(text) - 1, f) : 0;
    if (f != NULL)
        fclose(f);
    text[n] = '\0';
    return text;
}

static void
send_some(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        cr_assert_eq(spine_send_next(0), 200);
}

static int
stop_in_time(void)
{
    int64_t before = serve_now_ms();
    int code = serve_stop();
    int64_t took = serve_now_ms() - before;
    cr_assert_lt(took, IN_TIME_MS, "the stop took %lld ms", (long long)took);
    return code;
}

static void
start_again_and_check(void)
{
    fake_set(FAKE_OK);
    serve_forget_ready();
    serve_start(NULL, NULL);
    spine_check_all();
    cr_assert_eq(serve_stop(), 0);
}

Test(stop, stores_what_was_accepted_before_it_ends)
{
    serve_start(NULL, NULL);
    send_some(20);
    cr_assert_eq(stop_in_time(), 0);
    for (uint32_t id = 0; id < 20 * SPINE_PER_REQUEST; id++)
        cr_assert_eq(fake_seen(id), 1, "record %u", id);
    cr_assert_null(strstr(printed(), "stopped before everything"), "nothing is left, so nothing is said");
}

Test(stop, ends_in_time_while_storage_hangs_and_says_what_stays)
{
    serve_start(NULL, NULL);
    send_some(5);
    spine_check_all();
    fake_set(FAKE_HANG);
    send_some(10);
    cr_assert_eq(stop_in_time(), 0, "a hanging storage is no failure of the stop");
    cr_assert_not_null(strstr(printed(), "observex: stopped before everything was in storage: "));
    cr_assert_not_null(strstr(printed(), "the next start stores them"));
    start_again_and_check();
}

Test(stop, ends_in_time_while_storage_is_gone)
{
    serve_start(NULL, NULL);
    send_some(5);
    spine_check_all();
    fake_set(FAKE_GONE);
    send_some(10);
    cr_assert_eq(stop_in_time(), 0);
    cr_assert_not_null(strstr(printed(), "observex: stopped before everything was in storage: "));
    start_again_and_check();
}

Test(stop, is_hastened_by_a_second_signal)
{
    int status = 0;
    serve_start(NULL, (const char *[]){"--storage-insert-timeout=1h", NULL});
    fake_set(FAKE_HANG);
    send_some(10);
    int64_t before = serve_now_ms();
    kill(serve.heart, SIGTERM);
    eventually(strstr(printed(), "\"component\":\"node\",\"msg\":\"stopping\"") != NULL);
    kill(serve.heart, SIGINT);
    cr_assert_eq(waitpid(serve.heart, &status, 0), serve.heart);
    serve.heart = 0;
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
    cr_assert_lt(serve_now_ms() - before, IN_TIME_MS);
    cr_assert_not_null(strstr(printed(), "\"hurried\":true"));
    start_again_and_check();
}

/* ---- with the real engine ---- */

static long
stored_rows(const char *what)
{
    char command[512], text[64] = "";
    snprintf(command, sizeof(command),
             "'%s' sql --data '%s' --format TSV 'SELECT %s FROM otel_logs' 2>/dev/null", OX_OBSERVEX,
             serve.dir, what);
    FILE *f = popen(command, "r");
    cr_assert_not_null(f);
    bool got = fgets(text, sizeof(text), f) != NULL;
    return pclose(f) == 0 && got ? atol(text) : -1;
}

Test(stop, ends_in_time_while_the_engine_is_stopped_and_loses_nothing)
{
    const char *const flags[] = {"--heart-drain=4s", "--heart-engine-stop=1s", NULL};
    serve_embedded(OX_LIBCHDB);
    serve_start(NULL, flags);
    send_some(5);
    eventually(stored_rows("count()") == 5 * SPINE_PER_REQUEST);
    cr_assert_eq(kill(serve.engine, SIGSTOP), 0);
    send_some(10);
    cr_assert_eq(stop_in_time(), 0, "a stopped engine is no failure of the stop");
    cr_assert_not_null(strstr(printed(), "observex: stopped before everything was in storage: "));
    serve_forget_ready();
    serve_start(NULL, flags);
    eventually(stored_rows("count()") == 15 * SPINE_PER_REQUEST);
    cr_assert_eq(stored_rows("uniqExact(body)"), 15 * SPINE_PER_REQUEST, "each once");
    cr_assert_eq(stop_in_time(), 0);
}
