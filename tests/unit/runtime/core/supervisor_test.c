/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    children are started in order, restarted with backoff within their intensity, quarantined past
 *          it, and stopped in reverse order; a restarted child keeps pid and mailbox.
 * Method:  children that write down what happens to them, in single-thread mode on a virtual clock.
 *
 * what OTP says                                   test
 * ----------------------------------------------  ----------------------------------------------------------------------
 * id, unique among the children                   an_id_is_taken_once
 * start: on_start, its outcome told               a_failed_start_is_told_..., a_fixed_child_that_does_not_start_...
 * permanent, transient, temporary                 permanent_transient_temporary, asked_to_leave_by_others_...
 * shutdown in ms; brutal                          a_child_that_does_not_stop_is_killed_..., brutal_is_without_a_word
 * worker, supervisor                              children_are_listed_as_their_specs_say
 * fixed children, and dynamic ones                starts_in_order_..., stop_start_remove_..., hundreds_of_children_...
 * intensity in a sliding window                   intensity_is_a_sliding_window, ..._the_sixth_crash_..., a_slow_trickle_...
 * backoff: doubles, has an end, starts anew       backoff_doubles_..., backoff_ends_at_its_bound_and_starts_anew_when_...
 * ordered start, reverse shutdown                 starts_in_order_and_stops_in_reverse
 * time-outs of a shutdown, each child's own       each_child_has_its_own_time_to_stop_and_the_next_waits_for_it
 * a supervisor's supervisor; giving up            escalation_ends_the_supervisor_..., giving_up_climbs_to_the_root
 * which_children, count_children                  children_are_listed_as_their_specs_say
 * terminate_, restart_, delete_child              stop_start_remove_..., what_does_not_run_is_stopped_at_once
 * nothing blocks a loop                           waiting_blocks_nobody
 */
#include "kit.h"

#include "ox/supervisor.h"
#include "runtime/core/sup.h"

#define ARG(s) ((void *)(uintptr_t)(s))

enum { KIND_CRASH = 1, KIND_NOTE, KIND_LEAVE, KIND_PROGRESS, KIND_TRIAL };

static char journal[4096];
static uint32_t handled, starts, freed;
static bool fail_start;
static ox_pid first_pid;

static void
note(const char *what, const char *who)
{
    size_t n = strlen(journal);
    snprintf(journal + n, sizeof(journal) - n, "%s%s%s", n > 0 ? " " : "", what, who);
}

static ox_err
child_start(struct ox_actor *self, void *arg, struct ox_diag *diag)
{
    starts++;
    if (fail_start)
        return ox_diag_set(diag, OX_E_IO, "disk", -1, "no disk");
    note("+", arg);
    *(const char **)ox_actor_state(self) = arg;
    return OX_OK;
}

static void
child_message(struct ox_actor *self, struct ox_msg *msg)
{
    if (msg->kind == KIND_CRASH)
        ox_panic("asked to");
    if (msg->kind == KIND_LEAVE)
        ox_exit(self, OX_EXIT_NORMAL);
    if (msg->kind == KIND_TRIAL)
        ox_actor_trial(self, true);
    if (msg->kind == KIND_PROGRESS)
        ox_actor_progress(self);
    if (msg->kind == KIND_NOTE)
        handled++;
}

static void
child_stop(struct ox_actor *self, enum ox_exit reason)
{
    note("-", *(const char **)ox_actor_state(self));
}

static void
stubborn_stop(struct ox_actor *self, enum ox_exit reason)
{
    ox_stop_hold(self);
}

static const struct ox_actor_class child_class = {.name = "child",
                                                  .state_size = sizeof(char *),
                                                  .on_start = child_start,
                                                  .on_message = child_message,
                                                  .on_stop = child_stop};
static const struct ox_actor_class stubborn_class = {.name = "stubborn",
                                                     .state_size = sizeof(char *),
                                                     .on_start = child_start,
                                                     .on_message = child_message,
                                                     .on_stop = stubborn_stop};

static ox_pid
start_sup(const char *name)
{
    ox_pid sup;
    struct ox_diag diag;
    cr_assert_eq(ox_sup_start(&(struct ox_sup_spec){.name = name}, &sup, &diag), OX_OK, "%s", diag.text);
    return sup;
}

