/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/addr.c - literal addresses and listening sockets.
 *
 * Owns:    nothing; descriptors are handed to the caller.
 * Threads: any.
 * Fails:   INVALID for texts, IO and EXISTS for sockets.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ox/net.h"

#define BACKLOG_DEFAULT 1024

static bool
parse_port(struct ox_str text, uint16_t *out)
{
    unsigned port = 0;
    if (text.n == 0 || text.n > 5)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        port = port * 10 + (unsigned)(text.p[i] - '0');
    }
    *out = (uint16_t)port;
    return port <= 65535;
}

static bool
parse_host(struct ox_str host, bool bracketed, struct ox_net_addr *out)
{
    char text[INET6_ADDRSTRLEN + 1];
    if (!bracketed && (host.n == 0 || ox_str_eq(host, OX_STR("*"))))
        return true; /* 0.0.0.0 */
    if (!bracketed && ox_str_eq(host, OX_STR("localhost")))
        host = OX_STR("127.0.0.1");
    if (host.n >= sizeof(text))
        return false;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    out->is_v6 = bracketed;
    return inet_pton(bracketed ? AF_INET6 : AF_INET, text, out->ip) == 1;
}

ox_err
ox_net_addr_parse(struct ox_str text, struct ox_net_addr *out, struct ox_diag *diag)
{
    memset(out, 0, sizeof(*out));
    const char *colon = text.n > 0 ? memrchr(text.p, ':', text.n) : NULL;
    if (colon != NULL) {
        struct ox_str host = {text.p, (size_t)(colon - text.p)};
        struct ox_str port = {colon + 1, text.n - host.n - 1};
        bool bracketed = host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
        if (bracketed)
            host = (struct ox_str){host.p + 1, host.n - 2};
        if (parse_port(port, &out->port) && parse_host(host, bracketed, out))
            return OX_OK;
    }
    return ox_diag_set(
        diag, OX_E_INVALID, "address", -1,
        "\"%.*s\" is not HOST:PORT with an IPv4 address, [IPv6 address], localhost or * as host",
        (int)(text.n < 80 ? text.n : 80), text.n > 0 ? text.p : "");
}

void
ox_net_addr_format(const struct ox_net_addr *addr, char out[OX_NET_ADDR_MAX])
{
    char host[INET6_ADDRSTRLEN];
    inet_ntop(addr->is_v6 ? AF_INET6 : AF_INET, addr->ip, host, sizeof(host));
    snprintf(out, OX_NET_ADDR_MAX, addr->is_v6 ? "[%s]:%u" : "%s:%u", host, addr->port);
}

bool
ox_net_addr_is_loopback(const struct ox_net_addr *addr)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t one[16] = {[15] = 1};
    if (!addr->is_v6)
        return addr->ip[0] == 127;
    if (memcmp(addr->ip, mapped, 12) == 0)
        return addr->ip[12] == 127;
    return memcmp(addr->ip, one, 16) == 0;
}

bool
ox_net_is_loopback_text(struct ox_str host)
{
    struct ox_net_addr addr;
    memset(&addr, 0, sizeof(addr));
    bool bracketed = host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    if (bracketed)
        host = (struct ox_str){host.p + 1, host.n - 2};
    bool v6 = bracketed || (host.n > 0 && memchr(host.p, ':', host.n) != NULL);
    return parse_host(host, v6, &addr) && ox_net_addr_is_loopback(&addr);
}

static socklen_t
to_sockaddr(const struct ox_net_addr *addr, struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof(*ss));
    if (addr->is_v6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(addr->port);
        memcpy(&in6->sin6_addr, addr->ip, 16);
        return sizeof(*in6);
    }
    struct sockaddr_in *in = (struct sockaddr_in *)ss;
    in->sin_family = AF_INET;
    in->sin_port = htons(addr->port);
    memcpy(&in->sin_addr, addr->ip, 4);
    return sizeof(*in);
}

ox_err
ox_net_local_text(int fd, char actual[OX_NET_ADDR_MAX])
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    struct ox_net_addr real = {0};
    if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
        return OX_E_IO;
    if (ss.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&ss;
        real.is_v6 = true;
        real.port = ntohs(in6->sin6_port);
        memcpy(real.ip, &in6->sin6_addr, sizeof(real.ip));
    } else if (ss.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&ss;
        real.port = ntohs(in->sin_port);
        memcpy(real.ip, &in->sin_addr, 4);
    } else {
        return OX_E_IO;
    }
    ox_net_addr_format(&real, actual);
    return OX_OK;
}

ox_err
ox_net_listen(const struct ox_net_addr *addr, int backlog, int *fd_out, char actual[OX_NET_ADDR_MAX],
              struct ox_diag *diag)
{
    struct sockaddr_storage ss;
    socklen_t len = to_sockaddr(addr, &ss);
    int on = 1;
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        bind(fd, (struct sockaddr *)&ss, len) == 0 && listen(fd, backlog) == 0 &&
        ox_net_local_text(fd, actual) == OX_OK) {
        *fd_out = fd;
        return OX_OK;
    }
    int errnum = errno;
    char text[OX_NET_ADDR_MAX];
    ox_net_addr_format(addr, text);
    if (fd >= 0)
        close(fd);
    return ox_diag_set(diag, OX_E_IO, "address", -1, "cannot listen on %s: %s%s", text, strerror(errnum),
                       errnum == EADDRINUSE ? "; another program has this port, choose another or port 0"
                                            : "");
}

ox_err
ox_net_listen_text(struct ox_str text, int *fd_out, char actual[OX_NET_ADDR_MAX], struct ox_diag *diag)
{
    struct ox_net_addr addr;
    ox_err err = ox_net_addr_parse(text, &addr, diag);
    return err != OX_OK ? err : ox_net_listen(&addr, BACKLOG_DEFAULT, fd_out, actual, diag);
}

/* Whether a server answers at this path; a socket file without one is left over from a crash. */
static bool
somebody_answers(const struct sockaddr_un *un)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool yes = connect(fd, (const struct sockaddr *)un, sizeof(*un)) == 0;
    close(fd);
    return yes;
}

ox_err
ox_net_listen_unix(const char *path, unsigned mode, int *fd_out, struct ox_diag *diag)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(un.sun_path))
        return ox_diag_set(diag, OX_E_INVALID, "path", -1,
                           "a Unix socket's path has at most %zu bytes, this has %zu: %s",
                           sizeof(un.sun_path) - 1, strlen(path), path);
    memcpy(un.sun_path, path, strlen(path) + 1);
    if (somebody_answers(&un))
        return ox_diag_set(diag, OX_E_EXISTS, "path", -1, "another process already serves %s", path);
    unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Mode on the descriptor before bind, so that the file never exists with wider rights. */
    if (fd >= 0 && fchmod(fd, mode) == 0 && bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0 &&
        chmod(path, mode) == 0 && listen(fd, BACKLOG_DEFAULT) == 0) {
        *fd_out = fd;
        return OX_OK;
    }
    int errnum = errno;
    if (fd >= 0)
        close(fd);
    return ox_diag_set(diag, ox_err_from_errno(errnum), "path", -1, "cannot listen on %s: %s", path,
                       strerror(errnum));
}
