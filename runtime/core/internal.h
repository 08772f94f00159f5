/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/internal.h - what the files of the actor runtime share.
 *
 * Owns:    the layout of slots, actors, loops and the runtime itself.
 * Threads: each field says who may touch it.
 * Bounds:  see ox/actor.h and ox/runtime.h.
 *
 * Locks, in the order in which they may be taken together:
 *   0 load.c's lock   1 names_lock (names.c)   2 slot->lock   3 loop->timers_lock, loop->ready_lock, lane->lock, rt->death_lock
 * Never two locks of one line at a time. No lock is held while code of an actor runs. Taking one also forbids
 * panics to unwind (ox_nopanic_begin), so a failed check under a lock ends the process.
 */
#ifndef OX_CORE_INTERNAL_H
#define OX_CORE_INTERNAL_H

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <uv.h>

#include "ox/actor.h"
#include "ox/log.h"
#include "ox/metric.h"
#include "ox/random.h"
#include "ox/runtime.h"
#include "ox/share.h"

#define NS_PER_MS 1000000ull

/* Message kinds between parts of the runtime. */
#define OX__MSG_CHILD_EXIT    (OX_MSG_SYSTEM + 0x200) /* from: the child; num: enum ox_exit, with OX__EXIT_* */
#define OX__MSG_CHILD_STARTED (OX_MSG_SYSTEM + 0x201) /* from: the child */
#define OX__MSG_SUP_ADD       (OX_MSG_SYSTEM + 0x202)
#define OX__MSG_SUP_REQUEST   (OX_MSG_SYSTEM + 0x203)
#define OX__MSG_SUP_RESTART   (OX_MSG_SYSTEM + 0x204) /* num: the child's serial */
#define OX__MSG_SUP_SHUTDOWN  (OX_MSG_SYSTEM + 0x205) /* num: the child's serial */

#define OX__EXIT_PROGRESSED 0x100u /* the incarnation had said ox_actor_progress */
#define OX__EXIT_ON_TRIAL   0x200u /* it ended in what ox_actor_trial is for */
#define OX__EXIT_REASON     0xffu

enum ox__run {
    OX__RUN_HELD,        /* spawned by a supervisor that has not yet let it start */
    OX__RUN_IDLE,        /* nothing to do */
    OX__RUN_READY,       /* in one ready queue */
    OX__RUN_RUNNING,     /* a loop is in its turn */
    OX__RUN_DOWN,        /* its incarnation ended; the supervisor decides */
    OX__RUN_QUARANTINED, /* as DOWN, until revoked */
    OX__RUN_EXTERNAL     /* stands for a thread that waits in ox_ask */
};

struct ox__timer {
    uint64_t due_ns;
    uint64_t seq; /* order of equal times */
    ox_pid pid;
    uint64_t ref;
    uint32_t loop; /* whose heap */
    uint32_t at;   /* index in the heap, TIMER_OUT when taken out; under that loop's timers_lock */
};
#define OX__TIMER_OUT UINT32_MAX

enum ox__pend_type {
    OX__PEND_FREE,
    OX__PEND_CALL,
    OX__PEND_TIMER,
    OX__PEND_JOB,
    OX__PEND_MONITOR,
    OX__PEND_LINK
};
enum ox__pend_state { OX__PEND_WAITING, OX__PEND_QUEUED, OX__PEND_CANCELLED };

/* Something that an actor began and that owes it at most one message. Under the slot's lock. */
struct ox__pend {
    uint32_t gen; /* part of the ref, so that an old ref finds nothing */
    uint8_t type;
    uint8_t state;
    uint32_t next_free;
    ox_pid peer;             /* callee, watched or linked actor */
    struct ox_msg *msg;      /* allocated beforehand, so that the end of waiting needs no memory */
    struct ox__timer *timer; /* timers and calls; freed by whoever takes it out of the heap */
};

struct ox__pends {
    struct ox__pend *at;
    uint32_t cap, used, free_head; /* free_head: index + 1, 0 = none */
};

struct ox__watcher {
    struct ox__watcher *next;
    ox_pid pid;
    uint64_t ref;
};

