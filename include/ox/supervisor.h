/* SPDX-License-Identifier: Apache-2.0
 *
 * include/ox/supervisor.h - one-for-one supervisors in the terms of OTP.
 *
 * Owns:    its children: it starts them in order, restarts them, stops them in reverse order.
 * Threads: any, unless said otherwise; a supervisor is an actor and never blocks.
 * Bounds:  children_max; restarts by intensity and period; backoff between backoff_min_ms and backoff_max_ms.
 * Fails:   OVERLOAD, EXISTS, NOT_FOUND, STATE, GONE.
 *
 * A restarted child keeps its pid, its name and its mailbox: whoever knows it need not learn a new address,
 * and what waited is handled by the next incarnation, in order. The message that was in hand at the crash
 * goes to the hook set_aside and is not delivered again. Calls, timers, jobs and monitors that the old
 * incarnation had begun are forgotten. A child that was stopped and started again by request gets a new pid.
 * A child past its intensity is quarantined: its mailbox is emptied
 * through the hook undelivered, sends give QUARANTINED, until ox_sup_revoke names the number of its crashes.
 */
#ifndef OX_SUPERVISOR_H
#define OX_SUPERVISOR_H

#include "ox/actor.h"

enum ox_restart {
    OX_RESTART_PERMANENT, /* always, also after a normal end */
    OX_RESTART_TRANSIENT, /* after an abnormal end only */
    OX_RESTART_TEMPORARY  /* never */
};
enum ox_child_type { OX_CHILD_WORKER, OX_CHILD_SUPERVISOR };
enum ox_past_intensity {
    OX_SUP_QUARANTINE, /* the child alone is put aside */
    OX_SUP_ESCALATE    /* the supervisor stops its children and ends; its own supervisor decides */
};

/* Which ends count against max_restarts. The backoff always follows the ends within the window. */
enum ox_sup_intensity {
    OX_SUP_PER_WINDOW, /* those of the last window_ms */
    /* those since the child last said ox_actor_progress, whenever they were, but for those on trial (ox_actor_trial) */
    OX_SUP_PER_PROGRESS
};

#define OX_SHUTDOWN_DEFAULT 0u         /* 5,000 ms */
#define OX_SHUTDOWN_BRUTAL  UINT32_MAX /* no on_stop */
#define OX_CHILD_ID_MAX     95

struct ox_child_spec {
    const char *id; /* unique among the children; copied, at most OX_CHILD_ID_MAX bytes */
    const struct ox_actor_class *class;
    void *arg;                   /* for on_start of each incarnation: lives as long as the child */
    void (*arg_free)(void *arg); /* when the child is removed; NULL = nothing to free */
    const char *name;            /* registered name, copied; NULL = none */
    int loop;                    /* OX_LOOP_ANY or OX_LOOP(i) */
    struct ox_account *account;  /* of the arenas */
    enum ox_restart restart;
    uint32_t shutdown_ms; /* OX_SHUTDOWN_*; or time between on_stop and kill */
    enum ox_child_type type;
    enum ox_past_intensity past_intensity;
    enum ox_sup_intensity intensity;
    /* Not 0: the child is added in quarantine, after so many crashes, and starts when that is revoked. */
    uint32_t quarantined_crashes;
    struct ox_cause cause; /* on whose behalf the child exists */
};

struct ox_sup_spec {
    const char *name;                      /* registered name, copied; needed */
    ox_pid parent;                         /* its own supervisor; none for a root */
    uint32_t max_restarts;                 /* 0 = 5 */
    uint32_t window_ms;                    /* 0 = 60,000 */
    uint32_t backoff_min_ms;               /* 0 = 100, doubles with each crash in the window */
    uint32_t backoff_max_ms;               /* 0 = 30,000 */
    uint32_t children_max;                 /* 0 = 65,536 */
    enum ox_past_intensity past_intensity; /* what the parent does when this one keeps ending */
    /* Fixed children, started in this order, each after the on_start of the one before, and started again with the
     * supervisor; lend, for as long as the supervisor may be restarted. */
    const struct ox_child_spec *children;
    uint32_t children_n;
};

