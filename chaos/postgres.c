/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/postgres.c - see postgres.h.
 *
 * Owns:    see postgres.h.
 * Threads: main.
 */
#include "chaos/postgres.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chaos/body.h"
#include "chaos/server.h"
#include "tests/harness/http_client.h"
#include "tests/harness/postgres_program.h"

#define LOOK_MS 25
#define COMMAND 1024

OX_PRINTF(2, 3) static bool give_up(struct chaos_server *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->why, sizeof(s->why), fmt, ap);
    va_end(ap);
    return false;
}

/* ---- its processes ---- */

static pid_t
spawn(const struct chaos_postgres *p, const char *const *argv)
{
    char log[96];
    snprintf(log, sizeof(log), "%s/log", p->dir);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    setpgid(0, 0); /* an interrupt from the terminal is for the harness alone */
    postgres_become_ordinary();
    prctl(PR_SET_PDEATHSIG, SIGINT); /* behind setuid, which clears it */
    if (freopen(log, "a", stdout) == NULL || dup2(fileno(stdout), 2) < 0 || chdir(p->dir) != 0)
        _exit(126);
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

static bool
run(struct chaos_server *s, const char *const *argv)
{
    int status;
    pid_t pid = spawn(&s->postgres, argv);
    if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    return give_up(s, "%s failed; %s/log says why", argv[0], s->postgres.dir);
}

/* The postmaster first, so that it starts nothing meanwhile. */
static size_t
processes(const struct chaos_postgres *p, pid_t *out)
{
    char path[64];
    size_t n = 0;
    int child;
    out[n++] = p->pid;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)p->pid, (int)p->pid);
    FILE *f = fopen(path, "re");
    while (f != NULL && n < CHAOS_PROCESSES && fscanf(f, "%d", &child) == 1)
        out[n++] = (pid_t)child;
    if (f != NULL)
        fclose(f);
    return n;
}

static void
signal_all(const struct chaos_postgres *p, int sig)
{
    pid_t pids[CHAOS_PROCESSES];
    size_t n = processes(p, pids);
    for (size_t i = 0; i < n; i++)
        kill(pids[i], sig);
}

void
chaos_postgres_kill(struct chaos_postgres *p)
{
    if (p->pid <= 0)
        return;
    kill(p->pid, SIGSTOP);
    signal_all(p, SIGKILL);
    waitpid(p->pid, NULL, 0);
    p->pid = 0;
}

void
chaos_postgres_halt(struct chaos_postgres *p)
{
    if (p->pid <= 0)
        return;
    kill(p->pid, SIGINT);
    waitpid(p->pid, NULL, 0);
    p->pid = 0;
}

void
chaos_postgres_freeze(struct chaos_postgres *p, bool still)
{
    if (p->pid <= 0)
        return;
    if (still)
        kill(p->pid, SIGSTOP);
    signal_all(p, still ? SIGSTOP : SIGCONT);
}

static bool
answers(struct chaos_server *s)
{
    char program[128];
    const char *const argv[] = {program, "-q", "-h", s->postgres.dir, "-U", "owner", "-d", "postgres", NULL};
    return postgres_program("pg_isready", program, sizeof(program)) && run(s, argv);
}

bool
chaos_postgres_resume(struct chaos_server *s)
{
    struct chaos_postgres *p = &s->postgres;
    char program[128], data[96];
    snprintf(data, sizeof(data), "%s/data", p->dir);
    const char *const argv[] = {program,
                                "-D",
                                data,
                                "-k",
                                p->dir,
                                "-c",
                                "listen_addresses=",
                                "-c",
                                "fsync=off",
                                "-c",
                                "shared_buffers=8MB",
                                NULL};
    if (!postgres_program("postgres", program, sizeof(program)))
        return give_up(s, "this machine has no PostgreSQL in /usr/lib/postgresql");
    for (int tries = 0; tries < CHAOS_POSTGRES_S * 1000 / LOOK_MS; tries++, chaos_nap_ms(LOOK_MS)) {
        if (p->pid <= 0)
            p->pid = spawn(p, argv);
        if (answers(s))
            return true;
        if (waitpid(p->pid, NULL, WNOHANG) == p->pid)
            p->pid = 0; /* what a kill left is not gone yet: again */
    }
    return give_up(s, "PostgreSQL does not answer within %d s; %s/log says why", CHAOS_POSTGRES_S, p->dir);
}

void
chaos_postgres_fini(struct chaos_postgres *p)
{
    char command[128];
    chaos_postgres_halt(p);
    if (p->dir[0] == '\0')
        return;
    snprintf(command, sizeof(command), "rm -rf '%s'", p->dir);
    if (system(command) != 0)
        fprintf(stderr, "chaos: %s stays behind\n", p->dir);
    p->dir[0] = '\0';
}

/* ---- what stands in it ---- */