struct ox__defer {
    struct ox__defer *next;
    void (*fn)(void *arg);
    void *arg;
};

struct ox__start_waiter {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
    ox_err err;
    struct ox_diag diag;
};

struct ox__slot;

struct ox_actor {
    /* constant while it lives */
    struct ox__slot *slot;
    ox_pid pid;
    const struct ox_actor_class *class;
    struct ox_actor_class limits; /* the class with its defaults filled in */
    char name[OX_NAME_MAX + 1];
    void *arg;
    struct ox_account *account;
    struct ox_cause cause;
    ox_pid sup; /* none for unsupervised actors */

    /* under slot->lock */
    enum ox__run run;
    struct ox_msg *head, *tail;
    struct ox_share *fair; /* OX_ACTOR_FAIR: ordinary messages wait here instead */
    uint32_t msgs, controls;
    uint64_t bytes;
    struct ox__pends pends;
    struct ox__watcher *watchers;
    bool stop_asked, kill_asked;
    bool ended; /* this incarnation takes no more links */
    enum ox_exit stop_reason;
    enum ox_exit last_reason; /* of the incarnation before */
    uint32_t home;            /* changed only when the actor becomes READY */
    pthread_cond_t *external; /* EXTERNAL: signalled on arrival */
    struct ox__start_waiter *waiter;

    /* under the ready_lock of its home */
    struct ox_actor *ready_next;
    uint64_t ready_ns; /* since when */

    /* own */
    void *state;
    struct ox_arena *arena, *scratch;
    struct ox__defer *defers;
    bool started, stopping, stop_held, exit_asked;
    bool progressed; /* this incarnation did what it is for */
    bool on_trial;   /* it repeats what was in hand at a crash */
    enum ox_exit exit_reason;
    uint64_t born_ns;
    uint32_t restarts;
    struct ox_msg *exit_note, *start_note; /* to the supervisor, allocated beforehand */
    struct ox_diag diag;                   /* why on_start failed */
    ox_err start_err;
};

struct ox__slot {
    pthread_mutex_t lock;
    uint32_t index;
    uint32_t gen;           /* under lock; of the actor that lives here, or will */
    struct ox_actor *actor; /* under lock; NULL = free */
    uint32_t next_free;     /* under rt->slots_lock */
};

/* A turn in progress; on the stack of dispatch, reached by ox__turn_now. */
struct ox__turn {
    struct ox_actor *actor;
    sigjmp_buf env;
    bool armed; /* code of the actor is running: a panic may unwind */
    struct ox_msg *msg;
    uint64_t start_ns;
    uint64_t now_ns;     /* when the last message was done */
    uint32_t reductions; /* of the whole turn */
    uint32_t messages;
    /* done for `tenant` and not yet charged to it */
    uint32_t tenant;
    uint64_t cost_ns;
    /* for whom the last message was, and its cost, until its mailbox has heard of it */
    uint32_t served;
    uint64_t served_ns;
    char text[512];
    char trace[4096];
};

extern __thread struct ox__turn *ox__turn_now;
extern __thread struct ox__loop *ox__loop_now; /* NULL on threads that are no schedulers */
extern __thread uint32_t ox__nopanic;

struct ox__loop {
    uint32_t index;
    pthread_t thread;
    uv_loop_t uv;
    int wake_fd; /* eventfd, written to end a poll that blocks */
    uv_poll_t wake;
    uv_prepare_t sleep;
    uv_idle_t busy;  /* active while actors are ready, so that polling does not block */
    uv_check_t look; /* runs the ready ones after each poll */
    uv_timer_t clock;
    bool uv_ready;
    bool busy_active; /* own thread */
    /* poked: there is something to look at; asleep: the loop is about to block in poll, or does. Who pokes first and finds
     * it asleep writes wake_fd. All seq_cst: poke then look at asleep, against asleep then look at poked, so that one of
     * the two sees the other. Whoever finds it poked already relies on him who did. */
    _Atomic bool poked, asleep;

