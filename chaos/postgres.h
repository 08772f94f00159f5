/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/postgres.h - a PostgreSQL of the run's own, with the tenants and keys of production mode.
 *
 * Owns:    the server's processes and its folder.
 * Threads: main.
 * Bounds:  CHAOS_POSTGRES_S until it answers.
 * Fails:   false, with a sentence in the server's `why`.
 *
 * It never runs as root: as root it becomes `nobody` before it starts anything. fsync is off, since nothing here takes
 * its power.
 */
#ifndef CHAOS_POSTGRES_H
#define CHAOS_POSTGRES_H

#include <sys/types.h>

#include "chaos/ids.h"

#define CHAOS_POSTGRES_S 60
#define CHAOS_SECRET_MAX 160
#define CHAOS_PROCESSES  64

struct chaos_server;

struct chaos_postgres {
    char dir[64];
    pid_t pid; /* 0 = it does not run */
    char node_url[160], owner_url[160];
    char operator_key[CHAOS_SECRET_MAX];
    /* Keys that must never open anything: one that was revoked, and one that has the form of a key and is none. */
    char revoked[CHAOS_SECRET_MAX], unknown[CHAOS_SECRET_MAX];
    bool has_keys;
};

/* Makes it, with schema and operator. Once, before the first start of the server. */
OX_MUST_USE bool chaos_postgres_start(struct chaos_server *s);
/* Tenants and keys of the lanes, once the server has started the first time: s->keys, revoked, unknown. */
OX_MUST_USE bool chaos_postgres_keys(struct chaos_server *s);
/* kill -9 of all of its processes at once. */
void chaos_postgres_kill(struct chaos_postgres *p);
/* Ends it as an operator does (fast). */
void chaos_postgres_halt(struct chaos_postgres *p);
/* All of its processes stand still; its sockets stay open. Then they go on. */
void chaos_postgres_freeze(struct chaos_postgres *p, bool still);
/* Starts it again on what it has. */
OX_MUST_USE bool chaos_postgres_resume(struct chaos_server *s);
/* Ends it and removes its folder. */
void chaos_postgres_fini(struct chaos_postgres *p);
/* Sends a request with each of the keys that must not open anything; false when one was let in. */
OX_MUST_USE bool chaos_postgres_keeps_out(struct chaos_server *s);

#endif
