/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    every metric of the scheduler moves when what it names happens.
 * Method:  actors that wait, work and take long, beside the values before and after.
 */
#include <semaphore.h>
#include <time.h>

#include "kit.h"

enum { KIND_WORK = 1, KIND_LONG };

static void
work(struct ox_actor *self, struct ox_msg *msg)
{
    if (msg->kind == KIND_LONG)
        ox_clock_virtual_advance(&kit_clock, msg->num);
    else
        ox_reductions(self, 9);
}

static const struct ox_actor_class worker = {.name = "load_worker", .on_message = work};

static double
labelled(enum ox_metric_id id, const char *label)
{
    struct ox_str value = ox_str_of(label);
    return ox_metric_value(id, &value);
}

static void
scrape(void)
{
    struct ox_buf text = {0};
    ox_metric_text(&text);
    ox_buf_fini(&text);
}

Test(load, turns_reductions_and_waits_are_counted)
{
    kit_start(1);
    ox_pid pid = kit_spawn(&worker, NULL);
    double messages = ox_metric_value(OX_M_runtime_messages, NULL);
    double reductions = ox_metric_value(OX_M_runtime_reductions, NULL);
    double waits = ox_metric_value(OX_M_runtime_ready_wait, NULL);
    double turns = ox_metric_value(OX_M_runtime_turn_time, NULL);
    for (int i = 0; i < 5; i++)
        kit_cast(pid, KIND_WORK, 0);
    kit_settle();
    cr_assert_eq(ox_metric_value(OX_M_runtime_messages, NULL) - messages, 5);
    cr_assert_eq(ox_metric_value(OX_M_runtime_reductions, NULL) - reductions, 50);
    cr_assert_eq(ox_metric_value(OX_M_runtime_ready_wait, NULL) - waits, 1);
    cr_assert_eq(ox_metric_value(OX_M_runtime_turn_time, NULL) - turns, 1);
    ox_runtime_stop();
}

Test(load, the_longest_turn_stands)
{
    kit_start(2);
    ox_pid pid = kit_spawn(&worker, NULL);
    kit_cast(pid, KIND_LONG, 70000000);
    kit_settle();
    kit_cast(pid, KIND_LONG, 30000000);
    kit_settle();
    scrape();
    cr_assert_float_eq(labelled(OX_M_runtime_turn_longest, "0"), 0.07, 1e-6);
    ox_runtime_stop();
}

Test(load, mailboxes_are_summed_by_kind)
{
    kit_start(3);
    ox_pid one = kit_spawn(&worker, NULL), two = kit_spawn(&worker, NULL);
    for (int i = 0; i < 5; i++) {
        struct ox_msg *msg = ox_msg_new(KIND_WORK, NULL, 100, NULL);
        cr_assert_eq(ox_send(i < 3 ? one : two, &msg), OX_OK);
    }
    scrape();
    cr_assert_eq(labelled(OX_M_actor_mailbox_depth, "load_worker"), 5);
    cr_assert_eq(labelled(OX_M_actor_mailbox_bytes, "load_worker"), 500);
    cr_assert_eq(labelled(OX_M_actor_mailbox_deepest, "load_worker"), 3);
    cr_assert_eq(labelled(OX_M_runtime_ready, "0"), 2);
    kit_settle();
    scrape();
    cr_assert_eq(labelled(OX_M_actor_mailbox_depth, "load_worker"), 0);
    cr_assert_eq(labelled(OX_M_actor_mailbox_bytes, "load_worker"), 0);
    cr_assert_eq(labelled(OX_M_actor_mailbox_deepest, "load_worker"), 0);
    cr_assert_eq(labelled(OX_M_runtime_ready, "0"), 0);
    ox_runtime_stop();
}

Test(load, time_is_charged_to_the_tenant_of_the_cause)
{
    kit_start(4);
    struct ox_tenant_id id = {"load-tenant"};
    struct ox_msg *msg = ox_msg_new(KIND_LONG, NULL, 0, NULL);
    msg->num = 5000000;
    msg->cause.tenant = ox_tenant_index(&id);
    ox_pid pid = kit_spawn(&worker, NULL);
    cr_assert_eq(ox_send(pid, &msg), OX_OK);
    kit_cast(pid, KIND_LONG, 9000000); /* nobody's */
    kit_settle();
    cr_assert_eq(labelled(OX_M_tenant_turn_ns, "load-tenant"), 5000000);
    ox_runtime_stop();
}

/* ---- utilisation, on a real loop ---- */

static sem_t busy, enough;

static void
hold(struct ox_actor *self, struct ox_msg *msg)
{
    sem_post(&busy);
    sem_wait(&enough); /* the loop is in a turn and not in poll, for as long as the test wants */
}

static const struct ox_actor_class holder = {.name = "load_holder", .on_message = hold};

Test(load, a_loop_in_a_turn_is_busy, .timeout = 60)
{
    struct ox_diag diag;
    ox_pid pid;
    ox_log_set_level(OX_LOG_FATAL);
    sem_init(&busy, 0, 0);
    sem_init(&enough, 0, 0);
    struct ox_runtime_options options = {.loops = 1, .turn_warn_ms = 60000, .turn_fault_ms = 60000};
    cr_assert_eq(ox_runtime_start(&options, &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(ox_spawn_wait(&(struct ox_spawn){.class = &holder}, &pid, NULL), OX_OK);
    cr_assert_eq(ox_cast(pid, KIND_WORK, 0), OX_OK);
    sem_wait(&busy);
    scrape();
    for (int i = 0; i < 1000; i++)
        scrape(); /* some time passes */
    cr_assert_eq(labelled(OX_M_runtime_utilisation, "0"), 1);
    sem_post(&enough);
    double least = 1;
    for (int i = 0; i < 30000 && least > 0.5; i++) { /* the turn ends; then the loop waits in poll */
        struct timespec ms = {0, 1000000};
        nanosleep(&ms, NULL);
        scrape();
        double now = labelled(OX_M_runtime_utilisation, "0");
        least = now < least ? now : least;
    }
    cr_assert_lt(least, 0.5);
    ox_runtime_stop();
}
