/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/heart_listen.c - the listening sockets, which outlive every node.
 *
 * The heart binds them, so that a node's restart loses no connection attempt: they wait in the kernel's
 * backlog until the next node accepts.
 *
 * Owns:    the sockets, until the heart ends.
 * Threads: the main thread.
 * Fails:   IO, with the flag to change.
 */
#include <ctype.h>
#include <stdio.h>
#include <unistd.h>

#include "cmd/heart_internal.h"

#define BACKLOG 1024 /* what waits through a restart of a second or so; the kernel caps it at somaxconn */

static const char *const flags[OX__LISTEN_COUNT][2] = {
    [OX__LISTEN_OTLP_GRPC] = {"otlp-grpc", "--fd-otlp-grpc"},
    [OX__LISTEN_OTLP_HTTP] = {"otlp-http", "--fd-otlp-http"},
    [OX__LISTEN_API] = {"api", "--fd-api"},
    [OX__LISTEN_DEBUG] = {"debug", "--fd-debug"},
};

/* "otlp-http" is OBSERVE_X_LISTEN_OTLP_HTTP, the key listen.otlp_http: who starts ObserveX through `make run` has only
 * the environment. */
static void
env_name(const char *flag, char *out, size_t size)
{
    int n = snprintf(out, size, "OBSERVE_X_LISTEN_%s", flag);
    for (int i = 0; i < n && (size_t)i < size; i++)
        out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

static ox_err
open_one(struct ox__listener *l, struct ox_diag *diag)
{
    struct ox_diag inner;
    ox_diag_clear(&inner);
    ox_err err = ox_net_listen(l->wanted, BACKLOG, &l->fd, l->actual, &inner);
    if (err == OX_OK)
        return OX_OK;
    char env[64];
    env_name(l->flag, env, sizeof(env));
    if (strstr(inner.text, "in use") == NULL)
        return ox_diag_set(diag, err, l->flag, -1, "%s (--%s HOST:PORT or %s)", inner.text, l->flag, env);
    return ox_diag_set(diag, err, l->flag, -1,
                       "%s (--%s HOST:PORT or %s); `ss -ltnp 'sport = :%u'` shows who has it", inner.text,
                       l->flag, env, (unsigned)l->wanted->port);
}

ox_err
ox__listeners_open(struct ox__heart *heart, struct ox_diag *diag)
{
    const struct ox_config *c = heart->config;
    const struct ox_net_addr *const wanted[] = {&c->listen_otlp_grpc, &c->listen_otlp_http, &c->listen_api,
                                                &c->listen_debug};
    for (size_t i = 0; i < OX__LISTEN_COUNT; i++)
        heart->listeners[i] = (struct ox__listener){flags[i][0], flags[i][1], wanted[i], -1, ""};
    for (size_t i = 0; i < OX__LISTEN_COUNT; i++) {
        ox_err err = open_one(&heart->listeners[i], diag);
        if (err != OX_OK)
            return err;
    }
    return OX_OK;
}

void
ox__listeners_close(struct ox__heart *heart)
{
    for (size_t i = 0; i < OX__LISTEN_COUNT; i++) {
        if (heart->listeners[i].flag != NULL && heart->listeners[i].fd >= 0)
            close(heart->listeners[i].fd);
        heart->listeners[i].fd = -1;
    }
}
