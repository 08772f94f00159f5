/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/sup.h - what the files of the supervisor share.
 *
 * Owns:    nothing.
 * Threads: a supervisor's state belongs to its own turns.
 */
#ifndef OX_CORE_SUP_H
#define OX_CORE_SUP_H

#include "ox/supervisor.h"
#include "runtime/core/internal.h"

#define SHUTDOWN_MS_DEFAULT 5000u
#define SUP_INTENSITY_MAX   64u /* restarts that one window may allow; supervisor.max_restarts ends here, too */

/* When a child was restarted lately: a ring of max + 1 times. */
struct ox__intensity {
    uint64_t times_ns[SUP_INTENSITY_MAX + 1];
    uint32_t n; /* in the window, oldest first */
};

struct ox__restart_policy {
    uint32_t max_restarts;
    uint64_t window_ns;
    uint64_t backoff_min_ms, backoff_max_ms;
};

/* One more end at now_ns: false past the intensity, else *backoff_ms is how long to wait. Pure. */
bool ox__intensity_admits(struct ox__intensity *in, const struct ox__restart_policy *policy, uint64_t now_ns,
                          uint64_t *backoff_ms);

/* One more end at now_ns, which counts for the wait only: how long that is. Pure. */
uint64_t ox__intensity_backoff(struct ox__intensity *in, const struct ox__restart_policy *policy,
                               uint64_t now_ns);

struct ox__child {
    struct ox__child *prev, *next; /* in order of start */
    struct ox__child *id_next;     /* bucket by id */
    struct ox__child *slot_next;   /* bucket by pid */
    struct ox__child *wait_next;   /* waits for the one before it */
    struct ox_child_spec spec;     /* id and name point to the copies below */
    char id[OX_CHILD_ID_MAX + 1];
    char name[OX_NAME_MAX + 1];
    ox_pid pid;
    enum ox_child_state state;
    bool in_order, waiting, started_once;
    bool drop_if_start_fails; /* somebody waits for its start and wants an error, not a retry */
    uint32_t restarts, crashes;
    uint32_t barren;        /* ends since the last progress */
    uint64_t timer;         /* backoff or shutdown */
    struct ox_from stopper; /* who asked for the stop */
    struct ox_cause last_cause;
    struct ox__intensity intensity;
};

struct ox__sup {
    struct ox_sup_spec spec; /* name points to the copy below */
    char name[OX_NAME_MAX + 1];
    struct ox__restart_policy policy;
    struct ox__child *first, *last;
    struct ox__child **by_id, **by_slot; /* buckets_n each */
    uint32_t buckets_n, n;
    struct ox__child *wait_first, *wait_last;
    struct ox__child *starting; /* the child whose on_start those in order wait for */
    bool shutting;
};

/* A supervisor's arg: how it was asked for. Freed with the child spec, or by ox_sup_start. */
struct ox__sup_arg {
    struct ox_sup_spec spec;
    char name[OX_NAME_MAX + 1];
};

extern const struct ox_actor_class ox__sup_class;

/* sup_child.c */
struct ox__child *ox__child_new(const struct ox_child_spec *spec);
/* Frees the child and its arg; it must be in no table. */
void ox__child_free(struct ox__child *child);
/* Spawns its actor, held. */
OX_MUST_USE ox_err ox__child_spawn(struct ox__child *child, ox_pid sup, struct ox__start_waiter *waiter,
                                   struct ox_diag *diag);
OX_MUST_USE ox_err ox__children_add(struct ox__sup *sup, struct ox__child *child);
void ox__children_remove(struct ox__sup *sup, struct ox__child *child);
struct ox__child *ox__children_by_id(const struct ox__sup *sup, const char *id);
struct ox__child *ox__children_by_pid(const struct ox__sup *sup, ox_pid pid);
/* The child's pid changed. */
void ox__children_repid(struct ox__sup *sup, struct ox__child *child, ox_pid pid);
struct ox_children *ox__children_list(const struct ox__sup *sup, bool details);

/* sup_request.c */
struct ox__sup_request {
    enum ox_sup_op op;
    uint32_t crashes;
    char id[OX_CHILD_ID_MAX + 1];
};
void ox__sup_on_request(struct ox_actor *self, struct ox__sup *sup, struct ox_msg *msg);

/* supervisor.c */
/* Begins to end a child; true when it has ended at once. */
bool ox__sup_stop_child(struct ox_actor *self, struct ox__sup *sup, struct ox__child *child);
/* Starts it now or in its turn. */
void ox__sup_launch(struct ox__sup *sup, struct ox__child *child);

#endif
