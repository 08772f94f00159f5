/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/spine_node.c - see spine_node.h.
 *
 * Owns:    the server's processes: they are ended with the test.
 * Threads: the test's.
 */
#include "tests/harness/spine_node.h"

#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

char spine_dir[64];
pid_t spine_heart, spine_node, spine_engine;
uint16_t spine_http_port, spine_api_port;
uint8_t spine_acked[SPINE_REQUESTS_MAX];
uint32_t spine_n_requests;
bool spine_mounted, spine_error_logs;
static char ready_path[128], storage_url[64];
static time_t began_s;

int64_t
spine_now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- the node ---- */

static uint16_t
port_of(json_t *o, const char *name)
{
    const char *colon = strrchr(json_string_value(json_object_get(o, name)), ':');
    return (uint16_t)atoi(colon + 1);
}

bool
spine_read_ready(pid_t not_this)
{
    json_t *o = json_load_file(ready_path, 0, NULL);
    pid_t pid = o != NULL ? (pid_t)json_integer_value(json_object_get(o, "node_pid")) : 0;
    bool fresh = pid > 0 && pid != not_this && json_integer_value(json_object_get(o, "pid")) == spine_heart;
    if (fresh) {
        spine_node = pid;
        spine_engine = (pid_t)json_integer_value(json_object_get(o, "engine_pid"));
        spine_http_port = port_of(o, "otlp_http");
        spine_api_port = port_of(o, "api");
    }
    json_decref(o);
    return fresh;
}

void
spine_start(const char *const *more)
{
    const char *argv[64] = {OX_OBSERVEX,
                            "serve",
                            "--data",
                            spine_dir,
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
                            "--heart-max-restarts",
                            "1000", /* however fast a test kills */
                            "--heart-drain",
                            "5s",
                            "--heart-quiet", /* kills that follow fast are no failed starts */
                            "100ms"};
    int n = 28;
    for (; more != NULL && *more != NULL; more++)
        argv[n++] = *more;
    char log[128];
    snprintf(log, sizeof(log), "%s.log", spine_dir);
    spine_heart = fork();
    if (spine_heart == 0) {
        int fd = open(log, O_CREAT | O_WRONLY | O_APPEND, 0600);
        dup2(fd, 1);
        dup2(fd, 2);
        execv(OX_OBSERVEX, (char *const *)argv);
        _exit(127);
    }
    eventually(spine_read_ready(0));
}

