/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    the rules of assertions hold: what the outside causes is a returned error, what only a bug of ours causes ends
 *          the actor, and where an actor cannot be ended by itself, the process.
 * Method:  an actor that breaks each rule; where the rule is about sources, the sources are read.
 *
 * rule                                                              test
 * ----------------------------------------------------------------  ---------------------------------------------------
 * what the outside can cause is a returned error                     proto_otlp_decode, proto_otlp_json, net_http1, net_http2,
 *                                                                    policies_validate; tests/fuzz; e2e/bad_input.test.mjs
 * every error has one row, and every row its text and status         runtime_base
 * OX_ASSERT: in every build                                          rules, an_assertion_fires_in_every_build (NDEBUG is set)
 * OX_CHECK_OBJ: another object, or none                              rules, an_object_of_another_kind_ends_the_actor
 * OX_DCHECK: only where it is asked for                              rules, a_costly_check_is_not_evaluated_unasked
 * OX_UNHANDLED: as an assertion; counted, and only falls             rules, what_is_not_handled_yet_..., no_more_is_left_...
 * in a handler: ends that actor and nobody else, whose message is    panic, ends_one_actor_..., a_failed_assertion_...,
 *   set aside; on_start, on_stop as well                             in_on_start_..., in_on_stop; integration_supervision
 * its caller, watchers, links are told                               panic, the_caller_is_told; wait, monitor and link
 * what it acquired is released, last first: arena, defers, timers,   panic, ends_one_actor_...; wait, ends_with_its_actor,
 *   jobs, handles of its loop, sockets                               a_job_whose_actor_died_...; threads, a_handle_of_...;
 *                                                                    chaos/scenarios/panics.scn
 * restart within intensity, then quarantine or escalation            supervisor
 * in runtime/: ends the process                                      rules, in_the_runtime_it_ends_the_process
 * under a lock: ends the process                                     rules, under_a_lock_it_ends_the_process (and _reading)
 * locks are taken only where that is known                           rules, locks_are_taken_in_one_way
 * handlers hold no locks                                             rules, a_handler_that_keeps_a_lock_ends_the_process
 * beneath a library's callback: ends the process                     rules, in_a_callback_of_the_loop_it_ends_the_process;
 *                                                                    panic, where_it_may_not_unwind_it_ends_the_process
 * outside any turn: ends the process                                 panic, outside_a_handler_it_ends_the_process
 * in a supervisor: ends the process                                  rules, in_a_supervisor_it_ends_the_process
 * SIGSEGV and its like end the process, and leave a record           crash
 */
#define NDEBUG /* of the C library's assert; ours do not care */

#include "kit.h"

#include <ftw.h>
#include <signal.h>
#include <uv.h>

#include "ox/lock.h"
#include "ox/supervisor.h"

#define OBJECT_MAGIC 0x0b7ec7u

enum {
    KIND_ASSERT = 1,
    KIND_OBJECT,
    KIND_NO_OBJECT,
    KIND_COSTLY,
    KIND_UNHANDLED,
    KIND_IN_RUNTIME,
    KIND_UNDER_LOCK,
    KIND_UNDER_READ_LOCK,
    KIND_KEEPS_LOCK,
    KIND_GIVES_LOCK_BACK,
    KIND_NOTE
};

struct object {
    uint32_t magic;
};

static uint32_t handled, obituaries, evaluated;
static char text[512];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

static void
check_object(const struct object *o)
{
    OX_CHECK_OBJ(o, OBJECT_MAGIC);
}

