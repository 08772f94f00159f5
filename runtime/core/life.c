/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/life.c - spawning actors, ending their incarnations, and burying them.
 *
 * Owns:    the memory of actors.
 * Threads: spawn, stop, kill: any. The end of an incarnation: the actor's loop. Restart, bury, quarantine:
 *          its supervisor.
 * Bounds:  actors_max.
 * Fails:   OVERLOAD, EXISTS, NOMEM, GONE, STATE.
 *
 * An incarnation is state, arenas, defers and waits: what on_start builds. A supervised actor may have many
 * of them behind one pid, one name and one mailbox; another has one.
 */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/core/internal.h"

#define MAILBOX_MSGS_DEFAULT  4096u
#define MAILBOX_BYTES_DEFAULT (64ull << 20)
#define CONTROL_MSGS_DEFAULT  1024u
#define PENDING_DEFAULT       4096u
#define ARENA_DEFAULT         (1u << 20)
#define TURN_MSGS_DEFAULT     64u

const char *
ox_exit_name(enum ox_exit reason)
{
    static const char *const names[] = {"normal", "shutdown", "panic",  "start_failed",
                                        "killed", "linked",   "noproc", "intensity"};
    return (size_t)reason < OX_COUNT(names) ? names[reason] : "unknown";
}

static void
fill_limits(struct ox_actor_class *l)
{
    l->mailbox_msgs_max = l->mailbox_msgs_max != 0 ? l->mailbox_msgs_max : MAILBOX_MSGS_DEFAULT;
    l->mailbox_bytes_max = l->mailbox_bytes_max != 0 ? l->mailbox_bytes_max : MAILBOX_BYTES_DEFAULT;
    l->control_msgs_max = l->control_msgs_max != 0 ? l->control_msgs_max : CONTROL_MSGS_DEFAULT;
    l->pending_max = l->pending_max != 0 ? l->pending_max : PENDING_DEFAULT;
    l->arena_bytes_max = l->arena_bytes_max != 0 ? l->arena_bytes_max : ARENA_DEFAULT;
    l->turn_msgs_max = l->turn_msgs_max != 0 ? l->turn_msgs_max : TURN_MSGS_DEFAULT;
}

/* ---- incarnations ---- */

static void
incarnation_free(struct ox_actor *actor)
{
    ox_arena_free(actor->arena);
    ox_arena_free(actor->scratch);
    free(actor->state);
    ox_msg_free(actor->exit_note);
    ox_msg_free(actor->start_note);
    actor->arena = actor->scratch = NULL;
    actor->state = NULL;
    actor->exit_note = actor->start_note = NULL;
}

static ox_err
incarnation_new(struct ox_actor *actor)
{
    actor->started = actor->stopping = actor->stop_held = actor->exit_asked = false;
    actor->progressed = actor->on_trial = false;
    actor->exit_reason = OX_EXIT_NORMAL;
    actor->start_err = OX_OK;
    actor->born_ns = ox_now_ns();
    actor->state = calloc(1, actor->class->state_size + 1);
    actor->arena = ox_arena_new(actor->limits.arena_bytes_max, actor->account);
    actor->scratch = ox_arena_new(actor->limits.arena_bytes_max, actor->account);
    bool ok = actor->state != NULL && actor->arena != NULL && actor->scratch != NULL;
    if (ok && !ox_pid_is_none(actor->sup)) {
        actor->exit_note = ox_msg_new(OX__MSG_CHILD_EXIT, NULL, 0, NULL);
        actor->start_note = ox_msg_new(OX__MSG_CHILD_STARTED, NULL, 0, NULL);
        ok = actor->exit_note != NULL && actor->start_note != NULL;
    }
    if (!ok)
        incarnation_free(actor);
    return ok ? OX_OK : OX_E_NOMEM;
}

static void
run_defers(struct ox_actor *actor)
{
    while (actor->defers != NULL) {
        struct ox__defer *defer = actor->defers;
        actor->defers = defer->next;
        defer->fn(defer->arg);
        free(defer);
    }
}

void
ox__incarnation_end(struct ox_actor *actor, enum ox_exit reason)
{
    run_defers(actor);
    ox__tell_watchers(actor, reason);
    ox__lock(&actor->slot->lock);
    struct ox_msg *owed = ox__mailbox_take(actor, true);
    struct ox_msg *unused = ox__pend_clear(actor);
    actor->stop_asked = actor->kill_asked = false;
    ox__unlock(&actor->slot->lock);
    ox__mailbox_drop(actor->pid, owed, false);
    ox__mailbox_drop(actor->pid, unused, false);
    struct ox_msg *exit_note = actor->exit_note;
    actor->exit_note = NULL;
    incarnation_free(actor);
    actor->exit_note = exit_note;
    OX_METRIC_ADD_L(OX_M_runtime_exits, 1, ox_str_of(ox_exit_name(reason)));
}

