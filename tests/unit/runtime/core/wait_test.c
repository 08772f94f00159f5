/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    timers, dirty jobs, monitors and links end in exactly one message, or none after a cancel, also
 *          when one side dies in between.
 * Method:  an actor that starts what a message names and records what comes back; virtual clock.
 */
#include "kit.h"

enum {
    KIND_TIMER = 1,
    KIND_FIRED,
    KIND_CANCEL,
    KIND_JOB,
    KIND_DONE,
    KIND_MONITOR,
    KIND_DEMONITOR,
    KIND_LINK,
    KIND_UNLINK,
    KIND_LEAVE,
    KIND_PANIC
};

#define SEEN_MAX 2048

static struct {
    uint32_t kind;
    uint64_t num;
    ox_pid from;
} seen[SEEN_MAX];
static uint32_t seen_n, jobs_run, jobs_dropped;
static uint64_t last_ref;
static ox_err last_err;
static struct ox_lane *lane;
static char order[64];

static void
run_job(void *arg)
{
    jobs_run++;
    order[strlen(order)] = *(char *)arg;
}

static void
drop_job(void *arg)
{
    jobs_dropped++;
    free(arg);
}

static void
submit(struct ox_actor *self, char name, struct ox_lane *to)
{
    char *arg = malloc(1);
    *arg = name;
    last_err = ox_dirty_submit(self, to, run_job, arg, KIND_DONE, drop_job, &last_ref);
    if (last_err != OX_OK)
        free(arg);
}

static void
act(struct ox_actor *self, struct ox_msg *msg)
{
    ox_pid peer = {(uint32_t)msg->num, (uint32_t)(msg->num >> 32)};
    switch (msg->kind) {
    case KIND_TIMER:
        last_err = ox_timer_start(self, msg->num, KIND_FIRED, msg->num, &last_ref);
        break;
    case KIND_CANCEL:
        ox_timer_cancel(self, last_ref);
        break;
    case KIND_JOB:
        submit(self, (char)msg->num, msg->num < 'a' ? lane : NULL);
        break;
    case KIND_MONITOR:
        last_err = ox_monitor(self, peer, &last_ref);
        break;
    case KIND_DEMONITOR:
        ox_demonitor(self, last_ref);
        break;
    case KIND_LINK:
        last_err = ox_link(self, peer);
        break;
    case KIND_UNLINK:
        ox_unlink(self, peer);
        break;
    case KIND_LEAVE:
        ox_exit(self, OX_EXIT_NORMAL);
        break;
    case KIND_PANIC:
        ox_panic("asked to");
    default:
        cr_assert_lt(seen_n, SEEN_MAX);
        seen[seen_n].kind = msg->kind;
        seen[seen_n].num = msg->num;
        seen[seen_n++].from = msg->from;
    }
}

static const struct ox_actor_class plain_class = {.name = "plain", .on_message = act, .pending_max = 8};
static const struct ox_actor_class many_class = {.name = "many", .on_message = act};
static const struct ox_actor_class trap_class = {
    .name = "trap", .on_message = act, .flags = OX_ACTOR_TRAP_EXIT};

static void
tell(ox_pid pid, uint32_t kind, uint64_t num)
{
    kit_cast(pid, kind, num);
    kit_settle();
}

static uint64_t
packed(ox_pid pid)
{
    return (uint64_t)pid.gen << 32 | pid.slot;
}

/* ---- timers ---- */

Test(timer, fires_once_at_its_time)
{
    kit_start(1);
    ox_pid pid = kit_spawn(&plain_class, NULL);
    tell(pid, KIND_TIMER, 50);
    cr_assert_eq(ox_runtime_next_timer_ns(), ox_now_ns() + 50000000ull);
    kit_advance_ms(49);
    cr_assert_eq(seen_n, 0);
    kit_advance_ms(1);
    cr_assert_eq(seen_n, 1);
    cr_assert_eq(seen[0].num, 50);
    kit_advance_ms(1000);
    cr_assert_eq(seen_n, 1);
    cr_assert_eq(ox_runtime_next_timer_ns(), UINT64_MAX);
    ox_runtime_stop();
}

