/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/engine_fixture.h - a real engine process on a temporary directory.
 *
 * Owns:    the directory and the process.
 * Threads: the test's.
 *
 * OX_ENGINE_CHILD (the program to run) and OX_LIBCHDB (the library) are set by meson.
 */
#ifndef OX_ENGINE_FIXTURE_H
#define OX_ENGINE_FIXTURE_H

#include <sys/types.h>

#include "ox/storage.h"

#define ENGINE_SECRET "0123456789abcdef0123456789abcdef"

struct engine_fixture {
    char dir[128];
    char data[160];
    char socket[160];
    char url[176];
    const char *tables;
    pid_t pid;
    int control; /* our end; closing it stops the engine */
    struct ox_storage *st;
};

/* Makes the directory and starts the engine; ends the test when it does not come up. numbers: NULL-terminated
 * "name=number" options of engine_child, or NULL. */
void engine_up(struct engine_fixture *f, const char *tables, const char *const *numbers);
/* Starts it again on the same directory, after engine_kill. */
void engine_again(struct engine_fixture *f);
/* kill -9 and wait. */
void engine_kill(struct engine_fixture *f);
/* SIGTERM; the exit code. */
int engine_stop(struct engine_fixture *f);
/* Ends everything and removes the directory. */
void engine_down(struct engine_fixture *f);
/* Starts a second process with the same arguments and returns its exit code. */
int engine_second(const struct engine_fixture *f);

/* Runs `sql` as the system and fails the test on error. The result is in a static buffer. */
const char *engine_sql(struct engine_fixture *f, const char *sql);
/* Runs `sql` as `tenant` (NULL = system); the result, or the error's text in `diag`. */
ox_err engine_ask(struct engine_fixture *f, const char *tenant, const char *sql, char *out, size_t size,
                  struct ox_diag *diag);

#endif
