/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/watch.c - notices clients that went away while their statement runs, and kills the statement.
 *
 * Owns:    one thread, one entry per running query, the session that sends KILL QUERY.
 * Threads: add and remove from connection threads; the thread polls their sockets.
 * Bounds:  as many entries as slots.
 * Flow:    statement.c adds -> poll sees the hang-up -> KILL QUERY ... ASYNC -> the statement ends with 394.
 *
 * A statement has no id that we could set, so it carries ours in the setting query_cache_tag, which has no
 * effect while the query cache is off. A kill may come before the statement is listed; it is repeated until
 * the entry is removed. KILL ... SYNC hangs, hence ASYNC.
 */
#include "engine/engine.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ox/lock.h"
#include "ox/log.h"

/* Between two attempts to kill the same statement. */
#define KILL_AGAIN_MS 50

static void
kill_statement(struct ox__engine *engine, ox__chdb_conn *conn, uint64_t id)
{
    char sql[128];
    int n = snprintf(sql, sizeof(sql), "KILL QUERY WHERE Settings['query_cache_tag'] = 'ox-%llu' ASYNC",
                     (unsigned long long)id);
    struct ox__chdb_result *result = engine->lib.query_n(*conn, sql, (size_t)n, "Null", 4);
    const char *error = engine->lib.error(result);
    if (error != NULL)
        OX_LOG_WARN("engine", "cannot kill a statement", OX_F_STR("detail", error));
    engine->lib.destroy(result);
}

/* Copies what is to be polled; entries[i] belongs to fds[i + 1]. */
static unsigned
collect(struct ox__watch *watch, struct pollfd *fds, struct ox__watched *entries, bool *any_gone)
{
    unsigned n = 0;
    *any_gone = false;
    ox_lock(&watch->lock);
    for (unsigned i = 0; i < watch->n; i++) {
        struct ox__watched *e = &watch->entries[i];
        if (e->fd < 0)
            continue;
        *any_gone |= e->gone;
        entries[n] = *e;
        fds[++n] = (struct pollfd){e->gone ? -1 : e->fd, POLLRDHUP, 0};
    }
    ox_unlock(&watch->lock);
    return n;
}

static bool
mark_gone(struct ox__watch *watch, uint64_t id)
{
    bool found = false;
    ox_lock(&watch->lock);
    for (unsigned i = 0; i < watch->n; i++) {
        if (watch->entries[i].fd >= 0 && watch->entries[i].id == id)
            found = watch->entries[i].gone = true;
    }
    ox_unlock(&watch->lock);
    return found;
}

static void
watch_once(struct ox__watch *watch, ox__chdb_conn *conn, struct pollfd *fds, struct ox__watched *entries)
{
    bool any_gone;
    unsigned n = collect(watch, fds, entries, &any_gone);
    fds[0] = (struct pollfd){watch->wake_fd, POLLIN, 0};
    if (poll(fds, n + 1, any_gone ? KILL_AGAIN_MS : -1) < 0)
        return;
    uint64_t drained;
    if (fds[0].revents != 0 && read(watch->wake_fd, &drained, sizeof(drained)) < 0 && errno != EAGAIN)
        OX_LOG_WARN("engine", "cannot read the wake-up of the watch");
    for (unsigned i = 0; i < n; i++) {
        bool hung_up = (fds[i + 1].revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
        if ((entries[i].gone || hung_up) && mark_gone(watch, entries[i].id))
            kill_statement(watch->engine, conn, entries[i].id);
    }
}

static void *
watch_main(void *arg)
{
    struct ox__watch *watch = arg;
    struct pollfd *fds = calloc(watch->n + 1, sizeof(*fds));
    struct ox__watched *entries = calloc(watch->n, sizeof(*entries));
    ox__chdb_conn *conn = ox__engine_connect(watch->engine);
    if (fds == NULL || entries == NULL || conn == NULL) {
        OX_LOG_ERROR("engine", "statements of clients that went away will not be cancelled: out of memory");
        return NULL;
    }
    for (;;)
        watch_once(watch, conn, fds, entries);
    return NULL;
}

ox_err
ox__engine_watch_start(struct ox__watch *watch, struct ox__engine *engine, unsigned n)
{
    watch->engine = engine;
    watch->n = n;
    watch->entries = calloc(n, sizeof(*watch->entries));
    watch->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (watch->entries == NULL || watch->wake_fd < 0)
        return OX_E_NOMEM;
    for (unsigned i = 0; i < n; i++)
        watch->entries[i].fd = -1;
    pthread_mutex_init(&watch->lock, NULL);
    pthread_t thread;
    if (pthread_create(&thread, NULL, watch_main, watch) != 0)
        return OX_E_NOMEM;
    pthread_detach(thread);
    return OX_OK;
}

static void
wake(struct ox__watch *watch)
{
    uint64_t one = 1;
    if (write(watch->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        OX_LOG_WARN("engine", "cannot wake the watch");
}

void
ox__engine_watch_add(struct ox__watch *watch, int fd, uint64_t id)
{
    ox_lock(&watch->lock);
    for (unsigned i = 0; i < watch->n; i++) {
        if (watch->entries[i].fd < 0) {
            watch->entries[i] = (struct ox__watched){fd, id, false};
            break;
        }
    }
    ox_unlock(&watch->lock);
    wake(watch);
}

bool
ox__engine_watch_remove(struct ox__watch *watch, uint64_t id)
{
    bool gone = false;
    ox_lock(&watch->lock);
    for (unsigned i = 0; i < watch->n; i++) {
        struct ox__watched *e = &watch->entries[i];
        if (e->fd >= 0 && e->id == id) {
            gone = e->gone;
            e->fd = -1;
        }
    }
    ox_unlock(&watch->lock);
    /* Otherwise a removed socket stays in the poll set until something else happens. */
    wake(watch);
    return gone;
}
