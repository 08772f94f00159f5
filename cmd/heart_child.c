/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/heart_child.c - one child process: started, listened to, stopped, reaped, started again.
 *
 *   OFF --start--> STARTING --"ready"--> READY
 *                     |  \-- death, time-out --> WAITING --back-off over--> STARTING
 *                     v                             ^
 *                  STOPPING <--stop-- READY --death-/
 *                     \--death--> OFF
 *
 * Owns:    the child's process, its control socket and its timer.
 * Threads: the main thread.
 * Bounds:  heart.start, heart.backoff_*, heart.max_restarts; a control line has OX_HEART_LINE_MAX bytes.
 * Fails:   fork and exec count like the child's death.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/heart_internal.h"
#include "ox/log.h"

#define ARGS_MAX 26

struct ox__control {
    uv_pipe_t pipe;
    struct ox__child *child; /* NULL once another incarnation may have taken its place */
    size_t len;
    char in[OX_HEART_LINE_MAX];
};

struct send {
    uv_write_t req;
    char text[OX_HEART_LINE_MAX];
};

void
ox__child_init(struct ox__child *child, struct ox__heart *heart, const char *name)
{
    memset(child, 0, sizeof(*child));
    child->heart = heart;
    child->name = name;
    uv_timer_init(&heart->loop, &child->timer);
    child->timer.data = child;
}

static void
on_control_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void
control_close(struct ox__child *child)
{
    struct ox__control *c = child->control;
    child->control = NULL;
    if (c == NULL)
        return;
    c->child = NULL;
    uv_close((uv_handle_t *)&c->pipe, on_control_closed);
}

static void
on_line(struct ox__child *child, struct ox_str line)
{
    struct ox_heart_line l = ox_heart_line_parse(line);
    if (l.event == OX_HEART_READY && child->state == OX__CHILD_STARTING) {
        uv_timer_stop(&child->timer);
        child->state = OX__CHILD_READY;
        child->was_ready = true;
        child->ready_at = uv_now(&child->heart->loop);
        ox__heart_child_ready(child->heart, child);
    } else if (l.event == OX_HEART_RELOAD && !child->heart->stopping) {
        ox__heart_reload(child->heart, l.num);
    } else if (l.event == OX_HEART_MEND && !child->heart->stopping) {
        ox__heart_mend(child->heart, l.pid);
    } else if (l.event == OX_HEART_STOPPING) {
        OX_LOG_INFO("heart", "child stops by itself", OX_F_STR("child", child->name),
                    OX_F_I64("pid", child->pid));
    }
}

/* Whole lines out of what has arrived; a line that does not fit is nothing that we know and is dropped. */
static void
take_lines(struct ox__control *c)
{
    char *newline;
    while (c->child != NULL && (newline = memchr(c->in, '\n', c->len)) != NULL) {
        size_t n = (size_t)(newline - c->in);
        on_line(c->child, (struct ox_str){c->in, n});
        c->len -= n + 1;
        memmove(c->in, newline + 1, c->len);
    }
    if (c->len == sizeof(c->in))
        c->len = 0;
}

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct ox__control *c = handle->data;
    (void)suggested;
    *buf = uv_buf_init(c->in + c->len, (unsigned)(sizeof(c->in) - c->len));
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct ox__control *c = stream->data;
    (void)buf;
    if (n > 0) {
        c->len += (size_t)n;
        take_lines(c);
    } else if (n < 0) {
        uv_read_stop(stream); /* its death is told by SIGCHLD */
    }
}

static void
on_sent(uv_write_t *req, int status)
{
    (void)status; /* the reader is gone: SIGCHLD follows */
    free(req->data);
}

void
ox__child_send(struct ox__child *child, struct ox_heart_line line)
{
    struct send *s = child->control != NULL ? calloc(1, sizeof(*s)) : NULL;
    if (s == NULL)
        return;
    uv_buf_t buf = uv_buf_init(s->text, (unsigned)ox_heart_line_print(line, s->text));
    s->req.data = s;
    if (uv_write(&s->req, (uv_stream_t *)&child->control->pipe, &buf, 1, on_sent) != 0)
        free(s);
}

/* Takes our end of the socket pair; on failure it is closed. */
static bool
control_open(struct ox__child *child, int fd)
{
    struct ox__control *c = calloc(1, sizeof(*c));
    if (c == NULL || uv_pipe_init(&child->heart->loop, &c->pipe, 0) != 0) {
        free(c);
        close(fd);
        return false;
    }
    c->child = child;
    c->pipe.data = c;
    child->control = c;
    if (uv_pipe_open(&c->pipe, fd) != 0) {
        close(fd);
        control_close(child);
        return false;
    }
    return uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) == 0;
}

struct args {
    char *v[ARGS_MAX];
    size_t n;
    char numbers[8][12];
    size_t numbers_n;
    int inherit[8]; /* fds that the child keeps */
    size_t inherit_n;
    char starts[OX_STARTS_TEXT_MAX];
};

