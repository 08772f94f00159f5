/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/actor.h - actors: what a handler may do, and how anybody reaches an actor.
 *
 * Owns:    see each function; the words are take, lend, steal (house style, section 7).
 * Threads: "any" means any thread of the process, a plain libuv callback included. "own" means the loop
 *          thread that runs the actor: its handlers, and for a pinned actor also libuv callbacks on its loop.
 * Bounds:  every mailbox in messages and bytes, see struct ox_actor_class.
 * Fails:   MAILBOX_FULL, GONE, QUARANTINED, OVERLOAD (pending_max), NOMEM, EXISTS.
 * Flow:    ox_send -> mailbox of the receiver -> a turn on one loop -> on_message.
 *
 * There is one runtime in a process (ox/runtime.h). An actor is a class (functions and bounds), private
 * state, a mailbox and a pid. Handlers run on a scheduler thread, one at a time per actor, and never block:
 * what blocks goes to a dirty thread. Handlers hold no locks.
 *
 * How a mailbox is bounded, exactly. A message is one of three sorts:
 *   ordinary  counted against mailbox_msgs_max and mailbox_bytes_max; over either: MAILBOX_FULL. A single
 *             message larger than mailbox_bytes_max is accepted by an otherwise empty mailbox.
 *   control   OX_MSG_F_CONTROL: counted apart, at most control_msgs_max of them, bytes not limited.
 *   owed      replies, call time-outs, timers, dirty completions, DOWN: each stands for something that the
 *             actor itself began with ox_call, ox_timer_start, ox_dirty_submit, ox_monitor, and which
 *             took one of its pending_max places then. So there are never more than pending_max of them,
 *             they are never refused, and a flooded actor still receives its own completions.
 * EXIT messages of links are owed as well (ox_link takes a place).
 *
 * How tenants share. An actor with a cause of its own (spawn, child spec) waits for its turn among those of its tenant;
 * tenants have turns in proportion to their weights, and actors of nobody together as much as all tenants. What a
 * handler does on behalf of a tenant is charged to that tenant, whoever runs it: by its time, or by its reductions
 * where these say more. A shared actor with OX_ACTOR_FAIR serves the tenants in its mailbox by turns as well.
 */
#ifndef OX_ACTOR_H
#define OX_ACTOR_H

#include "ox/arena.h"
#include "ox/base.h"

struct uv_loop_s;

/* Slot and generation; a pid outlives its actor harmlessly (sends give GONE). gen 0 is never alive. */
typedef struct ox_pid {
    uint32_t slot;
    uint32_t gen;
} ox_pid;
#define OX_PID_NONE ((ox_pid){0, 0})

static inline bool
ox_pid_eq(ox_pid a, ox_pid b)
{
    return a.slot == b.slot && a.gen == b.gen;
}

static inline bool
ox_pid_is_none(ox_pid p)
{
    return p.gen == 0;
}

/*
 * On whose behalf something happens: what a crash is attributed to. Carried by each message; a message sent
 * by a handler without a cause of its own inherits that of the message being handled.
 */
struct ox_cause {
    uint32_t tenant; /* index from ox_tenant_index; 0 = nobody */
    uint64_t wal_seq;
};

/* The small number that stands for a tenant's name while the process lives, at most OX_TENANTS_MAX of them;
 * 0 when the table is full or the name is empty. Any thread. */
#define OX_TENANTS_MAX 131072
uint32_t ox_tenant_index(const struct ox_tenant_id *tenant);
/* The name of an index, "" for 0 or an unknown one. Valid until the process ends. Any thread. */
const char *ox_tenant_name(uint32_t index);

/* A tenant's part of the schedulers while others want them too, beside theirs: 1 (the default) to OX_TENANT_WEIGHT_MAX.
 * INVALID. Any thread. */
#define OX_TENANT_WEIGHT_MAX 100
OX_MUST_USE ox_err ox_tenant_set_weight(uint32_t index, uint32_t weight);
uint32_t ox_tenant_weight(uint32_t index);

/* ---- messages ---- */

/* Kinds from here on belong to the runtime; smaller ones to the program (0 is reserved). */
#define OX_MSG_SYSTEM 0x80000000u
#define OX_MSG_CALL_FAILED                                                                                   \
    (OX_MSG_SYSTEM + 0)                 /* ref: the call; err: TIMEOUT, GONE, QUARANTINED or INTERNAL */
#define OX_MSG_DOWN (OX_MSG_SYSTEM + 1) /* ref: the monitor; from: who; num: enum ox_exit */
#define OX_MSG_EXIT (OX_MSG_SYSTEM + 2) /* a linked actor ended (TRAP_EXIT only); from, num as for DOWN */

