/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a panic ends one actor and nothing else: neighbours live, memory and handles are released, the
 *          message is set aside, callers and watchers are told; outside a handler it ends the process.
 * Method:  an actor that panics in each place where it may, hooks that record.
 */
#include "kit.h"

#include <signal.h>

enum { KIND_PANIC = 1, KIND_ASSERT, KIND_ARENA, KIND_NOTE, KIND_STOP_PANIC, KIND_NOPANIC };

static uint32_t obituaries, set_asides, drops, handled, stops;
static char released[16];
static struct ox_obituary last;
static char last_text[512], last_trace[4096];
static struct ox_account account = {.limit_bytes = 1 << 20};

static void
on_obituary(void *arg, const struct ox_obituary *ob)
{
    obituaries++;
    last = *ob;
    snprintf(last_text, sizeof(last_text), "%s", ob->text);
    snprintf(last_trace, sizeof(last_trace), "%s", ob->backtrace);
}

static void
on_set_aside(void *arg, const struct ox_obituary *ob, struct ox_msg *msg)
{
    set_asides++;
    cr_assert_eq(msg->kind, ob->msg_kind);
}

static void
count_drop(void *data)
{
    drops++;
    free(data);
}

static char names[] = "123";
static char no_luck[] = "no luck";

static void
release(void *arg)
{
    released[strlen(released)] = *(const char *)arg;
}

static ox_err
fragile_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    cr_assert_eq(ox_actor_defer(self, release, &names[0]), OX_OK);
    cr_assert_eq(ox_actor_defer(self, release, &names[1]), OX_OK);
    cr_assert_eq(ox_actor_defer(self, release, &names[2]), OX_OK);
    cr_assert(ox_actor_undefer(self, release, &names[1]));
    cr_assert_not(ox_actor_undefer(self, release, &names[1]));
    cr_assert_not_null(ox_arena_alloc(ox_actor_arena(self), 1000));
    if (arg != NULL)
        ox_panic("in on_start: %s", (const char *)arg);
    return OX_OK;
}

static void
fragile_message(struct ox_actor *self, struct ox_msg *msg)
{
    cr_assert_eq(ox_arena_used(ox_actor_scratch(self)), 0, "scratch is empty for each message");
    cr_assert_not_null(ox_arena_alloc(ox_actor_scratch(self), 100));
    switch (msg->kind) {
    case KIND_PANIC:
        ox_panic("number %d", (int)msg->num);
    case KIND_ASSERT:
        OX_ASSERT(msg->num == 0);
        break;
    case KIND_ARENA:
        for (;;)
            memset(ox_arena_must(ox_actor_scratch(self), 1000), 1, 1000);
    case KIND_STOP_PANIC:
        *(bool *)ox_actor_state(self) = true;
        ox_exit(self, OX_EXIT_NORMAL);
        break;
    case KIND_NOPANIC:
        ox_nopanic_begin();
        ox_panic("beneath a library callback");
    default:
        handled++;
    }
}

static void
fragile_stop(struct ox_actor *self, enum ox_exit reason)
{
    stops++;
    if (*(bool *)ox_actor_state(self))
        ox_panic("in on_stop");
}

static const struct ox_actor_class fragile_class = {.name = "fragile",
                                                    .state_size = sizeof(bool),
                                                    .on_start = fragile_start,
                                                    .on_message = fragile_message,
                                                    .on_stop = fragile_stop,
                                                    .arena_bytes_max = 8192};

static void
start(void)
{
    kit_start_with(
        (struct ox_runtime_options){.hooks = {.obituary = on_obituary, .set_aside = on_set_aside}});
}

static ox_pid
spawn_fragile(const char *name)
{
    ox_pid pid;
    struct ox_spawn spec = {.class = &fragile_class, .name = name, .account = &account};
    cr_assert_eq(ox_spawn_wait(&spec, &pid, NULL), OX_OK);
    return pid;
}