    pthread_mutex_t ready_lock;
    struct ox_share ready; /* actors, by the tenant of their own cause */
    /* relaxed: a hint for placing actors; the queue itself is under the lock */
    _Atomic uint32_t ready_n;
    _Atomic uint64_t longest_ns; /* turn; relaxed: written by the loop, read by whoever scrapes */
    uint64_t idle_ns, asked_ns;  /* at the last scrape; of load.c */

    pthread_mutex_t timers_lock;
    struct ox__timer **heap;
    uint32_t heap_n, heap_cap;
    uint64_t timer_seq;

    /* release by the stopping thread, acquire by the loop: everything before the stop is visible to it */
    _Atomic bool quit;
    /* The watchdog's view of the turn. seq is odd while a turn runs; release after the fields are set,
     * acquire before they are read, and read again behind. The fields are relaxed atomics, guarded by seq. */
    _Atomic uint64_t turn_seq, turn_start_ns, turn_pid;
    _Atomic uint32_t turn_kind;
    const struct ox_actor_class *_Atomic turn_class;
    /* release by the signal handler when trace is filled, acquire by the watchdog */
    _Atomic int trace_n; /* frames in trace, or a state of watch.c */
    void *trace[32];
};

struct ox_lane;

struct ox__runtime {
    struct ox_runtime_options opt;
    _Atomic uint32_t turn_warn_ms, turn_fault_ms; /* relaxed: numbers of their own, changed while we run */
    const struct ox_clock *clock;
    struct ox__loop *loops;
    uint32_t loops_n;

    pthread_mutex_t slots_lock;
    struct ox__slot *_Atomic *chunks; /* release when a chunk is complete, acquire before it is used */
    uint32_t chunks_n, slots_used, slot_free; /* slot_free: index + 1, 0 = none; under slots_lock */
    /* relaxed: a gauge; waiting for zero goes through death_lock */
    _Atomic uint32_t actors;
    _Atomic uint32_t next_loop; /* relaxed: spreads new actors */

    pthread_mutex_t death_lock; /* with death: somebody was buried */
    pthread_cond_t death;

    struct ox_random random; /* single-thread mode */
    struct ox_lane *pool;
    pthread_t watchdog;
    bool watchdog_runs;
    ox_pid roots[64]; /* root supervisors, in order of start; under death_lock */
    uint32_t roots_n;
};

extern struct ox__runtime
    *ox__rt; /* set by start before any thread exists, cleared by stop after they ended */

static inline void
ox__lock(pthread_mutex_t *lock)
{
    ox__nopanic++;
    pthread_mutex_lock(lock);
}

static inline void
ox__unlock(pthread_mutex_t *lock)
{
    pthread_mutex_unlock(lock);
    ox__nopanic--;
}

/* slot.c: the actor of a pid, its slot locked; NULL (nothing locked) when it is gone. */
struct ox_actor *ox__actor_lock(ox_pid pid);
void ox__actor_unlock(struct ox_actor *actor);
/* A free slot for `actor` (its pid is set), or OVERLOAD / NOMEM. */
OX_MUST_USE ox_err ox__slot_take(struct ox_actor *actor);
/* Ends the pid. The slot must be locked; it is unlocked. The actor's memory is the caller's again. */
void ox__slot_give(struct ox_actor *actor);
ox_err ox__slots_init(struct ox__runtime *rt);
void ox__slots_fini(struct ox__runtime *rt);
/* The pid of the actor at `index` or none; indices run to rt->slots_used. */
ox_pid ox__slot_pid(uint32_t index);

/* mailbox.c; all with the slot locked. */
void ox__mailbox_push(struct ox_actor *actor, struct ox_msg *msg);
OX_MUST_USE ox_err ox__mailbox_admit(const struct ox_actor *actor, const struct ox_msg *msg);
/* The next message to handle, or NULL. Messages of cancelled waits go to *dropped (a list) instead. */
struct ox_msg *ox__mailbox_pop(struct ox_actor *actor, struct ox_msg **dropped);
/* Whether anything waits. */
bool ox__mailbox_some(const struct ox_actor *actor);
/* An OX_ACTOR_FAIR one's work for a tenant. */
void ox__mailbox_charge(struct ox_actor *actor, uint32_t tenant, uint64_t cost_ns);
OX_MUST_USE ox_err ox__mailbox_init(struct ox_actor *actor);
/* It must be empty. */
void ox__mailbox_fini(struct ox_actor *actor);
/* Takes out all messages (owed_only: those that the incarnation was owed) as a list. */
struct ox_msg *ox__mailbox_take(struct ox_actor *actor, bool owed_only);
/* Without lock: frees a list. undelivered: hook, and calls are answered GONE. */
void ox__mailbox_drop(ox_pid to, struct ox_msg *list, bool undelivered);