/* ---- ends ---- */

static void
waiter_signal(struct ox__start_waiter *waiter, ox_err err, const struct ox_diag *diag)
{
    if (waiter == NULL)
        return;
    ox__lock(&waiter->lock);
    waiter->done = true;
    waiter->err = err;
    if (diag != NULL)
        waiter->diag = *diag;
    pthread_cond_signal(&waiter->cond);
    ox__unlock(&waiter->lock);
}

/* The pid dies, then the memory. The slot is locked; nobody runs the actor. */
static void
bury_locked(struct ox_actor *actor)
{
    ox_pid pid = actor->pid;
    struct ox_msg *left = ox__mailbox_take(actor, false);
    struct ox_msg *unused = ox__pend_clear(actor);
    struct ox__watcher *watchers = actor->watchers;
    struct ox__start_waiter *waiter = actor->waiter;
    ox__slot_give(actor);
    if (actor->name[0] != '\0')
        ox__names_forget(actor->name, pid);
    ox__mailbox_drop(pid, left, true);
    ox__mailbox_drop(pid, unused, false);
    while (watchers != NULL) { /* those who came after the incarnation had ended */
        struct ox__watcher *next = watchers->next;
        ox__pend_fire(watchers->pid, watchers->ref, OX_OK, OX_EXIT_NOPROC, NULL);
        free(watchers);
        watchers = next;
    }
    waiter_signal(waiter, actor->start_err != OX_OK ? actor->start_err : OX_E_GONE, &actor->diag);
    incarnation_free(actor);
    ox__mailbox_fini(actor);
    free(actor->pends.at);
    free(actor);
}

static struct ox__start_waiter *
take_waiter(struct ox_actor *actor)
{
    ox__lock(&actor->slot->lock);
    struct ox__start_waiter *waiter = actor->waiter;
    actor->waiter = NULL;
    ox__unlock(&actor->slot->lock);
    return waiter;
}

void
ox__started(struct ox_actor *actor)
{
    struct ox_msg *note = actor->start_note;
    actor->start_note = NULL;
    if (note != NULL) {
        note->from = actor->pid;
        if (ox__send_note(actor->sup, &note) != OX_OK)
            ox_msg_free(note);
    }
    waiter_signal(take_waiter(actor), OX_OK, NULL);
}

void
ox__actor_ended(struct ox_actor *actor, enum ox_exit reason)
{
    struct ox__start_waiter *waiter = take_waiter(actor);
    struct ox_diag diag = actor->diag;
    ox_err err = actor->start_err != OX_OK ? actor->start_err : OX_E_GONE;
    ox_pid pid = actor->pid;
    ox_pid sup = actor->sup;
    uint64_t said = (actor->progressed ? OX__EXIT_PROGRESSED : 0) | (actor->on_trial ? OX__EXIT_ON_TRIAL : 0);
    struct ox_msg *note = actor->exit_note;
    actor->exit_note = NULL;
    ox__lock(&actor->slot->lock);
    if (note == NULL) {
        bury_locked(actor);
    } else {
        actor->run = OX__RUN_DOWN;
        actor->last_reason = reason;
        ox__unlock(&actor->slot->lock);
        note->from = pid;
        note->num = reason | said;
        if (ox__send_note(sup, &note) != OX_OK) { /* its supervisor is gone: nobody will decide */
            ox_msg_free(note);
            ox__actor_bury(pid);
        }
    }
    waiter_signal(waiter, err, &diag);
}

/* ---- what supervisors decide ---- */

ox_err
ox__actor_start_held(ox_pid pid)
{
    struct ox_actor *actor = ox__actor_lock(pid);
    if (actor == NULL)
        return OX_E_GONE;
    ox_err err = actor->run == OX__RUN_HELD ? OX_OK : OX_E_STATE;
    if (err == OX_OK) {
        actor->run = OX__RUN_READY;
        ox__ready_push(actor);
    }
    ox__actor_unlock(actor);
    return err;
}