Test(timer, many_fire_in_the_order_of_their_times)
{
    kit_start(1);
    ox_pid pid = kit_spawn(&many_class, NULL);
    uint64_t x = 12345;
    for (int i = 0; i < 1000; i++) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        tell(pid, KIND_TIMER, 1 + (x >> 40) % 500);
        if (i % 7 == 0)
            tell(pid, KIND_CANCEL, 0);
    }
    for (int i = 0; i < 500; i++)
        kit_advance_ms(1);
    cr_assert_eq(seen_n, 1000 - 143);
    for (uint32_t i = 1; i < seen_n; i++)
        cr_assert_leq(seen[i - 1].num, seen[i].num);
    ox_runtime_stop();
}

Test(timer, cancelled_is_not_delivered_even_when_queued)
{
    kit_start(1);
    ox_pid pid = kit_spawn(&plain_class, NULL);
    tell(pid, KIND_TIMER, 10);
    tell(pid, KIND_CANCEL, 0);
    kit_advance_ms(20);
    cr_assert_eq(seen_n, 0);
    /* The cancel stands before the timer's message in the mailbox. */
    tell(pid, KIND_TIMER, 10);
    kit_cast(pid, KIND_CANCEL, 0);
    ox_clock_virtual_advance(&kit_clock, 20000000ull);
    kit_settle();
    cr_assert_eq(seen_n, 0);
    for (int i = 0; i < 8; i++)
        tell(pid, KIND_TIMER, 1);
    cr_assert_eq(last_err, OX_OK, "the places came back");
    tell(pid, KIND_TIMER, 1);
    cr_assert_eq(last_err, OX_E_OVERLOAD);
    ox_runtime_stop();
}

Test(timer, ends_with_its_actor)
{
    kit_start(1);
    ox_pid pid = kit_spawn(&plain_class, NULL);
    tell(pid, KIND_TIMER, 10);
    tell(pid, KIND_LEAVE, 0);
    cr_assert_eq(ox_runtime_next_timer_ns(), UINT64_MAX);
    tell(kit_spawn(&plain_class, NULL), KIND_TIMER, 5); /* same slot, same place, another generation */
    kit_advance_ms(20);
    cr_assert_eq(seen_n, 1);
    ox_runtime_stop();
}

/* ---- dirty jobs ---- */

Test(dirty, completion_comes_back_with_its_data)
{
    kit_start(1);
    ox_pid pid = kit_spawn(&plain_class, NULL);
    tell(pid, KIND_JOB, 'x');
    cr_assert_eq(jobs_run, 1);
    cr_assert_eq(seen_n, 1);
    cr_assert_eq(seen[0].kind, KIND_DONE);
    cr_assert_eq(jobs_dropped, 1, "data that the handler did not keep is dropped");
    ox_runtime_stop();
}

Test(dirty, a_job_whose_actor_died_is_dropped_once)
{
    kit_start(1);
    ox_pid pid = kit_spawn(&plain_class, NULL);
    kit_cast(pid, KIND_JOB, 'x');
    kit_cast(pid, KIND_PANIC, 0);
    kit_settle();
    cr_assert_eq(jobs_run, 1);
    cr_assert_eq(jobs_dropped, 1);
    cr_assert_eq(seen_n, 0);
    ox_runtime_stop();
}

Test(dirty, jobs_left_at_the_stop_are_dropped)
{
    kit_start(1);
    ox_pid pid = kit_spawn(&plain_class, NULL);
    kit_cast(pid, KIND_JOB, 'x');
    while (last_ref == 0)
        cr_assert(ox_runtime_step());
    ox_runtime_stop();
    cr_assert_eq(jobs_dropped, 1);
}

Test(dirty, the_queue_is_bounded_and_a_lane_keeps_order)
{
    kit_start_with((struct ox_runtime_options){.dirty_queue_max = 2});
    ox_pid pid = kit_spawn(&plain_class, NULL);
    cr_assert_eq(ox_lane_new("wal", 3, &lane), OX_OK);
    for (char c = 'a'; c < 'd'; c++)
        kit_cast(pid, KIND_JOB, (uint64_t)c);
    cr_assert(ox_runtime_step()); /* the actor's turn: three submits, no job yet */
    cr_assert_eq(last_err, OX_E_OVERLOAD);
    for (char c = 'A'; c < 'D'; c++)
        kit_cast(pid, KIND_JOB, (uint64_t)c);
    kit_settle();
    cr_assert_eq(last_err, OX_OK, "a lane has its own queue");
    char *upper[3] = {strchr(order, 'A'), strchr(order, 'B'), strchr(order, 'C')};
    cr_assert(upper[0] < upper[1] && upper[1] < upper[2]);
    cr_assert_eq(jobs_run, 5);
    cr_assert_eq(ox_metric_value(OX_M_runtime_dirty_refused, (struct ox_str[]){OX_STR("pool")}), 1);
    ox_runtime_stop();
}

