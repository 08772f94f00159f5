/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/heart.c - the heart's life: prepare, start both children, watch, stop in order.
 *
 * Order of a stop: the node first, so that it finishes what it accepted while the engine still stores; then
 * the engine. A second SIGTERM or SIGINT hastens it: the node leaves what is not stored yet in its journals, and the
 * engine has a moment instead of heart.engine_stop. A third one kills. Nothing acknowledged is lost by either.
 *
 * Owns:    the loop and the signals.
 * Threads: the main thread.
 * Bounds:  heart.drain, heart.engine_stop.
 * Fails:   OX_EXIT_FAILED before the first child runs, OX_EXIT_CRASHING after a crash loop.
 * Flow:    cmd_serve.c -> here -> heart_child.c.
 */
#include "cmd/heart.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/heart_internal.h"
#include "ox/log.h"

/* After the second signal: flushing and closing the journals, and ending between two statements. */
#define HURRY_NODE_MS   3000
#define HURRY_ENGINE_MS 1000

#define FAMILY_PREFIX "OBSERVE_X_"
#define TEST_PREFIX   "OBSERVE_X_TEST_"

static void
fill_env(char **env, const struct ox_buf *text)
{
    extern char **environ;
    size_t n = 0;
    for (char **e = environ; *e != NULL; e++) {
        bool ours = strncmp(*e, FAMILY_PREFIX, sizeof(FAMILY_PREFIX) - 1) == 0;
        if (!ours || strncmp(*e, TEST_PREFIX, sizeof(TEST_PREFIX) - 1) == 0)
            env[n++] = *e;
    }
    for (size_t at = 0; at < text->len; at += strlen(env[n - 1]) + 1)
        env[n++] = (char *)text->data + at;
}

/* Ours, with the resolved configuration in place of what was set. */
ox_err
ox__heart_env(struct ox__heart *h)
{
    extern char **environ;
    struct ox_buf text;
    size_t limit = ox_config_rows.count + 1;
    for (char **e = environ; *e != NULL; e++)
        limit++;
    ox_buf_init(&text);
    ox_config_export(h->config, &text);
    char **env = calloc(limit, sizeof(*env));
    if (env == NULL || text.failed) {
        free(env);
        ox_buf_fini(&text);
        return OX_E_NOMEM;
    }
    fill_env(env, &text);
    free(h->child_env);
    ox_buf_fini(&h->env_text);
    h->child_env = env;
    h->env_text = text;
    return OX_OK;
}

/* Connections and files of a busy node do not fit the usual 1,024; the children inherit the limit. */
static void
raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        OX_LOG_WARN("heart", "the limit of open files stays low", OX_F_STR("why", strerror(errno)));
}

static ox_err
prepare(struct ox__heart *h)
{
    const struct ox_config *c = h->config;
    ox_err err = ox__data_lock(c->data, &h->lock_fd, h->diag);
    if (err == OX_OK)
        err = ox__ready_begin(h, h->diag);
    if (err == OX_OK)
        err = ox__data_space(c, h->diag);
    if (err == OX_OK)
        err = ox__listeners_open(h, h->diag);
    if (err == OX_OK)
        err = ox__secret_create(c->data, h->diag);
    if (err == OX_OK && ox__heart_env(h) != OX_OK)
        err = ox_diag_set(h->diag, OX_E_NOMEM, NULL, -1, "out of memory");
    if (err == OX_OK)
        ox__config_write(h);
    raise_fd_limit();
    return err;
}

static void
tell_node_of_engine(struct ox__heart *h)
{
    pid_t pid = h->engine.state == OX__CHILD_READY ? h->engine.pid : 0;
    if (h->node.state == OX__CHILD_READY || h->node.state == OX__CHILD_STARTING)
        ox__child_send(&h->node, (struct ox_heart_line){.event = OX_HEART_ENGINE, .pid = pid});
}