static ox_pid
add(ox_pid sup, const char *id, enum ox_restart restart)
{
    ox_pid pid;
    struct ox_diag diag;
    struct ox_child_spec spec = {.id = id, .class = &child_class, .arg = ARG(id), .restart = restart};
    cr_assert_eq(ox_sup_add(sup, &spec, true, &pid, &diag), OX_OK, "%s", diag.text);
    kit_settle();
    return pid;
}

static struct ox_child_info
info(ox_pid sup, const char *id)
{
    struct ox_msg *reply;
    struct ox_child_info found = {.pid = OX_PID_NONE};
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_WHICH, NULL, 0, 1000, &reply), OX_OK);
    const struct ox_children *list = reply->data;
    for (uint32_t i = 0; i < list->n; i++) {
        if (strcmp(list->child[i].id, id) == 0)
            found = list->child[i];
    }
    ox_msg_free(reply);
    return found;
}

static void
crash(ox_pid pid)
{
    kit_cast(pid, KIND_CRASH, 0);
    kit_settle();
}

Test(supervisor, starts_in_order_and_stops_in_reverse)
{
    kit_start(1);
    struct ox_child_spec specs[] = {
        {.id = "a", .class = &child_class, .arg = ARG("a")},
        {.id = "b", .class = &child_class, .arg = ARG("b")},
        {.id = "c", .class = &child_class, .arg = ARG("c")},
    };
    ox_pid sup;
    struct ox_sup_spec spec = {.name = "root", .children = specs, .children_n = 3};
    cr_assert_eq(ox_sup_start(&spec, &sup, NULL), OX_OK);
    kit_settle();
    cr_assert(ox_pid_eq(ox_whereis("root"), sup));
    ox_runtime_stop();
    cr_assert_str_eq(journal, "+a +b +c -c -b -a");
}

Test(supervisor, a_crashed_child_keeps_pid_and_mailbox_and_waits_for_its_backoff)
{
    kit_start(2);
    ox_pid sup = start_sup("root");
    ox_pid pid = add(sup, "x", OX_RESTART_PERMANENT);
    kit_cast(pid, KIND_CRASH, 0);
    kit_cast(pid, KIND_NOTE, 0);
    kit_settle();
    cr_assert_eq(info(sup, "x").state, OX_CHILD_BACKOFF);
    kit_cast(pid, KIND_NOTE, 0);
    kit_advance_ms(99);
    cr_assert_eq(handled, 0);
    kit_advance_ms(1);
    cr_assert_eq(handled, 2, "what waited is handled by the next incarnation");
    struct ox_child_info child = info(sup, "x");
    cr_assert_eq(child.state, OX_CHILD_RUNNING);
    cr_assert(ox_pid_eq(child.pid, pid));
    cr_assert_eq(child.crashes, 1);
    cr_assert_eq(child.restarts, 1);
    ox_runtime_stop();
}

Test(supervisor, backoff_doubles_and_the_sixth_crash_in_the_window_quarantines)
{
    static const uint64_t backoff[] = {100, 200, 400, 800, 1600};
    kit_start(3);
    ox_pid sup = start_sup("root");
    ox_pid pid = add(sup, "x", OX_RESTART_PERMANENT);
    for (uint32_t i = 0; i < OX_COUNT(backoff); i++) {
        crash(pid);
        kit_advance_ms(backoff[i] - 1);
        cr_assert_eq(info(sup, "x").state, OX_CHILD_BACKOFF, "backoff %u is too short", i);
        kit_advance_ms(1);
        cr_assert_eq(info(sup, "x").state, OX_CHILD_RUNNING, "backoff %u is too long", i);
    }
    kit_cast(pid, KIND_CRASH, 0);
    kit_cast(pid, KIND_NOTE, 0);
    kit_settle();
    cr_assert_eq(info(sup, "x").state, OX_CHILD_QUARANTINED);
    cr_assert_eq(ox_cast(pid, KIND_NOTE, 0), OX_E_QUARANTINED);
    cr_assert_eq(ox_metric_value(OX_M_actor_quarantined, (struct ox_str[]){OX_STR("child")}), 1);
    kit_advance_ms(3600000);
    cr_assert_eq(info(sup, "x").state, OX_CHILD_QUARANTINED, "time alone lifts no quarantine");
    ox_runtime_stop();
    cr_assert_eq(handled, 0);
}