/* ---- monitors and links ---- */

Test(monitor, tells_once_and_why)
{
    kit_start(1);
    ox_pid watcher = kit_spawn(&plain_class, NULL);
    ox_pid a = kit_spawn(&plain_class, NULL);
    ox_pid b = kit_spawn(&plain_class, NULL);
    tell(watcher, KIND_MONITOR, packed(a));
    tell(watcher, KIND_MONITOR, packed(b));
    tell(a, KIND_LEAVE, 0);
    cr_assert_eq(seen_n, 1);
    cr_assert_eq(seen[0].kind, OX_MSG_DOWN);
    cr_assert_eq(seen[0].num, OX_EXIT_NORMAL);
    cr_assert(ox_pid_eq(seen[0].from, a));
    tell(b, KIND_PANIC, 0);
    cr_assert_eq(seen_n, 2);
    cr_assert_eq(seen[1].num, OX_EXIT_PANIC);
    tell(watcher, KIND_MONITOR, packed(a));
    cr_assert_eq(seen_n, 3);
    cr_assert_eq(seen[2].num, OX_EXIT_NOPROC);
    ox_runtime_stop();
}

Test(monitor, demonitor_and_death_of_the_watcher)
{
    kit_start(1);
    ox_pid watcher = kit_spawn(&plain_class, NULL);
    ox_pid a = kit_spawn(&plain_class, NULL);
    tell(watcher, KIND_MONITOR, packed(a));
    tell(watcher, KIND_DEMONITOR, 0);
    tell(watcher, KIND_MONITOR, packed(a));
    tell(watcher, KIND_LEAVE, 0);
    tell(a, KIND_LEAVE, 0);
    cr_assert_eq(seen_n, 0);
    ox_runtime_stop();
}

Test(link, an_abnormal_end_takes_the_other_along)
{
    kit_start(1);
    ox_pid a = kit_spawn(&plain_class, NULL);
    ox_pid b = kit_spawn(&plain_class, NULL);
    ox_pid c = kit_spawn(&plain_class, NULL);
    tell(a, KIND_LINK, packed(b));
    tell(b, KIND_LINK, packed(c));
    tell(b, KIND_LINK, packed(a)); /* the same link again */
    tell(c, KIND_PANIC, 0);
    cr_assert_not(ox_alive(a));
    cr_assert_not(ox_alive(b));
    ox_runtime_stop();
}

Test(link, a_normal_end_or_an_unlink_does_not)
{
    kit_start(1);
    ox_pid a = kit_spawn(&plain_class, NULL);
    ox_pid b = kit_spawn(&plain_class, NULL);
    ox_pid c = kit_spawn(&plain_class, NULL);
    tell(a, KIND_LINK, packed(b));
    tell(a, KIND_LINK, packed(c));
    tell(b, KIND_LEAVE, 0);
    cr_assert(ox_alive(a));
    tell(c, KIND_UNLINK, packed(a));
    tell(c, KIND_PANIC, 0);
    cr_assert(ox_alive(a));
    for (int i = 0; i < 20; i++) { /* more than pending_max: the places come back */
        ox_pid d = kit_spawn(&plain_class, NULL);
        tell(a, KIND_LINK, packed(d));
        cr_assert_eq(last_err, OX_OK);
        tell(d, KIND_LEAVE, 0);
    }
    ox_runtime_stop();
}

Test(link, trapping_turns_it_into_a_message)
{
    kit_start(1);
    ox_pid a = kit_spawn(&trap_class, NULL);
    ox_pid b = kit_spawn(&plain_class, NULL);
    tell(a, KIND_LINK, packed(b));
    tell(b, KIND_PANIC, 0);
    cr_assert(ox_alive(a));
    cr_assert_eq(seen_n, 1);
    cr_assert_eq(seen[0].kind, OX_MSG_EXIT);
    cr_assert_eq(seen[0].num, OX_EXIT_PANIC);
    tell(a, KIND_LINK, packed(b));
    cr_assert_eq(seen_n, 2);
    cr_assert_eq(seen[1].num, OX_EXIT_NOPROC);
    ox_runtime_stop();
}