static void
rule_message(struct ox_actor *self, struct ox_msg *msg)
{
    static const struct object other = {OBJECT_MAGIC + 1};
    static const struct object right = {OBJECT_MAGIC};
    switch (msg->kind) {
    case KIND_ASSERT:
        OX_ASSERT(msg->num == 0);
        break;
    case KIND_OBJECT:
        check_object(&right);
        check_object(&other);
        break;
    case KIND_NO_OBJECT:
        check_object(NULL);
        break;
    case KIND_COSTLY:
        OX_DCHECK(++evaluated != 0);
        break;
    case KIND_UNHANDLED:
        OX_UNHANDLED(msg->num == 0);
        break;
    case KIND_IN_RUNTIME:
        (void)ox_signal_name((enum ox_signal)msg->num);
        break;
    case KIND_UNDER_LOCK:
        ox_lock(&lock);
        OX_ASSERT(msg->num == 0);
        break;
    case KIND_UNDER_READ_LOCK:
        ox_lock_read(&rwlock);
        OX_ASSERT(msg->num == 0);
        break;
    case KIND_KEEPS_LOCK:
        ox_lock(&lock);
        break;
    case KIND_GIVES_LOCK_BACK:
        ox_lock(&lock);
        ox_unlock(&lock);
        ox_lock_write(&rwlock);
        ox_unlock_rw(&rwlock);
        OX_ASSERT(msg->num == 0);
        break;
    default:
        break;
    }
    handled++;
}

static const struct ox_actor_class rule_class = {.name = "rule", .on_message = rule_message};

static void
on_obituary(void *arg, const struct ox_obituary *ob)
{
    obituaries++;
    snprintf(text, sizeof(text), "%s", ob->text);
}

/* Sends one message to one actor; its neighbour must live. */
static void
try(uint32_t kind)
{
    kit_start_with((struct ox_runtime_options){.hooks = {.obituary = on_obituary}});
    ox_pid pid = kit_spawn(&rule_class, NULL), neighbour = kit_spawn(&rule_class, NULL);
    kit_cast(pid, kind, 9);
    kit_settle();
    kit_cast(neighbour, KIND_NOTE, 0);
    kit_settle();
    cr_assert(ox_alive(neighbour));
}

static void
expect_end(const char *words)
{
    cr_assert_eq(obituaries, 1);
    cr_assert_eq(handled, 1, "the neighbour handled its message");
    cr_assert_not_null(strstr(text, words), "%s", text);
    ox_runtime_stop();
}

Test(rules, an_assertion_fires_in_every_build)
{
    try(KIND_ASSERT);
    expect_end("assertion failed: msg->num == 0");
}

Test(rules, an_object_of_another_kind_ends_the_actor)
{
    try(KIND_OBJECT);
    expect_end("magic");
}

Test(rules, no_object_ends_the_actor)
{
    try(KIND_NO_OBJECT);
    expect_end("!= NULL");
}

Test(rules, a_costly_check_is_not_evaluated_unasked)
{
    try(KIND_COSTLY);
    cr_assert_eq(obituaries, 0);
#ifdef OX_DEBUG_CHECKS
    cr_assert_eq(evaluated, 1);
#else
    cr_assert_eq(evaluated, 0);
#endif
    ox_runtime_stop();
}

Test(rules, what_is_not_handled_yet_is_an_assertion_that_says_so)
{
    try(KIND_UNHANDLED);
    expect_end("not handled yet: msg->num == 0");
}

Test(rules, in_the_runtime_it_ends_the_process, .signal = SIGABRT)
{
    try(KIND_IN_RUNTIME);
}

Test(rules, under_a_lock_it_ends_the_process, .signal = SIGABRT)
{
    try(KIND_UNDER_LOCK);
}

Test(rules, under_a_lock_for_reading_it_ends_the_process, .signal = SIGABRT)
{
    try(KIND_UNDER_READ_LOCK);
}

Test(rules, a_handler_that_keeps_a_lock_ends_the_process, .signal = SIGABRT)
{
    try(KIND_KEEPS_LOCK);
}

Test(rules, a_lock_that_was_given_back_is_none)
{
    try(KIND_GIVES_LOCK_BACK);
    expect_end("msg->num == 0");
}

static void
fail_in_supervisors(void *arg, struct ox_actor *self, const char *class_name)
{
    if (strcmp(class_name, "supervisor") == 0)
        ox_panic("in a supervisor");
}

