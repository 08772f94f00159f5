/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/link.c - monitors and links.
 *
 * Owns:    the list of watchers of each actor.
 * Threads: own, for those who watch; the end of the watched on its loop.
 * Bounds:  one pending place per monitor and per end of a link.
 * Fails:   OVERLOAD, NOMEM.
 *
 * Two actors are never locked at once. A link is one place at each end, the other's first: so whichever end
 * dies in between finds a place to fire, or leaves none behind.
 */
#include <stdlib.h>

#include "runtime/core/internal.h"

/* ---- monitors ---- */

static bool
watch(ox_pid watched, struct ox__watcher *watcher)
{
    struct ox_actor *actor = ox__actor_lock(watched);
    if (actor == NULL)
        return false;
    watcher->next = actor->watchers;
    actor->watchers = watcher;
    ox__actor_unlock(actor);
    return true;
}

ox_err
ox_monitor(struct ox_actor *self, ox_pid pid, uint64_t *ref)
{
    struct ox_msg *down = ox_msg_new(OX_MSG_DOWN, NULL, 0, NULL);
    struct ox__watcher *watcher = malloc(sizeof(*watcher));
    ox_err err = down != NULL && watcher != NULL ? OX_OK : OX_E_NOMEM;
    if (err == OX_OK) {
        down->from = pid;
        err = ox__pend_new(self, OX__PEND_MONITOR, pid, down, ref);
    }
    if (err != OX_OK) {
        ox_msg_free(down);
        free(watcher);
        return err;
    }
    *watcher = (struct ox__watcher){NULL, self->pid, *ref};
    if (!watch(pid, watcher)) {
        free(watcher);
        ox__pend_fire(self->pid, *ref, OX_OK, OX_EXIT_NOPROC, NULL);
    }
    return OX_OK;
}

void
ox__unwatch(ox_pid watched, ox_pid watcher, uint64_t ref)
{
    struct ox__watcher *found = NULL;
    struct ox_actor *actor = ox__actor_lock(watched);
    if (actor == NULL)
        return;
    for (struct ox__watcher **at = &actor->watchers; *at != NULL; at = &(*at)->next) {
        if ((*at)->ref == ref && ox_pid_eq((*at)->pid, watcher)) {
            found = *at;
            *at = found->next;
            break;
        }
    }
    ox__actor_unlock(actor);
    free(found);
}

void
ox_demonitor(struct ox_actor *self, uint64_t ref)
{
    ox__pend_cancel(self, ref, OX__PEND_MONITOR);
}

/* ---- links ---- */

/* With the slot locked. */
static struct ox__pend *
link_to(struct ox_actor *actor, ox_pid peer)
{
    for (uint32_t i = 0; i < actor->pends.used; i++) {
        struct ox__pend *pend = &actor->pends.at[i];
        if (pend->type == OX__PEND_LINK && pend->state == OX__PEND_WAITING && ox_pid_eq(pend->peer, peer))
            return pend;
    }
    return NULL;
}

/* One end hears of the other's end. */
static void
hear(ox_pid pid, ox_pid dead, enum ox_exit reason)
{
    struct ox_msg *unused = NULL;
    struct ox_actor *actor = ox__actor_lock(pid);
    if (actor == NULL)
        return;
    struct ox__pend *pend = link_to(actor, dead);
    if (pend != NULL && (actor->limits.flags & OX_ACTOR_TRAP_EXIT)) {
        ox__pend_fire_locked(actor, pend, OX_OK, reason, NULL);
    } else if (pend != NULL) {
        unused = ox__pend_free(actor, pend);
        if (reason != OX_EXIT_NORMAL && !actor->stop_asked) {
            actor->stop_asked = true;
            actor->stop_reason = OX_EXIT_LINKED;
            ox__wake_locked(actor);
        }
    }
    ox__actor_unlock(actor);
    ox_msg_free(unused);
}

/* A place at one end for its link to `peer`, unless there is one already. */
static ox_err
link_half(ox_pid at, ox_pid peer)
{
    uint64_t ref;
    struct ox_msg *msg = ox_msg_new(OX_MSG_EXIT, NULL, 0, NULL);
    if (msg == NULL)
        return OX_E_NOMEM;
    msg->from = peer;
    struct ox_actor *actor = ox__actor_lock(at);
    if (actor == NULL) {
        ox_msg_free(msg);
        return OX_E_GONE;
    }
    bool exists = link_to(actor, peer) != NULL;
    ox_err err = exists         ? OX_OK
                 : actor->ended ? OX_E_GONE
                                : ox__pend_new_locked(actor, OX__PEND_LINK, peer, msg, &ref);
    ox__actor_unlock(actor);
    if (exists || err != OX_OK)
        ox_msg_free(msg);
    return err;
}

static void
unlink_half(ox_pid at, ox_pid peer)
{
    struct ox_msg *unused = NULL;
    struct ox_actor *actor = ox__actor_lock(at);
    if (actor == NULL)
        return;
    struct ox__pend *pend = link_to(actor, peer);
    if (pend != NULL)
        unused = ox__pend_free(actor, pend);
    ox__actor_unlock(actor);
    ox_msg_free(unused);
}

ox_err
ox_link(struct ox_actor *self, ox_pid pid)
{
    if (ox_pid_eq(self->pid, pid))
        return OX_OK;
    ox_err err = link_half(self->pid, pid);
    if (err != OX_OK)
        return err;
    err = link_half(pid, self->pid);
    if (err == OX_E_GONE) {
        hear(self->pid, pid, OX_EXIT_NOPROC);
        return OX_OK;
    }
    if (err != OX_OK)
        unlink_half(self->pid, pid);
    return err;
}

void
ox_unlink(struct ox_actor *self, ox_pid pid)
{
    unlink_half(self->pid, pid);
    unlink_half(pid, self->pid);
}

/* ---- the end of one ---- */

/* The next peer of a kind of wait, taken out of the list; false when there are no more. */
static bool
take_peer(struct ox_actor *actor, enum ox__pend_type type, ox_pid *peer, uint64_t *ref)
{
    struct ox_msg *unused = NULL;
    bool found = false;
    ox__lock(&actor->slot->lock);
    for (uint32_t i = 0; i < actor->pends.used && !found; i++) {
        struct ox__pend *pend = &actor->pends.at[i];
        if (pend->type != type || pend->state != OX__PEND_WAITING)
            continue;
        *peer = pend->peer;
        *ref = ox__pend_ref(&actor->pends, pend);
        unused = ox__pend_free(actor, pend);
        found = true;
    }
    ox__unlock(&actor->slot->lock);
    ox_msg_free(unused);
    return found;
}

void
ox__tell_watchers(struct ox_actor *actor, enum ox_exit reason)
{
    ox_pid peer;
    uint64_t ref;
    ox__lock(&actor->slot->lock);
    struct ox__watcher *watchers = actor->watchers;
    actor->watchers = NULL;
    actor->ended = true;
    ox__unlock(&actor->slot->lock);
    while (watchers != NULL) {
        struct ox__watcher *next = watchers->next;
        ox__pend_fire(watchers->pid, watchers->ref, OX_OK, reason, NULL);
        free(watchers);
        watchers = next;
    }
    while (take_peer(actor, OX__PEND_LINK, &peer, &ref))
        hear(peer, actor->pid, reason);
    while (take_peer(actor, OX__PEND_MONITOR, &peer, &ref))
        ox__unwatch(peer, actor->pid, ref);
}
