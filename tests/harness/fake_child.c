/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/fake_child.c - stands in for node and engine when the heart is tested.
 *
 * How it behaves is the first word of DIR/behaviour.node or DIR/behaviour.engine, read at each start:
 *   ok (or no file)  ready at once, ends when asked
 *   crash            exits with 3 before it is ready
 *   hopeless         exits with 66, as an engine without its library does
 *   hang             never becomes ready
 *   stubborn         ready, but does not end when asked
 * What it sees is appended to DIR/events, one line each. The fake node answers each connection on the OTLP/HTTP
 * port with its pid.
 *
 * Owns:    nothing.
 * Threads: one.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmd/heart.h"

static const char *data_dir, *who;
static volatile sig_atomic_t terminated;

static void
on_term(int signum)
{
    (void)signum;
    terminated = 1;
}

static void
event(const char *fmt, long number)
{
    char path[1024], line[256];
    snprintf(path, sizeof(path), "%s/events", data_dir);
    int n = snprintf(line, sizeof(line), "%s ", who);
    n += snprintf(line + n, sizeof(line) - (size_t)n, fmt, number);
    line[n++] = '\n';
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0 || write(fd, line, (size_t)n) != n)
        _exit(99);
    close(fd);
}

static void
read_behaviour(char out[32])
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/behaviour.%s", data_dir, who);
    FILE *f = fopen(path, "r");
    if (f == NULL || fscanf(f, "%31s", out) != 1)
        strcpy(out, "ok");
    if (f != NULL)
        fclose(f);
}

static void
answer(int listen_fd)
{
    char text[32];
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (write(fd, text, (size_t)n) != n)
        event("write failed %ld", 0);
    close(fd);
}

/* False when it is time to end. */
static bool
take_control(int fd, bool stubborn)
{
    static char in[4096];
    static size_t len;
    ssize_t n = read(fd, in + len, sizeof(in) - len);
    if (n <= 0) {
        event("heart gone %ld", 0);
        return false;
    }
    len += (size_t)n;
    char *newline;
    bool go_on = true;
    while ((newline = memchr(in, '\n', len)) != NULL) {
        size_t line = (size_t)(newline - in) + 1;
        struct ox_heart_line l = ox_heart_line_parse((struct ox_str){in, line - 1});
        if (l.event == OX_HEART_ENGINE)
            event("engine %ld", l.pid);
        if (l.event == OX_HEART_STOP) {
            event("stop %ld", 0);
            go_on = stubborn && go_on;
        }
        len -= line;
        memmove(in, newline + 1, len);
    }
    return go_on;
}

static void
serve(const struct ox_child_args *args, bool stubborn)
{
    struct pollfd fds[2] = {{args->fd_control, POLLIN, 0}, {args->fd_otlp_http, POLLIN, 0}};
    sigset_t none;
    sigemptyset(&none);
    for (;;) {
        /* SIGTERM is let in only here, so that none is missed between looking and waiting. */
        if (ppoll(fds, 2, NULL, &none) < 0 && terminated) {
            event("term %ld", 0);
            terminated = 0;
            if (!stubborn)
                return;
            continue;
        }
        if ((fds[0].revents & (POLLIN | POLLHUP)) != 0 && !take_control(args->fd_control, stubborn))
            return;
        if ((fds[1].revents & POLLIN) != 0)
            answer(args->fd_otlp_http);
    }
}

int
main(int argc, char **argv)
{
    struct ox_child_args args;
    struct sigaction act = {.sa_handler = on_term};
    char behaviour[32];
    if (argc < 4 || ox_child_args_take(&argc, argv, &args) != OX_OK || strcmp(argv[2], "--data") != 0)
        return 98;
    who = argv[1];
    data_dir = argv[3];
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    sigaction(SIGTERM, &act, NULL);
    read_behaviour(behaviour); /* before the event: who sees it may already write the next one */
    event("start %ld", (long)getpid());
    if (getpgrp() != getpid())
        event("shares its process group %ld", 0);
    if (strcmp(behaviour, "crash") == 0)
        return 3;
    if (strcmp(behaviour, "hopeless") == 0)
        return 66;
    if (strcmp(behaviour, "hang") != 0 && !ox_child_say(args.fd_control, OX_HEART_READY))
        return 97;
    serve(&args, strcmp(behaviour, "stubborn") == 0);
    event("end %ld", (long)getpid());
    return 0;
}