/* The string `name` of the JSON object that `observex ARGUMENTS` prints. */
OX_PRINTF(5, 6)
static bool
ask(struct chaos_server *s, const char *name, char *out, size_t size, const char *fmt, ...)
{
    char command[COMMAND], arguments[COMMAND / 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(arguments, sizeof(arguments), fmt, ap);
    va_end(ap);
    snprintf(command, sizeof(command), "'%s' %s --json", s->exe, arguments);
    FILE *pipe = popen(command, "re");
    json_t *j = pipe != NULL ? json_loadf(pipe, 0, NULL) : NULL;
    if (pipe != NULL)
        pclose(pipe);
    const char *text = json_string_value(json_object_get(j, name));
    int n = text != NULL ? snprintf(out, size, "%s", text) : -1;
    json_decref(j);
    return (n > 0 && (size_t)n < size) || give_up(s, "`observex %s` gives no %s", arguments, name);
}

bool
chaos_postgres_start(struct chaos_server *s)
{
    struct chaos_postgres *p = &s->postgres;
    char program[128], data[96];
    if (!postgres_program("initdb", program, sizeof(program)))
        return give_up(s, "this machine has no PostgreSQL in /usr/lib/postgresql");
    snprintf(p->dir, sizeof(p->dir), "/tmp/ox-chaos-pg-XXXXXX");
    if (mkdtemp(p->dir) == NULL || (geteuid() == 0 && chown(p->dir, POSTGRES_NOBODY, POSTGRES_NOBODY) != 0) ||
        chmod(p->dir, 0755) != 0) /* its clients may be of another user */
        return give_up(s, "%s: %s", p->dir, strerror(errno));
    snprintf(data, sizeof(data), "%s/data", p->dir);
    snprintf(p->owner_url, sizeof(p->owner_url), "postgresql:///observex?host=%s&user=owner", p->dir);
    snprintf(p->node_url, sizeof(p->node_url), "postgresql:///observex?host=%s&user=observex_node", p->dir);
    const char *const init[] = {program, "-D",   data,         "-U",        "owner", "--auth=trust",
                                "-E",    "UTF8", "--locale=C", "--no-sync", NULL};
    const char *const create[] = {program, "-h", p->dir, "-U", "owner", "observex", NULL};
    return run(s, init) && chaos_postgres_resume(s) &&
           postgres_program("createdb", program, sizeof(program)) && run(s, create) &&
           ask(s, "operator_key", p->operator_key, sizeof(p->operator_key), "control init --url '%s'",
               p->owner_url);
}

static bool
make_key(struct chaos_server *s, uint32_t tenant, const char *name, char *out, size_t size)
{
    return ask(s, name, out, size,
               "key create --tenant %s --scopes ingest --api http://127.0.0.1:%u --key %s",
               chaos_tenant(tenant), s->api_port, s->postgres.operator_key);
}

/* A key that is good, and then no longer. */
static bool
make_revoked(struct chaos_server *s)
{
    char id[CHAOS_SECRET_MAX] = "", unused[64], list[COMMAND];
    struct chaos_postgres *p = &s->postgres;
    if (!make_key(s, 0, "key", p->revoked, sizeof(p->revoked)))
        return false;
    snprintf(list, sizeof(list), "key verify %s --api http://127.0.0.1:%u --key %s", p->revoked, s->api_port,
             p->operator_key);
    return ask(s, "id", id, sizeof(id), "%s", list) &&
           ask(s, "id", unused, sizeof(unused), "key revoke %s --api http://127.0.0.1:%u --key %s", id,
               s->api_port, p->operator_key);
}

bool
chaos_postgres_keys(struct chaos_server *s)
{
    struct chaos_postgres *p = &s->postgres;
    char id[64];
    if (p->has_keys)
        return true;
    for (uint32_t t = 0; t < s->scenario->tenants; t++) {
        if (!ask(s, "id", id, sizeof(id), "tenant create %s --api http://127.0.0.1:%u --key %s",
                 chaos_tenant(t), s->api_port, p->operator_key) ||
            !make_key(s, t, "key", s->keys[t], CHAOS_KEY_MAX))
            return false;
    }
    if (!make_revoked(s))
        return false;
    snprintf(p->unknown, sizeof(p->unknown), "%s", s->keys[0]);
    size_t n = strlen(p->unknown);
    p->unknown[n / 2] = p->unknown[n / 2] == 'a' ? 'b' : 'a';
    p->has_keys = true;
    return true;
}

static int
status_with(struct chaos_server *s, const char *key)
{
    struct chaos_lane lane = {.tenant = CHAOS_TENANTS_MAX - 1, .signal = OX_SIGNAL_LOGS};
    char headers[CHAOS_SECRET_MAX + 80];
    struct ox_client_response r;
    struct ox_buf body = {0};
    chaos_body(&lane, 0, 2, chaos_unix_ns(), &body);
    snprintf(headers, sizeof(headers), "x-api-key: %s\r\ncontent-type: application/x-protobuf\r\n", key);
    ox_client_response_init(&r);
    bool ok =
        ox_client1_request(atomic_load(&s->otlp_port), "POST", "/v1/logs", headers, body.data, body.len, &r);
    int status = ok ? r.status : 0;
    ox_client_response_fini(&r);
    ox_buf_fini(&body);
    return status;
}

bool
chaos_postgres_keeps_out(struct chaos_server *s)
{
    const char *const keys[] = {s->postgres.revoked, s->postgres.unknown};
    for (size_t i = 0; i < OX_COUNT(keys); i++) {
        int status = status_with(s, keys[i]);
        bool refused = status == 401 || status == 429 || status == 503;
        if (!refused && status != 0) /* 0: the node is not there */
            return give_up(s, "a key that is %s got %d", i == 0 ? "revoked" : "unknown", status);
    }
    return true;
}
