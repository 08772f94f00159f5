/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/engine_main.c - the engine process: start, accept, stop.
 *
 * Owns:    the engine's state, the listening socket, the anchor session that keeps the store open.
 * Threads: the main thread polls for connections, signals and the end of the parent.
 * Bounds:  connections_max; further connections are answered 503 and closed.
 * Fails:   exit codes of include/ox/engine.h.
 * Flow:    cmd/ -> ox_engine_main -> server.c.
 *
 * Leaving main with an open session crashes the library, so the process ends with _exit, the store being safe
 * at any moment (an answered insert is on disk). A clean stop closes the anchor first, under an alarm,
 * because that call has been seen to hang.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine/files.h"
#include "ox/log.h"

enum exit_code {
    EXIT_OPTION = 64,
    EXIT_LIBRARY = 66,
    EXIT_ENGINE = 70,
    EXIT_FILES = 73,
    EXIT_IN_USE = 75,
};

#define CLOSE_GRACE_S  3
#define STOP_POLL_MS   20
#define LISTEN_BACKLOG 128
#define STACK_BYTES    (8u << 20)
#define BODY_BYTES_MAX (256ull << 20)

/* One engine per process. */
static struct ox__engine the_engine;

struct job {
    struct ox__engine *engine;
    int fd;
};

static unsigned
or_default(unsigned value, unsigned fallback)
{
    return value != 0 ? value : fallback;
}

static int
refuse_start(int code, const struct ox_diag *diag)
{
    OX_LOG_ERROR("engine", "cannot start", OX_F_DIAG(diag));
    return code;
}

static ox_err
check_options(const struct ox_engine_options *o, struct ox_diag *diag)
{
    if (o->data_dir == NULL || (o->socket_path == NULL && o->listen_fd < 0) || o->secret == NULL)
        return ox_diag_set(diag, OX_E_CONFIG, NULL, -1,
                           "the engine needs a data directory, a socket and a secret");
    if (o->queries_max != 0 && o->queries_for_inserts >= o->queries_max)
        return ox_diag_set(diag, OX_E_CONFIG, "queries_for_inserts", -1,
                           "queries_for_inserts (%u) must be below queries_max (%u)", o->queries_for_inserts,
                           o->queries_max);
    return OX_OK;
}

static void
set_limits(struct ox__engine *engine, const struct ox_engine_options *o)
{
    engine->options = o;
    engine->limits.body_bytes_max = o->body_bytes_max != 0 ? o->body_bytes_max : BODY_BYTES_MAX;
    engine->limits.queries_max = or_default(o->queries_max, 16);
    engine->limits.queries_for_inserts = or_default(o->queries_for_inserts, engine->limits.queries_max / 4);
    engine->limits.connections_max = or_default(o->connections_max, 128);
    engine->limits.stop_timeout_ms = or_default(o->stop_timeout_ms, 10000);
    engine->limits.idle_timeout_ms = or_default(o->idle_timeout_ms, 120000);
}

/* The parent may have died between its fork and our call; then nobody would ever stop us. */
static ox_err
bind_to_parent(const struct ox_engine_options *o, struct ox_diag *diag)
{
    if (!o->die_with_parent)
        return OX_OK;
    pid_t parent = getppid();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent || parent == 1)
        return ox_diag_set(diag, OX_E_STATE, NULL, -1, "the process that started the engine is gone");
    return OX_OK;
}

/* Blocked before any thread starts, so that only signalfd sees them; libchdb leaves them alone. */
static int
open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

ox__chdb_conn *
ox__engine_connect(struct ox__engine *engine)
{
    static char name[] = "observex-engine";
    static char level[] = "--log-level=error";
    char *argv[] = {name, engine->path_arg, engine->config_arg, level};
    ox__chdb_conn *conn = engine->lib.connect(4, argv);
    if (conn != NULL && *conn == NULL) {
        engine->lib.close_conn(conn);
        conn = NULL;
    }
    return conn;
}

static ox_err
create_database(struct ox__engine *engine, struct ox_diag *diag)
{
    static const char sql[] = "CREATE DATABASE IF NOT EXISTS `" OX_ENGINE_DATABASE "`";
    struct ox__chdb_result *result = engine->lib.query_n(*engine->anchor, sql, sizeof(sql) - 1, "Null", 4);
    const char *error = engine->lib.error(result);
    ox_err err = OX_OK;
    if (error != NULL)
        err = ox_diag_set(diag, OX_E_STATE, NULL, -1, "cannot create the database: %s", error);
    engine->lib.destroy(result);
    return err;
}

/* The library says why only on stderr, so what it most often is gets found out beforehand. */
static int
open_store(struct ox__engine *engine, const struct ox__files *files, struct ox_diag *diag)
{
    snprintf(engine->path_arg, sizeof(engine->path_arg), "--path=%s", files->data_dir);
    snprintf(engine->config_arg, sizeof(engine->config_arg), "--config-file=%s", files->engine_xml);
    engine->anchor = ox__engine_connect(engine);
    if (engine->anchor == NULL) {
        ox_diag_set(diag, OX_E_STATE, "data_dir", -1,
                    "ClickHouse did not open its store in %s: see the lines of the engine above",
                    files->data_dir);
        return EXIT_ENGINE;
    }
    if (create_database(engine, diag) != OX_OK)
        return EXIT_ENGINE;
    ox__engine_slots_init(&engine->slots, engine->limits.queries_max, engine->limits.queries_for_inserts);
    engine->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (engine->stop_fd < 0 ||
        ox__engine_watch_start(&engine->watch, engine, engine->limits.queries_max) != OX_OK) {
        ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory for the engine's threads");
        return EXIT_ENGINE;
    }
    return 0;
}