ox_err
ox__actor_restart(ox_pid pid)
{
    struct ox_actor *actor = ox__actor_lock(pid);
    if (actor == NULL)
        return OX_E_GONE;
    ox_err err = actor->run == OX__RUN_DOWN || actor->run == OX__RUN_QUARANTINED ? OX_OK : OX_E_STATE;
    bool revoked = actor->run == OX__RUN_QUARANTINED;
    if (err == OX_OK)
        err = incarnation_new(actor);
    if (err == OX_OK) {
        actor->restarts++;
        actor->ended = false;
        actor->run = OX__RUN_READY;
        ox__ready_push(actor);
        OX_METRIC_ADD_L(OX_M_actor_restarts, 1, ox_str_of(actor->class->name),
                        revoked ? OX_STR("revoked") : ox_str_of(ox_exit_name(actor->last_reason)));
    }
    ox__actor_unlock(actor);
    return err;
}

void
ox__actor_bury(ox_pid pid)
{
    struct ox_actor *actor = ox__actor_lock(pid);
    if (actor == NULL)
        return;
    if (actor->run == OX__RUN_DOWN || actor->run == OX__RUN_QUARANTINED || actor->run == OX__RUN_HELD)
        bury_locked(actor);
    else
        ox__actor_unlock(actor);
}

void
ox__actor_refuse(ox_pid pid, ox_err err, const char *text)
{
    struct ox_actor *actor = ox__actor_lock(pid);
    if (actor == NULL)
        return;
    if (actor->run == OX__RUN_HELD)
        actor->start_err = ox_diag_set(&actor->diag, err, NULL, -1, "%s", text);
    ox__actor_unlock(actor);
}

void
ox__actor_quarantine(ox_pid pid)
{
    struct ox_actor *actor = ox__actor_lock(pid);
    if (actor == NULL)
        return;
    OX_ASSERT(actor->run == OX__RUN_DOWN);
    actor->run = OX__RUN_QUARANTINED;
    struct ox_msg *left = ox__mailbox_take(actor, false);
    OX_METRIC_ADD_L(OX_M_actor_quarantined, 1, ox_str_of(actor->class->name));
    ox__actor_unlock(actor);
    ox__mailbox_drop(pid, left, true);
}

void
ox__actor_quarantine_held(ox_pid pid)
{
    struct ox_actor *actor = ox__actor_lock(pid);
    if (actor == NULL)
        return;
    OX_ASSERT(actor->run == OX__RUN_HELD);
    actor->run = OX__RUN_QUARANTINED;
    struct ox_msg *left = ox__mailbox_take(actor, false);
    struct ox__start_waiter *waiter = actor->waiter;
    actor->waiter = NULL;
    incarnation_free(actor); /* a revocation makes a new one */
    ox__actor_unlock(actor);
    ox__mailbox_drop(pid, left, true);
    waiter_signal(waiter, OX_OK, NULL);
}

/* ---- spawning ---- */

static ox_err
actor_new(const struct ox_spawn *spec, ox_pid sup, struct ox_actor **out)
{
    struct ox_actor *actor = calloc(1, sizeof(*actor));
    if (actor == NULL)
        return OX_E_NOMEM;
    actor->class = spec->class;
    actor->limits = *spec->class;
    fill_limits(&actor->limits);
    actor->arg = spec->arg;
    actor->account = spec->account;
    actor->cause = spec->cause;
    actor->sup = sup;
    actor->run = OX__RUN_HELD;
    if (spec->name != NULL)
        snprintf(actor->name, sizeof(actor->name), "%s", spec->name);
    /* relaxed: any spread will do */
    uint32_t n = atomic_fetch_add_explicit(&ox__rt->next_loop, 1, memory_order_relaxed);
    actor->home = spec->loop != OX_LOOP_ANY ? (uint32_t)(spec->loop - 1) : n % ox__rt->loops_n;
    ox_err err = ox__mailbox_init(actor);
    if (err == OX_OK)
        err = incarnation_new(actor);
    if (err == OX_OK)
        err = ox__slot_take(actor);
    if (err != OX_OK) {
        incarnation_free(actor);
        ox__mailbox_fini(actor);
        free(actor);
        return err;
    }
    *out = actor;
    return OX_OK;
}

