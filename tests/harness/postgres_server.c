/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/postgres_server.c - see postgres_server.h.
 */
#include "postgres_server.h"
#include "postgres_program.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t
spawn(const struct postgres_server *s, const char *const *argv)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    char log[96];
    prctl(PR_SET_PDEATHSIG, SIGINT);
    postgres_become_ordinary();
    snprintf(log, sizeof(log), "%s/log", s->dir);
    if (freopen(log, "a", stdout) == NULL || dup2(fileno(stdout), 2) < 0 || chdir(s->dir) != 0)
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGINT); /* setuid has cleared it */
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

static void
run(const struct postgres_server *s, const char *const *argv)
{
    int status;
    pid_t pid = spawn(s, argv);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s ended with %d; its log is in %s", argv[0],
              status, s->dir);
}

static void
wait_until_it_answers(const char *url)
{
    for (int i = 0; i < 1200; i++) {
        if (PQping(url) == PQPING_OK)
            return;
        poll(NULL, 0, 25);
    }
    cr_assert_fail("PostgreSQL does not answer at %s", url);
}

void
postgres_resume(struct postgres_server *s)
{
    char program[128], data[96], url[256];
    cr_assert(postgres_program("postgres", program, sizeof(program)));
    snprintf(data, sizeof(data), "%s/data", s->dir);
    const char *const argv[] = {program,
                                "-D",
                                data,
                                "-k",
                                s->dir,
                                "-c",
                                "listen_addresses=",
                                "-c",
                                "fsync=off",
                                "-c",
                                "shared_buffers=8MB",
                                "-c",
                                "max_connections=40",
                                NULL};
    s->pid = spawn(s, argv);
    snprintf(url, sizeof(url), "postgresql:///postgres?host=%s&user=owner", s->dir);
    wait_until_it_answers(url);
}

/* Of its own user alone, or it refuses the key. */
static void
copy_pair(const struct postgres_server *s, const char *cert, const char *key)
{
    char command[512];
    snprintf(command, sizeof(command), "cp '%s' '%s/tls.crt' && cp '%s' '%s/tls.key' && chmod 600 '%s'/tls.*",
             cert, s->dir, key, s->dir, s->dir);
    cr_assert_eq(system(command), 0);
    snprintf(command, sizeof(command), "chown %d:%d '%s'/tls.*", POSTGRES_NOBODY, POSTGRES_NOBODY, s->dir);
    if (geteuid() == 0)
        cr_assert_eq(system(command), 0);
}

static uint16_t
free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(bind(fd, (struct sockaddr *)&at, n) == 0 && getsockname(fd, (struct sockaddr *)&at, &n) == 0);
    close(fd);
    return ntohs(at.sin_port);
}

uint16_t
postgres_resume_tls(struct postgres_server *s, const char *cert, const char *key)
{
    char program[128], data[96], url[256], port_text[24], cert_text[128], key_text[128];
    uint16_t port = free_port();
    cr_assert(postgres_program("postgres", program, sizeof(program)));
    copy_pair(s, cert, key);
    snprintf(data, sizeof(data), "%s/data", s->dir);
    snprintf(port_text, sizeof(port_text), "port=%u", port);
    snprintf(cert_text, sizeof(cert_text), "ssl_cert_file=%s/tls.crt", s->dir);
    snprintf(key_text, sizeof(key_text), "ssl_key_file=%s/tls.key", s->dir);
    const char *const argv[] = {program,
                                "-D",
                                data,
                                "-k",
                                s->dir,
                                "-c",
                                "listen_addresses=127.0.0.1",
                                "-c",
                                port_text,
                                "-c",
                                "fsync=off",
                                "-c",
                                "shared_buffers=8MB",
                                "-c",
                                "ssl=on",
                                "-c",
                                cert_text,
                                "-c",
                                key_text,
                                NULL};
    s->pid = spawn(s, argv);
    snprintf(url, sizeof(url), "postgresql:///postgres?host=%s&port=%u&user=owner", s->dir, port);
    wait_until_it_answers(url);
    return port;
}

static void
create_database(const struct postgres_server *s)
{
    char url[256];
    snprintf(url, sizeof(url), "postgresql:///postgres?host=%s&user=owner", s->dir);
    PGconn *pg = PQconnectdb(url);
    PGresult *r = PQexec(pg, "CREATE DATABASE observex");
    cr_assert_eq(PQresultStatus(r), PGRES_COMMAND_OK, "%s", PQerrorMessage(pg));
    PQclear(r);
    PQfinish(pg);
}

bool
postgres_start(struct postgres_server *s)
{
    char program[128], data[96];
    memset(s, 0, sizeof(*s));
    if (!postgres_program("initdb", program, sizeof(program)))
        return false;
    snprintf(s->dir, sizeof(s->dir), "/tmp/ox-postgres-XXXXXX");
    cr_assert_not_null(mkdtemp(s->dir));
    if (geteuid() == 0)
        cr_assert_eq(chown(s->dir, POSTGRES_NOBODY, POSTGRES_NOBODY), 0);
    chmod(s->dir, 0755); /* its clients may be of another user */
    snprintf(data, sizeof(data), "%s/data", s->dir);
    const char *const argv[] = {program, "-D",   data,         "-U",        "owner", "--auth=trust",
                                "-E",    "UTF8", "--locale=C", "--no-sync", NULL};
    run(s, argv);
    postgres_resume(s);
    create_database(s);
    snprintf(s->owner_url, sizeof(s->owner_url), "postgresql:///observex?host=%s&user=owner", s->dir);
    snprintf(s->node_url, sizeof(s->node_url), "postgresql:///observex?host=%s&user=observex_node", s->dir);
    return true;
}

void
postgres_halt(struct postgres_server *s)
{
    int status;
    if (s->pid <= 0)
        return;
    kill(s->pid, SIGINT);
    waitpid(s->pid, &status, 0);
    s->pid = 0;
}

void
postgres_stop(struct postgres_server *s)
{
    char command[128];
    postgres_halt(s);
    if (s->dir[0] == '\0')
        return;
    snprintf(command, sizeof(command), "rm -rf '%s'", s->dir);
    cr_assert_eq(system(command), 0);
    s->dir[0] = '\0';
}