/* Asks for an orderly end; the exit code. */
int
spine_stop(void)
{
    int status = 0;
    kill(spine_heart, SIGTERM);
    pid_t got = waitpid(spine_heart, &status, 0);
    cr_assert_eq(got, spine_heart);
    spine_heart = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void
spine_setup(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    began_s = time(NULL);
    strcpy(spine_dir, "/tmp/ox-spine-XXXXXX");
    cr_assert_not_null(mkdtemp(spine_dir));
    snprintf(ready_path, sizeof(ready_path), "%s.ready", spine_dir);
    snprintf(storage_url, sizeof(storage_url), "http://127.0.0.1:%u", fake_start());
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void
spine_teardown(void)
{
    if (spine_heart > 0)
        kill(spine_heart, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    if (spine_mounted)
        umount2(spine_dir, MNT_DETACH);
    nftw(spine_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    remove(ready_path);
    strcat(spine_dir, ".log");
    remove(spine_dir);
}

/* ---- traffic ---- */

/* Request n of PER_REQUEST log records (the same bytes each time), each padded to `pad` bytes; the status, 0 = no answer. */
int
spine_send_request(uint32_t n, size_t pad, char *retry_after, size_t cap)
{
    struct ox_buf body;
    struct ox_client_response r;
    ox_buf_init(&body);
    ox_buf_printf(&body, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[");
    for (uint32_t i = 0; i < SPINE_PER_REQUEST; i++) {
        ox_buf_printf(&body, "%s{%s\"timeUnixNano\":\"%lld000000000\",\"body\":{\"stringValue\":\"uid=%07u;",
                      i > 0 ? "," : "", spine_error_logs ? "\"severityNumber\":17," : "", (long long)began_s,
                      n * SPINE_PER_REQUEST + i);
        memset(ox_buf_reserve(&body, pad), 'x', pad);
        body.len += pad;
        ox_buf_append_cstr(&body, "\"}}");
    }
    ox_buf_append_cstr(&body, "]}]}]}");
    ox_client_response_init(&r);
    bool ok = ox_client1_request(spine_http_port, "POST", "/v1/logs", "Content-Type: application/json\r\n",
                                 body.data, body.len, &r);
    int status = ok ? r.status : 0;
    if (retry_after != NULL && !ox_client_header(&r.headers, "retry-after", retry_after, cap))
        retry_after[0] = '\0';
    ox_client_response_fini(&r);
    ox_buf_fini(&body);
    return status;
}

int
spine_send_next(size_t pad)
{
    int status = spine_send_request(spine_n_requests, pad, NULL, 0);
    spine_acked[spine_n_requests++] = status == 200;
    return status;
}

static bool
all_stored(void)
{
    for (uint32_t id = 0; id < spine_n_requests * SPINE_PER_REQUEST; id++) {
        if (spine_acked[id / SPINE_PER_REQUEST] && fake_seen(id) == 0)
            return false;
    }
    return true;
}

/* Exactly once what was acknowledged, at most once what was not. */
void
spine_check_all(void)
{
    eventually(all_stored());
    for (uint32_t id = 0; id < spine_n_requests * SPINE_PER_REQUEST; id++)
        cr_assert(fake_seen(id) <= 1, "record %u is stored %u times", id, fake_seen(id));
    struct fake_counts c = fake_counts();
    cr_assert_eq(c.different, 0, "a token was used again for other bytes");
    cr_assert_eq(c.tokenless, 0);
}

/* The value behind the first `line`, "\n" and a name and a space, of /metrics; or -1. */
double
spine_metric(const char *line)
{
    struct ox_client_response r;
    ox_client_response_init(&r);
    double value = -1;
    if (ox_client1_request(spine_api_port, "GET", "/metrics", NULL, NULL, 0, &r)) {
        ox_buf_append(&r.body, "", 1);
        const char *at = strstr((char *)r.body.data, line);
        const char *space = at != NULL ? strchr(at, ' ') : NULL;
        value = space != NULL ? strtod(space, NULL) : -1;
    }
    ox_client_response_fini(&r);
    return value;
}

/* As a client that heard nothing: the same bytes until they are acknowledged. */
void
spine_send_unanswered_again(void)
{
    for (uint32_t n = 0; n < spine_n_requests; n++) {
        if (!spine_acked[n])
            eventually(spine_send_request(n, 0, NULL, 0) == 200);
        spine_acked[n] = true;
    }
}

uint64_t
spine_resident_kib(pid_t pid)
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

void
spine_forget_ready(void)
{
    remove(ready_path);
}

void
spine_kill_node(void)
{
    pid_t old = spine_node;
    kill(old, SIGKILL);
    eventually(spine_read_ready(old));
}

int
spine_api(const char *method, const char *path, char *body, size_t cap)
{
    struct ox_client_response r;
    ox_client_response_init(&r);
    bool ok =
        ox_client1_request(spine_api_port, method, path, "Content-Type: application/json\r\n", NULL, 0, &r);
    int status = ok ? r.status : 0;
    if (body != NULL)
        snprintf(body, cap, "%.*s", (int)r.body.len, r.body.len != 0 ? (char *)r.body.data : "");
    ox_client_response_fini(&r);
    return status;
}

void
spine_embedded(const char *libchdb)
{
    setenv("OBSERVE_X_LIBCHDB", libchdb, 0); /* what the environment names goes first */
    strcpy(storage_url, "embedded");
}
