/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/dispatch.c - one turn of one actor, and what remains of a turn that panicked.
 *
 * Owns:    the turn, on its stack.
 * Threads: the loop's own.
 * Bounds:  turn_msgs_max messages, SLICE_NS or SLICE_REDUCTIONS, then others have their turn.
 * Fails:   a panic ends the incarnation (life.c), never the loop.
 *
 * A panic jumps from the actor's code straight back here. Nothing in between may own anything: handlers hold
 * no locks, and what they acquired hangs on the actor's arena and defers. Runtime functions called by
 * handlers forbid panics while they hold a lock (ox__nopanic).
 */
#include <stdio.h>

#include "runtime/core/sup.h"

#define SLICE_NS         (2 * NS_PER_MS)
#define SLICE_REDUCTIONS 4000u
#define REDUCTION_NS     (SLICE_NS / SLICE_REDUCTIONS) /* what one counts as where time stands still */

__thread struct ox__turn *ox__turn_now;

enum outcome { GO_ON, ENDED, CRASHED };

/* The actor's code is about to run. What fails in a supervisor ends the process: without it its children would run on
 * unsupervised, or end with it. */
static void
arm(struct ox__turn *turn)
{
    turn->armed = turn->actor->class != &ox__sup_class;
}

/* The actor's code has returned. With a lock in hand it would hold it for ever: whose lock, its line can no longer say. */
static void
disarm(struct ox__turn *turn)
{
    turn->armed = false;
    OX_ASSERT(ox__nopanic == 0);
}

/* The fields that must survive the jump live in memory, not in registers: hence the pointers. */
static bool
run_start(struct ox__turn *turn, struct ox_actor *actor)
{
    actor->born_ns = turn->start_ns;
    ox_diag_clear(&actor->diag);
    ox_err err = OX_OK;
    if (actor->class->on_start != NULL) {
        arm(turn);
        err = actor->class->on_start(actor, actor->arg, &actor->diag);
        disarm(turn);
    }
    if (err != OX_OK) {
        if (actor->diag.text[0] == '\0')
            ox_diag_set(&actor->diag, err, NULL, -1, "%s", ox_err_text(err));
        snprintf(turn->text, sizeof(turn->text), "start failed: %s", actor->diag.text);
        actor->exit_reason = OX_EXIT_START_FAILED;
        actor->start_err = err;
        return false;
    }
    actor->started = true;
    ox__started(actor);
    return true;
}

/* True when the actor has ended. */
static bool
run_stop(struct ox__turn *turn, struct ox_actor *actor, enum ox_exit reason)
{
    actor->stopping = true;
    actor->exit_reason = reason;
    if (actor->class->on_stop != NULL) {
        arm(turn);
        actor->class->on_stop(actor, reason);
        disarm(turn);
    }
    return !actor->stop_held;
}

/* What the turn did for one tenant so far becomes that tenant's. */
static void
settle(struct ox__turn *turn, struct ox_actor *actor)
{
    if (turn->cost_ns > 0)
        ox__ready_charge(&ox__rt->loops[actor->home], actor, turn->tenant, turn->cost_ns);
    turn->cost_ns = 0;
}

/* Notes what has passed since the last message: by the clock, or by what the handler said. Returns it. */
static uint64_t
account(struct ox__turn *turn, struct ox_actor *actor, uint32_t tenant, uint32_t reductions)
{
    uint64_t now_ns = ox_now_ns();
    uint64_t cost_ns = now_ns > turn->now_ns ? now_ns - turn->now_ns : 0;
    if (cost_ns < reductions * REDUCTION_NS)
        cost_ns = reductions * REDUCTION_NS;
    turn->now_ns = now_ns;
    if (tenant != turn->tenant)
        settle(turn, actor);
    turn->tenant = tenant;
    turn->cost_ns += cost_ns;
    return cost_ns;
}

static void
run_message(struct ox__turn *turn, struct ox_actor *actor, struct ox_msg *msg)
{
    uint32_t tenant = msg->cause.tenant, before = turn->reductions;
    turn->msg = msg;
    turn->reductions += turn->reductions < UINT32_MAX;
    turn->messages++;
    if (ox__loop_now != NULL) /* relaxed: a hint for the watchdog's report */
        atomic_store_explicit(&ox__loop_now->turn_kind, msg->kind, memory_order_relaxed);
    arm(turn);
    if (ox__rt->opt.hooks.before != NULL)
        ox__rt->opt.hooks.before(ox__rt->opt.hooks.arg, actor, actor->class->name);
    actor->class->on_message(actor, msg);
    disarm(turn);
    turn->msg = NULL;
    ox_msg_free(msg);
    ox_arena_reset(actor->scratch);
    turn->served_ns = account(turn, actor, tenant, turn->reductions - before);
    turn->served = tenant;
}