ox_err
ox__spawn_in(const struct ox_spawn *spec, ox_pid sup, struct ox__start_waiter *waiter, ox_pid *pid,
             struct ox_diag *diag)
{
    struct ox_actor *actor;
    OX_ASSERT(ox__rt != NULL && spec->class != NULL && spec->class->on_message != NULL);
    if (spec->loop < 0 || (uint32_t)spec->loop > ox__rt->loops_n)
        return ox_diag_set(diag, OX_E_INVALID, "loop", -1, "loop %d of %u does not exist", spec->loop - 1,
                           ox__rt->loops_n);
    if (spec->name != NULL && strlen(spec->name) > OX_NAME_MAX)
        return ox_diag_set(diag, OX_E_INVALID, "name", -1, "a name has at most %d bytes", OX_NAME_MAX);
    ox_err err = actor_new(spec, sup, &actor);
    if (err != OX_OK)
        return ox_diag_set(diag, err, spec->class->name, -1, "cannot spawn: %s", ox_err_text(err));
    ox_pid new_pid = actor->pid;
    if (spec->name != NULL) {
        err = ox_register(spec->name, new_pid);
        if (err != OX_OK) {
            actor->name[0] = '\0';
            ox__actor_bury(new_pid);
            return ox_diag_set(diag, err, spec->name, -1, "the name '%s' cannot be registered: %s",
                               spec->name, ox_err_text(err));
        }
    }
    actor->waiter = waiter; /* HELD: nobody else looks yet */
    if (pid != NULL)
        *pid = new_pid;
    return ox_pid_is_none(sup) ? ox__actor_start_held(new_pid) : OX_OK;
}

ox_err
ox_spawn(const struct ox_spawn *spec, ox_pid *pid, struct ox_diag *diag)
{
    return ox__spawn_in(spec, OX_PID_NONE, NULL, pid, diag);
}

void
ox__waiter_init(struct ox__start_waiter *waiter)
{
    memset(waiter, 0, sizeof(*waiter));
    pthread_mutex_init(&waiter->lock, NULL);
    pthread_cond_init(&waiter->cond, NULL);
}

ox_err
ox__waiter_wait(struct ox__start_waiter *waiter, struct ox_diag *diag)
{
    if (ox__rt->opt.single_thread) {
        while (!waiter->done && ox_runtime_step()) {
        }
        OX_ASSERT(waiter->done);
    }
    ox__lock(&waiter->lock);
    while (!waiter->done)
        pthread_cond_wait(&waiter->cond, &waiter->lock);
    ox_err err = waiter->err;
    if (err != OX_OK && diag != NULL)
        *diag = waiter->diag;
    ox__unlock(&waiter->lock);
    pthread_mutex_destroy(&waiter->lock);
    pthread_cond_destroy(&waiter->cond);
    return err;
}

ox_err
ox_spawn_wait(const struct ox_spawn *spec, ox_pid *pid, struct ox_diag *diag)
{
    struct ox__start_waiter waiter;
    OX_ASSERT(ox__loop_now == NULL);
    ox__waiter_init(&waiter);
    ox_err err = ox__spawn_in(spec, OX_PID_NONE, &waiter, pid, diag);
    return err == OX_OK ? ox__waiter_wait(&waiter, diag) : err;
}

/* ---- stopping ---- */

ox_err
ox__stop_with(ox_pid pid, enum ox_exit reason, bool kill)
{
    struct ox_actor *actor = ox__actor_lock(pid);
    if (actor == NULL)
        return OX_E_GONE;
    if (!actor->stop_asked)
        actor->stop_reason = reason;
    actor->stop_asked = actor->stop_asked || !kill;
    actor->kill_asked = actor->kill_asked || kill;
    ox__wake_locked(actor);
    ox__actor_unlock(actor);
    return OX_OK;
}

ox_err
ox_stop(ox_pid pid)
{
    return ox__stop_with(pid, OX_EXIT_SHUTDOWN, false);
}

ox_err
ox_kill(ox_pid pid)
{
    return ox__stop_with(pid, OX_EXIT_KILLED, true);
}

bool
ox_alive(ox_pid pid)
{
    struct ox_actor *actor = ox__actor_lock(pid);
    if (actor == NULL)
        return false;
    ox__actor_unlock(actor);
    return true;
}

void
ox_exit(struct ox_actor *self, enum ox_exit reason)
{
    self->exit_asked = true;
    self->exit_reason = reason;
    if (ox__turn_now == NULL || ox__turn_now->actor != self)
        (void)ox__stop_with(self->pid, reason, false); /* from a libuv callback: it needs a turn */
}

void
ox_actor_progress(struct ox_actor *self)
{
    self->progressed = true;
}

void
ox_actor_trial(struct ox_actor *self, bool on)
{
    self->on_trial = on;
}

void
ox_stop_hold(struct ox_actor *self)
{
    OX_ASSERT(self->stopping);
    self->stop_held = true;
}

void
ox_stop_done(struct ox_actor *self)
{
    self->stop_held = false;
    if (ox__turn_now != NULL && ox__turn_now->actor == self)
        return;
    struct ox_actor *actor = ox__actor_lock(self->pid);
    if (actor != NULL) {
        ox__wake_locked(actor);
        ox__actor_unlock(actor);
    }
}