static void
arg(struct args *a, const char *text)
{
    OX_ASSERT(a->n + 1 < ARGS_MAX);
    a->v[a->n++] = (char *)(uintptr_t)text; /* execve wants char *, and changes nothing */
}

static void
arg_fd(struct args *a, const char *flag, int fd)
{
    OX_ASSERT(a->numbers_n < OX_COUNT(a->numbers));
    char *text = a->numbers[a->numbers_n++];
    snprintf(text, sizeof(a->numbers[0]), "%d", fd);
    arg(a, flag);
    arg(a, text);
    a->inherit[a->inherit_n++] = fd;
}

static void
build_args(const struct ox__child *child, int control_fd, struct args *a)
{
    const struct ox__heart *h = child->heart;
    memset(a, 0, sizeof(*a));
    arg(a, "observex");
    arg(a, child->name);
    arg(a, "--data");
    arg(a, h->config->data);
    if (child == &h->engine) {
        arg(a, "--socket");
        arg(a, h->socket_path);
    } else {
        for (size_t i = 0; i < OX__LISTEN_COUNT; i++)
            arg_fd(a, h->listeners[i].fd_flag, h->listeners[i].fd);
    }
    arg_fd(a, "--fd-control", control_fd);
    arg_fd(a, "--fd-lock", h->lock_fd);
    ox_starts_print(&child->starts_by, a->starts);
    arg(a, "--starts");
    arg(a, a->starts);
}

/* Between fork and exec: async-signal-safe calls only. Never returns. */
OX_NORETURN static void
become(const struct ox__heart *h, const struct args *a, pid_t heart_pid)
{
    sigset_t none;
    static const char gone[] = "observex: cannot execute the child program\n";
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != heart_pid)
        _exit(71); /* the heart died before the request took effect */
    setpgid(0, 0);
    for (int sig = 1; sig < 32; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (size_t i = 0; i < a->inherit_n; i++)
        fcntl(a->inherit[i], F_SETFD, 0);
    execve(h->options->exe, a->v, h->child_env);
    if (write(STDERR_FILENO, gone, sizeof(gone) - 1) < 0)
        _exit(127);
    _exit(127);
}

static void on_timer(uv_timer_t *timer);

static uint64_t
backoff_ms(const struct ox__child *child)
{
    uint64_t min = (uint64_t)child->heart->config->heart_backoff_min_ms;
    uint64_t max = (uint64_t)child->heart->config->heart_backoff_max_ms;
    unsigned doublings = child->failures > 1 ? child->failures - 1 : 0;
    if (doublings > 30 || min << doublings > max)
        return max;
    return min << doublings;
}

/* An engine that ran before is never given up: the node goes on acknowledging without it. */
static bool
given_up(const struct ox__child *child)
{
    bool engine = child == &child->heart->engine;
    if (child->hopeless)
        return true;
    return child->failures > (unsigned)child->heart->config->heart_max_restarts &&
           !(engine && child->was_ready);
}

/* A start that came to nothing, or a death: wait and try again, or give up. */
static void
retry(struct ox__child *child)
{
    child->pid = 0;
    if (given_up(child)) {
        child->state = OX__CHILD_OFF;
        ox__heart_child_off(child->heart, child, true);
        return;
    }
    child->state = OX__CHILD_WAITING;
    uv_timer_start(&child->timer, on_timer, backoff_ms(child), 0);
}

static bool
spawn(struct ox__child *child)
{
    int pair[2];
    struct args a;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return false;
    build_args(child, pair[1], &a);
    pid_t heart_pid = getpid();
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all,
                &before); /* our handlers must not run in the child: they write to our loop */
    pid_t pid = fork();
    if (pid == 0)
        become(child->heart, &a, heart_pid);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return false;
    }
    child->pid = pid;
    if (!control_open(child, pair[0])) {
        kill(pid, SIGKILL); /* reaped like any other death */
        return true;
    }
    return true;
}

void
ox__child_start(struct ox__child *child)
{
    child->starts++;
    ox_starts_count(&child->starts_by, child->next);
    child->killed_by_us = false;
    child->state = OX__CHILD_STARTING;
    if (!spawn(child)) {
        OX_LOG_ERROR("heart", "child not started", OX_F_STR("child", child->name),
                     OX_F_STR("why", strerror(errno)));
        child->failures++;
        retry(child);
        return;
    }
    OX_LOG_INFO("heart", "child started", OX_F_STR("child", child->name), OX_F_I64("pid", child->pid),
                OX_F_U64("starts", child->starts));
    uv_timer_start(&child->timer, on_timer, (uint64_t)child->heart->config->heart_start_ms, 0);
}

static void
kill_for(struct ox__child *child, const char *why)
{
    OX_LOG_ERROR("heart", why, OX_F_STR("child", child->name), OX_F_I64("pid", child->pid));
    child->killed_by_us = true;
    kill(child->pid, SIGKILL);
}

