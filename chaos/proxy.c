/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/proxy.c - the bad network.
 *
 * Owns:    see proxy.h.
 * Threads: one that accepts, one per connection.
 * Bounds:  PIECE_BYTES at a time.
 */
#include "chaos/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/harness/http_client.h"

#define PIECE_BYTES (64u << 10)
#define SLOW_BYTES  256u
#define SLOW_MS     2
#define LOOK_MS     20

struct line {
    struct chaos_proxy *proxy;
    int client, server;
    uint64_t chance;
};

static uint32_t
roll(struct line *l)
{
    l->chance = l->chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(l->chance >> 33) % 100;
}

static bool
hit(struct line *l)
{
    if (roll(l) >= atomic_load(&l->proxy->percent))
        return false;
    atomic_fetch_add(&l->proxy->struck, 1);
    return true;
}

static bool
pass(struct line *l, int to, const char *p, size_t n)
{
    bool slow = atomic_load(&l->proxy->mode) == CHAOS_PROXY_SLOW;
    while (slow && n > SLOW_BYTES) {
        if (!ox_client_send(to, p, SLOW_BYTES))
            return false;
        p += SLOW_BYTES;
        n -= SLOW_BYTES;
        poll(NULL, 0, SLOW_MS);
        slow = atomic_load(&l->proxy->mode) == CHAOS_PROXY_SLOW;
    }
    return ox_client_send(to, p, n);
}

/* Moves what has arrived on one side to the other; false when the line is over. */
static bool
move(struct line *l, bool reply, char *piece)
{
    ssize_t n = recv(reply ? l->server : l->client, piece, PIECE_BYTES, 0);
    if (n <= 0)
        return false;
    while (atomic_load(&l->proxy->mode) == CHAOS_PROXY_HANG && atomic_load(&l->proxy->listener) >= 0)
        poll(NULL, 0, LOOK_MS);
    int mode = atomic_load(&l->proxy->mode);
    if (mode == CHAOS_PROXY_DOWN || (mode == CHAOS_PROXY_LOSE_REPLY && reply && hit(l)))
        return false;
    if (mode == CHAOS_PROXY_CUT_BODY && !reply && hit(l)) {
        (void)ox_client_send(l->server, piece, (size_t)n * roll(l) / 100);
        return false;
    }
    return pass(l, reply ? l->client : l->server, piece, (size_t)n);
}

static int
connect_on(const struct chaos_proxy *p)
{
    return p->port != NULL ? ox_client_connect(atomic_load(p->port)) : ox_client_connect_unix(p->path);
}

static void
serve(struct line *l, char *piece)
{
    struct pollfd fds[2] = {{l->client, POLLIN, 0}, {l->server, POLLIN, 0}};
    while (atomic_load(&l->proxy->listener) >= 0 && atomic_load(&l->proxy->mode) != CHAOS_PROXY_DOWN) {
        if (poll(fds, 2, LOOK_MS) < 0 && errno != EINTR)
            return;
        if ((fds[0].revents != 0 && !move(l, false, piece)) || (fds[1].revents != 0 && !move(l, true, piece)))
            return;
    }
}

static void *
line_loop(void *arg)
{
    struct line *l = arg;
    char *piece = malloc(PIECE_BYTES);
    OX_ASSERT(piece != NULL);
    if (atomic_load(&l->proxy->mode) != CHAOS_PROXY_DOWN)
        l->server = connect_on(l->proxy);
    if (l->server >= 0) {
        serve(l, piece);
        close(l->server);
    }
    close(l->client);
    atomic_fetch_sub(&l->proxy->connections, 1);
    free(piece);
    free(l);
    return NULL;
}

static void
spawn(void *(*fn)(void *), void *arg)
{
    pthread_t t;
    OX_ASSERT(pthread_create(&t, NULL, fn, arg) == 0);
    pthread_detach(t);
}

static void *
accept_loop(void *arg)
{
    struct chaos_proxy *p = arg;
    int fd = atomic_load(&p->listener);
    struct pollfd poll_fd = {fd, POLLIN, 0};
    while (atomic_load(&p->listener) == fd) {
        if (poll(&poll_fd, 1, LOOK_MS) <= 0)
            continue;
        int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC), on = 1;
        if (client < 0)
            continue;
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        struct line *l = calloc(1, sizeof(*l));
        OX_ASSERT(l != NULL);
        *l = (struct line){p, client, -1, atomic_fetch_add(&p->seed, UINT64_C(0x9e3779b97f4a7c15))};
        atomic_fetch_add(&p->connections, 1);
        spawn(line_loop, l);
    }
    close(fd);
    atomic_fetch_sub(&p->connections, 1);
    return NULL;
}

static void
begin(struct chaos_proxy *p, int fd)
{
    atomic_store(&p->listener, fd);
    atomic_fetch_add(&p->connections, 1); /* the accepting thread counts as one */
    spawn(accept_loop, p);
}

uint16_t
chaos_proxy_open_tcp(struct chaos_proxy *p, const _Atomic uint16_t *to_port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&in, n) != 0 || listen(fd, 128) != 0 ||
        getsockname(fd, (struct sockaddr *)&in, &n) != 0) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    p->port = to_port;
    begin(p, fd);
    return ntohs(in.sin_port);
}

bool
chaos_proxy_open_unix(struct chaos_proxy *p, const char *path, const char *to_path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (snprintf(un.sun_path, sizeof(un.sun_path), "%s", path) >= (int)sizeof(un.sun_path))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) != 0 || listen(fd, 128) != 0) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    p->port = NULL;
    snprintf(p->path, sizeof(p->path), "%s", to_path);
    begin(p, fd);
    return true;
}

void
chaos_proxy_close(struct chaos_proxy *p)
{
    if (atomic_load(&p->connections) == 0)
        return;
    atomic_store(&p->listener, -1);
    while (atomic_load(&p->connections) > 0)
        poll(NULL, 0, LOOK_MS);
}