#define OX_MSG_F_CONTROL 1u /* small and urgent: durable notices, credits; see "control" above */
#define OX_MSG_F_CALL    2u /* set by ox_call: the receiver owes a reply */
#define OX_MSG_F_OWED    4u /* set by the runtime */

struct ox_msg {
    uint32_t kind;
    uint32_t flags; /* OX_MSG_F_* */
    ox_pid from;    /* filled in on send when empty: the actor whose handler sends, or none */
    uint64_t ref;   /* of the call, timer, job or monitor that this belongs to; 0 = a cast */
    uint64_t num;   /* a number, for messages that need no data */
    ox_err err;     /* for replies; OK otherwise */
    struct ox_cause cause;
    size_t bytes;             /* charged to the mailbox while queued: what the data keeps alive */
    void *data;               /* owned by the message */
    void (*drop)(void *data); /* frees data; NULL when nothing needs freeing. Any thread, must not panic */
    struct ox_msg *next;      /* runtime: the queue's link; a sender may use it while he owns the message */
};

/* A message on the heap, or NULL without memory (data then remains the caller's). data: take. Any thread. */
struct ox_msg *ox_msg_new(uint32_t kind, void *data, size_t bytes, void (*drop)(void *data));
/* Drops the data and frees the message; NULL is allowed. A call that nobody answered is not answered by this.
 */
void ox_msg_free(struct ox_msg *msg);

/* msg: take. On OX_OK *msg is NULL; on MAILBOX_FULL, GONE, QUARANTINED it is still the caller's, unchanged.
 * Messages from one sender to one receiver arrive in the order sent. Any thread. */
OX_MUST_USE ox_err ox_send(ox_pid to, struct ox_msg **msg);
/* The same with a message of kind and number only; NOMEM is possible. Any thread. */
OX_MUST_USE ox_err ox_cast(ox_pid to, uint32_t kind, uint64_t num);

/* ---- classes and life ---- */

struct ox_actor; /* "self"; only its own handlers see it */

enum ox_exit {
    OX_EXIT_NORMAL,       /* ox_exit by itself */
    OX_EXIT_SHUTDOWN,     /* asked by its supervisor or by ox_stop */
    OX_EXIT_PANIC,        /* ox_panic or a failed assertion in a handler */
    OX_EXIT_START_FAILED, /* on_start returned an error */
    OX_EXIT_KILLED,       /* did not stop in time */
    OX_EXIT_LINKED,       /* a linked actor ended abnormally */
    OX_EXIT_NOPROC,       /* was not there when the monitor or link was set */
    OX_EXIT_INTENSITY     /* a supervisor whose child passed its restart intensity */
};
/* "normal", "shutdown", "panic", ... */
const char *ox_exit_name(enum ox_exit reason);

/* Runs on one loop for life: needed by actors that own libuv handles. Others may be woken on another loop
 * when they are idle. */
#define OX_ACTOR_PINNED 1u
/* Serves all: ordinary messages are taken from the tenants in their causes by turns, in proportion to their weights;
 * control and owed messages come before them. The order of sending holds among the messages of one tenant. A tenant
 * has no more in the mailbox than what is still free in it: MAILBOX_FULL is for whoever floods, not for who comes
 * after him. */
#define OX_ACTOR_FAIR 4u
/* The abnormal end of a linked actor is a message EXIT, not the own end. */
#define OX_ACTOR_TRAP_EXIT 2u

struct ox_actor_class {
    const char *name;
    size_t state_size; /* bytes of zeroed state, see ox_actor_state */
    uint32_t flags;    /* OX_ACTOR_* */
    /* First turn, on the actor's loop. arg: lend, that of spawn or of the child spec. An error ends it. May
     * be NULL. Messages sent meanwhile wait. Handles acquired before an error are released by their defers.
     */
    ox_err (*on_start)(struct ox_actor *self, void *arg, struct ox_diag *diag);
    /* msg: lend. To keep the data, copy the pointer and set msg->data = NULL. */
    void (*on_message)(struct ox_actor *self, struct ox_msg *msg);
    /* Orderly end; not after a panic. May be NULL. To finish later (a last flush, closing sockets) call
     * ox_stop_hold(self): messages keep coming until ox_stop_done(self) or the supervisor's time-out. */
    void (*on_stop)(struct ox_actor *self, enum ox_exit reason);
    uint32_t mailbox_msgs_max;  /* 0 = 4096 */
    uint64_t mailbox_bytes_max; /* 0 = 64 MiB */
    uint32_t control_msgs_max;  /* 0 = 1024 */
    uint32_t pending_max;       /* 0 = 4096: calls, timers, jobs, monitors and links at one time */
    size_t arena_bytes_max;     /* 0 = 1 MiB, for each of the two arenas */
    uint32_t turn_msgs_max;     /* 0 = 64 messages before others get their turn */
};