/* send.c: past all bounds, for notes of the runtime. GONE leaves the message with the caller. */
OX_MUST_USE ox_err ox__send_note(ox_pid to, struct ox_msg **msg);

/* pending.c */
/* A place with its message; the slot must not be locked. */
OX_MUST_USE ox_err ox__pend_new(struct ox_actor *self, enum ox__pend_type type, ox_pid peer,
                                struct ox_msg *msg, uint64_t *ref);
OX_MUST_USE ox_err ox__pend_new_locked(struct ox_actor *self, enum ox__pend_type type, ox_pid peer,
                                       struct ox_msg *msg, uint64_t *ref);
/* With the slot locked: the place of a ref or NULL. */
struct ox__pend *ox__pend_find(struct ox_actor *actor, uint64_t ref);
/* With the slot locked: frees the place; what must be freed without lock is returned. */
struct ox_msg *ox__pend_free(struct ox_actor *actor, struct ox__pend *pend);
/* Ends a wait with its own message, filled with these; false when nobody waits (data is then the caller's).
 */
bool ox__pend_fire(ox_pid owner, uint64_t ref, ox_err err, uint64_t num, void *data);
/* With the slot locked: the same for a place in hand. */
void ox__pend_fire_locked(struct ox_actor *actor, struct ox__pend *pend, ox_err err, uint64_t num,
                          void *data);
/* Gives a wait up from the actor's side. */
void ox__pend_cancel(struct ox_actor *self, uint64_t ref, enum ox__pend_type type);
/* With the slot locked: gives all up at the end of an incarnation; returns messages to free. */
struct ox_msg *ox__pend_clear(struct ox_actor *actor);
uint64_t ox__pend_ref(const struct ox__pends *pends, const struct ox__pend *pend);

/* timer.c */
OX_MUST_USE ox_err ox__call_arm(struct ox_actor *self, uint64_t ref, uint32_t timeout_ms);
OX_MUST_USE ox_err ox__timer_add(uint32_t loop, uint64_t due_ns, ox_pid pid, uint64_t ref,
                                 struct ox__timer **timer);
/* With the owner's slot locked (pend->timer is then valid): takes it out and frees it, or leaves it to who
 * fires it. */
void ox__timer_remove(struct ox__timer *timer);
/* Fires one due timer; false when none is due. */
bool ox__timer_fire(struct ox__loop *loop, uint64_t now_ns);
uint64_t ox__timer_next(struct ox__loop *loop);
void ox__timers_fini(struct ox__loop *loop);

/* sched.c */
/* With the slot locked: makes an IDLE actor READY. */
void ox__wake_locked(struct ox_actor *actor);
/* Back into the queue of its home, without choosing again. */
void ox__ready_push(struct ox_actor *actor);
struct ox_actor *ox__ready_pop(struct ox__loop *loop);
/* The nth ready one, for the seeded order. */
struct ox_actor *ox__ready_pick(struct ox__loop *loop, uint32_t nth);
/* A turn of `actor` on the loop did this much for a tenant (0 = nobody). */
void ox__ready_charge(struct ox__loop *loop, const struct ox_actor *actor, uint32_t tenant, uint64_t cost_ns);
ox_err ox__loop_init(struct ox__loop *loop, uint32_t index, bool with_uv);
void ox__loop_fini(struct ox__loop *loop);
void *ox__loop_main(void *loop);
void ox__loop_wake(struct ox__loop *loop);

