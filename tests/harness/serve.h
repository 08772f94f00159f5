/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/serve.h - `observex serve` in a directory of its own, before a scripted storage endpoint.
 *
 * Owns:    the processes (they end with the test, also when it is killed), the directory, the endpoint (fake_clickhouse.c).
 * Threads: the test's own, which is the one that forks: the server dies with it.
 * Bounds:  SERVE_PATIENCE_MS for every state that is waited for; SERVE_ARGS_MAX arguments.
 *
 * OX_OBSERVEX (the program) is set by meson. OX_KEEP=1 in the environment keeps directory and log.
 */
#ifndef OX_TESTS_SERVE_H
#define OX_TESTS_SERVE_H

#include <criterion/criterion.h>
#include <poll.h>
#include <sys/types.h>

#include "tests/harness/fake_clickhouse.h"
#include "tests/harness/http_client.h"

#define SERVE_PATIENCE_MS 60000
#define SERVE_ARGS_MAX    80

int64_t serve_now_ms(void);

#define eventually(condition)                                                                                \
    do {                                                                                                     \
        int64_t until_ = serve_now_ms() + SERVE_PATIENCE_MS;                                                 \
        while (!(condition) && serve_now_ms() < until_)                                                      \
            poll(NULL, 0, 20);                                                                               \
        cr_assert(condition, "never: %s", #condition);                                                       \
    } while (0)

struct serve {
    char dir[64];
    char ready_path[128], storage_url[64];
    pid_t heart, node, engine; /* engine: 0 unless embedded */
    uint16_t http_port, api_port, debug_port;
    bool mounted; /* a file system of its own lies at dir */
};
extern struct serve serve;

/* Of every test: makes the directory and starts the endpoint; ends all and removes the directory. */
void serve_setup(void);
void serve_teardown(void);
/* After serve_setup: the embedded engine instead of the scripted endpoint. */
void serve_embedded(const char *libchdb);
/* After serve_setup: the directory is a file system of `size` ("80m"). Skips the test where that may not be mounted. */
void serve_on_small_disk(const char *size);
/* Something else fills the disk but for so many MiB: the file DIR/ballast. */
void serve_fill(size_t leave_mib);
/* `observex sql`, without and with --write: the first line of the answer, until the next call; NULL when it failed. */
const char *serve_sql(const char *statement);
const char *serve_sql_write(const char *statement);
/* The same as a number; -1 when it failed. */
long serve_number(const char *statement);
/* Starts the program and waits until it takes traffic. faults: OBSERVE_X_TEST_FAULTS, or NULL. more: further arguments,
 * NULL at their end, or NULL. */
void serve_start(const char *faults, const char *const *more);
/* The ports and pids of a node that is ready and is not `not_this`; false while there is none. */
bool serve_read_ready(pid_t not_this);
/* Forgets the earlier server's ready file, before it is started again. */
void serve_forget_ready(void);
/* Waits for the node that the heart starts in place of the present one. */
void serve_wait_next(void);
/* kill -9 of the node, and waits for the next one. */
void serve_kill_node(void);
/* kill -9 of heart and node; serve_start may follow. */
void serve_kill(void);
/* An orderly end; the exit code. */
int serve_stop(void);

#endif
