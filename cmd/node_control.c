/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/node_control.c - the node's ear: the heart's control line and signals; and the way down.
 *
 * Owns:    nothing; the fds are the node's.
 * Threads: one thread of its own, so that a stop is heard whatever the schedulers do.
 * Bounds:  READY_WAIT_MS until `ready` without a schema; three quarters of heart.drain until the stop is forced.
 */
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cmd/node_internal.h"
#include "ox/log.h"
#include "ox/runtime.h"
#include "ox/storage.h"

#define TICK_MS       10
#define READY_WAIT_MS 10000 /* an engine that is late must not keep ingest closed: the journals buffer */

void
node_block_signals(void)
{
    sigset_t set;
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static int
signal_fd(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void
hear_engine(struct node_main *m, int64_t pid)
{
    OX_LOG_INFO("node", pid != 0 ? "the engine is ready" : "the engine is gone", OX_F_I64("pid", pid));
    atomic_store_explicit(&m->engine_pid, pid, memory_order_relaxed);
    if (pid == 0)
        return;
    atomic_store_explicit(&m->node.engine_errors, 0, memory_order_relaxed);
    ox_storage_hint(m->node.storage);
    if (ox_cast(m->mender, OX_K_engine_up, (uint64_t)pid) != OX_OK)
        OX_LOG_WARN("node", "the mender does not hear that the engine is new");
    if (ox_cast(m->node.outbox, OX_K_engine_up, (uint64_t)pid) != OX_OK)
        OX_LOG_WARN("node",
                    "the outbox does not hear that the engine is new: it tries again in its own time");
}

/* Reads what the heart says; true when it wants the node to stop, or is gone. */
static bool
heard_stop(struct node_main *m, char *line, size_t *len)
{
    char buf[256];
    ssize_t n = read(m->fds.fd_control, buf, sizeof(buf));
    if (n <= 0)
        return true;
    for (ssize_t i = 0; i < n; i++) {
        if (buf[i] != '\n') {
            if (*len < OX_HEART_LINE_MAX)
                line[(*len)++] = buf[i];
            continue;
        }
        struct ox_heart_line said = ox_heart_line_parse((struct ox_str){line, *len});
        *len = 0;
        if (said.event == OX_HEART_STOP)
            return true;
        if (said.event == OX_HEART_RELOAD && ox_cast(m->reloader, OX_K_reload, said.num) != OX_OK)
            OX_LOG_ERROR("node", "the new configuration is not taken: its actor does not hear; reload again");
        if (said.event == OX_HEART_ENGINE)
            hear_engine(m, said.pid);
    }
    return false;
}

static bool
signalled_stop(int fd)
{
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return false;
    if (info.ssi_signo == SIGHUP) {
        OX_LOG_INFO("node", "SIGHUP is for `observex serve`, which reads the configuration for all");
        return false;
    }
    return true;
}

/* Tells the heart once the schema is there, or when waiting for it has taken long enough. */
static void
say_ready(struct node_main *m, uint64_t started_ns, bool *said)
{
    uint64_t waited_ms = (ox_clock_monotonic_ns(m->node.clock) - started_ns) / 1000000;
    bool migrated = atomic_load_explicit(&m->node.storage_migrated, memory_order_acquire);
    if (*said || (!migrated && waited_ms < READY_WAIT_MS))
        return;
    if (!migrated)
        OX_LOG_WARN("node", "accepting traffic although storage does not answer yet");
    ox_child_say(m->fds.fd_control, OX_HEART_READY);
    *said = true;
}

/* What the thread listens to: signals, and the heart's line with what has arrived of it. */
struct ear {
    struct pollfd fds[2];
    char line[OX_HEART_LINE_MAX];
    size_t len;
};

static void
wait_for_stop(struct node_main *m, struct ear *ear)
{
    bool said = false;
    uint64_t started_ns = ox_clock_monotonic_ns(m->node.clock);
    for (;;) {
        say_ready(m, started_ns, &said);
        if (poll(ear->fds, 2, said ? -1 : TICK_MS) <= 0)
            continue;
        if ((ear->fds[0].revents & POLLIN) != 0 && signalled_stop(ear->fds[0].fd))
            break;
        if (ear->fds[1].revents != 0 && heard_stop(m, ear->line, &ear->len))
            break;
    }
}

/* True when everything that was accepted is in storage. */
static bool
all_stored(struct node_main *m)
{
    struct ox_node *node = &m->node;
    return ox_gateway_drained(m->gateway) && ox_api_drained(m->api) &&
           ox_tenants_in_flight(node->tenants) == 0 &&
           atomic_load_explicit(&node->sampler_held, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&node->writer_records, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&node->outbox_blocks, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&node->outbox_notes, memory_order_relaxed) == 0;
}

/* Waits a tick; true when the heart or a signal asks a second time, which is to say: hurry. */
static bool
asked_again(struct node_main *m, struct ear *ear)
{
    if (poll(ear->fds, 2, TICK_MS) <= 0)
        return false;
    if ((ear->fds[0].revents & POLLIN) != 0 && signalled_stop(ear->fds[0].fd))
        return true;
    return ear->fds[1].revents != 0 && heard_stop(m, ear->line, &ear->len);
}

/* The last word of a node that leaves work behind: for the log, and as a sentence for who watches the terminal. */
static void
say_what_stays(struct node_main *m, bool hurried)
{
    struct ox_node *node = &m->node;
    uint64_t records = ox_tenants_in_flight(node->tenants) +
                       atomic_load_explicit(&node->sampler_held, memory_order_relaxed) +
                       atomic_load_explicit(&node->writer_records, memory_order_relaxed);
    uint64_t blocks = atomic_load_explicit(&node->outbox_blocks, memory_order_relaxed);
    uint64_t rows = atomic_load_explicit(&node->outbox_rows, memory_order_relaxed);
    bool replayed = atomic_load_explicit(&node->replay_done, memory_order_acquire);
    if (replayed && records == 0 && blocks == 0) /* what keeps the stop waiting is no record */
        return;
    OX_LOG_WARN(
        "node", "stopping before everything is in storage; the journals keep the rest for the next start",
        OX_F_U64("log_records", records), OX_F_U64("outbox_blocks", blocks), OX_F_U64("outbox_rows", rows),
        OX_F_BOOL("replay_done", replayed), OX_F_BOOL("hurried", hurried));
    ox_complain(
        "stopped before everything was in storage: %s%llu records are still in the log and %llu blocks (%llu "
        "rows) in the outbox; they are safe there, and the next start stores them",
        replayed ? "" : "what had not been replayed yet, ", (unsigned long long)records,
        (unsigned long long)blocks, (unsigned long long)rows);
}

static void
drain(struct node_main *m, struct ear *ear)
{
    struct ox_node *node = &m->node;
    uint64_t start_ns = ox_clock_monotonic_ns(node->clock);
    /* The heart ends us at heart.drain: the rest is for the actors' and threads' own end. */
    uint64_t limit_ns = (uint64_t)ox_node_config(node)->heart_drain_ms * 1000000 / 4 * 3;
    atomic_store_explicit(&node->phase, OX_NODE_STOPPING, memory_order_release);
    ox_api_drain(m->api);
    bool stored = false, hurried = false;
    while (!(stored = all_stored(m)) && !hurried &&
           ox_clock_monotonic_ns(node->clock) - start_ns < limit_ns) {
        ox_gateway_drain(m->gateway); /* a gateway whose mailbox is full is asked again */
        for (int s = 0; s < OX_SIGNAL__COUNT; s++)
            (void)!ox_cast(node->writers[s], OX_K_flush, 0); /* refused: asked again in a moment */
        hurried = asked_again(m, ear);
    }
    if (stored)
        return;
    ox_storage_abandon(node->storage); /* a call that hangs would hold its thread, and the thread our end */
    say_what_stays(m, hurried);
}

void *
node_control(void *arg)
{
    struct node_main *m = arg;
    struct ear ear = {
        .fds = {{.fd = signal_fd(), .events = POLLIN}, {.fd = m->fds.fd_control, .events = POLLIN}}};
    wait_for_stop(m, &ear);
    ox_child_say(m->fds.fd_control, OX_HEART_STOPPING);
    OX_LOG_INFO("node", "stopping");
    drain(m, &ear);
    close(ear.fds[0].fd);
    ox_runtime_quit(OX_EXIT_OK);
    return NULL;
}