/* dispatch.c: one turn. */
void ox__dispatch(struct ox__loop *loop, struct ox_actor *actor);
/* How the log calls a kind of message: "" for none, by its hook, else its number (in `out`). */
const char *ox__msg_kind_name(uint32_t kind, char *out, size_t size);

/* life.c */
OX_MUST_USE ox_err ox__spawn_in(const struct ox_spawn *spec, ox_pid sup, struct ox__start_waiter *waiter,
                                ox_pid *pid, struct ox_diag *diag);
/* Frees what belonged to the incarnation: defers, arenas, state, waits. Own thread, nothing locked. */
void ox__incarnation_end(struct ox_actor *actor, enum ox_exit reason);
/* After it: to the supervisor, or into the grave. */
void ox__actor_ended(struct ox_actor *actor, enum ox_exit reason);
/* For supervisors. STATE when it is not in the state for it, GONE. */
OX_MUST_USE ox_err ox__actor_start_held(ox_pid pid);
OX_MUST_USE ox_err ox__actor_restart(ox_pid pid);
void ox__actor_bury(ox_pid pid);
void ox__actor_quarantine(ox_pid pid);
/* The same for one that never ran; whoever waits for its start hears OK. */
void ox__actor_quarantine_held(ox_pid pid);
/* Notes why a held actor will be buried, for whoever waits for its start. */
void ox__actor_refuse(ox_pid pid, ox_err err, const char *text);
/* on_start succeeded: tells waiter and supervisor. Own thread. */
void ox__started(struct ox_actor *actor);
void ox__waiter_init(struct ox__start_waiter *waiter);
/* Waits for it (or steps until it is done) and gives its result. */
ox_err ox__waiter_wait(struct ox__start_waiter *waiter, struct ox_diag *diag);
ox_err ox__stop_with(ox_pid pid, enum ox_exit reason, bool kill);

/* link.c: tells watchers and linked actors. Nothing locked. */
void ox__tell_watchers(struct ox_actor *actor, enum ox_exit reason);
void ox__unwatch(ox_pid watched, ox_pid watcher, uint64_t ref);

/* names.c */
ox_err ox__names_init(uint32_t max);
void ox__names_fini(void);
void ox__names_forget(const char *name, ox_pid pid);

/* dirty.c */
OX_MUST_USE ox_err ox__lanes_init(struct ox__runtime *rt);
void ox__lanes_stop(void);
/* Single-thread mode: jobs that can begin or complete now, doing the nth of them (gives its lane's name), and when the
 * next one can complete (UINT64_MAX = none waits for that). */
uint32_t ox__lanes_ready(void);
const char *ox__lanes_run(uint32_t nth);
uint64_t ox__lanes_next_ns(void);

/* panic.c */
void ox__backtrace(char *out, size_t size);
void ox__backtrace_text(void *const *frames, int n, char *out, size_t size);

/* crash.c: an alternate stack for faults on this thread, so that a stack overflow can be written down too. */
void *ox__crash_stack_new(void);
void ox__crash_stack_free(void *stack);
/* The record that is about to be written is that of a turn that never ended: so long it lasted, so much it used. */
void ox__crash_hung(uint64_t turn_ms, uint64_t cpu_ms);

/* load.c: gauges that are looked up on a scrape. */
void ox__load_start(void);
void ox__load_stop(void);

/* watch.c */
ox_err ox__watch_start(struct ox__runtime *rt);
void ox__watch_limits(struct ox__runtime *rt, uint32_t warn_ms, uint32_t fault_ms);
void ox__watch_stop(struct ox__runtime *rt);
void ox__watch_begin(struct ox__loop *loop, const struct ox_actor *actor, uint64_t now_ns);
void ox__watch_end(struct ox__loop *loop);

/* roots.c */
OX_MUST_USE ox_err ox__root_add(ox_pid pid);
/* Stops them, last started first, each within the deadline of the real clock. */
void ox__roots_stop(uint64_t deadline_ns);
/* runtime.c: waits until `pid` (or, when none, every actor) is gone; false at the deadline of the real clock.
 */
bool ox__wait_gone(ox_pid pid, uint64_t deadline_ns);

#endif