Test(supervisor, a_slow_trickle_of_crashes_is_no_reason_for_quarantine)
{
    kit_start(4);
    ox_pid sup = start_sup("root");
    ox_pid pid = add(sup, "x", OX_RESTART_PERMANENT);
    for (int i = 0; i < 20; i++) {
        crash(pid);
        kit_advance_ms(13000); /* fewer than five in any 60 s */
        cr_assert_eq(info(sup, "x").state, OX_CHILD_RUNNING);
    }
    ox_runtime_stop();
}

Test(supervisor, revoking_needs_the_number_of_crashes)
{
    kit_start(5);
    ox_pid sup = start_sup("root");
    ox_pid pid = add(sup, "x", OX_RESTART_PERMANENT);
    for (int i = 0; i < 6; i++) {
        crash(pid);
        kit_advance_ms(2000);
    }
    uint32_t crashes = info(sup, "x").crashes;
    cr_assert_eq(crashes, 6);
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_REVOKE, "x", crashes - 1, 1000, NULL), OX_E_FORBIDDEN);
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_REVOKE, "y", crashes, 1000, NULL), OX_E_NOT_FOUND);
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_REVOKE, "x", crashes, 1000, NULL), OX_OK);
    kit_settle();
    kit_cast(pid, KIND_NOTE, 0);
    kit_settle();
    cr_assert_eq(handled, 1);
    crash(pid);
    kit_advance_ms(100);
    cr_assert_eq(info(sup, "x").state, OX_CHILD_RUNNING, "the intensity starts anew");
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_REVOKE, "x", 7, 1000, NULL), OX_E_STATE);
    ox_runtime_stop();
}

Test(supervisor, permanent_transient_temporary)
{
    kit_start(6);
    ox_pid sup = start_sup("root");
    ox_pid permanent = add(sup, "p", OX_RESTART_PERMANENT);
    ox_pid transient = add(sup, "t", OX_RESTART_TRANSIENT);
    ox_pid temporary = add(sup, "m", OX_RESTART_TEMPORARY);
    kit_cast(permanent, KIND_LEAVE, 0);
    kit_cast(transient, KIND_LEAVE, 0);
    kit_cast(temporary, KIND_CRASH, 0);
    kit_settle();
    kit_advance_ms(100);
    cr_assert(ox_alive(permanent));
    cr_assert_not(ox_alive(transient));
    cr_assert_not(ox_alive(temporary));
    cr_assert_eq(info(sup, "t").state, OX_CHILD_STOPPED);
    cr_assert(ox_pid_is_none(info(sup, "m").pid), "a temporary child is forgotten");
    ox_pid again = add(sup, "t2", OX_RESTART_TRANSIENT);
    crash(again);
    kit_advance_ms(100);
    cr_assert(ox_alive(again), "a transient child comes back after a crash");
    ox_runtime_stop();
}

Test(supervisor, a_child_that_does_not_stop_is_killed_after_its_time)
{
    kit_start(7);
    ox_pid sup = start_sup("root");
    ox_pid pid;
    struct ox_child_spec spec = {.id = "s", .class = &stubborn_class, .arg = ARG("s"), .shutdown_ms = 700};
    cr_assert_eq(ox_sup_add(sup, &spec, true, &pid, NULL), OX_OK);
    kit_settle();
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_STOP, "s", 0, 10, NULL), OX_E_TIMEOUT,
                 "the answer waits for the end");
    kit_advance_ms(699);
    cr_assert(ox_alive(pid));
    kit_advance_ms(1);
    cr_assert_not(ox_alive(pid));
    cr_assert_eq(info(sup, "s").state, OX_CHILD_STOPPED);
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_START, "s", 0, 1000, NULL), OX_OK);
    kit_settle();
    cr_assert_eq(info(sup, "s").state, OX_CHILD_RUNNING);
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_REMOVE, "s", 0, 1000, NULL), OX_E_STATE);
    ox_runtime_stop();
}

static void
free_arg(void *arg)
{
    freed++;
    free(arg);
}

