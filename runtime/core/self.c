/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/self.c - what a handler asks about itself, and its list of things to release.
 *
 * Owns:    the defers of an incarnation.
 * Threads: own.
 * Fails:   NOMEM.
 */
#include <stdlib.h>

#include "runtime/core/internal.h"

struct ox_actor *
ox_self(void)
{
    return ox__turn_now != NULL ? ox__turn_now->actor : NULL;
}

void *
ox_actor_state(struct ox_actor *self)
{
    return self->state;
}

ox_pid
ox_actor_pid(const struct ox_actor *self)
{
    return self->pid;
}

const char *
ox_actor_name(const struct ox_actor *self)
{
    return self->name;
}

struct uv_loop_s *
ox_actor_loop(struct ox_actor *self)
{
    struct ox__loop *loop = &ox__rt->loops[self->home];
    return loop->uv_ready ? &loop->uv : NULL;
}

uint32_t
ox_actor_loop_index(const struct ox_actor *self)
{
    return self->home;
}

struct ox_arena *
ox_actor_arena(struct ox_actor *self)
{
    return self->arena;
}

struct ox_arena *
ox_actor_scratch(struct ox_actor *self)
{
    return self->scratch;
}

uint32_t
ox_actor_restarts(const struct ox_actor *self)
{
    return self->restarts;
}

ox_err
ox_actor_defer(struct ox_actor *self, void (*fn)(void *arg), void *arg)
{
    struct ox__defer *defer = malloc(sizeof(*defer));
    if (defer == NULL)
        return OX_E_NOMEM;
    *defer = (struct ox__defer){self->defers, fn, arg};
    self->defers = defer;
    return OX_OK;
}

bool
ox_actor_undefer(struct ox_actor *self, void (*fn)(void *arg), void *arg)
{
    for (struct ox__defer **at = &self->defers; *at != NULL; at = &(*at)->next) {
        struct ox__defer *defer = *at;
        if (defer->fn == fn && defer->arg == arg) {
            *at = defer->next;
            free(defer);
            return true;
        }
    }
    return false;
}