static void *
connection_main(void *arg)
{
    struct job job = *(struct job *)arg;
    free(arg);
    ox__serve_connection(job.engine, job.fd);
    atomic_fetch_sub_explicit(&job.engine->connections, 1,
                              memory_order_relaxed); /* a count, orders nothing */
    return NULL;
}

static bool
start_thread(struct ox__engine *engine, int fd)
{
    struct job *job = malloc(sizeof(*job));
    pthread_attr_t attr;
    pthread_t thread;
    if (job == NULL)
        return false;
    *job = (struct job){engine, fd};
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    atomic_fetch_add_explicit(&engine->connections, 1, memory_order_relaxed);
    int rc = pthread_create(&thread, &attr, connection_main, job);
    pthread_attr_destroy(&attr);
    if (rc == 0)
        return true;
    atomic_fetch_sub_explicit(&engine->connections, 1, memory_order_relaxed);
    free(job);
    return false;
}

static void
turn_away(int fd)
{
    static const char reply[] =
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
        "X-ClickHouse-Exception-Code: 202\r\n\r\n"
        "Code: 202. DB::Exception: Too many connections. (TOO_MANY_SIMULTANEOUS_QUERIES)\n";
    if (send(fd, reply, sizeof(reply) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        OX_LOG_WARN("engine", "a connection beyond the limit was closed without a word");
    close(fd);
}

static void
accept_one(struct ox__engine *engine, int listen_fd)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            OX_LOG_WARN("engine", "cannot accept a connection", OX_F_STR("detail", strerror(errno)));
        return;
    }
    bool room =
        atomic_load_explicit(&engine->connections, memory_order_relaxed) < engine->limits.connections_max;
    if (!room || !start_thread(engine, fd))
        turn_away(fd);
}

/* True once it is time to stop. */
static bool
control_ended(int control_fd)
{
    char ignored[256];
    ssize_t n = read(control_fd, ignored, sizeof(ignored));
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static void
accept_until_told(struct ox__engine *engine, int listen_fd, int signal_fd)
{
    struct pollfd fds[3] = {
        {listen_fd, POLLIN, 0}, {signal_fd, POLLIN, 0}, {engine->options->control_fd, POLLIN, 0}};
    for (;;) {
        if (poll(fds, 3, -1) < 0)
            continue;
        if (fds[1].revents != 0)
            return;
        if (fds[2].revents != 0 && control_ended(engine->options->control_fd))
            return;
        if (fds[0].revents != 0)
            accept_one(engine, listen_fd);
    }
}

static void
on_alarm(int signo)
{
    _exit(0);
}

/* Waits for what runs, then closes the store and the process. */
static void
stop(struct ox__engine *engine)
{
    uint64_t one = 1;
    /* release: whoever sees it set takes no slot after we have started to wait */
    atomic_store_explicit(&engine->stopping, true, memory_order_release);
    if (write(engine->stop_fd, &one, sizeof(one)) < 0)
        OX_LOG_WARN("engine", "cannot wake idle connections");
    if (engine->options->socket_path != NULL)
        unlink(engine->options->socket_path);
    unsigned waited = 0;
    for (; ox__engine_slots_used(&engine->slots) > 0 && waited < engine->limits.stop_timeout_ms;
         waited += STOP_POLL_MS)
        nanosleep(&(struct timespec){0, STOP_POLL_MS * 1000000L}, NULL);
    unsigned left = ox__engine_slots_used(&engine->slots);
    OX_LOG_INFO("engine", "stopped", OX_F_U64("statements_cut", left), OX_F_U64("waited_ms", waited));
    signal(SIGALRM, on_alarm);
    alarm(CLOSE_GRACE_S);
    if (left == 0)
        engine->lib.close_conn(engine->anchor);
    _exit(0);
}

static void
tell_ready(const struct ox_engine_options *o)
{
    static const char line[] = "{\"event\":\"ready\"}\n";
    if (o->control_fd >= 0 && write(o->control_fd, line, sizeof(line) - 1) < 0)
        OX_LOG_WARN("engine", "cannot say that we are ready", OX_F_STR("detail", strerror(errno)));
    OX_LOG_INFO("engine", "ready", OX_F_STR("socket", o->socket_path != NULL ? o->socket_path : "inherited"));
}

int
ox_engine_main(const struct ox_engine_options *options, struct ox_diag *diag)
{
    struct ox__engine *engine = &the_engine;
    struct ox_diag own;
    struct ox__files files;
    char library[4096];
    if (diag == NULL)
        diag = &own;
    ox_diag_clear(diag);
    if (check_options(options, diag) != OX_OK || bind_to_parent(options, diag) != OX_OK)
        return refuse_start(EXIT_OPTION, diag);
    set_limits(engine, options);
    int signal_fd = open_signals();
    ox_err err = ox__files_prepare(options, &files, diag);
    if (err != OX_OK)
        return refuse_start(err == OX_E_EXISTS ? EXIT_IN_USE : EXIT_FILES, diag);
    if (ox_engine_find_library(options->lib_path, library, sizeof(library), diag) != OX_OK ||
        ox__chdb_load(library, &engine->lib, diag) != OX_OK)
        return refuse_start(EXIT_LIBRARY, diag);
    int code = open_store(engine, &files, diag);
    int listen_fd = -1;
    if (code == 0 && ox__files_listen(options, LISTEN_BACKLOG, &listen_fd, diag) != OX_OK)
        code = EXIT_FILES;
    if (code != 0) {
        refuse_start(code, diag);
        if (engine->anchor != NULL)
            _exit(code); /* returning with the store open would crash */
        return code;
    }
    tell_ready(options);
    accept_until_told(engine, listen_fd, signal_fd);
    close(listen_fd);
    stop(engine);
    return 0;
}