#define OX_LOOP_ANY 0
#define OX_LOOP(i)  ((int)(i) + 1)

struct ox_spawn {
    const struct ox_actor_class *class; /* lend, for ever (static) */
    void *arg;                          /* lend until on_start has returned */
    const char *name;                   /* registered name, copied; NULL = none */
    int loop;                           /* OX_LOOP_ANY (0) or OX_LOOP(i); binding for pinned actors */
    struct ox_account *account;         /* the arenas are charged to it; NULL = none */
    struct ox_cause cause;              /* of crashes in on_start */
};

/* Starts an actor without supervisor. Its on_start runs later on its loop; a failure there ends it with
 * START_FAILED. EXISTS: the name is taken; OVERLOAD: no slot left; NOMEM. Any thread. */
OX_MUST_USE ox_err ox_spawn(const struct ox_spawn *spec, ox_pid *pid, struct ox_diag *diag);
/* The same and waits until on_start has returned; gives its error and diag. Not on a scheduler thread. */
OX_MUST_USE ox_err ox_spawn_wait(const struct ox_spawn *spec, ox_pid *pid, struct ox_diag *diag);
/* Asks an actor to end (on_stop, reason SHUTDOWN) before its next message. GONE when it is not there. Any
 * thread. */
ox_err ox_stop(ox_pid pid);
/* Ends it after the present turn without on_stop (reason KILLED). Any thread. */
ox_err ox_kill(ox_pid pid);
/* True while the pid's actor lives, waits for its restart, or is quarantined. Any thread. */
bool ox_alive(ox_pid pid);

/* All own. */
void *ox_actor_state(struct ox_actor *self);
ox_pid ox_actor_pid(const struct ox_actor *self);
const char *ox_actor_name(const struct ox_actor *self); /* "" without name */
/* The libuv loop; for pinned actors. NULL in single-thread mode without loops. */
struct uv_loop_s *ox_actor_loop(struct ox_actor *self);
/* Index of the loop that runs the actor now. */
uint32_t ox_actor_loop_index(const struct ox_actor *self);
/* Memory for as long as this incarnation of the actor lives. */
struct ox_arena *ox_actor_arena(struct ox_actor *self);
/* Memory until the present message is handled. */
struct ox_arena *ox_actor_scratch(struct ox_actor *self);
/* How often this actor was restarted by its supervisor. */
uint32_t ox_actor_restarts(const struct ox_actor *self);
/* The actor whose handler runs on this thread, or NULL. */
struct ox_actor *ox_self(void);
/* Ends after this message: on_stop with `reason` (NORMAL or SHUTDOWN), then it is gone. */
void ox_exit(struct ox_actor *self, enum ox_exit reason);
/* In on_stop: not yet. Later: now. */
void ox_stop_hold(struct ox_actor *self);
void ox_stop_done(struct ox_actor *self);

/* Registers fn(arg) to run when this incarnation ends, however it ends, last registered first, after on_stop
 * and on its own loop. This is how sockets, files and counted bodies survive a panic of their owner. NOMEM.
 */
OX_MUST_USE ox_err ox_actor_defer(struct ox_actor *self, void (*fn)(void *arg), void *arg);
/* Takes the latest registration of fn(arg) back without running it; false when there is none. */
bool ox_actor_undefer(struct ox_actor *self, void (*fn)(void *arg), void *arg);

/* Says that this incarnation did what it is for: a supervisor that counts per progress (OX_SUP_PER_PROGRESS) forgets
 * the crashes before it. Own. */
void ox_actor_progress(struct ox_actor *self);
/* What runs from now on (or no more) is the repeat of something that was in hand at a crash before: such a supervisor does
 * not count it as another cause. Own. */
void ox_actor_trial(struct ox_actor *self, bool on);

/* True when a long handler should leave the rest to a later message (ox_cast to itself): its slice (2 ms or
 * 4,000 reductions) is used up. */
bool ox_yield_due(struct ox_actor *self);
/* Accounts for work done inside one handler. */
void ox_reductions(struct ox_actor *self, uint32_t n);

/* ---- calls ---- */

/* What is needed to answer a call later; keep it by value. */
struct ox_from {
    ox_pid pid;
    uint64_t ref;
    struct ox_cause cause;
};

/* Sends a call; its answer arrives as a message with this *ref: either what the receiver replied, or
 * OX_MSG_CALL_FAILED, exactly one of them. timeout_ms > 0. msg as for ox_send; OVERLOAD: pending_max. Own. */
