/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/heart_notify.c - tells a service manager how far the heart is: systemd's protocol, which is one datagram of
 * "NAME=value" lines to the socket named by NOTIFY_SOCKET.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Fails:   never: without the variable nobody listens; a manager that does not read is no reason to stop.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmd/heart_internal.h"
#include "ox/log.h"

void
ox__heart_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = path != NULL ? strlen(path) : 0;
    if (n < 2 || n > sizeof(to.sun_path) - 1 || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(to.sun_path, path, n + 1);
    if (path[0] == '@')
        to.sun_path[0] = '\0'; /* the abstract name space */
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (path[0] == '/'));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 ||
        sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to, len) < 0)
        OX_LOG_WARN("heart", "the service manager cannot be told", OX_F_STR("state", state),
                    OX_F_STR("why", strerror(errno)));
    if (fd >= 0)
        close(fd);
}