Test(rules, in_a_supervisor_it_ends_the_process, .signal = SIGABRT)
{
    struct ox_msg *reply;
    ox_pid sup;
    kit_start_with((struct ox_runtime_options){.hooks = {.before = fail_in_supervisors}});
    cr_assert_eq(ox_sup_start(&(struct ox_sup_spec){.name = "s"}, &sup, NULL), OX_OK);
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_WHICH, NULL, 0, 1000, &reply), OX_OK);
}

/* ---- beneath a library ---- */

static void
on_uv_timer(uv_timer_t *timer)
{
    ox_panic("in a callback of libuv");
}

static ox_err
port_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    static uv_timer_t timer; /* the process ends before it could be closed */
    uv_timer_init(ox_actor_loop(self), &timer);
    uv_timer_start(&timer, on_uv_timer, 1, 0);
    return OX_OK;
}

Test(rules, in_a_callback_of_the_loop_it_ends_the_process, .signal = SIGABRT)
{
    static const struct ox_actor_class port_class = {
        .name = "port", .flags = OX_ACTOR_PINNED, .on_start = port_start, .on_message = rule_message};
    struct ox_runtime_options options = {.loops = 1};
    ox_pid pid;
    ox_log_set_level(OX_LOG_FATAL);
    cr_assert_eq(ox_runtime_start(&options, NULL), OX_OK);
    cr_assert_eq(ox_spawn_wait(&(struct ox_spawn){.class = &port_class}, &pid, NULL), OX_OK);
    ox_runtime_run();
}

/* ---- sources ---- */

static const char *wanted;
static uint32_t found;
static char where[2200];

static bool
is_source(const char *path)
{
    size_t n = strlen(path);
    return n > 2 && path[n - 2] == '.' && (path[n - 1] == 'c' || path[n - 1] == 'h');
}

/* The macros and wrappers themselves. */
static bool
defines(const char *path)
{
    static const char *const homes[] = {"/ox/lock.h", "/runtime/core/internal.h", "/ox/base.h"};
    for (size_t i = 0; i < OX_COUNT(homes); i++) {
        if (strstr(path, homes[i]) != NULL)
            return true;
    }
    return false;
}

static int
look(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    char line[1024];
    if (type != FTW_F || !is_source(path) || defines(path))
        return 0;
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    while (fgets(line, sizeof(line), f) != NULL) {
        if (strstr(line, wanted) != NULL) {
            found++;
            snprintf(where, sizeof(where), "%s: %s", path, line);
        }
    }
    fclose(f);
    return 0;
}

static uint32_t
uses_of(const char *words)
{
    static const char *const rooms[] = {"include", "runtime", "proto",  "policies",
                                        "actors",  "schema",  "engine", "cmd"};
    char path[1024];
    wanted = words;
    found = 0;
    for (size_t i = 0; i < OX_COUNT(rooms); i++) {
        snprintf(path, sizeof(path), "%s/%s", OX_SOURCE_ROOT, rooms[i]);
        cr_assert_eq(nftw(path, look, 16, FTW_PHYS), 0, "%s", path);
    }
    return found;
}

Test(rules, locks_are_taken_in_one_way)
{
    static const char *const calls[] = {"pthread_mutex_lock(",      "pthread_mutex_trylock(",
                                        "pthread_rwlock_rdlock(",   "pthread_rwlock_wrlock(",
                                        "pthread_mutex_timedlock(", "pthread_spin_lock("};
    for (size_t i = 0; i < OX_COUNT(calls); i++)
        cr_assert_eq(uses_of(calls[i]), 0, "take it by ox/lock.h: %s", where);
    cr_assert_gt(uses_of("ox_lock("), 10, "this test finds nothing any more");
}

/* A ratchet: whoever returns an error in place of one of them lowers the number. */
Test(rules, no_more_is_left_unhandled_than_was)
{
    cr_assert_leq(uses_of("OX_UNHANDLED("), 5, "return an error instead: %s", where);
}
