/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/heart_internal.h - what the files of the heart share.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 */
#ifndef OX_HEART_INTERNAL_H
#define OX_HEART_INTERNAL_H

#include <uv.h>

#include "cmd/heart.h"

enum ox__child_state {
    OX__CHILD_OFF,      /* not wanted, or ended for good */
    OX__CHILD_STARTING, /* runs, not ready yet; timer: the start's time-out */
    OX__CHILD_READY,    /* runs; no timer */
    OX__CHILD_WAITING,  /* died; timer: the back-off */
    OX__CHILD_STOPPING, /* asked to end; timer: the stop's time-out */
};

struct ox__heart;
struct ox__control; /* the heart's end of one child's control socket */

struct ox__child {
    struct ox__heart *heart;
    const char *name; /* "node", "engine": also the subcommand */
    enum ox__child_state state;
    pid_t pid; /* 0 = none */
    struct ox__control *control;
    uv_timer_t timer;
    uint64_t ready_at; /* uv_now of the last ready */
    unsigned failures; /* starts in a row that came to nothing */
    unsigned starts;   /* in this heart's life */
    struct ox_starts starts_by;
    enum ox_start next; /* what the next start is for */
    bool hopeless;      /* its exit code said that trying again is no use */
    bool was_ready;     /* ever */
    bool killed_by_us;  /* after a time-out: the obituary says so */
    bool
        again; /* STOPPING, to be started anew: a key of its configuration changed, or the node asked for it */
};

/* The four listening sockets, in the order of the flags. */
enum ox__listen {
    OX__LISTEN_OTLP_GRPC,
    OX__LISTEN_OTLP_HTTP,
    OX__LISTEN_API,
    OX__LISTEN_DEBUG,
    OX__LISTEN_COUNT
};

struct ox__listener {
    const char *flag;    /* "otlp-grpc" */
    const char *fd_flag; /* "--fd-otlp-grpc" */
    const struct ox_net_addr *wanted;
    int fd;
    char actual[OX_NET_ADDR_MAX];
};

struct ox__heart {
    const struct ox_heart_options *options;
    const struct ox_config *config; /* &now */
    struct ox_config now;           /* in force */
    uint8_t *origins;               /* of its values, enum ox_config_origin; one per row of ox_config_rows */
    uint64_t config_version;        /* counts what changed it, from 1 */
    uv_loop_t loop;
    uv_signal_t signals[4];
    struct ox__child node, engine;
    struct ox__listener listeners[OX__LISTEN_COUNT];
    int lock_fd;
    char socket_path[OX_CONFIG_STRING_MAX + 16];
    char **child_env; /* NULL-terminated; the strings live in env_text */
    struct ox_buf env_text;
    bool stopping;
    bool hurry; /* asked to stop twice */
    bool ended; /* the loop is being left */
    bool banner_shown;
    int exit_code;
    struct ox_diag *diag;
};

/* heart_data.c: the data directory. */
/* Creates DIR, takes DIR/lock into *lock_fd (inheritable). STATE with the holder's pid in the sentence. */
OX_MUST_USE ox_err ox__data_lock(const char *data, int *lock_fd, struct ox_diag *diag);
/* Warns or refuses by free space. */
OX_MUST_USE ox_err ox__data_space(const struct ox_config *config, struct ox_diag *diag);
OX_MUST_USE ox_err ox__secret_create(const char *data, struct ox_diag *diag);
/* Replaces the file at `path` by `text` in one step, mode 0600 or 0644. */
OX_MUST_USE ox_err ox__file_replace(const char *path, unsigned mode, struct ox_str text,
                                    struct ox_diag *diag);

/* heart_listen.c */
OX_MUST_USE ox_err ox__listeners_open(struct ox__heart *heart, struct ox_diag *diag);
void ox__listeners_close(struct ox__heart *heart);

/* heart_ready.c: the ready file and the banner. */
/* Before anything is started, with the lock held: removes what a killed ObserveX left, which speaks of processes that
 * are gone, and makes sure that the file can be written: whoever waits for it would wait for ever. */
OX_MUST_USE ox_err ox__ready_begin(struct ox__heart *heart, struct ox_diag *diag);
void ox__ready_write(struct ox__heart *heart);
void ox__ready_remove(struct ox__heart *heart);

/* heart_child.c */
void ox__child_init(struct ox__child *child, struct ox__heart *heart, const char *name);
/* Forks and execs; a failed fork or exec counts like a death. */
void ox__child_start(struct ox__child *child);
/* Asks it to end; `timeout_ms` later it is killed. OFF at once when it does not run; nothing when it has been
 * asked before. */
void ox__child_stop(struct ox__child *child, int64_t timeout_ms);
/* One that is asked to end already: asks again, and kills it after `timeout_ms`. */
void ox__child_hurry(struct ox__child *child, int64_t timeout_ms);
/* Ends it as ox__child_stop does and starts it again; nothing when it does not run. why: for the log. */
void ox__child_restart(struct ox__child *child, const char *why, int64_t timeout_ms);
void ox__child_send(struct ox__child *child, struct ox_heart_line line);
/* Reaps it if it has ended; true when it had. */
bool ox__child_reap(struct ox__child *child);

/* heart_notify.c: "READY=1", "STOPPING=1" and the like, to whoever started us as a service. */
void ox__heart_notify(const char *state);

/* heart_reload.c */
/* Writes DIR/config.json, or removes it. */
void ox__config_write(struct ox__heart *h);
void ox__config_remove(struct ox__heart *h);
/* Reads the configuration again; number: of the node's request, 0 for SIGHUP. */
void ox__heart_reload(struct ox__heart *h, uint64_t number);

/* heart.c */
/* Builds the environment of children that are started from now on. NOMEM: it stays as it was. */
OX_MUST_USE ox_err ox__heart_env(struct ox__heart *h);

/* heart.c, told by heart_child.c */
/* The node says that the engine, process `pid`, cannot read what it holds. */
void ox__heart_mend(struct ox__heart *heart, pid_t pid);
void ox__heart_child_ready(struct ox__heart *heart, struct ox__child *child);
/* The child has ended and will not be started again now; failed: too many failed starts. */
void ox__heart_child_off(struct ox__heart *heart, struct ox__child *child, bool failed);
void ox__heart_child_died(struct ox__heart *heart, struct ox__child *child);

#endif