Test(panic, ends_one_actor_and_releases_what_it_had)
{
    start();
    ox_pid neighbour = spawn_fragile(NULL);
    ox_pid pid = spawn_fragile("weak");
    uint64_t before = atomic_load(&account.used_bytes);
    struct ox_msg *msg = ox_msg_new(KIND_PANIC, malloc(8), 8, count_drop);
    msg->num = 7;
    msg->cause.wal_seq = 4711;
    cr_assert_eq(ox_send(pid, &msg), OX_OK);
    kit_settle();
    cr_assert_not(ox_alive(pid));
    cr_assert_str_eq(released, "31", "handles are released last first");
    cr_assert_lt(atomic_load(&account.used_bytes), before, "its arenas went back");
    cr_assert_eq(obituaries, 1);
    cr_assert_eq(set_asides, 1);
    cr_assert_eq(drops, 1);
    cr_assert_eq(stops, 0, "on_stop does not run on broken state");
    cr_assert_str_eq(last_text, "number 7");
    cr_assert_str_not_empty(last_trace);
    cr_assert_eq(last.cause.wal_seq, 4711);
    cr_assert_eq(last.msg_kind, KIND_PANIC);
    cr_assert(ox_pid_eq(last.pid, pid));
    kit_cast(neighbour, KIND_NOTE, 0);
    kit_settle();
    cr_assert_eq(handled, 1, "the neighbour lives");
    ox_runtime_stop();
    cr_assert_eq(atomic_load(&account.used_bytes), 0);
}

Test(panic, a_failed_assertion_names_file_and_condition)
{
    start();
    ox_pid pid = spawn_fragile(NULL);
    kit_cast(pid, KIND_ASSERT, 1);
    kit_settle();
    cr_assert_not(ox_alive(pid));
    cr_assert_not_null(strstr(last_text, "panic_test.c:"));
    cr_assert_not_null(strstr(last_text, "msg->num == 0"));
    cr_assert_eq(ox_metric_value(OX_M_runtime_panics, (struct ox_str[]){OX_STR("fragile")}), 1);
    ox_runtime_stop();
}

Test(panic, an_arena_past_its_budget)
{
    start();
    ox_pid pid = spawn_fragile(NULL);
    kit_cast(pid, KIND_ARENA, 1);
    kit_settle();
    cr_assert_not(ox_alive(pid));
    cr_assert_not_null(strstr(last_text, "arena budget of 8192 bytes"));
    ox_runtime_stop();
}

Test(panic, in_on_start_is_a_failed_start)
{
    start();
    struct ox_diag diag;
    ox_pid pid;
    struct ox_spawn spec = {.class = &fragile_class, .arg = no_luck};
    cr_assert_eq(ox_spawn_wait(&spec, &pid, &diag), OX_E_INTERNAL);
    cr_assert_str_eq(diag.text, "in on_start: no luck");
    cr_assert_not(ox_alive(pid));
    cr_assert_str_eq(released, "31");
    ox_runtime_stop();
}

Test(panic, in_on_stop)
{
    start();
    ox_pid pid = spawn_fragile(NULL);
    kit_cast(pid, KIND_STOP_PANIC, 0);
    kit_settle();
    cr_assert_not(ox_alive(pid));
    cr_assert_eq(last.reason, OX_EXIT_PANIC);
    cr_assert_str_eq(released, "31");
    ox_runtime_stop();
}

Test(panic, the_caller_is_told)
{
    start();
    ox_pid pid = spawn_fragile(NULL);
    struct ox_msg *msg = ox_msg_new(KIND_PANIC, NULL, 0, NULL);
    struct ox_msg *reply;
    cr_assert_eq(ox_ask(pid, &msg, 1000, &reply), OX_E_INTERNAL);
    ox_runtime_stop();
}

Test(panic, where_it_may_not_unwind_it_ends_the_process, .signal = SIGABRT)
{
    start();
    ox_pid pid = spawn_fragile(NULL);
    kit_cast(pid, KIND_NOPANIC, 0);
    kit_settle();
}

Test(panic, outside_a_handler_it_ends_the_process, .signal = SIGABRT)
{
    start();
    ox_panic("nobody here");
}
