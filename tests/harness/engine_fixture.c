/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/engine_fixture.c - starting and ending engine processes for tests.
 *
 * Owns:    see engine_fixture.h.
 * Threads: the test's.
 */
#include "tests/harness/engine_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_TIMEOUT_MS 60000
#define NUMBERS_MAX      8

static const char *the_numbers[NUMBERS_MAX + 1];

static pid_t
spawn(const struct engine_fixture *f, int control)
{
    const char *program = OX_ENGINE_CHILD;
    setenv("OBSERVE_X_LIBCHDB", OX_LIBCHDB, 0); /* what the environment names goes first */
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* it ends with the test, however that ends */
    char fd[16];
    const char *argv[7 + NUMBERS_MAX] = {program, f->data, f->socket, ENGINE_SECRET, f->tables, fd};
    int inherited = control >= 0 ? dup(control) : -1;
    snprintf(fd, sizeof(fd), "%d", inherited);
    for (int i = 0; the_numbers[i] != NULL; i++)
        argv[6 + i] = the_numbers[i];
    execv(program, (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* The engine writes its line when it listens; anything else is a failed start. */
static void
await_ready(struct engine_fixture *f)
{
    char line[64] = "";
    struct pollfd p = {f->control, POLLIN, 0};
    cr_assert_eq(poll(&p, 1, READY_TIMEOUT_MS), 1, "the engine did not get ready in time");
    ssize_t n = read(f->control, line, sizeof(line) - 1);
    cr_assert_gt(n, 0, "the engine ended before it was ready");
    cr_assert_str_eq(line, "{\"event\":\"ready\"}\n");
}

void
engine_again(struct engine_fixture *f)
{
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    f->pid = spawn(f, pair[1]);
    cr_assert_gt(f->pid, 0);
    close(pair[1]);
    f->control = pair[0];
    await_ready(f);
}

void
engine_up(struct engine_fixture *f, const char *tables, const char *const *numbers)
{
    memset(f, 0, sizeof(*f));
    for (int i = 0; numbers != NULL && numbers[i] != NULL && i < NUMBERS_MAX; i++)
        the_numbers[i] = numbers[i];
    snprintf(f->dir, sizeof(f->dir), "/tmp/ox-engine-test-XXXXXX");
    cr_assert_not_null(mkdtemp(f->dir));
    snprintf(f->data, sizeof(f->data), "%s/engine", f->dir);
    snprintf(f->socket, sizeof(f->socket), "%s/engine.sock", f->dir);
    snprintf(f->url, sizeof(f->url), "unix:%s", f->socket);
    f->tables = tables;
    engine_again(f);
    struct ox_storage_options o = {.url = f->url, .key = ENGINE_SECRET};
    cr_assert_eq(ox_storage_open(&o, &f->st, NULL), OX_OK);
}

static int
reap(struct engine_fixture *f)
{
    int status = 0;
    while (waitpid(f->pid, &status, 0) < 0 && errno == EINTR)
        ;
    f->pid = 0;
    close(f->control);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

void
engine_kill(struct engine_fixture *f)
{
    kill(f->pid, SIGKILL);
    reap(f);
}

int
engine_stop(struct engine_fixture *f)
{
    kill(f->pid, SIGTERM);
    return reap(f);
}

void
engine_down(struct engine_fixture *f)
{
    char command[192];
    if (f->pid > 0)
        engine_kill(f);
    ox_storage_close(f->st);
    snprintf(command, sizeof(command), "rm -rf '%s'", f->dir);
    if (system(command) != 0)
        fprintf(stderr, "%s is left behind\n", f->dir);
}

int
engine_second(const struct engine_fixture *f)
{
    int status = 0;
    pid_t pid = spawn(f, -1);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

ox_err
engine_ask(struct engine_fixture *f, const char *tenant, const char *sql, char *out, size_t size,
           struct ox_diag *diag)
{
    struct ox_tenant_id id;
    struct ox_buf buf = {0};
    struct ox_storage_query q = {.sql = ox_str_of(sql)};
    if (tenant != NULL) {
        cr_assert_eq(ox_tenant_id_parse(ox_str_of(tenant), &id, NULL), OX_OK);
        q.tenant = &id;
    }
    ox_err err = ox_storage_query(f->st, &q, &buf, NULL, diag);
    snprintf(out, size, "%.*s", (int)buf.len, buf.len != 0 ? (const char *)buf.data : "");
    ox_buf_fini(&buf);
    return err;
}

const char *
engine_sql(struct engine_fixture *f, const char *sql)
{
    static char out[65536];
    struct ox_diag diag;
    ox_diag_clear(&diag);
    ox_err err = engine_ask(f, NULL, sql, out, sizeof(out), &diag);
    cr_assert_eq(err, OX_OK, "%s: %s: %s", sql, ox_err_text(err), diag.text);
    return out;
}