/* Starts a supervisor, with its fixed children if it has any. diag as for ox_spawn. */
OX_MUST_USE ox_err ox_sup_start(const struct ox_sup_spec *spec, ox_pid *pid, struct ox_diag *diag);
/* Adds a child and starts it behind those added before: each waits for the on_start of the one before it when
 * `in_order`, else starts at once. Returns as soon as it has a pid. An id that is taken ends the new child
 * with START_FAILED and a log line. spec: lend; spec->arg: take on OK when arg_free is set. */
OX_MUST_USE ox_err ox_sup_add(ox_pid sup, const struct ox_child_spec *spec, bool in_order, ox_pid *pid,
                              struct ox_diag *diag);
/* The same, then waits for on_start's outcome. Not on a scheduler thread. */
OX_MUST_USE ox_err ox_sup_add_wait(ox_pid sup, const struct ox_child_spec *spec, ox_pid *pid,
                                   struct ox_diag *diag);

enum ox_child_state {
    OX_CHILD_STARTING,
    OX_CHILD_RUNNING,
    OX_CHILD_BACKOFF, /* crashed, waits for its restart */
    OX_CHILD_STOPPING,
    OX_CHILD_STOPPED, /* ended and not to be restarted */
    OX_CHILD_QUARANTINED
};
const char *ox_child_state_name(enum ox_child_state state);
/* "permanent", "transient", "temporary" */
const char *ox_restart_name(enum ox_restart restart);

struct ox_child_info {
    char id[OX_CHILD_ID_MAX + 1];
    const char *class_name;
    ox_pid pid;
    enum ox_child_type type;
    enum ox_child_state state;
    uint32_t restarts;
    uint32_t crashes; /* in all; what ox_sup_revoke must repeat */
    /* as its child spec says */
    enum ox_restart restart;
    uint32_t shutdown_ms; /* OX_SHUTDOWN_BRUTAL, or milliseconds */
    enum ox_past_intensity past_intensity;
    enum ox_sup_intensity intensity;
    struct ox_cause cause;
};
struct ox_child_counts {
    uint32_t specs, active, supervisors, workers, quarantined;
};
/* Answer to WHICH_CHILDREN: counts and the first `n` children. */
struct ox_children {
    struct ox_child_counts counts;
    uint32_t n;
    struct ox_child_info child[];
};

/* Requests; their answers come as messages (kind OX_MSG_SUP_REPLY). err: NOT_FOUND, STATE, FORBIDDEN. Own. */
#define OX_MSG_SUP_REPLY (OX_MSG_SYSTEM + 0x100)
enum ox_sup_op {
    OX_SUP_WHICH,  /* data: struct ox_children */
    OX_SUP_COUNT,  /* data: struct ox_children with n 0 */
    OX_SUP_STOP,   /* id: stops it, its spec stays (terminate_child); answered when it has ended */
    OX_SUP_START,  /* id: starts a stopped one again (restart_child) */
    OX_SUP_REMOVE, /* id: forgets a stopped one (delete_child) */
    OX_SUP_REVOKE  /* id, crashes: ends its quarantine; FORBIDDEN unless crashes is right */
};
OX_MUST_USE ox_err ox_sup_request(struct ox_actor *self, ox_pid sup, enum ox_sup_op op, const char *id,
                                  uint32_t crashes, uint32_t timeout_ms, uint64_t *ref);
/* The same, blocking, for threads that may block. reply: take (may be NULL when only the error matters). */
OX_MUST_USE ox_err ox_sup_ask(ox_pid sup, enum ox_sup_op op, const char *id, uint32_t crashes,
                              uint32_t timeout_ms, struct ox_msg **reply);

#endif
