/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/server.h - one `observex serve` on a directory that outlives it: started, killed, started again.
 *
 * Owns:    the processes; the directory belongs to the run.
 * Threads: main; the ports may be read by any thread (they change when the heart is started again).
 * Bounds:  CHAOS_START_S until it accepts traffic.
 * Fails:   false, with a sentence in `why`.
 */
#ifndef CHAOS_SERVER_H
#define CHAOS_SERVER_H

#include <stdatomic.h>
#include <sys/types.h>

#include "chaos/postgres.h"
#include "chaos/proxy.h"
#include "chaos/scenario.h"
#include "chaos/shim.h"

#define CHAOS_START_S 120
#define CHAOS_KEY_MAX 160

struct ox_storage;

struct chaos_server {
    const char *exe;
    const struct chaos_scenario *scenario; /* its configuration */
    char dir[256];                         /* of the run: ready.json, serve.log */
    char data[264];
    struct shim_control *shim; /* mapped; NULL = no shim is preloaded */
    char shim_dir[272], shim_file[512];
    struct chaos_proxy proxy;
    uint16_t proxy_port; /* of the proxy before the clients; 0 = none */
    pid_t heart, node, engine;
    _Atomic uint16_t otlp_port; /* where the load goes */
    _Atomic uint16_t real_port; /* the server's own */
    uint16_t api_port, debug_port;
    struct chaos_postgres postgres; /* control postgres */
    char keys[CHAOS_TENANTS_MAX][CHAOS_KEY_MAX];
    char why[1200];
};

uint64_t chaos_now_ns(void);  /* monotonic */
uint64_t chaos_unix_ns(void); /* wall clock */
void chaos_nap_ms(uint64_t ms);

/* The tenants' names: chaos-a, chaos-b, ... */
const char *chaos_tenant(uint32_t tenant);

/* Prepares what the scenario puts around the server: shim and proxy. Once, before the first start. */
OX_MUST_USE bool chaos_server_prepare(struct chaos_server *s);
void chaos_server_fini(struct chaos_server *s);
/* Starts heart, node and engine, and returns when traffic is accepted. */
OX_MUST_USE bool chaos_server_start(struct chaos_server *s);
/* Reads who runs now; false when the file is not there. */
bool chaos_server_refresh(struct chaos_server *s);
/* Waits until another node or engine (pid_t inside `s`) than `before` is named as ready. */
OX_MUST_USE bool chaos_server_replaced(struct chaos_server *s, const pid_t *which, pid_t before);
/* Sends a signal to a process that is the heart or a child of it; nothing to anybody else. */
bool chaos_server_signal(struct chaos_server *s, pid_t pid, int sig);
/* kill -9 of all three at the same moment; returns when they are gone. */
void chaos_server_kill(struct chaos_server *s);
/* kill -9 of the heart alone; returns when its children have followed it. */
OX_MUST_USE bool chaos_server_behead(struct chaos_server *s);
/* SIGTERM; false when it had to be killed. */
bool chaos_server_stop(struct chaos_server *s);
/* A client of the engine with all rights; NULL while there is none. Close with ox_storage_close. */
struct ox_storage *chaos_server_storage(struct chaos_server *s);

#endif