OX_MUST_USE ox_err ox_call(struct ox_actor *self, ox_pid to, struct ox_msg **msg, uint32_t timeout_ms,
                           uint64_t *ref);
/* Forgets a call: no answer will be delivered any more. */
void ox_call_cancel(struct ox_actor *self, uint64_t ref);
/* Whom to answer; pid is none for a cast. */
struct ox_from ox_call_from(const struct ox_msg *msg);
/* Answers a call. reply: take on OK; GONE: the caller no longer waits. Replies are owed: never refused as
 * full. reply->err tells success. Any thread. */
OX_MUST_USE ox_err ox_reply(struct ox_from to, struct ox_msg **reply);
/* Answers with err and num only; nothing to do about failure, so none is reported. Any thread. */
void ox_reply_num(struct ox_from to, uint32_t kind, ox_err err, uint64_t num);
/* A blocking call for threads that may block (main, dirty threads, tests): *reply is the answer (take, by
 * ox_msg_free). TIMEOUT, GONE, or the errors of ox_send. Not on a scheduler thread. */
OX_MUST_USE ox_err ox_ask(ox_pid to, struct ox_msg **msg, uint32_t timeout_ms, struct ox_msg **reply);

/* ---- timers ---- */

/* After `after_ms` of the runtime's clock a message (kind, ref, num) arrives, once. OVERLOAD, NOMEM. Own. */
OX_MUST_USE ox_err ox_timer_start(struct ox_actor *self, uint64_t after_ms, uint32_t kind, uint64_t num,
                                  uint64_t *ref);
/* The message will not be delivered, even if it is queued already. A stale or zero ref is harmless. Own. */
void ox_timer_cancel(struct ox_actor *self, uint64_t ref);
/* Time of the runtime's clock. Any thread. */
uint64_t ox_now_ns(void);
uint64_t ox_realtime_ns(void);

/* ---- monitors, links, names ---- */

/* DOWN (ref, from, num = reason) when `pid` ends or crashes, at once with NOPROC when it is not there. A
 * supervised actor that is restarted keeps its pid; the monitor is used up by its crash. Own. */
OX_MUST_USE ox_err ox_monitor(struct ox_actor *self, ox_pid pid, uint64_t *ref);
void ox_demonitor(struct ox_actor *self, uint64_t ref);
/* Both ends share their fate: when one ends with another reason than NORMAL the other is stopped (LINKED) or,
 * with TRAP_EXIT, gets EXIT. Linking to nobody counts as its end (NOPROC). Linking twice is one link. Own. */
OX_MUST_USE ox_err ox_link(struct ox_actor *self, ox_pid pid);
void ox_unlink(struct ox_actor *self, ox_pid pid);

/* Names are at most OX_NAME_MAX bytes; "gateway/0" is the gateway of loop 0. A name goes with its actor. Any
 * thread. */
#define OX_NAME_MAX 95
OX_MUST_USE ox_err ox_register(const char *name, ox_pid pid);
void ox_unregister(const char *name);
/* The pid of a name or OX_PID_NONE. */
ox_pid ox_whereis(const char *name);

/* ---- dirty threads ---- */

struct ox_lane; /* a thread of its own with its own queue */

/* A lane for jobs that must not queue behind others (the journal's fdatasync). name: copied; queue_max jobs
 * may wait. Lives until the runtime stops. Any thread. */
OX_MUST_USE ox_err ox_lane_new(const char *name, uint32_t queue_max, struct ox_lane **lane);
/* Runs fn(arg) on a dirty thread (lane NULL: the common pool, where tenants take turns), in order per lane; afterwards the actor gets a
 * message (kind, *ref, data = arg, drop). When the actor ended meanwhile, drop(arg) runs on the dirty thread
 * instead. arg: take on OK. OVERLOAD: the queue is full or pending_max reached. fn must not panic: on a
 * dirty thread a failed assertion ends the process. ref may be NULL. Own. */
OX_MUST_USE ox_err ox_dirty_submit(struct ox_actor *self, struct ox_lane *lane, void (*fn)(void *arg),
                                   void *arg, uint32_t kind, void (*drop)(void *arg), uint64_t *ref);

/* ---- panic ---- */

/* Ends the actor whose handler runs on this thread (a crash: no on_stop, defers run, the supervisor decides).
 * Anywhere else, and between ox_nopanic_begin and _end, it ends the process. */
OX_NORETURN void ox_panic(const char *fmt, ...) OX_PRINTF(1, 2);
/* Brackets foreign code that must not be jumped over (library callbacks); nests. Own thread. */
void ox_nopanic_begin(void);
void ox_nopanic_end(void);

#endif
