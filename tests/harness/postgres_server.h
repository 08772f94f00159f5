/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/postgres_server.h - a PostgreSQL server of one's own, in a folder of its own, reached by a Unix socket.
 *
 * Owns:    the server's process and folder, until postgres_stop.
 * Threads: one.
 * Fails:   postgres_start is false when the machine has no PostgreSQL: the test then says that it is left out.
 *
 * It never runs as root, and not for a moment: as root the fixture becomes `nobody` in the child before it starts anything.
 * Besides, it ends with its test (PR_SET_PDEATHSIG). fsync is off: no test here loses power.
 */
#ifndef POSTGRES_SERVER_H
#define POSTGRES_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct postgres_server {
    char dir[64];
    pid_t pid;
    char owner_url[256]; /* superuser `owner` of database `observex` */
    char node_url[256];  /* role `observex_node`, which `ox_control_init_postgres` makes */
};

bool postgres_start(struct postgres_server *s);
/* Ends the server's process in good order (fast), keeps the folder. */
void postgres_halt(struct postgres_server *s);
/* Starts it again on what it has. */
void postgres_resume(struct postgres_server *s);
/* Starts it again so that it also listens at 127.0.0.1 with TLS and nothing else, with copies of this pair; the port. */
uint16_t postgres_resume_tls(struct postgres_server *s, const char *cert, const char *key);
void postgres_stop(struct postgres_server *s);

#endif