static void
on_timer(uv_timer_t *timer)
{
    struct ox__child *child = timer->data;
    switch (child->state) {
    case OX__CHILD_STARTING:
        kill_for(child, "child killed: not ready within heart.start");
        break;
    case OX__CHILD_STOPPING:
        kill_for(child, "child killed: it did not stop in time");
        break;
    case OX__CHILD_WAITING:
        ox__child_start(child);
        break;
    case OX__CHILD_READY:
    case OX__CHILD_OFF:
        break;
    }
}

static void
ask_to_end(struct ox__child *child)
{
    if (child == &child->heart->node)
        ox__child_send(child, (struct ox_heart_line){.event = OX_HEART_STOP});
    else
        kill(child->pid, SIGTERM);
}

void
ox__child_stop(struct ox__child *child, int64_t timeout_ms)
{
    bool runs = child->state == OX__CHILD_STARTING || child->state == OX__CHILD_READY;
    if (child->state == OX__CHILD_STOPPING)
        return;
    uv_timer_stop(&child->timer);
    if (!runs) {
        child->state = OX__CHILD_OFF;
        ox__heart_child_off(child->heart, child, false);
        return;
    }
    child->state = OX__CHILD_STOPPING;
    ask_to_end(child);
    uv_timer_start(&child->timer, on_timer, (uint64_t)timeout_ms, 0);
}

void
ox__child_hurry(struct ox__child *child, int64_t timeout_ms)
{
    if (child->state != OX__CHILD_STOPPING)
        return;
    ask_to_end(child);
    uint64_t left = uv_timer_get_due_in(&child->timer);
    if (left > (uint64_t)timeout_ms)
        uv_timer_start(&child->timer, on_timer, (uint64_t)timeout_ms, 0);
}

void
ox__child_restart(struct ox__child *child, const char *why, int64_t timeout_ms)
{
    if (child->state != OX__CHILD_STARTING && child->state != OX__CHILD_READY)
        return; /* the next start, if there is one, finds the new environment */
    OX_LOG_INFO("heart", "child restarts", OX_F_STR("child", child->name), OX_F_I64("pid", child->pid),
                OX_F_STR("why", why));
    child->again = true;
    ox__child_stop(child, timeout_ms);
}

static void
log_death(const struct ox__child *child, int status)
{
    bool by_signal = WIFSIGNALED(status);
    int number = by_signal ? WTERMSIG(status) : WEXITSTATUS(status);
    if (child->state == OX__CHILD_STOPPING && status == 0)
        OX_LOG_INFO("heart", "child ended", OX_F_STR("child", child->name), OX_F_I64("pid", child->pid));
    else
        OX_LOG_WARN("heart", "child died", OX_F_STR("child", child->name), OX_F_I64("pid", child->pid),
                    OX_F_STR("by", by_signal ? "signal" : "exit"), OX_F_I64("status", number),
                    OX_F_BOOL("killed_by_heart", child->killed_by_us),
                    OX_F_BOOL("core", by_signal && WCOREDUMP(status)));
}

/* Exit codes by which a child says that another try is the same try: wrong arguments or configuration, a
 * missing library, a directory that cannot be written, a program that cannot be executed. */
static bool
hopeless(int status)
{
    static const int codes[] = {OX_EXIT_USAGE, 66, 73, 78, 127};
    for (size_t i = 0; WIFEXITED(status) && i < OX_COUNT(codes); i++) {
        if (WEXITSTATUS(status) == codes[i])
            return true;
    }
    return false;
}

/* Ready for heart.quiet: what happened before is forgiven. */
static void
count_failure(struct ox__child *child, int status)
{
    const struct ox__heart *h = child->heart;
    if (hopeless(status) && !child->was_ready) {
        child->hopeless = true;
        child->failures++;
        return;
    }
    bool quiet = child->state == OX__CHILD_READY &&
                 uv_now(&h->loop) - child->ready_at >= (uint64_t)h->config->heart_quiet_ms;
    child->failures = quiet ? 1 : child->failures + 1;
}

bool
ox__child_reap(struct ox__child *child)
{
    int status = 0;
    if (child->pid == 0 || waitpid(child->pid, &status, WNOHANG) != child->pid)
        return false;
    uv_timer_stop(&child->timer);
    control_close(child);
    log_death(child, status);
    child->next = child->again ? OX_START_ASKED : ox_start_after(status, child->killed_by_us);
    if (child->state == OX__CHILD_STOPPING) {
        bool again = child->again && !child->heart->stopping;
        child->state = OX__CHILD_OFF;
        child->pid = 0;
        child->again = false;
        if (again) {
            ox__heart_child_died(child->heart, child);
            ox__child_start(child);
            return true;
        }
        ox__heart_child_off(child->heart, child, false);
        return true;
    }
    count_failure(child, status);
    child->pid = 0;
    ox__heart_child_died(child->heart, child);
    if (child->state != OX__CHILD_OFF)
        retry(child);
    return true;
}
