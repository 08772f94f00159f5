/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    what the node acknowledged reaches storage exactly once, however storage behaves and whenever the node dies;
 *          what it cannot take it refuses before it promises.
 * Method:  `observex serve` with storage.url at tests/harness/fake_clickhouse.c, a fresh directory and free ports per
 *          test. Each log record carries an id of its own; the endpoint counts ids per token.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/harness/fake_clickhouse.h"
#include "tests/harness/http_client.h"

#define PATIENCE_MS  40000
#define PER_REQUEST  10
#define REQUESTS_MAX 4096

static char dir[64], ready_path[128], storage_url[64];
static pid_t heart, node;
static uint16_t http_port, api_port;
static uint8_t acked[REQUESTS_MAX]; /* by request: ids [n * PER_REQUEST, +PER_REQUEST) */
static uint32_t n_requests;
static time_t began_s;
static bool mounted;

static int64_t
now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

#define eventually(condition)                                                                                \
    do {                                                                                                     \
        int64_t until_ = now_ms() + PATIENCE_MS;                                                             \
        while (!(condition) && now_ms() < until_)                                                            \
            poll(NULL, 0, 20);                                                                               \
        cr_assert(condition, "never: %s", #condition);                                                       \
    } while (0)

/* ---- the node ---- */

static uint16_t
port_of(json_t *o, const char *name)
{
    const char *colon = strrchr(json_string_value(json_object_get(o, name)), ':');
    return (uint16_t)atoi(colon + 1);
}

static bool
read_ready(pid_t not_this)
{
    json_t *o = json_load_file(ready_path, 0, NULL);
    pid_t pid = o != NULL ? (pid_t)json_integer_value(json_object_get(o, "node_pid")) : 0;
    bool fresh = pid > 0 && pid != not_this && json_integer_value(json_object_get(o, "pid")) == heart;
    if (fresh) {
        node = pid;
        http_port = port_of(o, "otlp_http");
        api_port = port_of(o, "api");
    }
    json_decref(o);
    return fresh;
}

static void
start(const char *const *more)
{
    const char *argv[40] = {OX_OBSERVEX,
                            "serve",
                            "--data",
                            dir,
                            "--otlp-grpc",
                            "127.0.0.1:0",
                            "--otlp-http",
                            "127.0.0.1:0",
                            "--api",
                            "127.0.0.1:0",
                            "--debug",
                            "127.0.0.1:0",
                            "--ready-file",
                            ready_path,
                            "--storage-url",
                            storage_url,
                            "--writer-compression-level",
                            "0",
                            "--writer-flush",
                            "50ms",
                            "--heart-backoff-min",
                            "10ms",
                            "--heart-drain",
                            "5s"};
    int n = 24;
    for (; more != NULL && *more != NULL; more++)
        argv[n++] = *more;
    char log[128];
    snprintf(log, sizeof(log), "%s.log", dir);
    heart = fork();
    if (heart == 0) {
        int fd = open(log, O_CREAT | O_WRONLY | O_APPEND, 0600);
        dup2(fd, 1);
        dup2(fd, 2);
        execv(OX_OBSERVEX, (char *const *)argv);
        _exit(127);
    }
    eventually(read_ready(0));
}

/* Asks for an orderly end; the exit code. */
static int
stop(void)
{
    int status = 0;
    kill(heart, SIGTERM);
    pid_t got = waitpid(heart, &status, 0);
    cr_assert_eq(got, heart);
    heart = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
setup(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    began_s = time(NULL);
    strcpy(dir, "/tmp/ox-spine-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(ready_path, sizeof(ready_path), "%s.ready", dir);
    snprintf(storage_url, sizeof(storage_url), "http://127.0.0.1:%u", fake_start());
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void
teardown(void)
{
    if (heart > 0)
        kill(heart, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    if (mounted)
        umount2(dir, MNT_DETACH);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    remove(ready_path);
    strcat(dir, ".log");
    remove(dir);
}

TestSuite(spine, .init = setup, .fini = teardown, .timeout = 170);

/* ---- traffic ---- */

/* Request n of PER_REQUEST log records (the same bytes each time), each padded to `pad` bytes; the status, 0 = no answer. */
static int
send_request(uint32_t n, size_t pad, char *retry_after, size_t cap)
{
    struct ox_buf body;
    struct ox_client_response r;
    ox_buf_init(&body);
    ox_buf_printf(&body, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[");
    for (uint32_t i = 0; i < PER_REQUEST; i++) {
        ox_buf_printf(&body, "%s{\"timeUnixNano\":\"%lld000000000\",\"body\":{\"stringValue\":\"uid=%07u;",
                      i > 0 ? "," : "", (long long)began_s, n * PER_REQUEST + i);
        memset(ox_buf_reserve(&body, pad), 'x', pad);
        body.len += pad;
        ox_buf_append_cstr(&body, "\"}}");
    }
    ox_buf_append_cstr(&body, "]}]}]}");
    ox_client_response_init(&r);
    bool ok = ox_client1_request(http_port, "POST", "/v1/logs", "Content-Type: application/json\r\n",
                                 body.data, body.len, &r);
    int status = ok ? r.status : 0;
    if (retry_after != NULL && !ox_client_header(&r.headers, "retry-after", retry_after, cap))
        retry_after[0] = '\0';
    ox_client_response_fini(&r);
    ox_buf_fini(&body);
    return status;
}

static int
send_next(size_t pad)
{
    int status = send_request(n_requests, pad, NULL, 0);
    acked[n_requests++] = status == 200;
    return status;
}

static bool
all_stored(void)
{
    for (uint32_t id = 0; id < n_requests * PER_REQUEST; id++) {
        if (acked[id / PER_REQUEST] && fake_seen(id) == 0)
            return false;
    }
    return true;
}

/* Exactly once what was acknowledged, at most once what was not. */
static void
check_all(void)
{
    eventually(all_stored());
    for (uint32_t id = 0; id < n_requests * PER_REQUEST; id++)
        cr_assert(fake_seen(id) <= 1, "record %u is stored %u times", id, fake_seen(id));
    struct fake_counts c = fake_counts();
    cr_assert_eq(c.different, 0, "a token was used again for other bytes");
    cr_assert_eq(c.tokenless, 0);
}

/* The value behind the first `line`, "\n" and a name and a space, of /metrics; or -1. */
static double
metric(const char *line)
{
    struct ox_client_response r;
    ox_client_response_init(&r);
    double value = -1;
    if (ox_client1_request(api_port, "GET", "/metrics", NULL, NULL, 0, &r)) {
        ox_buf_append(&r.body, "", 1);
        const char *at = strstr((char *)r.body.data, line);
        const char *space = at != NULL ? strchr(at, ' ') : NULL;
        value = space != NULL ? strtod(space, NULL) : -1;
    }
    ox_client_response_fini(&r);
    return value;
}

/* ---- tests ---- */

Test(spine, storage_away_for_a_while)
{
    start(NULL);
    static const enum fake_mode troubles[] = {FAKE_GONE, FAKE_UNAVAILABLE, FAKE_BUSY, FAKE_CUT_BODY};
    for (size_t t = 0; t < OX_COUNT(troubles); t++) {
        fake_set(troubles[t]);
        for (int i = 0; i < 40; i++)
            cr_assert_eq(send_next(0), 200, "refused although everything has room");
        eventually(metric("\nobservex_storage_up ") == 0);
        fake_set(FAKE_OK);
        check_all();
        eventually(metric("\nobservex_storage_up ") == 1);
    }
    cr_assert_eq(stop(), 0);
}

Test(spine, answers_lost_after_the_block_was_taken)
{
    start(NULL);
    static const enum fake_mode troubles[] = {FAKE_CUT_AFTER, FAKE_HALF_ANSWER};
    for (size_t t = 0; t < OX_COUNT(troubles); t++) {
        uint64_t before = fake_counts().repeats;
        fake_set(troubles[t]);
        for (int i = 0; i < 20; i++)
            cr_assert_eq(send_next(0), 200);
        eventually(fake_counts().repeats > before); /* the same token came again */
        fake_set(FAKE_OK);
        check_all();
    }
    cr_assert_eq(stop(), 0);
}

static unsigned
refused_files(void)
{
    char path[128];
    unsigned n = 0;
    snprintf(path, sizeof(path), "%s/dlq/blocks", dir);
    DIR *d = opendir(path);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        n += strstr(e->d_name, ".native") != NULL && strstr(e->d_name, ".txt") == NULL;
    if (d != NULL)
        closedir(d);
    return n;
}

Test(spine, a_block_refused_for_its_content_is_kept_and_counted)
{
    start(NULL);
    fake_set(FAKE_REFUSE);
    cr_assert_eq(send_next(0), 200);
    eventually(refused_files() == 1);
    eventually(metric("\nobservex_outbox_refused_blocks_total ") == 1);
    fake_set(FAKE_OK);
    acked[0] = false; /* kept, counted, not stored */
    for (int i = 0; i < 5; i++)
        cr_assert_eq(send_next(0), 200);
    check_all();
    cr_assert_eq(fake_seen(0), 0);
    cr_assert_eq(stop(), 0);
}

Test(spine, a_stuck_table_does_not_hold_the_others)
{
    static const char span[] =
        "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"0102030405060708090a0b0c0d0e0f10\","
        "\"spanId\":\"0102030405060708\",\"name\":\"n\",\"startTimeUnixNano\":\"%lld000000000\","
        "\"endTimeUnixNano\":\"%lld000000001\"}]}]}]}";
    char body[512];
    struct ox_client_response r;
    start(NULL);
    fake_stuck_table("otel_traces");
    int n = snprintf(body, sizeof(body), span, (long long)time(NULL), (long long)time(NULL));
    ox_client_response_init(&r);
    cr_assert(ox_client1_request(http_port, "POST", "/v1/traces", "Content-Type: application/json\r\n", body,
                                 (size_t)n, &r));
    cr_assert_eq(r.status, 200);
    ox_client_response_fini(&r);
    eventually(metric("\nobservex_storage_up ") == 0);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(send_next(0), 200);
    check_all();
    cr_assert_eq(metric("\nobservex_storage_up "), 0, "the traces went in after all");
    fake_stuck_table(NULL);
    eventually(metric("\nobservex_storage_up ") == 1);
    cr_assert_eq(stop(), 0);
}

static uint64_t
resident_kib(pid_t pid)
{
    char path[64], line[256];
    unsigned long long kib = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        sscanf(line, "VmRSS: %llu", &kib);
    if (f != NULL)
        fclose(f);
    return kib;
}

Test(spine, full_journals_refuse_and_recover)
{
    static const char *const tiny[] = {"--outbox-total-bytes", "128MiB", "--wal-total-bytes", "128MiB", NULL};
    char retry[16];
    int status;
    start(tiny);
    fake_set(FAKE_HANG);
    do
        status = send_next(100000); /* 1 MB */
    while (status == 200 && n_requests < 1000);
    cr_assert_eq(status, 429, "after %u MB: %d", n_requests, status);
    cr_assert_gt(n_requests, 60, "refused after %u MB of 128", n_requests);
    cr_assert_eq(send_request(n_requests, 0, retry, sizeof(retry)), 429);
    cr_assert_neq(retry[0], '\0', "429 without Retry-After");
    cr_assert_lt(resident_kib(node), 600 * 1024);
    fake_set(FAKE_OK);
    check_all();
    eventually(send_next(0) == 200);
    check_all();
    cr_assert_eq(stop(), 0);
}

/* As a client that heard nothing: the same bytes until they are acknowledged. */
static void
send_unanswered_again(void)
{
    for (uint32_t n = 0; n < n_requests; n++) {
        if (!acked[n])
            eventually(send_request(n, 0, NULL, 0) == 200);
        acked[n] = true;
    }
}

Test(spine, a_repeated_request_is_stored_once_and_counted)
{
    start(NULL);
    fake_set(FAKE_HANG);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(send_next(0), 200);
        cr_assert_eq(send_request(n_requests - 1, 0, NULL, 0), 200);
    }
    kill(node, SIGKILL);
    pid_t old = node;
    eventually(read_ready(old));
    for (uint32_t n = 0; n < 10; n++)
        cr_assert_eq(send_request(n, 0, NULL, 0), 200);
    fake_set(FAKE_OK);
    check_all();
    eventually(metric("\nobservex_ingest_signals_duplicate_total{") == 10 * PER_REQUEST);
    cr_assert_eq(metric("\nobservex_ingest_signals_received_total{"), 10 * PER_REQUEST);
    cr_assert_eq(stop(), 0);
}

/* The journals themselves have filled the disk: what gives room back must not need any. */
/* Rows in memory when the log has filled the disk need room in the outbox before the log can shrink. Blocks are kept
 * small here, so that what a refused append leaves is enough; larger ones wait until somebody makes room. */
Test(spine, a_full_disk_refuses_and_recovers)
{
    static const char *const small[] = {"--heart-disk-min",
                                        "0",
                                        "--heart-disk-warn",
                                        "0",
                                        "--wal-segment-bytes",
                                        "4MiB",
                                        "--outbox-segment-bytes",
                                        "4MiB",
                                        "--wal-disk-reserve",
                                        "12MiB", /* what the writers hold finds room in the outbox */
                                        "--writer-block-bytes",
                                        "1MiB",
                                        NULL};
    char retry[16];
    int status;
    if (mount("tmpfs", dir, "tmpfs", 0, "size=40m,mode=0700") != 0)
        cr_skip_test("NOT TESTED: a full disk, since this process may not mount a tmpfs");
    mounted = true;
    start(small);
    fake_set(FAKE_HANG);
    do {
        status = send_request(n_requests, 100000, retry, sizeof(retry));
        acked[n_requests++] = status == 200;
    } while (status == 200 && n_requests < 200);
    cr_assert_eq(status, 429, "after %u MB: %d", n_requests, status);
    cr_assert_neq(retry[0], '\0', "429 without Retry-After");
    for (int i = 0; i < 5; i++)
        (void)send_next(1000); /* whatever still fits */
    fake_set(FAKE_OK);
    check_all();
    eventually(send_next(100000) == 200);
    check_all();
    cr_assert_eq(stop(), 0);
}

Test(spine, killed_in_every_phase)
{
    static const enum fake_mode phases[] = {FAKE_OK,       FAKE_SLOW,      FAKE_CUT_AFTER, FAKE_HANG,
                                            FAKE_CUT_BODY, FAKE_CUT_AFTER, FAKE_GONE,      FAKE_HALF_ANSWER};
    start(NULL);
    for (size_t p = 0; p < OX_COUNT(phases); p++) {
        uint64_t inserts = fake_counts().inserts;
        fake_set(phases[p]);
        for (int i = 0; i < 15; i++)
            (void)send_next(0);
        if (p % 2 == 0 && phases[p] != FAKE_GONE && phases[p] != FAKE_CUT_BODY)
            eventually(fake_counts().inserts > inserts); /* else at once, before anything is packed */
        pid_t old = node;
        kill(old, SIGKILL);
        (void)send_next(0);
        if (p % 3 == 1)
            fake_set(FAKE_OK);
        eventually(read_ready(old));
        send_unanswered_again();
    }
    fake_set(FAKE_OK);
    check_all();
    cr_assert_eq(stop(), 0);
}

Test(spine, stopped_while_storage_is_down_and_started_again)
{
    static const char *const brief[] = {"--heart-drain", "300ms", NULL};
    start(brief);
    fake_set(FAKE_GONE);
    for (int i = 0; i < 30; i++)
        cr_assert_eq(send_next(0), 200);
    cr_assert_eq(stop(), 0);
    remove(ready_path);
    start(brief);
    for (int i = 0; i < 30; i++)
        cr_assert_eq(send_next(0), 200);
    fake_set(FAKE_OK);
    check_all();
    cr_assert_eq(stop(), 0);
}