struct next {
    struct ox_msg *msg;
    bool kill, stop;
    enum ox_exit reason;
};

static struct next
look(struct ox__turn *turn, struct ox_actor *actor)
{
    struct next next = {NULL, false, false, OX_EXIT_SHUTDOWN};
    struct ox_msg *dropped = NULL;
    ox__lock(&actor->slot->lock);
    if (turn->served_ns > 0)
        ox__mailbox_charge(actor, turn->served, turn->served_ns);
    turn->served_ns = 0;
    next.kill = actor->kill_asked;
    next.stop = actor->stop_asked && !actor->stopping;
    next.reason = actor->stop_reason;
    if (!next.kill && !next.stop)
        next.msg = ox__mailbox_pop(actor, &dropped);
    ox__unlock(&actor->slot->lock);
    ox__mailbox_drop(actor->pid, dropped, false);
    return next;
}

static enum outcome
run(struct ox__turn *turn, struct ox_actor *actor)
{
    if (!actor->started && !run_start(turn, actor))
        return ENDED;
    for (uint32_t i = 0; i < actor->limits.turn_msgs_max; i++) {
        struct next next = look(turn, actor);
        if (next.kill) {
            actor->exit_reason = OX_EXIT_KILLED;
            return ENDED;
        }
        if (next.stop && run_stop(turn, actor, next.reason))
            return ENDED;
        if (next.msg != NULL)
            run_message(turn, actor, next.msg);
        if (actor->exit_asked && !actor->stopping && run_stop(turn, actor, actor->exit_reason))
            return ENDED;
        if (actor->stopping && !actor->stop_held)
            return ENDED;
        if (!next.stop && next.msg == NULL)
            break;
        if (turn->reductions >= SLICE_REDUCTIONS || turn->now_ns - turn->start_ns >= SLICE_NS)
            break;
    }
    return GO_ON;
}

/* Back to waiting, or behind the others. */
static void
go_on(struct ox__turn *turn, struct ox_actor *actor)
{
    ox__lock(&actor->slot->lock);
    if (turn->served_ns > 0)
        ox__mailbox_charge(actor, turn->served, turn->served_ns);
    bool more = ox__mailbox_some(actor) || actor->kill_asked || (actor->stop_asked && !actor->stopping);
    actor->run = more ? OX__RUN_READY : OX__RUN_IDLE;
    if (more)
        ox__ready_push(actor);
    ox__unlock(&actor->slot->lock);
}

const char *
ox__msg_kind_name(uint32_t kind, char *out, size_t size)
{
    const struct ox_runtime_hooks *hooks = &ox__rt->opt.hooks;
    if (kind == 0)
        return "";
    if (hooks->kind_name != NULL)
        return hooks->kind_name(kind);
    snprintf(out, size, "%u", kind);
    return out;
}

static void
obituary(struct ox__turn *turn, struct ox_actor *actor, enum ox_exit reason)
{
    const struct ox_runtime_hooks *hooks = &ox__rt->opt.hooks;
    char kind[32];
    struct ox_obituary ob = {
        .class_name = actor->class->name,
        .name = actor->name,
        .pid = actor->pid,
        .reason = reason,
        .msg_kind = turn->msg != NULL ? turn->msg->kind : 0,
        .cause = turn->msg != NULL ? turn->msg->cause : actor->cause,
        .text = turn->text,
        .backtrace = turn->trace,
        .age_ns = ox_now_ns() - actor->born_ns,
        .restarts = actor->restarts,
    };
    OX_LOG_ERROR("runtime", "actor crashed", OX_F_STR("class", ob.class_name), OX_F_STR("name", ob.name),
                 OX_F_STR("reason", ox_exit_name(reason)), OX_F_STR("text", ob.text),
                 OX_F_STR("message", ox__msg_kind_name(ob.msg_kind, kind, sizeof(kind))),
                 OX_F_STR("tenant", ox_tenant_name(ob.cause.tenant)), OX_F_U64("wal_seq", ob.cause.wal_seq),
                 OX_F_U64("restarts", ob.restarts), OX_F_STR("backtrace", ob.backtrace));
    if (hooks->obituary != NULL)
        hooks->obituary(hooks->arg, &ob);
    if (turn->msg != NULL && hooks->set_aside != NULL)
        hooks->set_aside(hooks->arg, &ob, turn->msg);
    if (actor->exit_note != NULL)
        actor->exit_note->cause = ob.cause;
}

