/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/runtime.h - starting and stopping the runtime, its hooks, and driving it by hand.
 *
 * Owns:    scheduler threads with one libuv loop each, dirty threads, all actors.
 * Threads: start, stop, run from the main thread; the rest as said.
 * Bounds:  actors_max, dirty_queue_max, names_max.
 * Fails:   NOMEM, STATE, INVALID.
 *
 * One runtime per process. In single-thread mode nothing runs by itself: ox_runtime_step() takes one ready
 * actor, one due timer or one dirty job, chosen by the seed, on the calling thread, so that a test or the
 * simulation repeats every order from its seed.
 */
#ifndef OX_RUNTIME_H
#define OX_RUNTIME_H

#include "ox/actor.h"
#include "ox/clock.h"

/* Everything that is known about the end of an actor. Valid during the hook. */
struct ox_obituary {
    const char *class_name;
    const char *name; /* "" without */
    ox_pid pid;
    enum ox_exit reason;
    uint32_t msg_kind; /* the message in hand; 0 = none (on_start, on_stop) */
    struct ox_cause cause;
    const char *text;      /* what failed, with file and line */
    const char *backtrace; /* lines; "" without */
    uint64_t age_ns;       /* of this incarnation */
    uint32_t restarts;     /* before this end */
};

/* One step of single-thread mode. Valid during the hook. */
enum ox_step_what { OX_STEP_TURN, OX_STEP_JOB, OX_STEP_TIMER };
struct ox_step {
    enum ox_step_what what;
    ox_pid pid; /* TURN: whose, ... */
    const char *class_name;
    const char *name;  /* ...and "" without; JOB: the lane's */
    uint32_t msg_kind; /* TURN: the first message that waits; 0 = none (on_start, on_stop) */
    uint32_t msgs;     /* TURN: ordinary and control messages that wait */
};

/* Called on the thread where it happens, usually a scheduler: short, no blocking, no panic. Any may be NULL.
 */
struct ox_runtime_hooks {
    void *arg;
    /* An actor crashed or failed to start; it is logged already, its supervisor hears of it next. */
    void (*obituary)(void *arg, const struct ox_obituary *ob);
    /* The message in hand when it crashed; lend, to steal data set msg->data = NULL. Dropped afterwards. */
    void (*set_aside)(void *arg, const struct ox_obituary *ob, struct ox_msg *msg);
    /* A message is about to be handled, on the actor's own thread and as part of its turn: what fails here fails in the
     * actor. For faults on request; costs a call per message. */
    void (*before)(void *arg, struct ox_actor *self, const char *class_name);
    /* A message whose mailbox ended before it was read; lend as above. Calls are answered GONE by the
     * runtime. */
    void (*undelivered)(void *arg, ox_pid to, struct ox_msg *msg);
    /* A turn took longer than turn_fault_ms (still running); backtrace of the turn. Watchdog thread. It is logged already. */
    void (*stall)(void *arg, ox_pid pid, const char *class_name, uint32_t msg_kind, uint64_t turn_ns,
                  const char *backtrace);
    /* The name of a kind of message, static, for what the runtime logs. Any thread. NULL: logged as a number. */
    const char *(*kind_name)(uint32_t msg_kind);
    /* A child passed its restart intensity; it is logged already. */
    void (*quarantined)(void *arg, const char *supervisor, const char *child_id, ox_pid pid, uint32_t crashes,
                        struct ox_cause cause);
    /* A supervisor without a parent gave up (OX_SUP_ESCALATE). NULL: the process ends with a message. */
    void (*root_failed)(void *arg, const char *supervisor);
    /* Single-thread mode: a turn is about to be taken, a job began or completed, a timer fired. */
    void (*step)(void *arg, const struct ox_step *step);
};

/* Other thresholds of the watchdog from now on, 0 as in the options. Any thread, while the runtime runs. */
void ox_runtime_watch(uint32_t turn_warn_ms, uint32_t turn_fault_ms);

struct ox_runtime_options {
    uint32_t loops;           /* scheduler threads; 0 = one per processor */
    uint32_t actors_max;      /* 0 = 65,536 */
    uint32_t names_max;       /* 0 = 65,536 */
    uint32_t dirty_threads;   /* 0 = 4 */
    uint32_t dirty_queue_max; /* 0 = 1024 jobs waiting */
    /* The watchdog (runtime/core/watch.c). A turn that lasts turn_warn_ms is logged as a warning, one that lasts turn_fault_ms
     * as an error. hung_ends: one that has used turn_fault_ms of processor time, or lasts turn_hung_ms (0 = however long),
     * ends the process as a fault does, see ox_crash_install. */
    uint32_t turn_warn_ms;  /* 0 = 100 */
    uint32_t turn_fault_ms; /* 0 = 1000 */
    uint32_t turn_hung_ms;
    bool hung_ends;
    uint32_t stop_ms; /* 0 = 10,000: how long ox_runtime_stop waits for actors before it kills them */
    const struct ox_clock *clock; /* lend; NULL = the real one */
    bool single_thread;
    uint64_t seed; /* single-thread mode: the order of actors */
    /* Single-thread mode: the seed chooses among the next actor, jobs and timers, and which actor is next is decided as
     * by the schedulers. Otherwise the seed chooses among all that are ready. */
    bool fair_order;
    struct ox_runtime_hooks hooks;
};

/* Starts threads and loops; options: lend until return (hooks and clock for ever). STATE: already running. */
OX_MUST_USE ox_err ox_runtime_start(const struct ox_runtime_options *options, struct ox_diag *diag);
/* Waits until ox_runtime_quit was called and returns its code. */
int ox_runtime_run(void);
/* Lets ox_runtime_run return. Any thread, and safe in a signal handler. */
void ox_runtime_quit(int code);
/* Stops root supervisors in reverse order of their start (each its children likewise), then all other actors,
 * then the threads; frees everything. After it a new start is possible. Not on a scheduler thread. */
void ox_runtime_stop(void);

/* From now on a fault (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT) writes `path` before it takes its default course: one
 * line of JSON (signal; hung, turn_ms and cpu_ms when the watchdog ended a turn that did not end by itself; and of the handler
 * that ran: class, name, slot, gen, restarts, age_ms, message_kind, tenant, wal_seq), then the backtrace. path: copied.
 * TOO_LARGE. Any thread, once at start. */
OX_MUST_USE ox_err ox_crash_install(const char *path);

uint32_t ox_runtime_loops(void);
/* Actors alive. Any thread. */
uint32_t ox_runtime_actors(void);
/* Messages and bytes waiting in a mailbox; GONE. Any thread. */
ox_err ox_mailbox_depth(ox_pid pid, uint32_t *msgs, uint64_t *bytes);
/* Share of the fuller of the two bounds in use, 0..1 (above 0.8 warn, above 0.95 refuse new work); GONE
 * gives 1. */
double ox_mailbox_fill(ox_pid pid);

/* Single-thread mode. True when something was done, false when nothing is ready now. */
bool ox_runtime_step(void);
/* Steps until nothing is ready or `max` steps were done; returns the number done. */
uint64_t ox_runtime_drain(uint64_t max);
/* When the next timer, or the completion of a job that took its time, is due on the monotonic clock; UINT64_MAX without
 * one. */
uint64_t ox_runtime_next_timer_ns(void);

/* From inside a dirty job: it takes so long. What it did stands at once; its thread is taken, and its completion held
 * back, until then. */
void ox_runtime_job_takes(uint64_t ns);

#endif