/* Both are up: say so, again after each restart. */
static void
announce(struct ox__heart *h)
{
    bool engine_up = h->engine.state == OX__CHILD_READY || !ox_config_embedded(h->config);
    if (h->stopping || h->node.state != OX__CHILD_READY || !engine_up)
        return;
    ox__ready_write(h);
    ox__heart_notify("READY=1\nSTATUS=takes traffic");
    OX_LOG_INFO("heart", "ready", OX_F_I64("node_pid", h->node.pid), OX_F_I64("engine_pid", h->engine.pid),
                OX_F_STR("otlp_grpc", h->listeners[OX__LISTEN_OTLP_GRPC].actual),
                OX_F_STR("otlp_http", h->listeners[OX__LISTEN_OTLP_HTTP].actual),
                OX_F_STR("api", h->listeners[OX__LISTEN_API].actual));
}

void
ox__heart_child_ready(struct ox__heart *h, struct ox__child *child)
{
    if (child == &h->engine || h->engine.state == OX__CHILD_READY)
        tell_node_of_engine(h);
    announce(h);
}

void
ox__heart_child_died(struct ox__heart *h, struct ox__child *child)
{
    if (child == &h->engine)
        tell_node_of_engine(h);
}

void
ox__heart_mend(struct ox__heart *h, pid_t pid)
{
    if (h->engine.state == OX__CHILD_READY && h->engine.pid == pid) /* else it is another one by now */
        ox__child_restart(&h->engine, "the node asks for it: it cannot read a part of what it holds",
                          h->config->heart_engine_stop_ms);
}

static void
end_loop(struct ox__heart *h)
{
    h->ended = true;
    for (size_t i = 0; i < OX_COUNT(h->signals); i++)
        uv_close((uv_handle_t *)&h->signals[i], NULL);
    uv_close((uv_handle_t *)&h->node.timer, NULL);
    uv_close((uv_handle_t *)&h->engine.timer, NULL);
}

static int64_t
engine_stop_ms(const struct ox__heart *h)
{
    int64_t ms = h->config->heart_engine_stop_ms;
    return h->hurry && ms > HURRY_ENGINE_MS ? HURRY_ENGINE_MS : ms;
}

/* The next step of a stop in order: node, engine, loop. Called again when a child has ended. */
static void
advance_stop(struct ox__heart *h)
{
    if (!h->stopping)
        ox__heart_notify("STOPPING=1");
    h->stopping = true;
    if (h->node.state != OX__CHILD_OFF)
        ox__child_stop(&h->node, h->config->heart_drain_ms);
    else if (h->engine.state != OX__CHILD_OFF)
        ox__child_stop(&h->engine, engine_stop_ms(h));
    else if (!h->ended)
        end_loop(h);
}

/* The last word of a heart that gives up. */
static void
say_why_given_up(struct ox__heart *h, const struct ox__child *child)
{
    OX_LOG_FATAL("heart", "gives up: a child fails at every start", OX_F_STR("child", child->name),
                 OX_F_U64("failed_starts", child->failures));
    (void)ox_diag_set(
        h->diag, OX_E_STATE, child->name, -1,
        "the %s failed %u starts in a row; its last lines above say why, and DIR/crash/ has a record if it "
        "crashed. Giving up",
        child->name, child->failures);
    h->exit_code = OX_EXIT_CRASHING;
}

void
ox__heart_child_off(struct ox__heart *h, struct ox__child *child, bool failed)
{
    if (failed)
        say_why_given_up(h, child);
    if (failed || h->stopping)
        advance_stop(h);
}

static void
kill_at_once(struct ox__heart *h)
{
    OX_LOG_WARN("heart", "asked to stop three times: killing what still runs");
    h->exit_code = OX_EXIT_FAILED;
    struct ox__child *const children[] = {&h->node, &h->engine};
    for (size_t i = 0; i < OX_COUNT(children); i++) {
        if (children[i]->pid > 0)
            kill(children[i]->pid, SIGKILL);
    }
}

