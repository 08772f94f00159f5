/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/heart.h - the heart: owns the listening sockets, starts, watches and restarts node and engine.
 *
 * How the heart and its two children speak
 *
 *   argv of the node     observex node --data DIR --fd-otlp-grpc N --fd-otlp-http N --fd-api N --fd-debug N
 *                        --fd-control N --fd-lock N
 *   argv of the engine   observex engine --data DIR --socket DIR/engine.sock --fd-control N --fd-lock N
 *   environment          the resolved configuration as OBSERVE_X_* (ox_config_export), so a child that is
 *                        started later reads what the heart read, not what the file has become meanwhile
 *   fds                  listening sockets; one end of a socketpair for control; DIR/lock, which a child only
 *                        has to keep open: nobody else can start on DIR before the last of the three is gone
 *   the parent's death   PR_SET_PDEATHSIG is SIGKILL before exec; the end of file of control says the same
 *   group                each child leads a process group of its own, so that Ctrl-C reaches the heart alone
 *
 *   control, one JSON object per line:
 *   child → heart        {"event":"ready"}             node: accepts traffic; engine: answers statements
 *                        {"event":"stopping"}          ends by itself in good order
 *                        {"event":"reload","num":N}    node: read the configuration again; N comes back
 *                        {"event":"mend","pid":N}      node: start the engine anew, if it is still N: it cannot read what
 *                                                      it holds
 *   heart → node         {"event":"reload","num":N}    that was done: DIR/config.json says what came of it; N 0: SIGHUP
 *                        {"event":"engine","pid":N}    the engine is ready (again); pid 0: it is gone
 *                        {"event":"stop"}              finish what was accepted, then exit 0
 *   The engine is stopped by SIGTERM. SIGHUP is the heart's own: see heart_reload.c.
 *
 * Owns:    DIR/lock, DIR/secret, DIR/config.json, DIR/engine.sock's removal, the ready file, both children.
 * Threads: the main thread; ox_heart_run returns when everything has ended.
 * Bounds:  heart.* keys; control lines have OX_HEART_LINE_MAX bytes.
 */
#ifndef OX_HEART_H
#define OX_HEART_H

#include <sys/types.h>

#include "cmd/starts.h"
#include "ox/config.h"

#define OX_HEART_LINE_MAX 512

struct ox_heart_options {
    const struct ox_config *config;          /* lend, copied; config->data may be relative */
    const struct ox_config_sources *sources; /* lend: what a reload reads; NULL = none is possible */
    const char *exe; /* the children's program: "/proc/self/exe"; tests put their own */
    bool banner;     /* print addresses and first commands to stdout once ready */
};

/* Runs until it is asked to stop or must give up. Returns an exit code: OX_EXIT_OK after a stop in good
 * order, OX_EXIT_FAILED with a sentence in `diag` when it could not start, OX_EXIT_CRASHING after a crash
 * loop. */
int ox_heart_run(const struct ox_heart_options *options, struct ox_diag *diag);

/* A control line, parsed. */
enum ox_heart_event {
    OX_HEART_NONE, /* not one of ours: ignore it */
    OX_HEART_READY,
    OX_HEART_STOPPING,
    OX_HEART_ENGINE,
    OX_HEART_STOP,
    OX_HEART_RELOAD,
    OX_HEART_MEND,
};
struct ox_heart_line {
    enum ox_heart_event event;
    pid_t pid;    /* of ENGINE, MEND */
    uint64_t num; /* of RELOAD */
};
/* Reads one line, without its newline. */
struct ox_heart_line ox_heart_line_parse(struct ox_str line);
/* Writes one line with its newline; returns its length. */
size_t ox_heart_line_print(struct ox_heart_line line, char out[OX_HEART_LINE_MAX]);

/* What a child finds in its argv; -1 where a flag is missing. */
struct ox_child_args {
    int fd_control, fd_lock;
    int fd_otlp_grpc, fd_otlp_http, fd_api, fd_debug;
    const char *socket;      /* of the engine; NULL for the node */
    struct ox_starts starts; /* zeros when it is started by hand */
};
/* Takes the --fd-* flags, --socket and --starts out of argv. INVALID (said on stderr) when one is not what it should be. */
OX_MUST_USE ox_err ox_child_args_take(int *argc, char **argv, struct ox_child_args *out);
/* Tells the heart; blocking, a few bytes. false when the heart is gone. fd -1 (started by hand): true. */
bool ox_child_say(int fd_control, enum ox_heart_event event);
bool ox_child_say_line(int fd_control, struct ox_heart_line line);

/* Whether an ObserveX, or a child that a killed one left behind, holds DIR. Any process, any thread. */
bool ox_data_held(const char *data);

/* Reads DIR/secret (hex, zero-terminated) into out. NOT_FOUND with a sentence when nothing runs there. */
#define OX_SECRET_HEX 64
OX_MUST_USE ox_err ox_secret_read(const char *data, char out[OX_SECRET_HEX + 1], struct ox_diag *diag);

#endif