Test(supervisor, stop_start_remove_and_the_arg_is_freed_once)
{
    kit_start(8);
    ox_pid sup = start_sup("root");
    ox_pid pid;
    struct ox_child_spec spec = {.id = "d", .class = &child_class, .arg = strdup("d"), .arg_free = free_arg};
    cr_assert_eq(ox_sup_add(sup, &spec, false, &pid, NULL), OX_OK);
    kit_settle();
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_STOP, "d", 0, 1000, NULL), OX_OK);
    cr_assert_not(ox_alive(pid));
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_REMOVE, "d", 0, 1000, NULL), OX_OK);
    cr_assert_eq(freed, 1);
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_START, "d", 0, 1000, NULL), OX_E_NOT_FOUND);
    spec.arg = strdup("d");
    cr_assert_eq(ox_sup_add(sup, &spec, false, &pid, NULL), OX_OK);
    kit_settle();
    ox_runtime_stop();
    cr_assert_eq(freed, 2);
}

Test(supervisor, a_failed_start_is_told_to_who_waits_and_retried_for_others)
{
    struct ox_diag diag;
    ox_pid pid;
    kit_start(9);
    ox_pid sup = start_sup("root");
    fail_start = true;
    struct ox_child_spec spec = {.id = "f", .class = &child_class, .arg = ARG("f")};
    cr_assert_eq(ox_sup_add_wait(sup, &spec, &pid, &diag), OX_E_IO);
    cr_assert_str_eq(diag.text, "no disk");
    kit_advance_ms(1000);
    cr_assert_eq(starts, 1);
    cr_assert(ox_pid_is_none(info(sup, "f").pid), "it was never a child");
    cr_assert_eq(ox_sup_add(sup, &spec, true, &pid, &diag), OX_OK);
    kit_settle();
    fail_start = false;
    kit_advance_ms(100);
    cr_assert_eq(starts, 3);
    cr_assert_eq(info(sup, "f").state, OX_CHILD_RUNNING);
    ox_runtime_stop();
}

Test(supervisor, an_id_is_taken_once)
{
    struct ox_diag diag;
    ox_pid pid;
    kit_start(10);
    ox_pid sup = start_sup("root");
    first_pid = add(sup, "x", OX_RESTART_PERMANENT);
    struct ox_child_spec spec = {.id = "x", .class = &child_class, .arg = ARG("second")};
    cr_assert_eq(ox_sup_add_wait(sup, &spec, &pid, &diag), OX_E_EXISTS);
    cr_assert_not(ox_alive(pid));
    cr_assert(ox_alive(first_pid));
    cr_assert_str_eq(journal, "+x");
    ox_runtime_stop();
}

static char failed_root[64];

static void
root_failed(void *arg, const char *supervisor)
{
    snprintf(failed_root, sizeof(failed_root), "%s", supervisor);
}

Test(supervisor, escalation_ends_the_supervisor_and_its_parent_starts_it_again_with_its_fixed_children)
{
    kit_start_with((struct ox_runtime_options){.hooks = {.root_failed = root_failed}});
    ox_pid root = start_sup("root");
    static const struct ox_child_spec fixed[] = {
        {.id = "n", .class = &child_class, .arg = ARG("n"), .name = "neighbour"},
        {.id = "e", .class = &child_class, .arg = ARG("e"), .name = "e", .past_intensity = OX_SUP_ESCALATE},
    };
    ox_pid sub;
    struct ox_sup_spec spec = {
        .name = "sub", .parent = root, .max_restarts = 1, .children = fixed, .children_n = OX_COUNT(fixed)};
    cr_assert_eq(ox_sup_start(&spec, &sub, NULL), OX_OK);
    kit_settle();
    crash(ox_whereis("e"));
    kit_advance_ms(100);
    crash(ox_whereis("e"));
    cr_assert(ox_pid_is_none(ox_whereis("neighbour")), "the children end with their supervisor");
    kit_advance_ms(100);
    cr_assert_not(ox_pid_is_none(ox_whereis("neighbour")));
    cr_assert_not(ox_pid_is_none(ox_whereis("e")));
    cr_assert_str_eq(journal, "+n +e +e -n +n +e");
    cr_assert_eq(info(root, "sub").restarts, 1);
    cr_assert_str_empty(failed_root);
    ox_runtime_stop();
}