static void
on_signal(uv_signal_t *handle, int signum)
{
    struct ox__heart *h = handle->data;
    if (signum == SIGCHLD) {
        ox__child_reap(&h->node);
        ox__child_reap(&h->engine);
    } else if (signum == SIGHUP) {
        if (!h->stopping)
            ox__heart_reload(h, 0);
    } else if (h->hurry) {
        kill_at_once(h);
    } else if (h->stopping) {
        OX_LOG_WARN("heart", "asked to stop twice: what is not stored yet stays in the journals");
        h->hurry = true;
        ox__child_hurry(&h->node, HURRY_NODE_MS);
        ox__child_hurry(&h->engine, HURRY_ENGINE_MS);
    } else {
        OX_LOG_INFO("heart", "stopping", OX_F_I64("signal", signum));
        advance_stop(h);
    }
}

static void
watch_signals(struct ox__heart *h)
{
    static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
    _Static_assert(OX_COUNT(numbers) == OX_COUNT(((struct ox__heart *)0)->signals), "one handle per signal");
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < OX_COUNT(numbers); i++) {
        uv_signal_init(&h->loop, &h->signals[i]);
        h->signals[i].data = h;
        OX_ASSERT(uv_signal_start(&h->signals[i], on_signal, numbers[i]) == 0);
    }
}

/* A signal that comes while the heart prepares waits until somebody listens, instead of ending it halfway. */
static void
hold_signals(sigset_t *before)
{
    sigset_t held;
    sigemptyset(&held);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &held, before);
}

static void
live(struct ox__heart *h, const sigset_t *signals)
{
    OX_ASSERT(uv_loop_init(&h->loop) == 0);
    watch_signals(h);
    pthread_sigmask(SIG_SETMASK, signals, NULL);
    ox__child_init(&h->node, h, "node");
    ox__child_init(&h->engine, h, "engine");
    if (ox_config_embedded(h->config))
        ox__child_start(&h->engine);
    if (!h->stopping)
        ox__child_start(&h->node);
    uv_run(&h->loop, UV_RUN_DEFAULT);
    OX_ASSERT(uv_loop_close(&h->loop) == 0);
}

/* Leaves the directory as a stopped ObserveX has it: data, and nothing that speaks of a running one. */
static void
clear_traces(struct ox__heart *h)
{
    char path[OX_CONFIG_STRING_MAX + 16];
    ox__ready_remove(h);
    ox__config_remove(h);
    (void)unlink(h->socket_path);
    snprintf(path, sizeof(path), "%s/secret", h->config->data);
    (void)unlink(path);
}

/* Where the values of the start came from; without memory all show as defaults. */
static void
note_origins(struct ox__heart *h)
{
    struct ox_config_report report;
    struct ox_config *same = calloc(1, sizeof(*same));
    ox_config_report_init(&report);
    if (same != NULL)
        (void)!ox_config_load(same, h->options->sources, h->origins, &report);
    ox_config_report_fini(&report);
    free(same);
}

int
ox_heart_run(const struct ox_heart_options *options, struct ox_diag *diag)
{
    struct ox__heart *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return OX_EXIT_FAILED;
    h->options = options;
    h->now = *options->config;
    h->config = &h->now;
    h->config_version = 1;
    h->origins = calloc(ox_config_rows.count, 1);
    if (h->origins == NULL) {
        free(h);
        return OX_EXIT_FAILED;
    }
    if (options->sources != NULL)
        note_origins(h);
    ox_buf_init(&h->env_text);
    h->diag = diag;
    h->lock_fd = -1;
    h->exit_code = OX_EXIT_OK;
    snprintf(h->socket_path, sizeof(h->socket_path), "%s/engine.sock", h->config->data);
    sigset_t signals;
    hold_signals(&signals);
    if (prepare(h) == OX_OK) {
        live(h, &signals);
        clear_traces(h);
    } else {
        pthread_sigmask(SIG_SETMASK, &signals, NULL);
        h->exit_code = OX_EXIT_FAILED;
    }
    ox__listeners_close(h);
    if (h->lock_fd >= 0)
        close(h->lock_fd);
    free(h->child_env);
    free(h->origins);
    ox_buf_fini(&h->env_text);
    int code = h->exit_code;
    free(h);
    return code;
}
