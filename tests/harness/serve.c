/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/serve.c - see serve.h.
 */
#include "tests/harness/serve.h"

#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct serve serve;

int64_t
serve_now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static uint16_t
port_of(json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));
    const char *colon = text != NULL ? strrchr(text, ':') : NULL;
    return colon != NULL ? (uint16_t)atoi(colon + 1) : 0;
}

bool
serve_read_ready(pid_t not_this)
{
    json_t *o = json_load_file(serve.ready_path, 0, NULL);
    pid_t pid = o != NULL ? (pid_t)json_integer_value(json_object_get(o, "node_pid")) : 0;
    bool fresh = pid > 0 && pid != not_this && json_integer_value(json_object_get(o, "pid")) == serve.heart;
    if (fresh) {
        serve.node = pid;
        serve.engine = (pid_t)json_integer_value(json_object_get(o, "engine_pid"));
        serve.http_port = port_of(o, "otlp_http");
        serve.api_port = port_of(o, "api");
        serve.debug_port = port_of(o, "debug");
    }
    json_decref(o);
    return fresh;
}

/* In the forked process. */
static void
become(char *const *argv, pid_t test, const char *faults, const char *log)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != test)
        _exit(127); /* the test has ended already */
    int fd = open(log, O_CREAT | O_WRONLY | O_APPEND, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    if (faults != NULL)
        setenv("OBSERVE_X_TEST_FAULTS", faults, 1);
    execv(OX_OBSERVEX, argv);
    _exit(127);
}

void
serve_start(const char *faults, const char *const *more)
{
    const char *argv[SERVE_ARGS_MAX] = {
        OX_OBSERVEX,
        "serve",
        "--data",
        serve.dir,
        "--otlp-grpc",
        "127.0.0.1:0",
        "--otlp-http",
        "127.0.0.1:0",
        "--api",
        "127.0.0.1:0",
        "--debug",
        "127.0.0.1:0",
        "--ready-file",
        serve.ready_path,
        "--storage-url",
        serve.storage_url,
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
        "100ms",
        "--runtime-schedulers",
        "2",
    };
    int n = 30;
    char log[128];
    for (; more != NULL && *more != NULL && n < SERVE_ARGS_MAX - 1; more++)
        argv[n++] = *more;
    snprintf(log, sizeof(log), "%s.log", serve.dir);
    pid_t test = getpid();
    serve.heart = fork();
    if (serve.heart == 0)
        become((char *const *)argv, test, faults, log);
    eventually(serve_read_ready(0));
}

void
serve_forget_ready(void)
{
    remove(serve.ready_path);
}

void
serve_wait_next(void)
{
    pid_t before = serve.node;
    eventually(serve_read_ready(before));
}

void
serve_kill_node(void)
{
    kill(serve.node, SIGKILL);
    serve_wait_next();
}

int
serve_stop(void)
{
    int status = 0;
    kill(serve.heart, SIGTERM);
    cr_assert_eq(waitpid(serve.heart, &status, 0), serve.heart);
    serve.heart = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void
serve_kill(void)
{
    kill(serve.heart, SIGKILL);
    kill(serve.node, SIGKILL);
    waitpid(serve.heart, NULL, 0);
    waitpid(serve.node, NULL, 0); /* ours since the heart died; other children of the test live on */
    serve.heart = serve.node = 0;
    serve_forget_ready();
}

void
serve_setup(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    strcpy(serve.dir, "/tmp/ox-serve-XXXXXX");
    cr_assert_not_null(mkdtemp(serve.dir));
    snprintf(serve.ready_path, sizeof(serve.ready_path), "%s.ready", serve.dir);
    snprintf(serve.storage_url, sizeof(serve.storage_url), "http://127.0.0.1:%u", fake_start());
}

void
serve_embedded(const char *libchdb)
{
    setenv("OBSERVE_X_LIBCHDB", libchdb, 0); /* what the environment names goes first */
    strcpy(serve.storage_url, "embedded");
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void
serve_teardown(void)
{
    char log[128];
    if (serve.heart > 0)
        kill(serve.heart, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    if (serve.mounted)
        umount2(serve.dir, MNT_DETACH);
    if (getenv("OX_KEEP") != NULL)
        return;
    snprintf(log, sizeof(log), "%s.log", serve.dir);
    nftw(serve.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    serve_forget_ready();
    remove(log);
}

void
serve_on_small_disk(const char *size)
{
    char options[64];
    snprintf(options, sizeof(options), "size=%s,mode=0700", size);
    if (mount("tmpfs", serve.dir, "tmpfs", 0, options) != 0)
        cr_skip_test("NOT TESTED: a full disk, since this process may not mount a tmpfs");
    serve.mounted = true;
}

void
serve_fill(size_t leave_mib)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/ballast", serve.dir);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    cr_assert_geq(fd, 0);
    static char zeros[1 << 20];
    while (write(fd, zeros, sizeof(zeros)) == (ssize_t)sizeof(zeros))
        ;
    off_t end = lseek(fd, 0, SEEK_END);
    cr_assert_eq(ftruncate(fd, end - (off_t)(leave_mib << 20)), 0);
    close(fd);
}

static const char *
run_sql(const char *flag, const char *statement)
{
    static char out[256];
    char command[1024];
    out[0] = '\0';
    snprintf(command, sizeof(command), "'%s' sql %s --data '%s' --format TSV \"%s\" 2>/dev/null", OX_OBSERVEX,
             flag, serve.dir, statement);
    FILE *f = popen(command, "r");
    cr_assert_not_null(f);
    if (fgets(out, sizeof(out), f) != NULL)
        out[strcspn(out, "\n")] = '\0';
    return pclose(f) == 0 ? out : NULL;
}

const char *
serve_sql(const char *statement)
{
    return run_sql("", statement);
}

const char *
serve_sql_write(const char *statement)
{
    return run_sql("--write", statement);
}

long
serve_number(const char *statement)
{
    const char *text = serve_sql(statement);
    return text != NULL ? atol(text) : -1;
}