/* Time alone forgives nothing, progress forgives all: a cause that keeps crashing is told from bad luck. */
Test(supervisor, a_child_may_be_counted_per_progress)
{
    kit_start(12);
    ox_pid sup = start_sup("root"), pid;
    struct ox_child_spec spec = {
        .id = "p", .class = &child_class, .arg = ARG("p"), .name = "p", .intensity = OX_SUP_PER_PROGRESS};
    cr_assert_eq(ox_sup_add(sup, &spec, true, &pid, NULL), OX_OK);
    kit_settle();
    for (int i = 0; i < 20; i++) { /* many more than max_restarts within one window */
        kit_cast(pid, KIND_PROGRESS, 0);
        crash(pid);
        kit_advance_ms(30000);
        cr_assert_eq(info(sup, "p").state, OX_CHILD_RUNNING, "crash %d", i);
    }
    for (int i = 0; i < 10; i++) { /* repeats of what is charged already are no further cause */
        kit_cast(pid, KIND_TRIAL, 0);
        crash(pid);
        kit_advance_ms(30000);
        cr_assert_eq(info(sup, "p").state, OX_CHILD_RUNNING, "trial %d", i);
    }
    for (int i = 0; i < 4; i++) { /* with the one before: five in a row, each in a window of its own */
        crash(pid);
        kit_advance_ms(120000);
        cr_assert_eq(info(sup, "p").state, OX_CHILD_RUNNING, "crash %d without progress", i);
    }
    crash(pid);
    kit_advance_ms(120000);
    cr_assert_eq(info(sup, "p").state, OX_CHILD_QUARANTINED);
    cr_assert_eq(info(sup, "p").crashes, 35);
    cr_assert_eq(ox_metric_value(OX_M_actor_restarts, (struct ox_str[]){OX_STR("child"), OX_STR("panic")}),
                 34);
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_REVOKE, "p", 35, 1000, NULL), OX_OK);
    kit_settle();
    cr_assert_eq(ox_metric_value(OX_M_actor_restarts, (struct ox_str[]){OX_STR("child"), OX_STR("revoked")}),
                 1);
    crash(pid);
    kit_advance_ms(120000);
    cr_assert_eq(info(sup, "p").state, OX_CHILD_RUNNING, "a revocation begins anew");
    ox_runtime_stop();
}

Test(supervisor, a_child_may_begin_in_quarantine)
{
    kit_start(13);
    ox_pid sup = start_sup("root"), pid;
    struct ox_child_spec spec = {
        .id = "q", .class = &child_class, .arg = ARG("q"), .name = "q", .quarantined_crashes = 7};
    cr_assert_eq(ox_sup_add_wait(sup, &spec, &pid, NULL), OX_OK);
    cr_assert_eq(starts, 0);
    struct ox_child_info q = info(sup, "q");
    cr_assert_eq(q.state, OX_CHILD_QUARANTINED);
    cr_assert_eq(q.crashes, 7);
    cr_assert_eq(ox_cast(pid, KIND_NOTE, 0), OX_E_QUARANTINED);
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_REVOKE, "q", 6, 1000, NULL), OX_E_FORBIDDEN);
    cr_assert_eq(starts, 0);
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_REVOKE, "q", 7, 1000, NULL), OX_OK);
    kit_settle();
    cr_assert_eq(starts, 1);
    cr_assert_eq(ox_cast(pid, KIND_NOTE, 0), OX_OK);
    kit_settle();
    cr_assert_eq(handled, 1);
    ox_runtime_stop();
}

Test(supervisor, intensity_is_a_sliding_window)
{
    struct ox__intensity in = {.n = 0};
    struct ox__restart_policy policy = {3, 1000, 100, 250};
    uint64_t wait;
    cr_assert(ox__intensity_admits(&in, &policy, 0, &wait));
    cr_assert_eq(wait, 100);
    cr_assert(ox__intensity_admits(&in, &policy, 10, &wait));
    cr_assert_eq(wait, 200);
    cr_assert(ox__intensity_admits(&in, &policy, 20, &wait));
    cr_assert_eq(wait, 250, "backoff_max");
    cr_assert_not(ox__intensity_admits(&in, &policy, 999, &wait));
    cr_assert(ox__intensity_admits(&in, &policy, 1000, &wait), "the first is out of the window");
    cr_assert_not(ox__intensity_admits(&in, &policy, 1009, &wait));
}

