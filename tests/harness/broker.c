/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/broker.c - see broker.h.
 *
 * Owns:    see broker.h.
 * Threads: the test's.
 * Bounds:  START_MS until it answers.
 */
#include "tests/harness/broker.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MS 60000
#define LOOK_MS  20

pid_t broker;
uint16_t broker_port;
char broker_url[64];
static char broker_dir[64];
static const char *tls_cert, *tls_key;

void
broker_secure(const char *cert, const char *key)
{
    tls_cert = cert;
    tls_key = key;
}

bool
broker_exists(void)
{
    return system("command -v nats-server >/dev/null 2>&1") == 0;
}

static uint16_t
free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static bool
answers(void)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(broker_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool yes = connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0;
    close(fd);
    return yes;
}

void
broker_start(void)
{
    char port[8];
    snprintf(port, sizeof(port), "%u", broker_port);
    broker = fork();
    if (broker == 0) {
        char log[96];
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        snprintf(log, sizeof(log), "%s/log", broker_dir);
        if (tls_cert != NULL)
            execlp("nats-server", "nats-server", "-js", "-sd", broker_dir, "-a", "127.0.0.1", "-p", port,
                   "-l", log, "--tls", "--tlscert", tls_cert, "--tlskey", tls_key, NULL);
        execlp("nats-server", "nats-server", "-js", "-sd", broker_dir, "-a", "127.0.0.1", "-p", port, "-l",
               log, NULL);
        _exit(127);
    }
    for (int waited = 0; waited < START_MS && !answers(); waited += LOOK_MS)
        poll(NULL, 0, LOOK_MS);
    cr_assert(answers(), "nats-server does not answer on port %s", port);
}

void
broker_kill(void)
{
    kill(broker, SIGKILL);
    cr_assert_eq(waitpid(broker, NULL, 0), broker);
    broker = 0;
}

void
broker_setup(void)
{
    strcpy(broker_dir, "/tmp/ox-nats-XXXXXX");
    cr_assert_not_null(mkdtemp(broker_dir));
    broker_port = free_port();
    snprintf(broker_url, sizeof(broker_url), "%s://127.0.0.1:%u", tls_cert != NULL ? "tls" : "nats",
             broker_port);
    broker_start();
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void
broker_teardown(void)
{
    if (broker > 0)
        broker_kill();
    nftw(broker_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