/* The message in hand is not delivered again; a call among them is answered. */
static void
lay_aside(struct ox__turn *turn)
{
    struct ox_msg *msg = turn->msg;
    turn->msg = NULL;
    if (msg == NULL)
        return;
    if (msg->flags & OX_MSG_F_CALL)
        ox__pend_fire(msg->from, msg->ref, OX_E_INTERNAL, 0, NULL);
    ox_msg_free(msg);
}

static void
crashed(struct ox__turn *turn, struct ox_actor *actor)
{
    OX_METRIC_ADD_L(OX_M_runtime_panics, 1, ox_str_of(actor->class->name));
    obituary(turn, actor, OX_EXIT_PANIC);
    lay_aside(turn);
    if (!actor->started) {
        actor->start_err = ox_diag_set(&actor->diag, OX_E_INTERNAL, NULL, -1, "%.280s", turn->text);
    }
}

static void
finish(struct ox__turn *turn, struct ox_actor *actor, enum outcome outcome)
{
    enum ox_exit reason = actor->exit_reason;
    if (outcome == GO_ON) {
        go_on(turn, actor);
        return;
    }
    if (outcome == CRASHED) {
        reason = OX_EXIT_PANIC;
        crashed(turn, actor);
    } else if (reason == OX_EXIT_START_FAILED) {
        obituary(turn, actor, reason);
    }
    ox__incarnation_end(actor, reason);
    ox__turn_now = NULL; /* the actor's memory may be gone after the next line */
    ox__actor_ended(actor, reason);
}

static double
seconds_between(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) * 1e-9 : 0;
}

static void
count(const struct ox__turn *turn, struct ox__loop *loop)
{
    uint64_t now_ns = ox_now_ns();
    ox_metric_add(OX_M_runtime_turns, 1);
    ox_metric_add(OX_M_runtime_messages, turn->messages);
    ox_metric_add(OX_M_runtime_reductions, turn->reductions);
    ox_metric_observe(OX_M_runtime_turn_time, seconds_between(turn->start_ns, now_ns));
    uint64_t ns = now_ns > turn->start_ns ? now_ns - turn->start_ns : 0;
    if (ns > atomic_load_explicit(&loop->longest_ns, memory_order_relaxed))
        atomic_store_explicit(&loop->longest_ns, ns, memory_order_relaxed);
}

void
ox__dispatch(struct ox__loop *loop, struct ox_actor *actor)
{
    struct ox__turn turn;
    turn.actor = actor;
    turn.armed = false;
    turn.msg = NULL;
    turn.reductions = turn.messages = 0;
    turn.tenant = turn.served = 0;
    turn.cost_ns = turn.served_ns = 0;
    turn.text[0] = turn.trace[0] = '\0';
    turn.start_ns = turn.now_ns = ox_now_ns();
    ox_metric_observe(OX_M_runtime_ready_wait, seconds_between(actor->ready_ns, turn.start_ns));
    ox__lock(&actor->slot->lock);
    actor->run = OX__RUN_RUNNING;
    ox__unlock(&actor->slot->lock);
    ox__turn_now = &turn;
    ox__watch_begin(loop, actor, turn.start_ns);
    enum outcome outcome = CRASHED;
    if (sigsetjmp(turn.env, 0) == 0)
        outcome = run(&turn, actor);
    else
        outcome = CRASHED;
    turn.armed = false;
    count(&turn, loop);
    if (turn.messages == 0) /* on_start, on_stop */
        account(&turn, actor, turn.tenant, 0);
    settle(&turn, actor);
    finish(&turn, actor, outcome);
    ox__watch_end(loop);
    ox__turn_now = NULL;
}

bool
ox_yield_due(struct ox_actor *self)
{
    struct ox__turn *turn = ox__turn_now;
    if (turn == NULL || turn->actor != self)
        return false;
    return turn->reductions >= SLICE_REDUCTIONS || ox_now_ns() - turn->start_ns >= SLICE_NS;
}

void
ox_reductions(struct ox_actor *self, uint32_t n)
{
    struct ox__turn *turn = ox__turn_now;
    if (turn != NULL && turn->actor == self)
        turn->reductions = turn->reductions > UINT32_MAX - n ? UINT32_MAX : turn->reductions + n;
}