Test(supervisor, hundreds_of_children_end_with_it)
{
    kit_start(11);
    ox_pid sup = start_sup("root");
    for (int i = 0; i < 500; i++) {
        char id[32];
        snprintf(id, sizeof(id), "child-%d", i);
        struct ox_child_spec spec = {.id = id, .class = &child_class, .arg = ARG("")};
        cr_assert_eq(ox_sup_add(sup, &spec, i % 2 == 0, NULL, NULL), OX_OK);
    }
    kit_settle();
    struct ox_msg *reply;
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_COUNT, NULL, 0, 1000, &reply), OX_OK);
    cr_assert_eq(((struct ox_children *)reply->data)->counts.active, 500);
    ox_msg_free(reply);
    cr_assert_eq(ox_runtime_actors(), 501);
    ox_stop(sup);
    kit_settle();
    cr_assert_eq(ox_runtime_actors(), 0);
    ox_runtime_stop();
}

Test(supervisor, backoff_ends_at_its_bound_and_starts_anew_when_the_window_was_quiet)
{
    kit_start(14);
    ox_pid sup, pid;
    struct ox_sup_spec spec = {.name = "root", .max_restarts = 10, .window_ms = 60000, .backoff_max_ms = 300};
    cr_assert_eq(ox_sup_start(&spec, &sup, NULL), OX_OK);
    pid = add(sup, "x", OX_RESTART_PERMANENT);
    static const uint64_t backoff[] = {100, 200, 300, 300};
    for (uint32_t i = 0; i < OX_COUNT(backoff); i++) {
        crash(pid);
        kit_advance_ms(backoff[i] - 1);
        cr_assert_eq(info(sup, "x").state, OX_CHILD_BACKOFF, "backoff %u is too short", i);
        kit_advance_ms(1);
        cr_assert_eq(info(sup, "x").state, OX_CHILD_RUNNING, "backoff %u is too long", i);
    }
    kit_advance_ms(60000);
    crash(pid);
    kit_advance_ms(100);
    cr_assert_eq(info(sup, "x").state, OX_CHILD_RUNNING,
                 "after a quiet window the first wait is the shortest");
    ox_runtime_stop();
}

Test(supervisor, asked_to_leave_by_others_only_a_permanent_child_returns)
{
    kit_start(15);
    ox_pid sup = start_sup("root");
    ox_pid permanent = add(sup, "p", OX_RESTART_PERMANENT), transient = add(sup, "t", OX_RESTART_TRANSIENT);
    ox_stop(permanent);
    ox_stop(transient);
    kit_settle();
    kit_advance_ms(100);
    cr_assert_eq(info(sup, "p").state, OX_CHILD_RUNNING);
    cr_assert_eq(info(sup, "p").crashes, 0, "an end in good order is no crash");
    cr_assert_eq(info(sup, "t").state, OX_CHILD_STOPPED);
    ox_runtime_stop();
}

Test(supervisor, brutal_is_without_a_word)
{
    kit_start(16);
    ox_pid sup = start_sup("root"), pid;
    struct ox_child_spec spec = {
        .id = "b", .class = &child_class, .arg = ARG("b"), .shutdown_ms = OX_SHUTDOWN_BRUTAL};
    cr_assert_eq(ox_sup_add(sup, &spec, true, &pid, NULL), OX_OK);
    kit_settle();
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_STOP, "b", 0, 1000, NULL), OX_OK);
    cr_assert_not(ox_alive(pid));
    cr_assert_str_eq(journal, "+b", "on_stop does not run");
    ox_runtime_stop();
}

Test(supervisor, what_does_not_run_is_stopped_at_once)
{
    kit_start(17);
    ox_pid sup = start_sup("root");
    crash(add(sup, "backoff", OX_RESTART_PERMANENT));
    cr_assert_eq(info(sup, "backoff").state, OX_CHILD_BACKOFF);
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_STOP, "backoff", 0, 1, NULL), OX_OK);
    ox_pid pid = add(sup, "quarantined", OX_RESTART_PERMANENT);
    for (int i = 0; i < 6; i++) {
        crash(pid);
        kit_advance_ms(2000);
    }
    cr_assert_eq(info(sup, "quarantined").state, OX_CHILD_QUARANTINED);
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_STOP, "quarantined", 0, 1, NULL), OX_OK);
    cr_assert_eq(info(sup, "backoff").state, OX_CHILD_STOPPED, "its restart was taken back");
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_START, "backoff", 0, 1000, NULL), OX_OK);
    kit_settle();
    cr_assert_eq(info(sup, "backoff").state, OX_CHILD_RUNNING);
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_REMOVE, "quarantined", 0, 1000, NULL), OX_OK);
    ox_runtime_stop();
}

Test(supervisor, a_fixed_child_that_does_not_start_holds_those_behind_it)
{
    kit_start(18);
    struct ox_child_spec specs[] = {{.id = "a", .class = &child_class, .arg = ARG("a")},
                                    {.id = "b", .class = &child_class, .arg = ARG("b")}};
    ox_pid sup;
    struct ox_sup_spec spec = {.name = "root", .children = specs, .children_n = 2};
    fail_start = true;
    cr_assert_eq(ox_sup_start(&spec, &sup, NULL), OX_OK);
    kit_settle();
    kit_advance_ms(100);
    cr_assert_eq(starts, 2, "the first was tried again, the second not once");
    fail_start = false;
    kit_advance_ms(200);
    cr_assert_str_eq(journal, "+a +b");
    ox_runtime_stop();
}

/* Three that hold their end: the last one is asked first, and no one before the one behind it has ended. */
Test(supervisor, each_child_has_its_own_time_to_stop_and_the_next_waits_for_it)
{
    kit_start(19);
    struct ox_child_spec specs[] = {
        {.id = "a", .class = &stubborn_class, .arg = ARG("a"), .name = "a", .shutdown_ms = 300},
        {.id = "b", .class = &child_class, .arg = ARG("b"), .name = "b", .shutdown_ms = 1},
        {.id = "c", .class = &stubborn_class, .arg = ARG("c"), .name = "c", .shutdown_ms = 700}};
    ox_pid sup;
    struct ox_sup_spec spec = {.name = "root", .children = specs, .children_n = 3};
    cr_assert_eq(ox_sup_start(&spec, &sup, NULL), OX_OK);
    kit_settle();
    ox_stop(sup);
    kit_settle();
    kit_advance_ms(699);
    cr_assert_not(ox_pid_is_none(ox_whereis("c")));
    cr_assert_str_eq(journal, "+a +b +c", "b is not asked before c has ended");
    kit_advance_ms(1);
    cr_assert(ox_pid_is_none(ox_whereis("c")));
    cr_assert_str_eq(journal, "+a +b +c -b");
    kit_advance_ms(299);
    cr_assert(ox_alive(sup));
    kit_advance_ms(1);
    cr_assert_eq(ox_runtime_actors(), 0);
    ox_runtime_stop();
}

Test(supervisor, giving_up_climbs_to_the_root)
{
    kit_start_with((struct ox_runtime_options){.hooks = {.root_failed = root_failed}});
    static const struct ox_child_spec fixed[] = {
        {.id = "e", .class = &child_class, .arg = ARG("e"), .name = "e", .past_intensity = OX_SUP_ESCALATE}};
    ox_pid root, sub;
    struct ox_sup_spec top = {.name = "root", .max_restarts = 1};
    cr_assert_eq(ox_sup_start(&top, &root, NULL), OX_OK);
    struct ox_sup_spec spec = {.name = "sub",
                               .parent = root,
                               .max_restarts = 1,
                               .past_intensity = OX_SUP_ESCALATE,
                               .children = fixed,
                               .children_n = 1};
    cr_assert_eq(ox_sup_start(&spec, &sub, NULL), OX_OK);
    kit_settle();
    for (int i = 0; i < 3;
         i++) { /* intensities multiply: two crashes for each end of `sub`, of which one is allowed */
        cr_assert_str_empty(failed_root, "after %d crashes", i);
        crash(ox_whereis("e"));
        kit_advance_ms(1000);
    }
    cr_assert_str_empty(failed_root);
    crash(ox_whereis("e"));
    kit_settle();
    cr_assert_str_eq(failed_root, "root");
    cr_assert_eq(ox_runtime_actors(), 0, "nothing runs on without its supervisor");
    ox_runtime_stop();
}

Test(supervisor, children_are_listed_as_their_specs_say)
{
    struct ox_msg *reply;
    kit_start(20);
    ox_pid sup = start_sup("root"), sub, pid;
    cr_assert_eq(ox_sup_start(&(struct ox_sup_spec){.name = "sub", .parent = sup}, &sub, NULL), OX_OK);
    struct ox_child_spec spec = {.id = "w",
                                 .class = &child_class,
                                 .arg = ARG("w"),
                                 .restart = OX_RESTART_TRANSIENT,
                                 .shutdown_ms = 1234,
                                 .cause = {.wal_seq = 7}};
    cr_assert_eq(ox_sup_add(sup, &spec, true, &pid, NULL), OX_OK);
    spec =
        (struct ox_child_spec){.id = "q", .class = &child_class, .arg = ARG("q"), .quarantined_crashes = 3};
    cr_assert_eq(ox_sup_add(sup, &spec, true, NULL, NULL), OX_OK);
    kit_settle();
    struct ox_child_info w = info(sup, "w"), s = info(sup, "sub");
    cr_assert_eq(w.type, OX_CHILD_WORKER);
    cr_assert_eq(w.restart, OX_RESTART_TRANSIENT);
    cr_assert_eq(w.shutdown_ms, 1234);
    cr_assert_eq(w.cause.wal_seq, 7);
    cr_assert_str_eq(w.class_name, "child");
    cr_assert(ox_pid_eq(w.pid, pid));
    cr_assert_eq(s.type, OX_CHILD_SUPERVISOR);
    cr_assert_eq(s.shutdown_ms, 60000, "its own children need time first");
    cr_assert(ox_pid_eq(s.pid, sub));
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_COUNT, NULL, 0, 1000, &reply), OX_OK);
    const struct ox_children *list = reply->data;
    cr_assert_eq(list->n, 0);
    cr_assert_eq(list->counts.specs, 3);
    cr_assert_eq(list->counts.active, 2);
    cr_assert_eq(list->counts.supervisors, 1);
    cr_assert_eq(list->counts.workers, 2);
    cr_assert_eq(list->counts.quarantined, 1);
    ox_msg_free(reply);
    ox_runtime_stop();
}

/* One child in its backoff, one that does not end, one that does not start: the supervisor answers, and adds more. */
Test(supervisor, waiting_blocks_nobody)
{
    kit_start(21);
    ox_pid sup = start_sup("root"), stubborn;
    crash(add(sup, "backoff", OX_RESTART_PERMANENT));
    struct ox_child_spec spec = {
        .id = "stubborn", .class = &stubborn_class, .arg = ARG("s"), .shutdown_ms = 60000};
    cr_assert_eq(ox_sup_add(sup, &spec, false, &stubborn, NULL), OX_OK);
    kit_settle();
    cr_assert_eq(ox_sup_ask(sup, OX_SUP_STOP, "stubborn", 0, 1, NULL), OX_E_TIMEOUT);
    fail_start = true;
    spec = (struct ox_child_spec){.id = "f", .class = &child_class, .arg = ARG("f")};
    cr_assert_eq(ox_sup_add(sup, &spec, false, NULL, NULL), OX_OK);
    kit_settle();
    fail_start = false;
    spec.id = "new";
    cr_assert_eq(ox_sup_add(sup, &spec, false, NULL, NULL), OX_OK);
    kit_settle();
    cr_assert_eq(info(sup, "backoff").state, OX_CHILD_BACKOFF);
    cr_assert_eq(info(sup, "stubborn").state, OX_CHILD_STOPPING);
    cr_assert_eq(info(sup, "f").state, OX_CHILD_BACKOFF);
    cr_assert_eq(info(sup, "new").state, OX_CHILD_RUNNING);
    ox_runtime_stop();
}

Test(supervisor, killed_at_any_moment_it_leaves_no_child_behind)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        kit_start(seed);
        ox_pid sup = start_sup("root");
        ox_pid pids[6];
        for (int i = 0; i < 6; i++) {
            char id[8];
            snprintf(id, sizeof(id), "c%d", i);
            struct ox_child_spec spec = {.id = id, .class = &child_class, .arg = ARG("")};
            cr_assert_eq(ox_sup_add(sup, &spec, i % 2 == 0, &pids[i], NULL), OX_OK);
        }
        (void)ox_runtime_drain(seed % 12);
        for (int i = 0; i < 3; i++)
            kit_cast(pids[i], KIND_CRASH, 0);
        (void)ox_runtime_drain(seed % 5);
        ox_kill(sup);
        kit_settle();
        cr_assert_eq(ox_runtime_actors(), 0, "seed %d", (int)seed);
        ox_runtime_stop();
    }
}
